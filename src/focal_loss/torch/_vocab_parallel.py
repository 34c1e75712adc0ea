"""The softmax focal loss of a vocabulary that is spread over processes, for code in the manner of Megatron."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from focal_loss._core import checks, options, softmax_losses
from focal_loss._core.losses.sparse_categorical_focal_loss import Options as SparseOptions
from focal_loss._core.names import answering
from focal_loss._core.options import ParameterLike, Reduction
from focal_loss.torch._backend import XP, under_autocast
from focal_loss.torch._calls import Shard, SoftmaxCall
from focal_loss.torch._class_shards import Exchange, loss_of_shards
from focal_loss.torch._every_class import loss_of_every_class
from focal_loss.torch._functions import checked
from focal_loss.torch._operators import per_class


@answering
def vocab_parallel_sparse_categorical_focal_loss(
    y_pred_local: Tensor,
    y_true: Any,
    gamma: ParameterLike,
    *,
    group: Any,
    partition: Sequence[int] | None = None,
    class_weight: ParameterLike | None = None,
    ignore_class: int | None = None,
    label_smoothing: float | None = None,
    reduction: Reduction = "none",
) -> Tensor:
    """Softmax focal loss of logits of which each rank has some classes, as tensor-parallel language models do.

    It is the same as ``sparse_categorical_focal_loss(y_true, y_pred, gamma, from_logits=True, ...)`` of the logits of
    all ranks side by side, on every rank. Each rank sends three numbers per example in one `all_gather`, in float64 for
    float64 logits and else in float32: the true logit or -inf, the largest of its other logits, the sum of their
    exponentials. Backward, no rank sends anything: the gradient of a rank is that in its own logits. `label_smoothing`
    needs two exchanges, because each class has a term that depends on the softmax over all of them. The loss is
    differentiable once, in `y_pred_local`. `torch.compile` breaks its graph here.

    Parameters
    ----------
    y_pred_local : floating tensor, shape (..., K_local)
        The logits of the classes of this rank. Those of all ranks, in the order of the ranks, are the K classes.
    y_true : tensor of int, shape (...)
        Class indices in [0, K), the same on each rank.
    gamma : float or array_like, shape (), (K,) or (..., 1)
        The focusing parameter, at least 0. The higher it is, the less an easy example counts; 0 is cross-entropy. A
        vector is one for each of all K classes; an array with the axes of `y_pred_local`, the last of length 1, is one
        for each example.
    group : torch.distributed.ProcessGroup, or True
        The ranks that have the classes. True is the default group.
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
    loss : tensor of the shape of `y_true`, or a scalar if `reduction` is 'mean' or 'sum'
        The loss of each example, the same on each rank: do not sum it over the group. The dtype is that of
        `y_pred_local`. float16 and bfloat16 are computed in float32 and rounded once.

    Raises
    ------
    TypeError
        If an option has the wrong type, if `y_pred_local` is no floating tensor, or is a DTensor, which
        `sparse_categorical_focal_loss` takes.
    ValueError
        If an option or a class index is out of range, if shapes do not match, or if ranks have unequal numbers of
        classes and `partition` is None. Indices and these numbers are read where that costs little: eagerly, on the
        host, unless `focal_loss.set_checks` turns that off for the indices. Elsewhere the loss is NaN.
    NotImplementedError
        In a second backward pass through the gradient.

    Notes
    -----
    Domain: `y_true` in 0 .. K-1; the logits real, linked by the softmax. With v_t the true logit, M the largest of the
    others and S the sum of exp(v - M) over them, s = v_t - M - log(S) is the margin: p_t is sigmoid(s) and 1 - p_t is
    sigmoid(-s), a sum over the other classes, never a difference. The loss is
    ``weight_t * (1 - p_t)**gamma_t * -log(p_t)`` [1]_, its gradient in a logit f'(s) times 1 for the true class and
    ``-exp(v_j - M) / S`` for another.

    References
    ----------
    .. [1] T. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, "Focal loss for dense object detection", ICCV 2017,
       arXiv:1708.02002, equations 4 and 5.

    Examples
    --------
    Here the group has one rank, which has all classes.

    >>> import torch
    >>> import torch.distributed as dist
    >>> from focal_loss.torch import vocab_parallel_sparse_categorical_focal_loss
    >>> dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    >>> logits = torch.tensor([[1.0, 0.0, -1.0], [0.0, 0.0, 0.0]])
    >>> vocab_parallel_sparse_categorical_focal_loss(logits, torch.tensor([0, 2]), gamma=2, group=True)
    tensor([0.0457, 0.4883])
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
    if not (isinstance(y_pred_local, Tensor) and y_pred_local.is_floating_point()):
        raise TypeError(f"`y_pred_local` must be a floating tensor, got {checks.described(y_pred_local)}")
    if hasattr(y_pred_local, "device_mesh"):
        raise TypeError(
            "`y_pred_local` must be a plain tensor, got a DTensor; pass `y_pred.to_local()`, or the DTensor itself to "
            "`sparse_categorical_focal_loss`"
        )
    if not y_pred_local.ndim:
        raise ValueError("`y_pred_local` must have an axis of classes, got a scalar")
    exchange, shard = ranks(group, partition, y_pred_local.shape[-1], "y_pred_local")
    return _of_group(y_pred_local, y_true, spec, shard, exchange, reduction)


