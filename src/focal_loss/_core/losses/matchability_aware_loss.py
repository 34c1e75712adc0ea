"""Matchability-aware loss: the target of a positive is a power of its score, so that a poor match still teaches.

In `scores` the target is t = y^g with a weight of 1. With n = -log y

    t_y = g t / y,  t_yy = g (g-1) t / y^2,  t_g = -n t,  t_gg = n^2 t,  t_yg = (1 - g n) t / y

and 1 - t = 1 - exp(-g n) = 2 T / (1 + T), T = tanh(g n / 2), which cancels nothing.
"""

from __future__ import annotations

from functools import partial

from focal_loss._core import binary_losses, scores
from focal_loss._core.declare import Curve, Example, Loss, Option, Peer, option, options
from focal_loss._core.declare import Options as Declared
from focal_loss._core.formula import Array, Ops
from focal_loss._core.losses import common
from focal_loss._core.options import Parameter


@options
class Options(Declared):
    weight_name = "alpha"

    gamma: Parameter = option(
        Option(
            common.PARAMETER,
            f"float or array_like, shape {common.LIKE_LABELS}",
            "The exponent of the scores, at least 0. The target of a positive is its score to this power; the higher "
            "it is, the less an easy negative counts.",
        ),
        default=1.5,
    )
    alpha: Parameter = common.negative_weight(default=1.0)
    detach_weight: bool = common.detach_weight(default=True)
    from_logits: bool = common.from_logits()
    ignore_class: int | None = common.ignore_class(common.IGNORED_LABEL)


def target(ops: Ops, y: Array, gamma: Array) -> scores.Target:
    neg_log = ops.where(y < 0.5, -ops.log(y), ops.log1p((1 - y) / y))
    exponent = gamma * neg_log
    half = ops.tanh(0.5 * exponent)
    t = ops.exp(-exponent)
    over_y = t / y
    slope = t * gamma / y  # t comes first: it is 0 where the square of gamma could be infinite
    derivatives = {
        "1": slope,
        "11": slope * (gamma - 1) / y,
        "2": -t * neg_log,
        "22": t * neg_log * neg_log,
        "12": over_y - slope * neg_log,
    }
    return scores.Target(t, 2 * half / (1 + half), 1.0, {name: (0.0, each) for name, each in derivatives.items()})


FORMULA = "where(y > 0, y**gamma * -log(p) + (1 - y**gamma) * -log(q), alpha * p**gamma * -log(q))"

LOSS = Loss(
    name="matchability_aware_loss",
    summary="Matchability-aware loss: positives are scores, whose powers are the targets.",
    layout="elements",
    options=Options,
    positional=1,
    compute=binary_losses.elements(
        "matchability", "gamma", "alpha", family="matchability", gamma="gamma", negative="alpha"
    ),
    closed_forms=common.closed_forms("matchability", partial(scores.scored, target=target), detachable=True),
    label_weight=common.weight_of_negatives,
    torch_module=True,
    trial={"detach_weight": False},
    labels=(("a score for positives, good or poor, and 0 for negatives", "detection by transformers"),),
    formula=FORMULA,
    notes=f"""{common.BINARY_DOMAIN}

    {FORMULA}

The loss jumps at a label of 0, where its derivative in the label is 0.""",
    references="""S. Huang, Z. Lu, X. Cun, Y. Yu, X. Zhou and X. Shen, "DEIM: DETR with improved matching for fast
convergence", CVPR 2025, arXiv:2412.04234, equation 5.""",
    example=Example([0.0, 0.7, 1.0], [0.1, 0.6, 0.9], {}, [0.003332, 0.678825, 0.105361]),
    when="""Take it for detectors that match one prediction with each object, as the DETR family does, where early
matches overlap little with their objects. The target of a positive falls with its overlap, but its weight does not: a
poor match still teaches, where `varifocal_loss` would make it count for next to nothing.""",
    curve=Curve("gamma", (1.0, 1.5, 2.0), (1.0, 0.7, 0.0)),
    peers=(
        Peer(
            "DEIM, DEIMv2, transformers",
            "`loss_labels_mal`, of `gamma` and `mal_alpha`",
            '`matchability_aware_loss(y, logits, gamma, from_logits=True, reduction="sum") / num_boxes` with the '
            "overlaps in `y`; `alpha` is their `mal_alpha`. A match that does not overlap at all is a negative here",
        ),
    ),
)
