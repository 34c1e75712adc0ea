"""The softmax losses from logits as functions of JAX arrays, with their derivatives.

On the host the kernels compute the value and the derivative in the logits, elsewhere the formula does. All other
derivatives are by the formula.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from focal_loss._core import pipeline, softmax_losses
from focal_loss._core.losses.categorical_focal_loss import Options as DenseOptions
from focal_loss._core.losses.sparse_categorical_focal_loss import Options as SparseOptions
from focal_loss.jax._backend import FORMULA, aligned, at_least_float32, live
from focal_loss.jax._ffi import Call, kernel
from focal_loss.jax._shards import Shard, SoftmaxSetting, SoftmaxTensors, value_and_slope


def by_formula(setting: SoftmaxSetting, tensors: SoftmaxTensors) -> Array:
    """The value by the formula, which has every derivative."""
    xp = Shard(setting.names, setting.axis) if setting.names else FORMULA
    x, y = tensors.x, tensors.y
    gamma = tensors.gamma if setting.gamma is None else setting.gamma
    if setting.sparse:
        sparse = SparseOptions(
            gamma=gamma, class_weight=tensors.weight, from_logits=True, axis=setting.axis, ignore_class=setting.ignore
        )
        smoothing = tensors.smoothing if setting.smooth else None
        return softmax_losses.sparse_categorical_formula(xp, y, x, sparse, smoothing=smoothing)
    if setting.smooth:
        y = pipeline.smoothed(y.astype(at_least_float32(x.dtype)), tensors.smoothing, xp.length(x, setting.axis))
    dense = DenseOptions(gamma=gamma, class_weight=tensors.weight, from_logits=True, axis=setting.axis)
    return softmax_losses.categorical_formula(xp, y, x, dense)


def on_platform(setting: SoftmaxSetting, order: int, tensors: SoftmaxTensors) -> tuple[Array, ...]:
    """The value, and with order 1 the derivative in the logits."""
    native, formula = (partial(f, setting, order) for f in (on_devices, anywhere))
    return native(tensors) if setting.names else jax.lax.platform_dependent(tensors, cpu=native, default=formula)


def anywhere(setting: SoftmaxSetting, order: int, tensors: SoftmaxTensors) -> tuple[Array, ...]:
    return slope_formula(setting, tensors) if order else (by_formula(setting, tensors),)


@partial(jax.jit, static_argnums=0)
def softmax_program(setting: SoftmaxSetting, tensors: SoftmaxTensors) -> Array:
    return on_platform(setting, 0, tensors)[0]


softmax = jax.custom_jvp(softmax_program, nondiff_argnums=(0,))


@partial(softmax.defjvp, symbolic_zeros=True)
def softmax_jvp(
    setting: SoftmaxSetting, primals: tuple[SoftmaxTensors], changes: tuple[SoftmaxTensors]
) -> tuple[Array, Array]:
    """A rule that is linear in the tangent, so that both modes are right: in reverse mode it gives the gradient times
    the cotangent.

    The kernel could multiply by the cotangent itself, but would have to run once for the value and again for that: a
    pass over the gradient, which XLA makes in place, costs less.
    """
    (tensors,), (tangents,) = primals, changes
    wanted = live(tangents)
    parts = []
    if "x" in wanted:
        value, slope = softmax_slope(setting, tensors)
        part = jnp.sum(slope * tangents.x.astype(slope.dtype), setting.axis)
        parts.append((jax.lax.psum(part, setting.names) if setting.names else part).astype(value.dtype))
    else:
        value = softmax(setting, tensors)
    others = [name for name in wanted if name != "x"]
    if others:
        parts.append(jvp_in(partial(by_formula, setting), others, tensors, tangents)[1])
    return value, sum(parts[1:], start=parts[0]) if parts else jnp.zeros_like(value)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
@partial(jax.jit, static_argnums=0)
def softmax_slope(setting: SoftmaxSetting, tensors: SoftmaxTensors) -> tuple[Array, Array]:
    """The value, and its derivative in the logits, which is at least float32."""
    return on_platform(setting, 1, tensors)


@partial(softmax_slope.defjvp, symbolic_zeros=True)
def softmax_slope_jvp(
    setting: SoftmaxSetting, primals: tuple[SoftmaxTensors], changes: tuple[SoftmaxTensors]
) -> tuple[Any, Any]:
    (tensors,), (tangents,) = primals, changes
    value, slope = softmax_slope(setting, tensors)
    wanted = live(tangents)
    if not wanted:
        return (value, slope), (jnp.zeros_like(value), jnp.zeros_like(slope))
    if setting.names:
        raise NotImplementedError(
            "`axis_name` gives first derivatives; leave it out, with sharded logits, for second ones"
        )
    return (value, slope), jvp_in(partial(slope_formula, setting), wanted, tensors, tangents)[1]


def on_devices(setting: SoftmaxSetting, order: int, tensors: SoftmaxTensors) -> tuple[Array, ...]:
    """The same by the kernels, or by the formula where devices share the classes: on each device for its part."""
    x, y, shape = tensors.x, tensors.y, tensors.x.shape
    if x.ndim == 1:
        x, y = x[None], y[None]
    y = jnp.expand_dims(y, setting.axis) if setting.sparse else y

    def per_class(value: Array) -> Array:
        if value.ndim > 1:  # one per example
            axis = x.ndim + setting.axis
            return jnp.broadcast_to(value, (*x.shape[:axis], 1, *x.shape[axis + 1 :]))
        return aligned(value.reshape((-1,) + (1,) * (-setting.axis - 1)), x.ndim)

    attributes = (
        ("axis", setting.axis),
        ("has_ignored", int(setting.ignore is not None)),
        ("ignored", setting.ignore or 0),
        ("sparse", int(setting.sparse)),
    )
    given = SoftmaxTensors(x, y, *map(per_class, (tensors.gamma, tensors.weight, tensors.smoothing)))
    if setting.names:
        of_classes = tuple(value.ndim == 1 for value in (tensors.gamma, tensors.weight))
        value, *slope = value_and_slope(setting, order, of_classes, given)
    else:
        call = Call("focal_loss_softmax", attributes, order, setting.axis, setting=setting)
        value, *slope = kernel(call)(*given)
    others = shape[: setting.axis] + shape[len(shape) + setting.axis + 1 :]
    return value.reshape(others), *(s.reshape(shape) for s in slope)


def slope_formula(setting: SoftmaxSetting, tensors: SoftmaxTensors) -> tuple[Array, Array]:
    x = tensors.x.astype(at_least_float32(tensors.x.dtype))
    value, vjp = jax.vjp(lambda x: by_formula(setting, tensors._replace(x=x)), x)
    return value.astype(tensors.x.dtype), vjp(jnp.ones_like(value))[0]


def jvp_in(function: Any, wanted: list[str], tensors: SoftmaxTensors, tangents: SoftmaxTensors) -> tuple[Any, Any]:
    """`jax.jvp` in the wanted arguments only."""

    def of_wanted(chosen: dict[str, Array]) -> Any:
        return function(tensors._replace(**chosen))

    chosen, changes = ({name: getattr(given, name) for name in wanted} for given in (tensors, tangents))
    return jax.jvp(of_wanted, (chosen,), (changes,))
