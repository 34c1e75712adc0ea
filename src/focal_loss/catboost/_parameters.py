"""CatBoost's parameters that have no effect on this loss, and the defaults that it computes for its own losses."""

from __future__ import annotations

import math
from typing import Any

from focal_loss._boosting.classifier import LABELS, OBJECTIVE, POSITIVES

NAMES = {
    "max_depth": "depth",
    "n_estimators": "iterations",
    "num_boost_round": "iterations",
    "num_trees": "iterations",
    "colsample_bylevel": "rsm",
    "random_state": "random_seed",
    "reg_lambda": "l2_leaf_reg",
    "eta": "learning_rate",
    "max_bin": "border_count",
    "min_child_samples": "min_data_in_leaf",
    "num_leaves": "max_leaves",
}
SHRINKAGE = "CatBoost does not shrink models that start from a score, as this one does; give `l2_leaf_reg`"
REFUSED = {
    **dict.fromkeys(("loss_function", "objective"), OBJECTIVE),
    **dict.fromkeys(("class_weights", "auto_class_weights"), "give `class_weight`, a dict or 'balanced'"),
    "scale_pos_weight": POSITIVES,
    "boost_from_average": "training starts at the best constant score",
    **dict.fromkeys(("class_names", "classes_count", "target_border"), LABELS),
    **dict.fromkeys(("model_shrink_rate", "model_shrink_mode", "posterior_sampling"), SHRINKAGE),
}
DEFAULTS: dict[str, Any] = {"model_shrink_rate": 0.0, "model_shrink_mode": "Constant"}

# CatBoost takes a learning rate of exp(B + A log(examples) + C log(rounds / 1000)), at most 0.5, for its own losses.
# The table gives (A, B, C) by whether the best round is kept and whether the loss is Logloss or MultiClass.
LEARNING_RATE = {
    (True, True): (0.247, -5.158, -0.435),
    (True, False): (0.427, -7.525, -0.917),
    (False, True): (0.02, -2.364, -0.382),
    (False, False): (0.051, -2.889, -0.845),
}


def chosen(given: dict[str, Any], classes: int, examples: int, columns: int, watched: bool) -> dict[str, Any]:
    """The defaults that CatBoost 1.2 computes for its Logloss or MultiClass, but not for an objective in Python.

    With these defaults gamma = 0 is the limit of small gammas, whichever parameters the caller leaves out.
    """
    found: dict[str, Any] = {}
    rounds = given.get("iterations", 1000)
    if not {"learning_rate", "leaf_estimation_iterations", "leaf_estimation_method", "l2_leaf_reg"} & set(given):
        size, constant, of_rounds = LEARNING_RATE[classes == 2, watched]
        rate = math.exp(constant + size * math.log(examples) + of_rounds * math.log(rounds / 1000))
        found["learning_rate"] = round(min(rate, 0.5), 6)
    if classes == 2 and "leaf_estimation_iterations" not in given:
        found["leaf_estimation_iterations"] = 10 if columns >= 20 or rounds >= 200 else 1
    if classes > 2 and not {"bootstrap_type", "subsample"} & set(given):
        found["bootstrap_type"] = "Bayesian"
    return found


# Parameters of the course of training, which folds do without: no evaluation set, no output, no files.
COURSE = (
    *("use_best_model", "od_type", "od_wait", "od_pval", "early_stopping_rounds", "eval_fraction"),
    *("eval_metric", "custom_metric", "custom_loss", "metric_period"),
    *("verbose", "verbose_eval", "silent", "logging_level", "train_dir", "name"),
    *("save_snapshot", "snapshot_file", "snapshot_interval"),
)
# Parameters whose defaults depend on the numbers of rows and rounds.
CHOSEN = ("learning_rate", "leaf_estimation_iterations", "bootstrap_type")


def of_folds(given: dict[str, Any], used: dict[str, Any], rounds: int) -> dict[str, Any]:
    """The parameters of a model of a part of the rows: those given, and the defaults that the fit to all has used."""
    kept = {NAMES.get(name, name): value for name, value in given.items() if name not in COURSE}
    defaults = {name: used[name] for name in CHOSEN if name in used}
    return defaults | kept | {"iterations": rounds, "logging_level": "Silent", "allow_writing_files": False}
