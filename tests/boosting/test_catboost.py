"""CatBoost: the objectives are the derivatives of the loss, and the classifier keeps scikit-learn's contract."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import catboost
import numpy as np
import pandas as pd
import pyarrow
import pytest
from made import table
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.utils.estimator_checks import check_estimator

import focal_loss
from focal_loss import calibration
from focal_loss._boosting.objective import BinaryLoss
from focal_loss.catboost import (
    FocalCatBoostClassifier,
    binary_focal_metric,
    binary_focal_objective,
    categorical_focal_metric,
    categorical_focal_objective,
)
from focal_loss.catboost._objectives import objective_of

QUIET = {"verbose": False, "allow_writing_files": False, "thread_count": 1, "random_seed": 1}
FAST = QUIET | {"iterations": 25, "learning_rate": 0.3, "depth": 4}
POLICIES = ("exact", "majorizer", "relative_floor")


def builtin(**parameters: Any) -> catboost.CatBoostClassifier:
    return catboost.CatBoostClassifier(**(FAST | parameters))


def focal(**parameters: Any) -> FocalCatBoostClassifier:
    return FocalCatBoostClassifier(**(FAST | parameters))


def raw(model: catboost.CatBoost, X: Any) -> np.ndarray:
    return model.predict(X, prediction_type="RawFormulaVal")


# ---------------------------------------------------------------------------------------------------------------
# Objectives and metrics
# ---------------------------------------------------------------------------------------------------------------


def whole(objective: Any, scores: np.ndarray, label: float, weight: float = 1.0) -> tuple[list[float], np.ndarray]:
    first, rows = objective.calc_ders_multi(scores, label, weight)
    return first, np.array(list(rows))


@pytest.mark.parametrize("policy", POLICIES)
def test_binary_objective_is_minus_the_derivative_of_the_loss(policy: str) -> None:
    y = table(50)[1].astype(np.float32)
    weight, scores = np.linspace(0, 2, 50), np.linspace(-9, 9, 50)
    pairs = binary_focal_objective(1.5, pos_weight=3.0, hessian=policy).calc_ders_range(scores, y, weight)
    exact = focal_loss.numpy.binary_focal_loss_derivatives(y, scores, 1.5, pos_weight=3.0, hessian=policy)
    np.testing.assert_allclose(pairs[:, 0], -weight * exact.gradient, rtol=1e-5)
    np.testing.assert_allclose(pairs[:, 1], -weight * exact.hessian, rtol=1e-5, atol=1e-9)
    assert pairs.dtype == np.float32  # CatBoost reads other arrays number by number
    metric = binary_focal_metric(1.5, pos_weight=3.0)
    error, total = metric.evaluate([scores], y, weight)
    assert total == pytest.approx(weight.sum())
    assert metric.get_final_error(error, total) == pytest.approx(np.average(exact.value, weights=weight), rel=1e-6)
    assert not metric.is_max_optimal()


@pytest.mark.parametrize("policy", ["exact", "majorizer"])
def test_categorical_objective_is_minus_the_derivative_of_the_loss(policy: str) -> None:
    _, y = table(60, classes=3)
    scores = np.random.default_rng(0).normal(size=(60, 3)) * 4
    objective = categorical_focal_objective([0, 1, 2.5], class_weight=[1, 2, 3], hessian=policy)
    exact = focal_loss.numpy.sparse_categorical_focal_loss_derivatives(
        y, scores, [0, 1, 2.5], class_weight=[1, 2, 3], hessian=policy
    )
    for k in range(60):
        first, second = whole(objective, scores[k], float(y[k]), 0.5)
        np.testing.assert_allclose(first, -0.5 * exact.gradient[k], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(np.diag(second), -0.5 * exact.hessian[k], rtol=1e-9, atol=1e-12)
    metric = categorical_focal_metric([0, 1, 2.5], class_weight=[1, 2, 3])
    found = metric.get_final_error(*metric.evaluate(list(scores.T), y.astype(np.float32), None))
    assert found == pytest.approx(exact.value.mean(), rel=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.7, 2.0, 5.0])
def test_the_whole_hessian_is_the_derivative_of_the_gradient(gamma: float) -> None:
    objective = categorical_focal_objective(gamma, hessian="exact")
    rng = np.random.default_rng(1)
    for scores, label in zip(rng.normal(size=(20, 4)) * 3, rng.integers(0, 4, 20).astype(float), strict=True):
        found = whole(objective, scores, label)[1]
        steps = 1e-5 * np.eye(4)
        sides = [[objective.calc_ders_multi(scores + s * step, label, 1.0)[0] for step in steps] for s in (1, -1)]
        np.testing.assert_allclose(found, np.subtract(*sides) / 2e-5, atol=1e-8)


@pytest.mark.parametrize("policy", ["majorizer", "relative_floor"])
@pytest.mark.parametrize("gamma", [0.5, 2.0, 5.0])
def test_the_whole_hessian_is_positive_and_majorizes(policy: str, gamma: float) -> None:
    rng = np.random.default_rng(1)
    for scores in rng.normal(size=(50, 4)) * 6:
        found, exact = (
            -whole(categorical_focal_objective(gamma, hessian=name), scores, 2.0)[1] for name in (policy, "exact")
        )
        assert np.linalg.eigvalsh(found).min() > -1e-12
        assert np.linalg.eigvalsh(found - exact).min() > -1e-12
        np.testing.assert_allclose(found, found.T, rtol=1e-12)


def test_two_classes_of_the_softmax_are_the_binary_loss() -> None:
    scores = np.linspace(-30, 30, 61)
    for policy in POLICIES:
        pairs = binary_focal_objective(2.0, hessian=policy).calc_ders_range(scores, np.ones(61, np.float32), None)
        objective = categorical_focal_objective(2.0, hessian=policy)
        found = [whole(objective, np.array([0.0, score]), 1.0) for score in scores]
        np.testing.assert_allclose([first[1] for first, _ in found], pairs[:, 0], rtol=1e-6)
        np.testing.assert_allclose([second[1][1] for _, second in found], pairs[:, 1], rtol=1e-6)


def train(X: np.ndarray, y: np.ndarray, loss: Any, **parameters: Any) -> np.ndarray:
    settings = {"eval_metric": "AUC", "bootstrap_type": "No", "leaf_estimation_method": "Newton"}
    return raw(builtin(loss_function=loss, **(settings | parameters)).fit(X, y), X)


@pytest.mark.parametrize("policy", ["exact", "majorizer"])
def test_gamma_0_grows_the_trees_of_the_builtin_objectives(policy: str) -> None:
    X, y = table()
    ours = train(X, y, binary_focal_objective(0, hessian=policy))
    np.testing.assert_allclose(ours, train(X, y, "Logloss"), atol=1e-6)
    X, y = table(1000, classes=3)
    ours = train(X, y, categorical_focal_objective(0, hessian=policy), classes_count=3)
    np.testing.assert_allclose(ours, train(X, y, "MultiClass"), atol=1e-6)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_the_builtin_focal_loss_is_the_exact_policy(gamma: float) -> None:
    X, y = table()
    for alpha in (0.5, 0.75):
        theirs = train(X, y, f"Focal:focal_alpha={alpha};focal_gamma={gamma}")
        ours = train(X, y, objective_of(BinaryLoss(gamma, alpha, 1 - alpha, "exact")))
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_objectives_and_metrics_can_be_pickled_and_are_shown_by_name() -> None:
    X, y = table(500)
    metric = pickle.loads(pickle.dumps(binary_focal_metric(2)))
    objective = pickle.loads(pickle.dumps(binary_focal_objective(2)))
    model = builtin(loss_function=objective, eval_metric=metric).fit(X, y, eval_set=(X, y))
    found = model.evals_result_["validation"]["focal_loss(gamma=2)"]
    loss = focal_loss.numpy.binary_focal_loss(y, raw(model, X), 2.0, from_logits=True).mean()
    assert min(found) == pytest.approx(loss, rel=1e-5)


def test_objectives_complain_of_labels_and_shapes() -> None:
    with pytest.raises(ValueError, match=r"labels in \[0, 1\], got 2"):
        binary_focal_objective(2).calc_ders_range(np.zeros(2), np.array([0.0, 2.0]), None)
    for label in (3.0, -1.0, 0.5, np.nan):
        with pytest.raises(ValueError, match="class indices"):
            categorical_focal_objective(2).calc_ders_multi(np.zeros(3), label, 1.0)
    with pytest.raises(ValueError, match=r"must be a number or have one entry per class \(3\), got shape \(2,\)"):
        categorical_focal_objective(2, class_weight=[1, 2]).calc_ders_multi(np.zeros(3), 0.0, 1.0)
    with pytest.raises(ValueError, match="`gamma` must be a non-negative number, got -1"):
        binary_focal_objective(-1)


# ---------------------------------------------------------------------------------------------------------------
# Classifier
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("weights", [None, {1: 5.0}])
def test_gamma_0_is_the_builtin_classifier(classes: int, weights: Any) -> None:
    X, y = table(classes=classes)
    loss = "Logloss" if classes == 2 else "MultiClass"
    factors = [1.0, 5.0, 1.0][:classes] if weights else None
    ours = focal(gamma=0, class_weight=weights).fit(X, y)
    start = np.tile(ours.start_score_, (len(y), 1))
    theirs = builtin(loss_function=loss, class_weights=factors).fit(X, y, baseline=start)
    np.testing.assert_allclose(raw(ours, X), raw(theirs, X) + ours.start_score_, atol=1e-12)


def test_gamma_0_with_weights_is_the_limit_of_the_objective() -> None:
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, 400)[:, None].astype(float)
    y = (rng.random(400) < 0.2 + 0.4 * X[:, 0]).astype(int)
    once = {"iterations": 1, "depth": 1, "l2_leaf_reg": 1e-9, "bootstrap_type": "No", "pos_weight": 3.0}
    exact, near = (focal(gamma=gamma, **once).fit(X, y) for gamma in (0, 1e-6))
    np.testing.assert_allclose(raw(exact, X), raw(near, X), atol=1e-5)


@pytest.mark.parametrize(("columns", "rounds"), [(1, 10), (1, 200), (20, 10)])
def test_leaves_take_as_many_steps_as_those_of_logloss(columns: int, rounds: int) -> None:
    """CatBoost chooses the steps by the columns and rounds. With other steps gamma 1e-6 would differ from gamma 0."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, (200, columns)).astype(float)
    y = (rng.random(200) < 0.2 + 0.4 * X[:, 0]).astype(int)
    options = {"iterations": rounds, "depth": 1, "leaf_estimation_backtracking": "No", "random_strength": 0.0}
    exact, near = (focal(gamma=g, **options, bootstrap_type="No").fit(X, y) for g in (0, 1e-6))
    np.testing.assert_allclose(raw(exact, X), raw(near, X), atol=1e-4)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_start_score_is_the_best_constant(gamma: float) -> None:
    X, y = table()
    model = focal(gamma=gamma, pos_weight=2.0, iterations=1, learning_rate=1e-6).fit(X, y)
    expected = calibration.prior_logit(y.mean(), gamma, pos_weight=2.0)
    np.testing.assert_allclose(raw(model, X), expected, atol=1e-5)
    np.testing.assert_allclose(model.start_score_, expected)
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], y.mean(), atol=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_start_scores_of_classes_give_their_shares(gamma: float) -> None:
    X, y = table(300, classes=3)
    model = focal(gamma=gamma, class_weight={1: 4.0}, iterations=1, learning_rate=1e-6).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X[:1])[0], np.bincount(y) / len(y), atol=1e-5)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("options", [{}, {"class_weight": "balanced"}, {"hessian": "exact"}, {"gamma": 5.0}])
