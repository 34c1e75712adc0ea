"""torch as a `pipeline.Backend`: its conversions, its kernels, and our derivatives as autograd functions."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from focal_loss._core import binary_losses, checks, pipeline, softmax, softmax_losses
from focal_loss._core.losses.categorical_focal_loss import Options as DenseOptions
from focal_loss._core.losses.sparse_categorical_focal_loss import Options as SparseOptions
from focal_loss._core.warnings import warn
from focal_loss._host import kernels
from focal_loss.torch import _autograd, _closed_forms, _cpu, _operators
from focal_loss.torch._calls import BinaryCall, SoftmaxCall, numbers_of
from focal_loss.torch._operators import BINARY, SOFTMAX, FlatBinary, FlatSoftmax, define_composite, per_class
from focal_loss.torch._private import (
    TRACED_TYPES,
    below_autograd,
    is_dual,
    is_exported,
    is_ordinary,
    is_plain,
    is_transformed,
    is_under_a_mode,
)


def _tensor(name: str, value: Any, device: torch.device | None = None) -> Tensor:
    """A tensor from a tensor, a list, or a host array of any byte order, stride and writability."""
    if isinstance(value, Tensor):
        if value.is_complex():
            raise checks.not_real(name, value)
        return value
    if hasattr(value, "__array__"):
        array = checks.host_array(name, value)
        if array.dtype.name == "bfloat16":  # NumPy's bfloat16, which torch does not know
            return torch.from_numpy(array.astype(np.float32)).to(device, torch.bfloat16)
        # `from_numpy` shares memory, which read-only, reversed or byte-swapped arrays do not allow
        return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), order="C", copy=True)).to(device)
    checks.refuse_unreal(name, value)
    try:
        tensor = torch.as_tensor(value, device=device)
    except (RuntimeError, TypeError, ValueError, OverflowError) as error:  # a RecursionError is a RuntimeError
        raise checks.not_real(name, value) from error
    if tensor.is_complex():
        raise checks.not_real(name, value)
    return tensor


_HALF_AND_SINGLE = (torch.float32, torch.float16, torch.bfloat16)
_FLOATING = {  # dtypes of logits that kernels take, by type of device
    "cpu": (*_HALF_AND_SINGLE, torch.float64) if kernels.NATIVE is not None else (),
    "cuda": _HALF_AND_SINGLE,
}


def _is_open(number: float) -> bool:
    """Whether the compiler treats this number as dynamic, because it has changed between calls."""
    if not torch.compiler.is_compiling():
        return False
    from torch.fx.experimental.symbolic_shapes import has_static_value

    return not has_static_value(number)


def under_autocast(x: Tensor) -> bool:
    """Whether every loss of these half-precision logits must be float32, as torch's own losses are."""
    device = x.device.type
    return x.dtype.itemsize < 4 and torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def _of_dtensors() -> Any:
    """The module for DTensors, imported for the first of them: it loads a part of torch that little else needs."""
    from focal_loss.torch import _dtensor

    return _dtensor


