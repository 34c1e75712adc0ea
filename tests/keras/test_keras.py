"""Keras, on whichever backend KERAS_BACKEND names; `make keras` runs this file on each."""

from __future__ import annotations

import json
from typing import Any

import keras
import numpy as np
import pytest
from cases import LOSSES, Loss

import focal_loss
import focal_loss.numpy as reference
from focal_loss._core.losses import common
from focal_loss.keras import losses, metrics

RNG = np.random.default_rng(0)
Y, P = RNG.integers(0, 2, (6, 3)).astype("float32"), RNG.uniform(0.05, 0.95, (6, 3)).astype("float32")
V, T = RNG.normal(0, 2, (6, 3)).astype("float32"), RNG.integers(0, 3, 6)
ONE_HOT = np.eye(3, dtype="float32")[T]
LOGITS = {"from_logits": True}

# A value of each kind of option that is no loss's default, except flags. Options that may be arrays have an entry per
# class.
DIFFERENT: dict[Any, Any] = {
    common.PARAMETER: [0.5, 1.0, 2.0],
    common.WEIGHT: [1.0, 2.0, 3.0],
    common.FRACTION: [0.1, 0.2, 0.3],
    common.SMOOTHING: 0.1,
    common.CLIP: 0.1,
    common.AT_LEAST_MINUS_1: 0.5,
    common.CLASS: 2,
}
HALF_IGNORED = np.where(V > 1, 2, Y)
LABELS = {"elements": HALF_IGNORED, "average": HALF_IGNORED, "dense": ONE_HOT, "sparse": T}


def different(loss: Loss) -> dict[str, Any]:
    """All options of a loss, different from its defaults. An average is over the examples."""
    values = DIFFERENT | {common.AXIS: 0 if loss.declared.layout == "average" else 1}
    options = loss.declared.options.declared().items()
    return {
        name: not default if option.kind is common.FLAG else values[option.kind] for name, (option, default) in options
    }


# The options of every class, labels, and predictions.
CASES = {loss.declared.class_name: (different(loss), LABELS[loss.declared.layout], V) for loss in LOSSES}
DECLARED = {loss.declared.class_name: loss for loss in LOSSES}
each = pytest.mark.parametrize("name", CASES)


def function(name: str) -> Any:
    return getattr(reference, DECLARED[name].name)


def shares(name: str) -> Any:
    """The weight of each loss: whether its label is not ignored, or the share of such labels in a mean over an axis."""
    options, y_true, _ = CASES[name]
    kept = y_true != options.get("ignore_class", -1)
    return kept.mean(0) if DECLARED[name].declared.layout == "average" else kept if "ignore_class" in options else 1


def expected_mean(name: str) -> float:
    options, y_true, y_pred = CASES[name]
    loss = function(name)(y_true, y_pred, **options)
    return float(np.average(loss, weights=shares(name) * np.ones_like(loss)))


@each
def test_loss_is_the_mean_of_the_function(name: str) -> None:
    options, y_true, y_pred = CASES[name]
    loss = getattr(losses, name)(**options)
    assert float(loss(y_true, y_pred)) == pytest.approx(expected_mean(name), rel=1e-5)
    each_one = getattr(losses, name)(**options, reduction="none")(y_true, y_pred)
    expected = function(name)(y_true, y_pred, **options) * (shares(name) != 0)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(each_one), expected, rtol=1e-5)
    assert getattr(focal_loss, name) is getattr(losses, name)


@each
def test_lists_are_data(name: str) -> None:
    options, y_true, y_pred = CASES[name]
    loss = getattr(losses, name)(**options)
    assert float(loss(y_true.tolist(), y_pred.tolist())) == pytest.approx(expected_mean(name), rel=1e-5)


def test_the_class_weight_of_the_sparse_loss_may_be_positional() -> None:
    assert losses.SparseCategoricalFocalLoss(2, [1.0, 2.0, 3.0]).get_config()["class_weight"] == [1.0, 2.0, 3.0]


@each
@pytest.mark.parametrize("module", [losses, metrics])
def test_configuration_round_trip(name: str, module: Any) -> None:
    """Through JSON, by Keras' own serialization, with options that are arrays: NumPy arrays come back as lists."""
    options, y_true, y_pred = CASES[name]
    arrays = {k: np.array(v) if isinstance(v, list) else v for k, v in options.items()}
    original = getattr(module, name)(**arrays, name="my_loss", dtype="float32")
    text = json.dumps(keras.saving.serialize_keras_object(original))
    restored = keras.saving.deserialize_keras_object(json.loads(text))
    assert type(restored) is type(original)
    config = restored.get_config()
    assert config == original.get_config()
    assert config["name"] == "my_loss"
    assert config["dtype"] == "float32"
    assert {k: config[k] for k in options} == options
    if module is losses:
        assert float(restored(y_true, y_pred)) == float(original(y_true, y_pred))


