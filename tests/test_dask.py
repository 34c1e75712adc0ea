"""Arrays of Dask: lazily, block by block, with the numbers of NumPy."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import torch
from cases import LOSSES, UNLABELED, Loss
from scipy.sparse import csr_matrix

import focal_loss
import focal_loss.numpy as reference
from focal_loss import calibration
from focal_loss.schedules import flsd53

RNG = np.random.default_rng(0)
N, K = 7, 5
Z, Y, T = RNG.normal(0, 3, (N, K)), RNG.integers(0, 2, (N, K)), RNG.integers(0, K, N)
P = np.exp(Z) / np.exp(Z).sum(1, keepdims=True)
WEIGHTS = np.arange(1.0, K + 1)
LOGITS = {"from_logits": True}


class ComputedError(Exception):
    """Something was computed that should have stayed lazy."""


def refuse(*_: Any, **__: Any) -> Any:
    raise ComputedError


def lazy(x: Any, chunks: tuple[int, ...] = (3, 2)) -> Any:
    return da.from_array(np.asarray(x), chunks=chunks[: np.ndim(x)])


def lazily(function: Callable[[], Any]) -> Any:
    """The result of a function that must compute nothing."""
    with dask.config.set(scheduler=refuse):
        found = function()
    assert isinstance(found, da.Array)
    return found


def assert_equal(found: Any, exact: Any, rtol: float = 0.0) -> None:
    exact = np.asarray(exact)
    assert (found.dtype, found.shape) == (exact.dtype, exact.shape)
    value = found.compute(scheduler="sync")
    assert (value.dtype, value.shape) == (exact.dtype, exact.shape)
    np.testing.assert_allclose(value, exact, rtol=rtol, atol=0)


def test_the_scheduler_can_refuse() -> None:
    with pytest.raises(ComputedError):
        lazily(lambda: lazy(Z).compute())


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("loss", LOSSES + UNLABELED, ids=str)
def test_every_loss(loss: Loss, dtype: str, from_logits: bool) -> None:
    """The numbers are those of NumPy, and the chunks those of the predictions."""
    x = (Z if from_logits else P).astype(dtype)
    labels = [] if not loss.declared.labeled else [T if loss.declared.layout == "sparse" else Y]
    options = {k: v for k, v in loss.options.items() if np.ndim(v) == 0} | {"from_logits": from_logits}
    exact = getattr(reference, loss.name)(*labels, x, **options)
    per_row = loss.declared.layout in ("average", "dense", "sparse")
    for given in ([lazy(a) for a in labels], labels):
        found = lazily(lambda given=given: getattr(focal_loss, loss.name)(*given, lazy(x), **options))
        # A mean, and sums over the classes by blocks, add up in another order.
        assert_equal(found, exact, rtol=0 if from_logits and not per_row else 4 * np.finfo(dtype).eps)
        assert found.chunks == ((3, 3, 1),) + ((2, 2, 1),) * (not per_row)


BINARY: list[tuple[Any, Any, dict[str, Any]]] = [
    (Y, Z, {"gamma": WEIGHTS, "pos_weight": WEIGHTS}),
    (Y, Z, {"gamma": np.arange(N)[:, None]}),
    (Y[:1], Z, {"gamma": 2}),
    (Y, Z[:, :1], {"gamma": 2}),
    (0.5 * Y, Z, {"gamma": 2, "label_smoothing": 0.1}),
    (np.where(Z > 1, 7, Y), Z, {"gamma": 2, "ignore_class": 7}),
    (Y[0], Z[0], {"gamma": 2}),
]
CATEGORICAL: list[tuple[str, Any, dict[str, Any]]] = [
    ("sparse", T, {"gamma": 2, "class_weight": WEIGHTS}),
    ("sparse", T, {"gamma": WEIGHTS, "ignore_class": 1}),
    ("sparse", T, {"gamma": np.arange(N)[:, None], "label_smoothing": 0.1}),
    ("sparse", T[:, None], {"gamma": 2}),
    ("sparse", np.arange(K) % N, {"gamma": 2, "axis": 0}),
    ("dense", 0.5 * Y, {"gamma": 2, "class_weight": WEIGHTS, "label_smoothing": 0.1}),
    ("dense", Y[:1], {"gamma": WEIGHTS, "class_weight": WEIGHTS}),
    ("dense", Y, {"gamma": np.arange(N)[:, None]}),
]


def arrays(options: dict[str, Any]) -> dict[str, Any]:
    return {name: lazy(value) if np.ndim(value) else value for name, value in options.items()}


@pytest.mark.parametrize("number", range(len(BINARY)))
def test_binary_options(number: int) -> None:
    y, z, options = BINARY[number]
    exact = reference.binary_focal_loss(y, z, **options, **LOGITS)
    for chosen in (options, arrays(options)):
        found = lazily(lambda chosen=chosen: focal_loss.binary_focal_loss(lazy(y), lazy(z), **chosen, **LOGITS))
        assert_equal(found, exact)


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("number", range(len(CATEGORICAL)))
def test_categorical_options(number: int, from_logits: bool) -> None:
    layout, y, options = CATEGORICAL[number]
    name = "sparse_categorical_focal_loss" if layout == "sparse" else "categorical_focal_loss"
    x = Z if from_logits or options.get("axis") == 0 else P
    options = options | {"from_logits": from_logits or options.get("axis") == 0}
    exact = getattr(reference, name)(y, x, **options)
    for chosen in (options, arrays(options)):
        found = lazily(lambda chosen=chosen: getattr(focal_loss, name)(lazy(y), lazy(x), **chosen))
        assert_equal(found, exact, rtol=1e-14)


@pytest.mark.parametrize("axis", [0, -1])
def test_a_mean_leaves_out_what_is_ignored(axis: int) -> None:
    labels, options = np.where(Z > 1, 7, Y), {"ignore_class": 7, "axis": axis, **LOGITS}
    found = lazily(lambda: focal_loss.binary_focal_crossentropy(lazy(labels), lazy(Z), **options))
    assert_equal(found, reference.binary_focal_crossentropy(labels, Z, **options), rtol=1e-14)


UNKNOWN: list[tuple[str, Any, dict[str, Any]]] = [
    ("binary_focal_loss", Y, {"gamma": 2, "ignore_class": 1}),
    ("binary_focal_crossentropy", Y, {"ignore_class": 1}),
    ("binary_focal_crossentropy", Y, {"ignore_class": 1, "axis": 0}),
    ("categorical_focal_loss", Y, {"gamma": WEIGHTS, "label_smoothing": 0.1}),
    ("sparse_categorical_focal_loss", T, {"gamma": 2, "ignore_class": 1}),
    ("sparse_categorical_focal_loss", T, {"gamma": 2, "class_weight": WEIGHTS, "label_smoothing": 0.1}),
    ("sparse_categorical_focal_loss", T[:, None], {"gamma": 2}),
]


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize(("name", "labels", "options"), UNKNOWN)
def test_options_where_lengths_are_not_known(
    name: str, labels: Any, options: dict[str, Any], from_logits: bool
) -> None:
    """Chunks may turn out to be empty."""
    x, kept = Z if from_logits else P, np.arange(N) // 3 == 1
    y, z = (lazy(a)[lazy(kept)] for a in (labels, x))
    found = lazily(lambda: getattr(focal_loss, name)(y, z, **options, from_logits=from_logits))
    exact = getattr(reference, name)(labels[kept], x[kept], **options, from_logits=from_logits)
    np.testing.assert_allclose(found.compute(), exact, rtol=1e-14)


@pytest.mark.parametrize("rows", [0, 3])
def test_posteriors_of_chunks_without_rows(rows: int) -> None:
    kept = np.arange(N) < rows
    for scores in (lazy(P)[lazy(kept)], lazy(P[:rows])):
        found = lazily(lambda scores=scores: calibration.categorical_posterior_from_score(scores, 2))
        exact = calibration.categorical_posterior_from_score(P[:rows], 2)
        np.testing.assert_allclose(found.compute(), exact, rtol=1e-13)


def test_a_class_derived_from_dask_arrays() -> None:
    class Derived(da.Array):  # type: ignore[misc]
        pass

    x = lazy(Z)
    assert_equal(
        lazily(lambda: focal_loss.binary_focal_loss(Y, Derived(x.dask, x.name, x.chunks, meta=x._meta), 2, **LOGITS)),
        reference.binary_focal_loss(Y, Z, 2, **LOGITS),
    )


def test_lengths_that_are_not_known() -> None:
    """A selection has as many rows as it has, which Dask finds out when it computes."""
    kept = Z[:, 0] > 0
    y, z, t = (lazy(a)[lazy(kept)] for a in (Y, Z, T))
    assert np.isnan(z.shape[0])
    for function, labels, exact in (
        (focal_loss.binary_focal_loss, y, reference.binary_focal_loss(Y, Z, 2, **LOGITS)),
        (focal_loss.categorical_focal_loss, y, reference.categorical_focal_loss(Y, Z, 2, **LOGITS)),
        (focal_loss.sparse_categorical_focal_loss, t, reference.sparse_categorical_focal_loss(T, Z, 2, **LOGITS)),
    ):
        found = lazily(lambda function=function, labels=labels: function(labels, z, 2, **LOGITS))
        np.testing.assert_array_equal(found.compute(), exact[kept])
    mean = lazily(lambda: focal_loss.binary_focal_crossentropy(y, z, axis=0, **LOGITS))
    exact = reference.binary_focal_crossentropy(Y[kept], Z[kept], axis=0, **LOGITS)
    np.testing.assert_allclose(mean.compute(), exact, rtol=1e-14)


def test_unknown_lengths_that_differ_are_errors() -> None:
    """Those of chunks of 1 and of 3 rows would broadcast."""
    few, many = np.arange(N) % 3 == 1, np.arange(N) >= 0
    y, z, t = lazy(Y)[lazy(few)], lazy(Z)[lazy(many)], lazy(T)[lazy(few)]
    for found in (
        focal_loss.binary_focal_loss(y, z, 2, **LOGITS),
        focal_loss.binary_focal_loss(y, lazy(P)[lazy(many)], 2),
        focal_loss.categorical_focal_loss(y, z, 2, **LOGITS),
        focal_loss.sparse_categorical_focal_loss(t, z, 2, **LOGITS),
        focal_loss.asymmetric_loss(y, z, **LOGITS),
        calibration.posterior_from_logits(z, y + 1.0),
    ):
        with pytest.raises(ValueError, match="arrays of unknown lengths must have blocks of one length, got "):
            found.compute(scheduler="sync")


def test_masked_blocks_under_a_plain_array() -> None:
    masked = lazy(Z).map_blocks(lambda block: np.ma.masked_greater(block, 1), meta=np.empty((0, 0)))
    with pytest.raises(ValueError, match="the blocks must hold a value in every place, got a masked array"):
        focal_loss.binary_focal_loss(lazy(Y), masked, 2, **LOGITS).compute(scheduler="sync")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_the_dtype_is_that_of_the_blocks(dtype: str) -> None:
    z, p = Z.astype(dtype), P.astype(dtype)
    for function, given in (
        (lambda x: focal_loss.binary_focal_loss(Y, x, 2, **LOGITS), z),
        (lambda x: focal_loss.categorical_focal_loss(Y / 1.0, x, 2), p),
        (lambda x: focal_loss.sparse_categorical_focal_loss(T, x, 2, **LOGITS), z),
        (lambda x: calibration.posterior_from_logits(x, 2), z),
        (lambda x: calibration.categorical_posterior_from_logits(x, 2), z),
        (lambda x: calibration.categorical_posterior_from_score(x, 2), p),
    ):
        assert_equal(lazily(lambda f=function, x=given: f(lazy(x))), function(given), rtol=1e-6)
        assert function(given).dtype == dtype


def test_posteriors() -> None:
    """Their chunks are kept, but along an axis of classes."""
    for function, x, chunks in (
        (lambda x: calibration.posterior_from_logits(x, 2, pos_weight=WEIGHTS), Z, (2, 2, 1)),
        (lambda x: calibration.posterior_from_score(x, 2), P, (2, 2, 1)),
        (lambda x: calibration.score_from_posterior(x, 2), P, (2, 2, 1)),
        (lambda x: calibration.posterior_of_loss("asymmetric_loss", x), Z, (2, 2, 1)),
        (flsd53, P, (2, 2, 1)),
        (lambda x: calibration.categorical_posterior_from_logits(x, 2, class_weight=WEIGHTS), Z, (K,)),
        (lambda x: calibration.categorical_posterior_from_score(x, WEIGHTS, logit_adjustment=WEIGHTS), P, (K,)),
    ):
        found = lazily(lambda function=function, x=x: function(lazy(x)))
        assert_equal(found, function(x), rtol=1e-13)
        assert found.chunks == ((3, 3, 1), chunks)


def test_another_argument_decides() -> None:
    exact = reference.binary_focal_loss(Y, Z, 2, **LOGITS)
    for arguments in ((lazy(Y), Z, 2), (Y, Z, da.asarray(2.0)), (Y.tolist(), lazy(Z), 2)):
        assert_equal(lazily(lambda a=arguments: focal_loss.binary_focal_loss(*a, **LOGITS)), exact)
    assert focal_loss.binary_focal_loss(lazy(Y), Z.tolist(), 2, **LOGITS).dtype == np.float32


def test_a_graph_can_travel_and_has_a_name() -> None:
    def loss() -> Any:
        return focal_loss.sparse_categorical_focal_loss(lazy(T), lazy(Z), 2, class_weight=WEIGHTS.tolist(), **LOGITS)

    found = loss()
    assert loss().name == found.name
    other = focal_loss.sparse_categorical_focal_loss(lazy(T), lazy(Z), 2, ignore_class=1, **LOGITS)
    assert other.name != found.name
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again.compute(scheduler="sync"), found.compute(scheduler="sync"))


BAD: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: focal_loss.binary_focal_loss(lazy(Y[:, :3]), lazy(Z), 2, **LOGITS),
        ValueError,
        "`y_true` of shape (7, 3)",
    ),
    (
        lambda: focal_loss.binary_focal_loss(lazy(Y), lazy(Z + 1j), 2, **LOGITS),
        TypeError,
        "`y_pred` must be an array of",
    ),
    (
        lambda: focal_loss.binary_focal_loss(lazy(Y), da.ma.masked_equal(lazy(Z), 0), 2, **LOGITS),
        ValueError,
        "`y_pred` must hold a value in every place, got a masked array of Dask; call `dask.array.ma.filled`",
    ),
    (
        lambda: focal_loss.sparse_categorical_focal_loss(lazy(Y), lazy(Z), 2, **LOGITS),
        ValueError,
        "`y_true` of shape (7, 5) must have the shape (7, 5) of `y_pred` without its class axis 1",
    ),
    (
        lambda: focal_loss.sparse_categorical_focal_loss(lazy(T), lazy(Z), [1.0, 2.0], **LOGITS),
        ValueError,
        "`gamma` must be a number or have one entry per class (5)",
    ),
    (
        lambda: focal_loss.sparse_categorical_focal_loss([0, 1], lazy(P)[:, lazy(P[0]) > 0][:2], 2),
        ValueError,
        "the predictions must have a known number of classes on axis 1; call their `compute_chunk_sizes`",
    ),
    (
        lambda: calibration.categorical_posterior_from_logits(lazy(Z)[:, lazy(Z[0]) > 0], 2),
        ValueError,
        "the predictions must have a known number of classes on axis 1; call their `compute_chunk_sizes`",
    ),
    (
        lambda: focal_loss.binary_focal_loss(Y[:3], lazy(Z)[lazy(Z[:, 0]) > 0], 2, **LOGITS),
        ValueError,
        "arrays of shapes (nan, 5) and (3, 5) must have known lengths, because their chunks differ; call the `compute_",
    ),
    (
        lambda: focal_loss.binary_focal_loss(lazy(Y), lazy(Z).map_blocks(torch.from_numpy), 2, **LOGITS),
        TypeError,
        "`y_pred` must be an array of Dask with blocks of NumPy or CuPy, got blocks of torch.Tensor",
    ),
    (
        lambda: focal_loss.binary_focal_loss(lazy(Y).map_blocks(csr_matrix), lazy(Z), 2, **LOGITS),
        TypeError,
        "`y_true` must be an array of Dask with blocks of NumPy or CuPy, got blocks of scipy.sparse",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_bad_input(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        lazily(call)
    assert str(caught.value).startswith(message)


def test_numbers_are_checked_when_they_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    binary = lazily(lambda: focal_loss.binary_focal_loss(lazy(Y - 3), lazy(Z), 2, **LOGITS))
    sparse = lazily(lambda: focal_loss.sparse_categorical_focal_loss(lazy(T + 9), lazy(Z), 2, **LOGITS))
    with pytest.raises(ValueError, match="`y_true` must hold labels in"):
        binary.compute(scheduler="sync")
    with pytest.raises(ValueError, match="`y_true` must hold class indices in"):
        sparse.compute(scheduler="sync")
    monkeypatch.setattr("focal_loss._core.checks._enabled", False)
    assert np.isnan(sparse.compute(scheduler="sync")).all()


def test_a_table_of_all_pairs_is_a_warning() -> None:
    with pytest.warns(UserWarning, match="every label against every prediction"):
        found = focal_loss.binary_focal_loss(lazy(Y[:, 0]), lazy(Z[:, :1]), 2, **LOGITS)
    assert found.shape == (N, N)
