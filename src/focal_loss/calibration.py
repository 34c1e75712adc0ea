"""From the scores of a model trained with focal loss back to probabilities.

Such a score is closer to 1/2 than the probability it stands for. The functions here undo that, and the weights, in
closed form; the other way they give the constant scores to start from.

A tensor of a framework among the arguments decides: the result is of that framework. Everything else gives NumPy
arrays, whatever backend Keras is set to: calibration comes after the training.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focal_loss import _losses, _posterior, _spec
from focal_loss._dispatch import formula_for
from focal_loss._host import OPS
from focal_loss._shapes import broadcast_shape, normalize_axis

__all__ = [
    "categorical_posterior_from_logits",
    "categorical_posterior_from_score",
    "categorical_prior_logits",
    "posterior_from_logits",
    "posterior_from_score",
    "prior_logit",
    "score_from_posterior",
]

Array = Any


def posterior_from_logits(logits: Any, gamma: Any, *, pos_weight: Any | None = None) -> Any:
    """Class posterior of a binary model trained with focal loss, from its logits.

    Parameters
    ----------
    logits : array_like, any shape
        What the model puts into the sigmoid, any real number; integers and lists become float32.
    gamma : float or array_like, a shape that broadcasts with `logits`
        The focusing parameter that the model was trained with, at least 0.
    pos_weight : float or array_like, optional
        The weight of the positives that it was trained with, above 0, that of the negatives being 1; or, for weights
        w1 and w0, their ratio w1 / w0. 1 if None.

    Returns
    -------
    posterior : array, the shape to which the arguments broadcast
        The probability of the positive class, in the framework, on the device and in the dtype of `logits`. float16
        and bfloat16 are computed in float32 and rounded once. It has first derivatives in all arguments.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If `gamma` or `pos_weight` are out of range, or shapes do not broadcast.

    Notes
    -----
    With z the logit, p = sigmoid(z), q = 1 - p, g = gamma, w1 : w0 the weights and

        A = q^g (q - g p log p),    B = p^g (p - g q log q)

    the expected loss of an example that is positive with probability w0 B / (w1 A + w0 B) is least at p [1]_. It is
    computed as a logit, so that nothing underflows before the result does, to a relative error of
    ``(8 + 2 * (1 + gamma) * |z|) * eps``. It rises with z; gamma = 0 undoes the weight alone.

    References
    ----------
    .. [1] N. Charoenphakdee, J. Vongkulbhisal, N. Chairatanakul and M. Sugiyama, "On focal loss for class-posterior
       probability estimation: a theoretical perspective", CVPR 2021, arXiv:2011.09172.

    Examples
    --------
    >>> from focal_loss.calibration import posterior_from_logits
    >>> posterior_from_logits([-2.0, 0.0, 2.0], gamma=2).round(4)
    array([0.0045, 0.5   , 0.9955], dtype=float32)
    """
    return _elementwise("posterior", "logits", logits, gamma, pos_weight)


def posterior_from_score(score: Any, gamma: Any, *, pos_weight: Any | None = None) -> Any:
    """Class posterior of a binary model trained with focal loss, from the sigmoid of its logits.

    Parameters
    ----------
    score : array_like, any shape
        The model's output, in [0, 1]; integers and lists become float32. Prefer `posterior_from_logits`: a score next
        to 1 has been rounded.
    gamma, pos_weight
        As in `posterior_from_logits`.

    Returns
    -------
    posterior : array, the shape to which the arguments broadcast
        As of `posterior_from_logits`. A score of 0 or 1 gives 0 or 1, one outside [0, 1] that could not be looked at,
        in compiled code and on a GPU, NaN.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If an argument is out of range, or shapes do not broadcast.

    References
    ----------
    .. [1] Charoenphakdee et al., CVPR 2021, arXiv:2011.09172.

    Examples
    --------
    A score of .75 stands for .95.

    >>> from focal_loss.calibration import posterior_from_score
    >>> posterior_from_score([0.15362, 0.5, 0.74979], gamma=2).round(3)
    array([0.01, 0.5 , 0.95], dtype=float32)
    """
    return _elementwise("posterior_of_score", "score", score, gamma, pos_weight, "posterior_from_logits")


def score_from_posterior(posterior: Any, gamma: Any, *, pos_weight: Any | None = None) -> Any:
    """The score that focal loss leads a binary model to: the inverse of `posterior_from_score`.

    Parameters
    ----------
    posterior : array_like, any shape
        The probability of the positive class, in [0, 1]; integers and lists become float32.
    gamma, pos_weight
        As in `posterior_from_logits`.

    Returns
    -------
    score : array, the shape to which the arguments broadcast
        The sigmoid of the model's logit where the expected loss is least, in the framework, on the device and in the
        dtype of `posterior`. A posterior of 0 or 1 gives 0 or 1, one outside [0, 1] that could not be looked at, in
        compiled code and on a GPU, NaN. It has first derivatives in all arguments.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If an argument is out of range, or shapes do not broadcast.

    References
    ----------
    .. [1] Charoenphakdee et al., CVPR 2021, arXiv:2011.09172.

    Examples
    --------
    >>> from focal_loss.calibration import score_from_posterior
    >>> score_from_posterior([0.01, 0.5, 0.95], gamma=2).round(5)
    array([0.15362, 0.5    , 0.74979], dtype=float32)
    """
    return _elementwise("score_of_posterior", "posterior", posterior, gamma, pos_weight, "")


def categorical_posterior_from_logits(
    logits: Any, gamma: Any, *, class_weight: Any | None = None, axis: int = -1
) -> Any:
    """Class posteriors of a softmax model trained with focal loss, from its logits.

    Parameters
    ----------
    logits : array_like, shape (..., K, ...)
        What the model puts into the softmax, any real number; integers and lists become float32.
    gamma : float or array_like, shape () or (K,)
        The focusing parameter that the model was trained with, at least 0.
    class_weight : float or array_like, shape () or (K,), optional
        The weight of each class that it was trained with, above 0. 1 if None.
    axis : int
        The axis of `logits` that holds the classes.

    Returns
    -------
    posterior : array, the shape of `logits`
        The probability of each class, of sum 1, in the framework, on the device and in the dtype of `logits`. It has
        first derivatives in all arguments.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If an argument is out of range or has the wrong shape.

    Notes
    -----
    With p the softmax of the logits the posterior is proportional to p_k / phi_k [1]_, where

        phi_k = w_k ((1 - p_k)^g_k - g_k p_k (1 - p_k)^(g_k - 1) log p_k)

    computed in logarithms, with 1 - p_k as a sum over the other classes.

    References
    ----------
    .. [1] Charoenphakdee et al., CVPR 2021, arXiv:2011.09172.

    Examples
    --------
    >>> from focal_loss.calibration import categorical_posterior_from_logits
    >>> categorical_posterior_from_logits([[1.0, 0.0, -1.0]], gamma=2).round(4)
    array([[0.8838, 0.0875, 0.0287]], dtype=float32)
    """
    return _softmax("logits", logits, gamma, class_weight, axis)


def categorical_posterior_from_score(
    scores: Any, gamma: Any, *, class_weight: Any | None = None, axis: int = -1
) -> Any:
    """Class posteriors of a softmax model trained with focal loss, from its probabilities.

    Parameters
    ----------
    scores : array_like, shape (..., K, ...)
        The model's output, in [0, 1], divided by its sum along the axis here; integers and lists become float32.
        Where all scores are 0 the posteriors are NaN.
    gamma, class_weight, axis
        As in `categorical_posterior_from_logits`.

    Returns
    -------
    posterior : array, the shape of `scores`
        As of `categorical_posterior_from_logits`. A score of 0 stays 0, with a derivative of 0.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If an argument is out of range or has the wrong shape.

    References
    ----------
    .. [1] Charoenphakdee et al., CVPR 2021, arXiv:2011.09172.

    Examples
    --------
    >>> from focal_loss.calibration import categorical_posterior_from_score
    >>> categorical_posterior_from_score([[0.53517, 0.29269, 0.17214]], gamma=2).round(4)
    array([[0.7, 0.2, 0.1]], dtype=float32)
    """
    return _softmax("scores", scores, gamma, class_weight, axis)


def prior_logit(prior: ArrayLike, gamma: ArrayLike, *, pos_weight: ArrayLike | None = None) -> Any:
    """The constant logit of least expected focal loss: the start score of a booster, the bias of a last layer.

    Parameters
    ----------
    prior : float or array_like
        The share of the positives, in (0, 1).
    gamma, pos_weight
        As in `posterior_from_logits`.

    Returns
    -------
    logit : float64 or array of float64, the shape to which the arguments broadcast
        The logit whose posterior is `prior`. The logit of the prior itself for gamma = 0 and no weight.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If an argument is out of range, or shapes do not broadcast.

    References
    ----------
    .. [1] Charoenphakdee et al., CVPR 2021, arXiv:2011.09172.

    Examples
    --------
    >>> from focal_loss.calibration import prior_logit
    >>> print(prior_logit(0.01, gamma=0).round(5), prior_logit(0.01, gamma=2).round(5))
    -4.59512 -1.70645
    """
    share = _host_numbers("prior", prior, high=1.0)
    focus, weight = _host_numbers("gamma", gamma, zero=True), _host_numbers("pos_weight", _one(pos_weight))
    shape = broadcast_shape(("prior", share.shape), ("gamma", focus.shape))
    broadcast_shape(("pos_weight", weight.shape), ("prior", shape))
    return _posterior.inverse(OPS, np.log(share) - np.log1p(-share) + np.log(weight), focus)[()]


def categorical_prior_logits(
    prior: ArrayLike, gamma: ArrayLike, *, class_weight: ArrayLike | None = None
) -> NDArray[np.float64]:
    """The constant logits of least expected softmax focal loss: start scores of a booster, biases of a last layer.

    Parameters
    ----------
    prior : array_like, shape (K,)
        The share of each class, or the number of its examples, above 0: only ratios matter.
    gamma, class_weight
        As in `categorical_posterior_from_logits`.

    Returns
    -------
    logits : array of float64, shape (K,)
        The logits of mean 0 whose posterior is `prior`. Those of the prior itself for gamma = 0 and no weights.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If an argument is out of range or has the wrong shape.

    References
    ----------
    .. [1] Charoenphakdee et al., CVPR 2021, arXiv:2011.09172.

    Examples
    --------
    >>> from focal_loss.calibration import categorical_prior_logits
    >>> categorical_prior_logits([0.7, 0.2, 0.1], gamma=2).round(5)
    array([ 0.57925, -0.02421, -0.55503])
    """
    share = _host_numbers("prior", prior)
    if share.ndim != 1 or len(share) < 2:
        raise ValueError(f"`prior` must have one entry for each of at least 2 classes, got shape {share.shape}")
    focus, weight = _host_numbers("gamma", gamma, zero=True), _host_numbers("class_weight", _one(class_weight))
    for name, values in (("gamma", focus), ("class_weight", weight)):
        if values.shape not in ((), share.shape):
            raise ValueError(
                f"`{name}` must be a number or have one entry per class ({len(share)}), got shape {values.shape}"
            )
    return _posterior.logits_of_prior(OPS, share, np.broadcast_to(focus, share.shape), weight)


# ---------------------------------------------------------------------------------------------------------------
# From arguments to the mathematics
# ---------------------------------------------------------------------------------------------------------------


def _elementwise(
    family: str, name: str, value: Any, gamma: Any, pos_weight: Any | None, instead: str | None = None
) -> Array:
    """`instead`: for probabilities, the function that takes logits, or nothing."""
    focus, weight = _spec.parameter("gamma", gamma), _positive("pos_weight", pos_weight)
    xp = formula_for(value, gamma, pos_weight)
    given = xp.prediction(value, name)
    x = xp.widen(given)
    if instead is not None:
        _check_probabilities(xp, name, x, instead)
    focus, weight = xp.parameter(focus, x), xp.parameter(weight, x)
    shape = xp.shape(x)
    for other, tensor in (("gamma", focus), ("pos_weight", weight)):
        if not isinstance(tensor, float):
            shape = broadcast_shape((other, xp.shape(tensor)), (name, shape))
    return xp.cast(xp.elementwise(family, x, focus, weight), given)


def _softmax(name: str, value: Any, gamma: Any, class_weight: Any | None, axis: int) -> Array:
    focus, weight = _spec.parameter("gamma", gamma), _positive("class_weight", class_weight)
    axis = _spec.axis_of(axis)
    xp = formula_for(value, gamma, class_weight)
    given = xp.prediction(value, name)
    x = xp.widen(given)
    rank = len(xp.shape(x))
    axis = normalize_axis(axis, rank, name)
    if name == "scores":
        _check_probabilities(xp, name, x, "categorical_posterior_from_logits")
        x = xp.where(xp.max(x, axis) > 0, xp.elementwise("logarithm", x), float("nan"))
    classes = xp.shape(x)[axis]
    focus, weight = (
        _losses.along_axis(xp, _losses.per_class(xp, other, xp.parameter(parameter, x), classes), axis, rank)
        for other, parameter in (("gamma", focus), ("class_weight", weight))
    )
    evidence = xp.elementwise("class_evidence", xp.margin(x, None, axis), focus, weight)
    # With gamma 0 and weight 1 the posterior of a margin is its sigmoid: all of it a softmax.
    return xp.cast(xp.elementwise("posterior", xp.margin(evidence, None, axis), 0.0, 1.0), given)


def _check_probabilities(xp: Any, name: str, x: Array, instead: str) -> None:
    if not xp.readable(x):
        return
    numbers = xp.to_numpy(x)
    bad = (numbers < 0) | (numbers > 1)
    if bad.any():
        remedy = f"; apply a {'softmax' if name == 'scores' else 'sigmoid'} first, or use {instead}" if instead else ""
        raise ValueError(f"`{name}` must hold numbers in [0, 1], got {numbers[bad].flat[0]:g}{remedy}")


def _one(weight: Any) -> Any:
    return 1.0 if weight is None else weight


def _positive(name: str, weight: Any) -> Any:
    """A class without weight has no part in the loss, and no score says anything of it."""
    checked = _spec.parameter(name, _one(weight))
    if isinstance(checked, float | list | np.ndarray) and not np.all(np.asarray(checked, np.float64) > 0):
        raise ValueError(f"`{name}` must be a positive number, got 0{' in an array' * (not _spec.is_number(weight))}")
    return checked


def _host_numbers(name: str, value: Any, *, zero: bool = False, high: float = float("inf")) -> Array:
    """Positive numbers as float64, read from wherever they are."""
    numbers = np.asarray(value)
    if numbers.dtype.kind not in "iuf":
        raise TypeError(f"`{name}` must be a number or an array of numbers, got {value!r}")
    numbers = numbers.astype(np.float64)
    bad = ~((numbers >= 0 if zero else numbers > 0) & (numbers < high))
    if bad.any():
        kind = f"number in (0, {high:g})" if high < float("inf") else f"{'non-negative' if zero else 'positive'} number"
        raise ValueError(f"`{name}` must be a {kind}, got {numbers[bad].flat[0]:g}")
    return numbers
