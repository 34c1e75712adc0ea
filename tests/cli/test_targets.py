"""Targets: which of two classes is positive, and what is no class."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from commands import QUICK, run, table

from focal_loss._command import targets
from focal_loss._command.errors import UserError


@pytest.mark.parametrize(
    ("classes", "positive", "note"),
    [
        ("1 0 0", "1", ""),
        ("1.0 0.0 0.0", "1.0", ""),
        ("-1 -1 1", "1", ""),
        ("Yes No No", "Yes", ""),
        ("y N N", "y", ""),
        ("t f f", "t", ""),
        ("NEGATIVE NEGATIVE POSITIVE", "POSITIVE", ""),
        ("yes yes no", "yes", "is taken as positive, as its word says, though most rows are: if 'no' is"),
        ("1 1 0", "1", "give --positive 0"),
        ("1 2 2", "1", "t = 1 is taken as positive, as the rarer: for the other give --positive 2"),
        ("1 1 2", "2", "t = 2 is taken as positive, as the rarer: for the other give --positive 1"),
        ("a b b", "a", "as the rarer"),
        ("true yes yes", "true", "as the rarer"),
        ("a b", "a", "as the first of two that are equally frequent: for the other give --positive b"),
    ],
)
def test_the_positive_class(classes: str, positive: str, note: str) -> None:
    found = targets.target(pa.table({"t": classes.split()}), "t", None, Path("t.csv"))
    assert found.positive == positive
    assert found.labels.tolist() == [word == positive for word in classes.split()]
    assert note in found.note
    assert bool(note) == bool(found.note)
    assert not targets.target(pa.table({"t": classes.split()}), "t", positive, Path("t.csv")).note


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.5, 1.5, 2.0], "is a quantity, with 3 different numbers from 0.5 to 2"),
        (
            [f"${k},000.50" for k in range(1, 25)],
            "24 different numbers from $1,000.50 to $24,000.50; make a",
        ),
        (list(range(21)), "is a quantity, with 21 different numbers from 0 to 20"),
        (list(range(20)), "holds 20 classes"),
        (["a", "b", "c"], "holds 3 classes ('a', 'b', 'c'); say which"),
    ],
)
def test_a_quantity_is_no_class(values: list, message: str) -> None:
    with pytest.raises(UserError) as caught:
        targets.target(pa.table({"t": values}), "t", None, Path("t.csv"))
    assert message in str(caught.value)
    assert "--positive" in str(caught.value)


def test_the_choice_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table().assign(rare=table().rare + 1).to_csv(tmp_path / "t.csv", index=False)
    assert run("fit", tmp_path / "t.csv", "--target", "rare", *QUICK, "--out", tmp_path / "m") == 0
    words = "rare = 2 is taken as positive, as the rarer"
    assert words in capsys.readouterr().err
    assert words in (tmp_path / "m" / "report.html").read_text(encoding="utf-8")
