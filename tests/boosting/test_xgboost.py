"""XGBoost: the objectives are the derivatives of the loss, and the classifier keeps scikit-learn's contract."""

from __future__ import annotations

import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import pytest
import xgboost
from made import table
from scipy.special import expit
from sklearn.base import clone
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score
from sklearn.utils.estimator_checks import check_estimator

import focal_loss
from focal_loss import calibration
from focal_loss.xgboost import (
    FocalXGBClassifier,
    binary_focal_metric,
    binary_focal_objective,
    categorical_focal_metric,
    categorical_focal_objective,
)

FAST = {"n_estimators": 25, "max_depth": 4, "n_jobs": 1}


def builtin(**parameters: Any) -> xgboost.XGBClassifier:
    return xgboost.XGBClassifier(**(FAST | parameters))


def focal(**parameters: Any) -> FocalXGBClassifier:
    return FocalXGBClassifier(**(FAST | parameters))


def trees(booster: xgboost.Booster) -> pd.DataFrame:
    return booster.trees_to_dataframe()


# ---------------------------------------------------------------------------------------------------------------
# Objectives and metrics
# ---------------------------------------------------------------------------------------------------------------


def test_binary_objective_is_the_derivative_of_the_loss() -> None:
    X, y = table(50)
    weight, scores = np.linspace(0, 2, 50), np.linspace(-9, 9, 50)
    data = xgboost.DMatrix(X, y, weight=weight)
    for policy in ("exact", "majorizer", "relative_floor"):
        gradient, hessian = binary_focal_objective(1.5, pos_weight=3.0, hessian=policy)(scores, data)
        exact = focal_loss.numpy.binary_focal_loss_derivatives(y, scores, 1.5, pos_weight=3.0, hessian=policy)
        assert gradient.dtype == hessian.dtype == np.float32
        np.testing.assert_allclose(gradient, weight * exact.gradient, rtol=1e-5)
        np.testing.assert_allclose(hessian, weight * exact.hessian, rtol=1e-5, atol=1e-9)
    name, value = binary_focal_metric(1.5, pos_weight=3.0)(scores, data)
    assert name == "focal_loss(gamma=1.5,pos_weight=3)"
    np.testing.assert_allclose(value, np.average(exact.value, weights=weight), rtol=1e-6)


def test_categorical_objective_is_the_derivative_of_the_loss() -> None:
    X, y = table(60, classes=3)
    weight, scores = np.linspace(0, 2, 60), np.random.default_rng(0).normal(size=(60, 3)) * 4
    data = xgboost.DMatrix(X, y, weight=weight)
    gradient, hessian = categorical_focal_objective([0, 1, 2], class_weight=[1, 2, 3])(scores, data)
    exact = focal_loss.numpy.sparse_categorical_focal_loss_derivatives(
        y, scores, [0, 1, 2], class_weight=[1, 2, 3], hessian="majorizer"
    )
    np.testing.assert_allclose(gradient, weight[:, None] * exact.gradient, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(hessian, 2 * weight[:, None] * exact.hessian, rtol=1e-4, atol=1e-9)
    _, value = categorical_focal_metric([0, 1, 2], class_weight=[1, 2, 3])(scores, data)
    np.testing.assert_allclose(value, np.average(exact.value, weights=weight), rtol=1e-6)
    for result in (gradient, hessian):  # the layout that XGBoost reads
        assert result.dtype == np.float32
        assert result.flags.c_contiguous


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_gamma_0_grows_the_trees_of_the_builtin_objective(classes: int, weighted: bool) -> None:
    X, y = table(classes=classes)
    data = xgboost.DMatrix(X, y, weight=np.random.default_rng(1).uniform(0.5, 2, len(y)) if weighted else None)
    theirs, score = (
        ({"objective": "binary:logistic"}, 0.2) if classes == 2 else ({"objective": "multi:softprob"}, [0.5, -0.3, -1])
    )
    ours = binary_focal_objective(0) if classes == 2 else categorical_focal_objective(0)
    common = {"max_depth": 4, "nthread": 1, "base_score": score} | ({"num_class": classes} if classes > 2 else {})
    expected = xgboost.train(common | theirs, data, 25)
    found = xgboost.train(common | theirs, data, 25, obj=ours)
    columns = ["Tree", "Node", "Feature", "Split", "Yes", "No"]
    pd.testing.assert_frame_equal(trees(found)[columns], trees(expected)[columns])
    np.testing.assert_allclose(
        found.predict(data, output_margin=True), expected.predict(data, output_margin=True), atol=5e-5
    )


def test_objective_and_metric_work_in_train_and_cv() -> None:
    X, y = table(1000)
    data, log = xgboost.DMatrix(X, y), {}
    options = {"obj": binary_focal_objective(2), "custom_metric": binary_focal_metric(2)}
    parameters = {"base_score": -1, "nthread": 1, "disable_default_eval_metric": 1}
    booster = xgboost.train(
        parameters, data, 10, **options, evals=[(data, "all")], evals_result=log, verbose_eval=False
    )
    assert list(log["all"]) == ["focal_loss(gamma=2)"]
    scores = booster.predict(data, output_margin=True)
    loss = focal_loss.numpy.binary_focal_loss(y, scores, 2, from_logits=True).mean()
    assert log["all"]["focal_loss(gamma=2)"][-1] == pytest.approx(loss, abs=1e-6)  # XGBoost's text has six decimals
    assert xgboost.cv(parameters, data, 5, **options)["test-focal_loss(gamma=2)-mean"].is_monotonic_decreasing


# ---------------------------------------------------------------------------------------------------------------
# Classifier
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_gamma_0_is_the_builtin_classifier(classes: int, weighted: bool) -> None:
    X, y = table(classes=classes)
    weight = np.random.default_rng(1).uniform(0.5, 2, len(y)) if weighted else None
    ours = focal(gamma=0).fit(X, y, sample_weight=weight)
    start = ours.intercept_.tolist() if classes > 2 else ours.intercept_[0]
    theirs = builtin(base_score=start).fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_start_score_is_the_best_constant(gamma: float) -> None:
    X, y = table()
    model = focal(gamma=gamma, pos_weight=2.0, min_split_loss=1e9).fit(X, y)
    expected = calibration.prior_logit(y.mean(), gamma, pos_weight=2.0)
    np.testing.assert_allclose(model.start_score_, expected, rtol=1e-6)
    np.testing.assert_allclose(model.predict(X, output_margin=True), expected, rtol=1e-5)
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], y.mean(), rtol=1e-5)


