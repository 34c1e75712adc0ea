"""`focal-loss fit --weight`: rows that count by the numbers of a column."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from commands import QUICK, refused, run, table

from focal_loss._command import boosters, division, evaluation, fit, listings, page, parts, search, store, temper
from focal_loss._command.division import Part
from focal_loss._command.evaluation import Measure
from focal_loss._dispatch.frameworks import BOOSTERS


def metrics(directory: Path) -> Any:
    return json.loads((directory / "metrics.json").read_text())


# ---------------------------------------------------------------------------------------------------------------
# Weights of one, and of another scale
# ---------------------------------------------------------------------------------------------------------------

WAYS = [*(("--engine", engine) for engine in BOOSTERS), ("--repeats", 2), ("--group", "patient"), ("--time", "day")]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: str(way[1]))
def test_weights_of_one_change_nothing(way: tuple[Any, ...], tmp_path: Path) -> None:
    frame = table(500).assign(patient=np.arange(500) // 3, w=1.0)
    frame.to_csv(tmp_path / "t.csv", index=False)
    given = ("fit", tmp_path / "t.csv", "--target", "rare", *QUICK, *way)
    assert run(*given, "--ignore", "w", "--out", tmp_path / "plain") == 0
    assert run(*given, "--weight", "w", "--out", tmp_path / "ones") == 0
    assert metrics(tmp_path / "ones") == metrics(tmp_path / "plain")
    trials = [pd.read_parquet(tmp_path / name / "trials.parquet") for name in ("ones", "plain")]
    pd.testing.assert_frame_equal(*trials)
    one, other = (store.Stored.load(tmp_path / name).outcomes for name in ("ones", "plain"))
    assert one.to_json() == other.to_json()


@pytest.mark.parametrize("engine", BOOSTERS)
def test_the_scale_of_the_weights_changes_nothing(engine: str, tmp_path: Path) -> None:
    frame = table(600)
    weight = np.where(frame.rare == 1, 1.0, np.random.default_rng(1).choice([2.3, 7.1], 600))
    for name, factor in (("one", 1), ("thousand", 1000)):
        frame.assign(w=factor * weight).to_parquet(tmp_path / f"{name}.parquet")
        given = ("fit", tmp_path / f"{name}.parquet", "--target", "rare", "--weight", "w", "--engine", engine, *QUICK)
        assert run(*given, "--trials", 2, "--out", tmp_path / name) == 0
    found, expected = (metrics(tmp_path / name) for name in ("thousand", "one"))
    for name, row in expected["metrics"].items():
        for loss, estimate in row["models"].items():
            assert found["metrics"][name]["models"][loss] == pytest.approx(estimate, rel=1e-6)
        assert found["metrics"][name]["floor"] == pytest.approx(row["floor"], rel=1e-6)
    for cell in ("tp", "fp", "fn", "tn"):
        assert found["decision"][cell] == pytest.approx(1000 * expected["decision"][cell], rel=1e-6)


# ---------------------------------------------------------------------------------------------------------------
# What weights do
# ---------------------------------------------------------------------------------------------------------------


def rare(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, rows))
    return pd.DataFrame({"a": a, "b": b, "y": (rng.random(rows) < 1 / (1 + np.exp(4 - 1.5 * a - b))).astype(int)})


@pytest.mark.parametrize("engine", BOOSTERS)
def test_negatives_that_were_thinned_out_count_again(engine: str, tmp_path: Path) -> None:
    """About 5 % of new rows are positive, and about a third of those in training."""
    whole, new = rare(20_000, 0), rare(20_000, 1)
    drawn = (whole.y == 1) | (np.random.default_rng(2).random(len(whole)) < 0.1)
    whole[drawn].assign(w=np.where(whole.y[drawn] == 1, 1, 10)).to_csv(tmp_path / "thin.csv", index=False)
    new.to_csv(tmp_path / "new.csv", index=False)
    found = {}
    for name, option in (("weighted", ("--weight", "w")), ("plain", ("--ignore", "w"))):
        given = ("fit", tmp_path / "thin.csv", "--target", "y", "--engine", engine, *QUICK, *option)
        assert run(*given, "--metric", "log_loss", "--out", tmp_path / name) == 0
        assert run("predict", tmp_path / name, tmp_path / "new.csv", "--out", tmp_path / "p.csv") == 0
        found[name] = pd.read_csv(tmp_path / "p.csv").probability.mean()
    assert found["weighted"] == pytest.approx(new.y.mean(), rel=0.15)
    assert found["plain"] > 3 * new.y.mean()
    floor = {name: metrics(tmp_path / name)["metrics"]["average precision"]["floor"] for name in found}
    assert floor["weighted"] == pytest.approx(whole.y.mean(), rel=0.1)
    assert floor["plain"] > 3 * floor["weighted"]


def contradicted(rows: int = 400) -> tuple[Part, Part, np.ndarray]:
    """Two parts in which each row comes with both labels, and whether the label is that of the column."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"column_0": rng.normal(size=rows).repeat(2), "column_1": rng.normal(size=2 * rows)})
    right = np.arange(2 * rows) % 2 == 0
    y = (X["column_0"].to_numpy() > 0) == right
    half = rows
    return Part(X[:half], y[:half]), Part(X[half:].reset_index(drop=True), y[half:]), right[:half]


