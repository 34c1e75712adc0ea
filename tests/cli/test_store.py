"""Stored models that are damaged, edited, or replaced while they are read."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import QUICK, edited, refused, run, table

from focal_loss._command import boosters, store
from focal_loss._dispatch.frameworks import BOOSTERS


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of each booster, and a second one of LightGBM with other probabilities."""
    folder = tmp_path_factory.mktemp("models")
    table().to_csv(folder / "data.csv", index=False)
    for name in (*BOOSTERS, "other"):
        more = ("--seed", 5) if name == "other" else ("--engine", name)
        assert run("fit", folder / "data.csv", "--target", "rare", *QUICK, *more, "--out", folder / name) == 0
    return folder


def copied(models: Path, name: str, folder: Path) -> Path:
    return Path(shutil.copytree(models / name, folder / "model", dirs_exist_ok=True))


def predicted(directory: Path, models: Path, folder: Path) -> str:
    assert run("predict", directory, models / "data.csv", "--out", folder / "p.csv") == 0
    return (folder / "p.csv").read_text()


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[:-7],
    "flipped": flipped,
    "inserted": lambda content: content[:99] + b"9" * 40 + content[99:],
    "appended": lambda content: content + b"\n",
}


@pytest.mark.parametrize("engine", BOOSTERS)
def test_no_engine_is_shown_a_damaged_file(
    engine: str, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = copied(models, engine, tmp_path)
    path = directory / boosters.FILES[engine]
    whole = path.read_bytes()
    monkeypatch.setattr(boosters, "booster", None)  # must not be reached
    capsys.readouterr()
    for damage in DAMAGES.values():
        path.write_bytes(damage(whole))
        message = refused(capsys, "predict", directory, models / "data.csv")
        assert message.endswith(f"{path.name} is not as `focal-loss fit` wrote it; fit again")
    path.unlink()
    assert f"cannot read {path}: No such file" in refused(capsys, "predict", directory, models / "data.csv")
    os.mkfifo(path)  # reading it would wait
    assert f"cannot read {path}: No such file" in refused(capsys, "predict", directory, models / "data.csv")


@pytest.mark.parametrize(
    ("old", "new"), [('"threshold": 0.', '"threshold": 0.0'), ('"red"', '"led"'), ('"kind": "date"', '"kind": "time"')]
)
def test_a_change_beside_the_model_is_seen_too(
    old: str, new: str, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = copied(models, "lightgbm", tmp_path)
    path = directory / "model.json"
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    capsys.readouterr()
    message = refused(capsys, "predict", directory, models / "data.csv")
    assert message.endswith("model.json is not as `focal-loss fit` wrote it; fit again")


def test_json_of_another_kind(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = copied(models, "lightgbm", tmp_path)
    path = directory / "model.json"
    known = json.loads(path.read_text())
    capsys.readouterr()
    nested = "[" * 100_000 + "]" * 100_000
    for text in (nested, f'{{"format": {nested}}}', "\xff", "9" * 5000, '"\\ud800"', "", "null"):
        path.write_text(text, encoding="latin-1")
        assert "holds no model" in refused(capsys, "predict", directory, models / "data.csv")
        given = ("fit", models / "data.csv", "--target", "rare", "--out", directory, "--force")
        assert "no model of this command" in refused(capsys, *given)
    path.write_text(json.dumps(known | {"format": 1}))
    assert "made by an older version of focal-loss; fit again" in refused(
        capsys, "predict", directory, models / "data.csv"
    )


def test_a_model_that_is_replaced_while_the_engine_is_imported(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = copied(models, "lightgbm", tmp_path)
    expected = predicted(directory, models, tmp_path)
    imported = boosters.booster

    def and_replaced(name: str) -> boosters.Booster:
        copied(models, "other", tmp_path)
        return imported(name)

    monkeypatch.setattr(boosters, "booster", and_replaced)
    assert predicted(directory, models, tmp_path) == expected
    assert predicted(directory, models, tmp_path) == predicted(models / "other", models, tmp_path) != expected


def test_a_model_that_is_replaced_between_its_files(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files are read again, and are then both of the new model."""
    directory = copied(models, "lightgbm", tmp_path)
    content_of, read = store.content_of, []

    def and_replaced(path: Path) -> bytes:
        content = content_of(path)
        if not read:
            copied(models, "other", tmp_path)
        read.append(path.name)
        return content

    monkeypatch.setattr(store, "content_of", and_replaced)
    found = predicted(directory, models, tmp_path)
    assert read == ["model.json", "model.txt"] * 2
    assert found == predicted(models / "other", models, tmp_path)


TAGS: dict[str, Any] = {
    "gamma": ["two", None, [], -1, float("nan")],
    "weights": [None, [], [1.0], [1.0, 1.0, 1.0], ["a", "b"], [0.0, -1.0]],
    "classes": [None, [], [False], [False, True, True], [{}, {}], "ab"],
    "dtype": [None, "no such", "O", "M8[s]", [], "V3"],
    "start": [None, "x", [[]]],
    "format": [None, "x", 99],
    "hessian": [None, 3, "no such"],
}


@pytest.mark.parametrize("name", TAGS)
def test_an_edited_tag_in_the_model_file_is_one_line(
    name: str, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An edit is an error of one line, or harmless in a part that the command does not need."""
    directory = copied(models, "lightgbm", tmp_path)
    path = directory / "model.txt"
    text = path.read_text()
    (line,) = [line for line in text.splitlines() if '"gamma"' in line]
    tag, _, known = line.partition("{")
    capsys.readouterr()
    for value in TAGS[name]:
        path.write_text(text.replace(line, tag + json.dumps(json.loads("{" + known) | {name: value})))
        edited(directory)
        status = run("predict", directory, models / "data.csv", "--out", tmp_path / "p.csv")
        said = capsys.readouterr().err
        assert (status, len(said.splitlines())) in ((0, 0), (2, 1))
        if status:
            assert "model.txt: " in said or "cannot predict this table: " in said
