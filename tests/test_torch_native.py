"""PyTorch on the native kernels: that they run, that results stay the same, memory, operators, the way to them."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import OWN_FORM, Loss
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import focal_loss
import focal_loss.numpy
import focal_loss.torch as ours
from focal_loss._core.repeated import Memory
from focal_loss._host import kernels
from focal_loss.torch import _backend, _cpu, _repeated

LOGITS = {"from_logits": True}
INDEX = torch.tensor([[0, 2], [1, 255], [1, 0]])

# (logits, reduction) -> loss
LOSSES: dict[str, Callable[[Tensor, str], Tensor]] = {
    "hard": lambda z, r: ours.binary_focal_loss(z.detach() > 0.3, z, 2, pos_weight=3, reduction=r, **LOGITS),
    "soft": lambda z, r: ours.binary_focal_loss(
        z.detach().sigmoid(), z, 1.5, label_smoothing=0.1, reduction=r, **LOGITS
    ),
    "columns": lambda z, r: ours.binary_focal_loss(
        z.detach() > 0, z, torch.tensor([0.0, 0.7]), pos_weight=[1.0, 3.0], reduction=r, **LOGITS
    ),
    "broadcast": lambda z, r: ours.binary_focal_loss(torch.tensor([1.0, 0.0]), z, 2, reduction=r, **LOGITS),
    "p_t_loss": lambda z, r: ours.sigmoid_focal_loss(z, z.detach().sigmoid(), 0.25, 2, r),
    "averaged": lambda z, r: ours.binary_focal_crossentropy(z.detach() > 0, z, reduction=r, **LOGITS),
    "sparse": lambda z, r: ours.sparse_categorical_focal_loss(
        INDEX.to(z.device), z, 2, axis=1, ignore_class=255, class_weight=[1.0, 2.0, 0.5], reduction=r, **LOGITS
    ),
    "smoothed": lambda z, r: ours.sparse_categorical_focal_loss(
        INDEX.to(z.device), z, 2, axis=1, ignore_class=255, label_smoothing=0.1, reduction=r, **LOGITS
    ),
    "dense": lambda z, r: ours.categorical_focal_loss(z.detach().softmax(1), z, 2, axis=1, reduction=r, **LOGITS),
}


def member(loss: Loss) -> Callable[[Tensor, str], Tensor]:
    function, options = getattr(ours, loss.name), loss.options | LOGITS
    return lambda z, r: function((z.detach().sigmoid() - 0.2).relu(), z, reduction=r, **options)


MEMBERS = {loss.name: member(loss) for loss in OWN_FORM}
MEMBERS["matching_cost"] = lambda z, r: ours.focal_matching_cost(z, **LOGITS)
each = pytest.mark.parametrize("name", LOSSES)
reductions = pytest.mark.parametrize("reduction", ["none", "mean", "sum"])


# (logits, gamma of one number or one per column or class) -> loss
OF_GAMMA: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "hard": lambda z, g: ours.binary_focal_loss(z.detach() > 0.3, z, g, **LOGITS),
    "soft": lambda z, g: ours.binary_focal_loss(z.detach().sigmoid(), z, g, **LOGITS),
    "p_t_loss": lambda z, g: ours.binary_focal_crossentropy(z.detach().sigmoid(), z, gamma=g, **LOGITS),
    "sparse": lambda z, g: ours.sparse_categorical_focal_loss(z.detach().argmin(1), z, g, **LOGITS),
    "smoothed": lambda z, g: ours.sparse_categorical_focal_loss(
        z.detach().argmin(1), z, g, label_smoothing=0.1, **LOGITS
    ),
    "dense": lambda z, g: ours.categorical_focal_loss(z.detach().softmax(1), z, g, **LOGITS),
}


def logits(name: str, dtype: torch.dtype = torch.float64) -> Tensor:
    shape = (3, 3, 2) if name in ("sparse", "smoothed", "dense") else (7, 2)
    values = 3 * np.random.default_rng(1).standard_normal(shape)
    return torch.tensor(values, dtype=dtype).requires_grad_()


def check_gamma_below_0(name: str) -> None:
    """Check a negative gamma in a tensor, which no check has read."""
    z = 3 * torch.randn(7, 4, generator=torch.Generator().manual_seed(0))
    results = []
    for gamma in (torch.tensor([-1.0, 2.0, -0.5, -1e30]), torch.tensor([0.0, 2.0, 0.0, 0.0])):
        x = z.clone().requires_grad_()
        value = OF_GAMMA[name](x, gamma)
        results.append((value.detach(), *torch.autograd.grad(value.sum(), x)))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", OF_GAMMA)
def test_a_gamma_below_0_counts_as_0(name: str) -> None:
    check_gamma_below_0(name)


@pytest.fixture
def formula(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Tensor]:
    """Compute a loss without the kernels."""

    def call(function: Callable[..., Tensor], *arguments: object) -> Tensor:
        with monkeypatch.context() as patch:
            patch.setattr(_backend._Torch, "covers", lambda self, *tensors: False)
            patch.setattr(_repeated, "_calls", Memory())  # of calls that the kernels have covered
            return function(*arguments)

    return call


def is_ours(node: object) -> bool:
    return re.fullmatch("_(Reduced)?(Binary|Softmax)Backward", type(node).__name__) is not None


def test_the_kernels_are_there_and_run() -> None:
    assert kernels.NATIVE is not None, kernels.DESCRIPTION
    for name, loss in LOSSES.items():
        for reduction in ("none", "mean"):
            node = loss(logits(name), reduction).grad_fn
            assert is_ours(node) or any(is_ours(before) for before, _ in node.next_functions), name


@each
@reductions
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_the_same_as_the_formula(name: str, reduction: str, dtype: torch.dtype, formula: Callable[..., Tensor]) -> None:
    x = logits(name, dtype)
    found, expected = LOSSES[name](x, reduction), formula(LOSSES[name], x, reduction)
    assert found.dtype == (dtype if reduction == "none" else torch.promote_types(dtype, torch.float32))
    upstream = torch.rand_like(found) + 0.5
    eps = torch.finfo(dtype).eps
    # 64: the contract's 8 + 2 gamma |z| for these logits, and a unit of half precision's own
    torch.testing.assert_close(found, expected, rtol=64 * eps, atol=eps)
    slopes = (torch.autograd.grad(loss, x, upstream)[0] for loss in (found, expected))
    torch.testing.assert_close(*slopes, rtol=64 * eps, atol=eps)


@each
@reductions
def test_second_derivatives(name: str, reduction: str, formula: Callable[..., Tensor]) -> None:
    x = logits(name)

    def curvature(loss: Tensor) -> list[Tensor]:
        upstream = torch.full_like(loss, 1.5).requires_grad_()
        slope = torch.autograd.grad(loss, x, upstream, create_graph=True)[0]
        return list(torch.autograd.grad(slope.square().sum(), (x, upstream)))

    found, expected = curvature(LOSSES[name](x, reduction)), curvature(formula(LOSSES[name], x, reduction))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ["hard", "p_t_loss", "sparse"])
def test_no_third_derivatives(name: str) -> None:
    x = logits(name)
    slope = torch.autograd.grad(LOSSES[name](x, "sum"), x, create_graph=True)[0]
    curvature = torch.autograd.grad(slope.sum(), x, create_graph=True)[0]
    with pytest.raises(NotImplementedError, match="first and second derivatives"):
        torch.autograd.grad(curvature.sum(), x)


@each
def test_backward_twice_and_with_another_upstream_gradient(name: str) -> None:
    """The gradient that a reduced loss precomputes is used once; later backward passes compute it again."""
    x = logits(name)
    loss = LOSSES[name](x, "mean")
    first = torch.autograd.grad(loss, x, retain_graph=True)[0]
    again = torch.autograd.grad(loss, x, retain_graph=True)[0]
    torch.testing.assert_close(again, first)
    assert again.data_ptr() != first.data_ptr()
    torch.testing.assert_close(torch.autograd.grad(3 * loss, x)[0], 3 * first)
    zero = torch.autograd.grad(0 * LOSSES[name](x, "mean"), x)[0]
    torch.testing.assert_close(zero, torch.zeros_like(x))


@each
def test_without_grad_no_gradient_is_computed(name: str) -> None:
    x = logits(name)
    expected = LOSSES[name](x, "sum").detach()
    with torch.no_grad():
        assert LOSSES[name](x, "sum").grad_fn is None
    found = LOSSES[name](x.detach(), "sum")
    assert found.grad_fn is None
    torch.testing.assert_close(found, expected)


@each
@reductions
def test_batched_gradients(name: str, reduction: str) -> None:
    x = logits(name)
    loss = LOSSES[name](x, reduction)
    upstream = torch.randn(4, *loss.shape, dtype=x.dtype)
    together = torch.autograd.grad(loss, x, upstream, is_grads_batched=True, retain_graph=True)[0]
    one_by_one = [torch.autograd.grad(loss, x, u, retain_graph=True)[0] for u in upstream]
    torch.testing.assert_close(together, torch.stack(one_by_one))


@pytest.mark.parametrize(
    ("name", "reduction"),
    [
        *((name, reduction) for name in LOSSES for reduction in ("none", "mean", "sum")),
        *((name, "none") for name in MEMBERS),
    ],
)
def test_compiled(name: str, reduction: str) -> None:
    """The graph holds one operator, and the numbers are the same."""
    loss, graphs = (LOSSES | MEMBERS)[name], []
    torch._dynamo.reset()

    def backend(graph: torch.fx.GraphModule, _: object) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    x = logits(name)
    found = torch.compile(loss, fullgraph=True, backend=backend)(x, reduction)
    expected = loss(x, reduction)
    torch.testing.assert_close(found, expected)
    slopes = [torch.autograd.grad(value.sum(), x)[0] for value in (found, expected)]
    torch.testing.assert_close(*slopes)
    if name in MEMBERS:  # the formula would differ in some bits
        assert torch.equal(found, expected)
        assert torch.equal(*slopes)
    assert sum("focal_loss" in str(node.target) for node in graphs[0].graph.nodes) == 1


class EveryOperation(TorchDispatchMode):
    """A mode that sees each operation, and runs it."""

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen = [*getattr(self, "seen", []), str(operation)]
        return operation(*args, **(kwargs or {}))


@reductions
@each
def test_backward_under_a_mode_that_sees_operations(name: str, reduction: str) -> None:
    """The forward pass may have run outside the mode, with the gradient of a mean precomputed."""
    x = logits(name)
    (expected,) = torch.autograd.grad(LOSSES[name](x, reduction).sum(), x)
    loss = LOSSES[name](x, reduction).sum()
    with EveryOperation() as mode:
        (found,) = torch.autograd.grad(loss, x)
    torch.testing.assert_close(found, expected)
    assert any("focal_loss" in operation for operation in mode.seen)


@pytest.mark.parametrize("order", [0, 1])
@reductions
def test_operators_keep_the_rules_of_torch(order: int, reduction: str) -> None:
    z, y = logits("hard").detach(), torch.tensor([[1.0, 0.0]] * 7, dtype=torch.float64)
    upstream = torch.rand(7, 2, dtype=torch.float64) if order else None
    gamma = torch.tensor([1.0, 2.0], dtype=torch.float64)
    binary = (order, upstream, 1.0, z, y, gamma, None, None, 2.0, 1.0, 1.0, 0.0, False, reduction, False)
    torch.library.opcheck(torch.ops.focal_loss.binary.default, (*binary, ""))
    of_member = (order, upstream, 1.0, z, y, gamma[0], None, None, 1.0, 4.0, 0.05, 0.0, False, reduction, False)
    torch.library.opcheck(torch.ops.focal_loss.binary.default, (*of_member, "asymmetric"))
    v, t = logits("sparse").detach(), INDEX.clamp(max=2)
    upstream = torch.rand(3, 2, dtype=torch.float64) if order else None
    weights = torch.tensor([1.0, 2.0, 0.5])
    softmax = (order, upstream, 1.0, v, t, None, weights, [2.0], [], 1, True, 2, 0.0, reduction, False)
    torch.library.opcheck(torch.ops.focal_loss.softmax.default, softmax)


def test_compiled_code_that_finds_no_kernels_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled code may come from a cache on the disk, made when there were kernels."""
    monkeypatch.setattr(kernels, "NATIVE", None)
    z = torch.zeros(3)
    binary = (0, None, 1.0, z, z, None, None, None, 2.0, 1.0, 1.0, 0.0, False, "none", False, "")
    with pytest.raises(RuntimeError, match="compile it again with another TORCHINDUCTOR_CACHE_DIR"):
        torch.ops.focal_loss.binary(*binary)


