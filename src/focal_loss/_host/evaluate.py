"""Arrays on the host: the native kernels, or the formula on NumPy in blocks that stay in the cache.

The one place that decides how a host array is computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from focal_loss._core import formula, softmax
from focal_loss._core.pipeline import BinaryCall, SoftmaxCall, of_numbers
from focal_loss._host import kernels

Array = Any
Done = tuple[Sequence[Array], float, int]  # results, the sum of the losses, the position of the first bad label
Into = tuple[Array, Array]  # gradient and Hessian in float32, in C order of the shape of the logits

# The temporaries of a block stay in the cache. For 2e6 float32 logits on 2 cores, blocks of 2^14 to 2^17 elements took
# 63 to 80 ms; 2^12, where the interpreter costs more than the arithmetic, 187 ms; the whole array at once 320 ms.
BLOCK = 1 << 15


class NumpyOps:
    """`formula.Ops` for NumPy."""

    exp, log, log1p = staticmethod(np.exp), staticmethod(np.log), staticmethod(np.log1p)
    sqrt, tanh, abs = staticmethod(np.sqrt), staticmethod(np.tanh), staticmethod(np.abs)
    floor, where, clip = staticmethod(np.floor), staticmethod(np.where), staticmethod(np.clip)

    def sum(self, x: Array, axis: int) -> Array:
        return np.sum(x, axis, keepdims=True)

    def max(self, x: Array, axis: int) -> Array:
        return np.max(x, axis, keepdims=True, initial=-np.inf)

    def first_max(self, x: Array, axis: int) -> Array:
        if not x.shape[axis]:
            return np.zeros(x.shape, bool)
        return np.arange(x.shape[axis]).reshape((-1,) + (1,) * (x.ndim - axis - 1)) == np.argmax(x, axis, keepdims=True)

    def largest(self, x: Array) -> float:
        return float(np.finfo(x.dtype).max)

    def smallest(self, x: Array) -> float:
        return float(np.finfo(x.dtype).tiny)

    def is_joined(self, x: Array) -> bool:
        return False

    def is_bool(self, x: Array) -> bool:
        return bool(x.dtype == np.bool_)

    def constant(self, x: Array) -> Array:
        return x

    def at_least_float32(self, x: Array) -> Array:
        """Half precision becomes float32, in which it is computed."""
        return x.astype(np.float32) if x.dtype.itemsize < 4 else x

    def cast(self, x: Array, like: Array) -> Array:
        if getattr(x, "dtype", None) == like.dtype:
            return x if x.ndim else x[()]
        with np.errstate(over="ignore", under="ignore"):
            return np.asarray(x).astype(like.dtype, copy=False)[()]

    round_losses = cast


OPS = NumpyOps()


# ---------------------------------------------------------------------------------------------------------------
# Native
# ---------------------------------------------------------------------------------------------------------------


def regular(x: Array) -> Array:
    """The array itself, or a copy if it has foreign byte order, is misaligned, or has strides within an element."""
    whole = x.flags.c_contiguous or not any(s % x.itemsize for s in x.strides)
    if whole and x.dtype.isnative and x.flags.aligned:
        return x
    return x.astype(x.dtype.newbyteorder("="), order="C", copy=True)


def binary_numbers(
    call: BinaryCall,
    upstream: Array = 1.0,
    *,
    order: int = 0,
    majorizer: bool = False,
    into: Into | None = None,
    values_at_least_float32: bool = False,
) -> tuple[Any, ...]:
    """The arguments of the kernels after the logits, the labels and the number of threads."""
    family, *numbers = call.member.kernel if call.member else (int(call.p_t_loss),)
    parameters = call.gamma, call.positive, call.negative, upstream
    return (*parameters, call.smoothing, order, majorizer, into, values_at_least_float32, family, *numbers)


def native_binary(
    call: BinaryCall,
    *,
    order: int,
    upstream: Array = 1.0,
    majorizer: bool = False,
    into: Into | None = None,
    threads: int | None = None,
) -> Done | None:
    """Value and derivatives up to `order` of a binary loss, their sum, and the position of the first bad label.

    The derivatives are multiplied by `upstream`. They are written `into` arrays of the caller if there are any, and the
    value is left out. None if the kernels do not cover the call.
    """
    if kernels.NATIVE is None or (call.member and not of_numbers(call.member)):
        return None
    count = kernels.num_threads(threads)
    numbers = binary_numbers(call, upstream, order=order, majorizer=majorizer, into=into)
    done: Done | None = kernels.NATIVE.binary_of_numpy(call.x, call.y, count, *numbers)
    return done or regular_binary(call, count, numbers)


def regular_binary(call: BinaryCall, threads: int, numbers: tuple[Any, ...]) -> Done | None:
    """The same for arrays that the kernels do not take as they are, or for predictions that broadcast."""
    given = [a if isinstance(a, float) else np.asarray(a) for a in (call.x, call.y, *numbers[:4])]
    arrays = [a for a in given if not isinstance(a, float)]
    shape = np.broadcast_shapes(*(a.shape for a in arrays))
    if len(shape) > kernels.MAX_RANK or None in [kernels.code(a.dtype) for a in arrays]:
        return None
    x, y, *parameters = (a if isinstance(a, float) else regular(a) for a in given)
    done: Done | None = kernels.NATIVE.binary_of_numpy(np.broadcast_to(x, shape), y, threads, *parameters, *numbers[4:])
    return done and in_dtype(done, arrays[0].dtype)


def in_dtype(done: Done, dtype: Any) -> Done:
    """The results, those of foreign byte order in it again."""
    return done if dtype.isnative else ([r if r is None else r.astype(dtype) for r in done[0]], *done[1:])


def softmax_numbers(
    call: SoftmaxCall,
    upstream: Array = 1.0,
    *,
    order: int = 0,
    majorizer: bool = False,
    into: Into | None = None,
    is_checked: bool = True,
) -> tuple[Any, ...]:
    """The arguments of the kernels after the logits, the labels and the number of threads."""
    parameters = call.gamma, call.weight, upstream
    return (call.axis, call.sparse, call.ignore, *parameters, call.smoothing, order, majorizer, into, is_checked)


def native_softmax(
    call: SoftmaxCall,
    *,
    order: int,
    upstream: Array = 1.0,
    majorizer: bool = False,
    into: Into | None = None,
    threads: int | None = None,
) -> Done | None:
    """Like `native_binary`. The labels have the shape of the logits, without the class axis if the call is sparse.

    `upstream` has the shape of the logits without the class axis.
    """
    if kernels.NATIVE is None:
        return None
    count = kernels.num_threads(threads)
    options: dict[str, Any] = {"order": order, "majorizer": majorizer, "into": into}
    done: Done | None = kernels.NATIVE.softmax_of_numpy(
        call.x, call.y, count, *softmax_numbers(call, upstream, **options)
    )
    return done or regular_softmax(call, upstream, count, options)


def regular_softmax(call: SoftmaxCall, upstream: Array, threads: int, options: dict[str, Any]) -> Done | None:
    """The same for arrays that the kernels do not take as they are, as arrays of three axes."""
    x, y, axis = np.asarray(call.x), np.asarray(call.y), call.axis
    if kernels.code(x.dtype) is None or kernels.code(y.dtype) is None:
        return None
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    shape = (math.prod(before), x.shape[axis], math.prod(after))
    labels = regular(np.reshape(y, (shape[0], 1, shape[2]) if call.sparse else shape))
    above = upstream if isinstance(upstream, float) else regular(np.reshape(upstream, shape[::2]))
    gamma, weight = (p if isinstance(p, float) else np.ascontiguousarray(p) for p in (call.gamma, call.weight))
    if np.ndim(gamma) > 1:
        gamma = regular(np.broadcast_to(gamma, (*before, 1, *after)).reshape(shape[0], 1, shape[2]))
    usual = call._replace(x=regular(np.reshape(x, shape)), y=labels, gamma=gamma, weight=weight, axis=1)
    numbers = softmax_numbers(usual, above, **options)
    done: Done | None = kernels.NATIVE.softmax_of_numpy(usual.x, usual.y, threads, *numbers)
    if done is None or options["into"]:
        return done
    value, *slopes = done[0]
    results = [np.reshape(value, (*before, *after))[()], *(np.reshape(r, x.shape) for r in slopes)]
    return in_dtype((results, *done[1:]), x.dtype)


# ---------------------------------------------------------------------------------------------------------------
# Formula
# ---------------------------------------------------------------------------------------------------------------


def in_blocks(function: Callable[..., Array], arguments: tuple[Array, ...], shape: tuple[int, ...]) -> Array:
    """Evaluate an elementwise function block by block, on threads if there are enough blocks."""
    size = int(np.prod(shape))
    arrays = [a for a in arguments if isinstance(a, np.ndarray) and a.ndim]
    if size <= BLOCK or not all(a.shape == shape and a.flags.c_contiguous for a in arrays):
        return function(*arguments)
    flat = [a.reshape(-1) if isinstance(a, np.ndarray) and a.ndim else a for a in arguments]
    starts = range(0, size, BLOCK)

    def run(start: int) -> Array:
        block = (a[start : start + BLOCK] if isinstance(a, np.ndarray) and a.ndim else a for a in flat)
        with np.errstate(all="ignore"):
            return function(*block)

    first = run(0)
    result = np.empty(size, first.dtype)
    result[:BLOCK] = first

    def fill(start: int) -> None:
        result[start : start + BLOCK] = run(start)

    # Threads end with the call, so that a fork loses none.
    with ThreadPoolExecutor(kernels.num_threads()) as pool:
        list(pool.map(fill, starts[1:]))
    return result.reshape(shape)


def to_float64(x: Array) -> Array:
    """Float32 as float64, in which the formula rounds as if only once, without further care."""
    is_narrow = isinstance(x, np.ndarray | np.generic) and x.dtype == np.float32
    return x.astype(np.float64) if is_narrow else x


def elementwise(family: str, index: formula.Index, *arguments: Array) -> Array:
    """`formula.evaluate` on host arrays that broadcast, in the dtype of the first."""
    return apply(partial(formula.evaluate, OPS, family, index), *arguments)


def apply(function: Callable[..., Array], *arguments: Array) -> Array:
    """An elementwise function of host arrays that broadcast, in the dtype of the first."""
    shape = np.broadcast_shapes(*(np.shape(a) for a in arguments))
    dtype = arguments[0].dtype

    def evaluate(*block: Array) -> Array:
        return np.asarray(function(*map(to_float64, block))).astype(dtype, copy=False)

    with np.errstate(all="ignore"):
        value = in_blocks(evaluate, arguments, shape)
    return value if np.shape(value) == shape else np.broadcast_to(value, shape)


def margin(v: Array, true_class_mask: Array | None, axis: int) -> Array:
    """The margin by the formula, clipped to the dtype of `v`, so that no finite logits give an infinite loss."""
    with np.errstate(all="ignore"):
        s, largest = softmax.margin(OPS, to_float64(v), true_class_mask, axis), OPS.largest(v)
        return np.where(np.isinf(s), s, np.clip(s, -largest, largest))


def probabilities(x: Array, true_class_mask: Array | None, axis: int) -> tuple[Array, Array]:
    with np.errstate(all="ignore"):
        return softmax.probabilities(OPS, to_float64(x), true_class_mask, axis)


def vjp(v: Array, true_class_mask: Array, axis: int, cotangent: Array) -> Array:
    with np.errstate(all="ignore"):
        return softmax.vjp(OPS, to_float64(v), true_class_mask, axis, cotangent)


def diagonal(v: Array, true_class_mask: Array, axis: int, first: Array, second: Array) -> Array:
    with np.errstate(all="ignore"):
        return softmax.diagonal(OPS, to_float64(v), true_class_mask, axis, first, second)
