"""Golden numbers of the losses that are a focal loss of the margin with something more; see make_family.py."""

from collections.abc import Callable, Iterator
from itertools import product

from family_rows import Quantity, Side, Sides, focal_side, logit_row, probability_row, two_terms
from make_golden import FEW_LOGITS, PROBABILITIES, Row, clamp, first_difference, mp, mpf, require_printed, sigmoid

Quantities = dict[str, Quantity]
PLACES = {"dz": (0, 1), "dzz": (0, 2)}


def quantities(numbers: dict[str, tuple[mpf, mpf]], places: dict[str, int]) -> Quantities:
    where = PLACES | {name: (place, 1) for name, place in places.items()}
    return {name: Quantity(*pair, *where.get(name, (None, 1))) for name, pair in numbers.items()}


# Poly-1


def poly1(p: mpf, q: mpf, y: mpf, gamma: mpf, epsilon: mpf, w: mpf) -> mpf:
    one = q**gamma * -mp.log(p) + epsilon * q ** (gamma + 1)
    zero = p**gamma * -mp.log(q) + epsilon * p ** (gamma + 1)
    return w * y * one + (1 - y) * zero


def poly1_side(p: mpf, q: mpf, gamma: mpf, epsilon: mpf) -> Sides:
    """With epsilon q^(g+1), whose terms cancel those of f where epsilon is negative."""
    numbers, terms = focal_side(p, q, gamma)
    size, g, left = q ** (gamma + 1), gamma + 1, -mp.log(q)
    more = Side(size, -g * size * p, g * p * size * (g * p - q), -size * left)
    beside = Side(size, g * size * p, g * p * size * (g * p + q), size * left)

    def total(a: Side, b: Side, k: mpf) -> Side:
        return Side(a.value + k * b.value, a.first + k * b.first, a.second + k * b.second, a.dgamma + k * b.dgamma)

    return total(numbers, more, epsilon), total(terms, beside, abs(epsilon))


def poly1_numbers(p: mpf, q: mpf, y: mpf, gamma: mpf, epsilon: mpf, w: mpf) -> dict[str, tuple[mpf, mpf]]:
    one, zero = poly1_side(p, q, gamma, epsilon), poly1_side(q, p, gamma, epsilon)
    return {
        **two_terms(one, zero, (w * y, 1 - y)),
        "dy": (w * one[0].value - zero[0].value, w * one[1].value + zero[1].value),
        "dw": (y * one[0].value, y * one[1].value),
    }


def poly1_rows() -> Iterator[Row]:
    some = ((0.0, 1.0), (0.5, 1.0), (1.0, -1.0), (2.0, 1.0), (2.0, 0.0), (2.5, 3.75), (7.3, 1.0))
    points = [
        *product(some, (1.0, 0.0, 0.625), (1.0,), FEW_LOGITS),
        *product(some, (1.0, 2.0**-10), (3.75,), FEW_LOGITS),
    ]
    for (gamma, epsilon), y, w, z in points:
        parameters = tuple(map(mpf, (y, gamma, epsilon, w)))
        numbers = poly1_numbers(sigmoid(mpf(z)), sigmoid(-mpf(z)), *parameters)
        inputs = {"z": z, "y": y, "gamma": gamma, "epsilon": epsilon, "w": w}
        yield logit_row(inputs, poly1, parameters, quantities(numbers, {"dy": 1, "dgamma": 2, "dw": 4}))


def poly1_probability_rows() -> Iterator[Row]:
    for (gamma, epsilon), y, x in product(((0.5, 1.0), (2.0, 1.0)), (1.0, 0.0, 0.25), PROBABILITIES):
        yield of_probability(
            {"x": x, "y": y, "gamma": gamma, "epsilon": epsilon}, poly1, poly1_numbers, (y, gamma, epsilon, 1.0)
        )


def of_probability(
    inputs: Row,
    definition: Callable[..., mpf],
    numbers_of: Callable[..., dict[str, tuple[mpf, mpf]]],
    parameters: tuple[float, ...],
) -> Row:
    at, exact = clamp(mpf(inputs["x"])), tuple(map(mpf, parameters))
    numbers = numbers_of(at, 1 - at, *exact)
    return probability_row(inputs, definition, exact, numbers["dz"], numbers["value"][1])


# Asymmetric


def asymmetric(p: mpf, q: mpf, y: mpf, gamma_pos: mpf, gamma_neg: mpf, clip: mpf) -> mpf:
    """m = max(p - clip, 0), and 1 - m = q + clip where it is not 0: there p may be 1 to 350 digits."""
    one, m = y * q**gamma_pos * -mp.log(p), p - clip
    return one + (1 - y) * m**gamma_neg * -mp.log(q + clip) if m > 0 else one


def clipped_side(p: mpf, q: mpf, gamma: mpf, clip: mpf) -> Sides:
    """m^g (-log(1 - m)) of the margin -z. The errors of p and of the clip are relative to them, not to m."""
    m = p - clip
    if m <= 0:
        return Side(*[mpf(0)] * 4), Side(*[mpf(0)] * 4)
    n, loss, r, factor = q + clip, -mp.log(q + clip), p * q, m**gamma
    spread = (p + clip) / m
    worth = 1 + (2 + gamma) * (spread - 1)
    first = factor * (gamma * r * loss / m + r / n)
    parts = [gamma * (gamma - 1) * r**2 * loss / m**2, 2 * gamma * r**2 / (m * n), (r / n) ** 2]
    second = factor * sum(parts) + (q - p) * first
    terms = factor * sum(map(abs, parts)) + abs(q - p) * first
    value, log = factor * loss, -mp.log(m)
    return (
        Side(value, -first, second, -value * log),
        Side(worth * value, worth * first, worth * terms, worth * value * log + (spread - 1) * value),
    )


