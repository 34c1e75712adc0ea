"""PyTorch: a repeated call goes to the kernels at once, and gives what it gives by the pipeline."""

from __future__ import annotations

import gc
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

import pytest
import torch
from cases import LOSS, LOSSES, Loss
from torch import Tensor

import focal_loss
import focal_loss.torch as ours
from focal_loss._core.repeated import MOST
from focal_loss.torch import _repeated

FLOATING = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
LABELS = (torch.float32, torch.bfloat16, torch.bool, torch.uint8, torch.int64, torch.uint16)

# A tensor of three axes -> the same numbers otherwise laid out, perhaps in another shape.
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x,
    "transposed": lambda x: x.transpose(0, 2).contiguous().transpose(0, 2),
    "strided": lambda x: x.repeat_interleave(2, 0)[::2],
    "expanded": lambda x: x[:1].expand(x.shape),
    "empty": lambda x: x[:0],
    "negated": lambda x: torch._neg_view(x),
}


@pytest.fixture(autouse=True)
def nothing_noted() -> None:
    _repeated._calls.clear()


def by_the_pipeline(name: str, y: Any, x: Any, options: Any, compute: Callable[[Any], Tensor]) -> Tensor:
    return compute(_repeated.XP)


@contextmanager
def without_shortcut() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_repeated, "loss", by_the_pipeline)
        yield


@contextmanager
def only_the_shortcut() -> Iterator[None]:
    """No way through the pipeline."""

    def refuse(self: Any, call: Any) -> None:
        raise AssertionError("by the pipeline")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_repeated._Noting, "fused_binary", refuse)
        patch.setattr(_repeated._Noting, "fused_softmax", refuse)
        yield


def labels_of(loss: Loss, x: Tensor, dtype: torch.dtype) -> Tensor:
    if loss.declared.layout == "sparse":
        return (x.detach().argmax(-1) % 2).to(dtype)
    return (x.detach() > 0).to(dtype)


def outcome(loss: Loss, y: Tensor, x: Tensor, **options: Any) -> list[Any]:
    """The loss and its derivatives, or the error in words."""
    x = x.detach().requires_grad_()
    try:
        value = getattr(ours, loss.name)(y, x, **loss.options | {"from_logits": True} | options)
        upstream = torch.ones_like(value)
        first = torch.autograd.grad(value, x, upstream, retain_graph=True)[0]
        scaled = torch.autograd.grad(value, x, 1.5 * upstream, create_graph=True)[0]
        second = torch.autograd.grad(scaled.float().sum(), x)[0]
        with torch.no_grad():
            bare = getattr(ours, loss.name)(y, x, **loss.options | {"from_logits": True} | options)
    except (TypeError, ValueError) as error:
        return [type(error), str(error)]
    return [value, first, scaled, second, bare]


def same(a: list[Any], b: list[Any]) -> bool:
    def equal(x: Any, y: Any) -> bool:
        if not isinstance(x, Tensor):
            return bool(x == y)
        return (
            x.dtype == y.dtype
            and x.stride() == y.stride()
            and torch.equal(x.isnan(), y.isnan())
            and torch.equal(x.nan_to_num(), y.nan_to_num())
        )

    return len(a) == len(b) and all(map(equal, a, b))


@pytest.mark.parametrize("loss", LOSSES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_as_by_the_pipeline(loss: Loss, layout: str) -> None:
    base = 3 * torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(0))
    pairs = list(zip(2 * FLOATING, LABELS, strict=False))
    for (dtype, of_labels), reduction in product(pairs, ("none", "mean", "sum")):
        x = LAYOUTS[layout](base.to(dtype))
        y = labels_of(loss, x, of_labels)
        with without_shortcut():
            expected = outcome(loss, y, x, reduction=reduction)
        for _ in range(2):  # noted, then repeated
            assert same(outcome(loss, y, x, reduction=reduction), expected), (dtype, of_labels, reduction)


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_a_repeated_call_takes_the_shortcut(loss: Loss) -> None:
    x = torch.randn(4, 2, 3)
    y = labels_of(loss, x, torch.int64)
    options = {"ignore_class": None, "reduction": "mean"} if "ignore_class" in loss.options else {"reduction": "mean"}
    outcome(loss, y, x, **options)
    with only_the_shortcut():
        found = outcome(loss, y, x + 1, **options)
        with pytest.raises(AssertionError):  # other options
            outcome(loss, y, x, **options | {loss.focus: 1.25})
    with without_shortcut():
        assert same(found, outcome(loss, y, x + 1, **options))


def test_torchvisions_function_takes_the_shortcut() -> None:
    x, y = torch.randn(5), torch.tensor([0.0, 1.0, 0.5, 1.0, 0.0])
    first = ours.sigmoid_focal_loss(x, y, reduction="sum")
    with only_the_shortcut():
        assert torch.equal(ours.sigmoid_focal_loss(x, y, reduction="sum"), first)
    with without_shortcut():
        assert torch.equal(ours.sigmoid_focal_loss(x, y, reduction="sum"), first)


BINARY, SPARSE = LOSS["binary_focal_loss"], LOSS["sparse_categorical_focal_loss"]
X = torch.tensor([[1.0, 0.0, -1.0], [-2.5, 3.0, 0.25]])
Y, INDEX = torch.tensor([[0, 1, 0], [0, 1, 1]]), torch.tensor([0, 1])

