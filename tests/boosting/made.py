"""The table that the tests of the boosters learn from."""

from __future__ import annotations

import numpy as np


def table(n: int = 3000, classes: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A table with rare classes and labels that no model can predict with certainty."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 5))
    scores = np.stack([np.zeros(n), X[:, 0] + X[:, 1] * X[:, 2] - 2, 1.5 * X[:, 3] - 3][:classes], axis=1)
    return X, (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)
