"""Tables from files: CSV as it comes out of spreadsheets, databases and pandas, and Parquet."""

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

from focal_loss._command.errors import UserError, first_line

pa.set_memory_pool(pa.system_memory_pool())  # another would keep what was freed
pa.enable_signal_handlers(False)  # they lose a Ctrl+C, or end the process in the midst of it

PARQUET = (".parquet", ".pq")
DELIMITERS = (",", ";", "\t", "|")  # of equally frequent ones the first
MOST_ODD = 3  # words among numbers, such as "?"
NUMBER = r"^\s*[+-]?(\d+(,\d+)?|,\d+)([eE][+-]?\d+)?\s*$"  # with a decimal comma
THOUSANDS = r"^\s*[+-]?\d{1,3},\d{3}\s*$"


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
        if path.suffix.lower() in PARQUET:
            refuse_twins(pyarrow.parquet.read_schema(path).names, path)  # which `read_table` cannot read
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
    """Its first line tells what parts the fields, its first bytes whether it is UTF-16, as spreadsheets write it."""
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
            return parsed(breaks=True)  # which is slower, and rarely needed

    table = parsed()
    refuse_twins(table.column_names, path)
    return table if delimiter == "," else with_decimal_points(table, words, path)


def with_decimal_points(table: pa.Table, words: Sequence[str], source: Path) -> pa.Table:
    """Where numbers, in columns that are not to be words, have decimal commas; it is noted in the table."""
    for k, name in enumerate(table.column_names):
        column = table.column(k)
        if name not in words and has_decimal_commas(name, column, source):
            column = pa.compute.replace_substring(column, ",", ".")
            with suppress(pa.ArrowInvalid):  # words among them, which are seen to later
                column = column.cast(pa.float64())
            table = table.set_column(k, name, column).replace_schema_metadata({"decimal": ","})
    return table


def has_decimal_commas(name: str, column: pa.ChunkedArray, source: Path) -> bool:
    """Whether they are numbers, some of them with a comma, perhaps with a few other words among them.

    Raises
    ------
    UserError
        If the commas might as well part thousands.
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
    """What `read_csv` noted of a file."""
    return {key.decode() for key in table.schema.metadata or {}}


def give_memory_back() -> None:
    """To the system: reading a million rows of 30 numbers leaves 500 MiB of pieces between what is still needed."""
    pa.default_memory_pool().release_unused()
