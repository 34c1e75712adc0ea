"""`monai.losses.FocalLoss`: ``loss(input, target)``, of logits (B, N, ...), by sigmoids or by a softmax."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from focal_loss._core import binary_losses, checks, options, pipeline
from focal_loss._core.options import Reduction
from focal_loss.torch._backend import XP
from focal_loss.torch._normalizer import Group, Grouped, check_group
from focal_loss.torch.compat._tensors import check_shape, exact, mean, naming, one_hot

__all__ = ["FocalLoss"]


class FocalLoss(Grouped):
    """The focal loss of logits and labels of the same shape, or of class indices (B, 1, ...) with `to_onehot_y`.

    Labels are soft in two terms, by sigmoids too, where MONAI has a focal factor of its own. With `use_softmax` the
    result keeps the class axis. As in MONAI, the sum is over the means of the spatial axes. Losses are float32. The
    mean is over the processes of a `group` if it is given, True for the default one.
    """

    class_weight: Tensor | None

    def __init__(
        self,
        include_background: bool = True,
        to_onehot_y: bool = False,
        gamma: float = 2.0,
        alpha: float | Sequence[float] | None = None,
        weight: Sequence[float] | float | Tensor | None = None,
        reduction: Reduction = "mean",
        use_softmax: bool = False,
        *,
        group: Group = None,
    ) -> None:
        super().__init__()
        if use_softmax and not include_background and options.is_number(alpha):
            raise ValueError("`alpha` must be None or have one entry per class where the softmax has no background")
        if not options.is_number(gamma):
            raise TypeError(f"`gamma` must be a number, got {checks.shown(gamma)}")
        self.include_background = include_background
        self.to_onehot_y = to_onehot_y
        self.gamma = options.parameter("gamma", gamma)
        self.alpha: Any = None if alpha is None else options.fraction("alpha", alpha)
        self.reduction = options.reduction(getattr(reduction, "value", reduction))
        check_group(group, self.reduction)
        self.group = group
        self.use_softmax = use_softmax
        if weight is not None:
            weight = torch.as_tensor(options.parameter("weight", weight), dtype=torch.float32)
        self.register_buffer("class_weight", weight)

    @naming("target", "input")
    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        """Compute the loss."""
        x, y = exact(input), target
        if x.shape[1] == 1 and (self.to_onehot_y or not self.include_background):
            XP.warn("`to_onehot_y` and `include_background` have no effect on logits of one class")
        if x.shape[1] > 1:
            if self.to_onehot_y:
                if y.ndim != x.ndim or y.shape[1] != 1:
                    raise ValueError(
                        f"`target` of shape {tuple(y.shape)} must have a class axis of length 1, and the rank of "
                        "`input`, with `to_onehot_y=True`"
                    )
                y = one_hot("target", y[:, 0], x.shape[1])
            if not self.include_background:
                x, y = x[:, 1:], y[:, 1:]
        check_shape("target", y, "`input`", x)
        loss = self._by_softmax(x, y) if self.use_softmax else self._by_sigmoids(x, y)
        if self.class_weight is not None:
            loss = loss * self._along_classes(self.class_weight, x)
        if self.reduction == "sum" and x.ndim > 2:
            loss = loss.mean(list(range(2, x.ndim)))
        if self.reduction == "none":
            return loss
        return mean(loss.sum(), loss.numel(), self.group) if self.reduction == "mean" else loss.sum()

    def _along_classes(self, values: Any, x: Tensor) -> Tensor:
        """One for each class, beside logits."""
        tensor = torch.as_tensor(values, dtype=x.dtype, device=x.device)
        if tensor.ndim and tensor.shape != x.shape[1:2]:
            raise ValueError(f"`alpha` and `weight` must have one entry per class ({x.shape[1]}), got {len(tensor)}")
        return tensor.reshape(-1, *[1] * (x.ndim - 2)) if tensor.ndim else tensor

    def _by_sigmoids(self, x: Tensor, y: Tensor) -> Tensor:
        positive: Any = 1.0
        negative = 1.0
        if options.is_number(self.alpha):
            positive, negative = self.alpha, 1 - self.alpha
        elif self.alpha is not None:  # of classes, as in MONAI, the positives alone
            positive = self._along_classes(self.alpha, x)
        call = pipeline.BinaryCall(x, XP.labels(y, x), self.gamma, positive, negative)
        return binary_losses.binary_from(XP, call, from_logits=True)

    def _by_softmax(self, x: Tensor, y: Tensor) -> Tensor:
        pipeline.check_labels(XP, XP.labels(y, x), x)
        alpha: Any = 1.0
        if options.is_number(self.alpha):
            alpha = self._along_classes([1 - self.alpha] + [self.alpha] * (x.shape[1] - 1), x)
        elif self.alpha is not None:
            alpha = self._along_classes(self.alpha, x)
        return XP.elementwise("margin", XP.margin(x, None, 1), self.gamma, alpha, y.to(x.dtype))
