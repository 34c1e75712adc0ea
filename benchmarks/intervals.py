"""``python benchmarks/intervals.py``: how often the 95 % intervals of `focal-loss fit` hold what they are for.

Each made-up table has 1,500 rows, about 8 % of them positive: of half of the tables the columns tell something, of the
others nothing. The truth for a model, and for two of them, is their metric on 50,000 new rows of the same kind.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from promises import ROWS, table
from tables import markdown

from focal_loss._command import boosters, division, fit, search, summary
from focal_loss._command.evaluation import MEASURES

NEW_ROWS = 50_000


def one(seed: int, told: float, trials: int, folder: Path) -> Iterator[dict[str, Any]]:
    """Whether each interval of one table holds the truth."""
    rng = np.random.default_rng(seed)
    table(rng, ROWS, told).to_parquet(folder / "rows.parquet")
    data = division.load(folder / "rows.parquet", division.Question("rare", None, False, 5, seed))
    settings = search.Settings("lightgbm", None, None, "average_precision", 5, seed)
    found = search.Search(*data.searched, data.folds, settings, jobs=1)
    result = fit.fit(data, found, trials=trials, seconds=None, report=lambda done, best: None)
    new = table(rng, NEW_ROWS, told)
    y = new.pop("rare").to_numpy().astype(bool)
    X, _ = boosters.columns_for("lightgbm", new)
    p = {loss: each.model.predict_proba(X)[:, 1] for loss, each in result.candidates.items()}
    rows, names = summary.comparisons([result]), {measure.name: measure for measure in MEASURES.values()}
    for row in rows:
        truth = {loss: names[row.name].of(y, probability) for loss, probability in p.items()}
        kind = {"labels": "random" if told == 0 else "told by the columns", "metric": row.name}
        for loss, value in truth.items():
            model = row.models[loss]
            yield kind | {"of": "a loss", "held": model.low <= value <= model.high, "width": model.high - model.low}
        difference = truth["focal"] - truth[row.rival]
        held = row.low <= difference <= row.high
        yield kind | {"of": "the difference", "held": held, "width": row.high - row.low}


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--tables", type=int, default=60, help="of each kind")
    parser.add_argument("--trials", type=int, default=2)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.tables):
            for told in (0.0, (1.5, 2.5, 4.0)[seed % 3]):
                rows += one(seed, told, options.trials, Path(folder))
    print(f"{options.tables} tables of each kind, {options.trials} trials of each loss")
    lines = []
    for key, part in pd.DataFrame(rows).groupby(["of", "metric", "labels"], sort=False):
        lines.append([*key, f"{part.held.mean():.1%} of {len(part)}", f"{part.width.median():.3g}"])
    print(markdown(["interval of", "metric", "labels", "holds the truth", "median width"], lines))


if __name__ == "__main__":
    main()
