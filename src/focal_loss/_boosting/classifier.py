"""Code that the classifiers of all boosting libraries share: labels and weights before training, probabilities and
metrics after it.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from focal_loss import calibration
from focal_loss._boosting import objective, temperature
from focal_loss._core import arrays, options, posterior
from focal_loss._host import derivatives, evaluate

Array = Any
Calibrated = bool | Literal["cv"]

LOG_LOSS, ERROR, FOCAL_LOSS = "log_loss", "error", "focal_loss"
AUC, AVERAGE_PRECISION = "auc", "average_precision"


@contextmanager
def dask_for(name: str) -> Iterator[None]:
    """Turn a failed import of Dask into an error that says how to install it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("dask", "distributed", "pandas", "pyarrow"):
            raise
        message = f"`{name}` needs {error.name}, which is not installed: pip install 'focal-loss[dask]'"
        raise ModuleNotFoundError(message, name=error.name) from error


# ---------------------------------------------------------------------------------------------------------------
# Parameters
# ---------------------------------------------------------------------------------------------------------------

# Parameters that all boosters call by the same names.
OBJECTIVE = "it is the focal loss; search over `gamma`, where 0 is cross-entropy"
POSITIVES = "give `pos_weight` instead, in a grid as well"
ALPHA = "for that of focal loss give `pos_weight=alpha / (1 - alpha)`"
LABELS = "the classes are found in the labels"


def refuse(given: dict[str, Any], refused: dict[str, str], defaults: dict[str, Any], names: dict[str, str]) -> None:
    """Raise `ValueError` for parameters that would have no effect, unless they have their default (False if not known).

    `names` maps each alias of a parameter to the library's own name.
    """
    for alias, value in given.items():
        name = names.get(alias, alias)
        default = defaults.get(name, False)
        plain = isinstance(value, bool | int | float | str | np.bool_)
        if name in refused and value is not None and not (plain and (value == default or value == "")):
            raise ValueError(f"`{alias}` must be left alone, got {value!r}: {refused[name]}")


# ---------------------------------------------------------------------------------------------------------------
# Labels and weights
# ---------------------------------------------------------------------------------------------------------------


def refuse_missing(X: Any, eval_set: Any = None, **more: Any) -> None:
    """Raise `ValueError` for NumPy's masks, which no booster sees, and for missing labels, weights or scores.

    Columns may have missing values: NaN, or NA in pandas.
    """
    pairs = [eval_set] if isinstance(eval_set, tuple) else eval_set if isinstance(eval_set, list) else []
    pairs = [pair for pair in pairs if isinstance(pair, tuple | list) and len(pair) == 2]
    for name, columns in [("X", X), *(("eval_set", columns) for columns, _ in pairs)]:
        refuse_masked(name, columns)
    for _, labels in pairs:
        arrays.refuse_missing("eval_set", labels, nan=True)
    for name, values in more.items():
        arrays.refuse_missing(name, values, nan=True)


def refuse_masked(name: str, columns: Any) -> None:
    if isinstance(columns, np.ma.MaskedArray) and np.ma.is_masked(columns):
        raise ValueError(
            f"`{name}` must hold NaN where a value is missing, got a masked array; pass "
            "`numpy.ma.filled(X.astype(float), numpy.nan)`"
        )


def encode(y: Any) -> tuple[Array, Array]:
    """The classes, sorted, and the index of each label's class.

    Raises
    ------
    ValueError
        If a label is missing, masked or infinite, if the labels are not classes, or if there is only one class.
    """
    classes, codes = np.unique(checked_labels(y), return_inverse=True)
    at_least_two(classes)
    return classes, codes


def checked_labels(y: Any) -> Array:
    arrays.refuse_missing("y", y, nan=True)
    labels = column_or_1d(y, warn=True)
    assert_all_finite(labels, input_name="y")
    check_classification_targets(labels)
    return labels


def at_least_two(classes: Array) -> None:
    if len(classes) < 2:
        raise ValueError(f"`y` must hold at least two classes, got one class: {classes.tolist()}")


def class_weights(
    class_weight: Any, pos_weight: Any, classes: Array, codes: Array, sample_weight: Any = None
) -> tuple[float, ...]:
    """The weight of each class: that of `class_weight`, times `pos_weight` for the second of two.

    'balanced' uses the weighted counts, so that every class has the same total weight.
    """
    if isinstance(class_weight, dict):
        known = set(classes.tolist())
        unknown = [label for label in class_weight if label not in known]
        if unknown:
            raise ValueError(f"`class_weight` names {unknown[0]!r}, but the classes are {classes.tolist()}")
    if isinstance(class_weight, str) and class_weight == "balanced":
        weights = 1 / (len(classes) * prior(classes, codes, sample_weight))
    else:
        weights = compute_class_weight(class_weight, classes=classes, y=classes[codes]).astype(np.float64)
    if not (np.isfinite(weights).all() and (weights > 0).all()):
        raise ValueError(f"`class_weight` must hold positive numbers, got {class_weight!r}")
    if pos_weight is not None:
        if len(classes) > 2:
            raise ValueError(f"`pos_weight` is for two classes, got {len(classes)}; give `class_weight` instead")
        weights[1] *= objective.one_number("pos_weight", options.positive("pos_weight", pos_weight))
    return tuple(weights.tolist())


