"""The losses as functions of torch tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from focal_loss._core import binary_losses, declare, losses, options
from focal_loss._core.declare import Declared, Loss
from focal_loss._core.losses.binary_focal_crossentropy import Options as CrossentropyOptions
from focal_loss._core.names import answering
from focal_loss._core.options import ParameterLike, Reduction
from focal_loss.torch import _normalizer, _repeated
from focal_loss.torch._backend import XP
from focal_loss.torch._normalizer import Group, Normalizer
from focal_loss.torch._operators import COMPILED_WITHOUT_FORWARD_MODE
from focal_loss.torch._private import SEES_LEVELS, forward_mode_is_on, is_transformed, level_before_compiling


def checked(kind: type[Declared], **values: Any) -> Declared:
    """`declare.checked` without its cache in compiled code, where the compiler would warn of it."""
    if not torch.compiler.is_compiling():
        return declare.checked(kind, **values)
    _refuse_dual_numbers()
    return kind(**values)


def _refuse_dual_numbers() -> None:
    """Refuse dual numbers from outside compiled code, which would silently lose their tangents."""
    # The compiler guards what it reads, so this code is compiled again, and refused, when a level is opened later.
    if torch.compiler.is_dynamo_compiling() and _no_level_is_opened_inside() and forward_mode_is_on():
        _raise_without_forward_mode()


@torch.compiler.assume_constant_result
def _no_level_is_opened_inside() -> bool:
    """Whether the level of forward mode is that from before compilation, and no `torch.func` is active."""
    before = level_before_compiling()
    return before is None or (before == torch.autograd.forward_ad._current_level and not is_transformed())


@torch.compiler.disable(reason=COMPILED_WITHOUT_FORWARD_MODE)
def _raise_without_forward_mode() -> None:
    """Raise outside the trace: the compiler would take an error within it as a reason to compile smaller parts."""
    raise NotImplementedError(COMPILED_WITHOUT_FORWARD_MODE)


def _loss(
    loss: Loss,
    y_true: Any,
    y_pred: Any,
    reduction: Any,
    normalizer: Normalizer = None,
    group: Group = None,
    **given: Any,
) -> Tensor:
    if normalizer is None and group is None:
        compute = lambda xp: _computed(xp, loss, y_true, y_pred, reduction, given)  # noqa: E731
        return _repeated.loss(loss.name, y_true, y_pred, (reduction, *given.values()), compute)
    chosen = checked(loss.options, **given)
    reduction = options.reduction(reduction)
    _normalizer.check(loss, reduction, normalizer, group)
    if reduction != "mean":
        return loss.compute(XP, y_true, y_pred, chosen, reduction)
    return _normalizer.mean_of_loss(loss, y_true, y_pred, chosen, normalizer, group)


def _computed(xp: Any, loss: Loss, y_true: Any, y_pred: Any, reduction: Any, given: dict[str, Any]) -> Tensor:
    chosen = checked(loss.options, **given)
    result: Tensor = loss.compute(xp, y_true, y_pred, chosen, options.reduction(reduction))
    return result


if not SEES_LEVELS:  # compiled code would lose the tangents of dual numbers from outside
    _loss = torch.compiler.disable(_loss)


# <doors: functions> Written by tools/doors.py; `make doors` writes it anew.
@answering
def asymmetric_loss(
    y_true: Any,
    y_pred: Any,
    gamma_pos: ParameterLike = 1.0,
    gamma_neg: ParameterLike = 4.0,
    clip: float = 0.05,
    *,
    from_logits: bool = False,
    ignore_class: int | None = None,
    reduction: Reduction = "none",
    normalizer: Normalizer = None,
    group: Group = None,
) -> Tensor:
    """Asymmetric loss: a focusing parameter for each side, and easy negatives cost nothing.

    Parameters
    ----------
    y_true : array_like of bool, int or float, any shape
        Labels in [0, 1]. Others are refused where they can be read: in eager code, on the host.
    y_pred : array_like, a shape that broadcasts with `y_true`
        Logits or probabilities of the positive class, of a floating dtype; integers and lists become float32.
    gamma_pos : float or array_like, shape broadcasts with the labels
        The focusing parameter of the positives, at least 0. The higher it is, the less an easy positive counts.
    gamma_neg : float or array_like, shape broadcasts with the labels
        The focusing parameter of the negatives, at least 0. The higher it is, the less an easy negative counts.
    clip : float
        The shift of negatives, in [0, 1). A negative of at most this probability costs 0 and has a gradient of 0; those
        above it are taken as that much less probable.
    from_logits : bool
        Whether `y_pred` holds logits, any real number, or probabilities. Prefer logits: they are exact for every finite
        number. Probabilities are clamped to [1e-7, 1 - 1e-7]; beyond the clamp the gradient is that of its edge.
    ignore_class : int, optional
        Predictions with this label cost 0 and have a gradient of zeros, whatever they are. It need not be in [0, 1].
    reduction : {'none', 'mean', 'sum'}
        How to reduce the losses. The mean is over the predictions that are not ignored, and 0 where there are none. A
        mean or a sum of half precision is float32. Under `torch.autocast` every loss is float32, reduced or not.
    normalizer : {'valid', 'positives'}, float or Tensor, optional
        The divisor of the sum of the losses in a mean, a constant in derivatives. None or 'valid': the number of
        predictions that are not ignored. 'positives': the sum of the labels, at least 1. A positive number, or a tensor
        of one: itself. The mean is 0 where the divisor is 0.
    group : torch.distributed.ProcessGroup or bool, optional
        The processes that share a batch, True for all of them. Their divisors, numbers too, are added up, and the loss
        is multiplied by the number of processes: the average of their gradients, which DDP and FSDP take, is then that
        of one process with the whole batch. Each of them must call the loss. See `docs/many_machines.md`.

    Returns
    -------
    loss : array, the shape to which the arguments broadcast
        The loss of each example. The dtype is that of `y_pred`. float16 and bfloat16 are computed in float32 and
        rounded once.

    Raises
    ------
    TypeError
        If an option has the wrong type, or labels or predictions are not real numbers.
    ValueError
        If an option is out of range, if shapes do not match, or if labels or probabilities are outside [0, 1] where
        they can be read: in eager code, on the host, unless `focal_loss.set_checks` turns that off.

    Notes
    -----
    Domain: `y_true` in [0, 1]; `y_pred` real (logits, linked by the sigmoid) or in [0, 1]. With p the
    probability of the positive class and q = 1 - p the loss is [1]_

        y * q**gamma_pos * -log(p) + (1 - y) * (m := maximum(p - clip, 0))**gamma_neg * -log(1 - m)

    A soft label is the expectation over hard ones. With ``clip=0`` and both parameters alike it is `binary_focal_loss`.
    The gradient of a negative with a probability below `clip` is 0, by definition.

    References
    ----------
    .. [1] T. Ridnik, E. Ben-Baruch, N. Zamir, A. Noy, I. Friedman, M. Protter and L. Zelnik-Manor, "Asymmetric
       loss for multi-label classification", ICCV 2021, arXiv:2009.14119, equations 4 to 7.

    Examples
    --------
    >>> import torch
    >>> from focal_loss.torch import asymmetric_loss
    >>> asymmetric_loss(torch.tensor([0, 1, 0]), torch.tensor([0.04, 0.7, 0.9]))
    tensor([0.0000, 0.1070, 0.9903])
    """
    return _loss(
        losses.ASYMMETRIC_LOSS,
        y_true,
        y_pred,
        reduction,
        normalizer,
        group,
        gamma_pos=gamma_pos,
        gamma_neg=gamma_neg,
        clip=clip,
        from_logits=from_logits,
        ignore_class=ignore_class,
    )


@answering
def binary_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    apply_class_balancing: bool = False,
    alpha: ParameterLike = 0.25,
    gamma: ParameterLike = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
    *,
    ignore_class: int | None = None,
    reduction: Reduction = "none",
    normalizer: Normalizer = None,
    group: Group = None,
) -> Tensor:
    """Binary focal cross-entropy, averaged over an axis, with the names and meanings of Keras.

    Parameters
    ----------
    y_true : array_like of bool, int or float, any shape
        Labels in [0, 1]. Others are refused where they can be read: in eager code, on the host.
    y_pred : array_like, a shape that broadcasts with `y_true`
        Logits or probabilities of the positive class, of a floating dtype; integers and lists become float32.
    apply_class_balancing : bool
        Whether positives weigh `alpha` and negatives 1 - `alpha`. If not, `alpha` has no effect.
    alpha : float or array_like
        The weight of the positives, in [0, 1], a shape that broadcasts with the labels.
    gamma : float or array_like, shape broadcasts with the labels
        The focusing parameter, at least 0. The higher it is, the less an easy example counts; 0 is cross-entropy.
    from_logits : bool
        Whether `y_pred` holds logits, any real number, or probabilities. Prefer logits: they are exact for every finite
        number. Probabilities are clamped to [1e-7, 1 - 1e-7]; beyond the clamp the gradient is that of its edge.
    label_smoothing : float
        The amount a, in [0, 1]. Labels become ``(1 - a) * y_true + a / 2``, in the focal factor as in the logarithm.
    axis : int
        The axis over which the mean is taken.
    ignore_class : int, optional
        Predictions with this label cost 0 and have a gradient of zeros, whatever they are. It need not be in [0, 1].
        The mean over the axis is over the others, and 0 where there are none.
    reduction : {'none', 'mean', 'sum'}
        How to reduce the losses. The mean is over all predictions that are not ignored, and 0 where there are none. A
        mean or a sum of half precision is float32. Under `torch.autocast` every loss is float32, reduced or not.
    normalizer : {'valid', 'positives', 'weight'}, float or Tensor, optional
        The divisor of the sum of the losses in a mean, a constant in derivatives. None or 'valid': the number of
        predictions that are not ignored. 'positives': the sum of the labels before smoothing, at least 1. 'weight': the
        sum of the weights of the labels, `alpha` for a positive and 1 - `alpha` for a negative, or 1 each. A positive
        number, or a tensor of one: itself. The mean is 0 where the divisor is 0.
    group : torch.distributed.ProcessGroup or bool, optional
        The processes that share a batch, True for all of them. Their divisors, numbers too, are added up, and the loss
        is multiplied by the number of processes: the average of their gradients, which DDP and FSDP take, is then that
        of one process with the whole batch. Each of them must call the loss. See `docs/many_machines.md`.

    Returns
    -------
    loss : array, the common shape without `axis`
        The mean loss over the axis. The dtype is that of `y_pred`. float16 and bfloat16 are computed in float32 and
        rounded once.

    Raises
    ------
    TypeError
        If an option has the wrong type, or labels or predictions are not real numbers.
    ValueError
        If an option is out of range, if shapes do not match, or if labels or probabilities are outside [0, 1] where
        they can be read: in eager code, on the host, unless `focal_loss.set_checks` turns that off.

    Notes
    -----
    Domain: `y_true` in [0, 1]; `y_pred` real (logits, linked by the sigmoid) or in [0, 1]. With
    p_t = y p + (1 - y) (1 - p) and alpha_t = alpha y + (1 - alpha) (1 - y), or 1, the loss is [1]_

        alpha_t * (1 - p_t)**gamma * (-y log(p) - (1 - y) log(1 - p))

    An alpha of .25, which lowers the weight of the positives, was the best for gamma = 2 on COCO. Other data have other
    optima.

    References
    ----------
    .. [1] T. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, "Focal loss for dense object detection", ICCV 2017,
       arXiv:1708.02002, equations 4 and 5.

    Examples
    --------
    >>> import torch
    >>> from focal_loss.torch import binary_focal_crossentropy
    >>> binary_focal_crossentropy(torch.tensor([[0, 1], [0, 0]]), torch.tensor([[0.6, 0.4], [0.4, 0.6]]), gamma=2)
    tensor([0.3299, 0.2058])
    """
    return _loss(
        losses.BINARY_FOCAL_CROSSENTROPY,
        y_true,
        y_pred,
        reduction,
        normalizer,
        group,
        apply_class_balancing=apply_class_balancing,
        alpha=alpha,
        gamma=gamma,
        from_logits=from_logits,
        label_smoothing=label_smoothing,
        axis=axis,
        ignore_class=ignore_class,
    )


@answering
def binary_focal_loss(
    y_true: Any,
    y_pred: Any,
    gamma: ParameterLike,
    *,
    pos_weight: ParameterLike | None = None,
    from_logits: bool = False,
    label_smoothing: float | None = None,
    ignore_class: int | None = None,
    reduction: Reduction = "none",
    normalizer: Normalizer = None,
    group: Group = None,
) -> Tensor:
    """Focal loss of each binary example.

    Parameters
    ----------
    y_true : array_like of bool, int or float, any shape
        Labels in [0, 1]. Others are refused where they can be read: in eager code, on the host.
    y_pred : array_like, a shape that broadcasts with `y_true`
        Logits or probabilities of the positive class, of a floating dtype; integers and lists become float32.
    gamma : float or array_like, shape broadcasts with the labels
        The focusing parameter, at least 0. The higher it is, the less an easy example counts; 0 is cross-entropy.
    pos_weight : float or array_like, optional
        The weight of the positives, at least 0, a shape that broadcasts with the labels. 1 if None.
    from_logits : bool
        Whether `y_pred` holds logits, any real number, or probabilities. Prefer logits: they are exact for every finite
        number. Probabilities are clamped to [1e-7, 1 - 1e-7]; beyond the clamp the gradient is that of its edge.
    label_smoothing : float, optional
        The amount a, in [0, 1]. Labels become ``(1 - a) * y_true + a / 2``, in the focal factor as in the logarithm.
    ignore_class : int, optional
        Predictions with this label cost 0 and have a gradient of zeros, whatever they are. It need not be in [0, 1].
    reduction : {'none', 'mean', 'sum'}
        How to reduce the losses. The mean is over the predictions that are not ignored, and 0 where there are none. A
        mean or a sum of half precision is float32. Under `torch.autocast` every loss is float32, reduced or not.
    normalizer : {'valid', 'positives', 'weight'}, float or Tensor, optional
        The divisor of the sum of the losses in a mean, a constant in derivatives. None or 'valid': the number of
        predictions that are not ignored. 'positives': the sum of the labels before smoothing, at least 1. 'weight': the
        sum of the weights of the labels, that of a positive and 1 for a negative. A positive number, or a tensor of
        one: itself. The mean is 0 where the divisor is 0.
    group : torch.distributed.ProcessGroup or bool, optional
        The processes that share a batch, True for all of them. Their divisors, numbers too, are added up, and the loss
        is multiplied by the number of processes: the average of their gradients, which DDP and FSDP take, is then that
        of one process with the whole batch. Each of them must call the loss. See `docs/many_machines.md`.

    Returns
    -------
    loss : array, the shape to which the arguments broadcast
        The loss of each example. The dtype is that of `y_pred`. float16 and bfloat16 are computed in float32 and
        rounded once.

    Raises
    ------
    TypeError
        If an option has the wrong type, or labels or predictions are not real numbers.
    ValueError
        If an option is out of range, if shapes do not match, or if labels or probabilities are outside [0, 1] where
        they can be read: in eager code, on the host, unless `focal_loss.set_checks` turns that off.

    Notes
    -----
    Domain: `y_true` in [0, 1]; `y_pred` real (logits, linked by the sigmoid) or in [0, 1]. With p the
    probability of the positive class and q = 1 - p the loss is [1]_

        pos_weight * y * q**gamma * -log(p) + (1 - y) * p**gamma * -log(q)

    A soft label is the expectation over hard ones. `binary_focal_crossentropy` mixes it into the probability instead;
    the two agree on 0 and 1.

    References
    ----------
    .. [1] T. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, "Focal loss for dense object detection", ICCV 2017,
       arXiv:1708.02002, equations 4 and 5.

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
    return _loss(
        losses.BINARY_FOCAL_LOSS,
        y_true,
        y_pred,
        reduction,
        normalizer,
        group,
        gamma=gamma,
        pos_weight=pos_weight,
        from_logits=from_logits,
        label_smoothing=label_smoothing,
        ignore_class=ignore_class,
    )