@pytest.mark.parametrize("loss", ["focal", "plain"])
@pytest.mark.parametrize("engine", BOOSTERS)
def test_training_stops_early_by_the_weights_of_the_held_rows(engine: str, loss: str) -> None:
    """Rows with the label of the column, which training finds, take many rounds; rows with the other label, one."""
    booster = boosters.booster(engine)
    part, held, right = contradicted()
    part = part._replace(weight=np.where(right, 1.9, 0.1))
    rounds = []
    for weight in (np.where(right, 1.9, 0.1), np.where(right, 0.1, 1.9)):
        model = getattr(booster, loss)(**booster.parameters({"learning_rate": 0.05}, 300, 1, 0))
        rounds.append(booster.fit_until(model, part, held._replace(weight=weight), time.monotonic() + 600))
    assert rounds[0] > 10
    assert rounds[1] == 1


@pytest.mark.parametrize("loss", ["focal", "plain"])
@pytest.mark.parametrize("engine", BOOSTERS)
def test_training_learns_by_the_weights(engine: str, loss: str) -> None:
    booster = boosters.booster(engine)
    part, held, right = contradicted()
    for weight, sign in ((np.where(right, 1.9, 0.1), 1), (np.where(right, 0.1, 1.9), -1)):
        model = getattr(booster, loss)(**booster.parameters({"learning_rate": 0.05}, 60, 1, 0))
        both = (each._replace(weight=weight) for each in (part, held))
        booster.fit_until(model, *both, time.monotonic() + 600)
        x = pd.DataFrame({"column_0": [-1.0, 1.0], "column_1": [0.0, 0.0]})
        low, high = model.predict_proba(x)[:, 1]
        assert sign * (high - low) > 0.1


# ---------------------------------------------------------------------------------------------------------------
# The search
# ---------------------------------------------------------------------------------------------------------------


def searching(weight: np.ndarray | None, engine: str = "lightgbm") -> search.Search:
    rows = np.arange(40)
    X, y = pd.DataFrame({"a": rows / 7}), rows % 4 == 0
    folds = ((rows[:20], rows[20:]), (rows[20:], rows[:20]))
    settings = search.Settings(engine, None, None, "roc_auc", 2, 0)
    return search.Search(X, y, weight, folds, settings, 1)


def test_stored_searches_without_weights_are_found_again() -> None:
    """The digest is that of the version without weights. Other weights are another search."""
    assert searching(None)._fingerprint() == "faef02d3c32f0230"
    weight = np.linspace(1, 2, 40)
    digests = [searching(given)._fingerprint() for given in (None, weight, weight[::-1], np.ones(40))]
    assert len(set(digests)) == 4


