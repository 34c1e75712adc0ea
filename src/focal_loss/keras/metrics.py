"""Focal losses as streaming metrics, and as functions."""

from __future__ import annotations

from typing import Any

import keras

from focal_loss._core.docs import documented
from focal_loss.keras._backend import mask_of, plain
from focal_loss.keras._examples import counted, mask_of_examples, pairs, product, unmasked, without_masked_labels
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
    "name : str\n    The name of the metric.",
    "dtype : str, optional\n    The dtype of the result.",
)


class _FocalMetric(WithOptions, keras.metrics.Mean):
    """The mean of a function of the backend over all examples since the last reset, by sample weight."""

    def __init__(self, options: dict[str, Any], name: str, dtype: Any) -> None:
        super().__init__(name=name, dtype=dtype)
        self._set_options(options)
        self._direction = "down"

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        y_true, y_pred, sample_weight = unmasked(y_true=y_true, y_pred=y_pred, sample_weight=sample_weight)
        mask = mask_of(y_pred)
        y_true = without_masked_labels(keras.ops.convert_to_tensor(y_true), mask)
        loss = self.compute(y_true, keras.ops.convert_to_tensor(y_pred, dtype=self.dtype))
        mask = mask_of_examples(loss, mask, self._counted(y_true, loss))
        return super().update_state(loss, product(sample_weight, mask, loss, self.dtype))

    def compute(self, y_true: Any, y_pred: Any) -> Any:
        return self._computed(*pairs(y_true, y_pred))

    def _counted(self, y_true: Any, loss: Any) -> Any:
        """A mask of the examples that count, by their labels; None if all do."""
        return None

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype, **plain(self._options)}


class _SparseFocalMetric(_FocalMetric):
    """An ignored example has no weight."""

    def compute(self, y_true: Any, y_pred: Any) -> Any:
        return self._computed(y_true, y_pred)

    def _counted(self, y_true: Any, loss: Any) -> Any:
        return counted(y_true, loss, self._options["ignore_class"])


@keras.saving.register_keras_serializable("focal_loss", "BinaryFocalLossMetric")
@documented("binary_focal_loss", *KERAS, without=DATA)
class BinaryFocalLoss(_FocalMetric):
    """`binary_focal_loss` as a Keras metric.

    {contract}

    Examples
    --------
    >>> from focal_loss.keras.metrics import BinaryFocalLoss
    >>> metric = BinaryFocalLoss(gamma=2)
    >>> metric.update_state([0, 1, 1], [0.1, 0.7, 0.9])
    >>> print(round(float(metric.result()), 4))
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
        name: str = "binary_focal_loss",
        dtype: Any = None,
    ) -> None:
        options = {
            "gamma": gamma,
            "pos_weight": pos_weight,
            "from_logits": from_logits,
            "label_smoothing": label_smoothing,
        }
        super().__init__(options, name, dtype)


@keras.saving.register_keras_serializable("focal_loss", "CategoricalFocalLossMetric")
@documented("categorical_focal_loss", *KERAS, without=DATA)
class CategoricalFocalLoss(_FocalMetric):
    """`categorical_focal_loss` as a Keras metric.

    {contract}

    Examples
    --------
    >>> from focal_loss.keras.metrics import CategoricalFocalLoss
    >>> metric = CategoricalFocalLoss(gamma=2, from_logits=True)
    >>> metric.update_state([[1.0, 0.0, 0.0]], [[1.0, 0.0, -1.0]])
    >>> print(round(float(metric.result()), 4))
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
        super().__init__(options, name, dtype)


@keras.saving.register_keras_serializable("focal_loss", "SparseCategoricalFocalLossMetric")
@documented("sparse_categorical_focal_loss", *KERAS, without=DATA)
class SparseCategoricalFocalLoss(_SparseFocalMetric):
    """`sparse_categorical_focal_loss` as a Keras metric.

    {contract}

    Examples
    --------
    >>> from focal_loss.keras.metrics import SparseCategoricalFocalLoss
    >>> metric = SparseCategoricalFocalLoss(gamma=2)
    >>> metric.update_state([0, 1, 2], [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.2, 0.2, 0.6]])
    >>> print(round(float(metric.result()), 4))
    0.0409
    """

    loss_name = "sparse_categorical_focal_loss"
    gamma, class_weight, from_logits, axis, ignore_class = Option(), Option(), Option(), Option(), Option()

    def __init__(
        self,
        gamma: Any,
        *,
        class_weight: Any | None = None,
        from_logits: bool = False,
        axis: int = -1,
        ignore_class: int | None = None,
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
        super().__init__(options, name, dtype)


@keras.saving.register_keras_serializable("focal_loss", "BinaryFocalCrossentropyMetric")
@documented("binary_focal_crossentropy", *KERAS, without=DATA)
class BinaryFocalCrossentropy(_FocalMetric):
    """`binary_focal_crossentropy` as a Keras metric.

    {contract}

    Examples
    --------
    >>> from focal_loss.keras.metrics import BinaryFocalCrossentropy
    >>> metric = BinaryFocalCrossentropy(gamma=2)
    >>> metric.update_state([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]])
    >>> print(round(float(metric.result()), 4))
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
        super().__init__(options, name, dtype)


@keras.saving.register_keras_serializable("focal_loss", "CategoricalFocalCrossentropyMetric")
@documented("categorical_focal_crossentropy", *KERAS, without=DATA)
class CategoricalFocalCrossentropy(_FocalMetric):
    """`categorical_focal_crossentropy` as a Keras metric.

    {contract}

    Examples
    --------
    >>> from focal_loss.keras.metrics import CategoricalFocalCrossentropy
    >>> metric = CategoricalFocalCrossentropy()
    >>> metric.update_state([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [[0.05, 0.95, 0.0], [0.1, 0.8, 0.1]])
    >>> print(round(float(metric.result()), 4))
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
        super().__init__(options, name, dtype)


@keras.saving.register_keras_serializable("focal_loss", "SparseCategoricalFocalCrossentropyMetric")
@documented("sparse_categorical_focal_crossentropy", *KERAS, without=DATA)
class SparseCategoricalFocalCrossentropy(_SparseFocalMetric):
    """`sparse_categorical_focal_crossentropy` as a Keras metric.

    {contract}

    Examples
    --------
    >>> from focal_loss.keras.metrics import SparseCategoricalFocalCrossentropy
    >>> metric = SparseCategoricalFocalCrossentropy()
    >>> metric.update_state([1, 2], [[0.05, 0.95, 0.0], [0.1, 0.8, 0.1]])
    >>> print(round(float(metric.result()), 4))
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
        super().__init__(options, name, dtype)
