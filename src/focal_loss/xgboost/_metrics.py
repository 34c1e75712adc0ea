"""The metrics that `FocalXGBClassifier` computes itself, and those that it leaves to XGBoost."""

from __future__ import annotations

from functools import partial
from typing import Any

import xgboost

from focal_loss._boosting import classifier
from focal_loss.xgboost._objectives import of_all_workers

Array = Any

# XGBoost's names of the metrics that are computed here, because it would compute them from raw scores.
OURS = {
    "focal_loss": classifier.FOCAL_LOSS,
    **dict.fromkeys(("logloss", "mlogloss"), classifier.LOG_LOSS),
    **dict.fromkeys(("error", "merror"), classifier.ERROR),
}
OF_SCORES = ("auc", "aucpr")


class Metrics(xgboost.callback.TrainingCallback):
    """Every metric that is computed here.

    XGBoost takes one metric function, and truncates its value to six decimals. This object is that function, which
    computes all metrics, and a callback, which writes them into the log exactly and in the requested order: the last
    one decides early stopping.
    """

    def __init__(self, ours: dict[str, classifier.Metric], order: list[str]) -> None:
        super().__init__()
        self.ours = ours
        self.order = order
        self.found: list[dict[str, float]] = []  # results of this round, for each evaluation set
        self.__name__ = next(iter(ours))

    def __call__(self, labels: Array, scores: Array, sample_weight: Array | None = None) -> float:
        values = {
            name: of_all_workers(partial(number, metric, labels, scores, sample_weight), labels, sample_weight)
            for name, metric in self.ours.items()
        }
        self.found.append(values)
        return values[self.__name__]

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        for log, values in zip(evals_log.values(), self.found, strict=True):
            log[self.__name__].pop()
            for name, value in values.items():
                log.setdefault(name, []).append(value)
            for name in self.order:
                log[name] = log.pop(name)
        self.found.clear()
        return False


def number(metric: classifier.Metric, *given: Any) -> float:
    found = metric(*given)
    return float(found[1] if isinstance(found, tuple) else found)


def watched(given: dict[str, Any], focus: classifier.Focus, calibrated: classifier.Calibrated) -> dict[str, Any]:
    """XGBoost's parameters for the metrics. `given` are the estimator's parameters."""
    eval_metric, callbacks = given["eval_metric"], given["callbacks"]
    named = "focal_loss" if eval_metric is None else eval_metric
    wanted = list(dict.fromkeys(classifier.listed(named)))
    native, functions = classifier.metrics(wanted, OURS, OF_SCORES)
    # XGBoost must be told an objective, and that one has a metric of raw scores.
    parameters = {"eval_metric": native or None, "disable_default_eval_metric": 1}
    if not functions:
        return parameters
    order = _names(wanted)
    names = [name for name in order if name not in native]
    ours = {n: classifier.Metric(f, focus, calibrated) for n, f in zip(names, functions, strict=True)}
    together = Metrics(ours, order)
    every = [together, *(callbacks or [])]
    metrics = [*native, together] if native else together  # XGBoost makes a name of a list without names
    return {**parameters, "eval_metric": metrics, "callbacks": every}


def _names(metrics: list[Any]) -> list[str]:
    """The names in the record: the second of two functions of one name gets a number."""
    found: list[str] = []
    for metric in metrics:
        name = metric if isinstance(metric, str) else getattr(metric, "__name__", type(metric).__name__)
        taken = sum(known == name or known.startswith(f"{name}_") for known in found)
        found.append(name if name not in found else f"{name}_{taken + 1}")
    return found
