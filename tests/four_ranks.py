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
    """The cases of every rank. They are compared once at the end: a collective for each would take most of the time."""

    def __init__(self) -> None:
        self.cases: list[tuple[str, str]] = []
        self.errors: list[float] = []

    def add(self, name: str, error: float, more: str = "", right: bool = True) -> None:
        """One case: its error as a share of the bound, and whether all else is right."""
        self.cases.append((name, more))
        self.errors.append(error if right and error == error else float("inf"))

    def print(self, table: bool) -> None:
        worst = torch.tensor(self.errors, dtype=torch.float64)
        dist.all_reduce(worst, dist.ReduceOp.MAX)
        if dist.get_rank():
            return
        for (name, more), error in zip(self.cases, worst.tolist(), strict=True):
            if table or error > 1:
                print("right:" if error <= 1 else "wrong:", f"{name}; error {error:.3g}; {more}")
        print("tried", len(self.cases), flush=True)


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
    report = Report()
    vocabulary.check(groups(), report)
    placements.check(report)
    report.print(table)
    dist.barrier()
    # Exit without closing the group: Gloo aborts a process whose peer left a moment before.
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], "--table" in sys.argv)
