"""Focal losses as streaming metrics."""

from __future__ import annotations

from typing import Any

import keras

from focal_loss._core.names import answering
from focal_loss._core.options import ParameterLike
from focal_loss.keras._backend import mask_of, plain
from focal_loss.keras._examples import counted, mask_of_examples, pairs, product, unmasked, without_masked_labels
from focal_loss.keras._options import Option, WithOptions


class _FocalMetric(WithOptions, keras.metrics.Mean):
    """The base of all metrics: the mean of a function of the backend, weighted by sample weights, since the last
    reset.
    """

    def __init__(self, options: dict[str, Any], name: str, dtype: Any) -> None:
        super().__init__(name=name, dtype=dtype)
        self._set_options(options)
        self._direction = "down"

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        y_true, y_pred, sample_weight = unmasked(y_true=y_true, y_pred=y_pred, sample_weight=sample_weight)
        mask = mask_of(y_pred)
        y_true = without_masked_labels(keras.ops.convert_to_tensor(y_true), mask)
        loss = self.compute(y_true, keras.ops.convert_to_tensor(y_pred, dtype=self.dtype))
        mask = mask_of_examples(loss, mask, self._counted(y_true, y_pred, loss))
        return super().update_state(loss, product(sample_weight, mask, loss, self.dtype))

    def compute(self, y_true: Any, y_pred: Any) -> Any:
        return self._computed(*pairs(y_true, y_pred))

    def _counted(self, y_true: Any, y_pred: Any, loss: Any) -> Any:
        """The weights of the losses by their labels; None if all count alike. A mean over an axis counts by its share
        of labels that are not ignored, so that the mean of all is over these.
        """
        if self._options.get("ignore_class") is None:
            return None
        return counted(pairs(y_true, y_pred)[0], loss, self._options["ignore_class"], self._options.get("axis"))

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype, **plain(self._options)}


class _SparseFocalMetric(_FocalMetric):
    """The labels are class indices, without the class axis of the predictions."""

    def compute(self, y_true: Any, y_pred: Any) -> Any:
        return self._computed(y_true, y_pred)

    def _counted(self, y_true: Any, y_pred: Any, loss: Any) -> Any:
        return counted(y_true, loss, self._options["ignore_class"])


# <doors: classes> Written by tools/doors.py; `make doors` writes it anew.
@keras.saving.register_keras_serializable("focal_loss", "AsymmetricLossMetric")
@answering
class AsymmetricLoss(_FocalMetric):
    """`asymmetric_loss` as a Keras metric.

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
    name : str
        The name of the metric.
    dtype : str, optional
        The dtype of the result.

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
    >>> from focal_loss.keras.metrics import AsymmetricLoss
    >>> metric = AsymmetricLoss()
    >>> metric.update_state([0, 1, 0], [0.04, 0.7, 0.9])
    >>> print(round(float(metric.result()), 4))
    0.3658
    """

    loss_name = "asymmetric_loss"
    gamma_pos = Option()
    gamma_neg = Option()
    clip = Option()
    from_logits = Option()
    ignore_class = Option()

    def __init__(
        self,
        gamma_pos: ParameterLike = 1.0,
        gamma_neg: ParameterLike = 4.0,
        clip: float = 0.05,
        *,
        from_logits: bool = False,
        ignore_class: int | None = None,
        name: str = "asymmetric_loss",
        dtype: Any = None,
    ) -> None:
        options = {
            "gamma_pos": gamma_pos,
            "gamma_neg": gamma_neg,
            "clip": clip,
            "from_logits": from_logits,
            "ignore_class": ignore_class,
        }
        super().__init__(options, name, dtype)


@keras.saving.register_keras_serializable("focal_loss", "BinaryFocalCrossentropyMetric")
@answering
class BinaryFocalCrossentropy(_FocalMetric):
    """`binary_focal_crossentropy` as a Keras metric.

    Parameters
    ----------
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
    name : str
        The name of the metric.
    dtype : str, optional
        The dtype of the result.

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
    >>> from focal_loss.keras.metrics import BinaryFocalCrossentropy
    >>> metric = BinaryFocalCrossentropy(gamma=2)
    >>> metric.update_state([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]])
    >>> print(round(float(metric.result()), 4))
    0.2678
    """

    loss_name = "binary_focal_crossentropy"
    apply_class_balancing = Option()
    alpha = Option()
    gamma = Option()
    from_logits = Option()
    label_smoothing = Option()
    axis = Option()
    ignore_class = Option()

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: ParameterLike = 0.25,
        gamma: ParameterLike = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        *,
        ignore_class: int | None = None,
        name: str = "binary_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        options = {
            "apply_class_balancing": apply_class_balancing,
            "alpha": alpha,
            "gamma": gamma,
            "from_logits": from_logits,
            "label_smoothing": label_smoothing,
            "axis": axis,
            "ignore_class": ignore_class,
        }
        super().__init__(options, name, dtype)


