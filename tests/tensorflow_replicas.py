"""TensorFlow's `MirroredStrategy` on two devices of the host, in a process of its own: devices must be asked for before
TensorFlow starts.

Prints a JSON object: differences from one device, relative to the largest number.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from functools import cache
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import focal_loss.tensorflow as ours
from focal_loss.keras import losses as of_keras

ROWS, FEATURES, CLASSES = 7, 5, 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, FEATURES)).astype(np.float32)
LABELS = RNG.integers(0, CLASSES, ROWS)
ONE_HOT = np.eye(CLASSES, dtype=np.float32)[LABELS]
START = RNG.normal(size=(FEATURES, CLASSES)).astype(np.float32)

LOSSES: dict[str, tuple[Callable[[Any, Any], Any], np.ndarray]] = {
    "sparse_categorical_focal_loss": (
        lambda y, z: ours.sparse_categorical_focal_loss(y, z, 2, from_logits=True),
        LABELS,
    ),
    "categorical_focal_loss": (lambda y, z: ours.categorical_focal_loss(y, z, 1.5, from_logits=True), ONE_HOT),
    "binary_focal_crossentropy": (lambda y, z: ours.binary_focal_crossentropy(y, z, from_logits=True), ONE_HOT),
}
SHARES = (4, 6, 7)  # of the first device; the last leaves none to the second


@cache
def strategy() -> Any:
    """Two devices. The first call comes before anything that starts TensorFlow."""
    processor = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def difference(found: list[Any], expected: list[Any]) -> float:
    pairs = [(np.asarray(a), np.asarray(b)) for a, b in zip(found, expected, strict=True)]
    return max(float(np.max(np.abs(a - b)) / np.max(np.abs(b))) for a, b in pairs)


def on_one(name: str) -> list[Any]:
    function, y = LOSSES[name]
    weight = tf.Variable(START)
    with tf.GradientTape() as tape:
        value = tf.reduce_mean(function(y, X @ weight))
    return [value, tape.gradient(value, weight)]


def on_two(name: str, share: int) -> list[Any]:
    """A loop of one's own: `compute_average_loss` divides by the size of the whole batch."""
    function, y = LOSSES[name]
    with strategy().scope():
        weight = tf.Variable(START)

    def step(x: Any, y: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            per_example = function(y, x @ weight)
            loss = tf.nn.compute_average_loss(per_example, global_batch_size=ROWS)
        gradient = tape.gradient(loss, weight)
        return loss, tf.distribute.get_replica_context().all_reduce("SUM", gradient)

    @tf.function
    def run(x: Any, y: Any) -> tuple[Any, Any]:
        loss, gradient = strategy().run(step, args=(x, y))
        return strategy().reduce("SUM", loss, axis=None), strategy().experimental_local_results(gradient)

    def split(whole: np.ndarray) -> Any:
        parts = whole[:share], whole[share:]
        return strategy().experimental_distribute_values_from_function(
            lambda context: tf.constant(parts[context.replica_id_in_sync_group])
        )

    loss, (gradient, other) = run(split(X), split(y))
    assert difference([gradient], [other]) == 0
    return [loss, gradient]


def fit(scope: Any, loss: Callable[[], Any], rows: int, weigh: bool) -> list[Any]:
    """The weights after some steps in batches of 4."""
    with scope:
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((FEATURES,)), keras.layers.Dense(CLASSES)])
        model.compile(keras.optimizers.SGD(0.5), loss())
    weights = np.where(np.arange(rows) < 4, 1 / 4, 1 / max(rows - 4, 1)).astype(np.float32)
    given = (X[:rows], LABELS[:rows], weights) if weigh else (X[:rows], LABELS[:rows])
    batches = tf.data.Dataset.from_tensor_slices(given).batch(4)
    model.fit(batches, epochs=3, verbose=0, shuffle=False)
    return model.get_weights()


def main() -> None:
    strategy()

    def mean() -> Any:
        return of_keras.SparseCategoricalFocalLoss(2, from_logits=True)

    def total() -> Any:
        return of_keras.SparseCategoricalFocalLoss(2, from_logits=True, reduction="sum")

    def plain() -> Any:
        return of_keras.SparseCategoricalFocalLoss(0, from_logits=True)

    def of_others() -> Any:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    alone = contextlib.nullcontext
    found = {f"{name}, {share}": difference(on_two(name, share), on_one(name)) for name in LOSSES for share in SHARES}
    found["fit, even"] = difference(fit(strategy().scope(), mean, 4, False), fit(alone(), mean, 4, False))
    for rows in (7, 5):  # the last batch has 3 rows, or 1, which leaves a device without any
        whole = fit(alone(), mean, rows, False)
        found[f"fit, weighted, {rows}"] = difference(fit(strategy().scope(), total, rows, True), whole)
        both = (fit(strategy().scope(), loss, rows, False) for loss in (plain, of_others))
        found[f"fit, as Keras, {rows}"] = difference(*both)
        found[f"mean of means, {rows}"] = difference(fit(strategy().scope(), mean, rows, False), whole)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
