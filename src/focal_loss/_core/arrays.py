"""Arrays from outside: those with missing entries are refused, tensors are copied to the host."""

from __future__ import annotations

from typing import Any

import numpy as np

TABLES = ("pandas", "polars", "pyarrow")  # packages whose arrays may have missing entries without a NumPy mask


def refuse_missing(name: str, value: Any, nan: bool = False) -> None:
    """Raise `ValueError` for masked and missing entries: NumPy would silently compute with the values under a mask.

    NaN passes, because a model may return it. With `nan`, for the labels of a classifier, it is missing where pandas
    says so, as None is.
    """
    if isinstance(value, (int, float)) or type(value) is np.ndarray:  # the usual cases
        return
    count = _missing(value, nan)
    if count:
        raise ValueError(
            f"`{name}` must hold a value in every place, got {count} masked or missing; leave those examples out, or "
            "fill them and give them a weight of 0"
        )


def _missing(value: Any, nan: bool) -> int:
    """The number of masked or missing entries of NumPy's masked arrays, of pandas, polars, pyarrow or sequences."""
    if isinstance(value, np.ma.MaskedArray):
        return int(np.ma.getmaskarray(value).sum())
    if isinstance(value, (list, tuple)):
        kinds = {type(entry) for entry in value}  # one or two for numbers
        # Numbers are dropped first, because `torch.compile` cannot trace the package of a type.
        others = [kind for kind in kinds if kind not in (int, float, bool)]
        if not any(issubclass(kind, (list, tuple, np.ma.MaskedArray)) or _package(kind) in TABLES for kind in others):
            return 0
        return sum(_missing(entry, nan) for entry in value)
    package = _package(type(value))
    if package == "pandas" and hasattr(value, "isna"):
        dtypes: Any = getattr(value, "dtypes", None)  # a frame has one per column, an index or array a single one
        each = list(dtypes) if getattr(dtypes, "shape", ()) else [getattr(value, "dtype", None)]
        nullable = nan or any(type(getattr(dtype, "na_value", None)).__name__ == "NAType" for dtype in each)
        return int(np.sum(np.asarray(value.isna()))) if nullable else 0
    if package == "polars" and hasattr(value, "to_numpy"):  # the count is a number, or a frame of one for each column
        return int(np.sum(np.asarray(value.null_count())))
    return int(getattr(value, "null_count", 0)) if package == "pyarrow" else 0


def _package(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def on_host(value: Any) -> Any:
    """A tensor as a NumPy array, copied from its device and detached; bfloat16 and float8, which NumPy does not have,
    become float32, anything else stays.
    """
    foreign = any(name in str(getattr(value, "dtype", "")) for name in ("bfloat16", "float8"))
    if hasattr(value, "detach"):
        return (value.float() if foreign else value).numpy(force=True)
    if foreign and hasattr(value, "numpy"):  # TensorFlow's scalars are not arrays to NumPy
        value = value.numpy()
    return np.asarray(value).astype(np.float32) if foreign else value
