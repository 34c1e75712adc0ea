"""The GPU kernels, in Triton: the mathematics of `native/`, for one element, then for blocks of them.

Everything is computed in float32. If the result is float32 as well, ``precise`` is true: then p, q and the exponential
are pairs, unevaluated sums of two floats, because gamma multiplies their rounding errors. The reasons are in the
comments of `native/scalar.hpp` and `native/vector_math.hpp`, whose code is the same line by line.

Nothing here waits for the device. Each result is computed by one program in a fixed order, with the same bits every
time.
"""

from __future__ import annotations

import os

import triton
import triton.language as tl

# The interpreter, which runs these kernels on the host in tests, rounds the product within `tl.fma`.
INTERPRETED = tl.constexpr(os.environ.get("TRITON_INTERPRET") == "1")
INFINITY = tl.constexpr(float("inf"))
NAN = tl.constexpr(float("nan"))
# <tables: constants> Written by tools/tables.py; `make tables` writes it anew.
ANY_POWER = tl.constexpr(-1)  # a gamma without a power of its own; the others are 2 gamma
LARGEST = tl.constexpr(3.4028234663852886e38)  # the largest number
SMALLEST = tl.constexpr(1.1754943508222875e-38)  # the smallest normal number
LOG2_E = tl.constexpr(1.44269504088896340736)  # 1 / ln 2
ROUND = tl.constexpr(12582912.0)  # 1.5 * 2^23: adding it rounds to an integer
ROUND_BITS = tl.constexpr(0x4B400000)  # the bits of that
LN2_HI = tl.constexpr(0.693145751953125)  # 15 bits: n * LN2_HI is exact
LN2_LO = tl.constexpr(1.428606765330187e-06)  # the rest of ln 2
EXP_LIMIT = tl.constexpr(104.0)  # exp(-104) rounds to 0
ORDINARY = tl.constexpr(87.0)  # exp(-87) is above the smallest normal number
ORDINARY_BITS = tl.constexpr(0x42AE0000)  # the bits of that
FAR = tl.constexpr(104000.0)  # beyond it only the size of an exponent matters
POWER_IS_ZERO = tl.constexpr(1e30)  # from this exponent on
SPLITTABLE = tl.constexpr(1e18)  # a larger gamma is too large for Dekker's splitting
POWERS = (0, 1, 2, 3, 4, 5, 6, 8, 10)  # the values of 2 gamma with a power of their own
# </tables: constants>


@triton.jit
def fma(a, b, c):
    """a * b + c, rounded once. `a` is a block; b and c may be numbers."""
    if INTERPRETED:
        return (a.to(tl.float64) * b + c).to(tl.float32)
    else:
        return tl.fma(a, b, c)


@triton.jit
def put(pointer, x, mask):
    """Store values, rounded to the dtype of the array. The interpreter by itself would truncate to bfloat16."""
    if INTERPRETED and pointer.dtype.element_ty == tl.bfloat16:
        bits = x.to(tl.int32, bitcast=True)
        rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & -65536
        x = tl.where(tl.abs(x) <= LARGEST, rounded.to(tl.float32, bitcast=True), x)
    tl.store(pointer, x, mask=mask)


@triton.jit
def two_sum(x, y):
    total = x + y
    z = total - x
    return total, (x - (total - z)) + (y - z)


@triton.jit
def scaled(x, n):
    """x 2^-n for 0 <= n <= 151, by two factors: 2^-n may be subnormal."""
    half = n >> 1
    first = ((127 - half) << 23).to(tl.float32, bitcast=True)
    second = ((127 - (n - half)) << 23).to(tl.float32, bitcast=True)
    return x * first * second


@triton.jit
def exp_of_negative(a, precise: tl.constexpr, ordinary: tl.constexpr):
    """exp(-a) for a >= 0 as hi (1 + relative). `ordinary`: a is at most ORDINARY, beyond which it is subnormal."""
    if not precise:
        return tl.exp(-a), tl.zeros_like(a)
    if not ordinary:
        a = tl.where(a > EXP_LIMIT, EXP_LIMIT, a)  # NaN stays
    shifted = fma(a, LOG2_E, ROUND)
    n = shifted - ROUND
    r_hi = fma(n, LN2_HI, -a)
    r = fma(n, LN2_LO, r_hi)
    r2 = r * r
    # <tables: exp> Written by tools/tables.py; `make tables` writes it anew.
    tail = fma(r, 0.0013816859037436928169, 0.0083686466331062650711)
    tail = fma(tail, r, 0.041668340581161919017)
    tail = fma(tail, r, 0.16666521387432108594)
    tail = fma(tail, r, 0.49999993688676261576)
    # </tables: exp>
    t = fma(r2, tail, r)
    e = t + 1.0
    rest = fma(r2, tail, fma(n, LN2_LO, r_hi - (e - 1.0)))
    relative = fma(-t, rest, rest)
    bits = shifted.to(tl.int32, bitcast=True)  # the integer n is in the low bits
    if ordinary:
        return (e.to(tl.int32, bitcast=True) - (bits << 23)).to(tl.float32, bitcast=True), relative
    else:
        return scaled(e, tl.where(a == a, bits - ROUND_BITS, 0)), relative


