"""Arrays of the array API standard: array_api_strict has its functions and no others."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import accuracy
import accuracy_family
import array_api_strict as strict
import dask.array as da
import numpy as np
import pytest
import torch
from cases import LOSSES, UNLABELED, Arrays, Framework, Loss, one_by_one
from test_calibration import assert_within, golden, magnitude, rows_of

import focal_loss
import focal_loss.numpy as reference
from focal_loss import calibration
from focal_loss._array_api.standard import Standard
from focal_loss.schedules import flsd53, gamma_for_probability
from focal_loss.weights import balanced_weights

RNG = np.random.default_rng(0)
DTYPES = ("float32", "float64")
DEVICES = [strict.Device("CPU_DEVICE"), strict.Device("device1")]


def array(x: Any, dtype: Any = None, device: Any = None) -> Any:
    return strict.asarray(np.asarray(x, dtype), device=device)


def numbers(x: Any) -> np.ndarray:
    assert isinstance(x, type(array(0.0)))
    return np.asarray(x.to_device(DEVICES[0]), np.float64)


def derivatives(function: Callable[..., Any], arrays: Arrays, dtype: str, second: bool = True) -> Arrays:
    """Values only: these arrays do not differentiate."""
    return {"value": numbers(function(**{name: array(x, dtype) for name, x in arrays.items()}))}


class Top(Framework):
    """The functions of `focal_loss` itself."""

    @cached_property
    def module(self) -> Any:
        return focal_loss


STRICT = Top("array_api_strict", array, numbers, derivatives, one_by_one(derivatives), DTYPES)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "section", accuracy.SECTIONS + accuracy.EXTREMES + accuracy_family.FAMILY, ids=lambda section: section.__name__
)
def test_golden_numbers_within_the_bound(dtype: str, section: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # Some golden rows are not normalized, and hold values above 1.
    monkeypatch.setattr("focal_loss._core.checks._enabled", section is not accuracy.categorical_probability)
    worst = accuracy.worst(STRICT, dtype, section)
    assert set(worst) == {"value"}
    assert worst["value"].error_ratio <= 1, worst


def given(loss: Loss, dtype: str, from_logits: bool) -> tuple[list[np.ndarray], dict[str, Any]]:
    """Labels, if there are any, predictions and options."""
    x = RNG.normal(0, 3, (4, 3))
    if not from_logits:
        x = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    labels = RNG.integers(0, 3, 4) if loss.declared.layout == "sparse" else RNG.integers(0, 2, (4, 3))
    data = [labels, x.astype(dtype)] if loss.declared.labeled else [x.astype(dtype)]
    return data, loss.options | {"from_logits": from_logits}


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES + UNLABELED, ids=str)
def test_the_result_is_like_the_prediction(loss: Loss, dtype: str, from_logits: bool) -> None:
    data, options = given(loss, dtype, from_logits)
    exact = getattr(reference, loss.name)(*data, **options)
    for device in DEVICES:
        *labels, x = (array(a, device=device) for a in data)
        for beside in ([*labels], [a.tolist() for a in data[:-1]], data[:-1]):
            found = getattr(focal_loss, loss.name)(*beside, x, **options)
            assert found.dtype == x.dtype
            assert found.device == device
            np.testing.assert_allclose(numbers(found), exact, rtol=20 * np.finfo(dtype).eps, atol=1e-30)


def test_another_argument_decides() -> None:
    """Lists and NumPy arrays follow it, as they follow a tensor of a framework."""
    y, z, exact = [1, 0], np.array([0.5, 0.25]), reference.binary_focal_loss([1, 0], np.array([0.5, 0.25]), 2)
    for arguments in ((array(y), z, 2), (y, z, array(2.0)), (array(y, bool), z, 2)):
        found = focal_loss.binary_focal_loss(*arguments, pos_weight=[1.0, 1.0], from_logits=False)
        np.testing.assert_allclose(numbers(found), exact, rtol=1e-14)
    integers = focal_loss.binary_focal_loss(array(y), array([1, 0]), 2)
    assert integers.dtype == strict.float32
    assert focal_loss.binary_focal_loss(array(y), [0.5, 0.25], 2).dtype == strict.float32


OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("binary_focal_loss", {"gamma": [0.5, 1.0, 2.0], "pos_weight": np.array([1.0, 2.0, 3.0])}),
    ("binary_focal_loss", {"gamma": 2, "label_smoothing": 0.1, "ignore_class": 0}),
    ("binary_focal_crossentropy", {"apply_class_balancing": True, "axis": 0, "ignore_class": 1}),
    ("sparse_categorical_focal_loss", {"gamma": [0.5, 1.0, 2.0], "class_weight": [1.0, 2.0, 3.0], "ignore_class": 1}),
    ("sparse_categorical_focal_loss", {"gamma": np.arange(4.0)[:, None], "label_smoothing": 0.1}),
    ("categorical_focal_loss", {"gamma": 2, "class_weight": [1.0, 2.0, 3.0], "label_smoothing": 0.1}),
]


@pytest.mark.parametrize("api_version", ["2023.12", "2025.12"])
@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_options(name: str, options: dict[str, Any], from_logits: bool, api_version: str) -> None:
    """Also by the functions of an older version of the standard."""
    loss = next(loss for loss in LOSSES if loss.name == name)
    data, _ = given(loss, "float64", from_logits)
    exact = getattr(reference, name)(*data, **options, from_logits=from_logits)
    with strict.ArrayAPIStrictFlags(api_version=api_version):
        arrays = {k: array(v) if k in loss.arrays and np.ndim(v) else v for k, v in options.items()}
        for chosen in (options, arrays):
            found = getattr(focal_loss, name)(*map(array, data), **chosen, from_logits=from_logits)
            np.testing.assert_allclose(numbers(found), exact, rtol=1e-13)


@pytest.mark.parametrize("shapes", [((3,), (4, 3)), ((4, 1), (4, 3)), ((4, 3), (1, 3)), ((), (3,)), ((0,), (0,))])
def test_shapes_broadcast(shapes: tuple[tuple[int, ...], ...]) -> None:
    y, z = RNG.integers(0, 2, shapes[0]), RNG.normal(size=shapes[1])
    exact = reference.binary_focal_loss(y, z, 2, from_logits=True)
    found = focal_loss.binary_focal_loss(array(y), array(z), 2, from_logits=True)
    np.testing.assert_allclose(numbers(found), exact, rtol=1e-14)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_half_precision_is_rounded_once(loss: Loss, dtype: str) -> None:
    """The standard has no half precision, but libraries do. NumPy's functions are those of the standard."""
    data, options = given(loss, "float64", True)
    *labels, x = data[:-1], data[-1].astype(dtype)
    spec = loss.declared.options(**options)
    found, wide = (
        loss.declared.compute(Standard(np, "cpu"), *labels[0], each, spec)
        for each in (x, x.astype(np.promote_types(dtype, np.float32)))
    )
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, wide.astype(dtype))


