"""JAX: jit, vmap, optax's loss, traced parameters, the kernels, many devices."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import enable_x64
from jax.test_util import check_grads

import focal_loss.jax as ours
from focal_loss._host import kernels

RNG = np.random.default_rng(0)
LOGITS = {"from_logits": True}
Z, V = RNG.normal(0, 2, 6), RNG.normal(0, 2, (4, 3))
Y, T, SOFT = RNG.random(6), np.array([0, 2, 1, 1]), RNG.dirichlet([1, 1, 1], 4)

FUNCTIONS: dict[str, tuple[Callable[..., jax.Array], np.ndarray]] = {
    "binary": (lambda z: ours.binary_focal_loss(Y, z, 1.5, pos_weight=3, **LOGITS), Z),
    "binary hard": (lambda z: ours.binary_focal_loss(Y > 0.5, z, 2, **LOGITS), Z),
    "binary of probabilities": (lambda z: ours.binary_focal_loss(Y, jax.nn.sigmoid(z), 2), Z),
    "p_t_loss": (lambda z: ours.binary_focal_crossentropy(Y, z, True, **LOGITS), Z),
    "sparse": (lambda v: ours.sparse_categorical_focal_loss(T, v, [0, 0.5, 2], **LOGITS), V),
    "sparse of probabilities": (lambda v: ours.sparse_categorical_focal_loss(T, jnp.exp(v - 9), 2), V),
    "dense": (lambda v: ours.categorical_focal_loss(SOFT, v, 2, class_weight=[1, 2, 3], **LOGITS), V),
    "dense of probabilities": (lambda v: ours.categorical_focal_loss(SOFT, jnp.exp(v - 9), [0, 0.5, 2]), V),
}
each = pytest.mark.parametrize(("function", "x"), FUNCTIONS.values(), ids=FUNCTIONS)


@each
def test_jit_and_vmap(function: Callable[..., jax.Array], x: np.ndarray) -> None:
    x = jnp.asarray(x, jnp.float32)
    np.testing.assert_allclose(jax.jit(function)(x), function(x), rtol=2e-6)
    batch = jnp.stack([x, -x])
    np.testing.assert_allclose(jax.vmap(function)(batch), [function(x), function(-x)], rtol=2e-6)


def test_parameters_may_be_traced_and_differentiated() -> None:
    """Second and mixed derivatives in gamma, weight and label against differences of the first ones."""

    @jax.jit
    def loss(x: jax.Array) -> jax.Array:
        return ours.binary_focal_loss(x[2:], Z, x[0], pos_weight=x[1], **LOGITS).sum()

    with enable_x64(True):
        x, step = jnp.concatenate([jnp.asarray([1.3, 2.0]), jnp.asarray(Y)]), 1e-5
        slope = jax.grad(loss)
        differences = [(slope(x + step * e) - slope(x - step * e)) / (2 * step) for e in jnp.eye(8)]
        np.testing.assert_allclose(jax.hessian(loss)(x), jnp.stack(differences), atol=1e-9)
        check_grads(loss, (x,), order=1, modes=["fwd", "rev"], rtol=1e-6)


@pytest.mark.parametrize("alpha", [None, 0.25, 0.9])
@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
def test_sigmoid_focal_loss_of_optax(alpha: float | None, gamma: float) -> None:
    import optax

    for labels in (Y, np.round(Y)):
        logits, labels = jnp.asarray(Z, jnp.float32), jnp.asarray(labels, jnp.float32)
        expected = optax.losses.sigmoid_focal_loss(logits, labels, alpha=alpha, gamma=gamma)
        np.testing.assert_allclose(
            ours.sigmoid_focal_loss(logits, labels, alpha=alpha, gamma=gamma), expected, rtol=2e-5
        )
        slope = jax.grad(lambda y: ours.sigmoid_focal_loss(logits, y, alpha=alpha, gamma=gamma).sum())(labels)  # noqa: B023
        assert jnp.isfinite(slope).all()


def test_a_training_step_reduces_the_loss() -> None:
    x = jnp.asarray(RNG.normal(size=(64, 3)), jnp.float32)
    y = (x[:, 0] > 0).astype(jnp.int32)

    @jax.jit
    def step(w: jax.Array) -> tuple[jax.Array, jax.Array]:
        loss, slope = jax.value_and_grad(lambda w: ours.binary_focal_loss(y, x @ w, 2.0, **LOGITS).mean())(w)
        return w - slope, loss

    w = jnp.zeros(3)
    w, first = step(w)
    for _ in range(50):
        w, last = step(w)
    assert last < 0.7 * first


def test_third_derivatives_are_refused() -> None:
    third = jax.grad(jax.grad(jax.grad(lambda z: ours.binary_focal_loss(1.0, z, 2.0, **LOGITS))))
    with pytest.raises(NotImplementedError, match="not third ones"):
        third(0.5)


def test_float64_stays_float64_where_it_is_enabled() -> None:
    with enable_x64(True):
        assert ours.binary_focal_loss([1, 0], np.zeros(2), 2).dtype == jnp.float64
    assert ours.binary_focal_loss([1, 0], np.zeros(2), 2).dtype == jnp.float32


# ---------------------------------------------------------------------------------------------------------------
# Native kernels
# ---------------------------------------------------------------------------------------------------------------

fused = pytest.mark.parametrize("name", ["binary", "binary hard", "p_t_loss", "sparse", "dense"])


def total(name: str) -> tuple[Callable[[jax.Array], jax.Array], jax.Array]:
    function, x = FUNCTIONS[name]
    return lambda x: function(x).sum(), jnp.asarray(x, jnp.float32)


@pytest.fixture
def formula(monkeypatch: pytest.MonkeyPatch) -> Callable[..., jax.Array]:
    """Calls a function without the kernels."""

    def call(function: Callable[..., jax.Array], *arguments: jax.Array) -> jax.Array:
        with monkeypatch.context() as patch:
            patch.setattr(kernels, "NATIVE", None)
            return function(*arguments)

    return call


@fused
def test_the_kernels_run(name: str) -> None:
    """One call computes the value and the gradient, and one the Hessian of a binary loss."""
    function, x = total(name)
    compiled = jax.jit(jax.value_and_grad(function)).lower(x).compile().as_text()
    assert compiled.count('custom_call_target="focal_loss_') == 1
    slope = jax.jit(lambda x: jax.jvp(jax.grad(function), (x,), (x,))[1]).lower(x).compile().as_text()
    assert ("focal_loss_binary" in slope) == name.startswith("binary")


@fused
def test_every_transformation_gives_what_the_formula_gives(name: str, formula: Callable[..., jax.Array]) -> None:
    function, x = total(name)
    rows = jnp.stack([x, 2 * x, -x])

    def scanned(rows: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda sum_, x: (sum_ + function(x), None), jnp.float32(0), rows)[0]

    transforms: dict[str, tuple[Callable[..., jax.Array], jax.Array]] = {
        "grad": (jax.grad(function), x),
        "forward": (jax.jacfwd(function), x),
        "vmap": (jax.vmap(jax.grad(function)), rows),
        "last axis": (jax.vmap(jax.grad(function), in_axes=-1, out_axes=-1), jnp.moveaxis(rows, 0, -1)),
        "nested": (jax.vmap(jax.vmap(jax.grad(function))), jnp.stack([rows, -rows])),
        "hessians": (jax.vmap(jax.hessian(function)), rows),
        "checkpoint": (jax.grad(jax.checkpoint(function)), x),
        "scan": (jax.grad(scanned), rows),
    }
    arguments = {what: argument for what, (_, argument) in transforms.items()}

    def run(arguments: dict[str, jax.Array]) -> dict[str, jax.Array]:
        return {what: transforms[what][0](argument) for what, argument in arguments.items()}

    expected = formula(jax.jit(lambda arguments: run(arguments)), arguments)
    for what, found in jax.jit(run)(arguments).items():
        np.testing.assert_allclose(found, expected[what], atol=3e-6, rtol=1e-5, err_msg=what)


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0), (1, 0)])
def test_vmap_over_some_arguments(axes: tuple[int | None, int | None]) -> None:
    """Logits, labels, and parameters of their own for each row."""
    z = jnp.asarray(RNG.normal(size=(3, 3, 4)), jnp.float32)
    labels = jnp.asarray(RNG.integers(0, 2, (3, 3, 4))), jnp.asarray(RNG.integers(0, 4, (3, 3)))
    gamma = jnp.asarray(RNG.uniform(0, 3, (3, 4)), jnp.float32)
    losses = ours.binary_focal_loss, ours.sparse_categorical_focal_loss
    for loss, y in zip(losses, labels, strict=True):
        slope = jax.grad(lambda z, y, g, loss=loss: loss(y, z, g, **LOGITS).sum())
        z_in, y_in = z if axes[0] is not None else z[0], y if axes[1] is not None else y[0]
        result = jax.vmap(slope, (*axes, 0))(z_in, y_in, gamma)
        for k in range(3):
            row = z_in if axes[0] is None else jnp.take(z_in, k, axes[0])
            expected = slope(row, y_in if axes[1] is None else y_in[k], gamma[k])
            np.testing.assert_allclose(result[k], expected, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_odd_shapes(dtype: str, formula: Callable[..., jax.Array]) -> None:
    """Empty, scalar, one logit of each shape, labels per row, parameters per column."""
    with enable_x64(dtype == "float64"):
        columns = jnp.asarray([0.0, 1.3, 4.0])
        for shape, labels in (
            ((0,), (0,)),
            ((), ()),
            ((2, 3), (2, 1)),
            ((2, 3), (3,)),
            ((0, 3), (1, 3)),
            ((1, 3), (2, 3)),
        ):
            z, y = jnp.asarray(RNG.normal(size=shape), dtype), jnp.asarray(RNG.random(labels), "float32")
            gamma = columns if shape[-1:] == (3,) else 1.3
            run = jax.value_and_grad(
                lambda z, y=y, g=gamma: ours.binary_focal_loss(y, z, g, pos_weight=g, **LOGITS).sum()
            )
            for found, expected in zip(run(z), formula(jax.jit(run), z), strict=True):
                assert found.dtype == expected.dtype == z.dtype
                tolerance = 4 * float(jnp.finfo(dtype).eps)
                np.testing.assert_allclose(
                    *(np.asarray(a, "float64") for a in (found, expected)), rtol=tolerance, atol=tolerance
                )


def test_half_precision_gradients_are_rounded_once() -> None:
    """A loss that is scaled against underflow is scaled before the gradient is rounded."""
    z = jnp.asarray([8.0], jnp.float16)
    slope = jax.grad(lambda z: ours.binary_focal_loss([1], z, 1.0, **LOGITS).astype(jnp.float32).sum() * 16384)(z)
    exact = jax.grad(lambda z: ours.binary_focal_loss([1], z, 1.0, **LOGITS).sum())(z.astype(jnp.float32))
    np.testing.assert_allclose(slope, 16384 * exact, rtol=1e-3)


@pytest.mark.parametrize("name", ["binary hard", "sparse"])
def test_a_number_first_met_in_a_trace_is_a_number(name: str) -> None:
    """Eager code remembers gamma and weights as arrays; a trace must leave none of its own behind."""
    y, x = (Y > 0.5, Z) if name == "binary hard" else (T, V)
    loss = ours.binary_focal_loss if name == "binary hard" else ours.sparse_categorical_focal_loss
    given = jnp.asarray(y), jnp.asarray(x)
    traced = jax.jit(lambda: loss(*given, 2.4375, **LOGITS))()
    np.testing.assert_array_equal(loss(*given, 2.4375, **LOGITS), traced)


def test_labels_that_are_none() -> None:
    v, bad = jnp.asarray(V, jnp.float32), jnp.asarray([0, 3, -1, 1])
    loss = jax.value_and_grad(lambda v, t: jnp.nansum(ours.sparse_categorical_focal_loss(t, v, 2, **LOGITS)))
    with pytest.raises(ValueError, match=r"class indices in \[0, 3\), got 3 at position \(1,\)"):
        loss(v, bad)
    with pytest.raises(ValueError, match=r"labels in \[0, 1\], got 2"):
        ours.binary_focal_loss(jnp.asarray([0, 2]), v[0, :2], 2, **LOGITS)
    values = jax.jit(lambda t: ours.sparse_categorical_focal_loss(t, v, 2, **LOGITS))(bad)
    np.testing.assert_array_equal(jnp.isnan(values), [False, True, True, False])
    slope = jax.jit(loss)(v, bad)[1]
    np.testing.assert_array_equal(slope[1:3], 0)
    np.testing.assert_allclose(slope[::3], loss(v, jnp.asarray([0, 0, 0, 1]))[1][::3], rtol=1e-6)


def test_fractional_class_indices_are_no_class() -> None:
    """In compiled code, which cannot raise, neither -0.5 nor 2.5 is truncated to a class."""
    labels = jnp.asarray([0.0, -0.5, 2.5, 1.0])
    values = jax.jit(lambda t: ours.sparse_categorical_focal_loss(t, jnp.asarray(V, jnp.float32), 2, **LOGITS))(labels)
    np.testing.assert_array_equal(jnp.isnan(values), [False, True, True, False])


SHARDED = """
import numpy as np, jax, jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
import focal_loss.jax as ours

