"""JAX over several devices: the result is that of one device, whichever axes are split."""

from __future__ import annotations

from typing import Any

import jax
import pytest
from cases import OWN_FORM
from processes import FOUR_DEVICES, printed

LOSSES = [
    "binary_focal_loss",
    "binary_focal_crossentropy",
    "sigmoid_focal_loss",
    "categorical_focal_loss",
    "categorical_focal_crossentropy",
    "sparse_categorical_focal_loss",
    "sparse_categorical_focal_crossentropy",
    "sparse_categorical_focal_loss of examples",
    "linear_sparse_categorical_focal_loss",
    "linear_sparse_categorical_focal_loss by features",
    "binary_focal_loss of probabilities",
    "categorical_focal_loss of probabilities",
    "sparse_categorical_focal_loss of probabilities",
    *(loss.name for loss in OWN_FORM),
]
CASES = [
    f"{name}, {split}, {mode}"
    for name in LOSSES
    for split in (("both",) if name in map(str, OWN_FORM) else ("batch", "class", "both", "neither"))
    for mode in ("eager", "jit", "explicit", "shard_map")
    if mode != "eager" or split == "both"
]


KINDS = ["automatic", "explicit"]


def results(*wanted: str, isa: str = "") -> dict[str, Any]:
    """The results of the script. An empty `isa` lets the machine choose the kernels."""
    return printed("jax_sharding.py", *wanted, FOCAL_LOSS_ISA=isa, **FOUR_DEVICES)


def test_every_case_is_tried() -> None:
    assert list(results()["matrix"]) == CASES


@pytest.mark.parametrize("case", CASES)
def test_as_on_one_device(case: str) -> None:
    """Value and gradients match one device. The script gives the error as a share of the bound, or a traceback."""
    found = results()["matrix"][case]
    assert isinstance(found, float), found
    assert found <= 1


@pytest.mark.nightly
@pytest.mark.parametrize("split", ["batch", "class", "neither"])
@pytest.mark.parametrize("name", LOSSES)
def test_every_split_in_eager_mode(name: str, split: str) -> None:
    found = results(split, "eager")["matrix"][f"{name}, {split}, eager"]
    assert isinstance(found, float), found
    assert found <= 1


@pytest.mark.nightly
@pytest.mark.parametrize("name", LOSSES)
def test_by_the_formula(name: str) -> None:
    found = results("both", "explicit", isa="formula")["matrix"][f"{name}, both, explicit"]
    assert isinstance(found, float), found
    assert found <= 1


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (name, kind)
        for name in LOSSES
        for kind in KINDS
        # Its chunks are recomputed, which JAX cannot do inside a `shard_map` that is differentiated from outside; it
        # raises.
        if (name, kind) != ("linear_sparse_categorical_focal_loss", "explicit")
    ],
)
def test_a_mesh_that_is_partly_manual(name: str, kind: str) -> None:
    """`shard_map` over the rows; the axis that splits the classes is left to JAX, or explicit."""
    found = results()["parts"][f"{name}, {kind}"]
    assert isinstance(found, float), found
    assert found <= 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["binary_focal_loss", "categorical_focal_loss", "sparse_categorical_focal_loss"])
def test_second_derivatives(name: str, kind: str) -> None:
    found = results()["second"][f"{name}, {kind}"]
    assert isinstance(found, float), found
    assert found <= 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["eager", "jit"])
def test_known_values_of_split_classes(mode: str, kind: str) -> None:
    found = results()["known"][f"{mode}, {kind}"]
    assert found == pytest.approx([0.8386914, 0.05581477, 2.0794415, 2.0794415], rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("rows", [4096, 4036])
def test_the_linear_loss_leaves_rows_where_they_are(rows: int, reduction: str, kind: str) -> None:
    """No device receives the rows of another. 4036 rows do not divide into equal chunks."""
    found = results()["linear"][f"{rows}, {reduction}, {kind}"]
    assert found == {"gathers": 0, "rows": True}


# The collectives of a program for 16 examples whose 64 classes two devices share: of the value, and of the value and
# the gradients where two devices share the examples too. The bytes are those of the result on one device.
SUM = ["all-reduce", 4]  # of the losses, by the test
LAYER = [["all-reduce", 16 // 2 * 8 * 4], ["all-reduce", 64 // 2 * 8 * 4 + 4]]  # gradients of hidden; of weight, SUM


def numbers(count: int, examples: int) -> list[str | int]:
    """An all-gather of so many numbers for an example from both devices."""
    return ["all-gather", count * 2 * 4 * examples]


# The exponentials are added before the losses of the classes are known, which are added then, with two sums for slopes.
EVERY = (
    [["all-reduce", 16 * 4], numbers(2, 16)],
    [SUM, ["all-reduce", 3 * 8 * 4], numbers(2, 8)],
)
COLLECTIVES = {
    "sparse": ([numbers(3, 16)], [SUM, numbers(3, 8)]),
    "sparse of classes": ([numbers(5, 16)], [SUM, numbers(5, 8)]),
    "sparse, smoothed": EVERY,
    "dense": EVERY,
    "linear": ([numbers(3, 16)], [numbers(3, 8), *LAYER]),
    "linear, rows": ([numbers(3, 16)], [numbers(3, 8), numbers(3, 8), *LAYER]),  # chunks are computed again
}


@pytest.mark.parametrize("name", COLLECTIVES)
def test_no_device_receives_logits_or_layers(name: str) -> None:
    value, slopes = COLLECTIVES[name]
    found = results()["collectives"]
    assert found[f"{name}, class, value, automatic"] == value
    assert found[f"{name}, both, slopes, explicit"] == slopes


NAMED = [
    *(
        f"{name}, {mode}"
        for name in ("sparse_categorical_focal_loss", "categorical_focal_loss")
        for mode in ("outside", "inside", "partly")
    ),
    "sparse_categorical_focal_crossentropy, outside",
    "categorical_focal_crossentropy, outside",
    "sparse_categorical_focal_loss of examples, outside",
    "categorical_focal_loss of probabilities, outside",
    "sparse_categorical_focal_loss of probabilities, outside",
]


@pytest.mark.parametrize("case", NAMED)
def test_classes_that_a_shard_map_splits(case: str) -> None:
    """With `axis_name`: the value and the gradients in logits and parameters, taken outside and inside."""
    found = results()["named"][case]
    assert isinstance(found, float), found
    assert found <= 1


def test_every_case_of_axis_name_is_tried() -> None:
    assert list(results()["named"]) == NAMED


def test_axis_name_in_a_map() -> None:
    """On four devices with a class each, which is no softmax over one class. Gamma is the fourth number of a row."""
    found = results()["mapped"]
    assert found["values"] <= 1
    collective = "all-gather" if jax.__version_info__ >= (0, 10) else "all-reduce"
    assert found["collectives"] == [[collective, 4 * 4 * 8 * 4]]


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (
            "outside",
            "ValueError: `axis_name` must name an axis of a `jax.shard_map` or `jax.pmap` around the call, got ",
        ),
        ("type", "TypeError: `axis_name` must be a string or a tuple of strings, got 3"),
        ("second", "NotImplementedError: `axis_name` gives first derivatives"),
    ],
)
def test_axis_name_is_never_ignored(case: str, message: str) -> None:
    assert results()["mapped"]["refused"][case].startswith(message)
