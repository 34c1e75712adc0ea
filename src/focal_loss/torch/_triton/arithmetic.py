"""Pairs of floats, exponentials and logarithms, as in `native/vector_math.hpp`; powers, as in `native/scalar.hpp`."""

from __future__ import annotations

import os

import triton
import triton.language as tl

# The interpreter, which runs these kernels on the host in tests, rounds the product within `tl.fma`.
INTERPRETED = tl.constexpr(os.environ.get("TRITON_INTERPRET") == "1")
INFINITY = tl.constexpr(float("inf"))
NAN = tl.constexpr(float("nan"))
# How carefully an element is computed. A pair is an unevaluated sum of two floats; where there are none, the low parts
# that a function takes are not read.
ROUGH = tl.constexpr(0)  # results are rounded to half precision: relative errors of 2^-20, the GPU's own functions
SINGLE = tl.constexpr(1)  # float32 whose rounding errors no large gamma multiplies
PAIRS = tl.constexpr(2)
SIGN_BIT = tl.constexpr(-0x80000000)
MODERATE = tl.constexpr(5.0)  # the largest gamma that SINGLE serves, and ROUGH in a block of ordinary logits
# <tables: constants> Written by tools/tables.py; `make tables` writes it anew.
ANY_POWER = tl.constexpr(-1)  # a gamma without a power of its own; the others are 2 gamma
LARGEST = tl.constexpr(3.4028234663852886e38)  # the largest number
SMALLEST = tl.constexpr(1.1754943508222875e-38)  # the smallest normal number
LOG2_E = tl.constexpr(1.44269504088896340736)  # 1 / ln 2
ROUND = tl.constexpr(12582912.0)  # 1.5 * 2^23: adding it rounds to an integer
ROUND_BITS = tl.constexpr(0x4B400000)  # the bits of that
LN2_HI = tl.constexpr(0.693145751953125)  # 15 bits: n * LN2_HI is exact
LN2_LO = tl.constexpr(1.428606765330187e-06)  # the rest of ln 2
LN2 = tl.constexpr(0.6931471824645996)  # ln 2, rounded
LN2_REST = tl.constexpr(-1.9046542121259336e-09)  # the rest of that
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
def exp2(x):
    """2^x with a relative error of at most 2^-22; 0 where it is below the smallest normal number."""
    if INTERPRETED:
        return tl.exp2(x)
    else:
        return tl.inline_asm_elementwise("ex2.approx.ftz.f32 $0, $1;", "=f,f", [x], tl.float32, is_pure=True, pack=1)


@triton.jit
def reciprocal(x):
    """1 / x of a normal number up to 2^126, with an error of at most one unit in the last place."""
    if INTERPRETED:
        return 1.0 / x
    else:
        return tl.inline_asm_elementwise("rcp.approx.ftz.f32 $0, $1;", "=f,f", [x], tl.float32, is_pure=True, pack=1)


@triton.jit
def log2(x):
    """log(x) / log(2) of a normal number x, with an error of 2^-22: relative to it, but absolute in [1/2, 2]."""
    if INTERPRETED:
        return tl.log2(x)
    else:
        return tl.inline_asm_elementwise("lg2.approx.ftz.f32 $0, $1;", "=f,f", [x], tl.float32, is_pure=True, pack=1)


@triton.jit
def square_root(x):
    """The square root with a relative error of at most 2^-23; 0 where x is below the smallest normal number."""
    if INTERPRETED:
        return tl.sqrt(x)
    else:
        return tl.inline_asm_elementwise("sqrt.approx.ftz.f32 $0, $1;", "=f,f", [x], tl.float32, is_pure=True, pack=1)


@triton.jit
def minus(x):
    """-x, as a part of the instruction that reads it; Triton makes an instruction, 0 - x, of the operator."""
    return x * -1.0


@triton.jit
def flipped(x, sign_bit):
    """x with another sign where the sign bit is set."""
    return (x.to(tl.int32, bitcast=True) ^ sign_bit).to(tl.float32, bitcast=True)


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
def exp_of_ordinary(a):
    """exp(-a) for 0 <= a <= ORDINARY, with a relative error of at most 1.2 eps / 2: 2^n e^r with an integer n."""
    shifted = fma(a, -LOG2_E, ROUND)
    n = shifted - ROUND
    r = fma(n, -LN2_LO, fma(n, -LN2_HI, minus(a)))
    e = fma(fma(exp_tail(r), r, 1.0), r, 1.0)
    return (e.to(tl.int32, bitcast=True) + (shifted.to(tl.int32, bitcast=True) << 23)).to(tl.float32, bitcast=True)


