"""Training boosted trees with our objective, with the library's own, and with one written in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import lightgbm
import numpy as np
import xgboost
from contest import Contest
from sklearn.ensemble import HistGradientBoostingClassifier

from focal_loss import lightgbm as focal_lightgbm
from focal_loss import xgboost as focal_xgboost
from focal_loss.sklearn import FocalHistGradientBoostingClassifier

ROWS, COLUMNS, LEAVES, ROUNDS, THREADS = 500_000, 28, 63, 60, 2
GAMMA = 2.0


def numpy_objective(scores: np.ndarray, data: Any) -> tuple[np.ndarray, np.ndarray]:
    """The closed form with the majorizer, as recipes write it in NumPy."""
    y = data.get_label()
    p = 1 / (1 + np.exp(np.where(y > 0, -scores, scores)))
    q, loss = 1 - p, -np.log(p)
    slope = -(q**GAMMA) * (GAMMA * p * loss + q)
    return np.where(y > 0, slope, -slope), q**GAMMA * p * ((2 * GAMMA + 1) * q + GAMMA**2 * p * loss)


def table() -> tuple[np.ndarray, np.ndarray]:
    """A table with about a tenth of positives."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(ROWS, COLUMNS)).astype(np.float32)
    noise = rng.normal(size=ROWS)
    return X, (X[:, 0] * X[:, 1] + X[:, 2] + 0.5 * noise > 2).astype(np.float32)


def trained_by_lightgbm(X: np.ndarray, y: np.ndarray, objective: Any) -> Callable[[], object]:
    data = lightgbm.Dataset(X, y, params={"verbosity": -1}).construct()
    parameters = {"objective": objective, "num_leaves": LEAVES, "num_threads": THREADS, "verbosity": -1}
    return lambda: lightgbm.train(parameters, data, ROUNDS)


def trained_by_xgboost(X: np.ndarray, y: np.ndarray, objective: Any) -> Callable[[], object]:
    data = xgboost.QuantileDMatrix(X, y)
    parameters = {"grow_policy": "lossguide", "max_leaves": LEAVES, "max_depth": 0, "nthread": THREADS}
    if isinstance(objective, str):
        return lambda: xgboost.train(parameters | {"objective": objective}, data, ROUNDS)
    return lambda: xgboost.train(parameters | {"base_score": 0.0}, data, ROUNDS, obj=objective)


def trained_by_sklearn(X: np.ndarray, y: np.ndarray, kind: type, **options: float) -> Callable[[], object]:
    limits = {"max_iter": ROUNDS, "max_leaf_nodes": LEAVES, "early_stopping": False}
    return lambda: kind(**limits, **options).fit(X, y)


def contests() -> Iterator[Contest]:
    X, y = table()
    size = f"{ROWS:.0e} x {COLUMNS}, {ROUNDS} rounds of {LEAVES} leaves"
    for name, train, ours, own in (
        ("LightGBM", trained_by_lightgbm, focal_lightgbm.binary_focal_objective(GAMMA), "binary"),
        ("XGBoost", trained_by_xgboost, focal_xgboost.binary_focal_objective(GAMMA), "binary:logistic"),
    ):
        builtin = f"its own {own}"
        rivals = {builtin: train(X, y, own), "objective in NumPy": train(X, y, numpy_objective)}
        yield Contest(name, size, train(X, y, ours), rivals, floor=(builtin,), warm=1, fewest=5)
    ours = trained_by_sklearn(X, y, FocalHistGradientBoostingClassifier, gamma=GAMMA)
    builtin = "its own log_loss"
    rivals = {builtin: trained_by_sklearn(X, y, HistGradientBoostingClassifier)}
    yield Contest("scikit-learn", size, ours, rivals, floor=(builtin,), warm=1, fewest=5)
