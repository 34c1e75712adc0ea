"""The result of a fit as the content of its report."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import platform
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from focal_loss._command import boosters, division, fit, listings
from focal_loss._command.evaluation import MEASURES, Ranked, reliability
from focal_loss._command.report import data as report
from focal_loss._command.search import LOSSES, SEARCHED
from focal_loss._command.summary import NAMES, answer, by_weight, caution, choice, needed, worth
from focal_loss._command.thresholds import Outcomes

Array = Any
CURVE_POINTS, SLIDER_STEPS = 4000, 300
SWARMS, SWARM_ROWS = 10, 500  # features and held-out rows
FACTS = {"gamma": "Its gamma", "pos_weight": "Its weight of positives"}


def content(results: Sequence[fit.Result], rows: list[report.Comparison], title: str, command: str) -> report.Report:
    result = results[0]
    data, settings = result.data, result.search.settings
    held, labels = data.test, data.target.labels
    y, weight = held.y, held.weight
    models = {loss: result.candidates[loss].probability for loss in reversed(LOSSES)}
    bins = {"cross-entropy": models["cross-entropy"], "focal, scores": result.focal.scores}
    bins["focal, calibrated"] = models["focal"]
    given = result.winner.best.parameters
    positives, (found, missed) = int(labels.sum()), data.totals
    names = [column.name for column in data.schema.columns]
    return report.Report(
        title=title,
        answer=answer(rows[0]),
        paragraphs=[
            *filter(
                None, [needed(results, rows[0]), worth(result, rows[0]), caution(results), choice(result, rows[0])]
            ),
            *(f"{note}." for note in data.notes),
            *(["Below, a row of weight w counts as w rows."] if weight is not None else []),
        ],
        facts=[
            ("Rows", rows_of(data)),
            ("Positives", f"{positives:,} ({positives / len(labels):.2%}{by_weight(data)})"),
            ("Stored model", NAMES.get(result.winner.loss, result.winner.loss)),
            *((FACTS[name], f"{given[name]:.3g}") for name in SEARCHED[result.winner.loss]),
            ("Threshold", f"{result.threshold:.3g}"),
        ],
        comparisons=rows,
        precision_recall={name: precision_recall(y, p, weight) for name, p in models.items()},
        roc={name: roc(y, p, weight) for name, p in models.items()},
        reliability={
            name: report.Bins(*reliability(y, p, weight=weight, groups=data.groups)) for name, p in bins.items()
        },
        ranking=listings.ranking(y, {loss: models[loss] for loss in LOSSES}, weight),
        calibration=listings.calibration(y, bins, weight),
        trials=trials(result),
        metric=MEASURES[settings.metric].name,
        outcomes=outcomes(y, result.winner.probability, result.threshold, weight),
        rates=listings.rates(y, result.winner.probability, result.threshold, weight, data.groups),
        promises=listings.promises(result.outcomes),
        threshold=result.threshold,
        cost_fp=1.0,
        cost_fn=float(max(1, round(missed / found))),
        importance=boosters.importances(result.winner.model, names),
        swarms=swarms(result),
        columns=listings.columns(data),
        settings=settings_of(result),
        command=command,
        versions=versions(settings.engine),
    )


def rows_of(data: division.Data) -> str:
    """The number of rows, and of those in a file of held-out rows."""
    rows, apart = len(data.target.labels), len(data.train.y) == len(data.target.labels)
    return f"{rows:,}, and {len(data.test.y):,} held out" if apart else f"{rows:,}"


def swarms(result: fit.Result) -> list[report.Swarm]:
    """The SHAP values of the stored model on some held-out rows, the features with the largest mean first."""
    X = result.data.test.X
    if len(X) > SWARM_ROWS:
        X = X.sample(SWARM_ROWS, random_state=result.search.settings.seed)
    table, _ = boosters.columns_for(result.search.settings.engine, X)
    found = boosters.contributions(result.winner.model, table)[:, :-1]
    first = np.argsort(-np.abs(found).mean(axis=0), kind="stable")[:SWARMS]
    return [report.Swarm(str(X.columns[k]), found[:, k].round(6).tolist(), ranks(X.iloc[:, k])) for k in first.tolist()]


def ranks(values: pd.Series) -> list[float | None]:
    """The rank of each value from 0 to 1, that of equal ones in their middle; None where it is missing or a word."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return [None] * len(values)
    known = max(int(values.notna().sum()), 2)
    return [None if np.isnan(rank) else (rank - 1) / (known - 1) for rank in values.rank().tolist()]


