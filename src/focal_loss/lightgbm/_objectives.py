"""Objectives and metrics in the forms that `lightgbm.train` calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from focal_loss._boosting import declared, objective
from focal_loss._core.options import ParameterLike
from focal_loss._host.derivatives import Hessian

Array = Any


# Every callable here takes `(preds, dataset)`, as `lightgbm.train` calls it, and `(y_true, y_pred, weight)`, as the
# estimators do. LightGBM's estimators pass weights only to a function of three parameters, whatever their names.


@dataclass(frozen=True)
class _BinaryObjective:
    loss: objective.BinaryLoss

    def __call__(self, y_true: Array, y_pred: Array, weight: Array | None = None) -> tuple[Array, Array]:
        labels, scores, weight = objective.either(y_true, y_pred, weight)
        return self.loss.derivatives(scores, labels, weight)


@dataclass(frozen=True)
class _CategoricalObjective:
    loss: objective.CategoricalLoss

    def __call__(self, y_true: Array, y_pred: Array, weight: Array | None = None) -> tuple[Array, Array]:
        labels, preds, weight = objective.either(y_true, y_pred, weight)
        if np.ndim(preds) != 2 or preds.shape[1] < 2:
            raise ValueError(
                f"a categorical objective takes a score for each class, got scores of shape {np.shape(preds)}; say how "
                "many classes there are (`num_class`)"
            )
        # LightGBM keeps the scores of a class together, so their transpose is contiguous, and so are the results.
        classes = preds.shape[1]
        overlap = classes / (classes - 1)  # LightGBM's own factor for its softmax objective
        gradient, hessian = self.loss.derivatives(preds.T, labels, weight, overlap=overlap, axis=0)
        return gradient.T, hessian.T


@dataclass(frozen=True)
class _Metric:
    loss: objective.BinaryLoss | objective.CategoricalLoss
    name: str
    of_scores: ClassVar[bool] = True  # our classifiers pass probabilities to other functions

    def __call__(self, y_true: Array, y_pred: Array, weight: Array | None = None) -> tuple[str, float, bool]:
        labels, scores, weight = objective.either(y_true, y_pred, weight)
        return self.name, self.loss.mean(scores, labels, weight), False


def objective_of(loss: objective.BinaryLoss | objective.CategoricalLoss) -> _BinaryObjective | _CategoricalObjective:
    return _BinaryObjective(loss) if isinstance(loss, objective.BinaryLoss) else _CategoricalObjective(loss)


def metric_of(loss: objective.BinaryLoss | objective.CategoricalLoss, name: str) -> _Metric:
    return _Metric(loss, name)


# <doors: functions> Written by tools/doors.py; `make doors` writes it anew.
def binary_focal_objective(gamma: float, *, pos_weight: float | None = None, hessian: Hessian = "majorizer") -> Any:
    """Binary focal loss as an objective for ``lightgbm.train({"objective": ...})``.

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
    LightGBM reads a missing label as 0 before any objective sees it. The booster starts at a score of 0, or at the
    `init_score` that its data hold: `focal_loss.calibration.prior_logit` is the best constant score. The booster
    predicts scores; `focal_loss.calibration.posterior_from_logits` turns them into probabilities.

    References
    ----------
    .. [1] T. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, "Focal loss for dense object detection", ICCV 2017,
       arXiv:1708.02002, equation 4 and appendix B.

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
    return objective_of(declared.BinaryObjective(gamma=gamma, pos_weight=pos_weight, hessian=hessian).loss)


def categorical_focal_objective(
    gamma: ParameterLike, *, class_weight: ParameterLike | None = None, hessian: Hessian = "majorizer"
) -> Any:
    """Softmax focal loss as an objective for ``lightgbm.train({"objective": ..., "num_class": K})``.

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
    LightGBM reads a missing label as 0 before any objective sees it. The booster starts at a score of 0, or at the
    `init_score` that its data hold: `focal_loss.calibration.categorical_prior_logits` is the best constant score. The
    booster predicts scores; `focal_loss.calibration.categorical_posterior_from_logits` turns them into probabilities.

    References
    ----------
    .. [1] T. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, "Focal loss for dense object detection", ICCV 2017,
       arXiv:1708.02002, equation 4 and appendix B.

    Examples
    --------
    >>> from focal_loss.lightgbm import categorical_focal_objective
    >>> import lightgbm, numpy as np
    >>> data = lightgbm.Dataset(np.arange(99.0)[:, None], np.arange(99) // 33)
    >>> parameters = {"objective": categorical_focal_objective(gamma=2), "num_class": 3, "verbosity": -1}
    >>> lightgbm.train(parameters, data, 20).predict([[5.0], [50.0], [95.0]]).argmax(axis=1)
    array([0, 1, 2])
    """
    return objective_of(declared.CategoricalObjective(gamma=gamma, class_weight=class_weight, hessian=hessian).loss)


def binary_focal_metric(gamma: float, *, pos_weight: float | None = None, name: str | None = None) -> Any:
    """Binary focal loss of raw scores as a metric for ``lightgbm.train(..., feval=...)``.

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
    >>> from focal_loss.lightgbm import binary_focal_metric
    >>> import lightgbm, numpy as np
    >>> data = lightgbm.Dataset(np.zeros((2, 1)), [0, 1]).construct()
    >>> shown, value, higher_is_better = binary_focal_metric(gamma=2)(np.array([0.0, 0.0]), data)
    >>> shown, round(value, 6), higher_is_better
    ('focal_loss(gamma=2)', 0.173287, False)
    """
    options = declared.BinaryMetric(gamma=gamma, pos_weight=pos_weight, name=name)
    return metric_of(options.loss, options.record)


def categorical_focal_metric(
    gamma: ParameterLike, *, class_weight: ParameterLike | None = None, name: str | None = None
) -> Any:
    """Softmax focal loss of raw scores as a metric for ``lightgbm.train(..., feval=...)``.

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
    >>> from focal_loss.lightgbm import categorical_focal_metric
    >>> import lightgbm, numpy as np
    >>> data = lightgbm.Dataset(np.zeros((1, 1)), [0]).construct()
    >>> shown, value, higher_is_better = categorical_focal_metric(gamma=2)(np.array([[1.0, 0.0, -1.0]]), data)
    >>> shown, round(value, 6), higher_is_better
    ('focal_loss(gamma=2)', 0.045678, False)
    """
    options = declared.CategoricalMetric(gamma=gamma, class_weight=class_weight, name=name)
    return metric_of(options.loss, options.record)


# </doors: functions>
