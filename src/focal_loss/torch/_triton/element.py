"""One element of a loss with a label of 0 or 1, or of the expectation over both: value and derivatives, the mathematics
of `native/scalar.hpp` and `native/sides.hpp`.

Of the options that only some losses have, those that are None cost nothing: `other_gamma`, that of the negatives if it
is not `gamma`; `clip`, by which the probability of a negative is shifted; `epsilon`, what Poly-1 adds to the
coefficient of q^(gamma + 1). With `detached` the power is a constant in the derivatives.
"""

from __future__ import annotations

import triton
import triton.language as tl

from focal_loss.torch._triton.arithmetic import (
    ANY_POWER,
    INFINITY,
    LARGEST,
    LN2_HI,
    LN2_LO,
    LOG2_E,
    PAIRS,
    ROUGH,
    SINGLE,
    SMALLEST,
    exp2,
    exp_of_ordinary,
    exp_of_pair,
    finite,
    fma,
    log1p,
    log1p_tail,
    log_of,
    minus,
    not_computed,
    power,
    power_by_log,
    reciprocal,
    rough_log1p,
    together,
)


@triton.jit
def score(s, care: tl.constexpr, ordinary: tl.constexpr):
    """p, q as pairs, L = -log p and l = -log q of a finite margin.

    With u = exp(-|s|) the smaller of p and q is u / (1 + u), the larger 1 / (1 + u), and the smaller of L and l is
    log1p(u), to which the larger adds |s|. One step of Newton's method, 1 - inverse (1 + u), takes back the rounding
    error of 1 + u and of its reciprocal.
    """
    if ordinary and care == ROUGH:  # without the halves of |s|, as e^-s neither overflows nor vanishes
        e = exp2(s * -LOG2_E)
        p, loss = reciprocal(1.0 + e), rough_log1p(e)
        return p, p, e * p, p, loss, loss + s
    a = tl.abs(s)
    wrong = s < 0
    if care == PAIRS:
        u, u_error = exp_of_pair(a, ordinary)
        inverse = 1.0 / (1.0 + u)
        small = u * inverse
        error = fma(-small, u_error, fma(-u, inverse, 1.0 - inverse))
        small_lo = fma(small, error + u_error, fma(u, inverse, -small))
        near = fma(u, fma(-u, log1p_tail(u), u_error * inverse), u)
        p_lo, q_lo = tl.where(wrong, small_lo, inverse * error), tl.where(wrong, inverse * error, small_lo)
    else:
        u = exp_of_ordinary(a) if care == SINGLE else exp2(a * -LOG2_E)
        inverse = reciprocal(1.0 + u)
        if care == SINGLE:
            inverse = fma(inverse, fma(minus(u), inverse, 1.0 - inverse), inverse)
        near, small = log1p(u), u * inverse
        p_lo, q_lo = small, small  # not read
    p, q = tl.where(wrong, small, inverse), tl.where(wrong, inverse, small)
    return p, p_lo, q, q_lo, tl.where(wrong, near + a, near), tl.where(wrong, near, near + a)


@triton.jit
def power_of_side(
    q, q_lo, other, is_negative, gamma, two_gamma: tl.constexpr, two_other: tl.constexpr, care: tl.constexpr
):
    """q^g, where twice g is `two_other` for the negatives, and `gamma` holds the g of each element."""
    if two_gamma == ANY_POWER or two_other == ANY_POWER:
        return power_by_log(q, q_lo, other, gamma, care)
    of_positives = power(q, q_lo, other, gamma, two_gamma, care)
    return tl.where(is_negative, power(q, q_lo, other, gamma, two_other, care), of_positives)


@triton.jit
def focal(factor, p, q, loss, gamma, epsilon, ordinary: tl.constexpr):
    """q^g (L + e q) from the factor q^g, where e is `epsilon`, and its derivatives in the margin. The second one is not
    computed with epsilon.
    """
    value = factor * loss
    if epsilon is None:
        if ordinary:  # q^g (g p L + q) = g v + q (q^g - g v) with the value v, as p = 1 - q
            part = value * gamma
            first = minus(fma(q, factor - part, part))
        else:  # where g v may overflow
            first = minus(factor * fma(p * loss, gamma, q))
        p_loss = p * loss
        pq, steep = p * q, factor * gamma
        second = fma(steep * p_loss, fma(p, gamma, -q), fma(steep, 2.0 * pq, factor * pq))
        return value, first, second
    else:
        # The factor multiplies gamma first: gamma times the loss may overflow where the factor is 0.
        whole = fma(q, epsilon, loss)
        first = minus(fma(factor * gamma * p, whole, factor * (q * fma(p, epsilon, 1.0))))
        return factor * whole, first, not_computed(p)


