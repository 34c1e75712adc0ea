"""`mmdet.models.losses`: ``loss(pred, target, weight, avg_factor, reduction_override)``, of logits (N, C).

Each loss takes a `group` when it is made: the process group, True for the default one, over which a mean is taken. The
`avg_factor` of each process is then added up; one that is the mean of all of them already gives the same loss.
"""

from __future__ import annotations

import torch
from torch import Tensor

from focal_loss._core import options
from focal_loss._core.options import Reduction
from focal_loss.torch._functions import (
    penalty_reduced_focal_loss,
    quality_focal_loss,
    sigmoid_focal_loss,
    varifocal_loss,
)
from focal_loss.torch._normalizer import Group, Grouped, check_group
from focal_loss.torch.compat._tensors import check_shape, exact, mean, naming, one_hot

__all__ = ["FocalLoss", "GaussianFocalLoss", "QualityFocalLoss", "VarifocalLoss"]


class _Loss(Grouped):
    """The weights of examples and the divisor of the mean, which the losses of mmdet share."""

    def __init__(
        self, use_sigmoid: bool, reduction: Reduction, loss_weight: float, activated: bool, group: Group
    ) -> None:
        super().__init__()
        check_group(group, options.reduction(reduction))
        self.group = group
        if use_sigmoid is not True:
            raise ValueError(f"`use_sigmoid` must be True, as in mmdet, got {use_sigmoid}")
        if activated:
            raise ValueError("`activated` must be False, got True: hand over logits, which are exact for every number")
        self.use_sigmoid = use_sigmoid
        self.reduction = options.reduction(reduction)
        self.loss_weight = loss_weight
        self.activated = activated

    def reduced(
        self,
        loss: Tensor,
        weight: Tensor | None,
        avg_factor: float | Tensor | None,
        reduction_override: Reduction | None,
    ) -> Tensor:
        reduction = self.reduction if reduction_override is None else options.reduction(reduction_override)
        if avg_factor is not None and reduction == "sum":
            raise ValueError('`avg_factor` must be None beside `reduction="sum"`, as in mmdet')
        if weight is not None:
            if weight.ndim not in (0, loss.ndim):
                check_shape("weight", weight, "the losses", loss)
            loss = loss * weight.expand_as(loss)
        check_group(self.group, reduction)
        if reduction == "none":
            return self.loss_weight * loss
        total = loss.sum()
        if reduction == "mean":
            total = mean(total, loss.numel() if avg_factor is None else avg_factor, self.group, EPS)
        return self.loss_weight * total


EPS = torch.finfo(torch.float32).eps  # the least that a mean divides by, as in mmdet


class FocalLoss(_Loss):
    """The focal loss of each class against the rest.

    `target` holds class indices (N,), of which the number of classes means background, or a label for each logit.
    `weight` has the shape (N,), that of `pred`, or as many elements as `pred`.
    """

    def __init__(
        self,
        use_sigmoid: bool = True,
        gamma: float = 2.0,
        alpha: float = 0.25,
        reduction: Reduction = "mean",
        loss_weight: float = 1.0,
        activated: bool = False,
        *,
        group: Group = None,
    ) -> None:
        super().__init__(use_sigmoid, reduction, loss_weight, activated, group)
        self.gamma = options.parameter("gamma", gamma)
        self.alpha = options.fraction("alpha", alpha)

    @naming("target", "pred")
    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: Reduction | None = None,
    ) -> Tensor:
        """Compute the loss."""
        if target.ndim < pred.ndim:
            target = one_hot("target", target, pred.shape[1], background=True)
        check_shape("target", target, "`pred`", pred)
        loss = sigmoid_focal_loss(exact(pred), target, self.alpha, self.gamma)
        if weight is not None and weight.shape != loss.shape:
            weight = weight.view(-1, 1) if weight.shape[0] == loss.shape[0] else weight.view(loss.shape)
        return self.reduced(loss, weight, avg_factor, reduction_override)


class QualityFocalLoss(_Loss):
    """The quality focal loss, summed over the classes.

    `target` holds class indices (N,) and scores (N,), or is one tensor with a score for each logit. An index that is
    the number of classes means background.
    """

    def __init__(
        self,
        use_sigmoid: bool = True,
        beta: float = 2.0,
        reduction: Reduction = "mean",
        loss_weight: float = 1.0,
        activated: bool = False,
        *,
        group: Group = None,
    ) -> None:
        super().__init__(use_sigmoid, reduction, loss_weight, activated, group)
        self.beta = options.parameter("beta", beta)

    @naming("target", "pred")
    def forward(
        self,
        pred: Tensor,
        target: tuple[Tensor, Tensor] | Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: Reduction | None = None,
    ) -> Tensor:
        """Compute the loss."""
        x = exact(pred)
        if isinstance(target, Tensor):
            check_shape("target", target, "`pred`", pred)
            scores = target
        else:
            label, score = target
            for part in target:
                check_shape("target", part, "`pred[:, 0]`", pred[:, 0])
            own = one_hot("target", label, pred.shape[1], background=True)
            scores = torch.where(own != 0, own * score.unsqueeze(1).to(x.dtype), 0.0)
        loss = quality_focal_loss(scores, x, self.beta, from_logits=True).sum(1)
        return self.reduced(loss, weight, avg_factor, reduction_override)


class VarifocalLoss(_Loss):
    """The varifocal loss, with a derivative of its focal factor too. `target` has a score for each logit, or 0."""

    def __init__(
        self,
        use_sigmoid: bool = True,
        alpha: float = 0.75,
        gamma: float = 2.0,
        iou_weighted: bool = True,
        reduction: Reduction = "mean",
        loss_weight: float = 1.0,
        *,
        group: Group = None,
    ) -> None:
        super().__init__(use_sigmoid, reduction, loss_weight, False, group)
        if not iou_weighted:
            raise NotImplementedError("`iou_weighted` must be True, got False; there is no other here")
        self.alpha = options.parameter("alpha", alpha)
        self.gamma = options.parameter("gamma", gamma)
        self.iou_weighted = iou_weighted

    @naming("target", "pred")
    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: Reduction | None = None,
    ) -> Tensor:
        """Compute the loss."""
        check_shape("target", target, "`pred`", pred)
        loss = varifocal_loss(target, exact(pred), self.alpha, self.gamma, from_logits=True)
        return self.reduced(loss, weight, avg_factor, reduction_override)


class GaussianFocalLoss(_Loss):
    """The penalty-reduced focal loss of a heatmap, of probabilities as in mmdet: they are clamped here."""

    def __init__(
        self,
        alpha: float = 2.0,
        gamma: float = 4.0,
        reduction: Reduction = "mean",
        loss_weight: float = 1.0,
        pos_weight: float = 1.0,
        neg_weight: float = 1.0,
        *,
        group: Group = None,
    ) -> None:
        super().__init__(True, reduction, loss_weight, False, group)
        self.alpha = options.parameter("alpha", alpha)
        self.gamma = options.parameter("gamma", gamma)
        self.pos_weight = pos_weight
        self.neg_weight = neg_weight

    @naming("target", "pred")
    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: Reduction | None = None,
    ) -> Tensor:
        """Compute the loss."""
        check_shape("target", target, "`pred`", pred)
        loss = penalty_reduced_focal_loss(target, exact(pred), self.alpha, self.gamma)
        if (self.pos_weight, self.neg_weight) != (1.0, 1.0):
            loss = loss * torch.where(target == 1, self.pos_weight, self.neg_weight)
        return self.reduced(loss, weight, avg_factor, reduction_override)
