"""Posteriors of focal scores against golden numbers, in every framework; temperature; the calibration error.

The bounds: T is as large as (1 + gamma) |z|, rounded a few times, and an error of a logit is a relative error of the
probability. So a posterior is right to (8 + 2 (1 + gamma) |z|) eps, a score of which only the posterior is known, with
logit t, to (8 + 2 |t|) eps. From a score, 1 - x rounds the logit once more, and gamma multiplies it. A derivative has
one more factor of order 1, but for that in gamma, where numbers of order |z| + 1 cancel.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas
import pytest
import tensorflow as tf
import torch
from accuracy import HALF, Exact, column
from cases import DIFFERENTIABLE, FRAMEWORKS, Framework, jax_tensor
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from focal_loss import calibration
from focal_loss.calibration import (
    FocalTemperature,
    categorical_posterior_from_logits,
    categorical_posterior_from_score,
    categorical_prior_logits,
    expected_calibration_error,
    posterior_from_logits,
    posterior_from_score,
    prior_logit,
    score_from_posterior,
)

WIDE = ("float32", "float64")
PAIRS = {  # weight of the positives: scores of the posteriors
    1.0: [0.15362, 0.30579, 0.42152, 0.53780, 0.74979],
    1 / 3: [0.10838, 0.22659, 0.32600, 0.43562, 0.66575],
}
POSTERIORS = [0.01, 0.1, 0.3, 0.6, 0.95]


@cache
def golden() -> dict[str, list[dict[str, Any]]]:
    return json.loads((Path(__file__).parent / "golden" / "posterior.json").read_text())


def rows_of(section: str, name: str, dtype: str) -> list[dict[str, Any]]:
    """The rows whose input is exact in the dtype."""
    return [row for row in golden()[section] if float(np.asarray(row[name], dtype)) == row[name]]


def assert_within(value: np.ndarray, rows: list[dict[str, Any]], name: str, bound: np.ndarray, dtype: str) -> None:
    """Assert an error within `bound` eps, times the exact number where it is relative. Numbers that underflow may be
    flushed to zero.
    """
    exact = Exact.of([row[name] for row in rows])
    allowed = bound * np.finfo(dtype).eps + 64 * np.finfo(dtype).tiny
    error_ratio = exact.error(value) / allowed
    k = int(np.argmax(np.where(np.isnan(error_ratio), np.inf, error_ratio)))
    assert error_ratio[k] <= 1, f"{error_ratio[k]:.3g} of the bound at {rows[k]}: got {value[k]!r}"


def magnitude(rows: list[dict[str, Any]], name: str) -> np.ndarray:
    return np.abs(Exact.of([row[name] for row in rows]).high)


@pytest.mark.parametrize("framework", DIFFERENTIABLE, ids=str)
def test_a_gamma_below_0_counts_as_0(framework: Framework) -> None:
    """In a tensor, whose numbers are not looked at; as in the losses."""
    x = np.array([0.25, 0.75])
    for function in (
        posterior_from_logits,
        posterior_from_score,
        score_from_posterior,
        categorical_posterior_from_logits,
        categorical_posterior_from_score,
        lambda x, gamma: calibration.posterior_of_loss("poly1_focal_loss", x, gamma=gamma),
        lambda x, gamma: calibration.posterior_of_loss("penalty_reduced_focal_loss", x, alpha=gamma),
        lambda x, gamma: calibration.posterior_of_loss("varifocal_loss", x, gamma=gamma, detach_weight=True),
    ):
        found = function(framework.tensor(x, "float32"), framework.tensor([-1.0, 2.0], "float32"))
        exact = function(framework.tensor(x, "float32"), [0.0, 2.0])
        np.testing.assert_array_equal(framework.numpy(found), framework.numpy(exact))


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
def test_posterior_from_logits(framework: Framework, dtype: str) -> None:
    rows = rows_of("posterior", "z", dtype)
    z, gamma, w = (column(rows, name) for name in ("z", "gamma", "w"))
    result = framework.derivatives(
        lambda z, gamma, w: posterior_from_logits(z, gamma, pos_weight=w),
        {"z": z, "gamma": gamma, "w": w},
        dtype,
        **({} if framework.name == "numpy" else {"second": False}),
    )
    relative = 8 + 2 * (1 + gamma) * np.abs(z)
    assert_within(result["value"], rows, "value", relative * magnitude(rows, "value"), dtype)
    if framework.name == "numpy":
        return
    assert_within(result["z"], rows, "dz", (8 + relative) * magnitude(rows, "dz"), dtype)
    assert_within(result["w"], rows, "dw", (8 + relative) * magnitude(rows, "dw"), dtype)
    spread = magnitude(rows, "dw") * w  # p (1 - p)
    assert_within(result["gamma"], rows, "dgamma", (8 + relative) * spread * (np.abs(z) + 1), dtype)


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("name", ["posterior_of_score", "score_of_posterior"])
@pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
def test_probabilities(framework: Framework, name: str, dtype: str) -> None:
    function = posterior_from_score if name == "posterior_of_score" else score_from_posterior
    rows = [row for row in rows_of(name, "x", dtype) if dtype == "float64" or row["x"] > 1e-37]
    x, gamma, w = (column(rows, key) for key in ("x", "gamma", "w"))
    result = framework.derivatives(
        lambda x, gamma, w: function(x, gamma, pos_weight=w), {"x": x, "gamma": gamma, "w": w}, dtype, second=False
    )
    logit = np.abs(np.log(x / (1 - x)))
    relative = 8 + 2 * (logit + 1) * ((1 + gamma) if name == "posterior_of_score" else 1)
    assert_within(result["value"], rows, "value", relative * magnitude(rows, "value"), dtype)
    if framework.name != "numpy":
        assert_within(result["x"], rows, "dx", (8 + relative) * magnitude(rows, "dx"), dtype)


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
def test_categorical_posterior_from_logits(framework: Framework, dtype: str) -> None:
    for row in golden()["softmax"]:
        v, count = np.array(row["v"]), len(row["v"])

        def weighed(v: Any, row: dict[str, Any] = row) -> Any:
            posterior = categorical_posterior_from_logits(v, row["gamma"], class_weight=row["w"])
            return posterior * framework.tensor(1 + np.arange(len(row["v"])), dtype)

        result = framework.derivatives(weighed, {"v": v}, dtype, second=False)
        spread = 8 + count + 2 * (1 + max(row["gamma"])) * (v.max() - v.min())
        each = [{"value": e} for e in row["value"]]
        value = result["value"] / (1 + np.arange(count))
        assert_within(value, each, "value", spread * magnitude(each, "value"), dtype)
        if framework.name != "numpy":
            each = [{"gradient": d} for d in row["gradient"]]
            # the terms of a gradient: the slope of U, at most 1 + gamma, times what is left of a posterior
            posterior = Exact.of(row["value"]).high
            terms = count * (1 + max(row["gamma"])) * np.sum(posterior * (1 - posterior))
            assert_within(result["v"], each, "gradient", spread * terms * np.ones(count), dtype)


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
def test_half_precision_is_computed_in_float32(framework: Framework) -> None:
    z = np.array([-8.0, -2.5, -0.5, 0.0, 0.5, 2.5])
    for dtype in HALF:
        expected = framework.tensor(framework.numpy(posterior_from_logits(framework.tensor(z, "float32"), 2)), dtype)
        found = posterior_from_logits(framework.tensor(z, dtype), 2)
        np.testing.assert_array_equal(framework.numpy(found), framework.numpy(expected))
        assert dtype in str(found.dtype)
        with pytest.raises(ValueError, match="`score` must hold numbers"):
            posterior_from_score(framework.tensor([2.0], dtype), 2)


@pytest.mark.parametrize("weight", PAIRS)
@pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
def test_published_pairs(framework: Framework, weight: float) -> None:
    posterior = framework.tensor(POSTERIORS, "float32")
    scores = score_from_posterior(posterior, 2, pos_weight=weight)
    assert type(scores) is type(posterior)
    np.testing.assert_allclose(framework.numpy(scores), PAIRS[weight], atol=6e-6)
    found = posterior_from_score(framework.tensor(PAIRS[weight], "float32"), 2, pos_weight=weight)
    np.testing.assert_allclose(framework.numpy(found), POSTERIORS, atol=2e-5)


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
def test_published_triple(framework: Framework) -> None:
    scores = framework.tensor([[0.53517, 0.29269, 0.17214]], "float32")
    np.testing.assert_allclose(
        framework.numpy(categorical_posterior_from_score(scores, 2))[0], [0.7, 0.2, 0.1], atol=2e-5
    )
    logits = np.exp(categorical_prior_logits([0.7, 0.2, 0.1], 2))
    np.testing.assert_allclose(logits / logits.sum(), [0.53517, 0.29269, 0.17214], atol=5e-6)


@pytest.mark.parametrize("gamma", [0, 0.5, 2, 10])
def test_round_trips(gamma: float) -> None:
    e = np.concatenate([10.0 ** np.arange(-300, 0, 7), np.linspace(0.01, 0.99, 99), 1 - 10.0 ** np.arange(-15, -2)])
    score = score_from_posterior(e, gamma, pos_weight=0.25)
    inside = (score > 1e-300) & (score < 1 - 1e-10)  # nearer to 1 a score is not known well enough
    back = posterior_from_score(score, gamma, pos_weight=0.25)
    np.testing.assert_allclose(back[inside], e[inside], rtol=2e-10)
    np.testing.assert_allclose(
        posterior_from_logits(prior_logit(e, gamma, pos_weight=0.25), gamma, pos_weight=0.25), e, rtol=1e-12
    )


@pytest.mark.parametrize("gamma", [0, 0.5, 2, 10])
def test_rising(gamma: float) -> None:
    z = np.linspace(-30, 30, 10001)
    assert (np.diff(posterior_from_logits(z, gamma)[z < 3]) > 0).all()
    assert (np.diff(score_from_posterior(np.linspace(0, 1, 1001), gamma)) > 0).all()


def test_gamma_0_undoes_the_weight_alone() -> None:
    p = np.array([0.01, 0.4, 0.9])
    np.testing.assert_allclose(posterior_from_score(p, 0, pos_weight=3), p / (p + 3 * (1 - p)), rtol=1e-14)
    np.testing.assert_allclose(posterior_from_score(p, 0), p, rtol=1e-14)
    prior = np.array([0.2, 0.5, 0.3])
    weighed = prior / np.array([1, 2, 4])
    found = categorical_posterior_from_score(prior, 0, class_weight=[1, 2, 4])
    np.testing.assert_allclose(found, weighed / weighed.sum(), rtol=1e-14)


def test_two_classes_are_a_sigmoid() -> None:
    z = np.linspace(-20, 20, 41)
    both = categorical_posterior_from_logits(np.stack([0 * z, z]), 2, class_weight=[2, 3], axis=0)
    np.testing.assert_allclose(both[1], posterior_from_logits(z, 2, pos_weight=1.5), rtol=1e-13)


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
def test_edges(framework: Framework) -> None:
    edges = framework.tensor([0.0, 1.0, float("nan")], "float32")
    for gamma in (0.0, 0.5, 2.0):
        for function in (posterior_from_score, score_from_posterior):
            np.testing.assert_array_equal(framework.numpy(function(edges, gamma)), [0, 1, np.nan])
    far = framework.tensor([-np.inf, -1e38, 1e38, np.inf, np.nan], "float32")
    np.testing.assert_array_equal(framework.numpy(posterior_from_logits(far, 2)), [0, 0, 1, 1, np.nan])
    rows = framework.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], "float32")
    np.testing.assert_array_equal(framework.numpy(categorical_posterior_from_score(rows, 2)), [[1, 0, 0], [np.nan] * 3])


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_a_graph_of_tensorflow_takes_every_logit(gamma: float, compiled: bool) -> None:
    """TensorFlow reorders the products of a graph, and 0 times an infinite one would be NaN."""
    rows = [[1e4, -1e4, 0.0], [3e38, -3e38, 0.0], [0.0, 0.0, 0.0], [3.0, 2.0, 1.0]]

    @partial(tf.function, autograph=False, jit_compile=compiled)
    def slope(v: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(v)
            posterior = categorical_posterior_from_logits(v, gamma)
            first = posterior[:, 0]
        return posterior, tape.gradient(first, v)

    value, gradient = (part.numpy() for part in slope(tf.constant(rows)))
    np.testing.assert_allclose(value, categorical_posterior_from_logits(rows, gamma), rtol=1e-5)
    np.testing.assert_array_equal(gradient[:2], 0)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("framework", DIFFERENTIABLE, ids=str)
def test_derivatives_at_the_edges_are_those_next_to_them(framework: Framework) -> None:
    x = np.array([0.0, 1.0])
    for function, slope in ((posterior_from_score, [2.0, 0.5]), (score_from_posterior, [0.5, 2.0])):
        weighed = partial(function, gamma=0, pos_weight=0.5)
        found = framework.derivatives(lambda x, f=weighed: f(x), {"x": x}, "float32", second=False)
        np.testing.assert_allclose(found["x"], slope, rtol=1e-4)
        found = framework.derivatives(lambda x, f=function: f(x, 2), {"x": x}, "float32", second=False)
        assert np.isfinite(found["x"]).all()


@pytest.mark.parametrize("framework", DIFFERENTIABLE, ids=str)
def test_second_derivatives_are_refused(framework: Framework) -> None:
    with pytest.raises(NotImplementedError, match="first derivatives, not second"):
        framework.derivatives(lambda z: posterior_from_logits(z, 2), {"z": np.array([0.5])}, "float32")


def test_what_cannot_be_read_is_nan() -> None:
    outside = [0.5, 1.5, -0.5]
    compiled = jax.jit(lambda x: posterior_from_score(x, 2))(jax_tensor(outside, "float32"))
    np.testing.assert_array_equal(np.isnan(compiled), [False, True, True])
    graph = tf.function(lambda x: score_from_posterior(x, 2))(tf.constant(outside))
    np.testing.assert_array_equal(np.isnan(graph), [False, True, True])


def test_host_arrays_are_numpy() -> None:
    for value in ([0, 1], (0.5,), pandas.Series([0.25, 0.5]), 1, np.float64(0.5)):
        assert isinstance(posterior_from_logits(value, 2), np.ndarray | np.float32 | np.float64)
    assert posterior_from_logits([0, 1], 2).dtype == np.float32
    assert posterior_from_logits(pandas.Series([0.25, 0.5]), 2).dtype == np.float64
    assert isinstance(posterior_from_logits([0.0, 1.0], torch.tensor(2.0)), torch.Tensor)


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
def test_shapes_broadcast(framework: Framework) -> None:
    z = framework.tensor(np.zeros((4, 1)), "float32")
    found = posterior_from_logits(z, [0.0, 1.0, 2.0], pos_weight=framework.tensor([1.0, 2.0, 3.0], "float32"))
    np.testing.assert_allclose(framework.numpy(found), np.tile([1 / 2, 1 / 3, 1 / 4], (4, 1)), rtol=1e-6)


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
def test_where_p_underflows_and_the_posterior_does_not(framework: Framework) -> None:
    z = framework.tensor([-105.0], "float32")  # T = 1.1 z + log(1 + gamma)
    found = posterior_from_logits(z, 0.1, pos_weight=1e-37)
    np.testing.assert_allclose(framework.numpy(found), np.exp(1.1 * -105) * 1.1 * 1e37, rtol=1e-4)


@pytest.mark.parametrize("classes", [2, 3, 10, 1000])
@pytest.mark.parametrize("gamma", [0, 0.01, 0.5, 2, 10, "each"])
def test_prior_logits_have_the_prior_as_posterior(classes: int, gamma: Any) -> None:
    rng = np.random.default_rng(classes)
    focus = rng.choice([0, 0.1, 2.0, 7.0], classes) if gamma == "each" else gamma
    weight = 10 ** rng.uniform(-2, 2, classes)
    for rare in (1e-9, 0.2, 1 - 1e-9):
        prior = rng.random(classes)
        prior[0] = rare
        prior[1:] *= (1 - rare) / prior[1:].sum()
        logits = categorical_prior_logits(1000 * prior, focus, class_weight=weight)
        assert abs(logits.mean()) < 1e-12
        found = categorical_posterior_from_logits(logits, focus, class_weight=weight)
        np.testing.assert_allclose(found, prior, rtol=1e-12)


def test_prior_logit() -> None:
    np.testing.assert_allclose(prior_logit(0.01, 0), -4.59512, atol=5e-6)
    np.testing.assert_allclose(prior_logit([0.01, 0.5], 2), np.log(0.15362 / 0.84638) * np.array([1, 0]), atol=1e-4)
    assert isinstance(prior_logit(0.01, 2), np.float64)
    two = categorical_prior_logits([0.9, 0.1], 2, class_weight=[1, 3])
    np.testing.assert_allclose(two[1] - two[0], prior_logit(0.1, 2, pos_weight=3), rtol=1e-12)


BAD = [
    (
        posterior_from_score,
        [[1.2], 2],
        {},
        "`score` must hold numbers in [0, 1], got 1.2; apply a sigmoid first, or use",
    ),
    (score_from_posterior, [[-0.5], 2], {}, "`posterior` must hold numbers in [0, 1], got -0.5"),
    (
        categorical_posterior_from_score,
        [[[2.0, 1.0]], 2],
        {},
        "`scores` must hold numbers in [0, 1], got 2.0; apply a softmax",
    ),
    (posterior_from_logits, [[0.5], -1], {}, "`gamma` must be a non-negative number, got -1"),
    (posterior_from_logits, [[0.5], 2], {"pos_weight": 0}, "`pos_weight` must be a positive number, got 0"),
    (posterior_from_logits, [[0.5, 1], [1, 2, 3]], {}, "`gamma` of shape (3,) and `logits` of shape (2,) do not"),
    (posterior_from_logits, [["a"], 2], {}, "`logits` must be an array of real numbers"),
    (
        categorical_posterior_from_logits,
        [[0.5, 1], [1, 2, 3]],
        {},
        "`gamma` must be a number or have one entry per class",
    ),
    (categorical_posterior_from_logits, [[0.5, 1], 2], {"class_weight": [1, 0]}, "`class_weight` must be a positive"),
    (categorical_posterior_from_logits, [[0.5, 1], 2], {"axis": 1}, "`axis` must be in [-1, 1) for `logits`"),
    (prior_logit, [0, 2], {}, "`prior` must be a number in (0, 1), got 0"),
    (prior_logit, [1.0, 2], {}, "`prior` must be a number in (0, 1), got 1"),
    (prior_logit, ["a", 2], {}, "`prior` must be a number or an array of numbers"),
    (categorical_prior_logits, [[0.5, 0], 2], {}, "`prior` must be a positive number, got 0"),
    (categorical_prior_logits, [[1.0], 2], {}, "`prior` must have one entry for each of at least 2 classes"),
    (categorical_prior_logits, [[1, 2], [1, 2, 3]], {}, "`gamma` must be a number or have one entry per class (2)"),
    (expected_calibration_error, [[0, 2], [0.5, 0.5]], {}, "`y_true` must hold class indices in [0, 2), got 2"),
    (expected_calibration_error, [[0, 1], [0.5, 1.5]], {}, "`y_prob` must hold numbers in [0, 1], got 1.5"),
    (expected_calibration_error, [[0], [0.5, 0.5]], {}, "`y_true` of shape (1,) and `y_prob` of shape (2,)"),
    (expected_calibration_error, [[0], [0.5]], {"bins": 0}, "`bins` must be at least 1, got 0"),
    (
        expected_calibration_error,
        [[0], [0.5]],
        {"strategy": "x"},
        "`strategy` must be 'uniform' or 'quantile', got 'x'",
    ),
    (
        expected_calibration_error,
        [[0], [0.5]],
        {"sample_weight": [0]},
        "`sample_weight` must hold one non-negative number",
    ),
]


@pytest.mark.parametrize(("function", "arguments", "options", "message"), BAD)
def test_bad_input(function: Any, arguments: list[Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        function(*arguments, **options)
    assert str(caught.value).startswith(message)


# Temperature


def simulated(kind: str, count: int = 20000) -> tuple[np.ndarray, np.ndarray]:
    """Logits of the right size for gamma = 2, and labels drawn from their posteriors."""
    rng = np.random.default_rng(3)
    if kind == "binary":
        z = rng.normal(size=count)
        return z, (rng.random(count) < posterior_from_logits(z, 2)).astype(int)
    z = rng.normal(size=(count, 3))
    steps = categorical_posterior_from_logits(z, 2).cumsum(1)
    return z, (rng.random((count, 1)) > steps[:, :2]).sum(1)


@pytest.mark.parametrize("kind", ["binary", "softmax"])
@pytest.mark.parametrize("scale", [0.25, 1, 5])
def test_the_temperature_is_found(kind: str, scale: float) -> None:
    z, y = simulated(kind)
    model = FocalTemperature(gamma=2).fit(scale * z, y)
    assert abs(model.temperature_ / scale - 1) < 0.03
    posterior = model.predict_proba(scale * z)
    assert posterior.shape == (len(z), 2 if kind == "binary" else 3)
    np.testing.assert_allclose(posterior.sum(1), 1, rtol=1e-12)
    exact = scale * z / model.temperature_
    if kind == "binary":
        np.testing.assert_allclose(posterior[:, 1], posterior_from_logits(exact, 2), rtol=1e-12)
        np.testing.assert_array_equal(model.predict_proba(scale * z[:, None]), posterior)
    else:
        np.testing.assert_allclose(posterior, categorical_posterior_from_logits(exact, 2), rtol=1e-12)
    # of the two that differ only in the map, the right one has the smaller loss
    plain = FocalTemperature(gamma=0).fit(scale * z, y).predict_proba(scale * z)
    loss = [-np.log(np.take_along_axis(p, y[:, None], 1)).mean() for p in (posterior, plain)]
    assert loss[0] < loss[1]


def test_the_temperature_is_the_minimum() -> None:
    z, y = simulated("binary", 500)
    weight = np.linspace(0, 1, 500)
    model = FocalTemperature(gamma=2, pos_weight=0.5).fit(2 * z, y, sample_weight=weight)

    def loss(temperature: float) -> float:
        p = posterior_from_logits(2 * z / temperature, 2, pos_weight=0.5)
        return float(np.average(-np.log(np.where(y, p, 1 - p)), weights=weight))

    best = loss(model.temperature_)
    assert best < min(loss(1.001 * model.temperature_), loss(model.temperature_ / 1.001))
    doubled = FocalTemperature(gamma=2, pos_weight=0.5).fit(np.tile(2 * z, 2), np.tile(y, 2), np.tile(weight, 2))
    np.testing.assert_allclose(doubled.temperature_, model.temperature_, rtol=1e-6)


def test_temperature_is_an_estimator() -> None:
    z, y = simulated("softmax", 200)
    names = np.array(["ant", "bee", "cat"])[y]
    model = FocalTemperature(1.5, class_weight=[1, 2, 3])
    with pytest.raises(NotFittedError):
        model.predict_proba(z)
    again = clone(model)
    assert again.get_params() == {"gamma": 1.5, "pos_weight": None, "class_weight": [1, 2, 3]}
    fitted = again.fit(z, names)
    assert fitted is again
    assert list(fitted.classes_) == ["ant", "bee", "cat"]
    restored = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(restored.predict_proba(z), fitted.predict_proba(z))
    lacking = FocalTemperature().fit(z[y != 1], y[y != 1])
    assert list(lacking.classes_) == [0, 1, 2]


@pytest.mark.parametrize(
    ("options", "z", "y", "message"),
    [
        ({"gamma": -1}, [0.5, 1], [0, 1], "`gamma` must be a non-negative number, got -1"),
        ({"class_weight": 2}, [0.5, 1], [0, 1], "`class_weight` has no part with 1 logits per example"),
        ({"pos_weight": 2}, [[0.5, 1, 2]], [0], "`pos_weight` has no part with 3 logits per example"),
        ({"class_weight": [1, 2]}, [[0.5, 1, 2]], [0], "`class_weight` must be a number or have one entry per class"),
        ({}, [[[0.5]]], [0], "`logits` must have the shape"),
        ({}, [0.5, 1], [0, 2], None),
        ({}, [[0.5, 1, 2]], [3], "`y` must hold 3 different labels or class indices in [0, 3)"),
    ],
)
def test_bad_input_of_temperature(options: dict[str, Any], z: Any, y: Any, message: str | None) -> None:
    if message is None:  # two labels that are not indices are accepted
        assert list(FocalTemperature(**options).fit([-1, 1, -0.5, 0.5], [0, 2, 2, 0]).classes_) == [0, 2]
        return
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        FocalTemperature(**options).fit(z, y)
    assert str(caught.value).startswith(message)


def test_separated_classes_have_no_temperature() -> None:
    with pytest.warns(ConvergenceWarning, match="do not determine the temperature"):
        model = FocalTemperature().fit([-2.0, -1, 1, 2], [0, 0, 1, 1])
    assert model.temperature_ < 0.011
    with pytest.raises(ValueError, match="must have 1 columns"):
        model.predict_proba([[1.0, 2.0]])


@pytest.mark.parametrize(("logits", "labels"), [([0.0, 0, 0, 0], [0, 1, 1, 1]), ([-1.0, 1, 2, 0.5], [1, 1, 1, 1])])
def test_labels_that_determine_no_temperature(logits: list[float], labels: list[int]) -> None:
    with pytest.warns(ConvergenceWarning, match="do not determine the temperature"):
        FocalTemperature().fit(logits, labels)


@pytest.mark.parametrize("labels", [[0, np.nan, np.nan, 1], [0.1, 0.9, 0.1, 0.9]])
def test_a_temperature_wants_classes(labels: list[float]) -> None:
    with pytest.raises(ValueError, match=r"contains NaN|Unknown label type"):
        FocalTemperature().fit([1.0, -1, 2, 0.5], labels)


def test_posteriors_compile_in_one_graph() -> None:
    logits = torch.linspace(-3, 3, 7)
    exact = posterior_from_logits(logits, 2.0)  # also imports modules, which a graph cannot
    compiled = torch.compile(lambda z: posterior_from_logits(z, 2.0), backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(logits), exact)


# The calibration error


def test_calibration_error_by_hand() -> None:
    y, p = [0, 1, 1, 1, 0], [0.1, 0.2, 0.5, 0.8, 1.0]
    # (0, .5] holds three of mean label 2/3 and mean probability .8/3, (.5, 1] two of .5 and .9
    np.testing.assert_allclose(expected_calibration_error(y, p, bins=2), (3 * 1.2 / 3 + 2 * 0.4) / 5)
    np.testing.assert_allclose(expected_calibration_error(y, p, bins=1), abs(3 - 2.6) / 5)
    weight = [1, 0, 2, 0, 1]
    np.testing.assert_allclose(expected_calibration_error(y, p, bins=2, sample_weight=weight), (0.9 + 1.0) / 4)
    # halves by number: .1 .2 .5 and .8 1.
    np.testing.assert_allclose(expected_calibration_error(y, p, bins=2, strategy="quantile"), (1.2 + 0.8) / 5)
    # halves by weight: .1 and .5
    heavy = expected_calibration_error(y, p, bins=2, strategy="quantile", sample_weight=[3, 0, 1, 0, 0])
    np.testing.assert_allclose(heavy, (0.3 + 0.5) / 4)
    thirds = expected_calibration_error([0, 1, 1, 0], [0.1, 0.2, 0.21, 0.22], bins=2, strategy="quantile")
    np.testing.assert_allclose(thirds, (0.7 + 0.57) / 4)
    classes = [[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.2, 0.2, 0.6]]
    # confidences .7, .6 and .6; right, wrong and right
    np.testing.assert_allclose(expected_calibration_error([0, 2, 2], classes, bins=3), (0.3 + 0.2) / 3)


def test_calibration_error_of_calibrated_probabilities_is_small() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(200000)
    y = rng.random(200000) < p
    for strategy in ("uniform", "quantile"):
        assert expected_calibration_error(y, p, strategy=strategy) < 0.005
        assert expected_calibration_error(y, p**2, strategy=strategy) > 0.1


def test_imports_are_lazy() -> None:
    code = "import sys, focal_loss.calibration as c; c.prior_logit(.1, 2); a = set(sys.modules); c.FocalTemperature\n"
    code += "watched = {'torch', 'jax', 'tensorflow', 'keras', 'sklearn', 'scipy'}\n"
    code += "print(sorted(watched & a), sorted(watched & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] ['scipy', 'sklearn']"
    code = "import sys; sys.modules['sklearn'] = None; import focal_loss.calibration as c; c.FocalTemperature"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "needs scikit-learn, which is not installed: pip install 'focal-loss[calibration]'" in done.stderr
    assert "FocalTemperature" in dir(calibration)
