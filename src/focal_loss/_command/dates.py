"""Dates as people write them: day or month first, with slashes, points or hyphens, or with the name of a month.

The words of a column decide together which part is the day: `survey` finds the orders that fit them, `parsed` reads
words in an order. Both work on arrays of distinct words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

Array = Any
# "ymd" is the order of ISO 8601. Dates that begin with a year of four digits, or name a month, are read in any order.
ORDERS = ("ymd", "dmy", "mdy")
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
NAMED = (
    "(?i:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|"
    "nov(?:ember)?|dec(?:ember)?)"
)
CLOCK = (
    r"(?:(?:T|,? )(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}(?:\.\d+)?))?"
    r" ?(?P<half>(?i:[ap]m))?(?P<zone>Z| ?[+-]\d{2}:?\d{2})?)?$"
)
NUMBERS = r"^(?P<a>\d{4}|\d{1,2})(?P<one>[/.-])(?P<b>\d{1,2})(?P<two>[/.-])(?P<c>\d{4}|\d{1,2})" + CLOCK
DAY_FIRST = rf"^(?P<d>\d{{1,2}})(?:st|nd|rd|th)?[ .-]{{0,2}}(?P<m>{NAMED})[ .,-]{{1,2}}(?P<y>\d{{4}}|\d{{2}})" + CLOCK
MONTH_FIRST = rf"^(?P<m>{NAMED})\.?[ -](?P<d>\d{{1,2}})(?:st|nd|rd|th)?(?:, ?| |-)(?P<y>\d{{4}})" + CLOCK
FEWER = 3  # days differ more than years do, at least by this factor, where both have two digits


@dataclass(frozen=True)
class Survey:
    """The orders that fit the words of a column equally well; none fit if they are no dates."""

    orders: tuple[str, ...]
    fit: Array  # whether each word is a date in these orders
    torn: Array  # whether each word is a date in another order only


def fields(words: pa.Array, pattern: str) -> dict[str, pa.Array]:
    """The named parts of a regular expression, as text: "" where a word or a part of it does not match."""
    found = pa.compute.extract_regex(words, pattern)
    return {name: pa.compute.struct_field(found, name).fill_null("") for name in found.type.names}


def whole(text: pa.Array) -> Array:
    return pa.compute.if_else(pa.compute.equal(text, ""), "0", text).cast(pa.float64()).to_numpy(zero_copy_only=False)


def is_in(text: pa.Array, *values: str) -> Array:
    return pa.compute.is_in(text, value_set=pa.array(values)).to_numpy(zero_copy_only=False)


def century(year: Array, text: pa.Array) -> Array:
    """Years of two digits are those from 1969 to 2049. The others, of which nobody knows whether they are birthdays or
    plans, are 0, which is no year.
    """
    short = pa.compute.utf8_length(text).to_numpy(zero_copy_only=False) <= 2
    full = np.select([year < 50, year >= 69], [2000 + year, 1900 + year], 0)
    return np.where(short, full, year)


def dated(year: Array, month: Array, day: Array, good: Array, part: dict[str, pa.Array]) -> Array:
    """Dates with their times of day; NaT where they are not good, or not in the calendar."""
    hour, minute, second = (whole(part[name]) for name in ("hour", "minute", "second"))
    half = pa.compute.utf8_lower(part["half"])
    good = good & (is_in(half, "") | ((hour >= 1) & (hour <= 12))) & (hour < 24) & (minute < 60) & (second < 60)
    hour = np.where(is_in(half, ""), hour, hour % 12 + 12.0 * is_in(half, "pm"))
    zone = fields(part["zone"], r"(?P<sign>[+-])(?P<hours>\d{2}):?(?P<minutes>\d{2})")
    ahead = (whole(zone["hours"]) * 60 + whole(zone["minutes"])) * np.where(is_in(zone["sign"], "-"), -1, 1)
    good &= (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    day, month, year = (np.where(good, values, 1).astype(int) for values in (day, month, year))
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + (day - 1)
    good &= days.astype("datetime64[M]") == months  # no 31 February
    since = np.round((hour * 3600 + minute * 60 + second - ahead * 60) * 1e6).astype("timedelta64[us]")
    return np.where(good, days.astype("datetime64[us]") + since, np.datetime64("NaT"))


def numeric(part: dict[str, pa.Array], order: str) -> Array:
    """The dates whose three numbers are in this order; NaT where they are not."""
    place = dict(zip(order, "abc", strict=True))
    first, last = (pa.compute.utf8_length(part[name]).to_numpy(zero_copy_only=False) for name in "ac")
    ahead = first == 4  # the year, in any order
    short = (last == 2) & ((first == 2) | (order != "ymd"))
    good = ~is_in(part["a"], "") & pa.compute.equal(part["one"], part["two"]).to_numpy(zero_copy_only=False)
    good &= np.where(ahead, last <= 2, short | ((last == 4) & (order != "ymd")))
    a, b, c = values = [whole(part[name]) for name in "abc"]
    year, month, day = (values["abc".index(place[name])] for name in "ymd")
    year = np.where(ahead, a, century(year, part[place["y"]]))
    return dated(year, np.where(ahead, b, month), np.where(ahead, c, day), good, part)


def named(words: pa.Array) -> Array:
    """The dates that name their month; NaT where the words are no such dates."""
    found = np.full(len(words), np.datetime64("NaT", "us"))
    for pattern in (DAY_FIRST, MONTH_FIRST):
        part = fields(words, pattern)
        names = pa.compute.utf8_slice_codeunits(pa.compute.utf8_lower(part["m"]), 0, 3)
        month = pa.compute.index_in(names, value_set=pa.array(MONTHS)).fill_null(-1).to_numpy() + 1
        year = century(whole(part["y"]), part["y"])
        found = np.where(np.isnat(found), dated(year, month, whole(part["d"]), month > 0, part), found)
    return found


def parsed_in(words: pa.Array, orders: Sequence[str]) -> dict[str, Array]:
    """The dates in each of several orders, in datetime64; NaT where a word is no date in this order."""
    words = pa.compute.utf8_trim_whitespace(words)
    part = fields(words, NUMBERS)
    found = {order: numeric(part, order) for order in orders}
    letters = is_in(part["a"], "")
    months = named(words.filter(pa.array(letters)))
    for dates in found.values():
        dates[letters] = months
    return found


def parsed(words: pa.Array, order: str) -> Array:
    """The dates, in datetime64; NaT where a word is no date in this order. Times with a zone are those of Greenwich.

    Examples
    --------
    >>> import pyarrow as pa
    >>> found = parsed(pa.array(["3/4/26", "2026-04-03", "3 Apr 2026", "31/2/26"]), "dmy")
    >>> found.astype("datetime64[D]").tolist()
    [datetime.date(2026, 4, 3), datetime.date(2026, 4, 3), datetime.date(2026, 4, 3), None]
    """
    return parsed_in(words, [order])[order]


def survey(words: pa.Array, rows: Array) -> Survey:
    """The orders that fit most rows. Each word occurs in so many rows."""
    found = parsed_in(words, ORDERS)
    fits = {order: ~np.isnat(dates) for order, dates in found.items()}
    most = max((rows * fit).sum() for fit in fits.values())
    orders = [order for order in ORDERS if most and (rows * fits[order]).sum() == most]
    orders = [order for k, order in enumerate(orders) if not any(same(found[order], found[o]) for o in orders[:k])]
    if set(orders) == {"ymd", "dmy"}:
        years = {order: len(np.unique(found[order][fits[order]].astype("datetime64[Y]"))) for order in orders}
        few, many = sorted(orders, key=years.__getitem__)
        orders = [few] if FEWER * years[few] <= years[many] else orders
    fit = fits[orders[0]] if orders else np.zeros(len(words), bool)
    return Survey(tuple(orders), fit, np.any(list(fits.values()), axis=0) & ~fit)


def same(one: Array, other: Array) -> bool:
    return bool(((one == other) | (np.isnat(one) & np.isnat(other))).all())
