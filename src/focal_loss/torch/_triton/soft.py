"""One element of a loss with any label: the mathematics of `native/scalar.hpp`, `native/sides.hpp` and
`native/members.hpp`.
"""

from __future__ import annotations

import triton
import triton.language as tl

from focal_loss.torch._triton.arithmetic import (
    INFINITY,
    LARGEST,
    PAIRS,
    SMALLEST,
    exp_tail,
    finite,
    fma,
    log1p,
    log_of,
    not_computed,
    power,
    product,
    together,
    two_sum,
)
from focal_loss.torch._triton.element import expected_loss, focal, score, weighed

# The code of a family.
# <tables: families> Written by tools/tables.py; `make tables` writes it anew.
EXPECTED_LOSS = tl.constexpr(0)
P_T_LOSS = tl.constexpr(1)
QUALITY = tl.constexpr(2)
ASYMMETRIC = tl.constexpr(3)
POLY1 = tl.constexpr(4)
VARIFOCAL = tl.constexpr(5)
MATCHABILITY = tl.constexpr(6)
PENALTY_REDUCED = tl.constexpr(7)
# </tables: families>


@triton.jit
def mixed(y, p, p_lo, q, q_lo, sign: tl.constexpr, care: tl.constexpr):
    """y q + sign (1 - y) p as a pair."""
    rest = 1.0 - y
    if care != PAIRS:
        m = fma(y, q, sign * rest * p)
        return m, m
    rest_lo = -y - (rest - 1.0)
    yq, yq_lo = product(y, 0.0, q, q_lo)
    rp, rp_lo = product(rest, rest_lo, p, p_lo)
    m, m_lo = two_sum(yq, sign * rp)
    return m, m_lo + (yq_lo + sign * rp_lo)


@triton.jit
def p_t_loss(z, y, positive, negative, gamma, two_gamma: tl.constexpr, care: tl.constexpr):
    """m^g B, weighed, with m = y q + (1 - y) p and B = y L + (1 - y) l."""
    p, p_lo, q, q_lo, loss, other = score(z, care, False)
    rest = 1.0 - y
    m, m_lo = mixed(y, p, p_lo, q, q_lo, 1.0, care)
    entropy = fma(y, loss, rest * other)
    present = (m >= SMALLEST) | ((y > 0) & (y < 1))
    ratio = tl.where(present, p * q / m, fma(y, p, rest * q))
    log_m = tl.where(present, -log_of(m), fma(y, other, rest * loss))
    factor = power(m, m_lo, log_m, gamma, two_gamma, care)
    inner = fma(rest, p, -y * q) + gamma * (1.0 - 2.0 * y) * (ratio * entropy)
    value, first = factor * entropy, factor * inner
    value, first = weighed(positive, negative, y, value, value), weighed(positive, negative, y, first, first)
    return value, first


@triton.jit
def quality(z, y, gamma, two_gamma: tl.constexpr, care: tl.constexpr):
    """|d|^g B with d = y q - (1 - y) p and B = y L + (1 - y) l."""
    p, p_lo, q, q_lo, loss, other = score(z, care, False)
    rest = 1.0 - y
    m, m_lo = mixed(y, p, p_lo, q, q_lo, -1.0, care)
    d = together(m, m_lo, care)
    above = d < 0
    m, m_lo = tl.where(above, -m, m), tl.where(above, -m_lo, m_lo)
    entropy = fma(y, loss, rest * other)
    # A hard label has -log|d| also where |d| underflows, and p q / |d| is what is right of p and q there.
    is_soft = (y > 0) & (y < 1)
    factor = power(m, m_lo, tl.where(is_soft, -log_of(m), tl.where(y < 0.5, loss, other)), gamma, two_gamma, care)
    ratio = tl.where(m >= SMALLEST, p * q / m, tl.where(is_soft, 0.0, 1.0 - m))
    slope = fma(factor * gamma * tl.where(above, ratio, -ratio), entropy, factor * -d)
    return factor * entropy, slope


