"""Value and derivatives of the focal loss, written once for every array library.

Everything here is elementwise algebra over a handful of primitives (`Ops`). Nothing here is ever differentiated by
a framework: each derivative is its own closed form, named by the positions of the arguments that it differentiates.
``evaluate(ops, "margin", "00", s, gamma, weight)`` is the second derivative in the first argument. The adapters hand
these to their framework as custom gradients.

Notation (Lin et al., 2017, and the CONTRIBUTING page): p = sigmoid(z) is the probability of the positive class,
q = 1 - p, g = gamma. The whole family is built of one function of the margin s, the logit of the true class:

    f(s) = q^g * (-log p)          p = sigmoid(s), q = sigmoid(-s)

A softmax is a margin too: s = v_t - logsumexp of the other classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from itertools import combinations
from typing import Any, NamedTuple, Protocol

Array = Any  # An array of whichever library `Ops` speaks for.
Index = str  # The positions of the arguments that are differentiated, a digit each, at most two.

LOG_2 = math.log(2)
CLAMP = 1e-7  # Probabilities are clamped to [CLAMP, 1 - CLAMP], as in Keras and in the 2021 package.


class Ops(Protocol):
    """The primitives of an array library. Arithmetic, comparison and ``&`` are Python's operators."""

    def exp(self, x: Array, /) -> Array: ...
    def log(self, x: Array, /) -> Array: ...
    def log1p(self, x: Array, /) -> Array: ...
    def sqrt(self, x: Array, /) -> Array: ...
    def tanh(self, x: Array, /) -> Array: ...
    def abs(self, x: Array, /) -> Array: ...
    def floor(self, x: Array, /) -> Array: ...
    def where(self, condition: Array, x: Array, y: Array, /) -> Array: ...
    def clip(self, x: Array, low: float, high: float, /) -> Array: ...
    def sum(self, x: Array, axis: int, /) -> Array: ...  # keeps the axis, length 1
    def max(self, x: Array, axis: int, /) -> Array: ...  # keeps the axis, length 1
    def first_max(self, x: Array, axis: int, /) -> Array: ...  # True at one largest entry, False elsewhere
    def largest(self, x: Array, /) -> float: ...  # the largest and the smallest normal number of x's dtype
    def smallest(self, x: Array, /) -> float: ...
    def is_bool(self, x: Array, /) -> bool: ...
    def constant(self, x: Array, /) -> Array: ...  # has no derivative


class Sigmoid(NamedTuple):
    """A binary prediction: p, q = 1 - p, -log p, -log q and p - q, each to full relative precision."""

    p: Array
    q: Array
    neg_log_p: Array
    neg_log_q: Array
    p_minus_q: Array

    def flipped(self) -> Sigmoid:
        return Sigmoid(self.q, self.p, self.neg_log_q, self.neg_log_p, -self.p_minus_q)


def sigmoid_from_logits(ops: Ops, z: Array, gamma: float | Array | None = None) -> Sigmoid:
    """All from one exponential, u = exp(-|z|) in (0, 1]; q is never formed as 1 - p.

    Near z = 0 p and q come from p - q = tanh(z/2) instead: they are raised to the power gamma, and a rounding of
    1 + u, raised with them, would be most of the error. A small power by products can do without: then p - q, which
    only that and the p_t mixture need, is the plain difference. Infinite logits enter as the largest finite one: there
    u = 0 and every derivative has its limit, where inf would give 0 * inf. `at_infinity` puts back the limit of the
    value.
    """
    z = ops.clip(z, -ops.largest(z), ops.largest(z))
    size = ops.abs(z)
    u = ops.exp(-size)
    log1p_u = ops.log1p(u)
    larger, smaller = 1 / (1 + u), u / (1 + u)
    if is_small(gamma):
        p_minus_q = larger - smaller
    else:
        p_minus_q = ops.tanh(0.5 * size)
        central = size < 1
        larger = ops.where(central, 0.5 + 0.5 * p_minus_q, larger)
        smaller = ops.where(central, 0.5 - 0.5 * p_minus_q, smaller)
    positive = z >= 0
    return Sigmoid(
        ops.where(positive, larger, smaller),
        ops.where(positive, smaller, larger),
        log1p_u + ops.where(positive, 0.0, -z),
        log1p_u + ops.where(positive, z, 0.0),
        ops.where(positive, p_minus_q, -p_minus_q),
    )


