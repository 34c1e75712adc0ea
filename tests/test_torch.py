"""PyTorch: gradcheck, double backward, torch.func, torch.compile, autocast, modules, drop-ins."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

import focal_loss.torch as ours

F64 = torch.float64


def leaf(*shape: int, low: float = -3, high: float = 3) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return (low + (high - low) * torch.rand(*shape, generator=generator, dtype=F64)).requires_grad_()


INDEX = torch.tensor([0, 2, 1, 1])
LOGITS = {"from_logits": True}

# Losses with every argument that has a derivative: predictions, labels, gamma, weights.
FUNCTIONS: dict[str, tuple[Callable[..., Tensor], tuple[Tensor, ...]]] = {
    "binary": (
        lambda z, y, g, w: ours.binary_focal_loss(y, z, g, pos_weight=w, **LOGITS),
        (leaf(5), leaf(5, low=0.1, high=0.9), leaf(1, low=0.4, high=3), leaf(5, low=0.5)),
    ),
    "binary hard": (
        lambda z, g, w: ours.binary_focal_loss(z > 0.5, z, g, pos_weight=w, **LOGITS),
        (leaf(5), leaf(5, low=0.4, high=3), leaf(1, low=0.5)),
    ),
    "binary, gamma a number": (lambda z: ours.binary_focal_loss([1, 0, 1, 0.3, 1], z, 0.5, **LOGITS), (leaf(5),)),
    "binary of probabilities": (
        lambda x, y, g, w: ours.binary_focal_loss(y, x, g, pos_weight=w),
        (leaf(5, low=0.05, high=0.95), leaf(5, low=0.1, high=0.9), leaf(1, low=0.4), leaf(5, low=0.5)),
    ),
    "p_t_loss": (
        lambda z, y, g, a: ours.binary_focal_crossentropy(y, z, True, a, g, **LOGITS),
        (leaf(5), leaf(5, low=0.1, high=0.9), leaf(1, low=0.4), leaf(5, low=0.2, high=0.8)),
    ),
    "p_t_loss of probabilities": (
        lambda x, y, g, a: ours.binary_focal_crossentropy(y, x, True, a, g),
        (leaf(5, low=0.05, high=0.95), leaf(5, low=0.1, high=0.9), leaf(1, low=0.4), leaf(5, low=0.2, high=0.8)),
    ),
    "sparse": (
        lambda v, g, w: ours.sparse_categorical_focal_loss(INDEX, v, g, class_weight=w, **LOGITS),
        (leaf(4, 3), leaf(3, low=0.4), leaf(3, low=0.5)),
    ),
    "sparse of probabilities": (
        lambda x, g, w: ours.sparse_categorical_focal_loss(INDEX, x, g, class_weight=w),
        (leaf(4, 3, low=0.1, high=0.9), leaf(3, low=0.4), leaf(3, low=0.5)),
    ),
    "dense": (
        lambda v, y, g, w: ours.categorical_focal_loss(y, v, g, class_weight=w, axis=0, **LOGITS),
        (leaf(3, 4), leaf(3, 4, low=0.1, high=0.9), leaf(3, low=0.4), leaf(3, low=0.5)),
    ),
    "dense of probabilities": (
        lambda x, y, g, w: ours.categorical_focal_loss(y, x, g, class_weight=w),
        (leaf(4, 3, low=0.1, high=0.9), leaf(4, 3, low=0.1, high=0.9), leaf(3, low=0.4), leaf(3, low=0.5)),
    ),
}
each = pytest.mark.parametrize(("function", "inputs"), FUNCTIONS.values(), ids=FUNCTIONS)


@each
def test_gradcheck(function: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> None:
    assert gradcheck(function, inputs, check_forward_ad=True, check_batched_grad=True)


@each
def test_gradgradcheck(function: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> None:
    assert gradgradcheck(function, inputs, check_fwd_over_rev=True)


@each
def test_func(function: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> None:
    """`torch.func` agrees with autograd: grad, jvp, and the Hessian forward over reverse."""
    first, *rest = inputs
    rest = [r.detach() for r in rest]

    def total(x: Tensor) -> Tensor:
        return function(x, *rest).sum()

    expected = torch.autograd.functional.hessian(total, first)
    torch.testing.assert_close(torch.func.hessian(total)(first.detach()), expected)
    slope = torch.autograd.grad(total(first), first)[0]
    torch.testing.assert_close(torch.func.grad(total)(first.detach()), slope)
    tangent = torch.ones_like(slope)
    torch.testing.assert_close(torch.func.jvp(total, (first.detach(),), (tangent,))[1], slope.sum())


def test_vmap_of_grad_is_the_gradient_of_each() -> None:
    z, y = torch.randn(7), torch.rand(7)
    slopes = torch.func.vmap(torch.func.grad(lambda z, y: ours.binary_focal_loss(y, z, 1.5, **LOGITS)))(z, y)
    z.requires_grad_()
    ours.binary_focal_loss(y, z, 1.5, **LOGITS).sum().backward()
    torch.testing.assert_close(slopes, z.grad)
    v = torch.randn(7, 3)
    losses = torch.func.vmap(lambda v, t: ours.sparse_categorical_focal_loss(t, v, 2, **LOGITS))(v, y.round().long())
    torch.testing.assert_close(losses, ours.sparse_categorical_focal_loss(y.round().long(), v, 2, **LOGITS))


@each
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.nightly)])
def test_compile_has_no_graph_break(function: Callable[..., Tensor], inputs: tuple[Tensor, ...], backend: str) -> None:
    """The slow Inductor compiles two of the losses in the test below."""
    compiled = torch.compile(function, fullgraph=True, backend=backend)
    found = torch.autograd.grad(compiled(*inputs).sum(), inputs)
    expected = torch.autograd.grad(function(*inputs).sum(), inputs)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(compiled(*(x.detach() for x in inputs)), function(*inputs).detach())


@pytest.mark.parametrize("module", [ours.BinaryFocalLoss(2, **LOGITS), ours.CategoricalFocalLoss([1, 2, 3], **LOGITS)])
def test_a_compiled_training_step(module: torch.nn.Module) -> None:
    model = torch.nn.Linear(4, 3)
    x, y = torch.randn(8, 4), torch.eye(3)[torch.randint(3, (8,))]

    def step(x: Tensor, y: Tensor) -> Tensor:
        return module(y, model(x))

    loss = torch.compile(step, fullgraph=True)(x, y)
    torch.testing.assert_close(loss, step(x, y))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast(dtype: torch.dtype) -> None:
    """From half-precision logits of an autocast layer the losses are computed and returned in float32, also under
    per-sample gradients.
    """
    layer = torch.nn.Linear(4, 2)
    x, y = torch.randn(16, 4), torch.randint(2, (16, 2))
    with torch.autocast("cpu", dtype):
        logits = 40 * layer(x)
        assert logits.dtype == dtype
        loss = ours.binary_focal_loss(y, logits, 0.5, **LOGITS)
    exact = ours.binary_focal_loss(y, logits.double(), 0.5, **LOGITS)
    torch.testing.assert_close(loss, exact.float(), rtol=1e-5, atol=1e-30)
    loss.sum().backward()
    assert layer.weight.grad.isfinite().all()


def test_half_precision_means_accumulate_in_float32() -> None:
    z = torch.full((100_000,), -4.0, dtype=torch.float16)
    mean = ours.binary_focal_loss(torch.ones_like(z), z, 0, **LOGITS, reduction="mean")
    torch.testing.assert_close(mean, torch.tensor(4.0181499), atol=1e-6, rtol=0)


def composed(inputs: Tensor, targets: Tensor, alpha: float, gamma: float) -> Tensor:
    """torchvision's loss, composed of torch's own functions."""
    p = torch.sigmoid(inputs)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(inputs, targets, reduction="none")
    loss = loss * (1 - p * targets - (1 - p) * (1 - targets)) ** gamma
    return loss * (alpha * targets + (1 - alpha) * (1 - targets)) if alpha >= 0 else loss


@pytest.mark.parametrize("alpha", [0.25, 0.8, -1, 0, 1])
@pytest.mark.parametrize("gamma", [0, 1.5, 2])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_sigmoid_focal_loss_of_torchvision(alpha: float, gamma: float, reduction: str) -> None:
    inputs, targets = torch.randn(6, 4, dtype=F64), torch.rand(6, 4, dtype=F64)
    expected = composed(inputs, targets, alpha, gamma)
    expected = expected if reduction == "none" else getattr(expected, reduction)()
    torch.testing.assert_close(ours.sigmoid_focal_loss(inputs, targets, alpha, gamma, reduction), expected)
    torch.testing.assert_close(
        ours.sigmoid_focal_loss(inputs, targets.round().long(), alpha=alpha, gamma=gamma),
        composed(inputs, targets.round(), alpha, gamma),
    )


def test_sigmoid_focal_loss_refuses_an_alpha_that_torchvision_refuses() -> None:
    with pytest.raises(ValueError, match=r"`alpha` must be a number in \[0, 1\], got 1\.5"):
        ours.sigmoid_focal_loss(torch.zeros(2), torch.zeros(2), alpha=1.5)


def test_modules_align_as_keras_does_and_reduce() -> None:
    z, y = torch.randn(5, 1), torch.tensor([1, 0, 1, 1, 0])
    for reduction in ("none", "mean", "sum"):
        module = ours.BinaryFocalLoss(2, from_logits=True, reduction=reduction)
        expected = ours.binary_focal_loss(y[:, None], z, 2, **LOGITS, reduction=reduction)
        torch.testing.assert_close(module(y, z), expected)
        torch.testing.assert_close(module(y[:, None], z[:, 0]), expected)


def test_modules_carry_their_arrays_and_parameters() -> None:
    module = ours.SparseCategoricalFocalLoss(
        torch.nn.Parameter(torch.tensor([0.5, 1.0, 2.0])), class_weight=[1.0, 2.0, 3.0], from_logits=True
    )
    assert set(module.state_dict()) == {"gamma", "class_weight"}
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    other = ours.SparseCategoricalFocalLoss(
        torch.nn.Parameter(torch.zeros(3)), class_weight=[0, 0, 0], from_logits=True
    )
    other.load_state_dict(torch.load(file))
    y, v = torch.tensor([0, 2]), torch.randn(2, 3)
    torch.testing.assert_close(other(y, v), module(y, v))
    torch.testing.assert_close(copy.deepcopy(module)(y, v), module(y, v))
    module(y, v).backward()
    assert module.gamma.grad.abs().sum() > 0
    assert "gamma=2.5" in repr(ours.BinaryFocalLoss(2.5))


def test_nothing_but_the_inputs_is_saved_for_backward() -> None:
    z, y = torch.randn(1000, requires_grad=True), torch.rand(1000)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        ours.binary_focal_loss(y, z, 2, **LOGITS).sum()
    assert {t.data_ptr() for t in saved} <= {z.data_ptr(), y.data_ptr()}


def test_default_dtype_is_not_touched_and_numpy_beside_a_tensor_follows_it() -> None:
    z = torch.zeros(3, dtype=F64)
    loss = ours.binary_focal_loss(np.array([0, 1, 1], np.float32), z, np.float32(2), pos_weight=np.ones(3), **LOGITS)
    assert loss.dtype == F64
