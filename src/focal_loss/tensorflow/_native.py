"""The native kernels as ops of TensorFlow: the calls that they compute, and their derivatives.

An op has a kernel for the host, but none for XLA or an accelerator. In eager mode the devices of the tensors decide. A
graph may run anywhere, and an existing `tf.function` may be called from one that XLA compiles, so the graph holds a
branch by device, of which XLA compiles the formula.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import lru_cache, reduce
from pathlib import Path
from typing import Any

import tensorflow as tf

from focal_loss._core import binary_losses, checks, options, pipeline, softmax_losses
from focal_loss._core.losses.categorical_focal_loss import Options as DenseOptions
from focal_loss._core.losses.sparse_categorical_focal_loss import Options as SparseOptions
from focal_loss._host import kernels
from focal_loss.tensorflow import _derivatives, _vectorized
from focal_loss.tensorflow._backend import FORMULA, Formula, Tensor, host_only
from focal_loss.tensorflow._derivatives import Operands
from focal_loss.tensorflow._private import SERVES_GRAPHS, has_tangents, is_for_ops


def _load() -> tuple[Any, str]:
    """The ops, or None without them, and a description of what runs."""
    if kernels.NATIVE is None:
        return None, kernels.DESCRIPTION
    path = Path(kernels.NATIVE.__file__).with_name("_tensorflow_op.so")
    try:
        ops = tf.load_op_library(str(path))
        ctypes.CDLL(str(path)).focal_loss_connect(ctypes.c_void_p(kernels.NATIVE.entry_points()))
    except (tf.errors.OpError, OSError) as error:
        return None, f"the formula (the ops cannot be loaded: {error})"
    if not hasattr(ops, "focal_loss_binary"):
        return None, f"the formula (TensorFlow {tf.__version__} lacks the C API that the ops need)"
    return ops, f"{kernels.DESCRIPTION}; the formula under XLA and on accelerators"


_ops, _description = _load()
if SERVES_GRAPHS:
    _vectorized.register(_ops)


def implementation() -> str:
    """A description of what computes TensorFlow's tensors, for `show_config`."""
    return _description


# ---------------------------------------------------------------------------------------------------------------
# Where the ops run
# ---------------------------------------------------------------------------------------------------------------


def _covered(x: Tensor, *others: Any) -> bool:
    """Whether the ops take these tensors in this context."""
    tensors = [x, *(t for t in others if not isinstance(t, float))]
    if _ops is None or any(t.dtype.name not in kernels.DTYPES or t.shape.rank > kernels.MAX_RANK for t in tensors):
        return False
    # The ops have no forward mode, so the formula runs under a `tf.autodiff.ForwardAccumulator`.
    if has_tangents(tensors):
        return False
    if tf.executing_eagerly():
        return host_only() or all("CPU" in t.device for t in tensors)
    return host_only() and is_for_ops(tf.compat.v1.get_default_graph())


# ---------------------------------------------------------------------------------------------------------------
# The backend
# ---------------------------------------------------------------------------------------------------------------


