"""The native kernels for tensors on the CPU."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from focal_loss._core import checks
from focal_loss._host import kernels
from focal_loss.torch._calls import (
    BinaryCall,
    Parameter,
    Shard,
    SoftmaxCall,
    at_least_float32,
    dtype_of_results,
    reduction_weight,
    reduction_weight_of_example,
)

CODES = {getattr(torch, name): code for name, code in kernels.CODES.items()}
HOST = torch.device("cpu")  # independent of the default device


def _join_team() -> bool:
    """Let the kernels run on the threads of torch's own operators, which spin for a while after one of them.

    Separate threads would compete with those for the processors. They are used if torch has no OpenMP, or one under
    another name.
    """
    if kernels.NATIVE is None or not hasattr(os, "RTLD_NOLOAD"):
        return False
    for path in (Path(torch.__file__).parent / "lib").glob("lib[gi]*omp*"):
        try:
            library = ctypes.CDLL(str(path), mode=os.RTLD_NOLOAD | os.RTLD_NOW)
            kernels.NATIVE.use_team(ctypes.cast(library.GOMP_parallel, ctypes.c_void_p).value)
        except (OSError, AttributeError):
            continue
        return True
    return False


_HAS_TEAM = _join_team()


def _operand(x: Parameter, shape: torch.Size) -> Any:
    """A number, or a tensor that broadcasts to the shape, in the kernels' form."""
    if isinstance(x, float):
        return x
    if x.ndim == 0:
        return x.data_ptr(), CODES[x.dtype], (0,) * len(shape)
    return x.data_ptr(), CODES[x.dtype], (x if x.shape == shape else x.expand(shape)).stride()


def numbers_of(labels: Tensor) -> Any:
    """The numbers of a tensor as a NumPy array, with bfloat16 widened and lazy negations resolved."""
    narrow = labels.is_floating_point() and labels.dtype.itemsize < 4 and labels.dtype != torch.float16
    return (labels.detach().float() if narrow else labels.detach()).resolve_neg().numpy()


# ---------------------------------------------------------------------------------------------------------------
# Binary
# ---------------------------------------------------------------------------------------------------------------


def _run_binary(
    call: BinaryCall,
    upstream: Parameter,
    *,
    value: Tensor | None = None,
    gradient: Tensor | None = None,
    hessian: Tensor | None = None,
) -> float:
    """Fill those of value, gradient and Hessian that are not None, the last two times `upstream`, and return the
    sum.
    """
    shape = call.x.shape
    family, exponent, *more = call.member.kernel if call.member else (call.p_t_loss, 0.0)
    total, bad = kernels.NATIVE.binary(
        family,
        tuple(shape),
        _operand(call.x, shape),
        _operand(call.y, shape),
        _operand(call.gamma, shape),
        _operand(call.positive, shape),
        _operand(call.negative, shape),
        _operand(upstream, shape),
        call.smoothing,
        0 if value is None else value.data_ptr(),
        0 if gradient is None else gradient.data_ptr(),
        0 if hessian is None else hessian.data_ptr(),
        kernels.num_threads(torch.get_num_threads()),
        _HAS_TEAM,
        False,
        call.float32,
        float(exponent),
        *more,
    )
    if bad >= 0 and call.check:
        checks.check_labels(numbers_of(call.y), numbers_of(call.x))
    return total


def binary(order: int, upstream: Parameter, call: BinaryCall) -> Tensor:
    """The value (order 0), reduced as the call says, or upstream times the derivative of this order, unreduced."""
    dtype = dtype_of_results(order, call)
    if order == 0 and call.reduction != "none":
        total = reduction_weight(call) * _run_binary(call, 1.0)
        return torch.scalar_tensor(total, dtype=dtype, device=HOST)
    result = torch.empty(call.x.shape, dtype=dtype, device=HOST)
    if order == 0:
        _run_binary(call, upstream, value=result)
    elif order == 1:
        _run_binary(call, upstream, gradient=result)
    else:
        _run_binary(call, upstream, hessian=result)
    return result


def binary_with_gradient(call: BinaryCall) -> tuple[Tensor, Tensor]:
    """The reduced value, and its gradient."""
    weight, dtype = reduction_weight(call), dtype_of_results(0, call)
    gradient = torch.empty(call.x.shape, dtype=call.x.dtype, device=HOST)
    total = weight * _run_binary(call, weight, gradient=gradient)
    return torch.scalar_tensor(total, dtype=dtype, device=HOST), gradient


def times_upstream(gradient: Tensor, upstream: Tensor, call: BinaryCall) -> Tensor:
    """The gradient of `binary_with_gradient` times an upstream number, which is nearly always 1."""
    if upstream.item() == 1:
        return gradient
    return binary(1, at_least_float32(upstream) * reduction_weight(call), call)