@triton.jit
def exp_of_pair(a, ordinary: tl.constexpr):
    """exp(-a) for a >= 0 as hi (1 + relative). `ordinary`: a is at most ORDINARY, beyond which it is subnormal."""
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
def log1p(u):
    """log(1 + u) for u in [0, 1]."""
    return fma(u, minus(u) * log1p_tail(u), u)


@triton.jit
def rough_log1p(u):
    """log(1 + u) for u >= 0 with a relative error of at most 2^-18: by the GPU's logarithm, whose error is absolute
    near 1, down to 1/8, where that error is 2^-19 of the result.
    """
    # <tables: rough_log1p> Written by tools/tables.py; `make tables` writes it anew.
    p = fma(u, -0.206446343527, 0.330086152157)
    p = fma(p, u, -0.499920621378)
    p = fma(p, u, 0.999999693614)
    # </tables: rough_log1p>
    return tl.where(u < 0.125, u * p, log2(1.0 + u) * LN2)


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
def power_by_log(m, m_lo, a, gamma, care: tl.constexpr):
    """m^gamma by exp(-gamma a), where a is -log m with a rounding error that is corrected in pairs."""
    if care == PAIRS:
        return power_by_log_of_pair(m, m_lo, tl.where(a > FAR, FAR, tl.where(a < 0, 0.0, a)), gamma)
    if care == ROUGH:
        a = tl.clamp(a, 0.0, FAR, propagate_nan=tl.PropagateNan.ALL)  # 0 times infinity is no number
        return exp2(gamma * a * -LOG2_E)
    # e^(-gamma a) = 2^-x e^-rest, where x is gamma a / ln 2, rounded, and e^-rest is 1 - rest.
    whole = gamma * a
    x = whole * LOG2_E
    rest = fma(x, -LN2_REST, fma(x, -LN2, whole)) + fma(gamma, a, minus(whole))
    power = exp2(minus(x))
    return fma(power, minus(rest), power)


@triton.jit
def power_by_log_of_pair(m, m_lo, a, gamma):
    whole = gamma * a
    hi = tl.where(whole > POWER_IS_ZERO, POWER_IS_ZERO, whole)
    back, back_error = exp_of_pair(a, False)
    missed = ((m - back) + fma(-back, back_error, m_lo)) / m
    rounding = tl.where(gamma < SPLITTABLE, fma(gamma, a, -whole), 0.0)
    lo = tl.where((m >= SMALLEST) & (whole <= POWER_IS_ZERO), fma(-gamma, missed, rounding), 0.0)
    exponent, rest = two_sum(hi, lo)
    e, e_error = exp_of_pair(tl.where(exponent < 0, 0.0, exponent), False)
    return fma(e, e_error - rest, e)


@triton.jit
def power(m, m_lo, a, gamma, two_gamma: tl.constexpr, care: tl.constexpr):
    """m^gamma for a pair m: by products and a square root where 2 gamma is `two_gamma`."""
    if two_gamma == ANY_POWER:
        return power_by_log(m, m_lo, a, gamma, care)
    if two_gamma == 0:
        return tl.full(m.shape, 1.0, tl.float32)
    if care != PAIRS:
        return power_by_products(m, two_gamma)
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
def power_by_products(m, two_gamma: tl.constexpr):
    square = m * m
    root = square_root(m)
    if two_gamma == 1:
        return root
    if two_gamma == 2:
        return m
    if two_gamma == 3:
        return m * root
    if two_gamma == 4:
        return square
    if two_gamma == 5:
        return square * root
    if two_gamma == 6:
        return square * m
    if two_gamma == 8:
        return square * square
    return square * square * m


@triton.jit
def together(x, x_lo, care: tl.constexpr):
    """The number that is a pair where there are pairs."""
    if care == PAIRS:
        return x + x_lo
    else:
        return x


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
