"""The losses as functions of JAX arrays."""

from __future__ import annotations

from typing import Any

from jax import Array

from focal_loss._core import options, pipeline
from focal_loss._core.docs import documented
from focal_loss.jax._mesh import on_any_mesh
from focal_loss.jax._native import XP


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
    return on_any_mesh(
        pipeline.binary, XP, y_true, y_pred, options.Binary(gamma, pos_weight, from_logits, label_smoothing)
    )


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
    spec = options.Categorical(gamma, class_weight, from_logits, label_smoothing, axis)
    return on_any_mesh(pipeline.categorical, XP, y_true, y_pred, spec)


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
    spec = options.SparseCategorical(gamma, class_weight, from_logits, axis, ignore_class)
    return on_any_mesh(pipeline.sparse_categorical, XP, y_true, y_pred, spec)


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
    spec = options.BinaryCrossentropy(apply_class_balancing, alpha, gamma, from_logits, label_smoothing, axis)
    return on_any_mesh(pipeline.binary_mixed, XP, y_true, y_pred, spec)


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
    spec = options.Categorical(gamma, alpha, from_logits, label_smoothing, axis, "alpha")
    return on_any_mesh(pipeline.categorical, XP, y_true, y_pred, spec)


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
    spec = options.SparseCategorical(gamma, alpha, from_logits, axis, ignore_class, "alpha")
    return on_any_mesh(pipeline.sparse_categorical, XP, y_true, y_pred, spec)


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
    spec = options.BinaryCrossentropy(alpha is not None, 0.25 if alpha is None else alpha, gamma, from_logits=True)
    x = XP.prediction(logits, "logits")
    return on_any_mesh(pipeline.binary_mixed, XP, XP.labels(labels, x, "labels"), x, spec, average=False)
