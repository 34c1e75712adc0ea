"""`ignore_class` of the binary losses: the loss of the other elements alone, in every framework."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow as tf
import torch
from cases import DIFFERENTIABLE, FRAMEWORK, FRAMEWORKS, LOSSES, Framework, Loss, tensorflow_numpy, torch_numpy

BINARY = [loss for loss in LOSSES if loss.declared.layout in ("elements", "average")]
by_framework = pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
by_loss = pytest.mark.parametrize("loss", BINARY, ids=str)
LABELS = np.array([[0, 1, 255, 1], [255, 0, 1, 255], [255] * 4])
IGNORED = LABELS == 255
Z = np.array([[0.5, -1.0, np.nan, 3.0], [np.inf, 2.0, -0.25, -np.inf], [np.nan, 7.0, -7.0, 0.0]], np.float32)
HARMLESS = np.where(IGNORED, 0, Z)


def each(loss: Loss, framework: Framework, y: Any, x: Any, weight: Any = None, **options: Any) -> Any:
    """The unreduced loss: that of single columns, where the loss is a mean over an axis."""
    if weight is not None:
        options[loss.weight] = weight
    if loss.declared.layout == "elements":
        return loss(framework, y, x, **options)
    if weight is not None:
        options |= {"apply_class_balancing": True, loss.weight: weight[..., None]}
    return loss(framework, y[..., None], x[..., None], **options)


@by_framework
@by_loss
@pytest.mark.parametrize("dtype", ["int64", "uint8", "float32"])
def test_the_loss_of_the_others_alone(framework: Framework, loss: Loss, dtype: str) -> None:
    """Ignored elements cost 0 and have a gradient of zeros in predictions and weights, whatever they hold."""
    y, smooth = LABELS.astype(dtype), "label_smoothing" in loss.declared.options.declared()
    options = {"label_smoothing": 0.1} if smooth else {}

    def masked(y_pred: Any, weight: Any) -> Any:
        return each(loss, framework, y, y_pred, weight, ignore_class=255, **options)

    def kept(y_pred: Any, weight: Any) -> Any:
        return each(loss, framework, np.where(IGNORED, 0, y).astype(dtype), y_pred, weight, **options)

    found = framework.derivatives(masked, {"y_pred": Z, "weight": np.full(Z.shape, 0.6)}, "float32", second=False)
    alone = framework.derivatives(kept, {"y_pred": HARMLESS, "weight": np.full(Z.shape, 0.6)}, "float32", second=False)
    for name, value in found.items():
        np.testing.assert_allclose(value, np.where(IGNORED, 0, alone[name]), rtol=1e-5, err_msg=name)


@by_framework
@by_loss
def test_labels_that_no_dtype_of_the_loss_holds(framework: Framework, loss: Loss) -> None:
    x = framework.tensor(HARMLESS, "float32")
    alone = framework.numpy(each(loss, framework, np.where(IGNORED, 0, LABELS), x))
    for ignored, dtype in ((-1, "int8"), (-1, "float32"), (255, "float16"), (300, "int16"), (-100, "int64")):
        y = np.where(IGNORED, ignored, LABELS).astype(dtype)
        found = framework.numpy(each(loss, framework, y, x, ignore_class=ignored))
        np.testing.assert_allclose(found, np.where(IGNORED, 0, alone), rtol=1e-6, err_msg=dtype)
    for ignored in (0, 1):
        for y in (LABELS == 1, (LABELS == 1).astype(np.float32)):
            found = framework.numpy(each(loss, framework, y, x, ignore_class=ignored))
            right = framework.numpy(each(loss, framework, y, x))
            np.testing.assert_allclose(found, np.where(y == ignored, 0, right), rtol=1e-6)


@by_framework
@by_loss
def test_of_probabilities(framework: Framework, loss: Loss) -> None:
    x = np.where(IGNORED, np.where(np.isnan(Z), np.nan, 17), 0.3).astype(np.float32)
    found = framework.numpy(
        each(loss, framework, LABELS, framework.tensor(x, "float32"), from_logits=False, ignore_class=255)
    )
    half = framework.tensor(np.full(x.shape, 0.3), "float32")
    alone = framework.numpy(each(loss, framework, np.where(IGNORED, 0, LABELS), half, from_logits=False))
    np.testing.assert_allclose(found, np.where(IGNORED, 0, alone), rtol=1e-6)


@by_framework
@by_loss
@pytest.mark.parametrize("logits", [True, False])
def test_other_labels_and_predictions_are_checked(framework: Framework, loss: Loss, logits: bool) -> None:
    x = framework.tensor(np.full(3, 0.5), "float32")
    for y in (np.array([0, 255, 7]), np.array([0.0, 255.0, -3.0])):
        with pytest.raises(ValueError, match=r"`y_true` must hold labels in \[0, 1\]"):
            loss(framework, y, x, ignore_class=255, from_logits=logits)
    wrong = framework.tensor(np.array([0.5, 3.0, 7.0]), "float32")
    with pytest.raises(ValueError, match=r"`y_pred` must hold probabilities in \[0, 1\].* 7\.0"):
        loss(framework, np.array([0, 255, 1]), wrong, ignore_class=255, from_logits=False)


@by_framework
@pytest.mark.parametrize("shapes", [((4,), (3, 4)), ((3, 4), (4,)), ((3, 1), (3, 4))], ids=str)
def test_masks_broadcast_as_labels_do(framework: Framework, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    loss = next(loss for loss in BINARY if loss.name == "quality_focal_loss")
    y, x = np.resize([0, 255, 1], shapes[0]), np.resize(np.float32([0.5, -1, 2, -3]), shapes[1])
    whole = np.broadcast_arrays(y, x)

    def masked(y_pred: Any) -> Any:
        return loss(framework, y, y_pred, ignore_class=255)

    def explicit(y_pred: Any) -> Any:
        return loss(framework, np.where(whole[0] == 255, 0, whole[0]), y_pred)

    found, right = (
        framework.derivatives(f, {"y_pred": a}, "float32", second=False) for f, a in ((masked, x), (explicit, whole[1]))
    )
    kept = whole[0] != 255
    np.testing.assert_allclose(found["value"], np.where(kept, right["value"], 0), rtol=1e-6)
    if framework in DIFFERENTIABLE:
        slope = np.where(kept, right["y_pred"], 0)
        np.testing.assert_allclose(
            found["y_pred"], slope.sum(0).reshape(x.shape) if x.shape != slope.shape else slope, rtol=1e-6
        )


@by_framework
def test_a_mean_over_an_axis_is_over_the_others(framework: Framework) -> None:
    loss = next(loss for loss in BINARY if loss.declared.layout == "average")
    x = framework.tensor(HARMLESS, "float32")
    of_each = np.where(IGNORED, 0, framework.numpy(each(loss, framework, np.where(IGNORED, 0, LABELS), x)))
    for axis in (-1, 0):
        count = (~IGNORED).sum(axis)
        found = framework.numpy(loss(framework, LABELS, framework.tensor(Z, "float32"), ignore_class=255, axis=axis))
        np.testing.assert_allclose(found, of_each.sum(axis) / np.maximum(count, 1), rtol=1e-6)


@by_loss
@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
def test_reductions_of_torch(loss: Loss, dtype: str) -> None:
    """A mean divides by the number of elements that are not ignored: 0, with gradients of zeros, if there are none."""
    kind, ours = getattr(torch, dtype), getattr(FRAMEWORK["torch"].module, loss.name)
    options = {"from_logits": True, **loss.options}
    y, kept = torch.tensor(LABELS), torch.tensor(~IGNORED)
    for reduction in ("mean", "sum"):
        x, few = (torch.tensor(a, dtype=kind, requires_grad=True) for a in (Z, Z[~IGNORED]))
        found = ours(y, x, ignore_class=255, reduction=reduction, **options)
        if loss.declared.layout == "average" and reduction == "sum":  # of the averages
            right = ours(y, x, ignore_class=255, **options).float().sum()
        else:
            right = ours(y[kept], few, reduction=reduction, **options)
        assert found.dtype == (torch.float32 if dtype == "float16" else kind)
        torch.testing.assert_close(found, right.to(found.dtype), rtol=1e-3 if dtype == "float16" else 1e-5, atol=0)
        (slope,) = torch.autograd.grad(found, x)
        assert slope[~kept].eq(0).all()
        if reduction == "mean":
            torch.testing.assert_close(slope[kept], torch.autograd.grad(right, few)[0], rtol=2e-3, atol=1e-6)
    x = torch.full((2, 2), torch.nan, dtype=kind, requires_grad=True)
    empty = ours(torch.full((2, 2), 255), x, ignore_class=255, reduction="mean", **options)
    assert empty == 0
    assert torch.autograd.grad(empty, x)[0].eq(0).all()


COMPILED = {
    "jax": lambda f: lambda y, x: np.asarray(jax.jit(f)(jnp.asarray(y), jnp.asarray(x))),
    "tensorflow": lambda f: lambda y, x: tensorflow_numpy(tf.function(f)(tf.constant(y), tf.constant(x))),
    "torch": lambda f: (
        lambda y, x: torch_numpy(
            torch.compile(f, fullgraph=True, backend="aot_eager")(torch.tensor(y), torch.tensor(x))
        )
    ),
}


@pytest.mark.parametrize("name", COMPILED)
def test_compiled(name: str) -> None:
    loss = FRAMEWORK[name].module.binary_focal_loss
    found = COMPILED[name](lambda y, x: loss(y, x, 2, from_logits=True, ignore_class=255))(LABELS, Z)
    right = FRAMEWORK["numpy"].module.binary_focal_loss(np.where(IGNORED, 0, LABELS), HARMLESS, 2, from_logits=True)
    np.testing.assert_allclose(found, np.where(IGNORED, 0, right), rtol=1e-6)


def test_modules_of_torch_pass_it_on() -> None:
    module = FRAMEWORK["torch"].module
    y, x = torch.tensor(LABELS), torch.tensor(Z)
    for loss in BINARY:
        if not loss.declared.torch_module:
            continue
        made = getattr(module, loss.declared.class_name)(**loss.options, from_logits=True, ignore_class=255)
        right = getattr(module, loss.name)(y, x, **loss.options, from_logits=True, ignore_class=255, reduction="mean")
        assert torch.equal(made(y, x), right)


@by_framework
@by_loss
def test_half_precision_keeps_its_dtype(framework: Framework, loss: Loss) -> None:
    x = framework.tensor(np.array([0.5, -1.0, 3.0]), "float16")
    found, plain = (loss(framework, np.array([0, 1, 1]), x, ignore_class=ignored) for ignored in (255, None))
    assert found.dtype == plain.dtype
    np.testing.assert_array_equal(framework.numpy(found), framework.numpy(plain))


def test_a_mean_counts_what_a_weight_repeats() -> None:
    y, x, weight = torch.tensor([0, 255, 1]), torch.tensor([0.5, -1.0, 2.0]), torch.tensor([[1.0], [3.0]])
    loss = FRAMEWORK["torch"].module.binary_focal_loss
    options = {"gamma": 2, "pos_weight": weight, "from_logits": True, "ignore_class": 255}
    each = loss(y, x, **options)
    torch.testing.assert_close(loss(y, x, **options, reduction="mean"), each.sum() / 4)
