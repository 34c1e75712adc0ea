"""Keras models trained, saved, loaded, masked and in mixed precision. Not on NumPy, where Keras does not train."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from test_keras import CASES, LOGITS

import focal_loss.numpy as reference
from focal_loss.keras import losses, metrics

RNG = np.random.default_rng(0)
# TensorFlow compiles as a graph or by XLA, JAX by XLA. The C++ compiler of torch is slow; `test_weights.py` traces the
# same.
COMPILERS = {"tensorflow": [{"jit_compile": False}, {"jit_compile": True}], "jax": [{"jit_compile": True}], "torch": []}
WAYS: list[dict[str, bool]] = [{"run_eagerly": True}, *COMPILERS[keras.backend.backend()]]


def model(masked: bool = False) -> keras.Model:
    keras.utils.set_random_seed(0)
    layers: list[Any] = [keras.Input((5, 4)), keras.layers.Masking()] if masked else [keras.Input((4,))]
    return keras.Sequential([*layers, keras.layers.Dense(3)])


def trained(name: str, directory: Path) -> tuple[list[float], dict[str, float]]:
    """Save a trained model with its data. Returns the loss of each epoch, and the final evaluation."""
    options, _, _ = CASES[name]
    if name == "BinaryFocalCrossentropy":
        options = options | {"axis": -1}
    x = RNG.normal(size=(96, 4)).astype("float32")
    labels = x[:, :3].argmax(1)
    y = labels if name.startswith("Sparse") else np.eye(3, dtype="float32")[labels]
    network = model()
    metric = getattr(metrics, name)(**options, name="focal")
    network.compile(keras.optimizers.Adam(0.03), getattr(losses, name)(**options), metrics=[metric])
    history = network.fit(x, y, epochs=6, batch_size=32, verbose=0).history
    network.save(directory / f"{name}.keras")
    np.savez(directory / f"{name}.npz", x=x, y=y)
    return history["loss"], network.evaluate(x, y, batch_size=96, verbose=0, return_dict=True)


LOADED = """
import json, sys
from pathlib import Path
import keras, numpy as np
import focal_loss
found = {}
for name in sys.argv[2:]:
    kind, path = getattr(focal_loss, name), Path(sys.argv[1]) / name
    network, data = keras.saving.load_model(f"{path}.keras"), np.load(f"{path}.npz")
    assert type(network.loss) is kind, network.loss
    found[name] = network.evaluate(data["x"], data["y"], batch_size=96, verbose=0, return_dict=True)["focal"]
