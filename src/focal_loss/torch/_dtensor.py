"""Losses of DTensors, by the kernels on the shard of each process.

Labels and parameters are redistributed to the placements of the logits; partial logits are summed first. A binary loss
is computed where its logits are, whatever they are sharded by. In a softmax loss the mesh dimensions that shard the
classes exchange sums over them (`_class_shards.py`, `_every_class.py`); the others need no exchange. A loss per example
is sharded as its logits are, without the axis of classes. A mean or a sum is partial over the mesh dimensions that
shard the examples, as those of PyTorch's own losses are; a mean divides by the number of all examples.

Invalid labels are not refused: only the process that holds one would raise, while others wait for it. The loss of a
class index out of range is NaN.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor, Partial, Placement, Replicate, Shard

from focal_loss._core import binary_losses, pipeline, softmax_losses
from focal_loss.torch._calls import Shard as ClassShard
from focal_loss.torch._calls import SoftmaxCall, is_counted
from focal_loss.torch._class_shards import Exchange, loss_of_shards
from focal_loss.torch._every_class import loss_of_every_class
from focal_loss.torch._operators import per_class
from focal_loss.torch._private import is_ordinary

Placements = tuple[Placement, ...]


class Layout(NamedTuple):
    """How a tensor of this shape lies on a mesh."""

    mesh: Any
    placements: Placements
    shape: torch.Size


def is_covered(x: Tensor, *others: Any) -> bool:
    """Whether the tensors lie on one mesh in the usual ways, and nothing is differentiated but the logits."""
    if not is_ordinary():
        return False
    for a in (x, *others):
        if not isinstance(a, Tensor):
            continue
        if not isinstance(a, DTensor) or a.device_mesh != x.device_mesh:
            return False
        if not all(type(p) in (Shard, Replicate) or isinstance(p, Partial) for p in a.placements):
            return False
    return not any(isinstance(a, Tensor) and a.requires_grad for a in others)


def layout_of(x: DTensor, shape: torch.Size) -> Layout:
    """The layout of a result of this shape, to which the logits broadcast. Partial logits are summed, those sharded
    along an axis of length 1, which may broadcast, are gathered.
    """

    def kept(placement: Placement) -> Placement:
        if not isinstance(placement, Shard):
            return Replicate()
        axis = placement.dim + len(shape) - x.ndim
        return Shard(axis) if x.shape[placement.dim] > 1 or not shape[axis] else Replicate()

    return Layout(x.device_mesh, tuple(map(kept, x.placements)), shape)


def aligned(a: Any, layout: Layout) -> Any:
    """A tensor that broadcasts to the layout, redistributed to meet it shard by shard. Numbers as they are."""
    if not isinstance(a, DTensor):
        return a
    ahead = len(layout.shape) - a.ndim

    def moved(placement: Placement) -> Placement:
        if not isinstance(placement, Shard) or placement.dim < ahead:
            return Replicate()
        return Replicate() if a.shape[placement.dim - ahead] == 1 else Shard(placement.dim - ahead)

    wanted = tuple(map(moved, layout.placements))
    return a if a.placements == wanted else a.redistribute(placements=wanted)


def local(a: Any) -> Any:
    return a.to_local() if isinstance(a, DTensor) else a


def extent(layout: Layout, axis: int) -> tuple[int, int]:
    """Where the shard of this process begins along an axis, and its length: the parts of `torch.chunk`, in order."""
    begin, length = 0, layout.shape[axis]
    for dim, placement in enumerate(layout.placements):
        if placement.is_shard(axis):
            each = -(-length // layout.mesh.size(dim))
            start = min(layout.mesh.get_local_rank(dim) * each, length)
            begin, length = begin + start, min(each, length - start)
    return begin, length


def is_chunked(x: DTensor, layout: Layout) -> bool:
    """Whether the aligned logits are divided as `distribute_tensor` divides them."""
    ahead = len(layout.shape) - x.ndim
    lengths = [n if n == 1 else extent(layout, k + ahead)[1] for k, n in enumerate(x.shape)]
    return list(local(x).shape) == lengths


class _ToDTensor(torch.autograd.Function):
    """`DTensor.from_local` whose gradient may have any placements, and is itself differentiable."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layout: Layout) -> DTensor:
        mesh, placements, shape = layout
        ctx.placements = placements
        stride = torch.empty(shape, device="meta").stride()
        return DTensor.from_local(x.detach(), mesh, placements, run_check=False, shape=shape, stride=stride)

    @staticmethod
    def backward(ctx: Any, grad: DTensor) -> tuple[Tensor, None]:
        wanted = tuple(Replicate() if isinstance(p, Partial) else p for p in ctx.placements)
        # The upstream gradient of a partial sum is whole, and that of the second derivative in it partial again.
        return grad.redistribute(placements=wanted).to_local(grad_placements=ctx.placements), None


def result(value: Tensor, layout: Layout, reduction: str) -> Tensor:
    """The DTensor of losses per example in this layout, or of their sum in each shard."""
    if reduction != "none":
        placements = tuple(Partial() if isinstance(p, Shard) else p for p in layout.placements)
        layout = Layout(layout.mesh, placements, torch.Size())
    made: Tensor = _ToDTensor.apply(value, layout)
    return made


# ---------------------------------------------------------------------------------------------------------------
# Binary
# ---------------------------------------------------------------------------------------------------------------


