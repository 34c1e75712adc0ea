"""The loss of a vocabulary over the ranks of a group: golden numbers, whole logits, extremes, collectives, errors."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from four_ranks import Group, Report, share
from torch import Tensor
from torch.distributed.tensor.debug import CommDebugMode

import focal_loss.torch as ours
from focal_loss._host import kernels
from focal_loss.torch import _cpu

GOLDEN = Path(__file__).parent / "golden"
INF = float("inf")


def counts(classes: int, size: int) -> list[int]:
    """Unequal numbers of classes: the last rank has those that the others leave, if any."""
    each = -(-classes // size)
    return [max(min(each, classes - rank * each), 0) for rank in range(size)]


def results(group: Group, z: Tensor, t: Tensor, upstream: Tensor, **options: Any) -> tuple[Tensor, Tensor, slice]:
    """The loss of this rank's logits, their gradient, and which classes they are."""
    partition = counts(z.shape[-1], group.size)
    begin = sum(partition[: group.rank])
    part = slice(begin, begin + partition[group.rank])
    local = z[..., part].clone().requires_grad_()
    loss = ours.vocab_parallel_sparse_categorical_focal_loss(
        local, t, group=group.group, partition=partition, **options
    )
    loss.backward(upstream.to(loss.dtype))
    assert local.grad is not None
    return loss.detach(), local.grad, part


def golden(group: Group, report: Report, dtype: torch.dtype) -> None:
    """The golden rows of the softmax, within the bound of one process."""
    rows = json.loads((GOLDEN / "golden.json").read_text())["softmax"]
    rows += [row for row in json.loads((GOLDEN / "extremes.json").read_text())["softmax_extremes"] if row["w"] == 1]
    limit = torch.finfo(dtype).max
    rows = [row for row in rows if row["gamma"] < limit and (dtype == torch.float64 or row.get("single", True))]
    keys = sorted({(len(row["v"]), row["w"]) for row in rows})
    worst = 0.0
    for classes, weight in keys:
        chosen = [row for row in rows if (len(row["v"]), row["w"]) == (classes, weight)]
        z, t = torch.tensor([row["v"] for row in chosen], dtype=dtype), torch.tensor([row["t"] for row in chosen])
        gamma = torch.tensor([[row["gamma"]] for row in chosen], dtype=dtype)
        loss, gradient, part = results(group, z, t, torch.ones(len(t)), gamma=gamma, class_weight=weight)
        value, slope = (
            torch.tensor([_floats(row[name]) for row in chosen], dtype=torch.float64) for name in ("value", "gradient")
        )
        distance = (z.amax(1) - z.amin(1)).double()
        # As in accuracy.py; of an exponent far beyond that of the smallest number only its size matters.
        bound = 8 + classes + 2 * distance.clamp(max=1e30) + 2 * (gamma.double()[:, 0] * distance).clamp(max=1e3)
        worst = max(worst, share(loss, value, bound, dtype), share(gradient, slope[:, part], bound[:, None], dtype))
    report.add(f"golden numbers, {dtype}, {group.size} ranks", worst)


def _floats(number: Any) -> Any:
    return [float(x) for x in number] if isinstance(number, list) else float(number)


EXTREMES = [
    [1e4, -1e4, 0.0, 1.0, 2.0],
    [-1e4, 1e4, 0.0, -1.0, 2.0],
    [80.0, 0.0, -1.0, 0.5, 0.0],  # 1 - p is e^-80
    [0.0, 0.0, 0.0, 0.0, 160.0],
    [5.0, -INF, -INF, -INF, -INF],
    [-INF, 5.0, 4.0, -INF, 3.0],
    [-INF, -INF, -INF, -INF, -INF],
    [INF, 0.0, 1.0, 2.0, 3.0],
    [0.0, INF, 1.0, INF, 3.0],
    [1e-45, -1e-45, 1e-40, 0.0, -0.0],
    [3e38, -3e38, 3e38, 0.0, 1.0],
    [float("nan"), 0.0, 1.0, 2.0, 3.0],
    [0.0, 1.0, 2.0, 3.0, float("nan")],
]


def extremes(group: Group, report: Report) -> None:
    """Logits far apart, infinite, subnormal and NaN: the numbers of one process, for each true class."""
    z = torch.tensor(EXTREMES).repeat_interleave(5, 0)
    t = torch.arange(5).repeat(len(EXTREMES))
    for gamma in (0, 0.5, 2.0):
        loss, gradient, part = results(group, z, t, torch.ones(len(t)), gamma=gamma)
        whole = z.clone().requires_grad_()
        exact = ours.sparse_categorical_focal_loss(t, whole, gamma, from_logits=True)
        exact.sum().backward()
        distance = (z.amax(1) - z.amin(1)).double().nan_to_num(0.0, 0.0, 0.0)
        bound = 13 + (2 + 2 * gamma) * distance.clamp(max=1e30)
        error = share(loss, exact.detach(), bound, torch.float32)
        error = max(error, share(gradient, whole.grad[:, part], bound[:, None], torch.float32))  # type: ignore[index]
        report.add(f"extreme logits, gamma {gamma}, {group.size} ranks", error)


