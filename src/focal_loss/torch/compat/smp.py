"""`segmentation_models_pytorch.losses`: focal loss of each class against the rest, whatever the mode."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from focal_loss._core import options
from focal_loss._core.options import Reduction
from focal_loss.torch._functions import sigmoid_focal_loss
from focal_loss.torch._normalizer import Group, Grouped, check_group
from focal_loss.torch.compat._tensors import check_shape, exact, mean, one_hot

__all__ = ["FocalLoss"]

MODES = ("binary", "multiclass", "multilabel")


class FocalLoss(Grouped):
    """``loss(y_pred, y_true)``, of logits (N, C, ...), in the order of segmentation_models_pytorch.

    A multiclass model is not a softmax here but a sigmoid for each class, as there. A label is hard: for soft ones
    that library has a focal factor of its own, and they are an error. The mean is over the processes of a `group` if it
    is given, True for the default one.
    """

    def __init__(
        self,
        mode: Literal["binary", "multiclass", "multilabel"],
        alpha: float | None = None,
        gamma: float = 2.0,
        ignore_index: int | None = None,
        from_logits: bool = True,
        eps: float = 1e-7,
        reduction: Reduction = "mean",
        normalized: bool = False,
        reduced_threshold: float | None = None,
        class_weights: list[float] | None = None,
        *,
        group: Group = None,
    ) -> None:
        super().__init__()
        if mode not in MODES:
            raise ValueError(f"`mode` must be 'binary', 'multiclass' or 'multilabel', got {mode!r}")
        for name, value, only in (
            ("from_logits", from_logits, True),
            ("normalized", normalized, False),
            ("reduced_threshold", reduced_threshold, None),
        ):
            if value is not only:
                raise NotImplementedError(f"`{name}` must be {only}, got {value}; there is no other here")
        if class_weights is not None and mode == "binary":
            raise ValueError("`class_weights` must be None in the mode 'binary'")
        if options.reduction(reduction) == "none" and mode != "binary":
            raise ValueError(f"`reduction` must be 'mean' or 'sum' in the mode {mode!r}, got 'none'")
        check_group(group, options.reduction(reduction))
        self.group = group
        self.mode = mode
        self.alpha = -1 if alpha is None else options.fraction("alpha", alpha)
        self.gamma = options.parameter("gamma", gamma)
        self.ignore_index = ignore_index
        self.eps = eps
        self.reduction = reduction
        self.class_weights = None
        if class_weights is not None:
            weights = options.parameter("class_weights", class_weights)
            self.class_weights = torch.as_tensor(weights, dtype=torch.float32)
            if not self.class_weights.sum() > 0:
                raise ValueError("`class_weights` must not all be 0, for the loss divides by their sum")

    def forward(self, y_pred: Tensor, y_true: Tensor) -> Tensor:
        """Compute the loss; of several classes the mean of each one's own."""
        x = exact(y_pred)
        counted = None if self.ignore_index is None else y_true != self.ignore_index
        if self.mode == "binary":
            x, y = x.reshape(-1), y_true.reshape(-1)
            check_shape("y_true", y, "`y_pred`", x)
            if counted is not None:
                x, y = x[counted.reshape(-1)], y[counted.reshape(-1)]
            return sigmoid_focal_loss(x, _hard(y), self.alpha, self.gamma, self.reduction, group=self.group)
        classes = x.shape[1]
        if self.mode == "multiclass":
            check_shape("y_true", y_true, "`y_pred[:, 0]`", x[:, 0])
            y = one_hot("y_true", y_true, classes, ignore=self.ignore_index)
            counted = None if counted is None else counted.unsqueeze(1).expand_as(x)
        else:
            check_shape("y_true", y_true, "`y_pred`", x)
            y = _hard(y_true if counted is None else torch.where(counted, y_true, 0))
        if self.class_weights is not None and len(self.class_weights) != classes:
            raise ValueError(
                f"`class_weights` must have one entry per class ({classes}), got {len(self.class_weights)}"
            )
        x = x if counted is None else torch.where(counted, x, 0.0)  # an ignored logit may be NaN
        loss = sigmoid_focal_loss(x, y, self.alpha, self.gamma)
        if counted is not None:
            loss = torch.where(counted, loss, 0.0)
        axes = [k for k in range(loss.ndim) if k != 1]
        each = loss.sum(axes)
        if self.reduction == "mean":
            each = mean(each, loss.numel() // max(classes, 1) if counted is None else counted.sum(axes), self.group)
        if self.class_weights is None:
            return each.mean()
        weights = self.class_weights.to(each.device)
        return (each * weights).sum() / weights.sum()


def _hard(y: Tensor) -> Tensor:
    """Labels of 0 and 1, which losses of floats would take for soft ones."""
    if not y.is_floating_point():
        return y
    if not torch.compiler.is_compiling() and bool(((y != 0) & (y != 1)).any()):
        raise ValueError("`y_true` must hold 0 and 1, since segmentation_models_pytorch mixes soft labels otherwise")
    return y > 0
