"""The swarm of a feature: a dot for each row, placed by what the feature adds to the score, colored by its value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from markupsafe import Markup

from focal_loss._command.report import numbers
from focal_loss._command.report.data import Swarm

__all__ = ["drawn", "reach"]

WIDTH, HEIGHT, DOT = 600, 34, 4  # in units of the view box
_LOW, _HIGH = 1 / 3, 2 / 3  # ranks of the values where the colors change
_STYLES = ("baseline", "line", "focal", "muted")  # low, middle, high, without order


def drawn(swarms: Sequence[Swarm]) -> list[Markup]:
    """One SVG for each swarm, all over the same axis, on which 0 has a line."""
    return [_one(swarm, reach(swarms)) for swarm in swarms]


def reach(swarms: Sequence[Swarm]) -> float:
    """The length of the axis to each side of 0."""
    return max((abs(x) for swarm in swarms for x in swarm.added), default=0.0) or 1.0


def _one(swarm: Swarm, most: float) -> Markup:
    """Rows of about one place are stacked, above and below the middle in turns."""
    columns = [round((WIDTH / 2 + (WIDTH / 2 - DOT) * x / most) / DOT) for x in swarm.added]
    stacks = Counter(columns)
    step = min(float(DOT), (HEIGHT - DOT) / max(stacks.values(), default=1))
    height: Counter[int] = Counter()
    paths: dict[str, list[str]] = {style: [] for style in _STYLES}
    for column, rank in zip(columns, swarm.ranks, strict=True):
        k = height[column]
        height[column] += 1
        y = HEIGHT / 2 + (-1) ** k * ((k + 1) // 2) * step
        paths[_style(rank)].append(f"M{column * DOT} {y:.1f}h0")
    lines = "".join(f'<path class="stroke-{style}" d="{"".join(dots)}"/>' for style, dots in paths.items() if dots)
    middle = f'<path class="zero stroke-muted" d="M{WIDTH / 2:g} 0v{HEIGHT}"/>'
    low, high = (numbers.signed(end(swarm.added), 2) for end in (min, max))
    box = f'class="swarm" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="adds {low} to {high}"'
    return Markup(f"<svg {box}>{middle}{lines}</svg>")


def _style(rank: float | None) -> str:
    if rank is None:
        return "muted"
    return "baseline" if rank < _LOW else "focal" if rank > _HIGH else "line"