@reductions
def test_operators_under_vmap(reduction: str) -> None:
    operator = torch.ops.focal_loss.binary_loss
    z, y = torch.randn(5, 4, 3), (torch.rand(4, 3) < 0.5).float()
    gamma = torch.rand(5)

    def loss(z: Tensor, gamma: Tensor) -> Tensor:
        return operator(z, y, gamma, None, None, 0.0, 1.0, 1.0, 0.1, False, reduction, False, "")

    expected = torch.stack([loss(z[k], gamma[k]) for k in range(5)])
    torch.testing.assert_close(torch.vmap(loss)(z, gamma), expected)
    torch.testing.assert_close(torch.vmap(loss, in_dims=(2, 0))(z.movedim(0, 2), gamma), expected)
    v, t = torch.randn(5, 4, 3), torch.randint(3, (5, 4))

    def sparse(v: Tensor, t: Tensor) -> Tensor:
        return torch.ops.focal_loss.softmax_loss(v, t, None, None, [2.0], [1.0], 1, True, 1, 0.0, reduction, False)

    torch.testing.assert_close(torch.vmap(sparse)(v, t), torch.stack([sparse(v[k], t[k]) for k in range(5)]))


@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_any_memory_format(reduction: str) -> None:
    z = torch.randn(2, 3, 4, 5)
    t = torch.randint(3, (2, 4, 5))
    views = [
        lambda x: x.to(memory_format=torch.channels_last),
        lambda x: x.repeat_interleave(2, -1)[..., ::2],
        lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
    ]
    for view in views:
        for loss in (
            lambda x: ours.binary_focal_loss(z > 0, x, 2, reduction=reduction, **LOGITS),
            lambda x: ours.sparse_categorical_focal_loss(t, x, 2, axis=1, reduction=reduction, **LOGITS),
        ):
            a, b = z.clone().requires_grad_(), view(z).detach().requires_grad_()
            assert not b.is_contiguous()
            torch.testing.assert_close(loss(b), loss(a))
            loss(a).sum().backward()
            loss(b).sum().backward()
            torch.testing.assert_close(b.grad, a.grad)


