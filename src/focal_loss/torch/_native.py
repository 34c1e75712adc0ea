"""The native kernels as torch operators, and as autograd functions for eager tensors.

Two doors to the same kernels. An eager tensor goes through an autograd function, which costs less than an operator
of `torch.library`; `torch.compile`, `torch.export` and fake tensors see the operators, which are opaque to them and so
break no graph. A derivative is the same function at the next order, times what comes from above.
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


# ---------------------------------------------------------------------------------------------------------------
# Binary
# ---------------------------------------------------------------------------------------------------------------


class BinaryOptions(NamedTuple):
    """What is no tensor in a binary loss."""

    smoothing: float
    mixed: bool
    reduction: str
    formula: Any = None  # the same loss of (x, y), where the kernels have no second derivative


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
    if bad >= 0:
        _losses.complain_of_binary(y.numpy())
    return total


def compute_binary(order: int, upstream: Parameter, x: Tensor, *rest: Any) -> Tensor:
    """The value (order 0), reduced as the options say, or upstream times the derivative of this order, unreduced."""
    if order == 0 and rest[-1].reduction != "none":
        return _reduced(run_binary((None, None, None), 1.0, x, *rest), x, rest[-1])
    result = torch.empty(x.shape, dtype=x.dtype)
    run_binary(tuple(result if k == order else None for k in range(3)), upstream, x, *rest)
    return result


def _reduced(total: float, x: Tensor, options: BinaryOptions) -> Tensor:
    return torch.scalar_tensor(total * _share(x, options), dtype=x.dtype)


def _share(x: Tensor, options: BinaryOptions) -> float:
    return 1 / max(x.numel(), 1) if options.reduction == "mean" else 1.0


class _Binary(torch.autograd.Function):
    """`compute_binary` of an eager tensor. Nothing but its inputs is kept for the backward pass."""

    @staticmethod
    def forward(ctx: Any, order: int, upstream: Parameter, x: Tensor, y: Tensor, *rest: Any) -> Tensor:
        ctx.order, ctx.rest = order, rest
        ctx.save_for_backward(x, y, upstream if order else None)
        return compute_binary(order, upstream, x, y, *rest)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        x, y, upstream = ctx.saved_tensors
        in_upstream = None
        if ctx.order > 1:
            raise NotImplementedError("the focal loss gives first and second derivatives, not third ones")
        if ctx.order == 1:
            if ctx.needs_input_grad[1]:
                in_upstream = _times(1, grad, x, y, *ctx.rest).sum_to_size(upstream.shape)
            in_x = _times(2, grad * upstream, x, y, *ctx.rest)
        else:
            in_x = _first(grad, x, y, *ctx.rest)
        return None, in_upstream, in_x, None, None, None, None, None


class _ReducedBinary(torch.autograd.Function):
    """A mean or a sum: the gradient is computed together with it, in one pass over the logits.

    A reduced loss is nearly always what `backward` is called on: then its upstream gradient is 1 and the gradient is
    ready. It takes the memory that the backward pass would take a moment later. For any other upstream gradient, and a
    second time, it is computed anew from the inputs.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, *rest: Any) -> Tensor:
        ctx.rest = rest
        ctx.save_for_backward(x, y)
        ctx.gradient = torch.empty(x.shape, dtype=x.dtype)
        return _reduced(run_binary((None, ctx.gradient, None), _share(x, rest[-1]), x, y, *rest), x, rest[-1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        x, y = ctx.saved_tensors
        ready, ctx.gradient = ctx.gradient, None
        if ready is None or torch.is_grad_enabled() or _is_batched(grad) or grad.item() != 1:
            ready = _first(grad * _share(x, ctx.rest[-1]), x, y, *ctx.rest)
        return ready, None, None, None, None, None


def _first(upstream: Tensor, x: Tensor, y: Tensor, *rest: Any) -> Tensor:
    """Upstream times the first derivative, for whoever may want another one of it."""
    if torch.is_grad_enabled() and rest[-1].formula is not None:
        unreduced = rest[-1].formula(x, y)
        return torch.autograd.grad(unreduced, x, upstream.expand(x.shape), create_graph=True)[0]
    return _times(1, upstream, x, y, *rest)


def _is_batched(x: Tensor) -> bool:
    """Whether `vmap` of either kind is at work: then a tensor has no memory that a kernel could read."""
    functorch = torch._C._functorch
    return functorch.peek_interpreter_stack() is not None or functorch.is_legacy_batchedtensor(x)


def _times(order: int, upstream: Tensor, *rest: Any) -> Tensor:
    """The derivative of this order times `upstream`."""
    if _is_batched(upstream):
        return upstream * binary(order, 1.0, *rest)
    return binary(order, upstream, *rest)


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


def compute_softmax(
    order: int, upstream: Parameter, x: Tensor, y: Tensor, options: SoftmaxOptions
) -> tuple[Tensor, int]:
    """As `compute_binary`, for orders 0 and 1, and how many examples are not ignored."""
    axis = options.axis
    rest = x.shape[:axis] + x.shape[axis + 1 :]
    shape = (rest[:axis].numel(), x.shape[axis], rest[axis:].numel())
    result = torch.empty(x.shape if order else rest, dtype=x.dtype) if order or options.reduction == "none" else None
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
    if bad >= 0:
        _losses.complain_of_classes(y.numpy(), x.shape[axis], options.ignore)
    if result is None:
        result = torch.scalar_tensor(total / max(count, 1) if options.reduction == "mean" else total, dtype=x.dtype)
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
        if ctx.options.reduction == "mean":
            grad = grad / max(ctx.count, 1)
        if _is_batched(grad):
            unit = compute_softmax(1, 1.0, x, y, ctx.options)[0]
            grad = grad if ctx.options.reduction != "none" else grad.unsqueeze(ctx.options.axis)
            return grad * unit, None, None, None
        return compute_softmax(1, grad, x, y, ctx.options)[0], None, None, None


def softmax(x: Tensor, y: Tensor, options: SoftmaxOptions, formula: Any) -> Tensor:
    """The value, reduced as the options say, recorded for autograd where that is on."""
    if torch.is_grad_enabled():
        return _Softmax.apply(x, y, options, formula)
    return compute_softmax(0, 1.0, x, y, options)[0]


# ---------------------------------------------------------------------------------------------------------------
# Operators
# ---------------------------------------------------------------------------------------------------------------

LIBRARY = torch.library.Library("focal_loss", "DEF")
LIBRARY.define(
    "binary(int order, Tensor? upstream, Tensor logits, Tensor labels, Tensor? gamma, Tensor? positive, "
    "Tensor? negative, float[] numbers, bool mixed, str reduction) -> Tensor"
)
LIBRARY.define(
    "softmax(int order, Tensor? upstream, Tensor logits, Tensor labels, float[] gamma, float[] weight, int axis, "
    "bool sparse, int? ignore, float smoothing, str reduction) -> Tensor"
)


def binary_operator(x: Tensor, y: Tensor, parameters: tuple[Parameter, ...], options: BinaryOptions) -> Tensor:
    """`binary` of order 0, as an operator."""
    tensors = [p if isinstance(p, Tensor) else None for p in parameters]
    numbers = [p if isinstance(p, float) else 1.0 for p in parameters] + [options.smoothing]
    return torch.ops.focal_loss.binary(0, None, x, y, *tensors, numbers, options.mixed, options.reduction)


def softmax_operator(x: Tensor, y: Tensor, options: SoftmaxOptions) -> Tensor:
    """`softmax`, as an operator."""
    return torch.ops.focal_loss.softmax(0, None, x, y, *options)


@torch.library.impl(LIBRARY, "binary", "CPU")
def _binary_cpu(
    order: int,
    upstream: Tensor | None,
    x: Tensor,
    y: Tensor,
    gamma: Tensor | None,
    positive: Tensor | None,
    negative: Tensor | None,
    numbers: list[float],
    mixed: bool,
    reduction: str,
) -> Tensor:
    places = zip((gamma, positive, negative), numbers, strict=False)
    parameters = [number if tensor is None else tensor for tensor, number in places]
    options = BinaryOptions(numbers[3], mixed, reduction)
    return compute_binary(order, 1.0 if upstream is None else upstream, x, y, *parameters, options)


@torch.library.impl(LIBRARY, "softmax", "CPU")
def _softmax_cpu(order: int, upstream: Tensor | None, x: Tensor, y: Tensor, *options: Any) -> Tensor:
    return compute_softmax(order, 1.0 if upstream is None else upstream, x, y, SoftmaxOptions(*options))[0]


@torch.library.register_fake("focal_loss::binary", lib=LIBRARY)
def _binary_fake(order: int, upstream: Tensor | None, x: Tensor, y: Tensor, *rest: Any) -> Tensor:
    return x.new_empty(x.shape if order or rest[-1] == "none" else ())


@torch.library.register_fake("focal_loss::softmax", lib=LIBRARY)
def _softmax_fake(order: int, upstream: Tensor | None, x: Tensor, y: Tensor, *rest: Any) -> Tensor:
    axis, reduction = rest[2], rest[-1]
    unreduced = x.shape[:axis] + x.shape[axis + 1 :]
    return x.new_empty(x.shape if order else unreduced if reduction == "none" else ())


def _keep_inputs(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    order, upstream, x, y, *ctx.rest = inputs
    ctx.order = order
    tensors = [a for a in ctx.rest if isinstance(a, Tensor)]
    ctx.is_tensor = [isinstance(a, Tensor) for a in ctx.rest]
    ctx.rest = [None if isinstance(a, Tensor) else a for a in ctx.rest]
    ctx.save_for_backward(upstream, x, y, *tensors)


def _kept(ctx: Any) -> tuple[Any, ...]:
    upstream, x, y, *tensors = ctx.saved_tensors
    queue = iter(tensors)
    places = zip(ctx.is_tensor, ctx.rest, strict=True)
    return upstream, x, y, [next(queue) if is_tensor else other for is_tensor, other in places]


def _binary_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    upstream, x, y, rest = _kept(ctx)
    operator, in_upstream = torch.ops.focal_loss.binary, None
    if ctx.order == 0:
        if rest[-1] == "mean":
            grad = grad / max(x.numel(), 1)
        in_x = operator(1, grad, x, y, *rest)
    elif ctx.order == 1:
        if rest[-2]:
            raise NotImplementedError("the compiled form of the p_t-mixed focal loss gives first derivatives only")
        in_upstream = operator(1, grad, x, y, *rest).sum_to_size(upstream.shape)
        in_x = operator(2, grad * upstream, x, y, *rest)
    else:
        raise NotImplementedError("the focal loss gives first and second derivatives, not third ones")
    return None, in_upstream, in_x, *(None,) * (1 + len(rest))


def _softmax_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    _, x, y, rest = _kept(ctx)
    if ctx.order:
        raise NotImplementedError("the compiled softmax focal loss gives first derivatives only")
    if rest[-1] == "mean":
        ignore = rest[4]
        count = y.numel() // (1 if rest[3] else max(x.shape[rest[2]], 1))
        grad = grad / (max(count, 1) if ignore is None else (y != ignore).sum().clamp(min=1))
    return None, None, torch.ops.focal_loss.softmax(1, grad, x, y, *rest), *(None,) * (1 + len(rest))


torch.library.register_autograd("focal_loss::binary", _binary_backward, setup_context=_keep_inputs, lib=LIBRARY)
torch.library.register_autograd("focal_loss::softmax", _softmax_backward, setup_context=_keep_inputs, lib=LIBRARY)


def _batch_first(x: Any, dim: int | None, rank: int) -> Any:
    """With the batch in front, of length 1 where there is none, and `rank` axes behind it."""
    if not isinstance(x, Tensor):
        return x
    x = x.unsqueeze(0) if dim is None else x.movedim(dim, 0)
    return x.reshape(x.shape[0], *(1,) * (rank + 1 - x.ndim), *x.shape[1:])


@torch.library.register_vmap("focal_loss::binary", lib=LIBRARY)
def _binary_vmap(info: Any, dims: tuple[Any, ...], order: int, *arguments: Any) -> tuple[Tensor, int]:
    *tensors, numbers, mixed, reduction = arguments
    rank = tensors[1].ndim - (dims[2] is not None)
    tensors = [_batch_first(t, dim, rank) for t, dim in zip(tensors, dims[1:], strict=False)]
    tensors[1] = tensors[1].expand(info.batch_size, *tensors[1].shape[1:])
    result = torch.ops.focal_loss.binary(order, *tensors, numbers, mixed, "none")
    return _reduce_each(result, reduction if order == 0 else "none"), 0


@torch.library.register_vmap("focal_loss::softmax", lib=LIBRARY)
def _softmax_vmap(info: Any, dims: tuple[Any, ...], order: int, *arguments: Any) -> tuple[Tensor, int]:
    upstream, x, y, gamma, weight, axis, sparse, ignore, smoothing, reduction = arguments
    rank = x.ndim - (dims[2] is not None)
    ranks = (rank - 1, rank, rank - sparse)
    tensors: list[Any] = [
        None if t is None else _batch_first(t, dim, r).expand(info.batch_size, *(-1,) * r)
        for t, dim, r in zip((upstream, x, y), dims[1:4], ranks, strict=True)
    ]
    upstream, x, y = tensors
    if upstream is not None:
        upstream = upstream.expand(x.shape[: axis + 1] + x.shape[axis + 2 :])
    result = torch.ops.focal_loss.softmax(
        order, upstream, x, y, gamma, weight, axis + 1, sparse, ignore, smoothing, "none"
    )
    if order == 0 and reduction == "mean" and ignore is not None:
        count = (y != ignore).flatten(1).sum(1).clamp(min=1)
        return result.flatten(1).sum(1) / count, 0
    return _reduce_each(result, reduction if order == 0 else "none"), 0


def _reduce_each(x: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return x
    total = x.flatten(1).sum(1)
    return total / max(x[0].numel(), 1) if reduction == "mean" else total
