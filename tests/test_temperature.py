"""`FocalTemperature` as scikit-learn's classifier, and calibration of half precision from every framework."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pandas
import pytest
import torch
from cases import FRAMEWORKS, Framework
from sklearn.base import clone, is_classifier
from sklearn.calibration import CalibrationDisplay
from sklearn.inspection import DecisionBoundaryDisplay
from sklearn.metrics import RocCurveDisplay, average_precision_score, get_scorer, roc_auc_score
from sklearn.model_selection import cross_val_predict, cross_val_score
from sklearn.utils import get_tags

from focal_loss import calibration
from focal_loss.calibration import FocalTemperature, posterior_from_logits


def sample(classes: int, columns: int, rows: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(classes + columns)
    y = rng.integers(0, classes, rows)
    shape = (rows,) if columns == 0 else (rows, columns)
    signal = 2.0 * y - 1 if columns < 2 else 2 * np.eye(classes)[y]
    return rng.normal(size=shape) + signal.reshape(shape), np.array(["no", "perhaps", "yes"])[y]


@pytest.mark.parametrize(("classes", "columns"), [(2, 0), (2, 1), (2, 2), (3, 3)])
def test_a_classifier_of_logits(classes: int, columns: int) -> None:
    z, y = sample(classes, columns)
    weight = "pos_weight" if columns < 2 else "class_weight"
    model = FocalTemperature(gamma=2, **{weight: 5.0 if columns < 2 else [1.0, 5.0, 1.0][:classes]})
    assert is_classifier(model)
    assert get_tags(model).target_tags.required
    assert get_tags(model).classifier_tags.multi_class
    model = clone(model).fit(z, y)
    probability, decision, label = model.predict_proba(z), model.decision_function(z), model.predict(z)
    np.testing.assert_array_equal(label, model.classes_[probability.argmax(1)])
    assert len(set(label)) == classes
    if classes == 2:
        assert decision.shape == (300,)
        np.testing.assert_array_equal(label == model.classes_[1], decision > 0)
        np.testing.assert_allclose(1 / (1 + np.exp(-decision)), probability[:, 1], rtol=1e-12)
    else:
        assert decision.shape == (300, 3)
        np.testing.assert_allclose(np.exp(decision), probability, rtol=1e-12)
    assert model.score(z, y) == np.mean(label == y) > 0.6
    for name in ("neg_log_loss", "accuracy", "roc_auc_ovr"):
        assert np.isfinite(get_scorer(name)(model, z, y))
    assert len(cross_val_score(model, z, y, cv=3)) == 3
    assert cross_val_predict(model, z, y, cv=3, method="decision_function").shape == decision.shape


@pytest.mark.parametrize("columns", [0, 1, 2])
def test_displays_of_scikit_learn_take_it(columns: int) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    z, y = sample(2, columns)
    model = FocalTemperature().fit(z, y)
    shown = CalibrationDisplay.from_estimator(model, z, y, n_bins=5, pos_label=model.classes_[1])
    np.testing.assert_array_equal(shown.y_prob, model.predict_proba(z)[:, 1])
    RocCurveDisplay.from_estimator(model, z, y)
    if columns == 2:
        DecisionBoundaryDisplay.from_estimator(model, z, grid_resolution=5)
        frame = pandas.DataFrame(z, columns=["no", "yes"])
        np.testing.assert_array_equal(model.predict(frame), model.predict(z))
    pyplot.close("all")


# ---------------------------------------------------------------------------------------------------------------
# Several labels per example
# ---------------------------------------------------------------------------------------------------------------


def labelled(labels: int, rows: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Logits of `labels` sigmoids and a table of 0 and 1."""
    rng = np.random.default_rng(labels)
    z = rng.normal(size=(rows, labels))
    return z, (rng.random((rows, labels)) < posterior_from_logits(z, 2)).astype(int)


