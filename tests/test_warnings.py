"""A warning points at the line of the caller: file and line, through every framework's own frames."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
import pytest
import tensorflow as tf
import torch
from cases import FRAMEWORKS, Framework

import focal_loss

Z = np.zeros((4, 1), np.float32)
MISTAKES: dict[str, tuple[str, dict[str, Any]]] = {
    "every label against every prediction": ("binary_focal_loss", {"y_true": [0, 1, 0, 1], "gamma": 2}),
    "`alpha` has no effect": ("binary_focal_crossentropy", {"y_true": np.zeros((4, 1)), "alpha": 0.5}),
    "has one class on axis 1": ("sparse_categorical_focal_loss", {"y_true": [0, 0, 0, 0], "gamma": 2}),
    "one class on axis": ("categorical_focal_crossentropy", {"y_true": np.ones((4, 1))}),
}
by_framework = pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
by_mistake = pytest.mark.parametrize("words", MISTAKES)


def here() -> int:
    return sys._getframe(1).f_lineno


def mistake(words: str, module: Any, framework: Framework) -> Callable[[], Any]:
    """A call with nothing of this file between its caller and the library."""
    name, arguments = MISTAKES[words]
    y_pred = framework.tensor(Z, "float32")
    return partial(getattr(module, name), y_pred=y_pred, from_logits=True, **arguments)


def seen(call: Callable[[], tuple[int, Any]], words: str) -> tuple[str, int, int]:
    category = SyntaxWarning if "one class" in words else UserWarning  # which Keras gives it
    with pytest.warns(category, match=words) as caught:
        line, _ = call()
    (warning,) = caught
    return warning.filename, warning.lineno, line


@by_framework
@by_mistake
def test_functions_warn_at_the_line_of_the_caller(framework: Framework, words: str) -> None:
    for module in (framework.module, focal_loss):
        call = mistake(words, module, framework)
        filename, found, line = seen(lambda: (here(), call()), words)  # noqa: B023
        assert (filename, found) == (__file__, line)


@by_framework
def test_the_same_mistake_on_two_lines_is_shown_for_each(framework: Framework) -> None:
    call = mistake("every label against every prediction", framework.module, framework)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            call()
        call()
    assert len(caught) == 2
    assert caught[1].lineno == caught[0].lineno + 1


@by_mistake
def test_a_torch_module_warns_at_the_line_of_the_caller(words: str) -> None:
    class Loss(torch.nn.Module):
        forward = staticmethod(mistake(words, focal_loss.torch, FRAMEWORKS[1]))

    loss = Loss()
    filename, found, line = seen(lambda: (here(), loss()), words)
    assert (filename, found) == (__file__, line)


TRACED: dict[str, Callable[..., Any]] = {
    "tf.function": tf.function,
    "without autograph": partial(tf.function, autograph=False),
    "jax.jit": jax.jit,
}


@pytest.mark.parametrize("tracer", TRACED)
@by_mistake
def test_a_traced_function_warns_at_the_line_in_it(tracer: str, words: str) -> None:
    framework = FRAMEWORKS[2 if tracer == "jax.jit" else 3]
    call, lines = mistake(words, framework.module, framework), []

    def function() -> Any:
        lines.append(here())
        return call()

    traced = TRACED[tracer](function)
    filename, found, _ = seen(lambda: (0, traced()), words)
    assert (filename, found) == (__file__, function.__code__.co_firstlineno + 2)


@pytest.mark.parametrize("tracer", TRACED)
@by_mistake
def test_a_traced_loss_warns_at_the_line_that_runs_it(tracer: str, words: str) -> None:
    """No line of the caller is traced, so the warning is at the line that starts the trace."""
    framework = FRAMEWORKS[2 if tracer == "jax.jit" else 3]
    traced = TRACED[tracer](mistake(words, framework.module, framework))
    filename, found, line = seen(lambda: (here(), traced()), words)
    assert (filename, found) == (__file__, line)


def test_an_undetermined_temperature_warns() -> None:
    from focal_loss.calibration import FocalTemperature

    estimator = FocalTemperature(2)
    filename, found, line = seen(lambda: (here(), estimator.fit(np.zeros(4), [0, 1, 0, 1])), "do not determine")
    assert (filename, found) == (__file__, line)
