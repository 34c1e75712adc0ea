"""The contract of each public function, written once and shown by every framework's version of it.

A docstring holds its own first lines and example; `{contract}` in it is replaced by the text here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from focal_loss._core.names import answering

T = TypeVar("T", bound=Callable[..., Any])

LIN = """T. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, "Focal loss for dense object detection", ICCV 2017,
   arXiv:1708.02002, equations 4 and 5."""

GAMMA = """gamma : float or array_like, shape {gamma_shape}
    The focusing parameter, at least 0. The higher it is, the less an easy example counts; 0 is cross-entropy."""

FROM_LOGITS = """from_logits : bool
    Whether `y_pred` holds logits, any real number, or probabilities. Prefer logits: they are exact for every
    finite number. Probabilities are clamped to [1e-7, 1 - 1e-7]{normalised}; beyond the clamp the gradient is
    that of its edge."""

SMOOTHING = """label_smoothing : float{optional}
    In [0, 1]. Labels become ``(1 - a) * y_true + a / {classes}``, in the focal factor as in the logarithm."""

BINARY_DATA = """y_true : array_like of bool, int or float, any shape
    Labels in [0, 1]; others are refused where they can be read, which is eagerly and on the host.
y_pred : array_like, a shape that broadcasts with `y_true`
    Logits or probabilities of the positive class, of a floating dtype; integers and lists become float32."""

DENSE_DATA = """y_true : array_like, shape (..., K, ...)
    The probability of each class: one-hot, smoothed or soft.
y_pred : array_like, shape (..., K, ...)
    Logits or probabilities of the K classes, of a floating dtype; integers and lists become float32."""

SPARSE_DATA = """y_true : array_like of int, the shape of `y_pred` without its class axis
    Class indices in [0, K). A class axis of length 1 is dropped.
y_pred : array_like, shape (..., K, ...)
    Logits or probabilities of the K classes, of a floating dtype; integers and lists become float32."""

AXIS = """axis : int
    The axis of `y_pred` that holds the classes."""

IGNORE = """ignore_class : int, optional
    Examples with this label cost 0 and have a gradient of zeros, whatever their prediction. It need not be a class."""

REDUCTION = """reduction : {{'none', 'mean', 'sum'}}
    What to do with the losses{mean}. A mean or a sum of half precision is float32."""

TORCH_REDUCTION = (
    REDUCTION
    + """ Under
    `torch.autocast` every loss is, reduced or not."""
)

MEAN_VALID = ". The mean is over the examples that are not ignored, and 0 where there are none"

WIDTH = """The dtype is that of `y_pred`. float16 and bfloat16 are computed in float32 and rounded once."""

RAISES = """TypeError
    If an option has the wrong type, or labels or predictions are not real numbers.
ValueError
    If an option is out of range{index}, if shapes do not go together, or if labels or probabilities are outside
    [0, 1] where they can be read: eagerly, on the host, unless `focal_loss.set_checks` turns that off."""

INDEX = ", a class index is out of range (where it can be read; in compiled code and on a GPU that loss is NaN)"


def contract(parameters: list[str], returns: str, notes: str, *, index: str = "") -> tuple[list[str], str]:
    """The parameters, to which an adapter may add, and everything after them."""
    after = "\n\n".join(
        [
            f"Returns\n-------\n{returns}",
            f"Raises\n------\n{RAISES.format(index=index)}",
            f"Notes\n-----\n{notes}",
            f"References\n----------\n.. [1] {LIN}",
        ]
    )
    return parameters, after


PER_CLASS = "() or (K,)"

BINARY_NOTES = """Domain: `y_true` in [0, 1]; `y_pred` real (logits, linked by the sigmoid) or in [0, 1]. With p the
probability of the positive class and q = 1 - p the loss is [1]_

    pos_weight * y * q**gamma * -log(p) + (1 - y) * p**gamma * -log(q)

A soft label is the expectation over hard ones. `binary_focal_crossentropy` mixes it into the probability instead;
the two agree on 0 and 1."""

MIXED_NOTES = """Domain: `y_true` in [0, 1]; `y_pred` real (logits, linked by the sigmoid) or in [0, 1]. With
p_t = y p + (1 - y) (1 - p) and alpha_t = alpha y + (1 - alpha) (1 - y), or 1, the loss is [1]_

    alpha_t * (1 - p_t)**gamma * (-y log(p) - (1 - y) log(1 - p))

