"""The matrix of JAX's shardings, in a process of its own, whose environment asks for four devices on the host.

``python tests/jax_sharding.py``, in the environment `processes.FOUR_DEVICES`, prints a JSON object: for each case the
largest error of the value and the gradients as a share of the bound, or the exception. `test_jax_sharding.py` runs it
and holds each case to 1. With the names of a split and a mode it prints only their matrix. Without them it tries eager
mode, where each operation is a compilation, on the split of both axes only.
"""

from __future__ import annotations

import json
import math
import re
import sys
import traceback
from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from cases import FRAMEWORK, OWN_FORM
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import focal_loss.jax as ours

ROWS, CLASSES, FEATURES = 8, 4, 6
RNG = np.random.default_rng(0)
Z = jnp.asarray(RNG.normal(0, 2, (ROWS, CLASSES)), jnp.float32)
SOFT = jnp.asarray(RNG.dirichlet([1] * CLASSES, ROWS), jnp.float32)
LABELS = jnp.asarray(RNG.integers(0, CLASSES, ROWS), jnp.int32)
PER_CLASS = jnp.asarray(RNG.random(CLASSES) + 0.5, jnp.float32)
HIDDEN = jnp.asarray(RNG.normal(size=(ROWS, FEATURES)), jnp.float32)
WEIGHT = jnp.asarray(RNG.normal(size=(CLASSES, FEATURES)), jnp.float32)
EPS = float(jnp.finfo(jnp.float32).eps)

SPLITS = {"batch": ("data", None), "class": (None, "model"), "both": ("data", "model"), "neither": (None, None)}
MODES = ("eager", "jit", "explicit", "shard_map")
TWICE = ("binary_focal_loss", "categorical_focal_loss", "sparse_categorical_focal_loss")

Arrays = tuple[jax.Array, ...]
Specs = tuple[P, ...]


def dense(rows: str | None, classes: str | None) -> Specs:
    """Logits, a label for each of them, a parameter per class."""
    return P(rows, classes), P(rows, classes), P(classes)


def sparse(rows: str | None, classes: str | None) -> Specs:
    return P(rows, classes), P(rows), P(classes)


def linear(rows: str | None, classes: str | None) -> Specs:
    """Hidden, weight, class indices."""
    return P(rows, None), P(classes, None), P(rows)


def of_examples(rows: str | None, classes: str | None) -> Specs:
    """Class indices, and a parameter for each example."""
    return P(rows, classes), P(rows), P(rows, None)


def features(rows: str | None, classes: str | None) -> Specs:
    """The linear layer, split by its features where others are split by their classes."""
    return P(rows, classes), P(None, classes), P(rows)


