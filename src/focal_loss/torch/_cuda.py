"""The Triton kernels for tensors on a GPU, with the functions of `_cpu.py`.

Nothing waits for the device: sums, means and numbers of examples stay tensors. Only a list of numbers per class is
copied there. Float32, float16 and bfloat16; of the softmax losses that of class indices.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import triton
from torch import Tensor

from focal_loss._core.pipeline import KERNEL_FAMILIES, KernelMember
from focal_loss.torch import _triton
from focal_loss.torch._calls import (
    BinaryCall,
    Parameter,
    SoftmaxCall,
    dtype_of_results,
    reduction_weight,
    reduction_weight_of_example,
)

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
BLOCK = 4096  # bytes of logits per program: two loads of 16 bytes for each of its threads
TILE = 4096  # logits per program and step
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
    """The number as a finite float32, since Triton packs no infinite ones."""
    return min(number, _LARGEST)


def _labels(y: Tensor) -> Tensor:
    y = y.contiguous()
    return y.view(torch.uint8) if y.dtype == torch.bool else y


def _two_gamma(gamma: Parameter) -> int:
    return int(2 * gamma) if isinstance(gamma, float) and 2 * gamma in _triton.POWERS else _triton.ANY_POWER.value


def _total(sums: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """The sum of partial sums in float32, of which there may be many."""
    return sums.sum(dtype=torch.float64).to(dtype)


def _is_precise(x: Tensor, losses: Tensor | None) -> bool:
    """Whether results stay float32. A sum of half-precision losses needs only their accuracy."""
    return torch.float32 in (x.dtype, None if losses is None else losses.dtype)


def _sums(programs: int, x: Tensor) -> Tensor:
    return torch.empty(programs, dtype=torch.float32, device=x.device)


# ---------------------------------------------------------------------------------------------------------------
# Binary
# ---------------------------------------------------------------------------------------------------------------


def _family(call: BinaryCall) -> tuple[Parameter, Parameter | None, dict[str, Any]]:
    """The exponents of the family, and the other arguments of the kernel that belong to it."""
    member = KernelMember(int(call.p_t_loss)) if call.member is None else call.member.kernel
    name, gamma, exponent = KERNEL_FAMILIES[member.family], call.gamma, None
    if name in ("asymmetric", "penalty_reduced"):
        exponent = member.exponent
    elif name in ("varifocal", "matchability"):
        gamma, exponent = 0.0, gamma
    more = {"family": member.family, "clip": member.clip or None, "detached": member.detached}
    return gamma, exponent, more | {"epsilon": _float32(member.epsilon) if name == "poly1" else None}


def _run_binary(
    call: BinaryCall,
    order: int = 1,
    factor: float = 1.0,
    upstream: Parameter = 1.0,
    *,
    unless_one: bool = False,
    value: Tensor | None = None,
    sums: Tensor | None = None,
    slope: Tensor | None = None,
) -> None:
    """Fill those of value, partial sums, and factor * upstream * derivative of `order` that are not None."""
    if not call.x.numel():
        return
    shape = call.x.shape
    x, label = call.x.contiguous(), call.y if isinstance(call.y, float) else 0.0
    y = None if isinstance(call.y, float) else _labels(call.y.expand(shape))
    one_gamma, other_exponent, of_family = _family(call)
    gamma, gammas, gamma_period = _operand(one_gamma, shape)
    positive, positives, positive_period = _operand(call.positive, shape)
    negative, negatives, negative_period = _operand(call.negative, shape)
    exponent, exponents, exponent_period = _operand(1.0 if other_exponent is None else other_exponent, shape)
    above, aboves, above_period = _operand(upstream, shape)
    has_weight = positives is not None or negatives is not None or positive != 1 or negative != 1
    with torch.cuda.device_of(x):  # Triton launches on the current device
        _triton.binary[(_programs(x),)](
            x,
            y,
            gammas,
            positives,
            negatives,
            exponents,
            aboves,
            value,
            sums,
            slope,
            x.numel(),
            gamma_period,
            positive_period,
            negative_period,
            exponent_period,
            above_period,
            gamma,
            positive if has_weight else None,
            negative if has_weight else None,
            None if other_exponent is None else exponent,
            factor * above,
            call.smoothing,
            label,
            order=order,
            two_gamma=_two_gamma(one_gamma),
            two_exponent=None if other_exponent is None else _two_gamma(other_exponent),
            integer_labels=y is not None and not y.is_floating_point(),
            smooth=call.smoothing > 0,
            precise=_is_precise(x, value),
            unless_one=unless_one,
            block=_block(x),
            **of_family,
            enable_fp_fusion=False,  # a fused product would not match its separately computed rounding error
        )


def _block(x: Tensor) -> int:
    """The elements of a program."""
    return BLOCK // x.element_size()


def _programs(x: Tensor) -> int:
    return -(-x.numel() // _block(x))


def binary(order: int, upstream: Parameter, call: BinaryCall) -> Tensor:
    """The value (order 0), reduced as the call says, or upstream times the derivative of this order, unreduced."""
    x = call.x
    if order == 0 and call.reduction != "none":
        sums = _sums(_programs(x), x)
        _run_binary(call, sums=sums)
        return _total(sums * reduction_weight(call))
    result = torch.empty(x.shape, dtype=dtype_of_results(order, call), device=x.device)
    if order:
        _run_binary(call, order, upstream=upstream, slope=result)
    else:
        _run_binary(call, value=result)
    return result


def binary_with_gradient(call: BinaryCall) -> tuple[Tensor, Tensor]:
    """The reduced value, and its gradient."""
    x, factor = call.x, reduction_weight(call)
    sums, gradient = _sums(_programs(x), x), torch.empty(x.shape, dtype=x.dtype, device=x.device)
    _run_binary(call, factor=factor, sums=sums, slope=gradient)
    return _total(sums * factor), gradient


def times_upstream(gradient: Tensor, upstream: Tensor, call: BinaryCall) -> Tensor:
    """The gradient of `binary_with_gradient` times an upstream that only the device knows, and that is nearly always 1.

    It is not scaled but computed anew: in float16 a small gradient may be 0 that the scale of the loss was to save.
    """
    _run_binary(call, factor=reduction_weight(call), upstream=upstream, unless_one=True, slope=gradient)
    return gradient


# ---------------------------------------------------------------------------------------------------------------
# Softmax
# ---------------------------------------------------------------------------------------------------------------


def softmax(order: int, upstream: Parameter, call: SoftmaxCall, result: Tensor | None = None) -> Tensor:
    """Like `binary`, for orders 0 and 1. If the logits are given as `result`, the gradient overwrites them."""
    if order == 0 and call.reduction != "none":
        sums = _run_softmax(call, reduced=True)
        return _total(sums * reduction_weight_of_example(call))
    x = call.x
    if result is None:
        shape = x.shape if order else x.shape[: call.axis] + x.shape[call.axis + 1 :]
        result = torch.empty(shape, dtype=dtype_of_results(order, call), device=x.device)
    if order:
        _run_softmax(call, upstream=upstream, slope=result)
    else:
        _run_softmax(call, value=result)
    return result


def softmax_with_gradient(
    call: SoftmaxCall, gradient: Tensor | None = None, dtype: torch.dtype | None = None
) -> tuple[Tensor, Tensor]:
    """The reduced value, of `dtype` if given, and its gradient, which may overwrite the logits."""
    x, factor = call.x, reduction_weight_of_example(call)
    if gradient is None:
        gradient = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    sums = _run_softmax(call, upstream=factor, reduced=True, slope=gradient)
    return _total(sums * factor, dtype or torch.float32), gradient


def softmax_times_upstream(gradient: Tensor, upstream: Tensor, call: SoftmaxCall) -> Tensor:
    """Like `times_upstream`, for a softmax."""
    _run_softmax(call, reduction_weight_of_example(call), upstream, unless_one=True, slope=gradient)
    return gradient


def _run_softmax(
    call: SoftmaxCall,
    factor: Parameter = 1.0,
    upstream: Parameter = 1.0,
    *,
    reduced: bool = False,
    unless_one: bool = False,
    value: Tensor | None = None,
    slope: Tensor | None = None,
) -> Tensor:
    """Fill those of the value per example and factor * upstream * gradient that are not None. Return partial sums if
    wanted.
    """
    x, axis, classes = call.x, call.axis, call.x.shape[call.axis]
    inner, examples = math.prod(x.shape[axis + 1 :]), call.y.numel()
    rows = inner == 1
    step = min(triton.next_power_of_2(max(classes, 1)), TILE) if rows else 1
    width = max(1, min(TILE // step, 32)) if rows else 256
    programs = -(-examples // width)
    sums = _sums(programs if reduced else 0, x)
    if not examples:
        return sums
    (gamma, gammas), (weight, weights) = (_per_class(p, x, classes) for p in (call.gamma, call.weight))
    factor_number, factor_pointer = (1.0, factor) if isinstance(factor, Tensor) else (factor, None)
    number, pointer = (1.0, upstream.contiguous()) if isinstance(upstream, Tensor) else (upstream, None)
    with torch.cuda.device_of(x):
        _triton.softmax[(programs,)](
            x.contiguous(),
            _labels(call.y),
            gammas,
            weights,
            pointer,
            factor_pointer,
            value,
            sums if reduced else None,
            slope,
            examples,
            classes,
            inner,
            0 if call.ignore is None else call.ignore,
            0 if pointer is None or pointer.ndim == 0 else 1,
            gamma,
            weight,
            factor_number * number,
            two_gamma=_two_gamma(gamma) if gammas is None else _triton.ANY_POWER.value,
            has_ignored=call.ignore is not None,
            rows=rows,
            precise=_is_precise(x, value),
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
