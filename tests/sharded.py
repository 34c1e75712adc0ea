"""One of the processes of `test_torch_sharding.py`: losses of DTensors against those of the whole tensors.

Called with rank, number of processes and a file to meet by; the first prints a line for each case that is wrong.
"""

from __future__ import annotations

import sys

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

import focal_loss.torch as ours

LOGITS = {"from_logits": True}
WEIGHTS = [1.0, 2.0, 3.0, 4.0]
LOSSES = {
    "binary": lambda x, y, t: ours.binary_focal_loss(y, x, 2, pos_weight=WEIGHTS, **LOGITS),
    "binary of probabilities": lambda x, y, t: ours.binary_focal_loss(y, x.sigmoid(), 2),
    "mixed": lambda x, y, t: ours.binary_focal_crossentropy(y, x, True, **LOGITS),
    "sigmoid": lambda x, y, t: ours.sigmoid_focal_loss(x, y, reduction="sum"),
    "dense": lambda x, y, t: ours.categorical_focal_loss(y, x, 2, class_weight=torch.tensor(WEIGHTS), **LOGITS),
    "dense mean": lambda x, y, t: ours.categorical_focal_crossentropy(y, x, reduction="mean", **LOGITS),
    "sparse": lambda x, y, t: ours.sparse_categorical_focal_loss(
        t, x, WEIGHTS, class_weight=WEIGHTS, ignore_class=1, reduction="mean", **LOGITS
    ),
    "sparse of probabilities": lambda x, y, t: ours.sparse_categorical_focal_crossentropy(t, x.softmax(1)),
}
# Of logits and dense labels, and of class indices.
PLACEMENTS = [(Replicate(), Replicate()), (Shard(0), Shard(0)), (Shard(1), Replicate())]


def main(rank: int, size: int, file: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=size)
    mesh = init_device_mesh("cpu", (size,))
    generator = torch.Generator().manual_seed(0)
    z, y = torch.randn(4, 4, generator=generator), torch.rand(4, 4, generator=generator)
    t = torch.tensor([0, 2, 1, 3])
    tried = 0
    for name, loss in LOSSES.items():
        whole = z.clone().requires_grad_()
        expected = loss(whole, y, t)
        expected.sum().backward()
        for dense, sparse in PLACEMENTS:
            x = distribute_tensor(z, mesh, [dense]).requires_grad_()
            found = loss(x, distribute_tensor(y, mesh, [dense]), distribute_tensor(t, mesh, [sparse]))
            found.sum().backward()
            value, slope = found.full_tensor(), x.grad.full_tensor()
            right = torch.allclose(value, expected, rtol=1e-5) and torch.allclose(slope, whole.grad, 1e-5, 1e-7)
            tried += 1
            if rank == 0 and not right:
                print("wrong:", name, dense)
    if rank == 0:
        print("tried", tried)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