# name: a loss, its arrays, the number of arrays to differentiate in, their shardings
LOSSES: dict[str, tuple[Callable[..., jax.Array], Arrays, int, Callable[..., Specs]]] = {
    "binary_focal_loss": (
        lambda z, y, w: ours.binary_focal_loss(y, z, 1.5, pos_weight=w, from_logits=True),
        (Z, SOFT, PER_CLASS),
        1,
        dense,
    ),
    "binary_focal_crossentropy": (
        lambda z, y, a: ours.binary_focal_crossentropy(y, z, True, a / 2, from_logits=True),
        (Z, SOFT, PER_CLASS),
        1,
        dense,
    ),
    "sigmoid_focal_loss": (lambda z, y, g: ours.sigmoid_focal_loss(z, y, gamma=g), (Z, SOFT, PER_CLASS), 1, dense),
    "categorical_focal_loss": (
        lambda z, y, w: ours.categorical_focal_loss(y, z, 2, class_weight=w, from_logits=True),
        (Z, SOFT, PER_CLASS),
        1,
        dense,
    ),
    "categorical_focal_crossentropy": (
        lambda z, y, g: ours.categorical_focal_crossentropy(y, z, gamma=g, from_logits=True, label_smoothing=0.1),
        (Z, SOFT, PER_CLASS),
        1,
        dense,
    ),
    "sparse_categorical_focal_loss": (
        lambda z, y, g: ours.sparse_categorical_focal_loss(y, z, g, from_logits=True),
        (Z, LABELS, PER_CLASS),
        1,
        sparse,
    ),
    "sparse_categorical_focal_crossentropy": (
        lambda z, y, w: ours.sparse_categorical_focal_crossentropy(
            y, z, w, 2, True, ignore_class=1, label_smoothing=0.1
        ),
        (Z, LABELS, PER_CLASS),
        1,
        sparse,
    ),
    "sparse_categorical_focal_loss of examples": (
        lambda z, y, g: ours.sparse_categorical_focal_loss(y, z, g, from_logits=True),
        (Z, LABELS, Z[:, :1] ** 2),
        1,
        of_examples,
    ),
    "linear_sparse_categorical_focal_loss": (
        lambda h, w, y: ours.linear_sparse_categorical_focal_loss(h, w, y, 2, reduction="none"),
        (HIDDEN, WEIGHT, LABELS),
        2,
        linear,
    ),
    "linear_sparse_categorical_focal_loss by features": (
        lambda h, w, y: ours.linear_sparse_categorical_focal_loss(
            h, w, y, PER_CLASS, label_smoothing=0.1, reduction="sum"
        ),
        (HIDDEN, WEIGHT, LABELS),
        2,
        features,
    ),
    "binary_focal_loss of probabilities": (
        lambda x, y, w: ours.binary_focal_loss(y, x, 2, pos_weight=w),
        (jax.nn.softmax(Z), SOFT, PER_CLASS),
        1,
        dense,
    ),
    "categorical_focal_loss of probabilities": (
        lambda x, y, w: ours.categorical_focal_loss(y, x, 2, class_weight=w),
        (jax.nn.softmax(Z), SOFT, PER_CLASS),
        1,
        dense,
    ),
    "sparse_categorical_focal_loss of probabilities": (
        lambda x, y, w: ours.sparse_categorical_focal_loss(y, x, 2, class_weight=w),
        (jax.nn.softmax(Z), LABELS, PER_CLASS),
        1,
        sparse,
    ),
    **{
        loss.name: (
            lambda z, y, w, loss=loss: w * loss(FRAMEWORK["jax"], y, z),  # by the kernels, for options are numbers
            (Z, SOFT, PER_CLASS),
            1,
            dense,
        )
        for loss in OWN_FORM
    },
}
OWN = [loss.name for loss in OWN_FORM]


def value_and_gradients(name: str) -> Callable[..., tuple[jax.Array, Arrays]]:
    """The losses, and the gradients of their weighted sum."""
    function, _, count, _ = LOSSES[name]

    def total(*arrays: jax.Array) -> tuple[jax.Array, jax.Array]:
        value = function(*arrays)
        return value.sum(), value

    def run(*arrays: jax.Array) -> tuple[jax.Array, Arrays]:
        (_, value), slopes = jax.value_and_grad(total, tuple(range(count)), has_aux=True)(*arrays)
        return value, slopes

    return run


@cache
def of_one_device(name: str) -> list[np.ndarray]:
    value, slopes = jax.jit(value_and_gradients(name))(*LOSSES[name][1])
    return [np.asarray(a) for a in (value, *slopes)]


def of_many(name: str, split: str, mode: str) -> list[np.ndarray]:
    kind = AxisType.Explicit if mode == "explicit" else AxisType.Auto
    mesh = jax.make_mesh((2, 2), ("data", "model"), axis_types=(kind, kind))
    _, arrays, count, split_by = LOSSES[name]
    specs = split_by(*SPLITS[split])
    run = value_and_gradients(name)
    if mode == "shard_map":
        return in_shard_map(name, mesh, specs)
    placed = [jax.device_put(a, NamedSharding(mesh, s)) for a, s in zip(arrays, specs, strict=True)]
    with jax.set_mesh(mesh):
        value, slopes = (run if mode == "eager" else jax.jit(run))(*placed)
    if mode == "explicit":
        for slope, spec in zip(slopes, specs[:count], strict=True):
            assert slope.sharding.is_equivalent_to(NamedSharding(mesh, spec), slope.ndim), slope.sharding
    return [np.asarray(a) for a in (value, *slopes)]


