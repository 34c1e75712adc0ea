"""`focal_loss.load`: a stored model as a classifier of scikit-learn."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import QUICK, run, table
from sklearn.base import clone
from sklearn.calibration import CalibrationDisplay
from sklearn.metrics import average_precision_score, get_scorer
from sklearn.utils.validation import check_is_fitted

import focal_loss
from focal_loss._command.model import Model, _labels
from focal_loss._dispatch.frameworks import BOOSTERS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of each booster."""
    folder = tmp_path_factory.mktemp("models")
    table().to_csv(folder / "data.csv", index=False)
    for name in BOOSTERS:
        given = ("--target", "rare", *QUICK, "--engine", name, "--out", folder / name)
        assert run("fit", folder / "data.csv", *given) == 0
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return focal_loss.load(folder / "lightgbm")


@pytest.mark.parametrize("engine", BOOSTERS)
def test_a_model_gives_what_predict_writes(engine: str, folder: Path, tmp_path: Path) -> None:
    assert run("predict", folder / engine, folder / "data.csv", "--out", tmp_path / "p.csv") == 0
    # The reader of pandas 2 is not exact, that of Python is.
    written = pd.read_csv(tmp_path / "p.csv", dtype={"probability": str}).astype({"probability": float})
    model = focal_loss.load(str(folder / engine))
    for frame in (table(), pd.read_csv(folder / "data.csv")):  # with days as dates, and as words
        turned = frame[frame.columns[::-1]].assign(other=1)
        before = turned.copy()
        found = model.predict_proba(turned)
        np.testing.assert_allclose(found[:, 1], written.probability, rtol=1e-15)
        np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-15)
        assert model.predict(turned).tolist() == written.iloc[:, 1].tolist()
        pd.testing.assert_frame_equal(turned, before)
    assert model.predict_proba(table()[:0]).shape == (0, 2)
    assert {column.name: column.kind for column in model.schema.columns} == {
        "number": "number", "yes": "boolean", "day": "date", "kind": "category",
    }  # fmt: skip
    assert set(model.feature_names_in_) == {"number", "yes", "day", "kind"}


def test_scikit_learn_takes_it(model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = table(), table().rare
    check_is_fitted(model)
    assert clone(model) is model
    assert repr(model) == f"focal_loss.load({str(folder / 'lightgbm')!r})"
    positive = model.predict_proba(X)[:, 1]
    assert get_scorer("average_precision")(model, X, y) == average_precision_score(y, positive)
    assert model.score(X, y) == np.mean((positive >= model.threshold) == y)
    monkeypatch.setattr(CalibrationDisplay, "plot", lambda self, **_: self)
    shown = CalibrationDisplay.from_estimator(model, X, y)
    np.testing.assert_array_equal(shown.y_prob, positive)
    assert max(shown.prob_true) > 0.5
    with pytest.raises(TypeError, match="a stored model cannot be fitted again"):
        model.fit(X, y)
    with pytest.raises(ValueError, match="Invalid parameter 'threshold'"):
        model.set_params(threshold=0.5)


def test_nothing_is_unpickled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("unpickled")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    for engine in BOOSTERS:
        focal_loss.load(folder / engine).predict(table()[:2])


def test_a_positive_that_sorts_first(folder: Path, tmp_path: Path) -> None:
    """`classes_` are sorted, as scikit-learn's metrics expect, and the columns follow them."""
    words = table().assign(rare=table().rare.map({0: "yes", 1: "no"}))
    words.to_csv(tmp_path / "words.csv", index=False)
    given = ("--target", "rare", "--positive", "no", *QUICK)
    assert run("fit", tmp_path / "words.csv", *given, "--out", tmp_path / "m") == 0
    model, numbers = focal_loss.load(tmp_path / "m"), focal_loss.load(folder / "lightgbm")
    assert (model.positive, model.classes_.tolist()) == ("no", ["no", "yes"])
    np.testing.assert_array_equal(model.predict_proba(words), numbers.predict_proba(words)[:, ::-1])
    assert set(model.predict(words)) == {"no", "yes"}
    assert ((model.predict(words) == "no") == numbers.predict(words)).all()
    auc = get_scorer("roc_auc")
    np.testing.assert_allclose(auc(model, words, words.rare), auc(numbers, words, table().rare), rtol=1e-12)


def test_labels_are_those_that_pandas_reads() -> None:
    cases = {
        ("0", "1"): (0, 1),
        ("1.5", "2"): (1.5, 2.0),
        ("False", "TRUE"): (False, True),
        ("007", "1"): ("007", "1"),
        ("not 3", "3"): ("not 3", "3"),
        ("no", "true"): ("no", "true"),
    }
    for words, labels in cases.items():
        assert _labels(*words) == labels
        assert list(map(type, _labels(*words))) == list(map(type, labels))


def test_tables_that_do_not_fit(model: Model) -> None:
    frame = table()
    with pytest.raises(TypeError, match="`X` must be a pandas DataFrame"):
        model.predict(frame.to_numpy())
    for changed, words in (
        (frame.drop(columns="number"), "X has no column 'number', which the model needs"),
        (frame.assign(number="many"), "X: column 'number' must hold numbers"),
        (frame.assign(day=1), "X: column 'day' must hold dates"),
        (frame.assign(day="soon"), "X: column 'day' must hold dates written as in training, such as"),
        (frame.assign(kind=["a", 1] * 200), "X: column 'kind' holds mixed values"),
        (pd.concat([frame, frame.number], axis=1), "X has 'number' for the name of more than one column"),
    ):
        with pytest.raises(ValueError, match=words):
            model.predict_proba(changed)
    with pytest.warns(UserWarning, match="'kind' holds words that it did not in training, such as 'blue', in 400 rows"):
        model.predict_proba(frame.assign(kind="blue"))
    for nothing in (None, np.nan):
        with pytest.warns(UserWarning, match="'number' holds no value in any row; it counts as missing"):
            model.predict_proba(frame.assign(number=nothing))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict_proba(frame.assign(kind=frame.kind.astype("category")))


def test_a_directory_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no model"):
        focal_loss.load(tmp_path)
