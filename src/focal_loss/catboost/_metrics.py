"""The metrics that `FocalCatBoostClassifier` computes itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from focal_loss._boosting import classifier
from focal_loss.catboost._objectives import Metric

Array = Any

# CatBoost's names of the metrics that are computed here, because it would compute them from raw scores.
OURS = {
    "focal_loss": classifier.FOCAL_LOSS,
    **dict.fromkeys(("Logloss", "CrossEntropy", "MultiClass", "logloss"), classifier.LOG_LOSS),
    "ZeroOneLoss": classifier.ERROR,
    "Accuracy": "accuracy",
}
OF_SCORES = ("AUC", "PRAUC", "NormalizedGini")  # CatBoost computes these equally well from scores
BORDER = "proba_border"
POSTERIOR = ":posterior"  # suffix of a name that CatBoost's own record uses too, for scores


@dataclass(frozen=True)
class MetricOfFit:
    """A metric of the classifier. `factors` holds, per class, the factor by which CatBoost itself has multiplied the
    weights.
    """

    metric: classifier.Metric
    more_is_better: bool
    factors: Array | None
    no_jit: ClassVar[bool] = True

    def is_max_optimal(self) -> bool:
        return self.more_is_better

    def evaluate(self, approxes: Sequence[Array], target: Array, weight: Array | None) -> tuple[float, float]:
        labels = np.asarray(target).astype(np.int64)
        weight = np.ones(len(labels)) if weight is None else np.asarray(weight, np.float64)
        if self.factors is not None:
            weight = weight / self.factors[labels]
        scores = approxes[0] if len(approxes) == 1 else np.column_stack(approxes)
        total = float(weight.sum())
        return (float(self.metric(labels, scores, weight)[1]) * total if total else 0.0), total

    get_final_error = Metric.get_final_error


def metric_of_fit(name: str, metric: classifier.Metric, labels: Array, factors: Array | None) -> MetricOfFit:
    """A metric in CatBoost's form. CatBoost asks whether higher is better before the first value, and names it by its
    class.
    """
    classes = metric.focus.classes
    own, _, more_is_better = metric(labels, np.zeros((len(labels), classes) if classes > 2 else len(labels)), None)
    found: type[MetricOfFit] = type(name or str(own), (MetricOfFit,), {})
    return found(metric, bool(more_is_better), factors)


def unchanged(wanted: str, focus: classifier.Focus, factors: Array | None) -> bool:
    """Whether CatBoost's own log loss equals that of the probabilities: with its own loss and no class weights."""
    return not focus.gamma and factors is None and wanted == ("Logloss" if focus.classes == 2 else "MultiClass")


def asked(wanted: Any, focus: classifier.Focus, calibrated: classifier.Calibrated) -> tuple[str, classifier.Metric]:
    """The metric that a user requests, and the name of its record: the one by which it was requested."""
    if not isinstance(wanted, str):
        return "", classifier.Metric(wanted, focus, calibrated)
    base, _, options = wanted.partition(":")
    _, ours = classifier.metrics(base, OURS, OF_SCORES)
    function, name = ours[0], wanted
    if function in ("accuracy", classifier.ERROR):
        function = _right(_border(wanted, options, focus.classes), function == "accuracy")
    elif options:
        raise ValueError(f"`eval_metric` takes no options for {base!r}, got {wanted!r}")
    if not focus.gamma and base in ("Logloss", "MultiClass"):
        name += POSTERIOR
    return name, classifier.Metric(function, focus, calibrated)


def recorded(record: dict[str, Any]) -> dict[str, Any]:
    """The record, with the requested log loss in place of the entry for CatBoost's own loss."""
    for values in record.values():
        for name in [name for name in values if name.endswith(POSTERIOR)]:
            values[name.removesuffix(POSTERIOR)] = values.pop(name)
    return record


def _border(wanted: str, options: str, classes: int) -> float:
    name, _, value = options.partition("=")
    if not options:
        return 0.5
    try:
        border = float(value)
    except ValueError:
        border = -1.0
    if name != BORDER or classes > 2 or not 0 <= border <= 1:
        raise ValueError(
            f"`eval_metric` takes {BORDER!r} in [0, 1], for two classes, and no other option, got {wanted!r}"
        )
    return border


def _right(border: float, accuracy: bool) -> Callable[..., Any]:
    """The fraction of examples whose class is predicted correctly, or wrongly."""

    def rate(labels: Array, probabilities: Array, weight: Array | None) -> tuple[str, float, bool]:
        found = probabilities > border if probabilities.ndim == 1 else probabilities.argmax(axis=1)
        right = float(np.average(found == labels, weights=weight))
        return ("accuracy", right, True) if accuracy else ("error", 1 - right, False)

    return rate
