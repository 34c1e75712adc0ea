"""Warnings at the caller's own line, past all frames of this package and of the frameworks."""

from __future__ import annotations

import sys
import warnings
from types import FrameType

# Packages that call the losses for the caller: frameworks run modules, training loops and traced functions.
_BETWEEN = {
    "focal_loss",
    *("torch", "jax", "tensorflow", "tf_keras", "keras", "optree", "tree", "wrapt"),
    *("lightgbm", "xgboost", "catboost", "sklearn", "joblib", "numpy", "scipy", "pandas"),
    *sys.stdlib_module_names,
}


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """`warnings.warn`, at the innermost line that is neither ours nor a framework's.

    Warning filters work by line, so the same mistake on two lines of the caller is shown for each.
    """
    frame = _caller(sys._getframe())
    filename, line = _place(frame)
    names = frame.f_globals
    registry = names.setdefault("__warningregistry__", {})
    warnings.warn_explicit(message, category, filename, line, names.get("__name__") or "<unknown>", registry)


def _caller(frame: FrameType) -> FrameType:
    """The frame of the caller, or, in a thread that a library started, the first frame that is not ours."""
    outside = frame
    while _package(outside) == "focal_loss" and outside.f_back is not None:
        outside = outside.f_back
    caller: FrameType | None = outside
    while caller is not None and _package(caller) in _BETWEEN:
        caller = caller.f_back
    return caller or outside


def _package(frame: FrameType) -> str:
    """The package of a frame by its module's name, which stays when TensorFlow's AutoGraph rewrites a function into
    another file.
    """
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _place(frame: FrameType) -> tuple[str, int]:
    """File and line of a frame; for a copy rewritten by AutoGraph, those of the original source."""
    place = frame.f_code.co_filename, frame.f_lineno
    above = frame.f_back
    while above is not None and "autograph_generated" in place[0]:
        sources = getattr(above.f_locals.get("converted_f"), "ag_source_map", {})
        if place in sources:
            return sources[place].loc.filename, sources[place].loc.lineno
        above = above.f_back
    return place
