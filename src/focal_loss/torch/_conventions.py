"""Modules under the conventions of PyTorch's own losses: the input first, logits only, the class axis second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from focal_loss._core import binary_losses, declare, pipeline
from focal_loss._core import options as check
from focal_loss._core.declare import Kind, Option, option
from focal_loss._core.losses import common
from focal_loss._core.names import answering, in_words
from focal_loss._core.options import Parameter, ParameterLike, Reduction
from focal_loss.torch import _normalizer
from focal_loss.torch._backend import SUM, XP
from focal_loss.torch._functions import (
    binary_focal_loss,
    categorical_focal_loss,
    sigmoid_focal_loss,
    sparse_categorical_focal_loss,
)
from focal_loss.torch._modules import _is_hard, _Loss
from focal_loss.torch._normalizer import Group, Normalizer

ORDER = "the order of the arguments is (input, target), as of PyTorch's own losses"
# Words in the errors of the losses beneath, and the words for the same things here.
WORDS = {
    "`y_true`": "`target`",
    "`y_pred`": "`input`",
    "`class_weight`": "`alpha`",
    "for class indices take the loss with `sparse` in its name": "class indices have no class axis",
}


@declare.options
class FocalOptions(declare.Options):
    weight_name = "alpha"
    gamma: Parameter = common.softmax_gamma(2.0)
    alpha: Parameter = option(
        Option(common.WEIGHT, "float or array_like, shape () or (C,), optional", ""), default=None
    )
    ignore_index: int = option(Option(common.CLASS, "int", ""), default=-100)
    label_smoothing: float = common.label_smoothing("C", 0.0)


def _fraction(name: str, value: Parameter) -> Parameter:
    """Check a weight of the positives in [0, 1], or None."""
    if check.is_number(value) and value == -1:
        raise ValueError(f"`{name}` must be a number in [0, 1], got {value}; pass None for no weights")
    return None if value is None else check.fraction(name, value)


@declare.options
class SigmoidOptions(declare.Options):
    weight_name = "alpha"
    alpha: Parameter = option(Option(Kind(_fraction, "ParameterLike", ()), "", ""), default=0.25)
    gamma: Parameter = common.gamma("", 2.0)
    pos_weight: Parameter = option(Option(common.WEIGHT, "", ""), default=None)


class Declared(NamedTuple):
    options: type[declare.Options]
    layout: str = "elements"


class _Convention(_Loss):
    """A loss of (input, target)."""

    if TYPE_CHECKING:

        def __call__(self, input: Any, target: Any) -> Tensor: ...  # noqa: A002

    def forward(self, input: Any, target: Any) -> Tensor:  # noqa: A002
        """The reduced loss of logits and targets."""
        if torch.compiler.is_compiling():  # which has no use for words
            return self.loss(*self.tensors(input, target))
        with in_words(WORDS):
            return self.loss(*self.tensors(input, target))

    def loss(self, x: Tensor, target: Tensor) -> Tensor:
        raise NotImplementedError

    def tensors(self, given: Any, target: Any) -> tuple[Tensor, Tensor]:
        """Both as tensors on one device, unless they are visibly the wrong way round."""
        x = XP.prediction(given, "input")
        labels = XP.labels(target, x, "target")
        if isinstance(given, Tensor) and not given.is_floating_point():
            remedy = ORDER if labels.is_floating_point() else "call `input.float()` if these are logits"
            raise TypeError(f"`input` must be a floating tensor of logits, got {given.dtype}; {remedy}")
        if labels.requires_grad and not x.requires_grad:
            raise TypeError(f"`input` must hold the logits, but only `target` has a gradient; {ORDER}")
        return x, labels


@answering
class FocalLoss(_Convention):
    """`torch.nn.CrossEntropyLoss` with a gamma: ``loss(input, target)``, of logits.

    With ``gamma=0`` and no `alpha` it is `CrossEntropyLoss` under the same `ignore_index`, `reduction` and
    `label_smoothing`. All options are given by name, because the many classes of this name disagree on their order.

    Parameters
    ----------
    gamma : float or array_like, shape (), (C,) or (N, 1, ...)
        The focusing parameter, at least 0: a number, one for each class, or one for each example. 0 is cross-entropy.
    alpha : float or array_like, shape () or (C,), optional
        The weight of each example, at least 0: a number for all, or one for each class. 1 if None. It does not change
        what the mean divides by, unlike the `weight` of `CrossEntropyLoss`. In a state dict it is a buffer.
    ignore_index : int
        Class indices of this value cost 0 and have no gradient, and the mean does not count them.
    reduction : {'none', 'mean', 'sum'}
        How to reduce the losses. The mean divides by the number of examples that are not ignored.
    label_smoothing : float
        The part of a label that is spread evenly over the classes, in [0, 1].
    normalizer : {'valid', 'positives', 'weight'}, float or Tensor, optional
        The divisor of the mean, as in `sparse_categorical_focal_loss`, or
        `categorical_focal_loss` for probabilities. With 'weight', the sum of the `alpha` of the class indices, it is
        the mean of `CrossEntropyLoss`.
    group : torch.distributed.ProcessGroup or bool, optional
        The processes that share a batch, True for all of them, as in `sparse_categorical_focal_loss`.

    Returns
    -------
    loss : Tensor
        A scalar, or for 'none' a loss for each example, in the dtype of `input`. A scalar, and any loss under
        `torch.autocast`, is float32 where `input` is narrower.

    Raises
    ------
    TypeError
        If an option has the wrong type, if `input` holds no logits, or if `target` has neither class indices nor
        probabilities.
    ValueError
        If an option is out of range, if shapes do not go together, or if class indices or probabilities are out of
        range where they can be read: eagerly, on the host.

    Notes
    -----
    `input` has the shape (C,), (N, C) or (N, C, d1, d2, ...). `target` holds class indices, in the shape without C, or
    probabilities, in the shape of `input` and floating. With p the softmax of the logits the loss of an example is
    ``sum_j alpha_j y_j (1 - p_j)**gamma_j (-log p_j)`` [1]_, where y is the label after smoothing.

    If every example is ignored, or there are none, the mean is 0, where that of `CrossEntropyLoss` is NaN.

    References
    ----------
    .. [1] T. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, "Focal loss for dense object detection", ICCV 2017,
       arXiv:1708.02002, equations 4 and 5.

    Examples
    --------
    >>> import torch
    >>> from focal_loss.torch import FocalLoss
    >>> loss = FocalLoss(gamma=2.0)
    >>> loss(torch.tensor([[1.0, 0.0, -1.0], [0.5, 2.0, -1.0]]), torch.tensor([0, 1]))
    tensor(0.0284)
    """

    gamma: Any
    alpha: Any
    ignore_index: Any
    label_smoothing: Any

    def __init__(
        self,
        *,
        gamma: ParameterLike = 2.0,
        alpha: ParameterLike | None = None,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
        label_smoothing: float = 0.0,
        normalizer: Normalizer = None,
        group: Group = None,
    ) -> None:
        super().__init__()
        given = {"gamma": gamma, "alpha": alpha, "ignore_index": ignore_index, "label_smoothing": label_smoothing}
        self.keep(Declared(FocalOptions), reduction, normalizer, group, **given)

    def loss(self, x: Tensor, target: Tensor) -> Tensor:
        if not x.ndim:
            raise ValueError("`input` must have a class axis: the second, or the only one, got a number")
        axis = min(x.ndim - 1, 1)
        gamma, alpha = self.option("gamma", x), self.option("alpha", x)
        if _holds_probabilities(x, target, axis):
            if self.ignore_index is not None and self.ignore_index >= 0:
                raise ValueError(f"`ignore_index` must be negative beside probabilities, got {self.ignore_index}")
            return categorical_focal_loss(
                target,
                x,
                gamma,
                class_weight=alpha,
                from_logits=True,
                label_smoothing=self.label_smoothing,
                axis=axis,
                reduction=self.reduction,
                normalizer=self.normalizer,
                group=self.group,
            )
        return sparse_categorical_focal_loss(
            target,
            x,
            gamma,
            class_weight=alpha,
            from_logits=True,
            axis=axis,
            ignore_class=self.ignore_index,
            label_smoothing=self.label_smoothing,
            reduction=self.reduction,
            normalizer=self.normalizer,
            group=self.group,
        )


def _holds_probabilities(x: Tensor, target: Tensor, axis: int) -> bool:
    """Whether a target has a probability for each class; `TypeError` or `ValueError` for what is neither kind."""
    without = x.shape[:axis] + x.shape[axis + 1 :]
    if target.shape == x.shape:
        if not target.is_floating_point():
            remedy = f"call `target.float()`, or pass class indices of shape {tuple(without)}"
            raise TypeError(f"`target` of class probabilities must be floating, got {target.dtype}; {remedy}")
        return True
    if target.shape != without:
        raise ValueError(
            f"`target` of shape {tuple(target.shape)} must hold class indices of shape {tuple(without)} or "
            f"probabilities of shape {tuple(x.shape)}, beside `input` of that shape with its classes on axis {axis}"
        )
    if target.is_floating_point() or target.dtype == torch.bool:
        raise TypeError(f"`target` of class indices must be of integers, got {target.dtype}; call `target.long()`")
    return False


@answering
class SigmoidFocalLoss(_Convention):
    """torchvision's `sigmoid_focal_loss` as a module: ``loss(input, target)``, of logits.

    With ``alpha=None`` and ``gamma=0`` it is `torch.nn.BCEWithLogitsLoss` under the same `pos_weight` and `reduction`.

    Parameters
    ----------
    alpha : float or array_like, optional
        The weight of the positives, in [0, 1], in a shape that broadcasts with the target; 1 - `alpha` is that of the
        negatives. None weighs nothing; torchvision writes -1.
    gamma : float or array_like
        The focusing parameter, at least 0, in a shape that broadcasts with the target. 0 is cross-entropy.
    pos_weight : float or array_like, optional
        Another weight of the positives, at least 0, as in `BCEWithLogitsLoss`: one for each class, or any shape that
        broadcasts with the target. In a state dict it is a buffer.
    reduction : {'none', 'mean', 'sum'}
        How to reduce the losses.
    normalizer : {'valid', 'positives', 'weight'}, float or Tensor, optional
        The divisor of the mean, as in `sigmoid_focal_loss`. A positive has the weight
        ``alpha * pos_weight``.
    group : torch.distributed.ProcessGroup or bool, optional
        The processes that share a batch, True for all of them, as in `sigmoid_focal_loss`.

    Returns
    -------
    loss : Tensor
        A scalar, or for 'none' a loss for each logit, in the dtype of `input`. A scalar, and any loss under
        `torch.autocast`, is float32 where `input` is narrower.

    Raises
    ------
    TypeError
        If an option has the wrong type, or `input` holds no logits.
    ValueError
        If an option is out of range, if `target` does not have the shape of `input`, or if labels are outside [0, 1]
        where they can be read: eagerly, on the host.

    Notes
    -----
    With y the target, p the sigmoid of the logit, p_t = y p + (1 - y) (1 - p) and w the `pos_weight` the loss is

        (alpha y + (1 - alpha) (1 - y)) (1 - p_t)**gamma (-w y log(p) - (1 - y) log(1 - p))

    as in torchvision, whose function has no w [1]_. Soft labels with a `pos_weight` take three kernels in place of one.

    References
    ----------
    .. [1] T. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, "Focal loss for dense object detection", ICCV 2017,
       arXiv:1708.02002, equation 5.

    Examples
    --------
    >>> import torch
    >>> from focal_loss.torch import SigmoidFocalLoss
    >>> loss = SigmoidFocalLoss()
    >>> loss(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([1.0, 0.0, 1.0]))
    tensor(0.1037)
    """

    alpha: Any
    gamma: Any
    pos_weight: Any

    def __init__(
        self,
        *,
        alpha: ParameterLike | None = 0.25,
        gamma: ParameterLike = 2.0,
        pos_weight: ParameterLike | None = None,
        reduction: Reduction = "mean",
        normalizer: Normalizer = None,
        group: Group = None,
    ) -> None:
        super().__init__()
        given = {"alpha": alpha, "gamma": gamma, "pos_weight": pos_weight}
        self.keep(Declared(SigmoidOptions), reduction, normalizer, group, **given)

    def loss(self, x: Tensor, target: Tensor) -> Tensor:
        if target.shape != x.shape:
            raise ValueError(
                f"`target` of shape {tuple(target.shape)} must have the shape {tuple(x.shape)} of `input`"
                + _unsqueezed(target, x)
            )
        alpha, gamma, weight = (self.option(name, x) for name in ("alpha", "gamma", "pos_weight"))
        if weight is not None:
            return _weighed(x, target, alpha, gamma, weight, self.reduction, self.normalizer, self.group)
        return sigmoid_focal_loss(
            x,
            target,
            -1 if alpha is None else alpha,
            gamma,
            self.reduction,
            normalizer=self.normalizer,
            group=self.group,
        )


def _unsqueezed(target: Tensor, x: Tensor) -> str:
    """The remedy for an axis of length 1 that one of them lacks."""
    for name, short, long in (("target", target, x), ("input", x, target)):
        for k, length in enumerate(long.shape):
            if length == 1 and long.shape[:k] + long.shape[k + 1 :] == short.shape:
                return f"; pass `{name}.unsqueeze({k})`"
    return ""


FAR = 1e4  # beyond this logit the ratio of `_weighed` is constant


def _weighed(
    x: Tensor,
    y: Tensor,
    alpha: Any,
    gamma: Any,
    pos_weight: Any,
    reduction: Reduction,
    normalizer: Normalizer,
    group: Group,
) -> Tensor:
    """With a weight w in the cross-entropy: hard labels have a weight of their own in the kernel, A w for a positive.

    In the loss of a soft label w weighs one of two terms, of which the kernel of p_t knows the sum. That sum is turned
    into the weighted one by the ratio of two cross-entropies, whose derivatives are closed forms, as its own are.
    """
    w = XP.parameter("pos_weight", check.weight("pos_weight", pos_weight), x)
    focusing = pipeline.at_least_zero(XP, XP.parameter("gamma", check.parameter("gamma", gamma), x))
    balanced = XP.parameter("alpha", check.fraction("alpha", alpha), x) if alpha is not None else None
    pipeline.check_shapes(XP, y, x.shape, gamma=focusing, pos_weight=w)
    positive, negative = (1.0, 1.0) if balanced is None else (balanced, 1 - balanced)
    hard = not y.is_floating_point() or (XP.readable(y) and _is_hard(y))
    call = pipeline.BinaryCall(x, y, focusing, positive * w if hard else positive, negative, 0.0, True, reduction)

    def reduced(xp: pipeline.Backend, reduction: Reduction) -> Tensor:
        if hard:
            return binary_losses.binary_from(xp, call._replace(reduction=reduction), True)
        wide = XP.at_least_float32(x)
        mixed = binary_losses.binary_from(XP, call._replace(x=wide, reduction="none"), True)
        return pipeline.reduce(XP, mixed * _ratio(wide.clamp(-FAR, FAR), y.to(wide.dtype), w), None, reduction, x)

    _normalizer.check(Declared(SigmoidOptions), reduction, normalizer, group)
    if reduction != "mean" or _normalizer.is_ordinary_mean(normalizer, group):
        return reduced(XP, reduction)
    labels = _normalizer.elements(
        y, x, lambda _, y, weight: weight * y + negative * (1 - y), positive * w, gamma=focusing
    )
    return _normalizer.mean(lambda: reduced(SUM, "sum"), labels, x, normalizer, group)


def _ratio(x: Tensor, y: Tensor, w: Any) -> Tensor:
    """Cross-entropy with a weight of the positives, over that without. Of a hard label the weight itself, or 1."""
    soft = (y > 0) & (y < 1)
    inner = torch.where(soft, y, 0.5)
    weighted = binary_focal_loss(inner, x, 0.0, pos_weight=w, from_logits=True)
    plain = binary_focal_loss(inner, x, 0.0, from_logits=True)
    return torch.where(soft, weighted / plain, torch.where(y > 0, w, 1.0))
