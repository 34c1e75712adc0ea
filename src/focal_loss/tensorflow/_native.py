"""The native kernels as ops of TensorFlow: the calls that they compute, and their derivatives.

An op has a kernel for the host, but none for XLA or an accelerator. In eager mode the devices of the tensors decide. A
graph may run anywhere, and an existing `tf.function` may be called from one that XLA compiles, so the graph holds a
branch by device, of which XLA compiles the formula.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache, lru_cache, reduce
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf

from focal_loss._core import binary_losses, checks, pipeline, softmax_losses
from focal_loss._core.losses.categorical_focal_loss import Options as DenseOptions
from focal_loss._core.losses.sparse_categorical_focal_loss import Options as SparseOptions
from focal_loss._host import kernels
from focal_loss.tensorflow._backend import FORMULA, Formula, Tensor, here
from focal_loss.tensorflow._private import (
    SERVES_GRAPHS,
    by_device,
    has_tangents,
    is_followed,
    is_for_ops,
    register_vectorized,
    vectorized,
    vectorized_ops,
)


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


def implementation() -> str:
    """A description of what computes TensorFlow's tensors, for `show_config`."""
    return _description


# ---------------------------------------------------------------------------------------------------------------
# Where the ops run
# ---------------------------------------------------------------------------------------------------------------


@cache
def _host_only() -> bool:
    return {device.device_type for device in tf.config.list_logical_devices()} <= {"CPU"}


def _covered(x: Tensor, *others: Any) -> bool:
    """Whether the ops take these tensors in this context."""
    tensors = [x, *(t for t in others if not isinstance(t, float))]
    if _ops is None or any(t.dtype.name not in kernels.DTYPES or t.shape.rank > kernels.MAX_RANK for t in tensors):
        return False
    # The ops have no forward mode, so the formula runs under a `tf.autodiff.ForwardAccumulator`.
    if has_tangents(tensors):
        return False
    if tf.executing_eagerly():
        return _host_only() or all("CPU" in t.device for t in tensors)
    return _host_only() and is_for_ops(tf.compat.v1.get_default_graph())


def _choose(native: Callable[[], Tensor], formula: Callable[[], Tensor]) -> Tensor:
    if tf.executing_eagerly():
        return native()
    return by_device({"CPU": native}, formula)


# ---------------------------------------------------------------------------------------------------------------
# Derivatives
# ---------------------------------------------------------------------------------------------------------------


Operands = dict[str, Tensor]  # the tensors of a loss by name, and of a derivative also its factor "upstream"


class _Loss(NamedTuple):
    """A loss as a function of tensors, in which "x" are the logits."""

    formula: Callable[[Operands], Tensor]  # the value
    op: Callable[[int, Operands], Tensor]  # the value at order 0, else upstream * derivative in the logits
    orders: int  # the highest derivative of the op
    elementwise: bool  # the Hessian is diagonal


def _by_formula(loss: _Loss, order: int, operands: Operands) -> Tensor:
    if not order:
        return loss.formula(operands)
    x, inner = operands["x"], {name: t for name, t in operands.items() if name != "upstream"}
    upstream = tf.cast(operands["upstream"], x.dtype) if "upstream" in operands else None
    return _differentiate(lambda x: _by_formula(loss, order - 1, inner | {"x": x}), [x], upstream)[0]


def _differentiate(function: Callable[..., Tensor], at: Sequence[Tensor], upstream: Tensor | None) -> list[Tensor]:
    zero = tf.UnconnectedGradients.ZERO
    if not tf.executing_eagerly():  # TensorFlow may have stopped its tapes, as it does for forward mode
        at = [tf.identity(tensor) for tensor in at]
        found = tf.gradients(function(*at), at, upstream, unconnected_gradients=zero)
        return [tf.convert_to_tensor(gradient) for gradient in found]  # `tf.gather` gives indexed slices
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(at)
        value = function(*at)
    return tape.gradient(value, at, upstream, zero)


def _derivative(loss: _Loss, order: int, operands: Operands) -> Tensor:
    """The value of a loss, or the derivative in the logits times the upstream, and the gradient of either."""
    # In a graph every tensor is passed on (see `here`), otherwise only those that are differentiated.
    eager = tf.executing_eagerly()
    if eager and not is_followed(*operands.values()):
        return loss.op(order, operands)
    names = [name for name, t in operands.items() if not eager or (t.dtype.is_floating and is_followed(t))]

    @tf.custom_gradient
    def run(*given: Tensor) -> tuple[Tensor, Any]:
        # A tape that is open while a graph is built would ask for the gradient of every operation in here.
        inner = operands | {name: tf.stop_gradient(t) for name, t in zip(names, given, strict=True)}

        def gradient(outer: Tensor) -> list[Tensor | None]:
            found = _gradients(loss, order, outer, operands | dict(zip(names, here(*given), strict=True)), names)
            return [found.get(name) for name in names]

        value = _choose(lambda: loss.op(order, inner), lambda: _by_formula(loss, order, inner))
        return value, gradient

    return run(*here(*(operands[name] for name in names)))