def test_a_changed_parameter_is_seen() -> None:
    z, gamma = torch.randn(4, requires_grad=True), torch.tensor([2.0, 1.0, 0.5, 0.0])
    for reduction in ("none", "mean"):
        loss = ours.binary_focal_loss(torch.ones(4), z, gamma, reduction=reduction, **LOGITS).sum()
        gamma.add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            (2 * loss).backward()


def test_results_are_where_the_logits_are() -> None:
    z = torch.randn(4, requires_grad=True)
    v = torch.randn(4, 3, requires_grad=True)
    with torch.device("meta"):
        losses = [ours.binary_focal_loss(z.detach() > 0, z, 2, reduction=r, **LOGITS) for r in ("none", "mean")]
        losses += [ours.sparse_categorical_focal_loss(INDEX[:, 1].new_zeros(4, device="cpu"), v, 2, **LOGITS)]
        for loss in losses:
            loss.sum().backward()
            assert loss.device.type == "cpu"
    assert z.grad.device.type == v.grad.device.type == "cpu"


def test_what_records_operations_sees_them() -> None:
    from torch.fx.experimental.proxy_tensor import make_fx

    z, other = torch.randn(5), torch.randn(5)
    traced = make_fx(lambda z: ours.binary_focal_loss(torch.ones(5), z, 2, **LOGITS))(z)
    torch.testing.assert_close(traced(other), ours.binary_focal_loss(torch.ones(5), other, 2, **LOGITS))


