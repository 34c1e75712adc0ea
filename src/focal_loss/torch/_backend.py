"""torch as a backend: its primitives, its conversions, and our derivatives as its autograd functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from focal_loss import _checks, _formula, _kernels, _losses, _softmax
from focal_loss._warnings import warn
from focal_loss.torch import _autograd, _cpu, _operators
from focal_loss.torch._options import BinaryOptions, SoftmaxOptions, under_autocast


class _TorchOps:
    """`_formula.Ops` for torch."""

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
        return _positions(x, axis) == x.argmax(axis, keepdim=True)

    def largest(self, x: Tensor) -> float:
        return torch.finfo(x.dtype).max

    def smallest(self, x: Tensor) -> float:
        return torch.finfo(x.dtype).smallest_normal

    def is_bool(self, x: Tensor) -> bool:
        return x.dtype == torch.bool

    def constant(self, x: Tensor) -> Tensor:
        return x.detach()


_ops = _TorchOps()


def _positions(like: Tensor, axis: int) -> Tensor:
    return torch.arange(like.shape[axis], device=like.device).reshape((-1,) + (1,) * (like.ndim - axis - 1))


# ---------------------------------------------------------------------------------------------------------------
# Custom gradients
# ---------------------------------------------------------------------------------------------------------------


class _Elementwise(torch.autograd.Function):
    """`_formula.evaluate` of tensors of one shape; its derivative is itself, at the next index.

    Five places, padded with None: `torch.compile` calls a `forward` of variable length with an argument too many.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(family: str, index: _formula.Index, a: Any, b: Any, c: Any, d: Any, e: Any) -> Tensor:
        value = _formula.evaluate(_ops, family, index, *(x for x in (a, b, c, d, e) if x is not None))
        return torch.zeros_like(a) if value is None else value

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
            _differentiable(_ElementwiseWithJvp)(ctx.family, f"{ctx.index}{k}", *arguments) if want else None
            for k, want in enumerate(wanted)
        ]

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Any, ...]:
        derivatives = _Elementwise.derivatives(ctx, ctx.needs_input_grad[2:])
        return None, None, *(None if d is None else upstream * d for d in derivatives)


class _Margin(torch.autograd.Function):
    """`_softmax.margin`; its derivative is `_softmax.pull`."""

    generate_vmap_rule = True

    @staticmethod
    def forward(v: Tensor, hot: Tensor | None, axis: int) -> Tensor:
        return _softmax.margin(_ops, v, hot, axis)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        v, hot, ctx.axis = inputs
        ctx.save_for_backward(v, hot)
        ctx.save_for_forward(v, hot)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        return _differentiable(_PullWithJvp)(*ctx.saved_tensors, ctx.axis, upstream), None, None


class _Pull(torch.autograd.Function):
    """`_softmax.pull`; its derivatives are `push` in the cotangent and `bend` in the logits."""

    generate_vmap_rule = True

    @staticmethod
    def forward(v: Tensor, hot: Tensor | None, axis: int, cotangent: Tensor) -> Tensor:
        return _softmax.pull(_ops, v, hot, axis, cotangent)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        v, hot, ctx.axis, cotangent = inputs
        ctx.save_for_backward(v, hot, cotangent)
        ctx.save_for_forward(v, hot, cotangent)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None, Tensor]:
        v, hot, cotangent = ctx.saved_tensors
        in_logits = _softmax.bend(_ops, v, hot, ctx.axis, cotangent, upstream)
        return in_logits, None, None, _softmax.push(_ops, v, hot, ctx.axis, upstream)


# Forward-mode derivatives stand apart because `torch.compile` refuses to trace a function that has them.


class _ElementwiseWithJvp(_Elementwise):
    @staticmethod
    def jvp(ctx: Any, _family: None, _index: None, *tangents: Tensor | None) -> Tensor:
        derivatives = _Elementwise.derivatives(ctx, [t is not None for t in tangents])
        parts = [t * d for t, d in zip(tangents, derivatives, strict=True) if t is not None and d is not None]
        return sum(parts[1:], start=parts[0])


class _MarginWithJvp(_Margin):
    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _hot: None, _axis: None) -> Tensor:
        v, hot = ctx.saved_tensors
        return _softmax.push(_ops, v, hot, ctx.axis, tangent)


class _PullWithJvp(_Pull):
    @staticmethod
    def jvp(ctx: Any, tangent: Tensor | None, _hot: None, _axis: None, cotangent_tangent: Tensor | None) -> Tensor:
        v, hot, cotangent = ctx.saved_tensors
        total = torch.zeros_like(v)
        if tangent is not None:  # the second derivative is symmetric
            total = total + _softmax.bend(_ops, v, hot, ctx.axis, cotangent, tangent)
        if cotangent_tangent is not None:
            total = total + _softmax.pull(_ops, v, hot, ctx.axis, cotangent_tangent)
        return total


