"""Arrays with one entry per example: labels, sample weights, masks."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from focal_loss._core.arrays import refuse_missing
from focal_loss._core.shapes import aligned

ops = keras.ops


def pairs(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Pair labels with predictions as Keras does: their ranks are aligned, and nothing broadcasts."""
    a, b = aligned(y_true, y_pred)
    if len(a.shape) != len(b.shape) or differ(a.shape, b.shape):
        raise ValueError(
            f"`y_true` of shape {tuple(y_true.shape)} must have the shape {tuple(y_pred.shape)} of `y_pred`; for class "
            "indices take the loss with `sparse` in its name"
        )
    return a, b


def differ(a: Any, b: Any, *others: int) -> bool:
    """Whether any known lengths of `a` and `b` differ, unless that of `a` is among `others`."""
    return any(isinstance(m, int) and isinstance(n, int) and m not in (n, *others) for m, n in zip(a, b, strict=False))


def of_examples(weight: Any, loss: Any, name: str) -> Any:
    """A weight or mask with as many axes as the loss: missing last axes are added, surplus axes of length 1 dropped.

    Keras multiplies by plain broadcasting, which aligns the last axes: weights of examples would multiply columns, or
    be an error.
    """
    given, shape = tuple(weight.shape), tuple(loss.shape)
    fitted = list(given)
    while len(fitted) > len(shape) and fitted[-1] == 1:
        fitted.pop()
    fitted += [1] * (len(shape) - len(fitted))
    if len(fitted) > len(shape) or differ(fitted, shape, 1):
        raise ValueError(
            f"`{name}` of shape {given} must have the shape {shape} of the loss or of its first axes: it belongs to "
            "the examples"
        )
    if len(fitted) == len(given):
        return weight
    return ops.reshape(weight, (*ops.shape(weight)[: len(fitted)], *(1,) * (len(fitted) - len(given))))


def without_masked_labels(y_true: Any, mask: Any) -> Any:
    """Labels with 0 where a mask hides them: padding may hold anything, such as -1, and is not an error."""
    if mask is None or len(mask.shape) > len(y_true.shape) or differ(mask.shape, y_true.shape):
        return y_true
    missing = len(y_true.shape) - len(mask.shape)
    left = ops.reshape(ops.cast(mask, "bool"), (*ops.shape(mask), *(1,) * missing))
    return ops.where(left, y_true, ops.zeros_like(y_true))


def unmasked(**given: Any) -> list[Any]:
    """Refuse arrays with masked or missing entries, which Keras would silently convert to tensors.

    An array that masks nothing is returned without its mask, because JAX accepts no masked arrays.
    """
    for name, value in given.items():
        refuse_missing(name, value)
    return [value.data if isinstance(value, np.ma.MaskedArray) else value for value in given.values()]


def counted(y_true: Any, loss: Any, ignore_class: int | None, axis: int | None = None) -> Any:
    """The weights of the losses by their labels: whether each label is not `ignore_class`, or, for a mean over an axis,
    the fraction of those that are not. None if all losses count alike.
    """
    if ignore_class is None:
        return None
    if keras.backend.is_int_dtype(y_true.dtype) or y_true.dtype == "bool":  # narrow ones do not hold every class
        y_true = ops.cast(y_true, "int32")
    kept = ops.not_equal(y_true, ignore_class)
    return ops.reshape(kept, ops.shape(loss)) if axis is None else ops.mean(ops.cast(kept, "float32"), axis)


def mask_of_examples(loss: Any, mask: Any, fraction: Any) -> Any:
    """The weights of the losses by a mask that a layer attached, times `fraction`; None if there are neither."""
    if mask is not None:
        mask = ops.cast(of_examples(ops.convert_to_tensor(mask), loss, "mask"), "bool")
    if mask is None or fraction is None:
        return fraction if mask is None else mask
    return ops.where(mask, ops.cast(fraction, "float32"), 0.0)


def product(weight: Any, mask: Any, loss: Any, dtype: str) -> Any:
    """Sample weights times the mask, or None if there are neither."""
    mask = None if mask is None else ops.cast(mask, dtype)
    if weight is None:
        return mask
    weight = of_examples(ops.convert_to_tensor(weight, dtype=dtype), loss, "sample_weight")
    return weight if mask is None else weight * mask


def by_fraction_of_valid(mask: Any, dtype: str) -> Any:
    """The mask divided by the fraction that it keeps, so that a mean over all losses is the mean over the kept ones; 0
    if it keeps none.
    """
    mask = ops.cast(mask, dtype)
    return ops.divide_no_nan(mask, ops.mean(mask))
