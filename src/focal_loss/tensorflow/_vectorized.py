"""`tf.vectorized_map` and `tape.jacobian`: an op for many iterations is the op of stacked operands."""

from __future__ import annotations

from functools import partial
from typing import Any

import tensorflow as tf

from focal_loss.tensorflow._private import register_vectorized, vectorized, vectorized_ops


def _same_device(loop: Any) -> list[Any]:
    return [vectorized(tf.raw_ops.DeviceIndex(device_names=loop.get_attr("device_names")), False)]


def _binary(ops: Any, loop: Any) -> list[Any]:
    loop.expanddim_inputs_for_broadcast()
    return _stacked(loop, ops.focal_loss_binary, [operand.t for operand in loop.inputs], "family")


def _member(ops: Any, loop: Any) -> list[Any]:
    """The stacked op, for the same numbers in all iterations; otherwise they run in a loop."""
    gamma, numbers = loop.unstacked_input(2), loop.unstacked_input(7)
    loop.expanddim_inputs_for_broadcast()
    operands = [operand.t for operand in loop.inputs]
    operands[2], operands[7] = gamma, numbers
    return _stacked(loop, ops.focal_loss_member, operands, "family", "detached")


def _stacked(loop: Any, op: Any, operands: list[Any], *attributes: str) -> list[Any]:
    settings = {name: loop.get_attr(name) for name in attributes}
    if len(loop.outputs) == 2:
        value, bad = op(*operands, order=loop.get_attr("order"), **settings)
        return [vectorized(value, True), vectorized(bad, False)]
    operands[0], operands[5] = tf.cast(operands[0], loop.get_attr("S")), loop.unstacked_input(5)
    value, bad = op(*operands, order=0, **settings)
    slope, _ = op(*operands, order=1, **settings)
    return _totals(value, slope, bad, operands[5])


def _totals(value: Any, slope: Any, bad: Any, factor: Any) -> list[Any]:
    """The outputs of an op that adds up, from those of the ops that do not: an op adds up all iterations."""
    total = tf.reduce_sum(value, list(range(1, value.shape.rank))) * tf.cast(factor, value.dtype)
    return [vectorized(total, True), vectorized(slope, True), vectorized(bad, False)]


def _softmax(ops: Any, loop: Any) -> list[Any]:
    """The stacked op, for one gamma and weight in all iterations; otherwise they run in a loop. A gamma per example is
    stacked.
    """
    gamma, adds_up = loop.input(2), len(loop.outputs) == 3
    of_examples = gamma.t.shape.rank > (2 if gamma.is_stacked else 1)
    per_example = {0, 1, *((2,) if of_examples else ()), *(() if adds_up else (5,))}
    loop.stack_inputs([k for k in range(loop.num_inputs) if k in per_example])
    inputs = [(loop.stacked_input if k in per_example else loop.unstacked_input)(k) for k in range(loop.num_inputs)]
    settings = {name: loop.get_attr(name) for name in ("sparse", "has_ignored", "ignored")}
    settings["axis"] = loop.get_attr("axis") + 1
    if not adds_up:
        op = ops.focal_loss_softmax if len(inputs) == 5 else ops.focal_loss_softmax_gradient
        value, bad = op(*inputs, **settings)
        return [vectorized(value, True), vectorized(bad, False)]
    inputs[0], factor = tf.cast(inputs[0], loop.get_attr("S")), inputs.pop()
    x, axis = inputs[0], settings["axis"]
    value, bad = ops.focal_loss_softmax(*inputs, **settings)
    value = tf.ensure_shape(value, x.shape[:axis] + x.shape[axis + 1 :])
    upstream = tf.broadcast_to(factor, tf.shape(value))
    slope, _ = ops.focal_loss_softmax_gradient(*inputs, upstream, **settings)
    return _totals(value, slope, bad, factor)


def register(ops: Any) -> None:
    if "DeviceIndex" not in vectorized_ops:
        register_vectorized("DeviceIndex")(_same_device)
    rules = {
        "FocalLossBinary": _binary,
        "FocalLossBinaryTotal": _binary,
        "FocalLossMember": _member,
        "FocalLossMemberTotal": _member,
        "FocalLossSoftmax": _softmax,
        "FocalLossSoftmaxGradient": _softmax,
        "FocalLossSoftmaxTotal": _softmax,
    }
    for name, rule in rules.items():
        register_vectorized(name)(partial(rule, ops))
