"""LightGBM: the objectives are the derivatives of the loss, and the classifier keeps scikit-learn's contract."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pyarrow
import pytest
from made import table
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import check_estimator

import focal_loss
from focal_loss import calibration
from focal_loss.lightgbm import (
    FocalLGBMClassifier,
    binary_focal_metric,
    binary_focal_objective,
    categorical_focal_metric,
    categorical_focal_objective,
)

FAST = {"n_estimators": 25, "verbosity": -1, "n_jobs": 1}


def builtin(**parameters: Any) -> lightgbm.LGBMClassifier:
    return lightgbm.LGBMClassifier(**(FAST | parameters))


def focal(**parameters: Any) -> FocalLGBMClassifier:
    return FocalLGBMClassifier(**(FAST | parameters))


# ---------------------------------------------------------------------------------------------------------------
# Objectives and metrics
# ---------------------------------------------------------------------------------------------------------------


def test_binary_objective_is_the_derivative_of_the_loss() -> None:
    X, y = table(50)
    weight, scores = np.linspace(0, 2, 50), np.linspace(-9, 9, 50)
    data = lightgbm.Dataset(X, y, weight=weight).construct()
    for policy in ("exact", "majorizer", "relative_floor"):
        gradient, hessian = binary_focal_objective(1.5, pos_weight=3.0, hessian=policy)(scores, data)
        exact = focal_loss.numpy.binary_focal_loss_derivatives(y, scores, 1.5, pos_weight=3.0, hessian=policy)
        assert gradient.dtype == hessian.dtype == np.float32
        np.testing.assert_allclose(gradient, weight * exact.gradient, rtol=1e-5)
        np.testing.assert_allclose(hessian, weight * exact.hessian, rtol=1e-5, atol=1e-9)
    name, value, higher_is_better = binary_focal_metric(1.5, pos_weight=3.0)(scores, data)
    assert (name, higher_is_better) == ("focal_loss(gamma=1.5,pos_weight=3)", False)
    np.testing.assert_allclose(value, np.average(exact.value, weights=weight), rtol=1e-6)


def test_categorical_objective_is_the_derivative_of_the_loss() -> None:
    X, y = table(60, classes=3)
    weight, scores = np.linspace(0, 2, 60), np.asfortranarray(np.random.default_rng(0).normal(size=(60, 3)) * 4)
    data = lightgbm.Dataset(X, y, weight=weight).construct()
    gradient, hessian = categorical_focal_objective([0, 1, 2], class_weight=[1, 2, 3])(scores, data)
    exact = focal_loss.numpy.sparse_categorical_focal_loss_derivatives(
        y, scores, [0, 1, 2], class_weight=[1, 2, 3], hessian="majorizer"
    )
    np.testing.assert_allclose(gradient, weight[:, None] * exact.gradient, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(hessian, 1.5 * weight[:, None] * exact.hessian, rtol=1e-4, atol=1e-9)
    _, value, _ = categorical_focal_metric([0, 1, 2], class_weight=[1, 2, 3])(scores, data)
    np.testing.assert_allclose(value, np.average(exact.value, weights=weight), rtol=1e-6)
    for result in (gradient, hessian):  # LightGBM flattens by column, without a copy
        assert np.shares_memory(result, result.ravel(order="F"))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_gamma_0_grows_the_trees_of_the_builtin_objective(classes: int, weighted: bool) -> None:
    X, y = table(classes=classes)
    weight = np.random.default_rng(1).uniform(0.5, 2, len(y)) if weighted else None
    theirs = builtin().fit(X, y, sample_weight=weight).predict_proba(X)
    ours = focal(gamma=0).fit(X, y, sample_weight=weight).predict_proba(X)
    np.testing.assert_allclose(ours, theirs, atol=2e-6)


# ---------------------------------------------------------------------------------------------------------------
# Classifier
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_start_score_is_the_best_constant(gamma: float) -> None:
    X, y = table()
    model = focal(gamma=gamma, pos_weight=2.0, min_split_gain=1e9).fit(X, y)
    assert model.booster_.num_trees() == 1
    expected = calibration.prior_logit(y.mean(), gamma, pos_weight=2.0)
    np.testing.assert_allclose(model.predict(X, raw_score=True), expected, rtol=1e-6)
    np.testing.assert_allclose(model.start_score_, expected)
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], y.mean(), rtol=1e-6)


def test_start_scores_of_classes_give_their_shares() -> None:
    X, y = table(classes=3)
    model = focal(class_weight={1: 4.0}, min_split_gain=1e9).fit(X, y)
    prior = np.bincount(y) / len(y)
    np.testing.assert_allclose(model.predict_proba(X[:1])[0], prior, rtol=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("options", [{}, {"class_weight": "balanced"}, {"hessian": "exact"}, {"gamma": 5.0}])
def test_probabilities_are_as_good_as_those_of_cross_entropy(classes: int, options: dict[str, Any]) -> None:
    X, y = table(6000, classes)
    train, test = slice(0, 4000), slice(4000, None)
    plain = log_loss(y[test], builtin(learning_rate=0.05).fit(X[train], y[train]).predict_proba(X[test]))
    model = focal(learning_rate=0.05, **options).fit(X[train], y[train])
    probabilities = model.predict_proba(X[test])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(model.predict(X[test]), probabilities.argmax(axis=1))
    assert log_loss(y[test], probabilities) < 1.05 * plain
    raw = model.set_params(calibrated=False).predict_proba(X[test])
    assert log_loss(y[test], raw) > 1.1 * plain, "without the map these are no probabilities"


def test_weights_move_the_scores_and_not_the_probabilities() -> None:
    X, y = table(6000)
    plain, weighted = focal().fit(X, y), focal(pos_weight=9.0).fit(X, y)
    assert weighted.predict(X, raw_score=True).mean() > plain.predict(X, raw_score=True).mean() + 0.5
    np.testing.assert_allclose(weighted.predict_proba(X).mean(axis=0), plain.predict_proba(X).mean(axis=0), atol=0.02)


def test_sample_weight_is_repetition() -> None:
    X, y = table(1500)
    count = np.random.default_rng(2).integers(1, 4, len(y))
    options = {"num_leaves": 4, "min_child_samples": 1, "max_bin": 2000, "min_data_in_bin": 1}  # a bin for every value
    weighted = focal(**options).fit(X, y, sample_weight=count)
    repeated = focal(**options).fit(np.repeat(X, count, axis=0), np.repeat(y, count))
    assert weighted.start_score_ == pytest.approx(repeated.start_score_)
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), atol=1e-7)
    assert np.abs(focal(**options).fit(X, y).predict_proba(X) - repeated.predict_proba(X)).max() > 0.01


def test_early_stopping_and_metrics_see_probabilities() -> None:
    X, y = table(4000)
    train, test = slice(0, 2000), slice(2000, None)
    seen = []

    def mean_of(labels: np.ndarray, probabilities: np.ndarray) -> tuple[str, float, bool]:
        seen.append(probabilities)
        return "mean", float(probabilities.mean()), False

    model = focal(n_estimators=300, learning_rate=0.3, pos_weight=2.0)
    model.fit(
        X[train],
        y[train],
        eval_set=[(X[train], y[train]), (X[test], y[test])],
        eval_metric=["binary_logloss", "auc", "binary_error", mean_of],
        callbacks=[lightgbm.early_stopping(5, verbose=False)],
    )
    found = model.evals_result_["valid_1"]
    best = model.best_iteration_ - 1
    assert 0 <= best < 250
    assert list(found) == ["binary_logloss", "auc", "binary_error", "mean", "focal_loss"], "in the order asked for"
    probabilities = model.predict_proba(X[test])
    assert found["binary_logloss"][best] == pytest.approx(log_loss(y[test], probabilities))
    # LightGBM ranks the scores, of which two that differ may be one probability.
    scores = model.predict(X[test], raw_score=True)
    assert found["auc"][best] == pytest.approx(roc_auc_score(y[test], scores))
    assert found["binary_error"][best] == pytest.approx(np.mean(model.predict(X[test]) != y[test]))
    loss = focal_loss.numpy.binary_focal_loss(y[test], scores, 2.0, pos_weight=2.0, from_logits=True)
    assert found["focal_loss"][best] == pytest.approx(loss.mean(), rel=1e-5)
    assert seen[0].shape == (2000,)
    assert seen[0].min() >= 0
    assert seen[0].max() <= 1


def test_the_first_metric_stops_training() -> None:
    """The first requested metric decides, as in LightGBM's own classifier, though LightGBM computes the area first."""
    X, y = table(4000)
    train, test = slice(0, 2000), slice(2000, None)
    stop = lightgbm.early_stopping(5, first_metric_only=True, verbose=False)
    model = focal(n_estimators=300, learning_rate=0.3)
    model.fit(X[train], y[train], eval_set=[(X[test], y[test])], eval_metric=["logloss", "auc"], callbacks=[stop])
    found = model.evals_result_["valid_0"]
    assert model.best_iteration_ == 1 + int(np.argmin(found["binary_logloss"]))
    assert model.best_iteration_ != 1 + int(np.argmax(found["auc"]))


