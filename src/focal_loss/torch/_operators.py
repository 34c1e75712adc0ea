"""The kernels as torch operators: opaque to `torch.compile` and `torch.export`, which so break no graph.

They have fake tensors, autograd and vmap of their own. Like all compiled code they do not complain of labels: a class
index out of range makes the loss of its example NaN.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from focal_loss.torch._autograd import kernels
from focal_loss.torch._options import (
    BinaryOptions,
    Parameter,
    SoftmaxOptions,
    dtype_of_results,
    is_counted,
    keep,
    kept,
    wide,
)

LIBRARY = torch.library.Library("focal_loss", "DEF")
LIBRARY.define(
    "binary(int order, Tensor? upstream, Tensor logits, Tensor labels, Tensor? gamma, Tensor? positive, "
    "Tensor? negative, float[] numbers, bool mixed, str reduction, bool float32) -> Tensor"
)
LIBRARY.define(
    "softmax(int order, Tensor? upstream, Tensor logits, Tensor labels, float[] gamma, float[] weight, int axis, "
    "bool sparse, int? ignore, float smoothing, str reduction, bool float32) -> Tensor"
)


def binary_operator(x: Tensor, y: Tensor, parameters: tuple[Parameter, ...], options: BinaryOptions) -> Tensor:
    """`binary` of order 0, as an operator."""
    tensors = [p if isinstance(p, Tensor) else None for p in parameters]
    numbers = [p if isinstance(p, float) else 1.0 for p in parameters] + [options.smoothing]
    return torch.ops.focal_loss.binary(
        0, None, x, y, *tensors, numbers, options.mixed, options.reduction, options.float32
    )


def softmax_operator(x: Tensor, y: Tensor, options: SoftmaxOptions) -> Tensor:
    """`softmax`, as an operator."""
    return torch.ops.focal_loss.softmax(0, None, x, y, *options[:-1])


@torch.library.impl(LIBRARY, "binary", "CPU")
@torch.library.impl(LIBRARY, "binary", "CUDA")
def _binary(
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
    float32: bool,
) -> Tensor:
    places = zip((gamma, positive, negative), numbers, strict=False)
    parameters = [number if tensor is None else tensor for tensor, number in places]
    options = BinaryOptions(numbers[3], mixed, reduction, float32, check=False)
    return kernels(x).binary(order, 1.0 if upstream is None else upstream, x, y, *parameters, options)


@torch.library.impl(LIBRARY, "softmax", "CPU")
@torch.library.impl(LIBRARY, "softmax", "CUDA")
def _softmax(order: int, upstream: Tensor | None, x: Tensor, y: Tensor, *options: Any) -> Tensor:
    given = SoftmaxOptions(*options)._replace(check=False)
    return kernels(x).softmax(order, 1.0 if upstream is None else upstream, x, y, given)


@torch.library.register_fake("focal_loss::binary", lib=LIBRARY)
def _binary_fake(order: int, upstream: Tensor | None, x: Tensor, y: Tensor, *rest: Any) -> Tensor:
    numbers, *others = rest[-4:]
    options = BinaryOptions(numbers[3], *others)
    shape = x.shape if order or options.reduction == "none" else ()
    return x.new_empty(shape, dtype=dtype_of_results(order, x, options))


@torch.library.register_fake("focal_loss::softmax", lib=LIBRARY)
def _softmax_fake(order: int, upstream: Tensor | None, x: Tensor, y: Tensor, *rest: Any) -> Tensor:
    options = SoftmaxOptions(*rest)
    unreduced = x.shape[: options.axis] + x.shape[options.axis + 1 :]
    shape = x.shape if order else unreduced if options.reduction == "none" else ()
    return x.new_empty(shape, dtype=dtype_of_results(order, x, options))


def _keep_inputs(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.order, *values = inputs
    keep(ctx, *values)


def _binary_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    upstream, x, y, *rest = kept(ctx)
    operator, in_upstream = torch.ops.focal_loss.binary, None
    if ctx.order == 0:
        if rest[-2] == "mean":
            grad = wide(grad) / max(x.numel(), 1)
        in_x = operator(1, grad, x, y, *rest)
    elif ctx.order == 1:
        if rest[-3]:
            raise NotImplementedError("the compiled form of the p_t-mixed focal loss gives first derivatives only")
        in_upstream = wide(operator(1, grad, x, y, *rest)).sum_to_size(upstream.shape)
        in_x = operator(2, wide(grad) * wide(upstream), x, y, *rest)
    else:
        raise NotImplementedError("the focal loss gives first and second derivatives, not third ones")
    return None, in_upstream, in_x, *(None,) * (1 + len(rest))


def _softmax_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    _, x, y, *rest = kept(ctx)
    if ctx.order:
        raise NotImplementedError("the compiled softmax focal loss gives first derivatives only")
    if rest[-2] == "mean":
        ignore = rest[4]
        count = y.numel() // (1 if rest[3] else max(x.shape[rest[2]], 1))
        grad = wide(grad) / (max(count, 1) if ignore is None else is_counted(y, ignore).sum().clamp(min=1))
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
    *tensors, numbers, mixed, reduction, float32 = arguments
    rank = tensors[1].ndim - (dims[2] is not None)
    tensors = [_batch_first(t, dim, rank) for t, dim in zip(tensors, dims[1:], strict=False)]
    tensors[1] = tensors[1].expand(info.batch_size, *tensors[1].shape[1:])
    float32 = float32 or reduction != "none"
    result = torch.ops.focal_loss.binary(order, *tensors, numbers, mixed, "none", float32)
    return _reduce_each(result, reduction if order == 0 else "none"), 0


@torch.library.register_vmap("focal_loss::softmax", lib=LIBRARY)
def _softmax_vmap(info: Any, dims: tuple[Any, ...], order: int, *arguments: Any) -> tuple[Tensor, int]:
    upstream, x, y, gamma, weight, axis, sparse, ignore, smoothing, reduction, float32 = arguments
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
        order,
        upstream,
        x,
        y,
        gamma,
        weight,
        axis + 1,
        sparse,
        ignore,
        smoothing,
        "none",
        float32 or reduction != "none",
    )
    if order == 0 and reduction == "mean" and ignore is not None:
        count = is_counted(y, ignore).flatten(1).sum(1).clamp(min=1)
        return result.flatten(1).sum(1) / count, 0
    return _reduce_each(result, reduction if order == 0 else "none"), 0


def _reduce_each(x: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return x
    total = x.flatten(1).sum(1)
    return total / max(x[0].numel(), 1) if reduction == "mean" else total
