"""The kernels as torch operators: opaque to `torch.compile` and `torch.export`, which so break no graph.

Tensors that something traces have no memory that a kernel could read: for them this module is what `_cpu.py` and
`_cuda.py` are for others. Like all compiled code the operators do not complain of labels: a class index out of range
makes the loss of its example NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from focal_loss.torch import _cpu
from focal_loss.torch._options import BinaryOptions, Parameter, SoftmaxOptions, dtype_of_results
from focal_loss.torch._private import below_autograd, is_dual

COMPILED_WITHOUT_FORWARD_MODE = (
    "the focal loss was compiled without forward mode; compile the function that calls `torch.func.jvp`"
)

LIBRARY = torch.library.Library("focal_loss", "DEF")
LIBRARY.define(
    "binary(int order, Tensor logits, Tensor labels, Tensor? gamma, Tensor? positive, Tensor? negative, "
    "Tensor? upstream, float[] numbers, bool p_t_loss, str reduction, bool float32) -> Tensor"
)
LIBRARY.define(
    "softmax(int order, Tensor logits, Tensor labels, Tensor? gammas, Tensor? weights, Tensor? upstream, "
    "float[] gamma, float[] weight, int axis, bool sparse, int? ignore, float smoothing, str reduction, "
    "bool float32) -> Tensor"
)


def define_composite(schema: str, function: Callable[..., Tensor]) -> None:
    """An operator that the compiler keeps whole, and that everything below it sees as the calls it is made of.

    Under functorch's transforms it is so before any of them sees it, so that `function` runs as in eager code.
    """
    LIBRARY.define(schema)
    name = schema.partition("(")[0]
    for key in ("CompositeImplicitAutograd", "FuncTorchDynamicLayerFrontMode"):
        LIBRARY.impl(name, function, key)


def kernels(x: Tensor) -> ModuleType:
    """`_cpu` or `_cuda`, which is opened on the first tensor of a GPU: by where the logits are."""
    if x.device.type == "cpu":
        return _cpu
    from focal_loss.torch import _cuda

    return _cuda


def separate(*parameters: Parameter) -> tuple[list[Tensor | None], list[float]]:
    """The tensors among them, and the numbers."""
    tensors = [p if isinstance(p, Tensor) else None for p in parameters]
    return tensors, [1.0 if isinstance(p, Tensor) else p for p in parameters]


def joined(tensors: Sequence[Tensor | None], numbers: list[float]) -> list[Parameter]:
    return [number if tensor is None else tensor for tensor, number in zip(tensors, numbers, strict=True)]


def binary(
    order: int,
    upstream: Parameter,
    x: Tensor,
    y: Tensor,
    gamma: Parameter,
    positive: Parameter,
    negative: Parameter,
    options: BinaryOptions,
) -> Tensor:
    """As `_cpu.binary`, of tensors that are traced."""
    tensors, numbers = separate(gamma, positive, negative, upstream)
    numbers.append(options.smoothing)
    return torch.ops.focal_loss.binary(
        order, x, y, *tensors, numbers, options.p_t_loss, options.reduction, options.float32
    )


def softmax(order: int, upstream: Parameter, x: Tensor, y: Tensor, options: SoftmaxOptions) -> Tensor:
    """As `_cpu.softmax`, of tensors that are traced."""
    tensors = [p if isinstance(p, Tensor) else None for p in (options.gamma, options.weight, upstream)]
    lists = [[] if isinstance(p, Tensor) else p for p in (options.gamma, options.weight)]
    return torch.ops.focal_loss.softmax(
        order, x, y, *tensors, *lists, options.axis, options.sparse, options.ignore, options.smoothing,
        options.reduction, options.float32
    )  # fmt: skip


@torch.library.impl(LIBRARY, "binary", "CPU")
@torch.library.impl(LIBRARY, "binary", "CUDA")
def _binary(order: int, x: Tensor, y: Tensor, *rest: Any) -> Tensor:
    *tensors, numbers, p_t_loss, reduction, float32 = rest
    *parameters, upstream = joined(tensors, numbers[:4])
    options = BinaryOptions(numbers[4], p_t_loss, reduction, float32, check=False)
    return kernels(x).binary(order, upstream, x, y, *parameters, options)


@torch.library.impl(LIBRARY, "softmax", "CPU")
@torch.library.impl(LIBRARY, "softmax", "CUDA")
def _softmax(order: int, x: Tensor, y: Tensor, *rest: Any) -> Tensor:
    gammas, weights, upstream, gamma, weight, *others = rest
    gamma, weight = (p if t is None else _per_class(t) for t, p in ((gammas, gamma), (weights, weight)))
    options = SoftmaxOptions(gamma, weight, *others)._replace(check=False)
    return kernels(x).softmax(order, 1.0 if upstream is None else upstream, x, y, options)


def _per_class(p: Tensor) -> list[float] | Tensor:
    """As the kernels of the device take it."""
    return p.reshape(-1).tolist() if p.device.type == "cpu" else p


def _without_derivatives(operator: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Derivatives are made above these operators. What was compiled without forward mode meets it here."""

    def call(*arguments: Any) -> Tensor:
        if any(map(is_dual, arguments)):
            raise NotImplementedError(COMPILED_WITHOUT_FORWARD_MODE)
        with below_autograd():
            return operator(*arguments)

    return call


LIBRARY.impl("binary", _without_derivatives(torch.ops.focal_loss.binary), "Autograd")
LIBRARY.impl("softmax", _without_derivatives(torch.ops.focal_loss.softmax), "Autograd")


@torch.library.register_fake("focal_loss::binary", lib=LIBRARY)
def _binary_fake(order: int, x: Tensor, y: Tensor, *rest: Any) -> Tensor:
    numbers, *others = rest[-4:]
    options = BinaryOptions(numbers[4], *others)
    shape = x.shape if order or options.reduction == "none" else ()
    return x.new_empty(shape, dtype=dtype_of_results(order, x, options))


@torch.library.register_fake("focal_loss::softmax", lib=LIBRARY)
def _softmax_fake(order: int, x: Tensor, y: Tensor, *rest: Any) -> Tensor:
    options = SoftmaxOptions(*rest[3:])
    unreduced = x.shape[: options.axis] + x.shape[options.axis + 1 :]
    shape = x.shape if order else unreduced if options.reduction == "none" else ()
    return x.new_empty(shape, dtype=dtype_of_results(order, x, options))
