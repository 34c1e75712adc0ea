"""What losses and metrics share: the module of the Keras backend, and options as a configuration."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import keras

from focal_loss._dispatch import known


def backend_function(name: str) -> Callable[..., Any]:
    """The function of that name for the tensors of the backend that Keras is set to."""
    backend = known(keras.backend.backend(), "the Keras backend")
    loss: Callable[..., Any] = getattr(importlib.import_module(f"focal_loss.{backend}"), name)
    return loss


def plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as numbers and lists, which a configuration can hold."""
    return {k: keras.ops.convert_to_numpy(v).tolist() if hasattr(v, "shape") else v for k, v in options.items()}
