"""The losses as functions of arrays that have no module here."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

from focal_loss._array_api.libraries import DASK, library_of
from focal_loss._array_api.standard import backend_of_array
from focal_loss._core.declare import Loss, checked
from focal_loss._core.losses import LOSSES
from focal_loss._core.pipeline import Backend


def backend_of(*arguments: Any) -> Backend:
    """The backend of the first array among the arguments that is computed here. The prediction comes first, because its
    device decides.
    """
    array = next(value for value in arguments if library_of(value) is not None)
    if library_of(array) != DASK:
        return backend_of_array(array)
    from focal_loss._array_api.dask import FORMULA

    return FORMULA


def _loss(loss: Loss, y_true: Any, y_pred: Any, **given: Any) -> Any:
    options = checked(loss.options, **given)
    xp = backend_of(y_pred, y_true, *(given[name] for name in loss.options.arrays))
    return loss.compute(xp, y_true, y_pred, options)


def _unlabeled(loss: Loss, y_pred: Any, **given: Any) -> Any:
    return _loss(loss, None, y_pred, **given)


# The functions by name, as a module has them.
FUNCTIONS = SimpleNamespace(**{loss.name: partial(_loss if loss.labeled else _unlabeled, loss) for loss in LOSSES})
