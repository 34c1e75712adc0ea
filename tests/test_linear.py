"""The fused linear loss of PyTorch and JAX: the same as the layer and then the loss, in little memory."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.nn import functional

import focal_loss.jax
import focal_loss.torch
from focal_loss._core.options import Reduction
from focal_loss._host import kernels
from focal_loss.torch import _chunks

RNG = np.random.default_rng(0)
ROWS, FEATURES, CLASSES = 700, 6, 40  # three chunks of rows, the last one shorter
HIDDEN, WEIGHT, BIAS = RNG.normal(size=(ROWS, FEATURES)), RNG.normal(size=(CLASSES, FEATURES)), RNG.normal(size=CLASSES)
LABELS = RNG.integers(0, CLASSES, ROWS)
IGNORED = np.where(RNG.random(ROWS) < 0.2, -100, LABELS)
UPSTREAM = RNG.random(ROWS) + 0.5
PER_CLASS = RNG.random(CLASSES) + 0.5

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {"gamma": 2},
    "bias": {"gamma": 1.5, "bias": BIAS},
    "per class": {"gamma": PER_CLASS.tolist(), "class_weight": PER_CLASS, "bias": BIAS},
    "ignored": {"gamma": 0.5, "ignore_class": -100},
    "smoothed": {"gamma": 2, "class_weight": PER_CLASS, "ignore_class": -100, "label_smoothing": 0.1},
}


def torch_both(options: dict[str, Any], labels: np.ndarray, reduction: str) -> list[list[np.ndarray]]:
    """Value and gradients, fused and not."""
    results = []
    for fused in (True, False):
        given = [
            None if a is None else torch.tensor(a, requires_grad=True) for a in (HIDDEN, WEIGHT, options.get("bias"))
        ]
        hidden, weight, bias = given
        rest = {k: v for k, v in options.items() if k != "bias"} | {"reduction": reduction}
        y = torch.tensor(labels)
        if fused:
            value = focal_loss.torch.linear_sparse_categorical_focal_loss(hidden, weight, y, bias=bias, **rest)
        else:
            logits = functional.linear(hidden, weight, bias)
            value = focal_loss.torch.sparse_categorical_focal_loss(y, logits, from_logits=True, **rest)
        upstream = torch.tensor(UPSTREAM) if reduction == "none" else torch.tensor(1.7, dtype=torch.float64)
        slopes = torch.autograd.grad(value, [t for t in given if t is not None], upstream)
        results.append([a.detach().numpy() for a in (value, *slopes)])
    return results


def reduce(value: jax.Array, labels: np.ndarray, options: dict[str, Any], reduction: str) -> jax.Array:
    if reduction == "none":
        return value
    return value.sum() / ((labels != options.get("ignore_class")).sum() if reduction == "mean" else 1)


def jax_both(options: dict[str, Any], labels: np.ndarray, reduction: str) -> list[list[np.ndarray]]:
    rest = {k: v for k, v in options.items() if k != "bias"}
    y = jnp.asarray(labels)

    def fused(hidden: jax.Array, weight: jax.Array, *bias: jax.Array) -> jax.Array:
        more = rest | {"reduction": reduction, "bias": bias[0] if bias else None}
        return focal_loss.jax.linear_sparse_categorical_focal_loss(hidden, weight, y, **more)

    def apart(hidden: jax.Array, weight: jax.Array, *bias: jax.Array) -> jax.Array:
        logits = hidden @ weight.T + (bias[0] if bias else 0)
        value = focal_loss.jax.sparse_categorical_focal_loss(y, logits, from_logits=True, **rest)
        return reduce(value, labels, options, reduction)

    arrays = [jnp.asarray(a) for a in (HIDDEN, WEIGHT, options.get("bias")) if a is not None]
    upstream = jnp.asarray(UPSTREAM if reduction == "none" else 1.7)
    results = []
    for function in (fused, apart):
        value, vjp = jax.vjp(jax.jit(function), *arrays)
        results.append([np.asarray(a) for a in (value, *vjp(upstream))])
    return results


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_the_same_as_the_layer_and_the_loss(framework: str, reduction: str, name: str) -> None:
    labels = IGNORED if "ignore_class" in OPTIONS[name] else LABELS
    if framework == "torch":
        found, expected = torch_both(OPTIONS[name], labels, reduction)
    else:
        with jax.enable_x64(True):
            found, expected = jax_both(OPTIONS[name], labels, reduction)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == np.float64
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_narrow_dtypes_of_torch(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, quick: bool) -> None:
    """The error is at most that of the layer and the loss one after the other, plus one rounding, whether the processor
    multiplies half precision or float32 takes its place.
    """
    monkeypatch.setattr(_chunks, "multiplies_quickly", lambda *_: quick)
    exact = torch_both(OPTIONS["bias"], LABELS, "mean")[1]
    errors = []
    for fused in (True, False):
        hidden, weight, bias = (torch.tensor(a).to(dtype).requires_grad_() for a in (HIDDEN, WEIGHT, BIAS))
        y = torch.tensor(LABELS)
        if fused:
            loss = focal_loss.torch.linear_sparse_categorical_focal_loss(hidden, weight, y, 1.5, bias=bias)
        else:
            logits = functional.linear(hidden, weight, bias)
            loss = focal_loss.torch.sparse_categorical_focal_loss(y, logits, 1.5, from_logits=True, reduction="mean")
        slopes = torch.autograd.grad(loss, (hidden, weight, bias), torch.tensor(1.7, dtype=dtype))
        errors.append(
            [abs(s.double().numpy() - e).max() / abs(e).max() for s, e in zip(slopes, exact[1:], strict=True)]
        )
    for ours, theirs in zip(*errors, strict=True):
        assert ours <= theirs + torch.finfo(dtype).eps


@pytest.mark.parametrize("reduction", ["none", "mean"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_rows_of_logits_that_lie_apart(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, smoothing: float, reduction: Reduction
) -> None:
    """Gaps between the rows, which a number of classes that is a power of two has, change nothing."""
    monkeypatch.setattr(_chunks, "multiplies_quickly", lambda *_: True)  # then the logits are of any dtype
    hidden, weight, y = torch.randn(150, 4), torch.randn(2048, 4), torch.randint(2048, (150,))
    assert _chunks.gap(hidden, 2048) > 0
    found = []
    for gap in (_chunks.gap, lambda *_: 0):
        monkeypatch.setattr(_chunks, "gap", gap)
        given = [t.to(dtype).requires_grad_() for t in (hidden, weight)]
        loss = focal_loss.torch.linear_sparse_categorical_focal_loss(
            *given, y, 2, label_smoothing=smoothing, reduction=reduction
        )
        found.append([loss.detach(), *torch.autograd.grad(loss.sum(), given)])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_float16_neither_overflows_a_sum_nor_a_gradient() -> None:
    hidden = torch.full((2000, 1), 1500.0, dtype=torch.float16)
    weight = torch.zeros(2, 1, dtype=torch.float16, requires_grad=True)
    y = torch.zeros(2000, dtype=torch.int64)
    loss = focal_loss.torch.linear_sparse_categorical_focal_loss(hidden, weight, y, 0)
    loss.backward()
    torch.testing.assert_close(weight.grad, torch.tensor([[-750.0], [750.0]], dtype=torch.float16), rtol=1e-3, atol=0)
    many, classes = torch.randn(9000, 8).half(), torch.zeros(3000, 8, dtype=torch.float16, requires_grad=True)
    loss = focal_loss.torch.linear_sparse_categorical_focal_loss(many, classes, torch.zeros(9000).long(), 0)
    torch.testing.assert_close(loss.item(), np.log(3000), rtol=1e-3, atol=0)


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_an_ignored_label_that_narrow_integers_cannot_hold(framework: str) -> None:
    """In uint8 -100 would become 156, a class."""
    hidden, weight, labels = RNG.normal(size=(3, 4)), RNG.normal(size=(200, 4)), [156, 3, 4]
    found = []
    for dtype in ("uint8", "int32"):
        if framework == "torch":
            y = torch.tensor(labels, dtype=getattr(torch, dtype))
            arrays = torch.tensor(hidden), torch.tensor(weight)
            loss = focal_loss.torch.linear_sparse_categorical_focal_loss(*arrays, y, 2, ignore_class=-100)
        else:
            y = jnp.asarray(labels, dtype)
            loss = focal_loss.jax.linear_sparse_categorical_focal_loss(hidden, weight, y, 2, ignore_class=-100)
        found.append(float(loss))
    assert found[0] == found[1]


def test_jax_adds_up_in_float32() -> None:
    """300 rows each add 1/256 of the sum; in bfloat16 it would not change."""
    hidden, weight = jnp.ones((3000, 1), jnp.bfloat16), jnp.zeros((2, 1), jnp.bfloat16)
    y = jnp.zeros(3000, jnp.int32)
    loss = lambda w: focal_loss.jax.linear_sparse_categorical_focal_loss(hidden, w, y, 0, reduction="sum")  # noqa: E731
    value, slope = jax.value_and_grad(loss)(weight)
    np.testing.assert_allclose(np.asarray(slope, np.float32).ravel(), [-1500, 1500], rtol=2**-8)
    for total in (value, loss(weight)):
        assert total.dtype == jnp.float32
        np.testing.assert_allclose(total, 3000 * np.log(2), rtol=1e-6)


def test_any_leading_shape_no_rows_and_no_gradient() -> None:
    hidden, weight = torch.randn(2, 5, 3), torch.randn(4, 3, requires_grad=True)
    y = torch.randint(0, 4, (2, 5))
    value = focal_loss.torch.linear_sparse_categorical_focal_loss(hidden, weight, y, 2, reduction="none")
    assert value.shape == (2, 5)
    with torch.no_grad():
        mean = focal_loss.torch.linear_sparse_categorical_focal_loss(hidden, weight, y, 2)
    torch.testing.assert_close(mean, value.mean().detach())
    empty = focal_loss.torch.linear_sparse_categorical_focal_loss(hidden[:0], weight, y[:0], 2)
    empty.backward()
    assert empty == 0
    assert weight.grad.eq(0).all()
    loss = focal_loss.jax.linear_sparse_categorical_focal_loss(
        jnp.asarray(hidden), jnp.asarray(weight.detach()), jnp.asarray(y), 2, reduction="none"
    )
    np.testing.assert_allclose(loss, value.detach(), rtol=1e-5)
    assert (
        focal_loss.jax.linear_sparse_categorical_focal_loss(jnp.zeros((0, 3)), jnp.zeros((4, 3)), jnp.zeros(0, int), 2)
        == 0
    )


def test_backward_twice_and_never_a_second_derivative() -> None:
    hidden, weight = (torch.tensor(a, requires_grad=True) for a in (HIDDEN, WEIGHT))
    loss = focal_loss.torch.linear_sparse_categorical_focal_loss(hidden, weight, torch.tensor(LABELS), 2)
    first = torch.autograd.grad(loss, (hidden, weight), retain_graph=True)
    second = torch.autograd.grad(loss, (hidden, weight), retain_graph=True)
    for a, b in zip(first, second, strict=True):
        torch.testing.assert_close(a, b)
    with pytest.raises(NotImplementedError, match="first derivatives"):
        torch.autograd.grad(loss, weight, create_graph=True)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # the compiler's own, where a graph goes on
def test_a_layer_in_mixed_precision_and_compiled() -> None:
    layer = torch.nn.Linear(FEATURES, CLASSES)
    hidden, y = torch.tensor(HIDDEN, dtype=torch.float32), torch.tensor(LABELS)

    def loss(hidden: torch.Tensor) -> torch.Tensor:
        return focal_loss.torch.linear_sparse_categorical_focal_loss(hidden, layer.weight, y, 2, bias=layer.bias)

    full = loss(hidden)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = loss(hidden)
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, full, rtol=2e-2, atol=0)
    mixed.backward()
    assert layer.weight.grad.dtype == torch.float32
    torch.testing.assert_close(torch.compile(loss)(hidden), full)


MEMORY = """
import sys, torch
from pathlib import Path
from focal_loss.torch import linear_sparse_categorical_focal_loss
def peak():
    status = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(s for s in status if s.startswith("VmHWM")).split()[1])
