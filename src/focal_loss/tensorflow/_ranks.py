"""Tensors whose shape is known only when a graph runs. Their labels are checked in the graph.

The loss of tensors of unknown rank is computed from flat tensors and reshaped.
"""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import Any

import tensorflow as tf

from focal_loss._core.declare import Loss, Options
from focal_loss._core.options import Reduction
from focal_loss._core.shapes import normalize_axis
from focal_loss.tensorflow._backend import Tensor, real_tensor
from focal_loss.tensorflow._native import Native

XP = Native()
PER_CLASS = "`y_true` must hold a probability for each class; for class indices take the loss with `sparse` in its name"
PER_EXAMPLE = "`y_true` must have the shape of `y_pred` without its class axis"


def of_any_rank(loss: Loss, y_true: Any, y_pred: Any, options: Options, reduction: Reduction = "none") -> Tensor:
    """``loss.compute`` for tensors of any rank. If the rank is unknown, classes and averages are along the last
    axis.
    """
    if tf.executing_eagerly():  # where every shape is known
        return loss.compute(XP, y_true, y_pred, options, reduction)
    if loss.layout in ("dense", "sparse"):
        return _of_classes(loss, y_true, y_pred, options, reduction)
    if not loss.labeled:
        y_true = y_pred  # of the shape of the predictions, and not read
    arrays = {name: getattr(options, name) for name in options.arrays}
    if not _has_unknown_rank(y_true, y_pred, *arrays.values()):
        return loss.compute(XP, y_true, y_pred, options, reduction)
    if loss.layout == "average":
        _check_last(options.values["axis"])
    y, x, parameters, shape = _flat(y_true, y_pred, **arrays)
    if loss.layout in ("elements", "unlabeled"):
        return _reduced(tf.reshape(loss.compute(XP, y, x, replace(options, **parameters)), shape), reduction)
    rows: dict[str, Any] = {name: p if isinstance(p, float) else _rows(p, shape) for name, p in parameters.items()}
    value = loss.compute(XP, _rows(y, shape), _rows(x, shape), replace(options, **rows))
    return _reduced(tf.reshape(value, shape[:-1]), reduction)


def _reduced(value: Tensor, reduction: Reduction) -> Tensor:
    """The reduced loss of tensors of unknown rank."""
    if reduction == "none":
        return value
    total = tf.reduce_sum(XP.at_least_float32(value))
    return total if reduction == "sum" else total / tf.maximum(tf.cast(tf.size(value, tf.int64), total.dtype), 1)


def _of_classes(loss: Loss, y_true: Any, y_pred: Any, options: Options, reduction: Reduction) -> Tensor:
    """The softmax loss, with labels whose shape the graph checks when it runs."""
    if _is_known(y_true) and _is_known(y_pred):
        return loss.compute(XP, y_true, y_pred, options, reduction)
    axis = options.values["axis"]
    fitted = _per_class if loss.layout == "dense" else _per_example
    y, x = real_tensor("y_true", y_true), real_tensor("y_pred", y_pred)
    if not _has_unknown_rank(y, x):
        return loss.compute(XP, fitted(y, x, normalize_axis(axis, x.shape.rank)), x, options, reduction)
    _check_last(axis)
    shape = tf.shape(x)
    rows = _rows(x, shape)
    options = _with_gamma_of_rows(options, x, shape)
    y = tf.reshape(fitted(y, x, -1), tf.shape(rows)[: 2 if loss.layout == "dense" else 1])
    return _reduced(tf.reshape(loss.compute(XP, y, rows, options), shape[:-1]), reduction)


def _with_gamma_of_rows(options: Options, x: Tensor, shape: Tensor) -> Options:
    """The options, with a gamma per example as a column beside `_rows`."""
    gamma = options.values["gamma"]
    if isinstance(gamma, float):
        return options
    gamma = XP.parameter("gamma", gamma, x)
    if isinstance(gamma, float) or gamma.shape.rank < 2:
        return options
    of_examples = tf.broadcast_to(gamma, tf.concat([shape[:-1], [1]], 0))
    return replace(options, gamma=tf.reshape(of_examples, [-1, 1]))  # type: ignore[call-arg]


