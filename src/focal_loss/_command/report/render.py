"""From a report to one HTML file that needs no other file and no network, and runs no script but its own."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from focal_loss._command.report import figures, numbers, swarm
from focal_loss._command.report.data import Comparison, Report
from focal_loss._command.report.svg import speakable

__all__ = ["render"]

_HERE = Path(__file__).parent
_FEATURES = 20  # most features shown


def render(report: Report) -> str:
    """The page, as HTML. Every name and value of the report is escaped: it appears as text.

    Raises
    ------
    ValueError
        If a cost is not positive, there is no comparison or no threshold, or a number for the script is not finite.
    """
    _check(report)
    outcomes = report.outcomes
    chosen = min(range(len(outcomes.thresholds)), key=lambda k: abs(outcomes.thresholds[k] - report.threshold))
    style, script = (Markup((_HERE / name).read_text("utf-8")) for name in ("page.css", "page.js"))
    page = _environment().get_template("page.html.j2")
    return page.render(
        report=report,
        style=style,
        script=script,
        style_hash=_digest(style),
        script_hash=_digest(script),
        comparisons=[_compared(comparison) for comparison in report.comparisons],
        better="Higher" if report.comparisons[0].higher_is_better else "Lower",
        data=_data(report),
        chosen=chosen,
        shown=numbers.at(outcomes, chosen, report.cost_fp, report.cost_fn),
        features=_features(report.importance),
        swarms=list(zip(report.swarms, swarm.drawn(report.swarms), strict=True)),
        reach=numbers.short(swarm.reach(report.swarms)),
        hidden_features=max(len(report.importance) - _FEATURES, 0),
        **_figures(report, chosen),
    )


def _check(report: Report) -> None:
    for name in ("cost_fp", "cost_fn"):
        if not getattr(report, name) > 0:
            raise ValueError(f"`{name}` must be a positive number, got {getattr(report, name)}")
    for name, found in (("comparisons", report.comparisons), ("outcomes.thresholds", report.outcomes.thresholds)):
        if not found:
            raise ValueError(f"`{name}` must not be empty")
    tp, fp, fn, tn = (getattr(report.outcomes, name)[0] for name in ("tp", "fp", "fn", "tn"))
    if not (tp + fn and fp + tn):
        raise ValueError("`outcomes` must count positives and negatives")


def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_speakable,
    )
    found.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return found


def _speakable(value: Any) -> Any:
    return speakable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _digest(text: str) -> str:
    """The digest by which the page's content security policy allows its one style sheet and its one script."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _figures(report: Report, chosen: int) -> dict[str, Any]:
    tp, fp, fn, tn = (getattr(report.outcomes, name)[chosen] for name in ("tp", "fp", "fn", "tn"))
    found, alarmed = tp / (tp + fn), fp / (fp + tn)
    right = (found, tp / (tp + fp)) if tp + fp else None
    positives = (tp + fn) / (tp + fp + fn + tn)
    level, diagonal = ((0.0, positives), (1.0, positives)), ((0.0, 0.0), (1.0, 1.0))
    rates = ("false positive rate", "true positive rate")
    limit = max((x for bins in report.reliability.values() for x in (*bins.mean, *bins.frequency)), default=1.0)
    limit = min(1.08 * limit, 1.02) or 1.0
    looks = figures.styles(report.reliability)
    return {
        "looks": figures.styles,
        "precision_recall": figures.curves("pr", report.precision_recall, ("recall", "precision"), level, right),
        "roc": figures.curves("roc", report.roc, rates, diagonal, (alarmed, found)),
        "reliability": [
            (name, figures.reliability(f"reliability{k}", name, bins, looks[name], limit))
            for k, (name, bins) in enumerate(report.reliability.items())
        ],
        "gamma": figures.gamma(report),
        "focus": figures.focus(report),
        "history": figures.history(report),
        "losses": figures.LOSSES,
        "cost": figures.cost(report, chosen),
    }


def _compared(comparison: Comparison) -> dict[str, Any]:
    """A row of the table. In its picture focal is better to the right, whichever way the metric runs."""
    places = numbers.decimals(comparison)
    difference = comparison.difference
    sign = 1 if comparison.higher_is_better else -1
    low, high = sorted((sign * comparison.low, sign * comparison.high))
    reach = max(abs(low), abs(high), abs(difference)) or 1.0
    middle = sign * difference
    return {
        "name": comparison.name,
        "models": {
            name: [numbers.fixed(x, places) for x in (found.value, found.low, found.high)]
            for name, found in comparison.models.items()
        },
        "floor": numbers.fixed(comparison.floor, places),
        "difference": numbers.signed(difference, places),
        "low": numbers.bound(comparison.low, places),
        "high": numbers.bound(comparison.high, places),
        "verdict": "focal better" if low > 0 else "focal worse" if high < 0 else "no difference shown",
        "places": [f"{50 + 46 * x / reach:.1f}%" for x in (low, middle, high)],
        "better": "higher" if comparison.higher_is_better else "lower",
    }


def _data(report: Report) -> dict[str, Any]:
    """The data of the script: counts, the thresholds, as numbers and as text, and their places on the axis."""
    outcomes = report.outcomes
    return {
        "exact": outcomes.thresholds,
        "thresholds": [numbers.short(threshold) for threshold in outcomes.thresholds],
        "positions": figures.positions(outcomes.thresholds),
        "ceiling": numbers.CEILING,
        **{name: getattr(outcomes, name) for name in ("tp", "fp", "fn", "tn")},
    }


def _features(importance: list[tuple[str, float]]) -> list[dict[str, str]]:
    first = importance[:_FEATURES]
    most = max((value for _, value in first), default=0.0)
    return [
        {
            "name": name,
            "value": numbers.short(value),
            "width": f"{100 * max(value, 0) / most if most > 0 else 0:.1f}%",
        }
        for name, value in first
    ]
