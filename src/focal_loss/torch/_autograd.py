"""The kernels as autograd functions. A derivative is the same function at the next order, times the upstream gradient.

Where tensors are traced, the kernels are the operators of `_operators.py`, which would cost an eager tensor more.

An autograd function is handed the logits, which autograd follows, and the whole call, of which it reads the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from focal_loss.torch import _operators
from focal_loss.torch._calls import (
    BinaryCall,
    Parameter,
    SoftmaxCall,
    at_least_float32,
    reduction_weight,
    reduction_weight_of_example,
)
from focal_loss.torch._private import has_no_numbers, is_batched, is_traced


def kernels(x: Tensor) -> ModuleType:
    """The module of kernels for the device of the logits, or the operators in traced code."""
    return _operators if is_traced(x) else _operators.kernels(x)


def _is_recorded(x: Tensor, upstream: Parameter = 1.0) -> bool:
    followed = x.requires_grad or (isinstance(upstream, Tensor) and upstream.requires_grad)
    return followed and torch.is_grad_enabled()


# The places, in a call, of what may be a tensor.
_PLACES_OF_TENSORS = {
    kind: tuple(kind._fields.index(name) for name in names)
    for kind, names in (
        (BinaryCall, ("x", "y", "gamma", "positive", "negative")),
        (SoftmaxCall, ("x", "y", "gamma", "weight", "divisor")),
    )
}


def save_call(ctx: Any, call: BinaryCall | SoftmaxCall, upstream: Tensor | None = None) -> None:
    """Save a call for the backward pass: tensors where autograd notices changes in place, the rest on the context."""
    places = [k for k in _PLACES_OF_TENSORS[type(call)] if isinstance(call[k], Tensor)]
    ctx.save_for_backward(upstream, *[call[k] for k in places])
    rest: list[Any] = list(call)
    for k in places:
        rest[k] = None
    ctx.rest = type(call), places, rest


def saved_call(ctx: Any) -> tuple[Any, Tensor | None]:
    """The call that `save_call` saved, and the upstream."""
    upstream, *tensors = ctx.saved_tensors
    kind, places, rest = ctx.rest
    values = list(rest)
    for k, tensor in zip(places, tensors, strict=True):
        values[k] = tensor
    return kind(*values), upstream


def _of_reduced(ctx: Any, grad: Tensor, anew: Callable[[Tensor, Any], Tensor], scaled: Callable[..., Tensor]) -> Tensor:
    """The derivative of a reduced loss: the gradient that is ready, if it may serve, else that computed anew."""
    ready, ctx.gradient = ctx.gradient, None
    # A derivative with a derivative of its own depends on the upstream gradient and the inputs.
    if ready is None or torch.is_grad_enabled() or has_no_numbers(grad):
        return anew(grad, saved_call(ctx)[0])
    if grad.is_cpu and grad.item() == 1:  # a number on a device would have to be waited for
        _ = ctx.saved_tensors  # an error if one of them has been changed in place
        return ready
    return scaled(ready, grad, saved_call(ctx)[0])


def _apply(function: type[torch.autograd.Function]) -> Callable[..., Tensor]:
    """`function.apply` without its search for transforms of `torch.func`, which takes as long as a kernel on a few
    numbers. There are none where tensors hold numbers.
    """
    apply: Callable[..., Tensor] = super(torch.autograd.Function, function).apply
    return apply


# ---------------------------------------------------------------------------------------------------------------
# Binary
# ---------------------------------------------------------------------------------------------------------------


class _Binary(torch.autograd.Function):
    """`binary` of the kernels, for eager tensors. Only its inputs are saved for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, upstream: Parameter, order: int, call: BinaryCall, chosen: ModuleType) -> Tensor:
        ctx.order = order
        save_call(ctx, call, upstream if isinstance(upstream, Tensor) else None)
        return chosen.binary(order, upstream, call)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        if ctx.order > 1:
            raise NotImplementedError("the focal loss gives first and second derivatives, not third ones")
        call, upstream = saved_call(ctx)
        in_upstream = None
        if ctx.order == 1:
            wide = at_least_float32(grad)
            in_x = _times(2, wide if upstream is None else wide * at_least_float32(upstream), call)
            if upstream is not None and ctx.needs_input_grad[1]:
                in_upstream = at_least_float32(_times(1, grad, call)).sum_to_size(upstream.shape)
        elif call.reduction == "mean":
            in_x = _first_of_reduced(grad, call)
        else:
            in_x = _first(grad, call)
        return in_x, in_upstream, None, None, None


