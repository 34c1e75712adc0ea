"""Logits and labels of other libraries' calls as the losses here take them."""

from __future__ import annotations

import torch
from torch import Tensor

from focal_loss._core import checks
from focal_loss.torch._backend import XP


def exact(logits: Tensor) -> Tensor:
    """Half precision as float32: what is weighed and added is not rounded before."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def check_shape(name: str, labels: Tensor, other: str, logits: Tensor) -> None:
    """Raise `ValueError` unless labels have the shape of the logits: these libraries do not mean them to broadcast."""
    if labels.shape != logits.shape:
        raise ValueError(
            f"`{name}` of shape {tuple(labels.shape)} must have the shape {tuple(logits.shape)} of {other}"
        )


def one_hot(name: str, index: Tensor, classes: int, *, background: bool = False, ignore: int | None = None) -> Tensor:
    """Labels (N, classes, ...) from class indices (N, ...), of which `classes` means none of them with `background`.

    An index out of range is an error, or, where it cannot be read, NaN in all its labels. One to be ignored has zeros.
    """
    positions = torch.arange(classes, device=index.device).view(-1, *[1] * (index.ndim - 1))
    labels = index.unsqueeze(1) == positions
    if checks.enabled() and XP.readable(index):
        checks.check_classes(XP.to_numpy(index), classes + background, ignore, name)
        return labels
    valid = (index >= 0) & (index < classes + background)
    if ignore is not None:
        valid = valid | (index == ignore)
    return torch.where(valid.unsqueeze(1), labels.float(), float("nan"))
