"""The command when it is stopped from outside, and its warnings of words that a spreadsheet may run."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from commands import QUICK, refused, run, table

from focal_loss._boosting import objective
from focal_loss._command import fit, reading, search, targets, terminal
from focal_loss._dispatch.frameworks import BOOSTERS


@pytest.mark.parametrize("engine", BOOSTERS)
def test_an_interrupt_in_an_engine_is_an_interrupt(
    engine: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """CatBoost wraps an exception of its objective in an error of its own."""
    derivatives, calls = objective.BinaryLoss.derivatives, []

    def interrupted(self: Any, *arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) > 5:  # the first are those of the start score
            raise KeyboardInterrupt
        return derivatives(self, *arguments, **options)

    monkeypatch.setattr(objective.BinaryLoss, "derivatives", interrupted)
    given = ("fit", data, "--target", "rare", "--engine", engine, *QUICK, "--out", tmp_path / "m")
    assert run(*given) == 130
    assert len(calls) == 6
    said = capsys.readouterr()
    assert "Interrupt" not in said.out + said.err
    assert [path.name for path in tmp_path.iterdir()] == ["data.csv"]


@pytest.mark.parametrize("place", [(reading, "read"), (targets, "target"), (search, "opened"), (fit, "fit")])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_a_stop_anywhere_leaves_nothing(
    error: type[BaseException],
    place: tuple[Any, str],
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stopped(*arguments: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr(*place, stopped)
    status = run("fit", data, "--target", "rare", *QUICK, "--out", tmp_path / "m")
    said = capsys.readouterr().err
    if error is MemoryError:
        assert status == 2
        assert said.splitlines()[-1].endswith("not enough memory, MemoryError; give fewer rows or columns")
    else:
        assert status == 130
        assert "focal-loss: " not in said
    assert [path.name for path in tmp_path.iterdir()] == ["data.csv"]


def test_classes_that_a_spreadsheet_would_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Such words are written unchanged, and a line warns of them."""
    path, frame = tmp_path / "data.csv", table()
    classes = ("=cmd|' /C calc'!A0", "-1.5e3")
    frame.assign(rare=np.where(frame.rare == 1, *classes)).rename(columns={"rare": "@rare"}).to_csv(path, index=False)
    given = ("fit", path, "--target", "@rare", *QUICK, "--positive", classes[0])
    assert run(*given, "--out", tmp_path / "m") == 0
    capsys.readouterr()
    assert run("predict", tmp_path / "m", path, "--out", tmp_path / "p.csv", "--keep", "@rare") == 0
    written = pd.read_csv(tmp_path / "p.csv", dtype=str)
    assert set(written.prediction) == set(written["@rare"]) == set(classes)
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(" begins as a formula does")[0] for line in said] == ["'@rare'", repr(classes[0])]


@pytest.mark.parametrize("word", ["=1", "+a", "-a", "@a", "\t=1", "\r1", "\n1", "+", "-1,5", "--1"])
def test_words_that_begin_as_formulas(word: str) -> None:
    assert len(terminal.formulas(word, "yes", "-1", "+1.5", "-.5", "1", "", "a=b", "-1e5")) == 1


def test_no_memory_to_predict(fitted: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def too_large(*arguments: Any, **options: Any) -> None:
        raise MemoryError("Unable to allocate 7.45 GiB")

    monkeypatch.setattr("focal_loss.lightgbm.FocalLGBMClassifier.predict_proba", too_large)
    capsys.readouterr()
    assert "not enough memory, Unable to allocate 7.45 GiB" in refused(capsys, "predict", fitted, data)


def test_words_that_standard_output_cannot_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Data that the encoding lacks are refused, because an escaped word would be another class. Messages are
    escaped.
    """
    path = tmp_path / "data.csv"
    table().assign(rare=np.where(table().rare == 1, "gr\u00f6\u00dfer", "no")).to_csv(path, index=False)
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", ascii_only)
    given = ("fit", path, "--target", "rare", *QUICK, "--positive", "gr\u00f6\u00dfer", "--out", tmp_path / "\u00f6")
    assert run(*given) == 0
    assert b"Report: " in ascii_only.buffer.getvalue()  # type: ignore[attr-defined]
    assert run("predict", tmp_path / "\u00f6", path) == 2
    assert "standard output is ascii, which has no '\\xf6'; give --out" in capsys.readouterr().err
    assert run("predict", tmp_path / "\u00f6", path, "--out", tmp_path / "p.csv") == 0


def test_names_that_are_not_utf_8(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "m\udcff"
    assert "has a name that is not UTF-8" in refused(capsys, "fit", data, "--target", "rare", "--out", out)
    assert run("curve", "--out", tmp_path / "c\udcff.svg") == 0
    assert "c\\udcff.svg" in capsys.readouterr().out