# ---------------------------------------------------------------------------------------------------------------
# Softmax
# ---------------------------------------------------------------------------------------------------------------


def softmax(order: int, upstream: Parameter, call: SoftmaxCall, result: Tensor | None = None) -> Tensor:
    """Like `binary`, for orders 0 and 1. If the logits are given as `result`, the gradient overwrites them."""
    dtype = dtype_of_results(order, call)
    if order == 0 and call.reduction != "none":
        return _reduced(*_run_softmax(call, 1.0), dtype, call)
    shape = call.x.shape
    if result is None:
        result = torch.empty(shape if order else shape[: call.axis] + shape[call.axis + 1 :], dtype=dtype, device=HOST)
    if order:
        _run_softmax(call, upstream, gradient=result)
    else:
        _run_softmax(call, upstream, value=result)
    return result


def softmax_with_gradient(
    call: SoftmaxCall, gradient: Tensor | None = None, dtype: torch.dtype | None = None
) -> tuple[Tensor, Tensor]:
    """The reduced value, of `dtype` if given, and its gradient, which may overwrite the logits."""
    if gradient is None:
        gradient = torch.empty(call.x.shape, dtype=call.x.dtype, device=HOST)
    total, count = _run_softmax(call, reduction_weight_of_example(call), gradient=gradient)
    return _reduced(total, count, dtype or dtype_of_results(0, call), call), gradient


def softmax_times_upstream(gradient: Tensor, upstream: Tensor, call: SoftmaxCall) -> Tensor:
    """The gradient of `softmax_with_gradient` times an upstream number, which is nearly always 1."""
    if upstream.item() == 1:
        return gradient
    return softmax(1, at_least_float32(upstream) * reduction_weight_of_example(call), call)


def softmax_parts(call: SoftmaxCall) -> Tensor:
    """The contribution of a shard of the classes to the margin of each example: the fields of `softmax.Part`, stacked,
    in at least float32.
    """
    x = call.x
    shape = x.shape[: call.axis] + x.shape[call.axis + 1 :]
    parts = torch.empty((3, *shape), dtype=x.dtype if x.dtype == torch.float64 else torch.float32, device=HOST)
    _run_softmax(call, 1.0, parts=parts)
    return parts


def _reduced(total: float, count: int, dtype: torch.dtype, call: SoftmaxCall) -> Tensor:
    if call.reduction == "mean":
        total /= float(call.divisor or max(count, 1))
    return torch.scalar_tensor(total, dtype=dtype, device=HOST)


def _run_softmax(
    call: SoftmaxCall,
    upstream: Parameter,
    *,
    value: Tensor | None = None,
    gradient: Tensor | None = None,
    parts: Tensor | None = None,
) -> tuple[float, int]:
    """Fill those of value and upstream times gradient that are not None. Return the sum and the number of examples that
    are not ignored.
    """
    x, axis = call.x, call.axis
    shape = (x.shape[:axis].numel(), x.shape[axis], x.shape[axis + 1 :].numel())
    logits, labels = x.reshape(shape), call.y.reshape((shape[0], 1, shape[2]) if call.sparse else shape)
    examples = torch.Size((shape[0], shape[2]))
    if isinstance(upstream, Tensor) and upstream.ndim:
        upstream = upstream.reshape(examples)
    gamma: Any = call.gamma
    if isinstance(gamma, Tensor):
        of_examples = gamma.expand(*x.shape[:axis], 1, *x.shape[axis + 1 :]).reshape(examples)
        gamma = _operand(of_examples, examples)
    shard = call.shard or Shard(0, x.shape[axis])
    total, count, bad = kernels.NATIVE.softmax(
        shape,
        _operand(logits, logits.shape),
        _operand(labels, labels.shape),
        call.sparse,
        call.ignore,
        gamma,
        call.weight,
        _operand(upstream, examples),
        call.smoothing,
        0 if value is None else value.data_ptr(),
        0 if gradient is None else gradient.data_ptr(),
        0,
        kernels.num_threads(torch.get_num_threads()),
        _HAS_TEAM,
        False,
        call.float32,
        shard.begin,
        shard.all_classes,
        0 if parts is None else parts.data_ptr(),
        0 if shard.whole is None else shard.whole.data_ptr(),
    )
    if bad >= 0 and call.check:
        if call.sparse:
            checks.check_classes(numbers_of(call.y), shard.all_classes, call.ignore)
        else:
            checks.check_labels(numbers_of(call.y), dense=True)
    return total, count
