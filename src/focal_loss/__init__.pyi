"""The names of the package, as type checkers and editors see them."""

# <doors: names> Written by tools/doors.py; `make doors` writes it anew.
from focal_loss import calibration as calibration
from focal_loss import catboost as catboost
from focal_loss import jax as jax
from focal_loss import keras as keras
from focal_loss import lightgbm as lightgbm
from focal_loss import numpy as numpy
from focal_loss import schedules as schedules
from focal_loss import sklearn as sklearn
from focal_loss import tensorflow as tensorflow
from focal_loss import torch as torch
from focal_loss import weights as weights
from focal_loss import xgboost as xgboost
from focal_loss._command.model import load as load
from focal_loss._core.checks import set_checks as set_checks
from focal_loss._dispatch.frameworks import get_backend as get_backend
from focal_loss._dispatch.frameworks import set_backend as set_backend
from focal_loss._dispatch.frameworks import show_config as show_config
from focal_loss._dispatch.functions import asymmetric_loss as asymmetric_loss
from focal_loss._dispatch.functions import binary_focal_crossentropy as binary_focal_crossentropy
from focal_loss._dispatch.functions import binary_focal_loss as binary_focal_loss
from focal_loss._dispatch.functions import categorical_focal_crossentropy as categorical_focal_crossentropy
from focal_loss._dispatch.functions import categorical_focal_loss as categorical_focal_loss
from focal_loss._dispatch.functions import focal_matching_cost as focal_matching_cost
from focal_loss._dispatch.functions import matchability_aware_loss as matchability_aware_loss
from focal_loss._dispatch.functions import penalty_reduced_focal_loss as penalty_reduced_focal_loss
from focal_loss._dispatch.functions import poly1_focal_loss as poly1_focal_loss
from focal_loss._dispatch.functions import quality_focal_loss as quality_focal_loss
from focal_loss._dispatch.functions import (
    sparse_categorical_focal_crossentropy as sparse_categorical_focal_crossentropy,
)
from focal_loss._dispatch.functions import sparse_categorical_focal_loss as sparse_categorical_focal_loss
from focal_loss._dispatch.functions import varifocal_loss as varifocal_loss
from focal_loss._host.kernels import set_num_threads as set_num_threads
from focal_loss.keras.losses import AsymmetricLoss as AsymmetricLoss
from focal_loss.keras.losses import BinaryFocalCrossentropy as BinaryFocalCrossentropy
from focal_loss.keras.losses import BinaryFocalLoss as BinaryFocalLoss
from focal_loss.keras.losses import CategoricalFocalCrossentropy as CategoricalFocalCrossentropy
from focal_loss.keras.losses import CategoricalFocalLoss as CategoricalFocalLoss
from focal_loss.keras.losses import MatchabilityAwareLoss as MatchabilityAwareLoss
from focal_loss.keras.losses import PenaltyReducedFocalLoss as PenaltyReducedFocalLoss
from focal_loss.keras.losses import Poly1FocalLoss as Poly1FocalLoss
from focal_loss.keras.losses import QualityFocalLoss as QualityFocalLoss
from focal_loss.keras.losses import SparseCategoricalFocalCrossentropy as SparseCategoricalFocalCrossentropy
from focal_loss.keras.losses import SparseCategoricalFocalLoss as SparseCategoricalFocalLoss
from focal_loss.keras.losses import VarifocalLoss as VarifocalLoss

# </doors: names>

__version__: str
