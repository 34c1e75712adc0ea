"""Numbers as people write them: signs of decimals and of groups, currencies, percent, units, parentheses for negative.

The words of a column decide together how they are written: `survey` finds the forms that fit them, `settled` the one
that is right, and `parsed` reads words in that form. All three work on arrays of distinct words.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

Array = Any
SIGNS = (".", ",")  # of decimals
GROUPS = ("", ",", ".", " ", "'")
CODES = (
    "USD EUR GBP JPY CHF CAD AUD NZD CNY RMB HKD SGD TWD KRW INR PKR IDR MYR THB PHP VND BRL MXN ARS CLP COP PEN SEK "
    "NOK DKK ISK PLN CZK HUF RON BGN TRY RUB UAH ILS AED SAR QAR EGP ZAR NGN KES Rs\\.? Fr\\.? kr\\.? Kč zł Ft"
).replace(" ", "|")
CURRENCY = rf"(?:[A-Z]{{0,3}}\p{{Sc}}|{CODES})"
DIGITS = r"(?:\d[\d.,' ]*|[.,]\d+)(?:[eE][+-]?\d+)?"
WRITTEN = (
    rf"^(?P<open>\()?(?P<first>[+-])? ?(?P<before>{CURRENCY})? ?(?P<inner>\()?(?P<second>[+-])? ?(?P<digits>{DIGITS})"
    r"(?P<after>[\p{L}\p{Sc}%‰°][^\d\s()+-]*)? ?(?P<last>-)?(?P<close>\))? ?(?P<outer>[\p{L}\p{Sc}%‰°][^\d\s()+-]*)?$"
)


@dataclass(frozen=True)
class Form:
    """How the numbers of a column are written. The default is how programs write them."""

    decimal: str = "."
    group: str = ""
    unit: str = ""  # a currency may be left out, another unit may not

    def example(self) -> str:
        return f"1{self.group}234{self.decimal}5{' ' if self.unit else ''}{self.unit}"


PLAIN = Form()
FORMS = [Form(decimal, group) for group in GROUPS for decimal in SIGNS if decimal != group]


@dataclass(frozen=True)
class Survey:
    """The forms that fit the words of a column equally well, the plainest first."""

    forms: tuple[Form, ...]
    fit: Array  # whether each word is a number in these forms
    torn: Array  # whether each word is a number in another form only
    foreign: Array  # whether each word is a number in another unit, or without unit

    def open(self) -> str:
        """The sign that may stand before decimals as well as between thousands, or ""."""
        pairs = {(form.decimal, form.group) for form in self.forms}
        for sign, other in (",.", ".,"):
            if {(sign, ""), (other, sign)} <= pairs and (other, "") not in pairs:
                return sign
        return ""

    def decimal(self) -> str:
        """The decimal sign that the words show, or "" if they leave it open."""
        signs = {form.decimal for form in self.forms}
        return self.forms[0].decimal if len(signs) == 1 else ""


def pattern(form: Form) -> str:
    """The regular expression of a number without sign and unit. Codes such as 007 are no numbers; groups have three
    digits, or two before the last three, as in India.
    """
    whole, group = r"0|[1-9]\d*", f"[{form.group}]"
    if form.group:
        whole += rf"|[1-9]\d{{0,2}}(?:{group}\d{{3}})+|[1-9]\d?(?:{group}\d{{2}})+{group}\d{{3}}"
    return rf"^(?:(?:{whole})(?:[{form.decimal}]\d*)?|[{form.decimal}]\d+)(?:[eE][+-]?\d+)?$"


def split(words: pa.Array) -> tuple[pa.Array, pa.Array, Array]:
    """The digits with their signs of groups and decimals, the units, and whether each number is negative. Digits are
    null where a word is no number.
    """
    for found, plain in (("[\u00a0\u2007\u2009\u202f\\s]+", " "), ("[\u2212\u2013]", "-"), ("[\u2019\u2018]", "'")):
        words = pa.compute.replace_substring_regex(words, found, plain)
    fields = pa.compute.extract_regex(pa.compute.utf8_trim_whitespace(words), WRITTEN)
    part = {name: pa.compute.struct_field(fields, name).fill_null("") for name in fields.type.names}
    is_there = {name: pa.compute.not_equal(part[name], "").to_numpy(zero_copy_only=False) for name in part}
    ends = ("first", "second", "last")
    minus = np.any([pa.compute.equal(part[name], "-").to_numpy(zero_copy_only=False) for name in ends], axis=0)
    brackets = is_there["open"] | is_there["inner"]
    signs = np.sum([is_there[name] for name in ends], axis=0) + brackets
    good = (signs <= 1) & (brackets == is_there["close"]) & ~(is_there["open"] & is_there["inner"])
    good &= is_there["digits"]
    digits = pa.compute.if_else(pa.array(good), pa.compute.utf8_trim_whitespace(part["digits"]), None)
    units = pa.compute.binary_join_element_wise(part["before"], part["after"], part["outer"], " ")
    units = pa.compute.replace_substring_regex(pa.compute.utf8_trim_whitespace(units), " +", " ")
    return digits, units, minus | brackets


def is_currency(units: pa.Array) -> pa.Array:
    return pa.compute.match_substring_regex(units, f"^{CURRENCY}$")


def unit_of(units: pa.Array, rows: Array) -> str:
    """The unit of most rows. A currency is one even if most rows leave it out."""
    unit, total = "", rows[pa.compute.equal(units, "").to_numpy(zero_copy_only=False)].sum()
    for name in pa.compute.unique(units).to_pylist():
        found = rows[pa.compute.equal(units, name).to_numpy(zero_copy_only=False)].sum()
        currency = is_currency(pa.array([name]))[0].as_py() and not unit
        if name and (found > total or currency):
            unit, total = name, max(found, total if currency else 0)
    return unit


def allowed(units: pa.Array, unit: str) -> Array:
    """Whether each unit is that of the column, or a currency that was left out."""
    same = pa.compute.equal(units, unit)
    if unit and is_currency(pa.array([unit]))[0].as_py():
        same = pa.compute.or_(same, pa.compute.equal(units, ""))
    return same.to_numpy(zero_copy_only=False)


def matches(digits: pa.Array, form: Form) -> Array:
    found = pa.compute.match_substring_regex(digits, pattern(form)).fill_null(False)
    return found.to_numpy(zero_copy_only=False)


def survey(words: pa.Array, rows: Array) -> Survey | None:
    """The forms that fit most rows, or None if no word is a number. Each word occurs in so many rows."""
    digits, units, _ = split(words)
    there = digits.is_valid().to_numpy(zero_copy_only=False)
    if not there.any():
        return None
    unit = unit_of(units.filter(pa.array(there)), rows[there])
    same = there & allowed(units, unit)
    fits = [matches(digits, form) & same for form in FORMS]
    most = max((rows * fit).sum() for fit in fits)
    best = [k for k, fit in enumerate(fits) if (rows * fit).sum() == most]
    forms = tuple(Form(FORMS[k].decimal, FORMS[k].group, unit) for k in best)
    return Survey(forms, fits[best[0]], np.any(fits, axis=0) & ~fits[best[0]], there & ~same)


def settled(found: Survey, decimal: str) -> Form | None:
    """The form of a column, given the decimal sign of its file or "": None if nothing decides it.

    A point alone stands before decimals, as programs write it, except in amounts of money, which have no three of them.
    """
    undecided = found.open()
    if not decimal and undecided:
        money = is_currency(pa.array([found.forms[0].unit]))[0].as_py()
        return None if undecided == "," or money else found.forms[0]
    fitting = [form for form in found.forms if form.decimal == decimal]
    return (fitting or found.forms)[0]


def common(signs: Iterable[str]) -> str:
    """The decimal sign of a file whose columns show these, or "" if they do not agree."""
    found = set(signs) - {""}
    return found.pop() if len(found) == 1 else ""


def parsed(words: pa.Array, form: Form) -> pa.Array:
    """The numbers, in float64; null where a word is no number in this form.

    Examples
    --------
    >>> import pyarrow as pa
    >>> parsed(pa.array(["1.234,50 EUR", "(12)", "1,234.50"]), Form(",", ".", "EUR")).to_pylist()
    [1234.5, -12.0, None]
    """
    digits, units, negative = split(words)
    good = matches(digits, form) & allowed(units, form.unit)
    plain = pa.compute.if_else(pa.array(good), digits, None)
    if form.group:
        plain = pa.compute.replace_substring(plain, form.group, "")
    numbers = pa.compute.replace_substring(plain, form.decimal, ".").cast(pa.float64())
    return pa.compute.if_else(pa.array(negative), pa.compute.negate(numbers), numbers)
