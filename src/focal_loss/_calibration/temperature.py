"""`FocalTemperature`, an estimator of scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted, column_or_1d

from focal_loss._core import checks, options, posterior
from focal_loss._core.options import ParameterLike
from focal_loss._core.sigmoid import Sigmoid
from focal_loss._core.warnings import warn
from focal_loss._host import evaluate

COARSE = np.linspace(np.log(0.01), np.log(100), 11)  # logarithms of temperatures


class FocalTemperature(ClassifierMixin, BaseEstimator):
    """Posteriors of a focal model, with one temperature fitted to held-out data: a classifier of logits.

    The closed form of `focal_loss.calibration.posterior_from_logits` is right for a model with the least expected loss
    on new data. The logits of an overconfident model must first be divided by a temperature above 1.

    Logits and labels say which model it is: one logit per example is a sigmoid; K logits with one class per example are
    a softmax; K logits with a table of 0 and 1 are a sigmoid for each of K labels, of which an example may have several
    or none. A table is never read as classes in one-hot form: pass ``y.argmax(axis=1)`` for these.

    Parameters
    ----------
    gamma : float or array_like, shape () or (K,)
        The focusing parameter that the model was trained with, at least 0; one per class or label if there are several
        logits. 0 is temperature scaling.
    pos_weight : float or array_like, shape () or (K,), optional
        The weight of the positives in training, above 0, for a sigmoid, or for each of K. 1 if None.
    class_weight : float or array_like, shape () or (K,), optional
        The weights of the classes in training, above 0, for a softmax model. 1 if None.

    Attributes
    ----------
    temperature_ : float
        The temperature, in [0.01, 100].
    classes_ : array, shape (K,) or (K, 2)
        The classes, in the order of the columns of `predict_proba`; for a table of labels, 0 and 1 for each of them.
    multilabel_ : bool
        Whether the labels were a table of 0 and 1.
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
    UserWarning
        If every row of a table of labels has exactly one 1, as classes in one-hot form would have.

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
    A model whose logits are three times too large:

    >>> import numpy as np
    >>> from focal_loss.calibration import FocalTemperature, posterior_from_logits
    >>> rng = np.random.default_rng(0)
    >>> exact = rng.normal(size=10000)
    >>> y = rng.random(10000) < posterior_from_logits(exact, gamma=2)
    >>> model = FocalTemperature(gamma=2).fit(3 * exact, y)
    >>> print(round(model.temperature_, 1))
    3.0

    Two labels per example, with one temperature:

    >>> logits = exact.reshape(-1, 2)
    >>> model = FocalTemperature(gamma=2).fit(3 * logits, y.reshape(-1, 2))
    >>> model.predict_proba([[0.0, 3.0]]).round(1), model.predict([[-1.0, 3.0]])
    (array([[0.5, 0.9]]), array([[0, 1]]))
    """

    def __init__(
        self,
        gamma: ParameterLike = 2.0,
        *,
        pos_weight: ParameterLike | None = None,
        class_weight: ParameterLike | None = None,
    ) -> None:
        self.gamma = gamma
        self.pos_weight = pos_weight
        self.class_weight = class_weight

    def fit(self, logits: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> FocalTemperature:
        """Find the temperature.

        Parameters
        ----------
        logits : array_like, shape (n,), (n, 1) or (n, K)
            The inputs of the model's sigmoid or softmax, for examples that it was not trained on. Tensors of PyTorch,
            JAX and TensorFlow may have any dtype and are copied to the host.
        y : array_like, shape (n,) or (n, K)
            The classes: two or K different ones, in the order of the logits, or class indices. For a model of K labels,
            a table of 0 and 1.
        sample_weight : array_like, shape (n,), optional
            The weights of the examples, at least 0.

        Returns
        -------
        self
        """
        z, labels = _columns(logits), _labels(y)
        check_consistent_length(z, labels)
        self.multilabel_ = labels.ndim == 2
        self._checked(z.shape[1])
        checks.refuse_foreign("sample_weight", sample_weight)
        weight = options.sample_weights(sample_weight, len(z))
        if self.multilabel_:
            _check_indicator(labels, z.shape)
            # Scorers read a list of arrays or an array of this shape as labels, `cross_val_predict` only an array.
            self.classes_: NDArray[Any] = np.tile([0, 1], (z.shape[1], 1))
        else:
            self.classes_ = _classes(labels, max(2, z.shape[1]))
            labels = np.searchsorted(self.classes_, labels)[:, None]
        self.n_features_in_ = z.shape[1]

        def log_loss(log_temperature: float) -> float:
            scores = z / np.exp(log_temperature)
            if self.multilabel_ or z.shape[1] == 1:
                found = self._of_odds(scores)
                each = np.mean(np.where(labels == 1, found.neg_log_p, found.neg_log_q), axis=1)
            else:
                each = np.take_along_axis(self._sigmoid(scores).neg_log_p, labels, 1)[:, 0]
            with np.errstate(over="ignore"):  # at a temperature far too low to be the best
                return float(np.average(each, weights=weight))

        self.temperature_, determined = _minimum(log_loss)
        if not determined or len(np.unique(labels)) == 1:
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
            Logits, as many per example as in `fit`.

        Returns
        -------
        posterior : array of float64, shape (n, K)
            The probability of each class of `classes_`, with sum 1; or of each of K labels, in one array, as those of
            `sklearn.neural_network.MLPClassifier`.
        """
        return self._posterior(logits).p

    def decision_function(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Log odds of the posteriors, or their logarithms.

        Parameters
        ----------
        logits : array_like, shape (n,), (n, 1) or (n, K)
            Logits, as many per example as in `fit`.

        Returns
        -------
        decision : array of float64, shape (n,) or (n, K)
            The log odds of the second of two classes or of each label, above 0 where `predict` names it, or the
            logarithm of the probability of each of more classes.
        """
        found = self._posterior(logits)
        if self.multilabel_:
            return found.neg_log_q - found.neg_log_p
        negative = found.neg_log_p
        return negative[:, 0] - negative[:, 1] if negative.shape[1] == 2 else -negative

    def predict(self, logits: ArrayLike) -> NDArray[Any]:
        """The most probable class, or the labels that are more probable than not.

        Parameters
        ----------
        logits : array_like, shape (n,), (n, 1) or (n, K)
            Logits, as many per example as in `fit`.

        Returns
        -------
        labels : array, shape (n,) or (n, K)
            The most probable of `classes_`, or a table of 0 and 1. With weights per class the most probable class need
            not have the largest logit.
        """
        decision = self.decision_function(logits)
        if self.multilabel_:
            return (decision > 0).astype(int)
        found: NDArray[Any] = decision.argmax(axis=1) if decision.ndim == 2 else (decision > 0).astype(int)
        return self.classes_[found]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True  # logits of the second of two classes
        tags.classifier_tags.multi_label = True
        return tags

    def _posterior(self, logits: Any) -> Sigmoid:
        check_is_fitted(self)
        z = _columns(logits)
        if z.shape[1] != self.n_features_in_:
            raise ValueError(f"`logits` must have {self.n_features_in_} columns, as in `fit`, got {z.shape[1]}")
        return self._sigmoid(z / self.temperature_)

    def _checked(self, columns: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Gamma and the weights, checked."""
        is_softmax = columns > 1 and not self.multilabel_
        name, other = ("class_weight", "pos_weight") if is_softmax else ("pos_weight", "class_weight")
        if getattr(self, other) is not None:
            why = "a 0 or 1 for each label" if self.multilabel_ else f"{columns} logits per example"
            rest = "; for a softmax, with class indices" if self.multilabel_ else ""
            raise ValueError(f"`{other}` has no part with {why}; pass `{name}`{rest}")
        given = self.gamma, getattr(self, name)
        gamma, weight = (checks.read(option, value) for option, value in zip(("gamma", name), given, strict=True))
        checked = options.parameter("gamma", gamma), options.positive(name, weight)
        gamma, weight = (np.asarray(value, np.float64) for value in checked)
        for option, value in (("gamma", gamma), (name, weight)):
            options.check_per_class(option, value.shape, columns)
        return gamma, weight

    def _sigmoid(self, z: NDArray[np.float64]) -> Sigmoid:
        """Posteriors of each class or label and their logarithms, from the margins of their logits."""
        if self.multilabel_:
            return self._of_odds(z)
        if z.shape[1] == 1:
            second = self._of_odds(z)
            return Sigmoid(*map(np.hstack, zip(second.flipped(), second, strict=True)))
        gamma, weight = self._checked(z.shape[1])
        with np.errstate(all="ignore"):
            evidence = evaluate.elementwise("class_evidence", "", evaluate.margin(z, None, 1), gamma, weight)
            return posterior.sigmoid_of(evaluate.OPS, evaluate.margin(evidence, None, 1))

    def _of_odds(self, z: NDArray[np.float64]) -> Sigmoid:
        """The same, of the second of two classes, or of each label."""
        gamma, weight = self._checked(z.shape[1])
        with np.errstate(all="ignore"):
            odds = posterior.log_odds(evaluate.OPS, z, gamma).value - np.log(weight)
            return posterior.sigmoid_of(evaluate.OPS, odds)


def _columns(logits: Any) -> NDArray[np.float64]:
    array = checks.read("logits", logits)
    array = check_array(array, ensure_2d=False, allow_nd=True, dtype=np.float64, input_name="logits")
    if array.ndim not in (1, 2):
        raise ValueError(f"`logits` must have the shape (n,), (n, 1) or (n, K), got {array.shape}")
    return array[:, None] if array.ndim == 1 else array


def _labels(y: Any) -> NDArray[Any]:
    """Classes of shape (n,), or a table of labels of shape (n, K)."""
    labels = np.asarray(checks.read("y", y))
    labels = labels if labels.ndim == 2 and labels.shape[1] > 1 else column_or_1d(labels)
    assert_all_finite(labels, input_name="y")
    if labels.ndim == 1:
        check_classification_targets(labels)
    return labels


def _check_indicator(labels: NDArray[Any], shape: tuple[int, ...]) -> None:
    if labels.shape != shape:
        raise ValueError(
            f"`y` must have the shape of `logits`, {shape}, or one class per example, got {labels.shape}; "
            "pass `y.argmax(axis=1)` if it holds classes in one-hot form"
        )
    other = labels[~np.isin(labels, (0, 1))]
    if other.size:
        raise ValueError(f"`y` must hold 0 and 1 if it has a column for each label, got {other[0]!s}")
    if (labels.sum(axis=1) == 1).all():
        warn(
            "each row of `y` has exactly one 1, and is read as labels independent of each other; pass "
            "`y.argmax(axis=1)` if the logits are those of a softmax"
        )


def _minimum(log_loss: Callable[[float], float]) -> tuple[float, bool]:
    """The temperature of the least log loss, and whether it lies inside the range of temperatures."""
    losses = [log_loss(t) for t in COARSE]
    best = int(np.argmin(losses))
    bounds = COARSE[max(best - 1, 0)], COARSE[min(best + 1, len(COARSE) - 1)]
    found = minimize_scalar(log_loss, bounds=bounds, method="bounded", options={"xatol": 1e-8})
    inside = COARSE[0] + 1e-3 < found.x < COARSE[-1] - 1e-3
    return float(np.exp(found.x)), bool(inside and np.ptp(losses) > 0)


def _classes(labels: Any, count: int) -> Any:
    """Held-out data may lack a class; then labels must be indices."""
    found = np.unique(labels)
    if len(found) == count:
        return found
    if found.dtype.kind in "biu" and found.min() >= 0 and found.max() < count:
        return np.arange(count)
    raise ValueError(f"`y` must hold {count} different labels or class indices in [0, {count}), got {found}")
