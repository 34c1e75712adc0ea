"""Focal losses of NumPy arrays, and their derivatives by themselves.

Everything array-like is accepted and NumPy arrays come back. Floating arrays keep their dtype; integers and lists
become float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focal_loss._core import checks, options, pipeline
from focal_loss._core.docs import documented
from focal_loss._core.shapes import normalize_axis
from focal_loss._core.warnings import warn
from focal_loss._host import derivatives, evaluate

__all__ = [
    "binary_focal_crossentropy",
    "binary_focal_loss",
    "binary_focal_loss_derivatives",
    "categorical_focal_crossentropy",
    "categorical_focal_loss",
    "sparse_categorical_focal_crossentropy",
    "sparse_categorical_focal_loss",
    "sparse_categorical_focal_loss_derivatives",
]

Array = Any


class _Numpy(evaluate.NumpyOps):
    """`pipeline.Backend` for NumPy."""

    def fused_binary(self, call: pipeline.BinaryCall) -> Array | None:
        done = evaluate.native_binary(*call[:7], order=0)
        if done is None:
            return None
        results, _, bad = done
        if bad >= 0:
            checks.check_labels(call.y, call.x)
        return results[0][()]

    def fused_softmax(self, call: pipeline.SoftmaxCall) -> Array | None:
        done = evaluate.native_softmax(*call[:8], order=0)
        if done is None:
            return None
        results, _, bad = done
        if bad >= 0:
            if call.sparse:
                checks.check_classes(call.y, call.x.shape[call.axis], call.ignore)
            else:
                checks.check_labels(call.y, dense=True)
        return results[0][()]

    def prediction(self, y_pred: Any, name: str = "y_pred") -> Array:
        array = checks.host_array(name, y_pred)
        from_list = not hasattr(y_pred, "dtype") and not hasattr(y_pred, "dtypes")
        return array.astype(np.float32) if from_list or array.dtype.kind in "biu" else array

    def labels(self, y_true: Any, like: Array, name: str = "y_true") -> Array:
        return checks.host_array(name, y_true)

    def warn(self, message: str, category: type[Warning] = UserWarning) -> None:
        warn(message, category)

    def parameter(self, name: str, value: Any, like: Array) -> Array:
        return value if isinstance(value, float) else checks.host_array(name, value).astype(np.float64)

    def kind(self, x: Array) -> Literal["bool", "integer", "floating"]:
        return "bool" if x.dtype.kind == "b" else "integer" if x.dtype.kind in "iu" else "floating"

    def shape(self, x: Array) -> tuple[int, ...]:
        return np.shape(x)

    def readable(self, x: Array) -> bool:
        return True

    def to_numpy(self, x: Array) -> Array:
        return np.asarray(x)

    def to_integer(self, x: Array) -> Array:
        return x if x.dtype.kind in "iu" else x.astype(np.int64)

    def length(self, x: Array, axis: int) -> int:
        return x.shape[axis]

    def classes(self, like: Array, axis: int) -> Array:
        return np.arange(like.shape[axis]).reshape((-1,) + (1,) * (like.ndim - axis - 1))

    def take(self, x: Array, index: Array) -> Array:
        return x[index]

    def expand(self, x: Array, axis: int) -> Array:
        return np.expand_dims(x, axis)

    def squeeze(self, x: Array, axis: int) -> Array:
        return np.squeeze(x, axis)

    def reshape(self, x: Array, shape: tuple[int, ...]) -> Array:
        return np.reshape(x, shape)

    def broadcast(self, *arrays: Array) -> Sequence[Array]:
        return np.broadcast_arrays(*arrays)

    def mean(self, x: Array, axis: int) -> Array:
        return np.mean(x, axis)

    def total(self, x: Array) -> Array:
        return np.sum(x)

    def elementwise(self, family: str, *arguments: Array) -> Array:
        return evaluate.elementwise(family, "", *arguments)

    def margin(self, v: Array, hot: Array | None, axis: int) -> Array:
        return evaluate.margin(v, hot, axis)

    def shares(self, x: Array, hot: Array | None, axis: int) -> tuple[Array, Array]:
        return evaluate.shares(x, hot, axis)


_xp = FORMULA = _Numpy()


@documented("binary_focal_loss")
def binary_focal_loss(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    gamma: ArrayLike,
    *,
    pos_weight: ArrayLike | None = None,
    from_logits: bool = False,
    label_smoothing: float | None = None,
) -> NDArray[Any]:
    """Focal loss of each binary example.

    {contract}

    Examples
    --------
    >>> from focal_loss.numpy import binary_focal_loss
    >>> binary_focal_loss([0, 1, 1], [0.1, 0.7, 0.9], gamma=2).round(3)
    array([0.001, 0.032, 0.001], dtype=float32)
    """
    return pipeline.binary(
        _xp, y_true, y_pred, options.checked(options.Binary, gamma, pos_weight, from_logits, label_smoothing)
    )


@documented("categorical_focal_loss")
def categorical_focal_loss(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    gamma: ArrayLike,
    *,
    class_weight: ArrayLike | None = None,
    from_logits: bool = False,
    label_smoothing: float | None = None,
    axis: int = -1,
) -> NDArray[Any]:
    """Softmax focal loss of dense labels.

    {contract}

    Examples
    --------
    >>> from focal_loss.numpy import categorical_focal_loss
    >>> categorical_focal_loss([[1, 0, 0]], [[1.0, 0.0, -1.0]], gamma=2, from_logits=True).round(6)
    array([0.045678], dtype=float32)
    """
    spec = options.checked(options.Categorical, gamma, class_weight, from_logits, label_smoothing, axis)
    return pipeline.categorical(_xp, y_true, y_pred, spec)


@documented("sparse_categorical_focal_loss")
def sparse_categorical_focal_loss(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    gamma: ArrayLike,
    *,
    class_weight: ArrayLike | None = None,
    from_logits: bool = False,
    axis: int = -1,
    ignore_class: int | None = None,
) -> NDArray[Any]:
    """Softmax focal loss of class indices.

    {contract}

    Examples
    --------
    >>> from focal_loss.numpy import sparse_categorical_focal_loss
    >>> y_pred = [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.2, 0.2, 0.6]]
    >>> sparse_categorical_focal_loss([0, 1, 2], y_pred, gamma=2).round(3)
    array([0.009, 0.032, 0.082], dtype=float32)
    """
    spec = options.checked(options.SparseCategorical, gamma, class_weight, from_logits, axis, ignore_class)
    return pipeline.sparse_categorical(_xp, y_true, y_pred, spec)


@documented("binary_focal_crossentropy")
def binary_focal_crossentropy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    apply_class_balancing: bool = False,
    alpha: ArrayLike = 0.25,
    gamma: ArrayLike = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> NDArray[Any]:
    """Binary focal cross-entropy, averaged over an axis, with the names and meanings of Keras.

    {contract}

    Examples
    --------
    >>> from focal_loss.numpy import binary_focal_crossentropy
    >>> binary_focal_crossentropy([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]], gamma=2).round(6)
    array([0.329865, 0.205798], dtype=float32)
    """
    spec = options.checked(
        options.BinaryCrossentropy, apply_class_balancing, alpha, gamma, from_logits, label_smoothing, axis
    )
    return pipeline.binary_mixed(_xp, y_true, y_pred, spec)


@documented("categorical_focal_crossentropy")
def categorical_focal_crossentropy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    alpha: ArrayLike = 0.25,
    gamma: ArrayLike = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> NDArray[Any]:
    """Softmax focal cross-entropy of dense labels, with the names and meanings of Keras.

    {contract}

    Examples
    --------
    >>> from focal_loss.numpy import categorical_focal_crossentropy
    >>> categorical_focal_crossentropy([[0, 1, 0], [0, 0, 1]], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]]).round(4)
    array([0.    , 0.4663], dtype=float32)
    """
    spec = options.checked(options.Categorical, gamma, alpha, from_logits, label_smoothing, axis, "alpha")
    return pipeline.categorical(_xp, y_true, y_pred, spec)


@documented("sparse_categorical_focal_crossentropy")
def sparse_categorical_focal_crossentropy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    alpha: ArrayLike = 0.25,
    gamma: ArrayLike = 2.0,
    from_logits: bool = False,
    axis: int = -1,
    ignore_class: int | None = None,
) -> NDArray[Any]:
    """Softmax focal cross-entropy of class indices, the sparse form of `categorical_focal_crossentropy`.

    {contract}

    Examples
    --------
    >>> from focal_loss.numpy import sparse_categorical_focal_crossentropy
    >>> sparse_categorical_focal_crossentropy([1, 2], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]]).round(4)
    array([0.    , 0.4663], dtype=float32)
    """
    spec = options.checked(options.SparseCategorical, gamma, alpha, from_logits, axis, ignore_class, "alpha")
    return pipeline.sparse_categorical(_xp, y_true, y_pred, spec)


def binary_focal_loss_derivatives(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    gamma: ArrayLike,
    *,
    pos_weight: ArrayLike | None = None,
    label_smoothing: float | None = None,
    hessian: derivatives.Hessian = "exact",
) -> derivatives.Derivatives:
    """Value, gradient and Hessian of the binary focal loss with respect to its logits.

    Parameters
    ----------
    y_true, y_pred, gamma, pos_weight, label_smoothing
        As in `binary_focal_loss`, with `y_pred` holding logits.
    hessian : {'exact', 'majorizer', 'relative_floor'}
        What the third result is. The Hessian itself is negative for the worst mistakes (below a margin of about -2.8
        at gamma = 2), where a Newton step would go uphill. The majorizer is the Hessian without its only negative
        term, q^g p [(2g+1) q + g^2 p L] for a hard label: positive, and nowhere below the Hessian. The relative
        floor is the Hessian where that is at least a quarter of the gradient's size, else that quarter.

    Returns
    -------
    value, gradient, hessian : named tuple of arrays, the shape to which the arguments broadcast
        The loss of each example, its first derivative in that example's logit, and its second or what stands in its
        place, in the dtype of `y_pred`.

    Raises
    ------
    TypeError, ValueError
        As `binary_focal_loss`.

    References
    ----------
    .. [1] T. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, "Focal loss for dense object detection", ICCV 2017,
       arXiv:1708.02002, appendix B.

    Examples
    --------
    >>> from focal_loss.numpy import binary_focal_loss_derivatives
    >>> value, gradient, hessian = binary_focal_loss_derivatives([1], [0.0], gamma=2)
    >>> value.round(6), gradient.round(6), hessian.round(6)
    (array([0.173287], dtype=float32), array([-0.298287], dtype=float32), array([0.399143], dtype=float32))
    """
    spec = options.checked(options.Binary, gamma, pos_weight, True, label_smoothing)
    policy = derivatives.hessian_of(hessian)
    x = _xp.prediction(y_pred)
    y, gamma, positive = pipeline.binary_inputs(_xp, y_true, x, spec)
    found = derivatives.binary(x, y, gamma, positive, smoothing=spec.label_smoothing or 0.0, hessian=policy)
    return derivatives.Derivatives(*(a[()] for a in found))


def sparse_categorical_focal_loss_derivatives(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    gamma: ArrayLike,
    *,
    class_weight: ArrayLike | None = None,
    axis: int = -1,
    hessian: derivatives.Hessian = "exact",
) -> derivatives.Derivatives:
    """Value, gradient and diagonal of the Hessian of the softmax focal loss with respect to its logits.

    Parameters
    ----------
    y_true, y_pred, gamma, class_weight, axis
        As in `sparse_categorical_focal_loss`, with `y_pred` holding logits.
    hessian : {'exact', 'majorizer', 'relative_floor'}
        What the third result is: the diagonal of the Hessian, the same with the majorizer in place of the second
        derivative in the margin of the true class (positive, and nowhere below it), or the diagonal where that is at
        least a quarter of the gradient's size, else that quarter.

    Returns
    -------
    value : array, the shape of `y_true`
        The loss of each example, in the dtype of `y_pred`.
    gradient, hessian : arrays, the shape of `y_pred`
        Its first derivative in each logit, which sums to 0 over the classes, and its second derivative in each
        logit by itself, or what stands in its place.

    Raises
    ------
    TypeError, ValueError
        As `sparse_categorical_focal_loss`.

    References
    ----------
    .. [1] T. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, "Focal loss for dense object detection", ICCV 2017,
       arXiv:1708.02002, appendix A.

    Examples
    --------
    >>> from focal_loss.numpy import sparse_categorical_focal_loss_derivatives
    >>> _, gradient, hessian = sparse_categorical_focal_loss_derivatives([0], [[1.0, 0.0, -1.0]], gamma=2)
    >>> gradient.round(6), hessian.round(6)
    (array([[-0.098288,  0.071854,  0.026434]], dtype=float32), array([[0.185294, 0.118354, 0.032727]], dtype=float32))
    """
    spec = options.checked(options.SparseCategorical, gamma, class_weight, True, axis)
    policy = derivatives.hessian_of(hessian)
    logits = _xp.prediction(y_pred)
    axis = normalize_axis(axis, logits.ndim)
    y = pipeline.class_labels(_xp, y_true, logits, axis)
    found = derivatives.softmax(logits, y, *pipeline.class_parameters(_xp, logits, axis, spec), axis, hessian=policy)
    return found._replace(value=found.value[()])
