"""Focal losses of NumPy arrays, and their derivatives by themselves.

Everything array-like is accepted and NumPy arrays come back. Floating arrays keep their dtype; integers and lists
become float32.
"""

# <doors: imports> Written by tools/doors.py; `make doors` writes it anew.
from focal_loss._host.functions import (
    asymmetric_loss,
    binary_focal_crossentropy,
    binary_focal_loss,
    binary_focal_loss_derivatives,
    categorical_focal_crossentropy,
    categorical_focal_loss,
    focal_matching_cost,
    matchability_aware_loss,
    penalty_reduced_focal_loss,
    poly1_focal_loss,
    quality_focal_loss,
    sparse_categorical_focal_crossentropy,
    sparse_categorical_focal_loss,
    sparse_categorical_focal_loss_derivatives,
    varifocal_loss,
)

# </doors: imports>

__all__ = [
    # <doors: names> Written by tools/doors.py; `make doors` writes it anew.
    "asymmetric_loss",
    "binary_focal_crossentropy",
    "binary_focal_loss",
    "binary_focal_loss_derivatives",
    "categorical_focal_crossentropy",
    "categorical_focal_loss",
    "focal_matching_cost",
    "matchability_aware_loss",
    "penalty_reduced_focal_loss",
    "poly1_focal_loss",
    "quality_focal_loss",
    "sparse_categorical_focal_crossentropy",
    "sparse_categorical_focal_loss",
    "sparse_categorical_focal_loss_derivatives",
    "varifocal_loss",
    # </doors: names>
]