def is_small(gamma: float | Array | None) -> bool:
    """Whether base^gamma is two products at most, so that it multiplies the error of the base by no more than 3."""
    return isinstance(gamma, float) and gamma <= 3 and by_products(gamma)


def by_products(gamma: float) -> bool:
    return gamma <= BY_PRODUCTS and not (2 * gamma) % 1


def sigmoid_from_probabilities(ops: Ops, p: Array, q: Array) -> Sigmoid:
    """From p and q, both given because 1 - p loses a small q. Outside the clamp, the sigmoid at its edge."""
    p, q = ops.clip(p, CLAMP, 1 - CLAMP), ops.clip(q, CLAMP, 1 - CLAMP)
    # Near p = 1 the logarithm is taken of q, as p may have been rounded. log1p(q / p) is -log p; log1p(-q) would be
    # too, were it not 128 ULP off in XLA's float64.
    return Sigmoid(
        p,
        q,
        ops.where(p < 0.75, -ops.log(p), ops.log1p(q / p)),
        ops.where(q < 0.75, -ops.log(q), ops.log1p(p / q)),
        p - q,
    )


def at_infinity(ops: Ops, value: Array, z: Array, grows: Array) -> Array:
    """The limit of `value` at infinite z: inf where the loss `grows` without bound, else what it is.

    It is inf though the factors of the loss may be too small for a number.
    """
    return ops.where((ops.abs(z) == float("inf")) & grows, value + float("inf"), value)


def grows_with(positive: Array, negative: Array, y: Array, z: Array) -> Array:
    """Whether a loss with these weights grows without bound towards the infinity on the side of the logit z."""
    return weighed((z < 0) & (y > 0), positive) | weighed((z > 0) & (y < 1), negative)


def weighed(condition: Array, weight: Array) -> Array:
    """The condition where the weight is not 0."""
    if isinstance(weight, float):
        return condition if weight else condition & ~condition
    return condition & (weight > 0)


def times(ops: Ops, factor: Array, x: Array) -> Array:
    """factor * x, where 0 times a factor beyond the largest number is 0, and anything else times it infinite.

    A parameter may be any finite number, and 1e300 is infinite among float32.
    """
    if not isinstance(factor, float):
        return ops.where(x == 0, 0.0, factor * x)
    if factor == 1:
        return x
    largest = ops.largest(x)
    while abs(factor) > largest:
        x, factor = largest * x, factor / largest
    return factor * x


def at_most(ops: Ops, parameter: Array, x: Array) -> Array:
    """A gamma as a finite number of the dtype of x."""
    largest = ops.largest(x)
    return min(parameter, largest) if isinstance(parameter, float) else ops.clip(parameter, 0.0, largest)


CENTRAL = 0.46  # |p - q| below which a probability is taken as (1 + t) / 2; tanh(1/2), where |z| is 1


# <tables: powers> Written by tools/tables.py; `make tables` writes it anew.
BY_PRODUCTS = 5.0  # the largest gamma whose power is products
LN2_HIGH, LN2_LOW = (0.693145751953125, 1.4286068203094173e-06)  # 15 bits and the rest: n * LN2_HIGH is exact
# </tables: powers>


def power(ops: Ops, base: Array, neg_log_base: Array, p_minus_q: Array, gamma: float | Array) -> Array:
    """base^gamma for base = (1 + p_minus_q) / 2. Small integers and half-integers are products and a square root."""
    if isinstance(gamma, float) and by_products(gamma):
        return product(ops, base, gamma)
    return exponential(ops, neg_log_base, p_minus_q, gamma)


def exponential(ops: Ops, neg_log_base: Array, p_minus_q: Array, gamma: float | Array) -> Array:
    """`power`, which this way does not underflow with the base.

    The argument of an exponential is rounded to eps/2 of itself, which is harmless where it is small or the bound is
    wide: near base = 1/2 it is not. There the power is exp(gamma log1p(p_minus_q) - gamma log 2), the second term in
    two parts, and the rounding of their sum is taken back.
    """
    central = ops.abs(p_minus_q) < CENTRAL
    # Beyond this gamma the power of any base as near to 1/2 underflows, in float64 too; n * LN2_HIGH is exact up to it.
    near = min(gamma, 2500.0) if isinstance(gamma, float) else ops.clip(gamma, 0.0, 2500.0)
    whole = math.floor(near) if isinstance(near, float) else ops.floor(near)
    halvings = whole * LN2_HIGH
    above = near * log_of_near_one(ops, p_minus_q) - (whole * LN2_LOW + (near - whole) * LOG_2)
    exponent = above - halvings
    lost = above - (exponent + halvings)
    result = ops.exp(ops.where(central, exponent, -(gamma * neg_log_base)))
    return ops.where(central, result + lost * result, result)


