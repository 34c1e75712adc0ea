"""The search: trials of focal loss, of weighted cross-entropy and of the booster's own cross-entropy in turns, by
cross-validation.

A trial is one choice of parameters. Its score is the mean of the metric over the folds; every fold stops early on its
own held-out part. A trial ends after a fold where its mean is worse than the median of earlier trials. The losses are
studies of Optuna, which may be in a database: then a killed search can continue, and several machines can share one.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import optuna
import pandas as pd
from optuna.trial import TrialState
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from focal_loss._command import boosters, urls, weights
from focal_loss._command.division import Part
from focal_loss._command.errors import UserError
from focal_loss._command.evaluation import MEASURES
from focal_loss._command.splits import Folds

Array = Any
Loss = Literal["focal", "weighted cross-entropy", "cross-entropy"]
LOSSES: tuple[Loss, ...] = ("focal", "weighted cross-entropy", "cross-entropy")  # the plainest last


UNPRUNED = 5  # trials of a loss that take all folds, before later ones are compared with them
SEARCHED: dict[Loss, tuple[str, ...]] = {  # parameters of the loss itself
    "focal": ("gamma", "pos_weight"),
    "weighted cross-entropy": ("pos_weight",),
    "cross-entropy": (),
}


def opened(url: str | None) -> Any:
    """An open storage. Opening is retried, because two processes that create the tables of a new one at once may
    collide.
    """
    for attempt in range(9):
        try:
            return optuna.storages.get_storage(url)
        except SQLAlchemyError as error:
            if not (isinstance(error, IntegrityError) or "already exists" in str(error)):
                raise
            time.sleep(0.1 * random.random() * 2**attempt)
    return optuna.storages.get_storage(url)


@dataclass(frozen=True)
class Settings:
    """The settings on which the scores of trials depend. Other settings make another study."""

    engine: str
    gamma: float | None  # None: searched
    pos_weight: float | None
    metric: str
    folds: int
    seed: int


@dataclass(frozen=True)
class Best:
    """The best trial of a loss: its parameters, its score in each fold, the rounds that the folds took, and the seconds
    that one round took for one row.
    """

    parameters: dict[str, Any]
    scores: tuple[float, ...]
    rounds: int
    pace: float = 0.0

    @property
    def score(self) -> float:
        return float(np.mean(self.scores))


@dataclass
class Search:
    """Trials on one training part."""

    X: pd.DataFrame
    y: Array
    weight: Array | None
    folds: Folds
    settings: Settings
    jobs: int
    storage: str | None = None
    learned: int = 0  # rows that the final models learn from, if this process trains them
    kept: dict[Loss, Best] = field(default_factory=dict)  # the best trials of this process

    def __post_init__(self) -> None:
        self.booster = boosters.booster(self.settings.engine)
        self.table, self.extra = boosters.columns_for(self.booster.name, self.X)
        self.measure = MEASURES[self.settings.metric]
        self.sign = 1 if self.measure.higher_is_better else -1
        self.relative = weights.relative(self.weight)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        fingerprint = self._fingerprint()
        try:
            storage = opened(self.storage)
            self.studies = {loss: self._study(storage, f"focal-loss, {loss}, {fingerprint}", loss) for loss in LOSSES}
        except ImportError as error:
            is_postgresql = str(self.storage).startswith("postgres")
            remedy = ": pip install 'focal-loss[postgresql]'" if is_postgresql else ""
            raise UserError(f"the driver of {self._where()} is not installed{remedy}") from error
        except MemoryError:
            raise
        except Exception as error:  # from SQLAlchemy or a driver, whichever the URL names
            said = urls.said_of(str(self.storage), error)
            raise UserError(f"cannot open the storage {self._where()}: {said}") from error

    def run(self, trials: int, seconds: float | None, report: Callable[[int, float | None], None]) -> None:
        """Run trials until each loss has `trials` ended ones, or the time is over and each has one at least.

        The time is over when what is left of it is needed to train the best trials once more. The trial that is running
        then ends without a score, unless it is the first of its loss.
        `report` is called with the number of ended trials and the best score of focal loss.
        """
        end = math.inf if seconds is None else time.monotonic() + seconds
        with self._storing():
            while True:
                done = {loss: len(self.ended(loss)) for loss in LOSSES}
                report(sum(min(n, trials) for n in done.values()), self._best_score("focal"))
                fewest = min(LOSSES, key=lambda loss: done[loss])
                late = end - self.ahead()
                if done[fewest] >= (trials if time.monotonic() <= late else 1):
                    return
                self._try(fewest, late if self.finished(fewest) else math.inf)

    def ahead(self) -> float:
        """The seconds for the final models, and for their likes on each fold, at the pace of the trials before."""
        in_folds = sum(len(train) for train, _ in self.folds)
        return sum(best.pace * best.rounds * (self.learned + in_folds) for best in self.kept.values())

    def _try(self, loss: Loss, end: float) -> None:
        """Run one more trial, until the time `end`."""
        study = self.studies[loss]
        # The seed is the number of trials begun so far: a search that was stopped between two trials continues with the
        # same draws, and another machine draws others.
        seed = np.random.SeedSequence([self.settings.seed, len(study.get_trials(deepcopy=False))])
        study.sampler = optuna.samplers.TPESampler(seed=int(seed.generate_state(1)[0]), multivariate=True)
        trial = study.ask()
        # Two processes may be given the same first trial; the slower one finds the same score.
        with suppress(optuna.exceptions.UpdateFinishedTrialError):
            try:
                study.tell(trial, self._score(trial, loss, end), skip_if_finished=True)
            except boosters.LateError:
                study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
            except optuna.TrialPruned:
                study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)

    @contextmanager
    def _storing(self) -> Iterator[None]:
        """Turn an error of the storage into a `UserError` of one line."""
        try:
            yield
        except (optuna.exceptions.StorageInternalError, SQLAlchemyError) as error:
            said = urls.said_of(str(self.storage), error.__cause__ or error)
            raise UserError(f"the storage {self._where()} failed; its trials are kept: {said}") from error

    def _where(self) -> str:
        return urls.shown(str(self.storage))

    def finished(self, loss: Loss) -> list[Any]:
        with self._storing():
            return self.studies[loss].get_trials(deepcopy=False, states=(TrialState.COMPLETE,))

    def ended(self, loss: Loss) -> list[Any]:
        """The finished trials, and those that ended after some of the folds."""
        states = (TrialState.COMPLETE, TrialState.PRUNED)
        with self._storing():
            return self.studies[loss].get_trials(deepcopy=False, states=states)

    def best(self, loss: Loss) -> Best:
        """The best of as many trials as every loss has. Its folds are trained again if another process trained them."""
        count = min(len(self.ended(each)) for each in LOSSES)
        first = sorted(self.ended(loss), key=lambda trial: trial.number)[:count]
        finished = [trial for trial in first if trial.state == TrialState.COMPLETE]
        trial = max(finished, key=lambda trial: self.sign * trial.value)
        kept = self.kept.get(loss)
        if kept is not None and kept.score == trial.value:
            return kept
        return self._folds(loss, trial.user_attrs["parameters"])

    def model(self, loss: Loss, parameters: dict[str, Any], rounds: int) -> Any:
        """An untrained classifier."""
        given = self.booster.parameters(parameters, rounds, self.jobs, self.settings.seed)
        return (self.booster.focal if loss == "focal" else self.booster.plain)(**given, **self.extra)

    def rows(self, rows: Array) -> Part:
        """These rows, as the booster takes them."""
        return Part(self.table.iloc[rows], self.y[rows], weights.taken(self.relative, rows))

    def out_of_fold(self, loss: Loss, best: Best) -> Array:
        """The scores before the posterior map, each by a model that did not learn from its row; NaN for rows that no
        fold predicts.

        Every fold takes the number of rounds of the final model. Had it stopped where its own rows are predicted best,
        their scores would look better than those of new rows.
        """
        scores = np.full(len(self.y), np.nan)
        for train, held in self.folds:
            model, part = self.model(loss, best.parameters, best.rounds), self.rows(train)
            with self.booster.errors("cannot learn from this table"):
                model.fit(part.X, part.y, sample_weight=part.weight)
                scores[held] = boosters.raw(model, self.table.iloc[held])
        return scores

    def _study(self, storage: Any, name: str, loss: Loss) -> Any:
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            direction="maximize" if self.sign > 0 else "minimize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED),
            load_if_exists=self.storage is not None,
        )
        first = self.booster.default | dict.fromkeys(SEARCHED[loss], 1.0)
        if not any(self._begins(trial, first) for trial in study.get_trials(deepcopy=False)):
            study.enqueue_trial(first)
        return study

    @staticmethod
    def _begins(trial: Any, first: dict[str, Any]) -> bool:
        """Whether this is the trial of the defaults, finished or waiting; a killed trial does not count."""
        if trial.state not in (TrialState.COMPLETE, TrialState.WAITING):
            return False
        given = trial.params or trial.system_attrs.get("fixed_params", {})
        return all(first.get(name, value) == value for name, value in given.items())

    def _fingerprint(self) -> str:
        """A digest of the settings, the columns and the data."""
        known = [vars(self.settings), list(self.X.columns)]
        digest = hashlib.sha256(json.dumps(known, sort_keys=True).encode())
        digest.update(pd.util.hash_pandas_object(self.X, index=False).to_numpy().tobytes())
        digest.update(np.packbits(self.y).tobytes())
        if self.weight is not None:
            digest.update(np.asarray(self.weight, np.float64).tobytes())
        for part in (rows for fold in self.folds for rows in fold):
            digest.update(np.asarray(part, np.int64).tobytes())
        return digest.hexdigest()[:16]

    def _score(self, trial: Any, loss: Loss, end: float) -> float:
        parameters = self.booster.suggest(trial) | self._focus(trial, loss)
        trial.set_user_attr("parameters", parameters)
        found, kept = self._folds(loss, parameters, trial, end), self.kept.get(loss)
        if kept is None or self.sign * found.score > self.sign * kept.score:
            self.kept[loss] = found
        return found.score

    def _focus(self, trial: Any, loss: Loss) -> dict[str, float]:
        """Gamma and the weight of the positives, as far as the loss has them: fixed by the settings or suggested."""
        fixed = {"gamma": self.settings.gamma, "pos_weight": self.settings.pos_weight}
        positive, negative = (np.average(labels, weights=self.weight) for labels in (self.y, ~self.y))
        most = max(2.0, float(negative / positive))
        suggested = {
            "gamma": lambda: trial.suggest_float("gamma", 0.0, 5.0),
            "pos_weight": lambda: trial.suggest_float("pos_weight", 0.5, most, log=True),
        }
        given = {name: fixed[name] for name in SEARCHED[loss]}
        return {name: suggested[name]() if value is None else value for name, value in given.items()}

    def _folds(self, loss: Loss, parameters: dict[str, Any], trial: Any = None, end: float = math.inf) -> Best:
        """The trial of these parameters.

        Raises
        ------
        TrialPruned
            If `trial` is worse than others after some of the folds.
        LateError
            After the time `end`.
        """
        scores, rounds, paces = [], [], []
        for k, (train, rest) in enumerate(self.folds):
            model, part, held = self.model(loss, parameters, boosters.ROUNDS), self.rows(train), self.rows(rest)
            begin = time.monotonic()
            with self.booster.errors("cannot learn from this table"):
                rounds.append(self.booster.fit_until(model, part, held, end))
                run = min(rounds[-1] + boosters.PATIENCE, boosters.ROUNDS)
                paces.append((time.monotonic() - begin) / (run * len(train)))
                scores.append(self.measure.of(held.y, model.predict_proba(held.X)[:, 1], held.weight))
            if trial is not None and k + 1 < len(self.folds):
                trial.report(float(np.mean(scores)), k)
                if trial.should_prune():
                    raise optuna.TrialPruned
        return Best(parameters, tuple(scores), max(1, round(float(np.mean(rounds)))), float(np.mean(paces)))

    def _best_score(self, loss: Loss) -> float | None:
        return self.studies[loss].best_value if self.finished(loss) else None
