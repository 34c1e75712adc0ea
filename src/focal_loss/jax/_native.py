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

from focal_loss._core import binary_losses, checks, formula, pipeline, powers
from focal_loss._host import kernels
from focal_loss.jax._backend import FORMULA, OPS, Formula, aligned, at_least_float32
from focal_loss.jax._ffi import Call, kernel
from focal_loss.jax._mesh import partly_manual
from focal_loss.jax._shards import Shard, SoftmaxSetting, SoftmaxTensors
from focal_loss.jax._softmax import softmax, softmax_program


class Native(Formula):
    """`pipeline.Backend` for JAX."""

    def fused_binary(self, call: pipeline.BinaryCall, /) -> Array | None:
        member, dtype = call.member, at_least_float32(call.x.dtype)
        parameters = member.arguments if member else (call.gamma, call.positive, call.negative)
        if (
            kernels.NATIVE is None
            or not covered(call.x, call.y, *parameters)
            or (member and not all(fits(p, dtype) for p in parameters))
        ):
            return None
        labels = () if isinstance(call.y, float) else (call.y,)
        if labels and self.readable(call.y):
            checks.check_labels(self.to_numpy(call.y), self.to_numpy(call.x) if self.readable(call.x) else None)
        if member:
            setting = BinarySetting(member.closed_form, tuple(map(static_option, parameters)), False)
        else:
            family = "p_t_loss" if call.p_t_loss else "expected_loss"
            setting = BinarySetting(family, tuple(map(static_number, parameters)), call.smoothing != 0)
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
        setting, arrays = operands(call)
        traced = is_traced(call.x, call.y, call.gamma, call.weight)
        number = partial(as_array if traced else constant, dtype=at_least_float32(call.x.dtype))
        tensors = SoftmaxTensors(*arrays[:2], *map(number, arrays[2:]))
        return (softmax if traced else softmax_program)(setting, tensors)


class Part(Shard):
    """The same where a device holds a part of the classes."""

    def fused_softmax(self, call: pipeline.SoftmaxCall, /) -> Array | None:
        if self.kind(call.y) == "floating" and call.sparse:
            checks.check_exact(call.y.dtype, self.length(call.x, call.axis))
        setting, arrays = operands(call)
        number = partial(as_array, dtype=at_least_float32(call.x.dtype))
        return softmax(setting._replace(names=self.names), SoftmaxTensors(*arrays[:2], *map(number, arrays[2:])))


def operands(call: pipeline.SoftmaxCall) -> tuple[SoftmaxSetting, tuple[Any, ...]]:
    """A call as its setting and the fields of `SoftmaxTensors`, of which the last may be numbers."""
    axis = call.axis - call.x.ndim
    setting = SoftmaxSetting(static_number(call.gamma), axis, call.sparse, call.ignore, call.smoothing != 0)
    return setting, (call.x, call.y, call.gamma, call.weight, call.smoothing)


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


def static_number(value: float | Array) -> float | None:
    """A gamma or a weight that becomes a constant of the program where the formula computes it: a gamma whose power is
    a few products instead of an exp, and a weight of 1, which is no product at all.
    """
    if not isinstance(value, float) or (kernels.NATIVE is not None and jax.default_backend() == "cpu"):
        return None
    return value if powers.by_products(value) else None


def static_option(value: float | Array) -> float | None:
    """An option of a member that becomes a constant of the program: as `static_number` says, and 0, because a clip of 0
    has another formula.
    """
    return value if isinstance(value, float) and value == 0 else static_number(value)


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
