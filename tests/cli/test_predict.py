"""`focal-loss predict` at work: kept columns, empty batches, empty columns, mistyped names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from commands import refused, run, table, typed

HEAVY = ("pandas", "pyarrow", "sklearn", "scipy", "lightgbm", "xgboost", "catboost")


def lines(path: Path) -> list[list[str]]:
    return [line.split(",") for line in path.read_text().splitlines()]


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_kept_columns_are_copied_as_they_are_written(form: str, fitted: Path, tmp_path: Path) -> None:
    """Numbers and dates of the model among them, codes that look like numbers, and missing values."""
    codes = [f"{k:04}" for k in range(400)]
    frame = table().assign(code=codes, none=None)
    frame["day"] = frame.day.dt.strftime("%Y-%m-%d")
    frame["number"] = [None if k % 9 == 0 else f"{k}.50" for k in range(400)]
    path, out = tmp_path / f"new.{form}", tmp_path / "p.csv"
    getattr(frame, f"to_{form}")(path, index=False)
    if form == "parquet":  # a typed file has no spelling of its own
        frame["number"] = frame.number.astype(float)
        frame.assign(day=table().day).to_parquet(path)
    assert run("predict", fitted, path, "--keep", "code", "kind", "number", "day", "none", "--out", out) == 0
    head, first, second, *_ = found = lines(out)
    assert head == ["code", "kind", "number", "day", "none", "probability", "prediction"]
    assert len(found) == 401
    assert first[:3] == ["0000", "", ""]
    assert second[0] == "0001"
    assert second[2] == ("1.50" if form == "csv" else "1.5")
    assert [row[3][:10] for row in found[1:]] == frame.day.tolist()
    assert {row[4] for row in found[1:]} == {""}
    assert run("predict", fitted, path, "--out", tmp_path / "q.csv") == 0
    assert [row[5:] for row in found] == lines(tmp_path / "q.csv")


def test_columns_that_cannot_be_kept(
    fitted: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refused(capsys, "predict", fitted, data, "--keep", "numbre")
    assert "has no column 'numbre' to keep; the nearest are 'number'" in message
    assert "--keep names 'kind' twice" in refused(capsys, "predict", fitted, data, "--keep", "kind", "kind")
    for name in ("probability", "prediction"):
        path = tmp_path / "clash.csv"
        table().assign(**{name: 1}).to_csv(path, index=False)
        message = refused(capsys, "predict", fitted, path, "--keep", name)
        assert f"--keep {name}: the answer has a column of that name; rename it in {path}" in message
    table().assign(lists=[[1]] * 400).to_parquet(tmp_path / "lists.parquet")
    message = refused(capsys, "predict", fitted, tmp_path / "lists.parquet", "--keep", "lists")
    assert "column 'lists' cannot be kept, as it is no text" in message


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_an_empty_batch_has_an_empty_answer(
    form: str, fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"none.{form}"
    getattr(table()[:0], f"to_{form}")(path, index=False)
    capsys.readouterr()
    assert run("predict", fitted, path, "--keep", "kind") == 0
    assert capsys.readouterr() == ("kind,probability,prediction\n", "")
    (tmp_path / "short.csv").write_text("number,kind\n")
    assert "has no column 'yes', which the model needs" in refused(capsys, "predict", fitted, tmp_path / "short.csv")
    assert "has no rows" in refused(capsys, "fit", path, "--target", "rare", "--out", tmp_path / "m")


def test_an_empty_column_is_said(fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new.csv"
    for name in ("number", "kind", "yes", "day"):
        table().assign(**{name: None}).to_csv(path, index=False)
        capsys.readouterr()
        assert run("predict", fitted, path, "--out", tmp_path / "p.csv") == 0
        assert capsys.readouterr().err == f"{name!r} holds no value in any row; it counts as missing\n"
    assert pd.read_csv(tmp_path / "p.csv").probability.notna().all()
    table()[:1].to_csv(path, index=False)  # a missing value of a single row is no mistake
    assert run("predict", fitted, path, "--out", tmp_path / "p.csv") == 0
    assert capsys.readouterr().err == ""


def test_a_mistyped_name_is_answered_before_libraries_are_imported(fitted: Path, data: Path, tmp_path: Path) -> None:
    for given, words in (
        (("predict", fitted, tmp_path / "dat.csv"), "dat.csv is no file"),
        (("predict", tmp_path / "modle", data), "modle holds no model: there is no such directory"),
        (("fit", tmp_path / "dat.csv", "--target", "rare"), "dat.csv is no file"),
    ):
        done = subprocess.run(typed(*given), capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.endswith(f"{words}\n")
        code = f"import sys\nfrom focal_loss._command import cli\nassert cli.main({list(map(str, given))}) == 2\n"
        code += f"print(sorted(sys.modules.keys() & {set(HEAVY)}))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "[]\n"
