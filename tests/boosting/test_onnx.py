"""Classifiers in ONNX: onnxruntime gives what `predict_proba` and `predict` give."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from onnx import TensorProto, helper
from sklearn.exceptions import NotFittedError

from focal_loss._boosting import graph
from focal_loss.calibration import categorical_posterior_from_logits, posterior_from_logits

NAMES = {
    "lightgbm": "FocalLGBMClassifier",
    "xgboost": "FocalXGBClassifier",
    "catboost": "FocalCatBoostClassifier",
    "sklearn": "FocalHistGradientBoostingClassifier",
}
OPTIONS: dict[str, dict[str, Any]] = {
    "lightgbm": {"n_estimators": 15, "verbosity": -1, "n_jobs": 1, "min_child_samples": 5},
    "xgboost": {"n_estimators": 15, "enable_categorical": True, "n_jobs": 1},
    "catboost": {"iterations": 15, "allow_writing_files": False, "verbose": False, "thread_count": 1, "depth": 4},
    "sklearn": {"max_iter": 15, "min_samples_leaf": 5},
}
# XGBoost adds up its trees in float32; everything else here is float64.
TOLERANCE = {"lightgbm": 1e-14, "xgboost": 2e-6, "catboost": 1e-14, "sklearn": 1e-14}


def table(classes: int, categories: bool, missing: bool, rows: int = 600) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, 5)).round(2)
    kind = rng.integers(0, 40, rows)
    scores = np.stack([np.zeros(rows), X[:, 0] + kind % 3 - 2, 1.5 * X[:, 3] - 2][:classes], axis=1)
    y = (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)
    if missing:
        X[rng.random(X.shape) < 0.15] = np.nan
    frame = pd.DataFrame(X, columns=list("abcde"))
    if categories:
        words = np.array([f"w{k}" for k in kind], object)
        words[rng.random(rows) < 0.1 * missing] = None
        frame.insert(2, "kind", pd.Categorical(words))
        frame["two"] = pd.Categorical(np.where(X[:, 1] > 0.3, "x", "ä'\n"))
    return frame, y


def seen_by(engine: str, frame: pd.DataFrame) -> pd.DataFrame:
    """The table as the booster takes it: categories of CatBoost are words, and those of XGBoost are ASCII."""
    words = [name for name in frame if isinstance(frame[name].dtype, pd.CategoricalDtype)]
    if engine == "xgboost":
        return frame.assign(**{name: frame[name].cat.rename_categories(ascii) for name in words})
    if engine != "catboost":
        return frame
    return frame.assign(**{name: frame[name].astype(object).where(frame[name].notna(), "") for name in words})


def made(engine: str, frame: pd.DataFrame, **more: Any) -> Any:
    """An untrained classifier for the table."""
    words = [name for name in frame if isinstance(frame[name].dtype, pd.CategoricalDtype)]
    if engine == "catboost" and words:
        more["cat_features"] = words
    return getattr(importlib.import_module(f"focal_loss.{engine}"), NAMES[engine])(**{**OPTIONS[engine], **more})


def computed(model: onnx.ModelProto, frame: Any) -> list[np.ndarray]:
    """Labels and probabilities by onnxruntime."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    inputs = {}
    for value in session.get_inputs():
        if value.name == "X":
            inputs["X"] = np.asarray(frame, float)
        elif value.type == "tensor(string)":
            column = frame[value.name].astype(object)
            inputs[value.name] = column.where(column.notna(), "").to_numpy(object)[:, None]
        else:
            inputs[value.name] = frame[value.name].to_numpy(float)[:, None]
    return session.run(["label", "probabilities"], inputs)


def check(engine: str, model: Any, exported: onnx.ModelProto, frame: Any) -> None:
    """Compare with the classifier on a table."""
    seen = seen_by(engine, frame) if isinstance(frame, pd.DataFrame) else frame
    labels, probabilities = computed(exported, seen)
    np.testing.assert_allclose(probabilities, model.predict_proba(seen), rtol=0, atol=TOLERANCE[engine])
    assert probabilities.std(axis=0).min() > 0.001
    np.testing.assert_array_equal(labels, np.ravel(model.predict(seen)))


