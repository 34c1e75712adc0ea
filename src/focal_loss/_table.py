"""Tables from files: what a column is, what the target is, and the same columns again when it comes to predict.

A `Schema` is what a model remembers of its columns. It is plain data, and goes into JSON.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from focal_loss._errors import UserError

Array = Any
Kind = Literal["number", "boolean", "date", "category"]
PARQUET = (".parquet", ".pq")
# A column of words nearly all of which differ is a name or a text, and no category.
MOST_DISTINCT, DISTINCT_SHARE = 50, 0.5


# ---------------------------------------------------------------------------------------------------------------
# Reading
# ---------------------------------------------------------------------------------------------------------------


def read(path: Path, words: Sequence[str] = ()) -> pa.Table:
    """A CSV file, compressed or not, or Parquet. The columns of a CSV file named in `words` are text as it is written.

    Raises
    ------
    UserError
        If there is no such file, it cannot be read, it is empty, or two columns have one name.
    """
    if not path.is_file():
        raise UserError(f"{path} is {'a directory' if path.is_dir() else 'no file'}")
    try:
        is_parquet = path.suffix.lower() in PARQUET
        text = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(words, pa.string()), strings_can_be_null=True)
        table = pyarrow.parquet.read_table(path) if is_parquet else pyarrow.csv.read_csv(path, convert_options=text)
        names = table.column_names
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {str(error).splitlines()[0]}") from error
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(f"{path} has {twice[0]!r} for the name of more than one column")
    if not table.num_rows:
        raise UserError(f"{path} has no rows")
    nested = [field.name for field in table.schema if pa.types.is_nested(field.type) or pa.types.is_binary(field.type)]
    if nested:
        raise UserError(f"{path}: column {nested[0]!r} holds neither numbers, words, truths nor dates")
    return table


def nearest(name: str, known: list[str]) -> str:
    """For a message: the names that come closest, or the first ones."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    listed = ", ".join(map(repr, close or known[:5]))
    return f"the nearest are {listed}" if close else f"there are {listed}{', ...' if len(known) > 5 else ''}"


# ---------------------------------------------------------------------------------------------------------------
# Columns
# ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Column:
    name: str
    kind: Kind
    categories: tuple[str, ...] = ()


def kind_of(column: pa.ChunkedArray) -> Kind:
    """A column without a value is a number that is always missing."""
    dtype = column.type
    if pa.types.is_boolean(dtype):
        return "boolean"
    if pa.types.is_integer(dtype) or pa.types.is_floating(dtype) or pa.types.is_decimal(dtype):
        return "number"
    if pa.types.is_temporal(dtype):
        return "date"
    return "number" if pa.types.is_null(dtype) else "category"


