"""Recognition of columns: whether a column of text holds numbers, dates or words, and how they are written."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from focal_loss._command import dates, numerals
from focal_loss._command.columns import Column, written
from focal_loss._command.delimited import CODE
from focal_loss._command.errors import UserError
from focal_loss._command.sources import Source

Array = Any
MOST_ODD = 3  # most words among numbers or dates, such as "?"
# A column of words that nearly all differ holds names or texts, not categories.
MOST_DISTINCT, DISTINCT_SHARE = 50, 0.5
HEAD = 1000  # words that tell whether it is worth the time to look at all
PLAINLY = r"^\s*[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*$"  # as programs write numbers
UNDECIDED = "day or month first: write them as 2026-03-04, or choose --ignore or --categorical for it"


@dataclass(frozen=True)
class Text:
    """The words of a column, each once and with the number of its rows, and the numbers among them."""

    name: str
    words: pa.Array
    rows: Array
    numbers: numerals.Survey | None
    source: Source

    @classmethod
    def of(cls, name: str, values: pa.ChunkedArray, source: Source) -> Text:
        counted = written(values).drop_null().value_counts()
        distinct, rows = counted.field("values"), counted.field("counts").to_numpy()
        numbers = numerals.survey(distinct[:HEAD], rows[:HEAD])
        if numbers and len(distinct) > HEAD:
            others = ~(numbers.fit | numbers.torn | numbers.foreign)
            is_worth_it = others.sum() <= MOST_ODD or others.mean() < 0.5
            numbers = numerals.survey(distinct, rows) if is_worth_it else None
        return cls(name, distinct, rows, numbers, source)

    def mostly(self, fit: Array) -> bool:
        """Whether these are all words but a few, and most rows."""
        return (~fit).sum() <= MOST_ODD and 2 * self.rows[fit].sum() > self.rows.sum()

    def some(self, which: Array) -> list[str]:
        """The words of a mask, in the order of the alphabet."""
        found: list[str] = sorted(self.words.filter(pa.array(which)).to_pylist())
        return found

    def decimal(self) -> str:
        """The decimal sign that the column shows, or ""."""
        return self.numbers.decimal() if self.numbers and self.mostly(self.numbers.fit) else ""

    def column(self, decimal: str, is_csv: bool, total: int, listed: bool = False) -> tuple[Column | None, str]:
        """The column, or None if nothing can be learned from it, and a remark for the user. The file has this decimal
        sign, if it is known, and so many rows; it may list the column as one of categories.
        """
        if not len(self.words):
            return self.as_words(), ""
        many = len(self.words) > MOST_DISTINCT and len(self.words) > DISTINCT_SHARE * total
        found = None if listed else self.as_numbers(decimal, is_csv or many) or self.as_dates()
        if found:
            return found
        if many:
            why = self.doubt(is_csv, "left out")
            return None, why or f"{self.name!r} is left out: nearly every row has its own word"
        if listed and self.numbers and self.numbers.fit.all():
            return self.as_words(), f"{self.name!r} holds numbers that are categories of pandas, and is read as words"
        return self.as_words(), self.doubt(is_csv, "read as words")

    def as_words(self) -> Column:
        """The column as categories. Without words there are none, and boosters take a column of missing numbers."""
        categories = tuple(self.some(self.rows > 0))
        return Column(self.name, "category" if categories else "number", categories)

    def as_numbers(self, decimal: str, plain: bool) -> tuple[Column, str] | None:
        """The column as numbers, if it is one. Numbers as programs write them are categories unless `plain` allows
        them, because a file that knows types has words there.
        """
        found = self.numbers
        if found is None:
            return None
        self.refuse_torn(found)
        # Codes and other units would be missing, though they are there.
        if not self.mostly(found.fit) or (self.has(CODE) | found.foreign).any():
            return None
        form = numerals.settled(found, decimal)
        if form is None:
            longest = max(self.some(found.fit & self.has(f"[{found.open()}]")), key=len)
            raise UserError(
                f"{self.source}: column {self.name!r} holds {longest}, with decimals or with thousands; "
                "say which sign stands before decimals with --decimal . or --decimal ,"
            )
        styled = found.fit & ~self.has(PLAINLY)
        if form.group == "." or found.open() == ".":  # points that stand, or might have stood, between thousands
            styled |= found.fit & self.has("[.]")
        odd = self.some(~found.fit)
        if not (odd or plain or styled.any()):
            return None
        column = Column(self.name, "number", missing=tuple(odd), form=form)
        things = "amounts" if numerals.is_money(form) else "numbers"
        said = self.remark(things, styled, odd, lambda word: f"{numerals.parsed(word, form)[0].as_py():.15g}")
        return column, said or f"{self.name!r} holds numbers, written as words"

    def as_dates(self) -> tuple[Column, str] | None:
        """The column as dates, if it holds them."""
        head = dates.survey(self.words[:HEAD], self.rows[:HEAD])
        if (~(head.fit | head.torn)).sum() > MOST_ODD:
            return None
        found = dates.survey(self.words, self.rows) if len(self.words) > HEAD else head
        self.refuse_torn(found)
        if not found.orders or not self.mostly(found.fit):
            return None
        if len(found.orders) > 1:
            shown = self.some(found.fit)[0]
            raise UserError(f"{self.source}: column {self.name!r} holds {shown}, {UNDECIDED}")
        order, odd = found.orders[0], self.some(~found.fit)
        styled = found.fit & ~self.has(r"^\d{4}-\d{2}-\d{2}")

        def read(word: pa.Array) -> str:
            moment = dates.parsed(word, order).astype("datetime64[s]")[0]
            return str(moment).removesuffix("T00:00:00")

        column = Column(self.name, "date", missing=tuple(odd), order=order)
        return column, self.remark("dates", styled, odd, read)

    def refuse_torn(self, found: numerals.Survey | dates.Survey) -> None:
        """Refuse values that are written in two ways, of which one or the other would be read wrongly."""
        if found.torn.any() and self.mostly(found.fit | found.torn):
            one, other = self.some(found.fit)[0], self.some(found.torn)[0]
            raise UserError(
                f"{self.source}: column {self.name!r} holds {one!r} and {other!r}, which are written in two ways; "
                "write all of them in one, or choose --ignore or --categorical for it"
            )

    def has(self, pattern: str) -> Array:
        return pa.compute.match_substring_regex(self.words, pattern).to_numpy(zero_copy_only=False)

    def remark(self, things: str, styled: Array, odd: list[str], read: Callable[[pa.Array], str]) -> str:
        """A remark on values that a program would not take for what they are, or "" if there are none."""
        said = []
        if styled.any():
            word = max(self.some(styled), key=len)
            said.append(f"such as {word!r}, read as {read(pa.array([word]))}")
        if odd:
            said.append(f"{', '.join(map(repr, odd))} among them counts as missing")
        joined = "; ".join(said)
        return f"{self.name!r} holds {things}{' ' if styled.any() else '; '}{joined}" if said else ""

    def doubt(self, is_csv: bool, fate: str) -> str:
        """A remark on words most of which are numbers or dates, or in a CSV file codes that look like them, or ""."""
        codes, digits = self.some(self.has(CODE)), self.has(r"^\s*\d+\s*$")
        if is_csv and codes and 2 * self.rows[digits].sum() > self.rows.sum():
            return f"{self.name!r} is {fate}: it holds codes with leading zeros, such as {codes[0]!r}"
        if self.numbers and 2 * self.rows[self.numbers.fit | self.numbers.foreign].sum() > self.rows.sum():
            one, other = self.some(self.numbers.fit), self.some(~self.numbers.fit)
            if one and other:
                return f"{self.name!r} is {fate}: it holds {other[0]!r} beside numbers such as {one[0]!r}"
        is_date = dates.survey(self.words[:HEAD], self.rows[:HEAD]).fit
        if is_date.mean() > 0.5 and not is_date.all():
            first = Text(self.name, self.words[:HEAD], self.rows[:HEAD], None, self.source)
            one, other = first.some(is_date), first.some(~is_date)
            return f"{self.name!r} is {fate}: it holds {other[0]!r} beside dates such as {one[0]!r}"
        return ""


def sign_of_decimals(texts: list[Text], plain: list[pa.ChunkedArray]) -> str:
    """The decimal sign that the columns of a CSV file show: those of text, and those that were read as numbers, which
    have points. It is "" where they do not agree.
    """
    signs = [text.decimal() for text in texts]
    signs += ["." for column in plain if pa.types.is_floating(column.type) and not is_whole(column)]
    return numerals.common(signs)


def is_whole(column: pa.ChunkedArray) -> bool:
    """Whether a column of numbers has no decimals. One without values has none."""
    values = column.cast(pa.float64(), safe=False).drop_null().to_numpy()
    values = values[np.isfinite(values)]
    return bool((values == np.round(values)).all())


def is_index(name: str, values: pa.ChunkedArray) -> bool:
    """Whether the column is an index that pandas wrote, which a model would memorize."""
    named = name in ("", "Unnamed: 0") or re.match("__index_level_", name) is not None
    return named and pa.types.is_integer(values.type) and pa.compute.count_distinct(values).as_py() == len(values)
