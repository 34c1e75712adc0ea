"""A stored model without scikit-learn, whose import takes more time than a small prediction does otherwise.

The booster's own class computes the scores, and the posterior map makes them probabilities, as in our classifiers.
LightGBM and XGBoost do without scikit-learn where it is not installed. They cannot have it later, so this is for a
process of the command's own, in which nothing else needs it.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from focal_loss._calibration.posteriors import posterior_from_logits

Array = Any
START = b'{"format": '  # how the settings in a model file begin
FORMATS = (1, 2)
# Settings that this file knows. Probabilities that depend on others are left to the classifier.
KNOWN = {"format", "digest", "note", "gamma", "weights", "hessian", "temperature", "calibrated", "classes", "dtype"}
KNOWN |= {"start"}  # of LightGBM


@dataclass(frozen=True)
class Quick:
    """A model that predicts, and does nothing else."""

    scores: Callable[[Any], Array]
    gamma: float
    odds: float  # weight of the positives over that of the negatives
    temperature: float

    def predict_proba(self, X: Any) -> Array:
        """The probability of both classes, of shape (n, 2)."""
        scores = np.asarray(self.scores(X), np.float64) / self.temperature
        pair = (-scores, 1 / self.odds), (scores, self.odds)
        return np.column_stack([posterior_from_logits(z, self.gamma, pos_weight=odds) for z, odds in pair])


def model_of(engine: str, content: bytes) -> Quick | None:
    """The model in the content of its file; None if the classifier must read it."""
    settings = settings_of(content)
    if settings is None or "sklearn" in sys.modules:
        return None
    with without("sklearn"):
        try:
            library = importlib.import_module(engine)
        except ModuleNotFoundError:
            return None  # the classifier says what to install
    weights = settings["weights"]
    divisor = settings["temperature"] if settings["calibrated"] == "cv" else 1.0
    return Quick(READERS[engine](library, content), float(settings["gamma"]), weights[1] / weights[0], divisor)


def settings_of(content: bytes) -> dict[str, Any] | None:
    """The settings of our classifier in the content of its file; None if they are not all known here."""
    start = content.rfind(START)
    try:
        found, _ = json.JSONDecoder().raw_decode(content[start:].decode("utf-8", "replace"))
    except ValueError:
        return None
    plain = start >= 0 and found.get("format") in FORMATS and set(found) <= KNOWN
    divisor = {True: 1.0, "cv": found.get("temperature")}.get(found.get("calibrated"))
    return found if plain and divisor and len(found["weights"]) == 2 else None


@contextmanager
def without(name: str) -> Iterator[None]:
    """Imports of a module fail for a while, as if it were not installed."""
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]


def of_lightgbm(library: Any, content: bytes) -> Callable[[Any], Array]:
    model = library.Booster(model_str=content.decode("utf-8"))
    return lambda X: model.predict(X, raw_score=True)


def of_xgboost(library: Any, content: bytes) -> Callable[[Any], Array]:
    model = library.Booster()
    model.load_model(bytearray(content))
    best = model.attr("best_iteration")
    rounds = (0, 0 if best is None else int(best) + 1)
    return lambda X: model.predict(
        library.DMatrix(X, enable_categorical=True), output_margin=True, iteration_range=rounds
    )


def of_catboost(library: Any, content: bytes) -> Callable[[Any], Array]:
    model = library.CatBoost().load_model(blob=content)
    return lambda X: model.predict(X, prediction_type="RawFormulaVal")


READERS = {"lightgbm": of_lightgbm, "xgboost": of_xgboost, "catboost": of_catboost}
