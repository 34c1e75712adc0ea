"""Keras and TensorFlow over several devices: training is that of one device."""

from __future__ import annotations

from typing import Any

import pytest
from processes import FOUR_DEVICES, printed

# Numbers of one device and of several are sums in another order; a few steps of training multiply the difference.
ROUNDING = 1e-5
KERAS_LOSSES = ("SparseCategoricalFocalLoss", "CategoricalFocalCrossentropy", "BinaryFocalLoss")
TENSORFLOW_LOSSES = ("sparse_categorical_focal_loss", "categorical_focal_loss", "binary_focal_crossentropy")


def on_tensorflow() -> dict[str, Any]:
    return printed("tensorflow_replicas.py", KERAS_BACKEND="tensorflow")


@pytest.mark.parametrize("name", KERAS_LOSSES)
@pytest.mark.parametrize(("kind", "split"), [("ModelParallel", "P(None, 'model')"), ("DataParallel", "P(None, None)")])
def test_keras_on_jax(name: str, kind: str, split: str) -> None:
    """`ModelParallel` splits the last layer by its classes, and the batch; `DataParallel` the batch."""
    found = printed("keras_sharding.py", KERAS_BACKEND="jax", **FOUR_DEVICES)[f"{name}, {kind}"]
    assert found["split"] == split
    assert found["difference"] <= ROUNDING


@pytest.mark.parametrize("name", TENSORFLOW_LOSSES)
@pytest.mark.parametrize("share", [4, 6, 7])
def test_uneven_batches_in_a_loop_of_tensorflow(name: str, share: int) -> None:
    """7 examples on two devices, of which the first has so many: value and gradient by `compute_average_loss`."""
    assert on_tensorflow()[f"{name}, {share}"] <= ROUNDING


def test_even_batches_of_keras_on_tensorflow() -> None:
    assert on_tensorflow()["fit, even"] <= ROUNDING


@pytest.mark.parametrize("rows", [5, 7])
def test_uneven_batches_of_keras_on_tensorflow(rows: int) -> None:
    """Keras averages the means of the devices, for its own losses too. A sum with weights is the mean of the batch."""
    found = on_tensorflow()
    assert found[f"fit, weighted, {rows}"] <= ROUNDING
    assert found[f"fit, as Keras, {rows}"] <= ROUNDING
    assert found[f"mean of means, {rows}"] > 0.1
