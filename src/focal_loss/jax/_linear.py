"""A last layer and its softmax focal loss in one: only a few rows of the logits exist at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.custom_derivatives import SymbolicZero

from focal_loss._core import checks, options, softmax_losses
from focal_loss._core.losses.sparse_categorical_focal_loss import Options as SparseOptions
from focal_loss._core.names import answering
from focal_loss._core.options import ParameterLike, Reduction
from focal_loss._core.shapes import check_linear, chunking
from focal_loss.jax._backend import at_least_float32
from focal_loss.jax._mesh import merged, on_automatic_axes, split_of
from focal_loss.jax._native import XP, as_array, static_number


# <doors: head> Written by tools/doors.py; `make doors` writes it anew.
@answering
def linear_sparse_categorical_focal_loss(
    hidden: Any,
    weight: Any,
    y_true: Any,
    gamma: ParameterLike,
    *,
    bias: Any | None = None,
    class_weight: ParameterLike | None = None,
    ignore_class: int | None = None,
    label_smoothing: float | None = None,
    reduction: Reduction = "mean",
) -> Array:
    """Softmax focal loss of a linear layer, without its logits in memory: for many classes, or tokens of a language.

    It equals ``sparse_categorical_focal_loss(y_true, hidden @ weight.T + bias, gamma, from_logits=True, ...)``.
    Under `jax.grad` a mean or a sum computes its gradients at once, chunk by chunk in a `jax.lax.scan`; they are all
    that is kept. In half precision the gradients of weight and bias are added up in float32, and a mean or a sum is
    float32. The loss is differentiable in `hidden`, `weight` and `bias`, twice if it is a mean or a sum. Rows of
    `hidden` and classes of `weight` that are sharded over devices stay where they are, and so do their gradients.

    Parameters
    ----------
    hidden : floating tensor, shape (..., D)
        The inputs of the last layer.
    weight : floating tensor, shape (K, D), the dtype of `hidden`
        The weight of the last layer, whose logits are ``hidden @ weight.T + bias``.
    y_true : tensor of int, shape (...)
        Class indices in [0, K).
    gamma : float or array_like, shape (), (K,) or (..., 1)
        The focusing parameter, at least 0. The higher it is, the less an easy example counts; 0 is cross-entropy. A
        vector is one for each class; an array with the axes of `hidden`, of length 1 in place of D, is one for each
        example.
    bias : floating tensor, shape (K,), optional
        The bias of the last layer.
    class_weight : float or array_like, shape () or (K,), optional
        The weight of each class. 1 if None.
    ignore_class : int, optional
        Examples with this label cost 0 and have a gradient of zeros, whatever their prediction. It need not be a class.
    label_smoothing : float, optional
        The amount a, in [0, 1]. An index counts as the labels ``(1 - a) * one_hot + a / K``, in the focal factor as in
        the logarithm: the loss is that of all K classes.
    reduction : {'none', 'mean', 'sum'}
        How to reduce the losses. The mean is over the examples that are not ignored, and 0 where there are none. A mean
        or a sum of half precision is float32.

    Returns
    -------
    loss : a number, or an array of the shape of `y_true` if `reduction` is 'none'
        The dtype is that of `hidden`. float16 and bfloat16 are computed in float32 and rounded once.

    Raises
    ------
    TypeError
        If an option has the wrong type, or labels or predictions are not real numbers.
    ValueError
        If an option or a class index is out of range, or if shapes do not match. Indices are read where that costs
        little: eagerly, on the host, unless `focal_loss.set_checks` turns that off. Elsewhere the loss of such an
        example is NaN.

    Notes
    -----
    Domain: `y_true` in 0 .. K-1; the logits real, linked by the softmax. The loss
    is ``weight_t * (1 - p_t)**gamma_t * -log(p_t)`` [1]_ of the true class t, where 1 - p_t is a sum over the other
    classes; with `label_smoothing` the sum of such terms over all classes, each times its smoothed label. No one-hot
    labels are made.

    References
    ----------
    .. [1] T. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, "Focal loss for dense object detection", ICCV 2017,
       arXiv:1708.02002, equations 4 and 5.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from focal_loss.jax import linear_sparse_categorical_focal_loss
    >>> y_true = jnp.array([1, 2, 3, 999])
    >>> loss = lambda weight: linear_sparse_categorical_focal_loss(jnp.zeros((4, 8)), weight, y_true, gamma=2)
    >>> value, gradient = jax.value_and_grad(loss)(jnp.ones((1000, 8)))
    >>> round(float(value), 3), gradient.shape
    (6.894, (1000, 8))
    """
    # </doors: head>
    spec = SparseOptions(
        gamma=gamma,
        class_weight=class_weight,
        from_logits=True,
        ignore_class=ignore_class,
        label_smoothing=label_smoothing,
    )
    x, w = XP.prediction(hidden, "hidden"), XP.prediction(weight, "weight")
    b = None if bias is None else XP.prediction(bias, "bias")
    y = XP.labels(y_true, x)
    check_linear(x.shape, w.shape, None if b is None else b.shape, y.shape)
    checks.check_exact(y.dtype, w.shape[0])
    if XP.readable(y):
        checks.check_classes(XP.to_numpy(y), w.shape[0], spec.ignore_class)
    parameters = softmax_losses.of_classes(
        XP,
        XP.parameter("gamma", spec.gamma, x),
        XP.parameter("class_weight", spec.class_weight, x),
        (*y.shape, w.shape[0]),
        y.ndim,
        spec.weight_name,
    )
    problem = _Problem(
        static_number(parameters[0]), spec.ignore_class, spec.label_smoothing, options.reduction(reduction)
    )
    given = _Inputs(x, w, b, y, *(as_array(p, at_least_float32(x.dtype)) for p in parameters))._asdict()

    def computed(**arrays: Array) -> Array:
        inputs = _Inputs(**(given | arrays))
        flat = inputs._replace(hidden=inputs.hidden.reshape(-1, x.shape[-1]), y=inputs.y.reshape(-1))
        if flat.gamma.ndim > 1:
            flat = flat._replace(gamma=jnp.broadcast_to(flat.gamma, (*y.shape, 1)).reshape(-1, 1))
        return _linear(problem, flat).reshape(y.shape if reduction == "none" else ())

    split = merged([split_of(x)[:-1], split_of(y)]) if reduction == "none" else []
    # Unreduced rows recompute their chunks already, and JAX cannot do that twice inside a `shard_map`.
    return on_automatic_axes(computed, given, lambda: split, again=reduction != "none")


class _Problem(NamedTuple):
    """The parameters of the loss that are not arrays."""

    gamma: float | None  # None where it is an array
    ignore: int | None
    smoothing: float
    reduction: options.Reduction


class _Inputs(NamedTuple):
    hidden: Array  # (N, D)
    weight: Array
    bias: Array | None
    y: Array  # (N,)
    gamma: Array  # (), (K,) or (N, 1)
    class_weight: Array  # () or (K,)

    @property
    def gamma_of_rows(self) -> tuple[Array, ...]:
        """Gamma, if there is one for each row."""
        return (self.gamma,) if self.gamma.ndim > 1 else ()


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _linear(problem: _Problem, inputs: _Inputs) -> Array:
    value = _values(problem, inputs)
    return value if problem.reduction == "none" else _at_least_float32(value).sum() * _reduction_weight(problem, inputs)


@partial(_linear.defjvp, symbolic_zeros=True)
def _linear_jvp(problem: _Problem, primals: tuple[_Inputs], tangents: tuple[_Inputs]) -> tuple[Array, Array]:
    """A rule that is linear in the tangents, so that both modes are right. In reverse mode a reduced loss returns
    stored gradients.

    The gradients are computed here, in one pass with the value. Unreduced rows are differentiated chunk by chunk.
    """
    (inputs,), (changes,) = primals, tangents
    live = _live(changes)
    for name in ("gamma", "class_weight"):
        if name in live:
            raise ValueError(f"`{name}` cannot be differentiated here; take `sparse_categorical_focal_loss` for that")
    if problem.reduction == "none":
        return _jvp(partial(_values, problem), _once(inputs), live)
    total, gradients = _gradients(problem, inputs)
    reduction_weight = _reduction_weight(problem, inputs)
    parts = [
        (_at_least_float32(gradients[k]) * (_at_least_float32(t) * reduction_weight)).sum() for k, t in live.items()
    ]
    return total * reduction_weight, sum(parts, start=jnp.zeros_like(total))


@jax.custom_jvp
def _once(inputs: _Inputs) -> _Inputs:
    """The inputs themselves, in which a further derivative is refused."""
    return inputs


@partial(_once.defjvp, symbolic_zeros=True)
def _once_jvp(primals: tuple[_Inputs], tangents: tuple[_Inputs]) -> tuple[_Inputs, _Inputs]:
    if _live(tangents[0]):
        raise NotImplementedError(
            "the fused linear loss gives first derivatives of its rows; take `sparse_categorical_focal_loss` of the "
            "logits, or `reduction='sum'`, for second ones"
        )
    return primals[0], tangents[0]


def _live(changes: _Inputs) -> dict[str, Array]:
    """The tangents that are not zero."""
    return {k: t for k, t in changes._asdict().items() if t is not None and not isinstance(t, SymbolicZero)}


def _jvp(function: Callable[[_Inputs], Any], inputs: _Inputs, live: dict[str, Array]) -> Any:
    """`jax.jvp` in the inputs that have a tangent."""
    chosen = {k: getattr(inputs, k) for k in live}
    return jax.jvp(lambda given: function(inputs._replace(**given)), (chosen,), (live,))


def _at_least_float32(x: Array) -> Array:
    return x.astype(at_least_float32(x.dtype))


def _reduction_weight(problem: _Problem, inputs: _Inputs) -> Array | float:
    """Factor of the sum of the losses under the reduction."""
    y = inputs.y
    if problem.reduction == "sum":
        return 1.0
    if problem.ignore is None:
        return 1 / max(y.size, 1)
    y = y.astype(jnp.int32) if y.dtype.itemsize < 4 else y  # in uint8, -100 would be 156
    return 1 / jnp.maximum((y != problem.ignore).sum(), 1).astype(at_least_float32(inputs.hidden.dtype))


def _losses_of(problem: _Problem, inputs: _Inputs, logits: Array, y: Array, *gamma_of_rows: Array) -> Array:
    gamma = (*gamma_of_rows, inputs.gamma)[0] if problem.gamma is None else problem.gamma
    spec = SparseOptions(
        gamma=gamma,
        class_weight=inputs.class_weight,
        from_logits=True,
        ignore_class=problem.ignore,
        label_smoothing=problem.smoothing,
    )
    return softmax_losses.sparse_categorical(XP, y, logits, spec)


def _logits(hidden: Array, weight: Array, bias: Array | None) -> Array:
    logits = hidden @ weight.T
    return logits if bias is None else logits + bias[None]


# ---------------------------------------------------------------------------------------------------------------
# Chunks
# ---------------------------------------------------------------------------------------------------------------


def _chunks(inputs: _Inputs, *per_row: Array) -> tuple[Array, ...]:
    """Arrays cut into chunks of rows, (chunks, rows, ...), padded with zeros.

    Neighboring rows go to different chunks, so that a device that holds a run of rows has its part of each chunk.
    """
    chunks, rows = chunking(len(inputs.hidden), inputs.hidden.shape[1], len(inputs.weight))
    missing = chunks * rows - len(inputs.hidden)
    padded = (jnp.pad(a, [(0, missing)] + [(0, 0)] * (a.ndim - 1)) for a in (inputs.hidden, *per_row))
    return tuple(a.reshape(rows, chunks, *a.shape[1:]).swapaxes(0, 1) for a in padded)


def _rows(chunks: Array, count: int) -> Array:
    return chunks.swapaxes(0, 1).reshape(-1, *chunks.shape[2:])[:count]


@partial(jax.jit, static_argnums=0)
def _values(problem: _Problem, inputs: _Inputs) -> Array:
    """The loss of each row. Derivatives in weight and bias are summed in the dtype of the copies made here, at least
    float32.
    """
    weight, bias = (None if t is None else _at_least_float32(t) for t in (inputs.weight, inputs.bias))

    @jax.checkpoint
    def chunk(given: tuple[Array, ...]) -> Array:
        hidden, *of_rows = given
        narrow = (None if t is None else t.astype(inputs.weight.dtype) for t in (weight, bias))
        logits = _logits(hidden, *narrow)
        wide = logits if problem.reduction == "none" else _at_least_float32(logits)
        return _losses_of(problem, inputs, wide, *of_rows)

    return _rows(jax.lax.map(chunk, _chunks(inputs, inputs.y, *inputs.gamma_of_rows)), len(inputs.y))


@partial(jax.custom_jvp, nondiff_argnums=(0,))
@partial(jax.jit, static_argnums=0)
def _gradients(problem: _Problem, inputs: _Inputs) -> tuple[Array, dict[str, Array | None]]:
    """The sum of the losses, and its gradients. Padding rows do not count."""
    weight, bias = inputs.weight, inputs.bias

    def chunk(sums: tuple[Array, Array, Array | None], given: tuple[Array, ...]) -> tuple[Any, Array]:
        total, in_weight, in_bias = sums
        h, there, *of_rows = given
        value, vjp = jax.vjp(
            lambda v: _losses_of(problem, inputs, _at_least_float32(v), *of_rows), _logits(h, weight, bias)
        )
        (slope,) = vjp(there.astype(value.dtype))
        in_weight += jnp.matmul(slope.T, h, preferred_element_type=in_weight.dtype)
        in_bias = None if in_bias is None else in_bias + slope.sum(0, dtype=in_bias.dtype)
        total += jnp.where(there, value, 0).sum()
        return (total, in_weight, in_bias), slope @ weight

    dtype = at_least_float32(inputs.hidden.dtype)
    shapes = (), weight.shape, None if bias is None else bias.shape
    start = tuple(None if shape is None else _varying(jnp.zeros(shape, dtype), inputs) for shape in shapes)
    there = _varying(jnp.ones(inputs.y.shape), inputs) > 0
    (total, in_weight, in_bias), in_hidden = jax.lax.scan(
        chunk, start, _chunks(inputs, there, inputs.y, *inputs.gamma_of_rows)
    )
    return total, {"hidden": _rows(in_hidden, len(inputs.y)), "weight": in_weight, "bias": in_bias}


@partial(_gradients.defjvp, symbolic_zeros=True)
def _gradients_jvp(problem: _Problem, primals: tuple[_Inputs], tangents: tuple[_Inputs]) -> Any:
    """The derivative by the rules of the inner functions, which JAX drops where it takes apart a program without a rule
    of its own.
    """
    return _jvp(partial(_gradients.fun, problem), primals[0], _live(tangents[0]))


def _varying(x: Array, inputs: _Inputs) -> Array:
    """x with the type of a sum over the inputs, which inside `shard_map` says over which devices it differs."""
    arrays = [a for a in jax.tree.leaves(inputs) if a.size and jax.typeof(a).sharding.mesh.manual_axes]
    return sum((jnp.where(False, a.ravel()[0], 0).astype(x.dtype) for a in arrays), start=x)
