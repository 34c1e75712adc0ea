"""Normalizers of a mean: their definition on one process, their errors, and groups of processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import CLASSES, LOSSES, Loss
from torch import Tensor

import focal_loss
import focal_loss.torch as ours

SCRIPT = Path(__file__).with_name("normalized.py")
TRIED = {1: 2304, 2: 3421, 4: 2306}  # each process makes as many checks


@pytest.mark.parametrize("size", [1, 2, 4])
def test_processes_have_the_mean_of_one(size: int, tmp_path: Path) -> None:
    commands = [[sys.executable, SCRIPT, str(rank), str(size), tmp_path / "meeting"] for rank in range(size)]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for command in commands
    ]
    try:
        results = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * size, results
    assert [out for out, _ in results] == [f"tried {TRIED[size]}\n"] + [""] * (size - 1)


X = torch.tensor([[1.0, 0.0, -1.0], [-2.5, 3.0, 0.25], [0.5, 0.5, -2.0]], dtype=torch.float64)
SOFT = torch.tensor([[0.0, 1.0, 0.25], [0.5, 0.0, 0.75], [1.0, 0.125, 0.0]], dtype=torch.float64)
HARD = torch.tensor([[0, 1, 0], [1, 0, 1], [1, 0, 0]], dtype=torch.uint8)
INDEX = torch.tensor([2, 0, 7])
# The weight of a label y by the weight w of the loss.
WEIGHT_OF_LABEL = {
    "binary_focal_loss": lambda y, w: w * y + 1 - y,
    "poly1_focal_loss": lambda y, w: w * y + 1 - y,
    "binary_focal_crossentropy": lambda y, w: w * y + (1 - w) * (1 - y),
    "matchability_aware_loss": lambda y, w: np.where(y > 0, 1, w),
    "varifocal_loss": lambda y, w: np.where(y > 0, y, w),
    "categorical_focal_loss": lambda y, w: y * w,
    "categorical_focal_crossentropy": lambda y, w: y * w,
    "sparse_categorical_focal_loss": lambda y, w: np.asarray(w)[y],
    "sparse_categorical_focal_crossentropy": lambda y, w: np.asarray(w)[y],
}


def expected(loss: Loss, normalizer: Any, y: np.ndarray, weight: Any) -> float:
    """The divisor by its definition, of labels that are not ignored."""
    if not isinstance(normalizer, str):
        return float(normalizer)
    if normalizer == "weight":
        return float(np.sum(WEIGHT_OF_LABEL[loss.name](y, weight)))
    if normalizer == "positives":
        return max(float((y == 1).sum() if loss.name == "penalty_reduced_focal_loss" else y.sum()), 1.0)
    return y.size / (3 if loss.declared.layout == "dense" else 1)


@pytest.mark.parametrize("normalizer", ["valid", "positives", "weight", 2.5, 3, torch.tensor(4.0), torch.tensor(5)])
@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("labels", ["soft", "hard", "ignored", "none"])
@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_divisors(loss: Loss, labels: str, from_logits: bool, normalizer: Any) -> None:
    layout, options = loss.declared.layout, dict(loss.options)
    y = {"soft": SOFT, "hard": HARD, "ignored": torch.where(SOFT > 0.7, 7.0, SOFT), "none": 0 * SOFT}[labels]
    if layout == "sparse":
        y = {"ignored": INDEX}.get(labels, INDEX.clamp(max=1))
    elif layout == "dense" and labels == "ignored":
        return
    if labels == "ignored":
        options["ignore_class"] = 7
    name, weight = loss.declared.options.weight_name, None
    if name:
        weight = options[name] = 0.3 if layout in ("elements", "average") else [1.0, 0.5, 2.5]
    function = getattr(ours, loss.name)
    x = X.clone() if from_logits else X.softmax(1) if layout in ("dense", "sparse") else X.sigmoid()
    x.requires_grad_()
    if (normalizer == "weight" and not name) or (normalizer == "positives" and layout == "sparse"):
        with pytest.raises(ValueError, match="pass 'valid'"):
            function(y, x, from_logits=from_logits, reduction="mean", normalizer=normalizer, **options)
        return
    mean = function(y, x, from_logits=from_logits, reduction="mean", normalizer=normalizer, **options)
    total = function(y, x, from_logits=from_logits, reduction="mean", **options)
    counted = y[y != 7].numpy() if layout != "dense" else y.numpy()
    count = expected(loss, "valid", counted, weight)
    by = expected(loss, normalizer, counted, weight)
    factor = count / by if by else 0.0
    torch.testing.assert_close(mean, total * factor, rtol=1e-14, atol=0)
    (found,), (of_total,) = torch.autograd.grad(mean, x), torch.autograd.grad(total, x)
    torch.testing.assert_close(found, of_total * factor, rtol=1e-14, atol=1e-300)
    assert found.shape == x.shape


def test_a_mean_as_that_of_cross_entropy() -> None:
    weight, y = torch.tensor([1.0, 0.5, 2.5]), torch.tensor([2, 0, -100])
    for smoothing in (0.0, 0.1):
        theirs = torch.nn.CrossEntropyLoss(weight, label_smoothing=smoothing)
        mine = ours.FocalLoss(gamma=0, alpha=weight, label_smoothing=smoothing, normalizer="weight")
        torch.testing.assert_close(mine(X.float(), y), theirs(X.float(), y))


def test_parameters_that_add_losses_are_counted() -> None:
    """A gamma of more axes than labels and predictions makes more losses."""
    gamma, x = torch.tensor([[0.0], [1.0], [2.0]]), X[0].float()
    given = {"from_logits": True, "reduction": "mean"}
    for y in (torch.tensor([0.0, 1.0, 1.0]), torch.tensor(1)):
        total = ours.binary_focal_loss(y, x, gamma, from_logits=True, reduction="sum")
        for normalizer, count in (("positives", 3 * y.sum() * 3 / y.numel()), ("weight", 9)):
            found = ours.binary_focal_loss(y, x, gamma, normalizer=normalizer, **given)
            torch.testing.assert_close(found, total / count)


def test_a_normalizer_is_a_constant() -> None:
    """No gradient flows into the count from labels and weights, by reverse and by forward mode."""
    y, weight = SOFT.clone().requires_grad_(), torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    given: dict[str, Any] = {"gamma": 2, "from_logits": True}
    for normalizer, count in (("positives", SOFT.sum()), ("weight", (1.5 * SOFT + 1 - SOFT).sum())):
        mean = ours.binary_focal_loss(y, X, pos_weight=weight, reduction="mean", normalizer=normalizer, **given)
        total = ours.binary_focal_loss(y, X, pos_weight=weight, reduction="sum", **given)
        found, of_total = torch.autograd.grad(mean, (y, weight)), torch.autograd.grad(total, (y, weight))
        for a, b in zip(found, of_total, strict=True):
            torch.testing.assert_close(a, b / count)

        def loss(y: Tensor, normalizer: str = normalizer) -> Tensor:
            return ours.binary_focal_loss(y, X, pos_weight=1.5, reduction="mean", normalizer=normalizer, **given)

        tangent = torch.func.jvp(loss, (SOFT,), (torch.ones_like(SOFT),))[1]
        torch.testing.assert_close(tangent, found[0].sum())


def test_second_derivatives() -> None:
    for loss in (
        lambda x: ours.quality_focal_loss(SOFT, x, from_logits=True, reduction="mean", normalizer="positives"),
        lambda x: ours.sparse_categorical_focal_loss(
            INDEX.clamp(max=2),
            x,
            2,
            class_weight=[1.0, 2.0, 3.0],
            from_logits=True,
            reduction="mean",
            normalizer="weight",
        ),
    ):
        x = X.clone().requires_grad_()
        assert torch.autograd.gradgradcheck(loss, x)
        to_differentiate_again = torch.autograd.grad(loss(x), x, create_graph=True)[0]
        torch.testing.assert_close(to_differentiate_again, torch.autograd.grad(loss(x), x)[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_counts_have_no_limit(dtype: torch.dtype) -> None:
    """Beyond 65504 a float16 is infinite, and from 2**24 on a float32 plus 1 is the same."""
    x = torch.zeros(2**24 + 4, dtype=dtype)
    y = torch.ones_like(x)
    given: dict[str, Any] = {"from_logits": True, "reduction": "mean"}
    expected = ours.binary_focal_loss(y, x, 0, **given)  # the number is an integer there
    for labels in (y, y.bool()):
        found = ours.binary_focal_loss(labels, x, 0, normalizer="positives", **given)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, rtol=2.4e-7, atol=0)  # two roundings


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_integers_keep_their_value(dtype: torch.dtype) -> None:
    """An integer tensor divides as the integer, whatever the default dtype of a program is."""
    given: dict[str, Any] = {"gamma": 2, "from_logits": True, "reduction": "mean"}
    before = torch.get_default_dtype()
    try:
        for default, number in ((torch.float32, 2**24 + 1), (dtype, 100_001)):
            torch.set_default_dtype(default)
            expected = ours.binary_focal_loss(SOFT, X, normalizer=number, **given)
            found = ours.binary_focal_loss(SOFT, X, normalizer=torch.tensor(number), **given)
            torch.testing.assert_close(found, expected, rtol=1e-15, atol=0)
    finally:
        torch.set_default_dtype(before)


def test_transformations() -> None:
    given: dict[str, Any] = {"gamma": 2, "from_logits": True, "reduction": "mean", "normalizer": "positives"}
    each = torch.stack([ours.binary_focal_loss(y, x, **given) for y, x in zip(SOFT, X, strict=True)])
    torch.testing.assert_close(torch.vmap(lambda y, x: ours.binary_focal_loss(y, x, **given))(SOFT, X), each)
    compiled = torch.compile(lambda y, x: ours.binary_focal_loss(y, x, **given), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(SOFT, X), ours.binary_focal_loss(SOFT, X, **given))
    with torch.autocast("cpu"):
        assert ours.binary_focal_loss(SOFT, X.bfloat16(), **given).dtype == torch.float32
    assert ours.binary_focal_loss(SOFT.to("meta"), X.to("meta"), **given).is_meta


def test_compiled_numbers_that_change() -> None:
    """A tensor is an input of the graph; after a few numbers the compiler takes these for inputs too."""
    compilations = torch._dynamo.testing.CompileCounter()

    def loss(x: Tensor, normalizer: Any) -> Tensor:
        return ours.binary_focal_loss(SOFT, x, 2, from_logits=True, reduction="mean", normalizer=normalizer)

    compiled = torch.compile(loss, fullgraph=True, backend=compilations)
    for number in range(2, 20):
        torch.testing.assert_close(compiled(X, torch.tensor(number)), loss(X, number))
    assert compilations.frame_count == 1
    for number in range(2, 20):
        torch.testing.assert_close(compiled(X, number), loss(X, number))
    assert compilations.frame_count <= 3


def modules() -> dict[str, Any]:
    named = {
        name: lambda name=name, **how: getattr(ours, name)(2, **how) for name in CLASSES.values() if hasattr(ours, name)
    }
    return named | {"FocalLoss": ours.FocalLoss, "SigmoidFocalLoss": ours.SigmoidFocalLoss}


INVALID = [
    (
        {"normalizer": "valid", "reduction": "sum"},
        ValueError,
        r"`normalizer` must be None with `reduction='sum'`, got 'valid'; pass",
    ),
    (
        {"normalizer": 3, "reduction": "none"},
        ValueError,
        r"`normalizer` must be None with `reduction='none'`, got 3; pass",
    ),
    ({"group": True, "reduction": "sum"}, ValueError, r"`group` must be None with `reduction='sum'`, got True; pass"),
    (
        {"normalizer": "batch"},
        ValueError,
        r"`normalizer` must be 'valid', 'positives', 'weight', .*, or None, got 'batch'",
    ),
    ({"normalizer": 0}, ValueError, r"got 0; pass `max\(n, 1\)` where there may be nothing to count"),
    ({"normalizer": -1.5}, ValueError, r"got -1\.5"),
    ({"normalizer": float("nan")}, ValueError, r"got nan"),
    ({"normalizer": float("inf")}, ValueError, r"got inf"),
    ({"normalizer": True}, TypeError, r"got True"),
    ({"normalizer": [3]}, TypeError, r"got \[3\]"),
    ({"normalizer": torch.tensor([3.0])}, ValueError, r"got a tensor of shape \(1,\); pass its sum"),
    ({"normalizer": torch.tensor(True)}, TypeError, r"got a tensor of torch\.bool"),
    ({"normalizer": torch.tensor(1j)}, TypeError, r"got a tensor of torch\.complex64"),
    ({"normalizer": torch.tensor(0)}, ValueError, r"got 0; pass `max\(n, 1\)`"),
    ({"normalizer": torch.tensor(-2.0)}, ValueError, r"got -2\.0"),
    ({"normalizer": torch.tensor(-2), "group": True}, ValueError, r"got -2"),
    ({"group": "world"}, TypeError, r"`group` must be a process group .*, or None, got 'world'"),
    ({"group": torch.distributed.GroupMember.NON_GROUP_MEMBER}, ValueError, r"got a group without this process"),
]


@pytest.mark.parametrize(("given", "error", "message"), INVALID)
def test_invalid(given: dict[str, Any], error: type[Exception], message: str) -> None:
    """Functions refuse what they cannot divide by, and modules do when they are made."""
    for loss in LOSSES:
        how = {"reduction": "mean"} | given
        with pytest.raises(error, match=message):
            getattr(ours, loss.name)(loss.y_true, torch.tensor(loss.y_pred), from_logits=True, **loss.options, **how)
    with pytest.raises(error, match=message):
        ours.sigmoid_focal_loss(X, SOFT, **({"reduction": "mean"} | given))
    with pytest.raises(error, match=message):
        ours.linear_sparse_categorical_focal_loss(X, X, INDEX.clamp(max=2), 2, **given)
    for make in modules().values():
        if make not in (ours.FocalLoss, ours.SigmoidFocalLoss) or given.get("reduction") != "none":
            with pytest.raises(error, match=message):
                make(**given)


def test_a_group_needs_processes() -> None:
    for name, make in modules().items():
        y = INDEX.clamp(max=2) if name in ("FocalLoss", "SparseCategoricalFocalLoss") else SOFT
        loss = make(group=True)
        with pytest.raises(ValueError, match="`group` must be None in a process without a default group, got True"):
            loss(*((X, y) if name in ("FocalLoss", "SigmoidFocalLoss") else (y, X)))
    assert ours.binary_focal_loss(SOFT, X, 2, from_logits=True, reduction="mean", group=False).isfinite()


def test_numbers_that_cannot_be_read_are_nan() -> None:
    focal_loss.set_checks(False)
    try:
        for number in (-1.0, float("nan")):
            found = ours.BinaryFocalLoss(2, from_logits=True, normalizer=torch.tensor(number))(SOFT, X)
            assert found.isnan()
    finally:
        focal_loss.set_checks(True)


def test_modules_forward_both() -> None:
    """A number set later counts, as the count of a batch does."""
    for name, make in modules().items():
        sparse = name in ("FocalLoss", "SparseCategoricalFocalLoss")
        y, x = (
            (INDEX.clamp(max=2) if sparse else SOFT),
            (X if name in ("FocalLoss", "SigmoidFocalLoss") else X.sigmoid()),
        )
        module = make(normalizer=3, group=False)
        data = (x, y) if name in ("FocalLoss", "SigmoidFocalLoss") else (y, x)
        first = module(*data)
        module.normalizer = torch.tensor(6)
        torch.testing.assert_close(module(*data), first / 2)
        assert "normalizer=3" in repr(make(normalizer=3))
        assert not module.state_dict() or "normalizer" not in module.state_dict()
        assert "normalizer" not in repr(make())