@triton.jit
def log1p_tail(u):
    """(u - log(1 + u)) / u^2 for u in [0, 1]."""
    # <tables: log1p> Written by tools/tables.py; `make tables` writes it anew.
    p = fma(u, 0.0036247987442554280582, -0.021599024443337370276)
    p = fma(p, u, 0.060313681679495690646)
    p = fma(p, u, -0.10952489424910898129)
    p = fma(p, u, 0.15518405723534032821)
    p = fma(p, u, -0.19752894262683329934)
    p = fma(p, u, 0.2496997042710400612)
    p = fma(p, u, -0.33331627393897118191)
    return fma(p, u, 0.49999971829186297653)
    # </tables: log1p>


@triton.jit
def log_of(x):
    """log(x) for x >= 0, with an absolute error of at most 1.3 eps (1 + |log x|)."""
    tiny = x < SMALLEST
    bits = tl.where(tiny, x * 4294967296.0, x).to(tl.int32, bitcast=True)
    u = ((bits & 0x7FFFFF) | 0x3F800000).to(tl.float32, bitcast=True) - 1.0
    n = (bits >> 23).to(tl.float32) - tl.where(tiny, 159.0, 127.0)
    result = fma(n, LN2_HI, fma(n, LN2_LO, u * fma(-u, log1p_tail(u), 1.0)))
    limit = tl.where(x > 0, x, tl.where(x == 0, -INFINITY, x))
    return tl.where((x > 0) & (x <= LARGEST), result, limit)


# ---------------------------------------------------------------------------------------------------------------
# One element
# ---------------------------------------------------------------------------------------------------------------


@triton.jit
def score(s, precise: tl.constexpr, ordinary: tl.constexpr):
    """p, q as pairs, L = -log p and l = -log q of a finite margin."""
    a = tl.abs(s)
    u, u_error = exp_of_negative(a, precise, ordinary)
    inverse = 1.0 / (1.0 + u)
    small = u * inverse
    error, small_lo = tl.zeros_like(s), tl.zeros_like(s)
    if precise:
        error = fma(-small, u_error, fma(-u, inverse, 1.0 - inverse))
        small_lo = fma(small, error + u_error, fma(u, inverse, -small))
    near = fma(u, fma(-u, log1p_tail(u), u_error * inverse), u)
    wrong = s < 0
    p, p_lo = tl.where(wrong, small, inverse), tl.where(wrong, small_lo, inverse * error)
    q, q_lo = tl.where(wrong, inverse, small), tl.where(wrong, inverse * error, small_lo)
    return p, p_lo, q, q_lo, tl.where(wrong, near + a, near), tl.where(wrong, near, near + a)


@triton.jit
def product(x, x_lo, y, y_lo):
    hi = x * y
    return hi, fma(x, y, -hi) + fma(x, y_lo, x_lo * y)


@triton.jit
def power_by_log(m, m_lo, a, gamma, precise: tl.constexpr):
    """m^gamma by exp(-gamma a), where a is -log m with a rounding error that is corrected."""
    a = tl.where(a > FAR, FAR, tl.where(a < 0, 0.0, a))
    whole = gamma * a
    hi = tl.where(whole > POWER_IS_ZERO, POWER_IS_ZERO, whole)
    if not precise:
        return tl.exp(-hi)
    back, back_error = exp_of_negative(a, True, False)
    missed = ((m - back) + fma(-back, back_error, m_lo)) / m
    rounding = tl.where(gamma < SPLITTABLE, fma(gamma, a, -whole), 0.0)
    lo = tl.where((m >= SMALLEST) & (whole <= POWER_IS_ZERO), fma(-gamma, missed, rounding), 0.0)
    exponent, rest = two_sum(hi, lo)
    e, e_error = exp_of_negative(tl.where(exponent < 0, 0.0, exponent), True, False)
    return fma(e, e_error - rest, e)


