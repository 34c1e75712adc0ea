"""What a fit found, in words and in the report's form."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import Any

import numpy as np
from scipy.special import expit, logit

from focal_loss import _engines, _fit
from focal_loss._evaluation import MEASURES, Outcomes, Ranked, intervals, reliability
from focal_loss._report import data as report

Array = Any
CURVE_POINTS, SLIDER_STEPS = 500, 300


def comparisons(result: _fit.Result) -> list[report.Comparison]:
    """Every metric on the held-out part, the chosen one first."""
    chosen, seed = result.search.settings.metric, result.search.settings.seed
    y = result.data.test.y
    pair = result.focal.probability, result.plain.probability
    ranges = intervals(y, *pair, seed)
    rows = []
    for name in sorted(MEASURES, key=lambda name: name != chosen):
        measure = MEASURES[name]
        ours, theirs = (measure.of(y, probability) for probability in pair)
        rows.append(report.Comparison(measure.name, ours, theirs, *ranges[name], measure.higher_is_better))
    return rows


def answer(row: report.Comparison) -> str:
    """Whether focal loss beats cross-entropy, as far as the held-out part can tell."""
    values = (
        f"{row.focal:.4f} against {row.baseline:.4f}; 95 % interval of the difference {row.low:+.4f} to {row.high:+.4f}"
    )
    if row.low <= 0 <= row.high:
        return f"No difference that this data can show: {row.name} {values}."
    better = (row.low > 0) == row.higher_is_better
    verdict = "Focal loss is better than cross-entropy" if better else "Cross-entropy is better than focal loss"
    return f"{verdict}: {row.name} {values}."


def choice(result: _fit.Result) -> str:
    """What was handed over."""
    parameters, kept = result.focal.best.parameters, result.winner.loss == "focal"
    gamma, weight = parameters["gamma"], parameters["pos_weight"]
    chosen = f"gamma {gamma:.3g}, pos_weight {weight:.3g}"
    handed = "focal loss" if kept else "cross-entropy"
    return (
        f"The best focal loss has {chosen}. The model that is handed over is that of {handed}, which was "
        f"{'no worse' if kept else 'better'} in cross-validation ({result.focal.best.score:.4f} against "
        f"{result.plain.best.score:.4f}). It calls positive what is at least {result.threshold:.3g} probable, the "
        "threshold with the highest F1 out of fold."
    )


def page(result: _fit.Result, rows: list[report.Comparison], title: str, command: str) -> report.Report:
    data, settings = result.data, result.search.settings
    y, labels = data.test.y, data.target.labels
    models = {"focal": result.focal.probability, "cross-entropy": result.plain.probability}
    bins = {"cross-entropy": result.plain.probability, "focal, scores": result.focal.scores}
    bins["focal, calibrated"] = result.focal.probability
    positives, negatives = int(labels.sum()), int((~labels).sum())
    names = [column.name for column in data.schema.columns]
    return report.Report(
        title=title,
        answer=answer(rows[0]),
        paragraphs=[choice(result), *(f"{note}." for note in data.notes)],
        facts=[
            ("Rows", f"{len(labels):,}"),
            ("Positives", f"{positives:,} ({positives / len(labels):.2%})"),
            ("Gamma", f"{result.focal.best.parameters['gamma']:.3g}"),
            ("Weight of the positives", f"{result.focal.best.parameters['pos_weight']:.3g}"),
            ("Threshold", f"{result.threshold:.3g}"),
        ],
        comparisons=rows,
        precision_recall={name: precision_recall(y, p) for name, p in models.items()},
        roc={name: roc(y, p) for name, p in models.items()},
        reliability={name: report.Bins(*reliability(y, p)) for name, p in bins.items() if p is not None},
        trials=trials(result),
        metric=MEASURES[settings.metric].name,
        outcomes=outcomes(y, result.winner.probability, result.threshold),
        threshold=result.threshold,
        cost_fp=1.0,
        cost_fn=float(max(1, round(negatives / positives))),
        importance=_engines.importances(result.winner.model, names),
        settings=[
            ("--engine", settings.engine),
            ("--target", data.target.name),
            ("--positive", data.target.positive),
            ("--gamma", "auto" if settings.gamma is None else f"{settings.gamma:g}"),
            ("--pos-weight", "auto" if settings.pos_weight is None else f"{settings.pos_weight:g}"),
            ("--folds", str(settings.folds)),
            ("--seed", str(settings.seed)),
            *((name, f"{value:.4g}") for name, value in result.winner.best.parameters.items()),
            ("rounds", str(result.winner.best.rounds)),
        ],
        command=command,
        versions=versions(settings.engine),
    )


def versions(engine: str) -> list[tuple[str, str]]:
    from focal_loss import __version__

    found = [("focal-loss", __version__), ("Python", platform.python_version())]
    for package in (engine, f"{engine}-cpu", "optuna", "scikit-learn", "pandas", "numpy"):
        try:
            found.append((package, importlib.metadata.version(package)))
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def trials(result: _fit.Result) -> list[report.Trial]:
    found = []
    for loss in ("focal", "cross-entropy"):
        for trial in result.search.finished(loss):
            parameters = trial.user_attrs["parameters"]
            gamma, weight = parameters.get("gamma"), parameters.get("pos_weight", 1.0)
            found.append(report.Trial(trial.number, loss, gamma, weight, trial.value))
    return found


def thinned(*columns: Array) -> report.Curve:
    """At most so many points of a line, the ends among them."""
    kept = np.unique(np.linspace(0, len(columns[0]) - 1, CURVE_POINTS).round().astype(int))
    return report.Curve(*(np.asarray(column)[kept].round(6).tolist() for column in columns))


def precision_recall(y: Array, probability: Array) -> report.Curve:
    hits, alarms = Ranked.of(y, probability).counts()
    return thinned(hits / hits[-1], hits / (hits + alarms))


def roc(y: Array, probability: Array) -> report.Curve:
    hits, alarms = (np.append(0, counts) for counts in Ranked.of(y, probability).counts())
    return thinned(alarms / alarms[-1], hits / hits[-1])


def outcomes(y: Array, probability: Array, chosen: float) -> report.Outcomes:
    """At thresholds evenly spaced in log odds, over all that are between one in a million and its opposite, and the
    chosen one.
    """
    odds = logit(np.clip(probability, 1e-6, 1 - 1e-6))
    low, high = odds.min(), odds.max()
    step = max(high - low, 1.0) / SLIDER_STEPS
    thresholds = np.unique(np.append(expit(np.arange(low - step, high + 2 * step, step)), chosen))
    found = Outcomes.at(y, probability, thresholds)
    return report.Outcomes(**{name: np.asarray(values).tolist() for name, values in vars(found).items()})
