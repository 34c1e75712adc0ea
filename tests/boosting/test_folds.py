"""`calibrated="cv"`: a temperature from the scores of models that have not seen the example."""

from __future__ import annotations

import importlib
import json
import pickle
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pyarrow
import pytest
import scipy.sparse
import xgboost
from made import table
from scipy.special import expit
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold
from test_classifier import CLASSIFIERS, few_rounds

from focal_loss.calibration import FocalTemperature
from focal_loss.catboost import FocalCatBoostClassifier
from focal_loss.lightgbm import FocalLGBMClassifier
from focal_loss.sklearn import FocalHistGradientBoostingClassifier
from focal_loss.xgboost import FocalXGBClassifier

ROUNDS = {
    FocalLGBMClassifier: "n_estimators",
    FocalXGBClassifier: "n_estimators",
    FocalCatBoostClassifier: "iterations",
    FocalHistGradientBoostingClassifier: "max_iter",
}


def scores(model: Any, X: Any) -> np.ndarray:
    """The scores of the trees."""
    if isinstance(model, FocalHistGradientBoostingClassifier):
        return model.set_params(calibrated=False).decision_function(X)  # of three classes, up to a number for each row
    name = {FocalLGBMClassifier: "raw_score", FocalXGBClassifier: "output_margin"}.get(type(model))
    return model.predict(X, **({name: True} if name else {"prediction_type": "RawFormulaVal"}))


def by_hand(model: Any, X: np.ndarray, y: np.ndarray, weight: np.ndarray | None, **of_loss: Any) -> float:
    """The temperature of scores out of fold, from models that are trained one by one."""
    found: Any = [None] * len(y)
    for train, test in StratifiedKFold(5, shuffle=True, random_state=0).split(X, y):
        part = None if weight is None else weight[train]
        values = scores(clone(model).fit(X[train], y[train], sample_weight=part), X[test])
        for row, value in zip(test, values, strict=True):
            found[row] = value
    return float(FocalTemperature(2, **of_loss).fit(np.array(found), y, weight).temperature_)


@pytest.mark.parametrize("make", CLASSIFIERS)
@pytest.mark.parametrize("classes", [2, 3])
def test_temperature_is_that_of_scores_out_of_fold(make: Any, classes: int) -> None:
    X, y = table(400, classes)
    weight = np.random.default_rng(1).uniform(0.5, 2, 400)
    by_class = {0: 1.0, 1: 3.0, 2: 2.0}
    model = few_rounds(make, class_weight={k: by_class[k] for k in range(classes)}, calibrated="cv")
    of_loss = {"pos_weight": 3.0} if classes == 2 else {"class_weight": [1.0, 3.0, 2.0]}
    expected = by_hand(clone(model).set_params(calibrated=True), X, y, weight, **of_loss)
    model.fit(X, y, sample_weight=weight)
    assert model.temperature_ == pytest.approx(expected, rel=1e-6)
    assert abs(expected - 1) > 1e-3  # a temperature of 1 would change nothing
    plain = clone(model).set_params(calibrated=True).fit(X, y, sample_weight=weight)
    tempered = FocalTemperature(2, **of_loss).fit(scores(plain, X), y)
    tempered.temperature_ = expected
    np.testing.assert_allclose(model.predict_proba(X), tempered.predict_proba(scores(plain, X)), rtol=1e-6)


@pytest.mark.parametrize("make", CLASSIFIERS)
@pytest.mark.parametrize("classes", [2, 3])
def test_methods_agree_and_the_settings_can_be_changed(make: Any, classes: int, tmp_path: Path) -> None:
    X, codes = table(300, classes)
    y = np.array(["no", "perhaps", "yes"])[codes]
    model = few_rounds(make, calibrated="cv").fit(X, y)
    probability, decision = model.predict_proba(X), model.decision_function(X)
    np.testing.assert_array_equal(model.predict(X), model.classes_[probability.argmax(axis=1)])
    of_decision = np.exp(decision) if classes == 3 else np.column_stack([expit(-decision), expit(decision)])
    np.testing.assert_allclose(of_decision, probability, rtol=1e-9)
    again = [pickle.loads(pickle.dumps(model))]
    if make is not FocalHistGradientBoostingClassifier:
        path = tmp_path / "model.json"
        model.save_model(path, **({"format": "json"} if make is FocalCatBoostClassifier else {}))
        again += [make().load_model(path, **({"format": "json"} if make is FocalCatBoostClassifier else {}))]
    for copy in again:
        assert (copy.calibrated, copy.temperature_) == ("cv", model.temperature_)
        np.testing.assert_allclose(copy.predict_proba(X), probability, rtol=1e-9)
    plain = few_rounds(make).fit(X, y)
    np.testing.assert_array_equal(model.set_params(calibrated=True).predict_proba(X), plain.predict_proba(X))
    np.testing.assert_array_equal(model.set_params(calibrated="cv").predict_proba(X), probability)
    for value, error, message in (
        ("cv", ValueError, "for a model that was fitted without a temperature, got 'cv'; call `fit` again"),
        ("yes", TypeError, "`calibrated` must be True, False or 'cv', got 'yes'"),
    ):
        plain.set_params(calibrated=value)
        for method in (plain.predict_proba, plain.predict, plain.decision_function):
            with pytest.raises(error, match=message):
                method(X)
    assert not hasattr(plain, "temperature_")
    assert not hasattr(make(), "temperature_")


