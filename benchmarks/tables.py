"""``python benchmarks/tables.py --tables DIR``: focal loss against cross-entropy on real tables, in four boosters.

DIR holds CSV files whose last column is the target; scikit-learn's bundled tables come on top. Every fold trains on
three quarters of its training part and stops early on the last quarter, by the log loss of the probabilities; that
quarter also fits the temperature. Everything but the loss is the same: learning rate 0.1, at most 400 rounds, the
library's own defaults for the rest. Nothing is chosen by the test part. CatBoost, which calls a softmax objective once
for each example, is spared the largest table of many classes.

Intervals are 95 % intervals of a mean over folds, by the resampled t test corrected for overlapping training sets
(Nadeau and Bengio, "Inference for the generalization error", Machine Learning 52, 2003). Where an interval is wider
than what is compared, as for wine, whose test parts hold 45 rows, nothing can be said. "exact" and "relative_floor" are
the same where no training example is so wrong that its Hessian falls below the floor.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import subprocess
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import catboost
import lightgbm
import numpy as np
import pandas as pd
import xgboost
from joblib import Parallel, delayed
from scipy.stats import t as student
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import average_precision_score, log_loss
from sklearn.model_selection import RepeatedStratifiedKFold, train_test_split
from sklearn.preprocessing import label_binarize

from focal_loss.calibration import FocalTemperature, expected_calibration_error
from focal_loss.catboost import FocalCatBoostClassifier
from focal_loss.lightgbm import FocalLGBMClassifier
from focal_loss.sklearn import FocalHistGradientBoostingClassifier
from focal_loss.xgboost import FocalXGBClassifier

RESULTS = Path(__file__).parent / "results"
GAMMAS = (0.5, 1.0, 2.0, 3.0)
POLICIES = ("majorizer", "exact", "relative_floor")
MEASURES = ("average precision", "log loss", "Brier", "ECE")
ROUNDS, PATIENCE = 400, 30
SPLITS = 4


# ---------------------------------------------------------------------------------------------------------------
# Tables
# ---------------------------------------------------------------------------------------------------------------


@dataclass
class Table:
    name: str
    X: pd.DataFrame
    y: np.ndarray  # 0 .. K-1; of two classes, 1 is the rarer


def tables(directory: Path) -> Iterator[Table]:
    for path in sorted(directory.glob("*.csv")):
        frame = pd.read_csv(path)
        yield prepared(path.stem, frame.iloc[:, :-1], frame.iloc[:, -1])
    for load in (load_breast_cancer, load_wine, load_digits):
        bundled = load(as_frame=True)
        yield prepared(load.__name__.removeprefix("load_"), bundled.data, bundled.target)


def prepared(name: str, X: pd.DataFrame, target: pd.Series) -> Table:
    classes, y = np.unique(target.to_numpy(), return_inverse=True)
    if len(classes) == 2 and y.mean() > 0.5:
        y = 1 - y
    categories = {c: X[c].astype("category") for c in X if X[c].dtype.kind not in "iuf"}
    return Table(name, X.assign(**categories), y)


# ---------------------------------------------------------------------------------------------------------------
# Boosters
# ---------------------------------------------------------------------------------------------------------------


@dataclass
class Booster:
    plain: Callable[..., Any]
    focal: Callable[..., Any]
    options: dict[str, Any]
    harsh: dict[str, Any]  # no regularisation, the longest steps
    fit: Callable[..., Any]
    scores: Callable[[Any, Any], Any]  # raw scores of a model for columns


def fit_lightgbm(model: Any, X: Any, y: Any, evaluated: tuple[Any, Any]) -> None:
    stop = lightgbm.early_stopping(PATIENCE, first_metric_only=True, verbose=False)
    model.fit(X, y, eval_set=[evaluated], eval_metric="logloss", callbacks=[stop])


def fit_xgboost(model: Any, X: Any, y: Any, evaluated: tuple[Any, Any]) -> None:
    name = "logloss" if len(np.unique(y)) == 2 else "mlogloss"
    model.set_params(eval_metric=name, early_stopping_rounds=PATIENCE).fit(X, y, eval_set=[evaluated], verbose=False)


def fit_catboost(model: Any, X: Any, y: Any, evaluated: tuple[Any, Any]) -> None:
    columns = [c for c in X if X[c].dtype == "category"]
    name = "Logloss" if len(np.unique(y)) == 2 else "MultiClass"
    model.set_params(eval_metric=name, early_stopping_rounds=PATIENCE, cat_features=columns)
    model.fit(X, y, eval_set=evaluated)


def fit_sklearn(model: Any, X: Any, y: Any, evaluated: tuple[Any, Any]) -> None:
    """Unlike the others, this keeps the rounds after the best one."""
    model.set_params(early_stopping=True, scoring="neg_log_loss", n_iter_no_change=PATIENCE)
    model.fit(X, y, X_val=evaluated[0], y_val=evaluated[1])


BOOSTERS = {
    "LightGBM": Booster(
        lightgbm.LGBMClassifier,
        FocalLGBMClassifier,
        {"n_estimators": ROUNDS, "learning_rate": 0.1, "n_jobs": 1, "verbosity": -1},
        {"n_estimators": 100, "learning_rate": 1.0, "max_depth": 8, "num_leaves": 255, "reg_lambda": 0.0},
        fit_lightgbm,
        lambda model, X: model.predict(X, raw_score=True),
    ),
    "XGBoost": Booster(
        xgboost.XGBClassifier,
        FocalXGBClassifier,
        {"n_estimators": ROUNDS, "learning_rate": 0.1, "n_jobs": 1, "enable_categorical": True},
        {"n_estimators": 100, "learning_rate": 1.0, "max_depth": 8, "reg_lambda": 0.0},
        fit_xgboost,
        lambda model, X: model.predict(X, output_margin=True),
    ),
    "CatBoost": Booster(
        catboost.CatBoostClassifier,
        FocalCatBoostClassifier,
        {
            "iterations": ROUNDS,
            "learning_rate": 0.1,
            "thread_count": 1,
            "logging_level": "Silent",
            "allow_writing_files": False,
        },
        {"iterations": 100, "learning_rate": 1.0, "depth": 8, "l2_leaf_reg": 0.0},
        fit_catboost,
        lambda model, X: model.predict(X, prediction_type="RawFormulaVal"),
    ),
    "scikit-learn": Booster(
        HistGradientBoostingClassifier,
        FocalHistGradientBoostingClassifier,
        {"max_iter": ROUNDS, "learning_rate": 0.1},
        {"max_iter": 100, "learning_rate": 1.0, "max_depth": 8, "max_leaf_nodes": 255, "early_stopping": False},
        fit_sklearn,
        lambda model, X: model._raw_predict(X),
    ),
}


# ---------------------------------------------------------------------------------------------------------------
# Folds
# ---------------------------------------------------------------------------------------------------------------

Row = dict[str, Any]


def measures(y: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    classes = probabilities.shape[1]
    true_class_mask = np.eye(classes)[y]
    ranked = probabilities[:, 1] if classes == 2 else probabilities
    shown = y if classes == 2 else label_binarize(y, classes=range(classes))
    return {
        "average precision": average_precision_score(shown, ranked),
        "log loss": log_loss(y, probabilities, labels=range(classes)),
        "Brier": float(((probabilities - true_class_mask) ** 2).sum(axis=1).mean()) / (2 if classes == 2 else 1),
        "ECE": expected_calibration_error(y, ranked),
    }


def of_fold(table: Table, name: str, train: np.ndarray, test: np.ndarray) -> list[Row]:
    """Cross-entropy and every gamma and policy on one split."""
    warnings.simplefilter("ignore")
    booster, rows = BOOSTERS[name], []
    grown, held = train_test_split(train, test_size=0.25, stratify=table.y[train], random_state=0)
    for gamma, policy in [(0.0, "own"), *((g, p) for g in GAMMAS for p in POLICIES)]:
        loss = {"gamma": gamma, "hessian": policy} if gamma else {}
        model = (booster.focal if gamma else booster.plain)(**loss, **booster.options)
        held_set = table.X.iloc[held], table.y[held]
        booster.fit(model, table.X.iloc[grown], table.y[grown], held_set)
        for form, probabilities in forms(booster, model, gamma, held_set, table.X.iloc[test]).items():
            labels = {"table": table.name, "booster": name, "gamma": gamma, "hessian": policy, "form": form}
            rows.append(labels | measures(table.y[test], probabilities))
    return rows


def forms(booster: Booster, model: Any, gamma: float, held: tuple[Any, Any], X: Any) -> dict[str, np.ndarray]:
    """The test probabilities in each form; of cross-entropy, whose scores are posteriors, in two."""
    found = {"posterior": model.predict_proba(X)}
    if gamma:
        found["scores"] = model.set_params(calibrated=False).predict_proba(X)
    held_scores, scores = (np.asarray(booster.scores(model, part)) for part in (held[0], X))
    temperature = FocalTemperature(gamma).fit(held_scores, held[1])
    return found | {"temperature": temperature.predict_proba(scores)}


def of_harsh_run(table: Table, name: str, policy: str) -> Row:
    """No regularisation, steps of full length, gamma 5: the largest score, and the log loss on a test part."""
    warnings.simplefilter("ignore")
    booster = BOOSTERS[name]
    train, test = train_test_split(np.arange(len(table.y)), test_size=0.25, stratify=table.y, random_state=0)
    model = booster.focal(gamma=5.0, hessian=policy, **(booster.options | booster.harsh))
    columns = [c for c in table.X if table.X[c].dtype == "category"]
    extra = {"cat_features": columns} if name == "CatBoost" and columns else {}
    model.fit(table.X.iloc[train], table.y[train], **extra)
    scores = np.abs(np.asarray(booster.scores(model, table.X))).max()
    loss = log_loss(table.y[test], model.predict_proba(table.X.iloc[test]))
    return {"table": table.name, "booster": name, "hessian": policy, "largest score": float(scores), "log loss": loss}


# ---------------------------------------------------------------------------------------------------------------
# The page
# ---------------------------------------------------------------------------------------------------------------


def interval(difference: np.ndarray) -> float:
    """Half its width, for differences of one pair of methods over repeated cross-validation."""
    n = len(difference)
    return float(student.ppf(0.975, n - 1) * np.sqrt((1 / n + 1 / (SPLITS - 1)) * difference.var(ddof=1)))


def against_plain(frame: pd.DataFrame, measure: str, **chosen: Any) -> str:
    """A measure as a multiple of cross-entropy's, with its interval."""
    plain = frame[(frame.gamma == 0) & (frame.form == "posterior")][measure].to_numpy()
    ours = frame[np.logical_and.reduce([frame[k] == v for k, v in chosen.items()])][measure].to_numpy()
    return f"{ours.mean() / plain.mean():.3f} ± {interval(ours - plain) / plain.mean():.3f}"


def markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def section(title: str, header: list[str], groups: list[Any], cells: Callable[[pd.DataFrame], list[str]]) -> str:
    """A table with a row for each table and booster."""
    return f"## {title}\n\n" + markdown(["table", "booster", *header], [[*key, *cells(group)] for key, group in groups])


def page(frame: pd.DataFrame, harsh: pd.DataFrame, about: dict[str, str]) -> str:
    groups = list(frame.groupby(["table", "booster"], sort=False))
    gammas = [f"gamma {g:g}" for g in GAMMAS]

    def plain(group: pd.DataFrame) -> list[str]:
        own = group[(group.gamma == 0) & (group.form == "posterior")]
        return [f"{own[name].mean():.4f}" for name in MEASURES]

    def by_gamma(measure: str, form: str) -> Callable[[pd.DataFrame], list[str]]:
        wanted = {"hessian": "majorizer", "form": form}
        return lambda group: [against_plain(group, measure, gamma=g, **wanted) for g in GAMMAS]

    def tempered(group: pd.DataFrame) -> list[str]:
        own = against_plain(group, "log loss", gamma=0.0, form="temperature")
        return [own, *by_gamma("log loss", "temperature")(group)]

    def by_policy(group: pd.DataFrame) -> list[str]:
        return [against_plain(group, "log loss", gamma=2.0, hessian=p, form="posterior") for p in POLICIES]

    def of_harsh(group: pd.DataFrame) -> list[str]:
        by = group.set_index("hessian")
        return [f"{by['largest score'][p]:.1f}, {by['log loss'][p]:.3f}" for p in POLICIES]

    runs = list(harsh.groupby(["table", "booster"], sort=False))
    times = "as a multiple of cross-entropy's"
    return "\n".join(
        [
            "# Focal loss against cross-entropy on real tables\n",
            __doc__.split("\n\n", 1)[1],
            *(f"- {name}: {text}" for name, text in about.items()),
            "",
            section("Cross-entropy itself", list(MEASURES), groups, plain),
            section(f"Log loss of the posterior, {times}", gammas, groups, by_gamma("log loss", "posterior")),
            section(
                f"Log loss of the posterior with a temperature (`FocalTemperature`), {times} without one",
                ["gamma 0", *gammas],
                groups,
                tempered,
            ),
            section(
                f"Log loss of the scores as they are (`calibrated=False`), {times}",
                gammas,
                groups,
                by_gamma("log loss", "scores"),
            ),
            *(
                section(f"{name} of the posterior, {times}", gammas, groups, by_gamma(name, "posterior"))
                for name in ("average precision", "Brier", "ECE")
            ),
            section(f"Hessian policies: log loss of the posterior at gamma 2, {times}", [*POLICIES], groups, by_policy),
            section(
                "No regularisation, depth 8, learning rate 1, gamma 5: the largest score, and the log loss",
                [*POLICIES],
                runs,
                of_harsh,
            ),
        ]
    )