def _gradients(loss: _Loss, order: int, outer: Tensor, operands: Operands, names: Sequence[str]) -> Operands:
    """The gradients of <outer, `_derivative`>: in the logits and the upstream by ops if there are any, else by the
    formula.
    """
    found: Operands = {}
    if "x" in names and order < loss.orders:
        factor = outer
        if "upstream" in operands:
            factor = _at_least_float32(outer) * _at_least_float32(operands["upstream"])
        found["x"] = _derivative(loss, order + 1, operands | {"upstream": factor})
    if loss.elementwise and "upstream" in names:
        slope = _derivative(loss, order, operands | {"upstream": outer})
        found["upstream"] = tf.cast(slope, operands["upstream"].dtype)
    others = [name for name in names if name not in found and operands[name].dtype.is_floating]
    if others:

        def value(*given: Tensor) -> Tensor:
            return _by_formula(loss, order, operands | dict(zip(others, given, strict=True)))

        by_formula = _differentiate(value, [operands[name] for name in others], outer)
        found |= zip(others, by_formula, strict=True)
    return found


def _at_least_float32(x: Tensor) -> Tensor:
    return tf.cast(x, tf.float32) if x.dtype.size < 4 else x


# ---------------------------------------------------------------------------------------------------------------
# The backend
# ---------------------------------------------------------------------------------------------------------------


class Native(Formula):
    """`pipeline.Backend` for TensorFlow."""

    def fused_binary(self, call: pipeline.BinaryCall) -> Tensor | None:
        x, y, options = call.x, call.y, _options(call)
        if not _covered(x, y, *options.values()):
            return None
        operands = {"x": _spread(x, y, *options.values())} | ({} if isinstance(y, float) else {"y": y})
        if call.member:
            operands |= {name: option for name, option in options.items() if not isinstance(option, float)}
            return _derivative(_Loss(_binary_formula(call), _member_op(call), 1, True), 0, operands)
        soft = call.smoothing or y.dtype.is_floating
        loss = _Loss(_binary_formula(call), _binary_op(call), 1 if call.p_t_loss and soft else 2, True)
        dtype = _dtype_at_least_float32(x)
        operands |= {name: _parameter(option, dtype) for name, option in options.items()}
        return _derivative(loss, 0, operands)

    def fused_softmax(self, call: pipeline.SoftmaxCall) -> Tensor | None:
        x, y = call.x, call.y
        if not _covered(x, y, call.gamma, call.weight):
            return None
        if not call.sparse and not (x.shape.is_fully_defined() and y.shape.is_fully_defined()):
            y = tf.broadcast_to(y, tf.shape(x))
        # The op takes float64, and the formula the numbers themselves.
        gamma, weight = (_parameter(p, tf.float64) for p in (call.gamma, call.weight))
        if gamma.shape.rank > 1:
            gamma = _per_example(gamma, x, call.axis)
        loss = _Loss(_softmax_formula(call), _softmax_op(call), 1, False)
        return _derivative(loss, 0, {"x": x, "y": y, "gamma": gamma, "weight": weight})


@lru_cache(maxsize=256)
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


def _member_op(declared: pipeline.BinaryCall) -> Callable[[int, Operands], Tensor]:
    def op(order: int, operands: Operands) -> Tensor:
        x, y, upstream = operands["x"], operands.get("y"), operands.get("upstream")
        options = _own_options(declared, operands)
        call: Any = binary_losses.call_of_member(declared.member.closed_form, options, x, y)  # type: ignore[union-attr]
        family, exponent, clip, epsilon, detached = call.member.kernel
        dtype = _dtype_at_least_float32(x)
        value, bad = _ops.focal_loss_member(
            x,
            _constant(0.5, dtype) if y is None else y,
            _parameter(call.gamma, dtype),
            _parameter(call.positive, dtype),
            _parameter(call.negative, dtype),
            _constant(1.0, tf.float64) if upstream is None else upstream,
            _constant(0.0, tf.float64),
            _numbers(exponent, clip, epsilon),
            order=order,
            family=family,
            detached=detached,
        )
        if y is not None and not order and tf.executing_eagerly() and bad.numpy() >= 0:
            checks.check_labels(y.numpy(), x.numpy())
        return value

    return op


def _numbers(*numbers: float | Tensor) -> Tensor:
    """A vector of numbers, of which some may be tensors."""
    if all(isinstance(number, float) for number in numbers):
        return _constant(numbers, tf.float64)
    return tf.stack([_float64(_parameter(number, tf.float64)) for number in numbers])


