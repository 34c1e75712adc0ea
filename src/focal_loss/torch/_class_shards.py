"""A softmax loss of logits whose classes are spread over processes.

With v_t the true logit, M the largest of the other logits and S the sum of exp(v - M) over them, the margin of the
true class is v_t - M - log S. A shard knows a part of each: v_t or -inf, the largest of its other logits, the sum of
their exponentials. One `all_gather` of these three numbers per example gives every process the margin, with the
relative precision of 1 - p_t that one process has. Then each has all that the gradient in its own logits needs:

    d loss / d v_j = f'(s) ([j = t] - exp(v_j - M) / S)

so no process waits for another in the backward pass.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from focal_loss._core import formula, softmax, softmax_losses
from focal_loss._host import kernels
from focal_loss.torch import _closed_forms, _cpu
from focal_loss.torch._autograd import save_call, saved_call
from focal_loss.torch._calls import (
    Parameter,
    SoftmaxCall,
    at_least_float32,
    dtype_of_results,
    is_counted,
    reduction_weight_of_example,
)
from focal_loss.torch._private import is_batched

FIRST_ONLY = "the loss of sharded classes gives first derivatives; gather the logits for second ones"


class Exchange(NamedTuple):
    """The processes that have the other classes: a group for each dimension of a mesh that shards them."""

    xp: Any  # torch as a `pipeline.Backend`
    groups: tuple[Any, ...]
    classes: int | None = None  # of this process, if every one must have as many
    name: str = ""  # of the argument that has them

    def gathered(self, numbers: Tensor, group: Any) -> Tensor:
        """The numbers of all ranks, stacked in front."""
        size = dist.get_world_size(group)
        if size == 1:
            return numbers.unsqueeze(0)
        sent = numbers.reshape(-1)
        if self.classes is not None:
            sent = torch.cat([sent, sent.new_full((1,), self.classes)])
        result = sent.new_empty(size * len(sent))
        # The second name is that before torch 2.13, which warns of it.
        gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
        gather(result, sent.contiguous(), group=group)
        result = result.reshape(size, len(sent))
        if self.classes is not None:
            result = self._checked(result)
        return result.reshape(size, *numbers.shape)

    def _checked(self, result: Tensor) -> Tensor:
        """The numbers without the last of each rank, its number of classes. NaN where raising would wait for a GPU."""
        alike = (result[:, -1] == self.classes).all()
        if result.device.type == "cpu" and not alike:
            counts = [int(n) for n in result[:, -1]]
            raise ValueError(f"`{self.name}` must have as many classes on each rank, got {counts}; pass `partition`")
        return result[:, :-1].where(alike, float("nan"))


def together(parts: Tensor, exchange: Exchange) -> Tensor:
    """The parts of all processes as one: the fields of `softmax.Part`, stacked."""
    for group in exchange.groups:
        stacked = softmax.Part(*exchange.gathered(parts, group).unbind(1))
        parts = torch.stack([x.squeeze(0) for x in softmax.together(exchange.xp, stacked, 0)])
    return parts


def covered(xp: Any, call: SoftmaxCall) -> bool:
    """Whether the native kernels compute these shards."""
    return kernels.NATIVE is not None and call.x.device.type == "cpu" and xp.covers(call.x, call.y)


def parts_of(xp: Any, call: SoftmaxCall) -> Tensor:
    """The part of this shard: the fields of `softmax.Part`, stacked."""
    return _cpu.softmax_parts(call) if covered(xp, call) else _parts(xp, call)


def value_of(xp: Any, call: SoftmaxCall, whole: Tensor) -> Tensor:
    """The loss, reduced as the call says. It reads no logits."""
    call = _with_whole(call, whole)
    return _cpu.softmax(0, 1.0, call) if covered(xp, call) else _value(xp, call)


def slope_of(xp: Any, upstream: Tensor, call: SoftmaxCall, whole: Tensor, result: Tensor | None = None) -> Tensor:
    """The gradient in the logits of this shard. If they are given as `result`, the kernels overwrite them."""
    call = _with_whole(call, whole)
    return _cpu.softmax(1, upstream, call, result) if covered(xp, call) else _slope(xp, upstream, call)


class _OfShards(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, call: SoftmaxCall, exchange: Exchange) -> Tensor:
        xp = ctx.xp = exchange.xp
        whole = together(parts_of(xp, call), exchange)
        save_call(ctx, call, whole)
        return value_of(xp, call, whole)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        call, whole = saved_call(ctx)
        assert whole is not None
        if torch.is_grad_enabled():
            return by_formula(grad, call), None, None
        return slope_of(ctx.xp, upstream_of(grad, call), call, whole), None, None


def upstream_of(grad: Tensor, call: SoftmaxCall) -> Tensor:
    """The upstream gradient of each example, or one of all, with the weight of the reduction."""
    if is_batched(grad):
        raise NotImplementedError("the loss of sharded classes takes one upstream gradient at a time")
    grad = at_least_float32(grad if grad.layout == torch.strided else grad.to_dense())
    return grad * reduction_weight_of_example(call)


def by_formula(grad: Tensor, call: SoftmaxCall) -> Tensor:
    """The gradient, itself differentiable, if the call has a formula."""
    if call.formula is None:
        raise NotImplementedError(FIRST_ONLY)
    unreduced = call.formula(call.x)
    upstream = upstream_of(grad, call).to(unreduced.dtype).expand(unreduced.shape)
    return torch.autograd.grad(unreduced, call.x, upstream, create_graph=True)[0]


def _with_whole(call: SoftmaxCall, whole: Tensor) -> SoftmaxCall:
    assert call.shard is not None
    return call._replace(shard=call.shard._replace(whole=whole))


def loss_of_shards(call: SoftmaxCall, exchange: Exchange) -> Tensor:
    """The loss of class indices without smoothing, reduced as the call says, the same on every process."""
    loss: Tensor = _OfShards.apply(call.x, call, exchange)
    return loss


# ---------------------------------------------------------------------------------------------------------------
# What the kernels compute, by the formula
# ---------------------------------------------------------------------------------------------------------------


class _Labels(NamedTuple):
    """The true class of each example among all classes, 0 where a label is no class, and masks of examples
    whose label is ignored or invalid.
    """

    index: Tensor
    ignored: Tensor | None
    invalid: Tensor


def _labels(xp: Any, call: SoftmaxCall) -> _Labels:
    assert call.shard is not None
    classes = call.shard.all_classes
    index, _ = softmax_losses.class_indices(xp, call.y, classes if call.check else None, call.ignore)
    inside = (index >= 0) & (index < classes)
    ignored = None if call.ignore is None else ~is_counted(index, call.ignore)
    return _Labels(torch.where(inside, index, 0), ignored, ~inside if ignored is None else ~(inside | ignored))


def _logits(call: SoftmaxCall, labels: _Labels) -> tuple[Tensor, Tensor]:
    """The logits of the shard, 0 where they are ignored, and its true class as a mask."""
    assert call.shard is not None
    x = at_least_float32(call.x)
    if labels.ignored is not None:  # an ignored prediction must not reach the gradient as 0 * nan
        x = x.masked_fill(labels.ignored.unsqueeze(call.axis), 0.0)
    return x, labels.index.unsqueeze(call.axis) == _closed_forms.positions(x, call.axis) + call.shard.begin


def _parts(xp: Any, call: SoftmaxCall) -> Tensor:
    """`_cpu.softmax_parts`, by the formula."""
    x, true_class_mask = _logits(call, _labels(xp, call))
    if x.shape[call.axis]:
        return torch.stack([n.squeeze(call.axis) for n in softmax.part_of(xp, x, true_class_mask, call.axis)])
    return torch.stack([x.new_full(call.y.shape, number) for number in (-float("inf"), -float("inf"), 0.0)])


def _of_examples(p: list[float] | Tensor, index: Tensor, x: Tensor, axis: int) -> float | Tensor:
    """A parameter of each example: that of its class, or its own."""
    if isinstance(p, list):
        return p[0] if len(p) == 1 else x.new_tensor(p)[index]
    return p if p.ndim == 0 else p[index] if p.ndim == 1 else p.squeeze(axis)


def _derivative(xp: Any, order: int, call: SoftmaxCall, labels: _Labels) -> Tensor:
    """The unreduced value (order 0), or its derivative in the margin."""
    assert call.shard is not None
    assert call.shard.whole is not None
    margin = softmax.margin_of_part(xp, softmax.Part(*call.shard.whole))
    gamma, weight = (_of_examples(p, labels.index, margin, call.axis) for p in (call.gamma, call.weight))
    value: Tensor = formula.evaluate(xp, "margin", "0" * order, margin, gamma, weight)
    value = value.masked_fill(labels.invalid, 0.0 if order else float("nan"))
    return value if labels.ignored is None else value.masked_fill(labels.ignored, 0.0)


def _value(xp: Any, call: SoftmaxCall) -> Tensor:
    """`_cpu.softmax` of order 0, by the formula."""
    value = _derivative(xp, 0, call, _labels(xp, call))
    if call.reduction != "none":
        value = value.sum() * reduction_weight_of_example(call)
    return value.to(dtype_of_results(0, call))


def _slope(xp: Any, upstream: Parameter, call: SoftmaxCall) -> Tensor:
    """`_cpu.softmax` of order 1, by the formula."""
    assert call.shard is not None
    assert call.shard.whole is not None
    labels = _labels(xp, call)
    x, true_class_mask = _logits(call, labels)
    cotangent = (_derivative(xp, 1, call, labels) * upstream).unsqueeze(call.axis)
    whole = softmax.Part(*call.shard.whole.unsqueeze(call.axis + 1))
    slope: Tensor = softmax.vjp_of_part(xp, x, true_class_mask, whole, cotangent)
    return slope.masked_fill(cotangent == 0, 0.0).to(call.x.dtype)  # the logits of others may be NaN
