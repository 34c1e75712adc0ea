"""The Triton kernels: with ``TRITON_INTERPRET=1`` by Triton's interpreter on tensors of the host, which are routed
through them, else on a GPU.

In a process of its own: Triton and TensorFlow have an LLVM each, and only one order of importing them works.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from focal_loss.torch import _triton  # isort: skip  (before TensorFlow)

sys.path.insert(0, str(Path(__file__).parents[1]))

import accuracy
import numpy as np
import pytest
import torch
from accuracy_family import FAMILY
from cases import FRAMEWORK, OWN_FORM, Arrays, one_by_one, torch_numpy, torch_tensor
from test_torch_native import LOSSES, check_gamma_below_0, formula, logits  # noqa: F401  (a fixture)
from torch import Tensor
from torch.nn import functional

import focal_loss.torch as ours
from focal_loss._core.binary_losses import call_of_member
from focal_loss.torch import _backend, _cuda, _operators
from focal_loss.torch._calls import BinaryCall, SoftmaxCall

# The interpreter computes with NumPy, which warns where a GPU does not.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
DTYPES = ["float32", "float16", "bfloat16"]
LOGITS = {"from_logits": True}


@pytest.fixture(autouse=True)
def route(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Route tensors of the host through the GPU's kernels, and return the names of the kernels that ran."""
    ran: list[str] = []

    def spy(name: str) -> Any:
        kernel = getattr(_triton, name)

        class Spy:
            def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., Any]:
                ran.append(name)
                return kernel[grid]

        return Spy()

    for name in ("binary", "softmax"):
        monkeypatch.setattr(_triton, name, spy(name))
    if _triton.INTERPRETED.value:
        monkeypatch.setattr(_operators, "kernels", lambda x: _cuda)
        monkeypatch.setitem(_backend._FLOATING, "cpu", _cuda.DTYPES)
    torch.set_default_device("cpu" if _triton.INTERPRETED.value else "cuda")
    yield ran
    torch.set_default_device(None)


def derivatives_in_logits(function: Callable[..., Tensor], arrays: Arrays, dtype: str, second: bool = True) -> Arrays:
    """Derivatives in the logits only, because the formula computes those in labels, gamma and weights."""
    tensors = {k: torch_tensor(v, dtype) for k, v in arrays.items()}
    name, x = next(iter(tensors.items()))
    value = function(**tensors | {name: x.requires_grad_()})
    (first,) = torch.autograd.grad(value.sum(), x, create_graph=second)
    result = {"value": value, name: first}
    if second:
        (result["second"],) = torch.autograd.grad(first.sum(), x)
    return {k: torch_numpy(v) for k, v in result.items()}


TORCH = replace(FRAMEWORK["torch"], derivatives=derivatives_in_logits, per_row=one_by_one(derivatives_in_logits))


def member(name: str, *labels: Callable[[Tensor], Tensor], **options: Any) -> Callable[[Tensor, str], Tensor]:
    """(logits, reduction) -> a loss of the family, with labels made of the logits."""
    loss = getattr(ours, name)
    return lambda z, r: loss(*(y(z.detach()) for y in labels), z, reduction=r, **LOGITS, **options)


def score(z: Tensor) -> Tensor:
    """Labels of which some are 0 and some 1."""
    return (1.5 * z.sigmoid() - 0.25).clip(0, 1)


MEMBERS = {
    "asymmetric": member("asymmetric_loss", lambda z: z > 0.3),
    "asymmetric, any gamma": member("asymmetric_loss", score, gamma_pos=1.7, gamma_neg=0.4, clip=0.3),
    "asymmetric, no clip": member("asymmetric_loss", score, gamma_pos=0, gamma_neg=3.3, clip=0),
    "quality": member("quality_focal_loss", score),
    "varifocal": member("varifocal_loss", score),
    "varifocal, hard": member("varifocal_loss", lambda z: z > 0.3, gamma=1.7, detach_weight=True),
    "matchability": member("matchability_aware_loss", score),
    "matchability, any gamma": member("matchability_aware_loss", score, gamma=0.3, detach_weight=False),
    "penalty_reduced": member("penalty_reduced_focal_loss", score),
    "poly1": member("poly1_focal_loss", score, epsilon=2.0, pos_weight=3.0),
}


