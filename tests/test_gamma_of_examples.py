"""A gamma for each example in the softmax losses: an array with the axes of the predictions, that of the classes 1."""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow as tf
import torch
from cases import DIFFERENTIABLE, FRAMEWORK, FRAMEWORKS, LOSSES, Framework, Loss

import focal_loss.jax
import focal_loss.tensorflow
import focal_loss.torch

OF_CLASSES = [loss for loss in LOSSES if loss.declared.layout in ("sparse", "dense")]
by_framework = pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
by_loss = pytest.mark.parametrize("loss", OF_CLASSES, ids=str)
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(0, 3, (2, 5, 4, 3)).astype(np.float32)  # (N, C, H, W)
INDICES = RNG.integers(0, 5, (2, 4, 3))
LABELS = np.moveaxis(RNG.dirichlet(np.ones(5), INDICES.shape), -1, 1).astype(np.float32)
SHAPES = [(2, 1, 4, 3), (1, 1, 4, 3), (2, 1, 1, 1), (1, 1, 1, 3)]


def gammas(shape: tuple[int, ...]) -> np.ndarray:
    """Zero and negative numbers among them, which count as 0."""
    return RNG.choice([0.0, 0.25, 0.5, 1.0, 2.0, 3.3, 5.0], shape)


def one_by_one(loss: Loss, labels: np.ndarray, gamma: np.ndarray, **options: Any) -> np.ndarray:
    """The loss by NumPy, a call for each example with its own number."""
    each = np.broadcast_to(gamma, (2, 1, 4, 3))[:, 0]
    result = np.empty(each.shape)
    for place in np.ndindex(each.shape):
        n, h, w = place
        y = labels[place] if loss.declared.layout == "sparse" else labels[n, :, h, w]
        result[place] = loss(FRAMEWORK["numpy"], y, IMAGES[n, :, h, w], gamma=float(each[place]), **options)
    return result


@by_framework
@by_loss
def test_the_loss_of_each_example(framework: Framework, loss: Loss) -> None:
    sparse = loss.declared.layout == "sparse"
    labels, more = (INDICES, {"ignore_class": 3}) if sparse else (LABELS, {})
    options = {
        loss.weight: np.arange(1, 6) / 5.0,
        "label_smoothing": 0.1 if loss.name.endswith("entropy") else 0.0,
    } | more
    y_pred = framework.tensor(IMAGES, "float32")
    for shape in SHAPES[:2] if framework.name == "jax" else SHAPES:
        gamma = gammas(shape)
        expected = one_by_one(loss, labels, gamma, **options)
        for given in (gamma, framework.tensor(gamma, "float32"), gamma.tolist()):
            found = loss(framework, labels, y_pred, gamma=given, axis=1, **options)
            np.testing.assert_allclose(framework.numpy(found), expected, rtol=3e-5)


@pytest.mark.parametrize("framework", DIFFERENTIABLE, ids=str)
@pytest.mark.parametrize("loss", [OF_CLASSES[1], OF_CLASSES[3]], ids=str)
def test_gradients_are_those_of_a_number_for_each(framework: Framework, loss: Loss) -> None:
    """In the logits by the kernels, and in gamma by the formula, summed where it broadcasts."""
    x, gamma = (
        np.moveaxis(IMAGES, 1, -1).reshape(-1, 5)[:6],
        np.array([0.0, 0.5, 1.0, 2.0, 3.3, 5.0], np.float32)[:, None],
    )
    y = INDICES.ravel()[:6] if loss.declared.layout == "sparse" else np.moveaxis(LABELS, 1, -1).reshape(-1, 5)[:6]
    constant = framework.derivatives(lambda y_pred: loss(framework, y, y_pred, gamma=gamma), {"y_pred": x}, "float64")
    both = framework.derivatives(
        lambda y_pred, gamma: loss(framework, y, y_pred, gamma=gamma), {"y_pred": x, "gamma": gamma}, "float64"
    )
    step = 1e-6
    for k, number in enumerate(gamma.ravel().astype(float)):
        single = framework.derivatives(
            lambda y_pred, k=k, number=number: loss(framework, y[k : k + 1], y_pred, gamma=number),
            {"y_pred": x[k : k + 1]},
            "float64",
        )
        for name in ("value", "y_pred", "second"):
            for found in (constant, both):
                np.testing.assert_allclose(found[name][k : k + 1], single[name], rtol=1e-11, atol=1e-14)
        if number:
            values = [
                float(loss(FRAMEWORK["numpy"], y[k], x[k].astype(np.float64), gamma=number + d)) for d in (step, -step)
            ]
            np.testing.assert_allclose(both["gamma"][k, 0], (values[0] - values[1]) / (2 * step), rtol=1e-5)
    column = framework.derivatives(
        lambda y_pred, gamma: loss(framework, y, y_pred, gamma=gamma),
        {"y_pred": x, "gamma": np.full((1, 1), 2.0)},
        "float64",
        second=False,
    )
    assert column["gamma"].shape == (1, 1)


@by_framework
@by_loss
@pytest.mark.parametrize("shape", [(2,), (3, 1), (2, 3), (1, 3), (2, 1, 1), (1, 2, 1)], ids=str)
def test_other_shapes_are_refused(framework: Framework, loss: Loss, shape: tuple[int, ...]) -> None:
    """A vector is one for each class, whatever its length, so that of the examples is none."""
    message = (
        "`gamma` must be a number or have one entry per class (3), or one per example, in the shape (2, 1) of `y_pred` "
        "with a class axis of length 1"
    )
    for gamma in (np.ones(shape), framework.tensor(np.ones(shape), "float32")):
        with pytest.raises(ValueError, match=re.escape(f"{message}, got shape {shape}")):
            loss(framework, gamma=gamma)


