"""Calls like earlier ones, which go to the kernels without the way through the pipeline.

What the pipeline makes of a call is, apart from the arrays, determined by the options, provided that the kernels are
handed the arrays as they are. So the first call is noted, and the next ones hand other arrays over with the same
numbers. The kernels decline arrays that need a conversion, a warning or an error, and those take the pipeline again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from focal_loss._core import checks, pipeline
from focal_loss._core.declare import Loss, checked
from focal_loss._core.pipeline import BinaryCall, SoftmaxCall
from focal_loss._core.repeated import Memory, typed
from focal_loss._host import evaluate, kernels
from focal_loss._host.backend import FORMULA, Numpy
from focal_loss._host.derivatives import Derivatives, Hessian, floored

Array = Any
Call = BinaryCall | SoftmaxCall
Run = Callable[[Any, Any], Any]  # (labels, predictions) -> the result, or None where it is declined
Key = Any  # None for options that are not remembered

_runs: Memory[Run] = Memory()


class _Noting(Numpy):
    """The backend that notes the call of the kernels."""

    call: Call | None = None
    has_warned = False

    def fused_binary(self, call: BinaryCall) -> Array | None:
        self.call = call
        return super().fused_binary(call)

    def fused_softmax(self, call: SoftmaxCall) -> Array | None:
        self.call = call
        return super().fused_softmax(call)

    def warn(self, message: str, category: type[Warning] = UserWarning) -> None:
        self.has_warned = True
        super().warn(message, category)


def key(name: str, options: tuple[Any, ...]) -> Key:
    given = typed(options)
    return None if given is None else (name, given)


def found(key: Key, y_true: Any, y_pred: Any) -> Any:
    """The result of a call with options that are known, or None."""
    run = _runs.get(key)
    return None if run is None or kernels.NATIVE is None else run(y_true, y_pred)


def loss(declared: Loss, y_true: Any, y_pred: Any, given: dict[str, Any]) -> Any:
    """The loss with the options `given`."""
    known = key(declared.name, (*given.values(),))
    value = found(known, y_true, y_pred)
    if value is not None:
        return value
    spec: Any = checked(declared.options, **given)
    noting = _Noting()
    value = declared.compute(noting, y_true, y_pred, spec)
    call = noting.call
    # The pipeline hands the kernels other arrays where a binary loss ignores labels.
    if call is not None and not noting.has_warned and (declared.layout == "sparse" or not ignores(spec)):
        if isinstance(call, SoftmaxCall):
            call = call._replace(axis=spec.axis)  # the next predictions may have more axes
        remember(known, averaged(call, spec.axis) if declared.layout == "average" else of_call(call))
    return value


def ignores(spec: Any) -> bool:
    return getattr(spec, "ignore_class", None) is not None


def remember(key: Key, run: Run) -> None:
    if key is not None:
        _runs.note(key, run)


def derivatives(key: Key, call: Call, hessian: Hessian) -> None:
    """Note a call of value, gradient and Hessian."""
    compute = results_of(call, order=2, majorizer=hessian == "majorizer")

    def run(y: Any, x: Any) -> Derivatives | None:
        results = compute(y, x)
        return None if results is None else floored(Derivatives(*results), hessian)

    remember(key, run)


def of_call(call: Call, *, values_at_least_float32: bool = False) -> Run:
    """The losses of a call with other arrays."""
    compute = results_of(call, values_at_least_float32=values_at_least_float32)

    def run(y: Any, x: Any) -> Any:
        results = compute(y, x)
        return None if results is None else results[0]

    return run


def averaged(call: Call, axis: int) -> Run:
    """The mean over an axis of the losses of a call, each at least float32."""
    elements = of_call(call, values_at_least_float32=True)

    def run(y: Any, x: Any) -> Any:
        each = elements(y, x)
        if each is None or not -each.ndim <= axis < each.ndim:
            return None
        return FORMULA.round_losses(pipeline.mean(FORMULA, each, axis), x)

    return run


def results_of(
    call: Call, *, order: int = 0, majorizer: bool = False, values_at_least_float32: bool = False
) -> Callable[[Any, Any], tuple[Array, ...] | None]:
    """The results of a call for other arrays, or None where the kernels decline or find a wrong label."""
    numbers: tuple[Any, ...]
    if isinstance(call, BinaryCall):
        name, label = "binary_of_numpy", call.y if isinstance(call.y, float) else None
        numbers = evaluate.binary_numbers(
            call, order=order, majorizer=majorizer, values_at_least_float32=values_at_least_float32
        )
    else:
        name, label = "softmax_of_numpy", None
        numbers = evaluate.softmax_numbers(call, order=order, majorizer=majorizer, is_checked=False)

    def compute(y: Any, x: Any) -> tuple[Array, ...] | None:
        if label is not None:
            y = label
        elif type(y) is not np.ndarray:  # a number is the label of a loss without labels
            return None
        if type(x) is not np.ndarray:
            return None
        done = getattr(kernels.NATIVE, name)(x, y, kernels.num_threads(), *numbers)
        if done is None:
            return None
        results, _, bad = done
        return None if bad >= 0 and checks.enabled() else results

    return compute
