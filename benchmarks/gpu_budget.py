"""``make gpu-budget``: the share of a card's copy bandwidth that each Triton kernel can reach, from its machine code.

No GPU is needed. A kernel that moves as many bytes as a copy takes as long as the copy, unless its instructions take
longer. They take at least the clocks of the busiest of these: issue, one instruction of a warp for each of four
schedulers and clock; and each pipe, by its lanes. The share is the ratio of both times, at most 1. Latencies are not
modelled: they hide behind other warps, as far as the registers let those run (the column "warps").
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import gpu_code
import torch
from torch import Tensor

from focal_loss import torch as ours
from focal_loss.torch import _backend, _cuda, _operators, _triton

RESULTS = Path(__file__).parent / "results"
COPY = 0.9  # what a copy reaches of the datasheet's bandwidth
# What the mean of the binary loss with its gradient may take on the newest card: instructions an element, and the share
# of the bandwidth that they must leave within reach.
AT_MOST = {"float32": 60, "float16": 36, "bfloat16": 36, "float16 labels": 41, "bfloat16 labels": 41}
REACHED = 0.9
SIZE = 2**24
ROWS, CLASSES = 4096, 32768


@dataclass(frozen=True)
class Card:
    """Per multiprocessor and clock: lanes of each pipe. `fma` and `imad` share their lanes."""

    name: str
    capability: int
    multiprocessors: int
    gigahertz: float
    terabytes: float  # of memory, a second
    lanes: dict[str, int]

    def clocks(self, pipes: dict[str, float]) -> dict[str, float]:
        """The clocks of a multiprocessor for an element, by what they wait for."""
        busy = dict(pipes)
        busy["fma"] = busy.get("fma", 0) + busy.get("imad", 0)
        busy["issue"] = sum(pipes.values())
        return {pipe: busy.get(pipe, 0) / lanes for pipe, lanes in self.lanes.items()}

    def share(self, pipes: dict[str, float], size: float) -> tuple[float, str]:
        """The share of copy bandwidth, for `size` bytes an element, and the busiest pipe."""
        clocks = self.clocks(pipes)
        busiest = max(clocks, key=lambda pipe: clocks[pipe])
        elements = self.multiprocessors * self.gigahertz * 1e9 / clocks[busiest]
        return min(elements * size / (COPY * self.terabytes * 1e12), 1.0), busiest


# Lanes: the table of arithmetic throughput in NVIDIA's CUDA C++ Programming Guide. Integer multiplications run on half
# of Hopper's FMA lanes.
CARDS = (
    Card(
        "A100 80 GB", 80, 108, 1.41, 2.039, {"issue": 128, "fma": 64, "imad": 64, "alu": 64, "mufu": 16, "memory": 32}
    ),
    Card("H100 SXM", 90, 132, 1.83, 3.35, {"issue": 128, "fma": 128, "imad": 64, "alu": 64, "mufu": 16, "memory": 32}),
)


class Recorder:
    """In place of a kernel: keeps the arguments of its last launch."""

    def __init__(self, kernel: Any):
        self.kernel, self.arguments, self.options = kernel, (), {}

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        self.grid = grid

        def launch(*arguments: Any, **options: Any) -> None:
            self.arguments, self.options = arguments, options

        return launch


@dataclass(frozen=True)
class Case:
    name: str
    form: str  # "value", "mean", "gradient", "mean + gradient"
    logits: torch.dtype
    labels: torch.dtype
    loss: Any  # (labels, logits, reduction) -> loss


def launched(case: Case, x: Tensor, y: Tensor) -> Recorder:
    """The launch of a case, recorded."""
    recorders = {name: Recorder(getattr(_triton, name)) for name in ("binary", "softmax")}
    kept = {name: getattr(_triton, name) for name in recorders}, _operators.kernels, _backend._FLOATING["cpu"]
    try:
        for name, recorder in recorders.items():
            setattr(_triton, name, recorder)
        _operators.kernels = lambda x: _cuda
        _backend._FLOATING["cpu"] = _cuda.DTYPES
        with torch.set_grad_enabled("gradient" in case.form):
            x = x.requires_grad_("gradient" in case.form)
            loss = case.loss(y, x, "mean" if "mean" in case.form else "none")
            if case.form == "gradient":
                torch.autograd.grad(loss, x, loss.detach())
    finally:
        for name, kernel in kept[0].items():
            setattr(_triton, name, kernel)
        _operators.kernels, _backend._FLOATING["cpu"] = kept[1:]
    return next(recorder for recorder in recorders.values() if recorder.arguments)


def row_of(case: Case, card: Card) -> dict[str, Any]:
    """Counts for an element of the logits."""
    if case.name.startswith("softmax"):
        x, y = torch.zeros(ROWS, CLASSES, dtype=case.logits), torch.zeros(ROWS, dtype=case.labels)
    else:
        x, y = torch.zeros(SIZE, dtype=case.logits), torch.zeros(SIZE, dtype=case.labels)
    launch = launched(case, x, y)
    warps = launch.options.get("num_warps", 4)
    each = x.numel() / launch.grid[0] / (32 * warps)  # elements of a thread
    bits = int(each * 8 * x.element_size()) if launch.kernel.__name__ == "softmax" else 0  # which has loops
    code = gpu_code.measured(launch.kernel, launch.arguments, launch.options, card.capability, bits)
    pipes = {pipe: n / each for pipe, n in code.pipes.items()}
    moved = {id(t): t.nbytes for t in launch.arguments if isinstance(t, Tensor)}
    size = sum(moved.values()) / x.numel()
    share, busiest = card.share(pipes, size)
    return {
        "kernel": case.name,
        "form": case.form,
        "logits": str(case.logits).removeprefix("torch."),
        "labels": str(case.labels).removeprefix("torch."),
        "card": card.name,
        "bytes": size,
        "instructions": sum(pipes.values()),
        "pipes": pipes,
        "accesses": dict(code.accesses),
        "registers": code.registers,
        "spilled": code.spilled,
        "occupancy": code.occupancy(),
        "share": share,
        "busiest": busiest,
    }


def binary(gamma: Any, name: str = "binary_focal_loss", **options: Any) -> Any:
    function = getattr(ours, name)
    more = {} if gamma is None else {"gamma": gamma}
    return lambda y, x, reduction: function(y, x, reduction=reduction, from_logits=True, **more, **options)


def cases() -> list[Case]:
    half, both = torch.bfloat16, "mean + gradient"
    floating = (torch.float32, torch.float16, half)
    found = [Case("binary, gamma 2", both, x, y, binary(2.0)) for x in floating for y in (torch.uint8, x)]
    for x in (torch.float32, half):
        found += [Case("binary, gamma 2", form, x, torch.uint8, binary(2.0)) for form in ("value", "mean", "gradient")]
        found += [Case(f"binary, gamma {g:g}", both, x, torch.uint8, binary(g)) for g in (0.0, 1.0, 1.5, 2.2)]
        found += [
            Case("p_t mix, gamma 2", both, x, x, binary(2.0, "binary_focal_crossentropy")),
            Case("asymmetric", both, x, torch.uint8, binary(None, "asymmetric_loss")),
            Case("quality", both, x, x, binary(None, "quality_focal_loss")),
            Case("varifocal", both, x, x, binary(None, "varifocal_loss")),
            Case("matchability", both, x, x, binary(None, "matchability_aware_loss")),
            Case("penalty-reduced", both, x, x, binary(None, "penalty_reduced_focal_loss")),
            Case("Poly-1", both, x, torch.uint8, binary(None, "poly1_focal_loss")),
        ]
        softmax = binary(2.0, "sparse_categorical_focal_loss")
        found += [Case("softmax, gamma 2", form, x, torch.int64, softmax) for form in ("mean", "gradient", both)]
    return found


def markdown(rows: list[dict[str, Any]], about: dict[str, str]) -> str:
    lines = [
        "# What the GPU kernels can reach",
        "",
        f"By `make gpu-budget` ({', '.join(about.values())}), from the machine code, without a GPU. Instructions are "
        "those of one element on the main path (hard labels, logits of ordinary size, blocks that are full), by pipe. "
        f'"share" is that of the bandwidth of a copy ({COPY:.0%} of the datasheet\'s), and "by" names what limits the '
        "instructions. Bytes are what an element moves. `benchmarks/gpu_budget.py` says how each is counted.",
    ]
    for card in CARDS:
        lines += [
            "",
            f"## {card.name}: {card.multiprocessors} multiprocessors at {card.gigahertz} GHz, {card.terabytes} TB/s",
            "",
            "| kernel | computes | logits | labels | bytes | all | FMA | ALU | MUFU | memory | other "
            "| loads, stores (bits) | registers | spilled | warps | share | by |",
            "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
        ]
        for r in rows:
            if r["card"] != card.name:
                continue
            p = Counter(r["pipes"])
            widths = " ".join(f"{kind}:{'/'.join(w)}" for kind, w in by_kind(r["accesses"]).items())
            shown = (r["kernel"], r["form"], r["logits"], r["labels"], f"{r['bytes']:.3g}", f"{r['instructions']:.1f}")
            counts = (p["fma"] + p["imad"], p["alu"], p["mufu"], p["memory"], p["uniform"] + p["control"])
            shown += tuple(f"{n:.1f}" for n in counts)
            shown += (widths, r["registers"], r["spilled"], f"{r['occupancy']:.0%}", f"{r['share']:.0%}", r["busiest"])
            lines.append(f"| {' | '.join(map(str, shown))} |")
    return "\n".join(lines) + "\n"


def by_kind(accesses: dict[str, int]) -> dict[str, list[str]]:
    kinds: dict[str, list[str]] = {}
    for access, n in sorted(accesses.items()):
        kind, width = access.split()
        kinds.setdefault({"LDG": "in", "STG": "out"}[kind], []).append(width if n == 1 else f"{n}x{width}")
    return kinds


def check() -> None:
    """Fail where the mean with its gradient takes more instructions than `AT_MOST`, or reaches less."""
    missed = []
    for case in cases():
        if case.name == "binary, gamma 2" and case.form == "mean + gradient":
            row = row_of(case, CARDS[-1])
            print(f"{row['logits']}, {row['labels']} labels: {row['instructions']:.1f} instructions")
            most = AT_MOST.get(f"{row['labels']} labels", AT_MOST[row["logits"]])
            if row["instructions"] > most or row["share"] < REACHED or row["spilled"]:
                missed.append(row)
    if missed:
        raise SystemExit(f"above the budget: {json.dumps(missed, indent=1)}")


def main() -> None:
    wanted = sys.argv[1:]
    if wanted == ["--check"]:
        check()
        return
    rows = []
    for case in cases():
        if all(word in f"{case.name} {case.form} {case.logits} {case.labels}" for word in wanted):
            for card in CARDS:
                rows.append(row := row_of(case, card))
                print(
                    f"{card.name:10} {case.name:18} {case.form:15} {row['logits']:8} {row['labels']:8}"
                    f" {row['instructions']:6.1f} {row['share']:5.0%} {row['busiest']}",
                    {pipe: round(n, 1) for pipe, n in row["pipes"].items()},
                    *(row["registers"], row["spilled"], row["accesses"]),
                    flush=True,
                )
    if not wanted:
        commit = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True, cwd=RESULTS
        ).stdout.strip()
        about = {"date": date.today().isoformat(), "commit": f"commit {commit}", "versions": gpu_code.versions()}
        (RESULTS / "gpu_budget.json").write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n")
        (RESULTS / "gpu_budget.md").write_text(markdown(rows, about))


if __name__ == "__main__":
    main()