def log_of_near_one(ops: Ops, p_minus_q: Array) -> Array:
    """log(1 + p_minus_q) for |p_minus_q| < CENTRAL. Of negative numbers XLA's float64 log1p may be 120 eps off."""
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


def margin_derivative(ops: Ops, order: tuple[int, int], sigmoid: Sigmoid, gamma: float | Array) -> Array:
    """d^(i+j) f / ds^i dgamma^j for order = (i, j), where f = q^g L with L = -log p, l = -log q.

    With dp/ds = p q, dq/ds = -p q, dL/ds = -q and d(q^g)/dg = -q^g l:

        f_s  = -q^g (g p L + q)
        f_ss =  q^g [ (2g+1) q p + g p L (g p - q) ]

    No q^(g-1) is formed, so 0 < g < 1 needs no care. p L comes first in each product: it is at most 0.28, where
    g L alone could overflow. q^g comes before a second g: it is 0 where the square of g could be infinite.
    """
    p, q, neg_log_p, neg_log_q, p_minus_q = sigmoid
    factor = power(ops, q, neg_log_q, -p_minus_q, gamma)
    if order[0] == 0:
        value = factor * neg_log_p
        for _ in range(order[1]):
            value = -value * neg_log_q
        return value
    p_loss = p * neg_log_p
    slope = gamma * p_loss + q
    steep, pq = factor * gamma, p * q
    match order:
        case (1, 0):
            return -factor * slope
        case (2, 0):
            return factor * pq + steep * (2 * pq) + steep * p_loss * (gamma * p - q)
        case (1, 1):
            return factor * (neg_log_q * slope - p_loss)
    raise NotImplementedError(f"derivative of order {order}")


def probability_derivative(ops: Ops, order: tuple[int, int], sigmoid: Sigmoid, gamma: float | Array) -> Array:
    """Like `margin_derivative`, in p itself: h(p) = q^g L, h_p = -q^g (g L/q + 1/p). The clamp keeps p, q > 0."""
    p, q, neg_log_p, neg_log_q, p_minus_q = sigmoid
    if order[0] == 0:
        return margin_derivative(ops, order, sigmoid, gamma)
    factor = power(ops, q, neg_log_q, -p_minus_q, gamma)
    ratio, steep = neg_log_p / q, factor * gamma
    slope = steep * ratio + factor / p
    match order:
        case (1, 0):
            return -slope
        case (2, 0):
            return steep * (gamma - 1) * ratio / q + 2 * steep / (p * q) + factor / (p * p)
        case (1, 1):
            return neg_log_q * slope - factor * ratio
    raise NotImplementedError(f"derivative of order {order}")


Derivative = Callable[[Ops, tuple[int, int], Sigmoid, Any], Array]
Factors = tuple[Any, Any]  # made of a label, and a weight
# Derivatives of a product that is linear in each argument; absent or None means zero.
Coefficient = dict[Index, Factors | None]


def add(x: Array | None, y: Array | None) -> Array | None:
    """x + y, where None is an exact zero."""
    if x is None or y is None:
        return y if x is None else x
    return x + y


def leibniz(
    ops: Ops,
    index: Index,
    coefficient: Coefficient,
    kernel: Callable[[Index], Array | None],
    *,
    may_overflow: bool = False,
) -> Array | None:
    """The derivative of coefficient * kernel: every way to deal the differentiated arguments out to the two.

    The weight multiplies last: its product with a label may be too small for a number where that of all three is not.
    Where the kernel `may_overflow`, a label of 0 makes 0 of it.
    """
    total = None
    positions = range(len(index))
    for taken in (t for size in range(len(index) + 1) for t in combinations(positions, size)):
        factors = coefficient.get("".join(sorted(index[i] for i in taken)))
        derivative = None if factors is None else kernel("".join(index[i] for i in positions if i not in taken))
        if factors is not None and derivative is not None:
            label, weight = factors
            part = derivative if isinstance(label, float) and label == 1 else label * derivative
            if may_overflow and not isinstance(label, float):
                part = ops.where(label == 0, 0.0, part)
            total = add(total, times(ops, weight, part))
    return total


