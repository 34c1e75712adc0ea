"""scikit-learn's histogram trees: gamma 0 is the parent tree by tree, and the classifier keeps its contract."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from made import table
from scipy.special import expit
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.inspection import partial_dependence
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import check_estimator
from threadpoolctl import threadpool_limits

import focal_loss
from focal_loss import calibration
from focal_loss._boosting.classifier import Focus
from focal_loss._core.private import MISSING
from focal_loss._host import kernels
from focal_loss.sklearn import FocalHistGradientBoostingClassifier, _private
from focal_loss.sklearn._loss import FocalLoss

FAST: dict[str, Any] = {"max_iter": 20, "max_leaf_nodes": 15}
SKLEARN_1_7 = tuple(map(int, sklearn.__version__.split(".")[:2])) >= (1, 7)


def builtin(**parameters: Any) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(**(FAST | parameters))


def focal(**parameters: Any) -> FocalHistGradientBoostingClassifier:
    return FocalHistGradientBoostingClassifier(**(FAST | parameters))


def weights(examples: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(0.5, 2, examples)


# ---------------------------------------------------------------------------------------------------------------
# The loss
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("policy", ["majorizer", "exact", "relative_floor"])
@pytest.mark.parametrize("of_classes", [(1.0, 3.0), (1.0, 2.0, 3.0)])
def test_derivatives_are_those_of_the_loss_rounded_once(
    of_classes: tuple[float, ...], policy: Any, weighted: bool, native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are written into the arrays that scikit-learn hands: float32, the scores of a class side by side."""
    if not native:
        monkeypatch.setattr(kernels, "NATIVE", None)
    n, classes = 3000, len(of_classes)
    rng = np.random.default_rng(0)
    scores = np.asfortranarray(rng.normal(size=(n, classes if classes > 2 else 1)) * 4)
    y, weight = rng.integers(0, classes, n).astype(float), weights(n) if weighted else None
    focus = Focus(1.5, of_classes, policy)
    loss = FocalLoss(focus, focus.loss())
    given = gradient, hessian = loss.init_gradient_and_hessian(n, np.float32, "F")
    assert gradient.shape == hessian.shape == ((n,) if classes == 2 else (n, classes))
    found = loss.gradient_hessian(y, scores, weight, *given)
    assert found[0] is gradient
    assert found[1] is hessian
    if classes == 2:
        exact = focal_loss.numpy.binary_focal_loss_derivatives(
            y, scores[:, 0], 1.5, pos_weight=of_classes[1], hessian=policy
        )
        upstream = 1.0 if weight is None else weight
    else:
        exact = focal_loss.numpy.sparse_categorical_focal_loss_derivatives(
            y, scores, 1.5, class_weight=of_classes, hessian=policy
        )
        upstream = 1.0 if weight is None else weight[:, None]
    for found, expected in zip(given, exact[1:], strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected * upstream, rtol=1e-7, atol=1e-15)  # half a unit is 6e-8
    np.testing.assert_allclose(loss.loss(y, scores, weight), exact.value * (1.0 if weight is None else weight))
    np.testing.assert_allclose(loss(y, scores, weight), np.average(exact.value, weights=weight))


def test_the_threads_are_those_of_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int | None] = []
    inner = kernels.num_threads
    monkeypatch.setattr(kernels, "num_threads", lambda default=None: (seen.append(default), inner(default))[1])
    for classes in (2, 3):
        focus = Focus(2.0, (1.0,) * classes, "majorizer")
        loss, scores = FocalLoss(focus, focus.loss()), np.zeros((9, classes if classes > 2 else 1), order="F")
        seen.clear()
        loss.gradient_hessian(np.zeros(9), scores, n_threads=3)
        loss(np.zeros(9), scores, n_threads=4)
        assert seen == [3, 4]
    with threadpool_limits(1):
        focal(max_iter=2).fit(*table(200))
    assert seen.count(1) == 2


