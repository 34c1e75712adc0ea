"""Golden numbers for class weights and gammas, made with mpmath alone; nothing of the tested package is imported here.

Run from the repository root (needs mpmath):

    python tests/golden/make_training.py

It writes training.json beside itself. Numbers published elsewhere are only compared: the script writes nothing if one
disagrees. Inputs are JSON numbers, results decimal strings of 25 significant digits.

effective_number
    of counts n and beta b: (1 - b) / (1 - b^n) per class, or its limit 1 / n where b is 1, 0 where n is, times what
    makes the sum K.
balanced
    of counts n: sum(n) / (m n), where m is how many are not 0; 0 where n is.
logit_adjustment
    of counts n and tau: tau log(n / sum(n)).
gamma_for_probability
    of p0: the root g other than 0 of q^g - g p q^(g-1) log p = 1, found by bisection and compared with the formula that
    the paper gives.
schedule
    of a step, out of how many, start and end: on a straight line, and on half a wave of a cosine.
"""

import json
from itertools import product
from pathlib import Path
from typing import Any

from mpmath import mp, mpf

Row = dict[str, Any]

mp.dps = 400  # 10^300 examples and one beside them are told apart

COUNTS = (
    [5000, 500, 50],
    [900, 90, 10],
    [1, 1],
    [7],
    [10**6, 0, 3, 0, 1],
    [1e18, 1, 1e9],
    [0.5, 0.25, 12.75],
    [1e300, 1.0],
    [2**k for k in range(12)],
)
BETAS = (0.0, 1e-300, 0.1, 0.9, 0.99, 0.999, 0.9999, 0.999999, 1 - 2.0**-40, 1 - 2.0**-53, 1.0)
PROBABILITIES = (
    *(1e-300, 1e-100, 1e-10, 1e-3, 0.01, 0.05, 0.1, 0.2, 0.24, 0.25, 0.26, 0.3, 0.35, 0.4, 0.45),
    *(0.5 - d for d in (0.25 - 2.0**-30, 0.01, 1e-3, 1e-4, 1e-6, 1e-9, 1e-12, 2.0**-52)),
)
SCHEDULES = ((0.0, 2.0), (5.0, 0.5), (2.0, 2.0))


def text(x: mpf) -> str:
    return mp.nstr(x, 25)


def effective_number(counts: list[float], beta: float) -> list[mpf]:
    b = mpf(beta)

    def weight(n: mpf) -> mpf:
        if n == 0:
            return mpf(0)
        return 1 / n if b == 1 else (1 - b) / (1 - b**n)

    weights = [weight(mpf(n)) for n in counts]
    return [len(counts) * w / mp.fsum(weights) for w in weights]


def balanced(counts: list[float]) -> list[mpf]:
    present = sum(n > 0 for n in counts)
    return [mp.fsum(counts) / (present * mpf(n)) if n else mpf(0) for n in counts]


def logit_adjustment(counts: list[float], tau: float) -> list[mpf]:
    return [tau * mp.log(mpf(n) / mp.fsum(counts)) for n in counts]


def gamma_for_probability(p0: float) -> mpf:
    p = mpf(p0)
    q = 1 - p

    def excess(g: mpf) -> mpf:
        return q**g - g * p * q ** (g - 1) * mp.log(p) - 1

    high = mpf(10) ** -30
    if excess(high) <= 0:
        raise AssertionError(f"the gradient at {p0} does not grow with gamma")
    while excess(high) > 0:
        high *= 2
    low = high / 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    b = p * mp.log(p)
    published = q / b + mp.re(mp.lambertw(-(q ** (1 - q / b)) / b * mp.log(q), -1)) / mp.log(q)
    if abs(published / high - 1) > mpf(10) ** -30:
        raise AssertionError(f"gamma for {p0} is {mp.nstr(high, 8)}, not {mp.nstr(published, 8)}")
    return high


def check_known_numbers() -> None:
    known = zip(effective_number([5000, 500, 50], 0.9999), (".034107", ".275167", "2.690725"), strict=True)
    if max(abs(w - mpf(printed)) for w, printed in known) > mpf("1e-6"):
        raise AssertionError("the weights of 5000, 500 and 50 examples")
    for p, printed in ((0.2, "4.8506"), (0.25, "3.0702"), (0.3, "1.9572")):
        if abs(gamma_for_probability(p) - mpf(printed)) > mpf("5e-5"):
            raise AssertionError(f"the gamma for {p}")


def schedules() -> list[Row]:
    rows = []
    for (start, end), (step, steps) in product(SCHEDULES, ((0, 4), (1, 4), (3, 4), (4, 4), (7, 4), (-2, 4), (2.5, 9))):
        way = min(max(mpf(step) / steps, mpf(0)), mpf(1))
        ends = {"step": step, "steps": steps, "start": start, "end": end}
        cosine = end + (start - end) * (1 + mp.cos(mp.pi * way)) / 2
        rows.append(ends | {"linear": text(start + (end - start) * way), "cosine": text(cosine)})
    return rows


def main() -> None:
    check_known_numbers()
    full = [counts for counts in COUNTS if 0 not in counts]
    sections = {
        "effective_number": [
            {"counts": n, "beta": b, "value": [text(w) for w in effective_number(n, b)]}
            for n, b in product(COUNTS, BETAS)
        ],
        "balanced": [{"counts": n, "value": [text(w) for w in balanced(n)]} for n in COUNTS],
        "logit_adjustment": [
            {"counts": n, "tau": tau, "value": [text(w) for w in logit_adjustment(n, tau)]}
            for n, tau in product(full, (1.0, 0.0, 0.5))
        ],
        "gamma_for_probability": [{"p0": p, "value": text(gamma_for_probability(p))} for p in PROBABILITIES],
        "schedule": schedules(),
    }
    parts = []
    for name, rows in sections.items():
        lines = ",\n".join(json.dumps(row, separators=(",", ":"), allow_nan=False) for row in rows)
        parts.append(f'"{name}": [\n{lines}\n]')
    Path(__file__).with_name("training.json").write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
