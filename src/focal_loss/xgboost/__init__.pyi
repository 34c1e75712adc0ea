"""The names of the module, as type checkers and editors see them."""

from focal_loss.xgboost._dask import FocalDaskXGBClassifier as FocalDaskXGBClassifier
from focal_loss.xgboost._estimator import FocalXGBClassifier as FocalXGBClassifier
from focal_loss.xgboost._objectives import binary_focal_metric as binary_focal_metric
from focal_loss.xgboost._objectives import binary_focal_objective as binary_focal_objective
from focal_loss.xgboost._objectives import categorical_focal_metric as categorical_focal_metric
from focal_loss.xgboost._objectives import categorical_focal_objective as categorical_focal_objective
