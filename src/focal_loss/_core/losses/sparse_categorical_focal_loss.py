"""Softmax focal loss of class indices: f of one margin per example, no one-hot labels, no log of every class."""

from __future__ import annotations

from typing import Any

from focal_loss._core import focal, softmax_losses
from focal_loss._core.declare import Curve, Example, Loss, Peer, options
from focal_loss._core.declare import Options as Declared
from focal_loss._core.losses import common
from focal_loss._core.options import Parameter


@options
class Options(Declared):
    weight_name = "class_weight"

    gamma: Parameter = common.softmax_gamma()
    class_weight: Parameter = common.class_weight()
    from_logits: bool = common.from_logits(common.NORMALISED)
    axis: int = common.class_axis()
    ignore_class: int | None = common.ignore_class()
    label_smoothing: Any = common.index_smoothing(None)


LOSS = Loss(
    name="sparse_categorical_focal_loss",
    summary="Softmax focal loss of class indices.",
    layout="sparse",
    options=Options,
    positional=1,
    compute=softmax_losses.sparse_categorical,
    closed_forms=focal.MARGIN,
    torch_module=True,
    keras_positional=5,
    keras_positional_because="By position too: so does the class of the package that this one succeeds.",
    keras_reduction_at=5,
    labels=(("one class index out of K", "multiclass"),),
    notes=common.SPARSE_NOTES,
    example=Example(
        [0, 1, 2], [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.2, 0.2, 0.6]], {"gamma": 2}, [0.008926, 0.0321, 0.081732]
    ),
    when="""Take it for classes that exclude each other, with the index of the true one as the label: images, pixels,
tokens. It is the softmax form of focal loss, which many classes of the name `FocalLoss` mean; one sigmoid per class
against the rest is `binary_focal_loss` of one-hot labels, and another loss. ``gamma=0`` is cross-entropy. Where the
logits would fill the memory, [one function](../which_loss.md#more-classes-than-memory) computes the last layer and
this loss together; [boosted trees](../boosting.md) have it as an objective.""",
    curve=Curve("gamma", (0.0, 0.5, 2.0, 5.0), (1.0,)),
    peers=(
        Peer(
            "torch",
            "`CrossEntropyLoss(weight=w, ignore_index=-100)(input, target)`",
            "`FocalLoss(gamma=2, alpha=w, ignore_index=-100)(input, target)` of `focal_loss.torch`; its mean divides "
            "by the number of examples, not by the sum of their weights",
        ),
        Peer(
            "copies of `FocalLoss`",
            "`FocalLoss(alpha=w, gamma=2)(input, target)`, the order of the two differs",
            "`FocalLoss(alpha=w, gamma=2)(input, target)` of `focal_loss.torch`, by name only",
        ),
        Peer(
            "focal-loss 0.0.7",
            "`SparseCategoricalFocalLoss(gamma, class_weight=w)`",
            "the same, from `focal_loss`",
        ),
        Peer(
            "kornia",
            "`focal_loss(pred, target, alpha, gamma)`",
            "the same, from `focal_loss.torch.compat.kornia`",
        ),
        Peer(
            "mmcv",
            "`softmax_focal_loss(input, target, gamma, alpha, weight)`",
            "`sparse_categorical_focal_loss(target, input, gamma, class_weight=weight, from_logits=True)`, times "
            "`alpha`",
        ),
    ),
    examples={
        "torch": """Segmentation: logits of shape (N, C, H, W), and a label 255 that means "do not care".

>>> import torch
>>> from focal_loss.torch import sparse_categorical_focal_loss
>>> y_true = torch.tensor([[[0, 1], [2, 255]]])
>>> sparse_categorical_focal_loss(
...     y_true, torch.zeros(1, 3, 2, 2), gamma=2, from_logits=True, axis=1, ignore_class=255
... )
tensor([[[0.4883, 0.4883],
         [0.4883, 0.0000]]])"""
    },
)
