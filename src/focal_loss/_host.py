"""Arrays on the host: the formula on NumPy, in blocks that stay in the cache, on a few threads.

The one place that decides how a host array is computed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from focal_loss import _formula, _softmax
from focal_loss._spec import integer

Array = Any

# The temporaries of a block stay in the cache. For 2e6 float32 logits on 2 cores, blocks of 2^14 to 2^17 elements took
# 63 to 80 ms; 2^12, where the interpreter costs more than the arithmetic, 187 ms; the whole array at once 320 ms.
BLOCK = 1 << 15

_threads: int | None = None


class NumpyOps:
    """`_formula.Ops` for NumPy."""

    exp, log, log1p = staticmethod(np.exp), staticmethod(np.log), staticmethod(np.log1p)
    sqrt, tanh, abs = staticmethod(np.sqrt), staticmethod(np.tanh), staticmethod(np.abs)
    where, clip = staticmethod(np.where), staticmethod(np.clip)

    def sum(self, x: Array, axis: int) -> Array:
        return np.sum(x, axis, keepdims=True)

    def max(self, x: Array, axis: int) -> Array:
        return np.max(x, axis, keepdims=True, initial=-np.inf)

    def first_max(self, x: Array, axis: int) -> Array:
        if not x.shape[axis]:
            return np.zeros(x.shape, bool)
        return np.arange(x.shape[axis]).reshape((-1,) + (1,) * (x.ndim - axis - 1)) == np.argmax(x, axis, keepdims=True)

    def largest(self, x: Array) -> float:
        return np.finfo(x.dtype).max

    def smallest(self, x: Array) -> float:
        return np.finfo(x.dtype).tiny

    def is_bool(self, x: Array) -> bool:
        return bool(x.dtype == np.bool_)

    def constant(self, x: Array) -> Array:
        return x


OPS = NumpyOps()


def set_num_threads(n: int) -> None:
    """Set how many threads compute large host arrays.

    Parameters
    ----------
    n : int
        At least 1. Without a call, the number of processors this process may use.

    Raises
    ------
    TypeError, ValueError
        If `n` is not a positive integer.

    Examples
    --------
    >>> import focal_loss
    >>> focal_loss.set_num_threads(2)
    """
    global _threads
    number = integer("n", n)
    if number < 1:
        raise ValueError(f"`n` must be a positive integer, got {n}")
    _threads = number


def num_threads() -> int:
    if _threads is not None:
        return _threads
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def implementation() -> str:
    """What computes host arrays, for `show_config`."""
    return f"formula on NumPy {np.__version__}, blocks of {BLOCK} elements, {num_threads()} threads"


def in_blocks(function: Callable[..., Array], arguments: tuple[Array, ...], shape: tuple[int, ...]) -> Array:
    """Evaluate an elementwise function block by block, on threads where there are enough blocks to share."""
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

    # Threads live for one call: none is left behind for a fork to lose.
    with ThreadPoolExecutor(num_threads()) as pool:
        list(pool.map(fill, starts[1:]))
    return result.reshape(shape)


def wide(x: Array) -> Array:
    """Float32 as float64: on the host that is as exact as rounding once can be, and needs no care."""
    is_narrow = isinstance(x, np.ndarray | np.generic) and x.dtype == np.float32
    return x.astype(np.float64) if is_narrow else x


def elementwise(family: str, index: _formula.Index, *arguments: Array) -> Array:
    """`_formula.evaluate` on host arrays that broadcast, in the dtype of the first."""
    shape = np.broadcast_shapes(*(np.shape(a) for a in arguments))
    dtype = arguments[0].dtype

    def evaluate(*block: Array) -> Array:
        value = _formula.evaluate(OPS, family, index, *map(wide, block))
        return np.asarray(value).astype(dtype, copy=False)

    with np.errstate(all="ignore"):
        value = in_blocks(evaluate, arguments, shape)
    return value if np.shape(value) == shape else np.broadcast_to(value, shape)


def margin(v: Array, hot: Array | None, axis: int) -> Array:
    """In float64 a margin can exceed what the dtype of `v` holds; no finite logits may give an infinite loss."""
    with np.errstate(all="ignore"):
        s, largest = _softmax.margin(OPS, wide(v), hot, axis), OPS.largest(v)
        return np.where(np.isinf(s), s, np.clip(s, -largest, largest))


def shares(x: Array, hot: Array | None, axis: int) -> tuple[Array, Array]:
    with np.errstate(all="ignore"):
        return _softmax.shares(OPS, wide(x), hot, axis)


def pull(v: Array, hot: Array, axis: int, cotangent: Array) -> Array:
    with np.errstate(all="ignore"):
        return _softmax.pull(OPS, wide(v), hot, axis, cotangent)


def diagonal(v: Array, hot: Array, axis: int, first: Array, second: Array) -> Array:
    with np.errstate(all="ignore"):
        return _softmax.diagonal(OPS, wide(v), hot, axis, first, second)
