"""The focal loss as scikit-learn's histogram trees call a loss."""

from __future__ import annotations

from typing import Any

import numpy as np

from focal_loss._boosting import classifier, objective
from focal_loss._host import derivatives
from focal_loss.sklearn._private import BaseLoss, LogitLink, MultinomialLogit

Array = Any


class FocalLoss(BaseLoss):
    """The loss of a fit.

    Values are the focal loss of `focus`. Derivatives are those of `grown`, which is the same loss times a number
    (`Focus.training_loss`). Scores and labels are float64, derivatives float32; an array of shape (n, K) is in
    Fortran order, so that the scores of a class lie together.
    """

    def __init__(self, focus: classifier.Focus, grown: objective.BinaryLoss | objective.CategoricalLoss) -> None:
        many = focus.classes > 2
        super().__init__(closs=None, link=MultinomialLogit() if many else LogitLink(), n_classes=focus.classes)
        self.is_multiclass = many  # the shape of the derivatives depends on it
        self.focus, self.grown = focus, grown

    def loss(
        self,
        y_true: Array,
        raw_prediction: Array,
        sample_weight: Array | None = None,
        loss_out: Array | None = None,
        n_threads: int = 1,
    ) -> Array:
        """The loss of each example, times its weight."""
        loss = self.focus.loss()
        if isinstance(loss, objective.CategoricalLoss):
            weight = np.asarray(loss.weight)
            found = derivatives.softmax_values(raw_prediction.T, y_true, loss.gamma, weight, 0, n_threads)
        else:
            scores = raw_prediction.reshape(-1)
            found = derivatives.binary_values(scores, y_true, loss.gamma, loss.positive, loss.negative, n_threads)
        if sample_weight is not None:
            found = found * sample_weight
        if loss_out is None:
            return found
        loss_out[...] = found
        return loss_out

    def gradient_hessian(
        self,
        y_true: Array,
        raw_prediction: Array,
        sample_weight: Array | None = None,
        gradient_out: Array | None = None,
        hessian_out: Array | None = None,
        n_threads: int = 1,
    ) -> tuple[Array, Array]:
        """Gradient and Hessian, times the weight of each example."""
        if gradient_out is None or hessian_out is None:
            gradient_out, hessian_out = self.init_gradient_and_hessian(len(y_true), np.float32)
        loss, upstream = self.grown, 1.0 if sample_weight is None else sample_weight
        options: dict[str, Any] = {"upstream": upstream, "hessian": loss.hessian, "threads": n_threads}
        if isinstance(loss, objective.CategoricalLoss):
            weight, into = np.asarray(loss.weight), (gradient_out.T, hessian_out.T)
            derivatives.softmax(raw_prediction.T, y_true, loss.gamma, weight, 0, into=into, **options)
        else:
            scores, into = raw_prediction.reshape(-1), (gradient_out.reshape(-1), hessian_out.reshape(-1))
            given = (scores, y_true, loss.gamma, loss.positive, loss.negative)
            derivatives.binary(*given, into=into, **options)
        return gradient_out, hessian_out

    def fit_intercept_only(self, y_true: Array, sample_weight: Array | None = None) -> Array:
        """The best constant scores, of shape () or (K,)."""
        shares = [np.average(y_true == k, weights=sample_weight) for k in range(self.focus.classes)]
        least = np.finfo(np.float64).eps  # a class may have no weight in the part that is trained on
        return np.asarray(self.focus.start(np.clip(shares, least, 1 - least)))

    def predict_proba(self, raw_prediction: Array) -> Array:
        """Class posteriors. A loss that has this method makes `fit` hold out a part of each class."""
        return self.focus.probabilities(scores(raw_prediction), calibrated=True)


def scores(raw: Array) -> Array:
    """The scores of the trees as (n,) for two classes; scikit-learn has (n, 1)."""
    return raw[:, 0] if raw.ndim == 2 and raw.shape[1] == 1 else raw
