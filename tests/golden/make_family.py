"""Golden numbers for the losses that are not built from the focal loss of a margin, made with the tools of
make_golden.py.

    python tests/golden/make_family.py

It writes family.json beside itself: central differences of the definitions at 350 digits, compared with closed forms
and with `mpmath.diff`.

quality
    |y - p|^b B of a logit z, with B = y softplus(-z) + (1 - y) softplus(z): value, derivatives in z (first and
    second), y and b, which the rows call gamma. "scale" holds the magnitudes of the terms, times what a rounding of
    y - p is worth where y and p are close: its error is relative to y q + (1 - y) p. At the largest logit, where a
    difference of two losses of 1e38 has too few digits, the closed forms stand; the differences confirm them elsewhere.
poly1, cost
    q^g (L + epsilon q), two-term, and alpha q^g L - (1 - alpha) p^g l, whose alpha the rows call w.
asymmetric
    Two-term, with m^g (-log(1 - m)), m = max(p - clip, 0), as the second term. The rows' gamma is that of both. "scale"
    holds what a rounding of p and of the clip is worth where they are close.
varifocal, matchability
    y > 0: y B of the target y, and B of the target y^g. y = 0: alpha p^g l, and alpha is called w. "detached" says
    whether p^g counts as a constant. There the derivative in y is 0 by definition.
penalty
    y = 1: q^g L, with a derivative of 0 in y by definition; else (1 - y)^beta p^g l.
..._probability
    The same of a probability x, clamped to [1e-7, 1 - 1e-7]: value at the clamped x, and dx, the derivative without the
    clamp at that same point.
"""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import family_margins
import family_scores
from make_golden import (
    FEW_LOGITS,
    LARGEST,
    SOFT_LABELS,
    Row,
    check_by_diff,
    dump,
    first_difference,
    is_half,
    is_usual,
    make_row,
    mp,
    mpf,
    require_close,
    require_printed,
    second_difference,
    sigmoid,
    softplus,
    text,
)


def plain_quality(z: mpf, y: mpf, beta: mpf) -> mpf:
    """The definition, written literally."""
    p = 1 / (1 + mp.exp(-z))
    distance = abs(y - p)
    power = distance**beta if beta or distance else mpf(1)
    return power * (y * mp.log(1 + mp.exp(-z)) + (1 - y) * mp.log(1 + mp.exp(z)))


def quality(z: mpf, y: mpf, beta: mpf) -> mpf:
    """The same, from numbers that are accurate where 1 - p is small."""
    distance = abs(y * sigmoid(-z) - (1 - y) * sigmoid(z))
    return distance**beta * (y * softplus(-z) + (1 - y) * softplus(z))


def quality_points() -> Iterator[tuple[float, float, float]]:
    betas = (0.0, 0.5, 1.0, 2.0, 2.5, 5.0, 7.3)
    yield from product(betas, (1.0, 0.0, *SOFT_LABELS, 0.875), FEW_LOGITS)
    yield from product(betas, (0.625,), (0.53125, 0.5078125))  # p is .62977 and .62429


def quality_row(beta: float, y: float, z: float) -> Row:
    mz, my, mb = mpf(z), mpf(y), mpf(beta)
    p, q = sigmoid(mz), sigmoid(-mz)
    m, sign = abs(my * q - (1 - my) * p), 1 if my * q > (1 - my) * p else -1
    spread = (my * q + (1 - my) * p) / m
    loss = my * softplus(-mz) + (1 - my) * softplus(mz)
    value = quality(mz, my, mb)
    # At a label of 0 or 1 the derivative is that from inside [0, 1], where the definition holds.
    distance = m**mb
    slope = mb * m ** (mb - 1) if mb else mpf(0)
    dy = -distance * mz + slope * sign * loss
    dgamma = value * mp.log(m)
    terms_z = distance * m * spread + slope * p * q * loss
    dz = -distance * sign * m - slope * sign * p * q * loss
    curvature = mb * (mb - 1) * m ** (mb - 2) * (p * q) ** 2 * loss
    terms_zz = distance * p * q * (1 + 2 * mb) + slope * p * q * abs(p - q) * loss + abs(curvature)
    dzz = distance * p * q * (1 + 2 * mb) + slope * sign * p * q * (p - q) * loss + curvature
    if abs(z) < LARGEST:
        closed, where = (dz, dzz), f"quality, z = {z}, y = {y}, beta = {beta}"
        dz = first_difference(lambda x: quality(x, my, mb), mz)
        dzz = second_difference(lambda x: quality(x, my, mb), mz)
        require_close(dz, closed[0], terms_z, f"{where}: dz")
        require_close(dzz, closed[1], terms_zz, f"{where}: dzz")
    if abs(z) in (0.5, 20.0) and is_usual(beta, y) and 0 < y < 1:
        check_by_diff(plain_quality, (mz, my, mb), {(0, 1): dz, (0, 2): dzz, (1, 1): dy, (2, 1): dgamma})
    worth = 1 + (2 + mb) * (spread - 1)
    results = {
        "value": text(value),
        "dz": text(dz),
        "dzz": text(dzz),
        "dy": text(dy),
        "dgamma": text(dgamma),
        "scale": {
            "value": text(worth * value),
            "dz": text(worth * terms_z),
            "dzz": text(worth * terms_zz),
            "dy": text(worth * (distance * abs(mz) + slope * loss)),
            "dgamma": text(worth * abs(dgamma) + spread * value),
        },
    }
    return make_row({"z": z, "y": y, "gamma": beta}, is_half(z, y), results)


def check_known_numbers() -> None:
    two = mpf(2)
    require_printed(quality(mpf(1), mpf("0.7"), two), "0.000591573876", "quality")
    require_printed(quality(mpf(-3), mpf("0.7"), two), "0.91498235", "quality")
    require_printed(first_difference(lambda z: quality(z, mpf("0.7"), two), mpf(1)), "0.00751970948", "its slope")
    require_printed(first_difference(lambda z: quality(z, mpf("0.7"), two), mpf(-3)), "-0.404586164", "its slope")


def main() -> None:
    check_known_numbers()
    sections = {"quality": [quality_row(*point) for point in quality_points()]}
    sections |= family_margins.sections() | family_scores.sections()
    Path(__file__).with_name("family.json").write_text(dump(sections), encoding="utf-8")


if __name__ == "__main__":
    main()
