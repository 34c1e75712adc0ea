"""User errors: the command prints one line to stderr and exits with status 2."""

import difflib
import re
from typing import Any


class UserError(Exception):
    """An error that the user of the command can correct."""


class NoRowsError(UserError):
    """An error of a table that has columns but no rows, for which a prediction has an answer."""

    def __init__(self, message: str, table: Any) -> None:
        super().__init__(message)
        self.table = table


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or the name of its class if it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def printable(text: str) -> str:
    """Text without the control characters in a file or its name, which would control the terminal.

    Bytes that are not text, as in a name that is not UTF-8, are escaped.
    """
    return re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", text).encode("utf-8", "backslashreplace").decode("utf-8")


def nearest(name: str, known: list[str]) -> str:
    """The closest names, or the first ones, for a message."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    listed = ", ".join(map(repr, close or known[:5]))
    return f"the nearest are {listed}" if close else f"there are {listed}{', ...' if len(known) > 5 else ''}"
