"""Focal loss for LightGBM: objectives and metrics for `lightgbm.train`, and a classifier with probabilities.

>>> from focal_loss.lightgbm import FocalLGBMClassifier
>>> model = FocalLGBMClassifier(gamma=2, n_estimators=50)
"""

from focal_loss.lightgbm._estimator import FocalLGBMClassifier
from focal_loss.lightgbm._objectives import (
    binary_focal_metric,
    binary_focal_objective,
    categorical_focal_metric,
    categorical_focal_objective,
)

__all__ = [
    "FocalLGBMClassifier",
    "binary_focal_metric",
    "binary_focal_objective",
    "categorical_focal_metric",
    "categorical_focal_objective",
]
