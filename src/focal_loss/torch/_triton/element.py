"""One element of the focal loss: value and derivatives, the mathematics of `native/scalar.hpp`, line by line."""

from __future__ import annotations

import triton
import triton.language as tl

from focal_loss.torch._triton.arithmetic import (
    INFINITY,
    LARGEST,
    NAN,
    SMALLEST,
    exp_of_negative,
    finite,
    fma,
    log1p_tail,
    log_of,
    power,
    product,
    two_sum,
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