hidden, weight = torch.randn(8192, 64).requires_grad_(), torch.randn(8192, 64).requires_grad_()
y = torch.randint(0, 8192, (8192,))
options = {"gamma": 2, "label_smoothing": float(sys.argv[1])}
linear_sparse_categorical_focal_loss(hidden[:512], weight, y[:512], **options).backward()
hidden.grad = weight.grad = None
Path("/proc/self/clear_refs").write_text("5")
before = peak()
linear_sparse_categorical_focal_loss(hidden, weight, y, **options).backward()
print((peak() - before - hidden.nbytes - weight.nbytes) / (4 * 8192 * 8192))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_memory_of_torch(smoothing: float) -> None:
    done = subprocess.run([sys.executable, "-c", MEMORY, str(smoothing)], capture_output=True, text=True, check=True)
    # A chunk is 1/64 of the logits, of which the kernels need four arrays. The formula, which has one for each of its
    # operations, promises only that the logits are never in memory as a whole.
    assert float(done.stdout) < (1 / 16 if kernels.NATIVE else 1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_memory_of_jax(smoothing: float) -> None:
    rows = classes = 8192
    shapes = (jax.ShapeDtypeStruct((n, 64), jnp.float32) for n in (rows, classes))
    options = {"gamma": 2, "label_smoothing": smoothing}
    loss = lambda h, w, y: focal_loss.jax.linear_sparse_categorical_focal_loss(h, w, y, **options)  # noqa: E731
    step = jax.jit(jax.grad(loss, (0, 1)))
    compiled = step.lower(*shapes, jax.ShapeDtypeStruct((rows,), jnp.int32)).compile()
    assert compiled.memory_analysis().temp_size_in_bytes <= 4 * rows * classes / 16


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"hidden": np.zeros((5, 0))}, ValueError, "`hidden` must have an axis of features"),
    ({"weight": np.zeros((4, 2))}, ValueError, r"`weight` must have the shape \(K, 3\), got \(4, 2\)"),
    ({"bias": np.zeros(3)}, ValueError, r"`bias` must have the shape \(4,\), got \(3,\)"),
    ({"y_true": np.zeros((5, 1), int)}, ValueError, r"`y_true` of shape \(5, 1\) must have the shape \(5, 3\)"),
    ({"y_true": np.array([0, 1, 2, 3, 4])}, ValueError, r"class indices in \[0, 4\), got 4 at position \(4,\)"),
    ({"gamma": -1}, ValueError, "`gamma` must be a non-negative number, got -1"),
    ({"gamma": np.ones(3)}, ValueError, "`gamma` must be a number or have one entry per class"),
    ({"reduction": "max"}, ValueError, "`reduction` must be"),
]


