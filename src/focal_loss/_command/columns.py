"""Columns: their kinds, how their values are written, and the same values again for prediction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute

from focal_loss._command import dates, numerals
from focal_loss._command.errors import UserError, first_line
from focal_loss._command.numerals import PLAIN, Form
from focal_loss._command.sources import Source

Array = Any
Kind = Literal["number", "boolean", "date", "time", "duration", "category"]
KINDS = {
    "number": "numbers", "boolean": "true and false", "date": "dates", "time": "times of day", "duration": "durations",
    "category": "words",
}  # fmt: skip
DAYS = {"date": pa.timestamp("us"), "time": pa.time64("us"), "duration": pa.duration("us")}
ORDERS = {"": "2026-03-14", "ymd": "2026-03-14", "dmy": "14/3/2026", "mdy": "3/14/2026"}


@dataclass(frozen=True)
class Column:
    name: str
    kind: Kind
    categories: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()  # words among numbers or dates that count as missing
    form: Form = PLAIN  # of numbers written as text
    order: str = ""  # of day, month and year in dates written as text

    def is_text(self) -> bool:
        """Whether the column must be read as text from a file that does not say what it holds."""
        return self.kind == "category" or self.form != PLAIN or bool(self.order)


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
            raise pa.ArrowInvalid("text that is not UTF-8; give its encoding, such as --encoding cp1252")
        raise pa.ArrowInvalid(f"{dtype}, neither numbers, words, truths nor dates; leave it out")
    return "category"


def words(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of any type, dictionaries included, as text."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.cast(pa.string())


def written(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values of a Parquet file as a person would write them: 1.0 is "1", and True is "true"."""
    if pa.types.is_floating(column.type):
        column = column.cast(pa.float64())
        whole = pa.compute.all(pa.compute.equal(column, pa.compute.round(column))).as_py()
        low, high = pa.compute.min_max(column).as_py().values()
        column = column.cast(pa.int64()) if whole and -1e15 < low <= high < 1e15 else column
    return words(column)


def wrong_kind(column: Column, source: Source, found: Exception) -> UserError:
    return UserError(f"{source}: column {column.name!r} must hold {KINDS[column.kind]}: {first_line(found)}")


def categorical(column: Column, values: pa.ChunkedArray, source: Source) -> pd.Categorical:
    """The column as categories; a word that is not among them is missing."""
    try:
        codes = pa.compute.index_in(written(values), value_set=pa.array(column.categories, pa.string()))
    except pa.ArrowException as error:  # bytes, lists
        raise wrong_kind(column, source, error) from error
    return pd.Categorical.from_codes(codes.fill_null(-1).to_numpy(), categories=list(column.categories))


def numbers(column: Column, values: pa.ChunkedArray, source: Source) -> Array:
    """The column in float64, NaN where a value is missing. A date counts days since 1970, a time its fraction of the
    day, a duration its days.
    """
    try:
        kind = kind_of(values)
        if column.kind in ("number", "date") and kind == "category":
            return from_text(column, values, source)
        if kind != column.kind and values.null_count < len(values) and (column.kind, kind) != ("number", "boolean"):
            raise pa.ArrowInvalid(f"there are {KINDS[kind]}")
        if column.form.unit == "%" and values.null_count < len(values):
            raise pa.ArrowInvalid("write them with a percent sign, as in training")
        if column.kind == "boolean":
            values = values.cast(pa.bool_()).cast(pa.int8())
        elif column.kind in DAYS:
            return days_of(values.cast(DAYS[column.kind], safe=False)).to_numpy()
        return values.cast(pa.float64(), safe=False).to_numpy()
    except pa.ArrowException as error:
        raise wrong_kind(column, source, error) from error


def days_of(moments: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    return pa.compute.divide(moments.cast(pa.int64()).cast(pa.float64(), safe=False), 86_400e6)


def from_text(column: Column, values: pa.ChunkedArray, source: Source) -> Array:
    """The numbers or dates of a column of text: each word is read once, in the form that it had in training.

    Raises
    ------
    UserError
        If a word has another form, and did not count as missing in training.
    """
    # An array of its own, because a file may have a dictionary for each of its parts.
    coded = words(values).combine_chunks().dictionary_encode()
    coded = pa.chunked_array([coded]).combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    distinct = coded.dictionary
    if column.kind == "date":
        found = days_of(pa.array(dates.parsed(distinct, column.order or "ymd")))
        example = ORDERS[column.order]
    else:
        found, example = numerals.parsed(distinct, column.form), column.form.example()
    odd = pa.compute.is_in(distinct, value_set=pa.array(column.missing, pa.string()))
    wrong = distinct.filter(pa.compute.and_not(found.is_null(), odd))
    if len(wrong):
        raise UserError(
            f"{source}: column {column.name!r} must hold {KINDS[column.kind]} written as in training, such as "
            f"{example}; it holds {wrong[0].as_py()!r}: write that so, or leave it empty"
        )
    known = np.append(found.to_numpy(zero_copy_only=False), np.nan)
    return known[coded.indices.fill_null(-1).to_numpy()]
