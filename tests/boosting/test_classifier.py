"""Properties of the classifiers of all boosters."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from made import table
from scipy.special import expit, softmax
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss
from sklearn.multiclass import OneVsRestClassifier

from focal_loss import calibration
from focal_loss._boosting import classifier
from focal_loss.catboost import FocalCatBoostClassifier
from focal_loss.lightgbm import FocalLGBMClassifier
from focal_loss.sklearn import FocalHistGradientBoostingClassifier
from focal_loss.xgboost import FocalXGBClassifier

CLASSIFIERS = [FocalLGBMClassifier, FocalXGBClassifier, FocalCatBoostClassifier, FocalHistGradientBoostingClassifier]


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
@pytest.mark.parametrize("weights", [(1.0, 1.0), (1.0, 7.0), (1.0, 2.0, 3.0)])
@pytest.mark.parametrize("policy", ["majorizer", "exact"])
def test_training_starts_with_the_curvature_of_cross_entropy(gamma: float, weights: tuple, policy: str) -> None:
    prior = np.array([0.9, 0.1] if len(weights) == 2 else [0.7, 0.2, 0.1])
    focus = classifier.Focus(gamma, weights, policy)
    loss = focus.training_loss(prior)
    start, labels = focus.start(prior), np.arange(len(weights))
    scores = np.tile(start, (len(weights), 1))
    if len(weights) == 2:
        gradient, hessian = loss.derivatives(scores, labels, prior)
        q = 1 / (1 + np.exp(-calibration.prior_logit(0.1, 0.0, pos_weight=weights[1])))
        expected = (0.9 + 0.1 * weights[1]) * q * (1 - q)
    else:
        gradient, hessian = loss.derivatives(scores, labels, prior, overlap=1.0)
        q = prior * weights / (prior * weights).sum()
        expected = (prior * weights).sum() * (q * (1 - q)).sum()
    assert hessian.sum() == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(gradient.sum(axis=0), 0, atol=1e-7)
    if gamma == 0:
        assert loss == focus.loss()


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_same_posteriors_whatever_the_booster(classifier: type) -> None:
    """With one column of two values every booster can learn the frequencies, and must predict them."""
    X = np.repeat([0.0, 1.0], 2000)[:, None]
    y = np.concatenate([np.arange(2000) < 40, np.arange(2000) < 600])
    few = {"iterations": 100, "allow_writing_files": False, "verbose": False, "learning_rate": 0.3, "l2_leaf_reg": 0.0}
    options = few if classifier is FocalCatBoostClassifier else {"n_estimators": 100, "reg_lambda": 0.0}
    options = {"max_iter": 100} if classifier is FocalHistGradientBoostingClassifier else options
    for gamma, weight in ((2.0, None), (0.5, 4.0), (0.0, 4.0)):
        model = classifier(gamma=gamma, pos_weight=weight, **options).fit(X, y)
        np.testing.assert_allclose(model.predict_proba([[0.0], [1.0]])[:, 1], [0.02, 0.3], rtol=0.02)


def few_rounds(classifier: type, rounds: int = 5, **parameters: Any) -> Any:
    quiet = {
        FocalLGBMClassifier: {"n_estimators": rounds, "n_jobs": 1, "verbosity": -1},
        FocalXGBClassifier: {"n_estimators": rounds, "n_jobs": 1},
        FocalCatBoostClassifier: {
            "iterations": rounds, "allow_writing_files": False, "verbose": False, "thread_count": 1, "depth": 3,
            "learning_rate": 0.3,
        },
        FocalHistGradientBoostingClassifier: {"max_iter": rounds},
    }  # fmt: skip
    return classifier(**(quiet[classifier] | parameters))


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_decision_is_the_log_odds_of_the_posterior(classifier: type) -> None:
    X, y = np.repeat([[0.0], [1.0]], 100, axis=0), np.r_[np.arange(100) < 10, np.arange(100) < 40].astype(int)
    plain = {"l2_leaf_reg": 0.0, "depth": 1, "bootstrap_type": "No"} if classifier is FocalCatBoostClassifier else {}
    plain |= {"min_child_samples": 1, "num_leaves": 2} if classifier is FocalLGBMClassifier else {}
    plain |= {"reg_lambda": 0.0, "max_depth": 1} if classifier is FocalXGBClassifier else {}
    plain |= {"min_samples_leaf": 1, "max_depth": 1} if classifier is FocalHistGradientBoostingClassifier else {}
    model = few_rounds(classifier, 200, gamma=2, pos_weight=9, learning_rate=0.3, **plain).fit(X, y)
    found = model.decision_function([[0.0], [1.0]])
    bound = 1e-3 if classifier is FocalXGBClassifier else 1e-5  # XGBoost makes no split with a gain below 1e-6
    np.testing.assert_allclose(found, [-2.19722457734, -0.405465108108], rtol=bound)
    np.testing.assert_allclose(expit(found), model.predict_proba([[0.0], [1.0]])[:, 1], rtol=1e-12)


@pytest.mark.parametrize("classifier", CLASSIFIERS)
@pytest.mark.parametrize("calibrated", [True, False])
@pytest.mark.parametrize("classes", [2, 3])
def test_decision_agrees_with_predict(classifier: type, calibrated: bool, classes: int) -> None:
    X, y = table(300, classes)
    model = few_rounds(classifier, class_weight="balanced", calibrated=calibrated).fit(X, y)
    decision, probabilities = model.decision_function(X), model.predict_proba(X)
    if classes == 2:
        assert decision.shape == (300,)
        np.testing.assert_array_equal(decision > 0, model.predict(X))
        np.testing.assert_allclose(expit(decision), probabilities[:, 1], rtol=1e-9)
    else:
        np.testing.assert_array_equal(decision.argmax(axis=1), model.predict(X))
        np.testing.assert_allclose(softmax(decision, axis=1), probabilities, rtol=1e-9)


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_one_against_the_rest_and_calibration_take_the_decision(classifier: type) -> None:
    X, y = table(600, 3)
    several = OneVsRestClassifier(few_rounds(classifier, class_weight="balanced")).fit(X, y)
    posteriors = np.column_stack([model.predict_proba(X)[:, 1] for model in several.estimators_])
    np.testing.assert_array_equal(several.predict(X), posteriors.argmax(axis=1))
    binary = (y == 1).astype(int)
    methods = CalibratedClassifierCV._parameter_constraints["method"][0].options  # a temperature since 1.8
    for weight, method in itertools.product((None, 30.0), methods):
        model = few_rounds(classifier, pos_weight=weight)
        calibrated = CalibratedClassifierCV(model, method=method, cv=3).fit(X, binary)
        assert abs(calibrated.predict_proba(X)[:, 1].mean() - binary.mean()) < 0.05


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
@pytest.mark.parametrize("weights", [(1.0, 7.0), (1.0, 2.0, 3.0)])
def test_decision_is_exact_where_probabilities_are_rounded(gamma: float, weights: tuple) -> None:
    focus = classifier.Focus(gamma, weights, "majorizer")
    scores = np.array([-900.0, -30.0, -1.0, 0.0, 2.0, 500.0])
    scores = scores if len(weights) == 2 else np.column_stack([scores, -scores, np.zeros(6)])
    decision, middle = focus.log_odds(scores, True), slice(2, 5)
    assert np.isfinite(decision).all()
    expected = np.log(focus.probabilities(scores, True)[middle])
    expected = expected if len(weights) > 2 else expected[:, 1] - expected[:, 0]
    np.testing.assert_allclose(decision[middle], expected, rtol=1e-9, atol=1e-12)
    assert np.ptp(decision) > 1000


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_nothing_without_a_fit(classifier: type) -> None:
    with pytest.raises(NotFittedError):
        classifier().predict_proba([[0.0]])


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 20.0])
@pytest.mark.parametrize("odds", [0.01, 1.0, 50.0])
@pytest.mark.parametrize("scale", [1, 10, 1e4])
@pytest.mark.parametrize("classes", [2, 3])
def test_log_loss_is_that_of_the_probabilities(gamma: float, odds: float, scale: float, classes: int) -> None:
    """With two classes scores are rounded to float32, and the log loss is exact to that."""
    rng = np.random.default_rng(0)
    focus = classifier.Focus(gamma, (1.0, odds, 2.0)[:classes], "majorizer")
    scores = rng.normal(scale=scale, size=500 if classes == 2 else (500, classes))
    labels, weight = rng.integers(0, classes, 500).astype(float), rng.integers(0, 3, 500).astype(float)
    for sample_weight in (None, weight):
        expected = log_loss(
            labels, focus.probabilities(scores, True), sample_weight=sample_weight, labels=range(classes)
        )
        assert focus.log_loss(scores, labels, sample_weight, True) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("value", [None, "", False, "default"])
def test_parameters_left_as_they_are_are_not_refused(value: Any) -> None:
    """An empty string is LightGBM's own word for none."""
    classifier.refuse({"alias": value}, {"name": "has no effect"}, {"name": value or False}, {"alias": "name"})
    with pytest.raises(ValueError, match="`alias` must be left alone, got 'other': has no effect"):
        classifier.refuse({"alias": "other"}, {"name": "has no effect"}, {"name": value}, {"alias": "name"})


@pytest.mark.parametrize("make", CLASSIFIERS)
def test_a_gamma_that_leaves_no_hessian(make: Any) -> None:
    X, y = table(50)
    with pytest.raises(ValueError, match=r"`gamma` must be small enough for a Hessian above 0, got 500\.0; try 2"):
        make(gamma=500).fit(X, y)
