"""From a table to a model and a comparison on held-out rows: the work of `focal-loss fit`, without output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from focal_loss._command import boosters, store, temper
from focal_loss._command.division import Data
from focal_loss._command.search import LOSSES, Best, Loss, Search
from focal_loss._command.thresholds import Outcomes
from focal_loss._command.weights import relative, taken

Array = Any
Train = Callable[[Search, Loss, Best], Any]


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
    train = train or on_all(data, search)
    chosen = plainest(best, search.sign)
    held, _ = boosters.columns_for(search.settings.engine, data.test.X)
    scores = {loss: search.out_of_fold(loss, best[loss]) for loss in LOSSES}
    candidates = {}
    for loss in LOSSES:
        found = temper.helpful(best[loss].parameters, scores[loss], search.y, search.folds, search.weight)
        candidates[loss] = _candidate(search, loss, best[loss], found, held, train)
    winner, seen = candidates[chosen], ~np.isnan(scores[chosen])
    probability = temper.posterior(winner.best.parameters, scores[chosen][seen], winner.temperature.value)
    outcomes = Outcomes.of(search.y[seen], probability, taken(search.weight, seen))
    return Result(data, search, candidates, winner, outcomes, outcomes.best_f1())


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


def on_all(data: Data, search: Search) -> Train:
    """A function that trains the best trial of a loss on the whole training part."""
    is_sampled, weight = data.searched is not data.train, relative(data.train.weight)
    table = boosters.columns_for(search.booster.name, data.train.X)[0] if is_sampled else search.table

    def train(search: Search, loss: Loss, best: Best) -> Any:
        return search.model(loss, best.parameters, best.rounds).fit(table, data.train.y, sample_weight=weight)

    return train


def _candidate(search: Search, loss: Loss, best: Best, found: temper.Temperature, held: Any, train: Train) -> Candidate:
    with search.booster.errors("cannot learn from this table"):
        model = train(search, loss, best)
    if found.value != 1:
        model._temper(found.value)
    return Candidate(loss, best, found, model, model.predict_proba(held)[:, 1], expit(boosters.raw(model, held)))
