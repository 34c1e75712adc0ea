"""The Triton kernels for tensors on a GPU: what `_cpu.py` is for the CPU.

Nothing waits for the device: sums, means and numbers of examples stay tensors. Only a list of numbers per class is
copied there. Float32, float16 and bfloat16; of the softmax losses that of class indices.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import triton
from torch import Tensor

from focal_loss.torch import _triton
from focal_loss.torch._options import (
    BinaryOptions,
    Parameter,
    SoftmaxOptions,
    dtype_of_results,
    reduction_weight,
    reduction_weight_of_example,
)

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
BLOCK = 1024  # elements of a program
TILE = 4096  # logits of a program at a time
_LARGEST = torch.finfo(torch.float32).max

Operand = tuple[float, Tensor | None, int]  # a factor, an array that repeats along the last axes or None, its length


def _operand(p: Parameter, shape: torch.Size) -> Operand:
    if isinstance(p, float):
        return _float32(p), None, 1
    kept = p.squeeze() if p.numel() == 1 else p.reshape(p.shape[next(i for i, n in enumerate(p.shape) if n > 1) :])
    if kept.shape != shape[len(shape) - kept.ndim :]:
        kept = p.expand(shape)
    return 1.0, kept.contiguous(), max(kept.numel(), 1)


def _float32(number: float) -> float:
    """A finite one: Triton packs no other."""
    return min(number, _LARGEST)


def _labels(y: Tensor) -> Tensor:
    y = y.contiguous()
    return y.view(torch.uint8) if y.dtype == torch.bool else y


def _two_gamma(gamma: Parameter) -> int:
    return int(2 * gamma) if isinstance(gamma, float) and 2 * gamma in _triton.POWERS else _triton.ANY_POWER.value


def _total(sums: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """The partial sums were made in float32; there may be many."""
    return sums.sum(dtype=torch.float64).to(dtype)


def _is_precise(x: Tensor, losses: Tensor | None) -> bool:
    """Whether results are not rounded to half precision. A sum of half-precision losses needs no more than those."""
    return torch.float32 in (x.dtype, None if losses is None else losses.dtype)


def _sums(programs: int, x: Tensor) -> Tensor:
    return torch.empty(programs, dtype=torch.float32, device=x.device)


# ---------------------------------------------------------------------------------------------------------------
# Binary
# ---------------------------------------------------------------------------------------------------------------


def _run_binary(
    results: tuple[Tensor | None, Tensor | None, Tensor | None],
    order: int,
    factor: float,
    upstream: Parameter,
    unless_one: bool,
    x: Tensor,
    y: Tensor,
    gamma: Parameter,
    positive: Parameter,
    negative: Parameter,
    options: BinaryOptions,
) -> None:
    """Fill what is wanted of the value, its partial sums, and factor * upstream * the derivative of this order."""
    if not x.numel():
        return
    shape = x.shape
    x, y = x.contiguous(), _labels(y.expand(shape))
    operands = [_operand(p, shape) for p in (gamma, positive, negative, upstream)]
    numbers, arrays, periods = zip(*operands, strict=True)
    value, sums, slope = results
    with torch.cuda.device_of(x):  # Triton launches on the current device
        _triton.binary[(_programs(x),)](
            x,
            y,
            *arrays,
            value,
            sums,
            slope,
            x.numel(),
            *periods,
            *numbers[:3],
            factor * numbers[3],
            options.smoothing,
            order=order,
            two_gamma=_two_gamma(gamma),
            mix=options.p_t_loss,
            integer_labels=not y.is_floating_point(),
            smooth=options.smoothing > 0,
            precise=_is_precise(x, value),
            unless_one=unless_one,
            block=BLOCK,
            enable_fp_fusion=False,  # a product that is fused where it is added would differ from its rounding error
        )


def _programs(x: Tensor) -> int:
    return -(-x.numel() // BLOCK)


def binary(order: int, upstream: Parameter, x: Tensor, *rest: Any) -> Tensor:
    """The value (order 0), reduced as the options say, or upstream times the derivative of this order, unreduced."""
    if order == 0 and rest[-1].reduction != "none":
        sums = _sums(_programs(x), x)
        _run_binary((None, sums, None), 1, 1.0, 1.0, False, x, *rest)
        return _total(sums * reduction_weight(x, rest[-1]))
    result = torch.empty(x.shape, dtype=dtype_of_results(order, x, rest[-1]), device=x.device)
    _run_binary((None, None, result) if order else (result, None, None), order or 1, 1.0, upstream, False, x, *rest)
    return result


def binary_with_gradient(x: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    """The reduced value, and its gradient."""
    factor = reduction_weight(x, rest[-1])
    sums, gradient = _sums(_programs(x), x), torch.empty(x.shape, dtype=x.dtype, device=x.device)
    _run_binary((None, sums, gradient), 1, factor, 1.0, False, x, *rest)
    return _total(sums * factor), gradient


def times_upstream(gradient: Tensor, upstream: Tensor, x: Tensor, *rest: Any) -> Tensor:
    """The gradient of `binary_with_gradient` for another upstream than 1, which only the device knows.

    It is not scaled but computed anew: in float16 a small gradient may be 0 that the scale of the loss was to save.
    """
    _run_binary((None, None, gradient), 1, reduction_weight(x, rest[-1]), upstream, True, x, *rest)
    return gradient


# ---------------------------------------------------------------------------------------------------------------
# Softmax
# ---------------------------------------------------------------------------------------------------------------


def softmax(
    order: int, upstream: Parameter, x: Tensor, y: Tensor, options: SoftmaxOptions, result: Tensor | None = None
) -> Tensor:
    """As `binary`, for orders 0 and 1. A gradient may take the place of the logits: then they are the result given."""
    if order == 0 and options.reduction != "none":
        sums = _run_softmax((None, None), True, 1.0, 1.0, x, y, options)
        return _total(sums * reduction_weight_of_example(x, y, options))
    shape = x.shape if order else x.shape[: options.axis] + x.shape[options.axis + 1 :]
    if result is None:
        result = torch.empty(shape, dtype=dtype_of_results(order, x, options), device=x.device)
    _run_softmax((None, result) if order else (result, None), False, 1.0, upstream, x, y, options)
    return result


def softmax_with_gradient(
    x: Tensor, y: Tensor, options: SoftmaxOptions, gradient: Tensor | None = None, dtype: torch.dtype | None = None
) -> tuple[Tensor, Tensor]:
    """The reduced value, of this dtype if one is given, and its gradient, which may take the logits' place."""
    factor = reduction_weight_of_example(x, y, options)
    if gradient is None:
        gradient = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    sums = _run_softmax((None, gradient), True, 1.0, factor, x, y, options)
    return _total(sums * factor, dtype or torch.float32), gradient


