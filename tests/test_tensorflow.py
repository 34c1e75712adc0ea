"""TensorFlow: tapes, tf.function with and without XLA, dynamic shapes, exported models."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from cases import FRAMEWORK, OWN_FORM

import focal_loss.tensorflow as ours
from focal_loss._host import kernels
from focal_loss.tensorflow import _native

RNG = np.random.default_rng(0)
LOGITS = {"from_logits": True}
Z, V = RNG.normal(0, 2, 6), RNG.normal(0, 2, (4, 3))
Y, T, SOFT = RNG.random(6), np.array([0, 2, 1, 1]), RNG.dirichlet([1, 1, 1], 4)

FUNCTIONS: dict[str, tuple[Callable[..., tf.Tensor], np.ndarray]] = {
    "binary": (lambda z: ours.binary_focal_loss(Y, z, 1.5, pos_weight=3, **LOGITS), Z),
    "binary hard": (lambda z: ours.binary_focal_loss(Y > 0.5, z, 2, **LOGITS), Z),
    "binary integer": (lambda z: ours.binary_focal_loss(tf.constant(np.round(Y), tf.int32), z, 2, **LOGITS), Z),
    "binary of probabilities": (lambda z: ours.binary_focal_loss(Y, tf.sigmoid(z), 2), Z),
    "p_t_loss": (lambda z: ours.binary_focal_crossentropy(Y, z, True, **LOGITS), Z),
    "sparse": (lambda v: ours.sparse_categorical_focal_loss(T, v, [0, 0.5, 2], ignore_class=2, **LOGITS), V),
    "sparse of probabilities": (lambda v: ours.sparse_categorical_focal_loss(T, tf.exp(v - 9.0), 2), V),
    "dense": (lambda v: ours.categorical_focal_loss(SOFT, v, 2, class_weight=[1, 2, 3], **LOGITS), V),
    "dense of probabilities": (lambda v: ours.categorical_focal_loss(SOFT, tf.exp(v - 9.0), [0, 0.5, 2]), V),
}
OWN: dict[str, tuple[Callable[..., tf.Tensor], np.ndarray]] = {
    loss.name: (loss.at(FRAMEWORK["tensorflow"], Y), Z) for loss in OWN_FORM
}
ALL = FUNCTIONS | OWN
each = pytest.mark.parametrize(("function", "x"), ALL.values(), ids=ALL)
COMPILERS = {"eager": lambda f: f, "graph": tf.function, "XLA": lambda f: tf.function(f, jit_compile=True)}
# XLA compiles the graph that the formula makes, and takes its time: two losses stand for all. Of a loss that declares
# its formula the graph stands for all three.
each_compiled = pytest.mark.parametrize(
    ("compiler", "name"),
    [
        pytest.param(
            compiler,
            name,
            marks=[pytest.mark.nightly] if compiler == "XLA" and name not in ("binary hard", "sparse") else [],
        )
        for compiler in COMPILERS
        for name in (ALL if compiler == "graph" else FUNCTIONS)
    ],
)


def gradient_and_hessian(function: Callable[..., tf.Tensor], x: tf.Tensor) -> tuple[np.ndarray, np.ndarray]:
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            loss = function(x)
        slope = inner.gradient(loss, x)
    return slope.numpy(), outer.jacobian(slope, x).numpy()


def differences(function: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    """The derivative of `function` in each entry of x, in a new last axis."""
    columns = []
    for k in range(x.size):
        step = np.zeros(x.size)
        step[k] = 1e-6
        step = step.reshape(x.shape)
        columns.append((function(x + step) - function(x - step)) / 2e-6)
    return np.stack(columns, -1)


@each_compiled
def test_nested_tapes(compiler: str, name: str) -> None:
    function, x = ALL[name]
    slope, hessian = gradient_and_hessian(COMPILERS[compiler](function), tf.constant(x))

    def value(x: np.ndarray) -> np.ndarray:
        return tf.reduce_sum(function(tf.constant(x))).numpy()

    def gradient(x: np.ndarray) -> np.ndarray:
        x = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = function(x)
        return tape.gradient(loss, x).numpy().ravel()

    np.testing.assert_allclose(slope.ravel(), differences(value, x), atol=1e-7)
    np.testing.assert_allclose(hessian.reshape(x.size, x.size), differences(gradient, x), atol=1e-7)


@each
def test_tapes_inside_a_function(function: Callable[..., tf.Tensor], x: np.ndarray) -> None:
    @tf.function
    def second(x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                loss = function(x)
            slope = inner.gradient(loss, x)
        return outer.gradient(slope, x)

    x = tf.constant(x)
    np.testing.assert_allclose(second(x), gradient_and_hessian(function, x)[1].sum(tuple(range(x.ndim))), atol=1e-12)


def test_shapes_that_are_known_only_when_the_graph_runs() -> None:
    @tf.function(input_signature=[tf.TensorSpec([None, None]), tf.TensorSpec([None], tf.int32)])
    def losses(v: tf.Tensor, t: tf.Tensor) -> list[tf.Tensor]:
        one_hot = tf.one_hot(t, tf.shape(v)[1])
        return [
            ours.sparse_categorical_focal_loss(t, v, 2, ignore_class=1, **LOGITS),
            ours.sparse_categorical_focal_loss(t, v, 2, ignore_class=1, label_smoothing=0.1, **LOGITS),
            ours.categorical_focal_loss(one_hot, v, 2, label_smoothing=0.1, **LOGITS),
            ours.binary_focal_loss(one_hot, v, 2, **LOGITS),
            ours.binary_focal_crossentropy(one_hot, v, True, **LOGITS),
        ]

    v, t = tf.constant(V, tf.float32), tf.constant(T, tf.int32)
    one_hot = tf.one_hot(t, 3)
    expected = [
        ours.sparse_categorical_focal_loss(t, v, 2, ignore_class=1, **LOGITS),
        ours.sparse_categorical_focal_loss(t, v, 2, ignore_class=1, label_smoothing=0.1, **LOGITS),
        ours.categorical_focal_loss(one_hot, v, 2, label_smoothing=0.1, **LOGITS),
        ours.binary_focal_loss(one_hot, v, 2, **LOGITS),
        ours.binary_focal_crossentropy(one_hot, v, True, **LOGITS),
    ]
    for a, b in zip(losses(v, t), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-6)


UNKNOWN = tf.TensorSpec(None, tf.float64)


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("shape", [(3,), pytest.param((4, 3), marks=pytest.mark.nightly), (2, 2, 3)], ids=str)
def test_tensors_of_unknown_rank(shape: tuple[int, ...], from_logits: bool) -> None:
    """Values and gradients, also of labels with a class axis of length 1 and of parameters that broadcast."""
    x, soft = RNG.dirichlet([1, 1, 1], shape[:-1]), RNG.dirichlet([1, 1, 1], shape[:-1])
    index = RNG.integers(0, 3, shape[:-1]).astype(float)
    options = {"from_logits": from_logits}
    losses = [
        (soft, lambda y, x: ours.binary_focal_loss(y, x, [0.0, 0.5, 2.0], pos_weight=3, **options)),
        (soft, lambda y, x: ours.binary_focal_crossentropy(y, x, True, [0.1, 0.2, 0.3], **options)),
        (
            soft,
            lambda y, x: ours.categorical_focal_loss(y, x, 2, class_weight=[1, 2, 3], label_smoothing=0.1, **options),
        ),
        (index, lambda y, x: ours.sparse_categorical_focal_loss(y, x, [0, 0.5, 2], ignore_class=1, **options)),
        (index[..., None], lambda y, x: ours.sparse_categorical_focal_loss(y, x, 2, **options)),
        (index, lambda y, x: ours.sparse_categorical_focal_loss(y, x, 2, label_smoothing=0.1, **options)),
        *((soft, lambda y, x, loss=loss: loss(FRAMEWORK["tensorflow"], y, x, **options)) for loss in OWN_FORM),
    ]
    for labels, loss in losses:
        function = tf.function(lambda y, x, loss=loss: (loss(y, x), gradient(lambda x: loss(y, x), x)))
        found = function.get_concrete_function(UNKNOWN, UNKNOWN)(tf.constant(labels), tf.constant(x))
        expected = loss(labels, tf.constant(x)), gradient(lambda x, y=labels, loss=loss: loss(y, x), tf.constant(x))
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)
            assert a.shape == b.shape


def test_what_tensors_of_unknown_rank_cannot_have() -> None:
    loss = tf.function(lambda y, x: ours.sparse_categorical_focal_loss(y, x, 2, axis=1, **LOGITS))
    with pytest.raises(ValueError, match="`axis` must be -1 for tensors of unknown rank, got 1"):
        loss.get_concrete_function(UNKNOWN, UNKNOWN)
    weighted = tf.function(lambda w, y, x: ours.categorical_focal_loss(y, x, 2, class_weight=w))
    with pytest.raises(ValueError, match="must be a tensor of known rank"):
        weighted.get_concrete_function(UNKNOWN, UNKNOWN, UNKNOWN)
    flat = tf.function(lambda y, x: ours.sparse_categorical_focal_loss(y, x, 2, **LOGITS))
    with pytest.raises(tf.errors.InvalidArgumentError):
        flat.get_concrete_function(UNKNOWN, UNKNOWN)(tf.constant(T[:2], tf.float64), tf.constant(V))


@pytest.mark.parametrize("compiler", ["graph", "xla"])
@pytest.mark.parametrize(
    ("labels", "rank", "error"),
    [
        *(((n,), 1, "`y_true` must have the shape of `y_pred` without its class axis") for n in (1, 2)),
        ((1, 1), 2, "`y_true` must have the shape of `y_pred` without its class axis"),
        ((2, 2), None, "`y_true` must have the shape of `y_pred` without its class axis"),
        ((4, 1), 2, ""),
        ((4,), 1, ""),
        ((1, 3), 2, "dense"),
        ((3,), 1, "dense"),
        ((4, 1), 2, "dense: `y_true` must hold a probability for each class"),
        ((1,), 1, "dense: `y_true` must hold a probability for each class"),
        ((3, 4), None, "dense: `y_true` must hold a probability for each class"),
    ],
)
def test_labels_go_with_predictions_of_unknown_shape(
    labels: tuple[int, ...], rank: int | None, error: str, compiler: str
) -> None:
    """Shapes are checked when the graph runs: class indices broadcast neither over examples nor over classes."""
    dense, words = error.startswith("dense"), error.removeprefix("dense").removeprefix(": ")
    y, x = np.full(labels, 1 / 3 if dense else 1.0), RNG.normal(size=(4, 3))
    name = "categorical_focal_loss" if dense else "sparse_categorical_focal_loss"
    specs = [tf.TensorSpec(rank and [None] * rank, tf.float64), tf.TensorSpec(rank and [None, None], tf.float64)]
    loss = partial(getattr(ours, name), gamma=2, **LOGITS)
    compiled = tf.function(lambda y, x: loss(y, x), input_signature=specs, jit_compile=compiler == "xla")
    if words:
        with pytest.raises(tf.errors.InvalidArgumentError, match=words if compiler == "graph" else "must be non-neg"):
            compiled(y, x)
    else:
        np.testing.assert_allclose(compiled(y, x), loss(y, x), rtol=1e-12)


@pytest.mark.parametrize("shapes", [([None], [None, 1]), ([None, 1], [None]), ([None, 1], [1, 4])], ids=str)
def test_tables_of_all_pairs_are_seen_where_the_batch_is_not_known(shapes: tuple[list[Any], list[Any]]) -> None:
    specs = [tf.TensorSpec(shape, tf.float64) for shape in shapes]
    loss = tf.function(lambda y, x: ours.binary_focal_loss(y, x, 2, **LOGITS), input_signature=specs)
    with pytest.warns(UserWarning, match="every label against every prediction"):
        loss.get_concrete_function()


@pytest.mark.parametrize("shapes", [([None], [None, 3]), ([None, 3], [4, None]), ([1, 3], [None, 3]), ([None], [4])])
def test_no_warning_of_shapes_that_may_go_in_pairs(shapes: tuple[list[Any], list[Any]]) -> None:
    specs = [tf.TensorSpec(shape, tf.float64) for shape in shapes]
    loss = tf.function(lambda y, x: ours.binary_focal_loss(y, x, 2, **LOGITS), input_signature=specs)
    assert loss.get_concrete_function().output_shapes.rank == len(shapes[1])


def test_known_dimensions_stay_known() -> None:
    specs = [tf.TensorSpec([None, 4, 1]), tf.TensorSpec([None, 4, 1])]
    binary = tf.function(lambda y, z: ours.binary_focal_loss(y, z, 2, **LOGITS), input_signature=specs)
    assert binary.get_concrete_function().output_shapes.as_list() == [None, 4, 1]


def test_gradients_of_labels_gamma_and_weights() -> None:
    z, y, gamma, weight = (tf.constant(a, tf.float64) for a in (Z, Y, 1.3, 2.0))

    def loss(y: tf.Tensor, gamma: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(ours.binary_focal_loss(y, z, gamma, pos_weight=weight, **LOGITS))

    theoretical, numerical = tf.test.compute_gradient(loss, [y, gamma, weight], delta=1e-5)
    for a, b in zip(theoretical, numerical, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7)


def gradient(function: Callable[..., tf.Tensor], x: tf.Tensor) -> tf.Tensor:
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(function(x))
    return tape.gradient(total, x)


def forward(function: Callable[..., tf.Tensor], x: tf.Tensor, tangent: tf.Tensor) -> tf.Tensor:
    with tf.autodiff.ForwardAccumulator(x, tangent) as accumulator:
        value = function(x)
    return accumulator.jvp(value)


def forward_derivatives(
    function: Callable[..., tf.Tensor], x: tf.Tensor, tangent: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The slope of the sum along the tangent, and its gradient by forward over reverse and by reverse over forward."""
    slope = tf.reduce_sum(forward(function, x, tangent))
    forward_over_reverse = forward(lambda x: gradient(function, x), x, tangent)
    return slope, forward_over_reverse, gradient(lambda x: forward(function, x, tangent), x)