def settings_of(result: fit.Result) -> list[tuple[str, str]]:
    """The options of the command, and the parameters of the stored model."""
    given, target, best = result.search.settings, result.data.target, result.winner.best
    train, test, searched = (len(part.y) for part in (result.data.train, result.data.test, result.data.searched))
    return [
        ("date", datetime.datetime.now(datetime.UTC).date().isoformat()),
        ("rows", f"{train:,} to learn from, {test:,} held out"),
        *([("rows of the search", f"{searched:,}")] if searched < train else []),
        ("fingerprint of the data", fingerprint(result.data)),
        ("--engine", given.engine),
        ("--target", target.name),
        ("--positive", target.positive),
        ("--metric", given.metric),
        ("--gamma", "auto" if given.gamma is None else f"{given.gamma:g}"),
        ("--pos-weight", "auto" if given.pos_weight is None else f"{given.pos_weight:g}"),
        ("--folds", str(given.folds)),
        ("--seed", str(given.seed)),
        ("the model's loss", result.winner.loss),
        *((name, f"{value:.4g}") for name, value in best.parameters.items()),
        ("rounds", str(best.rounds)),
        ("temperature", f"{result.winner.temperature.value:.4g}"),
    ]


def fingerprint(data: division.Data) -> str:
    """The first 16 digits of a digest of the columns, labels and weights of both parts: other data have another."""
    digest = hashlib.sha256("\0".join(data.train.X.columns).encode())
    for X, y, weight in (data.train, data.test):
        digest.update(pd.util.hash_pandas_object(X, index=False).to_numpy().tobytes())
        digest.update(np.asarray(y, bool).tobytes())
        digest.update(b"" if weight is None else np.asarray(weight, np.float64).tobytes())
    return digest.hexdigest()[:16]


def versions(engine: str) -> list[tuple[str, str]]:
    from focal_loss import __version__

    found = [("focal-loss", __version__), ("Python", platform.python_version())]
    for package in (engine, f"{engine}-cpu", "optuna", "scikit-learn", "pandas", "numpy"):
        try:
            found.append((package, importlib.metadata.version(package)))
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def trials(result: fit.Result) -> list[report.Trial]:
    found = []
    for loss in LOSSES:
        for trial in result.search.finished(loss):
            parameters = trial.user_attrs["parameters"]
            gamma, weight = parameters.get("gamma"), parameters.get("pos_weight", 1.0)
            found.append(report.Trial(trial.number, loss, gamma, weight, trial.value))
    return found


def corners(y: Array, probability: Array, weight: Array | None) -> tuple[Array, Array, float, float]:
    """True and false positives along a ranking, and the weight of each class."""
    ranked = Ranked.of(y, probability, weight)
    hits, alarms = ranked.counts()
    kept = np.union1d([0], ranked.spread(CURVE_POINTS))
    return hits[kept], alarms[kept], hits[-1].item(), alarms[-1].item()


def curve(x: Array, y: Array) -> report.Curve:
    return report.Curve(x.round(6).tolist(), y.round(6).tolist())


def precision_recall(y: Array, probability: Array, weight: Array | None = None) -> report.Curve:
    hits, alarms, positives, _ = corners(y, probability, weight)
    return curve(hits / positives, hits / (hits + alarms))


def roc(y: Array, probability: Array, weight: Array | None = None) -> report.Curve:
    hits, alarms, positives, negatives = corners(y, probability, weight)
    return curve(np.append(0, alarms) / negatives, np.append(0, hits) / positives)


def outcomes(y: Array, probability: Array, chosen: float, weight: Array | None = None) -> report.Outcomes:
    """Outcomes at thresholds evenly spaced in log odds over the range of the probabilities, cut to [1e-6, 1 - 1e-6],
    and at the chosen threshold.
    """
    odds = logit(np.clip(probability, 1e-6, 1 - 1e-6))
    low, high = odds.min(), odds.max()
    step = max(high - low, 1.0) / SLIDER_STEPS
    thresholds = np.unique(np.append(expit(np.arange(low - step, high + 2 * step, step)), chosen))
    found = Outcomes.at(y, probability, thresholds, weight)
    sums = {name: values.tolist() for name, values in found.weights().items()}
    return report.Outcomes(thresholds.tolist(), **sums)
