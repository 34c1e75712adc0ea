"""`focal-loss predict` at work: kept columns, empty batches, empty columns, mistyped names."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from commands import QUICK, refused, run, table, typed

from focal_loss._command import quick
from focal_loss._dispatch.frameworks import BOOSTERS

SETTINGS = {"format": 1, "gamma": 2.0, "weights": [1.0, 3.0], "calibrated": True, "classes": [False, True]}
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


@pytest.mark.parametrize("engine", BOOSTERS)
def test_a_process_of_its_own_predicts_the_same_without_scikit_learn(engine: str, data: Path, tmp_path: Path) -> None:
    """Its import would take longer than all the rest."""
    model, here, there = tmp_path / "m", tmp_path / "here.csv", tmp_path / "there.csv"
    given = ("--target", "rare", "--engine", engine, "--gamma", 2, "--pos-weight", 3, *QUICK)
    assert run("fit", data, *given, "--out", model) == 0
    table(50, seed=1).assign(kind="never seen").to_csv(data, index=False)
    assert run("predict", model, data, "--out", here) == 0
    code = "import sys\nfrom focal_loss._command import cli\nassert cli.main() == 0\nprint('sklearn' in sys.modules)"
    for rule, loads in (((), "False"), (("--recall", "0.5"), "True")):
        command = [sys.executable, "-c", code, "predict", str(model), str(data), *rule, "--out", str(there)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout == f"{loads}\n"
        assert "'kind' holds words that it did not in training" in done.stderr
        assert there.read_text() == here.read_text() or rule
        found, expected = pd.read_csv(there), pd.read_csv(here)
        pd.testing.assert_series_equal(found.probability, expected.probability, rtol=1e-15)


def test_settings_that_the_quick_way_does_not_know_are_left_to_the_classifier() -> None:
    def found(**changes: object) -> object:
        return quick.settings_of(b"trees " + json.dumps(SETTINGS | changes).encode() + b" more")

    assert found() == SETTINGS
    tempered = {"calibrated": "cv", "temperature": 2.0, "format": 2}
    assert found(**tempered) == SETTINGS | tempered
    for changes in (
        {"calibrated": "cv"},
        {"calibrated": False},
        {"slope": 2.0},
        {"format": 3},
        {"weights": [1.0] * 3},
    ):
        assert found(**changes) is None
    assert quick.settings_of(b"trees") is None
    assert quick.settings_of(b'{"format": 1, "gamma"') is None
    assert quick.model_of("lightgbm", json.dumps(SETTINGS).encode()) is None, "scikit-learn is imported already"