@each_compiled
def test_forward_mode(compiler: str, name: str) -> None:
    """Also at logits of 0, where automatic differentiation of the formula would be wrong."""
    function, x = ALL[name]
    x = np.where(np.arange(x.size).reshape(x.shape) == 1, 0, x)
    tangent = RNG.normal(size=x.shape)
    slope, hessian = gradient_and_hessian(function, tf.constant(x))
    product = (hessian.reshape(x.size, x.size) @ tangent.ravel()).reshape(x.shape)
    compute = COMPILERS[compiler](lambda x, tangent: forward_derivatives(function, x, tangent))
    found = compute(tf.constant(x), tf.constant(tangent))
    for value, expected in zip(found, ((slope * tangent).sum(), product, product), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-14)


@each
def test_forward_mode_around_functions(function: Callable[..., tf.Tensor], x: np.ndarray) -> None:
    x, tangent = tf.constant(x), tf.constant(RNG.normal(size=x.shape))
    expected = tf.reduce_sum(gradient(function, x) * tangent)
    np.testing.assert_allclose(tf.reduce_sum(forward(tf.function(function), x, tangent)), expected, rtol=1e-12)
    with pytest.raises(NotImplementedError, match="open the accumulator inside the function"):
        forward(lambda x: gradient(tf.function(function), x), x, tangent)