@answering
def categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: ParameterLike = 0.25,
    gamma: ParameterLike = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
    *,
    reduction: Reduction = "none",
    normalizer: Normalizer = None,
    group: Group = None,
) -> Tensor:
    """Softmax focal cross-entropy of dense labels, with the names and meanings of Keras.

    Parameters
    ----------
    y_true : array_like, shape (..., K, ...)
        The probability of each class: one-hot, smoothed or soft.
    y_pred : array_like, shape (..., K, ...)
        Logits or probabilities of the K classes, of a floating dtype; integers and lists become float32.
    alpha : float or array_like, shape () or (K,)
        The weight of each class, at least 0.
    gamma : float or array_like, shape (), (K,) or (..., 1, ...)
        The focusing parameter, at least 0. The higher it is, the less an easy example counts; 0 is cross-entropy. A
        vector is one for each class; an array with the axes of `y_pred`, of length 1 in place of K, is one for each
        example.
    from_logits : bool
        Whether `y_pred` holds logits, any real number, or probabilities. Prefer logits: they are exact for every finite
        number. Probabilities are clamped to [1e-7, 1 - 1e-7] after division by their sum; beyond the clamp the gradient
        is that of its edge.
    label_smoothing : float
        The amount a, in [0, 1]. Labels become ``(1 - a) * y_true + a / K``, in the focal factor as in the logarithm.
    axis : int
        The axis of `y_pred` that holds the classes.
    reduction : {'none', 'mean', 'sum'}
        How to reduce the losses. A mean or a sum of half precision is float32. Under `torch.autocast` every loss is
        float32, reduced or not.
    normalizer : {'valid', 'positives', 'weight'}, float or Tensor, optional
        The divisor of the sum of the losses in a mean, a constant in derivatives. None or 'valid': the number of
        examples. 'positives': the sum of the labels before smoothing, at least 1. 'weight': the sum of the weights of
        the labels. A positive number, or a tensor of one: itself. The mean is 0 where the divisor is 0.
    group : torch.distributed.ProcessGroup or bool, optional
        The processes that share a batch, True for all of them. Their divisors, numbers too, are added up, and the loss
        is multiplied by the number of processes: the average of their gradients, which DDP and FSDP take, is then that
        of one process with the whole batch. Each of them must call the loss. See `docs/many_machines.md`.

    Returns
    -------
    loss : array, the common shape without the class axis
        The loss of each example. The dtype is that of `y_pred`. float16 and bfloat16 are computed in float32 and
        rounded once.

    Raises
    ------
    TypeError
        If an option has the wrong type, or labels or predictions are not real numbers.
    ValueError
        If an option is out of range, if shapes do not match, or if labels or probabilities are outside [0, 1] where
        they can be read: in eager code, on the host, unless `focal_loss.set_checks` turns that off.

    Notes
    -----
    Domain: `y_true` in [0, 1]; `y_pred` real (logits, linked by the softmax) or non-negative. The loss is
    ``sum_j weight_j * y_j * (1 - p_j)**gamma_j * -log(p_j)`` [1]_, where 1 - p_j is a sum over the other classes.
    A single `alpha` scales the loss of every class alike: it balances nothing.

    References
    ----------
    .. [1] T. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, "Focal loss for dense object detection", ICCV 2017,
       arXiv:1708.02002, equations 4 and 5.

    Examples
    --------
    >>> import torch
    >>> from focal_loss.torch import categorical_focal_crossentropy
    >>> y_pred = torch.tensor([[0.05, 0.85, 0.1], [0.1, 0.8, 0.1]])
    >>> categorical_focal_crossentropy(torch.tensor([[0, 1, 0], [0, 0, 1]]), y_pred)
    tensor([0.0009, 0.4663])
    """
    return _loss(
        losses.CATEGORICAL_FOCAL_CROSSENTROPY,
        y_true,
        y_pred,
        reduction,
        normalizer,
        group,
        alpha=alpha,
        gamma=gamma,
        from_logits=from_logits,
        label_smoothing=label_smoothing,
        axis=axis,
    )


