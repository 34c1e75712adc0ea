"""Golden numbers for the focal losses, made with mpmath alone; nothing of the tested package is imported here.

Run from the repository root (needs mpmath and numpy; some minutes):

    python tests/golden/make_golden.py

It writes golden.json beside itself. Derivatives are central differences of the definition of the loss at 350 digits
(step 1e-116), never closed forms. Closed forms, `mpmath.diff` of the plainly written definition, and known numbers are
only compared with the results: the script stops with an AssertionError, and writes nothing, when one disagrees.

Inputs are JSON numbers, exact in float32 (gamma and alpha: exact as the double). Results are decimal strings with 25
significant digits, "0.0" where the magnitude is below 1e-5000, which underflows in every floating-point format. A row
with "half": true has inputs that are exact in float16 and bfloat16 as well. "scale" holds, for results with
cancellation, the sum of the magnitudes of their terms: an error is to be judged against it.

binary
    two-term loss w y q^g softplus(-z) + (1 - y) p^g softplus(z) of a logit z: value, derivatives in z (first and
    second), y, gamma and w.
p_t_loss
    A m^g B of a logit z, with m = y q + (1 - y) p, B = y softplus(-z) + (1 - y) softplus(z) and
    A = alpha y + (1 - alpha)(1 - y), or A = 1 where "alpha" is null: value, derivatives in z (first and second), y,
    gamma and alpha.
probability
    both losses ("expected_loss" and "p_t_loss", there with A = 1) of a probability x, clamped to [1e-7, 1 - 1e-7]:
    value at the clamped x, and dx, the derivative of the loss without the clamp at that same point.
softmax
    w q_t^g (-log p_t) of logits v with true class t: value, gradient, diagonal of the Hessian, derivative in gamma.
dense
    sum over j of w_j y_j q_j^g_j (-log p_j) of logits v with a label vector y: value and gradient.
categorical_probability
    the sparse loss ("t" is an index, "y" is null) and the dense loss ("y" is a vector, "t" is null) of non-negative
    numbers x, divided by their sum, then each p_j and q_j = 1 - p_j clamped to [1e-7, 1 - 1e-7]: value and gradient in
    x, where the clamp moves the point at which the loss is differentiated in p_j and stops no gradient.
"""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from mpmath import mp, mpf

Row = dict[str, Any]
Function = Callable[[mpf], mpf]

mp.dps = 350
DIGITS = 25
TINY = mpf(10) ** -5000
AGREE = mpf(10) ** -40
CHECK_DPS = 150
CHECK_LIMIT = 110.0
CLAMP = mpf(1e-7)
LARGEST = float(np.finfo(np.float32).max)

TABULATED = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 5.0)
OTHER_GAMMAS = (0.1, 0.3, 7.3, 10.0)
SOFT_LABELS = (0.25, 0.625, 2.0**-10)


def float32(x: float) -> float:
    """The float32 nearest to x, as a double."""
    return float(np.float32(x))


def both_signs(magnitudes: Sequence[float]) -> list[float]:
    """Zero, then each magnitude, rounded to float32, with either sign."""
    return [0.0, *(sign * float32(x) for x in magnitudes for sign in (1.0, -1.0))]


SMALL = (1e-45, 1e-30, 1e-4, 0.0625, 0.1, 0.5, 1.0)
MIDDLE = (1.5, 2.75, 2.828125, 3.0, 5.0, 8.0, 12.5, 17.0, 20.0)
LARGE = (50.0, 88.0, 100.0, 104.0, 9984.0, 1e4, LARGEST)
LOGITS = [-0.0, *both_signs(SMALL + MIDDLE + LARGE)]
MIXED_LOGITS = both_signs((1e-45, 1e-4, 0.1, 0.5, 1.5, 2.75, 5, 8, 20, 88, 104, 1e4, LARGEST))
FEW_LOGITS = both_signs((1e-4, 0.5, 1.5, 2.75, 8, 20, 104, LARGEST))
FEWEST_LOGITS = both_signs((0.5, 2.75, 20, 104))
PROBABILITIES = [
    float32(x)
    for x in (0, 1e-8, 1e-7, 1.25e-7, 1e-6, 0.001, 0.1, 0.25, 0.5, 0.7, 0.9, 0.999, 1 - 2.0**-23, 1 - 2.0**-24, 1)
]


# Output


def text(x: mpf) -> str:
    """25 significant digits, or 0.0 for what underflows everywhere."""
    return "0.0" if abs(x) < TINY else mp.nstr(x, DIGITS)


def texts(xs: Sequence[mpf]) -> list[str]:
    return [text(x) for x in xs]


def is_half(*inputs: float) -> bool:
    """Whether every input is exact in float16 and in bfloat16 (the upper half of a float32)."""
    with np.errstate(over="ignore", under="ignore"):
        single = np.array(inputs, dtype=np.float32)
        float16 = single.astype(np.float16).astype(np.float32)
    return bool(np.all(float16 == np.array(inputs)) and np.all(single.view(np.uint32) & 0xFFFF == 0))


