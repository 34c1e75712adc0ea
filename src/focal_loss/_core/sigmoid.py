"""A binary prediction, from a logit or from a probability: p, 1 - p and their logarithms."""

from __future__ import annotations

from typing import NamedTuple

from focal_loss._core.formula import Array, Ops
from focal_loss._core.powers import is_small

CLAMP = 1e-7  # Probabilities are clamped to [CLAMP, 1 - CLAMP], as in Keras and in the 2021 package.


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
    """A `Sigmoid` from one exponential, u = exp(-|z|) in (0, 1]; q is never formed as 1 - p.

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


def sigmoid_from_probabilities(ops: Ops, p: Array, q: Array) -> Sigmoid:
    """A `Sigmoid` from p and q, both given because 1 - p loses a small q. Outside the clamp it is that of the edge."""
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
