"""Options and sentences that several losses share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from focal_loss._core import options as check
from focal_loss._core.declare import Kind, Option, option

NAN, INF = float("nan"), float("inf")

NUMBER = "must be a non-negative number"
PARAMETER = Kind(
    check.parameter,
    "ParameterLike",
    (
        (-1, ValueError, f"{NUMBER}, got -1"),
        (NAN, ValueError, f"{NUMBER}, got nan"),
        (INF, ValueError, f"{NUMBER}, got inf"),
        ([1.0, -2.0], ValueError, f"{NUMBER}, got -2.0"),
        (np.array([1.0, -2.0]), ValueError, f"{NUMBER}, got -2.0 in an array"),
        ("2", TypeError, f"{NUMBER} or an array of them, got '2'"),
        (True, TypeError, f"{NUMBER} or an array of them, got True"),
        (["a"], TypeError, f"{NUMBER} or an array of them, got 'a'"),
        (np.array(["a"]), TypeError, f"{NUMBER} or an array of them, got an array of <U1"),
        ([[1, 2], [3]], TypeError, f"{NUMBER} or an array of them"),
        (1j, TypeError, f"{NUMBER} or an array of them, got 1j"),
    ),
)
WEIGHT = Kind(check.weight, "ParameterLike", PARAMETER.invalid)
FRACTION = Kind(
    check.fraction,
    "ParameterLike",
    (
        (-0.5, ValueError, "must be a number in [0, 1], got -0.5"),
        (1.5, ValueError, "must be a number in [0, 1], got 1.5"),
        (NAN, ValueError, "must be a number in [0, 1], got nan"),
        ("1", TypeError, "must be a number in [0, 1] or an array of them, got '1'"),
        (None, TypeError, "must be a number in [0, 1] or an array of them, got None"),
    ),
)
FLAG = Kind(check.flag, "bool", tuple((x, TypeError, f"must be True or False, got {x!r}") for x in (None, 1, "yes")))
SMOOTHING = Kind(
    check.smoothing,
    "float",
    (
        (-0.1, ValueError, "must be a number in [0, 1] or None, got -0.1"),
        (1.1, ValueError, "must be a number in [0, 1] or None, got 1.1"),
        ("a", TypeError, "must be a number in [0, 1] or None, got 'a'"),
    ),
)
AXIS = Kind(
    check.integer,
    "int",
    (
        (2, ValueError, "must be in [-2, 2)"),  # beside predictions with two axes
        (-3, ValueError, "must be in [-2, 2)"),
        (0.5, TypeError, "must be an integer, got 0.5"),
        (None, TypeError, "must be an integer, got None"),
    ),
)
CLASS = Kind(
    check.ignored_class,
    "int",
    (
        (0.5, TypeError, "must be an integer, got 0.5"),
        (2**63, ValueError, "must be an integer of 64 bits, got 9223372036854775808"),
    ),
)

AT_LEAST_MINUS_1 = Kind(
    check.at_least_minus_1,
    "float",
    (
        (-1.5, ValueError, "must be a finite number of at least -1, got -1.5"),
        (INF, ValueError, "must be a finite number of at least -1, got inf"),
        (NAN, ValueError, "must be a finite number of at least -1, got nan"),
        ("1", TypeError, "must be a finite number of at least -1, got '1'"),
        (True, TypeError, "must be a finite number of at least -1, got True"),
        (None, TypeError, "must be a finite number of at least -1, got None"),
    ),
)
CLIP = Kind(
    check.clip,
    "float",
    (
        (-0.05, ValueError, "must be a number in [0, 1), got -0.05"),
        (1, ValueError, "must be a number in [0, 1), got 1"),
        (NAN, ValueError, "must be a number in [0, 1), got nan"),
        ("0", TypeError, "must be a number in [0, 1), got '0'"),
        (False, TypeError, "must be a number in [0, 1), got False"),
        (None, TypeError, "must be a number in [0, 1), got None; pass 0 for no clip"),
    ),
)


def weight_of_positives(xp: Any, y: Any, weight: Any) -> Any:
    """The weight of a label whose positive part alone is weighed."""
    return weight * y + (1 - y)


def weight_of_sides(xp: Any, y: Any, weight: Any) -> Any:
    """The weight of a label whose negative part has what the positive part lacks of 1."""
    return weight * y + (1 - weight) * (1 - y)


def weight_of_negatives(xp: Any, y: Any, weight: Any) -> Any:
    """The weight of a label where each positive counts 1, whatever its score."""
    return xp.where(y > 0, 1.0, weight)


def weight_of_scores(xp: Any, y: Any, weight: Any) -> Any:
    """The weight of a label where each positive counts by its score."""
    return xp.where(y > 0, y, weight)


LIKE_LABELS = "broadcasts with the labels"
LIKE_PREDICTIONS = "broadcasts with the predictions"
PER_CLASS = "() or (K,)"
PER_EXAMPLE = "(), (K,) or (..., 1, ...)"


FOCUSING = "The focusing parameter, at least 0. The higher it is, the less an easy example counts; 0 is cross-entropy."


def gamma(shape: str, default: Any = ..., says: str = FOCUSING) -> Any:
    declared = Option(PARAMETER, f"float or array_like, shape {shape}", says)
    return option(declared) if default is ... else option(declared, default=default)


def softmax_gamma(default: Any = ...) -> Any:
    says = f"""{FOCUSING} A vector is one for each class; an array with the axes of `y_pred`, of length 1 in place of K,
