"""Tables from files and directories: CSV and Parquet."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from focal_loss._command import formats
from focal_loss._command.delimited import Opened, read_csv, refuse_twins
from focal_loss._command.errors import NoRowsError, UserError, first_line
from focal_loss._command.sources import Source

pa.set_memory_pool(pa.system_memory_pool())  # other pools keep freed memory
pa.enable_signal_handlers(False)  # its handlers lose a Ctrl+C, or kill the process

PARQUET = (".parquet", ".pq")
OTHER_ENCODING = "give its encoding, such as --encoding cp1252"
HEAD = 1 << 16  # bytes of a file that show what it is


def read(source: Path | Source, words: Sequence[str] = (), known: Sequence[str] | None = None) -> pa.Table:
    """The table of a CSV file, compressed or not, of a Parquet file, or of a directory of Parquet files. Columns of a
    CSV file named in `words`, and those that the source calls categories, are read as text. To predict, the columns of
    the model are `known`.

    Raises
    ------
    UserError
        If there is no such file, it is of another kind, it cannot be read, it is empty, or two columns have one name.
    """
    source = Source.of(source)
    is_directory = source.path.is_dir()
    if not (source.is_stream or is_directory or source.path.is_file()):
        raise UserError(f"{source} is no file")
    try:
        table = read_directory(source) if is_directory else read_file(source, words, known)
    except UnicodeDecodeError as error:
        raise UserError(f"cannot read {source}: it is not in {error.encoding}; {OTHER_ENCODING}") from error
    except (pa.ArrowException, OSError, EOFError, UnicodeError) as error:
        remedy = f"; {OTHER_ENCODING}" if "UTF8" in str(error) else ""
        raise UserError(f"cannot read {source}: {first_line(error)}{remedy}") from error
    give_memory_back()
    if not table.num_rows:
        raise NoRowsError(f"{source} has no rows", table)
    return table


def read_file(source: Source, words: Sequence[str], known: Sequence[str] | None) -> pa.Table:
    opened, head = opened_and_head(source)
    formats.refuse_other(source, head)
    if source.path.suffix.lower() in PARQUET or head.startswith(formats.PARQUET):
        refuse_csv_options(source)
        refuse_twins(pyarrow.parquet.read_schema(opened()).names, source)  # `read_table` cannot read such a file
        return pyarrow.parquet.read_table(opened())
    return read_csv(source, opened, head, (*words, *source.categorical), known)


@lru_cache(maxsize=1)
def content_of(stream: Any) -> bytes:
    """The content of standard input, which can be read once, and is wanted more often."""
    content: bytes = stream.read()
    return content


def opened_and_head(source: Source) -> tuple[Opened, bytes]:
    """A function that opens the file, which is read more than once, and its first bytes. Standard input is held in
    memory.
    """
    if not source.is_stream:
        with pa.input_stream(str(source.path)) as stream:
            return lambda: source.path, stream.read(HEAD)
    if sys.stdin is None:
        raise UserError("standard input is closed")
    data = pa.py_buffer(content_of(sys.stdin.buffer))
    compression = formats.compression(bytes(memoryview(data)[:8]))
    if compression:
        data = pa.py_buffer(pa.input_stream(pa.BufferReader(data), compression=compression).read())
    return lambda: pa.BufferReader(data), bytes(memoryview(data)[:HEAD])


def read_directory(source: Source) -> pa.Table:
    """The table in the Parquet files of a directory, as Spark, Dask and Hive write them: folders named `key=value` are
    a column.
    """
    from pyarrow import dataset  # takes long to import

    refuse_csv_options(source)
    files = parquet_files(source.path)
    schemas = [pyarrow.parquet.read_schema(file) for file in files]
    for file, schema in zip(files, schemas, strict=True):
        refuse_twins(schema.names, file)
        refuse_other_columns(file, schema.names, files[0], schemas[0].names)
    paths, folders = list(map(str, files)), dataset.partitioning(flavor="hive")
    given = {"format": "parquet", "partitioning": folders, "partition_base_dir": str(source.path)}
    whole = pa.unify_schemas([dataset.dataset(paths, **given).schema, *schemas], promote_options="permissive")
    return dataset.dataset(paths, whole, **given).to_table()


def parquet_files(directory: Path) -> tuple[Path, ...]:
    """The Parquet files of a directory, without those that writers leave beside them, as in `_temporary`."""
    found = sorted(path for path in directory.rglob("*") if path.suffix.lower() in PARQUET)
    found = [path for path in found if not any(part[0] in "_." for part in path.relative_to(directory).parts)]
    if not found:
        raise UserError(f"{directory} is a directory that holds no Parquet file; give one CSV or Parquet file")
    return tuple(found)


def refuse_other_columns(path: Path, names: Sequence[str], first: Path, expected: Sequence[str]) -> None:
    if set(names) != set(expected):
        raise UserError(f"{path} has other columns than {first}: {sorted(set(names) ^ set(expected))[0]!r}")


def refuse_csv_options(source: Source) -> None:
    """Refuse options for reading text where the table is no text."""
    for option, given in (("--no-header", not source.header), ("--encoding", source.encoding)):
        if given:
            raise UserError(f"{option} is for CSV files, and {source} is Parquet; leave it out")


def give_memory_back() -> None:
    """Return freed memory to the system: reading a million rows of 30 numbers leaves 500 MiB of free pieces."""
    pa.default_memory_pool().release_unused()
