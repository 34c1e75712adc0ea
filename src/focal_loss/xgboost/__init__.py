"""Focal loss for XGBoost: objectives and metrics for `xgboost.train`, and a classifier with probabilities.

>>> import numpy as np, xgboost
>>> from focal_loss.xgboost import binary_focal_objective
>>> data = xgboost.DMatrix(np.arange(100.0)[:, None], np.arange(100) > 60)
>>> booster = xgboost.train({}, data, num_boost_round=9, obj=binary_focal_objective(gamma=2))
"""

from importlib import import_module as _import_module

from focal_loss._boosting import classifier as _classifier
from focal_loss.xgboost._estimator import FocalXGBClassifier
from focal_loss.xgboost._objectives import (
    binary_focal_metric,
    binary_focal_objective,
    categorical_focal_metric,
    categorical_focal_objective,
)

__all__ = [
    "FocalDaskXGBClassifier",
    "FocalXGBClassifier",
    "binary_focal_metric",
    "binary_focal_objective",
    "categorical_focal_metric",
    "categorical_focal_objective",
]


# Editors complete every name without an underscore. Types are in the stub.
def __getattr__(name):
    """The classifier for Dask, which nothing else here needs."""
    if name != "FocalDaskXGBClassifier":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with _classifier.dask_for(name):
        return _import_module("focal_loss.xgboost._dask").FocalDaskXGBClassifier


def __dir__():
    return __all__