def of_whole(group: Group, report: Report) -> None:
    """Every option, of few classes and of many, is that of the whole logits in float64."""
    generator = torch.Generator().manual_seed(0)
    options = list(itertools.product(("none", "mean", "sum"), (None, 3), (None, 0.1), (torch.float32,), (11,)))
    options += itertools.product(("none",), (3,), (None, 0.1), (torch.bfloat16,), (11, 230))
    options += itertools.product(("mean",), (None,), (None, 0.1), (torch.float32,), (230,))
    for reduction, ignore, smoothing, dtype, classes in options:
        z = (torch.randn(2, 3, classes, generator=generator) * 4).to(dtype)
        t = torch.randint(0, classes, (2, 3), generator=generator)
        t[0, 1] = 3
        weight = torch.rand(classes, generator=generator)
        upstream = torch.rand(2, 3, generator=generator) if reduction == "none" else torch.tensor(1.5)
        gammas = (0, 2, torch.rand(classes, generator=generator) * 3, torch.rand(2, 3, 1, generator=generator))
        worst = 0.0
        for gamma in gammas:
            more = {"class_weight": weight, "ignore_class": ignore, "label_smoothing": smoothing}
            more |= {"gamma": gamma, "reduction": reduction}
            loss, gradient, part = results(group, z, t, upstream, **more)
            whole = z.double().requires_grad_()
            exact = ours.sparse_categorical_focal_loss(t, whole, from_logits=True, **more)
            exact.backward(upstream.to(loss.dtype).double())
            assert whole.grad is not None
            slope = whole.grad[..., part]
            # A sum over examples or classes may cancel: its bound is relative to the size of its terms.
            size = whole.grad.abs().amax(-1, keepdim=True) if smoothing else None
            bound = 8 + classes + (2 + 2 * 3) * (z.amax() - z.amin()).double()
            kind = dtype if reduction == "none" else torch.float32
            worst = max(worst, share(loss, exact.detach(), bound, kind), share(gradient, slope, bound, dtype, size))
        name = f"{reduction}, ignore {ignore}, smoothing {smoothing}, {dtype}, {classes} classes"
        report.add(f"{name}, {group.size} ranks", worst)


def collectives(group: Group, report: Report) -> None:
    """How many there are, their bytes, and that the kernels compute the shard."""
    for smoothing, reduction in itertools.product((None, 0.1), ("none", "mean")):
        z, t = torch.randn(6, 4 * group.size)[:, :4].requires_grad_(), torch.randint(0, 4 * group.size, (6,))
        dist.broadcast(t, dist.get_global_rank(group.group, 0), group=group.group)

        def loss(z=z, t=t, reduction=reduction, smoothing=smoothing) -> Tensor:
            return ours.vocab_parallel_sparse_categorical_focal_loss(
                z, t, 2, group=group.group, label_smoothing=smoothing, reduction=reduction
            )

        with CommDebugMode() as forward:
            value = loss().sum()
        with CommDebugMode() as backward:
            value.backward()
        wanted = 0 if group.size == 1 else 2 if smoothing else 1
        right = forward.get_total_counts() == wanted and backward.get_total_counts() == 0
        with counted_kernels() as calls:
            loss().sum().backward()
        right &= smoothing is not None or kernels.NATIVE is None or calls == ["parts", "softmax", "softmax"]
        name = f"collectives, smoothing {smoothing}, {reduction}, {group.size} ranks"
        report.add(name, 0.0, f"forward {forward.get_total_counts()} backward {backward.get_total_counts()}", right)


class counted_kernels:  # noqa: N801
    """The names of the native kernels in the order of their calls."""

    def __enter__(self) -> list[str]:
        self.calls: list[str] = []
        self.originals = _cpu.softmax_parts, _cpu.softmax
        for name, original in zip(("parts", "softmax"), self.originals, strict=True):

            def call(*arguments: Any, name=name, original=original, **more: Any) -> Any:
                self.calls.append(name)
                return original(*arguments, **more)

            setattr(_cpu, original.__name__, call)
        return self.calls

    def __exit__(self, *_: object) -> None:
        _cpu.softmax_parts, _cpu.softmax = self.originals


