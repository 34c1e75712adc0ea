"""JAX as a `pipeline.Backend`, by the native kernels where a program runs on the host, and by the formula elsewhere.

The kernels give the value, the derivative in the logits and, for a binary loss, the second one. The formula computes
the rest, including all derivatives in labels, gamma and weights.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.custom_derivatives import SymbolicZero

from focal_loss._core import checks, formula, pipeline, powers
from focal_loss._core.losses.categorical_focal_loss import Options as DenseOptions
from focal_loss._core.losses.sparse_categorical_focal_loss import Options as SparseOptions
from focal_loss._host import kernels
from focal_loss.jax._backend import FORMULA, OPS, Formula, at_least_float32
from focal_loss.jax._ffi import Call, kernel
from focal_loss.jax._mesh import partly_manual


class Native(Formula):
    """`pipeline.Backend` for JAX."""

    def fused_binary(self, call: pipeline.BinaryCall, /) -> Array | None:
        if not covered(call.x, call.y, call.gamma, call.positive, call.negative):
            return None
        if self.readable(call.y):
            checks.check_labels(self.to_numpy(call.y), self.to_numpy(call.x) if self.readable(call.x) else None)
        setting = BinarySetting(static_gamma(call.gamma), call.smoothing != 0, call.p_t_loss)
        numbers = call.gamma, call.positive, call.negative, call.smoothing
        return binary(setting, ("",), call.x, call.y, *(as_array(n, call.x.dtype) for n in numbers))[0]

    def fused_softmax(self, call: pipeline.SoftmaxCall, /) -> Array | None:
        ignored = call.ignore or 0
        if not covered(call.x, call.y, call.gamma, call.weight) or not -(2**63) <= ignored < 2**63:
            return None
        classes = call.x.shape[call.axis]
        if self.readable(call.y):
            labels = self.to_numpy(call.y)
            if call.sparse:
                checks.check_classes(labels, classes, call.ignore)
            else:
                checks.check_labels(labels, dense=True)
        axis, smooth = call.axis - call.x.ndim, call.smoothing != 0
        setting = SoftmaxSetting(static_gamma(call.gamma), axis, call.sparse, call.ignore, smooth)
        numbers = call.gamma, call.weight, call.smoothing
        return softmax(setting, call.x, call.y, *(as_array(n, call.x.dtype) for n in numbers))


XP = Native()


def covered(x: Array, *others: float | Array) -> bool:
    tensors = [x, *(a for a in others if not isinstance(a, float))]
    rank = max(a.ndim for a in tensors)
    if kernels.NATIVE is None or x.dtype.name not in kernels.FLOATING or rank > kernels.MAX_RANK:
        return False
    if partly_manual():
        return False
    return {a.dtype.name for a in tensors} <= set(kernels.DTYPES)


def static_gamma(gamma: float | Array) -> float | None:
    """A gamma that is part of the program: one whose power the formula makes of a few products, instead of an exp."""
    by_kernels = kernels.NATIVE is not None and jax.default_backend() == "cpu"
    return gamma if isinstance(gamma, float) and powers.by_products(gamma) and not by_kernels else None


def as_array(value: float | Array, dtype: Any) -> Array:
    """A number is handed over, lest a program be compiled for each."""
    return np.asarray(value, at_least_float32(dtype)) if isinstance(value, float) else value


def aligned(value: Array, rank: int) -> Array:
    """An array of this rank, with axes of length 1 in front."""
    return jnp.expand_dims(value, tuple(range(rank - value.ndim)))


def live(tangents: tuple[Any, ...]) -> list[int]:
    """Which tangents are there. Those of integers and of whatever is not differentiated are not."""
    return [k for k, tangent in enumerate(tangents) if not isinstance(tangent, SymbolicZero)]


# ---------------------------------------------------------------------------------------------------------------
# Binary
# ---------------------------------------------------------------------------------------------------------------


class BinarySetting(NamedTuple):
    """All of a binary loss but its tensors: logits, labels, gamma, weights of positives and of negatives, smoothing."""

    gamma: float | None  # `static_gamma`
    smooth: bool  # whether the smoothing is above 0
    p_t_loss: bool

    def native(self, labels: Array) -> tuple[formula.Index, ...]:
        """The derivatives that the kernels have: the second of soft labels in the mix is not among them."""
        hard = not (self.smooth or jnp.issubdtype(labels.dtype, jnp.floating))
        return ("", "0", "00") if hard or not self.p_t_loss else ("", "0")


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
@partial(jax.jit, static_argnums=(0, 1))
def binary(setting: BinarySetting, indices: tuple[formula.Index, ...], *tensors: Array) -> tuple[Array, ...]:
    """Derivatives of the loss by `formula.Index`, the value in the dtype of the logits, the others at least float32.

    Several are computed at once, since the kernels compute the value and the first derivative together.
    """
    return jax.lax.platform_dependent(
        *tensors, cpu=partial(binary_native, setting, indices), default=partial(binary_formula, setting, indices)
    )


def binary_native(setting: BinarySetting, indices: tuple[formula.Index, ...], *tensors: Array) -> tuple[Array, ...]:
    covered = [index for index in setting.native(tensors[1]) if index in indices]
    found = {}
    if covered:
        shape = jnp.broadcast_shapes(*(t.shape for t in tensors))
        rank = max(len(shape), 1)
        call = Call("focal_loss_binary", (("p_t_loss", int(setting.p_t_loss)),), max(map(len, covered)))
        results = kernel(call)(*(aligned(a, rank) for a in tensors))
        found = dict(zip(("", "0", "00"), (r.reshape(shape) for r in results), strict=False))
    rest = tuple(index for index in indices if index not in found)
    found |= dict(zip(rest, binary_formula(setting, rest, *tensors), strict=True))
    return tuple(found[index] for index in indices)


def binary_formula(setting: BinarySetting, indices: tuple[formula.Index, ...], *tensors: Array) -> tuple[Array, ...]:
    shape = jnp.broadcast_shapes(*(t.shape for t in tensors))
    x, y, gamma, positive, negative, smoothing = (aligned(t, len(shape)) if t.ndim else t for t in tensors)
    v = x.astype(at_least_float32(x.dtype))
    labels = pipeline.binary_labels(FORMULA, y, v, 0.0)
    if setting.smooth:
        labels = pipeline.smoothed(labels.astype(v.dtype), smoothing, 2)
    parameters = gamma if setting.gamma is None else setting.gamma, positive, negative

    def derivative(index: formula.Index) -> Array:
        found = formula.evaluate(
            OPS, "p_t_loss" if setting.p_t_loss else "expected_loss", index, v, labels, *parameters
        )
        chain = (1 - smoothing) ** index.count("1")  # the formula's labels are smoothed ones
        value = jnp.zeros(shape, v.dtype) if found is None else jnp.broadcast_to(chain * found, shape)
        return value if index else value.astype(x.dtype)

    return tuple(map(derivative, indices))


@partial(binary.defjvp, symbolic_zeros=True)
def binary_jvp(
    setting: BinarySetting,
    indices: tuple[formula.Index, ...],
    tensors: tuple[Array, ...],
    tangents: tuple[Any, ...],
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """The derivative is the same function at the next index."""
    inputs = {str(k): tangents[k] for k in live(tangents)}
    wanted = tuple(dict.fromkeys((*indices, *(index + k for index in indices for k in inputs))))
    found = dict(zip(wanted, binary(setting, wanted, *tensors), strict=True))

    def tangent(index: formula.Index) -> Array:
        parts = [found[index + k] * t.astype(found[index + k].dtype) for k, t in inputs.items()]
        return sum(parts[1:], start=parts[0]).astype(found[index].dtype) if parts else jnp.zeros_like(found[index])

    return tuple(found[index] for index in indices), tuple(map(tangent, indices))


# ---------------------------------------------------------------------------------------------------------------
# Softmax
# ---------------------------------------------------------------------------------------------------------------


class SoftmaxSetting(NamedTuple):
    """All of a softmax loss but its tensors: logits, labels, gamma, weight, smoothing."""

    gamma: float | None
    axis: int  # counted from the last, negative
    sparse: bool
    ignore: int | None
    smooth: bool

    def formula(self, *tensors: Array) -> Array:
        """The value, differentiable in every way."""
        x, y, gamma, weight, smoothing = tensors
        gamma = gamma if self.gamma is None else self.gamma
        if self.sparse:
            sparse = SparseOptions(
                gamma=gamma, class_weight=weight, from_logits=True, axis=self.axis, ignore_class=self.ignore
            )
            return pipeline.sparse_categorical_formula(FORMULA, y, x, sparse)
        if self.smooth:
            y = pipeline.smoothed(y.astype(at_least_float32(x.dtype)), smoothing, x.shape[self.axis])
        dense = DenseOptions(gamma=gamma, class_weight=weight, from_logits=True, axis=self.axis)
        return pipeline.categorical_formula(FORMULA, y, x, dense)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
@partial(jax.jit, static_argnums=0)
def softmax(setting: SoftmaxSetting, *tensors: Array) -> Array:
    return jax.lax.platform_dependent(
        *tensors, cpu=lambda *t: softmax_native(setting, 0, *t)[0], default=setting.formula
    )


@partial(softmax.defjvp, symbolic_zeros=True)
def softmax_jvp(setting: SoftmaxSetting, tensors: tuple[Array, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    """Linear in the tangent, so that both modes are right: in reverse mode it is the gradient times the cotangent.

    The kernel could multiply by the cotangent itself, but would have to run once for the value and again for that: a
    pass over the gradient, which XLA makes in place, costs less.
    """
    wanted = live(tangents)
    parts = []
    if 0 in wanted:
        value, slope = softmax_slope(setting, *tensors)
        parts.append(jnp.sum(slope * tangents[0].astype(slope.dtype), setting.axis).astype(value.dtype))
    else:
        value = softmax(setting, *tensors)
    others = [k for k in wanted if k]
    if others:
        parts.append(jvp_in(setting.formula, others, tensors, tangents)[1])
    return value, sum(parts[1:], start=parts[0]) if parts else jnp.zeros_like(value)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
@partial(jax.jit, static_argnums=0)
def softmax_slope(setting: SoftmaxSetting, *tensors: Array) -> tuple[Array, Array]:
    """The value, and its derivative in the logits, which is at least float32."""
    return jax.lax.platform_dependent(
        *tensors, cpu=partial(softmax_native, setting, 1), default=partial(slope_formula, setting)
    )


@partial(softmax_slope.defjvp, symbolic_zeros=True)
def softmax_slope_jvp(
    setting: SoftmaxSetting, tensors: tuple[Array, ...], tangents: tuple[Any, ...]
) -> tuple[Any, Any]:
    value, slope = softmax_slope(setting, *tensors)
    wanted = live(tangents)
    if not wanted:
        return (value, slope), (jnp.zeros_like(value), jnp.zeros_like(slope))
    return (value, slope), jvp_in(partial(slope_formula, setting), wanted, tensors, tangents)[1]


def softmax_native(setting: SoftmaxSetting, order: int, *tensors: Array) -> tuple[Array, ...]:
    x, y, gamma, weight, smoothing = tensors
    shape = x.shape
    if x.ndim == 1:
        x, y = x[None], y[None]
    y = jnp.expand_dims(y, setting.axis) if setting.sparse else y

    def per_class(value: Array) -> Array:
        return aligned(value.reshape((-1,) + (1,) * (-setting.axis - 1)), x.ndim)

    attributes = (
        ("axis", setting.axis),
        ("has_ignored", int(setting.ignore is not None)),
        ("ignored", setting.ignore or 0),
        ("sparse", int(setting.sparse)),
    )
    call = Call("focal_loss_softmax", attributes, order, setting.axis)
    value, *slope = kernel(call)(x, y, *map(per_class, (gamma, weight, smoothing)))
    rest = shape[: setting.axis] + shape[len(shape) + setting.axis + 1 :]
    return value.reshape(rest), *(s.reshape(shape) for s in slope)


def slope_formula(setting: SoftmaxSetting, *tensors: Array) -> tuple[Array, Array]:
    x, *others = tensors
    value, vjp = jax.vjp(lambda x: setting.formula(x, *others), x.astype(at_least_float32(x.dtype)))
    return value.astype(x.dtype), vjp(jnp.ones_like(value))[0]


def jvp_in(function: Any, wanted: list[int], tensors: tuple[Array, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    """`jax.jvp` in the wanted arguments only."""

    def of_wanted(*chosen: Array) -> Any:
        replaced = dict(zip(wanted, chosen, strict=True))
        return function(*(replaced.get(k, t) for k, t in enumerate(tensors)))

    return jax.jvp(of_wanted, tuple(tensors[k] for k in wanted), tuple(tangents[k] for k in wanted))