@triton.jit
def power(m, m_lo, a, gamma, two_gamma: tl.constexpr, precise: tl.constexpr):
    """m^gamma for a pair m: by products and a square root where 2 gamma is `two_gamma`."""
    if two_gamma == ANY_POWER:
        return power_by_log(m, m_lo, a, gamma, precise)
    if two_gamma == 0:
        return tl.full(m.shape, 1.0, tl.float32)
    if two_gamma == 2:
        return m + m_lo
    square, square_lo = product(m, m_lo, m, m_lo)
    fourth, fourth_lo = product(square, square_lo, square, square_lo)
    root = tl.sqrt_rn(m + m_lo)
    if two_gamma == 1:
        return root
    if two_gamma == 3:
        return fma(m, root, m_lo * root)
    if two_gamma == 4:
        return square + square_lo
    if two_gamma == 5:
        return fma(square, root, square_lo * root)
    if two_gamma == 6:
        return fma(square, m, fma(square, m_lo, square_lo * m))
    if two_gamma == 8:
        return fourth + fourth_lo
    return fma(fourth, m, fma(fourth, m_lo, fourth_lo * m))


@triton.jit
def focal(p, p_lo, q, q_lo, loss, other, gamma, two_gamma: tl.constexpr, precise: tl.constexpr):
    """f = q^g L and its first and second derivative in the margin."""
    factor = power(q, q_lo, other, gamma, two_gamma, precise)
    p += p_lo
    q += q_lo
    p_loss = p * loss
    first = -(factor * fma(p_loss, gamma, q))
    pq, steep = p * q, factor * gamma
    second = fma(steep * p_loss, fma(p, gamma, -q), fma(steep, 2.0 * pq, factor * pq))
    return factor * loss, first, second


@triton.jit
def weighed(positive, negative, y, x, z):
    """positive * y * x + negative * (1 - y) * z."""
    return fma(positive, y * x, negative * ((1.0 - y) * z))


@triton.jit
def expected_loss(z, y, positive, negative, gamma, two_gamma: tl.constexpr, precise: tl.constexpr):
    """positive * y * f(z) + negative * (1 - y) * f(-z)."""
    p, p_lo, q, q_lo, loss, other = score(z, precise, False)
    f, f1, f2 = focal(p, p_lo, q, q_lo, loss, other, gamma, two_gamma, precise)
    g, g1, g2 = focal(q, q_lo, p, p_lo, other, loss, gamma, two_gamma, precise)
    value, first = weighed(positive, negative, y, f, g), weighed(positive, negative, y, f1, -g1)
    return value, first, weighed(positive, negative, y, f2, g2)


@triton.jit
def p_t_loss(z, y, positive, negative, gamma, two_gamma: tl.constexpr, precise: tl.constexpr):
    """m^g B, weighed, with m = y q + (1 - y) p and B = y L + (1 - y) l. No second derivative: NaN."""
    p, p_lo, q, q_lo, loss, other = score(z, precise, False)
    rest = 1.0 - y
    rest_lo = -y - (rest - 1.0)
    yq, yq_lo = product(y, 0.0, q, q_lo)
    rp, rp_lo = product(rest, rest_lo, p, p_lo)
    m, m_lo = two_sum(yq, rp)
    m_lo += yq_lo + rp_lo
    entropy = fma(y, loss, rest * other)
    present = (m >= SMALLEST) | ((y > 0) & (y < 1))
    ratio = tl.where(present, p * q / m, fma(y, p, rest * q))
    log_m = tl.where(present, -log_of(m), fma(y, other, rest * loss))
    factor = power(m, m_lo, log_m, gamma, two_gamma, precise)
    inner = fma(rest, p, -y * q) + gamma * (1.0 - 2.0 * y) * (ratio * entropy)
    value, first = factor * entropy, factor * inner
    value, first = weighed(positive, negative, y, value, value), weighed(positive, negative, y, first, first)
    return value, first, tl.full(z.shape, NAN, tl.float32)


# ---------------------------------------------------------------------------------------------------------------
# Binary
# ---------------------------------------------------------------------------------------------------------------


@triton.jit
def parameter(number, pointer, period, i, mask):
    """A number, or an element of an array that repeats along the last axes."""
    if pointer is None:
        return tl.full(i.shape, 1.0, tl.float32) * number
    else:
        return number * tl.load(pointer + i % period, mask=mask, other=1.0).to(tl.float32)


