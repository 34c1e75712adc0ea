"""The fused linear loss of PyTorch, against the layer and then the loss, and the best ways of torch's own fused loss.

The time of the three matrix products alone, of whole matrices in memory that is there already, stands beside them.
Peaks of memory are measured in a process for each contestant: `python benchmarks/cases_linear.py CONTESTANT SIZE DTYPE`
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial

import torch
from cases_torch import forget_peak, peak
from contest import Contest
from torch import Tensor
from torch.nn import functional

from focal_loss.torch import linear_sparse_categorical_focal_loss

LARGE = "8192 x 256 x 32768"
SIZES = {  # rows, features, classes
    "64 x 64 x 1000": (64, 64, 1000),
    "1024 x 256 x 16384": (1024, 256, 16384),
    LARGE: (8192, 256, 32768),
}
DTYPES = (torch.float32, torch.bfloat16)
# The ways of torch's fused loss that are the fastest at some size and dtype. Those that it chooses itself, "auto" and
# "aspect_ratio", take several times as long, for three quarters of the memory at best.
FASTEST = {
    "compact, 512 rows": {"batch_chunk_size": 512},
    "compact, one chunk": {"chunking_method": None},
}
IN_MEMORY = ("ours", "linear_cross_entropy, auto", "linear_cross_entropy, compact, 512 rows")
PLAIN = "cross_entropy(linear)"


def inputs(size: str, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    rows, features, classes = SIZES[size]
    torch.manual_seed(0)
    hidden, weight = torch.randn(rows, features), torch.randn(classes, features) / 16
    y = torch.randint(classes, (rows,))
    return hidden.to(dtype).requires_grad_(), weight.to(dtype).requires_grad_(), y


def ways(dtype: torch.dtype) -> dict[str, Callable[..., Tensor]]:
    """The contestants: functions of input, weight and labels."""
    fused = functional.linear_cross_entropy
    half = {} if dtype == torch.float32 else {"acc_dtype": torch.float32}
    options = {"auto": torch.nn.LinearCrossEntropyOptions()}
    for name, given in FASTEST.items():
        options[name] = torch.nn.LinearCrossEntropyOptions(acc_policy="compact", **given, **half)
    return {
        "ours": lambda h, w, y: linear_sparse_categorical_focal_loss(h, w, y, 2),
        # In float32, because products of half precision may take a hundred times as long.
        PLAIN: lambda h, w, y: functional.cross_entropy(functional.linear(h.float(), w.float()), y),
        **{f"linear_cross_entropy, {name}": partial(fused, options=given) for name, given in options.items()},
    }


def step(loss: Callable[..., Tensor], hidden: Tensor, weight: Tensor, y: Tensor) -> None:
    hidden.grad = weight.grad = None
    loss(hidden, weight, y).backward()


def products(hidden: Tensor, weight: Tensor) -> Callable[[], None]:
    """The matrix products of forward and backward alone, in float32, without a new array."""
    h, w = hidden.detach().float(), weight.detach().float()
    logits, in_hidden, in_weight = torch.zeros(len(h), len(w)), torch.zeros_like(h), torch.zeros_like(w)

    def run() -> None:
        torch.mm(h, w.T, out=logits)
        torch.mm(logits, w, out=in_hidden)
        torch.mm(logits.T, h, out=in_weight)

    return run


def contests() -> Iterator[Contest]:
    for size in SIZES:
        for dtype in DTYPES:
            given = inputs(size, dtype)
            runs = {name: partial(step, loss, *given) for name, loss in ways(dtype).items()}
            ours = runs.pop("ours")
            del runs["linear_cross_entropy, auto"]
            if size == LARGE:  # each takes seconds, and some the memory of all logits
                del runs[PLAIN], runs["linear_cross_entropy, compact, one chunk"]
            rivals = {"products": products(*given[:2]), **runs}
            group = f"torch linear, {str(dtype).removeprefix('torch.')}"
            repeats = {"warm": 0, "fewest": 1} if size == LARGE else {"warm": 1, "fewest": 3}
            yield Contest(group, size, ours, rivals, floor=("products",), **repeats)


def memory() -> list[dict[str, object]]:
    """Bytes above the inputs at the peak of forward and backward, as multiples of the gradients."""
    rows = []
    size = "1024 x 256 x 16384"
    for dtype in DTYPES:
        for name in IN_MEMORY:
            command = [sys.executable, __file__, name, size, str(dtype).removeprefix("torch.")]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            rows.append({"loss": f"linear, {size}, {command[-1]}, {name}", "gradients": float(done.stdout)})
    return rows


def gradients_at_peak(name: str, size: str, dtype: torch.dtype) -> float:
    loss = ways(dtype)[name]
    hidden, weight, y = inputs(size, dtype)
    step(loss, *inputs("64 x 64 x 1000", dtype))
    forget_peak()
    before = peak()
    step(loss, hidden, weight, y)
    return (peak() - before) / (hidden.nbytes + weight.nbytes)


if __name__ == "__main__":
    print(gradients_at_peak(sys.argv[1], sys.argv[2], getattr(torch, sys.argv[3])))
