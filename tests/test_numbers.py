"""The contract on numbers: golden numbers, limits, and common errors of floating-point losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import accuracy
import accuracy_family
import numpy as np
import pytest
from cases import DIFFERENTIABLE, FRAMEWORK, FRAMEWORKS, LOSSES, Framework, Loss

GOLDEN = [
    (framework, dtype, section)
    for framework in FRAMEWORKS
    for dtype in framework.dtypes
    for section in accuracy.SECTIONS + accuracy.EXTREMES + accuracy_family.FAMILY
]
HARD_GAMMAS = [0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 7.3, 8.0, 10.0]
EPS = np.finfo(np.float32).eps


def repeats(framework: Framework, dtype: str, section: Callable[..., Any]) -> bool:
    """Whether other cases cover this one: JAX compiles each section, and float16, the extremes and the family in other
    dtypes than float32 run kernels, or the formula, that NumPy and torch run too.
    """
    once = accuracy.EXTREMES + accuracy_family.FAMILY
    return framework.name == "jax" and (dtype == "float16" or (dtype != "float32" and section in once))


@pytest.mark.parametrize(
    ("framework", "dtype", "section"),
    [
        pytest.param(
            *case,
            marks=[pytest.mark.nightly] if repeats(*case) else [],
            id="-".join(map(str, (*case[:2], case[2].__name__))),
        )
        for case in GOLDEN
    ],
)
def test_golden_numbers_within_the_bound(framework: Framework, dtype: str, section, monkeypatch) -> None:
    # Some golden rows are not normalized, and hold values above 1.
    monkeypatch.setattr("focal_loss._core.checks._enabled", section is not accuracy.categorical_probability)
    worst = accuracy.worst(framework, dtype, section)
    assert "value" in worst
    if framework.name != "numpy":
        assert {"dz", "dx", "gradient"} & set(worst)
    for quantity, found in worst.items():
        assert found.error_ratio <= 1, f"{quantity}: {found}"


def test_the_measure_can_fail() -> None:
    """An error of 20 eps at z = 0 and gamma = 0, where 8 are allowed, gives a ratio of 2.5."""
    exact = accuracy.Exact.of(["0.6931471805599453094172321"])
    value = np.float64(exact.high * (1 + 20 * np.finfo(np.float64).eps))
    error_ratio = accuracy.error_ratio(value, exact, exact.high, np.array([8.0]), np.array([0.0]), "float64")
    assert 2.4 < error_ratio[0] < 2.6


@pytest.mark.parametrize("gamma", HARD_GAMMAS)
@pytest.mark.parametrize("framework", [FRAMEWORK["torch"], FRAMEWORK["tensorflow"]], ids=str)
def test_every_float32_near_and_far_within_the_bound(framework: Framework, gamma: float) -> None:
    """Random logits against float64, which the golden numbers hold to its own bound."""
    rng = np.random.default_rng(0)
    z = np.concatenate([rng.uniform(-a, a, 30_000) for a in (0.2, 4, 30)]).astype(np.float32)
    positive = np.ones(z.shape, bool)
    value, gradient, _ = FRAMEWORK["numpy"].module.binary_focal_loss_derivatives(positive, z.astype(np.float64), gamma)
    loss = framework.module.binary_focal_loss
    result = framework.derivatives(
        lambda y_pred: loss(positive, y_pred, gamma, from_logits=True), {"y_pred": z}, "float32", second=False
    )
    for exact, got in ((value, result["value"]), (gradient, result["y_pred"])):
        bound = (8 + 2 * gamma * np.abs(z)) * EPS * np.abs(exact) + np.finfo(np.float32).tiny
        assert np.max(np.abs(got - exact) / bound) <= 1


@pytest.mark.parametrize("framework", DIFFERENTIABLE, ids=str)
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 3.5, 5.0])
@pytest.mark.parametrize("hard", [True, False])
def test_the_gradient_is_never_dead(framework: Framework, gamma: float, hard: bool) -> None:
    z = np.array([-20, -100, -1e4, -1e30], np.float32)
    y = np.ones(z.shape, bool) if hard else np.ones(z.shape, np.float32)
    loss = framework.module.binary_focal_loss
    result = framework.derivatives(
        lambda y_pred: loss(y, y_pred, gamma, pos_weight=3.0, from_logits=True), {"y_pred": z}, "float32", second=False
    )
    np.testing.assert_allclose(result["y_pred"], -3.0, rtol=1e-6)
    np.testing.assert_allclose(result["value"], -3.0 * z, rtol=1e-6)


@pytest.mark.parametrize("framework", DIFFERENTIABLE, ids=str)
@pytest.mark.parametrize("z", [0.0, -0.0])
def test_the_gradient_at_zero_where_every_head_starts(framework: Framework, z: float) -> None:
    loss = framework.module.binary_focal_loss
    result = framework.derivatives(
        lambda y_pred: loss([1.0, 0.0], y_pred, 2, from_logits=True), {"y_pred": np.array([z, z])}, "float32"
    )
    np.testing.assert_allclose(result["y_pred"], [-0.298287, 0.298287], atol=5e-7)
    np.testing.assert_allclose(result["second"], [0.399143, 0.399143], rtol=1e-5)


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 3.3])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("name", ["binary_focal_loss", "binary_focal_crossentropy"])
def test_limits_at_infinity_and_nan(framework: Framework, gamma: float, soft: bool, name: str) -> None:
    z = np.array([-np.inf, np.inf, -np.inf, np.inf, np.nan], np.float32)[:, None]
    y = np.array([1, 1, 0, 0, 1], np.float32 if soft else bool)[:, None]
    loss = getattr(framework.module, name)
    result = framework.derivatives(
        lambda y_pred: loss(y, y_pred, gamma=gamma, from_logits=True), {"y_pred": z}, "float32"
    )
    np.testing.assert_array_equal(result["value"].ravel(), [np.inf, 0, 0, np.inf, np.nan])
    if framework.name != "numpy":
        np.testing.assert_array_equal(result["y_pred"].ravel(), [-1, 0, 0, 1, np.nan])
        np.testing.assert_array_equal(result["second"].ravel(), [0, 0, 0, 0, np.nan])


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
@pytest.mark.parametrize("gamma", [0.0, 2.0, 1e18])
def test_an_infinite_logit_outgrows_any_label_and_weight(framework: Framework, gamma: float) -> None:
    """The loss is infinite even if label times weight underflows, or the loss at the largest finite logit is 0."""
    y, z = np.float32([[1e-30], [1 - 2**-24]]), np.float32([[-np.inf], [np.inf]])
    xp, y_pred = framework.module, framework.tensor(z, "float32")
    found = [
        xp.binary_focal_loss(y, y_pred, gamma, pos_weight=1e-30, from_logits=True),
        xp.binary_focal_crossentropy(
            y, y_pred, apply_class_balancing=True, alpha=1e-30, gamma=gamma, from_logits=True, axis=-1
        ),
        xp.categorical_focal_loss(
            np.concatenate([y, y], 1), framework.tensor([[-np.inf, 0], [0, -np.inf]], "float32"), gamma,
            class_weight=1e-30, from_logits=True
        ),
    ]  # fmt: skip
    for value in found:
        np.testing.assert_array_equal(framework.numpy(value).ravel(), [np.inf, np.inf])


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
def test_subnormal_half_precision_is_read(framework: Framework) -> None:
    """Labels and logits below 2^-14, which an arithmetic that flushes subnormal floats could take for 0."""
    xp, z = framework.module, framework.tensor([-8688.0, -6000.0], "float16")
    labels = framework.tensor([2e-5, 5e-5], "float16")
    found = xp.binary_focal_loss(labels, z, 2, from_logits=True)
    np.testing.assert_allclose(framework.numpy(found), [0.174, 0.3], rtol=2e-3)
    if framework.name == "numpy":
        return
    small = np.float16([2e-5, -5e-5, 6e-8])
    result = framework.derivatives(
        lambda y_pred, y_true: xp.binary_focal_loss(y_true, y_pred, 0.0, from_logits=True),
        {"y_pred": small, "y_true": np.full(3, 0.5)}, "float16", second=False,
    )  # fmt: skip
    np.testing.assert_array_equal(result["y_true"], -small.astype(np.float64))  # the derivative in a label is the logit


@pytest.mark.parametrize("framework", DIFFERENTIABLE, ids=str)
def test_the_derivative_in_a_label_is_finite_where_its_terms_overflow(framework: Framework) -> None:
    """At the largest logit (1 + gamma) m^gamma |z| of the mix overflows, but not after multiplication by the weight."""
    largest = np.finfo(np.float32).max
    loss = framework.module.binary_focal_crossentropy
    result = framework.derivatives(
        lambda y_pred, y_true: loss(
            y_true, y_pred, apply_class_balancing=True, alpha=0.01, gamma=2.0, from_logits=True, axis=-1
        ),
        {"y_pred": np.float32([[-largest]]), "y_true": np.float32([[0.875]])}, "float32", second=False,
    )  # fmt: skip
    y, alpha = 0.875, 0.01  # (alpha y + (1 - alpha)(1 - y)) y^3 |z|
    exact = ((2 * alpha - 1) * y**3 + 3 * y**2 * (alpha * y + (1 - alpha) * (1 - y))) * float(largest)
    np.testing.assert_allclose(result["y_true"], [[exact]], rtol=1e-5)


def reference_derivatives(gamma: float) -> list[float]:
    """Value and slope at probability 1/2."""
    return [float(x) for x in FRAMEWORK["numpy"].module.binary_focal_loss_derivatives(1, 0.0, gamma)[:2]]


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("dense", [False, True])
def test_softmax_limits(framework: Framework, gamma: float, dense: bool) -> None:
    """Masked classes (-inf), a certain class (+inf), a masked truth, a single class, NaN."""
    inf, nan, big = np.inf, np.nan, np.finfo(np.float32).max
    rows = [[0, -inf, -inf], [inf, 0, 0], [-inf, 0, 0], [0, inf, 0], [0, nan, 0], [big, -big, 0], [-big, big, 0]]
    rows += [[inf, inf, -inf]]
    v = np.array(rows, np.float32)
    half = reference_derivatives(gamma)
    expected = [0, 0, inf, inf, nan, 0, big, half[0]]
    slopes = [
        [0, 0, 0],
        [0, 0, 0],
        [-1, 0.5, 0.5],
        [-1, 1, 0],
        [nan] * 3,
        [0, 0, 0],
        [-1, 1, 0],
        [half[1], -half[1], 0],
    ]
    loss = framework.module.categorical_focal_loss if dense else framework.module.sparse_categorical_focal_loss
    y = np.tile(np.float32([1, 0, 0]), (8, 1)) if dense else np.zeros(8, int)
    result = framework.derivatives(
        lambda y_pred: loss(y, y_pred, gamma, from_logits=True), {"y_pred": v}, "float32", second=False
    )
    np.testing.assert_allclose(result["value"], expected, rtol=1e-6)
    if framework.name != "numpy":
        np.testing.assert_allclose(result["y_pred"], slopes, atol=1e-6)


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
def test_one_class_costs_nothing(framework: Framework) -> None:
    loss = framework.module.sparse_categorical_focal_loss
    result = framework.derivatives(
        lambda y_pred: loss([0, 0], y_pred, 2, from_logits=True), {"y_pred": np.array([[3.0], [-3.0]])}, "float32"
    )
    for found in result.values():
        np.testing.assert_array_equal(found, np.zeros_like(found))


@pytest.mark.parametrize("framework", DIFFERENTIABLE, ids=str)
def test_gamma_zero_is_cross_entropy(framework: Framework) -> None:
    rng = np.random.default_rng(1)
    z, y = rng.normal(0, 5, (50, 4)), rng.random((50, 4))
    cross_entropy = np.logaddexp(0, z) - y * z
    loss = framework.module.binary_focal_loss
    result = framework.derivatives(
        lambda y_pred: loss(y, y_pred, 0, from_logits=True), {"y_pred": z}, "float64", second=True
    )
    p, q = 1 / (1 + np.exp(-z)), 1 / (1 + np.exp(z))
    np.testing.assert_allclose(result["value"], cross_entropy, rtol=1e-13)
    np.testing.assert_allclose(result["y_pred"], p - y, atol=1e-14)
    np.testing.assert_allclose(result["second"], p * q, rtol=1e-12)


@pytest.mark.parametrize("framework", DIFFERENTIABLE, ids=str)
def test_probabilities_beyond_the_clamp_have_the_gradient_of_its_edge(framework: Framework) -> None:
    x = np.array([0.0, 1e-9, 1e-7])
    loss = framework.module.binary_focal_loss
    result = framework.derivatives(lambda y_pred: loss(np.ones(3), y_pred, 2), {"y_pred": x}, "float64", second=False)
    np.testing.assert_allclose(result["y_pred"], result["y_pred"][2], rtol=1e-12)
    assert result["y_pred"][0] < -9e6


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
@pytest.mark.parametrize("size", [1e-37, 1e-21, 1.0, 1e30, 3e38])
@pytest.mark.parametrize("dense", [False, True])
def test_probabilities_of_any_scale(
    framework: Framework, size: float, dense: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are divided by their sum, which may overflow, as may the square of its inverse. The checks are off."""
    monkeypatch.setattr("focal_loss._core.checks._enabled", size <= 1)
    x = np.array([[size, size, 0]])
    loss = framework.module.categorical_focal_loss if dense else framework.module.sparse_categorical_focal_loss
    y = np.float32([[1, 0, 0]]) if dense else np.array([0])
    result = framework.derivatives(lambda y_pred: loss(y, y_pred, 2), {"y_pred": x}, "float32", second=False)
    np.testing.assert_allclose(result["value"], [np.log(2) / 4], rtol=1e-6)
    if framework.name != "numpy":
        assert np.isfinite(result["y_pred"]).all()
        if size < 1e38:  # above, the slope itself is below the smallest normal number
            np.testing.assert_allclose(result["y_pred"][0, 0] * size, h_slope(), rtol=1e-5)


