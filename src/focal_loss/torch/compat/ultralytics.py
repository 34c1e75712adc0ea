"""`ultralytics.utils.loss`."""

from __future__ import annotations

import torch
from torch import Tensor

from focal_loss.torch._functions import sigmoid_focal_loss

__all__ = ["FocalLoss"]


class FocalLoss(torch.nn.Module):
    """The mean over axis 1 of the focal loss of logits, and its sum over the other axes: ``loss(pred, label)``.

    An `alpha` of 0 weighs nothing.
    """

    def __init__(self, gamma: float = 1.5, alpha: float = 0.25) -> None:
        super().__init__()
        self.gamma = gamma
        self.alpha = alpha

    def forward(self, pred: Tensor, label: Tensor) -> Tensor:
        """Compute the loss."""
        return sigmoid_focal_loss(pred, label, self.alpha if self.alpha > 0 else -1, self.gamma, "sum") / pred.shape[1]
