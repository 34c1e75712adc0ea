"""`transformers.loss.loss_for_object_detection`, as the detectors of the DETR family call it."""

from __future__ import annotations

from torch import Tensor

from focal_loss.torch._functions import sigmoid_focal_loss as _sigmoid_focal_loss

__all__ = ["sigmoid_focal_loss"]


def sigmoid_focal_loss(
    inputs: Tensor, targets: Tensor, num_boxes: float | Tensor, alpha: float = 0.25, gamma: float = 2
) -> Tensor:
    """Compute the mean over axis 1 of the focal loss of logits, its sum over the other axes, divided by `num_boxes`.

    A negative `alpha` weighs nothing.
    """
    total = _sigmoid_focal_loss(inputs, targets, alpha if alpha >= 0 else -1, gamma, "sum")
    return total / inputs.shape[1] / num_boxes
