"""From the caller's arguments to the loss, once for every framework.

A `Backend` is one framework: its primitives, its conversions, and the two places where it takes our derivatives as
its custom gradient, `elementwise` and `margin`. Everything between those two and the public function is here.

Losses are computed and reduced in float32 or wider (`Backend.at_least_float32`). Losses per example are rounded once
to the dtype of `y_pred`; a mean or a sum is not, because a sum of many float16 losses is beyond float16.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from focal_loss._core import checks, options
from focal_loss._core.formula import Array, Ops
from focal_loss._core.shapes import Shape, broadcast_shape, normalize_axis


class BinaryCall(NamedTuple):
    """A call of a binary loss from logits in the form for the native kernels: nothing converted, nothing broadcast.

    It is read by field. A named tuple is made in under half the time of a frozen dataclass, and Dynamo traces it.
    """

    x: Array  # logits of any floating dtype
    y: Array  # labels of any dtype
    gamma: float | Array
    positive: float | Array  # the weights
    negative: float | Array = 1.0
    smoothing: float = 0.0
    p_t_loss: bool = False  # whether soft labels mean `p_t_loss` or `expected_loss`
    reduction: options.Reduction = "none"


class SoftmaxCall(NamedTuple):
    """A call of a softmax loss from logits in the form for the native kernels."""

    x: Array
    y: Array  # class indices without the class axis, or a label per logit
    gamma: float | Array  # a number, or one per class
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


class Averaged(Smoothed, Protocol):
    @property
    def apply_class_balancing(self) -> bool: ...
    @property
    def axis(self) -> int: ...


class OfClasses(Chosen, Protocol):
    @property
    def axis(self) -> int: ...


class Dense(OfClasses, Smoothed, Protocol): ...


class Sparse(OfClasses, Protocol):
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


# ---------------------------------------------------------------------------------------------------------------
# Shapes and labels
# ---------------------------------------------------------------------------------------------------------------


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
        return total / max(math.prod([n or 0 for n in xp.shape(value)]), 1)
    count = xp.total(xp.cast(xp.broadcast(value, valid)[1], value))
    return total / xp.where(count > 0, count, 1.0)


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


# ---------------------------------------------------------------------------------------------------------------
# Binary
# ---------------------------------------------------------------------------------------------------------------


def binary(xp: Backend, y_true: Any, y_pred: Any, spec: Smoothed, reduction: options.Reduction = "none") -> Array:
    """`binary_focal_loss`."""
    given = binary_inputs(xp, y_true, y_pred, spec)
    call = BinaryCall(given.x, given.y, given.gamma, given.weight, smoothing=spec.label_smoothing, reduction=reduction)
    return binary_from(xp, call, spec.from_logits)


def binary_from(xp: Backend, call: BinaryCall, from_logits: bool) -> Array:
    """The loss by the native kernels if they cover the call, else by the formula."""
    fused = xp.fused_binary(call) if from_logits else None
    return binary_formula(xp, call, from_logits) if fused is None else fused


def binary_formula(xp: Backend, call: BinaryCall, from_logits: bool = True) -> Array:
    check_labels(xp, call.y, call.x)
    x = xp.at_least_float32(call.x)
    y = binary_labels(xp, call.y, x, call.smoothing)
    family = ("p_t_loss" if call.p_t_loss else "expected_loss") + ("" if from_logits else "_of_probabilities")
    value = xp.elementwise(family, x, y, call.gamma, call.positive, call.negative)
    return reduce(xp, value, None, call.reduction, call.x)


def binary_inputs(xp: Backend, y_true: Any, y_pred: Any, spec: Chosen) -> Inputs:
    """The inputs, after a check of their shapes and of the predictions."""
    given = inputs(xp, y_true, y_pred, spec)
    if not (given.alike and isinstance(given.gamma, float) and isinstance(given.weight, float)):
        given = given._replace(gamma=at_least_zero(xp, given.gamma))
        check_shapes(xp, given.y, xp.shape(given.x), **{"gamma": given.gamma, spec.weight_name: given.weight})
    if not spec.from_logits:
        check_predictions(xp, given.x)
    return given


def binary_p_t_loss(
    xp: Backend,
    y_true: Any,
    y_pred: Any,
    spec: Averaged,
    reduction: options.Reduction = "none",
    *,
    average: bool = True,
) -> Array:
    """`binary_focal_crossentropy`; without the average over an axis, the `sigmoid_focal_loss` of torchvision."""
    given = binary_inputs(xp, y_true, y_pred, spec)
    x, y, gamma, alpha = given.x, given.y, given.gamma, given.weight
    positive, negative = (alpha, 1 - alpha) if spec.apply_class_balancing else (1.0, 1.0)
    if not (spec.apply_class_balancing or (isinstance(alpha, float) and alpha == 0.25)):
        xp.warn("`alpha` has no effect; pass `apply_class_balancing=True` to weigh by it")
    call = BinaryCall(
        x, y, gamma, positive, negative, smoothing=spec.label_smoothing, p_t_loss=True, reduction=reduction
    )
    if not average:
        return binary_from(xp, call, spec.from_logits)
    axis = normalize_axis(spec.axis, max(len(xp.shape(x)), len(xp.shape(y))))
    if reduction == "mean":  # the mean of the averages is the mean of all losses
        return binary_from(xp, call, spec.from_logits)
    value = mean(xp, binary_from(xp, call._replace(x=xp.at_least_float32(x), reduction="none"), spec.from_logits), axis)
    return reduce(xp, value, None, reduction, x)


def elements(family: str, *names: str) -> Any:
    """The loss of each label and prediction by a family of closed forms without a native kernel.

    `names` are the options that its closed forms take after the prediction and the label.
    """

    def compute(xp: Backend, y_true: Any, y_pred: Any, spec: Any, reduction: options.Reduction = "none") -> Array:
        prediction = xp.prediction(y_pred)
        y = xp.labels(y_true, prediction)
        if not spec.from_logits:
            check_predictions(xp, prediction)
        given = {name: at_least_zero(xp, xp.parameter(name, getattr(spec, name), prediction)) for name in names}
        check_shapes(xp, y, xp.shape(prediction), **given)
        check_labels(xp, y, prediction)
        x = xp.at_least_float32(prediction)
        chosen = family if spec.from_logits else f"{family}_of_probabilities"
        value = xp.elementwise(chosen, x, binary_labels(xp, y, x, 0.0), *given.values())
        return reduce(xp, value, None, reduction, prediction)

    return compute


# ---------------------------------------------------------------------------------------------------------------
# Softmax
# ---------------------------------------------------------------------------------------------------------------


def per_class(xp: Backend, name: str, value: Array, classes: int | None) -> Array:
    """A parameter as a number, or with one entry per class along the axis."""
    if not isinstance(value, float):
        options.check_per_class(name, xp.shape(value), classes)
    return value


def class_parameters(xp: Backend, x: Array, axis: int, spec: OfClasses) -> tuple[Array, Array]:
    """Gamma and the weights, each a number or one entry per class."""
    name = spec.weight_name
    gamma, weight = xp.parameter("gamma", spec.gamma, x), xp.parameter(name, getattr(spec, name), x)
    return of_classes(xp, gamma, weight, xp.shape(x)[axis], name)


def of_classes(xp: Backend, gamma: Array, weight: Array, classes: int | None, weight_name: str) -> tuple[Array, Array]:
    if isinstance(gamma, float) and isinstance(weight, float):
        return gamma, weight
    gamma = per_class(xp, "gamma", at_least_zero(xp, gamma), classes)
    return gamma, per_class(xp, weight_name, weight, classes)


def along_axis(xp: Backend, value: Array, axis: int, rank: int) -> Array:
    if isinstance(value, float) or not xp.shape(value):
        return value
    return xp.reshape(value, (1,) * axis + (-1,) + (1,) * (rank - axis - 1))


def check_classes(xp: Backend, shape: Shape, axis: int) -> None:
    """Warn, in Keras' category, of a softmax over one class: its loss and gradient are 0."""
    if shape[axis] == 1:
        xp.warn(
            f"`y_pred` of shape {tuple(shape)} has one class on axis {axis}, so the loss and its gradient are 0; for "
            "two classes by one output take the loss with `binary` in its name",
            SyntaxWarning,
        )


