"""Focal loss for XGBoost: objectives and metrics for `xgboost.train`, and a classifier with probabilities.

>>> import numpy as np, xgboost
>>> from focal_loss.xgboost import binary_focal_objective
>>> data = xgboost.DMatrix(np.arange(100.0)[:, None], np.arange(100) > 60)
>>> booster = xgboost.train({}, data, num_boost_round=9, obj=binary_focal_objective(gamma=2))
"""

from focal_loss.xgboost._estimator import FocalXGBClassifier
from focal_loss.xgboost._objectives import (
    binary_focal_metric,
    binary_focal_objective,
    categorical_focal_metric,
    categorical_focal_objective,
)

__all__ = [
    "FocalXGBClassifier",
    "binary_focal_metric",
    "binary_focal_objective",
    "categorical_focal_metric",
    "categorical_focal_objective",
]
