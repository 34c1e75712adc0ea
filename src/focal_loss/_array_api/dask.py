"""Arrays of Dask as a `pipeline.Backend`: lazily, block by block, by what computes a block in memory.

Blocks are NumPy's as a rule, for which there are kernels, or arrays of another library. Nothing is computed here but
shapes, and chunks stay as they are but along an axis of classes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal

import dask.array as da
import numpy as np

from focal_loss._array_api.libraries import DASK, library_of
from focal_loss._array_api.standard import backend_of_array
from focal_loss._core import binary_losses, checks, pipeline, softmax_losses
from focal_loss._core.warnings import warn

Array = Any
Place = tuple[int, ...] | None  # the labels of an array's axes; None for a value that is no array
OTHER = -1  # the label of an axis that no other array has


# ---------------------------------------------------------------------------------------------------------------
# What is done with blocks
# ---------------------------------------------------------------------------------------------------------------


def _checked(*values: Any, function: Any, unknown: tuple[dict[int, int], ...], **fixed: Any) -> Array:
    """The function of blocks, once they are seen to be whole and as long as each other where no length was known."""
    lengths: dict[int, int] = {}
    for value, axes in zip(values, unknown, strict=True):
        if isinstance(value, np.ma.MaskedArray):
            raise ValueError("the blocks must hold a value in every place, got a masked array; fill them first")
        for axis, label in axes.items():
            n = lengths.setdefault(label, value.shape[axis])
            if n != value.shape[axis]:
                raise ValueError(
                    f"arrays of unknown lengths must have blocks of one length, got {n} and {value.shape[axis]}"
                )
    return function(*values, **fixed)


def _elementwise(*arguments: Any, family: str) -> Array:
    return backend_of_array(arguments[0]).elementwise(family, *arguments)


def _margin(v: Array, true_class_mask: Array | None, *, axis: int) -> Array:
    return backend_of_array(v).margin(v, true_class_mask, axis)


def _probability(x: Array, true_class_mask: Array | None, *, axis: int, part: int) -> Array:
    xp = backend_of_array(x)
    return xp.cast(xp.probabilities(x, true_class_mask, axis)[part], x)


def _binary(x: Array, y: Array, *given: Any, call: pipeline.BinaryCall) -> Array:
    """The losses of a block, and an error for labels outside [0, 1]."""
    member = call.member
    if member is None:
        call = call._replace(x=x, y=y, gamma=given[0], positive=given[1], negative=given[2])
    else:
        call = binary_losses.call_of_member(member.closed_form, given, x, y)
    single = member is None or pipeline.of_numbers(call.member)  # type: ignore[arg-type]
    return np.asanyarray(binary_losses.binary_from(backend_of_array(x), call, True, single))


def _softmax(x: Array, y: Array, gamma: Any, weight: Any, *, call: pipeline.SoftmaxCall) -> Array:
    """The losses of a block, and an error for labels that are no classes or probabilities."""
    xp = backend_of_array(x)
    found = xp.fused_softmax(call._replace(x=x, y=y, gamma=gamma, weight=weight))
    if found is None:
        spec = dataclasses.replace(call.spec, **{"gamma": gamma, call.spec.weight_name: weight})
        loss = softmax_losses.sparse_categorical_formula if call.sparse else softmax_losses.categorical_formula
        found = loss(xp, y, x, spec)
    return np.asanyarray(found)


def _take(index: Array, x: Array) -> Array:
    return backend_of_array(x).take(x, index)


def _cast(x: Array, *, to: Any) -> Array:
    with np.errstate(all="ignore"):
        return x.astype(to)


def _max(x: Array, *, axis: int) -> Array:
    return backend_of_array(x).max(x, axis)


def _broadcast(*arrays: Array, number: int) -> Array:
    return backend_of_array(arrays[0]).broadcast(*arrays)[number]


# ---------------------------------------------------------------------------------------------------------------
# The backend
# ---------------------------------------------------------------------------------------------------------------


def blocks(
    function: Any, place: Place, *given: tuple[Any, Place], like: Array, dtype: Any = None, **fixed: Any
) -> Array:
    """The function of blocks, which are aligned by the labels of their axes. An axis that the result lacks arrives
    whole.
    """
    check_aligned(*given)
    meta = da.utils.meta_from_array(like, len(place or ()), dtype or like.dtype)
    pairs = [part for value in given for part in value]
    fixed |= {"function": function, "unknown": tuple(unknown_axes(*value) for value in given)}
    token = function.__name__.strip("_")
    return da.blockwise(_checked, place, *pairs, concatenate=True, meta=meta, token=token, **fixed)


def unknown_axes(x: Any, place: Place) -> dict[int, int]:
    """The axes of unknown length, with their labels."""
    return {axis: place[axis] for axis, n in enumerate(x.shape) if math.isnan(n)} if place else {}


def check_aligned(*given: tuple[Any, Place]) -> None:
    """Raise where chunks of unknown lengths meet different ones: which of them belong together is not known either."""
    first: dict[int, tuple[Any, list[str]]] = {}
    for x, place in given:
        for label, n, chunks in zip(place, x.shape, x.chunks, strict=True) if place else ():
            if n == 1:
                continue
            lengths = [str(length) for length in chunks]  # because nan is not equal to itself
            other, others = first.setdefault(label, (x, lengths))
            if lengths != others and "nan" in (*lengths, *others):
                raise ValueError(
                    f"arrays of shapes {other.shape} and {x.shape} must have known lengths, because their chunks "
                    "differ; call the `compute_chunk_sizes` of each that has a length of nan"
                )


def from_the_right(x: Array, rank: int) -> Place:
    """The labels of axes that broadcast to `rank` axes."""
    return tuple(range(rank - x.ndim, rank)) if hasattr(x, "ndim") else None


class Dask:
    """`pipeline.Backend` for arrays of Dask."""

    # Primitives that the losses use outside of closed forms

    def where(self, condition: Array, x: Any, y: Any) -> Array:
        like = next((side for side in (x, y) if hasattr(side, "dtype")), None)
        dtype = None if like is None else like.dtype
        return da.where(condition, *(a if hasattr(a, "dtype") else np.asarray(a, dtype) for a in (x, y)))

    def abs(self, x: Array) -> Array:
        return da.absolute(x)

    def sum(self, x: Array, axis: int) -> Array:
        return da.sum(x, axis, keepdims=True)

    def max(self, x: Array, axis: int) -> Array:
        every, whole = tuple(range(x.ndim)), self.whole(x, axis)
        result = (*every[:axis], OTHER, *every[axis + 1 :])
        return blocks(_max, result, (whole, every), like=x, axis=axis, new_axes={OTHER: 1})

    def largest(self, x: Array) -> float:
        return float(np.finfo(x.dtype).max)

    def constant(self, x: Array) -> Array:
        return x

    # The whole loss of logits, block by block

    def fused_binary(self, call: pipeline.BinaryCall) -> Array:
        given = call.member.arguments if call.member else (call.gamma, call.positive, call.negative)
        values = (call.x, call.y, *given)
        rank = max(a.ndim for a in values if hasattr(a, "ndim"))
        aligned = [(a, from_the_right(a, rank)) for a in values]
        without = call._replace(x=None, y=None, gamma=1.0, positive=1.0, negative=1.0)
        return blocks(_binary, tuple(range(rank)), *aligned, like=call.x, call=without)

    def fused_softmax(self, call: pipeline.SoftmaxCall) -> Array:
        self.check_classes(call.x, call.axis)
        every = tuple(range(call.x.ndim))
        result = every[: call.axis] + every[call.axis + 1 :]

        def place(parameter: Any) -> Place:
            """The labels of one for each class, or of one for each example."""
            if isinstance(parameter, float) or not parameter.ndim:
                return None if isinstance(parameter, float) else ()
            return (call.axis,) if parameter.ndim == 1 else (*every[: call.axis], OTHER, *every[call.axis + 1 :])

        given: list[tuple[Any, Place]] = [(call.x, every), (call.y, result if call.sparse else every)]
        given += [(parameter, place(parameter)) for parameter in (call.gamma, call.weight)]
        without = call._replace(x=None, y=None, gamma=1.0, weight=1.0)
        return blocks(_softmax, result, *given, like=call.x, call=without)

    # The arguments of a call

    def given(self, name: str, value: Any) -> Array:
        """An array of real numbers, of Dask or from the host."""
        if library_of(value) != DASK:
            return da.asarray(checks.host_array(name, value))
        if isinstance(value._meta, np.ma.MaskedArray):
            raise ValueError(
                f"`{name}` must hold a value in every place, got a masked array of Dask; call `dask.array.ma.filled` "
                "and give the filled examples a weight of 0"
            )
        other = not isinstance(value._meta, np.ndarray) and library_of(value._meta) is None
        if other or not isinstance(value.dtype, np.dtype):
            kind = type(value._meta)
            raise TypeError(
                f"`{name}` must be an array of Dask with blocks of NumPy or CuPy, got blocks of "
                f"{kind.__module__}.{kind.__name__}; convert them by `map_blocks`"
            )
        if not checks.is_real(value.dtype):
            raise checks.not_real(name, value)
        return value

    def prediction(self, y_pred: Any, name: str = "y_pred") -> Array:
        x = self.given(name, y_pred)
        return x if self.kind(x) == "floating" and checks.has_dtype(y_pred) else x.astype(np.float32)

    def labels(self, y_true: Any, like: Array, name: str = "y_true") -> Array:
        return self.given(name, y_true)

    def parameter(self, name: str, value: Any, like: Array) -> float | Array:
        if isinstance(value, float):
            return value
        return self.given(name, value).astype(np.promote_types(like.dtype, np.float32))

    def at_least_float32(self, x: Array) -> Array:
        return x.astype(np.promote_types(x.dtype, np.float32))

    def cast(self, x: Array, like: Array) -> Array:
        if x.dtype == like.dtype:
            return x
        every = tuple(range(x.ndim))
        return blocks(_cast, every, (x, every), like=x, dtype=like.dtype, to=like.dtype)

    round_losses = cast

    def kind(self, x: Array) -> Literal["bool", "integer", "floating"]:
        return "bool" if x.dtype.kind == "b" else "integer" if x.dtype.kind in "iu" else "floating"

    def shape(self, x: Array) -> tuple[int | None, ...]:
        return tuple(None if math.isnan(n) else n for n in x.shape)

    def warn(self, message: str, category: type[Warning] = UserWarning) -> None:
        warn(message, category)

    def readable(self, x: Array) -> bool:
        return False

    # Shapes

    def to_integer(self, x: Array) -> Array:
        return x.astype(np.int64)

    def length(self, x: Array, axis: int) -> Any:
        n = self.shape(x)[axis]
        return da.sum(da.ones_like(x), axis) if n is None else n

    def classes(self, like: Array, axis: int) -> Array:
        self.check_classes(like, axis)
        return np.arange(like.shape[axis]).reshape((-1,) + (1,) * (like.ndim - axis - 1))

    def check_classes(self, x: Array, axis: int) -> None:
        if self.shape(x)[axis] is None:
            raise ValueError(
                f"the predictions must have a known number of classes on axis {axis}; call their `compute_chunk_sizes`"
            )

    def take(self, x: Array, index: Array) -> Array:
        place = tuple(range(index.ndim))
        return blocks(_take, place, (index, place), (x, (OTHER,)), like=x)

    def expand(self, x: Array, axis: int) -> Array:
        return x[(slice(None),) * axis + (None,)]  # `da.expand_dims` needs known lengths

    def squeeze(self, x: Array, axis: int) -> Array:
        return da.squeeze(x, axis)

    def reshape(self, x: Array, shape: tuple[int, ...]) -> Array:
        return da.reshape(x, shape)

    def broadcast(self, *given: Array) -> Sequence[Array]:
        rank = max(x.ndim for x in given)
        every, aligned = tuple(range(rank)), [(x, from_the_right(x, rank)) for x in given]
        return [blocks(_broadcast, every, *aligned, like=x, number=number) for number, x in enumerate(given)]

    def mean(self, x: Array, axis: int) -> Array:
        return da.mean(x, axis)

    def total(self, x: Array) -> Array:
        return da.sum(x)

    # The closed forms

    def elementwise(self, family: str, *arguments: Any) -> Array:
        rank = max(a.ndim for a in arguments if hasattr(a, "ndim"))
        aligned = [(a, from_the_right(a, rank)) for a in arguments]
        return blocks(_elementwise, tuple(range(rank)), *aligned, like=arguments[0], family=family)

    def margin(self, v: Array, true_class_mask: Array | None, axis: int) -> Array:
        of_numpy = isinstance(v._meta, np.ndarray)  # whose margins are float64
        return self.by_row(_margin, v, true_class_mask, axis, dtype=np.float64 if of_numpy else v.dtype)

    def probabilities(self, x: Array, true_class_mask: Array | None, axis: int) -> tuple[Array, Array]:
        p, q = (self.by_row(_probability, x, true_class_mask, axis, part=part) for part in (0, 1))
        return p, q

    def by_row(self, function: Any, v: Array, true_class_mask: Array | None, axis: int, **fixed: Any) -> Array:
        """A function of blocks with all classes, for each class or for the true one."""
        every = tuple(range(v.ndim))
        v = self.whole(v, axis)
        if true_class_mask is None:
            return blocks(function, every, (v, every), (None, None), like=v, axis=axis, **fixed)
        result = (*every[:axis], OTHER, *every[axis + 1 :])
        given = (v, every), (self.whole(true_class_mask, axis), every)
        return blocks(function, result, *given, like=v, axis=axis, new_axes={OTHER: 1}, **fixed)

    def whole(self, x: Array, axis: int) -> Array:
        """The array with all classes in one chunk."""
        self.check_classes(x, axis)
        return x.rechunk({axis: -1})


FORMULA: Any = Dask()  # closed forms see blocks, so it needs no primitives of theirs
