"""Value, gradient and Hessian of host arrays in one pass, for boosted trees, which take Newton steps.

A Newton step needs a positive curvature, and that of the focal loss is negative for the worst mistakes. A policy
chooses the replacement of the Hessian:

"exact"
    the Hessian itself
"majorizer"
    the Hessian without its only negative term (`majorizer`): positive, and nowhere below the Hessian
"relative_floor"
    the Hessian, but at least a quarter of the gradient's size, so that no example asks for a step longer than 4
"""

from __future__ import annotations

from functools import partial
from typing import Literal, NamedTuple, get_args

import numpy as np

from focal_loss._core import checks, focal, majorizer, pipeline
from focal_loss._core.checks import shown
from focal_loss._core.formula import Array, Index
from focal_loss._core.pipeline import BinaryCall, SoftmaxCall
from focal_loss._host import evaluate

Hessian = Literal["exact", "majorizer", "relative_floor"]
HESSIANS = get_args(Hessian)
FLOOR = 0.25


class Derivatives(NamedTuple):
    value: Array  # None if the derivatives were written into arrays of the caller
    gradient: Array
    hessian: Array


def hessian_of(policy: object) -> Hessian:
    if not isinstance(policy, str) or policy not in HESSIANS:
        raise ValueError(f"`hessian` must be one of {', '.join(map(repr, HESSIANS))}, got {shown(policy)}")
    return policy  # type: ignore[return-value]


def binary(
    x: Array,
    y: Array,
    gamma: Array,
    positive: Array,
    negative: Array = 1.0,
    *,
    upstream: Array = 1.0,
    smoothing: float = 0.0,
    hessian: Hessian = "exact",
    into: evaluate.Into | None = None,
    threads: int | None = None,
) -> Derivatives:
    """Value and derivatives of the binary focal loss of logits `x`; the derivatives are multiplied by `upstream`, and
    written `into` arrays of the caller if there are any.

    Raises
    ------
    ValueError
        If a label is not in [0, 1].
    """
    call = BinaryCall(x, y, gamma, positive, negative, smoothing)
    options = {"upstream": upstream, "majorizer": hessian == "majorizer", "into": into, "threads": threads}
    done = evaluate.native_binary(call, order=2, **options)
    if done is None:
        found = binary_formula(x, y, gamma, positive, negative, upstream, smoothing, hessian)
        return written(into, floored(found, hessian))
    results, _, bad = done
    if bad >= 0:
        checks.check_labels(y)
    return written(into, floored(Derivatives(*results), hessian))


def binary_formula(
    x: Array, y: Array, gamma: Array, positive: Array, negative: Array, upstream: Array, smoothing: float, hessian: str
) -> Derivatives:
    checks.check_labels(y)
    if y.dtype.kind in "iu":
        y = y > 0
    logits = evaluate.OPS.at_least_float32(x)
    if y.dtype.kind != "b" or smoothing:
        y = pipeline.smoothed(y.astype(logits.dtype), smoothing, 2)
    arguments = (logits, y, gamma, positive, negative)
    value, first, second = (expected_loss(index, *arguments) for index in ("", "0", "00"))
    if hessian == "majorizer":
        second = evaluate.apply(partial(majorizer.expected_loss, evaluate.OPS), *arguments)
    return Derivatives(*(evaluate.OPS.cast(a, x) for a in (value, first * upstream, second * upstream)))


def expected_loss(index: Index, *arguments: Array) -> Array:
    return evaluate.apply(partial(focal.expected_loss, evaluate.OPS, index, from_logits=True), *arguments)


def binary_values(
    x: Array, y: Array, gamma: Array, positive: Array, negative: Array, threads: int | None = None
) -> Array:
    """The loss alone.

    Raises
    ------
    ValueError
        If a label is not in [0, 1].
    """
    done = evaluate.native_binary(BinaryCall(x, y, gamma, positive, negative), order=0, threads=threads)
    if done is None or done[2] >= 0:
        checks.check_labels(y)
    if done is None:
        labels = y.astype(x.dtype) if y.dtype.kind != "b" else y
        return expected_loss("", x, labels, gamma, positive, negative)
    return done[0][0]


