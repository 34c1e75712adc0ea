"""From the arguments of a call to posteriors, for all frameworks, as `binary_losses` is for the losses."""

from __future__ import annotations

from typing import Any

from focal_loss._core import options as check
from focal_loss._core import posterior as posterior  # importing it registers the closed forms
from focal_loss._core.declare import Kind, Option, Options, option, options
from focal_loss._core.formula import Array
from focal_loss._core.losses import common
from focal_loss._core.options import Parameter
from focal_loss._core.pipeline import Backend, at_least_zero
from focal_loss._core.shapes import broadcast_shape, normalize_axis
from focal_loss._core.softmax_losses import along_axis, per_class

POSITIVE = Kind(
    check.positive,
    "ParameterLike",
    (
        *common.PARAMETER.invalid,
        (0, ValueError, "must be a positive number, got 0"),
        ([1.0, 0.0], ValueError, "must be a positive number, got 0 in an array"),
    ),
)
OFFSET = Kind(
    check.offset,
    "ParameterLike",
    (
        ([0.0, common.INF], ValueError, "must hold finite numbers, got inf"),
        ("a", TypeError, "must be an array of real numbers, got str"),
    ),
)
TEMPERATURE = Kind(
    check.temperature,
    "float",
    (
        (0, ValueError, "must be a number in [1e-06, 1e+06], got 0"),
        (1e7, ValueError, "must be a number in [1e-06, 1e+06], got 10000000.0"),
        (common.NAN, ValueError, "must be a number in [1e-06, 1e+06], got nan"),
        ([2.0], TypeError, "must be a number in [1e-06, 1e+06], got [2.0]"),
        (None, TypeError, "must be a number in [1e-06, 1e+06], got None"),
    ),
)


@options
class Binary(Options):
    """The options of the map of a sigmoid."""

    weight_name = "pos_weight"
    gamma: Parameter = option(Option(common.PARAMETER, "", ""))
    pos_weight: Parameter = option(Option(POSITIVE, "", ""), default=None)
    temperature: float = option(Option(TEMPERATURE, "", ""), default=1.0)


@options
class Categorical(Options):
    """The options of the map of a softmax."""

    weight_name = "class_weight"
    gamma: Parameter = option(Option(common.PARAMETER, "", ""))
    class_weight: Parameter = option(Option(POSITIVE, "", ""), default=None)
    logit_adjustment: Parameter = option(Option(OFFSET, "", ""), default=None)
    axis: int = option(Option(common.AXIS, "", ""), default=-1)
    temperature: float = option(Option(TEMPERATURE, "", ""), default=1.0)


def elementwise(xp: Backend, family: str, name: str, value: Any, spec: Binary, instead: str | None = None) -> Array:
    """`instead` is None for logits. For probabilities it names the function that takes logits, or is "" without one."""
    given = xp.prediction(value, name)
    x = xp.at_least_float32(given)
    if instead is not None:
        _check_probabilities(xp, name, x, instead)
    if spec.temperature != 1:
        x = x / spec.temperature
    gamma, weight = xp.parameter("gamma", spec.gamma, x), xp.parameter("pos_weight", spec.pos_weight, x)
    gamma = at_least_zero(xp, gamma)
    shape = xp.shape(x)
    for other, tensor in (("gamma", gamma), ("pos_weight", weight)):
        if not isinstance(tensor, float):
            shape = broadcast_shape((other, xp.shape(tensor)), (name, shape))
    return xp.cast(xp.elementwise(family, x, gamma, weight), given)


def softmax(xp: Backend, name: str, value: Any, spec: Categorical) -> Array:
    """The posteriors of all classes, from their logits, or from their `scores` if that is the name of the value."""
    given = xp.prediction(value, name)
    x = xp.at_least_float32(given)
    rank = len(xp.shape(x))
    axis = normalize_axis(spec.axis, rank, name)
    if name == "scores":
        _check_probabilities(xp, name, x, "categorical_posterior_from_logits")
        x = xp.where(xp.max(x, axis) > 0, xp.elementwise("logarithm", x), float("nan"))
    classes = xp.shape(x)[axis]
    gamma, weight, offset = (
        along_axis(xp, per_class(xp, other, xp.parameter(other, getattr(spec, other), x), classes), axis, rank)
        for other in ("gamma", "class_weight", "logit_adjustment")
    )
    gamma = at_least_zero(xp, gamma)
    margin = xp.margin(tempered(xp, x + offset, axis, spec.temperature), None, axis)
    evidence = xp.elementwise("class_evidence", margin, gamma, weight) - offset
    # With gamma 0 and weight 1 the posterior of a margin is its sigmoid, and the posteriors are a softmax.
    return xp.cast(xp.elementwise("posterior", xp.margin(evidence, None, axis), 0.0, 1.0), given)


def tempered(xp: Backend, x: Array, axis: int, temperature: float) -> Array:
    """The logits of a softmax, divided by a temperature. Those of a row are taken from the largest, so that no quotient
    is above the largest number.
    """
    if temperature == 1:
        return x
    peak = xp.constant(xp.max(x, axis))
    return (x - xp.where(xp.abs(peak) <= xp.largest(x), peak, 0.0)) / temperature


def _check_probabilities(xp: Backend, name: str, x: Array, instead: str) -> None:
    if not xp.readable(x):
        return
    numbers = xp.to_numpy(x)
    bad = (numbers < 0) | (numbers > 1)
    if bad.any():
        remedy = f"; apply a {'softmax' if name == 'scores' else 'sigmoid'} first, or use {instead}" if instead else ""
        raise ValueError(f"`{name}` must hold numbers in [0, 1], got {numbers[bad].flat[0]!s}{remedy}")