class _Torch(_closed_forms.TorchOps):
    """`pipeline.Backend` for torch."""

    ahead = True  # whether a reduced loss computes its gradient with its value, for an upstream gradient of 1

    def covers(self, x: Tensor, *others: Tensor) -> bool:
        """Whether the kernels cover these tensors. They have derivatives only in the logits."""
        device = x.device
        if x.dtype not in _FLOATING.get(device.type, ()) or (x.is_cuda and not kernels.triton_usable()):
            return False
        for other in others:
            if other.dtype not in _cpu.CODES or other.device != device or other.requires_grad:
                return False
        return self.has_numbers(x, *others)

    def has_numbers(self, *tensors: Tensor) -> bool:
        """Whether the tensors hold numbers, and nothing records or transforms operations, which would not see those of
        a kernel.
        """
        return is_ordinary() and not is_under_a_mode() and all(map(is_plain, tensors))

    def fused_binary(self, call: pipeline.BinaryCall) -> Tensor | None:
        float32 = under_autocast(call.x)
        if torch.compiler.is_compiling():
            return _binary_in_graph(call, float32)
        if hasattr(call.x, "device_mesh"):
            return _of_dtensors().binary(self, call, float32)
        covered = call.member is None or pipeline.of_numbers(call.member)
        return self.binary_kernel(call, float32) if covered else None

    def binary_kernel(
        self, call: pipeline.BinaryCall, float32: bool, check: bool = True, divisor: float | None = None
    ) -> Tensor | None:
        x, y = call.x, call.y
        options = call.member.arguments if call.member else (call.gamma, call.positive, call.negative)
        others = [a for a in (y, *options) if not isinstance(a, float)]
        if not self.covers(x, *others):
            return None
        for a in (x, *others):
            if a.ndim > kernels.MAX_RANK:
                return None
            # Ranks are compared first: (3,) beside (N, 3) would otherwise test whether a dynamic N is 3.
            if a.ndim != x.ndim or a.shape != x.shape:
                x = x.expand(torch.broadcast_shapes(x.shape, a.shape))
        formula = None
        if call.member is not None or (call.p_t_loss and (y.is_floating_point() or call.smoothing > 0)):
            unreduced = call._replace(x=None, y=None, reduction="none")  # does not keep them alive
            formula = lambda x, y: binary_losses.binary_formula(FORMULA, unreduced._replace(x=x, y=y))  # noqa: E731
        of_torch = BinaryCall(
            x,
            y,
            call.gamma,
            call.positive,
            call.negative,
            smoothing=call.smoothing,
            p_t_loss=call.p_t_loss,
            reduction=call.reduction,
            float32=float32,
            formula=formula,
            check=check,
            member=call.member,
            divisor=divisor,
        )
        return self.run(of_torch)

    def run(self, call: BinaryCall | SoftmaxCall) -> Tensor:
        """The loss of a call that the kernels cover."""
        if isinstance(call, BinaryCall):
            return _autograd.binary(call, self.kernels(call.x), self.ahead)
        return _autograd.softmax(call, self.kernels(call.x), self.ahead)

    def kernels(self, x: Tensor) -> ModuleType:
        """The module of kernels for logits that hold numbers."""
        return _operators.kernels(x)

    def fused_softmax(self, call: pipeline.SoftmaxCall) -> Tensor | None:
        float32 = under_autocast(call.x)
        if torch.compiler.is_compiling():
            return _softmax_in_graph(call, float32)
        if hasattr(call.x, "device_mesh"):
            return _of_dtensors().softmax(self, FORMULA, call, float32)
        return self.softmax_kernel(call, float32)

    def softmax_kernel(self, call: pipeline.SoftmaxCall, float32: bool) -> Tensor | None:
        unreduced = call._replace(x=None, y=None)  # the formula must not keep them alive
        formula = lambda x, y: _softmax_formula(unreduced._replace(x=x, y=y))  # noqa: E731
        of_torch = self.softmax_call(call, float32, formula)
        return None if of_torch is None else self.run(of_torch)

    def softmax_of_shard(self, call: SoftmaxCall) -> Tensor | None:
        """The loss of a call in the kernels' form, or None if they do not cover it."""
        parameters = [p for p in (call.gamma, call.weight) if isinstance(p, Tensor)]
        return self.run(call) if self._covers_softmax(call, parameters) else None

    def softmax_call(self, call: pipeline.SoftmaxCall, float32: bool, formula: Any = None) -> SoftmaxCall | None:
        """The call in the kernels' form, or None if they do not cover it."""
        parameters = [p for p in (call.gamma, call.weight) if not isinstance(p, float)]
        if not self._covers_softmax(call, parameters):
            return None
        gamma, weight = ([p] if isinstance(p, float) else per_class(p) for p in (call.gamma, call.weight))
        return SoftmaxCall(
            call.x,
            call.y,
            gamma,
            weight,
            call.axis,
            call.sparse,
            ignore=call.ignore,
            smoothing=call.smoothing,
            reduction=call.reduction,
            float32=float32,
            formula=formula,
        )

    def _covers_softmax(self, call: pipeline.SoftmaxCall | SoftmaxCall, parameters: list[Tensor]) -> bool:
        one_class = call.sparse and not call.smoothing and all(p.ndim < 2 for p in parameters)
        return self.covers(call.x, call.y, *parameters) and (call.x.device.type == "cpu" or one_class)

    def prediction(self, y_pred: Any, name: str = "y_pred") -> Tensor:
        x = _tensor(name, y_pred)
        keep = x.is_floating_point() and checks.has_dtype(y_pred)
        return x if keep else x.to(torch.float32)

    def labels(self, y_true: Any, like: Tensor, name: str = "y_true") -> Tensor:
        y = _tensor(name, y_true, like.device)
        y = _closed_forms.beside(y, like) if hasattr(like, "device_mesh") else y
        # torch stores wide unsigned integers but cannot compare them
        return y.long() if y.dtype in (torch.uint16, torch.uint32, torch.uint64) else y

    def warn(self, message: str, category: type[Warning] = UserWarning) -> None:
        if not torch.compiler.is_compiling():  # a warning would break the graph
            warn(message, category)

    def parameter(self, name: str, value: Any, like: Tensor) -> float | Tensor:
        dtype = like.dtype if like.dtype.itemsize >= 4 else torch.float32
        if isinstance(value, float):
            # A dynamic number becomes an input of the graph only as a tensor; otherwise it would be a constant, and
            # each value would compile another graph.
            return torch.ones((), dtype=dtype, device=like.device) * value if _is_open(value) else value
        if isinstance(value, list):
            return _closed_forms.beside(torch.tensor(value, dtype=dtype, device=like.device), like)
        return _closed_forms.beside(_tensor(name, value, like.device).to(dtype), like)

    def at_least_float32(self, x: Tensor) -> Tensor:
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
            and not is_transformed()
            and not is_under_a_mode()
            and not torch.jit.is_tracing()
            and type(x) in (Tensor, torch.nn.Parameter)
            and x.layout == torch.strided
        )

    def to_numpy(self, x: Tensor) -> np.ndarray[Any, Any]:
        return numbers_of(x)

    def to_integer(self, x: Tensor) -> Tensor:
        return x.to(torch.int64)

    def length(self, x: Tensor, axis: int) -> int:
        return x.shape[axis]

    def classes(self, like: Tensor, axis: int) -> Tensor:
        return _closed_forms.positions(like, axis)

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
        x, *others = arguments
        arguments = (x, *(self.parameter(family, a, x) if isinstance(a, float) else a for a in others))
        tensors = iter(torch.broadcast_tensors(*(a for a in arguments if isinstance(a, Tensor))))
        return _closed_forms.elementwise(family, *(next(tensors) if isinstance(a, Tensor) else a for a in arguments))

    def margin(self, v: Tensor, true_class_mask: Tensor | None, axis: int) -> Tensor:
        return _closed_forms.margin(v, true_class_mask, axis)

    def probabilities(self, x: Tensor, true_class_mask: Tensor | None, axis: int) -> tuple[Tensor, Tensor]:
        return softmax.probabilities(self, x, true_class_mask, axis)


