"""Objectives and metrics in both conventions by which LightGBM and XGBoost call functions."""

from __future__ import annotations

import pickle
from typing import Any

import lightgbm
import numpy as np
import pytest
import xgboost
from made import table

import focal_loss
from focal_loss import catboost as for_catboost
from focal_loss import lightgbm as for_lightgbm
from focal_loss import xgboost as for_xgboost

BOOSTERS = {"lightgbm": for_lightgbm, "xgboost": for_xgboost}
SMALL = {
    "lightgbm": {"n_estimators": 8, "verbosity": -1, "n_jobs": 1, "min_child_samples": 5},
    "xgboost": {"n_estimators": 8, "n_jobs": 1, "max_depth": 3, "base_score": 0.5},
}


def parts(booster: str, classes: int, **name: Any) -> tuple[Any, Any]:
    of = BOOSTERS[booster]
    if classes == 2:
        return of.binary_focal_objective(2.0, pos_weight=3.0), of.binary_focal_metric(2.0, pos_weight=3.0, **name)
    weights = [1.0, 2.0, 3.0]
    return (
        of.categorical_focal_objective(2.0, class_weight=weights),
        of.categorical_focal_metric(2.0, class_weight=weights, **name),
    )


def data_of(booster: str, X: Any, y: Any, weight: Any) -> Any:
    if booster == "lightgbm":
        return lightgbm.Dataset(X, y, weight=weight, params={"verbosity": -1})
    return xgboost.DMatrix(X, y, weight=weight)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("booster", BOOSTERS)
def test_both_conventions_give_the_same(booster: str, classes: int, weighted: bool) -> None:
    X, y = table(60, classes)
    weight = np.linspace(0.5, 2, 60, dtype=np.float32) if weighted else None
    shape = (60,) if classes == 2 else (60, classes)
    scores = np.asfortranarray(np.random.default_rng(0).normal(size=shape) * 3)
    data = data_of(booster, X, y, weight)
    data = data.construct() if booster == "lightgbm" else data
    objective, metric = parts(booster, classes)
    rest = () if weight is None else (weight,)
    for found, expected in zip(objective(y, scores, *rest), objective(scores, data), strict=True):
        np.testing.assert_array_equal(found, expected)
    with_data, by_itself = metric(scores, data), metric(y, scores, *rest)
    assert by_itself == (with_data if booster == "lightgbm" else with_data[1])
    with pytest.raises(TypeError, match="weights are those of the data set"):
        objective(scores, data, np.ones(60))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("booster", BOOSTERS)
def test_estimators_train_and_watch_what_train_does(booster: str, classes: int, weighted: bool) -> None:
    """`train` and the estimator grow the same trees, and each counts the weights once."""
    X, y = table(400, classes)
    weight = np.random.default_rng(1).uniform(0.2, 3, 400) if weighted else None
    objective, metric = parts(booster, classes)
    known: dict[str, Any] = {}
    if booster == "lightgbm":
        model = lightgbm.LGBMClassifier(objective=objective, **SMALL[booster])
        model.fit(X, y, sample_weight=weight, eval_X=X, eval_y=y, eval_metric=metric, eval_sample_weight=[weight])
        record, found = model.evals_result_["valid_0"], model.booster_.predict(X, raw_score=True)
        parameters = {"objective": objective, "verbosity": -1, "num_threads": 1, "min_data_in_leaf": 5}
        parameters |= {"num_class": classes} if classes > 2 else {}
        data = data_of(booster, X, y, weight)
        recorder = lightgbm.record_evaluation(known)
        trained = lightgbm.train(
            parameters, data, 8, valid_sets=[data], valid_names=["all"], feval=metric, callbacks=[recorder]
        )
        expected = trained.predict(X, raw_score=True)
    else:
        model = xgboost.XGBClassifier(objective=objective, eval_metric=metric, **SMALL[booster])
        model.fit(X, y, sample_weight=weight, eval_set=[(X, y)], sample_weight_eval_set=[weight], verbose=False)
        record, found = model.evals_result()["validation_0"], model.predict(X, output_margin=True)
        told = {"num_class": classes} if classes > 2 else {"objective": "binary:logistic"}  # as the estimator does
        parameters = {"nthread": 1, "max_depth": 3, "base_score": 0.5} | told
        data = data_of(booster, X, y, weight)
        trained = xgboost.train(
            parameters, data, 8, obj=objective, custom_metric=metric, evals=[(data, "all")], evals_result=known,
            verbose_eval=False,
        )  # fmt: skip
        expected = trained.predict(data, output_margin=True)
    np.testing.assert_array_equal(found, expected)
    shown = "focal_loss(gamma=2,pos_weight=3)" if classes == 2 else "focal_loss(gamma=2,class_weight=[1,2,3])"
    assert record[shown] == known["all"][shown]
    loss = (
        focal_loss.numpy.binary_focal_loss(y, found, 2.0, pos_weight=3.0, from_logits=True)
        if classes == 2
        else focal_loss.numpy.sparse_categorical_focal_loss(y, found, 2.0, class_weight=[1, 2, 3], from_logits=True)
    )
    assert record[shown][-1] == pytest.approx(np.average(loss, weights=weight), abs=2e-6)  # XGBoost has six decimals


@pytest.mark.parametrize("booster", [*BOOSTERS.values(), for_catboost], ids=[*BOOSTERS, "catboost"])
def test_metrics_are_named_by_their_options(booster: Any) -> None:
    def name(metric: Any) -> str:
        copy = pickle.loads(pickle.dumps(metric))
        return type(copy).__name__ if booster is for_catboost else getattr(copy, "__name__", None) or copy.name

    binary, many = booster.binary_focal_metric, booster.categorical_focal_metric
    assert name(binary(2)) == "focal_loss(gamma=2)"
    assert name(binary(2.0, pos_weight=0.1)) == "focal_loss(gamma=2,pos_weight=0.1)"
    assert name(binary(2, name="focal_loss")) == "focal_loss"
    assert name(many([0, 0.5], class_weight=[1, 2])) == "focal_loss(gamma=[0,0.5],class_weight=[1,2])"
    for wrong in ("", "a b", "a:b"):
        with pytest.raises(ValueError, match="`name` must not be empty, nor hold spaces or colons"):
            binary(2, name=wrong)
    with pytest.raises(TypeError, match="`name` must be a string, got 3"):
        many(2, name=3)


def test_cross_validation_keeps_two_gammas_apart() -> None:
    X, y = table(300)
    metrics = [for_lightgbm.binary_focal_metric(gamma) for gamma in (0, 2)]
    parameters = {"objective": for_lightgbm.binary_focal_objective(2), "verbosity": -1, "num_threads": 1}
    found = lightgbm.cv(parameters, lightgbm.Dataset(X, y), 3, nfold=3, feval=metrics)
    means = [found[f"valid focal_loss(gamma={gamma})-mean"] for gamma in (0, 2)]
    assert len(means[0]) == len(means[1]) == 3
    assert means[0][-1] > 1.5 * means[1][-1]
