"""Models with the maps to posteriors, as other tools run them, and their gradients. NumPy has neither."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import keras
import numpy as np
from test_layers import BACKEND, WITHIN, assert_right, each_kind, model, numbers, right


def test_an_exported_model(tmp_path: Path) -> None:
    """Keras exports SavedModels of TensorFlow and JAX. To ONNX it exports without a package of its own from torch."""
    path = str(tmp_path / "model.onnx")
    made = model()
    made(WITHIN)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporters' own
        made.export(path, format="onnx" if BACKEND == "torch" else "tf_saved_model", verbose=False)
        if BACKEND == "torch":
            import onnxruntime

            session = onnxruntime.InferenceSession(path)
            found = session.run(None, {session.get_inputs()[0].name: WITHIN})
        else:
            import tensorflow as tf

            loaded = tf.saved_model.load(path)
            found = [value.numpy() for value in loaded.serve(WITHIN)]
    assert_right(found)


@each_kind
def test_a_gradient_goes_through(kind: type) -> None:
    """The slope at 0 in the first of three logits."""
    layer, z = kind(2), np.zeros((1, 3), "float32")
    step = 1e-4 * np.eye(3)[0]
    exact = (right(kind, {"gamma": 2}, z + step) - right(kind, {"gamma": 2}, z - step))[0, 0] / 2e-4
    if BACKEND == "tensorflow":
        tf, x = sys.modules["tensorflow"], keras.ops.array(z)
        with tf.GradientTape() as tape:
            tape.watch(x)
            first = layer(x)[0, 0]
        slope = tape.gradient(first, x)
    elif BACKEND == "jax":
        slope = sys.modules["jax"].grad(lambda x: layer(x)[0, 0])(keras.ops.array(z))
    else:
        x = keras.ops.array(z).requires_grad_()
        (slope,) = sys.modules["torch"].autograd.grad(layer(x)[0, 0], x)
    np.testing.assert_allclose(numbers(slope)[0, 0], exact, rtol=1e-4)
