"""Weights of rows: a row of weight w counts as w rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from focal_loss._command import columns
from focal_loss._command.errors import UserError, nearest
from focal_loss._command.sources import Source

Array = Any
LEAST, MOST = 1e-12, 1e12  # beyond these a row outweighs all others, or none
REMEDY = "give each row a number, and 0 to rows that do not count"


def each(weight: Array | None, count: int) -> Array:
    """The weights, or 1 for each of so many rows: whole numbers, whose sums are counts."""
    return np.ones(count, np.int64) if weight is None else weight


def taken(values: Array | None, rows: Any) -> Array | None:
    """These rows of an array, if there is one."""
    return None if values is None else values[rows]


def relative(weight: Array | None) -> Array | None:
    """The weights over their mean. Boosters compare `reg_lambda`, `min_child_weight` and the like with sums of weights,
    so that weights of another scale would regularize the trees otherwise.
    """
    return None if weight is None else weight / weight.mean()


def left_out(rows: int) -> list[str]:
    """A remark on rows of weight 0, if there are any."""
    return [f"{rows} rows of weight 0 are left out"] if rows else []


@contextmanager
def counting(rows: int) -> Iterator[None]:
    """Errors about the rows that count say how many have the weight 0."""
    try:
        yield
    except UserError as error:
        if not rows:
            raise
        raise UserError(f"{error}; {left_out(rows)[0]}") from error


def ends(found: Array) -> tuple[float, float]:
    """The lowest and the highest weight but 0, or 1 if it is between."""
    some = found[found != 0]
    return float(np.fmin.reduce(some, initial=1.0)), float(np.fmax.reduce(some, initial=1.0))


@dataclass(frozen=True)
class Weighing:
    """The column that weighs the rows, as the table to learn from has it; None if all rows count alike."""

    column: columns.Column | None

    def read(self, table: pa.Table, source: Source) -> Array | None:
        """The weight of each row.

        Raises
        ------
        UserError
            If there is no such column, or a weight is missing, negative or infinite.
        """
        if self.column is None:
            return None
        found = self.numbers(table, source)
        self.refuse(int(np.isnan(found).sum()), *ends(found), source)
        return found

    def above_0(self, table: pa.Table, source: Source) -> tuple[pa.Table, Array]:
        """The rows whose weight is above 0, and whether that of each row is; with the errors of `read`."""
        there = each(self.read(table, source), table.num_rows) > 0
        return (table if there.all() else table.filter(pa.array(there))), there

    def counted(self, table: pa.Table, source: Source) -> tuple[pa.Table, int]:
        """The rows whose weight is above 0, of which there is one, and the number of the others."""
        found, there = self.above_0(table, source)
        if not there.any():
            raise UserError(f"{source}: the weight {self.name!r} is 0 in every row; {REMEDY}")
        return found, int((~there).sum())

    def numbers(self, table: pa.Table, source: Source) -> Array:
        """The column, NaN where a weight is missing."""
        assert self.column is not None
        if self.name not in table.column_names:
            near = nearest(self.name, table.column_names)
            raise UserError(f"--weight: {source} has no column {self.name!r}; {near}")
        return columns.numbers(self.column, table.column(self.name), source)

    def refuse(self, missing: int, low: float, high: float, source: Source) -> None:
        """Refuse a column with so many missing weights, or whose lowest or highest weight is invalid."""
        if missing:
            raise UserError(f"{source}: the weight {self.name!r} is missing in {missing} rows; {REMEDY}")
        if low < LEAST or high > MOST:
            found = f"must hold 0, or numbers from {LEAST:g} to {MOST:g}, and holds {low if low < LEAST else high:g}"
            raise UserError(f"{source}: the weight {self.name!r} {found}; {REMEDY}")

    @property
    def name(self) -> str:
        return "" if self.column is None else self.column.name
