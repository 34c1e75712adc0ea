"""Keras on JAX over the devices of the host, in a process of its own, whose environment asks for four of them.

Prints a JSON object: for each loss and distribution the largest relative difference from training on one device, of the
losses of the epochs and of the weights after them, and how the kernel of the last layer was sharded.
"""

from __future__ import annotations

import json
from typing import Any

import keras
import numpy as np

from focal_loss.keras import losses

ROWS, FEATURES, CLASSES = 16, 6, 8
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, FEATURES)).astype(np.float32)
LABELS = RNG.integers(0, CLASSES, ROWS)
ONE_HOT = np.eye(CLASSES, dtype=np.float32)[LABELS]
PER_CLASS = (RNG.random(CLASSES) + 0.5).tolist()
LOSSES = {
    "SparseCategoricalFocalLoss": (
        losses.SparseCategoricalFocalLoss(2, class_weight=PER_CLASS, from_logits=True, ignore_class=1),
        LABELS,
    ),
    "CategoricalFocalCrossentropy": (
        losses.CategoricalFocalCrossentropy(from_logits=True, label_smoothing=0.1),
        ONE_HOT,
    ),
    "BinaryFocalLoss": (losses.BinaryFocalLoss(2, from_logits=True), ONE_HOT),
}


def train(name: str, distribution: Any) -> tuple[list[np.ndarray], str]:
    keras.distribution.set_distribution(distribution)
    keras.utils.set_random_seed(0)
    body, head = keras.layers.Dense(5, "relu", name="body"), keras.layers.Dense(CLASSES, name="head")
    model = keras.Sequential([keras.Input((FEATURES,)), body, head])
    loss, y = LOSSES[name]
    model.compile(keras.optimizers.SGD(0.5), loss)
    history = model.fit(X, y, batch_size=8, epochs=3, verbose=0, shuffle=False).history["loss"]
    split = str(getattr(head.kernel.value.sharding, "spec", None))
    return [np.asarray(history), *model.get_weights()], split


def main() -> None:
    mesh = keras.distribution.DeviceMesh((2, 2), ("data", "model"), keras.distribution.list_devices("cpu"))
    layout = keras.distribution.LayoutMap(mesh)
    layout[".*head/kernel"], layout[".*head/bias"] = (None, "model"), ("model",)
    distributions = {
        "ModelParallel": keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="data"),
        "DataParallel": keras.distribution.DataParallel(),
    }
    found: dict[str, Any] = {}
    for name in LOSSES:
        expected, _ = train(name, None)
        for kind, distribution in distributions.items():
            trained, split = train(name, distribution)
            worst = max(
                float(np.max(np.abs(a - b)) / np.max(np.abs(b))) for a, b in zip(trained, expected, strict=True)
            )
            found[f"{name}, {kind}"] = {"difference": worst, "split": split}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
