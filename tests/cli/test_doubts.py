"""Remarks on tables whose models look better than they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import QUICK, run, table

from focal_loss._command import division, doubts

DOUBTS = {
    "giveaway": (lambda frame: frame.assign(refund=frame.rare * 3.0 + np.arange(400) / 1000), "'refund' alone ranks"),
    "giveaway, downward": (lambda frame: frame.assign(refund=-frame.rare), "'refund' alone ranks"),
    "giveaway, in words": (
        lambda frame: frame.assign(state=np.where(frame.rare == 1, "closed", "open")),
        "'state' alone ranks",
    ),
    "giveaway, by what is missing": (
        lambda frame: frame.assign(refund=np.where(frame.rare == 1, 5.0, np.nan)),
        "'refund' alone ranks",
    ),
    "identifier": (lambda frame: frame.assign(customer=np.arange(400) * 7 + 10**6), "'customer' holds whole numbers"),
    "copies": (lambda frame: pd.concat([frame, frame[:100]]), "held-out rows equal rows of the training part"),
}


def remarks(frame: pd.DataFrame, path: Path) -> list[str]:
    frame.to_csv(path, index=False)
    return doubts.about(division.load(path, division.Question("rare", None, False, 2, 0)))


@pytest.mark.parametrize("name", DOUBTS)
def test_a_doubt_is_said_once(name: str, tmp_path: Path) -> None:
    change, expected = DOUBTS[name]
    found = remarks(change(table()), tmp_path / "t.csv")
    assert len(found) == 1
    assert expected in found[0]


def test_an_honest_table_raises_no_doubt(tmp_path: Path) -> None:
    amounts = np.round(100 * np.random.default_rng(0).lognormal(3, 1, 400)) / 100
    ages = np.random.default_rng(1).integers(18, 90, 400)
    frame = table().assign(amount=amounts, age=ages, constant=1.0, empty=None)
    assert remarks(frame, tmp_path / "t.csv") == []


def test_doubts_are_said_and_in_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table().assign(refund=table().rare).to_csv(tmp_path / "t.csv", index=False)
    assert run("fit", tmp_path / "t.csv", "--target", "rare", *QUICK, "--out", tmp_path / "m") == 0
    assert "'refund' alone ranks the target almost perfectly" in capsys.readouterr().err
    assert "alone ranks the target almost perfectly" in (tmp_path / "m" / "report.html").read_text()
