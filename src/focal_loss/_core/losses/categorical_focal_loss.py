"""Softmax focal loss of dense labels: the sum over the classes of weight * label * f."""

from __future__ import annotations

from typing import Any

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
)
