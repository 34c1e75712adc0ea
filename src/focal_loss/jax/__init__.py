"""Focal losses of JAX arrays.

Gradients are closed forms given as custom derivatives: right at every finite logit, to second order, in forward and
in reverse mode, under `jit` and `vmap`. Losses from logits run native kernels on the CPU, by XLA's FFI.
"""

# <doors: imports> Written by tools/doors.py; `make doors` writes it anew.
from focal_loss.jax._functions import (
    asymmetric_loss,
    binary_focal_crossentropy,
    binary_focal_loss,
    categorical_focal_crossentropy,
    categorical_focal_loss,
    focal_matching_cost,
    matchability_aware_loss,
    penalty_reduced_focal_loss,
    poly1_focal_loss,
    quality_focal_loss,
    sigmoid_focal_loss,
    sparse_categorical_focal_crossentropy,
    sparse_categorical_focal_loss,
    varifocal_loss,
)
from focal_loss.jax._linear import linear_sparse_categorical_focal_loss

# </doors: imports>

__all__ = [
    # <doors: names> Written by tools/doors.py; `make doors` writes it anew.
    "asymmetric_loss",
    "binary_focal_crossentropy",
    "binary_focal_loss",
    "categorical_focal_crossentropy",
    "categorical_focal_loss",
    "focal_matching_cost",
    "linear_sparse_categorical_focal_loss",
    "matchability_aware_loss",
    "penalty_reduced_focal_loss",
    "poly1_focal_loss",
    "quality_focal_loss",
    "sigmoid_focal_loss",
    "sparse_categorical_focal_crossentropy",
    "sparse_categorical_focal_loss",
    "varifocal_loss",
    # </doors: names>
]
