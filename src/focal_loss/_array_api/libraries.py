"""The libraries whose arrays are computed here, and their functions. None is imported to find out."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import numpy as np

# Libraries whose arrays have no `__array_namespace__`; `array_api_compat` has namespaces for them.
WITHOUT_NAMESPACE = ("cupy",)
DASK = "dask"
# An entry that a sparse array leaves out has a loss other than 0, so the results would be dense.
SPARSE = ("sparse",)


def library_of(value: Any) -> str | None:
    """The library of an array that is computed here; None for anything else.

    Frameworks with a module of their own come first, so this is not asked for their tensors.
    """
    if isinstance(value, (np.ndarray, np.generic, list, tuple, str)):
        return None
    if isinstance(value, _dask_array()):
        return DASK
    package = _package(type(value))
    if package in WITHOUT_NAMESPACE and hasattr(value, "shape"):
        return package
    return package if hasattr(type(value), "__array_namespace__") and package not in SPARSE else None


def _package(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def _dask_array() -> Any:
    return getattr(sys.modules.get("dask.array"), "Array", ())


def namespace_of(array: Any) -> Any:
    """The functions of the array API standard for an array."""
    if hasattr(type(array), "__array_namespace__"):
        return array.__array_namespace__()
    try:
        return importlib.import_module("array_api_compat").array_namespace(array)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"arrays of {_package(type(array))} need array-api-compat, which is not installed: "
            "pip install 'focal-loss[array-api]'",
            name=error.name,
        ) from error
