"""Golden numbers for the majorizer of the Hessian, made with mpmath alone; see make_golden.py for the conventions.

    python tests/golden/make_majorizer.py

The majorizer is the second derivative of q^g (-log p) in the margin, by central differences of that definition, with
its one negative term -g p q^(g+1) (-log p) taken out. In a softmax it stands in the diagonal of the Hessian in place
of the second derivative in the margin of the true class.
"""

import json
from itertools import product
from pathlib import Path

from mpmath import mp, mpf

mp.dps = 200
STEP = mpf(10) ** -50
GAMMAS = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 0.3, 7.25, 9.75)
LOGITS = (-80.0, -30.0, -8.5, -3.0, -1.0, -0.125, 0.0, 0.125, 1.0, 3.0, 8.5, 30.0)
SOFTMAX = ((1.0, 0.0, -1.0), (0.0, 0.0), (-9.5, 2.0, 2.0, 0.25), (30.0, -4.0, 1.5), (0.5, 20.0, -20.0, 19.5, 3.0))


def value(s: mpf, gamma: mpf) -> mpf:
    return (1 / (1 + mp.exp(s))) ** gamma * mp.log1p(mp.exp(-s))


def majorizer(s: mpf, gamma: mpf) -> mpf:
    second = (value(s + STEP, gamma) - 2 * value(s, gamma) + value(s - STEP, gamma)) / STEP**2
    p, q = 1 / (1 + mp.exp(-s)), 1 / (1 + mp.exp(s))
    found = second + gamma * p * q ** (gamma + 1) * mp.log1p(mp.exp(-s))
    closed = q**gamma * p * ((2 * gamma + 1) * q + gamma**2 * p * mp.log1p(mp.exp(-s)))
    assert abs(found - closed) <= abs(closed) * mpf(10) ** -30
    assert found > 0
    return found


def diagonal(v: tuple[float, ...], t: int, gamma: mpf) -> list[mpf]:
    others = sum(mp.exp(x) for k, x in enumerate(v) if k != t)
    s = v[t] - mp.log(others)
    first = (value(s + STEP, gamma) - value(s - STEP, gamma)) / (2 * STEP)
    probabilities = [mp.exp(x) / others for x in v]
    curved = majorizer(s, gamma)
    return [curved if k == t else r * r * curved - first * r * (1 - r) for k, r in enumerate(probabilities)]


def text(number: mpf) -> str:
    return mp.nstr(number, 25)


binary = [
    {"z": z, "y": y, "gamma": g, "w": w, "majorizer": text(mpf(w if y else 1) * majorizer(mpf(z if y else -z), mpf(g)))}
    for z, y, (g, w) in product(LOGITS, (0, 1), zip(GAMMAS, (1.0, 3.0, 0.25) * 4, strict=True))
]
softmax = [
    {"v": v, "t": t, "gamma": g, "w": w, "majorizer": [text(mpf(w) * h) for h in diagonal(v, t, mpf(g))]}
    for v, (g, w) in product(SOFTMAX, zip(GAMMAS, (1.0, 3.0, 0.25) * 4, strict=True))
    for t in range(len(v))
]
Path(__file__).with_name("majorizer.json").write_text(json.dumps({"binary": binary, "softmax": softmax}) + "\n")
