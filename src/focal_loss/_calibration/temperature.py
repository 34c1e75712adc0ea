"""`FocalTemperature`, an estimator of scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted, column_or_1d

from focal_loss._core import arrays, options, posterior
from focal_loss._core.options import ParameterLike
from focal_loss._core.sigmoid import Sigmoid
from focal_loss._core.warnings import warn
from focal_loss._host import evaluate

COARSE = np.linspace(np.log(0.01), np.log(100), 11)  # logarithms of temperatures


class FocalTemperature(ClassifierMixin, BaseEstimator):
    """Posteriors of a focal model, with one temperature fitted to held-out data: a classifier of logits.

    The closed form of `focal_loss.calibration.posterior_from_logits` is right for a model with the least expected loss
    on new data. The logits of an overconfident model must first be divided by a temperature above 1.

    Parameters
    ----------
    gamma : float or array_like, shape () or (K,)
        The focusing parameter that the model was trained with, at least 0; one per class only for a softmax. 0 is
        temperature scaling.
    pos_weight : float, optional
        The weight of the positives in training, above 0, for a binary model. 1 if None.
    class_weight : float or array_like, shape () or (K,), optional
        The weights of the classes in training, above 0, for a softmax model. 1 if None.

    Attributes
    ----------
    temperature_ : float
        In [0.01, 100].
    classes_ : array, shape (K,)
        The labels, in the order of the columns of `predict_proba`.
    n_features_in_ : int
        The number of logits of an example: 1 or K.

    Raises
    ------
    TypeError, ValueError
        By `fit`, if a parameter has the wrong type or is out of range, or if logits and labels do not match.

    Warns
    -----
    ConvergenceWarning
        If the labels do not determine a temperature: where the logits separate the classes, have nothing to do with
        them, or all labels are of one class. A few dozen examples are too few as well, but give no warning.

    Notes
    -----
    The posterior is the focal calibration map of ``logits / temperature_``: the temperature comes first, as in the
    focal temperature scaling of [1]_. The temperature corrects the size of the logits, because the map assumes the
    right size. It minimizes the mean log loss.

    References
    ----------
    .. [1] V. Komisarenko and M. Kull, "Improving calibration by relating focal loss, temperature scaling, and
       properness", ECAI 2024, arXiv:2408.11598.

    Examples
    --------
    >>> import numpy as np
    >>> from focal_loss.calibration import FocalTemperature, posterior_from_logits
    >>> rng = np.random.default_rng(0)
    >>> exact = rng.normal(size=10000)
    >>> y = rng.random(10000) < posterior_from_logits(exact, gamma=2)
    >>> model = FocalTemperature(gamma=2).fit(3 * exact, y)
    >>> print(round(model.temperature_, 1))
    3.0
    """

    def __init__(
        self, gamma: ParameterLike = 2.0, *, pos_weight: float | None = None, class_weight: ParameterLike | None = None
    ) -> None:
        self.gamma = gamma
        self.pos_weight = pos_weight
        self.class_weight = class_weight

    def fit(self, logits: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> FocalTemperature:
        """Find the temperature.

        Parameters
        ----------
        logits : array_like, shape (n,), (n, 1) or (n, K)
            The inputs of the model's sigmoid or softmax, for examples that it was not trained on.
        y : array_like, shape (n,)
            The labels: two or K different ones, in the order of the logits, or class indices.
        sample_weight : array_like, shape (n,), optional
            The weights of the examples, at least 0.

        Returns
        -------
        self
        """
        z = _columns(logits)
        arrays.refuse_missing("y", y)
        labels = column_or_1d(arrays.on_host(y))
        assert_all_finite(labels, input_name="y")
        check_classification_targets(labels)
        check_consistent_length(z, labels)
        self._checked(z.shape[1])
        self.n_features_in_ = z.shape[1]
        self.classes_ = _classes(labels, max(2, z.shape[1]))
        index = np.searchsorted(self.classes_, labels)[:, None]
        weight = options.sample_weights(sample_weight, len(z))

        def log_loss(log_temperature: float) -> float:
            sigmoid = self._sigmoid(z / np.exp(log_temperature))
            with np.errstate(over="ignore"):  # at a temperature far too low to be the best
                return float(np.average(np.take_along_axis(sigmoid.neg_log_p, index, 1)[:, 0], weights=weight))

        losses = [log_loss(t) for t in COARSE]
        best = int(np.argmin(losses))
        bounds = COARSE[max(best - 1, 0)], COARSE[min(best + 1, len(COARSE) - 1)]
        found = minimize_scalar(log_loss, bounds=bounds, method="bounded", options={"xatol": 1e-8})
        self.temperature_ = float(np.exp(found.x))
        at_an_end = not COARSE[0] + 1e-3 < found.x < COARSE[-1] - 1e-3
        if at_an_end or np.ptp(losses) == 0 or len(np.unique(labels)) == 1:
            warn(
                f"these labels do not determine the temperature, which is {self.temperature_:.4g}: there may be one "
                "class only, or the logits separate the classes, or have nothing to do with them",
                ConvergenceWarning,
            )
        return self

    def predict_proba(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Posteriors.

        Parameters
        ----------
        logits : array_like, shape (n,), (n, 1) or (n, K)
            As many per example as in `fit`.

        Returns
        -------
        posterior : array of float64, shape (n, K)
            The probability of each class of `classes_`, with sum 1.
        """
        return self._posterior(logits).p

    def decision_function(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Log odds of the posteriors, or their logarithms.

        Parameters
        ----------
        logits : array_like, shape (n,), (n, 1) or (n, K)
            As many per example as in `fit`.

        Returns
        -------
        decision : array of float64, shape (n,) or (n, K)
            The log odds of the second of two classes, above 0 where `predict` names it, or the logarithm of the
            probability of each of more classes.
        """
        negative = self._posterior(logits).neg_log_p
        return negative[:, 0] - negative[:, 1] if negative.shape[1] == 2 else -negative

    def predict(self, logits: ArrayLike) -> NDArray[Any]:
        """The most probable class.

        Parameters
        ----------
        logits : array_like, shape (n,), (n, 1) or (n, K)
            As many per example as in `fit`.

        Returns
        -------
        labels : array, shape (n,)
            The most probable of `classes_`. With weights per class it need not have the largest logit.
        """
        decision = self.decision_function(logits)
        return self.classes_[decision.argmax(axis=1) if decision.ndim == 2 else (decision > 0).astype(int)]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True  # logits of the second of two classes
        return tags

    def _posterior(self, logits: Any) -> Sigmoid:
        check_is_fitted(self)
        z = _columns(logits)
        if z.shape[1] != self.n_features_in_:
            raise ValueError(f"`logits` must have {self.n_features_in_} columns, as in `fit`, got {z.shape[1]}")
        return self._sigmoid(z / self.temperature_)

    def _checked(self, columns: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Gamma and the weights, checked."""
        name, other = ("pos_weight", "class_weight") if columns == 1 else ("class_weight", "pos_weight")
        if getattr(self, other) is not None:
            raise ValueError(f"`{other}` has no part with {columns} logits per example; pass `{name}`")
        given = self.gamma, getattr(self, name)
        for option, value in zip(("gamma", name), given, strict=True):
            arrays.refuse_missing(option, value)
        gamma, weight = map(arrays.on_host, given)
        checked = options.parameter("gamma", gamma), options.positive(name, weight)
        gamma, weight = (np.asarray(value, np.float64) for value in checked)
        for option, value in (("gamma", gamma), (name, weight)):
            options.check_per_class(option, value.shape, columns)
        return gamma, weight

    def _sigmoid(self, z: NDArray[np.float64]) -> Sigmoid:
        """Posteriors and their logarithms, from the margins of their logits."""
        gamma, weight = self._checked(z.shape[1])
        with np.errstate(all="ignore"):
            if z.shape[1] == 1:
                odds = posterior.log_odds(evaluate.OPS, z, gamma).value - np.log(weight)
                return posterior.sigmoid_of(evaluate.OPS, np.hstack([-odds, odds]))
            evidence = evaluate.elementwise("class_evidence", "", evaluate.margin(z, None, 1), gamma, weight)
            return posterior.sigmoid_of(evaluate.OPS, evaluate.margin(evidence, None, 1))


def _columns(logits: Any) -> NDArray[np.float64]:
    arrays.refuse_missing("logits", logits)
    array = check_array(arrays.on_host(logits), ensure_2d=False, allow_nd=True, dtype=np.float64, input_name="logits")
    if array.ndim not in (1, 2):
        raise ValueError(f"`logits` must have the shape (n,), (n, 1) or (n, K), got {array.shape}")
    return array[:, None] if array.ndim == 1 else array


def _classes(labels: Any, count: int) -> Any:
    """Held-out data may lack a class; then labels must be indices."""
    found = np.unique(labels)
    if len(found) == count:
        return found
    if found.dtype.kind in "biu" and found.min() >= 0 and found.max() < count:
        return np.arange(count)
    raise ValueError(f"`y` must hold {count} different labels or class indices in [0, {count}), got {found}")
