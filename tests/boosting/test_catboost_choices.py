"""Defaults, records and snapshots of CatBoost, which serve this loss as they serve its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made import table
from sklearn.metrics import accuracy_score, log_loss

from focal_loss.catboost import FocalCatBoostClassifier

QUIET = {"verbose": False, "allow_writing_files": False, "thread_count": 1, "random_seed": 1}
FAST = QUIET | {"iterations": 5, "depth": 3, "learning_rate": 0.3}


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize(("examples", "rounds"), [(60, 20), (900, 40), (300, 7)])
def test_gamma_to_0_is_continuous_in_all_that_catboost_chooses(
    classes: int, watched: bool, examples: int, rounds: int
) -> None:
    X, y = table(examples, classes)
    y[:classes] = np.arange(classes)
    given = QUIET | {"iterations": rounds, "depth": 1}
    found = [
        FocalCatBoostClassifier(gamma=gamma, **given).fit(X, y, eval_set=(X, y) if watched else None).get_all_params()
        for gamma in (0, 1e-9)
    ]
    assert found[0]["learning_rate"] == found[1]["learning_rate"]
    apart = {name for name in {*found[0], *found[1]} if found[0].get(name) != found[1].get(name)}
    assert apart <= {"loss_function", "eval_metric", "leaf_estimation_backtracking"}


@pytest.mark.parametrize("given", [{"l2_leaf_reg": 3.0}, {"reg_lambda": 3.0}, {"leaf_estimation_method": "Newton"}])
def test_a_choice_of_the_callers_stops_those_of_catboost(given: dict[str, Any]) -> None:
    X, y = table(100)
    rates = [
        FocalCatBoostClassifier(gamma=gamma, **QUIET, iterations=4, **given).fit(X, y).get_all_params()["learning_rate"]
        for gamma in (0, 2.0)
    ]
    assert rates[0] == rates[1] == pytest.approx(0.03)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
@pytest.mark.parametrize("weight", [None, 4.0])
def test_metrics_are_recorded_under_the_names_they_were_asked_by(gamma: float, weight: float | None) -> None:
    X, y = table(300)
    for name in ("Logloss", "CrossEntropy", "logloss", "Accuracy:proba_border=0.3", "ZeroOneLoss:proba_border=0.3"):
        model = FocalCatBoostClassifier(gamma=gamma, pos_weight=weight, eval_metric=name, **FAST)
        model.fit(X, y, eval_set=(X, y), use_best_model=False)
        probabilities = model.predict_proba(X)[:, 1]
        right = accuracy_score(y, probabilities > 0.3)
        expected = {"A": right, "Z": 1 - right}.get(name[0], log_loss(y, probabilities))
        assert model.evals_result_["validation"][name][-1] == pytest.approx(expected, rel=1e-6)
        assert model.best_score_["validation"][name] == pytest.approx(
            (max if name[0] == "A" else min)(model.evals_result_["validation"][name])
        )
        if name == "Logloss":
            assert set(model.evals_result_["validation"]) == {"Logloss"}, "and no other record of it"


@pytest.mark.parametrize("name", ["Logloss:use_weights=false", "Accuracy:border=0.3", "Accuracy:proba_border=2"])
def test_options_of_metrics_are_not_dropped(name: str) -> None:
    with pytest.raises(ValueError, match="`eval_metric` takes"):
        FocalCatBoostClassifier(eval_metric=name, **FAST).fit(*table(100))


def test_a_snapshot_of_another_loss_is_refused(tmp_path: Path) -> None:
    X, y = table(200)
    shared = FAST | {"allow_writing_files": True, "train_dir": str(tmp_path), "save_snapshot": True}
    shared |= {"snapshot_file": "half", "snapshot_interval": 0}

    def fit(rounds: int, **loss: Any) -> FocalCatBoostClassifier:
        return FocalCatBoostClassifier(**(shared | {"iterations": rounds} | loss)).fit(X, y)

    half = fit(3, gamma=0.5)
    whole = fit(6, gamma=0.5)
    assert (half.tree_count_, whole.tree_count_) == (3, 6)
    for other in ({"gamma": 4.0}, {"gamma": 0.5, "pos_weight": 3.0}, {"gamma": 0.5, "hessian": "exact"}):
        with pytest.raises(ValueError, match=r"half was made with .*give another `snapshot_file`"):
            fit(9, **other)
    (tmp_path / "half.focal_loss").unlink()
    with pytest.raises(ValueError, match="half was made with a loss that is not written down"):
        fit(9, gamma=0.5)
