"""The native kernels as autograd functions, for eager tensors.

The compiler sees the operators of `_operators.py` instead, which would cost an eager tensor more. A derivative is the
same function at the next order, times what comes from above.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from focal_loss import _kernels, _losses

CODES = {getattr(torch, name): code for name, code in _kernels.CODES.items()}
Parameter: TypeAlias = Any  # a tensor, or a float


def _join_team() -> bool:
    """Let the kernels run on the threads of torch's own operators, which spin for a while after one of them.

    Threads of our own would share the processors with those. Without OpenMP, or one of another name, they have to.
    """
    if _kernels.NATIVE is None or not hasattr(os, "RTLD_NOLOAD"):
        return False
    for path in (Path(torch.__file__).parent / "lib").glob("lib[gi]*omp*"):
        try:
            library = ctypes.CDLL(str(path), mode=os.RTLD_NOLOAD | os.RTLD_NOW)
            _kernels.NATIVE.use_team(ctypes.cast(library.GOMP_parallel, ctypes.c_void_p).value)
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


HOST = torch.device("cpu")  # whatever the default device is


def wide(x: Tensor) -> Tensor:
    """Half precision as float32: a product is not rounded before it is multiplied further."""
    return x.float() if x.dtype.itemsize < 4 else x


def keep(ctx: Any, *values: Any) -> None:
    """For the backward pass: tensors where autograd sees whether they are changed meanwhile, others as they are."""
    ctx.is_tensor = [isinstance(v, Tensor) for v in values]
    ctx.others = [None if isinstance(v, Tensor) else v for v in values]
    ctx.save_for_backward(*[v for v in values if isinstance(v, Tensor)])


def kept(ctx: Any) -> list[Any]:
    tensors = iter(ctx.saved_tensors)
    places = zip(ctx.is_tensor, ctx.others, strict=True)
    return [next(tensors) if is_tensor else other for is_tensor, other in places]


def numbers_of(labels: Tensor) -> Any:
    """For a message."""
    return (labels.float() if labels.dtype == torch.bfloat16 else labels).numpy()


# ---------------------------------------------------------------------------------------------------------------
# Binary
# ---------------------------------------------------------------------------------------------------------------


class BinaryOptions(NamedTuple):
    """What is no tensor in a binary loss."""

    smoothing: float
    mixed: bool
    reduction: str
    formula: Any = None  # the same loss of (x, y), where the kernels have no second derivative
    check: bool = True  # whether a label that is none is an error


def run_binary(
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
    total, bad = _kernels.NATIVE.binary(
        options.mixed,
        tuple(shape),
        *[_operand(a, shape) for a in (x, y, gamma, positive, negative, upstream)],
        options.smoothing,
        *[0 if r is None else r.data_ptr() for r in results],
        _kernels.num_threads(torch.get_num_threads()),
        _HAS_TEAM,
    )
    if bad >= 0 and options.check:
        _losses.complain_of_binary(numbers_of(y))
    return total


def compute_binary(order: int, upstream: Parameter, x: Tensor, *rest: Any) -> Tensor:
    """The value (order 0), reduced as the options say, or upstream times the derivative of this order, unreduced."""
    if order == 0 and rest[-1].reduction != "none":
        return _reduced(run_binary((None, None, None), 1.0, x, *rest), x, rest[-1])
    result = torch.empty(x.shape, dtype=x.dtype, device=HOST)
    run_binary(tuple(result if k == order else None for k in range(3)), upstream, x, *rest)
    return result


def _reduced(total: float, x: Tensor, options: BinaryOptions) -> Tensor:
    return torch.scalar_tensor(total * _share(x, options), dtype=x.dtype, device=HOST)


def _share(x: Tensor, options: BinaryOptions) -> float:
    return 1 / max(x.numel(), 1) if options.reduction == "mean" else 1.0


class _Binary(torch.autograd.Function):
    """`compute_binary` of an eager tensor. Nothing but its inputs is kept for the backward pass."""

    @staticmethod
    def forward(ctx: Any, order: int, upstream: Parameter, x: Tensor, y: Tensor, *rest: Any) -> Tensor:
        ctx.order = order
        keep(ctx, upstream, x, y, *rest)
        return compute_binary(order, upstream, x, y, *rest)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        upstream, x, y, *rest = kept(ctx)
        in_upstream = None
        if ctx.order > 1:
            raise NotImplementedError("the focal loss gives first and second derivatives, not third ones")
        if ctx.order == 1:
            if ctx.needs_input_grad[1]:
                in_upstream = _times(1, grad, x, y, *rest).sum_to_size(upstream.shape)
            in_x = _times(2, wide(grad) * (upstream if isinstance(upstream, float) else wide(upstream)), x, y, *rest)
        else:
            in_x = _first(grad, x, y, *rest)
        return None, in_upstream, in_x, None, None, None, None, None


class _ReducedBinary(torch.autograd.Function):
    """A mean or a sum: the gradient is computed together with it, in one pass over the logits.

    A reduced loss is nearly always what `backward` is called on: then its upstream gradient is 1 and the gradient is
    ready. It takes the memory that the backward pass would take a moment later. For any other upstream gradient, and a
    second time, it is computed anew from the inputs.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, *rest: Any) -> Tensor:
        keep(ctx, x, y, *rest)
        ctx.gradient = torch.empty(x.shape, dtype=x.dtype, device=HOST)
        return _reduced(run_binary((None, ctx.gradient, None), _share(x, rest[-1]), x, y, *rest), x, rest[-1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        x, y, *rest = kept(ctx)
        ready, ctx.gradient = ctx.gradient, None
        if ready is None or torch.is_grad_enabled() or _is_batched(grad) or grad.item() != 1:
            ready = _first(wide(grad) * _share(x, rest[-1]), x, y, *rest)
        return ready, None, None, None, None, None


def _first(upstream: Tensor, x: Tensor, y: Tensor, *rest: Any) -> Tensor:
    """Upstream times the first derivative, for whoever may want another one of it."""
    if torch.is_grad_enabled() and rest[-1].formula is not None:
        unreduced = rest[-1].formula(x, y)
        upstream = upstream.to(x.dtype).expand(x.shape)
        return torch.autograd.grad(unreduced, x, upstream, create_graph=True)[0]
    return _times(1, upstream, x, y, *rest)


def _is_batched(x: Tensor) -> bool:
    """Whether `vmap` of either kind is at work: then a tensor has no memory that a kernel could read."""
    functorch = torch._C._functorch
    return functorch.peek_interpreter_stack() is not None or functorch.is_legacy_batchedtensor(x)


def _times(order: int, upstream: Tensor, x: Tensor, *rest: Any) -> Tensor:
    """The derivative of this order times `upstream`, in the dtype of the logits."""
    if _is_batched(upstream):
        return (wide(upstream) * binary(order, 1.0, x, *rest)).to(x.dtype)
    return binary(order, upstream if upstream.layout == torch.strided else upstream.to_dense(), x, *rest)


def binary(order: int, upstream: Parameter, x: Tensor, *rest: Any) -> Tensor:
    """`compute_binary`, recorded for autograd where that is on."""
    if not torch.is_grad_enabled():
        return compute_binary(order, upstream, x, *rest)
    if order == 0 and rest[-1].reduction != "none" and x.requires_grad:
        return _ReducedBinary.apply(x, *rest)
    return _Binary.apply(order, upstream, x, *rest)


# ---------------------------------------------------------------------------------------------------------------
# Softmax
# ---------------------------------------------------------------------------------------------------------------


class SoftmaxOptions(NamedTuple):
    """What is no tensor in a softmax loss."""

    gamma: list[float]  # one, or one per class
    weight: list[float]
    axis: int
    sparse: bool
    ignore: int | None
    smoothing: float
    reduction: str
    check: bool = True


def compute_softmax(
    order: int, upstream: Parameter, x: Tensor, y: Tensor, options: SoftmaxOptions
) -> tuple[Tensor, int]:
    """As `compute_binary`, for orders 0 and 1, and how many examples are not ignored."""
    axis = options.axis
    rest = x.shape[:axis] + x.shape[axis + 1 :]
    shape = (rest[:axis].numel(), x.shape[axis], rest[axis:].numel())
    result = None
    if order or options.reduction == "none":
        result = torch.empty(x.shape if order else rest, dtype=x.dtype, device=HOST)
    addresses = [0, 0, 0]
    addresses[order] = 0 if result is None else result.data_ptr()
    logits, labels = x.reshape(shape), y.reshape((shape[0], 1, shape[2]) if options.sparse else shape)
    if not isinstance(upstream, float) and upstream.ndim:
        upstream = upstream.reshape(shape[0], shape[2])
    total, count, bad = _kernels.NATIVE.softmax(
        shape,
        _operand(logits, logits.shape),
        _operand(labels, labels.shape),
        options.sparse,
        options.ignore,
        options.gamma,
        options.weight,
        _operand(upstream, torch.Size((shape[0], shape[2]))),
        options.smoothing,
        *addresses,
        _kernels.num_threads(torch.get_num_threads()),
        _HAS_TEAM,
    )
    if bad >= 0 and options.check:
        _losses.complain_of_classes(numbers_of(y), x.shape[axis], options.ignore)
    if result is None:
        total = total / max(count, 1) if options.reduction == "mean" else total
        result = torch.scalar_tensor(total, dtype=x.dtype, device=HOST)
    return result, count


class _Softmax(torch.autograd.Function):
    """`compute_softmax` of an eager tensor. `formula` is the same loss, for whoever wants a second derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, options: SoftmaxOptions, formula: Any) -> Tensor:
        ctx.save_for_backward(x, y)
        ctx.options, ctx.formula = options, formula
        value, ctx.count = compute_softmax(0, 1.0, x, y, options)
        return value

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        x, y = ctx.saved_tensors
        if torch.is_grad_enabled():
            (in_x,) = torch.autograd.grad(ctx.formula(x, y), x, grad, create_graph=True)
            return in_x, None, None, None
        grad = wide(grad if grad.layout == torch.strided else grad.to_dense())
        if ctx.options.reduction == "mean":
            grad = grad / max(ctx.count, 1)
        if _is_batched(grad):
            unit = compute_softmax(1, 1.0, x, y, ctx.options)[0]
            grad = grad if ctx.options.reduction != "none" else grad.unsqueeze(ctx.options.axis)
            return (grad * unit).to(x.dtype), None, None, None
        return compute_softmax(1, grad, x, y, ctx.options)[0], None, None, None


def softmax(x: Tensor, y: Tensor, options: SoftmaxOptions, formula: Any) -> Tensor:
    """The value, reduced as the options say, recorded for autograd where that is on."""
    if torch.is_grad_enabled():
        return _Softmax.apply(x, y, options, formula)
    return compute_softmax(0, 1.0, x, y, options)[0]
