"""JAX as a `pipeline.Backend`, by the formula: its primitives, its conversions, its custom derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.custom_derivatives import SymbolicZero

from focal_loss._core import checks, formula, pipeline, softmax
from focal_loss._core.warnings import warn


class JaxOps:
    """`formula.Ops` for JAX."""

    exp, log, log1p = staticmethod(jnp.exp), staticmethod(jnp.log), staticmethod(jnp.log1p)
    sqrt, tanh, abs = staticmethod(jnp.sqrt), staticmethod(jnp.tanh), staticmethod(jnp.abs)
    floor, clip = staticmethod(jnp.floor), staticmethod(jnp.clip)

    def where(self, condition: Array, x: Any, y: Any) -> Array:
        return jnp.where(condition, x, y)

    def sum(self, x: Array, axis: int) -> Array:
        return jnp.sum(x, axis, keepdims=True)

    def max(self, x: Array, axis: int) -> Array:
        return jnp.max(x, axis, keepdims=True, initial=-jnp.inf)

    def first_max(self, x: Array, axis: int) -> Array:
        if not x.shape[axis]:
            return x == x
        return positions(x, axis) == jnp.argmax(x, axis, keepdims=True)

    def largest(self, x: Array) -> float:
        return float(jnp.finfo(x.dtype).max)

    def smallest(self, x: Array) -> float:
        return float(jnp.finfo(x.dtype).tiny)

    def is_bool(self, x: Array) -> bool:
        return bool(x.dtype == jnp.bool_)

    def is_joined(self, x: Array) -> bool:
        return isinstance(x, jax.core.Tracer) and bool(x.dtype == jnp.float32)

    def constant(self, x: Array) -> Array:
        return jax.lax.stop_gradient(x)


OPS = JaxOps()


def positions(like: Array, axis: int) -> Array:
    """Positions along the axis, with the rank of `like`, because JAX can be set to refuse arrays of different ranks."""
    return jnp.arange(like.shape[axis]).reshape((1,) * axis + (-1,) + (1,) * (like.ndim - axis - 1))


# ---------------------------------------------------------------------------------------------------------------
# Custom derivatives
# ---------------------------------------------------------------------------------------------------------------


@partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def _elementwise(family: str, index: formula.Index, numbers: tuple[float | None, ...], *tensors: Array) -> Array:
    """`formula.evaluate`. `numbers` holds the arguments that are Python numbers, and None in the place of tensors."""
    queue = iter(tensors)
    value = formula.evaluate(OPS, family, index, *(next(queue) if n is None else n for n in numbers))
    return jnp.zeros_like(tensors[0]) if value is None else value


@partial(_elementwise.defjvp, symbolic_zeros=True)
def _elementwise_jvp(
    family: str,
    index: formula.Index,
    numbers: tuple[float | None, ...],
    tensors: tuple[Array, ...],
    tangents: tuple[Any, ...],
) -> tuple[Array, Array]:
    """The derivative is the same function at the next index."""
    value = _elementwise(family, index, numbers, *tensors)
    places = [k for k, n in enumerate(numbers) if n is None]
    parts = [
        tangent * _elementwise(family, f"{index}{k}", numbers, *tensors)
        for k, tangent in zip(places, tangents, strict=True)
        if not isinstance(tangent, SymbolicZero)
    ]
    return value, sum(parts[1:], start=parts[0]) if parts else jnp.zeros_like(value)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _margin(ops: JaxOps, axis: int, true_class_mask: Array | None, v: Array) -> Array:
    """`softmax.margin`."""
    return softmax.margin(ops, v, true_class_mask, axis)


@_margin.defjvp
def _margin_jvp(ops: JaxOps, axis: int, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    true_class_mask, v = primals
    _, tangent = tangents
    mean = _average(ops, axis, true_class_mask, v, tangent)  # JAX differentiates it as `_average_jvp` says
    return _margin(ops, axis, true_class_mask, v), softmax.jvp_of_average(ops, true_class_mask, axis, tangent, mean)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _average(ops: JaxOps, axis: int, true_class_mask: Array | None, v: Array, tangent: Array) -> Array:
    """`softmax.average`, linear in the tangent."""
    return softmax.average(ops, v, true_class_mask, axis, tangent)


@_average.defjvp
def _average_jvp(ops: JaxOps, axis: int, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    """`softmax.average_jvp`."""
    true_class_mask, v, tangent = primals
    mean = partial(_average, ops, axis, true_class_mask, v)
    return mean(tangent), softmax.average_jvp(mean, tangent, *tangents[1:])


# ---------------------------------------------------------------------------------------------------------------
# The backend
# ---------------------------------------------------------------------------------------------------------------


class Formula(JaxOps):
    """`pipeline.Backend` for JAX without native kernels."""

    def fused_binary(self, call: pipeline.BinaryCall, /) -> Array | None:
        return None

    def fused_softmax(self, call: pipeline.SoftmaxCall, /) -> Array | None:
        return None

    def prediction(self, y_pred: Any, name: str = "y_pred") -> Array:
        x = _array(name, y_pred)
        keep = jnp.issubdtype(x.dtype, jnp.floating) and checks.has_dtype(y_pred)
        return x if keep else x.astype(jnp.float32)

    def labels(self, y_true: Any, like: Array, name: str = "y_true") -> Array:
        return _array(name, y_true)

    def warn(self, message: str, category: type[Warning] = UserWarning) -> None:
        warn(message, category)

    def parameter(self, name: str, value: Any, like: Array) -> float | Array:
        if isinstance(value, float):
            return value
        if isinstance(value, list):
            return jnp.asarray(value, at_least_float32(like.dtype))
        return _array(name, value).astype(at_least_float32(like.dtype))

    def at_least_float32(self, x: Array) -> Array:
        return x.astype(at_least_float32(x.dtype))

    def cast(self, x: Array, like: Array) -> Array:
        return x.astype(like.dtype)

    round_losses = cast

    def kind(self, x: Array) -> Literal["bool", "integer", "floating"]:
        return "bool" if x.dtype == bool else "integer" if jnp.issubdtype(x.dtype, jnp.integer) else "floating"

    def shape(self, x: Array) -> Sequence[int]:
        return x.shape

    def readable(self, x: Array) -> bool:
        return not isinstance(x, jax.core.Tracer) and all(d.platform == "cpu" for d in x.devices())

    def to_numpy(self, x: Array) -> np.ndarray[Any, Any]:
        return np.asarray(x)

    def to_integer(self, x: Array) -> Array:
        """Integers of at least 32 bits: beside int8 the Python number 200 would wrap around to -56."""
        return x if jnp.issubdtype(x.dtype, jnp.integer) and x.dtype.itemsize >= 4 else x.astype(int)

    def length(self, x: Array, axis: int) -> int:
        return x.shape[axis]

    def classes(self, like: Array, axis: int) -> Array:
        return positions(like, axis)

    def take(self, x: Array, index: Array) -> Array:
        return jnp.take(x, index)

    def expand(self, x: Array, axis: int) -> Array:
        return jnp.expand_dims(x, axis)

    def squeeze(self, x: Array, axis: int) -> Array:
        return jnp.squeeze(x, axis)

    def reshape(self, x: Array, shape: tuple[int, ...]) -> Array:
        return jnp.reshape(x, shape)

    def broadcast(self, *arrays: Array) -> Sequence[Array]:
        return jnp.broadcast_arrays(*arrays)

    def mean(self, x: Array, axis: int) -> Array:
        return jnp.mean(x, axis)

    def total(self, x: Array) -> Array:
        return jnp.sum(x)

    def elementwise(self, family: str, *arguments: Any) -> Array:
        numbers = tuple(a if isinstance(a, float) else None for a in arguments)
        tensors = jnp.broadcast_arrays(*(a for a in arguments if not isinstance(a, float)))
        return _elementwise(family, "", numbers, *tensors)

    def margin(self, v: Array, true_class_mask: Array | None, axis: int) -> Array:
        return _margin(self, axis, true_class_mask, v)

    def probabilities(self, x: Array, true_class_mask: Array | None, axis: int) -> tuple[Array, Array]:
        return softmax.probabilities(self, x, true_class_mask, axis)


def at_least_float32(dtype: Any) -> Any:
    return jnp.float32 if dtype.itemsize < 4 else dtype


def aligned(value: Array, rank: int) -> Array:
    """An array of this rank, with axes of length 1 in front."""
    return jnp.expand_dims(value, tuple(range(rank - value.ndim)))


def live(tangents: Any) -> list[str]:
    """The fields with nonzero tangents. Integers and arguments that are not differentiated have none."""
    return [name for name, tangent in tangents._asdict().items() if not isinstance(tangent, SymbolicZero)]


def _array(name: str, value: Any) -> Array:
    """An array of real numbers."""
    if isinstance(value, Array):
        x = value
    elif hasattr(value, "__array__"):
        array = checks.host_array(name, value)
        x = jnp.asarray(array.astype(array.dtype.newbyteorder("="), copy=False))
    else:  # numbers, and sequences, which may hold tracers
        checks.refuse_unreal(name, value)
        try:
            x = jnp.asarray(value)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise checks.not_real(name, value) from error
    if not (jnp.issubdtype(x.dtype, np.floating) or jnp.issubdtype(x.dtype, np.integer) or x.dtype == bool):
        raise checks.not_real(name, value)
    return x


FORMULA = Formula()
