"""`ultralytics.utils.loss`."""

from __future__ import annotations

import torch
from torch import Tensor

from focal_loss._core import options
from focal_loss._core.options import ParameterLike
from focal_loss.torch._backend import XP
from focal_loss.torch._functions import sigmoid_focal_loss, varifocal_loss
from focal_loss.torch.compat._tensors import check_shape, exact, naming

__all__ = ["FocalLoss", "VarifocalLoss"]


class FocalLoss(torch.nn.Module):
    """The mean over axis 1 of the focal loss of logits, and its sum over the other axes: ``loss(pred, label)``.

    `alpha` is a number or one for each class; 0 weighs nothing.
    """

    def __init__(self, gamma: float = 1.5, alpha: ParameterLike = 0.25) -> None:
        super().__init__()
        self.gamma = options.parameter("gamma", gamma)
        weighs_nothing = isinstance(alpha, (int, float)) and alpha <= 0
        self.alpha = -1 if weighs_nothing else options.fraction("alpha", alpha)

    @naming("label", "pred")
    def forward(self, pred: Tensor, label: Tensor) -> Tensor:
        """Compute the loss."""
        check_shape("label", label, "`pred`", pred)
        return sigmoid_focal_loss(pred, label, self.alpha, self.gamma, "sum") / max(pred.shape[1], 1)


class VarifocalLoss(torch.nn.Module):
    """The mean over axis 1 of the varifocal loss of logits, and its sum over the other axes.

    It is called by ``loss(pred_score, gt_score, label)``. Where `label` is 1 and the score 0, the loss is 0.
    """

    def __init__(self, gamma: float = 2.0, alpha: float = 0.75) -> None:
        super().__init__()
        self.gamma = options.parameter("gamma", gamma)
        self.alpha = options.parameter("alpha", alpha)

    @naming("gt_score", "pred_score")
    def forward(self, pred_score: Tensor, gt_score: Tensor, label: Tensor) -> Tensor:
        """Compute the loss."""
        check_shape("gt_score", gt_score, "`pred_score`", pred_score)
        check_shape("label", label, "`pred_score`", pred_score)
        own = label > 0
        if XP.readable(label) and bool(((gt_score > 0) & ~own).any()):
            raise ValueError("`gt_score` must be 0 where `label` is, as the assigners make it")
        score = torch.where(own, gt_score, 0.0)
        loss = varifocal_loss(score, exact(pred_score), self.alpha, self.gamma, from_logits=True)
        return torch.where(own & (gt_score <= 0), 0.0, loss).sum() / max(pred_score.shape[1], 1)