def test_a_negative_gamma_in_a_tensor_counts_as_0() -> None:
    x, y = torch.tensor(IMAGES), torch.tensor(INDICES)
    gamma = torch.where(torch.rand(2, 1, 4, 3) < 0.5, -1.0, 2.0)
    found, expected = (
        focal_loss.torch.sparse_categorical_focal_loss(y, x, g, from_logits=True, axis=1)
        for g in (gamma, gamma.clamp(min=0))
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_compiled_torch_is_eager_torch(smoothing: float) -> None:
    def loss(x: torch.Tensor, y: torch.Tensor, gamma: torch.Tensor) -> torch.Tensor:
        return focal_loss.torch.sparse_categorical_focal_loss(
            y, x, gamma, from_logits=True, axis=1, label_smoothing=smoothing, reduction="mean"
        )

    torch.compiler.reset()  # a number that changes between compilations is computed by the formula
    y, gamma, results = torch.tensor(INDICES), torch.tensor(gammas((2, 1, 1, 3))).float(), []
    for function in (loss, torch.compile(loss, backend="aot_eager", fullgraph=True)):
        x = torch.tensor(IMAGES).requires_grad_()
        value = function(x, y, gamma)
        results.append((value, *torch.autograd.grad(value, x)))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_maps_and_graphs() -> None:
    """JAX maps over examples, over gamma, over both; TensorFlow over examples, and in graphs of unknown shapes."""
    x, y = np.moveaxis(IMAGES, 1, -1).reshape(-1, 5)[:6], INDICES.ravel()[:6]
    gamma = np.array([0.0, 0.5, 1.0, 2.0, 3.3, 5.0], np.float32)[:, None]

    def of_jax(x: Any, y: Any, gamma: Any) -> jax.Array:
        return focal_loss.jax.sparse_categorical_focal_loss(y, x, gamma, from_logits=True)

    expected = of_jax(x, y, gamma)
    pairs = [a.reshape(3, 2, *a.shape[1:]) for a in (x, y, gamma)]
    np.testing.assert_array_equal(jax.vmap(of_jax)(*pairs).ravel(), expected)
    np.testing.assert_allclose(jax.vmap(of_jax)(x, y, gamma[:, 0]), expected, rtol=2e-6)
    table = jax.vmap(of_jax, (None, None, 0))(x, y, jnp.stack([gamma, gamma[::-1]]))
    np.testing.assert_array_equal(table, jnp.stack([expected, of_jax(x, y, gamma[::-1])]))

    def of_tensorflow(x: Any, y: Any, gamma: Any) -> Any:
        return focal_loss.tensorflow.sparse_categorical_focal_loss(y, x, gamma, from_logits=True)

    stacked = [tf.constant(a) for a in pairs]
    np.testing.assert_allclose(
        tf.reshape(tf.vectorized_map(lambda a: of_tensorflow(*a), stacked), [-1]), expected, rtol=2e-6
    )
    shared = tf.vectorized_map(lambda a: of_tensorflow(a[0], a[1], tf.constant(pairs[2][0])), stacked[:2])
    np.testing.assert_allclose(shared[0], expected[:2], rtol=2e-6)
    for known in ([None, None], None):
        specs = [tf.TensorSpec(known), tf.TensorSpec(known and known[:1], tf.int64), tf.TensorSpec([None, 1])]
        graph = tf.function(of_tensorflow, input_signature=specs)
        np.testing.assert_allclose(graph(x, y, gamma), expected, rtol=2e-6)


@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_the_linear_loss(reduction: str) -> None:
    """Three chunks of rows; every leading shape."""
    hidden, weight = RNG.normal(size=(2, 350, 6)), RNG.normal(size=(40, 6))
    y, gamma = RNG.integers(0, 40, (2, 350)), RNG.choice([0.0, 0.5, 2.0, 3.3], (1, 350, 1))
    options: dict[str, Any] = {"reduction": reduction, "ignore_class": 3}
    results = []
    for fused in (True, False):
        h, w = (torch.tensor(a, requires_grad=True) for a in (hidden, weight))
        if fused:
            loss = focal_loss.torch.linear_sparse_categorical_focal_loss(h, w, torch.tensor(y), gamma, **options)
        else:
            loss = focal_loss.torch.sparse_categorical_focal_loss(
                torch.tensor(y), h @ w.T, gamma, from_logits=True, **options
            )
        results.append([t.detach().numpy() for t in (loss, *torch.autograd.grad(loss.sum(), (h, w)))])
    with jax.enable_x64(True):
        linear = focal_loss.jax.linear_sparse_categorical_focal_loss
        given = jnp.asarray(hidden), jnp.asarray(weight)
        compute = lambda h, w: linear(h, w, jnp.asarray(y), jnp.asarray(gamma), **options)  # noqa: E731
        value, vjp = jax.vjp(jax.jit(compute), *given)
        results.append([np.asarray(a) for a in (value, *vjp(jnp.ones_like(value)))])
    for fused in (results[0], results[2]):
        for found, expected in zip(fused, results[1], strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)
    for module, tensor in ((focal_loss.torch, torch.tensor), (focal_loss.jax, jnp.asarray)):
        with pytest.raises(ValueError, match=r"one per example, in the shape \(2, 350, 1\)"):
            module.linear_sparse_categorical_focal_loss(tensor(hidden), tensor(weight), tensor(y), np.ones((700, 1)))
