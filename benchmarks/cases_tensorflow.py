"""TensorFlow: value and gradient, eager, in a graph and under XLA, against Keras' loss. Ours as a function
and as a Keras loss.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import tensorflow as tf
from contest import Contest

from focal_loss.keras.losses import BinaryFocalLoss
from focal_loss.tensorflow import binary_focal_loss


def value_and_gradient(loss: Callable[..., tf.Tensor]) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    def run(y: tf.Tensor, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(z)
            value = loss(y, z)
        return value, tape.gradient(value, z)

    return run


def contests() -> Iterator[Contest]:
    losses = {
        "tensorflow": lambda y, z: tf.reduce_mean(binary_focal_loss(y, z, 2, from_logits=True)),
        "keras": BinaryFocalLoss(2.0, from_logits=True),
    }
    keras_focal = value_and_gradient(keras.losses.BinaryFocalCrossentropy(gamma=2.0, from_logits=True))
    entropy = value_and_gradient(
        lambda y, z: tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=z))
    )
    modes = {"eager": lambda f: f, "graph": tf.function, "XLA": partial(tf.function, jit_compile=True)}
    rng = np.random.default_rng(0)
    for mode, compiled in modes.items():
        rivals = {"keras focal": compiled(keras_focal), "TensorFlow BCE with logits": compiled(entropy)}
        ours = {name: compiled(value_and_gradient(loss)) for name, loss in losses.items()}
        for size in ("16", "1e3", "1e5", "1e6", "1e7"):
            z = tf.constant(rng.normal(0, 3, (1, int(float(size)))), tf.float32)
            y = tf.constant(rng.random(z.shape) < 0.1, tf.float32)
            against = {name: partial(rival, y, z) for name, rival in rivals.items()}
            for name, function in ours.items():
                yield Contest(f"{name}, {mode}", size, partial(function, y, z), against)