def test_start_scores_of_classes_give_their_shares() -> None:
    X, y = table(classes=3)
    model = focal(class_weight={1: 4.0}, min_split_loss=1e9).fit(X, y)
    prior = np.bincount(y) / len(y)
    np.testing.assert_allclose(model.predict_proba(X[:1])[0], prior, rtol=1e-5)
    expected = calibration.categorical_prior_logits(prior, 2.0, class_weight=[1.0, 4.0, 1.0])
    np.testing.assert_allclose(model.start_score_, expected, rtol=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("options", [{}, {"class_weight": "balanced"}, {"hessian": "exact"}, {"gamma": 5.0}])
def test_probabilities_are_as_good_as_those_of_cross_entropy(classes: int, options: dict[str, Any]) -> None:
    X, y = table(6000, classes)
    train, test = slice(0, 4000), slice(4000, None)
    plain = log_loss(y[test], builtin(learning_rate=0.1).fit(X[train], y[train]).predict_proba(X[test]))
    model = focal(learning_rate=0.1, **options).fit(X[train], y[train])
    probabilities = model.predict_proba(X[test])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(model.predict(X[test]), probabilities.argmax(axis=1))
    assert log_loss(y[test], probabilities) < 1.05 * plain
    raw = model.set_params(calibrated=False).predict_proba(X[test])
    assert log_loss(y[test], raw) > 1.1 * plain, "without the map these are no probabilities"


def test_uncalibrated_probabilities_are_the_sigmoid_of_the_scores() -> None:
    X, y = table()
    model = focal(calibrated=False).fit(X, y)
    expected = expit(model.predict(X, output_margin=True).astype(float))
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], expected, rtol=1e-6)


def test_weights_move_the_scores_and_not_the_probabilities() -> None:
    X, y = table(6000)
    plain, weighted = focal().fit(X, y), focal(pos_weight=9.0).fit(X, y)
    moved = weighted.predict(X, output_margin=True).mean() - plain.predict(X, output_margin=True).mean()
    assert moved > 0.5
    np.testing.assert_allclose(weighted.predict_proba(X).mean(axis=0), plain.predict_proba(X).mean(axis=0), atol=0.02)


