"""Binary focal cross-entropy with the names and meanings of Keras: optional weights alpha and 1 - alpha, a mean over an
axis, soft labels mixed into the probability of the true class.
"""

from __future__ import annotations

from functools import cache, partial

from focal_loss._core import binary_losses
from focal_loss._core.declare import Curve, Example, Loss, Option, Peer, option, options
from focal_loss._core.declare import Options as Declared
from focal_loss._core.extremes import at_infinity, at_most, has_limits, weighed
from focal_loss._core.focal import expected_loss
from focal_loss._core.formula import Array, Index, Ops
from focal_loss._core.leibniz import Coefficient, add, complementary, leibniz, linear
from focal_loss._core.losses import common
from focal_loss._core.mixture import Mix, mix_derivative
from focal_loss._core.options import Parameter
from focal_loss._core.powers import CENTRAL, is_small
from focal_loss._core.sigmoid import Sigmoid, sigmoid_of


@options
class Options(Declared):
    weight_name = "alpha"

    apply_class_balancing: bool = option(
        Option(
            common.FLAG,
            "bool",
            "Whether positives weigh `alpha` and negatives 1 - `alpha`. If not, `alpha` has no effect.",
        ),
        default=False,
    )
    alpha: Parameter = option(
        Option(
            common.FRACTION,
            "float or array_like",
            "The weight of the positives, in [0, 1], a shape that broadcasts with the labels.",
        ),
        default=0.25,
    )
    gamma: Parameter = common.gamma(common.LIKE_LABELS, 2.0)
    from_logits: bool = common.from_logits()
    label_smoothing: float = common.label_smoothing("2", 0.0)
    axis: int = option(Option(common.AXIS, "int", "The axis over which the mean is taken."), default=-1)
    ignore_class: int | None = common.ignore_class(
        common.IGNORED_LABEL + " The mean over the axis is over the others, and 0 where there are none."
    )


HUGE, SHRINK = 2.0**64, 2.0**-50  # at a logit of HUGE * SHRINK, p is still 1


def mix(ops: Ops, from_logits: bool, sigmoid: Sigmoid, x: Array, y: Array, gamma: float | Array | None) -> Mix:
    """m = 1 - p_t = y q + (1 - y) p and B = y L + (1 - y) l. For a hard label m is p or q itself.

    A label may be subnormal, and m with it, but then m is the label. Near 1/2 m comes from p - q, unless logits
    have a small gamma, as in `sigmoid_from_logits`.
    """
    p, q, neg_log_p, neg_log_q, p_minus_q = sigmoid
    sign = 1 - 2 * y
    m_p_minus_q = sign * p_minus_q
    m = y * q + (1 - y) * p
    if not (from_logits and is_small(gamma)):
        m = ops.where(ops.abs(m_p_minus_q) < CENTRAL, 0.5 + 0.5 * m_p_minus_q, m)
    p_t = y * p + (1 - y) * q
    hard_neg_log_m = y * neg_log_q + (1 - y) * neg_log_p
    present = (m >= ops.smallest(m)) | ((y > 0) & (y < 1) & (m > 0))
    divisor = ops.where(present, m, 1.0)
    neg_log_m = ops.where(m < 0.5, -ops.log(divisor), ops.log1p(p_t / divisor))
    B = y * neg_log_p + (1 - y) * neg_log_q
    B_z = (1 - y) * p - y * q  # p - y, without the subtraction
    # L / q -> 1 as q -> 0. For a soft label the quotient tends to |x|, and must not round to more than the largest.
    B_over_m = ops.where(present, ops.clip(B / divisor, 0.0, ops.largest(m)), 1.0)
    if from_logits:
        ratio = ops.where(present, p * q / divisor, p_t)  # p q / m
        x_parts = (sign * ratio, B_z, p * q, -1.0, -p_minus_q * sign * ratio * B, -2 * ratio * B)
        B_x_over_m, m_x = ops.where(present, B_z / divisor, sign), sign * (p * q)
        B_y = -ops.clip(x, -ops.largest(x), ops.largest(x))
    else:
        B_x = (1 - y) / q - y / p
        x_parts = (sign / m, B_x, y / (p * p) + (1 - y) / (q * q), -1 / p - 1 / q, 0.0, -2 * B_over_m)
        B_x_over_m, m_x = B_x / m, sign
        B_y = neg_log_p - neg_log_q
    return Mix(
        m,
        ops.where(present, neg_log_m, hard_neg_log_m),
        m_p_minus_q,
        B,
        *x_parts,
        B_over_m,
        B_x_over_m,
        -p_minus_q,
        B_y,
        m_x,
    )


