"""`FocalLoss` and `SigmoidFocalLoss`: against torch's own losses at gamma 0, against the functions here elsewhere."""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import BCEWithLogitsLoss, CrossEntropyLoss

import focal_loss.torch as ours
from focal_loss.torch import FocalLoss, SigmoidFocalLoss

REDUCTIONS = ("none", "mean", "sum")
SHAPES = [(5, 4), (2, 4, 3), (2, 3, 2, 2), (4,), (3, 1)]
each_reduction = pytest.mark.parametrize("reduction", REDUCTIONS)


def logits(shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(len(shape))
    return (3 * torch.randn(shape, generator=generator, dtype=torch.float64)).to(dtype)


def indices(shape: tuple[int, ...], ignored: int | None = None) -> Tensor:
    """Class indices for logits of this shape, the first of them the one that is ignored."""
    axis = min(len(shape) - 1, 1)
    index = torch.arange(max(int(np.prod(shape)) // shape[axis], 1)) % shape[axis]
    if ignored is not None:
        index[0] = ignored
    return index.reshape(shape[:axis] + shape[axis + 1 :])


def probabilities(shape: tuple[int, ...]) -> Tensor:
    return torch.softmax(logits(shape).flip(0), min(len(shape) - 1, 1))


def with_gradients(loss: Callable[..., Tensor], x: Tensor, *others: Tensor) -> list[Tensor]:
    """The value, its gradient, and the gradient of the gradient's sum of squares."""
    x = x.clone().requires_grad_()
    value = loss(x, *others)
    (first,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad((first**2).sum(), x)
    return [value.detach(), first.detach(), second]


def assert_same(found: list[Tensor], expected: list[Tensor], rtol: float = 1e-11, atol: float = 1e-13) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=rtol, atol=atol)


# ---------------------------------------------------------------------------------------------------------------
# Without gamma: torch's own losses
# ---------------------------------------------------------------------------------------------------------------


@each_reduction
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_cross_entropy(shape: tuple[int, ...], smoothing: float, reduction: str) -> None:
    x, options = logits(shape), {"reduction": reduction, "label_smoothing": smoothing}
    for target in (indices(shape), indices(shape, -100), probabilities(shape)):
        if (target == -100).all() and reduction == "mean":  # 0 here, NaN in torch
            continue
        expected = with_gradients(CrossEntropyLoss(**options), x, target)
        assert_same(with_gradients(FocalLoss(gamma=0, **options), x, target), expected)
        low, target = x.float(), target.float() if target.is_floating_point() else target
        found, expected = (f(**options)(low, target) for f in (lambda **o: FocalLoss(gamma=0, **o), CrossEntropyLoss))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("ignored", [-100, 3, 255, -1])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@each_reduction
def test_ignored_indices(reduction: str, smoothing: float, ignored: int) -> None:
    options: dict[str, Any] = {"ignore_index": ignored, "reduction": reduction, "label_smoothing": smoothing}
    x, target = logits((5, 4, 3)), indices((5, 4, 3), ignored)
    expected = with_gradients(CrossEntropyLoss(**options), x, target)
    assert_same(with_gradients(FocalLoss(gamma=0, **options), x, target), expected)
    if ignored == 255:
        narrow = FocalLoss(gamma=0, **options)(x, target.to(torch.uint8))
        torch.testing.assert_close(narrow, expected[0])


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_nothing_to_count(smoothing: float) -> None:
    """A mean of no examples is 0 with a gradient of zeros; an ignored example may hold anything."""
    loss = FocalLoss(label_smoothing=smoothing)
    for shape in ((3, 4), (0, 4)):
        x = logits(shape).requires_grad_()
        value = loss(x, torch.full(shape[:1], -100))
        assert value == 0
        (gradient,) = torch.autograd.grad(value, x)
        assert torch.equal(gradient, torch.zeros(shape, dtype=torch.float64))
    x = logits((3, 4))
    x[1] = torch.tensor([np.nan, np.inf, -np.inf, 1e300])
    target = torch.tensor([0, -100, 3])
    expected = with_gradients(loss, x[[0, 2]], target[[0, 2]])
    value, first, second = with_gradients(loss, x, target)
    assert_same([value, first[[0, 2]], second[[0, 2]]], expected)
    assert not first[1].any()


@each_reduction
@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize("shape", [(5, 3), (2, 4, 3), (3,), ()], ids=str)
def test_binary_cross_entropy(shape: tuple[int, ...], weighed: bool, reduction: str) -> None:
    x, soft = logits(shape), torch.sigmoid(logits(shape).flip(-1) if shape else logits(shape))
    weight = torch.tensor([0.5, 2.0, 3.0] if shape else 2.5, dtype=torch.float64) if weighed else None
    options: dict[str, Any] = {"pos_weight": weight, "reduction": reduction}
    for target in (soft, soft.round(), soft.clone().fill_(1)):
        expected = with_gradients(BCEWithLogitsLoss(**options), x, target)
        found = with_gradients(SigmoidFocalLoss(alpha=None, gamma=0, **options), x, target)
        assert_same(found, expected)


def test_the_weight_of_positives_at_the_ends_of_the_numbers() -> None:
    """Labels next to 0 and 1, and logits beyond those whose exponential is a number."""
    y = torch.tensor([0.0, 1e-38, 1e-7, 0.5, 1 - 2.0**-24, 1.0])[:, None]
    z = torch.tensor([-np.inf, -3e38, -200.0, -20.0, 0.0, 20.0, 200.0, 3e38, np.inf])
    x, labels = (a.contiguous() for a in torch.broadcast_tensors(z, y))
    x.requires_grad_()
    value = SigmoidFocalLoss(alpha=None, gamma=0, pos_weight=2.0, reduction="none")(x, labels)
    (gradient,) = torch.autograd.grad(value.sum(), x)
    wide, exact = x.detach().double(), labels.double()
    p, q = torch.sigmoid(wide), torch.sigmoid(-wide)
    slope = -2 * exact * q + (1 - exact) * p
    assert not value.isnan().any()
    torch.testing.assert_close(gradient.double(), slope, rtol=2e-6, atol=1e-30)
    inside = wide.abs() < 1e30
    both = torch.nn.functional.softplus
    expected = 2 * exact * both(-wide) + (1 - exact) * both(wide)
    torch.testing.assert_close(value.double()[inside], expected[inside], rtol=2e-6, atol=1e-37)


# ---------------------------------------------------------------------------------------------------------------
# With gamma: the functions here
# ---------------------------------------------------------------------------------------------------------------

ALPHA = [0.25, 1.0, 2.0, 0.5]


@each_reduction
@pytest.mark.parametrize("alpha", [None, 0.25, ALPHA, torch.tensor(ALPHA)], ids=["none", "number", "list", "tensor"])
@pytest.mark.parametrize("gamma", [2.0, 0.5, [0.0, 1.0, 2.0, 5.0]], ids=str)
def test_focal_loss(gamma: Any, alpha: Any, reduction: str) -> None:
    x, target, soft = logits((2, 4, 3)), indices((2, 4, 3), -100), probabilities((2, 4, 3))
    loss = FocalLoss(gamma=gamma, alpha=alpha, reduction=reduction)
    options: dict[str, Any] = {
        "gamma": gamma, "class_weight": alpha, "from_logits": True, "axis": 1, "reduction": reduction,
    }  # fmt: skip

    def sparse(x: Tensor, y: Tensor) -> Tensor:
        return ours.sparse_categorical_focal_loss(y, x, ignore_class=-100, **options)

    assert_same(with_gradients(loss, x, target), with_gradients(sparse, x, target))
    for smoothing in (0.0, 0.2):
        loss.label_smoothing = smoothing

        def dense(x: Tensor, y: Tensor, smoothing: float = smoothing) -> Tensor:
            return ours.categorical_focal_loss(y, x, label_smoothing=smoothing, **options)

        assert_same(with_gradients(loss, x, soft), with_gradients(dense, x, soft))
    index = indices((2, 4, 3))
    one_hot = torch.nn.functional.one_hot(index, 4).movedim(-1, 1).double()
    assert_same(with_gradients(loss, x, index), with_gradients(dense, x, one_hot))


def assert_rounded_once(found: Tensor, exact: Tensor, dtype: torch.dtype, reduction: str) -> None:
    """Losses of half precision are within half a step of it, means and sums within a few of float32."""
    assert found.dtype == (dtype if reduction == "none" else torch.float32)
    eps, steps = torch.finfo(found.dtype).eps, 0.501 if reduction == "none" else 32
    smallest = torch.finfo(dtype).smallest_normal * eps if reduction == "none" else 0.0
    torch.testing.assert_close(found.double(), exact, rtol=steps * eps, atol=0.501 * smallest)


@each_reduction
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision(dtype: torch.dtype, reduction: str) -> None:
    """Rounded once: a mean or a sum is float32, and smoothed losses are added before they are rounded."""
    x = logits((64, 8), dtype)
    for target in (indices((64, 8)), indices((64, 8), -100), probabilities((64, 8))):
        for smoothing in (0.0, 0.1):
            loss = FocalLoss(reduction=reduction, label_smoothing=smoothing)
            assert_rounded_once(loss(x, target), loss(x.double(), target), dtype, reduction)
    for weight in (None, 2.0):
        loss = SigmoidFocalLoss(pos_weight=weight, reduction=reduction)
        y = torch.sigmoid(logits((64, 8)).flip(0)).to(dtype)
        assert_rounded_once(loss(x, y), loss(x.double(), y.double()), dtype, reduction)


@each_reduction
def test_autocast_gives_what_torch_gives(reduction: str) -> None:
    x, target, y = logits((5, 4), torch.bfloat16), indices((5, 4)), torch.eye(5)[:, :4]
    options: dict[str, Any] = {"reduction": reduction}
    pairs = [
        (FocalLoss(gamma=0, **options), CrossEntropyLoss(**options), target),
        (FocalLoss(gamma=0, label_smoothing=0.1, **options), CrossEntropyLoss(label_smoothing=0.1, **options), target),
        (SigmoidFocalLoss(gamma=0, alpha=None, **options), BCEWithLogitsLoss(**options), y),
        (
            SigmoidFocalLoss(gamma=0, alpha=None, pos_weight=2.0, **options),
            BCEWithLogitsLoss(pos_weight=torch.tensor(2.0), **options),
            0.25 + y / 2,
        ),
    ]
    with torch.autocast("cpu", torch.bfloat16):
        for own, theirs, labels in pairs:
            found, expected = own(x, labels), theirs(x.float(), labels)
            assert found.dtype == torch.float32
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


# Alpha off is `alpha=-1` of torchvision's function.
@each_reduction
@pytest.mark.parametrize("alpha", [None, 0.25, 1.0])
def test_sigmoid_focal_loss(alpha: float | None, reduction: str) -> None:
    x, soft = logits((5, 3)), torch.sigmoid(logits((5, 3)).flip(0))
    weight = torch.tensor([0.5, 2.0, 3.0], dtype=torch.float64)
    for gamma in (2.0, 0.5):
        for target in (soft, soft.round(), soft.round().long(), soft > 0.5):
            plain = SigmoidFocalLoss(alpha=alpha, gamma=gamma, reduction=reduction)
            expected = with_gradients(
                lambda x, y: ours.sigmoid_focal_loss(x, y, -1 if alpha is None else alpha, gamma, reduction),  # noqa: B023
                x,
                target,
            )
            assert_same(with_gradients(plain, x, target), expected)

            def by_hand(x: Tensor, y: Tensor) -> Tensor:
                y = y.double()
                p = torch.sigmoid(x)
                entropy = torch.nn.functional.binary_cross_entropy_with_logits(
                    x, y, pos_weight=weight, reduction="none"
                )
                value = entropy * (1 - (y * p + (1 - y) * (1 - p))) ** gamma  # noqa: B023
                value = value if alpha is None else value * (alpha * y + (1 - alpha) * (1 - y))
                return value if reduction == "none" else getattr(value, reduction)()

            weighed = SigmoidFocalLoss(alpha=alpha, gamma=gamma, pos_weight=weight, reduction=reduction)
            assert_same(with_gradients(weighed, x, target), with_gradients(by_hand, x, target), rtol=1e-9)


def test_gradients_in_labels_and_parameters() -> None:
    x, y = logits((3, 4)), torch.sigmoid(logits((3, 4)).flip(0)).requires_grad_()
    gamma, weight = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (2.0, 3.0))

    def sigmoid(x: Tensor, y: Tensor, gamma: Tensor, weight: Tensor) -> Tensor:
        loss = SigmoidFocalLoss()
        loss.gamma, loss.pos_weight = gamma, weight
        return loss(x, y)

    assert torch.autograd.gradcheck(sigmoid, (x.requires_grad_(), y, gamma, weight))
    alpha = torch.tensor(ALPHA, dtype=torch.float64, requires_grad=True)

    def smoothed(x: Tensor, gamma: Tensor, alpha: Tensor) -> Tensor:
        loss = FocalLoss(label_smoothing=0.25)
        loss.gamma, loss.alpha = gamma, alpha
        return loss(x, indices((3, 4), -100))

    assert torch.autograd.gradcheck(smoothed, (x, gamma, alpha))


# ---------------------------------------------------------------------------------------------------------------
# Modules
# ---------------------------------------------------------------------------------------------------------------

KINDS: dict[str, tuple[Callable[[], torch.nn.Module], str, Tensor]] = {
    "indices": (lambda: FocalLoss(alpha=[0.1, 1e5, 1e-9, 1]), "alpha", indices((5, 4), -100)),
    "smoothed": (
        lambda: FocalLoss(alpha=[0.1, 1e5, 1e-9, 1], label_smoothing=0.1, reduction="sum"), "alpha", indices((5, 4), 1),
    ),
    "probabilities": (lambda: FocalLoss(alpha=[0.1, 1e5, 1e-9, 1]), "alpha", probabilities((5, 4))),
    "sigmoid": (lambda: SigmoidFocalLoss(pos_weight=[0.1, 1e5, 1e-9, 1]), "pos_weight", probabilities((5, 4))),
}  # fmt: skip
each_kind = pytest.mark.parametrize(("make", "weight", "target"), KINDS.values(), ids=KINDS)


@each_kind
def test_saved_copied_moved(make: Callable[[], torch.nn.Module], weight: str, target: Tensor) -> None:
    x, module = logits((5, 4)), make()
    expected = module(x, target)
    assert list(module.state_dict()) == [weight]
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    other = make()
    setattr(other, weight, torch.zeros(4))
    other.load_state_dict(module.state_dict())
    for again in (torch.load(file, weights_only=False), copy.deepcopy(module), other, make().half(), make().to("cpu")):
        assert torch.equal(again(x, target), expected)
        assert getattr(again, weight).dtype == torch.float32
    with torch.device("meta"):
        meta = make()
    assert meta(x.to("meta"), target.to("meta")).is_meta


@each_kind
def test_compiled(make: Callable[[], torch.nn.Module], weight: str, target: Tensor) -> None:
    x, module = logits((5, 4)), make()
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    values = [f.clone() for f in (x, x)]
    results = []
    for function, given in zip((module, compiled), values, strict=True):
        value = function(given.requires_grad_(), target)
        value.backward()
        results.append([value.detach(), given.grad])
    assert_same(*results)


def test_what_a_module_prints() -> None:
    assert repr(FocalLoss(alpha=[1, 2])) == (
        "FocalLoss(reduction='mean', gamma=2.0, ignore_index=-100, label_smoothing=0.0, alpha=[1.0, 2.0])"
    )
    assert repr(SigmoidFocalLoss()) == "SigmoidFocalLoss(reduction='mean', alpha=0.25, gamma=2.0, pos_weight=None)"


X, INDEX, SOFT = logits((5, 4)), indices((5, 4)), probabilities((5, 4))
ORDER = r"the order of the arguments is \(input, target\)"
BAD: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: FocalLoss()(INDEX, X), TypeError, rf"`input` must be a floating tensor .* torch\.int64; {ORDER}"),
    (lambda: FocalLoss()(INDEX, INDEX), TypeError, r"got torch\.int64; call `input\.float\(\)`"),
    (lambda: FocalLoss()(SOFT, X.clone().requires_grad_()), TypeError, f"only `target` has a gradient; {ORDER}"),
    (lambda: FocalLoss()(SOFT, X), ValueError, r"`target` must hold labels in \[0, 1\]"),
    (lambda: FocalLoss()(X, INDEX.float()), TypeError, r"class indices .*got torch\.float32; call `target\.long\(\)`"),
    (lambda: FocalLoss()(X, INDEX > 0), TypeError, r"class indices must be of integers, got torch\.bool"),
    (lambda: FocalLoss()(X, SOFT.long()), TypeError, r"`target` of class probabilities must be floating.*\(5,\)"),
    (lambda: FocalLoss()(X, INDEX + 1), ValueError, r"`target` must hold class indices in \[0, 4\), got 4 at"),
    (lambda: FocalLoss(label_smoothing=0.1)(X, INDEX + 1), ValueError, r"`target` must hold class indices in \[0, 4\)"),
    (lambda: FocalLoss()(X, INDEX[:, None]), ValueError, r"`target` of shape \(5, 1\) must hold class indices of"),
    (lambda: FocalLoss()(X, INDEX[:3]), ValueError, r"`target` of shape \(3,\) must hold class indices of shape \(5,"),
    (lambda: FocalLoss()(torch.tensor(1.0), INDEX), ValueError, "`input` must have a class axis"),
    (lambda: FocalLoss(alpha=[1, 2])(X, INDEX), ValueError, r"`alpha` must be a number or have one entry per class"),
    (lambda: FocalLoss(ignore_index=3)(X, SOFT), ValueError, "`ignore_index` must be negative beside probabilities"),
    (lambda: FocalLoss()(X, torch.full((5, 4), 3.0)), ValueError, "; class indices have no class axis"),
    (lambda: FocalLoss()(X.to(torch.complex64), INDEX), TypeError, "`input` must be an array of real numbers"),
    (lambda: FocalLoss(gamma=-1), ValueError, "`gamma` must be a non-negative number, got -1"),
    (lambda: FocalLoss(alpha=-1), ValueError, "`alpha` must be a non-negative number, got -1"),
    (lambda: FocalLoss(label_smoothing=2), ValueError, r"`label_smoothing` must be a number in \[0, 1\]"),
    (lambda: FocalLoss(ignore_index=0.5), TypeError, "`ignore_index` must be an integer, got 0.5"),
    (lambda: FocalLoss(reduction="avg"), ValueError, "`reduction` must be"),
    (lambda: FocalLoss(weight=[1, 2]), TypeError, "`FocalLoss` has no `weight`; pass `alpha`"),
    (lambda: FocalLoss(ignore_class=1), TypeError, "`FocalLoss` has no `ignore_class`; pass `ignore_index`"),
    (lambda: FocalLoss(2), TypeError, "positional argument"),
    (lambda: SigmoidFocalLoss()(INDEX, X), TypeError, ORDER),
    (lambda: SigmoidFocalLoss()(X, SOFT[:, :1]), ValueError, r"`target` of shape \(5, 1\) must have the shape"),
    (lambda: SigmoidFocalLoss()(X[:, :1], INDEX), ValueError, r"of `input`; pass `target\.unsqueeze\(1\)`"),
    (lambda: SigmoidFocalLoss()(X[:, 0], SOFT[:, :1]), ValueError, r"of `input`; pass `input\.unsqueeze\(1\)`"),
    (lambda: SigmoidFocalLoss()(X, 255 * SOFT), ValueError, r"`target` must hold labels in \[0, 1\]"),
    (lambda: SigmoidFocalLoss(pos_weight=[1, 2])(X, SOFT), ValueError, r"`pos_weight` of shape \(2,\) and `input` of"),
    (lambda: SigmoidFocalLoss(alpha=-1), ValueError, r"`alpha` must be a number in \[0, 1\], got -1; pass None"),
    (lambda: SigmoidFocalLoss(alpha=1.5), ValueError, r"`alpha` must be a number in \[0, 1\], got 1.5"),
    (lambda: SigmoidFocalLoss(pos_weight=-1), ValueError, "`pos_weight` must be a non-negative number, got -1"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_bad_input(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_nothing_warns() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FocalLoss(label_smoothing=0.1)(X, INDEX)
        SigmoidFocalLoss(pos_weight=[1, 2, 3, 4])(X, SOFT)
