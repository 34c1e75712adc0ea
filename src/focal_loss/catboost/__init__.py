"""Focal loss for CatBoost: objectives and metrics for `loss_function` and `eval_metric`, and a classifier with
probabilities.

>>> import catboost
>>> from focal_loss.catboost import binary_focal_metric, binary_focal_objective
>>> loss = {"loss_function": binary_focal_objective(gamma=2), "eval_metric": binary_focal_metric(gamma=2)}
>>> pool = catboost.Pool([[k % 7.0] for k in range(100)], [k % 7 > 4 for k in range(100)])
>>> booster = catboost.train(pool, loss | {"iterations": 9, "verbose": False, "allow_writing_files": False})
"""

from focal_loss.catboost._estimator import FocalCatBoostClassifier
from focal_loss.catboost._objectives import (
    binary_focal_metric,
    binary_focal_objective,
    categorical_focal_metric,
    categorical_focal_objective,
)

__all__ = [
    "FocalCatBoostClassifier",
    "binary_focal_metric",
    "binary_focal_objective",
    "categorical_focal_metric",
    "categorical_focal_objective",
]