def binary(xp: Any, call: pipeline.BinaryCall, float32: bool) -> Tensor | None:
    """The loss, or None if the formula computes the DTensors by PyTorch's own rules."""
    options = call.member.arguments if call.member else (call.gamma, call.positive, call.negative)
    if (call.member and not pipeline.of_numbers(call.member)) or not is_covered(call.x, call.y, *options):
        return None
    shapes = [a.shape for a in (call.x, call.y, *options) if isinstance(a, Tensor)]
    layout = layout_of(call.x, torch.broadcast_shapes(*shapes))
    names = ("x", "y", "gamma", "positive", "negative")
    call = call._replace(**{name: aligned(getattr(call, name), layout) for name in names})
    if not is_chunked(call.x, layout):
        return None
    part = call._replace(**{name: local(getattr(call, name)) for name in names})
    value = xp.binary_kernel(part, float32, check=False, divisor=max(layout.shape.numel(), 1))
    return binary_losses.binary_formula(xp, call) if value is None else result(value, layout, call.reduction)


# ---------------------------------------------------------------------------------------------------------------
# Softmax
# ---------------------------------------------------------------------------------------------------------------


def softmax(xp: Any, formula: Any, call: pipeline.SoftmaxCall, float32: bool) -> Tensor | None:
    """Like `binary`, for a softmax. `formula` is `xp` without kernels and rounding, for second derivatives."""
    parameters = [p for p in (call.gamma, call.weight) if not isinstance(p, float)]
    if not is_covered(call.x, call.y, *parameters):
        return None
    axis, layout = call.axis, layout_of(call.x, call.x.shape)
    x = aligned(call.x, layout)
    if not is_chunked(x, layout):
        return None
    examples = without(layout, axis)
    y = aligned(call.y, examples if call.sparse else layout)
    gamma, weight = (numbers_of(p, layout, axis) for p in (call.gamma, call.weight))
    begin, _ = extent(layout, axis)
    of_torch = SoftmaxCall(
        local(x),
        local(y),
        gamma,
        weight,
        axis,
        call.sparse,
        ignore=call.ignore,
        smoothing=call.smoothing,
        reduction=call.reduction,
        float32=float32,
        check=False,
        shard=ClassShard(begin, layout.shape[axis]),
        divisor=_divisor(call, local(y), examples),
    )
    groups = tuple(layout.mesh.get_group(dim) for dim, p in enumerate(layout.placements) if p == Shard(axis))
    value = None
    if not groups:
        value = xp.softmax_of_shard(of_torch._replace(shard=None, formula=_of_examples(formula, call.spec, of_torch)))
    if value is None:
        one_class = call.sparse and not call.smoothing
        loss = loss_of_shards if one_class else loss_of_every_class
        whole = _of_classes(formula, call._replace(x=None, y=y), layout, examples)
        value = loss(of_torch._replace(formula=whole), Exchange(xp, groups))
    return result(value, examples, call.reduction)


def without(layout: Layout, axis: int) -> Layout:
    """The layout of the examples: without the axis of the classes, and the same on every process that shares them."""

    def kept(placement: Placement) -> Placement:
        if not isinstance(placement, Shard) or placement.dim == axis:
            return Replicate()
        return Shard(placement.dim - (placement.dim > axis))

    shape = layout.shape[:axis] + layout.shape[axis + 1 :]
    return Layout(layout.mesh, tuple(map(kept, layout.placements)), shape)


def numbers_of(p: Any, layout: Layout, axis: int) -> list[float] | Tensor:
    """A parameter as the kernels take it: of all classes, or of the examples of this process."""
    if isinstance(p, float):
        return [p]
    if p.ndim < 2:
        whole: list[float] | Tensor = per_class(p.full_tensor())
        return whole
    wanted = tuple(Replicate() if q == Shard(axis) else q for q in layout.placements)
    mine: Tensor = local(aligned(p, layout._replace(placements=wanted)))
    return mine


def _divisor(call: pipeline.SoftmaxCall, y: Tensor, examples: Layout) -> Any:
    """The divisor of a mean: the number of examples that are not ignored, on all processes."""
    if call.reduction != "mean":
        return None
    if call.ignore is None:
        return max(examples.shape.numel(), 1)
    count = is_counted(y, call.ignore).sum(dtype=torch.float64)
    for dim, placement in enumerate(examples.placements):
        if isinstance(placement, Shard):
            dist.all_reduce(count, group=examples.mesh.get_group(dim))
    count = count.clamp(min=1)
    return count.item() if count.device.type == "cpu" else count.float()


def _of_examples(formula: Any, spec: Any, call: SoftmaxCall) -> Any:
    """The loss of the examples of this process by the formula."""
    gamma, weight = (p if isinstance(p, Tensor) or len(p) > 1 else p[0] for p in (call.gamma, call.weight))
    spec = replace(spec, **{"gamma": gamma, spec.weight_name: weight})
    compute = softmax_losses.sparse_categorical_formula if call.sparse else softmax_losses.categorical_formula
    reduction, factor = call.reduction, 1.0 if call.divisor is None else 1 / call.divisor

    def loss(x: Tensor, y: Tensor) -> Tensor:
        losses: Tensor = compute(formula, y, x, spec)
        return losses if reduction == "none" else losses.sum() * factor

    return loss


def _of_classes(formula: Any, call: pipeline.SoftmaxCall, layout: Layout, examples: Layout) -> Any:
    """The unreduced loss of the examples of this process by the formula of DTensors, of logits in this layout."""
    compute = softmax_losses.sparse_categorical_formula if call.sparse else softmax_losses.categorical_formula

    def losses(x: Tensor) -> Tensor:
        whole = compute(formula, call.y, _ToDTensor.apply(x, layout), call.spec)
        mine: Tensor = local(whole.redistribute(placements=examples.placements))
        return mine

    return losses