def margin(ops: Ops, index: Index, s: Array, gamma: Array, weight: Array, label: Array = 1.0) -> Array | None:
    """weight * label * f(s). Arguments: 0 margin, 1 gamma, 2 weight, 3 label."""
    gamma = at_most(ops, gamma, s)
    sigmoid = sigmoid_from_logits(ops, s, gamma)

    def kernel(rest: Index) -> Array | None:
        if not set(rest) <= {"0", "1"}:
            return None
        return margin_derivative(ops, (rest.count("0"), rest.count("1")), sigmoid, gamma)

    value = leibniz(ops, index, linear(weight, label, "2", "3"), kernel)
    return at_infinity(ops, value, s, weighed(weighed(s < 0, weight), label)) if not index else value


def linear(weight: Array, label: Array, weight_index: Index, label_index: Index) -> Coefficient:
    """weight * label."""
    both = "".join(sorted(weight_index + label_index))
    return {"": (label, weight), weight_index: (label, 1.0), label_index: (1.0, weight), both: (1.0, 1.0)}


def probability(
    ops: Ops, index: Index, p: Array, q: Array, gamma: Array, weight: Array, label: Array = 1.0
) -> Array | None:
    """weight * label * h(p) for a probability p whose complement q is known.

    Arguments: 0 p, 1 q, 2 gamma, 3 weight, 4 label.

    p + q = 1, so a change of p is the opposite change of q, and a derivative can be credited to either. It goes
    to the smaller of the two: that one was computed to full relative precision, and so are its own derivatives.
    """
    gamma = at_most(ops, gamma, p)
    sigmoid = sigmoid_from_probabilities(ops, p, q)

    def kernel(rest: Index) -> Array | None:
        if not set(rest) <= {"0", "1", "2"} or {"0", "1"} <= set(rest):
            return None
        value = probability_derivative(ops, (rest.count("0") + rest.count("1"), rest.count("2")), sigmoid, gamma)
        if "0" in rest:
            return ops.where(p <= q, value, 0.0)
        if "1" in rest:
            return ops.where(p <= q, 0.0, (-1) ** rest.count("1") * value)
        return value

    return leibniz(ops, index, linear(weight, label, "3", "4"), kernel)


def expected_loss(
    ops: Ops, index: Index, x: Array, y: Array, gamma: Array, positive: Array, negative: Array, *, from_logits: bool
) -> Array | None:
    """positive * y * f(x) + negative * (1 - y) * f(-x): the expected loss of a label that is 1 with probability y.

    Arguments: 0 prediction x, 1 label y, 2 gamma, 3 weight of the positives, 4 weight of the negatives. In
    probabilities the second term is h(1 - x). Boolean labels are hard: one term, chosen before it is computed.
    """
    derivative = margin_derivative if from_logits else probability_derivative
    gamma = at_most(ops, gamma, x)
    if ops.is_bool(y):
        return hard(ops, index, derivative, from_logits, x, y, gamma, (positive, negative))
    sigmoid = sigmoid_from_logits(ops, x, gamma) if from_logits else sigmoid_from_probabilities(ops, x, 1 - x)

    def term(side: Sigmoid, sign: int, coefficient: Coefficient) -> Array | None:
        def kernel(rest: Index) -> Array | None:
            if not set(rest) <= {"0", "2"}:
                return None
            return sign ** rest.count("0") * derivative(ops, (rest.count("0"), rest.count("2")), side, gamma)

        return leibniz(ops, index, coefficient, kernel)

    value = add(
        term(sigmoid, 1, of_positives(y, positive)),
        term(sigmoid.flipped(), -1, of_negatives(y, negative)),
    )
    return at_infinity(ops, value, x, grows_with(positive, negative, y, x)) if from_logits and not index else value


def of_positives(y: Array, positive: Array) -> Coefficient:
    """positive * y, of the arguments of `expected_loss`."""
    return linear(positive, y, "3", "1")


def of_negatives(y: Array, negative: Array) -> Coefficient:
    """negative * (1 - y)."""
    return {"": (1 - y, negative), "1": (-1.0, negative), "4": (1 - y, 1.0), "14": (-1.0, 1.0)}


def hard(
    ops: Ops,
    index: Index,
    derivative: Derivative,
    from_logits: bool,
    x: Array,
    y: Array,
    gamma: Array,
    weights: tuple[Array, Array],
) -> Array | None:
    """`expected_loss` for boolean labels: the margin is x or -x, the weight one of two."""
    weighed = index.count("3") + index.count("4")
    if weighed > 1 or "1" in index:
        return None
    if from_logits:
        sigmoid = sigmoid_from_logits(ops, ops.where(y, x, -x), gamma)
    else:
        sigmoid = sigmoid_from_probabilities(ops, ops.where(y, x, 1 - x), ops.where(y, 1 - x, x))
    side = derivative(ops, (index.count("0"), index.count("2")), sigmoid, gamma)
    mirror = -side if index.count("0") == 1 else side
    if weighed:
        return ops.where(y, side, 0.0) if "3" in index else ops.where(y, 0.0, mirror)
    value = ops.where(y, times(ops, weights[0], side), times(ops, weights[1], mirror))
    return at_infinity(ops, value, x, value > 0) if from_logits and not index else value


