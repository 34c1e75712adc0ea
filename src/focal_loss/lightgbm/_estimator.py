"""The classifier."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import lightgbm
import numpy as np
from sklearn.preprocessing import LabelEncoder

from focal_loss._boosting import classifier, saved, temperature
from focal_loss._dispatch import frameworks
from focal_loss._host.derivatives import Hessian
from focal_loss.lightgbm._metrics import watched
from focal_loss.lightgbm._objectives import objective_of
from focal_loss.lightgbm._parameters import DEFAULTS, EARLY_STOP, NAMES, REFUSED

Array = Any

TAG = "\nfocal_loss:"  # start of our line in a saved model


class FocalLGBMClassifier(lightgbm.LGBMClassifier, temperature.Tempered):
    """`lightgbm.LGBMClassifier` trained with the focal loss, for two classes or more.

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
    **kwargs
        Every parameter of `lightgbm.LGBMClassifier`. `fit` refuses one that has no effect on this loss, and says what
        to give instead.

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
    `fit`, `predict` and all other methods take what those of `lightgbm.LGBMClassifier` take: weights, evaluation sets,
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
    >>> from focal_loss.lightgbm import FocalLGBMClassifier
    >>> from sklearn.datasets import load_breast_cancer
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = FocalLGBMClassifier(gamma=2, n_estimators=20, verbosity=-1).fit(X[:400], y[:400])
    >>> model.predict_proba(X[400:403]).argmax(axis=1), y[400:403]
    (array([0, 1, 1]), array([0, 1, 1]))
    """

    class_weight: Any
    _network: Mapping[str, Any] = MappingProxyType({})  # parameters of a training on several machines
    _Booster: Any
    _class_weight: Any

    def __init__(
        self,
        *,
        gamma: float = 2.0,
        pos_weight: float | None = None,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        hessian: Hessian = "majorizer",
        calibrated: classifier.Calibrated = True,
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
        eval_class_weight: Any = None,
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

        With an `init_score` or `init_model`, training starts there instead of at the solved start score. As everywhere
        in LightGBM, an `init_score` is not part of later predictions.
        """
        self._refuse()
        pairs = pairs_of(eval_set, eval_X, eval_y)
        temperature.refuse_start(self.calibrated, init_score=init_score, init_model=init_model)
        scores = {"init_score": init_score, "eval_init_score": eval_init_score}
        classifier.refuse_missing(X, pairs, eval_sample_weight=eval_sample_weight, **scores)
        classes, codes = classifier.encode(y)
        prior = classifier.prior(classes, codes, sample_weight)
        focus = classifier.focus(self, classes, codes, sample_weight)
        start = focus.start(prior)
        if init_score is not None or init_model is not None:
            start = np.zeros_like(start)
        elif eval_init_score is not None:
            raise ValueError("`eval_init_score` must come with an `init_score`; without it, training starts at our own")
        if start.any():
            init_score = tiled(start, len(codes))
            eval_init_score = [tiled(start, len(labels)) for _, labels in pairs]
        self._grow(
            super().fit,
            focus,
            prior,
            start,
            X=X,
            y=y,
            sample_weight=sample_weight,
            init_score=init_score,
            eval_set=pairs or None,
            eval_names=eval_names,
            eval_sample_weight=eval_sample_weight,
            eval_class_weight=eval_class_weight,
            eval_init_score=eval_init_score,
            eval_metric=watched(self.get_params(), focus, self.calibrated, eval_metric),
            feature_name=feature_name,
            categorical_feature=categorical_feature,
            callbacks=callbacks,
            init_model=init_model,
        )
        if temperature.is_cv(self.calibrated):
            columns = {"feature_name": feature_name, "categorical_feature": categorical_feature}
            of_fold = self._of_fold(X, codes, sample_weight, callbacks, columns)
            self._focus = temperature.of_folds(focus, classes, codes, sample_weight, of_fold)
        return self

    def predict_proba(
        self,
        X: Any,
        raw_score: bool = False,
        start_iteration: int = 0,
        num_iteration: int | None = None,
        pred_leaf: bool = False,
        pred_contrib: bool = False,
        validate_features: bool = False,
        **kwargs: Any,
    ) -> Array:
        """The probability of each class, of shape (n, K). The arguments are those of `lightgbm.LGBMClassifier`."""
        classifier.refuse_missing(X)
        early = {**self.get_params(), **kwargs}
        classifier.refuse({n: v for n, v in early.items() if NAMES.get(n, n) in EARLY_STOP}, EARLY_STOP, {}, NAMES)
        other = raw_score or pred_leaf or pred_contrib
        kwargs |= {"pred_leaf": pred_leaf, "pred_contrib": pred_contrib, "raw_score": raw_score or not other}
        kwargs |= {"start_iteration": start_iteration, "num_iteration": num_iteration}
        found = super().predict_proba(X, validate_features=validate_features, **kwargs)
        return found if other else self._focus.probabilities(found, self.calibrated)

    def predict(
        self,
        X: Any,
        raw_score: bool = False,
        start_iteration: int = 0,
        num_iteration: int | None = None,
        pred_leaf: bool = False,
        pred_contrib: bool = False,
        validate_features: bool = False,
        **kwargs: Any,
    ) -> Array:
        """The most probable class of each example. The arguments are those of `lightgbm.LGBMClassifier`."""
        given = (raw_score, start_iteration, num_iteration, pred_leaf, pred_contrib, validate_features)
        found = self.predict_proba(X, *given, **kwargs)
        return found if raw_score or pred_leaf or pred_contrib else self.classes_[found.argmax(axis=1)]

    def decision_function(
        self,
        X: Any,
        *,
        start_iteration: int = 0,
        num_iteration: int | None = None,
        validate_features: bool = False,
        **kwargs: Any,
    ) -> Array:
        """The log-odds of the second of two classes, of shape (n,), positive where `predict` gives that; with more
        classes the logarithms of their probabilities, of shape (n, K).

        `predict` with `raw_score=True` gives the scores of the trees.
        """
        given = {"start_iteration": start_iteration, "num_iteration": num_iteration} | kwargs
        scores = self.predict_proba(X, raw_score=True, validate_features=validate_features, **given)
        return self._focus.log_odds(scores, self.calibrated)

    def save_model(self, path: str | Path, num_iteration: int | None = None) -> FocalLGBMClassifier:
        """Write LightGBM's own text format, which `lightgbm.Booster` reads as well, and which `load_model` reads.

        Parameters
        ----------
        path : str or Path
            The file to write.
        num_iteration : int, optional
            The number of rounds to keep. None: up to the best one, or all.

        Raises
        ------
        TypeError
            If the classes are neither strings nor numbers.
        """
        text = self.booster_.model_to_string(num_iteration=num_iteration)
        end = text.rindex("\npandas_categorical:")
        known = saved.remember(self, self._focus, self.classes_, start=self.start_score_.tolist())
        Path(path).write_bytes(saved.seal(f"{text[:end]}{TAG}{known}\n{text[end:]}".encode()))
        return self

    def load_model(self, path: str | Path | None = None, *, model_str: str | None = None) -> FocalLGBMClassifier:
        """Become the model that `save_model` wrote; the parameters of the loss become those that it was trained with.

        Parameters
        ----------
        path : str or Path, optional
            The file to read.
        model_str : str, optional
            The content of such a file, instead of `path`.

        Raises
        ------
        TypeError
            If neither or both are given.
        ValueError
            If the file is not one of `save_model`, or one of a newer version.
        """
        if (path is None) == (model_str is None):
            raise TypeError("give `path` or `model_str`")
        source = "the model" if path is None else path
        content = Path(path).read_bytes() if path is not None else str(model_str).encode()
        try:
            text = saved.unbroken(content, source).decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{source} is damaged: it is no text") from error
        tag = text.rfind(TAG)
        known = None if tag < 0 else text[tag + len(TAG) :].split("\n", 1)[0]
        self._focus, self._classes = saved.recall(self, known, source)
        self.start_score_ = np.array(json.loads(str(known))["start"])
        self._Booster = lightgbm.Booster(model_str=text)
        self._le = LabelEncoder().fit(self._classes)
        self._n_classes, self._objective = len(self._classes), "focal_loss"
        self._n_features = self._n_features_in = self._Booster.num_feature()
        empty: dict[str, Any] = {}
        self._best_iteration, self._best_score, self._evals_result = 0, empty, empty
        names = self._Booster.feature_name()
        self._fitted_with_feature_names = names != [f"Column_{k}" for k in range(len(names))]
        self.fitted_ = True
        return self

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
            If pandas' categorical columns are not those that LightGBM took for categorical, or ONNX cannot tell
            categories apart: '' from a missing word, or numbers that float64 rounds to one.
        """
        return frameworks.load("focal_loss.lightgbm._onnx").exported(self)

    def _grow(
        self,
        fit: Callable[..., Any],
        focus: classifier.Focus,
        prior: Array,
        start: Array,
        *,
        callbacks: Any,
        **given: Any,
    ) -> None:
        """Train by a `fit` of LightGBM, and make the start score part of the model."""
        self._growing = focus.training_loss(prior)
        with self._weights_in_the_objective(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The argument 'eval_set' is deprecated")
            fit(callbacks=[*(callbacks or []), _keep_objective], **given)
        self._focus, self.start_score_ = focus, start
        _add_to_first_trees(self._Booster, start)

    def _of_fold(
        self, X: Any, codes: Array, sample_weight: Any, callbacks: Any, columns: dict[str, Any]
    ) -> Callable[[Array, Array], Array]:
        """The scores of some rows by a model of others, with the callbacks that act on training and as many rounds."""
        off = {name: 0 for name in self.get_params() if NAMES.get(name, name) == "early_stopping_round"}
        model = temperature.untrained(self, self._focus, **off)
        acting = [callback for callback in callbacks or [] if getattr(callback, "before_iteration", False)]
        if self._best_iteration > 0:
            acting.append(_Stop(self._best_iteration))

        def scores(train: Array, test: Array) -> Array:
            weight = temperature.taken(sample_weight, train)
            model.fit(temperature.taken(X, train), codes[train], weight, callbacks=acting, **columns)
            return model.predict(temperature.taken(X, test), raw_score=True)

        return scores

    def _process_params(self, stage: str) -> dict[str, Any]:
        """LightGBM's parameters: without ours, and with the objective as `lightgbm.train` takes it."""
        parameters = super()._process_params(stage)
        for name in ("gamma", "pos_weight", "hessian", "calibrated"):
            parameters.pop(name)
        self._objective = "focal_loss"
        parameters["objective"] = objective_of(self._growing) if stage == "fit" else "None"
        return parameters | {"metric": "None", **self._network}  # every metric goes to `fit`

    @contextmanager
    def _weights_in_the_objective(self) -> Iterator[None]:
        """Hide the class weights: LightGBM would multiply the examples' weights by them."""
        kept = self.class_weight
        self.class_weight = self._class_weight = None  # `set_params` writes the second
        try:
            yield
        finally:
            self.class_weight = kept

    def _refuse(self) -> None:
        given = self.get_params()
        classifier.refuse(given, REFUSED, DEFAULTS, NAMES)
        for name in ("boosting_type", "boosting", "boost"):
            if given.get(name) in ("rf", "random_forest"):
                remedy = "LightGBM grows random forests of its own objectives only; give `subsample` and 'gbdt'"
                raise ValueError(f"`{name}` must not be {given[name]!r}: {remedy}")


