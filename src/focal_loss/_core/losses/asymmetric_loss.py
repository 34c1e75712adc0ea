"""Asymmetric loss: positives and negatives have focusing parameters of their own, and easy negatives cost nothing.

    y = 1:  f(z) of gamma_pos,    y = 0:  a(p) = m^g M,  m = max(p - c, 0),  M = -log(1 - m)

Where p > c, with n = 1 - m = q + c, which no subtraction makes, and r = dm/dx (p q of a logit, 1 of a probability),

    a_x  = m^g [ g (r/m) M + r/n ]
    a_xx = m^g [ g (g-1) (r/m)^2 M + 2 g (r/m) (r/n) + (r/n)^2 ] + (r_x/r) a_x
    a_g  = m^g M log m

Where p <= c the loss is 0, and so is every derivative. Soft labels are two-term. With c = 0 it is f of the other side.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from focal_loss._core import binary_losses
from focal_loss._core.declare import Curve, Example, Loss, Option, Peer, option, options
from focal_loss._core.declare import Options as Declared
from focal_loss._core.extremes import at_infinity, at_most, grows_with
from focal_loss._core.focal import margin_derivative, probability_derivative, side
from focal_loss._core.formula import Array, Index, Ops
from focal_loss._core.leibniz import add, complementary, leibniz, linear, numeric
from focal_loss._core.losses import common
from focal_loss._core.options import Parameter
from focal_loss._core.powers import is_small, power
from focal_loss._core.sigmoid import Sigmoid, sigmoid_of

FOCUSING = "The focusing parameter of the {}, at least 0. The higher it is, the less an easy {} counts."


@options
class Options(Declared):
    gamma_pos: Parameter = common.gamma(common.LIKE_LABELS, 1.0, FOCUSING.format("positives", "positive"))
    gamma_neg: Parameter = common.gamma(common.LIKE_LABELS, 4.0, FOCUSING.format("negatives", "negative"))
    clip: float = option(
        Option(
            common.CLIP,
            "float",
            "The shift of negatives, in [0, 1). A negative of at most this probability costs 0 and has a gradient of "
            "0; those above it are taken as that much less probable.",
        ),
        default=0.05,
    )
    from_logits: bool = common.from_logits()
    ignore_class: int | None = common.ignore_class(common.IGNORED_LABEL)


def asymmetric(
    ops: Ops, index: Index, x: Array, y: Array, gamma_pos: Array, gamma_neg: Array, clip: float, *, from_logits: bool
) -> Array | None:
    """The two-term loss. Arguments: 0 the prediction, 1 the label, 2 gamma_pos, 3 gamma_neg, 4 clip (a number, or an
    array of one).
    """
    gamma_pos, gamma_neg = at_most(ops, gamma_pos, x), at_most(ops, gamma_neg, x)
    y, derivative = numeric(ops, y, x), margin_derivative if from_logits else probability_derivative
    positive = negative = sigmoid_of(ops, index, x, gamma_pos, from_logits)
    if from_logits and is_small(gamma_pos) != is_small(gamma_neg):
        # Each side equals the focal loss with its gamma to the last bit.
        negative = sigmoid_of(ops, index, x, gamma_neg, from_logits)
    has_clip = hasattr(clip, "dtype") or bool(clip)
    if has_clip:
        other = side(ops, partial(clipped, clip=clip, from_logits=from_logits), negative, gamma_neg, "3")
    else:
        other = side(ops, derivative, negative.flipped(), gamma_neg, "3", mirrored=True)
    value = add(
        leibniz(ops, index, linear(1.0, y, "-", "1"), side(ops, derivative, positive, gamma_pos, "2")),
        leibniz(ops, index, complementary(1.0, y, "-", "1"), other),
    )
    if not from_logits or index:
        return value
    unclipped = ops.where(clip > 0, 0.0, 1.0) if hasattr(clip, "dtype") else float(not clip)
    return at_infinity(ops, value, x, grows_with(1.0, unclipped, y, x))


def clipped(ops: Ops, order: tuple[int, int], sigmoid: Sigmoid, gamma: Any, *, clip: float, from_logits: bool) -> Array:
    """The derivative of a(p) in the prediction and in gamma; m^g comes before a second gamma, and m is 1 below c."""
    p, q, _, neg_log_q, p_minus_q = sigmoid
    below = p <= clip
    m, n = ops.where(below, 1.0, p - clip), q + clip
    # -log(q + c) is the smaller of -log q and -log c, less a correction. Where q + c is near 1, m gives it.
    # A number that a compiler treats as a variable is no float; its logarithm is that of an array.
    neg_log_clip = -(math.log(clip) if isinstance(clip, float) else ops.log(0 * p + clip))
    gap = ops.abs(neg_log_q - neg_log_clip)
    least = ops.where(neg_log_q < neg_log_clip, neg_log_q, neg_log_clip)
    loss = ops.where(m < 0.5, ops.log1p(m / n), least - ops.log1p(ops.exp(-gap)))
    neg_log_m = ops.where(m < 0.5, -ops.log(m), ops.log1p(n / m))
    factor = power(ops, m, neg_log_m, m - n, gamma)
    if order[0] == 0:
        value = factor * loss
        for _ in range(order[1]):
            value = -value * neg_log_m
        return ops.where(below, 0.0, value)
    over_n, over_m, change = 1 / n, 1 / m, 0.0
    if from_logits:
        # q / n = 1 / (1 + c/q), where q may underflow; c / q = exp(-log q + log c)
        part = ops.where(q < ops.smallest(q), 1 / (1 + ops.exp(neg_log_q - neg_log_clip)), q / n)
        over_n, over_m, change = p * part, p / m * q, -p_minus_q
    slope = gamma * (over_m * loss) + over_n
    steep = factor * gamma
    match order:
        case (1, 0):
            value = factor * slope
        case (2, 0):
            value = factor * over_n * over_n + steep * (2 * over_m * over_n) + change * (factor * slope)
            value = value + steep * (over_m * loss) * over_m * (gamma - 1)
        case (1, 1):
            value = factor * (over_m * loss - neg_log_m * slope)
        case _:
            raise NotImplementedError(f"derivative of order {order}")
    return ops.where(below, 0.0, value)


FORMULA = "y * q**gamma_pos * -log(p) + (1 - y) * (m := maximum(p - clip, 0))**gamma_neg * -log(1 - m)"

LOSS = Loss(
    name="asymmetric_loss",
    summary="Asymmetric loss: a focusing parameter for each side, and easy negatives cost nothing.",
    layout="elements",
    options=Options,
    positional=3,
    compute=binary_losses.elements(
        "asymmetric",
        "gamma_pos",
        "gamma_neg",
        "clip",
        family="asymmetric",
        gamma="gamma_pos",
        exponent="gamma_neg",
        clip="clip",
    ),
    closed_forms=common.closed_forms("asymmetric", asymmetric),
    torch_module=True,
    labels=(("a vector of 0 and 1, nearly all of them 0", "multilabel"),),
    formula=FORMULA,
    notes=f"""{common.BINARY_DOMAIN}

    {FORMULA}

