"""``python benchmarks/calibration.py --tables DIR``: probabilities of LightGBM on held-out rows, before and after the
temperature that ``calibrated="cv"`` fits.

DIR holds CSV files whose last column is the target. Each is split into 70 % for training and 30 % held out, once for
every seed, and the table that is printed has the means over the seeds, each with the standard deviation of a split.
Nothing is tuned and nothing stops early. "small" trees have 7 leaves and "default" ones 31, both 100 rounds. "plain,
cv" is cross-entropy with a temperature: gamma 0 with ``calibrated="cv"``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, log_loss
from sklearn.model_selection import train_test_split
from tables import Table, markdown, prepared

from focal_loss.calibration import expected_calibration_error
from focal_loss.lightgbm import FocalLGBMClassifier

TREES = {"small": {"num_leaves": 7}, "default": {}}
ARMS: dict[str, tuple[Any, dict[str, Any]]] = {
    "plain": (lightgbm.LGBMClassifier, {}),
    "plain, cv": (FocalLGBMClassifier, {"gamma": 0, "calibrated": "cv"}),
    "focal": (FocalLGBMClassifier, {"gamma": 2}),
    "focal, cv": (FocalLGBMClassifier, {"gamma": 2, "calibrated": "cv"}),
}
MEASURES = ("log loss", "average precision", "calibration error", "temperature")


def measured(table: Table, trees: str, seed: int, jobs: int) -> Iterator[dict[str, Any]]:
    """A row for each arm, on one split."""
    split = {"test_size": 0.3, "stratify": table.y, "random_state": seed}
    X, X_held, y, y_held = train_test_split(table.X, table.y, **split)
    for arm, (make, loss) in ARMS.items():
        model = make(n_jobs=jobs, verbosity=-1, **TREES[trees], **loss).fit(X, y)
        probability = model.predict_proba(X_held)[:, 1]
        found = (
            log_loss(y_held, probability),
            average_precision_score(y_held, probability),
            expected_calibration_error(y_held, probability),
            getattr(model, "temperature_", np.nan),
        )
        yield {"table": table.name, "trees": trees, "arm": arm, **dict(zip(MEASURES, found, strict=True))}


def page(rows: pd.DataFrame) -> str:
    """The means over the seeds, as a table of Markdown."""
    lines = []
    for key, group in rows.groupby(["table", "trees", "arm"], sort=False):
        found = group[list(MEASURES)]
        cells = [f"{found[m].mean():.4f} ± {found[m].std():.4f}" for m in MEASURES[:-1]]
        drawn = found[MEASURES[-1]]
        lines.append([*key, *cells, "" if drawn.isna().all() else f"{drawn.mean():.2f}"])
    return markdown(["table", "trees", "model", *MEASURES], lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Calibration of LightGBM on held-out rows of real tables.")
    parser.add_argument("--tables", type=Path, required=True, help="a directory of CSV files, the target last")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    found = []
    for path in sorted(options.tables.glob("*.csv")):
        frame = pd.read_csv(path)
        table = prepared(path.stem, frame.iloc[:, :-1], frame.iloc[:, -1])
        for trees in TREES:
            for seed in range(options.seeds):
                found += measured(table, trees, seed, options.jobs)
    if not found:
        parser.error(f"{options.tables} holds no CSV file")
    print(page(pd.DataFrame(found)))


if __name__ == "__main__":
    main()