def check_dense(y_true: Shape, y_pred: Shape, axis: int, is_floating: bool = True) -> None:
    """Raise for labels without one probability per class: class indices, with or without an axis of length 1, would
    broadcast.

    Class indices of K examples would broadcast too; only dtype and rank distinguish them from one row of labels for
    all.
    """
    place = axis - len(y_pred) + len(y_true)
    given = y_true[place] if place >= 0 else 1
    indices = not is_floating and [*y_true] == [n for k, n in enumerate(y_pred) if k != axis]
    if indices or (given is not None and y_pred[axis] is not None and given != y_pred[axis]):
        raise ValueError(
            f"`y_true` of shape {tuple(y_true)} must hold a probability for each of the {y_pred[axis]} classes on axis "
            f"{axis} of `y_pred`; for class indices take the loss with `sparse` in its name"
        )


def categorical(xp: Backend, y_true: Any, y_pred: Any, spec: Dense, reduction: options.Reduction = "none") -> Array:
    """`categorical_focal_loss`: sum over the classes of weight * label * f."""
    given = inputs(xp, y_true, y_pred, spec)
    x, y, shape = given.x, given.y, xp.shape(given.x)
    axis = normalize_axis(spec.axis, len(shape))
    check_classes(xp, shape, axis)
    if not given.alike:
        check_dense(xp.shape(y), shape, axis, xp.kind(y) == "floating")
        check_shapes(xp, y, shape)
    if not spec.from_logits:
        check_predictions(xp, x)
    elif shape[axis] != 0 and tuple(xp.shape(y)) == tuple(shape):
        gamma, weight = of_classes(xp, given.gamma, given.weight, shape[axis], spec.weight_name)
        call = SoftmaxCall(
            x, y, gamma, weight, axis, sparse=False, smoothing=spec.label_smoothing, reduction=reduction, spec=spec
        )
        fused = xp.fused_softmax(call)
        if fused is not None:
            return fused
    if xp.readable(y) and xp.kind(y) != "bool":
        checks.check_labels(xp.to_numpy(y), dense=True)
    return categorical_formula(xp, y, x, spec, reduction)


