"""Calls of the losses and metrics to Keras and its backend."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import keras

from focal_loss._core.losses import LOSSES
from focal_loss._core.options import Reduction
from focal_loss._core.private import private
from focal_loss._core.warnings import warn
from focal_loss._dispatch.frameworks import known, load

DECLARED = {loss.name: loss for loss in LOSSES}


def backend_function(name: str, reduction: Reduction = "none") -> Callable[..., Any]:
    """The function named `name` for tensors of the backend that Keras is set to, which also reduces the losses."""
    backend = known(keras.backend.backend(), "the Keras backend")
    loss: Callable[..., Any] = getattr(load(f"focal_loss.{backend}"), name)
    if reduction == "none":
        return loss
    if backend == "torch":
        return partial(loss, reduction=reduction)
    if backend == "tensorflow":
        return partial(load("focal_loss.tensorflow._functions").reduced, DECLARED[name], reduction)
    reduce = {"mean": keras.ops.mean, "sum": keras.ops.sum}[reduction]
    return lambda *data, **options: reduce(loss(*data, **options))


def number_of_replicas() -> int:
    """How many replicas of `tf.distribute` add up their losses."""
    if keras.backend.backend() != "tensorflow":
        return 1
    return int(sys.modules["tensorflow"].distribute.get_strategy().num_replicas_in_sync)


def without_public_name(name: str, default: Any, loss: str) -> Callable[..., Any]:
    """A function of Keras that only `keras.src` has, or, where that is gone, one that warns of what is lost and returns
    `default`.
    """
    found: Callable[..., Any] | None = private("keras.src.backend", name, loss)
    if found is not None:
        return found

    def missing(*arguments: Any) -> Any:
        warn(f"this version of Keras has no `keras.src.backend.{name}`: {loss}")
        return default

    return missing


mask_of = without_public_name(
    "get_keras_mask", None, "masks that layers attach to their outputs do not count; pass them as `sample_weight`"
)
in_symbolic_scope = without_public_name(
    "in_symbolic_scope", True, "options that compiled code would not see again can be set without an error"
)


def compiling(y_pred: Any) -> bool:
    """Whether the computation is being compiled into a program that keeps the current Python numbers.

    False under `torch.compile`, which checks them before each run, and while Keras infers shapes before it compiles.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return not sys.modules["tensorflow"].executing_eagerly() and not in_symbolic_scope()
    if backend == "jax" and is_tracer(y_pred):  # also under `jax.grad` without `jit`, where new numbers are not tracers
        return is_tracer(keras.ops.add(0.0, 0.0)) and not in_symbolic_scope()
    return False


def is_tracer(value: Any) -> bool:
    return isinstance(value, sys.modules["jax"].core.Tracer)


def plain(value: Any) -> Any:
    """Options as numbers and lists, for a configuration."""
    if isinstance(value, dict):
        return {name: plain(option) for name, option in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    return keras.ops.convert_to_numpy(value).tolist() if hasattr(value, "shape") else value
