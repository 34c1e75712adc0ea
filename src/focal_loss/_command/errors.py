"""What the command says in one line before it ends with status 2."""

import re


class UserError(Exception):
    """Something that whoever typed the command can mend."""


def first_line(error: BaseException) -> str:
    """Of what a library says, or the name of its error."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def printable(text: str) -> str:
    """Without the control characters that a file or its name may hold, which would steer the terminal.

    What is no text, as in a name that is not UTF-8, is escaped.
    """
    return re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", text).encode("utf-8", "backslashreplace").decode("utf-8")
