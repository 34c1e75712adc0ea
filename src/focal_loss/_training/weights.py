"""Weights of classes from their counts, as the caller sees them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from focal_loss._core import arrays, checks, options

Floats = NDArray[np.float64]


def _counts(value: Any) -> Floats:
    """The number of examples of each class, or the sum of their weights."""
    given = checks.host_array("counts", arrays.on_host(value))
    if given.dtype.kind == "b":
        raise TypeError("`counts` must be an array of numbers, got an array of bool")
    counts = given.astype(np.float64)
    if counts.ndim != 1 or not counts.size:
        raise ValueError(f"`counts` must have one entry per class, got shape {counts.shape}")
    bad = ~((counts >= 0) & np.isfinite(counts))
    if bad.any():
        raise ValueError(f"`counts` must hold non-negative numbers, got {_first(given, bad)}")
    with np.errstate(over="ignore"):
        total = counts.sum()
    if not 0 < total < math.inf:
        what = "a count above 0" if total == 0 else "numbers of a finite sum"
        raise ValueError(f"`counts` must hold {what}, got a sum of {total:g}")
    return counts


def _first(counts: NDArray[Any], bad: NDArray[np.bool_]) -> str:
    where = int(bad.argmax())
    return f"{counts[where]!s} for class {where}"


def _ratios(numerator: Any, counts: Floats) -> Floats:
    """`numerator` over the counts; 0 for a class without examples."""
    return np.divide(numerator, counts, out=np.zeros_like(counts), where=counts > 0)


def effective_number_weights(counts: Any, beta: float = 0.9999) -> Floats:
    """Weights of classes by their effective numbers of examples.

    Parameters
    ----------
    counts : array_like, shape (K,)
        The number of examples of each class, at least 0. Sums of sample weights are counts too.
    beta : float
        A number in [0, 1]. 0 weighs all classes alike, 1 each by the inverse of its count. Between them it is
        1 - 1 / N, where N is about the number of examples beyond which another one of the same class adds little.

    Returns
    -------
    weights : array of float64, shape (K,)
        The weights have the sum K, so that their mean is 1. A class without examples has 0.

    Raises
    ------
    TypeError
        If an argument is no number.
    ValueError
        If a count is negative or not finite, if all are 0, or if `beta` is out of range.

    Notes
    -----
    The effective number of n examples is ``(1 - beta**n) / (1 - beta)``, and the weight of a class is proportional to
    its inverse [1]_. Neither a beta next to 1 nor a large count costs digits.

    References
    ----------
    .. [1] Y. Cui, M. Jia, T. Lin, Y. Song and S. Belongie, "Class-balanced loss based on effective number of samples",
       CVPR 2019, arXiv:1901.05555, equation 4.

    Examples
    --------
    >>> from focal_loss.weights import effective_number_weights
    >>> effective_number_weights([5000, 500, 50], beta=0.9999).round(4)
    array([0.0341, 0.2752, 2.6907])
    """
    n, rate = _counts(counts), _rate(beta)
    numbers = _effective_numbers(n, rate)
    weights = _ratios(numbers[n > 0].min(), numbers)
    return len(n) / weights.sum() * weights


def _rate(beta: Any) -> float:
    """-log(beta)."""
    if not options.is_number(beta):
        raise TypeError(f"`beta` must be a number in [0, 1], got {checks.shown(beta)}")
    if not 0 <= beta <= 1:
        raise ValueError(f"`beta` must be a number in [0, 1], got {checks.shown(beta)}")
    return -math.log(beta) if beta > 0 else math.inf


def _effective_numbers(n: Floats, rate: float) -> Floats:
    """(1 - beta^n) times a common factor, which is 1 / rate where a decay can be told from none."""
    if rate == 0 or rate == math.inf:
        return n if rate == 0 else np.sign(n)
    with np.errstate(over="ignore", under="ignore"):
        decay = rate * n
        return np.where(decay < 1e-17, n, -np.expm1(-decay) / rate)


def balanced_weights(counts: Any) -> Floats:
    """Weights of classes by the inverse of their counts.

    Parameters
    ----------
    counts : array_like, shape (K,)
        The number of examples of each class, at least 0. Sums of sample weights are counts too.

    Returns
    -------
    weights : array of float64, shape (K,)
        ``n / (m * counts)``, where n is the sum of the counts and m is the number of classes that have examples; 0 for
        a class without. The mean over the examples is 1.

    Raises
    ------
    TypeError
        If `counts` holds no numbers.
    ValueError
        If a count is negative or not finite, or if all are 0.

    Notes
    -----
    They are those of ``class_weight="balanced"`` in scikit-learn.

    Examples
    --------
    >>> from focal_loss.weights import balanced_weights
    >>> balanced_weights([900, 90, 10]).round(4)
    array([ 0.3704,  3.7037, 33.3333])
    """
    n = _counts(counts)
    return _ratios(n.sum() / np.count_nonzero(n), n)


def logit_adjustment(counts: Any, tau: float = 1.0) -> Floats:
    """Offsets of the logits of a softmax, by which rare classes need a larger margin.

    Parameters
    ----------
    counts : array_like, shape (K,)
        The number of examples of each class, above 0, or their shares: only ratios matter.
    tau : float
        The size of the adjustment, at least 0. 1 trains for the mean accuracy of the classes.

    Returns
    -------
    adjustment : array of float64, shape (K,)
        ``tau * log(counts / sum(counts))``, to be added to the logits before the loss and not where the model predicts.

    Raises
    ------
    TypeError
        If an argument is no number.
    ValueError
        If a count is negative or not finite, or if `tau` is out of range. If a count is 0, because the logarithm is
        minus infinity: that class would be out of the softmax while the model trains, and back in it, untrained, where
        the model predicts. Leave the class out, or add a number such as 1 to every count.

    References
    ----------
    .. [1] A. Menon, S. Jayasumana, A. Rawat, H. Jain, A. Veit and S. Kumar, "Long-tail learning via logit adjustment",
       ICLR 2021, arXiv:2007.07314, equation 10.

    Examples
    --------
    >>> from focal_loss.weights import logit_adjustment
    >>> logit_adjustment([900, 90, 10]).round(4)
    array([-0.1054, -2.4079, -4.6052])
    """
    n = _counts(counts)
    if (n == 0).any():
        raise ValueError(
            f"`counts` must hold positive numbers, got {_first(n, n == 0)}, of which the logarithm is infinite; leave "
            "the class out, or add a number such as 1 to every count"
        )
    if not options.is_number(tau):
        raise TypeError(f"`tau` must be a non-negative number, got {checks.shown(tau)}")
    return options.parameter("tau", tau) * _log_priors(n) + 0.0  # 0, not -0


def _log_priors(n: Floats) -> Floats:
    """log(n / sum(n)) as -log(1 + others / n), of relative accuracy where a class has nearly all examples.

    The sum of the others would cancel for the largest class only.
    """
    top = int(n.argmax())
    others = n.sum() - n
    others[top] = n[np.arange(len(n)) != top].sum()
    with np.errstate(over="ignore"):
        ratios = others / n
    return np.where(np.isinf(ratios), np.log(n) - np.log(n.sum()), -np.log1p(ratios))
