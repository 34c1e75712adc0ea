"""JAX as a `pipeline.Backend`, by the native kernels where a program runs on the host, and by the formula elsewhere.

The kernels give the value, the derivative in the logits and, for a binary loss, the second one. The formula computes
the rest, including all derivatives in labels, gamma and weights.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.custom_derivatives import SymbolicZero

from focal_loss._core import binary_losses, checks, formula, pipeline, powers, softmax_losses
from focal_loss._core.losses.categorical_focal_loss import Options as DenseOptions
from focal_loss._core.losses.sparse_categorical_focal_loss import Options as SparseOptions
from focal_loss._host import kernels
from focal_loss.jax._backend import FORMULA, OPS, Formula, at_least_float32
from focal_loss.jax._ffi import Call, kernel
from focal_loss.jax._mesh import partly_manual


class Native(Formula):
    """`pipeline.Backend` for JAX."""

    def fused_binary(self, call: pipeline.BinaryCall, /) -> Array | None:
        member, dtype = call.member, at_least_float32(call.x.dtype)
        parameters = member.arguments if member else (call.gamma, call.positive, call.negative)
        if not covered(call.x, call.y, *parameters) or (member and not all(fits(p, dtype) for p in parameters)):
            return None
        labels = () if isinstance(call.y, float) else (call.y,)
        if labels and self.readable(call.y):
            checks.check_labels(self.to_numpy(call.y), self.to_numpy(call.x) if self.readable(call.x) else None)
        if member:
            setting = BinarySetting(member.closed_form, tuple(map(static_option, parameters)), False)
        else:
            family = "p_t_loss" if call.p_t_loss else "expected_loss"
            setting = BinarySetting(family, (static_gamma(call.gamma), None, None), call.smoothing != 0)
        traced = is_traced(call.x, *labels, *parameters)
        number = partial(as_array if traced else constant, dtype=dtype)
        tensors = (call.x, *labels, *map(number, parameters), number(call.smoothing))
        # Untraced arrays are not differentiated, and a custom derivative costs JAX hundreds of microseconds.
        return (binary if traced else binary_program)(setting, ("",), tensors)[0]

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
        traced = is_traced(call.x, call.y, call.gamma, call.weight)
        number = partial(as_array if traced else constant, dtype=at_least_float32(call.x.dtype))
        tensors = SoftmaxTensors(call.x, call.y, number(call.gamma), number(call.weight), number(call.smoothing))
        return (softmax if traced else softmax_program)(setting, tensors)


XP = Native()


def covered(x: Array, *others: float | Array) -> bool:
    """Whether the kernels take these logits, labels and parameters."""
    tensors = [x, *(a for a in others if not isinstance(a, float))]
    if kernels.NATIVE is None or max(a.ndim for a in tensors) > kernels.MAX_RANK or partly_manual():
        return False
    number = kernels.code(x.dtype)
    is_floating = number is not None and number < len(kernels.FLOATING)
    return is_floating and None not in [kernels.code(a.dtype) for a in tensors]


def is_traced(*given: float | Array) -> bool:
    """Whether any array is traced: by a compilation, a derivative or a map."""
    return any(isinstance(a, jax.core.Tracer) for a in given)


def static_gamma(gamma: float | Array) -> float | None:
    """A gamma that becomes a constant of the program: one whose power the formula computes by a few products instead of
    an exp.
    """
    by_kernels = kernels.NATIVE is not None and jax.default_backend() == "cpu"
    return gamma if isinstance(gamma, float) and powers.by_products(gamma) and not by_kernels else None


def static_option(value: float | Array) -> float | None:
    """An option of a member that becomes a constant of the program: as a gamma would, and 0, because a clip of 0 has
    another formula.
    """
    return value if isinstance(value, float) and value == 0 else static_gamma(value)


def fits(value: float | Array, dtype: Any) -> bool:
    """Whether a number loses only digits in the dtype: a clip that became 0 would be none."""
    info = jnp.finfo(dtype)
    return not isinstance(value, float) or value == 0 or bool(info.tiny <= abs(value) <= info.max)


def as_array(value: float | Array, dtype: Any) -> Array:
    """A number as an array argument, so that other numbers need no new program."""
    return np.asarray(value, dtype) if isinstance(value, float) else value


def constant(value: float | Array, dtype: Any) -> Array:
    """Like `as_array`, but cached, because bringing a number to the device takes ten microseconds."""
    return _remembered(value, dtype) if isinstance(value, float) else value


@lru_cache(maxsize=256)
def _remembered(value: float, dtype: Any) -> Array:
    with jax.ensure_compile_time_eval():  # a number even where this is called in a trace
        return jnp.asarray(np.asarray(value, dtype))


def aligned(value: Array, rank: int) -> Array:
    """An array of this rank, with axes of length 1 in front."""
    return jnp.expand_dims(value, tuple(range(rank - value.ndim)))


def live(tangents: Any) -> list[str]:
    """The fields with nonzero tangents. Integers and arguments that are not differentiated have none."""
    return [name for name, tangent in tangents._asdict().items() if not isinstance(tangent, SymbolicZero)]


# ---------------------------------------------------------------------------------------------------------------
# Binary
# ---------------------------------------------------------------------------------------------------------------


# In the order of the arguments of the closed form: the logits, the labels if the loss has any, gamma and the rest. The
# smoothing of the labels comes last.
BinaryTensors: TypeAlias = tuple[Array, ...]


class BinarySetting(NamedTuple):
    """The settings of a binary loss that are not tensors."""

    closed_form: str
    constants: tuple[float | None, ...]  # the arguments after the labels that are constants of the program
    smooth: bool  # whether the smoothing is above 0

    @property
    def is_member(self) -> bool:
        return self.closed_form not in ("expected_loss", "p_t_loss")

    def split(self, tensors: BinaryTensors) -> tuple[Array, Array | float, BinaryTensors, Array]:
        """The logits, the labels, the arguments after them and the smoothing."""
        x, *labels = tensors[: -1 - len(self.constants)]
        return x, labels[0] if labels else 0.5, tensors[-1 - len(self.constants) : -1], tensors[-1]

    def native(self, tensors: BinaryTensors) -> tuple[formula.Index, ...]:
        """The derivatives that the kernels have: all but the second ones of members, and of soft labels in the mix."""
        hard = not (self.smooth or jnp.issubdtype(tensors[1].dtype, jnp.floating))
        return ("", "0", "00") if self.closed_form == "expected_loss" or (not self.is_member and hard) else ("", "0")

    def call(self, order: int, tensors: BinaryTensors) -> tuple[Call, list[Array]]:
        """The call of the kernels, and its arrays."""
        x, y, arguments, smoothing = self.split(tensors)
        array = partial(jnp.asarray, dtype=smoothing.dtype)
        if not self.is_member:
            family = pipeline.KERNEL_FAMILIES.index(self.closed_form)
            return Call("focal_loss_binary", (("family", family),), order), [x, y, *arguments, smoothing]
        call: Any = binary_losses.call_of_member(self.closed_form, arguments, x, y if tensors[1:] else array(y))
        member = call.member.kernel
        attributes = ("detached", int(member.detached)), ("family", member.family)
        numbers = call.gamma, call.positive, call.negative, smoothing, member.exponent, member.clip, member.epsilon
        arrays = [x, array(call.y) if isinstance(call.y, float) else call.y, *map(array, numbers)]
        return Call("focal_loss_binary", attributes, order, single=(2, 6, 7, 8)), arrays


def shape_of(tensors: BinaryTensors) -> tuple[int, ...]:
    return jnp.broadcast_shapes(*(t.shape for t in tensors))


@partial(jax.jit, static_argnums=(0, 1))
def binary_program(
    setting: BinarySetting, indices: tuple[formula.Index, ...], tensors: BinaryTensors
) -> tuple[Array, ...]:
    """Derivatives of the loss by `formula.Index`, the value in the dtype of the logits, the others at least float32.

    Several are computed at once, since the kernels compute the value and the first derivative together.
    """
    return jax.lax.platform_dependent(
        tensors, cpu=partial(binary_native, setting, indices), default=partial(binary_formula, setting, indices)
    )


binary = jax.custom_jvp(binary_program, nondiff_argnums=(0, 1))


def binary_native(
    setting: BinarySetting, indices: tuple[formula.Index, ...], tensors: BinaryTensors
) -> tuple[Array, ...]:
    covered = [index for index in setting.native(tensors) if index in indices]
    found = {}
    if covered:
        shape = shape_of(tensors)
        call, arrays = setting.call(max(map(len, covered)), tensors)
        results = kernel(call)(*(aligned(a, max(len(shape), 1)) for a in arrays))
        found = dict(zip(("", "0", "00"), (r.reshape(shape) for r in results), strict=False))
    rest = tuple(index for index in indices if index not in found)
    found |= dict(zip(rest, binary_formula(setting, rest, tensors), strict=True))
    return tuple(found[index] for index in indices)


def binary_formula(
    setting: BinarySetting, indices: tuple[formula.Index, ...], tensors: BinaryTensors
) -> tuple[Array, ...]:
    shape, dtype = shape_of(tensors), tensors[0].dtype
    given = tuple(aligned(t, len(shape)) if t.ndim else t for t in tensors)
    x, y, arguments, smoothing = setting.split(given)
    v = x.astype(at_least_float32(dtype))
    labels = [] if isinstance(y, float) else [pipeline.binary_labels(FORMULA, y, v, 0.0)]
    if setting.smooth:
        labels = [pipeline.smoothed(labels[0].astype(v.dtype), smoothing, 2)]
    options = [a if c is None else c for a, c in zip(arguments, setting.constants, strict=True)]

    def derivative(index: formula.Index) -> Array:
        found = formula.evaluate(OPS, setting.closed_form, index, v, *labels, *options)
        chain = (1 - smoothing) ** index.count("1")  # the formula differentiates in smoothed labels
        value = jnp.zeros(shape, v.dtype) if found is None else jnp.broadcast_to(chain * found, shape)
        return value if index else value.astype(dtype)

    return tuple(map(derivative, indices))


@partial(binary.defjvp, symbolic_zeros=True)
def binary_jvp(
    setting: BinarySetting,
    indices: tuple[formula.Index, ...],
    primals: tuple[BinaryTensors],
    changes: tuple[BinaryTensors],
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """The derivative is the same function at the next index."""
    (tensors,), (tangents,) = primals, changes
    inputs = {str(k): t for k, t in enumerate(tangents) if not isinstance(t, SymbolicZero)}
    wanted = tuple(dict.fromkeys((*indices, *(index + k for index in indices for k in inputs))))
    found = dict(zip(wanted, binary(setting, wanted, tensors), strict=True))

    def tangent(index: formula.Index) -> Array:
        parts = [found[index + k] * t.astype(found[index + k].dtype) for k, t in inputs.items()]
        return sum(parts[1:], start=parts[0]).astype(found[index].dtype) if parts else jnp.zeros_like(found[index])

    return tuple(found[index] for index in indices), tuple(map(tangent, indices))


# ---------------------------------------------------------------------------------------------------------------
# Softmax
# ---------------------------------------------------------------------------------------------------------------


class SoftmaxTensors(NamedTuple):
    """The arrays of a softmax loss."""

    x: Array
    y: Array
    gamma: Array
    weight: Array
    smoothing: Array


class SoftmaxSetting(NamedTuple):
    """The settings of a softmax loss that are not tensors."""

    gamma: float | None
    axis: int  # counted from the last, negative
    sparse: bool
    ignore: int | None
    smooth: bool

    def formula(self, tensors: SoftmaxTensors) -> Array:
        """The value by the formula, which has every derivative."""
        x, y = tensors.x, tensors.y
        gamma = tensors.gamma if self.gamma is None else self.gamma
        if self.sparse:
            sparse = SparseOptions(
                gamma=gamma, class_weight=tensors.weight, from_logits=True, axis=self.axis, ignore_class=self.ignore
            )
            smoothing = tensors.smoothing if self.smooth else None
            return softmax_losses.sparse_categorical_formula(FORMULA, y, x, sparse, smoothing=smoothing)
        if self.smooth:
            y = pipeline.smoothed(y.astype(at_least_float32(x.dtype)), tensors.smoothing, x.shape[self.axis])
        dense = DenseOptions(gamma=gamma, class_weight=tensors.weight, from_logits=True, axis=self.axis)
        return softmax_losses.categorical_formula(FORMULA, y, x, dense)


@partial(jax.jit, static_argnums=0)
def softmax_program(setting: SoftmaxSetting, tensors: SoftmaxTensors) -> Array:
    return jax.lax.platform_dependent(
        tensors, cpu=lambda given: softmax_native(setting, 0, given)[0], default=setting.formula
    )


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
        parts.append(jnp.sum(slope * tangents.x.astype(slope.dtype), setting.axis).astype(value.dtype))
    else:
        value = softmax(setting, tensors)
    others = [name for name in wanted if name != "x"]
    if others:
        parts.append(jvp_in(setting.formula, others, tensors, tangents)[1])
    return value, sum(parts[1:], start=parts[0]) if parts else jnp.zeros_like(value)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
@partial(jax.jit, static_argnums=0)
def softmax_slope(setting: SoftmaxSetting, tensors: SoftmaxTensors) -> tuple[Array, Array]:
    """The value, and its derivative in the logits, which is at least float32."""
    return jax.lax.platform_dependent(
        tensors, cpu=partial(softmax_native, setting, 1), default=partial(slope_formula, setting)
    )


@partial(softmax_slope.defjvp, symbolic_zeros=True)
def softmax_slope_jvp(
    setting: SoftmaxSetting, primals: tuple[SoftmaxTensors], changes: tuple[SoftmaxTensors]
) -> tuple[Any, Any]:
    (tensors,), (tangents,) = primals, changes
    value, slope = softmax_slope(setting, tensors)
    wanted = live(tangents)
    if not wanted:
        return (value, slope), (jnp.zeros_like(value), jnp.zeros_like(slope))
    return (value, slope), jvp_in(partial(slope_formula, setting), wanted, tensors, tangents)[1]


def softmax_native(setting: SoftmaxSetting, order: int, tensors: SoftmaxTensors) -> tuple[Array, ...]:
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
    call = Call("focal_loss_softmax", attributes, order, setting.axis)
    value, *slope = kernel(call)(
        x, y, per_class(tensors.gamma), per_class(tensors.weight), per_class(tensors.smoothing)
    )
    others = shape[: setting.axis] + shape[len(shape) + setting.axis + 1 :]
    return value.reshape(others), *(s.reshape(shape) for s in slope)


def slope_formula(setting: SoftmaxSetting, tensors: SoftmaxTensors) -> tuple[Array, Array]:
    x = tensors.x.astype(at_least_float32(tensors.x.dtype))
    value, vjp = jax.vjp(lambda x: setting.formula(tensors._replace(x=x)), x)
    return value.astype(tensors.x.dtype), vjp(jnp.ones_like(value))[0]


def jvp_in(function: Any, wanted: list[str], tensors: SoftmaxTensors, tangents: SoftmaxTensors) -> tuple[Any, Any]:
    """`jax.jvp` in the wanted arguments only."""

    def of_wanted(chosen: dict[str, Array]) -> Any:
        return function(tensors._replace(**chosen))

    chosen, changes = ({name: getattr(given, name) for name in wanted} for given in (tensors, tangents))
    return jax.jvp(of_wanted, (chosen,), (changes,))
