"""Values and slopes of a loss by its closed forms in float64, and their picture as SVG."""

from __future__ import annotations

import math
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from focal_loss._core.declare import REQUIRED, Loss
from focal_loss._host import evaluate
from focal_loss._host.backend import FORMULA

Floats = NDArray[np.float64]


class Form(type(FORMULA)):  # type: ignore[misc]
    """NumPy as a backend without kernels, whose closed forms are those of one derivative."""

    def __init__(self, index: str) -> None:
        self.index = index

    def fused_binary(self, call: Any) -> None: ...

    def fused_softmax(self, call: Any) -> None: ...

    def elementwise(self, family: str, *arguments: Any) -> Any:
        return evaluate.elementwise(family, self.index, *arguments)


VALUE, SLOPE = Form(""), Form("0")


def required(loss: Loss) -> dict[str, float]:
    """A value for each option without a default: the gamma of the examples."""
    return {name: 2.0 for name, (_, default) in loss.options.declared().items() if default is REQUIRED}


def computed(form: Form, loss: Loss, label: float, z: Floats, **options: float) -> Floats:
    """The loss or its slope at logits of one label. In a softmax of two classes the logit is the margin."""
    spec = loss.options(**(required(loss) | options | {"from_logits": True}))
    y: Any = np.full_like(z, label)
    x = z
    if loss.layout in ("dense", "sparse"):
        x = np.stack([np.zeros_like(z), z], -1)
        y = np.ones(z.shape, int) if loss.layout == "sparse" else np.array([0.0, 1.0])
    if loss.layout == "average":
        x, y = z[:, None], y[:, None]
    return np.asarray(loss.compute(form, y if loss.labeled else None, x, spec))


# ---------------------------------------------------------------------------------------------------------------
# The picture: a column for each label, the loss above the size of its slope
# ---------------------------------------------------------------------------------------------------------------

Z = np.arange(-24, 25) / 4
WIDTH, HEIGHT, GAP, LEFT, TOP = 230, 150, 34, 40, 56  # of a panel, between panels, and of the margins
ROW = HEIGHT + 74
# Colors and grays that can be read on a white page and on a black one; dashes for those who see no colors.
COLORS = ("#3b7dd8", "#c2691c", "#2f9e68", "#a259c9")
DASHES = ("", "7 3", "2 3", "9 3 2 3")
GRAY = "#767f88"


def ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers that span the values."""
    reach = max(high, 0.0) - min(low, 0.0)
    unit = 10.0 ** math.floor(math.log10(reach / 3))
    step = next(unit * k for k in (1, 2, 5, 10) if reach / (unit * k) <= 4.5)
    first, last = math.floor(min(low, 0.0) / step + 1e-9), math.ceil(max(high, 0.0) / step - 1e-9)
    return [k * step for k in range(first, last + 1)]


def number(x: float) -> str:
    return f"{x:.1f}".removesuffix(".0")


def words(x: float, y: float, text: str, anchor: str = "start", color: str = GRAY) -> str:
    return f'<text x="{number(x)}" y="{number(y)}" text-anchor="{anchor}" fill="{color}">{escape(text)}</text>\n'


def rule(x1: float, y1: float, x2: float, y2: float, strong: bool) -> str:
    ends = "M{} {}L{} {}".format(*map(number, (x1, y1, x2, y2)))
    return f'<path d="{ends}" stroke="{GRAY}" stroke-opacity="{0.8 if strong else 0.25}"/>\n'


def dashed(dash: str) -> str:
    return f' stroke-dasharray="{dash}"' if dash else ""


def panel(x: float, y: float, marks: list[float], lines: list[Floats], first: bool) -> str:
    """One pair of axes with its lines; the numbers of the vertical one stand at the first panel of a row."""
    low, high = marks[0], marks[-1]
    across = [x + WIDTH * (z + 6) / 12 for z in (-6, -3, 0, 3, 6)]
    drawn = "".join(rule(a, y, a, y + HEIGHT, False) for a in across)
    drawn += "".join(
        words(a, y + HEIGHT + 16, f"{z}", "middle") for a, z in zip(across, (-6, -3, 0, 3, 6), strict=True)
    )

    def place(value: Any) -> Any:
        return y + HEIGHT * (high - value) / (high - low)

    for mark in marks:
        drawn += rule(x, place(mark), x + WIDTH, place(mark), mark == 0)
        drawn += words(x - 6, place(mark) + 4, f"{mark:g}", "end") if first else ""
    for values, color, dash in zip(lines, COLORS, DASHES, strict=False):
        points = zip(x + WIDTH * (Z + 6) / 12, place(values), strict=True)
        path = "L".join(f"{number(a)} {number(b)}" for a, b in points)
        drawn += f'<path d="M{path}" fill="none" stroke="{color}" stroke-width="2"{dashed(dash)}/>\n'
    return drawn


def heading(loss: Loss, label: float) -> str:
    if loss.layout in ("dense", "sparse"):
        return "margin of the true class"
    return f"logit, label {label:g}" if loss.labeled else "logit"


def key(loss: Loss) -> str:
    """The line of each value of the option, above the panels."""
    drawn, at = "", LEFT
    for value, color, dash in zip(loss.curve.values, COLORS, DASHES, strict=False):
        text = f"{loss.curve.option} {value:g}"
        drawn += f'<path d="M{at} 12h26" stroke="{color}" stroke-width="2"{dashed(dash)}/>\n'
        drawn += words(at + 32, 16, text)
        at += 48 + 7 * len(text)
    return drawn


def picture(loss: Loss, title: str) -> str:
    """The SVG of a loss. With one label the slope stands beside the loss, else below."""
    curve, drawn = loss.curve, key(loss)
    across = len(curve.labels) == 1
    for k, (form, name) in enumerate(((VALUE, "loss" if loss.labeled else "cost"), (SLOPE, "size of the slope"))):
        columns = [
            [computed(form, loss, label, Z, **{curve.option: value}) for value in curve.values]
            for label in curve.labels
        ]
        columns = [[np.abs(line) for line in lines] for lines in columns] if k else columns
        values = np.concatenate([line for lines in columns for line in lines])
        marks = ticks(float(values.min()), float(values.max()))
        for column, (label, lines) in enumerate(zip(curve.labels, columns, strict=True)):
            x, y = (LEFT + k * (WIDTH + 2 * GAP), TOP) if across else (LEFT + column * (WIDTH + GAP), TOP + k * ROW)
            drawn += panel(x, y, marks, lines, column == 0)
            drawn += words(x + WIDTH, y + HEIGHT + 32, heading(loss, label), "end")
            drawn += words(x, y - 10, name) if column == 0 else ""
    width = LEFT + (2 * (WIDTH + 2 * GAP) if across else len(curve.labels) * (WIDTH + GAP))
    height = TOP + (1 if across else 2) * ROW - 10
    style = 'font-family="system-ui, sans-serif" font-size="12"'
    box = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img" {style}>\n'
    return f"{head}<title>{escape(title)}</title>\n{drawn}</svg>\n"