@keras.saving.register_keras_serializable("focal_loss", "BinaryFocalLossMetric")
@answering
class BinaryFocalLoss(_FocalMetric):
    """`binary_focal_loss` as a Keras metric.

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
    name : str
        The name of the metric.
    dtype : str, optional
        The dtype of the result.

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
    >>> from focal_loss.keras.metrics import BinaryFocalLoss
    >>> metric = BinaryFocalLoss(gamma=2)
    >>> metric.update_state([0, 1, 1], [0.1, 0.7, 0.9])
    >>> print(round(float(metric.result()), 4))
    0.0114
    """

    loss_name = "binary_focal_loss"
    gamma = Option()
    pos_weight = Option()
    from_logits = Option()
    label_smoothing = Option()
    ignore_class = Option()

    def __init__(
        self,
        gamma: ParameterLike,
        *,
        pos_weight: ParameterLike | None = None,
        from_logits: bool = False,
        label_smoothing: float | None = None,
        ignore_class: int | None = None,
        name: str = "binary_focal_loss",
        dtype: Any = None,
    ) -> None:
        options = {
            "gamma": gamma,
            "pos_weight": pos_weight,
            "from_logits": from_logits,
            "label_smoothing": label_smoothing,
            "ignore_class": ignore_class,
        }
        super().__init__(options, name, dtype)


@keras.saving.register_keras_serializable("focal_loss", "CategoricalFocalCrossentropyMetric")
@answering
class CategoricalFocalCrossentropy(_FocalMetric):
    """`categorical_focal_crossentropy` as a Keras metric.

    Parameters
    ----------
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
    name : str
        The name of the metric.
    dtype : str, optional
        The dtype of the result.

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
    >>> from focal_loss.keras.metrics import CategoricalFocalCrossentropy
    >>> metric = CategoricalFocalCrossentropy()
    >>> metric.update_state([[0, 1, 0], [0, 0, 1]], [[0.05, 0.85, 0.1], [0.1, 0.8, 0.1]])
    >>> print(round(float(metric.result()), 4))
    0.2336
    """

    loss_name = "categorical_focal_crossentropy"
    alpha = Option()
    gamma = Option()
    from_logits = Option()
    label_smoothing = Option()
    axis = Option()

    def __init__(
        self,
        alpha: ParameterLike = 0.25,
        gamma: ParameterLike = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        name: str = "categorical_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        options = {
            "alpha": alpha,
            "gamma": gamma,
            "from_logits": from_logits,
            "label_smoothing": label_smoothing,
            "axis": axis,
        }
        super().__init__(options, name, dtype)


@keras.saving.register_keras_serializable("focal_loss", "CategoricalFocalLossMetric")
@answering
class CategoricalFocalLoss(_FocalMetric):
    """`categorical_focal_loss` as a Keras metric.

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
    name : str
        The name of the metric.
    dtype : str, optional
        The dtype of the result.

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
    >>> from focal_loss.keras.metrics import CategoricalFocalLoss
    >>> metric = CategoricalFocalLoss(gamma=2, from_logits=True)
    >>> metric.update_state([[1, 0, 0]], [[1.0, 0.0, -1.0]])
    >>> print(round(float(metric.result()), 4))
    0.0457
    """

    loss_name = "categorical_focal_loss"
    gamma = Option()
    class_weight = Option()
    from_logits = Option()
    label_smoothing = Option()
    axis = Option()

    def __init__(
        self,
        gamma: ParameterLike,
        *,
        class_weight: ParameterLike | None = None,
        from_logits: bool = False,
        label_smoothing: float | None = None,
        axis: int = -1,
        name: str = "categorical_focal_loss",
        dtype: Any = None,
    ) -> None:
        options = {
            "gamma": gamma,
            "class_weight": class_weight,
            "from_logits": from_logits,
            "label_smoothing": label_smoothing,
            "axis": axis,
        }
        super().__init__(options, name, dtype)


