"""The kernel of the binary losses."""

from __future__ import annotations

import triton
import triton.language as tl

from focal_loss.torch._triton.arithmetic import NAN, ORDINARY_BITS, bounded_gamma
from focal_loss.torch._triton.element import hard
from focal_loss.torch._triton.soft import PENALTY_REDUCED, reduced, soft
from focal_loss.torch._triton.staging import parameter, put


@triton.jit
def binary(
    z_pointer,
    y_pointer,  # None: the number `label`
    gamma_pointer,
    positive_pointer,
    negative_pointer,
    exponent_pointer,
    upstream_pointer,
    value_pointer,  # None: not wanted, here and below
    sum_pointer,  # one per program
    slope_pointer,  # upstream times the derivative of this order
    size,
    gamma_period,
    positive_period,
    negative_period,
    exponent_period,
    upstream_period,
    gamma,
    positive,
    negative,
    exponent,  # None where a loss has none, here and below: of the negatives, of a target, or of 1 - y
    upstream,
    smoothing,
    label,
    clip,
    epsilon,
    family: tl.constexpr,
    order: tl.constexpr,
    two_gamma: tl.constexpr,
    two_exponent: tl.constexpr,
    detached: tl.constexpr,
    integer_labels: tl.constexpr,
    smooth: tl.constexpr,
    precise: tl.constexpr,
    unless_one: tl.constexpr,  # keep `slope` if the upstream, a single number, is 1
    block: tl.constexpr,
):
    i = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    mask = i < size
    above = parameter(upstream, upstream_pointer, upstream_period, i, mask)
    if unless_one:
        if tl.load(upstream_pointer) == 1.0:
            return
    z = tl.load(z_pointer + i, mask=mask, other=0.0).to(tl.float32)
    g = bounded_gamma(parameter(gamma, gamma_pointer, gamma_period, i, mask))
    a = parameter(positive, positive_pointer, positive_period, i, mask)
    b = parameter(negative, negative_pointer, negative_period, i, mask)
    valid = mask | True
    if y_pointer is None:
        y = tl.full([block], 1.0, tl.float32) * label
    elif integer_labels:
        raw = tl.load(y_pointer + i, mask=mask, other=0)
        valid = (raw == 0) | (raw == 1)
        y = (raw > 0).to(tl.float32)
    else:
        y = tl.load(y_pointer + i, mask=mask, other=0).to(tl.float32)
    other = None
    if exponent is not None:
        other = bounded_gamma(parameter(exponent, exponent_pointer, exponent_period, i, mask))
    if family == PENALTY_REDUCED:
        b = reduced(y, other, two_exponent, precise)
        y = (y == 1).to(tl.float32)
        other = None
    if smooth or y_pointer is None:
        if smooth:
            y = (1.0 - smoothing) * y + 0.5 * smoothing
        value, first, second = soft(
            z, y, a, b, g, family, two_gamma, precise, other, two_exponent, clip, epsilon, detached, y_pointer is None
        )
    else:
        # Most blocks hold ordinary logits and hard labels: one branch for them, decided for the block as a whole.
        magnitude = z.to(tl.int32, bitcast=True) & 0x7FFFFFFF  # the largest for NaN
        unusual = tl.max(tl.where((y != 0) & (y != 1), 0x7FFFFFFF, magnitude), 0)
        if unusual <= ORDINARY_BITS:
            value, first, second = hard(
                z, y == 0, a, b, g, two_gamma, precise, True, other, two_exponent, clip, epsilon, detached
            )
        elif integer_labels or family == PENALTY_REDUCED:
            value, first, second = hard(
                z, y == 0, a, b, g, two_gamma, precise, False, other, two_exponent, clip, epsilon, detached
            )
        else:
            value, first, second = soft(
                z, y, a, b, g, family, two_gamma, precise, other, two_exponent, clip, epsilon, detached
            )
    value = tl.where(valid, value, NAN)
    if value_pointer is not None:
        put(value_pointer + i, value, mask)
    if sum_pointer is not None:
        tl.store(sum_pointer + tl.program_id(0), tl.sum(tl.where(mask, value, 0.0), 0))
    if slope_pointer is not None:
        slope = above * (first if order == 1 else second)
        put(slope_pointer + i, tl.where(valid, slope, 0.0), mask)
