"""``make bench-gpu``: the Triton kernels, checked against the formula, then timed against the card's copy bandwidth.

Times are the device's own, by events, medians of turns; a contestant is what a user would pick instead, or the floor:
the time to copy as many bytes as the loss must move at least.
"""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Callable
from datetime import date
from pathlib import Path

import torch
from cases_torch import step, torchvision_focal_loss
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional

from focal_loss import torch as ours

RESULTS = Path(__file__).parent / "results"
ASKED = {  # least ratio theirs / ours
    "copy of as many bytes": 0.85,
    "torchvision eager": 8,
    "torchvision compiled": 1.2,
    "torch cross_entropy": 2,
    "its three matrix products": 1 / 1.1,
}
REPEATS = 30
DEVICE = "cuda"
Row = dict[str, object]


def milliseconds(contestants: dict[str, Callable[[], object]]) -> dict[str, float]:
    """The median milliseconds of each, run in turns."""
    for run in contestants.values():
        for _ in range(3):
            run()
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(REPEATS):
        for name, run in contestants.items():
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            run()
            end.record()
            torch.cuda.synchronize()
            times[name].append(start.elapsed_time(end))
    return {name: statistics.median(t) for name, t in times.items()}


def copy_of(size: int) -> Callable[[], object]:
    """Moves `size` bytes, half in and half out."""
    source = torch.empty(size // 2, dtype=torch.uint8, device=DEVICE)
    target = torch.empty_like(source)
    return lambda: target.copy_(source)


def contest(name: str, ours_: Callable[[], object], rivals: dict[str, Callable[[], object]]) -> list[Row]:
    times = milliseconds({"ours": ours_, **rivals})
    return [
        {
            "what": name,
            "against": rival,
            "ours_ms": times["ours"],
            "theirs_ms": t,
            "ratio": t / times["ours"],
            "asked": ASKED.get(rival),
        }
        for rival, t in times.items()
        if rival != "ours"
    ]


def check(loss: Callable[..., Tensor], prediction: Tensor, *rest: Tensor) -> None:
    """Compare with float64, which has no kernels here, to a few units of the dtype."""
    exact = prediction.detach().double().requires_grad_()
    results = [loss(x, *rest) for x in (prediction, exact)]
    slopes = [torch.autograd.grad(r, x)[0].double() for r, x in zip(results, (prediction, exact), strict=True)]
    tolerance = 64 * torch.finfo(prediction.dtype).eps
    torch.testing.assert_close(results[0].double(), results[1], rtol=tolerance, atol=0)
    torch.testing.assert_close(*slopes, rtol=tolerance, atol=tolerance * float(slopes[1].abs().max()))


def binary(dtype: torch.dtype, n: int = 2**26) -> list[Row]:
    z = (3 * torch.randn(n, device=DEVICE)).to(dtype).requires_grad_()
    y = (torch.rand(n, device=DEVICE) < 0.1).to(dtype)
    loss = lambda z, y: ours.binary_focal_loss(y, z, 2, from_logits=True, reduction="mean")  # noqa: E731
    vision = torchvision_focal_loss()
    theirs = lambda z, y: vision(z, y, -1, 2, "mean")  # noqa: E731
    check(loss, z[: 2**20].detach().requires_grad_(), y[: 2**20])
    rivals = {
        "copy of as many bytes": copy_of(3 * z.nbytes),  # logits and labels in, the gradient out
        "torchvision eager": step(theirs, z, y),
        "torchvision compiled": step(torch.compile(theirs), z, y),
        "torch BCE with logits": step(functional.binary_cross_entropy_with_logits, z, y),
    }
    return contest(f"binary, 2^26 {dtype}", step(loss, z, y), rivals)


def softmax(dtype: torch.dtype, rows: int = 16384, classes: int = 32768) -> list[Row]:
    v = (3 * torch.randn(rows, classes, device=DEVICE)).to(dtype).requires_grad_()
    t = torch.randint(classes, (rows,), device=DEVICE)
    loss = lambda v, t: ours.sparse_categorical_focal_loss(t, v, 2, from_logits=True, reduction="mean")  # noqa: E731
    check(loss, v[:64].detach().requires_grad_(), t[:64])
    rivals = {
        "copy of as many bytes": copy_of(2 * v.nbytes),
        "torch cross_entropy": step(functional.cross_entropy, v, t),
    }
    return contest(f"softmax, {rows} x {classes} {dtype}", step(loss, v, t), rivals)


def linear(dtype: torch.dtype, rows: int = 8192, features: int = 4096, classes: int = 32768) -> list[Row]:
    hidden = torch.randn(rows, features, device=DEVICE).to(dtype).requires_grad_()
    weight = (torch.randn(classes, features, device=DEVICE) / 64).to(dtype).requires_grad_()
    y = torch.randint(classes, (rows,), device=DEVICE)

    loss = lambda h: ours.linear_sparse_categorical_focal_loss(h, weight.to(h.dtype), y[:64], 2)  # noqa: E731
    check(loss, hidden[:64].detach().requires_grad_())

    def fused() -> None:
        hidden.grad = weight.grad = None
        ours.linear_sparse_categorical_focal_loss(hidden, weight, y, 2).backward()

    def products() -> None:
        with torch.no_grad():
            logits = hidden @ weight.T
            torch.mm(logits, weight)
            torch.mm(logits.T, hidden)

    def apart() -> None:
        hidden.grad = weight.grad = None
        functional.cross_entropy(functional.linear(hidden, weight), y).backward()

    rivals = {"its three matrix products": products, "linear + torch cross_entropy": apart}
    rows_ = contest(f"fused linear, {rows} x {features} x {classes} {dtype}", fused, rivals)
    for name, run in {"ours": fused, "linear + torch cross_entropy": apart}.items():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        extra = torch.cuda.max_memory_allocated() - before - hidden.nbytes - weight.nbytes
        logits = rows * classes * dtype.itemsize
        rows_.append({"what": "memory beyond the gradients, in logits", "against": name, "ratio": extra / logits})
    return rows_


def about() -> dict[str, str]:
    def output(*command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=RESULTS).stdout.strip()

    import triton

    return {
        "date": date.today().isoformat(),
        "card": torch.cuda.get_device_name(),
        "driver": output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
        "commit": output("git", "rev-parse", "--short", "HEAD"),
        "versions": f"torch {torch.__version__}, triton {triton.__version__}",
    }


def main() -> None:
    if not torch.cuda.is_available():
        raise SystemExit("no GPU that torch can use: there is nothing to measure")
    rows: list[Row] = []
    for dtype in (torch.float32, torch.bfloat16):
        for part in (binary, softmax, linear):
            rows += part(dtype)
            torch.cuda.empty_cache()
    table = Table("what", "against", "ours ms", "theirs ms", "ratio", "asked")
    for row in rows:
        times = (f"{row[k]:.3f}" if k in row else "" for k in ("ours_ms", "theirs_ms"))
        asked = f">= {row['asked']:.2f}" if row.get("asked") else ""
        table.add_row(str(row["what"]), str(row["against"]), *times, f"{row['ratio']:.2f}", asked)
    Console(width=130).print(table)
    (RESULTS / "gpu.json").write_text(json.dumps({"about": about(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
