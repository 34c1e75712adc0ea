"""Options as attributes, labels of any dtype, and pairs of labels and predictions."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import keras
import numpy as np
import pytest
from test_keras import CASES, DECLARED, LOGITS, function

import focal_loss.numpy as reference
from focal_loss.keras import _backend, losses, metrics

each = pytest.mark.parametrize("name", CASES)
both = pytest.mark.parametrize("module", [losses, metrics])


def value(computation: Any, y_true: Any, y_pred: Any) -> float:
    if isinstance(computation, keras.losses.Loss):
        return float(computation(y_true, y_pred))
    computation.reset_state()
    computation.update_state(y_true, y_pred)
    return float(computation.result())


@each
@both
def test_every_option_is_an_attribute(name: str, module: Any) -> None:
    """Every attribute has the given value, and setting all of them gives an object equal to one built with them."""
    options, y_true, y_pred = CASES[name]
    built = getattr(module, name)(**options)
    focus = DECLARED[name].focus
    changed = getattr(module, name)(**{focus: 5})
    for option, chosen in options.items():
        assert getattr(built, option) == chosen
        setattr(changed, option, chosen)
    assert changed.get_config() == built.get_config()
    assert value(changed, y_true, y_pred) == value(built, y_true, y_pred)
    for option in (focus, "from_logits"):
        with pytest.raises((TypeError, ValueError), match=f"`{option}` must be .*, got -1"):
            setattr(built, option, -1)
    assert getattr(built, focus) == options[focus]


@both
def test_a_variable_is_checked_and_keeps_its_place(module: Any) -> None:
    gamma = keras.Variable(3.0, trainable=False)
    for name, weight in (("BinaryFocalLoss", "pos_weight"), ("SparseCategoricalFocalCrossentropy", "alpha")):
        options, y_true, y_pred = CASES[name]
        built = getattr(module, name)(**options | {"gamma": gamma})
        expected = getattr(module, name)(**options | {"gamma": 1.5})
        built.gamma = 1.5
        assert built.gamma is gamma
        assert built.get_config()["gamma"] == 1.5
        assert value(built, y_true, y_pred) == pytest.approx(value(expected, y_true, y_pred), rel=1e-6)
        with pytest.raises(ValueError, match="`gamma` must be a non-negative number, got -1"):
            built.gamma = -1
        with pytest.raises(ValueError, match=f"`{weight}` must be .*, got -2"):
            getattr(module, name)(**options | {weight: keras.Variable(-2.0)})


@both
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "mixed_bfloat16", "float32"])
@pytest.mark.parametrize("name", ["SparseCategoricalFocalLoss", "SparseCategoricalFocalCrossentropy"])
def test_class_indices_are_what_they_are_in_half_precision(name: str, dtype: str, module: Any) -> None:
    """bfloat16 has no 257 and float16 no 2049: the loss would be that of another class."""
    for index, labels in ((257, "int32"), (2049, "int64"), (257, "uint16"), (2049, "float32")):
        y_pred = np.zeros((2, 2052), "float32")
        y_pred[:, index] = 8.0
        y_true = np.array([index, index], labels)
        found = value(getattr(module, name)(gamma=2, dtype=dtype, **LOGITS), y_true, y_pred)
        assert found == pytest.approx(function(name)(y_true, y_pred, gamma=2, **LOGITS).mean(), rel=1e-2)


def test_integers_of_eight_bits_beside_an_ignored_class() -> None:
    y_pred = np.array([[0.8, 0.2], [0.3, 0.7]], "float32")
    for labels, ignored in (("uint8", 255), ("uint8", -1), ("int8", -1), ("int8", 255)):
        y_true = np.array([0, ignored if np.iinfo(labels).min <= ignored <= np.iinfo(labels).max else 1], labels)
        right = reference.sparse_categorical_focal_loss(y_true, y_pred, 2, ignore_class=ignored)
        for module in (losses, metrics):
            found = value(module.SparseCategoricalFocalLoss(2, ignore_class=ignored), y_true, y_pred)
            assert found == pytest.approx(right[y_true != ignored].mean(), rel=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_reduced_in_float32_and_rounded_once(dtype: str) -> None:
    """A mean of 100,000 losses, whose sum no float16 can hold."""
    y_true, y_pred = np.ones((100_000, 1), "float32"), np.full((100_000, 1), -2.0, "float32")
    loss = losses.BinaryFocalLoss(0, dtype=dtype, **LOGITS)(y_true, y_pred)
    assert keras.backend.standardize_dtype(loss.dtype) == dtype
    found = float(keras.ops.cast(loss, "float32"))
    assert found == pytest.approx(np.log1p(np.exp(2.0)), rel=2.0 ** (-11 if dtype == "float16" else -8))
    each_one = losses.BinaryFocalLoss(0, dtype=dtype, reduction=None, **LOGITS)(y_true[:2], y_pred[:2])
    assert keras.backend.standardize_dtype(each_one.dtype) == dtype


@both
@pytest.mark.parametrize("name", ["BinaryFocalLoss", "BinaryFocalCrossentropy", "CategoricalFocalLoss"])
def test_labels_go_in_pairs_with_predictions(name: str, module: Any) -> None:
    """Class indices go in pairs too. `keras.losses.BinaryFocalCrossentropy` refuses each of these shapes, too."""
    for shape in ((3, 1), (3,), (1, 3)):
        with pytest.raises(
            ValueError, match=r"`y_true` of shape .* must have the shape \(3, 3\) of `y_pred`; for class"
        ):
            value(getattr(module, name)(gamma=2), np.zeros(shape), np.full((3, 3), 0.5, "float32"))


@each
@both
def test_a_softmax_over_one_class_is_warned_of(name: str, module: Any) -> None:
    """The warning is Keras' own, at the caller's line."""
    computation = getattr(module, name)(**{DECLARED[name].focus: 2})
    layout = DECLARED[name].declared.layout
    y_true = np.zeros(2, "int32") if layout == "sparse" else np.ones((2, 1))
    if layout in ("elements", "average"):
        value(computation, y_true, np.full((2, 1), 0.5, "float32"))
        return
    with pytest.warns(SyntaxWarning, match=r"`y_pred` of shape \(2, 1\) has one class on axis 1") as caught:
        assert value(computation, y_true, np.ones((2, 1), "float32")) == pytest.approx(0, abs=1e-6)
    assert [warning.filename for warning in caught] == [__file__]


MISTAKES: dict[str, tuple[type[Warning], str, Any, tuple[int, ...]]] = {
    "one class on axis": (SyntaxWarning, "SparseCategoricalFocalLoss", np.zeros(2, "int32"), (2, 1)),
    "`alpha` has no effect": (UserWarning, "BinaryFocalCrossentropy", np.zeros((2, 3), "float32"), (2, 3)),
}


@both
@pytest.mark.parametrize("words", MISTAKES)
def test_warnings_point_at_the_line_of_the_caller(words: str, module: Any) -> None:
    category, name, y_true, shape = MISTAKES[words]
    options: dict[str, Any] = {"alpha": 0.5} if name.startswith("Binary") else {"gamma": 2}
    computation, y_pred = getattr(module, name)(**options), np.ones(shape, "float32")
    lines = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        use = computation if module is losses else computation.update_state
        for _ in range(2):
            lines.append(sys._getframe().f_lineno + 1)
            use(y_true, y_pred)
        lines[1] = sys._getframe().f_lineno + 1
        use(y_true, y_pred)
    assert {warning.category for warning in caught} == {category}
    assert all(words in str(warning.message) for warning in caught)
    assert [(warning.filename, warning.lineno) for warning in caught] == [(__file__, line) for line in lines]


def test_a_missing_private_name_costs_what_it_did_and_says_so() -> None:
    missing = _backend.without_public_name("no_such_name", None, "masks do not count")
    with pytest.warns(UserWarning, match=r"no `keras.src.backend.no_such_name`: masks do not count"):
        assert missing(0) is None