print(json.dumps(found))
"""


def test_fit_save_and_load_in_a_fresh_process(tmp_path: Path) -> None:
    """One process serves all, because importing Keras takes longer than the rest."""
    expected = {}
    for name in CASES:
        history, expected[name] = trained(name, tmp_path)
        assert history[-1] < 0.8 * history[0], name
        assert expected[name]["focal"] == pytest.approx(expected[name]["loss"], rel=1e-4), name
    command = [sys.executable, "-c", LOADED, str(tmp_path), *CASES]
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    assert found == pytest.approx({name: result["focal"] for name, result in expected.items()}, rel=1e-5)


def test_masked_steps_do_not_count() -> None:
    x = RNG.normal(size=(8, 5, 4)).astype("float32")
    x[:, 3:] = 0
    y = RNG.integers(0, 2, (8, 5, 3)).astype("float32")
    network = model(masked=True)
    network.compile("sgd", losses.BinaryFocalCrossentropy(**LOGITS))
    logits = keras.ops.convert_to_numpy(network(x))
    expected = reference.binary_focal_crossentropy(y[:, :3], logits[:, :3], **LOGITS).mean()
    assert network.evaluate(x, y, verbose=0) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy: str) -> None:
    keras.utils.set_random_seed(0)
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, dtype=policy)])
    network.compile("sgd", losses.BinaryFocalLoss(0.5, **LOGITS))
    x = 100 * RNG.normal(size=(16, 4)).astype("float32")
    history = network.fit(x, np.ones((16, 3), "float32"), verbose=0).history
    assert np.isfinite(history["loss"][0])
    assert all(np.isfinite(keras.ops.convert_to_numpy(w)).all() for w in network.weights)


COMPILED = [{"jit_compile": keras.backend.backend() != "torch"}, {"jit_compile": False}]


@pytest.mark.parametrize("how", COMPILED if keras.backend.backend() != "torch" else COMPILED[:1], ids=str)
@pytest.mark.parametrize(("dtype", "index", "labels"), [("bfloat16", 257, "int32"), ("float16", 2049, "float32")])
@pytest.mark.parametrize("where", ["loss", "layer"])
def test_class_indices_in_compiled_half_precision(
    how: dict[str, bool], dtype: str, index: int, labels: str, where: str
) -> None:
    """bfloat16 has no 257 and float16 no 2049, whether they are the dtype of the loss or of the layer."""
    layer = keras.layers.Dense(index + 1, use_bias=False, dtype=dtype if where == "layer" else None)
    network, weights = keras.Sequential([keras.Input((1,)), layer]), np.zeros((1, index + 1), "float32")
    weights[0, index] = 8.0
    network.set_weights([weights])
    options = {"gamma": 2, "dtype": dtype if where == "loss" else None, **LOGITS}
    metric = metrics.SparseCategoricalFocalLoss(**options)
    network.compile("sgd", losses.SparseCategoricalFocalLoss(**options), metrics=[metric], **how)
    found = network.evaluate(np.ones((2, 1), "float32"), np.full(2, index, labels), verbose=0)
    right = reference.sparse_categorical_focal_loss([index], weights, 2, **LOGITS)
    np.testing.assert_allclose([float(keras.ops.cast(value, "float32")) for value in found], right[0], rtol=5e-3)


def test_class_indices_that_keras_has_rounded_are_refused() -> None:
    """`fit` converts float labels to `floatx` before any loss sees them."""
    keras.config.set_floatx("bfloat16")
    try:
        network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(258)])
        network.compile("sgd", losses.SparseCategoricalFocalLoss(2, **LOGITS))
        with pytest.raises(TypeError, match="`y_true` must be of integers for 258 classes, got bfloat16"):
            network.fit(np.ones((2, 1)), np.full(2, 257.0), verbose=0)
    finally:
        keras.config.set_floatx("float32")


@pytest.mark.parametrize("name", ["BinaryFocalCrossentropy", "CategoricalFocalCrossentropy"])
def test_the_hardest_examples_teach(name: str) -> None:
    """A last layer that is wrong by 40 learns at full speed, where clipped probabilities have no gradient."""
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, use_bias=False)])
    network.set_weights([np.array([[40.0, -40.0]], "float32")])
    loss = getattr(losses, name)(**({"alpha": 1.0} if name.startswith("Cat") else {}), **LOGITS)
    network.compile(keras.optimizers.SGD(1.0), loss)
    network.train_on_batch(np.ones((1, 1), "float32"), np.array([[0.0, 1.0]], "float32"))
    np.testing.assert_allclose(
        network.get_weights()[0], [[39.5, -39.5]] if "Binary" in name else [[39, -39]], rtol=1e-5
    )


if keras.backend.backend() == "tensorflow":  # only TensorFlow has both a graph and XLA

    def test_with_and_without_xla() -> None:
        """The ops run in one and the formula in the other."""
        x = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
        histories = []
        for compiled in (True, False):
            keras.utils.set_random_seed(0)
            model = keras.Sequential([keras.layers.Dense(1)])
            model.compile("sgd", losses.BinaryFocalLoss(2, from_logits=True), jit_compile=compiled)
            histories.append(model.fit(x, x[:, :1] > 0, epochs=3, verbose=0).history["loss"])
        np.testing.assert_allclose(*histories, rtol=1e-6)


# Weights from `fit` that Keras' loss without the last axis takes, for outputs of shape (N, K) and (N, T, K).
@pytest.mark.parametrize(
    ("masked", "options"),
    [
        (False, {"sample_weight": RNG.uniform(0, 2, 64).astype("float32")}),
        (False, {"sample_weight": RNG.uniform(0, 2, (64, 1)).astype("float32")}),
        (False, {"class_weight": {0: 1.0, 1: 3.0, 2: 0.5}}),
        (True, {}),
        (True, {"sample_weight": RNG.uniform(0, 2, (64, 5)).astype("float32")}),
    ],
    ids=["(N,)", "(N, 1)", "class_weight", "mask", "mask, (N, T)"],
)
@pytest.mark.parametrize(
    "how", [*WAYS[:2], *(pytest.param(how, marks=pytest.mark.nightly) for how in WAYS[2:])], ids=str
)
def test_training_with_weights_and_masks_is_that_of_keras(how: dict[str, bool], masked: bool, options: Any) -> None:
    x = np.random.default_rng(0).normal(size=(64, 5, 4) if masked else (64, 4)).astype("float32")
    x[::2, 3:] = 0 if masked else x[::2, 3:]
    y = (x[..., :3] > 0.3).astype("float32")
    histories, weights = [], []
    for loss in (losses.BinaryFocalLoss(2, **LOGITS), keras.losses.BinaryFocalCrossentropy(gamma=2, **LOGITS)):
        network = model(masked)
        network.compile("sgd", loss, **how)
        histories.append(
            network.fit(x, y, batch_size=32, shuffle=False, epochs=2, verbose=0, **options).history["loss"]
        )
        weights.append(network.get_weights()[0])
    np.testing.assert_allclose(*histories, rtol=1e-4)
    np.testing.assert_allclose(*weights, rtol=1e-4, atol=1e-5)


def test_weights_of_examples_beside_a_mask_of_steps() -> None:
    """Keras' own losses cannot do this, because they align the last axes."""
    x = RNG.normal(size=(5, 5, 4)).astype("float32")
    x[:, 3:] = 0
    y, weight = RNG.integers(0, 2, (5, 5, 3)), RNG.uniform(0, 2, 5).astype("float32")
    network = model(masked=True)
    metric = metrics.BinaryFocalLoss(2, **LOGITS, name="metric")
    loss = losses.BinaryFocalLoss(2, **LOGITS, reduction="mean_with_sample_weight")
    network.compile("sgd", loss, weighted_metrics=[metric])
    each = reference.binary_focal_loss(y, keras.ops.convert_to_numpy(network(x)), 2, **LOGITS)[:, :3]
    expected = np.average(each.mean((1, 2)), weights=weight)
    result = network.evaluate(x, y, sample_weight=weight, verbose=0, return_dict=True)
    assert [result["loss"], result["metric"]] == pytest.approx([expected, expected], rel=1e-5)


