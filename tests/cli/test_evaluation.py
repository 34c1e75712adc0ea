"""Metrics, intervals and thresholds, and the numbers of the report."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from focal_loss._command import arguments, evaluation, page, summary
from focal_loss._command.report import data as report


def f1(y: np.ndarray, probability: np.ndarray) -> float:
    return max(f1_score(y, probability >= threshold) for threshold in probability)


@pytest.mark.parametrize("name", list(evaluation.MEASURES))
@pytest.mark.parametrize("positive", [0.2, 0.9])
@pytest.mark.parametrize("digits", [1, 2, 9])  # many ties, some, none
def test_weighted_metrics_are_the_metrics_of_repeated_rows(name: str, positive: float, digits: int) -> None:
    rng = np.random.default_rng(0)
    y, probability = rng.random(300) < positive, rng.random(300).round(digits)
    weight = rng.integers(0, 4, 300)
    found = dict(zip(evaluation.MEASURES, evaluation.of_weights(y, probability)(weight.astype(float)), strict=True))
    rows = np.repeat(np.arange(300), weight)
    measure = f1 if name == "f1" else evaluation.MEASURES[name].of
    assert found[name] == pytest.approx(measure(y[rows], probability[rows]), rel=1e-12)


def test_the_command_offers_every_metric() -> None:
    assert tuple(evaluation.MEASURES) == arguments.METRICS


def test_the_interval_of_a_difference() -> None:
    rng = np.random.default_rng(1)
    y = rng.random(2000) < 0.1
    good, bad = np.where(y, 0.6, 0.2) + 0.2 * rng.random(2000), rng.random(2000)
    one, other, same = evaluation.resampled(y, [good, bad, good], None, 0)[:, :, 0]
    low, high = evaluation.interval(one - other)
    assert 0 < low < average_precision_score(y, good) - average_precision_score(y, bad) < high
    assert evaluation.interval(one - same) == (0, 0)


def test_an_interval_knows_the_share_of_positives_as_the_table_does() -> None:
    """The log loss of one probability for all rows depends on nothing but the share of the positives."""
    y = np.arange(300) % 10 == 0
    slope = abs(np.log(0.2 / 0.8))
    which = list(evaluation.MEASURES).index("log_loss")
    for known, error in ((300, None), (1500, np.sqrt(1 / (1500 * 0.1 * 0.9)))):
        samples = evaluation.resampled(y, [np.full(300, 0.2)], None, 0, error=error)[0, :, which]
        assert np.std(samples) == pytest.approx(slope * np.sqrt(0.1 * 0.9 / known), rel=0.06)
    # A share of 1e-5 by weight, from 30 rows: its relative error is the square root of 1 / 30.
    weight = np.where(y, 1.0, 1e4)
    share = evaluation.resampled(y, [np.where(y, 0.5, 1e-7)], None, 0, weight)[0, :, which] - 1e-7
    assert np.std(share) / np.mean(share) == pytest.approx(np.sqrt(1 / 30), rel=0.1)
    plain = evaluation.over_parts(np.array([1.0, 2.0, 3.0]), 0.25, 0.0)
    wider = evaluation.over_parts(np.array([1.0, 2.0, 3.0]), 0.25, 0.5)
    reach = [(high - low) / 2 for low, high in (plain, wider)]
    assert reach[1] == pytest.approx(np.hypot(reach[0], 1.959964 * 0.5))


def test_groups_are_drawn_whole() -> None:
    """Ten copies of every row, as a group, tell no more than the rows themselves: the intervals are as wide."""
    rng = np.random.default_rng(2)
    y, probability = rng.random(300) < 0.3, rng.random(300)
    groups = np.repeat(np.arange(300), 10)
    repeated = evaluation.resampled(np.repeat(y, 10), [np.repeat(probability, 10)], groups, 0)[0, :, 1]
    plain = evaluation.resampled(y, [probability], None, 0)[0, :, 1]
    assert np.std(repeated) == pytest.approx(np.std(plain), rel=0.1)
    both = np.array([True, False])
    assert evaluation.resampled(both, [probability[:2]], np.arange(2), 0).shape == (1, 1000, 5)


def test_the_slider_steps_evenly_in_log_odds() -> None:
    rng = np.random.default_rng(0)
    y, probability = rng.random(5000) < 0.1, rng.beta(2, 9, 5000)
    found = page.outcomes(y, probability, 0.2)
    assert 0.2 in found.thresholds
    odds = np.log(found.thresholds) - np.log1p(-np.array(found.thresholds))
    steps = np.diff(np.delete(odds, found.thresholds.index(0.2)))
    np.testing.assert_allclose(steps, steps[0], rtol=1e-6)
    assert found.tp[0] + found.fp[0] == 5000
    assert found.tp[-1] + found.fp[-1] == 0
    for k in (0, 50, 150, len(odds) - 1):
        flagged = probability >= found.thresholds[k]
        counts = [(flagged & y).sum(), (flagged & ~y).sum(), (~flagged & y).sum(), (~flagged & ~y).sum()]
        assert [found.tp[k], found.fp[k], found.fn[k], found.tn[k]] == counts
    certain = page.outcomes(y, y.astype(float), 1.0)
    assert 1e-7 < min(certain.thresholds) < max(certain.thresholds) == 1
    assert len(certain.thresholds) <= 400


def test_curves_of_few_positives_among_many() -> None:
    """Curves keep their points where the positives are, at the beginning of the ranking."""
    rng = np.random.default_rng(0)
    y = np.arange(60_000) < 100
    probability = 1 / (1 + np.exp(-np.where(y, rng.normal(4, 2, 60_000), rng.normal(-4, 1.5, 60_000))))
    order = np.argsort(-probability)
    hits = np.cumsum(y[order])
    recall, precision = hits / 100, hits / np.arange(1, 60_001)
    found = page.precision_recall(y, probability)
    for at in (0.05, 0.2, 0.4, 0.5, 0.7, 0.9):
        true = precision[recall >= at][0]
        drawn = np.array(found.y)[np.array(found.x) >= at][0]
        assert drawn == pytest.approx(true, abs=0.01)
    curve = page.roc(y, probability)
    alarms = np.cumsum(~y[order]) / 59_900
    np.testing.assert_allclose(
        np.interp([1e-4, 1e-3, 1e-2], curve.x, curve.y), np.interp([1e-4, 1e-3, 1e-2], alarms, recall), atol=0.011
    )
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)


def test_reliability_of_a_rare_class_has_many_points() -> None:
    rng = np.random.default_rng(0)
    probability = rng.beta(0.5, 60, 50_000)
    y = rng.random(50_000) < probability
    mean, frequency, count = evaluation.reliability(y, probability)
    assert len(mean) == 10
    assert mean == sorted(mean)
    assert sum(count) == 50_000
    assert sum(np.multiply(frequency, count)) == pytest.approx(y.sum())
    np.testing.assert_allclose(frequency, mean, rtol=0.3, atol=1e-3)
    assert evaluation.reliability(np.array([True, False, True]), np.array([0.5, 0.1, 0.5])) == (
        [0.1, 0.5], [0, 1], [1, 2]
    )  # fmt: skip


def test_the_answer_has_as_many_digits_as_it_takes() -> None:
    models = {"focal": report.Estimate(0.00251, 0, 1), "weighted cross-entropy": report.Estimate(0.00254, 0, 1)}
    row = report.Comparison("Brier score", models, "weighted cross-entropy", -0.00006, -0.00001, 0.003, False)
    assert summary.answer(row) == (
        "Focal loss is better than weighted cross-entropy: Brier score 0.002510 against 0.002540 of weighted "
        "cross-entropy; 95 % interval of the difference −0.000060 to −0.000010."
    )
    row = dataclasses.replace(row, low=-0.0600, high=-0.000001)
    assert "−0.060 to −0.000001" in summary.answer(row), "an end of the interval is never rounded to 0"


def test_a_certain_mistake_is_cut_in_the_log_loss() -> None:
    """Every log loss cuts the probability to 1e-7."""
    y, probability = np.array([False, True]), np.array([1.0, 0.5])
    expected = (7 * np.log(10) + np.log(2)) / 2
    assert evaluation.MEASURES["log_loss"].of(y, probability) == pytest.approx(expected, rel=1e-9)
    weighted = dict(zip(evaluation.MEASURES, evaluation.of_weights(y, probability)(np.ones(2)), strict=True))
    assert weighted["log_loss"] == pytest.approx(expected, rel=1e-9)


def test_positives_and_negatives_are_drawn_apart() -> None:
    """With one positive, drawn once in each replicate, the F1 of a perfect ranking is 1 in all of them. That of a
    useless one, 2 s / (1 + s), shows the share s: its log odds have the variance 1 + 1 / 11.
    """
    y = np.arange(12) == 0
    perfect, useless = y * 0.5 + 0.25, np.full(12, 0.5)
    one, other = evaluation.resampled(y, [perfect, useless], None, 0)[:, :, list(evaluation.MEASURES).index("f1")]
    np.testing.assert_allclose(one, 1)
    odds = np.log(other / (2 - 2 * other))
    assert np.mean(odds) == pytest.approx(np.log(1 / 11), abs=0.1)
    assert np.std(odds) == pytest.approx(np.sqrt(12 / 11), rel=0.1)


def compared(difference: float, low: float, high: float) -> report.Comparison:
    models = {"focal": report.Estimate(0.5 + difference, 0, 1), "cross-entropy": report.Estimate(0.5, 0, 1)}
    return report.Comparison("average precision", models, "cross-entropy", low, high, 0.1, True)


def test_the_positives_that_would_show_a_difference_of_the_size_found() -> None:
    """An interval of 0.01 +- 0.05 among 100 positives: 100 (5 * 2.8016 / 1.95996)^2 = 5,108 of them, rounded."""
    part = SimpleNamespace(data=SimpleNamespace(test=SimpleNamespace(y=np.arange(1000) < 100)))
    assert (
        "difference is as large as the one found, 0.01, it would take about 5,100 positives held out, instead of "
        "100, " in summary.needed([part], compared(0.01, -0.04, 0.06))
    )
    assert "about 5,100 positives in each held-out part" in summary.needed([part] * 3, compared(-0.01, -0.06, 0.04))
    assert "more than a billion" in summary.needed([part], compared(1e-6, -0.04, 0.06))
    for row in (compared(0.05, 0.01, 0.09), compared(0.0, -0.05, 0.05), compared(0.5, -0.001, 0.6)):
        assert summary.needed([part], row) == "", "shown, none found, as good as shown"
