"""Powers of a probability, to the precision of the probability."""

from __future__ import annotations

import math

from focal_loss._core.formula import Array, Ops

LOG_2 = math.log(2)
CENTRAL = 0.46  # |p - q| below which a probability is taken as (1 + t) / 2; tanh(1/2), where |z| is 1


# <tables: powers> Written by tools/tables.py; `make tables` writes it anew.
BY_PRODUCTS = 5.0  # the largest gamma whose power is products
LN2_HIGH, LN2_LOW = (0.693145751953125, 1.4286068203094173e-06)  # 15 bits and the rest: n * LN2_HIGH is exact
# </tables: powers>


def is_small(gamma: float | Array | None) -> bool:
    """Whether base^gamma is at most two products, which multiply the error of the base by at most 3."""
    return isinstance(gamma, float) and gamma <= 3 and by_products(gamma)


def by_products(gamma: float) -> bool:
    return gamma <= BY_PRODUCTS and not (2 * gamma) % 1


def power(ops: Ops, base: Array, neg_log_base: Array, p_minus_q: Array, gamma: float | Array) -> Array:
    """base^gamma for base = (1 + p_minus_q) / 2. Small integers and half-integers are products and a square root."""
    if isinstance(gamma, float) and by_products(gamma):
        return product(ops, base, gamma)
    return exponential(ops, neg_log_base, p_minus_q, gamma)


def exponential(ops: Ops, neg_log_base: Array, p_minus_q: Array, gamma: float | Array) -> Array:
    """base^gamma as an exponential, which does not underflow where the base does.

    The argument of an exponential is rounded to eps/2 of itself, which is harmless where it is small or the bound is
    loose. Near base = 1/2 it is not. There the power is exp(gamma log1p(p_minus_q) - gamma log 2), the second term in
    two parts, and the rounding of their sum is taken back.
    """
    central = ops.abs(p_minus_q) < CENTRAL
    # Beyond this gamma the power of every base near 1/2 underflows, also in float64; n * LN2_HIGH is exact up to it.
    near = min(gamma, 2500.0) if isinstance(gamma, float) else ops.clip(gamma, 0.0, 2500.0)
    whole = math.floor(near) if isinstance(near, float) else ops.floor(near)
    halvings = whole * LN2_HIGH
    above = near * log_of_near_one(ops, p_minus_q) - (whole * LN2_LOW + (near - whole) * LOG_2)
    exponent = above - halvings
    lost = above - (exponent + halvings)
    result = ops.exp(ops.where(central, exponent, -(gamma * neg_log_base)))
    return ops.where(central, result + lost * result, result)


def log_of_near_one(ops: Ops, p_minus_q: Array) -> Array:
    """log(1 + p_minus_q) for |p_minus_q| < CENTRAL. XLA's float64 log1p of negative numbers may be 120 eps off."""
    p_minus_q = ops.clip(p_minus_q, -CENTRAL, CENTRAL)
    size = ops.log1p(ops.abs(p_minus_q) / (1 + ops.clip(p_minus_q, -CENTRAL, 0.0)))
    return ops.where(p_minus_q < 0, -size, size)


def product(ops: Ops, base: Array, gamma: float) -> Array:
    result: Array = ops.sqrt(base) if gamma % 1 else 1.0
    square, whole = base, int(gamma)
    while whole:
        if whole & 1:
            result = square * result
        whole >>= 1
        square = square * square if whole else square
    return result