# Posteriors


@pytest.mark.parametrize("dtype", DTYPES)
def test_posteriors_within_their_bound(dtype: str) -> None:
    """The bounds are those of `test_calibration`."""
    rows = rows_of("posterior", "z", dtype)
    z, gamma, w = (accuracy.column(rows, name) for name in ("z", "gamma", "w"))
    found = calibration.posterior_from_logits(*(array(a, dtype) for a in (z, gamma)), pos_weight=array(w, dtype))
    assert_within(numbers(found), rows, "value", (8 + 2 * (1 + gamma) * np.abs(z)) * magnitude(rows, "value"), dtype)
    for row in golden()["softmax"]:
        v = np.array(row["v"])
        found = calibration.categorical_posterior_from_logits(array(v, dtype), row["gamma"], class_weight=row["w"])
        each, spread = [{"value": e} for e in row["value"]], 8 + len(v) + 2 * (1 + max(row["gamma"])) * np.ptp(v)
        assert_within(numbers(found), each, "value", spread * magnitude(each, "value"), dtype)


def test_the_other_functions_of_scores() -> None:
    p = RNG.uniform(0.05, 0.95, (4, 3))
    for function in (
        lambda p: calibration.posterior_from_score(p, 2, pos_weight=0.5),
        lambda p: calibration.score_from_posterior(p, 2),
        lambda p: calibration.categorical_posterior_from_score(p, 2, class_weight=[1.0, 2.0, 3.0]),
        lambda p: calibration.categorical_posterior_from_logits(p, 2, logit_adjustment=[0.1, 0.2, 0.3, 0.4], axis=0),
        *(
            lambda p, name=name: calibration.posterior_of_loss(name, p)
            for name in ("asymmetric_loss", "varifocal_loss")
        ),
        flsd53,
    ):
        np.testing.assert_allclose(numbers(function(array(p))), function(p), rtol=1e-13)


