"""Focal loss for LightGBM: objectives and metrics for `lightgbm.train`, and a classifier with probabilities.

>>> from focal_loss.lightgbm import FocalLGBMClassifier
>>> model = FocalLGBMClassifier(gamma=2, n_estimators=50)
"""

from importlib import import_module as _import_module

from focal_loss._boosting import classifier as _classifier
from focal_loss.lightgbm._estimator import FocalLGBMClassifier
from focal_loss.lightgbm._objectives import (
    binary_focal_metric,
    binary_focal_objective,
    categorical_focal_metric,
    categorical_focal_objective,
)

__all__ = [
    "FocalDaskLGBMClassifier",
    "FocalLGBMClassifier",
    "binary_focal_metric",
    "binary_focal_objective",
    "categorical_focal_metric",
    "categorical_focal_objective",
]


# Editors complete every name without an underscore. Types are in the stub.
def __getattr__(name):
    """The classifier for Dask, which nothing else here needs."""
    if name != "FocalDaskLGBMClassifier":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with _classifier.dask_for(name):
        return _import_module("focal_loss.lightgbm._dask").FocalDaskLGBMClassifier


def __dir__():
    return __all__
