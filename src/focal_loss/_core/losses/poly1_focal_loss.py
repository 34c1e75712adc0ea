"""Poly-1 focal loss: the first term of the focal loss's series in q has a coefficient of its own.

    f(s) + e q^(g+1) = q^g (L + e q)

Since L = q + q^2/2 + q^3/3 + ..., e adds to the coefficient of q^(g+1), which is 1. With k = q^(g+1), dp/ds = p q and
dq/ds = -p q the second term has

    k_s = -(g+1) p k,    k_ss = (g+1) p k ((g+1) p - q),    k_g = -l k,    k_sg = p k ((g+1) l - 1)

and in the probability p itself, with h = q^g: k_p = -(g+1) h, k_pp = (g+1) g h / q, k_pg = h ((g+1) l - 1).
"""

from __future__ import annotations

from functools import partial
from typing import Any

from focal_loss._core import binary_losses
from focal_loss._core.declare import Curve, Example, Loss, Option, Peer, option, options
from focal_loss._core.declare import Options as Declared
from focal_loss._core.extremes import at_most, times, two_terms_at_infinity
from focal_loss._core.focal import margin_derivative, probability_derivative, side
from focal_loss._core.formula import Array, Index, Ops
from focal_loss._core.leibniz import add, complementary, leibniz, linear, numeric
from focal_loss._core.losses import common
from focal_loss._core.options import Parameter
from focal_loss._core.powers import power
from focal_loss._core.sigmoid import Sigmoid, sigmoid_of


@options
class Options(Declared):
    weight_name = "pos_weight"

    gamma: Parameter = common.gamma(common.LIKE_LABELS, default=2.0)
    epsilon: float = option(
        Option(
            common.AT_LEAST_MINUS_1,
            "float",
            "The number added to the coefficient of the first term, at least -1; 0 is the focal loss.",
        ),
        default=1.0,
    )
    pos_weight: Parameter = common.pos_weight()
    from_logits: bool = common.from_logits()
    ignore_class: int | None = common.ignore_class(common.IGNORED_LABEL)


def poly1(
    ops: Ops, index: Index, x: Array, y: Array, gamma: Array, epsilon: float, positive: Array, *, from_logits: bool
) -> Array | None:
    """The two-term loss.

    Arguments: 0 the prediction, 1 the label, 2 gamma, 3 epsilon (a number), 4 weight of the positives.
    """
    gamma, y = at_most(ops, gamma, x), numeric(ops, y, x)
    sigmoid = sigmoid_of(ops, index, x, gamma, from_logits)
    derivative = partial(side_derivative, epsilon=epsilon, from_logits=from_logits)
    one = side(ops, derivative, sigmoid, gamma, "2")
    zero = side(ops, derivative, sigmoid.flipped(), gamma, "2", mirrored=True)
    value = add(
        leibniz(ops, index, linear(positive, y, "4", "1"), one),
        leibniz(ops, index, complementary(1.0, y, "-", "1"), zero),
    )
    return two_terms_at_infinity(ops, value, positive, 1.0, y, x) if from_logits and not index else value


def side_derivative(
    ops: Ops, order: tuple[int, int], sigmoid: Sigmoid, gamma: Any, *, epsilon: float, from_logits: bool
) -> Array:
    """The derivative of a side, in the manner of `focal.margin_derivative` and `focal.probability_derivative`."""
    of_focal = margin_derivative if from_logits else probability_derivative
    return of_focal(ops, order, sigmoid, gamma) + times(ops, epsilon, added(ops, order, sigmoid, gamma, from_logits))


def added(ops: Ops, order: tuple[int, int], sigmoid: Sigmoid, gamma: Any, from_logits: bool) -> Array:
    """The derivative of q^(g+1). The power comes before a second g: it is 0 where the square of g could be infinite."""
    p, q, _, neg_log_q, p_minus_q = sigmoid
    factor = power(ops, q, neg_log_q, -p_minus_q, gamma)
    if order[0] == 0:
        value = factor * q
        for _ in range(order[1]):
            value = -value * neg_log_q
        return value
    changing = factor * q * p if from_logits else factor
    match order:
        case (1, 0):
            return -(changing * (gamma + 1))
        case (2, 0):
            return changing * (gamma + 1) * ((gamma + 1) * p - q if from_logits else gamma / q)
        case (1, 1):
            return changing * ((gamma + 1) * neg_log_q - 1)
    raise NotImplementedError(f"derivative of order {order}")


FORMULA = "pos_weight * y * q**gamma * (-log(p) + epsilon * q) + (1 - y) * p**gamma * (-log(q) + epsilon * p)"

LOSS = Loss(
    name="poly1_focal_loss",
    summary="Poly-1 focal loss: the focal loss with another first coefficient of its series.",
    layout="elements",
    options=Options,
    positional=2,
    compute=binary_losses.elements(
        "poly1",
        "gamma",
        "epsilon",
        "pos_weight",
        family="poly1",
        gamma="gamma",
        epsilon="epsilon",
        positive="pos_weight",
    ),
    closed_forms=common.closed_forms("poly1", poly1),
    label_weight=common.weight_of_positives,
    torch_module=True,
    trial={"pos_weight": 1.5},
    labels=(("0 or 1, and one more number, `epsilon`, is to be tuned", "binary, multilabel"),),
    formula=FORMULA,
    notes=f"""{common.BINARY_DOMAIN}

    {FORMULA}

A soft label is the expectation over hard ones. With ``epsilon=0`` it is `binary_focal_loss`. With an `epsilon`
below -1 the loss of an easy example would be negative; at -1 its two terms nearly cancel.""",
    references="""Z. Leng, M. Tan, C. Liu, E. D. Cubuk, X. Shi, S. Cheng and D. Anguelov, "PolyLoss: a polynomial
expansion perspective of classification loss functions", ICLR 2022, arXiv:2204.12511, section 4.""",
    example=Example([0, 1, 1], [0.1, 0.7, 0.9], {}, [0.002054, 0.0591, 0.002054]),
    when="""Take it for an experiment with one more number: a positive `epsilon` makes the loss steeper for middling
and hard examples, a negative one flatter, and the authors found the best value to depend on the task and the data. It
has to earn its place in a search that includes ``epsilon=0``, which is `binary_focal_loss`.""",
    curve=Curve("epsilon", (-1.0, 0.0, 1.0, 3.0)),
    peers=(
        Peer(
            "abhuse/polyloss-pytorch",
            "`Poly1FocalLoss(num_classes, epsilon=1.0, alpha=0.25, gamma=2.0)(logits, labels)`",
            "with `alpha=-1` there: `poly1_focal_loss(one_hot, logits, 2, 1, from_logits=True)`. Another `alpha` "
            "weighs the first term there and not the second, which has no equal here",
        ),
    ),
)
