"""The quality of probabilities: metrics, and the intervals of their values and differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import stats
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from focal_loss._command import effective, weights

Array = Any
SMALLEST = 1e-7  # least probability in a logarithm, so that one certain mistake does not decide the mean
REPLICATES, FEW_REPLICATES, MANY_ROWS = 1000, 200, 50_000


class Measure(NamedTuple):
    name: str
    function: Callable[..., float]  # of labels, probabilities and `sample_weight`
    higher_is_better: bool

    def of(self, y: Array, probability: Array, weight: Array | None = None) -> float:
        return float(self.function(y, probability, sample_weight=weight))


def best_f1(y: Array, probability: Array, sample_weight: Array | None = None) -> float:
    """F1 at the threshold where it is highest."""
    return Gains.of(y, probability).metrics(weights.each(sample_weight, len(y)))["f1"]


def cut_log_loss(y: Array, probability: Array, sample_weight: Array | None = None) -> float:
    return float(log_loss(y, np.clip(probability, SMALLEST, 1 - SMALLEST), sample_weight=sample_weight))


MEASURES = {
    "average_precision": Measure("average precision", average_precision_score, True),
    "roc_auc": Measure("ROC AUC", roc_auc_score, True),
    "log_loss": Measure("log loss", cut_log_loss, False),
    "brier": Measure("Brier score", brier_score_loss, False),
    "f1": Measure("best F1", best_f1, True),
}


@dataclass(frozen=True)
class Ranked:
    """Rows by descending probability. Equal probabilities form a group; `ends` is the last row of each."""

    positive: Array  # whether each row is positive, in that order
    weight: Array
    ends: Array
    values: Array  # the probability of each group
    order: Array

    @classmethod
    def of(cls, y: Array, probability: Array, weight: Array | None = None) -> Ranked:
        order = np.argsort(-probability, kind="stable")
        ranked = probability[order]
        ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
        return cls(np.asarray(y, bool)[order], weights.each(weight, len(order))[order], ends, ranked[ends], order)

    def counts(self, power: int = 1) -> tuple[Array, Array]:
        """True and false positives if everything up to each group is called positive: sums of their weights, or of a
        power of these.
        """
        weight = self.weight**power
        hits, alarms = (np.cumsum(np.where(side, weight, 0))[self.ends] for side in (self.positive, ~self.positive))
        return hits, alarms

    def spread(self, parts: int) -> Array:
        """At most `parts` groups, spread evenly over the ranks of the positives and of all rows, the last group
        included.
        """
        hits, alarms = self.counts()
        fraction = (hits / hits[-1] + (hits + alarms) / (hits[-1] + alarms[-1])) / 2
        found = np.searchsorted(fraction, np.linspace(0, 1, parts + 1)[1:])
        return np.unique(np.minimum(found, len(hits) - 1))


@dataclass(frozen=True)
class Gains:
    """The groups of a ranking that hold positives. Its metrics depend on nothing else, and few positives have few
    groups.

    `order` sorts the rows by rank. `hits` are the positions of the positives in that order, and `first` the first of
    each group among these. `ends` and `before` are the positions of each group's last row and of the row before its
    first.
    """

    order: Array
    hits: Array
    first: Array
    ends: Array
    before: Array

    @classmethod
    def of(cls, y: Array, probability: Array) -> Gains:
        ranked = Ranked.of(y, probability)
        hits = np.flatnonzero(ranked.positive)
        groups, first = np.unique(np.searchsorted(ranked.ends, hits), return_index=True)
        last = np.append(ranked.ends, -1)  # -1: no row before the first group
        return cls(ranked.order, hits, first, ranked.ends[groups], last[groups - 1])

    def metrics(self, weight: Array) -> dict[str, float]:
        """Average precision, ROC AUC and the highest F1 of rows with these weights, not all of which are 0."""
        weight = weight[self.order]
        total = np.append(np.cumsum(weight), 0)  # total[-1] = 0 stands for no rows
        gained = np.add.reduceat(weight[self.hits], self.first)
        found = np.cumsum(gained)
        called, positives = total[self.ends], found[-1]
        negatives = total[-2] - positives
        # Within a group, half of the negatives count as ranked below its positives.
        alarms = (called - found + total[self.before] - (found - gained)) / 2
        precision = np.divide(found, called, out=np.zeros(len(found)), where=called > 0)
        return {
            "average_precision": float(gained @ precision / positives),
            "roc_auc": float(gained @ (negatives - alarms) / (positives * negatives)),
            "f1": float((2 * found / (called + positives)).max()),
        }


# ---------------------------------------------------------------------------------------------------------------
# The bootstrap
# ---------------------------------------------------------------------------------------------------------------


def of_weights(y: Array, probability: Array) -> Callable[[Array], list[float]]:
    """The metrics, in the order of `MEASURES`, as a function of the rows' weights."""
    p = np.clip(probability, SMALLEST, 1 - SMALLEST)
    sums = {"log_loss": -np.log(np.where(y, p, 1 - p)), "brier": np.square(probability - y)}
    gains = Gains.of(y, probability)

    def metrics(weight: Array) -> list[float]:
        means = {name: float(each @ weight / weight.sum()) for name, each in sums.items()}
        found = gains.metrics(weight) | means
        return [found[name] for name in MEASURES]

    return metrics


