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
DIGITS = r"(?:\d(?:[\d.,' ]*\d)?|[.,]\d+)(?:[eE][+-]?\d+)?"
NO_CENTS = r"(?:[.,]-{0,2})?"  # as in 12.- or 12,--
WRITTEN = (
    rf"^(?P<open>\()?(?P<first>[+-])? ?(?P<before>{CURRENCY})? ?(?P<inner>\()?(?P<second>[+-])? ?"
    rf"(?P<digits>{DIGITS}){NO_CENTS} ?"
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


def bytes_of(words: pa.Array) -> tuple[Array, Array]:
    """The offsets and the UTF-8 bytes of words."""
    _, offsets, data = words.buffers()
    ends = np.frombuffer(offsets, np.int32)[words.offset : words.offset + len(words) + 1]
    return ends - ends[0], np.frombuffer(data or b"", np.uint8)[ends[0] : ends[-1]]


def text_of(offsets: Array, data: Array) -> pa.Array:
    offsets = np.ascontiguousarray(offsets, np.int32)
    return pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data.tobytes()))


def shapes_of(words: pa.Array) -> tuple[pa.Array, Array]:
    """The shapes of words, in which all digits but 0 are 9, and the index of each word's: a million amounts have some
    hundred shapes, which regular expressions read in no time.
    """
    offsets, data = bytes_of(words)
    data = np.where((data > ord("0")) & (data <= ord("9")), np.uint8(ord("9")), data)
    coded = text_of(offsets, data).dictionary_encode()
    return coded.dictionary, coded.indices.to_numpy()


def digits_of(words: pa.Array, decimal: str) -> pa.Array:
    """The words without anything but digits and the decimal sign, which becomes a point."""
    offsets, data = bytes_of(words)
    kept = ((data >= ord("0")) & (data <= ord("9"))) | (data == ord(decimal))
    before = np.concatenate([[0], np.cumsum(kept)])
    data = data[kept]
    return text_of(before[offsets], np.where(data == ord(decimal), np.uint8(ord(".")), data))


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


def is_money(form: Form) -> bool:
    return bool(is_currency(pa.array([form.unit]))[0].as_py())


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
    shapes, shape = shapes_of(words)
    rows = np.bincount(shape, rows, len(shapes))
    digits, units, _ = split(shapes)
    there = digits.is_valid().to_numpy(zero_copy_only=False)
    if not there.any():
        return None
    unit = unit_of(units.filter(pa.array(there)), rows[there])
    same = there & allowed(units, unit)
    fits = [matches(digits, form) & same for form in FORMS]
    most = max((rows * fit).sum() for fit in fits)
    best = [k for k, fit in enumerate(fits) if (rows * fit).sum() == most]
    forms = tuple(Form(FORMS[k].decimal, FORMS[k].group, unit) for k in best)
    fit, some = fits[best[0]], np.any(fits, axis=0)
    return Survey(forms, fit[shape], (some & ~fit)[shape], (there & ~same)[shape])


def settled(found: Survey, decimal: str) -> Form | None:
    """The form of a column, given the decimal sign of its file or "": None if nothing decides it.

    A point alone stands before decimals, as programs write it, except in amounts of money, which have no three of them.
    """
    undecided = found.open()
    if not decimal and undecided:
        return None if undecided == "," or is_money(found.forms[0]) else found.forms[0]
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
    shapes, shape = shapes_of(words)
    digits, units, negative = split(shapes)
    good = matches(digits, form) & allowed(units, form.unit)
    # Exponents are more than digits and a sign, and the point of "Rs." is none: such words are taken apart themselves.
    doubted = pa.compute.or_(
        pa.compute.match_substring_regex(digits, "[eE]"), pa.compute.match_substring_regex(units, "[.,]")
    )
    if pa.compute.any(doubted).as_py():
        digits = pa.compute.if_else(pa.array(good[shape]), split(words)[0], None)
        digits = pa.compute.replace_substring(digits, form.group, "") if form.group else digits
        digits = pa.compute.replace_substring(digits, form.decimal, ".")
    else:
        digits = pa.compute.if_else(pa.array(good[shape]), digits_of(words, form.decimal), None)
    numbers = digits.cast(pa.float64())
    return pa.compute.if_else(pa.array(negative[shape]), pa.compute.negate(numbers), numbers)