# ---------------------------------------------------------------------------------------------------------------
# Gamma 0 is the parent
# ---------------------------------------------------------------------------------------------------------------


def nodes(model: HistGradientBoostingClassifier) -> list[Any]:
    return [
        predictor.nodes[["feature_idx", "bin_threshold", "is_leaf", "left", "right", "count"]].tolist()
        for each in model._predictors
        for predictor in each
    ]


STOPS = {"early_stopping": True, "random_state": 0}
SAME: list[tuple[int, bool, dict[str, Any]]] = [
    (2, False, {}),
    (2, True, STOPS),
    (2, False, STOPS | {"scoring": "neg_log_loss"}),
    (2, True, {"l2_regularization": 5.0, "max_features": 0.5, "random_state": 0}),
    (3, True, {}),
    (3, True, STOPS | {"scoring": "neg_log_loss"}),
    (10, False, STOPS),
    (10, True, {"l2_regularization": 5.0}),
]


@pytest.mark.parametrize(("classes", "weighted", "parameters"), SAME, ids=str)
def test_gamma_0_grows_the_trees_of_the_parent(classes: int, weighted: bool, parameters: dict[str, Any]) -> None:
    """Derivatives are computed in float64 and rounded once, as there; the trees are the same node by node."""
    X, y = load_digits(return_X_y=True) if classes == 10 else table(700, classes)
    X, y, parameters = X[:700], y[:700], {"max_iter": 6, **parameters}
    weight = weights(len(y)) if weighted else None
    ours, theirs = (model.fit(X, y, weight) for model in (focal(gamma=0, **parameters), builtin(**parameters)))
    assert nodes(ours) == nodes(theirs)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-11)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    np.testing.assert_allclose(ours.train_score_, theirs.train_score_, rtol=1e-9)
    np.testing.assert_allclose(ours.validation_score_, theirs.validation_score_, rtol=1e-9)
    if classes == 2:
        np.testing.assert_allclose(ours.decision_function(X), theirs.decision_function(X), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("class_weight", [{0: 1.0, 1: 3.0, 2: 0.5}, "balanced"], ids=str)
@pytest.mark.parametrize("classes", [2, 3])
def test_class_weights_are_those_of_the_parent(classes: int, class_weight: Any) -> None:
    X, y = table(classes=classes)
    X = X.round(1)  # few values, so that the parent's bins, which depend on the weights of the classes, are the same
    given = {k: v for k, v in class_weight.items() if k < classes} if isinstance(class_weight, dict) else class_weight
    ours = focal(gamma=0, class_weight=given, calibrated=False).fit(X, y)
    theirs = builtin(class_weight=given).fit(X, y)
    assert nodes(ours) == nodes(theirs)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-9)
    prior = np.bincount(y) / len(y)
    start = builtin(learning_rate=1e-9).fit(X, y).predict_proba(X).mean(axis=0)
    np.testing.assert_allclose(start, prior, rtol=1e-6)
    found = ours.set_params(calibrated=True).predict_proba(X).mean(axis=0)
    np.testing.assert_allclose(found, prior, atol=0.02)


# ---------------------------------------------------------------------------------------------------------------
# Probabilities
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_are_the_posteriors_of_the_scores(classes: int) -> None:
    X, y = table(classes=classes)
    model = focal(gamma=2, class_weight="balanced").fit(X, y)
    factors, scores = np.array(model._focus.weights), model._raw_predict(X)
    if classes == 2:
        expected = calibration.posterior_from_logits(scores[:, 0], 2.0, pos_weight=factors[1] / factors[0])
        np.testing.assert_allclose(model.predict_proba(X)[:, 1], expected, rtol=1e-12)
        solved = calibration.prior_logit(y.mean(), 2.0, pos_weight=factors[1] / factors[0])
        np.testing.assert_allclose(model.set_params(calibrated=False).decision_function(X), scores[:, 0], atol=1e-12)
    else:
        expected = calibration.categorical_posterior_from_logits(scores, 2.0, class_weight=factors)
        np.testing.assert_allclose(model.predict_proba(X), expected, rtol=1e-12)
        solved = calibration.categorical_prior_logits(np.bincount(y) / len(y), 2.0, class_weight=factors)
    np.testing.assert_allclose(model.start_score_, solved, rtol=1e-12)
    assert model._loss.grown == model._focus.training_loss(np.bincount(y) / len(y)) != model._focus.loss()
    assert np.shape(model.start_score_) == (() if classes == 2 else (3,))


