"""The public modules and names of the package, in the order of the reference."""

from __future__ import annotations

import functools
import importlib

COMPAT = ("fvcore", "kornia", "mmdet", "monai", "smp", "timm", "transformers", "ultralytics")
GROUPS = {
    "The package": ("focal_loss",),
    "Frameworks": (
        "focal_loss.numpy",
        "focal_loss.torch",
        "focal_loss.jax",
        "focal_loss.tensorflow",
        "focal_loss.keras.losses",
        "focal_loss.keras.metrics",
        "focal_loss.keras.layers",
    ),
    "Boosted trees": ("focal_loss.lightgbm", "focal_loss.xgboost", "focal_loss.catboost", "focal_loss.sklearn"),
    "Probabilities, weights and schedules": (
        "focal_loss.calibration",
        "focal_loss.weights",
        "focal_loss.schedules",
    ),
    "Calls of other libraries": tuple(f"focal_loss.torch.compat.{name}" for name in COMPAT),
}
DOORS = tuple(door for doors in GROUPS.values() for door in doors)


@functools.cache
def names(door: str) -> list[str]:
    """The public names of a module that are functions or classes, in the order of the alphabet."""
    module = importlib.import_module(door)
    return sorted(name for name in module.__all__ if callable(getattr(module, name)))


@functools.cache
def home(door: str, name: str) -> str:
    """The full name under which an object has its page: that of the first module, and the first name there."""
    found = getattr(importlib.import_module(door), name)
    return next(
        f"{first}.{other}"
        for first in DOORS
        for other in names(first)
        if getattr(importlib.import_module(first), other) is found
    )
