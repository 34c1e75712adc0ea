"""``make bench``: every contest, one table, into benchmarks/results.

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
CASES = ("torch", "family", "numpy", "jax", "tensorflow", "boosting")


def measure(cases: str) -> None:
    """The rows of one module, measured in a process of its own, whose last line of output is JSON."""
    module = importlib.import_module(f"cases_{cases}")
    rows = []
    for contest in module.contests():
        rows += contest.run()
        print(f"{contest.group}, {contest.size}", file=sys.stderr)
    print(json.dumps({"rows": rows, "memory": module.memory() if hasattr(module, "memory") else []}))


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


def verdict(row: dict) -> str:
    if row["asked"] is None:
        return ""
    return "yes" if (row["ratio"] <= row["asked"]) == row["is_floor"] or row["ratio"] == row["asked"] else "no"


HEADER = ("what", "size", "against", "ours ms", "theirs ms", "ratio", "asked", "met")


def cells(row: dict) -> tuple[str, ...]:
    asked = "" if row["asked"] is None else f"{'<=' if row['is_floor'] else '>='} {row['asked']:g}"
    times = (f"{row[k]:.3g}" for k in ("ours_ms", "rival_ms"))
    return (row["group"], row["size"], row["rival"], *times, f"{row['ratio']:.2f}", asked, verdict(row))


def markdown(results: dict) -> str:
    lines = [f"- {k}: {v}" for k, v in results["about"].items()]
    lines += ["", f"| {' | '.join(HEADER)} |", "|---|---|---|---|---|---|---|---|"]
    lines += [f"| {' | '.join(cells(row))} |" for row in results["rows"]]
    lines += ["", "| memory at the peak of forward + backward, 1e7 logits | in gradients |", "|---|---|"]
    lines += [f"| {row['loss']} | {row['gradients']:.2f} |" for row in results["memory"]]
    return "\n".join(["# Benchmarks", "", *lines, ""])


def picture(results: dict, path: Path) -> None:
    """Plot how many times faster ours is than each rival, by size."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [
        row
        for row in results["rows"]
        if not row["is_floor"] and row["size"].startswith("1e") and " " not in row["size"]
    ]
    figure, axes = pyplot.subplots(figsize=(8, 4.5))
    for group, rival in dict.fromkeys((row["group"], row["rival"]) for row in rows):
        points = [(float(r["size"]), r["ratio"]) for r in rows if (r["group"], r["rival"]) == (group, rival)]
        axes.plot(*zip(*points, strict=True), "o-", label=f"{group.split(',')[0]}: {rival}", markersize=4)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlabel="logits", ylabel="times faster than the other")
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=CASES, action="append", help="measure these cases alone; writes no files")
    parser.add_argument("--measure", choices=CASES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        return measure(options.measure)
    results: dict = {"about": about(), "rows": [], "memory": []}
    for cases in options.only or CASES:
        command = [sys.executable, __file__, "--measure", cases]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        part = json.loads(done.stdout.splitlines()[-1])
        results["rows"] += part["rows"]
        results["memory"] += part["memory"]
    table = Table(*HEADER)
    for row in results["rows"]:
        table.add_row(*cells(row))
    Console(width=130).print(table)
    print(*(f"peak memory, {row['loss']}: {row['gradients']:.2f} gradients" for row in results["memory"]), sep="\n")
    if not options.only:
        (HERE / "results" / "cpu.json").write_text(json.dumps(results, indent=1) + "\n")
        (HERE / "results" / "cpu.md").write_text(markdown(results))
        picture(results, HERE / "results" / "cpu.png")
    return None


if __name__ == "__main__":
    main()