class Native(Formula):
    """`pipeline.Backend` for TensorFlow."""

    def fused_binary(self, call: pipeline.BinaryCall) -> Tensor | None:
        x, y, options = call.x, call.y, _options(call)
        if not _covered(x, y, *options.values()):
            return None
        # Numbers become constants beside the op: as operands each would pass through every branch and derivative.
        tensors = {"y": y} | options
        operands = {"x": _spread(x, y, *options.values())}
        operands |= {name: tensor for name, tensor in tensors.items() if not isinstance(tensor, float)}
        if call.member:
            loss = _derivatives.Loss(_binary_formula(call), _member_op(call), _member_total(call), 1, True)
            return _computed(loss, operands, call.reduction)
        soft = call.smoothing or y.dtype.is_floating
        orders = 1 if call.p_t_loss and soft else 2
        loss = _derivatives.Loss(_binary_formula(call), _binary_op(call), _binary_total(call), orders, True)
        return _computed(loss, operands, call.reduction)

    def fused_softmax(self, call: pipeline.SoftmaxCall) -> Tensor | None:
        x, y = call.x, call.y
        if not _covered(x, y, call.gamma, call.weight) or (call.ignore is not None and call.reduction == "mean"):
            return None
        if not call.sparse and not (x.shape.is_fully_defined() and y.shape.is_fully_defined()):
            y = tf.broadcast_to(y, tf.shape(x))
        # The op takes float64, and the formula the numbers themselves.
        gamma, weight = (_parameter(p, tf.float64) for p in (call.gamma, call.weight))
        if gamma.shape.rank > 1:
            gamma = _per_example(gamma, x, call.axis)
        loss = _derivatives.Loss(_softmax_formula(call), _softmax_op(call), _softmax_total(call), 1, False, call.axis)
        return _computed(loss, {"x": x, "y": y, "gamma": gamma, "weight": weight}, call.reduction)


def _computed(loss: _derivatives.Loss, operands: Operands, reduction: options.Reduction) -> Tensor:
    if reduction == "none":
        return _derivatives.derivative(loss, 0, operands)
    return _derivatives.reduced(loss, operands, reduction, _constant)


@lru_cache(maxsize=256, typed=True)
def _eager_constant(value: float | tuple[float, ...], dtype: tf.DType) -> Tensor:
    with tf.device("CPU:0"):  # not on the first caller's device
        return tf.constant(value, dtype)


def _constant(value: float | tuple[float, ...], dtype: tf.DType) -> Tensor:
    """A constant, cached in eager mode, where making one takes tens of microseconds."""
    return _eager_constant(value, dtype) if tf.executing_eagerly() else tf.constant(value, dtype)


def _parameter(value: float | Tensor, dtype: tf.DType) -> Tensor:
    return _constant(value, dtype) if isinstance(value, float) else value


def _per_example(value: Tensor, x: Tensor, axis: int) -> Tensor:
    """A number for each example, in the shape of the logits with a class axis of length 1."""
    static, shape = x.shape.as_list(), tf.shape(x)
    static[axis] = 1
    if value.shape.as_list() == static and None not in static:
        return value
    spread = tf.broadcast_to(value, tf.concat([shape[:axis], [1], shape[axis + 1 :]], 0))
    return tf.ensure_shape(spread, static)


def _dtype_at_least_float32(x: Tensor) -> tf.DType:
    return x.dtype if x.dtype.size >= 4 else tf.float32


def _spread(x: Tensor, *others: float | Tensor) -> Tensor:
    """The logits in the shape of the result. TensorFlow sums the gradient back."""
    wider = [t for t in others if not isinstance(t, float) and not _fits(t.shape, x.shape)]
    if not wider:
        return x
    static = reduce(tf.broadcast_static_shape, (t.shape for t in wider), x.shape)
    shape = reduce(tf.broadcast_dynamic_shape, (tf.shape(t) for t in wider), tf.shape(x))
    return tf.ensure_shape(tf.broadcast_to(x, shape), static)


def _fits(small: tf.TensorShape, large: tf.TensorShape) -> bool:
    """Whether a tensor is known to broadcast to another without changing its shape."""
    if small.rank > large.rank:
        return False
    pairs = zip(reversed(small), reversed(large), strict=False)
    return all(a == 1 or (a is not None and a == b) for a, b in pairs)


def _options(call: pipeline.BinaryCall) -> dict[str, float | Tensor]:
    """Gamma and the weights; of a member the arguments of its closed form, in order."""
    options = call.member.arguments if call.member else (call.gamma, call.positive, call.negative)
    return dict(zip(("first", "second", "third"), options, strict=False))


def _own(number: float | Tensor, tensor: Tensor) -> float | Tensor:
    """The parameter for the formula. A power with a Python number is a product, with a tensor an exponential."""
    return number if isinstance(number, float) else tensor


