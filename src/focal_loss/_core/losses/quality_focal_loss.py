"""Quality focal loss: the label is a score in [0, 1], and a prediction near it counts less, whatever the score is.

    |y - p|^b B,    B = y L + (1 - y) l

It is the product m^g B of `mixture.Mix` with m = |d|, d = y q - (1 - y) p. At y of 0 and 1 d is y - p without the
subtraction, and the loss is the focal loss of the margin.
"""

from __future__ import annotations

from functools import partial

from focal_loss._core import binary_losses
from focal_loss._core.declare import Curve, Example, Loss, Option, Peer, option, options
from focal_loss._core.declare import Options as Declared
from focal_loss._core.extremes import at_infinity, at_most
from focal_loss._core.focal import expected_loss
from focal_loss._core.formula import Array, Index, Ops
from focal_loss._core.losses import common
from focal_loss._core.mixture import Mix, mix_derivative
from focal_loss._core.options import Parameter
from focal_loss._core.sigmoid import sigmoid_of


@options
class Options(Declared):
    beta: Parameter = option(
        Option(
            common.PARAMETER,
            "float or array_like, shape broadcasts with the labels",
            "The focusing parameter, at least 0. The higher it is, the less a score that is nearly right counts; 0 is "
            "cross-entropy.",
        ),
        default=2.0,
    )
    from_logits: bool = common.from_logits()
    ignore_class: int | None = common.ignore_class(common.IGNORED_LABEL)


def quality(ops: Ops, index: Index, x: Array, y: Array, beta: Array, *, from_logits: bool) -> Array | None:
    """|y - p|^beta B. Arguments: 0 the prediction, 1 the label, 2 beta."""
    if ops.is_bool(y):
        # `expected_loss` numbers the prediction, the label and gamma alike. A boolean label has no derivative.
        return expected_loss(ops, index, x, y, beta, 1.0, 1.0, from_logits=from_logits)
    beta = at_most(ops, beta, x)
    parts = parts_of(ops, index, from_logits, x, y)
    value = mix_derivative(ops, index, parts, beta)
    return value if not from_logits or index else at_infinity(ops, value, x, parts.B > 0)


def parts_of(ops: Ops, index: Index, from_logits: bool, x: Array, y: Array) -> Mix:
    """The parts of the product and their derivatives.

    With s the sign of d, d|d|/dz = -s p q and d2|d|/dz2 = s p q (p - q). For a hard label |d| may underflow where
    p q / |d| has the limit 1 - |d| and B / |d| the limit 1. For a soft one |d| = 0 is the minimum: the quotients are
    taken as 0 there, so that a slope, which has two sides for beta <= 1, is 0.
    """
    sigmoid = sigmoid_of(ops, index, x, None, from_logits)
    p, q, neg_log_p, neg_log_q, p_minus_q = sigmoid
    d = y * q - (1 - y) * p
    hard = (y == 0) | (y == 1)
    below = (d < 0) | (y == 0)  # y < p; for y = 0 also where p underflows
    m, zero = ops.abs(d), 0.0 * d
    sign = ops.where(below, zero - 1.0, 1.0)
    rest = ops.where(below, q + y, p + (1 - y))  # 1 - m
    present = ops.where(hard, m >= ops.smallest(m), m > 0)
    divisor, limit = ops.where(present, m, 1.0), ops.where(hard, zero + 1.0, 0.0)
    neg_log_m = ops.where(m < 0.5, -ops.log(divisor), ops.log1p(rest / divisor))
    # Where |d| is 0 only the power 0 of it matters. A hard label has -log|d| in closed form there.
    at_zero = ops.where(hard, y * neg_log_q + (1 - y) * neg_log_p, -ops.log(zero + ops.smallest(m)))
    loss = y * neg_log_p + (1 - y) * neg_log_q
    loss_over_m = ops.where(present, ops.clip(loss / divisor, 0.0, ops.largest(m)), limit)
    if from_logits:
        ratio = ops.where(present, p * q / divisor, limit * rest)  # p q / m
        x_parts = (-sign * ratio, -d, p * q, -1.0, sign * ratio * p_minus_q * loss, 0.0)
        loss_x_over_m, m_x = ops.where(present, -sign, -sign * limit), -sign * (p * q)
        loss_y = -ops.clip(x, -ops.largest(x), ops.largest(x))
    else:
        loss_x = (1 - y) / q - y / p
        x_parts = (-sign / divisor, loss_x, y / (p * p) + (1 - y) / (q * q), -1 / p - 1 / q, 0.0, 0.0)
        loss_x_over_m, m_x = loss_x / divisor, -sign
        loss_y = neg_log_p - neg_log_q
    neg_log_m = ops.where(present, neg_log_m, at_zero)
    return Mix(m, neg_log_m, m - rest, loss, *x_parts, loss_over_m, loss_x_over_m, sign, loss_y, m_x)


FORMULA = "abs(y - p)**beta * (y * -log(p) + (1 - y) * -log(q))"

LOSS = Loss(
    name="quality_focal_loss",
    summary="Quality focal loss: labels are scores, such as the overlap of a box with the truth.",
    layout="elements",
    options=Options,
    positional=1,
    compute=binary_losses.elements("quality", "beta", family="quality", gamma="beta"),
    closed_forms={
        "quality": partial(quality, from_logits=True),
        "quality_of_probabilities": partial(quality, from_logits=False),
    },
    torch_module=True,
    labels=(("a score, such as the overlap of a box with the truth", "detection"),),
    formula=FORMULA,
    notes=f"""Domain: `y_true` in [0, 1]; `y_pred` real (logits, linked by the sigmoid) or in [0, 1]. With p the
probability of the positive class and q = 1 - p the loss is [1]_

    {FORMULA}

On labels of 0 and 1 it is `binary_focal_loss` with ``gamma=beta``.""",
    references="""X. Li et al., "Generalized focal loss: learning qualified and distributed bounding boxes for dense
object detection", NeurIPS 2020, arXiv:2006.04388, equation 3.""",
    example=Example([0.0, 0.7, 1.0], [0.1, 0.6, 0.9], {}, [0.001054, 0.006325, 0.001054]),
    when="""Take it for a detector whose score should say how good its box is: the label of the true class is the
overlap of the box with the object, and that of the others is 0. The loss is least where the score equals the label,
whatever the label is. Of the losses for scores it is the only one that turns a positive down when it is nearly
right.""",
    curve=Curve("beta", (0.0, 1.0, 2.0), (1.0, 0.7, 0.0)),
    peers=(
        Peer(
            "mmdet",
            "`QualityFocalLoss(beta=2.0)(pred, (label, score), weight, avg_factor)`",
            "the same, from `focal_loss.torch.compat.mmdet`",
        ),
        Peer(
            "pytorch-toolbelt",
            "`QualityFocalLoss(beta=2)(predictions, targets)`",
            '`quality_focal_loss(targets, predictions, 2, from_logits=True, reduction="mean")`',
        ),
    ),
)
