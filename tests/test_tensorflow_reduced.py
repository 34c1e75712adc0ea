"""TensorFlow: sums and means of losses, whose gradients an op computes with the value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from cases import LOSS
from test_tensorflow import COMPILERS, SOFT, T, V, Y, Z, ops_of

from focal_loss.tensorflow import _native
from focal_loss.tensorflow._functions import reduced

WEIGHTS, SCORES = tf.constant([1.0, 2.0, 3.0], tf.float64), np.where(Y > 0.5, Y, 0.0)
CASES: dict[str, tuple[str, Any, np.ndarray, dict[str, Any]]] = {
    "binary": ("binary_focal_loss", Y, Z, {"gamma": 1.5, "pos_weight": 3}),
    "binary integer": ("binary_focal_loss", np.round(Y).astype(int), Z, {"gamma": 2}),
    "binary broadcast": ("binary_focal_loss", np.round(Y), Z[:1], {"gamma": 2}),
    "binary ignored": ("binary_focal_loss", np.round(Y), Z, {"gamma": 2, "ignore_class": 1}),
    "p_t_loss": ("binary_focal_crossentropy", SOFT, V, {"apply_class_balancing": True, "label_smoothing": 0.1}),
    "asymmetric": ("asymmetric_loss", np.round(Y), Z, {}),
    "quality": ("quality_focal_loss", Y, Z, {}),
    "varifocal": ("varifocal_loss", SCORES, Z, {}),
    "dense": ("categorical_focal_loss", SOFT, V, {"gamma": 2, "class_weight": WEIGHTS}),
    "sparse": ("sparse_categorical_focal_loss", T, V, {"gamma": [0, 0.5, 2]}),
    "sparse, axis": ("sparse_categorical_focal_loss", T[:3] - T[:3], V, {"gamma": 2, "axis": 0}),
    "sparse ignored": ("sparse_categorical_focal_loss", T, V, {"gamma": 2, "ignore_class": 2}),
}
each = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
Function = Callable[[tf.Tensor], tf.Tensor]


def both(case: tuple[str, Any, np.ndarray, dict[str, Any]], reduction: Any) -> tuple[Function, Function]:
    """The reduced loss, and the reduction of the losses by TensorFlow."""
    name, y, _, options = case
    loss = LOSS[name]
    kept = np.asarray(y) != options.get("ignore_class", -1)

    def by_op(x: tf.Tensor) -> tf.Tensor:
        return reduced(loss.declared, reduction, y, x, from_logits=True, **options)

    def by_tensorflow(x: tf.Tensor) -> tf.Tensor:
        value = getattr(__import__("focal_loss.tensorflow", fromlist=[name]), name)(y, x, from_logits=True, **options)
        total = tf.reduce_sum(value)
        number = kept.sum() if "ignore_class" in options else np.prod(value.shape)
        return total if reduction == "sum" else total / number

    return by_op, by_tensorflow


def derivatives(function: Function, x: tf.Tensor) -> list[tf.Tensor]:
    """The value, its gradient times a number that is not 1, and the gradient of a function of both."""
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            value = function(x)
            scaled = value * value
        slope = inner.gradient(scaled, x)
        mixed = value + tf.reduce_sum(slope * slope)
    return [value, slope, outer.gradient(mixed, x)]


@each
def test_forward_mode_in_the_upstream(case: tuple[str, Any, np.ndarray, dict[str, Any]]) -> None:
    """The gradient of a scaled loss is linear in the scale."""
    x, scale = tf.constant(case[2]), tf.constant(2.0, tf.float64)
    with tf.autodiff.ForwardAccumulator(scale, tf.ones_like(scale)) as accumulator:
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = scale * both(case, "mean")[0](x)
        found = tape.gradient(total, x)
    np.testing.assert_allclose(accumulator.jvp(found), found / 2, rtol=1e-12, atol=1e-14)


IN_GRAPHS = ("binary", "p_t_loss", "asymmetric", "sparse")  # to trace a second derivative takes its time
each_compiled = pytest.mark.parametrize(
    ("name", "reduction", "compiler"),
    [
        *((name, "mean", "eager") for name in CASES),
        *((name, "sum", "eager") for name in IN_GRAPHS),
        *(
            pytest.param(name, "mean", "graph", marks=[] if name in IN_GRAPHS else [pytest.mark.nightly])
            for name in CASES
        ),
    ],
)


@each_compiled
def test_derivatives(name: str, reduction: str, compiler: str) -> None:
    case = CASES[name]
    x = tf.constant(case[2])
    by_op, by_tensorflow = both(case, reduction)
    found = COMPILERS[compiler](lambda x: derivatives(by_op, x))(x)
    for a, b in zip(found, derivatives(by_tensorflow, x), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", ["binary", "sparse"])
def test_shapes_that_are_known_only_when_the_graph_runs(name: str) -> None:
    by_op, by_tensorflow = both(CASES[name], "mean")
    x = tf.constant(CASES[name][2])
    for compile_ in (False, True):
        spec = [tf.TensorSpec([None] * x.shape.rank, x.dtype)]
        function = tf.function(lambda x: derivatives(by_op, x), input_signature=spec, jit_compile=compile_)
        for a, b in zip(function(x), derivatives(by_tensorflow, x), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", ["binary", "sparse"])
def test_a_tape_around_a_function_with_a_tape(name: str) -> None:
    by_op, by_tensorflow = both(CASES[name], "mean")

    def value_and_slope(function: Function) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
        def compute(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            with tf.GradientTape() as tape:
                tape.watch(x)
                value = function(x)
            return value, tape.gradient(value, x)

        return compute

    x, found = tf.constant(CASES[name][2]), []
    for compute in (tf.function(value_and_slope(by_op)), value_and_slope(by_tensorflow)):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value, slope = compute(x)
            total = value + tf.reduce_sum(slope * slope)
        found.append(tape.gradient(total, x))
    np.testing.assert_allclose(*found, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("rank", [0, None])
def test_no_losses_and_unknown_ranks(rank: int | None) -> None:
    function = tf.function(
        lambda y, x: reduced(LOSS["binary_focal_loss"].declared, "mean", y, x, gamma=2.0, from_logits=True),
        input_signature=[tf.TensorSpec(None if rank is None else [None])] * 2,
    )
    x, y = tf.constant(Z, tf.float32), tf.constant(np.round(Y), tf.float32)
    expected = both(CASES["binary integer"], "mean")[1](tf.constant(Z))
    np.testing.assert_allclose(function(y, x), expected, rtol=1e-6)
    assert function(y[:0], x[:0]).numpy() == 0


@each
@pytest.mark.parametrize("compiler", ["eager", "graph"])
def test_gradients_come_with_the_value(case: Any, compiler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One op in all, and where no tape follows the logits none that computes a gradient."""
    seen: list[str] = []
    ops = _native._ops

    class Spy:
        def __getattr__(self, name: str) -> Any:
            seen.append(name)
            return getattr(ops, name)

    monkeypatch.setattr(_native, "_ops", Spy())
    x, by_op = tf.constant(case[2]), both(case, "sum" if "ignore_class" in case[3] else "mean")[0]

    def slope(x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = by_op(x)
        return tape.gradient(value, x)

    COMPILERS[compiler](slope)(x)
    used, seen[:] = set(seen), []
    COMPILERS[compiler](by_op)(x)
    assert any(name.endswith("_total") for name in used)
    assert not any(name.endswith(("_total", "_gradient")) for name in seen)
    if compiler == "eager":
        assert len(used) == 1
    else:  # what else the graph holds is for derivatives of the gradient, and does not run
        spec = tf.TensorSpec(x.shape, x.dtype)
        assert any(name.endswith("Total") for name in ops_of(tf.function(slope).get_concrete_function(spec)))


@pytest.mark.parametrize("name", ["binary", "binary integer", "asymmetric", "dense", "sparse"])
def test_vectorized_maps(name: str) -> None:
    by_op, by_tensorflow = both(CASES[name], "mean")
    x = tf.constant(np.stack([CASES[name][2], CASES[name][2] + 1, 2 * CASES[name][2]]))

    def slope(function: Function) -> Function:
        def compute(x: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                tape.watch(x)
                value = function(x)
            return value, tape.gradient(value, x)

        return compute

    found = tf.vectorized_map(slope(by_op), x, fallback_to_while_loop=False)
    for k, row in enumerate(x):
        for a, b in zip(found, slope(by_tensorflow)(row), strict=True):
            np.testing.assert_allclose(a[k], b, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_half_precision_is_reduced_in_float32(dtype: str) -> None:
    x = tf.constant(np.full(70000, 3.0), dtype)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = reduced(LOSS["binary_focal_loss"].declared, "sum", tf.zeros(70000), x, gamma=0.0, from_logits=True)
    assert total.dtype == tf.float32
    np.testing.assert_allclose(total, 70000 * np.log1p(np.exp(3.0)), rtol=1e-6)
    slope = tape.gradient(total, x)
    assert slope.dtype == x.dtype
    expected = tf.cast(tf.sigmoid(3.0), dtype)
    np.testing.assert_array_equal(tf.cast(slope, tf.float32), tf.cast(expected, tf.float32) * tf.ones(70000))


def test_a_persistent_tape_and_gradients_of_labels() -> None:
    x, y = tf.constant(Z), tf.constant(Y)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch((x, y))
        value = reduced(LOSS["binary_focal_loss"].declared, "mean", y, x, gamma=2.0, from_logits=True)
        twice = 2 * value
    for target, factor in ((value, 1), (twice, 2), (value, 1)):
        found = tape.gradient(target, (x, y))
        step = 1e-6

        def shifted(k: int, dx: float, dy: float) -> float:
            a, b = Z.copy(), Y.copy()
            a[k], b[k] = a[k] + dx, b[k] + dy
            loss = LOSS["binary_focal_loss"].declared
            return float(reduced(loss, "mean", b, tf.constant(a), gamma=2.0, from_logits=True))

        for k in range(len(Z)):
            by_x = (shifted(k, step, 0) - shifted(k, -step, 0)) / (2 * step)
            by_y = (shifted(k, 0, step) - shifted(k, 0, -step)) / (2 * step)
            np.testing.assert_allclose([found[0][k], found[1][k]], [factor * by_x, factor * by_y], rtol=1e-6)


def test_wrong_labels_are_refused() -> None:
    loss = LOSS["sparse_categorical_focal_loss"].declared
    x = tf.constant(V)
    with tf.GradientTape() as tape:
        tape.watch(x)
        with pytest.raises(ValueError, match="7"):
            reduced(loss, "mean", [0, 7, 1, 1], x, gamma=2.0, from_logits=True)
