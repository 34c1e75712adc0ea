"""What the kernels of every device are handed, and what autograd keeps of it."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from focal_loss.torch._private import is_under_a_mode

Parameter: TypeAlias = Any  # a tensor, or a float


class BinaryOptions(NamedTuple):
    """What is no tensor in a binary loss."""

    smoothing: float
    p_t_loss: bool
    reduction: str
    float32: bool = False  # losses of half precision are float32, unreduced ones too
    formula: Any = None  # the same loss of (x, y), where the kernels have no second derivative
    check: bool = True  # whether a label that is none is an error


class SoftmaxOptions(NamedTuple):
    """What is no tensor in a softmax loss."""

    gamma: list[float] | Tensor  # one, or one per class
    weight: list[float] | Tensor
    axis: int
    sparse: bool
    ignore: int | None
    smoothing: float
    reduction: str
    float32: bool = False
    check: bool = True


def is_plain(x: Tensor) -> bool:
    """Whether a tensor has memory of its own that holds its numbers as they are."""
    return type(x) in (Tensor, torch.nn.Parameter) and x.layout == torch.strided and not x.is_neg()


def is_traced(x: Tensor) -> bool:
    """Whether something records what is done with a tensor, or runs it without its numbers."""
    return is_under_a_mode() or not is_plain(x)


def reduction_weight(x: Tensor, options: BinaryOptions) -> float:
    """Factor of each element under the reduction: 1/N for "mean", else 1."""
    return 1 / max(x.numel(), 1) if options.reduction == "mean" else 1.0


def is_counted(y: Tensor, ignore: int) -> Tensor:
    """Whether an example is not ignored. Narrow integers are widened: in uint8, -100 would be 156."""
    return (y if y.is_floating_point() else y.long()) != ignore


def reduction_weight_of_example(x: Tensor, y: Tensor, options: SoftmaxOptions) -> Parameter:
    """Factor of each example that is not ignored; a tensor where only the device of `y` knows how many those are."""
    if options.reduction != "mean":
        return 1.0
    if options.ignore is not None:
        count = is_counted(y, options.ignore).sum()
        if y.device.type == "cpu" and not is_traced(y):
            return 1 / max(int(count), 1)
        return 1.0 / count.clamp(min=1).float()
    return 1 / max(x.numel() // max(x.shape[options.axis], 1), 1)


def under_autocast(x: Tensor) -> bool:
    """Whether every loss of these half-precision logits is to be float32, as torch's own losses are."""
    device = x.device.type
    return x.dtype.itemsize < 4 and torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def dtype_of_results(order: int, x: Tensor, options: BinaryOptions | SoftmaxOptions) -> torch.dtype:
    """Derivatives and losses per example have the dtype of the logits; a mean or a sum of half precision is float32."""
    narrow = order > 0 or (options.reduction == "none" and not options.float32)
    return x.dtype if narrow or x.dtype.itemsize >= 4 else torch.float32


def at_least_float32(x: Tensor) -> Tensor:
    """The tensor, half precision as float32: a product of it is not rounded before it is multiplied further."""
    return x.float() if x.dtype.itemsize < 4 else x


def save_for_backward(ctx: Any, *values: Any) -> None:
    """For the backward pass: tensors where autograd sees whether they are changed meanwhile, others as they are."""
    ctx.is_tensor = [isinstance(v, Tensor) for v in values]
    ctx.others = [None if isinstance(v, Tensor) else v for v in values]
    ctx.save_for_backward(*[v for v in values if isinstance(v, Tensor)])


def saved(ctx: Any) -> list[Any]:
    tensors = iter(ctx.saved_tensors)
    places = zip(ctx.is_tensor, ctx.others, strict=True)
    return [next(tensors) if is_tensor else other for is_tensor, other in places]
