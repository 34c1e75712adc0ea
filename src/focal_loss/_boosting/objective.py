"""The focal loss of a booster's scores so far, from which the objectives for every boosting library are made.

The adapters convert scores, labels and weights from their library's layout, and the results back to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from focal_loss._boosting import one_example
from focal_loss._core import checks, options
from focal_loss._host import derivatives
from focal_loss._host.derivatives import Hessian

Array = Any


def one_number(name: str, value: object) -> float:
    """Check a parameter that must be one number, because a tree learner cannot take one per element."""
    checked = options.parameter(name, value)
    if not isinstance(checked, float):
        raise TypeError(f"`{name}` must be one non-negative number, got {value!r}")
    return checked


def per_class(name: str, value: object) -> float | tuple[float, ...]:
    """A number, or one entry per class."""
    checked = options.parameter(name, value)
    options.check_per_class(name, np.shape(checked))
    if np.ndim(checked) == 0:
        return float(checked)
    return tuple(float(number) for number in checked)


def single(scores: Array) -> Array:
    """The array in float32, in which the kernels are fastest and LightGBM and XGBoost take derivatives."""
    return np.asarray(scores).astype(np.float32, copy=False)


def either(y_true: Array, y_pred: Array, weight: Array | None) -> tuple[Array, Array, Array | None]:
    """Labels, scores and weights, given in scikit-learn's order or as scores and a data set.

    No library multiplies the derivatives of a custom objective by the weights, in either convention, so the objective
    does it, once.
    """
    if not hasattr(y_pred, "get_label"):
        return y_true, y_pred, weight
    if weight is not None:
        raise TypeError("weights are those of the data set; pass (scores, data set) or (labels, scores, weights)")
    return y_pred.get_label(), y_true, y_pred.get_weight()


def weight_of(weight: Array | None, labels: Array) -> Array:
    if weight is None or not len(weight):
        return 1.0
    weight = np.asarray(weight)
    if weight.shape != labels.shape:
        raise ValueError(f"weights of shape {weight.shape} do not go with labels of shape {labels.shape}")
    return single(weight)


def metric_name(**options: float | tuple[float, ...]) -> str:
    """The default name of a metric: that of the loss with its options, except weights of 1.

    Libraries record metrics by name and average folds by it, so two metrics of one name would become one.
    """
    shown = [f"{name}={_short(value)}" for name, value in options.items() if name == "gamma" or value != 1.0]
    return f"focal_loss({','.join(shown)})"


def record_name(name: str, value: object) -> str | None:
    """A given name, checked. Some libraries parse their own records, so a name has neither spaces nor colons."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"`{name}` must be a string, got {value!r}")
    if not value or any(sign.isspace() or sign == ":" for sign in value):
        raise ValueError(f"`{name}` must not be empty, nor hold spaces or colons, got {value!r}")
    return value


def _short(value: float | tuple[float, ...]) -> str:
    if isinstance(value, float):
        return f"{value:.12g}"
    return f"[{','.join(map(_short, value))}]"


def mean(values: Array, weight: Array) -> float:
    return float(np.mean(values, dtype=np.float64) if isinstance(weight, float) else np.average(values, weights=weight))


@dataclass(frozen=True)
class BinaryLoss:
    """The binary loss of one score per example and labels in [0, 1]."""

    gamma: float
    positive: float = 1.0
    negative: float = 1.0
    hessian: Hessian = "majorizer"

    def derivatives(self, scores: Array, labels: Array, weight: Array | None = None) -> tuple[Array, Array]:
        """Gradient and Hessian in float32, of the shape (n,)."""
        x, y = self._inputs(scores, labels)
        arguments = (self.gamma, self.positive, self.negative)
        found = derivatives.binary(x, y, *arguments, upstream=weight_of(weight, y), hessian=self.hessian)
        return found.gradient, found.hessian

    def mean(self, scores: Array, labels: Array, weight: Array | None = None) -> float:
        """The mean loss."""
        x, y = self._inputs(scores, labels)
        values = derivatives.binary_values(x, y, self.gamma, self.positive, self.negative)
        return mean(values, weight_of(weight, y))

    def _inputs(self, scores: Array, labels: Array) -> tuple[Array, Array]:
        y = np.asarray(labels)
        if np.size(scores) != y.size or y.ndim != 1:
            raise ValueError(
                f"a binary objective takes one score and one label per example, got scores of shape "
                f"{np.shape(scores)} and labels of shape {y.shape}; for more classes take the categorical objective"
            )
        return single(scores).reshape(-1), y


@dataclass(frozen=True)
class CategoricalLoss:
    """The softmax loss of one score per class and class indices."""

    gamma: float | tuple[float, ...]
    weight: float | tuple[float, ...] = 1.0
    hessian: Hessian = "majorizer"

    def derivatives(
        self, scores: Array, labels: Array, weight: Array | None = None, *, overlap: float, axis: int = 1
    ) -> tuple[Array, Array]:
        """Gradient and diagonal of the Hessian in float32, of the shape of the scores, whose classes are on `axis`.

        The Hessian is multiplied by `overlap`. With the plain diagonal the trees of all classes, which are grown at
        once from the same scores, would each take the whole step. Every library has a factor of its own for its softmax
        objective; with that factor gamma = 0 gives the library's objective.
        """
        x, y, gamma, class_weight = self._inputs(scores, labels, axis)
        found = derivatives.softmax(
            x, y, gamma, class_weight, axis, upstream=weight_of(weight, y), hessian=self.hessian
        )
        hessian = found.hessian
        hessian *= np.float32(overlap)
        return found.gradient, hessian

    def of_one(self, scores: list[float], label: float, weight: float) -> tuple[list[float], Iterator[list[float]]]:
        """Gradient and, row by row, the whole Hessian of one example."""
        classes = len(scores)
        if not (0 <= label < classes and label == int(label)):
            checks.check_classes(np.array([label]), classes, None)
        k = int(label)
        gamma, own = (
            p if isinstance(p, float) else float(of_classes(name, p, classes)[k])
            for name, p in (("gamma", self.gamma), ("class_weight", self.weight))
        )
        return one_example.softmax(scores, k, gamma, weight * own, self.hessian)

    def mean(self, scores: Array, labels: Array, weight: Array | None = None, axis: int = 1) -> float:
        """The mean loss."""
        x, y, gamma, class_weight = self._inputs(scores, labels, axis)
        return mean(derivatives.softmax_values(x, y, gamma, class_weight, axis), weight_of(weight, y))

    def _inputs(self, scores: Array, labels: Array, axis: int) -> tuple[Array, Array, Array, Array]:
        x, y = single(scores), np.asarray(labels)
        if x.ndim != 2 or y.ndim != 1 or x.shape[1 - axis] != y.size:
            raise ValueError(
                f"a categorical objective takes a score for each example and class, got scores of shape {x.shape} and "
                f"labels of shape {y.shape}; say how many classes there are (`num_class`)"
            )
        classes = x.shape[axis]
        return x, y, of_classes("gamma", self.gamma, classes), of_classes("class_weight", self.weight, classes)


def of_classes(name: str, value: float | tuple[float, ...], classes: int) -> Array:
    if isinstance(value, float):
        return value
    options.check_per_class(name, (len(value),), classes)
    return np.asarray(value)
