"""From the logits of a model to posteriors, for losses whose two sides differ.

Where an example is positive with probability e, the expected loss e l1(z) + (1 - e) l0(z) is stationary at the logit z
with e / (1 - e) = l0'(z) / -l1'(z). Every side is a decreasing function of its margin s, z or -z. Its slope is

    focal, and Poly-1 with epsilon    q exp(B),  B = -g l + log(1 + g R + epsilon (g+1) p),  R = p L / q,  R' = R - p
    focal, its factor a constant      q exp(B),  B = -g l
    clipped, of a negative            p q exp(B),  B = log(g m^(g-1) (-log(1-m)) + m^g / (1-m)),  m = p - clip

and that of the last is 0 for p <= clip. With w the weight of the positives over that of the negatives

    logit(e) = B0(-z) - B1(z) + z - log w,    for a clipped negative B0(-z) - B1(z) - L - log w,

in which nothing cancels. The notation is that of `formula`, and so is the mechanism. There are first derivatives in
the logit.
"""

from __future__ import annotations

from typing import NamedTuple

from focal_loss._core.formula import FAMILIES, Array, Index, Ops
from focal_loss._core.posterior import FAR, log_weight, ratio_of, sigmoid_of
from focal_loss._core.sigmoid import Sigmoid

SERIES = 1e-3  # below this m a difference of two terms of 1 / m is taken by its series


class Side(NamedTuple):
    """B, and its derivative in the margin."""

    value: Array
    derivative: Array


def sigmoid_within(ops: Ops, z: Array) -> Sigmoid:
    """The sigmoid of a logit that is no infinity, of which B would be no number; beyond `FAR` it is 0 or 1 anyway."""
    return sigmoid_of(ops, ops.clip(z, -FAR, FAR))


def focal_side(ops: Ops, sigmoid: Sigmoid, gamma: Array, epsilon: float = 0.0) -> Side:
    p, q, _, neg_log_q, _ = sigmoid
    ratio = ratio_of(ops, sigmoid)
    gain = gamma * ratio + epsilon * (gamma + 1) * p
    change = gamma * (ratio - p) + epsilon * (gamma + 1) * p * q
    return Side(ops.log1p(gain) - gamma * neg_log_q, change / (1 + gain) - gamma * p)


def detached_side(_: Ops, sigmoid: Sigmoid, gamma: Array) -> Side:
    return Side(-gamma * sigmoid.neg_log_q, -gamma * sigmoid.p)


def clipped_side(ops: Ops, sigmoid: Sigmoid, gamma: Array, clip: float) -> Side:
    """A clipped negative, by the sigmoid of its margin -z: its q is the score. B is -inf where there is no slope."""
    score, other = sigmoid.q, sigmoid.p
    below = score <= clip
    m, rest = ops.where(below, 0.5, score - clip), ops.where(below, 0.5, other + clip)
    loss = ops.where(m < 0.5, -ops.log1p(-m), -ops.log(rest))
    slope = gamma * (loss / m) + 1 / rest
    value = gamma * ops.log(m) + ops.log(slope)
    series = 0.5 + m * (2 / 3 + m * 0.75)
    change = gamma * ops.where(m < SERIES, series, (1 / rest - loss / m) / m) + 1 / (rest * rest)
    # The score falls with the margin of the negative.
    derivative = -score * other * (gamma / m + change / slope)
    return Side(ops.where(below, -float("inf"), value), ops.where(below, 0.0, derivative))


def posterior_of_sides(
    ops: Ops, index: Index, positive: Side, negative: Side, weight: Array, rest: tuple[Array, Array]
) -> Array:
    """The sigmoid of B0(-z) - B1(z) - log w and the rest, or its derivative in z; 0 where B0 is -inf."""
    if index not in ("", "0"):
        raise NotImplementedError("posteriors of this loss give first derivatives in the logits, no others")
    odds = negative.value - positive.value - log_weight(ops, weight) + rest[0]
    found = sigmoid_of(ops, ops.where(odds == -float("inf"), -ops.largest(odds), odds))
    if not index:
        return found.p
    return found.p * found.q * (rest[1] - negative.derivative - positive.derivative)


def posterior_of_poly1(
    ops: Ops, index: Index, z: Array, gamma_pos: Array, gamma_neg: Array, weight: Array, epsilon: float
) -> Array:
    """Arguments: 0 logit, 1 and 2 gamma of each side, 3 weight of the positives, 4 epsilon (a number)."""
    sigmoid = sigmoid_within(ops, z)
    sides = focal_side(ops, sigmoid, gamma_pos, epsilon), focal_side(ops, sigmoid.flipped(), gamma_neg, epsilon)
    return posterior_of_sides(ops, index, *sides, weight, (ops.clip(z, -FAR, FAR), 1.0))


def posterior_of_detached(ops: Ops, index: Index, z: Array, gamma: Array, weight: Array) -> Array:
    """Cross-entropy for the positives. Arguments: 0 logit, 1 gamma of the negatives, 2 weight of the positives."""
    sigmoid = sigmoid_within(ops, z)
    sides = focal_side(ops, sigmoid, 0.0), detached_side(ops, sigmoid.flipped(), gamma)
    return posterior_of_sides(ops, index, *sides, weight, (ops.clip(z, -FAR, FAR), 1.0))


def posterior_of_clipped(ops: Ops, index: Index, z: Array, gamma_pos: Array, gamma_neg: Array, clip: float) -> Array:
    """Arguments: 0 logit, 1 and 2 gamma of each side, 3 clip (a number above 0)."""
    sigmoid = sigmoid_within(ops, z)
    sides = focal_side(ops, sigmoid, gamma_pos), clipped_side(ops, sigmoid.flipped(), gamma_neg, clip)
    return posterior_of_sides(ops, index, *sides, 1.0, (-sigmoid.neg_log_p, sigmoid.q))


FAMILIES.update(
    {
        "posterior_of_poly1": posterior_of_poly1,
        "posterior_of_detached": posterior_of_detached,
        "posterior_of_clipped": posterior_of_clipped,
    }
)
