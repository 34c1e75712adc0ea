"""Penalty-reduced focal loss of a heatmap: around each object the penalty of a positive prediction is less.

    y = 1:  f(z),    y < 1:  (1 - y)^b f(-z)

The loss jumps at y = 1, where its derivative in the label is taken as 0. Below, with r = 1 - y and k = r^b,

    k_y = -b k / r,    k_yy = b (b-1) k / r^2,    k_b = k log r,    k_yb = -(1 + b log r) k / r
"""

from __future__ import annotations

from focal_loss._core import binary_losses
from focal_loss._core.declare import Curve, Example, Loss, Option, Peer, option, options
from focal_loss._core.declare import Options as Declared
from focal_loss._core.extremes import at_infinity, at_most
from focal_loss._core.focal import margin_derivative, probability_derivative, side
from focal_loss._core.formula import Array, Index, Ops
from focal_loss._core.leibniz import Coefficient, leibniz, numeric
from focal_loss._core.losses import common
from focal_loss._core.options import Parameter
from focal_loss._core.powers import power
from focal_loss._core.sigmoid import sigmoid_of


@options
class Options(Declared):
    alpha: Parameter = option(
        Option(
            common.PARAMETER,
            f"float or array_like, shape {common.LIKE_LABELS}",
            "The focusing parameter, at least 0. The higher it is, the less an easy place counts.",
        ),
        default=2.0,
    )
    beta: Parameter = option(
        Option(
            common.PARAMETER,
            f"float or array_like, shape {common.LIKE_LABELS}",
            "The exponent of the penalty, at least 0. The higher it is, the less a place near an object counts.",
        ),
        default=4.0,
    )
    from_logits: bool = common.from_logits()
    ignore_class: int | None = common.ignore_class(common.IGNORED_LABEL)


def penalty_reduced(
    ops: Ops, index: Index, x: Array, y: Array, alpha: Array, beta: Array, *, from_logits: bool
) -> Array | None:
    """The loss of a heatmap. Arguments: 0 the prediction, 1 the label, 2 alpha, 3 beta."""
    alpha, beta = at_most(ops, alpha, x), at_most(ops, beta, x)
    sigmoid = sigmoid_of(ops, index, x, alpha, from_logits)
    derivative = margin_derivative if from_logits else probability_derivative
    y = numeric(ops, y, x)
    at_object = y == 1
    positive = side(ops, derivative, sigmoid, alpha, "2")(index)
    other = side(ops, derivative, sigmoid.flipped(), alpha, "2", mirrored=True)
    negative = leibniz(ops, index, reduced(ops, at_object, y, beta), other)
    if negative is None:
        return None
    value = ops.where(at_object, 0.0 if positive is None else positive, negative)
    if not from_logits or index:
        return value
    return at_infinity(ops, value, x, ((x < 0) & at_object) | ((x > 0) & ~at_object))


def reduced(ops: Ops, at_object: Array, y: Array, beta: Array) -> Coefficient:
    """The coefficient (1 - y)^beta and its derivatives, by the positions of y and beta. At an object 1 - y is replaced
    by 1.
    """
    rest = ops.where(at_object, 1.0, 1 - y)
    neg_log = ops.where(y < 0.5, ops.log1p(y / rest), -ops.log(rest))
    factor = power(ops, rest, neg_log, rest - y, beta)
    slope = -(factor * beta) / rest  # the power before beta: it is 0 where beta squared could be infinite
    return {
        "": (factor, 1.0),
        "1": (slope, 1.0),
        "3": (-factor * neg_log, 1.0),
        "11": (slope * (1 - beta) / rest, 1.0),
        "13": (-(factor / rest) - slope * neg_log, 1.0),
        "33": (factor * neg_log * neg_log, 1.0),
    }


FORMULA = "where(y == 1, q**alpha * -log(p), (1 - y)**beta * p**alpha * -log(q))"

LOSS = Loss(
    name="penalty_reduced_focal_loss",
    summary="Penalty-reduced focal loss of a heatmap, as CornerNet and CenterNet have it.",
    layout="elements",
    options=Options,
    positional=2,
    compute=binary_losses.elements(
        "penalty_reduced", "alpha", "beta", family="penalty_reduced", gamma="alpha", exponent="beta"
    ),
    closed_forms=common.closed_forms("penalty_reduced", penalty_reduced),
    only_ones=True,
    torch_module=True,
    labels=(("a heatmap: 1 at each object, a bump that falls off around it", "detection of centers or corners"),),
    formula=FORMULA,
    notes=f"""{common.BINARY_DOMAIN}

    {FORMULA}

A place with a label of exactly 1 is an object; every other one is background, whose penalty is less where the label
is near 1. The loss jumps there, and its derivative in the label is 0 at 1. A heatmap without an object is legal.""",
    references="""H. Law and J. Deng, "CornerNet: detecting objects as paired keypoints", ECCV 2018, arXiv:1808.01244,
equation 1; X. Zhou, D. Wang and P. Krähenbühl, "Objects as points", arXiv:1904.07850, equation 1.""",
    example=Example([0.0, 0.8, 1.0], [0.1, 0.6, 0.7], {}, [0.001054, 0.000528, 0.0321]),
    when="""Take it for heatmaps of centers, corners or key points: 1 at the place of an object, and around it a bump,
within which a positive prediction is forgiven. Only a label of exactly 1 is an object, so that each bump needs its
peak on a place of the grid. The sum is usually divided by the number of objects.""",
    curve=Curve("beta", (0.0, 2.0, 4.0), (1.0, 0.8, 0.0)),
    peers=(
        Peer(
            "CornerNet, CenterNet",
            "`FocalLoss()(pred, gt)` of `src/lib/models/losses.py`, with probabilities clamped to [1e-4, 1 - 1e-4]",
            '`penalty_reduced_focal_loss(gt, logits, 2, 4, from_logits=True, reduction="sum")` over `(gt == 1).sum()`, '
            "or over 1; no clamp, beyond which theirs has no gradient",
        ),
        Peer(
            "mmdet",
            "`GaussianFocalLoss(alpha=2.0, gamma=4.0)(pred, target)`, of probabilities",
            "the same, from `focal_loss.torch.compat.mmdet`; its `gamma` is `beta` here",
        ),
        Peer(
            "keras-cv",
            "`BinaryPenaltyReducedFocalCrossEntropy(alpha=2, beta=4, positive_threshold=0.99)`",
            "`PenaltyReducedFocalLoss(alpha=2, beta=4)`; labels from 0.99 up are objects there, of exactly 1 here",
        ),
    ),
)
