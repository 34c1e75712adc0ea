"""The derivatives of losses that an op computes, or the formula: one custom gradient for both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from focal_loss._core import pipeline
from focal_loss._core.options import Reduction
from focal_loss.tensorflow._backend import FORMULA, Tensor, here, recorded
from focal_loss.tensorflow._private import RECORDS, by_device, has_tangents, is_followed

Operands = dict[str, Tensor]  # the tensors of a loss by name, and of a derivative also its factor "upstream"


class Loss(NamedTuple):
    """A loss as a function of tensors, in which "x" are the logits."""

    formula: Callable[[Operands], Tensor]  # the value
    op: Callable[[int, Operands], Tensor]  # the value at order 0, else upstream * derivative in the logits
    total: Callable[[Tensor, Operands], tuple[Tensor, Tensor]]  # factor * the sum of all values, and its gradient
    orders: int  # the highest derivative of the op
    elementwise: bool  # the Hessian is diagonal
    axis: int | None = None  # of the classes, which the value lacks


def _choose(native: Callable[[], Any], formula: Callable[[], Any]) -> Any:
    if tf.executing_eagerly():
        return native()
    return by_device({"CPU": native}, formula)


def _by_formula(loss: Loss, order: int, operands: Operands) -> Tensor:
    if not order:
        return loss.formula(operands)
    x, inner = operands["x"], {name: t for name, t in operands.items() if name != "upstream"}
    upstream = tf.cast(operands["upstream"], x.dtype) if "upstream" in operands else None
    return _differentiate(lambda x: _by_formula(loss, order - 1, inner | {"x": x}), [x], upstream)[0]


def _differentiate(function: Callable[..., Tensor], at: Sequence[Tensor], upstream: Tensor | None) -> list[Tensor]:
    zero = tf.UnconnectedGradients.ZERO
    if not tf.executing_eagerly():  # TensorFlow may have stopped its tapes, as it does for forward mode
        at = [tf.identity(tensor) for tensor in at]
        found = tf.gradients(function(*at), at, upstream, unconnected_gradients=zero)
        return [tf.convert_to_tensor(gradient) for gradient in found]  # `tf.gather` gives indexed slices
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(at)
        value = function(*at)
    return tape.gradient(value, at, upstream, zero)


Gradients = Callable[[Tensor, Operands, Sequence[str]], Operands]  # from the upstream; by name, absent for none


def _with_gradients(operands: Operands, value: Callable[[Operands], Tensor], gradients: Gradients) -> Tensor:
    """A value with a custom gradient in the operands that may be differentiated."""
    # In a graph every tensor is passed on (see `here`), otherwise only those that are differentiated.
    eager = tf.executing_eagerly()
    if eager and not is_followed(*operands.values()):
        return value(operands)
    names = [name for name, t in operands.items() if not eager or (t.dtype.is_floating and is_followed(t))]
    by_hand = eager and RECORDS  # then nothing in here is recorded

    def run(*given: Tensor) -> tuple[Tensor, Any]:
        # A tape that is open while a graph is built would ask for the gradient of every operation in here.
        constants = given if by_hand else map(tf.stop_gradient, given)
        inner = operands | dict(zip(names, constants, strict=True))

        def gradient(outer: Tensor) -> list[Tensor | None]:
            found = gradients(outer, operands | dict(zip(names, here(*given), strict=True)), names)
            return [found.get(name) for name in names]

        return value(inner), gradient

    given = here(*(operands[name] for name in names))
    return recorded(run, given) if by_hand else tf.custom_gradient(run)(*given)


def derivative(loss: Loss, order: int, operands: Operands, known: Callable[[], Tensor] | None = None) -> Tensor:
    """The value of a loss, or the derivative in the logits times the upstream, and the gradient of either. `known`
    gives the result where it has been computed.
    """
    # TensorFlow has stopped its tapes while forward mode follows a backward pass, so that the gradient in the upstream,
    # which a softmax loss takes by a tape, would be zeros there.
    if order and not loss.elementwise and tf.executing_eagerly() and has_tangents([*operands.values()]):
        return _by_formula(loss, order, operands)

    def value(inner: Operands) -> Tensor:
        if known is not None:
            return known()
        return _choose(lambda: loss.op(order, inner), lambda: _by_formula(loss, order, inner))

    return _with_gradients(operands, value, lambda *given: _gradients(loss, order, *given))


def _gradients(loss: Loss, order: int, outer: Tensor, operands: Operands, names: Sequence[str]) -> Operands:
    """The gradients of <outer, `derivative`>: in the logits and the upstream by ops if there are any, else by the
    formula.
    """
    found: Operands = {}
    if "x" in names and order < loss.orders:
        factor = outer
        if "upstream" in operands:
            factor = FORMULA.at_least_float32(outer) * FORMULA.at_least_float32(operands["upstream"])
        found["x"] = derivative(loss, order + 1, operands | {"upstream": factor})
    if loss.elementwise and "upstream" in names:
        slope = derivative(loss, order, operands | {"upstream": outer})
        found["upstream"] = tf.cast(slope, operands["upstream"].dtype)
    others = [name for name in names if name not in found and operands[name].dtype.is_floating]
    if others:

        def value(*given: Tensor) -> Tensor:
            return _by_formula(loss, order, operands | dict(zip(others, given, strict=True)))

        by_formula = _differentiate(value, [operands[name] for name in others], outer)
        found |= zip(others, by_formula, strict=True)
    return found


# ---------------------------------------------------------------------------------------------------------------
# Sums and means: where a tape follows the logits, the gradient comes with the value, in one pass over the data
# ---------------------------------------------------------------------------------------------------------------


def reduced(
    loss: Loss, operands: Operands, reduction: Reduction, constant: Callable[[float, tf.DType], Tensor]
) -> Tensor:
    """The sum or mean of a loss, at least float32."""
    x = operands["x"]
    if not is_followed(x):
        each = derivative(loss, 0, operands | {"x": FORMULA.at_least_float32(x)})
        return pipeline.reduce(FORMULA, each, None, reduction, each)
    factor = constant(1.0, tf.float64) if reduction == "sum" else _inverse_of_number(loss, x, constant)
    slopes: list[Tensor] = []

    def value(inner: Operands) -> Tensor:
        total, slope = _choose(lambda: loss.total(factor, inner), lambda: _total_by_formula(loss, factor, inner))
        slopes.append(slope)
        return total

    def gradients(outer: Tensor, operands: Operands, names: Sequence[str]) -> Operands:
        found, others = {}, [name for name in names if name != "x"]
        shared = [name for name in others if operands[name].dtype.is_floating]
        if "x" in names:
            found["x"] = _scaled(loss, outer, factor, slopes[-1], operands)
        return found | (_gradients(loss, 0, _spread(loss, outer, factor, operands), operands, others) if shared else {})

    return _with_gradients(operands, value, gradients)


def _scaled(loss: Loss, outer: Tensor, factor: Tensor, slope: Tensor, operands: Operands) -> Tensor:
    """The gradient in the logits: the slope times the upstream gradient, which is 1 if nothing follows the loss."""
    x, eager = operands["x"], tf.executing_eagerly()

    def known() -> Tensor:
        if eager:
            is_one = FORMULA.readable(outer) and outer.numpy() == 1
            return tf.cast(slope if is_one else slope * outer, x.dtype)
        return tf.cast(tf.stop_gradient(slope) * tf.stop_gradient(outer), x.dtype)

    if eager and not is_followed(outer, *operands.values()):
        return known()
    again = operands | {"upstream": _spread(loss, outer, factor, operands)}
    return derivative(loss, 1, again, lambda: tf.identity(known()))


def _spread(loss: Loss, outer: Tensor, factor: Tensor, operands: Operands) -> Tensor:
    """The upstream gradient of each loss, from that of their total."""
    shape, axis = tf.shape(operands["x"]), loss.axis
    if axis is not None:
        shape = tf.concat([shape[:axis], shape[axis + 1 :]], 0)
    return tf.broadcast_to(outer * tf.cast(factor, outer.dtype), shape)


def _total_by_formula(loss: Loss, factor: Tensor, operands: Operands) -> tuple[Tensor, Tensor]:
    wide = operands | {"x": FORMULA.at_least_float32(operands["x"])}
    one = tf.cast(factor, wide["x"].dtype)
    upstream = _spread(loss, tf.ones_like(one), factor, wide)
    slope = tf.ensure_shape(_by_formula(loss, 1, wide | {"upstream": upstream}), wide["x"].shape)
    return tf.reduce_sum(_by_formula(loss, 0, wide)) * one, slope


def _inverse_of_number(loss: Loss, x: Tensor, constant: Callable[[float, tf.DType], Tensor]) -> Tensor:
    """1 divided by the number of losses, or 1 without any."""
    lengths = [n for k, n in enumerate(x.shape) if k != loss.axis]
    if None in lengths:
        dynamic = tf.cast(tf.shape(x, tf.int64), tf.float64)
        kept = [dynamic[k] for k in range(x.shape.rank) if k != loss.axis]
        return 1 / tf.maximum(tf.reduce_prod(tf.stack(kept)), 1)
    number = 1
    for n in lengths:
        number *= n
    return constant(1 / max(number, 1), tf.float64)
