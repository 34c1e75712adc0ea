"""The classifier."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import catboost
import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_consistent_length

from focal_loss._boosting import classifier, saved, temperature
from focal_loss._dispatch import frameworks
from focal_loss._host.derivatives import Hessian
from focal_loss.catboost import _parameters, _snapshots
from focal_loss.catboost._metrics import OF_SCORES, asked, metric_of_fit, recorded, unchanged
from focal_loss.catboost._objectives import objective_of
from focal_loss.catboost._parameters import DEFAULTS, NAMES, REFUSED

Array = Any

PARAMETERS = ("gamma", "pos_weight", "class_weight", "hessian", "calibrated")
KEY = "focal_loss"  # in a model's metadata


class _Parameter:
    """A parameter of the focal loss, kept among CatBoost's own: code that copies, shows or pickles those includes
    it.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, model: Any, owner: type | None = None) -> Any:
        return self if model is None else model._init_params.get(self.name)

    def __set__(self, model: Any, value: Any) -> None:
        model._init_params[self.name] = value


class _Labels(NamedTuple):
    focus: classifier.Focus
    classes: Array
    codes: Array
    prior: Array


class FocalCatBoostClassifier(catboost.CatBoostClassifier, temperature.Tempered):
    """`catboost.CatBoostClassifier` trained with the focal loss, for two classes or more.

    `eval_metric`, by default 'focal_loss', decides early stopping. It may be one of CatBoost's names, a function of
    labels, probabilities and optional weights that returns a name, a number and whether higher is better, or an object
    in CatBoost's form, which sees raw scores. At gamma = 0 the loss is CatBoost's own ``Logloss`` or ``MultiClass``,
    whose default learning rate is used at every gamma. At any other gamma it is an objective in Python, on the CPU,
    which is slow for three classes or more: see `binary_focal_objective` and `categorical_focal_objective`.

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
        Every parameter of `catboost.CatBoostClassifier`. `fit` refuses one that has no effect on this loss, and says
        what to give instead.

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
    `fit`, `predict` and all other methods take what those of `catboost.CatBoostClassifier` take: weights, evaluation
    sets, early stopping, categorical columns, missing values, pandas and Arrow tables. Metrics of probabilities, by
    name or as functions, see the probabilities that `predict_proba` would give.

    References
    ----------
    .. [1] T. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, "Focal loss for dense object detection", ICCV 2017,
       arXiv:1708.02002, equation 4 and appendix B.
    .. [2] N. Charoenphakdee, J. Vongkulbhisal, N. Chairatanakul and M. Sugiyama, "On focal loss for
       class-posterior probability estimation: a theoretical perspective", CVPR 2021, arXiv:2011.09172.

    Examples
    --------
    >>> from focal_loss.catboost import FocalCatBoostClassifier
    >>> from sklearn.datasets import load_breast_cancer
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = FocalCatBoostClassifier(gamma=2, iterations=20, learning_rate=0.3, allow_writing_files=False)
    >>> model.fit(X[:400], y[:400], verbose=False).predict_proba(X[400:403]).round(1)
    array([[1., 0.],
           [0., 1.],
           [0., 1.]])
    """

    gamma, pos_weight, class_weight, hessian, calibrated = (_Parameter() for _ in PARAMETERS)

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
        super().__init__(**kwargs)
        self.gamma = gamma
        self.pos_weight = pos_weight
        self.class_weight = class_weight
        self.hessian = hessian
        self.calibrated = calibrated

    @property
    def classes_(self) -> Array:
        """The labels, sorted."""
        return self._known()[1]

    @property
    def start_score_(self) -> Array:
        """The constant score that is part of the model."""
        self._known()
        return np.array(self.get_scale_and_bias()[1])

    def decision_function(
        self, X: Any, ntree_start: int = 0, ntree_end: int = 0, thread_count: int = -1, task_type: str = "CPU"
    ) -> Array:
        """The log-odds of the second of two classes, of shape (n,), positive where `predict` gives that; with more
        classes the logarithms of their probabilities, of shape (n, K).

        `predict` with `prediction_type="RawFormulaVal"` gives the scores of the trees.
        """
        trees = (ntree_start, ntree_end, thread_count)
        scores = self._predict(X, "RawFormulaVal", *trees, None, "decision_function", task_type)
        return self._of_scores(scores, "LogOdds")

    def save_model(self, fname: Any, format: str = "cbm", **kwargs: Any) -> FocalCatBoostClassifier:  # noqa: A002
        """Write CatBoost's own format, which `catboost.CatBoost` reads as well, and which `load_model` reads.

        Raises
        ------
        TypeError
            If the classes are neither strings nor numbers.
        """
        self.get_metadata()[KEY] = saved.remember(self, *self._known())
        super().save_model(fname, format=format, **kwargs)
        path = Path(fname)
        path.write_bytes(saved.seal(path.read_bytes()))
        return self

    def load_model(
        self, fname: Any = None, format: str = "cbm", stream: Any = None, blob: Any = None  # noqa: A002
    ) -> FocalCatBoostClassifier:  # fmt: skip
        """Become the model that `save_model` wrote; the parameters of the loss become those that it was trained with.

        Raises
        ------
        ValueError
            If `save_model` did not write the model, or a newer version did.
        """
        if fname is not None:
            saved.unbroken(Path(fname).read_bytes(), fname)
        if blob is not None:
            saved.unbroken(bytes(blob), "the model")
        super().load_model(fname, format=format, stream=stream, blob=blob)
        for name in (*REFUSED, "eval_metric"):
            self._init_params.pop(name, None)  # CatBoost's description, not the given object
        source = "the model" if fname is None else fname
        self._fitted = saved.recall(self, dict(self.get_metadata()).get(KEY), source)
        return self

    def to_onnx(self, X: Any = None) -> Any:
        """The model in ONNX: trees, posterior map and codes of categories, which any runtime of ONNX computes.

        Parameters
        ----------
        X : DataFrame or array, optional
            A table with every word of the categorical columns, such as that of `fit`. The model holds only their
            hashes. Needed if there are such columns.

        Returns
        -------
        model : onnx.ModelProto
            Its outputs are `label`, of shape (n,), and `probabilities`, float64 of shape (n, K), the results of
            `predict` and `predict_proba`. The input is `X`, float64 of shape (n, columns), NaN where a value is
            missing. If a column has categories, each column is an input of its name, of shape (n, 1): words are
            strings, and one that is no category of it counts as new.

        Raises
        ------
        ModuleNotFoundError
            If onnx is not installed.
        TypeError
            If categories are neither words nor numbers.
        ValueError
            If the model holds what trees in ONNX cannot, texts or embeddings, or categories that are numbers which
            float64 rounds to one.
        """
        return frameworks.load("focal_loss.catboost._onnx").exported(self, X=X)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters themselves, not copies: scikit-learn compares by identity with what it passed."""
        return dict(self._init_params)

    def set_params(self, **params: Any) -> FocalCatBoostClassifier:
        """Set parameters. Those of the loss may be set after training too, `calibrated` with effect at once."""
        for name in set(PARAMETERS) & set(params):
            setattr(self, name, params.pop(name))
        return super().set_params(**params) if params else self

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_fitted": self.__dict__.get("_fitted")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._fitted = state.pop("_fitted")
        super().__setstate__(state)

    # CatBoost's own methods call the methods from here on.

    def _get_canonized_params(self) -> dict[str, Any]:
        hidden = (*PARAMETERS, "loss_function", "eval_metric")
        return {name: value for name, value in super()._get_canonized_params().items() if name not in hidden}

    def _prepare_train_params(self, X: Any = None, y: Any = None, **given: Any) -> dict[str, Any]:
        self._refuse()
        classifier.refuse_missing(X, given.get("eval_set"), baseline=given.get("baseline"))
        starts = {name: given.get(name) for name in ("baseline", "init_model")}
        temperature.refuse_start(self.calibrated, **starts)
        if y is not None:
            if not isinstance(X, catboost.FeaturesData):
                check_consistent_length(X, y)
            found = self._labels(y, given.get("sample_weight"))
            y = found.classes[found.codes]
        given["eval_set"] = _readable(given.get("eval_set"))
        prepared = super()._prepare_train_params(X=_readable(X), y=y, **given)
        pool = prepared["train_pool"]
        if y is None:
            found = self._labels(np.asarray(pool.get_label()), pool.get_weight())
        focus, classes, _codes, prior = found
        start = focus.start(prior)
        temperature.refuse_start(self.calibrated, baseline=np.size(pool.get_baseline()) > 0)
        goes_on = given.get("init_model") is not None or np.size(pool.get_baseline())
        self._fitted, self._start = (focus, classes), np.zeros_like(start) if goes_on else start
        watched = bool(prepared["eval_sets"]) and prepared["params"].get("use_best_model") is not False
        prepared["params"] |= self._loss_of_fit(found, pool, watched) | {"class_names": classes.tolist()}
        return prepared

    def _labels(self, y: Any, weight: Any) -> _Labels:
        classes, codes = classifier.encode(y)
        if classes.dtype.kind in "iuf" and len(np.unique(classes.astype(np.float32))) < len(classes):
            raise ValueError(f"`y` is read as float32, which cannot tell {classes.tolist()} apart; give strings")
        prior = classifier.prior(classes, codes, weight)
        return _Labels(classifier.focus(self, classes, codes, weight), classes, codes, prior)

    def _loss_of_fit(self, labels: _Labels, pool: Any, watched: bool) -> dict[str, Any]:
        """The loss function, which is CatBoost's own where that is the same loss, and the metric."""
        focus, _, codes, prior = labels
        if focus.gamma:
            objective = objective_of(focus.training_loss(prior))
            given = {NAMES.get(name, name): value for name, value in self._init_params.items() if value is not None}
            chosen = _parameters.chosen(given, focus.classes, pool.num_row(), pool.num_col(), watched)
            return {"loss_function": objective, "eval_metric": self._metric(focus, codes, None), **chosen}
        found: dict[str, Any] = {"loss_function": "Logloss" if focus.classes == 2 else "MultiClass"}
        factors = None
        if set(focus.weights) != {1.0}:
            factors = np.array(focus.weights)
            found["class_weights"] = factors.tolist()
        return found | {"eval_metric": self._metric(focus, codes, factors)}

    def _metric(self, focus: classifier.Focus, codes: Array, factors: Array | None) -> Any:
        wanted = self._init_params.get("eval_metric") or "focal_loss"
        if hasattr(wanted, "evaluate"):
            return wanted
        if not callable(wanted) and not isinstance(wanted, str):
            raise TypeError(f"`eval_metric` must be one name, function or object with `evaluate`, got {wanted!r}")
        if isinstance(wanted, str) and (wanted.partition(":")[0] in OF_SCORES or unchanged(wanted, focus, factors)):
            return wanted
        name, metric = asked(wanted, focus, self.calibrated)
        return metric_of_fit(name, metric, codes, factors)

    def get_evals_result(self) -> dict[str, Any]:
        """The record of every metric, by its name."""
        return recorded(super().get_evals_result())

    def get_best_score(self) -> dict[str, Any]:
        """The best value of every metric, by its name."""
        return recorded(super().get_best_score())

    def _refuse(self) -> None:
        classifier.refuse(self._init_params, REFUSED, DEFAULTS, NAMES)
        for name in ("custom_metric", "custom_loss"):
            wanted = self._init_params.get(name) or []
            for metric in [wanted] if isinstance(wanted, str) else wanted:
                if str(metric).partition(":")[0] not in OF_SCORES:
                    known = ", ".join(map(repr, OF_SCORES))
                    raise ValueError(f"`{name}` must be of {known}, got {metric!r}; `eval_metric` takes more")

    def _train(
        self, train_pool: Any, test_pool: list[Any], params: Any, allow_clear_pool: bool, init_model: Any
    ) -> None:
        """Train from the start score, which is a baseline during training and part of the model afterwards."""
        _snapshots.check(params, self._fitted[0], self._start)
        start, pools = self._start, [train_pool, *test_pool]
        before = [pool.get_baseline() for pool in pools]
        allow_clear_pool = allow_clear_pool and not temperature.is_cv(self.calibrated)  # the folds are taken from it
        try:
            if start.any():
                for pool in pools:
                    pool.set_baseline(np.tile(start, (pool.num_row(), 1)))
            super()._train(train_pool, test_pool, params, allow_clear_pool, init_model)
        finally:
            for pool, baseline in list(zip(pools, before, strict=True))[allow_clear_pool:]:
                pool.set_baseline(baseline)
        if init_model is not None:  # CatBoost continues from its start score, and leaves it out of the result
            start = np.asarray(init_model.get_scale_and_bias()[1])
        self.set_scale_and_bias(1.0, start.tolist())
        if temperature.is_cv(self.calibrated):
            focus, classes = self._fitted
            _, labels, codes, _ = self._labels(np.asarray(train_pool.get_label()), train_pool.get_weight())
            of_fold = self._of_fold(train_pool, dict(zip(labels.tolist(), focus.weights, strict=True)))
            weight = train_pool.get_weight()
            self._fitted = temperature.of_folds(focus, classes, codes, weight, of_fold), classes

    def _of_fold(self, pool: Any, weights: dict[Any, float]) -> Callable[[Array, Array], Array]:
        """The scores of some rows by a model of others, of as many rounds, with the defaults that CatBoost has chosen
        by the numbers of rows and rounds.
        """
        chosen = _parameters.of_folds(self._init_params, self.get_all_params(), self.tree_count_)
        changes = {"calibrated": True, "pos_weight": None, "class_weight": weights}
        model = type(self)(**(chosen | changes))

        def scores(train: Array, test: Array) -> Array:
            model.fit(pool.slice(train))
            return model.predict(pool.slice(test), prediction_type="RawFormulaVal")

        return scores

    def _process_predict_input_data(self, data: Any, parent_method_name: str, *args: Any, **kwargs: Any) -> Any:
        self._known()
        classifier.refuse_missing(data)
        return super()._process_predict_input_data(_readable(data), parent_method_name, *args, **kwargs)

    def _predict(self, data: Any, prediction_type: str, *args: Any, **kwargs: Any) -> Any:
        if prediction_type not in ("Class", "Probability", "LogProbability"):
            return super()._predict(data, prediction_type, *args, **kwargs)
        return self._of_scores(super()._predict(data, "RawFormulaVal", *args, **kwargs), prediction_type)

    def _staged_predict(self, data: Any, prediction_type: str, *args: Any, **kwargs: Any) -> Iterator[Any]:
        if prediction_type not in ("Class", "Probability", "LogProbability"):
            yield from super()._staged_predict(data, prediction_type, *args, **kwargs)
            return
        for scores in super()._staged_predict(data, "RawFormulaVal", *args, **kwargs):
            yield self._of_scores(scores, prediction_type)

    def _of_scores(self, scores: Array, prediction_type: str) -> Array:
        focus, classes = self._known()
        rows = np.reshape(scores, -1 if focus.classes == 2 else (-1, focus.classes))
        of = focus.log_odds if prediction_type == "LogOdds" else focus.probabilities
        result = of(rows, self.calibrated)
        if prediction_type == "LogProbability":
            with np.errstate(divide="ignore"):
                result = np.log(result)
        elif prediction_type == "Class":
            above = focus.classes == 2 and result[:, 1] > self.get_probability_threshold()
            result = classes[np.where(above, 1, 0) if focus.classes == 2 else result.argmax(axis=1)]
        return result[0] if np.ndim(scores) < rows.ndim else result

    def _tune_hyperparams(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("CatBoost's search knows its own losses only; use that of scikit-learn")

    def select_features(self, *args: Any, **kwargs: Any) -> Any:
        """Raise an error: CatBoost's feature selection knows only its own losses."""
        raise NotImplementedError("CatBoost's selection knows its own losses only; use that of scikit-learn")

    @property
    def _focus(self) -> classifier.Focus | None:
        fitted = self.__dict__.get("_fitted")
        return None if fitted is None else fitted[0]

    def _temper(self, temperature: float) -> None:
        focus, classes = self._fitted
        self._fitted = replace(focus, temperature=temperature), classes
        self.set_params(calibrated="cv")

    def _known(self) -> tuple[classifier.Focus, Array]:
        if not self.is_fitted():
            raise NotFittedError(f"this {type(self).__name__} is not fitted yet; call `fit` first")
        return self._fitted


def _readable(data: Any) -> Any:
    """Arrow tables, which CatBoost does not read, as pandas; also in evaluation sets."""
    if isinstance(data, tuple):
        return tuple(map(_readable, data))
    if isinstance(data, list):
        return [_readable(pair) if isinstance(pair, tuple) else pair for pair in data]
    return data.to_pandas() if type(data).__module__.partition(".")[0] == "pyarrow" else data
