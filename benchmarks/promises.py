"""``python benchmarks/promises.py``: what `predict --precision` promises, against what comes.

Each made-up table has 1,500 rows, about 120 of them positive, in columns of which some say something. A model of
`focal-loss fit` flags 20,000 new rows of the same kind, whose precision is counted.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit

from focal_loss._command import cli, reading, store
from focal_loss._command.thresholds import Outcomes

ROWS, NEW_ROWS, COLUMNS = 1500, 20_000, 8
WANTED = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9)


def table(rng: np.random.Generator, rows: int, told: float) -> pd.DataFrame:
    """Columns and labels; the larger `told`, the more the columns tell. About 8 % of the rows are positive."""
    X = rng.normal(size=(rows, COLUMNS))
    odds = told * (X[:, 0] + 0.7 * X[:, 1] * X[:, 2] + 0.5 * np.abs(X[:, 3])) / 1.3
    base = brentq(lambda base: expit(odds + base).mean() - 0.08, -20, 5)
    return pd.DataFrame(X).add_prefix("x").assign(rare=(rng.random(rows) < expit(odds + base)).astype(int))


def one(seed: int, trials: int, folder: Path) -> list[dict[str, float]]:
    """The precisions of one model, promised and found."""
    rng = np.random.default_rng(seed)
    told = (1.5, 2.5, 4.0)[seed % 3]
    table(rng, ROWS, told).to_parquet(folder / "rows.parquet")
    new = table(rng, NEW_ROWS, told)
    new.to_parquet(folder / "new.parquet")
    given = f"fit {folder}/rows.parquet --target rare --trials {trials} --jobs 2 --out {folder}/model --force"
    assert cli.main(given.split()) == 0
    stored = store.Stored.load(folder / "model")
    probability, _ = stored.probability(reading.read(folder / "new.parquet"), folder)
    y, found = new.rare.to_numpy().astype(bool), []
    for wanted in WANTED:
        promise = stored.outcomes.for_precision(wanted)
        if promise is None:
            found.append({"wanted": wanted, "achieved": np.nan})
            continue
        at = Outcomes.at(y, probability, np.array([promise.threshold]))
        right, flagged = int(at.tp.rows[0]), int((at.tp + at.fp).rows[0])
        achieved = right / flagged if flagged else np.nan
        found.append({"wanted": wanted, "achieved": achieved, "recall": float(right / y.sum())})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--tables", type=int, default=25)
    parser.add_argument("--trials", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for seed in range(options.tables) for row in one(seed, options.trials, Path(folder))]
    frame = pd.DataFrame(rows)
    print(f"{options.tables} tables of {ROWS} rows, {options.trials} trials of each loss")
    print("| precision asked | refused | achieved, mean | at least it | short by more than .1 | recall |")
    print("|---|---|---|---|---|---|")
    for wanted, part in frame.groupby("wanted"):
        kept = part.dropna()
        print(
            f"| {wanted:g} | {len(part) - len(kept)} | {kept.achieved.mean():.2f} | "
            f"{(kept.achieved >= wanted).mean():.0%} | {(kept.achieved < wanted - 0.1).mean():.0%} | "
            f"{kept.recall.mean():.2f} |"
        )


if __name__ == "__main__":
    main()
