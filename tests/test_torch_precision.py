"""PyTorch in half precision, by every path: which losses are float32, and that their gradients have the logits'
dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import pytest
import torch
from cases import LOGITS, LOSSES, ONE_HOT, OWN_FORM
from test_torch_native import formula  # noqa: F401  (a fixture)
from torch import Tensor

import focal_loss.torch as ours

HALF = [torch.float16, torch.bfloat16]
REDUCTIONS = ["none", "mean", "sum"]
Call = Callable[[Tensor, str], Tensor]  # (logits, reduction) -> loss


def function(name: str, labels: object, **options: object) -> Call:
    labels = torch.tensor(labels)
    return lambda z, reduction: getattr(ours, name)(labels, z, reduction=reduction, **options)


def module(name: str, labels: object) -> Call:
    labels = torch.tensor(labels)
    return lambda z, reduction: getattr(ours, name)(2, from_logits=True, reduction=reduction)(labels, z)


TARGETS, INDEX = torch.tensor(ONE_HOT), torch.tensor([0, 1])
CALLS: dict[str, Call] = {
    **{loss.name: function(loss.name, loss.y_true, from_logits=True, **loss.options) for loss in LOSSES},
    **{f"{loss.name} of probabilities": function(loss.name, loss.y_true, **loss.options) for loss in LOSSES},
    "sigmoid_focal_loss": lambda z, reduction: ours.sigmoid_focal_loss(z, TARGETS, reduction=reduction),
    "soft labels": function("binary_focal_crossentropy", 0.7 * ONE_HOT + 0.1, from_logits=True),
    "ignored": function("sparse_categorical_focal_loss", [0, 255], gamma=2, ignore_class=255, from_logits=True),
    "BinaryFocalLoss": module("BinaryFocalLoss", ONE_HOT),
    "CategoricalFocalLoss": module("CategoricalFocalLoss", ONE_HOT),
    "SparseCategoricalFocalLoss": module("SparseCategoricalFocalLoss", [0, 1]),
    # The layer is the identity, so its input is the logits.
    "linear": lambda z, reduction: ours.linear_sparse_categorical_focal_loss(
        z, torch.eye(3, dtype=z.dtype), INDEX, 2, reduction=reduction
    ),
}
each = pytest.mark.parametrize("name", CALLS)


def inputs(name: str, dtype: torch.dtype) -> Tensor:
    z = torch.tensor(LOGITS)
    return (z.softmax(-1) if name.endswith("probabilities") else z).to(dtype).requires_grad_()


def casting(dtype: torch.dtype, autocast: bool) -> AbstractContextManager[object]:
    return torch.autocast("cpu", dtype) if autocast else nullcontext()


def check(
    name: str, losses: dict[tuple[torch.dtype, str], Tensor], given: dict[torch.dtype, Tensor], full: bool
) -> None:
    """Compare with float64: a loss in float32 to the accuracy of float32, half-precision losses and gradients to their
    own.
    """
    for (dtype, reduction), found in losses.items():
        x, exact = given[dtype], given[dtype].detach().double().requires_grad_()
        expected = CALLS[name](exact, reduction)
        assert found.dtype == (torch.float32 if full or reduction != "none" else dtype), reduction
        info = torch.finfo(found.dtype)
        # 64: the contract's 8 + 2 gamma |z|, with probabilities clamped in float32; the smallest float16 is 6e-8
        torch.testing.assert_close(
            found.double(), expected, rtol=64 * info.eps, atol=max(1e-12, info.eps * info.smallest_normal)
        )
        slope = torch.autograd.grad(2.5 * found.sum(), x, retain_graph=True)[0]  # the compiled graph is shared
        assert slope.dtype == dtype
        eps = torch.finfo(dtype).eps
        expected_slope = torch.autograd.grad(2.5 * expected.sum(), exact)[0]
        torch.testing.assert_close(slope.double(), expected_slope, rtol=2 * eps, atol=eps)


def all_losses(name: str, given: dict[torch.dtype, Tensor]) -> dict[tuple[torch.dtype, str], Tensor]:
    return {(dtype, reduction): CALLS[name](x, reduction) for dtype, x in given.items() for reduction in REDUCTIONS}


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # the compiler's own, where a graph goes on
@each
@pytest.mark.parametrize("autocast", [False, True], ids=["", "autocast"])
@pytest.mark.parametrize("path", ["kernels", "formula", "compiled"])
def test_which_losses_are_float32(
    path: str,
    autocast: bool,
    name: str,
    formula: Callable[..., object],  # noqa: F811
) -> None:
    dtypes = [HALF[autocast]] if path == "compiled" else HALF  # compiling takes seconds
    given = {dtype: inputs(name, dtype) for dtype in dtypes}
    with casting(torch.float16, autocast):
        if path == "kernels":
            losses = all_losses(name, given)
        elif path == "formula":
            losses = formula(all_losses, name, given)
        else:
            torch.compiler.reset()  # avoids the limit on recompilations
            compiled = torch.compile(all_losses, backend="aot_eager", fullgraph=name != "linear")
            losses = compiled(name, given)
    check(name, losses, given, autocast)


def test_sums_beyond_float16() -> None:
    """torchvision's sum under autocast, and the sum of 70,000 losses of 20."""
    zeros = torch.zeros(2_000_000, dtype=torch.float16)
    for autocast in (False, True):
        with casting(torch.float16, autocast):
            total = ours.sigmoid_focal_loss(zeros, zeros, reduction="sum")
            wrong = torch.full((70_000, 1), -20.0, dtype=torch.float16)
            large = ours.sigmoid_focal_loss(wrong, torch.ones(70_000, 1), -1, 2, "sum")
        torch.testing.assert_close(total.double().item(), 259930.192710, rtol=1e-6, atol=0)
        torch.testing.assert_close(large.double().item(), 1399999.99437, rtol=1e-6, atol=0)
        assert total.dtype == large.dtype == torch.float32