@pytest.mark.parametrize(
    "section",
    [
        *(accuracy.binary, accuracy.hard, accuracy.p_t_loss, accuracy.softmax, accuracy.quality),
        *accuracy.EXTREMES[:4],
        *FAMILY[:-1],
    ],
    ids=lambda section: section.__name__,
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_golden_numbers_within_the_bound(dtype: str, section: Any, route: list[str]) -> None:
    for quantity, found in accuracy.worst(TORCH, dtype, section).items():
        assert found.error_ratio <= 1, f"{quantity}: {found}"
    assert route


@pytest.mark.parametrize("dtype", DTYPES)
def test_golden_numbers_in_small_blocks(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks that hold ordinary logits only, which larger ones of golden numbers do not."""
    monkeypatch.setattr(_cuda, "BLOCK", 16)
    for quantity, found in accuracy.worst(TORCH, dtype, accuracy.hard).items():
        assert found.error_ratio <= 1, f"{quantity}: {found}"


@pytest.mark.parametrize("name", [*(name for name in LOSSES if name not in ("dense", "smoothed")), *MEMBERS])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("dtype", [getattr(torch, name) for name in DTYPES], ids=str)
def test_the_same_as_the_formula(
    name: str,
    reduction: str,
    dtype: torch.dtype,
    formula: Callable[..., Tensor],  # noqa: F811
    route: list[str],
) -> None:
    x, loss_of = logits(name, dtype), (LOSSES | MEMBERS)[name]
    found, expected = loss_of(x, reduction), formula(loss_of, x, reduction)
    assert len(route) == 1
    assert found.dtype == (dtype if reduction == "none" else torch.float32)
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(found, expected, rtol=64 * eps, atol=eps)
    with torch.autocast(x.device.type, torch.bfloat16):
        wide, exact = loss_of(x, reduction), formula(loss_of, x, reduction)
    assert wide.dtype == torch.float32
    torch.testing.assert_close(wide, exact, rtol=64 * torch.finfo(torch.float32).eps, atol=1e-7)
    for loss, upstream in ((wide, torch.ones_like(wide)), (wide, torch.rand_like(wide) + 0.5)):
        slope = torch.autograd.grad(loss, x, upstream, retain_graph=True)[0]
        assert slope.dtype == dtype
        torch.testing.assert_close(
            slope, torch.autograd.grad(expected, x, upstream, retain_graph=True)[0], rtol=64 * eps, atol=eps
        )
    for upstream in (torch.ones_like(found), torch.rand_like(found) + 0.5):
        slopes = (torch.autograd.grad(loss, x, upstream, retain_graph=True)[0] for loss in (found, expected))
        torch.testing.assert_close(*slopes, rtol=64 * eps, atol=eps)


@pytest.mark.parametrize("labels", [torch.bool, torch.float32], ids=str)
@pytest.mark.parametrize(
    ("name", "options"),
    [*((loss.name, {}) for loss in OWN_FORM), ("focal_matching_cost", {}), ("asymmetric_loss", {"clip": 1e-30})],
)
def test_logits_of_any_size(
    name: str,
    options: dict[str, float],
    labels: torch.dtype,
    formula: Callable[..., Tensor],  # noqa: F811
    route: list[str],
) -> None:
    """A row of one label and logits at the ends: infinite, above the largest exponent, NaN."""
    ends = [float("inf"), 3e38, 1e4, 100.0, 88.0, 30.0]
    row = torch.tensor([*ends, float("nan"), *(-z for z in ends)])
    y = torch.tensor([[0.0], [1.0], [0.3], [1e-30]])[: 2 if labels == torch.bool else 4].to(labels)
    x = row.expand(len(y), -1).clone().requires_grad_()
    loss = getattr(ours, name)
    labeled = () if name == "focal_matching_cost" else (y,)
    call = lambda x: loss(*labeled, x, **options, **LOGITS)  # noqa: E731
    found, expected = call(x), formula(call, x)
    assert route == ["binary"]
    for one, other in (
        (found, expected),
        [torch.autograd.grad(v, x, torch.ones_like(v))[0] for v in (found, expected)],
    ):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-37, equal_nan=True)
        assert one.isnan().eq(x.isnan()).all()


@pytest.mark.parametrize("shape", [(1,), (1023,), (1024,), (3000,), (0,), (5, 0), (13, 7, 11)], ids=str)
@pytest.mark.parametrize("layout", ["as it is", "transposed", "every second"])
def test_sizes_and_layouts(shape: tuple[int, ...], layout: str) -> None:
    z = 3 * torch.randn(tuple(2 * n for n in shape) if layout == "every second" else shape)
    z = z.T if layout == "transposed" and z.ndim == 2 else z[tuple(slice(None, None, 2) for _ in shape)]
    x, copy = z.detach().requires_grad_(), z.detach().double().requires_grad_()
    y = torch.rand(x.shape) < 0.3
    for reduction in ("none", "mean"):
        found = ours.binary_focal_loss(y, x, 2.0, reduction=reduction, **LOGITS)
        expected = ours.binary_focal_loss(y, copy, 2.0, reduction=reduction, **LOGITS)
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-30)
        slopes = [torch.autograd.grad(loss.sum(), v)[0] for loss, v in ((found, x), (expected, copy))]
        torch.testing.assert_close(slopes[0].double(), slopes[1], rtol=1e-5, atol=1e-30)


@pytest.mark.parametrize(
    ("shape", "axis"), [((5, 4), 1), ((3, 9000), 1), ((40, 1), 1), ((2, 6, 9, 7), 1), ((70, 300), 0)]
)
def test_any_number_of_classes_on_any_axis(shape: tuple[int, ...], axis: int) -> None:
    x = (3 * torch.randn(shape)).requires_grad_()
    copy = x.detach().double().requires_grad_()
    y = torch.randint(0, shape[axis], shape[:axis] + shape[axis + 1 :])
    found = ours.sparse_categorical_focal_loss(y, x, 2.0, axis=axis, **LOGITS)
    expected = ours.sparse_categorical_focal_loss(y, copy, 2.0, axis=axis, **LOGITS)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-30)
    slopes = [torch.autograd.grad(loss.sum(), v)[0] for loss, v in ((found, x), (expected, copy))]
    torch.testing.assert_close(slopes[0].double(), slopes[1], rtol=1e-4, atol=1e-30)


def test_parameters_that_are_tensors_stay_on_the_device() -> None:
    """On a GPU no tensor may become a Python number."""
    x, y = torch.randn(5, 7), torch.randint(0, 7, (5,), dtype=torch.uint8)
    for gamma in (torch.tensor(2.0), torch.linspace(0, 3, 7)):
        for weight in (torch.tensor(0.5), torch.rand(7)):
            call = SoftmaxCall(x, y, gamma, weight, 1, True, -100, 0.0, "mean")
            found = _cuda.softmax(0, 1.0, call)
            more = {"class_weight": weight.double(), "reduction": "mean"}
            expected = ours.sparse_categorical_focal_loss(y.long(), x.double(), gamma.double(), **more, **LOGITS)
            torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=0)
    for name, options in (
        ("asymmetric", (1.5, 4.0, 0.05)),
        ("varifocal", (2.0, 0.75)),
        ("penalty_reduced", (2.0, 4.0)),
    ):
        tensors = tuple(torch.tensor(number) for number in options)
        labels = torch.rand(5, 7)
        calls = [call_of_member(name, (*given, *options[2:]), x, labels) for given in (tensors[:2], options[:2])]
        found, expected = (_cuda.binary(0, 1.0, BinaryCall(**call._asdict())) for call in calls)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("bad", [-1, 4, 2**40, -(2**62)])
def test_a_label_out_of_range_is_nan_for_its_row_alone(bad: int) -> None:
    x = torch.randn(6, 4).requires_grad_()
    y = torch.tensor([0, 1, bad, 3, 255, 2])
    value = ours.sparse_categorical_focal_loss(y, x, 2.0, ignore_class=255, **LOGITS)
    good = torch.tensor([0, 1, 3, 5])
    assert value[2].isnan()
    assert value[4] == 0
    assert value[good].isfinite().all()
    (slope,) = torch.autograd.grad(value[good].sum(), x)
    assert slope[good].ne(0).all()
    assert slope[[2, 4]].eq(0).all()


def test_a_binary_label_that_is_none_is_nan_by_itself() -> None:
    value = ours.binary_focal_loss(torch.tensor([0, 1, 2, -1]), torch.zeros(4), 2.0, **LOGITS)
    np.testing.assert_array_equal(value.isnan().cpu(), [False, False, True, True])
    heatmap = torch.tensor([0.5, float("nan"), 1.0])
    value = ours.penalty_reduced_focal_loss(heatmap, torch.zeros(3), beta=0, **LOGITS)
    np.testing.assert_array_equal(value.isnan().cpu(), [False, True, False])


@pytest.mark.parametrize("name", ["hard", "soft", "p_t_loss", "sparse"])
def test_a_gamma_below_0_counts_as_0(name: str, route: list[str]) -> None:
    check_gamma_below_0(name)
    assert route


def test_extreme_logits() -> None:
    inf = float("inf")
    z = torch.tensor([-inf, inf, -3e38, 3e38, -1e4, 0.0, float("nan")], requires_grad=True)
    value = ours.binary_focal_loss(torch.ones(7, dtype=torch.bool), z, 2.0, **LOGITS)
    np.testing.assert_array_equal(value.detach().cpu()[[0, 1, 2, 3, 4, 6]], np.float32([inf, 0, 3e38, 0, 1e4, np.nan]))
    (slope,) = torch.autograd.grad(value, z, torch.ones(7))
    np.testing.assert_array_equal(slope.cpu()[[0, 1, 2, 3, 4, 6]], np.float32([-1, 0, -1, 0, -1, np.nan]))
    rows = torch.tensor([[inf, 0.0], [-inf, 0.0], [-inf, -inf], [3e38, -3e38], [float("nan"), 0.0]])
    values = ours.sparse_categorical_focal_loss(torch.zeros(5, dtype=torch.int64), rows, 2.0, **LOGITS)
    np.testing.assert_array_equal(values.cpu()[[0, 1, 3, 4]], np.float32([0, inf, 0, np.nan]))


def test_a_small_gradient_survives_the_scale_of_the_loss() -> None:
    """A loss scaler in float16 relies on this: 1e-9 would be 0 unless it is multiplied by the scale before rounding."""
    z = torch.full((4,), 9.0, dtype=torch.float16, requires_grad=True)
    loss = ours.binary_focal_loss(torch.ones(4), z, 1.0, reduction="sum", **LOGITS)
    (slope,) = torch.autograd.grad(loss, z, torch.tensor(2.0**14, dtype=torch.float16))
    exact = z.detach().double().requires_grad_()
    (expected,) = torch.autograd.grad(
        ours.binary_focal_loss(torch.ones(4), exact, 1.0, reduction="sum", **LOGITS), exact
    )
    torch.testing.assert_close(slope.double(), expected * 2.0**14, rtol=1e-3, atol=0)


@pytest.mark.parametrize("dtype", [getattr(torch, name) for name in DTYPES], ids=str)
def test_no_further_off_than_cross_entropy(dtype: torch.dtype) -> None:
    """At gamma 0 the loss is cross-entropy, with at most the error of torch's own plus one rounding."""
    v, t = (4 * torch.randn(40, 100)).to(dtype), torch.randint(0, 100, (40,))
    own = lambda x: ours.sparse_categorical_focal_loss(t, x, 0, reduction="mean", **LOGITS)  # noqa: E731
    results = []
    for loss, x in ((own, v), (functional.cross_entropy, v), (functional.cross_entropy, v.double())):
        x = x.detach().clone().requires_grad_()
        value = loss(x) if loss is own else loss(x, t)
        results.append([a.detach().double() for a in (value, torch.autograd.grad(value, x)[0])])
    for found, theirs, exact in zip(*results, strict=True):
        rounding = torch.finfo(dtype).eps * exact.abs().max()
        assert (found - exact).abs().max() <= (theirs - exact).abs().max() + rounding


def test_the_same_bits_every_time() -> None:
    x, y = torch.randn(5000).requires_grad_(), torch.rand(5000)
    found = [torch.autograd.grad(ours.binary_focal_loss(y, x, 1.7, reduction="mean", **LOGITS), x)[0] for _ in range(2)]
    assert torch.equal(*found)


COMPILE = Path(__file__).with_name("compile_kernels.py")


def test_kernels_compile_for_gpus() -> None:
    """The kernels compile to machine code of two generations, without a GPU."""
    variables = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, str(COMPILE)], capture_output=True, text=True, check=False, env=variables)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("instructions") == 2 * (34 + 18 + 12)  # binary, its other families, softmax