def test_a_jacobian_of_jacobians() -> None:
    x = logits("hard")[:, 0].detach().requires_grad_()
    y = x.detach() > 0
    loss = lambda x: ours.binary_focal_loss(y, x, 2, **LOGITS)  # noqa: E731
    jacobian = torch.autograd.functional.jacobian(loss, x, vectorize=True, create_graph=True)
    torch.testing.assert_close(jacobian, torch.autograd.functional.jacobian(loss, x, create_graph=True))
    torch.autograd.grad(jacobian.sum(), x)


def test_half_precision_upstreams_do_not_overflow() -> None:
    x = torch.tensor([7.0, 8.0, 20.0, -30.0], dtype=torch.float16, requires_grad=True)
    loss = ours.binary_focal_loss(torch.ones(4), x, 2, **LOGITS)
    slope = torch.autograd.grad(loss, x, torch.full_like(x, 1000), create_graph=True)[0]
    curvature = torch.autograd.grad(slope, x, torch.full_like(x, 1000))[0]
    assert curvature.isfinite().all()


def test_a_sparse_upstream_gradient() -> None:
    class Sparse(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            return grad.to_sparse()

    for name in ("hard", "sparse"):
        x = logits(name)
        found = torch.autograd.grad(Sparse.apply(LOSSES[name](x, "none")).sum(), x)[0]
        torch.testing.assert_close(found, torch.autograd.grad(LOSSES[name](x, "none").sum(), x)[0])


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_an_upstream_gradient_whose_sign_is_only_noted(name: str, reduction: str) -> None:
    """It is the imaginary part of a conjugate."""
    x = logits(name)
    value = LOSSES[name](x, reduction)
    lazy = torch.complex(torch.zeros_like(value), torch.ones_like(value)).conj().imag
    assert lazy.is_neg()
    found, expected = (
        torch.autograd.grad(value, x, upstream, retain_graph=True)[0] for upstream in (lazy, -1.0 + 0 * value.detach())
    )
    assert torch.equal(found, expected)


@pytest.mark.parametrize("reduction", ["none", "mean"])
@pytest.mark.parametrize("sparse", [True, False])
def test_no_examples_of_any_strides(sparse: bool, reduction: str) -> None:
    x = torch.randn(4, 6, 5).transpose(0, 1)[:0].requires_grad_()
    y = torch.zeros(4, 6, dtype=torch.long).T[:0] if sparse else torch.zeros(4, 6, 5).transpose(0, 1)[:0]
    loss = ours.sparse_categorical_focal_loss if sparse else ours.categorical_focal_loss
    value = loss(y, x, 2.0, reduction=reduction, **LOGITS)
    assert value.shape == ((0, 4) if reduction == "none" else ())
    assert value.sum() == 0
    assert torch.autograd.grad(value.sum(), x)[0].shape == x.shape


@pytest.mark.parametrize("module", [ours, __import__("focal_loss.numpy").numpy])
def test_no_classes_at_all(module: object) -> None:
    make = torch.zeros if module is ours else np.zeros
    for gamma in (2, np.zeros(0)):
        with pytest.raises(ValueError, match="class indices in"):
            module.sparse_categorical_focal_loss([0, 0], make((2, 0)), gamma, **LOGITS)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # shapes become constants
def test_a_trace_keeps_the_computation() -> None:
    z = torch.randn(5)
    traced = torch.jit.trace(lambda z: ours.binary_focal_loss(torch.ones(5), z, 2, **LOGITS), (z,), check_trace=False)
    other = torch.randn(5)
    torch.testing.assert_close(traced(other), ours.binary_focal_loss(torch.ones(5), other, 2, **LOGITS))


def check_everything_ignored(reduction: str) -> None:
    z = torch.zeros(3, 2, requires_grad=True)
    options = {"gamma": 2, "ignore_class": 255, "reduction": reduction} | LOGITS
    value = ours.sparse_categorical_focal_loss(torch.full((3,), 255), z, **options)
    assert value.item() == 0
    assert (torch.autograd.grad(value, z)[0] == 0).all()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_everything_ignored_is_0_by_the_formula_too(reduction: str, formula: Callable[..., object]) -> None:
    check_everything_ignored(reduction)
    formula(check_everything_ignored, reduction)


def returns(function: Callable[[], object]) -> int:
    """How many calls go to another file of ours than the call before, but to none that is new."""
    home, files = str(Path(focal_loss.__file__).parent), []

    def called(frame: Any, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(home):
            files.append(frame.f_code.co_filename)

    function()  # what is imported and remembered at the first call has no part in the others
    sys.setprofile(called)
    try:
        function()
    finally:
        sys.setprofile(None)
    assert files
    changes = [name for name, before in zip(files, ["", *files], strict=False) if name != before]
    return len(changes) - len(set(files))


@pytest.mark.parametrize(("way", "most"), [("forward and backward", 10), ("of NumPy", 7), ("at top level", 7)])
def test_a_call_is_converted_in_one_visit_to_its_backend(way: str, most: int) -> None:
    x = torch.linspace(-3, 3, 16, requires_grad=True)
    y, values = x.detach() > 0.5, x.detach().numpy()
    ways: dict[str, Callable[[], object]] = {
        "forward and backward": lambda: ours.binary_focal_loss(y, x, 2.0, reduction="mean", **LOGITS).backward(),
        "of NumPy": lambda: focal_loss.numpy.binary_focal_loss(y.numpy(), values, 2.0, **LOGITS),
        "at top level": lambda: focal_loss.binary_focal_loss(y, x, 2.0, **LOGITS),
    }
    assert returns(ways[way]) <= most


def bits(name: str, reduction: str) -> list[Tensor]:
    """The loss of many logits, which are computed on several threads, and its gradient."""
    x = logits(name, torch.float32).detach().repeat(60_000, *[1] * (logits(name).ndim - 1)).requires_grad_()
    value = LOSSES[name](x, reduction)
    return [value, torch.autograd.grad(value.sum(), x)[0]]


@pytest.mark.parametrize("missing", ["DLPack", "torch_parallel_for", "threads"])
@pytest.mark.parametrize("name", ["hard", "columns", "broadcast", "p_t_loss", "dense"])
def test_what_another_torch_may_lack(name: str, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a table of DLPack that we know tensors are handed over as addresses. Threads are torch's, those of OpenMP
    that torch brings, or our own.
    """
    expected = [bits(name, reduction) for reduction in ("none", "mean")]
    if missing == "DLPack":
        assert _cpu._TAKES_TENSORS
        monkeypatch.setattr(_cpu, "_TAKES_TENSORS", False)
    elif missing == "torch_parallel_for":
        monkeypatch.setattr(_cpu, "_TEAMS", [name for name in _cpu._TEAMS if name != missing])
        assert _cpu._join_team() == "GOMP_parallel"
    else:
        monkeypatch.setattr(_cpu, "_HAS_TEAM", False)
    try:
        found = [bits(name, reduction) for reduction in ("none", "mean")]
    finally:
        monkeypatch.undo()
        assert _cpu._join_team() == "torch_parallel_for"
    for one, other in zip(found, expected, strict=True):
        assert all(map(torch.equal, one, other))
