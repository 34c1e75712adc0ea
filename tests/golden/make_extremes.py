"""Golden numbers outside the usual range, by the rows of make_golden.py.

    python tests/golden/make_extremes.py

It writes extremes.json beside itself: the sections of golden.json whose names they have, with gamma to 1e300, weights
from 1e-300 to 5e299, labels from 1e-300 and logits to the largest float64. "single": whether logits and labels are
exact in float32. Where a step of 1e-116 is too large it takes more digits.
"""

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from make_golden import LARGEST, Row, binary_row, both_signs, dense_row, dump, float32, mp, p_t_loss_row, softmax_row

MOST = float(np.finfo(np.float64).max)
EXTREME_GAMMAS = (20.0, 100.0, 1e3, 1e18, 1e300)
EXTREME_LOGITS = both_signs((1e-4, 0.5, 20, 87, 104, 690, LARGEST))
END_LOGITS = [0.5, -20.0, 20.0, LARGEST, -LARGEST, MOST, -MOST]
EXTREME_LABELS = (1.0, 0.0, 0.25, float32(1e-39), 1e-300)
# Where log1p of a negative number is taken, and XLA's is 120 eps off.
LOG1P_LOGITS = [sign * z for z in (0.77, 0.8, 0.84375, 0.8727854127633514, 0.8814) for sign in (1.0, -1.0)]


def exact_in(name: str, *inputs: float) -> bool:
    with np.errstate(over="ignore", under="ignore"):
        return all(float(getattr(np, name)(x)) == x for x in inputs)


def extreme_row(make: Callable[..., Row], inputs: tuple[Any, ...], gamma: float, *numbers: float) -> Row:
    """A row, and whether its `numbers`, logits and labels, are exact in float32."""
    # A power with an exponent of 1e300 takes a step of 1e-400, as does one of a base as small.
    with mp.workdps(1200 if max(gamma, *map(abs, numbers)) > 1e100 else 600):
        return {**make(*inputs), "single": exact_in("float32", *numbers)}


def binary_extremes() -> Iterator[Row]:
    points = [
        *product(EXTREME_GAMMAS, (1.0, 0.0, 0.25, float32(1e-39)), (1.0,), EXTREME_LOGITS),
        *product((0.0, 2.0, 1e3), EXTREME_LABELS, (1e-300, 1e30, 5e299), END_LOGITS),
        *product((0.0, 0.3, 1e300), EXTREME_LABELS, (1.0,), (MOST, -MOST)),
        *product((2.0, 7.3, 10.0), (1.0, 0.0, 0.25), (1.0,), LOG1P_LOGITS),
    ]
    for gamma, y, w, z in points:
        yield extreme_row(binary_row, (gamma, y, w, z), gamma, z, y)


def p_t_loss_extremes() -> Iterator[Row]:
    points = [
        *product((0.3, *EXTREME_GAMMAS), (1.0, 0.0, 0.25, float32(1e-39)), (None,), EXTREME_LOGITS),
        *product((0.0, 0.5, 2.0, 1e3), EXTREME_LABELS, (1e-300, 0.25), END_LOGITS),
        *product((0.0, 0.3, 1e300), EXTREME_LABELS, (None,), (MOST, -MOST)),
        *product((7.3, 10.0), (0.25,), (None,), LOG1P_LOGITS),
    ]
    for gamma, y, alpha, z in points:
        yield extreme_row(p_t_loss_row, (gamma, y, alpha, z), gamma, z, y)


def softmax_extremes() -> Iterator[Row]:
    shapes = ([1.0, 0.0, -1.0], [40.0, 0.0, -40.0], [100.0, -100.0, 3.0], [LARGEST, -LARGEST, 0.0])
    for v, t, gamma in product(shapes, range(3), EXTREME_GAMMAS):
        yield extreme_row(softmax_row, (v, t, gamma, 1.0), gamma, *v)
    for v, t, gamma, w in product(shapes, range(3), (0.0, 2.0), (1e-300, 1e-30, 1e30, 5e299)):
        yield extreme_row(softmax_row, (v, t, gamma, w), gamma, *v)


def dense_extremes() -> Iterator[Row]:
    v, far, ends = [1.0, 0.0, -1.0], [40.0, 0.0, -40.0], [LARGEST, -LARGEST, 0.0]
    small, ones = float32(1e-39), [1.0] * 3
    for logits, gamma in product((v, far, ends), EXTREME_GAMMAS):
        yield extreme_row(dense_row, (logits, [0.5, 0.25, 0.25], [gamma] * 3, ones), gamma, *logits)
    for logits, y in product((v, ends), ([small, small, 0.5], [1.0, small, 0.0])):
        yield extreme_row(dense_row, (logits, y, [2.0, 0.0, 0.3], ones), 2.0, *logits, *y)
        yield extreme_row(dense_row, (logits, y, [2.0, 0.0, 0.3], [1e-30, 1e30, 1e-30]), 2.0, *logits, *y)


def main() -> None:
    sections = {
        "binary_extremes": list(binary_extremes()),
        "p_t_loss_extremes": list(p_t_loss_extremes()),
        "softmax_extremes": list(softmax_extremes()),
        "dense_extremes": list(dense_extremes()),
    }
    Path(__file__).with_name("extremes.json").write_text(dump(sections), encoding="utf-8")


if __name__ == "__main__":
    main()
