"""From the scores of a model trained with focal loss back to probabilities.

Such a score is closer to 1/2 than the class posterior. The functions here undo that, and the weights, in closed form;
in the other direction they give the best constant start scores. `FocalTemperature` adds one number fitted to held-out
data, for an overconfident model.

If a tensor of a framework is among the arguments, posteriors and scores are tensors of that framework; arrays of Dask
and of the array API standard give such arrays, without derivatives. All other arguments give NumPy arrays, whatever
backend Keras is set to, because calibration comes after training; start scores and the calibration error are always
NumPy's. Numbers and host arrays are checked, tensors are not read.
"""

from importlib import import_module as _import_module

from focal_loss._calibration.error import expected_calibration_error
from focal_loss._calibration.family import posterior_of_loss
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
    "posterior_of_loss",
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