def test_metrics_of_the_constructor_and_of_many_classes() -> None:
    X, y = table(classes=3)
    known = list(focal(metric="auc_mu,multi_error").fit(X, y, eval_X=X, eval_y=y).evals_result_["training"])
    assert known == ["auc_mu", "multi_error"]
    assert focal(metric="None").fit(X, y, eval_X=X, eval_y=y).evals_result_ == {}
    with pytest.raises(ValueError, match="must have 'auc_mu' first"):
        focal().fit(X, y, eval_X=X, eval_y=y, eval_metric=["logloss", "auc_mu"])


def test_metrics_with_weights_of_zero_and_four_arguments() -> None:
    X, y = table(500)

    def grouped(labels: Any, probabilities: Any, weight: Any, group: Any) -> tuple[str, float, bool]:
        assert group is None
        return "total", float(np.sum(weight)), True

    model = focal().fit(X, y, eval_set=[(X[:50], y[:50])], eval_sample_weight=[np.zeros(50)], eval_metric=grouped)
    found = model.evals_result_["valid_0"]
    assert found["total"][0] == 0
    assert np.isnan(found["focal_loss"][0])


def test_evaluation_sets_in_either_form() -> None:
    X, y = table(classes=3)
    pairs = focal().fit(X, y, eval_set=[(X, y)], eval_sample_weight=[np.ones(len(y))])
    apart = focal().fit(X, y, eval_X=X, eval_y=y)
    assert pairs.evals_result_["training"] == apart.evals_result_["training"]
    last = focal_loss.numpy.sparse_categorical_focal_loss(y, apart.predict(X, raw_score=True), 2.0, from_logits=True)
    assert apart.evals_result_["training"]["focal_loss"][-1] == pytest.approx(last.mean(), rel=1e-5)
    with pytest.raises(ValueError, match="`eval_X` and `eval_y`"):
        focal().fit(X, y, eval_X=X)
    with pytest.raises(ValueError, match="`eval_init_score` must come with an `init_score`"):
        focal().fit(X, y, eval_X=X, eval_y=y, eval_init_score=[np.zeros((len(y), 3))])