@each
def test_forward_mode_twice(function: Callable[..., tf.Tensor], x: np.ndarray) -> None:
    x, tangent = tf.constant(x), tf.constant(RNG.normal(size=x.shape))
    _, hessian = gradient_and_hessian(function, x)
    found = forward(lambda x: tf.reduce_sum(forward(function, x, tangent)), x, tangent)
    v = tangent.numpy().ravel()
    np.testing.assert_allclose(found, v @ hessian.reshape(v.size, v.size) @ v, rtol=1e-12)


def test_forward_mode_in_gamma_and_labels() -> None:
    for k in (0, 2):
        operands = [tf.constant(Y), tf.constant(Z), tf.constant(1.5, tf.float64)]
        with tf.GradientTape() as tape:
            tape.watch(operands[k])
            total = tf.reduce_sum(ours.binary_focal_loss(*operands, **LOGITS))
        with tf.autodiff.ForwardAccumulator(operands[k], tf.ones_like(operands[k])) as forward:
            value = ours.binary_focal_loss(*operands, **LOGITS)
        expected = tf.reduce_sum(tape.gradient(total, operands[k]))
        np.testing.assert_allclose(tf.reduce_sum(forward.jvp(value)), expected, rtol=1e-12)


@each
def test_forward_mode_in_the_upstream(function: Callable[..., tf.Tensor], x: np.ndarray) -> None:
    """The gradient of a scaled loss is linear in the scale."""
    x, scale = tf.constant(x), tf.constant(2.0, tf.float64)
    with tf.autodiff.ForwardAccumulator(scale, tf.ones_like(scale)) as accumulator:
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = scale * tf.reduce_sum(function(x))
        found = tape.gradient(total, x)
    np.testing.assert_allclose(accumulator.jvp(found), found / 2, rtol=1e-12)


