"""The kinds of options, each checked in one place with one wording.

A parameter is a number, a sequence of numbers or an array of any framework. Numbers become `float`, sequences and
NumPy arrays stay host arrays and are checked in full; tensors of a framework pass through unread, because reading them
could stop a trace or wait for a device.
"""

from __future__ import annotations

import math
import numbers
import sys
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Literal, Protocol, TypeAlias, get_args

import numpy as np

from focal_loss._core.arrays import on_host, refuse_missing
from focal_loss._core.checks import host_array, refuse_foreign, shown


class HasShape(Protocol):
    @property
    def shape(self) -> Any: ...


# The annotation of gamma and weights: a number, a sequence of numbers, or an array of any framework.
ParameterLike: TypeAlias = float | Sequence[float] | Sequence[Sequence[float]] | HasShape
Parameter = Any  # the same inside the library, where it may be checked already
Reduction = Literal["none", "mean", "sum"]
REDUCTIONS = get_args(Reduction)


def is_number(value: object) -> bool:
    """Whether the value is one real number, not a bool, a string or an array with axes."""
    if type(value) in (float, int):  # the usual case, ten times faster than the general one
        return True
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def exceeds_float(value: Any) -> bool:
    return isinstance(value, (int, Fraction)) and value > sys.float_info.max


def parameter(name: str, value: Parameter, high: float = math.inf) -> Parameter:
    """The checked value: a `float` for one number, a list, an array on the host in float64, or the tensor itself,
    unread.
    """
    allowed = f"`{name}` must be a " + ("non-negative number" if high == math.inf else f"number in [0, {high:g}]")
    if is_number(value):
        # Only comparisons, which `torch.compile` can trace.
        if not 0 <= value <= high or value == math.inf or exceeds_float(value):
            raise ValueError(f"{allowed}, got {shown(value)}")
        return float(value)
    if isinstance(value, (list, tuple)):
        lengths = {len(v) if isinstance(v, (list, tuple)) else 0 for v in value}
        if len(lengths) != 1:
            raise TypeError(f"{allowed} or an array of them, got {shown(value)}")
        return [parameter(name, v, high) for v in value]
    if isinstance(value, (np.ndarray, np.generic)) or hasattr(value, "to_numpy"):
        refuse_foreign(name, value)
        refuse_missing(name, value)
        return host_parameter(value, high, allowed)
    if isinstance(value, dict):
        raise TypeError(f"{allowed} or an array of them, got dict; pass a list with one entry per class")
    if not hasattr(value, "shape"):
        raise TypeError(f"{allowed} or an array of them, got {shown(value)}")
    return value


def positive(name: str, value: Parameter) -> Parameter:
    """Like `parameter`, for weights that divide and must not be 0; 1 for None. A class of weight 0 was never
    learned.
    """
    if value is None:
        return 1.0
    checked = parameter(name, value)
    if isinstance(checked, float):  # a branch of its own, which `torch.compile` can trace
        if checked == 0:
            raise ValueError(f"`{name}` must be a positive number, got {value}")
        return checked
    if isinstance(checked, (list, np.ndarray)) and not np.all(np.asarray(checked, np.float64) > 0):
        raise ValueError(f"`{name}` must be a positive number, got 0 in an array")
    return checked


MOST_TEMPERATURE = 1e6  # in either direction, far beyond what a fit finds
# Written once, because `torch.compile` with dynamic shapes cannot format a number.
_OF_TEMPERATURES = f"must be a number in [{1 / MOST_TEMPERATURE:g}, {MOST_TEMPERATURE:g}]"


def temperature(name: str, value: object) -> float:
    allowed = f"`{name}` {_OF_TEMPERATURES}"
    if not is_number(value):
        raise TypeError(f"{allowed}, got {shown(value)}")
    if not 1 / MOST_TEMPERATURE <= value <= MOST_TEMPERATURE:  # type: ignore[operator]
        raise ValueError(f"{allowed}, got {shown(value)}")
    return float(value)  # type: ignore[arg-type]


