"""The private names of scikit-learn in use. None can be done without, so where one is gone, the import says which
versions have it.
"""

from __future__ import annotations

import inspect
from typing import Any

import sklearn

from focal_loss._core.private import private

SUPPORTED = "scikit-learn 1.7 to 1.9"
REMEDY = "pip install 'scikit-learn>=1.7,<1.10'"
PARENT = "HistGradientBoostingClassifier"


def needed(module: str, name: str, *parameters: str) -> Any:
    """The attribute of a module by name, which may have dots; a function takes these parameters.

    Raises
    ------
    ImportError
        If it is gone, or does not take them.
    """
    found = private(module, name, "it has no focal loss")
    known = set() if found is None else set(inspect.signature(found).parameters)
    unknown = [parameter for parameter in parameters if parameter not in known]
    if found is not None and not unknown:
        return found
    seen = f"`{module}.{name}` takes no `{unknown[0]}`" if found is not None else f"there is no `{module}.{name}`"
    raise ImportError(f"`focal_loss.sklearn` needs {SUPPORTED}, got {sklearn.__version__}: {seen}; {REMEDY}")


LOSS = ("y_true", "raw_prediction", "sample_weight")
BaseLoss = needed("sklearn._loss.loss", "BaseLoss", "closs", "link", "n_classes")
LogitLink = needed("sklearn._loss.link", "LogitLink")
MultinomialLogit = needed("sklearn._loss.link", "MultinomialLogit")

# The methods of the loss that `fit` calls, and those of the estimator that are overridden or used here.
needed("sklearn._loss.loss", "BaseLoss.__call__", *LOSS, "n_threads")
needed("sklearn._loss.loss", "BaseLoss.loss", *LOSS, "loss_out", "n_threads")
needed("sklearn._loss.loss", "BaseLoss.gradient_hessian", *LOSS, "gradient_out", "hessian_out", "n_threads")
needed("sklearn._loss.loss", "BaseLoss.fit_intercept_only", "y_true", "sample_weight")
needed("sklearn._loss.loss", "BaseLoss.init_gradient_and_hessian", "n_samples", "dtype", "order")
needed("sklearn.ensemble", f"{PARENT}._encode_y", "y")
needed("sklearn.ensemble", f"{PARENT}._finalize_sample_weight", "sample_weight", "y")
needed("sklearn.ensemble", f"{PARENT}._get_loss", "sample_weight")
needed("sklearn.ensemble", f"{PARENT}._is_fitted")
needed("sklearn.ensemble", f"{PARENT}._raw_predict", "X")
needed("sklearn.ensemble", f"{PARENT}._staged_raw_predict", "X")
needed("sklearn.ensemble", f"{PARENT}._compute_partial_dependence_recursion", "grid", "target_features")
