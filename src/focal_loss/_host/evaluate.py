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

    def is_bool(self, x: Array) -> bool:
        return bool(x.dtype == np.bool_)

    def constant(self, x: Array) -> Array:
        return x

    def at_least_float32(self, x: Array) -> Array:
        """Half precision becomes float32, in which it is computed."""
        return x.astype(np.float32) if x.dtype.itemsize < 4 else x

    def cast(self, x: Array, like: Array) -> Array:
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


def operand(x: Array, shape: tuple[int, ...] | None = None) -> Any:
    """A number, or an array in the kernels' form. The caller keeps the array alive."""
    if isinstance(x, float):
        return x
    if shape is not None and x.shape != shape:
        x = np.broadcast_to(x, shape)
    size = x.itemsize
    return address(x), kernels.code(x.dtype), tuple([s // size for s in x.strides])


def address(x: Array | None) -> int:
    return 0 if x is None else x.__array_interface__["data"][0]


def native_binary(
    call: BinaryCall,
    *,
    order: int,
    upstream: Array = 1.0,
    majorizer: bool = False,
    into: Into | None = None,
    threads: int | None = None,
) -> tuple[Sequence[Array], float, int] | None:
    """Value and derivatives up to `order` of a binary loss, their sum, and the position of the first bad label.

    The derivatives are multiplied by `upstream`. They are written `into` arrays of the caller if there are any, and the
    value is left out. None if the kernels do not cover the call.
    """
    given = (call.x, call.y, call.gamma, call.positive, call.negative, upstream)
    dtype, shape = call.x.dtype, call.x.shape
    for a in given:
        if isinstance(a, float):
            continue
        if kernels.code(a.dtype) is None:
            return None
        if a.shape != shape:
            shape = np.broadcast_shapes(shape, a.shape)
    if kernels.NATIVE is None or len(shape) > kernels.MAX_RANK or (call.member and not of_numbers(call.member)):
        return None
    arrays = [a if isinstance(a, float) else regular(a) for a in given]
    results = [None, *into] if into else [np.empty(shape, dtype.newbyteorder("=")) for _ in range(order + 1)]
    family, *numbers = call.member.kernel if call.member else (call.p_t_loss,)
    total, bad = kernels.NATIVE.binary(
        family,
        shape,
        *[operand(a, shape) for a in arrays],
        call.smoothing,
        *[address(r) for r in results],
        *[0] * (2 - order),
        kernels.num_threads(threads),
        False,
        majorizer,
        False,
        *numbers,
        derivatives_in_float32=into is not None,
    )
    return results if into or dtype.isnative else [r.astype(dtype) for r in results], total, bad


def native_softmax(
    call: SoftmaxCall,
    *,
    order: int,
    upstream: Array = 1.0,
    majorizer: bool = False,
    into: Into | None = None,
    threads: int | None = None,
) -> tuple[Sequence[Array], float, int] | None:
    """Like `native_binary`. The labels have the shape of the logits, without the class axis if the call is sparse.

    `upstream` has the shape of the logits without the class axis.
    """
    x, y, axis = call.x, call.y, call.axis
    if kernels.NATIVE is None or kernels.code(x.dtype) is None or kernels.code(y.dtype) is None:
        return None
    rest = x.shape[:axis] + x.shape[axis + 1 :]
    shape = (math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :]))
    logits = regular(np.reshape(x, shape))
    labels = regular(np.reshape(y, (shape[0], 1, shape[2]) if call.sparse else shape))
    above = upstream if isinstance(upstream, float) else regular(np.reshape(upstream, shape[::2]))
    shapes = [rest, x.shape, x.shape][: order + 1]
    results = [None, *into] if into else [np.empty(shape, logits.dtype) for shape in shapes]
    addresses = [address(r) for r in results] + [0] * (2 - order)
    gamma, weight = ([p] if isinstance(p, float) else np.ravel(p).tolist() for p in (call.gamma, call.weight))
    if np.ndim(call.gamma) > 1:
        of_examples = regular(
            np.broadcast_to(call.gamma, (*x.shape[:axis], 1, *x.shape[axis + 1 :])).reshape(shape[::2])
        )
        gamma = operand(of_examples)
    total, _, bad = kernels.NATIVE.softmax(
        shape, operand(logits), operand(labels), call.sparse, call.ignore, gamma, weight, operand(above),
        call.smoothing, *addresses, kernels.num_threads(threads), majorizer=majorizer,
        derivatives_in_float32=into is not None,
    )  # fmt: skip
    return results if into else [r.astype(x.dtype, copy=False) for r in results], total, bad


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
