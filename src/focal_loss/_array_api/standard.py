"""The array API standard as a `pipeline.Backend`, by the formula: no function beyond the standard, no derivatives.

Half precision is not of the standard, but libraries have it; it is computed in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from focal_loss._array_api.libraries import library_of, namespace_of
from focal_loss._core import checks, formula, pipeline, softmax
from focal_loss._core.warnings import warn
from focal_loss._host.backend import FORMULA as NUMPY

Array = Any
REAL = ("bool", "integral", "real floating")
ON_THE_HOST = 1  # the code of the CPU in DLPack


class Standard:
    """`pipeline.Backend` for the arrays of one library on one device."""

    def __init__(self, namespace: Any, device: Any) -> None:
        self.xp, self.device = namespace, device
        self.exp, self.log, self.log1p = namespace.exp, namespace.log, namespace.log1p
        self.sqrt, self.tanh, self.abs, self.floor = namespace.sqrt, namespace.tanh, namespace.abs, namespace.floor

    # Primitives of the formula

    def where(self, condition: Array, x: Any, y: Any) -> Array:
        """Both sides as arrays of one dtype, because not every version of the standard takes numbers."""
        like = next((side for side in (x, y) if hasattr(side, "dtype")), None)
        dtype = None if like is None else like.dtype
        return self.xp.where(condition, *(a if hasattr(a, "dtype") else self.array(a, dtype) for a in (x, y)))

    def clip(self, x: Array, low: float, high: float) -> Array:
        return self.xp.clip(x, low, high)

    def sum(self, x: Array, axis: int) -> Array:
        return self.xp.sum(x, axis=axis, keepdims=True)

    def max(self, x: Array, axis: int) -> Array:
        return self.xp.max(x, axis=axis, keepdims=True) if x.shape[axis] != 0 else self.sum(x, axis)

    def first_max(self, x: Array, axis: int) -> Array:
        if x.shape[axis] == 0:
            return x == x
        return self.classes(x, axis) == self.xp.argmax(x, axis=axis, keepdims=True)

    def largest(self, x: Array) -> float:
        return float(self.xp.finfo(x.dtype).max)

    def smallest(self, x: Array) -> float:
        return float(self.xp.finfo(x.dtype).smallest_normal)

    def is_joined(self, x: Array) -> bool:
        return False

    def is_bool(self, x: Array) -> bool:
        return bool(self.xp.isdtype(x.dtype, "bool"))

    def constant(self, x: Array) -> Array:
        return x

    # The arguments of a call

    def fused_binary(self, call: pipeline.BinaryCall) -> None:
        return None

    def fused_softmax(self, call: pipeline.SoftmaxCall) -> None:
        return None

    def array(self, value: Any, dtype: Any = None) -> Array:
        """An array on the device of the others."""
        return self.xp.asarray(value, dtype=dtype, device=self.device)

    def given(self, name: str, value: Any) -> Array:
        """An array of real numbers, of the library itself or from the host."""
        if library_of(value) is None:
            return self.from_host(name, value)
        if not self.xp.isdtype(value.dtype, REAL):
            raise checks.not_real(name, value)
        device = getattr(value, "device", None)
        if device != self.device:
            raise ValueError(
                f"`{name}` must be on the device of the other arrays, {self.device}, got {device}; copy it by its "
                "`to_device`"
            )
        return value

    def from_host(self, name: str, value: Any) -> Array:
        """An array from one on the host, whose dtype the library may lack."""
        array = checks.host_array(name, value)
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        if getattr(self.xp, array.dtype.name, None) is None and array.dtype.kind != "b":
            array = array.astype(np.float32 if array.dtype.itemsize < 4 else np.float64)
        return self.array(array)

    def prediction(self, y_pred: Any, name: str = "y_pred") -> Array:
        x = self.given(name, y_pred)
        keep = self.kind(x) == "floating" and checks.has_dtype(y_pred)
        return x if keep else self.xp.astype(x, self.xp.float32)

    def labels(self, y_true: Any, like: Array, name: str = "y_true") -> Array:
        return self.given(name, y_true)

    def parameter(self, name: str, value: Any, like: Array) -> float | Array:
        if isinstance(value, float):
            return value
        return self.xp.astype(self.given(name, value), self.at_least_float32(like).dtype)

    def at_least_float32(self, x: Array) -> Array:
        return self.xp.astype(x, self.xp.float32) if self.xp.finfo(x.dtype).bits < 32 else x

    def cast(self, x: Array, like: Array) -> Array:
        if x.dtype == like.dtype:
            return x
        with np.errstate(all="ignore"):
            return self.xp.astype(x, like.dtype)

    round_losses = cast

    def kind(self, x: Array) -> Literal["bool", "integer", "floating"]:
        if self.is_bool(x):
            return "bool"
        return "integer" if self.xp.isdtype(x.dtype, "integral") else "floating"

    def shape(self, x: Array) -> tuple[int | None, ...]:
        return tuple(x.shape)

    def warn(self, message: str, category: type[Warning] = UserWarning) -> None:
        warn(message, category)

    def readable(self, x: Array) -> bool:
        """Whether the numbers are in the memory of the host."""
        try:
            return bool(x.__dlpack_device__()[0] == ON_THE_HOST)
        except (AttributeError, BufferError, RuntimeError, ValueError):  # arrays without memory
            return False

    def to_numpy(self, x: Array) -> np.ndarray[Any, Any]:
        return np.from_dlpack(x)

    # Shapes

    def to_integer(self, x: Array) -> Array:
        return self.xp.astype(x, self.xp.int64)

    def length(self, x: Array, axis: int) -> Any:
        return x.shape[axis]

    def classes(self, like: Array, axis: int) -> Array:
        numbers = self.xp.arange(like.shape[axis], dtype=self.xp.int64, device=self.device)
        return self.xp.reshape(numbers, (-1,) + (1,) * (like.ndim - axis - 1))

    def take(self, x: Array, index: Array) -> Array:
        return self.xp.reshape(self.xp.take(x, self.xp.reshape(index, (-1,)), axis=0), index.shape)

    def expand(self, x: Array, axis: int) -> Array:
        return self.xp.expand_dims(x, axis=axis)

    def squeeze(self, x: Array, axis: int) -> Array:
        return self.xp.squeeze(x, axis)

    def reshape(self, x: Array, shape: tuple[int, ...]) -> Array:
        return self.xp.reshape(x, shape)

    def broadcast(self, *arrays: Array) -> Sequence[Array]:
        return self.xp.broadcast_arrays(*arrays)

    def mean(self, x: Array, axis: int) -> Array:
        return self.xp.mean(x, axis=axis)

    def total(self, x: Array) -> Array:
        return self.xp.sum(x)

    # The closed forms. Some libraries are NumPy inside, and would warn where a limit takes the place of what overflows.

    def elementwise(self, family: str, *arguments: Any) -> Array:
        tensors = iter(self.broadcast(*(a for a in arguments if not isinstance(a, float))))
        given = [a if isinstance(a, float) else next(tensors) for a in arguments]
        with np.errstate(all="ignore"):
            return formula.evaluate(self, family, "", *given)

    def margin(self, v: Array, true_class_mask: Array | None, axis: int) -> Array:
        with np.errstate(all="ignore"):
            return softmax.margin(self, v, true_class_mask, axis)

    def probabilities(self, x: Array, true_class_mask: Array | None, axis: int) -> tuple[Array, Array]:
        with np.errstate(all="ignore"):
            return softmax.probabilities(self, x, true_class_mask, axis)


def backend_of_array(x: Array) -> pipeline.Backend:
    """The backend of an array that holds numbers: NumPy's, or that of its library on its device."""
    return NUMPY if isinstance(x, np.ndarray | np.generic) else Standard(namespace_of(x), getattr(x, "device", None))
