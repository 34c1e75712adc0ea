"""Objectives and metrics in the forms that `xgboost.train` and its estimators call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from xgboost import collective

from focal_loss._boosting import declared, objective
from focal_loss._core.options import ParameterLike
from focal_loss._host.derivatives import Hessian

Array = Any

OVERLAP = 2.0  # XGBoost's own factor on the Hessian of its softmax objective

# Every callable here takes `(scores, data)`, as `xgboost.train` calls it, and `(y_true, y_pred, sample_weight)`, as the
# estimators do. The estimators look for a parameter named `sample_weight`, and name a metric by its `__name__`.


@dataclass(frozen=True)
class Objective:
    loss: objective.BinaryLoss | objective.CategoricalLoss

    def __call__(self, y_true: Array, y_pred: Array, sample_weight: Array | None = None) -> tuple[Array, Array]:
        labels, scores, weight = objective.either(y_true, y_pred, sample_weight)  # XGBoost's memory, no copies
        if isinstance(self.loss, objective.BinaryLoss):
            return self.loss.derivatives(scores, labels, weight)
        return self.loss.derivatives(of_all_classes(scores), labels, weight, overlap=OVERLAP)


def objective_of(loss: objective.BinaryLoss | objective.CategoricalLoss) -> Objective:
    return Objective(loss)


def of_all_classes(scores: Array) -> Array:
    """The scores; those of a worker without rows in the shape (0, K), which XGBoost wants its derivatives to have.

    Such a worker is handed scores of the shape (0,). The others know how many classes there are.
    """
    if collective.get_world_size() == 1:
        return scores
    classes = scores.shape[1] if scores.ndim == 2 else 0
    (known,) = collective.allreduce(np.array([classes]), collective.Op.MAX)
    return scores if scores.size else scores.reshape(0, int(known))


def of_all_workers(metric: Callable[[], float], labels: Array, weight: Array | None) -> float:
    """A mean over the rows of all workers, of which `metric` is that over the rows of this one.

    XGBoost itself takes the mean of the workers' results, as if all of them had rows of the same weight.
    """
    if collective.get_world_size() == 1:
        return metric()
    rows = float(len(labels) if weight is None or not len(weight) else np.sum(weight, dtype=np.float64))
    mine = np.array([metric() * rows, rows] if rows else [0.0, 0.0])
    total, of = collective.allreduce(mine, collective.Op.SUM)
    return float(total / of) if of else float("nan")


@dataclass(frozen=True)
class _Metric:
    loss: objective.BinaryLoss | objective.CategoricalLoss
    __name__: str
    of_scores: ClassVar[bool] = True  # our classifier passes probabilities to other functions

    def __call__(self, y_true: Array, y_pred: Array, sample_weight: Array | None = None) -> Any:
        labels, scores, weight = objective.either(y_true, y_pred, sample_weight)
        value = of_all_workers(lambda: self.loss.mean(scores, labels, weight), labels, weight)
        return (self.__name__, value) if hasattr(y_pred, "get_label") else value


def metric_of(loss: objective.BinaryLoss | objective.CategoricalLoss, name: str) -> _Metric:
    return _Metric(loss, name)


# <doors: functions> Written by tools/doors.py; `make doors` writes it anew.
def binary_focal_objective(gamma: float, *, pos_weight: float | None = None, hessian: Hessian = "majorizer") -> Any:
    """Binary focal loss as an objective for ``xgboost.train(..., obj=...)``.

    Parameters
    ----------
    gamma : float
        The focusing parameter, at least 0. The higher it is, the less an easy example counts; 0 is cross-entropy.
    pos_weight : float, optional
        The weight of the positives. 1 if None.
    hessian : {'majorizer', 'exact', 'relative_floor'}
        The denominator of Newton steps. The focal loss is not convex: its Hessian is negative for the worst mistakes
        (below a margin of about -2.8 at gamma = 2), where such a step would go the wrong way. 'majorizer' leaves its
        only negative term out and is positive everywhere; 'exact' is the Hessian itself; 'relative_floor' is the
        Hessian where that is at least a quarter of the gradient's size, else that quarter. docs/boosting.md has the
        evidence.

    Returns
    -------
    objective : callable
        A function of scores and data, as ``train`` calls it, or of labels, scores and optional weights, as the
        estimators call it, including those for Dask. It can be pickled.

    Raises
    ------
    TypeError, ValueError
        If an option has the wrong type or is out of range. When it is called: if labels are missing or invalid, or
        shapes do not match.

    Notes
    -----
    The booster starts at a score of 0.5, or at the `base_score` or `base_margin` that it is given:
    `focal_loss.calibration.prior_logit` is the best constant score. The booster predicts scores;
    `focal_loss.calibration.posterior_from_logits` turns them into probabilities.

    References
    ----------
    .. [1] T. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, "Focal loss for dense object detection", ICCV 2017,
       arXiv:1708.02002, equation 4 and appendix B.

    Examples
    --------
    >>> from focal_loss.xgboost import binary_focal_objective
    >>> import numpy as np, xgboost
    >>> data = xgboost.DMatrix(np.arange(100.0)[:, None], np.arange(100) > 90)
    >>> booster = xgboost.train({"base_score": -1.1}, data, 20, obj=binary_focal_objective(gamma=2))
    >>> booster.predict(xgboost.DMatrix([[5.0], [95.0]])).round(1)
    array([-2.1,  1.1], dtype=float32)
    """
    return objective_of(declared.BinaryObjective(gamma=gamma, pos_weight=pos_weight, hessian=hessian).loss)


def categorical_focal_objective(
    gamma: ParameterLike, *, class_weight: ParameterLike | None = None, hessian: Hessian = "majorizer"
) -> Any:
    """Softmax focal loss as an objective for ``xgboost.train({"num_class": K}, ..., obj=...)``.

    Parameters
    ----------
    gamma : float or sequence of K floats
        The focusing parameter, at least 0. The higher it is, the less an easy example counts; 0 is cross-entropy.
    class_weight : float or sequence of K floats, optional
        The weight of each class. 1 if None.
    hessian : {'majorizer', 'exact', 'relative_floor'}
        The denominator of Newton steps. The focal loss is not convex: its Hessian is negative for the worst mistakes
        (below a margin of about -2.8 at gamma = 2), where such a step would go the wrong way. 'majorizer' leaves its
        only negative term out and is positive everywhere; 'exact' is the Hessian itself; 'relative_floor' is the
        Hessian where that is at least a quarter of the gradient's size, else that quarter. docs/boosting.md has the
        evidence.

    Returns
    -------
    objective : callable
        A function of scores and data, as ``train`` calls it, or of labels, scores and optional weights, as the
        estimators call it, including those for Dask. It can be pickled.

    Raises
    ------
    TypeError, ValueError
        If an option has the wrong type or is out of range. When it is called: if labels are missing or invalid, or
        shapes do not match.

    Notes
    -----
    The booster starts at a score of 0.5, or at the `base_score` or `base_margin` that it is given:
    `focal_loss.calibration.categorical_prior_logits` is the best constant score. The booster predicts scores;
    `focal_loss.calibration.categorical_posterior_from_logits` turns them into probabilities.

    References
    ----------
    .. [1] T. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, "Focal loss for dense object detection", ICCV 2017,
       arXiv:1708.02002, equation 4 and appendix B.

    Examples
    --------
    >>> from focal_loss.xgboost import categorical_focal_objective
    >>> import numpy as np, xgboost
    >>> data = xgboost.DMatrix(np.arange(99.0)[:, None], np.arange(99) // 33)
    >>> booster = xgboost.train({"num_class": 3}, data, 20, obj=categorical_focal_objective(gamma=2))
    >>> booster.predict(xgboost.DMatrix([[5.0], [50.0], [95.0]]), output_margin=True).argmax(axis=1)
    array([0, 1, 2])
    """
    return objective_of(declared.CategoricalObjective(gamma=gamma, class_weight=class_weight, hessian=hessian).loss)


def binary_focal_metric(gamma: float, *, pos_weight: float | None = None, name: str | None = None) -> Any:
    """Binary focal loss of raw scores as a metric for ``xgboost.train(..., obj=..., custom_metric=...)``.

    Parameters
    ----------
    gamma : float
        The focusing parameter, at least 0. The higher it is, the less an easy example counts; 0 is cross-entropy.
    pos_weight : float, optional
        The weight of the positives. 1 if None.
    name : str, optional
        The name in the library's records. If None, 'focal_loss' with the options, such as 'focal_loss(gamma=2)', so
        that several can be recorded at once.

    Returns
    -------
    metric : callable
        The weighted mean of the loss [1]_ of raw scores. A function of scores and data, as ``train`` calls it, or of
        labels, scores and optional weights, as the estimators call it, including those for Dask. It can be pickled.

    Raises
    ------
    TypeError, ValueError
        If an option has the wrong type or is out of range. When it is called: if labels are missing or invalid, or
        shapes do not match.

    Notes
    -----
    Less is better. It goes with the objective of the same arguments.

    References
    ----------
    .. [1] T. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, "Focal loss for dense object detection", ICCV 2017,
       arXiv:1708.02002, equation 4 and appendix B.

    Examples
    --------
    >>> from focal_loss.xgboost import binary_focal_metric
    >>> import numpy as np, xgboost
    >>> data = xgboost.DMatrix(np.zeros((2, 1)), [0, 1])
    >>> shown, value = binary_focal_metric(gamma=2)(np.array([0.0, 0.0]), data)
    >>> shown, round(value, 5)
    ('focal_loss(gamma=2)', 0.17329)
    """
    options = declared.BinaryMetric(gamma=gamma, pos_weight=pos_weight, name=name)
    return metric_of(options.loss, options.record)


def categorical_focal_metric(
    gamma: ParameterLike, *, class_weight: ParameterLike | None = None, name: str | None = None
) -> Any:
    """Softmax focal loss of raw scores as a metric for ``xgboost.train(..., obj=..., custom_metric=...)``.

    Parameters
    ----------
    gamma : float or sequence of K floats
        The focusing parameter, at least 0. The higher it is, the less an easy example counts; 0 is cross-entropy.
    class_weight : float or sequence of K floats, optional
        The weight of each class. 1 if None.
    name : str, optional
        The name in the library's records. If None, 'focal_loss' with the options, such as 'focal_loss(gamma=2)', so
        that several can be recorded at once.

    Returns
    -------
    metric : callable
        The weighted mean of the loss [1]_ of raw scores. A function of scores and data, as ``train`` calls it, or of
        labels, scores and optional weights, as the estimators call it, including those for Dask. It can be pickled.

    Raises
    ------
    TypeError, ValueError
        If an option has the wrong type or is out of range. When it is called: if labels are missing or invalid, or
        shapes do not match.

    Notes
    -----
    Less is better. It goes with the objective of the same arguments.

    References
    ----------
    .. [1] T. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, "Focal loss for dense object detection", ICCV 2017,
       arXiv:1708.02002, equation 4 and appendix B.

    Examples
    --------
    >>> from focal_loss.xgboost import categorical_focal_metric
    >>> import numpy as np, xgboost
    >>> data = xgboost.DMatrix(np.zeros((1, 1)), [0])
    >>> shown, value = categorical_focal_metric(gamma=2)(np.array([[1.0, 0.0, -1.0]]), data)
    >>> shown, round(value, 5)
    ('focal_loss(gamma=2)', 0.04568)
    """
    options = declared.CategoricalMetric(gamma=gamma, class_weight=class_weight, name=name)
    return metric_of(options.loss, options.record)


# </doors: functions>
