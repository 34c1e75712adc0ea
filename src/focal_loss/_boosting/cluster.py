"""Labels, weights and predictions of Dask collections, for the classifiers of all boosters. It imports Dask, so only
the classifiers for Dask import it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dask
import dask.array
import dask.dataframe
import numpy as np
import pandas as pd
from distributed import Client, futures_of, wait
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import column_or_1d

from focal_loss._boosting import classifier
from focal_loss._core import arrays, options

Array = Any
Collection = Any  # dask.array.Array, dask.dataframe.Series or DataFrame


def synchronous(client: Client) -> Client:
    """The client, if calls to it wait.

    Raises
    ------
    TypeError
        If it is asynchronous.
    """
    if client.asynchronous:
        raise TypeError("`client` must be synchronous, got one with asynchronous=True; make a `Client()` without it")
    return client


def table(name: str, value: Any) -> Any:
    """A matrix of Dask, split by rows only.

    Raises
    ------
    TypeError, ValueError
        If it is no array or dataframe of Dask, or one that is split by columns.
    """
    if not isinstance(value, dask.array.Array | dask.dataframe.DataFrame):
        kind = type(value).__name__
        raise TypeError(f"`{name}` must be an array or a dataframe of Dask, got {kind}; take `dask.array.from_array`")
    if isinstance(value, dask.array.Array) and value.numblocks[1:] != (1,):
        remedy = "take `rechunk({1: -1})`" if value.ndim == 2 else "take `reshape(-1, 1)`"
        raise ValueError(f"`{name}` must have two axes and be split by rows only, got {value.numblocks}; {remedy}")
    return value


def alike_coded(name: str, value: Any) -> Any:
    """A `table` whose partitions have the same categories.

    Raises
    ------
    TypeError, ValueError
        As for a table, and if they may differ: the boosters would count the same category of two workers as two.
    """
    found = table(name, value)
    for label, dtype in found.dtypes.items() if hasattr(found, "columns") else ():
        if dtype == "category" and not found[label].cat.known:
            raise ValueError(f"`{name}` has a column {label!r} whose categories are not known; take its `categorize()`")
    return found


def column(name: str, value: Any) -> Any:
    """A column of Dask.

    Raises
    ------
    TypeError
        If it is no array or series of Dask.
    """
    if not isinstance(value, dask.array.Array | dask.dataframe.Series | dask.dataframe.DataFrame):
        kind = type(value).__name__
        raise TypeError(f"`{name}` must be an array or a series of Dask, got {kind}; take `dask.array.from_array`")
    return value


def kept(client: Client, collection: Collection) -> Collection:
    """The collection, computed and in the memory of the cluster. An error of a part is raised here, because the
    libraries hide it.
    """
    found = client.persist(collection)
    parts = futures_of(found)
    wait(parts)
    for part in parts:
        if part.status != "finished":
            part.result()
    return found


def partitions(collection: Collection) -> list[Any]:
    """The parts of a collection, as delayed objects in the order of the rows."""
    found: list[Any] = np.ravel(collection.to_delayed()).tolist()
    return found


def alike(**collections: Collection) -> None:
    """Raise `ValueError` if collections, other than None, have different numbers of partitions."""
    counts = {name: len(partitions(found)) for name, found in collections.items() if found is not None}
    first, *others = counts
    for name in others:
        if counts[name] != counts[first]:
            raise ValueError(
                f"`{name}` must have as many partitions as `{first}`, {counts[first]}, got {counts[name]}; take "
                "`rechunk` or `repartition`"
            )


# ---------------------------------------------------------------------------------------------------------------
# Labels and weights
# ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Labels:
    """The classes in all partitions, sorted, with the sum of the weights of each, and the labels as class indices."""

    classes: Array
    totals: Array
    codes: Collection
    weight: Collection | None


def labels(client: Client, y: Any, sample_weight: Any = None) -> Labels:
    """Count the classes where the labels are. Labels and weights stay in the memory of the cluster from here on.

    Raises
    ------
    TypeError, ValueError
        If a label is wrong as described for `classifier.encode`, or if the partitions of `y` and `sample_weight`
        differ.
    """
    column("y", y)
    if sample_weight is not None:
        column("sample_weight", sample_weight)
        alike(y=y, sample_weight=sample_weight)
        sample_weight = kept(client, sample_weight)
    y = kept(client, y)
    parts = partitions(y)
    weights = [None] * len(parts) if sample_weight is None else partitions(sample_weight)
    counted = [dask.delayed(counts)(part, weight) for part, weight in zip(parts, weights, strict=True)]
    each = [found for found in client.gather(client.compute(counted)) if len(found[0])]
    if not each:
        raise ValueError("`y` must hold at least two classes, got no label")
    known, sums = (np.concatenate(values) for values in zip(*each, strict=True))
    classes, codes = np.unique(known, return_inverse=True)
    classifier.at_least_two(classes)
    return Labels(classes, np.bincount(codes, sums, len(classes)), kept(client, encoded(y, classes)), sample_weight)


def counts(y: Any, weight: Any) -> tuple[Array, Array]:
    """The classes of one part, and the sum of the weights of each."""
    if not len(y):
        return np.empty(0), np.empty(0)
    found, codes = np.unique(classifier.checked_labels(y), return_inverse=True)
    if weight is not None:
        arrays.refuse_missing("sample_weight", weight, nan=True)
        weight = np.asarray(weight).reshape(-1)
        if weight.shape == codes.shape and not weight.any():  # a part may be without weight, the whole may not
            return found, np.zeros(len(found))
    return found, np.bincount(codes, options.sample_weights(weight, len(codes)), len(found))


def encoded(y: Collection, classes: Array) -> Collection:
    """The index of each label's class, in partitions as those of the labels."""
    if isinstance(y, dask.array.Array):
        drop = [1] if y.ndim == 2 else None
        return y.map_blocks(codes_of, classes, dtype=np.int64, drop_axis=drop, meta=np.empty(0, np.int64))
    return y.map_partitions(codes_of, classes, meta=pd.Series([], dtype=np.int64))