def test_sample_weight_is_repetition() -> None:
    X, y = table(1500)
    count = np.random.default_rng(2).integers(1, 4, len(y))
    options = {"tree_method": "exact"}
    weighted = focal(**options).fit(X, y, sample_weight=count)
    repeated = focal(**options).fit(np.repeat(X, count, axis=0), np.repeat(y, count))
    assert weighted.start_score_ == pytest.approx(repeated.start_score_)
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), atol=1e-4)
    assert np.abs(weighted.predict_proba(X) - focal(**options).fit(X, y).predict_proba(X)).max() > 0.01


def mean_of(labels: np.ndarray, probabilities: np.ndarray) -> float:
    assert probabilities.min() >= 0
    assert probabilities.max() <= 1
    return float(probabilities.mean())


def test_early_stopping_and_metrics_see_probabilities() -> None:
    X, y = table(4000)
    train, test = slice(0, 2000), slice(2000, None)
    weight = np.random.default_rng(0).uniform(0.5, 2, 2000)
    model = focal(
        n_estimators=300,
        pos_weight=2.0,
        early_stopping_rounds=5,
        eval_metric=["logloss", "auc", "error", mean_of, brier_score_loss, "focal_loss"],
    )
    pairs = [(X[train], y[train]), (X[test], y[test])]
    model.fit(X[train], y[train], eval_set=pairs, sample_weight_eval_set=[np.ones(2000), weight], verbose=False)
    found, best = model.evals_result()["validation_1"], model.best_iteration
    assert 0 <= best < 250
    assert model.get_booster().num_boosted_rounds() == best + 6
    assert list(found) == ["logloss", "auc", "error", "mean_of", "brier_score_loss", "focal_loss"]
    assert {len(values) for values in found.values()} == {best + 6}
    assert best == np.argmin(found["focal_loss"])
    probabilities = model.predict_proba(X[test])  # predicts from the best round
    assert found["logloss"][best] == pytest.approx(log_loss(y[test], probabilities, sample_weight=weight))
    assert found["auc"][best] == pytest.approx(roc_auc_score(y[test], probabilities[:, 1], sample_weight=weight))
    assert found["error"][best] == pytest.approx(np.average(model.predict(X[test]) != y[test], weights=weight))
    assert found["mean_of"][best] == pytest.approx(probabilities[:, 1].mean())
    brier = brier_score_loss(y[test], probabilities[:, 1], sample_weight=weight)
    assert found["brier_score_loss"][best] == pytest.approx(brier)
    scores = model.predict(X[test], output_margin=True)
    loss = focal_loss.numpy.binary_focal_loss(y[test], scores, 2.0, pos_weight=2.0, from_logits=True)
    assert found["focal_loss"][best] == pytest.approx(np.average(loss, weights=weight), rel=1e-6)
    assert model.best_score == found["focal_loss"][best], "no digit is lost"


@pytest.mark.parametrize("metric", ["mlogloss", "auc", ["mlogloss", "auc"], ["auc", "merror"], None])
def test_the_last_metric_stops_whatever_it_is(metric: Any) -> None:
    X, y = table(3000, classes=3)
    pair = (X[2000:], y[2000:])
    model = focal(n_estimators=200, early_stopping_rounds=3, eval_metric=metric, learning_rate=1.0)
    model.fit(X[:2000], y[:2000], eval_set=[pair], verbose=False)
    order = metric if isinstance(metric, list) else [metric or "focal_loss"]
    found = model.evals_result()["validation_0"]
    assert list(found) == order
    last = np.array(found[order[-1]]) * (-1 if order[-1] == "auc" else 1)
    assert model.best_iteration == last.argmin()
    assert len(last) == model.best_iteration + 4 < 200


def test_evaluation_sets_have_labels_of_their_own_kind() -> None:
    X, y = table(500)
    names = np.array(["well", "ill"])[y]
    model = focal().fit(X, names, eval_set=[(X, names), (X[:50], names[:50].tolist())], verbose=False)
    assert model.evals_result()["validation_0"]["focal_loss"][-1] < 0.1
    with pytest.raises(ValueError, match="previously unseen labels"):
        focal().fit(X, names, eval_set=[(X, y)])
    with pytest.raises(ValueError, match="`eval_set` must be a list of pairs"):
        focal().fit(X, names, eval_set=(X, names))


def test_refitting_forgets_the_evaluation() -> None:
    X, y = table(500)
    model = focal().fit(X, y, eval_set=[(X, y)], verbose=False)
    with pytest.raises(xgboost.core.XGBoostError, match="No evaluation result"):
        model.fit(X, y).evals_result()