def _keep_objective(env: Any) -> None:
    """Note that LightGBM's own objective is off, as `lightgbm.train` has arranged.

    Otherwise `Booster.update` turns it off again before the first round, where LightGBM 4.7 raises an error if no
    column is usable, as may happen with few rows.
    """
    env.model._Booster__set_objective_to_none = True


_keep_objective.before_iteration = True  # type: ignore[attr-defined]


class _Stop:
    """A callback that ends training after some rounds. With fewer rounds in all, lists of learning rates would have the
    wrong length.
    """

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds

    def __call__(self, env: Any) -> None:
        if env.iteration + 1 == self.rounds:
            raise lightgbm.callback.EarlyStopException(env.iteration, [])


def pairs_of(eval_set: Any, eval_X: Any, eval_y: Any) -> list[tuple[Any, Any]]:
    """The evaluation sets as a list of pairs, in whichever form they were given."""
    if (eval_X is None) != (eval_y is None) or (eval_X is not None and eval_set is not None):
        raise ValueError("give `eval_X` and `eval_y`, both, or `eval_set`")
    if eval_X is not None:
        each = isinstance(eval_X, tuple)
        return list(zip(eval_X, eval_y, strict=True)) if each else [(eval_X, eval_y)]
    return [eval_set] if isinstance(eval_set, tuple) else list(eval_set or [])


def tiled(start: Array, examples: int) -> Array:
    return np.tile(start, (examples, 1)) if start.ndim else np.full(examples, start)


def _add_to_first_trees(booster: lightgbm.Booster, start: Array) -> None:
    """Make the start score part of the model, as LightGBM does for its own objectives."""
    if not start.any():
        return
    for tree in booster.dump_model(num_iteration=1)["tree_info"]:
        k = tree["tree_index"]
        for leaf in range(tree["num_leaves"]):
            booster.set_leaf_output(k, leaf, booster.get_leaf_output(k, leaf) + np.ravel(start)[k])
