"""The focal cost of a match, for a matcher of predictions and objects. It has no labels.

    a f(z) - (1 - a) f(-z)

is the change of the focal loss when an output is called positive. It falls strictly as z rises, from inf to -inf.
"""

from __future__ import annotations

from focal_loss._core import binary_losses
from focal_loss._core.declare import Curve, Example, Loss, Option, Peer, option, options
from focal_loss._core.declare import Options as Declared
from focal_loss._core.extremes import at_infinity, at_most, weighed
from focal_loss._core.focal import margin_derivative, probability_derivative, side
from focal_loss._core.formula import Array, Index, Ops
from focal_loss._core.leibniz import add, leibniz
from focal_loss._core.losses import common
from focal_loss._core.options import Parameter
from focal_loss._core.sigmoid import sigmoid_of


@options
class Options(Declared):
    weight_name = "alpha"

    alpha: Parameter = option(
        Option(
            common.FRACTION,
            f"float or array_like, shape {common.LIKE_PREDICTIONS}",
            "The weight of the positive side, in [0, 1]; the negative one has ``1 - alpha``.",
        ),
        default=0.25,
    )
    gamma: Parameter = common.gamma(common.LIKE_PREDICTIONS, default=2.0)
    from_logits: bool = common.from_logits()


def matching_cost(ops: Ops, index: Index, x: Array, gamma: Array, alpha: Array, *, from_logits: bool) -> Array | None:
    """The cost of a match. Arguments: 0 the prediction, 1 gamma, 2 alpha."""
    gamma = at_most(ops, gamma, x)
    sigmoid = sigmoid_of(ops, index, x, gamma, from_logits)
    derivative = margin_derivative if from_logits else probability_derivative
    one = side(ops, derivative, sigmoid, gamma, "1")
    zero = side(ops, derivative, sigmoid.flipped(), gamma, "1", mirrored=True)
    value = add(
        leibniz(ops, index, {"": (1.0, alpha), "2": (1.0, 1.0)}, one),
        leibniz(ops, index, {"": (1.0, alpha - 1), "2": (1.0, 1.0)}, zero),
    )
    if not from_logits or index:
        return value
    value = at_infinity(ops, value, x, weighed(x < 0, alpha))
    return -at_infinity(ops, -value, x, weighed(x > 0, 1 - alpha))


FORMULA = "alpha * q**gamma * -log(p) - (1 - alpha) * p**gamma * -log(q)"

LOSS = Loss(
    name="focal_matching_cost",
    summary="The focal cost of calling each output positive, for the matcher of a DETR-like detector.",
    layout="unlabeled",
    options=Options,
    positional=2,
    compute=binary_losses.elements(
        "matching_cost",
        "gamma",
        "alpha",
        labeled=False,
        # The focal loss of a label of 1/2, whose negatives have a weight below 0.
        family="expected_loss",
        gamma="gamma",
        positive=lambda gamma, alpha: 2 * alpha,
        negative=lambda gamma, alpha: 2 * (alpha - 1),
    ),
    closed_forms=common.closed_forms("matching_cost", matching_cost),
    labels=(("not known yet: predictions are still to be matched with objects", "detection by transformers"),),
    formula=FORMULA,
    notes=f"""Domain: `y_pred` real (logits, linked by the sigmoid) or in [0, 1]. With p the probability of the positive
class and q = 1 - p the cost is [1]_

    {FORMULA}

It is finite for every finite logit of every dtype and never rises with the logit. Formulas with ``log(p + 1e-8)``
are infinite in float16 for logits above 9, and a matcher then finds no assignment.""",
    references="""X. Zhu, W. Su, L. Lu, B. Li, X. Wang and J. Dai, "Deformable DETR: deformable transformers for
end-to-end object detection", ICLR 2021, arXiv:2010.04159.""",
    example=Example(None, [0.1, 0.5, 0.9], {}, [0.465483, -0.086643, -1.398557]),
    when="""Take it for the matcher of a detector of the DETR family, which looks for the cheapest pairs of
predictions and objects. It is a cost and not a loss: it has no labels and may be negative, and nothing is trained by
it. It replaces a formula with ``log(p + 1e-8)``, which in half precision is infinite for confident predictions.""",
    curve=Curve("gamma", (0.0, 1.0, 2.0), (1.0,)),
    peers=(
        Peer(
            "transformers",
            "`class_cost` in the matchers, a formula with `log(p + 1e-8)`",
            "`class_cost(logits, target_ids, alpha, gamma)` of `focal_loss.torch.compat.transformers`. Theirs is "
            "-inf in float16 from logit 9 up",
        ),
        Peer(
            "ultralytics",
            "the same formula in `HungarianMatcher`",
            "as above. Theirs sets infinite costs to 0, so that the surest match is no longer the cheapest",
        ),
        Peer(
            "mmdet",
            "`FocalLossCost(alpha=0.25, gamma=2, eps=1e-12, weight=w)`",
            "`w * focal_matching_cost(scores, 0.25, 2, from_logits=True)[:, gt_labels]`",
        ),
    ),
)