@pytest.mark.parametrize(("classes", "gamma"), [(2, 0.5), (2, 5.0), (3, 2.0)])
def test_log_loss_is_near_that_of_cross_entropy(classes: int, gamma: float) -> None:
    X, y = table(6000, classes)
    ours = focal(gamma=gamma).fit(X[:3000], y[:3000])
    theirs = builtin().fit(X[:3000], y[:3000])
    found, expected = (log_loss(y[3000:], model.predict_proba(X[3000:])) for model in (ours, theirs))
    assert found < 1.1 * expected
    assert found < log_loss(y[3000:], ours.set_params(calibrated=False).predict_proba(X[3000:]))


@pytest.mark.parametrize("classes", [2, 3])
def test_stages_end_in_the_prediction(classes: int) -> None:
    X, y = table(500, classes)
    model = focal(gamma=2, class_weight="balanced").fit(X, y)
    for method in ("predict", "predict_proba", "decision_function"):
        stages = list(getattr(model, f"staged_{method}")(X))
        assert len(stages) == model.n_iter_ == 20
        np.testing.assert_array_equal(stages[-1], getattr(model, method)(X))
    first = next(iter(model.staged_predict_proba(X)))
    np.testing.assert_allclose(first.mean(axis=0), np.bincount(y) / len(y), atol=0.02)
    with pytest.raises(ValueError, match="`X` must hold NaN"):
        model.staged_predict(np.ma.MaskedArray(X, X > 2))


# ---------------------------------------------------------------------------------------------------------------
# Training
# ---------------------------------------------------------------------------------------------------------------


def brier(model: Any, X: Any, y: Any) -> float:
    return -float(np.mean((model.predict_proba(X)[:, 1] - y) ** 2))


@pytest.mark.parametrize("scoring", ["loss", "neg_log_loss", "roc_auc", None, brier])
def test_early_stopping_watches_the_probabilities(scoring: Any) -> None:
    if not SKLEARN_1_7:
        return
    X, y = table(2000)
    held = {"X_val": X[1500:], "y_val": y[1500:]}
    model = focal(
        gamma=2, pos_weight=5, max_iter=500, learning_rate=0.3, early_stopping=True, scoring=scoring, n_iter_no_change=3
    ).fit(X[:1500], y[:1500], **held)
    assert model.n_iter_ < 500
    last, probability = model.validation_score_[-1], model.predict_proba(X[1500:])[:, 1]
    expected = {
        "loss": -focal_loss.numpy.binary_focal_loss(
            y[1500:], model._raw_predict(X[1500:])[:, 0], 2.0, pos_weight=5.0, from_logits=True
        ).mean(),
        "neg_log_loss": -log_loss(y[1500:], probability),
        "roc_auc": roc_auc_score(y[1500:], probability),
        None: np.mean(y[1500:] == (probability > 0.5)),
        brier: brier(model, X[1500:], y[1500:]),
    }[scoring]
    assert last == pytest.approx(expected, rel=1e-9)
    assert max(model.validation_score_[-3:]) <= max(model.validation_score_[:-3]) + 1e-6


def test_a_class_without_weight_in_the_part_that_is_trained_on() -> None:
    """The whole sample has weight in each class, but the split may leave none."""
    X, y = table(200)
    weight = 1.0 - y
    weight[np.flatnonzero(y)[0]] = 1.0
    for seed in range(8):
        model = focal(early_stopping=True, validation_fraction=0.5, random_state=seed).fit(X, y, weight)
        assert np.isfinite(model.predict_proba(X)).all()


