"""The tables of the report."""

from __future__ import annotations

import numpy as np
from scipy.stats import binomtest

from focal_loss._command import listings
from focal_loss._command.report.data import Row
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