def test_trials_are_scored_by_weight() -> None:
    weight = np.linspace(1, 3, 40)
    found, given = searching(weight), []

    def score(y: np.ndarray, probability: np.ndarray, sample_weight: np.ndarray) -> float:
        given.append(sample_weight)
        return 0.5

    found.measure = Measure("score", score, True)
    found._folds("cross-entropy", {"min_child_samples": 2})
    for seen, (_, rest) in zip(given, found.folds, strict=True):
        np.testing.assert_allclose(seen, weight[rest] / 2)


def test_the_range_of_the_weight_of_positives_is_that_of_the_weighted_classes() -> None:
    """Three negatives for a positive, each of weight 5, are fifteen."""

    class Trial:
        def suggest_float(self, name: str, low: float, high: float, log: bool = False) -> float:
            return high

    weight = np.where(np.arange(40) % 4 == 0, 1.0, 5.0)
    found = [searching(given)._focus(Trial(), "focal")["pos_weight"] for given in (None, weight, 100 * weight)]
    assert found == pytest.approx([3, 15, 15])


@pytest.mark.parametrize("engine", BOOSTERS)
def test_scores_out_of_fold_and_final_models_learn_by_the_weights(engine: str) -> None:
    """Rows 0 to 19 and 20 to 39 are alike and labelled oppositely; weights choose which are believed."""
    rng = np.random.default_rng(0)
    a = np.tile(rng.normal(size=100), 2)
    X, y = pd.DataFrame({"a": a}), np.where(np.arange(200) < 100, a > 0, a <= 0)
    folds = tuple((np.flatnonzero(np.arange(200) % 2 == k), np.flatnonzero(np.arange(200) % 2 != k)) for k in (0, 1))
    settings = search.Settings(engine, None, None, "roc_auc", 2, 0)
    for weight, sign in ((np.repeat([1.9, 0.1], 100), 1), (np.repeat([0.1, 1.9], 100), -1)):
        found, part = search.Search(X, y, 7 * weight, folds, settings, 1), Part(X, y, 7 * weight)
        data: Any = SimpleNamespace(train=part, searched=part)
        assert found.relative == pytest.approx(weight)
        parameters = {"learning_rate": 0.3} | ({"min_child_samples": 5} if engine == "lightgbm" else {})
        best = search.Best(parameters, (0.5, 0.5), 10)
        scores = found.out_of_fold("focal", best)
        assert sign * (scores[a > 0].mean() - scores[a <= 0].mean()) > 0.3
        probability = fit.on_all(data, found)(found, "focal", best).predict_proba(found.table)[:, 1]
        assert sign * (probability[a > 0].mean() - probability[a <= 0].mean()) > 0.1


# ---------------------------------------------------------------------------------------------------------------
# The column
# ---------------------------------------------------------------------------------------------------------------


