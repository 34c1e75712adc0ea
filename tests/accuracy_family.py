"""Sections of `accuracy` for the losses that are declared by closed forms of their own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from accuracy import Worst, column, compare, representable, rows_by
from cases import Arrays, Framework


@dataclass(frozen=True)
class Member:
    """A loss whose section has a row per number: what the rows call its options."""

    loss: str
    gammas: tuple[str, ...]  # the options that the row's "gamma" holds, one or a list
    others: dict[str, str]  # name in the rows -> an option that may be an array
    plain: dict[str, str]  # the same of those that are numbers or flags
    labeled: bool = True

    def arrays(self, rows: list[dict[str, Any]]) -> Arrays:
        exponents = np.reshape([row["gamma"] for row in rows], (len(rows), -1)).T
        others = {option: column(rows, name) for name, option in self.others.items() if name in rows[0]}
        return dict(zip(self.gammas, exponents, strict=True)) | others

    def data(self, rows: list[dict[str, Any]], name: str) -> Arrays:
        return {"y_pred": column(rows, name)} | ({"y_true": column(rows, "y")} if self.labeled else {})

    @property
    def quantities(self) -> dict[str, str]:
        """The derivatives in the options that may be arrays."""
        gammas = {"dgamma": self.gammas[0]} if len(self.gammas) == 1 else {f"d{name}": name for name in self.gammas}
        return gammas | {f"d{name}": option for name, option in self.others.items()}


MEMBERS = {
    "poly1": Member("poly1_focal_loss", ("gamma",), {"w": "pos_weight"}, {"epsilon": "epsilon"}),
    "asymmetric": Member("asymmetric_loss", ("gamma_pos", "gamma_neg"), {}, {"clip": "clip"}),
    "varifocal": Member("varifocal_loss", ("gamma",), {"w": "alpha"}, {"detached": "detach_weight"}),
    "matchability": Member("matchability_aware_loss", ("gamma",), {"w": "alpha"}, {"detached": "detach_weight"}),
    "penalty": Member("penalty_reduced_focal_loss", ("alpha",), {"beta": "beta"}, {}),
    "cost": Member("focal_matching_cost", ("gamma",), {"w": "alpha"}, {}, labeled=False),
}


def member(framework: Framework, dtype: str, section: str) -> Iterator[tuple[str, Worst]]:
    """The shares of a member. Options are arrays, with derivatives in all of them, and numbers, with labels that need
    no derivative: these the native kernels compute. XLA compiles each number, so there some stand for all.
    """
    this = MEMBERS[section]
    loss = getattr(framework.module, this.loss)
    names = {"value": "value", "dz": "y_pred", "dzz": "second"} | ({"dy": "y_true"} if this.labeled else {})
    for values, rows in rows_by(section, *this.plain, framework=framework, dtype=dtype):
        plain = dict(zip(this.plain.values(), values, strict=True)) | {"from_logits": True}
        some = [row for row in rows if representable(row, dtype)]
        result = framework.derivatives(partial(loss, **plain), this.data(some, "z") | this.arrays(some), dtype)
        yield from compare(result, some, names | this.quantities, dtype, f"{plain}, parameters as arrays")
        by_number = defaultdict(list)
        for row, *numbers in zip(rows, *this.arrays(rows).values(), strict=True):
            by_number[tuple(map(float, numbers))].append(row)
        for numbers, same in list(by_number.items())[:: 6 if framework.name == "jax" else 1]:
            options = plain | dict(zip(this.arrays(same), numbers, strict=True))
            data = this.data(same, "z")
            labels = {"y_true": data.pop("y_true")} if this.labeled else {}
            result = framework.derivatives(partial(loss, **options, **labels), data, dtype)
            yield from compare(result, same, names, dtype, f"{options}")


# Sections by name, as the tests show them.
def poly1(framework: Framework, dtype: str) -> Iterator[tuple[str, Worst]]:
    yield from member(framework, dtype, "poly1")


def asymmetric(framework: Framework, dtype: str) -> Iterator[tuple[str, Worst]]:
    yield from member(framework, dtype, "asymmetric")


def varifocal(framework: Framework, dtype: str) -> Iterator[tuple[str, Worst]]:
    yield from member(framework, dtype, "varifocal")


def matchability(framework: Framework, dtype: str) -> Iterator[tuple[str, Worst]]:
    yield from member(framework, dtype, "matchability")


def penalty(framework: Framework, dtype: str) -> Iterator[tuple[str, Worst]]:
    yield from member(framework, dtype, "penalty")


def cost(framework: Framework, dtype: str) -> Iterator[tuple[str, Worst]]:
    yield from member(framework, dtype, "cost")


def family_probability(framework: Framework, dtype: str) -> Iterator[tuple[str, Worst]]:
    for section, this in MEMBERS.items():
        loss = getattr(framework.module, this.loss)
        given = {name: option for name, option in this.plain.items() if option != "detach_weight"}
        detach = {"detach_weight": False} if len(given) < len(this.plain) else {}
        for values, rows in rows_by(f"{section}_probability", *given, framework=framework, dtype=dtype):
            plain = dict(zip(given.values(), values, strict=True)) | detach
            arrays = this.data(rows, "x") | this.arrays(rows)
            result = framework.derivatives(partial(loss, **plain), arrays, dtype, second=False)
            yield from compare(result, rows, {"value": "value", "dx": "y_pred"}, dtype, f"{this.loss} {plain}")


FAMILY = [poly1, asymmetric, varifocal, matchability, penalty, cost, family_probability]
