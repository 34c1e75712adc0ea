"""The command, run as typed: its output, the files that it writes, and the files that it keeps."""

from __future__ import annotations

import dataclasses
import gzip
import json
import pickle
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from commands import QUICK, edited, refused, run, table, typed
from sklearn.metrics import average_precision_score

from focal_loss import __version__
from focal_loss._command import columns, division
from focal_loss._dispatch.frameworks import BOOSTERS

# ---------------------------------------------------------------------------------------------------------------
# Written files
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", BOOSTERS)
def test_fit_leaves_a_model_that_predicts(
    engine: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model"
    assert run("fit", data, "--target", "rare", "--engine", engine, *QUICK, "--out", out) == 0
    said = capsys.readouterr().out
    assert "95 % interval of the difference" in said
    assert "The stored model is that of " in said
    names = {"model.json", "metrics.json", "trials.parquet", "report.html"}
    assert {path.name for path in out.iterdir()} == names | {"model." + {"l": "txt", "x": "ubj", "c": "cbm"}[engine[0]]}
    assert run("predict", out, data, "--out", tmp_path / "p.csv") == 0
    found = pd.read_csv(tmp_path / "p.csv")
    frame = table()
    assert average_precision_score(frame.rare, found.probability) > 2 * frame.rare.mean()
    np.testing.assert_array_equal(
        found.prediction, found.probability >= json.loads((out / "model.json").read_text())["threshold"]
    )
    trials = pd.read_parquet(out / "trials.parquet")
    assert sorted(trials.loss) == ["cross-entropy", "focal", "weighted cross-entropy"]
    known = json.loads((out / "metrics.json").read_text())
    assert known["metrics"]["average precision"]["low"] <= known["metrics"]["average precision"]["high"]
    decision = known["decision"]
    assert decision["tp"] + decision["fn"] == round(0.2 * frame.rare.sum())
    assert decision["f1"] <= known["metrics"]["best F1"]["models"][decision["loss"]]["value"]
    assert len((out / "report.html").read_text()) < 1_500_000


@pytest.mark.parametrize("engine", BOOSTERS)
def test_columns_may_have_any_name(engine: str, tmp_path: Path) -> None:
    path, names = (
        tmp_path / "odd.csv",
        {"number": "<script>alert(1)</script>", "kind": 'a "b", [c]: {d}', "yes": "ä $x$"},
    )
    table().rename(columns=names).to_csv(path, index=False)
    assert run("fit", path, "--target", "rare", "--engine", engine, *QUICK, "--out", tmp_path / "m") == 0
    assert run("predict", tmp_path / "m", path, "--out", tmp_path / "p.csv") == 0
    page = (tmp_path / "m" / "report.html").read_text()
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_the_same_seed_gives_the_same_model(data: Path, tmp_path: Path) -> None:
    texts = []
    for name in ("a", "b"):
        assert run("fit", data, "--target", "rare", *QUICK, "--out", tmp_path / name) == 0
        texts.append((tmp_path / name / "model.txt").read_text())
    assert texts[0] == texts[1]


def test_the_held_out_part_is_not_seen_by_the_search(tmp_path: Path) -> None:
    """If the columns of the held-out part become noise, the model and the trials stay the same, and the comparison
    changes.
    """
    frame = table().assign(row=np.arange(400.0))
    frame.to_csv(tmp_path / "one.csv", index=False)
    found = division.load(tmp_path / "one.csv", division.Question("rare", None, False, 2, 0))
    held = found.test.X["row"].astype(int)
    assert sorted([*held, *found.train.X["row"]]) == list(range(400))
    assert abs(found.train.y.mean() - found.test.y.mean()) < 0.01
    frame.loc[held, "number"] = np.random.default_rng(5).normal(size=len(held))
    frame.to_csv(tmp_path / "two.csv", index=False)
    for name in ("one", "two"):
        assert run("fit", tmp_path / f"{name}.csv", "--target", "rare", *QUICK, "--out", tmp_path / name) == 0
    one, two = tmp_path / "one", tmp_path / "two"
    assert (one / "model.txt").read_text() == (two / "model.txt").read_text()
    pd.testing.assert_frame_equal(*(pd.read_parquet(fit / "trials.parquet") for fit in (one, two)))
    assert (one / "metrics.json").read_text() != (two / "metrics.json").read_text()


@pytest.mark.parametrize("form", ["csv.gz", "parquet"])
def test_other_forms_of_the_same_table(form: str, fitted: Path, data: Path, tmp_path: Path) -> None:
    other = tmp_path / f"other.{form}"
    if form == "parquet":
        table().to_parquet(other)
    else:
        other.write_bytes(gzip.compress(data.read_bytes()))
    outs = [tmp_path / "one.csv", tmp_path / "two.csv"]
    for source, out in zip((data, other), outs, strict=True):
        assert run("predict", fitted, source, "--out", out) == 0
    assert outs[0].read_text() == outs[1].read_text()


@pytest.mark.parametrize("engine", BOOSTERS)
def test_a_row_by_itself_is_the_same_row(engine: str, tmp_path: Path) -> None:
    """In a single row "True" looks like a boolean and "007" like a number, but they stay words as in training."""
    frame = table().assign(odd=np.where(table().number > 0, "True", np.where(table().yes, "unknown", "007")))
    path, one = tmp_path / "all.csv", tmp_path / "one.csv"
    frame.to_csv(path, index=False)
    assert run("fit", path, "--target", "rare", "--engine", engine, *QUICK, "--out", tmp_path / "m") == 0
    assert run("predict", tmp_path / "m", path, "--out", tmp_path / "p.csv") == 0
    whole = pd.read_csv(tmp_path / "p.csv").probability
    for row in (1, 2, 3):
        frame.iloc[[row]].to_csv(one, index=False)
        assert run("predict", tmp_path / "m", one, "--out", tmp_path / "q.csv") == 0
        assert pd.read_csv(tmp_path / "q.csv").probability[0] == pytest.approx(whole[row], rel=1e-6)


def test_labels_are_words_as_they_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, frame = tmp_path / "words.csv", table()
    frame.assign(probability=np.where(frame.rare, "True", "False")).drop(columns="rare").to_csv(path, index=False)
    assert run("fit", path, "--target", "probability", *QUICK, "--out", tmp_path / "m") == 0
    assert "82 of them with probability = True" in capsys.readouterr().err
    assert run("predict", tmp_path / "m", path, "--out", tmp_path / "p.csv") == 0
    found = pd.read_csv(tmp_path / "p.csv", dtype=str)
    assert list(found.columns) == ["probability", "prediction"]
    assert set(found.prediction) == {"True", "False"}
    answers = pd.Series(np.where(frame.rare, "yes", "no"))
    answers[:20] = ""
    frame.assign(rare=answers).to_csv(path, index=False)
    given = ("fit", path, "--target", "rare", "--positive", "yes", *QUICK, "--out", tmp_path / "n")
    assert "is missing in 20 rows" in refused(capsys, *given)


def test_rules_for_decisions(fitted: Path, data: Path, tmp_path: Path) -> None:
    def flagged(*rule: str) -> float:
        assert run("predict", fitted, data, *rule, "--out", tmp_path / "p.csv") == 0
        return pd.read_csv(tmp_path / "p.csv").prediction.mean()

    assert flagged("--threshold", "0") == 1
    assert flagged("--recall", "1") == 1 > flagged("--recall", "0.5") > 0
    assert flagged("--precision", "0.2") > flagged("--precision", "0.5") > 0
    assert flagged("--cost", "1:50") > flagged("--cost", "1:1")


def test_a_model_is_loaded_without_running_code(
    fitted: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in fitted.iterdir():
        assert not path.read_bytes().startswith(b"\x80"), "a pickle"
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, None)
    assert run("predict", fitted, data, "--out", tmp_path / "p.csv") == 0


def test_curve_and_help(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("c.png", "c.svg"):
        assert run("curve", "--gamma", 0, 2, "--out", tmp_path / name) == 0
        assert (tmp_path / name).stat().st_size > 1000
    assert run("curve", "--out", tmp_path / "c.txt") == 2
    assert "must end in .png or .svg" in capsys.readouterr().err
    done = subprocess.run(typed("--help"), capture_output=True, text=True, check=True)
    assert "{fit,predict,export,curve,demo}" in done.stdout
    done = subprocess.run(typed("--version"), capture_output=True, text=True, check=True)
    assert done.stdout == f"focal-loss {__version__}\n"


# ---------------------------------------------------------------------------------------------------------------
# Bad input: one line, status 2, nothing written
# ---------------------------------------------------------------------------------------------------------------

BAD_TABLES = [
    ("", "cannot read"),
    ("a,rare\n", "has no rows"),
    ("a,a,rare\n1,2,0\n1,2,1\n", "'a' for the name of more than one column"),
    ("a,rate\n1,0\n2,1\n", "has no column 'rare'; the nearest are 'rate'"),
    ("a,rare\n" + "1,0\n" * 50, "holds one class only, '0'"),
    (
        "a,rare\n" + "1,x\n2,y\n3,z\n" * 20,
        "holds 3 classes ('x', 'y', 'z'); say which is the positive one with --positive",
    ),
    ("a,rare\n" + "1,0\n" * 50 + "1,1\n" * 2, "only 2 rows are '1'"),
    ("a,rare\n" + "1,0\n" * 50 + "1,1\n" * 6, "6 rows are '1', too few for 5 folds"),
    ("a,rare\n" + "1,0\n2,1\n" * 50 + "3,\n" * 7, "is missing in 7 rows; leave them out with --drop-missing"),
    ("a,rare\n" + "3,\n" * 7, "is missing in every row"),
    ("rare\n" + "0\n1\n" * 50, "no column to learn from"),
]


@pytest.mark.parametrize(("text", "message"), BAD_TABLES, ids=[message[:30] for _, message in BAD_TABLES])
def test_tables_that_cannot_be_learned_from(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    assert message in refused(capsys, "fit", path, "--target", "rare", "--out", tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["bad.csv"]


def test_files_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ("--target", "rare", "--out", tmp_path / "out")
    assert "is no file" in refused(capsys, "fit", tmp_path / "none.csv", *out)
    assert "is a directory that holds no Parquet file" in refused(capsys, "fit", tmp_path, *out)
    (tmp_path / "b.parquet").write_bytes(b"nonsense")
    assert "cannot read" in refused(capsys, "fit", tmp_path / "b.parquet", *out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.parquet"]


def test_files_of_another_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ("--target", "rare", "--out", tmp_path / "out")
    (tmp_path / "latin.csv").write_bytes("größe,rare\n1,0\n".encode("latin-1"))
    assert "cannot read" in refused(capsys, "fit", tmp_path / "latin.csv", *out)
    table().assign(list=[[1, 2]] * 400).to_parquet(tmp_path / "nested.parquet")
    message = "'list' holds list<element: int64>, neither numbers, words, truths nor dates"
    assert message in refused(capsys, "fit", tmp_path / "nested.parquet", *out)
    (tmp_path / "out").write_text("a file")
    table().to_parquet(tmp_path / "good.parquet")
    assert "is a file" in refused(capsys, "fit", tmp_path / "good.parquet", *out, "--force")


def test_missing_targets_are_dropped_if_asked(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = table().astype({"rare": object})
    frame.loc[:9, "rare"] = None
    frame.to_csv(data, index=False)
    assert run("fit", data, "--target", "rare", "--drop-missing", *QUICK, "--out", tmp_path / "m") == 0
    assert "390 rows, " in capsys.readouterr().err


def test_an_existing_directory_needs_force(
    fitted: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    before = (fitted / "model.txt").read_text()
    given = ("fit", data, "--target", "rare", *QUICK, "--out", fitted)
    assert "exists; choose another --out, or replace it with --force" in refused(capsys, *given)
    assert (fitted / "model.txt").read_text() == before
    assert run(*given, "--force", "--seed", "5") == 0
    assert (fitted / "model.txt").read_text() != before
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    capsys.readouterr()
    assert "holds 'thesis.tex', which is not" in refused(
        capsys, "fit", data, "--target", "rare", "--out", other, "--force"
    )
    assert (other / "thesis.tex").is_file()


def test_what_cannot_be_predicted(fitted: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    lacking = tmp_path / "lacking.csv"
    table().drop(columns="number").rename(columns={"day": "days"}).to_csv(lacking, index=False)
    assert "has no column 'number', which the model needs" in refused(capsys, "predict", fitted, lacking)
    wrong = tmp_path / "wrong.csv"
    table().assign(number="many").to_csv(wrong, index=False)
    assert "column 'number' must hold numbers" in refused(capsys, "predict", fitted, wrong)
    assert "holds no model" in refused(capsys, "predict", tmp_path, data)
    known = json.loads((fitted / "model.json").read_text())
    integers = tmp_path / "integers.csv"
    table().assign(day=20260101).to_csv(integers, index=False)
    assert "column 'day' must hold dates" in refused(capsys, "predict", fitted, integers)
    (fitted / "model.json").write_text("[]")
    assert "holds no model" in refused(capsys, "predict", fitted, data)
    (fitted / "model.json").write_text(json.dumps(known | {"format": 99}))
    assert "newer version of focal-loss" in refused(capsys, "predict", fitted, data)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--gamma", "-1", "must be a number in [0, 20] or auto, got '-1'"),
        ("--pos-weight", "0", "or auto, got '0'"),
        ("--trials", "0", "whole number in [1, "),
        ("--seed", "9999999999", "whole number"),
        ("--trials", "\u00b2", "whole number"),
        ("--jobs", "100000", "whole number in [1, 1024]"),
        ("--tri", "3", "unrecognized arguments: --tri 3"),
        ("--folds", "1.5", "whole number in [2, "),
        ("--engine", "forest", "invalid choice"),
        ("--metric", "accuracy", "invalid choice"),
    ],
)
def test_options_out_of_range(option: str, value: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "fit", "data.csv", "--target", "rare", option, value)
    assert said.startswith("focal-loss")
    assert message in said


def test_a_storage_that_cannot_be_opened(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("fit", data, "--target", "rare", *QUICK, "--out", tmp_path / "m")
    assert "cannot open the storage nonsense" in refused(capsys, *given, "--storage", "nonsense")


COLUMN = dataclasses.asdict(columns.Column("x", "number"))


def counted(each: Any, last: Any = None, **more: Any) -> dict[str, Any]:
    """Outcomes in which each list holds `each`, and that of the true negatives, if given, `last`."""
    cell = dict.fromkeys(("weight", "squares", "rows"), each)
    cells = dict.fromkeys(("tp", "fp", "fn", "tn"), cell)
    return {"thresholds": each} | cells | ({} if last is None else {"tn": cell | {"rows": last}}) | more


DAMAGES: dict[str, Any] = {
    "engine": "forest",
    "target": [None, [], "\udfff"],
    "positive": ["\ud800"],
    "threshold": [5, -1, "x", None, float("inf")],
    "outcomes": [
        {},
        {"tp": []},
        [],
        None,
        *(counted(values) for values in ([], [0], [-1], [10**400])),
        *(counted([0.5, 0.5], last) for last in ([0.5], [0.5, -1], [0.5, 0.6], "ab")),
        *(counted([0.5], tp=cell) for cell in ([0.5], {}, {"weight": [0.5]}, {"power": [0.5]})),
        *(counted([0.5], thresholds=values) for values in ([2], ["a"], [float("nan")])),
    ],
    "columns": [
        *(None, {}, [{}], [1], [COLUMN | {"name": 1}], [COLUMN | {"name": "\ud800"}], [COLUMN | {"kind": "sum"}]),
        *([COLUMN | {"form": {"decimal": ";", "group": "", "unit": ""}}], [COLUMN | {"order": "ydm"}]),
    ],
    "sha256": [None, {}, [], "ab"],
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_model_that_was_edited(name: str, fitted: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = fitted / "model.json"
    known = json.loads(path.read_text())
    capsys.readouterr()
    values = DAMAGES[name] if isinstance(DAMAGES[name], list) and DAMAGES[name] else [DAMAGES[name]]
    for value in values:
        path.write_text(json.dumps(known | {name: value}))
        assert "model.json is damaged" in refused(capsys, "predict", fitted, data)
    del known[name]
    path.write_text(json.dumps(known))
    assert "model.json is damaged" in refused(capsys, "predict", fitted, data)


def test_a_model_with_a_column_less(fitted: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = json.loads((fitted / "model.json").read_text())
    edited(fitted, columns=known["columns"][1:])
    capsys.readouterr()
    assert "lightgbm cannot predict this table" in refused(capsys, "predict", fitted, data)


def test_what_an_engine_refuses_is_said_in_its_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = table()
    frame.loc[7, "number"] = np.inf
    frame.to_csv(tmp_path / "t.csv", index=False)
    given = ("fit", tmp_path / "t.csv", "--target", "rare", *QUICK, "--out", tmp_path / "m", "--engine", "xgboost")
    assert run(*given) == 2
    assert "xgboost cannot learn from this table: Check failed: valid" in capsys.readouterr().err


def test_few_rows_that_are_held_out_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fit", few(tmp_path), "--target", "rare", *QUICK, "--out", tmp_path / "m") == 0
    assert "Only 2 of the held-out rows are '1'" in capsys.readouterr().out
    assert "Only 2 of the held-out rows" in (tmp_path / "m" / "report.html").read_text()


def few(folder: Path) -> Path:
    frame = table(800)
    rare = frame[frame.rare == 1].iloc[:10]
    pd.concat([frame[frame.rare == 0], rare]).to_csv(folder / "few.csv", index=False)
    return folder / "few.csv"