def test_callbacks_of_the_callers_see_the_metrics() -> None:
    X, y = table(2000)
    stop = xgboost.callback.EarlyStopping(rounds=2, metric_name="logloss", save_best=True)
    model = focal(n_estimators=300, learning_rate=1.0, callbacks=[stop], eval_metric=["logloss", "error"])
    model.fit(X[:1000], y[:1000], eval_set=[(X[1000:], y[1000:])], verbose=False)
    values = model.evals_result()["validation_0"]["logloss"]
    assert model.get_booster().num_boosted_rounds() == np.argmin(values) + 1 < 300


def test_categories_missing_values_pandas_and_arrow() -> None:
    X, y = table(2000)
    frame = pd.DataFrame(X, columns=list("abcde"))
    frame.loc[::7, "a"] = np.nan
    frame["kind"] = pd.Categorical(np.where(y == 1, "x", np.where(X[:, 3] > 0, "y", "z")))
    names = pd.Series(np.where(y == 1, "ill", "well"))
    model = focal(enable_categorical=True).fit(frame, names, eval_set=[(frame, names)], verbose=False)
    assert model.classes_.tolist() == ["ill", "well"]
    assert (model.predict(frame) == names).mean() > 0.99, "the category tells"
    numbers = frame.drop(columns="kind")
    arrow = pyarrow.Table.from_pandas(numbers)
    from_arrow = focal().fit(arrow, pyarrow.array(names))
    from_pandas = focal().fit(numbers, names)
    np.testing.assert_array_equal(from_arrow.predict_proba(arrow), from_pandas.predict_proba(numbers))


def test_words_that_xgboost_mixes_up_are_errors() -> None:
    X, y = table(400)
    towns = np.where(y == 1, "Köln", np.where(X[:, 3] > 0, "Bonn", "Ulm"))
    frame = pd.DataFrame({"a": X[:, 0], "town": pd.Categorical(towns)})
    renamed = frame.assign(town=frame.town.cat.rename_categories(ascii))
    words = r"of column 'town' must be ASCII, .* got 'Köln'; take `X\['town'\].cat.rename_categories\(ascii\)`"
    model = focal(enable_categorical=True).fit(renamed, y)
    for call in (
        lambda: focal(enable_categorical=True).fit(frame, y),
        lambda: focal(enable_categorical=True).fit(renamed, y, eval_set=[(frame, y)], verbose=False),
        lambda: model.predict_proba(frame),
        lambda: model.predict(frame),
        lambda: model.decision_function(frame),
    ):
        with pytest.raises(ValueError, match=words):
            call()
    arrow = pyarrow.table({"a": X[:, 0], "town": pyarrow.array(towns).dictionary_encode()})  # not mixed up
    of_arrow = focal(enable_categorical=True).fit(arrow, y)
    np.testing.assert_allclose(of_arrow.predict_proba(arrow), model.predict_proba(renamed), rtol=1e-6)
    backwards = of_arrow.predict_proba(arrow.take(np.arange(len(y))[::-1]).unify_dictionaries())
    np.testing.assert_array_equal(backwards[::-1], of_arrow.predict_proba(arrow))


@pytest.mark.parametrize("kinds", [("no", "yes"), (False, True), (-1, 1), (3.0, 7.0), (2**53, 2**53 + 1)], ids=repr)
def test_labels_of_any_kind(kinds: tuple[Any, Any]) -> None:
    X, y = table(800)
    labels = np.array(kinds)[y]
    model = focal().fit(X, labels)
    assert model.classes_.tolist() == list(kinds)
    assert model.predict(X).dtype == labels.dtype
    np.testing.assert_array_equal(model.predict_proba(X), focal().fit(X, y).predict_proba(X))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("ending", ["json", "ubj"])
def test_a_saved_model_is_the_same_model(classes: int, ending: str, tmp_path: Path) -> None:
    X, y = table(classes=classes)
    names = np.array(["low", "high", "none"])[y]
    file = tmp_path / f"model.{ending}"
    model = focal(gamma=1.5, class_weight={"high": 3.0}, early_stopping_rounds=3)
    model.fit(X, names, eval_set=[(X[:500], names[:500])], verbose=False)
    model.save_model(file)
    loaded = FocalXGBClassifier().load_model(file)
    for other in (pickle.loads(pickle.dumps(model)), loaded):
        np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))
        np.testing.assert_array_equal(other.predict(X), model.predict(X))
        np.testing.assert_array_equal(other.start_score_, model.start_score_)
        assert other.classes_.tolist() == model.classes_.tolist()
        assert other.n_classes_ == classes
        assert other.best_iteration == model.best_iteration
    assert loaded.gamma == 1.5
    assert loaded.class_weight["high"] == 3.0
    scores = xgboost.Booster(model_file=file).predict(
        xgboost.DMatrix(X), output_margin=True, iteration_range=(0, model.best_iteration + 1)
    )
    np.testing.assert_array_equal(scores, model.predict(X, output_margin=True))
    loaded.set_params(min_split_loss=1e9).fit(X, names)
    np.testing.assert_allclose(loaded.start_score_, model.start_score_, rtol=1e-6)


