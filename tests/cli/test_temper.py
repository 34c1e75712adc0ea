"""The temperature that `focal-loss fit` finds out of fold, and that the stored model keeps."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import QUICK, run, typed
from sklearn.model_selection import KFold

from focal_loss._command import boosters, reading, store, temper
from focal_loss._dispatch.frameworks import BOOSTERS
from focal_loss.calibration import posterior_from_logits

FOCAL = {"gamma": 2.0, "pos_weight": 3.0}
FOLDS = tuple(KFold(5).split(np.zeros(4000)))


def exact_scores(parameters: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and labels with the probabilities of these."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=4000)
    return scores, rng.random(4000) < temper.posterior(parameters, scores, 1.0)


@pytest.mark.parametrize("parameters", [FOCAL, {}], ids=["focal", "cross-entropy"])
def test_the_temperature_of_scores_that_are_too_large(parameters: dict[str, float]) -> None:
    scores, y = exact_scores(parameters)
    found = temper.helpful(parameters, 3 * scores, y, FOLDS)
    assert found.value == pytest.approx(3, rel=0.15)
    assert found.with_it < found.without
    p = posterior_from_logits(scores, parameters.get("gamma", 0.0), pos_weight=parameters.get("pos_weight", 1.0))
    assert found.with_it == pytest.approx(-np.mean(np.log(np.where(y, p, 1 - p))), rel=0.01)


def test_no_temperature_where_it_does_not_help() -> None:
    """Scores that know nothing about the labels, or separate them, determine none."""
    scores, y = exact_scores(FOCAL)
    assert temper.helpful(FOCAL, np.where(y, 9.0, -9.0), y, FOLDS).value == 1
    constant = temper.helpful({}, np.zeros(4000), y, FOLDS)
    assert constant.value == 1
    assert constant.without == constant.with_it == pytest.approx(np.log(2))
    few = temper.helpful(FOCAL, scores[:40], y[:40], tuple(KFold(5).split(np.zeros(40))))
    assert few.with_it <= few.without


def test_rows_that_no_fold_predicts_have_no_part() -> None:
    scores, y = exact_scores(FOCAL)
    forward = tuple((np.arange(begin), np.arange(begin, begin + 800)) for begin in (800, 1600, 2400, 3200))
    missing = scores.copy()
    missing[:800] = np.nan
    found = temper.helpful(FOCAL, 2 * missing, y, forward)
    assert found.value == pytest.approx(2, rel=0.2)
    assert np.isfinite(found.with_it)


@pytest.mark.parametrize("engine", BOOSTERS)
def test_the_stored_model_keeps_it(
    engine: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(temper, "helpful", lambda *given: temper.Temperature(2.5, 0.4, 0.3))
    assert run("fit", data, "--target", "rare", "--engine", engine, *QUICK, "--out", tmp_path / "m") == 0
    said = capsys.readouterr().out
    assert "whose scores are divided by 2.5 (log loss out of fold 0.3, without that 0.4)" in said
    stored = store.Stored.load(tmp_path / "m")
    assert stored.model.temperature_ == 2.5
    table = reading.read(data, stored.schema.texts())
    probability, _ = stored.probability(table, data)
    X, _ = boosters.columns_for(engine, stored.schema.frames(table, data)[0])
    gamma, weight = stored.model._focus.gamma, stored.model._focus.odds
    expected = posterior_from_logits(boosters.raw(stored.model, X) / 2.5, gamma, pos_weight=weight)
    np.testing.assert_allclose(probability, expected, rtol=1e-12)
    command = typed("predict", tmp_path / "m", data, "--out", tmp_path / "p.csv")
    subprocess.run(command, check=True, capture_output=True)  # without scikit-learn
    np.testing.assert_allclose(pd.read_csv(tmp_path / "p.csv").probability, expected, rtol=1e-12)
