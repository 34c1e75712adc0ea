"""Objectives, metrics and classifiers on a cluster of Dask, of two processes on this machine.

Every part holds all the few values of its columns, so that both workers find the histogram bins that one machine finds
(LightGBM cuts a column by the rows of one worker, and Dask places the parts as it likes), and LightGBM gets no least
number of rows in a leaf or a bin, which it counts otherwise on many machines than on one. So every difference between
the two is a fault.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.array
import dask.dataframe
import distributed
import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
import xgboost.dask
from made import table
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss

from focal_loss import lightgbm as for_lightgbm
from focal_loss import xgboost as for_xgboost

Array = Any
BOOSTERS = {"lightgbm": for_lightgbm, "xgboost": for_xgboost}
ROWS, HELD = 900, 250
SMALL = {
    "lightgbm": {
        "n_estimators": 6, "num_leaves": 4, "min_child_samples": 1, "min_child_weight": 0.0, "min_data_in_bin": 1,
        "verbosity": -1,
    },
    "xgboost": {"n_estimators": 6, "max_depth": 3},
}  # fmt: skip


@pytest.fixture(scope="module")
def client() -> Iterator[distributed.Client]:
    kind = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": "127.0.0.1:0"}
    with (
        distributed.LocalCluster(host="127.0.0.1", **kind) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def on_a_grid(n: int, classes: int, seed: int = 0) -> tuple[Array, Array]:
    """Few values, none of them rare: each part holds all of them, whichever worker it comes to."""
    X, y = table(n, classes, seed)
    return np.round(X).clip(-2, 2), y


def split(values: Array, *sizes: int) -> Any:
    """An array of Dask whose parts have these numbers of rows, and one part of the rest."""
    rows = (*sizes, len(values) - sum(sizes))
    return dask.array.from_array(values, chunks=(rows, *values.shape[1:]))


def weights(n: int) -> Array:
    return np.random.default_rng(1).uniform(0.2, 3, n)


def parts(booster: str, classes: int) -> tuple[Any, Any]:
    of, weight = BOOSTERS[booster], [1.0, 2.0, 3.0]
    if classes == 2:
        return of.binary_focal_objective(2.0, pos_weight=3.0), of.binary_focal_metric(2.0, pos_weight=3.0)
    return (
        of.categorical_focal_objective(2.0, class_weight=weight),
        of.categorical_focal_metric(2.0, class_weight=weight),
    )


@pytest.mark.parametrize("classes", [2, 3])
def test_xgboost_trains_by_the_objectives(client: distributed.Client, classes: int) -> None:
    """`xgboost.dask.train` and `DaskXGBClassifier` grow the trees of `xgboost.train`. A metric of held-out rows is that
    of all of them, not the mean of the workers' means.
    """
    (X, y), (X_held, y_held) = on_a_grid(ROWS, classes), on_a_grid(HELD, classes, seed=1)
    w, w_held = weights(ROWS), weights(HELD)
    objective, metric = parts("xgboost", classes)
    told = {"num_class": classes} if classes > 2 else {"objective": "binary:logistic"}
    parameters = {"nthread": 1, "max_depth": 3, "base_score": 0.5, "tree_method": "hist"} | told
    parameters |= {"disable_default_eval_metric": 1}
    expected: dict[str, Any] = {}
    data, held = xgboost.DMatrix(X, y, weight=w), xgboost.DMatrix(X_held, y_held, weight=w_held)
    one = xgboost.train(
        parameters, data, 6, obj=objective, custom_metric=metric, evals=[(held, "held")], evals_result=expected,
        verbose_eval=False,
    )  # fmt: skip
    (record,) = expected["held"].values()
    train = [split(values, 500, 300) for values in (X, y, w)]
    test = [split(values, 220) for values in (X_held, y_held, w_held)]
    matrices = [xgboost.dask.DaskDMatrix(client, X, y, weight=w) for X, y, w in (train, test)]
    found = xgboost.dask.train(
        client, parameters, matrices[0], 6, obj=objective, custom_metric=metric, evals=[(matrices[1], "held")],
        verbose_eval=False,
    )  # fmt: skip
    scores = one.predict(held, output_margin=True)
    np.testing.assert_allclose(found["booster"].predict(held, output_margin=True), scores, atol=1e-5)
    (together,) = found["history"]["held"].values()
    np.testing.assert_allclose(together, record, atol=2e-6)  # XGBoost writes six decimals
    model = xgboost.dask.DaskXGBClassifier(
        objective=objective, eval_metric=metric, base_score=0.5, disable_default_eval_metric=1, **SMALL["xgboost"]
    )
    model.client = client
    held_out = {"eval_set": [tuple(test[:2])], "sample_weight_eval_set": test[2:]}
    model.fit(*train[:2], sample_weight=train[2], verbose=False, **held_out)
    np.testing.assert_allclose(model.predict(test[0], output_margin=True).compute(), scores, atol=1e-5)
    (together,) = model.evals_result()["validation_0"].values()
    np.testing.assert_allclose(together, record, atol=2e-6)


@pytest.mark.filterwarnings("ignore:Parameter n_jobs will be ignored:UserWarning")  # whatever it is set to
@pytest.mark.parametrize("classes", [2, 3])
def test_lightgbm_trains_by_the_objectives(client: distributed.Client, classes: int) -> None:
    X, y = on_a_grid(ROWS, classes)
    w, (objective, metric) = weights(ROWS), parts("lightgbm", classes)
    few = SMALL["lightgbm"] | {"objective": objective}
    one = lightgbm.LGBMClassifier(n_jobs=1, **few).fit(X, y, sample_weight=w)
    model = lightgbm.DaskLGBMClassifier(client=client, **few)
    X_parts, y_parts, w_parts = (split(values, 500, 300) for values in (X, y, w))
    given = {"eval_X": (X_parts,), "eval_y": (y_parts,), "eval_sample_weight": [w_parts], "eval_metric": metric}
    model.fit(X_parts, y_parts, sample_weight=w_parts, **given)
    np.testing.assert_allclose(
        model.predict(X_parts, raw_score=True).compute(), one.predict(X, raw_score=True), atol=1e-5
    )
    assert metric.name in model.evals_result_["valid_0"]


# ---------------------------------------------------------------------------------------------------------------
# Classifiers
# ---------------------------------------------------------------------------------------------------------------

CLASSIFIERS = {
    "lightgbm": (for_lightgbm.FocalLGBMClassifier, for_lightgbm.FocalDaskLGBMClassifier),
    "xgboost": (for_xgboost.FocalXGBClassifier, for_xgboost.FocalDaskXGBClassifier),
}


def of_dask(booster: str, client: distributed.Client, **parameters: Any) -> Any:
    given = SMALL[booster] | parameters
    if booster == "lightgbm":
        return CLASSIFIERS[booster][1](client=client, **given)
    model = CLASSIFIERS[booster][1](**given)
    model.client = client
    return model


def of_one_machine(booster: str, **parameters: Any) -> Any:
    return CLASSIFIERS[booster][0](**SMALL[booster], n_jobs=1, **parameters)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("booster", CLASSIFIERS)
def test_classifiers_learn_what_one_machine_learns(client: distributed.Client, booster: str, classes: int) -> None:
    """With weights of rows and classes, and partitions of uneven sizes."""
    X, y = on_a_grid(ROWS, classes)
    names, w = np.array(["one", "two", "three"])[y], weights(ROWS)
    loss = {"gamma": 2.0, "class_weight": "balanced"} | ({"pos_weight": 2.0} if classes == 2 else {})
    one = of_one_machine(booster, **loss).fit(X, names, sample_weight=w)
    model = of_dask(booster, client, **loss)
    X_parts, y_parts, w_parts = (split(values, 500, 300) for values in (X, names, w))
    assert model.fit(X_parts, y_parts, sample_weight=w_parts) is model
    assert model.classes_.tolist() == one.classes_.tolist()
    np.testing.assert_allclose(model.start_score_, one.start_score_, rtol=1e-6, atol=1e-12)
    expected, found = one.predict_proba(X), model.predict_proba(X_parts)
    assert isinstance(found, dask.array.Array)
    assert found.shape == (ROWS, classes)
    assert log_loss(names, found.compute()) == pytest.approx(log_loss(names, expected), abs=1e-6)
    np.testing.assert_allclose(found.compute(), expected, atol=1e-5)
    np.testing.assert_allclose(model.decision_function(X_parts).compute(), one.decision_function(X), atol=1e-4)
    np.testing.assert_array_equal(model.predict(X_parts).compute(), one.predict(X))
    local = model.to_local()
    assert type(local) is CLASSIFIERS[booster][0]
    np.testing.assert_allclose(local.predict_proba(X), expected, atol=1e-5)


PATIENCE = 3


def watched(booster: str, model: Any, X: Any, y: Any, held: Any, w_held: Any) -> tuple[dict[str, list[float]], int]:
    """The record of a training that stops early by the log loss, and its best number of rounds."""

    def brier(labels: Array, probabilities: Array, weight: Array) -> Any:  # inside, so that it is sent by value
        several = probabilities if probabilities.ndim == 2 else np.column_stack([1 - probabilities, probabilities])
        value = np.average((1 - several[np.arange(len(labels)), labels.astype(int)]) ** 2, weights=weight)
        return value if booster == "xgboost" else ("brier", value, False)

    if booster == "xgboost":
        model.set_params(early_stopping_rounds=PATIENCE, eval_metric=["error", brier, "logloss"])
        model.fit(X, y, eval_set=[held], sample_weight_eval_set=[w_held], verbose=False)
        return model.evals_result()["validation_0"], model.best_iteration + 1
    stop = lightgbm.early_stopping(PATIENCE, first_metric_only=True, verbose=False)
    metrics = ["logloss", brier, "error"]
    model.fit(X, y, eval_set=[held], eval_sample_weight=[w_held], eval_metric=metrics, callbacks=[stop])
    names = {"binary_logloss": "logloss", "multi_logloss": "logloss", "binary_error": "error", "multi_error": "error"}
    return {names.get(name, name): v for name, v in model.evals_result_["valid_0"].items()}, model.best_iteration_


@pytest.mark.parametrize("sizes", [(220, 10), ()], ids=["uneven", "one part"])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("booster", CLASSIFIERS)
def test_training_stops_by_the_metrics_of_all_rows(
    client: distributed.Client, booster: str, classes: int, sizes: tuple[int, ...]
) -> None:
    """The workers hold uneven parts of the held-out rows, or one of them none."""
    (X, y), (X_held, y_held) = on_a_grid(ROWS, classes), on_a_grid(HELD, classes, seed=1)
    w = weights(HELD)
    model = of_dask(booster, client, gamma=1.0, learning_rate=0.5).set_params(n_estimators=60)
    held = tuple(split(values, *sizes) for values in (X_held, y_held))
    record, best = watched(booster, model, split(X, 500, 300), split(y, 500, 300), held, split(w, *sizes))
    rounds = len(record["logloss"])
    assert best == np.argmin(record["logloss"]) + 1 == rounds - PATIENCE < 50
    local = model.to_local()
    for k in range(best):  # LightGBM drops the trees after them
        until = {"iteration_range": (0, k + 1)} if booster == "xgboost" else {"num_iteration": k + 1}
        p = local.predict_proba(X_held, **until)
        assert record["logloss"][k] == pytest.approx(log_loss(y_held, p, sample_weight=w), abs=1e-6)
        assert record["error"][k] == pytest.approx(np.average(p.argmax(axis=1) != y_held, weights=w), abs=1e-6)
        brier = np.average((1 - p[np.arange(HELD), y_held]) ** 2, weights=w)
        assert record["brier"][k] == pytest.approx(brier, abs=1e-6)


@pytest.mark.parametrize("booster", CLASSIFIERS)
def test_dataframes_with_parts_that_lack_classes_or_rows(client: distributed.Client, booster: str) -> None:
    """The labels are sorted, so that no part holds all classes, and the last two parts are empty."""
    X, y = on_a_grid(ROWS, 3)
    frame = pd.DataFrame(X[np.argsort(y)], columns=[*"abcde"]).assign(label=np.sort(y))
    one = of_one_machine(booster, gamma=2.0).fit(frame.drop(columns="label"), frame.label)
    pieces = [frame.iloc[k : k + 300] for k in (0, 300, 600, 900, 900)]
    lazy = dask.dataframe.from_map(lambda k: pieces[k], range(5), meta=frame.iloc[:0])
    table, labels = lazy.drop(columns="label"), lazy["label"]
    model = of_dask(booster, client, gamma=2.0).fit(table, labels)
    expected = one.predict_proba(frame.drop(columns="label"))
    np.testing.assert_allclose(model.predict_proba(table).compute(), expected, atol=1e-5)
    np.testing.assert_array_equal(model.predict(table).compute(), expected.argmax(axis=1))
    np.testing.assert_allclose(model.decision_function(table).compute(), np.log(expected), atol=1e-4)


@pytest.mark.filterwarnings("ignore:Parameter n_jobs will be ignored:UserWarning")
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("booster", CLASSIFIERS)
def test_a_worker_without_rows(client: distributed.Client, booster: str, classes: int) -> None:
    """Two parts come to two workers, and the second one is empty."""
    X, y = on_a_grid(ROWS, classes)
    frame = pd.DataFrame(X, columns=[*"abcde"]).assign(label=y)
    lazy = dask.dataframe.from_map(lambda k: frame.iloc[k:], [0, ROWS], meta=frame.iloc[:0])
    table, labels = lazy.drop(columns="label"), lazy["label"]
    one = of_one_machine(booster, gamma=2.0).fit(X, y)
    model = of_dask(booster, client, gamma=2.0).fit(table, labels, eval_set=[(table, labels)])
    np.testing.assert_allclose(model.predict_proba(table).compute(), one.predict_proba(X), atol=1e-5)
    if booster == "xgboost":
        objective, metric = parts(booster, classes)
        parameters = {"max_depth": 3, "base_score": 0.5, "disable_default_eval_metric": 1}
        parameters |= {"num_class": classes} if classes > 2 else {}
        data = xgboost.dask.DaskDMatrix(client, table, labels)
        given = {"obj": objective, "custom_metric": metric, "evals": [(data, "all")], "verbose_eval": False}
        found = xgboost.dask.train(client, parameters, data, 6, **given)
        rows = xgboost.DMatrix(frame.drop(columns="label"), y)
        expected = xgboost.train(parameters, rows, 6, obj=objective)
        ours, theirs = (b.predict(rows, output_margin=True) for b in (found["booster"], expected))
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("booster", CLASSIFIERS)
def test_a_part_whose_weights_are_all_zero(client: distributed.Client, booster: str) -> None:
    X, y = on_a_grid(ROWS, 2)
    w = np.where(np.arange(ROWS) < 200, 0.0, weights(ROWS))
    one = of_one_machine(booster, gamma=2.0).fit(X, y, sample_weight=w)
    X_parts, y_parts, w_parts = (split(values, 200, 350) for values in (X, y, w))
    model = of_dask(booster, client, gamma=2.0).fit(X_parts, y_parts, sample_weight=w_parts)
    np.testing.assert_allclose(model.predict_proba(X_parts).compute(), one.predict_proba(X), atol=1e-5)
    with pytest.raises(ValueError, match="not all of them zero"):
        of_dask(booster, client).fit(X_parts, y_parts, sample_weight=0 * w_parts)


def test_an_error_on_one_worker_ends_the_training_of_all(client: distributed.Client) -> None:
    """The other one does not wait for it, and can train again."""
    X, y = on_a_grid(ROWS, 2)

    def fails(labels: Array, probabilities: Array) -> Any:
        if len(labels) == 30:
            raise ZeroDivisionError("by the user")
        return "mine", 1.0, False

    here, there = client.scheduler_info()["workers"]
    places = [client.scatter(rows, workers=[at]) for rows, at in ((slice(0, 870), here), (slice(870, 900), there))]

    def placed(values: Array) -> Any:
        shapes = [(870, *values.shape[1:]), (30, *values.shape[1:])]
        of = [dask.delayed(values.__getitem__)(place) for place in places]
        return dask.array.concatenate(
            [dask.array.from_delayed(part, shape, values.dtype) for part, shape in zip(of, shapes, strict=True)]
        )

    model = of_dask("lightgbm", client)
    with pytest.raises(ZeroDivisionError, match="by the user"):
        model.fit(placed(X), placed(y), eval_set=[(placed(X), placed(y))], eval_metric=fails)
    model.fit(placed(X), placed(y))
    assert model.predict(placed(X)).compute().shape == (ROWS,)


@pytest.mark.parametrize("booster", CLASSIFIERS)
def test_wrong_arguments_are_errors(client: distributed.Client, booster: str) -> None:
    X, y = on_a_grid(40, 2)
    wrong = np.where(np.arange(40) == 30, np.nan, y)
    cases: list[tuple[type, str, dict[str, Any]]] = [
        (TypeError, "`X` must be an array or a dataframe of Dask, got ndarray", {"X": X}),
        (TypeError, "`y` must be an array or a series of Dask, got ndarray", {"y": y}),
        (ValueError, "split by rows only", {"X": split(X, 20).rechunk({1: 2})}),
        (ValueError, "`y` must have as many partitions as `X`, 2, got 3", {"y": split(y, 20, 10)}),
        (ValueError, "`sample_weight` must have as many partitions as `y`", {"sample_weight": split(weights(40))}),
        (ValueError, "Input y contains NaN", {"y": split(wrong, 20)}),
        (ValueError, "`y` must hold at least two classes, got one class: .0.", {"y": split(np.zeros(40, int), 20)}),
        (ValueError, "previously unseen labels", {"eval_set": [(split(X, 20), split(y + 1, 20))]}),
        (ValueError, "`sample_weight`", {"sample_weight": split(np.full(40, -1.0), 20)}),
    ]
    for error, words, given in cases:
        with pytest.raises(error, match=words):
            of_dask(booster, client).fit(**{"X": split(X, 20), "y": split(y, 20), **given})
    with pytest.raises(ValueError, match="`gamma` must be"):
        of_dask(booster, client, gamma=-1.0).fit(split(X, 20), split(y, 20))
    with pytest.raises(NotFittedError):
        CLASSIFIERS["xgboost"][1]().to_local()


@pytest.mark.parametrize("booster", CLASSIFIERS)
def test_categories_that_differ_between_parts_are_errors(client: distributed.Client, booster: str) -> None:
    frame = pd.DataFrame({"a": np.arange(40.0), "town": ["Bonn", "Ulm"] * 20})
    words, y = dask.dataframe.from_pandas(frame, npartitions=2), split(np.arange(40) % 2, 20)
    unknown = words.astype({"town": "category"})
    known = unknown.categorize()
    message = "has a column 'town' whose categories are not known; take its `categorize\\(\\)`"
    options = {"enable_categorical": True} if booster == "xgboost" else {}
    for given in ({"X": unknown}, {"X": known, "eval_set": [(unknown, y)]}):
        with pytest.raises(ValueError, match=message):
            of_dask(booster, client, **options).fit(**given, y=y)


def test_words_that_xgboost_mixes_up_are_errors(client: distributed.Client) -> None:
    frame = pd.DataFrame({"a": np.arange(40.0), "town": pd.Categorical(["Köln", "Ulm"] * 20)})
    table, y = dask.dataframe.from_pandas(frame, npartitions=2), split(np.arange(40) % 2, 20)
    renamed = dask.dataframe.from_pandas(frame.assign(town=frame.town.cat.rename_categories(ascii)), npartitions=2)
    model = of_dask("xgboost", client, enable_categorical=True).fit(renamed, y)
    for call in (
        lambda: of_dask("xgboost", client, enable_categorical=True).fit(table, y),
        lambda: of_dask("xgboost", client, enable_categorical=True).fit(renamed, y, eval_set=[(table, y)]),
        lambda: model.predict_proba(table),
    ):
        with pytest.raises(ValueError, match="the categories of column 'town' must be ASCII"):
            call()
    assert model.predict_proba(renamed).compute().shape == (40, 2)


@pytest.mark.parametrize("booster", CLASSIFIERS)
def test_models_can_be_copied_and_saved(client: distributed.Client, booster: str, tmp_path: Path) -> None:
    X, y = on_a_grid(ROWS, 2)
    model = CLASSIFIERS[booster][1](**SMALL[booster], gamma=2.0, pos_weight=3.0).fit(split(X, 500), split(y, 500))
    expected = model.predict_proba(split(X)).compute()
    for copy in (pickle.loads(pickle.dumps(model)), clone(model).fit(split(X, 500), split(y, 500))):
        np.testing.assert_allclose(copy.predict_proba(split(X)).compute(), expected, atol=1e-5)
    assert model.get_params()["gamma"] == 2.0
    file = tmp_path / "model.json"
    model.save_model(file)
    for read in (of_dask(booster, client), of_one_machine(booster)):
        read.load_model(file)
        given = X if type(read) is CLASSIFIERS[booster][0] else split(X)
        np.testing.assert_allclose(np.asarray(read.predict_proba(given)), expected, atol=1e-6)
