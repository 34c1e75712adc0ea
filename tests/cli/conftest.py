from __future__ import annotations

from pathlib import Path

import pytest
from commands import QUICK, run, table


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.csv"
    table().to_csv(path, index=False)
    return path


@pytest.fixture
def fitted(data: Path, tmp_path: Path) -> Path:
    assert run("fit", data, "--target", "rare", *QUICK, "--out", tmp_path / "model") == 0
    return tmp_path / "model"
