"""Mistakes that would otherwise pass silently are refused with a remedy: in eager code, on the host, in every
framework.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow as tf
import torch
from cases import FRAMEWORK, FRAMEWORKS, LOGITS, LOSS, LOSSES, SPARSE, Framework, Loss

import focal_loss.numpy
from focal_loss._host import kernels

by_framework = pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
by_loss = pytest.mark.parametrize("loss", LOSSES, ids=str)
DENSE = [loss for loss in LOSSES if loss.name.startswith("categorical")]
BINARY = [loss for loss in LOSSES if loss.name.startswith("binary")]
LOGITS_HINT = "pass `from_logits=True` if these are logits"
SWAPPED = r"are labels and predictions the wrong way round\?"
DTYPES = ["float32", "float64", "float16", "bfloat16"]


@pytest.fixture(autouse=True)
def checks_are_on_again() -> Iterator[None]:
    yield
    focal_loss.set_checks(True)


@by_framework
@by_loss
@pytest.mark.parametrize("bad", [-1.0, 1.01, np.inf])
def test_logits_without_the_flag(framework: Framework, loss: Loss, bad: float) -> None:
    y_pred = np.full((2, 3), 0.25)
    y_pred[1, 2] = bad
    message = rf"`y_pred` must hold probabilities in \[0, 1\], got [-\d.inf]+ at position \(1, 2\); {LOGITS_HINT}"
    with pytest.raises(ValueError, match=message):
        loss(framework, y_pred=framework.tensor(y_pred, "float32"), from_logits=False)


@by_framework
@by_loss
@pytest.mark.parametrize("dtype", DTYPES)
def test_rounding_and_nan_are_no_mistakes(framework: Framework, loss: Loss, dtype: str) -> None:
    dtype = "float32" if (framework.name, dtype) == ("jax", "float64") else dtype
    y_pred = framework.tensor([[1 + 2**-7, -(2.0**-7), -0.0], [0.5, 0.25, np.nan]], dtype)
    found = framework.numpy(loss(framework, y_pred=y_pred, from_logits=False))
    assert np.isnan(found.flat[-1])
    assert np.isfinite(found.flat[0])


@by_framework
@pytest.mark.parametrize("loss", BINARY + DENSE, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("logits", [True, False])
def test_labels_may_be_rounded(framework: Framework, loss: Loss, dtype: str, logits: bool) -> None:
    dtype = "float32" if (framework.name, dtype) == ("jax", "float64") else dtype
    for rounded in (1 + 2.0**-7, float(np.float32(1.0000001))):
        y_true = framework.tensor([[rounded, 0.0, 0.0], [-1e-7, 0.0, 1.0]], dtype)
        y_pred = framework.tensor(np.full((2, 3), 0.25), "float32")
        exact = loss(framework, np.array([[1, 0, 0], [0, 0, 1]]), y_pred, from_logits=logits)
        found = loss(framework, y_true, y_pred, from_logits=logits)
        np.testing.assert_allclose(framework.numpy(found), framework.numpy(exact), rtol=0.02)


@by_framework
@pytest.mark.parametrize("loss", SPARSE, ids=str)
@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize(("dtype", "largest"), [("bfloat16", 256), ("float16", 2048)])
def test_class_indices_that_the_dtype_has_no_number_for(
    framework: Framework, loss: Loss, from_logits: bool, dtype: str, largest: int
) -> None:
    """257 in bfloat16 is 256. The dtype is known everywhere, also in compiled code."""
    y_true = framework.tensor([largest - 1, 0], dtype)
    for classes in (largest, largest + 1):
        y_pred = np.full((2, classes), 1 / classes)

        def run(y_pred: np.ndarray = y_pred) -> Any:
            return loss(framework, y_true, framework.tensor(y_pred, "float32"), from_logits=from_logits)

        if classes == largest:
            assert np.isfinite(framework.numpy(run())).all()
        else:
            with pytest.raises(TypeError, match=f"`y_true` must be of integers for {classes} classes, got {dtype}"):
                run()


def test_class_indices_that_the_dtype_has_no_number_for_beside_a_layer() -> None:
    hidden, weight, y_true = np.zeros((2, 3)), np.zeros((257, 3)), [255, 0]
    for name in ("torch", "jax"):
        framework = FRAMEWORK[name]
        loss = framework.module.linear_sparse_categorical_focal_loss
        given = [framework.tensor(a, "float32") for a in (hidden, weight)]
        with pytest.raises(TypeError, match="`y_true` must be of integers for 257 classes, got bfloat16"):
            loss(*given, framework.tensor(y_true, "bfloat16"), gamma=2)
        loss(*given, framework.tensor(y_true, "float16"), gamma=2)


@by_framework
@pytest.mark.parametrize("loss", SPARSE, ids=str)
def test_ignored_examples_may_hold_anything(framework: Framework, loss: Loss) -> None:
    y_pred = framework.tensor([[0.5, 0.25, 0.25], [7.0, -1.0, np.inf]], "float32")
    found = framework.numpy(loss(framework, np.array([0, 255]), y_pred, from_logits=False, ignore_class=255))
    assert found[0] > 0
    assert found[1] == 0


BAD_LABELS = {
    "mask": (255.0, "divide a mask by its largest value, 255"),
    "slightly": (1.01, ""),
    "negative": (-0.5, SWAPPED),
    "nan": (np.nan, "leave out the examples that have no label"),
    "inf": (np.inf, ""),
}


@by_framework
@pytest.mark.parametrize("loss", BINARY + DENSE, ids=str)
@pytest.mark.parametrize("logits", [True, False])
@pytest.mark.parametrize("kind", BAD_LABELS)
def test_float_labels_outside_0_and_1(framework: Framework, loss: Loss, logits: bool, kind: str) -> None:
    bad, remedy = BAD_LABELS[kind]
    for dtype in ("float32", "float16"):
        y_true = np.array([[0, 0, 0], [0, 0, bad]], dtype)
        y_pred = framework.tensor(np.full((2, 3), 0.25), "float32")
        with pytest.raises(
            ValueError, match=r"`y_true` must hold labels in \[0, 1\], got .* at position \(1, 2\)"
        ) as e:
            loss(framework, framework.tensor(y_true, dtype), y_pred, from_logits=logits)
        if loss in BINARY and remedy:
            assert e.match(remedy)


@by_framework
@pytest.mark.parametrize("loss", BINARY + DENSE, ids=str)
@pytest.mark.parametrize("logits", [True, False])
@pytest.mark.parametrize("bad", [-1, 2])
def test_integer_labels_but_0_and_1(framework: Framework, loss: Loss, logits: bool, bad: int) -> None:
    y_true = np.array([[0, 1, 0], [0, 0, bad]])
    y_pred = framework.tensor(np.full((2, 3), 0.25), "float32")
    with pytest.raises(ValueError, match=rf"`y_true` must hold labels in \[0, 1\], got {bad} at position \(1, 2\)"):
        loss(framework, y_true, y_pred, from_logits=logits)


@by_framework
def test_a_bad_label_in_any_block_is_found(framework: Framework) -> None:
    """The kernels read a block at a time, and treat soft labels differently from hard ones."""
    loss = framework.module.binary_focal_loss
    for place in (0, 1023, 1024, 5000, 40_000, 99_999):
        for soft in (0.0, 0.5):
            y_true = np.full(100_000, soft, np.float32)
            y_true[place] = 1.5
            with pytest.raises(ValueError, match=rf"got 1\.5 at position \({place},\)"):
                loss(
                    framework.tensor(y_true, "float32"),
                    framework.tensor(np.zeros(100_000), "float32"),
                    2,
                    from_logits=True,
                )


@by_framework
def test_labels_of_minus_1_and_1(framework: Framework) -> None:
    for dtype in ("int32", "float32"):
        with pytest.raises(ValueError, match=r"labels of -1 and 1 become 0 and 1 by `\(y_true \+ 1\) / 2`"):
            framework.module.binary_focal_loss(
                framework.tensor([-1, 1], dtype), framework.tensor([0.0, 2.0], "float32"), 2, from_logits=True
            )


@by_framework
@pytest.mark.parametrize("unknown", [-1, -100, 255])
def test_examples_without_a_label(framework: Framework, unknown: int) -> None:
    """Beside 0 and 1 such a number is neither a mask nor a label of the other class."""
    for dtype in ("int32", "float32"):
        y_true = framework.tensor([0, unknown, 1], dtype)
        with pytest.raises(ValueError, match=r"at position \(1,\); leave out the examples that have no label"):
            framework.module.binary_focal_loss(
                y_true, framework.tensor([0.5, 2.0, 3.0], "float32"), 2, from_logits=True
            )


@by_framework
@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_labels_that_meet_no_prediction_are_not_looked_at(framework: Framework, dtype: str) -> None:
    y_true = framework.tensor(np.full((3, 1), 3), dtype)
    found = framework.module.binary_focal_loss(
        y_true, framework.tensor(np.zeros((3, 0)), "float32"), 2, from_logits=True
    )
    assert found.shape == (3, 0)


def test_labels_that_meet_no_prediction_are_not_looked_at_by_the_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "NATIVE", None)
    found = focal_loss.numpy.binary_focal_loss(np.full((3, 1), 3), np.zeros((3, 0)), 2, from_logits=True)
    assert found.shape == (3, 0)


@by_framework
def test_arguments_the_other_way_round(framework: Framework) -> None:
    logits, labels = framework.tensor([-3.0, 3.0, 0.5], "float32"), np.array([0, 1, 1])
    for y_pred in (labels, framework.tensor(labels, "int32"), framework.tensor(labels, "float32")):
        with pytest.raises(ValueError, match=SWAPPED):
            framework.module.binary_focal_loss(logits, y_pred, 2, from_logits=True)
        if hasattr(framework.module, "sigmoid_focal_loss"):  # predictions first
            with pytest.raises(ValueError, match=SWAPPED):
                framework.module.sigmoid_focal_loss(y_pred, logits)


@by_framework
@pytest.mark.parametrize("loss", DENSE, ids=str)
def test_class_indices_of_as_many_examples_as_classes(framework: Framework, loss: Loss) -> None:
    for y_true in ([0, 1, 2], [0, 1, 0], [True, False, True]):
        with pytest.raises(ValueError, match="for class indices take the loss with `sparse` in its name"):
            loss(framework, np.array(y_true), framework.tensor(np.zeros((3, 3)), "float32"))
    with pytest.raises(ValueError, match=r"`y_true` must hold labels in \[0, 1\], got 2.* `sparse` in its name"):
        loss(framework, np.array([0.0, 1.0, 2.0]), framework.tensor(np.zeros((3, 3)), "float32"))
    one_for_all = loss(framework, np.array([[0, 1, 0]]), framework.tensor(np.zeros((3, 3)), "float32"))
    assert framework.numpy(one_for_all).shape == (3,)


@by_framework
@pytest.mark.parametrize("loss", SPARSE, ids=str)
@pytest.mark.parametrize("logits", [True, False])
@pytest.mark.parametrize("shape", [(1,), (1, 8, 8), (4, 1, 8), (4, 8)])
def test_sparse_labels_are_not_broadcast(
    framework: Framework, loss: Loss, logits: bool, shape: tuple[int, ...]
) -> None:
    y_pred = framework.tensor(np.full((4, 3) if shape == (1,) else (4, 3, 8, 8), 0.5), "float32")
    with pytest.raises(
        ValueError, match=r"`y_true` of shape .* must have the shape \(4, 3.*\) of `y_pred` without its"
    ):
        loss(framework, np.zeros(shape, int), y_pred, axis=1, from_logits=logits)


@by_framework
@pytest.mark.parametrize("loss", SPARSE, ids=str)
def test_a_forgotten_axis(framework: Framework, loss: Loss) -> None:
    y_pred = framework.tensor(np.zeros((2, 3, 8, 5)), "float32")
    message = (
        r"`y_true` of shape \(2, 8, 5\) must have the shape \(2, 3, 8, 5\) of `y_pred` without its class axis 3; pass"
    )
    with pytest.raises(ValueError, match=message + " `axis=1` if the classes are there"):
        loss(framework, np.zeros((2, 8, 5), int), y_pred)


@by_framework
def test_weights_by_class_as_a_dictionary(framework: Framework) -> None:
    with pytest.raises(TypeError, match="got dict; pass a list with one entry per class"):
        LOSS["sparse_categorical_focal_loss"](framework, class_weight={0: 1.0, 1: 2.0, 2: 1.0})


@by_framework
def test_without_checks(framework: Framework) -> None:
    focal_loss.set_checks(False)
    z = framework.tensor([0.0, 0.0], "float32")
    value = np.log(2) / 4
    loss = framework.module.binary_focal_loss
    found = framework.numpy(loss(framework.tensor([255.0, 0.0], "float32"), z, 2, from_logits=True))
    np.testing.assert_allclose(found, [(255 - 254) * value, value], rtol=1e-5)
    assert np.isfinite(framework.numpy(loss([1, 0], framework.tensor([3.0, -3.0], "float32"), 2))).all()
    for logits in (True, False):
        y_pred = framework.tensor(np.full((3, 3), 0.5), "float32")
        sparse = framework.module.sparse_categorical_focal_loss(np.array([0, 3, -1]), y_pred, 2, from_logits=logits)
        np.testing.assert_array_equal(np.isnan(framework.numpy(sparse)), [False, True, True])


def test_the_switch() -> None:
    with pytest.raises(TypeError, match="`enabled` must be True or False, got 1"):
        focal_loss.set_checks(1)


# ---------------------------------------------------------------------------------------------------------------
# Compiled code
# ---------------------------------------------------------------------------------------------------------------

COMPILED = {
    "jax.jit": ("jax", jax.jit, jnp.asarray),
    "tf.function": ("tensorflow", tf.function, tf.constant),
    "torch.compile": ("torch", lambda f: torch.compile(f, fullgraph=True), torch.tensor),
}


@pytest.mark.parametrize("compiler", COMPILED)
def test_compiled_code_looks_at_no_number(compiler: str) -> None:
    name, compiled, tensor = COMPILED[compiler]
    module = FRAMEWORK[name].module

    def loss(y: Any, z: Any) -> Any:
        return module.binary_focal_loss(y, z, 2, from_logits=True) + module.binary_focal_loss(y, z, 2)

    assert np.isfinite(np.asarray(compiled(loss)(tensor([255.0, -1.0]), tensor([3.0, -3.0])))).all()


@pytest.mark.parametrize("compiler", COMPILED)
@pytest.mark.parametrize("ignore", [None, -1])
def test_fractions_as_class_indices_are_nan_in_compiled_code(compiler: str, ignore: int | None) -> None:
    name, compiled, tensor = COMPILED[compiler]
    module = FRAMEWORK[name].module
    indices = tensor([-0.5, 2.5, float("nan"), float("inf"), 1.0, 2.0])

    def loss(y: Any, z: Any) -> Any:
        options = {"ignore_class": ignore}
        formula = module.sparse_categorical_focal_loss(y, z, 2, **options)
        return formula, module.sparse_categorical_focal_loss(y, z, 2, from_logits=True, **options)

    for found in compiled(loss)(indices, tensor(np.full((6, 3), 1 / 3, np.float32))):
        np.testing.assert_array_equal(np.isnan(np.asarray(found)), [True, True, True, True, False, False])


# ---------------------------------------------------------------------------------------------------------------
# A tensor gamma below 0
# ---------------------------------------------------------------------------------------------------------------

BY = [f for f in FRAMEWORKS if f.name != "numpy"]


@pytest.mark.parametrize("framework", BY, ids=str)
@by_loss
@pytest.mark.parametrize("logits", [True, False])
def test_a_tensor_gamma_below_0_is_0(framework: Framework, loss: Loss, logits: bool) -> None:
    y_pred = framework.tensor(LOGITS if logits else [[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]], "float32")

    def value(gamma: Any) -> np.ndarray:
        return framework.numpy(loss(framework, y_pred=y_pred, from_logits=logits, **{loss.focus: gamma}))

    np.testing.assert_array_equal(value(framework.tensor(-1.5, "float32")), value(framework.tensor(0.0, "float32")))


@pytest.mark.parametrize("framework", BY, ids=str)
@by_loss
@pytest.mark.parametrize("logits", [True, False])
def test_the_derivative_in_a_gamma_below_0_is_0(framework: Framework, loss: Loss, logits: bool) -> None:
    y_pred = framework.tensor(LOGITS if logits else [[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]], "float32")

    def slope(gamma: float) -> float:
        def total(gamma: Any) -> Any:
            return loss(framework, y_pred=y_pred, from_logits=logits, **{loss.focus: gamma})

        found = framework.derivatives(total, {"gamma": np.array(gamma)}, "float32", second=False)
        return float(found["gamma"])

    assert slope(-1.5) == 0
    np.testing.assert_allclose(slope(0.0), slope(1e-6), rtol=1e-4)
    assert slope(0.0) < 0
