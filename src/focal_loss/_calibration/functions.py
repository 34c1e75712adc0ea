"""Posteriors and scores by the framework of the arguments, and start scores on the host."""

from __future__ import annotations

from typing import Any

import numpy as np

from focal_loss._core import checks, options, posterior, posterior_maps
from focal_loss._core.formula import Array
from focal_loss._core.shapes import broadcast_shape
from focal_loss._dispatch.frameworks import formula_for
from focal_loss._host.evaluate import OPS


def elementwise(
    family: str, name: str, value: Any, gamma: Any, pos_weight: Any | None, instead: str | None = None
) -> Array:
    """`posterior_maps.elementwise` for the framework of the arguments."""
    spec = posterior_maps.Binary(gamma=gamma, pos_weight=pos_weight)
    return posterior_maps.elementwise(formula_for(value, gamma, pos_weight), family, name, value, spec, instead)


def softmax(name: str, value: Any, gamma: Any, class_weight: Any | None, adjustment: Any | None, axis: int) -> Array:
    """`posterior_maps.softmax` for the framework of the arguments."""
    spec = posterior_maps.Categorical(gamma=gamma, class_weight=class_weight, logit_adjustment=adjustment, axis=axis)
    return posterior_maps.softmax(formula_for(value, gamma, class_weight, adjustment), name, value, spec)


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
    value = checks.read(name, value)
    return np.asarray(check(name, np.asarray(value) if hasattr(value, "shape") else value), np.float64)


def _checked_prior(prior: Any, high: float) -> Array:
    checked = np.asarray(checks.read("prior", prior))
    if checked.dtype.kind not in "iuf":
        raise TypeError(f"`prior` must be a number or an array of numbers, got {prior!r}")
    checked = checked.astype(np.float64)
    bad = ~((checked > 0) & (checked < high))
    if bad.any():
        kind = "a positive number" if high == float("inf") else f"a number in (0, {high:g})"
        raise ValueError(f"`prior` must be {kind}, got {checked[bad].flat[0]:g}")
    return checked