.25 was the best alpha for gamma = 2 on COCO; it turns the positives down. It is no law."""

DENSE_NOTES = """Domain: `y_true` in [0, 1]; `y_pred` real (logits, linked by the softmax) or non-negative. The loss is
``sum_j weight_j * y_j * (1 - p_j)**gamma_j * -log(p_j)`` [1]_, where 1 - p_j is a sum over the other classes."""

SPARSE_NOTES = """Domain: `y_true` in 0 .. K-1; `y_pred` real (logits, linked by the softmax) or non-negative. The loss
is ``weight_t * (1 - p_t)**gamma_t * -log(p_t)`` [1]_ of the true class t, where 1 - p_t is a sum over the other
classes. No one-hot labels are made."""

NORMALISED = " after division by their sum"

CONTRACTS: dict[str, tuple[list[str], str]] = {
    "binary_focal_loss": contract(
        [
            BINARY_DATA,
            GAMMA.format(gamma_shape="broadcasts with the labels"),
            """pos_weight : float or array_like, optional
    The weight of the positives, at least 0, a shape that broadcasts with the labels. 1 if None.""",
            FROM_LOGITS.format(normalised=""),
            SMOOTHING.format(optional=", optional", classes="2"),
        ],
        f"loss : array, the shape to which the arguments broadcast\n    The loss of each example. {WIDTH}",
        BINARY_NOTES,
    ),
    "categorical_focal_loss": contract(
        [
            DENSE_DATA,
            GAMMA.format(gamma_shape=PER_CLASS),
            "class_weight : float or array_like, shape () or (K,), optional\n    The weight of each class. 1 if None.",
            FROM_LOGITS.format(normalised=NORMALISED),
            SMOOTHING.format(optional=", optional", classes="K"),
            AXIS,
        ],
        f"loss : array, the common shape without the class axis\n    The loss of each example. {WIDTH}",
        DENSE_NOTES,
    ),
    "sparse_categorical_focal_loss": contract(
        [
            SPARSE_DATA,
            GAMMA.format(gamma_shape=PER_CLASS),
            "class_weight : float or array_like, shape () or (K,), optional\n    The weight of each class. 1 if None.",
            FROM_LOGITS.format(normalised=NORMALISED),
            AXIS,
            IGNORE,
        ],
        f"loss : array, the shape of `y_true`\n    The loss of each example. {WIDTH}",
        SPARSE_NOTES,
        index=INDEX,
    ),
    "linear_sparse_categorical_focal_loss": contract(
        [
            """hidden : floating tensor, shape (..., D)
    What the last layer is applied to.
weight : floating tensor, shape (K, D), the dtype of `hidden`
    Of the last layer, whose logits are ``hidden @ weight.T + bias``.
y_true : tensor of int, shape (...)
    Class indices in [0, K).""",
            GAMMA.format(gamma_shape=PER_CLASS),
            "bias : floating tensor, shape (K,), optional\n    Of the last layer.",
            "class_weight : float or array_like, shape () or (K,), optional\n    The weight of each class. 1 if None.",
            IGNORE,
        ],
        f"loss : a number, or an array of the shape of `y_true` if `reduction` is 'none'\n    {WIDTH}",
        SPARSE_NOTES,
        index=INDEX,
    ),
    "binary_focal_crossentropy": contract(
        [
            BINARY_DATA,
            """apply_class_balancing : bool
    Whether positives weigh `alpha` and negatives 1 - `alpha`. If not, `alpha` has no part in the loss.""",
            """alpha : float or array_like
    In [0, 1], a shape that broadcasts with the labels.""",
            GAMMA.format(gamma_shape="broadcasts with the labels"),
            FROM_LOGITS.format(normalised=""),
            SMOOTHING.format(optional="", classes="2"),
            "axis : int\n    The axis over which the mean is taken.",
        ],
        f"loss : array, the common shape without `axis`\n    The mean loss over the axis. {WIDTH}",
        MIXED_NOTES,
    ),
    "categorical_focal_crossentropy": contract(
        [
            DENSE_DATA,
            "alpha : float or array_like, shape () or (K,)\n    The weight of each class, at least 0.",
            GAMMA.format(gamma_shape=PER_CLASS),
            FROM_LOGITS.format(normalised=NORMALISED),
            SMOOTHING.format(optional="", classes="K"),
            AXIS,
        ],
        f"loss : array, the common shape without the class axis\n    The loss of each example. {WIDTH}",
        DENSE_NOTES + " A single\n`alpha` scales the loss of every class alike: it balances nothing.",
    ),
    "sparse_categorical_focal_crossentropy": contract(
        [
            SPARSE_DATA,
            "alpha : float or array_like, shape () or (K,)\n    The weight of each class, at least 0.",
            GAMMA.format(gamma_shape=PER_CLASS),
            FROM_LOGITS.format(normalised=NORMALISED),
            AXIS,
            IGNORE,
        ],
        f"loss : array, the shape of `y_true`\n    The loss of each example. {WIDTH}",
        SPARSE_NOTES + " A\nsingle `alpha` scales the loss of every class alike: it balances nothing.",
        index=INDEX,
    ),
}


def contract_text(name: str, *extra: str, without: tuple[str, ...] = ()) -> str:
    parameters, after = CONTRACTS[name]
    kept = [p for p in parameters if not p.startswith(without)] if without else parameters
    return "Parameters\n----------\n" + "\n".join([*kept, *extra]) + "\n\n" + after


def documented(name: str, *extra: str, without: tuple[str, ...] = ()) -> Callable[[T], T]:
    """Put the contract of the function `name`, with extra parameters, in place of `{contract}`.

    What is documented also answers to the names that other libraries have for its options.
    """

    def fill(target: T) -> T:
        if target.__doc__:  # python -OO strips it
            text = inspect.cleandoc(target.__doc__)
            target.__doc__ = text.replace("{contract}", contract_text(name, *extra, without=without))
        return answering(target)

    return fill
