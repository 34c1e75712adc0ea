"""`label_smoothing` of class indices: the dense loss of the smoothed labels, in every framework."""

from __future__ import annotations

from typing import Any

import accuracy
import jax
import numpy as np
import pytest
import tensorflow as tf
import torch
from cases import DIFFERENTIABLE, FRAMEWORKS, SPARSE, Framework, Loss

by_framework = pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
by_loss = pytest.mark.parametrize("loss", SPARSE, ids=str)
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(0, 3, (2, 5, 4, 3)).astype(np.float32)  # (N, C, H, W)
INDICES = RNG.integers(0, 5, (2, 4, 3))
IGNORED = np.where(RNG.random(INDICES.shape) < 0.3, 255, INDICES)
LABELS = np.moveaxis(np.eye(5, dtype=np.float32)[INDICES], -1, 1)
PER_CLASS = [0.5, 1.0, 2.0, 3.0, 0.0]
CALLS = [(SPARSE[1], gamma, True) for gamma in (0.0, 2.0, PER_CLASS)] + [
    (SPARSE[0], 1.3, True),
    (SPARSE[1], 2.0, False),
]


def dense(loss: Loss, framework: Framework) -> Any:
    """The same loss of dense labels."""
    return getattr(framework.module, loss.name.removeprefix("sparse_"))


@by_framework
@pytest.mark.parametrize(("loss", "gamma", "logits"), CALLS, ids=str)
def test_the_loss_of_smoothed_labels(framework: Framework, loss: Loss, gamma: Any, logits: bool) -> None:
    """Value and gradient agree within twice the bound with those of explicit labels, each class with its own gamma and
    weight: either is within the bound of the exact number.
    """
    x = IMAGES if logits else np.exp(IMAGES - IMAGES.max())
    options = {"gamma": gamma, loss.weight: np.arange(5) / 5.0, "from_logits": logits, "axis": 1}
    spread = np.ptp(IMAGES, axis=1).max() if logits else 16.2
    bound = 2 * (8 + 5 + 2 * (np.max(gamma) + 1) * spread) * np.finfo(np.float32).eps
    for smoothing in (0.1, 1.0) if framework.name == "numpy" else (0.1,):
        smoothed = (1 - smoothing) * LABELS.astype(np.float64) + smoothing / 5

        def of_indices(y_pred: Any, smoothing: float = smoothing) -> Any:
            return loss(framework, IGNORED, y_pred, label_smoothing=smoothing, ignore_class=255, **options)

        def of_labels(y_pred: Any, smoothed: Any = smoothed) -> Any:
            return dense(loss, framework)(smoothed.astype(np.float32), y_pred, **options)

        found = framework.derivatives(of_indices, {"y_pred": x}, "float32", second=False)
        expected = framework.derivatives(of_labels, {"y_pred": x}, "float32", second=False)
        counted = IGNORED != 255
        np.testing.assert_allclose(found["value"], np.where(counted, expected["value"], 0), rtol=bound)
        if framework.name != "numpy":
            slope = np.where(counted[:, None], expected["y_pred"], 0)
            np.testing.assert_allclose(found["y_pred"], slope, rtol=bound, atol=bound * np.abs(slope).max())


@by_framework
@by_loss
def test_no_smoothing_changes_no_bit(framework: Framework, loss: Loss) -> None:
    y_pred = framework.tensor(IMAGES, "float32")
    plain = framework.numpy(loss(framework, INDICES, y_pred, axis=1))
    for smoothing in (0, 0.0) if loss.name.endswith("crossentropy") else (None, 0.0):
        found = loss(framework, INDICES, y_pred, axis=1, label_smoothing=smoothing)
        np.testing.assert_array_equal(framework.numpy(found), plain)


@pytest.mark.parametrize("framework", DIFFERENTIABLE, ids=str)
def test_ignored_predictions_may_hold_anything(framework: Framework) -> None:
    x = np.array([[0.5, -1.0, 2.0], [np.nan, np.inf, -np.inf], [1.0, 0.0, 0.0]], np.float32)
    loss = framework.module.sparse_categorical_focal_loss
    options = {"from_logits": True, "ignore_class": -1, "label_smoothing": 0.1}
    for gamma in (2.0, 0.0):
        result = framework.derivatives(
            lambda y_pred, gamma=gamma: loss([0, -1, 2], y_pred, gamma, **options), {"y_pred": x}, "float32"
        )
        for name, found in result.items():
            assert np.isfinite(found).all(), name
            assert not found[1].any(), name
        assert (result["value"][[0, 2]] > 0).all()
        assert result["y_pred"][[0, 2]].all()


