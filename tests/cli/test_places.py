"""Output is written completely or not at all, and nothing else is changed."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import QUICK, refused, run, typed

from focal_loss._command import files, fit, search, store
from focal_loss._command.errors import UserError
from focal_loss._dispatch.frameworks import BOOSTERS


def test_where_nothing_can_be_written_is_said_before_the_work(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(search.Search, "run", None)  # must not be reached
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


@pytest.mark.parametrize(
    "files",
    [
        {"model.json": '{"mine": 1}', "model.txt": "notes"},
        {"model.json": "", "trials.parquet/mine": "of a person"},
        {"model.json": '{"format": 1, "engine": "lightgbm", "columns": []}', "report.html/mine": "of a person"},
    ],
)
def test_names_alone_do_not_make_a_model(
    files: dict[str, str], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in files.items():
        path = tmp_path / "out" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    message = refused(capsys, "fit", data, "--target", "rare", "--out", tmp_path / "out", "--force")
    assert "of this command; choose another --out" in message
    for name, text in files.items():
        assert (tmp_path / "out" / name).read_text() == text


def test_the_table_is_not_replaced(fitted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    given = ("fit", fitted / "trials.parquet", "--target", "loss", "--out", fitted, "--force")
    assert "which would be replaced" in refused(capsys, *given)


def test_what_cannot_take_its_place_is_kept(
    fitted: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*arguments: Any) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(files, "_exchange", fail)
    assert run("fit", data, "--target", "rare", *QUICK, "--out", tmp_path / "new") == 2
    kept = Path(capsys.readouterr().err.strip().rpartition("what this fit found is in ")[2])
    assert (kept / "model.json").is_file()


def test_links_that_lead_nowhere_and_names_that_are_too_long(
    fitted: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    long = tmp_path / ("x" * 300)
    assert "is a link to itself" in refused(capsys, "fit", data, "--target", "rare", "--out", loop)
    assert run("predict", fitted, data, "--out", loop) == 0, "the link is replaced"
    for given in (("predict", fitted, data, "--out", long), ("curve", "--out", long.with_suffix(".png"))):
        assert "File name too long" in refused(capsys, *given)
    assert "File name too long" in refused(capsys, "fit", "x" * 300, "--target", "rare", "--out", tmp_path / "m")


def test_notes_do_not_get_into_what_is_asked_for(fitted: Path, data: Path) -> None:
    data.write_text(data.read_text().replace("green", "blue"))
    command = f"{sys.executable} -m focal_loss predict {fitted} {data} 2>&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("probability,prediction\n")


def test_predictions_go_where_they_can(
    fitted: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert "cannot write to" in refused(capsys, "predict", fitted, data, "--out", tmp_path)
    assert "cannot write to" in refused(capsys, "predict", fitted, data, "--out", tmp_path / "no" / "p.csv")
    assert run("predict", fitted, data, "--out", "/dev/null") == 0
    piped = f"{sys.executable} -m focal_loss predict {fitted} {data} --out /dev/stdout | cat"
    assert subprocess.check_output(["sh", "-c", piped]).startswith(b"probability,prediction")
    assert run("predict", fitted, data) == 0
    assert capsys.readouterr().out.startswith("probability,prediction\n")
    command = f"{sys.executable} -m focal_loss predict {fitted} {data} >&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "standard output is closed" in done.stderr


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")

    def fail() -> None:
        with files.writing(path) as new:
            new.write_text("half of the n")
            raise OSError(28, os.strerror(28))

    with pytest.raises(UserError, match="No space left"):
        fail()
    assert path.read_text() == "old"
    with files.writing(path) as new:
        new.write_text("new")
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"]


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


def test_a_name_that_is_too_long(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("fit", data, "--target", "rare", "--out")
    assert "File name too long" in refused(capsys, *given, tmp_path / ("x" * 300))


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_what_comes_to_lie_there_meanwhile_is_kept(
    force: list[str], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, whole_fit = tmp_path / "out", fit.fit

    def and_another(*arguments: Any, **options: Any) -> Any:
        out.mkdir()
        (out / "thesis.tex").write_text("years of work")
        return whole_fit(*arguments, **options)

    monkeypatch.setattr(fit, "fit", and_another)
    assert run("fit", data, "--target", "rare", *QUICK, "--out", out, *force) == 2
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]
    said = capsys.readouterr().err
    kept = Path(said.strip().rpartition("what this fit found is in ")[2])
    assert (kept / "model.json").is_file()


@pytest.mark.parametrize("engine", BOOSTERS)
def test_a_file_that_cannot_grow(engine: str, data: Path, tmp_path: Path) -> None:
    """The limit is the system's, because the boosters write their models without Python."""
    limited = "import resource, sys, os; resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048)); "
    limited += "os.execv(sys.argv[1], sys.argv[1:])"
    command = typed("fit", data, "--target", "rare", "--engine", engine, *QUICK, "--out", tmp_path / "out")
    command = [sys.executable, "-c", limited, *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "cannot write" in done.stderr.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["data.csv"]


def test_permissions_are_those_of_the_user(data: Path, tmp_path: Path) -> None:
    def mode(path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)

    before = os.umask(0o027)
    try:
        assert run("fit", data, "--target", "rare", *QUICK, "--out", tmp_path / "m") == 0
        assert run("predict", tmp_path / "m", data, "--out", tmp_path / "p.csv") == 0
        assert (mode(tmp_path / "m"), mode(tmp_path / "p.csv")) == (0o750, 0o640)
        (tmp_path / "m").chmod(0o700)
        (tmp_path / "p.csv").chmod(0o600)
        assert run("fit", data, "--target", "rare", *QUICK, "--out", tmp_path / "m", "--force") == 0
        assert run("predict", tmp_path / "m", data, "--out", tmp_path / "p.csv") == 0
        assert (mode(tmp_path / "m"), mode(tmp_path / "p.csv")) == (0o700, 0o600)
    finally:
        os.umask(before)


def test_what_is_predicted_from_is_not_overwritten(
    fitted: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    before = data.read_text()
    for out in (data, fitted / "model.json"):
        assert "is what is predicted from" in refused(capsys, "predict", fitted, data, "--out", out)
    assert data.read_text() == before
    assert json.loads((fitted / "model.json").read_text())["format"] == store.FORMAT


@pytest.mark.parametrize(
    "command", ["fit {data} --target rare --out {out}", "curve --out {out}.png", "predict {m} {data}"]
)
def test_standard_output_on_a_full_device(command: str, fitted: Path, data: Path, tmp_path: Path) -> None:
    words = command.format(data=data, out=tmp_path / "out", m=fitted)
    quick = " ".join(QUICK) if command.startswith("fit") else ""
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m focal_loss {words} {quick} > /dev/full"],
        capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 2
    assert "cannot write to standard output: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