class Mix(NamedTuple):
    """The parts of the p_t mixture m^g B and their partial derivatives in the prediction x and the label y.

    m = 1 - p_t = y q + (1 - y) p and B = y L + (1 - y) l. For a hard label m is p or q itself and may underflow
    where m_x / m and B / m have finite limits, so the quotients are parts of their own. A label may be subnormal
    itself, and m with it, but then m is the label.
    """

    m: Array
    neg_log_m: Array
    m_p_minus_q: Array  # m = (1 + m_p_minus_q) / 2
    B: Array
    m_x_over_m: Array
    B_x: Array
    B_xx: Array
    B_xy: Array
    m_xx_B_over_m: Array  # (d2m/dx2) B / m
    m_xy_B_over_m: Array
    B_over_m: Array
    B_x_over_m: Array
    m_y: Array
    B_y: Array


def mix(ops: Ops, from_logits: bool, sigmoid: Sigmoid, x: Array, y: Array) -> Mix:
    p, q, neg_log_p, neg_log_q, p_minus_q = sigmoid
    sign = 1 - 2 * y
    m_p_minus_q = sign * p_minus_q
    m = ops.where(ops.abs(m_p_minus_q) < CENTRAL, 0.5 + 0.5 * m_p_minus_q, y * q + (1 - y) * p)
    p_t = y * p + (1 - y) * q
    hard_neg_log_m = y * neg_log_q + (1 - y) * neg_log_p
    present = (m >= ops.smallest(m)) | ((y > 0) & (y < 1) & (m > 0))
    divisor = ops.where(present, m, 1.0)
    neg_log_m = ops.where(m < 0.5, -ops.log(divisor), ops.log1p(p_t / divisor))
    B = y * neg_log_p + (1 - y) * neg_log_q
    B_z = (1 - y) * p - y * q  # p - y, without the subtraction
    # L / q -> 1 as q -> 0. For a soft label the quotient tends to |x|, and must not round to more than the largest.
    B_over_m = ops.where(present, ops.clip(B / divisor, 0.0, ops.largest(m)), 1.0)
    if from_logits:
        ratio = ops.where(present, p * q / divisor, p_t)  # p q / m
        x_parts = (sign * ratio, B_z, p * q, -1.0, -p_minus_q * sign * ratio * B, -2 * ratio * B)
        B_x_over_m = ops.where(present, B_z / divisor, sign)
        B_y = -ops.clip(x, -ops.largest(x), ops.largest(x))
    else:
        B_x = (1 - y) / q - y / p
        x_parts = (sign / m, B_x, y / (p * p) + (1 - y) / (q * q), -1 / p - 1 / q, 0.0, -2 * B_over_m)
        B_x_over_m = B_x / m
        B_y = neg_log_p - neg_log_q
    return Mix(
        m,
        ops.where(present, neg_log_m, hard_neg_log_m),
        m_p_minus_q,
        B,
        *x_parts,
        B_over_m,
        B_x_over_m,
        -p_minus_q,
        B_y,
    )


