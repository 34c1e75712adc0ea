"""The gradient and the whole Hessian of the softmax focal loss of one example in Python floats, for a library that
calls an objective once per example.

With s the margin of the true class t (`softmax`), f(s) the loss and r_j = P_tj the probabilities of the other
classes, 0 for t itself, the margin has the gradient u = e_t - r and the Hessian r r^T - diag r. Hence

    gradient = f_s u,    Hessian = f_ss u u^T - f_s (diag r - r r^T)

f_s is negative, so the Hessian is positive semidefinite where f_ss, or its replacement, is not negative.

The softmax and its derivatives are stated for arrays in `_core/softmax.py`, and once more here because of the cost: for
one example of 3 or 10 classes NumPy takes about 900 us by that file, and Python takes 10 or 70 us by this one.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from focal_loss._core import majorizer
from focal_loss._core.focal import margin_derivative
from focal_loss._core.sigmoid import Sigmoid, sigmoid_from_logits
from focal_loss._host.derivatives import FLOOR, Hessian


class Numbers:
    """The part of `formula.Ops` that a margin needs, on Python floats. NumPy takes a microsecond for each operation."""

    exp, log, log1p = staticmethod(math.exp), staticmethod(math.log), staticmethod(math.log1p)
    sqrt, tanh, abs, floor = (staticmethod(f) for f in (math.sqrt, math.tanh, abs, math.floor))

    def is_joined(self, x: float) -> bool:
        return False

    def where(self, condition: bool, x: float, y: float) -> float:
        return x if condition else y

    def clip(self, x: float, low: float, high: float) -> float:
        return min(max(x, low), high)

    def largest(self, x: float) -> float:
        return sys.float_info.max


OPS: Any = Numbers()


def softmax(
    scores: Sequence[float], label: int, gamma: float, weight: float, hessian: Hessian
) -> tuple[list[float], Iterator[list[float]]]:
    """Gradient and Hessian in the scores; each row of the Hessian is computed on demand.

    The Hessian policies of `derivatives` apply to f_ss.
    """
    others = [score for k, score in enumerate(scores) if k != label]
    top = max(others)
    exponentials = [math.exp(score - top) for score in others]
    total = sum(exponentials)
    probabilities = [e / total for e in exponentials]
    probabilities.insert(label, 0.0)
    sigmoid = sigmoid_from_logits(OPS, scores[label] - top - math.log(total), gamma)
    first = margin_derivative(OPS, (1, 0), sigmoid, gamma)
    slope = weight * first
    gradient = [-slope * probability for probability in probabilities]
    gradient[label] = slope
    return gradient, rows(probabilities, label, slope, lambda: weight * curvature(sigmoid, first, gamma, hessian))


def rows(
    probabilities: list[float], label: int, slope: float, second_derivative: Callable[[], float]
) -> Iterator[list[float]]:
    second = second_derivative()
    direction = [-probability for probability in probabilities]
    direction[label] = 1.0
    for j, probability in enumerate(probabilities):
        straight, turned = second * direction[j], slope * probability
        row = [straight * u + turned * r for u, r in zip(direction, probabilities, strict=True)]
        row[j] -= turned
        yield row


def curvature(sigmoid: Sigmoid, first: float, gamma: float, hessian: Hessian) -> float:
    """f_ss, or its replacement under the Hessian policy."""
    if hessian == "majorizer":
        return majorizer.majorizer(OPS, sigmoid, gamma)
    second = margin_derivative(OPS, (2, 0), sigmoid, gamma)
    return max(second, -FLOOR * first) if hessian == "relative_floor" else second
