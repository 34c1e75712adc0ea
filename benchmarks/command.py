"""``python benchmarks/command.py``: `focal-loss fit` against the same work by hand, time and memory.

"By hand" is the code that one would write: pandas reads the CSV, scikit-learn splits it, and the same classifiers, one
of the focal loss and LightGBM's own, train the same folds with early stopping and the final models. Each runs in a
process of its own. `plain` is by hand with LightGBM's own classifier both times, whose training may stop earlier.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROWS, COLUMNS, FOLDS = 1_000_000, 30, 2

BY_HAND = """
import sys
import lightgbm, numpy as np, pandas as pd
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold, train_test_split
from focal_loss.lightgbm import FocalLGBMClassifier

def focal(**parameters):
    return FocalLGBMClassifier(gamma=1.0, metric="binary_logloss", **parameters)

frame = pd.read_csv(sys.argv[1])
y, X = frame.pop("rare").to_numpy(), frame
train, test = train_test_split(np.arange(len(y)), test_size=0.2, stratify=y, random_state=0)
parameters = {"n_estimators": 1000, "reg_lambda": 1e-3, "verbosity": -1, "n_jobs": 2}
stop = lightgbm.early_stopping(50, verbose=False)
for classifier in (LOSSES):
    rounds = []
    for grown, held in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(X.iloc[train], y[train]):
        model = classifier(**parameters)
        grown, held = train[grown], train[held]
        model.fit(X.iloc[grown], y[grown], eval_X=X.iloc[held], eval_y=y[held], callbacks=[stop])
        average_precision_score(y[held], model.predict_proba(X.iloc[held])[:, 1])
        rounds.append(model.best_iteration_)
    final = classifier(**(parameters | {"n_estimators": int(np.mean(rounds))}))
    final.fit(X.iloc[train], y[train])
    print(average_precision_score(y[test], final.predict_proba(X.iloc[test])[:, 1]), rounds)
"""


def write_table(path: Path) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.csv

    rng = np.random.default_rng(0)
    X = rng.normal(size=(ROWS, COLUMNS)).round(4)
    odds = X[:, 0] * X[:, 1] + X[:, 2] - 4
    columns = {f"column_{k}": X[:, k] for k in range(COLUMNS)}
    columns["rare"] = (rng.random(ROWS) < 1 / (1 + np.exp(-odds))).astype(np.int64)
    pa.csv.write_csv(pa.table(columns), path)


def measured(command: list[str]) -> tuple[float, float]:
    """Seconds and peak MiB of a process."""
    before = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command[:3]} ended with status {status}")
    return time.perf_counter() - before, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path, out = Path(directory) / "table.csv", Path(directory) / "out"
        write_table(path)
        ours = [sys.executable, "-m", "focal_loss", "fit", str(path), "--target", "rare", "--trials", "1"]
        ours += ["--folds", str(FOLDS), "--jobs", "2", "--out", str(out), "--force"]
        commands = {"focal-loss fit": ours}
        for name, losses in (("by hand", "focal"), ("plain", "lightgbm.LGBMClassifier")):
            code = BY_HAND.replace("FOLDS", str(FOLDS)).replace("LOSSES", f"{losses}, lightgbm.LGBMClassifier")
            commands[name] = [sys.executable, "-W", "ignore", "-c", code, str(path)]
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(options.repeats):
            for name, one in commands.items():
                found[name].append(measured(one))
                print("{}: {:.1f} s, {:.0f} MiB".format(name, *found[name][-1]), flush=True)
    medians = {name: list(map(statistics.median, zip(*rows, strict=True))) for name, rows in found.items()}
    seconds, memory = medians.pop("focal-loss fit")
    for name, other in medians.items():
        print(f"against {name}: time {seconds / other[0]:.2f}, memory {memory / other[1]:.2f}")


if __name__ == "__main__":
    main()
