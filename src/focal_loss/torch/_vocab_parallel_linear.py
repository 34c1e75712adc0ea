"""A last layer whose weight is spread over processes by classes, and its softmax focal loss, a few rows at a time.

The forward pass computes the logits of each chunk of rows to sum over them, the backward pass again to turn them into
their gradient. Between the two there are three numbers per row, and one exchange of them for all rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from focal_loss._core import checks, options
from focal_loss._core.losses.sparse_categorical_focal_loss import Options as SparseOptions
from focal_loss._core.names import answering
from focal_loss._core.options import ParameterLike, Reduction
from focal_loss._core.shapes import check_linear
from focal_loss.torch import _class_shards, _every_class
from focal_loss.torch._backend import XP
from focal_loss.torch._calls import SoftmaxCall, at_least_float32, reduction_weight_of_example
from focal_loss.torch._chunks import Gradients, chunks, for_products
from focal_loss.torch._class_shards import Exchange, upstream_of
from focal_loss.torch._functions import checked
from focal_loss.torch._linear import autocast_casts
from focal_loss.torch._vocab_parallel import call_of_shard, ranks


@answering
def vocab_parallel_linear_sparse_categorical_focal_loss(
    hidden: Tensor,
    weight_local: Tensor,
    y_true: Any,
    gamma: ParameterLike,
    *,
    group: Any,
    bias_local: Tensor | None = None,
    partition: Sequence[int] | None = None,
    class_weight: ParameterLike | None = None,
    ignore_class: int | None = None,
    label_smoothing: float | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Softmax focal loss of a linear layer of which each rank has some classes, without its logits in memory.

    It is the same as ``vocab_parallel_sparse_categorical_focal_loss(linear(hidden, weight_local, bias_local), ...)``,
    with its one exchange for all rows forward and none backward; two forward with `label_smoothing`. The logits of a
    few rows exist at a time, once forward and once more backward. `hidden` and `y_true` are the same on each rank. The
    gradient in `hidden` is the part of this rank: the gradient is the sum of these over the group, as for the input of
    Megatron's `ColumnParallelLinear`. Pass `hidden` through `copy_to_tensor_model_parallel_region`, or add up its
    gradient yourself. In half precision the gradients of weight and bias are added up in float32. The loss is
    differentiable once, in `hidden`, `weight_local` and `bias_local`. `torch.compile` breaks its graph here.

    Parameters
    ----------
    hidden : floating tensor, shape (..., D)
        The inputs of the last layer.
    weight_local : floating tensor, shape (K_local, D), the dtype of `hidden`
        The rows of the weight of this rank. Those of all ranks, in the order of the ranks, are the K classes.
    y_true : tensor of int, shape (...)
        Class indices in [0, K).
    gamma : float or array_like, shape (), (K,) or (..., 1)
        The focusing parameter, at least 0. The higher it is, the less an easy example counts; 0 is cross-entropy. A
        vector is one for each of all K classes; an array with the axes of `hidden`, of length 1 in place of D, is one
        for each example.
    group : torch.distributed.ProcessGroup, or True
        The ranks that have the classes. True is the default group.
    bias_local : floating tensor, shape (K_local,), optional
        The bias of the classes of this rank.
    partition : sequence of int, optional
        How many classes each rank of the group has. All have as many if None.
    class_weight : float or array_like, shape () or (K,), optional
        The weight of each of all K classes. 1 if None.
    ignore_class : int, optional
        Examples with this label cost 0 and have a gradient of zeros, whatever their prediction. It need not be a class.
    label_smoothing : float, optional
        The amount a, in [0, 1]. An index counts as the labels ``(1 - a) * one_hot + a / K``, in the focal factor as in
        the logarithm: the loss is that of all K classes.
    reduction : {'none', 'mean', 'sum'}
        How to reduce the losses. The mean is over the examples that are not ignored, and 0 where there are none. A mean
        or a sum of half precision is float32. Under `torch.autocast` every loss is float32, reduced or not.

    Returns
    -------
    loss : a scalar, or a tensor of the shape of `y_true` if `reduction` is 'none'
        The loss is the same on each rank: do not sum it over the group. The dtype is that of `hidden`. float16 and
        bfloat16 are computed in float32 and rounded once.

    Raises
    ------
    TypeError
        If an option has the wrong type, or if `hidden`, `weight_local` or `bias_local` is no floating tensor, is of
        another dtype than the others, or is a DTensor, which `linear_sparse_categorical_focal_loss` takes.
    ValueError
        If an argument is wrong as described for `vocab_parallel_sparse_categorical_focal_loss`.
    NotImplementedError
        In a second backward pass through the gradient.

    References
    ----------
    .. [1] T. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, "Focal loss for dense object detection", ICCV 2017,
       arXiv:1708.02002, equations 4 and 5.

    Examples
    --------
    Here the group has one rank, which has all classes.

    >>> import torch
    >>> import torch.distributed as dist
    >>> from focal_loss.torch import vocab_parallel_linear_sparse_categorical_focal_loss
    >>> dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    >>> layer = torch.nn.Linear(8, 1000, bias=False)
    >>> loss = vocab_parallel_linear_sparse_categorical_focal_loss(
    ...     torch.zeros(4, 8), layer.weight, torch.tensor([1, 2, 3, 999]), gamma=2, group=True
    ... )
    >>> loss.backward()
    >>> round(loss.item(), 3), layer.weight.grad.shape
    (6.894, torch.Size([1000, 8]))
    >>> dist.destroy_process_group()
    """
    spec = checked(
        SparseOptions,
        gamma=gamma,
        class_weight=class_weight,
        from_logits=True,
        ignore_class=ignore_class,
        label_smoothing=label_smoothing,
    )
    reduction = options.reduction(reduction)
    _check(hidden, weight_local, bias_local)
    y = XP.labels(y_true, hidden)
    check_linear(hidden.shape, weight_local.shape, None if bias_local is None else bias_local.shape, y.shape)
    exchange, shard = ranks(group, partition, len(weight_local), "weight_local")
    like = weight_local.new_empty(()).expand(*y.shape, len(weight_local))  # logits that take no memory
    call = call_of_shard(like, y, spec, shard, reduction)
    if autocast_casts(hidden):
        dtype = torch.get_autocast_dtype(hidden.device.type)
        hidden, weight_local, bias_local = (
            None if t is None else t.to(dtype) for t in (hidden, weight_local, bias_local)
        )
        call = call._replace(float32=True)
    return _of_layer(hidden, weight_local, bias_local, call, exchange)


