"""Golden numbers for posteriors and scores, made with mpmath alone; nothing of the tested package is imported here.

Run from the repository root (needs mpmath and numpy; about a minute):

    python tests/golden/make_posterior.py

It writes posterior.json beside itself. A posterior is what its definition says, never a closed form: the label
distribution under which the expected focal loss is stationary at the given score, with derivatives of the loss as
central differences. The inverse is a root of that, and derivatives of either are central differences once more.
Numbers published elsewhere are only compared: the script writes nothing if one disagrees.

Inputs are JSON numbers, results decimal strings of 25 significant digits, "0.0" below 1e-5000.

posterior
    of a logit z, gamma and weight w of the positives: value and derivatives in z, gamma and w.
posterior_of_score, score_of_posterior
    of a probability x: value and derivative in x.
softmax
    of logits v, gamma and w per class: the posteriors, and the gradient in v of their sum weighed by 1, 2, 3, ...
"""

import json
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from mpmath import mp, mpf

Row = dict[str, Any]

mp.dps = 350
STEP = mpf(10) ** -70
OUTER = mpf(10) ** -30  # step of a difference between numbers that are differences themselves
TINY = mpf(10) ** -5000


def difference(function: Callable[[mpf], mpf], x: mpf, step: mpf = STEP) -> mpf:
    return (function(x + step) - function(x - step)) / (2 * step)


def text(x: mpf) -> str:
    return "0.0" if abs(x) < TINY else mp.nstr(x, 25)


def loss(s: mpf, gamma: mpf) -> mpf:
    """The loss of a hard label with margin s: (1 - p)^gamma (-log p), p = sigmoid(s)."""
    return (1 / (1 + mp.exp(s))) ** gamma * mp.log1p(mp.exp(-s))


def posterior(z: mpf, gamma: mpf, w: mpf) -> mpf:
    """The e with d/dz [ e w loss(z) + (1 - e) loss(-z) ] = 0."""
    positive = w * difference(lambda u: loss(u, gamma), z)
    negative = difference(lambda u: loss(-u, gamma), z)
    return negative / (negative - positive)


def score(e: mpf, gamma: mpf, w: mpf) -> mpf:
    """The p with this posterior: a root in the logit, between the odds that gamma = 0 and a large gamma give."""

    def log_odds(z: mpf) -> mpf:
        positive = -w * difference(lambda u: loss(u, gamma), z)
        negative = difference(lambda u: loss(-u, gamma), z)
        return mp.log(negative / positive) - target

    target = mp.log(e) - mp.log1p(-e)
    start = (target + mp.log(w)) / (1 + gamma)
    z = mp.findroot(log_odds, (start, start + mpf("0.01")), solver="secant", tol=mpf(10) ** -400, verify=False)
    if abs(posterior(z, gamma, w) / e - 1) > mpf(10) ** -60:
        raise AssertionError(f"no root for {e}, {gamma}, {w}")
    return 1 / (1 + mp.exp(-z))


def softmax_posterior(v: list[mpf], gamma: list[mpf], w: list[mpf]) -> list[mpf]:
    """The e of sum 1 with d/dv_j sum_k e_k w_k loss(s_k) = 0 for every j, of which the last follows from the others."""
    size = range(len(v))

    def term(k: int, j: int) -> mpf:
        def along(u: mpf) -> mpf:
            moved = [u if i == j else x for i, x in enumerate(v)]
            rest = mp.fsum(mp.exp(x) for i, x in enumerate(moved) if i != k)
            return w[k] * loss(moved[k] - mp.log(rest), gamma[k])

        return difference(along, v[j])

    matrix = mp.matrix([[term(k, j) for k in size] for j in size[:-1]] + [[mpf(1)] * len(v)])
    return list(mp.lu_solve(matrix, mp.matrix([0] * (len(v) - 1) + [1])))


def float32(x: float) -> float:
    return float(np.float32(x))