class _TorchFormula(_Torch):
    """The backend without kernels and without rounding, for results that an upstream gradient multiplies."""

    def round_losses(self, x: Tensor, like: Tensor) -> Tensor:
        return x

    def fused_binary(self, call: pipeline.BinaryCall) -> None:
        return None

    def fused_softmax(self, call: pipeline.SoftmaxCall) -> None:
        return None


class _TorchSum(_Torch):
    """The backend for sums that a factor multiplies, which is the upstream gradient of their backward pass."""

    ahead = False


class Divided(_Torch):
    """The backend whose sums are divided by a positive number, in eager code on plain tensors.

    The kernels take the number as the divisor of a mean, so that the gradient is computed with the value.
    """

    def __init__(self, divisor: float) -> None:
        self.divisor = divisor

    def binary_kernel(
        self, call: pipeline.BinaryCall, float32: bool, check: bool = True, divisor: float | None = None
    ) -> Tensor | None:
        if call.reduction == "sum":
            call, divisor = call._replace(reduction="mean"), self.divisor
        return super().binary_kernel(call, float32, check, divisor)

    def softmax_kernel(self, call: pipeline.SoftmaxCall, float32: bool) -> Tensor | None:
        if call.reduction != "sum":
            return super().softmax_kernel(call, float32)
        summed = call._replace(x=None, y=None)  # the formula must not keep them alive
        formula = lambda x, y: _softmax_formula(summed._replace(x=x, y=y)) / self.divisor  # noqa: E731
        of_torch = self.softmax_call(call._replace(reduction="mean"), float32, formula)
        return None if of_torch is None else self.run(of_torch._replace(divisor=self.divisor))

    def total(self, x: Tensor) -> Tensor:
        return x.sum() / self.divisor