def make_row(inputs: Row, half: bool, results: Row) -> Row:
    return {**inputs, **({"half": True} if half else {}), **results}


def dump(sections: dict[str, list[Row]]) -> str:
    """JSON with one row per line."""
    parts = []
    for name, rows in sections.items():
        lines = ",\n".join(json.dumps(row, separators=(",", ":"), allow_nan=False) for row in rows)
        parts.append(f'"{name}": [\n{lines}\n]')
    return "{\n" + ",\n".join(parts) + "\n}\n"


# Checks


def require(condition: bool, what: str) -> None:
    if not condition:
        raise AssertionError(what)


def require_close(got: mpf, expected: mpf, scale: mpf, what: str) -> None:
    """Agreement to 40 digits of scale."""
    require(abs(got - expected) <= AGREE * abs(scale), f"{what}: {mp.nstr(got, 30)} is not {mp.nstr(expected, 30)}")


def require_printed(got: mpf, printed: str, what: str) -> None:
    """Agreement with a number known to the digits printed."""
    digits = len(printed.lower().split("e")[0].replace("-", "").replace(".", "").lstrip("0"))
    require(abs(got / mpf(printed) - 1) <= mpf(10) ** (1 - digits), f"{what}: {mp.nstr(got, 30)} is not {printed}")


# Differentiation