@pytest.mark.parametrize("make", CLASSIFIERS)
def test_folds_have_as_many_rounds_as_the_model(make: Any) -> None:
    X, y = table(600)
    held = table(300, seed=1)
    options: dict[str, Any] = {"learning_rate": 0.2}
    given: dict[str, Any] = {"eval_set": [held]}
    if make is FocalLGBMClassifier:
        options["early_stopping_rounds"] = 3
    elif make is FocalXGBClassifier:
        options["early_stopping_rounds"], given["verbose"] = 3, False
    elif make is FocalCatBoostClassifier:
        options = {"learning_rate": None, "early_stopping_rounds": 3}
    else:
        options |= {"early_stopping": True, "n_iter_no_change": 3, "scoring": "neg_log_loss"}
        given = {"X_val": held[0], "y_val": held[1]}
    model = few_rounds(make, 80, calibrated="cv", **options).fit(X, y, **given)
    rounds = {
        FocalLGBMClassifier: lambda: model.best_iteration_,
        FocalXGBClassifier: lambda: model.best_iteration + 1,
        FocalCatBoostClassifier: lambda: model.tree_count_,
        FocalHistGradientBoostingClassifier: lambda: model.n_iter_,
    }[make]()
    assert 3 < rounds < 80
    rate = model.learning_rate_ if make is FocalCatBoostClassifier else 0.2
    fold = few_rounds(make, learning_rate=rate, **{ROUNDS[make]: rounds})
    if make is FocalHistGradientBoostingClassifier:
        fold.set_params(early_stopping=False)
    assert model.temperature_ == pytest.approx(by_hand(fold, X, y, None), rel=1e-6)


class Rows:
    """An array to NumPy and to nobody else."""

    def __init__(self, X: np.ndarray) -> None:
        self.X = X

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.X, dtype)


KINDS: dict[str, Any] = {
    "pandas": pd.DataFrame,
    "arrow": lambda X: pyarrow.table(pd.DataFrame(X, columns=list("abcde"))),
    "sparse": scipy.sparse.coo_matrix,
    "lists": lambda X: X.tolist(),
    "__array__": Rows,
}


UNKNOWN = {(FocalHistGradientBoostingClassifier, "sparse"), (FocalCatBoostClassifier, "__array__")}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", CLASSIFIERS)
def test_tables_of_any_kind(make: Any, kind: str) -> None:
    """A table of another kind that the classifier takes gives the temperature of the array."""
    X, y = table(200)
    given = KINDS[kind](X)
    if (make, kind) in UNKNOWN:
        pytest.skip("the booster takes no such tables")
    expected = few_rounds(make, calibrated="cv").fit(X, y).temperature_
    assert few_rounds(make, calibrated="cv").fit(given, y).temperature_ == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("make", CLASSIFIERS)
def test_categories_stay_categories(make: Any) -> None:
    X, _ = table(400)
    rng = np.random.default_rng(0)
    letters = rng.choice(list("abcdef"), 400)
    y = (rng.random(400) < np.where(np.isin(letters, list("ace")), 0.8, 0.1)).astype(int)
    frame = pd.DataFrame(X).assign(letter=pd.Categorical(letters))
    frame.columns = frame.columns.astype(str)
    options = {"enable_categorical": True} if make is FocalXGBClassifier else {}
    options = {"cat_features": ["letter"]} if make is FocalCatBoostClassifier else options
    model = few_rounds(make, calibrated="cv", **options)
    model.fit(frame, y)
    assert log_loss(y, model.predict_proba(frame)) < 0.6
    assert 0.3 < model.temperature_ < 3


def test_a_pool_of_catboost() -> None:
    import catboost

    X, y = table(300)
    weight = np.linspace(0.5, 2, 300)
    model = few_rounds(FocalCatBoostClassifier, calibrated="cv").fit(X, y, sample_weight=weight)
    pool = catboost.Pool(X, y, weight=weight)
    again = few_rounds(FocalCatBoostClassifier, calibrated="cv").fit(pool)
    assert again.temperature_ == pytest.approx(model.temperature_, rel=1e-6)
    assert pool.num_row() == 300
    with pytest.raises(ValueError, match="`baseline` has no part with calibrated='cv'"):
        few_rounds(FocalCatBoostClassifier, calibrated="cv").fit(catboost.Pool(X, y, baseline=np.zeros((300, 1))))