def codes_of(y: Any, classes: Array) -> Any:
    """The index of each label's class, for one part.

    Raises
    ------
    ValueError
        If a label is missing, or not among the classes.
    """
    arrays.refuse_missing("y", y, nan=True)
    codes = np.asarray(LabelEncoder().fit(classes).transform(column_or_1d(np.asarray(y))), np.int64)
    return pd.Series(codes, index=y.index) if hasattr(y, "index") else codes


def evaluation_sets(client: Client, eval_set: Any, X: Any, y: Any, found: Labels) -> list[tuple[Any, Any]] | None:
    """The evaluation sets with class indices. The training set keeps its collections, so that it is recognized."""
    if eval_set is None:
        return None
    pairs = [eval_set] if isinstance(eval_set, tuple) else eval_set
    if not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in pairs):
        raise ValueError("`eval_set` must be a list of pairs (X, y)")
    sets = []
    for held, labels in pairs:
        if held is X and labels is y:
            sets.append((X, found.codes))
            continue
        alike(**{"eval_set, X": alike_coded("eval_set", held), "eval_set, y": column("eval_set", labels)})
        sets.append((held, kept(client, encoded(labels, found.classes))))
    return sets


# ---------------------------------------------------------------------------------------------------------------
# Predictions
# ---------------------------------------------------------------------------------------------------------------


def array(collection: Collection) -> Any:
    """A column or table as an array. The lengths of a dataframe's partitions are not known before it is computed."""
    return collection if isinstance(collection, dask.array.Array) else collection.to_dask_array()


def by_row(function: Any, values: Any, *arguments: Any, width: int | None, dtype: Any = np.float64) -> Any:
    """A function of every block of an array of scores, whose results have this many columns, or None for no axis of
    columns.
    """
    chunks = (values.chunks[0],) if width is None else (values.chunks[0], (width,))
    axes = {"drop_axis": [1]} if width is None and values.ndim == 2 else {}
    axes |= {"new_axis": [1]} if width is not None and values.ndim == 1 else {}
    meta = np.empty((0,) * len(chunks), dtype)
    return values.map_blocks(function, *arguments, chunks=chunks, dtype=dtype, meta=meta, **axes)


def most_probable(probabilities: Array, classes: Array) -> Array:
    return classes[probabilities.argmax(axis=1)]


def by_part(function: Any, X: Any, width: int | None) -> Any:
    """The result of a function of arrays or tables for every partition, as an array with this many columns, or None for
    no axis of columns.
    """
    shape = (0,) if width is None else (0, width)
    if isinstance(X, dask.array.Array):
        axes = {"drop_axis": [1]} if width is None else {}
        chunks = (X.chunks[0], *shape[1:])
        meta = np.empty(shape)
        return X.map_blocks(with_empty, function, shape, chunks=chunks, dtype=np.float64, meta=meta, **axes)
    framed: Any = pd.Series if width is None else pd.DataFrame
    meta = framed(np.empty(shape))
    return X.map_partitions(
        lambda part: framed(with_empty(part, function, shape), part.index), meta=meta
    ).to_dask_array()


def with_empty(part: Any, function: Any, shape: tuple[int, ...]) -> Array:
    return function(part) if part.shape[0] else np.empty(shape)
