"""Golden numbers of the losses whose positive labels are scores, and which jump at a label; see make_family.py.

Where they jump, at a label of 0 or of 1, the derivative in the label is 0 by definition. A power of the label has an
error of its own, as that of q has: the terms count 1 + g |log y| / 4 times, as 8 + 2 g |log y| stands in the bound.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

from family_margins import of_probability, quantities
from family_rows import focal_side, logit_row
from make_golden import FEW_LOGITS, PROBABILITIES, SOFT_LABELS, Row, first_difference, mp, mpf, require_printed, sigmoid

Numbers = dict[str, tuple[mpf, mpf]]
NOTHING = (mpf(0), mpf(0))
SCORES = (1.0, 0.0, *SOFT_LABELS, 0.875)


def cross_entropy(p: mpf, q: mpf, t: mpf) -> mpf:
    return t * -mp.log(p) + (1 - t) * -mp.log(q)


def varifocal(p: mpf, q: mpf, y: mpf, gamma: mpf, alpha: mpf, held: mpf | None = None) -> mpf:
    """`held`: p in the factor, where that counts as a constant."""
    return y * cross_entropy(p, q, y) if y > 0 else negative(p, q, gamma, alpha, held)


def matchability(p: mpf, q: mpf, y: mpf, gamma: mpf, alpha: mpf, held: mpf | None = None) -> mpf:
    return cross_entropy(p, q, y**gamma) if y > 0 else negative(p, q, gamma, alpha, held)


def negative(p: mpf, q: mpf, gamma: mpf, alpha: mpf, held: mpf | None) -> mpf:
    return alpha * (p if held is None else held) ** gamma * -mp.log(q)


def negative_numbers(p: mpf, q: mpf, gamma: mpf, alpha: mpf, detached: bool) -> Numbers:
    """alpha p^g l."""
    numbers, terms = focal_side(q, p, gamma)
    factor = alpha * p**gamma
    value, dgamma = alpha * numbers.value, alpha * numbers.dgamma
    dz = (factor * p, factor * p) if detached else (-alpha * numbers.first, alpha * terms.first)
    dzz = (factor * p * q,) * 2 if detached else (alpha * numbers.second, alpha * terms.second)
    return {
        "value": (value, value),
        "dz": dz,
        "dzz": dzz,
        "dy": NOTHING,
        "dgamma": (dgamma, -dgamma),
        "dw": (numbers.value, numbers.value),
    }


def varifocal_numbers(p: mpf, q: mpf, y: mpf, gamma: mpf, alpha: mpf, detached: bool) -> Numbers:
    if y == 0:
        return negative_numbers(p, q, gamma, alpha, detached)
    loss, z = cross_entropy(p, q, y), mp.log(p) - mp.log(q)
    return {
        "value": (y * loss, y * loss),
        "dz": (y * ((1 - y) * p - y * q), y * ((1 - y) * p + y * q)),
        "dzz": (y * p * q, y * p * q),
        "dy": (loss - y * z, loss + y * abs(z)),
        "dgamma": NOTHING,
        "dw": NOTHING,
    }


def matchability_numbers(p: mpf, q: mpf, y: mpf, gamma: mpf, alpha: mpf, detached: bool) -> Numbers:
    if y == 0:
        return negative_numbers(p, q, gamma, alpha, detached)
    t, z = y**gamma, mp.log(p) - mp.log(q)
    dz, dy, dgamma = (1 - t) * p - t * q, -z * gamma * t / y, -z * t * mp.log(y)
    numbers = {
        "value": (cross_entropy(p, q, t), cross_entropy(p, q, t)),
        "dz": (dz, (1 - t) * p + t * q),
        "dzz": (p * q, p * q),
        "dy": (dy, abs(dy)),
        "dgamma": (dgamma, abs(dgamma)),
        "dw": NOTHING,
    }
    worth = 1 + gamma * abs(mp.log(y)) / 4
    return {name: (number, worth * terms) for name, (number, terms) in numbers.items()}


def held(definition: Callable[..., mpf], p: mpf) -> Callable[..., mpf]:
    function = partial(definition, held=p)
    function.__name__ = f"{definition.__name__}_detached"  # type: ignore[attr-defined]
    return function


def score_rows(
    definition: Callable[..., mpf], numbers_of: Callable[..., Numbers], gammas: tuple[float, ...]
) -> Iterator[Row]:
    points = [*product(gammas, SCORES, (0.75,), (False,), FEW_LOGITS)]
    points += product(gammas, (0.0,), (0.75,), (True,), FEW_LOGITS)
    points += product((2.0,), (1.0, 0.0, 0.625), (3.75,), (True,), FEW_LOGITS)
    points += product((0.5, 2.0, 7.3), (1 - 2.0**-20,), (0.75,), (False,), FEW_LOGITS)  # where 1 - y^g could cancel
    for gamma, y, alpha, detached, z in points:
        parameters, p, q = tuple(map(mpf, (y, gamma, alpha))), sigmoid(mpf(z)), sigmoid(-mpf(z))
        numbers = numbers_of(p, q, *parameters, detached)
        places = {"dgamma": 2, "dw": 3} | ({"dy": 1} if y else {})
        inputs = {"z": z, "y": y, "gamma": gamma, "w": alpha, "detached": detached}
        chosen = held(definition, p) if detached else definition
        yield logit_row(inputs, chosen, parameters, quantities(numbers, places))


def score_probability_rows(definition: Callable[..., mpf], numbers_of: Callable[..., Numbers]) -> Iterator[Row]:
    for gamma, y, x in product((0.5, 2.0), (1.0, 0.0, 0.25), PROBABILITIES):
        inputs = {"x": x, "y": y, "gamma": gamma, "w": 0.75}
        yield of_probability(inputs, definition, partial(numbers_of, detached=False), (y, gamma, 0.75))


# Penalty-reduced


def penalty(p: mpf, q: mpf, y: mpf, gamma: mpf, beta: mpf) -> mpf:
    return q**gamma * -mp.log(p) if y == 1 else (1 - y) ** beta * p**gamma * -mp.log(q)


def penalty_numbers(p: mpf, q: mpf, y: mpf, gamma: mpf, beta: mpf) -> Numbers:
    sign = 1 if y == 1 else -1
    numbers, terms = focal_side(p, q, gamma) if y == 1 else focal_side(q, p, gamma)
    share, log = (mpf(1), mpf(0)) if y == 1 else ((1 - y) ** beta, mp.log(1 - y))
    value, worth = share * numbers.value, 1 + beta * abs(log) / 4
    dy = mpf(0) if y == 1 else -beta * value / (1 - y)
    found = {
        "value": (value, value),
        "dz": (sign * share * numbers.first, share * terms.first),
        "dzz": (share * numbers.second, share * terms.second),
        "dy": (dy, abs(dy)),
        "dgamma": (share * numbers.dgamma, share * terms.dgamma),
        "dbeta": (value * log, abs(value * log)),
    }
    return {name: (number, worth * terms) for name, (number, terms) in found.items()}


def penalty_rows() -> Iterator[Row]:
    pairs = ((2.0, 4.0), (0.0, 0.0), (0.5, 0.5), (1.0, 2.5), (2.5, 1.0), (7.3, 4.0))
    for (gamma, beta), y, z in product(pairs, (*SCORES, 1 - 2.0**-24), FEW_LOGITS):
        parameters = tuple(map(mpf, (y, gamma, beta)))
        numbers = penalty_numbers(sigmoid(mpf(z)), sigmoid(-mpf(z)), *parameters)
        places = {"dgamma": 2, "dbeta": 3} | ({} if y == 1 else {"dy": 1})
        inputs = {"z": z, "y": y, "gamma": gamma, "beta": beta}
        yield logit_row(inputs, penalty, parameters, quantities(numbers, places))


def penalty_probability_rows() -> Iterator[Row]:
    for (gamma, beta), y, x in product(((2.0, 4.0), (0.5, 0.5)), (1.0, 0.0, 0.25), PROBABILITIES):
        inputs = {"x": x, "y": y, "gamma": gamma, "beta": beta}
        yield of_probability(inputs, penalty, penalty_numbers, (y, gamma, beta))


def check_known_numbers() -> None:
    two, share, score, half = mpf(2), mpf("0.75"), mpf("0.7"), mpf("1.5")
    known = [
        (varifocal, (mpf(0), two, share), False, "0.526401228", "0.576176042", "8.196249e-5", "2.361539e-4"),
        (varifocal, (mpf(0), two, share), True, "0.526401228", "0.293033854", "8.196249e-5", "8.000318e-5"),
        (varifocal, (score, two, share), True, "0.429283181", "0.021741005", "1.504011146", "-0.456801889"),
        (matchability, (score, half, mpf(1)), True, "0.727599669", "0.145396560", "1.805573407", "-0.538236145"),
        (matchability, (mpf(0), half, mpf(1)), True, "0.820879748", "0.456962376", "5.018180e-4", "4.898221e-4"),
        (penalty, (mpf(1), two, mpf(4)), False, "0.0226580575", "-0.0525811300", "2.766280441", "-1.126749881"),
        (penalty, (mpf("0.8"), two, mpf(4)), False, "0.00112298929", "0.00122917556", "1.748533e-7", "5.037950e-7"),
    ]
    for definition, parameters, detached, *printed in known:
        for z, value, slope in ((mpf(1), *printed[:2]), (mpf(-3), *printed[2:])):
            chosen = held(definition, sigmoid(z)) if detached else definition
            at = lambda x, chosen=chosen, parameters=parameters: chosen(sigmoid(x), sigmoid(-x), *parameters)  # noqa: E731
            require_printed(at(z), value, definition.__name__)
            require_printed(first_difference(at, z), slope, f"the slope of {definition.__name__}")


def sections() -> dict[str, list[Row]]:
    check_known_numbers()
    return {
        "varifocal": [*score_rows(varifocal, varifocal_numbers, (0.0, 0.5, 1.0, 2.0, 2.5, 7.3))],
        "varifocal_probability": [*score_probability_rows(varifocal, varifocal_numbers)],
        "matchability": [*score_rows(matchability, matchability_numbers, (0.0, 0.5, 1.0, 1.5, 2.0, 7.3))],
        "matchability_probability": [*score_probability_rows(matchability, matchability_numbers)],
        "penalty": [*penalty_rows()],
        "penalty_probability": [*penalty_probability_rows()],
    }