def h_slope() -> float:
    """d/dp of (1 - p)^2 (-log p) at 1/2, times dp/dx = 1/4."""
    return -(2 * 0.5 * np.log(2) + 0.25 / 0.5) / 4


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
def test_two_classes_equal_the_binary_loss(framework: Framework) -> None:
    rng = np.random.default_rng(2)
    z, y = rng.normal(0, 4, 40), rng.random(40)
    one = framework.module.binary_focal_loss(y, framework.tensor(z, "float32"), 1.5, from_logits=True)
    logits, labels = np.stack([0 * z, z], 1), np.stack([1 - y, y], 1)
    two = framework.module.categorical_focal_loss(labels, framework.tensor(logits, "float32"), 1.5, from_logits=True)
    np.testing.assert_allclose(framework.numpy(two), framework.numpy(one), rtol=1e-5)


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
@pytest.mark.parametrize("axis", [-1, 0])
def test_dense_and_sparse_labels_agree(framework: Framework, axis: int) -> None:
    rng = np.random.default_rng(3)
    v, t = rng.normal(0, 4, (30, 5)), rng.integers(0, 5, 30)
    one_hot = np.eye(5)[t]
    if axis == 0:
        v, one_hot = v.T, one_hot.T
    options = {"gamma": [0.0, 0.5, 1.0, 2.0, 3.3], "class_weight": [1.0, 2.0, 0.0, 4.0, 0.5], "axis": axis}
    for logits in (True, False):
        y_pred = framework.tensor(v if logits else np.exp(v - v.max()), "float32")
        sparse = framework.module.sparse_categorical_focal_loss(t, y_pred, from_logits=logits, **options)
        dense = framework.module.categorical_focal_loss(one_hot, y_pred, from_logits=logits, **options)
        np.testing.assert_allclose(framework.numpy(dense), framework.numpy(sparse), rtol=2e-5, atol=1e-30)


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
def test_soft_labels_of_the_two_losses(framework: Framework) -> None:
    y_pred = framework.tensor([1.0], "float32")
    expected_loss = framework.module.binary_focal_loss([0.7], y_pred, 2, from_logits=True)
    p_t_loss = framework.module.binary_focal_crossentropy([0.7], y_pred, gamma=2, from_logits=True)
    np.testing.assert_allclose(framework.numpy(expected_loss), [0.226421], atol=1e-6)
    np.testing.assert_allclose(framework.numpy(p_t_loss), 0.101874, atol=1e-6)


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
def test_label_smoothing_is_a_soft_label(framework: Framework) -> None:
    y_pred = framework.tensor([[1.0, -2.0, 0.5]], "float32")
    for name, classes in (("binary_focal_loss", 2), ("categorical_focal_loss", 3)):
        loss = getattr(framework.module, name)
        smoothed = loss([[1, 0, 0]], y_pred, 2, from_logits=True, label_smoothing=0.2)
        soft = loss(np.array([[1, 0, 0]]) * 0.8 + 0.2 / classes, y_pred, 2, from_logits=True)
        np.testing.assert_allclose(framework.numpy(smoothed), framework.numpy(soft), rtol=1e-6)


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_frameworks_agree(framework: Framework, loss: Loss) -> None:
    reference = FRAMEWORK["numpy"]
    for logits in (True, False):
        y_pred = loss.y_pred if logits else 1 / (1 + np.exp(-loss.y_pred))
        ours = loss(framework, y_pred=framework.tensor(y_pred, "float32"), from_logits=logits)
        theirs = loss(reference, y_pred=y_pred, from_logits=logits)
        np.testing.assert_allclose(framework.numpy(ours), reference.numpy(theirs), rtol=2e-6)