@by_framework
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_rounded_once(framework: Framework, dtype: str) -> None:
    x = framework.tensor(RNG.normal(0, 3, (64, 8)), dtype)
    y, options = np.arange(64) % 8, {"from_logits": True, "label_smoothing": 0.1}
    loss = framework.module.sparse_categorical_focal_loss
    found, exact = (
        framework.numpy(loss(y, z, 2, **options)) for z in (x, framework.tensor(framework.numpy(x), "float32"))
    )
    half = float(accuracy.ml_dtypes.finfo(dtype).eps) / 2
    np.testing.assert_allclose(found, exact, rtol=1.01 * half)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_compiled_torch_is_eager_torch(reduction: str, dtype: torch.dtype) -> None:
    import focal_loss.torch as ours

    def loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return ours.sparse_categorical_focal_loss(
            y, x, 2, from_logits=True, axis=1, ignore_class=255, label_smoothing=0.1, reduction=reduction
        )

    y, results = torch.tensor(IGNORED), []
    for function in (loss, torch.compile(loss, backend="aot_eager", fullgraph=True)):
        x = torch.tensor(IMAGES).to(dtype).requires_grad_()
        value = function(x, y)
        results.append((value, *torch.autograd.grad(value.float().sum(), x)))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_second_derivatives_and_those_of_parameters_in_torch() -> None:
    import focal_loss.torch as ours

    x, y = torch.tensor(IMAGES[0, :, :2, 0].T, dtype=torch.float64).requires_grad_(), torch.tensor([1, 4])
    gamma, weight = (torch.rand(5, dtype=torch.float64).requires_grad_() for _ in range(2))

    def loss(x: torch.Tensor, gamma: Any = 2.0, weight: Any = None) -> torch.Tensor:
        return ours.sparse_categorical_focal_loss(
            y, x, gamma, class_weight=weight, from_logits=True, label_smoothing=0.1, reduction="mean"
        )

    assert torch.autograd.gradcheck(loss, (x, gamma, weight))
    assert torch.autograd.gradgradcheck(loss, (x,))


def test_an_invalid_class_is_nan_where_nothing_can_be_raised() -> None:
    """In compiled code, by the kernels and by the formula, which XLA compiles; without a gradient."""
    import focal_loss.jax
    import focal_loss.tensorflow
    import focal_loss.torch

    x, y = np.zeros((3, 4), np.float32), np.array([1, 4, 2])
    options: dict[str, Any] = {"gamma": 2, "from_logits": True, "label_smoothing": 0.1}
    jitted = jax.jit(lambda x, y: focal_loss.jax.sparse_categorical_focal_loss(y, x, **options))
    graphs = [
        tf.function(lambda x, y: focal_loss.tensorflow.sparse_categorical_focal_loss(y, x, **options), jit_compile=xla)
        for xla in (False, True)
    ]
    compiled = torch.compile(
        lambda x, y: focal_loss.torch.sparse_categorical_focal_loss(y, x, **options), backend="aot_eager"
    )
    found = [jitted(x, y), *(graph(x, y) for graph in graphs), compiled(torch.tensor(x), torch.tensor(y))]
    for value in found:
        np.testing.assert_array_equal(np.isnan(np.asarray(value)), [False, True, False])
    slope = jax.grad(lambda x: jitted(x, y).sum())(x)
    np.testing.assert_array_equal(np.any(slope, 1), [True, False, True])


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
@pytest.mark.parametrize("from_logits", [True, False])
def test_smoothing_without_classes_is_the_loss_without_smoothing(framework: Framework, from_logits: bool) -> None:
    """No examples have no losses, ignored ones cost 0, and others have a label out of range."""

    def outcome(function: str, labels: np.ndarray, **options: Any) -> Any:
        logits = framework.tensor(np.zeros((len(labels), 0)), "float32")
        loss = getattr(framework.module, function)
        try:
            return framework.numpy(loss(labels, logits, 2.0, from_logits=from_logits, **options)).tolist()
        except ValueError as error:
            return str(error)

    for labels in (np.zeros(0, int), np.zeros(2, int)):
        for options in ({}, {"ignore_class": 0}):
            plain = outcome("sparse_categorical_focal_loss", labels, **options)
            assert outcome("sparse_categorical_focal_loss", labels, label_smoothing=0.1, **options) == plain
        dense = labels[:, None][:, :0]
        plain = outcome("categorical_focal_loss", dense)
        assert outcome("categorical_focal_loss", dense, label_smoothing=0.1) == plain
