"""Varifocal loss: positives are scores that weigh themselves, and only negatives count less where they are easy.

In `scores` the target is t = y and its weight w = y: (y B)_y = B + y (L - l), (y B)_yy = 2 (L - l).
"""

from __future__ import annotations

from functools import partial

from focal_loss._core import binary_losses, scores
from focal_loss._core.declare import Curve, Example, Loss, Peer, options
from focal_loss._core.declare import Options as Declared
from focal_loss._core.formula import Array, Ops
from focal_loss._core.losses import common
from focal_loss._core.options import Parameter


@options
class Options(Declared):
    weight_name = "alpha"

    alpha: Parameter = common.negative_weight(default=0.75)
    gamma: Parameter = common.gamma(
        common.LIKE_LABELS,
        2.0,
        "The focusing parameter, at least 0. The higher it is, the less an easy negative counts.",
    )
    detach_weight: bool = common.detach_weight(default=False)
    from_logits: bool = common.from_logits()
    ignore_class: int | None = common.ignore_class(common.IGNORED_LABEL)


def target(_: Ops, y: Array, __: Array) -> scores.Target:
    return scores.Target(y, 1 - y, y, {"1": (1.0, y), "11": (0.0, 2.0)})


FORMULA = "where(y > 0, y * (y * -log(p) + (1 - y) * -log(q)), alpha * p**gamma * -log(q))"

LOSS = Loss(
    name="varifocal_loss",
    summary="Varifocal loss: positives are scores that weigh themselves, such as the overlap of a box with the truth.",
    layout="elements",
    options=Options,
    positional=2,
    compute=binary_losses.elements("varifocal", "gamma", "alpha", family="varifocal", gamma="gamma", negative="alpha"),
    closed_forms=common.closed_forms("varifocal", partial(scores.scored, target=target), detachable=True),
    label_weight=common.weight_of_scores,
    torch_module=True,
    labels=(("a score for positives, by which they count, and 0 for negatives", "detection"),),
    formula=FORMULA,
    notes=f"""{common.BINARY_DOMAIN}

    {FORMULA}

The loss jumps at a label of 0, where its derivative in the label is 0.""",
    references="""H. Zhang, Y. Wang, F. Dayoub and N. Sünderhauf, "VarifocalNet: an IoU-aware dense object detector",
CVPR 2021, arXiv:2008.13367, equation 2.""",
    example=Example([0.0, 0.7, 1.0], [0.1, 0.6, 0.9], {}, [0.00079, 0.442726, 0.105361]),
    when="""Take it for detectors whose labels are overlaps and whose good positives should count most: a positive has
cross-entropy times its own score, and only negatives are turned down where they are easy. A positive with a poor
score hardly counts; if poor matches should teach too, take `matchability_aware_loss`.""",
    curve=Curve("gamma", (0.0, 1.0, 2.0), (1.0, 0.7, 0.0)),
    peers=(
        Peer(
            "ultralytics",
            "`VarifocalLoss()(pred_score, gt_score, label)`",
            "the same, from `focal_loss.torch.compat.ultralytics`",
        ),
        Peer(
            "mmdet",
            "`VarifocalLoss(alpha=0.75, gamma=2.0)(pred, target, weight, avg_factor)`",
            "the same, from `focal_loss.torch.compat.mmdet`",
        ),
        Peer(
            "RT-DETR, D-FINE, transformers",
            "`loss_labels_vfl`, of `alpha` and `gamma`",
            '`varifocal_loss(y, logits, alpha, gamma, detach_weight=True, from_logits=True, reduction="sum") '
            "/ num_boxes` with the overlaps in `y`. A match that does not overlap at all is a negative here, "
            "and nothing there",
        ),
    ),
)
