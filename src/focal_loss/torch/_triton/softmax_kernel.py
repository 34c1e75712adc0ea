"""The kernel of the softmax losses of class indices."""

from __future__ import annotations

import triton
import triton.language as tl

from focal_loss.torch._triton.arithmetic import INFINITY, LARGEST, NAN, PAIRS, ROUGH, bounded_gamma, finite, log_of
from focal_loss.torch._triton.element import hard
from focal_loss.torch._triton.staging import parameter, put


@triton.jit
def shifted_exp(v, peak):
    return tl.where(v == peak, 1.0, tl.exp(v - peak))


@triton.jit
def softmax(
    v_pointer,
    label_pointer,
    gamma_pointer,  # a float32 per class; None: the number
    weight_pointer,
    upstream_pointer,  # a number or one per example
    factor_pointer,  # a number
    value_pointer,
    sum_pointer,
    slope_pointer,  # upstream times the gradient
    examples,
    classes,
    inner,
    ignored,
    upstream_step,
    gamma,
    weight,
    upstream,
    two_gamma: tl.constexpr,
    has_ignored: tl.constexpr,
    rows: tl.constexpr,  # classes lie together
    precise: tl.constexpr,
    unless_one: tl.constexpr,
    width: tl.constexpr,  # examples
    step: tl.constexpr,  # classes at a time
):
    i = tl.program_id(0).to(tl.int64) * width + tl.arange(0, width)
    mask = i < examples
    if unless_one:
        if tl.load(upstream_pointer) == 1.0:
            return
    label = tl.load(label_pointer + i, mask=mask, other=0)
    whole = label.to(tl.int64)
    is_whole = whole.to(label.dtype) == label
    ignore = (whole == ignored) & is_whole if has_ignored else whole != whole
    invalid = ((whole.to(label.dtype) != label) | (whole < 0) | (whole >= classes)) & ~ignore
    alive = mask & ~ignore & ~invalid
    target = tl.where(alive, whole, -1)
    if rows:
        line, stride = i * classes, 1
    else:
        line, stride = (i // inner) * classes * inner + i % inner, inner
    own = tl.load(v_pointer + line + target * stride, mask=alive, other=0.0).to(tl.float32)
    # The sum over the other classes has two parts: the largest exponentials, each exactly 1, and the rest. So many
    # small terms lose no digits beside the 1 of a dominant class.
    peak = tl.full([width], -INFINITY, tl.float32)
    largest, rest = tl.zeros([width], tl.float32), tl.zeros([width], tl.float32)
    for first_class in range(0, classes, step):
        k = first_class + tl.arange(0, step).to(tl.int64)
        there = alive[:, None] & (k < classes)[None, :]
        v = tl.load(v_pointer + line[:, None] + k[None, :] * stride, mask=there, other=-INFINITY).to(tl.float32)
        v = tl.where(k[None, :] == target[:, None], -INFINITY, v)
        higher = tl.maximum(peak, tl.max(v, 1), propagate_nan=tl.PropagateNan.ALL)
        is_largest = (v == higher[:, None]) & (v != -INFINITY)
        lower = tl.sum(tl.where(is_largest | (v == -INFINITY), 0.0, tl.exp(v - higher[:, None])), 1)
        before = tl.where(rest + largest == 0, 0.0, tl.exp(peak - higher))
        rest = tl.where(peak == higher, rest, (rest + largest) * before) + lower
        largest = tl.where(peak == higher, largest, 0.0) + tl.sum(is_largest.to(tl.float32), 1)
        peak = higher
    others = largest + rest
    margin = tl.where(own == peak, 0.0, own - peak) - log_of(others)
    bounded = (tl.abs(own) <= LARGEST) & (tl.abs(peak) <= LARGEST) & (others > 0)
    margin = tl.where(bounded, finite(margin), margin)
    g = bounded_gamma(parameter(gamma, gamma_pointer, classes, target, alive))
    w = parameter(weight, weight_pointer, classes, target, alive)
    value, first, _ = hard(margin, tl.zeros([width], tl.int1), w, g, two_gamma, PAIRS if precise else ROUGH, False)
    value = tl.where(alive, value, tl.where(invalid, NAN, 0.0))
    if value_pointer is not None:
        put(value_pointer + i, value, mask)
    if sum_pointer is not None:
        tl.store(sum_pointer + tl.program_id(0), tl.sum(tl.where(mask, value, 0.0), 0))
    if slope_pointer is not None:
        if upstream_pointer is not None:
            first *= tl.load(upstream_pointer + i * upstream_step, mask=mask, other=0.0).to(tl.float32)
        if factor_pointer is not None:
            first *= tl.load(factor_pointer)
        first = tl.where(alive, first * upstream, 0.0)
        ratio = tl.where(others == 0, 0.0, -first / others)
        for first_class in range(0, classes, step):
            k = first_class + tl.arange(0, step).to(tl.int64)
            there = mask[:, None] & (k < classes)[None, :]
            v = tl.load(v_pointer + line[:, None] + k[None, :] * stride, mask=there & alive[:, None], other=0.0).to(
                tl.float32
            )
            off = tl.where((first == 0)[:, None], 0.0, shifted_exp(v, peak[:, None]) * ratio[:, None])
            slope = tl.where(k[None, :] == target[:, None], first[:, None], off)
            put(slope_pointer + line[:, None] + k[None, :] * stride, slope, there)
