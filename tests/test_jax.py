"""JAX: jit, vmap, every order of differentiation, optax's loss, traced parameters."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.test_util import check_grads

import focal_loss.jax as ours

RNG = np.random.default_rng(0)
LOGITS = {"from_logits": True}
Z, V = RNG.normal(0, 2, 6), RNG.normal(0, 2, (4, 3))
Y, T, SOFT = RNG.random(6), np.array([0, 2, 1, 1]), RNG.dirichlet([1, 1, 1], 4)

FUNCTIONS: dict[str, tuple[Callable[..., jax.Array], np.ndarray]] = {
    "binary": (lambda z: ours.binary_focal_loss(Y, z, 1.5, pos_weight=3, **LOGITS), Z),
    "binary hard": (lambda z: ours.binary_focal_loss(Y > 0.5, z, 2, **LOGITS), Z),
    "binary of probabilities": (lambda z: ours.binary_focal_loss(Y, jax.nn.sigmoid(z), 2), Z),
    "mixed": (lambda z: ours.binary_focal_crossentropy(Y, z, True, **LOGITS), Z),
    "sparse": (lambda v: ours.sparse_categorical_focal_loss(T, v, [0, 0.5, 2], **LOGITS), V),
    "sparse of probabilities": (lambda v: ours.sparse_categorical_focal_loss(T, jnp.exp(v), 2), V),
    "dense": (lambda v: ours.categorical_focal_loss(SOFT, v, 2, class_weight=[1, 2, 3], **LOGITS), V),
    "dense of probabilities": (lambda v: ours.categorical_focal_loss(SOFT, jnp.exp(v), [0, 0.5, 2]), V),
}
each = pytest.mark.parametrize(("function", "x"), FUNCTIONS.values(), ids=FUNCTIONS)


@each
def test_derivatives_against_differences(function: Callable[..., jax.Array], x: np.ndarray) -> None:
    with jax.enable_x64(True):
        check_grads(function, (jnp.asarray(x),), order=2, modes=["fwd", "rev"], atol=1e-6, rtol=1e-6)


@each
def test_every_order_gives_one_hessian(function: Callable[..., jax.Array], x: np.ndarray) -> None:
    def total(x: jax.Array) -> jax.Array:
        return function(x).sum()

    x = jnp.asarray(x, jnp.float32)
    expected = jax.hessian(total)(x)
    for outer in (jax.jacfwd, jax.jacrev):
        for inner in (jax.jacfwd, jax.jacrev):
            np.testing.assert_allclose(jax.jit(outer(inner(total)))(x), expected, atol=3e-6)
    tangent = jnp.linspace(-1, 2, x.size).reshape(x.shape)
    np.testing.assert_allclose(jax.jvp(total, (x,), (tangent,))[1], (jax.grad(total)(x) * tangent).sum(), rtol=1e-5)


@each
def test_jit_and_vmap(function: Callable[..., jax.Array], x: np.ndarray) -> None:
    x = jnp.asarray(x, jnp.float32)
    np.testing.assert_allclose(jax.jit(function)(x), function(x), rtol=2e-6)
    batch = jnp.stack([x, -x])
    np.testing.assert_allclose(jax.vmap(function)(batch), [function(x), function(-x)], rtol=2e-6)


def test_parameters_may_be_traced_and_differentiated() -> None:
    """Gamma, weight and label: second derivatives, mixed ones too, against differences of the first."""

    @jax.jit
    def loss(x: jax.Array) -> jax.Array:
        return ours.binary_focal_loss(x[2:], Z, x[0], pos_weight=x[1], **LOGITS).sum()

    with jax.enable_x64(True):
        x, step = jnp.concatenate([jnp.asarray([1.3, 2.0]), jnp.asarray(Y)]), 1e-5
        slope = jax.grad(loss)
        differences = [(slope(x + step * e) - slope(x - step * e)) / (2 * step) for e in jnp.eye(8)]
        np.testing.assert_allclose(jax.hessian(loss)(x), jnp.stack(differences), atol=1e-9)
        check_grads(loss, (x,), order=1, modes=["fwd", "rev"], rtol=1e-6)


@pytest.mark.parametrize("alpha", [None, 0.25, 0.9])
@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
def test_sigmoid_focal_loss_of_optax(alpha: float | None, gamma: float) -> None:
    for labels in (Y, np.round(Y)):
        logits, labels = jnp.asarray(Z, jnp.float32), jnp.asarray(labels, jnp.float32)
        expected = optax.losses.sigmoid_focal_loss(logits, labels, alpha=alpha, gamma=gamma)
        np.testing.assert_allclose(
            ours.sigmoid_focal_loss(logits, labels, alpha=alpha, gamma=gamma), expected, rtol=2e-5
        )
        slope = jax.grad(lambda y: ours.sigmoid_focal_loss(logits, y, alpha=alpha, gamma=gamma).sum())(labels)  # noqa: B023
        assert jnp.isfinite(slope).all()


def test_a_training_step_reduces_the_loss() -> None:
    x = jnp.asarray(RNG.normal(size=(64, 3)), jnp.float32)
    y = (x[:, 0] > 0).astype(jnp.int32)

    @jax.jit
    def step(w: jax.Array) -> tuple[jax.Array, jax.Array]:
        loss, slope = jax.value_and_grad(lambda w: ours.binary_focal_loss(y, x @ w, 2.0, **LOGITS).mean())(w)
        return w - slope, loss

    w = jnp.zeros(3)
    w, first = step(w)
    for _ in range(50):
        w, last = step(w)
    assert last < 0.7 * first


def test_third_derivatives_are_refused() -> None:
    third = jax.grad(jax.grad(jax.grad(lambda z: ours.binary_focal_loss(1.0, z, 2.0, **LOGITS))))
    with pytest.raises(NotImplementedError, match="not third ones"):
        third(0.5)


def test_float64_stays_float64_where_it_is_enabled() -> None:
    with jax.enable_x64(True):
        assert ours.binary_focal_loss([1, 0], np.zeros(2), 2).dtype == jnp.float64
    assert ours.binary_focal_loss([1, 0], np.zeros(2), 2).dtype == jnp.float32
