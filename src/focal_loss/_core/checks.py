"""What can be labels, predictions or parameters: one wording for whatever cannot, in every framework.

The types are always checked, and cost nothing. The numbers are read where that costs little: eagerly, on the host.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any

import numpy as np

from focal_loss._core.arrays import refuse_missing

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


# ---------------------------------------------------------------------------------------------------------------
# The numbers
# ---------------------------------------------------------------------------------------------------------------

_enabled = True
# By how much numbers may lie outside [0, 1]: mixtures, sums and averages of labels round, and the dtype that they were
# made in, at the coarsest bfloat16, may not be the one that they arrive in. Mistakes lie further out.
_ROUNDING = 2.0**-7


def set_checks(enabled: bool) -> None:
    """Set whether the numbers in labels and predictions are looked at.

    Eagerly and on the host every loss refuses labels outside [0, 1], class indices that are none, and probabilities
    outside [0, 1]. Looking at a million elements costs less than a tenth of their loss, but an eighth for float labels
    in eager JAX; at a thousand probabilities it is up to a fifth. Without the checks wrong labels and predictions give
    wrong losses, and a class index that is none gives NaN, as in compiled code and on a GPU. Types, shapes and options
    are always checked.

    Parameters
    ----------
    enabled : bool
        Whether to look; at first it is True.

    Raises
    ------
    TypeError
        If `enabled` is not a bool.

    Examples
    --------
    >>> import focal_loss.numpy
    >>> focal_loss.set_checks(False)
    >>> focal_loss.numpy.sparse_categorical_focal_loss([3], [[0.5, 0.5]], gamma=2)
    array([nan], dtype=float32)
    >>> focal_loss.set_checks(True)
    """
    global _enabled
    if not isinstance(enabled, (bool, np.bool_)):
        raise TypeError(f"`enabled` must be True or False, got {shown(enabled)}")
    _enabled = bool(enabled)


def enabled() -> bool:
    """Whether the numbers are looked at."""
    return _enabled


def check_labels(labels: Any, predictions: Any = None, *, dense: bool = False) -> None:
    """`ValueError` for the first label outside [0, 1], with what is probably meant."""
    if _enabled and not within_unit(labels):
        numbers = _exactly(labels)
        bad = ~((numbers >= -_ROUNDING) & (numbers <= 1 + _ROUNDING))
        _refuse("y_true", "labels in [0, 1]", labels, bad, lambda: _meant(np.asarray(labels), predictions, dense))


def check_probabilities(predictions: Any, ignored: Callable[[], Any] = bool) -> None:
    """`ValueError` for the first prediction outside [0, 1] but for the ignored ones; NaN is none, and gives NaN."""
    if _enabled and not within_unit(predictions):
        numbers = _exactly(predictions)
        bad = ((numbers < -_ROUNDING) | (numbers > 1 + _ROUNDING)) & ~np.asarray(ignored())
        remedy = "; pass `from_logits=True` if these are logits"
        _refuse("y_pred", "probabilities in [0, 1]", predictions, bad, lambda: remedy)


def check_classes(labels: Any, classes: int, ignore: int | None) -> None:
    """`ValueError` for the first label that is no class index."""
    if not _enabled or _in_range(labels, classes):
        return
    if labels.dtype.kind not in "iub":
        _refuse("y_true", "class indices, which are whole numbers", labels, ~(labels == labels.round()))
    valid = (labels >= 0) & (labels < classes)
    if ignore is not None:  # NumPy compares with None entry by entry, as objects
        valid |= labels == ignore
    _refuse("y_true", f"class indices in [0, {classes})", labels, ~valid)


_WHOLE = {"bfloat16": 256, "float16": 2048}  # up to which a dtype has all whole numbers


def check_exact(dtype: Any, classes: int | None) -> None:
    """`TypeError` for class indices of a dtype that has no number for some of them: bfloat16 has no 257."""
    name = next((name for name in _WHOLE if name in str(dtype)), "")
    if name and classes is not None and classes > _WHOLE[name]:  # the number of classes is compared with
        raise TypeError(
            f"`y_true` must be of integers for {classes} classes, got {name}, which has not all whole numbers beyond "
            f"{_WHOLE[name]}"
        )


def _in_range(labels: np.ndarray[Any, Any], classes: int) -> bool:
    """Whether all are integers in [0, classes), by one pass: taken as unsigned, what is negative is a large number."""
    if labels.dtype == bool:
        return classes > 1
    if labels.dtype.kind not in "iu" or not labels.size or not labels.dtype.isnative:
        return False
    return classes <= np.iinfo(labels.dtype).max and bool(labels.view(f"u{labels.itemsize}").max() < classes)


def within_unit(values: Any) -> bool:
    """Whether every number is in [0, 1], by one pass over the bits; those of what is greater, negative or NaN are more.

    False where -0.0 is among them.
    """
    array = np.asarray(values)
    kind, size = array.dtype.kind, array.itemsize
    if not array.size or kind == "b":
        return True
    if size > 8 or not array.dtype.isnative:
        return False
    one = np.ones((), array.dtype).view(f"u{size}")
    return bool(array.view(f"u{size}").max() <= one)


def _exactly(values: Any) -> np.ndarray[Any, Any]:
    """Floats in float64, integers as they are."""
    array = np.asarray(values)
    return array if array.dtype.kind in "iub" else array.astype(np.float64)


def _refuse(name: str, what: str, values: Any, bad: Any, remedy: Callable[[], str] = str) -> None:
    if bad.any():
        position = tuple(int(i[0]) for i in bad.nonzero()) if bad.ndim else ()
        raise ValueError(f"`{name}` must hold {what}, got {values[position]} at position {position}{remedy()}")


# Not by names: `sigmoid_focal_loss` has its own, in its own order.
SWAPPED = "; are labels and predictions the wrong way round?"
UNLABELED = "; leave out the examples that have no label, or label them 0 and give them a weight of 0"


def _meant(labels: np.ndarray[Any, Any], predictions: Any, dense: bool) -> str:
    """The remedy, by what the labels look like."""
    if predictions is not None and np.isin(predictions, (0, 1)).all() and np.ptp(predictions):
        return SWAPPED
    others = labels[(labels != 0) & (labels != 1)]
    low, high = others.min(), others.max()
    if np.isnan(low):
        return UNLABELED
    if (others == np.round(others)).all():
        if dense and low >= 0:
            return "; for class indices take the loss with `sparse` in its name"
        if low == high == -1 and (labels != 0).all():
            return "; labels of -1 and 1 become 0 and 1 by `(y_true + 1) / 2`"
        if low == high and (low < 0 or (high > 9 and (labels == 1).any())):  # such as -1 or 255 beside 0 and 1
            return UNLABELED
        if low >= 0:
            return f"; divide a mask by its largest value, {high}" if high > 9 else ""
    return SWAPPED
