"""The binary losses, from the arguments of a call to the loss, for all frameworks."""

from __future__ import annotations

from typing import Any

from focal_loss._core import options
from focal_loss._core.formula import Array
from focal_loss._core.pipeline import (
    Averaged,
    Backend,
    BinaryCall,
    Chosen,
    Inputs,
    Smoothed,
    at_least_zero,
    binary_labels,
    check_labels,
    check_predictions,
    check_shapes,
    inputs,
    mean,
    reduce,
)
from focal_loss._core.shapes import normalize_axis


def binary(xp: Backend, y_true: Any, y_pred: Any, spec: Smoothed, reduction: options.Reduction = "none") -> Array:
    """`binary_focal_loss`."""
    given = binary_inputs(xp, y_true, y_pred, spec)
    call = BinaryCall(given.x, given.y, given.gamma, given.weight, smoothing=spec.label_smoothing, reduction=reduction)
    return binary_from(xp, call, spec.from_logits)


def binary_from(xp: Backend, call: BinaryCall, from_logits: bool) -> Array:
    """The loss by the native kernels if they cover the call, else by the formula."""
    fused = xp.fused_binary(call) if from_logits else None
    return binary_formula(xp, call, from_logits) if fused is None else fused


def binary_formula(xp: Backend, call: BinaryCall, from_logits: bool = True) -> Array:
    check_labels(xp, call.y, call.x)
    x = xp.at_least_float32(call.x)
    y = binary_labels(xp, call.y, x, call.smoothing)
    family = ("p_t_loss" if call.p_t_loss else "expected_loss") + ("" if from_logits else "_of_probabilities")
    value = xp.elementwise(family, x, y, call.gamma, call.positive, call.negative)
    return reduce(xp, value, None, call.reduction, call.x)


def binary_inputs(xp: Backend, y_true: Any, y_pred: Any, spec: Chosen) -> Inputs:
    """The inputs, after a check of their shapes and of the predictions."""
    given = inputs(xp, y_true, y_pred, spec)
    if not (given.alike and isinstance(given.gamma, float) and isinstance(given.weight, float)):
        given = given._replace(gamma=at_least_zero(xp, given.gamma))
        check_shapes(xp, given.y, xp.shape(given.x), **{"gamma": given.gamma, spec.weight_name: given.weight})
    if not spec.from_logits:
        check_predictions(xp, given.x)
    return given


def binary_p_t_loss(
    xp: Backend,
    y_true: Any,
    y_pred: Any,
    spec: Averaged,
    reduction: options.Reduction = "none",
    *,
    average: bool = True,
) -> Array:
    """`binary_focal_crossentropy`; without the average over an axis, the `sigmoid_focal_loss` of torchvision."""
    given = binary_inputs(xp, y_true, y_pred, spec)
    x, y, gamma, alpha = given.x, given.y, given.gamma, given.weight
    positive, negative = (alpha, 1 - alpha) if spec.apply_class_balancing else (1.0, 1.0)
    if not (spec.apply_class_balancing or (isinstance(alpha, float) and alpha == 0.25)):
        xp.warn("`alpha` has no effect; pass `apply_class_balancing=True` to weigh by it")
    call = BinaryCall(
        x, y, gamma, positive, negative, smoothing=spec.label_smoothing, p_t_loss=True, reduction=reduction
    )
    if not average:
        return binary_from(xp, call, spec.from_logits)
    axis = normalize_axis(spec.axis, max(len(xp.shape(x)), len(xp.shape(y))))
    if reduction == "mean":  # the mean of the averages is the mean of all losses
        return binary_from(xp, call, spec.from_logits)
    value = mean(xp, binary_from(xp, call._replace(x=xp.at_least_float32(x), reduction="none"), spec.from_logits), axis)
    return reduce(xp, value, None, reduction, x)


def elements(family: str, *names: str, labeled: bool = True) -> Any:
    """The loss of each label and prediction by a family of closed forms without a native kernel.

    `names` are the options that its closed forms take after the prediction and the label, which a loss without labels
    does not take. With `detach_weight` the closed forms are those of the family's name with "detached_" before it.
    """

    def compute(xp: Backend, y_true: Any, y_pred: Any, spec: Any, reduction: options.Reduction = "none") -> Array:
        prediction = xp.prediction(y_pred)
        y = xp.labels(y_true, prediction) if labeled else prediction
        if not spec.from_logits:
            check_predictions(xp, prediction)
        given = {name: argument(xp, name, spec, prediction) for name in names}
        check_shapes(xp, y, xp.shape(prediction), **given)
        x = xp.at_least_float32(prediction)
        arguments = [x, *given.values()]
        if labeled:
            check_labels(xp, y, prediction)
            arguments.insert(1, binary_labels(xp, y, x, 0.0))
        chosen = f"detached_{family}" if getattr(spec, "detach_weight", False) else family
        value = xp.elementwise(chosen if spec.from_logits else f"{chosen}_of_probabilities", *arguments)
        return reduce(xp, value, None, reduction, prediction)

    return compute


def argument(xp: Backend, name: str, spec: Any, like: Array) -> Array:
    """An option as an argument of a closed form: a plain number, a weight, or an exponent, which is at least 0."""
    value = getattr(spec, name)
    if name not in spec.arrays:
        return value
    value = xp.parameter(name, value, like)
    return value if name == spec.weight_name else at_least_zero(xp, value)
