"""The kernel of the binary losses."""

from __future__ import annotations

import triton
import triton.language as tl

from focal_loss.torch._triton.arithmetic import (
    ANY_POWER,
    MODERATE,
    NAN,
    ORDINARY_BITS,
    PAIRS,
    ROUGH,
    SIGN_BIT,
    SINGLE,
    bounded_gamma,
    flipped,
    fma,
)
from focal_loss.torch._triton.element import hard
from focal_loss.torch._triton.soft import PENALTY_REDUCED, reduced, soft
from focal_loss.torch._triton.staging import bits_of_threads, largest_of_threads, parameter, put


@triton.jit
def of_usual_block(
    z,
    flip,  # the bit by which the margin differs from the logit
    positive,
    negative,
    gamma,
    other,
    clip,
    epsilon,
    order: tl.constexpr,
    two_gamma: tl.constexpr,
    two_other: tl.constexpr,
    detached: tl.constexpr,
    precise: tl.constexpr,
    has_weight: tl.constexpr,
):
    """Values and slopes of ordinary logits with hard labels."""
    weight = tl.where(flip != 0, negative, positive) if has_weight else None
    care: tl.constexpr = SINGLE if precise else ROUGH
    value, first, second = hard(
        flipped(z, flip), flip != 0, weight, gamma, two_gamma, care, True, other, two_other, clip, epsilon, detached
    )
    return value, flipped(first, flip) if order == 1 else second


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
    positive,  # None, as `negative`, where both are 1
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
    start = tl.program_id(0).to(tl.int64) * block
    here = tl.arange(0, block)
    i = start + here
    left = size - start
    is_full = left >= block
    mask = here < left
    above = parameter(upstream, upstream_pointer, upstream_period, i, mask)
    if unless_one:
        if tl.load(upstream_pointer) == 1.0:
            return
    labels = z_pointer if y_pointer is None else y_pointer
    # A full block needs no masks, which would divide its loads of 16 bytes.
    if is_full:
        x, raw = tl.load(z_pointer + start + here), tl.load(labels + start + here)
    else:
        x = tl.load(z_pointer + start + here, mask=mask, other=0)
        raw = tl.load(labels + start + here, mask=mask, other=0)
    z = x.to(tl.float32)
    g = bounded_gamma(parameter(gamma, gamma_pointer, gamma_period, i, mask))
    other = None
    if exponent is not None:
        other = bounded_gamma(parameter(exponent, exponent_pointer, exponent_period, i, mask))
    a = parameter(1.0 if positive is None else positive, positive_pointer, positive_period, i, mask)
    b = parameter(1.0 if negative is None else negative, negative_pointer, negative_period, i, mask)
    # The bit by which the margin differs from the logit, set for a label of 0.
    if y_pointer is None:
        y = tl.full([block], 1.0, tl.float32) * label
        flip = tl.zeros([block], tl.int32)  # not read
    elif integer_labels:
        flip = (raw.to(tl.int32) << 31) ^ SIGN_BIT
        y = (raw > 0).to(tl.float32)
        is_none = (raw >> 1) != 0
    else:
        y = raw.to(tl.float32)
        if family == PENALTY_REDUCED:
            b = reduced(y, other, two_exponent, PAIRS if precise else ROUGH)
            y = (y == 1).to(tl.float32)
            other = None
        flip = ~(y.to(tl.int32, bitcast=True) << 2) & SIGN_BIT  # of the bits of 1.0 the third is set
    # Most blocks hold ordinary logits and hard labels: one branch for them, decided for the block as a whole.
    is_usual = False
    if not (smooth or y_pointer is None):
        thread: tl.constexpr = 128 // z_pointer.dtype.element_ty.primitive_bitwidth
        odd = bits_of_threads(raw, thread) >> 1 if integer_labels else largest_of_threads(tl.abs(fma(y, y, -y)), thread)
        bits = largest_of_threads(tl.abs(z), thread).to(tl.int32, bitcast=True)
        is_usual = tl.max(tl.where(odd != 0, 0x7FFFFFFF, bits), 0) <= ORDINARY_BITS
        if two_gamma == ANY_POWER:
            is_usual = is_usual & (tl.max(g, 0) <= MODERATE)
        if other is not None and two_exponent == ANY_POWER:
            is_usual = is_usual & (tl.max(other, 0) <= MODERATE)
    if is_usual:
        value, slope = of_usual_block(
            z,
            flip,
            a,
            b,
            g,
            other,
            clip,
            epsilon,
            order,
            two_gamma,
            two_exponent,
            detached,
            precise,
            positive is not None or family == PENALTY_REDUCED,
        )
    elif not (smooth or y_pointer is None) and (integer_labels or family == PENALTY_REDUCED):
        value, first, second = hard(
            tl.where(y == 0, -z, z),
            y == 0,
            tl.where(y == 0, b, a),
            g,
            two_gamma,
            PAIRS if precise else ROUGH,
            False,
            other,
            two_exponent,
            clip,
            epsilon,
            detached,
        )
        slope = flipped(first, flip) if order == 1 else second
        if integer_labels:
            value, slope = tl.where(is_none, NAN, value), tl.where(is_none, 0.0, slope)
    else:
        if smooth:
            y = (1.0 - smoothing) * y + 0.5 * smoothing
        value, first, second = soft(
            z,
            y,
            a,
            b,
            g,
            family,
            two_gamma,
            PAIRS if precise else ROUGH,
            other,
            two_exponent,
            clip,
            epsilon,
            detached,
            y_pointer is None,
        )
        slope = first if order == 1 else second
    slope = above * slope
    # The last block may not be full.
    if is_full:
        if value_pointer is not None:
            put(value_pointer + start + here, value, None)
        if slope_pointer is not None:
            put(slope_pointer + start + here, slope, None)
    else:
        if value_pointer is not None:
            put(value_pointer + start + here, value, mask)
        if slope_pointer is not None:
            put(slope_pointer + start + here, slope, mask)
        value = tl.where(mask, value, 0.0)
    if sum_pointer is not None:
        tl.store(sum_pointer + tl.program_id(0), tl.sum(value, 0))