def categorical_formula(
    xp: Backend, y: Array, prediction: Array, spec: Dense, reduction: options.Reduction = "none"
) -> Array:
    shape = xp.shape(prediction)
    axis = normalize_axis(spec.axis, len(shape))
    x = xp.at_least_float32(prediction)
    x, y = xp.broadcast(x, xp.cast(y, x))
    rank = len(xp.shape(x))
    axis += rank - len(shape)  # broadcasting adds axes in front
    classes = xp.shape(x)[axis]
    if spec.label_smoothing:
        count = xp.length(x, axis) if classes is not None else xp.cast(xp.length(x, axis), x)
        y = smoothed(y, spec.label_smoothing, count)
    gamma, weight = (along_axis(xp, value, axis, rank) for value in class_parameters(xp, x, axis, spec))
    if spec.from_logits:
        value = xp.elementwise("margin", xp.margin(x, None, axis), gamma, weight, y)
    else:
        value = xp.elementwise("probability", *xp.probabilities(x, None, axis), gamma, weight, y)
    value = xp.squeeze(xp.sum(value, axis), axis)
    return reduce(xp, value, None, reduction, prediction)


def class_labels(xp: Backend, y_true: Any, x: Array, axis: int) -> Array:
    """Class indices without a class axis; an axis of length 1 is dropped."""
    return without_axis(xp, xp.labels(y_true, x), x, axis)


def without_axis(xp: Backend, index: Array, x: Array, axis: int) -> Array:
    shape, rank = xp.shape(index), len(xp.shape(x))
    kept = len(shape) == rank and shape[axis] == 1
    index = xp.squeeze(index, axis) if kept else index
    check_sparse(xp.shape(index), shape, xp.shape(x), axis)
    if xp.kind(index) == "floating":
        checks.check_exact(index.dtype, xp.shape(x)[axis])
    return index


def check_sparse(index: Shape, y_true: Shape, y_pred: Shape, axis: int) -> None:
    """Raise unless labels have the shape of the predictions without the class axis: labels do not broadcast over
    examples.
    """
    if is_without(index, y_pred, axis):
        return
    other = next((k for k in range(len(y_pred)) if is_without(y_true, y_pred, k)), None)
    remedy = "for one-hot or soft labels take the loss without `sparse` in its name"
    if other is not None:
        remedy = f"pass `axis={other}` if the classes are there"
    raise ValueError(
        f"`y_true` of shape {tuple(y_true)} must have the shape {tuple(y_pred)} of `y_pred` without its class axis "
        f"{axis}; {remedy}"
    )


def is_without(small: Shape, large: Shape, axis: int) -> bool:
    """Whether a shape equals another one without an axis, as far as known."""
    rest = [n for k, n in enumerate(large) if k != axis]
    return len(small) == len(rest) and all(None in (m, n) or m == n for m, n in zip(small, rest, strict=True))


