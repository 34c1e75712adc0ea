"""The command, run with arguments as typed, and a table for it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from focal_loss._command import boosters, cli, store

QUICK = ["--trials", "1", "--folds", "2", "--jobs", "1", "--repeats", "1"]


def table(rows: int = 400, seed: int = 0) -> pd.DataFrame:
    """A table of numbers, words, booleans and dates, with missing values, that predict a rare positive."""
    rng = np.random.default_rng(seed)
    number = rng.normal(size=rows)
    kind = rng.choice(["red", "green", "<script>"], rows)
    day = pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 300, rows), unit="D")
    odds = 2 * number + 2.0 * (kind == "red") - 3
    frame = pd.DataFrame({"number": number, "kind": kind, "yes": number > 1, "day": day})
    frame.loc[::9, "number"] = np.nan
    frame.loc[::11, "kind"] = None
    return frame.assign(rare=(rng.random(rows) < 1 / (1 + np.exp(-odds))).astype(int))


def run(*arguments: Any) -> int:
    return cli.main([str(a) for a in arguments])


def typed(*arguments: Any) -> list[str]:
    """The command for a process of its own."""
    return [sys.executable, "-m", "focal_loss", *map(str, arguments)]


def refused(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    assert run(*arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def edited(directory: Path, **changes: Any) -> None:
    """Change `model.json` and its digests, as an attacker would."""
    path = directory / "model.json"
    known = json.loads(path.read_text()) | changes
    content = (directory / boosters.FILES[known["engine"]]).read_bytes()
    path.write_text(json.dumps(known | {"sha256": store.digests(known, content)}))
