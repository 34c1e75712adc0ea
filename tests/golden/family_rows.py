"""Rows of the family's golden numbers: a definition in p and q, its differences, and the closed forms beside them."""

from collections.abc import Callable
from dataclasses import dataclass

from make_golden import (
    LARGEST,
    Row,
    check_by_diff,
    clamp,
    first_difference,
    is_half,
    is_usual,
    make_row,
    mp,
    mpf,
    require_close,
    second_difference,
    sigmoid,
    text,
)

LOST = mpf(10) ** -70
Definition = Callable[..., mpf]  # (p, q, *parameters) -> the loss


@dataclass(frozen=True)
class Quantity:
    """A result in closed form, and the magnitude of its terms, each times what their roundings are worth.

    `place` and `order` tell the parameter and the order of a derivative, 0 being the logit. `place` is None for values
    and for what the contract sets where the loss jumps.
    """

    closed: mpf
    terms: mpf
    place: int | None = None
    order: int = 1


@dataclass(frozen=True)
class Side:
    """The loss of a margin s = log(p / q): value, derivatives in s (first and second) and in gamma."""

    value: mpf
    first: mpf
    second: mpf
    dgamma: mpf

    def times(self, weight: mpf) -> "Side":
        return Side(weight * self.value, weight * self.first, weight * self.second, weight * self.dgamma)


Sides = tuple[Side, Side]  # the numbers, and the magnitudes of their terms


def focal_side(p: mpf, q: mpf, gamma: mpf) -> Sides:
    """q^g L."""
    right, left, factor = -mp.log(p), -mp.log(q), q**gamma
    value, first = factor * right, factor * (gamma * p * right + q)
    second = factor * p * ((2 * gamma + 1) * q + gamma * right * (gamma * p - q))
    terms = factor * p * ((2 * gamma + 1) * q + gamma * right * (gamma * p + q))
    return Side(value, -first, second, -value * left), Side(value, first, terms, value * left)


def two_terms(one: Sides, zero: Sides, weights: tuple[mpf, mpf]) -> dict[str, tuple[mpf, mpf]]:
    """weights[0] times the loss of the logit plus weights[1] times that of its opposite: name -> number, magnitude."""
    a, b = (side.times(weights[0]) for side in one)
    c, d = (side.times(weights[1]) for side in zero)
    return {
        "value": (a.value + c.value, b.value + d.value),
        "dz": (a.first - c.first, b.first + d.first),
        "dzz": (a.second + c.second, b.second + d.second),
        "dgamma": (a.dgamma + c.dgamma, b.dgamma + d.dgamma),
    }


def logit_row(inputs: Row, definition: Definition, parameters: tuple[mpf, ...], quantities: dict[str, Quantity]) -> Row:
    """A row of a logit: differences, or the closed forms where differences have too few digits.

    That is at the largest logit, and for a term that is lost beside others.
    """
    z = inputs["z"]
    point = (mpf(z), *parameters)

    def of_logit(z: mpf, *parameters: mpf) -> mpf:
        return definition(sigmoid(z), sigmoid(-z), *parameters)

    value = of_logit(*point)
    results, numbers = {"value": text(value)}, {}
    for name, quantity in quantities.items():
        result, place = quantity.closed, quantity.place
        if place is not None and abs(z) < LARGEST and quantity.terms > LOST * abs(value):

            def along(x: mpf, place: int = place) -> mpf:
                return of_logit(*point[:place], x, *point[place + 1 :])

            result = (first_difference if quantity.order == 1 else second_difference)(along, point[place])
            numbers[place, quantity.order] = result
        require_close(result, quantity.closed, quantity.terms, f"{definition.__name__} {inputs}: {name}")
        results[name] = text(result)
    gammas = inputs["gamma"] if isinstance(inputs["gamma"], list) else [inputs["gamma"]]
    if abs(z) in (0.5, 20.0) and all(is_usual(g, inputs.get("y", 0.5)) for g in gammas):
        of_logit.__name__ = definition.__name__
        check_by_diff(of_logit, point, numbers)
    scale = {name: text(quantity.terms) for name, quantity in quantities.items()}
    return make_row(inputs, is_half(z, inputs.get("y", 0.0)), {**results, "scale": scale})


def probability_row(
    inputs: Row, definition: Definition, parameters: tuple[mpf, ...], slope: tuple[mpf, mpf], value_terms: mpf
) -> Row:
    """A row of a probability x, clamped to [1e-7, 1 - 1e-7]. `slope` is the derivative in the logit, and its terms."""
    at = clamp(mpf(inputs["x"]))
    dx = first_difference(lambda p: definition(p, 1 - p, *parameters), at)
    closed, terms = (part / (at * (1 - at)) for part in slope)
    require_close(dx, closed, terms, f"{definition.__name__} of a probability {inputs}")
    results = {
        "value": text(definition(at, 1 - at, *parameters)),
        "dx": text(dx),
        "scale": {"value": text(value_terms), "dx": text(terms)},
    }
    return make_row(inputs, is_half(inputs["x"], inputs.get("y", 0.0)), results)
