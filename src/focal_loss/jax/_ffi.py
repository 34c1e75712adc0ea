"""The native kernels as functions of JAX arrays, on the host: under `jit`, under `vmap`, over devices. No derivatives.

All arrays have one rank, with axes of length 1 where they broadcast. `vmap` adds a leading axis, of length 1 to arrays
that it does not map over, so nothing is copied. Each of several devices computes its part of the examples; only the
classes of an example are gathered.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.custom_batching import custom_vmap
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import NamedSharding, PartitionSpec

from focal_loss._host import kernels
from focal_loss.jax._backend import at_least_float32
from focal_loss.jax._mesh import Split, merged


class Call(NamedTuple):
    """The parameters of a kernel's call other than its arrays."""

    target: str
    attributes: tuple[tuple[str, int | float], ...]
    order: int  # the highest derivative wanted
    axis: int | None = None  # axis of the classes, counted from the last; values lack it
    single: tuple[int, ...] = ()  # positions of the arrays that must hold one number


@cache
def kernel(call: Call) -> Callable[..., tuple[Array, ...]]:
    """A function of arrays that gives the value and derivatives. Derivatives are at least float32, because they are
    multiplied later.
    """
    register()
    partitioned = custom_partitioning(partial(foreign, call))
    partitioned.def_partition(partial(partition, call), sharding_rule=partial(sharding_rule, call))

    @custom_vmap
    def run(*arrays: Array) -> tuple[Array, ...]:
        return partitioned(*arrays)

    @run.def_vmap
    def run_batch(size: int, batched: list[bool], *arrays: Array) -> tuple[tuple[Array, ...], tuple[bool, ...]]:
        if any(batched[k] for k in call.single):
            return one_by_one(run, batched, arrays), (True,) * (call.order + 1)
        aligned = (a if b else jnp.expand_dims(a, 0) for a, b in zip(arrays, batched, strict=True))
        return run(*aligned), (True,) * (call.order + 1)

    return run


def one_by_one(run: Callable[..., Any], batched: list[bool], arrays: tuple[Array, ...]) -> Any:
    """A call for each place of the mapped axis."""

    def one(rows: list[Array]) -> Any:
        left = iter(rows)
        return run(*(next(left) if b else a for a, b in zip(arrays, batched, strict=True)))

    return jax.lax.map(one, [a for a, b in zip(arrays, batched, strict=True) if b])


@cache
def register() -> None:
    for name, handler in kernels.NATIVE.xla_handlers().items():
        jax.ffi.register_ffi_target(name, handler, platform="cpu")


def foreign(call: Call, *arrays: Array) -> tuple[Array, ...]:
    """The foreign call on one device."""
    results = jax.eval_shape(partial(outline, call), *arrays)
    attributes = {name: np.float64(v) if isinstance(v, float) else np.int64(v) for name, v in call.attributes}
    return jax.ffi.ffi_call(call.target, results, vmap_method="expand_dims")(*arrays, **attributes)


def outline(call: Call, *arrays: Array) -> tuple[Array, ...]:
    """A function that is never run: JAX infers from it shapes, dtypes and other properties of the results, as inside
    `shard_map`.
    """
    x = arrays[0]
    slope = sum((a.astype(x.dtype) for a in arrays[1:]), start=x)
    value = slope if call.axis is None else slope.sum(call.axis)
    return value, *[slope.astype(at_least_float32(x.dtype))] * call.order


# ---------------------------------------------------------------------------------------------------------------
# Several devices
# ---------------------------------------------------------------------------------------------------------------


def partition(call: Call, mesh: Any, arguments: Any, results: Any) -> tuple[Any, ...]:
    """The call for the partitioner: every device makes it for its own examples, with all classes of each.

    The partitioner need not follow `sharding_rule`: it may pass split classes, and arrays that are split differently.
    So this function returns the shardings, and the partitioner moves data that are elsewhere.
    """
    full = jnp.broadcast_shapes(*(argument.shape for argument in arguments))
    names = split_examples(call, full, (*arguments, *results[1:]))

    def sharding(shape: tuple[int, ...], names: Split) -> NamedSharding:
        return NamedSharding(
            mesh, PartitionSpec(*(None if n == 1 else name for n, name in zip(shape, names, strict=True)))
        )

    of_value = [name for d, name in enumerate(names) if call.axis is None or d != len(full) + call.axis]
    value, *slopes = results
    return (
        mesh,
        partial(foreign, call),
        (sharding(value.shape, of_value), *(sharding(slope.shape, names) for slope in slopes)),
        tuple(sharding(argument.shape, names) for argument in arguments),
    )


def split_examples(call: Call, full: tuple[int, ...], arrays: tuple[Any, ...]) -> Split:
    """For each axis of the arrays the axes of the mesh that split it; None for the classes."""
    splits = []
    for array in arrays:
        names = list(array.sharding.spec)
        splits.append([name if n == m else None for name, n, m in zip(names, array.shape, full, strict=True)])
        if call.axis is not None:
            splits[-1][call.axis] = None
    return merged(splits)


def sharding_rule(call: Call, mesh: Any, arguments: list[Any], results: list[Any]) -> tuple[str, dict[str, Any]]:
    """The axes that arrays share, in Shardy's notation: all, except those of length 1 that broadcast."""
    shapes = [list(argument.shape) for argument in arguments]
    rank = len(shapes[0])
    axis = rank if call.axis is None else rank + call.axis
    names = [f"axis{d}" for d in range(rank)]
    full = jnp.broadcast_shapes(*shapes)
    rows = [
        " ".join(names[d] if n == full[d] else f"one{k}of{d}" for d, n in enumerate(shape))
        for k, shape in enumerate(shapes)
    ]
    value = " ".join(name for d, name in enumerate(names) if d != axis)
    outputs = [value] + [" ".join(names)] * (len(results) - 1)
    whole = {} if call.axis is None else {"need_replication_factors": (names[axis],)}
    return f"{', '.join(rows)} -> {', '.join(outputs)}", whole
