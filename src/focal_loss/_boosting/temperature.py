"""One temperature for the scores of a classifier, fitted to the scores of models that have not seen the example."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold
from sklearn.utils import _safe_indexing

from focal_loss import calibration
from focal_loss._core import options
from focal_loss._core.warnings import warn

Array = Any
Focus = Any  # of `classifier`, which imports this file

FOLDS = 5
CV = "cv"
ELSEWHERE = "give `calibrated=True`, and fit `focal_loss.calibration.FocalTemperature` to the scores of held-out rows"


class Tempered:
    """Classifiers that hold their loss in `_focus`."""

    _focus: Any

    @property
    def temperature_(self) -> float:
        """The temperature of a fit with ``calibrated="cv"``: `predict_proba` divides scores by it."""
        value: float | None = getattr(self, "_focus", None) and self._focus.temperature
        if value is None:
            raise AttributeError("`temperature_` comes from a fit with calibrated='cv'")
        return value

    def _temper(self, temperature: float) -> None:
        """Divide the scores by a temperature that was found outside of `fit`, as if by calibrated='cv'."""
        self._focus = replace(self._focus, temperature=temperature)
        self.set_params(calibrated=CV)  # type: ignore[attr-defined]


def is_cv(calibrated: Any) -> bool:
    """Whether `calibrated` is 'cv'.

    Raises
    ------
    TypeError
        If it is neither 'cv' nor a truth value.
    """
    if isinstance(calibrated, str) and calibrated == CV:
        return True
    if not isinstance(calibrated, bool | np.bool_):
        raise TypeError(f"`calibrated` must be True, False or 'cv', got {calibrated!r}")
    return False


def refuse_start(calibrated: Any, **given: Any) -> None:
    """Raise `ValueError` for a start of training that 'cv' cannot leave out of its folds."""
    for name, value in given.items():
        if is_cv(calibrated) and value is not None and value is not False:
            raise ValueError(f"`{name}` has no part with calibrated='cv', whose folds start from nothing; {ELSEWHERE}")


def refuse_cluster(calibrated: Any) -> None:
    if is_cv(calibrated):
        raise ValueError(f"`calibrated` must be True or False with Dask, got 'cv'; {ELSEWHERE}")


def rows_of_folds(classes: Array, codes: Array, sample_weight: Any) -> Array:
    """The rows that fit a temperature: those with a weight.

    Raises
    ------
    ValueError
        If a class has fewer of them than there are folds.
    """
    rows = np.flatnonzero(options.sample_weights(sample_weight, len(codes)))
    counts = np.bincount(codes[rows], minlength=len(classes))
    if counts.min() < FOLDS:
        label = classes.tolist()[counts.argmin()]
        raise ValueError(
            f"calibrated='cv' must have at least {FOLDS} examples of each class, got {counts.min()} of {label!r}; "
            "give `calibrated=True`"
        )
    return rows


def of_folds(
    focus: Focus, classes: Array, codes: Array, sample_weight: Any, scores: Callable[[Array, Array], Array]
) -> Focus:
    """The loss with the temperature of least log loss out of fold, in 5 stratified folds.

    `scores` takes two arrays of rows, and gives the scores of the second by a model that is trained on the first.

    Warns
    -----
    ConvergenceWarning
        If the scores do not determine a temperature, which is then 1.
    """
    rows = rows_of_folds(classes, codes, sample_weight)
    found = np.empty((len(rows), focus.classes) if focus.classes > 2 else len(rows))
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(rows, codes[rows]):
        found[test] = scores(rows[train], rows[test])
    weight = options.sample_weights(sample_weight, len(codes))[rows]
    of_classes = {"pos_weight": focus.odds} if focus.classes == 2 else {"class_weight": focus.weights}
    value = determined(calibration.FocalTemperature(focus.gamma, **of_classes), found, codes[rows], weight)
    if value is not None:
        return replace(focus, temperature=value)
    warn(
        "the scores out of fold do not determine a temperature, which stays 1: they may separate the classes, or have "
        "nothing to do with them",
        ConvergenceWarning,
    )
    return focus


def determined(model: Any, scores: Array, labels: Array, sample_weight: Any = None) -> float | None:
    """The temperature that a `FocalTemperature` finds, or None if the labels determine none."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            temperature: float = model.fit(scores, labels, sample_weight).temperature_
        except ConvergenceWarning:
            return None
    return temperature


def untrained(estimator: Any, focus: Focus, **changes: Any) -> Any:
    """A copy of an estimator for class indices as labels, with the class weights of a fit, and with the changes."""
    weights = dict(enumerate(focus.weights))
    return clone(estimator).set_params(calibrated=True, pos_weight=None, class_weight=weights, **changes)


def taken(values: Any, rows: Array) -> Any:
    """Rows of an array or table of any kind, or None for None."""
    if values is None:
        return None
    if type(values).__module__.partition(".")[0] == "pyarrow":
        return values.take(rows)
    if issparse(values):
        return values.tocsr()[rows]
    return _safe_indexing(values if hasattr(values, "__getitem__") else np.asarray(values), rows)
