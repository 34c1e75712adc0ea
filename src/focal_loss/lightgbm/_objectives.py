"""Objectives and metrics in the forms that `lightgbm.train` calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np

from focal_loss import _boosting
from focal_loss._boosting_docs import documented

Array = Any

START = """LightGBM reads a label that is missing as 0, before any objective sees it. The booster starts at a score of
0, or at the `init_score` that its data hold:"""


@dataclass(frozen=True)
class _BinaryObjective:
    loss: _boosting.BinaryLoss

    def __call__(self, preds: Array, data: lightgbm.Dataset) -> tuple[Array, Array]:
        return self.loss.derivatives(preds, data.get_label(), data.get_weight())


@dataclass(frozen=True)
class _CategoricalObjective:
    loss: _boosting.CategoricalLoss

    def __call__(self, preds: Array, data: lightgbm.Dataset) -> tuple[Array, Array]:
        if np.ndim(preds) != 2 or preds.shape[1] < 2:
            raise ValueError(
                f"a categorical objective takes a score for each class, got scores of shape {np.shape(preds)}; say how "
                "many classes there are (`num_class`)"
            )
        # LightGBM keeps the scores of a class together. Transposed they are contiguous, and so is what it gets back.
        classes = preds.shape[1]
        overlap = classes / (classes - 1)  # LightGBM's own factor for its softmax objective
        labels, weight = data.get_label(), data.get_weight()
        gradient, hessian = self.loss.derivatives(preds.T, labels, weight, overlap=overlap, axis=0)
        return gradient.T, hessian.T


@dataclass(frozen=True)
class _Metric:
    loss: _boosting.BinaryLoss | _boosting.CategoricalLoss

    def __call__(self, preds: Array, data: lightgbm.Dataset) -> tuple[str, float, bool]:
        return "focal_loss", self.loss.mean(preds, data.get_label(), data.get_weight()), False


def objective_of(loss: _boosting.BinaryLoss | _boosting.CategoricalLoss) -> _BinaryObjective | _CategoricalObjective:
    return _BinaryObjective(loss) if isinstance(loss, _boosting.BinaryLoss) else _CategoricalObjective(loss)


@documented("binary_focal_objective", start=START)
def binary_focal_objective(gamma: float, *, pos_weight: float | None = None, hessian: str = "majorizer") -> Any:
    """Binary focal loss as an objective for ``lightgbm.train({"objective": ...})``.

    {contract}

    Examples
    --------
    >>> from focal_loss.calibration import prior_logit
    >>> from focal_loss.lightgbm import binary_focal_objective
    >>> import lightgbm, numpy as np
    >>> start = prior_logit(0.3, gamma=2)
    >>> data = lightgbm.Dataset(np.arange(100.0)[:, None], np.arange(100) >= 70, init_score=np.full(100, start))
    >>> parameters = {"objective": binary_focal_objective(gamma=2), "verbosity": -1}
    >>> scores = start + lightgbm.train(parameters, data, 20).predict([[5.0], [95.0]])
    >>> bool(scores[0] < 0 < scores[1])
    True
    """
    return _BinaryObjective(_boosting.binary_loss(gamma, pos_weight, hessian))


@documented("categorical_focal_objective", start=START)
def categorical_focal_objective(gamma: Any, *, class_weight: Any = None, hessian: str = "majorizer") -> Any:
    """Softmax focal loss as an objective for ``lightgbm.train({"objective": ..., "num_class": K})``.

    {contract}

    Examples
    --------
    >>> from focal_loss.lightgbm import categorical_focal_objective
    >>> import lightgbm, numpy as np
    >>> data = lightgbm.Dataset(np.arange(99.0)[:, None], np.arange(99) // 33)
    >>> parameters = {"objective": categorical_focal_objective(gamma=2), "num_class": 3, "verbosity": -1}
    >>> lightgbm.train(parameters, data, 20).predict([[5.0], [50.0], [95.0]]).argmax(axis=1)
    array([0, 1, 2])
    """
    return _CategoricalObjective(_boosting.categorical_loss(gamma, class_weight, hessian))


@documented("binary_focal_metric")
def binary_focal_metric(gamma: float, *, pos_weight: float | None = None) -> Any:
    """Binary focal loss of raw scores as a metric for ``lightgbm.train(..., feval=...)``.

    {contract}

    Examples
    --------
    >>> from focal_loss.lightgbm import binary_focal_metric
    >>> import lightgbm, numpy as np
    >>> data = lightgbm.Dataset(np.zeros((2, 1)), [0, 1]).construct()
    >>> name, value, higher_is_better = binary_focal_metric(gamma=2)(np.array([0.0, 0.0]), data)
    >>> name, round(value, 6), higher_is_better
    ('focal_loss', 0.173287, False)
    """
    return _Metric(_boosting.binary_loss(gamma, pos_weight))


@documented("categorical_focal_metric")
def categorical_focal_metric(gamma: Any, *, class_weight: Any = None) -> Any:
    """Softmax focal loss of raw scores as a metric for ``lightgbm.train(..., feval=...)``.

    {contract}

    Examples
    --------
    >>> from focal_loss.lightgbm import categorical_focal_metric
    >>> import lightgbm, numpy as np
    >>> data = lightgbm.Dataset(np.zeros((1, 1)), [0]).construct()
    >>> name, value, higher_is_better = categorical_focal_metric(gamma=2)(np.array([[1.0, 0.0, -1.0]]), data)
    >>> name, round(value, 6), higher_is_better
    ('focal_loss', 0.045678, False)
    """
    return _Metric(_boosting.categorical_loss(gamma, class_weight))
