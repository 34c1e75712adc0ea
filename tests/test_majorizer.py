"""Replacements of the Hessian in Newton steps, against golden numbers and against the Hessian."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import accuracy
import numpy as np
import pytest

from focal_loss import numpy as focal

GOLDEN = json.loads((Path(__file__).parent / "golden" / "majorizer.json").read_text())
DTYPES = ("float32", "float64", "float16")


def error_ratio(row: dict[str, Any], found: Any, dtype: str) -> float:
    """Every term is positive: the error is relative to the number itself."""
    exact = accuracy.Exact.of(row["majorizer"])
    terms, exponent = accuracy.factor(row)
    return float(np.max(accuracy.error_ratio(found, exact, np.abs(exact.high), terms, row["gamma"], dtype, exponent)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_golden_numbers_of_the_binary_loss(dtype: str) -> None:
    for row in GOLDEN["binary"]:
        if not accuracy.representable(row, dtype):
            continue
        for label in (row["y"], float(row["y"]), bool(row["y"])):
            found = focal.binary_focal_loss_derivatives(
                np.array([label]), np.array([row["z"]], dtype), row["gamma"], pos_weight=row["w"], hessian="majorizer"
            )
            assert error_ratio(row, np.float64(found.hessian[0]), dtype) <= 1, row


@pytest.mark.parametrize("dtype", DTYPES)
def test_golden_numbers_of_the_softmax_loss(dtype: str) -> None:
    for row in GOLDEN["softmax"]:
        found = focal.sparse_categorical_focal_loss_derivatives(
            [row["t"]], np.array([row["v"]], dtype), row["gamma"], class_weight=row["w"], hessian="majorizer"
        )
        assert error_ratio(row, np.float64(found.hessian[0]), dtype) <= 1, row


def test_the_measure_can_fail() -> None:
    row = GOLDEN["binary"][0]
    wrong = float(row["majorizer"]) * (1 + 1000 * np.finfo(np.float64).eps * accuracy.factor(row)[0])
    assert error_ratio(row, np.float64(wrong), "float64") > 1


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.0, 5.0, 10.0])
@pytest.mark.parametrize("label", [0.0, 0.3, 1.0])
def test_majorizer_is_positive_and_nowhere_below_the_hessian(gamma: float, label: float) -> None:
    z = np.linspace(-60, 60, 4001)
    exact, above, floored = (
        focal.binary_focal_loss_derivatives(label, z, gamma, pos_weight=2.0, hessian=policy)
        for policy in ("exact", "majorizer", "relative_floor")
    )
    assert (above.hessian > 0).all()
    assert (above.hessian >= exact.hessian * (1 - 1e-12)).all()
    if gamma >= 1:  # with a smaller gamma the Hessian turns negative only where it is negligible
        assert (exact.hessian < 0).any()
    np.testing.assert_allclose(floored.hessian, np.maximum(exact.hessian, np.abs(exact.gradient) / 4), rtol=1e-12)
    for other in (above, floored):
        np.testing.assert_array_equal(other.gradient, exact.gradient)
        np.testing.assert_array_equal(other.value, exact.value)


def test_softmax_policies_agree_with_the_binary_ones() -> None:
    """Two classes with logits (0, z) have the binary loss and its Hessian in z."""
    z = np.linspace(-30, 30, 301)
    logits = np.stack([np.zeros_like(z), z], axis=1)
    for policy in ("exact", "majorizer", "relative_floor"):
        for label in (0, 1):
            labels = np.full(z.shape, label)
            pair = focal.sparse_categorical_focal_loss_derivatives(labels, logits, 2.0, hessian=policy)
            one = focal.binary_focal_loss_derivatives(labels, z, 2.0, hessian=policy)
            np.testing.assert_allclose(pair.hessian[:, 1], one.hessian, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("policy", ["exact", "majorizer", "relative_floor"])
def test_a_number_gives_numbers(policy: str) -> None:
    one = focal.binary_focal_loss_derivatives(1, -6.0, 2.0, hessian=policy)
    row = focal.binary_focal_loss_derivatives([1], [-6.0], 2.0, hessian=policy)
    for found, expected in zip(one, row, strict=True):
        assert np.ndim(found) == 0
        assert found == expected[0]


def test_unknown_policy_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`hessian` must be one of 'exact', 'majorizer', 'relative_floor', got 'abs'"):
        focal.binary_focal_loss_derivatives([1], [0.5], 2, hessian="abs")