A soft label is the expectation over hard ones. With ``clip=0`` and both parameters alike it is `binary_focal_loss`.
The gradient of a negative with a probability below `clip` is 0, by definition.""",
    references="""T. Ridnik, E. Ben-Baruch, N. Zamir, A. Noy, I. Friedman, M. Protter and L. Zelnik-Manor, "Asymmetric
loss for multi-label classification", ICCV 2021, arXiv:2009.14119, equations 4 to 7.""",
    example=Example([0, 1, 0], [0.04, 0.7, 0.9], {}, [0.0, 0.107002, 0.990308]),
    when="""Take it for many labels per example, nearly all of them 0, as in the tagging of images. A `gamma_neg`
above `gamma_pos` keeps the easy negatives from drowning the few positives without turning the positives down as well,
and `clip` takes those negatives out that the model is already sure of. A `clip` also bounds what a negative can cost,
with a slope that falls to 0 for the worst ones: labels that are 0 by mistake do less harm, and real mistakes teach
less. With ``clip=0`` and equal gammas it is `binary_focal_loss`: begin there, and come here if too few positives are
found.""",
    curve=Curve("gamma_neg", (1.0, 2.0, 4.0)),
    peers=(
        Peer(
            "timm",
            "`AsymmetricLossMultiLabel(gamma_neg=4, gamma_pos=1, clip=0.05)(x, y)`",
            "the same, from `focal_loss.torch.compat.timm`",
        ),
        Peer(
            "Alibaba-MIIL/ASL",
            "`AsymmetricLoss(gamma_neg=4, gamma_pos=1, clip=0.05)(x, y)`",
            '`asymmetric_loss(y, x, 1, 4, 0.05, from_logits=True, reduction="sum")`. Theirs takes the focal factor '
            "for a constant unless `disable_torch_grad_focal_loss=False`: its gradient is not that of its loss",
        ),
        Peer(
            "mmpretrain",
            "`AsymmetricLoss(gamma_pos=0.0, gamma_neg=4.0, clip=0.05)(pred, target)`",
            '`asymmetric_loss(target, pred, 0, 4, 0.05, from_logits=True, reduction="mean")`',
        ),
    ),
)
