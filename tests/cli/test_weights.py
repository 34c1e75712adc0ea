"""Metrics, curves and tables of rows with weights: a row of weight w counts as w rows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit

from focal_loss._command import doubts, effective, evaluation, listings, page, search, summary, temper
from focal_loss._command.division import Part
from focal_loss._command.thresholds import Outcomes
from focal_loss.calibration import expected_calibration_error

ROWS = 400


def scores(digits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Labels, probabilities of so many digits, whole weights, and each row as many times as its weight says."""
    rng = np.random.default_rng(0)
    odds = rng.normal(-1, 1.5, ROWS)
    y = rng.random(ROWS) < 1 / (1 + np.exp(-odds))
    weight = rng.permutation(np.repeat([1, 2, 3, 14], ROWS // 4))
    probability = np.clip((1 / (1 + np.exp(-1.5 * odds))).round(digits), 0.001, 0.999)
    return y, probability, weight.astype(float), np.repeat(np.arange(ROWS), weight)


def tempered(y: np.ndarray, probability: np.ndarray, weight: np.ndarray | None) -> temper.Temperature:
    """The temperature, in folds that keep rows of one probability together."""
    group = pd.factorize(probability.round(1))[0] % 3
    folds = tuple((np.flatnonzero(group != k), np.flatnonzero(group == k)) for k in range(3))
    return temper.helpful({"gamma": 1.0}, logit(probability), y, folds, weight)


def outcomes(found: Outcomes) -> list[list[float]]:
    return [found.thresholds.tolist(), [found.best_f1()], *(sums.tolist() for sums in found.weights().values())]


# ---------------------------------------------------------------------------------------------------------------
# Whole weights, and rows that are repeated
# ---------------------------------------------------------------------------------------------------------------

FUNCTIONS: dict[str, Any] = {
    **{name: measure.of for name, measure in evaluation.MEASURES.items()},
    "precision_recall": lambda y, p, weight: [*vars(page.precision_recall(y, p, weight)).values()],
    "roc": lambda y, p, weight: [*vars(page.roc(y, p, weight)).values()],
    "reliability": lambda y, p, weight: evaluation.reliability(y, p, weight=weight)[:2],
    "slider": lambda y, p, weight: [*vars(page.outcomes(y, p, 0.3, weight)).values()],
    "kolmogorov_smirnov": lambda y, p, weight: evaluation.kolmogorov_smirnov(evaluation.Ranked.of(y, p, weight)),
    "at_top": lambda y, p, weight: [evaluation.at_top(evaluation.Ranked.of(y, p, weight), x) for x in (0.01, 0.1)],
    "calibration_error": lambda y, p, weight: expected_calibration_error(y, p, sample_weight=weight),
    "slope": lambda y, p, weight: evaluation.slope(y, p, weight),
    "log_loss_out_of_fold": lambda y, p, weight: tempered(y, p, weight).without,
    "outcomes": lambda y, p, weight: outcomes(Outcomes.of(y, p, weight)),
    "alone": lambda y, p, weight: doubts.alone(pd.Series(p), y, weight),
    "alone_words": lambda y, p, weight: doubts.alone(pd.Series(p.round(1).astype(str), dtype="category"), y, weight),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("digits", [1, 2, 12])  # many ties, some, none
def test_a_weight_is_a_number_of_rows(name: str, digits: int) -> None:
    y, probability, weight, rows = scores(digits)
    found = FUNCTIONS[name](y, probability, weight)
    expected = FUNCTIONS[name](y[rows], probability[rows], None)
    assert found != FUNCTIONS[name](y, probability, None), "weights change it"
    pairs = zip(found, expected, strict=True) if isinstance(found, list | tuple) else [(found, expected)]
    for one, other in pairs:
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_the_temperature_of_whole_weights() -> None:
    """A temperature is found to about eight digits, and so is the log loss at those of other folds."""
    y, probability, weight, rows = scores(12)
    found = tempered(y, probability, weight)
    assert found == pytest.approx(tempered(y[rows], probability[rows], None), rel=1e-7)
    assert abs(found.value - tempered(y, probability, None).value) > 0.01


def test_the_tables_of_the_report_count_by_weight() -> None:
    y, probability, weight, rows = scores(2)
    models = {"focal": probability, "cross-entropy": 0.5 * probability + 0.1}
    repeated = {name: each[rows] for name, each in models.items()}
    for make in (listings.ranking, listings.calibration):
        found = make(y, models, weight)
        assert found == make(y[rows], repeated, None)
        assert found != make(y, models, None)
    shares = [
        [row.values[1] for row in listings.rates(*given).rows]
        for given in ((y, probability, 0.3, weight), (y[rows], probability[rows], 0.3), (y, probability, 0.3))
    ]
    assert shares[0] == shares[1] != shares[2]
    counted = listings.rates(y, probability, 0.3, weight).rows[0].values[0]
    assert counted.startswith(f"{(y & (probability >= 0.3)).sum()} of {y.sum()}, which tell as much as "), (
        "rows as rows"
    )


def held_out(y: np.ndarray, probability: np.ndarray, weight: np.ndarray | None) -> Any:
    """The result of a fit with these held-out rows, as far as the comparison needs it."""
    X = pd.DataFrame({"a": np.zeros(len(y))})
    candidates = {loss: SimpleNamespace(loss=loss, probability=probability**power)
                  for loss, power in zip(search.LOSSES, (1.0, 1.2, 0.9), strict=True)}  # fmt: skip
    data = SimpleNamespace(test=Part(X, y, weight), train=Part(X, y, weight), groups=None, share_error=0.2)
    settings = SimpleNamespace(metric="roc_auc", seed=0)
    return SimpleNamespace(
        data=data, candidates=candidates, rival=candidates["cross-entropy"], winner=candidates["focal"], threshold=0.3,
        search=SimpleNamespace(settings=settings),
    )  # fmt: skip


def test_the_comparison_and_the_decision_count_by_weight() -> None:
    y, probability, weight, rows = scores(2)
    found, expected, plain = (
        held_out(*given)
        for given in ((y, probability, weight), (y[rows], probability[rows], None), (y, probability, None))
    )
    for one, other, third in zip(*(summary.comparisons([each]) for each in (found, expected, plain)), strict=True):
        for loss, estimate in one.models.items():
            assert estimate.value == pytest.approx(other.models[loss].value, rel=1e-12)
            assert estimate.value != third.models[loss].value
        assert one.floor == pytest.approx(other.floor, rel=1e-12)
    drawn = evaluation.resampled(y, [probability], None, 0, weight, 0.2)[0, :, 0]
    row = {row.name: row for row in summary.comparisons([found])}["average precision"]
    assert (row.models["focal"].low, row.models["focal"].high) == evaluation.interval(drawn)
    assert summary.decision(found) == summary.decision(expected) != summary.decision(plain)


def test_a_row_that_is_drawn_twice_has_twice_its_weight() -> None:
    """Weights far apart within a class: the bootstrap of a weighted mean varies as that of its effective rows."""
    rng = np.random.default_rng(0)
    y, probability = np.arange(600) % 2 == 0, rng.random(600)
    brier = list(evaluation.MEASURES).index("brier")
    weight = np.where(np.arange(600) % 20 < 2, 30.0, 1.0)
    found, plain = (evaluation.resampled(y, [probability], None, 0, given)[0, :, brier] for given in (weight, None))
    errors = np.square(probability - y)
    assert found.mean() == pytest.approx(np.average(errors, weights=weight), rel=0.05)
    assert found.std() / plain.std() == pytest.approx(np.sqrt(600 * (weight**2).sum()) / weight.sum(), rel=0.2)


def test_uneven_weights_move_the_share_of_positives_once() -> None:
    """The log loss of one probability depends on the share alone, whose log odds have a known standard error."""
    y, weight = np.arange(600) % 5 == 0, np.random.default_rng(0).lognormal(0, 1, 600)
    error, share = effective.error_of_odds(y, weight), np.average(y, weights=weight)
    which = list(evaluation.MEASURES).index("log_loss")
    samples = evaluation.resampled(y, [np.full(600, 0.2)], None, 0, weight, error)[0, :, which]
    assert np.std(samples) == pytest.approx(np.log(0.8 / 0.2) * share * (1 - share) * error, rel=0.1)


def test_a_column_that_gives_the_target_away_by_weight() -> None:
    """All rows but two of little weight are in the order of the column."""
    y = np.arange(400) >= 200
    y[[0, 399]] = True, False
    found = [
        [*doubts.giveaways(SimpleNamespace(searched=Part(pd.DataFrame({"a": np.arange(400.0)}), y, weight)))]
        for weight in (None, np.where(np.isin(np.arange(400), [0, 399]), 0.01, 1.0))
    ]
    assert not found[0]
    assert "'a' alone ranks the target almost perfectly" in found[1][0]
