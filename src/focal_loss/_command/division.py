"""A table in a training part, with folds, and a held-out part."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute

from focal_loss._command import columns, reading, recognition, splits, tables, targets
from focal_loss._command.columns import written
from focal_loss._command.errors import UserError, nearest
from focal_loss._command.sources import Source

Array = Any
FEW = 20  # held-out rows of a class; the interval of a rate from 20 is about 2 / sqrt(20), or half, of the rate
REPEATS, MOST_ROWS = 5, 100_000  # held-out parts where one holds few rows, of tables of at most so many rows


@dataclass(frozen=True)
class Question:
    """The labels to predict, and for which rows: new ones at random, of new groups, of a later time, or of a file."""

    target: str
    positive: str | None
    drop_missing: bool
    folds: int
    seed: int
    group: str | None = None
    time: str | None = None
    held_out: Path | None = None
    sample: int | None = None  # rows that the search sees of those to learn from; None: `splits.enough` of them

    @classmethod
    def of(cls, options: Any) -> Question:
        """The question that the options of the command ask."""
        return cls(**{each.name: getattr(options, each.name) for each in fields(cls)})


class Part(NamedTuple):
    X: pd.DataFrame
    y: Array  # of bool


@dataclass(frozen=True)
class Data:
    """A table in two parts. The search sees rows of the first, in folds, and the final models learn from all of it."""

    schema: tables.Schema
    notes: list[str]  # remarks on the columns and the split, for the user
    target: targets.Target
    train: Part
    searched: Part  # the training part, or a sample of its rows
    folds: splits.Folds  # of `searched`
    test: Part
    groups: Array | None  # of the test part


def load(source: Path | Source, question: Question) -> Data:
    """Read a table and split it.

    Raises
    ------
    UserError
        If it cannot be learned from.
    """
    source = Source.of(source)
    table = reading.read(source, [question.target, *filter(None, [question.group])])
    data = divided(table, question, source)[0] if question.held_out is None else beside(table, question, source)
    reading.give_memory_back()
    return data


def repeats(data: Data, question: Question, wanted: int | None) -> int:
    """The number of held-out parts: as many as wanted, else one, or several where one holds few rows of a class."""
    reasons = {"--time": question.time, "--held-out": question.held_out}
    alone = [name for name, given in reasons.items() if given is not None]
    if alone and (wanted or 1) > 1:
        raise UserError(f"{alone[0]} has one held-out part; leave --repeats out")
    held = data.test.y
    few = min(held.sum(), (~held).sum()) < FEW and len(data.train.y) + len(held) <= MOST_ROWS
    return wanted or (REPEATS if few and not alone else 1)


def divided(table: pa.Table, question: Question, source: Source) -> tuple[Data, tuple[Array, Array]]:
    """A table split into a training and a test part, and the rows of each, of those whose target is known."""
    table = targets.without_missing(table, question.target, question.drop_missing, source)
    found = targets.target(table, question.target, question.positive, source)
    schema, notes = schema_of(table, question, source)
    refuse_few(found, question.folds, source)
    split = split_of(table, question, found.labels, source)
    notes = [found.note, *notes] if found.note else notes
    train, test = split.held_out()
    frames = schema.frames(table, source, (train, test))
    learned, held = (Part(X, found.labels[rows]) for X, rows in zip(frames, (train, test), strict=True))
    searched, folds, more = in_folds(split, train, test, learned, question, found)
    left = table.num_rows - len(train) - len(test)
    notes += [left_out(left)] if left else []
    group = None if split.group is None else split.group[test]
    return Data(schema, notes + more, found, learned, searched, folds, held, group), (train, test)


def in_folds(
    split: splits.Split, train: Array, test: Array, learned: Part, question: Question, found: targets.Target
) -> tuple[Part, splits.Folds, list[str]]:
    """The rows of the training part that the search sees, their folds, and a remark if they are not all of it."""
    chosen = split.sample(train, question.sample)
    if len(chosen) < len(train):
        refuse_small(split, train[chosen], found)
    folds = split.within(train[chosen])
    splits.refuse_one_class(split, train[chosen], test, folds, (found.negative, found.positive))
    if len(chosen) == len(train):
        return learned, folds, []
    note = (
        f"the search sees a sample of {len(chosen):,} of the {len(train):,} rows to learn from, and the final models "
        "learn from all of them; --sample chooses how many"
    )
    return Part(learned.X.iloc[chosen].reset_index(drop=True), learned.y[chosen]), folds, [note]


def beside(table: pa.Table, question: Question, source: Source) -> Data:
    """A table to learn from as a whole, and the file that is held out."""
    assert question.held_out is not None
    other = replace(source, path=question.held_out)
    held = reading.read(other, [question.target, *filter(None, [question.group])])
    table, held = (
        targets.without_missing(rows, question.target, question.drop_missing, place)
        for rows, place in ((table, source), (held, other))
    )
    notes: list[str] = []
    if question.group is not None:
        theirs = column(held, question.group, "group", other)
        table, notes = without_groups(table, column(table, question.group, "group", source), theirs)
    found = targets.target(table, question.target, question.positive, source)
    refuse_few(found, question.folds, source, share=0)
    labels = labels_of(found, held.column(question.target), other)
    split = split_of(table, question, found.labels, source)
    rows = np.arange(table.num_rows)
    test = len(rows) + np.arange(len(labels))
    schema, more = schema_of(table, question, source)
    (X,), (X_held,) = schema.frames(table, source), schema.frames(held, other)
    learned = Part(X, found.labels)
    everything = replace(split, labels=np.append(found.labels, labels))
    searched, folds, sampled = in_folds(everything, rows, test, learned, question, found)
    notes += [*filter(None, [found.note]), *more, *schema.unknown(held), *sampled]
    group = None if question.group is None else groups(held.column(question.group))
    return Data(schema, notes, found, learned, searched, folds, Part(X_held, labels), group)


def refuse_small(split: splits.Split, sampled: Array, found: targets.Target) -> None:
    """Refuse a sample that does not fill the folds."""
    labels = split.labels[sampled]
    counts = {repr(found.positive): labels.sum(), repr(found.negative): (~labels).sum()}
    if split.group is not None:
        counts["of different groups"] = len(np.unique(split.group[sampled]))
    which = min(counts, key=lambda name: counts[name])
    if counts[which] < split.folds:
        raise UserError(
            f"--sample {len(sampled)} draws {counts[which]} rows that are {which}, too few for {split.folds} folds; "
            "give more"
        )


def without_groups(table: pa.Table, ours: pa.ChunkedArray, theirs: pa.ChunkedArray) -> tuple[pa.Table, list[str]]:
    """The rows of a table whose group is not held out, and a remark on the others."""
    held = written(theirs).drop_null().unique()
    shared = pa.compute.is_in(written(ours), value_set=held)
    count = pa.compute.sum(shared).as_py()
    if not count:
        return table, []
    return table.filter(pa.compute.invert(shared)), [left_out(count)]


def left_out(rows: int) -> str:
    return f"{rows} rows of groups that are held out are left out of the training"


def labels_of(found: targets.Target, values: pa.ChunkedArray, source: Source) -> Array:
    """The labels of another file, which may hold no class that the first does not."""
    classes = written(values)
    labels = np.asarray(pa.compute.equal(classes, found.positive).to_numpy(zero_copy_only=False), bool)
    strange = set(classes.unique().to_pylist()) - {found.positive, found.negative}
    if strange and found.negative != f"not {found.positive}":
        names = f"neither {found.positive!r} nor {found.negative!r}"
        raise UserError(f"{source}: the target {found.name!r} holds {min(strange)!r}, {names}")
    return labels


def refuse_few(found: targets.Target, folds: int, source: Source, share: float = splits.TEST_SHARE) -> None:
    """Refuse a class with too few rows for the folds and a held-out part of this share."""
    fewer = int(min(found.labels.sum(), (~found.labels).sum()))
    needed = int(np.ceil(folds / (1 - share))) + (share > 0)
    if fewer < needed:
        which = found.positive if found.labels.sum() == fewer else found.negative
        raise UserError(
            f"{source}: {fewer} rows are {which!r}, too few for {folds} folds and a held-out part, which take "
            f"{needed}; give fewer --folds"
            if fewer > 3
            else f"{source}: only {fewer} rows are {which!r}; collect more"
        )


def schema_of(table: pa.Table, question: Question, source: Source) -> tuple[tables.Schema, list[str]]:
    """The columns to learn from. Those that only split the rows are not among them: what new rows have in their place
    cannot be learned.
    """
    given = {"group": question.group, "time": question.time}
    used = [name for name in given.values() if name is not None]
    for option, name in given.items():
        if name is not None:
            column(table, name, option, source)
    seen = replace(source, ignore=tuple(name for name in source.ignore if name not in used))
    schema, notes = tables.Schema.of(table.drop_columns(used), question.target, seen)
    return schema, [f"{name!r} splits the rows, and the model does not see it" for name in used] + notes


def split_of(table: pa.Table, question: Question, labels: Array, source: Source) -> splits.Split:
    group = None if question.group is None else groups(column(table, question.group, "group", source))
    needed = int(np.ceil(question.folds / (1 - splits.TEST_SHARE))) + 1
    if group is not None and len(np.unique(group)) < needed:
        raise UserError(
            f"{source}: --group {question.group} names {len(np.unique(group))} groups, too few for {question.folds} "
            f"folds and a held-out part, which take {needed}"
        )
    time = None if question.time is None else times(column(table, question.time, "time", source), question.time, source)
    return splits.Split(labels, group, time, question.folds, question.seed)


def column(table: pa.Table, name: str, option: str, source: Source) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise UserError(f"--{option}: {source} has no column {name!r}; {nearest(name, table.column_names)}")
    return table.column(name)


def groups(values: pa.ChunkedArray) -> Array:
    """A whole number for each group. Rows without a group are groups of their own."""
    codes, _ = pd.factorize(written(values).to_pandas())
    alone = np.flatnonzero(codes < 0)
    codes[alone] = codes.max() + 1 + np.arange(len(alone))
    return codes


def times(values: pa.ChunkedArray, name: str, source: Source) -> Array:
    """The rank of each row's time.

    Raises
    ------
    UserError
        If the column holds neither dates nor numbers, or a time is missing.
    """
    found: columns.Column | None = columns.Column(name, columns.kind_of(values))
    if found is not None and found.kind == "category":
        found, _ = recognition.Text.of(name, values, source).column(source.decimal, True, len(values))
    if found is None or found.kind not in ("date", "number", "time"):
        raise UserError(f"{source}: column {name!r} must hold dates or numbers for --time, not words")
    numbers = columns.numbers(found, values, source)
    missing = int(np.isnan(numbers).sum())
    if missing:
        raise UserError(f"{source}: column {name!r} is missing in {missing} rows, which have no place in --time")
    return np.unique(numbers, return_inverse=True)[1]
