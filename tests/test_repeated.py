"""NumPy's losses called again with the same options: the short way to the kernels is the long one, bit for bit."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from cases import LOSSES, UNLABELED

import focal_loss
from focal_loss import numpy as xp
from focal_loss._core.repeated import MOST, Memory
from focal_loss._host import kernels, repeated

RNG = np.random.default_rng(0)
DTYPES = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16]
LABELS = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16, bool, np.uint8, np.int8, np.int16, np.int32, np.int64]
CLASSES = 3


def labeled(function: str, **options: Any) -> Callable[..., Any]:
    return lambda y, x: getattr(xp, function)(y, x, **options)


def unlabeled(function: str, **options: Any) -> Callable[..., Any]:
    return lambda y, x: getattr(xp, function)(x, **options)


LOGITS, BINARY, SPARSE = {"from_logits": True}, "binary_focal_loss", "sparse_categorical_focal_loss"
FIRST = {**LOGITS, "axis": 0}
POLICIES = ("exact", "majorizer", "relative_floor")
CALLS: dict[str, tuple[str, Callable[..., Any]]] = {
    **{loss.name: (loss.declared.layout, labeled(loss.name, **LOGITS, **loss.options)) for loss in LOSSES},
    **{loss.name: ("unlabeled", unlabeled(loss.name, **LOGITS, **loss.options)) for loss in UNLABELED},
    "smoothed": ("elements", labeled(BINARY, gamma=2.0, label_smoothing=0.1, **LOGITS)),
    "ignoring": ("elements", labeled(BINARY, gamma=2, ignore_class=0, **LOGITS)),
    "of probabilities": ("elements", lambda y, x: xp.binary_focal_loss(y, abs(x) / 16, 2)),
    "ignoring a class": ("sparse", labeled(SPARSE, gamma=1.5, ignore_class=1, label_smoothing=0.1, **LOGITS)),
    "sparse, of the first axis": ("sparse", labeled(SPARSE, gamma=2, **FIRST)),
    "dense, of the first axis": ("dense", labeled("categorical_focal_loss", gamma=2, **FIRST)),
    "mean, of the first axis": ("average", labeled("binary_focal_crossentropy", **FIRST)),
    **{h: ("elements", labeled(f"{BINARY}_derivatives", gamma=2.0, pos_weight=3, hessian=h)) for h in POLICIES},
    **{f"sparse, {h}": ("sparse", labeled(f"{SPARSE}_derivatives", gamma=2.0, hessian=h)) for h in POLICIES},
}
AXIS = {name: 0 if name.endswith("of the first axis") else -1 for name in CALLS}
NEVER_SHORT = ("ignoring", "of probabilities")

SHAPES = {"vector": (6,), "matrix": (4, CLASSES), "cube": (2, CLASSES, CLASSES)}
LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "c": np.ascontiguousarray,
    "fortran": np.asfortranarray,
    "sliced": lambda a: np.repeat(a, 2, axis=0)[::2],
    "reversed": lambda a: np.ascontiguousarray(a[..., ::-1])[..., ::-1],
    "transposed": lambda a: np.ascontiguousarray(a.T).T,
    "broadcast": lambda a: np.broadcast_to(a[:1], a.shape),
    "empty": lambda a: a[:0],
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "misaligned": lambda a: np.frombuffer(b"-" + a.tobytes(), a.dtype, offset=1).reshape(a.shape),
    "in a record": lambda a: np.rec.fromarrays([a, a], names="a,b").view(np.ndarray)["a"],
    "subclass": lambda a: a.view(type("Subclass", (np.ndarray,), {})),
    "masked": np.ma.masked_array,
    "list": lambda a: a.tolist(),
    "objects": lambda a: a.astype(object),
    "wide": lambda a: a.astype(np.longdouble),
}
USUAL = ("c", "fortran", "sliced", "reversed", "transposed", "broadcast", "read-only")


def labels_for(kind: str, x: np.ndarray, axis: int, dtype: Any) -> np.ndarray:
    if kind == "sparse":
        rest = np.delete(x.shape, axis)
        return np.asarray(RNG.integers(0, min(x.shape[axis], 2 if dtype is bool else 3), rest)).astype(dtype)
    drawn = RNG.random(x.shape) if dtype in DTYPES else RNG.integers(0, 2, x.shape)
    return np.asarray(drawn).astype(dtype)


def outcome(call: Callable[..., Any], y: Any, x: Any) -> tuple[Any, ...]:
    """Bits, shapes, dtypes and types of the results, or the error, and the warnings."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            results = call(y, x)
        except (TypeError, ValueError, ArithmeticError) as error:
            return type(error), str(error)
    several = results if isinstance(results, tuple) else (results,)
    exact = [r.astype(np.float64) if r.dtype == np.longdouble else r for r in several]  # whose padding is random
    found = [(type(r), np.shape(r), r.dtype, np.asarray(e).tobytes()) for r, e in zip(several, exact, strict=True)]
    return *found, type(results), [(w.category, str(w.message)) for w in seen]