def in_shard_map(name: str, mesh: Mesh, specs: Specs) -> list[np.ndarray]:
    """The loss under `shard_map` over whole examples, differentiated from outside.

    A function inside sees only its slice, so classes that are split outside are gathered first.
    """
    function, arrays, count, split_by = LOSSES[name]
    rows = specs[0][0]
    inside = split_by(rows, None)
    reduced = jax.eval_shape(function, *arrays).ndim == 0
    placed = [jax.device_put(a, NamedSharding(mesh, s)) for a, s in zip(arrays, specs, strict=True)]

    def part(*arrays: jax.Array) -> jax.Array:
        value = function(*arrays)
        return jax.lax.psum(value, rows) if reduced and rows else value

    parts = jax.shard_map(part, mesh=mesh, in_specs=inside, out_specs=P() if reduced else P(rows))

    def total(*arrays: jax.Array) -> tuple[jax.Array, jax.Array]:
        value = parts(*arrays)
        return value.sum(), value

    (_, value), slopes = jax.jit(jax.value_and_grad(total, tuple(range(count)), has_aux=True))(*placed)
    return [np.asarray(a) for a in (value, *slopes)]


def in_part(name: str, kind: AxisType) -> list[np.ndarray]:
    """The loss under a `shard_map` over the rows only, differentiated from outside; the classes are sharded outside
    it.
    """
    function, arrays, count, split_by = LOSSES[name]
    mesh = jax.make_mesh((2, 2), ("data", "model"), axis_types=(AxisType.Auto, kind))
    reduced = jax.eval_shape(function, *arrays).ndim == 0
    placed = [jax.device_put(a, NamedSharding(mesh, s)) for a, s in zip(arrays, split_by("data", "model"), strict=True)]

    def part(*arrays: jax.Array) -> jax.Array:
        value = function(*arrays)
        return jax.lax.psum(value, "data") if reduced else value

    out = P() if reduced else P("data")
    parts = jax.shard_map(part, mesh=mesh, in_specs=split_by("data", None), out_specs=out, axis_names={"data"})

    def total(*arrays: jax.Array) -> tuple[jax.Array, jax.Array]:
        value = parts(*arrays)
        return value.sum(), value

    with jax.set_mesh(mesh):
        (_, value), slopes = jax.jit(jax.value_and_grad(total, tuple(range(count)), has_aux=True))(*placed)
    return [np.asarray(a) for a in (value, *slopes)]


def second(name: str, kind: AxisType | None) -> list[np.ndarray]:
    """The derivative of the gradient in one direction, in forward and reverse mode; on one device if `kind` is None."""
    function, arrays, _, split_by = LOSSES[name]
    way = jnp.cos(jnp.arange(arrays[0].size, dtype=jnp.float32)).reshape(arrays[0].shape)

    def run(first: jax.Array, *rest: jax.Array) -> Arrays:
        slope = jax.grad(lambda x: jnp.sum(function(x, *rest)))
        return jax.jvp(slope, (first,), (way,))[1], jax.grad(lambda x: (slope(x) * way).sum())(first)

    if kind is None:
        return [np.asarray(a) for a in jax.jit(run)(*arrays)]
    mesh = jax.make_mesh((2, 2), ("data", "model"), axis_types=(kind, kind))
    placed = [jax.device_put(a, NamedSharding(mesh, s)) for a, s in zip(arrays, split_by("data", "model"), strict=True)]
    with jax.set_mesh(mesh):
        return [np.asarray(a) for a in jax.jit(run)(*placed)]


def error_ratio(found: list[np.ndarray], expected: list[np.ndarray]) -> float:
    """The largest difference over twice the bound of a softmax, since both sides are rounded."""
    spread = float(jnp.max(jnp.ptp(Z, 1)))
    bound = 2 * (8 + CLASSES + 2 * 3 * spread) * EPS
    worst = 0.0
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        ratio = np.abs(a - b) / (bound * np.maximum(np.abs(b), np.abs(b).max() / 100))
        worst = max(worst, float("inf") if np.isnan(ratio).any() else float(ratio.max()))
    return worst


