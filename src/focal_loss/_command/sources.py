"""Sources of tables: where a table lies, and what its user says about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """A file, and how it is to be read. As text, it is the path."""

    path: Path
    decimal: str = ""  # the decimal sign, where a column leaves it open
    ignore: tuple[str, ...] = ()  # columns that are not learned from
    categorical: tuple[str, ...] = ()  # columns that hold words, whatever they look like

    def __str__(self) -> str:
        return str(self.path)

    @classmethod
    def of(cls, source: Path | Source) -> Source:
        return source if isinstance(source, Source) else cls(source)
