"""The kernels as torch operators: opaque to `torch.compile` and `torch.export`, which so break no graph.

Tensors that something traces have no memory that a kernel could read: for them this module is what `_cpu.py` and
`_cuda.py` are for others. Like all compiled code the operators do not complain of labels: a class index out of range
makes the loss of its example NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from focal_loss._core import binary_losses
from focal_loss._core.options import Reduction
from focal_loss._host import kernels as host
from focal_loss.torch import _cpu
from focal_loss.torch._calls import BinaryCall, Parameter, SoftmaxCall, dtype_of_results
from focal_loss.torch._private import below_autograd, is_dual, is_traced

COMPILED_WITHOUT_FORWARD_MODE = (
    "the focal loss was compiled without forward mode; compile the function that calls `torch.func.jvp`"
)

COMPILED_WITH_KERNELS = (
    "this code was compiled where the focal loss had its native kernels, which are not here; compile it again with "
    "another TORCHINDUCTOR_CACHE_DIR"
)

LIBRARY = torch.library.Library("focal_loss", "DEF")
# The arguments of a loss in the order of `FlatBinary` and `FlatSoftmax`.
BINARY = (
    "Tensor logits, Tensor? labels, Tensor? gammas, Tensor? positives, Tensor? negatives, float gamma, float positive, "
    "float negative, float smoothing, bool p_t_loss, str reduction, bool float32, str closed_form"
)
SOFTMAX = (
    "Tensor logits, Tensor labels, Tensor? gammas, Tensor? weights, float[] gamma, float[] weight, int axis, "
    "bool sparse, int? ignore, float smoothing, str reduction, bool float32"
)
LIBRARY.define(f"binary(int order, Tensor? upstreams, float upstream, {BINARY}) -> Tensor")
LIBRARY.define(f"softmax(int order, Tensor? upstreams, float upstream, {SOFTMAX}) -> Tensor")


def define_composite(schema: str, function: Callable[..., Tensor]) -> None:
    """An operator that the compiler keeps whole, and that every level below sees as the calls it consists of.

    Under functorch's transforms it is decomposed before any of them sees it, so `function` runs as in eager code.
    """
    LIBRARY.define(schema)
    name = schema.partition("(")[0]
    for key in ("CompositeImplicitAutograd", "FuncTorchDynamicLayerFrontMode"):
        LIBRARY.impl(name, function, key)


def kernels(x: Tensor) -> ModuleType:
    """`_cpu` or `_cuda`, by the device of the logits. `_cuda` is imported for the first tensor on a GPU."""
    if x.is_cpu:
        if host.NATIVE is None:
            raise RuntimeError(COMPILED_WITH_KERNELS)
        return _cpu
    from focal_loss.torch import _cuda

    return _cuda


# ---------------------------------------------------------------------------------------------------------------
# Arguments of operators: tensors, numbers and strings. A parameter is two of them, a tensor or None, and numbers.
# ---------------------------------------------------------------------------------------------------------------


def tensor_of(p: Parameter) -> Tensor | None:
    return p if isinstance(p, Tensor) else None


def number_of(p: Parameter) -> float:
    return 1.0 if isinstance(p, Tensor) else p


def numbers_of(p: Parameter | list[float]) -> list[float]:
    return [] if isinstance(p, Tensor) else p if isinstance(p, list) else [p]


class FlatBinary(NamedTuple):
    """A `BinaryCall` as arguments, in the order of `BINARY`.

    A member of the family is its closed form and the arguments of that, which stand in order in the places of gamma and
    the weights. The kernels' call is made of them.
    """

    logits: Tensor
    labels: Tensor | None
    gammas: Tensor | None
    positives: Tensor | None
    negatives: Tensor | None
    gamma: float
    positive: float
    negative: float
    smoothing: float
    p_t_loss: bool
    reduction: Reduction
    float32: bool
    closed_form: str  # of a member, else empty

    @classmethod
    def of(cls, call: Any, float32: bool) -> FlatBinary:
        """The arguments of torch's `BinaryCall`, or of the pipeline's."""
        given = call.member.arguments if call.member else (call.gamma, call.positive, call.negative)
        first, second, third = (*given, 1.0, 1.0)[:3]
        return cls(
            call.x,
            tensor_of(call.y),
            tensor_of(first),
            tensor_of(second),
            tensor_of(third),
            number_of(first),
            number_of(second),
            number_of(third),
            call.smoothing,
            call.p_t_loss,
            call.reduction,
            float32,
            call.member.closed_form if call.member else "",
        )

    def call(self) -> BinaryCall:
        given = (
            self.gamma if self.gammas is None else self.gammas,
            self.positive if self.positives is None else self.positives,
            self.negative if self.negatives is None else self.negatives,
        )
        if self.closed_form:
            call = binary_losses.call_of_member(self.closed_form, given, self.logits, self.labels, self.reduction)
            return BinaryCall(**call._asdict(), float32=self.float32, check=False)
        return BinaryCall(
            self.logits,
            self.labels,
            *given,
            smoothing=self.smoothing,
            p_t_loss=self.p_t_loss,
            reduction=self.reduction,
            float32=self.float32,
            check=False,
        )


class FlatSoftmax(NamedTuple):
    """A `SoftmaxCall` as arguments, in the order of `SOFTMAX`."""

    logits: Tensor
    labels: Tensor
    gammas: Tensor | None
    weights: Tensor | None
    gamma: list[float]
    weight: list[float]
    axis: int
    sparse: bool
    ignore: int | None
    smoothing: float
    reduction: Reduction
    float32: bool

    @classmethod
    def of(cls, call: Any, float32: bool) -> FlatSoftmax:
        """The arguments of torch's `SoftmaxCall`, or of the pipeline's."""
        return cls(
            call.x,
            call.y,
            tensor_of(call.gamma),
            tensor_of(call.weight),
            numbers_of(call.gamma),
            numbers_of(call.weight),
            call.axis,
            call.sparse,
            call.ignore,
            call.smoothing,
            call.reduction,
            float32,
        )

    def call(self) -> SoftmaxCall:
        return SoftmaxCall(
            self.logits,
            self.labels,
            self.gamma if self.gammas is None else per_class(self.gammas),
            self.weight if self.weights is None else per_class(self.weights),
            self.axis,
            self.sparse,
            ignore=self.ignore,
            smoothing=self.smoothing,
            reduction=self.reduction,
            float32=self.float32,
            check=False,
        )


def per_class(p: Tensor) -> list[float] | Tensor:
    """One number per class: a list for the CPU's kernels, which keeps no tensor alive. The tensor itself if traced, or
    with one number per example.
    """
    return p.reshape(-1).tolist() if p.ndim < 2 and p.device.type == "cpu" and not is_traced(p) else p


# ---------------------------------------------------------------------------------------------------------------
# The operators
# ---------------------------------------------------------------------------------------------------------------


def binary(order: int, upstream: Parameter, call: BinaryCall) -> Tensor:
    """Like `_cpu.binary`, for traced tensors."""
    above = tensor_of(upstream), number_of(upstream)
    return torch.ops.focal_loss.binary(order, *above, *FlatBinary.of(call, call.float32))


def softmax(order: int, upstream: Parameter, call: SoftmaxCall) -> Tensor:
    """Like `_cpu.softmax`, for traced tensors."""
    above = tensor_of(upstream), number_of(upstream)
    return torch.ops.focal_loss.softmax(order, *above, *FlatSoftmax.of(call, call.float32))


@torch.library.impl(LIBRARY, "binary", "CPU")
@torch.library.impl(LIBRARY, "binary", "CUDA")
def _binary(order: int, upstreams: Tensor | None, upstream: float, *loss: Any) -> Tensor:
    call = FlatBinary(*loss).call()
    return kernels(call.x).binary(order, upstream if upstreams is None else upstreams, call)


@torch.library.impl(LIBRARY, "softmax", "CPU")
@torch.library.impl(LIBRARY, "softmax", "CUDA")
def _softmax(order: int, upstreams: Tensor | None, upstream: float, *loss: Any) -> Tensor:
    call = FlatSoftmax(*loss).call()
    return kernels(call.x).softmax(order, upstream if upstreams is None else upstreams, call)


def _without_derivatives(operator: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Refuse derivatives of these operators, which are defined above them. Code compiled without forward mode ends here
    under it.
    """

    def call(*arguments: Any) -> Tensor:
        if any(map(is_dual, arguments)):
            raise NotImplementedError(COMPILED_WITHOUT_FORWARD_MODE)
        with below_autograd():
            return operator(*arguments)

    return call


LIBRARY.impl("binary", _without_derivatives(torch.ops.focal_loss.binary), "Autograd")
LIBRARY.impl("softmax", _without_derivatives(torch.ops.focal_loss.softmax), "Autograd")


@torch.library.register_fake("focal_loss::binary", lib=LIBRARY)
def _binary_fake(order: int, upstreams: Tensor | None, upstream: float, *loss: Any) -> Tensor:
    call = FlatBinary(*loss).call()
    shape = call.x.shape if order or call.reduction == "none" else ()
    return call.x.new_empty(shape, dtype=dtype_of_results(order, call))


@torch.library.register_fake("focal_loss::softmax", lib=LIBRARY)
def _softmax_fake(order: int, upstreams: Tensor | None, upstream: float, *loss: Any) -> Tensor:
    call = FlatSoftmax(*loss).call()
    unreduced = call.x.shape[: call.axis] + call.x.shape[call.axis + 1 :]
    shape = call.x.shape if order else unreduced if call.reduction == "none" else ()
    return call.x.new_empty(shape, dtype=dtype_of_results(order, call))
