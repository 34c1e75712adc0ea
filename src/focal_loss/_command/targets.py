"""The target: which rows are positive, and the names of both classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from focal_loss._command.columns import kind_of, written
from focal_loss._command.errors import UserError, nearest
from focal_loss._command.sources import Source

Array = Any


@dataclass(frozen=True)
class Target:
    name: str
    positive: str  # as the file writes it
    negative: str  # the other class, or "not" the positive one of more than two
    labels: Array  # booleans


def target(table: pa.Table, name: str, positive: str | None, source: Path | Source) -> Target:
    """The labels: the rows that are positive, and the names of both classes.

    Raises
    ------
    UserError
        If there is only one class, or more than two and none is named positive.
    """
    values = written(table.column(name))
    counts = {item["values"]: item["counts"] for item in values.value_counts().to_pylist()}
    classes = sorted(counts)
    if len(classes) < 2:
        raise UserError(f"{source}: the target {name!r} holds one class only, {classes[0]!r}")
    if positive is None:
        if len(classes) > 2:
            few = ", ".join(map(repr, classes[:5])) + (", ..." if len(classes) > 5 else "")
            raise UserError(
                f"{source}: the target {name!r} holds {len(classes)} classes ({few}); say which is the positive one "
                "with --positive"
            )
        usual = [word for word in classes if word.lower() in ("1", "1.0", "true")]
        positive = usual[0] if usual else min(classes, key=lambda word: counts[word])
    if positive not in counts:
        positive = next((word for word in classes if same_number(word, positive)), positive)
    if positive not in counts:
        raise UserError(f"{source}: the target {name!r} holds no {positive!r}; {nearest(positive, classes)}")
    labels = pa.compute.equal(values, positive).to_numpy(zero_copy_only=False)
    other = next(c for c in classes if c != positive) if len(classes) == 2 else f"not {positive}"
    return Target(name, positive, other, np.asarray(labels, bool))


def same_number(one: str, other: str) -> bool:
    """Whether two words are the same number, such as 1 and 1.0, or the same word."""
    try:
        return float(one) == float(other)
    except ValueError:
        return one == other


def without_missing(table: pa.Table, name: str, drop: bool, source: Path | Source) -> pa.Table:
    """The rows whose target is known.

    Raises
    ------
    UserError
        If there is no such column, or rows lack a target and must not be dropped.
    """
    if name not in table.column_names:
        raise UserError(f"{source} has no column {name!r}; {nearest(name, table.column_names)}")
    column = table.column(name)
    try:
        kind_of(column)
    except pa.ArrowInvalid as error:
        raise UserError(f"{source}: the target {name!r} holds {error}") from error
    there = known(column)
    missing = table.num_rows - pa.compute.sum(there).as_py()
    if missing == table.num_rows:
        raise UserError(f"{source}: the target {name!r} is missing in every row")
    if missing and not drop:
        raise missing_target(name, missing, source)
    return table.filter(there) if missing else table


def known(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Whether each label is there."""
    found = column.is_valid()
    if pa.types.is_floating(column.type):
        column = column.cast(pa.float64())
        found = pa.compute.and_(found, pa.compute.invert(pa.compute.is_nan(column).fill_null(False)))
    return found


def missing_target(name: str, rows: int, source: Path | Source) -> UserError:
    return UserError(f"{source}: the target {name!r} is missing in {rows} rows; leave them out with --drop-missing")