@pytest.mark.parametrize("missing", [False, True], ids=["whole", "missing"])
@pytest.mark.parametrize("categories", [False, True], ids=["numbers", "categories"])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("engine", NAMES)
def test_onnx_gives_what_predict_proba_gives(engine: str, classes: int, categories: bool, missing: bool) -> None:
    frame, y = table(classes, categories, missing)
    train = seen_by(engine, frame)[:400]
    for gamma, calibrated in ((0.0, True), (0.5, True), (2.0, True), (2.0, False), (2.0, "cv")):
        weight: dict[str, Any] = {"pos_weight": 3.0} if classes == 2 else {"class_weight": {0: 1.0, 1: 4.0, 2: 2.0}}
        model = made(engine, frame, gamma=gamma, calibrated=calibrated, **weight).fit(train, y[:400])
        exported = model.to_onnx(**({"X": train} if engine == "catboost" else {}))
        check(engine, model, exported, frame)


@pytest.mark.parametrize("engine", NAMES)
def test_numbers_next_to_a_threshold_and_words_not_seen(engine: str) -> None:
    """Every value of float64 next to a threshold is on the side where the booster has it, and so is infinity."""
    frame, y = table(2, categories=True, missing=True)
    model = made(engine, frame).fit(seen_by(engine, frame), y)
    exported = model.to_onnx(**({"X": seen_by(engine, frame)} if engine == "catboost" else {}))
    (trees,) = (node for node in exported.graph.node if node.op_type == "TreeEnsemble")
    splits = next(onnx.numpy_helper.to_array(a.t) for a in trees.attribute if a.name == "nodes_splits")
    rows = np.concatenate([np.nextafter(splits, -np.inf), splits, np.nextafter(splits, np.inf), splits + 1e-9])
    rows = np.unique(np.r_[rows, np.float32(rows), 0.0, -0.0, 1e-36, 1e30, -1e30])
    frame = pd.DataFrame(dict.fromkeys("abcde", rows))
    kinds = pd.Categorical(
        np.resize(["w1", "w2", None], len(rows)), categories=table(2, True, True)[0].kind.cat.categories
    )
    frame.insert(2, "kind", kinds)
    frame["two"] = pd.Categorical(np.resize(["x", "ä'\n"], len(rows)))
    check(engine, model, exported, frame)
    new = frame.assign(kind="never seen")
    known = frame.assign(
        kind="never seen" if engine == "catboost" else pd.Categorical([None] * len(rows), kinds.categories)
    )
    expected = model.predict_proba(seen_by(engine, known))
    np.testing.assert_allclose(computed(exported, new)[1], expected, rtol=0, atol=TOLERANCE[engine])


MORE = [
    ("lightgbm", {"boosting_type": "dart"}),
    ("lightgbm", {"zero_as_missing": True}),
    ("lightgbm", {"use_missing": False}),
    ("lightgbm", {"num_leaves": 2, "n_estimators": 1}),
    ("lightgbm", {"n_estimators": 3, "min_gain_to_split": 3.0}),  # with trees of one leaf
    ("xgboost", {"booster": "dart", "rate_drop": 0.5}),
    ("xgboost", {"num_parallel_tree": 3, "subsample": 0.5}),
    ("xgboost", {"base_score": 0.3}),
    ("xgboost", {"grow_policy": "lossguide", "max_leaves": 9, "max_cat_to_onehot": 50}),
    ("catboost", {"grow_policy": "Depthwise"}),
    ("catboost", {"grow_policy": "Lossguide"}),
    ("catboost", {"nan_mode": "Max", "iterations": 60, "depth": 6}),
    ("catboost", {"one_hot_max_size": 50}),
    ("catboost", {"one_hot_max_size": 1, "max_ctr_complexity": 4, "iterations": 60, "depth": 6}),
    ("catboost", {"simple_ctr": ["Counter", "Buckets"], "combinations_ctr": ["Borders:Prior=0.3", "Counter"]}),
    ("sklearn", {"early_stopping": True}),
]