def test_a_model_of_others_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    X, y = table(500)
    file = tmp_path / "theirs.json"
    builtin().fit(X, y).save_model(file)
    model = focal(gamma=3).fit(X, y)
    before = model.predict_proba(X)
    with pytest.raises(ValueError, match=r"theirs.json holds no focal loss; it was not saved by FocalXGBClassifier"):
        model.load_model(file)
    np.testing.assert_array_equal(model.predict_proba(X), before)


def test_training_goes_on_from_a_model() -> None:
    X, y = table()
    half = focal(n_estimators=10).fit(X, y)
    both = focal(n_estimators=10).fit(X, y, xgb_model=half)
    whole = focal(n_estimators=20).fit(X, y)
    assert both.get_booster().num_boosted_rounds() == 20
    np.testing.assert_allclose(both.predict_proba(X), whole.predict_proba(X), atol=1e-5)
    with pytest.raises(ValueError, match=r"`xgb_model` knows the classes \[0, 1\], got \[1, 2\]"):
        focal().fit(X, y + 1, xgb_model=half)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_start_of_the_callers_stands(classes: int) -> None:
    X, y = table(classes=classes)
    score, shape = (0.3, len(y)) if classes == 2 else ([0.5, 0.0, -1.0], (len(y), 3))
    model = focal(base_score=score, learning_rate=0).fit(X, y)
    expected = np.log(3 / 7) if classes == 2 else score
    np.testing.assert_allclose(model.start_score_, expected, rtol=1e-6)
    np.testing.assert_allclose(model.predict(X[:1], output_margin=True)[0], expected, rtol=1e-6)
    model = focal(learning_rate=0).fit(X, y, base_margin=np.full(shape, -1.0))
    np.testing.assert_array_equal(model.predict(X, output_margin=True), 0)
    np.testing.assert_array_equal(model.predict(X, output_margin=True, base_margin=np.full(shape, -1.0)), -1)
    margin = np.zeros(shape)
    margin.reshape(len(y), -1)[:, -1] = 2.0  # of the rarest class
    scores = focal().fit(X, y, base_margin=margin).predict(X, output_margin=True)
    assert scores.reshape(len(y), -1)[:, -1].mean() < -0.5, "from 2 training goes down"


def test_prediction_takes_what_it_takes_in_the_library() -> None:
    X, y = table(1000)
    frame = pd.DataFrame(X, columns=list("abcde"))
    model = focal().fit(frame, y)
    few = model.predict(frame, output_margin=True, iteration_range=(0, 5))
    assert np.abs(few - model.predict(frame, output_margin=True)).max() > 0.1
    probability = model.predict_proba(frame, iteration_range=(0, 5))[:, 1]
    np.testing.assert_allclose(probability, calibration.posterior_from_logits(few.astype(float), 2.0))
    other = frame.rename(columns={"a": "z"})
    with pytest.raises(ValueError, match="feature_names mismatch"):
        model.predict(other)
    np.testing.assert_array_equal(model.predict(other, validate_features=False), model.predict(frame))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    "options",
    [
        {"booster": "dart", "rate_drop": 0.1},
        {"booster": "gblinear", "max_depth": None},
        {"multi_strategy": "multi_output_tree"},
        {"num_parallel_tree": 3, "subsample": 0.7, "learning_rate": 1.0},
    ],
)
def test_every_booster_of_the_library_learns(classes: int, options: dict[str, Any]) -> None:
    X, y = table(2000, classes)
    model = focal(**options).fit(X, y)
    prior = np.bincount(y) / len(y)
    solved = calibration.categorical_prior_logits(prior, 2.0) if classes > 2 else calibration.prior_logit(prior[1], 2)
    np.testing.assert_allclose(model.start_score_, solved, rtol=1e-6)
    prior = log_loss(y, np.tile(prior, (len(y), 1)))
    assert log_loss(y, model.predict_proba(X)) < prior - 0.02


