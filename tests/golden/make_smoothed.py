"""Golden numbers for class indices under label smoothing, made with the tools of make_golden.py.

    python tests/golden/make_smoothed.py

It writes smoothed.json beside itself.

smoothed
    sum over j of w_j y_j q_j^g_j (-log p_j) of logits v with true class t, where y_j = (1 - a) [j = t] + a / K and a is
    the smoothing: value and gradient.
"""

import random
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from make_golden import LARGEST, Row, dense_row, dump, is_half, make_row, mpf, require, sixty_fourths

Point = tuple[list[float], int, float, list[float], list[float]]


def points() -> Iterator[Point]:
    """Logits, true class, smoothing, gamma per class, weight per class."""
    source = random.Random(20151202)
    ones, twos = [1.0] * 3, [2.0] * 3
    yield [1.0, 0.0, -1.0], 0, 0.1, twos, ones
    yield [1.0, 0.0, -1.0], 2, 1.0, [0.0, 0.5, 7.3], [2.5, 1.0, 0.25]
    for v, t, gamma in product(([20.0, 0.0, -20.0], [-100.0, 0.0, 3.0]), (0, 2), (0.0, 0.5, 2.0)):
        yield v, t, 0.1, [gamma] * 3, ones
    yield [1e4, -1e4, 0.0], 1, 0.1, twos, ones
    yield [LARGEST, 0.0, 0.0], 0, 0.1, twos, ones
    for limit, smoothing in product((3, 12), (0.1, 1.0)):
        gammas = [source.choice((0.0, 0.1, 0.5, 1.0, 2.0, 2.5, 5.0, 7.3)) for _ in range(10)]
        weights = [source.choice((0.25, 1.0, 2.5)) for _ in range(10)]
        yield sixty_fourths(source, 10, limit), source.randrange(10), smoothing, gammas, weights


def row(v: list[float], t: int, smoothing: float, gamma: list[float], w: list[float]) -> Row:
    a, size = mpf(smoothing), len(v)
    labels = [(1 - a) * (j == t) + a / size for j in range(size)]
    require(abs(sum(labels) - 1) < mpf(10) ** -300, "the labels sum to 1")
    dense = dense_row(v, labels, gamma, w)
    inputs = {"v": v, "t": t, "smoothing": smoothing, "size": size, "gamma": gamma, "w": w}
    return make_row(inputs, is_half(*v, *w), {name: dense[name] for name in ("value", "gradient", "scale")})


def main() -> None:
    target = Path(__file__).with_name("smoothed.json")
    target.write_text(dump({"smoothed": [row(*point) for point in points()]}), encoding="utf-8")


if __name__ == "__main__":
    main()