def test_categories_missing_values_pandas_and_arrow() -> None:
    X, y = table(2000)
    frame = pd.DataFrame(X, columns=list("abcde"))
    frame.loc[::7, "a"] = np.nan
    frame["kind"] = pd.Categorical(np.where(y == 1, "x", np.where(X[:, 3] > 0, "y", "z")))
    names = pd.Series(np.where(y == 1, "ill", "well"))
    model = focal().fit(frame, names)
    assert model.classes_.tolist() == ["ill", "well"]
    assert (model.predict(frame) == names).mean() > 0.99, "the category tells"
    numbers = frame.drop(columns="kind")
    from_arrow = focal().fit(pyarrow.Table.from_pandas(numbers), names)
    from_pandas = focal().fit(numbers, names)
    np.testing.assert_array_equal(
        from_arrow.predict_proba(pyarrow.Table.from_pandas(numbers)), from_pandas.predict_proba(numbers)
    )


@pytest.mark.parametrize("classes", [2, 3])
def test_a_saved_model_is_the_same_model(classes: int, tmp_path: Path) -> None:
    X, y = table(classes=classes)
    names = np.array(["low", "high", "none"])[y]
    model = focal(gamma=1.5, class_weight={"high": 3.0}).fit(X, names)
    expected = model.predict_proba(X)
    loaded = FocalLGBMClassifier().load_model(model.save_model(tmp_path / "m.txt") and tmp_path / "m.txt")
    text = FocalLGBMClassifier().load_model(model_str=(tmp_path / "m.txt").read_text())
    for other in (pickle.loads(pickle.dumps(model)), loaded, text):
        np.testing.assert_array_equal(other.predict_proba(X), expected)
        np.testing.assert_array_equal(other.predict(X), model.predict(X))
        assert other.classes_.tolist() == model.classes_.tolist()
    assert loaded.gamma == 1.5
    assert loaded.class_weight["high"] == 3.0
    assert clone(loaded).get_params() == loaded.get_params()
    np.testing.assert_array_equal(loaded.start_score_, model.start_score_)
    raw = lightgbm.Booster(model_file=tmp_path / "m.txt").predict(X, raw_score=True)
    np.testing.assert_array_equal(raw, model.predict(X, raw_score=True))
    builtin().fit(X, y).booster_.save_model(tmp_path / "theirs.txt")
    with pytest.raises(ValueError, match="holds no focal loss"):
        FocalLGBMClassifier().load_model(tmp_path / "theirs.txt")
    for given in ({}, {"path": tmp_path / "m.txt", "model_str": "tree"}):
        with pytest.raises(TypeError, match="give `path` or `model_str`"):
            FocalLGBMClassifier().load_model(**given)


