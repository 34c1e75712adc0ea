"""`kornia.losses`: the softmax focal loss of class indices, the binary one of labels, with the class axis second."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from focal_loss._core import binary_losses, options, pipeline
from focal_loss._core.options import Reduction
from focal_loss.torch._backend import SUM, XP
from focal_loss.torch._functions import sparse_categorical_focal_loss
from focal_loss.torch._normalizer import Group, Grouped, check_group, is_shared
from focal_loss.torch.compat._tensors import check_shape, mean, naming

__all__ = ["BinaryFocalLossWithLogits", "FocalLoss", "binary_focal_loss_with_logits", "focal_loss"]


@naming("target", "pred")
def focal_loss(
    pred: Tensor,
    target: Tensor,
    alpha: float | None,
    gamma: float = 2.0,
    reduction: Reduction = "none",
    weight: Tensor | None = None,
    ignore_index: int | None = -100,
    *,
    group: Group = None,
) -> Tensor:
    """Compute the softmax focal loss of logits (B, C, ...) and class indices (B, ...).

    Class 0 is weighed by ``1 - alpha``, the others by `alpha`. Without a reduction the result has the shape of `pred`
    and is 0 but for the true class; the mean divides by the number of all its elements, over the processes of a `group`
    if it is given, True for the default one.
    """
    check_group(group, options.reduction(reduction))
    classes = pred.shape[1]
    factors = pred.new_ones(classes, dtype=torch.promote_types(pred.dtype, torch.float32))
    if alpha is not None:
        weight_of_others = options.fraction("alpha", alpha)
        factors = factors * weight_of_others
        factors[:1] = 1 - weight_of_others
    loss = sparse_categorical_focal_loss(
        target,
        pred,
        gamma,
        class_weight=factors if weight is None else factors * weight,
        from_logits=True,
        axis=1,
        ignore_class=ignore_index,
        reduction="none" if reduction == "none" else "sum",
    )
    if reduction != "none":
        return mean(loss, pred.numel(), group) if reduction == "mean" else loss
    index = target if ignore_index is None else torch.where(target == ignore_index, 0, target)
    return loss.new_zeros(pred.shape).scatter(1, index.long().unsqueeze(1), loss.unsqueeze(1))


@naming("target", "pred")
def binary_focal_loss_with_logits(
    pred: Tensor,
    target: Tensor,
    alpha: float | None = 0.25,
    gamma: float = 2.0,
    reduction: Reduction = "none",
    pos_weight: Tensor | None = None,
    weight: Tensor | None = None,
    ignore_index: int | None = -100,
    *,
    group: Group = None,
) -> Tensor:
    """Compute the focal loss of logits (B, C, ...) and labels of the same shape, soft ones in two terms.

    The weights have one entry per class. The mean divides by the number of all elements, ignored ones too, over the
    processes of a `group` if it is given, True for the default one.
    """
    check_group(group, options.reduction(reduction))
    check_shape("target", target, "`pred`", pred)
    positive: Any = 1.0 if alpha is None else options.fraction("alpha", alpha)
    negative: Any = 1.0 if alpha is None else 1 - positive
    if pos_weight is not None:
        positive = positive * _along_classes(pos_weight, pred)
    if weight is not None:
        along = _along_classes(weight, pred)
        positive, negative = positive * along, negative * along
    if ignore_index is not None:
        counted = target != ignore_index
        pred, target = torch.where(counted, pred, 0.0), torch.where(counted, target, 0)
        positive, negative = (torch.where(counted, w, 0.0) for w in (positive, negative))
    gamma = options.parameter("gamma", gamma)
    call = pipeline.BinaryCall(pred, XP.labels(target, pred), gamma, positive, negative, reduction=reduction)
    if not is_shared(group):
        return binary_losses.binary_from(XP, call, from_logits=True)
    total = binary_losses.binary_from(SUM, call._replace(reduction="sum"), from_logits=True)
    return mean(total, pred.numel(), group)


def _along_classes(weight: Tensor, pred: Tensor) -> Tensor:
    dtype = torch.promote_types(pred.dtype, torch.float32)
    return weight.to(pred.device, dtype).view(-1, *[1] * (pred.ndim - 2))


class FocalLoss(Grouped):
    """`focal_loss` as a module: ``loss(pred, target)``."""

    def __init__(
        self,
        alpha: float | None,
        gamma: float = 2.0,
        reduction: Reduction = "none",
        weight: Tensor | None = None,
        ignore_index: int | None = -100,
        *,
        group: Group = None,
    ) -> None:
        super().__init__()
        check_group(group, options.reduction(reduction))
        self.group = group
        self.alpha = None if alpha is None else options.fraction("alpha", alpha)
        self.gamma = options.parameter("gamma", gamma)
        self.reduction = options.reduction(reduction)
        self.weight = weight
        self.ignore_index = ignore_index

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Compute the loss."""
        weights = (self.weight, self.ignore_index)
        return focal_loss(pred, target, self.alpha, self.gamma, self.reduction, *weights, group=self.group)


class BinaryFocalLossWithLogits(Grouped):
    """`binary_focal_loss_with_logits` as a module: ``loss(pred, target)``."""

    def __init__(
        self,
        alpha: float | None,
        gamma: float = 2.0,
        reduction: Reduction = "none",
        pos_weight: Tensor | None = None,
        weight: Tensor | None = None,
        ignore_index: int | None = -100,
        *,
        group: Group = None,
    ) -> None:
        super().__init__()
        check_group(group, options.reduction(reduction))
        self.group = group
        self.alpha = None if alpha is None else options.fraction("alpha", alpha)
        self.gamma = options.parameter("gamma", gamma)
        self.reduction = options.reduction(reduction)
        self.pos_weight = pos_weight
        self.weight = weight
        self.ignore_index = ignore_index

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Compute the loss."""
        weights = (self.pos_weight, self.weight, self.ignore_index)
        return binary_focal_loss_with_logits(
            pred, target, self.alpha, self.gamma, self.reduction, *weights, group=self.group
        )
