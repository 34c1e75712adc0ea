"""Focal losses as `keras.losses.Loss`."""

from __future__ import annotations

from typing import Any, Self

import keras

from focal_loss._core.names import answering
from focal_loss._core.options import ParameterLike, Reduction
from focal_loss.keras._backend import mask_of, number_of_replicas, plain
from focal_loss.keras._examples import (
    by_fraction_of_valid,
    counted,
    mask_of_examples,
    pairs,
    product,
    unmasked,
    without_masked_labels,
)
from focal_loss.keras._options import Option, WithOptions

# The reductions of losses that all count alike. Keras returns the losses of no examples unreduced.
REDUCTIONS: dict[str | None, Reduction] = {
    "sum_over_batch_size": "mean",
    "mean": "mean",
    "mean_with_sample_weight": "mean",
    "sum": "sum",
}


class _Reduction(keras.losses.Loss):
    """Keras' own weighting and reduction of losses that are already computed."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return y_pred


class _FocalLoss(WithOptions, keras.losses.Loss):
    """The base of all losses: a function of the backend with its options. Keras reduces its result, in float32 or
    wider.
    """

    def __init__(self, options: dict[str, Any], reduction: str | None, name: str, dtype: Any) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self._set_options(options)
        self._chosen_dtype = None if dtype is None else keras.dtype_policies.get(dtype).name
        self._dtype_of_losses = "float32" if self.dtype in ("float16", "bfloat16") else self.dtype
        self._reduction = _Reduction(name, reduction, self._dtype_of_losses)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The loss, as `keras.losses.Loss` computes it, except that labels keep their dtype, and weights and masks
        belong to the examples.

        bfloat16 has no class 257, and half precision cannot hold the sum of a large batch.
        """
        y_true, y_pred, sample_weight = unmasked(y_true=y_true, y_pred=y_pred, sample_weight=sample_weight)
        mask = mask_of(y_pred)
        with keras.name_scope(self.name):
            y_true = without_masked_labels(keras.ops.convert_to_tensor(y_true), mask)
            y_pred = self._cast(keras.ops.convert_to_tensor(y_pred, dtype=self.dtype), self._dtype_of_losses)
            if sample_weight is None and mask is None and self._reduces(y_pred):
                total = self._computed(*self._paired(y_true, y_pred), REDUCTIONS[self.reduction])
                return self._cast(total, self.dtype)
            loss = self.call(y_true, y_pred)
            mask = mask_of_examples(loss, mask, self._counted(y_true, y_pred, loss))
            if mask is not None and self.reduction in ("sum_over_batch_size", "mean"):
                mask = by_fraction_of_valid(mask, self._dtype_of_losses)
            elif mask is not None and self.reduction != "mean_with_sample_weight":
                mask = keras.ops.not_equal(keras.ops.cast(mask, "float32"), 0)  # a sum is of whole losses
            weight = product(sample_weight, mask, loss, self._dtype_of_losses)
            if weight is not None and self.reduction == "mean_with_sample_weight":  # Keras divides by their sum
                weight = keras.ops.broadcast_to(weight, keras.ops.shape(loss))
        self._reduction.reduction = self.reduction  # the attribute may have been set since
        return self._cast(self._reduction(loss, loss, weight), self.dtype)

    def _cast(self, value: Any, dtype: str) -> Any:
        """From the dtype of the object to that of its losses, or back."""
        return value if self._dtype_of_losses == self.dtype else keras.ops.cast(value, dtype)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self._computed(*self._paired(y_true, y_pred))

    def _paired(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        return pairs(y_true, y_pred)

    def _reduces(self, y_pred: Any) -> bool:
        """Whether the function of the backend can reduce the losses, without weights and masks."""
        return (
            self.reduction in REDUCTIONS
            and self._options.get("ignore_class") is None
            and type(self).call is _FocalLoss.call
            and 0 not in y_pred.shape
            and number_of_replicas() == 1
        )

    def _counted(self, y_true: Any, y_pred: Any, loss: Any) -> Any:
        """The weights of the losses by their labels; None if all count alike. A mean over an axis counts by its share
        of labels that are not ignored, so that the mean of all is over these.
        """
        if self._options.get("ignore_class") is None:
            return None
        return counted(pairs(y_true, y_pred)[0], loss, self._options["ignore_class"], self._options.get("axis"))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dtype": self._chosen_dtype, **plain(self._options)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """A loss of this configuration, also of one from Keras 2, where the default reduction was called 'auto'."""
        if config.get("reduction") == "auto":
            config = {**config, "reduction": "sum_over_batch_size"}
        return cls(**config)


class _SparseFocalLoss(_FocalLoss):
    """The labels are class indices, without the class axis of the predictions."""

    def _paired(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        return y_true, y_pred

    def _counted(self, y_true: Any, y_pred: Any, loss: Any) -> Any:
        return counted(y_true, loss, self._options["ignore_class"])


# <doors: classes> Written by tools/doors.py; `make doors` writes it anew.
@keras.saving.register_keras_serializable("focal_loss", "AsymmetricLoss")
@answering
class AsymmetricLoss(_FocalLoss):
    """`asymmetric_loss` as a Keras loss.

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
    reduction : str or None
        The reduction of every Keras loss: 'sum_over_batch_size' is the mean over all examples.
    name : str
        The name of the loss.
    dtype : str, optional
        The dtype of the computation, Keras' `floatx` if None.

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
    >>> from focal_loss.keras.losses import AsymmetricLoss
    >>> loss = AsymmetricLoss()
    >>> print(round(float(loss([0, 1, 0], [0.04, 0.7, 0.9])), 4))
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
        reduction: str | None = "sum_over_batch_size",
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
        super().__init__(options, reduction, name, dtype)


@keras.saving.register_keras_serializable("focal_loss", "BinaryFocalCrossentropy")
@answering
class BinaryFocalCrossentropy(_FocalLoss):
    """`binary_focal_crossentropy` as a Keras loss.

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
    reduction : str or None
        The reduction of every Keras loss: 'sum_over_batch_size' is the mean over all examples.
    name : str
        The name of the loss.
    dtype : str, optional
        The dtype of the computation, Keras' `floatx` if None.

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
    >>> from focal_loss.keras.losses import BinaryFocalCrossentropy
    >>> loss = BinaryFocalCrossentropy(gamma=2)
    >>> print(round(float(loss([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]])), 4))
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
        reduction: str | None = "sum_over_batch_size",
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
        super().__init__(options, reduction, name, dtype)


@keras.saving.register_keras_serializable("focal_loss", "BinaryFocalLoss")
@answering
class BinaryFocalLoss(_FocalLoss):
    """`binary_focal_loss` as a Keras loss.

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
    reduction : str or None
        The reduction of every Keras loss: 'sum_over_batch_size' is the mean over all examples.
    name : str
        The name of the loss.
    dtype : str, optional
        The dtype of the computation, Keras' `floatx` if None.

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
    >>> from focal_loss.keras.losses import BinaryFocalLoss
    >>> loss = BinaryFocalLoss(gamma=2)
    >>> print(round(float(loss([0, 1, 1], [0.1, 0.7, 0.9])), 4))
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
        reduction: str | None = "sum_over_batch_size",
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
        super().__init__(options, reduction, name, dtype)


@keras.saving.register_keras_serializable("focal_loss", "CategoricalFocalCrossentropy")
@answering
class CategoricalFocalCrossentropy(_FocalLoss):
    """`categorical_focal_crossentropy` as a Keras loss.

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
    reduction : str or None
        The reduction of every Keras loss: 'sum_over_batch_size' is the mean over all examples.
    name : str
        The name of the loss.
    dtype : str, optional
        The dtype of the computation, Keras' `floatx` if None.

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
    >>> from focal_loss.keras.losses import CategoricalFocalCrossentropy
    >>> loss = CategoricalFocalCrossentropy()
    >>> print(round(float(loss([[0, 1, 0], [0, 0, 1]], [[0.05, 0.85, 0.1], [0.1, 0.8, 0.1]])), 4))
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
        reduction: str | None = "sum_over_batch_size",
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
        super().__init__(options, reduction, name, dtype)


@keras.saving.register_keras_serializable("focal_loss", "CategoricalFocalLoss")
@answering
class CategoricalFocalLoss(_FocalLoss):
    """`categorical_focal_loss` as a Keras loss.

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
    reduction : str or None
        The reduction of every Keras loss: 'sum_over_batch_size' is the mean over all examples.
    name : str
        The name of the loss.
    dtype : str, optional
        The dtype of the computation, Keras' `floatx` if None.

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
    >>> from focal_loss.keras.losses import CategoricalFocalLoss
    >>> loss = CategoricalFocalLoss(gamma=2, from_logits=True)
    >>> print(round(float(loss([[1, 0, 0]], [[1.0, 0.0, -1.0]])), 4))
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
        reduction: str | None = "sum_over_batch_size",
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
        super().__init__(options, reduction, name, dtype)


@keras.saving.register_keras_serializable("focal_loss", "MatchabilityAwareLoss")
@answering
class MatchabilityAwareLoss(_FocalLoss):
    """`matchability_aware_loss` as a Keras loss.

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
    reduction : str or None
        The reduction of every Keras loss: 'sum_over_batch_size' is the mean over all examples.
    name : str
        The name of the loss.
    dtype : str, optional
        The dtype of the computation, Keras' `floatx` if None.

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
    >>> from focal_loss.keras.losses import MatchabilityAwareLoss
    >>> loss = MatchabilityAwareLoss()
    >>> print(round(float(loss([0.0, 0.7, 1.0], [0.1, 0.6, 0.9])), 4))
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
        reduction: str | None = "sum_over_batch_size",
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
        super().__init__(options, reduction, name, dtype)


@keras.saving.register_keras_serializable("focal_loss", "PenaltyReducedFocalLoss")
@answering
class PenaltyReducedFocalLoss(_FocalLoss):
    """`penalty_reduced_focal_loss` as a Keras loss.

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
    reduction : str or None
        The reduction of every Keras loss: 'sum_over_batch_size' is the mean over all examples.
    name : str
        The name of the loss.
    dtype : str, optional
        The dtype of the computation, Keras' `floatx` if None.

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
    >>> from focal_loss.keras.losses import PenaltyReducedFocalLoss
    >>> loss = PenaltyReducedFocalLoss()
    >>> print(round(float(loss([0.0, 0.8, 1.0], [0.1, 0.6, 0.7])), 4))
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
        reduction: str | None = "sum_over_batch_size",
        name: str = "penalty_reduced_focal_loss",
        dtype: Any = None,
    ) -> None:
        options = {"alpha": alpha, "beta": beta, "from_logits": from_logits, "ignore_class": ignore_class}
        super().__init__(options, reduction, name, dtype)


