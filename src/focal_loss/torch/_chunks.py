"""A linear layer, a few rows at a time: their logits, and what their gradients add to those of the layer."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from focal_loss._core.shapes import chunk_rows
from focal_loss.torch._private import multiplies_quickly


def for_products(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """The layer in the dtype in which its matrices are multiplied: float32 on a processor that would emulate products
    of half precision, which takes a hundred times as long.
    """
    if multiplies_quickly(hidden.dtype, hidden.device):
        return hidden, weight, bias
    return hidden.float(), weight.float(), None if bias is None else bias.float()


def gap(hidden: Tensor, classes: int) -> int:
    """How many numbers to leave between rows of logits. Rows a multiple of the page size apart would share a few lines
    of the cache where a matrix product reads or writes a column of them.
    """
    return 256 // hidden.itemsize if hidden.device.type == "cpu" and classes * hidden.itemsize % 4096 == 0 else 0


def chunks(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Iterator[tuple[slice, Tensor]]:
    """The logits of a few rows at a time, all in the same memory: a caller that keeps them must copy them."""
    rows = chunk_rows(len(hidden), hidden.shape[1], len(weight))
    buffer = hidden.new_empty(rows, len(weight) + gap(hidden, len(weight)))[:, : len(weight)]
    for begin in range(0, len(hidden), rows):
        part = slice(begin, min(begin + rows, len(hidden)))
        logits = buffer[: part.stop - begin]
        if bias is None:
            torch.mm(hidden[part], weight.T, out=logits)
        else:
            torch.addmm(bias, hidden[part], weight.T, out=logits)
        yield part, logits


class Gradients:
    """The wanted gradients in the layer's input, weight and bias, summed in float32 or wider. `dtype` is theirs in the
    end.
    """

    def __init__(
        self, hidden: Tensor, weight: Tensor, bias: Tensor | None, wanted: tuple[bool, ...], dtype: torch.dtype
    ) -> None:
        self.hidden, self.weight, self.dtype = hidden, weight, dtype
        wide = torch.promote_types(hidden.dtype, torch.float32)
        self.adds_rounded = hidden.is_cuda and wide != hidden.dtype
        # Elsewhere the first product overwrites what is in the memory, if there is one.
        new = torch.zeros_like if self.adds_rounded or not len(hidden) else torch.empty_like
        self.in_hidden = torch.empty_like(hidden) if wanted[0] else None
        self.in_weight = new(weight, dtype=wide) if wanted[1] else None
        self.in_bias = torch.zeros_like(bias, dtype=wide) if bias is not None and wanted[2] else None

    def add(self, part: slice, slope: Tensor) -> None:
        """Add the part of some rows, the first of them first. `slope` is the gradient in their logits."""
        if self.in_hidden is not None:
            torch.mm(slope, self.weight, out=self.in_hidden[part])
        if self.in_weight is not None:
            if self.adds_rounded:
                self.in_weight += slope.T @ self.hidden[part]
            else:
                wide, kept = self.in_weight.dtype, int(part.start > 0)
                self.in_weight.addmm_(slope.T.to(wide), self.hidden[part].to(wide), beta=kept)
        if self.in_bias is not None:
            self.in_bias += slope.sum(0, dtype=self.in_bias.dtype)

    def scaled(self, factor: Tensor | float) -> tuple[Tensor | None, ...]:
        """Each of them times a factor, in their own memory unless they are rounded."""
        return tuple(
            None if g is None else g.mul_(factor).to(self.dtype) for g in (self.in_hidden, self.in_weight, self.in_bias)
        )
