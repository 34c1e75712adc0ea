"""An array of more elements than 32 bits can count: the last ones must have the results of a small array."""

from __future__ import annotations

import numpy as np

from focal_loss._host import kernels
from focal_loss.numpy import binary_focal_loss, sparse_categorical_focal_loss

assert kernels.NATIVE is not None, kernels.DESCRIPTION
COUNT, LAST, CLASSES = 2**31 + 5, 100_000, 5

logits = np.resize(np.linspace(-8, 8, 65_537).astype(np.float16), COUNT)
labels = np.resize(np.arange(7, dtype=np.uint8) % 2, COUNT)
value = binary_focal_loss(labels, logits, 2, from_logits=True)
np.testing.assert_array_equal(value[-LAST:], binary_focal_loss(labels[-LAST:], logits[-LAST:], 2, from_logits=True))
assert value.shape == (COUNT,)
del value

rows = COUNT // CLASSES
logits, labels = logits[: rows * CLASSES].reshape(rows, CLASSES), labels[:rows]
value = sparse_categorical_focal_loss(labels, logits, 2, from_logits=True)
last = sparse_categorical_focal_loss(labels[-LAST:], logits[-LAST:], 2, from_logits=True)
np.testing.assert_array_equal(value[-LAST:], last)
labels[-1] = CLASSES
try:
    sparse_categorical_focal_loss(labels, logits, 2, from_logits=True)
except ValueError as error:
    print(error)
else:
    raise AssertionError("the last label is no class, and nobody said so")