def _differentiable(function: Any) -> Callable[..., Tensor]:
    """Inside a derivative: the function with derivatives of its own, unless the compiler traces it.

    The compiler has no second derivatives, and would trace them without end.
    """
    return function.forward if torch.compiler.is_compiling() else function.apply


def _traceable(function: Any) -> Any:
    """From outside: with forward mode, unless the compiler traces it."""
    with_jvp = {_Elementwise: _ElementwiseWithJvp, _Margin: _MarginWithJvp}
    return function if torch.compiler.is_compiling() else with_jvp[function]


# ---------------------------------------------------------------------------------------------------------------
# The backend
# ---------------------------------------------------------------------------------------------------------------


def _tensor(name: str, value: Any, device: torch.device | None = None) -> Tensor:
    """A tensor of what may be one already, a list, or a host array of any byte order, stride and writability."""
    if isinstance(value, Tensor):
        if value.is_complex():
            raise _checks.not_real(name, value)
        return value
    if hasattr(value, "__array__"):
        array = _checks.host_array(name, value)
        if array.dtype.name == "bfloat16":  # NumPy's, which torch does not know
            return torch.from_numpy(array.astype(np.float32)).to(device, torch.bfloat16)
        # from_numpy shares memory, and cannot with arrays that are read-only, reversed or of foreign byte order
        return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), order="C", copy=True)).to(device)
    _checks.refuse_unreal(name, value)
    try:
        tensor = torch.as_tensor(value, device=device)
    except (RuntimeError, TypeError, ValueError, OverflowError) as error:  # a RecursionError is a RuntimeError
        raise _checks.not_real(name, value) from error
    if tensor.is_complex():
        raise _checks.not_real(name, value)
    return tensor


_HALF_AND_SINGLE = (torch.float32, torch.float16, torch.bfloat16)
_FLOATING = {  # the logits that kernels take, by the type of their device
    "cpu": (*_HALF_AND_SINGLE, torch.float64) if _kernels.NATIVE is not None else (),
    "cuda": _HALF_AND_SINGLE,
}


def _covered(x: Tensor, *others: Tensor) -> bool:
    """Whether there are kernels for these tensors: they give derivatives in the logits alone."""
    if x.dtype not in _FLOATING.get(x.device.type, ()) or (x.is_cuda and not _kernels.triton_usable()):
        return False
    for other in others:
        if other.dtype not in _cpu.CODES or other.device != x.device or other.requires_grad:
            return False
    return torch.compiler.is_compiling() or (_ordinary() and all(map(_plain, (x, *others))))


def _ordinary() -> bool:
    """Not under `torch.func`, nor forward mode, nor in what records operations: it would see none, or a constant."""
    return not (
        torch._C._len_torch_dispatch_stack() > 0
        or torch._C._functorch.peek_interpreter_stack() is not None
        or torch.autograd.forward_ad._current_level >= 0
        or torch.jit.is_tracing()
    )


def _plain(x: Tensor) -> bool:
    """A tensor with memory of its own that holds its numbers as they are."""
    return type(x) in (Tensor, torch.nn.Parameter) and x.layout == torch.strided and not x.is_neg()


