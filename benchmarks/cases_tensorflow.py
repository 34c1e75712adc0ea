"""TensorFlow: value and gradient, eager, in a graph and under XLA, against Keras' loss."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import tensorflow as tf
from contest import Contest

from focal_loss.tensorflow import binary_focal_loss


def value_and_gradient(loss: Callable[..., tf.Tensor]) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    def run(y: tf.Tensor, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(z)
            value = loss(y, z)
        return value, tape.gradient(value, z)

    return run


def contests() -> Iterator[Contest]:
    ours = value_and_gradient(lambda y, z: tf.reduce_mean(binary_focal_loss(y, z, 2, from_logits=True)))
    rival = value_and_gradient(keras.losses.BinaryFocalCrossentropy(gamma=2.0, from_logits=True))
    modes = {"eager": lambda f: f, "graph": tf.function, "XLA": partial(tf.function, jit_compile=True)}
    rng = np.random.default_rng(0)
    for mode, compile_ in modes.items():
        ours_in_mode, rival_in_mode = compile_(ours), compile_(rival)
        for power in (3, 5, 6, 7):
            z = tf.constant(rng.normal(0, 3, 10**power), tf.float32)
            y = tf.constant(rng.random(10**power) < 0.1, tf.float32)
            asked = {} if power < 5 else {"keras focal": 1.0 if mode == "XLA" else 10.0}
            yield Contest(
                f"tensorflow {mode}",
                f"1e{power}",
                partial(ours_in_mode, y, z),
                {"keras focal": partial(rival_in_mode, y, z)},
                asked,
            )