@answering
def categorical_focal_loss(
    y_true: Any,
    y_pred: Any,
    gamma: ParameterLike,
    *,
    class_weight: ParameterLike | None = None,
    from_logits: bool = False,
    label_smoothing: float | None = None,
    axis: int = -1,
    reduction: Reduction = "none",
    normalizer: Normalizer = None,
    group: Group = None,
) -> Tensor:
    """Softmax focal loss of dense labels.

    Parameters
    ----------
    y_true : array_like, shape (..., K, ...)
        The probability of each class: one-hot, smoothed or soft.
    y_pred : array_like, shape (..., K, ...)
        Logits or probabilities of the K classes, of a floating dtype; integers and lists become float32.
    gamma : float or array_like, shape (), (K,) or (..., 1, ...)
        The focusing parameter, at least 0. The higher it is, the less an easy example counts; 0 is cross-entropy. A
        vector is one for each class; an array with the axes of `y_pred`, of length 1 in place of K, is one for each
        example.
    class_weight : float or array_like, shape () or (K,), optional
        The weight of each class. 1 if None.
    from_logits : bool
        Whether `y_pred` holds logits, any real number, or probabilities. Prefer logits: they are exact for every finite
        number. Probabilities are clamped to [1e-7, 1 - 1e-7] after division by their sum; beyond the clamp the gradient
        is that of its edge.
    label_smoothing : float, optional
        The amount a, in [0, 1]. Labels become ``(1 - a) * y_true + a / K``, in the focal factor as in the logarithm.
    axis : int
        The axis of `y_pred` that holds the classes.
    reduction : {'none', 'mean', 'sum'}
        How to reduce the losses. A mean or a sum of half precision is float32. Under `torch.autocast` every loss is
        float32, reduced or not.
    normalizer : {'valid', 'positives', 'weight'}, float or Tensor, optional
        The divisor of the sum of the losses in a mean, a constant in derivatives. None or 'valid': the number of
        examples. 'positives': the sum of the labels before smoothing, at least 1. 'weight': the sum of the weights of
        the labels. A positive number, or a tensor of one: itself. The mean is 0 where the divisor is 0.
    group : torch.distributed.ProcessGroup or bool, optional
        The processes that share a batch, True for all of them. Their divisors, numbers too, are added up, and the loss
        is multiplied by the number of processes: the average of their gradients, which DDP and FSDP take, is then that
        of one process with the whole batch. Each of them must call the loss. See `docs/many_machines.md`.

    Returns
    -------
    loss : array, the common shape without the class axis
        The loss of each example. The dtype is that of `y_pred`. float16 and bfloat16 are computed in float32 and
        rounded once.

    Raises
    ------
    TypeError
        If an option has the wrong type, or labels or predictions are not real numbers.
    ValueError
        If an option is out of range, if shapes do not match, or if labels or probabilities are outside [0, 1] where
        they can be read: in eager code, on the host, unless `focal_loss.set_checks` turns that off.

    Notes
    -----
    Domain: `y_true` in [0, 1]; `y_pred` real (logits, linked by the softmax) or non-negative. The loss is
    ``sum_j weight_j * y_j * (1 - p_j)**gamma_j * -log(p_j)`` [1]_, where 1 - p_j is a sum over the other classes.

    References
    ----------
    .. [1] T. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, "Focal loss for dense object detection", ICCV 2017,
       arXiv:1708.02002, equations 4 and 5.

    Examples
    --------
    >>> import torch
    >>> from focal_loss.torch import categorical_focal_loss
    >>> y_pred = torch.tensor([[1.0, 0.0, -1.0]])
    >>> categorical_focal_loss(torch.tensor([[1, 0, 0]]), y_pred, gamma=2, from_logits=True)
    tensor([0.0457])
    """
    return _loss(
        losses.CATEGORICAL_FOCAL_LOSS,
        y_true,
        y_pred,
        reduction,
        normalizer,
        group,
        gamma=gamma,
        class_weight=class_weight,
        from_logits=from_logits,
        label_smoothing=label_smoothing,
        axis=axis,
    )


