"""The number of independent rows of equal weight that tell as much about a rate as some rows do.

E. Korn and B. Graubard, "Confidence intervals for proportions with small expected number of positive counts estimated
from survey data", Survey Methodology 24, 1998.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

Array = Any


@dataclass(frozen=True)
class Sums:
    """Sums over some rows: of their weights, of the squares of the weights, and the number of rows. Where all weights
    are 1, the three are equal.
    """

    weight: Array
    squares: Array
    rows: Array

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.weight + other.weight, self.squares + other.squares, self.rows + other.rows)

    def __getitem__(self, k: int) -> Sums:
        return Sums(self.weight[k], self.squares[k], self.rows[k])

    def typical(self) -> Sums:
        """One row of the mean weight, each row counted by its weight."""
        weight = ratio(self.squares, self.weight)
        return Sums(weight, weight**2, 1)


def ratio(part: Array, whole: Array) -> Array:
    """The quotient, and 0 over 0."""
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=np.asarray(whole) > 0)


def spread(right: Sums, wrong: Sums) -> Array:
    """The variance of the rate r of the right ones by weight, over r (1 - r), times the square of all weight.

    The variance of a ratio is the sum of w^2 (y - r)^2 over the square of the sum of w. Where no row is right, or none
    is wrong, it is 0 and says nothing; then weights count as in L. Kish, "Survey sampling", 1965, and the result is the
    sum of w^2. With weights of 1 it is the number of rows, in every digit.
    """
    found = ratio(right.squares, right.weight) * wrong.weight + ratio(wrong.squares, wrong.weight) * right.weight
    return np.where((right.weight > 0) & (wrong.weight > 0), found, right.squares + wrong.squares)


def at_least(right: Sums, wrong: Sums, one: Sums) -> tuple[Array, Array]:
    """The right ones, and all, of the independent rows that tell as much about the least rate as these rows do.

    The bound of Clopper and Pearson is a quantile of Beta(right, wrong + 1): it counts one wrong row more than was
    seen. Here that row has the weight of `one`. Where negatives were thinned out, one that was not seen counts for
    many, and thirty positives without a negative promise little. M. Fay and E. Feuer, "Confidence intervals for
    directly standardized rates", Statistics in Medicine 16, 1997, add such a row to a sum of weights.
    """
    more = wrong + one
    total = right.weight + more.weight
    # Never more rows than there are: weights add nothing to what was seen.
    each = np.minimum(ratio(total, spread(right, more)), (right.rows + more.rows) / total)
    return right.weight * each, total * each - 1


def sides(right: Array, weight: Array, groups: Array | None) -> tuple[Array, Array]:
    """The weight of the right ones and of the others, in each row, or in each group."""
    parts = np.where(right, weight, 0), np.where(right, 0, weight)
    if groups is None:
        return parts
    codes = np.unique(groups, return_inverse=True)[1]
    return np.bincount(codes, parts[0]), np.bincount(codes, parts[1])


class Share(NamedTuple):
    """The right ones among some rows."""

    value: float  # by weight
    right: int
    rows: int
    effective: float  # independent rows of equal weight that tell as much


def share(right: Array, weight: Array, groups: Array | None = None) -> Share:
    """The share of the right ones among rows with these weights, where those of a group may be alike.

    The variance is that of a ratio of sums over the groups: (sum of w (y - r))^2 of each group, added up, over the
    square of the sum of w.
    """
    parts = sides(right, weight, groups)
    counted, missed = (Sums(part.sum(), (part**2).sum(), 0) for part in parts)
    total = counted.weight + missed.weight
    # Never more rows than weights alone would leave, however the labels fell.
    divisor = max(spread(counted, missed) - 2 * (parts[0] * parts[1]).sum(), (weight**2).sum())
    return Share(float(counted.weight / total), int(right.sum()), len(right), float(total * (total / divisor)))


def error_of_odds(right: Array, weight: Array, groups: Array | None = None) -> float:
    """The standard error of the log odds of the share of the right ones by weight.

    They are log A - log B, for the weight A of the right ones and B of the others. The variance of that is the sum over
    rows, or over groups, of (a / A - b / B)^2, for their parts a and b of both. It stays right for a share near 0, of
    which a number of rows says nothing: a thousand rows of the other kind may stand for a million.
    """
    counted, missed = (part / part.sum() for part in sides(right, weight, groups))
    return float(np.sqrt(np.square(counted - missed).sum()))
