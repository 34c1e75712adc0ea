"""Focal losses as streaming metrics, and as functions."""

from __future__ import annotations

from typing import Any

import keras

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
    "name : str\n    The name of the metric.",
    "dtype : str, optional\n    The dtype of the result.",
)


class _FocalMetric(keras.metrics.MeanMetricWrapper):
    """The mean of a function of the backend over all examples since the last reset, by sample weight."""

    loss_name = ""

    def __init__(self, options: dict[str, Any], name: str, dtype: Any) -> None:
        """Every option has been checked, by making a `_spec` of them."""
        super().__init__(self.compute, name=name, dtype=dtype)
        self._options = options
        self._direction = "down"

    def compute(self, y_true: Any, y_pred: Any) -> Any:
        y_pred = keras.ops.convert_to_tensor(y_pred, dtype=self.dtype)
        return backend_function(self.loss_name)(*aligned(keras.ops.convert_to_tensor(y_true), y_pred), **self._options)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype, **plain(self._options)}


class _SparseFocalMetric(_FocalMetric):
    """An ignored example has no weight."""

    def compute(self, y_true: Any, y_pred: Any) -> Any:
        y_pred = keras.ops.convert_to_tensor(y_pred, dtype=self.dtype)
        return backend_function(self.loss_name)(keras.ops.convert_to_tensor(y_true), y_pred, **self._options)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        ignored = self._options["ignore_class"]
        if ignored is not None:
            shape = list(keras.ops.shape(y_pred))
            del shape[self._options["axis"]]
            valid = keras.ops.reshape(keras.ops.not_equal(y_true, ignored), shape)
            weight = keras.ops.cast(valid, self.dtype)
            if sample_weight is not None:
                sample_weight = keras.ops.convert_to_tensor(sample_weight, dtype=self.dtype)
                if len(sample_weight.shape) > len(weight.shape):
                    sample_weight = sample_weight[..., 0]
                missing = len(weight.shape) - len(sample_weight.shape)
                weight = weight * keras.ops.reshape(sample_weight, (*sample_weight.shape, *(1,) * missing))
            sample_weight = weight
        return super().update_state(y_true, y_pred, sample_weight)


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
        _spec.Binary(gamma, pos_weight, from_logits, label_smoothing)
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
        _spec.Categorical(gamma, class_weight, from_logits, label_smoothing, axis)
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
        _spec.SparseCategorical(gamma, class_weight, from_logits, axis, ignore_class)
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
        _spec.BinaryCrossentropy(apply_class_balancing, alpha, gamma, from_logits, label_smoothing, axis)
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
        _spec.Categorical(gamma, alpha, from_logits, label_smoothing, axis, "alpha")
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
        _spec.SparseCategorical(gamma, alpha, from_logits, axis, ignore_class, "alpha")
        options = {
            "alpha": alpha,
            "gamma": gamma,
            "from_logits": from_logits,
            "axis": axis,
            "ignore_class": ignore_class,
        }
        super().__init__(options, name, dtype)