@answering
def focal_matching_cost(
    y_pred: Any,
    alpha: ParameterLike = 0.25,
    gamma: ParameterLike = 2.0,
    *,
    from_logits: bool = False,
) -> Tensor:
    """The focal cost of calling each output positive, for the matcher of a DETR-like detector.

    Parameters
    ----------
    y_pred : array_like, any shape
        Logits or probabilities of the positive class, of a floating dtype; integers and lists become float32.
    alpha : float or array_like, shape broadcasts with the predictions
        The weight of the positive side, in [0, 1]; the negative one has ``1 - alpha``.
    gamma : float or array_like, shape broadcasts with the predictions
        The focusing parameter, at least 0. The higher it is, the less an easy example counts; 0 is cross-entropy.
    from_logits : bool
        Whether `y_pred` holds logits, any real number, or probabilities. Prefer logits: they are exact for every finite
        number. Probabilities are clamped to [1e-7, 1 - 1e-7]; beyond the clamp the gradient is that of its edge.

    Returns
    -------
    loss : array, the shape to which the arguments broadcast
        The cost of each prediction. The dtype is that of `y_pred`. float16 and bfloat16 are computed in float32 and
        rounded once.

    Raises
    ------
    TypeError
        If an option has the wrong type, or labels or predictions are not real numbers.
    ValueError
        If an option is out of range, if shapes do not match, or if probabilities are outside [0, 1] where they can be
        read: in eager code, on the host, unless `focal_loss.set_checks` turns that off.

    Notes
    -----
    Domain: `y_pred` real (logits, linked by the sigmoid) or in [0, 1]. With p the probability of the positive
    class and q = 1 - p the cost is [1]_

        alpha * q**gamma * -log(p) - (1 - alpha) * p**gamma * -log(q)

    It is finite for every finite logit of every dtype and never rises with the logit. Formulas with ``log(p + 1e-8)``
    are infinite in float16 for logits above 9, and a matcher then finds no assignment.

    References
    ----------
    .. [1] X. Zhu, W. Su, L. Lu, B. Li, X. Wang and J. Dai, "Deformable DETR: deformable transformers for
       end-to-end object detection", ICLR 2021, arXiv:2010.04159.

    Examples
    --------
    >>> import torch
    >>> from focal_loss.torch import focal_matching_cost
    >>> focal_matching_cost(torch.tensor([0.1, 0.5, 0.9]))
    tensor([ 0.4655, -0.0866, -1.3986])
    """
    return _loss(losses.FOCAL_MATCHING_COST, None, y_pred, "none", alpha=alpha, gamma=gamma, from_logits=from_logits)


@answering
def matchability_aware_loss(
    y_true: Any,
    y_pred: Any,
    gamma: ParameterLike = 1.5,
    *,
    alpha: ParameterLike = 1.0,
    detach_weight: bool = True,
    from_logits: bool = False,
    ignore_class: int | None = None,
    reduction: Reduction = "none",
    normalizer: Normalizer = None,
    group: Group = None,
) -> Tensor:
    """Matchability-aware loss: positives are scores, whose powers are the targets.

    Parameters
    ----------
    y_true : array_like of bool, int or float, any shape
        Labels in [0, 1]. Others are refused where they can be read: in eager code, on the host.
    y_pred : array_like, a shape that broadcasts with `y_true`
        Logits or probabilities of the positive class, of a floating dtype; integers and lists become float32.
    gamma : float or array_like, shape broadcasts with the labels
        The exponent of the scores, at least 0. The target of a positive is its score to this power; the higher it is,
        the less an easy negative counts.
    alpha : float or array_like, shape broadcasts with the labels
        The weight of the negatives, which have labels of 0, at least 0.
    detach_weight : bool
        Whether the factor ``p**gamma`` of a negative counts as a constant in derivatives with respect to the
        prediction, as the `detach` of a tensor makes it one.
    from_logits : bool
        Whether `y_pred` holds logits, any real number, or probabilities. Prefer logits: they are exact for every finite
        number. Probabilities are clamped to [1e-7, 1 - 1e-7]; beyond the clamp the gradient is that of its edge.
    ignore_class : int, optional
        Predictions with this label cost 0 and have a gradient of zeros, whatever they are. It need not be in [0, 1].
    reduction : {'none', 'mean', 'sum'}
        How to reduce the losses. The mean is over the predictions that are not ignored, and 0 where there are none. A
        mean or a sum of half precision is float32. Under `torch.autocast` every loss is float32, reduced or not.
    normalizer : {'valid', 'positives', 'weight'}, float or Tensor, optional
        The divisor of the sum of the losses in a mean, a constant in derivatives. None or 'valid': the number of
        predictions that are not ignored. 'positives': the sum of the labels, at least 1. 'weight': the sum of the
        weights of the labels, 1 for a positive and `alpha` for a negative. A positive number, or a tensor of one:
        itself. The mean is 0 where the divisor is 0.
    group : torch.distributed.ProcessGroup or bool, optional
        The processes that share a batch, True for all of them. Their divisors, numbers too, are added up, and the loss
        is multiplied by the number of processes: the average of their gradients, which DDP and FSDP take, is then that
        of one process with the whole batch. Each of them must call the loss. See `docs/many_machines.md`.

    Returns
    -------
    loss : array, the shape to which the arguments broadcast
        The loss of each example. The dtype is that of `y_pred`. float16 and bfloat16 are computed in float32 and
        rounded once.

    Raises
    ------
    TypeError
        If an option has the wrong type, or labels or predictions are not real numbers.
    ValueError
        If an option is out of range, if shapes do not match, or if labels or probabilities are outside [0, 1] where
        they can be read: in eager code, on the host, unless `focal_loss.set_checks` turns that off.

    Notes
    -----
    Domain: `y_true` in [0, 1]; `y_pred` real (logits, linked by the sigmoid) or in [0, 1]. With p the
    probability of the positive class and q = 1 - p the loss is [1]_

        where(y > 0, y**gamma * -log(p) + (1 - y**gamma) * -log(q), alpha * p**gamma * -log(q))

    The loss jumps at a label of 0, where its derivative in the label is 0.

    References
    ----------
    .. [1] S. Huang, Z. Lu, X. Cun, Y. Yu, X. Zhou and X. Shen, "DEIM: DETR with improved matching for fast
       convergence", CVPR 2025, arXiv:2412.04234, equation 5.

    Examples
    --------
    >>> import torch
    >>> from focal_loss.torch import matchability_aware_loss
    >>> matchability_aware_loss(torch.tensor([0.0, 0.7, 1.0]), torch.tensor([0.1, 0.6, 0.9]))
    tensor([0.0033, 0.6788, 0.1054])
    """
    return _loss(
        losses.MATCHABILITY_AWARE_LOSS,
        y_true,
        y_pred,
        reduction,
        normalizer,
        group,
        gamma=gamma,
        alpha=alpha,
        detach_weight=detach_weight,
        from_logits=from_logits,
        ignore_class=ignore_class,
    )


