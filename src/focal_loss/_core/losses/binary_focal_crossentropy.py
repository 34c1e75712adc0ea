"""Binary focal cross-entropy with the names and meanings of Keras: optional weights alpha and 1 - alpha, a mean over an
axis, soft labels mixed into the probability of the true class.
"""

from __future__ import annotations

from focal_loss._core import pipeline
from focal_loss._core.declare import Example, Loss, Option, option, options
from focal_loss._core.declare import Options as Declared
from focal_loss._core.losses import common
from focal_loss._core.options import Parameter


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
        Option(common.FRACTION, "float or array_like", "In [0, 1], a shape that broadcasts with the labels."),
        default=0.25,
    )
    gamma: Parameter = common.gamma(common.LIKE_LABELS, 2.0)
    from_logits: bool = common.from_logits()
    label_smoothing: float = common.label_smoothing("2", 0.0)
    axis: int = option(Option(common.AXIS, "int", "The axis over which the mean is taken."), default=-1)


LOSS = Loss(
    name="binary_focal_crossentropy",
    summary="Binary focal cross-entropy, averaged over an axis, with the names and meanings of Keras.",
    layout="average",
    options=Options,
    positional=6,
    compute=pipeline.binary_p_t_loss,
    trial={"apply_class_balancing": True},
    labels=(("a probability, mixed into that of the true class (see [Soft labels](#soft-labels))", "binary, soft"),),
    notes="""Domain: `y_true` in [0, 1]; `y_pred` real (logits, linked by the sigmoid) or in [0, 1]. With
p_t = y p + (1 - y) (1 - p) and alpha_t = alpha y + (1 - alpha) (1 - y), or 1, the loss is [1]_

    alpha_t * (1 - p_t)**gamma * (-y log(p) - (1 - y) log(1 - p))

An alpha of .25, which lowers the weight of the positives, was the best for gamma = 2 on COCO. Other data have other
optima.""",
    example=Example([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]], {"gamma": 2}, [0.329865, 0.205798]),
)
