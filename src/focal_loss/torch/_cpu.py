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
from focal_loss.torch._options import (
    BinaryOptions,
    Parameter,
    SoftmaxOptions,
    at_least_float32,
    dtype_of_results,
    reduction_weight,
    reduction_weight_of_example,
)

CODES = {getattr(torch, name): code for name, code in kernels.CODES.items()}
HOST = torch.device("cpu")  # whatever the default device is


def _join_team() -> bool:
    """Let the kernels run on the threads of torch's own operators, which spin for a while after one of them.

    Threads of our own would share the processors with those. Without OpenMP, or one of another name, they have to.
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
    """A number, or a tensor that broadcasts to the shape, as the kernels take it."""
    if isinstance(x, float):
        return x
    if x.ndim == 0:
        return x.data_ptr(), CODES[x.dtype], (0,) * len(shape)
    return x.data_ptr(), CODES[x.dtype], (x if x.shape == shape else x.expand(shape)).stride()


def numbers_of(labels: Tensor) -> Any:
    """As a NumPy array, which has none of torch's narrower floats and lazy negations."""
    narrow = labels.is_floating_point() and labels.dtype.itemsize < 4 and labels.dtype != torch.float16
    return (labels.detach().float() if narrow else labels.detach()).resolve_neg().numpy()


# ---------------------------------------------------------------------------------------------------------------
# Binary
# ---------------------------------------------------------------------------------------------------------------


def _run_binary(
    results: tuple[Tensor | None, ...],
    upstream: Parameter,
    x: Tensor,
    y: Tensor,
    gamma: Parameter,
    positive: Parameter,
    negative: Parameter,
    options: BinaryOptions,
) -> float:
    """Fill what is asked for of value, gradient and Hessian, the last two times `upstream`. Returns the sum."""
    shape = x.shape
    total, bad = kernels.NATIVE.binary(
        options.p_t_loss,
        tuple(shape),
        *[_operand(a, shape) for a in (x, y, gamma, positive, negative, upstream)],
        options.smoothing,
        *[0 if r is None else r.data_ptr() for r in results],
        kernels.num_threads(torch.get_num_threads()),
        _HAS_TEAM,
        False,
        options.float32,
    )
    if bad >= 0 and options.check:
        checks.check_labels(numbers_of(y), numbers_of(x))
    return total


def binary(order: int, upstream: Parameter, x: Tensor, *rest: Any) -> Tensor:
    """The value (order 0), reduced as the options say, or upstream times the derivative of this order, unreduced."""
    if order == 0 and rest[-1].reduction != "none":
        return _reduced(_run_binary((None, None, None), 1.0, x, *rest), x, rest[-1])
    result = torch.empty(x.shape, dtype=dtype_of_results(order, x, rest[-1]), device=HOST)
    _run_binary(tuple(result if k == order else None for k in range(3)), upstream, x, *rest)
    return result


def _reduced(total: float, x: Tensor, options: BinaryOptions) -> Tensor:
    return torch.scalar_tensor(total * reduction_weight(x, options), dtype=dtype_of_results(0, x, options), device=HOST)


def binary_with_gradient(x: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    """The reduced value, and its gradient."""
    gradient = torch.empty(x.shape, dtype=x.dtype, device=HOST)
    total = _run_binary((None, gradient, None), reduction_weight(x, rest[-1]), x, *rest)
    return _reduced(total, x, rest[-1]), gradient


def times_upstream(gradient: Tensor, upstream: Tensor, x: Tensor, *rest: Any) -> Tensor:
    """The gradient of `binary_with_gradient` times an upstream number, which is nearly always 1."""
    if upstream.item() == 1:
        return gradient
    return binary(1, at_least_float32(upstream) * reduction_weight(x, rest[-1]), x, *rest)


# ---------------------------------------------------------------------------------------------------------------
# Softmax
# ---------------------------------------------------------------------------------------------------------------


def softmax(
    order: int, upstream: Parameter, x: Tensor, y: Tensor, options: SoftmaxOptions, result: Tensor | None = None
) -> Tensor:
    """As `binary`, for orders 0 and 1. A gradient may take the place of the logits: then they are the result given."""
    if order == 0 and options.reduction != "none":
        total, count = _run_softmax((None, None), 1.0, x, y, options)
        return _reduced_softmax(total, count, dtype_of_results(0, x, options), options)
    shape = x.shape if order else x.shape[: options.axis] + x.shape[options.axis + 1 :]
    if result is None:
        result = torch.empty(shape, dtype=dtype_of_results(order, x, options), device=HOST)
    _run_softmax((None, result) if order else (result, None), upstream, x, y, options)
    return result


def softmax_with_gradient(
    x: Tensor, y: Tensor, options: SoftmaxOptions, gradient: Tensor | None = None, dtype: torch.dtype | None = None
) -> tuple[Tensor, Tensor]:
    """The reduced value, of this dtype if one is given, and its gradient, which may take the logits' place."""
    if gradient is None:
        gradient = torch.empty(x.shape, dtype=x.dtype, device=HOST)
    total, count = _run_softmax((None, gradient), reduction_weight_of_example(x, y, options), x, y, options)
    return _reduced_softmax(total, count, dtype or dtype_of_results(0, x, options), options), gradient


def softmax_times_upstream(gradient: Tensor, upstream: Tensor, x: Tensor, y: Tensor, options: SoftmaxOptions) -> Tensor:
    """The gradient of `softmax_with_gradient` times an upstream number, which is nearly always 1."""
    if upstream.item() == 1:
        return gradient
    return softmax(1, at_least_float32(upstream) * reduction_weight_of_example(x, y, options), x, y, options)


def _reduced_softmax(total: float, count: int, dtype: torch.dtype, options: SoftmaxOptions) -> Tensor:
    mean = options.reduction == "mean"
    return torch.scalar_tensor(total / max(count, 1) if mean else total, dtype=dtype, device=HOST)


def _run_softmax(
    results: tuple[Tensor | None, Tensor | None],
    upstream: Parameter,
    x: Tensor,
    y: Tensor,
    options: SoftmaxOptions,
) -> tuple[float, int]:
    """Fill what is asked for of value and upstream times gradient. Returns the sum, and how many are not ignored."""
    axis = options.axis
    shape = (x.shape[:axis].numel(), x.shape[axis], x.shape[axis + 1 :].numel())
    logits, labels = x.reshape(shape), y.reshape((shape[0], 1, shape[2]) if options.sparse else shape)
    if isinstance(upstream, Tensor) and upstream.ndim:
        upstream = upstream.reshape(shape[0], shape[2])
    total, count, bad = kernels.NATIVE.softmax(
        shape,
        _operand(logits, logits.shape),
        _operand(labels, labels.shape),
        options.sparse,
        options.ignore,
        options.gamma,
        options.weight,
        _operand(upstream, torch.Size((shape[0], shape[2]))),
        options.smoothing,
        *[0 if r is None else r.data_ptr() for r in results],
        0,
        kernels.num_threads(torch.get_num_threads()),
        _HAS_TEAM,
        False,
        options.float32,
    )
    if bad >= 0 and options.check:
        if options.sparse:
            checks.check_classes(numbers_of(y), x.shape[axis], options.ignore)
        else:
            checks.check_labels(numbers_of(y), dense=True)
    return total, count
