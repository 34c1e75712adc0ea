"""The command, run as it is typed: what it says, what it leaves, and what it leaves alone."""

from __future__ import annotations

import gzip
import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.metrics import average_precision_score, f1_score

from focal_loss import _evaluation, _fit, _store, _table, cli
from focal_loss._dispatch import BOOSTERS
from focal_loss._errors import UserError

QUICK = ["--trials", "1", "--folds", "2", "--jobs", "1"]


def table(rows: int = 400, seed: int = 0) -> pd.DataFrame:
    """Numbers, words, truths and dates, with gaps; a rare positive that they tell of."""
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


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.csv"
    table().to_csv(path, index=False)
    return path


@pytest.fixture
def fitted(data: Path, tmp_path: Path) -> Path:
    assert run("fit", data, "--target", "rare", *QUICK, "--out", tmp_path / "model") == 0
    return tmp_path / "model"


# ---------------------------------------------------------------------------------------------------------------
# What it leaves
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", BOOSTERS)
def test_fit_leaves_a_model_that_predicts(
    engine: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model"
    assert run("fit", data, "--target", "rare", "--engine", engine, *QUICK, "--out", out) == 0
    said = capsys.readouterr().out
    assert "95 % interval of the difference" in said
    assert "gamma" in said
    names = {"model.json", "metrics.json", "trials.parquet", "report.html"}
    assert {path.name for path in out.iterdir()} == names | {"model." + {"l": "txt", "x": "ubj", "c": "cbm"}[engine[0]]}
    assert run("predict", out, data, "--out", tmp_path / "p.csv") == 0
    found = pd.read_csv(tmp_path / "p.csv")
    frame = table()
    assert average_precision_score(frame.rare, found.probability) > 2 * frame.rare.mean()
    np.testing.assert_array_equal(
        found.rare, found.probability >= json.loads((out / "model.json").read_text())["threshold"]
    )
    trials = pd.read_parquet(out / "trials.parquet")
    assert sorted(trials.loss) == ["cross-entropy", "focal"]
    known = json.loads((out / "metrics.json").read_text())
    assert known["average precision"]["low"] <= known["average precision"]["high"]
    page = (out / "report.html").read_text()
    assert len(page) < 1_500_000
    assert "<script>alert" not in page


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
    """With its columns turned into noise the model and the trials are the same, and the comparison is not."""
    frame = table().assign(row=np.arange(400.0))
    frame.to_csv(tmp_path / "one.csv", index=False)
    found = _fit.load(tmp_path / "one.csv", "rare", None, False, 2, 0)
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
    """Of one row "True" looks like a truth and "007" like a number; they are the words that they were."""
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
        return pd.read_csv(tmp_path / "p.csv").rare.mean()

    assert flagged("--threshold", "0") == 1
    assert flagged("--recall", "1") > flagged("--recall", "0.5") > 0
    assert flagged("--precision", "0.3") >= flagged("--precision", "0.6")
    assert flagged("--cost", "1:50") > flagged("--cost", "1:1")
    stored = _store.Stored.load(fitted).outcomes
    at = int(np.flatnonzero(stored.thresholds == stored.for_recall(0.5))[0])
    positives = stored.tp[0] + stored.fn[0]
    assert stored.tp[at] >= 0.5 * positives > stored.tp[at - 1]


def test_a_model_is_loaded_without_running_code(fitted: Path) -> None:
    for path in fitted.iterdir():
        assert not path.read_bytes().startswith(b"\x80"), "a pickle"


def test_curve_and_help(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("c.png", "c.svg"):
        assert run("curve", "--gamma", 0, 2, "--out", tmp_path / name) == 0
        assert (tmp_path / name).stat().st_size > 1000
    assert run("curve", "--out", tmp_path / "c.txt") == 2
    assert "must end in .png or .svg" in capsys.readouterr().err
    done = subprocess.run([sys.executable, "-m", "focal_loss", "--help"], capture_output=True, text=True, check=True)
    assert "{fit,predict,curve,demo}" in done.stdout


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


def refused(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    assert run(*arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


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
    assert "is a directory" in refused(capsys, "fit", tmp_path, *out)
    (tmp_path / "b.parquet").write_bytes(b"nonsense")
    assert "cannot read" in refused(capsys, "fit", tmp_path / "b.parquet", *out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.parquet"]


def test_files_of_another_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ("--target", "rare", "--out", tmp_path / "out")
    (tmp_path / "latin.csv").write_bytes("größe,rare\n1,0\n".encode("latin-1"))
    assert "cannot read" in refused(capsys, "fit", tmp_path / "latin.csv", *out)
    table().assign(list=[[1, 2]] * 400).to_parquet(tmp_path / "nested.parquet")
    message = "'list' holds neither numbers, words, truths nor dates"
    assert message in refused(capsys, "fit", tmp_path / "nested.parquet", *out)
    (tmp_path / "out").write_text("a file")
    table().to_parquet(tmp_path / "good.parquet")
    assert "is a file" in refused(capsys, "fit", tmp_path / "good.parquet", *out, "--force")


def test_missing_targets_are_dropped_if_asked(data: Path, tmp_path: Path) -> None:
    frame = table().astype({"rare": object})
    frame.loc[:9, "rare"] = None
    frame.to_csv(data, index=False)
    assert run("fit", data, "--target", "rare", "--drop-missing", *QUICK, "--out", tmp_path / "m") == 0
    assert "390" in (tmp_path / "m" / "report.html").read_text()


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
        ("--trials", "0", "whole number of at least 1"),
        ("--seed", "9999999999", "whole number"),
        ("--folds", "1.5", "whole number of at least 2"),
        ("--engine", "forest", "invalid choice"),
        ("--metric", "accuracy", "invalid choice"),
    ],
)
def test_options_out_of_range(option: str, value: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run("fit", "data.csv", "--target", "rare", option, value)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_a_storage_that_cannot_be_opened(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("fit", data, "--target", "rare", *QUICK, "--out", tmp_path / "m")
    assert "cannot open the storage nonsense" in refused(capsys, *given, "--storage", "nonsense")


# ---------------------------------------------------------------------------------------------------------------
# Interrupted
# ---------------------------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_nothing_half_written(
    fitted: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    before = {path.name: path.read_bytes() for path in fitted.iterdir()}

    def full(self: Path, *arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    assert run("fit", data, "--target", "rare", *QUICK, "--out", fitted, "--force", "--seed", "3") == 2
    assert "No space left on device" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in fitted.iterdir()} == before
    assert not list(fitted.parent.glob(".model*"))


@pytest.mark.parametrize("moment", range(5))
def test_killed_at_any_moment_it_goes_on(moment: int, data: Path, tmp_path: Path) -> None:
    """Killed as soon as the database holds so many finished trials; none of them is lost."""
    url, out = f"sqlite:///{tmp_path / 'trials.db'}", tmp_path / "model"
    command = [
        sys.executable,
        "-m",
        "focal_loss",
        "fit",
        str(data),
        "--target",
        "rare",
        "--trials",
        "3",
        "--folds",
        "2",
    ]
    command += ["--jobs", "1", "--storage", url, "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while finished(tmp_path / "trials.db") < moment and process.poll() is None:
        os.sched_yield()
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = finished(tmp_path / "trials.db")
    assert before >= min(moment, 6)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(pd.read_parquet(out / "trials.parquet")) == 6
    assert finished(tmp_path / "trials.db") == 6


def finished(path: Path) -> int:
    """How many trials a database holds; none while its tables are being made."""
    if not path.exists():
        return 0
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        try:
            return database.execute("select count(*) from trials where state = 'COMPLETE'").fetchone()[0]
        except sqlite3.OperationalError:
            return 0


def test_time_is_kept(data: Path, tmp_path: Path) -> None:
    """No trial starts after the limit, but there is one of each loss."""
    given = ("fit", data, "--target", "rare", "--trials", 50, "--folds", 2, "--jobs", 1, "--time-limit", 0)
    assert run(*given, "--out", tmp_path / "m") == 0
    assert len(pd.read_parquet(tmp_path / "m" / "trials.parquet")) == 2


# ---------------------------------------------------------------------------------------------------------------
# What probabilities are worth
# ---------------------------------------------------------------------------------------------------------------


def f1(y: np.ndarray, probability: np.ndarray) -> float:
    return max(f1_score(y, probability >= threshold) for threshold in probability)


@pytest.mark.parametrize("name", list(_evaluation.MEASURES))
@pytest.mark.parametrize("positive", [0.2, 0.9])
@pytest.mark.parametrize("digits", [1, 2, 9])  # many ties, some, none
def test_weighted_metrics_are_the_metrics_of_repeated_rows(name: str, positive: float, digits: int) -> None:
    rng = np.random.default_rng(0)
    y, probability = rng.random(300) < positive, rng.random(300).round(digits)
    weight = rng.integers(0, 4, 300)
    found = dict(zip(_evaluation.MEASURES, _evaluation.of_weights(y, probability)(weight.astype(float)), strict=True))
    rows = np.repeat(np.arange(300), weight)
    measure = f1 if name == "f1" else _evaluation.MEASURES[name].of
    assert found[name] == pytest.approx(measure(y[rows], probability[rows]), rel=1e-12)


def test_the_interval_of_a_difference() -> None:
    rng = np.random.default_rng(1)
    y = rng.random(2000) < 0.1
    good, bad = np.where(y, 0.6, 0.2) + 0.2 * rng.random(2000), rng.random(2000)
    low, high = _evaluation.intervals(y, good, bad, 0)["average_precision"]
    assert 0 < low < average_precision_score(y, good) - average_precision_score(y, bad) < high
    assert set(_evaluation.intervals(y, good, good, 0).values()) == {(0.0, 0.0)}


def test_outcomes_count() -> None:
    y, probability = np.array([1, 0, 1, 0, 0], bool), np.array([0.9, 0.9, 0.5, 0.4, 0.1])
    found = _evaluation.Outcomes.of(y, probability)
    np.testing.assert_array_equal(found.tp, [0, 1, 2, 2, 2])
    np.testing.assert_array_equal(found.fp, [0, 1, 1, 2, 3])
    assert found.best_f1() == 0.5
    assert found.for_recall(0.5) == 0.9
    assert found.for_precision(0.6) == 0.5
    assert found.for_precision(0.99) is None
    many = _evaluation.Outcomes.of(np.arange(5000) % 7 == 0, np.random.default_rng(0).random(5000))
    assert len(many.thresholds) <= 400
    assert many.tp[-1] + many.fp[-1] == 5000


def test_columns_are_what_they_are_in_training(data: Path) -> None:
    found = _table.read(data)
    schema, notes = _table.Schema.of(found, "rare")
    assert {c.name: c.kind for c in schema.columns} == {
        "number": "number", "kind": "category", "yes": "boolean", "day": "date"
    }  # fmt: skip
    assert notes == []
    (frame,) = schema.frames(found, data)
    assert frame.day.max() - frame.day.min() == pytest.approx(
        table().day.max().toordinal() - table().day.min().toordinal()
    )
    clock = pa.table(
        {"t": pa.array([0, 43_200_000_000, None], pa.time64("us")), "d": pa.array([1, 2, 3], pa.duration("s"))}
    )
    shown = _table.Schema.of(clock, "none")[0].frames(clock, data)[0]
    np.testing.assert_allclose(shown.t, [0, 0.5, np.nan])
    np.testing.assert_allclose(shown.d, np.array([1, 2, 3]) / 86400)
    with pytest.raises(UserError, match="nearest are 'rare'"):
        _table.without_missing(found, "rrae", False, data)
