"""The answers of `focal-loss predict`: a probability and a class for each row of a file, beside columns of the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd
import pyarrow as pa

from focal_loss._command import columns as kinds
from focal_loss._command import reading
from focal_loss._command.errors import NoRowsError, UserError, first_line, nearest
from focal_loss._command.sources import Source
from focal_loss._command.store import Stored

ANSWERS = ("probability", "prediction")


def answers(stored: Stored, source: Source, keep: Sequence[str], threshold: float) -> tuple[pd.DataFrame, list[str]]:
    """The columns of `keep` as the file writes them, the probability that each row is positive, and the class at the
    threshold; and remarks for the user.

    Raises
    ------
    UserError
        If the file cannot be predicted, or has no such column, or its name is that of an answer.
    """
    twice = [name for name, count in Counter(keep).items() if count > 1]
    if twice:
        raise UserError(f"--keep names {twice[0]!r} twice")
    for name in ANSWERS:
        if name in keep:
            raise UserError(f"--keep {name}: the answer has a column of that name; rename it in {source}")
    # Words are read as they are written. A column of the model that holds numbers or dates is read for it once more.
    needed = [column.name for column in stored.schema.columns]
    words = [*stored.schema.texts(), *(name for name in keep if name not in needed)]
    table = read(source, words, needed)
    again = table if set(keep) <= set(words) else read(source, keep, needed)
    kept = {name: written(again, name, source) for name in keep}
    probability, notes = stored.probability(table, source)
    prediction = pd.Series(probability >= threshold, dtype=bool).map({True: stored.positive, False: stored.negative})
    return pd.DataFrame(kept | dict(zip(ANSWERS, (probability, prediction), strict=True))), notes


def read(source: Source, words: Sequence[str], known: Sequence[str]) -> pa.Table:
    """The table of a file, which may have no rows."""
    try:
        return reading.read(source, words, known)
    except NoRowsError as nothing:
        return nothing.table


def written(table: pa.Table, name: str, source: Source) -> pd.Series:
    """A column as text; missing values stay missing."""
    if name not in table.column_names:
        raise UserError(f"{source} has no column {name!r} to keep; {nearest(name, table.column_names)}")
    try:
        return kinds.words(table.column(name)).to_pandas()
    except pa.ArrowException as error:
        raise UserError(f"{source}: column {name!r} cannot be kept, as it is no text: {first_line(error)}") from error
