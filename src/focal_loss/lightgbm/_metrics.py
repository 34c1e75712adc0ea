"""The metrics that `FocalLGBMClassifier` computes itself, and those that it leaves to LightGBM."""

from __future__ import annotations

from itertools import takewhile
from typing import Any

from focal_loss._boosting import classifier

# LightGBM's names of the metrics that are computed here, because it would compute them from raw scores, and its names
# of their results, for two classes and for more.
OURS = {
    "focal_loss": classifier.FOCAL_LOSS,
    **dict.fromkeys(("logloss", "binary_logloss", "binary"), classifier.LOG_LOSS),
    **dict.fromkeys(("multi_logloss", "multiclass", "softmax"), classifier.LOG_LOSS),
    **dict.fromkeys(("error", "binary_error", "multi_error"), classifier.ERROR),
}
RECORDS = {
    classifier.LOG_LOSS: ("binary_logloss", "multi_logloss"),
    classifier.ERROR: ("binary_error", "multi_error"),
}
OF_SCORES = ("auc", "average_precision", "auc_mu")
NO_METRIC = ("", "None", "none", "null", "na", "custom")


def watched(
    given: dict[str, Any], focus: classifier.Focus, calibrated: classifier.Calibrated, eval_metric: Any
) -> list[Any]:
    """The metrics that `fit` evaluates: those of its argument, then those of the estimator, by default the loss itself.

    `given` are the estimator's parameters. LightGBM computes its own metrics first, whatever their order. The order
    decides which one stops training early, so only the leading ones are left to LightGBM.
    """
    own = next((given[name] for name in ("metric", "metrics", "metric_types") if given.get(name)), "focal_loss")
    named = [*classifier.listed(eval_metric), *classifier.listed(own)]
    split = [part for metric in named for part in (metric.split(",") if isinstance(metric, str) else [metric])]
    wanted = [metric for k, metric in enumerate(split) if metric not in (*NO_METRIC, *split[:k])]
    native = list(takewhile(lambda metric: isinstance(metric, str) and metric in OF_SCORES, wanted))
    here = OURS if focus.classes > 2 else OURS | {name: name for name in OF_SCORES[:2]}
    late, functions = classifier.metrics(wanted[len(native) :], here, OF_SCORES)
    if late:
        raise ValueError(f"`eval_metric` must have {late[0]!r} first: LightGBM computes it before all others")
    many = focus.classes > 2
    return native + [
        classifier.Metric(function, focus, calibrated, RECORDS[function][many] if function in RECORDS else None)
        for function in functions
    ]
