"""The figures of the page. They draw no names from the data: legends are text of the page, beside the figure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from focal_loss._command.evaluation import wilson
from focal_loss._command.report import numbers
from focal_loss._command.report.data import Bins, Curve, Report, Trial
from focal_loss._command.report.svg import PALETTE, Element, canvas, inline, viewport

__all__ = ["cost", "curves", "focus", "gamma", "history", "positions", "reliability", "styles"]

Place = tuple[float, float]  # a point on axes from 0 to 1
Floor = tuple[Place, Place]

WIDE, SQUARE = (400, 300), (280, 290)
BASELINE = "cross-entropy"
LOSSES = ("cross-entropy", "weighted cross-entropy", "focal")  # in the order of their styles
_DASHES = {"baseline": (4, 2), "focal": (), "other": (1, 1.5)}
_COLUMNS = 200  # columns of a curve; a figure of this width shows no more
# Candidates for labels of the threshold axis. The axis is linear in log odds, since useful thresholds for a rare class
# are small.
_TICKS = (1e-6, 1e-5, 1e-4, 1e-3, 0.003, 0.01, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.99, 0.997, 0.999, 0.9999)
_WEIGHTS = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000)
_RATES = (0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1)


def styles(names: Iterable[str]) -> dict[str, str]:
    """A color for each curve, by its name in `PALETTE`; the last curve has the color of the focal loss."""
    given = list(names)
    last = [name for name in given if name != BASELINE][-1:]
    return {name: "baseline" if name == BASELINE else "focal" if [name] == last else "other" for name in given}


def curves(name: str, lines: dict[str, Curve], axes_names: tuple[str, str], floor: Floor, at: Place | None) -> Markup:
    """Precision-recall and ROC curves, and the line that no model gives, between two places. A ring over the axes marks
    the threshold, if `at` is given; the script moves it.
    """
    x, y = axes_names
    figure, axes = canvas(*WIDE, x, y)
    _unit_axes(axes)
    axes.plot(*zip(*floor, strict=True), color=PALETTE["muted"], linewidth=1, linestyle=(0, (3, 3)))
    for label, style in styles(lines).items():
        line = _thinned(lines[label])
        dashes = (0, _DASHES[style]) if _DASHES[style] else "-"
        axes.plot(line.x, line.y, color=PALETTE[style], linewidth=1.8, linestyle=dashes, clip_on=False)
    spoken = f"{_spoken(lines, x, y)} No model: from {floor[0][1]:.3g} to {floor[1][1]:.3g}."
    return inline(figure, name, spoken, viewport(*WIDE, _mark(name, at, "mark"), clipped=False))


def reliability(name: str, label: str, bins: Bins, style: str, limit: float) -> Markup:
    """The frequency of positives over the prediction, with its 95 % Wilson interval."""
    figure, axes = canvas(*SQUARE, "predicted", "share of positives")
    ticks = [tick for _, tick in _spaced(_RATES, lambda rate: math.sqrt(rate / limit))]
    for scale, bounds, place in (
        (axes.set_xscale, axes.set_xlim, axes.set_xticks),
        (axes.set_yscale, axes.set_ylim, axes.set_yticks),
    ):
        scale("function", functions=(_root, np.square))
        bounds(0, limit)
        place(ticks, [_plain(tick) for tick in ticks])
    axes.plot([0, limit], [0, limit], color=PALETTE["muted"], linewidth=1, linestyle=(0, (3, 3)))
    low, high = wilson(np.asarray(bins.frequency), np.asarray(bins.count))
    axes.vlines(bins.mean, low, high, color=PALETTE[style], linewidth=1.2)
    axes.plot(bins.mean, bins.frequency, color=PALETTE[style], linewidth=1.5)
    axes.scatter(bins.mean, bins.frequency, s=18, color=PALETTE[style], zorder=3)
    pairs = [
        f"{numbers.short(mean)} predicted, {numbers.short(rate)} happened"
        for mean, rate in zip(bins.mean, bins.frequency, strict=True)
    ]
    return inline(figure, name, f"Reliability of {label}: {'; '.join(pairs)}.")


def gamma(report: Report) -> Markup:
    """The trials by gamma, the best one ringed, and the best trial of cross-entropy as a line."""
    trials = [trial for trial in report.trials if math.isfinite(trial.score)]
    focal = [trial for trial in trials if trial.loss == "focal"]
    baseline = [trial for trial in trials if trial.loss != "focal"]
    upward = report.comparisons[0].higher_is_better
    figure, axes = canvas(*WIDE, "gamma", report.metric)
    low, high = _score_limits(trials, upward)
    axes.set_ylim(low, high)
    spoken = [f"{report.metric} of {len(focal)} trials with the focal loss"]
    if focal:
        x = [trial.gamma or 0.0 for trial in focal]
        axes.scatter(x, np.clip([t.score for t in focal], low, high), s=22, color=PALETTE["focal"], clip_on=False)
        top = _best(focal, upward)
        axes.scatter([top.gamma or 0.0], [top.score], s=90, facecolor="none", edgecolor=PALETTE["ink"], zorder=3)
        spoken.append(f"the best is {numbers.short(top.score, 4)} at gamma {numbers.short(top.gamma or 0.0)}")
    if baseline:
        level = _best(baseline, upward).score
        axes.axhline(level, color=PALETTE["baseline"], linewidth=1.8, linestyle=(0, _DASHES["baseline"]))
        spoken.append(f"the best of {len(baseline)} trials with cross-entropy {numbers.short(level, 4)}")
    axes.set_xlim(left=0)
    return inline(figure, "gamma", "; ".join(spoken) + ".")


def focus(report: Report) -> Markup | None:
    """The trials of focal loss by gamma and weight, in a stronger color the better; None unless both were searched."""
    trials = [t for t in report.trials if t.loss == "focal" and math.isfinite(t.score) and t.gamma is not None]
    if len({t.gamma for t in trials}) < 2 or len({t.pos_weight for t in trials}) < 2:
        return None
    upward = report.comparisons[0].higher_is_better
    scores = np.array([t.score if upward else -t.score for t in trials])
    rank = np.searchsorted(np.sort(scores), scores) / (len(scores) - 1)
    figure, axes = canvas(*WIDE, "gamma", "weight of positives")
    axes.set_yscale("log")
    weights = [t.pos_weight for t in trials]
    ticks = [tick for tick in _WEIGHTS if min(weights) / 1.5 <= tick <= max(weights) * 1.5]
    axes.set_yticks(ticks, [_plain(tick) for tick in ticks])
    axes.minorticks_off()
    shade = np.round(rank**2, 1)
    for level in np.unique(shade).tolist():
        some = [t for t, own in zip(trials, shade.tolist(), strict=True) if own == level]
        x, y = [t.gamma or 0.0 for t in some], [t.pos_weight for t in some]
        axes.scatter(x, y, s=30, color=PALETTE["focal"], alpha=0.12 + 0.88 * level, clip_on=False)
    top = _best(trials, upward)
    axes.scatter([top.gamma or 0.0], [top.pos_weight], s=90, facecolor="none", edgecolor=PALETTE["ink"], zorder=3)
    axes.set_xlim(left=0)
    spoken = (
        f"{len(trials)} trials by gamma and weight of positives; the best is at gamma {numbers.short(top.gamma or 0)}"
    )
    return inline(figure, "focus", f"{spoken} and weight {numbers.short(top.pos_weight)}.")


def history(report: Report) -> Markup:
    """The best score so far of each loss, over its trials."""
    upward = report.comparisons[0].higher_is_better
    best_of = np.maximum if upward else np.minimum
    figure, axes = canvas(*WIDE, "trials", f"best {report.metric} so far")
    spoken = []
    for loss, style in styles(LOSSES).items():
        given = sorted((t for t in report.trials if t.loss == loss), key=lambda t: t.number)
        scores = np.array([t.score for t in given if math.isfinite(t.score)])
        if not len(scores):
            continue
        dashes = (0, _DASHES[style]) if _DASHES[style] else "-"
        best = best_of.accumulate(scores)
        axes.step(range(1, len(best) + 1), best, where="post", color=PALETTE[style], linewidth=1.8, linestyle=dashes)
        axes.scatter([len(best)], [best[-1]], s=18, color=PALETTE[style], zorder=3)
        spoken.append(f"{loss}: {numbers.short(float(best[-1]), 4)} after {len(best)} trials")
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return inline(figure, "history", f"Best {report.metric} so far. {'; '.join(spoken) or 'No trials'}.")


def cost(report: Report, chosen: int) -> Markup:
    """Cost over threshold. The curve and the marks are laid over the axes, so that the script can draw them anew."""
    thresholds = report.outcomes.thresholds
    figure, axes = canvas(*WIDE, "threshold", "cost, as a share of the best cost without the model")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, numbers.CEILING)
    axes.axhline(1, color=PALETTE["muted"], linewidth=1, linestyle=(0, (3, 3)))
    ticks = list(_spaced(_TICKS, _axis_of(thresholds)))
    axes.set_xticks([place for place, _ in ticks], [_plain(tick) for _, tick in ticks])
    width, height = WIDE
    line = Element("polyline", {"class": "curve", "data-line": "cost"})
    cloth = viewport(width, height, line, clipped=True)
    across, down = float(cloth.get("width", "0")), float(cloth.get("height", "0"))
    relative_costs = numbers.relative_costs(report.outcomes, report.cost_fp, report.cost_fn)
    places = [(x, cost / numbers.CEILING) for x, cost in zip(positions(thresholds), relative_costs, strict=True)]
    line.set("points", " ".join(f"{x * across:.1f},{(1 - y) * down:.1f}" for x, y in places))
    marks = [
        _mark(name, (places[k][0], min(places[k][1], 1)), look)
        for name, k, look in (
            ("best", numbers.best(report.outcomes, report.cost_fp, report.cost_fn), "best"),
            ("cost", chosen, "mark"),
        )
    ]
    spoken = "Cost over threshold; the text beside it says what holds at the threshold that is chosen."
    return inline(figure, "cost", spoken, cloth, viewport(width, height, *marks, clipped=False))


def _mark(name: str, at: Place | None, look: str) -> Element:
    found = Element("circle", {"class": look, "data-mark": name, "r": "5" if look == "mark" else "4"})
    if at is None:
        found.set("data-off", "")
    else:
        found.set("cx", f"{100 * at[0]:.2f}%")
        found.set("cy", f"{100 * (1 - at[1]):.2f}%")
    return found


def positions(thresholds: Sequence[float]) -> list[float]:
    """The place of each threshold on its axis, from 0 to 1; thresholds with infinite log odds are at an end."""
    place = _axis_of(thresholds)
    return [round(min(max(place(threshold), 0.0), 1.0), 5) for threshold in thresholds]


def _axis_of(thresholds: Sequence[float]) -> Callable[[float], float]:
    inner = [x for x in map(_log_odds, thresholds) if math.isfinite(x)] or [0.0]
    low, high = min(inner) - 0.25, max(inner) + 0.25
    return lambda threshold: (_log_odds(threshold) - low) / (high - low)


def _log_odds(threshold: float) -> float:
    if not 0 < threshold < 1:
        return math.copysign(math.inf, threshold - 0.5)
    return math.log(threshold) - math.log1p(-threshold)


def _spaced(ticks: Iterable[float], place: Callable[[float], float]) -> Iterator[tuple[float, float]]:
    """The labels on the axis with their places, far enough apart that they do not touch."""
    last = -1.0
    for tick in ticks:
        x = place(tick)
        if 0 <= x <= 1 and x - last > 0.15:
            last = x
            yield x, tick


def _plain(tick: float) -> str:
    return f"{tick:.6f}".rstrip("0").rstrip(".")


def _root(x: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(x, 0))


def _unit_axes(axes: Axes) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_yticks(np.linspace(0, 1, 6))


def _thinned(curve: Curve) -> Curve:
    """The first, lowest, highest and last point in each column of the figure, which look like the whole curve."""
    low, high = min(curve.x), max(curve.x)
    scale = _COLUMNS / (high - low) if high > low else 0.0
    keep: list[int] = []
    for _, run in groupby(range(len(curve.x)), lambda k: int((curve.x[k] - low) * scale)):
        column = list(run)
        extremes = (min(column, key=curve.y.__getitem__), max(column, key=curve.y.__getitem__))
        keep.extend(sorted({column[0], *extremes, column[-1]}))
    return Curve([curve.x[k] for k in keep], [curve.y[k] for k in keep])


def _spoken(lines: dict[str, Curve], x: str, y: str) -> str:
    """A curve at a few places, in words."""
    found = []
    for label, curve in lines.items():
        order = np.argsort(curve.x, kind="stable")
        at = (0.1, 0.5, 0.9)
        heights = np.interp(at, np.asarray(curve.x)[order], np.asarray(curve.y)[order])
        places = ", ".join(f"{numbers.short(h)} at {place:g}" for place, h in zip(at, heights, strict=True))
        found.append(f"{label}: {places}")
    return f"{y} over {x}. {'; '.join(found)}."


def _best(trials: Sequence[Trial], upward: bool) -> Trial:
    return (max if upward else min)(trials, key=lambda trial: trial.score)


def _score_limits(trials: Sequence[Trial], upward: bool) -> tuple[float, float]:
    """Limits for all scores, except a few failures that would flatten the rest: these are drawn at the edge."""
    scores = np.asarray([trial.score for trial in trials] or [0.0, 1.0])
    first, middle, third = np.quantile(scores, [0.25, 0.5, 0.75])
    reach = 4 * (third - first) or math.inf
    low, high = scores.min(), scores.max()
    low, high = (max(low, middle - reach), high) if upward else (low, min(high, middle + reach))
    room = 0.08 * (high - low) or 0.01 * abs(high) or 1.0
    return float(low - room), float(high + room)
