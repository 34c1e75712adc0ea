"""How far gradients of DDP are from those of one process with the whole batch, where tokens are spread unevenly.

`python benchmarks/many_machines.py` prints the table of `docs/many_machines.md`: four processes on this machine, a
small language model, sequences whose tokens are partly padding.
"""

from __future__ import annotations

import os
import tempfile
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from focal_loss.torch import sparse_categorical_focal_loss

SIZE, LENGTH, TOKENS, PADDING = 4, 128, 1000, -100
STEPS = 2
# How many tokens of each process are no padding, in each of the two steps that are accumulated.
COUNTS = {
    "even": ([64, 64, 64, 64], [64, 64, 64, 64]),
    "uneven": ([96, 80, 48, 32], [40, 72, 80, 64]),
    "one with few": ([120, 8, 110, 100], [90, 100, 12, 110]),
    "one with none": ([120, 0, 64, 72], [30, 100, 126, 0]),
}


def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Embedding(TOKENS, 32), torch.nn.GELU(), torch.nn.Linear(32, TOKENS))


def batch(counts: list[int]) -> tuple[Tensor, Tensor]:
    """A sequence for each process, and its labels, padded."""
    generator = torch.Generator().manual_seed(sum(counts))
    tokens = torch.randint(TOKENS, (SIZE, LENGTH), generator=generator)
    # Short sequences are of other tokens than long ones, as in real data.
    labels = (tokens * 7 + torch.tensor(counts)[:, None]) % TOKENS
    return tokens, labels.where(torch.arange(LENGTH) < torch.tensor(counts)[:, None], PADDING)


def loss(logits: Tensor, labels: Tensor, **given: Any) -> Tensor:
    return sparse_categorical_focal_loss(
        labels, logits, gamma=2, from_logits=True, ignore_class=PADDING, reduction="mean", **given
    )


def gradient(trained: torch.nn.Module) -> Tensor:
    return torch.cat([p.grad.flatten() for p in trained.parameters() if p.grad is not None])


def errors(rank: int, steps: tuple[list[int], ...]) -> list[float]:
    """The errors of a mean in each process and of a mean over the group, relative to the gradient of one process."""
    batches = [batch(counts) for counts in steps]
    whole, total = model(), sum(map(sum, steps))
    for tokens, labels in batches:
        loss(whole(tokens), labels, normalizer=total).backward()
    found = []
    for shared in (False, True):
        parallel = DistributedDataParallel(model())
        share = sum(int((labels[rank] != PADDING).sum()) for _, labels in batches)
        for k, (tokens, labels) in enumerate(batches):
            parallel.require_backward_grad_sync = k == len(batches) - 1
            out = parallel(tokens[rank])
            value = loss(out, labels[rank], normalizer=share, group=True) if shared else loss(out, labels[rank])
            (value if shared else value / len(batches)).backward()
        expected = gradient(whole)
        found.append(float((gradient(parallel) - expected).norm() / expected.norm()))
    return found


def run(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=SIZE)
    for name, steps in COUNTS.items():
        one, two = errors(rank, steps[:1]), errors(rank, steps)
        if rank == 0:
            tokens = " + ".join(", ".join(map(str, counts)) for counts in steps)
            print(f"| {name}: {tokens} | {one[0]:.1%} | {one[1]:.0e} | {two[0]:.1%} | {two[1]:.0e} |", flush=True)
    dist.barrier()
    os._exit(0)  # Gloo aborts a process whose peer left a moment before


if __name__ == "__main__":
    print(
        "| Tokens of the processes, in step 1 + step 2 | mean of means | `group` | 2 steps: mean of means | `group` |"
    )
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(run, (folder,), SIZE)
