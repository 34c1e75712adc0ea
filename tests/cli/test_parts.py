"""A directory of Parquet files, learned from by Dask."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from commands import QUICK, refused, run, table

from focal_loss._command import division, parts, reading, store

COUNTED = pa.proxy_memory_pool(pa.system_memory_pool())  # must outlive what is allocated from it


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A table in three files of different sizes, the last without positives, and an empty one."""
    frame = table(1500).sort_values("rare", ascending=False, ignore_index=True).assign(row=np.arange(1500.0))
    (tmp_path / "rows" / "more").mkdir(parents=True)
    for name, low, high in (("a", 0, 700), ("more/b", 700, 800), ("c", 800, 1500), ("d", 1500, 1500)):
        frame.iloc[low:high].to_parquet(tmp_path / "rows" / f"{name}.parquet", row_group_size=150)
    return tmp_path / "rows"


def test_held_out_rows_are_in_no_training_part(directory: Path) -> None:
    """The sample is divided, and every other row of the files is learned from."""
    found = parts.load(directory, division.Question("rare", None, False, 2, 0), "lightgbm", 600)
    frames = [found.read(k) for k in range(3)]
    assert [len(frame) + len(held) for frame, held in zip(frames, found.held, strict=True)] == [700, 700, 100]
    learned = pd.concat(frames)
    assert len(learned) == 1500 - 120
    assert sum(map(len, found.held)) == 120
    row = [column.name for column in found.data.schema.columns].index("row")
    train, test = (part.X.iloc[:, row].tolist() for part in (found.data.train, found.data.test))
    assert len(train) == 480
    assert set(learned.iloc[:, row]) == set(range(1500)) - set(test)
    assert not set(train) & set(test)
    whole = table(1500).sort_values("rare", ascending=False, ignore_index=True)
    assert learned.label.tolist() == whole.rare[learned.iloc[:, row]].astype(bool).tolist()
    assert found.data.test.y.tolist() == whole.rare[test].astype(bool).tolist()


def test_a_sample_of_one_row_group_takes_little_memory(tmp_path: Path) -> None:
    """Each column has one page, which is decoded as a whole, but not those of all columns at once."""
    rng = np.random.default_rng(0)
    whole = pa.table({f"column.{k}": rng.normal(size=20_000) for k in range(40)})
    pyarrow.parquet.write_table(whole, tmp_path / "wide.parquet")
    rows = np.arange(0, 20_000, 100)
    pa.set_memory_pool(COUNTED)
    try:
        drawn, missing = parts.sample(tmp_path / "wide.parquet", rows, "column.3")
    finally:
        pa.set_memory_pool(pa.system_memory_pool())
    assert drawn.equals(whole.take(rows))
    assert missing == 0
    assert COUNTED.max_memory() < whole.nbytes / 8


def test_a_directory_is_learned_from_by_dask(
    directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, sample = tmp_path / "model", ("--dask", "local", "--sample", 600)
    assert run("fit", directory, "--target", "rare", "--engine", "xgboost", *sample, *QUICK, "--out", out) == 0
    said = capsys.readouterr().err
    words = "a random sample of 480; the metrics, their intervals and the test of the threshold are from 120 other rows"
    assert words in " ".join(said.split())
    assert "Dask trained the models on 1380" in " ".join(said.split())
    assert "3 files hold 1500 rows" in (out / "report.html").read_text(encoding="utf-8")
    measured = json.loads((out / "metrics.json").read_text())["decision"]
    assert sum(measured[name] for name in ("tp", "fp", "fn", "tn")) == 120
    path = directory / "a.parquet"
    probability, _ = store.Stored.load(out).probability(reading.read(path), path)
    labels = pd.read_parquet(directory / "a.parquet").rare
    assert probability[labels == 1].mean() > 2 * probability[labels == 0].mean()


def test_all_rows_in_one_file_give_the_model_of_one_machine(directory: Path, tmp_path: Path) -> None:
    """With a sample of all rows both ways of training see the same rows."""
    for name in "acd":
        (directory / f"{name}.parquet").unlink()
    table(900).to_parquet(directory / "more" / "b.parquet")
    arguments = ("--target", "rare", *QUICK, "--seed", 3)
    assert run("fit", directory, "--dask", "local", *arguments, "--out", tmp_path / "dask") == 0
    assert run("fit", directory / "more" / "b.parquet", *arguments, "--out", tmp_path / "one") == 0
    found, expected = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("dask", "one"))
    for name, row in expected["metrics"].items():
        assert found["metrics"][name]["models"]["focal"] == pytest.approx(row["models"]["focal"], rel=1e-6), name


def test_what_cannot_be_learned_from_is_one_line(
    directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    local = ("--target", "rare", "--dask", "local", *QUICK, "--out", tmp_path / "out")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds no Parquet file" in refused(capsys, "fit", empty, *local)
    assert "must be a directory" in refused(capsys, "fit", directory / "a.parquet", *local)
    assert "catboost does not learn by Dask" in refused(capsys, "fit", directory, *local, "--engine", "catboost")
    wrong = refused(capsys, "fit", directory, *local, "--target", "rear")
    assert "has no column 'rear'; the nearest are 'rare'" in wrong
    at = ("--target", "rare", "--dask", "nowhere", *QUICK, "--out", tmp_path / "out")
    assert "cannot reach the scheduler nowhere" in refused(capsys, "fit", directory, *at)
    frame = table(50).assign(row=0.0)
    frame.assign(rare=frame.rare.where(frame.index > 3)).to_parquet(directory / "d.parquet")
    assert "'rare' is missing in 4 rows; leave them out" in refused(capsys, "fit", directory, *local)
    frame.drop(columns="kind").to_parquet(directory / "e.parquet")
    assert "e.parquet has other columns than" in refused(capsys, "fit", directory, *local)
