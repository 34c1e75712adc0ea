"""One of the processes of `test_torch_sharding.py`: losses of DTensors against those of the whole tensors.

Called with rank, number of processes and a file to meet by; the first prints a line for each case that is wrong.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.distributed as dist
from cases import FRAMEWORK, OWN_FORM
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Placement, Replicate, Shard, distribute_tensor

import focal_loss.torch as ours

LOGITS: dict[str, Any] = {"from_logits": True}
WEIGHTS = [1.0, 2.0, 3.0, 4.0]
LOSSES: dict[str, Callable[..., Tensor]] = {
    "binary": lambda x, y, t: ours.binary_focal_loss(y, x, 2, pos_weight=WEIGHTS, **LOGITS),
    "binary of probabilities": lambda x, y, t: ours.binary_focal_loss(y, x.sigmoid(), 2),
    "p_t_loss": lambda x, y, t: ours.binary_focal_crossentropy(y, x, True, **LOGITS),
    "sigmoid": lambda x, y, t: ours.sigmoid_focal_loss(x, y, reduction="sum"),
    "dense": lambda x, y, t: ours.categorical_focal_loss(y, x, 2, class_weight=torch.tensor(WEIGHTS), **LOGITS),
    "dense mean": lambda x, y, t: ours.categorical_focal_crossentropy(y, x, reduction="mean", **LOGITS),
    "sparse": lambda x, y, t: ours.sparse_categorical_focal_loss(
        t, x, WEIGHTS, class_weight=WEIGHTS, ignore_class=1, reduction="mean", **LOGITS
    ),
    "sparse of probabilities": lambda x, y, t: ours.sparse_categorical_focal_crossentropy(t, x.softmax(1)),
    **{loss.name: lambda x, y, t, loss=loss: loss(FRAMEWORK["torch"], y, x) for loss in OWN_FORM},
}
WHOLE, ROWS, COLUMNS, SUMMANDS = Replicate(), Shard(0), Shard(1), Partial()
# Placements of logits, dense labels and class indices. Labels with None are plain tensors.
OF_LOSSES = [
    (WHOLE, WHOLE, WHOLE),
    (ROWS, ROWS, ROWS),
    (COLUMNS, COLUMNS, WHOLE),
    (SUMMANDS, WHOLE, WHOLE),
    (SUMMANDS, None, None),
]
# Placements of the input, weight and bias of a layer, and of class indices.
OF_LAYERS = [
    (hidden, weight, ROWS if weight == ROWS else WHOLE, indices)
    for hidden, weight in itertools.product((WHOLE, ROWS, COLUMNS, SUMMANDS), (WHOLE, ROWS, COLUMNS))
    for indices in ((None, ROWS) if hidden == ROWS else (WHOLE,))
]


def placed(x: Tensor, mesh: DeviceMesh, placement: Placement | None) -> Tensor:
    """A tensor with these placements, and with a gradient of its own if it is floating."""
    if isinstance(placement, Partial):
        x = DTensor.from_local(x / mesh.size(), mesh, [placement], run_check=False)
    elif placement is not None:
        x = distribute_tensor(x, mesh, [placement])
    return x.detach().requires_grad_(x.is_floating_point())


def whole(x: Tensor) -> Tensor:
    return x.full_tensor() if isinstance(x, DTensor) else x


def results(loss: Callable[..., Tensor], given: list[Tensor], differentiated: int) -> list[Tensor]:
    """The value and its gradients in the first tensors, gathered."""
    value = loss(*given)
    value.sum().backward()
    return [whole(value).detach(), *(whole(x.grad) for x in given[:differentiated])]  # type: ignore[arg-type]


def layer(hidden: Tensor, weight: Tensor, bias: Tensor, t: Tensor) -> Tensor:
    return ours.linear_sparse_categorical_focal_loss(hidden, weight, t, 2, bias=bias)


def cases() -> Iterator[tuple[str, Callable[..., Tensor], list[Tensor], list[Any], int]]:
    """Names, losses, tensors, their placements, and the number of tensors to differentiate in."""
    generator = torch.Generator().manual_seed(0)
    z, y = torch.randn(4, 4, generator=generator), torch.rand(4, 4, generator=generator)
    weight, bias = torch.randn(6, 4, generator=generator), torch.randn(6, generator=generator)
    t = torch.tensor([0, 2, 1, 3])
    for name, loss in LOSSES.items():
        for placements in OF_LOSSES:
            yield name, lambda x, y, t, loss=loss: loss(x, y.detach(), t), [z, y, t], list(placements), 1
        # Fewer rows than processes, some of which have none.
        yield name, lambda x, y, t, loss=loss: loss(x, y.detach(), t), [z[:1], y[:1], t[:1]], [ROWS, ROWS, ROWS], 1
    for placements in OF_LAYERS:
        yield "linear", layer, [z, weight, bias, t], list(placements), 3


def main(rank: int, size: int, file: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=size)
    mesh = init_device_mesh("cpu", (size,))
    tried = 0
    for name, loss, tensors, placements, differentiated in cases():
        expected = results(loss, [placed(x, mesh, None) for x in tensors], differentiated)
        given = [placed(x, mesh, placement) for x, placement in zip(tensors, placements, strict=True)]
        found = results(loss, given, differentiated)
        tried += 1
        right = all(torch.allclose(a, b, 1e-5, 1e-6) for a, b in zip(found, expected, strict=True))
        if rank == 0 and not right:
            print("wrong:", name, placements)
    dist.barrier()
    if rank == 0:
        print("tried", tried, flush=True)
    # Exit without closing the group: Gloo aborts a process whose peer left a moment before.
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
