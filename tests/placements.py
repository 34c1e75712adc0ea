"""Losses of DTensors: every loss on every placement, by the kernels, with the placements of its results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from four_ranks import Report, share
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Placement, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.debug import CommDebugMode
from torch.distributed.tensor.parallel import loss_parallel

import focal_loss.torch as ours
from focal_loss._host import kernels
from focal_loss.torch import _cpu

ROWS, CLASSES = 5, 6  # neither is a multiple of four: the last rank has none of either
WHOLE, S0, S1 = Replicate(), Shard(0), Shard(1)
WEIGHTS = [1.0, 2.0, 3.0, 4.0, 0.5, 0.25]
GAMMAS = [0.0, 1.0, 2.0, 0.5, 3.0, 1.7]


class Case(NamedTuple):
    """A loss of logits, labels of the same shape and class indices."""

    loss: Callable[..., Tensor]
    kind: str = "elements"  # or "classes": whether sharded classes exchange sums
    reduced: bool = False


def _of(name: str, reduction: str = "none", **options: Any) -> Case:
    def loss(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        return getattr(ours, name)(t if "sparse" in name else y, x, from_logits=True, reduction=reduction, **options)

    return Case(loss, "classes" if "categorical" in name else "elements", reduction != "none")


CASES = {
    "binary": _of("binary_focal_loss", gamma=2, pos_weight=WEIGHTS),
    "binary, gamma per class, sum": _of("binary_focal_loss", "sum", gamma=GAMMAS),
    "binary, smoothed, mean": _of("binary_focal_loss", "mean", gamma=1.5, label_smoothing=0.1),
    "mixed, mean": _of("binary_focal_crossentropy", "mean", apply_class_balancing=True),
    "asymmetric": _of("asymmetric_loss"),
    "asymmetric, mean": _of("asymmetric_loss", "mean"),
    "quality, sum": _of("quality_focal_loss", "sum"),
    "varifocal": _of("varifocal_loss"),
    "matchability, mean": _of("matchability_aware_loss", "mean"),
    "penalty-reduced": _of("penalty_reduced_focal_loss"),
    "poly-1, mean": _of("poly1_focal_loss", "mean"),
    "matching cost": Case(lambda x, y, t: ours.focal_matching_cost(x, from_logits=True)),
    "sigmoid, mean": Case(lambda x, y, t: ours.sigmoid_focal_loss(x, y, reduction="mean"), reduced=True),
    "dense": _of("categorical_focal_loss", gamma=2, class_weight=WEIGHTS),
    "dense, smoothed, mean": _of("categorical_focal_loss", "mean", gamma=GAMMAS, label_smoothing=0.1),
    "dense crossentropy, sum": _of("categorical_focal_crossentropy", "sum"),
    "sparse": _of("sparse_categorical_focal_loss", gamma=2, class_weight=WEIGHTS),
    "sparse, ignored, mean": _of("sparse_categorical_focal_loss", "mean", gamma=GAMMAS, ignore_class=1),
    "sparse, sum": _of("sparse_categorical_focal_loss", "sum", gamma=0.7),
    "sparse, smoothed, ignored, mean": _of(
        "sparse_categorical_focal_loss", "mean", gamma=2, ignore_class=1, label_smoothing=0.1, class_weight=WEIGHTS
    ),
    "FocalLoss": Case(lambda x, y, t: ours.FocalLoss(gamma=2, alpha=WEIGHTS)(x, t), "classes", True),
}


def placed(x: Tensor, mesh: DeviceMesh, placements: tuple[Placement, ...]) -> DTensor:
    """A tensor with these placements. One that is partial consists of unequal summands."""
    shards = [Replicate() if isinstance(p, Partial) else p for p in placements]
    result = distribute_tensor(x, mesh, shards)
    if shards != list(placements):
        local = result.to_local()
        for dim, p in enumerate(placements):
            size, rank = mesh.size(dim), mesh.get_local_rank(dim)
            local = local * (2 * (rank + 1) / (size * (size + 1))) if isinstance(p, Partial) else local
        result = DTensor.from_local(local, mesh, placements, run_check=False, shape=x.shape, stride=x.stride())
    return result.detach()


def of_examples(placements: tuple[Placement, ...], case: Case) -> tuple[Placement, ...]:
    """The placements of the result."""
    kept = [WHOLE if isinstance(p, Partial) or (case.kind == "classes" and p == S1) else p for p in placements]
    return tuple(Partial() if case.reduced and isinstance(p, Shard) else p for p in kept)


def check_case(name: str, case: Case, mesh: DeviceMesh, placements: tuple[Placement, ...], report: Report) -> None:
    generator = torch.Generator().manual_seed(1)
    z, y = torch.randn(ROWS, CLASSES, generator=generator) * 3, torch.rand(ROWS, CLASSES, generator=generator)
    t = torch.tensor([0, 1, 3, 5, 1])
    x = placed(z, mesh, placements).requires_grad_()
    whole = x.full_tensor().detach().double().requires_grad_()  # the sum of partial ones is rounded
    exact = case.loss(whole, y.double(), t)
    exact.sum().backward()
    _calls.clear()
    # The labels lie elsewhere than the logits; `sharded.py` has those that lie as the logits do.
    found = case.loss(x, placed(y, mesh, (WHOLE,) * mesh.ndim), placed(t, mesh, (S0,) * mesh.ndim))
    found.sum().backward()
    assert isinstance(found, DTensor)
    assert isinstance(x.grad, DTensor)
    wanted = tuple(WHOLE if isinstance(p, Partial) else p for p in placements)
    by_formula = case.kind == "classes" and S1 in placements and ("dense" in name or "smoothed" in name)
    right = found.placements == of_examples(placements, case) and x.grad.placements == wanted
    right &= bool(_calls) or by_formula or kernels.NATIVE is None
    assert whole.grad is not None
    bound = 8 + CLASSES + 8 * (z.max() - z.min()).double()
    # The terms of a soft label, or of several classes, cancel: their bound is relative to the largest gradient.
    one_term = name.strip() == "FocalLoss" or ("sparse" in name and "smoothed" not in name)
    size = None if one_term else whole.grad.abs().max().expand(z.shape)
    error = share(found.full_tensor().detach(), exact.detach(), bound, torch.float32)
    error = max(error, share(x.grad.full_tensor(), whole.grad, bound, torch.float32, size))
    report.add(f"{name}, {[str(p) for p in placements]}", error, f"-> {found.placements}", right)


_calls: list[str] = []


def _count_kernels() -> None:
    """Note each run of the native kernels in `_calls`."""
    for name in ("_run_binary", "_run_softmax"):
        original = getattr(_cpu, name)

        def run(*arguments: Any, name=name, original=original, **more: Any) -> Any:
            _calls.append(name)
            return original(*arguments, **more)

        setattr(_cpu, name, run)


def collectives(mesh: DeviceMesh, report: Report) -> None:
    """How many a loss of sharded classes or examples takes, forward and backward."""
    options: dict[str, Any] = {"gamma": 2, "from_logits": True}
    for placements, more, wanted in (
        ((S0, WHOLE), {"reduction": "none"}, 0),
        ((S0, WHOLE), {"reduction": "sum"}, 0),
        ((WHOLE, S1), {"reduction": "none"}, 1),
        ((S0, S1), {"reduction": "sum"}, 1),
        ((S0, S1), {"reduction": "mean", "ignore_class": 1}, 2),  # and one of the count
        ((S1, S1), {"reduction": "none"}, 2),  # one for each dimension of the mesh
        ((S0, S1), {"reduction": "sum", "label_smoothing": 0.1}, 2),
    ):
        x = placed(torch.randn(4, 8), mesh, placements).requires_grad_()
        t = placed(torch.tensor([0, 1, 2, 7]), mesh, tuple(S0 if p == S0 else WHOLE for p in placements))
        with CommDebugMode() as forward:
            loss = ours.sparse_categorical_focal_loss(t, x, **options, **more)
        with CommDebugMode() as backward:
            loss.backward(torch.ones_like(loss))
        counts = forward.get_total_counts(), backward.get_total_counts()
        name = f"collectives, {[str(p) for p in placements]}, {more}"
        report.add(name, 0.0, f"forward {counts[0]} backward {counts[1]}", counts == (wanted, 0))


def derivatives(mesh: DeviceMesh, report: Report) -> None:
    """Second derivatives in the logits, and the first ones in gamma and the weights."""
    for name in ("binary", "dense", "sparse", "sparse, smoothed, ignored, mean", "mixed, mean", "FocalLoss"):
        for placements in ((S0, S1), (S1, WHOLE), (S0, S0)):
            torch.manual_seed(2)
            z, y, t = torch.randn(ROWS, CLASSES), torch.rand(ROWS, CLASSES), torch.tensor([0, 1, 3, 5, 1])
            direction = torch.randn(ROWS, CLASSES)

            def product(x: Tensor, y: Tensor, t: Tensor, v: Tensor, name: str = name) -> Tensor:
                x = x.requires_grad_()
                (slope,) = torch.autograd.grad((CASES[name].loss(x, y, t) ** 2).sum(), x, create_graph=True)
                return torch.autograd.grad((slope * v).sum(), x)[0]

            exact = product(z.double(), y.double(), t, direction.double())
            given = [placed(a, mesh, placements) for a in (z, y)]
            indices = placed(t, mesh, tuple(S0 if p == S0 else WHOLE for p in placements))
            found = product(*given, indices, placed(direction, mesh, placements))
            size = exact.abs().max().expand(exact.shape)
            bound = torch.tensor(300.0)  # two derivatives of a square, each a sum over the classes
            error = share(found.full_tensor(), exact, bound, torch.float32, size)  # type: ignore[attr-defined]
            report.add(f"second derivative, {name}, {[str(p) for p in placements]}", error)
    for name, placements in (("binary", (S0, S1)), ("sparse", (S0, S1)), ("sparse", (S1, S0))):
        torch.manual_seed(3)
        z, y, t = torch.randn(ROWS, CLASSES), torch.rand(ROWS, CLASSES), torch.tensor([0, 1, 3, 5, 1])
        loss = ours.binary_focal_loss if name == "binary" else ours.sparse_categorical_focal_loss
        labels = y if name == "binary" else t
        gamma = torch.tensor(GAMMAS).requires_grad_()
        exact = torch.autograd.grad(loss(labels, z, gamma, from_logits=True).sum(), gamma)[0].double()
        shared = distribute_tensor(gamma.detach(), mesh).requires_grad_()
        where = placements if name == "binary" else tuple(S0 if p == S0 else WHOLE for p in placements)
        value = loss(placed(labels, mesh, where), placed(z, mesh, placements), shared, from_logits=True)
        found = torch.autograd.grad(value.sum(), shared)[0].full_tensor()  # type: ignore[attr-defined]
        bound = torch.tensor(200.0)  # twice the bound of either
        report.add(f"derivative in gamma, {name}, {placements}", share(found, exact, bound, torch.float32))


def check(report: Report) -> None:
    line, plane = init_device_mesh("cpu", (4,)), init_device_mesh("cpu", (2, 2), mesh_dim_names=("data", "tensor"))
    _count_kernels()
    partial = Partial()
    for name, case in CASES.items():
        for p in (WHOLE, S0, S1, partial):
            check_case(name, case, line, (p,), report)
        for both in ((S0, S1), (S1, S0), (S0, S0), (S1, S1), (S0, partial)):
            check_case(name, case, plane, both, report)
    with loss_parallel():
        for name in ("sparse", "sparse, ignored, mean", "FocalLoss"):
            check_case(f"{name} ", CASES[name], line, (S1,), report)
            check_case(f"{name} ", CASES[name], plane, (S0, S1), report)
    collectives(plane, report)
    derivatives(plane, report)
