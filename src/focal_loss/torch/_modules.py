"""The losses as `torch.nn.Module`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from focal_loss._core import options
from focal_loss._core.docs import MEAN_VALID, TORCH_REDUCTION, documented
from focal_loss._core.pipeline import check_dense
from focal_loss._core.shapes import aligned, check_pairs, normalize_axis
from focal_loss.torch._backend import XP
from focal_loss.torch._functions import (
    binary_focal_loss,
    categorical_focal_loss,
    sparse_categorical_focal_loss,
)

DATA = ("y_true", "y_pred")
ORDER = "the order of the arguments is (y_true, y_pred), as everywhere in focal_loss"
MOST_SHOWN = 10  # numbers of an array in a module's `repr`


class _Loss(torch.nn.Module):
    """Options as attributes: numbers as they are, arrays as buffers, parameters as parameters.

    A list or a NumPy array is a float32 buffer, because not every device has float64. Its exact numbers are kept beside
    it, for logits in float64.
    """

    reduction: options.Reduction
    from_logits: bool

    def keep(self, spec: Any, reduction: options.Reduction, **parameters: options.Parameter | None) -> None:
        """`spec` has checked the options; arrays among them follow the module to its device."""
        self.reduction = options.reduction(reduction)
        self._exact: dict[str, Any] = {}
        for name, value in parameters.items():
            if value is None or options.is_number(value) or isinstance(value, torch.nn.Parameter):
                setattr(self, name, value)
            elif isinstance(value, Tensor):
                self.register_buffer(name, value)
            else:
                self._exact[name] = np.asarray(getattr(spec, name), np.float64).tolist()
                self.register_buffer(name, torch.as_tensor(self._exact[name], dtype=torch.float32))

    def option(self, name: str, like: Tensor) -> Any:
        """Gamma or a weight for these predictions.

        In float64 each entry that is still what a number of the list was rounded to is that number: buffers may have
        been loaded or written to since. On the "meta" device a buffer has no numbers, so there the list stands for it.
        """
        value = getattr(self, name)
        if name not in self._exact or not isinstance(value, Tensor) or value.requires_grad:
            return value
        if value.is_meta:
            return self._exact[name]
        if like.dtype != torch.float64:
            return value
        exact = torch.as_tensor(self._exact[name], dtype=torch.float64, device=value.device)
        return torch.where(value == exact.to(torch.float32), exact, value)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """What moves and casts a module. A cast to half precision leaves gamma and weights as they are.

        A weight of 1e5 would be infinite and one of 1e-8 would be 0, and the loss is computed in float32 anyway. A
        buffer that leaves the "meta" device is filled in again.
        """
        empty = [name for name, buffer in self.named_buffers(recurse=False) if name in self._exact and buffer.is_meta]
        super()._apply(lambda tensor: _cast(tensor, fn), recurse)
        for name in empty:
            if not getattr(self, name).is_meta:
                getattr(self, name).copy_(torch.tensor(self._exact[name], dtype=torch.float64, device="cpu"))
        return self

    def labels_and_prediction(self, y_true: Any, y_pred: Any) -> tuple[Tensor, Tensor]:
        prediction = XP.prediction(y_pred)
        labels = XP.labels(y_true, prediction)
        if labels.requires_grad and not prediction.requires_grad:
            raise TypeError(f"`y_pred` must hold the predictions, but only `y_true` has a gradient; {ORDER}")
        if isinstance(y_pred, Tensor) and not y_pred.is_floating_point():
            swapped = labels.is_floating_point()
            remedy = ORDER if swapped else "call `y_pred.float()` if these are predictions"
            raise TypeError(f"`y_pred` must be a floating tensor of predictions, got {y_pred.dtype}; {remedy}")
        if not prediction.requires_grad and XP.readable(labels) and XP.readable(prediction):
            self._warn_if_swapped(labels, prediction)
        return labels, prediction

    def _warn_if_swapped(self, labels: Tensor, prediction: Tensor) -> None:
        """In a validation loop nothing has a gradient. Logits as labels are out of range, but probabilities are not."""
        like_each_other = labels.is_floating_point() and labels.numel() == prediction.numel()
        if not self.from_logits and like_each_other and _is_hard(prediction) and not _is_hard(labels):
            XP.warn(f"`y_pred` holds nothing but 0 and 1, and `y_true` other numbers; {ORDER}")

    def extra_repr(self) -> str:
        shown = {k: v for k, v in vars(self).items() if not k.startswith("_") and k != "training"}
        shown |= {**dict(self.named_parameters(recurse=False)), **dict(self.named_buffers(recurse=False))}
        return ", ".join(f"{k}={_shown(v) if isinstance(v, Tensor) else repr(v)}" for k, v in shown.items())


def _cast(tensor: Tensor, fn: Callable[[Tensor], Tensor]) -> Tensor:
    """`fn` of a tensor, but for a cast to half precision."""
    result = fn(tensor)
    narrowed = result.dtype.itemsize < 4 and result.dtype != tensor.dtype
    return tensor.to(result.device) if narrowed else result


def _is_hard(x: Tensor) -> bool:
    """Whether all numbers are 0 or 1; a few tell for nearly all predictions that they are not."""
    return all(bool(((part == 0) | (part == 1)).all()) for part in (x.reshape(-1)[:64], x))


def _shown(tensor: Tensor) -> str:
    """A few numbers as they are, many by their shape."""
    if tensor.is_meta or tensor.ndim > 1 or tensor.numel() > MOST_SHOWN:
        return f"tensor of shape {tuple(tensor.shape)}"
    numbers = [float(f"{x:.6g}") for x in tensor.reshape(-1).tolist()]
    return repr(numbers if tensor.ndim else numbers[0])


@documented("binary_focal_loss", TORCH_REDUCTION.format(mean=""), without=DATA)
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
        gamma: options.Parameter,
        *,
        pos_weight: options.Parameter | None = None,
        from_logits: bool = False,
        label_smoothing: float | None = None,
        reduction: options.Reduction = "mean",
    ) -> None:
        super().__init__()
        spec = options.Binary(gamma, pos_weight, from_logits, label_smoothing)
        self.keep(spec, reduction, gamma=gamma, pos_weight=pos_weight)
        self.from_logits, self.label_smoothing = from_logits, label_smoothing

    def forward(self, y_true: Any, y_pred: Any) -> Tensor:
        """The reduced loss of labels and predictions that broadcast."""
        labels, prediction = aligned(*self.labels_and_prediction(y_true, y_pred))
        check_pairs(labels.shape, prediction.shape)
        return binary_focal_loss(
            labels,
            prediction,
            self.option("gamma", prediction),
            pos_weight=self.option("pos_weight", prediction),
            from_logits=self.from_logits,
            label_smoothing=self.label_smoothing,
            reduction=self.reduction,
        )


@documented("categorical_focal_loss", TORCH_REDUCTION.format(mean=""), without=DATA)
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
        gamma: options.Parameter,
        *,
        class_weight: options.Parameter | None = None,
        from_logits: bool = False,
        label_smoothing: float | None = None,
        axis: int = -1,
        reduction: options.Reduction = "mean",
    ) -> None:
        super().__init__()
        spec = options.Categorical(gamma, class_weight, from_logits, label_smoothing, axis)
        self.keep(spec, reduction, gamma=gamma, class_weight=class_weight)
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis

    def forward(self, y_true: Any, y_pred: Any) -> Tensor:
        """The reduced loss of dense labels and predictions of one shape."""
        labels, prediction = self.labels_and_prediction(y_true, y_pred)
        check_dense(labels.shape, prediction.shape, normalize_axis(self.axis, prediction.ndim))
        check_pairs(labels.shape, prediction.shape)
        return categorical_focal_loss(
            labels,
            prediction,
            self.option("gamma", prediction),
            class_weight=self.option("class_weight", prediction),
            from_logits=self.from_logits,
            label_smoothing=self.label_smoothing,
            axis=self.axis,
            reduction=self.reduction,
        )


@documented("sparse_categorical_focal_loss", TORCH_REDUCTION.format(mean=MEAN_VALID), without=DATA)
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
        gamma: options.Parameter,
        *,
        class_weight: options.Parameter | None = None,
        from_logits: bool = False,
        axis: int = -1,
        ignore_class: int | None = None,
        reduction: options.Reduction = "mean",
    ) -> None:
        super().__init__()
        spec = options.SparseCategorical(gamma, class_weight, from_logits, axis, ignore_class)
        self.keep(spec, reduction, gamma=gamma, class_weight=class_weight)
        self.from_logits, self.axis, self.ignore_class = from_logits, axis, ignore_class

    def forward(self, y_true: Any, y_pred: Any) -> Tensor:
        """The reduced loss of class indices and predictions."""
        labels, prediction = self.labels_and_prediction(y_true, y_pred)
        return sparse_categorical_focal_loss(
            labels,
            prediction,
            self.option("gamma", prediction),
            class_weight=self.option("class_weight", prediction),
            from_logits=self.from_logits,
            axis=self.axis,
            ignore_class=self.ignore_class,
            reduction=self.reduction,
        )
