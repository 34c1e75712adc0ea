"""Losses of the 2021 package `focal_loss` 0.0.7 on hard labels, for test_seeds.py.

    pip install --no-deps --target DIR focal-loss==0.0.7
    PYTHONPATH=DIR python tests/golden/make_predecessor.py

It has the import name of this project: DIR must come first, and this script checks that it does.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np

import focal_loss

assert version("focal-loss") == "0.0.7", f"{focal_loss.__file__} is not the package of 2021"

Z = np.array([-30, -8, -2.5, -1, -0.125, 0, 0.5, 1, 3, 7.75, 16], np.float32)
V = np.array([[1, 0, -1], [-2.5, 3, 0.25], [8, 8, -8], [0, 0, 0], [-12, 4, 4.5]], np.float32)
T = np.array([0, 2, 1, 1, 0])


def main() -> None:
    rows = []
    for gamma in (0, 0.5, 1, 2, 5):
        for weight in (None, 3.5):
            for label in (0, 1):
                for logits in (True, False):
                    y_pred = Z if logits else (1 / (1 + np.exp(-Z.astype(np.float64)))).astype(np.float32)
                    options = {"gamma": gamma, "pos_weight": weight, "from_logits": logits}
                    loss = focal_loss.binary_focal_loss(np.full(Z.shape, label), y_pred, **options)
                    rows.append(
                        {"function": "binary_focal_loss", "y_true": [label] * len(Z), "y_pred": y_pred.tolist()}
                        | {"options": options, "loss": loss.numpy().tolist()}
                    )
        for weight in (None, [1.0, 2.0, 0.5]):
            for logits in (True, False):
                y_pred = V if logits else (np.exp(V) / np.exp(V).sum(1, keepdims=True)).astype(np.float32)
                options = {"gamma": gamma, "class_weight": weight, "from_logits": logits}
                loss = focal_loss.sparse_categorical_focal_loss(T, y_pred, **options)
                rows.append(
                    {"function": "sparse_categorical_focal_loss", "y_true": T.tolist(), "y_pred": y_pred.tolist()}
                    | {"options": options, "loss": loss.numpy().tolist()}
                )
    text = ",\n".join(json.dumps(row) for row in rows)
    Path(__file__).with_name("predecessor.json").write_text(f"[\n{text}\n]\n")


if __name__ == "__main__":
    main()