def _check(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    for name, tensor in (("hidden", hidden), ("weight_local", weight), ("bias_local", bias)):
        if name == "bias_local" and tensor is None:
            continue
        if not (isinstance(tensor, Tensor) and tensor.is_floating_point()):
            raise TypeError(f"`{name}` must be a floating tensor, got {checks.described(tensor)}")
        if hasattr(tensor, "device_mesh"):
            raise TypeError(
                f"`{name}` must be a plain tensor, got a DTensor; pass `{name}.to_local()`, or all of them as DTensors "
                "to `linear_sparse_categorical_focal_loss`"
            )
        if tensor.dtype != hidden.dtype and not autocast_casts(hidden):
            raise TypeError(f"`{name}` must have the dtype of `hidden`, {hidden.dtype}, got {tensor.dtype}")


@torch.compiler.disable
def _of_layer(hidden: Tensor, weight: Tensor, bias: Tensor | None, call: SoftmaxCall, exchange: Exchange) -> Tensor:
    shape, gamma = call.y.shape, call.gamma
    if isinstance(gamma, Tensor) and gamma.ndim > 1:
        gamma = gamma.expand(*shape, 1).reshape(-1, 1)
    call = call._replace(x=None, y=call.y.reshape(-1), gamma=gamma, axis=1)
    loss: Tensor = _VocabLinear.apply(hidden.reshape(-1, hidden.shape[-1]), weight, bias, call, exchange)
    return loss.reshape(shape) if call.reduction == "none" else loss


@dataclass(frozen=True)
class _Rows:
    """The layer and its call, a few rows at a time."""

    hidden: Tensor
    weight: Tensor
    bias: Tensor | None
    call: SoftmaxCall

    @property
    def unreduced(self) -> SoftmaxCall:
        """The call of the losses, unreduced and, if they are reduced later, unrounded."""
        return self.call._replace(reduction="none", float32=self.call.float32 or self.call.reduction != "none")

    def __iter__(self) -> Iterator[tuple[slice, SoftmaxCall]]:
        """Rows and the call of their losses."""
        call = self.unreduced
        for part, logits in chunks(self.hidden, self.weight, self.bias):
            gamma = call.gamma
            if isinstance(gamma, Tensor) and gamma.ndim > 1:
                gamma = gamma[part]
            yield part, call._replace(x=logits, y=call.y[part], gamma=gamma)


def _numbers_and_values(rows: _Rows, exchange: Exchange) -> tuple[Tensor, Tensor]:
    """The numbers from which the gradient of each row is computed, and the unreduced losses."""
    xp, like = exchange.xp, at_least_float32(rows.hidden)
    if rows.call.smoothing:
        parts = [_every_class.part_of(xp, call) for _, call in rows]
        part, here = _every_class.parts_together(torch.cat([like.new_empty(2, 0, 1), *parts], 1), exchange)
        sums = [_every_class.sums_of(xp, call, part[:, k], here[k]) for k, call in rows]
        total = torch.cat([like.new_empty(3, 0, 1), *sums], 1)
        value, numbers = _every_class.sums_together(total, part, here, exchange)
        return numbers, value.squeeze(1)
    parts = [_class_shards.parts_of(xp, call) for _, call in rows]
    whole = _class_shards.together(torch.cat([like.new_empty(3, 0), *parts], 1), exchange)
    logits = rows.weight.new_empty(()).expand(len(rows.hidden), len(rows.weight))  # which take no memory
    return whole, _class_shards.value_of(xp, rows.unreduced._replace(x=logits), whole)


class _VocabLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, call: SoftmaxCall, exchange: Exchange
    ) -> Tensor:
        ctx.xp = exchange.xp
        numbers, value = _numbers_and_values(_Rows(*for_products(hidden, weight, bias), call), exchange)
        ctx.save_for_backward(hidden, weight, bias, numbers)
        ctx.call = call
        if call.reduction == "none":
            return value if call.float32 else value.to(hidden.dtype)
        return value.sum() * reduction_weight_of_example(call)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        if torch.is_grad_enabled():
            raise NotImplementedError(
                "the loss of sharded classes gives first derivatives; gather the logits for others"
            )
        hidden, weight, bias, numbers = ctx.saved_tensors
        call: SoftmaxCall = ctx.call
        upstream = upstream_of(grad, call).expand(len(hidden))
        dtype = hidden.dtype
        hidden, weight, bias = for_products(hidden, weight, bias)
        gradients = Gradients(hidden, weight, bias, ctx.needs_input_grad[:3], dtype)
        for part, chunk in _Rows(hidden, weight, bias, call):
            if call.smoothing:
                slope = _every_class.slope_of(ctx.xp, upstream[part], chunk, numbers[:, part])
            else:
                whole = numbers[:, part].contiguous()
                slope = _class_shards.slope_of(ctx.xp, upstream[part], chunk, whole, chunk.x)
            gradients.add(part, slope)
        return (*gradients.scaled(1.0), None, None)
