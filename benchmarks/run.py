"""``make bench``: every contest, one table, into benchmarks/results. ``make bench-check``: losses of speed.

The cases of each module run in a process of their own, one after the other, because idle thread pools of one would slow
another.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import platform
import subprocess
import sys
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "cpu.json"
# The lines of the picture: what is measured by size, and against whom.
PICTURED = {
    "torch binary": ("torchvision eager", "torchvision compiled", "torch BCE with logits"),
    "numpy value": ("closed form in NumPy",),
    "jax value_and_grad, jit": ("optax focal",),
    "keras, eager": ("keras focal",),
    "keras, graph": ("keras focal",),
    "keras, XLA": ("keras focal",),
}
LOSS = 0.15  # a loss of speed beside a rival that is more than the noise of two measurements
CASES = ("torch", "linear", "family", "numpy", "jax", "tensorflow", "boosting")


def measure(cases: str, only: list[str]) -> None:
    """Measure the contests of one module, all or those named. The last line of output is JSON."""
    module = importlib.import_module(f"cases_{cases}")
    rows = []
    for contest in module.contests():
        name = f"{contest.group}, {contest.size}"
        if only and name not in only:
            continue
        rows += contest.run()
        print(name, file=sys.stderr)
    print(json.dumps({"rows": rows, "memory": module.memory() if hasattr(module, "memory") and not only else []}))


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {len(names)} processors"


def about() -> dict[str, str]:
    from focal_loss._host import kernels

    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE, check=True
    )
    packages = ("numpy", "torch", "torchvision", "jax", "optax", "tensorflow-cpu", "keras", "lightgbm", "xgboost-cpu")
    versions = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in packages)
    return {
        "date": date.today().isoformat(),
        "commit": commit.stdout.strip(),
        "machine": processor(),
        "ours": kernels.DESCRIPTION,
        "versions": versions,
    }


HEADER = ("what", "size", "against", "ours ms", "theirs ms", "times faster")


def cells(row: dict) -> tuple[str, ...]:
    times = (f"{row[k]:.3g}" for k in ("ours_ms", "rival_ms"))
    ratio = f"takes {row['ratio']:.2f} of it" if row["is_floor"] else f"{row['ratio']:.2f}"
    return (row["group"], row["size"], row["rival"], *times, ratio)


def markdown(results: dict) -> str:
    lines = [f"- {k}: {v}" for k, v in results["about"].items()]
    lines += ["", f"| {' | '.join(HEADER)} |", "|---" * len(HEADER) + "|"]
    lines += [f"| {' | '.join(cells(row))} |" for row in results["rows"]]
    lines += [
        "",
        "| memory at the peak of forward + backward, of 1e7 logits or the layer named | in gradients |",
        "|---|---|",
    ]
    lines += [f"| {row['loss']} | {row['gradients']:.2f} |" for row in results["memory"]]
    return "\n".join(["# Benchmarks", "", *lines, ""])


def picture(results: dict, path: Path) -> None:
    """Plot how many times faster ours is than each rival, by size."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [row for row in results["rows"] if row["group"] in PICTURED and row["rival"] in PICTURED[row["group"]]]
    figure, axes = pyplot.subplots(figsize=(8, 4.5))
    for group, rival in dict.fromkeys((row["group"], row["rival"]) for row in rows):
        points = [(float(r["size"]), r["ratio"]) for r in rows if (r["group"], r["rival"]) == (group, rival)]
        axes.plot(*zip(*points, strict=True), "o-", label=f"{group}: {rival}", markersize=4)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlabel="logits", ylabel="times faster than the other")
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120, bbox_inches="tight")


def measured(cases: str, only: list[str] | None = None) -> dict[str, list[dict]]:
    """The rows of one module, by a process of its own; of these contests alone if they are named."""
    command = [sys.executable, __file__, "--measure", cases, *(only or [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, list[dict]] = json.loads(done.stdout.splitlines()[-1])
    return found


def check(chosen: list[str]) -> int:
    """Compare with the last result, and name what lost more than `LOSS`. The exit status.

    A row is named if it has lost in two measurements, the second of them of its contest alone: a machine with other
    work to do disturbs one.
    """
    last, now = json.loads(RESULTS.read_text()), about()
    if kind(last["about"]) != kind(now):
        print(f"the last result is of another kind of machine: {kind(last['about'])}, this one: {kind(now)}")
        return 2
    known = {name_of(row): row for row in last["rows"]}
    lost, names = [], []
    for cases in chosen:
        rows = measured(cases)["rows"]
        names += [name_of(row) for row in rows]
        slower = {name_of(row): old for row, old in slower_than(known, rows)}
        if slower:
            again = measured(cases, sorted({f"{group}, {size}" for group, size, _ in slower}))["rows"]
            lost += slower_than(slower, again)
    for row, before in lost:
        print(f"{', '.join(name_of(row))}: {before['ratio']:.2f} at {last['about']['commit']}, now {row['ratio']:.2f}")
    new = [name for name in names if name not in known]
    print(f"{len(lost)} of {len(names) - len(new)} ratios lost more than {LOSS:.0%} since {last['about']['commit']}")
    if new:
        print(f"{len(new)} are not in the last result, such as {', '.join(new[0])}")
    return 1 if lost else 0


def kind(described: dict[str, str]) -> str:
    return f"{described['machine']}; {described['ours']}"


def name_of(row: dict) -> tuple[str, str, str]:
    return row["group"], row["size"], row["rival"]


def slower_than(known: dict[tuple[str, str, str], dict], rows: list[dict]) -> list[tuple[dict, dict]]:
    """The rows whose ratio is worse than the known one by more than `LOSS`, each with the known one."""
    pairs = [(row, known[name_of(row)]) for row in rows if name_of(row) in known]
    return [(new, old) for new, old in pairs if loss_of(new["ratio"], old["ratio"], new["is_floor"]) > LOSS]


def loss_of(new: float, old: float, is_floor: bool) -> float:
    """How much longer ours takes than it did beside the same rival, less 1."""
    return (new / old if is_floor else old / new) - 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=CASES, action="append", help="these cases alone; writes no files")
    parser.add_argument("--check", action="store_true", help="compare with the last result; writes no files")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        cases, *contests = options.measure
        measure(cases, contests)
        return 0
    if options.check:
        return check(options.only or list(CASES))
    results: dict = {"about": about(), "rows": [], "memory": []}
    for cases in options.only or CASES:
        part = measured(cases)
        results["rows"] += part["rows"]
        results["memory"] += part["memory"]
    table = Table(*HEADER)
    for row in results["rows"]:
        table.add_row(*cells(row))
    Console(width=130).print(table)
    print(*(f"peak memory, {row['loss']}: {row['gradients']:.2f} gradients" for row in results["memory"]), sep="\n")
    if not options.only:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        RESULTS.with_suffix(".md").write_text(markdown(results))
        picture(results, RESULTS.with_suffix(".png"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
