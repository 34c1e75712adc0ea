"""The losses as `torch.nn.Module`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from focal_loss._core import losses, options
from focal_loss._core.names import answering
from focal_loss._core.options import ParameterLike, Reduction
from focal_loss._core.shapes import aligned, check_pairs, normalize_axis
from focal_loss._core.softmax_losses import check_dense
from focal_loss.torch import _normalizer
from focal_loss.torch._backend import XP

# <doors: imports> Written by tools/doors.py; `make doors` writes it anew.
from focal_loss.torch._functions import (
    asymmetric_loss,
    binary_focal_loss,
    categorical_focal_loss,
    matchability_aware_loss,
    penalty_reduced_focal_loss,
    poly1_focal_loss,
    quality_focal_loss,
    sparse_categorical_focal_loss,
    varifocal_loss,
)

# </doors: imports>
from focal_loss.torch._normalizer import Counting, Group, Normalizer
from focal_loss.torch._options import WithOptions

ORDER = "the order of the arguments is (y_true, y_pred), as everywhere in focal_loss"


class _Loss(WithOptions, _normalizer.Grouped):
    """A loss as a module."""

    reduction: Reduction
    normalizer: Normalizer
    from_logits: bool

    if TYPE_CHECKING:  # torch does not type calls of a module

        def __call__(self, y_true: Any, y_pred: Any) -> Tensor: ...

    def keep(self, loss: Counting, reduction: Reduction, normalizer: Normalizer, group: Group, **given: Any) -> None:
        """Check the options and store them as given."""
        self.reduction = options.reduction(reduction)
        _normalizer.check(loss, self.reduction, normalizer, group)
        self.normalizer = normalizer.detach() if isinstance(normalizer, Tensor) else normalizer
        self.group = group
        self.keep_options(loss.options, given)

    def labels_and_prediction(self, y_true: Any, y_pred: Any) -> tuple[Tensor, Tensor]:
        prediction = XP.prediction(y_pred)
        labels = XP.labels(y_true, prediction)
        if labels.requires_grad and not prediction.requires_grad:
            raise TypeError(f"`y_pred` must hold the predictions, but only `y_true` has a gradient; {ORDER}")
        if isinstance(y_pred, Tensor) and not y_pred.is_floating_point():
            swapped = labels.is_floating_point()
            remedy = ORDER if swapped else "call `y_pred.float()` if these are predictions"
            raise TypeError(f"`y_pred` must be a floating tensor of predictions, got {y_pred.dtype}; {remedy}")
        if not (self.from_logits or prediction.requires_grad) and XP.readable(labels) and XP.readable(prediction):
            self._warn_if_swapped(labels, prediction)
        return labels, prediction

    def _warn_if_swapped(self, labels: Tensor, prediction: Tensor) -> None:
        """Warn if labels and probabilities look swapped: in a validation loop no missing gradient shows it, and both
        are in range.
        """
        like_each_other = labels.is_floating_point() and labels.numel() == prediction.numel()
        if like_each_other and _is_hard(prediction) and not _is_hard(labels):
            XP.warn(f"`y_pred` holds nothing but 0 and 1, and `y_true` other numbers; {ORDER}")

    def _shown(self) -> dict[str, Any]:
        """The options, without `normalizer` and `group` where these have no effect."""
        return {k: v for k, v in super()._shown().items() if k not in ("normalizer", "group") or v is not None}


def _is_hard(x: Tensor) -> bool:
    """Whether all numbers are 0 or 1. The first few suffice for nearly all predictions."""
    return all(bool(((part == 0) | (part == 1)).all()) for part in (x.reshape(-1)[:64], x))


class _OfElements(_Loss):
    def labels_and_prediction(self, y_true: Any, y_pred: Any) -> tuple[Tensor, Tensor]:
        labels, prediction = super().labels_and_prediction(y_true, y_pred)
        if labels.shape == prediction.shape:
            return labels, prediction
        labels, prediction = aligned(labels, prediction)
        check_pairs(labels.shape, prediction.shape)
        return labels, prediction


class _Dense(_Loss):
    axis: int

    def labels_and_prediction(self, y_true: Any, y_pred: Any) -> tuple[Tensor, Tensor]:
        labels, prediction = super().labels_and_prediction(y_true, y_pred)
        check_dense(labels.shape, prediction.shape, normalize_axis(self.axis, prediction.ndim))
        check_pairs(labels.shape, prediction.shape)
        return labels, prediction


# <doors: modules> Written by tools/doors.py; `make doors` writes it anew.
@answering
class AsymmetricLoss(_OfElements):
    """`asymmetric_loss` as a module: ``loss(y_true, y_pred)``.

    A label of shape (N,) beside a prediction of shape (N, 1), or the other way round, is aligned, not broadcast.
    `gamma_pos` and `gamma_neg` may be `torch.nn.Parameter`: they have gradients.

    Parameters
    ----------
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
    >>> from focal_loss.torch import AsymmetricLoss
    >>> loss = AsymmetricLoss()
    >>> loss(torch.tensor([0, 1, 0]), torch.tensor([0.04, 0.7, 0.9]))
    tensor(0.3658)
    """

    gamma_pos: Any
    gamma_neg: Any
    clip: Any
    from_logits: Any
    ignore_class: Any

    def __init__(
        self,
        gamma_pos: ParameterLike = 1.0,
        gamma_neg: ParameterLike = 4.0,
        clip: float = 0.05,
        *,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: Reduction = "mean",
        normalizer: Normalizer = None,
        group: Group = None,
    ) -> None:
        super().__init__()
        self.keep(
            losses.ASYMMETRIC_LOSS,
            reduction,
            normalizer,
            group,
            gamma_pos=gamma_pos,
            gamma_neg=gamma_neg,
            clip=clip,
            from_logits=from_logits,
            ignore_class=ignore_class,
        )

    def forward(self, y_true: Any, y_pred: Any) -> Tensor:
        """The reduced loss of labels and predictions that broadcast."""
        labels, prediction = self.labels_and_prediction(y_true, y_pred)
        return asymmetric_loss(
            labels,
            prediction,
            gamma_pos=self.option("gamma_pos", prediction),
            gamma_neg=self.option("gamma_neg", prediction),
            clip=self.clip,
            from_logits=self.from_logits,
            ignore_class=self.ignore_class,
            reduction=self.reduction,
            normalizer=self.normalizer,
            group=self.group,
        )


@answering
class BinaryFocalLoss(_OfElements):
    """`binary_focal_loss` as a module: ``loss(y_true, y_pred)``.

    A label of shape (N,) beside a prediction of shape (N, 1), or the other way round, is aligned, not broadcast.
    `gamma` and `pos_weight` may be `torch.nn.Parameter`: they have gradients.

    Parameters
    ----------
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
    >>> from focal_loss.torch import BinaryFocalLoss
    >>> loss = BinaryFocalLoss(gamma=2)
    >>> loss(torch.tensor([0, 1, 1]), torch.tensor([0.1, 0.7, 0.9]))
    tensor(0.0114)
    """

    gamma: Any
    pos_weight: Any
    from_logits: Any
    label_smoothing: Any
    ignore_class: Any

    def __init__(
        self,
        gamma: ParameterLike,
        *,
        pos_weight: ParameterLike | None = None,
        from_logits: bool = False,
        label_smoothing: float | None = None,
        ignore_class: int | None = None,
        reduction: Reduction = "mean",
        normalizer: Normalizer = None,
        group: Group = None,
    ) -> None:
        super().__init__()
        self.keep(
            losses.BINARY_FOCAL_LOSS,
            reduction,
            normalizer,
            group,
            gamma=gamma,
            pos_weight=pos_weight,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            ignore_class=ignore_class,
        )

    def forward(self, y_true: Any, y_pred: Any) -> Tensor:
        """The reduced loss of labels and predictions that broadcast."""
        labels, prediction = self.labels_and_prediction(y_true, y_pred)
        return binary_focal_loss(
            labels,
            prediction,
            gamma=self.option("gamma", prediction),
            pos_weight=self.option("pos_weight", prediction),
            from_logits=self.from_logits,
            label_smoothing=self.label_smoothing,
            ignore_class=self.ignore_class,
            reduction=self.reduction,
            normalizer=self.normalizer,
            group=self.group,
        )


@answering
class CategoricalFocalLoss(_Dense):
    """`categorical_focal_loss` as a module: ``loss(y_true, y_pred)``.

    `gamma` and `class_weight` may be `torch.nn.Parameter`: they have gradients.

    Parameters
    ----------
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
    >>> from focal_loss.torch import CategoricalFocalLoss
    >>> loss = CategoricalFocalLoss(gamma=2, from_logits=True)
    >>> loss(torch.tensor([[1, 0, 0]]), torch.tensor([[1.0, 0.0, -1.0]]))
    tensor(0.0457)
    """

    gamma: Any
    class_weight: Any
    from_logits: Any
    label_smoothing: Any
    axis: Any

    def __init__(
        self,
        gamma: ParameterLike,
        *,
        class_weight: ParameterLike | None = None,
        from_logits: bool = False,
        label_smoothing: float | None = None,
        axis: int = -1,
        reduction: Reduction = "mean",
        normalizer: Normalizer = None,
        group: Group = None,
    ) -> None:
        super().__init__()
        self.keep(
            losses.CATEGORICAL_FOCAL_LOSS,
            reduction,
            normalizer,
            group,
            gamma=gamma,
            class_weight=class_weight,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )

    def forward(self, y_true: Any, y_pred: Any) -> Tensor:
        """The reduced loss of dense labels and predictions of one shape."""
        labels, prediction = self.labels_and_prediction(y_true, y_pred)
        return categorical_focal_loss(
            labels,
            prediction,
            gamma=self.option("gamma", prediction),
            class_weight=self.option("class_weight", prediction),
            from_logits=self.from_logits,
            label_smoothing=self.label_smoothing,
            axis=self.axis,
            reduction=self.reduction,
            normalizer=self.normalizer,
            group=self.group,
        )


@answering
class MatchabilityAwareLoss(_OfElements):
    """`matchability_aware_loss` as a module: ``loss(y_true, y_pred)``.

    A label of shape (N,) beside a prediction of shape (N, 1), or the other way round, is aligned, not broadcast.
    `gamma` and `alpha` may be `torch.nn.Parameter`: they have gradients.

    Parameters
    ----------
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
    >>> from focal_loss.torch import MatchabilityAwareLoss
    >>> loss = MatchabilityAwareLoss()
    >>> loss(torch.tensor([0.0, 0.7, 1.0]), torch.tensor([0.1, 0.6, 0.9]))
    tensor(0.2625)
    """

    gamma: Any
    alpha: Any
    detach_weight: Any
    from_logits: Any
    ignore_class: Any

    def __init__(
        self,
        gamma: ParameterLike = 1.5,
        *,
        alpha: ParameterLike = 1.0,
        detach_weight: bool = True,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: Reduction = "mean",
        normalizer: Normalizer = None,
        group: Group = None,
    ) -> None:
        super().__init__()
        self.keep(
            losses.MATCHABILITY_AWARE_LOSS,
            reduction,
            normalizer,
            group,
            gamma=gamma,
            alpha=alpha,
            detach_weight=detach_weight,
            from_logits=from_logits,
            ignore_class=ignore_class,
        )

    def forward(self, y_true: Any, y_pred: Any) -> Tensor:
        """The reduced loss of labels and predictions that broadcast."""
        labels, prediction = self.labels_and_prediction(y_true, y_pred)
        return matchability_aware_loss(
            labels,
            prediction,
            gamma=self.option("gamma", prediction),
            alpha=self.option("alpha", prediction),
            detach_weight=self.detach_weight,
            from_logits=self.from_logits,
            ignore_class=self.ignore_class,
            reduction=self.reduction,
            normalizer=self.normalizer,
            group=self.group,
        )


@answering
class PenaltyReducedFocalLoss(_OfElements):
    """`penalty_reduced_focal_loss` as a module: ``loss(y_true, y_pred)``.

    A label of shape (N,) beside a prediction of shape (N, 1), or the other way round, is aligned, not broadcast.
    `alpha` and `beta` may be `torch.nn.Parameter`: they have gradients.

    Parameters
    ----------
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
    >>> from focal_loss.torch import PenaltyReducedFocalLoss
    >>> loss = PenaltyReducedFocalLoss()
    >>> loss(torch.tensor([0.0, 0.8, 1.0]), torch.tensor([0.1, 0.6, 0.7]))
    tensor(0.0112)
    """

    alpha: Any
    beta: Any
    from_logits: Any
    ignore_class: Any

    def __init__(
        self,
        alpha: ParameterLike = 2.0,
        beta: ParameterLike = 4.0,
        *,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: Reduction = "mean",
        normalizer: Normalizer = None,
        group: Group = None,
    ) -> None:
        super().__init__()
        self.keep(
            losses.PENALTY_REDUCED_FOCAL_LOSS,
            reduction,
            normalizer,
            group,
            alpha=alpha,
            beta=beta,
            from_logits=from_logits,
            ignore_class=ignore_class,
        )

    def forward(self, y_true: Any, y_pred: Any) -> Tensor:
        """The reduced loss of labels and predictions that broadcast."""
        labels, prediction = self.labels_and_prediction(y_true, y_pred)
        return penalty_reduced_focal_loss(
            labels,
            prediction,
            alpha=self.option("alpha", prediction),
            beta=self.option("beta", prediction),
            from_logits=self.from_logits,
            ignore_class=self.ignore_class,
            reduction=self.reduction,
            normalizer=self.normalizer,
            group=self.group,
        )


@answering
class Poly1FocalLoss(_OfElements):
    """`poly1_focal_loss` as a module: ``loss(y_true, y_pred)``.

    A label of shape (N,) beside a prediction of shape (N, 1), or the other way round, is aligned, not broadcast.
    `gamma` and `pos_weight` may be `torch.nn.Parameter`: they have gradients.

    Parameters
    ----------
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
    >>> from focal_loss.torch import Poly1FocalLoss
    >>> loss = Poly1FocalLoss()
    >>> loss(torch.tensor([0, 1, 1]), torch.tensor([0.1, 0.7, 0.9]))
    tensor(0.0211)
    """

    gamma: Any
    epsilon: Any
    pos_weight: Any
    from_logits: Any
    ignore_class: Any

    def __init__(
        self,
        gamma: ParameterLike = 2.0,
        epsilon: float = 1.0,
        *,
        pos_weight: ParameterLike | None = None,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: Reduction = "mean",
        normalizer: Normalizer = None,
        group: Group = None,
    ) -> None:
        super().__init__()
        self.keep(
            losses.POLY1_FOCAL_LOSS,
            reduction,
            normalizer,
            group,
            gamma=gamma,
            epsilon=epsilon,
            pos_weight=pos_weight,
            from_logits=from_logits,
            ignore_class=ignore_class,
        )

    def forward(self, y_true: Any, y_pred: Any) -> Tensor:
        """The reduced loss of labels and predictions that broadcast."""
        labels, prediction = self.labels_and_prediction(y_true, y_pred)
        return poly1_focal_loss(
            labels,
            prediction,
            gamma=self.option("gamma", prediction),
            pos_weight=self.option("pos_weight", prediction),
            epsilon=self.epsilon,
            from_logits=self.from_logits,
            ignore_class=self.ignore_class,
            reduction=self.reduction,
            normalizer=self.normalizer,
            group=self.group,
        )


@answering
class QualityFocalLoss(_OfElements):
    """`quality_focal_loss` as a module: ``loss(y_true, y_pred)``.

    A label of shape (N,) beside a prediction of shape (N, 1), or the other way round, is aligned, not broadcast.
    `beta` may be `torch.nn.Parameter`: they have gradients.

    Parameters
    ----------
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
    >>> from focal_loss.torch import QualityFocalLoss
    >>> loss = QualityFocalLoss()
    >>> loss(torch.tensor([0.0, 0.7, 1.0]), torch.tensor([0.1, 0.6, 0.9]))
    tensor(0.0028)
    """

    beta: Any
    from_logits: Any
    ignore_class: Any

    def __init__(
        self,
        beta: ParameterLike = 2.0,
        *,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: Reduction = "mean",
        normalizer: Normalizer = None,
        group: Group = None,
    ) -> None:
        super().__init__()
        self.keep(
            losses.QUALITY_FOCAL_LOSS,
            reduction,
            normalizer,
            group,
            beta=beta,
            from_logits=from_logits,
            ignore_class=ignore_class,
        )

    def forward(self, y_true: Any, y_pred: Any) -> Tensor:
        """The reduced loss of labels and predictions that broadcast."""
        labels, prediction = self.labels_and_prediction(y_true, y_pred)
        return quality_focal_loss(
            labels,
            prediction,
            beta=self.option("beta", prediction),
            from_logits=self.from_logits,
            ignore_class=self.ignore_class,
            reduction=self.reduction,
            normalizer=self.normalizer,
            group=self.group,
        )


@answering
class SparseCategoricalFocalLoss(_Loss):
    """`sparse_categorical_focal_loss` as a module: ``loss(y_true, y_pred)``.

    `gamma` and `class_weight` may be `torch.nn.Parameter`: they have gradients.

    Parameters
    ----------
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
    >>> import torch
    >>> from focal_loss.torch import SparseCategoricalFocalLoss
    >>> loss = SparseCategoricalFocalLoss(gamma=2)
    >>> loss(torch.tensor([0, 1, 2]), torch.tensor([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.2, 0.2, 0.6]]))
    tensor(0.0409)
    """

    gamma: Any
    class_weight: Any
    from_logits: Any
    axis: Any
    ignore_class: Any
    label_smoothing: Any

    def __init__(
        self,
        gamma: ParameterLike,
        *,
        class_weight: ParameterLike | None = None,
        from_logits: bool = False,
        axis: int = -1,
        ignore_class: int | None = None,
        label_smoothing: float | None = None,
        reduction: Reduction = "mean",
        normalizer: Normalizer = None,
        group: Group = None,
    ) -> None:
        super().__init__()
        self.keep(
            losses.SPARSE_CATEGORICAL_FOCAL_LOSS,
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

    def forward(self, y_true: Any, y_pred: Any) -> Tensor:
        """The reduced loss of class indices and predictions."""
        labels, prediction = self.labels_and_prediction(y_true, y_pred)
        return sparse_categorical_focal_loss(
            labels,
            prediction,
            gamma=self.option("gamma", prediction),
            class_weight=self.option("class_weight", prediction),
            from_logits=self.from_logits,
            axis=self.axis,
            ignore_class=self.ignore_class,
            label_smoothing=self.label_smoothing,
            reduction=self.reduction,
            normalizer=self.normalizer,
            group=self.group,
        )


@answering
class VarifocalLoss(_OfElements):
    """`varifocal_loss` as a module: ``loss(y_true, y_pred)``.

    A label of shape (N,) beside a prediction of shape (N, 1), or the other way round, is aligned, not broadcast.
    `alpha` and `gamma` may be `torch.nn.Parameter`: they have gradients.

    Parameters
    ----------
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
    >>> from focal_loss.torch import VarifocalLoss
    >>> loss = VarifocalLoss()
    >>> loss(torch.tensor([0.0, 0.7, 1.0]), torch.tensor([0.1, 0.6, 0.9]))
    tensor(0.1830)
    """

    alpha: Any
    gamma: Any
    detach_weight: Any
    from_logits: Any
    ignore_class: Any

    def __init__(
        self,
        alpha: ParameterLike = 0.75,
        gamma: ParameterLike = 2.0,
        *,
        detach_weight: bool = False,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: Reduction = "mean",
        normalizer: Normalizer = None,
        group: Group = None,
    ) -> None:
        super().__init__()
        self.keep(
            losses.VARIFOCAL_LOSS,
            reduction,
            normalizer,
            group,
            alpha=alpha,
            gamma=gamma,
            detach_weight=detach_weight,
            from_logits=from_logits,
            ignore_class=ignore_class,
        )

    def forward(self, y_true: Any, y_pred: Any) -> Tensor:
        """The reduced loss of labels and predictions that broadcast."""
        labels, prediction = self.labels_and_prediction(y_true, y_pred)
        return varifocal_loss(
            labels,
            prediction,
            alpha=self.option("alpha", prediction),
            gamma=self.option("gamma", prediction),
            detach_weight=self.detach_weight,
            from_logits=self.from_logits,
            ignore_class=self.ignore_class,
            reduction=self.reduction,
            normalizer=self.normalizer,
            group=self.group,
        )


# </doors: modules>