def softmax_times_upstream(gradient: Tensor, upstream: Tensor, x: Tensor, y: Tensor, options: SoftmaxOptions) -> Tensor:
    """As `times_upstream`."""
    factor = reduction_weight_of_example(x, y, options)
    _run_softmax((None, gradient), False, factor, upstream, x, y, options, unless_one=True)
    return gradient


def _run_softmax(
    results: tuple[Tensor | None, Tensor | None],
    reduced: bool,
    factor: Parameter,
    upstream: Parameter,
    x: Tensor,
    y: Tensor,
    options: SoftmaxOptions,
    unless_one: bool = False,
) -> Tensor:
    """Fill what is asked for: the value per example, factor * upstream * gradient. Returns partial sums, if wanted."""
    axis, classes = options.axis, x.shape[options.axis]
    inner, examples = math.prod(x.shape[axis + 1 :]), y.numel()
    rows = inner == 1
    step = min(triton.next_power_of_2(max(classes, 1)), TILE) if rows else 1
    width = max(1, min(TILE // step, 32)) if rows else 256
    programs = -(-examples // width)
    sums = _sums(programs if reduced else 0, x)
    if not examples:
        return sums
    (gamma, gammas), (weight, weights) = (_per_class(p, x, classes) for p in (options.gamma, options.weight))
    factor_number, factor_pointer = (1.0, factor) if isinstance(factor, Tensor) else (factor, None)
    number, pointer = (1.0, upstream.contiguous()) if isinstance(upstream, Tensor) else (upstream, None)
    with torch.cuda.device_of(x):
        _triton.softmax[(programs,)](
            x.contiguous(),
            _labels(y),
            gammas,
            weights,
            pointer,
            factor_pointer,
            results[0],
            sums if reduced else None,
            results[1],
            examples,
            classes,
            inner,
            0 if options.ignore is None else options.ignore,
            0 if pointer is None or pointer.ndim == 0 else 1,
            gamma,
            weight,
            factor_number * number,
            two_gamma=_two_gamma(gamma) if gammas is None else _triton.ANY_POWER.value,
            has_ignored=options.ignore is not None,
            rows=rows,
            precise=_is_precise(x, results[0]),
            unless_one=unless_one,
            width=width,
            step=step,
            num_warps=4 if step < TILE else 8,
            enable_fp_fusion=False,
        )
    return sums


def _per_class(p: list[float] | Tensor, x: Tensor, classes: int) -> tuple[float, Tensor | None]:
    """A number, or a factor of 1 and an entry per class."""
    if isinstance(p, list) and len(p) == 1:
        return _float32(p[0]), None
    return 1.0, torch.as_tensor(p, dtype=torch.float32, device=x.device).expand(classes).contiguous()