@triton.jit
def bounded_gamma(gamma):
    """Gamma, where a negative one, which only an unchecked array can hold, counts as 0."""
    return tl.where(gamma > LARGEST, LARGEST, tl.where(gamma < 0, 0.0, gamma))


@triton.jit
def finite(z):
    return tl.where(z > LARGEST, LARGEST, tl.where(z < -LARGEST, -LARGEST, z))


@triton.jit
def hard(
    z, is_negative, positive, negative, gamma, two_gamma: tl.constexpr, precise: tl.constexpr, ordinary: tl.constexpr
):
    """Value and derivatives for a label of 0 or 1. An infinite logit gives the limit."""
    inner = z if ordinary else finite(z)
    weight = tl.where(is_negative, negative, positive)
    p, p_lo, q, q_lo, loss, other = score(tl.where(is_negative, -inner, inner), precise, ordinary)
    value, first, second = focal(p, p_lo, q, q_lo, loss, other, gamma, two_gamma, precise)
    value *= weight
    if not ordinary:
        value = tl.where((tl.abs(z) > LARGEST) & (value > 0), INFINITY, value)
    return value, tl.where(is_negative, -weight, weight) * first, weight * second


@triton.jit
def soft(z, y, positive, negative, gamma, mix: tl.constexpr, two_gamma: tl.constexpr, precise: tl.constexpr):
    """The same for any label."""
    inner = finite(z)
    by_positives, by_negatives = (positive > 0) & (y > 0), (negative > 0) & (y < 1)
    if mix:
        value, first, second = p_t_loss(inner, y, positive, negative, gamma, two_gamma, precise)
        grows = (by_positives | by_negatives) & tl.where(z < 0, y > 0, y < 1)
    else:
        value, first, second = expected_loss(inner, y, positive, negative, gamma, two_gamma, precise)
        grows = tl.where(z < 0, by_positives, by_negatives)
    return tl.where((tl.abs(z) > LARGEST) & grows, value + INFINITY, value), first, second


@triton.jit
def binary(
    z_pointer,
    y_pointer,
    gamma_pointer,
    positive_pointer,
    negative_pointer,
    upstream_pointer,
    value_pointer,  # None: not wanted, here and below
    sum_pointer,  # one per program
    slope_pointer,  # upstream times the derivative of this order
    size,
    gamma_period,
    positive_period,
    negative_period,
    upstream_period,
    gamma,
    positive,
    negative,
    upstream,
    smoothing,
    order: tl.constexpr,
    two_gamma: tl.constexpr,
    mix: tl.constexpr,
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
    raw = tl.load(y_pointer + i, mask=mask, other=0)
    g = bounded_gamma(parameter(gamma, gamma_pointer, gamma_period, i, mask))
    a = parameter(positive, positive_pointer, positive_period, i, mask)
    b = parameter(negative, negative_pointer, negative_period, i, mask)
    valid = mask | True
    if integer_labels:
        valid = (raw == 0) | (raw == 1)
        y = (raw > 0).to(tl.float32)
    else:
        y = raw.to(tl.float32)
    if smooth:
        value, first, second = soft(z, (1.0 - smoothing) * y + 0.5 * smoothing, a, b, g, mix, two_gamma, precise)
    else:
        # Most blocks hold ordinary logits and hard labels: one branch for them, decided for the block as a whole.
        magnitude = z.to(tl.int32, bitcast=True) & 0x7FFFFFFF  # the largest for NaN
        unusual = tl.max(tl.where((y != 0) & (y != 1), 0x7FFFFFFF, magnitude), 0)
        if unusual <= ORDINARY_BITS:
            value, first, second = hard(z, y == 0, a, b, g, two_gamma, precise, True)
        elif integer_labels:
            value, first, second = hard(z, y == 0, a, b, g, two_gamma, precise, False)
        else:
            value, first, second = soft(z, y, a, b, g, mix, two_gamma, precise)
    value = tl.where(valid, value, NAN)
    if value_pointer is not None:
        put(value_pointer + i, value, mask)
    if sum_pointer is not None:
        tl.store(sum_pointer + tl.program_id(0), tl.sum(tl.where(mask, value, 0.0), 0))
    if slope_pointer is not None:
        slope = above * (first if order == 1 else second)
        put(slope_pointer + i, tl.where(valid, slope, 0.0), mask)


# ---------------------------------------------------------------------------------------------------------------
# Softmax, class indices
# ---------------------------------------------------------------------------------------------------------------


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
    value, first, _ = hard(margin, tl.zeros([width], tl.int1), w, w, g, two_gamma, precise, False)
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
