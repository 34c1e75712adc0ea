"""DTensors: a loss of sharded logits and its gradient are those of the whole ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from cases import OWN_FORM

import focal_loss.torch as ours

TESTS = Path(__file__).parent


def run(script: str, size: int, meeting: Path) -> str:
    """The output of the first of `size` processes."""
    commands = [[sys.executable, TESTS / script, str(rank), str(size), meeting] for rank in range(size)]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for command in commands
    ]
    try:
        results = [process.communicate(timeout=600) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * size, results
    return results[0][0]


@pytest.mark.parametrize("size", [1, 2])
def test_every_sharding_is_the_whole(size: int, tmp_path: Path) -> None:
    assert run("sharded.py", size, tmp_path / "meeting") == f"tried {63 + 6 * len(OWN_FORM)}\n"


def test_groups_of_one_two_and_four_ranks(tmp_path: Path) -> None:
    assert run("four_ranks.py", 4, tmp_path / "meeting") == "tried 403\n"


class Sharded(torch.Tensor):
    """A stand-in with the attributes of a DTensor that the layer reads."""

    def full_tensor(self) -> torch.Tensor:
        return self.as_subclass(torch.Tensor)


@pytest.mark.parametrize(
    ("sharded", "message"),
    [
        (["weight"], r"`weight` must be whole .* call `unshard\(\)` of that module"),
        (["bias"], r"`bias` must be whole .* call `unshard\(\)` of that module"),
        (["hidden"], r"pass `distribute_tensor\(weight, hidden\.device_mesh\)`, or `hidden\.full_tensor\(\)`"),
        (["hidden", "weight"], r"pass `distribute_tensor\(bias, hidden\.device_mesh\)`"),
    ],
)
def test_a_layer_half_sharded_is_refused(sharded: list[str], message: str) -> None:
    tensors = {"hidden": torch.ones(2, 3), "weight": torch.ones(5, 3), "bias": torch.ones(5)}
    tensors |= {name: tensors[name].as_subclass(Sharded) for name in sharded}
    with pytest.raises(TypeError, match=message):
        ours.linear_sparse_categorical_focal_loss(y_true=torch.tensor([0, 1]), gamma=2, **tensors)


def test_a_torch_without_distributed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some builds of torch have no processes, and most of `torch.distributed` is missing there."""
    for name in ("is_initialized", "ProcessGroup", "GroupMember", "group", "get_rank", "get_world_size", "all_reduce"):
        monkeypatch.delattr(torch.distributed, name)
    monkeypatch.setattr(torch.distributed, "is_available", lambda: False)
    x, index = torch.zeros(2, 3), torch.tensor([0, 1])
    for loss in (
        lambda group: ours.sparse_categorical_focal_loss(index, x, 2, from_logits=True, reduction="mean", group=group),
        lambda group: ours.linear_sparse_categorical_focal_loss(x, x, index, 2, group=group),
        lambda group: ours.vocab_parallel_sparse_categorical_focal_loss(x, index, 2, group=group),
        lambda group: ours.vocab_parallel_linear_sparse_categorical_focal_loss(x, x, index, 2, group=group),
    ):
        with pytest.raises(ValueError, match=r"`torch\.distributed\.init_process_group`"):
            loss(True)
        with pytest.raises(TypeError, match="`group` must be a process group"):
            loss("world")
    assert ours.binary_focal_loss(x, x, 2, from_logits=True, reduction="mean", normalizer="positives") > 0