@pytest.mark.parametrize("labels", [2, 3, 5])
def test_a_classifier_of_several_labels(labels: int) -> None:
    z, y = labelled(labels)
    gamma, weight = np.linspace(1, 3, labels), np.linspace(0.5, 2, labels)
    model = clone(FocalTemperature(gamma, pos_weight=weight)).fit(z, y)
    assert model.multilabel_
    assert get_tags(model).classifier_tags.multi_label
    probability, decision, label = model.predict_proba(z), model.decision_function(z), model.predict(z)
    exact = posterior_from_logits(z / model.temperature_, gamma, pos_weight=weight)
    np.testing.assert_allclose(probability, exact, rtol=1e-12)
    np.testing.assert_allclose(1 / (1 + np.exp(-decision)), probability, rtol=1e-12)
    np.testing.assert_array_equal(label, probability > 0.5)
    assert model.score(z, y) == (label == y).all(axis=1).mean()
    for name, function in (("roc_auc", roc_auc_score), ("average_precision", average_precision_score)):
        assert get_scorer(name)(model, z, y) == function(y, probability)
    for method in ("predict_proba", "decision_function", "predict"):
        assert cross_val_predict(model, z, y, cv=3, method=method).shape == y.shape
    assert np.isfinite(cross_val_score(model, z, y, cv=3, scoring="roc_auc")).all()


def test_one_temperature_for_all_labels() -> None:
    """Labels in K columns determine the temperature that they determine as K times as many examples of one label."""
    z, y = labelled(3)
    weight = np.linspace(0, 1, len(z))
    several = FocalTemperature(2, pos_weight=3.0).fit(2 * z, y, weight)
    one = FocalTemperature(2, pos_weight=3.0).fit(2 * z.ravel(), y.ravel(), np.repeat(weight, 3))
    np.testing.assert_allclose(several.temperature_, one.temperature_, rtol=1e-6)
    assert not one.multilabel_


