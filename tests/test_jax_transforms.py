"""JAX: every transformation of every loss against plain formulas in float64, programs per number, strict ranks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import FRAMEWORK, OWN_FORM, Loss, enable_x64
from jax.nn import log_softmax, sigmoid, softplus

import focal_loss.jax as ours

RNG = np.random.default_rng(0)
V, SOFT, LABELS = RNG.normal(0, 1.5, (3, 4)), RNG.dirichlet([1, 1, 1, 1], 3), np.array([2, 0, 3], np.int32)
HIDDEN, PER_CLASS = RNG.normal(size=(3, 2)), RNG.random(4) + 0.5
HARD = SOFT > 0.3
SCORES = np.where(HARD, SOFT, 0)  # positive labels between 0 and 1, and negatives
POSITIVE = np.exp(V)  # as unnormalized probabilities
LOGITS = {"from_logits": True}

Function = Callable[..., jax.Array]


def expected_loss(y: Any, z: Any, gamma: Any, weight: Any = 1.0) -> jax.Array:
    return weight * y * sigmoid(-z) ** gamma * softplus(-z) + (1 - y) * sigmoid(z) ** gamma * softplus(z)


def mix(y: Any, z: Any, gamma: Any) -> jax.Array:
    return (y * sigmoid(-z) + (1 - y) * sigmoid(z)) ** gamma * (y * softplus(-z) + (1 - y) * softplus(z))


def of_classes(y: Any, v: Any, gamma: Any, weight: Any = 1.0) -> jax.Array:
    log_p = log_softmax(v)
    return (weight * y * (1 - jnp.exp(log_p)) ** gamma * -log_p).sum(-1)


def smooth(y: Any, a: float, count: int) -> Any:
    return (1 - a) * y + a / count


TRUE = np.eye(4)[LABELS]
WEIGHTS = SOFT * 0.25 + 0.75 * (1 - SOFT)
# name: ours, the plain formula, where
LOSSES: dict[str, tuple[Function, Function, np.ndarray]] = {
    "binary_focal_loss": (
        lambda z: ours.binary_focal_loss(SOFT, z, 1.5, pos_weight=3, label_smoothing=0.1, **LOGITS),
        lambda z: expected_loss(smooth(SOFT, 0.1, 2), z, 1.5, 3),
        V,
    ),
    "binary_focal_loss, hard": (
        lambda z: ours.binary_focal_loss(HARD, z, PER_CLASS, **LOGITS),
        lambda z: expected_loss(HARD, z, PER_CLASS),
        V,
    ),
    "binary_focal_loss, probabilities": (
        lambda x: ours.binary_focal_loss(SOFT, x / 20, 2),
        lambda x: expected_loss(SOFT, jnp.log(x / 20) - jnp.log1p(-x / 20), 2),
        POSITIVE,
    ),
    "binary_focal_crossentropy": (
        lambda z: ours.binary_focal_crossentropy(SOFT, z, True, **LOGITS),
        lambda z: (WEIGHTS * mix(SOFT, z, 2)).mean(-1),
        V,
    ),
    "sigmoid_focal_loss": (
        lambda z: ours.sigmoid_focal_loss(z, SOFT, gamma=0.7),
        lambda z: mix(SOFT, z, 0.7),
        V,
    ),
    "categorical_focal_loss": (
        lambda v: ours.categorical_focal_loss(SOFT, v, 2.3, class_weight=PER_CLASS, label_smoothing=0.1, **LOGITS),
        lambda v: of_classes(smooth(SOFT, 0.1, 4), v, 2.3, PER_CLASS),
        V,
    ),
    "categorical_focal_loss, probabilities": (
        lambda x: ours.categorical_focal_loss(SOFT, x / 20, PER_CLASS),
        lambda x: of_classes(SOFT, jnp.log(x), PER_CLASS),
        POSITIVE,
    ),
    "categorical_focal_crossentropy": (
        lambda v: ours.categorical_focal_crossentropy(SOFT, v, **LOGITS),
        lambda v: of_classes(SOFT, v, 2, 0.25),
        V,
    ),
    "sparse_categorical_focal_loss": (
        lambda v: ours.sparse_categorical_focal_loss(LABELS, v, PER_CLASS, **LOGITS),
        lambda v: of_classes(TRUE, v, PER_CLASS),
        V,
    ),
    "sparse_categorical_focal_loss, probabilities": (
        lambda x: ours.sparse_categorical_focal_loss(LABELS, x / 20, 2, ignore_class=0),
        lambda x: jnp.where(LABELS == 0, 0, of_classes(TRUE, jnp.log(x), 2)),
        POSITIVE,
    ),
    "sparse_categorical_focal_crossentropy": (
        lambda v: ours.sparse_categorical_focal_crossentropy(LABELS, v, PER_CLASS, ignore_class=0, **LOGITS),
        lambda v: jnp.where(LABELS == 0, 0, of_classes(TRUE, v, 2, PER_CLASS)),
        V,
    ),
    "linear_sparse_categorical_focal_loss": (
        lambda w: ours.linear_sparse_categorical_focal_loss(HIDDEN, w.T, LABELS, 2, bias=PER_CLASS),
        lambda w: of_classes(TRUE, HIDDEN @ w + PER_CLASS, 2).mean(),
        V[:2],
    ),
    "linear_sparse_categorical_focal_loss, none": (
        lambda h: ours.linear_sparse_categorical_focal_loss(h, V.T, LABELS, 1.3, reduction="none"),
        lambda h: of_classes(TRUE, h @ V, 1.3),
        V[:, :3],
    ),
}


def row_of(loss: Loss, from_logits: bool) -> tuple[Function, Function, np.ndarray]:
    """The row of a loss with a formula of its own: that formula, differentiated by JAX."""

    def function(x: jax.Array) -> jax.Array:
        return loss(FRAMEWORK["jax"], SCORES, x if from_logits else x / 20, from_logits=from_logits)

    def plain(x: jax.Array) -> jax.Array:
        p, q = (sigmoid(x), sigmoid(-x)) if from_logits else (x / 20, 1 - x / 20)
        return loss.plain(jnp, SCORES, p, q)

    return function, plain, V if from_logits else POSITIVE


OWN = {loss.name: row_of(loss, True) for loss in OWN_FORM}
OWN |= {f"{loss.name}, probabilities": row_of(loss, False) for loss in OWN_FORM}
LOSSES |= OWN
each = pytest.mark.parametrize("name", LOSSES)
modes = pytest.mark.parametrize("mode", ["eager", "jit"])


def total(function: Function) -> Function:
    """A sum of all results with different weights."""

    def run(x: jax.Array) -> jax.Array:
        value = function(x)
        return (value * jnp.arange(1.0, value.size + 1).reshape(value.shape)).sum()

    return run


# from a function to what the transformation makes of it at x, along t
TRANSFORMS: dict[str, Callable[[Function, jax.Array, jax.Array], Any]] = {
    "value": lambda f, x, t: f(x),
    "jvp": lambda f, x, t: jax.jvp(f, (x,), (t,)),
    "grad": lambda f, x, t: jax.grad(total(f))(x),
    "jacfwd": lambda f, x, t: jax.jacfwd(f)(x),
    "jacrev": lambda f, x, t: jax.jacrev(f)(x),
    "hessian": lambda f, x, t: jax.hessian(total(f))(x),
    "vmap of grad": lambda f, x, t: jax.vmap(jax.grad(total(f)))(jnp.stack([x, x + t])),
    "grad of grad": lambda f, x, t: jax.grad(lambda x: (jax.grad(total(f))(x) * t).sum())(x),
    "jvp of grad": lambda f, x, t: jax.jvp(jax.grad(total(f)), (x,), (t,)),
    "grad of jvp": lambda f, x, t: jax.grad(lambda x: jax.jvp(total(f), (x,), (t,))[1])(x),
    "jvp of jvp": lambda f, x, t: jax.jvp(lambda x: jax.jvp(total(f), (x,), (t,))[1], (x,), (t,)),
    "linearize": lambda f, x, t: jax.linearize(f, x)[1](t),
    "checkpoint": lambda f, x, t: jax.grad(jax.checkpoint(total(f)))(x),
}

SECOND = ("hessian", "grad of grad", "jvp of grad", "grad of jvp", "jvp of jvp")
IN_EAGER = ("value", "jvp", "grad", "vmap of grad", "jvp of grad")
# Each rule of a closed form once: forward, reverse, the next derivative both ways, batched.
RULES = ("jvp", "grad", "hessian", "grad of jvp", "vmap of grad")


def transformed(f: Function, names: Iterable[str]) -> Callable[..., Any]:
    return lambda x, t: {what: TRANSFORMS[what](f, x, t) for what in names}


def point(name: str) -> tuple[jax.Array, jax.Array]:
    """Where a loss is differentiated, and along what."""
    x = jnp.asarray(LOSSES[name][2])
    return x, jnp.linspace(-0.3, 0.4, x.size).reshape(x.shape)


def transforms_of(name: str, mode: str) -> tuple[str, ...]:
    return IN_EAGER if mode == "eager" else RULES if name in OWN and mode == "jit" else tuple(TRANSFORMS)


@cache
def by_the_plain_formula(name: str) -> dict[str, Any]:
    names = {*IN_EAGER, *RULES} if name in OWN else TRANSFORMS
    return jax.jit(transformed(LOSSES[name][1], names))(*point(name))


def rows() -> Iterator[Any]:
    """Every loss in every mode. What takes its time is nightly: all in eager mode, and a loss of its own in any."""
    for name in LOSSES:
        for mode in ("eager", "jit") if name in OWN else ("eager", "eager, all", "jit"):
            nightly = mode == "eager, all" or (mode == "eager" and name in OWN)
            yield pytest.param(name, mode, marks=pytest.mark.nightly if nightly else ())


@pytest.mark.parametrize(("name", "mode"), list(rows()))
def test_every_transformation(name: str, mode: str) -> None:
    """In eager mode each operation is a compilation: those that differ in what is dispatched, and nightly all."""
    with enable_x64(True):
        function, x, t = LOSSES[name][0], *point(name)
        refused = SECOND if name.endswith(", none") else ()
        transforms = [what for what in transforms_of(name, mode) if what not in refused]
        expected = by_the_plain_formula(name)
        run = transformed(function, transforms)
        found = (jax.jit(run) if mode == "jit" else run)(x, t)
        for what in transforms:
            for a, b in zip(jax.tree.leaves(found[what]), jax.tree.leaves(expected[what]), strict=True):
                assert a.shape == b.shape
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11, err_msg=what)
                assert abs(a).max() > 0
        for what in refused:
            run = lambda x, t, what=what: TRANSFORMS[what](function, x, t)  # noqa: E731
            with pytest.raises(NotImplementedError, match="take `sparse_categorical_focal_loss`"):
                (jax.jit(run) if mode == "jit" else run)(x, t)


# ---------------------------------------------------------------------------------------------------------------
# A number that changes
# ---------------------------------------------------------------------------------------------------------------

Y32, V32 = jnp.asarray(SOFT, jnp.float32), jnp.asarray(V, jnp.float32)
ANNEALED: dict[str, Callable[[jax.Array, float], jax.Array]] = {
    "binary_focal_loss": lambda z, a: ours.binary_focal_loss(Y32, z, a, pos_weight=a, label_smoothing=a / 10, **LOGITS),
    "binary_focal_crossentropy": lambda z, a: ours.binary_focal_crossentropy(
        Y32, z, True, a / 10, a, True, label_smoothing=a / 10
    ),
    "sigmoid_focal_loss": lambda z, a: ours.sigmoid_focal_loss(z, Y32, alpha=a / 10, gamma=a),
    "categorical_focal_loss": lambda v, a: ours.categorical_focal_loss(
        Y32, v, a, class_weight=a, label_smoothing=a / 10, **LOGITS
    ),
    "categorical_focal_crossentropy": lambda v, a: ours.categorical_focal_crossentropy(Y32, v, a, a, True, a / 10),
    "sparse_categorical_focal_loss": lambda v, a: ours.sparse_categorical_focal_loss(
        LABELS, v, a, class_weight=a, **LOGITS
    ),
    "sparse_categorical_focal_crossentropy": lambda v, a: ours.sparse_categorical_focal_crossentropy(
        LABELS, v, a, a, True, label_smoothing=a / 10
    ),
    "linear_sparse_categorical_focal_loss": lambda w, a: ours.linear_sparse_categorical_focal_loss(
        V32.T, w.T, np.array([0, 1, 2, 0], np.int32), a, class_weight=a
    ),
    **{loss.name: loss.annealed(FRAMEWORK["jax"], jnp.asarray(SCORES, jnp.float32)) for loss in OWN_FORM},
}


@contextlib.contextmanager
def compilations() -> Iterator[list[str]]:
    found: list[str] = []

    def listen(event: str, duration: float, **_: Any) -> None:
        if event.endswith("backend_compile_duration"):
            found.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.parametrize("name", ANNEALED)
def test_twenty_values_of_a_number_compile_one_program(name: str) -> None:
    """Gamma, weights and smoothing change at once; gamma includes 0.5, 1, ... 5, whose powers are products."""
    loss = ANNEALED[name]
    step = lambda a: jax.value_and_grad(lambda x: loss(x, a).sum())(V32)  # noqa: E731
    with compilations() as seen:
        jax.jit(lambda x: x + len(name))(V32)
    assert seen
    step(0.3)
    with compilations() as later:
        results = [step(float(a)) for a in np.linspace(0.25, 5, 20)]
    assert not later
    assert len({float(value) for value, _ in results}) == 20


# ---------------------------------------------------------------------------------------------------------------
# Strict ranks
# ---------------------------------------------------------------------------------------------------------------


@modes
@each
def test_ranks_need_not_be_promoted(name: str, mode: str) -> None:
    function, _, where = LOSSES[name]
    x = jnp.asarray(where, jnp.float32)

    def run(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        return function(x), jax.grad(lambda x: function(x).sum())(x)

    with jax.numpy_rank_promotion("raise"):
        value, slope = run(x) if mode == "eager" else jax.eval_shape(run, x)
    assert slope.shape == x.shape
    assert value.dtype == slope.dtype == x.dtype
