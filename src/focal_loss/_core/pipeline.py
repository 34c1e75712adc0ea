"""From the caller's arguments to the loss, once for every framework.

A `Backend` is one framework: its primitives, its conversions, and the two places where it takes our derivatives as
its custom gradient, `elementwise` and `margin`. What is between those two and the public function is here where every
loss shares it, and in `binary_losses` and `softmax_losses`.

Losses are computed and reduced in float32 or wider (`Backend.at_least_float32`). Losses per example are rounded once
to the dtype of `y_pred`; a mean or a sum is not, because a sum of many float16 losses is beyond float16.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Protocol

from focal_loss._core import checks, options
from focal_loss._core.formula import Array, Ops
from focal_loss._core.shapes import Shape, broadcast_shape


class Member(NamedTuple):
    """The part of a call that a member of the family has beside the focal loss."""

    closed_form: str  # its name in `formula.FAMILIES`, of logits
    arguments: tuple[Any, ...]  # of the closed form, after the prediction and the label
    labeled: bool
    kernel: Any  # a `KernelMember`


class KernelMember(NamedTuple):
    """The numbers that native/kernels.hpp calls `Member`, after the family; not the `Member` above."""

    family: int  # the position of its name in `KERNEL_FAMILIES`
    exponent: float | Array = 0.0
    clip: float = 0.0
    epsilon: float = 0.0
    detached: bool = False


# The position of a family is its code in the native kernels.
# <tables: families> Written by tools/tables.py; `make tables` writes it anew.
KERNEL_FAMILIES = (
    "expected_loss",
    "p_t_loss",
    "quality",
    "asymmetric",
    "poly1",
    "varifocal",
    "matchability",
    "penalty_reduced",
)
# </tables: families>


class BinaryCall(NamedTuple):
    """A call of a binary loss, as the native kernels and the formula take it: nothing converted, nothing broadcast.

    It is read by field. A named tuple is made in under half the time of a frozen dataclass, and Dynamo traces it.
    """

    x: Array  # logits of any floating dtype
    y: Array  # labels of any dtype; a number for a loss without labels
    gamma: float | Array
    positive: float | Array  # the weights
    negative: float | Array = 1.0
    smoothing: float = 0.0
    p_t_loss: bool = False  # whether soft labels mean `p_t_loss` or `expected_loss`
    reduction: options.Reduction = "none"
    member: Member | None = None


def of_numbers(member: Member) -> bool:
    """Whether all options are numbers; an array without axes is not a number."""
    return all(isinstance(a, float) for a in member.arguments)


class SoftmaxCall(NamedTuple):
    """A call of a softmax loss from logits in the form for the native kernels."""

    x: Array
    y: Array  # class indices without the class axis, or a label per logit
    gamma: float | Array  # a number, one per class, or one per example: as many axes as `x`, that of the classes 1
    weight: float | Array
    axis: int
    sparse: bool
    ignore: int | None = None
    smoothing: float = 0.0
    reduction: options.Reduction = "none"
    spec: Any = None  # the same options as the caller gave them


class Chosen(Protocol):
    """The checked options of a call that the computation reads."""

    @property
    def gamma(self) -> Any: ...
    @property
    def weight_name(self) -> str: ...  # what the loss calls its weights
    @property
    def from_logits(self) -> bool: ...


class Smoothed(Chosen, Protocol):
    @property
    def label_smoothing(self) -> float: ...


class Binary(Smoothed, Protocol):
    @property
    def ignore_class(self) -> int | None: ...


class Averaged(Binary, Protocol):
    @property
    def apply_class_balancing(self) -> bool: ...
    @property
    def axis(self) -> int: ...


class OfClasses(Chosen, Protocol):
    @property
    def axis(self) -> int: ...


class Dense(OfClasses, Smoothed, Protocol): ...


class Sparse(OfClasses, Smoothed, Protocol):
    @property
    def ignore_class(self) -> int | None: ...


class Backend(Ops, Protocol):
    """A framework, as the losses below use it."""

    def fused_binary(self, call: BinaryCall, /) -> Array | None: ...  # None: the kernels do not cover this call
    def fused_softmax(self, call: SoftmaxCall, /) -> Array | None: ...

    def prediction(self, y_pred: Any, name: str = ..., /) -> Array: ...  # floating; integers and lists become float32
    def labels(
        self, y_true: Any, like: Array, name: str = ..., /
    ) -> Array: ...  # of any dtype, on the device of `like`
    def parameter(
        self, name: str, value: Any, like: Array, /
    ) -> Array: ...  # a number, or a tensor of the dtype of `like`, at least float32
    def at_least_float32(self, x: Array, /) -> Array: ...  # float16 and bfloat16 to float32
    def cast(self, x: Array, like: Array, /) -> Array: ...  # cast to the dtype of `like`
    def round_losses(self, x: Array, like: Array, /) -> Array: ...  # the same, for losses per example
    def kind(self, x: Array, /) -> Literal["bool", "integer", "floating"]: ...
    def shape(self, x: Array, /) -> Shape: ...
    def warn(self, message: str, category: type[Warning] = ..., /) -> None: ...
    def readable(self, x: Array, /) -> bool: ...  # whether Python can read the numbers at little cost
    def to_numpy(self, x: Array, /) -> Any: ...
    def to_integer(self, x: Array, /) -> Array: ...
    def length(self, x: Array, axis: int, /) -> Any: ...  # an integer, or a scalar tensor where unknown
    def classes(self, like: Array, axis: int, /) -> Array: ...  # 0 .. K-1 along the axis of `like`
    def take(self, x: Array, index: Array, /) -> Array: ...
    def expand(self, x: Array, axis: int, /) -> Array: ...
    def squeeze(self, x: Array, axis: int, /) -> Array: ...
    def reshape(self, x: Array, shape: tuple[int, ...], /) -> Array: ...
    def broadcast(self, *arrays: Array) -> Sequence[Array]: ...
    def mean(self, x: Array, axis: int, /) -> Array: ...  # drops the axis
    def total(self, x: Array, /) -> Array: ...
    def elementwise(self, family: str, /, *arguments: Array) -> Array: ...  # `formula.evaluate`
    def margin(self, v: Array, true_class_mask: Array | None, axis: int, /) -> Array: ...  # `softmax.margin`
    def probabilities(
        self, x: Array, true_class_mask: Array | None, axis: int, /
    ) -> tuple[Array, Array]: ...  # `softmax.probabilities`


def check_shapes(xp: Backend, y_true: Array, y_pred_shape: Shape, **parameters: Array) -> None:
    """Raise for shapes that do not broadcast, and warn of shapes that broadcast to a table of all pairs."""
    a, b = xp.shape(y_true), y_pred_shape
    if a == b and None not in a and all(isinstance(value, float) for value in parameters.values()):
        return
    common = broadcast_shape(("y_true", a), ("y_pred", b))
    if not (matches(common, a) or matches(common, b)):
        xp.warn(
            f"`y_true` of shape {tuple(a)} and `y_pred` of shape {tuple(b)} broadcast to {tuple(common)}, every label "
            "against every prediction; reshape one of them if they are meant to go in pairs"
        )
    for name, value in parameters.items():
        if not isinstance(value, float):
            broadcast_shape((name, xp.shape(value)), ("y_pred", common))


def matches(shape: Shape, known: Shape) -> bool:
    """Whether two shapes are equal as far as known. An unknown length equals any other: beside 1 it is that of a
    batch.
    """
    return len(shape) == len(known) and all(n in (None, m) for m, n in zip(shape, known, strict=True))


class Inputs(NamedTuple):
    """The arguments of a loss as arrays of its framework."""

    x: Array  # predictions
    y: Array  # labels
    gamma: float | Array
    weight: float | Array
    alike: bool  # whether predictions and labels are known to have one shape


def inputs(xp: Backend, y_true: Any, y_pred: Any, spec: Chosen) -> Inputs:
    """The converted arguments of a call, in one visit to the backend. Checks come later."""
    x = xp.prediction(y_pred)
    y = xp.labels(y_true, x)
    gamma = xp.parameter("gamma", spec.gamma, x)
    weight = xp.parameter(spec.weight_name, getattr(spec, spec.weight_name), x)
    shape = xp.shape(y)
    return Inputs(x, y, gamma, weight, shape == xp.shape(x) and None not in shape)


def at_least_zero(xp: Backend, value: float | Array) -> Array:
    """The focusing parameter. A negative number in a tensor counts as 0, with derivative 0."""
    if isinstance(value, float) or (xp.readable(value) and not (xp.to_numpy(value) < 0).any()):
        return value  # not a copy
    return xp.where(value < 0, 0.0, value)


def check_labels(xp: Backend, y: Array, x: Array) -> None:
    if xp.readable(y) and xp.kind(y) != "bool":
        checks.check_labels(xp.to_numpy(y), xp.to_numpy(x) if xp.readable(x) else None)


def check_predictions(xp: Backend, x: Array) -> None:
    if xp.readable(x):
        checks.check_probabilities(xp.to_numpy(x))


def binary_labels(xp: Backend, y_true: Array, x: Array, smoothing: float) -> Array:
    """Hard labels, bool or integer, stay boolean; others are probabilities in the dtype of the computation."""
    if xp.kind(y_true) == "integer":
        y_true = y_true > 0
    if xp.kind(y_true) == "bool" and not smoothing:
        return y_true
    y_true = xp.cast(y_true, x)
    return smoothed(y_true, smoothing, 2) if smoothing else y_true


def smoothed(y_true: Array, smoothing: float | Array, count: Any) -> Array:
    """Labels of `count` classes, mixed with equal ones."""
    return (1 - smoothing) * y_true + smoothing / count


def reduce(xp: Backend, value: Array, valid: Array | None, reduction: options.Reduction, like: Array) -> Array:
    """The reduced loss. A mean is over the examples that are not ignored, or 0 without any. `like` holds the
    predictions.
    """
    if reduction == "none":
        return xp.round_losses(value, like)
    total = xp.total(value)
    if reduction == "sum":
        return total
    if valid is None:
        return total / number(xp, value)
    count = xp.total(xp.cast(xp.broadcast(value, valid)[1], value))
    return total / xp.where(count > 0, count, 1.0)


def number(xp: Backend, value: Array) -> Any:
    """The number of entries, or 1 without any."""
    shape = xp.shape(value)
    if None not in shape:
        return max(math.prod(shape), 1)  # type: ignore[arg-type]
    count = math.prod([xp.cast(xp.length(value, k), value) for k, n in enumerate(shape) if n is None])
    count = count * math.prod([n for n in shape if n is not None])
    return xp.where(count > 0, count, 1.0)


def mean(xp: Backend, value: Array, axis: int) -> Array:
    """The mean over an axis; 0 if it has length 0, like the mean of no examples."""
    length = xp.shape(value)[axis]
    if length:
        return xp.mean(value, axis)
    total = xp.squeeze(xp.sum(value, axis), axis)
    if length == 0:
        return total
    count = xp.cast(xp.length(value, axis), total)
    return total / xp.where(count > 0, count, 1.0)