def test_training_goes_on_from_a_model() -> None:
    X, y = table()
    half = focal(n_estimators=10).fit(X, y)
    both = focal(n_estimators=10).fit(X, y, init_model=half)
    whole = focal(n_estimators=20).fit(X, y)
    np.testing.assert_allclose(both.predict_proba(X), whole.predict_proba(X), atol=1e-5)


def test_a_start_score_of_the_callers_is_no_part_of_the_model() -> None:
    X, y = table()
    model = focal().fit(X, y, init_score=np.full(len(y), -1.0))
    again = focal(min_split_gain=1e9).fit(X, y, init_score=np.full(len(y), -1.0))
    assert model.start_score_ == 0
    np.testing.assert_array_equal(again.predict(X, raw_score=True), 0)


HARSH = {"reg_lambda": 0, "max_depth": 8, "num_leaves": 255, "learning_rate": 1.0, "n_estimators": 100}


@pytest.mark.parametrize("policy", ["majorizer", "relative_floor"])
@pytest.mark.parametrize("load", [load_breast_cancer, load_wine, load_digits])
def test_no_run_diverges(policy: str, load: Any) -> None:
    X, y = load(return_X_y=True)
    scores = focal(gamma=5.0, hessian=policy, **HARSH).fit(X, y).predict(X, raw_score=True)
    assert np.abs(scores).max() < 60


def test_the_exact_hessian_may_diverge() -> None:
    """With ten classes the sum of exact Hessians over a leaf may be near 0, so `exact` is not the default."""
    X, y = load_digits(return_X_y=True)
    scores = focal(gamma=5.0, hessian="exact", **HARSH).fit(X, y).predict(X, raw_score=True)
    assert np.abs(scores).max() > 1000


def test_parameters_and_clones() -> None:
    model = focal(gamma=3.0, pos_weight=2.0, hessian="exact", calibrated=False, num_leaves=7)
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert copy.get_params()["num_leaves"] == 7
    X, y = table(500)
    before = {**model.get_params()}
    model.set_params(class_weight="balanced").fit(X, y)
    assert model.get_params() == before | {"class_weight": "balanced"}
    given = focal(**(before | {"class_weight": "balanced"})).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), given.predict_proba(X))
    search = GridSearchCV(focal(), {"class_weight": ["balanced"]}, cv=2).fit(X, y)
    np.testing.assert_array_equal(search.predict_proba(X), focal(class_weight="balanced").fit(X, y).predict_proba(X))