def test_a_table_is_never_read_as_classes() -> None:
    z, classes = sample(2, 2)
    y = (classes[:, None] == np.unique(classes)).astype(int)
    with pytest.warns(UserWarning, match=r"exactly one 1.*`y\.argmax\(axis=1\)`"):
        model = FocalTemperature().fit(z, y)
    np.testing.assert_allclose(model.predict_proba(z), posterior_from_logits(z / model.temperature_, 2), rtol=1e-12)
    assert np.ptp(model.predict_proba(z).sum(axis=1)) > 0.1
    again = FocalTemperature().fit(z, y.argmax(axis=1))
    np.testing.assert_allclose(again.predict_proba(z).sum(axis=1), 1, rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "y", "message"),
    [
        ({"class_weight": 2}, [[0, 1], [1, 1]], "`class_weight` has no part with a 0 or 1 for each label; pass `pos_w"),
        ({"gamma": [1, 2, 3]}, [[0, 1], [1, 1]], "`gamma` must be a number or have one entry per class (2)"),
        ({"pos_weight": 0}, [[0, 1], [1, 1]], "`pos_weight` must be a positive number, got 0"),
        (
            {},
            [[0, 1, 1], [1, 1, 0]],
            "`y` must have the shape of `logits`, (2, 2), or one class per example, got (2, 3)",
        ),
        ({}, [[0, 1], [2, 1]], "`y` must hold 0 and 1 if it has a column for each label, got 2"),
        ({}, [[0, 0.5], [1, 1]], "`y` must hold 0 and 1 if it has a column for each label, got 0.5"),
        ({}, [[0, np.nan], [1, 1]], "Input y contains NaN"),
    ],
)
def test_bad_tables_of_labels(options: dict[str, Any], y: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        FocalTemperature(**options).fit([[0.5, 1.0], [-1.0, 2.0]], y)
    assert str(caught.value).startswith(message)


# ---------------------------------------------------------------------------------------------------------------
# Tensors
# ---------------------------------------------------------------------------------------------------------------

HALVES = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
TENSORS: dict[str, Callable[[Framework, np.ndarray, str], Any]] = {
    "tensor": lambda framework, x, dtype: framework.tensor(x, dtype),
    "array": lambda framework, x, dtype: x.astype(HALVES[dtype]),
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "posterior_from_logits": lambda of: calibration.posterior_from_logits(of(Z), of(2.0), pos_weight=of(3.0)),
    "posterior_from_score": lambda of: calibration.posterior_from_score(of(P), of(2.0), pos_weight=of(3.0)),
    "score_from_posterior": lambda of: calibration.score_from_posterior(of(P), of(2.0)),
    "categorical_posterior_from_logits": lambda of: calibration.categorical_posterior_from_logits(
        of(V), of([1.0, 2.0, 0.5]), class_weight=of([1.0, 2.0, 4.0])
    ),
    "categorical_posterior_from_score": lambda of: calibration.categorical_posterior_from_score(of(Q), of(2.0)),
    "prior_logit": lambda of: calibration.prior_logit(of(P), of(2.0), pos_weight=of(3.0)),
    "categorical_prior_logits": lambda of: calibration.categorical_prior_logits(
        of([0.5, 0.25, 0.25]), of([1.0, 2.0, 0.5]), class_weight=of([1.0, 2.0, 4.0])
    ),
    "expected_calibration_error": lambda of: calibration.expected_calibration_error(
        of([0.0, 1.0, 0.0, 1.0]), of(P), sample_weight=of([1.0, 2.0, 1.0, 0.5])
    ),
    "FocalTemperature": lambda of: fitted(of).predict_proba(of(Z)),
    "FocalTemperature of classes": lambda of: (
        FocalTemperature(of([1.0, 2.0, 0.5]), class_weight=of([1.0, 2.0, 4.0]))
        .fit(of(V), of([0.0, 2.0, 1.0, 2.0]))
        .decision_function(of(V))
    ),
    "FocalTemperature of labels": lambda of: (
        FocalTemperature(of([1.0, 2.0, 0.5]), pos_weight=of([1.0, 2.0, 4.0]))
        .fit(of(V), of([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
        .predict_proba(of(V))
    ),
}
Z = [-1.5, -0.5, 0.25, 2.0]  # exact in bfloat16, like all numbers below
P = [0.125, 0.5, 0.25, 0.75]
V = [[1.0, 0.5, -1.0], [0.25, -0.5, 0.75], [2.0, 0.0, 0.125], [-1.0, 1.0, 0.5]]
Q = [[0.5, 0.25, 0.25], [0.125, 0.125, 0.75]]


def fitted(of: Callable[[Any], Any]) -> FocalTemperature:
    weight = of([1.0, 2.0, 1.0, 0.5])
    return FocalTemperature(of(2.0), pos_weight=of(3.0)).fit(of(Z), of([0.0, 1.0, 0.0, 1.0]), sample_weight=weight)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("kind", TENSORS)
@pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
def test_half_precision(framework: Framework, kind: str, dtype: str, function: str) -> None:
    """Every argument may be half precision: the result is computed as from float64, and rounded once to its dtype."""
    found = FUNCTIONS[function](lambda x: TENSORS[kind](framework, np.asarray(x), dtype))
    expected = np.asarray(FUNCTIONS[function](lambda x: np.asarray(x, np.float64)), np.float64)
    is_half = "float16" in str(getattr(found, "dtype", ""))
    assert is_half == ("from" in function)
    values = framework.numpy(found) if kind == "tensor" and is_half else np.asarray(found)
    eps = {"float16": 2.0**-11, "bfloat16": 2.0**-8}[dtype] if is_half else 1e-13
    np.testing.assert_allclose(np.asarray(values, np.float64), expected, rtol=1.01 * eps)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(Z, dtype=torch.float8_e5m2),
        torch.tensor(Z, dtype=torch.float64, requires_grad=True),
        torch.nn.Parameter(torch.tensor(Z, dtype=torch.bfloat16)),
        torch.tensor([[z, 0.0] for z in Z])[:, 0],
        torch.tensor([-1j * z for z in Z]).conj().imag,  # a view that negates
        np.asarray(Z).astype(ml_dtypes.float8_e5m2),
    ],
    ids=["float8", "graph", "parameter", "strided", "negated", "float8 of NumPy"],
)
def test_tensors_of_any_kind(tensor: Any) -> None:
    """Every number of Z is exact in every dtype here."""
    model = fitted(lambda x: tensor if x is Z else x)
    np.testing.assert_array_equal(model.predict_proba(tensor), fitted(lambda x: x).predict_proba(Z))


def test_tensors_off_the_graph() -> None:
    """Calibration reads tensors on the host that may be part of a graph, and does not extend the graph."""
    z = torch.tensor(Z, requires_grad=True)
    found = fitted(lambda x: z if x is Z else x).predict_proba(z)
    np.testing.assert_array_equal(found, fitted(lambda x: x).predict_proba(Z))
    assert calibration.expected_calibration_error([0, 1, 0, 1], z.sigmoid()) > 0
    assert calibration.prior_logit(z.sigmoid().mean(), 2).shape == ()
    np.testing.assert_allclose(posterior_from_logits(z, 2).detach(), posterior_from_logits(np.float32(Z), 2), rtol=1e-5)