@triton.jit
def clipped(
    p, p_lo, q, q_lo, neg_log_q, clip, gamma, two_gamma: tl.constexpr, care: tl.constexpr, ordinary: tl.constexpr
):
    """m^g M of a negative, with m = max(p - c, 0) and M = -log(1 - m), and its slope in the logit.

    M = log1p(m / r),  r = 1 - m = q + c        slope = p q [ g m^(g-1) M + m^g / r ]
    """
    m = together(p - clip, p_lo, care)  # p - c is exact where it is small beside p
    rest = together(q + clip, q_lo, care)
    # Below 1/2 r is scaled to [1/2, 1): 1 - r is exact there.
    near = ~(rest < 0.5)
    bits = rest.to(tl.int32, bitcast=True)
    scaled = tl.where(near, rest, ((bits & 0x7FFFFF) | 0x3F000000).to(tl.float32, bitcast=True))
    u = tl.where(near, m, 1.0 - scaled) / scaled
    loss = (rough_log1p(u) if ordinary and care == ROUGH else log1p(u)) + tl.where(
        near, 0.0, 126.0 - (bits >> 23).to(tl.float32)
    ) * (LN2_HI + LN2_LO)
    easy = m <= 0
    m = tl.where(easy, 1.0, m)
    nothing = tl.zeros_like(m)
    if two_gamma >= 2:
        steep = power(m, nothing, nothing, gamma, two_gamma - 2, care)  # m^(g-1)
        factor = steep * m
    else:
        factor = power(m, nothing, -log_of(m), gamma, two_gamma, care)
        steep = nothing if two_gamma == 0 else factor / m
    part = q / rest
    if not ordinary:  # where q is subnormal, it is the square of a normal number
        if care == PAIRS:
            root, error = exp_of_pair(0.5 * neg_log_q, False)
            root = fma(root, error, root)
        else:
            root = exp2(0.5 * neg_log_q * -LOG2_E)
        part = tl.where(q < SMALLEST, root * (root / rest), part)
    slope = p * fma(gamma * steep * q, loss, factor * part)
    return tl.where(easy, 0.0, factor * loss), tl.where(easy, 0.0, slope)


@triton.jit
def hard(
    s,
    is_negative,
    weight,  # None: 1
    gamma,
    two_gamma: tl.constexpr,
    care: tl.constexpr,
    ordinary: tl.constexpr,
    other_gamma=None,
    two_other: tl.constexpr = None,
    clip=None,
    epsilon=None,
    detached: tl.constexpr = False,
):
    """Value and derivatives in the margin for a label of 0 or 1. An infinite margin gives the limit."""
    inner = s if ordinary else finite(s)
    p, p_lo, q, q_lo, loss, other = score(inner, care, ordinary)
    if other_gamma is None or clip is not None:
        factor = power(q, q_lo, other, gamma, two_gamma, care)
    else:
        gamma = tl.where(is_negative, other_gamma, gamma)
        factor = power_of_side(q, q_lo, other, is_negative, gamma, two_gamma, two_other, care)
    whole_p, whole_q = together(p, p_lo, care), together(q, q_lo, care)
    value, first, second = focal(factor, whole_p, whole_q, loss, 0.0 if detached else gamma, epsilon, ordinary)
    if clip is not None:
        cut, slope = clipped(q, q_lo, p, p_lo, loss, clip, other_gamma, two_other, care, ordinary)
        value, first = tl.where(is_negative, cut, value), tl.where(is_negative, minus(slope), first)
    if weight is not None:
        value, first, second = weight * value, weight * first, weight * second
    if not ordinary:
        grows = (tl.abs(s) > LARGEST) & (value > 0)
        if clip is not None:  # the loss of a negative is at most -log(c)
            grows = grows & ~is_negative
        value = tl.where(grows, INFINITY, value)
    return value, first, second


@triton.jit
def weighed(positive, negative, y, x, z):
    """positive * y * x + negative * (1 - y) * z."""
    return fma(positive, y * x, negative * ((1.0 - y) * z))


@triton.jit
def expected_loss(
    z,
    y,
    positive,
    negative,
    gamma,
    two_gamma: tl.constexpr,
    care: tl.constexpr,
    other_gamma=None,
    two_other: tl.constexpr = None,
    clip=None,
    epsilon=None,
):
    """positive * y * f(z) + negative * (1 - y) * f(-z)."""
    p, p_lo, q, q_lo, loss, other = score(z, care, False)
    whole_p, whole_q = together(p, p_lo, care), together(q, q_lo, care)
    of_one = power(q, q_lo, other, gamma, two_gamma, care)
    f, f1, f2 = focal(of_one, whole_p, whole_q, loss, gamma, epsilon, False)
    if clip is not None:
        g, slope = clipped(p, p_lo, q, q_lo, other, clip, other_gamma, two_other, care, False)
        g1, g2 = -slope, f2
    else:
        if other_gamma is not None:
            gamma = other_gamma
        of_zero = power(p, p_lo, loss, gamma, two_gamma if other_gamma is None else two_other, care)
        g, g1, g2 = focal(of_zero, whole_q, whole_p, other, gamma, epsilon, False)
    value, first = weighed(positive, negative, y, f, g), weighed(positive, negative, y, f1, -g1)
    return value, first, weighed(positive, negative, y, f2, g2)
