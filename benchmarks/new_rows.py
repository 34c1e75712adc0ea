"""``python benchmarks/new_rows.py``: held-out rows against the rows that come after, where a split at random misleads.

Patients: ten alike rows of each of 120, whose label is a coin toss. Campaigns: months of fraud, each with a pattern of
its own in the columns beside one that lasts. "New" are other patients, and the next month.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score
from tables import markdown

from focal_loss import load
from focal_loss._command import cli

PATIENTS, ROWS_EACH, SICK = 120, 10, 1 / 6
MONTHS, ROWS_OF_MONTH, FRAUD = 12, 400, 0.1


def patients(rng: np.random.Generator) -> pd.DataFrame:
    X = np.repeat(rng.normal(size=(PATIENTS, 6)), ROWS_EACH, axis=0) + 0.05 * rng.normal(size=(PATIENTS * ROWS_EACH, 6))
    who, ill = np.arange(PATIENTS), rng.random(PATIENTS) < SICK
    known = {"patient": np.repeat([f"p{k}" for k in who], ROWS_EACH), "label": np.repeat(ill, ROWS_EACH).astype(int)}
    return pd.DataFrame(X).add_prefix("x").assign(**known)


def campaigns(rng: np.random.Generator, months: range = range(MONTHS)) -> pd.DataFrame:
    """Frauds of a month lie together somewhere in four columns, and a little high in the fifth."""
    parts = []
    for month in months:
        X = rng.normal(size=(ROWS_OF_MONTH, 5))
        fraud = rng.random(ROWS_OF_MONTH) < FRAUD
        X[fraud, :4] = 2 * rng.normal(size=4) + 0.3 * rng.normal(size=(fraud.sum(), 4))
        X[fraud, 4] += 0.5
        day = pd.Timestamp("2025-01-01") + pd.to_timedelta(30 * month + rng.integers(0, 30, ROWS_OF_MONTH), unit="D")
        parts.append(pd.DataFrame(X).add_prefix("x").assign(day=day, label=fraud.astype(int)))
    return pd.concat(parts, ignore_index=True)


CASES: dict[str, tuple[Callable[..., pd.DataFrame], Callable[..., pd.DataFrame], tuple[str, ...], tuple[str, ...]]] = {
    "patients": (patients, patients, ("--ignore", "patient"), ("--group", "patient")),
    "campaigns": (
        campaigns,
        lambda rng: campaigns(rng, range(MONTHS, MONTHS + 1)),
        ("--ignore", "day"),
        ("--time", "day"),
    ),
}


def one(case: str, split: tuple[str, ...], seed: int, trials: int, folder: Path) -> list[float]:
    """Average precision and ROC AUC of the stored model: held out, then on new rows."""
    rng = np.random.default_rng(seed)
    make, come = CASES[case][:2]
    make(rng).to_csv(folder / "rows.csv", index=False)
    given = ["fit", f"{folder}/rows.csv", "--target", "label", "--trials", str(trials), "--repeats", "1", "--jobs", "1"]
    assert cli.main([*given, *split, "--out", f"{folder}/model", "--force"]) == 0
    known = json.loads((folder / "model" / "metrics.json").read_text())
    loss = known["decision"]["loss"]
    held = [known["metrics"][name]["models"][loss]["value"] for name in ("average precision", "ROC AUC")]
    new = come(rng)
    probability = load(folder / "model").predict_proba(new)[:, 1]
    return [*held, average_precision_score(new.label, probability), roc_auc_score(new.label, probability)]


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=4)
    options = parser.parse_args()
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for case, (*_, at_random, right) in CASES.items():
            for split in (at_random, right):
                found = [one(case, split, seed, options.trials, Path(folder)) for seed in range(options.seeds)]
                lines.append([case, " ".join(split), *(f"{mean:.3f}" for mean in np.mean(found, axis=0))])
    print(f"means over {options.seeds} tables, {options.trials} trials of each loss")
    names = ["average precision held out", "ROC AUC held out", "average precision of new rows", "ROC AUC of new rows"]
    print(markdown(["case", "split", *names], lines))


if __name__ == "__main__":
    main()
