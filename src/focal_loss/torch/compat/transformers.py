"""The loss and the matching cost of the detectors of the DETR family in `transformers.loss`."""

from __future__ import annotations

import torch
from torch import Tensor

from focal_loss._core import checks
from focal_loss.torch._backend import XP
from focal_loss.torch._functions import focal_matching_cost
from focal_loss.torch._functions import sigmoid_focal_loss as _sigmoid_focal_loss
from focal_loss.torch.compat._tensors import check_shape, exact, naming

__all__ = ["class_cost", "sigmoid_focal_loss"]


@naming("targets", "inputs")
def sigmoid_focal_loss(
    inputs: Tensor, targets: Tensor, num_boxes: float | Tensor, alpha: float = 0.25, gamma: float = 2
) -> Tensor:
    """Compute the mean over axis 1 of the focal loss of logits, its sum over the other axes, divided by `num_boxes`.

    A negative `alpha` weighs nothing.
    """
    check_shape("targets", targets, "`inputs`", inputs)
    total = _sigmoid_focal_loss(inputs, targets, alpha if alpha >= 0 else -1, gamma, "sum")
    return total / max(inputs.shape[1], 1) / num_boxes


@torch.no_grad()
def class_cost(logits: Tensor, target_ids: Tensor, alpha: float = 0.25, gamma: float = 2) -> Tensor:
    """Compute `class_cost` of the Hungarian matchers, the cost of each query (..., K) for each class index (M,).

    The result (queries, M) is float32 where logits are narrower: in float16 the matchers' own has infinite entries.
    """
    x = exact(logits.flatten(0, -2))
    if XP.readable(target_ids):
        checks.check_classes(XP.to_numpy(target_ids), x.shape[-1], None, "target_ids")
    target_ids = target_ids.long()  # bytes would be a mask
    # The fewer columns: those of the targets, or of all classes.
    if len(target_ids) < x.shape[-1]:
        cost = focal_matching_cost(x[:, target_ids], alpha, gamma, from_logits=True)
    else:
        cost = focal_matching_cost(x, alpha, gamma, from_logits=True)[:, target_ids]
    return cost.masked_fill(target_ids < 0, float("nan"))  # where it could not be read, -1 would be the last class
