"""Focal loss for LightGBM: objectives and metrics for `lightgbm.train`, and a classifier with probabilities.

>>> from focal_loss.lightgbm import FocalLGBMClassifier
>>> model = FocalLGBMClassifier(gamma=2, n_estimators=50)
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from sklearn.preprocessing import LabelEncoder

from focal_loss import _boosting, _classifier
from focal_loss._boosting_docs import documented

__all__ = [
    "FocalLGBMClassifier",
    "binary_focal_metric",
    "binary_focal_objective",
    "categorical_focal_metric",
    "categorical_focal_objective",
]

Array = Any

# LightGBM's names of the metrics that are computed here, because it would compute them of raw scores.
OURS = {
    "focal_loss": _classifier.FOCAL_LOSS,
    **dict.fromkeys(("logloss", "binary_logloss", "multi_logloss"), _classifier.LOG_LOSS),
    **dict.fromkeys(("error", "binary_error", "multi_error"), _classifier.ERROR),
}
OF_SCORES = ("auc", "average_precision", "auc_mu")
# Parameters of LightGBM that belong to its own objectives, or cannot work with any other.
REFUSED = {
    "objective": "it is the focal loss",
    "is_unbalance": "give `class_weight='balanced'`",
    "scale_pos_weight": "give `pos_weight`",
    "linear_tree": "the start score is part of the leaves",
}
TAG = "\nfocal_loss:"  # of the line in a saved model


# ---------------------------------------------------------------------------------------------------------------
# Objectives and metrics
# ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _BinaryObjective:
    loss: _boosting.BinaryLoss

    def __call__(self, preds: Array, data: lightgbm.Dataset) -> tuple[Array, Array]:
        return self.loss.derivatives(preds, data.get_label(), data.get_weight())


@dataclass(frozen=True)
class _CategoricalObjective:
    loss: _boosting.CategoricalLoss

    def __call__(self, preds: Array, data: lightgbm.Dataset) -> tuple[Array, Array]:
        # LightGBM keeps the scores of a class together. Transposed they are contiguous, and so is what it gets back.
        classes = preds.shape[1]
        overlap = classes / (classes - 1)  # LightGBM's own factor for its softmax objective
        labels, weight = data.get_label(), data.get_weight()
        gradient, hessian = self.loss.derivatives(preds.T, labels, weight, overlap=overlap, axis=0)
        return gradient.T, hessian.T


@dataclass(frozen=True)
class _Metric:
    loss: _boosting.BinaryLoss | _boosting.CategoricalLoss

    def __call__(self, preds: Array, data: lightgbm.Dataset) -> tuple[str, float, bool]:
        return "focal_loss", self.loss.mean(preds, data.get_label(), data.get_weight()), False


def _objective(loss: _boosting.BinaryLoss | _boosting.CategoricalLoss) -> _BinaryObjective | _CategoricalObjective:
    return _BinaryObjective(loss) if isinstance(loss, _boosting.BinaryLoss) else _CategoricalObjective(loss)


@documented("binary_focal_objective")
def binary_focal_objective(gamma: float, *, pos_weight: float | None = None, hessian: str = "majorizer") -> Any:
    """Binary focal loss as an objective for ``lightgbm.train({"objective": ...})``.

    {contract}

    Examples
    --------
    >>> from focal_loss.calibration import prior_logit
    >>> from focal_loss.lightgbm import binary_focal_objective
    >>> import lightgbm, numpy as np
    >>> start = prior_logit(0.3, gamma=2)
    >>> data = lightgbm.Dataset(np.arange(100.0)[:, None], np.arange(100) >= 70, init_score=np.full(100, start))
    >>> parameters = {"objective": binary_focal_objective(gamma=2), "verbosity": -1}
    >>> scores = start + lightgbm.train(parameters, data, 20).predict([[5.0], [95.0]])
    >>> bool(scores[0] < 0 < scores[1])
    True
    """
    return _BinaryObjective(_boosting.binary_loss(gamma, pos_weight, hessian))


@documented("categorical_focal_objective")
def categorical_focal_objective(gamma: Any, *, class_weight: Any = None, hessian: str = "majorizer") -> Any:
    """Softmax focal loss as an objective for ``lightgbm.train({"objective": ..., "num_class": K})``.

    {contract}

    Examples
    --------
    >>> from focal_loss.lightgbm import categorical_focal_objective
    >>> import lightgbm, numpy as np
    >>> data = lightgbm.Dataset(np.arange(99.0)[:, None], np.arange(99) // 33)
    >>> parameters = {"objective": categorical_focal_objective(gamma=2), "num_class": 3, "verbosity": -1}
    >>> lightgbm.train(parameters, data, 20).predict([[5.0], [50.0], [95.0]]).argmax(axis=1)
    array([0, 1, 2])
    """
    return _CategoricalObjective(_boosting.categorical_loss(gamma, class_weight, hessian))


@documented("binary_focal_metric")
def binary_focal_metric(gamma: float, *, pos_weight: float | None = None) -> Any:
    """Binary focal loss of raw scores as a metric for ``lightgbm.train(..., feval=...)``.

    {contract}

    Examples
    --------
    >>> from focal_loss.lightgbm import binary_focal_metric
    >>> import lightgbm, numpy as np
    >>> data = lightgbm.Dataset(np.zeros((2, 1)), [0, 1]).construct()
    >>> name, value, higher_is_better = binary_focal_metric(gamma=2)(np.array([0.0, 0.0]), data)
    >>> name, round(value, 6), higher_is_better
    ('focal_loss', 0.173287, False)
    """
    return _Metric(_boosting.binary_loss(gamma, pos_weight))


@documented("categorical_focal_metric")
def categorical_focal_metric(gamma: Any, *, class_weight: Any = None) -> Any:
    """Softmax focal loss of raw scores as a metric for ``lightgbm.train(..., feval=...)``.

    {contract}

    Examples
    --------
    >>> from focal_loss.lightgbm import categorical_focal_metric
    >>> import lightgbm, numpy as np
    >>> data = lightgbm.Dataset(np.zeros((1, 1)), [0]).construct()
    >>> name, value, higher_is_better = categorical_focal_metric(gamma=2)(np.array([[1.0, 0.0, -1.0]]), data)
    >>> name, round(value, 6), higher_is_better
    ('focal_loss', 0.045678, False)
    """
    return _Metric(_boosting.categorical_loss(gamma, class_weight))


# ---------------------------------------------------------------------------------------------------------------
# Classifier
# ---------------------------------------------------------------------------------------------------------------


@documented("classifier", parent="`lightgbm.LGBMClassifier`")
class FocalLGBMClassifier(lightgbm.LGBMClassifier):
    """`lightgbm.LGBMClassifier` trained with the focal loss, for two classes or more.

    {contract}

    Examples
    --------
    >>> from focal_loss.lightgbm import FocalLGBMClassifier
    >>> from sklearn.datasets import load_breast_cancer
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = FocalLGBMClassifier(gamma=2, n_estimators=20, verbosity=-1).fit(X[:400], y[:400])
    >>> model.predict_proba(X[400:403]).argmax(axis=1), y[400:403]
    (array([0, 1, 1]), array([0, 1, 1]))
    """

    class_weight: Any
    _Booster: Any

    def __init__(
        self,
        *,
        gamma: float = 2.0,
        pos_weight: float | None = None,
        class_weight: Any = None,
        hessian: str = "majorizer",
        calibrated: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(class_weight=class_weight, **kwargs)
        self.gamma = gamma
        self.pos_weight = pos_weight
        self.hessian = hessian
        self.calibrated = calibrated

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        init_score: Any = None,
        eval_set: Any = None,
        eval_names: Any = None,
        eval_sample_weight: Any = None,
        eval_init_score: Any = None,
        eval_metric: Any = None,
        feature_name: Any = "auto",
        categorical_feature: Any = "auto",
        callbacks: Any = None,
        init_model: Any = None,
        *,
        eval_X: Any = None,
        eval_y: Any = None,
    ) -> FocalLGBMClassifier:
        """Train. The arguments are those of `lightgbm.LGBMClassifier.fit`.

        With an `init_score` or `init_model` of the caller's, training starts there and not at the solved start score;
        as everywhere in LightGBM, an `init_score` is no part of later predictions.
        """
        self._refuse()
        classes, codes = _classifier.encode(y)
        focus = _classifier.focus(self, classes, codes)
        start = focus.start(_classifier.prior(classes, codes, sample_weight))
        if init_score is not None or init_model is not None:
            start = np.zeros_like(start)
        pairs = _pairs(eval_set, eval_X, eval_y)
        if start.any():
            init_score = _tiled(start, len(codes))
            eval_init_score = [_tiled(start, len(labels)) for _, labels in pairs]
        native, ours = _classifier.metrics(self._wanted_metrics(eval_metric), OURS, OF_SCORES)
        weights, self._focus = self.class_weight, focus
        try:
            self.class_weight = None  # the objective has the weights; LightGBM would multiply the examples' by them
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "The argument 'eval_set' is deprecated")
                super().fit(
                    X,
                    y,
                    sample_weight=sample_weight,
                    init_score=init_score,
                    eval_set=pairs or None,
                    eval_names=eval_names,
                    eval_sample_weight=eval_sample_weight,
                    eval_init_score=eval_init_score,
                    eval_metric=[*native, *(_classifier.Metric(m, focus, self.calibrated) for m in ours)],
                    feature_name=feature_name,
                    categorical_feature=categorical_feature,
                    callbacks=[*(callbacks or []), _keep_objective],
                    init_model=init_model,
                )
        finally:
            self.class_weight = weights
        self.start_score_ = start
        _add_to_first_trees(self._Booster, start)
        return self

    def predict_proba(self, X: Any, raw_score: bool = False, **kwargs: Any) -> Array:
        """The probability of each class, of shape (n, K). The arguments are those of `lightgbm.LGBMClassifier`."""
        if raw_score or kwargs.get("pred_leaf") or kwargs.get("pred_contrib"):
            return super().predict_proba(X, raw_score=raw_score, **kwargs)
        scores = super().predict_proba(X, raw_score=True, **kwargs)
        return self._focus.probabilities(scores, self.calibrated)

    def predict(self, X: Any, raw_score: bool = False, **kwargs: Any) -> Array:
        """The most probable class of each example. The arguments are those of `lightgbm.LGBMClassifier`."""
        result = self.predict_proba(X, raw_score=raw_score, **kwargs)
        if raw_score or kwargs.get("pred_leaf") or kwargs.get("pred_contrib"):
            return result
        return self.classes_[result.argmax(axis=1)]

    def save_model(self, path: str | Path, num_iteration: int | None = None) -> FocalLGBMClassifier:
        """Write LightGBM's own text format, which `lightgbm.Booster` reads as well, and which `load_model` reads.

        Parameters
        ----------
        path : str or Path
            The file to write.
        num_iteration : int, optional
            How many rounds to keep. None: to the best one, or all.

        Raises
        ------
        TypeError
            If the classes are neither strings nor numbers.
        """
        text = self.booster_.model_to_string(num_iteration=num_iteration)
        end = text.rindex("\npandas_categorical:")
        tagged = f"{text[:end]}{TAG}{_classifier.remember(self, self._focus, self.classes_)}\n{text[end:]}"
        Path(path).write_text(tagged, encoding="utf-8")
        return self

    def load_model(self, path: str | Path) -> FocalLGBMClassifier:
        """Become the model that `save_model` wrote; the parameters of the loss become those that it was trained with.

        Raises
        ------
        ValueError
            If the file is not one of `save_model`, or one of a newer version.
        """
        text = Path(path).read_text(encoding="utf-8")
        tag = text.rfind(TAG)
        known = None if tag < 0 else text[tag + len(TAG) :].split("\n", 1)[0]
        self._focus, self._classes = _classifier.recall(self, known, path)
        self._Booster = lightgbm.Booster(model_str=text)
        self._le = LabelEncoder().fit(self._classes)
        self._n_classes, self._objective = len(self._classes), "focal_loss"
        self._n_features = self._n_features_in = self._Booster.num_feature()
        self._best_iteration = self._Booster.best_iteration
        names = self._Booster.feature_name()
        self._fitted_with_feature_names = names != [f"Column_{k}" for k in range(len(names))]
        self.fitted_ = True
        return self

    def _process_params(self, stage: str) -> dict[str, Any]:
        """LightGBM's parameters: without ours, and with the objective as `lightgbm.train` takes it."""
        parameters = super()._process_params(stage)
        for name in ("gamma", "pos_weight", "hessian", "calibrated"):
            parameters.pop(name)
        self._objective = "focal_loss"
        parameters["objective"] = _objective(self._focus.loss()) if stage == "fit" else "None"
        return parameters | {"metric": "None"}  # every metric goes to `fit`

    def _wanted_metrics(self, eval_metric: Any) -> list[Any]:
        """Those of `fit`, then those of the estimator: by default the loss itself."""
        given = self.get_params()
        own = next((given[name] for name in ("metric", "metrics", "metric_types") if given.get(name)), "focal_loss")
        wanted = [*_listed(eval_metric), *_listed(own)]
        return [metric for k, metric in enumerate(wanted) if metric not in ("None", "none", *wanted[:k])]

    def _refuse(self) -> None:
        given = self.get_params()
        for name, remedy in REFUSED.items():
            if given.get(name) not in (None, False):
                raise ValueError(f"`{name}` must be left alone, got {given[name]!r}: {remedy}")


def _keep_objective(env: Any) -> None:
    """LightGBM sets a custom objective again before the first round; without a usable column that is an error."""
    env.model._Booster__set_objective_to_none = True


_keep_objective.before_iteration = True  # type: ignore[attr-defined]


def _listed(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def _pairs(eval_set: Any, eval_X: Any, eval_y: Any) -> list[tuple[Any, Any]]:
    """The evaluation sets, however they were given."""
    if (eval_X is None) != (eval_y is None) or (eval_X is not None and eval_set is not None):
        raise ValueError("give `eval_X` and `eval_y`, both, or `eval_set`")
    if eval_X is not None:
        each = isinstance(eval_X, tuple)
        return list(zip(eval_X, eval_y, strict=True)) if each else [(eval_X, eval_y)]
    return [eval_set] if isinstance(eval_set, tuple) else list(eval_set or [])


def _tiled(start: Array, examples: int) -> Array:
    return np.tile(start, (examples, 1)) if start.ndim else np.full(examples, start)


def _add_to_first_trees(booster: lightgbm.Booster, start: Array) -> None:
    """Make the start score part of the model, as LightGBM does for its own objectives."""
    if not start.any():
        return
    for tree in booster.dump_model(num_iteration=1)["tree_info"]:
        k = tree["tree_index"]
        for leaf in range(tree["num_leaves"]):
            booster.set_leaf_output(k, leaf, booster.get_leaf_output(k, leaf) + np.ravel(start)[k])
