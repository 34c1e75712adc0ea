"""The family on the native kernels, wherever a framework calls them: the numbers of NumPy's, to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow as tf
from cases import DIFFERENTIABLE, FRAMEWORK, OWN_FORM, UNLABELED, Arrays, Framework, Loss, tensorflow_numpy

from focal_loss._core.repeated import Memory
from focal_loss._host import evaluate, repeated

MEMBERS = [*OWN_FORM, *UNLABELED]
MEMBER = {member.name: member for member in MEMBERS}
by_member = pytest.mark.parametrize("member", MEMBERS, ids=str)

CORNERS = [-np.inf, np.inf, np.nan, -1e4, 1e4, -80.0, 80.0, 0.0]  # without subnormal results, which XLA flushes
RNG = np.random.default_rng(0)
Z = np.concatenate([np.repeat(CORNERS, 4), RNG.normal(0, 3, 200)]).reshape(-1, 4)
Y = RNG.choice([0.0, 1.0, 0.25, 0.9375], Z.shape)  # exact in every dtype
# An option of a member, in which the formula differentiates.
OPTIONS = {"asymmetric_loss": "gamma_neg", "poly1_focal_loss": "pos_weight", "focal_matching_cost": "alpha"}


def function_of(framework: Framework, member: Loss) -> Callable[..., Any]:
    """The loss of the logits, at labels `Y`."""
    loss, given = getattr(framework.module, member.name), {"from_logits": True} | member.options
    labels = (Y,) if member.declared.labeled else ()
    return lambda x, **options: loss(*labels, x, **(given | options))


@cache
def of_numpy(name: str, dtype: str) -> Arrays:
    """The value, and the gradient that the kernels compute for the call of NumPy's function."""
    member, numpy, calls, native = MEMBER[name], FRAMEWORK["numpy"], [], evaluate.native_binary

    def remember(call: Any, **options: Any) -> Any:
        calls.append(call)
        return native(call, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "native_binary", remember)
        patch.setattr(repeated, "_runs", Memory())
        value = function_of(numpy, member)(numpy.tensor(Z, dtype))
    done = native(calls[0], order=1)
    assert done is not None
    return {"value": numpy.numpy(value), "y_pred": numpy.numpy(done[0][1])}


@pytest.mark.parametrize("framework", DIFFERENTIABLE, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@by_member
def test_every_framework_gives_the_bits_of_numpy(member: Loss, dtype: str, framework: Framework) -> None:
    loss = function_of(framework, member)
    found = framework.derivatives(lambda y_pred: loss(y_pred), {"y_pred": Z}, dtype, second=False)
    for name, expected in of_numpy(member.name, dtype).items():
        np.testing.assert_array_equal(found[name], expected, err_msg=name)


def test_xla_calls_the_kernels_once_for_a_value_and_its_gradient() -> None:
    x = jnp.asarray(Z, jnp.float32)
    for member in MEMBERS:
        loss = function_of(FRAMEWORK["jax"], member)
        program = jax.jit(jax.value_and_grad(lambda x, loss=loss: loss(x).sum())).lower(x).compile().as_text()
        assert program.count('custom_call_target="focal_loss_binary"') == 1, member


@by_member
def test_graphs_of_tensorflow_hold_the_ops(member: Loss) -> None:
    loss = function_of(FRAMEWORK["tensorflow"], member)

    def both(x: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss(x)
        return {"value": value, "y_pred": tape.gradient(value, x)}

    x = tf.constant(Z, tf.float32)
    graph = tf.function(both).get_concrete_function(x)
    assert ops_of(graph) == {"FocalLossMember"}
    for name, found in graph(x).items():
        np.testing.assert_array_equal(tensorflow_numpy(found), of_numpy(member.name, "float32")[name], err_msg=name)
    assert not ops_of(tf.function(both, jit_compile=True).get_concrete_function(x))


def ops_of(function: Any) -> set[str]:
    definition = function.graph.as_graph_def()
    nodes = [*definition.node, *(node for f in definition.library.function for node in f.node_def)]
    return {node.op for node in nodes if node.op.startswith("FocalLoss")}


# ---------------------------------------------------------------------------------------------------------------
# Options that are tensors of one number
# ---------------------------------------------------------------------------------------------------------------

ROWS, VALUES = Z[8:11], [0.0, 0.3, 0.9]


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("framework", [f for f in DIFFERENTIABLE if f.name != "torch"], ids=str)
def test_an_option_of_its_own_for_each_row(framework: Framework, name: str) -> None:
    """Under `vmap` and `vectorized_map` kernels that take one number are called once for each row."""
    loss = getattr(framework.module, name)
    labels = ([0.0, 1.0, 0.25, 1.0],) if MEMBER[name].declared.labeled else ()
    of_row = lambda x, value: loss(*labels, x, from_logits=True, **{OPTIONS[name]: value})  # noqa: E731
    rows, values = framework.tensor(ROWS, "float32"), framework.tensor(VALUES, "float32")
    if framework.name == "jax":
        found = jax.jit(jax.vmap(of_row))(rows, values)
    else:
        found = tf.vectorized_map(lambda given: of_row(*given), (rows, values))
    for k, value in enumerate(VALUES):
        np.testing.assert_allclose(found[k], of_row(rows[k], value), rtol=1e-6)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("framework", DIFFERENTIABLE, ids=str)
def test_the_derivative_in_an_option_is_that_of_the_formula(framework: Framework, name: str) -> None:
    loss, x = function_of(framework, MEMBER[name]), np.where(np.isfinite(Z), Z.clip(-9, 9), 0)

    def slope(value: Any) -> np.ndarray:
        function = lambda option: loss(framework.tensor(x, "float64"), **{OPTIONS[name]: option})  # noqa: E731
        return framework.derivatives(function, {"option": value}, "float64", second=False)["option"]

    np.testing.assert_allclose(slope(np.array(0.7)), slope(np.full(Z.shape, 0.7)).sum(), rtol=1e-12)
