"""The losses as `torch.nn.Module`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from focal_loss import _spec
from focal_loss._docs import MEAN_VALID, REDUCTION, documented
from focal_loss._shapes import aligned
from focal_loss.torch._backend import XP
from focal_loss.torch._functions import (
    binary_focal_loss,
    categorical_focal_loss,
    sparse_categorical_focal_loss,
)

DATA = ("y_true", "y_pred")


class _Loss(torch.nn.Module):
    """Options as attributes: numbers as they are, arrays as buffers, parameters as parameters."""

    reduction: _spec.Reduction

    def keep(self, spec: Any, reduction: _spec.Reduction, **parameters: _spec.Parameter | None) -> None:
        """`spec` has checked the options; arrays among them follow the module to its device."""
        self.reduction = _spec.reduction(reduction)
        for name, value in parameters.items():
            if value is None or _spec.is_number(value) or isinstance(value, torch.nn.Parameter):
                setattr(self, name, value)
            else:
                self.register_buffer(
                    name,
                    value if isinstance(value, Tensor) else torch.as_tensor(getattr(spec, name), dtype=torch.float64),
                )

    def labels_and_prediction(self, y_true: Any, y_pred: Any) -> tuple[Tensor, Tensor]:
        y_pred = y_pred if isinstance(y_pred, Tensor) else XP.prediction(y_pred)
        y_true = XP.labels(y_true, y_pred)
        if not y_pred.is_floating_point() or (y_true.requires_grad and not y_pred.requires_grad):
            raise TypeError(
                f"`y_pred` must hold the predictions, got {y_pred.dtype} without a gradient; the order of the "
                "arguments is (y_true, y_pred), as everywhere in focal_loss"
            )
        return y_true, y_pred

    def extra_repr(self) -> str:
        shown = {k: v for k, v in vars(self).items() if not k.startswith("_") and k != "training"}
        shown |= {k: v.tolist() for k, v in self.named_buffers()}
        return ", ".join(f"{k}={v!r}" for k, v in shown.items())


@documented("binary_focal_loss", REDUCTION.format(mean=""), without=DATA)
class BinaryFocalLoss(_Loss):
    """`binary_focal_loss` as a module: ``loss(y_true, y_pred)``.

    A label of shape (N,) beside a prediction of shape (N, 1), or the other way round, is aligned, not broadcast.
    `gamma` and `pos_weight` may be `torch.nn.Parameter`: they have gradients.

    {contract}

    Examples
    --------
    >>> import torch
    >>> from focal_loss.torch import BinaryFocalLoss
    >>> loss = BinaryFocalLoss(gamma=2, from_logits=True)
    >>> loss(torch.tensor([1, 0]), torch.zeros(2, 1))
    tensor(0.1733)
    """

    gamma: Any
    pos_weight: Any

    def __init__(
        self,
        gamma: _spec.Parameter,
        *,
        pos_weight: _spec.Parameter | None = None,
        from_logits: bool = False,
        label_smoothing: float | None = None,
        reduction: _spec.Reduction = "mean",
    ) -> None:
        super().__init__()
        spec = _spec.Binary(gamma, pos_weight, from_logits, label_smoothing)
        self.keep(spec, reduction, gamma=gamma, pos_weight=pos_weight)
        self.from_logits, self.label_smoothing = from_logits, label_smoothing

    def forward(self, y_true: Any, y_pred: Any) -> Tensor:
        """The reduced loss of labels and predictions that broadcast."""
        return binary_focal_loss(
            *aligned(*self.labels_and_prediction(y_true, y_pred)),
            self.gamma,
            pos_weight=self.pos_weight,
            from_logits=self.from_logits,
            label_smoothing=self.label_smoothing,
            reduction=self.reduction,
        )


@documented("categorical_focal_loss", REDUCTION.format(mean=""), without=DATA)
class CategoricalFocalLoss(_Loss):
    """`categorical_focal_loss` as a module: ``loss(y_true, y_pred)``.

    {contract}

    Examples
    --------
    >>> import torch
    >>> from focal_loss.torch import CategoricalFocalLoss
    >>> loss = CategoricalFocalLoss(gamma=2, from_logits=True, axis=1)
    >>> loss(torch.eye(3)[None, :, :1], torch.zeros(1, 3, 1))
    tensor(0.4883)
    """

    gamma: Any
    class_weight: Any

    def __init__(
        self,
        gamma: _spec.Parameter,
        *,
        class_weight: _spec.Parameter | None = None,
        from_logits: bool = False,
        label_smoothing: float | None = None,
        axis: int = -1,
        reduction: _spec.Reduction = "mean",
    ) -> None:
        super().__init__()
        spec = _spec.Categorical(gamma, class_weight, from_logits, label_smoothing, axis)
        self.keep(spec, reduction, gamma=gamma, class_weight=class_weight)
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis

    def forward(self, y_true: Any, y_pred: Any) -> Tensor:
        """The reduced loss of dense labels and predictions of one shape."""
        return categorical_focal_loss(
            *self.labels_and_prediction(y_true, y_pred),
            self.gamma,
            class_weight=self.class_weight,
            from_logits=self.from_logits,
            label_smoothing=self.label_smoothing,
            axis=self.axis,
            reduction=self.reduction,
        )


@documented("sparse_categorical_focal_loss", REDUCTION.format(mean=MEAN_VALID), without=DATA)
class SparseCategoricalFocalLoss(_Loss):
    """`sparse_categorical_focal_loss` as a module: ``loss(y_true, y_pred)``.

    {contract}

    Examples
    --------
    >>> import torch
    >>> from focal_loss.torch import SparseCategoricalFocalLoss
    >>> loss = SparseCategoricalFocalLoss(gamma=2, from_logits=True, axis=1, ignore_class=255)
    >>> loss(torch.tensor([[0, 255]]), torch.zeros(1, 3, 2))
    tensor(0.4883)
    """

    gamma: Any
    class_weight: Any

    def __init__(
        self,
        gamma: _spec.Parameter,
        *,
        class_weight: _spec.Parameter | None = None,
        from_logits: bool = False,
        axis: int = -1,
        ignore_class: int | None = None,
        reduction: _spec.Reduction = "mean",
    ) -> None:
        super().__init__()
        spec = _spec.SparseCategorical(gamma, class_weight, from_logits, axis, ignore_class)
        self.keep(spec, reduction, gamma=gamma, class_weight=class_weight)
        self.from_logits, self.axis, self.ignore_class = from_logits, axis, ignore_class

    def forward(self, y_true: Any, y_pred: Any) -> Tensor:
        """The reduced loss of class indices and predictions."""
        return sparse_categorical_focal_loss(
            *self.labels_and_prediction(y_true, y_pred),
            self.gamma,
            class_weight=self.class_weight,
            from_logits=self.from_logits,
            axis=self.axis,
            ignore_class=self.ignore_class,
            reduction=self.reduction,
        )
