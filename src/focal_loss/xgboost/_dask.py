"""The classifier for tables of Dask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from xgboost.dask import DaskXGBClassifier

from focal_loss._boosting import classifier, cluster, temperature
from focal_loss._host.derivatives import Hessian
from focal_loss.xgboost._categories import refuse_words
from focal_loss.xgboost._estimator import FocalXGBClassifier

Array = Any


class FocalDaskXGBClassifier(FocalXGBClassifier, DaskXGBClassifier):
    """`xgboost.dask.DaskXGBClassifier` trained with the focal loss, for two classes or more.

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
        `predict_proba` gives the sigmoid or softmax of the scores. 'cv' is for the classifiers of one machine, and
        refused.
    min_split_loss : float, optional
        The least gain of a split: XGBoost's own parameter, which it also calls `gamma`.
    coll_cfg : xgboost.collective.Config, optional
        How the workers find each other.
    **kwargs
        Every parameter of `xgboost.dask.DaskXGBClassifier`. `fit` refuses one that has no effect on this loss, and says
        what to give instead.

    Attributes
    ----------
    classes_ : array, shape (K,)
        The labels, sorted. They may be strings, numbers or booleans.
    start_score_ : float or array, shape () or (K,)
        The best constant score, at which training starts. It is part of the model and of every prediction.

    Raises
    ------
    TypeError, ValueError
        By `fit`, before training starts: for a parameter of the wrong type or out of range, labels that are missing or
        of one class only, or weights that are all 0 for a class.

    Notes
    -----
    `X`, the labels and the weights are arrays or dataframes of Dask with the same partitions, and results are arrays of
    Dask, computed when they are asked for. One count of the labels over the cluster gives the classes, the start score
    and the class weights; labels and weights stay in its memory. Metrics see the probabilities that `predict_proba`
    would give. Each is the mean over the rows of all workers; a function is called with the rows of each worker, and
    the mean of its results weighs them by their weights, which is exact for a mean over rows.

    References
    ----------
    .. [1] T. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, "Focal loss for dense object detection", ICCV 2017,
       arXiv:1708.02002, equation 4 and appendix B.
    .. [2] N. Charoenphakdee, J. Vongkulbhisal, N. Chairatanakul and M. Sugiyama, "On focal loss for
       class-posterior probability estimation: a theoretical perspective", CVPR 2021, arXiv:2011.09172.

    Examples
    --------
    >>> import dask.array as da, distributed
    >>> from focal_loss.xgboost import FocalDaskXGBClassifier
    >>> from sklearn.datasets import load_breast_cancer
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X, y = da.from_array(X, chunks=(200, -1)), da.from_array(y, chunks=200)
    >>> with distributed.Client(processes=False, n_workers=1, dashboard_address="127.0.0.1:0"):
    ...     model = FocalDaskXGBClassifier(gamma=2, n_estimators=20).fit(X, y)
    ...     model.predict_proba(X[400:403]).compute().round(1)
    array([[1., 0.],
           [0., 1.],
           [0., 1.]])
    """

    _library: ClassVar[type] = DaskXGBClassifier

    def __init__(
        self,
        *,
        gamma: float = 2.0,
        pos_weight: float | None = None,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        hessian: Hessian = "majorizer",
        calibrated: classifier.Calibrated = True,
        min_split_loss: float | None = None,
        coll_cfg: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            gamma=gamma,
            pos_weight=pos_weight,
            class_weight=class_weight,
            hessian=hessian,
            calibrated=calibrated,
            min_split_loss=min_split_loss,
            coll_cfg=coll_cfg,
            **kwargs,
        )

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
    ) -> FocalDaskXGBClassifier:
        """Train. The arguments are those of `xgboost.dask.DaskXGBClassifier.fit`, arrays or dataframes of Dask.

        With a `base_score`, `base_margin` or `xgb_model`, training starts there instead of at the solved start score.
        """
        self._refuse()
        temperature.refuse_cluster(self.calibrated)
        client = cluster.synchronous(self.client)
        cluster.alike(X=cluster.alike_coded("X", X), y=cluster.column("y", y), base_margin=base_margin)
        refuse_words(X)
        found = cluster.labels(client, y, sample_weight)
        each = np.arange(len(found.classes))
        sets = cluster.evaluation_sets(client, eval_set, X, y, found)
        refuse_words(*(table for table, _ in sets or ()))
        plain, focus = self._untrained(found.classes, each, found.totals, base_margin, xgb_model)
        plain.client = client
        plain.fit(
            X,
            found.codes,
            sample_weight=found.weight,
            base_margin=base_margin,
            eval_set=sets,
            verbose=verbose,
            xgb_model=xgb_model,
            sample_weight_eval_set=sample_weight_eval_set,
            base_margin_eval_set=base_margin_eval_set,
            feature_weights=feature_weights,
        )
        self._become(plain, focus, found.classes)
        return self

    def predict_proba(
        self, X: Any, validate_features: bool = True, base_margin: Any = None, iteration_range: Any = None
    ) -> Any:
        """The probability of each class, an array of Dask of shape (n, K), computed when it is asked for."""
        scores = self._scores(X, validate_features, base_margin, iteration_range)
        return cluster.by_row(self._focus.probabilities, scores, self.calibrated, width=self.n_classes_)

    def decision_function(
        self, X: Any, validate_features: bool = True, base_margin: Any = None, iteration_range: Any = None
    ) -> Any:
        """The log-odds of the second of two classes, of shape (n,), positive where `predict` gives that; with more
        classes the logarithms of their probabilities, of shape (n, K). An array of Dask.
        """
        scores = self._scores(X, validate_features, base_margin, iteration_range)
        width = None if self.n_classes_ == 2 else self.n_classes_
        return cluster.by_row(self._focus.log_odds, scores, self.calibrated, width=width)

    def predict(
        self,
        X: Any,
        *,
        output_margin: bool = False,
        validate_features: bool = True,
        base_margin: Any = None,
        iteration_range: Any = None,
    ) -> Any:
        """The most probable class of each example, an array of Dask. With `output_margin` the scores of the trees."""
        given = (validate_features, base_margin, iteration_range)
        if output_margin:
            return self._scores(X, *given)
        found = self.predict_proba(X, *given)
        return cluster.by_row(cluster.most_probable, found, self._classes, width=None, dtype=self._classes.dtype)

    def to_local(self) -> FocalXGBClassifier:
        """The same model as a `FocalXGBClassifier`, for arrays and tables of one machine."""
        self.get_booster()  # `NotFittedError` before `fit`
        given = self.get_params(deep=False)
        given.pop("coll_cfg")
        return FocalXGBClassifier(**given)._become(self, self._focus, self._classes)

    def _scores(self, X: Any, validate_features: bool, base_margin: Any, iteration_range: Any) -> Any:
        refuse_words(cluster.alike_coded("X", X))
        return cluster.array(
            DaskXGBClassifier.predict(
                self,
                X,
                output_margin=True,
                validate_features=validate_features,
                base_margin=base_margin,
                iteration_range=iteration_range,
            )
        )
