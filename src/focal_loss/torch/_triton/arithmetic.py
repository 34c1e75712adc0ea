"""Pairs of floats, exponentials and logarithms, as in `native/vector_math.hpp`; powers, as in `native/scalar.hpp`."""

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
def two_sum(x, y):
    total = x + y
    z = total - x
    return total, (x - (total - z)) + (y - z)


@triton.jit
def product(x, x_lo, y, y_lo):
    hi = x * y
    return hi, fma(x, y, -hi) + fma(x, y_lo, x_lo * y)


@triton.jit
def scaled(x, n):
    """x 2^-n for 0 <= n <= 151, by two factors: 2^-n may be subnormal."""
    half = n >> 1
    first = ((127 - half) << 23).to(tl.float32, bitcast=True)
    second = ((127 - (n - half)) << 23).to(tl.float32, bitcast=True)
    return x * first * second


@triton.jit
def exp_tail(r):
    """(e^r - 1 - r) / r^2 for |r| <= ln(2) / 2."""
    # <tables: exp> Written by tools/tables.py; `make tables` writes it anew.
    tail = fma(r, 0.0013816859037436928169, 0.0083686466331062650711)
    tail = fma(tail, r, 0.041668340581161919017)
    tail = fma(tail, r, 0.16666521387432108594)
    return fma(tail, r, 0.49999993688676261576)
    # </tables: exp>


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
    tail = exp_tail(r)
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
def finite(z):
    return tl.where(z > LARGEST, LARGEST, tl.where(z < -LARGEST, -LARGEST, z))


@triton.jit
def bounded_gamma(gamma):
    """Gamma, where a negative one, which only an unchecked array can hold, counts as 0."""
    return tl.where(gamma > LARGEST, LARGEST, tl.where(gamma < 0, 0.0, gamma))


@triton.jit
def not_computed(like):
    # Not NAN: a function that is called twice may not read a constant that differs from itself.
    return tl.full(like.shape, float("nan"), tl.float32)
