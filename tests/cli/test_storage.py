"""Databases of trials: killed, shared, broken; and what a search does with its time."""

from __future__ import annotations

import itertools
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from commands import QUICK, refused, run, typed

from focal_loss import _fit, _search, cli


@pytest.mark.parametrize("moment", range(5))
def test_killed_at_any_moment_it_goes_on(moment: int, data: Path, tmp_path: Path) -> None:
    """Killed as soon as the database holds so many finished trials; none of them is lost."""
    path, out = tmp_path / "trials.db", tmp_path / "model"
    command = typed("fit", data, "--target", "rare", "--trials", 3, "--folds", 2, "--jobs", 1)
    command += ["--storage", f"sqlite:///{path}", "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(finished(path)) < moment and process.poll() is None:
        os.sched_yield()
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = finished(path)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(pd.read_parquet(out / "trials.parquet")) == 6
    after = finished(path)
    assert len(after) == 6
    assert before.items() <= after.items()


def finished(path: Path) -> dict[int, float]:
    """The scores of the trials that a database holds; none while its tables are being made."""
    if not path.exists():
        return {}
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        try:
            query = "select trial_id, value from trials join trial_values using (trial_id) where state = 'COMPLETE'"
            return dict(database.execute(query).fetchall())
        except sqlite3.OperationalError:
            return {}


def test_time_is_kept(data: Path, tmp_path: Path) -> None:
    """No trial starts after the limit, but there is one of each loss."""
    given = ("fit", data, "--target", "rare", "--trials", 50, "--folds", 2, "--jobs", 1, "--time-limit", 0)
    assert run(*given, "--out", tmp_path / "m") == 0
    assert len(pd.read_parquet(tmp_path / "m" / "trials.parquet")) == 2


def test_passwords_are_not_shown(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    urls = {
        "a+b://me:se:cret@h/db": "a+b://me:***@h/db",
        "a://me:se@cret@h": "a://me:***@h",
        "a:/me:sec ret@h/db": "a:/me:***@h/db",
        "a://h/db?user=me&password=secret&x=1": "a://h/db?user=me&password=***&x=1",
        "sqlite:///trials.db": "sqlite:///trials.db",
    }
    for url, shown in urls.items():
        assert _search.without_password(url) == shown
    assert cli.written(["fit", "my data.csv", "--storage", "a://me:se cret@h"]) == (
        "focal-loss fit 'my data.csv' --storage 'a://me:***@h'"
    )
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
    command = typed("fit", data, "--target", "rare", "--trials", 4, "--folds", 2, "--jobs", 1)
    command += ["--storage", f"sqlite:///{tmp_path / 'trials.db'}", "--out"]
    outs = [tmp_path / "one", tmp_path / "two"]
    with open(os.devnull, "w") as nowhere:
        both = [subprocess.Popen([*command, str(out)], stdout=nowhere, stderr=nowhere) for out in outs]
        assert [process.wait() for process in both] == [0, 0]
    trials = [pd.read_parquet(out / "trials.parquet") for out in outs]
    for found in trials:
        assert 4 <= sum(found.loss == "focal") <= 5
        assert 4 <= sum(found.loss == "cross-entropy") <= 5
    assert len(set(trials[0].score)) > len(trials[0]) / 2, "the two drew the same"


def search(data: Path, url: str | None = None) -> _search.Search:
    found = _fit.load(data, "rare", None, False, 2, 0)
    settings = _search.Settings("lightgbm", None, None, "average_precision", 2, 0)
    return _search.Search(*found.train, settings, 1, url)


def test_a_storage_that_breaks_in_a_search(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "trials.db"
    score = _search.Search._score

    def and_break(self: Any, trial: Any, loss: Any) -> float:
        with closing(sqlite3.connect(path)) as database:
            database.execute("drop table trial_user_attributes")
        return score(self, trial, loss)

    monkeypatch.setattr(_search.Search, "_score", and_break)
    with pytest.raises(_search.UserError, match=r"the storage sqlite.* failed; its trials are kept"):
        search(data, f"sqlite:///{path}").run(2, None, lambda done, best: None)


def test_a_storage_that_holds_something_else(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as database:
        database.execute("create table trials (a)")
    given = ("fit", data, "--target", "rare", *QUICK, "--out", tmp_path / "m")
    assert "cannot open the storage" in refused(capsys, *given, "--storage", f"sqlite:///{tmp_path / 'other.db'}")


@pytest.mark.parametrize("seconds", [0, 3, 6, 9, 12])
def test_both_losses_have_as_many_trials_when_the_time_is_over(
    seconds: int, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count()
    monkeypatch.setattr(_search.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(_search.Search, "_score", lambda self, trial, loss: 0.5)
    found = search(data)
    found.run(50, seconds, lambda done, best: None)
    counts = {len(found.finished(loss)) for loss in _search.LOSSES}
    assert len(counts) == 1
    assert 1 <= counts.pop() <= max(1, seconds)


def test_a_search_that_goes_on_draws_what_it_would_have_drawn(data: Path, tmp_path: Path) -> None:
    drawn = []
    for parts in ([3], [1, 2, 3]):
        url = f"sqlite:///{tmp_path / str(len(parts))}.db"
        for trials in parts:
            found = search(data, url)
            found.run(trials, None, lambda done, best: None)
        drawn.append([trial.params for loss in _search.LOSSES for trial in found.finished(loss)])
    assert drawn[0] == drawn[1]
    assert len({str(parameters) for parameters in drawn[0]}) == 6
