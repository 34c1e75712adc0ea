"""Sample weights and masks belong to the examples: every class, shape, backend and way of running."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

import keras
import numpy as np
import pytest
from cases import OWN_FORM
from keras.src.backend import set_keras_mask  # layers use it; it has no public name
from test_keras import DECLARED, function

from focal_loss.keras import losses, metrics

RNG = np.random.default_rng(0)
N, T, K = 4, 4, 3  # as many steps as examples, so that weights on the wrong axis still fit
# Required options, and an ignored class if the loss has one.
CLASSES: dict[str, dict[str, Any]] = {
    name: loss.options | ({"ignore_class": -1} if "ignore_class" in loss.declared.options.declared() else {})
    for name, loss in DECLARED.items()
}
REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", None)
PREDICTIONS = {"(N, K)": (N, K), "(N, T, K)": (N, T, K)}
WEIGHTS = {
    "(N, K)": ((), (N,), (N, 1), (N, K)),
    "(N, T, K)": ((), (N,), (N, 1), (N, T), (N, T, 1), (1, T), (N, T, K)),
}
MASKS = {"(N, K)": (None, (N,)), "(N, T, K)": (None, (N,), (N, T))}


def data(name: str, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, K, shape[:-1])
    y_pred = rng.normal(0, 2, shape).astype("float32")
    if name.startswith("Sparse"):
        labels[(1,) * labels.ndim] = -1
        return labels, y_pred
    one_hot = np.eye(K, dtype="float32")[labels]
    if "ignore_class" in CLASSES[name]:
        one_hot[(1,) * labels.ndim] = -1
        one_hot[(2,) * one_hot.ndim] = -1
    return one_hot, y_pred


def on_examples(values: np.ndarray, loss: np.ndarray) -> np.ndarray | None:
    """The weights or the mask in the shape of the loss, or None if they have more axes than it."""
    while values.ndim > loss.ndim and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim > loss.ndim:
        return None
    return np.broadcast_to(values.reshape(values.shape + (1,) * (loss.ndim - values.ndim)), loss.shape)


PLAIN = (None, (N,), (N, 1), (N, K), (N, T), (N, T, K))  # the shapes that are also compiled, which is slow


class Case:
    """One call and its expected result, or None if it must be refused."""

    def __init__(self, name: str, shape: str, weight: tuple[int, ...] | None, mask: tuple[int, ...] | None) -> None:
        rng = np.random.default_rng(2)
        self.name, self.key = name, f"{name}, {shape}, weight {weight}, mask {mask}"
        self.y_true, self.y_pred = data(name, PREDICTIONS[shape])
        self.weight = None if weight is None else rng.uniform(0.5, 2, weight).astype("float32")
        self.mask = None if mask is None else rng.permutation(np.arange(np.prod(mask)) % 2 == 0).reshape(mask)
        loss = function(name)(self.y_true, self.y_pred, from_logits=True, **CLASSES[name])
        weights = np.ones_like(loss) if weight is None else on_examples(self.weight, loss)
        self.refused = weights is None
        self.plain = weight in PLAIN and mask in (None, MASKS[shape][-1])
        if not self.refused:
            valid = np.ones_like(loss) if mask is None else on_examples(self.mask, loss)
            if "ignore_class" in CLASSES[name]:  # a mean over an axis counts by the share that it is of
                kept = self.y_true != -1
                valid = valid * (kept.mean(-1) if DECLARED[name].declared.layout == "average" else kept)
            self.each, self.weights, self.valid = loss * weights, weights * valid, valid

    def expected(self, reduction: str | None) -> Any:
        total = (self.each * self.valid).sum()
        if reduction in ("sum_over_batch_size", "mean"):
            return total / self.valid.sum()
        if reduction == "mean_with_sample_weight":
            return total / self.weights.sum()
        each = self.each * (self.valid != 0)
        return each if reduction is None else each.sum()

    def __call__(self, loss: Any) -> Any:
        y_pred = keras.ops.convert_to_tensor(self.y_pred) + 0.0  # a new tensor, to which the mask is attached
        if self.mask is not None:
            set_keras_mask(y_pred, keras.ops.convert_to_tensor(self.mask))
        return loss(self.y_true, y_pred, sample_weight=self.weight)


CASES = [
    Case(name, shape, weight, mask)
    for name in CLASSES
    for shape in (["(N, T, K)"] if DECLARED[name] in OWN_FORM else PREDICTIONS)
    for weight in (None, *WEIGHTS[shape])
    for mask in MASKS[shape]
]
ACCEPTED, REFUSED = [c for c in CASES if not c.refused], [c for c in CASES if c.refused]


def eager(compute: Callable[[], Any]) -> Callable[[], Any]:
    return compute


def graph(compute: Callable[[], Any]) -> Callable[[], Any]:
    import tensorflow as tf

    return tf.function(compute)


def jit(compute: Callable[[], Any]) -> Callable[[], Any]:
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(compute)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(compute, jit_compile=True)
    import torch

    return torch.compile(compute, backend="eager")  # tests the trace, not the code generator


MODES = {"numpy": [eager], "torch": [eager, jit], "jax": [eager, jit], "tensorflow": [eager, graph, jit]}


def measured(metric: Any) -> Callable[..., Any]:
    """The metric of one batch as a function, which every backend can compile."""

    def measure(y_true: Any, y_pred: Any, sample_weight: Any) -> Any:
        state = metric.stateless_reset_state()
        return metric.stateless_result(metric.stateless_update_state(state, y_true, y_pred, sample_weight))

    return measure


def is_repeated(name: str, mode: Callable[..., Any]) -> bool:
    """XLA compiles the same on TensorFlow as on JAX, slowly, so the simplest losses stand for all."""
    return mode is jit and keras.backend.backend() == "tensorflow" and not name.endswith("FocalLoss")


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        pytest.param(
            name, mode, id=f"{name}-{mode.__name__}", marks=[pytest.mark.nightly] if is_repeated(name, mode) else []
        )
        for name in CLASSES
        for mode in MODES[keras.backend.backend()]
    ],
)
def test_every_loss_and_metric(name: str, mode: Callable[..., Any]) -> None:
    """All shapes in one program. The metric gives the mean over the sum of the weights."""
    cases = [case for case in ACCEPTED if case.name == name and (mode is eager or case.plain)]
    loss = getattr(losses, name)(from_logits=True, reduction="mean_with_sample_weight", **CLASSES[name])
    metric = measured(getattr(metrics, name)(from_logits=True, **CLASSES[name]))
    results = mode(lambda: [(case(loss), case(metric)) for case in cases])()
    for case, found in zip(cases, results, strict=True):
        right = case.expected("mean_with_sample_weight")
        assert [float(value) for value in found] == pytest.approx([right, right], rel=2e-5), case.key


@pytest.mark.parametrize("name", CLASSES)
def test_every_reduction(name: str) -> None:
    for reduction in REDUCTIONS:
        loss = getattr(losses, name)(from_logits=True, reduction=reduction, **CLASSES[name])
        for case in ACCEPTED:
            if case.name == name:
                found = keras.ops.convert_to_numpy(case(loss))
                np.testing.assert_allclose(found, case.expected(reduction), rtol=2e-5, atol=1e-7, err_msg=case.key)


@pytest.mark.parametrize("name", CLASSES)
def test_what_belongs_to_no_example_is_refused(name: str) -> None:
    """Weights of outputs are refused where the loss is one number for all outputs, and so are weights of another number
    of examples.
    """
    loss = getattr(losses, name)(from_logits=True, **CLASSES[name])
    metric = getattr(metrics, name)(from_logits=True, **CLASSES[name])
    refused = [case for case in REFUSED if case.name == name]
    assert bool(refused) == (DECLARED[name].declared.layout != "elements")
    for case in refused:
        for computation in (loss, measured(metric)):
            with pytest.raises(ValueError, match=r"`sample_weight` of shape .* must have the shape .* of the loss"):
                case(computation)
    y_true, y_pred = data(name, (N, T + 1, K))
    for computation in (loss, measured(metric)):
        with pytest.raises(ValueError, match=r"`sample_weight` of shape \(5,\) must have the shape"):
            computation(y_true, y_pred, np.ones(T + 1))  # a weight for each step


def test_the_values_of_keras_where_it_drops_the_last_axis() -> None:
    """On hard labels the binary losses are equal except for the mean over the outputs."""
    for case in ACCEPTED:
        if case.name != "BinaryFocalCrossentropy" or case.y_true.ndim > 2:
            continue
        case = copy(case)
        case.y_true = np.maximum(case.y_true, 0)
        if case.weight is None or case.weight.ndim:  # Keras divides once by a single weight for all
            for reduction in ("sum_over_batch_size", "mean", "mean_with_sample_weight"):
                theirs = keras.losses.BinaryFocalCrossentropy(gamma=2.0, from_logits=True, reduction=reduction)
                ours = losses.BinaryFocalLoss(2.0, from_logits=True, reduction=reduction)
                assert float(case(ours)) == pytest.approx(float(case(theirs)), rel=2e-5), case.key


def test_weights_of_examples_and_not_of_columns() -> None:
    y, z = np.array([[1, 0, 1], [0, 1, 0]]), np.array([[1, -1, 0.5], [2, 0, -0.5]], "float32")
    loss, metric = losses.BinaryFocalLoss(2, from_logits=True), metrics.BinaryFocalLoss(2, from_logits=True)
    for cut, right in (
        (np.s_[..., None], 0.0188149342557),
        (np.s_[:, :2], 0.0113290287542),
        (np.s_[:], 0.0188149342557),
    ):
        for weight in ([1, 0], np.array([1, 0]), np.array([[1], [0]])):
            assert float(loss(y[cut], z[cut], sample_weight=weight)) == pytest.approx(right, rel=1e-6)
            metric.reset_state()
            metric.update_state(y[cut], z[cut], sample_weight=weight)
            assert float(metric.result()) == pytest.approx(2 * right, rel=1e-6)  # over the sum of the weights


@pytest.mark.parametrize("kind", [losses, metrics])
@pytest.mark.parametrize("name", ["BinaryFocalLoss", "SparseCategoricalFocalCrossentropy"])
@pytest.mark.parametrize("argument", ["y_true", "y_pred", "sample_weight"])
def test_masked_entries_are_refused(kind: Any, name: str, argument: str) -> None:
    options = {"gamma": 2} if name == "BinaryFocalLoss" else {}
    made = getattr(kind, name)(**options)
    given = {"y_true": np.array([1, 0]), "y_pred": np.full((2, 2), 0.5), "sample_weight": np.ones(2)}
    given["y_true"] = np.eye(2) if name == "BinaryFocalLoss" else given["y_true"]
    masked = np.ma.array(given[argument], mask=False)
    made(**given | {argument: masked})
    masked[0] = np.ma.masked
    with pytest.raises(ValueError, match=f"^`{argument}` must hold a value in every place"):
        made(**given | {argument: masked})


@pytest.mark.parametrize("kind", [losses, metrics])
@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("hidden", [-1, 255])
@pytest.mark.parametrize("mask_shape", [(N,), (N, T)])
def test_what_a_mask_hides_may_have_any_label(kind: Any, name: str, hidden: int, mask_shape: tuple[int, ...]) -> None:
    labels, y_pred = data(name, (N, T, K))
    labels = np.maximum(labels, 0)
    mask = np.arange(np.prod(mask_shape)).reshape(mask_shape) % 2 == 0
    padded = np.where(mask.reshape(mask.shape + (1,) * (labels.ndim - mask.ndim)), labels, hidden)
    options = {option: value for option, value in CLASSES[name].items() if option != "ignore_class"}

    def found(y_true: np.ndarray) -> float:
        prediction = keras.ops.convert_to_tensor(y_pred) + 0.0
        set_keras_mask(prediction, keras.ops.convert_to_tensor(mask))
        value = getattr(kind, name)(**options, from_logits=True)(y_true, prediction)
        return float(keras.ops.convert_to_numpy(value))

    assert found(labels) > 0
    np.testing.assert_allclose(found(padded), found(labels), rtol=1e-6)
