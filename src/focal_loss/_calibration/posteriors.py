"""The public functions: posteriors of scores, scores of posteriors, and start scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from focal_loss._calibration import functions
from focal_loss._core.options import ParameterLike


def posterior_from_logits(logits: Any, gamma: ParameterLike, *, pos_weight: ParameterLike | None = None) -> Any:
    """Class posterior of a binary model trained with focal loss, from its logits.

    Parameters
    ----------
    logits : array_like, any shape
        The inputs of the model's sigmoid, any real numbers; integers and lists become float32.
    gamma : float or array_like, a shape that broadcasts with `logits`
        The focusing parameter that the model was trained with, at least 0.
    pos_weight : float or array_like, optional
        The weight of the positives in training, above 0, if negatives have weight 1; for weights w1 of positives and w0
        of negatives, the ratio w1 / w0. 1 if None.

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
    ``(8 + 2 * (1 + gamma) * |z|) * eps``. It rises with z. With gamma = 0 it undoes only the weight.

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
    return functions.elementwise("posterior", "logits", logits, gamma, pos_weight)


def posterior_from_score(score: Any, gamma: ParameterLike, *, pos_weight: ParameterLike | None = None) -> Any:
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
        Like that of `posterior_from_logits`. A score of 0 or 1 gives 0 or 1. One outside [0, 1] gives NaN where it
        cannot be checked, in compiled code and on a GPU.

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
    return functions.elementwise("posterior_of_score", "score", score, gamma, pos_weight, "posterior_from_logits")


def score_from_posterior(posterior: Any, gamma: ParameterLike, *, pos_weight: ParameterLike | None = None) -> Any:
    """The score that minimizes the expected focal loss of a binary model: the inverse of `posterior_from_score`.

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
        dtype of `posterior`. A posterior of 0 or 1 gives 0 or 1. One outside [0, 1] gives NaN where it cannot be
        checked, in compiled code and on a GPU. It has first derivatives in all arguments.

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
    return functions.elementwise("score_of_posterior", "posterior", posterior, gamma, pos_weight, "")


def categorical_posterior_from_logits(
    logits: Any,
    gamma: ParameterLike,
    *,
    class_weight: ParameterLike | None = None,
    logit_adjustment: ArrayLike | None = None,
    axis: int = -1,
) -> Any:
    """Class posteriors of a softmax model trained with focal loss, from its logits.

    Parameters
    ----------
    logits : array_like, shape (..., K, ...)
        The inputs of the model's softmax, any real numbers; integers and lists become float32.
    gamma : float or array_like, shape () or (K,)
        The focusing parameter that the model was trained with, at least 0.
    class_weight : float or array_like, shape () or (K,), optional
        The weight of each class in training, above 0. 1 if None.
    logit_adjustment : array_like, shape (K,), optional
        The numbers that training added to the logits before the loss, such as ``weights.logit_adjustment(counts)``.
        `logits` are those without.
    axis : int
        The axis of `logits` that holds the classes.

    Returns
    -------
    posterior : array, the shape of `logits`
        The probability of each class, with sum 1, in the framework, on the device and in the dtype of `logits`. It has
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

    With logit adjustment a_k = tau log(pi_k) the loss was one of the softmax of ``logits + a``, of which this gives the
    posterior, divided by exp(a_k): for tau = 1 that of data with as many examples of each class [2]_, which is the
    softmax of the logits at gamma = 0. For the posterior of data as the training had, hand over ``logits + a`` as the
    logits, and no `logit_adjustment`.

    References
    ----------
    .. [1] Charoenphakdee et al., CVPR 2021, arXiv:2011.09172.
    .. [2] A. Menon, S. Jayasumana, A. Rawat, H. Jain, A. Veit and S. Kumar, "Long-tail learning via logit adjustment",
       ICLR 2021, arXiv:2007.07314.

    Examples
    --------
    >>> from focal_loss.calibration import categorical_posterior_from_logits
    >>> categorical_posterior_from_logits([[1.0, 0.0, -1.0]], gamma=2).round(4)
    array([[0.8838, 0.0875, 0.0287]], dtype=float32)
    """
    return functions.softmax("logits", logits, gamma, class_weight, logit_adjustment, axis)


def categorical_posterior_from_score(
    scores: Any,
    gamma: ParameterLike,
    *,
    class_weight: ParameterLike | None = None,
    logit_adjustment: ArrayLike | None = None,
    axis: int = -1,
) -> Any:
    """Class posteriors of a softmax model trained with focal loss, from its probabilities.

    Parameters
    ----------
    scores : array_like, shape (..., K, ...)
        The model's output, in [0, 1]. It is divided by its sum along the axis. Integers and lists become float32. Where
        all scores are 0 the posteriors are NaN.
    gamma, class_weight, logit_adjustment, axis
        As in `categorical_posterior_from_logits`.

    Returns
    -------
    posterior : array, the shape of `scores`
        Like that of `categorical_posterior_from_logits`. A score of 0 stays 0, with a derivative of 0.

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
    return functions.softmax("scores", scores, gamma, class_weight, logit_adjustment, axis)


def prior_logit(prior: ArrayLike, gamma: ParameterLike, *, pos_weight: ParameterLike | None = None) -> Any:
    """The constant logit of least expected focal loss: the start score of a booster, the bias of a last layer.

    Parameters
    ----------
    prior : float or array_like
        The base rate: the fraction of positives, in (0, 1).
    gamma, pos_weight
        As in `posterior_from_logits`.

    Returns
    -------
    logit : float64 or array of float64, the shape to which the arguments broadcast
        The logit whose posterior is `prior`. For gamma = 0 and no weight it is the logit of the prior itself.

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
    return functions.prior_logit(prior, gamma, pos_weight)


def categorical_prior_logits(
    prior: ArrayLike, gamma: ParameterLike, *, class_weight: ParameterLike | None = None
) -> NDArray[np.float64]:
    """The constant logits of least expected softmax focal loss: start scores of a booster, biases of a last layer.

    Parameters
    ----------
    prior : array_like, shape (K,)
        The fraction of each class, or the number of its examples, above 0: only ratios matter.
    gamma, class_weight
        As in `categorical_posterior_from_logits`.

    Returns
    -------
    logits : array of float64, shape (K,)
        The logits of mean 0 whose posterior is `prior`. For gamma = 0 and no weights they are the logarithms of the
        prior, shifted to mean 0.

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
    return functions.categorical_prior_logits(prior, gamma, class_weight)