class _ReducedBinary(torch.autograd.Function):
    """A mean or a sum whose gradient is computed with it, in one pass over the logits.

    `backward` is nearly always called on a reduced loss itself: its upstream gradient is then 1, and the gradient is
    ready. It takes memory that the backward pass would need a moment later. For another upstream gradient, or a second
    pass, it is computed again from the inputs.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, call: BinaryCall, chosen: ModuleType) -> Tensor:
        ctx.chosen = chosen
        save_call(ctx, call)
        value, ctx.gradient = chosen.binary_with_gradient(call)
        return value

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        return _of_reduced(ctx, grad, _first_of_reduced, ctx.chosen.times_upstream), None, None


_reduced_binary = _apply(_ReducedBinary)


def _first(upstream: Tensor, call: BinaryCall) -> Tensor:
    """Upstream times the first derivative, itself differentiable."""
    if torch.is_grad_enabled() and call.formula is not None:
        unreduced = call.formula(call.x, call.y)
        upstream = upstream.to(unreduced.dtype).expand(call.x.shape)
        return torch.autograd.grad(unreduced, call.x, upstream, create_graph=True)[0]
    return _times(1, upstream, call)


def _first_of_reduced(upstream: Tensor, call: BinaryCall) -> Tensor:
    return _first(at_least_float32(upstream) * reduction_weight(call), call)


def _times(order: int, upstream: Tensor, call: BinaryCall) -> Tensor:
    """The derivative of order `order` times `upstream`, in the dtype of the logits."""
    chosen = kernels(call.x)
    if is_batched(upstream):
        return (at_least_float32(upstream) * _binary(order, 1.0, call, chosen)).to(call.x.dtype)
    dense = upstream if upstream.layout == torch.strided else upstream.to_dense()
    return _binary(order, dense.resolve_neg(), call, chosen)  # of a complex conjugate, the sign is only noted


def binary(call: BinaryCall, chosen: ModuleType, ahead: bool = True) -> Tensor:
    """The value by the chosen kernels, reduced as the call says, recorded for autograd if it follows the logits.
    `ahead`: a reduced loss computes its gradient with its value.
    """
    if ahead and call.reduction != "none" and chosen is not _operators and _is_recorded(call.x):
        return _reduced_binary(call.x, call, chosen)
    return _binary(0, 1.0, call, chosen)


def _binary(order: int, upstream: Parameter, call: BinaryCall, chosen: ModuleType) -> Tensor:
    """`binary` of the kernels, recorded for autograd if it follows the logits or the upstream."""
    if _is_recorded(call.x, upstream):
        return _Binary.apply(call.x, upstream, order, call, chosen)
    return chosen.binary(order, upstream, call)


# ---------------------------------------------------------------------------------------------------------------
# Softmax
# ---------------------------------------------------------------------------------------------------------------


class _Softmax(torch.autograd.Function):
    """`softmax` of the kernels."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, call: SoftmaxCall, chosen: ModuleType) -> Tensor:
        save_call(ctx, call)
        return chosen.softmax(0, 1.0, call)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        call, _ = saved_call(ctx)
        return _first_softmax(grad, call), None, None


class _ReducedSoftmax(torch.autograd.Function):
    """Like `_ReducedBinary`, for a softmax."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, call: SoftmaxCall, chosen: ModuleType) -> Tensor:
        ctx.chosen = chosen
        save_call(ctx, call)
        value, ctx.gradient = chosen.softmax_with_gradient(call)
        return value

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        return _of_reduced(ctx, grad, _first_softmax, ctx.chosen.softmax_times_upstream), None, None


_reduced_softmax = _apply(_ReducedSoftmax)


def _first_softmax(grad: Tensor, call: SoftmaxCall) -> Tensor:
    """Like `_first`, for a softmax."""
    x = call.x
    if torch.is_grad_enabled():
        return torch.autograd.grad(call.formula(x, call.y), x, grad, create_graph=True)[0]
    grad = at_least_float32(grad if grad.layout == torch.strided else grad.to_dense())
    grad = grad * reduction_weight_of_example(call)
    if not is_batched(grad):
        return kernels(x).softmax(1, grad, call)
    grad = grad if call.reduction != "none" else grad.unsqueeze(call.axis)
    return (grad * kernels(x).softmax(1, 1.0, call)).to(x.dtype)


def softmax(call: SoftmaxCall, chosen: ModuleType, ahead: bool = True) -> Tensor:
    """The value, reduced as the call says, recorded for autograd if it follows the logits; otherwise as `binary`."""
    if not _is_recorded(call.x):
        return chosen.softmax(0, 1.0, call)
    if ahead and call.reduction != "none" and chosen is not _operators:
        return _reduced_softmax(call.x, call, chosen)
    return _Softmax.apply(call.x, call, chosen)