@pytest.mark.parametrize(("given", "kind", "message"), BAD, ids=[message[:30] for _, _, message in BAD])
@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_bad_input(framework: str, given: dict[str, Any], kind: type[Exception], message: str) -> None:
    good = {"hidden": np.zeros((5, 3)), "weight": np.zeros((4, 3)), "y_true": np.zeros(5, int), "gamma": 2.0}
    tensor = (lambda a: torch.tensor(a)) if framework == "torch" else jnp.asarray
    arrays = {k: tensor(v) if isinstance(v, np.ndarray) and k != "gamma" else v for k, v in (good | given).items()}
    module = focal_loss.torch if framework == "torch" else focal_loss.jax
    with pytest.raises(kind, match=message):
        module.linear_sparse_categorical_focal_loss(**arrays)


def test_parameters_that_want_a_gradient_are_refused() -> None:
    gamma = torch.ones(4, requires_grad=True)
    with pytest.raises(ValueError, match="`gamma` must not require a gradient"):
        focal_loss.torch.linear_sparse_categorical_focal_loss(
            torch.zeros(2, 3), torch.zeros(4, 3), torch.zeros(2).long(), gamma
        )
    loss = lambda g: focal_loss.jax.linear_sparse_categorical_focal_loss(  # noqa: E731
        jnp.zeros((2, 3)), jnp.zeros((4, 3)), jnp.zeros(2, int), g
    )
    with pytest.raises(ValueError, match="`gamma` cannot be differentiated"):
        jax.grad(loss)(2.0)
