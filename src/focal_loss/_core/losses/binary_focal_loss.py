"""Focal loss of each binary example: positives weighted, a soft label as the expectation over hard ones."""

from __future__ import annotations

from typing import Any

from focal_loss._core import binary_losses, focal
from focal_loss._core.declare import Curve, Example, Loss, Peer, options
from focal_loss._core.declare import Options as Declared
from focal_loss._core.losses import common
from focal_loss._core.options import Parameter


@options
class Options(Declared):
    weight_name = "pos_weight"

    gamma: Parameter = common.gamma(common.LIKE_LABELS)
    pos_weight: Parameter = common.pos_weight()
    from_logits: bool = common.from_logits()
    label_smoothing: Any = common.label_smoothing("2", None)
    ignore_class: int | None = common.ignore_class(common.IGNORED_LABEL)


LOSS = Loss(
    name="binary_focal_loss",
    summary="Focal loss of each binary example.",
    layout="elements",
    options=Options,
    positional=1,
    compute=binary_losses.binary,
    closed_forms=focal.EXPECTED_LOSS,
    label_weight=common.weight_of_positives,
    torch_module=True,
    labels=(
        ("0 or 1", "binary"),
        ("a vector of 0 and 1, any number of them 1", "multilabel"),
        ("a probability, taken as the expectation over 0 and 1", "binary, soft"),
    ),
    notes="""Domain: `y_true` in [0, 1]; `y_pred` real (logits, linked by the sigmoid) or in [0, 1]. With p the
probability of the positive class and q = 1 - p the loss is [1]_

    pos_weight * y * q**gamma * -log(p) + (1 - y) * p**gamma * -log(q)

A soft label is the expectation over hard ones. `binary_focal_crossentropy` mixes it into the probability instead;
the two agree on 0 and 1.""",
    example=Example([0, 1, 1], [0.1, 0.7, 0.9], {"gamma": 2}, [0.001054, 0.0321, 0.001054]),
    when="""Take it for questions of yes and no with few positives, one question or many of them side by side. It is
the loss to begin with: ``gamma=0`` is binary cross-entropy, so that a search over `gamma` says whether focal loss
helps at all, and a soft label means the expectation over 0 and 1, so that mixed labels are mixed losses. [Boosted
trees](../boosting.md) have it as an objective.""",
    curve=Curve("gamma", (0.0, 0.5, 2.0, 5.0)),
    peers=(
        Peer(
            "torch",
            "`BCEWithLogitsLoss(pos_weight=w)(input, target)`",
            "`SigmoidFocalLoss(alpha=None, gamma=2, pos_weight=w)(input, target)` of `focal_loss.torch`",
        ),
        Peer(
            "focal-loss 0.0.7",
            "`binary_focal_loss(y_true, y_pred, gamma)`",
            "the same, from `focal_loss`; soft labels were cast to 0 and 1 there unless smoothed",
        ),
        Peer(
            "kornia",
            "`binary_focal_loss_with_logits(pred, target, alpha, gamma)`",
            "the same, from `focal_loss.torch.compat.kornia`",
        ),
        Peer(
            "segmentation_models_pytorch",
            '`FocalLoss("binary", alpha=None, gamma=2.0)(y_pred, y_true)`',
            "the same, from `focal_loss.torch.compat.smp`",
        ),
        Peer("MONAI", "`FocalLoss(gamma=2.0)(input, target)`", "the same, from `focal_loss.torch.compat.monai`"),
        Peer(
            "CatBoost",
            '`CatBoostClassifier(loss_function="Focal:focal_alpha=0.25;focal_gamma=2")`',
            "`FocalCatBoostClassifier(gamma=2, pos_weight=1 / 3)` of `focal_loss.catboost`, whose predictions are "
            "probabilities",
        ),
    ),
    examples={
        "torch": """>>> import torch
>>> from focal_loss.torch import binary_focal_loss
>>> logits = torch.zeros(3, requires_grad=True)
>>> loss = binary_focal_loss(torch.tensor([0, 1, 1]), logits, gamma=2, from_logits=True, reduction="mean")
>>> loss.backward()
>>> logits.grad
tensor([ 0.0994, -0.0994, -0.0994])""",
        "top": """A tensor of a framework decides; lists go to the backend that Keras is set to.

>>> import torch
>>> from focal_loss import binary_focal_loss
>>> binary_focal_loss([0, 1, 1], torch.tensor([0.1, 0.7, 0.9]), gamma=2)
tensor([0.0011, 0.0321, 0.0011])
>>> binary_focal_loss([0, 1, 1], [0.1, 0.7, 0.9], gamma=2).numpy().round(3)
array([0.001, 0.032, 0.001], dtype=float32)""",
    },
)
