"""The parameters of XGBoost that have no effect on this loss, and those to use instead."""

from __future__ import annotations

from typing import Any

from focal_loss._boosting import classifier

NAMES: dict[str, str] = {}  # other names of a parameter
DEFAULTS: dict[str, Any] = {}  # values that a refused parameter may have, beside None
# Parameters of XGBoost that belong to its own objectives, or would be taken for those of focal loss.
REFUSED = {
    "objective": classifier.OBJECTIVE,
    "scale_pos_weight": classifier.POSITIVES,
    "num_class": classifier.LABELS,
    "alpha": f"{classifier.ALPHA}, for XGBoost's L1 term `reg_alpha`",
    "disable_default_eval_metric": "give `eval_metric=[]` to watch nothing",
}
UNKNOWN = ("pos_weight", "class_weight", "hessian", "calibrated")  # parameters that XGBoost does not know
