"""From a table to a model and a comparison on held-out rows: the work of `focal-loss fit`, without output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
from scipy.special import expit

from focal_loss._command import boosters, reading, splits, store, tables, temper
from focal_loss._command.errors import UserError
from focal_loss._command.search import LOSSES, Best, Loss, Search
from focal_loss._command.thresholds import Outcomes

Array = Any
Train = Callable[[Search, Loss, Best], Any]
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


class Part(NamedTuple):
    X: pd.DataFrame
    y: Array  # of bool


@dataclass(frozen=True)
class Data:
    """A table in two parts. The search sees the first, in folds."""

    schema: tables.Schema
    notes: list[str]  # remarks on the columns and the split, for the user
    target: tables.Target
    train: Part
    folds: splits.Folds
    test: Part
    groups: Array | None  # of the test part


@dataclass(frozen=True)
class Candidate:
    """The best trial of a loss: its parameters, its score in cross-validation, a model of the whole training part."""

    loss: Loss
    best: Best
    temperature: temper.Temperature
    model: Any
    probability: Array  # predictions for the test part
    scores: Array  # the sigmoid of the same scores, without temperature and posterior map


@dataclass(frozen=True)
class Result:
    data: Data
    search: Search
    candidates: dict[Loss, Candidate]
    winner: Candidate  # the one whose model is stored
    outcomes: Outcomes  # the winner's, out of fold: thresholds are chosen from these
    threshold: float

    @property
    def focal(self) -> Candidate:
        return self.candidates["focal"]

    @property
    def rival(self) -> Candidate:
        """The better of the cross-entropies in cross-validation, weighted or not."""
        found = [self.candidates[loss] for loss in LOSSES if loss != "focal"]
        return max(reversed(found), key=lambda candidate: self.search.sign * candidate.best.score)

    def stored(self) -> store.Stored:
        """The winning model in the form in which it is stored."""
        target, engine = self.data.target, self.search.booster.name
        names = (target.name, target.positive, target.negative)
        return store.Stored(engine, self.data.schema, *names, self.threshold, self.outcomes, self.winner.model)


# ---------------------------------------------------------------------------------------------------------------
# Reading and splitting
# ---------------------------------------------------------------------------------------------------------------


def load(path: Path, question: Question) -> Data:
    """Read a table and split it.

    Raises
    ------
    UserError
        If it cannot be learned from.
    """
    table = reading.read(path, [question.target])
    data = divided(table, question, path)[0] if question.held_out is None else beside(table, question, path)
    reading.give_memory_back()
    return data


def repeats(data: Data, question: Question, wanted: int | None) -> int:
    """The number of held-out parts: as many as wanted, else one, or several where one holds few rows of a class."""
    only_one = question.time is not None or question.held_out is not None
    if wanted is not None:
        if wanted > 1 and only_one:
            option = "--time" if question.held_out is None else "--held-out"
            raise UserError(f"{option} has one held-out part; leave --repeats out")
        return wanted
    held = data.test.y
    few = min(held.sum(), (~held).sum()) < FEW and len(data.train.y) + len(held) <= MOST_ROWS
    return REPEATS if few and not only_one else 1


def divided(table: pa.Table, question: Question, path: Path) -> tuple[Data, tuple[Array, Array]]:
    """A table split into a training and a test part, and the rows of each, of those whose target is known."""
    table = tables.without_missing(table, question.target, question.drop_missing, path)
    found = tables.target(table, question.target, question.positive, path)
    refuse_few(found, question.folds, path)
    split = split_of(table, question, found.labels, path)
    schema, notes = schema_of(table, question, path)
    train, test = split.held_out()
    folds = split.within(train)
    splits.refuse_one_class(split, train, test, folds, (found.negative, found.positive))
    frames = schema.frames(table, path, (train, test))
    parts = (Part(X, found.labels[rows]) for X, rows in zip(frames, (train, test), strict=True))
    left = table.num_rows - len(train) - len(test)
    if left:
        notes.append(left_out(left))
    group = None if split.group is None else split.group[test]
    return Data(schema, notes, found, next(parts), folds, next(parts), group), (train, test)


def beside(table: pa.Table, question: Question, path: Path) -> Data:
    """A table to learn from as a whole, and the file that is held out."""
    assert question.held_out is not None
    held = reading.read(question.held_out, [question.target])
    table, held = (
        tables.without_missing(rows, question.target, question.drop_missing, source)
        for rows, source in ((table, path), (held, question.held_out))
    )
    notes: list[str] = []
    if question.group is not None:
        table, notes = without_groups(table, held, question, path)
    found = tables.target(table, question.target, question.positive, path)
    refuse_few(found, question.folds, path, share=0)
    labels = labels_of(found, held.column(question.target), question.held_out)
    split = split_of(table, question, found.labels, path)
    rows = np.arange(table.num_rows)
    folds = split.within(rows)
    everything = splits.Split(np.append(found.labels, labels), split.group, split.time, question.folds, question.seed)
    test = len(rows) + np.arange(len(labels))
    splits.refuse_one_class(everything, rows, test, folds, (found.negative, found.positive))
    schema, more = schema_of(table, question, path)
    (X,), (X_held,) = schema.frames(table, path), schema.frames(held, question.held_out)
    notes += [*more, *schema.unknown(held)]
    group = None if question.group is None else groups(held.column(question.group))
    return Data(schema, notes, found, Part(X, found.labels), folds, Part(X_held, labels), group)


def without_groups(table: pa.Table, held: pa.Table, question: Question, path: Path) -> tuple[pa.Table, list[str]]:
    """The rows whose group is not held out, and a remark on the others."""
    assert question.group is not None
    assert question.held_out is not None
    ours = tables.words(column(table, question.group, "group", path))
    theirs = tables.words(column(held, question.group, "group", question.held_out))
    shared = pa.compute.is_in(ours, value_set=theirs.drop_null().combine_chunks())
    count = pa.compute.sum(shared).as_py()
    if not count:
        return table, []
    return table.filter(pa.compute.invert(shared)), [left_out(count)]


def left_out(rows: int) -> str:
    return f"{rows} rows of groups that are held out are left out of the training"


def labels_of(found: tables.Target, values: pa.ChunkedArray, path: Path) -> Array:
    """The labels of another file, which may hold no class that the first does not."""
    words = tables.written(values)
    labels = np.asarray(pa.compute.equal(words, found.positive).to_numpy(zero_copy_only=False), bool)
    strange = set(words.unique().to_pylist()) - {found.positive, found.negative}
    if strange and found.negative != f"not {found.positive}":
        names = f"neither {found.positive!r} nor {found.negative!r}"
        raise UserError(f"{path}: the target {found.name!r} holds {min(strange)!r}, {names}")
    return labels


def refuse_few(found: tables.Target, folds: int, path: Path, share: float = splits.TEST_SHARE) -> None:
    """Refuse a class with too few rows for the folds and a held-out part of this share."""
    fewer = int(min(found.labels.sum(), (~found.labels).sum()))
    needed = int(np.ceil(folds / (1 - share))) + (share > 0)
    if fewer < needed:
        which = found.positive if found.labels.sum() == fewer else found.negative
        raise UserError(
            f"{path}: {fewer} rows are {which!r}, too few for {folds} folds and a held-out part, which take {needed}; "
            "give fewer --folds"
            if fewer > 3
            else f"{path}: only {fewer} rows are {which!r}; collect more"
        )


def schema_of(table: pa.Table, question: Question, path: Path) -> tuple[tables.Schema, list[str]]:
    """The columns to learn from. Those that only split the rows are not among them: what new rows have in their place
    cannot be learned.
    """
    used = [name for name in (question.group, question.time) if name is not None]
    schema, notes = tables.Schema.of(table.drop_columns(used), question.target, path)
    return schema, [f"{name!r} splits the rows, and the model does not see it" for name in used] + notes


def split_of(table: pa.Table, question: Question, labels: Array, path: Path) -> splits.Split:
    group = None if question.group is None else groups(column(table, question.group, "group", path))
    needed = int(np.ceil(question.folds / (1 - splits.TEST_SHARE))) + 1
    if group is not None and len(np.unique(group)) < needed:
        raise UserError(
            f"{path}: --group {question.group} names {len(np.unique(group))} groups, too few for {question.folds} "
            f"folds and a held-out part, which take {needed}"
        )
    time = None if question.time is None else times(column(table, question.time, "time", path), question.time, path)
    return splits.Split(labels, group, time, question.folds, question.seed)


def column(table: pa.Table, name: str, option: str, path: Path) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise UserError(f"--{option}: {path} has no column {name!r}; {tables.nearest(name, table.column_names)}")
    return table.column(name)


def groups(values: pa.ChunkedArray) -> Array:
    """A whole number for each group. Rows without a group are groups of their own."""
    codes, _ = pd.factorize(tables.words(values).to_pandas())
    alone = np.flatnonzero(codes < 0)
    codes[alone] = codes.max() + 1 + np.arange(len(alone))
    return codes


def times(values: pa.ChunkedArray, name: str, path: Path) -> Array:
    """The rank of each row's time.

    Raises
    ------
    UserError
        If the column holds neither dates nor numbers, or a time is missing.
    """
    found, _ = tables.column_of(name, values, path)
    if found is None or found.kind not in ("date", "number", "time"):
        raise UserError(f"{path}: column {name!r} must hold dates or numbers for --time, not words")
    numbers = tables.numbers(found, values, path)
    missing = int(np.isnan(numbers).sum())
    if missing:
        raise UserError(f"{path}: column {name!r} is missing in {missing} rows, which have no place in --time")
    return np.unique(numbers, return_inverse=True)[1]


# ---------------------------------------------------------------------------------------------------------------
# Search, training and evaluation
# ---------------------------------------------------------------------------------------------------------------


def fit(
    data: Data,
    search: Search,
    *,
    trials: int,
    seconds: float | None,
    report: Callable[[int, float | None], None],
    train: Train | None = None,
) -> Result:
    """Search on the training part, train the best of each loss on all of it, or by `train`, and evaluate each once on
    the test part.
    """
    search.run(trials, seconds, report)
    best = {loss: search.best(loss) for loss in LOSSES}
    chosen = plainest(best, search.sign)
    held, _ = boosters.columns_for(search.settings.engine, data.test.X)
    candidates = {}
    for loss in LOSSES:
        scores = search.out_of_fold(loss, best[loss])
        found = temper.helpful(best[loss].parameters, scores, search.y, search.folds)
        candidates[loss] = _candidate(search, loss, best[loss], found, held, train or trained)
        if loss == chosen:
            seen = ~np.isnan(scores)
            probability = temper.posterior(best[loss].parameters, scores[seen], found.value)
            outcomes = Outcomes.of(search.y[seen], probability)
    return Result(data, search, candidates, candidates[chosen], outcomes, outcomes.best_f1())


def plainest(best: dict[Loss, Best], sign: int) -> Loss:
    """The plainest loss whose score in cross-validation is within one standard error of the highest.

    The error is that of the mean difference over the folds. L. Breiman et al., "Classification and regression trees",
    1984, section 3.4.3.
    """
    top = max(LOSSES, key=lambda loss: sign * best[loss].score)
    for loss in reversed(LOSSES):
        lead = sign * np.subtract(best[top].scores, best[loss].scores)
        if lead.mean() <= lead.std(ddof=1) / np.sqrt(len(lead)):
            return loss
    return top


def trained(search: Search, loss: Loss, best: Best) -> Any:
    """A model of the best trial, of the whole training part."""
    return search.model(loss, best.parameters, best.rounds).fit(search.table, search.y)


def _candidate(search: Search, loss: Loss, best: Best, found: temper.Temperature, held: Any, train: Train) -> Candidate:
    with search.booster.errors("cannot learn from this table"):
        model = train(search, loss, best)
    if found.value != 1:
        model._temper(found.value)
    return Candidate(loss, best, found, model, model.predict_proba(held)[:, 1], expit(boosters.raw(model, held)))
