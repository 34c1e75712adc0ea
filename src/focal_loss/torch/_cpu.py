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
    SoftmaxCall,
    at_least_float32,
    dtype_of_results,
    numbers_of,
    reduction_weight,
    reduction_weight_of_example,
)

CODES = {getattr(torch, name): code for name, code in kernels.CODES.items()}
HOST = torch.device("cpu")  # independent of the default device


def _takes_tensors() -> bool:
    """Whether the kernels read tensors themselves, by DLPack's table of functions, which torch has since 2.10."""
    table = getattr(Tensor, "__dlpack_c_exchange_api__", None)
    return kernels.NATIVE is not None and table is not None and bool(kernels.NATIVE.use_tensors(table))


# Functions that run a function on the threads of torch's operators: that of LibTorch's stable ABI, since torch 2.10,
# and that of the OpenMP which torch brings.
_TEAMS = ("torch_parallel_for", "GOMP_parallel")


def _join_team() -> str:
    """Let the kernels run on the threads of torch's own operators, which may spin for a while after one of them, and
    return the name of the function that runs them.

    It is looked up in torch's library and what that depends on: another package may have brought its OpenMP first, and
    then torch's own file is not loaded. Without either function the kernels have threads of their own, which compete
    with torch's for the processors.
    """
    if kernels.NATIVE is None or not hasattr(os, "RTLD_NOLOAD"):
        return ""
    for path in (Path(torch.__file__).parent / "lib").glob("libtorch_cpu.*"):
        try:
            library = ctypes.CDLL(str(path), mode=os.RTLD_NOLOAD | os.RTLD_NOW)
        except OSError:
            continue
        for name in _TEAMS:
            if function := getattr(library, name, None):
                kernels.NATIVE.use_team(ctypes.cast(function, ctypes.c_void_p).value, name == "torch_parallel_for")
                return name
    return ""


_TAKES_TENSORS = _takes_tensors()
_HAS_TEAM = bool(_join_team())


def _operands(shape: torch.Size, *given: Parameter) -> tuple[Any, ...]:
    """Numbers, and tensors that broadcast to the shape, in the kernels' form."""
    return given if _TAKES_TENSORS else tuple(_operand(x, shape) for x in given)


def _operand(x: Parameter, shape: torch.Size) -> Any:
    if isinstance(x, float):
        return x
    if x.ndim == 0:
        return x.data_ptr(), CODES[x.dtype], (0,) * len(shape)
    return x.data_ptr(), CODES[x.dtype], (x if x.shape == shape else x.expand(shape)).stride()


def _result(x: Tensor | None) -> Any:
    """A contiguous tensor to fill, or None, in the kernels' form."""
    return 0 if x is None else x if _TAKES_TENSORS else x.data_ptr()


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
        shape,
        *_operands(shape, call.x, call.y, call.gamma, call.positive, call.negative, upstream),
        call.smoothing,
        _result(value),
        _result(gradient),
        _result(hessian),
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
    gradient = torch.empty_like(call.x, memory_format=torch.contiguous_format)
    total = weight * _run_binary(call, weight, gradient=gradient)
    return torch.scalar_tensor(total, dtype=dtype, device=HOST), gradient


def times_upstream(gradient: Tensor, upstream: Tensor, call: BinaryCall) -> Tensor:
    """The gradient of `binary_with_gradient` times an upstream number other than 1."""
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
        gradient = torch.empty_like(call.x, memory_format=torch.contiguous_format)
    total, count = _run_softmax(call, reduction_weight_of_example(call), gradient=gradient)
    return _reduced(total, count, dtype or dtype_of_results(0, call), call), gradient


def softmax_times_upstream(gradient: Tensor, upstream: Tensor, call: SoftmaxCall) -> Tensor:
    """The gradient of `softmax_with_gradient` times an upstream number other than 1."""
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
    x, y, axis = call.x, call.y, call.axis
    shape = x.shape
    rows: Any = axis
    if not (_TAKES_TENSORS and x.is_contiguous() and y.is_contiguous()):
        rows = (shape[:axis].numel(), shape[axis], shape[axis + 1 :].numel())
        x, y = x.reshape(rows), y.reshape((rows[0], 1, rows[2]) if call.sparse else rows)
    gamma: Any = call.gamma
    if isinstance(upstream, Tensor) or isinstance(gamma, Tensor):
        examples = torch.Size((shape[:axis].numel(), shape[axis + 1 :].numel()))
        if isinstance(upstream, Tensor):
            (upstream,) = _operands(examples, upstream.reshape(examples) if upstream.ndim else upstream)
        if isinstance(gamma, Tensor):
            of_examples = gamma.expand(*shape[:axis], 1, *shape[axis + 1 :]).reshape(examples)
            (gamma,) = _operands(examples, of_examples)
    begin, all_classes, whole = call.shard or (0, shape[axis], None)
    total, count, bad = kernels.NATIVE.softmax(
        rows,
        *_operands(x.shape, x),
        *_operands(y.shape, y),
        call.sparse,
        call.ignore,
        gamma,
        call.weight,
        upstream,
        call.smoothing,
        _result(value),
        _result(gradient),
        0,
        kernels.num_threads(torch.get_num_threads()),
        _HAS_TEAM,
        False,
        call.float32,
        begin,
        all_classes,
        0 if parts is None else parts.data_ptr(),
        0 if whole is None else whole.data_ptr(),
    )
    if bad >= 0 and call.check:
        if call.sparse:
            checks.check_classes(numbers_of(call.y), all_classes, call.ignore)
        else:
            checks.check_labels(numbers_of(call.y), dense=True)
    return total, count
