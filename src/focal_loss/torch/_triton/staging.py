"""From arrays of any dtype to blocks of float32, and back."""

from __future__ import annotations

import triton
import triton.language as tl

from focal_loss.torch._triton.arithmetic import INTERPRETED, LARGEST


@triton.jit
def put(pointer, x, mask):
    """Store values, rounded to the dtype of the array. The interpreter by itself would truncate to bfloat16."""
    if INTERPRETED and pointer.dtype.element_ty == tl.bfloat16:
        bits = x.to(tl.int32, bitcast=True)
        rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & -65536
        x = tl.where(tl.abs(x) <= LARGEST, rounded.to(tl.float32, bitcast=True), x)
    tl.store(pointer, x, mask=mask)


@triton.jit
def parameter(number, pointer, period, i, mask):
    """A number, or an element of an array that repeats along the last axes."""
    if pointer is None:
        return tl.full(i.shape, 1.0, tl.float32) * number
    else:
        return number * tl.load(pointer + i % period, mask=mask, other=1.0).to(tl.float32)


@triton.jit
def any_bit(a, b):
    return a | b


@triton.jit
def larger(a, b):
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


# Reductions over the elements that a thread loads at once, those of 16 bytes: no thread waits for another.


@triton.jit
def bits_of_threads(x, size: tl.constexpr):
    return tl.reduce(tl.reshape(x, [x.shape[0] // size, size]), 1, any_bit)


@triton.jit
def largest_of_threads(x, size: tl.constexpr):
    return tl.reduce(tl.reshape(x, [x.shape[0] // size, size]), 1, larger)
