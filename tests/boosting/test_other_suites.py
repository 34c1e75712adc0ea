"""Requirements from other libraries' own tests of classifiers: weights, masks, names, degenerate targets."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from made import table
from sklearn.model_selection import GridSearchCV
from sklearn.utils.class_weight import compute_sample_weight

from focal_loss.catboost import FocalCatBoostClassifier
from focal_loss.lightgbm import FocalLGBMClassifier
from focal_loss.lightgbm import binary_focal_metric as lightgbm_metric
from focal_loss.sklearn import FocalHistGradientBoostingClassifier
from focal_loss.xgboost import FocalXGBClassifier
from focal_loss.xgboost import binary_focal_metric as xgboost_metric

QUICK: dict[type, dict[str, Any]] = {
    FocalLGBMClassifier: {"n_estimators": 4, "n_jobs": 1, "verbosity": -1},
    FocalXGBClassifier: {"n_estimators": 4, "n_jobs": 1, "max_depth": 3},
    FocalCatBoostClassifier: {
        "iterations": 4, "thread_count": 1, "depth": 3, "verbose": False, "allow_writing_files": False,
    },
    FocalHistGradientBoostingClassifier: {"max_iter": 4},
}  # fmt: skip
CLASSIFIERS = list(QUICK)
BOOSTERS = CLASSIFIERS[:-1]  # with evaluation sets as `eval_set`, and objectives
X, Y = table(200)
HOLDS = "must hold a value in every place, got 1 masked or missing; leave those examples out"


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_masked_and_missing_labels_and_weights_are_refused(classifier: type) -> None:
    model = classifier(**QUICK[classifier])
    mask = np.arange(200) == 7
    for y in (np.ma.MaskedArray(Y, mask), pd.Series(Y, dtype="Int64").mask(pd.Series(mask))):
        with pytest.raises(ValueError, match=f"^`y` {HOLDS}"):
            model.fit(X, y)
    for weight in (np.ma.MaskedArray(np.ones(200), mask), pd.Series(np.ones(200), dtype="Float64").mask(mask)):
        with pytest.raises(ValueError, match=f"^`sample_weight` {HOLDS}"):
            model.fit(X, Y, sample_weight=weight)
    model.fit(X, np.ma.MaskedArray(Y), sample_weight=pd.Series(np.ones(200), dtype="Float64"))


def held_out(classifier: type, X: Any, y: Any) -> dict[str, Any]:
    return {"X_val": X, "y_val": y} if classifier is FocalHistGradientBoostingClassifier else {"eval_set": [(X, y)]}


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_evaluation_sets_miss_no_labels(classifier: type) -> None:
    model, first = classifier(**QUICK[classifier]), pd.Series(np.arange(200) == 7)
    for y in (
        np.ma.MaskedArray(Y, first),
        pd.Series(Y, dtype="Int64").mask(first),
        pd.Series(Y, dtype="float").mask(first),
        pd.Series(Y).map(str).mask(first),
    ):
        sets: list[dict[str, Any]] = [{"eval_set": [(X, Y), (X, y)]}]
        sets += [{"eval_set": (X, y)}] if classifier is not FocalXGBClassifier else []
        sets += [{"eval_X": X, "eval_y": y}] if classifier is FocalLGBMClassifier else []
        sets = [held_out(classifier, X, y)] if classifier is FocalHistGradientBoostingClassifier else sets
        for given in sets:
            with pytest.raises(ValueError, match=f"^`({'|'.join({*given} - {'X_val'})}|eval_set)` {HOLDS}"):
                model.fit(X, Y, **given)


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_columns_may_miss_values_but_not_under_a_mask(classifier: type) -> None:
    model, masked = classifier(**QUICK[classifier]), np.ma.MaskedArray(X, X > 2)
    with pytest.raises(ValueError, match="`X` must hold NaN where a value is missing, got a masked array; pass"):
        model.fit(masked, Y)
    with pytest.raises(ValueError, match=r"`(eval_set|X_val)` must hold NaN where a value is missing"):
        model.fit(X, Y, **held_out(classifier, masked, Y))
    frame = pd.DataFrame(np.ma.filled(masked, np.nan), columns=list("abcde"))
    model.fit(frame.convert_dtypes(), Y, **held_out(classifier, frame.convert_dtypes(), Y))
    scores = model.decision_function(frame)
    for method in (model.predict, model.predict_proba, model.decision_function):
        with pytest.raises(ValueError, match="`X` must hold NaN"):
            method(masked)
    plain = np.ma.MaskedArray(np.ma.filled(masked, np.nan))
    model.fit(plain, Y, **held_out(classifier, plain, Y))
    np.testing.assert_array_equal(model.decision_function(np.ma.filled(masked, np.nan)), scores)


ARRAYS = {
    FocalLGBMClassifier: ["init_score", "eval_sample_weight", "eval_init_score"],
    FocalXGBClassifier: ["base_margin", "sample_weight_eval_set", "base_margin_eval_set"],
    FocalCatBoostClassifier: ["baseline"],
    FocalHistGradientBoostingClassifier: ["sample_weight_val"],
}


@pytest.mark.parametrize(("classifier", "name"), [(c, name) for c, names in ARRAYS.items() for name in names])
def test_weights_and_scores_miss_no_entries(classifier: type, name: str) -> None:
    mask = np.arange(200) == 7
    several = "eval" in name
    for values in (np.ma.MaskedArray(np.ones(200), mask), pd.Series(np.ones(200), dtype="Float64").mask(mask)):
        given = {name: [values]} | {"eval_set": [(X, Y)]} if several else {name: values}
        given |= held_out(classifier, X, Y) if classifier is FocalHistGradientBoostingClassifier else {}
        with pytest.raises(ValueError, match=f"^`{name}` {HOLDS}"):
            classifier(**QUICK[classifier]).fit(X, Y, **given)


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_balanced_weights_balance_the_weighted_counts(classifier: type) -> None:
    weight = np.random.default_rng(0).uniform(0.1, 5, 200) * (1 + 3 * Y)
    model = classifier(class_weight="balanced", **QUICK[classifier]).fit(X, Y, sample_weight=weight)
    factors = np.array(model._fitted[0].weights if classifier is FocalCatBoostClassifier else model._focus.weights)
    totals = np.bincount(Y, factors[Y] * weight)
    np.testing.assert_allclose(totals[0], totals[1])
    unweighted = classifier(class_weight="balanced", **QUICK[classifier]).fit(X, Y)
    found = unweighted._fitted[0] if classifier is FocalCatBoostClassifier else unweighted._focus
    np.testing.assert_allclose(np.array(found.weights)[Y], compute_sample_weight("balanced", Y))


@pytest.mark.parametrize(("name", "value"), [("scale_pos_weight", 3.0), ("objective", "binary:logistic")])
@pytest.mark.parametrize("classifier", BOOSTERS)
def test_searches_say_what_to_use(classifier: type, name: str, value: Any) -> None:
    instead = "`pos_weight`" if name == "scale_pos_weight" else "`gamma`"
    with pytest.raises(ValueError, match=instead):
        classifier(**QUICK[classifier]).set_params(**{name: value}).fit(X, Y)
    search = GridSearchCV(classifier(**QUICK[classifier]), {name: [value]}, cv=2)
    with pytest.raises(ValueError, match=instead):
        search.fit(X, Y)


def test_class_weights_of_evaluation_sets_in_lightgbm() -> None:
    pair = {"eval_set": [(X[:100], Y[:100])]}
    model = FocalLGBMClassifier(**QUICK[FocalLGBMClassifier])
    by_class = model.fit(X, Y, **pair, eval_class_weight=[{0: 1.0, 1: 5.0}]).evals_result_
    by_weight = model.fit(X, Y, **pair, eval_sample_weight=[1.0 + 4 * Y[:100]]).evals_result_
    assert by_class["valid_0"] == by_weight["valid_0"]


@pytest.mark.parametrize("score", [np.nan, np.inf, [0.0, np.nan, 0.0]])
def test_base_scores_are_finite_before_xgboost_sees_them(score: Any) -> None:
    with pytest.raises(ValueError, match="`base_score` must be finite"):
        FocalXGBClassifier(base_score=score, **QUICK[FocalXGBClassifier]).fit(X, Y)


def test_a_start_beyond_xgboost_is_refused() -> None:
    with pytest.raises(ValueError, match="which XGBoost's `base_score` cannot hold; the classes, or their weights"):
        FocalXGBClassifier(gamma=0, pos_weight=1e30, **QUICK[FocalXGBClassifier]).fit(X, Y)


def test_two_functions_of_one_name_are_both_recorded() -> None:
    first = [lambda labels, probabilities: 0.25, lambda labels, probabilities: 0.75]
    model = FocalXGBClassifier(eval_metric=first, **QUICK[FocalXGBClassifier])
    found = model.fit(X, Y, eval_set=[(X, Y)], verbose=False).evals_result()["validation_0"]
    assert {name: values[-1] for name, values in found.items()} == {"<lambda>": 0.25, "<lambda>_2": 0.75}


def test_our_metrics_see_scores_in_our_classifiers() -> None:
    model = FocalXGBClassifier(eval_metric=["focal_loss", xgboost_metric(2)], **QUICK[FocalXGBClassifier])
    found = model.fit(X, Y, eval_set=[(X, Y)], verbose=False).evals_result()["validation_0"]
    assert found["focal_loss"] == found["focal_loss(gamma=2)"]
    gbm = FocalLGBMClassifier(**QUICK[FocalLGBMClassifier]).fit(
        X, Y, eval_X=X, eval_y=Y, eval_metric=lightgbm_metric(2)
    )
    assert gbm.evals_result_["training"]["focal_loss"] == gbm.evals_result_["training"]["focal_loss(gamma=2)"]


def test_early_stops_of_predictions_are_refused() -> None:
    model = FocalLGBMClassifier(**QUICK[FocalLGBMClassifier]).fit(X, Y)
    for use in (model.predict, model.predict_proba, model.decision_function):
        with pytest.raises(ValueError, match="`pred_early_stop` must be left alone, got True"):
            use(X, pred_early_stop=True)


def test_gamma_0_of_lightgbm_and_xgboost_is_their_own_score_by_score() -> None:
    """With the libraries' defaults and two classes. Their own classifiers get no start score."""
    for ours, theirs, raw in (
        (FocalLGBMClassifier, lightgbm.LGBMClassifier, {"raw_score": True}),
        (FocalXGBClassifier, xgboost.XGBClassifier, {"output_margin": True}),
    ):
        found = ours(gamma=0, **QUICK[ours]).fit(X, Y).predict(X, **raw)
        np.testing.assert_allclose(found, theirs(**QUICK[ours]).fit(X, Y).predict(X, **raw), atol=1e-5)
