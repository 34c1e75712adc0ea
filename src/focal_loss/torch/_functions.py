"""The losses as functions of torch tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from focal_loss._core import options, pipeline
from focal_loss._core.docs import MEAN_VALID, TORCH_REDUCTION, documented
from focal_loss.torch._backend import XP
from focal_loss.torch._operators import COMPILED_WITHOUT_FORWARD_MODE


def checked(kind: type[options.Spec], *values: Any) -> options.Spec:
    """`options.checked`, whose memory the compiler would warn of."""
    if not torch.compiler.is_compiling():
        return options.checked(kind, *values)
    _refuse_dual_numbers()
    return kind(*values)


def _refuse_dual_numbers() -> None:
    """Dual numbers that come into compiled code from outside lose their tangents on the way, without a word."""
    # The compiler guards what it reads: this code is compiled anew, and so refused, when a level is opened later.
    if (
        torch.compiler.is_dynamo_compiling()
        and _no_level_is_opened_inside()
        and torch.autograd.forward_ad._current_level >= 0
    ):
        _raise_without_forward_mode()


@torch.compiler.assume_constant_result
def _no_level_is_opened_inside() -> bool:
    """Whether the level of forward mode is what it was before the compiler began, and no `torch.func` is at work."""
    from torch._dynamo.symbolic_convert import InstructionTranslator

    before: int = InstructionTranslator.current_tx().output.dual_level
    return before == torch.autograd.forward_ad._current_level and torch._C._functorch.peek_interpreter_stack() is None


@torch.compiler.disable(reason=COMPILED_WITHOUT_FORWARD_MODE)
def _raise_without_forward_mode() -> None:
    """The compiler would take an error in its trace for a reason to run, or compile, smaller parts."""
    raise NotImplementedError(COMPILED_WITHOUT_FORWARD_MODE)


_ANY_MEAN = TORCH_REDUCTION.format(mean="")
_VALID_MEAN = TORCH_REDUCTION.format(mean=MEAN_VALID)


@documented("binary_focal_loss", _ANY_MEAN)
def binary_focal_loss(
    y_true: Any,
    y_pred: Any,
    gamma: options.Parameter,
    *,
    pos_weight: options.Parameter | None = None,
    from_logits: bool = False,
    label_smoothing: float | None = None,
    reduction: options.Reduction = "none",
) -> Tensor:
    """Focal loss of each binary example.

    {contract}

    Examples
    --------
    >>> import torch
    >>> from focal_loss.torch import binary_focal_loss
    >>> logits = torch.zeros(3, requires_grad=True)
    >>> loss = binary_focal_loss(torch.tensor([0, 1, 1]), logits, gamma=2, from_logits=True, reduction="mean")
    >>> loss.backward()
    >>> logits.grad
    tensor([ 0.0994, -0.0994, -0.0994])
    """
    spec = checked(options.Binary, gamma, pos_weight, from_logits, label_smoothing)
    return pipeline.binary(XP, y_true, y_pred, spec, options.reduction(reduction))


@documented("categorical_focal_loss", _ANY_MEAN)
def categorical_focal_loss(
    y_true: Any,
    y_pred: Any,
    gamma: options.Parameter,
    *,
    class_weight: options.Parameter | None = None,
    from_logits: bool = False,
    label_smoothing: float | None = None,
    axis: int = -1,
    reduction: options.Reduction = "none",
) -> Tensor:
    """Softmax focal loss of dense labels.

    {contract}

    Examples
    --------
    >>> import torch
    >>> from focal_loss.torch import categorical_focal_loss
    >>> categorical_focal_loss(torch.tensor([0.7, 0.2, 0.1]), torch.zeros(3), gamma=2, from_logits=True)
    tensor(0.4883)
    """
    spec = checked(options.Categorical, gamma, class_weight, from_logits, label_smoothing, axis)
    return pipeline.categorical(XP, y_true, y_pred, spec, options.reduction(reduction))


@documented("sparse_categorical_focal_loss", _VALID_MEAN)
def sparse_categorical_focal_loss(
    y_true: Any,
    y_pred: Any,
    gamma: options.Parameter,
    *,
    class_weight: options.Parameter | None = None,
    from_logits: bool = False,
    axis: int = -1,
    ignore_class: int | None = None,
    reduction: options.Reduction = "none",
) -> Tensor:
    """Softmax focal loss of class indices.

    {contract}

    Examples
    --------
    Segmentation: logits of shape (N, C, H, W), and a label 255 that means "do not care".

    >>> import torch
    >>> from focal_loss.torch import sparse_categorical_focal_loss
    >>> y_true = torch.tensor([[[0, 1], [2, 255]]])
    >>> sparse_categorical_focal_loss(
    ...     y_true, torch.zeros(1, 3, 2, 2), gamma=2, from_logits=True, axis=1, ignore_class=255
    ... )
    tensor([[[0.4883, 0.4883],
             [0.4883, 0.0000]]])
    """
    spec = checked(options.SparseCategorical, gamma, class_weight, from_logits, axis, ignore_class)
    return pipeline.sparse_categorical(XP, y_true, y_pred, spec, options.reduction(reduction))


@documented("binary_focal_crossentropy", _ANY_MEAN)
def binary_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    apply_class_balancing: bool = False,
    alpha: options.Parameter = 0.25,
    gamma: options.Parameter = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
    *,
    reduction: options.Reduction = "none",
) -> Tensor:
    """Binary focal cross-entropy, averaged over an axis, with the names and meanings of Keras.

    {contract}

    Examples
    --------
    >>> import torch
    >>> from focal_loss.torch import binary_focal_crossentropy
    >>> y_true, y_pred = torch.tensor([[0, 1], [0, 0]]), torch.tensor([[0.6, 0.4], [0.4, 0.6]])
    >>> binary_focal_crossentropy(y_true, y_pred, gamma=2)
    tensor([0.3299, 0.2058])
    """
    spec = checked(options.BinaryCrossentropy, apply_class_balancing, alpha, gamma, from_logits, label_smoothing, axis)
    return pipeline.binary_mixed(XP, y_true, y_pred, spec, options.reduction(reduction))


@documented("categorical_focal_crossentropy", _ANY_MEAN)
def categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: options.Parameter = 0.25,
    gamma: options.Parameter = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
    *,
    reduction: options.Reduction = "none",
) -> Tensor:
    """Softmax focal cross-entropy of dense labels, with the names and meanings of Keras.

    {contract}

    Examples
    --------
    >>> import torch
    >>> from focal_loss.torch import categorical_focal_crossentropy
    >>> categorical_focal_crossentropy(torch.tensor([0, 0, 1]), torch.tensor([0.1, 0.8, 0.1]))
    tensor(0.4663)
    """
    spec = checked(options.Categorical, gamma, alpha, from_logits, label_smoothing, axis, "alpha")
    return pipeline.categorical(XP, y_true, y_pred, spec, options.reduction(reduction))


@documented("sparse_categorical_focal_crossentropy", _VALID_MEAN)
def sparse_categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: options.Parameter = 0.25,
    gamma: options.Parameter = 2.0,
    from_logits: bool = False,
    axis: int = -1,
    ignore_class: int | None = None,
    *,
    reduction: options.Reduction = "none",
) -> Tensor:
    """Softmax focal cross-entropy of class indices, the sparse form of `categorical_focal_crossentropy`.

    {contract}

    Examples
    --------
    >>> import torch
    >>> from focal_loss.torch import sparse_categorical_focal_crossentropy
    >>> sparse_categorical_focal_crossentropy(torch.tensor(2), torch.tensor([0.1, 0.8, 0.1]))
    tensor(0.4663)
    """
    spec = checked(options.SparseCategorical, gamma, alpha, from_logits, axis, ignore_class, "alpha")
    return pipeline.sparse_categorical(XP, y_true, y_pred, spec, options.reduction(reduction))


def sigmoid_focal_loss(
    inputs: Tensor,
    targets: Tensor,
    alpha: options.Parameter = 0.25,
    gamma: options.Parameter = 2,
    reduction: options.Reduction = "none",
) -> Tensor:
    """The focal loss of torchvision, under torchvision's signature.

    Same values, for targets of any dtype, and gradients that are right where torchvision's are NaN (gamma < 1).

    Parameters
    ----------
    inputs : Tensor, any shape
        Logits of the positive class.
    targets : Tensor, a shape that broadcasts with `inputs`
        Labels in [0, 1]; soft ones are mixed into p_t.
    alpha : float or Tensor
        In [0, 1]: the weight of the positives, 1 - `alpha` that of the negatives. -1 weighs nothing, as there.
    gamma : float or Tensor
        The focusing parameter, at least 0.
    reduction : {'none', 'mean', 'sum'}
        What to do with the losses.

    Returns
    -------
    loss : Tensor
        In the shape and dtype of `inputs`, or a scalar for 'mean' and 'sum'. A scalar, and any loss under
        `torch.autocast`, is float32 where `inputs` is narrower.

    Raises
    ------
    TypeError, ValueError
        As `binary_focal_crossentropy`.

    References
    ----------
    .. [1] T. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, "Focal loss for dense object detection", ICCV 2017,
       arXiv:1708.02002, equation 5.

    Examples
    --------
    >>> import torch
    >>> from focal_loss.torch import sigmoid_focal_loss
    >>> sigmoid_focal_loss(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([1.0, 1.0, 1.0]))
    tensor([0.1755, 0.0433, 0.0057])
    """
    balanced = not (options.is_number(alpha) and alpha == -1)
    spec = checked(options.BinaryCrossentropy, balanced, alpha if balanced else 0.25, gamma, True)
    x = XP.prediction(inputs, "inputs")
    y = XP.labels(targets, x, "targets")
    return pipeline.binary_mixed(XP, y, x, spec, options.reduction(reduction), average=False)
