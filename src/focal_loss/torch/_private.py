"""The private names of torch in use. If one is gone, the functions here answer so that no kernel or shortcut is
used.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from focal_loss._core.private import private

_FORMULA = "the formula computes"
_IN_COMPILED_CODE = "in compiled code the formula computes"
_NO_FORWARD_MODE = "the formula refuses derivatives by forward mode"
_IN_FLOAT32 = "half precision is multiplied in float32"


_transform = private("torch", "_C._functorch.peek_interpreter_stack", _FORMULA)
_transforms = private("torch", "_C._functorch.get_interpreter_stack", _NO_FORWARD_MODE)
_forward_mode = private("torch", "_C._functorch.TransformType.Jvp", _NO_FORWARD_MODE)
_vmap = private("torch", "_C._functorch.TransformType.Vmap", "`group` is refused under any of `torch.func`")
_is_legacy_batched = private(
    "torch", "_C._functorch.is_legacy_batchedtensor", "the gradient of a mean or a sum is not computed with its value"
)
_modes = private("torch", "_C._len_torch_dispatch_stack", _FORMULA)
_unpack_dual = private("torch", "_VF._unpack_dual", "its public twin serves") or torch.autograd.forward_ad.unpack_dual
_level = private("torch", "autograd.forward_ad._current_level", "losses are not compiled; the formula computes")
_fake = private("torch", "_subclasses.fake_tensor.FakeTensor", _IN_COMPILED_CODE)
_functional = private("torch", "_subclasses.functional_tensor.FunctionalTensor", _IN_COMPILED_CODE)
_half_products = {
    torch.bfloat16: private("torch", "ops.mkldnn._is_mkldnn_bf16_supported", _IN_FLOAT32),
    torch.float16: private("torch", "ops.mkldnn._is_mkldnn_fp16_supported", _IN_FLOAT32),
}
below_autograd = private("torch", "_C._AutoDispatchBelowAutograd", _IN_COMPILED_CODE)

# A public name since torch 2.7; before, a decomposed program keeps the kernels.
_is_exporting = getattr(torch.compiler, "is_exporting", lambda: False)

SEES_LEVELS = _level is not None
PLAIN_TYPES = (Tensor, torch.nn.Parameter)
# The compiler's stand-ins for ordinary tensors. DTensors and other types are decomposed by the formula.
TRACED_TYPES = tuple(kind for kind in (_fake, _functional) if kind is not None)


def is_transformed() -> bool:
    """Whether a transformation of `torch.func` is active."""
    return _transform is None or _transform() is not None


def is_batched(x: Tensor) -> bool:
    """Whether `vmap` of either kind is active: then a tensor has no memory that a kernel could read."""
    if _transform is None or _is_legacy_batched is None:
        return not has_memory(x)
    return bool(_transform() is not None or _is_legacy_batched(x))


def has_memory(x: Tensor) -> bool:
    try:
        x.untyped_storage()
    except (RuntimeError, NotImplementedError):
        return False
    return True


def is_under_a_mode() -> bool:
    """Whether a dispatch mode sees each operation."""
    return _modes is None or _modes() > 0


def is_plain(x: Tensor) -> bool:
    """Whether a tensor has memory of its own that holds its numbers unchanged."""
    return type(x) in PLAIN_TYPES and x.layout == torch.strided and not x.is_neg()


def is_traced(x: Tensor) -> bool:
    """Whether operations on a tensor are recorded, or run without its numbers."""
    return is_under_a_mode() or not is_plain(x)


def multiplies_quickly(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether the device multiplies matrices of this dtype with instructions of its own, or a library does."""
    if device.type != "cpu" or dtype not in _half_products:
        return True
    is_supported = _half_products[dtype]
    return is_supported is not None and bool(is_supported())


def is_exported() -> bool:
    """Whether a trace becomes a graph for other tools, by `torch.export`, its decompositions, or an ONNX export."""
    return _is_exporting() or (torch.jit.is_tracing() and torch.onnx.is_in_onnx_export())


def is_ordinary() -> bool:
    """Whether no `torch.func`, forward mode or TorchScript trace is active; a trace would record the result as a
    constant.
    """
    return not (is_transformed() or forward_mode_is_on() or torch.jit.is_tracing())


def has_no_numbers(x: Tensor) -> bool:
    """Whether a kernel cannot read a tensor, which is batched by `vmap`, traced or sparse."""
    return is_batched(x) or is_traced(x)


def forward_mode_is_on() -> bool:
    return not SEES_LEVELS or torch.autograd.forward_ad._current_level >= 0


def forward_mode_is_nested() -> bool:
    """Whether forward mode is nested, or may be. Dual numbers alone cannot nest it."""
    if _transforms is None or _forward_mode is None:
        return is_transformed() and forward_mode_is_on()
    return sum(layer.key() == _forward_mode for layer in _transforms() or []) > 1


def vmap_is_on() -> bool:
    """Whether `torch.vmap` is active, or may be."""
    if _transforms is None or _vmap is None:
        return is_transformed()
    return any(layer.key() == _vmap for layer in _transforms() or [])


def is_dual(x: Any) -> bool:
    """Whether x is a dual number of forward mode."""
    return isinstance(x, Tensor) and _unpack_dual(x, level=0).tangent is not None


def level_before_compiling() -> int | None:
    """The level of forward mode before compilation; None if the compiler does not tell."""
    translator = private("torch._dynamo.symbolic_convert", "InstructionTranslator.current_tx", _NO_FORWARD_MODE)
    return getattr(translator().output, "dual_level", None) if translator else None
