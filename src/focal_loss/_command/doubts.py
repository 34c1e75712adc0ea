"""Remarks on a table that may make its model look better than it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from focal_loss._command import division, weights

Array = Any
COPIES = 0.01  # share of held-out rows that are in the training part too, above which it is said
PERFECT = 0.995  # ROC AUC of a single column
DIFFERENT, MANY = 0.99, 100  # share of rows with a whole number of their own, and the fewest of them


def about(data: division.Data) -> list[str]:
    """Held-out rows that are in the training part too, columns that give the target away, and identifiers."""
    return [*copies(data), *giveaways(data), *identifiers(data)]


def copies(data: division.Data) -> Iterator[str]:
    known, held = (pd.util.hash_pandas_object(part.X, index=False) for part in (data.train, data.test))
    count = int(held.isin(known).sum())
    if count > COPIES * len(held):
        yield (
            f"{count} of {len(held)} held-out rows equal rows of the training part in every column, and what they "
            "measure is memory; keep rows of one case together with --group, or write each row once"
        )


def giveaways(data: division.Data) -> Iterator[str]:
    for name, column in data.searched.X.items():
        auc = alone(column, data.searched.y, data.searched.weight)
        if auc > PERFECT:
            yield (
                f"{name!r} alone ranks the target almost perfectly, with a ROC AUC of {auc:.4f}; if it is not known "
                "when a prediction is needed, leave it out with --ignore"
            )


def alone(column: pd.Series, y: Array, weight: Array | None = None) -> float:
    """The ROC AUC of one column, whichever way it points; missing values and categories count by their positives."""
    labels = pd.Series(y, index=column.index, dtype=float)
    if isinstance(column.dtype, pd.CategoricalDtype):
        own = pd.Series(weights.each(weight, len(y)), index=column.index)
        groups = pd.DataFrame({"right": labels * own, "all": own}).groupby(column.cat.codes)
        if groups.size().min() < 5:  # few rows of a category tell their own label
            return 0.5
        sums = groups.transform("sum")
        return float(roc_auc_score(y, sums["right"] / sums["all"], sample_weight=weight))
    missing = column.isna()
    if missing.nunique() > 1 and labels[missing].nunique() == 1 == labels[~missing].nunique():
        return 1.0
    there = ~missing.to_numpy()
    if labels[there].nunique() < 2:
        return 0.5
    ranks, own = column[there].rank(), weights.taken(weight, there)  # ranks, since values may be infinite
    auc = float(roc_auc_score(y[there], ranks, sample_weight=own))
    return max(auc, 1 - auc)


def identifiers(data: division.Data) -> Iterator[str]:
    for name, column in data.searched.X.items():
        if isinstance(column.dtype, pd.CategoricalDtype) or len(column) < MANY:
            continue
        values = column.to_numpy()
        with np.errstate(invalid="ignore"):
            whole = bool((values == np.round(values)).all())
        if whole and column.nunique() > DIFFERENT * len(column):
            yield (
                f"{name!r} holds whole numbers that nearly all differ, as identifiers do; if it is one, leave it out "
                "with --ignore, because what it tells about these rows it does not tell about new ones"
            )
