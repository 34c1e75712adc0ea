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
    SMALLEST,
    exp_of_negative,
    finite,
    fma,
    log1p_tail,
    log_of,
    not_computed,
    power,
    power_by_log,
)


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
def power_of_side(
    q, q_lo, other, is_negative, gamma, two_gamma: tl.constexpr, two_other: tl.constexpr, precise: tl.constexpr
):
    """q^g, where twice g is `two_other` for the negatives, and `gamma` holds the g of each element."""
    if two_gamma == ANY_POWER or two_other == ANY_POWER:
        return power_by_log(q, q_lo, other, gamma, precise)
    of_positives = power(q, q_lo, other, gamma, two_gamma, precise)
    return tl.where(is_negative, power(q, q_lo, other, gamma, two_other, precise), of_positives)


@triton.jit
def focal(factor, p, q, loss, gamma, epsilon):
    """q^g (L + e q) from the factor q^g, where e is `epsilon`, and its derivatives in the margin. The second one is not
    computed with epsilon.
    """
    if epsilon is None:
        p_loss = p * loss
        first = -(factor * fma(p_loss, gamma, q))
        pq, steep = p * q, factor * gamma
        second = fma(steep * p_loss, fma(p, gamma, -q), fma(steep, 2.0 * pq, factor * pq))
        return factor * loss, first, second
    else:
        # The factor multiplies gamma first: gamma times the loss may overflow where the factor is 0.
        whole = fma(q, epsilon, loss)
        first = -fma(factor * gamma * p, whole, factor * (q * fma(p, epsilon, 1.0)))
        return factor * whole, first, not_computed(p)


@triton.jit
def clipped(
    p, p_lo, q, q_lo, neg_log_q, clip, gamma, two_gamma: tl.constexpr, precise: tl.constexpr, ordinary: tl.constexpr
):
    """m^g M of a negative, with m = max(p - c, 0) and M = -log(1 - m), and its slope in the logit.

    M = log1p(m / r),  r = 1 - m = q + c        slope = p q [ g m^(g-1) M + m^g / r ]
    """
    m = (p - clip) + p_lo  # p - c is exact where it is small beside p
    rest = (q + clip) + q_lo
    # Below 1/2 r is scaled to [1/2, 1): 1 - r is exact there.
    near = ~(rest < 0.5)
    bits = rest.to(tl.int32, bitcast=True)
    scaled = tl.where(near, rest, ((bits & 0x7FFFFF) | 0x3F000000).to(tl.float32, bitcast=True))
    u = tl.where(near, m, 1.0 - scaled) / scaled
    loss = fma(u, -u * log1p_tail(u), u) + tl.where(near, 0.0, 126.0 - (bits >> 23).to(tl.float32)) * (LN2_HI + LN2_LO)
    easy = m <= 0
    m = tl.where(easy, 1.0, m)
    nothing = tl.zeros_like(m)
    if two_gamma >= 2:
        steep = power(m, nothing, nothing, gamma, two_gamma - 2, precise)  # m^(g-1)
        factor = steep * m
    else:
        factor = power(m, nothing, -log_of(m), gamma, two_gamma, precise)
        steep = nothing if two_gamma == 0 else factor / m
    part = q / rest
    if not ordinary:  # where q is subnormal, it is the square of a normal number
        root, error = exp_of_negative(0.5 * neg_log_q, precise, False)
        root = fma(root, error, root)
        part = tl.where(q < SMALLEST, root * (root / rest), part)
    slope = p * fma(gamma * steep * q, loss, factor * part)
    return tl.where(easy, 0.0, factor * loss), tl.where(easy, 0.0, slope)


@triton.jit
def hard(
    z,
    is_negative,
    positive,
    negative,
    gamma,
    two_gamma: tl.constexpr,
    precise: tl.constexpr,
    ordinary: tl.constexpr,
    other_gamma=None,
    two_other: tl.constexpr = None,
    clip=None,
    epsilon=None,
    detached: tl.constexpr = False,
):
    """Value and derivatives for a label of 0 or 1. An infinite logit gives the limit."""
    inner = z if ordinary else finite(z)
    weight = tl.where(is_negative, negative, positive)
    p, p_lo, q, q_lo, loss, other = score(tl.where(is_negative, -inner, inner), precise, ordinary)
    if other_gamma is None or clip is not None:
        factor = power(q, q_lo, other, gamma, two_gamma, precise)
    else:
        gamma = tl.where(is_negative, other_gamma, gamma)
        factor = power_of_side(q, q_lo, other, is_negative, gamma, two_gamma, two_other, precise)
    value, first, second = focal(factor, p + p_lo, q + q_lo, loss, 0.0 if detached else gamma, epsilon)
    if clip is not None:
        cut, slope = clipped(q, q_lo, p, p_lo, loss, clip, other_gamma, two_other, precise, ordinary)
        value, first = tl.where(is_negative, cut, value), tl.where(is_negative, -slope, first)
    value *= weight
    if not ordinary:
        grows = (tl.abs(z) > LARGEST) & (value > 0)
        if clip is not None:  # the loss of a negative is at most -log(c)
            grows = grows & ~is_negative
        value = tl.where(grows, INFINITY, value)
    return value, tl.where(is_negative, -weight, weight) * first, weight * second


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
    precise: tl.constexpr,
    other_gamma=None,
    two_other: tl.constexpr = None,
    clip=None,
    epsilon=None,
):
    """positive * y * f(z) + negative * (1 - y) * f(-z)."""
    p, p_lo, q, q_lo, loss, other = score(z, precise, False)
    of_one = power(q, q_lo, other, gamma, two_gamma, precise)
    f, f1, f2 = focal(of_one, p + p_lo, q + q_lo, loss, gamma, epsilon)
    if clip is not None:
        g, slope = clipped(p, p_lo, q, q_lo, other, clip, other_gamma, two_other, precise, False)
        g1, g2 = -slope, f2
    else:
        if other_gamma is not None:
            gamma = other_gamma
        of_zero = power(p, p_lo, loss, gamma, two_gamma if other_gamma is None else two_other, precise)
        g, g1, g2 = focal(of_zero, q + q_lo, p + p_lo, other, gamma, epsilon)
    value, first = weighed(positive, negative, y, f, g), weighed(positive, negative, y, f1, -g1)
    return value, first, weighed(positive, negative, y, f2, g2)
