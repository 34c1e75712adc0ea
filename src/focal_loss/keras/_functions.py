"""The functions that `losses` and `metrics` show: lists and NumPy arrays go to the backend of Keras."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import keras

from focal_loss._dispatch import functions
from focal_loss._dispatch.frameworks import framework_among, known, load

Function = TypeVar("Function", bound=Callable[..., Any])


def by_keras(function: Function) -> Function:
    """The function with the backend of Keras as its default, whatever `focal_loss.set_backend` says."""

    @functools.wraps(function)
    def loss(*arguments: Any, **options: Any) -> Any:
        backend = framework_among(*arguments, *options.values()) or keras.backend.backend()
        return getattr(load(f"focal_loss.{known(backend, 'the Keras backend')}"), function.__name__)(
            *arguments, **options
        )

    return loss  # type: ignore[return-value]


# <doors: functions> Written by tools/doors.py; `make doors` writes it anew.
binary_focal_crossentropy = by_keras(functions.binary_focal_crossentropy)
binary_focal_loss = by_keras(functions.binary_focal_loss)
categorical_focal_crossentropy = by_keras(functions.categorical_focal_crossentropy)
categorical_focal_loss = by_keras(functions.categorical_focal_loss)
quality_focal_loss = by_keras(functions.quality_focal_loss)
sparse_categorical_focal_crossentropy = by_keras(functions.sparse_categorical_focal_crossentropy)
sparse_categorical_focal_loss = by_keras(functions.sparse_categorical_focal_loss)
# </doors: functions>