def known(mode: str, kind: AxisType) -> list[float]:
    """Four classes on four devices, and eight."""
    mesh = jax.make_mesh((4,), ("model",), axis_types=(kind,))
    logits, zeros = (
        jax.device_put(jnp.asarray(a, jnp.float32), NamedSharding(mesh, P(None, "model")))
        for a in ([[1, 0, -1, 2]], np.zeros((2, 8)))
    )

    def run(logits: jax.Array, zeros: jax.Array) -> Arrays:
        first, last = (
            ours.sparse_categorical_focal_loss(jnp.asarray([label]), logits, 2, from_logits=True) for label in (0, 3)
        )
        return first, last, ours.categorical_focal_loss(jnp.eye(8)[:2], zeros, 0, from_logits=True)

    values = (run if mode == "eager" else jax.jit(run))(logits, zeros)
    return np.concatenate([np.asarray(v) for v in values]).astype(float).tolist()


def linear_program(rows: int, reduction: Any, kind: AxisType) -> dict[str, Any]:
    """The number of all-gathers in the program, and whether the gradient of the rows is sharded as they are."""
    mesh = jax.make_mesh((4,), ("data",), axis_types=(kind,))
    split, whole = NamedSharding(mesh, P("data")), NamedSharding(mesh, P())
    hidden = jax.device_put(jnp.zeros((rows, 16)), split)
    weight = jax.device_put(jnp.zeros((2000, 16)), whole)
    y = jax.device_put(jnp.zeros(rows, jnp.int32), split)

    def loss(hidden: jax.Array, weight: jax.Array, y: jax.Array) -> jax.Array:
        return ours.linear_sparse_categorical_focal_loss(hidden, weight, y, 2, reduction=reduction).sum()

    with jax.set_mesh(mesh):
        program = jax.jit(jax.grad(loss, (0, 1))).lower(hidden, weight, y).compile()
    slope = program.output_shardings[0]
    return {"gathers": program.as_text().count("all-gather"), "rows": slope.is_equivalent_to(split, 2)}


SHARED = {"axis_name": "model"}
# name: the loss of the same name above, of the classes of one device
OF_SHARDS: dict[str, Callable[..., jax.Array]] = {
    "sparse_categorical_focal_loss": lambda z, y, g: ours.sparse_categorical_focal_loss(
        y, z, g, from_logits=True, **SHARED
    ),
    "categorical_focal_loss": lambda z, y, w: ours.categorical_focal_loss(
        y, z, 2, class_weight=w, from_logits=True, **SHARED
    ),
    "sparse_categorical_focal_crossentropy": lambda z, y, w: ours.sparse_categorical_focal_crossentropy(
        y, z, w, 2, True, ignore_class=1, label_smoothing=0.1, **SHARED
    ),
    "categorical_focal_crossentropy": lambda z, y, g: ours.categorical_focal_crossentropy(
        y, z, gamma=g, from_logits=True, label_smoothing=0.1, **SHARED
    ),
    "sparse_categorical_focal_loss of examples": lambda z, y, g: ours.sparse_categorical_focal_loss(
        y, z, g, from_logits=True, **SHARED
    ),
    "categorical_focal_loss of probabilities": lambda x, y, w: ours.categorical_focal_loss(
        y, x, 2, class_weight=w, **SHARED
    ),
    "sparse_categorical_focal_loss of probabilities": lambda x, y, w: ours.sparse_categorical_focal_loss(
        y, x, 2, class_weight=w, **SHARED
    ),
}


@cache
def slopes_of_one_device(name: str) -> list[np.ndarray]:
    function, arrays, _, _ = LOSSES[name]
    return [np.asarray(a) for a in jax.tree.leaves(jax.jit(in_parameters(function))(*arrays))]


def in_parameters(function: Callable[..., jax.Array]) -> Callable[..., tuple[jax.Array, Arrays]]:
    """The losses, and the gradients in logits and parameters."""

    def total(*arrays: jax.Array) -> tuple[jax.Array, jax.Array]:
        value = function(*arrays)
        return value.sum(), value

    def run(*arrays: jax.Array) -> tuple[jax.Array, Arrays]:
        (_, value), slopes = jax.value_and_grad(total, (0, 2), has_aux=True)(*arrays)
        return value, slopes

    return run