class _TorchTraced(_Torch):
    """The backend in compiled code: the kernels are operators."""

    def has_numbers(self, *tensors: Tensor) -> bool:
        if below_autograd is None or is_exported() or not is_ordinary():
            return False
        return all((is_plain(x) or isinstance(x, TRACED_TYPES)) and not is_dual(x) for x in tensors)

    def kernels(self, x: Tensor) -> ModuleType:
        return _autograd.kernels(x)


XP = _Torch()
SUM = _TorchSum()
FORMULA = _TorchFormula()
TRACED = _TorchTraced()


# ---------------------------------------------------------------------------------------------------------------
# The losses in the graph of a compiler, which sees each as one operator
# ---------------------------------------------------------------------------------------------------------------


def _binary_in_graph(call: pipeline.BinaryCall, float32: bool) -> Tensor | None:
    others = call.member.arguments if call.member else (call.smoothing,)
    if any(isinstance(a, float) and _is_open(a) for a in others):
        return None
    return torch.ops.focal_loss.binary_loss(*FlatBinary.of(call, float32))


def _binary_loss(*loss: Any) -> Tensor:
    flat = FlatBinary(*loss)
    call: Any = flat.call()  # the fields of `pipeline.BinaryCall` are among its own
    value = TRACED.binary_kernel(call, flat.float32)
    return _rounded(binary_losses.binary_formula(FORMULA, call), flat) if value is None else value


def _softmax_in_graph(call: pipeline.SoftmaxCall, float32: bool) -> Tensor | None:
    return None if _is_open(call.smoothing) else torch.ops.focal_loss.softmax_loss(*FlatSoftmax.of(call, float32))


def _softmax_loss(*loss: Any) -> Tensor:
    flat = FlatSoftmax(*loss)
    gamma = flat.gamma[0] if flat.gammas is None else flat.gammas
    weight = flat.weight[0] if flat.weights is None else flat.weights
    more: dict[str, Any] = {"gamma": gamma, "class_weight": weight, "from_logits": True, "axis": flat.axis}
    if flat.sparse:
        spec: Any = SparseOptions(**more, ignore_class=flat.ignore, label_smoothing=flat.smoothing)
    else:
        spec = DenseOptions(**more, label_smoothing=flat.smoothing)
    call = pipeline.SoftmaxCall(
        flat.logits,
        flat.labels,
        gamma,
        weight,
        flat.axis,
        flat.sparse,
        ignore=flat.ignore,
        smoothing=flat.smoothing,
        reduction=flat.reduction,
        spec=spec,
    )
    value = TRACED.softmax_kernel(call, flat.float32)
    return _rounded(_softmax_formula(call), flat) if value is None else value


def _rounded(value: Tensor, loss: FlatBinary | FlatSoftmax) -> Tensor:
    """Losses per example, rounded to the dtype of the logits unless they must be float32."""
    return value.to(loss.logits.dtype) if loss.reduction == "none" and not loss.float32 else value


def _softmax_formula(call: pipeline.SoftmaxCall) -> Tensor:
    loss = softmax_losses.sparse_categorical_formula if call.sparse else softmax_losses.categorical_formula
    return loss(FORMULA, call.y, call.x, call.spec, call.reduction)


define_composite(f"binary_loss({BINARY}) -> Tensor", _binary_loss)
define_composite(f"softmax_loss({SOFTMAX}) -> Tensor", _softmax_loss)
