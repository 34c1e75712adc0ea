"""The call of a loss in the form for the kernels of every device, and properties of its results."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from focal_loss._core.options import Reduction
from focal_loss.torch._private import is_traced

Parameter: TypeAlias = Any  # a tensor, or a float


class BinaryCall(NamedTuple):
    """A binary loss: the fields of `pipeline.BinaryCall`, and torch's own."""

    x: Tensor
    y: Tensor
    gamma: Parameter
    positive: Parameter
    negative: Parameter
    smoothing: float
    p_t_loss: bool
    reduction: Reduction
    float32: bool = False  # losses of half precision are float32, unreduced ones too
    formula: Any = None  # the same loss of (x, y), where the kernels have no second derivative
    check: bool = True  # whether an invalid label is an error
    member: Any = None
    divisor: float | None = None  # of a mean, where `x` is a part of what it is taken over

    def of(self, x: Tensor | None, y: Tensor | None) -> BinaryCall:
        """The same call of other tensors."""
        return BinaryCall(x, y, *self[2:])


class Shard(NamedTuple):
    """The place of some of the classes among those of all shards."""

    begin: int
    all_classes: int
    whole: Tensor | None = None  # the three numbers of each example, of all shards: `softmax.Part`, stacked


class SoftmaxCall(NamedTuple):
    """A softmax loss: the fields of `pipeline.SoftmaxCall` that the kernels read, and torch's own."""

    x: Tensor
    y: Tensor
    gamma: list[float] | Tensor  # one, one per class, or a tensor with one per example and as many axes as `x`
    weight: list[float] | Tensor
    axis: int
    sparse: bool
    ignore: int | None
    smoothing: float
    reduction: Reduction
    float32: bool = False
    formula: Any = None  # the same loss of (x, y), for second derivatives
    check: bool = True
    shard: Shard | None = None  # where `x` has only some of the classes; labels, gamma and weights are those of all
    divisor: float | Tensor | None = None  # of a mean, where `x` is a part of what it is taken over

    def of(self, x: Tensor | None, y: Tensor | None) -> SoftmaxCall:
        """The same call of other tensors."""
        return SoftmaxCall(x, y, *self[2:])


def reduction_weight(call: BinaryCall) -> float:
    """Factor of each element under the reduction: 1/N for "mean", else 1."""
    if call.reduction != "mean":
        return 1.0
    return 1 / (max(call.x.numel(), 1) if call.divisor is None else call.divisor)


def is_counted(y: Tensor, ignore: int) -> Tensor:
    """Whether an example is not ignored. Narrow integers are widened: in uint8, -100 would be 156."""
    return (y if y.is_floating_point() else y.long()) != ignore


def numbers_of(labels: Tensor) -> np.ndarray[Any, Any]:
    """The numbers of a tensor on the host as a NumPy array, with bfloat16 widened and lazy negations resolved."""
    narrow = labels.is_floating_point() and labels.dtype.itemsize < 4 and labels.dtype != torch.float16
    numbers: np.ndarray[Any, Any] = (labels.detach().float() if narrow else labels.detach()).resolve_neg().numpy()
    return numbers


def reduction_weight_of_example(call: SoftmaxCall) -> Parameter:
    """Factor of each example that is not ignored; a tensor where only the device of `y` knows how many those are."""
    if call.reduction != "mean":
        return 1.0
    if call.divisor is not None:
        return 1 / call.divisor
    if call.ignore is not None:
        if call.y.is_cpu and not is_traced(call.y):  # NumPy counts a few labels in a third of torch's time
            return 1 / max(int(np.count_nonzero(numbers_of(call.y) != call.ignore)), 1)
        return 1.0 / is_counted(call.y, call.ignore).sum().clamp(min=1).float()
    examples = call.y.numel() if call.sparse else call.x.numel() // max(call.x.shape[call.axis], 1)
    return 1 / max(examples, 1)


def dtype_of_results(order: int, call: BinaryCall | SoftmaxCall) -> torch.dtype:
    """The dtype of results: that of the logits for derivatives and losses per example, float32 for a mean or sum of
    half precision.
    """
    narrow = order > 0 or (call.reduction == "none" and not call.float32)
    return call.x.dtype if narrow or call.x.dtype.itemsize >= 4 else torch.float32


def at_least_float32(x: Tensor) -> Tensor:
    """The tensor, half precision as float32, so that products of it are rounded only once."""
    return x.float() if x.dtype.itemsize < 4 else x
