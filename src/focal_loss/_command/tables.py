"""Columns: their kinds, and the same columns again for prediction.

A `Schema` holds the columns of a model. It is plain data, stored as JSON.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute

from focal_loss._command.errors import UserError, first_line
from focal_loss._command.reading import MOST_ODD, known_of

Array = Any
Kind = Literal["number", "boolean", "date", "time", "duration", "category"]
KINDS = {
    "number": "numbers", "boolean": "true and false", "date": "dates", "time": "times of day", "duration": "durations",
    "category": "words",
}  # fmt: skip
DAYS = {"date": pa.timestamp("us"), "time": pa.time64("us"), "duration": pa.duration("us")}
# A column of words that nearly all differ holds names or texts, not categories.
MOST_DISTINCT, DISTINCT_SHARE = 50, 0.5
INDEX = ("", "Unnamed: 0")  # names under which pandas writes row numbers, which a model would memorize
NUMBER = re.compile(r"\s*[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*")  # not a code such as 007


def nearest(name: str, known: list[str]) -> str:
    """The closest names, or the first ones, for a message."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    listed = ", ".join(map(repr, close or known[:5]))
    return f"the nearest are {listed}" if close else f"there are {listed}{', ...' if len(known) > 5 else ''}"


@dataclass(frozen=True)
class Column:
    name: str
    kind: Kind
    categories: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()  # words among numbers that count as missing


def kind_of(column: pa.ChunkedArray) -> Kind:
    """The kind of a column. One without values is a number that is always missing.

    Raises
    ------
    ArrowInvalid
        If it holds lists, bytes or another unsupported type.
    """
    dtype = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_boolean(dtype):
        return "boolean"
    if pa.types.is_integer(dtype) or pa.types.is_floating(dtype) or pa.types.is_decimal(dtype):
        return "category" if pa.types.is_dictionary(column.type) else "number"
    if pa.types.is_time(dtype):
        return "time"
    if pa.types.is_duration(dtype):
        return "duration"
    if pa.types.is_timestamp(dtype) or pa.types.is_date(dtype):
        return "date"
    if pa.types.is_null(dtype):
        return "number"
    if not (pa.types.is_string(dtype) or pa.types.is_large_string(dtype) or pa.types.is_string_view(dtype)):
        if dtype == pa.binary():  # from a CSV file whose text is not UTF-8
            raise pa.ArrowInvalid("text that is not UTF-8; save the file as that")
        raise pa.ArrowInvalid(f"{dtype}, neither numbers, words, truths nor dates; leave it out")
    return "category"


