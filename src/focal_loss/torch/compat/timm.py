"""`timm.loss`: the asymmetric losses of several labels and of one, of logits (N, K)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from focal_loss._core import options, pipeline
from focal_loss.torch._backend import XP
from focal_loss.torch._functions import asymmetric_loss, sparse_categorical_focal_loss
from focal_loss.torch._normalizer import Group, Grouped, check_group
from focal_loss.torch.compat._tensors import check_shape, exact, mean, naming

__all__ = ["AsymmetricLossMultiLabel", "AsymmetricLossSingleLabel"]

REDUCTIONS = ("batchmean", "sum", "mean", "none")


class AsymmetricLossMultiLabel(Grouped):
    """The asymmetric loss of logits and labels, summed over the classes and averaged over the batch unless told.

    Labels of 0 and 1 have the values of timm; soft ones are two-term, where timm mixes them into the probability. There
    is no `eps`, as nothing is cut off. A mean is over the processes of a `group` if it is given, True for the default
    one.
    """

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(
        self,
        gamma_neg: float = 4,
        gamma_pos: float = 1,
        clip: float | None = 0.05,
        eps: float = 1e-8,
        disable_torch_grad_focal_loss: bool = False,
        smoothing: float = 0.0,
        reduction: Literal["batchmean", "sum", "mean", "none"] = "batchmean",
        weight: Tensor | None = None,
        pos_weight: Tensor | float | None = None,
        *,
        group: Group = None,
    ) -> None:
        super().__init__()
        if disable_torch_grad_focal_loss or smoothing:
            raise NotImplementedError(
                "`disable_torch_grad_focal_loss` must be False and `smoothing` 0: here the gradient is that of the "
                "loss, and soft labels are two-term"
            )
        if reduction not in REDUCTIONS:
            raise ValueError(f"`reduction` must be 'batchmean', 'sum', 'mean' or 'none', got {reduction!r}")
        check_group(group, "mean" if reduction == "batchmean" else reduction)
        self.group = group
        self.gamma_neg = options.parameter("gamma_neg", gamma_neg)
        self.gamma_pos = options.parameter("gamma_pos", gamma_pos)
        self.clip = 0.0 if clip is None else options.clip("clip", clip)
        self.eps = eps
        self.reduction = reduction
        for name, value in (("weight", weight), ("pos_weight", pos_weight)):
            given: Any = None if value is None else options.weight(name, value)
            ready = given is None or isinstance(given, Tensor)
            self.register_buffer(name, given if ready else torch.as_tensor(given, dtype=torch.float32))

    @naming("y", "x")
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Compute the loss."""
        check_shape("y", y, "`x`", x)
        x = exact(x)
        if self.pos_weight is None:
            loss = self._of(y, x)
        else:
            pipeline.check_labels(XP, y, x)
            y = y.to(x.dtype)
            positive, negative = self._of(torch.ones_like(y), x), self._of(torch.zeros_like(y), x)
            # A term without weight is 0 where its loss is infinite.
            loss = torch.where(y > 0, self.pos_weight * y * positive, 0.0) + torch.where(y < 1, (1 - y) * negative, 0.0)
        if self.weight is not None:
            loss = loss * self.weight
        if self.reduction == "none":
            return loss
        total = loss.sum()
        if self.reduction == "sum":
            return total
        return mean(total, x.shape[0] if self.reduction == "batchmean" else loss.numel(), self.group)

    def _of(self, y: Tensor, x: Tensor) -> Tensor:
        return asymmetric_loss(y, x, self.gamma_pos, self.gamma_neg, self.clip, from_logits=True)


class AsymmetricLossSingleLabel(Grouped):
    """The softmax focal loss of class indices (N,) and logits (N, K), smoothed by `eps` with focal factors of its own.

    The classes other than the true one, each of which has the label eps / K, count with the factor p**gamma_neg: only
    those that are likely. Losses are float32 where logits are narrower. The mean is over the processes of a `group` if
    it is given, True for the default one.
    """

    def __init__(
        self,
        gamma_pos: float = 1,
        gamma_neg: float = 4,
        eps: float = 0.1,
        reduction: Literal["mean", "none"] = "mean",
        *,
        group: Group = None,
    ) -> None:
        super().__init__()
        if reduction not in ("mean", "none"):
            raise ValueError(f"`reduction` must be 'mean' or 'none', got {reduction!r}")
        check_group(group, reduction)
        self.group = group
        self.gamma_pos = options.parameter("gamma_pos", gamma_pos)
        self.gamma_neg = options.parameter("gamma_neg", gamma_neg)
        self.eps = options.smoothing("eps", eps) or 0.0
        self.reduction = reduction

    @naming("target", "inputs")
    def forward(self, inputs: Tensor, target: Tensor) -> Tensor:
        """Compute the loss."""
        x = exact(inputs)
        loss = sparse_categorical_focal_loss(target, x, self.gamma_pos, from_logits=True)
        if self.eps:
            smoothed = self.eps / x.shape[-1]
            # The least number in place of -inf, which 0 or the loss itself would make NaN.
            log_p = x.log_softmax(-1).clamp(min=torch.finfo(x.dtype).min)
            index = target.long().reshape(loss.shape).unsqueeze(-1)
            log_p = log_p.scatter(-1, index, 0.0)  # the true class has its loss already
            others = ((self.gamma_neg * log_p).exp() * (-smoothed * log_p)).sum(-1)
            loss = (1 - self.eps + smoothed) * loss + others
        return loss if self.reduction == "none" else mean(loss.sum(), loss.numel(), self.group)
