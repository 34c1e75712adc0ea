"""Code of a user. Type checkers must complain only of lines that end in `# error: WORD`, and name that word there.
`test_types.py` runs them.
"""

from typing import Any, assert_type

import jax
import numpy as np
import torch
from numpy.typing import NDArray

import focal_loss
import focal_loss.calibration
import focal_loss.catboost
import focal_loss.jax
import focal_loss.keras.layers
import focal_loss.keras.losses
import focal_loss.keras.metrics
import focal_loss.lightgbm
import focal_loss.numpy
import focal_loss.sklearn
import focal_loss.tensorflow
import focal_loss.torch
import focal_loss.xgboost
from focal_loss import BinaryFocalLoss, binary_focal_loss

y, z = np.array([1, 0]), np.array([0.5, -1.5])

# A name that is wrong.
from focal_loss import binray_focal_loss  # noqa: E402, F401  # error: binray_focal_loss

focal_loss.binray_focal_loss  # error: binray_focal_loss
focal_loss.numpy.binray_focal_loss  # error: binray_focal_loss
focal_loss.torch.BinrayFocalLoss  # error: BinrayFocalLoss
focal_loss.jax.binray_focal_loss  # error: binray_focal_loss
focal_loss.tensorflow.binray_focal_loss  # error: binray_focal_loss
focal_loss.keras.losses.BinrayFocalLoss  # error: BinrayFocalLoss
focal_loss.keras.metrics.BinrayFocalLoss  # error: BinrayFocalLoss
focal_loss.keras.layers.PosteriorFromLogit  # error: PosteriorFromLogit
focal_loss.lightgbm.binray_focal_objective  # error: binray_focal_objective
focal_loss.xgboost.binray_focal_objective  # error: binray_focal_objective
focal_loss.catboost.binray_focal_objective  # error: binray_focal_objective
focal_loss.sklearn.FocalLGBMClassifier  # error: FocalLGBMClassifier
focal_loss.calibration.prior_logits  # error: prior_logits

# A keyword that is wrong.
binary_focal_loss(y, z, 2, logits=True)  # error: logits
focal_loss.numpy.binary_focal_loss(y, z, 2, logits=True)  # error: logits
focal_loss.torch.binary_focal_loss(y, z, 2, logits=True)  # error: logits
focal_loss.torch.BinaryFocalLoss(2, logits=True)  # error: logits
focal_loss.jax.binary_focal_loss(y, z, 2, reduction="mean")  # error: reduction
focal_loss.tensorflow.binary_focal_loss(y, z, 2, logits=True)  # error: logits
focal_loss.keras.losses.binary_focal_loss(y, z, 2, logits=True)  # error: logits
focal_loss.keras.losses.BinaryFocalLoss(2, logits=True)  # error: logits
focal_loss.keras.metrics.BinaryFocalLoss(2, logits=True)  # error: logits
focal_loss.torch.PosteriorFromLogits(2, class_weight=2)  # error: class_weight
focal_loss.lightgbm.binary_focal_objective(2, class_weight=2)  # error: class_weight
focal_loss.xgboost.binary_focal_objective(2, class_weight=2)  # error: class_weight
focal_loss.catboost.binary_focal_objective(2, class_weight=2)  # error: class_weight
focal_loss.sklearn.FocalHistGradientBoostingClassifier(n_estimators=2)  # error: n_estimators
focal_loss.calibration.posterior_from_logits(z, 2, class_weight=2)  # error: class_weight

# A value that is wrong.
binary_focal_loss(y, z, gamma="two")  # error: gamma
focal_loss.numpy.binary_focal_loss(y, z, gamma="two")  # error: gamma
focal_loss.numpy.binary_focal_loss_derivatives(y, z, gamma="two")  # error: gamma
focal_loss.torch.binary_focal_loss(y, z, gamma="two")  # error: gamma
focal_loss.torch.binary_focal_loss(y, z, 2, reduction="maen")  # error: reduction
focal_loss.torch.BinaryFocalLoss(gamma="two")  # error: gamma
focal_loss.jax.binary_focal_loss(y, z, gamma="two")  # error: gamma
focal_loss.tensorflow.binary_focal_loss(y, z, gamma="two")  # error: gamma
focal_loss.keras.losses.binary_focal_loss(y, z, gamma="two")  # error: gamma
focal_loss.keras.losses.BinaryFocalLoss(gamma="two")  # error: gamma
focal_loss.keras.metrics.BinaryFocalLoss(gamma="two")  # error: gamma
focal_loss.lightgbm.categorical_focal_objective(gamma="two")  # error: gamma
focal_loss.lightgbm.FocalLGBMClassifier(gamma="two")  # error: gamma
focal_loss.xgboost.categorical_focal_objective(gamma="two")  # error: gamma
focal_loss.xgboost.FocalXGBClassifier(hessian="exakt")  # error: hessian
focal_loss.catboost.categorical_focal_objective(gamma="two")  # error: gamma
focal_loss.catboost.FocalCatBoostClassifier(gamma="two")  # error: gamma
focal_loss.sklearn.FocalHistGradientBoostingClassifier(gamma="two")  # error: gamma
focal_loss.calibration.posterior_from_logits(z, gamma="two")  # error: gamma
focal_loss.calibration.FocalTemperature(gamma="two")  # error: gamma

# An option that goes by keyword only.
binary_focal_loss(y, z, 2, 1.0)  # error: positional
focal_loss.keras.losses.BinaryFocalLoss(2, 1.0)  # error: positional
focal_loss.keras.losses.SparseCategoricalFocalLoss(2, None, True)
focal_loss.keras.metrics.SparseCategoricalFocalLoss(2, None)  # error: positional

# What gamma and weights can be.
for gamma in (2, 0.5, [1, 2], (1.0, 2.0), z, torch.tensor(2.0), jax.numpy.ones(2)):
    binary_focal_loss(y, z, gamma, pos_weight=gamma)

# What comes back.
assert_type(binary_focal_loss(y, z, 2), Any)
assert_type(focal_loss.numpy.binary_focal_loss(y, z, 2), NDArray[Any])
assert_type(focal_loss.torch.binary_focal_loss(y, z, 2), torch.Tensor)
assert_type(focal_loss.torch.BinaryFocalLoss(2)(y, z), torch.Tensor)
assert_type(focal_loss.jax.binary_focal_loss(y, z, 2), jax.Array)
assert_type(focal_loss.tensorflow.binary_focal_loss(y, z, 2), Any)
assert_type(focal_loss.keras.losses.binary_focal_loss(y, z, 2), Any)
assert_type(BinaryFocalLoss(2), focal_loss.keras.losses.BinaryFocalLoss)
assert_type(focal_loss.calibration.categorical_prior_logits([0.5, 0.5], 2), NDArray[np.float64])
assert_type(focal_loss.get_backend(), str)
assert_type(focal_loss.lightgbm.FocalLGBMClassifier().fit(z, y), focal_loss.lightgbm.FocalLGBMClassifier)
assert_type(focal_loss.xgboost.FocalXGBClassifier().fit(z, y), focal_loss.xgboost.FocalXGBClassifier)
