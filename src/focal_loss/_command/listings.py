"""The tables of the report: what thresholds promise, how well the models rank and are calibrated, the columns."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from focal_loss._command import division, effective, weights
from focal_loss._command.columns import Column
from focal_loss._command.evaluation import Ranked, at_top, kolmogorov_smirnov, slope, wilson
from focal_loss._command.report import numbers
from focal_loss._command.report.data import Row, Table
from focal_loss._command.thresholds import Outcomes, Promise
from focal_loss.calibration import expected_calibration_error

Array = Any
WANTED = (0.8, 0.9, 0.95)
TOPS = (1, 5, 10)  # percent


def promises(outcomes: Outcomes) -> Table:
    """The thresholds that promise a precision or a recall, from outcomes out of fold, and how many rows they flag."""
    most = outcomes.most_precise()
    refused = f"no threshold promises it; the highest is {100 * most:.0f} %" if most else "no threshold promises any"
    found = [("Precision", x, outcomes.for_precision(x), "flagged") for x in WANTED]
    found += [("Recall", x, outcomes.for_recall(x), "positive") for x in WANTED]
    rows = [_promised(f"{name} of {100 * x:.0f} %", outcomes, given, of, refused) for name, x, given, of in found]
    return Table(("To have", "Threshold", "Alarms per 1,000 rows", "What is promised"), rows)


def _promised(name: str, outcomes: Outcomes, found: Promise | None, which: str, refused: str) -> Row:
    if found is None:
        return Row(name, "", (numbers.NOTHING, numbers.NOTHING, refused))
    k = int(np.flatnonzero(outcomes.thresholds == found.threshold)[0])
    tp, fp, fn, tn = (each[k].item() for each in outcomes.weights().values())
    flagged, missed = tp + fp, fn + tn
    if not missed:
        return Row(name, "", (numbers.short(found.threshold), "1,000", "only flagging every row promises it"))
    least = math.floor(1000 * found.rate) / 10  # a promise is never rounded up
    said = f"at least {least:.1f} % ({found.basis(f'{which} rows were {_RIGHT[which]}')})"
    return Row(name, "", (numbers.short(found.threshold), numbers.short(1000 * flagged / (flagged + missed)), said))


_RIGHT = {"flagged": "positive", "positive": "flagged"}


def rates(
    y: Array, probability: Array, threshold: float, weight: Array | None = None, groups: Array | None = None
) -> Table:
    """Sensitivity and specificity at a threshold, with 95 % Wilson intervals."""
    flagged, own = probability >= threshold, weights.each(weight, len(y))
    found, left = (
        effective.share(right[rows], own[rows], weights.taken(groups, rows))
        for rows, right in ((y, flagged), (~y, ~flagged))
    )
    rows = [
        _rate("Sensitivity", "of the positives, how many are flagged", found),
        _rate("Specificity", "of the negatives, how many are not flagged", left),
    ]
    return Table(("At the stored threshold", "Held-out rows", "Share", "95 % interval"), rows)


def _rate(name: str, note: str, found: effective.Share) -> Row:
    low, high = (float(end) for end in wilson(np.array(found.value), np.array(found.effective)))
    ends = f"{max(low, 0):.3f} to {min(high, 1):.3f}"
    alike = found.effective == found.rows
    told = "" if alike else f", which tell as much as {numbers.short(found.effective)} independent ones"
    return Row(name, note, (f"{found.right:,} of {found.rows:,}{told}", f"{found.value:.3f}", ends))


def ranking(y: Array, models: dict[str, Array], weight: Array | None = None) -> Table:
    """How many positives stand at the top of each model's ranking, its Gini coefficient and Kolmogorov-Smirnov
    distance.
    """
    ranked = {name: Ranked.of(y, probability, weight) for name, probability in models.items()}
    positives = np.average(y, weights=weight)
    rows = []
    for percent in TOPS:
        found = [at_top(each, percent / 100) for each in ranked.values()]
        lifts = tuple(f"{rate / positives:.1f}" for rate in found)
        rows.append(Row(f"Lift of the top {percent} %", "times the share of positives", lifts))
        precisions = tuple(f"{rate:.3f}" for rate in found)
        rows.append(Row(f"Precision of the top {percent} %", "share of positives among these", precisions))
    ginis = tuple(f"{2 * roc_auc_score(y, each, sample_weight=weight) - 1:.3f}" for each in models.values())
    rows.append(Row("Gini", "2 ROC AUC − 1; 0: chance", ginis))
    distances = tuple(f"{kolmogorov_smirnov(each):.3f}" for each in ranked.values())
    rows.append(Row("KS", "widest gap of both rates", distances))
    return Table(("Held-out rows", *(name.capitalize() for name in models)), rows)


def calibration(y: Array, probabilities: dict[str, Array], weight: Array | None = None) -> Table:
    """The expected calibration error and the slope of a recalibration of each model's probabilities."""
    given = probabilities.values()
    errors = tuple(numbers.short(expected_calibration_error(y, p, sample_weight=weight)) for p in given)
    slopes = tuple(numbers.fixed(slope(y, p, weight), 2) for p in given)
    rows = [
        Row("Expected calibration error", "mean distance, in 15 equal bins", errors),
        Row("Slope", "1: right; below: too extreme", slopes),
    ]
    return Table(("Held-out rows", *(f"{name[:1].upper()}{name[1:]}" for name in probabilities)), rows)


def columns(data: division.Data) -> Table:
    """The columns that the model sees: kind, missing values, range or number of categories, and remarks."""
    rows = []
    for column in data.schema.columns:
        values = pd.concat([part.X[column.name] for part in (data.train, data.test)], ignore_index=True)
        missing = float(values.isna().mean())
        share = numbers.NOTHING if not missing else "below 0.1 %" if missing < 0.001 else f"{100 * missing:.1f} %"
        begin = f"{column.name!r} "
        notes = "; ".join(note.removeprefix(begin) for note in data.notes if note.startswith(begin))
        rows.append(Row(column.name, notes, (column.kind, share, _span(column, values))))
    return Table(("Column", "Kind", "Missing", "Values"), rows)


def _span(column: Column, values: pd.Series) -> str:
    """The range of a column, or the number of its categories."""
    if column.kind == "category":
        count = len(column.categories)
        return f"{count:,} {'category' if count == 1 else 'categories'}"
    known = values.dropna()
    if not len(known):
        return numbers.NOTHING
    if column.kind == "boolean":
        return f"{100 * known.mean():.1f} % true"
    low, high = (_as_written(column, float(end)) for end in (known.min(), known.max()))
    return low if low == high else f"{low} to {high}"


def _as_written(column: Column, value: float) -> str:
    """A value as a reader knows it: a date counts days since 1970, a time its fraction of the day."""
    if column.kind == "date":
        return str(np.datetime64(round(value * 86_400), "s").astype("datetime64[D]"))
    if column.kind == "time":
        minutes = int(value * 1440 + 1e-6)
        return f"{minutes // 60:02d}:{minutes % 60:02d}"
    return f"{value:.6g}" + (" days" if column.kind == "duration" else "")
