"""Focal losses as streaming metrics, and as functions."""

# <doors: imports> Written by tools/doors.py; `make doors` writes it anew.
from focal_loss.keras._functions import (
    binary_focal_crossentropy,
    binary_focal_loss,
    categorical_focal_crossentropy,
    categorical_focal_loss,
    quality_focal_loss,
    sparse_categorical_focal_crossentropy,
    sparse_categorical_focal_loss,
)
from focal_loss.keras._metrics import (
    BinaryFocalCrossentropy,
    BinaryFocalLoss,
    CategoricalFocalCrossentropy,
    CategoricalFocalLoss,
    QualityFocalLoss,
    SparseCategoricalFocalCrossentropy,
    SparseCategoricalFocalLoss,
)

# </doors: imports>

__all__ = [
    # <doors: names> Written by tools/doors.py; `make doors` writes it anew.
    "BinaryFocalCrossentropy",
    "BinaryFocalLoss",
    "CategoricalFocalCrossentropy",
    "CategoricalFocalLoss",
    "QualityFocalLoss",
    "SparseCategoricalFocalCrossentropy",
    "SparseCategoricalFocalLoss",
    "binary_focal_crossentropy",
    "binary_focal_loss",
    "categorical_focal_crossentropy",
    "categorical_focal_loss",
    "quality_focal_loss",
    "sparse_categorical_focal_crossentropy",
    "sparse_categorical_focal_loss",
    # </doors: names>
]