@answering
def penalty_reduced_focal_loss(
    y_true: Any,
    y_pred: Any,
    alpha: ParameterLike = 2.0,
    beta: ParameterLike = 4.0,
    *,
    from_logits: bool = False,
    ignore_class: int | None = None,
    reduction: Reduction = "none",
    normalizer: Normalizer = None,
    group: Group = None,
) -> Tensor:
    """Penalty-reduced focal loss of a heatmap, as CornerNet and CenterNet have it.

    Parameters
    ----------
    y_true : array_like of bool, int or float, any shape
        Labels in [0, 1]. Others are refused where they can be read: in eager code, on the host.
    y_pred : array_like, a shape that broadcasts with `y_true`
        Logits or probabilities of the positive class, of a floating dtype; integers and lists become float32.
    alpha : float or array_like, shape broadcasts with the labels
        The focusing parameter, at least 0. The higher it is, the less an easy place counts.
    beta : float or array_like, shape broadcasts with the labels
        The exponent of the penalty, at least 0. The higher it is, the less a place near an object counts.
    from_logits : bool
        Whether `y_pred` holds logits, any real number, or probabilities. Prefer logits: they are exact for every finite
        number. Probabilities are clamped to [1e-7, 1 - 1e-7]; beyond the clamp the gradient is that of its edge.
    ignore_class : int, optional
        Predictions with this label cost 0 and have a gradient of zeros, whatever they are. It need not be in [0, 1].
    reduction : {'none', 'mean', 'sum'}
        How to reduce the losses. The mean is over the predictions that are not ignored, and 0 where there are none. A
        mean or a sum of half precision is float32. Under `torch.autocast` every loss is float32, reduced or not.
    normalizer : {'valid', 'positives'}, float or Tensor, optional
        The divisor of the sum of the losses in a mean, a constant in derivatives. None or 'valid': the number of
        predictions that are not ignored. 'positives': the number of labels of 1, at least 1. A positive number, or a
        tensor of one: itself. The mean is 0 where the divisor is 0.
    group : torch.distributed.ProcessGroup or bool, optional
        The processes that share a batch, True for all of them. Their divisors, numbers too, are added up, and the loss
        is multiplied by the number of processes: the average of their gradients, which DDP and FSDP take, is then that
        of one process with the whole batch. Each of them must call the loss. See `docs/many_machines.md`.

    Returns
    -------
    loss : array, the shape to which the arguments broadcast
        The loss of each example. The dtype is that of `y_pred`. float16 and bfloat16 are computed in float32 and
        rounded once.

    Raises
    ------
    TypeError
        If an option has the wrong type, or labels or predictions are not real numbers.
    ValueError
        If an option is out of range, if shapes do not match, or if labels or probabilities are outside [0, 1] where
        they can be read: in eager code, on the host, unless `focal_loss.set_checks` turns that off.

    Notes
    -----
    Domain: `y_true` in [0, 1]; `y_pred` real (logits, linked by the sigmoid) or in [0, 1]. With p the
    probability of the positive class and q = 1 - p the loss is [1]_

        where(y == 1, q**alpha * -log(p), (1 - y)**beta * p**alpha * -log(q))

    A place with a label of exactly 1 is an object; every other one is background, whose penalty is less where the label
    is near 1. The loss jumps there, and its derivative in the label is 0 at 1. A heatmap without an object is legal.

    References
    ----------
    .. [1] H. Law and J. Deng, "CornerNet: detecting objects as paired keypoints", ECCV 2018, arXiv:1808.01244,
       equation 1; X. Zhou, D. Wang and P. Krähenbühl, "Objects as points", arXiv:1904.07850, equation 1.

    Examples
    --------
    >>> import torch
    >>> from focal_loss.torch import penalty_reduced_focal_loss
    >>> penalty_reduced_focal_loss(torch.tensor([0.0, 0.8, 1.0]), torch.tensor([0.1, 0.6, 0.7]))
    tensor([0.0011, 0.0005, 0.0321])
    """
    return _loss(
        losses.PENALTY_REDUCED_FOCAL_LOSS,
        y_true,
        y_pred,
        reduction,
        normalizer,
        group,
        alpha=alpha,
        beta=beta,
        from_logits=from_logits,
        ignore_class=ignore_class,
    )


