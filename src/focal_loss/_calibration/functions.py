"""From the caller's arguments to posteriors and scores, once for every framework, as `pipeline` is for the losses."""

from __future__ import annotations

from typing import Any

import numpy as np

from focal_loss._core import arrays, options, posterior, softmax_losses
from focal_loss._core.formula import Array
from focal_loss._core.shapes import broadcast_shape, normalize_axis
from focal_loss._dispatch.frameworks import formula_for
from focal_loss._host.evaluate import OPS


def elementwise(
    family: str, name: str, value: Any, gamma: Any, pos_weight: Any | None, instead: str | None = None
) -> Array:
    """`instead` is None for logits. For probabilities it names the function that takes logits, or is "" without one."""
    focus, weight = options.parameter("gamma", gamma), options.positive("pos_weight", pos_weight)
    xp = formula_for(value, gamma, pos_weight)
    given = xp.prediction(value, name)
    x = xp.at_least_float32(given)
    if instead is not None:
        _check_probabilities(xp, name, x, instead)
    focus, weight = xp.parameter("gamma", focus, x), xp.parameter("pos_weight", weight, x)
    shape = xp.shape(x)
    for other, tensor in (("gamma", focus), ("pos_weight", weight)):
        if not isinstance(tensor, float):
            shape = broadcast_shape((other, xp.shape(tensor)), (name, shape))
    return xp.cast(xp.elementwise(family, x, focus, weight), given)


def softmax(name: str, value: Any, gamma: Any, class_weight: Any | None, adjustment: Any | None, axis: int) -> Array:
    checked = {
        "gamma": options.parameter("gamma", gamma),
        "class_weight": options.positive("class_weight", class_weight),
        "logit_adjustment": options.offset("logit_adjustment", adjustment),
    }
    axis = options.integer("axis", axis)
    xp = formula_for(value, gamma, class_weight, adjustment)
    given = xp.prediction(value, name)
    x = xp.at_least_float32(given)
    rank = len(xp.shape(x))
    axis = normalize_axis(axis, rank, name)
    if name == "scores":
        _check_probabilities(xp, name, x, "categorical_posterior_from_logits")
        x = xp.where(xp.max(x, axis) > 0, xp.elementwise("logarithm", x), float("nan"))
    classes = xp.shape(x)[axis]
    focus, weight, offset = (
        softmax_losses.along_axis(
            xp, softmax_losses.per_class(xp, other, xp.parameter(other, parameter, x), classes), axis, rank
        )
        for other, parameter in checked.items()
    )
    evidence = xp.elementwise("class_evidence", xp.margin(x + offset, None, axis), focus, weight) - offset
    # With gamma 0 and weight 1 the posterior of a margin is its sigmoid, and the posteriors are a softmax.
    return xp.cast(xp.elementwise("posterior", xp.margin(evidence, None, axis), 0.0, 1.0), given)


def _check_probabilities(xp: Any, name: str, x: Array, instead: str) -> None:
    if not xp.readable(x):
        return
    numbers = xp.to_numpy(x)
    bad = (numbers < 0) | (numbers > 1)
    if bad.any():
        remedy = f"; apply a {'softmax' if name == 'scores' else 'sigmoid'} first, or use {instead}" if instead else ""
        raise ValueError(f"`{name}` must hold numbers in [0, 1], got {numbers[bad].flat[0]!s}{remedy}")


def prior_logit(prior: Any, gamma: Any, pos_weight: Any | None) -> Any:
    checked = _checked_prior(prior, 1.0)
    focus, weight = _host(options.parameter, "gamma", gamma), _host(options.positive, "pos_weight", pos_weight)
    shape = broadcast_shape(("gamma", focus.shape), ("prior", checked.shape))
    broadcast_shape(("pos_weight", weight.shape), ("prior", shape))
    return posterior.inverse(OPS, np.log(checked) - np.log1p(-checked) + np.log(weight), focus)[()]


def categorical_prior_logits(prior: Any, gamma: Any, class_weight: Any | None) -> Array:
    checked = _checked_prior(prior, float("inf"))
    if checked.ndim != 1 or len(checked) < 2:
        raise ValueError(f"`prior` must have one entry for each of at least 2 classes, got shape {checked.shape}")
    focus, weight = _host(options.parameter, "gamma", gamma), _host(options.positive, "class_weight", class_weight)
    for name, value in (("gamma", focus), ("class_weight", weight)):
        options.check_per_class(name, value.shape, len(checked))
    return posterior.logits_of_prior(OPS, checked, np.broadcast_to(focus, checked.shape), weight)


def _host(check: Any, name: str, value: Any) -> Array:
    """A checked parameter as float64, read from wherever it is."""
    arrays.refuse_missing(name, value)
    value = arrays.on_host(value)
    return np.asarray(check(name, np.asarray(value) if hasattr(value, "shape") else value), np.float64)


def _checked_prior(prior: Any, high: float) -> Array:
    arrays.refuse_missing("prior", prior)
    checked = np.asarray(arrays.on_host(prior))
    if checked.dtype.kind not in "iuf":
        raise TypeError(f"`prior` must be a number or an array of numbers, got {prior!r}")
    checked = checked.astype(np.float64)
    bad = ~((checked > 0) & (checked < high))
    if bad.any():
        kind = "a positive number" if high == float("inf") else f"a number in (0, {high:g})"
        raise ValueError(f"`prior` must be {kind}, got {checked[bad].flat[0]:g}")
    return checked
