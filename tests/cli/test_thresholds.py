"""Thresholds: their outcomes, and the precision and recall that they promise."""

from __future__ import annotations

from math import comb
from pathlib import Path

import numpy as np
import pytest
from commands import refused, run

from focal_loss._command import store, thresholds


def test_outcomes_count() -> None:
    y, probability = np.array([1, 0, 1, 0, 0], bool), np.array([0.9, 0.9, 0.5, 0.4, 0.1])
    found = thresholds.Outcomes.of(y, probability)
    for sums in ("weight", "squares", "rows"):
        np.testing.assert_array_equal(getattr(found.tp, sums), [0, 1, 2, 2, 2])
        np.testing.assert_array_equal(getattr(found.fp, sums), [0, 1, 1, 2, 3])
    assert found.best_f1() == 0.5
    many = thresholds.Outcomes.of(np.arange(5000) % 7 == 0, np.random.default_rng(0).random(5000))
    assert len(many.thresholds) <= 400
    assert (many.tp + many.fp).rows[-1] == 5000


def test_the_default_threshold_leaves_half_of_the_negatives_alone() -> None:
    """Flagging every row has the highest F1 of scores that know nothing."""
    y = np.random.default_rng(0).random(1000) < 0.3
    noise = np.random.default_rng(1).random(1000)
    threshold = thresholds.Outcomes.of(y, noise).best_f1()
    assert (noise >= threshold)[~y].mean() <= 0.5
    constant = thresholds.Outcomes.of(y, np.full(1000, 0.3))
    assert constant.best_f1() > 1, "no row is flagged where all are alike"


@pytest.mark.parametrize(("right", "rows"), [(10, 12), (11, 12), (12, 12), (1, 1), (40, 50), (0, 7)])
def test_the_least_rate_is_that_of_clopper_and_pearson(right: int, rows: int) -> None:
    """At this rate as many right ones, or more, come about in one of ten cases."""
    rate = thresholds.least_rate(right, rows)
    tail = sum(comb(rows, k) * rate**k * (1 - rate) ** (rows - k) for k in range(right, rows + 1))
    assert tail == pytest.approx(0.1 if right else 1.0, rel=1e-9)


def ranking(*runs: tuple[int, int]) -> thresholds.Outcomes:
    """Outcomes of rows that come in runs of so many positives, so many negatives."""
    y = np.concatenate([np.repeat([True, False], pair) for pair in runs])
    return thresholds.Outcomes.of(y, np.linspace(1, 0, len(y)))


def test_a_precision_is_promised_by_what_was_counted() -> None:
    """From the fewest rows that could promise 0.8 with one of them wrong, 18, the number of rows doubles."""
    found = ranking((36, 0), (30, 6), (0, 300)).for_precision(0.8)
    assert found is not None
    assert (found.right, found.rows) == (66, 72)
    assert found.rate == thresholds.least_rate(66, 72) >= 0.8
    assert ranking((17, 1), (8, 10), (300, 0)).for_precision(0.8).rows == 18, "not the good rows below bad ones"
    assert ranking((10, 8), (100, 0)).for_precision(0.8) is None
    assert ranking((5, 0), (0, 100)).for_precision(0.8) is None, "five rows promise nothing"
    assert ranking((5, 0), (0, 100)).for_precision(1.0) is None


def test_the_highest_precision_that_can_be_promised() -> None:
    outcomes = ranking((50, 2), (10, 400))
    most = outcomes.most_precise()
    assert 0.7 < most < 50 / 52
    assert outcomes.for_precision(most) is not None
    assert all(outcomes.for_precision(most + step / 100) is None for step in range(1, 20) if most + step / 100 <= 1)
    assert ranking((0, 50), (3, 0)).most_precise() == 0


def test_a_recall_is_promised_by_what_was_counted() -> None:
    outcomes = ranking((20, 0), (20, 20), (10, 300))
    found = outcomes.for_recall(0.7)
    assert found.rows == 50
    assert found.rate == thresholds.least_rate(found.right, 50) >= 0.7 > thresholds.least_rate(found.right - 1, 50)
    everything = outcomes.for_recall(1)
    assert (everything.threshold, everything.right, everything.rate) == (0, 50, 1)
    assert outcomes.for_recall(0).threshold > 1, "no row, whatever its probability"


@pytest.mark.parametrize("wanted", [0.5, 0.7])
def test_promises_are_kept(wanted: float) -> None:
    """Where rows are flagged that a promise names, nine of ten times they are as precise as promised."""
    kept = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        score = rng.normal(size=600)
        rate = 1 / (1 + np.exp(2.5 - 2.5 * score))
        found = thresholds.Outcomes.of(rng.random(600) < rate, score.argsort().argsort() / 600).for_precision(wanted)
        if found is not None:
            kept.append(np.sort(rate)[::-1][: found.rows].mean() >= wanted)
    assert len(kept) > 100
    assert np.mean(kept) > 0.85


def test_what_a_threshold_rests_on_is_said(fitted: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = store.Stored.load(fitted).outcomes
    capsys.readouterr()
    assert run("predict", fitted, data, "--precision", 0.3) == 0
    found = outcomes.for_precision(0.3)
    assert found is not None
    said = f"{found.right} of {found.rows} rows that were flagged out of fold were positive: a precision of at least"
    assert said in capsys.readouterr().err
    assert run("predict", fitted, data, "--recall", 0.5) == 0
    assert "positive rows were flagged out of fold: a recall of at least 0.5" in capsys.readouterr().err
    message = refused(capsys, "predict", fitted, data, "--precision", 0.999)
    assert (
        f"no precision of 0.999 can be promised from the rows out of fold; the highest is {outcomes.most_precise():g}"
        in message
    )
