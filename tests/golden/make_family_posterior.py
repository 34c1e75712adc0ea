"""Golden posteriors for the other losses of the family, made with mpmath alone, like those of make_posterior.py.

Run from the repository root (needs mpmath):

    python tests/golden/make_family_posterior.py

It writes family_posterior.json beside itself. Inputs are JSON numbers, results decimal strings of 25 significant
digits. Every row has the name of a loss, its options, a logit z, the share e of positives for which the expected loss
of hard labels is stationary there, and the derivative of e in z. The losses are written down as they are defined and
differentiated by central differences; where a weight is detached it is held at the point. "spread" is 1, or for a
clipped probability p / (p - clip), by which a rounding of p counts more.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mpmath import mp, mpf

Row = dict[str, Any]
Loss = Callable[[mpf, mpf], mpf]  # of the logit, and of the logit at which a detached weight is taken

mp.dps = 250
STEP = mpf(10) ** -60
OUTER = mpf(10) ** -25
LOGITS = (0.0, 0.25, -0.25, 1.0, -1.0, 2.5, -2.5, 8.0, -8.0, 20.0, -20.0, 60.0, -60.0)
NEAR = (-2.703125, -1.09765625)  # their probabilities are little more than a clip of 1 / 16 and of 1 / 4


def p_of(z: mpf) -> mpf:
    return 1 / (1 + mp.exp(-z))


def log_p(z: mpf) -> mpf:
    return -mp.log1p(mp.exp(-z))


def focal(gamma: float, epsilon: float = 0.0) -> Loss:
    """The focal loss, or Poly-1, of a positive; that of a negative is that of -z."""
    return lambda z, _: p_of(-z) ** mpf(gamma) * (-log_p(z) + mpf(epsilon) * p_of(-z))


def mirrored(loss: Loss) -> Loss:
    return lambda z, at: loss(-z, -at)


def detached(gamma: float) -> Loss:
    """The focal loss of a negative whose factor is a constant."""
    return lambda z, at: p_of(at) ** mpf(gamma) * -log_p(-z)


def clipped(gamma: float, clip: float) -> Loss:
    """The focal loss of a negative whose probability is moved down."""

    def loss(z: mpf, _: mpf) -> mpf:
        m = max(p_of(z) - mpf(clip), mpf(0))
        return m ** mpf(gamma) * -mp.log(1 - m)

    return loss


def sides() -> Iterator[tuple[str, dict[str, Any], Loss, Loss, float]]:
    """The loss, its options, that of a positive and of a negative, the weight of the positives over the negatives."""
    for gamma in (0.0, 0.5, 2.0, 5.0):
        yield "penalty_reduced_focal_loss", {"alpha": gamma, "beta": 2.0}, focal(gamma), mirrored(focal(gamma)), 1.0
        yield "quality_focal_loss", {"beta": gamma}, focal(gamma), mirrored(focal(gamma)), 1.0
        for alpha in (0.75, 2.0):
            for name in ("varifocal_loss", "matchability_aware_loss"):
                options = {"gamma": gamma, "alpha": alpha}
                plain = options | {"detach_weight": False}
                yield name, plain, focal(0.0), mirrored(focal(gamma)), 1 / alpha
                yield name, options | {"detach_weight": True}, focal(0.0), detached(gamma), 1 / alpha
        for epsilon, weight in ((1.0, 1.0), (-0.5, 3.0)):
            options = {"gamma": gamma, "epsilon": epsilon, "pos_weight": weight}
            yield "poly1_focal_loss", options, focal(gamma, epsilon), mirrored(focal(gamma, epsilon)), weight
    for pos, neg, clip in ((1.0, 4.0, 0.0), (1.0, 4.0, 0.0625), (0.0, 2.0, 0.25), (2.0, 0.5, 0.125), (0.5, 1.0, 0.5)):
        negative = clipped(neg, clip) if clip else mirrored(focal(neg))
        yield "asymmetric_loss", {"gamma_pos": pos, "gamma_neg": neg, "clip": clip}, focal(pos), negative, 1.0


def share(positive: Loss, negative: Loss, weight: float, z: mpf) -> mpf:
    def slope(loss: Loss) -> mpf:
        return (loss(z + STEP, z) - loss(z - STEP, z)) / (2 * STEP)

    up, down = slope(negative), -mpf(weight) * slope(positive)
    return up / (up + down)


def check_known_numbers() -> None:
    """The posterior of focal loss with gamma 2, as it was published."""
    for e, p in ((".01", ".15362"), (".95", ".74979")):
        z = mp.log(mpf(p) / (1 - mpf(p)))
        if abs(share(focal(2), mirrored(focal(2)), 1, z) - mpf(e)) > mpf("2e-5"):
            raise AssertionError(f"the posterior of {p}")


def rows() -> Iterator[Row]:
    for name, options, positive, negative, weight in sides():
        clip = options.get("clip", 0.0)
        for z in (*LOGITS, *NEAR) if clip else LOGITS:
            x = mpf(z)
            if 0 <= clip - p_of(x) < 0.02:
                continue
            value = share(positive, negative, weight, x)
            above, below = (share(positive, negative, weight, x + d) for d in (OUTER, -OUTER))
            spread = p_of(x) / (p_of(x) - clip) if p_of(x) > clip else mpf(1)
            yield {
                "loss": name,
                "options": options,
                "z": z,
                "value": mp.nstr(value, 25),
                "dz": mp.nstr((above - below) / (2 * OUTER), 25),
                "spread": float(spread),
            }


def main() -> None:
    check_known_numbers()
    lines = ",\n".join(json.dumps(row, separators=(",", ":"), allow_nan=False) for row in rows())
    Path(__file__).with_name("family_posterior.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