def test_categories_missing_values_constraints_and_labels_as_words() -> None:
    X, y = table(2000)
    frame = pd.DataFrame(X, columns=list("abcde"))
    frame.loc[::7, "a"] = np.nan
    frame["kind"] = pd.Categorical(np.where(y == 1, "x", np.where(X[:, 3] > 0, "y", "z")))
    names = pd.Series(np.where(y == 1, "ill", "well"))
    model = focal(class_weight={"ill": 4.0}).fit(frame, names)
    assert model.classes_.tolist() == ["ill", "well"]
    assert model.is_categorical_.tolist() == [False] * 5 + [True]
    assert (model.predict(frame) == names).mean() > 0.99, "the category tells"
    rising = focal(monotonic_cst={"a": 1}).fit(frame[["a", "b"]], y)
    line = pd.DataFrame({"a": np.linspace(-3, 3, 50), "b": 0.5})
    assert (np.diff(rising.predict_proba(line)[:, 1]) >= 0).all()
    with pytest.raises(ValueError, match="monotonic constraints are not supported for multiclass"):
        focal(monotonic_cst=[1, 0, 0, 0, 0]).fit(*table(300, 3))


@pytest.mark.parametrize("kinds", [("no", "yes"), (False, True), (-1, 1), (3.0, 7.0), (2**53, 2**53 + 1)], ids=repr)
def test_labels_of_any_kind(kinds: tuple[Any, Any]) -> None:
    X, y = table(500)
    labels = np.array(kinds)[y]
    model = focal().fit(X, labels)
    assert model.classes_.tolist() == list(kinds)
    assert model.predict(X).dtype == labels.dtype
    np.testing.assert_array_equal(model.predict_proba(X), focal().fit(X, y).predict_proba(X))


def test_a_warm_start_goes_on() -> None:
    X, y = table(1000)
    model = focal(max_iter=10, warm_start=True, pos_weight=3).fit(X, y)
    model.set_params(max_iter=20).fit(X, y)
    whole = focal(max_iter=20, pos_weight=3).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X), whole.predict_proba(X), atol=1e-9)
    with pytest.raises(ValueError, match=r"`y` must hold the classes \[0, 1\] of the fit before, got \[1, 2\]"):
        model.fit(X, y + 1)
    np.testing.assert_allclose(model.predict_proba(X), whole.predict_proba(X), atol=1e-9)


@pytest.mark.parametrize("policy", ["majorizer", "exact", "relative_floor"])
@pytest.mark.parametrize("classes", [2, 3])
def test_no_run_diverges(policy: Any, classes: int) -> None:
    X, y = table(2000, classes)
    harsh = {"max_depth": 8, "max_leaf_nodes": None, "min_samples_leaf": 1, "learning_rate": 1.0, "max_iter": 20}
    scores = focal(gamma=5.0, hessian=policy, **harsh).fit(X, y)._raw_predict(X)
    assert np.abs(scores).max() < 60


# ---------------------------------------------------------------------------------------------------------------
# The contract of estimators
# ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 3])
def test_parameters_clones_and_pickles(classes: int) -> None:
    X, y = table(500, classes)
    model = focal(gamma=3.0, class_weight="balanced", hessian="exact", calibrated=False, max_depth=3)
    before = {**model.get_params()}
    assert set(before) - set(builtin().get_params()) == {"gamma", "pos_weight", "hessian", "calibrated"}
    assert clone(model.fit(X, y)).get_params() == before == model.get_params()
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(
        copy.set_params(calibrated=True).predict_proba(X), model._loss.predict_proba(model._raw_predict(X))
    )
    with pytest.raises(TypeError, match="loss"):
        focal(loss="log_loss")
    with pytest.raises(ValueError, match="Invalid parameter 'loss'"):
        focal().set_params(loss="log_loss")


