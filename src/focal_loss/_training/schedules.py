"""Gammas that depend on the example or on the step, as the caller sees them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from focal_loss._core import arrays, checks, options
from focal_loss._dispatch.frameworks import formula_for

STEPS = 7  # of Newton's method in `_root`; see there


def flsd53(p_t: Any) -> Any:
    """Gamma by example: 5 where the model gives the true class less than 0.2, else 3.

    Parameters
    ----------
    p_t : array_like, any shape
        The probability of the true class, in [0, 1]; integers and lists become float32.

    Returns
    -------
    gamma : array, the shape of `p_t`
        In the framework, on the device and in the dtype of `p_t`, without a gradient. NaN where `p_t` is.

    Raises
    ------
    TypeError
        If `p_t` holds no real numbers.
    ValueError
        If a probability that can be looked at is outside [0, 1]: eagerly, on the host.

    Notes
    -----
    A large gamma keeps a model from being too sure of what it has right, but shrinks the gradients of hard examples. A
    gamma chosen by example does the first without the second [1]_. The two numbers are what `gamma_for_probability`
    gives for 0.2 and 0.25, rounded.

    References
    ----------
    .. [1] J. Mukhoti, V. Kulharia, A. Sanyal, S. Golodetz, P. Torr and P. Dokania, "Calibrating deep neural networks
       using focal loss", NeurIPS 2020, arXiv:2002.09437.

    Examples
    --------
    >>> from focal_loss.schedules import flsd53
    >>> flsd53([0.1, 0.2, 0.9])
    array([5., 3., 3.], dtype=float32)
    """
    xp = formula_for(p_t)
    given = xp.prediction(p_t, "p_t")
    if xp.readable(given):
        checks.check_probabilities(xp.to_numpy(given), name="p_t", remedy="; apply a sigmoid or softmax to logits")
    x = xp.at_least_float32(given)
    return xp.cast(xp.where(x < 0.2, 5.0, xp.where(x >= 0.2, 3.0, math.nan)), given)


def gamma_for_probability(p0: Any) -> Any:
    """The gamma whose focal loss has the same gradient as cross-entropy at examples of probability `p0`.

    Parameters
    ----------
    p0 : float or array_like
        The probability of the true class, in (0, 0.5].

    Returns
    -------
    gamma : float64 or array of float64, the shape of `p0`
        Below `p0` the gradient of the focal loss is the larger one, above it the smaller. 0 for 0.5.

    Raises
    ------
    TypeError
        If `p0` holds no numbers.
    ValueError
        If one is outside (0, 0.5], where no gamma above 0 has this property.

    Notes
    -----
    It is the root g of ``(1 - p)**g - g * p * (1 - p)**(g - 1) * log(p) = 1`` other than 0, which [1]_ writes by the
    branch -1 of Lambert's function.

    References
    ----------
    .. [1] J. Mukhoti, V. Kulharia, A. Sanyal, S. Golodetz, P. Torr and P. Dokania, "Calibrating deep neural networks
       using focal loss", NeurIPS 2020, arXiv:2002.09437, proposition 1.

    Examples
    --------
    >>> from focal_loss.schedules import gamma_for_probability
    >>> gamma_for_probability([0.2, 0.25, 0.5]).round(4)
    array([4.8506, 3.0702, 0.    ])
    """
    given = checks.host_array("p0", arrays.on_host(p0))
    p = given.astype(np.float64)
    bad = ~((p > 0) & (p <= 0.5))
    if bad.any():
        raise ValueError(f"`p0` must be a number in (0, 0.5], got {given[bad].flat[0]!s}")
    with np.errstate(over="ignore", under="ignore"):
        return (np.expm1(_root(_log_ratio(p))) * ((1 - p) / (-p * np.log(p))))[()]


# With L = -log p, l = -log q and R = p L / q the equation is log(1 + g R) = g l. With t = log(1 + g R) it is
#
#     log(expm1(t) / t) = log(R / l),    g = expm1(t) / R
#
# whose left side rises from 0 and is convex.


def _log_ratio(p: Any) -> Any:
    """log(R / l) = log(p L / (q l)), which goes to 0 with 1/2 - p.

    1 - (q l) / (p L) is D / (p L), where D = p L - q l and with d = 1/2 - p, which is exact,

        D = atanh(2d) + d log(1 - 4 d^2) - 2 d log 2
    """
    d = np.minimum(0.5 - p, 0.25)
    difference = np.arctanh(2 * d) + d * np.log1p(-4 * d * d) - 2 * d * math.log(2)
    near = -np.log1p(difference / ((0.5 - d) * np.log(0.5 - d)))
    return np.where(p > 0.25, near, np.log(p / -np.log1p(-p) * (-np.log(p) / (1 - p))))


def _root(target: Any) -> Any:
    """The t with log(expm1(t) / t) = target, for targets in [0, 7], as those of every p are.

    The left side is convex and at least t / 2, so that Newton's steps come down from twice the target, and each squares
    the error. A start at most twice the root takes five steps, to the last place of float64, at every target.
    """
    t = 2 * target
    for _ in range(STEPS):
        t = t - (_log_mean_exp(t) - target) / _slope(t)
    return t


def _log_mean_exp(t: Any) -> Any:
    """log(expm1(t) / t), relatively accurate at 0: there t / 2 + log(sinh(x) / x) with x = t / 2, by its series."""
    square = np.minimum(t / 2, 1.0) ** 2
    series = np.ones_like(square)
    for k in (272, 210, 156, 110, 72, 42, 20):
        series = 1 + square / k * series
    large = np.maximum(t, 2.0)
    return np.where(t < 2, t / 2 + np.log1p(square / 6 * series), large + np.log1p(-np.exp(-large)) - np.log(large))


def _slope(t: Any) -> Any:
    """Its derivative, 1 / (1 - exp(-t)) - 1 / t; next to 0 its series."""
    safe = np.maximum(t, 1e-3)
    return np.where(t < 1e-3, 0.5 + t / 12, -1 / np.expm1(-safe) - 1 / safe)


def linear_schedule(step: float, steps: float, start: float, end: float) -> float:
    """A gamma that goes from one number to another in a straight line.

    Parameters
    ----------
    step : float
        The step, or the epoch, that the training is in; before 0 it counts as 0, after `steps` as `steps`.
    steps : float
        The number of steps after which `end` is reached, above 0.
    start, end : float
        The gamma at first and at last, at least 0.

    Returns
    -------
    gamma : float
        A number. Where the step is compiled, hand it over as an argument.

    Raises
    ------
    TypeError
        If an argument is no number.
    ValueError
        If one is out of range.

    Examples
    --------
    >>> from focal_loss.schedules import linear_schedule
    >>> [linear_schedule(step, 4, start=0.0, end=2.0) for step in range(6)]
    [0.0, 0.5, 1.0, 1.5, 2.0, 2.0]
    """
    return _between(start, end, _progress(step, steps))


def cosine_schedule(step: float, steps: float, start: float, end: float) -> float:
    """A gamma that goes from one number to another along half a wave of a cosine: slowly at both ends.

    Parameters
    ----------
    step : float
        The step, or the epoch, that the training is in; before 0 it counts as 0, after `steps` as `steps`.
    steps : float
        The number of steps after which `end` is reached, above 0.
    start, end : float
        The gamma at first and at last, at least 0.

    Returns
    -------
    gamma : float
        A number. Where the step is compiled, hand it over as an argument.

    Raises
    ------
    TypeError
        If an argument is no number.
    ValueError
        If one is out of range.

    Examples
    --------
    >>> from focal_loss.schedules import cosine_schedule
    >>> [round(cosine_schedule(step, 4, start=0.0, end=2.0), 3) for step in range(6)]
    [0.0, 0.293, 1.0, 1.707, 2.0, 2.0]
    """
    return _between(start, end, math.sin(math.pi / 2 * _progress(step, steps)) ** 2)


def _progress(step: Any, steps: Any) -> float:
    """How much of the way, in [0, 1]."""
    for name, value in (("step", step), ("steps", steps)):
        if not options.is_number(value):
            remedy = "" if name == "steps" else "; compute gamma outside of compiled code and hand it over"
            raise TypeError(f"`{name}` must be a number, got {checks.shown(value)}{remedy}")
    if not 0 < steps < math.inf:
        raise ValueError(f"`steps` must be a positive number, got {checks.shown(steps)}")
    if math.isnan(step):
        raise ValueError(f"`step` must be a number, got {checks.shown(step)}")
    return min(max(float(step) / float(steps), 0.0), 1.0)


def _between(start: Any, end: Any, progress: float) -> float:
    """Exactly `start` and `end` at 0 and 1."""
    for name, value in (("start", start), ("end", end)):
        if not options.is_number(value):
            raise TypeError(f"`{name}` must be a non-negative number, got {checks.shown(value)}")
    low, high = options.parameter("start", start), options.parameter("end", end)
    return float((1 - progress) * low + progress * high)
