"""Second derivatives of losses of negative sign: with a negative upstream gradient, and with negative weights.

A single number and an array take different ways to the kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow as tf
import torch

import focal_loss.jax
import focal_loss.tensorflow
import focal_loss.torch

X = [1.3, -0.4, 2.0]
Y = [1.0, 0.0, 0.0]
Weight = Any  # a number, or the framework's tensor


def of_torch(x: np.ndarray, y: np.ndarray, sign: float, weight: Weight) -> np.ndarray:
    labels = torch.tensor(y)
    weight = weight if isinstance(weight, float) else torch.tensor(weight)

    def total(z: torch.Tensor) -> torch.Tensor:
        return sign * focal_loss.torch.binary_focal_loss(labels, z, 2.0, pos_weight=weight, from_logits=True).sum()

    z = torch.tensor(x, requires_grad=True)
    (slope,) = torch.autograd.grad(total(z), z, create_graph=True)
    return torch.autograd.grad(slope.sum(), z)[0].numpy()


def of_tensorflow(x: np.ndarray, y: np.ndarray, sign: float, weight: Weight) -> np.ndarray:
    z = tf.constant(x)
    weight = weight if isinstance(weight, float) else tf.constant(weight)
    with tf.GradientTape() as outer:
        outer.watch(z)
        with tf.GradientTape() as inner:
            inner.watch(z)
            loss = focal_loss.tensorflow.binary_focal_loss(tf.constant(y), z, 2.0, pos_weight=weight, from_logits=True)
            total = sign * tf.reduce_sum(loss)
        slope = inner.gradient(total, z)
    return outer.gradient(slope, z).numpy()


def of_jax(x: np.ndarray, y: np.ndarray, sign: float, weight: Weight) -> np.ndarray:
    weight = weight if isinstance(weight, float) else jnp.asarray(weight)

    def total(z: jax.Array) -> jax.Array:
        return sign * focal_loss.jax.binary_focal_loss(y, z, 2.0, pos_weight=weight, from_logits=True).sum()

    with jax.enable_x64():
        found = jax.grad(lambda z: jax.grad(total)(z).sum())(jnp.asarray(x))
        return np.asarray(found)


FRAMEWORKS: dict[str, Callable[..., np.ndarray]] = {"torch": of_torch, "tensorflow": of_tensorflow, "jax": of_jax}


def second(z: float, y: float, weight: float) -> float:
    """The second derivative of ``-weight * (1 - p)**2 * log(p)`` at the margin `z`, for label 1, by differences."""
    s, h = (z if y else -z), 1e-4

    def loss(s: float) -> float:
        p = 1 / (1 + np.exp(-s))
        return float(-((1 - p) ** 2) * np.log(p))

    return (weight if y else 1.0) * (loss(s + h) - 2 * loss(s) + loss(s - h)) / h**2


@pytest.mark.parametrize("shape", [(), (1,), (3,)])
@pytest.mark.parametrize(("sign", "weight"), [(-1.0, "number"), (1.0, "negative"), (-1.0, "negative of each")])
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_sign_of_a_second_derivative(framework: str, sign: float, weight: str, shape: tuple[int, ...]) -> None:
    count = int(np.prod(shape))
    x, y = (np.array(values[:count]).reshape(shape) for values in (X, Y))
    given: dict[str, Weight] = {
        "number": 1.5,
        "negative": np.array(-1.5),
        "negative of each": np.full(shape, -1.5),
    }
    found = FRAMEWORKS[framework](x, y, sign, given[weight])
    expected = [sign * second(z, label, float(np.ravel(given[weight])[0])) for z, label in zip(X, Y, strict=True)]
    np.testing.assert_allclose(found, np.reshape(expected[:count], shape), rtol=1e-6, atol=1e-6)
