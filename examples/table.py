"""A table with a rare class: scores of a focal loss, the probabilities made of them, and decisions taken by them.

LightGBM learns which of 442 diabetes patients are among the tenth whose disease progresses most in a year (Efron et
al., 2004), with cross-entropy and with the focal loss, plain and with the positives weighted up. A false alarm costs 1
and a miss 20, so whoever has probabilities decides at 1/21. Out-of-fold predictions of repeated cross-validation;
nothing is tuned.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import lightgbm
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.datasets import load_diabetes
from sklearn.metrics import average_precision_score, log_loss
from sklearn.model_selection import StratifiedKFold

from focal_loss.calibration import expected_calibration_error
from focal_loss.lightgbm import FocalLGBMClassifier

FOREST = {"n_estimators": 50, "learning_rate": 0.05, "min_child_samples": 10, "verbosity": -1, "n_jobs": 1}
MISS = 20
WEIGHT = 10.0
HEADERS = ("trained with", "taken for a probability", "average precision", "log loss", "mean (share)", "ECE", "cost")


def models() -> dict[str, lightgbm.LGBMClassifier]:
    return {
        "cross-entropy": lightgbm.LGBMClassifier(**FOREST),
        "focal, gamma 2": FocalLGBMClassifier(gamma=2, **FOREST),
        f"focal, gamma 2, pos_weight {WEIGHT:g}": FocalLGBMClassifier(gamma=2, pos_weight=WEIGHT, **FOREST),
    }


def predictions(X: np.ndarray, y: np.ndarray, seed: int) -> Iterator[tuple[tuple[str, str], np.ndarray]]:
    """Out-of-fold probabilities of every example, for each model and each reading of its scores."""
    for name, model in models().items():
        focal = isinstance(model, FocalLGBMClassifier)
        found = {form: np.empty(len(y)) for form in (("sigmoid of the score", "posterior") if focal else ("sigmoid",))}
        for train, test in StratifiedKFold(5, shuffle=True, random_state=seed).split(X, y):
            model.fit(X[train], y[train])
            for form, column in found.items():
                if focal:
                    model.set_params(calibrated=form == "posterior")
                column[test] = model.predict_proba(X[test])[:, 1]
        for form, column in found.items():
            yield (name, form), column


def measured(y: np.ndarray, probability: np.ndarray) -> tuple[float, ...]:
    flagged = probability > 1 / (1 + MISS)
    cost = 1000 * np.mean(flagged & ~y) + 1000 * MISS * np.mean(~flagged & y)
    area, loss = average_precision_score(y, probability), log_loss(y, probability)
    return area, loss, probability.mean(), expected_calibration_error(y, probability), cost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, choices=range(1, 101), metavar="N", help="(default: 5)")
    options = parser.parse_args()
    X, progression = load_diabetes(return_X_y=True)
    y = progression > np.quantile(progression, 0.9)
    rows: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    for seed in track(range(options.repeats), "cross-validation"):
        for key, probability in predictions(X, y, seed):
            rows.setdefault(key, []).append(measured(y, probability))
    title = f"{y.sum()} of {len(y)} patients; cost per 1000, where a miss is {MISS} false alarms"
    table = Table(*HEADERS, title=title)
    for (name, form), values in rows.items():
        area, loss, mean, error, cost = np.mean(values, axis=0)
        table.add_row(
            name, form, f"{area:.3f}", f"{loss:.4f}", f"{mean:.3f} ({y.mean():.3f})", f"{error:.3f}", f"{cost:.0f}"
        )
    Console(highlight=False, width=130).print(
        table,
        "A posterior ranks as its score does; only the posterior is a probability to decide by. "
        f"To flag every patient costs {1000 * (1 - y.mean()):.0f}.",
        sep="\n",
    )


if __name__ == "__main__":
    main()
