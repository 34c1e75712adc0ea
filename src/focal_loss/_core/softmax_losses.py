"""The softmax losses, from the arguments of a call to the loss, for all frameworks."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from focal_loss._core import checks, options
from focal_loss._core.formula import Array
from focal_loss._core.pipeline import (
    Backend,
    Chosen,
    Dense,
    OfClasses,
    SoftmaxCall,
    Sparse,
    at_least_zero,
    check_predictions,
    check_shapes,
    inputs,
    reduce,
    smoothed,
)
from focal_loss._core.shapes import Shape, normalize_axis


def per_class(xp: Backend, name: str, value: Array, classes: int | None) -> Array:
    """A parameter as a number, or with one entry per class along the axis."""
    if not isinstance(value, float):
        options.check_per_class(name, xp.shape(value), classes)
    return value


def class_parameters(xp: Backend, x: Array, axis: int, spec: OfClasses) -> tuple[Array, Array]:
    """Gamma, a number or one entry per class or example, and the weights, a number or one entry per class."""
    name = spec.weight_name
    gamma, weight = xp.parameter("gamma", spec.gamma, x), xp.parameter(name, getattr(spec, name), x)
    return of_classes(xp, gamma, weight, xp.shape(x), axis, name)


def of_classes(
    xp: Backend, gamma: Array, weight: Array, y_pred: Shape, axis: int, weight_name: str
) -> tuple[Array, Array]:
    if isinstance(gamma, float) and isinstance(weight, float):
        return gamma, weight
    if not isinstance(gamma, float):
        gamma = at_least_zero(xp, gamma)
        check_gamma(xp.shape(gamma), y_pred, axis)
    return gamma, per_class(xp, weight_name, weight, y_pred[axis])


def check_gamma(gamma: Shape, y_pred: Shape, axis: int) -> None:
    """Raise `ValueError` unless a gamma has the shape (), one entry per class, or, with an axis of length 1 in place of
    the classes, the rank of the predictions.
    """
    if not gamma or len(y_pred) < 2:
        options.check_per_class("gamma", gamma, y_pred[axis])
        return
    wanted = [1 if k == axis else n for k, n in enumerate(y_pred)]
    if len(gamma) == 1:
        fits = None in (gamma[0], y_pred[axis]) or gamma[0] == y_pred[axis]
    else:
        fits = len(gamma) == len(wanted) and all(
            m in (1, None) or m == n or (n is None and k != axis)
            for k, (m, n) in enumerate(zip(gamma, wanted, strict=True))
        )
    if not fits:
        count = "" if y_pred[axis] is None else f" ({y_pred[axis]})"
        raise ValueError(
            f"`gamma` must be a number or have one entry per class{count}, or one per example, in the shape "
            f"{tuple(wanted)} of `y_pred` with a class axis of length 1, got shape {tuple(gamma)}"
        )


def along_axis(xp: Backend, value: Array, axis: int, rank: int) -> Array:
    """A parameter with as many axes as the predictions, or a number."""
    if isinstance(value, float) or not xp.shape(value):
        return value
    if len(xp.shape(value)) == 1:
        return xp.reshape(value, (1,) * axis + (-1,) + (1,) * (rank - axis - 1))
    while len(xp.shape(value)) < rank:
        value = xp.expand(value, 0)
    return value


def check_classes(xp: Backend, x: Array, axis: int) -> None:
    """Warn, in Keras' category, of a softmax over one class: its loss and gradient are 0."""
    shape = xp.shape(x)
    if shape[axis] == 1 and xp.length(x, axis) == 1:  # a device may have one of many
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
    check_classes(xp, x, axis)
    if not given.alike:
        check_dense(xp.shape(y), shape, axis, xp.kind(y) == "floating")
        check_shapes(xp, y, shape)
    if not spec.from_logits:
        check_predictions(xp, x)
    elif shape[axis] != 0 and tuple(xp.shape(y)) == tuple(shape):
        gamma, weight = of_classes(xp, given.gamma, given.weight, shape, axis, spec.weight_name)
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
    parameters = class_parameters(xp, x, axis, spec)
    x, y = xp.broadcast(x, xp.cast(y, x))
    axis += len(xp.shape(x)) - len(shape)  # broadcasting adds axes in front
    if spec.label_smoothing:
        y = smoothed(y, spec.label_smoothing, number_of_classes(xp, x, axis))
    return reduce(xp, of_every_class(xp, y, x, axis, parameters, spec), None, reduction, prediction)


def number_of_classes(xp: Backend, x: Array, axis: int) -> Any:
    """An integer of at least 1, or a scalar of the dtype of `x` where it is known only when a graph runs. It divides
    labels, of which there are none without classes.
    """
    classes = xp.length(x, axis)
    return classes or 1 if xp.shape(x)[axis] is not None else xp.cast(classes, x)