@each
def test_a_configuration_of_keras_2_is_read(name: str) -> None:
    """The 2021 package saved 'auto' there, which Keras 3 refuses."""
    loss = getattr(losses, name)
    config = loss(**CASES[name][0]).get_config() | {"reduction": "auto"}
    assert loss.from_config(config).reduction == "sum_over_batch_size"
    assert config["reduction"] == "auto"


@each
def test_metric_streams_the_same_mean(name: str) -> None:
    options, y_true, y_pred = CASES[name]
    metric = getattr(metrics, name)(**options)
    if name != "BinaryFocalCrossentropy":  # its mean over axis 0 is not a mean over examples
        for k in (slice(0, 2), slice(2, 3), slice(3, 6)):
            metric.update_state(y_true[k], y_pred[k])
    else:
        metric.update_state(y_true, y_pred)
    assert float(metric.result()) == pytest.approx(expected_mean(name), rel=1e-5)
    metric.reset_state()
    assert float(metric.result()) == 0


@each
def test_errors_at_construction(name: str) -> None:
    focus = DECLARED[name].focus
    for module in (losses, metrics):
        with pytest.raises(ValueError, match=f"`{focus}` must be a non-negative number, got -1"):
            getattr(module, name)(**{focus: -1})
        with pytest.raises(TypeError, match="`from_logits` must be True or False"):
            getattr(module, name)(**{focus: 2}, from_logits="yes")


def test_sample_weight_mask_and_reductions() -> None:
    weight = np.array([0, 1, 2, 0.5, 1, 3], "float32")
    each_one = reference.binary_focal_loss(Y[:, :1], P[:, :1], 2)[:, 0]
    for reduction, value in (("sum", (each_one * weight).sum()), ("sum_over_batch_size", (each_one * weight).mean())):
        loss = losses.BinaryFocalLoss(2, reduction=reduction)
        assert float(loss(Y[:, :1], P[:, :1], sample_weight=weight)) == pytest.approx(value, rel=1e-5)
    metric = metrics.BinaryFocalLoss(2)
    metric.update_state(Y[:, :1], P[:, :1], sample_weight=weight)
    assert float(metric.result()) == pytest.approx(np.average(each_one, weights=weight), rel=1e-5)


def test_sample_weight_beside_ignored_examples() -> None:
    y_true, y_pred = np.array([[0, 255], [1, 2]]), RNG.normal(size=(2, 2, 3)).astype("float32")
    weight = np.array([2.0, 3.0], "float32")
    each_one = reference.sparse_categorical_focal_loss(y_true, y_pred, 2, ignore_class=255, **LOGITS)
    metric = metrics.SparseCategoricalFocalLoss(2, ignore_class=255, **LOGITS)
    metric.update_state(y_true, y_pred, sample_weight=weight)
    expected = (each_one * weight[:, None]).sum() / (2 + 3 + 3)
    assert float(metric.result()) == pytest.approx(expected, rel=1e-5)


def test_labels_and_weights_as_columns_beside_ignored_examples() -> None:
    y_true, y_pred = np.array([[0], [-1], [1]]), np.array([[0.8, 0.2]] * 3, "float32")
    metric = metrics.SparseCategoricalFocalLoss(2, ignore_class=-1)
    metric.update_state(y_true, y_pred, sample_weight=np.array([[1.0], [2.0], [3.0]]))
    each_one = reference.sparse_categorical_focal_loss([0, 1], y_pred[:2], 2)
    assert float(metric.result()) == pytest.approx(np.average(each_one, weights=[1, 3]), rel=1e-5)


def test_options_may_be_lists_of_scalars_of_numpy() -> None:
    loss = losses.SparseCategoricalFocalLoss(2, class_weight=[np.float32(1), 2, 3])
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    assert keras.saving.deserialize_keras_object(config).get_config()["class_weight"] == [1, 2, 3]


def test_everything_ignored_is_zero() -> None:
    loss = losses.SparseCategoricalFocalLoss(2, ignore_class=255, **LOGITS)
    assert float(loss(np.full((2, 2), 255), np.full((2, 2, 3), np.nan, "float32"))) == 0