@keras.saving.register_keras_serializable("focal_loss", "MatchabilityAwareLossMetric")
@answering
class MatchabilityAwareLoss(_FocalMetric):
    """`matchability_aware_loss` as a Keras metric.

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
    name : str
        The name of the metric.
    dtype : str, optional
        The dtype of the result.

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
    >>> from focal_loss.keras.metrics import MatchabilityAwareLoss
    >>> metric = MatchabilityAwareLoss()
    >>> metric.update_state([0.0, 0.7, 1.0], [0.1, 0.6, 0.9])
    >>> print(round(float(metric.result()), 4))
    0.2625
    """

    loss_name = "matchability_aware_loss"
    gamma = Option()
    alpha = Option()
    detach_weight = Option()
    from_logits = Option()
    ignore_class = Option()

    def __init__(
        self,
        gamma: ParameterLike = 1.5,
        *,
        alpha: ParameterLike = 1.0,
        detach_weight: bool = True,
        from_logits: bool = False,
        ignore_class: int | None = None,
        name: str = "matchability_aware_loss",
        dtype: Any = None,
    ) -> None:
        options = {
            "gamma": gamma,
            "alpha": alpha,
            "detach_weight": detach_weight,
            "from_logits": from_logits,
            "ignore_class": ignore_class,
        }
        super().__init__(options, name, dtype)


@keras.saving.register_keras_serializable("focal_loss", "PenaltyReducedFocalLossMetric")
@answering
class PenaltyReducedFocalLoss(_FocalMetric):
    """`penalty_reduced_focal_loss` as a Keras metric.

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
    name : str
        The name of the metric.
    dtype : str, optional
        The dtype of the result.

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
    >>> from focal_loss.keras.metrics import PenaltyReducedFocalLoss
    >>> metric = PenaltyReducedFocalLoss()
    >>> metric.update_state([0.0, 0.8, 1.0], [0.1, 0.6, 0.7])
    >>> print(round(float(metric.result()), 4))
    0.0112
    """

    loss_name = "penalty_reduced_focal_loss"
    alpha = Option()
    beta = Option()
    from_logits = Option()
    ignore_class = Option()

    def __init__(
        self,
        alpha: ParameterLike = 2.0,
        beta: ParameterLike = 4.0,
        *,
        from_logits: bool = False,
        ignore_class: int | None = None,
        name: str = "penalty_reduced_focal_loss",
        dtype: Any = None,
    ) -> None:
        options = {"alpha": alpha, "beta": beta, "from_logits": from_logits, "ignore_class": ignore_class}
        super().__init__(options, name, dtype)


@keras.saving.register_keras_serializable("focal_loss", "Poly1FocalLossMetric")
@answering
class Poly1FocalLoss(_FocalMetric):
    """`poly1_focal_loss` as a Keras metric.

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
    name : str
        The name of the metric.
    dtype : str, optional
        The dtype of the result.

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
    >>> from focal_loss.keras.metrics import Poly1FocalLoss
    >>> metric = Poly1FocalLoss()
    >>> metric.update_state([0, 1, 1], [0.1, 0.7, 0.9])
    >>> print(round(float(metric.result()), 4))
    0.0211
    """

    loss_name = "poly1_focal_loss"
    gamma = Option()
    epsilon = Option()
    pos_weight = Option()
    from_logits = Option()
    ignore_class = Option()

    def __init__(
        self,
        gamma: ParameterLike = 2.0,
        epsilon: float = 1.0,
        *,
        pos_weight: ParameterLike | None = None,
        from_logits: bool = False,
        ignore_class: int | None = None,
        name: str = "poly1_focal_loss",
        dtype: Any = None,
    ) -> None:
        options = {
            "gamma": gamma,
            "epsilon": epsilon,
            "pos_weight": pos_weight,
            "from_logits": from_logits,
            "ignore_class": ignore_class,
        }
        super().__init__(options, name, dtype)


@keras.saving.register_keras_serializable("focal_loss", "QualityFocalLossMetric")
@answering
class QualityFocalLoss(_FocalMetric):
    """`quality_focal_loss` as a Keras metric.

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
    name : str
        The name of the metric.
    dtype : str, optional
        The dtype of the result.

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
    >>> from focal_loss.keras.metrics import QualityFocalLoss
    >>> metric = QualityFocalLoss()
    >>> metric.update_state([0.0, 0.7, 1.0], [0.1, 0.6, 0.9])
    >>> print(round(float(metric.result()), 4))
    0.0028
    """

    loss_name = "quality_focal_loss"
    beta = Option()
    from_logits = Option()
    ignore_class = Option()

    def __init__(
        self,
        beta: ParameterLike = 2.0,
        *,
        from_logits: bool = False,
        ignore_class: int | None = None,
        name: str = "quality_focal_loss",
        dtype: Any = None,
    ) -> None:
        options = {"beta": beta, "from_logits": from_logits, "ignore_class": ignore_class}
        super().__init__(options, name, dtype)


