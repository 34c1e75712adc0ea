"""Logits and labels of other libraries' calls as the losses here take them, and errors in the words of those calls."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

from focal_loss._core import checks
from focal_loss._core.names import in_words
from focal_loss.torch import _normalizer
from focal_loss.torch._backend import XP
from focal_loss.torch._normalizer import Group

P = ParamSpec("P")
R = TypeVar("R")
# Remedies that these calls do not have.
REMEDIES = {
    "pass `from_logits=True` if these are logits": "apply a sigmoid if these are logits",
    "for one-hot or soft labels take the loss without `sparse` in its name": "class indices have no class axis",
}


def naming(y_true: str, y_pred: str, **others: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a call to raise the errors of the losses beneath it with its own names of labels, predictions and
    other arguments.
    """
    names = {"y_true": y_true, "y_pred": y_pred, **others}
    words = REMEDIES | {f"`{here}`": f"`{theirs}`" for here, theirs in names.items()}

    def decorate(call: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(call)
        def named(*arguments: P.args, **options: P.kwargs) -> R:
            if torch.compiler.is_compiling():  # which has no use for words
                return call(*arguments, **options)
            with in_words(words):
                return call(*arguments, **options)

        return named

    return decorate


def exact(logits: Tensor) -> Tensor:
    """Half precision as float32: what is weighed and added is not rounded before."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def check_shape(name: str, labels: Tensor, other: str, logits: Tensor) -> None:
    """Raise `ValueError` unless labels have the shape of the logits: these libraries do not mean them to broadcast."""
    if labels.shape != logits.shape:
        raise ValueError(
            f"`{name}` of shape {tuple(labels.shape)} must have the shape {tuple(logits.shape)} of {other}"
        )


def mean(total: Tensor, count: float | Tensor, group: Group, least: float = 0.0) -> Tensor:
    """A sum of losses over a count, which a group adds up, and which is then at least `least`; 0 where it is 0."""
    return _normalizer.divided(lambda: total, count, total, group, least)


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