def prior(classes: Array, codes: Array, sample_weight: Any) -> Array:
    """The share of each class in the weighted sample."""
    weight = options.sample_weights(sample_weight, len(codes))
    totals = np.bincount(codes, weight, minlength=len(classes))
    prior = totals / totals.sum()
    if not prior.all():
        raise ValueError(f"`sample_weight` is zero for every example of class {classes[prior == 0].tolist()[0]!r}")
    return prior


# ---------------------------------------------------------------------------------------------------------------
# Scores and probabilities
# ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Focus:
    """The loss of a fit: its gamma, the weight of each class, and the temperature of its scores.

    The temperature is None unless the fit is one with ``calibrated="cv"``, and 1 until its folds are trained.
    """

    gamma: float
    weights: tuple[float, ...]
    hessian: derivatives.Hessian
    temperature: float | None = None

    @property
    def classes(self) -> int:
        return len(self.weights)

    @property
    def odds(self) -> float:
        """The weight of the second of two classes over that of the first."""
        return self.weights[1] / self.weights[0]

    def loss(self) -> objective.BinaryLoss | objective.CategoricalLoss:
        if self.classes == 2:
            return objective.BinaryLoss(self.gamma, self.weights[1], self.weights[0], self.hessian)
        return objective.CategoricalLoss(self.gamma, self.weights, self.hessian)

    def start(self, prior: Array) -> Array:
        """The best constant scores for classes of these shares, of shape () for two classes and (K,) for more."""
        if self.classes == 2:
            return np.float64(calibration.prior_logit(prior[1], self.gamma, pos_weight=self.odds))
        return calibration.categorical_prior_logits(prior, self.gamma, class_weight=self.weights)

    def training_loss(self, prior: Array) -> objective.BinaryLoss | objective.CategoricalLoss:
        """The loss times a number that makes its mean Hessian at the start that of cross-entropy.

        The parameters that regularize trees (`reg_lambda`, `min_child_weight`, `min_split_gain`) are compared with sums
        of Hessians. At gamma = 2 a Hessian of focal loss at the start is 1.6 to 3 times that of cross-entropy, and
        unscaled those parameters would regularize as many times less. At gamma = 0 the number is 1.

        Raises
        ------
        ValueError
            If gamma is so large that no Hessian is left.
        """
        curvature = self.curvature(prior)
        if curvature < np.finfo(np.float32).tiny:  # the boosters' Hessians are float32
            raise ValueError(f"`gamma` must be small enough for a Hessian above 0, got {self.gamma}; try 2")
        scale = replace(self, gamma=0.0).curvature(prior) / curvature
        return replace(self, weights=tuple(scale * weight for weight in self.weights)).loss()

    def curvature(self, prior: Array) -> float:
        """The mean Hessian at the start, or its trace for more than two classes."""
        start, labels = self.start(prior), np.arange(self.classes)
        loss: Any = self.loss()
        options = {} if self.classes == 2 else {"overlap": 1.0}
        _, hessian = loss.derivatives(np.tile(start, (self.classes, 1)), labels, prior, **options)
        return float(np.sum(hessian, dtype=np.float64))

    def tempered(self, scores: Array, calibrated: Calibrated) -> Array:
        """The scores in float64, divided by the temperature if `calibrated` is 'cv'.

        Raises
        ------
        TypeError, ValueError
            If `calibrated` is no such value, or 'cv' for a model that was trained without a temperature.
        """
        scores = np.asarray(scores, np.float64)
        if not temperature.is_cv(calibrated):
            return scores
        if self.temperature is None:
            raise ValueError(
                "`calibrated` must be True or False for a model that was fitted without a temperature, got 'cv'; call "
                "`fit` again with calibrated='cv'"
            )
        return scores / self.temperature

    def probabilities(self, scores: Array, calibrated: Calibrated) -> Array:
        """Probabilities of shape (n, K): class posteriors if calibrated, else the sigmoid or softmax of the scores."""
        scores = self.tempered(scores, calibrated)
        gamma, odds, weights = (self.gamma, self.odds, self.weights) if calibrated else (0.0, 1.0, 1.0)
        if self.classes == 2:
            return np.column_stack(
                [
                    calibration.posterior_from_logits(-scores, gamma, pos_weight=1 / odds),
                    calibration.posterior_from_logits(scores, gamma, pos_weight=odds),
                ]
            )
        return calibration.categorical_posterior_from_logits(scores, gamma, class_weight=weights)

    def log_odds(self, scores: Array, calibrated: Calibrated) -> Array:
        """Logits of `probabilities`, exact where those are rounded to 0 or 1: the result of `decision_function`.

        For two classes: the log-odds of the second, of shape (n,), positive where `predict` gives it. For more: the
        logarithms of the probabilities, of shape (n, K).
        """
        scores = self.tempered(scores, calibrated)
        gamma, odds, weights = (self.gamma, self.odds, self.weights) if calibrated else (0.0, 1.0, 1.0)
        with np.errstate(all="ignore"):
            if self.classes == 2:
                return posterior.posterior_logit(evaluate.OPS, scores, np.asarray(gamma)) - math.log(odds)
            margins = evaluate.margin(scores, None, 1)
            evidence = evaluate.elementwise("class_evidence", "", margins, np.asarray(gamma), np.asarray(weights))
            return -posterior.sigmoid_of(evaluate.OPS, evaluate.margin(evidence, None, 1)).neg_log_p

    def log_loss(self, scores: Array, labels: Array, weight: Array | None, calibrated: Calibrated) -> float:
        """The log loss of the probabilities, none taken as less than eps, as in scikit-learn's `log_loss`.

        It is computed after every round of training, on all held-out examples. For two classes it is the cross-entropy
        of the probabilities' logits, and costs as much as the loss itself.
        """
        least = np.finfo(np.float64).eps
        if self.classes == 2:
            logits = objective.single(self.tempered(scores, calibrated) if calibrated == "cv" else scores)
            if calibrated:
                calibrate = partial(posterior.posterior_logit, evaluate.OPS)
                logits = evaluate.in_blocks(calibrate, (logits, self.gamma), logits.shape)
                logits = logits - np.float32(math.log(self.odds))
            logits = np.clip(logits, math.log(least), -math.log(least))
            return objective.BinaryLoss(gamma=0.0).mean(logits, labels, weight)
        each = self.probabilities(scores, calibrated)[np.arange(len(labels)), labels.astype(int)]
        return float(np.average(-np.log(np.maximum(each, least)), weights=weight))


