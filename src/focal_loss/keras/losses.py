"""Focal losses as `keras.losses.Loss`, and as functions."""

from __future__ import annotations

from typing import Any

import keras
from keras.src.backend import set_keras_mask  # what Keras' own losses call; there is no public name

from focal_loss import _spec
from focal_loss._docs import documented
from focal_loss._functions import (
    binary_focal_crossentropy,
    binary_focal_loss,
    categorical_focal_crossentropy,
    categorical_focal_loss,
    sparse_categorical_focal_crossentropy,
    sparse_categorical_focal_loss,
)
from focal_loss._shapes import aligned
from focal_loss.keras._backend import backend_function, plain

__all__ = [
    "BinaryFocalCrossentropy",
    "BinaryFocalLoss",
    "CategoricalFocalCrossentropy",
    "CategoricalFocalLoss",
    "SparseCategoricalFocalCrossentropy",
    "SparseCategoricalFocalLoss",
    "binary_focal_crossentropy",
    "binary_focal_loss",
    "categorical_focal_crossentropy",
    "categorical_focal_loss",
    "sparse_categorical_focal_crossentropy",
    "sparse_categorical_focal_loss",
]

DATA = ("y_true", "y_pred")
KERAS = (
    "reduction : str or None\n    As in every Keras loss: 'sum_over_batch_size' is the mean over all examples.",
    "name : str\n    The name of the loss.",
    "dtype : str, optional\n    The dtype of the computation, Keras' `floatx` if None.",
)


class _FocalLoss(keras.losses.Loss):
    """A function of the backend with its options. Keras does masks, sample weights and the reduction."""

    loss_name = ""

    def __init__(self, options: dict[str, Any], reduction: str | None, name: str, dtype: Any) -> None:
        """Every option has been checked, by making a `_spec` of them."""
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self._options = options
        self._chosen_dtype = None if dtype is None else keras.dtype_policies.get(dtype).name

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Lists become tensors first: Keras would take them for a structure of many labels."""
        y_true, y_pred = (
            keras.ops.convert_to_tensor(y) if isinstance(y, (list, tuple)) else y for y in (y_true, y_pred)
        )
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return backend_function(self.loss_name)(*aligned(y_true, y_pred), **self._options)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dtype": self._chosen_dtype, **plain(self._options)}


class _SparseFocalLoss(_FocalLoss):
    """An ignored example counts neither in the loss nor in the number that the mean divides by."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        loss = backend_function(self.loss_name)(y_true, y_pred, **self._options)
        ignored = self._options["ignore_class"]
        if ignored is not None:
            valid = keras.ops.reshape(keras.ops.not_equal(y_true, ignored), keras.ops.shape(loss))
            set_keras_mask(loss, valid)
        return loss


@keras.saving.register_keras_serializable("focal_loss", "BinaryFocalLoss")
@documented("binary_focal_loss", *KERAS, without=DATA)
class BinaryFocalLoss(_FocalLoss):
    """`binary_focal_loss` as a Keras loss.

    {contract}

    Examples
    --------
    >>> from focal_loss.keras.losses import BinaryFocalLoss
    >>> loss = BinaryFocalLoss(gamma=2)
    >>> print(round(float(loss([0, 1, 1], [0.1, 0.7, 0.9])), 4))
    0.0114
    """

    loss_name = "binary_focal_loss"

    def __init__(
        self,
        gamma: Any,
        *,
        pos_weight: Any | None = None,
        from_logits: bool = False,
        label_smoothing: float | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str = "binary_focal_loss",
        dtype: Any = None,
    ) -> None:
        _spec.Binary(gamma, pos_weight, from_logits, label_smoothing)
        options = {
            "gamma": gamma,
            "pos_weight": pos_weight,
            "from_logits": from_logits,
            "label_smoothing": label_smoothing,
        }
        super().__init__(options, reduction, name, dtype)


@keras.saving.register_keras_serializable("focal_loss", "CategoricalFocalLoss")
@documented("categorical_focal_loss", *KERAS, without=DATA)
class CategoricalFocalLoss(_FocalLoss):
    """`categorical_focal_loss` as a Keras loss.

    {contract}

    Examples
    --------
    >>> from focal_loss.keras.losses import CategoricalFocalLoss
    >>> loss = CategoricalFocalLoss(gamma=2, from_logits=True)
    >>> print(round(float(loss([[1.0, 0.0, 0.0]], [[1.0, 0.0, -1.0]])), 4))
    0.0457
    """

    loss_name = "categorical_focal_loss"

    def __init__(
        self,
        gamma: Any,
        *,
        class_weight: Any | None = None,
        from_logits: bool = False,
        label_smoothing: float | None = None,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_focal_loss",
        dtype: Any = None,
    ) -> None:
        _spec.Categorical(gamma, class_weight, from_logits, label_smoothing, axis)
        options = {
            "gamma": gamma,
            "class_weight": class_weight,
            "from_logits": from_logits,
            "label_smoothing": label_smoothing,
            "axis": axis,
        }
        super().__init__(options, reduction, name, dtype)


