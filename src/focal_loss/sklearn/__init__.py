"""Focal loss for scikit-learn's own histogram trees: a classifier with probabilities.

>>> import numpy as np
>>> from focal_loss.sklearn import FocalHistGradientBoostingClassifier
>>> model = FocalHistGradientBoostingClassifier(gamma=2).fit(np.arange(100.0)[:, None], np.arange(100) > 60)
>>> model.predict([[5.0], [95.0]])
array([False,  True])
"""

from focal_loss.sklearn._estimator import FocalHistGradientBoostingClassifier

__all__ = ["FocalHistGradientBoostingClassifier"]
