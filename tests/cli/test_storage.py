"""Databases of trials when a search is killed, shared or broken, and its time limit."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from commands import QUICK, refused, run, typed

from focal_loss._command import cli, division, search, urls
from focal_loss._dispatch.frameworks import BOOSTERS


@pytest.mark.parametrize("moment", range(5))
def test_a_search_killed_at_any_moment_continues(moment: int, data: Path, tmp_path: Path) -> None:
    """The search is killed once the database holds `moment` finished trials, and none of them is lost."""
    path, out = tmp_path / "trials.db", tmp_path / "model"
    command = typed("fit", data, "--target", "rare", "--trials", 3, "--folds", 2, "--repeats", 1, "--jobs", 1)
    command += ["--storage", f"sqlite:///{path}", "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(finished(path)) < moment and process.poll() is None:
        os.sched_yield()
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = finished(path)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(pd.read_parquet(out / "trials.parquet")) == 9
    after = finished(path)
    assert len(after) == 9
    assert before.items() <= after.items()


def finished(path: Path) -> dict[int, float]:
    """The scores of the finished trials in a database; empty while its tables are being created."""
    if not path.exists():
        return {}
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        try:
            query = "select trial_id, value from trials join trial_values using (trial_id) where state = 'COMPLETE'"
            return dict(database.execute(query).fetchall())
        except sqlite3.OperationalError:
            return {}


def test_the_time_limit_is_kept(data: Path, tmp_path: Path) -> None:
    """No trial starts after the limit, except the first of each loss."""
    given = (
        "fit",
        data,
        "--target",
        "rare",
        "--trials",
        50,
        "--folds",
        2,
        "--repeats",
        1,
        "--jobs",
        1,
        "--time-limit",
        0,
    )
    assert run(*given, "--out", tmp_path / "m") == 0
    assert len(pd.read_parquet(tmp_path / "m" / "trials.parquet")) == 3


URLS = {
    "a+b://me:Pa55@h/db": "a+b://me:***@h/db",
    "a://me:Pa 55@h:5432": "a://me:***@h:5432",
    "a://me:Pa%4055@h": "a://me:***@h",
    "a://:Pa55@h": "a://:***@h",
    "a://me@[::1]:5432/db": "a://me@[::1]:5432/db",
    "a://h/db?user=me&password=Pa55&x=1": "a://h/db?***",
    "a://h/db?pwd=Pa55": "a://h/db?***",
    "a://me:x@h/db?sslpassword=Pa55#Pa55": "a://me:***@h/db?***",
    # Mistyped
    "a://me:y@z:Pa55@h/db": "a://***",
    "a://me:Pa/55@h": "a://***",
    "a://me:Pa?55@h": "a://***",
    "a://me:Pa55/h/db": "a://***",
    "a://me:Pa55,h/db": "a://***",
    "a://me:5555": "a://me:***",
    "me:Pa55@h/db": "***",
    "a:/me:Pa55@h/db": "***",
    "a//me:Pa55@h/db": "***",
    "a:me:Pa55@h": "***",
    "://me:Pa55@h": "***",
    "host=h password=Pa55": "***",
    "db?pwd=Pa55": "***",
    "sqlite://me:Pa55@h": "sqlite://me:***@h",
    "sqlite:///a://me:Pa55@h": "sqlite://***",
    "sqlite+pysqlcipher://:Pa55@/trials.db": "sqlite+pysqlcipher://:***@/trials.db",
    # Without a secret
    "sqlite:///trials.db": "sqlite:///trials.db",
    "sqlite:////a@b/trials.db": "sqlite:////a@b/trials.db",
    "sqlite:///C:/my trials.db?timeout=9": "sqlite:///C:/my trials.db?***",
    "trials.db": "trials.db",
}


@pytest.mark.parametrize("url", URLS)
def test_passwords_are_not_shown(url: str) -> None:
    assert urls.shown(url) == URLS[url]
    assert "Pa" not in URLS[url]
    assert "55" not in URLS[url].replace("5432", "")
    for given in (["--storage", url], [f"--storage={url}"]):
        assert cli.written(["fit", "my data.csv", *given]) == shlex.join(
            ["focal-loss", "fit", "my data.csv", *(argument.replace(url, URLS[url]) for argument in given)]
        )


@pytest.mark.parametrize("url", [url for url in URLS if "55" in url.replace("5432", "")])
def test_no_message_repeats_a_password(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Messages of libraries, which parse a URL in their own ways, and messages about misplaced arguments."""
    kept = urls.secret(url)
    for part in (url, url.lower(), repr(url), unquote(url), kept, f"x{kept}x", *re.findall(r"\w+", kept)):
        said = urls.said_of(url, ValueError(f"cannot parse {part!r}"))
        assert "55" not in said, part
        assert "dialect://user:password@host/name" in said
    for given in (
        ("fit", url, "--target", "a"),
        ("fit", "data.csv", "--target", "a", "--storag", url),
        ("fit", "data.csv", "--target", "a", f"--storag={url}"),
        ("fit", "data.csv", "--target", "a", url),
        ("fit", "data.csv", "--target", "a", "--gamma", url),
        ("predict", url, url),
        (url,),
    ):
        said = refused(capsys, *given)
        assert "Pa" not in said, given
        assert "55" not in said.replace("5432", ""), given