# Bad input


BAD: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda f: f.binary_focal_loss(array([2, 0]), array([0.5, 0.5]), 2),
        ValueError,
        "`y_true` must hold labels in [0, 1]",
    ),
    (
        lambda f: f.binary_focal_loss(array([1, 0]), array([1.5, 0.5]), 2),
        ValueError,
        "`y_pred` must hold probabilities",
    ),
    (lambda f: f.binary_focal_loss(array([1, 0]), array([1.0, 0.5, 0]), 2), ValueError, "`y_true` of shape (2,) and"),
    (lambda f: f.binary_focal_loss(array([1, 0]), array([1j, 0.5]), 2), TypeError, "`y_pred` must be an array of real"),
    (lambda f: f.binary_focal_loss([["a"]], array([0.5]), 2), TypeError, "`y_true` must be an array of real numbers"),
    (lambda f: f.binary_focal_loss([1, 0], array([0.5, 1.0]), array([1.0, 2, 3])), ValueError, "`gamma` of shape (3,)"),
    (
        lambda f: f.sparse_categorical_focal_loss(array([3]), array([[0.5, 0.2, 0.3]]), 2),
        ValueError,
        "`y_true` must hold class indices in [0, 3), got 3 at position (0,)",
    ),
    (
        lambda f: f.sparse_categorical_focal_loss(array([0]), array([[0.5, 0.2, 0.3]]), array([1.0, 2.0])),
        ValueError,
        "`gamma` must be a number or have one entry per class (3)",
    ),
    (
        lambda f: f.binary_focal_loss(array([1.0, 0.0], device=DEVICES[1]), array([0.5, 0.5]), 2),
        ValueError,
        "`y_true` must be on the device of the other arrays, array_api_strict.Device('CPU_DEVICE'), got",
    ),
    (
        lambda f: f.binary_focal_loss([1, 0], array([0.5, 0.5]), array(2.0, device=DEVICES[1])),
        ValueError,
        "`gamma` must be on the device of the other arrays",
    ),
    (
        lambda f: calibration.posterior_from_score(array([1.5]), 2),
        ValueError,
        "`score` must hold numbers in [0, 1], got 1.5",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_bad_input(call: Callable[[Any], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        call(focal_loss)
    assert str(caught.value).startswith(message)


def test_what_cannot_be_read_is_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers on a GPU are not read."""
    monkeypatch.setattr("focal_loss._core.checks._enabled", False)
    found = focal_loss.sparse_categorical_focal_loss(array([3, 1, -1]), array(np.zeros((3, 3))), 2, from_logits=True)
    np.testing.assert_array_equal(np.isnan(numbers(found)), [True, False, True])


def test_arrays_of_two_libraries() -> None:
    x = array([0.5, 0.25])
    for other, name in ((torch.ones(2), r"torch \(Tensor\)"), (da.ones(2), r"dask \(Array\)")):
        with pytest.raises(TypeError, match=f"must be tensors of one framework, got .*{name}"):
            focal_loss.binary_focal_loss(other, x, 2)
    with pytest.raises(TypeError, match=r"`y_pred` must be an array of NumPy, .*got array_api_strict"):
        reference.binary_focal_loss([1, 0], x, 2)


def stand_in(package: str, **attributes: Any) -> Any:
    return type("ndarray", (), {"__module__": f"{package}.core", "shape": (2,), "dtype": strict.float64, **attributes})


def test_arrays_without_a_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    """CuPy's main namespace follows the standard with some delay; array-api-compat has one that is up to date."""
    cupy = stand_in("cupy")
    with pytest.raises(
        ModuleNotFoundError, match=r"arrays of cupy need array-api-compat, .* 'focal-loss\[array-api\]'"
    ):
        focal_loss.binary_focal_loss([1, 0], cupy(), 2)
    asked = []
    compat = SimpleNamespace(array_namespace=lambda x: asked.append(x) or strict)
    monkeypatch.setitem(sys.modules, "array_api_compat", compat)
    with pytest.raises(AttributeError):  # the stand-in has no numbers
        focal_loss.binary_focal_loss([1, 0], cupy(), 2)
    assert [type(x) for x in asked] == [cupy]


@pytest.mark.parametrize("backend", focal_loss._dispatch.frameworks.BACKENDS)
def test_what_has_no_door_is_refused(backend: str) -> None:
    """Sparse arrays follow the standard, but their losses would be dense."""
    focal_loss.set_backend(backend)
    unknown = stand_in("mxnet", __array__=lambda *_, **__: np.ones(2))()
    sparse = stand_in("sparse", __array_namespace__=lambda self: strict)()
    for value in (unknown, sparse):
        with pytest.raises(
            TypeError, match=r"`y_pred` must be an array of NumPy, .* of Dask or the array API standard"
        ):
            focal_loss.binary_focal_loss([1, 0], value, 2)
    focal_loss.set_backend(None)


ON_THE_HOST: list[tuple[str, Callable[[Any], Any]]] = [
    ("prior", lambda x: calibration.prior_logit(x, 2)),
    ("gamma", lambda x: calibration.prior_logit(0.5, x)),
    ("pos_weight", lambda x: calibration.prior_logit(0.5, 2, pos_weight=x)),
    ("prior", lambda x: calibration.categorical_prior_logits(x, 2)),
    ("y_true", lambda x: calibration.expected_calibration_error(x, [0.5, 0.5])),
    ("y_prob", lambda x: calibration.expected_calibration_error([1, 0], x)),
    ("sample_weight", lambda x: calibration.expected_calibration_error([1, 0], [0.5, 0.5], sample_weight=x)),
    ("logits", lambda x: calibration.FocalTemperature(2).fit(x, [1, 0])),
    ("y", lambda x: calibration.FocalTemperature(2).fit([1.0, 0.0], x)),
    ("sample_weight", lambda x: calibration.FocalTemperature(2).fit([1.0, 0.0], [1, 0], x)),
    ("gamma", lambda x: calibration.FocalTemperature(x).fit([1.0, 0.0], [1, 0])),
    ("p0", gamma_for_probability),
    ("counts", balanced_weights),
]


@pytest.mark.parametrize(("name", "function"), ON_THE_HOST)
@pytest.mark.parametrize("value", [array([0.25, 0.5]), da.from_array([0.25, 0.5])], ids=["strict", "dask"])
def test_functions_of_the_host_refuse_them(name: str, function: Callable[[Any], Any], value: Any) -> None:
    """They would compute what is lazy, and turn what they are given into NumPy's."""
    with pytest.raises(TypeError, match=f"`{name}` must be an array of NumPy, .*; convert it to one of them"):
        function(value)


def test_sequences_of_them_are_refused() -> None:
    focal_loss.set_backend("numpy")
    for entry in (array(0.5), da.ones(())):
        for value in ([entry, entry], [0.5, entry], ([entry], [entry])):
            with pytest.raises(TypeError, match=r"`y_pred` must be an array of NumPy, .*got (array_api_strict|dask)"):
                focal_loss.binary_focal_loss([1, 0], value, 2)
    focal_loss.set_backend(None)


def test_no_framework_is_loaded() -> None:
    code = """import sys, array_api_strict as xp, focal_loss
focal_loss.binary_focal_loss(xp.asarray([1, 0]), xp.asarray([0.5, 0.25]), 2)
print(sorted({"torch", "jax", "tensorflow", "keras", "dask"} & set(sys.modules)))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
