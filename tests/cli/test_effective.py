"""The number of independent rows of equal weight that tell as much as some rows do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from commands import QUICK, run, table
from scipy.special import betaincinv

from focal_loss._command import evaluation, listings, store, thresholds
from focal_loss._command.effective import Sums, at_least, share, spread
from focal_loss._command.thresholds import Outcomes


def sums(weights: list[float]) -> Sums:
    each = np.array(weights, float)
    return Sums(each.sum(), (each**2).sum(), len(each))


def test_rows_of_weight_one_are_themselves_in_every_digit() -> None:
    for right, rows in ((7, 10), (0, 12), (12, 12), (33, 71), (123_457, 999_983)):
        for one in (1, 1.0):
            weight = np.full(rows, one)
            found = share(np.arange(rows) < right, weight)
            assert found == (right / rows, right, rows, rows)
            counted, missed = (Sums(count, count, count) for count in (right, rows - right))
            assert at_least(counted, missed, Sums(one, one, 1)) == (right, rows)


def test_the_effective_number_by_hand() -> None:
    """Two right rows of weight 3 and 1, one wrong row of weight 2: r = 2/3, and the sum of w^2 (y - r)^2 is
    (9 + 1) / 9 + 4 * 4 / 9 = 26 / 9, over 36. So n = r (1 - r) / var = (2/9) / (26/324) = 36/13, and (sum of w)^2 over
    the sum of w^2 is 36/14.
    """
    right, wrong = sums([3, 1]), sums([2])
    assert 6**2 / spread(right, wrong) == pytest.approx(36 / 13)
    found = share(np.array([True, True, False]), np.array([3.0, 1.0, 2.0]))
    assert found.value == pytest.approx(2 / 3)
    assert found.effective == pytest.approx(36 / 14), "not more than weights alone would leave"
    # All right: nothing is known of the variance, and (3 + 1)^2 / (9 + 1) rows are left.
    assert share(np.array([True, True]), np.array([3.0, 1.0])).effective == pytest.approx(1.6)
    # The promise counts one wrong row more, of weight 2: n = 8^2 / (10/4 * 4 + 8/4 * 4) = 32/9, half of them right.
    got, rows = at_least(right, wrong, sums([2]))
    assert (got, rows) == (pytest.approx(16 / 9), pytest.approx(32 / 9 - 1))
    # One right row of weight 1 beside four wrong ones of weight 9: n = 46^2 / (45 + 9) = 39.2, but there are six rows.
    assert at_least(sums([1]), sums([9] * 4), sums([9])) == (pytest.approx(6 / 46), pytest.approx(5))


def test_the_variance_of_a_weighted_rate_is_that_of_as_many_rows() -> None:
    """Weights of two sizes, drawn anew: r (1 - r) over the variance of the rate is the effective number."""
    rng = np.random.default_rng(0)
    rates, found = [], []
    for _ in range(4000):
        weight = rng.choice([1.0, 4.0], 200)
        each = share(rng.random(200) < 0.3, weight)
        rates.append(each.value)
        found.append(each.effective)
    assert np.mean(found) == pytest.approx(0.3 * 0.7 / np.var(rates), rel=0.1)
    assert np.mean(found) == pytest.approx(200 * 2.5**2 / 8.5, rel=0.03), "n (mean of w)^2 / mean of w^2"


def test_rows_of_one_group_tell_less() -> None:
    """Ten rows of a patient with one label are one row; ten with labels of their own are ten."""
    rng = np.random.default_rng(0)
    groups, ones = np.repeat(rng.permutation(60), 10), np.ones(600)
    alike, free = np.repeat(rng.random(60) < 0.7, 10), rng.random(600) < 0.7
    assert share(alike, ones, groups).effective == pytest.approx(60)
    assert 400 < share(free, ones, groups).effective <= 600
    assert share(np.ones(600, bool), ones, groups).effective == 60, "all right: nothing tells how alike they are"
    assert share(free, ones, np.arange(600)).effective == pytest.approx(600)
    weight = np.repeat(rng.choice([1.0, 5.0], 60), 10)
    by_patient = share(alike[::10], weight[::10]).effective
    assert share(alike, weight, groups).effective == pytest.approx(by_patient, rel=0.25)


def test_intervals_of_the_report_count_groups() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat(rng.random(80) < 0.5, 10)
    probability = np.repeat(rng.random(80), 10) + 1e-6 * rng.random(800)
    groups = np.repeat(np.arange(80), 10)
    plain, grouped = (listings.rates(y, probability, 0.4, None, given).rows for given in (None, groups))
    single = listings.rates(y[::10], probability[::10], 0.4).rows
    for one, many, by_row in zip(single, grouped, plain, strict=True):
        assert many.values[1:] == one.values[1:]
        assert many.values[1] == by_row.values[1]
        assert many.values[2] != by_row.values[2]
        assert many.values[0].startswith(by_row.values[0] + ", which tell as much as ")
    bins = [evaluation.reliability(y, probability, 5, groups=given) for given in (None, groups)]
    assert bins[0][:2] == bins[1][:2]
    np.testing.assert_allclose(np.divide(bins[0][2], bins[1][2]), 10, rtol=0.2)


@pytest.mark.parametrize("kind", ["thinned negatives", "thinned positives", "uneven", "few heavy"])
@pytest.mark.parametrize("rate", [0.5, 0.9])
def test_the_least_rate_of_weighted_rows_holds(kind: str, rate: float) -> None:
    """The least precision of 120 flagged rows is above the true one in about one case of ten, or fewer."""
    rng = np.random.default_rng(0)
    low = []
    for _ in range(1500):
        y = rng.random(4000) < rate
        weight = {
            "thinned negatives": np.where(y, 1.0, 10.0),
            "thinned positives": np.where(y, 10.0, 1.0),
            "uneven": rng.lognormal(0, 1, 4000),
            "few heavy": np.where(rng.random(4000) < 0.05, 50.0, 1.0),
        }[kind]
        thin = y if kind == "thinned positives" else ~y
        kept = ~thin | (rng.random(4000) < 0.1) if "thinned" in kind else thin | True
        y, weight = y[kept], weight[kept]
        one = sums(weight[~y].tolist()).typical()
        y, weight = y[:120], weight[:120]
        low.append(thresholds.least_rate(*at_least(sums(weight[y].tolist()), sums(weight[~y].tolist()), one)))
    assert np.mean(np.array(low) <= rate) > 0.87


def test_thirty_positives_promise_little_where_negatives_were_thinned_out() -> None:
    """A negative that was not seen counts for ten: Beta(a, b) with a : b = 30 : 10, and n = 40^2 / (10 + 10 * 30)."""
    y = np.arange(400) < 30
    found = Outcomes.of(y, np.linspace(1, 0, 400), np.where(y, 1.0, 10.0))
    promise = found._promise(30, found.fp, (found.fp + found.tn)[-1].typical())
    n = 40**2 / 310
    assert (promise.right, promise.rows) == (30, 30)
    assert promise.rate == pytest.approx(betaincinv(0.75 * n, 0.25 * n, 0.1))
    assert promise.by_weight == (1.0, pytest.approx(n - 1))
    assert promise.rate < 0.5 < thresholds.least_rate(30, 30)


def test_promises_do_not_depend_on_the_scale() -> None:
    rng = np.random.default_rng(0)
    odds = rng.normal(-1, 2, 1500)
    y, probability = rng.random(1500) < 1 / (1 + np.exp(-odds)), 1 / (1 + np.exp(-odds))
    weight = np.where(y, 1.0, 4.0) * rng.choice([1.0, 1.5], 1500)
    one, other = (Outcomes.of(y, probability, factor * weight) for factor in (1, 1000))
    for name, wanted in (("precision", 0.4), ("precision", 0.5), ("recall", 0.5), ("recall", 0.9)):
        expected, found = (getattr(outcomes, f"for_{name}")(wanted) for outcomes in (one, other))
        assert found.threshold == expected.threshold
        assert found.rate == pytest.approx(expected.rate, rel=1e-9)
    tried = [[*outcomes._doubling(0.6, (outcomes.fp + outcomes.tn)[-1].typical())] for outcomes in (one, other)]
    assert tried[0] == tried[1]
    rows = (one.tp + one.fp).rows[tried[0]]
    assert (rows[1:] >= 2 * rows[:-1]).all()
    assert len(rows) > 3


def test_the_words_for_weighted_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They name rows as rows, beside the share by weight and how many rows would tell as much."""
    frame = table(800)
    weight = np.where(frame.rare == 1, 1.0, 2.0) * np.random.default_rng(0).choice([1.0, 1.5], 800)
    frame.assign(w=weight).to_csv(tmp_path / "t.csv", index=False)
    given = ("fit", tmp_path / "t.csv", "--target", "rare", "--weight", "w", *QUICK, "--out", tmp_path / "m")
    assert run(*given) == 0
    outcomes = store.Stored.load(tmp_path / "m").outcomes
    capsys.readouterr()
    for option, wanted, promise, were in (
        ("--precision", 0.2, outcomes.for_precision(0.2), "rows that were flagged out of fold were positive"),
        ("--recall", 0.6, outcomes.for_recall(0.6), "positive rows were flagged out of fold"),
    ):
        assert run("predict", tmp_path / "m", tmp_path / "t.csv", option, wanted, "--out", tmp_path / "p.csv") == 0
        by_weight, rows = promise.by_weight
        assert by_weight != promise.right / promise.rows
        assert rows <= promise.rows + 1e-9
        said = f"{100 * by_weight:.1f} % by weight of {promise.rows} {were}, which tell as much as {rows:.3g} of equal"
        assert said in capsys.readouterr().err
    promised = {row.name: row.values[2] for row in listings.promises(outcomes).rows}
    basis = outcomes.for_recall(0.8).basis("positive rows were flagged")
    assert f"({basis})" in promised["Recall of 80 %"]