@pytest.mark.parametrize("password", ["Pa55", "y@z:Pa55", "Pa55@", "Pa55?", "Pa55/x"])
@pytest.mark.parametrize("dialect", ["nosuch", "sqlite", "postgresql", "redis", "mysql"])
def test_a_storage_that_cannot_be_opened(
    dialect: str, password: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("fit", data, "--target", "rare", *QUICK, "--out", tmp_path / "m", "--storage")
    for url in (f"{dialect}://me:{password}@127.0.0.1:1/trials", f"me:{password}@127.0.0.1/{dialect}"):
        said = refused(capsys, *given, url)
        assert "storage" in said or "driver" in said
        assert "Pa55" not in said


def test_the_error_of_a_database_is_shown() -> None:
    url, said = "postgresql://bob:Pa55@h:5432/db", 'password authentication failed for user "bob"'
    assert urls.said_of(url, ValueError(said)) == said


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
    command = typed("fit", data, "--target", "rare", "--trials", 4, "--folds", 2, "--repeats", 1, "--jobs", 1)
    command += ["--storage", f"sqlite:///{tmp_path / 'trials.db'}", "--out"]
    outs = [tmp_path / "one", tmp_path / "two"]
    with open(os.devnull, "w") as nowhere:
        both = [subprocess.Popen([*command, str(out)], stdout=nowhere, stderr=nowhere) for out in outs]
        assert [process.wait() for process in both] == [0, 0]
    trials = [pd.read_parquet(out / "trials.parquet") for out in outs]
    for found in trials:
        assert all(4 <= sum(found.loss == loss) <= 5 for loss in search.LOSSES)
    assert len(set(trials[0].score)) > len(trials[0]) / 2, "the two drew the same"


def new_search(data: Path, url: str | None = None, engine: str = "lightgbm") -> search.Search:
    found = division.load(data, division.Question("rare", None, False, 2, 0))
    settings = search.Settings(engine, None, None, "average_precision", 2, 0)
    return search.Search(*found.train, found.folds, settings, 1, url)


def test_a_storage_that_breaks_in_a_search(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "trials.db"
    score = search.Search._score

    def and_break(self: Any, trial: Any, loss: Any, end: float) -> float:
        with closing(sqlite3.connect(path)) as database:
            database.execute("drop table trial_user_attributes")
        return score(self, trial, loss, end)

    monkeypatch.setattr(search.Search, "_score", and_break)
    with pytest.raises(search.UserError, match=r"the storage sqlite.* failed; its trials are kept"):
        new_search(data, f"sqlite:///{path}").run(2, None, lambda done, best: None)


def test_a_storage_that_holds_something_else(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as database:
        database.execute("create table trials (a)")
    given = ("fit", data, "--target", "rare", *QUICK, "--out", tmp_path / "m")
    assert "cannot open the storage" in refused(capsys, *given, "--storage", f"sqlite:///{tmp_path / 'other.db'}")


@pytest.mark.parametrize("seconds", [0, 3, 6, 9, 12])
def test_all_losses_have_as_many_trials_when_the_time_is_over(
    seconds: int, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count()
    monkeypatch.setattr(search.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(search.Search, "_score", lambda self, trial, loss, end: 0.5)
    found = new_search(data)
    found.run(50, seconds, lambda done, best: None)
    counts = [len(found.finished(loss)) for loss in search.LOSSES]
    assert max(counts) - min(counts) <= 1
    assert 1 <= min(counts) <= max(1, seconds)


def test_the_search_leaves_time_for_the_final_models(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 2 seconds a round for all rows, 5 rounds of each of three losses take 30 seconds, and as much on the folds."""
    clock = itertools.count()
    monkeypatch.setattr(search.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(search.Search, "_score", lambda self, trial, loss, end: 0.5)
    counts = []
    for learned in (0, 320):
        found = new_search(data)
        found.learned = learned
        assert len(found.y) == sum(len(train) for train, _ in found.folds) == 320
        found.kept = {loss: search.Best({}, (0.5,), 5, pace=2 / 320) for loss in search.LOSSES}
        assert found.ahead() == pytest.approx(30 if learned == 0 else 60)
        found.run(50, 90, lambda done, best: None)
        counts.append(sum(len(found.finished(loss)) for loss in search.LOSSES))
    assert counts[0] - counts[1] == pytest.approx(30 / 1, abs=15)
    assert counts[1] > 3


def test_the_best_is_of_as_many_trials_of_each_loss(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial that the others had no time for has no part."""
    monkeypatch.setattr(
        search.Search, "_folds", lambda self, loss, parameters, *rest: search.Best(parameters, (0.5,), 1)
    )
    found = new_search(data)
    found.run(2, None, lambda done, best: None)
    scores = itertools.count(0.6, 0.1)
    monkeypatch.setattr(
        search.Search, "_folds", lambda self, loss, parameters, *rest: search.Best(parameters, (next(scores),), 1)
    )
    found._try("focal", np.inf)
    assert [len(found.ended(loss)) for loss in search.LOSSES] == [3, 2, 2]
    found.kept.clear()
    assert found.best("focal").parameters == found.finished("focal")[0].user_attrs["parameters"]


@pytest.mark.parametrize("engine", BOOSTERS)
def test_a_running_trial_ends_when_the_time_is_over(engine: str, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time goes on by 1 with every look at the clock; a training looks after each round."""
    clock = itertools.count()
    found = new_search(data, engine=engine)
    found.run(1, None, lambda done, best: None)
    monkeypatch.setattr(search.time, "monotonic", lambda: next(clock))
    found._try("focal", 5)
    assert next(clock) < 20
    states = [trial.state.name for trial in found.studies["focal"].get_trials()]
    assert states == ["COMPLETE", "FAIL"]
    assert len(found.ended("focal")) == 1


def test_a_trial_that_is_worse_than_the_median_ends_early(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = new_search(data)
    found.run(search.UNPRUNED, None, lambda done, best: None)
    assert all(trial.state.name == "COMPLETE" for trial in found.ended("focal"))
    folds: list[float] = []
    monkeypatch.setattr(found.measure.__class__, "of", lambda *given: folds.append(0.0) or 0.0)
    found._try("focal", np.inf)
    assert len(folds) == 1
    assert found.ended("focal")[-1].state.name == "PRUNED"


def test_a_search_that_goes_on_draws_what_it_would_have_drawn(data: Path, tmp_path: Path) -> None:
    drawn = []
    for parts in ([3], [1, 2, 3]):
        url = f"sqlite:///{tmp_path / str(len(parts))}.db"
        for trials in parts:
            found = new_search(data, url)
            found.run(trials, None, lambda done, best: None)
        drawn.append([trial.params for loss in search.LOSSES for trial in found.finished(loss)])
    assert drawn[0] == drawn[1]
    assert len({str(parameters) for parameters in drawn[0]}) == 9