def both_ways(name: str, y: Any, x: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The outcome of a call that nothing is known of, and of one whose options are known."""
    kind, call = CALLS[name]
    monkeypatch.setattr(repeated, "_runs", Memory())
    long = outcome(call, y, x)
    repeated._runs.clear()
    usual = np.zeros((2,) * 2, np.float32)
    call(np.zeros(2, int) if kind == "sparse" else usual, usual)
    assert bool(repeated._runs) is (name not in NEVER_SHORT)
    return long, outcome(call, y, x)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", CALLS)
def test_layouts(name: str, shape: str, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, axis = CALLS[name][0], AXIS[name]
    x = (3 * RNG.standard_normal(SHAPES[shape])).astype(np.float32)
    y = labels_for(kind, x, axis, np.int64)
    change = LAYOUTS[layout]
    for labels, logits in ((y, change(x)), (change(y) if y.ndim else y, x), (change(y) if y.ndim else y, change(x))):
        long, short = both_ways(name, labels, logits, monkeypatch)
        assert short == long


@pytest.mark.parametrize("of_labels", LABELS, ids=lambda t: np.dtype(t).name)
@pytest.mark.parametrize("dtype", [*DTYPES, np.int32, bool], ids=lambda t: np.dtype(t).name)
@pytest.mark.parametrize("name", CALLS)
def test_dtypes(name: str, dtype: Any, of_labels: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.asarray(3 * RNG.standard_normal((4, CLASSES))).astype(dtype)
    y = labels_for(CALLS[name][0], x, AXIS[name], of_labels)
    long, short = both_ways(name, y, x, monkeypatch)
    assert short == long


ONES = np.ones((2, CLASSES), np.float32)
ODD = {
    "without axes": (np.array(1), np.float32(0.5)),
    "0-d arrays": (np.array(1.0), np.array(0.5)),
    "a number as label": (0.5, ONES),
    "labels that broadcast": (np.ones(CLASSES), ONES),
    "labels of one row": (np.ones((1, CLASSES)), ONES),
    "predictions that broadcast": (ONES, np.ones(CLASSES, np.float32)),
    "a table of pairs": (np.ones((3, 1)), np.ones((1, 4), np.float32)),
    "shapes that do not match": (np.ones(2), np.ones(3, np.float32)),
    "no classes": (np.ones((2, 0)), np.ones((2, 0), np.float32)),
    "no classes, indices": (np.ones(2, int), np.ones((2, 0), np.float32)),
    "one class": (np.zeros(2, int), np.ones((2, 1), np.float32)),
    "one class, dense": (np.ones((2, 1)), np.ones((2, 1), np.float32)),
    "a class axis": (np.ones((2, 1), int), ONES),
    "float16 labels of many classes": (np.ones(2, np.float16), np.ones((2, 2500), np.float32)),
    "wrong labels": (ONES + 1, ONES),
    "wrong integers": (ONES.astype(np.int8) + 1, ONES),
    "nan labels": (ONES * np.nan, ONES),
    "wrong classes": (np.array([0, 3]), ONES),
    "negative classes": (np.array([0, -1]), ONES),
    "fractions of classes": (np.array([0, 0.5]), ONES),
    "nothing": (None, ONES),
    "nothing predicted": (ONES, None),
    "text": (ONES, "abc"),
    "complex": (ONES, ONES * 1j),
    "dates": (ONES, ONES.astype("datetime64[s]")),
    "many axes": (np.ones((1,) * 20), np.ones((1,) * 20, np.float32)),
    "infinite": (ONES, ONES * np.inf),
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("checks", [True, False])
@pytest.mark.parametrize("name", CALLS)
def test_odd_arguments(name: str, checks: bool, odd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    focal_loss.set_checks(checks)
    try:
        long, short = both_ways(name, *ODD[odd], monkeypatch)
    finally:
        focal_loss.set_checks(True)
    assert short == long


@pytest.mark.parametrize("layout", USUAL)
@pytest.mark.parametrize("name", [name for name in CALLS if name not in NEVER_SHORT])
def test_usual_arrays_take_the_short_way(name: str, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, call = CALLS[name]
    x = LAYOUTS[layout](np.ones((4, CLASSES), np.float32))
    y = LAYOUTS[layout](labels_for(kind, x, AXIS[name], np.int64))
    monkeypatch.setattr(repeated, "_runs", Memory())
    call(y, x)
    (known,) = repeated._runs
    assert repeated.found(known, y, x) is not None


def test_options_are_told_apart_by_type() -> None:
    x, y = ONES, ONES
    for gamma in (1, 1.0, np.float32(1), np.array(1.0)):
        for _ in range(2):
            xp.binary_focal_loss(y, x, gamma, from_logits=True)
    for _ in range(2):
        with pytest.raises(TypeError, match="got True"):
            xp.binary_focal_loss(y, x, True, from_logits=True)
        with pytest.raises(TypeError, match="got 1"):
            xp.binary_focal_loss(y, x, 1, from_logits=1)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="must be one of"):
            xp.binary_focal_loss_derivatives(y, x, 1, hessian="newton")  # type: ignore[arg-type]


def test_a_warning_comes_every_time() -> None:
    for _ in range(3):
        with pytest.warns(UserWarning, match="no effect"):
            xp.binary_focal_crossentropy(ONES, ONES, alpha=0.5, from_logits=True)


def test_a_gamma_that_changes_fills_a_bounded_memory() -> None:
    for k in range(2 * MOST):
        xp.binary_focal_loss(ONES, ONES, k / 100, from_logits=True)
    assert len(repeated._runs) <= MOST


def test_without_kernels_the_formula_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [xp.binary_focal_loss(ONES, ONES, 2, from_logits=True) for _ in range(2)]
    monkeypatch.setattr(kernels, "NATIVE", None)
    np.testing.assert_allclose(xp.binary_focal_loss(ONES, ONES, 2, from_logits=True), expected[1], rtol=1e-6)
