"""What can be labels, predictions or parameters at all: one wording for whatever cannot, in every framework."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from focal_loss._arrays import refuse_missing

# Arrays that no module of ours computes. They are told by name, because nothing is imported to find out.
_FOREIGN = ("cupy", "dask", "mlx", "array_api_strict", "sparse", "ndonnx", "paddle", "mxnet", "tinygrad", "numba")
_DEEPEST = 64  # axes that NumPy gives an array


def described(value: object) -> str:
    """What came, for a message: short, whatever it is."""
    if value is None:
        return "None"
    if isinstance(value, (list, tuple)):
        return _described_sequence(value, 1)
    dtype = getattr(value, "dtype", None)
    if dtype is not None:
        return f"dtype {getattr(dtype, 'name', dtype)}"
    if _exceeds_64_bits(value):
        return "an integer of more than 64 bits"
    return type(value).__name__


def _described_sequence(value: Any, depth: int) -> str:
    kind = type(value).__name__
    nested = [isinstance(entry, list | tuple) for entry in value]
    if any(nested):
        if not all(nested) or len({len(entry) for entry in value}) > 1:
            return f"a {kind} whose entries have different lengths"
        if depth == _DEEPEST:
            return f"a {kind} of more than {_DEEPEST} axes"
        found = [_described_sequence(entry, depth + 1) for entry in value]
        return next((text for text in found if text != kind), kind)
    for entry in value:
        if not isinstance(entry, numbers.Real):
            return f"a {kind} that holds {'None' if entry is None else type(entry).__name__}"
        if _exceeds_64_bits(entry):
            return f"a {kind} that holds an integer of more than 64 bits"
    return kind


def _exceeds_64_bits(value: Any) -> bool:
    return isinstance(value, int) and not -(2**63) <= value < 2**64


def shown(value: object) -> str:
    """A value as it was written, if that is short: an integer of thousands of digits has no text in Python."""
    try:
        text = str(value) if isinstance(value, numbers.Number) else repr(value)
    except Exception:
        return described(value)
    return text if len(text) <= 80 else described(value)


def not_real(name: str, value: object) -> TypeError:
    """The error for what is no array of real numbers."""
    return TypeError(f"`{name}` must be an array of real numbers, got {described(value)}")


def refuse_foreign(name: str, value: object) -> None:
    """`TypeError` for arrays of libraries that have no module here: they would become NumPy arrays without a word."""
    if isinstance(value, (np.ndarray, np.generic, list, tuple, int, float)):
        return
    kind = type(value)
    package = kind.__module__.partition(".")[0]
    if package in ("torch", "jax", "jaxlib", "tensorflow", "pandas"):
        return
    is_array = hasattr(value, "__array_namespace__") or hasattr(value, "__cuda_array_interface__")
    if package in _FOREIGN or is_array or _is_lazy(value):
        raise TypeError(
            f"`{name}` must be an array of NumPy, PyTorch, JAX or TensorFlow, for which there are `focal_loss.numpy`, "
            f"`focal_loss.torch`, `focal_loss.jax` and `focal_loss.tensorflow`, got {kind.__module__}.{kind.__name__}; "
            "convert it to one of them"
        )


def _is_lazy(value: Any) -> bool:
    """By Dask's protocol, which its data frames and xarray's arrays have too; there it is None for what is at hand."""
    graph = getattr(value, "__dask_graph__", None)
    return callable(graph) and graph() is not None


def host_array(name: str, value: Any) -> np.ndarray[Any, Any]:
    """A NumPy array of real numbers: of NumPy, of pandas, of a sequence, or of anything else that lies on the host."""
    refuse_unreal(name, value)
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, OverflowError, RuntimeError, RecursionError) as error:
        raise not_real(name, value) from error
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        raise not_real(name, value)
    return array


def refuse_unreal(name: str, value: Any) -> None:
    """An error for foreign arrays, for what a framework might take for numbers though it holds none, for masks."""
    if value is None or isinstance(value, (str, bytes, bytearray, dict, set, frozenset)):
        raise not_real(name, value)
    refuse_foreign(name, value)
    refuse_missing(name, value)
