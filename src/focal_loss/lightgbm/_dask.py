"""The classifier for tables of Dask."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlparse

import dask
import distributed
import lightgbm
import numpy as np

from focal_loss._boosting import classifier, cluster, temperature
from focal_loss._host.derivatives import Hessian
from focal_loss.lightgbm._estimator import FocalLGBMClassifier, pairs_of
from focal_loss.lightgbm._metrics import watched
from focal_loss.lightgbm._workers import Plan, StoppedError, Sums, free_port, piece, trained

Array = Any

LEARNERS = ("data", "data_parallel", "voting", "voting_parallel")  # those that take rows from several machines


class FocalDaskLGBMClassifier(FocalLGBMClassifier, lightgbm.DaskLGBMClassifier):
    """`lightgbm.DaskLGBMClassifier` trained with the focal loss, for two classes or more.

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
    client : distributed.Client, optional
        The client of the cluster. If None, the current one.
    **kwargs
        Every parameter of `lightgbm.DaskLGBMClassifier`. `fit` refuses one that has no effect on this loss, and says
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
    >>> from focal_loss.lightgbm import FocalDaskLGBMClassifier
    >>> from sklearn.datasets import load_breast_cancer
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X, y = da.from_array(X, chunks=(200, -1)), da.from_array(y, chunks=200)
    >>> with distributed.Client(processes=False, n_workers=1, dashboard_address="127.0.0.1:0"):
    ...     model = FocalDaskLGBMClassifier(gamma=2, n_estimators=20, verbosity=-1).fit(X, y)
    ...     model.predict_proba(X[400:403]).compute().argmax(axis=1)
    array([0, 1, 1])
    """

    def __init__(
        self,
        *,
        gamma: float = 2.0,
        pos_weight: float | None = None,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        hessian: Hessian = "majorizer",
        calibrated: classifier.Calibrated = True,
        client: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            gamma=gamma,
            pos_weight=pos_weight,
            class_weight=class_weight,
            hessian=hessian,
            calibrated=calibrated,
            client=client,
            **kwargs,
        )

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
    ) -> FocalDaskLGBMClassifier:
        """Train. The arguments are those of `lightgbm.DaskLGBMClassifier.fit`, arrays or dataframes of Dask.

        `callbacks` run on every worker: `lightgbm.early_stopping` stops all of them. With an `init_score` or
        `init_model`, training starts there instead of at the solved start score.
        """
        self._refuse()
        temperature.refuse_cluster(self.calibrated)
        client = cluster.synchronous(self.client or distributed.default_client())
        cluster.alike(X=cluster.alike_coded("X", X), y=cluster.column("y", y), init_score=init_score)
        if eval_class_weight is not None:
            raise ValueError(f"`eval_class_weight` must be None, got {eval_class_weight!r}; give `eval_sample_weight`")
        pairs = pairs_of(eval_set, eval_X, eval_y)
        if eval_init_score is not None and init_score is None:
            raise ValueError("`eval_init_score` must come with an `init_score`; without it, training starts at our own")
        found = cluster.labels(client, y, sample_weight)
        each = np.arange(len(found.classes))
        prior = classifier.prior(found.classes, each, found.totals)
        focus = classifier.focus(self, found.classes, each, found.totals)
        start = focus.start(prior)
        if init_score is not None or init_model is not None:
            start = np.zeros_like(start)
        if isinstance(init_model, str | Path):
            init_model = lightgbm.Booster(model_file=init_model)
        told = {"feature_name": feature_name, "categorical_feature": categorical_feature, "callbacks": callbacks}
        told |= {"init_model": init_model, "eval_names": eval_names}
        metrics = summed(watched(self.get_params(), focus, self.calibrated, eval_metric))
        plan = Plan(self._of_one_machine(), found.classes, prior, focus, start, metrics, told)
        train = pieces(client, X, found.codes, found.weight, init_score)
        sets = cluster.evaluation_sets(client, pairs, X, y, found) or []
        many = [None] * len(sets)
        weights, scores = eval_sample_weight or many, eval_init_score or many
        held = [
            None if X_held is X and codes is found.codes else pieces(client, X_held, codes, weight, score)
            for (X_held, codes), weight, score in zip(sets, weights, scores, strict=True)
        ]
        self._copy(self._trained(client, plan, train, held))
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
    ) -> Any:
        """The probability of each class, an array of Dask of shape (n, K), computed when it is asked for. The arguments
        are those of `lightgbm.DaskLGBMClassifier`.
        """
        kwargs |= {"start_iteration": start_iteration, "num_iteration": num_iteration}
        kwargs |= {"validate_features": validate_features}
        if pred_leaf or pred_contrib:
            kwargs |= {"raw_score": raw_score, "pred_leaf": pred_leaf, "pred_contrib": pred_contrib}
            return lightgbm.DaskLGBMClassifier.predict_proba(self, X, **kwargs)
        width = None if raw_score and self.n_classes_ == 2 else self.n_classes_
        of_part = partial(self.to_local().predict_proba, raw_score=raw_score, **kwargs)
        return cluster.by_part(of_part, cluster.table("X", X), width)

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
    ) -> Any:
        """The most probable class of each example, an array of Dask. The arguments are those of
        `lightgbm.DaskLGBMClassifier`.
        """
        given = (raw_score, start_iteration, num_iteration, pred_leaf, pred_contrib, validate_features)
        found = self.predict_proba(X, *given, **kwargs)
        if raw_score or pred_leaf or pred_contrib:
            return found
        return cluster.by_row(cluster.most_probable, found, self._classes, width=None, dtype=self._classes.dtype)

    def decision_function(
        self,
        X: Any,
        *,
        start_iteration: int = 0,
        num_iteration: int | None = None,
        validate_features: bool = False,
        **kwargs: Any,
    ) -> Any:
        """The log-odds of the second of two classes, of shape (n,), positive where `predict` gives that; with more
        classes the logarithms of their probabilities, of shape (n, K). An array of Dask.
        """
        given = {"start_iteration": start_iteration, "num_iteration": num_iteration} | kwargs
        scores = self.predict_proba(X, raw_score=True, validate_features=validate_features, **given)
        width = None if self.n_classes_ == 2 else self.n_classes_
        return cluster.by_row(self._focus.log_odds, scores, self.calibrated, width=width)

    def to_local(self) -> FocalLGBMClassifier:
        """The same model as a `FocalLGBMClassifier`, for arrays and tables of one machine."""
        local = FocalLGBMClassifier(**self._of_one_machine())
        local.__dict__.update(self._learned(self))
        return local

    def _trained(self, client: Any, plan: Plan, train: list[Any], held: list[list[Any] | None]) -> FocalLGBMClassifier:
        """The model that all workers with training rows grow together."""
        home = client.who_has(train)
        rows: dict[str, list[Any]] = defaultdict(list)
        for part in train:
            rows[next(iter(home[part.key]))].append(part)
        workers = sorted(rows)
        with distributed.MultiLock(workers, client):
            network = network_of(client, workers, plan.parameters)
            sums = client.submit(Sums, len(workers), actor=True, workers=workers[:1]).result()
            threads = client.ncores(workers)
            futures = []
            for member, worker in enumerate(workers):
                told = network | {"num_threads": threads[worker]}
                told |= {"local_listen_port": network["ports"][worker]} if len(workers) > 1 else {}
                told.pop("ports", None)
                sets = [None if parts is None else parts[member :: len(workers)] for parts in held]
                at = {"workers": [worker], "allow_other_workers": False, "pure": False}
                futures.append(client.submit(trained, plan, told, member, rows[worker], sets, sums, **at))
            try:
                return client.gather(futures)[0]
            except StoppedError:
                distributed.wait(futures)  # all of them stop
                raise next(f.exception() for f in futures if not isinstance(f.exception(), StoppedError)) from None
            except BaseException:
                sums.stop()
                raise

    def _of_one_machine(self) -> dict[str, Any]:
        parameters: dict[str, Any] = self.get_params(deep=False)
        parameters.pop("client")
        return parameters

    def _copy(self, local: FocalLGBMClassifier) -> None:
        self.__dict__.update(self._learned(local))

    @staticmethod
    def _learned(model: FocalLGBMClassifier) -> dict[str, Any]:
        """The attributes of a model that are not its parameters."""
        known = {*model.get_params(), "client", "_other_params"}
        return {name: value for name, value in vars(model).items() if name not in known}


def pieces(client: Any, *collections: Any) -> list[Any]:
    """The parts of a table with their labels, weights and start scores, as futures, without empty ones."""
    X, y, weight, init_score = collections
    cluster.alike(X=X, y=y, sample_weight=weight, init_score=init_score)
    none = [None] * len(cluster.partitions(X))
    each = zip(*(none if found is None else cluster.partitions(found) for found in collections), strict=True)
    parts = client.compute([dask.delayed(piece)(*part) for part in each])
    sizes = client.gather(client.map(len, parts, pure=False))
    return [part for part, size in zip(parts, sizes, strict=True) if size]


def summed(metrics: list[Any]) -> list[classifier.Metric]:
    """The metrics, if all are means over rows.

    Raises
    ------
    ValueError
        If one is a ranking: the rows of one worker do not tell its part of it.
    """
    for metric in metrics:
        name = metric if isinstance(metric, str) else metric.function
        if name in (classifier.AUC, classifier.AVERAGE_PRECISION, "auc_mu"):
            raise ValueError(f"`eval_metric` must be a mean over rows with Dask, such as 'logloss', got {name!r}")
    return metrics


def network_of(client: Any, workers: list[str], parameters: dict[str, Any]) -> dict[str, Any]:
    """LightGBM's parameters for the workers, and the port of each."""
    learner = parameters.get("tree_learner", "data")
    if learner not in LEARNERS:
        raise ValueError(f"`tree_learner` must be 'data' or 'voting' with Dask, got {learner!r}")
    if len(workers) == 1:
        return {}
    while True:
        asked = [client.submit(free_port, workers=[worker], pure=False) for worker in workers]
        ports = dict(zip(workers, client.gather(asked), strict=True))
        machines = [f"{urlparse(worker).hostname}:{port}" for worker, port in ports.items()]
        if len(set(machines)) == len(workers):
            break
    network = {"machines": ",".join(machines), "num_machines": len(workers), "tree_learner": learner}
    return network | {"time_out": parameters.get("time_out", 120), "ports": ports}
