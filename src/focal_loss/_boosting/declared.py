"""The options of all boosters' objectives and metrics, from which `tools/boosters.py` writes these functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from focal_loss._boosting import objective
from focal_loss._boosting.objective import BinaryLoss, CategoricalLoss
from focal_loss._core.declare import Kind, Option, Options, option, options
from focal_loss._host.derivatives import Hessian, hessian_of

NUMBER = "must be a non-negative number"
REFUSED_NUMBERS = (
    (-1, ValueError, f"{NUMBER}, got -1"),
    (float("nan"), ValueError, f"{NUMBER}, got nan"),
    ("2", TypeError, f"{NUMBER} or an array of them, got '2'"),
    (True, TypeError, f"{NUMBER} or an array of them, got True"),
)


def or_one(check: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    """The check of a weight that is 1 for None."""
    return lambda name, value: 1.0 if value is None else check(name, value)


ONE_NUMBER, PER_CLASS = (
    Kind(objective.one_number, "float", (*REFUSED_NUMBERS, ([1.0, 2.0], TypeError, "must be one non-negative number"))),
    Kind(
        objective.per_class,
        "ParameterLike",
        (*REFUSED_NUMBERS, ([[1.0]], ValueError, "must be a number or have one entry per")),
    ),
)
ONE_WEIGHT, CLASS_WEIGHT = (Kind(or_one(kind.check), kind.annotation, kind.invalid) for kind in (ONE_NUMBER, PER_CLASS))
POLICY = Kind(
    lambda name, value: hessian_of(value),
    "Hessian",
    tuple((x, ValueError, "must be one of 'exact', 'majorizer', 'relative_floor', got") for x in ("floor", None, 1)),
)
RECORD = Kind(
    objective.record_name,
    "str",
    ((1, TypeError, "must be a string, got 1"), *((x, ValueError, "must not be empty, nor hold") for x in ("", "a b"))),
)

FOCUS = "The focusing parameter, at least 0. The higher it is, the less an easy example counts; 0 is cross-entropy."
GAMMA = Option(ONE_NUMBER, "float", FOCUS)
GAMMAS = Option(PER_CLASS, "float or sequence of K floats", FOCUS)
POS_WEIGHT = Option(ONE_WEIGHT, "float, optional", "The weight of the positives. 1 if None.")
WEIGHTS = Option(CLASS_WEIGHT, "float or sequence of K floats, optional", "The weight of each class. 1 if None.")
HESSIAN = Option(
    POLICY,
    "{'majorizer', 'exact', 'relative_floor'}",
    "The denominator of Newton steps. The focal loss is not convex: its Hessian is negative for the worst mistakes "
    "(below a margin of about -2.8 at gamma = 2), where such a step would go the wrong way. 'majorizer' leaves its "
    "only negative term out and is positive everywhere; 'exact' is the Hessian itself; 'relative_floor' is the "
    "Hessian where that is at least a quarter of the gradient's size, else that quarter. docs/boosting.md has the "
    "evidence.",
)
NAME = Option(
    RECORD,
    "str, optional",
    "The name in the library's records. If None, 'focal_loss' with the options, such as 'focal_loss(gamma=2)', so that "
    "several can be recorded at once.",
)


@options
class BinaryObjective(Options):
    gamma: float = option(GAMMA)
    pos_weight: Any = option(POS_WEIGHT, default=None)
    hessian: Hessian = option(HESSIAN, default="majorizer")

    @property
    def loss(self) -> BinaryLoss:
        return BinaryLoss(self.gamma, self.pos_weight, 1.0, self.hessian)


@options
class CategoricalObjective(Options):
    gamma: Any = option(GAMMAS)
    class_weight: Any = option(WEIGHTS, default=None)
    hessian: Hessian = option(HESSIAN, default="majorizer")

    @property
    def loss(self) -> CategoricalLoss:
        return CategoricalLoss(self.gamma, self.class_weight, self.hessian)


@options
class BinaryMetric(Options):
    gamma: float = option(GAMMA)
    pos_weight: Any = option(POS_WEIGHT, default=None)
    name: str | None = option(NAME, default=None)

    @property
    def loss(self) -> BinaryLoss:
        return BinaryLoss(self.gamma, self.pos_weight)

    @property
    def record(self) -> str:
        return self.name or objective.metric_name(gamma=self.gamma, pos_weight=self.pos_weight)


@options
class CategoricalMetric(Options):
    gamma: Any = option(GAMMAS)
    class_weight: Any = option(WEIGHTS, default=None)
    name: str | None = option(NAME, default=None)

    @property
    def loss(self) -> CategoricalLoss:
        return CategoricalLoss(self.gamma, self.class_weight)

    @property
    def record(self) -> str:
        return self.name or objective.metric_name(gamma=self.gamma, class_weight=self.class_weight)


# The functions of each booster, and the options of each.
FUNCTIONS: dict[str, type[Options]] = {
    "binary_focal_objective": BinaryObjective,
    "categorical_focal_objective": CategoricalObjective,
    "binary_focal_metric": BinaryMetric,
    "categorical_focal_metric": CategoricalMetric,
}