def sample_weights(value: Any, count: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A weight for each of `count` examples, on the host; 1 for None. As in scikit-learn, any object will do of which
    NumPy makes an array.
    """
    if value is None:
        return np.ones(count)
    refuse_missing("sample_weight", value)
    weights = np.asarray(on_host(value), np.float64)
    if weights.shape != (count,):
        raise ValueError(f"`sample_weight` must have the shape ({count},), got {weights.shape}")
    if not (weights >= 0).all() or not 0 < weights.sum() < np.inf:
        raise ValueError("`sample_weight` must hold one non-negative number per example, not all of them zero")
    return weights


def host_parameter(value: Parameter, high: float, allowed: str) -> Parameter:
    """A NumPy array or a pandas series, checked, as float64."""
    array = np.asarray(value)
    if array.dtype.kind not in "iuf" and array.dtype.name != "bfloat16":
        raise TypeError(f"{allowed} or an array of them, got an array of {array.dtype}")
    array = array.astype(np.float64)
    bad = ~((array >= 0) & (array <= high) & np.isfinite(array))
    if bad.any():
        raise ValueError(f"{allowed}, got {array[bad][0]} in an array")
    return float(array) if array.ndim == 0 else array


def offset(name: str, value: Parameter) -> Parameter:
    """Finite numbers of either sign on the host, as float64, or a tensor itself; 0 for None."""
    if value is None:
        return 0.0
    if hasattr(value, "shape") and not isinstance(value, (np.ndarray, np.generic)) and not hasattr(value, "to_numpy"):
        return value
    array = host_array(name, value).astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"`{name}` must hold finite numbers, got {array[~np.isfinite(array)][0]}")
    return array


def flag(name: str, value: object) -> bool:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    raise TypeError(f"`{name}` must be True or False, got {shown(value)}")


def integer(name: str, value: object, remedy: str = "") -> int:
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise TypeError(f"`{name}` must be an integer, got {shown(value)}{remedy}")
    return int(value)


def weight(name: str, value: Parameter) -> Parameter:
    """Like `parameter`; 1 for None."""
    return 1.0 if value is None else parameter(name, value)


def fraction(name: str, value: Parameter) -> Parameter:
    """Like `parameter`, in [0, 1]."""
    return parameter(name, value, 1.0)


def at_least_minus_1(name: str, value: object) -> float:
    allowed = f"`{name}` must be a finite number of at least -1"
    if not is_number(value):
        raise TypeError(f"{allowed}, got {shown(value)}")
    if not -1 <= value < math.inf or exceeds_float(value):  # type: ignore[operator]
        raise ValueError(f"{allowed}, got {shown(value)}")
    return float(value)  # type: ignore[arg-type]


def clip(name: str, value: object) -> float:
    allowed = f"`{name}` must be a number in [0, 1)"
    if not is_number(value):
        raise TypeError(f"{allowed}, got {shown(value)}{'; pass 0 for no clip' if value is None else ''}")
    if not 0 <= value < 1:  # type: ignore[operator]
        raise ValueError(f"{allowed}, got {shown(value)}")
    return float(value)  # type: ignore[arg-type]


def ignored_class(name: str, value: object) -> int | None:
    if value is None:
        return None
    number = integer(name, value, " (None: no class)")
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"`{name}` must be an integer of 64 bits, got {shown(number)}")
    return number


def smoothing(name: str, value: object) -> float:
    """The checked smoothing; None means 0."""
    if value is None:
        return 0.0
    if not is_number(value):
        raise TypeError(f"`{name}` must be a number in [0, 1] or None, got {shown(value)}")
    if not 0 <= value <= 1:  # type: ignore[operator]
        raise ValueError(f"`{name}` must be a number in [0, 1] or None, got {shown(value)}")
    return float(value)  # type: ignore[arg-type]


def reduction(value: object) -> Reduction:
    if not isinstance(value, str) or value not in REDUCTIONS:  # `in` would compare an array entry by entry
        raise ValueError(f"`reduction` must be 'none', 'mean' or 'sum', got {shown(value)}")
    return value  # type: ignore[return-value]


def check_per_class(name: str, shape: Sequence[int | None], classes: int | None = None) -> None:
    """Raise `ValueError` for a shape that is neither () nor one entry per class, and would weight another axis."""
    if len(shape) > 1 or (len(shape) == 1 and classes not in (None, shape[0])):
        count = "" if classes is None else f" ({classes})"
        raise ValueError(f"`{name}` must be a number or have one entry per class{count}, got shape {tuple(shape)}")
