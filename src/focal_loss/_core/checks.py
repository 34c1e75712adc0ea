"""Checks of labels, predictions and parameters, with one wording in every framework.

Types are always checked, which costs nothing. Numbers are read where that costs little: in eager code, on the host.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any

import numpy as np

from focal_loss._core.arrays import on_host, refuse_missing

# Packages whose arrays have a module here, or become NumPy's by intention. They are recognized by name, because nothing
# may be imported for it.
_READ = ("builtins", "numpy", "torch", "jax", "jaxlib", "tensorflow", "keras", "pandas", "polars", "pyarrow", "xarray")
# The attributes of arrays of any library. NumPy could read some of these arrays.
_OF_ARRAYS = ("__array__", "__array_interface__", "__array_namespace__", "__cuda_array_interface__", "__dlpack__")
# What is no array of another library, nor holds one.
_PLAIN = (np.ndarray, np.generic, int, float)
_DEEPEST = 64  # NumPy's limit of axes


def described(value: object) -> str:
    """A short description of any value, for a message."""
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
    """The text of a value, or its description if that is long. Python refuses to print an integer of thousands of
    digits.
    """
    try:
        text = str(value) if isinstance(value, numbers.Number) else repr(value)
    except Exception:
        return described(value)
    return text if len(text) <= 80 else described(value)


def not_real(name: str, value: object) -> TypeError:
    """The error for a value that is not an array of real numbers."""
    return TypeError(f"`{name}` must be an array of real numbers, got {described(value)}")


def refuse_foreign(name: str, value: object) -> None:
    """Raise `TypeError` for arrays of libraries that have no module here, which would silently become NumPy arrays, and
    for sequences of them.
    """
    if isinstance(value, _PLAIN):
        return
    if isinstance(value, (list, tuple)):
        if not all(issubclass(kind, _PLAIN) for kind in {type(entry) for entry in value}):
            for entry in value:
                refuse_foreign(name, entry)
        return
    kind = type(value)
    packages = {base.__module__.partition(".")[0] for base in kind.__mro__ if base is not object}
    if _is_lazy(value) or (packages.isdisjoint(_READ) and _is_array(value)):
        raise TypeError(
            f"`{name}` must be an array of NumPy, PyTorch, JAX or TensorFlow, for which there are `focal_loss.numpy`, "
            "`focal_loss.torch`, `focal_loss.jax` and `focal_loss.tensorflow`, or, for the functions of `focal_loss` "
            f"itself, of Dask or the array API standard, got {kind.__module__}.{kind.__name__}; convert it to one of "
            "them"
        )


def _is_array(value: Any) -> bool:
    return any(hasattr(value, name) for name in _OF_ARRAYS) or (hasattr(value, "shape") and hasattr(value, "dtype"))


def _is_lazy(value: Any) -> bool:
    """Whether a value is lazy by Dask's protocol, which its data frames and xarray's arrays follow; their graph is None
    for data in memory.
    """
    graph = getattr(value, "__dask_graph__", None)
    return callable(graph) and graph() is not None


def has_dtype(value: Any) -> bool:
    """Whether a prediction has a dtype that its loss keeps. Numbers and sequences have none; pyarrow's has another
    name.
    """
    return any(hasattr(value, name) for name in ("dtype", "dtypes", "__array__"))


def host_array(name: str, value: Any) -> np.ndarray[Any, Any]:
    """A NumPy array of real numbers from anything on the host: NumPy, pandas, a sequence."""
    if type(value) is not np.ndarray:  # such as a masked array, or one of a library that has no module here
        refuse_unreal(name, value)
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, OverflowError, RuntimeError, RecursionError) as error:
        raise not_real(name, value) from error
    if not is_real(array.dtype):
        raise not_real(name, value)
    return array


def is_real(dtype: Any) -> bool:
    """Whether a dtype of NumPy is one of real numbers, which bfloat16 is, of another kind than NumPy's own."""
    return dtype.kind in "biuf" or dtype.name == "bfloat16"


def refuse_unreal(name: str, value: Any) -> None:
    """Raise for foreign arrays, for masks, and for values that hold no numbers but that a framework might accept."""
    if value is None or isinstance(value, (str, bytes, bytearray, dict, set, frozenset)):
        raise not_real(name, value)
    try:
        refuse_foreign(name, value)
        refuse_missing(name, value)
    except RecursionError as error:  # of a list that is too deep, or holds itself
        raise not_real(name, value) from error


def read(name: str, value: Any) -> Any:
    """An argument of a function that works on the host, whose tensors are copied from their device."""
    refuse_foreign(name, value)
    refuse_missing(name, value)
    return on_host(value)


# ---------------------------------------------------------------------------------------------------------------
# The numbers
# ---------------------------------------------------------------------------------------------------------------