@pytest.mark.parametrize("how", WAYS, ids=str)
def test_gamma_is_annealed(how: dict[str, bool]) -> None:
    """A callback sets the attribute, which holds a variable of the model; the metric has its own."""
    x = RNG.normal(size=(16, 4)).astype("float32")
    y = RNG.integers(0, 2, (16, 3))
    network = model()
    network.gamma = keras.Variable(5.0, trainable=False)
    loss = losses.BinaryFocalLoss(network.gamma, **LOGITS)
    metric = metrics.BinaryFocalLoss(keras.Variable(5.0, trainable=False), **LOGITS, name="metric")

    def anneal(epoch: int, logs: Any) -> None:
        loss.gamma = metric.gamma = 2 * epoch

    network.compile(keras.optimizers.SGD(0.0), loss, metrics=[metric], **how)
    callbacks = [keras.callbacks.LambdaCallback(on_epoch_begin=anneal)]
    history = network.fit(x, y, epochs=3, verbose=0, callbacks=callbacks).history
    logits = keras.ops.convert_to_numpy(network(x))
    expected = [reference.binary_focal_loss(y, logits, gamma, **LOGITS).mean() for gamma in (0, 2, 4)]
    np.testing.assert_allclose(history["loss"], expected, rtol=1e-5)
    np.testing.assert_allclose(history["metric"], expected, rtol=1e-5)
    assert loss.get_config()["gamma"] == metric.get_config()["gamma"] == 4


def test_a_number_is_set_before_and_refused_after_it_is_compiled() -> None:
    x, y = RNG.normal(size=(16, 4)).astype("float32"), RNG.integers(0, 2, (16, 3))
    network = model()
    loss = losses.BinaryFocalLoss(5, **LOGITS)
    network.compile(keras.optimizers.SGD(0.0), loss)
    logits = keras.ops.convert_to_numpy(network(x))

    def value(gamma: float) -> float:
        loss.gamma = gamma
        return network.fit(x, y, verbose=0).history["loss"][0]

    def right(gamma: float) -> Any:
        return pytest.approx(reference.binary_focal_loss(y, logits, gamma, **LOGITS).mean(), rel=1e-5)

    assert value(3) == right(3)
    assert value(3.0) == right(3)  # no change
    if keras.backend.backend() == "torch":  # only `torch.compile` compiles, and it checks numbers again
        assert value(1) == right(1)
    else:
        with pytest.raises(
            RuntimeError, match=r"`gamma` has been compiled into a program as 3.0 .*keras.Variable\(3.0, t"
        ):
            loss.gamma = 1
        assert loss.gamma == 3
    network.compile(keras.optimizers.SGD(0.0), loss := losses.BinaryFocalLoss(5, **LOGITS), run_eagerly=True)
    if keras.backend.backend() != "jax":  # JAX compiles anyway
        assert [value(1), value(0)] == [right(1), right(0)]


if keras.backend.backend() == "jax":

    def test_a_variable_that_the_model_does_not_know_is_refused() -> None:
        network = model()
        network.compile("sgd", losses.BinaryFocalLoss(keras.Variable(2.0), **LOGITS))
        with pytest.raises(RuntimeError, match=r"`gamma` is a keras.Variable .* set `model.gamma = variable` before"):
            network.fit(np.ones((4, 4)), np.ones((4, 3)), verbose=0)
