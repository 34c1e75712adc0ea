"""The classifier."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import xgboost
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import check_consistent_length, column_or_1d

from focal_loss._boosting import classifier, saved, temperature
from focal_loss._dispatch import frameworks
from focal_loss._host.derivatives import Hessian
from focal_loss.xgboost._categories import refuse_words
from focal_loss.xgboost._metrics import watched
from focal_loss.xgboost._objectives import objective_of
from focal_loss.xgboost._parameters import DEFAULTS, NAMES, REFUSED, UNKNOWN

Array = Any

# Callbacks that watch evaluation sets or write files, and leave the trees as they are but for their number.
WATCHING = (xgboost.callback.EarlyStopping, xgboost.callback.EvaluationMonitor, xgboost.callback.TrainingCheckPoint)


class FocalXGBClassifier(xgboost.XGBClassifier, temperature.Tempered):
    """`xgboost.XGBClassifier` trained with the focal loss, for two classes or more.

    Parameters
    ----------
    gamma : float
        The focusing parameter, at least 0. The higher it is, the less an easy example counts; 0 is cross-entropy.
    pos_weight : float, optional
        The weight of the positives, the second of the two sorted classes. 1 if None.
    class_weight : dict or 'balanced', optional
        The weight of each class, as everywhere in scikit-learn. `pos_weight` multiplies it.
    hessian : {'majorizer', 'exact', 'relative_floor'}
        The denominator of Newton steps. The focal loss is not convex: its Hessian is negative for the worst mistakes
        (below a margin of about -2.8 at gamma = 2), where such a step would go the wrong way. 'majorizer' leaves its
        only negative term out and is positive everywhere; 'exact' is the Hessian itself; 'relative_floor' is the
        Hessian where that is at least a quarter of the gradient's size, else that quarter. docs/boosting.md has the
        evidence.
    calibrated : bool or 'cv'
        Whether `predict_proba` gives class posteriors. A focal loss is lowest at scores that are closer to 1/2 than the
        class frequencies are, and class weights move them too; both are undone in closed form [2]_. If False,
        `predict_proba` gives the sigmoid or softmax of the scores. 'cv' also divides the scores by one temperature. It
        is the one of least log loss for scores out of fold: `fit` trains five more models, of as many rounds, each on
        four of five stratified folds of the rows. Trees that have learned their rows by heart need it; rows must not
        depend on each other. Metrics during training see posteriors without it. After training, `set_params` may switch
        between the three, to 'cv' only if the fit was one.
    min_split_loss : float, optional
        The least gain of a split: XGBoost's own parameter, which it also calls `gamma`.
    **kwargs
        Every parameter of `xgboost.XGBClassifier`. `fit` refuses one that has no effect on this loss, and says what to
        give instead.

    Attributes
    ----------
    classes_ : array, shape (K,)
        The labels, sorted. They may be strings, numbers or booleans.
    start_score_ : float or array, shape () or (K,)
        The best constant score, at which training starts. It is part of the model and of every prediction.
    temperature_ : float
        The temperature of a fit with ``calibrated="cv"``: 1, with a warning, if the scores determine none.

    Raises
    ------
    TypeError, ValueError
        By `fit`, before training starts: for a parameter of the wrong type or out of range, labels that are missing or
        of one class only, or weights that are all 0 for a class.

    Notes
    -----
    `fit`, `predict` and all other methods take what those of `xgboost.XGBClassifier` take: weights, evaluation sets,
    early stopping, categorical columns, missing values, pandas and Arrow tables. Metrics of probabilities, by name or
    as functions, see the probabilities that `predict_proba` would give.

    References
    ----------
    .. [1] T. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, "Focal loss for dense object detection", ICCV 2017,
       arXiv:1708.02002, equation 4 and appendix B.
    .. [2] N. Charoenphakdee, J. Vongkulbhisal, N. Chairatanakul and M. Sugiyama, "On focal loss for
       class-posterior probability estimation: a theoretical perspective", CVPR 2021, arXiv:2011.09172.

    Examples
    --------
    >>> from focal_loss.xgboost import FocalXGBClassifier
    >>> from sklearn.datasets import load_breast_cancer
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = FocalXGBClassifier(gamma=2, n_estimators=20).fit(X[:400], y[:400])
    >>> model.predict_proba(X[400:403]).round(1)
    array([[1., 0.],
           [0., 1.],
           [0., 1.]])
    """

    _Booster: Any
    _library: ClassVar[type] = xgboost.XGBClassifier  # the class that trains
    n_classes_: int

    def __init__(
        self,
        *,
        gamma: float = 2.0,
        pos_weight: float | None = None,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        hessian: Hessian = "majorizer",
        calibrated: classifier.Calibrated = True,
        min_split_loss: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"objective": None, **kwargs})
        self.gamma = gamma
        self.pos_weight = pos_weight
        self.class_weight = class_weight
        self.hessian = hessian
        self.calibrated = calibrated
        self.min_split_loss = min_split_loss

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        base_margin: Any = None,
        eval_set: Any = None,
        verbose: bool | int = True,
        xgb_model: Any = None,
        sample_weight_eval_set: Any = None,
        base_margin_eval_set: Any = None,
        feature_weights: Any = None,
    ) -> FocalXGBClassifier:
        """Train. The arguments are those of `xgboost.XGBClassifier.fit`.

        With a `base_score`, `base_margin` or `xgb_model`, training starts there instead of at the solved start score.
        As everywhere in XGBoost, a `base_margin` is not part of later predictions.
        """
        self._refuse()
        temperature.refuse_start(self.calibrated, base_margin=base_margin, xgb_model=xgb_model)
        margins = {"base_margin": base_margin, "base_margin_eval_set": base_margin_eval_set}
        classifier.refuse_missing(X, eval_set, sample_weight_eval_set=sample_weight_eval_set, **margins)
        classes, codes = classifier.encode(y)
        check_consistent_length(X, codes)
        sets = _encoded(eval_set, classes, y, codes)
        refuse_words(X, *(table for table, _ in sets or ()))
        plain, focus = self._untrained(classes, codes, sample_weight, base_margin, xgb_model)
        plain.fit(
            X,
            codes,
            sample_weight=sample_weight,
            base_margin=base_margin,
            eval_set=sets,
            verbose=verbose,
            xgb_model=xgb_model,
            sample_weight_eval_set=sample_weight_eval_set,
            base_margin_eval_set=base_margin_eval_set,
            feature_weights=feature_weights,
        )
        self._become(plain, focus, classes)
        if temperature.is_cv(self.calibrated):
            of_fold = self._of_fold(X, codes, sample_weight, feature_weights, getattr(plain, "best_iteration", None))
            self._focus = temperature.of_folds(focus, classes, codes, sample_weight, of_fold)
        return self

    def predict_proba(
        self, X: Any, validate_features: bool = True, base_margin: Any = None, iteration_range: Any = None
    ) -> Array:
        """The probability of each class, of shape (n, K). The arguments are those of `xgboost.XGBClassifier`."""
        scores = self._scores(X, validate_features, base_margin, iteration_range)
        return self._focus.probabilities(scores, self.calibrated)

    def decision_function(
        self, X: Any, validate_features: bool = True, base_margin: Any = None, iteration_range: Any = None
    ) -> Array:
        """The log-odds of the second of two classes, of shape (n,), positive where `predict` gives that; with more
        classes the logarithms of their probabilities, of shape (n, K).

        `predict` with `output_margin=True` gives the scores of the trees.
        """
        scores = self._scores(X, validate_features, base_margin, iteration_range)
        return self._focus.log_odds(scores, self.calibrated)

    def predict(
        self,
        X: Any,
        *,
        output_margin: bool = False,
        validate_features: bool = True,
        base_margin: Any = None,
        iteration_range: Any = None,
    ) -> Array:
        """The most probable class of each example. The arguments are those of `xgboost.XGBClassifier`."""
        given = (validate_features, base_margin, iteration_range)
        if output_margin:
            return self._scores(X, *given)
        found = self.predict_proba(X, *given).argmax(axis=1)
        return self.classes_[found]

    def _scores(self, X: Any, validate_features: bool, base_margin: Any, iteration_range: Any) -> Array:
        classifier.refuse_missing(X, base_margin=base_margin)
        refuse_words(X)
        return super().predict(
            X,
            output_margin=True,
            validate_features=validate_features,
            base_margin=base_margin,
            iteration_range=iteration_range,
        )

    @property
    def classes_(self) -> Array:
        return self._classes

    @property
    def start_score_(self) -> Array:
        model = json.loads(self.get_booster().save_config())["learner"]["learner_model_param"]
        score = np.ravel(json.loads(model["base_score"]))
        return score if self.n_classes_ > 2 else np.log(score[0]) - np.log1p(-score[0])

    def save_model(self, fname: Any) -> FocalXGBClassifier:
        """Write XGBoost's own format, JSON or UBJSON, which `xgboost.Booster` reads as well, and which `load_model`
        reads.

        Raises
        ------
        TypeError
            If the classes are neither strings nor numbers.
        """
        booster = self.get_booster()  # raises if not fitted
        booster.set_attr(focal_loss=saved.remember(self, self._focus, self.classes_))
        super().save_model(fname)
        path = Path(fname)
        path.write_bytes(saved.seal(path.read_bytes()))
        return self

    def load_model(self, fname: Any) -> FocalXGBClassifier:
        """Become the model that `save_model` wrote; the parameters of the loss become those that it was trained with.

        Raises
        ------
        ValueError
            If the file is not one of `save_model`, or one of a newer version.
        """
        plain = self._plain()
        held = isinstance(fname, bytes | bytearray)
        source = "the model" if held else fname
        content = saved.unbroken(bytes(fname) if held else Path(fname).read_bytes(), source)
        plain.load_model(bytearray(content))
        known = saved.recall(self, plain.get_booster().attr("focal_loss"), source)
        self.booster, self.feature_types = plain.booster, plain.feature_types
        self.enable_categorical = plain.enable_categorical
        return self._become(plain, *known)

    def to_onnx(self) -> Any:
        """The model in ONNX: trees, posterior map and codes of categories, which any runtime of ONNX computes.

        Returns
        -------
        model : onnx.ModelProto
            Its outputs are `label`, of shape (n,), and `probabilities`, float64 of shape (n, K), the results of
            `predict` and `predict_proba`. The input is `X`, float64 of shape (n, columns), NaN where a value is
            missing. If a column has categories of pandas, each column is an input of its name, of shape (n, 1): words
            are strings, and one that is no category of it counts as missing.

        Raises
        ------
        ModuleNotFoundError
            If onnx is not installed.
        TypeError
            If categories are neither words nor numbers.
        ValueError
            If the model holds what trees in ONNX cannot, linear models or leaves for all classes at once, or ONNX
            cannot tell categories apart: '' from a missing word, or numbers that float64 rounds to one.
        """
        return frameworks.load("focal_loss.xgboost._onnx").exported(self)

    def get_xgb_params(self) -> dict[str, Any]:
        """XGBoost's parameters for the booster, as after `set_params`, without ours."""
        return self._plain(objective=None, eval_metric=None).get_xgb_params()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = False
        return tags

    def _plain(self, **changes: Any) -> Any:
        """XGBoost's own classifier, with these parameters except ours, and with the changes."""
        parameters = {**self.get_params(deep=False), **changes}
        parameters["gamma"] = parameters.pop("min_split_loss")
        return self._library(**{name: value for name, value in parameters.items() if name not in UNKNOWN})

    def _untrained(
        self, classes: Array, codes: Array, sample_weight: Any, base_margin: Any, xgb_model: Any
    ) -> tuple[Any, classifier.Focus]:
        """XGBoost's own classifier with our objective, metrics and start score, and the loss."""
        if isinstance(xgb_model, FocalXGBClassifier) and xgb_model.classes_.tolist() != classes.tolist():
            raise ValueError(f"`xgb_model` knows the classes {xgb_model.classes_.tolist()}, got {classes.tolist()}")
        prior = classifier.prior(classes, codes, sample_weight)
        focus = classifier.focus(self, classes, codes, sample_weight)
        start = focus.start(prior)
        if base_margin is not None:
            start = np.zeros_like(start)
        plain = self._plain(
            objective=objective_of(focus.training_loss(prior)), **watched(self.get_params(), focus, self.calibrated)
        )
        if self.base_score is None and xgb_model is None:
            plain.base_score = _of_logits(start)
        return plain, focus

    def _of_fold(
        self, X: Any, codes: Array, sample_weight: Any, feature_weights: Any, best: int | None
    ) -> Callable[[Array, Array], Array]:
        """The scores of some rows by a model of others, with the callbacks that act on training and as many rounds."""
        callbacks = [callback for callback in self.callbacks or [] if not isinstance(callback, WATCHING)]
        changes: dict[str, Any] = {"callbacks": callbacks or None, "early_stopping_rounds": None, "eval_metric": None}
        changes |= {} if best is None else {"n_estimators": best + 1}
        model = temperature.untrained(self, self._focus, **changes)

        def scores(train: Array, test: Array) -> Array:
            weight = temperature.taken(sample_weight, train)
            given = {"sample_weight": weight, "feature_weights": feature_weights}
            model.fit(temperature.taken(X, train), codes[train], **given)
            return model.predict(temperature.taken(X, test), output_margin=True)

        return scores

    def _become(self, plain: Any, focus: classifier.Focus, classes: Array) -> FocalXGBClassifier:
        self._Booster, self.n_classes_ = plain.get_booster(), plain.n_classes_
        self._focus, self._classes = focus, classes
        self.evals_result_ = getattr(plain, "evals_result_", None)  # where XGBoost looks for it
        return self

    def _refuse(self) -> None:
        classifier.refuse(self.get_params(), REFUSED, DEFAULTS, NAMES)
        score = self.base_score
        if score is not None and not np.isfinite(np.asarray(score, np.float64)).all():
            raise ValueError(f"`base_score` must be finite, got {score!r}; None starts at the best constant score")


def _of_logits(start: Array) -> float | list[float]:
    """XGBoost's `base_score`: a probability for two classes, the scores for more.

    Raises
    ------
    ValueError
        If XGBoost, which keeps it in float32, cannot hold it.
    """
    with np.errstate(over="ignore"):
        score = np.asarray(start if start.ndim else 1 / (1 + np.exp(-start)))
        kept = score.astype(np.float32)
    if not np.isfinite(kept).all() or (not kept.ndim and not 0 < kept < 1):
        raise ValueError(
            f"training would start at a score of {start.tolist()}, which XGBoost's `base_score` cannot hold; the "
            "classes, or their weights, are too uneven: give weights closer to each other, or a `base_score`"
        )
    found: float | list[float] = score.tolist()
    return found


def _encoded(eval_set: Any, classes: Array, y: Any, codes: Array) -> list[tuple[Any, Array]] | None:
    """The evaluation sets with class indices. The training set keeps its array, so that XGBoost recognizes it."""
    if eval_set is None:
        return None
    encoder = LabelEncoder().fit(classes)
    if not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in eval_set):
        raise ValueError("`eval_set` must be a list of pairs (X, y)")
    return [(X, codes if labels is y else encoder.transform(column_or_1d(labels))) for X, labels in eval_set]
