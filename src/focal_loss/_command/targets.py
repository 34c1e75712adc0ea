"""The target: which rows are positive, and the names of both classes."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from focal_loss._command import numerals
from focal_loss._command.columns import kind_of, written
from focal_loss._command.errors import UserError, nearest
from focal_loss._command.sources import Source

Array = Any


# Pairs of words for the negative and the positive class, in lower case.
PAIRS = [
    ("0", "1"), ("-1", "1"), ("false", "true"), ("f", "t"), ("no", "yes"), ("n", "y"), ("negative", "positive"),
    ("neg", "pos"), ("-", "+"),
]  # fmt: skip
MOST_CLASSES = 20  # a target of more different whole numbers is a quantity


@dataclass(frozen=True)
class Target:
    name: str
    positive: str  # as the file writes it
    negative: str  # the other class, or "not" the positive one of more than two
    labels: Array  # booleans
    note: str = ""  # a remark on the choice of the positive class, for the user


def target(table: pa.Table, name: str, positive: str | None, source: Path | Source) -> Target:
    """The labels: the rows that are positive, and the names of both classes.

    Raises
    ------
    UserError
        If there is only one class, or more than two and none is named positive.
    """
    values, note = written(table.column(name)), ""
    counts = {item["values"]: item["counts"] for item in values.value_counts().to_pylist()}
    classes = sorted(counts)
    if len(classes) < 2:
        raise UserError(f"{source}: the target {name!r} holds one class only, {classes[0]!r}")
    if positive is None:
        if len(classes) > 2:
            raise too_many(name, counts, source)
        positive, note = chosen(name, counts)
    if positive not in counts:
        positive = next((word for word in classes if same_number(word, positive)), positive)
    if positive not in counts:
        raise UserError(f"{source}: the target {name!r} holds no {positive!r}; {nearest(positive, classes)}")
    labels = pa.compute.equal(values, positive).to_numpy(zero_copy_only=False)
    other = next(c for c in classes if c != positive) if len(classes) == 2 else f"not {positive}"
    return Target(name, positive, other, np.asarray(labels, bool), note)


def chosen(name: str, counts: dict[str, int]) -> tuple[str, str]:
    """The positive one of two classes, by its word or as the rarer, and a remark where somebody might expect the
    other.
    """
    one, other = sorted(counts, key=lambda word: (counts[word], word))
    for negative, positive in ((one, other), (other, one)):
        if any(same_number(negative.lower(), no) and same_number(positive.lower(), yes) for no, yes in PAIRS):
            if counts[positive] <= counts[negative]:
                return positive, ""
            return positive, (
                f"{name} = {positive} is taken as positive, as its word says, though most rows are: if {negative!r} is "
                f"what you look for, give --positive {shlex.quote(negative)}"
            )
    why = "the rarer" if counts[one] < counts[other] else "the first of two that are equally frequent"
    return one, f"{name} = {one} is taken as positive, as {why}: for the other give --positive {shlex.quote(other)}"


def too_many(name: str, counts: dict[str, int], source: Path | Source) -> UserError:
    """The error of a target with more than two classes, or of a quantity."""
    words, rows = pa.array(list(counts)), np.array(list(counts.values()))
    found = numerals.survey(words, rows)
    if found is not None and found.fit.all():
        numbers = numerals.parsed(words, numerals.settled(found, "") or found.forms[0]).to_numpy()
        if len(counts) > MOST_CLASSES or (numbers != np.round(numbers)).any():
            low, high = (words[int(k)].as_py() for k in (numbers.argmin(), numbers.argmax()))
            return UserError(
                f"{source}: the target {name!r} is a quantity, with {len(counts)} different numbers from {low} to "
                f"{high}; make a column of two classes from it, such as whether it is above a threshold, or name one "
                "number with --positive"
            )
    classes = sorted(counts)
    few = ", ".join(map(repr, classes[:5])) + (", ..." if len(classes) > 5 else "")
    return UserError(
        f"{source}: the target {name!r} holds {len(classes)} classes ({few}); say which is the positive one with "
        "--positive"
    )


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
