"""A binary prediction, from a logit or from a probability: p, 1 - p and their logarithms."""

from __future__ import annotations

from typing import NamedTuple

from focal_loss._core.formula import Array, Index, Ops
from focal_loss._core.powers import is_small

# <tables: log1p> Written by tools/tables.py; `make tables` writes it anew.
LOG1P_TAIL = (  # (u - log(1 + u)) / u^2 for u in [0, 1], to the precision of float32
    0.49999971829186297653,
    -0.33331627393897118191,
    0.2496997042710400612,
    -0.19752894262683329934,
    0.15518405723534032821,
    -0.10952489424910898129,
    0.060313681679495690646,
    -0.021599024443337370276,
    0.0036247987442554280582,
)
# </tables: log1p>
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


def sigmoid_from_logits(ops: Ops, z: Array, gamma: float | Array | None = None, *, apart: bool = False) -> Sigmoid:
    """A `Sigmoid` from one exponential, u = exp(-|z|) in (0, 1]; q is never formed as 1 - p.

    Near z = 0 p and q come from p - q = tanh(z/2) instead: they are raised to the power gamma, and a rounding of
    1 + u, raised with them, would be most of the error. A small power by products can do without: then p - q, which
    only that and the p_t mixture need, is the plain difference. Infinite logits have the logarithms of the largest
    finite one: there u = 0 and every derivative has its limit, where inf would give 0 * inf. `at_infinity` puts back
    the limit of the value.

    What a derivative takes is computed `apart` from what the value takes: a compiler would write what the two share to
    memory and read it again, which takes longer than to compute it twice. A selection in place of the absolute value
    keeps it from seeing that they are the same.
    """
    positive = z >= 0
    minus_size = ops.where(positive, -z, z) if apart else -ops.abs(z)
    u = ops.exp(minus_size)
    log1p_u = log1p_of_fraction(ops, u)
    larger = 1 / (1 + u)
    smaller = u * larger
    if is_small(gamma):
        p_minus_q = larger - smaller
    else:
        p_minus_q = ops.tanh(-0.5 * minus_size)
        central = minus_size > -1
        larger = ops.where(central, 0.5 + 0.5 * p_minus_q, larger)
        smaller = ops.where(central, 0.5 - 0.5 * p_minus_q, smaller)
    largest = ops.largest(z)
    size = ops.where(minus_size > -largest, -minus_size, largest)  # a compiler's clip takes care of NaN, and its time
    return Sigmoid(
        ops.where(positive, larger, smaller),
        ops.where(positive, smaller, larger),
        log1p_u + ops.where(positive, 0.0, size),
        log1p_u + ops.where(positive, size, 0.0),
        ops.where(positive, p_minus_q, -p_minus_q),
    )


def log1p_of_fraction(ops: Ops, u: Array) -> Array:
    """log1p(u) for u in [0, 1], to 2 eps: where a compiler joins operations, by a polynomial. XLA's own function is for
    all numbers and takes several times as long.
    """
    if not ops.is_joined(u):
        return ops.log1p(u)
    tail = LOG1P_TAIL[-1]
    for coefficient in reversed(LOG1P_TAIL[:-1]):
        tail = coefficient + u * tail
    return u * (1 - u * tail)


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


def sigmoid_of(ops: Ops, index: Index, x: Array, gamma: float | Array | None, from_logits: bool) -> Sigmoid:
    """The `Sigmoid` of a prediction of either kind, for the derivative `index` of a loss."""
    if from_logits:
        return sigmoid_from_logits(ops, x, gamma, apart=bool(index))
    return sigmoid_from_probabilities(ops, x, 1 - x)
