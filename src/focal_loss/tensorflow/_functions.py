"""The focal losses of TensorFlow tensors."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from focal_loss._core import options
from focal_loss._core.docs import documented
from focal_loss.tensorflow import _ranks
from focal_loss.tensorflow._backend import Tensor


@tf.autograph.experimental.do_not_convert
@documented("binary_focal_loss")
def binary_focal_loss(
    y_true: Any,
    y_pred: Any,
    gamma: Any,
    *,
    pos_weight: Any | None = None,
    from_logits: bool = False,
    label_smoothing: float | None = None,
) -> Tensor:
    """Focal loss of each binary example.

    {contract}

    Examples
    --------
    >>> from focal_loss.tensorflow import binary_focal_loss
    >>> binary_focal_loss([0, 1, 1], [0.1, 0.7, 0.9], gamma=2).numpy().round(3)
    array([0.001, 0.032, 0.001], dtype=float32)
    """
    return _ranks.binary(y_true, y_pred, options.Binary(gamma, pos_weight, from_logits, label_smoothing))


@tf.autograph.experimental.do_not_convert
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
) -> Tensor:
    """Softmax focal loss of dense labels.

    {contract}

    Examples
    --------
    >>> from focal_loss.tensorflow import categorical_focal_loss
    >>> categorical_focal_loss([[1, 0, 0]], [[1.0, 0.0, -1.0]], gamma=2, from_logits=True).numpy().round(6)
    array([0.045678], dtype=float32)
    """
    spec = options.Categorical(gamma, class_weight, from_logits, label_smoothing, axis)
    return _ranks.categorical(y_true, y_pred, spec)


@tf.autograph.experimental.do_not_convert
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
) -> Tensor:
    """Softmax focal loss of class indices.

    {contract}

    Examples
    --------
    >>> from focal_loss.tensorflow import sparse_categorical_focal_loss
    >>> y_pred = [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.2, 0.2, 0.6]]
    >>> sparse_categorical_focal_loss([0, 1, 2], y_pred, gamma=2).numpy().round(3)
    array([0.009, 0.032, 0.082], dtype=float32)
    """
    spec = options.SparseCategorical(gamma, class_weight, from_logits, axis, ignore_class)
    return _ranks.sparse_categorical(y_true, y_pred, spec)


@tf.autograph.experimental.do_not_convert
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
) -> Tensor:
    """Binary focal cross-entropy, averaged over an axis, with the names and meanings of Keras.

    {contract}

    Examples
    --------
    >>> from focal_loss.tensorflow import binary_focal_crossentropy
    >>> binary_focal_crossentropy([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]], gamma=2).numpy().round(6)
    array([0.329865, 0.205798], dtype=float32)
    """
    spec = options.BinaryCrossentropy(apply_class_balancing, alpha, gamma, from_logits, label_smoothing, axis)
    return _ranks.binary_mixed(y_true, y_pred, spec)


@tf.autograph.experimental.do_not_convert
@documented("categorical_focal_crossentropy")
def categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: Any = 0.25,
    gamma: Any = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """Softmax focal cross-entropy of dense labels, with the names and meanings of Keras.

    {contract}

    Examples
    --------
    >>> from focal_loss.tensorflow import categorical_focal_crossentropy
    >>> categorical_focal_crossentropy([[0, 1, 0], [0, 0, 1]], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]]).numpy().round(4)
    array([0.    , 0.4663], dtype=float32)
    """
    spec = options.Categorical(gamma, alpha, from_logits, label_smoothing, axis, "alpha")
    return _ranks.categorical(y_true, y_pred, spec)


@tf.autograph.experimental.do_not_convert
@documented("sparse_categorical_focal_crossentropy")
def sparse_categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: Any = 0.25,
    gamma: Any = 2.0,
    from_logits: bool = False,
    axis: int = -1,
    ignore_class: int | None = None,
) -> Tensor:
    """Softmax focal cross-entropy of class indices, the sparse form of `categorical_focal_crossentropy`.

    {contract}

    Examples
    --------
    >>> from focal_loss.tensorflow import sparse_categorical_focal_crossentropy
    >>> sparse_categorical_focal_crossentropy([1, 2], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]]).numpy().round(4)
    array([0.    , 0.4663], dtype=float32)
    """
    spec = options.SparseCategorical(gamma, alpha, from_logits, axis, ignore_class, "alpha")
    return _ranks.sparse_categorical(y_true, y_pred, spec)
