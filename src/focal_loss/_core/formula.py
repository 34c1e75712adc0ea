"""The form of closed forms, once for every array library: elementwise algebra over a few primitives, `Ops`.

No framework ever differentiates one: each derivative is a closed form of its own, named by the positions of the
arguments that it differentiates. ``evaluate(ops, "margin", "00", s, gamma, weight)`` is the second derivative in the
first argument. The adapters hand these to their framework as custom gradients.

Notation (Lin et al., 2017, and the CONTRIBUTING page): p = sigmoid(z) is the probability of the positive class,
q = 1 - p, g = gamma. The whole family is built of one function of the margin s, the logit of the true class:

    f(s) = q^g * (-log p)          p = sigmoid(s), q = sigmoid(-s)

A softmax is a margin too: s = v_t - logsumexp of the other classes.

`sigmoid` and `powers` compute the factors, `focal` the derivatives of f, `leibniz` those of its products with labels
and weights. `extremes` handles numbers that a dtype cannot hold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

Array = Any  # an array of the library that `Ops` stands for
Index = str  # the positions of the differentiated arguments, at most two digits


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
    def is_joined(self, x: Array, /) -> bool: ...  # whether x is float32 and a compiler joins what is done with it
    def constant(self, x: Array, /) -> Array: ...  # has no derivative


# The `closed_forms` that each loss declares, and those of `posterior`.
FAMILIES: dict[str, Callable[..., Array | None]] = {}


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