def resampled(
    y: Array,
    probabilities: Sequence[Array],
    groups: Array | None,
    seed: int,
    weight: Array | None = None,
    error: float | None = None,
) -> Array:
    """The metrics of each model in each bootstrap sample, of shape (models, samples, metrics). All models see the same
    samples. A row that is drawn twice has twice its weight.

    Positives and negatives are resampled separately, or whole groups of rows, where `groups` has a number for each row:
    the rows of a patient are not as many witnesses as rows. Without groups, the share of the positives is drawn too,
    because log loss and average precision depend on it: its log odds have this standard error, or that of these rows. A
    part that was drawn to have the share of its table knows it as well as the table does.

    B. Efron and R. Tibshirani, "An introduction to the bootstrap", 1993, chapter 13.
    """
    rng = np.random.default_rng(seed)
    models = [of_weights(y, np.asarray(probability, np.float64)) for probability in probabilities]
    positive, own = np.asarray(y, bool), weights.each(weight, len(y))
    kinds = [np.flatnonzero(positive), np.flatnonzero(~positive)]
    units = np.arange(len(y))
    if groups is not None:
        units = np.unique(groups, return_inverse=True)[1]
        kinds = [np.arange(units.max() + 1)]
    share = float(np.average(positive, weights=own))
    error = effective.error_of_odds(positive, own) if error is None else error
    found: list[list[list[float]]] = []
    while len(found) < (REPLICATES if len(y) <= MANY_ROWS else FEW_REPLICATES):
        count = np.zeros(units.max() + 1)
        for kind in kinds:
            count[kind] = np.bincount(rng.integers(0, len(kind), len(kind)), minlength=len(kind))
        drawn = count[units] * own
        if groups is None:
            # Rows of uneven weights have another share than they were drawn from.
            here = float(np.average(positive, weights=drawn))
            drawn = drawn * of_share(positive, here, logit(share) - logit(here) + error * rng.standard_normal())
        if drawn[positive].any() and drawn[~positive].any():  # few groups may all be of one class
            found.append([metrics(drawn) for metrics in models])
    return np.swapaxes(found, 0, 1)


def of_share(positive: Array, share: float, shift: float) -> Array:
    """Factors of the rows' weights that raise the log odds of the positives' share by `shift`."""
    other = expit(logit(share) + shift)
    return np.where(positive, other / share, (1 - other) / (1 - share))


def interval(values: Array) -> tuple[float, float]:
    """The 95 % percentile interval of a metric, or of a difference, over bootstrap samples."""
    low, high = np.quantile(values, [0.025, 0.975]).tolist()
    return low, high