def difference_step() -> mpf:
    """Small beside every scale of the functions here, with room for its square: at 350 digits 1e-116."""
    return mpf(10) ** -(mp.dps // 3)


def first_difference(f: Function, x: mpf, step: mpf | None = None) -> mpf:
    step = difference_step() if step is None else step
    return (f(x + step) - f(x - step)) / (2 * step)


def second_difference(f: Function, x: mpf) -> mpf:
    step = difference_step()
    return (f(x + step) - 2 * f(x) + f(x - step)) / step**2


# The loss of one logit


@dataclass(frozen=True)
class Loss:
    """m^g B at one point: value, derivatives in z (first, second), in the label and in gamma."""

    value: mpf
    dz: mpf
    dzz: mpf
    dy: mpf
    dgamma: mpf


def sigmoid(z: mpf) -> mpf:
    return 1 / (1 + mp.exp(-z))


def softplus(z: mpf) -> mpf:
    return max(z, mpf(0)) + mp.log1p(mp.exp(-abs(z)))


def remainder(z: mpf, b: mpf, gamma: mpf, has_line: bool) -> mpf:
    """m^g B less its asymptote b^(g + 1) z, for z >= 0 and b the weight of label 0.

    m = b + (1 - 2 b) q and B = b z + softplus(-z). Beyond the straight line the loss is exponentially small:
    differences of the sum would lose it, differences of the remainder keep its relative precision. With b = 0 the line
    is zero (b itself may then be moved a little, to differentiate). Without the line (`has_line` false) this is the
    whole of m^g B.
    """
    q, tail = sigmoid(-z), mp.log1p(mp.exp(-z))
    if not has_line:
        return (b + (1 - 2 * b) * q) ** gamma * (b * z + tail)
    excess = mp.expm1(gamma * mp.log1p((1 - 2 * b) / b * q))
    return b**gamma * (excess * (b * z + tail) + tail)


def loss(z: mpf, y: mpf, gamma: mpf) -> Loss:
    """m^g B and its derivatives, by differences; a negative logit is a positive one with the labels exchanged."""
    if z < 0:
        mirror = loss(-z, 1 - y, gamma)
        return Loss(mirror.value, -mirror.dz, mirror.dzz, -mirror.dy, mirror.dgamma)
    # Of a large gamma the power may be tiny near z = 0, where the line would be most of the remainder.
    b, has_line = 1 - y, y != 1 and (gamma <= 20 or z > 300)
    label_step = difference_step() * (b if b else sigmoid(-z))  # b, or m where b is 0

    def slope(b: mpf, gamma: mpf) -> mpf:
        return b ** (gamma + 1) if has_line else mpf(0)

    def in_z(x: mpf) -> mpf:
        return remainder(x, b, gamma, has_line)

    def in_b(x: mpf) -> mpf:
        return slope(x, gamma) * z + remainder(z, x, gamma, has_line)

    def line_in_gamma(x: mpf) -> mpf:
        return slope(b, x) * z

    def remainder_in_gamma(x: mpf) -> mpf:
        return remainder(z, b, x, has_line)

    return Loss(
        value=slope(b, gamma) * z + in_z(z),
        dz=slope(b, gamma) + first_difference(in_z, z),
        dzz=second_difference(in_z, z),
        dy=-first_difference(in_b, b, label_step),
        dgamma=first_difference(line_in_gamma, gamma) + first_difference(remainder_in_gamma, gamma),
    )


def hard_scales(s: mpf, gamma: mpf) -> tuple[mpf, mpf, mpf]:
    """Magnitudes of the terms of d/ds, d2/ds2 and d/dgamma of q^g L, at the margin s."""
    p, q, right, left = sigmoid(s), sigmoid(-s), softplus(-s), softplus(s)
    factor = q**gamma
    first = factor * (gamma * p * right + q)
    second = factor * p * ((2 * gamma + 1) * q + gamma * right * (gamma * p + q))
    return first, second, factor * right * left


def check_hard(s: mpf, gamma: mpf, got: Loss) -> None:
    """Compare the differences at a hard label with the closed forms in the margin."""
    p, q, right = sigmoid(s), sigmoid(-s), softplus(-s)
    first, second, in_gamma = hard_scales(s, gamma)
    closed = q**gamma * p * ((2 * gamma + 1) * q + gamma * right * (gamma * p - q))
    where = f"hard label, s = {mp.nstr(s, 17)}, gamma = {gamma}"
    require_close(got.value, q**gamma * right, got.value, f"{where}: value")
    require_close(got.dz, -first, first, f"{where}: ds")
    require_close(got.dzz, closed, second, f"{where}: dss")
    require_close(got.dgamma, -in_gamma, in_gamma, f"{where}: dgamma")


def hard_loss(s: mpf, gamma: mpf) -> Loss:
    """q^g L and its derivatives at the margin s, checked."""
    result = loss(s, mpf(1), gamma)
    check_hard(s, gamma, result)
    return result


def plain_expected_loss(z: mpf, y: mpf, gamma: mpf, w: mpf) -> mpf:
    """The definition as it reads."""
    p, q = sigmoid(z), sigmoid(-z)
    return w * y * q**gamma * mp.log(1 + mp.exp(-z)) + (1 - y) * p**gamma * mp.log(1 + mp.exp(z))


def plain_p_t_loss(z: mpf, y: mpf, gamma: mpf, alpha: mpf | None) -> mpf:
    """The definition as it reads."""
    p, q = sigmoid(z), sigmoid(-z)
    a = mpf(1) if alpha is None else alpha * y + (1 - alpha) * (1 - y)
    return a * (y * q + (1 - y) * p) ** gamma * (y * mp.log(1 + mp.exp(-z)) + (1 - y) * mp.log(1 + mp.exp(z)))


def check_by_diff(plain: Callable[..., mpf], point: tuple[mpf | None, ...], got: dict[tuple[int, int], mpf]) -> None:
    """Compare with mpmath.diff of a plainly written definition; each key is an argument and an order."""
    for (argument, order), mine in got.items():

        def along(x: mpf, argument: int = argument) -> mpf:
            return plain(*point[:argument], x, *point[argument + 1 :])

        with mp.workdps(CHECK_DPS):
            theirs = mp.diff(along, point[argument], order)
        where = f"{plain.__name__}{tuple(mp.nstr(x, 17) for x in point)}, argument {argument}, order {order}"
        require_close(mine, theirs, max(abs(mine), mpf(10) ** -30 * abs(plain(*point))), where)


def is_usual(gamma: float, *parameters: float) -> bool:
    """Whether `mpmath.diff` can be trusted at its step."""
    return gamma <= 20 and all(x == 0 or 1e-10 < x < 1e10 for x in parameters)


# Section 1


def binary_points() -> Iterator[tuple[float, float, float, float]]:
    yield from product(TABULATED, (1.0, 0.0), (1.0,), LOGITS)
    yield from product(OTHER_GAMMAS, (1.0, 0.0), (1.0,), FEW_LOGITS)
    yield from product(TABULATED + OTHER_GAMMAS, SOFT_LABELS, (1.0,), FEW_LOGITS)
    yield from product((0.0, 0.5, 2.0, 7.3), (1.0, 0.0, 0.625), (3.75,), FEWEST_LOGITS)


def binary_row(gamma: float, y: float, w: float, z: float) -> Row:
    mz, my, mg, mw = mpf(z), mpf(y), mpf(gamma), mpf(w)
    one, zero = hard_loss(mz, mg), hard_loss(-mz, mg)
    weights = mw * my, 1 - my
    dz = weights[0] * one.dz - weights[1] * zero.dz
    dzz = weights[0] * one.dzz + weights[1] * zero.dzz
    dy = mw * one.value - zero.value
    dgamma = weights[0] * one.dgamma + weights[1] * zero.dgamma
    sides = zip(hard_scales(mz, mg), hard_scales(-mz, mg), strict=True)
    scales = [weights[0] * a + weights[1] * b for a, b in sides]
    if abs(z) in (0.5, 20.0) and is_usual(gamma, y, w):
        check_by_diff(plain_expected_loss, (mz, my, mg, mw), {(0, 1): dz, (0, 2): dzz, (1, 1): dy, (2, 1): dgamma})
    results = {
        "value": text(weights[0] * one.value + weights[1] * zero.value),
        "dz": text(dz),
        "dzz": text(dzz),
        "dy": text(dy),
        "dgamma": text(dgamma),
        "dw": text(my * one.value),
        "scale": {
            "dz": text(scales[0]),
            "dzz": text(scales[1]),
            "dy": text(mw * one.value + zero.value),
            "dgamma": text(scales[2]),
        },
    }
    return make_row({"z": z, "y": y, "gamma": gamma, "w": w}, is_half(z, y), results)


# Section 2


def p_t_loss_points() -> Iterator[tuple[float, float, float | None, float]]:
    gammas = (0.0, 0.5, 1.0, 2.0, 2.5, 5.0, 7.3)
    yield from product(gammas, SOFT_LABELS, (None,), MIXED_LOGITS)
    yield from product(gammas, (1.0, 0.0), (None,), FEW_LOGITS)
    yield from product(gammas, (1.0, 0.0, *SOFT_LABELS), (0.25,), FEWEST_LOGITS)


def p_t_loss_scales(z: mpf, y: mpf, gamma: mpf) -> tuple[mpf, mpf, mpf]:
    """Magnitudes of the terms of the derivatives of m^g B: dz, dzz, dy."""
    p, q = sigmoid(z), sigmoid(-z)
    m, b, k = y * q + (1 - y) * p, y * softplus(-z) + (1 - y) * softplus(z), abs(1 - 2 * y)
    r = p * q / m
    distance = abs((1 - y) * p - y * q)
    dz = y * q + (1 - y) * p + gamma * k * r * b
    curvature = gamma * abs(gamma - 1) * k**2 * r**2 + gamma * k * r * abs(q - p)
    dzz = p * q + 2 * gamma * r * k * distance + b * curvature
    dy = gamma * abs(q - p) * b / m + abs(z)
    return m**gamma * dz, m**gamma * dzz, m**gamma * dy


def check_p_t_loss(z: mpf, y: mpf, gamma: mpf, got: Loss) -> None:
    """Compare the differences with the closed forms."""
    p, q = sigmoid(z), sigmoid(-z)
    m, b, k = y * q + (1 - y) * p, y * softplus(-z) + (1 - y) * softplus(z), 1 - 2 * y
    r, distance = p * q / m, (1 - y) * p - y * q
    dz = distance + gamma * k * r * b
    dzz = p * q + 2 * gamma * k * r * distance + b * (gamma * (gamma - 1) * k**2 * r**2 + gamma * k * r * (q - p))
    dy = gamma * (q - p) * b / m - z
    scales = p_t_loss_scales(z, y, gamma)
    where = f"p_t_loss, z = {mp.nstr(z, 17)}, y = {y}, gamma = {gamma}"
    require_close(got.value, m**gamma * b, got.value, f"{where}: value")
    require_close(got.dz, m**gamma * dz, scales[0], f"{where}: dz")
    require_close(got.dzz, m**gamma * dzz, scales[1], f"{where}: dzz")
    require_close(got.dgamma, m**gamma * b * mp.log(m), max(got.value, abs(got.dgamma)), f"{where}: dgamma")
    require_close(got.dy, m**gamma * dy, scales[2] if z else mpf(1), f"{where}: dy")


def p_t_loss_row(gamma: float, y: float, alpha: float | None, z: float) -> Row:
    mz, my, mg = mpf(z), mpf(y), mpf(gamma)
    base, scales = loss(mz, my, mg), p_t_loss_scales(mz, my, mg)
    check_p_t_loss(mz, my, mg, base)
    a, da = mpf(1), mpf(0)
    if alpha is not None:
        a, da = mpf(alpha) * my + (1 - mpf(alpha)) * (1 - my), 2 * mpf(alpha) - 1
    dy_scale = a * scales[2] + abs(da) * base.value
    dy = a * base.dy + da * base.value if dy_scale else mpf(0)
    if abs(z) in (0.5, 20.0) and is_usual(gamma, y):
        got = {(0, 1): a * base.dz, (0, 2): a * base.dzz, (1, 1): dy, (2, 1): a * base.dgamma}
        check_by_diff(plain_p_t_loss, (mz, my, mg, None if alpha is None else mpf(alpha)), got)
    results = {
        "value": text(a * base.value),
        "dz": text(a * base.dz),
        "dzz": text(a * base.dzz),
        "dy": text(dy),
        "dgamma": text(a * base.dgamma),
        "dalpha": None if alpha is None else text((2 * my - 1) * base.value),
        "scale": {"dz": text(a * scales[0]), "dzz": text(a * scales[1]), "dy": text(dy_scale)},
    }
    return make_row({"z": z, "y": y, "gamma": gamma, "alpha": alpha}, is_half(z, y), results)


# Section 3


def clamp(x: mpf) -> mpf:
    return min(max(x, CLAMP), 1 - CLAMP)


def expected_loss_of_probability(x: mpf, y: mpf, gamma: mpf) -> mpf:
    return -y * (1 - x) ** gamma * mp.log(x) - (1 - y) * x**gamma * mp.log(1 - x)


def p_t_loss_of_probability(x: mpf, y: mpf, gamma: mpf) -> mpf:
    return (y * (1 - x) + (1 - y) * x) ** gamma * -(y * mp.log(x) + (1 - y) * mp.log(1 - x))


def expected_loss_terms(x: mpf, y: mpf, gamma: mpf) -> list[mpf]:
    """The terms of the derivative in x."""
    one = [-y * gamma * (1 - x) ** (gamma - 1) * -mp.log(x), -y * (1 - x) ** gamma / x]
    zero = [gamma * x ** (gamma - 1) * -mp.log(1 - x), x**gamma / (1 - x)]
    return one + [(1 - y) * term for term in zero]


def p_t_loss_terms(x: mpf, y: mpf, gamma: mpf) -> list[mpf]:
    """The terms of the derivative in x."""
    m, b = y * (1 - x) + (1 - y) * x, -(y * mp.log(x) + (1 - y) * mp.log(1 - x))
    return [gamma * m ** (gamma - 1) * (1 - 2 * y) * b, -(m**gamma) * y / x, m**gamma * (1 - y) / (1 - x)]


OF_PROBABILITY = {
    "expected_loss": (expected_loss_of_probability, expected_loss_terms),
    "p_t_loss": (p_t_loss_of_probability, p_t_loss_terms),
}


def probability_row(name: str, gamma: float, y: float, x: float) -> Row:
    definition, terms_of = OF_PROBABILITY[name]
    at, my, mg = clamp(mpf(x)), mpf(y), mpf(gamma)
    dx = first_difference(lambda u: definition(u, my, mg), at)
    terms = terms_of(at, my, mg)
    scale = sum(abs(term) for term in terms)
    require_close(dx, sum(terms), scale, f"{name} of a probability, x = {x}, y = {y}, gamma = {gamma}")
    results = {"value": text(definition(at, my, mg)), "dx": text(dx), "scale": {"dx": text(scale)}}
    return make_row({"loss": name, "x": x, "y": y, "gamma": gamma}, is_half(x, y), results)


def probability_rows() -> Iterator[Row]:
    for point in product(OF_PROBABILITY, (0.0, 0.5, 1.0, 2.0, 2.5, 5.0), (1.0, 0.0, 0.25), PROBABILITIES):
        yield probability_row(*point)


# Section 4


@dataclass(frozen=True)
class Term:
    """q_t^g L_t of logits for one class t, with its derivatives in each logit and in gamma.

    The loss is that of the margin s = v_t - logsumexp of the others; its differences in s and those of s in each logit
    are joined by the chain rule, so that a class of probability 1e-4000 has its own relative precision.
    """

    value: mpf
    gradient: list[mpf]
    hessian: list[mpf]
    dgamma: mpf
    hessian_scale: list[mpf]


def logsumexp(v: Sequence[mpf]) -> mpf:
    top = max(v)
    return top + mp.log(mp.fsum(mp.exp(x - top) for x in v))


def margin_derivatives(v: Sequence[mpf], t: int, j: int) -> tuple[mpf, mpf]:
    """First and second derivative in v_j of v_t - logsumexp of the others."""
    if j == t:
        return mpf(1), mpf(0)
    rest = [x for k, x in enumerate(v) if k not in (j, t)]
    if not rest:
        return mpf(-1), mpf(0)
    # logsumexp = logsumexp(rest) + softplus(v_j - logsumexp(rest)), and softplus is the loss of label 0 with gamma 0
    rest_of_classes = loss(v[j] - logsumexp(rest), mpf(0), mpf(0))
    return -rest_of_classes.dz, -rest_of_classes.dzz


def class_term(v: Sequence[mpf], t: int, gamma: mpf) -> Term:
    size = len(v)
    if size == 1:
        zero = mpf(0)
        return Term(zero, [zero], [zero], zero, [zero])
    s = v[t] - logsumexp([x for k, x in enumerate(v) if k != t])
    at = hard_loss(s, gamma)
    first_scale, second_scale, _ = hard_scales(s, gamma)
    steps, curvatures = zip(*(margin_derivatives(v, t, j) for j in range(size)), strict=True)
    return Term(
        value=at.value,
        gradient=[at.dz * step for step in steps],
        hessian=[at.dzz * step**2 + at.dz * curvature for step, curvature in zip(steps, curvatures, strict=True)],
        dgamma=at.dgamma,
        hessian_scale=[
            second_scale * step**2 + first_scale * abs(curvature)
            for step, curvature in zip(steps, curvatures, strict=True)
        ],
    )


def plain_softmax(v: Sequence[mpf], t: int, gamma: mpf) -> mpf:
    """The definition as it reads."""
    powers = [mp.exp(x) for x in v]
    total = mp.fsum(powers)
    others = mp.fsum(x for k, x in enumerate(powers) if k != t)
    return (others / total) ** gamma * mp.log(total / powers[t])


def closed_softmax_gradient(v: Sequence[mpf], t: int, gamma: mpf) -> list[mpf]:
    """phi (p_j - [j = t])."""
    top = max(v)
    powers = [mp.exp(x - top) for x in v]
    total = mp.fsum(powers)
    p = [x / total for x in powers]
    q = mp.fsum(x for k, x in enumerate(p) if k != t)
    log_loss = softplus(logsumexp([x for k, x in enumerate(v) if k != t]) - v[t])
    phi = q**gamma * (1 + gamma * p[t] * log_loss / q)
    return [phi * (-q if j == t else x) for j, x in enumerate(p)]


def check_softmax(v: Sequence[mpf], t: int, gamma: mpf, got: Term) -> None:
    """Compare with the closed form of the gradient, and for moderate logits with mpmath.diff of the definition."""
    where = f"softmax, v = {[mp.nstr(x, 17) for x in v]}, t = {t}, gamma = {gamma}"
    for mine, closed in zip(got.gradient, closed_softmax_gradient(v, t, gamma), strict=True):
        require_close(mine, closed, closed, where)
    if max(abs(x) for x in v) > CHECK_LIMIT or not is_usual(float(gamma)):
        return
    for j in range(len(v)):

        def along(x: mpf, j: int = j) -> mpf:
            return plain_softmax([*v[:j], x, *v[j + 1 :]], t, gamma)

        with mp.workdps(CHECK_DPS):
            theirs = [mp.diff(along, v[j], order) for order in (1, 2)]
        require_close(got.gradient[j], theirs[0], got.gradient[j], f"{where}: gradient {j}")
        require_close(got.hessian[j], theirs[1], got.hessian_scale[j], f"{where}: Hessian {j}")


def sixty_fourths(source: random.Random, size: int, limit: int) -> list[float]:
    """Random multiples of 1/64 in [-limit, limit]."""
    return [source.randint(-64 * limit, 64 * limit) / 64 for _ in range(size)]


def softmax_points() -> Iterator[tuple[list[float], int, float, float]]:
    """Logits, true class, gamma, weight."""
    source = random.Random(20170807)
    yield [0.0], 0, 2.0, 1.0
    yield [-3.5], 0, 0.5, 2.5
    for size, gamma in product((2, 3, 5, 10), (0.0, 0.5, 2.0, 5.0, 7.3)):
        yield sixty_fourths(source, size, 3), source.randrange(size), gamma, source.choice((1.0, 2.5))
    for size, gamma in product((3, 10), (0.0, 2.0, 2.5)):
        yield sixty_fourths(source, size, 12), source.randrange(size), gamma, 1.0
    for v, gamma in product(([20.0, 0.0, -20.0], [-100.0, 0.0, 3.0]), (0.5, 2.0)):
        yield from ((v, t, gamma, 1.0) for t in range(3))
    yield from (([100.0, 0.0, 0.0], t, gamma, 1.0) for t, gamma in product((0, 1), (0.0, 2.0, 7.3)))
    yield from (([1e4, -1e4, 0.0], t, gamma, 2.5) for t, gamma in ((0, 0.0), (0, 2.0), (1, 0.5), (1, 5.0), (2, 2.0)))
    yield from (([LARGEST, 0.0, 0.0, 0.0], t, gamma, 1.0) for t, gamma in product((0, 1), (0.0, 2.0, 7.3)))
    yield from (([1.5, 1.5, -0.25, 1.5], t, gamma, 1.0) for t, gamma in ((0, 2.0), (2, 0.5), (3, 5.0)))
    yield [0.0, 0.0], 0, 2.0, 1.0
    yield [0.0, 0.0, 0.0], 2, 0.5, 2.5
    yield [50.0] * 5, 1, 7.3, 1.0
    yield [0.0] * 10, 9, 2.0, 1.0
    yield [1.0, 0.0, -1.0], 0, 2.0, 1.0


def softmax_row(v: list[float], t: int, gamma: float, w: float) -> Row:
    logits, mg, mw = [mpf(x) for x in v], mpf(gamma), mpf(w)
    term = class_term(logits, t, mg)
    if len(v) > 1:
        check_softmax(logits, t, mg, term)
    results = {
        "value": text(mw * term.value),
        "gradient": texts([mw * x for x in term.gradient]),
        "hessian": texts([mw * x for x in term.hessian]),
        "dgamma": text(mw * term.dgamma),
        "scale": {"hessian": texts([mw * x for x in term.hessian_scale])},
    }
    return make_row({"v": v, "t": t, "gamma": gamma, "w": w}, is_half(*v, w), results)


# Section 5


def dense_points() -> Iterator[tuple[list[float], list[float], list[float], list[float]]]:
    """Logits, label vector, gamma per class, weight per class."""
    source = random.Random(20170808)
    ones, twos = [1.0] * 3, [2.0] * 3
    yield [0.5], [1.0], [2.0], [1.0]
    yield [1.0, 0.0, -1.0], [1.0, 0.0, 0.0], twos, ones
    yield [1.0, 0.0, -1.0], [0.75, 0.125, 0.125], twos, ones
    yield [1.0, 0.0, -1.0], [0.75, 0.125, 0.125], [0.0, 0.5, 7.3], [2.5, 1.0, 0.25]
    yield [1.0, 0.0, -1.0], [0.5, 0.25, 0.5], twos, ones  # labels that do not sum to 1
    yield [1.0, 0.0, -1.0], [0.0, 0.0, 0.0], twos, ones
    yield [0.0, 1.0], [0.25, 0.75], [2.0, 2.0], [1.0, 1.0]
    yield [0.0, 0.0, 0.0], [0.25, 0.25, 0.5], [0.5, 1.0, 5.0], ones
    yield [2.0] * 4, [0.25] * 4, [2.0] * 4, [1.0] * 4
    for t, gamma in ((0, 2.0), (2, 0.5)):
        label = [0.875 if j == t else 0.0625 for j in range(3)]
        yield [20.0, 0.0, -20.0], label, [gamma] * 3, ones
        yield [100.0, 0.0, 0.0], label, [gamma] * 3, ones
        yield [-100.0, 0.0, 3.0], label, [gamma, 1.0, 2.5], [1.0, 2.5, 1.0]
    yield [1e4, -1e4, 0.0], [0.5, 0.25, 0.25], twos, ones
    yield [LARGEST, 0.0, 0.0], [0.875, 0.0625, 0.0625], twos, ones
    yield [LARGEST, 0.0, 0.0], [1.0, 0.0, 0.0], [0.5] * 3, ones
    for size, limit in product((2, 3, 5, 10), (3, 12)):
        label = [source.randint(0, 16) / 64 for _ in range(size)]
        gammas = [source.choice((0.0, 0.1, 0.5, 1.0, 2.0, 2.5, 5.0, 7.3)) for _ in range(size)]
        weights = [source.choice((0.25, 1.0, 2.5)) for _ in range(size)]
        yield sixty_fourths(source, size, limit), label, gammas, weights


def check_dense(v: list[mpf], weights: list[mpf], gammas: list[mpf], gradient: list[mpf], scale: list[mpf]) -> None:
    """Compare, for moderate logits, with mpmath.diff of the definition."""
    if max(abs(x) for x in v) > CHECK_LIMIT or not is_usual(float(max(gammas)), *map(float, weights)):
        return
    for j in range(len(v)):

        def along(x: mpf, j: int = j) -> mpf:
            moved = [*v[:j], x, *v[j + 1 :]]
            return mp.fsum(c * plain_softmax(moved, t, gammas[t]) for t, c in enumerate(weights) if c)

        with mp.workdps(CHECK_DPS):
            theirs = mp.diff(along, v[j])
        require_close(gradient[j], theirs, scale[j], f"dense, v = {[mp.nstr(x, 17) for x in v]}: gradient {j}")


def dense_row(v: list[float], y: list[float], gamma: list[float], w: list[float]) -> Row:
    logits, gammas = [mpf(x) for x in v], [mpf(x) for x in gamma]
    weights = [mpf(a) * mpf(b) for a, b in zip(w, y, strict=True)]
    terms = [class_term(logits, t, g) for t, g in enumerate(gammas)]
    pairs = list(zip(weights, terms, strict=True))
    gradient = [mp.fsum(c * term.gradient[j] for c, term in pairs) for j in range(len(v))]
    scale = [mp.fsum(c * abs(term.gradient[j]) for c, term in pairs) for j in range(len(v))]
    if len(v) > 1:
        check_dense(logits, weights, gammas, gradient, scale)
    results = {
        "value": text(mp.fsum(c * term.value for c, term in pairs)),
        "gradient": texts(gradient),
        "scale": {"gradient": texts(scale)},
    }
    return make_row({"v": v, "y": y, "gamma": gamma, "w": w}, is_half(*v, *y, *w), results)


# Section 6


def categorical_points() -> Iterator[tuple[list[float], int | None, list[float] | None, list[float], list[float]]]:
    """Numbers x, true class or None, label vector or None, gamma per class, weight per class."""
    small = [float32(x) for x in (0.8, 0.1, 0.1)]
    edge = [float32(x) for x in (1.0, 1e-6, 1e-8)]
    yield small, 0, None, [2.0] * 3, [1.0] * 3
    yield [3.0, 1.0, 4.0], 0, None, [2.0] * 3, [1.0] * 3
    yield [3.0, 1.0, 4.0], 1, None, [0.5, 7.3, 2.0], [1.0, 2.5, 1.0]
    yield [0.25, 0.5], 1, None, [0.0, 0.0], [1.0, 1.0]
    yield [1.0, 0.0, 0.0], 0, None, [2.0] * 3, [1.0] * 3
    yield [1.0, 0.0, 0.0], 1, None, [2.0] * 3, [1.0] * 3
    yield edge, 0, None, [0.5] * 3, [1.0] * 3
    yield edge, 1, None, [2.5] * 3, [1.0] * 3
    yield edge, 2, None, [1.0] * 3, [1.0] * 3
    yield small, None, [1.0, 0.0, 0.0], [2.0] * 3, [1.0] * 3
    yield [3.0, 1.0, 4.0], None, [0.75, 0.125, 0.125], [2.0] * 3, [1.0] * 3
    yield [3.0, 1.0, 4.0, 0.5], None, [0.25, 0.5, 0.125, 0.125], [0.0, 0.5, 5.0, 7.3], [1.0, 2.5, 0.25, 1.0]
    yield [0.0, 2.0, 0.0], None, [0.25, 0.5, 0.25], [2.0] * 3, [1.0] * 3
    yield edge, None, [0.875, 0.0625, 0.0625], [0.5, 1.0, 2.0], [1.0, 1.0, 2.5]


def categorical_row(x: list[float], t: int | None, y: list[float] | None, gamma: list[float], w: list[float]) -> Row:
    numbers = [mpf(u) for u in x]
    size = range(len(x))
    labels = [mpf(j == t) for j in size] if y is None else [mpf(u) for u in y]
    weights = [mpf(a) * b for a, b in zip(w, labels, strict=True)]

    def of_probability(k: int) -> Function:
        return lambda p: -((1 - p) ** mpf(gamma[k])) * mp.log(p)

    def normalised(k: int, j: int) -> Function:
        return lambda u: (u if j == k else numbers[k]) / (u + mp.fsum(v for i, v in enumerate(numbers) if i != j))

    points = [clamp(u / mp.fsum(numbers)) for u in numbers]
    outer = [weights[k] * first_difference(of_probability(k), points[k]) for k in size]
    terms = [[outer[k] * first_difference(normalised(k, j), numbers[j]) for k in size] for j in size]
    gradient = [mp.fsum(row) for row in terms]
    scale = [mp.fsum(abs(u) for u in row) for row in terms]
    # the loss does not change with the sum of x
    require_close(
        mp.fdot(gradient, numbers), mpf(0), mp.fdot(scale, numbers), f"categorical, x = {x}: radial derivative"
    )
    inputs = {"x": x, "t": t, "y": y, "gamma": gamma, "w": w}
    results = {
        "value": text(mp.fsum(weights[k] * of_probability(k)(points[k]) for k in size)),
        "gradient": texts(gradient),
        "scale": {"gradient": texts(scale)},
    }
    return make_row(inputs, is_half(*x, *(y or []), *w), results)


# Known numbers


def check_known_numbers() -> None:
    """Numbers worked out elsewhere, to the digits printed there."""
    two = mpf(2)
    for s, value in ((0, "0.173287"), (-8, "7.99497"), (8, "3.77197e-11"), (20, "8.756511e-27")):
        require_printed(hard_loss(mpf(s), two).value, value, f"value at margin {s}")
    require_printed(hard_loss(mpf(0), two).dz, "-0.298287", "derivative at 0")
    require(hard_loss(mpf(-3), two).dzz < 0 < hard_loss(mpf(-2.75), two).dzz, "the second derivative turns near -2.8")
    require_printed(plain_expected_loss(mpf(1), mpf("0.7"), two, mpf(1)), "0.226421", "two-term")
    require_printed(loss(mpf(1), mpf("0.7"), two).value, "0.101874", "p_t_loss")
    sparse = [expected_loss_of_probability(mpf(p), mpf(1), two) for p in ("0.8", "0.7", "0.6")]
    require_printed(mp.fsum(sparse) / 3, "0.0409195", "sparse mean")
    term = class_term([mpf(1), mpf(0), mpf(-1)], 0, two)
    for got, printed in zip(term.gradient, ("-0.09828779", "0.07185414", "0.02643366"), strict=True):
        require_printed(got, printed, "softmax gradient")
    for got, printed in zip(term.hessian, ("0.185294", "0.118354", "0.032727"), strict=True):
        require_printed(got, printed, "softmax Hessian")


def build() -> dict[str, list[Row]]:
    check_known_numbers()
    return {
        "binary": [binary_row(*point) for point in binary_points()],
        "p_t_loss": [p_t_loss_row(*point) for point in p_t_loss_points()],
        "probability": list(probability_rows()),
        "softmax": [softmax_row(*point) for point in softmax_points()],
        "dense": [dense_row(*point) for point in dense_points()],
        "categorical_probability": [categorical_row(*point) for point in categorical_points()],
    }


def main() -> None:
    target = Path(__file__).with_name("golden.json")
    target.write_text(dump(build()), encoding="utf-8")


if __name__ == "__main__":
    main()
