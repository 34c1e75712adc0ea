"""Kinds of files, by their names and first bytes: those that are no tables, and what to do with them."""

from __future__ import annotations

from focal_loss._command.errors import UserError
from focal_loss._command.sources import Source

UNPACK = ("an archive", "unpack it")
EXCEL = ("a workbook", "save its sheet as CSV")
ARROW = ("an Arrow file", "write it as Parquet, as by pandas.read_feather(...).to_parquet(...)")
ORC = ("an ORC file", "write it as Parquet, as by pandas.read_orc(...).to_parquet(...)")
JSON = ("JSON", "write it as CSV or Parquet, as by pandas.read_json(...).to_parquet(...)")
SAS = ("a SAS file", "write it as Parquet, as by pandas.read_sas(...).to_parquet(...)")
STATA = ("a Stata file", "write it as Parquet, as by pandas.read_stata(...).to_parquet(...)")
SPSS = ("an SPSS file", "write it as Parquet, as by pandas.read_spss(...).to_parquet(...)")
PICKLE = ("a pickle, which can run code when it is read", "write the table as Parquet where the pickle was made")
HDF = ("an HDF5 file", "write its table as Parquet, as by pandas.read_hdf(...).to_parquet(...)")
AVRO = ("an Avro file", "write it as Parquet")
DATABASE = ("a database", "write its table as CSV")
OBJECTS = ("a file of R", "write its table as CSV, as by write.csv(..., row.names = FALSE)")
NUMPY = ("a NumPy file", "write it as CSV or Parquet with the names of its columns")
XZ = ("compressed by xz", "compress it by gzip, bzip2 or zstd, or not at all")

SUFFIXES = {
    **dict.fromkeys((".zip", ".7z", ".rar", ".tar", ".tgz"), UNPACK),
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".xlsb", ".ods", ".numbers"), EXCEL),
    **dict.fromkeys((".feather", ".arrow", ".ipc"), ARROW),
    ".orc": ORC,
    **dict.fromkeys((".json", ".jsonl", ".ndjson"), JSON),
    **dict.fromkeys((".sas7bdat", ".xpt"), SAS),
    ".dta": STATA,
    **dict.fromkeys((".sav", ".zsav"), SPSS),
    **dict.fromkeys((".pkl", ".pickle", ".joblib"), PICKLE),
    **dict.fromkeys((".h5", ".hdf", ".hdf5"), HDF),
    ".avro": AVRO,
    **dict.fromkeys((".sqlite", ".sqlite3", ".db", ".duckdb", ".mdb", ".accdb"), DATABASE),
    **dict.fromkeys((".rds", ".rda", ".rdata"), OBJECTS),
    **dict.fromkeys((".npy", ".npz"), NUMPY),
    ".xz": XZ,
}
# A name of a column may begin with the letters of a kind, which are not followed by what a text holds.
PARQUET = b"PAR1\x15"
BYTES = {
    b"PK\x03\x04": ("an archive or a workbook", "unpack it, or save its sheet as CSV"),
    b"\xd0\xcf\x11\xe0": EXCEL,
    b"7z\xbc\xaf": UNPACK,
    b"ARROW1\0": ARROW,
    b"FEA1\0": ARROW,
    b"[{": JSON,
    b'{"': JSON,
    b"<stata_dta>": STATA,
    b"$FL2": SPSS,
    b"\x80\x02": PICKLE,
    b"\x80\x03": PICKLE,
    b"\x80\x04": PICKLE,
    b"\x80\x05": PICKLE,
    b"\x89HDF": HDF,
    b"Obj\x01": AVRO,
    b"SQLite format 3": DATABASE,
    b"\x93NUMPY": NUMPY,
    b"\xfd7zXZ": XZ,
}
COMPRESSIONS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd"}


def refuse_other(source: Source, head: bytes) -> None:
    """Refuse a file that is no table of ours, and say what to do with it.

    Raises
    ------
    UserError
        If its name or its first bytes are those of such a kind.
    """
    suffix = source.path.suffix.lower()
    found = SUFFIXES.get(suffix) or next((kind for start, kind in BYTES.items() if head.startswith(start)), None)
    if found:
        what, remedy = found
        raise UserError(f"{source} is {what}, and this command reads CSV and Parquet: {remedy}")


def compression(head: bytes) -> str | None:
    """How a stream without a name is compressed, or None if it is not."""
    return next((name for start, name in COMPRESSIONS.items() if head.startswith(start)), None)
