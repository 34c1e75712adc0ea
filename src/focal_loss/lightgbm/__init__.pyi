"""The names of the module, as type checkers and editors see them."""

from focal_loss.lightgbm._dask import FocalDaskLGBMClassifier as FocalDaskLGBMClassifier
from focal_loss.lightgbm._estimator import FocalLGBMClassifier as FocalLGBMClassifier
from focal_loss.lightgbm._objectives import binary_focal_metric as binary_focal_metric
from focal_loss.lightgbm._objectives import binary_focal_objective as binary_focal_objective
from focal_loss.lightgbm._objectives import categorical_focal_metric as categorical_focal_metric
from focal_loss.lightgbm._objectives import categorical_focal_objective as categorical_focal_objective