rng = np.random.default_rng(0)
x = jnp.asarray(rng.normal(size=(8, 6)), jnp.float32)
soft, classes = jnp.asarray(rng.random((8, 6)), jnp.float32), jnp.asarray(rng.integers(0, 6, 8))
labels = {"binary_focal_loss": soft, "sparse_categorical_focal_loss": classes, "asymmetric_loss": soft}
for kind in (AxisType.Auto, AxisType.Explicit):
    mesh = jax.make_mesh((4,), ("batch",), axis_types=(kind,))
    sharding = NamedSharding(mesh, P("batch"))
    for name, y in labels.items():
        loss = getattr(ours, name)

        def mean(x, y):
            return loss(y, x, 2.0, from_logits=True).mean()

        def rows(x, y):
            return jax.vmap(lambda x, y: loss(y, x, 2.0, from_logits=True))(x, y).mean()

        for function in (mean, rows):
            sharded = [jax.device_put(a, sharding) for a in (x, y)]
            program = jax.jit(jax.value_and_grad(function)).lower(*sharded).compile()
            assert "all-gather" not in program.as_text() and "focal_loss_" in program.as_text()
            value, slope = program(*sharded)
            assert slope.sharding.is_equivalent_to(sharding, 2)
            expected = jax.value_and_grad(function)(x, y)
            np.testing.assert_allclose(value, expected[0], rtol=1e-6)
            np.testing.assert_allclose(slope, expected[1], rtol=1e-6)
        parts = jax.shard_map(jax.grad(mean), mesh=mesh, in_specs=P("batch"), out_specs=P("batch"))
        np.testing.assert_allclose(jax.jit(parts)(*sharded) / 4, expected[1], rtol=1e-6)
"""


def test_a_sharded_batch_stays_where_it_is() -> None:
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", SHARDED], env=os.environ | flags, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
