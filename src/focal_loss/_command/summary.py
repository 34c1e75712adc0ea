"""The result of a fit, measured and in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.stats import norm

from focal_loss._command import division, fit, weights
from focal_loss._command.evaluation import MEASURES, Measure, interval, of_share, over_parts, resampled
from focal_loss._command.report import data as report
from focal_loss._command.report import numbers
from focal_loss._command.search import LOSSES, SEARCHED
from focal_loss._command.thresholds import Outcomes

Array = Any
NAMES = {"focal": "focal loss"}


def comparisons(results: Sequence[fit.Result]) -> list[report.Comparison]:
    """Every metric on the held-out part, or its mean over the parts, the chosen one first."""
    first = results[0]
    rival, chosen = LOSSES.index(first.rival.loss), first.search.settings.metric
    # The values have the shape (losses, parts); `range_of` has the samples behind the interval of a single part.
    values = _values(results)
    range_of = _range_of(results, values)
    rows = []
    for name in sorted(MEASURES, key=lambda name: name != chosen):
        measure = MEASURES[name]
        models: dict[str, report.Estimate] = {
            loss: report.Estimate(float(found.mean()), *range_of(name, k))
            for k, (loss, found) in enumerate(zip(LOSSES, values[name], strict=True))
        }
        none = [_measured(measure, r, np.full(len(r.data.test.y), r.data.train.share)) for r in results]
        ends = range_of(name, 0, rival)
        floor = float(np.mean(none))
        rows.append(report.Comparison(measure.name, models, LOSSES[rival], *ends, floor, measure.higher_is_better))
    return rows


def by_weight(data: division.Data) -> str:
    """The share of the positives by weight, after their number, or "" without weights."""
    positives, negatives = data.totals
    return "" if data.weight is None else f", {100 * positives / (positives + negatives):.3g}% by weight"


def _values(results: Sequence[fit.Result], deviation: float = 0.0) -> dict[str, Array]:
    """Each metric of each loss on each part, of shape (losses, parts), where the log odds of the share of the positives
    are so many standard errors above those that were found.
    """
    return {
        name: np.array(
            [[_measured(measure, r, r.candidates[loss].probability, deviation) for r in results] for loss in LOSSES]
        )
        for name, measure in MEASURES.items()
    }


def _measured(measure: Measure, result: fit.Result, probability: Array, deviation: float = 0.0) -> float:
    """A metric of probabilities for the held-out rows."""
    held, weight = result.data.test, result.data.test.weight
    if deviation:
        weight = weights.each(weight, len(held.y)) * of_share(held.y, held.share, deviation * result.data.share_error)
    return measure.of(held.y, probability, weight)


def _range_of(results: Sequence[fit.Result], values: dict[str, Array]) -> Callable[..., tuple[float, float]]:
    """A function of a metric and a loss, or two, that gives the 95 % interval of the value, or of the difference."""
    data = results[0].data
    if len(results) > 1:
        share, (up, down) = len(data.test.y) / len(data.train.y), (_values(results, by) for by in (1.0, -1.0))

        def over(name: str, one: int, other: int | None = None) -> tuple[float, float]:
            change = (_less(up[name], one, other) - _less(down[name], one, other)) / 2
            return over_parts(_less(values[name], one, other), share, float(change.mean()))

        return over
    probabilities = [results[0].candidates[loss].probability for loss in LOSSES]
    seed, held = results[0].search.settings.seed, data.test
    samples = resampled(held.y, probabilities, data.groups, seed, held.weight, data.share_error)
    spread = {name: samples[:, :, k] for k, name in enumerate(MEASURES)}
    return lambda name, one, other=None: interval(_less(spread[name], one, other))


def _less(values: Array, one: int, other: int | None) -> Array:
    return values[one] if other is None else values[one] - values[other]


def answer(row: report.Comparison) -> str:
    """Whether focal loss beats the better cross-entropy, as far as the held-out part can tell."""
    places = max(3, numbers.decimals(row))
    focal, rival = (row.models[loss].value for loss in ("focal", row.rival))
    values = (
        f"{row.name} {focal:.{places}f} against {rival:.{places}f} of {row.rival}; 95 % interval of the difference "
        f"{numbers.bound(row.low, places)} to {numbers.bound(row.high, places)}"
    )
    if row.low <= 0 <= row.high:
        return f"No difference that this data can show: {values}."
    better = (row.low > 0) == row.higher_is_better
    pair = ("Focal loss", row.rival) if better else (row.rival.capitalize(), "focal loss")
    return f"{pair[0]} is better than {pair[1]}: {values}."


def needed(results: Sequence[fit.Result], row: report.Comparison) -> str:
    """The number of held-out positives that would show a difference of the size found, or "" if one is shown.

    At sample size n the interval of the difference d reaches 1.96 s / sqrt(n) to each side. A test of size 5 % has a
    power of 80 % where d = (1.96 + 0.84) s / sqrt(n).
    """
    found = abs(row.difference)
    if not row.low <= 0 <= row.high or not found:
        return ""
    here = int(results[0].data.test.y.sum())
    ratio = (row.high - row.low) / 2 / found * ((norm.ppf(0.975) + norm.ppf(0.8)) / norm.ppf(0.975))
    positives = here * ratio**2
    if positives <= here:
        return ""
    of = "in each held-out part" if len(results) > 1 else "held out"
    size = f"{float(f'{positives:.2g}'):,.0f}" if positives < 1e9 else "more than a billion"
    return (
        f"If the true difference is as large as the one found, {numbers.short(found, 2)}, it would take about {size} "
        f"positives {of}, instead of {here:,}, to show it in four cases of five, if the interval shrinks with "
        "the square root of their number."
    )


def worth(result: fit.Result, row: report.Comparison) -> str:
    """A sentence about the stored model beside a prediction without a model, or "" if the model is surely better."""
    found = row.models[result.winner.loss]
    sign = 1 if row.higher_is_better else -1
    if min(sign * found.low, sign * found.high) > sign * row.floor:
        return ""
    places = max(3, numbers.decimals(row))
    shown = " to ".join(f"{x:.{places}f}" for x in (found.low, found.high))
    return (
        f"The stored model is no better than none, as far as this data can show: its {row.name} lies in {shown}, and "
        f"that of the share of positives alone is {row.floor:.{places}f}."
    )


def caution(results: Sequence[fit.Result]) -> str:
    """A caution about the interval, or "" if it needs none."""
    data = results[0].data
    held = data.test.y
    fewer = int(min(held.sum(), (~held).sum()))
    of = data.target.positive if held.sum() == fewer else data.target.negative
    if len(results) > 1:
        return (
            f"The values are means over {len(results)} held-out parts, drawn anew, with a search of their own; about "
            f"{fewer} rows of each are {of!r}. The model, its threshold and the curves are those of the first."
        )
    if fewer >= division.FEW:
        return ""
    return f"Only {fewer} of the held-out rows are {of!r}; with so few the interval is rough."


def decision(result: fit.Result) -> dict[str, Any]:
    """The results of the stored model on the held-out part, at its threshold: sums of weights."""
    held, probability = result.data.test, result.winner.probability
    found = Outcomes.at(held.y, probability, np.array([result.threshold]), held.weight)
    tp, fp, fn, tn = (each[0].item() for each in found.weights().values())
    return {
        "loss": result.winner.loss,
        "threshold": result.threshold,
        "tp": tp,
        "fp": fp,
        "fn": fn,
        "tn": tn,
        "precision": tp / (tp + fp) if tp + fp else None,
        "recall": tp / (tp + fn),
        "f1": 2 * tp / (2 * tp + fp + fn),
    }


def choice(result: fit.Result, row: report.Comparison) -> str:
    """The model and threshold that were stored, and why."""
    winner = result.winner
    best = max(result.candidates.values(), key=lambda candidate: result.search.sign * candidate.best.score)
    given = ", ".join(f"{name} {winner.best.parameters[name]:.3g}" for name in SEARCHED[winner.loss])
    handed = NAMES.get(winner.loss, winner.loss) + (f" with {given}" if given else "")
    others = ", ".join(
        f"{candidate.best.score:.4g} of {NAMES.get(loss, loss)}"
        for loss, candidate in result.candidates.items()
        if candidate is not winner
    )
    why = "it was the best" if best is winner else "the plainest whose score was within one standard error of the best"
    threshold = f"{result.threshold:.3g}" if result.threshold < 0.99 else f"{result.threshold:.7g}"
    divisor = winner.temperature
    if divisor.value != 1:
        handed += f", whose scores are divided by {divisor.value:.3g} (log loss out of fold {divisor.with_it:.4g}, "
        handed += f"without that {divisor.without:.4g})"
    measures = "" if row.low <= 0 <= row.high else " The held-out rows measure the models; they do not choose."
    return (
        f"The stored model is that of {handed}: in cross-validation {why} ({winner.best.score:.4g}, beside {others})."
        f"{measures} It flags rows with a probability of at least {threshold}, the threshold with the highest F1 out "
        "of fold that leaves half of the negatives alone."
    )
