"""One of the four processes of `test_torch_sharding.py`, which make up groups of one, two and four ranks.

Called with rank, number of processes and a file to meet by; the first prints a line for each case that is wrong on any
rank. With `--table` it prints the errors, collectives and bytes of each case instead of only the wrong ones.
"""

from __future__ import annotations

import os
import sys
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor


class Group(NamedTuple):
    """The ranks of a group, this process among them."""

    group: Any
    rank: int
    size: int


class Report:
    def __init__(self, table: bool) -> None:
        self.table, self.tried = table, 0

    def add(self, name: str, error: float, more: str = "", right: bool = True) -> None:
        """One case on every rank: its error as a share of the bound, and whether all else is right."""
        self.tried += 1
        worst = torch.tensor([error, 0.0 if right else 1.0], dtype=torch.float64)
        worst = torch.where(worst.isnan(), float("inf"), worst)
        dist.all_reduce(worst, dist.ReduceOp.MAX)
        wrong = worst[0] > 1 or worst[1] > 0
        if dist.get_rank() == 0 and (wrong or self.table):
            print("wrong:" if wrong else "right:", name, f"error {worst[0].item():.3g}", more, flush=True)


def share(found: Tensor, exact: Tensor, bound: Tensor, dtype: torch.dtype, size: Tensor | None = None) -> float:
    """The largest error as a share of `bound` roundings of the exact number, or of `size`, of numbers that do not
    underflow.
    """
    wide = torch.finfo(torch.promote_types(dtype, torch.float32))
    exact = exact.to(torch.float64)
    size = exact.abs() if size is None else size
    allowed = bound * wide.eps * size + 1e4 * wide.tiny
    if dtype.itemsize < 4:
        allowed = allowed + torch.finfo(dtype).eps / 2 * exact.abs() + torch.finfo(dtype).smallest_normal
    same = (found == exact) | (found.isnan() & exact.isnan())
    errors = torch.where(same, 0.0, (found.to(torch.float64) - exact).abs() / allowed)
    return float(errors.max()) if errors.numel() else 0.0


def groups() -> list[Group]:
    rank, found = dist.get_rank(), []
    for members in ([0], [1], [2], [3], [0, 1], [2, 3], [0, 1, 2, 3]):
        group = dist.new_group(members)  # every process must make every group
        if rank in members:
            found.append(Group(group, members.index(rank), len(members)))
    return found


def main(rank: int, size: int, file: str, table: bool) -> None:
    import placements
    import vocabulary

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=size)
    report = Report(table)
    vocabulary.check(groups(), report)
    placements.check(report)
    dist.barrier()
    if rank == 0:
        print("tried", report.tried, flush=True)
    # Exit without closing the group: Gloo aborts a process whose peer left a moment before.
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], "--table" in sys.argv)
