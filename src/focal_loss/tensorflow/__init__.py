"""Focal losses of TensorFlow tensors.

Gradients are closed forms given as custom gradients: right at every finite logit, to second order, in nested tapes,
in `tf.function` with and without XLA, and in exported models.

On the host the losses from logits are ops of our own, which run the native kernels, in eager mode and in graphs. XLA
and accelerators compute the formula; a graph chooses where it runs. A `tf.function` that is traced while it is being
exported holds the formula and can be loaded anywhere. One that has been called before holds the ops: to load it, import
`focal_loss.tensorflow` first, or export from a process with FOCAL_LOSS_ISA=formula. Remote workers must import it too.
"""

# <doors: imports> Written by tools/doors.py; `make doors` writes it anew.
from focal_loss.tensorflow._functions import (
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
    sparse_categorical_focal_crossentropy,
    sparse_categorical_focal_loss,
    varifocal_loss,
)

# </doors: imports>

__all__ = [
    # <doors: names> Written by tools/doors.py; `make doors` writes it anew.
    "asymmetric_loss",
    "binary_focal_crossentropy",
    "binary_focal_loss",
    "categorical_focal_crossentropy",
    "categorical_focal_loss",
    "focal_matching_cost",
    "matchability_aware_loss",
    "penalty_reduced_focal_loss",
    "poly1_focal_loss",
    "quality_focal_loss",
    "sparse_categorical_focal_crossentropy",
    "sparse_categorical_focal_loss",
    "varifocal_loss",
    # </doors: names>
]
