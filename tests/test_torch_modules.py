"""PyTorch's modules: their buffers and how these move, their printed form, the shapes and arguments that they
refuse.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable

import numpy as np
import pytest
import torch

import focal_loss.torch as ours
from focal_loss.torch.compat import kornia, mmdet, monai, smp, timm

LOGITS = {"from_logits": True}
WEIGHTS = [0.1, 1e5, 1e-9]
INDEX = torch.tensor([0, 1, 2])
SOFT = torch.eye(3)
MODULES: dict[str, tuple[type[torch.nn.Module], str, torch.Tensor]] = {
    "binary": (ours.BinaryFocalLoss, "pos_weight", SOFT),
    "dense": (ours.CategoricalFocalLoss, "class_weight", SOFT),
    "sparse": (ours.SparseCategoricalFocalLoss, "class_weight", INDEX),
}
each = pytest.mark.parametrize(("kind", "weight", "y_true"), MODULES.values(), ids=MODULES)
Kind = type[torch.nn.Module]


def logits(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.linspace(-2, 2, 9, dtype=dtype).reshape(3, 3)


def by_function(kind: Kind, y_true: torch.Tensor, weight: str, values: object) -> torch.Tensor:
    """The exact loss, from the weights as the caller wrote them."""
    name = {
        ours.BinaryFocalLoss: "binary_focal_loss",
        ours.CategoricalFocalLoss: "categorical_focal_loss",
        ours.SparseCategoricalFocalLoss: "sparse_categorical_focal_loss",
    }[kind]
    return getattr(ours, name)(y_true, logits(), 2, reduction="sum", **{weight: values}, **LOGITS)


def reloaded(module: torch.nn.Module) -> torch.nn.Module:
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def loaded_into_another(module: torch.nn.Module) -> torch.nn.Module:
    other = copy.deepcopy(module)
    other.load_state_dict(module.state_dict())
    return other


CHANGES: dict[str, Callable[[torch.nn.Module], torch.nn.Module]] = {
    "none": lambda m: m,
    "half": lambda m: m.half(),
    "bfloat16": lambda m: m.bfloat16(),
    "to float16": lambda m: torch.nn.Sequential(m).to(torch.float16)[0],
    "double": lambda m: m.double(),
    "copied": copy.deepcopy,
    "saved": reloaded,
    "loaded": loaded_into_another,
    "moved": lambda m: m.to("cpu"),
}


@pytest.mark.parametrize(
    ("make", "weight"),
    [
        (lambda group: ours.BinaryFocalLoss(2, pos_weight=[2.0], group=group), "pos_weight"),
        (lambda group: ours.FocalLoss(alpha=[1.0, 2.0], group=group), "alpha"),
        (lambda group: kornia.FocalLoss(0.5, reduction="mean", weight=torch.ones(3), group=group), "weight"),
        (
            lambda group: kornia.BinaryFocalLossWithLogits(0.5, reduction="mean", weight=torch.ones(3), group=group),
            "weight",
        ),
        (lambda group: mmdet.FocalLoss(group=group), None),
        (lambda group: monai.FocalLoss(weight=[1.0, 2.0], group=group), "class_weight"),
        (lambda group: smp.FocalLoss("binary", group=group), None),
        (lambda group: timm.AsymmetricLossMultiLabel(weight=torch.ones(3), group=group), "weight"),
        (lambda group: timm.AsymmetricLossSingleLabel(group=group), None),
    ],
)
def test_a_copied_model_shares_the_process_group(make: Callable[..., torch.nn.Module], weight: str | None) -> None:
    group = torch.distributed.ProcessGroup(0, 1)
    model = torch.nn.Sequential(torch.nn.Linear(3, 1), make(group))
    copied = copy.deepcopy(model)
    assert copied[1] is not model[1]
    assert copied[1].group is group
    if weight is not None:
        assert getattr(copied[1], weight).equal(getattr(model[1], weight))
        assert getattr(copied[1], weight) is not getattr(model[1], weight)


@each
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("given", [list, np.array], ids=["list", "array"])
def test_weights_are_float32_and_exact_for_float64(
    given: Callable[[list[float]], object], change: str, kind: Kind, weight: str, y_true: torch.Tensor
) -> None:
    module = kind(2, reduction="sum", **{weight: given(WEIGHTS)}, **LOGITS)
    assert getattr(module, weight).dtype == torch.float32
    module = CHANGES[change](module)
    assert getattr(module, weight).dtype == (torch.float64 if change == "double" else torch.float32)
    exact = by_function(kind, y_true, weight, WEIGHTS)
    assert torch.equal(module(y_true, logits()), exact)
    torch.testing.assert_close(module(y_true, logits(torch.float32)).double(), exact, rtol=1e-5, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_compiled_weights_are_exact_too(dtype: torch.dtype) -> None:
    for kind, weight, y_true in MODULES.values():
        module = kind(2, reduction="sum", **{weight: WEIGHTS}, **LOGITS)
        found = torch.compile(module, backend="eager", fullgraph=True)(y_true, logits(dtype))
        rtol = 64 * torch.finfo(dtype).eps
        torch.testing.assert_close(found.double(), by_function(kind, y_true, weight, WEIGHTS), rtol=rtol, atol=0)


@each
def test_weights_that_were_changed_are_what_counts(kind: Kind, weight: str, y_true: torch.Tensor) -> None:
    module = kind(2, reduction="sum", **{weight: WEIGHTS}, **LOGITS)
    getattr(module, weight)[1] = 0.3
    once = by_function(kind, y_true, weight, [0.1, float(np.float32(0.3)), 1e-9])
    assert torch.equal(module(y_true, logits()), once)
    module.load_state_dict({weight: torch.tensor([0.7, 0.7, 0.7])})
    all_changed = by_function(kind, y_true, weight, [float(np.float32(0.7))] * 3)
    assert torch.equal(module(y_true, logits()), all_changed)
    setattr(module, weight, torch.tensor([0.7, 0.6, 0.5], dtype=torch.float64))
    assert torch.equal(module(y_true, logits()), by_function(kind, y_true, weight, [0.7, 0.6, 0.5]))
    changed = getattr(module, weight).requires_grad_()
    module(y_true, logits()).backward()
    assert changed.grad.abs().sum() > 0
    setattr(module, weight, None)
    assert torch.equal(module.float()(y_true, logits()), by_function(kind, y_true, weight, None))


@each
def test_weights_survive_half_precision(kind: Kind, weight: str, y_true: torch.Tensor) -> None:
    """In float16 1e5 would be infinite and 1e-9 would be 0. Weights may be numbers, parameters or lists."""
    expected = by_function(kind, y_true, weight, WEIGHTS)
    for values in (WEIGHTS, torch.tensor(WEIGHTS), torch.nn.Parameter(torch.tensor(WEIGHTS))):
        module = torch.nn.Sequential(kind(2.0001, reduction="sum", **{weight: values}, **LOGITS)).half()[0]
        assert module.gamma == 2.0001
        module.gamma = 2
        found = module(y_true, logits(torch.float32))
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=0)


@each
def test_a_list_survives_the_meta_device(kind: Kind, weight: str, y_true: torch.Tensor) -> None:
    with torch.device("meta"):
        module = kind(2, reduction="sum", **{weight: WEIGHTS}, **LOGITS)
    assert f"{weight}=tensor of shape (3,)" in repr(module)
    assert module(y_true.to("meta"), logits().to("meta")).is_meta
    exact = by_function(kind, y_true, weight, WEIGHTS)
    assert torch.equal(module(y_true, logits()), exact)
    module.to_empty(device="cpu")
    assert torch.equal(getattr(module, weight), torch.tensor(WEIGHTS))
    assert torch.equal(module(y_true, logits()), exact)


def test_what_a_module_prints() -> None:
    few = ours.SparseCategoricalFocalLoss(2.5, class_weight=[0.1, 2, 3], ignore_class=255)
    assert "gamma=2.5" in repr(few)
    assert "class_weight=[0.1, 2.0, 3.0]" in repr(few)
    many = repr(ours.SparseCategoricalFocalLoss(2, class_weight=[1.0] * 1203))
    assert "class_weight=tensor of shape (1203,)" in many
    assert len(many) < 200
    assert "gamma=1.5" in repr(ours.BinaryFocalLoss(torch.nn.Parameter(torch.tensor(1.5))))


# Shapes of labels and of predictions, and the remedy.
PAIRS = [
    ((4, 5, 6), (4, 1, 5, 6), r"pass `y_true\.unsqueeze\(1\)`"),
    ((4, 1, 5, 6), (4, 5, 6), r"pass `y_pred\.unsqueeze\(1\)`"),
    ((3, 1), (1, 4), "give both the same shape"),
    ((1, 4, 5), (4, 1, 5), "give both the same shape"),
]


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("name", ["binary", "dense"])
@pytest.mark.parametrize(("labels", "predictions", "remedy"), PAIRS, ids=str)
def test_a_table_of_all_pairs_is_refused(
    name: str, labels: tuple[int, ...], predictions: tuple[int, ...], remedy: str, compiled: bool
) -> None:
    module = MODULES[name][0](2, **LOGITS)
    if name == "dense" and labels == (3, 1):
        remedy = "a probability for each of the 4 classes"
    call = torch.compile(module, backend="eager") if compiled else module
    with pytest.raises(ValueError, match=rf"`y_true` of shape \({labels[0]}, .*{remedy}"):
        call(torch.zeros(labels), torch.zeros(predictions))


def test_the_last_batch_of_an_epoch_may_hold_one_example() -> None:
    """With one example masks without a channel broadcast correctly."""
    z, y = torch.randn(1, 1, 5, 6), torch.ones(1, 5, 6)
    module = ours.BinaryFocalLoss(2, **LOGITS)
    torch.testing.assert_close(module(y, z), module(y[:, None], z))


@pytest.mark.parametrize("name", ["binary", "dense"])
def test_swapped_arguments_show_without_a_gradient(name: str) -> None:
    """In a validation loop, with labels in floating point."""
    module, p = MODULES[name][0](2), torch.tensor([[0.2, 0.7, 0.1], [0.5, 0.3, 0.2]])
    y = torch.eye(3)[:2]
    with torch.no_grad(), pytest.warns(UserWarning, match=r"the order of the arguments is \(y_true, y_pred\)"):
        module(p, y)
    with torch.no_grad():
        for labels, predictions in ((y, p), (p, p), (y, y), (0.5 * y, p)):
            assert module(labels, predictions).isfinite()
    assert module(p, y.requires_grad_()).isfinite()  # hard predictions of a model are valid


@each
def test_predictions_that_are_none(kind: Kind, weight: str, y_true: torch.Tensor) -> None:
    module = kind(2, **LOGITS)
    order = r"the order of the arguments is \(y_true, y_pred\)"
    with pytest.raises(TypeError, match=r"got torch\.int8; call `y_pred\.float\(\)` if these are predictions"):
        module(y_true.long(), torch.zeros(3, 3, dtype=torch.int8))
    with pytest.raises(TypeError, match=rf"got torch\.int64; {order}"):
        module(torch.zeros(3, 3), y_true.long())
    with pytest.raises(TypeError, match="real numbers"):
        module(y_true, torch.zeros(3, 3, dtype=torch.complex64))
    with pytest.raises(TypeError, match=rf"only `y_true` has a gradient; {order}"):
        module(torch.zeros(3, 3, requires_grad=True), torch.zeros(3, 3))
    whole = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    expected = module(y_true, torch.tensor(whole, dtype=torch.float32))
    torch.testing.assert_close(module(y_true, whole), expected)
    torch.testing.assert_close(module(y_true, np.array(whole)), expected)