def test_probabilities_are_as_good_as_those_of_cross_entropy(classes: int, options: dict[str, Any]) -> None:
    X, y = table(6000 if classes == 2 else 3000, classes)
    train, test = slice(0, len(y) // 2), slice(len(y) // 2, None)
    plain = log_loss(y[test], builtin().fit(X[train], y[train]).predict_proba(X[test]))
    model = focal(**options).fit(X[train], y[train])
    probabilities = model.predict_proba(X[test])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(model.predict(X[test]), probabilities.argmax(axis=1))
    np.testing.assert_allclose(model.predict_log_proba(X[test]), np.log(probabilities))
    assert log_loss(y[test], probabilities) < 1.05 * plain
    uncalibrated = model.set_params(calibrated=False).predict_proba(X[test])
    assert log_loss(y[test], uncalibrated) > 1.1 * plain, "without the map these are no probabilities"


def test_weights_move_the_scores_and_not_the_probabilities() -> None:
    X, y = table(6000)
    plain, weighted = focal().fit(X, y), focal(pos_weight=9.0).fit(X, y)
    assert raw(weighted, X).mean() > raw(plain, X).mean() + 0.5
    np.testing.assert_allclose(weighted.predict_proba(X).mean(axis=0), plain.predict_proba(X).mean(axis=0), atol=0.02)


def test_sample_weight_is_repetition() -> None:
    X, y = table(1500)
    count = np.random.default_rng(2).integers(1, 4, len(y))
    options = {"bootstrap_type": "No", "random_strength": 0.0, "l2_leaf_reg": 1e-6}
    weighted = focal(**options).fit(X, y, sample_weight=count)
    repeated = focal(**options).fit(np.repeat(X, count, axis=0), np.repeat(y, count))
    np.testing.assert_allclose(weighted.start_score_, repeated.start_score_)
    found, expected = (model.predict_proba(X)[:, 1] for model in (weighted, repeated))
    plain = focal(**options).fit(X, y).predict_proba(X)[:, 1]
    assert np.corrcoef(found, expected)[0, 1] > np.corrcoef(plain, expected)[0, 1]  # the borders of the columns differ


@pytest.mark.parametrize("gamma", [0.0, 2.0])
@pytest.mark.parametrize("name", ["focal_loss", "Logloss", "Accuracy", "ZeroOneLoss", "AUC", "function", None])
def test_metrics_and_early_stopping_see_probabilities(name: str | None, gamma: float) -> None:
    X, y = table(4000)
    train, test = slice(0, 2000), slice(2000, None)
    shown = name or "focal_loss"

    def function(labels: np.ndarray, probabilities: np.ndarray) -> tuple[str, float, bool]:
        return "function", roc_auc_score(labels, probabilities), True

    model = focal(gamma=gamma, iterations=300, pos_weight=2.0, eval_metric=function if name == "function" else name)
    model.fit(X[train], y[train], eval_set=(X[test], y[test]), early_stopping_rounds=5)
    history = model.evals_result_["validation"][shown]
    more_is_better = name in ("Accuracy", "AUC", "function")
    assert model.best_iteration_ == (np.argmax(history) if more_is_better else np.argmin(history))
    assert len(history) == model.tree_count_ + 5 < 250
    probabilities, scores = model.predict_proba(X[test]), raw(model, X[test])
    wrong = np.mean(model.predict(X[test]) != y[test])
    expected = {
        "focal_loss": focal_loss.numpy.binary_focal_loss(
            y[test], scores, gamma, pos_weight=2.0, from_logits=True
        ).mean(),
        "Logloss": log_loss(y[test], probabilities),
        "ZeroOneLoss": wrong,
        "Accuracy": 1 - wrong,
        "AUC": roc_auc_score(y[test], scores),
        "function": roc_auc_score(y[test], scores),
    }
    assert history[model.best_iteration_] == pytest.approx(expected[shown], rel=1e-5)


def test_metrics_of_classes_see_probabilities() -> None:
    X, y = table(600, classes=3)
    for metric in ("MultiClass", "focal_loss"):
        model = focal(iterations=5, eval_metric=metric, class_weight={2: 3.0}).fit(X, y, eval_set=(X, y))
        loss = focal_loss.numpy.sparse_categorical_focal_loss(
            y, raw(model, X), 2.0, class_weight=[1, 1, 3], from_logits=True
        )
        expected = {"MultiClass": log_loss(y, model.predict_proba(X)), "focal_loss": loss.mean()}[metric]
        assert model.evals_result_["validation"][metric][model.best_iteration_] == pytest.approx(expected, rel=1e-5)


def test_an_object_of_catboosts_own_form_sees_scores() -> None:
    X, y = table()
    model = focal(eval_metric=binary_focal_metric(1.0)).fit(X, y, eval_set=[(X, y), (X[:100], y[:100])])
    found = model.evals_result_["validation_1"]["focal_loss(gamma=1)"][model.best_iteration_]
    loss = focal_loss.numpy.binary_focal_loss(y[:100], raw(model, X[:100]), 1.0, from_logits=True).mean()
    assert found == pytest.approx(loss, rel=1e-5)


def test_categories_missing_values_pandas_and_arrow() -> None:
    X, y = table(2000)
    frame = pd.DataFrame(X, columns=list("abcde"))
    frame.loc[::7, "a"] = np.nan
    frame["kind"] = np.where(y == 1, "x", np.where(X[:, 3] > 0, "y", "z"))
    names = pd.Series(np.where(y == 1, "ill", "well"))
    model = focal().fit(frame, names, cat_features=["kind"])
    assert model.classes_.tolist() == ["ill", "well"]
    assert (model.predict(frame) == names).mean() > 0.99, "the category tells"
    assert model.score(frame, names) > 0.99
    arrow = pyarrow.Table.from_pandas(frame)
    from_arrow = focal(cat_features=["kind"]).fit(arrow, pyarrow.array(names), eval_set=(arrow, pyarrow.array(names)))
    np.testing.assert_array_equal(from_arrow.predict_proba(arrow), model.predict_proba(frame))


LABELS = [["no", "yes"], [False, True], [-1, 1], [1.0, 2.0], ["10", "9"], [3, 7, 20], ["a", "b", "c"]]


@pytest.mark.parametrize("labels", LABELS, ids=str)
def test_labels_of_any_kind(labels: list[Any]) -> None:
    X, y = table(400, classes=len(labels))
    plain = focal(iterations=5).fit(X, y)
    named = np.array(labels)[y]
    text = [named.astype(object), pd.Series(named, dtype="category")] if isinstance(labels[0], str) else []
    for given in (named, named.tolist(), pd.Series(named), *text):
        model = focal(iterations=5).fit(X, given, eval_set=(X, given))
        assert model.classes_.tolist() == labels
        np.testing.assert_array_equal(model.predict(X), np.array(labels)[plain.predict(X)])
        assert model.score(X, given) == plain.score(X, y)


def test_pools_are_used_and_left_as_they_were() -> None:
    X, y = table(1000)
    names, weight = np.array(["no", "yes"])[y], np.linspace(1, 2, len(y))
    pool, test = catboost.Pool(X, names, weight=weight), catboost.Pool(X[:500], names[:500])
    from_pool = focal().fit(pool, eval_set=test)
    expected = focal().fit(X, names, sample_weight=weight, eval_set=(X[:500], names[:500]))
    np.testing.assert_allclose(from_pool.predict_proba(pool), expected.predict_proba(X), rtol=1e-6)
    assert from_pool.classes_.tolist() == ["no", "yes"]
    for used in (pool, test):
        assert np.size(used.get_baseline()) == 0


def test_part_of_the_examples_can_be_set_aside() -> None:
    X, y = table()
    model = focal(eval_fraction=0.3).fit(X, y, early_stopping_rounds=3)
    assert "focal_loss" in model.evals_result_["validation"]
    assert log_loss(y, model.predict_proba(X)) < log_loss(y, np.full(len(y), y.mean()))


@pytest.mark.parametrize("classes", [2, 3])
def test_every_stage_has_the_start_score(classes: int) -> None:
    X, y = table(600, classes)
    model = focal(iterations=4).fit(X, y)
    stages = list(model.staged_predict_proba(X))
    assert len(stages) == 4
    np.testing.assert_allclose(stages[-1], model.predict_proba(X))
    np.testing.assert_allclose(stages[0], model.predict_proba(X, ntree_end=1))
    for proba, found in zip(stages, model.staged_predict(X), strict=True):
        np.testing.assert_array_equal(found, proba.argmax(axis=1))
    scores = list(model.staged_predict(X, prediction_type="RawFormulaVal"))
    np.testing.assert_allclose(scores[-1], raw(model, X))


@pytest.mark.parametrize("classes", [2, 3])
def test_a_single_example(classes: int) -> None:
    X, y = table(600, classes)
    model = focal(iterations=4).fit(X, np.array(["a", "b", "c"])[y])
    np.testing.assert_allclose(model.predict_proba(X[0]), model.predict_proba(X)[0])
    assert model.predict(X[0]) == model.predict(X)[0]


def test_the_threshold_of_catboost_decides() -> None:
    X, y = table()
    model = focal().fit(X, y)
    model.set_probability_threshold(0.2)
    np.testing.assert_array_equal(model.predict(X), model.predict_proba(X)[:, 1] > 0.2)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_saved_model_is_the_same_model(classes: int, tmp_path: Path) -> None:
    X, y = table(800, classes)
    names = np.array(["low", "high", "none"])[y]
    model = focal(gamma=1.5, class_weight={"high": 3.0}).fit(X, names)
    expected = model.predict_proba(X)
    model.save_model(tmp_path / "m.cbm")
    loaded = FocalCatBoostClassifier().load_model(tmp_path / "m.cbm")
    blob = FocalCatBoostClassifier().load_model(blob=(tmp_path / "m.cbm").read_bytes())
    for other in (pickle.loads(pickle.dumps(model)), model.copy(), loaded, blob):
        np.testing.assert_array_equal(other.predict_proba(X), expected)
        np.testing.assert_array_equal(other.predict(X), model.predict(X))
        np.testing.assert_array_equal(other.start_score_, model.start_score_)
        assert other.classes_.tolist() == model.classes_.tolist()
    assert loaded.gamma == 1.5
    assert loaded.class_weight["high"] == 3.0
    np.testing.assert_array_equal(raw(catboost.CatBoost().load_model(tmp_path / "m.cbm"), X), raw(model, X))
    again = clone(loaded).fit(X, names)
    np.testing.assert_allclose(again.predict_proba(X), expected, atol=1e-6)
    builtin().fit(X, y).save_model(tmp_path / "theirs.cbm")
    with pytest.raises(ValueError, match="holds no focal loss"):
        FocalCatBoostClassifier().load_model(tmp_path / "theirs.cbm")


@pytest.mark.parametrize("classes", [2, 3])
def test_training_goes_on_from_a_model(classes: int, tmp_path: Path) -> None:
    X, y = table(600, classes)
    fixed = {"bootstrap_type": "No", "random_strength": 0.0}
    half = focal(iterations=5, **fixed).fit(X, y)
    half.save_model(tmp_path / "half.cbm")
    whole = focal(iterations=10, **fixed).fit(X, y)
    # CatBoost does not continue from a file with three classes and any objective in Python.
    for first in (half, tmp_path / "half.cbm")[: 4 - classes]:
        both = focal(iterations=5, **fixed).fit(X, y, init_model=first)
        np.testing.assert_allclose(both.predict_proba(X), whole.predict_proba(X), atol=1e-5)
        np.testing.assert_array_equal(both.start_score_, whole.start_score_)


def test_a_baseline_of_the_callers_is_no_part_of_the_model() -> None:
    X, y = table()
    model = focal().fit(X, y, baseline=np.full(len(y), -1.0))
    assert model.start_score_ == 0
    pooled = focal().fit(catboost.Pool(X, y, baseline=np.full(len(y), -1.0)))
    np.testing.assert_array_equal(raw(model, X), raw(pooled, X))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("classes", [2, 3])
def test_no_run_diverges(policy: str, classes: int) -> None:
    X, y = table(2000 if classes == 2 else 500, classes)
    harsh = {"l2_leaf_reg": 0, "depth": 8, "learning_rate": 1.0, "iterations": 60 if classes == 2 else 20}
    scores = raw(focal(gamma=5.0, hessian=policy, **harsh).fit(X, y), X)
    assert np.abs(scores).max() < 60


def test_parameters_and_clones() -> None:
    model = focal(gamma=3.0, hessian="exact", calibrated=False, class_weight={1: 2.0}, cat_features=[])
    copy = clone(model)
    assert type(copy) is FocalCatBoostClassifier
    assert copy.get_params() == model.get_params()
    assert copy.get_params() == FAST | {
        "gamma": 3.0, "pos_weight": None, "class_weight": {1: 2.0}, "hessian": "exact", "calibrated": False,
        "cat_features": [],
    }  # fmt: skip
    assert "gamma=3.0" in repr(model)
    X, y = table(500)
    before = model.get_params()
    model.fit(X, y)
    assert model.get_params() == before


def test_checks_of_scikit_learn_fail_only_where_they_fail_for_catboost() -> None:
    failed = []
    for model in (builtin(iterations=20), focal(iterations=20)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = check_estimator(model, on_fail=None, on_skip=None)
        failed.append({result["check_name"] for result in results if result["status"] == "failed"})
        assert len(results) > 50
    # The check expects weights of 1000 : 0.0001 to decide every prediction, but calibration undoes them.
    assert failed[1] - failed[0] == {"check_class_weight_classifiers"}
    assert len(failed[1]) < len(failed[0])


# ---------------------------------------------------------------------------------------------------------------
# Bad input
# ---------------------------------------------------------------------------------------------------------------

X, Y = table(100)
BAD = [
    ({"gamma": -1}, {}, ValueError, "`gamma` must be a non-negative number, got -1"),
    ({"gamma": "2"}, {}, TypeError, "`gamma` must be a non-negative number"),
    ({"gamma": [1.0, 2.0]}, {}, TypeError, "`gamma` must be one non-negative number"),
    ({"pos_weight": 0}, {}, ValueError, "`pos_weight` must be a positive number, got 0"),
    ({"class_weight": {7: 2.0}}, {}, ValueError, "`class_weight` names 7, but the classes are"),
    ({"class_weight": {1: -2.0}}, {}, ValueError, "`class_weight` must hold positive numbers"),
    ({"hessian": "floor"}, {}, ValueError, "`hessian` must be one of"),
    ({"calibrated": "yes"}, {}, TypeError, "`calibrated` must be True, False or 'cv'"),
    ({"loss_function": "Logloss"}, {}, ValueError, "`loss_function` must be left alone"),
    ({"objective": "RMSE"}, {}, ValueError, "`objective` must be left alone"),
    ({"scale_pos_weight": 3}, {}, ValueError, "give `pos_weight`"),
    ({"class_weights": [1, 2]}, {}, ValueError, "give `class_weight`"),
    ({"auto_class_weights": "Balanced"}, {}, ValueError, "give `class_weight`, a dict or 'balanced'"),
    ({"class_names": [0, 1]}, {}, ValueError, "the classes are found in the labels"),
    ({"boost_from_average": True}, {}, ValueError, "training starts at the best constant score"),
    ({"custom_metric": ["AUC", "Logloss"]}, {}, ValueError, "got 'Logloss'; `eval_metric` takes more"),
    ({"eval_metric": "RMSE"}, {}, ValueError, "`eval_metric` must be one of 'focal_loss'"),
    ({"eval_metric": ["AUC"]}, {}, TypeError, "`eval_metric` must be one name"),
    ({}, {"y": np.zeros(100)}, ValueError, r"at least two classes, got one class: \[0.0\]"),
    ({}, {"y": np.where(Y, np.nan, 0.0)}, ValueError, "Input y contains NaN"),
    ({}, {"y": Y[:50]}, ValueError, "inconsistent numbers of samples"),
    ({}, {"y": Y + 2**30}, ValueError, "read as float32, which cannot tell"),
    ({}, {"sample_weight": -np.ones(100)}, ValueError, "`sample_weight` must hold one non-negative number"),
    ({}, {"sample_weight": np.ones(3)}, ValueError, "`sample_weight` must have the shape"),
    ({}, {"sample_weight": 1.0 - Y}, ValueError, "`sample_weight` is zero for every example of class 1"),
]


@pytest.mark.parametrize(("parameters", "arguments", "error", "message"), BAD, ids=[str(b[3])[:40] for b in BAD])
def test_bad_input_is_refused_before_training(
    parameters: dict[str, Any], arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    model = focal(**parameters)
    with pytest.raises(error, match=message):
        model.fit(X, **({"y": Y} | arguments))
    assert not model.is_fitted()


def test_bad_labels_of_a_pool_are_refused() -> None:
    with pytest.raises(ValueError, match="at least two classes"):
        focal().fit(catboost.Pool(X, np.zeros(100)))


def test_weight_of_the_positives_needs_two_classes() -> None:
    with pytest.raises(ValueError, match="`pos_weight` is for two classes, got 3"):
        focal(pos_weight=2.0).fit(*table(500, classes=3))


def test_an_unfitted_model_says_so() -> None:
    for use in (lambda m: m.predict(X), lambda m: m.predict_proba(X), lambda m: next(m.staged_predict_proba(X))):
        with pytest.raises(NotFittedError, match="call `fit` first"):
            use(focal())


def test_searches_of_catboost_are_refused() -> None:
    for search in (focal().grid_search, focal().randomized_search, focal().select_features):
        with pytest.raises(NotImplementedError, match="use that of scikit-learn"):
            search({"depth": [2]}, X, Y)
