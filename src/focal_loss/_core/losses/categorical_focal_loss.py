"""Softmax focal loss of dense labels: the sum over the classes of weight * label * f."""

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
    label_smoothing: Any = common.label_smoothing("K", None)
    axis: int = common.class_axis()


LOSS = Loss(
    name="categorical_focal_loss",
    summary="Softmax focal loss of dense labels.",
    layout="dense",
    options=Options,
    positional=1,
    compute=softmax_losses.categorical,
    closed_forms=focal.MARGIN,
    torch_module=True,
    labels=(
        ("a one-hot vector", "multiclass"),
        ("a vector of class probabilities", "multiclass, soft"),
    ),
    notes=common.DENSE_NOTES,
    example=Example([[1, 0, 0]], [[1.0, 0.0, -1.0]], {"gamma": 2, "from_logits": True}, [0.045678]),
    when="""Take it for classes that exclude each other, with labels that are probabilities: one-hot, smoothed, mixed,
or those of a teacher. With class indices as labels `sparse_categorical_focal_loss` is the same loss without one-hot
arrays.""",
    curve=Curve("gamma", (0.0, 0.5, 2.0, 5.0), (1.0,)),
    peers=(
        Peer(
            "torch",
            "`CrossEntropyLoss()(input, target)` with probabilities as the target",
            "`FocalLoss(gamma=2)(input, target)` of `focal_loss.torch`",
        ),
        Peer(
            "MONAI",
            "`FocalLoss(gamma=2.0, use_softmax=True)(input, target)`",
            "the same, from `focal_loss.torch.compat.monai`",
        ),
        Peer(
            "Keras",
            "`CategoricalFocalCrossentropy(alpha=1.0, gamma=2.0)`",
            "`CategoricalFocalLoss(gamma=2)` of `focal_loss.keras.losses`",
        ),
    ),
)
