"""Tables from files: CSV as spreadsheets, databases and pandas write it, and Parquet."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet

from focal_loss._command.errors import UserError, first_line
from focal_loss._command.sources import Source

Array = Any
pa.set_memory_pool(pa.system_memory_pool())  # other pools keep freed memory
pa.enable_signal_handlers(False)  # its handlers lose a Ctrl+C, or kill the process

PARQUET = (".parquet", ".pq")
DELIMITERS = (",", ";", "\t", "|")  # the first wins a tie
CODE = r"^\s*0\d+\s*$"
THOUSANDS = r"^\s*[+-]?(0|[1-9]\d{0,2}(\.\d{3})?)\s*$"


def read(source: Path | Source, words: Sequence[str] = ()) -> pa.Table:
    """The table of a CSV file, compressed or not, or of a Parquet file. Columns of a CSV file named in `words`, and
    those that the source calls categories, are read as text.

    Raises
    ------
    UserError
        If there is no such file, it cannot be read, it is empty, or two columns have one name.
    """
    source = Source.of(source)
    path, words = source.path, (*words, *source.categorical)
    if not path.is_file():
        raise UserError(f"{path} is {'a directory; --dask reads one' if path.is_dir() else 'no file'}")
    try:
        if path.suffix.lower() in PARQUET:
            refuse_twins(pyarrow.parquet.read_schema(path).names, path)  # `read_table` cannot read such a file
            table = pyarrow.parquet.read_table(path)
        else:
            table = read_csv(path, words)
    except (pa.ArrowException, OSError, EOFError, UnicodeError) as error:
        raise UserError(f"cannot read {path}: {first_line(error)}") from error
    give_memory_back()
    if not table.num_rows:
        raise UserError(f"{path} has no rows")
    return table


def refuse_twins(names: Sequence[str], source: Path) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(f"{source} has {twice[0]!r} for the name of more than one column")


def read_csv(path: Path, words: Sequence[str]) -> pa.Table:
    """Read a CSV file. Its first line shows the delimiter, its first bytes whether it is UTF-16, as spreadsheets write
    it.
    """
    with pa.input_stream(str(path)) as stream:
        head = stream.read(1 << 16)
    encoding = "utf-16" if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8"
    names = re.sub(r'"[^"]*"', "", re.split("[\r\n]", head.decode(encoding, "replace").lstrip())[0])
    delimiter = max(DELIMITERS, key=names.count)

    def parsed(text: Sequence[str], only: Sequence[str], read: Callable[..., Any], breaks: bool = False) -> Any:
        try:
            return read(
                path,
                pyarrow.csv.ReadOptions(encoding=encoding),
                # An empty line of a single column is a missing value.
                pyarrow.csv.ParseOptions(
                    delimiter=delimiter, newlines_in_values=breaks, ignore_empty_lines=delimiter in names
                ),
                pyarrow.csv.ConvertOptions(
                    column_types=dict.fromkeys(text, pa.string()), strings_can_be_null=True, include_columns=only
                ),
            )
        except pa.ArrowInvalid:
            if breaks:
                raise
            return parsed(text, only, read, breaks=True)  # slower, and rarely needed

    table = parsed(words, (), pyarrow.csv.read_csv)
    refuse_twins(table.column_names, path)
    again = doubtful(table)
    again = parsed(again, again, texts) if again else []
    for name in again:
        text = parsed([name], [name], pyarrow.csv.read_csv).column(name)
        table = table.set_column(table.column_names.index(name), name, text)
    return table.replace_schema_metadata({"csv": ""})


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
    return len(values) > 0 and bool(((values >= 1) & (values < 1000) & near_whole(values * 1000)).all())


def near_whole(values: Array) -> Array:
    return np.abs(values - np.round(values)) < 1e-6


def texts(path: Path, *options: Any) -> list[str]:
    """The columns in which some value has leading zeros, or all values may be numbers with points between thousands.
    The file, whose numbers are read as text, is never in memory as a whole.
    """
    codes: set[str] = set()
    points: set[str] = set()
    other: set[str] = set()
    with pyarrow.csv.open_csv(path, *options) as batches:
        for batch in batches:
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                if holds(column, CODE):
                    codes.add(name)
                if holds(column, "[.]"):
                    points.add(name)
                if (
                    name not in other
                    and not pa.compute.all(pa.compute.match_substring_regex(column, THOUSANDS)).as_py()
                ):
                    other.add(name)
    return sorted(codes | (points - other))


def holds(column: pa.Array, pattern: str, some: Callable[..., Any] = pa.compute.any) -> bool | None:
    """Whether some values match, or all; None if there are no values."""
    found: bool | None = some(pa.compute.match_substring_regex(column, pattern)).as_py()
    return found


def is_csv(table: pa.Table) -> bool:
    """Whether the table is from a CSV file, which does not say what its columns hold."""
    return b"csv" in (table.schema.metadata or {})


def give_memory_back() -> None:
    """Return freed memory to the system: reading a million rows of 30 numbers leaves 500 MiB of free pieces."""
    pa.default_memory_pool().release_unused()