def linear(group: Group, report: Report) -> None:
    """The layer and its loss in chunks: values and gradients of the whole layer in float64."""
    generator = torch.Generator().manual_seed(0)
    classes, width = 21, 8
    weight, bias = torch.randn(classes, width, generator=generator), torch.randn(classes, generator=generator)
    partition = counts(classes, group.size)
    part = slice(sum(partition[: group.rank]), sum(partition[: group.rank + 1]))
    per_class = torch.rand(classes, generator=generator)
    for reduction, smoothing, rows, dtype in itertools.product(
        ("none", "mean"), (None, 0.1), (300, 0), (torch.float32, torch.bfloat16)
    ):
        hidden = torch.randn(rows, 1, width, generator=generator).to(dtype)
        t = torch.randint(0, classes, (rows, 1), generator=generator)
        gamma = torch.rand(rows, 1, 1, generator=generator) if reduction == "none" else per_class
        options = {"gamma": gamma, "class_weight": per_class, "ignore_class": 3}
        options |= {"label_smoothing": smoothing, "reduction": reduction}
        given = [hidden.clone(), weight[part].to(dtype), bias[part].to(dtype)]
        given = [x.requires_grad_() for x in given]
        loss = ours.vocab_parallel_linear_sparse_categorical_focal_loss(
            *given[:2], t, group=group.group, partition=partition, bias_local=given[2], **options
        )
        loss.sum().backward()
        exact = [x.to(dtype).double().requires_grad_() for x in (hidden, weight, bias)]
        whole = ours.linear_sparse_categorical_focal_loss(*exact[:2], t, bias=exact[2], **options)
        whole.sum().backward()
        summed = given[0].grad.clone()  # type: ignore[union-attr]
        dist.all_reduce(summed, group=group.group)
        found = [loss.detach(), summed, given[1].grad, given[2].grad]
        wanted = [whole.detach(), exact[0].grad, exact[1].grad[part], exact[2].grad[part]]  # type: ignore[index]
        # Logits in bfloat16 are rounded before the loss. Sums over rows or classes are relative to the largest.
        bound = torch.tensor(2000.0 if dtype == torch.float32 else 2.0**16 * 4)
        error = 0.0
        for a, b in zip(found, wanted, strict=True):
            size = b.abs().max().expand(b.shape) if b.numel() else b  # type: ignore[union-attr]
            error = max(error, share(a, b, bound, torch.float32, size))  # type: ignore[arg-type]
        report.add(f"linear, {reduction}, smoothing {smoothing}, {rows} rows, {dtype}, {group.size} ranks", error)
        with CommDebugMode() as forward:
            value = ours.vocab_parallel_linear_sparse_categorical_focal_loss(
                *given[:2], t, group=group.group, partition=partition, bias_local=given[2], **options
            ).sum()
        with CommDebugMode() as backward:
            value.backward()
        few = 0 if group.size == 1 else 2 if smoothing else 1
        sent = forward.get_total_counts(), backward.get_total_counts()
        name = f"linear collectives, {reduction}, smoothing {smoothing}, {rows} rows, {group.size} ranks"
        report.add(name, 0.0, f"forward {sent[0]} backward {sent[1]}", sent == (few, 0))


def refused(group: Group) -> Iterator[tuple[dict[str, Any], type[Exception], str]]:
    """Arguments, and the error of every rank."""
    size, yes = group.size, {"y_pred_local": torch.zeros(2, 3), "y_true": torch.tensor([0, 1]), "gamma": 2}
    yes |= {"group": group.group}
    yield yes | {"y_true": torch.tensor([0, 3 * size])}, ValueError, rf"class indices in \[0, {3 * size}\)"
    yield yes | {"y_true": torch.tensor([0, 1, 2])}, ValueError, "without its class axis"
    yield yes | {"class_weight": [1.0] * (3 * size + 1)}, ValueError, "`class_weight`"
    yield yes | {"gamma": torch.ones(3 * size, requires_grad=True)}, ValueError, "must not require a gradient"
    yield yes | {"partition": [3] * size + [1]}, ValueError, "for each of the"
    yield yes | {"partition": [4] * size}, ValueError, "3 for rank"
    yield yes | {"partition": 3}, TypeError, "`partition` must be a sequence of int, got int"
    yield yes | {"y_pred_local": torch.zeros(2, 3).long()}, TypeError, "must be a floating tensor"
    yield yes | {"group": None}, TypeError, "`group` must be a process group"
    if size > 1:
        unequal = torch.zeros(2, 3 if group.rank else 2)
        yield yes | {"y_pred_local": unequal}, ValueError, "as many classes on each rank, got.*pass `partition`"


def errors(group: Group, report: Report) -> None:
    import re

    right = True
    for arguments, kind, message in refused(group):
        try:
            ours.vocab_parallel_sparse_categorical_focal_loss(**arguments)
        except kind as error:
            right &= re.search(message, str(error)) is not None
        else:
            right = False
    z = torch.randn(2, 3, requires_grad=True)
    loss = ours.vocab_parallel_sparse_categorical_focal_loss(z, torch.tensor([0, 1]), 2, group=group.group)
    try:
        torch.autograd.grad(loss.sum(), z, create_graph=True)
    except NotImplementedError:
        pass
    else:
        right = False
    report.add(f"errors, {group.size} ranks", 0.0, right=right)


def check(groups: list[Group], report: Report) -> None:
    for group in groups:
        for dtype in (torch.float32, torch.float64):
            golden(group, report, dtype)
        extremes(group, report)
        of_whole(group, report)
        collectives(group, report)
        linear(group, report)
        errors(group, report)
