"""The settings of a classifier in the file of its booster's model."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import numpy as np

from focal_loss._boosting import objective, temperature
from focal_loss._boosting.classifier import Array, Focus
from focal_loss._core import options
from focal_loss._host import derivatives

FORMAT = 2  # the version of the settings; 1 has no temperature
# For whoever opens the file without this library.
NOTE = "the trees give scores; neither they nor their sigmoid or softmax are probabilities: docs/deployment.md"
UNREADABLE = (ValueError, TypeError, KeyError, RecursionError, OverflowError)  # by settings that are damaged
DIGEST = re.compile(rb"sha256:([0-9a-f]{64})")
BLANK = "sha256:" + 64 * "0"


def seal(content: bytes) -> bytes:
    """The content of a file, with its digest in place of the `BLANK` that `remember` wrote."""
    digest = hashlib.sha256(content).hexdigest()
    return content.replace(BLANK.encode(), b"sha256:" + digest.encode())


def unbroken(content: bytes, source: Any) -> bytes:
    """The content of a file that `seal` made, after comparison with its digest: parsers of damaged models may crash, or
    worse.

    Raises
    ------
    ValueError
        If the digests differ. A file without a digest passes, because older versions and other programs write none.
    """
    found = DIGEST.search(content)
    if found is not None:
        blank = content.replace(found.group(), BLANK.encode())
        if hashlib.sha256(blank).hexdigest().encode() != found.group(1):
            raise ValueError(f"{source} is damaged: it does not have the SHA-256 that it was saved with; save it anew")
    return content


def remember(estimator: Any, fitted: Focus, classes: Array, **more: Any) -> str:
    """The parameters, the classes and further settings of an adapter, as one line of JSON."""
    values = classes.tolist()
    if not all(isinstance(value, str | int | float | bool) for value in values):
        raise TypeError(f"only classes that are strings or numbers can be saved, got {values!r}; pickle the estimator")
    return json.dumps(
        {
            "format": 1 if fitted.temperature is None else FORMAT,
            "digest": BLANK,
            "note": NOTE,
            "gamma": fitted.gamma,
            "weights": fitted.weights,
            "hessian": fitted.hessian,
            "temperature": fitted.temperature,
            "calibrated": temperature.CV if temperature.is_cv(estimator.calibrated) else bool(estimator.calibrated),
            "classes": values,
            "dtype": "object" if classes.dtype == object else classes.dtype.str,
        }
        | more
    )


def damaged(source: Any, error: Exception) -> ValueError:
    return ValueError(f"{source} is damaged: what it holds of focal loss cannot be read ({error})")


def recall(estimator: Any, text: str | None, source: Any) -> tuple[Focus, Array]:
    """Set the parameters of an estimator to those of a saved model, and return the classes.

    Raises
    ------
    ValueError
        If the model was not saved by a classifier of this library, or by a newer version of it, or is damaged.
    """
    if text is None:
        raise ValueError(f"{source} holds no focal loss; it was not saved by {type(estimator).__name__}.save_model")
    try:
        known = json.loads(text)
        newer = known["format"] > FORMAT
    except UNREADABLE as error:
        raise damaged(source, error) from error
    if newer:
        raise ValueError(f"{source} was saved by a newer version of focal_loss; upgrade it")
    try:
        classes = np.array(known["classes"], dtype=known["dtype"])
        weights = tuple(options.sample_weights(known["weights"], len(classes)).tolist())
        gamma, hessian = objective.one_number("gamma", known["gamma"]), derivatives.hessian_of(known["hessian"])
        divisor = known.get("temperature")
        if divisor is not None:
            divisor = objective.one_number("temperature", options.positive("temperature", divisor))
        fitted = Focus(gamma, weights, hessian, divisor)
        fitted.tempered(0.0, known["calibrated"])
    except UNREADABLE as error:
        raise damaged(source, error) from error
    by_class = dict(zip(known["classes"], fitted.weights, strict=True))
    estimator.set_params(gamma=fitted.gamma, pos_weight=None, class_weight=by_class, hessian=fitted.hessian)
    estimator.set_params(calibrated=known["calibrated"])
    return fitted, classes