def softmax(
    v: Array,
    y: Array,
    gamma: Array,
    weight: Array,
    axis: int,
    *,
    upstream: Array = 1.0,
    hessian: Hessian = "exact",
    into: evaluate.Into | None = None,
    threads: int | None = None,
) -> Derivatives:
    """Value and derivatives of the softmax focal loss of class indices; the Hessian is a diagonal. `y` and `upstream`
    lack `axis`. The rest is as for `binary`.

    Raises
    ------
    ValueError
        If a label is not a class index.
    """
    options = {"upstream": upstream, "majorizer": hessian == "majorizer", "into": into, "threads": threads}
    done = (
        evaluate.native_softmax(SoftmaxCall(v, y, gamma, weight, axis, sparse=True), order=2, **options)
        if v.shape[axis]
        else None
    )
    if done is None:
        return written(into, floored(softmax_formula(v, y, gamma, weight, axis, upstream, hessian), hessian))
    results, _, bad = done
    if bad >= 0:
        checks.check_classes(y, v.shape[axis], None)
    return written(into, floored(Derivatives(*results), hessian))


def softmax_formula(
    v: Array, y: Array, gamma: Array, weight: Array, axis: int, upstream: Array, hessian: str
) -> Derivatives:
    classes = v.shape[axis]
    checks.check_classes(y, classes, None)
    label = np.expand_dims(y.astype(np.int64), axis)
    true_class_mask = np.arange(classes).reshape((-1,) + (1,) * (v.ndim - axis - 1)) == label
    gamma, weight = (
        p if isinstance(p, float) or np.ndim(p) > 1 else np.broadcast_to(p, classes)[label] for p in (gamma, weight)
    )
    logits = evaluate.OPS.at_least_float32(v)
    above = upstream if isinstance(upstream, float) else np.expand_dims(upstream, axis)
    arguments = (evaluate.margin(logits, true_class_mask, axis), gamma, weight)
    value, first, second = (
        evaluate.apply(partial(focal.margin, evaluate.OPS, index), *arguments) for index in ("", "0", "00")
    )
    if hessian == "majorizer":
        second = evaluate.apply(partial(majorizer.margin, evaluate.OPS), *arguments)
    gradient = evaluate.vjp(logits, true_class_mask, axis, first * above)
    diagonal = evaluate.diagonal(logits, true_class_mask, axis, first * above, second * above)
    return Derivatives(*(evaluate.OPS.cast(a, v) for a in (np.squeeze(value, axis), gradient, diagonal)))


def softmax_values(v: Array, y: Array, gamma: Array, weight: Array, axis: int, threads: int | None = None) -> Array:
    """The loss alone.

    Raises
    ------
    ValueError
        If a label is not a class index.
    """
    done = evaluate.native_softmax(SoftmaxCall(v, y, gamma, weight, axis, sparse=True), order=0, threads=threads)
    if done is None:
        return softmax_formula(v, y, gamma, weight, axis, 1.0, "exact").value
    if done[2] >= 0:
        checks.check_classes(y, v.shape[axis], None)
    return done[0][0]


def floored(found: Derivatives, hessian: Hessian) -> Derivatives:
    if hessian != "relative_floor":
        return found
    floor = found.gradient.dtype.type(FLOOR) * np.abs(found.gradient)
    return found._replace(hessian=np.maximum(found.hessian, floor))


def written(into: evaluate.Into | None, found: Derivatives) -> Derivatives:
    """The derivatives in the arrays of the caller, copied where the kernels did not write them."""
    if into is None:
        return found
    for array, derivative in zip(into, found[1:], strict=True):
        if derivative is not array:
            array[...] = derivative
    return Derivatives(None, *into)
