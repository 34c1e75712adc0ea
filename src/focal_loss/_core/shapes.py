"""Shapes: which broadcast, and how a class pairs labels with predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from focal_loss._core.checks import shown

Shape = Sequence[int | None]  # None: unknown until the graph runs


def broadcast_shape(first: tuple[str, Shape], second: tuple[str, Shape]) -> list[int | None]:
    """The common shape of two named ones; `ValueError` with both if there is none."""
    (name, a), (other, b) = first, second
    length = max(len(a), len(b))
    result: list[int | None] = []
    for m, n in zip([1] * (length - len(a)) + list(a), [1] * (length - len(b)) + list(b), strict=True):
        if m is not None and n is not None and m != n and 1 not in (m, n):
            raise ValueError(f"`{name}` of shape {tuple(a)} and `{other}` of shape {tuple(b)} do not broadcast")
        result.append(n if m == 1 or (m is None and n != 1) else m)  # a known length wins over an unknown one
    return result


def normalize_axis(axis: int, rank: int, name: str = "y_pred") -> int:
    if not -rank <= axis < rank:
        raise ValueError(f"`axis` must be in [{-rank}, {rank}) for `{name}` with {rank} axes, got {shown(axis)}")
    return axis % rank


def aligned(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Drop a last axis of length 1 or add one to a vector where the ranks differ by one, as Keras does.

    A column of predictions beside a vector of labels is the most common cause of an accidental (N, N).
    """
    a, b = y_true.shape, y_pred.shape
    if len(a) == len(b) + 1 and a[-1] == 1:
        return (y_true, y_pred[..., None]) if len(b) == 1 else (y_true[..., 0], y_pred)
    if len(b) == len(a) + 1 and b[-1] == 1:
        return (y_true[..., None], y_pred) if len(a) == 1 else (y_true, y_pred[..., 0])
    return y_true, y_pred


def check_pairs(y_true: Shape, y_pred: Shape) -> None:
    """Raise `ValueError` for shapes that would broadcast to a table of all pairs instead of pairing labels and
    predictions.
    """
    a, b = list(y_true), list(y_pred)
    if a == b:
        return
    common = broadcast_shape(("y_true", a), ("y_pred", b))
    if None in common or common in (a, b):
        return
    remedy = "give both the same shape"
    for name, short, long in (("y_true", a, b), ("y_pred", b, a)):
        for k, length in enumerate(long):
            if length == 1 and long[:k] + long[k + 1 :] == short:
                remedy = f"pass `{name}.unsqueeze({k})`"
    raise ValueError(
        f"`y_true` of shape {tuple(a)} and `y_pred` of shape {tuple(b)} would broadcast to {tuple(common)}, every "
        f"label against every prediction; {remedy}"
    )


FEWEST_ROWS, MOST_ROWS = 128, 512  # with fewer a matrix product is slow, more make it hardly faster
PARTS = 64  # least number of chunks if there are enough rows


def chunk_rows(rows: int, features: int, classes: int) -> int:
    """The number of rows of a linear layer per chunk: its logits are about as large as the weight, which is read for
    every chunk and whose gradient is written, or as the input, and a small part of all.
    """
    like_weight, like_input = min(features, MOST_ROWS), -(-rows * features // max(classes, 1))
    return max(1, min(rows, max(FEWEST_ROWS, like_weight, min(like_input, -(-rows // PARTS)))))


def chunking(rows: int, features: int, classes: int) -> tuple[int, int]:
    """The number of chunks and of rows in each, at least that of `chunk_rows`, without a remainder if possible.

    Numbers of rows that powers of two divide can be distributed over devices.
    """
    fewest = -(-rows // chunk_rows(rows, features, classes)) if rows else 1
    without_rest = [n for n in range(fewest, 2 * fewest) if rows % n == 0]
    if not without_rest:
        return fewest, -(-rows // (8 * fewest)) * 8
    chunks = max(without_rest, key=lambda n: (rows // n & -(rows // n), -n))
    return chunks, rows // chunks


def check_linear(hidden: Shape, weight: Shape, bias: Shape | None, y_true: Shape) -> None:
    """Check the shapes of input (..., D), weight (K, D), bias (K,) and labels (...)."""
    if not hidden or not hidden[-1]:
        raise ValueError(f"`hidden` must have an axis of features, got shape {tuple(hidden)}")
    if len(weight) != 2 or weight[1] != hidden[-1]:
        raise ValueError(f"`weight` must have the shape (K, {hidden[-1]}), got {tuple(weight)}")
    if bias is not None and tuple(bias) != (weight[0],):
        raise ValueError(f"`bias` must have the shape ({weight[0]},), got {tuple(bias)}")
    if tuple(y_true) != tuple(hidden[:-1]):
        raise ValueError(
            f"`y_true` of shape {tuple(y_true)} must have the shape {tuple(hidden)} of `hidden` without its last axis"
        )
