"""JAX: value and gradient under jit, against optax."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from contest import Contest

from focal_loss.jax import binary_focal_loss, linear_sparse_categorical_focal_loss

LAYERS = {"64 x 64 x 1000": (64, 64, 1000), "1024 x 256 x 16384": (1024, 256, 16384)}  # rows, features, classes


def contests() -> Iterator[Contest]:
    yield from of_logits()
    yield from of_layers()


def of_logits() -> Iterator[Contest]:
    ours = jax.jit(jax.value_and_grad(lambda z, y: binary_focal_loss(y, z, 2, from_logits=True).mean()))
    rival = jax.jit(jax.value_and_grad(lambda z, y: optax.losses.sigmoid_focal_loss(z, y, gamma=2.0).mean()))
    bce = jax.jit(jax.value_and_grad(lambda z, y: optax.losses.sigmoid_binary_cross_entropy(z, y).mean()))
    rng = np.random.default_rng(0)
    for size in ("16", "1e3", "1e5", "1e6", "1e7"):
        z = jnp.asarray(rng.normal(0, 3, int(float(size))), jnp.float32)
        y = jnp.asarray(rng.random(len(z)) < 0.1, jnp.float32)
        ready = lambda function, z=z, y=y: jax.block_until_ready(function(z, y))  # noqa: E731
        rivals = {"optax focal": partial(ready, rival), "optax BCE": partial(ready, bce)}
        yield Contest("jax value_and_grad, jit", size, partial(ready, ours), rivals)


def of_layers() -> Iterator[Contest]:
    """The fused linear loss, with gradients in the input and the weight."""

    def entropy(h: jax.Array, w: jax.Array, y: jax.Array) -> jax.Array:
        logits = (h @ w.T).astype(jnp.float32)
        return optax.losses.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    ours = jax.jit(jax.value_and_grad(lambda h, w, y: linear_sparse_categorical_focal_loss(h, w, y, 2), (0, 1)))
    rival = jax.jit(jax.value_and_grad(entropy, (0, 1)))
    rng = np.random.default_rng(0)
    for size, (rows, features, classes) in LAYERS.items():
        hidden, weight = rng.normal(size=(rows, features)), rng.normal(size=(classes, features)) / 16
        y = jnp.asarray(rng.integers(0, classes, rows))
        for dtype in ("float32", "bfloat16"):
            given = jnp.asarray(hidden, dtype), jnp.asarray(weight, dtype), y
            ready = lambda function, given=given: jax.block_until_ready(function(*given))  # noqa: E731
            rivals = {"optax cross-entropy": partial(ready, rival)}
            yield Contest(f"jax linear, {dtype}", size, partial(ready, ours), rivals, warm=1, fewest=3)