@keras.saving.register_keras_serializable("focal_loss", "Poly1FocalLoss")
@answering
class Poly1FocalLoss(_FocalLoss):
    """`poly1_focal_loss` as a Keras loss.

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
    reduction : str or None
        The reduction of every Keras loss: 'sum_over_batch_size' is the mean over all examples.
    name : str
        The name of the loss.
    dtype : str, optional
        The dtype of the computation, Keras' `floatx` if None.

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
    >>> from focal_loss.keras.losses import Poly1FocalLoss
    >>> loss = Poly1FocalLoss()
    >>> print(round(float(loss([0, 1, 1], [0.1, 0.7, 0.9])), 4))
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
        reduction: str | None = "sum_over_batch_size",
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
        super().__init__(options, reduction, name, dtype)


@keras.saving.register_keras_serializable("focal_loss", "QualityFocalLoss")
@answering
class QualityFocalLoss(_FocalLoss):
    """`quality_focal_loss` as a Keras loss.

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
    reduction : str or None
        The reduction of every Keras loss: 'sum_over_batch_size' is the mean over all examples.
    name : str
        The name of the loss.
    dtype : str, optional
        The dtype of the computation, Keras' `floatx` if None.

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
    >>> from focal_loss.keras.losses import QualityFocalLoss
    >>> loss = QualityFocalLoss()
    >>> print(round(float(loss([0.0, 0.7, 1.0], [0.1, 0.6, 0.9])), 4))
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
        reduction: str | None = "sum_over_batch_size",
        name: str = "quality_focal_loss",
        dtype: Any = None,
    ) -> None:
        options = {"beta": beta, "from_logits": from_logits, "ignore_class": ignore_class}
        super().__init__(options, reduction, name, dtype)