def asymmetric_numbers(p: mpf, q: mpf, y: mpf, gamma_pos: mpf, gamma_neg: mpf, clip: mpf) -> dict[str, tuple[mpf, mpf]]:
    one, zero = focal_side(p, q, gamma_pos), clipped_side(p, q, gamma_neg, clip)
    numbers = two_terms(one, zero, (y, 1 - y))
    del numbers["dgamma"]
    return {
        **numbers,
        "dy": (one[0].value - zero[0].value, one[1].value + zero[1].value),
        "dgamma_pos": (y * one[0].dgamma, y * one[1].dgamma),
        "dgamma_neg": ((1 - y) * zero[0].dgamma, (1 - y) * zero[1].dgamma),
    }


NEAR_THE_CLIP = (-2.9375, -2.9453125)  # p is .05033 and below .05


def asymmetric_rows() -> Iterator[Row]:
    pairs = ((0.0, 0.0), (1.0, 4.0), (0.5, 0.5), (2.0, 2.5), (7.3, 1.0), (0.0, 7.3))
    points = [*product(pairs, (1.0, 0.0, 0.625), (0.05,), (*FEW_LOGITS, *NEAR_THE_CLIP))]
    points += product(pairs[1:4:2] + pairs[5:], (0.0, 0.25), (0.0, 2.0**-10, 0.3, 0.96875), FEW_LOGITS)
    for gammas, y, clip, z in points:
        parameters = tuple(map(mpf, (y, *gammas, clip)))
        numbers = asymmetric_numbers(sigmoid(mpf(z)), sigmoid(-mpf(z)), *parameters)
        inputs = {"z": z, "y": y, "gamma": list(gammas), "clip": clip}
        yield logit_row(
            inputs, asymmetric, parameters, quantities(numbers, {"dy": 1, "dgamma_pos": 2, "dgamma_neg": 3})
        )


def asymmetric_probability_rows() -> Iterator[Row]:
    for gammas, y, clip, x in product(((0.5, 0.5), (1.0, 4.0)), (1.0, 0.0, 0.25), (0.0, 0.05), PROBABILITIES):
        inputs = {"x": x, "y": y, "gamma": list(gammas), "clip": clip}
        yield of_probability(inputs, asymmetric, asymmetric_numbers, (y, *gammas, clip))


# The cost of a match


def cost(p: mpf, q: mpf, gamma: mpf, alpha: mpf) -> mpf:
    return alpha * q**gamma * -mp.log(p) - (1 - alpha) * p**gamma * -mp.log(q)


def cost_numbers(p: mpf, q: mpf, gamma: mpf, alpha: mpf) -> dict[str, tuple[mpf, mpf]]:
    one, zero = focal_side(p, q, gamma), focal_side(q, p, gamma)
    negative = tuple(side.times(mpf(-1)) for side in zero)
    numbers = two_terms(one, (negative[0], zero[1]), (alpha, 1 - alpha))
    return numbers | {"dw": (one[0].value + zero[0].value, one[1].value + zero[1].value)}


def cost_rows() -> Iterator[Row]:
    for gamma, alpha, z in product((0.0, 0.5, 1.0, 2.0, 2.5, 7.3), (0.0, 0.25, 0.625, 1.0), FEW_LOGITS):
        parameters = (mpf(gamma), mpf(alpha))
        numbers = cost_numbers(sigmoid(mpf(z)), sigmoid(-mpf(z)), *parameters)
        inputs = {"z": z, "gamma": gamma, "w": alpha}
        yield logit_row(inputs, cost, parameters, quantities(numbers, {"dgamma": 1, "dw": 2}))


def cost_probability_rows() -> Iterator[Row]:
    for gamma, alpha, x in product((0.5, 2.0), (0.25, 1.0), PROBABILITIES):
        yield of_probability({"x": x, "gamma": gamma, "w": alpha}, cost, cost_numbers, (gamma, alpha))


def check_known_numbers() -> None:
    def at(definition: Callable[..., mpf], *parameters: mpf) -> Callable[[mpf], mpf]:
        return lambda z: definition(sigmoid(z), sigmoid(-z), *parameters)

    one, zero, clip = mpf(1), mpf(0), mpf("0.05")
    known = [
        (at(asymmetric, one, one, mpf(4), clip), "0.0842490435", "-0.133920474", "2.904005434", "-1.045122461"),
        (at(asymmetric, zero, one, mpf(4), clip), "0.245860224676", "0.4165339", None, None),
        (at(poly1, one, mpf(2), one, one), "0.0421104529", "-0.0952436515", "3.630643791", "-1.249729440"),
        (at(cost, mpf(2), mpf("0.25")), "-0.520736713", None, "0.691488148", None),
    ]
    for function, *printed in known:
        found = [function(mpf(1)), first_difference(function, mpf(1))]
        found += [function(mpf(-3)), first_difference(function, mpf(-3))]
        for number, text in zip(found, printed, strict=True):
            if text is not None:
                require_printed(number, text, "a known number")


def sections() -> dict[str, list[Row]]:
    check_known_numbers()
    return {
        "poly1": [*poly1_rows()],
        "poly1_probability": [*poly1_probability_rows()],
        "asymmetric": [*asymmetric_rows()],
        "asymmetric_probability": [*asymmetric_probability_rows()],
        "cost": [*cost_rows()],
        "cost_probability": [*cost_probability_rows()],
    }