@keras.saving.register_keras_serializable("focal_loss", "SparseCategoricalFocalLoss")
@documented("sparse_categorical_focal_loss", *KERAS, without=DATA)
class SparseCategoricalFocalLoss(_SparseFocalLoss):
    """`sparse_categorical_focal_loss` as a Keras loss.

    {contract}

    Examples
    --------
    >>> from focal_loss.keras.losses import SparseCategoricalFocalLoss
    >>> loss = SparseCategoricalFocalLoss(gamma=2)
    >>> print(round(float(loss([0, 1, 2], [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.2, 0.2, 0.6]])), 4))
    0.0409
    """

    loss_name = "sparse_categorical_focal_loss"

    def __init__(
        self,
        gamma: Any,
        class_weight: Any | None = None,
        from_logits: bool = False,
        axis: int = -1,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str = "sparse_categorical_focal_loss",
        dtype: Any = None,
    ) -> None:
        _spec.SparseCategorical(gamma, class_weight, from_logits, axis, ignore_class)
        options = {
            "gamma": gamma,
            "class_weight": class_weight,
            "from_logits": from_logits,
            "axis": axis,
            "ignore_class": ignore_class,
        }
        super().__init__(options, reduction, name, dtype)


@keras.saving.register_keras_serializable("focal_loss", "BinaryFocalCrossentropy")
@documented("binary_focal_crossentropy", *KERAS, without=DATA)
class BinaryFocalCrossentropy(_FocalLoss):
    """`binary_focal_crossentropy` as a Keras loss.

    {contract}

    Examples
    --------
    >>> from focal_loss.keras.losses import BinaryFocalCrossentropy
    >>> loss = BinaryFocalCrossentropy(gamma=2)
    >>> print(round(float(loss([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]])), 4))
    0.2678
    """

    loss_name = "binary_focal_crossentropy"

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: Any = 0.25,
        gamma: Any = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "binary_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        _spec.BinaryCrossentropy(apply_class_balancing, alpha, gamma, from_logits, label_smoothing, axis)
        options = {
            "apply_class_balancing": apply_class_balancing,
            "alpha": alpha,
            "gamma": gamma,
            "from_logits": from_logits,
            "label_smoothing": label_smoothing,
            "axis": axis,
        }
        super().__init__(options, reduction, name, dtype)


@keras.saving.register_keras_serializable("focal_loss", "CategoricalFocalCrossentropy")
@documented("categorical_focal_crossentropy", *KERAS, without=DATA)
class CategoricalFocalCrossentropy(_FocalLoss):
    """`categorical_focal_crossentropy` as a Keras loss.

    {contract}

    Examples
    --------
    >>> from focal_loss.keras.losses import CategoricalFocalCrossentropy
    >>> loss = CategoricalFocalCrossentropy()
    >>> print(round(float(loss([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [[0.05, 0.95, 0.0], [0.1, 0.8, 0.1]])), 4))
    0.2332
    """

    loss_name = "categorical_focal_crossentropy"

    def __init__(
        self,
        alpha: Any = 0.25,
        gamma: Any = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        _spec.Categorical(gamma, alpha, from_logits, label_smoothing, axis, "alpha")
        options = {
            "alpha": alpha,
            "gamma": gamma,
            "from_logits": from_logits,
            "label_smoothing": label_smoothing,
            "axis": axis,
        }
        super().__init__(options, reduction, name, dtype)


@keras.saving.register_keras_serializable("focal_loss", "SparseCategoricalFocalCrossentropy")
@documented("sparse_categorical_focal_crossentropy", *KERAS, without=DATA)
class SparseCategoricalFocalCrossentropy(_SparseFocalLoss):
    """`sparse_categorical_focal_crossentropy` as a Keras loss.

    {contract}

    Examples
    --------
    >>> from focal_loss.keras.losses import SparseCategoricalFocalCrossentropy
    >>> loss = SparseCategoricalFocalCrossentropy()
    >>> print(round(float(loss([1, 2], [[0.05, 0.95, 0.0], [0.1, 0.8, 0.1]])), 4))
    0.2332
    """

    loss_name = "sparse_categorical_focal_crossentropy"

    def __init__(
        self,
        alpha: Any = 0.25,
        gamma: Any = 2.0,
        from_logits: bool = False,
        axis: int = -1,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str = "sparse_categorical_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        _spec.SparseCategorical(gamma, alpha, from_logits, axis, ignore_class, "alpha")
        options = {
            "alpha": alpha,
            "gamma": gamma,
            "from_logits": from_logits,
            "axis": axis,
            "ignore_class": ignore_class,
        }
        super().__init__(options, reduction, name, dtype)