class _Torch(_TorchOps):
    """`_losses.Backend` for torch."""

    def fused_binary(self, call: _losses.BinaryCall) -> Tensor | None:
        x, y, gamma, positive, negative, smoothing, mixed, reduction = call
        others = [a for a in (y, gamma, positive, negative) if not isinstance(a, float)]
        if not _covered(x, *others) or max(x.ndim, *(a.ndim for a in others)) > _kernels.MAX_RANK:
            return None
        if any(a.shape != x.shape for a in others):
            x = x.expand(torch.broadcast_shapes(x.shape, *(a.shape for a in others)))
        soft = mixed and (y.is_floating_point() or smoothing > 0)
        formula = None
        if soft:
            unreduced = call._replace(x=None, y=None, reduction="none")  # lest it keep them alive
            formula = lambda x, y: _losses.binary_formula(FORMULA, unreduced._replace(x=x, y=y))  # noqa: E731
        options = BinaryOptions(smoothing, mixed, reduction, under_autocast(x), formula)
        if torch.compiler.is_compiling():
            return _operators.binary_operator(x, y, (gamma, positive, negative), options)
        return _autograd.binary(0, 1.0, x, y, gamma, positive, negative, options)

    def fused_softmax(self, call: _losses.SoftmaxCall) -> Tensor | None:
        options = self.softmax_options(call)
        if options is None:
            return None
        x, y, spec, reduction = call.x, call.y, call.spec, call.reduction
        if torch.compiler.is_compiling():
            return _operators.softmax_operator(x, y, options)
        loss = _losses.sparse_categorical_formula if call.sparse else _losses.categorical_formula
        return _autograd.softmax(x, y, options, lambda x, y: loss(FORMULA, y, x, spec, reduction))

    def softmax_options(self, call: _losses.SoftmaxCall) -> SoftmaxOptions | None:
        """As the kernels take them; None where there are no kernels for this call."""
        x, y, gamma, weight, axis, sparse, ignore, smoothing, reduction, _ = call
        parameters = [p for p in (gamma, weight) if not isinstance(p, float)]
        compiling, on_host = torch.compiler.is_compiling(), x.device.type == "cpu"
        if not _covered(x, y, *parameters) or (compiling and parameters) or not (on_host or sparse):
            return None
        if on_host:
            gamma, weight = (p if isinstance(p, float) else p.tolist() for p in (gamma, weight))
        gammas, weights = ([p] if isinstance(p, float) else p for p in (gamma, weight))
        return SoftmaxOptions(gammas, weights, axis, sparse, ignore, smoothing, reduction, under_autocast(x))

    def prediction(self, y_pred: Any, name: str = "y_pred") -> Tensor:
        x = _tensor(name, y_pred)
        keep = x.is_floating_point() and hasattr(y_pred, "dtype")
        return x if keep else x.to(torch.float32)

    def labels(self, y_true: Any, like: Tensor, name: str = "y_true") -> Tensor:
        y = _tensor(name, y_true, like.device)
        # torch stores wide unsigned integers, but compares none
        return y.long() if y.dtype in (torch.uint16, torch.uint32, torch.uint64) else y

    def warn(self, message: str, category: type[Warning] = UserWarning) -> None:
        if not torch.compiler.is_compiling():  # a warning would break the graph
            warn(message, category)

    def parameter(self, name: str, value: Any, like: Tensor) -> float | Tensor:
        if isinstance(value, float):
            return value
        dtype = like.dtype if like.dtype.itemsize >= 4 else torch.float32
        if isinstance(value, list):
            return torch.tensor(value, dtype=dtype, device=like.device)
        return _tensor(name, value, like.device).to(dtype)

    def widen(self, x: Tensor) -> Tensor:
        return x.float() if x.dtype.itemsize < 4 else x

    def cast(self, x: Tensor, like: Tensor) -> Tensor:
        return x.to(like.dtype)

    def round_losses(self, x: Tensor, like: Tensor) -> Tensor:
        return x if under_autocast(like) else x.to(like.dtype)

    def kind(self, x: Tensor) -> Literal["bool", "integer", "floating"]:
        return "bool" if x.dtype == torch.bool else "floating" if x.is_floating_point() else "integer"

    def shape(self, x: Tensor) -> Sequence[int]:
        return x.shape

    def readable(self, x: Tensor) -> bool:
        return (
            x.device.type == "cpu"
            and not torch.compiler.is_compiling()
            and torch._C._functorch.peek_interpreter_stack() is None
            and type(x) in (Tensor, torch.nn.Parameter)
        )

    def to_numpy(self, x: Tensor) -> np.ndarray[Any, Any]:
        return _cpu.numbers_of(x)

    def to_integer(self, x: Tensor) -> Tensor:
        return x.to(torch.int64)

    def length(self, x: Tensor, axis: int) -> int:
        return x.shape[axis]

    def classes(self, like: Tensor, axis: int) -> Tensor:
        return _positions(like, axis)

    def take(self, x: Tensor, index: Tensor) -> Tensor:
        return x[index]

    def expand(self, x: Tensor, axis: int) -> Tensor:
        return x.unsqueeze(axis)

    def squeeze(self, x: Tensor, axis: int) -> Tensor:
        return x.squeeze(axis)

    def reshape(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        return x.reshape(shape)

    def broadcast(self, *arrays: Tensor) -> Sequence[Tensor]:
        return torch.broadcast_tensors(*arrays)

    def mean(self, x: Tensor, axis: int) -> Tensor:
        return x.mean(axis)

    def total(self, x: Tensor) -> Tensor:
        return x.sum()

    def elementwise(self, family: str, *arguments: Any) -> Tensor:
        tensors = iter(torch.broadcast_tensors(*(a for a in arguments if isinstance(a, Tensor))))
        places = [next(tensors) if isinstance(a, Tensor) else a for a in arguments]
        return _traceable(_Elementwise).apply(family, "", *places, *[None] * (5 - len(places)))

    def margin(self, v: Tensor, hot: Tensor | None, axis: int) -> Tensor:
        return _traceable(_Margin).apply(v, hot, axis)

    def shares(self, x: Tensor, hot: Tensor | None, axis: int) -> tuple[Tensor, Tensor]:
        return _softmax.shares(self, x, hot, axis)


class _TorchFormula(_Torch):
    """Without the native kernels, and not rounded: what is multiplied by an upstream gradient."""

    def round_losses(self, x: Tensor, like: Tensor) -> Tensor:
        return x

    def fused_binary(self, call: _losses.BinaryCall) -> None:
        return None

    def fused_softmax(self, call: _losses.SoftmaxCall) -> None:
        return None


XP = _Torch()
FORMULA = _TorchFormula()
