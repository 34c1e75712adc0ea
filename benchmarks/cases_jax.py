"""JAX: value and gradient under jit, against optax."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from contest import Contest

from focal_loss.jax import binary_focal_loss


def contests() -> Iterator[Contest]:
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
