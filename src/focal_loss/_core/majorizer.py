"""What stands in the place of the Hessian where a Newton step is taken: the focal loss is not convex.

The second derivative of f(s) = q^g (-log p) in the margin (`formula.margin_derivative`) has one negative term,
-g q p L; it outweighs the others for the worst mistakes, below a margin of about -2.8 at g = 2. Without it,

    H = q^g p [(2g + 1) q + g^2 p L],   L = -log p

which is positive everywhere, and nowhere below the second derivative: the majorizer.
"""

from __future__ import annotations

from focal_loss._core import formula
from focal_loss._core.formula import Array, Ops, Sigmoid


def majorizer(ops: Ops, sigmoid: Sigmoid, gamma: Array) -> Array:
    p, q, neg_log_p, neg_log_q, p_minus_q = sigmoid
    factor = formula.power(ops, q, neg_log_q, -p_minus_q, gamma)
    steep, pq = factor * gamma, p * q  # as in `formula.margin_derivative`
    return factor * pq + steep * (2 * pq) + steep * (p * neg_log_p) * (gamma * p)


def margin(ops: Ops, s: Array, gamma: Array, weight: Array) -> Array:
    """Of a margin; as `formula.margin`."""
    gamma = formula.at_most(ops, gamma, s)
    return formula.times(ops, weight, majorizer(ops, formula.sigmoid_from_logits(ops, s, gamma), gamma))


def expected_loss(ops: Ops, x: Array, y: Array, gamma: Array, positive: Array, negative: Array) -> Array:
    """Of a logit and a label in [0, 1]; as `formula.expected_loss`."""
    gamma = formula.at_most(ops, gamma, x)
    sigmoid = formula.sigmoid_from_logits(ops, x, gamma)
    own, other = majorizer(ops, sigmoid, gamma), majorizer(ops, sigmoid.flipped(), gamma)
    if ops.is_bool(y):
        return ops.where(y, formula.times(ops, positive, own), formula.times(ops, negative, other))
    return formula.times(ops, positive, y * own) + formula.times(ops, negative, (1 - y) * other)
