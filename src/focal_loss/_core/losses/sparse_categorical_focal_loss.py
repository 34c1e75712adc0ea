"""Softmax focal loss of class indices: f of one margin per example, no one-hot labels, no log of every class."""

from __future__ import annotations

from focal_loss._core import focal, softmax_losses
from focal_loss._core.declare import Example, Loss, options
from focal_loss._core.declare import Options as Declared
from focal_loss._core.losses import common
from focal_loss._core.options import Parameter


@options
class Options(Declared):
    weight_name = "class_weight"

    gamma: Parameter = common.gamma(common.PER_CLASS)
    class_weight: Parameter = common.class_weight()
    from_logits: bool = common.from_logits(common.NORMALISED)
    axis: int = common.class_axis()
    ignore_class: int | None = common.ignore_class()


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
    labels=(("one class index out of K", "multiclass"),),
    notes=common.SPARSE_NOTES,
    example=Example(
        [0, 1, 2], [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.2, 0.2, 0.6]], {"gamma": 2}, [0.008926, 0.0321, 0.081732]
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