def ranks(group: Any, partition: Sequence[int] | None, local: int, name: str) -> tuple[Exchange, Shard]:
    """How to reach the other ranks, and the place of the `local` classes of this one, which the argument `name` has."""
    if group is not True and not (dist.is_available() and isinstance(group, dist.ProcessGroup)):
        raise TypeError(f"`group` must be a process group, or True for the default one, got {checks.described(group)}")
    if not (dist.is_available() and dist.is_initialized()):
        raise ValueError("`group` must be initialized; call `torch.distributed.init_process_group` first")
    group = dist.group.WORLD if group is True else group
    rank, size = dist.get_rank(group), dist.get_world_size(group)
    if rank < 0:
        raise ValueError("`group` must contain this process")
    if partition is None:
        return Exchange(XP, (group,), local, name), Shard(rank * local, size * local)
    if not isinstance(partition, Iterable):
        raise TypeError(f"`partition` must be a sequence of int, got {checks.described(partition)}")
    counts = [options.integer("partition", n) for n in partition]
    if len(counts) != size or min(counts) < 0 or counts[rank] != local:
        raise ValueError(
            f"`partition` must have a number of classes for each of the {size} ranks, {local} for rank "
            f"{rank}, got {counts}"
        )
    return Exchange(XP, (group,)), Shard(sum(counts[:rank]), sum(counts))


@torch.compiler.disable
def _of_group(
    x: Tensor, y_true: Any, spec: SparseOptions, shard: Shard, exchange: Exchange, reduction: Reduction
) -> Tensor:
    call = call_of_shard(x, XP.labels(y_true, x), spec, shard, reduction)
    return loss_of_every_class(call, exchange) if spec.label_smoothing else loss_of_shards(call, exchange)


def call_of_shard(x: Tensor, y: Tensor, spec: SparseOptions, shard: Shard, reduction: Reduction) -> SoftmaxCall:
    """The checked call of the kernels."""
    shape = (*x.shape[:-1], shard.all_classes)
    softmax_losses.check_sparse(y.shape, y.shape, shape, x.ndim - 1)
    if y.is_floating_point():
        checks.check_exact(y.dtype, shard.all_classes)
    gamma, weight = XP.parameter("gamma", spec.gamma, x), XP.parameter("class_weight", spec.class_weight, x)
    for name, value in (("gamma", gamma), ("class_weight", weight)):
        if isinstance(value, Tensor) and value.requires_grad:
            raise ValueError(f"`{name}` must not require a gradient here; pass `{name}.detach()`")
    gamma, weight = softmax_losses.of_classes(XP, gamma, weight, shape, x.ndim - 1, spec.weight_name)
    return SoftmaxCall(
        x,
        y,
        [gamma] if isinstance(gamma, float) else per_class(gamma),
        [weight] if isinstance(weight, float) else per_class(weight),
        axis=x.ndim - 1,
        sparse=True,
        ignore=spec.ignore_class,
        smoothing=spec.label_smoothing,
        reduction=reduction,
        float32=under_autocast(x),
        shard=shard,
    )