def test_searches_and_metadata_are_routed_as_of_the_parent() -> None:
    X, y = table(400)
    search = GridSearchCV(focal(max_iter=3), {"gamma": [0, 2], "pos_weight": [None, 3]}, cv=2, scoring="neg_log_loss")
    assert len(search.fit(X, y).cv_results_["params"]) == 4
    with sklearn.config_context(enable_metadata_routing=True):
        asked = {"sample_weight": True}
        ours, theirs = (
            model.set_fit_request(**asked).get_metadata_routing()._serialize() for model in (focal(), builtin())
        )
    assert {name: ours["fit"][name] for name in theirs["fit"]} == theirs["fit"]
    assert ours["score"] == theirs["score"]


def test_partial_dependence_is_that_of_the_log_odds() -> None:
    X, y = table(500)
    model = focal(gamma=2, pos_weight=3).fit(X, y)
    with pytest.raises(NotImplementedError, match="pass `method='brute'`"):
        partial_dependence(model, X, [0], method="recursion", response_method="decision_function")
    found = partial_dependence(model, X, [0], method="brute", response_method="decision_function", grid_resolution=5)
    at = np.array(X)
    at[:, 0] = found["grid_values"][0][2]
    np.testing.assert_allclose(found["average"][0, 2], model.decision_function(at).mean())


def test_checks_of_scikit_learn() -> None:
    def failed(model: Any) -> set[str]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = check_estimator(model, on_fail=None, on_skip=None)
        assert len(results) > 50
        return {result["check_name"] for result in results if result["status"] == "failed"}

    few = {"max_iter": 4, "max_leaf_nodes": 4}
    parent = failed(builtin(**few))
    assert failed(focal(calibrated=False, **few)) == parent
    assert failed(focal(**few)) == parent | {"check_class_weight_classifiers"}, "wants weights to move predictions"


def test_a_version_without_a_private_name_is_an_error_that_says_which_has_it() -> None:
    says = r"`focal_loss.sklearn` needs scikit-learn 1.7 to 1.9, got \S+: {}; pip install 'scikit-learn>=1.7,<1.10'"
    try:
        with pytest.raises(ImportError, match=says.format("there is no `sklearn.ensemble.No.name`")):
            _private.needed("sklearn.ensemble", "No.name")
        assert MISSING["sklearn"] == ["there is no `sklearn.ensemble.No.name`: it has no focal loss"]
    finally:
        MISSING.pop("sklearn", None)
    with pytest.raises(ImportError, match=says.format("`sklearn._loss.loss.BaseLoss.loss` takes no `margin`")):
        _private.needed("sklearn._loss.loss", "BaseLoss.loss", "y_true", "margin")


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
    ({"class_weight": "even"}, {}, ValueError, "The 'class_weight' parameter"),
    ({"hessian": "floor"}, {}, ValueError, "`hessian` must be one of"),
    ({"calibrated": "yes"}, {}, TypeError, "`calibrated` must be True, False or 'cv'"),
    ({"max_iter": 0}, {}, ValueError, "The 'max_iter' parameter"),
    ({}, {"y": np.zeros(100)}, ValueError, r"at least two classes, got one class: \[0.0\]"),
    ({}, {"y": np.where(Y, np.nan, 0.0)}, ValueError, "Input y contains NaN"),
    ({}, {"y": np.linspace(0, 1, 100)}, ValueError, "Unknown label type"),
    ({}, {"y": Y[:50]}, ValueError, "inconsistent numbers of samples"),
    ({}, {"sample_weight": -np.ones(100)}, ValueError, "`sample_weight` must hold one non-negative number"),
    ({}, {"sample_weight": np.ones(3)}, ValueError, "sample_weight.shape == "),
    ({}, {"sample_weight": 1.0 - Y}, ValueError, "`sample_weight` is zero for every example of class 1"),
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
    model = focal(pos_weight=2.0, gamma=0.0, calibrated=False, learning_rate=1e-9).fit(X, Y)
    expected = expit(np.log(2 * Y.mean() / (1 - Y.mean())))
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], expected, rtol=1e-6)
