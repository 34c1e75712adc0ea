"""What probabilities are worth: metrics, the interval of a difference of two models, and thresholds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

Array = Any
SMALLEST = 1e-7  # what a probability is cut to in a logarithm: one certain mistake must not decide everything
REPLICATES, FEW_REPLICATES, MANY_ROWS = 1000, 200, 50_000
THRESHOLDS = 399  # and one above them all


class Measure(NamedTuple):
    name: str
    of: Callable[[Array, Array], float]
    higher_is_better: bool


def best_f1(y: Array, probability: Array) -> float:
    """At the threshold where it is highest."""
    return float(Ranked.of(y, probability).f1().max())


def cut_log_loss(y: Array, probability: Array) -> float:
    return float(log_loss(y, np.clip(probability, SMALLEST, 1 - SMALLEST)))


MEASURES = {
    "average_precision": Measure("average precision", average_precision_score, True),
    "roc_auc": Measure("ROC AUC", roc_auc_score, True),
    "log_loss": Measure("log loss", cut_log_loss, False),
    "brier": Measure("Brier score", brier_score_loss, False),
    "f1": Measure("F1", best_f1, True),
}


@dataclass(frozen=True)
class Ranked:
    """Rows from the most probable on, equal probabilities together; `ends` is the last row of each such group."""

    positive: Array  # of each row in that order
    ends: Array
    values: Array  # the probability of each group
    order: Array

    @classmethod
    def of(cls, y: Array, probability: Array) -> Ranked:
        order = np.argsort(-probability, kind="stable")
        ranked = probability[order]
        ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
        return cls(np.asarray(y, bool)[order], ends, ranked[ends], order)

    def counts(self, weight: Array | None = None) -> tuple[Array, Array]:
        """True and false positives if everything up to each group is called positive."""
        weight = np.ones(len(self.positive)) if weight is None else weight[self.order]
        hits = np.cumsum(weight * self.positive)[self.ends]
        return hits, np.cumsum(weight)[self.ends] - hits

    def average_precision(self, weight: Array | None = None) -> float:
        hits, alarms = self.counts(weight)
        gained = np.diff(hits, prepend=0)
        with np.errstate(invalid="ignore"):
            return float(np.nansum(gained * hits / (hits + alarms)) / hits[-1])

    def roc_auc(self, weight: Array | None = None) -> float:
        hits, alarms = self.counts(weight)
        return float(np.trapezoid(np.append(0, hits), np.append(0, alarms)) / (hits[-1] * alarms[-1]))

    def f1(self, weight: Array | None = None) -> Array:
        hits, alarms = self.counts(weight)
        return 2 * hits / (hits + alarms + hits[-1])


# ---------------------------------------------------------------------------------------------------------------
# A paired bootstrap
# ---------------------------------------------------------------------------------------------------------------


def weighted(name: str, y: Array, probability: Array) -> Callable[[Array], float]:
    """A metric as a function of the rows' weights, with what does not depend on them done once."""
    if name in ("log_loss", "brier"):
        p = np.clip(probability, SMALLEST, 1 - SMALLEST)
        each = np.square(probability - y) if name == "brier" else -np.log(np.where(y, p, 1 - p))
        return lambda weight: float(each @ weight / weight.sum())
    ranked = Ranked.of(y, probability)
    if name == "f1":
        return lambda weight: float(ranked.f1(weight).max())
    return ranked.average_precision if name == "average_precision" else ranked.roc_auc


def interval(name: str, y: Array, first: Array, second: Array, seed: int) -> tuple[float, float]:
    """The 95 % percentile interval of metric(first) - metric(second), rows drawn anew, positives and negatives apart.

    B. Efron and R. Tibshirani, "An introduction to the bootstrap", 1993, chapter 13.
    """
    rng = np.random.default_rng(seed)
    one, other = (weighted(name, y, probability) for probability in (first, second))
    groups = [np.flatnonzero(y), np.flatnonzero(~np.asarray(y, bool))]
    differences = []
    for _ in range(REPLICATES if len(y) <= MANY_ROWS else FEW_REPLICATES):
        drawn = [group[rng.integers(0, len(group), len(group))] for group in groups]
        weight = np.bincount(np.concatenate(drawn), minlength=len(y)).astype(np.float64)
        differences.append(one(weight) - other(weight))
    low, high = np.quantile(differences, [0.025, 0.975])
    return float(low), float(high)


# ---------------------------------------------------------------------------------------------------------------
# Thresholds
# ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcomes:
    """What comes of calling positive whatever is at least as probable as each threshold, from the highest down."""

    thresholds: Array
    tp: Array
    fp: Array
    fn: Array
    tn: Array

    @classmethod
    def of(cls, y: Array, probability: Array) -> Outcomes:
        """At every threshold that there is, or at some of them, evenly over the ranks of the positives and of all."""
        ranked = Ranked.of(y, probability)
        hits, alarms = ranked.counts()
        if len(hits) > THRESHOLDS:
            share = (hits / hits[-1] + (hits + alarms) / len(y)) / 2
            kept = np.unique(np.append(np.searchsorted(share, np.linspace(0, 1, THRESHOLDS - 1)), len(hits) - 1))
            kept = kept[kept < len(hits)]
        else:
            kept = np.arange(len(hits))
        tp, fp = (np.append(0, counts[kept]).astype(np.int64) for counts in (hits, alarms))
        above = float(np.nextafter(ranked.values[0], 2))  # nothing is
        thresholds = np.append(above, ranked.values[kept])
        return cls(thresholds, tp, fp, int(hits[-1]) - tp, int(alarms[-1]) - fp)

    def best_f1(self) -> float:
        return float(self.thresholds[np.argmax(2 * self.tp / (2 * self.tp + self.fp + self.fn))])

    def for_precision(self, wanted: float) -> float | None:
        """The lowest threshold with this precision, that is the highest recall with it; None if there is none."""
        with np.errstate(invalid="ignore"):
            good = np.flatnonzero(self.tp / (self.tp + self.fp) >= wanted)
        return float(self.thresholds[good[-1]]) if len(good) else None

    def for_recall(self, wanted: float) -> float:
        """The highest threshold with this recall."""
        return float(self.thresholds[np.flatnonzero(self.tp >= wanted * (self.tp + self.fn))[0]])


def reliability(y: Array, probability: Array, bins: int = 10) -> tuple[list[float], list[float], list[int]]:
    """Mean probability, frequency and number of examples in bins of equal width, those with any."""
    which = np.minimum((probability * bins).astype(int), bins - 1)
    count = np.bincount(which, minlength=bins)
    there = count > 0
    mean, frequency = (np.bincount(which, values, bins)[there] / count[there] for values in (probability, y))
    return mean.tolist(), frequency.tolist(), count[there].tolist()
