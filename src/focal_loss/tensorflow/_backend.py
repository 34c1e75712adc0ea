"""TensorFlow as a `pipeline.Backend`: its primitives, its conversions, and our derivatives as custom gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from focal_loss._core import checks, formula, pipeline, softmax
from focal_loss._core.warnings import warn
from focal_loss.tensorflow._private import RECORDS, has_tangents, is_followed, record, stop_recording

Tensor = Any  # tf.Tensor, eager or symbolic; TensorFlow has no types of its own to check against


@cache
def host_only() -> bool:
    return {device.device_type for device in tf.config.list_logical_devices()} <= {"CPU"}


class _TensorflowOps:
    """`formula.Ops` for TensorFlow."""

    exp, log, log1p = staticmethod(tf.math.exp), staticmethod(tf.math.log), staticmethod(tf.math.log1p)
    sqrt, tanh, abs = staticmethod(tf.math.sqrt), staticmethod(tf.math.tanh), staticmethod(tf.math.abs)
    floor, clip = staticmethod(tf.math.floor), staticmethod(tf.clip_by_value)

    def where(self, condition: Tensor, x: Tensor | float, y: Tensor | float) -> Tensor:
        """`tf.where` with Python numbers in the dtype of the other side; by itself it makes them float32."""
        dtype = next((side.dtype for side in (x, y) if not isinstance(side, float | int)), None)
        return tf.where(condition, *(tf.convert_to_tensor(side, dtype) for side in (x, y)))

    def sum(self, x: Tensor, axis: int) -> Tensor:
        return tf.reduce_sum(x, axis, keepdims=True)

    def max(self, x: Tensor, axis: int) -> Tensor:
        return tf.reduce_max(x, axis, keepdims=True)

    def first_max(self, x: Tensor, axis: int) -> Tensor:
        if x.shape[axis] == 0:
            return x == x
        return _positions(x, axis) == tf.expand_dims(tf.argmax(x, axis), axis)

    def largest(self, x: Tensor) -> float:
        return float(np.finfo(x.dtype.as_numpy_dtype).max)

    def smallest(self, x: Tensor) -> float:
        return float(np.finfo(x.dtype.as_numpy_dtype).tiny)

    def is_bool(self, x: Tensor) -> bool:
        return bool(x.dtype.is_bool)

    def is_joined(self, x: Tensor) -> bool:
        """A graph on the host has the formula for XLA. On a GPU there may be no XLA."""
        return x.dtype == tf.float32 and not tf.executing_eagerly() and host_only()

    def constant(self, x: Tensor) -> Tensor:
        return tf.stop_gradient(x)


_ops = _TensorflowOps()


def _positions(like: Tensor, axis: int) -> Tensor:
    classes = tf.range(tf.shape(like, tf.int64)[axis])
    return tf.reshape(classes, (-1,) + (1,) * (len(like.shape) - axis - 1))


# ---------------------------------------------------------------------------------------------------------------
# Custom gradients
# ---------------------------------------------------------------------------------------------------------------


def here(*tensors: Tensor) -> Sequence[Tensor]:
    """The same tensors as members of the graph that is being built.

    The gradient of a `tf.function` is a graph of its own, and the gradient of that gradient another one. A custom
    gradient refers to the tensors that its function was called with, and only to such as the graph just outside its
    own holds: a mask and a tensor of two graphs ago must be passed on, by argument and by `tf.identity`.
    """
    return tensors if tf.executing_eagerly() else [tf.identity(tensor) for tensor in tensors]


def custom_gradient(run: Callable[..., Any], *tensors: Tensor) -> Tensor:
    """The value of ``run(*tensors)``, which returns a value and its gradient as for `tf.custom_gradient`, also in
    forward mode.

    `run` computes the value from `tf.stop_gradient` of the tensors. By itself TensorFlow also records the operations
    inside a custom gradient. A nested `tf.autodiff.ForwardAccumulator` would add their derivatives to those of the
    custom gradient, and one in a graph would follow only them; so operations are recorded by hand there.
    """
    given, follows = here(*tensors), has_tangents(tensors)
    if tf.executing_eagerly() and RECORDS and not follows:
        return recorded(run, given) if is_followed(*given) else run(*given)[0]
    if tf.executing_eagerly() or not follows:
        return tf.custom_gradient(run)(*given)
    gradients = []

    def remember(*tensors: Tensor) -> tuple[Tensor, Any]:
        value, gradient = run(*tensors)
        gradients.append(gradient)
        return value, gradient

    with stop_recording():
        value = tf.custom_gradient(remember)(*given)
    record(value, given, *gradients)
    return value


def recorded(run: Callable[..., tuple[Tensor, Any]], given: Sequence[Tensor]) -> Tensor:
    """`tf.custom_gradient` for eager code that nothing follows in forward mode. By itself it takes a hundred
    microseconds.
    """
    with stop_recording():
        value, gradient = run(*given)
    record(value, given, gradient)
    return value


def _elementwise(family: str, index: formula.Index, arguments: Sequence[Any]) -> Tensor:
    """`formula.evaluate`; its gradient is the same function at the next index."""
    if len(index) > 2:
        raise NotImplementedError(
            "the focal loss gives first and second derivatives, not third ones; TensorFlow also builds them where a "
            "ForwardAccumulator holds the gradient of a tf.function: open the accumulator inside the function"
        )
    places = [k for k, a in enumerate(arguments) if not isinstance(a, float)]

    def run(*tensors: Tensor) -> tuple[Tensor, Any]:
        inner = list(arguments)
        for k, tensor in zip(places, tensors, strict=True):
            inner[k] = tensor

        def gradient(upstream: Tensor) -> list[Tensor | None]:
            return [
                upstream * _elementwise(family, f"{index}{k}", inner) if inner[k].dtype.is_floating else None
                for k in places
            ]

        constants = (a if isinstance(a, float) else tf.stop_gradient(a) for a in inner)
        value = formula.evaluate(_ops, family, index, *constants)
        return tf.zeros_like(tensors[0]) if value is None else value, gradient

    return custom_gradient(run, *(arguments[k] for k in places))


def _margin(axis: int, v: Tensor, *true_class_mask: Tensor) -> Tensor:
    """`softmax.margin`; its gradient is `softmax.vjp`. No `true_class_mask` means every class."""

    def run(v: Tensor, *true_class_mask: Tensor) -> tuple[Tensor, Any]:
        def gradient(upstream: Tensor) -> list[Tensor | None]:
            return [_vjp(axis, v, upstream, *true_class_mask), *(None for _ in true_class_mask)]

        return softmax.margin(_ops, tf.stop_gradient(v), _mask(true_class_mask), axis), gradient

    return custom_gradient(run, v, *true_class_mask)


def _vjp(axis: int, v: Tensor, cotangent: Tensor, *true_class_mask: Tensor) -> Tensor:
    """`softmax.vjp`; its gradients are `second_vjp` in the logits and `jvp` in the cotangent."""

    def run(v: Tensor, cotangent: Tensor, *true_class_mask: Tensor) -> tuple[Tensor, Any]:
        def gradient(upstream: Tensor) -> list[Tensor | None]:
            in_logits = softmax.second_vjp(_ops, v, _mask(true_class_mask), axis, cotangent, upstream)
            in_cotangent = softmax.jvp(_ops, v, _mask(true_class_mask), axis, upstream)
            return [in_logits, in_cotangent, *(None for _ in true_class_mask)]

        constants = tf.stop_gradient(v), tf.stop_gradient(cotangent)
        return softmax.vjp(_ops, constants[0], _mask(true_class_mask), axis, constants[1]), gradient

    return custom_gradient(run, v, cotangent, *true_class_mask)


def _mask(true_class_mask: tuple[Tensor, ...]) -> Tensor | None:
    return true_class_mask[0] if true_class_mask else None


# ---------------------------------------------------------------------------------------------------------------
# The backend
# ---------------------------------------------------------------------------------------------------------------


def real_tensor(name: str, value: Any) -> Tensor:
    """A tensor of real numbers, of any rank."""
    tensor = value if isinstance(value, tf.Tensor) else _converted(name, value)
    if not (tensor.dtype.is_floating or tensor.dtype.is_integer or tensor.dtype.is_bool):
        raise checks.not_real(name, value)
    return tensor


def _converted(name: str, value: Any) -> Tensor:
    """A tensor from another value: a variable, a sequence, an array of another library."""
    if isinstance(value, tf.RaggedTensor | tf.SparseTensor):
        raise TypeError(
            f"`{name}` must be a dense tensor, got {type(value).__name__}; call `.to_tensor()` and weight or mask"
        )
    given = value
    if not tf.is_tensor(value):
        if hasattr(value, "__array__"):
            given = checks.host_array(name, value)
        else:
            checks.refuse_unreal(name, value)
    try:
        return tf.convert_to_tensor(given)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise checks.not_real(name, value) from error


def _tensor(name: str, value: Any) -> Tensor:
    tensor = real_tensor(name, value)
    if tensor.shape.rank is None:
        raise ValueError(
            f"`{name}` must be a tensor of known rank, got one of unknown rank; call `tf.ensure_shape` on it"
        )
    return tensor


class Formula(_TensorflowOps):
    """`pipeline.Backend` for TensorFlow, without native kernels."""

    def fused_binary(self, call: pipeline.BinaryCall) -> Tensor | None:
        return None

    def fused_softmax(self, call: pipeline.SoftmaxCall) -> Tensor | None:
        return None

    def prediction(self, y_pred: Any, name: str = "y_pred") -> Tensor:
        x = _tensor(name, y_pred)
        keep = x.dtype.is_floating and checks.has_dtype(y_pred)
        return x if keep else tf.cast(x, tf.float32)

    def labels(self, y_true: Any, like: Tensor, name: str = "y_true") -> Tensor:
        return _tensor(name, y_true)

    def warn(self, message: str, category: type[Warning] = UserWarning) -> None:
        warn(message, category)

    def parameter(self, name: str, value: Any, like: Tensor) -> float | Tensor:
        if isinstance(value, float):
            return value
        dtype = like.dtype if like.dtype.size >= 4 else tf.float32
        return tf.constant(value, dtype) if isinstance(value, list) else tf.cast(_tensor(name, value), dtype)

    def at_least_float32(self, x: Tensor) -> Tensor:
        return tf.cast(x, tf.float32) if x.dtype.size < 4 else x

    def cast(self, x: Tensor, like: Tensor) -> Tensor:
        return tf.cast(x, like.dtype)

    round_losses = cast

    def kind(self, x: Tensor) -> Literal["bool", "integer", "floating"]:
        return "bool" if x.dtype.is_bool else "integer" if x.dtype.is_integer else "floating"

    def shape(self, x: Tensor) -> Sequence[int | None]:
        return tuple(x.shape)

    def readable(self, x: Tensor) -> bool:
        return tf.executing_eagerly() and hasattr(x, "numpy") and "GPU" not in x.device

    def to_numpy(self, x: Tensor) -> np.ndarray[Any, Any]:
        return np.asarray(x.numpy())  # NumPy cannot read a bfloat16 scalar of TensorFlow

    def to_integer(self, x: Tensor) -> Tensor:
        return tf.cast(x, tf.int64)

    def length(self, x: Tensor, axis: int) -> Any:
        return tf.shape(x, tf.int64)[axis] if x.shape[axis] is None else x.shape[axis]

    def classes(self, like: Tensor, axis: int) -> Tensor:
        return _positions(like, axis)

    def take(self, x: Tensor, index: Tensor) -> Tensor:
        return tf.gather(x, index)

    def expand(self, x: Tensor, axis: int) -> Tensor:
        return tf.expand_dims(x, axis)

    def squeeze(self, x: Tensor, axis: int) -> Tensor:
        return tf.squeeze(x, axis)

    def reshape(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        return tf.reshape(x, shape)

    def broadcast(self, *arrays: Tensor) -> Sequence[Tensor]:
        """Broadcast tensors, unless their shapes are known to be equal: a broadcast copies in TensorFlow."""
        if len({tuple(a.shape) for a in arrays}) == 1 and arrays[0].shape.is_fully_defined():
            return arrays
        static, shape = arrays[0].shape, tf.shape(arrays[0])
        for array in arrays[1:]:
            static = tf.broadcast_static_shape(static, array.shape)
            shape = tf.broadcast_dynamic_shape(shape, tf.shape(array))
        results = [tf.broadcast_to(array, shape) for array in arrays]
        for result in results:
            result.set_shape(static)  # unlike `tf.ensure_shape`, which has no forward mode in graphs
        return results

    def mean(self, x: Tensor, axis: int) -> Tensor:
        return tf.reduce_mean(x, axis)

    def total(self, x: Tensor) -> Tensor:
        return tf.reduce_sum(x)

    def elementwise(self, family: str, *arguments: Any) -> Tensor:
        tensors = iter(self.broadcast(*(a for a in arguments if not isinstance(a, float))))
        return _elementwise(family, "", [a if isinstance(a, float) else next(tensors) for a in arguments])

    def margin(self, v: Tensor, true_class_mask: Tensor | None, axis: int) -> Tensor:
        return _margin(axis, v, *(() if true_class_mask is None else (true_class_mask,)))

    def probabilities(self, x: Tensor, true_class_mask: Tensor | None, axis: int) -> tuple[Tensor, Tensor]:
        return softmax.probabilities(self, x, true_class_mask, axis)


FORMULA = Formula()