def of_every_class(xp: Backend, y: Array, x: Array, axis: int, parameters: tuple[Array, Array], spec: Chosen) -> Array:
    """The sum over the classes of weight * label * f, of labels of the shape of `x`."""
    gamma, weight = (along_axis(xp, value, axis, len(xp.shape(x))) for value in parameters)
    if spec.from_logits:
        value = xp.elementwise("margin", xp.margin(x, None, axis), gamma, weight, y)
    else:
        value = xp.elementwise("probability", *xp.probabilities(x, None, axis), gamma, weight, y)
    return xp.squeeze(xp.sum(value, axis), axis)


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
    """The examples of a sparse loss: predictions, and the true class as a mask and as an index, 0 where a label is no
    class.
    """

    x: Array
    true_class_mask: Array
    axis: int
    index: Array
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
    true_class_mask, x = xp.broadcast(true_class_mask, x)
    if ignored is not None:  # an ignored prediction must not reach the gradient as 0 * nan
        x = xp.where(xp.expand(ignored, axis), 0.0, x)
    return Rows(x, true_class_mask, axis, xp.where(inside, index, 0), ignored, None if checked else ~inside)


def sparse_categorical(
    xp: Backend, y_true: Any, y_pred: Any, spec: Sparse, reduction: options.Reduction = "none"
) -> Array:
    """`sparse_categorical_focal_loss`: f of one margin per example, no one-hot labels, no log of every class; with
    `label_smoothing` the dense loss of the smoothed labels.
    """
    given = inputs(xp, y_true, y_pred, spec)
    x, shape = given.x, xp.shape(given.x)
    axis = normalize_axis(spec.axis, len(shape))
    check_classes(xp, x, axis)
    if spec.from_logits:
        y = without_axis(xp, given.y, x, axis)
        if shape[axis] != 0 and tuple(xp.shape(y)) == tuple(n for k, n in enumerate(shape) if k != axis):
            gamma, weight = of_classes(xp, given.gamma, given.weight, shape, axis, spec.weight_name)
            call = SoftmaxCall(
                x,
                y,
                gamma,
                weight,
                axis,
                sparse=True,
                ignore=spec.ignore_class,
                smoothing=spec.label_smoothing,
                reduction=reduction,
                spec=spec,
            )
            fused = xp.fused_softmax(call)
            if fused is not None:
                return fused
    elif xp.readable(x):
        checks.check_probabilities(xp.to_numpy(x), lambda: ignored_places(xp, given.y, x, spec))
    return sparse_categorical_formula(xp, given.y, x, spec, reduction)


def sparse_categorical_formula(
    xp: Backend,
    y_true: Any,
    prediction: Array,
    spec: Sparse,
    reduction: options.Reduction = "none",
    smoothing: Array | None = None,
) -> Array:
    """The loss by the formula. `smoothing` is a tensor in place of the number among the options."""
    rows = sparse_rows(xp, y_true, xp.at_least_float32(prediction), spec)
    if smoothing is None and not spec.label_smoothing:
        value = of_true_class(xp, rows, spec)
    else:
        amount = spec.label_smoothing if smoothing is None else smoothing
        hard = xp.cast(rows.true_class_mask, rows.x)
        y = smoothed(hard, amount, number_of_classes(xp, rows.x, rows.axis))
        value = of_every_class(xp, y, rows.x, rows.axis, class_parameters(xp, rows.x, rows.axis, spec), spec)
    if rows.invalid is not None:
        value = xp.where(rows.invalid, float("nan"), value)
    if rows.ignored is None:
        return reduce(xp, value, None, reduction, prediction)
    return reduce(xp, xp.where(rows.ignored, 0.0, value), ~rows.ignored, reduction, prediction)


def of_true_class(xp: Backend, rows: Rows, spec: Sparse) -> Array:
    """f of one margin per example, times the weight of its class."""
    gamma, weight = (pick(xp, v, rows) for v in class_parameters(xp, rows.x, rows.axis, spec))
    where = (rows.true_class_mask, rows.axis)
    if spec.from_logits:
        return xp.elementwise("margin", xp.squeeze(xp.margin(rows.x, *where), rows.axis), gamma, weight)
    p, q = (xp.squeeze(part, rows.axis) for part in xp.probabilities(rows.x, *where))
    return xp.elementwise("probability", p, q, gamma, weight)


def ignored_places(xp: Backend, y_true: Any, x: Array, spec: Sparse) -> Any:
    """A mask, on the host, of the predictions of ignored examples, which may hold anything."""
    axis = normalize_axis(spec.axis, len(xp.shape(x)))
    index = class_labels(xp, y_true, x, axis)
    if spec.ignore_class is None or not xp.readable(index):
        return False
    return np.expand_dims(xp.to_numpy(index) == spec.ignore_class, axis)


def pick(xp: Backend, value: Array, rows: Rows) -> Array:
    """A parameter of each example: that of its class, or its own."""
    if isinstance(value, float) or not xp.shape(value):
        return value
    return xp.take(value, rows.index) if len(xp.shape(value)) == 1 else xp.squeeze(value, rows.axis)
