"""The three boosters as the search sees them: the parameters to search, and how to train a model."""

from __future__ import annotations

import importlib
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from focal_loss._command.errors import UserError

Array = Any
ROUNDS, PATIENCE = 1000, 50
FILES = {"lightgbm": "model.txt", "xgboost": "model.ubj", "catboost": "model.cbm"}  # name of the model file


def reason(error: Exception) -> str:
    """The first line of a library's message, without source locations and stack."""
    lines = [line for line in str(error).splitlines() if line.strip() and "[bt]" not in line]
    lines = [line for line in lines if not line.startswith("Stack trace")] or [type(error).__name__]
    return re.sub(r"^(\[[\d:]+\] )?\S+\.(cc|cpp|h):\d+: ", "", lines[-1].strip())


class LateError(Exception):
    """The time for a training is over."""


@dataclass(frozen=True)
class Booster:
    """`focal` is our classifier; `plain`, the same at gamma = 0, is cross-entropy. Both are saved alike."""

    name: str
    rounds: str  # the library's name for the number of trees
    fixed: dict[str, Any]
    jobs: str
    seed: str
    focal: Callable[..., Any]
    suggest: Callable[[Any], dict[str, Any]]  # parameters of an Optuna trial
    default: dict[str, Any]  # parameters of the first trial: about the library's own defaults
    fit_until: Callable[..., int]  # (model, rows to learn from, rows to stop by, end) -> the best number of rounds
    read: Callable[[Any, bytes], Any]  # (untrained model, content of its file) -> the model
    error: type[Exception]  # the library's own exception
    on_dask: Callable[..., Any] | None  # (client, parameters) -> our classifier for Dask, if there is one

    @property
    def file(self) -> str:
        return FILES[self.name]

    def plain(self, **parameters: Any) -> Any:
        return self.focal(gamma=0.0, **parameters)

    @contextmanager
    def errors(self, what: str) -> Iterator[None]:
        """Turn an error of the library into a `UserError` of one line."""
        try:
            yield
        except (self.error, ValueError) as error:
            if reason(error) == "KeyboardInterrupt":  # CatBoost wraps it in its own error
                raise KeyboardInterrupt from error
            raise UserError(f"{self.name} {what}: {reason(error)}") from error

    def parameters(self, chosen: dict[str, Any], rounds: int, jobs: int, seed: int) -> dict[str, Any]:
        return {**self.fixed, **chosen, self.rounds: rounds, self.jobs: jobs, self.seed: seed}


# ---------------------------------------------------------------------------------------------------------------
# LightGBM
# ---------------------------------------------------------------------------------------------------------------


def _lightgbm() -> Booster:
    library = importlib.import_module("lightgbm")
    ours = importlib.import_module("focal_loss.lightgbm")

    def suggest(trial: Any) -> dict[str, Any]:
        return {
            "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.3, log=True),
            "num_leaves": trial.suggest_int("num_leaves", 4, 255, log=True),
            "min_child_samples": trial.suggest_int("min_child_samples", 5, 200, log=True),
            "reg_lambda": trial.suggest_float("reg_lambda", 1e-3, 30, log=True),
            "colsample_bytree": trial.suggest_float("colsample_bytree", 0.4, 1.0),
        }

    def fit_until(model: Any, part: Any, held: Any, end: float) -> int:
        calls = [library.early_stopping(PATIENCE, verbose=False), lambda env: refuse_late(end)]
        eval_set = {"eval_X": held.X, "eval_y": held.y, "eval_sample_weight": listed(held.weight)}
        model.fit(part.X, part.y, sample_weight=part.weight, **eval_set, callbacks=calls)
        return int(model.best_iteration_)

    default = {"learning_rate": 0.1, "num_leaves": 31, "min_child_samples": 20, "reg_lambda": 1e-3}
    return Booster(
        name="lightgbm",
        rounds="n_estimators",
        fixed={"verbosity": -1, "metric": "binary_logloss"},
        jobs="n_jobs",
        seed="random_state",
        focal=ours.FocalLGBMClassifier,
        suggest=suggest,
        default=default | {"colsample_bytree": 1.0},
        fit_until=fit_until,
        read=lambda model, content: model.load_model(model_str=content.decode("utf-8")),
        error=library.basic.LightGBMError,
        on_dask=lambda client, **given: ours.FocalDaskLGBMClassifier(client=client, **given),
    )


# ---------------------------------------------------------------------------------------------------------------
# XGBoost
# ---------------------------------------------------------------------------------------------------------------


def _xgboost() -> Booster:
    library = importlib.import_module("xgboost")
    ours = importlib.import_module("focal_loss.xgboost")

    def suggest(trial: Any) -> dict[str, Any]:
        return {
            "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.3, log=True),
            "max_depth": trial.suggest_int("max_depth", 2, 10),
            "min_child_weight": trial.suggest_float("min_child_weight", 1e-3, 10, log=True),
            "reg_lambda": trial.suggest_float("reg_lambda", 1e-3, 30, log=True),
            "colsample_bytree": trial.suggest_float("colsample_bytree", 0.4, 1.0),
        }

    class Late(library.callback.TrainingCallback):  # type: ignore[name-defined]
        def __init__(self, end: float) -> None:
            self.end = end

        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            refuse_late(self.end)
            return False

    def fit_until(model: Any, part: Any, held: Any, end: float) -> int:
        model.set_params(early_stopping_rounds=PATIENCE, eval_metric="logloss", callbacks=[Late(end)])
        eval_set = {"eval_set": [(held.X, held.y)], "sample_weight_eval_set": listed(held.weight)}
        model.fit(part.X, part.y, sample_weight=part.weight, **eval_set, verbose=False)
        return int(model.best_iteration) + 1

    def on_dask(client: Any, **given: Any) -> Any:
        model = ours.FocalDaskXGBClassifier(**given)
        model.client = client
        return model

    default = {"learning_rate": 0.3, "max_depth": 6, "min_child_weight": 1.0, "reg_lambda": 1.0}
    return Booster(
        name="xgboost",
        rounds="n_estimators",
        fixed={"enable_categorical": True},
        jobs="n_jobs",
        seed="random_state",
        focal=ours.FocalXGBClassifier,
        suggest=suggest,
        default=default | {"colsample_bytree": 1.0},
        fit_until=fit_until,
        read=lambda model, content: model.load_model(bytearray(content)),
        error=library.core.XGBoostError,
        on_dask=on_dask,
    )


