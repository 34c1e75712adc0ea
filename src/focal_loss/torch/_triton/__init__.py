"""The GPU kernels, in Triton: the mathematics of `native/`, for one element, then for blocks of them.

Everything is computed in float32. If the result is float32 as well, ``precise`` is true: then p, q and the exponential
are pairs, unevaluated sums of two floats, because gamma multiplies their rounding errors. The reasons are in the
comments of `native/`, whose code is the same line by line.

Nothing here waits for the device. Each result is computed by one program in a fixed order, with the same bits every
time.
"""

from focal_loss.torch._triton.arithmetic import ANY_POWER, INTERPRETED, POWERS
from focal_loss.torch._triton.binary_kernel import binary
from focal_loss.torch._triton.softmax_kernel import softmax

__all__ = ["ANY_POWER", "INTERPRETED", "POWERS", "binary", "softmax"]
