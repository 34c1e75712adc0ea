"""Held-out rows and folds: by group, forward in time, both, or from a file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import QUICK, refused, run, table

from focal_loss._command import division, fit, search, splits

LABELS = np.random.default_rng(0).random(600) < 0.2
TIME = np.random.default_rng(2).integers(0, 90, 600)
GROUP = 2 * (TIME // 7) + np.random.default_rng(1).integers(0, 5, 600)  # each within five weeks


@pytest.mark.parametrize("time", [None, TIME], ids=["", "time"])
@pytest.mark.parametrize("group", [None, GROUP], ids=["", "group"])
def test_no_row_no_group_and_no_later_time_is_on_both_sides(group: np.ndarray | None, time: np.ndarray | None) -> None:
    split = splits.Split(LABELS, group, time, folds=4, seed=0)
    train, test = split.held_out()
    folds = split.within(train)
    assert len(folds) == 4
    pairs = [(train, test), *((train[learned], train[predicted]) for learned, predicted in folds)]
    for learned, predicted in pairs:
        assert not set(learned) & set(predicted)
        assert LABELS[learned].any()
        assert LABELS[predicted].any()
        if group is not None:
            assert not set(group[learned]) & set(group[predicted])
        if time is not None:
            assert time[learned].max() < time[predicted].min()
    assert 0.1 < len(test) / 600 < 0.3
    if time is None:
        assert sorted(np.concatenate([predicted for _, predicted in folds])) == list(range(len(train)))
        assert len(train) + len(test) == 600
        shares = [LABELS[predicted].mean() for _, predicted in pairs]
        assert max(shares) - min(shares) < 0.1, "strata"


def test_rows_of_one_time_stay_together() -> None:
    days = np.repeat([0, 1, 2, 3], [10, 60, 20, 10])
    labels = np.arange(100) % 5 == 0
    train, test = splits.Split(labels, None, days, folds=2, seed=0).held_out()
    assert set(days[test]) == {2, 3}
    assert set(days[train]) == {0, 1}


def test_patients_whose_label_is_a_coin_toss(tmp_path: Path) -> None:
    """Rows of one patient are alike. By rows, the model knows new rows of old patients; by patients, nothing."""
    rng = np.random.default_rng(0)
    columns = np.repeat(rng.normal(size=(150, 4)), 8, axis=0) + 0.02 * rng.normal(size=(1200, 4))
    frame = pd.DataFrame(columns, columns=list("abcd"))
    frame = frame.assign(patient=np.repeat([f"p{k}" for k in range(150)], 8), ill=np.repeat(rng.random(150) < 0.16, 8))
    frame.to_csv(tmp_path / "patients.csv", index=False)
    found = {}
    for name, option in (("rows", ()), ("patients", ("--group", "patient"))):
        given = ("fit", tmp_path / "patients.csv", "--target", "ill", *QUICK, *option)
        assert run(*given, "--metric", "roc_auc", "--out", tmp_path / name) == 0
        found[name] = json.loads((tmp_path / name / "metrics.json").read_text())["metrics"]["ROC AUC"]["models"]
    for loss in ("focal", "weighted cross-entropy", "cross-entropy"):
        assert found["rows"][loss]["low"] > 0.95
        by_patient = found["patients"][loss]
        assert by_patient["low"] < 0.5 < by_patient["high"]
        assert by_patient["high"] - by_patient["low"] > 0.2, "30 patients are 30 witnesses, not 240"
    report = (tmp_path / "patients" / "report.html").read_text()
    assert "&#39;patient&#39; splits the rows, and the model does not see it" in report


def test_the_latest_rows_are_held_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = table().assign(row=np.arange(400.0))
    path, out = tmp_path / "t.csv", tmp_path / "m"
    frame.to_csv(path, index=False)
    question = division.Question("rare", None, False, 3, 0, time="day")
    found = division.load(path, question)
    day = frame.day.to_numpy()
    train, test = (part.X["row"].astype(int).to_numpy() for part in (found.train, found.test))
    assert day[train].max() < day[test].min()
    assert "day" not in found.train.X.columns
    for learned, predicted in found.folds:
        assert day[train[learned]].max() < day[train[predicted]].min()
    assert run("fit", path, "--target", "rare", "--time", "day", *QUICK, "--out", out) == 0
    assert "'day' splits the rows" in capsys.readouterr().err
    assert run("predict", out, path, "--out", tmp_path / "p.csv") == 0, "the date is not needed"


def test_a_file_is_held_out(tmp_path: Path) -> None:
    frame = table(600)
    frame[:400].to_csv(tmp_path / "a.csv", index=False)
    frame[400:].to_parquet(tmp_path / "b.parquet")
    found = division.load(
        tmp_path / "a.csv", division.Question("rare", None, False, 3, 0, held_out=tmp_path / "b.parquet")
    )
    assert len(found.train.y) == 400
    assert found.test.y.tolist() == frame.rare[400:].astype(bool).tolist()
    np.testing.assert_array_equal(found.test.X["number"], frame.number[400:])
    given = ("fit", tmp_path / "a.csv", "--target", "rare", *QUICK, "--out", tmp_path / "m")
    assert run(*given, "--held-out", tmp_path / "b.parquet") == 0
    decision = json.loads((tmp_path / "m" / "metrics.json").read_text())["decision"]
    assert sum(decision[name] for name in ("tp", "fp", "fn", "tn")) == 200


def test_groups_of_the_held_out_file_are_not_learned_from(tmp_path: Path) -> None:
    frame = table(600).assign(patient=np.arange(600) // 4)
    frame[:402].to_csv(tmp_path / "a.csv", index=False)
    frame[402:].to_csv(tmp_path / "b.csv", index=False)
    found = division.load(
        tmp_path / "a.csv", division.Question("rare", None, False, 3, 0, "patient", None, tmp_path / "b.csv")
    )
    assert len(found.train.y) == 400
    assert "2 rows of groups that are held out are left out of the training" in found.notes


def test_what_cannot_be_split_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = table().assign(word=np.where(table().yes, "a", "b"), one=1, late=table().rare)
    frame.loc[3, "day"] = None
    path = tmp_path / "t.csv"
    frame.to_csv(path, index=False)
    given = ("fit", path, "--target", "rare", *QUICK, "--out", tmp_path / "m")
    assert "--group: " + str(path) + " has no column 'words'; the nearest are 'word'" in refused(
        capsys, *given, "--group", "words"
    )
    assert "'word' must hold dates or numbers for --time" in refused(capsys, *given, "--time", "word")
    assert "'day' is missing in 1 rows, which have no place in --time" in refused(capsys, *given, "--time", "day")
    assert "--group one names 1 groups, too few for 2 folds and a held-out part, which take 4" in refused(
        capsys, *given, "--group", "one"
    )
    assert "by --time the training part holds no row that is '1'" in refused(capsys, *given, "--time", "late")
    frame.assign(rare=frame.rare.map({0: "no", 1: "yes"})).to_csv(tmp_path / "other.csv", index=False)
    message = refused(capsys, *given, "--held-out", tmp_path / "other.csv")
    assert "the target 'rare' holds 'no', neither '1' nor '0'" in message
    folder = tmp_path / "rows"
    folder.mkdir()
    frame.to_parquet(folder / "a.parquet")
    given = ("fit", folder, "--target", "rare", "--dask", "local", "--out", tmp_path / "m")
    assert "--group splits a table in memory, and --dask takes none" in refused(capsys, *given, "--group", "word")


def test_few_positives_are_held_out_again_and_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table().to_csv(tmp_path / "t.csv", index=False)
    given = ("fit", tmp_path / "t.csv", "--target", "rare", "--trials", 1, "--folds", 2, "--jobs", 1)
    assert run(*given, "--out", tmp_path / "m") == 0
    said = capsys.readouterr().out
    assert "means over 5 held-out parts, drawn anew, with a search of their own; about 16 rows of each are '1'" in said
    five = json.loads((tmp_path / "m" / "metrics.json").read_text())["metrics"]["ROC AUC"]
    parts = []
    for seed in range(5):
        out = tmp_path / str(seed)
        assert run(*given, "--repeats", 1, "--seed", seed, "--out", out) == 0
        parts.append(json.loads((out / "metrics.json").read_text())["metrics"]["ROC AUC"]["models"])
    for loss, found in five["models"].items():
        values = np.array([part[loss]["value"] for part in parts])
        assert found["value"] == pytest.approx(values.mean(), rel=1e-9)
        reach = 2.776445 * values.std(ddof=1) * np.sqrt(1 / 5 + 80 / 320)
        assert found["high"] - found["value"] == pytest.approx(reach, rel=1e-6)
    assert (tmp_path / "m" / "model.txt").read_text() == (tmp_path / "0" / "model.txt").read_text()
    capsys.readouterr()
    assert "--time has one held-out part" in refused(
        capsys, *given, "--repeats", 2, "--time", "day", "--out", tmp_path / "n"
    )


@pytest.mark.parametrize("time", [None, TIME], ids=["", "time"])
@pytest.mark.parametrize("group", [None, GROUP], ids=["", "group"])
def test_a_sample_of_the_search_is_of_the_training_part(group: np.ndarray | None, time: np.ndarray | None) -> None:
    split = splits.Split(LABELS, group, time, folds=2, seed=0)
    train, _ = split.held_out()
    chosen = split.sample(train, 200)
    assert len(set(chosen)) == 200
    assert list(chosen) == sorted(chosen)
    assert chosen.max() < len(train)
    assert LABELS[train[chosen]].sum() == round(200 * LABELS[train].mean())
    everything = np.arange(len(train))
    np.testing.assert_array_equal(split.sample(train, len(train)), everything)
    np.testing.assert_array_equal(split.sample(train, None), everything)


def test_a_search_sees_more_rows_where_few_are_of_a_class() -> None:
    assert splits.enough(np.arange(1_000_000) % 10 == 0) == 200_000
    assert splits.enough(np.arange(1_000_000) % 500 > 0) == 500_000, "1,000 negatives"
    assert splits.enough(np.arange(1_000_000) % 5000 == 0) == 5_000_000, "all rows"


@pytest.mark.parametrize("held_out", [False, True], ids=["", "held-out"])
def test_the_search_sees_a_sample_and_the_models_learn_from_all(held_out: bool, tmp_path: Path) -> None:
    frame, other = table(1500), tmp_path / "other.csv"
    frame.to_csv(tmp_path / "data.csv", index=False)
    table(500, seed=1).to_csv(other, index=False)
    asked = division.Question("rare", None, False, 2, 0, held_out=other if held_out else None, sample=300)
    data = division.load(tmp_path / "data.csv", asked)
    learned = 1500 if held_out else 1200
    assert len(data.searched.X) == len(data.searched.y) == 300
    assert len(data.train.y) == learned
    assert f"a sample of 300 of the {learned:,} rows" in data.notes[-1]
    for X, y, _ in (data.train, data.searched):
        assert abs(y[X.number.to_numpy() > 1].mean() - 0.5) < 0.2, "labels of their rows"
    settings = search.Settings("lightgbm", None, None, "average_precision", 2, 0)
    found = search.Search(*data.searched, data.folds, settings, 1)
    model = fit.on_all(data, found)(found, "focal", search.Best(found.booster.default | {"gamma": 1.0}, (0.5,), 3))
    root = model.booster_.dump_model()["tree_info"][0]["tree_structure"]
    assert root["internal_count"] == learned


def test_a_sample_through_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame, data = table(1500), tmp_path / "data.csv"
    frame.assign(who=np.arange(1500) % 12).to_csv(data, index=False)
    given = ("fit", data, "--target", "rare", *QUICK)
    assert run(*given, "--sample", 400, "--out", tmp_path / "m") == 0
    assert "a sample of 400 of the 1,200 rows" in capsys.readouterr().err
    report = (tmp_path / "m" / "report.html").read_text()
    assert "rows of the search" in report
    assert "1,200 to learn from, 300 held out" in report
    for more, told in (((), "rows that are '1'"), (("--group", "who"), "of different groups")):
        said = refused(capsys, *given, "--sample", 3, *more, "--out", tmp_path / "n")
        assert said.startswith("focal-loss: --sample 3 draws"), said
        assert told in said or "rows that are '1'" in said


@pytest.mark.parametrize(
    ("options", "rows"),
    [({}, 1500), ({"group": "who"}, 1500 / 5), ({"time": "day"}, None), ({"held_out": "other.csv"}, 500)],
    ids=["random", "group", "time", "held-out"],
)
def test_how_well_the_share_of_positives_is_known(options: dict[str, str], rows: float, tmp_path: Path) -> None:
    """Where a part is drawn at random, its share is that of the table; where rows come in fives, by a fifth of them."""
    frame = table(1500).drop(columns="rare")
    if "group" in options:
        frame = pd.concat([frame[:300]] * 5, ignore_index=True)
    frame = frame.assign(rare=np.arange(1500) % 300 % 7 == 0, who=np.arange(1500) % 300)
    frame.to_csv(tmp_path / "data.csv", index=False)
    frame[:500].to_csv(tmp_path / "other.csv", index=False)
    if "held_out" in options:
        options = {"held_out": tmp_path / "other.csv"}
    data = division.load(tmp_path / "data.csv", division.Question("rare", None, False, 2, 0, **options))
    share = data.test.y.mean()
    assert data.share_error == pytest.approx(1 / np.sqrt((rows or len(data.test.y)) * share * (1 - share)), rel=0.03)
