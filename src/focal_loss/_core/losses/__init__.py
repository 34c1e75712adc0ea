"""The losses: one file each, which declares everything that the public modules show and the tests try."""

from focal_loss._core.formula import FAMILIES

# <doors: losses> Written by tools/doors.py; `make doors` writes it anew.
from focal_loss._core.losses.asymmetric_loss import LOSS as ASYMMETRIC_LOSS
from focal_loss._core.losses.binary_focal_crossentropy import LOSS as BINARY_FOCAL_CROSSENTROPY
from focal_loss._core.losses.binary_focal_loss import LOSS as BINARY_FOCAL_LOSS
from focal_loss._core.losses.categorical_focal_crossentropy import LOSS as CATEGORICAL_FOCAL_CROSSENTROPY
from focal_loss._core.losses.categorical_focal_loss import LOSS as CATEGORICAL_FOCAL_LOSS
from focal_loss._core.losses.focal_matching_cost import LOSS as FOCAL_MATCHING_COST
from focal_loss._core.losses.matchability_aware_loss import LOSS as MATCHABILITY_AWARE_LOSS
from focal_loss._core.losses.penalty_reduced_focal_loss import LOSS as PENALTY_REDUCED_FOCAL_LOSS
from focal_loss._core.losses.poly1_focal_loss import LOSS as POLY1_FOCAL_LOSS
from focal_loss._core.losses.quality_focal_loss import LOSS as QUALITY_FOCAL_LOSS
from focal_loss._core.losses.sparse_categorical_focal_crossentropy import LOSS as SPARSE_CATEGORICAL_FOCAL_CROSSENTROPY
from focal_loss._core.losses.sparse_categorical_focal_loss import LOSS as SPARSE_CATEGORICAL_FOCAL_LOSS
from focal_loss._core.losses.varifocal_loss import LOSS as VARIFOCAL_LOSS

LOSSES = (
    ASYMMETRIC_LOSS,
    BINARY_FOCAL_CROSSENTROPY,
    BINARY_FOCAL_LOSS,
    CATEGORICAL_FOCAL_CROSSENTROPY,
    CATEGORICAL_FOCAL_LOSS,
    FOCAL_MATCHING_COST,
    MATCHABILITY_AWARE_LOSS,
    PENALTY_REDUCED_FOCAL_LOSS,
    POLY1_FOCAL_LOSS,
    QUALITY_FOCAL_LOSS,
    SPARSE_CATEGORICAL_FOCAL_CROSSENTROPY,
    SPARSE_CATEGORICAL_FOCAL_LOSS,
    VARIFOCAL_LOSS,
)

__all__ = [
    "ASYMMETRIC_LOSS",
    "BINARY_FOCAL_CROSSENTROPY",
    "BINARY_FOCAL_LOSS",
    "CATEGORICAL_FOCAL_CROSSENTROPY",
    "CATEGORICAL_FOCAL_LOSS",
    "FOCAL_MATCHING_COST",
    "LOSSES",
    "MATCHABILITY_AWARE_LOSS",
    "PENALTY_REDUCED_FOCAL_LOSS",
    "POLY1_FOCAL_LOSS",
    "QUALITY_FOCAL_LOSS",
    "SPARSE_CATEGORICAL_FOCAL_CROSSENTROPY",
    "SPARSE_CATEGORICAL_FOCAL_LOSS",
    "VARIFOCAL_LOSS",
]
# </doors: losses>

for _loss in LOSSES:
    FAMILIES.update(_loss.closed_forms)
