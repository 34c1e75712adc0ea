"""Focal losses of JAX arrays.

Gradients are closed forms given as custom derivatives: right at every finite logit, to second order, in forward and
in reverse mode, under `jit` and `vmap`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.custom_derivatives import SymbolicZero

from focal_loss import _formula, _losses, _softmax, _spec
from focal_loss._docs import documented

__all__ = [
    "binary_focal_crossentropy",
    "binary_focal_loss",
    "categorical_focal_crossentropy",
    "categorical_focal_loss",
    "sigmoid_focal_loss",
    "sparse_categorical_focal_crossentropy",
    "sparse_categorical_focal_loss",
]


class _JaxOps:
    """`_formula.Ops` for JAX."""

    exp, log, log1p = staticmethod(jnp.exp), staticmethod(jnp.log), staticmethod(jnp.log1p)
    sqrt, tanh, abs = staticmethod(jnp.sqrt), staticmethod(jnp.tanh), staticmethod(jnp.abs)
    clip = staticmethod(jnp.clip)

    def where(self, condition: Array, x: Any, y: Any) -> Array:
        return jnp.where(condition, x, y)

    def sum(self, x: Array, axis: int) -> Array:
        return jnp.sum(x, axis, keepdims=True)

    def max(self, x: Array, axis: int) -> Array:
        return jnp.max(x, axis, keepdims=True, initial=-jnp.inf)

    def first_max(self, x: Array, axis: int) -> Array:
        if not x.shape[axis]:
            return x == x
        return _positions(x, axis) == jnp.argmax(x, axis, keepdims=True)

    def largest(self, x: Array) -> float:
        return float(jnp.finfo(x.dtype).max)

    def smallest(self, x: Array) -> float:
        return float(jnp.finfo(x.dtype).tiny)

    def is_bool(self, x: Array) -> bool:
        return bool(x.dtype == jnp.bool_)

    def constant(self, x: Array) -> Array:
        return jax.lax.stop_gradient(x)


_ops = _JaxOps()


def _positions(like: Array, axis: int) -> Array:
    return jnp.arange(like.shape[axis]).reshape((-1,) + (1,) * (like.ndim - axis - 1))


# ---------------------------------------------------------------------------------------------------------------
# Custom derivatives
# ---------------------------------------------------------------------------------------------------------------


@partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def _elementwise(family: str, index: _formula.Index, numbers: tuple[float | None, ...], *tensors: Array) -> Array:
    """`_formula.evaluate`; `numbers` holds the arguments that are Python numbers, None where a tensor stands."""
    queue = iter(tensors)
    value = _formula.evaluate(_ops, family, index, *(next(queue) if n is None else n for n in numbers))
    return jnp.zeros_like(tensors[0]) if value is None else value


@partial(_elementwise.defjvp, symbolic_zeros=True)
def _elementwise_jvp(
    family: str,
    index: _formula.Index,
    numbers: tuple[float | None, ...],
    tensors: tuple[Array, ...],
    tangents: tuple[Any, ...],
) -> tuple[Array, Array]:
    """The derivative is the same function at the next index."""
    value = _elementwise(family, index, numbers, *tensors)
    places = [k for k, n in enumerate(numbers) if n is None]
    parts = [
        tangent * _elementwise(family, f"{index}{k}", numbers, *tensors)
        for k, tangent in zip(places, tangents, strict=True)
        if not isinstance(tangent, SymbolicZero)
    ]
    return value, sum(parts[1:], start=parts[0]) if parts else jnp.zeros_like(value)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _margin(axis: int, hot: Array | None, v: Array) -> Array:
    """`_softmax.margin`."""
    return _softmax.margin(_ops, v, hot, axis)


@_margin.defjvp
def _margin_jvp(axis: int, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    hot, v = primals
    _, tangent = tangents
    return _margin(axis, hot, v), _softmax.own(_ops, hot, axis, tangent) - _average(axis, hot, v, tangent)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _average(axis: int, hot: Array | None, v: Array, tangent: Array) -> Array:
    """`_softmax.average`, linear in the tangent."""
    return _softmax.average(_ops, v, hot, axis, tangent)


@_average.defjvp
def _average_jvp(axis: int, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    """A mean changes with its weights by a covariance."""
    hot, v, tangent = primals
    _, change, tangent_change = tangents
    mean = partial(_average, axis, hot, v)
    covariance = mean(tangent * change) - mean(tangent) * mean(change)
    return mean(tangent), mean(tangent_change) + covariance


# ---------------------------------------------------------------------------------------------------------------
# The backend
# ---------------------------------------------------------------------------------------------------------------


class _Jax(_JaxOps):
    """`_losses.Backend` for JAX."""

    def fused_binary(self, call: _losses.BinaryCall) -> Array | None:
        return None

    def fused_softmax(self, call: _losses.SoftmaxCall) -> Array | None:
        return None

    def prediction(self, y_pred: Any) -> Array:
        x = _array(y_pred)
        if jnp.issubdtype(x.dtype, jnp.complexfloating):
            raise TypeError(f"`y_pred` must be an array of real numbers, got dtype {x.dtype}")
        keep = jnp.issubdtype(x.dtype, jnp.floating) and hasattr(y_pred, "dtype")
        return x if keep else x.astype(jnp.float32)

    def labels(self, y_true: Any, like: Array) -> Array:
        y = _array(y_true)
        if jnp.issubdtype(y.dtype, jnp.complexfloating):
            raise TypeError(f"`y_true` must be an array of real numbers, got dtype {y.dtype}")
        return y

    def warn(self, message: str) -> None:
        warnings.warn(message, UserWarning, stacklevel=5)

    def parameter(self, value: Any, like: Array) -> float | Array:
        return value if isinstance(value, float) else jnp.asarray(value, _wide(like.dtype))

    def widen(self, x: Array) -> Array:
        return x.astype(_wide(x.dtype))

    def cast(self, x: Array, like: Array) -> Array:
        return x.astype(like.dtype)

    def kind(self, x: Array) -> Literal["bool", "integer", "floating"]:
        return "bool" if x.dtype == bool else "integer" if jnp.issubdtype(x.dtype, jnp.integer) else "floating"

    def shape(self, x: Array) -> Sequence[int]:
        return x.shape

    def readable(self, x: Array) -> bool:
        return not isinstance(x, jax.core.Tracer) and all(d.platform == "cpu" for d in x.devices())

    def to_numpy(self, x: Array) -> np.ndarray[Any, Any]:
        return np.asarray(x)

    def to_integer(self, x: Array) -> Array:
        """At least 32 bits wide: beside int8 the Python number 200 would wrap around to -56."""
        return x if jnp.issubdtype(x.dtype, jnp.integer) and x.dtype.itemsize >= 4 else x.astype(int)

    def length(self, x: Array, axis: int) -> int:
        return x.shape[axis]

    def classes(self, like: Array, axis: int) -> Array:
        return _positions(like, axis)

    def take(self, x: Array, index: Array) -> Array:
        return jnp.take(x, index)

    def expand(self, x: Array, axis: int) -> Array:
        return jnp.expand_dims(x, axis)

    def squeeze(self, x: Array, axis: int) -> Array:
        return jnp.squeeze(x, axis)

    def reshape(self, x: Array, shape: tuple[int, ...]) -> Array:
        return jnp.reshape(x, shape)

    def broadcast(self, *arrays: Array) -> Sequence[Array]:
        return jnp.broadcast_arrays(*arrays)

    def mean(self, x: Array, axis: int) -> Array:
        return jnp.mean(x, axis)

    def total(self, x: Array) -> Array:
        return jnp.sum(x)

    def elementwise(self, family: str, *arguments: Any) -> Array:
        numbers = tuple(a if isinstance(a, float) else None for a in arguments)
        tensors = jnp.broadcast_arrays(*(a for a in arguments if not isinstance(a, float)))
        return _elementwise(family, "", numbers, *tensors)

    def margin(self, v: Array, hot: Array | None, axis: int) -> Array:
        return _margin(axis, hot, v)

    def shares(self, x: Array, hot: Array | None, axis: int) -> tuple[Array, Array]:
        return _softmax.shares(self, x, hot, axis)


def _wide(dtype: Any) -> Any:
    return jnp.float32 if dtype.itemsize < 4 else dtype


def _array(value: Any) -> Array:
    if isinstance(value, Array) or not hasattr(value, "__array__"):
        return jnp.asarray(value)
    array = np.asarray(value)
    return jnp.asarray(array.astype(array.dtype.newbyteorder("="), copy=False))


_xp = _Jax()


# ---------------------------------------------------------------------------------------------------------------
# Functions
# ---------------------------------------------------------------------------------------------------------------


@documented("binary_focal_loss")
def binary_focal_loss(
    y_true: Any,
    y_pred: Any,
    gamma: Any,
    *,
    pos_weight: Any | None = None,
    from_logits: bool = False,
    label_smoothing: float | None = None,
) -> Array:
    """Focal loss of each binary example.

    {contract}

    Examples
    --------
    >>> from focal_loss.jax import binary_focal_loss
    >>> binary_focal_loss([0, 1, 1], [0.1, 0.7, 0.9], gamma=2).round(3)
    Array([0.001, 0.032, 0.001], dtype=float32)
    """
    return _losses.binary(_xp, y_true, y_pred, _spec.Binary(gamma, pos_weight, from_logits, label_smoothing))


@documented("categorical_focal_loss")
def categorical_focal_loss(
    y_true: Any,
    y_pred: Any,
    gamma: Any,
    *,
    class_weight: Any | None = None,
    from_logits: bool = False,
    label_smoothing: float | None = None,
    axis: int = -1,
) -> Array:
    """Softmax focal loss of dense labels.

    {contract}

    Examples
    --------
    >>> from focal_loss.jax import categorical_focal_loss
    >>> categorical_focal_loss([[1, 0, 0]], [[1.0, 0.0, -1.0]], gamma=2, from_logits=True).round(6)
    Array([0.045678], dtype=float32)
    """
    spec = _spec.Categorical(gamma, class_weight, from_logits, label_smoothing, axis)
    return _losses.categorical(_xp, y_true, y_pred, spec)


@documented("sparse_categorical_focal_loss")
def sparse_categorical_focal_loss(
    y_true: Any,
    y_pred: Any,
    gamma: Any,
    *,
    class_weight: Any | None = None,
    from_logits: bool = False,
    axis: int = -1,
    ignore_class: int | None = None,
) -> Array:
    """Softmax focal loss of class indices.

    {contract}

    Examples
    --------
    >>> from focal_loss.jax import sparse_categorical_focal_loss
    >>> y_pred = [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.2, 0.2, 0.6]]
    >>> sparse_categorical_focal_loss([0, 1, 2], y_pred, gamma=2).round(3)
    Array([0.009, 0.032, 0.082], dtype=float32)
    """
    spec = _spec.SparseCategorical(gamma, class_weight, from_logits, axis, ignore_class)
    return _losses.sparse_categorical(_xp, y_true, y_pred, spec)


@documented("binary_focal_crossentropy")
def binary_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    apply_class_balancing: bool = False,
    alpha: Any = 0.25,
    gamma: Any = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Array:
    """Binary focal cross-entropy, averaged over an axis, with the names and meanings of Keras.

    {contract}

    Examples
    --------
    >>> from focal_loss.jax import binary_focal_crossentropy
    >>> binary_focal_crossentropy([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]], gamma=2).round(6)
    Array([0.329865, 0.205798], dtype=float32)
    """
    spec = _spec.BinaryCrossentropy(apply_class_balancing, alpha, gamma, from_logits, label_smoothing, axis)
    return _losses.binary_mixed(_xp, y_true, y_pred, spec)


@documented("categorical_focal_crossentropy")
def categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: Any = 0.25,
    gamma: Any = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Array:
    """Softmax focal cross-entropy of dense labels, with the names and meanings of Keras.

    {contract}

    Examples
    --------
    >>> from focal_loss.jax import categorical_focal_crossentropy
    >>> categorical_focal_crossentropy([[0, 1, 0], [0, 0, 1]], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]]).round(2)
    Array([0.  , 0.47], dtype=float32)
    """
    spec = _spec.Categorical(gamma, alpha, from_logits, label_smoothing, axis, "alpha")
    return _losses.categorical(_xp, y_true, y_pred, spec)


@documented("sparse_categorical_focal_crossentropy")
def sparse_categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: Any = 0.25,
    gamma: Any = 2.0,
    from_logits: bool = False,
    axis: int = -1,
    ignore_class: int | None = None,
) -> Array:
    """Softmax focal cross-entropy of class indices, the sparse form of `categorical_focal_crossentropy`.

    {contract}

    Examples
    --------
    >>> from focal_loss.jax import sparse_categorical_focal_crossentropy
    >>> sparse_categorical_focal_crossentropy([1, 2], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]]).round(2)
    Array([0.  , 0.47], dtype=float32)
    """
    spec = _spec.SparseCategorical(gamma, alpha, from_logits, axis, ignore_class, "alpha")
    return _losses.sparse_categorical(_xp, y_true, y_pred, spec)


def sigmoid_focal_loss(logits: Any, labels: Any, *, alpha: Any = None, gamma: Any = 2.0) -> Array:
    """The focal loss of optax, under optax's signature.

    Same values, and derivatives that are right also in labels of 0 and 1.

    Parameters
    ----------
    logits : array_like, any shape
        Logits of the positive class.
    labels : array_like, a shape that broadcasts with `logits`
        Labels in [0, 1]; soft ones are mixed into p_t.
    alpha : float or array_like, optional
        In [0, 1]: the weight of the positives, 1 - `alpha` that of the negatives. None weighs nothing.
    gamma : float or array_like
        The focusing parameter, at least 0.

    Returns
    -------
    loss : Array
        The loss of each example, in the dtype of `logits`.

    Raises
    ------
    TypeError, ValueError
        As `binary_focal_crossentropy`.

    References
    ----------
    .. [1] T. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, "Focal loss for dense object detection", ICCV 2017,
       arXiv:1708.02002, equation 5.

    Examples
    --------
    >>> import jax
    >>> from focal_loss.jax import sigmoid_focal_loss
    >>> jax.grad(sigmoid_focal_loss)(0.0, 1.0).round(6)
    Array(-0.298287, dtype=float32, weak_type=True)
    """
    spec = _spec.BinaryCrossentropy(alpha is not None, 0.25 if alpha is None else alpha, gamma, from_logits=True)
    return _losses.binary_mixed(_xp, labels, logits, spec, average=False)
