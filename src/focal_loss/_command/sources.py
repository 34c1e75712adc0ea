"""Sources of tables: where a table lies, and what its user says about it."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """A file or a directory, or standard input for "-", and how it is to be read. As text, it is the path."""

    path: Path
    header: bool = True  # whether the first line of a CSV file has the names of the columns
    encoding: str | None = None  # of a CSV file, if it is neither UTF-8 nor UTF-16 with its mark
    decimal: str = ""  # the decimal sign, where a column leaves it open
    ignore: tuple[str, ...] = ()  # columns that are not learned from
    categorical: tuple[str, ...] = ()  # columns that hold words, whatever they look like

    def __str__(self) -> str:
        return "standard input" if self.is_stream else str(self.path)

    @property
    def is_stream(self) -> bool:
        return str(self.path) == "-"

    @classmethod
    def of(cls, source: Path | Source) -> Source:
        return source if isinstance(source, Source) else cls(source)

    @classmethod
    def given(cls, options: argparse.Namespace) -> Source:
        """The table that the options of `focal-loss fit` name."""
        header, decimal = not options.no_header, options.decimal or ""
        names = tuple(options.ignore), tuple(options.categorical)
        return cls(options.data, header, options.encoding, decimal, *names)


def text_encoding(name: str) -> str:
    """The type of an argument: the name of an encoding of text."""
    try:
        "a".encode(name)
    except (LookupError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"must be an encoding such as cp1252 or latin-1, got {name!r}") from error
    return name
