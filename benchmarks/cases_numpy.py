"""NumPy: the value, against the same closed form written in NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

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
    for size in ("16", "1e3", "1e5", "1e6", "1e7"):
        z = rng.normal(0, 3, int(float(size))).astype(np.float32)
        y = (rng.random(len(z)) < 0.1).astype(np.uint8)
        rivals = {"closed form in NumPy": partial(closed_form, y, z)}
        yield Contest("numpy value", size, partial(binary_focal_loss, y, z, 2, from_logits=True), rivals)
