"""Softmax focal cross-entropy of class indices, with the names and meanings of Keras."""

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
    axis: int = common.class_axis()
    ignore_class: int | None = common.ignore_class()
    label_smoothing: float = common.index_smoothing(0.0)


LOSS = Loss(
    name="sparse_categorical_focal_crossentropy",
    summary="Softmax focal cross-entropy of class indices, the sparse form of `categorical_focal_crossentropy`.",
    layout="sparse",
    options=Options,
    positional=5,
    keras_reduction_at=5,
    compute=softmax_losses.sparse_categorical,
    closed_forms=focal.MARGIN,
    notes=f"{common.SPARSE_NOTES}\n{common.SCALES_ALIKE}",
    example=Example([1, 2], [[0.05, 0.85, 0.1], [0.1, 0.8, 0.1]], {}, [0.000914, 0.466274]),
    when="""Take it for class indices under the names and defaults of Keras, which has no such loss (3.15.1): the
values of `categorical_focal_crossentropy` on one-hot labels. A single `alpha` only scales the loss; without Keras'
numbers to meet, take `sparse_categorical_focal_loss`, whose weights are 1.""",
    curve=Curve("gamma", (0.0, 0.5, 2.0, 5.0), (1.0,)),
    peers=(
        Peer(
            "Keras",
            "`CategoricalFocalCrossentropy(alpha=0.25, gamma=2.0)(one_hot, y_pred)`",
            "`SparseCategoricalFocalCrossentropy(alpha=0.25, gamma=2.0)(index, y_pred)` of `focal_loss.keras.losses`",
        ),
    ),
    examples={
        "jax": """>>> from focal_loss.jax import sparse_categorical_focal_crossentropy
>>> sparse_categorical_focal_crossentropy([1, 2], [[0.05, 0.85, 0.1], [0.1, 0.8, 0.1]]).round(2)
Array([0.  , 0.47], dtype=float32)"""
    },
)
