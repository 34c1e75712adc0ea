"""Schemas: the columns of a model, plain data that is stored as JSON, and the same columns of another table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute

from focal_loss._command import recognition
from focal_loss._command.columns import KINDS, ORDERS, Column, Kind, categorical, kind_of, numbers, written
from focal_loss._command.delimited import is_csv
from focal_loss._command.errors import UserError, nearest
from focal_loss._command.numerals import GROUPS, PLAIN, SIGNS, Form
from focal_loss._command.sources import Source

Array = Any


@dataclass(frozen=True)
class Schema:
    columns: tuple[Column, ...]

    @classmethod
    def of(cls, table: pa.Table, target: str, source: Path | Source) -> tuple[Schema, list[str]]:
        """The columns besides the target, and remarks on them for the user.

        Raises
        ------
        UserError
            If a column holds lists, bytes or the like, or no form of its numbers or dates is sure, or no column is
            left.
        """
        source = Source.of(source)
        refuse_unknown(table, target, source)
        values = {name: table.column(name) for name in table.column_names if name not in (target, *source.ignore)}
        kinds = kinds_of(values, source)
        listed = {*source.categorical, *categories_of_pandas(table)}
        texts = {
            name: recognition.Text.of(name, values[name], source)
            for name, kind in kinds.items()
            if kind == "category" or name in listed
        }
        typed = [values[name] for name in values if name not in texts]
        csv = is_csv(table)
        decimal = source.decimal or recognition.sign_of_decimals(list(texts.values()), typed if csv else [])
        found, notes = [], []
        for name in values:
            if recognition.is_index(name, values[name]) and name not in source.categorical:
                notes.append(f"{name!r} is left out: it is an index that pandas wrote")
            elif name in source.categorical:
                found.append(texts[name].as_words())
            elif name not in texts:
                # Whole numbers may have decimals in another file of this kind.
                commas = csv and decimal == "," and kinds[name] == "number" and recognition.is_whole(values[name])
                found.append(Column(name, kinds[name], form=Form(",") if commas else PLAIN))
            else:
                column, note = texts[name].column(decimal, csv, table.num_rows, name in listed)
                found += [column] if column else []
                notes += [note] if note else []
        if not found:
            raise UserError(f"there is no column to learn from beside the target {target!r}")
        found.sort(key=lambda column: column.kind == "category")
        return cls(tuple(found)), notes

    def texts(self) -> list[str]:
        """The columns that must be read as text from a file that does not say what they hold."""
        return [column.name for column in self.columns if column.is_text()]

    def unknown(self, table: pa.Table) -> list[str]:
        """Remarks on words in a table to predict that did not occur in training."""
        notes = []
        for column in self.columns:
            if column.kind != "category":
                continue
            found = written(table.column(column.name))
            known = pa.compute.is_in(found, value_set=pa.array(column.categories, pa.string()))
            new = pa.compute.and_not(found.is_valid(), known)
            rows = pa.compute.sum(new).as_py()
            if rows:
                shown = f"such as {found.filter(new)[0].as_py()!r}, in {rows} rows"
                notes.append(f"{column.name!r} holds words that it did not in training, {shown}; they count as missing")
        return notes

    @classmethod
    def from_json(cls, columns: list[dict[str, Any]]) -> Schema:
        """The schema that `to_json` wrote. Raises TypeError or ValueError if it is damaged."""
        found = []
        for c in columns:
            plain = {"categories": tuple(c["categories"]), "missing": tuple(c["missing"]), "form": Form(**c["form"])}
            found.append(Column(**{**c, **plain}))
        if not found:
            raise ValueError("no columns")
        for column in found:
            held = (column.name, *column.categories, *column.missing, column.form.unit)
            if not all(isinstance(word, str) for word in held) or column.kind not in KINDS:
                raise ValueError(f"got {column}")
            if column.form.decimal not in SIGNS or column.form.group not in GROUPS or column.order not in ORDERS:
                raise ValueError(f"got {column}")
            "".join(held).encode()  # refuses half of a surrogate pair
            if len(set(column.categories)) < len(column.categories):
                raise ValueError(f"a category of {column.name!r} comes twice")
        return cls(tuple(found))

    def to_json(self) -> list[dict[str, Any]]:
        return [asdict(column) for column in self.columns]

    def frames(
        self, table: pa.Table, source: Path | Source, parts: Sequence[Array] = (slice(None),)
    ) -> list[pd.DataFrame]:
        """These columns of each part of the rows: the numbers in one array, then the categories.

        Raises
        ------
        UserError
            If a column is missing or of another kind, or its numbers or dates are written in another form.
        """
        source = Source.of(source)
        for column in self.columns:
            if column.name not in table.column_names:
                near = nearest(column.name, table.column_names)
                raise UserError(f"{source} has no column {column.name!r}, which the model needs; {near}")
        listed = [column for column in self.columns if column.kind == "category"]
        plain = [column for column in self.columns if column.kind != "category"]
        sizes = [len(np.arange(table.num_rows)[part]) for part in parts]
        # One array per column would fragment the heap, and the system would not get the memory back.
        arrays = [np.empty((len(plain), size)) for size in sizes]
        for k, column in enumerate(plain):
            values = numbers(column, table.column(column.name), source)
            for array, part in zip(arrays, parts, strict=True):
                array[k] = values[part]
        categories = pd.DataFrame({c.name: categorical(c, table.column(c.name), source) for c in listed})
        frames = [pd.DataFrame(array.T, columns=[column.name for column in plain], copy=False) for array in arrays]
        if not listed:
            return frames
        rest = [categories.iloc[part].reset_index(drop=True) for part in parts]
        return [pd.concat(pair, axis=1) for pair in zip(frames, rest, strict=True)]


def kinds_of(values: dict[str, pa.ChunkedArray], source: Source) -> dict[str, Kind]:
    kinds = {}
    for name, column in values.items():
        try:
            kinds[name] = kind_of(column)
        except pa.ArrowInvalid as error:
            raise UserError(f"{source}: column {name!r} holds {error}") from error
    return kinds


def refuse_unknown(table: pa.Table, target: str, source: Source) -> None:
    """Refuse options about columns that are not there, or about the target."""
    for option, names in (("--ignore", source.ignore), ("--categorical", source.categorical)):
        for name in names:
            if name not in table.column_names:
                raise UserError(f"{source} has no column {name!r} for {option}; {nearest(name, table.column_names)}")
            if name == target:
                raise UserError(f"{name!r} is the target, which {option} must not name")
    both = sorted({*source.ignore} & {*source.categorical})
    if both:
        raise UserError(f"{both[0]!r} is named by --ignore and by --categorical; choose one")


def categories_of_pandas(table: pa.Table) -> set[str]:
    """The columns of numbers that were categories when pandas wrote them; Parquet keeps only the numbers."""
    known = (table.schema.pandas_metadata or {}).get("columns", [])
    return {column["name"] for column in known if column["pandas_type"] == "categorical"} & {*table.column_names}
