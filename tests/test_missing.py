"""Masked and missing entries in every argument of every function, in every framework: refused, never computed."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from cases import ONE_HOT
from sklearn.exceptions import ConvergenceWarning
from test_arguments import TENSORS, alone, by_function, right

import focal_loss.torch
from focal_loss import calibration

__all__ = ["alone"]  # a fixture for every test here


class Polars:
    """A column as polars has it; `make test-compat` runs the library itself."""

    __module__ = "polars.series.series"
    shape, dtype = (2,), "Float64"

    def null_count(self) -> int:
        return 1

    def to_numpy(self) -> np.ndarray:
        return np.array([1.0, np.nan])

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.to_numpy()


MASKED = np.ma.array([0.5, 1.0, 1.0], mask=[False, True, False])
MISSING: dict[str, Callable[[], Any]] = {
    "masked array": lambda: MASKED,
    "masked array of two axes": lambda: np.ma.array(ONE_HOT, mask=ONE_HOT == 1)[:1],
    "masked constant": lambda: np.ma.masked,
    "list of a masked constant": lambda: [1, np.ma.masked, 0],
    "list of masked arrays": lambda: [np.ma.array([1, 0]), MASKED[:2]],
    "list of pandas": lambda: [pd.Series([1, None], dtype="Int64"), pd.Series([1, 0])],
    "tuple of lists": lambda: ([1, 0], [np.ma.masked, 1]),
    "pandas integers": lambda: pd.Series([1, None], dtype="Int64"),
    "pandas floats": lambda: pd.array([0.5, None], dtype="Float64"),
    "pandas truths": lambda: pd.Series([True, None], dtype="boolean"),
    "pandas on pyarrow": lambda: pd.Series([0.5, None], dtype="float64[pyarrow]"),
    "pandas frame": lambda: pd.DataFrame({"a": [1.0, 0.0], "b": pd.array([None, 1], dtype="Int64")}),
    "pandas index": lambda: pd.Index([1, None], dtype="Int64"),
    "pyarrow": lambda: pa.array([1.0, None]),
    "pyarrow in chunks": lambda: pa.chunked_array([[1], [None]]),
    "polars": Polars,
    "list of polars": lambda: [Polars()],
}
WHOLE: dict[str, Callable[[Any], Any]] = {
    "masked array": lambda x: np.ma.array(x, mask=False),
    "masked array without a mask": np.ma.array,
    "pandas": lambda x: pd.Series(x, dtype="Int64") if x.ndim == 1 else pd.DataFrame(x),
}
HOLDS = "must hold a value in every place, got 1 masked or missing; leave those examples out"
DATA = ("y_true", "y_pred", "labels", "logits", "inputs", "targets", "hidden", "gamma", "pos_weight", "class_weight")


@by_function
@pytest.mark.parametrize("kind", MISSING)
def test_losses_refuse_masked_and_missing_entries(function: Callable[..., Any], kind: str) -> None:
    names = set(inspect.signature(function).parameters) & set(DATA)
    if function.__module__.startswith("focal_loss.torch"):
        names -= {*TENSORS}
    for name in names:
        with pytest.raises(ValueError, match=f"^`{name}` {HOLDS}"):
            function(**right(function) | {name: MISSING[kind]()})


@by_function
@pytest.mark.parametrize("kind", WHOLE)
def test_a_mask_of_nothing_passes(function: Callable[..., Any], kind: str) -> None:
    given = right(function)
    name = next(name for name in ("y_true", "labels", "targets", "y_pred") if name in given)
    found, expected = (
        function(**given | {name: value}) for value in (WHOLE[kind](np.asarray(given[name])), given[name])
    )
    several = isinstance(found, tuple)
    for one, other in zip(*((found, expected) if several else ([found], [expected])), strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize("module", ["BinaryFocalLoss", "CategoricalFocalLoss", "SparseCategoricalFocalLoss"])
def test_modules_refuse_masked_entries(module: str) -> None:
    with pytest.raises(ValueError, match=f"^`y_true` {HOLDS}"):
        getattr(focal_loss.torch, module)(2, from_logits=True)(MASKED, torch.zeros(3, 1))
    for name in ("gamma", "pos_weight" if module[0] == "B" else "class_weight"):
        with pytest.raises(ValueError, match=f"^`{name}` {HOLDS}"):
            getattr(focal_loss.torch, module)(**{"gamma": 2} | {name: MASKED})


P = np.array([0.25, 0.5, 0.75])
CALIBRATION: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "posterior_from_logits": (calibration.posterior_from_logits, {"logits": P, "gamma": 2, "pos_weight": 1.0}),
    "posterior_of_loss": (
        lambda **given: calibration.posterior_of_loss("varifocal_loss", **given), {"logits": P, "gamma": 2, "alpha": 1}
    ),
    "posterior_from_score": (calibration.posterior_from_score, {"score": P, "gamma": 2, "pos_weight": 1.0}),
    "score_from_posterior": (calibration.score_from_posterior, {"posterior": P, "gamma": 2, "pos_weight": 1.0}),
    "categorical_posterior_from_logits": (
        calibration.categorical_posterior_from_logits, {"logits": P, "gamma": 2, "class_weight": 1.0}
    ),
    "categorical_posterior_from_score": (
        calibration.categorical_posterior_from_score, {"scores": P, "gamma": 2, "class_weight": 1.0}
    ),
    "prior_logit": (calibration.prior_logit, {"prior": P, "gamma": 2, "pos_weight": 1.0}),
    "categorical_prior_logits": (
        calibration.categorical_prior_logits, {"prior": P, "gamma": 2, "class_weight": 1.0}
    ),
    "expected_calibration_error": (
        calibration.expected_calibration_error, {"y_true": [0, 1, 1], "y_prob": P, "sample_weight": None}
    ),
    "FocalTemperature.fit": (
        calibration.FocalTemperature().fit, {"logits": P, "y": [0, 1, 0], "sample_weight": None}
    ),
    "FocalTemperature": (
        lambda **options: calibration.FocalTemperature(**options).fit(P, [0, 1, 0]), {"gamma": 2, "pos_weight": 1.0}
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", MISSING)
@pytest.mark.parametrize("name", CALIBRATION)
@pytest.mark.filterwarnings(f"ignore::{ConvergenceWarning.__module__}.{ConvergenceWarning.__name__}")
def test_calibration_refuses_masked_and_missing_entries(name: str, kind: str) -> None:
    function, given = CALIBRATION[name]
    function(**given)
    for argument in given:
        with pytest.raises(ValueError, match=f"^`{argument}` {HOLDS}"):
            function(**given | {argument: MISSING[kind]()})


def test_a_temperature_refuses_masked_logits() -> None:
    model = calibration.FocalTemperature().fit([-1.0, 2, 1, 3], [0, 0, 1, 1])
    for method in (model.predict, model.predict_proba, model.decision_function):
        with pytest.raises(ValueError, match=f"^`logits` {HOLDS}"):
            method(MASKED)


def test_nan_is_a_number_that_a_model_may_give() -> None:
    for x in ([np.nan], np.array([np.nan]), pd.Series([np.nan]), np.ma.array([np.nan])):
        assert np.isnan(focal_loss.numpy.binary_focal_loss([1], x, 2, from_logits=True)).all()
