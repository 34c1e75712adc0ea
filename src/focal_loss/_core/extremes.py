"""Numbers that a dtype cannot hold: parameters beyond its largest number, and infinite logits, where a loss has a
limit.
"""

from __future__ import annotations

from focal_loss._core.formula import Array, Ops


def times(ops: Ops, factor: Array, x: Array) -> Array:
    """factor * x, where 0 times a factor beyond the largest number is 0, and any other product with it is infinite.

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


def at_infinity(ops: Ops, value: Array, z: Array, grows: Array) -> Array:
    """The limit of `value` at infinite z: inf where the loss `grows` without bound, else `value`.

    It is inf even if factors of the loss underflow.
    """
    return ops.where((ops.abs(z) == float("inf")) & grows, value + float("inf"), value)


def at_minus_infinity(ops: Ops, value: Array, s: Array) -> Array:
    """The same for a function of the margin s alone."""
    return ops.where(s == -float("inf"), float("inf"), value)


def two_terms_at_infinity(ops: Ops, value: Array, positive: Array, negative: Array, y: Array, z: Array) -> Array:
    """The same for a two-term loss with these weights."""
    grows = value > 0 if has_limits(ops, z, positive, negative) else grows_with(positive, negative, y, z)
    return at_infinity(ops, value, z, grows)


def grows_with(positive: Array, negative: Array, y: Array, z: Array) -> Array:
    """Whether a loss with these weights grows without bound towards the infinity on the side of the logit z."""
    return weighed((z < 0) & (y > 0), positive) | weighed((z > 0) & (y < 1), negative)


def has_limits(ops: Ops, x: Array, *parameters: float | Array) -> bool:
    """Whether weights are numbers above 0 in the dtype of x. Then a two-term loss grows without bound wherever it is
    above 0 at an infinite logit, because there the power of the one side that is left is 1.
    """
    return all(isinstance(p, float) and p >= ops.smallest(x) for p in parameters)


def weighed(condition: Array, weight: Array) -> Array:
    """The condition, and False where the weight is 0."""
    if isinstance(weight, float):
        return condition if weight else condition & ~condition
    return condition & (weight > 0)
