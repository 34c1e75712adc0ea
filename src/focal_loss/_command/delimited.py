"""CSV files as spreadsheets, databases and pandas write them."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv

from focal_loss._command.errors import UserError
from focal_loss._command.sources import Source

Array = Any
Opened = Callable[[], Any]  # a path, or a new stream of what is not a file
DELIMITERS = (",", ";", "\t", "|")  # the first wins a tie
CODE = r"^\s*0\d+\s*$"
THOUSANDS = r"^\s*[+-]?(0|[1-9]\d{0,2}(\.\d{3})?)\s*$"
A_NUMBER = r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*|\d{4}-\d\d-\d\d.*|NA|NaN|(?i:true|false)|"
YEARS = range(1900, 2100)


def read_csv(
    source: Source, opened: Opened, head: bytes, words: Sequence[str], known: Sequence[str] | None
) -> pa.Table:
    """Read a CSV file. Its first line shows the delimiter, its first bytes whether it is UTF-16, as spreadsheets write
    it. Columns of `words` are read as text. If the columns of a model are not `known` yet, the file must show that its
    first line is their names, and codes and points between thousands stay text.
    """
    marked = "utf-16" if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8"
    encoding = source.encoding or marked
    first = re.sub(r'"[^"]*"', "", re.split("[\r\n]", head.decode(encoding, "replace").lstrip())[0])
    delimiter = max(DELIMITERS, key=first.count)
    named: dict[str, Any] = {} if source.header else {"autogenerate_column_names": True}

    def parsed(text: Sequence[str], only: Sequence[str], read: Callable[..., Any], breaks: bool = False) -> Any:
        try:
            return read(
                opened(),
                pyarrow.csv.ReadOptions(encoding=encoding, **named),
                # An empty line of a single column is a missing value.
                pyarrow.csv.ParseOptions(
                    delimiter=delimiter, newlines_in_values=breaks, ignore_empty_lines=delimiter in first
                ),
                pyarrow.csv.ConvertOptions(
                    column_types=dict.fromkeys(text, pa.string()), strings_can_be_null=True, include_columns=only
                ),
            )
        except pa.ArrowInvalid:
            if breaks:
                raise
            return parsed(text, only, read, breaks=True)  # slower, and rarely needed

    if not source.header:
        with parsed((), (), pyarrow.csv.open_csv) as batches:
            named = {"column_names": [f"column_{k + 1}" for k in range(len(batches.schema))]}
    table = parsed(words, (), pyarrow.csv.read_csv)
    if source.header and not {*words, *(known or ())} & {*table.column_names}:
        refuse_data_as_names(table, source)
    refuse_twins(table.column_names, source)
    again = doubtful(table) if known is None else []
    again = parsed(again, again, texts) if again else []
    for name in again:
        text = parsed([name], [name], pyarrow.csv.read_csv).column(name)
        table = table.set_column(table.column_names.index(name), name, text)
    return table.replace_schema_metadata({"csv": ""})


def refuse_twins(names: Sequence[str], source: object) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(f"{source} has {twice[0]!r} for the name of more than one column")


def refuse_data_as_names(table: pa.Table, source: Source) -> None:
    """Refuse a first line that looks like the others.

    Columns of numbers have numbers for names then, and columns of words have names that occur among their words.
    Numbers in a row, such as years, may be names.
    """
    names = table.column_names
    typed = [name for name, field in zip(names, table.schema, strict=True) if not pa.types.is_string(field.type)]
    if not all(re.fullmatch(A_NUMBER, name) for name in typed):
        return
    texts = [
        (name, column) for name, column in zip(names, table.columns, strict=True) if pa.types.is_string(column.type)
    ]
    found = [is_among(name, column) for name, column in texts]
    numbers = [name for name in typed if re.search(r"\d", name)]
    if (numbers and not in_a_row(numbers)) or (found and all(found)) or (numbers and any(found)):
        shown = ", ".join(map(repr, names[:3]))
        raise UserError(f"{source}: the first line looks like data, not like names: {shown}; give --no-header")


def is_among(name: str, column: pa.ChunkedArray) -> bool:
    return bool(pa.compute.any(pa.compute.equal(column, name)).as_py())


def in_a_row(names: Sequence[str]) -> bool:
    """Whether names are whole numbers that count up. A single one counts from 0 or 1, or is a year."""
    if not all(name.isdecimal() for name in names):
        return False
    found = list(map(int, names))
    return found == list(range(found[0], found[0] + len(found))) and (
        len(found) > 1 or found[0] in (0, 1) or found[0] in YEARS
    )


def doubtful(table: pa.Table) -> list[str]:
    """The columns of numbers that may be written otherwise than as numbers: whole ones, which may be codes with leading
    zeros, and those with up to three decimals, whose points may group thousands.
    """
    return [name for name in table.column_names if pa.types.is_integer(table.schema.field(name).type)] + [
        name
        for name in table.column_names
        if pa.types.is_floating(table.schema.field(name).type) and may_be_thousands(table.column(name))
    ]


def may_be_thousands(column: pa.ChunkedArray) -> bool:
    values = np.abs(column.drop_null().to_numpy())
    values = values[values > 0]
    if not len(values) or not ((values >= 1) & (values < 1000)).all():
        return False
    return bool((np.abs(1000 * values - np.round(1000 * values)) < 1e-6).all())


def texts(file: Any, *options: Any) -> list[str]:
    """The columns in which some value has leading zeros, or all values may be numbers with points between thousands.
    The file, whose numbers are read as text, is never in memory as a whole.
    """
    codes: set[str] = set()
    points: set[str] = set()
    other: set[str] = set()
    with pyarrow.csv.open_csv(file, *options) as batches:
        for batch in batches:
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                if holds(column, CODE):
                    codes.add(name)
                if holds(column, "[.]"):
                    points.add(name)
                if name not in other and not holds(column, THOUSANDS, pa.compute.all):
                    other.add(name)
    return sorted(codes | (points - other))


def holds(column: pa.Array, pattern: str, some: Callable[..., Any] = pa.compute.any) -> bool | None:
    """Whether some values match, or all; None if there are no values."""
    found: bool | None = some(pa.compute.match_substring_regex(column, pattern)).as_py()
    return found


def is_csv(table: pa.Table) -> bool:
    """Whether the table is from a CSV file, which does not say what its columns hold."""
    return b"csv" in (table.schema.metadata or {})
