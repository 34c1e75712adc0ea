"""The metrics that `FocalXGBClassifier` computes itself."""

from __future__ import annotations

from typing import Any

import xgboost

from focal_loss._boosting import classifier

Array = Any


class Metrics(xgboost.callback.TrainingCallback):
    """Every metric that is computed here.

    XGBoost takes one function, and cuts its value to six decimals. As that function this computes them all; as a
    callback it then writes them into the log, whole, and in the order they were asked for: the last one decides when
    training stops early.
    """

    def __init__(self, ours: dict[str, classifier.Metric], order: list[str]) -> None:
        super().__init__()
        self.ours = ours
        self.order = order
        self.found: list[dict[str, float]] = []  # of this round, for each evaluation set
        self.__name__ = next(iter(ours))

    def __call__(self, labels: Array, scores: Array, sample_weight: Array | None = None) -> float:
        results = {name: metric(labels, scores, sample_weight) for name, metric in self.ours.items()}
        values = {name: float(r[1] if isinstance(r, tuple) else r) for name, r in results.items()}
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
