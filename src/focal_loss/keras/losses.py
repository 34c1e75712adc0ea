"""Focal losses as `keras.losses.Loss`, and as functions."""

# <doors: imports> Written by tools/doors.py; `make doors` writes it anew.
from focal_loss.keras._functions import (
    asymmetric_loss,
    binary_focal_crossentropy,
    binary_focal_loss,
    categorical_focal_crossentropy,
    categorical_focal_loss,
    matchability_aware_loss,
    penalty_reduced_focal_loss,
    poly1_focal_loss,
    quality_focal_loss,
    sparse_categorical_focal_crossentropy,
    sparse_categorical_focal_loss,
    varifocal_loss,
)
from focal_loss.keras._losses import (
    AsymmetricLoss,
    BinaryFocalCrossentropy,
    BinaryFocalLoss,
    CategoricalFocalCrossentropy,
    CategoricalFocalLoss,
    MatchabilityAwareLoss,
    PenaltyReducedFocalLoss,
    Poly1FocalLoss,
    QualityFocalLoss,
    SparseCategoricalFocalCrossentropy,
    SparseCategoricalFocalLoss,
    VarifocalLoss,
)

# </doors: imports>

__all__ = [
    # <doors: names> Written by tools/doors.py; `make doors` writes it anew.
    "AsymmetricLoss",
    "BinaryFocalCrossentropy",
    "BinaryFocalLoss",
    "CategoricalFocalCrossentropy",
    "CategoricalFocalLoss",
    "MatchabilityAwareLoss",
    "PenaltyReducedFocalLoss",
    "Poly1FocalLoss",
    "QualityFocalLoss",
    "SparseCategoricalFocalCrossentropy",
    "SparseCategoricalFocalLoss",
    "VarifocalLoss",
    "asymmetric_loss",
    "binary_focal_crossentropy",
    "binary_focal_loss",
    "categorical_focal_crossentropy",
    "categorical_focal_loss",
    "matchability_aware_loss",
    "penalty_reduced_focal_loss",
    "poly1_focal_loss",
    "quality_focal_loss",
    "sparse_categorical_focal_crossentropy",
    "sparse_categorical_focal_loss",
    "varifocal_loss",
    # </doors: names>
]
