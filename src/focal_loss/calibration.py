"""From the scores of a model trained with focal loss back to probabilities.

Such a score is closer to 1/2 than the probability it stands for. The functions here undo that, and the weights, in
closed form; the other way they give the constant scores to start from. `FocalTemperature` adds one number fitted to
held-out data, for a model that is too sure of what it learned.

A tensor of a framework among the arguments decides: posteriors, and scores of posteriors, are of that framework.
Everything else gives NumPy arrays, whatever backend Keras is set to, as calibration comes after the training; so do
the start scores and the calibration error of anything. Numbers and host arrays are checked, tensors are not read.
"""

from importlib import import_module as _import_module

from focal_loss._calibration.error import expected_calibration_error
from focal_loss._calibration.posteriors import (
    categorical_posterior_from_logits,
    categorical_posterior_from_score,
    categorical_prior_logits,
    posterior_from_logits,
    posterior_from_score,
    prior_logit,
    score_from_posterior,
)

__all__ = [
    "FocalTemperature",  # noqa: F822  (by `__getattr__`)
    "categorical_posterior_from_logits",
    "categorical_posterior_from_score",
    "categorical_prior_logits",
    "expected_calibration_error",
    "posterior_from_logits",
    "posterior_from_score",
    "prior_logit",
    "score_from_posterior",
]


# Editors complete every name without an underscore. Types are in the stub.
def __getattr__(name):
    """The estimator needs scikit-learn, which nothing else here does."""
    if name != "FocalTemperature":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return _import_module("focal_loss._calibration.temperature").FocalTemperature
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("sklearn", "scipy"):
            raise
        message = f"`{name}` needs scikit-learn, which is not installed: pip install 'focal-loss[calibration]'"
        raise ModuleNotFoundError(message, name=error.name) from error


def __dir__():
    return __all__
