"""A directory that is there whole or not at all, and what `focal-loss fit` leaves in it."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from focal_loss import _engines, _table
from focal_loss._errors import UserError
from focal_loss._evaluation import Outcomes

Array = Any
FORMAT = 1
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of Linux


@contextmanager
def replacing(directory: Path, force: bool) -> Iterator[Path]:
    """A temporary directory beside it, which takes its place at the end if nothing went wrong.

    Raises
    ------
    UserError
        If the directory is there and not to be replaced, or cannot be written.
    """
    if directory.exists() and not directory.is_dir():
        raise UserError(f"{directory} is a file; choose another --out")
    directory = directory.resolve()  # what a link leads to is replaced, and the link stays
    if directory.exists() and not force:
        raise UserError(f"{directory} exists; choose another --out, or replace it with --force")
    if directory.exists() and not (directory / "model.json").is_file() and any(directory.iterdir()):
        raise UserError(f"{directory} holds something else than a model of this command; choose another --out")
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    except OSError as error:
        raise UserError(f"cannot write to {directory.parent}: {error.strerror}") from error
    try:
        yield new
        new.chmod(0o755)
        _exchange(new, directory)
    except OSError as error:
        raise UserError(f"cannot write to {directory}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(new, ignore_errors=True)  # the new one, unfinished, or the old one


def _exchange(new: Path, directory: Path) -> None:
    """At no moment is there neither. Where the system cannot exchange two directories, the old one steps aside."""
    if not directory.exists():
        new.rename(directory)
        return
    if sys.platform == "linux":
        rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
        paths = (os.fsencode(new), os.fsencode(directory))
        if rename is not None and rename(AT_FDCWD, paths[0], AT_FDCWD, paths[1], RENAME_EXCHANGE) == 0:
            return
        if ctypes.get_errno() not in (0, errno.EINVAL, errno.ENOSYS):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    aside = directory.with_name(f".{directory.name}.old")
    shutil.rmtree(aside, ignore_errors=True)
    directory.rename(aside)
    new.rename(directory)
    shutil.rmtree(aside, ignore_errors=True)


@dataclass(frozen=True)
class Stored:
    """A model as it lies in a directory."""

    engine: str
    schema: _table.Schema
    target: str
    positive: str
    negative: str
    threshold: float
    outcomes: Outcomes  # out of fold
    model: Any

    def save(self, directory: Path) -> None:
        """The model in its engine's own format, and everything else as JSON."""
        counts = {name: np.asarray(values).tolist() for name, values in vars(self.outcomes).items()}
        known = {
            "format": FORMAT,
            "engine": self.engine,
            "target": self.target,
            "positive": self.positive,
            "negative": self.negative,
            "threshold": self.threshold,
            "outcomes": counts,
            "columns": self.schema.to_json(),
        }
        self.model.save_model(str(directory / _engines.engine(self.engine).file))
        (directory / "model.json").write_text(json.dumps(known), encoding="utf-8")

    @classmethod
    def load(cls, directory: Path) -> Stored:
        """Read it back. No code is run.

        Raises
        ------
        UserError
            If there is no model, or it was made by a newer version.
        """
        path = directory / "model.json"
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{directory} holds no model: cannot read {path.name}") from error
        if not isinstance(known, dict) or "columns" not in known:
            raise UserError(f"{directory} holds no model: {path.name} is not of this command")
        if known["format"] > FORMAT:
            raise UserError(f"{directory} was made by a newer version of focal-loss; upgrade it")
        engine = _engines.engine(known["engine"])
        try:
            model = engine.focal().load_model(str(directory / engine.file))
        except Exception as error:  # of the engine, which has its own kinds
            raise UserError(f"cannot read {directory / engine.file}: {str(error).splitlines()[0]}") from error
        outcomes = Outcomes(**{name: np.asarray(values) for name, values in known["outcomes"].items()})
        schema = _table.Schema.from_json(known["columns"])
        words = (known["target"], known["positive"], known["negative"])
        return cls(known["engine"], schema, *words, known["threshold"], outcomes, model)

    def predict(self, path: Path) -> Array:
        """The probability that each row of a file is positive."""
        categories = [column.name for column in self.schema.columns if column.kind == "category"]
        frame = self.schema.frame(_table.read(path, categories), path)
        X, _ = _engines.columns_for(self.engine, frame)
        return self.model.predict_proba(X)[:, 1]
