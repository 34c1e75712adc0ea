"""Results, remarks and progress on the terminal."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from focal_loss._command.errors import UserError, printable


def tell(text: str, exact: bool = False) -> None:
    """Print a result to standard output. Characters that its encoding lacks are escaped, unless `exact`.

    Raises
    ------
    UserError
        If the text cannot be written.
    """
    if sys.stdout is None:
        raise UserError("standard output is closed")
    encoding = sys.stdout.encoding or "utf-8"
    try:
        print(text if exact else text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except BrokenPipeError:
        raise
    except UnicodeEncodeError as error:
        sign = error.object[error.start]
        raise UserError(f"standard output is {encoding}, which has no {sign!a}; give --out, or PYTHONUTF8=1") from error
    except OSError as error:
        raise UserError(f"cannot write to standard output: {error.strerror}") from error


def say(*lines: str) -> None:
    """Print remarks to standard error."""
    for line in lines if sys.stderr is not None else ():
        print(printable(line), file=sys.stderr)


@contextmanager
def progress(total: int, metric: str) -> Iterator[Callable[[int, float | None], None]]:
    """A bar on standard error, with the best score so far."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("trials"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=total)

        def report(done: int, best: float | None) -> None:
            shown = "" if best is None else f"best {metric} of focal loss {best:.4f}"
            bar.update(task, completed=done, description=shown)

        yield report


def formulas(*written: str) -> list[str]:
    """Remarks on words that a spreadsheet would take for formulas. They are data, and are written unchanged."""
    return [
        f"{word!r} begins as a formula does, and is written as it is: open the file as text, not in a spreadsheet"
        for word in written
        if re.match(r"[=+\-@\t\r\n]", word) and not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", word)
    ]
