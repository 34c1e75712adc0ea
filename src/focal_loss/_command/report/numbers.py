"""Numbers as text, by rules that the page's script repeats in JavaScript, and the sentences about a threshold."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Context, Decimal

from focal_loss._command.report.data import Comparison, Outcomes

__all__ = [
    "CEILING",
    "NOTHING",
    "at",
    "best",
    "bound",
    "costs",
    "decimals",
    "fixed",
    "relative_costs",
    "short",
    "signed",
]

NOTHING = "–"
CEILING = 1.5  # top of a cost chart, as a multiple of the cost without a model
_EXACT = Context(prec=400)


def fixed(x: float, decimals: int) -> str:
    """`x` with `decimals` digits after the point; ties round up, as in JavaScript's `toFixed`."""
    if not math.isfinite(x):
        return NOTHING
    return f"{Decimal(x).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP, _EXACT):,f}"


def short(x: float, digits: int = 3) -> str:
    """`x` to three digits or the nearest whole number, whichever is more, without zeros at the end."""
    if not math.isfinite(x):
        return NOTHING
    text = fixed(x, min(max(digits - 1 - Decimal(x).adjusted(), 0), 12) if x else 0)
    return text.rstrip("0").rstrip(".") if "." in text else text


def signed(x: float, decimals: int) -> str:
    """A difference with its sign, or without one where it rounds to 0."""
    text = fixed(abs(x), decimals)
    if not text.strip("0.,") or text == NOTHING:
        return text
    return ("−" if x < 0 else "+") + text


def bound(x: float, decimals: int) -> str:
    """An end of an interval with its sign, in as many more digits as it takes to be on its side of 0."""
    while math.isfinite(x) and x and not signed(x, decimals).strip("+−0.,"):
        decimals += 1
    return signed(x, decimals)


def decimals(comparison: Comparison) -> int:
    """The number of decimals that leaves two digits of the interval's width: more would be noise."""
    width = comparison.high - comparison.low
    if not (math.isfinite(width) and width > 0):
        return 4
    return min(max(1 - math.floor(math.log10(width)), 2), 6)


def costs(outcomes: Outcomes, cost_fp: float, cost_fn: float) -> list[float]:
    return [cost_fp * fp + cost_fn * fn for fp, fn in zip(outcomes.fp, outcomes.fn, strict=True)]


def relative_costs(outcomes: Outcomes, cost_fp: float, cost_fn: float) -> list[float]:
    """The cost at each threshold over that of the better of two policies that need no model: flag all, flag none."""
    positives, negatives = outcomes.tp[0] + outcomes.fn[0], outcomes.fp[0] + outcomes.tn[0]
    without = min(cost_fp * negatives, cost_fn * positives)
    return [cost / without for cost in costs(outcomes, cost_fp, cost_fn)]


def best(outcomes: Outcomes, cost_fp: float, cost_fn: float) -> int:
    """The position of the least cost, the first of several."""
    found = costs(outcomes, cost_fp, cost_fn)
    return found.index(min(found))


def at(outcomes: Outcomes, index: int, cost_fp: float, cost_fn: float) -> dict[str, str]:
    """Everything that the page says about one threshold, and about the one of least cost."""
    tp, fp, fn, tn = (getattr(outcomes, name)[index] for name in ("tp", "fp", "fn", "tn"))
    found, least = costs(outcomes, cost_fp, cost_fn), best(outcomes, cost_fp, cost_fn)
    return {
        "threshold": short(outcomes.thresholds[index]),
        **{name: short(value) for name, value in (("tp", tp), ("fp", fp), ("fn", fn), ("tn", tn))},
        "flagged": short(tp + fp),
        "positives": short(tp + fn),
        "precision": fixed(tp / (tp + fp), 3) if tp + fp else NOTHING,
        "recall": fixed(tp / (tp + fn), 3),
        "cost": short(found[index]),
        "per_thousand": short(1000 * found[index] / (tp + fp + fn + tn)),
        "relative_cost": fixed(relative_costs(outcomes, cost_fp, cost_fn)[index], 3),
        "best_threshold": short(outcomes.thresholds[least]),
        "best_cost": short(found[least]),
        "expected_threshold": short(cost_fp / (cost_fp + cost_fn)),
        "cost_fp": short(cost_fp),
        "cost_fn": short(cost_fn),
    }