@pytest.mark.parametrize("framework", DIFFERENTIABLE, ids=str)
@pytest.mark.parametrize("dense", [False, True])
def test_ignored_and_gamma_below_one_give_no_nan(framework: Framework, dense: bool) -> None:
    """Saturated logits at 0 < gamma < 1, the commonest NaN of other libraries."""
    v = np.array([[200.0, -200.0, 0.0], [-200.0, 200.0, 0.0], [1e4, -1e4, 1e4]])
    y = np.eye(3)[[0, 0, 2]] if dense else np.array([0, 0, 2])
    loss = framework.module.categorical_focal_loss if dense else framework.module.sparse_categorical_focal_loss
    result = framework.derivatives(
        lambda y_pred: loss(y, y_pred, 0.5, from_logits=True), {"y_pred": v}, "float32", second=True
    )
    for found in result.values():
        assert np.isfinite(found).all()


def test_third_derivatives_are_refused() -> None:
    import torch

    z = torch.zeros(2, requires_grad=True)
    slope = FRAMEWORK["torch"].module.binary_focal_loss([1, 0], z, 2, from_logits=True).sum()
    for _ in range(2):
        (slope,) = torch.autograd.grad(slope.sum(), z, create_graph=True)
    with pytest.raises(NotImplementedError, match="not third ones"):
        torch.autograd.grad(slope.sum(), z)


def test_xla_agrees_with_eager_tensorflow() -> None:
    import tensorflow as tf

    z = tf.constant(np.linspace(-30, 30, 101), tf.float32)
    loss = FRAMEWORK["tensorflow"].module.binary_focal_loss
    compiled = tf.function(lambda z: loss(z > 0, z, 0.7, from_logits=True), jit_compile=True)
    np.testing.assert_allclose(compiled(z), loss(z > 0, z, 0.7, from_logits=True), rtol=1e-5)
