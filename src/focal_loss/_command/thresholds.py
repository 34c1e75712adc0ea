"""Thresholds: the outcomes at each of them, and which precision or recall they promise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.special import betaincinv

from focal_loss._command.effective import Sums, at_least, ratio
from focal_loss._command.evaluation import Ranked

Array = Any
THRESHOLDS = 399  # the last lies above all probabilities:
ABOVE = float(np.nextafter(1, 2))
CONFIDENCE = 0.9  # of a promise
CELLS = ("tp", "fp", "fn", "tn")
ALARMS = 0.5  # most of the negatives that the default threshold may flag


class Promise(NamedTuple):
    """A threshold, the rows out of fold on which it rests, and the precision or recall that holds there at least."""

    threshold: float
    right: int
    rows: int  # that were flagged, or that are positive
    rate: float
    by_weight: tuple[float, float] | None = None  # the share of right ones, and the rows of equal weight that tell it

    def basis(self, were: str) -> str:
        """Words for the rows on which it rests, such as "10 of 12 rows that were flagged were positive"."""
        if self.by_weight is None:
            return f"{self.right:,} of {self.rows:,} {were}"
        share, rows = self.by_weight
        return (
            f"{100 * share:.1f} % by weight of {self.rows:,} {were}, which tell as much as {rows:.3g} of equal weight"
        )


def least_rate(right: Array, rows: Array) -> Array:
    """The lower end of the one-sided interval of a rate, of which `right` of `rows` were seen.

    C. Clopper and E. Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial",
    Biometrika 26, 1934.
    """
    some = np.greater(right, 0)
    return np.where(some, betaincinv(np.where(some, right, 1), rows - right + 1, 1 - CONFIDENCE), 0.0)


@dataclass(frozen=True)
class Outcomes:
    """Sums over right and wrong predictions if rows with at least the probability of each threshold are called
    positive.
    """

    thresholds: Array
    tp: Sums
    fp: Sums
    fn: Sums
    tn: Sums

    @classmethod
    def of(cls, y: Array, probability: Array, weight: Array | None = None) -> Outcomes:
        """The outcomes from the highest threshold down: at every distinct probability, or at some, spread evenly over
        the ranks of the positives and of all rows.
        """
        ranked = Ranked.of(y, probability, weight)
        groups = len(ranked.values)
        kept = np.arange(groups) if groups <= THRESHOLDS else np.union1d([0], ranked.spread(THRESHOLDS - 1))
        thresholds = np.append(ABOVE, ranked.values[kept])
        thresholds[-1] = 0  # rows below all of these probabilities are called positive too
        return cls._flagging(ranked, np.append(0, kept + 1), thresholds)

    @classmethod
    def at(cls, y: Array, probability: Array, thresholds: Array, weight: Array | None = None) -> Outcomes:
        ranked = Ranked.of(y, probability, weight)
        return cls._flagging(ranked, np.searchsorted(-ranked.values, -thresholds, side="right"), thresholds)

    @classmethod
    def _flagging(cls, ranked: Ranked, groups: Array, thresholds: Array) -> Outcomes:
        """The outcomes where so many groups of a ranking, the first ones, are called positive."""
        sums = [[np.append(0, side) for side in ranked.counts(power)] for power in (1, 2, 0)]
        positives, negatives = zip(*sums, strict=True)
        flagged = [Sums(*(side[groups] for side in sides)) for sides in (positives, negatives)]
        left = [Sums(*(side[-1] - side[groups] for side in sides)) for sides in (positives, negatives)]
        return cls(thresholds, *flagged, *left)

    def weights(self) -> dict[str, Array]:
        """The true and false positives, and false and true negatives, by weight."""
        return {name: getattr(self, name).weight for name in CELLS}

    def best_f1(self) -> float:
        """The threshold with the highest F1 of those that leave at least half of the negatives alone.

        Where a model knows nothing, the highest F1 of all is that of flagging every row.
        """
        tp, fp, fn, tn = self.weights().values()
        few = fp <= ALARMS * (fp + tn)
        return float(self.thresholds[np.argmax(np.where(few, 2 * tp / (2 * tp + fp + fn), -1))])

    def for_precision(self, wanted: float) -> Promise | None:
        """The lowest threshold that promises this precision; None if none does.

        Of many thresholds some look good by luck. So few are tried, in an order that is given before: from the fewest
        rows that could promise it with one of them wrong, each time about twice as many rows, until one does not
        promise it. All thresholds before that one hold with the confidence of a single one, as in the fixed-sequence
        testing of A. Angelopoulos et al., "Learn then test", arXiv:2110.01052, section 2.
        """
        one = (self.fp + self.tn)[-1].typical()
        found = None
        for k in self._doubling(wanted, one):
            promise = self._promise(k, self.fp, one)
            if promise.rate < wanted:
                break
            found = promise
        return found

    def _doubling(self, wanted: float, one: Sums) -> Iterator[int]:
        flagged = self.tp + self.fp
        rest = np.maximum(flagged.weight - one.weight, 0)
        right = Sums(rest, ratio(flagged.squares, flagged.weight) * rest, flagged.rows - 1)
        could = (least_rate(*at_least(right, one, one)) >= wanted) & (flagged.rows > 1)
        rows = flagged.rows[np.argmax(could)] if could.any() else np.inf
        while rows <= flagged.rows[-1]:
            k = int(np.searchsorted(flagged.rows, rows))
            yield k
            rows = 2 * flagged.rows[k]

    def _promise(self, k: int, wrong: Sums, one: Sums) -> Promise:
        """The rate that the rows flagged at a threshold promise, where `one` row more might be wrong."""
        hits, misses = self.tp[k], wrong[k]
        right, rows = at_least(hits, misses, one)
        counted = int(hits.rows), int(hits.rows + misses.rows)
        share = float(hits.weight / (hits.weight + misses.weight))
        by_weight = None if (right, rows) == counted else (share, float(rows))
        return Promise(float(self.thresholds[k]), *counted, float(least_rate(right, rows)), by_weight)

    def most_precise(self) -> float:
        """The highest precision, in hundredths, that some threshold promises; 0 if none does."""
        return next((percent / 100 for percent in range(99, 0, -1) if self.for_precision(percent / 100)), 0.0)

    def for_recall(self, wanted: float) -> Promise:
        """The highest threshold that promises this recall, and below which all do. The last one flags every row, and so
        misses none.
        """
        one, positives = (self.tp + self.fn)[-1].typical(), int((self.tp + self.fn).rows[-1])
        found = Promise(float(self.thresholds[-1]), positives, positives, 1.0)
        for k in reversed(range(len(self.thresholds) - 1)):
            promise = self._promise(k, self.fn, one)
            if promise.rate < wanted:
                break
            found = promise
        return found

    def to_json(self) -> dict[str, Any]:
        cells = {name: vars(getattr(self, name)) for name in CELLS}
        sums = {name: {each: values.tolist() for each, values in cell.items()} for name, cell in cells.items()}
        return {"thresholds": np.asarray(self.thresholds).tolist(), **sums}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Outcomes:
        """The outcomes that `to_json` wrote.

        Raises
        ------
        AttributeError, KeyError, OverflowError, TypeError, ValueError
            If they are damaged.
        """
        thresholds = np.asarray(values["thresholds"], float)
        cells = {name: {each: np.asarray(sums, float) for each, sums in values[name].items()} for name in CELLS}
        found = cls(thresholds, **{name: Sums(**cell) for name, cell in cells.items()})
        arrays = [thresholds, *(array for cell in cells.values() for array in cell.values())]
        if {array.shape for array in arrays} != {(len(thresholds),)}:
            raise ValueError("got outcomes of several lengths")
        totals = [total for side in (found.tp + found.fn, found.fp + found.tn) for total in vars(side).values()]
        good = all(np.ptp(total) <= 1e-9 * total[0] and total[0] > 0 for total in totals)
        if not good or not all((array >= 0).all() for array in arrays) or thresholds.max() > ABOVE:
            raise ValueError("got outcomes that count no rows")
        return found