def _own_options(call: pipeline.BinaryCall, operands: Operands) -> tuple[float | Tensor, ...]:
    """`_options` for the formula."""
    return tuple(_own(option, operands.get(name)) for name, option in _options(call).items())


def _binary_formula(call: pipeline.BinaryCall) -> Callable[[Operands], Tensor]:
    closed_form = call.member.closed_form if call.member else "p_t_loss" if call.p_t_loss else "expected_loss"

    def formula(operands: Operands) -> Tensor:
        x = operands["x"]
        logits = FORMULA.at_least_float32(x)
        labels = [pipeline.binary_labels(FORMULA, operands["y"], logits, call.smoothing)] if "y" in operands else []
        return tf.cast(FORMULA.elementwise(closed_form, logits, *labels, *_own_options(call, operands)), x.dtype)

    return formula


def _member_operands(declared: pipeline.BinaryCall, operands: Operands, upstream: Tensor) -> tuple[list[Any], Any]:
    """The inputs and the attributes of the op of a member."""
    x, y = operands["x"], operands.get("y")
    options = _own_options(declared, operands)
    call: Any = binary_losses.call_of_member(declared.member.closed_form, options, x, y)  # type: ignore[union-attr]
    family, exponent, clip, epsilon, detached = call.member.kernel
    dtype = _dtype_at_least_float32(x)
    inputs = [
        x,
        _constant(0.5, dtype) if y is None else y,
        *(_parameter(number, dtype) for number in (call.gamma, call.positive, call.negative)),
        upstream,
        _constant(0.0, tf.float64),
        _numbers(exponent, clip, epsilon),
    ]
    return inputs, {"family": family, "detached": detached}


def _member_op(call: pipeline.BinaryCall) -> Callable[[int, Operands], Tensor]:
    def op(order: int, operands: Operands) -> Tensor:
        upstream = operands.get("upstream")
        inputs, settings = _member_operands(call, operands, _one() if upstream is None else upstream)
        value, bad = _ops.focal_loss_member(*inputs, order=order, **settings)
        if not order and "y" in operands:
            _check_labels(bad, operands)
        return value

    return op


def _member_total(call: pipeline.BinaryCall) -> Callable[[Tensor, Operands], tuple[Tensor, Tensor]]:
    def total(factor: Tensor, operands: Operands) -> tuple[Tensor, Tensor]:
        inputs, settings = _member_operands(call, operands, factor)
        dtype = _dtype_at_least_float32(operands["x"])
        value, slope, bad = _ops.focal_loss_member_total(*inputs, order=1, S=dtype, **settings)
        if "y" in operands:
            _check_labels(bad, operands)
        return value, slope

    return total


def _one() -> Tensor:
    return _constant(1.0, tf.float64)


def _check_labels(bad: Tensor, operands: Operands) -> None:
    """Raise for a wrong label, which an eager op has found."""
    if tf.executing_eagerly() and bad.numpy() >= 0:
        checks.check_labels(operands["y"].numpy(), operands["x"].numpy())


def _numbers(*numbers: float | Tensor) -> Tensor:
    """A vector of numbers, of which some may be tensors."""
    if all(isinstance(number, float) for number in numbers):
        return _constant(numbers, tf.float64)
    return tf.stack([_float64(_parameter(number, tf.float64)) for number in numbers])


def _binary_operands(call: pipeline.BinaryCall, operands: Operands, upstream: Tensor) -> list[Tensor]:
    x, y = operands["x"], operands["y"]
    options = [_parameter(option, _dtype_at_least_float32(x)) for option in _own_options(call, operands)]
    return [x, y, *options, upstream, _constant(call.smoothing, tf.float64)]


def _binary_op(call: pipeline.BinaryCall) -> Callable[[int, Operands], Tensor]:
    def op(order: int, operands: Operands) -> Tensor:
        upstream = operands.get("upstream")
        inputs = _binary_operands(call, operands, _one() if upstream is None else upstream)
        value, bad = _ops.focal_loss_binary(*inputs, order=order, family=int(call.p_t_loss))
        if not order:
            _check_labels(bad, operands)
        return value

    return op