def mix_derivative(ops: Ops, index: Index, parts: Mix, gamma: float | Array) -> Array:
    """The derivative of m^g B in 0 the prediction, 1 the label, 2 gamma: the product rule, in safe quotients.

    m^g comes before a second gamma, as in `margin_derivative`.
    """
    m, neg_log_m, m_p_minus_q, B = parts[:4]
    # Only the label's derivatives can outlive m^g by so much that m itself must not underflow in it.
    by_label = "1" in index
    base = (neg_log_m, m_p_minus_q)
    factor = exponential(ops, *base, gamma) if by_label else power(ops, m, *base, gamma)
    steep = factor * gamma
    m_x_B_over_m = parts.m_x_over_m * B
    first_x = factor * parts.B_x + steep * m_x_B_over_m
    m_y_B_over_m = parts.m_y * parts.B_over_m
    first_y = factor * parts.B_y + steep * m_y_B_over_m
    match "".join(sorted(index)):
        case "":
            return factor * B
        case "0":
            return first_x
        case "1":
            return first_y
        case "2":
            return -factor * B * neg_log_m
        case "00":
            return (
                factor * parts.B_xx
                + steep * (2 * parts.m_x_over_m * parts.B_x + parts.m_xx_B_over_m)
                + (steep * parts.m_x_over_m) * ((gamma - 1) * m_x_B_over_m)
            )
        case "01":
            return (
                factor * parts.B_xy
                + steep * (parts.m_x_over_m * parts.B_y + parts.m_y * parts.B_x_over_m + parts.m_xy_B_over_m)
                + (steep * parts.m_x_over_m) * (gamma - 1) * m_y_B_over_m
            )
        case "02":
            return factor * m_x_B_over_m - neg_log_m * first_x
        case "11":
            steeper = ops.exp(-((gamma - 1) * neg_log_m)) * gamma * parts.m_y
            return steeper * 2 * parts.B_y + steeper * (gamma - 1) * m_y_B_over_m
        case "12":
            return factor * m_y_B_over_m - neg_log_m * first_y
        case "22":
            return factor * B * neg_log_m * neg_log_m
    raise NotImplementedError(f"derivative {index}")


HUGE, SHRINK = 2.0**64, 2.0**-50  # a logit of HUGE * SHRINK still is one of p = 1


def p_t_loss(
    ops: Ops, index: Index, x: Array, y: Array, gamma: Array, positive: Array, negative: Array, *, from_logits: bool
) -> Array | None:
    """(positive y + negative (1 - y)) (1 - p_t)^g B with p_t = y p + (1 - y) q: Keras, torchvision and optax.

    Arguments as in `expected_loss`, which it equals on hard labels.
    """
    if ops.is_bool(y):
        return expected_loss(ops, index, x, y, gamma, positive, negative, from_logits=from_logits)
    gamma, z = at_most(ops, gamma, x), x
    # Terms of the label's derivatives may exceed the largest number where the whole does not. They are linear in logits
    # so large that p and q are 0 and 1, and so computed of smaller ones.
    shrunk = from_logits and "1" in index
    if shrunk:
        z = ops.clip(x, -ops.largest(x), ops.largest(x))
        huge = ops.abs(z) > HUGE
        z = ops.where(huge, SHRINK * z, z)
    sigmoid = sigmoid_from_logits(ops, z) if from_logits else sigmoid_from_probabilities(ops, z, 1 - z)
    parts = mix(ops, from_logits, sigmoid, z, y)

    @cache
    def kernel(rest: Index) -> Array | None:
        return mix_derivative(ops, rest, parts, gamma) if set(rest) <= {"0", "1", "2"} else None

    if isinstance(positive, float) and positive == negative:  # the weight does not depend on the label
        value = leibniz(ops, index, {"": (1.0, positive)}, kernel)
    else:
        # The derivative of the weight in the label is one difference, which may be far smaller than the two weights.
        by_label: Coefficient = {"1": (1.0, positive - negative)}
        positives, negatives = of_positives(y, positive) | {"1": None}, of_negatives(y, negative) | {"1": None}
        value = None
        for coefficient in (positives, negatives, by_label):
            value = add(value, leibniz(ops, index, coefficient, kernel, may_overflow=shrunk))
    if shrunk and "0" not in index and value is not None:
        return ops.where(huge, value / SHRINK, value)
    if not from_logits or index:
        return value
    present = weighed(y > 0, positive) | weighed(y < 1, negative)
    return at_infinity(ops, value, x, present & grows_with(1.0, 1.0, y, x))


# The losses in `losses/` add the closed forms that they declare.
FAMILIES: dict[str, Callable[..., Array | None]] = {
    "margin": margin,
    "probability": probability,
    "expected_loss": partial(expected_loss, from_logits=True),
    "expected_loss_of_probabilities": partial(expected_loss, from_logits=False),
    "p_t_loss": partial(p_t_loss, from_logits=True),
    "p_t_loss_of_probabilities": partial(p_t_loss, from_logits=False),
}


def evaluate(ops: Ops, family: str, index: Index, *arguments: Array) -> Array | None:
    """The derivative `index` of a member of `FAMILIES`; None where it is zero for any argument.

    Raises
    ------
    NotImplementedError
        For third derivatives: there is no closed form of them here.
    """
    if len(index) > 2:
        raise NotImplementedError("the focal loss gives first and second derivatives, not third ones")
    return FAMILIES[family](ops, index, *arguments)
