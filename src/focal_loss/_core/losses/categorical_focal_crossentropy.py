"""Softmax focal cross-entropy of dense labels, with the names and meanings of Keras."""

from __future__ import annotations

from focal_loss._core import focal, softmax_losses
from focal_loss._core.declare import Curve, Example, Loss, Peer, options
from focal_loss._core.declare import Options as Declared
from focal_loss._core.losses import common
from focal_loss._core.options import Parameter


@options
class Options(Declared):
    weight_name = "alpha"

    alpha: Parameter = common.class_alpha()
    gamma: Parameter = common.softmax_gamma(2.0)
    from_logits: bool = common.from_logits(common.NORMALISED)
    label_smoothing: float = common.label_smoothing("K", 0.0)
    axis: int = common.class_axis()


LOSS = Loss(
    name="categorical_focal_crossentropy",
    summary="Softmax focal cross-entropy of dense labels, with the names and meanings of Keras.",
    layout="dense",
    options=Options,
    positional=5,
    compute=softmax_losses.categorical,
    closed_forms=focal.MARGIN,
    notes=f"{common.DENSE_NOTES}\n{common.SCALES_ALIKE}",
    example=Example([[0, 1, 0], [0, 0, 1]], [[0.05, 0.85, 0.1], [0.1, 0.8, 0.1]], {}, [0.000914, 0.466274]),
    when="""Take it for the numbers of Keras' `CategoricalFocalCrossentropy`, its `alpha=0.25` included. A single
`alpha` makes every loss a quarter and balances nothing; unless you need that, `categorical_focal_loss` is the same
loss with weights of 1.""",
    curve=Curve("gamma", (0.0, 0.5, 2.0, 5.0), (1.0,)),
    peers=(
        Peer(
            "Keras",
            "`CategoricalFocalCrossentropy(alpha=0.25, gamma=2.0, ...)`",
            "the class of this name in `focal_loss.keras.losses`. Keras' gradient is 0 beyond a margin of -16; here "
            "it is not",
        ),
    ),
    examples={
        "jax": """>>> from focal_loss.jax import categorical_focal_crossentropy
>>> categorical_focal_crossentropy([[0, 1, 0], [0, 0, 1]], [[0.05, 0.85, 0.1], [0.1, 0.8, 0.1]]).round(2)
Array([0.  , 0.47], dtype=float32)"""
    },
)
