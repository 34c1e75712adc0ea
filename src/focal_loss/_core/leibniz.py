"""Derivatives of a product: labels and weights times a function of the prediction, its kernel."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

from focal_loss._core.extremes import times
from focal_loss._core.formula import Array, Index, Ops

Kernel = Callable[[Index], Array | None]  # a derivative of the function; None where it is zero
Factors = tuple[Any, Any]  # (a factor from the label, a weight)
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
    kernel: Kernel,
    *,
    may_overflow: bool = False,
) -> Array | None:
    """The derivative of coefficient * kernel: the sum over all ways to assign the differentiated arguments to the two.

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


def numeric(ops: Ops, y: Array, x: Array) -> Array:
    """The labels as numbers of the dtype of the predictions x, if they are boolean."""
    zero = ops.clip(x, 0.0, 0.0)
    return ops.where(y, zero + 1.0, zero) if ops.is_bool(y) else y


def linear(weight: Array, label: Array, weight_index: Index, label_index: Index) -> Coefficient:
    """weight * label, with the positions of the two among the arguments of the loss."""
    both = "".join(sorted(weight_index + label_index))
    return {"": (label, weight), weight_index: (label, 1.0), label_index: (1.0, weight), both: (1.0, 1.0)}


def complementary(weight: Array, label: Array, weight_index: Index, label_index: Index) -> Coefficient:
    """weight * (1 - label)."""
    both = "".join(sorted(weight_index + label_index))
    rest = 1 - label
    return {"": (rest, weight), weight_index: (rest, 1.0), label_index: (-1.0, weight), both: (-1.0, 1.0)}