def test_a_loss_scaler_steps_at_its_default_scale() -> None:
    layer = torch.nn.Linear(4, 1)
    before = layer.weight.detach().clone()
    optimizer, scaler = torch.optim.SGD(layer.parameters(), 0.1), torch.amp.GradScaler("cpu")
    with torch.autocast("cpu", torch.float16):
        loss = ours.BinaryFocalLoss(2, from_logits=True)((torch.arange(64) % 2).float(), layer(torch.randn(64, 4)))
    scaler.scale(loss).backward()
    assert layer.weight.grad.isfinite().all()
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == 65536
    assert not torch.equal(layer.weight, before)


@each
def test_a_bfloat16_mean_has_no_steps_of_bfloat16(name: str) -> None:
    """Three means differ by less than the spacing of bfloat16."""
    x = inputs(name, torch.bfloat16).detach()
    given = [x + torch.finfo(torch.bfloat16).eps * k * x.roll(1, 0) for k in range(3)]
    means = [CALLS[name](z, "mean") for z in given]
    for z, mean in zip(given, means, strict=True):
        torch.testing.assert_close(mean.double(), CALLS[name](z.double(), "mean"), rtol=1e-5, atol=0)


@each
@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("path", ["kernels", "formula"])
def test_an_upstream_beyond_float16(path: str, dtype: torch.dtype, name: str, formula: Callable[..., object]) -> None:  # noqa: F811
    """The upstream multiplies derivatives in float32, and only the product is rounded to half precision."""
    if path == "formula":
        formula(check_large_upstream, name, dtype)
    else:
        check_large_upstream(name, dtype)