def focus(estimator: Any, classes: Array, codes: Array, sample_weight: Any) -> Focus:
    """The `Focus` of an estimator's parameters, checked."""
    with_folds = temperature.is_cv(estimator.calibrated)
    if with_folds:
        temperature.rows_of_folds(classes, codes, sample_weight)  # before training, for its error
    weights = class_weights(estimator.class_weight, estimator.pos_weight, classes, codes, sample_weight)
    gamma = objective.one_number("gamma", estimator.gamma)
    return Focus(gamma, weights, derivatives.hessian_of(estimator.hessian), 1.0 if with_folds else None)


# ---------------------------------------------------------------------------------------------------------------
# Metrics
# ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Metric:
    """A metric of labels (class indices), raw scores and weights: a number, and whether more of it is better.

    `function` is the name of one of ours, or a user's function. It gets labels and probabilities, as for the library's
    own objective, and weights if it takes three arguments or a `sample_weight`.
    """

    function: str | Callable[..., Any]
    focus: Focus
    calibrated: Calibrated
    name: str | None = None  # name of the result; None: that of the function

    def __call__(self, labels: Array, scores: Array, weight: Array | None) -> Any:
        if callable(self.function):
            return self._of_user(labels, scores, weight)
        name = self.name or self.function
        if weight is not None and not np.any(weight):
            return name, float("nan"), False
        if self.function == FOCAL_LOSS:
            return name, self.focus.loss().mean(scores, labels, weight), False
        if self.function == AUC:
            return name, roc_auc_score(labels, scores, sample_weight=weight), True
        if self.function == AVERAGE_PRECISION:
            return name, average_precision_score(labels, scores, sample_weight=weight), True
        if self.function == LOG_LOSS:
            return name, self.focus.log_loss(scores, labels, weight, self.calibrated), False
        wrong = self.focus.probabilities(scores, self.calibrated).argmax(axis=1) != labels
        return name, float(np.average(wrong, weights=weight)), False

    def _of_user(self, labels: Array, scores: Array, weight: Array | None) -> Any:
        assert callable(self.function)
        probabilities = self.focus.probabilities(scores, self.calibrated)
        shown = probabilities[:, 1] if self.focus.classes == 2 else probabilities
        if getattr(self.function, "of_scores", False):  # one of our own
            shown = scores
        parameters = inspect.signature(self.function).parameters
        if "sample_weight" in parameters:  # keyword-only in scikit-learn's metrics
            return self.function(labels, shown, sample_weight=weight)
        rest = (weight, None)[: max(0, len(parameters) - 2)]  # LightGBM's fourth argument holds groups, for rankers
        return self.function(labels, shown, *rest)


def listed(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def metrics(
    wanted: Any, ours: dict[str, str], native: Sequence[str]
) -> tuple[list[str], list[str | Callable[..., Any]]]:
    """Split the metrics that a user names into those that the library computes equally well from raw scores, and the
    others, which are computed here. `ours` holds the library's names for the latter.
    """
    left, right = [], []
    for metric in listed(wanted):
        if callable(metric) or metric in ours:
            right.append(ours.get(metric, metric) if isinstance(metric, str) else metric)
        elif metric in native:
            left.append(metric)
        else:
            known = ", ".join(map(repr, (*ours, *native)))
            raise ValueError(f"`eval_metric` must be one of {known} or a function, got {metric!r}")
    return left, right
