"""Focal losses as `keras.losses.Loss`, and as functions."""

from __future__ import annotations

from typing import Any

import keras

from focal_loss._core.docs import documented
from focal_loss.keras._backend import mask_of, plain
from focal_loss.keras._examples import (
    by_share_of_valid,
    counted,
    mask_of_examples,
    pairs,
    product,
    unmasked,
    without_masked_labels,
)
from focal_loss.keras._functions import (
    binary_focal_crossentropy,
    binary_focal_loss,
    categorical_focal_crossentropy,
    categorical_focal_loss,
    sparse_categorical_focal_crossentropy,
    sparse_categorical_focal_loss,
)
from focal_loss.keras._options import Option, WithOptions

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


class _Reduction(keras.losses.Loss):
    """Keras' own weights and reduction, of losses that are at hand."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return y_pred


class _FocalLoss(WithOptions, keras.losses.Loss):
    """A function of the backend with its options. Keras does the reduction, in float32 or wider."""

    def __init__(self, options: dict[str, Any], reduction: str | None, name: str, dtype: Any) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self._set_options(options)
        self._chosen_dtype = None if dtype is None else keras.dtype_policies.get(dtype).name
        self._wide = "float32" if self.dtype in ("float16", "bfloat16") else self.dtype
        self._reduction = _Reduction(name, reduction, self._wide)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """As in `keras.losses.Loss`, but labels keep their dtype, and weights and masks belong to the examples.

        A dtype of 8 significant bits has no class 257, and one of 16 bits no sum of a large batch.
        """
        y_true, y_pred, sample_weight = unmasked(y_true=y_true, y_pred=y_pred, sample_weight=sample_weight)
        mask = mask_of(y_pred)
        with keras.name_scope(self.name):
            y_true = without_masked_labels(keras.ops.convert_to_tensor(y_true), mask)
            y_pred = keras.ops.cast(keras.ops.convert_to_tensor(y_pred, dtype=self.dtype), self._wide)
            loss = self.call(y_true, y_pred)
            mask = mask_of_examples(loss, mask, self._counted(y_true, loss))
            if mask is not None and self.reduction in ("sum_over_batch_size", "mean"):
                mask = by_share_of_valid(mask, self._wide)
            weight = product(sample_weight, mask, loss, self._wide)
            if weight is not None and self.reduction == "mean_with_sample_weight":  # Keras divides by the sum of it
                weight = keras.ops.broadcast_to(weight, keras.ops.shape(loss))
        self._reduction.reduction = self.reduction  # an attribute that may have been set since
        return keras.ops.cast(self._reduction(loss, loss, weight), self.dtype)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self._computed(*pairs(y_true, y_pred))

    def _counted(self, y_true: Any, loss: Any) -> Any:
        """A mask of the examples that count, by their labels; None if all do."""
        return None

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dtype": self._chosen_dtype, **plain(self._options)}


class _SparseFocalLoss(_FocalLoss):
    """An ignored example counts neither in the loss nor in the number that the mean divides by."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self._computed(y_true, y_pred)

    def _counted(self, y_true: Any, loss: Any) -> Any:
        return counted(y_true, loss, self._options["ignore_class"])


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
    gamma, pos_weight, from_logits, label_smoothing = Option(), Option(), Option(), Option()

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
    gamma, class_weight, from_logits, label_smoothing, axis = Option(), Option(), Option(), Option(), Option()

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
    gamma, class_weight, from_logits, axis, ignore_class = Option(), Option(), Option(), Option(), Option()

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
    apply_class_balancing, alpha, gamma, from_logits, label_smoothing, axis = (Option() for _ in range(6))

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
    alpha, gamma, from_logits, label_smoothing, axis = Option(), Option(), Option(), Option(), Option()

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
    alpha, gamma, from_logits, axis, ignore_class = Option(), Option(), Option(), Option(), Option()

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
        options = {
            "alpha": alpha,
            "gamma": gamma,
            "from_logits": from_logits,
            "axis": axis,
            "ignore_class": ignore_class,
        }
        super().__init__(options, reduction, name, dtype)
