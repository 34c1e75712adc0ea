"""What all classifiers share."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss

from focal_loss import _classifier, calibration
from focal_loss.catboost import FocalCatBoostClassifier
from focal_loss.lightgbm import FocalLGBMClassifier
from focal_loss.xgboost import FocalXGBClassifier

CLASSIFIERS = [FocalLGBMClassifier, FocalXGBClassifier, FocalCatBoostClassifier]


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
@pytest.mark.parametrize("weights", [(1.0, 1.0), (1.0, 7.0), (1.0, 2.0, 3.0)])
@pytest.mark.parametrize("policy", ["majorizer", "exact"])
def test_training_starts_with_the_curvature_of_cross_entropy(gamma: float, weights: tuple, policy: str) -> None:
    shares = np.array([0.9, 0.1] if len(weights) == 2 else [0.7, 0.2, 0.1])
    focus = _classifier.Focus(gamma, weights, policy)
    loss = focus.training_loss(shares)
    start, labels = focus.start(shares), np.arange(len(weights))
    scores = np.tile(start, (len(weights), 1))
    if len(weights) == 2:
        gradient, hessian = loss.derivatives(scores, labels, shares)
        q = 1 / (1 + np.exp(-calibration.prior_logit(0.1, 0.0, pos_weight=weights[1])))
        expected = (0.9 + 0.1 * weights[1]) * q * (1 - q)
    else:
        gradient, hessian = loss.derivatives(scores, labels, shares, overlap=1.0)
        q = shares * weights / (shares * weights).sum()
        expected = (shares * weights).sum() * (q * (1 - q)).sum()
    assert hessian.sum() == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(gradient.sum(axis=0), 0, atol=1e-7)
    if gamma == 0:
        assert loss == focus.loss()


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_same_posteriors_whatever_the_booster(classifier: type) -> None:
    """One column with two values: every booster can learn the frequencies, and must say them."""
    X = np.repeat([0.0, 1.0], 2000)[:, None]
    y = np.concatenate([np.arange(2000) < 40, np.arange(2000) < 600])
    few = {"iterations": 100, "allow_writing_files": False, "verbose": False, "learning_rate": 0.3, "l2_leaf_reg": 0.0}
    options = few if classifier is FocalCatBoostClassifier else {"n_estimators": 100, "reg_lambda": 0.0}
    for gamma, weight in ((2.0, None), (0.5, 4.0), (0.0, 4.0)):
        model = classifier(gamma=gamma, pos_weight=weight, **options).fit(X, y)
        np.testing.assert_allclose(model.predict_proba([[0.0], [1.0]])[:, 1], [0.02, 0.3], rtol=0.02)


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_nothing_without_a_fit(classifier: type) -> None:
    with pytest.raises(NotFittedError):
        classifier().predict_proba([[0.0]])


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 20.0])
@pytest.mark.parametrize("odds", [0.01, 1.0, 50.0])
@pytest.mark.parametrize("scale", [1, 10, 1e4])
@pytest.mark.parametrize("classes", [2, 3])
def test_log_loss_is_that_of_the_probabilities(gamma: float, odds: float, scale: float, classes: int) -> None:
    """Scores are taken in float32: of two classes it is as exact as that."""
    rng = np.random.default_rng(0)
    focus = _classifier.Focus(gamma, (1.0, odds, 2.0)[:classes], "majorizer")
    scores = rng.normal(scale=scale, size=500 if classes == 2 else (500, classes))
    labels, weight = rng.integers(0, classes, 500).astype(float), rng.integers(0, 3, 500).astype(float)
    for sample_weight in (None, weight):
        expected = log_loss(
            labels, focus.probabilities(scores, True), sample_weight=sample_weight, labels=range(classes)
        )
        assert focus.log_loss(scores, labels, sample_weight, True) == pytest.approx(expected, rel=1e-6)
