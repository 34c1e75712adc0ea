"""The focal losses of TensorFlow tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import tensorflow as tf

from focal_loss._core import losses
from focal_loss._core.declare import Loss, checked
from focal_loss._core.names import answering
from focal_loss._core.options import ParameterLike, Reduction
from focal_loss.tensorflow import _ranks
from focal_loss.tensorflow._backend import Tensor

F = TypeVar("F", bound=Callable[..., Any])


def not_converted(function: F) -> F:
    """Keep AutoGraph from rewriting the branches of a function, without hiding its signature from type checkers."""
    left: F = tf.autograph.experimental.do_not_convert(function)
    return left


def _loss(loss: Loss, y_true: Any, y_pred: Any, **given: Any) -> Tensor:
    return _ranks.of_any_rank(loss, y_true, y_pred, checked(loss.options, **given))


@not_converted
def reduced(loss: Loss, reduction: Reduction, y_true: Any, y_pred: Any, **given: Any) -> Tensor:
    """The sum or mean of a loss, for the losses of Keras."""
    return _ranks.of_any_rank(loss, y_true, y_pred, checked(loss.options, **given), reduction)


# <doors: functions> Written by tools/doors.py; `make doors` writes it anew.
@not_converted
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
    >>> from focal_loss.tensorflow import asymmetric_loss
    >>> asymmetric_loss([0, 1, 0], [0.04, 0.7, 0.9]).numpy().round(4)
    array([0.    , 0.107 , 0.9903], dtype=float32)
    """
    return _loss(
        losses.ASYMMETRIC_LOSS,
        y_true,
        y_pred,
        gamma_pos=gamma_pos,
        gamma_neg=gamma_neg,
        clip=clip,
        from_logits=from_logits,
        ignore_class=ignore_class,
    )


@not_converted
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
    >>> from focal_loss.tensorflow import binary_focal_crossentropy
    >>> binary_focal_crossentropy([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]], gamma=2).numpy().round(4)
    array([0.3299, 0.2058], dtype=float32)
    """
    return _loss(
        losses.BINARY_FOCAL_CROSSENTROPY,
        y_true,
        y_pred,
        apply_class_balancing=apply_class_balancing,
        alpha=alpha,
        gamma=gamma,
        from_logits=from_logits,
        label_smoothing=label_smoothing,
        axis=axis,
        ignore_class=ignore_class,
    )


@not_converted
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
    >>> from focal_loss.tensorflow import binary_focal_loss
    >>> binary_focal_loss([0, 1, 1], [0.1, 0.7, 0.9], gamma=2).numpy().round(4)
    array([0.0011, 0.0321, 0.0011], dtype=float32)
    """
    return _loss(
        losses.BINARY_FOCAL_LOSS,
        y_true,
        y_pred,
        gamma=gamma,
        pos_weight=pos_weight,
        from_logits=from_logits,
        label_smoothing=label_smoothing,
        ignore_class=ignore_class,
    )


@not_converted
@answering
def categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: ParameterLike = 0.25,
    gamma: ParameterLike = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
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
    >>> from focal_loss.tensorflow import categorical_focal_crossentropy
    >>> y_pred = [[0.05, 0.85, 0.1], [0.1, 0.8, 0.1]]
    >>> categorical_focal_crossentropy([[0, 1, 0], [0, 0, 1]], y_pred).numpy().round(4)
    array([0.0009, 0.4663], dtype=float32)
    """
    return _loss(
        losses.CATEGORICAL_FOCAL_CROSSENTROPY,
        y_true,
        y_pred,
        alpha=alpha,
        gamma=gamma,
        from_logits=from_logits,
        label_smoothing=label_smoothing,
        axis=axis,
    )


@not_converted
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
    >>> from focal_loss.tensorflow import categorical_focal_loss
    >>> categorical_focal_loss([[1, 0, 0]], [[1.0, 0.0, -1.0]], gamma=2, from_logits=True).numpy().round(4)
    array([0.0457], dtype=float32)
    """
    return _loss(
        losses.CATEGORICAL_FOCAL_LOSS,
        y_true,
        y_pred,
        gamma=gamma,
        class_weight=class_weight,
        from_logits=from_logits,
        label_smoothing=label_smoothing,
        axis=axis,
    )


