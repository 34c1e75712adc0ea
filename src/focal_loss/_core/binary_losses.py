"""The binary losses, from the arguments of a call to the loss, for all frameworks."""

from __future__ import annotations

from typing import Any

from focal_loss._core import options
from focal_loss._core.formula import Array
from focal_loss._core.pipeline import (
    KERNEL_FAMILIES,
    Averaged,
    Backend,
    BinaryCall,
    Chosen,
    Inputs,
    KernelMember,
    Member,
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
    covered = from_logits and (call.member is None or call.member.kernel is not None)
    fused = xp.fused_binary(call) if covered else None
    return binary_formula(xp, call, from_logits) if fused is None else fused


def binary_formula(xp: Backend, call: BinaryCall, from_logits: bool = True) -> Array:
    x, member = xp.at_least_float32(call.x), call.member
    family = "p_t_loss" if call.p_t_loss else "expected_loss"
    arguments: tuple[Any, ...] = (call.gamma, call.positive, call.negative)
    if member is not None:
        family, arguments = member.closed_form, member.arguments
    if member is None or member.labeled:
        check_labels(xp, call.y, call.x)
        arguments = (binary_labels(xp, call.y, x, call.smoothing), *arguments)
    value = xp.elementwise(family if from_logits else f"{family}_of_probabilities", x, *arguments)
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


def elements(closed_form: str, *names: str, labeled: bool = True, family: str, **fields: Any) -> Any:
    """The loss of each label and prediction by its closed forms, or by the native kernels if all options are numbers.

    `names` are the options that the closed forms take after the prediction and the label, which a loss without labels
    does not take. With `detach_weight` the closed forms are those of the name with "detached_" before it. `fields` are
    what the kernels of the `family` take, each the name of an option or a function of all of `names`: gamma and the
    weights go into the call, the rest into its `KernelMember`.
    """

    def compute(xp: Backend, y_true: Any, y_pred: Any, spec: Any, reduction: options.Reduction = "none") -> Array:
        x = xp.prediction(y_pred)
        y = xp.labels(y_true, x) if labeled else 0.5
        if not spec.from_logits:
            check_predictions(xp, x)
        given = {name: argument(xp, name, spec, x) for name in names}
        check_shapes(xp, y if labeled else x, xp.shape(x), **given)
        detached = getattr(spec, "detach_weight", False)
        weights: dict[str, Any] = {"gamma": 1.0, "positive": 1.0, "negative": 1.0}
        kernel = None
        if spec.from_logits and all(isinstance(value, float) for value in given.values()):
            found = {field: given[f] if isinstance(f, str) else f(**given) for field, f in fields.items()}
            weights |= {name: found.pop(name) for name in weights.keys() & found.keys()}
            kernel = KernelMember(KERNEL_FAMILIES.index(family), detached=detached, **found)
        member = Member(f"detached_{closed_form}" if detached else closed_form, (*given.values(),), labeled, kernel)
        call = BinaryCall(x, y, **weights, reduction=reduction, member=member)
        return binary_from(xp, call, spec.from_logits)

    return compute


def argument(xp: Backend, name: str, spec: Any, like: Array) -> Array:
    """An option as an argument of a closed form: a plain number, a weight, or an exponent, which is at least 0."""
    value = getattr(spec, name)
    if name not in spec.arrays:
        return value
    value = xp.parameter(name, value, like)
    return value if name == spec.weight_name else at_least_zero(xp, value)