# What differs from a call before it, and must not be taken for it.
OTHERS: dict[str, tuple[Loss, Any, Any, dict[str, Any]]] = {
    "a label out of range": (BINARY, 3 * Y, X, {}),
    "a float label out of range": (BINARY, Y - 0.5, X, {}),
    "a broadcast label": (BINARY, Y[0], X, {}),
    "labels that do not broadcast": (BINARY, Y[:, :2], X, {}),
    "labels with a gradient": (BINARY, Y.float().requires_grad_(), X, {}),
    "a gamma of another type": (BINARY, Y, X, {"gamma": True}),
    "a negative gamma": (BINARY, Y, X, {"gamma": -1}),
    "a gamma per column": (BINARY, Y, X, {"gamma": torch.tensor([1.0, 2.0, 0.0])}),
    "a list of labels": (BINARY, Y.tolist(), X, {}),
    "an unknown reduction": (BINARY, Y, X, {"reduction": "average"}),
    "no reduction": (BINARY, Y, X, {"reduction": ["mean"]}),
    "a class out of range": (SPARSE, INDEX + 2, X, {}),
    "fractional classes": (SPARSE, INDEX + 0.5, X, {}),
    "labels with a class axis": (SPARSE, INDEX[:, None], X, {}),
    "labels of the wrong shape": (SPARSE, INDEX[:1], X, {}),
    "another axis": (SPARSE, torch.tensor([0, 1, 1]), X, {"axis": 0}),
    "an ignored class": (SPARSE, torch.tensor([255, 1]), X, {"ignore_class": 255}),
    "one class": (SPARSE, torch.tensor([0, 0]), X[:, :1], {}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_call_that_differs(name: str) -> None:
    loss, y, x, options = OTHERS[name]

    plain = {"gamma": 1, "ignore_class": None, "reduction": "mean"}

    def found() -> list[Any]:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            result = outcome(loss, y, x, **plain | options)
        return [*result, [str(w.message) for w in warned]]

    with without_shortcut():
        expected = found()
    for labels in (Y, Y.float(), INDEX, INDEX.float()):
        of = BINARY if labels.ndim == 2 else SPARSE
        outcome(of, labels, X, **plain)
    for _ in range(2):
        assert same(found(), expected)


UNCOVERED = {
    "integers as logits": (Y, X.int()),
    "complex labels": (Y + 0j, X),
    "wide labels": (Y.to(torch.uint64), X),
    "labels on another device": (Y.to("meta"), X),
    "a rank beyond the kernels'": (Y[(None,) * 18], X[(None,) * 18]),
}


@pytest.mark.parametrize("name", UNCOVERED)
def test_tensors_that_the_kernels_do_not_cover(name: str) -> None:
    y, x = UNCOVERED[name]

    def found() -> tuple[Any, ...]:
        try:
            value = ours.binary_focal_loss(y, x, 2, from_logits=True)
        except (TypeError, ValueError, RuntimeError) as error:
            return type(error), str(error)
        return value.dtype, value.device, [] if value.is_meta else value.tolist()

    with without_shortcut():
        expected = found()
    ours.binary_focal_loss(Y, X, 2, from_logits=True)
    assert found() == expected


def test_class_indices_in_half_precision_are_few() -> None:
    y = torch.ones(2, dtype=torch.float16)
    ours.sparse_categorical_focal_loss(y, X, 2, from_logits=True)
    with pytest.raises(TypeError, match="must be of integers for 2500 classes"):
        ours.sparse_categorical_focal_loss(y, torch.zeros(2, 2500), 2, from_logits=True)


def test_transforms_see_a_repeated_call() -> None:
    def loss(x: Tensor) -> Tensor:
        return ours.binary_focal_loss(Y, x, 2, from_logits=True, reduction="sum")

    with without_shortcut():
        expected = torch.func.grad(loss)(X), torch.func.jvp(loss, (X,), (X,))[1]
    loss(X)
    assert torch.equal(torch.func.grad(loss)(X), expected[0])
    assert torch.equal(torch.func.jvp(loss, (X,), (X,))[1], expected[1])


def test_a_warning_comes_with_every_call() -> None:
    for _ in range(3):
        with pytest.warns(UserWarning, match="`alpha` has no effect"):
            ours.binary_focal_crossentropy(Y, X, alpha=0.5, from_logits=True, reduction="mean")


def test_checks_are_turned_off_and_on() -> None:
    for enabled in (True, False, True):
        focal_loss.set_checks(enabled)
        try:
            error = outcome(BINARY, 3 * Y, X, reduction="mean")[0]
        finally:
            focal_loss.set_checks(True)
        assert (error is ValueError) == enabled


def test_autocast_is_another_call() -> None:
    x = X.bfloat16()
    for _ in range(2):
        assert ours.binary_focal_loss(Y, x, 2, from_logits=True).dtype == torch.bfloat16
        with torch.autocast("cpu", torch.bfloat16):
            assert ours.binary_focal_loss(Y, x, 2, from_logits=True).dtype == torch.float32


def test_a_schedule_of_gamma_fills_no_memory() -> None:
    for step in range(2 * MOST):
        ours.binary_focal_loss(Y, X, 2 + step / 100, from_logits=True, reduction="mean")
    assert len(_repeated._calls) <= MOST


def test_a_noted_call_keeps_no_tensor_alive() -> None:
    x = torch.randn(3, 4, requires_grad=True)
    y = torch.rand(3, 4)
    gone = weakref.ref(x), weakref.ref(y)
    for loss in LOSSES:
        if loss.declared.layout != "sparse":
            getattr(ours, loss.name)(y, x, **loss.options | {"from_logits": True, "reduction": "mean"}).backward()
    del x, y
    gc.collect()
    assert [reference() for reference in gone] == [None, None]
