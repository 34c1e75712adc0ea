"""The native kernels as functions of JAX arrays, on the host: under `jit`, under `vmap`, over devices. No derivatives.

All arrays have one rank, with axes of length 1 where they broadcast. `vmap` adds a leading axis, of length 1 to arrays
that it does not map over, so nothing is copied. Each of several devices computes its part of the examples and of the
classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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
from focal_loss.jax._shards import SoftmaxSetting, SoftmaxTensors, value_and_slope


class Call(NamedTuple):
    """The parameters of a kernel's call other than its arrays."""

    target: str
    attributes: tuple[tuple[str, int | float], ...]
    order: int  # the highest derivative wanted
    axis: int | None = None  # axis of the classes, counted from the last; values lack it
    single: tuple[int, ...] = ()  # positions of the arrays that must hold one number
    setting: SoftmaxSetting | None = None  # of a softmax


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
    """The call for the partitioner: every device makes it for its own examples, and for its own classes by the formula.

    The partitioner need not follow `sharding_rule`: it may pass arrays that are split differently. So this function
    returns the shardings, and the partitioner moves data that are elsewhere.
    """
    shapes = [argument.shape for argument in arguments]
    full = jnp.broadcast_shapes(*shapes)
    names = split_axes(mesh, full, (*arguments, *results[1:]))

    def sharding(shape: tuple[int, ...], names: Split) -> NamedSharding:
        return NamedSharding(
            mesh, PartitionSpec(*(None if n == 1 else name for n, name in zip(shape, names, strict=True)))
        )

    of_value = [name for d, name in enumerate(names) if call.axis is None or d != len(full) + call.axis]
    value, *slopes = results
    return (
        mesh,
        partial(on_device, call, names, of_classes(call, shapes)),
        (sharding(value.shape, of_value), *(sharding(slope.shape, names) for slope in slopes)),
        tuple(sharding(argument.shape, names) for argument in arguments),
    )


def on_device(call: Call, names: Split, per_class: tuple[bool, ...], *arrays: Array) -> tuple[Array, ...]:
    """The call on one device of several, whose arrays are split over these axes of the mesh."""
    classes = None if call.axis is None else names[call.axis]
    if call.setting is None or classes is None:
        return foreign(call, *arrays)
    setting = call.setting._replace(names=classes if isinstance(classes, tuple) else (classes,))
    return value_and_slope(setting, call.order, per_class, SoftmaxTensors(*arrays))


def of_classes(call: Call, shapes: Sequence[tuple[int, ...]]) -> tuple[bool, ...]:
    """Whether gamma and the weight of a softmax have an entry for each class."""
    return tuple(call.axis is not None and shape[call.axis] != 1 for shape in shapes[2:4])


def split_axes(mesh: Any, full: tuple[int, ...], arrays: tuple[Any, ...]) -> Split:
    """For each axis of the arrays the axes of the mesh that split it, into equal parts."""

    def parts(names: Any) -> int:
        return math.prod(mesh.shape[name] for name in (names if isinstance(names, tuple) else (names,)))

    splits = []
    for array in arrays:
        names = zip(array.sharding.spec, array.shape, full, strict=True)
        splits.append([None if name is None or n != m or n % parts(name) else name for name, n, m in names])
    return merged(splits)


def sharding_rule(call: Call, mesh: Any, arguments: list[Any], results: list[Any]) -> str:
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
    return f"{', '.join(rows)} -> {', '.join(outputs)}"
