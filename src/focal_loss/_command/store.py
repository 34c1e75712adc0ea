"""The files that `focal-loss fit` writes into a directory and `focal-loss predict` reads there."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from focal_loss._command import boosters, quick, tables, targets
from focal_loss._command.errors import UserError, first_line
from focal_loss._command.sources import Source

if TYPE_CHECKING:
    from focal_loss._command.thresholds import Outcomes

Array = Any
FORMAT = 4  # version 1 had no digests, version 2 no forms of numbers and dates, version 3 no weights
NAMES = ("model.json", "metrics.json", "trials.parquet", "report.html", "model.onnx", *boosters.FILES.values())


def in_the_way(directory: Path) -> str:
    """A description of what a directory holds besides a model of `focal-loss fit`; "" if nothing."""
    inside = sorted(directory.iterdir())
    foreign = [path.name for path in inside if path.name not in NAMES or not path.is_file()]
    if foreign:
        return f"{foreign[0]!r}, which is not of this command"
    return "files, but no model of this command" if inside and not is_model(directory / "model.json") else ""


def is_model(path: Path) -> bool:
    """Whether the file is the JSON of a model; other programs may use the same name."""
    try:
        found = json.loads(content_of(path))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and {"format", "engine", "columns"} <= set(found)


def content_of(path: Path) -> bytes:
    """The content of a regular file. A pipe is refused, because reading it would wait.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be read.
    """
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return path.read_bytes()


def digests(known: dict[str, Any], content: bytes) -> dict[str, str]:
    """SHA-256 digests of the model file, and of all of `model.json` except the digests."""
    rest = {name: value for name, value in known.items() if name != "sha256"}
    each = {"model.json": json.dumps(rest, sort_keys=True).encode(), boosters.FILES[known["engine"]]: content}
    return {name: hashlib.sha256(held).hexdigest() for name, held in each.items()}


@dataclass(frozen=True)
class Stored:
    """A model as stored in a directory."""

    engine: str
    schema: tables.Schema
    target: str
    positive: str
    negative: str
    threshold: float
    outcomes: Outcomes | None  # counts out of fold; None in a model for quick predictions
    model: Any

    def save(self, directory: Path) -> None:
        """Write the model in its booster's own format, and everything else as JSON."""
        assert self.outcomes is not None
        known = {
            "format": FORMAT,
            "engine": self.engine,
            "target": self.target,
            "positive": self.positive,
            "negative": self.negative,
            "threshold": self.threshold,
            "outcomes": self.outcomes.to_json(),
            "columns": self.schema.to_json(),
        }
        booster = boosters.booster(self.engine)
        with booster.errors("cannot write its model"):
            self.model.save_model(str(directory / booster.file))
        known["sha256"] = digests(known, content_of(directory / booster.file))
        (directory / "model.json").write_text(json.dumps(known), encoding="utf-8")

    @classmethod
    def load(cls, directory: Path, quickly: bool = False) -> Stored:
        """Read a stored model: each file once, and before its booster is imported. No code is run.

        `quickly` is for a process that predicts at the stored threshold and does nothing else: the model has no
        `outcomes`, and is read without scikit-learn if it can be.

        Raises
        ------
        UserError
            If there is no model, or it was made by a newer version or changed since.
        """
        try:
            fields, content = cls._read(directory, quickly)
        except UserError:
            # `fit --force` may have replaced the model between reading one file and the next.
            fields, content = cls._read(directory, quickly)
        try:
            model = quick.model_of(fields["engine"], content) if quickly else None
            if model is None:
                booster = boosters.booster(fields["engine"])
                model = booster.read(booster.focal(), content)
        except (UserError, ModuleNotFoundError):
            raise
        except Exception as error:  # boosters raise errors of their own classes
            path = directory / boosters.FILES[fields["engine"]]
            raise UserError(f"cannot read {path}: {boosters.reason(error)}") from error
        return cls(**fields, model=model)

    @classmethod
    def _read(cls, directory: Path, quickly: bool) -> tuple[dict[str, Any], bytes]:
        """The fields of the JSON and the content of the model file, checked to belong together.

        Boosters may crash on a damaged model file, so they never read one.
        """
        path = directory / "model.json"
        try:
            known = json.loads(content_of(path))
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"{directory} holds no model: cannot read {path.name}") from error
        if not isinstance(known, dict) or type(known.get("format")) is not int:
            raise UserError(f"{directory} holds no model: {path.name} is not of this command")
        if known["format"] > FORMAT:
            raise UserError(f"{directory} was made by a newer version of focal-loss; upgrade it")
        if known["format"] < FORMAT:
            raise UserError(f"{directory} was made by an older version of focal-loss; fit again")
        try:
            fields = cls._fields(known) | {"outcomes": None if quickly else cls._outcomes(known["outcomes"])}
            model = directory / boosters.FILES[fields["engine"]]
            content = content_of(model)
            changed = [name for name, digest in digests(known, content).items() if known["sha256"][name] != digest]
        except OSError as error:
            raise UserError(f"cannot read {model}: {error.strerror}") from error
        except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
            raise UserError(f"{path} is damaged, {type(error).__name__}: {first_line(error)}; fit again") from error
        if changed:
            raise UserError(f"{directory / changed[0]} is not as `focal-loss fit` wrote it; fit again")
        return fields, content

    @staticmethod
    def _fields(known: dict[str, Any]) -> dict[str, Any]:
        """The fields of the JSON except the outcomes, checked as far as possible without the model.

        Raises
        ------
        AttributeError, KeyError, OverflowError, TypeError, ValueError
            If it does not hold what `save` wrote.
        """
        words = {name: known[name] for name in ("engine", "target", "positive", "negative")}
        if not all(isinstance(word, str) for word in words.values()) or words["engine"] not in boosters.BOOSTERS:
            raise ValueError(f"got {words}")
        "".join(words.values()).encode()  # refuses half of a surrogate pair
        threshold = known["threshold"]
        if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
            raise ValueError(f"got the threshold {threshold}")
        schema = tables.Schema.from_json(known["columns"])
        return {**words, "threshold": threshold, "schema": schema}

    @staticmethod
    def _outcomes(values: dict[str, Any]) -> Outcomes:
        """The outcomes, checked, with the same errors."""
        from focal_loss._command.thresholds import Outcomes

        return Outcomes.from_json(values)

    def probability(self, table: Any, source: Path | Source) -> tuple[Array, list[str]]:
        """The probability that each row of a PyArrow table is positive, and remarks on its columns.

        Raises
        ------
        UserError
            If a column is missing or of another kind, or the booster cannot predict the table.
        """
        (frame,) = self.schema.frames(table, source)
        if not table.num_rows:
            return np.empty(0), []
        X, _ = boosters.columns_for(self.engine, frame)
        try:
            probability = self.model.predict_proba(X)[:, 1]
        except MemoryError:
            raise
        except Exception as error:  # from the booster, or from an edited model
            raise UserError(f"{self.engine} cannot predict this table: {boosters.reason(error)}") from error
        return probability, self._empty(table) + self.schema.unknown(table)

    def _empty(self, table: Any) -> list[str]:
        """Remarks on columns without values in a table of several rows, which are often a mistake in a query."""
        if table.num_rows < 2:
            return []
        columns = [(column.name, table.column(column.name)) for column in self.schema.columns]
        empty = [name for name, values in columns if not pa.compute.any(targets.known(values)).as_py()]
        return [f"{name!r} holds no value in any row; it counts as missing" for name in empty]
