"""Arrays as they come from outside: those that miss entries are refused, tensors are brought to the host."""

from __future__ import annotations

from typing import Any

import numpy as np


def refuse_missing(name: str, value: Any) -> None:
    """`ValueError` for masked and missing entries: NumPy would compute what lies under a mask, without a word.

    NaN is a number that a model may give, and passes.
    """
    if isinstance(value, (int, float)) or type(value) is np.ndarray:  # the usual cases
        return
    count = _missing(value)
    if count:
        raise ValueError(
            f"`{name}` must hold a number in every place, got {count} masked or missing; leave those examples out, or "
            "fill them and give them a weight of 0"
        )


def _missing(value: Any) -> int:
    """How many entries are masked or missing: of NumPy's masked arrays, of pandas, of pyarrow, of sequences."""
    if isinstance(value, np.ma.MaskedArray):
        return int(np.ma.getmaskarray(value).sum())
    if isinstance(value, (list, tuple)):
        kinds = {type(entry) for entry in value}  # of numbers one or two
        if not any(issubclass(kind, (list, tuple, np.ma.MaskedArray)) for kind in kinds):
            return 0
        return sum(_missing(entry) for entry in value)
    package = type(value).__module__.partition(".")[0]
    if package == "pandas" and hasattr(value, "isna"):
        dtypes: Any = getattr(value, "dtypes", None)  # of a frame one for each column, of an index or array itself
        each = list(dtypes) if getattr(dtypes, "shape", ()) else [getattr(value, "dtype", None)]
        nullable = any(type(getattr(dtype, "na_value", None)).__name__ == "NAType" for dtype in each)
        return int(np.sum(np.asarray(value.isna()))) if nullable else 0
    return int(getattr(value, "null_count", 0)) if package == "pyarrow" else 0


def on_host(value: Any) -> Any:
    """A tensor as a NumPy array, off its device and its graph, bfloat16 as float32; anything else as it is."""
    half = "bfloat16" in str(getattr(value, "dtype", ""))
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        return np.asarray(value.float() if half else value)
    if half and hasattr(value, "numpy"):  # of TensorFlow, whose scalars are no arrays to NumPy
        value = value.numpy()
    return np.asarray(value).astype(np.float32) if half else value