@answering
def poly1_focal_loss(
    y_true: Any,
    y_pred: Any,
    gamma: ParameterLike = 2.0,
    epsilon: float = 1.0,
    *,
    pos_weight: ParameterLike | None = None,
    from_logits: bool = False,
    ignore_class: int | None = None,
    reduction: Reduction = "none",
    normalizer: Normalizer = None,
    group: Group = None,
) -> Tensor:
    """Poly-1 focal loss: the focal loss with another first coefficient of its series.

    Parameters
    ----------
    y_true : array_like of bool, int or float, any shape
        Labels in [0, 1]. Others are refused where they can be read: in eager code, on the host.
    y_pred : array_like, a shape that broadcasts with `y_true`
        Logits or probabilities of the positive class, of a floating dtype; integers and lists become float32.
    gamma : float or array_like, shape broadcasts with the labels
        The focusing parameter, at least 0. The higher it is, the less an easy example counts; 0 is cross-entropy.
    epsilon : float
        The number added to the coefficient of the first term, at least -1; 0 is the focal loss.
    pos_weight : float or array_like, optional
        The weight of the positives, at least 0, a shape that broadcasts with the labels. 1 if None.
    from_logits : bool
        Whether `y_pred` holds logits, any real number, or probabilities. Prefer logits: they are exact for every finite
        number. Probabilities are clamped to [1e-7, 1 - 1e-7]; beyond the clamp the gradient is that of its edge.
    ignore_class : int, optional
        Predictions with this label cost 0 and have a gradient of zeros, whatever they are. It need not be in [0, 1].
    reduction : {'none', 'mean', 'sum'}
        How to reduce the losses. The mean is over the predictions that are not ignored, and 0 where there are none. A
        mean or a sum of half precision is float32. Under `torch.autocast` every loss is float32, reduced or not.
    normalizer : {'valid', 'positives', 'weight'}, float or Tensor, optional
        The divisor of the sum of the losses in a mean, a constant in derivatives. None or 'valid': the number of
        predictions that are not ignored. 'positives': the sum of the labels, at least 1. 'weight': the sum of the
        weights of the labels, that of a positive and 1 for a negative. A positive number, or a tensor of one: itself.
        The mean is 0 where the divisor is 0.
    group : torch.distributed.ProcessGroup or bool, optional
        The processes that share a batch, True for all of them. Their divisors, numbers too, are added up, and the loss
        is multiplied by the number of processes: the average of their gradients, which DDP and FSDP take, is then that
        of one process with the whole batch. Each of them must call the loss. See `docs/many_machines.md`.

    Returns
    -------
    loss : array, the shape to which the arguments broadcast
        The loss of each example. The dtype is that of `y_pred`. float16 and bfloat16 are computed in float32 and
        rounded once.

    Raises
    ------
    TypeError
        If an option has the wrong type, or labels or predictions are not real numbers.
    ValueError
        If an option is out of range, if shapes do not match, or if labels or probabilities are outside [0, 1] where
        they can be read: in eager code, on the host, unless `focal_loss.set_checks` turns that off.

    Notes
    -----
    Domain: `y_true` in [0, 1]; `y_pred` real (logits, linked by the sigmoid) or in [0, 1]. With p the
    probability of the positive class and q = 1 - p the loss is [1]_

        pos_weight * y * q**gamma * (-log(p) + epsilon * q) + (1 - y) * p**gamma * (-log(q) + epsilon * p)

    A soft label is the expectation over hard ones. With ``epsilon=0`` it is `binary_focal_loss`. With an `epsilon`
    below -1 the loss of an easy example would be negative; at -1 its two terms nearly cancel.

    References
    ----------
    .. [1] Z. Leng, M. Tan, C. Liu, E. D. Cubuk, X. Shi, S. Cheng and D. Anguelov, "PolyLoss: a polynomial
       expansion perspective of classification loss functions", ICLR 2022, arXiv:2204.12511, section 4.

    Examples
    --------
    >>> import torch
    >>> from focal_loss.torch import poly1_focal_loss
    >>> poly1_focal_loss(torch.tensor([0, 1, 1]), torch.tensor([0.1, 0.7, 0.9]))
    tensor([0.0021, 0.0591, 0.0021])
    """
    return _loss(
        losses.POLY1_FOCAL_LOSS,
        y_true,
        y_pred,
        reduction,
        normalizer,
        group,
        gamma=gamma,
        epsilon=epsilon,
        pos_weight=pos_weight,
        from_logits=from_logits,
        ignore_class=ignore_class,
    )


@answering
def quality_focal_loss(
    y_true: Any,
    y_pred: Any,
    beta: ParameterLike = 2.0,
    *,
    from_logits: bool = False,
    ignore_class: int | None = None,
    reduction: Reduction = "none",
    normalizer: Normalizer = None,
    group: Group = None,
) -> Tensor:
    """Quality focal loss: labels are scores, such as the overlap of a box with the truth.

    Parameters
    ----------
    y_true : array_like of bool, int or float, any shape
        Labels in [0, 1]. Others are refused where they can be read: in eager code, on the host.
    y_pred : array_like, a shape that broadcasts with `y_true`
        Logits or probabilities of the positive class, of a floating dtype; integers and lists become float32.
    beta : float or array_like, shape broadcasts with the labels
        The focusing parameter, at least 0. The higher it is, the less a score that is nearly right counts; 0 is cross-
        entropy.
    from_logits : bool
        Whether `y_pred` holds logits, any real number, or probabilities. Prefer logits: they are exact for every finite
        number. Probabilities are clamped to [1e-7, 1 - 1e-7]; beyond the clamp the gradient is that of its edge.
    ignore_class : int, optional
        Predictions with this label cost 0 and have a gradient of zeros, whatever they are. It need not be in [0, 1].
    reduction : {'none', 'mean', 'sum'}
        How to reduce the losses. The mean is over the predictions that are not ignored, and 0 where there are none. A
        mean or a sum of half precision is float32. Under `torch.autocast` every loss is float32, reduced or not.
    normalizer : {'valid', 'positives'}, float or Tensor, optional
        The divisor of the sum of the losses in a mean, a constant in derivatives. None or 'valid': the number of
        predictions that are not ignored. 'positives': the sum of the labels, at least 1. A positive number, or a tensor
        of one: itself. The mean is 0 where the divisor is 0.
    group : torch.distributed.ProcessGroup or bool, optional
        The processes that share a batch, True for all of them. Their divisors, numbers too, are added up, and the loss
        is multiplied by the number of processes: the average of their gradients, which DDP and FSDP take, is then that
        of one process with the whole batch. Each of them must call the loss. See `docs/many_machines.md`.

    Returns
    -------
    loss : array, the shape to which the arguments broadcast
        The loss of each example. The dtype is that of `y_pred`. float16 and bfloat16 are computed in float32 and
        rounded once.

    Raises
    ------
    TypeError
        If an option has the wrong type, or labels or predictions are not real numbers.
    ValueError
        If an option is out of range, if shapes do not match, or if labels or probabilities are outside [0, 1] where
        they can be read: in eager code, on the host, unless `focal_loss.set_checks` turns that off.

    Notes
    -----
    Domain: `y_true` in [0, 1]; `y_pred` real (logits, linked by the sigmoid) or in [0, 1]. With p the
    probability of the positive class and q = 1 - p the loss is [1]_

        abs(y - p)**beta * (y * -log(p) + (1 - y) * -log(q))

    On labels of 0 and 1 it is `binary_focal_loss` with ``gamma=beta``.

    References
    ----------
    .. [1] X. Li et al., "Generalized focal loss: learning qualified and distributed bounding boxes for dense
       object detection", NeurIPS 2020, arXiv:2006.04388, equation 3.

    Examples
    --------
    >>> import torch
    >>> from focal_loss.torch import quality_focal_loss
    >>> quality_focal_loss(torch.tensor([0.0, 0.7, 1.0]), torch.tensor([0.1, 0.6, 0.9]))
    tensor([0.0011, 0.0063, 0.0011])
    """
    return _loss(
        losses.QUALITY_FOCAL_LOSS,
        y_true,
        y_pred,
        reduction,
        normalizer,
        group,
        beta=beta,
        from_logits=from_logits,
        ignore_class=ignore_class,
    )


