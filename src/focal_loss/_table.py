"""Tables from files: what a column is, what the target is, and the same columns again when it comes to predict.

A `Schema` is what a model remembers of its columns. It is plain data, and goes into JSON.
"""

from __future__ import annotations

import codecs
import difflib
import re
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

pa.set_memory_pool(pa.system_memory_pool())  # another would keep what was freed

Array = Any
Kind = Literal["number", "boolean", "date", "category"]
PARQUET = (".parquet", ".pq")
DELIMITERS = (",", ";", "\t", "|")  # of equally frequent ones the first
# A column of words nearly all of which differ is a name or a text, and no category.
MOST_DISTINCT, DISTINCT_SHARE = 50, 0.5
INDEX = ("", "Unnamed: 0")  # names under which pandas writes the numbers of rows, to be learned by heart
MOST_ODD = 3  # words among numbers, such as "?"
NUMBER = re.compile(r"\s*[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*")  # and no code such as 007


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
        table = pyarrow.parquet.read_table(path) if is_parquet else read_csv(path, words)
        names = table.column_names
    except (pa.ArrowException, OSError, EOFError, UnicodeError) as error:
        raise UserError(f"cannot read {path}: {(str(error).splitlines() or ['it ends too early'])[0]}") from error
    give_memory_back()
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(f"{path} has {twice[0]!r} for the name of more than one column")
    if not table.num_rows:
        raise UserError(f"{path} has no rows")
    for field in table.schema:
        if pa.types.is_nested(field.type) or pa.types.is_binary(field.type):
            what = (
                "neither numbers, words, truths nor dates" if is_parquet else "text that is not UTF-8; save it as such"
            )
            raise UserError(f"{path}: column {field.name!r} holds {what}")
    return table


def read_csv(path: Path, words: Sequence[str]) -> pa.Table:
    """Its first line tells what parts the fields, its first bytes whether it is UTF-16, as spreadsheets write it."""
    with pa.input_stream(str(path)) as stream:
        head = stream.read(1 << 16)
    encoding = "utf-16" if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8"
    names = re.sub(r'"[^"]*"', "", re.split("[\r\n]", head.decode(encoding, "replace").lstrip())[0])
    return pyarrow.csv.read_csv(
        path,
        pyarrow.csv.ReadOptions(encoding=encoding),
        pyarrow.csv.ParseOptions(delimiter=max(DELIMITERS, key=names.count)),
        pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(words, pa.string()), strings_can_be_null=True),
    )


def give_memory_back() -> None:
    """To the system: reading a million rows of 30 numbers leaves 500 MiB of pieces between what is still needed."""
    pa.default_memory_pool().release_unused()


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
    missing: tuple[str, ...] = ()  # words among numbers that stand for no number


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


def column_of(name: str, values: pa.ChunkedArray) -> tuple[Column | None, str]:
    """What a column is, None if there is nothing to learn from it, and what is to be said of it."""
    if name in INDEX or name.startswith("__index_level_"):
        return None, f"{name!r} is left out: it is an index that pandas wrote"
    kind = kind_of(values)
    if kind != "category":
        return Column(name, kind), ""
    counts = {item["values"]: item["counts"] for item in words(values).drop_null().value_counts().to_pylist()}
    if not counts:
        return Column(name, "number"), ""
    odd = sorted(word for word in counts if not NUMBER.fullmatch(word))
    if 0 < len(odd) <= MOST_ODD and 2 * sum(map(counts.__getitem__, odd)) < sum(counts.values()):
        note = f"{name!r} holds numbers; {', '.join(map(repr, odd))} among them counts as missing"
        return Column(name, "number", missing=tuple(odd)), note
    if len(counts) > MOST_DISTINCT and len(counts) > DISTINCT_SHARE * len(values):
        return None, f"{name!r} is left out: nearly every row has its own word"
    return Column(name, "category", tuple(sorted(counts))), ""


@dataclass(frozen=True)
class Schema:
    columns: tuple[Column, ...]

    @classmethod
    def of(cls, table: pa.Table, target: str) -> tuple[Schema, list[str]]:
        """What the columns but the target are, and what is to be said of them."""
        found = [column_of(name, table.column(name)) for name in table.column_names if name != target]
        kept = [column for column, _ in found if column is not None]
        if not kept:
            raise UserError(f"there is no column to learn from beside the target {target!r}")
        kept.sort(key=lambda column: column.kind == "category")
        return cls(tuple(kept)), [note for _, note in found if note]

    def unknown(self, table: pa.Table) -> list[str]:
        """Of a table to predict: what is to be said of words that were not there in training."""
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
        return cls(tuple(Column(c["name"], c["kind"], tuple(c["categories"]), tuple(c["missing"])) for c in columns))

    def to_json(self) -> list[dict[str, Any]]:
        return [asdict(column) for column in self.columns]

    def frames(self, table: pa.Table, source: Path, parts: Sequence[Array] = (slice(None),)) -> list[pd.DataFrame]:
        """These columns of each part of the rows: the numbers in one array, then the categories.

        Raises
        ------
        UserError
            If a column is not there, or is of another kind.
        """
        for column in self.columns:
            if column.name not in table.column_names:
                near = nearest(column.name, table.column_names)
                raise UserError(f"{source} has no column {column.name!r}, which the model needs; {near}")
        words = [column for column in self.columns if column.kind == "category"]
        plain = [column for column in self.columns if column.kind != "category"]
        sizes = [len(np.arange(table.num_rows)[part]) for part in parts]
        # An array for each column would leave the heap in pieces, which the system does not get back.
        arrays = [np.empty((len(plain), size)) for size in sizes]
        for k, column in enumerate(plain):
            values = numbers(column, table.column(column.name), source)
            for array, part in zip(arrays, parts, strict=True):
                array[k] = values[part]
        categories = pd.DataFrame({column.name: categorical(column, table.column(column.name)) for column in words})
        frames = [pd.DataFrame(array.T, columns=[column.name for column in plain], copy=False) for array in arrays]
        if not words:
            return frames
        rest = [categories.iloc[part].reset_index(drop=True) for part in parts]
        return [pd.concat(pair, axis=1) for pair in zip(frames, rest, strict=True)]


def categorical(column: Column, values: pa.ChunkedArray) -> pd.Categorical:
    """A word that is none of the categories is missing."""
    codes = pa.compute.index_in(words(values), value_set=pa.array(column.categories, pa.string()))
    return pd.Categorical.from_codes(codes.fill_null(-1).to_numpy(), categories=list(column.categories))


def numbers(column: Column, values: pa.ChunkedArray, source: Path) -> Array:
    """Float64, NaN where a value is missing."""
    try:
        if column.kind == "date":
            return days(values)
        if column.kind == "boolean":
            if not pa.types.is_boolean(values.type) and not pa.types.is_null(values.type):
                raise pa.ArrowInvalid(f"there are {values.type}")
            values = values.cast(pa.bool_()).cast(pa.int8())
        if column.kind == "number" and kind_of(values) == "category":
            odd = pa.compute.is_in(words(values), value_set=pa.array(column.missing, pa.string()))
            values = pa.compute.utf8_trim_whitespace(pa.compute.if_else(odd, None, words(values)))
        return values.cast(pa.float64(), safe=False).to_numpy()
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