def class_indices(xp: Backend, index: Array, classes: int | None, ignore: int | None) -> tuple[Array, bool]:
    """Class indices as integers, and whether all were checked. Floats, to which Keras casts every label, must be
    whole.
    """
    checked = classes is not None and checks.enabled() and xp.readable(index)
    if checked:
        checks.check_classes(xp.to_numpy(index), classes, ignore)  # type: ignore[arg-type]
    whole = xp.to_integer(index)
    if xp.kind(index) == "floating":  # a fraction, NaN or infinity is neither a class nor the ignored one
        whole = xp.where(xp.cast(whole, index) == index, whole, -2 if ignore == -1 else -1)
    return whole, checked


class Rows(NamedTuple):
    """The examples of a sparse loss: predictions, the mask of the true class, parameters of the true class."""

    x: Array
    true_class_mask: Array
    axis: int
    gamma: Array
    weight: Array
    ignored: Array | None
    invalid: Array | None  # None if every index was checked to be in range


def sparse_rows(xp: Backend, y_true: Any, x: Array, spec: Sparse) -> Rows:
    axis = normalize_axis(spec.axis, len(xp.shape(x)))
    classes = xp.shape(x)[axis]
    index, checked = class_indices(xp, class_labels(xp, y_true, x, axis), classes, spec.ignore_class)
    position = xp.classes(x, axis)
    true_class_mask = xp.expand(index, axis) == position
    inside = (index >= 0) & (index < xp.length(x, axis))
    ignored = None if spec.ignore_class is None else index == spec.ignore_class
    gamma, weight = (pick(xp, v, xp.where(inside, index, 0)) for v in class_parameters(xp, x, axis, spec))
    true_class_mask, x = xp.broadcast(true_class_mask, x)
    if ignored is not None:  # an ignored prediction must not reach the gradient as 0 * nan
        x = xp.where(xp.expand(ignored, axis), 0.0, x)
    return Rows(x, true_class_mask, axis, gamma, weight, ignored, None if checked else ~inside)


def sparse_categorical(
    xp: Backend, y_true: Any, y_pred: Any, spec: Sparse, reduction: options.Reduction = "none"
) -> Array:
    """`sparse_categorical_focal_loss`: f of one margin per example, no one-hot labels, no log of every class."""
    given = inputs(xp, y_true, y_pred, spec)
    x, shape = given.x, xp.shape(given.x)
    axis = normalize_axis(spec.axis, len(shape))
    check_classes(xp, shape, axis)
    if spec.from_logits:
        y = without_axis(xp, given.y, x, axis)
        if shape[axis] != 0 and tuple(xp.shape(y)) == tuple(n for k, n in enumerate(shape) if k != axis):
            gamma, weight = of_classes(xp, given.gamma, given.weight, shape[axis], spec.weight_name)
            call = SoftmaxCall(
                x, y, gamma, weight, axis, sparse=True, ignore=spec.ignore_class, reduction=reduction, spec=spec
            )
            fused = xp.fused_softmax(call)
            if fused is not None:
                return fused
    elif xp.readable(x):
        checks.check_probabilities(xp.to_numpy(x), lambda: ignored_places(xp, given.y, x, spec))
    return sparse_categorical_formula(xp, given.y, x, spec, reduction)


def sparse_categorical_formula(
    xp: Backend, y_true: Any, prediction: Array, spec: Sparse, reduction: options.Reduction = "none"
) -> Array:
    rows = sparse_rows(xp, y_true, xp.at_least_float32(prediction), spec)
    where = (rows.true_class_mask, rows.axis)
    if spec.from_logits:
        value = xp.elementwise("margin", xp.squeeze(xp.margin(rows.x, *where), rows.axis), rows.gamma, rows.weight)
    else:
        p, q = (xp.squeeze(part, rows.axis) for part in xp.probabilities(rows.x, *where))
        value = xp.elementwise("probability", p, q, rows.gamma, rows.weight)
    if rows.invalid is not None:
        value = xp.where(rows.invalid, float("nan"), value)
    if rows.ignored is None:
        return reduce(xp, value, None, reduction, prediction)
    return reduce(xp, xp.where(rows.ignored, 0.0, value), ~rows.ignored, reduction, prediction)


def ignored_places(xp: Backend, y_true: Any, x: Array, spec: Sparse) -> Any:
    """A mask, on the host, of the predictions of ignored examples, which may hold anything."""
    axis = normalize_axis(spec.axis, len(xp.shape(x)))
    index = class_labels(xp, y_true, x, axis)
    if spec.ignore_class is None or not xp.readable(index):
        return False
    return np.expand_dims(xp.to_numpy(index) == spec.ignore_class, axis)


def pick(xp: Backend, value: Array, index: Array) -> Array:
    return value if isinstance(value, float) or not xp.shape(value) else xp.take(value, index)
