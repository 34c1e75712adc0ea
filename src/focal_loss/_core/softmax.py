"""The margin of a class in a softmax, and the linear maps that are its first and second derivatives.

With o_t the sum of exp(v_k - max v) over the other classes k != t,

    s_t = v_t - log sum_{k != t} exp(v_k) = (v_t - max v) - log o_t
    ds_t / dv_j = [j = t] - P_tj,     P_tj = exp(v_j - max v) / o_t  for j != t, and 0 for j = t

sigmoid(s_t) is the softmax probability p_t and sigmoid(-s_t) is 1 - p_t as a sum over the others, so that the
softmax focal loss is f(s_t) of `focal`. Two cases stand side by side: one class per row, given by the mask
`true_class_mask` (then s has length 1 along the axis), and every class at once, ``true_class_mask=None``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from focal_loss._core.formula import Array, Ops


class Rest(NamedTuple):
    """Sums over the other classes: their scaled exponentials `e`, the sum `others` (1 where it is 0), the `margin`."""

    e: Array
    others: Array
    margin: Array


def sum_of_others(ops: Ops, x: Array, top: Array, axis: int) -> Array:
    """For each entry the sum of all the others. `top` marks the largest exponential of the row.

    The total minus the entry would cancel where the entry is most of the total. That can only be the top one, so
    its sum is made without it. The map is linear and symmetric.
    """
    rest = ops.sum(ops.where(top, 0.0, x), axis)
    return ops.where(top, rest, (rest - x) + ops.sum(ops.where(top, x, 0.0), axis))


def rest_of(ops: Ops, v: Array, true_class_mask: Array | None, axis: int) -> Rest:
    """The `Rest` of a row. A sum of 0 means that the other classes have no probability: the margin is infinite, and its
    loss and derivatives are 0.
    """
    masked = v if true_class_mask is None else ops.where(true_class_mask, -float("inf"), v)
    peak = ops.max(masked, axis)
    shifted = ops.where(masked == peak, 0.0, masked - peak)  # also where both are infinite
    if true_class_mask is None:
        e = ops.exp(shifted)
        others = sum_of_others(ops, e, ops.first_max(e, axis), axis)
        true = v
        distance = shifted
    else:
        e = ops.where(true_class_mask, 0.0, ops.exp(shifted))
        others = ops.sum(e, axis)
        true = own(ops, true_class_mask, axis, v)
        distance = ops.where(true == peak, 0.0, true - peak)
    return Rest(e, ops.where(others > 0, others, 1.0), margin_of(ops, true, peak, others, distance))


def margin_of(ops: Ops, true: Array, peak: Array, others: Array, distance: Array) -> Array:
    """distance - log(others), where the distance is that of the true logit from the peak, and 0 if both are the same
    infinity. No finite logits give an infinite margin, unless the other classes have no probability.
    """
    margin = distance - ops.log(others)
    largest = ops.largest(margin)
    overflow = (ops.abs(margin) == float("inf")) & (ops.abs(true) <= largest) & (ops.abs(peak) <= largest)
    return ops.where(overflow & (others > 0), ops.clip(margin, -largest, largest), margin)


class Part(NamedTuple):
    """The contribution of some of the classes of a row to the margin of its true class. Parts add up to that of all."""

    own: Array  # the true logit, -inf where it is in another part
    peak: Array  # the largest of the other logits
    others: Array  # the sum of exp(v_k - peak) over them


def part_of(ops: Ops, v: Array, true_class_mask: Array, axis: int) -> Part:
    """The part of these classes, of which there must be some. The mask has no class where the true one is in another
    part.
    """
    peak = ops.max(ops.where(true_class_mask, -float("inf"), v), axis)
    others = ops.sum(exps_of_others(ops, v, true_class_mask, peak), axis)
    return Part(ops.max(ops.where(true_class_mask, v, -float("inf")), axis), peak, others)


def together(ops: Ops, parts: Part, axis: int) -> Part:
    """Parts that are stacked along an axis, as one."""
    peak = ops.max(parts.peak, axis)
    scale = ops.exp(ops.where(parts.peak == peak, 0.0, parts.peak - peak))  # 1 where both are the same infinity
    return Part(ops.max(parts.own, axis), peak, ops.sum(scale * parts.others, axis))


def margin_of_part(ops: Ops, whole: Part) -> Array:
    distance = ops.where(whole.own == whole.peak, 0.0, whole.own - whole.peak)
    return margin_of(ops, *whole, distance)


def exps_of_others(ops: Ops, v: Array, true_class_mask: Array, peak: Array) -> Array:
    return ops.where(true_class_mask, 0.0, ops.exp(ops.where(v == peak, 0.0, v - peak)))


class PartOfEvery(NamedTuple):
    """The contribution of some of the classes of a row to the margins of all classes."""

    peak: Array  # the largest logit
    rest: Array  # the sum of exp(v_k - peak) over all but the first of the largest


def part_of_every(ops: Ops, v: Array, axis: int) -> PartOfEvery:
    peak = ops.max(v, axis)
    e = ops.exp(ops.where(v == peak, 0.0, v - peak))
    return PartOfEvery(peak, ops.sum(ops.where(ops.first_max(v, axis), 0.0, e), axis))


def every_together(ops: Ops, parts: PartOfEvery, axis: int) -> tuple[PartOfEvery, Array]:
    """Parts that are stacked along an axis, as one, and in which of them the largest logit is."""
    peak = ops.max(parts.peak, axis)
    scale = ops.exp(ops.where(parts.peak == peak, 0.0, parts.peak - peak))
    first = ops.first_max(parts.peak, axis)
    # The largest of another part counts among the rest.
    return PartOfEvery(peak, ops.sum(scale * ops.where(first, parts.rest, parts.rest + 1.0), axis)), first


def rest_of_part(ops: Ops, v: Array, whole: PartOfEvery, top: Array) -> Rest:
    """`rest_of` every one of these classes, from the `PartOfEvery` of all. `top` marks the largest of the row."""
    distance = ops.where(v == whole.peak, 0.0, v - whole.peak)
    e = ops.exp(distance)
    others = ops.where(top, whole.rest, (whole.rest - e) + 1.0)
    return Rest(e, ops.where(others > 0, others, 1.0), margin_of(ops, v, whole.peak, others, distance))


def ratios_of_part(ops: Ops, rest: Rest, top: Array, change: Array) -> tuple[Array, Array]:
    """The terms whose sums over all classes `gradient_of_part` takes: change / others but for the largest logit, and
    that of it alone.
    """
    ratio = change / rest.others
    return ops.where(top, 0.0, ratio), ops.where(top, ratio, 0.0)


def gradient_of_part(ops: Ops, rest: Rest, top: Array, change: Array, ratios: Array, ratio_of_top: Array) -> Array:
    """The gradient in the logits of these classes of a sum over all classes of terms of their margins.

    `change` is the derivative of each term in its margin. The margin of class k falls by e_j / others_k with the logit
    of another class j, so the gradient is change_j - e_j * sum over k != j of change_k / others_k. That sum is the one
    over all classes without its own term, taken away before the term of the largest logit, which may be most of it, is
    added.
    """
    others = ops.where(top, ratios, (ratios - change / rest.others) + ratio_of_top)
    return change - rest.e * others


def vjp_of_part(ops: Ops, v: Array, true_class_mask: Array, whole: Part, cotangent: Array) -> Array:
    """`vjp` in the logits of some of the classes, from the `Part` of all."""
    e = exps_of_others(ops, v, true_class_mask, whole.peak)
    ratio = cotangent / ops.where(whole.others > 0, whole.others, 1.0)
    return ops.where(true_class_mask, cotangent, -e * ratio)


def margin(ops: Ops, v: Array, true_class_mask: Array | None, axis: int) -> Array:
    """s, of the shape of v, or of length 1 along the axis where `true_class_mask` picks one class."""
    return rest_of(ops, v, true_class_mask, axis).margin


def average(ops: Ops, v: Array, true_class_mask: Array | None, axis: int, tangent: Array) -> Array:
    """sum_j P_tj u_j, the mean of u over the other classes."""
    e, others, _ = rest_of(ops, v, true_class_mask, axis)
    if true_class_mask is None:
        return sum_of_others(ops, e * tangent, ops.first_max(e, axis), axis) / others
    return ops.sum(e * tangent, axis) / others


def own(ops: Ops, true_class_mask: Array | None, axis: int, tangent: Array) -> Array:
    """u_t."""
    return tangent if true_class_mask is None else ops.sum(ops.where(true_class_mask, tangent, 0.0), axis)


def jvp(ops: Ops, v: Array, true_class_mask: Array | None, axis: int, tangent: Array) -> Array:
    """ds for a change of the logits: u_t - sum_j P_tj u_j."""
    return jvp_of_average(ops, true_class_mask, axis, tangent, average(ops, v, true_class_mask, axis, tangent))


def jvp_of_average(ops: Ops, true_class_mask: Array | None, axis: int, tangent: Array, mean: Array) -> Array:
    """`jvp` where the `average` of the tangent is at hand."""
    return own(ops, true_class_mask, axis, tangent) - mean


def average_jvp(mean: Callable[[Array], Array], tangent: Array, change: Array, tangent_change: Array) -> Array:
    """The change of ``mean(tangent)`` with the logits and the tangent; `mean` is `average` of these logits.

    An average changes with its weights by a covariance.
    """
    covariance = mean(tangent * change) - mean(tangent) * mean(change)
    return mean(tangent_change) + covariance


def vjp(ops: Ops, v: Array, true_class_mask: Array | None, axis: int, cotangent: Array) -> Array:
    """The gradient in the logits of <cotangent, s>: g_j - sum_{t != j} g_t P_tj."""
    e, others, _ = rest_of(ops, v, true_class_mask, axis)
    ratio = cotangent / others
    if true_class_mask is None:
        return cotangent - e * sum_of_others(ops, ratio, ops.first_max(e, axis), axis)
    return ops.where(true_class_mask, cotangent, -e * ratio)


def second_vjp(ops: Ops, v: Array, true_class_mask: Array | None, axis: int, cotangent: Array, tangent: Array) -> Array:
    """The gradient in the logits of <tangent, vjp(v, cotangent)>.

    dP_tj = P_tj (dv_j - sum_k P_tk dv_k), hence -sum_t g_t P_tj (u_j - sum_k P_tk u_k).
    """
    e, others, _ = rest_of(ops, v, true_class_mask, axis)
    ratio = cotangent / others
    if true_class_mask is None:
        top = ops.first_max(e, axis)
        average = sum_of_others(ops, e * tangent, top, axis) / others
        weighted = sum_of_others(ops, ratio * average, top, axis)
        return -e * (tangent * sum_of_others(ops, ratio, top, axis) - weighted)
    average = ops.sum(e * tangent, axis) / others
    return -e * ratio * (tangent - average)


def diagonal(ops: Ops, v: Array, true_class_mask: Array, axis: int, first: Array, second: Array) -> Array:
    """The diagonal of the Hessian in the logits of a function of s with derivatives `first` and `second`.

    second on the true class; second P_j^2 - first P_j (1 - P_j) on the others, 1 - P_j again as a sum.
    """
    e, others, _ = rest_of(ops, v, true_class_mask, axis)
    probability = e / others
    remainder = sum_of_others(ops, e, ops.first_max(e, axis), axis) / others
    return ops.where(true_class_mask, second, probability * (second * probability - first * remainder))


def probabilities(ops: Ops, x: Array, true_class_mask: Array | None, axis: int) -> tuple[Array, Array]:
    """The probability of a class and that of all others, from values x that need not sum to 1.

    The only place that a framework differentiates: quotients of sums, of x over its largest, which neither overflow
    nor underflow. Where every x is 0, so is each probability, and the loss is that of the clamp. NaN stays NaN.
    """
    peak = ops.constant(ops.max(x, axis))
    absent = peak < ops.smallest(x)
    # XLA multiplies by the inverse of the divisor, which must not be flushed to zero: hence the upper limit.
    x = ops.where(absent, 0.0, x / ops.clip(peak, ops.smallest(x), ops.largest(x) / 1024))
    if true_class_mask is None:
        true, others = x, sum_of_others(ops, x, ops.first_max(x, axis), axis)
    else:
        true, others = own(ops, true_class_mask, axis, x), ops.sum(ops.where(true_class_mask, 0.0, x), axis)
    total = ops.where(absent, 1.0, true + others)
    return true / total, ops.where(absent, 1.0, others / total)