def p_t_loss(
    ops: Ops, index: Index, x: Array, y: Array, gamma: Array, positive: Array, negative: Array, *, from_logits: bool
) -> Array | None:
    """(positive y + negative (1 - y)) (1 - p_t)^g B with p_t = y p + (1 - y) q: Keras, torchvision and optax.

    Arguments as in `expected_loss`, which it equals on hard labels.
    """
    if ops.is_bool(y):
        return expected_loss(ops, index, x, y, gamma, positive, negative, from_logits=from_logits)
    gamma, z = at_most(ops, gamma, x), x
    # Terms of the label's derivatives may overflow where their sum does not. At logits so large that p and q are 0 and
    # 1 they are linear in the logit, so they are computed from a smaller one and scaled back.
    shrunk = from_logits and "1" in index
    if shrunk:
        z = ops.clip(x, -ops.largest(x), ops.largest(x))
        huge = ops.abs(z) > HUGE
        z = ops.where(huge, SHRINK * z, z)
    # The derivatives in the label take an exponential of p - q whatever gamma is.
    accurate = None if "1" in index else gamma
    sigmoid = sigmoid_of(ops, index, z, accurate, from_logits)
    parts = mix(ops, from_logits, sigmoid, z, y, accurate)

    @cache
    def kernel(rest: Index) -> Array | None:
        return mix_derivative(ops, rest, parts, gamma) if set(rest) <= {"0", "1", "2"} else None

    if isinstance(positive, float) and positive == negative:  # the weight does not depend on the label
        value = leibniz(ops, index, {"": (1.0, positive)}, kernel)
    else:
        # The derivative of the weight in the label is formed as one difference, which may be far smaller than both
        # weights.
        by_label: Coefficient = {"1": (1.0, positive - negative)}
        positives = linear(positive, y, "3", "1") | {"1": None}
        negatives = complementary(negative, y, "4", "1") | {"1": None}
        value = None
        for coefficient in (positives, negatives, by_label):
            value = add(value, leibniz(ops, index, coefficient, kernel, may_overflow=shrunk))
    if shrunk and "0" not in index and value is not None:
        return ops.where(huge, value / SHRINK, value)
    if not from_logits or index:
        return value
    grows = parts.B > 0
    if not has_limits(ops, x, positive, negative):
        grows = grows & (weighed(y > 0, positive) | weighed(y < 1, negative))
    return at_infinity(ops, value, x, grows)


LOSS = Loss(
    name="binary_focal_crossentropy",
    summary="Binary focal cross-entropy, averaged over an axis, with the names and meanings of Keras.",
    layout="average",
    options=Options,
    positional=6,
    compute=binary_losses.binary_p_t_loss,
    closed_forms={
        "p_t_loss": partial(p_t_loss, from_logits=True),
        "p_t_loss_of_probabilities": partial(p_t_loss, from_logits=False),
    },
    label_weight=common.weight_of_sides,
    trial={"apply_class_balancing": True},
    labels=(("a probability, mixed into that of the true class (see [Soft labels](#soft-labels))", "binary, soft"),),
    notes="""Domain: `y_true` in [0, 1]; `y_pred` real (logits, linked by the sigmoid) or in [0, 1]. With
p_t = y p + (1 - y) (1 - p) and alpha_t = alpha y + (1 - alpha) (1 - y), or 1, the loss is [1]_

    alpha_t * (1 - p_t)**gamma * (-y log(p) - (1 - y) log(1 - p))

An alpha of .25, which lowers the weight of the positives, was the best for gamma = 2 on COCO. Other data have other
optima.""",
    example=Example([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]], {"gamma": 2}, [0.329865, 0.205798]),
    when="""Take it for the numbers of Keras, torchvision or optax, with their weights `alpha` and 1 - `alpha` and
their soft labels. Without such numbers to meet, take `binary_focal_loss`: it has one weight, which says what it
weighs, and it is linear in the label, so that mixed labels mean mixed losses. On labels of 0 and 1 the two are one
loss.""",
    curve=Curve("gamma", (0.0, 0.5, 2.0, 5.0), (1.0, 0.7, 0.0)),
    peers=(
        Peer(
            "Keras",
            "`BinaryFocalCrossentropy(apply_class_balancing=False, alpha=0.25, gamma=2.0, ...)`",
            "the class of this name in `focal_loss.keras.losses`",
        ),
        Peer(
            "torchvision",
            '`sigmoid_focal_loss(inputs, targets, alpha=0.25, gamma=2, reduction="none")`',
            "the same, from `focal_loss.torch`; `alpha=-1` weighs nothing",
        ),
        Peer(
            "fvcore, detectron2",
            "`sigmoid_focal_loss_jit(inputs, targets, alpha=-1, gamma=2, ...)`",
            "the same, from `focal_loss.torch.compat.fvcore`",
        ),
        Peer("optax", "`sigmoid_focal_loss(logits, labels, alpha=None, gamma=2.0)`", "the same, from `focal_loss.jax`"),
        Peer(
            "transformers",
            "`sigmoid_focal_loss(inputs, targets, num_boxes, alpha=0.25, gamma=2)`",
            "the same, from `focal_loss.torch.compat.transformers`",
        ),
        Peer(
            "ultralytics",
            "`FocalLoss(gamma=1.5, alpha=0.25)(pred, label)`",
            "the same, from `focal_loss.torch.compat.ultralytics`",
        ),
        Peer(
            "mmdet",
            "`FocalLoss(gamma=2.0, alpha=0.25)(pred, target, weight, avg_factor)`",
            "the same, from `focal_loss.torch.compat.mmdet`",
        ),
    ),
)
