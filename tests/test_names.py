"""Options under the names of other libraries."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from cases import CLASSES, FRAMEWORKS, LOSSES, Loss

import focal_loss
from focal_loss.keras import losses, metrics

MODULES = [focal_loss, *(framework.module for framework in FRAMEWORKS)]


OF_POSITIVES = {
    "weight": "pass `pos_weight` for the positives, or multiply unreduced losses by it",
    "alpha": "pass `pos_weight=alpha / (1 - alpha)`",
    "class_weights": "pass `pos_weight=class_weights[1] / class_weights[0]`",
}


def answers(loss: Loss) -> dict[str, str]:
    """Names of other libraries, each with what is said about it."""
    weight = loss.declared.options.weight_name
    names = dict.fromkeys(OF_POSITIVES, f"pass `{weight}`") if weight else {}
    names |= OF_POSITIVES if weight == "pos_weight" else {}
    own = {"dim": "axis", "ignore_index": "ignore_class", "smoothing": "label_smoothing"}
    names |= {theirs: f"pass `{ours}`" for theirs, ours in own.items() if ours in loss.declared.options.declared()}
    return {theirs: answer for theirs, answer in names.items() if theirs != weight}


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
        for theirs, answer in answers(loss).items():
            message = f"`{function.__name__}` has no `{theirs}`; {answer}"
            with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
                function(*arguments, **{**loss.options, theirs: 1})


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_other_names_are_errors_of_python(loss: Loss) -> None:
    for function, arguments in callables(loss):
        with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
            function(*arguments, **{**loss.options, "colour": 1})


def test_pos_weight_is_another_number_than_alpha() -> None:
    for function in (focal_loss.binary_focal_crossentropy, losses.BinaryFocalCrossentropy):
        with pytest.raises(TypeError, match="has no `pos_weight`; pass `alpha`, which is another number"):
            function(pos_weight=3)


def test_the_fused_linear_loss_answers_too() -> None:
    for module in ("torch", "jax"):
        loss = importlib.import_module(f"focal_loss.{module}").linear_sparse_categorical_focal_loss
        with pytest.raises(TypeError, match="has no `ignore_index`; pass `ignore_class`"):
            loss(np.zeros((2, 3)), np.zeros((4, 3)), [0, 1], 2, ignore_index=0)
