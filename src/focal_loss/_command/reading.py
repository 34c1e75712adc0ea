"""Tables from files: CSV as spreadsheets, databases and pandas write it, and Parquet."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from focal_loss._command.errors import NoRowsError, UserError, first_line

pa.set_memory_pool(pa.system_memory_pool())  # other pools keep freed memory
pa.enable_signal_handlers(False)  # its handlers lose a Ctrl+C, or kill the process

PARQUET = (".parquet", ".pq")
DELIMITERS = (",", ";", "\t", "|")  # the first wins a tie
MOST_ODD = 3  # most words among numbers, such as "?"
NUMBER = r"^\s*[+-]?(\d+(,\d+)?|,\d+)([eE][+-]?\d+)?\s*$"  # with a decimal comma
THOUSANDS = r"^\s*[+-]?\d{1,3},\d{3}\s*$"


def read(path: Path, words: Sequence[str] = ()) -> pa.Table:
    """The table of a CSV file, compressed or not, or of a Parquet file. Columns of a CSV file named in `words` are read
    as text.

    Raises
    ------
    UserError
        If there is no such file, it cannot be read, it is empty, or two columns have one name.
    """
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
        raise NoRowsError(f"{path} has no rows", table)
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

    def parsed(breaks: bool = False) -> pa.Table:
        try:
            return pyarrow.csv.read_csv(
                path,
                pyarrow.csv.ReadOptions(encoding=encoding),
                # An empty line of a single column is a missing value.
                pyarrow.csv.ParseOptions(
                    delimiter=delimiter, newlines_in_values=breaks, ignore_empty_lines=delimiter in names
                ),
                pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(words, pa.string()), strings_can_be_null=True),
            )
        except pa.ArrowInvalid:
            if breaks:
                raise
            return parsed(breaks=True)  # slower, and rarely needed

    table = parsed()
    refuse_twins(table.column_names, path)
    return table if delimiter == "," else with_decimal_points(table, words, path)


def with_decimal_points(table: pa.Table, words: Sequence[str], source: Path) -> pa.Table:
    """The table with decimal commas read as numbers, except in columns of `words`; its metadata note the change."""
    for k, name in enumerate(table.column_names):
        column = table.column(k)
        if name not in words and has_decimal_commas(name, column, source):
            column = pa.compute.replace_substring(column, ",", ".")
            with suppress(pa.ArrowInvalid):  # odd words among them are handled later
                column = column.cast(pa.float64())
            table = table.set_column(k, name, column).replace_schema_metadata({"decimal": ","})
    return table


def has_decimal_commas(name: str, column: pa.ChunkedArray, source: Path) -> bool:
    """Whether a column holds numbers, some with a comma, and at most a few other words.

    Raises
    ------
    UserError
        If the commas might as well group thousands.
    """
    if not pa.types.is_string(column.type):
        return False
    column = column.drop_null()
    are_numbers = pa.compute.match_substring_regex(column, NUMBER)
    plain, odd = column.filter(are_numbers), column.filter(pa.compute.invert(are_numbers))
    with_comma = plain.filter(pa.compute.match_substring(plain, ","))
    if not len(with_comma) or len(odd) > len(plain) or len(odd.unique()) > MOST_ODD:
        return False
    if pa.compute.all(pa.compute.match_substring_regex(with_comma, THOUSANDS)).as_py():
        shown = with_comma[0].as_py()
        raise UserError(
            f"{source}: column {name!r} holds {shown}, with decimals or with thousands; write it without comma"
        )
    return True


def known_of(table: pa.Table) -> set[str]:
    """The notes of `read_csv` in the metadata of a table."""
    return {key.decode() for key in table.schema.metadata or {}}


def give_memory_back() -> None:
    """Return freed memory to the system: reading a million rows of 30 numbers leaves 500 MiB of free pieces."""
    pa.default_memory_pool().release_unused()
