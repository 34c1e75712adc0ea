"""A softmax loss of a label for each class, of logits whose classes are spread over processes.

Each class has a term that depends on the softmax over all of them. So there are two exchanges: of the largest logit
and the sum of the other exponentials, then of the sums of the terms and of their slopes, which the gradient in every
logit needs. A single one is not enough: (1 - p_j)^g is no sum of functions of the logits of one shard.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from focal_loss._core import formula, pipeline, softmax, softmax_losses
from focal_loss.torch import _closed_forms
from focal_loss.torch._autograd import save_call, saved_call
from focal_loss.torch._calls import (
    SoftmaxCall,
    at_least_float32,
    dtype_of_results,
    is_counted,
    reduction_weight_of_example,
)
from focal_loss.torch._class_shards import Exchange, by_formula, upstream_of


class _Terms(NamedTuple):
    """The terms of the classes of a shard, and their slopes in the margins."""

    rest: softmax.Rest
    top: Tensor
    value: Tensor
    slope: Tensor
    dead: Tensor | None  # examples that are ignored or invalid
    invalid: Tensor | None


def _labels(xp: Any, call: SoftmaxCall, x: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """The label of each class of the shard, and which examples are dead, and which of those invalid."""
    shard, axis = call.shard, call.axis
    assert shard is not None
    if not call.sparse:
        y = at_least_float32(call.y.to(x.dtype))
        return pipeline.smoothed(y, call.smoothing, shard.all_classes) if call.smoothing else y, None, None
    classes = shard.all_classes if call.check else None
    index, _ = softmax_losses.class_indices(xp, call.y, classes, call.ignore)
    dead = invalid = (index < 0) | (index >= shard.all_classes)
    if call.ignore is not None:
        counted = is_counted(index, call.ignore)
        dead, invalid = invalid | ~counted, invalid & counted
    hard = (index.unsqueeze(axis) == _closed_forms.positions(x, axis) + shard.begin).to(x.dtype)
    return pipeline.smoothed(hard, call.smoothing, shard.all_classes), dead, invalid


def _of_shard(xp: Any, p: list[float] | Tensor, call: SoftmaxCall, x: Tensor) -> Any:
    """A parameter that broadcasts with the logits of the shard."""
    assert call.shard is not None
    if isinstance(p, list):
        p = x.new_tensor(p if len(p) > 1 else p[0])
    if p.ndim == 1 and p.shape[0] == call.shard.all_classes:
        p = p[call.shard.begin : call.shard.begin + x.shape[call.axis]]
    return softmax_losses.along_axis(xp, p, call.axis, x.ndim)


def _terms(xp: Any, call: SoftmaxCall, whole: softmax.PartOfEvery, here: Tensor) -> _Terms:
    axis = call.axis
    x = at_least_float32(call.x)
    y, dead, invalid = _labels(xp, call, x)
    if dead is not None:
        x = x.masked_fill(dead.unsqueeze(axis), 0.0)
    top = xp.first_max(x, axis) & here
    rest = softmax.rest_of_part(xp, x, whole, top)
    given = (rest.margin, _of_shard(xp, call.gamma, call, x), _of_shard(xp, call.weight, call, x), y)
    value, slope = (formula.evaluate(xp, "margin", index, *given) for index in ("", "0"))
    return _Terms(rest, top, value, slope, dead, invalid)


def part_of(xp: Any, call: SoftmaxCall) -> Tensor:
    x, axis = at_least_float32(call.x), call.axis
    if call.sparse:
        dead = _labels(xp, call, x)[1]
        x = x if dead is None else x.masked_fill(dead.unsqueeze(axis), 0.0)
    if x.shape[axis]:
        return torch.stack(softmax.part_of_every(xp, x, axis))
    shape = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    # Without classes there is no largest one to count.
    return torch.stack([x.new_full(shape, -float("inf")), x.new_full(shape, -1.0)])


def parts_together(part: Tensor, exchange: Exchange) -> tuple[Tensor, Tensor]:
    """The parts of all processes as one, and whether the largest logit of an example is in this shard."""
    here = torch.ones_like(part[0], dtype=torch.bool)
    for group in exchange.groups:
        parts = softmax.PartOfEvery(*exchange.gathered(part, group).unbind(1))
        whole, first = softmax.every_together(exchange.xp, parts, 0)
        part = torch.stack([p.squeeze(0) for p in whole])
        here &= first[dist.get_rank(group)]
    return part, here


def sums_of(xp: Any, call: SoftmaxCall, part: Tensor, here: Tensor) -> Tensor:
    """The sums over the classes of the shard: of the terms, and of their slopes but that of the largest logit, and that
    one. They are the numbers that the second exchange adds up.
    """
    terms = _terms(xp, call, softmax.PartOfEvery(*part), here)
    value = terms.value
    if terms.dead is not None and terms.invalid is not None:
        dead, invalid = terms.dead.unsqueeze(call.axis), terms.invalid.unsqueeze(call.axis)
        value = value.masked_fill(dead, 0.0).masked_fill(invalid, float("nan"))
    sums = [value, *softmax.ratios_of_part(xp, terms.rest, terms.top, terms.slope)]
    return torch.stack([s.sum(call.axis, keepdim=True) for s in sums])


def sums_together(sums: Tensor, part: Tensor, here: Tensor, exchange: Exchange) -> tuple[Tensor, Tensor]:
    """The value of each example, and the numbers from which `slope_of` computes the gradient."""
    for group in exchange.groups:
        if dist.get_world_size(group) > 1:
            dist.all_reduce(sums, group=group)
    return sums[0], torch.cat([part, sums[1:], here.to(sums.dtype).unsqueeze(0)])


def slope_of(xp: Any, upstream: Tensor, call: SoftmaxCall, numbers: Tensor) -> Tensor:
    """The gradient in the logits of the shard."""
    peak, rest, ratios, ratio_of_top, here = numbers
    upstream = upstream if upstream.ndim == 0 else upstream.unsqueeze(call.axis)
    terms = _terms(xp, call, softmax.PartOfEvery(peak, rest), here > 0)
    slope = upstream * softmax.gradient_of_part(xp, terms.rest, terms.top, terms.slope, ratios, ratio_of_top)
    if terms.dead is not None:
        slope = slope.masked_fill(terms.dead.unsqueeze(call.axis), 0.0)
    return slope.to(call.x.dtype)


class _OfEveryClass(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, call: SoftmaxCall, exchange: Exchange) -> Tensor:
        xp = ctx.xp = exchange.xp
        part, here = parts_together(part_of(xp, call), exchange)
        value, numbers = sums_together(sums_of(xp, call, part, here), part, here, exchange)
        save_call(ctx, call, numbers)
        value = value.squeeze(call.axis)
        if call.reduction != "none":
            value = value.sum() * reduction_weight_of_example(call)
        return value.to(dtype_of_results(0, call))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        call, numbers = saved_call(ctx)
        assert numbers is not None
        if torch.is_grad_enabled():
            return by_formula(grad, call), None, None
        return slope_of(ctx.xp, upstream_of(grad, call), call, numbers), None, None


def loss_of_every_class(call: SoftmaxCall, exchange: Exchange) -> Tensor:
    """The loss of a label for each class, or of smoothed class indices, the same on every process."""
    loss: Tensor = _OfEveryClass.apply(call.x, call, exchange)
    return loss
