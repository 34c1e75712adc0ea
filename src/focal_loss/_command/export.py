"""A stored model in ONNX: the columns of the training file in, the class at the stored threshold out."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from focal_loss._command import files
from focal_loss._command.errors import UserError
from focal_loss._command.store import Stored

UNITS = {
    "number": "a number",
    "boolean": "0 or 1",
    "date": "days since 1970-01-01, with fractions",
    "time": "the fraction of the day",
    "duration": "days, with fractions",
    "category": "a word",
}


def write(directory: Path, out: Path | None) -> Path:
    """Write the model of a directory into a file, beside it unless another is named, and return the file's name.

    Raises
    ------
    UserError
        If the model cannot be read or exported, or the file not written.
    """
    content = to_onnx(Stored.load(directory))
    out = directory / "model.onnx" if out is None else out
    held = [path for path in directory.iterdir() if path.name != "model.onnx"]
    if out.exists() and any(out.samefile(path) for path in held):
        raise UserError(f"{out} is what is exported; choose another --out")
    with files.writing(out) as path:
        path.write_bytes(content)
    return out


def to_onnx(stored: Stored) -> bytes:
    """The content of the file. Its inputs have the names of the columns, and say what they hold.

    Raises
    ------
    UserError
        If onnx is not installed, or the model cannot be written so.
    """
    try:
        graph = importlib.import_module("focal_loss._boosting.graph")
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed: pip install 'focal-loss[onnx]'") from error
    columns = [column_of(graph, column, stored.engine) for column in stored.schema.columns]
    answer = graph.Answer(np.array([stored.negative, stored.positive]), stored.threshold, reaches=True)
    try:
        exported = importlib.import_module(f"focal_loss.{stored.engine}._onnx").exported
        model = exported(stored.model, columns, answer)
    except ValueError as error:
        raise UserError(f"cannot write this model in ONNX: {error}") from error
    for value, column in zip(model.graph.input, stored.schema.columns, strict=True):
        missing = '""' if column.kind == "category" else "NaN"
        value.doc_string = f"{UNITS[column.kind]}; {missing} where it is missing"
    for key in ("target", "positive", "negative", "threshold"):
        model.metadata_props.add(key=key, value=str(getattr(stored, key)))
    content: bytes = model.SerializeToString()
    return content


def column_of(graph: Any, column: Any, engine: str) -> Any:
    """The column; words that training did not see count as missing, which CatBoost has as an empty word."""
    if column.kind != "category":
        return graph.Column(column.name)
    if engine != "catboost":
        return graph.Column(column.name, column.categories)
    return graph.Column(column.name, tuple(dict.fromkeys((*column.categories, ""))), other="")
