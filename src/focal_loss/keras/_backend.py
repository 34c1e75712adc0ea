"""What losses and metrics share: the module of the Keras backend, and options as a configuration."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import keras

from focal_loss._dispatch import known


def backend_function(name: str) -> Callable[..., Any]:
    """The function of that name for the tensors of the backend that Keras is set to."""
    backend = known(keras.backend.backend(), "the Keras backend")
    loss: Callable[..., Any] = getattr(importlib.import_module(f"focal_loss.{backend}"), name)
    return loss


def plain(value: Any) -> Any:
    """Options as numbers and lists, which a configuration can hold."""
    if isinstance(value, dict):
        return {name: plain(option) for name, option in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    return keras.ops.convert_to_numpy(value).tolist() if hasattr(value, "shape") else value
