"""Posteriors of models that were trained with other losses of the family."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from focal_loss._core import checks, losses, options
from focal_loss._core import log_odds as log_odds  # importing it registers the closed forms
from focal_loss._core.declare import Options
from focal_loss._core.pipeline import at_least_zero
from focal_loss._core.shapes import broadcast_shape
from focal_loss._dispatch.frameworks import formula_for

Parameter = Callable[[str], Any]  # an option by its name, as a number or a tensor
Form = tuple[str, list[Any]]  # the closed form, and its arguments after the logits


def _focal(gamma: str, weight: str | None = None) -> Callable[[Options, Parameter], Form]:
    return lambda _, get: ("posterior", [get(gamma), get(weight) if weight else 1.0])


def _scored(given: Options, get: Parameter) -> Form:
    """Cross-entropy for the positives, the focal loss times alpha for the negatives."""
    gamma, weight = get("gamma"), 1 / get("alpha")
    if given.values["detach_weight"]:
        return "posterior_of_detached", [gamma, weight]
    return "posterior_of_poly1", [0.0, gamma, weight, 0.0]


def _asymmetric(given: Options, get: Parameter) -> Form:
    sides, clip = [get("gamma_pos"), get("gamma_neg")], given.values["clip"]
    return ("posterior_of_clipped", [*sides, clip]) if clip else ("posterior_of_poly1", [*sides, 1.0, 0.0])


def _poly1(given: Options, get: Parameter) -> Form:
    gamma = get("gamma")
    return "posterior_of_poly1", [gamma, gamma, get("pos_weight"), given.values["epsilon"]]


FORMS: dict[str, Callable[[Options, Parameter], Form]] = {
    "asymmetric_loss": _asymmetric,
    "binary_focal_loss": _focal("gamma", "pos_weight"),
    "matchability_aware_loss": _scored,
    "penalty_reduced_focal_loss": _focal("alpha"),
    "poly1_focal_loss": _poly1,
    "quality_focal_loss": _focal("beta"),
    "varifocal_loss": _scored,
}
WEIGHTS = ("alpha", "pos_weight")  # which divide, in the losses where they weigh
WITHOUT = {
    "focal_matching_cost": "it is a cost of pairs, not an expected loss of labels",
    "binary_focal_crossentropy": "use `posterior_from_logits`, with `pos_weight=alpha / (1 - alpha)` for an `alpha`",
    **dict.fromkeys(
        (
            "categorical_focal_crossentropy",
            "categorical_focal_loss",
            "sparse_categorical_focal_crossentropy",
            "sparse_categorical_focal_loss",
        ),
        "use `categorical_posterior_from_logits`",
    ),
}


def posterior_of_loss(loss: str, logits: Any, **kwargs: Any) -> Any:
    """Class posterior of a binary model from its logits, for a loss of the family and hard labels.

    Parameters
    ----------
    loss : str
        The name of the loss that the model was trained with, such as ``"varifocal_loss"``.
    logits : array_like, any shape
        What the model puts into the sigmoid, any real number; integers and lists become float32.
    **kwargs
        The options of that loss, with its defaults.

    Returns
    -------
    posterior : array, the shape to which the arguments broadcast
        The probability of a label of 1, in the framework, on the device and in the dtype of `logits`. It has first
        derivatives in the logits. With a `clip` it is 0 where the sigmoid is at most `clip`, because there negatives
        cost nothing.

    Raises
    ------
    TypeError
        If an argument has the wrong type, or is no option of the loss.
    ValueError
        If an option is out of range, if shapes do not broadcast, or if there is no closed form: the matching cost is
        no loss of labels, and the losses of several classes have functions of their own.

    Notes
    -----
    Labels were 0 and 1. For scores between them, as of boxes, or heatmaps, the least expected loss depends on their
    whole distribution, and the posterior has no closed form; the quality focal loss of one score is least at the score
    itself. With l1 and l0 the loss of a positive and a negative, the expected loss of an example that is positive with
    probability ``l0' / (l0' - l1')`` is stationary at the logit [1]_.

    References
    ----------
    .. [1] N. Charoenphakdee, J. Vongkulbhisal, N. Chairatanakul and M. Sugiyama, "On focal loss for class-posterior
       probability estimation: a theoretical perspective", CVPR 2021, arXiv:2011.09172.

    Examples
    --------
    >>> from focal_loss.calibration import posterior_of_loss
    >>> posterior_of_loss("varifocal_loss", [-2.0, 0.0, 2.0], alpha=0.75, gamma=2.0).round(4)
    array([0.0041, 0.3091, 0.8714], dtype=float32)
    """
    form, chosen = _checked(loss, kwargs)
    xp = formula_for(logits, *(kwargs.get(name) for name in chosen.arrays))
    given = xp.prediction(logits, "logits")
    x = xp.at_least_float32(given)
    shape = xp.shape(x)

    def get(name: str) -> Any:
        nonlocal shape
        value = chosen.values[name]
        is_weight = name in WEIGHTS and loss != "penalty_reduced_focal_loss"
        if is_weight:
            value = options.positive(name, kwargs.get(name, value))
        converted = xp.parameter(name, value, x)
        if not isinstance(converted, float):
            shape = broadcast_shape((name, xp.shape(converted)), ("logits", shape))
        return converted if is_weight else at_least_zero(xp, converted)

    family, arguments = form(chosen, get)
    return xp.cast(xp.elementwise(family, x, *arguments), given)


def _checked(loss: Any, given: dict[str, Any]) -> tuple[Callable[[Options, Parameter], Form], Options]:
    if isinstance(loss, str) and loss in WITHOUT:
        raise ValueError(f"`loss` must have a posterior in closed form, got {loss!r}; {WITHOUT[loss]}")
    if not isinstance(loss, str) or loss not in FORMS:
        raise ValueError(f"`loss` must be the name of a loss, one of {', '.join(FORMS)}, got {checks.shown(loss)}")
    declared = {each.name: each for each in losses.LOSSES}
    allowed = [name for name in declared[loss].options.checks if name != "from_logits"]
    for name in given:
        if name not in allowed:
            raise TypeError(f"`{loss}` has no `{name}`; its options are {', '.join(allowed)}")
    for name in declared[loss].options.required:
        if name not in given:
            raise TypeError(f"`{loss}` needs a `{name}`; pass that of the training")
    return FORMS[loss], declared[loss].options(**given)
