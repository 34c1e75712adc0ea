"""The losses at top level: each goes to the module of the framework that it is handed."""

from __future__ import annotations

from typing import Any

from focal_loss._core.docs import documented
from focal_loss._dispatch.frameworks import module_for


@documented("binary_focal_loss")
def binary_focal_loss(
    y_true: Any,
    y_pred: Any,
    gamma: Any,
    *,
    pos_weight: Any | None = None,
    from_logits: bool = False,
    label_smoothing: float | None = None,
) -> Any:
    """Focal loss of each binary example.

    {contract}

    Examples
    --------
    A tensor of a framework decides; lists go to the backend that Keras is set to.

    >>> import torch
    >>> from focal_loss import binary_focal_loss
    >>> binary_focal_loss([0, 1, 1], torch.tensor([0.1, 0.7, 0.9]), gamma=2)
    tensor([0.0011, 0.0321, 0.0011])
    >>> binary_focal_loss([0, 1, 1], [0.1, 0.7, 0.9], gamma=2).numpy().round(3)
    array([0.001, 0.032, 0.001], dtype=float32)
    """
    module = module_for(y_true, y_pred, gamma, pos_weight)
    return module.binary_focal_loss(
        y_true, y_pred, gamma, pos_weight=pos_weight, from_logits=from_logits, label_smoothing=label_smoothing
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
) -> Any:
    """Softmax focal loss of dense labels.

    {contract}

    Examples
    --------
    >>> from focal_loss import categorical_focal_loss
    >>> categorical_focal_loss([[1, 0, 0]], [[1.0, 0.0, -1.0]], gamma=2, from_logits=True).numpy().round(6)
    array([0.045678], dtype=float32)
    """
    module = module_for(y_true, y_pred, gamma, class_weight)
    return module.categorical_focal_loss(
        y_true,
        y_pred,
        gamma,
        class_weight=class_weight,
        from_logits=from_logits,
        label_smoothing=label_smoothing,
        axis=axis,
    )


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
) -> Any:
    """Softmax focal loss of class indices.

    {contract}

    Examples
    --------
    >>> from focal_loss import sparse_categorical_focal_loss
    >>> y_pred = [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.2, 0.2, 0.6]]
    >>> sparse_categorical_focal_loss([0, 1, 2], y_pred, gamma=2).numpy().round(3)
    array([0.009, 0.032, 0.082], dtype=float32)
    """
    module = module_for(y_true, y_pred, gamma, class_weight)
    return module.sparse_categorical_focal_loss(
        y_true, y_pred, gamma, class_weight=class_weight, from_logits=from_logits, axis=axis, ignore_class=ignore_class
    )


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
) -> Any:
    """Binary focal cross-entropy, averaged over an axis, with the names and meanings of Keras.

    {contract}

    Examples
    --------
    >>> from focal_loss import binary_focal_crossentropy
    >>> binary_focal_crossentropy([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]], gamma=2).numpy().round(6)
    array([0.329865, 0.205798], dtype=float32)
    """
    module = module_for(y_true, y_pred, gamma, alpha)
    return module.binary_focal_crossentropy(
        y_true, y_pred, apply_class_balancing, alpha, gamma, from_logits, label_smoothing, axis
    )


@documented("categorical_focal_crossentropy")
def categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: Any = 0.25,
    gamma: Any = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """Softmax focal cross-entropy of dense labels, with the names and meanings of Keras.

    {contract}

    Examples
    --------
    >>> from focal_loss import categorical_focal_crossentropy
    >>> categorical_focal_crossentropy([[0, 1, 0], [0, 0, 1]], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]]).numpy().round(4)
    array([0.    , 0.4663], dtype=float32)
    """
    module = module_for(y_true, y_pred, gamma, alpha)
    return module.categorical_focal_crossentropy(y_true, y_pred, alpha, gamma, from_logits, label_smoothing, axis)


@documented("sparse_categorical_focal_crossentropy")
def sparse_categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: Any = 0.25,
    gamma: Any = 2.0,
    from_logits: bool = False,
    axis: int = -1,
    ignore_class: int | None = None,
) -> Any:
    """Softmax focal cross-entropy of class indices, the sparse form of `categorical_focal_crossentropy`.

    {contract}

    Examples
    --------
    >>> from focal_loss import sparse_categorical_focal_crossentropy
    >>> sparse_categorical_focal_crossentropy([1, 2], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]]).numpy().round(4)
    array([0.    , 0.4663], dtype=float32)
    """
    module = module_for(y_true, y_pred, gamma, alpha)
    return module.sparse_categorical_focal_crossentropy(y_true, y_pred, alpha, gamma, from_logits, axis, ignore_class)
