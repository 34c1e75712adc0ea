"""The binary losses, from the arguments of a call to the loss, for all frameworks."""

from __future__ import annotations

from typing import Any, NamedTuple

from focal_loss._core import options
from focal_loss._core.formula import Array
from focal_loss._core.pipeline import (
    KERNEL_FAMILIES,
    Averaged,
    Backend,
    Binary,
    BinaryCall,
    Chosen,
    Inputs,
    KernelMember,
    Member,
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


def binary(xp: Backend, y_true: Any, y_pred: Any, spec: Binary, reduction: options.Reduction = "none") -> Array:
    """`binary_focal_loss`."""
    given = binary_inputs(xp, y_true, y_pred, spec)
    call = BinaryCall(given.x, given.y, given.gamma, given.weight, smoothing=spec.label_smoothing, reduction=reduction)
    return binary_or_ignored(xp, call, spec)


def binary_from(xp: Backend, call: BinaryCall, from_logits: bool, single: bool = True) -> Array:
    """The loss by the native kernels if they cover the call, else by the formula. `single` says of a member whether
    each option is one number.
    """
    fused = xp.fused_binary(call) if from_logits and single else None
    return binary_formula(xp, call, from_logits) if fused is None else fused


# A logit at which a label of 0 costs exactly 0 in every dtype, as do all derivatives.
SURE = -1e4


def binary_or_ignored(xp: Backend, call: BinaryCall, spec: Any, single: bool = True) -> Array:
    """The loss, 0 where the label is `ignore_class`. A mean is over the others."""
    if spec.ignore_class is None:
        return binary_from(xp, call, spec.from_logits, single)
    if not spec.from_logits or call.smoothing:
        value, ignored = of_the_others(xp, call, spec, single)
        return reduce(xp, value, ~ignored, call.reduction, call.x)
    masked, ignored = without_ignored(xp, call, spec.ignore_class, SURE)
    masked = masked._replace(x=xp.cast(masked.x, call.x))
    if call.reduction != "mean":
        return binary_from(xp, masked, True, single)
    total = binary_from(xp, masked._replace(reduction="sum"), True, single)
    count = xp.total(xp.cast(~ignored, total))
    return total / xp.where(count > 0, count, 1.0)


def of_the_others(xp: Backend, call: BinaryCall, spec: Any, single: bool = True) -> tuple[Array, Array]:
    """The unreduced loss, at least float32, 0 for ignored elements, and a mask of these."""
    masked, ignored = without_ignored(xp, call, spec.ignore_class, 0.0)
    if not spec.from_logits:
        check_predictions(xp, masked.x)
    value = binary_from(xp, masked._replace(reduction="none"), spec.from_logits, single)
    return xp.where(ignored, 0.0, value), ignored


def without_ignored(xp: Backend, call: BinaryCall, ignore: int, instead: float) -> tuple[BinaryCall, Array]:
    """The call with a label of 0 and the prediction `instead` for ignored elements, and a mask of these. Their own
    predictions may be anything, and must not reach a gradient as 0 * nan. Predictions are at least float32.
    """
    kind = xp.kind(call.y)
    wide = xp.at_least_float32(call.y) if kind == "floating" else xp.to_integer(call.y)  # narrow ones may not hold it
    ignored = wide == (float(ignore) if kind == "floating" else ignore)
    y = call.y & ~ignored if kind == "bool" else xp.where(ignored, 0, call.y)
    options = call.member.arguments if call.member else (call.gamma, call.positive, call.negative)
    ignored, x, *_ = xp.broadcast(ignored, xp.at_least_float32(call.x), *(a for a in options if hasattr(a, "shape")))
    return call._replace(x=xp.where(ignored, instead, x), y=y), ignored


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
    if not spec.from_logits and getattr(spec, "ignore_class", None) is None:
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
        return binary_or_ignored(xp, call, spec)
    axis = normalize_axis(spec.axis, max(len(xp.shape(x)), len(xp.shape(y))))
    if reduction == "mean":  # the mean of all losses, that of the averages if none is ignored
        return binary_or_ignored(xp, call, spec)
    if spec.ignore_class is None:
        each = binary_from(xp, call._replace(x=xp.at_least_float32(x), reduction="none"), spec.from_logits)
        return reduce(xp, mean(xp, each, axis), None, reduction, x)
    each, ignored = of_the_others(xp, call, spec)
    count = xp.sum(xp.cast(~xp.broadcast(ignored, each)[0], each), axis)
    value = xp.squeeze(xp.sum(each, axis) / xp.where(count > 0, count, 1.0), axis)
    return reduce(xp, value, None, reduction, x)


class Form(NamedTuple):
    """How a member of the family is declared."""

    names: tuple[str, ...]  # the options that the closed forms take, in their order
    labeled: bool
    family: int  # the position of its name in `KERNEL_FAMILIES`
    fields: dict[str, Any]  # what the kernels take: the name of an option, or a function of all of `names`


FORMS: dict[str, Form] = {}  # by the name of the closed form, of logits


def elements(closed_form: str, *names: str, labeled: bool = True, family: str, **fields: Any) -> Any:
    """The loss of each label and prediction by its closed forms, or by the native kernels if each option is one number.

    `names` are the options that the closed forms take after the prediction and the label, which a loss without labels
    does not take. With `detach_weight` the closed forms are those of the name with "detached_" before it. `fields` are
    what the kernels of the `family` take, each the name of an option or a function of all of `names`: gamma and the
    weights go into the call, the rest into its `KernelMember`.
    """
    FORMS[closed_form] = Form(names, labeled, KERNEL_FAMILIES.index(family), fields)

    def compute(xp: Backend, y_true: Any, y_pred: Any, spec: Any, reduction: options.Reduction = "none") -> Array:
        x = xp.prediction(y_pred)
        y = xp.labels(y_true, x) if labeled else None
        if not spec.from_logits and getattr(spec, "ignore_class", None) is None:
            check_predictions(xp, x)
        given = {name: argument(xp, name, spec, x) for name in names}
        check_shapes(xp, y if labeled else x, xp.shape(x), **given)
        form = f"detached_{closed_form}" if getattr(spec, "detach_weight", False) else closed_form
        call = call_of_member(form, (*given.values(),), x, y, reduction)
        single = all(isinstance(value, float) or not xp.shape(value) for value in given.values())
        return binary_or_ignored(xp, call, spec, single) if labeled else binary_from(xp, call, spec.from_logits, single)

    return compute


def call_of_member(
    closed_form: str, arguments: tuple[Any, ...], x: Array, y: Array, reduction: options.Reduction = "none"
) -> BinaryCall:
    """The call of a member, from its closed form and the arguments of it, which need not be numbers. Arguments beyond
    those that it takes are left out.
    """
    form = FORMS[closed_form.removeprefix("detached_")]
    given = dict(zip(form.names, arguments, strict=False))
    found = {field: given[f] if isinstance(f, str) else f(**given) for field, f in form.fields.items()}
    weights: dict[str, Any] = {name: found.pop(name, 1.0) for name in ("gamma", "positive", "negative")}
    kernel = KernelMember(form.family, detached=closed_form.startswith("detached_"), **found)
    member = Member(closed_form, (*given.values(),), form.labeled, kernel)
    return BinaryCall(x, y if form.labeled else 0.5, **weights, reduction=reduction, member=member)


def argument(xp: Backend, name: str, spec: Any, like: Array) -> Array:
    """An option as an argument of a closed form: a plain number, a weight, or an exponent, which is at least 0."""
    value = getattr(spec, name)
    if name not in spec.arrays:
        return value
    value = xp.parameter(name, value, like)
    return value if name == spec.weight_name else at_least_zero(xp, value)