def words(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of any type, dictionaries included, as text."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.cast(pa.string())


def column_of(name: str, values: pa.ChunkedArray, source: Path) -> tuple[Column | None, str]:
    """The column, or None if nothing can be learned from it, and a remark for the user."""
    try:
        kind = kind_of(values)
    except pa.ArrowInvalid as error:
        raise UserError(f"{source}: column {name!r} holds {error}") from error
    if (name in INDEX or name.startswith("__index_level_")) and all_differ(values):
        return None, f"{name!r} is left out: it is an index that pandas wrote"
    if kind != "category":
        return Column(name, kind), ""
    counts = {item["values"]: item["counts"] for item in words(values).drop_null().value_counts().to_pylist()}
    if not counts:
        return Column(name, "number"), ""
    many = len(counts) > MOST_DISTINCT and len(counts) > DISTINCT_SHARE * len(values)
    odd = sorted(word for word in counts if not NUMBER.fullmatch(word))
    if len(odd) <= MOST_ODD and (odd or many) and 2 * sum(map(counts.__getitem__, odd)) < sum(counts.values()):
        missing = f"; {', '.join(map(repr, odd))} among them counts as missing" if odd else ", written as words"
        return Column(name, "number", missing=tuple(odd)), f"{name!r} holds numbers{missing}"
    if many:
        return None, f"{name!r} is left out: nearly every row has its own word"
    return Column(name, "category", tuple(sorted(counts))), ""


def all_differ(values: pa.ChunkedArray) -> bool:
    return pa.types.is_integer(values.type) and pa.compute.count_distinct(values).as_py() == len(values)


@dataclass(frozen=True)
class Schema:
    columns: tuple[Column, ...]

    @classmethod
    def of(cls, table: pa.Table, target: str, source: Path) -> tuple[Schema, list[str]]:
        """The columns besides the target, and remarks on them for the user."""
        found = [column_of(name, table.column(name), source) for name in table.column_names if name != target]
        kept = [column for column, _ in found if column is not None]
        if not kept:
            raise UserError(f"there is no column to learn from beside the target {target!r}")
        kept.sort(key=lambda column: column.kind == "category")
        commas = ["the commas in numbers are those before decimals"] if "decimal" in known_of(table) else []
        return cls(tuple(kept)), commas + [note for _, note in found if note]

    def unknown(self, table: pa.Table) -> list[str]:
        """Remarks on words in a table to predict that did not occur in training."""
        notes = []
        for column in self.columns:
            if column.kind != "category":
                continue
            found = words(table.column(column.name))
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
        found = [Column(**{**c, "categories": tuple(c["categories"]), "missing": tuple(c["missing"])}) for c in columns]
        if not found:
            raise ValueError("no columns")
        for column in found:
            words = (column.name, *column.categories, *column.missing)
            if not all(isinstance(word, str) for word in words) or column.kind not in KINDS:
                raise ValueError(f"got {column}")
            "".join(words).encode()  # refuses half of a surrogate pair
            if len(set(column.categories)) < len(column.categories):
                raise ValueError(f"a category of {column.name!r} comes twice")
        return cls(tuple(found))

    def to_json(self) -> list[dict[str, Any]]:
        return [asdict(column) for column in self.columns]

    def frames(self, table: pa.Table, source: Path, parts: Sequence[Array] = (slice(None),)) -> list[pd.DataFrame]:
        """These columns of each part of the rows: the numbers in one array, then the categories.

        Raises
        ------
        UserError
            If a column is missing or of another kind.
        """
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


def wrong_kind(column: Column, source: Path, found: Exception) -> UserError:
    return UserError(f"{source}: column {column.name!r} must hold {KINDS[column.kind]}: {first_line(found)}")


def categorical(column: Column, values: pa.ChunkedArray, source: Path) -> pd.Categorical:
    """The column as categories; a word that is not among them is missing."""
    try:
        codes = pa.compute.index_in(words(values), value_set=pa.array(column.categories, pa.string()))
    except pa.ArrowException as error:  # bytes, lists
        raise wrong_kind(column, source, error) from error
    return pd.Categorical.from_codes(codes.fill_null(-1).to_numpy(), categories=list(column.categories))


def numbers(column: Column, values: pa.ChunkedArray, source: Path) -> Array:
    """The column in float64, NaN where a value is missing. A date counts days since 1970, a time its fraction of the
    day, a duration its days.
    """
    try:
        kind = kind_of(values)
        if column.kind == "number" and kind == "category":
            odd = pa.compute.is_in(words(values), value_set=pa.array(column.missing, pa.string()))
            values = pa.compute.utf8_trim_whitespace(pa.compute.if_else(odd, None, words(values)))
        elif kind != column.kind and values.null_count < len(values) and (column.kind, kind) != ("number", "boolean"):
            raise pa.ArrowInvalid(f"there are {KINDS[kind]}")
        if column.kind == "boolean":
            values = values.cast(pa.bool_()).cast(pa.int8())
        elif column.kind in DAYS:
            days = values.cast(DAYS[column.kind], safe=False).cast(pa.int64()).cast(pa.float64(), safe=False)
            return days.to_numpy() / 86_400e6
        return values.cast(pa.float64(), safe=False).to_numpy()
    except pa.ArrowException as error:
        raise wrong_kind(column, source, error) from error