@pytest.mark.parametrize(("engine", "options"), MORE, ids=str)
@pytest.mark.parametrize("classes", [2, 3])
def test_other_trees(engine: str, options: dict[str, Any], classes: int) -> None:
    frame, y = table(classes, categories=True, missing=True)
    frame["b"] = np.where(frame.b.abs() < 0.5, 0.0, frame.b)
    train = seen_by(engine, frame)[:400]
    model = made(engine, frame, **options).fit(train, y[:400])
    exported = model.to_onnx(**({"X": train} if engine == "catboost" else {}))
    check(engine, model, exported, frame)


def test_statistics_of_every_kind_of_combination() -> None:
    """CatBoost's statistics depend on words, on whether a word is there, and on comparisons of numbers."""
    frame, y = table(2, categories=True, missing=True)
    train = seen_by("catboost", frame)
    options = {"iterations": 150, "depth": 6, "max_ctr_complexity": 4, "one_hot_max_size": 3, "nan_mode": "Max"}
    model = made("catboost", frame, **options).fit(train, y)
    statistics = importlib.import_module("focal_loss.catboost._onnx").json_of(model)["features_info"]["ctrs"]
    kinds = {element["combination_element"] for ctr in statistics for element in ctr["elements"]}
    assert kinds == {"cat_feature_value", "cat_feature_exact_value", "float_feature"}
    check("catboost", model, model.to_onnx(train), frame)


@pytest.mark.parametrize("engine", ["lightgbm", "xgboost", "catboost"])
def test_a_model_read_from_its_file_and_the_best_round(engine: str, tmp_path: Path) -> None:
    frame, y = table(2, categories=engine != "catboost", missing=True)
    model = made(
        engine, frame, **{"catboost": {"iterations": 300}}.get(engine, {"n_estimators": 300}), learning_rate=0.5
    )
    seen = seen_by(engine, frame)
    held = (seen[400:], y[400:])
    if engine == "lightgbm":
        stop = importlib.import_module("lightgbm").early_stopping(5, verbose=False)
        model.fit(seen[:400], y[:400], eval_X=held[0], eval_y=held[1], callbacks=[stop])
    elif engine == "xgboost":
        model.set_params(early_stopping_rounds=5).fit(seen[:400], y[:400], eval_set=[held], verbose=False)
    else:
        model.fit(seen[:400], y[:400], eval_set=held, early_stopping_rounds=5)
    check(engine, model, model.to_onnx(), frame)
    model.save_model(tmp_path / "model.ubj")
    read = made(engine, frame).load_model(tmp_path / "model.ubj")
    assert read.to_onnx().SerializeToString() == model.to_onnx().SerializeToString()