@answering
def sparse_categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: ParameterLike = 0.25,
    gamma: ParameterLike = 2.0,
    from_logits: bool = False,
    axis: int = -1,
    ignore_class: int | None = None,
    *,
    label_smoothing: float = 0.0,
    reduction: Reduction = "none",
    normalizer: Normalizer = None,
    group: Group = None,
) -> Tensor:
    """Softmax focal cross-entropy of class indices, the sparse form of `categorical_focal_crossentropy`.

    Parameters
    ----------
    y_true : array_like of int, the shape of `y_pred` without its class axis
        Class indices in [0, K). A class axis of length 1 is dropped.
    y_pred : array_like, shape (..., K, ...)
        Logits or probabilities of the K classes, of a floating dtype; integers and lists become float32.
    alpha : float or array_like, shape () or (K,)
        The weight of each class, at least 0.
    gamma : float or array_like, shape (), (K,) or (..., 1, ...)
        The focusing parameter, at least 0. The higher it is, the less an easy example counts; 0 is cross-entropy. A
        vector is one for each class; an array with the axes of `y_pred`, of length 1 in place of K, is one for each
        example.
    from_logits : bool
        Whether `y_pred` holds logits, any real number, or probabilities. Prefer logits: they are exact for every finite
        number. Probabilities are clamped to [1e-7, 1 - 1e-7] after division by their sum; beyond the clamp the gradient
        is that of its edge.
    axis : int
        The axis of `y_pred` that holds the classes.
    ignore_class : int, optional
        Examples with this label cost 0 and have a gradient of zeros, whatever their prediction. It need not be a class.
    label_smoothing : float
        The amount a, in [0, 1]. An index counts as the labels ``(1 - a) * one_hot + a / K``, in the focal factor as in
        the logarithm: the loss is that of all K classes.
    reduction : {'none', 'mean', 'sum'}
        How to reduce the losses. The mean is over the examples that are not ignored, and 0 where there are none. A mean
        or a sum of half precision is float32. Under `torch.autocast` every loss is float32, reduced or not.
    normalizer : {'valid', 'weight'}, float or Tensor, optional
        The divisor of the sum of the losses in a mean, a constant in derivatives. None or 'valid': the number of
        examples that are not ignored. 'weight': the sum of the weights of the labels. A positive number, or a tensor of
        one: itself. The mean is 0 where the divisor is 0.
    group : torch.distributed.ProcessGroup or bool, optional
        The processes that share a batch, True for all of them. Their divisors, numbers too, are added up, and the loss
        is multiplied by the number of processes: the average of their gradients, which DDP and FSDP take, is then that
        of one process with the whole batch. Each of them must call the loss. See `docs/many_machines.md`.

    Returns
    -------
    loss : array, the shape of `y_true`
        The loss of each example. The dtype is that of `y_pred`. float16 and bfloat16 are computed in float32 and
        rounded once.

    Raises
    ------
    TypeError
        If an option has the wrong type, or labels or predictions are not real numbers.
    ValueError
        If an option is out of range, a class index is out of range (where it can be read; in compiled code and on a GPU
        that loss is NaN), if shapes do not match, or if labels or probabilities are outside [0, 1] where they can be
        read: in eager code, on the host, unless `focal_loss.set_checks` turns that off.

    Notes
    -----
    Domain: `y_true` in 0 .. K-1; `y_pred` real (logits, linked by the softmax) or non-negative. The loss
    is ``weight_t * (1 - p_t)**gamma_t * -log(p_t)`` [1]_ of the true class t, where 1 - p_t is a sum over the other
    classes; with `label_smoothing` the sum of such terms over all classes, each times its smoothed label. No one-hot
    labels are made.
    A single `alpha` scales the loss of every class alike: it balances nothing.

    References
    ----------
    .. [1] T. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, "Focal loss for dense object detection", ICCV 2017,
       arXiv:1708.02002, equations 4 and 5.

    Examples
    --------
    >>> import torch
    >>> from focal_loss.torch import sparse_categorical_focal_crossentropy
    >>> y_pred = torch.tensor([[0.05, 0.85, 0.1], [0.1, 0.8, 0.1]])
    >>> sparse_categorical_focal_crossentropy(torch.tensor([1, 2]), y_pred)
    tensor([0.0009, 0.4663])
    """
    return _loss(
        losses.SPARSE_CATEGORICAL_FOCAL_CROSSENTROPY,
        y_true,
        y_pred,
        reduction,
        normalizer,
        group,
        alpha=alpha,
        gamma=gamma,
        from_logits=from_logits,
        axis=axis,
        ignore_class=ignore_class,
        label_smoothing=label_smoothing,
    )