GAMMAS = (0.0, 0.3, 1.0, 2.0, 5.0, 10.0)
WEIGHTS = (1.0, 0.25, 3.0)
LOGITS = [0.0, *(s * float32(m) for m in (1e-6, 0.1, 0.5, 1, 2.5, 8, 20, 60, 300) for s in (1, -1))]
SCORES = [float32(x) for x in (1e-30, 1e-6, 0.1, 0.25, 0.5, 0.7, 0.999, 1 - 2.0**-20, 1 - 2.0**-24)]
POSTERIORS = [1e-300, 1e-100, *SCORES, 1 - 2.0**-53]
SOFTMAX = [
    ([0.0, 0.0], [2.0, 2.0], [1.0, 1.0]),
    ([1.0, -2.5], [0.5, 0.5], [1.0, 3.0]),
    ([1.0, 0.0, -1.0], [2.0] * 3, [1.0] * 3),
    ([1.0, 0.0, -1.0], [0.0] * 3, [0.25, 1.0, 3.0]),
    ([30.0, 0.0, -30.0], [2.0] * 3, [1.0] * 3),
    ([8.0, 7.5, -4.0, 0.25], [0.0, 0.3, 2.0, 5.0], [1.0, 0.25, 3.0, 1.0]),
    ([0.125, 0.25, -0.5, 1.5, 2.0], [10.0] * 5, [1.0] * 5),
]


def binary_rows() -> Iterator[Row]:
    for z, gamma, w in product(LOGITS, GAMMAS, WEIGHTS):
        x, g, weight = mpf(z), mpf(gamma), mpf(w)
        yield {
            "z": z,
            "gamma": gamma,
            "w": w,
            "value": text(posterior(x, g, weight)),
            "dz": text(difference(lambda u: posterior(u, g, weight), x, OUTER)),  # noqa: B023
            "dgamma": text(difference(lambda u: posterior(x, u, weight), g, OUTER)),  # noqa: B023
            "dw": text(difference(lambda u: posterior(x, g, u), weight, OUTER)),  # noqa: B023
        }


def probability_rows(function: Callable[[mpf, mpf, mpf], mpf], points: list[float]) -> Iterator[Row]:
    for x, gamma, w in product(points, GAMMAS, WEIGHTS):
        e, g, weight = mpf(x), mpf(gamma), mpf(w)
        step = min(e, 1 - e) * OUTER
        slope = difference(lambda u: function(u, g, weight), e, step)  # noqa: B023
        yield {"x": x, "gamma": gamma, "w": w, "value": text(function(e, g, weight)), "dx": text(slope)}


def of_score(x: mpf, gamma: mpf, w: mpf) -> mpf:
    return posterior(mp.log(x / (1 - x)), gamma, w)


def softmax_rows() -> Iterator[Row]:
    for v, gamma, w in SOFTMAX:
        logits, g, weight = ([mpf(x) for x in values] for values in (v, gamma, w))

        def weighed(u: mpf, j: int) -> mpf:
            moved = [u if i == j else x for i, x in enumerate(logits)]  # noqa: B023
            return mp.fsum((k + 1) * e for k, e in enumerate(softmax_posterior(moved, g, weight)))  # noqa: B023

        gradient = [difference(lambda u, j=j: weighed(u, j), logits[j], OUTER) for j in range(len(v))]
        found = softmax_posterior(logits, g, weight)
        yield {
            "v": v,
            "gamma": gamma,
            "w": w,
            "value": [text(e) for e in found],
            "gradient": [text(d) for d in gradient],
        }


def check_known_numbers() -> None:
    """Pairs of posterior and score worked out elsewhere, to the digits printed there."""
    known = {
        1.0: (".01 .15362", ".1 .30579", ".3 .42152", ".6 .53780", ".95 .74979"),
        1 / 3: (".01 .10838", ".1 .22659", ".3 .32600", ".6 .43562", ".95 .66575"),
    }
    for w, pairs in known.items():
        for e, p in (pair.split() for pair in pairs):
            found = score(mpf(e), mpf(2), mpf(w))
            if abs(found - mpf(p)) > mpf("0.5e-5"):
                raise AssertionError(f"the score of {e} is {mp.nstr(found, 8)}, not {p}")
    three = softmax_posterior([mp.log(mpf(p)) for p in (".53517", ".29269", ".17214")], [mpf(2)] * 3, [mpf(1)] * 3)
    if max(abs(a - mpf(b)) for a, b in zip(three, (".7", ".2", ".1"), strict=True)) > mpf("2e-5"):
        raise AssertionError(f"three classes: {three}")


def main() -> None:
    check_known_numbers()
    sections = {
        "posterior": list(binary_rows()),
        "posterior_of_score": list(probability_rows(of_score, SCORES)),
        "score_of_posterior": list(probability_rows(score, POSTERIORS)),
        "softmax": list(softmax_rows()),
    }
    parts = []
    for name, rows in sections.items():
        lines = ",\n".join(json.dumps(row, separators=(",", ":"), allow_nan=False) for row in rows)
        parts.append(f'"{name}": [\n{lines}\n]')
    Path(__file__).with_name("posterior.json").write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