def check_large_upstream(name: str, dtype: torch.dtype) -> None:
    x = inputs(name, dtype)
    exact = x.detach().double().requires_grad_()
    eps = torch.finfo(dtype).eps
    steep = {f"{loss.name}{path}" for loss in OWN_FORM for path in ("", " of probabilities")}
    once = 0.51 * eps  # The fused layer rounds the gradient in its logits too.
    for reduction in REDUCTIONS:
        with casting(dtype, reduction == "none"):
            found = CALLS[name](x, reduction)
            unrecorded = CALLS[name](x.detach(), reduction)
        expected = CALLS[name](exact, reduction)
        for value in (found, unrecorded):
            torch.testing.assert_close(value.double(), expected, rtol=64 * 2**-23, atol=1e-12)
        # The upstream of each example overflows float16 and is inexact in bfloat16; its product with a slope fits
        # both.
        examples = (CALLS[name](exact, "sum") / expected).round() if reduction == "mean" else 1
        upstream = torch.full_like(found, 2**17 * (1 + 2**-8)) * examples
        slope = torch.autograd.grad(expected, exact, upstream.double())[0]
        fits = slope.abs() < torch.finfo(torch.float16).max  # a slope above 1/2 does not; a focal loss here has none
        assert fits.all() or (name in steep and fits.any())
        for recorded in [False] if name == "linear" else [False, True]:
            first = torch.autograd.grad(found, x, upstream, create_graph=recorded, retain_graph=True)[0]
            assert first.dtype == dtype
            rounding = once * (1 + (name == "linear"))
            torch.testing.assert_close(first.double()[fits], slope[fits], rtol=rounding, atol=1e-3)


@pytest.mark.parametrize("name", ["binary_focal_loss", "soft labels", "categorical_focal_loss", "ignored"])
@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_second_derivatives_and_transforms(name: str, dtype: torch.dtype) -> None:
    """An upstream of 10,000 on each of two gradients would overflow float16, if either were rounded to it."""
    x = inputs(name, dtype)
    exact = x.detach().double().requires_grad_()
    curvatures = []
    for z in (x, exact):
        slope = torch.autograd.grad(1e4 * CALLS[name](z, "mean"), z, create_graph=True)[0]
        curvatures.append(torch.autograd.grad((1e-4 * slope.to(torch.promote_types(dtype, torch.float32)))[0, 0], z)[0])
    assert curvatures[0].dtype == dtype
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(curvatures[0].double(), curvatures[1], rtol=4 * eps, atol=4 * eps)
    mean = lambda z: CALLS[name](z, "mean")  # noqa: E731
    assert torch.func.vmap(mean)(x.detach()[None]).dtype == torch.float32
    slope = torch.func.grad(mean)(x.detach())
    assert slope.dtype == dtype
    torch.testing.assert_close(slope.double(), torch.func.grad(mean)(exact.detach()), rtol=2 * eps, atol=eps)


@pytest.mark.parametrize("dtype", [*HALF, torch.float32], ids=str)
def test_class_indices_in_floating_dtypes(dtype: torch.dtype) -> None:
    """Keras on PyTorch passes labels in its `floatx`."""
    p = torch.tensor([[0.2, 0.8], [0.6, 0.4]])
    loss = ours.sparse_categorical_focal_loss(torch.tensor([0, 1]).to(dtype), p, 2)
    torch.testing.assert_close(loss, torch.tensor([1.0300402, 0.3298647]))
    with pytest.raises(ValueError, match=r"class indices, which are whole numbers, got 0\.5"):
        ours.sparse_categorical_focal_loss(torch.tensor([0, 0.5]).to(dtype), p, 2)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_operators_under_vmap_add_up_in_float32(reduction: str) -> None:
    z, y = torch.full((2, 70_000), -20.0, dtype=torch.float16), torch.ones(70_000)

    def loss(z: Tensor) -> Tensor:
        call = (z, y, None, None, None, 2.0, 1.0, 1.0, 0.0, False, reduction, False, "")
        return torch.ops.focal_loss.binary(0, None, 1.0, *call)

    expected = torch.stack([loss(row) for row in z])
    torch.testing.assert_close(torch.vmap(loss)(z), expected)
    assert expected.isfinite().all()
