"""Replacements of the Hessian for Newton steps: the focal loss is not convex.

The second derivative of f(s) = q^g (-log p) in the margin (`focal.margin_derivative`) has one negative term,
-g q p L; it outweighs the others for the worst mistakes, below a margin of about -2.8 at g = 2. Without it,

    H = q^g p [(2g + 1) q + g^2 p L],   L = -log p

which is positive everywhere, and nowhere below the second derivative: the majorizer.
"""

from __future__ import annotations

from focal_loss._core.extremes import at_most, times
from focal_loss._core.formula import Array, Ops
from focal_loss._core.powers import power
from focal_loss._core.sigmoid import Sigmoid, sigmoid_from_logits


def majorizer(ops: Ops, sigmoid: Sigmoid, gamma: Array) -> Array:
    p, q, neg_log_p, neg_log_q, p_minus_q = sigmoid
    factor = power(ops, q, neg_log_q, -p_minus_q, gamma)
    steep, pq = factor * gamma, p * q  # as in `focal.margin_derivative`
    return factor * pq + steep * (2 * pq) + steep * (p * neg_log_p) * (gamma * p)


def margin(ops: Ops, s: Array, gamma: Array, weight: Array) -> Array:
    """The majorizer of `focal.margin`, with its arguments."""
    gamma = at_most(ops, gamma, s)
    return times(ops, weight, majorizer(ops, sigmoid_from_logits(ops, s, gamma), gamma))


def expected_loss(ops: Ops, x: Array, y: Array, gamma: Array, positive: Array, negative: Array) -> Array:
    """The majorizer of `focal.expected_loss`, with its arguments."""
    gamma = at_most(ops, gamma, x)
    sigmoid = sigmoid_from_logits(ops, x, gamma)
    own, other = majorizer(ops, sigmoid, gamma), majorizer(ops, sigmoid.flipped(), gamma)
    if ops.is_bool(y):
        return ops.where(y, times(ops, positive, own), times(ops, negative, other))
    return times(ops, positive, y * own) + times(ops, negative, (1 - y) * other)
