"""Focal losses of PyTorch tensors, as functions and as modules.

Gradients are closed forms: right at every finite logit, to second order, forward and reverse, under `torch.compile`,
autocast and `torch.func`. Losses from logits run native kernels on the CPU and Triton kernels on CUDA, and save
nothing but their inputs for the backward pass; a mean or a sum computes its gradient at once.

`torch.compile`, `torch.export`, `torch.jit.trace` and both exports to ONNX take the losses. A program of `torch.export`
has operators of ours until `run_decompositions` replaces them by torch's own. `torch.jit.script` does not take the
losses: arguments that may be a number, a list or a tensor have no type in TorchScript.
"""

# <doors: imports> Written by tools/doors.py; `make doors` writes it anew.
from focal_loss.torch import compat
from focal_loss.torch._conventions import FocalLoss, SigmoidFocalLoss
from focal_loss.torch._functions import (
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
from focal_loss.torch._linear import linear_sparse_categorical_focal_loss
from focal_loss.torch._modules import (
    AsymmetricLoss,
    BinaryFocalLoss,
    CategoricalFocalLoss,
    MatchabilityAwareLoss,
    PenaltyReducedFocalLoss,
    Poly1FocalLoss,
    QualityFocalLoss,
    SparseCategoricalFocalLoss,
    VarifocalLoss,
)
from focal_loss.torch._posteriors import CategoricalPosteriorFromLogits, PosteriorFromLogits
from focal_loss.torch._vocab_parallel import vocab_parallel_sparse_categorical_focal_loss
from focal_loss.torch._vocab_parallel_linear import (
    vocab_parallel_linear_sparse_categorical_focal_loss,
)

# </doors: imports>

__all__ = [
    # <doors: names> Written by tools/doors.py; `make doors` writes it anew.
    "AsymmetricLoss",
    "BinaryFocalLoss",
    "CategoricalFocalLoss",
    "CategoricalPosteriorFromLogits",
    "FocalLoss",
    "MatchabilityAwareLoss",
    "PenaltyReducedFocalLoss",
    "Poly1FocalLoss",
    "PosteriorFromLogits",
    "QualityFocalLoss",
    "SigmoidFocalLoss",
    "SparseCategoricalFocalLoss",
    "VarifocalLoss",
    "asymmetric_loss",
    "binary_focal_crossentropy",
    "binary_focal_loss",
    "categorical_focal_crossentropy",
    "categorical_focal_loss",
    "compat",
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
    "vocab_parallel_linear_sparse_categorical_focal_loss",
    "vocab_parallel_sparse_categorical_focal_loss",
    # </doors: names>
]
