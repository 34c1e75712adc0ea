"""Files as people have them: other delimiters and encodings, odd words, indices; and places that cannot be written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from focal_loss import _evaluation, _files, _search, _table, _words
from focal_loss._errors import UserError

from .test_cli import QUICK, data, fitted, refused, run, table

__all__ = ["data", "fitted"]


# ---------------------------------------------------------------------------------------------------------------
# Tables
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_delimiters_and_encodings(delimiter: str, encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    columns = {"a, b; c": [1, 2], "größe": ["x", "y"], "rare": [0, 1]}
    pd.DataFrame(columns).to_csv(path, index=False, sep=delimiter, encoding=encoding)
    assert _table.read(path).to_pydict() == columns


def test_text_in_no_known_encoding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes("size,rare\nhöhe,0\nx,1\n".encode("latin-1"))
    message = refused(capsys, "fit", path, "--target", "rare", "--out", tmp_path / "m")
    assert "column 'size' holds text that is not UTF-8" in message


def columns_of(**columns: Any) -> tuple[dict[str, _table.Column], list[str]]:
    schema, notes = _table.Schema.of(pa.table({"number": [1.0] * len(next(iter(columns.values()))), **columns}), "rare")
    return {column.name: column for column in schema.columns if column.name != "number"}, notes


def test_words_among_numbers_are_missing(tmp_path: Path) -> None:
    found, notes = columns_of(age=["1", "2.5", "?", "-3e1", None] * 4)
    assert found == {"age": _table.Column("age", "number", missing=("?",))}
    assert notes == ["'age' holds numbers; '?' among them counts as missing"]
    schema = _table.Schema((found["age"],))
    for values in (["1", " 2.5", "?"], [1, 2.5, None], ["?", "?", "?"]):
        (frame,) = schema.frames(pa.table({"age": values}), tmp_path)
        expected = [np.nan] * 3 if values[0] == "?" else [1, 2.5, np.nan]
        np.testing.assert_array_equal(frame.age, expected)
    with pytest.raises(UserError, match="must hold numbers"):
        schema.frames(pa.table({"age": ["1", "many"]}), tmp_path)


def test_codes_and_words_are_categories() -> None:
    found, notes = columns_of(
        code=["007", "008", "?", "009"] * 5, kind=["a", "b", "1", "2"] * 5, digits=["1", "2", "3", "4"] * 5
    )
    assert {column.kind for column in found.values()} == {"category"}
    assert notes == []


def test_columns_that_tell_nothing_are_left_out_and_named(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table().assign(name=[f"name {k}" for k in range(400)]).to_csv(data)  # with the index, which has no name
    assert run("fit", data, "--target", "rare", *QUICK, "--out", tmp_path / "m") == 0
    said = capsys.readouterr().err
    assert "'' is left out: it is an index that pandas wrote" in said
    assert "'name' is left out: nearly every row has its own word" in said
    assert "nearly every row has its own word." in (tmp_path / "m" / "report.html").read_text()
    table().to_csv(data, index=False)
    assert run("predict", tmp_path / "m", data, "--out", tmp_path / "p.csv") == 0


def test_a_column_of_words_without_a_value(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    table().assign(empty=pd.Series([None] * 400, dtype="string")).to_parquet(path)
    given = ("fit", path, "--target", "rare", "--engine", "xgboost", *QUICK)
    assert run(*given, "--out", tmp_path / "m") == 0


def test_words_that_are_new_are_said(
    fitted: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = table()
    frame.loc[[3, 5], "kind"] = "blue"
    frame.to_csv(data, index=False)
    capsys.readouterr()
    assert run("predict", fitted, data, "--out", tmp_path / "p.csv") == 0
    assert "'kind' holds words that it did not in training, such as 'blue', in 2 rows" in capsys.readouterr().err
    frame.loc[[3, 5], "kind"] = None
    frame.to_csv(data, index=False)
    assert run("predict", fitted, data, "--out", tmp_path / "q.csv") == 0
    assert (tmp_path / "p.csv").read_text() == (tmp_path / "q.csv").read_text()


# ---------------------------------------------------------------------------------------------------------------
# Places
# ---------------------------------------------------------------------------------------------------------------


def test_where_nothing_can_be_written_is_said_before_the_work(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_search.Search, "run", None)  # nothing may come so far
    monkeypatch.chdir(tmp_path)
    given = ("fit", data, "--target", "rare", "--force", "--out")
    assert "cannot be replaced while it is in use" in refused(capsys, *given, ".")
    assert "cannot be replaced while it is in use" in refused(capsys, *given, "..")
    assert "cannot be replaced while it is in use" in refused(capsys, *given, "/proc")
    assert "cannot write to" in refused(capsys, *given, "/proc/focal-loss")
    assert "is a file" in refused(capsys, *given, data)
    assert "is no file" in refused(capsys, "fit", "none.csv", "--target", "rare", "--out", tmp_path / "a" / "b" / "c")
    assert [path.name for path in tmp_path.iterdir()] == ["data.csv"]


def test_a_link_leads_to_what_is_written(data: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "far" / "model")
    for _ in range(2):
        assert run("fit", data, "--target", "rare", *QUICK, "--out", tmp_path / "link", "--force") == 0
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "far" / "model" / "model.json").is_file()
    assert [path.name for path in (tmp_path / "far").iterdir()] == ["model"]


def test_what_else_lies_in_a_model_is_kept(fitted: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (fitted / "notes.txt").write_text("of a person")
    capsys.readouterr()
    message = refused(capsys, "fit", data, "--target", "rare", "--out", fitted, "--force")
    assert "holds 'notes.txt', which is not of this command" in message
    assert (fitted / "notes.txt").is_file()


def test_predictions_go_where_they_can(
    fitted: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert "cannot write to" in refused(capsys, "predict", fitted, data, "--out", tmp_path)
    assert "cannot write to" in refused(capsys, "predict", fitted, data, "--out", tmp_path / "no" / "p.csv")
    assert run("predict", fitted, data, "--out", "/dev/null") == 0
    assert run("predict", fitted, data) == 0
    assert capsys.readouterr().out.startswith("probability,rare\n")
    command = f"{sys.executable} -m focal_loss predict {fitted} {data} >&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "standard output is closed" in done.stderr


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")

    def fail() -> None:
        with _files.writing(path) as new:
            new.write_text("half of the n")
            raise OSError(28, os.strerror(28))

    with pytest.raises(UserError, match="No space left"):
        fail()
    assert path.read_text() == "old"
    with _files.writing(path) as new:
        new.write_text("new")
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"]


# ---------------------------------------------------------------------------------------------------------------
# Databases of trials, thresholds
# ---------------------------------------------------------------------------------------------------------------


def test_passwords_are_not_shown(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _search.without_password("x --storage a+b://me:se:cret@h/db -x") == "x --storage a+b://me:***@h/db -x"
    given = ("fit", data, "--target", "rare", *QUICK, "--out", tmp_path / "m", "--storage")
    said = refused(capsys, *given, "nosuch://me:secret@host/trials")
    assert "cannot open the storage nosuch://me:***@host/trials" in said
    assert "secret" not in said


def test_a_driver_that_is_missing_is_named(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    given = ("fit", data, "--target", "rare", *QUICK, "--out", tmp_path / "m", "--storage")
    message = refused(capsys, *given, "postgresql://me@host/trials")
    assert "the driver of postgresql://me@host/trials is not installed" in message
    assert "pip install 'focal-loss[postgresql]'" in message


def test_two_processes_work_on_one_search(data: Path, tmp_path: Path) -> None:
    """Each may be in its last trial when the other finishes its own."""
    command = [
        sys.executable,
        "-m",
        "focal_loss",
        "fit",
        str(data),
        "--target",
        "rare",
        "--trials",
        "4",
        "--folds",
        "2",
    ]
    command += ["--jobs", "1", "--storage", f"sqlite:///{tmp_path / 'trials.db'}", "--out"]
    outs = [tmp_path / "one", tmp_path / "two"]
    with open(os.devnull, "w") as nowhere:
        both = [subprocess.Popen([*command, str(out)], stdout=nowhere, stderr=nowhere) for out in outs]
        assert [process.wait() for process in both] == [0, 0]
    trials = [pd.read_parquet(out / "trials.parquet") for out in outs]
    for found in trials:
        assert 4 <= sum(found.loss == "focal") <= 5
        assert 4 <= sum(found.loss == "cross-entropy") <= 5
    assert len(set(trials[0].score)) > len(trials[0]) / 2, "the two drew the same"


def test_the_slider_steps_evenly_in_log_odds() -> None:
    rng = np.random.default_rng(0)
    y, probability = rng.random(5000) < 0.1, rng.beta(2, 9, 5000)
    found = _words.outcomes(y, probability, 0.2)
    assert 0.2 in found.thresholds
    odds = np.log(found.thresholds) - np.log1p(-np.array(found.thresholds))
    steps = np.diff(np.delete(odds, found.thresholds.index(0.2)))
    np.testing.assert_allclose(steps, steps[0], rtol=1e-6)
    assert found.tp[0] + found.fp[0] == 5000
    assert found.tp[-1] + found.fp[-1] == 0
    for k in (0, 50, 150, len(odds) - 1):
        flagged = probability >= found.thresholds[k]
        counts = [(flagged & y).sum(), (flagged & ~y).sum(), (~flagged & y).sum(), (~flagged & ~y).sum()]
        assert [found.tp[k], found.fp[k], found.fn[k], found.tn[k]] == counts
    certain = _words.outcomes(y, y.astype(float), 1.0)
    assert 1e-7 < min(certain.thresholds) < max(certain.thresholds) == 1
    assert len(certain.thresholds) <= 400


def test_recall_is_what_was_asked_for() -> None:
    """0.55 of 20 is 11, though 0.55 * 20 is more than 11 in float64."""
    y = np.ones(40) * (np.arange(40) < 20)
    assert _evaluation.Outcomes.of(y, np.linspace(1, 0, 40)).for_recall(0.55) == np.linspace(1, 0, 40)[10]