@keras.saving.register_keras_serializable("focal_loss", "SparseCategoricalFocalCrossentropy")
@answering
class SparseCategoricalFocalCrossentropy(_SparseFocalLoss):
    """`sparse_categorical_focal_crossentropy` as a Keras loss.

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
    reduction : str or None
        The reduction of every Keras loss: 'sum_over_batch_size' is the mean over all examples.
    name : str
        The name of the loss.
    dtype : str, optional
        The dtype of the computation, Keras' `floatx` if None.

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
    >>> from focal_loss.keras.losses import SparseCategoricalFocalCrossentropy
    >>> loss = SparseCategoricalFocalCrossentropy()
    >>> print(round(float(loss([1, 2], [[0.05, 0.85, 0.1], [0.1, 0.8, 0.1]])), 4))
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
        reduction: str | None = "sum_over_batch_size",
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
        super().__init__(options, reduction, name, dtype)


@keras.saving.register_keras_serializable("focal_loss", "SparseCategoricalFocalLoss")
@answering
class SparseCategoricalFocalLoss(_SparseFocalLoss):
    """`sparse_categorical_focal_loss` as a Keras loss.

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
    reduction : str or None
        The reduction of every Keras loss: 'sum_over_batch_size' is the mean over all examples.
    name : str
        The name of the loss.
    dtype : str, optional
        The dtype of the computation, Keras' `floatx` if None.

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
    >>> from focal_loss.keras.losses import SparseCategoricalFocalLoss
    >>> loss = SparseCategoricalFocalLoss(gamma=2)
    >>> print(round(float(loss([0, 1, 2], [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.2, 0.2, 0.6]])), 4))
    0.0409
    """

    loss_name = "sparse_categorical_focal_loss"
    gamma = Option()
    class_weight = Option()
    from_logits = Option()
    axis = Option()
    ignore_class = Option()
    label_smoothing = Option()

    # By position too: so does the class of the package that this one succeeds.
    def __init__(
        self,
        gamma: ParameterLike,
        class_weight: ParameterLike | None = None,
        from_logits: bool = False,
        axis: int = -1,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str = "sparse_categorical_focal_loss",
        dtype: Any = None,
        *,
        label_smoothing: float | None = None,
    ) -> None:
        options = {
            "gamma": gamma,
            "class_weight": class_weight,
            "from_logits": from_logits,
            "axis": axis,
            "ignore_class": ignore_class,
            "label_smoothing": label_smoothing,
        }
        super().__init__(options, reduction, name, dtype)


@keras.saving.register_keras_serializable("focal_loss", "VarifocalLoss")
@answering
class VarifocalLoss(_FocalLoss):
    """`varifocal_loss` as a Keras loss.

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
    reduction : str or None
        The reduction of every Keras loss: 'sum_over_batch_size' is the mean over all examples.
    name : str
        The name of the loss.
    dtype : str, optional
        The dtype of the computation, Keras' `floatx` if None.

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
    >>> from focal_loss.keras.losses import VarifocalLoss
    >>> loss = VarifocalLoss()
    >>> print(round(float(loss([0.0, 0.7, 1.0], [0.1, 0.6, 0.9])), 4))
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
        reduction: str | None = "sum_over_batch_size",
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
        super().__init__(options, reduction, name, dtype)


# </doors: classes>
