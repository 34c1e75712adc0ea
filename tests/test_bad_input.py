"""The contract on bad input: the exceptions and their messages."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from cases import FRAMEWORK, FRAMEWORKS, LOSS, LOSSES, SPARSE, UNLABELED, Framework, Loss

by_framework = pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
by_loss = pytest.mark.parametrize("loss", LOSSES, ids=str)

INVALID = [
    pytest.param(loss, name, *invalid, id=f"{loss}-{name}-{invalid[0]!r}".replace("\n", ""))
    for loss in LOSSES + UNLABELED
    for name, (option, _) in loss.declared.options.declared().items()
    for invalid in option.kind.invalid
]


@by_framework
@pytest.mark.parametrize(("loss", "name", "value", "error", "says"), INVALID)
def test_an_option_says_what_it_must_be(framework: Framework, loss: Loss, name: str, value, error, says: str) -> None:
    with pytest.raises(error, match=re.escape(f"`{name}` {says}")):
        loss(framework, **{name: value})


@by_framework
@by_loss
def test_gamma_is_not_none(framework: Framework, loss: Loss) -> None:
    """A weight of None means 1; the focusing parameter has no such default."""
    with pytest.raises(TypeError, match=f"`{loss.focus}` must be a non-negative number or an array of them, got None"):
        loss(framework, **{loss.focus: None})


@by_framework
@by_loss
def test_an_array_holds_no_infinite_number(framework: Framework, loss: Loss) -> None:
    for name in loss.arrays:
        for value in (np.array([0.5, np.inf, 0.25]), [0.5, np.inf, 0.25]):
            with pytest.raises(ValueError, match=f"`{name}` must be a .*, got inf"):
                loss(framework, **{name: value})


@by_framework
@by_loss
def test_an_option_of_another_type_is_seen_after_its_equal(framework: Framework, loss: Loss) -> None:
    """1 and True are equal with one hash, and the cache of checked options must still tell them apart."""
    loss(framework, **{loss.focus: 1})
    with pytest.raises(TypeError, match=f"`{loss.focus}` must be a non-negative number"):
        loss(framework, **{loss.focus: True})
    with pytest.raises(TypeError, match="`from_logits` must be True or False, got 1"):
        loss(framework, from_logits=1)


@by_framework
def test_an_alpha_without_effect_warns(framework: Framework) -> None:
    with pytest.warns(UserWarning, match="`alpha` has no effect; pass `apply_class_balancing=True`"):
        LOSS["binary_focal_crossentropy"](framework, alpha=0.5, apply_class_balancing=False)


@by_framework
@by_loss
def test_shapes_that_do_not_broadcast(framework: Framework, loss: Loss) -> None:
    y_true = np.zeros(5, int) if loss in SPARSE else np.zeros((5, 3))
    message = r"`y_true` of shape \(5.*\) and `y_pred` of shape \(2.*\) do not broadcast"
    if loss in SPARSE:
        message = r"`y_true` of shape \(5,\) must have the shape \(2, 3\) of `y_pred` without its class axis 1"
    with pytest.raises(ValueError, match=message):
        loss(framework, y_true=y_true)


@by_framework
@by_loss
def test_parameters_that_do_not_fit(framework: Framework, loss: Loss) -> None:
    for name in loss.arrays:
        with pytest.raises(ValueError, match=rf"`{name}` (of shape \(7,\) and|must be a number or have one entry per)"):
            loss(framework, **{name: [0.5] * 7})


@by_framework
def test_vector_against_column_warns(framework: Framework) -> None:
    y_pred = framework.tensor(np.zeros((4, 1)), "float32")
    with pytest.warns(
        UserWarning, match=r"`y_true` of shape \(4,\) and `y_pred` of shape \(4, 1\) broadcast to \(4, 4\)"
    ):
        loss = framework.module.binary_focal_loss([0, 1, 0, 1], y_pred, 2, from_logits=True)
    assert tuple(loss.shape) == (4, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        framework.module.binary_focal_loss(1, y_pred, 2, from_logits=True)


@by_framework
@pytest.mark.parametrize("loss", SPARSE, ids=str)
@pytest.mark.parametrize(("index", "dtype"), [(3, int), (-1, int), (3, np.uint8), (7.0, float)])
def test_class_index_out_of_range(framework: Framework, loss: Loss, index, dtype) -> None:
    y_true = np.array([0, index], dtype)
    message = rf"`y_true` must hold class indices in \[0, 3\), got {index}.* at position \(1,\)"
    with pytest.raises(ValueError, match=message):
        loss(framework, y_true=y_true)


@by_framework
@pytest.mark.parametrize("loss", SPARSE, ids=str)
def test_class_index_that_is_no_whole_number(framework: Framework, loss: Loss) -> None:
    with pytest.raises(ValueError, match=r"`y_true` must hold class indices, which are whole numbers, got 0\.5"):
        loss(framework, y_true=np.array([0, 0.5]))


@by_framework
@pytest.mark.parametrize("loss", SPARSE, ids=str)
def test_one_hot_labels_to_a_sparse_loss(framework: Framework, loss: Loss) -> None:
    with pytest.raises(ValueError, match="take the loss without `sparse` in its name"):
        loss(framework, y_true=np.eye(3)[:2])


@by_framework
@pytest.mark.parametrize("loss", SPARSE, ids=str)
def test_sparse_labels_of_the_wrong_rank(framework: Framework, loss: Loss) -> None:
    for y_true, y_pred in ((0, loss.y_pred), (np.zeros(3, int), np.zeros((2, 3, 4)))):
        with pytest.raises(ValueError, match=r"must have the shape .* of `y_pred` without its class axis"):
            loss(framework, y_true, framework.tensor(y_pred, "float32"))


@by_framework
def test_probabilities_that_are_all_zero_are_clamped(framework: Framework) -> None:
    y_pred = framework.tensor(np.zeros((1, 3)), "float32")
    for name, y_true in (("sparse_categorical_focal_loss", [0]), ("categorical_focal_loss", [[1, 0, 0]])):
        found = framework.numpy(getattr(framework.module, name)(y_true, y_pred, 2))
        np.testing.assert_allclose(found, -np.log(1e-7), rtol=1e-6)


@by_framework
@pytest.mark.parametrize("loss", SPARSE, ids=str)
def test_ignore_class_of_the_wrong_type(framework: Framework, loss: Loss) -> None:
    with pytest.raises(TypeError, match=r"`ignore_class` must be an integer, got 1\.5"):
        loss(framework, ignore_class=1.5)


@by_framework
def test_integer_labels_outside_zero_and_one(framework: Framework) -> None:
    with pytest.raises(ValueError, match=r"`y_true` must hold labels in \[0, 1\], got -1 at position \(0,\)"):
        framework.module.binary_focal_loss(np.array([-1, 1]), framework.tensor([0.0, 0.0], "float32"), 2)


@by_framework
@pytest.mark.parametrize("bad", [np.array([1j]), np.array(["a"]), np.array([None]), None, ["a"], [1j]], ids=repr)
def test_data_that_are_no_real_numbers(framework: Framework, bad) -> None:
    for y_true, y_pred in (([1], bad), (bad, framework.tensor([0.5], "float32"))):
        with pytest.raises((TypeError, ValueError)):
            framework.module.binary_focal_loss(y_true, y_pred, 2)


@by_framework
@pytest.mark.parametrize("name", ["categorical_focal_loss", "categorical_focal_crossentropy"])
@pytest.mark.parametrize("indices", [[[0], [1]], [0, 1], 1])
def test_class_indices_to_a_dense_loss(framework: Framework, name: str, indices) -> None:
    with pytest.raises(ValueError, match="take the loss with `sparse` in its name"):
        LOSS[name](framework, y_true=np.array(indices))


def by_jax(loss: Callable[..., Any], t: np.ndarray, v: np.ndarray) -> Any:
    import jax

    return jax.jit(loss)(t, v)


def by_tensorflow(loss: Callable[..., Any], t: np.ndarray, v: np.ndarray, **options: Any) -> Any:
    import tensorflow as tf

    return tf.function(loss, **options)(tf.constant(t), tf.constant(v))


def by_torch(loss: Callable[..., Any], t: np.ndarray, v: np.ndarray, transform: str, **options: Any) -> Any:
    import torch

    return getattr(torch, transform)(loss, **options)(torch.tensor(t), torch.tensor(v))


OUT_OF_RANGE = {
    "jax.jit": by_jax,
    "tensorflow.function": by_tensorflow,
    "tensorflow, XLA": partial(by_tensorflow, jit_compile=True),
    "torch.compile": partial(by_torch, transform="compile", fullgraph=True),
    "torch.vmap": partial(by_torch, transform="vmap"),
}


@pytest.mark.parametrize("compiler", OUT_OF_RANGE)
@pytest.mark.parametrize("ignore", [None, 255])
def test_out_of_range_where_nothing_can_be_raised_is_nan(compiler: str, ignore: int | None) -> None:
    loss = FRAMEWORK[re.match("[a-z]+", compiler)[0]].module.sparse_categorical_focal_loss
    run = OUT_OF_RANGE[compiler]
    t, v = np.array([0, 3, 255, -1, 2]), np.zeros((5, 3), np.float32)
    found = run(lambda t, v: loss(t, v, 2, from_logits=True, ignore_class=ignore, class_weight=[1.0, 2.0, 3.0]), t, v)
    value = np.log(3) * 4 / 9
    skipped = np.nan if ignore is None else 0
    np.testing.assert_allclose(np.asarray(found), [value, np.nan, skipped, np.nan, 3 * value], rtol=1e-6)


@pytest.mark.parametrize("name", ["binary_focal_loss", "sigmoid_focal_loss"])
@pytest.mark.parametrize("value", ["none ", "average", None, 1])
def test_torch_reduction(name: str, value) -> None:
    import torch

    arguments = (torch.zeros(2), torch.zeros(2)) + ((2,) if name == "binary_focal_loss" else ())
    with pytest.raises(ValueError, match="`reduction` must be 'none', 'mean' or 'sum', got"):
        getattr(FRAMEWORK["torch"].module, name)(*arguments, reduction=value)


def test_torch_modules_refuse_the_arguments_the_other_way_round() -> None:
    import torch

    loss = FRAMEWORK["torch"].module.BinaryFocalLoss(2, from_logits=True)
    with pytest.raises(TypeError, match=r"the order of the arguments is \(y_true, y_pred\)"):
        loss(torch.zeros(3, requires_grad=True), torch.ones(3))
    with pytest.raises(TypeError, match=r"the order of the arguments is \(y_true, y_pred\)"):
        loss(torch.zeros(3), torch.ones(3, dtype=torch.int64))


def test_a_warning_breaks_no_graph() -> None:
    import torch

    loss = FRAMEWORK["torch"].module.binary_focal_loss
    compiled = torch.compile(lambda y, z: loss(y, z, 2, from_logits=True), fullgraph=True)
    assert compiled(torch.zeros(3), torch.zeros(3, 1)).shape == (3, 3)


def test_torch_modules_check_at_construction() -> None:
    module = FRAMEWORK["torch"].module
    with pytest.raises(ValueError, match="`gamma` must be a non-negative number, got -1"):
        module.BinaryFocalLoss(-1)
    with pytest.raises(ValueError, match="`class_weight` must be a non-negative number, got -1"):
        module.SparseCategoricalFocalLoss(2, class_weight=[1, -1])
    with pytest.raises(ValueError, match="`reduction` must be"):
        module.CategoricalFocalLoss(2, reduction="avg")


def test_tensorflow_ragged_tensors_are_refused_with_the_remedy() -> None:
    import tensorflow as tf

    ragged = tf.ragged.constant([[1.0, 2.0], [3.0]])
    with pytest.raises(TypeError, match=r"call `\.to_tensor\(\)`"):
        FRAMEWORK["tensorflow"].module.binary_focal_loss(ragged, ragged, 2)
