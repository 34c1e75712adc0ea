"""Training on the workers of a cluster: what each of them does, and how they add up metrics.

LightGBM's own classifier for Dask finds the classes in the rows of each worker, which may lack a rare one, and its
metrics are those of one worker's rows. So the training here is LightGBM's for several machines without that classifier.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import scipy.sparse
from sklearn.preprocessing import LabelEncoder

from focal_loss._boosting import classifier
from focal_loss.lightgbm._estimator import FocalLGBMClassifier, tiled

Array = Any


class StoppedError(RuntimeError):
    """The error of a worker that could go on, had another not failed."""


@dataclass
class Turn:
    given: dict[int, Array] = field(default_factory=dict)
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Sums:
    """An actor that adds up arrays of all members: a call returns when each member has made one."""

    def __init__(self, members: int) -> None:
        self.members = members
        self.turn = Turn()
        self.stopped = False

    async def add(self, member: int, values: Array) -> Array:
        turn = self.turn
        turn.given[member] = values
        if len(turn.given) == self.members:
            self.turn = Turn()
            turn.over.set()
        if not self.stopped:
            await turn.over.wait()
        if len(turn.given) < self.members:
            raise StoppedError("training failed on another worker")
        return np.sum([turn.given[k] for k in sorted(turn.given)], axis=0)

    async def stop(self) -> None:
        """Let no member wait for one that failed."""
        self.stopped = True
        self.turn.over.set()


@dataclass(frozen=True)
class Summed:
    """A metric that is the mean over the rows of all workers."""

    metric: classifier.Metric
    add: Callable[[Array], Array]

    def __call__(self, labels: Array, scores: Array, weight: Array | None) -> Any:
        rows = float(len(labels) if weight is None else np.sum(weight, dtype=np.float64))
        # A worker without rows has a stand-in of weight 0, with which a function of the user could not be called.
        found = self.metric(labels, scores, weight if rows else np.ones(len(labels)))
        found = found if isinstance(found, list) else [found]
        mine = [value * rows if rows else 0.0 for _, value, _ in found]
        *totals, all_rows = self.add(np.array([*mine, rows])).tolist()
        of = all_rows or float("nan")
        return [(name, total / of, higher) for (name, _, higher), total in zip(found, totals, strict=True)]


@dataclass(frozen=True)
class Piece:
    """The rows of one partition."""

    X: Any
    y: Array
    weight: Array | None = None
    init_score: Any = None

    def __len__(self) -> int:
        return int(self.X.shape[0])


def piece(X: Any, y: Any, weight: Any, init_score: Any) -> Piece:
    for name, values in (("y", y), ("sample_weight", weight), ("init_score", init_score)):
        if values is not None and len(values) != X.shape[0]:
            raise ValueError(f"a partition of `X` has {X.shape[0]} rows, and that of `{name}` {len(values)}")
    return Piece(X, *(None if values is None else np.asarray(values) for values in (y, weight, init_score)))


def joined(pieces: list[Piece]) -> Piece:
    tables = [part.X for part in pieces]
    if len(pieces) == 1:
        return pieces[0]
    if isinstance(tables[0], pd.DataFrame):
        X = pd.concat(tables)
    elif isinstance(tables[0], np.ndarray):
        X = np.concatenate(tables)
    else:
        X = scipy.sparse.vstack(tables, format="csr")
    rest = ([getattr(part, name) for part in pieces] for name in ("y", "weight", "init_score"))
    return Piece(X, *(None if values[0] is None else np.concatenate(values) for values in rest))


@dataclass(frozen=True)
class Plan:
    """The orders of a training, the same for all workers."""

    parameters: dict[str, Any]
    classes: Array
    prior: Array
    focus: classifier.Focus
    start: Array
    metrics: list[classifier.Metric]
    fit: dict[str, Any]  # further arguments of LightGBM's `fit`


def trained(
    plan: Plan, network: dict[str, Any], member: int, pieces: list[Piece], held: list[list[Piece] | None], sums: Any
) -> FocalLGBMClassifier | None:
    """Train with all other workers. The first one returns the model. `held` is None for the training rows."""
    try:
        return _trained(plan, network, member, pieces, held, lambda values: sums.add(member, values).result())
    except BaseException:
        sums.stop().result()
        raise


def _trained(
    plan: Plan,
    network: dict[str, Any],
    member: int,
    pieces: list[Piece],
    held: list[list[Piece] | None],
    add: Callable[[Array], Array],
) -> FocalLGBMClassifier | None:
    rows = joined(pieces)
    sets = [rows if parts is None else joined(parts) if parts else stand_in(rows) for parts in held]
    model = FocalLGBMClassifier(**plan.parameters)
    model._classes, model._n_classes = plan.classes, len(plan.classes)
    model._le = LabelEncoder().fit(plan.classes)
    model._network = network
    try:
        model._grow(
            partial(lightgbm.LGBMModel.fit, model),
            plan.focus,
            plan.prior,
            plan.start,
            X=rows.X,
            y=rows.y,
            sample_weight=rows.weight,
            init_score=start_of(rows, plan.start),
            eval_set=[(found.X, found.y) for found in sets] or None,
            eval_sample_weight=[found.weight for found in sets],
            eval_init_score=[start_of(found, plan.start) for found in sets],
            eval_metric=[Summed(metric, add) for metric in plan.metrics],
            **plan.fit,
        )
        model._Booster.free_network()
    finally:
        del model._network
    return None if member else model


def start_of(rows: Piece, start: Array) -> Any:
    return tiled(start, len(rows)) if start.any() else rows.init_score


def stand_in(rows: Piece) -> Piece:
    """One row of weight 0, for a worker without rows of an evaluation set: it must take part in every sum."""
    init_score = None if rows.init_score is None else rows.init_score[:1]
    return Piece(rows.X[:1], rows.y[:1], np.zeros(1), init_score)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as found:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(("", 0))
        return int(found.getsockname()[1])
