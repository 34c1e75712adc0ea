"""The maps to posteriors as Keras layers: values, options, saved models."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from focal_loss import calibration
from focal_loss.keras.layers import CategoricalPosteriorFromLogits, PosteriorFromLogits

BACKEND = keras.backend.backend()
INF, NAN = float("inf"), float("nan")
# JAX has float64 only if it is told so before it starts.
DTYPES = [*([] if BACKEND == "jax" else ["float64"]), "float16", "mixed_float16", "bfloat16"]
FUNCTIONS: dict[type, Any] = {
    PosteriorFromLogits: calibration.posterior_from_logits,
    CategoricalPosteriorFromLogits: calibration.categorical_posterior_from_logits,
}
BINARY: list[dict[str, Any]] = [
    {"gamma": 0},
    {"gamma": 2},
    {"gamma": 2.3, "pos_weight": 0.25},
    {"gamma": [0.5, 1.0, 2.0], "pos_weight": np.array([1.0, 2.0, 0.5])},
]
CATEGORICAL: list[dict[str, Any]] = [
    {"gamma": 0},
    {"gamma": 2, "class_weight": [1.0, 2.0, 0.5]},
    {"gamma": [0.0, 1.0, 2.5], "class_weight": 2.0, "logit_adjustment": np.array([0.25, -0.5, 0.125])},
]
ALL = [(PosteriorFromLogits, options) for options in BINARY]
ALL += [(CategoricalPosteriorFromLogits, options) for options in CATEGORICAL]
every = pytest.mark.parametrize(("kind", "options"), ALL)
each_kind = pytest.mark.parametrize("kind", FUNCTIONS)
RNG = np.random.default_rng(0)
# Ordinary logits, and large ones up to the largest numbers of float32.
FINITE = np.concatenate(
    [RNG.normal(0, 4, (20, 3)), RNG.choice([0, 1e-6, 20, 100, 1e4, -1e4, 3e38, -3e38], (20, 3))]
).astype("float32")
Z = np.concatenate([FINITE, [[INF, 0, -INF], [0, -INF, 1], [NAN, 0, 1]]]).astype("float32")


def right(kind: type, options: dict[str, Any], z: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """The map of the function, which has no temperature."""
    adjustment = options.get("logit_adjustment", np.zeros(1))
    rest = {name: value for name, value in options.items() if name != "logit_adjustment"}
    found = FUNCTIONS[kind]((z.astype(np.float64) + adjustment) / temperature, **rest) / np.exp(adjustment)
    return found / found.sum(-1, keepdims=True) if adjustment.any() else found


def numbers(x: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(x))


@every
def test_values_are_those_of_calibration(kind: type, options: dict[str, Any]) -> None:
    found = kind(**options)(keras.ops.array(Z))
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    np.testing.assert_allclose(numbers(found), right(kind, options, Z), rtol=0, atol=1e-6)


@each_kind
def test_a_temperature_divides_the_logits_first(kind: type) -> None:
    found = kind(2, temperature=1.7)(keras.ops.array(FINITE))
    np.testing.assert_allclose(numbers(found), right(kind, {"gamma": 2}, FINITE, 1.7), rtol=0, atol=1e-6)


@each_kind
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_dtype_is_that_of_the_layer(kind: type, dtype: str) -> None:
    """Half precision is computed in float32 and rounded once."""
    z = RNG.normal(0, 4, (20, 3)).astype("float32")
    layer = kind(2.3, temperature=1.7, dtype=dtype)
    found = layer(keras.ops.array(z))
    assert keras.backend.standardize_dtype(found.dtype) == layer.compute_dtype
    rounded = keras.ops.cast(keras.ops.cast(keras.ops.array(z), layer.compute_dtype), "float32")
    exact = kind(2.3, temperature=1.7, dtype="float32")(rounded)
    if dtype != "float64":
        exact = keras.ops.cast(exact, layer.compute_dtype)
        np.testing.assert_array_equal(*(numbers(keras.ops.cast(x, "float32")) for x in (found, exact)))
    else:
        np.testing.assert_allclose(numbers(found), right(kind, {"gamma": 2.3}, z, 1.7), rtol=1e-12)


@each_kind
def test_options_are_numbers_that_cannot_be_set(kind: type) -> None:
    layer = kind(keras.Variable(2.0), temperature=1.5)
    assert layer.gamma == 2.0
    assert layer.weights == []
    with pytest.raises(AttributeError, match="`gamma` is fixed when the layer is made; make a new layer"):
        layer.gamma = 3
    assert kind(keras.ops.array([1.0, 2.0])).gamma == [1.0, 2.0]
    assert kind.gamma.name == "gamma"


def test_shapes() -> None:
    layer = PosteriorFromLogits(np.ones((4, 1)), pos_weight=[1.0, 2.0, 3.0])
    assert layer.compute_output_shape((None, 1, 3)) == (None, 4, 3)
    assert layer(keras.KerasTensor((None, 1, 3))).shape == (None, 4, 3)
    assert layer(keras.ops.zeros((2, 1, 3))).shape == (2, 4, 3)
    last, first = (CategoricalPosteriorFromLogits(2, class_weight=[1.0, 2.0, 0.5], axis=axis) for axis in (-1, 0))
    np.testing.assert_array_equal(numbers(first(keras.ops.array(FINITE.T))).T, numbers(last(keras.ops.array(FINITE))))
    assert last(keras.KerasTensor((None, 5, 3))).shape == (None, 5, 3)


def test_a_mask_goes_on() -> None:
    masked = keras.Sequential([keras.Input((4, 3)), keras.layers.Masking(), PosteriorFromLogits(2)])
    z = np.zeros((1, 4, 3), "float32")
    z[0, 0] = 1
    assert masked.layers[-1].supports_masking
    if BACKEND != "numpy":  # whose arrays have no attributes
        assert numbers(masked(keras.ops.array(z))._keras_mask).tolist() == [[True, False, False, False]]


def model() -> keras.Model:
    """A model of all maps, after a layer that hands its input on."""
    x = keras.Input((3,))
    identity = keras.layers.Dense(3, kernel_initializer="identity", use_bias=False)
    z = identity(x)
    return keras.Model(x, [kind(**options, temperature=1.5)(z) for kind, options in ALL])


# A matrix product makes NaN of infinities, and of the largest numbers in TensorFlow's.
WITHIN = FINITE[np.abs(FINITE).max(1) <= 1e4]


def assert_right(found: Any) -> None:
    assert len(found) == len(ALL)
    for value, (kind, options) in zip(found, ALL, strict=True):
        np.testing.assert_allclose(numbers(value), right(kind, options, WITHIN, 1.5), rtol=0, atol=1e-6)


def test_a_model_predicts_is_saved_and_loaded(tmp_path: Path) -> None:
    assert len(WITHIN) > 20
    made = model()
    assert_right(made.predict(WITHIN, verbose=0))
    made.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_right(loaded.predict(WITHIN, verbose=0))
    for layer, (kind, options) in zip(loaded.layers[2:], ALL, strict=True):
        assert type(layer) is kind
        config = layer.get_config()
        assert {name: config[name] for name in options} == {k: np.asarray(v).tolist() for k, v in options.items()}
        assert config["temperature"] == 1.5


@each_kind
def test_options_are_checked_at_construction(kind: type) -> None:
    for name, (option, _) in kind.kind.declared().items():
        refused = [row for row in option.kind.invalid if not (name == "axis" and isinstance(row[0], int))]
        assert refused
        for value, error, words in refused:
            with pytest.raises(error, match=f"^`{name}` {re.escape(words)}"):
                kind(**{"gamma": 2.0} | {name: value})
    with pytest.raises(ValueError, match="`gamma` must be a non-negative number, got -1"):
        kind(keras.ops.array([-1.0, 2.0]))


def test_bad_shapes_and_names() -> None:
    with pytest.raises(ValueError, match=re.escape("`gamma` of shape (2,) and `logits` of shape (None, 3)")):
        PosteriorFromLogits([1.0, 2.0])(keras.KerasTensor((None, 3)))
    with pytest.raises(ValueError, match=re.escape("`axis` must be in [-2, 2) for `logits` with 2 axes, got 2")):
        CategoricalPosteriorFromLogits(2, axis=2)(keras.KerasTensor((None, 3)))
    with pytest.raises(ValueError, match=re.escape("`class_weight` must be a number or have one entry per class (3)")):
        CategoricalPosteriorFromLogits(2, class_weight=[1.0, 2.0])(keras.KerasTensor((None, 3)))
    with pytest.raises(TypeError, match="`CategoricalPosteriorFromLogits` has no `dim`; pass `axis`"):
        CategoricalPosteriorFromLogits(2, dim=1)