@pytest.mark.parametrize("name", ["CategoricalFocalLoss", "CategoricalFocalCrossentropy"])
def test_smoothed_indices_are_smoothed_labels(name: str) -> None:
    """A mean over the examples that are not ignored."""
    options = {"gamma": 2.0, "label_smoothing": 0.1, **LOGITS}
    expected = float(getattr(losses, name)(**options)(ONE_HOT[1:], V[1:]))
    y_true = np.concatenate([[-1], T[1:]])
    for module in (losses, metrics):
        sparse = getattr(module, f"Sparse{name}")(ignore_class=-1, **options)
        if module is losses:
            found = sparse(y_true, V)
        else:
            sparse.update_state(y_true, V)
            found = sparse.result()
        assert float(found) == pytest.approx(expected, rel=2e-6)


@pytest.mark.parametrize(
    ("name", "first"),
    [("SparseCategoricalFocalLoss", (2.0, None)), ("SparseCategoricalFocalCrossentropy", (0.25, 2.0))],
)
def test_reduction_name_and_dtype_of_sparse_losses_by_position(name: str, first: tuple[Any, ...]) -> None:
    loss, given = getattr(losses, name), (*first, True, -1, None, "sum", "own", "float64")
    built = loss(*given)
    assert (built.reduction, built.name, built.dtype) == ("sum", "own", "float64")
    with pytest.raises(TypeError, match="positional"):
        loss(*given, 0.1)


def test_labels_align_with_a_column_of_predictions() -> None:
    column = losses.BinaryFocalLoss(2)(Y[:, 0], P[:, :1])
    assert float(column) == pytest.approx(float(losses.BinaryFocalLoss(2)(Y[:, :1], P[:, :1])))
    metric = metrics.BinaryFocalCrossentropy()
    metric.update_state(Y[:, 0], P[:, :1])
    assert float(metric.result()) == pytest.approx(float(losses.BinaryFocalCrossentropy()(Y[:, 0], P[:, :1])))


@pytest.mark.parametrize("options", [{}, {"gamma": 1.0, "label_smoothing": 0.2}])
def test_the_values_of_keras_where_keras_is_right(options: dict[str, Any]) -> None:
    for balanced in (False, True):
        more = {"apply_class_balancing": balanced, **({"alpha": 0.3} if balanced else {}), **options}
        theirs = keras.losses.BinaryFocalCrossentropy(**more)(Y, P)
        assert float(losses.BinaryFocalCrossentropy(**more)(Y, P)) == pytest.approx(float(theirs), rel=2e-5)
        soft = keras.losses.BinaryFocalCrossentropy(**more)(P[::-1].copy(), P)
        assert float(losses.BinaryFocalCrossentropy(**more)(P[::-1].copy(), P)) == pytest.approx(float(soft), rel=2e-5)
    for y_pred, logits in ((P, False), (V, True)):
        theirs = keras.losses.CategoricalFocalCrossentropy(from_logits=logits, **options)(ONE_HOT, y_pred)
        ours = losses.CategoricalFocalCrossentropy(from_logits=logits, **options)(ONE_HOT, y_pred)
        assert float(ours) == pytest.approx(float(theirs), rel=2e-5)


def test_functions_are_there_in_both_places() -> None:
    for module in (losses, metrics):
        found = keras.ops.convert_to_numpy(module.binary_focal_crossentropy([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]]))
        np.testing.assert_allclose(found, [0.32986468, 0.20579839], rtol=3e-7)


@each
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean", "sum", "mean_with_sample_weight"])
def test_reductions_are_those_of_keras(name: str, reduction: str) -> None:
    """Without weights and masks the backend reduces: to what Keras makes of the losses with weights of 1."""
    options = {name: value for name, value in CASES[name][0].items() if name != "ignore_class"}
    y_true, y_pred = (T if name.startswith("Sparse") else ONE_HOT), V
    loss = getattr(losses, name)(**options, reduction=reduction)
    each_one = function(name)(y_true, y_pred, **options)
    found = float(loss(y_true, y_pred))
    assert found == pytest.approx(float(each_one.sum() if reduction == "sum" else each_one.mean()), rel=1e-6)
    weighted = loss(y_true, y_pred, sample_weight=np.ones(each_one.shape, "float32"))
    assert found == pytest.approx(float(weighted), rel=1e-6)


def test_a_loss_of_a_subclass_is_what_is_reduced() -> None:
    class Twice(losses.BinaryFocalLoss):
        def call(self, y_true: Any, y_pred: Any) -> Any:
            return 2 * super().call(y_true, y_pred)

    expected = 2 * float(losses.BinaryFocalLoss(2)(Y, P))
    assert float(Twice(2)(Y, P)) == pytest.approx(expected, rel=1e-6)
