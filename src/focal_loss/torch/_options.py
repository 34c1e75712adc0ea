"""Options of modules as attributes: numbers unchanged, arrays as buffers, parameters as parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from focal_loss._core import options
from focal_loss._core.declare import Options

MOST_SHOWN = 10  # most numbers of an array in a module's `repr`


class WithOptions(torch.nn.Module):
    """A module with its options as attributes: numbers unchanged, arrays as buffers, parameters as parameters.

    A list or a NumPy array is a float32 buffer, because not every device has float64. Its exact numbers are kept beside
    it, for logits in float64.
    """

    _exact: dict[str, Any]

    def keep_options(self, kind: type[Options], given: dict[str, Any]) -> None:
        """Check the options and store them as given. Arrays become buffers, which follow the module to its device."""
        checked = kind(**given)
        self._exact = {}
        for name, value in given.items():
            ordinary = name not in kind.arrays or value is None or options.is_number(value)
            if ordinary or isinstance(value, torch.nn.Parameter):
                setattr(self, name, value)
            elif isinstance(value, Tensor):
                self.register_buffer(name, value)
            else:
                self._exact[name] = np.asarray(getattr(checked, name), np.float64).tolist()
                self.register_buffer(name, torch.as_tensor(self._exact[name], dtype=torch.float32))

    def option(self, name: str, like: Tensor) -> Any:
        """Gamma or a weight for these predictions.

        In float64 an entry that still equals the rounded number of the list becomes that number; other entries have
        been loaded or written since. On the "meta" device, where a buffer has no numbers, the list is used.
        """
        value = getattr(self, name)
        if name not in self._exact or not isinstance(value, Tensor) or value.requires_grad:
            return value
        if value.is_meta:
            return self._exact[name]
        if like.dtype != torch.float64:
            return value
        exact = torch.as_tensor(self._exact[name], dtype=torch.float64, device=value.device)
        return torch.where(value == exact.to(torch.float32), exact, value)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move or cast the module. A cast to half precision leaves gamma and weights unchanged.

        A weight of 1e5 would be infinite and one of 1e-8 would be 0, and the loss is computed in float32 anyway. A
        buffer that leaves the "meta" device is filled from the list again.
        """
        empty = [name for name, buffer in self.named_buffers(recurse=False) if name in self._exact and buffer.is_meta]
        super()._apply(lambda tensor: _cast(tensor, fn), recurse)
        for name in empty:
            if not getattr(self, name).is_meta:
                getattr(self, name).copy_(torch.tensor(self._exact[name], dtype=torch.float64, device="cpu"))
        return self

    def _shown(self) -> dict[str, Any]:
        """The options by name, as `repr` shows them."""
        found = {k: v for k, v in vars(self).items() if not k.startswith("_") and k != "training"}
        return found | dict(self.named_parameters(recurse=False)) | dict(self.named_buffers(recurse=False))

    def extra_repr(self) -> str:
        return ", ".join(f"{k}={_text(v) if isinstance(v, Tensor) else repr(v)}" for k, v in self._shown().items())


def _cast(tensor: Tensor, fn: Callable[[Tensor], Tensor]) -> Tensor:
    """`fn` of a tensor, unless it casts to half precision."""
    result = fn(tensor)
    narrowed = result.dtype.itemsize < 4 and result.dtype != tensor.dtype
    return tensor.to(result.device) if narrowed else result


def _text(tensor: Tensor) -> str:
    """The text of a few numbers, or the shape of many."""
    if tensor.is_meta or tensor.ndim > 1 or tensor.numel() > MOST_SHOWN:
        return f"tensor of shape {tuple(tensor.shape)}"
    numbers = [float(f"{x:.6g}") for x in tensor.reshape(-1).tolist()]
    return repr(numbers if tensor.ndim else numbers[0])
