"""The content of the report, from data and probabilities."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from focal_loss._command import page
from focal_loss._command.division import Part


def data(X: pd.DataFrame, y: np.ndarray, held: int = 2, **fields: object) -> SimpleNamespace:
    """Data as `division.load` gives them: the last rows are held out."""
    parts = (Part(X.iloc[:-held], y[:-held]), Part(X.iloc[-held:], y[-held:]))
    return SimpleNamespace(train=parts[0], test=parts[1], **fields)


X = pd.DataFrame({"amount": [1.5, np.nan, 3.0, -2.0], "kind": pd.Categorical(["a", "b", None, "a"])})
Y = np.array([True, False, True, False])


@pytest.mark.parametrize(
    ("columns", "labels"),
    [
        (X.assign(amount=X.amount.fillna(0)), Y),
        (X.rename(columns={"kind": "sort"}), Y),
        (X, ~Y),
        (X.iloc[::-1], Y),
    ],
    ids=["value", "name", "label", "order"],
)
def test_other_data_have_another_fingerprint(columns: pd.DataFrame, labels: np.ndarray) -> None:
    known = page.fingerprint(data(X, Y))
    assert page.fingerprint(data(X.copy(), Y.copy())) == known
    assert page.fingerprint(data(columns, labels)) != known
    assert len(known) == 16


def test_ranks_of_values() -> None:
    assert page.ranks(pd.Series([5.0, 1.0, np.nan, 3.0])) == [1.0, 0.0, None, 0.5]
    assert page.ranks(pd.Series([2.0, 2.0, 2.0])) == [0.5, 0.5, 0.5]
    assert page.ranks(X.kind) == [None] * 4


def test_rows_of_a_file_of_held_out_rows_are_named() -> None:
    assert page.rows_of(data(X, Y, target=SimpleNamespace(labels=Y))) == "4"
    assert page.rows_of(data(X, Y, target=SimpleNamespace(labels=Y[:2]))) == "2, and 2 held out"