def _has_unknown_rank(*arguments: Any) -> bool:
    return any(tf.is_tensor(argument) and argument.shape.rank is None for argument in arguments)


def _is_known(argument: Any) -> bool:
    return not tf.is_tensor(argument) or argument.shape.is_fully_defined()


def _per_class(y: Tensor, x: Tensor, axis: int) -> Tensor:
    """Dense labels, checked to have as many classes as the predictions: class indices with an axis of length 1 would
    broadcast.
    """
    if _has_unknown_rank(y, x):
        return _of_shape(y, tf.shape(x), PER_CLASS)
    place = axis - x.shape.rank + y.shape.rank
    if place < 0 or None not in (y.shape[place], x.shape[axis]):
        return y
    given, known = tf.shape(y), y.shape.as_list()
    shape = tf.concat([given[:place], tf.shape(x)[axis : axis + 1], given[place + 1 :]], 0)
    checked = _of_shape(y, shape, PER_CLASS)
    checked.set_shape([*known[:place], x.shape[axis], *known[place + 1 :]])
    return checked


def _per_example(y: Tensor, x: Tensor, axis: int) -> Tensor:
    """Class indices without a class axis, checked to have the shape of the examples: a single one would broadcast to
    all.
    """
    shape = tf.shape(x)
    if _has_unknown_rank(y, x):
        return _of_shape(y, tf.concat([shape[:-1], [1]], 0)[: tf.rank(y)], PER_EXAMPLE)
    rank, kept = x.shape.rank, y.shape.rank == x.shape.rank
    if y.shape.rank not in (rank, rank - 1) or (kept and y.shape[axis] not in (1, None)):
        return y
    checked = _of_shape(y, tf.concat([shape[:axis], [1] * kept, shape[axis + 1 :]], 0), PER_EXAMPLE)
    checked = tf.squeeze(checked, axis) if kept else checked
    checked.set_shape(x.shape[:axis] + x.shape[axis + 1 :])
    return checked


def _of_shape(y: Tensor, shape: Tensor, message: str) -> Tensor:
    """Labels, checked to have this shape when the graph runs.

    XLA leaves assertions out, but knows the shapes, and makes no tensor of a negative length.
    """
    given = tf.shape(y)
    with tf.control_dependencies([tf.debugging.assert_equal(given, shape, message)]):
        return tf.reshape(y, tf.where(given == shape, shape, -2))


def _check_last(axis: int) -> None:
    if axis != -1:
        raise ValueError(
            f"`axis` must be -1 for tensors of unknown rank, got {axis}; call `tf.ensure_shape` for another one"
        )


def _rows(x: Tensor, shape: Tensor) -> Tensor:
    """The tensor as a matrix whose columns are its last axis."""
    return tf.reshape(x, [tf.reduce_prod(shape[:-1]), shape[-1]])


def _flat(y_true: Any, y_pred: Any, **parameters: Any) -> tuple[Tensor, Tensor, dict[str, Any], Tensor]:
    """Data and parameters broadcast to their common shape and flattened, and that shape. Numbers stay unchanged."""
    y, x = real_tensor("y_true", y_true), real_tensor("y_pred", y_pred)
    arrays = {
        name: value if tf.is_tensor(value) else XP.parameter(name, value, x)
        for name, value in parameters.items()
        if not isinstance(value, float)
    }
    shape: Tensor = reduce(tf.broadcast_dynamic_shape, (tf.shape(t) for t in (y, x, *arrays.values())))
    y, x, *flat = (tf.reshape(tf.broadcast_to(t, shape), [-1]) for t in (y, x, *arrays.values()))
    return y, x, parameters | dict(zip(arrays, flat, strict=True)), shape
