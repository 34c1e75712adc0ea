"""Focal losses for every Python framework, with one meaning and one bound on the error.

`focal_loss.numpy`, `focal_loss.torch`, `focal_loss.jax`, `focal_loss.tensorflow` and `focal_loss.keras.losses` have the
same functions. Those of `focal_loss` itself choose the framework by their arguments. Nothing is imported before it is
used.
"""

from importlib import import_module as _import_module

__version__ = "1.0.0"

# <doors: names> Written by tools/doors.py; `make doors` writes it anew.
_FUNCTIONS = (
    "asymmetric_loss",
    "binary_focal_crossentropy",
    "binary_focal_loss",
    "categorical_focal_crossentropy",
    "categorical_focal_loss",
    "focal_matching_cost",
    "matchability_aware_loss",
    "penalty_reduced_focal_loss",
    "poly1_focal_loss",
    "quality_focal_loss",
    "sparse_categorical_focal_crossentropy",
    "sparse_categorical_focal_loss",
    "varifocal_loss",
)
_CLASSES = (
    "AsymmetricLoss",
    "BinaryFocalCrossentropy",
    "BinaryFocalLoss",
    "CategoricalFocalCrossentropy",
    "CategoricalFocalLoss",
    "MatchabilityAwareLoss",
    "PenaltyReducedFocalLoss",
    "Poly1FocalLoss",
    "QualityFocalLoss",
    "SparseCategoricalFocalCrossentropy",
    "SparseCategoricalFocalLoss",
    "VarifocalLoss",
)
_MODULES = (
    "calibration",
    "catboost",
    "jax",
    "keras",
    "lightgbm",
    "numpy",
    "schedules",
    "sklearn",
    "tensorflow",
    "torch",
    "weights",
    "xgboost",
)
_SETTINGS = ("get_backend", "load", "set_backend", "set_checks", "set_num_threads", "show_config")
# </doors: names>

_HOMES = {
    **dict.fromkeys(_FUNCTIONS, "focal_loss._dispatch.functions"),
    **dict.fromkeys(_CLASSES, "focal_loss.keras.losses"),
    **dict.fromkeys(_SETTINGS, "focal_loss._dispatch.frameworks"),
    "load": "focal_loss._command.model",
    "set_checks": "focal_loss._core.checks",
    "set_num_threads": "focal_loss._host.kernels",
}

# Modules are left out because a star import would hide the frameworks of these names, and classes because they need
# Keras.
__all__ = ["__version__", *_FUNCTIONS, *_SETTINGS]


# Editors complete every name without an underscore. Types are in the stub.
def __getattr__(name):
    if name not in _MODULES and name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    imported = _import_module(f"{__name__}._dispatch.frameworks").load
    return imported(f"{__name__}.{name}") if name in _MODULES else getattr(imported(_HOMES[name]), name)


def __dir__():
    return sorted([*__all__, *_CLASSES, *_MODULES])
