"""Losses whose positive labels are scores: cross-entropy with a target t and a weight w, and a factor on negatives.

    y > 0:  w B,  B = t L + (1 - t) l        y = 0:  a p^g l

w and t are functions of y and g. B is linear in t, with B_t = L - l = -z: the derivatives of w B in y and g are sums
c B + d (L - l) with coefficients c and d of y and g alone, and those in the prediction are derivatives of L and l.

The loss jumps at y = 0, where its derivative in the label is taken as 0. There p^g may be detached, a constant in every
derivative in the prediction: then (p^g l)^(k) = p^g l^(k).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from focal_loss._core.extremes import at_infinity, at_most, weighed
from focal_loss._core.focal import margin_derivative, probability_derivative, side
from focal_loss._core.formula import Array, Index, Ops
from focal_loss._core.leibniz import Kernel, leibniz, numeric
from focal_loss._core.powers import power
from focal_loss._core.sigmoid import Sigmoid, sigmoid_of


class Target(NamedTuple):
    """The target and the weight of positive labels.

    `derivatives`: the positions of y and g -> the coefficients of B and of L - l in that derivative of w B.
    """

    t: Array
    rest: Array  # 1 - t, to full relative precision
    weight: Array
    derivatives: Mapping[Index, tuple[Array, Array]]


def scored(
    ops: Ops,
    index: Index,
    x: Array,
    y: Array,
    gamma: Array,
    alpha: Array,
    *,
    target: Callable[[Ops, Array, Array], Target],
    from_logits: bool,
    detached: bool,
) -> Array | None:
    """The loss of scores. Arguments: 0 the prediction, 1 the label, 2 gamma, 3 alpha. `target` is called with labels of
    1 in place of 0.
    """
    gamma, y = at_most(ops, gamma, x), numeric(ops, y, x)
    absent = y == 0
    sigmoid = sigmoid_of(ops, index, x, gamma, from_logits)
    derivative = margin_derivative if from_logits else probability_derivative
    kernel = side(ops, derivative, sigmoid.flipped(), gamma, "2", mirrored=True)
    if detached:
        kernel = detached_negative(ops, sigmoid, gamma, from_logits)
    aim = target(ops, ops.where(absent, 1.0, y), gamma)
    negative = leibniz(ops, index, {"": (1.0, alpha), "3": (1.0, 1.0)}, kernel)
    positive = of_target(ops, index, x, sigmoid, aim, from_logits)
    if negative is None and positive is None:
        return None
    value = ops.where(absent, 0.0 if negative is None else negative, 0.0 if positive is None else positive)
    if not from_logits or index:
        return value
    above = (x > 0) & (weighed(absent, alpha) | (~absent & (aim.rest > 0)))
    return at_infinity(ops, value, x, ((x < 0) & ~absent) | above)


def detached_negative(ops: Ops, sigmoid: Sigmoid, gamma: Array, from_logits: bool) -> Kernel:
    """The kernel p^g l with p^g as a constant in derivatives in the prediction."""
    p, _, neg_log_p, _, p_minus_q = sigmoid
    _, losses = cross_entropies(sigmoid, from_logits)

    def kernel(rest: Index) -> Array | None:
        if not set(rest) <= {"0", "2"}:
            return None
        value = power(ops, p, neg_log_p, p_minus_q, gamma) * losses[rest.count("0")]
        for _ in range(rest.count("2")):
            value = -value * neg_log_p
        return value

    return kernel


def cross_entropies(sigmoid: Sigmoid, from_logits: bool) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """L and l with their first and second derivatives in the prediction."""
    p, q, neg_log_p, neg_log_q, _ = sigmoid
    if from_logits:
        return (neg_log_p, -q, p * q), (neg_log_q, p, p * q)
    return (neg_log_p, -1 / p, 1 / (p * p)), (neg_log_q, 1 / q, 1 / (q * q))


def of_target(ops: Ops, index: Index, x: Array, sigmoid: Sigmoid, aim: Target, from_logits: bool) -> Array | None:
    """The part of positive labels, w B."""
    order, others = index.count("0"), "".join(sorted(index.replace("0", "")))
    of_one, of_zero = (each[order] for each in cross_entropies(sigmoid, from_logits))
    loss = aim.t * of_one + aim.rest * of_zero
    if not others:
        return aim.weight * loss
    if others not in aim.derivatives:
        return None
    of_loss, of_difference = aim.derivatives[others]
    difference = of_one - of_zero
    if from_logits:
        difference = (-ops.clip(x, -ops.largest(x), ops.largest(x)), -1.0, 0.0)[order]
    return of_loss * loss + of_difference * difference
