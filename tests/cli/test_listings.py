"""The tables of the report."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from scipy.stats import binomtest

from focal_loss._command import listings
from focal_loss._command.division import Part
from focal_loss._command.evaluation import slope
from focal_loss._command.report.data import Row
from focal_loss._command.tables import Column, Schema
from focal_loss._command.thresholds import Outcomes


def test_promises_say_on_what_they_rest_and_never_round_up() -> None:
    """All 400 highest probabilities are positive, the 600 others negative."""
    y = np.arange(1000) < 400
    found = Outcomes.of(y, np.linspace(1, 0, 1000))
    table = listings.promises(found)
    assert [row.name for row in table.rows] == [
        *(f"Precision of {share} %" for share in (80, 90, 95)),
        *(f"Recall of {share} %" for share in (80, 90, 95)),
    ]
    for row, wanted in zip(table.rows, (0.8, 0.9, 0.95) * 2, strict=True):
        promise = found.for_precision(wanted) if "Precision" in row.name else found.for_recall(wanted)
        assert promise is not None
        flagged = (np.linspace(1, 0, 1000) >= promise.threshold).sum()
        assert row.values[1] == f"{flagged:g}", "of 1,000 rows"
        said = float(row.values[2].split()[2])
        assert promise.rate - 0.001 < said / 100 <= promise.rate
        assert f"({promise.right:,} of {promise.rows:,} " in row.values[2]


def test_promises_that_are_refused_say_what_can_be_promised() -> None:
    y, rng = np.arange(2000) % 3 == 0, np.random.default_rng(0)
    found = Outcomes.of(y, rng.random(2000))
    rows = {row.name: row.values for row in listings.promises(found).rows}
    most = found.most_precise()
    assert 0 < most < 0.5
    assert rows["Precision of 80 %"] == ("–", "–", f"no threshold promises it; the highest is {100 * most:.0f} %")
    none = listings.promises(Outcomes.of(np.arange(40) == 39, np.linspace(1, 0.5, 40)))
    assert none.rows[0].values[2] == "no threshold promises any"
    assert none.rows[-1].values == ("0", "1,000", "only flagging every row promises it")


def test_sensitivity_and_specificity_with_their_intervals() -> None:
    y = np.repeat([True, False], [20, 80])
    probability = np.concatenate([np.repeat([0.9, 0.1], [15, 5]), np.repeat([0.5, 0.1], [8, 72])])
    rows = listings.rates(y, probability, 0.5).rows
    for row, name, right, count in zip(rows, ("Sensitivity", "Specificity"), (15, 72), (20, 80), strict=True):
        low, high = binomtest(right, count).proportion_ci(method="wilson")
        assert row == Row(name, row.note, (f"{right} of {count}", f"{right / count:.3f}", f"{low:.3f} to {high:.3f}"))


def test_lift_counts_rows_of_one_probability_in_proportion() -> None:
    """The 40 rows of the highest probability, of 200, hold 16 of 20 positives: 40 % of any part of these. At the top
    10 %, 20 rows, lift 4. All others are tied too.
    """
    y = np.zeros(200, bool)
    y[:16] = y[40:44] = True
    tied = np.where(np.arange(200) < 40, 0.7, 0.1)
    first = np.where(y, 0.9, 0.1)
    found = {row.name: row.values for row in listings.ranking(y, {"focal": tied, "cross-entropy": first}).rows}
    for percent in (1, 5, 10):
        assert found[f"Lift of the top {percent} %"] == ("4.0", "10.0")
        assert found[f"Precision of the top {percent} %"] == ("0.400", "1.000")
    # Rates at the one threshold in between: 16 / 20 of the positives and 24 / 180 of the negatives.
    assert found["KS"] == (f"{16 / 20 - 24 / 180:.3f}", "1.000")
    assert found["Gini"] == (f"{16 / 20 - 24 / 180:.3f}", "1.000"), "of a single threshold both are the same"


def test_the_slope_finds_odds_that_are_too_extreme() -> None:
    """Labels drawn from probabilities: their own slope is 1, that of twice their log odds 1/2."""
    rng = np.random.default_rng(0)
    odds = rng.normal(-2, 1.5, 40_000)
    y = rng.random(40_000) < expit(odds)
    right, extreme, shifted = (slope(y, expit(z)) for z in (odds, 2 * odds, odds - 3))
    assert right == pytest.approx(1, abs=0.05)
    assert extreme == pytest.approx(right / 2, rel=1e-4)
    assert shifted == pytest.approx(right, rel=1e-2), "the slope is that of the log odds, whatever their mean"
    rows = listings.calibration(y, {"focal, scores": expit(odds), "none": np.full(len(y), 0.2)}).rows
    assert rows[1].values == (f"{right:.2f}", "–")
    assert float(rows[0].values[1]) == pytest.approx(abs(y.mean() - 0.2), rel=0.01)


def test_there_is_no_slope_of_what_separates_the_classes() -> None:
    y = np.array([True, True, False, False])
    for probability in ([0.9, 0.5, 0.5, 0.1], [0.1, 0.2, 0.2, 0.3], [0.5] * 4, [1.0, 1.0, 0.0, 0.0]):
        assert np.isnan(slope(y, np.array(probability)))


def test_columns_are_described_as_the_file_wrote_them() -> None:
    """Dates count days since 1970, times their fraction of the day."""
    kinds = {
        "amount": "number",
        "yes": "boolean",
        "day": "date",
        "clock": "time",
        "span": "duration",
        "empty": "number",
    }
    X = pd.DataFrame(
        {
            "amount": [-2.5, np.nan, 1234.5, 0.0],
            "yes": [1.0, 0.0, 0.0, 0.0],
            "day": [0.0, 20_453.0, 1.0, np.nan],
            "clock": [0.25, 0.75, 0.5, 0.5],
            "span": [2.0, 2.0, np.nan, np.nan],
            "empty": [np.nan] * 4,
            "word": pd.Categorical(["a", None, "b", "a"]),
        }
    )
    known = [Column(name, kind) for name, kind in kinds.items()] + [Column("word", "category", ("a", "b"))]
    parts = (Part(X.iloc[:3], np.ones(3, bool)), Part(X.iloc[3:], np.ones(1, bool)))
    notes = ["'amount' holds numbers, written as words", "'amounts' is left out"]
    data = SimpleNamespace(schema=Schema(tuple(known)), notes=notes, train=parts[0], test=parts[1])
    assert listings.columns(data).rows == [
        Row("amount", "holds numbers, written as words", ("number", "25.0 %", "-2.5 to 1234.5")),
        Row("yes", "", ("boolean", "–", "25.0 % true")),
        Row("day", "", ("date", "25.0 %", "1970-01-01 to 2025-12-31")),
        Row("clock", "", ("time", "–", "06:00 to 18:00")),
        Row("span", "", ("duration", "50.0 %", "2 days")),
        Row("empty", "", ("number", "100.0 %", "–")),
        Row("word", "", ("category", "25.0 %", "2 categories")),
    ]