def numbered(rows: int = 600) -> pd.DataFrame:
    """A table whose row k has the weight k mod 7, and a column that holds k."""
    return table(rows).assign(patient=np.arange(rows) // 4, row=np.arange(float(rows)), w=np.arange(rows) % 7)


@pytest.mark.parametrize("split", ["", "group", "time", "both", "file", "sample"])
def test_each_row_keeps_its_weight(split: str, tmp_path: Path) -> None:
    frame = numbered()
    train, held = (frame[:402], frame[402:]) if split == "file" else (frame, None)
    train.to_csv(tmp_path / "a.csv", index=False)
    group = "patient" if split in ("group", "both", "file") else None
    time_ = "day" if split in ("time", "both") else None
    if held is not None:
        held.to_parquet(tmp_path / "b.parquet")
    file = None if held is None else tmp_path / "b.parquet"
    sample = 200 if split == "sample" else None
    question = division.Question("rare", None, False, 3, 0, group, time_, file, sample, "w")
    found = division.load(tmp_path / "a.csv", question)
    assert len(found.searched.y) == (sample or len(found.train.y))
    for part in (found.train, found.searched, found.test):
        row = part.X["row"].to_numpy().astype(int)
        np.testing.assert_array_equal(part.weight, row % 7)
        np.testing.assert_array_equal(part.y, frame.rare[row] == 1)
    assert "w" not in found.train.X.columns
    assert "'w' weighs the rows, and the model does not see it" in found.notes
    nothing = int((frame.w == 0).sum())
    assert f"{nothing} rows of weight 0 are left out" in found.notes
    left = (frame.w > 0)[: len(train)].sum() - (2 if split == "file" else 0)  # without two of a group that is held out
    assert len(found.target.labels) == len(found.weight) == left
    positives, negatives = found.totals
    assert positives == found.weight[found.target.labels].sum()
    assert positives + negatives == found.weight.sum()


def test_weights_are_read_as_people_write_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Commas before decimals in another column show that 1.234 is a thousand."""
    frame = table()
    number = frame.number.map(lambda x: "" if np.isnan(x) else f"{x:.3f}".replace(".", ","))
    frame.assign(number=number, w="1.234").to_csv(tmp_path / "t.csv", sep=";", index=False)
    question = division.Question("rare", None, False, 3, 0, weight="w")
    found = division.load(tmp_path / "t.csv", question)
    assert set(found.train.weight) == {1234.0}
    frame.assign(w=np.where(frame.yes, "EUR 1,234.50", "EUR 2.00")).to_csv(tmp_path / "u.csv", index=False)
    found = division.load(tmp_path / "u.csv", question)
    assert set(found.train.weight) == {1234.5, 2.0}
    assert "'w' holds amounts such as 'EUR 1,234.50', read as 1234.5" in found.notes


def test_what_a_weighted_fit_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = table()
    frame.assign(w=np.where(frame.rare == 1, 1.0, 9.5)).to_csv(tmp_path / "t.csv", index=False)
    share = f"{100 * 82 / (82 + 9.5 * 318):.3g}% by weight"
    assert run("fit", tmp_path / "t.csv", "--target", "rare", "--weight", "w", *QUICK, "--out", tmp_path / "m") == 0
    assert f"400 rows, 82 of them with rare = 1, {share}" in capsys.readouterr().err
    report = (tmp_path / "m" / "report.html").read_text()
    assert f"82 (20.50%, {share})" in report
    assert "Below, a row of weight w counts as w rows." in report
    table().drop(columns="rare").to_csv(tmp_path / "new.csv", index=False)
    assert run("predict", tmp_path / "m", tmp_path / "new.csv", "--out", tmp_path / "p.csv") == 0


def test_the_report_of_a_weighted_fit_counts_by_weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = table()
    weight = np.where(frame.rare == 1, 1.0, 6.0) * np.random.default_rng(0).choice([1.0, 2.5], 400)
    frame.assign(w=weight).to_csv(tmp_path / "t.csv", index=False)
    content, helpful, seen = page.content, temper.helpful, {}
    monkeypatch.setattr(page, "content", lambda *given: seen.setdefault("page", (given[0][0], content(*given)))[1])

    def tempered(*given: Any) -> temper.Temperature:
        seen["temperature"] = given[4]
        return helpful(*given)

    monkeypatch.setattr(temper, "helpful", tempered)
    assert run("fit", tmp_path / "t.csv", "--target", "rare", "--weight", "w", *QUICK, "--out", tmp_path / "m") == 0
    result, report = seen["page"]
    held, p = result.data.test, result.focal.probability
    np.testing.assert_array_equal(seen["temperature"], result.data.train.weight)
    assert report.precision_recall["focal"] == page.precision_recall(held.y, p, held.weight)
    assert report.roc["focal"] == page.roc(held.y, p, held.weight)
    mean, frequency, rows = evaluation.reliability(held.y, p, weight=held.weight)
    assert vars(report.reliability["focal, calibrated"]) == {"mean": mean, "frequency": frequency, "count": rows}
    models = {loss: result.candidates[loss].probability for loss in search.LOSSES}
    assert report.ranking == listings.ranking(held.y, models, held.weight)
    bins = {"cross-entropy": models["cross-entropy"], "focal, scores": result.focal.scores, "focal, calibrated": p}
    assert report.calibration == listings.calibration(held.y, bins, held.weight)
    stored = result.winner.probability
    assert report.rates == listings.rates(held.y, stored, result.threshold, held.weight)
    assert report.outcomes == page.outcomes(held.y, stored, result.threshold, held.weight)
    assert report.outcomes.tp[0] + report.outcomes.fn[0] == pytest.approx(held.weight[held.y].sum())
    assert report.cost_fn == round(weight[frame.rare == 0].sum() / weight[frame.rare == 1].sum())
    other = SimpleNamespace(train=result.data.train, test=held._replace(weight=2 * held.weight))
    assert page.fingerprint(other) != page.fingerprint(result.data)


def broken(frame: pd.DataFrame, value: object) -> pd.DataFrame:
    return frame.assign(w=frame.w.astype(object).where(frame.index != 5, value))


BAD_COLUMNS: dict[str, tuple[Any, str]] = {
    "missing": (
        lambda frame: broken(frame, None),
        "the weight 'w' is missing in 1 rows; give each row a number, and 0",
    ),
    "negative": (
        lambda frame: broken(frame, -2.5),
        "must hold 0, or numbers from 1e-12 to 1e+12, and holds -2.5; give each row",
    ),
    "infinite": (
        lambda frame: broken(frame, np.inf),
        "must hold 0, or numbers from 1e-12 to 1e+12, and holds inf; give each",
    ),
    "words": (lambda frame: frame.assign(w=frame.kind.fillna("x")), "'w' must hold numbers for --weight, not words"),
    "dates": (lambda frame: frame.assign(w=frame.day), "'w' must hold numbers for --weight, not dates"),
    "truths": (lambda frame: frame.assign(w=frame.yes), "'w' must hold numbers for --weight, not true and false"),
    "nothing": (lambda frame: frame.assign(w=0), "the weight 'w' is 0 in every row"),
    "absent": (lambda frame: frame.drop(columns="w"), "--weight: DATA has no column 'w'; there are 'number', "),
}


@pytest.mark.parametrize("name", BAD_COLUMNS)
def test_columns_that_are_no_weights(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil, message = BAD_COLUMNS[name]
    frame = table().assign(w=1 + np.arange(400) % 3)
    path, good = tmp_path / "t.csv", tmp_path / "good.csv"
    spoil(frame).to_csv(path, index=False)
    frame.to_csv(good, index=False)
    given = ("--target", "rare", "--weight", "w", *QUICK, "--out", tmp_path / "m")
    assert message.replace("DATA", str(path)) in refused(capsys, "fit", path, *given)
    if name in ("missing", "negative", "infinite", "nothing", "absent"):
        message = message.replace("there are 'number', ", "")
        assert message.replace("DATA", str(path)) in refused(capsys, "fit", good, *given, "--held-out", path)


def test_a_class_without_weight_is_not_called_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame, path, good = table(), tmp_path / "t.csv", tmp_path / "good.csv"
    frame.assign(w=1 - frame.rare).to_csv(path, index=False)
    frame.assign(w=1).to_csv(good, index=False)
    given = ("--target", "rare", "--weight", "w", *QUICK, "--out", tmp_path / "m")
    left = f"; {frame.rare.sum()} rows of weight 0 are left out"
    assert refused(capsys, "fit", path, *given).endswith(f"holds one class only, '0'{left}")
    said = refused(capsys, "fit", good, *given, "--held-out", path)
    assert "the held-out part holds no row that is '1'" in said
    assert said.endswith(left)


def test_columns_with_another_part_to_play(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    numbered().to_csv(tmp_path / "t.csv", index=False)
    given = ("fit", tmp_path / "t.csv", "--target", "rare", *QUICK, "--out", tmp_path / "m")
    assert "'rare' is the target, which --weight must not name" in refused(capsys, *given, "--weight", "rare")
    for option in ("group", "time"):
        message = f"'row' is what --{option} names, which --weight must not name"
        assert message in refused(capsys, *given, f"--{option}", "row", "--weight", "row")
    message = "'w' is named by --weight and by --categorical; choose one"
    assert message in refused(capsys, *given, "--weight", "w", "--categorical", "w")


def test_a_row_without_a_target_needs_no_weight(tmp_path: Path) -> None:
    frame = numbered().astype({"rare": object, "w": object})
    frame.loc[:9, ["rare", "w"]] = None
    frame.to_csv(tmp_path / "t.csv", index=False)
    found = division.load(tmp_path / "t.csv", division.Question("rare", None, True, 3, 0, weight="w"))
    assert len(found.weight) == (np.arange(10, 600) % 7 > 0).sum()


# ---------------------------------------------------------------------------------------------------------------
# Dask
# ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A table in two files, and one in which no row counts."""
    frame = numbered(1500)
    (tmp_path / "rows").mkdir()
    frame = frame.astype({"w": float})
    for name, part in (("a", frame[:900]), ("b", frame[900:]), ("c", frame[:70].assign(w=0.0))):
        part.to_parquet(tmp_path / "rows" / f"{name}.parquet", row_group_size=150)
    return tmp_path / "rows"


def test_the_rows_of_many_files_keep_their_weights(directory: Path) -> None:
    found = parts.load(directory, division.Question("rare", None, False, 2, 0, weight="w"), "lightgbm", 700)
    learned = pd.concat([found.read(k) for k in range(3)])
    row = [column.name for column in found.data.schema.columns].index("row")
    np.testing.assert_array_equal(learned.weight, learned.iloc[:, row] % 7)
    assert learned.weight.min() == 1
    held = set(found.data.test.X["row"].astype(int))
    assert set(learned.iloc[:, row].astype(int)) == {k for k in range(1500) if k % 7} - held
    for part in (found.data.train, found.data.test):
        np.testing.assert_array_equal(part.weight, part.X["row"] % 7)
    nothing = sum(k % 7 == 0 for k in range(1500)) + 70
    assert f"{nothing} rows of weight 0 are left out" in found.data.notes
    assert f"then Dask trained the models on {len(learned)}," in found.data.notes[0]


@pytest.mark.parametrize("engine", ["lightgbm", "xgboost"])
def test_dask_learns_by_the_weights_as_one_machine_does(engine: str, directory: Path, tmp_path: Path) -> None:
    for path in directory.iterdir():
        path.unlink()
    frame = table(900)
    frame.assign(w=np.where(frame.rare == 1, 1.0, 8.0)).to_parquet(directory / "b.parquet")
    given = ("--target", "rare", "--weight", "w", "--engine", engine, *QUICK, "--seed", 3)
    assert run("fit", directory, "--dask", "local", *given, "--out", tmp_path / "dask") == 0
    assert run("fit", directory / "b.parquet", *given, "--out", tmp_path / "one") == 0
    found, expected = (metrics(tmp_path / name)["metrics"] for name in ("dask", "one"))
    for name, row in expected.items():
        for loss, estimate in row["models"].items():
            assert found[name]["models"][loss] == pytest.approx(estimate, rel=1e-6), name


def test_weights_outside_of_the_sample_are_checked_too(
    directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    local = ("--target", "rare", "--weight", "w", "--dask", "local", *QUICK, "--out", tmp_path / "out")
    for value, message in ((np.nan, "is missing in 3 rows; give each row"), (-1.0, "and holds -1; give each row")):
        frame = numbered(1500)[900:].astype({"w": float})
        frame.loc[[900, 1100, 1499], "w"] = value  # in row groups of their own
        frame.to_parquet(directory / "b.parquet", row_group_size=150)
        said = refused(capsys, "fit", directory, *local, "--sample", 400)
        assert f"{directory / 'b.parquet'}: the weight 'w'" in said
        assert message in said
