"""The temperature of a model's scores, fitted out of fold, where it helps rows that it was not fitted to."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from focal_loss._boosting.temperature import determined
from focal_loss._calibration.posteriors import posterior_from_logits
from focal_loss._calibration.temperature import FocalTemperature
from focal_loss._command.evaluation import cut_log_loss
from focal_loss._command.splits import Folds
from focal_loss._command.weights import taken

Array = Any


class Temperature(NamedTuple):
    """A temperature, 1 if none helps, and the log loss out of fold without it and with it."""

    value: float
    without: float
    with_it: float


def posterior(parameters: dict[str, Any], scores: Array, temperature: float) -> Array:
    """The probability that a row with these scores of the trees is positive."""
    gamma, weight = parameters.get("gamma", 0.0), parameters.get("pos_weight", 1.0)
    return posterior_from_logits(scores / temperature, gamma, pos_weight=weight)


def helpful(
    parameters: dict[str, Any], scores: Array, y: Array, folds: Folds, weight: Array | None = None
) -> Temperature:
    """The temperature of least log loss over scores out of fold, which are NaN for rows that no fold predicts.

    It helps if the log loss of each fold at the temperature of the others is lower, over all folds, than at 1.
    """
    seen = ~np.isnan(scores)
    found = np.empty(len(y))
    for _, held in folds:
        rest = seen.copy()
        rest[held] = False
        found[held] = posterior(
            parameters, scores[held], fitted(parameters, scores[rest], y[rest], taken(weight, rest))
        )
    scores, y, weight = scores[seen], y[seen], taken(weight, seen)
    without = cut_log_loss(y, posterior(parameters, scores, 1.0), weight)
    with_it = cut_log_loss(y, found[seen], weight)
    if with_it >= without:
        return Temperature(1.0, without, without)
    return Temperature(fitted(parameters, scores, y, weight), without, with_it)


def fitted(parameters: dict[str, Any], scores: Array, y: Array, weight: Array | None) -> float:
    """The temperature of least log loss, or 1 if the labels determine none."""
    model = FocalTemperature(parameters.get("gamma", 0.0), pos_weight=parameters.get("pos_weight", 1.0))
    return determined(model, scores, y, weight) or 1.0
