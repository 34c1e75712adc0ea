"""Thresholds: the outcomes at each of them, and which precision or recall they promise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.special import betaincinv

from focal_loss._command.evaluation import Ranked

Array = Any
THRESHOLDS = 399  # the last lies above all probabilities:
ABOVE = float(np.nextafter(1, 2))
CONFIDENCE = 0.9  # of a promise
ALARMS = 0.5  # most of the negatives that the default threshold may flag


class Promise(NamedTuple):
    """A threshold, the rows out of fold on which it rests, and the precision or recall that holds there at least."""

    threshold: float
    right: int
    rows: int  # that were flagged, or that are positive
    rate: float


def least_rate(right: int, rows: int) -> float:
    """The lower end of the one-sided interval of a rate, of which `right` of `rows` were seen.

    C. Clopper and E. Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial",
    Biometrika 26, 1934.
    """
    return float(betaincinv(right, rows - right + 1, 1 - CONFIDENCE)) if right else 0.0


@dataclass(frozen=True)
class Outcomes:
    """Counts of right and wrong predictions if rows with at least the probability of each threshold are called
    positive.
    """

    thresholds: Array
    tp: Array
    fp: Array
    fn: Array
    tn: Array

    @classmethod
    def of(cls, y: Array, probability: Array) -> Outcomes:
        """The outcomes from the highest threshold down: at every distinct probability, or at some, spread evenly over
        the ranks of the positives and of all rows.
        """
        ranked = Ranked.of(y, probability)
        hits, alarms = ranked.counts()
        kept = np.arange(len(hits)) if len(hits) <= THRESHOLDS else np.union1d([0], ranked.spread(THRESHOLDS - 1))
        tp, fp = (np.append(0, counts[kept]).astype(np.int64) for counts in (hits, alarms))
        thresholds = np.append(ABOVE, ranked.values[kept])
        thresholds[-1] = 0  # rows below all of these probabilities are called positive too
        return cls(thresholds, tp, fp, int(hits[-1]) - tp, int(alarms[-1]) - fp)

    @classmethod
    def at(cls, y: Array, probability: Array, thresholds: Array) -> Outcomes:
        y = np.asarray(y, bool)
        fn, tn = (np.searchsorted(np.sort(probability[part]), thresholds) for part in (y, ~y))
        return cls(thresholds, int(y.sum()) - fn, int((~y).sum()) - tn, fn, tn)

    def best_f1(self) -> float:
        """The threshold with the highest F1 of those that leave at least half of the negatives alone.

        Where a model knows nothing, the highest F1 of all is that of flagging every row.
        """
        few = self.fp <= ALARMS * (self.fp + self.tn)
        return float(self.thresholds[np.argmax(np.where(few, 2 * self.tp / (2 * self.tp + self.fp + self.fn), -1))])

    def for_precision(self, wanted: float) -> Promise | None:
        """The lowest threshold that promises this precision; None if none does.

        Of many thresholds some look good by luck. So few are tried, in an order that is given before: from the fewest
        rows that could promise it with one of them wrong, each time about twice as many rows, until one does not
        promise it. All thresholds before that one hold with the confidence of a single one, as in the fixed-sequence
        testing of A. Angelopoulos et al., "Learn then test", arXiv:2110.01052, section 2.
        """
        found = None
        for k in self._doubling(wanted):
            right, rows = int(self.tp[k]), int(self.tp[k] + self.fp[k])
            rate = least_rate(right, rows)
            if rate < wanted:
                break
            found = Promise(float(self.thresholds[k]), right, rows, rate)
        return found

    def _doubling(self, wanted: float) -> Iterator[int]:
        flagged = self.tp + self.fp
        rows = 2
        while wanted**rows + rows * wanted ** (rows - 1) * (1 - wanted) > 1 - CONFIDENCE and rows <= flagged[-1]:
            rows += 1
        while rows <= flagged[-1]:
            k = int(np.searchsorted(flagged, rows))
            yield k
            rows = 2 * int(flagged[k])

    def most_precise(self) -> float:
        """The highest precision, in hundredths, that some threshold promises; 0 if none does."""
        return next((percent / 100 for percent in range(99, 0, -1) if self.for_precision(percent / 100)), 0.0)

    def for_recall(self, wanted: float) -> Promise:
        """The highest threshold that promises this recall. The last one flags every row, and so misses none."""
        positives = int(self.tp[-1] + self.fn[-1])
        for threshold, right in zip(self.thresholds[:-1].tolist(), self.tp[:-1].tolist(), strict=True):
            rate = least_rate(right, positives)
            if rate >= wanted:
                return Promise(threshold, int(right), positives, rate)
        return Promise(float(self.thresholds[-1]), positives, positives, 1.0)