def wilson(rate: Array, count: Array) -> tuple[Array, Array]:
    """The ends of the 95 % interval of a rate, as in E. Wilson, "Probable inference", JASA 22, 1927."""
    z = 1.96
    middle = (rate + z * z / (2 * count)) / (1 + z * z / count)
    half = z * np.sqrt(rate * (1 - rate) / count + (z / (2 * count)) ** 2) / (1 + z * z / count)
    return np.maximum(middle - half, 0), middle + half


def over_parts(values: Array, share: float, error: float) -> tuple[float, float]:
    """The 95 % interval of a mean over held-out parts of one table, which are `share` of what is learned from.

    The parts overlap, so their variance says too little; it is raised as in C. Nadeau and Y. Bengio, "Inference for
    the generalization error", Machine Learning 52, 2003, section 3. All have the share of the positives of the table,
    from which a standard error of the mean comes on top.
    """
    count = len(values)
    reach = stats.t.ppf(0.975, count - 1) * np.std(values, ddof=1) * np.sqrt(1 / count + share)
    reach = float(np.hypot(reach, stats.norm.ppf(0.975) * error))
    return float(np.mean(values)) - reach, float(np.mean(values)) + reach


def reliability(
    y: Array, probability: Array, bins: int = 10, weight: Array | None = None, groups: Array | None = None
) -> tuple[list[float], list[float], list[float]]:
    """Mean probability and frequency in bins, ascending, and the number of independent rows of equal weight that tell
    as much about the frequency: without weights and groups, the number of rows.

    The bins divide the mean of the ranks among positives and among all rows evenly. For a rare class, bins of equal
    width would put nearly all examples into one bin, and bins of equal number most of the positives.
    """
    ranked = Ranked.of(y, probability, weight)
    ends = ranked.ends[ranked.spread(bins)]
    starts = np.append(0, ends[:-1] + 1)
    total = np.add.reduceat(ranked.weight, starts)
    mean = np.add.reduceat(probability[ranked.order].astype(float) * ranked.weight, starts) / total
    groups = weights.taken(groups, ranked.order)
    shares = [
        effective.share(ranked.positive[rows], ranked.weight[rows], weights.taken(groups, rows))
        for rows in map(slice, starts[::-1], ends[::-1] + 1)
    ]
    return mean[::-1].tolist(), [share.value for share in shares], [share.effective for share in shares]


def at_top(ranked: Ranked, share: float) -> float:
    """The precision among this share of the rows, the highest ranked, at least one. Rows of one probability at the
    boundary count in proportion, as if they were drawn by lot.
    """
    hits, alarms = ranked.counts()
    rows = len(ranked.order)
    top = max(1, round(share * rows)) * ((hits[-1] + alarms[-1]) / rows)
    return float(np.interp(top, np.append(0, hits + alarms), np.append(0, hits)) / top)


def kolmogorov_smirnov(ranked: Ranked) -> float:
    """The largest difference of the true and the false positive rate over all thresholds."""
    hits, alarms = ranked.counts()
    return float(max(0.0, (hits / hits[-1] - alarms / alarms[-1]).max()))


def slope(y: Array, probability: Array, weight: Array | None = None) -> float:
    """The slope of a logistic regression of the labels on the log odds of the probabilities; NaN if there is none,
    because one probability is given to all or separates the classes.

    D. R. Cox, "Two further applications of a model for binary regression", Biometrika 45, 1958.
    """
    y = np.asarray(y, bool)
    positives, negatives = probability[y], probability[~y]
    if positives.min() >= negatives.max() or positives.max() <= negatives.min():
        return float("nan")
    odds = logit(np.clip(probability, SMALLEST, 1 - SMALLEST).astype(np.float64))
    scale = odds.std()
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-8, max_iter=200)
    return float(model.fit(odds[:, None] / scale, y, sample_weight=weight).coef_[0, 0] / scale)