is one for each example."""
    return gamma(PER_EXAMPLE, default, says)


def pos_weight() -> Any:
    declared = Option(
        WEIGHT,
        "float or array_like, optional",
        "The weight of the positives, at least 0, a shape that broadcasts with the labels. 1 if None.",
    )
    return option(declared, default=None)


def negative_weight(default: float) -> Any:
    says = "The weight of the negatives, which have labels of 0, at least 0."
    return option(Option(PARAMETER, f"float or array_like, shape {LIKE_LABELS}", says), default=default)


def detach_weight(default: bool) -> Any:
    says = """Whether the factor ``p**gamma`` of a negative counts as a constant in derivatives with respect to the
prediction, as the `detach` of a tensor makes it one."""
    return option(Option(FLAG, "bool", says), default=default)


def class_weight() -> Any:
    declared = Option(WEIGHT, "float or array_like, shape () or (K,), optional", "The weight of each class. 1 if None.")
    return option(declared, default=None)


def class_alpha() -> Any:
    declared = Option(PARAMETER, "float or array_like, shape () or (K,)", "The weight of each class, at least 0.")
    return option(declared, default=0.25)


def from_logits(normalised: str = "") -> Any:
    says = f"""Whether `y_pred` holds logits, any real number, or probabilities. Prefer logits: they are exact for every
finite number. Probabilities are clamped to [1e-7, 1 - 1e-7]{normalised}; beyond the clamp the gradient is
that of its edge."""
    return option(Option(FLAG, "bool", says), default=False)


NORMALISED = " after division by their sum"


def label_smoothing(classes: str, default: float | None) -> Any:
    says = f"""The amount a, in [0, 1]. Labels become ``(1 - a) * y_true + a / {classes}``, in the focal factor as in
the logarithm."""
    return option(Option(SMOOTHING, "float, optional" if default is None else "float", says), default=default)


def class_axis() -> Any:
    return option(Option(AXIS, "int", "The axis of `y_pred` that holds the classes."), default=-1)


def index_smoothing(default: float | None) -> Any:
    says = """The amount a, in [0, 1]. An index counts as the labels ``(1 - a) * one_hot + a / K``, in the focal factor
as in the logarithm: the loss is that of all K classes."""
    return option(Option(SMOOTHING, "float, optional" if default is None else "float", says), default=default)


def ignore_class(
    says: str = "Examples with this label cost 0 and have a gradient of zeros, whatever their "
    "prediction. It need not be a class.",
) -> Any:
    return option(Option(CLASS, "int, optional", says), default=None)


IGNORED_LABEL = (
    "Predictions with this label cost 0 and have a gradient of zeros, whatever they are. It need not be in [0, 1]."
)


DENSE_NOTES = """Domain: `y_true` in [0, 1]; `y_pred` real (logits, linked by the softmax) or non-negative. The loss is
``sum_j weight_j * y_j * (1 - p_j)**gamma_j * -log(p_j)`` [1]_, where 1 - p_j is a sum over the other classes."""

SPARSE_NOTES = """Domain: `y_true` in 0 .. K-1; `y_pred` real (logits, linked by the softmax) or non-negative. The loss
is ``weight_t * (1 - p_t)**gamma_t * -log(p_t)`` [1]_ of the true class t, where 1 - p_t is a sum over the other
classes; with `label_smoothing` the sum of such terms over all classes, each times its smoothed label. No one-hot
labels are made."""

SCALES_ALIKE = "A single `alpha` scales the loss of every class alike: it balances nothing."

BINARY_DOMAIN = """Domain: `y_true` in [0, 1]; `y_pred` real (logits, linked by the sigmoid) or in [0, 1]. With p the
probability of the positive class and q = 1 - p the loss is [1]_"""


def closed_forms(family: str, form: Callable[..., Any], *, detachable: bool = False) -> dict[str, Callable[..., Any]]:
    """The closed forms of a loss by name: from logits and of probabilities, with a constant factor and without."""
    forms: dict[str, Callable[..., Any]] = {
        family: partial(form, from_logits=True),
        f"{family}_of_probabilities": partial(form, from_logits=False),
    }
    if not detachable:
        return forms
    plain = {name: partial(each, detached=False) for name, each in forms.items()}
    return plain | {f"detached_{name}": partial(each, detached=True) for name, each in forms.items()}
