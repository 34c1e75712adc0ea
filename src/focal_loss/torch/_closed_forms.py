"""The formula's primitives for torch, and its derivatives as autograd functions, to second order and in forward mode.

The compiler sees each function as one operator, and the levels below it (functorch's transforms, autograd) trace
through that, so compiled code has the derivatives of eager code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from focal_loss._core import formula, softmax
from focal_loss.torch._operators import define_composite
from focal_loss.torch._private import forward_mode_is_nested, is_exported


class TorchOps:
    """`formula.Ops` for torch."""

    exp, log, log1p = staticmethod(torch.exp), staticmethod(torch.log), staticmethod(torch.log1p)
    sqrt, tanh, abs = staticmethod(torch.sqrt), staticmethod(torch.tanh), staticmethod(torch.abs)
    floor, where, clip = staticmethod(torch.floor), staticmethod(torch.where), staticmethod(torch.clamp)

    def sum(self, x: Tensor, axis: int) -> Tensor:
        return x.sum(axis, keepdim=True)

    def max(self, x: Tensor, axis: int) -> Tensor:
        return x.amax(axis, keepdim=True) if x.shape[axis] else x.sum(axis, keepdim=True)

    def first_max(self, x: Tensor, axis: int) -> Tensor:
        if not x.shape[axis]:
            return x == x
        return positions(x, axis) == x.argmax(axis, keepdim=True)

    def largest(self, x: Tensor) -> float:
        return torch.finfo(x.dtype).max

    def smallest(self, x: Tensor) -> float:
        return torch.finfo(x.dtype).smallest_normal

    def is_joined(self, x: Tensor) -> bool:
        return False

    def is_bool(self, x: Tensor) -> bool:
        return x.dtype == torch.bool

    def constant(self, x: Tensor) -> Tensor:
        return x.detach()


class ExportedOps(TorchOps):
    """Primitives of a graph for other tools. ONNX has no log1p, and torch's exporter writes log(1 + x) for it, which
    loses a small x: the second term gives back what the sum 1 + x rounds away.
    """

    @staticmethod
    def log1p(x: Tensor) -> Tensor:
        w = 1 + x
        return torch.log(w) + (x - (w - 1)) / w


_ops = TorchOps()
_exported_ops = ExportedOps()


def positions(like: Tensor, axis: int) -> Tensor:
    """0 .. K-1 along the axis of `like`."""
    numbers = torch.arange(like.shape[axis], device=like.device).reshape((-1,) + (1,) * (like.ndim - axis - 1))
    return beside(numbers, like)


def beside(x: Tensor, like: Tensor) -> Tensor:
    """x itself, or replicated on the mesh of `like` if that is a DTensor."""
    if not hasattr(like, "device_mesh") or hasattr(x, "device_mesh"):
        return x
    from torch.distributed.tensor import DTensor, Replicate

    return DTensor.from_local(x, like.device_mesh, [Replicate()] * like.device_mesh.ndim, run_check=False)


def _refuse_nested_forward_mode() -> None:
    """Refuse nested forward mode, in which an autograd function silently loses the outer tangents."""
    if forward_mode_is_nested():
        raise NotImplementedError(
            "the focal loss has no derivative by forward mode inside forward mode; take reverse mode for one of the "
            "two: torch.func.hessian, or jvp of torch.func.grad"
        )


class _Elementwise(torch.autograd.Function):
    """`formula.evaluate` of tensors of one shape. Its derivative is the same function at the next index."""

    generate_vmap_rule = True

    @staticmethod
    def forward(family: str, index: formula.Index, *arguments: Any) -> Tensor:
        value = formula.evaluate(_exported_ops if is_exported() else _ops, family, index, *arguments)
        return torch.zeros_like(arguments[0]) if value is None else value

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.family, ctx.index, *arguments = inputs
        ctx.is_tensor = [isinstance(a, Tensor) for a in arguments]
        ctx.others = [None if isinstance(a, Tensor) else a for a in arguments]
        tensors = [a for a in arguments if isinstance(a, Tensor)]
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def derivatives(ctx: Any, wanted: Sequence[bool]) -> list[Tensor | None]:
        tensors = iter(ctx.saved_tensors)
        places = zip(ctx.is_tensor, ctx.others, strict=True)
        arguments = [next(tensors) if is_tensor else other for is_tensor, other in places]
        return [
            _Elementwise.apply(ctx.family, f"{ctx.index}{k}", *arguments) if want else None
            for k, want in enumerate(wanted)
        ]

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Any, ...]:
        derivatives = _Elementwise.derivatives(ctx, ctx.needs_input_grad[2:])
        return None, None, *(None if d is None else upstream * d for d in derivatives)

    @staticmethod
    def jvp(ctx: Any, _family: None, _index: None, *tangents: Tensor | None) -> Tensor:
        derivatives = _Elementwise.derivatives(ctx, [t is not None for t in tangents])
        parts = [t * d for t, d in zip(tangents, derivatives, strict=True) if t is not None and d is not None]
        return sum(parts[1:], start=parts[0])


class _Margin(torch.autograd.Function):
    """`softmax.margin`; its derivative is `softmax.vjp`."""

    generate_vmap_rule = True

    @staticmethod
    def forward(v: Tensor, true_class_mask: Tensor | None, axis: int) -> Tensor:
        return softmax.margin(_ops, v, true_class_mask, axis)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        v, true_class_mask, ctx.axis = inputs
        ctx.save_for_backward(v, true_class_mask)
        ctx.save_for_forward(v, true_class_mask)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        return _Vjp.apply(*ctx.saved_tensors, ctx.axis, upstream), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _true_class_mask: None, _axis: None) -> Tensor:
        v, true_class_mask = ctx.saved_tensors
        return softmax.jvp(_ops, v, true_class_mask, ctx.axis, tangent)


class _Vjp(torch.autograd.Function):
    """`softmax.vjp`; its derivatives are `jvp` in the cotangent and `second_vjp` in the logits."""

    generate_vmap_rule = True

    @staticmethod
    def forward(v: Tensor, true_class_mask: Tensor | None, axis: int, cotangent: Tensor) -> Tensor:
        return softmax.vjp(_ops, v, true_class_mask, axis, cotangent)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        v, true_class_mask, ctx.axis, cotangent = inputs
        ctx.save_for_backward(v, true_class_mask, cotangent)
        ctx.save_for_forward(v, true_class_mask, cotangent)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None, Tensor]:
        v, true_class_mask, cotangent = ctx.saved_tensors
        in_logits = softmax.second_vjp(_ops, v, true_class_mask, ctx.axis, cotangent, upstream)
        return in_logits, None, None, softmax.jvp(_ops, v, true_class_mask, ctx.axis, upstream)

    @staticmethod
    def jvp(
        ctx: Any, tangent: Tensor | None, _true_class_mask: None, _axis: None, cotangent_tangent: Tensor | None
    ) -> Tensor:
        v, true_class_mask, cotangent = ctx.saved_tensors
        total = torch.zeros_like(v)
        if tangent is not None:  # the second derivative is symmetric
            total = total + softmax.second_vjp(_ops, v, true_class_mask, ctx.axis, cotangent, tangent)
        if cotangent_tangent is not None:
            total = total + softmax.vjp(_ops, v, true_class_mask, ctx.axis, cotangent_tangent)
        return total


def elementwise(family: str, *arguments: Tensor | float) -> Tensor:
    """`formula.evaluate` of tensors of one shape and numbers, with its derivatives."""
    if torch.compiler.is_compiling():
        tensors = [a if isinstance(a, Tensor) else None for a in arguments]
        numbers = [0.0 if isinstance(a, Tensor) else a for a in arguments]
        return torch.ops.focal_loss.elementwise(family, tensors, numbers)
    if is_exported():
        return _Elementwise.forward(family, "", *arguments)
    _refuse_nested_forward_mode()
    return _Elementwise.apply(family, "", *arguments)


def margin(v: Tensor, true_class_mask: Tensor | None, axis: int) -> Tensor:
    """`softmax.margin`, with its derivatives."""
    if torch.compiler.is_compiling():
        return torch.ops.focal_loss.margin(v, true_class_mask, axis)
    if is_exported():
        return _Margin.forward(v, true_class_mask, axis)
    _refuse_nested_forward_mode()
    return _Margin.apply(v, true_class_mask, axis)


def _elementwise(family: str, tensors: list[Tensor | None], numbers: list[float]) -> Tensor:
    _refuse_nested_forward_mode()
    places = zip(tensors, numbers, strict=True)
    return _Elementwise.apply(family, "", *[number if tensor is None else tensor for tensor, number in places])


def _margin(v: Tensor, true_class_mask: Tensor | None, axis: int) -> Tensor:
    _refuse_nested_forward_mode()
    return _Margin.apply(v, true_class_mask, axis)


define_composite("elementwise(str family, Tensor?[] tensors, float[] numbers) -> Tensor", _elementwise)
define_composite("margin(Tensor logits, Tensor? true_class_mask, int axis) -> Tensor", _margin)
