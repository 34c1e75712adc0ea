"""Objectives and metrics in the forms that CatBoost calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from focal_loss._boosting import declared, objective
from focal_loss._core.options import ParameterLike
from focal_loss._host.derivatives import Hessian

Array = Any


# CatBoost maximizes: it takes the derivatives of minus the loss. `no_jit` keeps CatBoost from compiling the methods
# with Numba.


@dataclass(frozen=True)
class _BinaryObjective:
    loss: objective.BinaryLoss
    no_jit: ClassVar[bool] = True

    def calc_ders_range(self, approxes: Array, targets: Array, weights: Array | None) -> Array:
        derivatives = self.loss.derivatives(approxes, targets, weights)
        pairs = np.empty((len(targets), 2), np.float32)  # CatBoost reads an array without making Python floats
        for column, values in enumerate(derivatives):
            np.negative(values, out=pairs[:, column])
        return pairs


@dataclass(frozen=True)
class _CategoricalObjective:
    loss: objective.CategoricalLoss
    no_jit: ClassVar[bool] = True

    def calc_ders_multi(
        self, approxes: Array, target: float, weight: float
    ) -> tuple[list[float], Iterator[list[float]]]:
        gradient, rows = self.loss.of_one(np.asarray(approxes).tolist(), target, weight)
        # Half of CatBoost's calls choose splits. They need no Hessian, and its rows are then never computed.
        return [-g for g in gradient], ([-h for h in row] for row in rows)


@dataclass(frozen=True)
class Metric:
    """A metric that is a mean: CatBoost adds up sums over parts of the data."""

    loss: objective.BinaryLoss | objective.CategoricalLoss
    no_jit: ClassVar[bool] = True

    def is_max_optimal(self) -> bool:
        return False

    def evaluate(self, approxes: Sequence[Array], target: Array, weight: Array | None) -> tuple[float, float]:
        total = float(len(target) if weight is None else np.sum(weight, dtype=np.float64))
        return (self.mean(np.asarray(approxes), target, weight) * total if total else 0.0), total

    def get_final_error(self, error: float, weight: float) -> float:
        return error / weight if weight else 0.0

    def mean(self, scores: Array, labels: Array, weight: Array | None) -> float:
        """`scores` has a row for each class, or one row."""
        if isinstance(self.loss, objective.BinaryLoss):
            return self.loss.mean(scores, labels, weight)
        return self.loss.mean(scores, labels, weight, axis=0)


def metric_of(loss: objective.BinaryLoss | objective.CategoricalLoss, name: str) -> Metric:
    """A metric of a class of its own, because CatBoost names a metric by its class."""
    found: type[Metric] = type(name, (Metric,), {"__reduce__": lambda self: (metric_of, (loss, name))})
    return found(loss)


def objective_of(loss: objective.BinaryLoss | objective.CategoricalLoss) -> Any:
    return _BinaryObjective(loss) if isinstance(loss, objective.BinaryLoss) else _CategoricalObjective(loss)


# <doors: functions> Written by tools/doors.py; `make doors` writes it anew.
def binary_focal_objective(gamma: float, *, pos_weight: float | None = None, hessian: Hessian = "majorizer") -> Any:
    """Binary focal loss as an objective for CatBoost's ``loss_function=``.

    With an objective in Python CatBoost needs an `eval_metric`, and runs on the CPU. It asks for the derivatives of
    about a thousand examples at a time, sequentially: for 100,000 examples of 28 columns on 2 cores, this takes as long
    as CatBoost's own ``Focal``, and 1.4 times as long as its ``Logloss``. On many cores the difference is greater,
    because those losses run in parallel.

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
        An object with the methods that CatBoost calls. It can be pickled.

    Raises
    ------
    TypeError, ValueError
        If an option has the wrong type or is out of range. When it is called: if labels are missing or invalid, or
        shapes do not match.

    Notes
    -----
    The booster starts at a score of 0, or at the `baseline` that its data hold: `focal_loss.calibration.prior_logit` is
    the best constant score. The booster predicts scores; `focal_loss.calibration.posterior_from_logits` turns them into
    probabilities.

    References
    ----------
    .. [1] T. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, "Focal loss for dense object detection", ICCV 2017,
       arXiv:1708.02002, equation 4 and appendix B.

    Examples
    --------
    >>> from focal_loss.catboost import binary_focal_metric, binary_focal_objective
    >>> import catboost, numpy as np
    >>> pool = catboost.Pool(np.arange(100.0)[:, None], np.arange(100) > 90, baseline=np.full(100, -1.1))
    >>> loss = {"loss_function": binary_focal_objective(gamma=2), "eval_metric": binary_focal_metric(gamma=2)}
    >>> settings = {"iterations": 20, "learning_rate": 0.3, "verbose": False, "allow_writing_files": False}
    >>> catboost.train(pool, loss | settings).predict([[5.0], [95.0]]).round(1)
    array([-0.6,  2. ])
    """
    return objective_of(declared.BinaryObjective(gamma=gamma, pos_weight=pos_weight, hessian=hessian).loss)


def categorical_focal_objective(
    gamma: ParameterLike, *, class_weight: ParameterLike | None = None, hessian: Hessian = "majorizer"
) -> Any:
    """Softmax focal loss as an objective for CatBoost's ``loss_function=``, with ``classes_count=K``.

    A Newton step divides by the whole K x K Hessian, as that of CatBoost's own ``MultiClass`` does. The policies of
    `hessian` apply to the second derivative in the margin of the true class. With an objective in Python CatBoost needs
    an `eval_metric`, and runs on the CPU. It asks for the derivatives of one example at a time, twice in each round:
    about 30 microseconds an example and round at K = 3, some 20 to 60 times as long as ``MultiClass`` takes.

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
        An object with the methods that CatBoost calls. It can be pickled.

    Raises
    ------
    TypeError, ValueError
        If an option has the wrong type or is out of range. When it is called: if labels are missing or invalid, or
        shapes do not match.

    Notes
    -----
    The booster starts at a score of 0, or at the `baseline` that its data hold:
    `focal_loss.calibration.categorical_prior_logits` is the best constant score. The booster predicts scores;
    `focal_loss.calibration.categorical_posterior_from_logits` turns them into probabilities.

    References
    ----------
    .. [1] T. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, "Focal loss for dense object detection", ICCV 2017,
       arXiv:1708.02002, equation 4 and appendix B.

    Examples
    --------
    >>> from focal_loss.catboost import categorical_focal_metric, categorical_focal_objective
    >>> import catboost, numpy as np
    >>> pool = catboost.Pool(np.arange(99.0)[:, None], np.arange(99) // 33)
    >>> loss = {"loss_function": categorical_focal_objective(gamma=2), "eval_metric": categorical_focal_metric(gamma=2)}
    >>> settings = {"classes_count": 3, "iterations": 20, "verbose": False, "allow_writing_files": False}
    >>> catboost.train(pool, loss | settings).predict([[5.0], [50.0], [95.0]]).argmax(axis=1)
    array([0, 1, 2])
    """
    return objective_of(declared.CategoricalObjective(gamma=gamma, class_weight=class_weight, hessian=hessian).loss)


def binary_focal_metric(gamma: float, *, pos_weight: float | None = None, name: str | None = None) -> Any:
    """Binary focal loss of raw scores as a metric for CatBoost's ``eval_metric=``.

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
        The weighted mean of the loss [1]_ of raw scores. An object with the methods that CatBoost calls. It can be
        pickled.

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
    >>> from focal_loss.catboost import binary_focal_metric
    >>> import numpy as np
    >>> metric = binary_focal_metric(gamma=2)
    >>> round(metric.get_final_error(*metric.evaluate([np.array([0.0, 0.0])], np.array([0.0, 1.0]), None)), 6)
    0.173287
    """
    options = declared.BinaryMetric(gamma=gamma, pos_weight=pos_weight, name=name)
    return metric_of(options.loss, options.record)


def categorical_focal_metric(
    gamma: ParameterLike, *, class_weight: ParameterLike | None = None, name: str | None = None
) -> Any:
    """Softmax focal loss of raw scores as a metric for CatBoost's ``eval_metric=``.

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
        The weighted mean of the loss [1]_ of raw scores. An object with the methods that CatBoost calls. It can be
        pickled.

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
    >>> from focal_loss.catboost import categorical_focal_metric
    >>> import numpy as np
    >>> metric = categorical_focal_metric(gamma=2)
    >>> round(metric.get_final_error(*metric.evaluate(np.array([[1.0], [0.0], [-1.0]]), np.array([0.0]), None)), 6)
    0.045678
    """
    options = declared.CategoricalMetric(gamma=gamma, class_weight=class_weight, name=name)
    return metric_of(options.loss, options.record)


# </doors: functions>