def test_saved_model_in_a_fresh_process(tmp_path: Path) -> None:
    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None]), tf.TensorSpec([None])])
        def loss(self, y: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
            return ours.binary_focal_loss(y, z, 0.5, **LOGITS)

    options = tf.saved_model.SaveOptions(experimental_custom_gradients=True)
    tf.saved_model.save(Module(), str(tmp_path), options=options)
    code = f"""
import tensorflow as tf
module = tf.saved_model.load({str(tmp_path)!r})
z = tf.constant([0.0, -30.0, 200.0])
with tf.GradientTape() as tape:
    tape.watch(z)
    loss = module.loss(tf.ones(3), z)
print(*loss.numpy().tolist(), *tape.gradient(loss, z).numpy().tolist())
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = [float(x) for x in run.stdout.split()]
    slope = -np.sqrt(0.5) * (0.25 * np.log(2) + 0.5)
    np.testing.assert_allclose(found, [np.log(2) * np.sqrt(0.5), 30, 0, slope, -1, 0], rtol=1e-5, atol=1e-12)


# ---------------------------------------------------------------------------------------------------------------
# Ops and formula
# ---------------------------------------------------------------------------------------------------------------

fused = pytest.mark.parametrize(
    ("function", "x"),
    [v for k, v in FUNCTIONS.items() if "prob" not in k],
    ids=[k for k in FUNCTIONS if "prob" not in k],
)


def by_formula(function: Callable[[], tf.Tensor]) -> tf.Tensor:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_native, "_covered", lambda *tensors: False)
        return function()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of the ops that Python called."""
    seen: list[str] = []

    class Spy:
        def __getattr__(self, name: str) -> Callable[..., tf.Tensor]:
            seen.append(name)
            return getattr(ops, name)

    ops = _native._ops
    monkeypatch.setattr(_native, "_ops", Spy())
    return seen


def ops_of(function: tf.types.experimental.ConcreteFunction) -> set[str]:
    definition = function.graph.as_graph_def()
    nodes = [*definition.node, *(node for f in definition.library.function for node in f.node_def)]
    return {node.op for node in nodes if node.op.startswith("FocalLoss")}


def slope(function: Callable[..., tf.Tensor], x: tf.Tensor) -> tf.Tensor:
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = function(x)
    return tape.gradient(loss, x)


@fused
def test_ops_run_in_eager_mode(function: Callable[..., tf.Tensor], x: np.ndarray, calls: list[str]) -> None:
    slope(function, tf.constant(x))
    assert len(calls) == 2


@fused
def test_ops_run_in_graphs_and_not_under_xla(function: Callable[..., tf.Tensor], x: np.ndarray) -> None:
    spec = tf.TensorSpec(x.shape, tf.float64)
    assert ops_of(tf.function(function).get_concrete_function(spec))
    assert not ops_of(tf.function(function, jit_compile=True).get_concrete_function(spec))
    assert len(ops_of(tf.function(lambda x: slope(function, x)).get_concrete_function(spec))) in (1, 2)


@fused
@pytest.mark.parametrize("traced", [False, True], ids=["untraced", "traced"])
def test_a_function_that_xla_compiles_within_another(
    function: Callable[..., tf.Tensor], x: np.ndarray, traced: bool
) -> None:
    inner, x = tf.function(function), tf.constant(x)
    expected = by_formula(lambda: function(x)), by_formula(lambda: slope(function, x))
    if traced:
        np.testing.assert_allclose(inner(x), expected[0], rtol=1e-13)
        assert ops_of(inner.get_concrete_function(x))
    outer = tf.function(lambda x: (inner(x), slope(inner, x)), jit_compile=True)
    for a, b in zip(outer(x), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(slope(outer_value := tf.function(inner, jit_compile=True), x), expected[1], rtol=1e-12)
    assert outer_value(x).shape == expected[0].shape


@fused
def test_vectorized_maps_and_jacobians(function: Callable[..., tf.Tensor], x: np.ndarray) -> None:
    x = tf.constant(np.stack([x, x + 1, 2 * x]))
    mapped = tf.vectorized_map(function, x, fallback_to_while_loop=False)
    np.testing.assert_allclose(mapped, tf.stack([function(row) for row in x]), rtol=1e-12)
    slopes = tf.vectorized_map(lambda row: slope(function, row), x, fallback_to_while_loop=False)
    np.testing.assert_allclose(slopes, tf.stack([slope(function, row) for row in x]), rtol=1e-12, atol=1e-14)

    def jacobian(wrap: Callable[..., Callable[..., tf.Tensor]]) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = wrap(function)(x[0])
        return tape.jacobian(loss, x)

    expected = by_formula(lambda: jacobian(lambda f: f))
    for wrap in (lambda f: f, tf.function):
        np.testing.assert_allclose(jacobian(wrap), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("compiler", "dtype"),
    [
        *(("eager", dtype) for dtype in ("float16", "bfloat16", "float32", "float64")),
        *(("graph", dtype) for dtype in ("bfloat16", "float32")),
        *(pytest.param("graph", dtype, marks=pytest.mark.nightly) for dtype in ("float16", "float64")),
    ],
)
def test_broadcasts_dtypes_and_empty_tensors(compiler: str, dtype: str) -> None:
    wrap = COMPILERS[compiler]
    eps = {"float16": 2.0**-10, "bfloat16": 2.0**-7}.get(dtype, np.finfo(np.float32).eps)
    cases = [((), ()), ((0,), (0,)), ((3, 1), (1, 4)), ((4,), (3, 4)), ((2, 3), ()), ((2, 3, 2), (2, 3, 2))]
    for labels, logits in cases:
        y, z = tf.constant(RNG.integers(0, 2, labels), tf.uint8), tf.constant(RNG.normal(0, 2, logits), dtype)

        def compute(y: tf.Tensor = y, z: tf.Tensor = z) -> list[tf.Tensor]:
            loss = wrap(lambda z: ours.binary_focal_loss(y, z, tf.constant([1.5]), pos_weight=3, **LOGITS))
            return [loss(z), slope(loss, z)]

        with pytest.warns(UserWarning, match="broadcast") if labels == (3, 1) else contextlib.nullcontext():
            for a, b in zip(compute(), by_formula(compute), strict=True):
                assert (a.dtype, a.shape) == (b.dtype, b.shape)
                np.testing.assert_allclose(tf.cast(a, tf.float64), tf.cast(b, tf.float64), rtol=16 * eps, atol=16 * eps)


def test_data_pipelines_and_replicas() -> None:
    data = (
        tf.data.Dataset.from_tensor_slices((T, V))
        .batch(2)
        .map(lambda t, v: ours.sparse_categorical_focal_loss(t, v, 2, **LOGITS))
    )
    expected = by_formula(lambda: ours.sparse_categorical_focal_loss(T, V, 2, **LOGITS))
    np.testing.assert_allclose(tf.concat(list(data), 0), expected, rtol=1e-12)
    strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
    z = tf.constant(Z)

    @tf.function
    def step() -> tf.Tensor:
        return strategy.run(lambda: slope(FUNCTIONS["binary"][0], z))

    np.testing.assert_allclose(step(), by_formula(lambda: slope(FUNCTIONS["binary"][0], z)), rtol=1e-12)


def test_a_function_traced_before_its_export_is_loaded_beside_its_ops(tmp_path: Path) -> None:
    module = tf.Module()
    module.loss = tf.function(FUNCTIONS["binary hard"][0], input_signature=[tf.TensorSpec([6], tf.float64)])
    expected = module.loss(Z)
    tf.saved_model.save(module, str(tmp_path))
    np.testing.assert_allclose(tf.saved_model.load(str(tmp_path)).loss(Z), expected)


def test_show_config_says_what_runs() -> None:
    assert _native.implementation().startswith("native kernels" if kernels.NATIVE else "the formula")