def words(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Of a dictionary, of bytes, of anything: text."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.cast(pa.string())


@dataclass(frozen=True)
class Schema:
    columns: tuple[Column, ...]

    @classmethod
    def of(cls, table: pa.Table, target: str) -> tuple[Schema, list[str]]:
        """What the columns but the target are, and the names of those left out: texts."""
        kept, left = [], []
        for name in table.column_names:
            if name == target:
                continue
            column, kind = table.column(name), kind_of(table.column(name))
            categories: tuple[str, ...] = ()
            if kind == "category":
                found = words(column).unique().drop_null().to_pylist()
                if len(found) > MOST_DISTINCT and len(found) > DISTINCT_SHARE * table.num_rows:
                    left.append(name)
                    continue
                categories = tuple(sorted(found))
            kept.append(Column(name, kind, categories))
        if not kept:
            raise UserError(f"there is no column to learn from beside the target {target!r}")
        return cls(tuple(kept)), left

    @classmethod
    def from_json(cls, columns: list[dict[str, Any]]) -> Schema:
        return cls(tuple(Column(c["name"], c["kind"], tuple(c["categories"])) for c in columns))

    def to_json(self) -> list[dict[str, Any]]:
        return [asdict(column) for column in self.columns]

    def frame(self, table: pa.Table, source: Path) -> pd.DataFrame:
        """The columns in their order, as numbers and categories.

        Raises
        ------
        UserError
            If a column is not there, or is of another kind.
        """
        for column in self.columns:
            if column.name not in table.column_names:
                near = nearest(column.name, table.column_names)
                raise UserError(f"{source} has no column {column.name!r}, which the model needs; {near}")
        return pd.DataFrame({c.name: series(c, table.column(c.name), source) for c in self.columns}, copy=False)


def series(column: Column, values: pa.ChunkedArray, source: Path) -> Any:
    if column.kind == "category":
        return pd.Categorical(words(values).to_pandas(), categories=list(column.categories))
    try:
        if column.kind == "date":
            return days(values)
        if column.kind == "boolean":
            if not pa.types.is_boolean(values.type) and not pa.types.is_null(values.type):
                raise pa.ArrowInvalid(f"there are {values.type}")
            values = values.cast(pa.bool_()).cast(pa.int8())
        return values.cast(pa.float32() if column.kind == "boolean" else pa.float64(), safe=False).to_numpy()
    except pa.ArrowException as error:
        what = {"date": "dates", "boolean": "true and false", "number": "numbers"}[column.kind]
        raise UserError(f"{source}: column {column.name!r} must hold {what}: {str(error).splitlines()[0]}") from error


def days(values: pa.ChunkedArray) -> Array:
    """Dates as days since 1970, times and durations as days."""
    dtype = values.type
    if not pa.types.is_temporal(dtype) and not pa.types.is_null(dtype):
        raise pa.ArrowInvalid(f"there are {dtype}")
    unit = pa.time64("us") if pa.types.is_time(dtype) else pa.timestamp("us")
    unit = pa.duration("us") if pa.types.is_duration(dtype) else unit
    return values.cast(unit, safe=False).cast(pa.int64()).cast(pa.float64(), safe=False).to_numpy() / 86_400e6


# ---------------------------------------------------------------------------------------------------------------
# The target
# ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    name: str
    positive: str  # as it is written in the file
    negative: str  # the other class, or "not" the positive one of more than two
    labels: Array  # of bool


def target(table: pa.Table, name: str, positive: str | None, source: Path) -> Target:
    """Which rows are positive.

    Raises
    ------
    UserError
        If there is no such column, a value is missing, there is one class only, or more than two and none is named.
    """
    values = written(table.column(name))
    counts = {item["values"]: item["counts"] for item in values.value_counts().to_pylist()}
    classes = sorted(counts)
    if len(classes) < 2:
        raise UserError(f"{source}: the target {name!r} holds one class only, {classes[0]!r}")
    if positive is None:
        if len(classes) > 2:
            few = ", ".join(map(repr, classes[:5])) + (", ..." if len(classes) > 5 else "")
            raise UserError(
                f"{source}: the target {name!r} holds {len(classes)} classes ({few}); say which is the positive one "
                "with --positive"
            )
        usual = [word for word in classes if word.lower() in ("1", "1.0", "true")]
        positive = usual[0] if usual else min(classes, key=lambda word: counts[word])
    if positive not in counts:
        raise UserError(f"{source}: the target {name!r} holds no {positive!r}; {nearest(positive, classes)}")
    labels = pa.compute.equal(values, positive).to_numpy(zero_copy_only=False)
    other = next(c for c in classes if c != positive) if len(classes) == 2 else f"not {positive}"
    return Target(name, positive, other, np.asarray(labels, bool))


def written(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Labels as a person would write them, where the file is Parquet: 1.0 is "1", and True is "true"."""
    if pa.types.is_floating(column.type):
        whole = pa.compute.all(pa.compute.equal(column, pa.compute.round(column))).as_py()
        low, high = pa.compute.min_max(column).as_py().values()
        column = column.cast(pa.int64()) if whole and -1e15 < low <= high < 1e15 else column
    return words(column)


def without_missing(table: pa.Table, name: str, drop: bool, source: Path) -> pa.Table:
    """The rows whose target is known.

    Raises
    ------
    UserError
        If there is no such column, or there are others and they are not to be dropped.
    """
    if name not in table.column_names:
        raise UserError(f"{source} has no column {name!r}; {nearest(name, table.column_names)}")
    column = table.column(name)
    known = column.is_valid()
    if pa.types.is_floating(column.type):
        known = pa.compute.and_(known, pa.compute.invert(pa.compute.is_nan(column).fill_null(False)))
    missing = table.num_rows - pa.compute.sum(known).as_py()
    if missing == table.num_rows:
        raise UserError(f"{source}: the target {name!r} is missing in every row")
    if missing and not drop:
        raise UserError(
            f"{source}: the target {name!r} is missing in {missing} rows; leave them out with --drop-missing"
        )
    return table.filter(known) if missing else table
