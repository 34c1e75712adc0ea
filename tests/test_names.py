"""Options under the names of other libraries."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from cases import CLASSES, FRAMEWORKS, LOSSES, Loss

import focal_loss
from focal_loss.keras import losses, metrics

MODULES = [focal_loss, *(framework.module for framework in FRAMEWORKS)]


def replacements(loss: Loss) -> dict[str, str]:
    """Pairs of another library's name and the name here."""
    weight = loss.declared.options.weight_name
    names = dict.fromkeys(("weight", "alpha", "class_weights"), weight) if weight else {}
    own = {"dim": "axis", "ignore_index": "ignore_class", "smoothing": "label_smoothing"}
    names |= {theirs: ours for theirs, ours in own.items() if ours in loss.declared.options.declared()}
    return {theirs: ours for theirs, ours in names.items() if theirs != ours}


def callables(loss: Loss) -> Iterator[tuple[Callable[..., Any], tuple[Any, ...]]]:
    """The functions and classes of a loss, each with valid arguments."""
    for module in MODULES:
        yield getattr(module, loss.name), (loss.y_true, loss.y_pred)
    for module in (losses, metrics, importlib.import_module("focal_loss.torch")):
        if hasattr(module, CLASSES[loss.name]):
            yield getattr(module, CLASSES[loss.name]), ()


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_a_name_of_another_library_is_answered(loss: Loss) -> None:
    for function, arguments in callables(loss):
        for theirs, ours in replacements(loss).items():
            with pytest.raises(TypeError, match=f"`{function.__name__}` has no `{theirs}`; pass `{ours}`"):
                function(*arguments, **{**loss.options, theirs: 1})


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_other_names_are_errors_of_python(loss: Loss) -> None:
    for function, arguments in callables(loss):
        with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
            function(*arguments, **{**loss.options, "colour": 1})


def test_the_fused_linear_loss_answers_too() -> None:
    for module in ("torch", "jax"):
        loss = importlib.import_module(f"focal_loss.{module}").linear_sparse_categorical_focal_loss
        with pytest.raises(TypeError, match="has no `ignore_index`; pass `ignore_class`"):
            loss(np.zeros((2, 3)), np.zeros((4, 3)), [0, 1], 2, ignore_index=0)
