"""The GPU kernels, in Triton: the mathematics of `native/`, for one element, then for blocks of them.

Everything is computed in float32, as carefully as the result needs. If it is float32 as well, ``precise`` is true: then
p, q and the exponential are pairs, unevaluated sums of two floats, because gamma multiplies their rounding errors. The
reasons are in the comments of `native/`, whose code is the same line by line. Blocks of ordinary logits, hard labels
and a gamma of at most 5, which are nearly all, need no pairs: their errors, so multiplied, stay within the bound.
Results of half precision are made with the functions that the GPU has in hardware; `tests/gpu/test_errors.py` has their
errors.

Nothing here waits for the device. Each result is computed by one program in a fixed order, with the same bits every
time.
"""

from focal_loss.torch._triton.arithmetic import ANY_POWER, INTERPRETED, POWERS
from focal_loss.torch._triton.binary_kernel import binary
from focal_loss.torch._triton.softmax_kernel import softmax

__all__ = ["ANY_POWER", "INTERPRETED", "POWERS", "binary", "softmax"]
