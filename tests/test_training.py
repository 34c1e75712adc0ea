"""Class weights and gammas against golden numbers, the arrays they take and refuse, and how the losses take them."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import torch
from cases import DIFFERENTIABLE, FRAMEWORKS, Framework
from scipy.optimize import minimize
from sklearn.utils.class_weight import compute_class_weight

import focal_loss.jax
import focal_loss.numpy
import focal_loss.torch
from focal_loss import set_checks
from focal_loss.calibration import categorical_posterior_from_logits, categorical_posterior_from_score
from focal_loss.schedules import cosine_schedule, flsd53, gamma_for_probability, linear_schedule
from focal_loss.weights import balanced_weights, effective_number_weights, logit_adjustment

EPS = np.finfo(np.float64).eps


@cache
def golden(section: str) -> list[dict[str, Any]]:
    return json.loads((Path(__file__).parent / "golden" / "training.json").read_text())[section]


def exact(row: dict[str, Any], name: str = "value") -> Any:
    return np.asarray(row[name], np.float64)


@pytest.mark.parametrize("row", golden("effective_number"), ids=lambda row: f"{row['counts']}-{row['beta']}")
def test_effective_number_weights(row: dict[str, Any]) -> None:
    found = effective_number_weights(row["counts"], beta=row["beta"])
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, exact(row), rtol=8 * EPS, atol=0)


@pytest.mark.parametrize("row", golden("balanced"), ids=lambda row: str(row["counts"]))
def test_balanced_weights(row: dict[str, Any]) -> None:
    found = balanced_weights(row["counts"])
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, exact(row), rtol=4 * EPS, atol=0)


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    labels = np.repeat([0, 1, 3], [5, 3, 2])
    found = balanced_weights(np.bincount(labels))
    assert found[2] == 0
    theirs = compute_class_weight("balanced", classes=np.unique(labels), y=labels)
    np.testing.assert_allclose(found[[0, 1, 3]], theirs, rtol=4 * EPS)


@pytest.mark.parametrize("row", golden("logit_adjustment"), ids=lambda row: f"{row['counts']}-{row['tau']}")
def test_logit_adjustment(row: dict[str, Any]) -> None:
    found = logit_adjustment(row["counts"], tau=row["tau"])
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, exact(row), rtol=4 * EPS, atol=1e-299)  # 1e-300 of 1e300 examples is subnormal


def test_shares_too_far_apart_for_their_ratio() -> None:
    np.testing.assert_allclose(logit_adjustment([1e300, 1e-300])[1], -600 * math.log(10), rtol=4 * EPS)


def test_gamma_for_probability() -> None:
    rows = golden("gamma_for_probability")
    found = gamma_for_probability([row["p0"] for row in rows])
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, [float(row["value"]) for row in rows], rtol=16 * EPS)
    assert isinstance(gamma_for_probability(0.25), np.float64)
    assert gamma_for_probability(0.5) == 0
    assert gamma_for_probability([[0.5, 0.25]]).shape == (1, 2)
    assert (np.diff(gamma_for_probability(np.linspace(1e-3, 0.5, 4001))) < 0).all()


@pytest.mark.parametrize("row", golden("schedule"), ids=str)
def test_schedules(row: dict[str, Any]) -> None:
    arguments = [row[name] for name in ("step", "steps", "start", "end")]
    for schedule, name in ((linear_schedule, "linear"), (cosine_schedule, "cosine")):
        found = schedule(*arguments)
        assert type(found) is float
        np.testing.assert_allclose(found, exact(row, name), rtol=4 * EPS, atol=0)
        for way, end in ((0, row["start"]), (row["steps"], row["end"])):
            assert schedule(way, *arguments[1:]) == end


KINDS: dict[str, Callable[[list[int]], Any]] = {
    "list": list,
    "integers": lambda n: np.array(n, np.uint64),
    "series": pd.Series,
    "torch": torch.tensor,
    "jax": jax.numpy.asarray,
    "tensorflow": tf.constant,
    "bfloat16": lambda n: torch.tensor(n, dtype=torch.bfloat16),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("function", [effective_number_weights, balanced_weights, logit_adjustment])
def test_counts_of_any_kind_give_host_arrays(function: Callable[..., Any], kind: str) -> None:
    found = function(KINDS[kind]([96, 8, 24]))
    assert type(found) is np.ndarray
    np.testing.assert_array_equal(found, function([96.0, 8.0, 24.0]))


COUNTED: list[tuple[Any, type[Exception], str]] = [
    ([3, -1], ValueError, "`counts` must hold non-negative numbers, got -1 for class 1"),
    ([np.nan, 1], ValueError, "`counts` must hold non-negative numbers, got nan for class 0"),
    ([1, np.inf], ValueError, "`counts` must hold non-negative numbers, got inf for class 1"),
    ([0, 0], ValueError, "`counts` must hold a count above 0, got a sum of 0"),
    ([1e308, 1e308], ValueError, "`counts` must hold numbers of a finite sum, got a sum of inf"),
    ([[1, 2]], ValueError, "`counts` must have one entry per class, got shape (1, 2)"),
    ([], ValueError, "`counts` must have one entry per class, got shape (0,)"),
    (5, ValueError, "`counts` must have one entry per class, got shape ()"),
    (np.ma.array([1, 2], mask=[0, 1]), ValueError, "`counts` must hold a value in every place"),
    ([True, False], TypeError, "`counts` must be an array of numbers, got an array of bool"),
    (["a"], TypeError, "`counts` must be an array of real numbers"),
    ({0: 5, 1: 2}, TypeError, "`counts` must be an array of real numbers, got dict"),
    (None, TypeError, "`counts` must be an array of real numbers, got None"),
]
COUNTING = [effective_number_weights, balanced_weights, logit_adjustment]
BAD = [(function, [counts], error, message) for function in COUNTING for counts, error, message in COUNTED] + [
    (logit_adjustment, [[3, 0]], ValueError, "`counts` must hold positive numbers, got 0.0 for class 1"),
    (logit_adjustment, [[3, 1], -1], ValueError, "`tau` must be a non-negative number, got -1"),
    (logit_adjustment, [[3, 1], [1, 2]], TypeError, "`tau` must be a non-negative number, got [1, 2]"),
    (effective_number_weights, [[3, 1], 1.5], ValueError, "`beta` must be a number in [0, 1], got 1.5"),
    (effective_number_weights, [[3, 1], np.nan], ValueError, "`beta` must be a number in [0, 1], got nan"),
    (effective_number_weights, [[3, 1], "x"], TypeError, "`beta` must be a number in [0, 1], got 'x'"),
    (gamma_for_probability, [0], ValueError, "`p0` must be a number in (0, 0.5], got 0"),
    (gamma_for_probability, [[0.1, 0.6]], ValueError, "`p0` must be a number in (0, 0.5], got 0.6"),
    (gamma_for_probability, [np.nan], ValueError, "`p0` must be a number in (0, 0.5], got nan"),
    (gamma_for_probability, ["a"], TypeError, "`p0` must be an array of real numbers"),
    (flsd53, [[0.5, 1.5]], ValueError, "`p_t` must hold probabilities in [0, 1], got 1.5 at position (1,); apply a"),
    (flsd53, [["a"]], TypeError, "`p_t` must be an array of real numbers"),
    (linear_schedule, [torch.tensor(1), 4, 0, 1], TypeError, "`step` must be a number, got tensor(1); compute gamma"),
    (cosine_schedule, [1, "4", 0, 1], TypeError, "`steps` must be a number, got '4'"),
    (cosine_schedule, [1, 0, 0, 1], ValueError, "`steps` must be a positive number, got 0"),
    (linear_schedule, [math.nan, 4, 0, 1], ValueError, "`step` must be a number, got nan"),
    (linear_schedule, [1, 4, -1, 1], ValueError, "`start` must be a non-negative number, got -1"),
    (linear_schedule, [1, 4, 0, [1]], TypeError, "`end` must be a non-negative number, got [1]"),
]


@pytest.mark.parametrize(("function", "arguments", "error", "message"), BAD)
def test_bad_input(function: Callable[..., Any], arguments: list[Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        function(*arguments)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
def test_flsd53(framework: Framework, dtype: str) -> None:
    with jax.enable_x64(dtype == "float64"):
        p_t = framework.tensor([[0.0, 0.1, 0.1875], [0.25, 1.0, np.nan]], dtype)
        found = flsd53(p_t)
        assert found.dtype == p_t.dtype
        np.testing.assert_array_equal(framework.numpy(found), [[5, 5, 5], [3, 3, np.nan]])


def test_flsd53_of_numbers_and_lists() -> None:
    assert flsd53(0.1) == 5
    np.testing.assert_array_equal(flsd53([0.2, 0.19999999]), np.array([3, 5], np.float32))
    set_checks(False)
    assert flsd53(-0.5) == 5
    set_checks(True)


@pytest.mark.parametrize("framework", DIFFERENTIABLE, ids=str)
def test_flsd53_has_no_gradient(framework: Framework) -> None:
    """The gamma of each example is a constant: the gradient is that of the loss with this gamma."""
    z = np.array([-3.0, -0.5, 2.0])

    def loss(z: Any) -> Any:
        p_t = {"torch": torch.sigmoid, "jax": jax.nn.sigmoid, "tensorflow": tf.sigmoid}[framework.name](z)
        return framework.module.binary_focal_loss([1, 1, 1], z, flsd53(p_t), from_logits=True)

    def with_constants(z: Any) -> Any:
        return framework.module.binary_focal_loss([1, 1, 1], z, [5.0, 3.0, 3.0], from_logits=True)

    found, expected = (framework.derivatives(f, {"z": z}, "float64", second=False) for f in (loss, with_constants))
    for name in ("value", "z"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-14)


def test_a_gamma_that_changes_is_compiled_once() -> None:
    labels, logits = np.array([1, 0]), np.array([0.5, -1.0], np.float32)
    traces = []

    def step(z: Any, gamma: Any) -> Any:
        traces.append(gamma)
        return focal_loss.jax.binary_focal_loss(labels, z, gamma, from_logits=True).sum()

    graphs = []

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    def torch_step(z: Any, gamma: Any) -> Any:
        return focal_loss.torch.binary_focal_loss(torch.tensor([1, 0]), z, gamma, from_logits=True, reduction="sum")

    compiled, torch_compiled = jax.jit(step), torch.compile(torch_step, backend=backend, fullgraph=True)
    for k in range(5):
        gamma = cosine_schedule(k, 4, 3.0, 0.5)
        expected = focal_loss.numpy.binary_focal_loss(labels, logits, gamma, from_logits=True).sum()
        np.testing.assert_allclose(compiled(logits, gamma), expected, rtol=1e-5)
        np.testing.assert_allclose(torch_compiled(torch.from_numpy(logits), torch.tensor(gamma)), expected, rtol=1e-5)
    assert len(traces) == len(graphs) == 1


def test_nothing_warns_at_the_ends_of_the_numbers() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert gamma_for_probability(5e-324) == math.inf
        np.testing.assert_allclose(effective_number_weights([1e308, 5e-324, 0], beta=0.5)[1], 3)
        np.testing.assert_allclose(effective_number_weights([1e308, 1], beta=1.0), [2e-308, 2], rtol=1e-14)
        assert (logit_adjustment([5]) == 0).all()


def expected_loss(v: np.ndarray, posterior: np.ndarray, gamma: float, weight: np.ndarray) -> float:
    """The expected loss of the softmax of logits."""
    p = np.exp(v - v.max()) / np.exp(v - v.max()).sum()
    return float((posterior * weight * (1 - p) ** gamma * -np.log(p)).sum())


@pytest.mark.parametrize("gamma", [0.0, 2.0, 0.5])
@pytest.mark.parametrize("tau", [1.0, 0.5])
def test_posteriors_undo_logit_adjustment(tau: float, gamma: float) -> None:
    """A model that was trained with adjusted logits, to the least expected loss, by a minimizer that knows no closed
    form: its posterior is that of the data over the shares of the classes to the power tau.
    """
    counts, posterior, weight = np.array([900, 90, 10]), np.array([0.6, 0.1, 0.3]), np.array([1.0, 2.0, 0.5])
    adjustment = logit_adjustment(counts, tau)
    found = minimize(lambda v: expected_loss(v + adjustment, posterior, gamma, weight), np.zeros(3), tol=1e-12)
    v, options = found.x, {"class_weight": weight}
    expected = posterior / (counts / counts.sum()) ** tau
    expected /= expected.sum()
    softmax = np.exp(v) / np.exp(v).sum()
    for back in (
        categorical_posterior_from_logits(v, gamma, logit_adjustment=adjustment, **options),
        categorical_posterior_from_score(softmax, gamma, logit_adjustment=adjustment, **options),
    ):
        np.testing.assert_allclose(back, expected, rtol=1e-5)
    as_the_data = categorical_posterior_from_logits(v + adjustment, gamma, **options)
    np.testing.assert_allclose(as_the_data, posterior, rtol=1e-5)
    if gamma == 0:
        plain = categorical_posterior_from_logits(v, 0, logit_adjustment=adjustment)
        np.testing.assert_allclose(plain, softmax, rtol=1e-12)


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
def test_logit_adjustment_of_posteriors_along_an_axis(framework: Framework) -> None:
    v = np.array([[1.0, -0.5], [0.25, 2.0], [-1.0, 0.0]])
    adjustment = np.array([-0.1, -2.5, -3.0])
    expected = categorical_posterior_from_logits(v.T + adjustment, 2, class_weight=np.exp(adjustment)).T
    for given in (list(adjustment), adjustment, framework.tensor(adjustment, "float32")):
        found = categorical_posterior_from_logits(framework.tensor(v, "float32"), 2, logit_adjustment=given, axis=0)
        np.testing.assert_allclose(framework.numpy(found), expected, rtol=2e-5)


@pytest.mark.parametrize(
    ("adjustment", "message"),
    [
        ([0.0, -np.inf, 0.0], "`logit_adjustment` must hold finite numbers, got -inf"),
        ([0.0, 1.0], "`logit_adjustment` must be a number or have one entry per class (3), got shape (2,)"),
        (["a", "b"], "`logit_adjustment` must be an array of real numbers"),
    ],
)
def test_bad_logit_adjustment(adjustment: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        categorical_posterior_from_logits(np.zeros(3), 2, logit_adjustment=adjustment)
    assert str(caught.value).startswith(message)