@not_converted
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
    >>> from focal_loss.tensorflow import focal_matching_cost
    >>> focal_matching_cost([0.1, 0.5, 0.9]).numpy().round(4)
    array([ 0.4655, -0.0866, -1.3986], dtype=float32)
    """
    return _loss(losses.FOCAL_MATCHING_COST, None, y_pred, alpha=alpha, gamma=gamma, from_logits=from_logits)


@not_converted
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
    >>> from focal_loss.tensorflow import matchability_aware_loss
    >>> matchability_aware_loss([0.0, 0.7, 1.0], [0.1, 0.6, 0.9]).numpy().round(4)
    array([0.0033, 0.6788, 0.1054], dtype=float32)
    """
    return _loss(
        losses.MATCHABILITY_AWARE_LOSS,
        y_true,
        y_pred,
        gamma=gamma,
        alpha=alpha,
        detach_weight=detach_weight,
        from_logits=from_logits,
        ignore_class=ignore_class,
    )


@not_converted
@answering
def penalty_reduced_focal_loss(
    y_true: Any,
    y_pred: Any,
    alpha: ParameterLike = 2.0,
    beta: ParameterLike = 4.0,
    *,
    from_logits: bool = False,
    ignore_class: int | None = None,
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
    >>> from focal_loss.tensorflow import penalty_reduced_focal_loss
    >>> penalty_reduced_focal_loss([0.0, 0.8, 1.0], [0.1, 0.6, 0.7]).numpy().round(4)
    array([0.0011, 0.0005, 0.0321], dtype=float32)
    """
    return _loss(
        losses.PENALTY_REDUCED_FOCAL_LOSS,
        y_true,
        y_pred,
        alpha=alpha,
        beta=beta,
        from_logits=from_logits,
        ignore_class=ignore_class,
    )


@not_converted
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
    >>> from focal_loss.tensorflow import poly1_focal_loss
    >>> poly1_focal_loss([0, 1, 1], [0.1, 0.7, 0.9]).numpy().round(4)
    array([0.0021, 0.0591, 0.0021], dtype=float32)
    """
    return _loss(
        losses.POLY1_FOCAL_LOSS,
        y_true,
        y_pred,
        gamma=gamma,
        epsilon=epsilon,
        pos_weight=pos_weight,
        from_logits=from_logits,
        ignore_class=ignore_class,
    )


@not_converted
@answering
def quality_focal_loss(
    y_true: Any,
    y_pred: Any,
    beta: ParameterLike = 2.0,
    *,
    from_logits: bool = False,
    ignore_class: int | None = None,
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
    >>> from focal_loss.tensorflow import quality_focal_loss
    >>> quality_focal_loss([0.0, 0.7, 1.0], [0.1, 0.6, 0.9]).numpy().round(4)
    array([0.0011, 0.0063, 0.0011], dtype=float32)
    """
    return _loss(
        losses.QUALITY_FOCAL_LOSS, y_true, y_pred, beta=beta, from_logits=from_logits, ignore_class=ignore_class
    )


@not_converted
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
    >>> from focal_loss.tensorflow import sparse_categorical_focal_crossentropy
    >>> sparse_categorical_focal_crossentropy([1, 2], [[0.05, 0.85, 0.1], [0.1, 0.8, 0.1]]).numpy().round(4)
    array([0.0009, 0.4663], dtype=float32)
    """
    return _loss(
        losses.SPARSE_CATEGORICAL_FOCAL_CROSSENTROPY,
        y_true,
        y_pred,
        alpha=alpha,
        gamma=gamma,
        from_logits=from_logits,
        axis=axis,
        ignore_class=ignore_class,
        label_smoothing=label_smoothing,
    )


@not_converted
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
    >>> from focal_loss.tensorflow import sparse_categorical_focal_loss
    >>> y_pred = [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.2, 0.2, 0.6]]
    >>> sparse_categorical_focal_loss([0, 1, 2], y_pred, gamma=2).numpy().round(4)
    array([0.0089, 0.0321, 0.0817], dtype=float32)
    """
    return _loss(
        losses.SPARSE_CATEGORICAL_FOCAL_LOSS,
        y_true,
        y_pred,
        gamma=gamma,
        class_weight=class_weight,
        from_logits=from_logits,
        axis=axis,
        ignore_class=ignore_class,
        label_smoothing=label_smoothing,
    )


@not_converted
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
    >>> from focal_loss.tensorflow import varifocal_loss
    >>> varifocal_loss([0.0, 0.7, 1.0], [0.1, 0.6, 0.9]).numpy().round(4)
    array([0.0008, 0.4427, 0.1054], dtype=float32)
    """
    return _loss(
        losses.VARIFOCAL_LOSS,
        y_true,
        y_pred,
        alpha=alpha,
        gamma=gamma,
        detach_weight=detach_weight,
        from_logits=from_logits,
        ignore_class=ignore_class,
    )


# </doors: functions>
