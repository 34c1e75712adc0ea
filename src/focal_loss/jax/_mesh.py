"""Meshes with explicit axes, where the type of an array holds its sharding.

On them JAX must know the sharding of each operation's result, and refuses an ambiguous one. A loss is one operation:
inside it the axes are automatic, and its result is split as the examples are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec

from focal_loss._core.declare import Loss, Options

Split = list[Any]  # for each axis of an array the axis of the mesh that splits it, a tuple of them, or None


def on_any_mesh(loss: Loss, xp: Any, y_true: Any, y_pred: Any, options: Options, **more: Any) -> Array:
    """``loss.compute(xp, y_true, y_pred, options, **more)``, on explicit meshes too."""
    chosen = options.values
    given = {"y_true": y_true, "y_pred": y_pred} | chosen

    def computed(**arrays: Array) -> Array:
        labels, prediction = (arrays.pop(name, given[name]) for name in ("y_true", "y_pred"))
        result: Array = loss.compute(xp, labels, prediction, replace(options, **arrays) if arrays else options, **more)
        return result

    return on_automatic_axes(computed, given, lambda: result_split(loss, y_true, y_pred, chosen, **more))


def on_automatic_axes(
    function: Callable[..., Array], given: dict[str, Any], split: Callable[[], Split], *, again: bool = True
) -> Array:
    """Call the function, with automatic axes, on the given arrays that are on an explicit mesh; `split` gives the
    sharding of the result.

    `again` allows to recompute it for a derivative from outside a `shard_map` over other axes, because JAX cannot pass
    residuals out of automatic axes.
    """
    arrays = {name: a for name, a in given.items() if explicit_mesh(a) is not None}
    if not arrays:
        return function()
    mesh = next(m for a in arrays.values() if (m := explicit_mesh(a)) is not None)
    sharding = NamedSharding(mesh, PartitionSpec(*split()))
    automatic = jax.sharding.auto_axes(lambda a: function(**a), axes=mesh.explicit_axes, out_sharding=sharding)
    if again and partly_manual():
        automatic = jax.checkpoint(automatic)
    result: Array = automatic(arrays)
    return result


def explicit_mesh(value: Any) -> AbstractMesh | None:
    if not isinstance(value, Array):
        return None
    mesh = jax.typeof(value).sharding.mesh
    return mesh if mesh.explicit_axes else None


def partly_manual() -> bool:
    """Whether the trace is inside a `shard_map` over some axes of its mesh: there JAX cannot divide a kernel's call."""
    mesh = jax.sharding.get_abstract_mesh()
    return bool(mesh.manual_axes) and not mesh.are_all_axes_manual


# ---------------------------------------------------------------------------------------------------------------
# Shardings of results
# ---------------------------------------------------------------------------------------------------------------


def result_split(loss: Loss, y_true: Any, y_pred: Any, chosen: dict[str, Any], average: bool = True) -> Split:
    """The sharding of the result: that of the predictions, or of the labels where the predictions are not split,
    without the summed axis.
    """
    if loss.layout == "sparse":
        split = without(split_of(y_pred), chosen["axis"], np.ndim(y_pred))
        return merged([split, split_of(y_true)[: len(split)]])
    if loss.layout == "dense":
        return without(merged(in_front(y_pred, y_true)), chosen["axis"], np.ndim(y_pred))
    split = merged(in_front(y_pred, y_true, *chosen.values()))
    return without(split, chosen["axis"], len(split)) if loss.layout == "average" and average else split


def split_of(value: Any) -> Split:
    spec = list(jax.typeof(value).sharding.spec) if explicit_mesh(value) is not None else []
    return spec + [None] * (np.ndim(value) - len(spec))


def in_front(*values: Any) -> list[Split]:
    """The splits of arrays that broadcast, with missing axes in front. JAX never splits an axis of length 1."""
    rank = max(map(np.ndim, values))
    return [[None] * (rank - np.ndim(value)) + split_of(value) for value in values]


def merged(splits: Sequence[Split]) -> Split:
    """For each axis the first split of it. An axis of the mesh can split only one axis."""
    found: Split = [None] * max(map(len, splits))
    taken: set[Any] = set()
    for split in splits:
        for d, names in enumerate(split):
            new = set(names) if isinstance(names, tuple) else {names}
            if names is not None and found[d] is None and not new & taken:
                found[d] = names
                taken |= new
    return found


def without(split: Split, axis: int, rank: int) -> Split:
    """The split without an axis, counted among the last `rank` ones. The loss itself refuses an axis out of range."""
    place = len(split) - rank + axis % rank if rank else None
    return [names for d, names in enumerate(split) if d != place]
