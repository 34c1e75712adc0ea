"""The kernels as autograd functions. A derivative is the same function at the next order, times what comes from above.

Where tensors are traced, the kernels are the operators of `_operators.py`, which would cost an eager tensor more.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from focal_loss.torch import _operators
from focal_loss.torch._options import (
    Parameter,
    SoftmaxOptions,
    at_least_float32,
    is_traced,
    reduction_weight,
    reduction_weight_of_example,
    save_for_backward,
    saved,
)
from focal_loss.torch._private import is_batched


def kernels(x: Tensor) -> ModuleType:
    """Those of the device of the logits, or the operators."""
    return _operators if is_traced(x) else _operators.kernels(x)


# ---------------------------------------------------------------------------------------------------------------
# Binary
# ---------------------------------------------------------------------------------------------------------------


class _Binary(torch.autograd.Function):
    """`binary` of the kernels of an eager tensor. Nothing but its inputs is kept for the backward pass."""

    @staticmethod
    def forward(ctx: Any, order: int, upstream: Parameter, x: Tensor, y: Tensor, *rest: Any) -> Tensor:
        ctx.order = order
        save_for_backward(ctx, upstream, x, y, *rest)
        return kernels(x).binary(order, upstream, x, y, *rest)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        upstream, x, y, *rest = saved(ctx)
        in_upstream = None
        if ctx.order > 1:
            raise NotImplementedError("the focal loss gives first and second derivatives, not third ones")
        if ctx.order == 1:
            if ctx.needs_input_grad[1]:
                in_upstream = at_least_float32(_times(1, grad, x, y, *rest)).sum_to_size(upstream.shape)
            factor = upstream if isinstance(upstream, float) else at_least_float32(upstream)
            in_x = _times(2, at_least_float32(grad) * factor, x, y, *rest)
        elif rest[-1].reduction == "mean":
            in_x = _first(at_least_float32(grad) * reduction_weight(x, rest[-1]), x, y, *rest)
        else:
            in_x = _first(grad, x, y, *rest)
        return None, in_upstream, in_x, None, None, None, None, None


class _ReducedBinary(torch.autograd.Function):
    """A mean or a sum: the gradient is computed together with it, in one pass over the logits.

    A reduced loss is nearly always what `backward` is called on: then its upstream gradient is 1 and the gradient is
    ready. It takes the memory that the backward pass would take a moment later. For any other upstream gradient, and a
    second time, it is computed anew from the inputs.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, *rest: Any) -> Tensor:
        save_for_backward(ctx, x, y, *rest)
        value, ctx.gradient = kernels(x).binary_with_gradient(x, y, *rest)
        return value

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        x, y, *rest = saved(ctx)
        ready, ctx.gradient = ctx.gradient, None
        if ready is None or torch.is_grad_enabled() or is_batched(grad):
            ready = _first(at_least_float32(grad) * reduction_weight(x, rest[-1]), x, y, *rest)
        else:
            ready = kernels(x).times_upstream(ready, grad, x, y, *rest)
        return ready, None, None, None, None, None


def _first(upstream: Tensor, x: Tensor, y: Tensor, *rest: Any) -> Tensor:
    """Upstream times the first derivative, for whoever may want another one of it."""
    if torch.is_grad_enabled() and rest[-1].formula is not None:
        unreduced = rest[-1].formula(x, y)
        upstream = upstream.to(unreduced.dtype).expand(x.shape)
        return torch.autograd.grad(unreduced, x, upstream, create_graph=True)[0]
    return _times(1, upstream, x, y, *rest)


def _times(order: int, upstream: Tensor, x: Tensor, *rest: Any) -> Tensor:
    """The derivative of this order times `upstream`, in the dtype of the logits."""
    if is_batched(upstream):
        return (at_least_float32(upstream) * binary(order, 1.0, x, *rest)).to(x.dtype)
    return binary(order, upstream if upstream.layout == torch.strided else upstream.to_dense(), x, *rest)


def binary(order: int, upstream: Parameter, x: Tensor, *rest: Any) -> Tensor:
    """`binary` of the kernels, recorded for autograd where that is on."""
    if not torch.is_grad_enabled():
        return kernels(x).binary(order, upstream, x, *rest)
    if order == 0 and rest[-1].reduction != "none" and x.requires_grad and not is_traced(x):
        return _ReducedBinary.apply(x, *rest)
    return _Binary.apply(order, upstream, x, *rest)


# ---------------------------------------------------------------------------------------------------------------
# Softmax
# ---------------------------------------------------------------------------------------------------------------


class _Softmax(torch.autograd.Function):
    """`softmax` of the kernels. `formula` is the same loss, for whoever wants a second derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, options: SoftmaxOptions, formula: Any) -> Tensor:
        ctx.save_for_backward(x, y)
        ctx.options, ctx.formula = options, formula
        return kernels(x).softmax(0, 1.0, x, y, options)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        x, y = ctx.saved_tensors
        return _first_softmax(grad, x, y, ctx.options, ctx.formula), None, None, None


class _ReducedSoftmax(torch.autograd.Function):
    """As `_ReducedBinary`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, options: SoftmaxOptions, formula: Any) -> Tensor:
        ctx.save_for_backward(x, y)
        ctx.options, ctx.formula = options, formula
        value, ctx.gradient = kernels(x).softmax_with_gradient(x, y, options)
        return value

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        x, y = ctx.saved_tensors
        ready, ctx.gradient = ctx.gradient, None
        if ready is None or torch.is_grad_enabled() or is_batched(grad):
            ready = _first_softmax(grad, x, y, ctx.options, ctx.formula)
        else:
            ready = kernels(x).softmax_times_upstream(ready, grad, x, y, ctx.options)
        return ready, None, None, None


def _first_softmax(grad: Tensor, x: Tensor, y: Tensor, options: SoftmaxOptions, formula: Any) -> Tensor:
    """As `_first`."""
    if torch.is_grad_enabled():
        return torch.autograd.grad(formula(x, y), x, grad, create_graph=True)[0]
    grad = at_least_float32(grad if grad.layout == torch.strided else grad.to_dense())
    grad = grad * reduction_weight_of_example(x, y, options)
    if not is_batched(grad):
        return kernels(x).softmax(1, grad, x, y, options)
    grad = grad if options.reduction != "none" else grad.unsqueeze(options.axis)
    return (grad * kernels(x).softmax(1, 1.0, x, y, options)).to(x.dtype)


def softmax(x: Tensor, y: Tensor, options: SoftmaxOptions, formula: Any) -> Tensor:
    """The value, reduced as the options say, recorded for autograd where that is on."""
    if not torch.is_grad_enabled():
        return kernels(x).softmax(0, 1.0, x, y, options)
    if options.reduction != "none" and x.requires_grad and not is_traced(x):
        return _ReducedSoftmax.apply(x, y, options, formula)
    return _Softmax.apply(x, y, options, formula)
