"""The classifier."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.utils.validation import check_is_fitted

from focal_loss._boosting import classifier, temperature
from focal_loss._dispatch import frameworks
from focal_loss._host.derivatives import Hessian
from focal_loss.sklearn._loss import FocalLoss, scores

Array = Any


class FocalHistGradientBoostingClassifier(HistGradientBoostingClassifier, temperature.Tempered):
    """`sklearn.ensemble.HistGradientBoostingClassifier` trained with the focal loss, for two classes or more.

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
    learning_rate, max_iter, max_leaf_nodes, max_depth, min_samples_leaf, l2_regularization, max_features
        The steps and the trees: parameters of `sklearn.ensemble.HistGradientBoostingClassifier`, as are the rest.
    max_bins, categorical_features, monotonic_cst, interaction_cst
        The columns.
    warm_start, early_stopping, scoring, validation_fraction, n_iter_no_change, tol, verbose, random_state
        The course of training. `scoring="loss"` is the focal loss.

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
    `fit`, `predict` and all other methods take what those of `sklearn.ensemble.HistGradientBoostingClassifier` take:
    weights, validation data, early stopping, categorical columns, missing values, constraints, pandas and polars
    tables. Scorers see the probabilities that `predict_proba` would give. The loss reaches the trees by private names
    of scikit-learn: the import raises `ImportError` for a version that lacks one.

    References
    ----------
    .. [1] T. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, "Focal loss for dense object detection", ICCV 2017,
       arXiv:1708.02002, equation 4 and appendix B.
    .. [2] N. Charoenphakdee, J. Vongkulbhisal, N. Chairatanakul and M. Sugiyama, "On focal loss for
       class-posterior probability estimation: a theoretical perspective", CVPR 2021, arXiv:2011.09172.

    Examples
    --------
    >>> from focal_loss.sklearn import FocalHistGradientBoostingClassifier
    >>> from sklearn.datasets import load_breast_cancer
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = FocalHistGradientBoostingClassifier(gamma=2, max_iter=20).fit(X[:400], y[:400])
    >>> model.predict_proba(X[400:403]).argmax(axis=1), y[400:403]
    (array([0, 1, 1]), array([0, 1, 1]))
    """

    classes_: Array

    def __init__(
        self,
        *,
        gamma: float = 2.0,
        pos_weight: float | None = None,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        hessian: Hessian = "majorizer",
        calibrated: classifier.Calibrated = True,
        learning_rate: float = 0.1,
        max_iter: int = 100,
        max_leaf_nodes: int | None = 31,
        max_depth: int | None = None,
        min_samples_leaf: int = 20,
        l2_regularization: float = 0.0,
        max_features: float = 1.0,
        max_bins: int = 255,
        categorical_features: Any = "from_dtype",
        monotonic_cst: Any = None,
        interaction_cst: Any = None,
        warm_start: bool = False,
        early_stopping: bool | Literal["auto"] = "auto",
        scoring: Any = "loss",
        validation_fraction: float | None = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-7,
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        super().__init__(
            loss="focal_loss",  # no parameter of this class
            learning_rate=learning_rate,
            max_iter=max_iter,
            max_leaf_nodes=max_leaf_nodes,
            max_depth=max_depth,
            min_samples_leaf=min_samples_leaf,
            l2_regularization=l2_regularization,
            max_features=max_features,
            max_bins=max_bins,
            categorical_features=categorical_features,
            monotonic_cst=monotonic_cst,
            interaction_cst=interaction_cst,
            warm_start=warm_start,
            early_stopping=early_stopping,
            scoring=scoring,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            verbose=verbose,
            random_state=random_state,
            class_weight=class_weight,
        )
        self.gamma = gamma
        self.pos_weight = pos_weight
        self.hessian = hessian
        self.calibrated = calibrated

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> FocalHistGradientBoostingClassifier:
        """Train. The arguments are those of `HistGradientBoostingClassifier.fit`; before scikit-learn 1.7 that has no
        validation data.
        """
        temperature.refuse_start(self.calibrated, warm_start=self.warm_start)
        held = {"X_val": X_val, "y_val": y_val, "sample_weight_val": sample_weight_val}
        classifier.refuse_missing(X, y=y, sample_weight=sample_weight, y_val=y_val, sample_weight_val=sample_weight_val)
        classifier.refuse_masked("X_val", X_val)
        super().fit(X, y, sample_weight, **{name: value for name, value in held.items() if value is not None})
        if temperature.is_cv(self.calibrated):
            classes, codes = classifier.encode(y)
            of_fold = self._of_fold(X, codes, sample_weight)
            self._focus = temperature.of_folds(self._focus, classes, codes, sample_weight, of_fold)
        return self

    def predict_proba(self, X: Any) -> Array:
        """The probability of each class, of shape (n, K)."""
        return self._probabilities(self._scores(X))

    def decision_function(self, X: Any) -> Array:
        """The log-odds of the second of two classes, of shape (n,), positive where `predict` gives that; with more
        classes the logarithms of their probabilities, of shape (n, K).

        With `calibrated=False` these are the scores of the trees, with more classes less a number for each example.
        """
        return self._log_odds(self._scores(X))

    def predict(self, X: Any) -> Array:
        """The most probable class of each example."""
        return self._most_probable(self._scores(X))

    def staged_predict_proba(self, X: Any) -> Iterator[Array]:
        """The results of `predict_proba` after each iteration."""
        return map(self._probabilities, self._staged_scores(X))

    def staged_decision_function(self, X: Any) -> Iterator[Array]:
        """The results of `decision_function` after each iteration."""
        return map(self._log_odds, self._staged_scores(X))

    def staged_predict(self, X: Any) -> Iterator[Array]:
        """The results of `predict` after each iteration."""
        return map(self._most_probable, self._staged_scores(X))

    def to_onnx(self) -> Any:
        """The model in ONNX: trees, posterior map and codes of categories, which any runtime of ONNX computes.

        Returns
        -------
        model : onnx.ModelProto
            Its outputs are `label`, of shape (n,), and `probabilities`, float64 of shape (n, K), the results of
            `predict` and `predict_proba`. The input is `X`, float64 of shape (n, columns), NaN where a value is
            missing. If a column has categories, each column is an input of its name, of shape (n, 1): words are
            strings, and one that is no category of it counts as missing.

        Raises
        ------
        ModuleNotFoundError
            If onnx is not installed.
        TypeError
            If categories are neither words nor numbers.
        ValueError
            If ONNX cannot tell categories apart: '' from a missing word, or numbers that float64 rounds to one.
        """
        check_is_fitted(self)
        return frameworks.load("focal_loss.sklearn._onnx").exported(self)

    @property
    def start_score_(self) -> Array:
        check_is_fitted(self)
        start = self._baseline_prediction[0]
        return start if len(start) > 1 else start[0]

    def _of_fold(self, X: Any, codes: Array, sample_weight: Any) -> Callable[[Array, Array], Array]:
        """The scores of some rows by a model of others, of as many rounds."""
        model = temperature.untrained(self, self._focus, max_iter=self.n_iter_, early_stopping=False)

        def scores(train: Array, test: Array) -> Array:
            model.fit(temperature.taken(X, train), codes[train], temperature.taken(sample_weight, train))
            return model._scores(temperature.taken(X, test))

        return scores

    def _scores(self, X: Any) -> Array:
        classifier.refuse_missing(X)
        return scores(self._raw_predict(X))

    def _staged_scores(self, X: Any) -> Iterator[Array]:
        classifier.refuse_missing(X)
        return map(scores, self._staged_raw_predict(X))

    def _probabilities(self, found: Array) -> Array:
        return self._focus.probabilities(found, self.calibrated)

    def _log_odds(self, found: Array) -> Array:
        return self._focus.log_odds(found, self.calibrated)

    def _most_probable(self, found: Array) -> Array:
        decision = self._log_odds(found)
        return self.classes_[decision.argmax(axis=1) if decision.ndim == 2 else (decision > 0).astype(int)]

    # The `fit` of scikit-learn calls the methods from here on.

    def _encode_y(self, y: Any) -> Array:
        before = self.classes_ if self.warm_start and self._is_fitted() else None
        codes = super()._encode_y(y)
        found = self.classes_
        if before is not None and found.tolist() != before.tolist():
            self.classes_ = before
            raise ValueError(f"`y` must hold the classes {before.tolist()} of the fit before, got {found.tolist()}")
        classifier.at_least_two(found)
        return codes

    def _finalize_sample_weight(self, sample_weight: Array | None, y: Array) -> Array | None:
        """The weights of the examples as they are: those of the classes are part of the loss."""
        codes = y.astype(np.intp)
        prior = classifier.prior(self.classes_, codes, sample_weight)
        self._focus = classifier.focus(self, self.classes_, codes, sample_weight)
        self._grown = self._focus.training_loss(prior)
        return sample_weight

    def _get_loss(self, sample_weight: Array | None) -> FocalLoss:
        return FocalLoss(self._focus, self._grown)

    def _compute_partial_dependence_recursion(self, grid: Array, target_features: Array) -> Array:
        raise NotImplementedError(
            "the partial dependence by recursion is one of the trees' scores, which are no log-odds; pass "
            "`method='brute'`"
        )