def by_axis_name(name: str, mode: str) -> float:
    """The loss inside `shard_map` with its classes split: differentiated outside or inside, on both axes or on that of
    the classes only; in the logits and in the parameters.
    """
    _, arrays, _, split_by = LOSSES[name]
    function = OF_SHARDS[name]
    rows = None if mode == "partly" else "data"
    mesh = jax.make_mesh((2, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    specs = split_by(rows, "model")
    manual = {"axis_names": {"model"}} if mode == "partly" else {}

    if mode == "inside":
        run = jax.shard_map(
            in_parameters(function), mesh=mesh, in_specs=specs, out_specs=(P(rows), (specs[0], specs[2])), **manual
        )
    else:
        run = in_parameters(jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=P(rows), **manual))
    found = [np.asarray(a) for a in jax.tree.leaves(jax.jit(run)(*arrays))]
    return error_ratio(found, slopes_of_one_device(name))


def mapped() -> dict[str, Any]:
    """The loss by `pmap`, with a class a device; what is refused; and the collectives of value and gradient."""
    function = OF_SHARDS["sparse_categorical_focal_loss"]
    parts, gammas = jnp.moveaxis(Z.reshape(ROWS, CLASSES, 1), 1, 0), PER_CLASS.reshape(CLASSES, 1)
    values = jax.pmap(function, axis_name="model", in_axes=(0, None, 0))(parts, LABELS, gammas)
    whole = LOSSES["sparse_categorical_focal_loss"][0](Z, LABELS, PER_CLASS)
    mesh = jax.make_mesh((4,), ("model",), axis_types=(AxisType.Auto,))
    split = {"mesh": mesh, "in_specs": (P(None, "model"), P(), P("model"))}
    inside = jax.shard_map(function, out_specs=P(), **split)

    def total(*arrays: jax.Array) -> jax.Array:
        return function(*arrays).sum()

    program = jax.shard_map(jax.value_and_grad(total), out_specs=(P(), P(None, "model")), **split)
    refused = {}
    for case, call in {
        "outside": lambda: function(Z, LABELS, PER_CLASS),
        "type": lambda: ours.categorical_focal_loss(SOFT, Z, 2, axis_name=3),
        "second": lambda: jax.hessian(lambda z: inside(z, LABELS, PER_CLASS).sum())(Z),
    }.items():
        try:
            call()
        except Exception as error:
            refused[case] = f"{type(error).__name__}: {error}"
    return {
        "values": error_ratio([np.asarray(v) for v in values], [np.asarray(whole)] * CLASSES),
        "refused": refused,
        "collectives": collectives_of(jax.jit(program).lower(Z, LABELS, PER_CLASS).compile()),
    }


# name: a loss of logits or of a layer, the number of arrays to differentiate in, their shardings
PROGRAMS: dict[str, tuple[Callable[..., jax.Array], int, Callable[..., Specs]]] = {
    "sparse": (lambda z, y, w: ours.sparse_categorical_focal_loss(y, z, 2, from_logits=True), 1, sparse),
    "sparse of classes": (
        lambda z, y, w: ours.sparse_categorical_focal_loss(y, z, w, class_weight=w, from_logits=True),
        1,
        sparse,
    ),
    "sparse, smoothed": (
        lambda z, y, w: ours.sparse_categorical_focal_loss(y, z, 2, from_logits=True, label_smoothing=0.1),
        1,
        sparse,
    ),
    "dense": (lambda z, y, w: ours.categorical_focal_loss(y, z, w, from_logits=True), 1, dense),
    "linear": (lambda h, w, y: ours.linear_sparse_categorical_focal_loss(h, w, y, 2), 2, linear),
    "linear, rows": (
        lambda h, w, y: ours.linear_sparse_categorical_focal_loss(h, w, y, 2, reduction="none"),
        2,
        linear,
    ),
}


def collectives(name: str, split: str, kind: AxisType, slopes: bool) -> list[tuple[str, int]]:
    """The collectives of a compiled program, each with the bytes of its result on one device, in the order of their
    sizes.

    16 examples of 64 classes: on a mesh of 2 x 2 logits of one device take 1, 2 or 4 KiB. The layer has 8 features.
    """
    function, count, split_by = PROGRAMS[name]
    rows, classes = 16, 64
    arrays = {
        sparse: (jnp.zeros((rows, classes)), jnp.zeros(rows, jnp.int32), jnp.ones(classes)),
        dense: (jnp.zeros((rows, classes)), jnp.zeros((rows, classes)), jnp.ones(classes)),
        linear: (jnp.zeros((rows, 8)), jnp.zeros((classes, 8)), jnp.zeros(rows, jnp.int32)),
    }[split_by]
    mesh = jax.make_mesh((2, 2), ("data", "model"), axis_types=(kind, kind))
    specs = split_by(*SPLITS[split])
    placed = [jax.device_put(a, NamedSharding(mesh, s)) for a, s in zip(arrays, specs, strict=True)]

    def total(*arrays: jax.Array) -> tuple[jax.Array, jax.Array]:
        value = function(*arrays)
        return value.sum(), value

    run = jax.value_and_grad(total, tuple(range(count)), has_aux=True) if slopes else function
    with jax.set_mesh(mesh):
        program = jax.jit(run).lower(*placed).compile()
    if slopes:
        for slope, spec in zip(program.output_shardings[1], specs, strict=False):
            assert slope.is_equivalent_to(NamedSharding(mesh, spec), len(spec)), slope
    return collectives_of(program)


def collectives_of(program: Any) -> list[tuple[str, int]]:
    found = []
    for line in program.as_text().splitlines():
        called = re.search(
            r"= (.*?) (all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter)(-start)?\(", line
        )
        if called:
            shapes = re.findall(r"(?:f32|s32)\[([\d,]*)\]", called[1])
            found.append((called[2], sum(4 * math.prod(int(n) for n in s.split(",") if n) for s in shapes)))
    return sorted(found, key=lambda one: (one[1], one[0]))


def attempt(case: Callable[[], Any]) -> Any:
    try:
        return case()
    except Exception:
        return traceback.format_exc(limit=-4)


def main() -> None:
    kinds = {"automatic": AxisType.Auto, "explicit": AxisType.Explicit}
    wanted = sys.argv[1:]
    matrix = {
        f"{name}, {split}, {mode}": attempt(
            lambda n=name, s=split, m=mode: error_ratio(of_many(n, s, m), of_one_device(n))
        )
        for name in LOSSES
        for split in SPLITS
        for mode in MODES
        if ([split, mode] == wanted if wanted else mode != "eager" or split == "both")
        and (name not in OWN or split == "both")
    }
    if wanted:
        print(json.dumps({"matrix": matrix}))
        return
    parts = {
        f"{name}, {kind}": attempt(lambda n=name, k=kind: error_ratio(in_part(n, kinds[k]), of_one_device(n)))
        for name in LOSSES
        for kind in kinds
    }
    curvatures = {
        f"{name}, {kind}": attempt(lambda n=name, k=kind: error_ratio(second(n, kinds[k]), second(n, None)))
        for name in TWICE
        for kind in kinds
    }
    values = {f"{mode}, {name}": known(mode, kind) for mode in ("eager", "jit") for name, kind in kinds.items()}
    programs = {
        f"{rows}, {reduction}, {name}": linear_program(rows, reduction, kind)
        for rows in (4096, 4036)
        for reduction in ("mean", "none")
        for name, kind in kinds.items()
    }
    moved = {
        f"{name}, {split}, {'slopes' if slopes else 'value'}, {kind}": attempt(
            lambda n=name, s=split, k=kind, d=slopes: collectives(n, s, kinds[k], d)
        )
        for name in PROGRAMS
        for split, slopes, kind in (("class", False, "automatic"), ("both", True, "explicit"))
    }
    found = {
        "matrix": matrix,
        "parts": parts,
        "second": curvatures,
        "known": values,
        "linear": programs,
        "collectives": moved,
        "named": {
            f"{name}, {mode}": attempt(lambda n=name, m=mode: by_axis_name(n, m))
            for k, name in enumerate(OF_SHARDS)
            for mode in ("outside", "inside", "partly")[: 3 if k < 2 else 1]
        },
        "mapped": mapped(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
