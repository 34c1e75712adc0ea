"""The expected calibration error."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focal_loss._core import checks, options

STRATEGIES = ("uniform", "quantile")


def expected_calibration_error(
    y_true: ArrayLike,
    y_prob: ArrayLike,
    *,
    bins: int = 15,
    strategy: str = "uniform",
    sample_weight: ArrayLike | None = None,
) -> float:
    """The mean distance of predicted probabilities from observed frequencies.

    Parameters
    ----------
    y_true : array_like of bool or int, shape (n,)
        0 and 1, or class indices in [0, K).
    y_prob : array_like, shape (n,) or (n, K)
        The probability of the positive class, or of each class. With one per class, the probability of the most
        probable class is compared with how often that class is right.
    bins : int
        The number of bins, at least 1.
    strategy : {'uniform', 'quantile'}
        Bins of equal width, or of equal weight, in which equal probabilities stay in one bin.
    sample_weight : array_like, shape (n,), optional
        The weights of the examples, at least 0.

    Returns
    -------
    error : float
        The distance, in [0, 1], between the mean label and the mean probability of a bin, averaged over the bins by
        their numbers of examples. A bin includes its upper end.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If an argument is out of range or has the wrong shape, or there are no examples.

    References
    ----------
    .. [1] M. Naeini, G. Cooper and M. Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning",
       AAAI 2015. Binary.
    .. [2] C. Guo, G. Pleiss, Y. Sun and K. Weinberger, "On calibration of modern neural networks", ICML 2017,
       arXiv:1706.04599. Multiclass.

    Examples
    --------
    >>> from focal_loss.calibration import expected_calibration_error
    >>> print(round(expected_calibration_error([0, 1, 1, 1], [0.1, 0.1, 0.8, 1.0], bins=2), 3))
    0.25
    """
    if options.integer("bins", bins) < 1:
        raise ValueError(f"`bins` must be at least 1, got {bins}")
    if strategy not in STRATEGIES:
        raise ValueError(f"`strategy` must be 'uniform' or 'quantile', got {strategy!r}")
    labels, probability = checks.read("y_true", y_true), checks.read("y_prob", y_prob)
    hits, confidence = _hits(np.asarray(labels), np.asarray(probability))
    checks.refuse_foreign("sample_weight", sample_weight)
    weight = options.sample_weights(sample_weight, len(hits))
    inner = np.linspace(0, 1, bins + 1)[1:-1]
    if strategy == "quantile" and len(inner):
        inner = np.quantile(confidence, inner, weights=weight, method="inverted_cdf")
    gaps = np.bincount(np.searchsorted(inner, confidence), weight * (hits - confidence))
    return float(np.abs(gaps).sum() / weight.sum())


def _hits(y: NDArray[Any], probability: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each example: whether the prediction is right, and its predicted probability."""
    if probability.dtype.kind not in "fiub":
        raise TypeError(f"`y_prob` must be an array of real numbers, got dtype {probability.dtype}")
    if probability.ndim not in (1, 2) or y.shape != probability.shape[:1]:
        raise ValueError(
            f"`y_true` of shape {y.shape} and `y_prob` of shape {probability.shape} must be (n,) and (n,) or (n, K)"
        )
    if not y.size:
        raise ValueError("`y_true` must hold at least one label")
    probability = probability.astype(np.float64)
    inside = (probability >= 0) & (probability <= 1)
    if not inside.all():
        raise ValueError(f"`y_prob` must hold numbers in [0, 1], got {probability[~inside][0]}")
    count = 2 if probability.ndim == 1 else probability.shape[1]
    bad = ~np.isin(y, np.arange(count))
    if bad.any():
        raise ValueError(f"`y_true` must hold class indices in [0, {count}), got {y[bad][0]}")
    if probability.ndim == 1:
        return y.astype(np.float64), probability
    top = probability.argmax(1)
    return (top == y).astype(np.float64), probability.max(1)
