"""From a table to a model and a comparison on held-out rows: the work of `focal-loss fit`, without output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from focal_loss._command import boosters, evaluation, reading, store, tables, targets
from focal_loss._command.errors import UserError
from focal_loss._command.search import LOSSES, Best, Loss, Search
from focal_loss._command.sources import Source

Array = Any
TEST_SHARE = 0.2


class Part(NamedTuple):
    X: pd.DataFrame
    y: Array  # of bool


@dataclass(frozen=True)
class Data:
    """A table in two parts. The search sees the first."""

    schema: tables.Schema
    notes: list[str]  # remarks on the columns, for the user
    target: targets.Target
    train: Part
    test: Part


@dataclass(frozen=True)
class Candidate:
    """The best trial of a loss: its parameters, its score in cross-validation, a model of the whole training part."""

    loss: Loss
    best: Best
    model: Any
    probability: Array  # predictions for the test part
    scores: Array | None  # the same before the posterior map, for a focal model


@dataclass(frozen=True)
class Result:
    data: Data
    search: Search
    focal: Candidate
    plain: Candidate
    winner: Candidate  # the better in cross-validation, whose model is stored
    outcomes: evaluation.Outcomes  # the winner's, out of fold: thresholds are chosen from these
    threshold: float

    def stored(self) -> store.Stored:
        """The winning model in the form in which it is stored."""
        target, engine = self.data.target, self.search.booster.name
        names = (target.name, target.positive, target.negative)
        return store.Stored(engine, self.data.schema, *names, self.threshold, self.outcomes, self.winner.model)


def load(path: Path | Source, target: str, positive: str | None, drop_missing: bool, folds: int, seed: int) -> Data:
    """Read a table and split it.

    Raises
    ------
    UserError
        If it cannot be learned from.
    """
    data, _ = divided(reading.read(path, [target]), target, positive, drop_missing, folds, seed, path)
    reading.give_memory_back()
    return data


def divided(
    table: Any, target: str, positive: str | None, drop_missing: bool, folds: int, seed: int, path: Path | Source
) -> tuple[Data, list[Array]]:
    """A table split into a training and a test part, and the rows of each, of those whose target is known."""
    table = targets.without_missing(table, target, drop_missing, path)
    found = targets.target(table, target, positive, path)
    schema, notes = tables.Schema.of(table, target, path)
    notes = [found.note, *notes] if found.note else notes
    fewer = int(min(found.labels.sum(), (~found.labels).sum()))
    needed = int(np.ceil(folds / (1 - TEST_SHARE))) + 1
    if fewer < needed:
        which = found.positive if found.labels.sum() == fewer else found.negative
        raise UserError(
            f"{path}: {fewer} rows are {which!r}, too few for {folds} folds and a held-out part, which take {needed}; "
            "give fewer --folds"
            if fewer > 3
            else f"{path}: only {fewer} rows are {which!r}; collect more"
        )
    rows = np.arange(table.num_rows)
    parts = train_test_split(rows, test_size=TEST_SHARE, stratify=found.labels, random_state=seed)
    parts = [np.sort(part) for part in parts]
    train, test = map(Part, schema.frames(table, path, parts), (found.labels[part] for part in parts))
    return Data(schema, notes, found, train, test), parts


def fit(
    data: Data,
    search: Search,
    *,
    trials: int,
    seconds: float | None,
    report: Callable[[int, float | None], None],
    train: Callable[[Search, Loss, Best], Any] | None = None,
) -> Result:
    """Search on the training part, train the best of each loss on all of it, or by `train`, and evaluate both once on
    the test part.
    """
    search.run(trials, seconds, report)
    held, _ = boosters.columns_for(search.settings.engine, data.test.X)
    focal, plain = (_candidate(search, loss, held, train or trained) for loss in LOSSES)
    winner = focal if search.sign * (focal.best.score - plain.best.score) >= 0 else plain
    outcomes = evaluation.Outcomes.of(search.y, winner.best.probability)
    return Result(data, search, focal, plain, winner, outcomes, outcomes.best_f1())


def trained(search: Search, loss: Loss, best: Best) -> Any:
    """A model of the best trial, of the whole training part."""
    return search.model(loss, best.parameters, best.rounds).fit(search.table, search.y)


def _candidate(search: Search, loss: Loss, held: Any, train: Callable[[Search, Loss, Best], Any]) -> Candidate:
    best = search.best(loss)
    with search.booster.errors("cannot learn from this table"):
        model = train(search, loss, best)
    probability = model.predict_proba(held)[:, 1]
    scores = None
    if loss == "focal":
        scores = model.set_params(calibrated=False).predict_proba(held)[:, 1]
        model.set_params(calibrated=True)
    return Candidate(loss, best, model, probability, scores)
