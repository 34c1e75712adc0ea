"""A last layer and its softmax focal loss as one: the logits never exist but for a few rows at a time."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from focal_loss import _losses, _spec
from focal_loss._docs import MEAN_VALID, REDUCTION, documented
from focal_loss._shapes import check_linear, chunk_rows
from focal_loss.jax._native import XP


@documented("linear_sparse_categorical_focal_loss", REDUCTION.format(mean=MEAN_VALID))
def linear_sparse_categorical_focal_loss(
    hidden: Any,
    weight: Any,
    y_true: Any,
    gamma: Any,
    *,
    bias: Any | None = None,
    class_weight: Any | None = None,
    ignore_class: int | None = None,
    reduction: _spec.Reduction = "mean",
) -> Array:
    """Softmax focal loss of a linear layer, without its logits in memory: for many classes, or tokens of a language.

    The same as ``sparse_categorical_focal_loss(y_true, hidden @ weight.T + bias, gamma, from_logits=True, ...)``.
    Under `jax.grad` a mean or a sum computes its gradients at once, chunk by chunk in a `jax.lax.scan`; they are all
    that is kept. Half precision adds up the gradients of weight and bias in float32. Differentiable in reverse mode,
    in `hidden`, `weight` and `bias`.

    {contract}

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from focal_loss.jax import linear_sparse_categorical_focal_loss
    >>> y_true = jnp.array([1, 2, 3, 999])
    >>> loss = lambda weight: linear_sparse_categorical_focal_loss(jnp.zeros((4, 8)), weight, y_true, gamma=2)
    >>> value, gradient = jax.value_and_grad(loss)(jnp.ones((1000, 8)))
    >>> round(float(value), 3), gradient.shape
    (6.894, (1000, 8))
    """
    spec = _spec.SparseCategorical(gamma, class_weight, True, -1, ignore_class)
    x, w = XP.prediction(hidden), XP.prediction(weight)
    b = None if bias is None else XP.prediction(bias)
    y = XP.labels(y_true, x)
    check_linear(x.shape, w.shape, None if b is None else b.shape, y.shape)
    if XP.readable(y):
        _losses.complain_of_classes(XP.to_numpy(y), w.shape[0], spec.ignore_class)
    gamma, class_weight = _losses.class_parameters(XP, jnp.zeros((0, w.shape[0]), x.dtype), 1, spec)
    numbers = tuple(p if isinstance(p, float) else None for p in (gamma, class_weight))
    arrays = tuple(None if isinstance(p, float) else p for p in (gamma, class_weight))
    problem = _Problem(numbers, spec.ignore_class, _spec.reduction(reduction))
    loss = _linear(problem, x.reshape(-1, x.shape[-1]), w, b, arrays, y.reshape(-1))
    return loss.reshape(y.shape) if reduction == "none" else loss


class _Problem(NamedTuple):
    """What is no array."""

    numbers: tuple[float | None, ...]  # gamma and class_weight, None where they are arrays
    ignore: int | None
    reduction: _spec.Reduction


Parameters = tuple[Array | None, ...]  # gamma and class_weight, None where they are numbers


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _linear(
    problem: _Problem, hidden: Array, weight: Array, bias: Array | None, parameters: Parameters, y: Array
) -> Array:
    value = _values(problem, hidden, weight, bias, parameters, y)
    if problem.reduction == "none":
        return value
    return (_wide(value).sum() * _share(problem, y)).astype(jnp.promote_types(hidden.dtype, jnp.float32))


def _forward(problem: _Problem, *given: Any) -> tuple[Array, Any]:
    hidden, weight, bias, parameters, y = jax.tree.map(lambda p: p.value, given, is_leaf=_is_primal)
    for name, parameter in zip(("gamma", "class_weight"), given[3], strict=True):
        if parameter is not None and parameter.perturbed:
            raise ValueError(f"`{name}` cannot be differentiated here; take `sparse_categorical_focal_loss` for that")
    inputs = hidden, weight, bias, parameters, y
    if problem.reduction == "none":
        return _values(problem, *inputs), inputs
    total, gradients = _gradients(problem, jnp.ones(y.shape, _wide(hidden).dtype), *inputs)
    share = _share(problem, y)
    dtypes = [None if t is None else jnp.zeros(0, t.dtype) for t in (hidden, weight, bias)]
    return (total * share).astype(jnp.promote_types(hidden.dtype, jnp.float32)), (gradients, share, dtypes)


def _is_primal(x: Any) -> bool:
    return hasattr(x, "perturbed")


def _backward(problem: _Problem, kept: Any, upstream: Any) -> tuple[Any, ...]:
    if isinstance(upstream, jax.custom_derivatives.SymbolicZero):
        upstream = jnp.zeros(upstream.shape, upstream.dtype)
    if problem.reduction == "none":
        _, gradients = _gradients(problem, _wide(upstream), *kept)
        scale, like = 1.0, kept[:3]
    else:
        gradients, share, like = kept
        scale = _wide(upstream) * share
    slopes = (None if t is None else (_wide(g) * scale).astype(t.dtype) for g, t in zip(gradients, like, strict=True))
    return *slopes, (None, None), None


_linear.defvjp(_forward, _backward, symbolic_zeros=True)


def _wide(x: Array) -> Array:
    return x.astype(jnp.float32) if x.dtype.itemsize < 4 else x


def _share(problem: _Problem, y: Array) -> Array | float:
    if problem.reduction == "sum":
        return 1.0
    if problem.ignore is None:
        return 1 / max(y.size, 1)
    y = y.astype(jnp.int32) if y.dtype.itemsize < 4 else y  # in uint8, -100 would be 156
    return 1 / jnp.maximum((y != problem.ignore).sum(), 1)


def _losses_of(problem: _Problem, parameters: Parameters, logits: Array, y: Array) -> Array:
    gamma, weight = (p if n is None else n for n, p in zip(problem.numbers, parameters, strict=True))
    return _losses.sparse_categorical(XP, y, logits, _spec.SparseCategorical(gamma, weight, True, -1, problem.ignore))


def _logits(hidden: Array, weight: Array, bias: Array | None) -> Array:
    logits = hidden @ weight.T
    return logits if bias is None else logits + bias


def _chunks(hidden: Array, weight: Array, *per_row: Array) -> tuple[Array, ...]:
    """Rows in front: (chunks, rows, ...), filled up with zeros."""
    rows = chunk_rows(len(hidden), hidden.shape[1], len(weight))
    missing = -len(hidden) % rows
    padded = (jnp.pad(a, [(0, missing)] + [(0, 0)] * (a.ndim - 1)) for a in (hidden, *per_row))
    return tuple(a.reshape(-1, rows, *a.shape[1:]) for a in padded)


def _values(
    problem: _Problem, hidden: Array, weight: Array, bias: Array | None, parameters: Parameters, y: Array
) -> Array:
    def chunk(given: tuple[Array, Array]) -> Array:
        return _losses_of(problem, parameters, _logits(given[0], weight, bias), given[1])

    return jax.lax.map(chunk, _chunks(hidden, weight, y)).reshape(-1)[: len(y)]


def _gradients(
    problem: _Problem,
    upstream: Array,
    hidden: Array,
    weight: Array,
    bias: Array | None,
    parameters: Parameters,
    y: Array,
) -> tuple[Array, tuple[Array, Array, Array | None]]:
    """The sum of upstream * loss, and its gradient in hidden, weight and bias. Rows that fill up have upstream 0."""

    def chunk(sums: tuple[Array, Array, Array | None], given: tuple[Array, ...]) -> tuple[Any, Array]:
        total, in_weight, in_bias = sums
        h, labels, above = given
        value, pull = jax.vjp(lambda v: _losses_of(problem, parameters, v, labels), _logits(h, weight, bias))
        (slope,) = pull(above.astype(value.dtype))
        in_weight += jnp.matmul(slope.T, h, preferred_element_type=in_weight.dtype)
        in_bias = None if in_bias is None else in_bias + slope.sum(0, dtype=in_bias.dtype)
        total += jnp.where(above == 0, 0, _wide(value) * above).sum()
        return (total, in_weight, in_bias), slope @ weight

    zeros = [None if t is None else _wide(jnp.zeros_like(t)) for t in (weight, bias)]
    start = jnp.zeros((), upstream.dtype), *zeros
    sums, in_hidden = jax.lax.scan(chunk, start, _chunks(hidden, weight, y, upstream))
    return sums[0], (in_hidden.reshape(-1, hidden.shape[1])[: len(hidden)], *sums[1:])
