"""The focal loss of a margin and of a probability, and its expectation over a label.

A loss with a focusing parameter on each side is two calls of `side`, each with the position of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from focal_loss._core.extremes import (
    at_infinity,
    at_minus_infinity,
    at_most,
    has_limits,
    times,
    two_terms_at_infinity,
    weighed,
)
from focal_loss._core.formula import Array, Index, Ops
from focal_loss._core.leibniz import Kernel, add, complementary, leibniz, linear
from focal_loss._core.powers import power
from focal_loss._core.sigmoid import Sigmoid, sigmoid_from_logits, sigmoid_from_probabilities, sigmoid_of

Derivative = Callable[[Ops, tuple[int, int], Sigmoid, Any], Array]  # of a side; see `margin_derivative`


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
    slope = q if isinstance(gamma, float) and gamma == 0 else gamma * p_loss + q
    steep, pq = factor * gamma, p * q
    match order:
        case (1, 0):
            return -(factor * slope)
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


def side(
    ops: Ops,
    derivative: Derivative,
    sigmoid: Sigmoid,
    gamma: float | Array,
    gamma_index: Index,
    *,
    mirrored: bool = False,
) -> Kernel:
    """One side of a loss as a kernel of `leibniz`: its derivatives in the prediction, argument 0, and in its gamma.

    The other side is `mirrored`: it is a function of minus the prediction.
    """

    def kernel(rest: Index) -> Array | None:
        order = rest.count("0"), rest.count(gamma_index)
        if sum(order) < len(rest):
            return None
        value = derivative(ops, order, sigmoid, gamma)
        return -value if mirrored and order[0] % 2 else value

    return kernel


def margin(ops: Ops, index: Index, s: Array, gamma: Array, weight: Array, label: Array = 1.0) -> Array | None:
    """weight * label * f(s). Arguments: 0 margin, 1 gamma, 2 weight, 3 label."""
    gamma = at_most(ops, gamma, s)
    kernel = side(ops, margin_derivative, sigmoid_from_logits(ops, s, gamma), gamma, "1")
    value = leibniz(ops, index, linear(weight, label, "2", "3"), kernel)
    if index:
        return value
    if isinstance(label, float) and has_limits(ops, s, weight):
        return at_minus_infinity(ops, value, s)
    return at_infinity(ops, value, s, weighed(weighed(s < 0, weight), label))


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
    sigmoid = sigmoid_of(ops, index, x, gamma, from_logits)
    value = add(
        leibniz(ops, index, linear(positive, y, "3", "1"), side(ops, derivative, sigmoid, gamma, "2")),
        leibniz(
            ops,
            index,
            complementary(negative, y, "4", "1"),
            side(ops, derivative, sigmoid.flipped(), gamma, "2", mirrored=True),
        ),
    )
    return two_terms_at_infinity(ops, value, positive, negative, y, x) if from_logits and not index else value


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
        s = ops.where(y, x, -x)
        sigmoid = sigmoid_from_logits(ops, s, gamma, apart=bool(index))
    else:
        sigmoid = sigmoid_from_probabilities(ops, ops.where(y, x, 1 - x), ops.where(y, 1 - x, x))
    side = derivative(ops, (index.count("0"), index.count("2")), sigmoid, gamma)
    mirror = -side if index.count("0") == 1 else side
    if weighed:
        return ops.where(y, side, 0.0) if "3" in index else ops.where(y, 0.0, mirror)
    if isinstance(weights[0], float) and weights[0] == weights[1] and mirror is side:
        value = times(ops, weights[0], side)
    else:
        value = ops.where(y, times(ops, weights[0], side), times(ops, weights[1], mirror))
    if not from_logits or index:
        return value
    return at_minus_infinity(ops, value, s) if has_limits(ops, x, *weights) else at_infinity(ops, value, x, value > 0)


# The `closed_forms` that losses declare.
MARGIN: dict[str, Callable[..., Array | None]] = {"margin": margin, "probability": probability}
EXPECTED_LOSS: dict[str, Callable[..., Array | None]] = {
    "expected_loss": partial(expected_loss, from_logits=True),
    "expected_loss_of_probabilities": partial(expected_loss, from_logits=False),
}
