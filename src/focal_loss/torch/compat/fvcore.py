"""`fvcore.nn.focal_loss`, which detectron2 imports.

The functions named `_jit` are the same ones: there is nothing to compile.
"""

from __future__ import annotations

from torch import Tensor

from focal_loss._core import options, pipeline
from focal_loss._core.options import Reduction
from focal_loss.torch._backend import XP
from focal_loss.torch._functions import binary_focal_loss
from focal_loss.torch._functions import sigmoid_focal_loss as _sigmoid_focal_loss
from focal_loss.torch._normalizer import Group, check_group
from focal_loss.torch.compat._tensors import check_shape, exact, mean, naming

__all__ = [
    "sigmoid_focal_loss",
    "sigmoid_focal_loss_jit",
    "sigmoid_focal_loss_star",
    "sigmoid_focal_loss_star_jit",
]


@naming("targets", "inputs")
def sigmoid_focal_loss(
    inputs: Tensor,
    targets: Tensor,
    alpha: float = -1,
    gamma: float = 2,
    reduction: Reduction = "none",
    *,
    group: Group = None,
) -> Tensor:
    """Compute the focal loss of logits. A negative `alpha` weighs nothing. The result is float32 for half precision.

    `group` is a process group, True for the default one, over which a mean is taken.
    """
    check_shape("targets", targets, "`inputs`", inputs)
    return _sigmoid_focal_loss(exact(inputs), targets, alpha if alpha >= 0 else -1, gamma, reduction, group=group)


@naming("targets", "inputs")
def sigmoid_focal_loss_star(
    inputs: Tensor,
    targets: Tensor,
    alpha: float = -1,
    gamma: float = 1,
    reduction: Reduction = "none",
    *,
    group: Group = None,
) -> Tensor:
    """Compute FL*, softplus(-gamma s) / gamma of a margin s: cross-entropy of a steeper sigmoid, of hard targets.

    `group` as in `sigmoid_focal_loss`.
    """
    if not gamma > 0:
        raise ValueError(f"`gamma` must be a positive number, got {gamma}")
    check_group(group, options.reduction(reduction))
    check_shape("targets", targets, "`inputs`", inputs)
    x = exact(inputs)
    pipeline.check_labels(XP, targets, x)
    y = targets.to(x.dtype)
    loss = binary_focal_loss(x.new_ones(()), gamma * x * (2 * y - 1), 0.0, from_logits=True) / gamma
    if alpha >= 0:
        alpha = options.fraction("alpha", alpha)
        loss = loss * (alpha * y + (1 - alpha) * (1 - y))
    if reduction == "none":
        return loss
    return mean(loss.sum(), loss.numel(), group) if reduction == "mean" else loss.sum()


sigmoid_focal_loss_jit = sigmoid_focal_loss
sigmoid_focal_loss_star_jit = sigmoid_focal_loss_star