@answering
def sparse_categorical_focal_loss(
    y_true: Any,
    y_pred: Any,
    gamma: ParameterLike,
    *,
    class_weight: ParameterLike | None = None,
    from_logits: bool = False,
    axis: int = -1,
    ignore_class: int | None = None,
    label_smoothing: float | None = None,
    reduction: Reduction = "none",
    normalizer: Normalizer = None,
    group: Group = None,
) -> Tensor:
    """Softmax focal loss of class indices.

    Parameters
    ----------
    y_true : array_like of int, the shape of `y_pred` without its class axis
        Class indices in [0, K). A class axis of length 1 is dropped.
    y_pred : array_like, shape (..., K, ...)
        Logits or probabilities of the K classes, of a floating dtype; integers and lists become float32.
    gamma : float or array_like, shape (), (K,) or (..., 1, ...)
        The focusing parameter, at least 0. The higher it is, the less an easy example counts; 0 is cross-entropy. A
        vector is one for each class; an array with the axes of `y_pred`, of length 1 in place of K, is one for each
        example.
    class_weight : float or array_like, shape () or (K,), optional
        The weight of each class. 1 if None.
    from_logits : bool
        Whether `y_pred` holds logits, any real number, or probabilities. Prefer logits: they are exact for every finite
        number. Probabilities are clamped to [1e-7, 1 - 1e-7] after division by their sum; beyond the clamp the gradient
        is that of its edge.
    axis : int
        The axis of `y_pred` that holds the classes.
    ignore_class : int, optional
        Examples with this label cost 0 and have a gradient of zeros, whatever their prediction. It need not be a class.
    label_smoothing : float, optional
        The amount a, in [0, 1]. An index counts as the labels ``(1 - a) * one_hot + a / K``, in the focal factor as in
        the logarithm: the loss is that of all K classes.
    reduction : {'none', 'mean', 'sum'}
        How to reduce the losses. The mean is over the examples that are not ignored, and 0 where there are none. A mean
        or a sum of half precision is float32. Under `torch.autocast` every loss is float32, reduced or not.
    normalizer : {'valid', 'weight'}, float or Tensor, optional
        The divisor of the sum of the losses in a mean, a constant in derivatives. None or 'valid': the number of
        examples that are not ignored. 'weight': the sum of the weights of the labels. A positive number, or a tensor of
        one: itself. The mean is 0 where the divisor is 0.
    group : torch.distributed.ProcessGroup or bool, optional
        The processes that share a batch, True for all of them. Their divisors, numbers too, are added up, and the loss
        is multiplied by the number of processes: the average of their gradients, which DDP and FSDP take, is then that
        of one process with the whole batch. Each of them must call the loss. See `docs/many_machines.md`.

    Returns
    -------
    loss : array, the shape of `y_true`
        The loss of each example. The dtype is that of `y_pred`. float16 and bfloat16 are computed in float32 and
        rounded once.

    Raises
    ------
    TypeError
        If an option has the wrong type, or labels or predictions are not real numbers.
    ValueError
        If an option is out of range, a class index is out of range (where it can be read; in compiled code and on a GPU
        that loss is NaN), if shapes do not match, or if labels or probabilities are outside [0, 1] where they can be
        read: in eager code, on the host, unless `focal_loss.set_checks` turns that off.

    Notes
    -----
    Domain: `y_true` in 0 .. K-1; `y_pred` real (logits, linked by the softmax) or non-negative. The loss
    is ``weight_t * (1 - p_t)**gamma_t * -log(p_t)`` [1]_ of the true class t, where 1 - p_t is a sum over the other
    classes; with `label_smoothing` the sum of such terms over all classes, each times its smoothed label. No one-hot
    labels are made.

    References
    ----------
    .. [1] T. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, "Focal loss for dense object detection", ICCV 2017,
       arXiv:1708.02002, equations 4 and 5.

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
    return _loss(
        losses.SPARSE_CATEGORICAL_FOCAL_LOSS,
        y_true,
        y_pred,
        reduction,
        normalizer,
        group,
        gamma=gamma,
        class_weight=class_weight,
        from_logits=from_logits,
        axis=axis,
        ignore_class=ignore_class,
        label_smoothing=label_smoothing,
    )


@answering
def varifocal_loss(
    y_true: Any,
    y_pred: Any,
    alpha: ParameterLike = 0.75,
    gamma: ParameterLike = 2.0,
    *,
    detach_weight: bool = False,
    from_logits: bool = False,
    ignore_class: int | None = None,
    reduction: Reduction = "none",
    normalizer: Normalizer = None,
    group: Group = None,
) -> Tensor:
    """Varifocal loss: positives are scores that weigh themselves, such as the overlap of a box with the truth.

    Parameters
    ----------
    y_true : array_like of bool, int or float, any shape
        Labels in [0, 1]. Others are refused where they can be read: in eager code, on the host.
    y_pred : array_like, a shape that broadcasts with `y_true`
        Logits or probabilities of the positive class, of a floating dtype; integers and lists become float32.
    alpha : float or array_like, shape broadcasts with the labels
        The weight of the negatives, which have labels of 0, at least 0.
    gamma : float or array_like, shape broadcasts with the labels
        The focusing parameter, at least 0. The higher it is, the less an easy negative counts.
    detach_weight : bool
        Whether the factor ``p**gamma`` of a negative counts as a constant in derivatives with respect to the
        prediction, as the `detach` of a tensor makes it one.
    from_logits : bool
        Whether `y_pred` holds logits, any real number, or probabilities. Prefer logits: they are exact for every finite
        number. Probabilities are clamped to [1e-7, 1 - 1e-7]; beyond the clamp the gradient is that of its edge.
    ignore_class : int, optional
        Predictions with this label cost 0 and have a gradient of zeros, whatever they are. It need not be in [0, 1].
    reduction : {'none', 'mean', 'sum'}
        How to reduce the losses. The mean is over the predictions that are not ignored, and 0 where there are none. A
        mean or a sum of half precision is float32. Under `torch.autocast` every loss is float32, reduced or not.
    normalizer : {'valid', 'positives', 'weight'}, float or Tensor, optional
        The divisor of the sum of the losses in a mean, a constant in derivatives. None or 'valid': the number of
        predictions that are not ignored. 'positives': the sum of the labels, at least 1. 'weight': the sum of the
        weights of the labels, its score for a positive and `alpha` for a negative. A positive number, or a tensor of
        one: itself. The mean is 0 where the divisor is 0.
    group : torch.distributed.ProcessGroup or bool, optional
        The processes that share a batch, True for all of them. Their divisors, numbers too, are added up, and the loss
        is multiplied by the number of processes: the average of their gradients, which DDP and FSDP take, is then that
        of one process with the whole batch. Each of them must call the loss. See `docs/many_machines.md`.

    Returns
    -------
    loss : array, the shape to which the arguments broadcast
        The loss of each example. The dtype is that of `y_pred`. float16 and bfloat16 are computed in float32 and
        rounded once.

    Raises
    ------
    TypeError
        If an option has the wrong type, or labels or predictions are not real numbers.
    ValueError
        If an option is out of range, if shapes do not match, or if labels or probabilities are outside [0, 1] where
        they can be read: in eager code, on the host, unless `focal_loss.set_checks` turns that off.

    Notes
    -----
    Domain: `y_true` in [0, 1]; `y_pred` real (logits, linked by the sigmoid) or in [0, 1]. With p the
    probability of the positive class and q = 1 - p the loss is [1]_

        where(y > 0, y * (y * -log(p) + (1 - y) * -log(q)), alpha * p**gamma * -log(q))

    The loss jumps at a label of 0, where its derivative in the label is 0.

    References
    ----------
    .. [1] H. Zhang, Y. Wang, F. Dayoub and N. Sünderhauf, "VarifocalNet: an IoU-aware dense object detector",
       CVPR 2021, arXiv:2008.13367, equation 2.

    Examples
    --------
    >>> import torch
    >>> from focal_loss.torch import varifocal_loss
    >>> varifocal_loss(torch.tensor([0.0, 0.7, 1.0]), torch.tensor([0.1, 0.6, 0.9]))
    tensor([0.0008, 0.4427, 0.1054])
    """
    return _loss(
        losses.VARIFOCAL_LOSS,
        y_true,
        y_pred,
        reduction,
        normalizer,
        group,
        alpha=alpha,
        gamma=gamma,
        detach_weight=detach_weight,
        from_logits=from_logits,
        ignore_class=ignore_class,
    )


# </doors: functions>


def sigmoid_focal_loss(
    inputs: Tensor,
    targets: Tensor,
    alpha: ParameterLike = 0.25,
    gamma: ParameterLike = 2,
    reduction: Reduction = "none",
    *,
    normalizer: Normalizer = None,
    group: Group = None,
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
        In [0, 1]: the weight of the positives, 1 - `alpha` that of the negatives. -1 turns the weights off, as in
        torchvision.
    gamma : float or Tensor
        The focusing parameter, at least 0.
    reduction : {'none', 'mean', 'sum'}
        What to do with the losses.
    normalizer : {'valid', 'positives', 'weight'}, float or Tensor, optional
        What the mean divides the sum of the losses by; a constant in derivatives. None or 'valid': the number of
        logits. 'positives': the sum of the labels, at least 1. 'weight': the sum of the weights of the labels, 1 each
        without `alpha`. A positive number, or a tensor of one: itself. The mean is 0 where that is 0.
    group : torch.distributed.ProcessGroup or bool, optional
        The processes that share a batch, True for all of them, as in `binary_focal_crossentropy`.

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
    if normalizer is None and group is None:
        compute = lambda xp: _torchvision(xp, inputs, targets, alpha, gamma, reduction)  # noqa: E731
        return _repeated.loss("sigmoid_focal_loss", targets, inputs, (reduction, alpha, gamma), compute)
    chosen = _torchvision_options(alpha, gamma)
    x = XP.prediction(inputs, "inputs")
    y = XP.labels(targets, x, "targets")
    reduction = options.reduction(reduction)
    loss = losses.BINARY_FOCAL_CROSSENTROPY
    _normalizer.check(loss, reduction, normalizer, group)
    if reduction == "mean":
        return _normalizer.mean_of_loss(loss, y, x, chosen, normalizer, group)
    return binary_losses.binary_p_t_loss(XP, y, x, chosen, reduction, average=False)


def _torchvision(xp: Any, inputs: Any, targets: Any, alpha: Any, gamma: Any, reduction: Any) -> Tensor:
    chosen = _torchvision_options(alpha, gamma)
    x = xp.prediction(inputs, "inputs")
    y = xp.labels(targets, x, "targets")
    reduction = options.reduction(reduction)
    result: Tensor = binary_losses.binary_p_t_loss(xp, y, x, chosen, reduction, average=False)
    return result


def _torchvision_options(alpha: Any, gamma: Any) -> CrossentropyOptions:
    balanced = not (options.is_number(alpha) and alpha == -1)
    return checked(
        CrossentropyOptions,
        apply_class_balancing=balanced,
        alpha=alpha if balanced else 0.25,
        gamma=gamma,
        from_logits=True,
    )
