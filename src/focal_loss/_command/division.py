"""A table in a training part, with folds, and a held-out part."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute

from focal_loss._command import columns, effective, reading, recognition, splits, tables, targets, weights
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
    weight: str | None = None  # the column that weighs the rows

    @classmethod
    def of(cls, options: Any) -> Question:
        """The question that the options of the command ask."""
        return cls(**{each.name: getattr(options, each.name) for each in fields(cls)})


class Part(NamedTuple):
    X: pd.DataFrame
    y: Array  # of bool
    weight: Array | None = None  # of float64, of any scale; None: all rows count alike

    @property
    def share(self) -> float:
        """The share of the positives, by weight."""
        return float(np.average(self.y, weights=self.weight))


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
    weight: Array | None = None  # of the rows of `target.labels`
    share_error: float = 0.0  # standard error of the log odds of the share of the positives of the test part

    @property
    def totals(self) -> tuple[float, float]:
        """The weight of the positives and of the negatives."""
        labels, weight = self.target.labels, weights.each(self.weight, len(self.target.labels))
        return weight[labels].sum().item(), weight[~labels].sum().item()


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
    weighing, notes = weighing_of(table, question, source)
    table, weightless = weighing.counted(table, source)
    with weights.counting(weightless):
        found = targets.target(table, question.target, question.positive, source)
        schema, remarks = schema_of(table, question, source)
        refuse_few(found, question.folds, source)
    split = split_of(table, question, found.labels, source)
    notes = [*filter(None, [found.note]), *remarks, *notes, *weights.left_out(weightless)]
    train, test = split.held_out()
    frames = schema.frames(table, source, (train, test))
    weight = weighing.read(table, source)
    learned, held = (
        Part(X, found.labels[rows], weights.taken(weight, rows)) for X, rows in zip(frames, (train, test), strict=True)
    )
    searched, folds, more = in_folds(split, train, test, learned, question, found)
    left = table.num_rows - len(train) - len(test)
    notes += [left_out(left)] if left else []
    group = None if split.group is None else split.group[test]
    # A part that was drawn at random has the share of the whole table; the latest rows have one of their own.
    seen = (found.labels, weight, split.group) if split.time is None else (held.y, held.weight, group)
    error = error_of_share(*seen)
    return Data(schema, notes + more, found, learned, searched, folds, held, group, weight, error), (train, test)


def error_of_share(labels: Array, weight: Array | None, group: Array | None) -> float:
    """The standard error of the log odds of the share of the positives."""
    return effective.error_of_odds(labels, weights.each(weight, len(labels)), group)


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
    X, weight = learned.X.iloc[chosen].reset_index(drop=True), weights.taken(learned.weight, chosen)
    return Part(X, learned.y[chosen], weight), folds, [note]


def beside(table: pa.Table, question: Question, source: Source) -> Data:
    """A table to learn from as a whole, and the file that is held out."""
    assert question.held_out is not None
    other = replace(source, path=question.held_out)
    held = reading.read(other, [question.target, *filter(None, [question.group])])
    table, held = (
        targets.without_missing(rows, question.target, question.drop_missing, place)
        for rows, place in ((table, source), (held, other))
    )
    weighing, notes = weighing_of(table, question, source)
    (table, weightless), (held, more) = weighing.counted(table, source), weighing.counted(held, other)
    notes += weights.left_out(weightless + more)
    if question.group is not None:
        theirs = column(held, question.group, "group", other)
        table, left = without_groups(table, column(table, question.group, "group", source), theirs)
        notes += left
    with weights.counting(weightless):
        found = targets.target(table, question.target, question.positive, source)
        refuse_few(found, question.folds, source, share=0)
    labels = labels_of(found, held.column(question.target), other)
    split = split_of(table, question, found.labels, source)
    rows = np.arange(table.num_rows)
    test = len(rows) + np.arange(len(labels))
    schema, remarks = schema_of(table, question, source)
    (X,), (X_held,) = schema.frames(table, source), schema.frames(held, other)
    learned = Part(X, found.labels, weighing.read(table, source))
    tested = Part(X_held, labels, weighing.read(held, other))
    everything = replace(split, labels=np.append(found.labels, labels))
    with weights.counting(weightless + more):
        searched, folds, sampled = in_folds(everything, rows, test, learned, question, found)
    notes += [*filter(None, [found.note]), *remarks, *schema.unknown(held), *sampled]
    group = None if question.group is None else groups(held.column(question.group))
    error = error_of_share(labels, tested.weight, group)
    return Data(schema, notes, found, learned, searched, folds, tested, group, learned.weight, error)


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
    given = {"group": question.group, "time": question.time, "weight": question.weight}
    used = [name for name in given.values() if name is not None]
    for option, name in given.items():
        if name is not None:
            column(table, name, option, source)
    seen = replace(source, ignore=tuple(name for name in source.ignore if name not in used))
    schema, notes = tables.Schema.of(table.drop_columns(used), question.target, seen)
    verbs = [("weighs" if option == "weight" else "splits", name) for option, name in given.items() if name is not None]
    return schema, [f"{name!r} {verb} the rows, and the model does not see it" for verb, name in verbs] + notes


def weighing_of(table: pa.Table, question: Question, source: Source) -> tuple[weights.Weighing, list[str]]:
    """How the rows are weighed, and remarks on numbers that are not as programs write them.

    Raises
    ------
    UserError
        If there is no such column, it has another part to play, or it does not hold numbers.
    """
    name = question.weight
    if name is None:
        return weights.Weighing(None), []
    parts = {"the target": question.target, "what --group names": question.group, "what --time names": question.time}
    for part, other in parts.items():
        if name == other:
            raise UserError(f"{name!r} is {part}, which --weight must not name; name a column of numbers")
    if name in source.categorical:
        raise UserError(f"{name!r} is named by --weight and by --categorical; choose one")
    column(table, name, "weight", source)
    # All columns together show which sign stands before decimals.
    seen = replace(source, ignore=tuple(other for other in source.ignore if other != name))
    schema, notes = schema_of(table, replace(question, weight=None), seen)
    found = next((each for each in schema.columns if each.name == name), None)
    if found is None or found.kind != "number":
        held = "words" if found is None else columns.KINDS[found.kind]
        raise UserError(f"{source}: column {name!r} must hold numbers for --weight, not {held}")
    return weights.Weighing(found), [note for note in notes if note.startswith(f"{name!r} ")]


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