@triton.jit
def raised(y, gamma, two_gamma: tl.constexpr, care: tl.constexpr):
    """y^g and 1 - y^g of a label above 0."""
    u = (1.0 - y) / y
    neg_log = tl.where(y < 0.5, -log_of(y), log1p(u))
    power_of_y = power(y, tl.zeros_like(y), neg_log, gamma, two_gamma, care)
    x = gamma * neg_log
    return power_of_y, tl.where(x < 0.34, fma(x * x, -exp_tail(-x), x), 1.0 - power_of_y)


@triton.jit
def scored(
    z,
    y,
    alpha,
    gamma,
    two_gamma: tl.constexpr,
    care: tl.constexpr,
    is_target_raised: tl.constexpr,
    detached: tl.constexpr,
):
    """w (t L + (1 - t) l) of a label above 0, where t and w are y, or t is y^g and w is 1; else alpha p^g l."""
    p, p_lo, q, q_lo, loss, other = score(z, care, False)
    absent = y == 0
    factor = power(p, p_lo, loss, gamma, two_gamma, care)
    p, q = together(p, p_lo, care), together(q, q_lo, care)
    f, f1, _ = focal(factor, q, p, other, 0.0 if detached else gamma, None, False)
    if is_target_raised:
        t, rest = raised(tl.where(absent, 1.0, y), gamma, two_gamma, care)
        weight = tl.full(z.shape, 1.0, tl.float32)
    else:
        t, rest, weight = y, 1.0 - y, y
    value = tl.where(absent, alpha * f, weight * fma(t, loss, rest * other))
    grows = tl.where(z < 0, ~absent, tl.where(absent, alpha > 0, rest > 0))
    return value, tl.where(absent, -alpha * f1, weight * fma(rest, p, -t * q)), grows


@triton.jit
def reduced(y, exponent, two_exponent: tl.constexpr, care: tl.constexpr):
    """(1 - y)^b, the weight of a place that is no object."""
    rest = 1.0 - y
    weight = power(rest, -y - (rest - 1.0), -log_of(rest), exponent, two_exponent, care)
    return tl.where(y == y, weight, y)


@triton.jit
def soft(
    z,
    y,
    positive,
    negative,
    gamma,
    family: tl.constexpr,
    two_gamma: tl.constexpr,
    care: tl.constexpr,
    other_gamma=None,
    two_other: tl.constexpr = None,
    clip=None,
    epsilon=None,
    detached: tl.constexpr = False,
    signed: tl.constexpr = False,  # whether a weight may be below 0
):
    """Value and derivatives for any label. Those that are not computed are NaN."""
    inner = finite(z)
    by_positives, by_negatives = (positive > 0) & (y > 0), (negative > 0) & (y < 1)
    second = not_computed(z)
    if family == P_T_LOSS:
        value, first = p_t_loss(inner, y, positive, negative, gamma, two_gamma, care)
        grows = (by_positives | by_negatives) & tl.where(z < 0, y > 0, y < 1)
    elif family == QUALITY:
        value, first = quality(inner, y, gamma, two_gamma, care)
        grows = tl.where(z < 0, y > 0, y < 1)
    elif family == VARIFOCAL or family == MATCHABILITY:
        value, first, grows = scored(inner, y, negative, other_gamma, two_other, care, family == MATCHABILITY, detached)
    else:
        value, first, second = expected_loss(
            inner, y, positive, negative, gamma, two_gamma, care, other_gamma, two_other, clip, epsilon
        )
        grows = tl.where(z < 0, by_positives, by_negatives)
        if clip is not None:
            grows = (z < 0) & by_positives
        if signed:
            falls = tl.where(z < 0, (positive < 0) & (y > 0), (negative < 0) & (y < 1))
            value = tl.where((tl.abs(z) > LARGEST) & falls, value - INFINITY, value)
    return tl.where((tl.abs(z) > LARGEST) & grows, value + INFINITY, value), first, second
