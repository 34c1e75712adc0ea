"""What `focal-loss fit` leaves in a directory, and what `focal-loss predict` reads there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from focal_loss import _engines, _table
from focal_loss._errors import UserError
from focal_loss._evaluation import Outcomes

Array = Any
FORMAT = 1
NAMES = ("model.json", "metrics.json", "trials.parquet", "report.html", *_engines.FILES)


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

    def predict(self, path: Path) -> tuple[Array, list[str]]:
        """The probability that each row of a file is positive, and what is to be said of its columns."""
        categories = [column.name for column in self.schema.columns if column.kind == "category"]
        table = _table.read(path, categories)
        (frame,) = self.schema.frames(table, path)
        X, _ = _engines.columns_for(self.engine, frame)
        return self.model.predict_proba(X)[:, 1], self.schema.unknown(table)
