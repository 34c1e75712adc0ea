"""One of the processes of `test_torch_normalizer.py`: means over a group against those of one process.

Called with rank, number of processes and a file to meet by. Each process prints a line for each case that is wrong, and
the first one how many were tried.
"""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from cases import LOSS, LOSSES
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.debug import CommDebugMode
from torch.nn.parallel import DistributedDataParallel

import focal_loss.torch as ours
from focal_loss.torch.compat import fvcore, kornia, mmdet, monai, smp, timm, transformers

ROWS, CLASSES = 8, 3
# The rows of each process. Some have none, and in the last case nobody has.
SPLITS = {
    1: ([ROWS], [0]),
    2: ([1, 7], [0, ROWS], [0, 0]),
    4: ([1, 4, 0, 3], [0, 0, 0, 0]),
}
IGNORED = -1


class Case(NamedTuple):
    name: str
    mean: Callable[..., Tensor]  # (logits, labels, normalizer=, group=)
    y: Tensor
    counts: tuple[str, ...]
    ignored: bool = False  # whether there are labels to ignore, whose logits are NaN
    numbers: bool = True  # whether a number is a normalizer too


def logits() -> Tensor:
    return torch.randn(ROWS, CLASSES, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def labels() -> dict[str, dict[str, Tensor]]:
    """Labels by the layout of a loss and by their kind. The first row has no positive."""
    soft = torch.rand(ROWS, CLASSES, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    soft[0], soft[1, 0], soft[5, 2] = 0, 1, 1
    hard = (soft > 0.5).to(torch.uint8)
    index = torch.tensor([0, 2, 1, 1, 0, 2, 2, 0])
    some = torch.tensor([0, 1, 1, 0, 0, 0, 1, 1]).bool()
    binary = {"soft": soft, "hard": hard, "bool": hard.bool(), "ignored": torch.where(soft > 0.8, IGNORED, hard.long())}
    return {
        "elements": binary,
        "average": binary,
        "dense": {"soft": soft, "hard": hard},
        "sparse": {"indices": index.to(torch.uint8), "ignored": torch.where(some, IGNORED, index)},
    }


def of_loss(loss: Any, ignore: int | None) -> Callable[..., Tensor]:
    """The mean of a declared loss, with weights that differ."""
    given = dict(loss.options)
    name = loss.declared.options.weight_name
    if name:
        binary = loss.declared.layout in ("elements", "average")
        given[name] = 0.3 if binary else [1.0, 0.5, 2.5]
    if ignore is not None:
        given["ignore_class"] = ignore
    function = getattr(ours, loss.name)
    return lambda x, y, **how: function(y, x, from_logits=True, reduction="mean", **(given | how))


def linear(x: Tensor, y: Tensor, **how: Any) -> Tensor:
    weight = torch.linspace(-1, 1, 5 * CLASSES, dtype=torch.float64).reshape(5, CLASSES)
    given = {"class_weight": [1.0, 2.0, 3.0, 4.0, 5.0], "ignore_class": IGNORED}
    return ours.linear_sparse_categorical_focal_loss(x, weight, y, 2, **given, **how)


def cases() -> Iterator[Case]:
    every = labels()
    for loss in LOSSES:
        counts = ["valid"]
        counts += ["positives"] if loss.declared.layout != "sparse" else []
        counts += ["weight"] if loss.declared.options.weight_name else []
        for kind, y in every[loss.declared.layout].items():
            ignored = kind == "ignored"
            yield Case(f"{loss.name} {kind}", of_loss(loss, IGNORED if ignored else None), y, (*counts,), ignored)
    none = torch.zeros(ROWS, CLASSES, dtype=torch.bool)  # no positive anywhere: the bound of 1 comes after the sum
    yield Case("no positive", of_loss(LOSS["binary_focal_loss"], None), none, ("positives",), numbers=False)
    soft, index = every["elements"]["soft"], every["sparse"]["ignored"]
    all_three = ("valid", "positives", "weight")

    def sigmoid(x: Tensor, y: Tensor, **how: Any) -> Tensor:
        return ours.sigmoid_focal_loss(x, y, reduction="mean", **how)

    def torch_sigmoid(x: Tensor, y: Tensor, **how: Any) -> Tensor:
        return ours.SigmoidFocalLoss(pos_weight=[1.0, 2.0, 3.0], **how)(x, y)

    def torch_softmax(x: Tensor, y: Tensor, **how: Any) -> Tensor:
        return ours.FocalLoss(alpha=[1.0, 2.0, 3.0], ignore_index=IGNORED, label_smoothing=0.1, **how)(x, y)

    yield Case("sigmoid_focal_loss", sigmoid, soft, all_three)
    for kind in ("soft", "hard"):
        yield Case(f"SigmoidFocalLoss {kind}", torch_sigmoid, every["elements"][kind], all_three)
    yield Case("FocalLoss indices", torch_softmax, index, ("valid", "weight"), ignored=True)
    yield Case("FocalLoss probabilities", torch_softmax, soft, all_three)
    yield Case("linear", linear, index, ("valid", "weight"))
    yield from of_other_libraries(every)


def of_other_libraries(every: dict[str, dict[str, Tensor]]) -> Iterator[Case]:
    """The calls of other libraries that have a mean."""
    hard, index = every["elements"]["hard"].double(), every["sparse"]["indices"].long()
    made: dict[str, tuple[Callable[..., Any], Tensor]] = {
        "fvcore": (lambda **how: partial(fvcore.sigmoid_focal_loss, reduction="mean", **how), hard),
        "fvcore star": (lambda **how: partial(fvcore.sigmoid_focal_loss_star, reduction="mean", **how), hard),
        "kornia": (partial(kornia.FocalLoss, 0.3, reduction="mean"), index),
        "kornia binary": (partial(kornia.BinaryFocalLossWithLogits, 0.3, reduction="mean"), hard),
        "mmdet": (mmdet.FocalLoss, hard),
        "mmdet scores": (mmdet.QualityFocalLoss, hard),
        "monai": (partial(monai.FocalLoss, weight=[1.0, 2.0, 3.0]), hard),
        "monai softmax": (partial(monai.FocalLoss, use_softmax=True), hard),
        "smp": (partial(smp.FocalLoss, "multiclass", class_weights=[1.0, 2.0, 3.0]), index),
        "smp binary": (partial(smp.FocalLoss, "binary"), hard),
        "timm": (timm.AsymmetricLossMultiLabel, hard),
        "timm mean": (partial(timm.AsymmetricLossMultiLabel, reduction="mean"), hard),
        "timm single": (timm.AsymmetricLossSingleLabel, index),
    }
    for name, (make, y) in made.items():

        def mean(x: Tensor, y: Tensor, normalizer: Any = None, group: Any = None, make: Any = make) -> Tensor:
            return make(group=group)(x, y)

        yield Case(name, mean, y, (), numbers=False)

    def mmdet_factor(x: Tensor, y: Tensor, normalizer: Any = None, group: Any = None) -> Tensor:
        return mmdet.VarifocalLoss(group=group)(x, y, avg_factor=normalizer)

    def boxes(x: Tensor, y: Tensor, normalizer: Any = None, group: Any = None) -> Tensor:
        count = len(y) if group else max(len(y), 1)  # the bound of 1 comes after the sum
        return transformers.sigmoid_focal_loss(x, y, count if normalizer is None else normalizer, group=group)

    yield Case("mmdet avg_factor", mmdet_factor, hard, ())
    yield Case("transformers", boxes, hard, ())


def test_several_counts(ranks: Ranks) -> None:
    """A class of several labels is divided by the number of its own that are not ignored."""
    x, y = logits(), torch.where(labels()["elements"]["soft"] > 0.7, IGNORED, labels()["elements"]["hard"])
    here = ranks.part(SPLITS[ranks.size][0])
    make = partial(smp.FocalLoss, "multilabel", ignore_index=IGNORED)
    value, gradient = differentiated(lambda y, x: make()(x, y), x, y)
    own, part = differentiated(lambda y, x: make(group=True)(x, y), x[here], y[here])
    ranks.check(ranks.close(part / ranks.size, gradient[here]), "several counts", part, gradient[here])
    ranks.check(ranks.close(ranks.average(own), value), "several counts", own, value)


def masked(case: Case) -> Tensor:
    """Logits, which may be anything where the label is ignored."""
    x = logits()
    if case.ignored:
        x[case.y == IGNORED] = torch.nan
    return x


# ---------------------------------------------------------------------------------------------------------------
# A loss on parts of a batch
# ---------------------------------------------------------------------------------------------------------------


@contextmanager
def counted() -> Iterator[list[Any]]:
    """The calls of `all_reduce`."""
    calls: list[Any] = []
    original = dist.all_reduce

    def counting(*arguments: Any, **options: Any) -> Any:
        calls.append(options)
        return original(*arguments, **options)

    dist.all_reduce = counting
    try:
        yield calls
    finally:
        dist.all_reduce = original


def value_and_gradient(case: Case, x: Tensor, y: Tensor, **how: Any) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_()
    value = case.mean(x, y, **how)
    (gradient,) = torch.autograd.grad(value, x)
    return value.detach(), gradient


class Ranks:
    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size, self.tried = rank, size, 0

    def check(self, right: bool, *what: Any) -> None:
        self.tried += 1
        if not right:
            print("wrong:", self.rank, *what, flush=True)

    def part(self, split: list[int]) -> slice:
        begin = sum(split[: self.rank])
        return slice(begin, begin + split[self.rank])

    def average(self, value: Tensor) -> Tensor:
        value = value.clone()
        dist.all_reduce(value)
        return value / self.size

    def close(self, found: Tensor, expected: Tensor) -> bool:
        return torch.allclose(found, expected, rtol=1e-12, atol=1e-15) and bool(found.isfinite().all())


def normalizers(case: Case) -> Iterator[tuple[Any, Callable[[int], Any]]]:
    """Normalizers by the number of rows."""
    for name in (None, *case.counts):
        yield name, lambda rows, name=name: name
    if not case.numbers:
        return
    yield "number", lambda rows: 1.5 * rows
    yield "tensor", lambda rows: torch.tensor(3 * rows)


def test_parts_are_the_whole(ranks: Ranks) -> None:
    for case in cases():
        x = masked(case)
        for split in SPLITS[ranks.size]:
            here, rows = ranks.part(split), sum(split)
            for name, normalizer in normalizers(case):
                what = (case.name, name, split)
                whole = {"normalizer": normalizer(max(rows, 1))}
                with counted() as calls:
                    value, gradient = value_and_gradient(case, x[:rows], case.y[:rows], **whole)
                ranks.check(not calls, *what, "a collective without a group")
                with counted() as calls:
                    shared = {"normalizer": normalizer(split[ranks.rank]), "group": True}
                    own, part = value_and_gradient(case, x[here], case.y[here], **shared)
                ranks.check(calls == [{"group": None, "async_op": True}], *what, calls)
                ranks.check(ranks.close(part / ranks.size, gradient[here]), *what, part / ranks.size, gradient[here])
                ranks.check(ranks.close(ranks.average(own), value), *what, ranks.average(own), value)
        if case.ignored:
            nothing = torch.full_like(case.y, IGNORED)
            for name in (None, *case.counts):
                value, gradient = value_and_gradient(case, x * torch.nan, nothing, normalizer=name, group=True)
                ranks.check(bool(value == 0) and not gradient.any(), case.name, name, "all ignored", value, gradient)


def test_dtypes(ranks: Ranks) -> None:
    """float16 cannot hold a count of 65504 or more, float32 none beyond 2**24."""
    x = torch.zeros(300, 300, dtype=torch.float16, requires_grad=True)
    for y in (torch.ones_like(x), torch.ones_like(x, dtype=torch.bool)):
        for name in (None, "positives", "weight"):
            given = {"reduction": "mean", "normalizer": name, "group": True}
            value = ours.binary_focal_loss(y, x, 0, from_logits=True, **given)
            right = abs(value.item() - 0.6931472) < 1e-6 and value.dtype == torch.float32
            ranks.check(right, "float16", name, value)


def test_one_collective_in_all(ranks: Ranks) -> None:
    x, y = logits().requires_grad_(), labels()["elements"]["soft"]
    for group, expected in ((True, 1), (dist.group.WORLD, 1), (None, 0), (False, 0)):
        with CommDebugMode() as mode:
            given = {"reduction": "mean", "normalizer": "positives", "group": group}
            ours.binary_focal_loss(y, x, 2, from_logits=True, **given).backward()
        ranks.check(mode.get_total_counts() == expected, "collectives", group, mode.get_comm_counts())


def test_transformed(ranks: Ranks) -> None:
    """Compiled code and `torch.func.grad` reduce over the group; `vmap` is refused."""
    x, y = logits(), labels()["elements"]["soft"]

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return ours.quality_focal_loss(y, x, from_logits=True, reduction="mean", normalizer="positives", group=True)

    expected = torch.autograd.grad(loss(x.requires_grad_(), y), x)[0]
    found = torch.func.grad(loss)(x.detach(), y)
    ranks.check(ranks.close(found, expected), "torch.func", found, expected)
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    found = torch.autograd.grad(compiled(x, y), x)[0]
    ranks.check(ranks.close(found, expected), "compiled", found, expected)
    try:
        torch.vmap(loss)(x.detach(), y)
    except NotImplementedError as error:
        ranks.check("`group` must be None inside `torch.vmap`" in str(error), error)
    else:
        ranks.check(False, "vmap over a group")


def test_distributed_tensors(ranks: Ranks) -> None:
    """The sum of a DTensor is that of its mesh: a group may only hold processes of other meshes."""
    x, y = logits(), labels()["elements"]["ignored"]
    mesh = init_device_mesh("cpu", (ranks.size,), mesh_dim_names=("data",))
    own = dist.new_group([ranks.rank], use_local_synchronization=True)
    given: dict[str, Any] = {"from_logits": True, "reduction": "mean", "ignore_class": IGNORED}
    for name in ("valid", "positives", "weight", 4.0):
        loss = partial(ours.binary_focal_loss, gamma=2, normalizer=name, **given)
        expected = differentiated(loss, x, y)
        for placement in (Shard(0), Replicate()):
            placed = distribute_tensor(x, mesh, [placement]), distribute_tensor(y, mesh, [placement])
            for group in (None, own):
                found = differentiated(partial(loss, group=group), *placed)
                right = all(ranks.close(a.full_tensor(), b) for a, b in zip(found, expected, strict=True))
                ranks.check(right, "DTensor", name, placement, group, found)
    if ranks.size > 1:
        try:
            loss(*reversed(placed), group=True)
        except ValueError as error:
            ranks.check("`group` must have no other process of the mesh" in str(error), error)
        else:
            ranks.check(False, "a group and a mesh that overlap")


def differentiated(loss: Callable[..., Tensor], x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    x = x.detach().requires_grad_()
    value = loss(y, x)
    return value.detach(), torch.autograd.grad(value, x)[0]


# ---------------------------------------------------------------------------------------------------------------
# Training
# ---------------------------------------------------------------------------------------------------------------


class Model(torch.nn.Module):
    """Two layers, and one that only some batches use."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = torch.nn.Linear(4, 6), torch.nn.Linear(6, CLASSES)
        self.sometimes = torch.nn.Linear(4, CLASSES)
        self.double()

    def forward(self, x: Tensor, uses_all: bool = True) -> Tensor:
        out = self.second(torch.tanh(self.first(x)))
        return out + self.sometimes(x) if uses_all else out


def gradients(model: torch.nn.Module) -> list[Tensor]:
    found = [p.grad for p in model.parameters()]
    return [g.full_tensor() if isinstance(g, DTensor) else g for g in found if g is not None]


def wrapped(kind: str, size: int) -> torch.nn.Module:
    model = Model()
    if kind == "DDP":
        return DistributedDataParallel(model, find_unused_parameters=size > 1)
    shape = (2, 2) if kind == "HSDP" else (size,)
    mesh = init_device_mesh("cpu", shape, mesh_dim_names=("replicate", "shard")[-len(shape) :])
    for layer in model.children():
        fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def test_training(ranks: Ranks) -> None:
    """DDP and FSDP2 on parts of a batch have the gradient of one process with all of it, in one step or in two."""
    x = torch.randn(2 * ROWS, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    index = labels()["sparse"]["ignored"].repeat(2)
    given: dict[str, Any] = {"from_logits": True, "reduction": "mean", "ignore_class": IGNORED}
    split = SPLITS[ranks.size][0]
    kinds = ["DDP", "FSDP2"] + (["HSDP"] if ranks.size == 4 else [])
    for kind in kinds:
        # A layer that the first process lacks: that its gradient is 0 there is not a matter of the normalizer.
        uses_all = [kind != "DDP" or rank > 0 or ranks.size == 1 for rank in range(ranks.size)]
        halves = [slice(ROWS * k + ranks.part(split).start, ROWS * k + ranks.part(split).stop) for k in range(2)]
        whole, model = Model(), wrapped(kind, ranks.size)
        use = torch.cat([torch.full((rows,), uses) for rows, uses in zip(split, uses_all, strict=True)] * 2)
        out = whole(x, False) + torch.where(use[:, None], whole.sometimes(x), 0)
        ours.sparse_categorical_focal_loss(index, out, 2, **given).backward()
        # What this process has in both of its steps.
        share = sum(int((index[half] != IGNORED).sum()) for half in halves)
        for k, half in enumerate(halves):
            last = k == len(halves) - 1
            waits = model.no_sync() if kind == "DDP" and not last else nullcontext()
            if kind != "DDP":
                model.set_requires_gradient_sync(last)
            with waits:
                out = model(x[half], uses_all[ranks.rank])
                ours.sparse_categorical_focal_loss(
                    index[half], out, 2, **given, normalizer=share, group=True
                ).backward()
        found, expected = gradients(model), gradients(whole)
        right = len(found) == len(expected) and all(map(ranks.close, found, expected))
        ranks.check(right, kind, found, expected)


def test_copies(ranks: Ranks) -> None:
    module = copy.deepcopy(ours.BinaryFocalLoss(2, normalizer="positives", group=True))
    ranks.check(module.group is True and "group=True" in repr(module), repr(module))


def main(rank: int, size: int, file: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=size)
    ranks = Ranks(rank, size)
    for test in (
        test_parts_are_the_whole,
        test_several_counts,
        test_dtypes,
        test_one_collective_in_all,
        test_transformed,
        test_distributed_tensors,
        test_training,
        test_copies,
    ):
        test(ranks)
    dist.barrier()
    if rank == 0:
        print("tried", ranks.tried, flush=True)
    # Exit without closing the group: Gloo aborts a process whose peer left a moment before.
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