def described(repeats: int) -> dict[str, str]:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    packages = ("lightgbm", "xgboost-cpu", "catboost", "scikit-learn", "numpy")
    return {
        "date": date.today().isoformat(),
        "commit": commit.stdout.strip(),
        "versions": ", ".join(f"{p} {importlib.metadata.version(p)}" for p in packages),
        "folds": f"{SPLITS}, {repeats} times",
    }


def feasible(table: Table, booster: str) -> bool:
    return booster != "CatBoost" or table.y.max() == 1 or len(table.y) < 1000


def main() -> None:
    parser = argparse.ArgumentParser(description="Focal loss against cross-entropy on real tables.")
    parser.add_argument(
        "--tables", type=Path, required=True, help="a directory of CSV files; the last column is the target"
    )
    parser.add_argument("--boosters", nargs="+", choices=BOOSTERS, default=list(BOOSTERS))
    parser.add_argument("--repeats", type=int, default=2, help=f"of {SPLITS}-fold cross-validation")
    parser.add_argument("--jobs", type=int, default=-1)
    options = parser.parse_args()
    every = list(tables(options.tables))
    folds = RepeatedStratifiedKFold(n_splits=SPLITS, n_repeats=options.repeats, random_state=0)
    pairs = [(t, e) for t in every for e in options.boosters if feasible(t, e)]
    jobs = [(t, e, *split) for t, e in pairs for split in folds.split(t.X, t.y)]
    found = Parallel(options.jobs, verbose=5)(delayed(of_fold)(*job) for job in jobs)
    harsh = Parallel(options.jobs)(delayed(of_harsh_run)(*pair, policy) for pair in pairs for policy in POLICIES)
    rows = [row for fold in found for row in fold]
    about = described(options.repeats)
    (RESULTS / "tables.json").write_text(json.dumps({"about": about, "folds": rows, "harsh": harsh}))
    text = page(pd.DataFrame(rows), pd.DataFrame(harsh), about)
    (RESULTS / "tables.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
