"""Calls like earlier ones, which go to the kernels without the way through the pipeline.

A training loop calls a loss with the same options on tensors of the same kind, again and again. What the pipeline makes
of such a call then differs in nothing but the tensors, provided that it hands these to the kernels as they are, returns
what the kernels compute, and warns of nothing. So the first call is noted, and the next ones are it with other tensors.
The kernels check the labels as ever; a wrong option is never noted, since it is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from focal_loss._core.repeated import Memory, typed
from focal_loss.torch._backend import XP, _Torch, under_autocast
from focal_loss.torch._calls import BinaryCall, SoftmaxCall
from focal_loss.torch._private import PLAIN_TYPES

Call = BinaryCall | SoftmaxCall
_calls: Memory[Call] = Memory()


class _Noting(_Torch):
    """The backend that notes the call of the kernels."""

    call: Call | None = None
    value: Tensor | None = None
    has_warned = False

    def run(self, call: Call) -> Tensor:
        self.call, self.value = call, super().run(call)
        return self.value

    def warn(self, message: str, category: type[Warning] = UserWarning) -> None:
        self.has_warned = True
        super().warn(message, category)


def loss(name: str, y: Any, x: Any, options: tuple[Any, ...], compute: Callable[[_Torch], Tensor]) -> Tensor:
    """``compute(backend)``, which is determined by the name, the tensors and the options."""
    if torch.compiler.is_compiling():
        return compute(XP)
    given = typed(options)
    if given is None or type(x) not in PLAIN_TYPES or type(y) not in PLAIN_TYPES:
        return compute(XP)
    dtype = x.dtype
    key = (name, given, dtype, y.dtype, x.ndim, x.device, y.device, dtype.itemsize < 4 and under_autocast(x))
    call = _calls.get(key)
    # The kernels have covered tensors of these dtypes and devices. What else they demand is asked of every tensor.
    # Where there are none but a trace of them, even a comparison of shapes is recorded.
    if call is not None and XP.has_numbers(x, y) and not y.requires_grad and _are_alike(call, x, y):
        return XP.run(call.of(x, y))
    noting = _Noting()
    value = compute(noting)
    call = noting.call
    if call is not None and call.x is x and call.y is y and value is noting.value and not noting.has_warned:
        _calls.note(key, call.of(None, None))
    return value


def _are_alike(call: Call, x: Tensor, y: Tensor) -> bool:
    """Whether the shapes are those of nearly all calls, which need neither checks nor broadcasting."""
    if isinstance(call, BinaryCall):
        return y.shape == x.shape
    if not call.sparse:
        return y.shape == x.shape and x.shape[call.axis] > 1
    examples = [*x.shape]
    classes = examples.pop(call.axis)
    # Class indices in floats must be whole, and few enough for their dtype.
    return classes > 1 and [*y.shape] == examples and not y.is_floating_point()