@pytest.mark.parametrize("engine", ["lightgbm", "xgboost"])
def test_categories_given_as_codes(engine: str) -> None:
    """Without pandas a category is a number, of which the whole part counts."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.integers(0, 70, 600), rng.normal(size=(600, 2))]).astype(float)
    y = (X[:, 0] % 3 + X[:, 1] > 1).astype(int)
    X[::7] = np.nan
    if engine == "lightgbm":
        model = made(engine, pd.DataFrame()).fit(X, y, categorical_feature=[0])
    else:
        model = made(engine, pd.DataFrame(), feature_types=["c", "float", "float"]).fit(X, y)
    exported = model.to_onnx()
    X[1::5, 0] += 0.5
    check(engine, model, exported, X)


def test_categories_that_are_numbers() -> None:
    frame, y = table(2, categories=False, missing=True)
    frame["code"] = pd.Categorical(np.random.default_rng(1).choice([3, 10, 700], len(frame)))
    model = made("lightgbm", frame).fit(frame, y)
    check("lightgbm", model, model.to_onnx(), frame)


@pytest.mark.parametrize("engine", ["lightgbm", "xgboost", "sklearn"])
def test_categories_that_onnx_cannot_tell_apart(engine: str) -> None:
    frame, y = table(2, categories=False, missing=False)
    kinds = np.random.default_rng(1).integers(0, 2, len(frame))
    for words, message in (
        (["", "a"], "column 'kind' must have no category ''"),
        ([2**60, 2**60 + 1], "of column 'kind' must differ in float64"),
    ):
        model = made(engine, frame).fit(frame.assign(kind=pd.Categorical(np.array(words)[kinds])), y)
        with pytest.raises(ValueError, match=message):
            model.to_onnx()
    days = pd.Categorical(pd.to_datetime(["2026-01-01", "2026-01-02"])[kinds])
    if engine == "sklearn":
        with pytest.raises(TypeError, match="must be strings or numbers"):
            made(engine, frame).fit(frame.assign(kind=days), y).to_onnx()


@pytest.mark.parametrize("engine", NAMES)
def test_nothing_to_export_before_a_fit(engine: str) -> None:
    with pytest.raises(NotFittedError):
        made(engine, pd.DataFrame()).to_onnx()


@pytest.mark.parametrize(
    "labels", [[False, True], ["no", "yes"], [-2.0, 5.0], [7, 3]], ids=["booleans", "words", "numbers", "integers"]
)
def test_labels_have_their_own_type(labels: list[Any]) -> None:
    frame, y = table(2, categories=False, missing=False)
    model = made("lightgbm", frame).fit(frame, np.array(labels)[y])
    found, _ = computed(model.to_onnx(), frame)
    assert found.tolist() == model.predict(frame).tolist()


def of_scores(build: Any, classes: int, scores: np.ndarray) -> np.ndarray:
    """The posterior map of the graph by itself."""
    own = graph.Graph()
    found = build(own)
    own.nodes.append(helper.make_node("Identity", [found], ["out"]))
    value = helper.make_tensor_value_info("scores", TensorProto.DOUBLE, [None, scores.shape[1]])
    out = helper.make_tensor_value_info("out", TensorProto.DOUBLE, [None, classes])
    whole = helper.make_graph(own.nodes, "map", [value], [out], own.constants)
    opsets = [helper.make_opsetid(*opset) for opset in graph.OPSETS]
    model = helper.make_model(whole, opset_imports=opsets, ir_version=graph.IR_VERSION)
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"scores": scores})[0]


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 3.7, 10.0])
def test_the_map_is_exact_at_every_size_of_score(gamma: float) -> None:
    """Small probabilities keep their relative precision, and extreme scores give 0 and 1."""
    size = np.geomspace(1e-9, 80, 200)
    z = np.r_[-1e6, -800, -size[::-1], 0.0, size, 800, 1e6]
    found = of_scores(lambda own: own.binary("scores", gamma, np.log(3.0)), 2, z[:, None])
    np.testing.assert_allclose(found[:, 1], posterior_from_logits(z, gamma, pos_weight=3.0), rtol=2e-12, atol=1e-300)
    np.testing.assert_allclose(found[:, 0], posterior_from_logits(-z, gamma, pos_weight=1 / 3), rtol=2e-12, atol=1e-300)
    weights = np.array([1.0, 3.0, 0.5])
    scores = np.column_stack([z, np.zeros(len(z)), z[::-1] / 3])
    found = of_scores(lambda own: own.softmax("scores", gamma, weights), 3, scores)
    expected = categorical_posterior_from_logits(scores, gamma, class_weight=weights)
    np.testing.assert_allclose(found, expected, rtol=2e-12, atol=1e-300)
    assert np.isfinite(found).all()


def test_what_cannot_be_exported() -> None:
    frame, y = table(2, categories=True, missing=False)
    words = seen_by("catboost", frame)
    chosen = made("lightgbm", frame).fit(frame, y, categorical_feature=["two"])
    model = made("catboost", frame).fit(words, y)
    named = made("lightgbm", frame).fit(frame.rename(columns={"a": "label"}), y)
    for export, message in (
        (chosen.to_onnx, "2 columns are categorical in pandas, but LightGBM took 1 for that"),
        (made("xgboost", frame[["a"]], booster="gblinear").fit(frame[["a"]], y).to_onnx, "must be 'gbtree' or 'dart'"),
        (model.to_onnx, "`X` must be a table with the words of the categorical columns"),
        (lambda: model.to_onnx(words[words.columns[::-1]]), "`X` must have the columns"),
        (named.to_onnx, "a column must not be named 'label' to be exported"),
    ):
        with pytest.raises(ValueError, match=message):
            export()


def test_without_onnx_the_error_says_what_to_install() -> None:
    code = "import sys\nsys.modules['onnx'] = None\nfrom focal_loss.lightgbm import FocalLGBMClassifier\n"
    code += "FocalLGBMClassifier().to_onnx()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "`to_onnx` needs onnx, which is not installed: pip install 'focal-loss[onnx]'" in done.stderr
