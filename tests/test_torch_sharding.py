"""DTensors: a loss of sharded logits and its gradient are those of the whole ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import focal_loss.torch as ours

SCRIPT = Path(__file__).with_name("sharded.py")


@pytest.mark.parametrize("size", [1, 2])
def test_every_sharding_is_the_whole(size: int, tmp_path: Path) -> None:
    commands = [[sys.executable, SCRIPT, str(rank), str(size), tmp_path / "meeting"] for rank in range(size)]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for command in commands
    ]
    try:
        results = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * size, results
    assert results[0][0] == "tried 24\n"


def test_a_shard_as_the_weight_of_a_layer_is_refused() -> None:
    class Shard(torch.Tensor):
        def full_tensor(self) -> torch.Tensor:
            return self.as_subclass(torch.Tensor)

    weight = torch.ones(5, 3).as_subclass(Shard)
    with pytest.raises(TypeError, match=r"pass `weight\.full_tensor\(\)`"):
        ours.linear_sparse_categorical_focal_loss(torch.ones(2, 3), weight, torch.tensor([0, 1]), 2)
