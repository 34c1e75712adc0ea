"""Tensors whose rank is known only when a graph runs: their loss is that of flat tensors, in their shape."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import Any

import tensorflow as tf

from focal_loss import _losses, _spec
from focal_loss.tensorflow._backend import Tensor, real_tensor
from focal_loss.tensorflow._native import Native

XP = Native()


def binary(y_true: Any, y_pred: Any, spec: _spec.Binary) -> Tensor:
    """`_losses.binary`."""
    if not _has_unknown_rank(y_true, y_pred, spec.gamma, spec.pos_weight):
        return _losses.binary(XP, y_true, y_pred, spec)
    y, x, parameters, shape = _flat(y_true, y_pred, gamma=spec.gamma, pos_weight=spec.pos_weight)
    return tf.reshape(_losses.binary(XP, y, x, replace(spec, **parameters)), shape)


def binary_mixed(y_true: Any, y_pred: Any, spec: _spec.BinaryCrossentropy) -> Tensor:
    """`_losses.binary_mixed`: a mean over the last axis."""
    if not _has_unknown_rank(y_true, y_pred, spec.gamma, spec.alpha):
        return _losses.binary_mixed(XP, y_true, y_pred, spec)
    _check_last(spec.axis)
    y, x, parameters, shape = _flat(y_true, y_pred, gamma=spec.gamma, alpha=spec.alpha)
    rows: dict[str, Any] = {name: p if isinstance(p, float) else _rows(p, shape) for name, p in parameters.items()}
    return tf.reshape(_losses.binary_mixed(XP, _rows(y, shape), _rows(x, shape), replace(spec, **rows)), shape[:-1])


def categorical(y_true: Any, y_pred: Any, spec: _spec.Categorical) -> Tensor:
    """`_losses.categorical`, with the classes on the last axis."""
    if not _has_unknown_rank(y_true, y_pred):
        return _losses.categorical(XP, y_true, y_pred, spec)
    _check_last(spec.axis)
    y, x = real_tensor("y_true", y_true), real_tensor("y_pred", y_pred)
    shape = tf.shape(x)
    return tf.reshape(_losses.categorical(XP, _rows(y, shape), _rows(x, shape), spec), shape[:-1])


def sparse_categorical(y_true: Any, y_pred: Any, spec: _spec.SparseCategorical) -> Tensor:
    """`_losses.sparse_categorical`, with the classes on the last axis."""
    if not _has_unknown_rank(y_true, y_pred):
        return _losses.sparse_categorical(XP, y_true, y_pred, spec)
    _check_last(spec.axis)
    y, x = real_tensor("y_true", y_true), real_tensor("y_pred", y_pred)
    shape = tf.shape(x)
    y = tf.reshape(y, [tf.reduce_prod(shape[:-1])])  # with or without a class axis of length 1
    return tf.reshape(_losses.sparse_categorical(XP, y, _rows(x, shape), spec), shape[:-1])


def _has_unknown_rank(*arguments: Any) -> bool:
    return any(tf.is_tensor(argument) and argument.shape.rank is None for argument in arguments)


def _check_last(axis: int) -> None:
    if axis != -1:
        raise ValueError(
            f"`axis` must be -1 for tensors of unknown rank, got {axis}; call `tf.ensure_shape` for another one"
        )


def _rows(x: Tensor, shape: Tensor) -> Tensor:
    """As a matrix, with the last axis of a tensor of this shape."""
    return tf.reshape(x, [tf.reduce_prod(shape[:-1]), shape[-1]])


def _flat(y_true: Any, y_pred: Any, **parameters: Any) -> tuple[Tensor, Tensor, dict[str, Any], Tensor]:
    """Data and parameters as vectors of the shape that all broadcast to, and that shape. Numbers stay as they are."""
    y, x = real_tensor("y_true", y_true), real_tensor("y_pred", y_pred)
    arrays = {
        name: value if tf.is_tensor(value) else XP.parameter(name, value, x)
        for name, value in parameters.items()
        if not isinstance(value, float)
    }
    shape: Tensor = reduce(tf.broadcast_dynamic_shape, (tf.shape(t) for t in (y, x, *arrays.values())))
    y, x, *flat = (tf.reshape(tf.broadcast_to(t, shape), [-1]) for t in (y, x, *arrays.values()))
    return y, x, parameters | dict(zip(arrays, flat, strict=True)), shape