def test_a_failed_fit_leaves_the_model_as_it_was() -> None:
    X, y = table(500)
    model = focal().fit(X, y)
    before = model.predict_proba(X)

    def interrupt(env: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.set_params(gamma=0.0).fit(X, y, callbacks=[interrupt])
    np.testing.assert_array_equal(model.predict_proba(X), before)


def test_predictions_take_what_lightgbm_takes() -> None:
    X, y = table(500)
    model = focal().fit(X, y)
    few = model.predict_proba(X, False, 0, 5)
    np.testing.assert_array_equal(few, model.predict_proba(X, num_iteration=5))
    assert np.abs(few - model.predict_proba(X)).max() > 0.01
    np.testing.assert_array_equal(model.predict(X, False, 0, 5), few.argmax(axis=1))
    contributions = model.predict(X, pred_contrib=True)
    np.testing.assert_allclose(contributions.sum(axis=1), model.predict(X, raw_score=True), rtol=1e-9)
    assert model.predict(X, pred_leaf=True).shape == (500, 25)


@pytest.mark.parametrize("calibrated", [True, False])
def test_checks_of_scikit_learn(calibrated: bool) -> None:
    """All checks pass except that class weights must change the predictions, because the posterior undoes the
    weights.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LightGBM warns of formats that it converts
        # LightGBM's own threads would cost minutes on tables of thirty rows.
        model = FocalLGBMClassifier(n_jobs=1, n_estimators=20, calibrated=calibrated)
        results = check_estimator(model, on_fail=None, on_skip=None)
    failed = [r["check_name"] for r in results if r["status"] == "failed"]
    assert failed == (["check_class_weight_classifiers"] if calibrated else [])
    assert len(results) > 50


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
    ({"objective": "binary"}, {}, ValueError, "`objective` must be left alone"),
    ({"scale_pos_weight": 3}, {}, ValueError, "give `pos_weight`"),
    ({"alpha": 0.25}, {}, ValueError, r"for that of focal loss give `pos_weight=alpha / \(1 - alpha\)`"),
    ({"is_unbalance": True}, {}, ValueError, "give `class_weight='balanced'`"),
    ({"linear_tree": True}, {}, ValueError, "`linear_tree` must be left alone"),
    ({"linear_trees": True}, {}, ValueError, "`linear_trees` must be left alone"),
    ({"unbalance": True}, {}, ValueError, "give `class_weight='balanced'`"),
    ({"app": "binary"}, {}, ValueError, "`app` must be left alone"),
    ({"num_class": 2}, {}, ValueError, "the classes are found in the labels"),
    ({"boosting_type": "rf"}, {}, ValueError, "`boosting_type` must not be 'rf'"),
    ({}, {"y": np.zeros(100)}, ValueError, r"at least two classes, got one class: \[0.0\]"),
    ({}, {"y": np.where(Y, np.nan, 0.0)}, ValueError, "Input y contains NaN"),
    ({}, {"sample_weight": -np.ones(100)}, ValueError, "`sample_weight` must hold one non-negative number"),
    ({}, {"sample_weight": np.ones(3)}, ValueError, r"`sample_weight` must have the shape \(100,\), got \(3,\)"),
    ({}, {"sample_weight": 1.0 - Y}, ValueError, "`sample_weight` is zero for every example of class 1"),
    ({}, {"eval_metric": "rmse", "eval_set": [(X, Y)]}, ValueError, "`eval_metric` must be one of 'focal_loss'"),
]


@pytest.mark.parametrize(("parameters", "arguments", "error", "message"), BAD, ids=[str(b[3])[:40] for b in BAD])
def test_bad_input_is_refused_before_training(
    parameters: dict[str, Any], arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        focal(**parameters).fit(X, **({"y": Y} | arguments))


def test_weight_of_the_positives_needs_two_classes() -> None:
    with pytest.raises(ValueError, match="`pos_weight` is for two classes, got 3"):
        focal(pos_weight=2.0).fit(*table(500, classes=3))


def test_objective_complains_of_labels() -> None:
    data = lightgbm.Dataset(np.zeros((2, 1)), [0, 2]).construct()
    with pytest.raises(ValueError, match=r"labels in \[0, 1\], got 2"):
        binary_focal_objective(2)(np.zeros(2), data)


def test_objectives_complain_of_shapes() -> None:
    data = lightgbm.Dataset(np.zeros((4, 1)), [0, 1, 2, 1]).construct()
    with pytest.raises(ValueError, match="for more classes take the categorical objective"):
        binary_focal_objective(2)(np.zeros((4, 3)), data)
    whole = lightgbm.Dataset(*table(classes=3))
    with pytest.raises(ValueError, match="`num_class`"):
        lightgbm.train({"objective": categorical_focal_objective(2), "verbosity": -1}, whole, 1)
    with pytest.raises(ValueError, match="labels of shape"):
        categorical_focal_objective(2)(np.zeros((3, 3)), data)
    with pytest.raises(ValueError, match=r"must be a number or have one entry per class \(3\), got shape \(2,\)"):
        categorical_focal_objective(2, class_weight=[1, 2])(np.zeros((4, 3)), data)
