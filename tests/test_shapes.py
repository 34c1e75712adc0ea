"""Shapes, axes, dtypes and memory layouts, for every loss in every framework."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pandas as pd
import pytest
import torch
from cases import DIFFERENTIABLE, FRAMEWORK, FRAMEWORKS, LOSS, LOSSES, SPARSE, Framework, Loss

by_framework = pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
by_loss = pytest.mark.parametrize("loss", LOSSES, ids=str)
REFERENCE = FRAMEWORK["numpy"]
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(0, 3, (2, 5, 4, 3)).astype(np.float32)  # (N, C, H, W)
INDICES = RNG.integers(0, 5, (2, 4, 3))


def moved(x: np.ndarray, axis: int) -> np.ndarray:
    return np.moveaxis(x, 1, axis)


@by_framework
@pytest.mark.parametrize("loss", SPARSE, ids=str)
@pytest.mark.parametrize("axis", [-1, 0, 1, 2])
@pytest.mark.parametrize("logits", [True, False])
def test_segmentation_with_the_classes_on_any_axis(framework: Framework, loss: Loss, axis: int, logits: bool) -> None:
    options = {"gamma": [0.5, 1, 2, 3, 0], loss.weight: np.arange(5) / 5.0, "from_logits": logits, "ignore_class": 3}
    y_pred = IMAGES if logits else np.exp(IMAGES - IMAGES.max())
    rows = np.moveaxis(y_pred, 1, -1).reshape(-1, 5)
    expected = loss(REFERENCE, INDICES.ravel(), rows, **options).reshape(INDICES.shape)
    found = loss(framework, INDICES, framework.tensor(moved(y_pred, axis), "float32"), axis=axis, **options)
    np.testing.assert_allclose(framework.numpy(found), expected, rtol=1e-5)
    assert (expected[INDICES == 3] == 0).all()


@by_framework
@pytest.mark.parametrize("name", ["categorical_focal_loss", "categorical_focal_crossentropy"])
@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_dense_labels_with_the_classes_on_any_axis(framework: Framework, name: str, axis: int) -> None:
    loss = LOSS[name]
    labels = np.moveaxis(np.eye(5)[INDICES], -1, 1)
    options = {"gamma": [0.5, 1, 2, 3, 0], loss.weight: np.arange(5) / 5.0}
    expected = loss(REFERENCE, np.eye(5)[INDICES], np.moveaxis(IMAGES, 1, -1), **options)
    found = loss(framework, moved(labels, axis), framework.tensor(moved(IMAGES, axis), "float32"), axis=axis, **options)
    np.testing.assert_allclose(framework.numpy(found), expected, rtol=1e-5)


@by_framework
def test_keras_labels_with_a_class_axis_of_one(framework: Framework) -> None:
    y_pred = framework.tensor(IMAGES, "float32")
    loss = framework.module.sparse_categorical_focal_loss
    kept = loss(INDICES[:, None].astype(np.float32), y_pred, 2, from_logits=True, axis=1)
    dropped = loss(INDICES, y_pred, 2, from_logits=True, axis=1)
    np.testing.assert_array_equal(framework.numpy(kept), framework.numpy(dropped))


@by_framework
def test_scalars(framework: Framework) -> None:
    module = framework.module
    y_pred = framework.tensor(0.0, "float32")
    for y_true in (1, 1.0, True, np.int8(1)):
        loss = module.binary_focal_loss(y_true, y_pred, 2, from_logits=True)
        assert tuple(loss.shape) == ()
        np.testing.assert_allclose(framework.numpy(loss), 0.1732868, rtol=1e-6)
    loss = module.sparse_categorical_focal_loss(0, framework.tensor([0.0, 0.0], "float32"), 2, from_logits=True)
    np.testing.assert_allclose(framework.numpy(loss), 0.1732868, rtol=1e-6)


@by_framework
@by_loss
def test_empty(framework: Framework, loss: Loss) -> None:
    y_true = np.zeros((0,), int) if loss in SPARSE else np.zeros((0, 3), int)
    result = framework.derivatives(
        lambda y_pred: loss(framework, y_true, y_pred), {"y_pred": np.zeros((0, 3))}, "float32", second=False
    )
    assert result["value"].shape == ((0, 3) if loss.declared.layout == "elements" else (0,))
    if framework.name != "numpy":
        assert result["y_pred"].shape == (0, 3)


@by_framework
@by_loss
@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0), (2, 0, 3)], ids=str)
def test_losses_of_nothing_are_zero(
    framework: Framework, loss: Loss, from_logits: bool, shape: tuple[int, ...]
) -> None:
    """Whichever axis is empty, a mean over nothing is 0, not NaN."""
    y_true = np.zeros(shape[:-1], int) if loss in SPARSE else np.zeros(shape)
    given = framework.tensor(np.zeros(shape), "float32")
    if loss in SPARSE and shape == (3, 0):
        with pytest.raises(ValueError, match=r"class indices in \[0, 0\)"):
            loss(framework, y_true, given, from_logits=from_logits)
        return
    reductions = ({"reduction": name} for name in ("none", "mean", "sum"))
    for options in reductions if framework.name == "torch" else ({},):
        found = framework.numpy(loss(framework, y_true, given, from_logits=from_logits, **options))
        np.testing.assert_array_equal(found, np.zeros_like(found))


@by_framework
def test_parameters_broadcast(framework: Framework) -> None:
    """A column of gammas and a row of examples give one loss for each pair."""
    y_true, y_pred = np.array([1.0, 0.0, 0.3]), np.array([0.5, -1.0, 2.0])
    gammas, weights = np.array([[0.0], [0.5], [2.0], [3.3]]), np.array([1.0, 2.0, 0.0])
    loss = framework.module.binary_focal_loss
    table = loss(y_true, framework.tensor(y_pred, "float32"), gammas, pos_weight=weights, from_logits=True)
    for k, gamma in enumerate(gammas.ravel()):
        row = [
            float(loss(y, framework.tensor(z, "float32"), gamma, pos_weight=w, from_logits=True))
            for y, z, w in zip(y_true, y_pred, weights, strict=True)
        ]
        np.testing.assert_allclose(framework.numpy(table)[k], row, rtol=2e-6)


@pytest.mark.parametrize("framework", DIFFERENTIABLE, ids=str)
def test_gradients_of_what_was_broadcast_have_its_shape(framework: Framework) -> None:
    arrays = {
        "y_pred": np.array([[0.5], [-1.0]]),
        "y_true": np.array([[0.9, 0.1, 0.3], [0.2, 0.6, 0.4]]),
        "gamma": np.array(1.5),
        "pos_weight": np.array([[2.0]]),
    }
    loss = framework.module.binary_focal_loss
    result = framework.derivatives(lambda **t: loss(**t, from_logits=True), arrays, "float64", second=False)
    for name, array in arrays.items():
        assert result[name].shape == array.shape
        step = 1e-6
        ahead, behind = (
            REFERENCE.module.binary_focal_loss(**(arrays | {name: array + d}), from_logits=True).sum()
            for d in (step, -step)
        )
        np.testing.assert_allclose(result[name].sum(), (ahead - behind) / (2 * step), rtol=1e-6)


@by_framework
@by_loss
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_the_dtype_is_that_of_the_prediction(framework: Framework, loss: Loss, dtype: str) -> None:
    if (framework.name, dtype) == ("jax", "float64"):
        dtype = "float32"  # JAX has no float64 unless told so
    y_pred = framework.tensor(loss.y_pred, dtype)
    found = loss(framework, y_pred=y_pred)
    assert found.dtype == y_pred.dtype
    tolerance = {"float64": 1e-6, "float32": 2e-6, "float16": 1e-3, "bfloat16": 1e-2}[dtype]
    smallest = float(ml_dtypes.finfo(dtype).smallest_subnormal)  # 6e-8 in float16
    np.testing.assert_allclose(framework.numpy(found), loss(REFERENCE), rtol=tolerance, atol=smallest)


@by_framework
def test_lists_and_integers_become_float32(framework: Framework) -> None:
    for y_pred in ([0, 1], [0.0, 1.0], np.array([0, 1]), framework.tensor([0, 1], "int32")):
        assert "float32" in str(framework.module.binary_focal_loss([0, 1], y_pred, 2).dtype)


@by_framework
@by_loss
@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int16, np.int32, np.int64, np.float16, np.float64])
def test_labels_of_any_dtype(framework: Framework, loss: Loss, dtype: Any) -> None:
    if loss in SPARSE and dtype is bool:
        dtype = np.uint16
    found = loss(framework, y_true=np.asarray(loss.y_true).astype(dtype))
    np.testing.assert_allclose(framework.numpy(found), loss(REFERENCE), rtol=2e-6)


@by_framework
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.int64])
@pytest.mark.parametrize("classes", [200, 256, 300])
def test_narrow_indices_beside_many_classes(framework: Framework, dtype: Any, classes: int) -> None:
    """200, 256 and an ignored -1 do not all fit int8 or uint8: none may wrap around."""
    y_true = np.array([1, 100, 127 if dtype is np.int8 else 199], dtype)
    y_pred = framework.tensor(np.zeros((3, classes)), "float32")
    options = {"class_weight": np.arange(classes), "ignore_class": -1, "from_logits": True}
    loss = framework.module.sparse_categorical_focal_loss(y_true, y_pred, 0, **options)
    np.testing.assert_allclose(framework.numpy(loss), y_true * np.log(classes), rtol=1e-6)
    if framework.name == "jax":
        compiled = jax.jit(lambda y: framework.module.sparse_categorical_focal_loss(y, y_pred, 0, **options))
        np.testing.assert_allclose(compiled(jnp.asarray(y_true)), y_true * np.log(classes), rtol=1e-6)


def layouts(x: np.ndarray) -> dict[str, np.ndarray]:
    read_only = x.copy()
    read_only.flags.writeable = False
    wide = np.repeat(x, 2, axis=-1)
    return {
        "fortran": np.asfortranarray(x),
        "read-only": read_only,
        "strided": wide[..., ::2],
        "reversed": np.ascontiguousarray(x[..., ::-1])[..., ::-1],
        "big-endian": x.astype(x.dtype.newbyteorder(">")),
        "list": x.tolist(),
        "pandas": pd.DataFrame(x) if x.ndim == 2 else pd.Series(x),
    }


@by_framework
@by_loss
@pytest.mark.parametrize("layout", ["fortran", "read-only", "strided", "reversed", "big-endian", "list", "pandas"])
def test_any_memory_layout(framework: Framework, loss: Loss, layout: str) -> None:
    y_true, y_pred = (layouts(np.asarray(x))[layout] for x in (loss.y_true, loss.y_pred))
    found = loss(framework, y_true=y_true, y_pred=y_pred)
    np.testing.assert_allclose(framework.numpy(found), loss(REFERENCE), rtol=2e-6)


@by_framework
@by_loss
@pytest.mark.parametrize("logits", [True, False])
def test_no_input_is_changed(framework: Framework, loss: Loss, logits: bool) -> None:
    y_pred = np.array(
        [[0.5, np.inf, -np.inf], [0.0, 1.0, 2.0]] if logits else [[0.5, np.nan, 0], [0, 1, 1]], np.float32
    )
    options = {loss.weight: np.array([0.5, 0.2, 0.3]), loss.focus: np.array([0.5, 1.0, 2.0])}
    if loss in SPARSE:
        options["ignore_class"] = 1
    y_true = np.array(loss.y_true)
    before = [a.copy() for a in (y_true, y_pred, *(v for v in options.values() if isinstance(v, np.ndarray)))]
    tensor = framework.tensor(y_pred, "float32")
    loss(framework, y_true, y_pred, from_logits=logits, **options)
    loss(framework, y_true, tensor, from_logits=logits, **options)
    after = [y_true, y_pred, *(v for v in options.values() if isinstance(v, np.ndarray))]
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(framework.numpy(tensor), y_pred)


def test_torch_tensors_that_are_not_contiguous() -> None:
    z = torch.randn(4, 6, dtype=torch.float64)
    loss = FRAMEWORK["torch"].module.binary_focal_loss
    for view in (z.T, z[:, ::2], z[1:3], z.expand(2, 4, 6), z[0, 0]):
        view = view.detach().requires_grad_()
        found = loss(torch.ones_like(view), view, 2, from_logits=True)
        (slope,) = torch.autograd.grad(found.sum(), view)
        copy = view.detach().contiguous().requires_grad_()
        expected = loss(torch.ones_like(copy), copy, 2, from_logits=True)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(slope, torch.autograd.grad(expected.sum(), copy)[0])


@by_framework
@pytest.mark.parametrize("size", [1, 32_767, 32_768, 32_769, 100_001])
def test_blocks_and_threads_give_the_same_result(framework: Framework, size: int) -> None:
    """The sizes are near that of a block."""
    z = np.linspace(-9, 9, size, dtype=np.float32)
    found = framework.module.binary_focal_loss(z > 0, framework.tensor(z, "float32"), 2, from_logits=True)
    s = np.abs(z.astype(np.float64))
    np.testing.assert_allclose(framework.numpy(found), np.log1p(np.exp(-s)) / (1 + np.exp(s)) ** 2, rtol=5e-6)


@pytest.mark.parametrize("name", ["jax", "torch"])
@pytest.mark.parametrize("ignored", [True, False])
def test_everything_ignored_costs_nothing(name: str, ignored: bool) -> None:
    framework = FRAMEWORK[name]
    y_true = np.full(3, 255 if ignored else 1)
    y_pred = np.array([[np.nan, 0, np.inf]] * 3 if ignored else [[0.0, 1.0, 2.0]] * 3)
    loss = framework.module.sparse_categorical_focal_loss
    result = framework.derivatives(
        lambda y_pred: loss(y_true, y_pred, 2, from_logits=True, ignore_class=255), {"y_pred": y_pred}, "float32"
    )
    assert (result["value"] == 0).all() == ignored
    assert (result["y_pred"] == 0).all() == ignored
    assert np.isfinite(result["second"]).all()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_torch_reductions(reduction: str) -> None:
    module = FRAMEWORK["torch"].module
    y_true, y_pred = torch.tensor([0, 255, 2]), torch.randn(3, 3, requires_grad=True)
    options = {"gamma": 2, "from_logits": True, "ignore_class": 255}
    each = module.sparse_categorical_focal_loss(y_true, y_pred, **options)
    reduced = module.sparse_categorical_focal_loss(y_true, y_pred, **options, reduction=reduction)
    torch.testing.assert_close(reduced, each.sum() / (2 if reduction == "mean" else 1))
    for labels in (torch.full((3,), 255), torch.zeros(0, dtype=torch.int64)):
        inputs = y_pred[: len(labels)]
        nothing = module.sparse_categorical_focal_loss(labels, inputs, **options, reduction=reduction)
        assert nothing.item() == 0
        assert (torch.autograd.grad(nothing, y_pred, allow_unused=True)[0] == 0).all()