@pytest.mark.parametrize("policy", ["majorizer", "exact", "relative_floor"])
@pytest.mark.parametrize("classes", [2, 3])
def test_no_run_diverges(policy: str, classes: int) -> None:
    X, y = table(2000, classes)
    harsh = {"reg_lambda": 0, "max_depth": 8, "learning_rate": 1.0, "n_estimators": 60}
    scores = focal(gamma=5.0, hessian=policy, **harsh).fit(X, y).predict(X, output_margin=True)
    assert np.abs(scores).max() < 60


def test_parameters_and_clones() -> None:
    model = focal(gamma=3.0, pos_weight=2.0, hessian="exact", calibrated=False, min_split_loss=0.5)
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert copy.get_params()["max_depth"] == 4
    X, y = table(500)
    before = {**model.get_params()}
    model.set_params(class_weight="balanced").fit(X, y)
    assert model.get_params() == before | {"class_weight": "balanced"}


def test_gamma_is_ours_and_min_split_loss_is_theirs() -> None:
    X, y = table(500)
    model = focal(gamma=3.0, min_split_loss=0.25, eval_metric=["focal_loss", mean_of])
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        model.fit(X, y, eval_set=[(X, y)], verbose=False).set_params(learning_rate=0.2)
        config = json.loads(model.get_booster().save_config())["learner"]["gradient_booster"]["tree_train_param"]
        assert seen == []
        focal(no_such_parameter=1).fit(X, y)
    assert "not used" in str(seen[0].message), "XGBoost warns of what it does not know"
    assert float(config["gamma"]) == 0.25
    assert model.gamma == 3.0


def test_checks_of_scikit_learn() -> None:
    def failed(model: xgboost.XGBClassifier) -> set[str]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = check_estimator(model, on_fail=None, on_skip=None)
        assert len(results) > 50
        return {result["check_name"] for result in results if result["status"] == "failed"}

    # XGBoost's sums round in the eighth digit; the check may fail by that, depending on the number of trees.
    rounded = {f"check_sample_weight_equivalence_on_{kind}_data" for kind in ("dense", "sparse")}
    assert failed(focal()) - rounded == {"check_class_weight_classifiers"}, "wants weights to move the probabilities"
    assert failed(focal(calibrated=False)) <= rounded
    assert len(failed(builtin()) - rounded) > 10


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
    ({"objective": "binary:logistic"}, {}, ValueError, "`objective` must be left alone"),
    ({"scale_pos_weight": 3}, {}, ValueError, "give `pos_weight`"),
    ({"alpha": 0.25}, {}, ValueError, r"for that of focal loss give `pos_weight=alpha / \(1 - alpha\)`"),
    ({}, {"y": np.zeros(100)}, ValueError, r"at least two classes, got one class: \[0.0\]"),
    ({}, {"y": np.where(Y, np.nan, 0.0)}, ValueError, "Input y contains NaN"),
    ({}, {"y": Y[:50]}, ValueError, "inconsistent numbers of samples"),
    ({}, {"sample_weight": -np.ones(100)}, ValueError, "`sample_weight` must hold one non-negative number"),
    ({}, {"sample_weight": np.ones(3)}, ValueError, "`sample_weight` must have the shape"),
    ({}, {"sample_weight": 1.0 - Y}, ValueError, "`sample_weight` is zero for every example of class 1"),
    ({"eval_metric": "rmse"}, {}, ValueError, "`eval_metric` must be one of 'focal_loss', .* 'auc', 'aucpr' or"),
    ({"eval_metric": ["auc", 3]}, {}, ValueError, "`eval_metric` must be one of .*, got 3"),
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


def test_objectives_complain_of_labels_and_shapes() -> None:
    data = xgboost.DMatrix(np.zeros((4, 1)), [0, 1, 2, 1])
    with pytest.raises(ValueError, match=r"labels in \[0, 1\], got 2"):
        binary_focal_objective(2)(np.zeros(4), data)
    with pytest.raises(ValueError, match="for more classes take the categorical objective"):
        binary_focal_objective(2)(np.zeros((4, 3)), data)
    with pytest.raises(ValueError, match="`num_class`"):
        categorical_focal_objective(2)(np.zeros(4), data)
    with pytest.raises(ValueError, match=r"must be a number or have one entry per class \(3\), got shape \(2,\)"):
        categorical_focal_objective(2, class_weight=[1, 2])(np.zeros((4, 3)), data)