def _binary_total(call: pipeline.BinaryCall) -> Callable[[Tensor, Operands], tuple[Tensor, Tensor]]:
    def total(factor: Tensor, operands: Operands) -> tuple[Tensor, Tensor]:
        inputs, dtype = _binary_operands(call, operands, factor), _dtype_at_least_float32(operands["x"])
        value, slope, bad = _ops.focal_loss_binary_total(*inputs, order=1, family=int(call.p_t_loss), S=dtype)
        _check_labels(bad, operands)
        return value, slope

    return total


def _softmax_formula(call: pipeline.SoftmaxCall) -> Callable[[Operands], Tensor]:
    def formula(operands: Operands) -> Tensor:
        x, y = operands["x"], operands["y"]
        gamma, weight = _own(call.gamma, operands["gamma"]), _own(call.weight, operands["weight"])
        if call.sparse:
            sparse = SparseOptions(
                gamma=gamma,
                class_weight=weight,
                from_logits=True,
                axis=call.axis,
                ignore_class=call.ignore,
                label_smoothing=call.smoothing,
            )
            return softmax_losses.sparse_categorical_formula(FORMULA, y, x, sparse)
        dense = DenseOptions(
            gamma=gamma, class_weight=weight, from_logits=True, label_smoothing=call.smoothing, axis=call.axis
        )
        return softmax_losses.categorical_formula(FORMULA, y, x, dense)

    return formula


def _softmax_settings(call: pipeline.SoftmaxCall) -> dict[str, Any]:
    return {
        "axis": call.axis,
        "sparse": call.sparse,
        "has_ignored": call.ignore is not None,
        "ignored": call.ignore or 0,
    }


def _softmax_operands(call: pipeline.SoftmaxCall, operands: Operands) -> list[Tensor]:
    gamma, weight = (_float64(operands[name]) for name in ("gamma", "weight"))
    return [operands["x"], operands["y"], gamma, weight, _constant(call.smoothing, tf.float64)]


def _softmax_op(call: pipeline.SoftmaxCall) -> Callable[[int, Operands], Tensor]:
    settings = _softmax_settings(call)

    def op(order: int, operands: Operands) -> Tensor:
        x, inputs = operands["x"], _softmax_operands(call, operands)
        if order:
            return _ops.focal_loss_softmax_gradient(*inputs, operands["upstream"], **settings)[0]
        value, bad = _ops.focal_loss_softmax(*inputs, **settings)
        if not tf.executing_eagerly():
            return tf.ensure_shape(value, x.shape[: call.axis] + x.shape[call.axis + 1 :])
        _check_classes(call, bad, operands)
        return value

    return op


def _softmax_total(call: pipeline.SoftmaxCall) -> Callable[[Tensor, Operands], tuple[Tensor, Tensor]]:
    def total(factor: Tensor, operands: Operands) -> tuple[Tensor, Tensor]:
        inputs, dtype = _softmax_operands(call, operands), _dtype_at_least_float32(operands["x"])
        value, slope, bad = _ops.focal_loss_softmax_total(*inputs, factor, S=dtype, **_softmax_settings(call))
        _check_classes(call, bad, operands)
        return value, slope

    return total


def _check_classes(call: pipeline.SoftmaxCall, bad: Tensor, operands: Operands) -> None:
    """Raise for a wrong label, which an eager op has found."""
    if not tf.executing_eagerly() or bad.numpy() < 0:
        return
    if call.sparse:
        checks.check_classes(operands["y"].numpy(), operands["x"].shape[call.axis], call.ignore)
    else:
        checks.check_labels(operands["y"].numpy(), dense=True)


def _float64(x: Tensor) -> Tensor:
    return x if x.dtype == tf.float64 else tf.cast(x, tf.float64)