def test_callbacks_that_act_on_training_act_in_the_folds() -> None:
    X, y = table(400)
    rates = [1.0, 0.8, 0.6, 0.4, 0.2]
    seen: dict[str, list[Any]] = {}
    schedule = lightgbm.reset_parameter(learning_rate=rates)
    model = few_rounds(FocalLGBMClassifier, calibrated="cv")
    model.fit(X, y, callbacks=[schedule, lightgbm.record_evaluation(seen)], eval_set=[(X, y)])
    plain = few_rounds(FocalLGBMClassifier, calibrated="cv").fit(X, y)
    assert abs(model.temperature_ / plain.temperature_ - 1) > 0.01
    assert len(seen["training"]["focal_loss"]) == 5  # not those of folds
    of_xgboost = xgboost.callback.LearningRateScheduler(rates)
    watching = xgboost.callback.EvaluationMonitor()
    model = few_rounds(FocalXGBClassifier, calibrated="cv", callbacks=[of_xgboost, watching])
    model.fit(X, y, eval_set=[(X, y)], verbose=False)
    plain = few_rounds(FocalXGBClassifier, calibrated="cv").fit(X, y)
    assert abs(model.temperature_ / plain.temperature_ - 1) > 0.01


@pytest.mark.parametrize("make", CLASSIFIERS)
def test_rows_without_weight_have_no_part(make: Any) -> None:
    X, y = table(300)
    weight = (np.arange(300) < 250).astype(float)
    wrong = np.where(np.arange(300) < 250, y, 1 - y)
    found = [few_rounds(make, calibrated="cv").fit(X, labels, sample_weight=weight) for labels in (y, wrong)]
    assert found[0].temperature_ == pytest.approx(found[1].temperature_, rel=1e-6)
    with pytest.raises(ValueError, match="must have at least 5 examples of each class, got 2 of 1; give `calibrated=T"):
        few_rounds(make, calibrated="cv").fit(X, y, sample_weight=(np.cumsum(y) < 3).astype(float))


@pytest.mark.parametrize("make", CLASSIFIERS)
def test_separated_classes_keep_a_temperature_of_1(make: Any) -> None:
    X = np.repeat([[-1.0], [1.0]], 50, axis=0)
    with pytest.warns(ConvergenceWarning, match="do not determine a temperature, which stays 1"):
        model = few_rounds(make, calibrated="cv").fit(X, (X[:, 0] > 0).astype(int))
    assert model.temperature_ == 1
    np.testing.assert_array_equal(
        model.predict_proba(X), clone(model).set_params(calibrated=True).fit(X, X[:, 0] > 0).predict_proba(X)
    )


STARTS = [
    (FocalLGBMClassifier, {}, {"init_score": np.zeros(100)}, "init_score"),
    (FocalLGBMClassifier, {}, {"init_model": "model.txt"}, "init_model"),
    (FocalXGBClassifier, {}, {"base_margin": np.zeros(100)}, "base_margin"),
    (FocalXGBClassifier, {}, {"xgb_model": "model.json"}, "xgb_model"),
    (FocalCatBoostClassifier, {}, {"baseline": np.zeros((100, 1))}, "baseline"),
    (FocalCatBoostClassifier, {}, {"init_model": "model.cbm"}, "init_model"),
    (FocalHistGradientBoostingClassifier, {"warm_start": True}, {}, "warm_start"),
]


@pytest.mark.parametrize(("make", "options", "given", "name"), STARTS)
def test_another_start_is_refused(make: Any, options: dict[str, Any], given: dict[str, Any], name: str) -> None:
    X, y = table(100)
    with pytest.raises(ValueError, match=f"`{name}` has no part with calibrated='cv', whose folds start from nothing"):
        few_rounds(make, calibrated="cv", **options).fit(X, y, **given)


@pytest.mark.needs("dask")
@pytest.mark.parametrize(
    ("booster", "name"), [("lightgbm", "FocalDaskLGBMClassifier"), ("xgboost", "FocalDaskXGBClassifier")]
)
def test_dask_is_refused(booster: str, name: str) -> None:
    X, y = table(100)
    make = getattr(importlib.import_module(f"focal_loss.{booster}"), name)
    with pytest.raises(ValueError, match="`calibrated` must be True or False with Dask, got 'cv'"):
        make(calibrated="cv").fit(X, y)


@pytest.mark.parametrize("value", [0.0, -1.0, "warm", [1.0]])
def test_a_damaged_temperature_is_refused(value: Any, tmp_path: Path) -> None:
    X, y = table(200)
    path = tmp_path / "model.txt"
    model = few_rounds(FocalLGBMClassifier, calibrated="cv").fit(X, y).save_model(path)
    text = path.read_text()
    assert '"format": 2' in text
    changed = text.replace(f'"temperature": {model.temperature_!r}', f'"temperature": {json.dumps(value)}')
    blank = changed.replace(text.split("sha256:")[1][:64], "")
    with pytest.raises(ValueError, match="is damaged"):
        FocalLGBMClassifier().load_model(model_str=blank)
    without = few_rounds(FocalLGBMClassifier).fit(X, y).save_model(path)
    assert '"format": 1' in path.read_text()  # older versions read it
    assert not hasattr(without, "temperature_")
