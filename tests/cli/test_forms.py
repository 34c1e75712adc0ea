"""Numbers and dates as people write them: money, percent, units, orders of day and month."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from commands import QUICK, refused, run

from focal_loss._command import dates, numerals, reading, tables
from focal_loss._command.errors import UserError
from focal_loss._command.numerals import Form
from focal_loss._command.sources import Source

NAN = float("nan")


def written(path: Path, **columns: list[str]) -> Path:
    """A CSV file of these words, beside a target."""
    rows = len(next(iter(columns.values())))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*columns, "rare"])
        writer.writerows(zip(*columns.values(), [k % 2 for k in range(rows)], strict=True))
    return path


def read(path: Path) -> tuple[pd.DataFrame, list[str]]:
    found = reading.read(path, ["rare"])
    schema, notes = tables.Schema.of(found, "rare", path)
    return schema.frames(found, path)[0], notes


# A name, its words, its numbers (days for dates) and the word that the note shows.
COLUMNS = [
    ("dollars", ["$1,234.50", "$900", "$12.00"], [1234.5, 900, 12], "amounts such as '$1,234.50', read as 1234.5"),
    ("euros", ["1.234,50 €", "900,00 €", "-12,5 €"], [1234.5, 900, -12.5], "'1.234,50 €', read as 1234.5"),
    ("francs", ["CHF 1'234.50", "CHF 12.05", "1’000"], [1234.5, 12.05, 1000], "1'234.50\", read as 1234.5"),
    ("narrow", ["1\u202f234,5", "12,25", "1\u00a0000\u00a0000"], [1234.5, 12.25, 1e6], "000', read as 1000000"),
    ("ledger", ["(1,234.50)", "7.25-", "\u22123.5"], [-1234.5, -7.25, -3.5], "'(1,234.50)', read as -1234.5"),
    ("millions", ["1,234,567", "1,500", "12"], [1234567, 1500, 12], "'1,234,567', read as 1234567"),
    ("share", ["12.5%", "3 %", "100%"], [12.5, 3, 100], "'12.5%', read as 12.5"),
    ("weight", ["12 kg", "7.5 kg", "?"], [12, 7.5, NAN], "'7.5 kg', read as 7.5; '?' among them counts as missing"),
    ("small", ["0,125", "1,500", "2,5"], [0.125, 1.5, 2.5], "'0,125', read as 0.125"),
    ("british", ["3/4/2026", "13/4/2026", "1/5/2026"], [20546, 20556, 20574], "'13/4/2026', read as 2026-04-13"),
    ("american", ["3/4/26", "3/14/26", "n.d."], [20516, 20526, NAN], "'3/14/26', read as 2026-03-14; 'n.d.' among"),
    ("iso", ["2026-03-04", "2026-03-14", "unknown"], [20516, 20526, NAN], "'iso' holds dates; 'unknown' among them"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "words", "expected", "note"), COLUMNS, ids=[row[0] for row in COLUMNS])
def test_money_and_dates(name: str, words: list[str], expected: list[float], note: str, tmp_path: Path) -> None:
    frame, notes = read(written(tmp_path / "t.csv", **{name: words * 4}))
    np.testing.assert_allclose(frame[name], expected * 4, rtol=1e-15)
    assert len(notes) == 1
    assert note in notes[0]


@pytest.mark.parametrize(
    ("words", "form", "sign"),
    [
        (["1,500", "2,000"], None, ","),
        (["€1.500", "€2.000"], None, "."),
        (["1.500", "2.000"], Form(), "."),
        (["1,500", "1,234.5"], Form(".", ","), ""),
        (["1,500", "$20.00"], Form(".", ",", "$"), ""),
        (["12,34,567", "1,500"], Form(".", ","), ""),
        (["1 500", "20"], Form(".", " "), ""),
        (["5", "6", "EUR 7"], Form(".", "", "EUR"), ""),
        (["5 kg", "6 kg", "7"], Form(".", "", "kg"), ""),
        (["007", "01234"], None, None),
        (["1.2.3", "10.20.30"], None, None),
        (["25-34", "35-44"], None, None),
        (["12:30", "1/2"], None, None),
    ],
)
def test_words_decide_their_form(words: list[str], form: Form | None, sign: str | None) -> None:
    """`sign` is the one that may stand before decimals and between thousands, and None where nothing is a number."""
    found = numerals.survey(pa.array(words), np.ones(len(words)))
    if sign is None:
        assert found is None or not found.fit.any()
        return
    assert found is not None
    assert found.open() == sign
    assert numerals.settled(found, "") == form
    if sign:
        other = {".": ",", ",": "."}[sign]
        for decimal, expected in ((sign, 1.5), (other, 1500)):
            decided = numerals.settled(found, decimal)
            assert decided is not None
            assert numerals.parsed(pa.array(words), decided)[0].as_py() == expected


@pytest.mark.parametrize(
    ("word", "form", "expected"),
    [
        ("12.-", Form(), 12),  # no cents
        ("12,--", Form(",", "."), 12),
        ("12.\u2013 CHF", Form(".", "'", "CHF"), 12),
        ("5.", Form(), 5),
        ("12-", Form(), -12),
        ("-12-", Form(), None),
        ("(12", Form(), None),
        ("(-12)", Form(), None),
        ("$(12.5)", Form(".", "", "$"), -12.5),
        ("(5%)", Form(".", "", "%"), -5),
        ("- 5", Form(), -5),
        ("+1.5e-3", Form(), 0.0015),
        ("1,5e3 m", Form(",", "", "m"), 1500),
        ("Rs. 1,50,000.50", Form(".", ",", "Rs."), 150000.5),
        ("US$1,000", Form(".", ",", "US$"), 1000),
        ("1000", Form(".", ",", "US$"), 1000),
        ("1000", Form(".", ",", "kg"), None),
        ("1,00", Form(".", ","), None),
        ("1,2345", Form(".", ","), None),
        ("0,125", Form(".", ","), None),
        ("007", Form(), None),
        ("5'10", Form(".", "'"), None),
        ("1 2", Form(".", " "), None),
    ],
)
def test_one_number(word: str, form: Form, expected: float | None) -> None:
    assert numerals.parsed(pa.array(["x", word]), form).to_pylist() == [None, expected]


def test_the_file_decides_what_a_column_leaves_open(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    for other, expected in ((["0.5", "2.25"], 1500), (["0,5", "2,25"], 1.5), (["1.234,5", "2"], 1.5)):
        frame, _ = read(written(path, x=["1,500", "2,000"] * 4, other=other * 4))
        assert frame.x[0] == expected
    with pytest.raises(UserError, match=r"column 'x' holds 1,500, with decimals or with thousands.*--decimal"):
        read(written(path, x=["1,500", "2,000"] * 4, y=["1", "2"] * 4))
    with pytest.raises(UserError, match="with decimals or with thousands"):
        read(written(path, x=["1,500", "2,000"] * 4, y=["0.5", "2.25"] * 4, z=["0,5", "2,25"] * 4))
    # Programs write points before decimals; in a file with decimal commas they stand between thousands.
    frame, notes = read(written(path, x=["1.500", "12.000", "999"] * 4))
    assert (frame.x[:3].tolist(), notes) == ([1.5, 12, 999], ["'x' holds numbers such as '12.000', read as 12"])
    frame, notes = read(written(path, x=["1.500", "12.000", "999"] * 4, other=["0,5", "2,25", "3"] * 4))
    assert frame.x[:3].tolist() == [1500, 12000, 999]
    assert "'x' holds numbers such as '12.000', read as 12000" in notes


def test_the_user_decides_what_the_file_leaves_open(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "t.csv", x=["1,500", "2,000"] * 100)
    given = ("fit", path, "--target", "rare", *QUICK, "--out", tmp_path / "m")
    assert "holds 1,500, with decimals or with thousands; say which" in refused(capsys, *given)
    for decimal, expected in ((".", "1500"), (",", "1.5")):
        assert run(*given, "--force", "--decimal", decimal) == 0
        said = capsys.readouterr().err
        assert f"'x' holds numbers such as '1,500', read as {expected}" in said
        assert f"read as {expected}" in (tmp_path / "m" / "report.html").read_text(encoding="utf-8")
        known = json.loads((tmp_path / "m" / "model.json").read_text())["columns"]
        assert [column["form"]["decimal"] for column in known] == [decimal]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["1,5", "2.5", "3.5"], "holds '2.5' and '1,5', which are written in two ways"),
        (["13/1/2026", "1/13/2026", "14/1/2026"], "holds '13/1/2026' and '1/13/2026', which are written in two ways"),
        (["3/4/2026", "5/6/2026"], "holds 3/4/2026, day or month first: write them as 2026-03-04"),
        (["01.02.26", "03.04.26"], "holds 01.02.26, day or month first: write them as 2026-03-04"),
    ],
)
def test_words_that_might_be_read_wrongly_are_refused(words: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        read(written(tmp_path / "t.csv", x=words * 4, y=[str(k) for k in range(4 * len(words))]))


def test_codes_stay_words(tmp_path: Path) -> None:
    """A program would read 01234 as a number, even if a single one of many has a zero in front."""
    codes = [str(k) for k in range(10_000, 10_010)] * 3000 + ["01234"]
    path = written(tmp_path / "t.csv", zip=codes, count=["1", "0"] * 15_000 + ["7"])
    frame, notes = read(path)
    assert frame.zip.iloc[-1] == "01234"
    assert frame["count"].iloc[-1] == 7
    assert notes == ["'zip' is read as words: it holds codes with leading zeros, such as '01234'"]


def test_years_of_two_digits_that_may_be_of_two_centuries(tmp_path: Path) -> None:
    born = [f"{year % 28 + 1}/1/{year:02}" for year in range(30, 80)]
    _, notes = read(written(tmp_path / "t.csv", x=born, y=[str(k) for k in range(50)]))
    assert notes == ["'x' is read as words: it holds '1/1/56' beside dates such as '10/1/37'"]


def test_words_among_most_dates_are_said(tmp_path: Path) -> None:
    """Four different words are too many to be missing values."""
    words = [f"{day}/1/2026" for day in range(1, 29)] + ["soon", "never", "later", "unknown"]
    _, notes = read(written(tmp_path / "t.csv", x=words, y=[str(k) for k in range(32)]))
    assert notes == ["'x' is read as words: it holds 'later' beside dates such as '1/1/2026'"]


def test_several_units_are_words_and_said(tmp_path: Path) -> None:
    words = ["1 kg", "2 kg", *(f"{k} lb" for k in range(1, 6))]
    frame, notes = read(written(tmp_path / "t.csv", x=words * 4))
    assert frame.x.dtype == "category"
    assert notes == ["'x' is read as words: it holds '1 kg' beside numbers such as '1 lb'"]


def test_predictions_read_numbers_and_dates_as_training_did(tmp_path: Path) -> None:
    path = written(
        tmp_path / "t.csv",
        price=["1.234,5", "2", "?"] * 4,
        count=["1", "2", "3"] * 4,
        day=["3/14/26", "n.d.", "1/2/26"] * 4,
    )
    found = reading.read(path, ["rare"])
    schema = tables.Schema.from_json(json.loads(json.dumps(tables.Schema.of(found, "rare", path)[0].to_json())))
    assert schema.texts() == ["price", "count", "day"]

    def predicted(**columns: list[str]) -> list[list[float]]:
        given = {"price": ["1"], "count": ["1"], "day": [""]} | columns
        found = reading.read(written(path, **given), schema.texts())
        return schema.frames(found, path)[0][["price", "count", "day"]].to_numpy().tolist()

    assert predicted(price=["1.500"], count=["1,5"], day=["2/3/26"]) == [[1500, 1.5, 20487]]
    assert predicted(price=["1,500"], day=["2026-02-03"])[0][0::2] == [1.5, 20487]
    np.testing.assert_array_equal(predicted(price=["?"], count=[""], day=["n.d."]), [[NAN] * 3])
    for wrong in (
        {"price": ["1,234.5"]},
        {"price": ["$5"]},
        {"count": ["1.5"]},
        {"day": ["14/3/26"]},
        {"day": ["soon"]},
    ):
        ((name, (word,)),) = wrong.items()
        with pytest.raises(UserError, match=f"column {name!r} must hold .* written as in training, such as") as caught:
            predicted(**{name: [word]})
        assert f"it holds {word!r}: write that so, or leave it empty" in str(caught.value)


def test_whole_numbers_and_empty_columns_beside_decimal_commas(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", x=["1,5", "2,5"], n=["1", "2"], empty=["", ""], half=["0.5", "1"])
    schema, _ = tables.Schema.of(reading.read(path, ["rare"]), "rare", Source(path, decimal=","))
    assert {column.name: column.form.decimal for column in schema.columns} == {
        "x": ",", "n": ",", "empty": ",", "half": "."
    }  # fmt: skip


def test_percent_and_numbers_of_a_program_are_not_mixed(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", x=["12.5%", "3%"] * 4)
    schema, _ = tables.Schema.of(reading.read(path, ["rare"]), "rare", path)
    with pytest.raises(UserError, match="write them with a percent sign, as in training"):
        schema.frames(pa.table({"x": [0.125]}), path)
    (frame,) = schema.frames(pa.table({"x": pa.array([None, None], pa.string())}), path)
    assert frame.x.isna().all()


@pytest.mark.parametrize(
    ("word", "order", "expected"),
    [
        ("3 Mar 2026", "mdy", "2026-03-03T00:00:00"),
        ("14th September, 2026", "dmy", "2026-09-14T00:00:00"),
        ("Sept. 3, 2026 9:05 PM", "dmy", "2026-09-03T21:05:00"),
        ("12-Dec-99", "mdy", "1999-12-12T00:00:00"),
        ("2026/3/4 12:00 am", "dmy", "2026-03-04T00:00:00"),
        ("2026-03-04T01:30:00.5+02:00", "ymd", "2026-03-03T23:30:00.500"),
        ("1/2/69", "dmy", "1969-02-01T00:00:00"),
        ("1/2/68", "dmy", "NaT"),
        ("1/2/50", "dmy", "NaT"),
        ("1/2/49", "dmy", "2049-02-01T00:00:00"),
        ("1/2/1950", "dmy", "1950-02-01T00:00:00"),
        ("29.2.2024", "dmy", "2024-02-29T00:00:00"),
        ("29.2.2023", "dmy", "NaT"),
        ("3/4-2026", "dmy", "NaT"),
        ("3/4/2026 24:00", "dmy", "NaT"),
        ("3/4/2026 13:00 pm", "dmy", "NaT"),
        ("1.2.3", "dmy", "NaT"),
        ("26-03-04", "ymd", "2026-03-04T00:00:00"),
        ("3/4/2026", "ymd", "NaT"),
    ],
)
def test_one_date(word: str, order: str, expected: str) -> None:
    (found,) = dates.parsed(pa.array([word]), order)
    assert found == np.datetime64(expected) or (expected == "NaT" and np.isnat(found))


def test_years_of_two_digits_may_stand_first(tmp_path: Path) -> None:
    """Days differ, years hardly do."""
    expected = 20516
    days = [f"{day:02}" for day in (4, 5, 6, 14, 15, 30)]
    for words in ([f"26-03-{day}" for day in days], [f"{day}-03-26" for day in days]):
        frame, _ = read(written(tmp_path / "t.csv", x=words * 2))
        assert frame.x[0] == expected


@pytest.mark.parametrize(
    "damage",
    [
        {"form": {"decimal": ";", "group": "", "unit": ""}},
        {"form": {"decimal": ".", "group": "_", "unit": ""}},
        {"form": {"decimal": ".", "group": "", "unit": 5}},
        {"form": {"decimal": "."} | {"more": 1}},
        {"form": None},
        {"order": "ydm"},
    ],
)
def test_damaged_forms_are_refused(damage: dict[str, object]) -> None:
    plain = tables.Schema((tables.Column("x", "number"),)).to_json()
    assert tables.Schema.from_json(plain).to_json() == plain
    with pytest.raises((TypeError, ValueError)):
        tables.Schema.from_json([plain[0] | damage])
