"""From what the caller hands over to the loss, once for every framework.

A `Backend` is one framework: its primitives, its conversions, and the two places where it takes our derivatives as
its custom gradient, `elementwise` and `margin`. Everything between those two and the public function is here.

Losses are computed and reduced in float32 or wider (`Backend.widen`) and rounded once to the dtype of `y_pred`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Protocol

from focal_loss import _spec
from focal_loss._formula import Array, Ops
from focal_loss._shapes import Shape, broadcast_shape, normalize_axis


class Backend(Ops, Protocol):
    """A framework, as the losses below see it."""

    def prediction(self, y_pred: Any, /) -> Array: ...  # a floating tensor; integers and lists become float32
    def labels(self, y_true: Any, like: Array, /) -> Array: ...  # a tensor of any dtype on the device of `like`
    def parameter(self, value: Any, like: Array, /) -> Array: ...  # a tensor of the dtype and device of `like`
    def widen(self, x: Array, /) -> Array: ...  # float16 and bfloat16 to float32
    def cast(self, x: Array, like: Array, /) -> Array: ...  # to the dtype of `like`
    def kind(self, x: Array, /) -> Literal["bool", "integer", "floating"]: ...
    def shape(self, x: Array, /) -> Shape: ...
    def warn(self, message: str, /) -> None: ...
    def readable(self, x: Array, /) -> bool: ...  # whether Python may look at the numbers, at no cost to speak of
    def to_numpy(self, x: Array, /) -> Any: ...
    def to_integer(self, x: Array, /) -> Array: ...
    def length(self, x: Array, axis: int, /) -> Any: ...  # an integer, or a scalar tensor where it is not known yet
    def classes(self, like: Array, axis: int, /) -> Array: ...  # 0 .. K-1 along the axis of `like`
    def take(self, x: Array, index: Array, /) -> Array: ...
    def expand(self, x: Array, axis: int, /) -> Array: ...
    def squeeze(self, x: Array, axis: int, /) -> Array: ...
    def reshape(self, x: Array, shape: tuple[int, ...], /) -> Array: ...
    def broadcast(self, *arrays: Array) -> Sequence[Array]: ...
    def mean(self, x: Array, axis: int, /) -> Array: ...  # drops the axis
    def total(self, x: Array, /) -> Array: ...
    def elementwise(self, family: str, /, *arguments: Array) -> Array: ...  # `_formula.evaluate`
    def margin(self, v: Array, hot: Array | None, axis: int, /) -> Array: ...  # `_softmax.margin`
    def shares(self, x: Array, hot: Array | None, axis: int, /) -> tuple[Array, Array]: ...  # `_softmax.shares`


# ---------------------------------------------------------------------------------------------------------------
# Shapes and labels
# ---------------------------------------------------------------------------------------------------------------


def check_shapes(xp: Backend, y_true: Array, y_pred_shape: Shape, **parameters: Array) -> None:
    """Both orders of surprise: shapes that cannot go together, and shapes that do but make a table of all pairs."""
    a, b = xp.shape(y_true), y_pred_shape
    common = broadcast_shape(("y_true", a), ("y_pred", b))
    if None not in common and common not in (list(a), list(b)):
        xp.warn(
            f"`y_true` of shape {tuple(a)} and `y_pred` of shape {tuple(b)} broadcast to {tuple(common)}, every label "
            "against every prediction; reshape one of them if they are meant to go in pairs"
        )
    for name, value in parameters.items():
        if not isinstance(value, float):
            broadcast_shape((name, xp.shape(value)), ("y_pred", common))


def binary_labels(xp: Backend, y_true: Array, x: Array, smoothing: float) -> Array:
    """Hard labels, bool or integer, stay boolean; others are probabilities in the dtype of the computation."""
    if xp.kind(y_true) == "integer":
        if xp.readable(y_true):
            labels = xp.to_numpy(y_true)
            complain_outside((labels >= 0) & (labels <= 1), labels, "labels in [0, 1]")
        y_true = y_true > 0
    if xp.kind(y_true) == "bool" and not smoothing:
        return y_true
    y_true = xp.cast(y_true, x)
    return (1 - smoothing) * y_true + smoothing / 2 if smoothing else y_true


def complain_outside(valid: Any, labels: Any, what: str) -> None:
    if not valid.all():
        position = tuple(int(i[0]) for i in (~valid).nonzero()) if valid.ndim else ()
        raise ValueError(f"`y_true` must hold {what}, got {labels[position]} at position {position}")


def reduce(xp: Backend, value: Array, valid: Array | None, reduction: _spec.Reduction) -> Array:
    """A mean is over the examples that are not ignored, and 0 where there are none."""
    if reduction == "none":
        return value
    total = xp.total(value)
    if reduction == "sum":
        return total
    if valid is None:
        return total / max(math.prod([n or 0 for n in xp.shape(value)]), 1)
    count = xp.total(xp.cast(xp.broadcast(value, valid)[1], value))
    return total / xp.where(count > 0, count, 1.0)


# ---------------------------------------------------------------------------------------------------------------
# Binary
# ---------------------------------------------------------------------------------------------------------------


def binary(xp: Backend, y_true: Any, y_pred: Any, spec: _spec.Binary, reduction: _spec.Reduction = "none") -> Array:
    """`binary_focal_loss`."""
    prediction = xp.prediction(y_pred)
    arguments = binary_arguments(xp, y_true, xp.widen(prediction), spec)
    value = xp.elementwise("two_term" if spec.from_logits else "two_term_of_probabilities", *arguments)
    return xp.cast(reduce(xp, value, None, reduction), prediction)


def binary_arguments(xp: Backend, y_true: Any, x: Array, spec: _spec.Binary) -> tuple[Array, ...]:
    """What `_formula.two_term` takes: prediction, label, gamma and the weights of the positives and negatives."""
    y = xp.labels(y_true, x)
    gamma, positive = (xp.parameter(value, x) for value in (spec.gamma, spec.pos_weight))
    check_shapes(xp, y, xp.shape(x), gamma=gamma, pos_weight=positive)
    return x, binary_labels(xp, y, x, spec.label_smoothing or 0.0), gamma, positive, 1.0


def binary_mixed(
    xp: Backend,
    y_true: Any,
    y_pred: Any,
    spec: _spec.BinaryCrossentropy,
    reduction: _spec.Reduction = "none",
    *,
    average: bool = True,
) -> Array:
    """`binary_focal_crossentropy`; without the average over an axis, the `sigmoid_focal_loss` of torchvision."""
    prediction = xp.prediction(y_pred)
    x = xp.widen(prediction)
    y = xp.labels(y_true, x)
    gamma, alpha = (xp.parameter(value, x) for value in (spec.gamma, spec.alpha))
    check_shapes(xp, y, xp.shape(x), gamma=gamma, alpha=alpha)
    y = binary_labels(xp, y, x, spec.label_smoothing or 0.0)
    weights = (alpha, 1 - alpha) if spec.apply_class_balancing else (1.0, 1.0)
    if not (spec.apply_class_balancing or (isinstance(alpha, float) and alpha == 0.25)):
        xp.warn("`alpha` has no effect; pass `apply_class_balancing=True` to weigh by it")
    value = xp.elementwise("mixed" if spec.from_logits else "mixed_of_probabilities", x, y, gamma, *weights)
    if average:
        value = xp.mean(value, normalize_axis(spec.axis, len(xp.shape(value))))
    return xp.cast(reduce(xp, value, None, reduction), prediction)


# ---------------------------------------------------------------------------------------------------------------
# Softmax
# ---------------------------------------------------------------------------------------------------------------


def per_class(xp: Backend, name: str, value: Array, classes: int | None) -> Array:
    """A number, or one entry per class; anything else would weight an axis that is not the classes."""
    if isinstance(value, float) or tuple(xp.shape(value)) == ():
        return value
    shape = tuple(xp.shape(value))
    if len(shape) != 1 or (classes is not None and shape[0] != classes):
        raise ValueError(f"`{name}` must be a number or have one entry per class ({classes}), got shape {shape}")
    return value


def along_axis(xp: Backend, value: Array, axis: int, rank: int) -> Array:
    if isinstance(value, float) or not xp.shape(value):
        return value
    return xp.reshape(value, (-1,) + (1,) * (rank - axis - 1))


def check_dense(y_true: Shape, y_pred: Shape, axis: int) -> None:
    """A probability for each class: class indices, with or without an axis of length 1, would broadcast to one."""
    place = axis - len(y_pred) + len(y_true)
    given = y_true[place] if place >= 0 else 1
    if given is not None and y_pred[axis] is not None and given != y_pred[axis]:
        raise ValueError(
            f"`y_true` of shape {tuple(y_true)} must hold a probability for each of the {y_pred[axis]} classes on axis "
            f"{axis} of `y_pred`; for class indices take the loss with `sparse` in its name"
        )


def categorical(
    xp: Backend, y_true: Any, y_pred: Any, spec: _spec.Categorical, reduction: _spec.Reduction = "none"
) -> Array:
    """`categorical_focal_loss`: sum over the classes of weight * label * f."""
    prediction = xp.prediction(y_pred)
    x = xp.widen(prediction)
    y = xp.labels(y_true, x)
    shape = xp.shape(x)
    axis = normalize_axis(spec.axis, len(shape))
    check_dense(xp.shape(y), shape, axis)
    check_shapes(xp, y, shape)
    x, y = xp.broadcast(x, xp.cast(y, x))
    rank = len(xp.shape(x))
    axis += rank - len(shape)  # axes that broadcasting adds stand in front
    classes = xp.shape(x)[axis]
    if spec.label_smoothing:
        count = xp.length(x, axis) if classes is not None else xp.cast(xp.length(x, axis), x)
        y = (1 - spec.label_smoothing) * y + spec.label_smoothing / count
    gamma, weight = (
        along_axis(xp, per_class(xp, name, xp.parameter(value, x), classes), axis, rank)
        for name, value in (("gamma", spec.gamma), (spec.weight_name, spec.class_weight))
    )
    if spec.from_logits:
        value = xp.elementwise("margin", xp.margin(x, None, axis), gamma, weight * y)
    else:
        value = xp.elementwise("share", *xp.shares(x, None, axis), gamma, weight * y)
    value = xp.squeeze(xp.sum(value, axis), axis)
    return xp.cast(reduce(xp, value, None, reduction), prediction)


def class_indices(xp: Backend, y_true: Any, x: Array, axis: int, ignore: int | None) -> tuple[Array, bool]:
    """Integer class indices without a class axis, and whether they were seen to be right.

    A class axis of length 1 is dropped. Floats, which Keras makes of every label, must be whole numbers.
    """
    index = xp.labels(y_true, x)
    shape, rank = xp.shape(index), len(xp.shape(x))
    kept = len(shape) == rank and shape[axis] == 1
    if not kept and len(shape) != rank - 1:
        raise ValueError(
            f"`y_true` of shape {tuple(shape)} must have the shape {tuple(xp.shape(x))} of `y_pred` without its class "
            f"axis {axis}; for one-hot or soft labels take the loss without `sparse` in its name"
        )
    classes = xp.shape(x)[axis]
    checked = classes is not None and xp.readable(index)
    if checked:
        labels = xp.to_numpy(index)
        complain_outside(labels == labels.round(), labels, "class indices, which are whole numbers")
        inside = (labels >= 0) & (labels < classes)
        complain_outside(inside | (labels == ignore), labels, f"class indices in [0, {classes})")
    if kept:
        index = xp.squeeze(index, axis)
    if xp.kind(index) == "floating":
        index = xp.where(index == index, index, -1.0)  # the cast of a NaN could be any class
    return xp.to_integer(index), checked


class Rows(NamedTuple):
    """The examples of a sparse loss: predictions, the mask of the true class, parameters of the true class."""

    x: Array
    hot: Array
    axis: int
    gamma: Array
    weight: Array
    ignored: Array | None
    invalid: Array | None  # None where every index was seen to be in range


def sparse_rows(xp: Backend, y_true: Any, x: Array, spec: _spec.SparseCategorical) -> Rows:
    axis = normalize_axis(spec.axis, len(xp.shape(x)))
    index, checked = class_indices(xp, y_true, x, axis, spec.ignore_class)
    shape = list(xp.shape(x))
    classes = shape.pop(axis)
    check_shapes(xp, index, shape)
    position = xp.classes(x, axis)
    hot = xp.expand(index, axis) == position
    inside = (index >= 0) & (index < xp.length(x, axis))
    ignored = None if spec.ignore_class is None else index == spec.ignore_class
    gamma, weight = (
        pick(xp, per_class(xp, name, xp.parameter(value, x), classes), xp.where(inside, index, 0))
        for name, value in (("gamma", spec.gamma), (spec.weight_name, spec.class_weight))
    )
    hot, x = xp.broadcast(hot, x)
    if ignored is not None:  # whatever stands in an ignored place must not reach the gradient as 0 * nan
        x = xp.where(xp.expand(ignored, axis), 0.0, x)
    return Rows(x, hot, axis, gamma, weight, ignored, None if checked else ~inside)


def sparse_categorical(
    xp: Backend, y_true: Any, y_pred: Any, spec: _spec.SparseCategorical, reduction: _spec.Reduction = "none"
) -> Array:
    """`sparse_categorical_focal_loss`: f of one margin per example, no one-hot labels, no log of every class."""
    prediction = xp.prediction(y_pred)
    x, hot, axis, gamma, weight, ignored, invalid = sparse_rows(xp, y_true, xp.widen(prediction), spec)
    if spec.from_logits:
        value = xp.elementwise("margin", xp.squeeze(xp.margin(x, hot, axis), axis), gamma, weight)
    else:
        p, q = (xp.squeeze(share, axis) for share in xp.shares(x, hot, axis))
        value = xp.elementwise("share", p, q, gamma, weight)
    if invalid is not None:
        value = xp.where(invalid, float("nan"), value)
    if ignored is not None:
        value = xp.where(ignored, 0.0, value)
    return xp.cast(reduce(xp, value, None if ignored is None else ~ignored, reduction), prediction)


def pick(xp: Backend, value: Array, index: Array) -> Array:
    return value if isinstance(value, float) or not xp.shape(value) else xp.take(value, index)