# ---------------------------------------------------------------------------------------------------------------
# CatBoost
# ---------------------------------------------------------------------------------------------------------------


def _catboost() -> Booster:
    library = importlib.import_module("catboost")
    ours = importlib.import_module("focal_loss.catboost")

    def suggest(trial: Any) -> dict[str, Any]:
        return {
            "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.3, log=True),
            "depth": trial.suggest_int("depth", 3, 9),
            "l2_leaf_reg": trial.suggest_float("l2_leaf_reg", 0.1, 30, log=True),
        }

    class Late:
        def __init__(self, end: float) -> None:
            self.end = end

        def after_iteration(self, info: Any) -> bool:
            return time.monotonic() <= self.end

    def fit_until(model: Any, part: Any, held: Any, end: float) -> int:
        model.set_params(early_stopping_rounds=PATIENCE, eval_metric="Logloss")
        words = model.get_params().get("cat_features")
        eval_set = library.Pool(held.X, held.y, cat_features=words, weight=held.weight)
        model.fit(part.X, part.y, sample_weight=part.weight, eval_set=eval_set, callbacks=[Late(end)])
        refuse_late(end)
        return int(model.get_best_iteration()) + 1

    return Booster(
        name="catboost",
        rounds="iterations",
        fixed={"logging_level": "Silent", "allow_writing_files": False},
        jobs="thread_count",
        seed="random_seed",
        focal=ours.FocalCatBoostClassifier,
        suggest=suggest,
        default={"learning_rate": 0.1, "depth": 6, "l2_leaf_reg": 3.0},
        fit_until=fit_until,
        read=lambda model, content: model.load_model(blob=content),
        error=library.CatBoostError,
        on_dask=None,
    )


BOOSTERS = {"lightgbm": _lightgbm, "xgboost": _xgboost, "catboost": _catboost}


def booster(name: str) -> Booster:
    """A booster by name, its library imported.

    Raises
    ------
    UserError
        If the library is not installed.
    """
    try:
        return BOOSTERS[name]()
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed: pip install 'focal-loss[{name}]'") from error


def listed(weight: Array | None) -> list[Array] | None:
    """The weights of the only evaluation set, as LightGBM and XGBoost take them."""
    return None if weight is None else [weight]


def refuse_late(end: float) -> None:
    """Raise `LateError` after the time `end`, on the clock of `time.monotonic`."""
    if time.monotonic() > end:
        raise LateError


def categories(X: pd.DataFrame) -> list[str]:
    return [name for name in X.columns if isinstance(X[name].dtype, pd.CategoricalDtype)]


def columns_for(name: str, X: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The table as a booster takes it, and parameters that describe its columns.

    Columns are named by number, because every booster refuses some characters in names. CatBoost's categories are
    words, and XGBoost's are codes, because it mixes up words that are not ASCII.
    """
    X = X.set_axis([f"column_{k}" for k in range(X.shape[1])], axis=1)
    words = categories(X)
    if name == "xgboost":
        codes = {word: X[word].cat.rename_categories(range(len(X[word].cat.categories))) for word in words}
        return X.assign(**codes), {}
    if name != "catboost":
        return X, {}
    plain = {column: X[column].astype(object).where(X[column].notna(), "") for column in words}
    return X.assign(**plain), {"cat_features": words} if words else {}


def raw(model: Any, X: Any) -> Array:
    """The scores of the trees, in log odds."""
    before = model.calibrated
    model.set_params(calibrated=False)
    try:
        return model.decision_function(X)
    finally:
        model.set_params(calibrated=before)


def importances(model: Any, names: list[str]) -> list[tuple[str, float]]:
    """The fraction of the splits' total gain that each column contributed, the largest first."""
    trees = getattr(model, "booster_", None)
    found = model.feature_importances_ if trees is None else trees.feature_importance("gain")
    total = float(np.sum(found)) or 1.0
    pairs = zip(names, (float(value) / total for value in found), strict=True)
    return sorted(pairs, key=lambda pair: -pair[1])


def contributions(model: Any, X: pd.DataFrame) -> Array:
    """The SHAP values of a fitted model: what each column adds to the scores of the trees in each row, in log odds.

    Returns
    -------
    array of float64, shape (rows, columns + 1)
        The last column is the mean score. The sum over a row is its score.

    References
    ----------
    S. Lundberg, G. Erion and S.-I. Lee, "Consistent individualized feature attribution for tree ensembles", 2018,
    arXiv:1802.03888.
    """
    if hasattr(model, "booster_"):
        return np.asarray(model.booster_.predict(X, pred_contrib=True), np.float64)
    if hasattr(model, "get_booster"):
        library = importlib.import_module("xgboost")
        rows = library.DMatrix(X, enable_categorical=True)
        return np.asarray(model.get_booster().predict(rows, pred_contribs=True), np.float64)
    library = importlib.import_module("catboost")
    rows = library.Pool(X, cat_features=[name for name in X.columns if X[name].dtype == object])
    return np.asarray(model.get_feature_importance(rows, type="ShapValues"), np.float64)