def _binary_op(call: pipeline.BinaryCall) -> Callable[[int, Operands], Tensor]:
    def op(order: int, operands: Operands) -> Tensor:
        x, y, upstream = operands["x"], operands["y"], operands.get("upstream")
        value, bad = _ops.focal_loss_binary(
            x,
            y,
            operands["first"],
            operands["second"],
            operands["third"],
            _constant(1.0, tf.float64) if upstream is None else upstream,
            _constant(call.smoothing, tf.float64),
            order=order,
            family=int(call.p_t_loss),
        )
        if not order and tf.executing_eagerly() and bad.numpy() >= 0:
            checks.check_labels(y.numpy(), x.numpy())
        return value

    return op


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


def _softmax_op(call: pipeline.SoftmaxCall) -> Callable[[int, Operands], Tensor]:
    settings = {
        "axis": call.axis,
        "sparse": call.sparse,
        "has_ignored": call.ignore is not None,
        "ignored": call.ignore or 0,
    }

    def op(order: int, operands: Operands) -> Tensor:
        x, y = operands["x"], operands["y"]
        gamma, weight = (_float64(operands[name]) for name in ("gamma", "weight"))
        smoothing = _constant(call.smoothing, tf.float64)
        if order:
            upstream = operands["upstream"]
            return _ops.focal_loss_softmax_gradient(x, y, gamma, weight, smoothing, upstream, **settings)[0]
        value, bad = _ops.focal_loss_softmax(x, y, gamma, weight, smoothing, **settings)
        if not tf.executing_eagerly():
            return tf.ensure_shape(value, x.shape[: call.axis] + x.shape[call.axis + 1 :])
        if bad.numpy() >= 0:
            if call.sparse:
                checks.check_classes(y.numpy(), x.shape[call.axis], call.ignore)
            else:
                checks.check_labels(y.numpy(), dense=True)
        return value

    return op


def _float64(x: Tensor) -> Tensor:
    return x if x.dtype == tf.float64 else tf.cast(x, tf.float64)


# ---------------------------------------------------------------------------------------------------------------
# tf.vectorized_map and tape.jacobian: an op for many iterations is the op of stacked operands
# ---------------------------------------------------------------------------------------------------------------


def _same_device(loop: Any) -> list[Any]:
    return [vectorized(tf.raw_ops.DeviceIndex(device_names=loop.get_attr("device_names")), False)]


def _vectorized_binary(loop: Any) -> list[Any]:
    loop.expanddim_inputs_for_broadcast()
    settings = {name: loop.get_attr(name) for name in ("order", "family")}
    value, bad = _ops.focal_loss_binary(*(operand.t for operand in loop.inputs), **settings)
    return [vectorized(value, True), vectorized(bad, False)]


def _vectorized_member(loop: Any) -> list[Any]:
    """The stacked op, for the same numbers in all iterations; otherwise they run in a loop."""
    gamma, numbers = loop.unstacked_input(2), loop.unstacked_input(7)
    loop.expanddim_inputs_for_broadcast()
    settings = {name: loop.get_attr(name) for name in ("order", "family", "detached")}
    operands = [operand.t for operand in loop.inputs]
    operands[2], operands[7] = gamma, numbers
    value, bad = _ops.focal_loss_member(*operands, **settings)
    return [vectorized(value, True), vectorized(bad, False)]


def _vectorized_softmax(loop: Any) -> list[Any]:
    """The stacked op, for one gamma and weight in all iterations; otherwise they run in a loop. A gamma per example is
    stacked.
    """
    gamma = loop.input(2)
    of_examples = gamma.t.shape.rank > (2 if gamma.is_stacked else 1)
    loop.stack_inputs([k for k in range(loop.num_inputs) if k in (0, 1, 5) or (k == 2 and of_examples)])
    shared = [loop.stacked_input(2) if of_examples else loop.unstacked_input(2)]
    shared += [loop.unstacked_input(k) for k in (3, 4)]
    settings = {name: loop.get_attr(name) for name in ("sparse", "has_ignored", "ignored")}
    settings["axis"] = loop.get_attr("axis") + 1
    stacked = [loop.stacked_input(k) for k in (0, 1, 5) if k < loop.num_inputs]
    op = _ops.focal_loss_softmax if len(stacked) == 2 else _ops.focal_loss_softmax_gradient
    value, bad = op(*stacked[:2], *shared, *stacked[2:], **settings)
    return [vectorized(value, True), vectorized(bad, False)]


if SERVES_GRAPHS:
    if "DeviceIndex" not in vectorized_ops:
        register_vectorized("DeviceIndex")(_same_device)
    register_vectorized("FocalLossBinary")(_vectorized_binary)
    register_vectorized("FocalLossMember")(_vectorized_member)
    register_vectorized("FocalLossSoftmax")(_vectorized_softmax)
    register_vectorized("FocalLossSoftmaxGradient")(_vectorized_softmax)
