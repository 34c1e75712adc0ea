"""NumPy: the value, against the same closed form written in NumPy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from contest import Contest

from focal_loss.numpy import binary_focal_loss


def closed_form(y: np.ndarray, z: np.ndarray) -> np.ndarray:
    s = np.where(y > 0, z, -z)
    u = np.exp(-np.abs(s))
    q = np.where(s >= 0, u, np.float32(1)) / (1 + u)
    return q * q * (np.log1p(u) + np.maximum(-s, 0))


def contests() -> Iterator[Contest]:
    rng = np.random.default_rng(0)
    for power, asked in ((3, None), (5, None), (6, None), (7, 20.0)):
        z = rng.normal(0, 3, 10**power).astype(np.float32)
        y = (rng.random(10**power) < 0.1).astype(np.uint8)
        yield Contest(
            "numpy value",
            f"1e{power}",
            lambda z=z, y=y: binary_focal_loss(y, z, 2, from_logits=True),
            {"closed form in NumPy": lambda z=z, y=y: closed_form(y, z)},
            {"closed form in NumPy": asked} if asked else {},
        )