_enabled = True
# The distance that numbers may lie outside [0, 1]. Mixtures, sums and averages of labels are rounded, perhaps in a
# coarser dtype than they arrive in, the coarsest being bfloat16. Mistakes lie further out.
_ROUNDING = 2.0**-7


def set_checks(enabled: bool) -> None:
    """Set whether the numbers in labels and predictions are checked.

    In eager code on the host every loss refuses labels outside [0, 1], invalid class indices, and probabilities outside
    [0, 1]. For a million elements the checks cost less than a tenth of the loss (an eighth for float labels in eager
    JAX), and for a thousand probabilities up to a fifth. Without the checks wrong labels and predictions give wrong
    losses, and an invalid class index gives NaN, as in compiled code and on a GPU. Types, shapes and options are always
    checked.

    Parameters
    ----------
    enabled : bool
        Whether to check. The initial setting is True.

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
    """Whether the numbers are checked."""
    return _enabled


def check_labels(labels: Any, predictions: Any = None, *, dense: bool = False) -> None:
    """Raise `ValueError` for the first label outside [0, 1], with the probable remedy.

    Labels that meet no prediction are not looked at.
    """
    if _enabled and (predictions is None or np.size(predictions)) and not within_unit(labels):
        numbers = _exactly(labels)
        bad = ~((numbers >= -_ROUNDING) & (numbers <= 1 + _ROUNDING))
        _refuse("y_true", "labels in [0, 1]", labels, bad, lambda: _meant(np.asarray(labels), predictions, dense))


def check_probabilities(
    predictions: Any,
    ignored: Callable[[], Any] = bool,
    name: str = "y_pred",
    remedy: str = "; pass `from_logits=True` if these are logits",
) -> None:
    """Raise `ValueError` for the first prediction outside [0, 1] that is not ignored. NaN passes, and gives NaN."""
    if _enabled and not within_unit(predictions):
        numbers = _exactly(predictions)
        bad = ((numbers < -_ROUNDING) | (numbers > 1 + _ROUNDING)) & ~np.asarray(ignored())
        _refuse(name, "probabilities in [0, 1]", predictions, bad, lambda: remedy)


def check_classes(labels: Any, classes: int, ignore: int | None, name: str = "y_true") -> None:
    """Raise `ValueError` for the first label that is not a class index."""
    if not _enabled or _in_range(labels, classes):
        return
    if labels.dtype.kind not in "iub":
        _refuse(name, "class indices, which are whole numbers", labels, ~(labels == labels.round()))
    valid = (labels >= 0) & (labels < classes)
    if ignore is not None:  # NumPy would compare with None entry by entry, as objects
        valid |= labels == ignore
    _refuse(name, f"class indices in [0, {classes})", labels, ~valid)


_WHOLE = {"bfloat16": 256, "float16": 2048}  # the largest n up to which the dtype has every whole number


def check_exact(dtype: Any, classes: int | None) -> None:
    """Raise `TypeError` for class indices of a dtype that cannot hold all of them: bfloat16 has no 257."""
    name = next((name for name in _WHOLE if name in str(dtype)), "")
    if name and classes is not None and classes > _WHOLE[name]:  # labels are compared with the number of classes
        raise TypeError(
            f"`y_true` must be of integers for {classes} classes, got {name}, which has not all whole numbers beyond "
            f"{_WHOLE[name]}"
        )


def _in_range(labels: np.ndarray[Any, Any], classes: int) -> bool:
    """Whether all labels are integers in [0, classes), in one pass: read as unsigned, a negative number is large."""
    if labels.dtype == bool:
        return classes > 1
    if labels.dtype.kind not in "iu" or not labels.size or not labels.dtype.isnative:
        return False
    return classes <= np.iinfo(labels.dtype).max and bool(labels.view(f"u{labels.itemsize}").max() < classes)


def within_unit(values: Any) -> bool:
    """Whether every number is in [0, 1], in one pass over the bits, which as integers exceed those of 1 otherwise.

    False if any is -0.0.
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
    """Floats converted to float64, integers unchanged."""
    array = np.asarray(values)
    return array if array.dtype.kind in "iub" else array.astype(np.float64)


def _refuse(name: str, what: str, values: Any, bad: Any, remedy: Callable[[], str] = str) -> None:
    if bad.any():
        position = tuple(int(i[0]) for i in bad.nonzero()) if bad.ndim else ()
        raise ValueError(f"`{name}` must hold {what}, got {values[position]} at position {position}{remedy()}")


# The message names no arguments: those of `sigmoid_focal_loss` have other names and another order.
SWAPPED = "; are labels and predictions the wrong way round?"
UNLABELED = "; leave out the examples that have no label, or label them 0 and give them a weight of 0"


def _meant(labels: np.ndarray[Any, Any], predictions: Any, dense: bool) -> str:
    """The remedy that the labels suggest."""
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