@keras.saving.register_keras_serializable("focal_loss", "SparseCategoricalFocalCrossentropyMetric")
@answering
class SparseCategoricalFocalCrossentropy(_SparseFocalMetric):
    """`sparse_categorical_focal_crossentropy` as a Keras metric.

    Parameters
    ----------
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
    name : str
        The name of the metric.
    dtype : str, optional
        The dtype of the result.

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
    >>> from focal_loss.keras.metrics import SparseCategoricalFocalCrossentropy
    >>> metric = SparseCategoricalFocalCrossentropy()
    >>> metric.update_state([1, 2], [[0.05, 0.85, 0.1], [0.1, 0.8, 0.1]])
    >>> print(round(float(metric.result()), 4))
    0.2336
    """

    loss_name = "sparse_categorical_focal_crossentropy"
    alpha = Option()
    gamma = Option()
    from_logits = Option()
    axis = Option()
    ignore_class = Option()
    label_smoothing = Option()

    def __init__(
        self,
        alpha: ParameterLike = 0.25,
        gamma: ParameterLike = 2.0,
        from_logits: bool = False,
        axis: int = -1,
        ignore_class: int | None = None,
        name: str = "sparse_categorical_focal_crossentropy",
        dtype: Any = None,
        *,
        label_smoothing: float = 0.0,
    ) -> None:
        options = {
            "alpha": alpha,
            "gamma": gamma,
            "from_logits": from_logits,
            "axis": axis,
            "ignore_class": ignore_class,
            "label_smoothing": label_smoothing,
        }
        super().__init__(options, name, dtype)


@keras.saving.register_keras_serializable("focal_loss", "SparseCategoricalFocalLossMetric")
@answering
class SparseCategoricalFocalLoss(_SparseFocalMetric):
    """`sparse_categorical_focal_loss` as a Keras metric.

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
    name : str
        The name of the metric.
    dtype : str, optional
        The dtype of the result.

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
    >>> from focal_loss.keras.metrics import SparseCategoricalFocalLoss
    >>> metric = SparseCategoricalFocalLoss(gamma=2)
    >>> metric.update_state([0, 1, 2], [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.2, 0.2, 0.6]])
    >>> print(round(float(metric.result()), 4))
    0.0409
    """

    loss_name = "sparse_categorical_focal_loss"
    gamma = Option()
    class_weight = Option()
    from_logits = Option()
    axis = Option()
    ignore_class = Option()
    label_smoothing = Option()

    def __init__(
        self,
        gamma: ParameterLike,
        *,
        class_weight: ParameterLike | None = None,
        from_logits: bool = False,
        axis: int = -1,
        ignore_class: int | None = None,
        label_smoothing: float | None = None,
        name: str = "sparse_categorical_focal_loss",
        dtype: Any = None,
    ) -> None:
        options = {
            "gamma": gamma,
            "class_weight": class_weight,
            "from_logits": from_logits,
            "axis": axis,
            "ignore_class": ignore_class,
            "label_smoothing": label_smoothing,
        }
        super().__init__(options, name, dtype)


@keras.saving.register_keras_serializable("focal_loss", "VarifocalLossMetric")
@answering
class VarifocalLoss(_FocalMetric):
    """`varifocal_loss` as a Keras metric.

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
    name : str
        The name of the metric.
    dtype : str, optional
        The dtype of the result.

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
    >>> from focal_loss.keras.metrics import VarifocalLoss
    >>> metric = VarifocalLoss()
    >>> metric.update_state([0.0, 0.7, 1.0], [0.1, 0.6, 0.9])
    >>> print(round(float(metric.result()), 4))
    0.183
    """

    loss_name = "varifocal_loss"
    alpha = Option()
    gamma = Option()
    detach_weight = Option()
    from_logits = Option()
    ignore_class = Option()

    def __init__(
        self,
        alpha: ParameterLike = 0.75,
        gamma: ParameterLike = 2.0,
        *,
        detach_weight: bool = False,
        from_logits: bool = False,
        ignore_class: int | None = None,
        name: str = "varifocal_loss",
        dtype: Any = None,
    ) -> None:
        options = {
            "alpha": alpha,
            "gamma": gamma,
            "detach_weight": detach_weight,
            "from_logits": from_logits,
            "ignore_class": ignore_class,
        }
        super().__init__(options, name, dtype)


# </doors: classes>
