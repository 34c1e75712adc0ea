"""Objectives and metrics in the forms that `xgboost.train` and its estimators call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from focal_loss._boosting import objective
from focal_loss._boosting.docs import documented

Array = Any

OVERLAP = 2.0  # XGBoost's own factor on the Hessian of its softmax objective
START = """The booster starts at a score of 0.5, or at the `base_score` or `base_margin` that it is given:"""

# Every callable here takes `(scores, data)`, as `xgboost.train` calls it, and `(y_true, y_pred, sample_weight)`, as the
# estimators do. These look for a parameter of the name `sample_weight`, and name a metric by its `__name__`.


@dataclass(frozen=True)
class Objective:
    loss: objective.BinaryLoss | objective.CategoricalLoss

    def __call__(self, y_true: Array, y_pred: Array, sample_weight: Array | None = None) -> tuple[Array, Array]:
        labels, scores, weight = objective.either(y_true, y_pred, sample_weight)  # XGBoost's memory, no copies
        if isinstance(self.loss, objective.BinaryLoss):
            return self.loss.derivatives(scores, labels, weight)
        return self.loss.derivatives(scores, labels, weight, overlap=OVERLAP)


@dataclass(frozen=True)
class _Metric:
    loss: objective.BinaryLoss | objective.CategoricalLoss
    __name__: str
    of_scores: ClassVar[bool] = True  # for our classifier, which hands probabilities to other functions

    def __call__(self, y_true: Array, y_pred: Array, sample_weight: Array | None = None) -> Any:
        labels, scores, weight = objective.either(y_true, y_pred, sample_weight)
        value = self.loss.mean(scores, labels, weight)
        return (self.__name__, value) if hasattr(y_pred, "get_label") else value


@documented("binary_focal_objective", start=START)
def binary_focal_objective(gamma: float, *, pos_weight: float | None = None, hessian: str = "majorizer") -> Any:
    """Binary focal loss as an objective for ``xgboost.train(..., obj=...)``.

    {contract}

    Examples
    --------
    >>> from focal_loss.xgboost import binary_focal_objective
    >>> import numpy as np, xgboost
    >>> data = xgboost.DMatrix(np.arange(100.0)[:, None], np.arange(100) > 90)
    >>> booster = xgboost.train({"base_score": -1.1}, data, 20, obj=binary_focal_objective(gamma=2))
    >>> booster.predict(xgboost.DMatrix([[5.0], [95.0]])).round(1)
    array([-2.1,  1.1], dtype=float32)
    """
    return Objective(objective.binary_loss(gamma, pos_weight, hessian))


@documented("categorical_focal_objective", start=START)
def categorical_focal_objective(gamma: Any, *, class_weight: Any = None, hessian: str = "majorizer") -> Any:
    """Softmax focal loss as an objective for ``xgboost.train({"num_class": K}, ..., obj=...)``.

    {contract}

    Examples
    --------
    >>> from focal_loss.xgboost import categorical_focal_objective
    >>> import numpy as np, xgboost
    >>> data = xgboost.DMatrix(np.arange(99.0)[:, None], np.arange(99) // 33)
    >>> booster = xgboost.train({"num_class": 3}, data, 20, obj=categorical_focal_objective(gamma=2))
    >>> booster.predict(xgboost.DMatrix([[5.0], [50.0], [95.0]]), output_margin=True).argmax(axis=1)
    array([0, 1, 2])
    """
    return Objective(objective.categorical_loss(gamma, class_weight, hessian))


@documented("binary_focal_metric")
def binary_focal_metric(gamma: float, *, pos_weight: float | None = None, name: str | None = None) -> Any:
    """Binary focal loss of raw scores as a metric for ``xgboost.train(..., obj=..., custom_metric=...)``.

    {contract}

    Examples
    --------
    >>> from focal_loss.xgboost import binary_focal_metric
    >>> import numpy as np, xgboost
    >>> data = xgboost.DMatrix(np.zeros((2, 1)), [0, 1])
    >>> shown, value = binary_focal_metric(gamma=2)(np.array([0.0, 0.0]), data)
    >>> shown, round(value, 5)
    ('focal_loss(gamma=2)', 0.17329)
    """
    loss = objective.binary_loss(gamma, pos_weight)
    return _Metric(loss, objective.metric_name(name, gamma=loss.gamma, pos_weight=loss.positive))


@documented("categorical_focal_metric")
def categorical_focal_metric(gamma: Any, *, class_weight: Any = None, name: str | None = None) -> Any:
    """Softmax focal loss of raw scores as a metric for ``xgboost.train(..., obj=..., custom_metric=...)``.

    {contract}

    Examples
    --------
    >>> from focal_loss.xgboost import categorical_focal_metric
    >>> import numpy as np, xgboost
    >>> data = xgboost.DMatrix(np.zeros((1, 1)), [0])
    >>> shown, value = categorical_focal_metric(gamma=2)(np.array([[1.0, 0.0, -1.0]]), data)
    >>> shown, round(value, 5)
    ('focal_loss(gamma=2)', 0.04568)
    """
    loss = objective.categorical_loss(gamma, class_weight)
    return _Metric(loss, objective.metric_name(name, gamma=loss.gamma, class_weight=loss.weight))
