"""A contest: callables that do the same job, timed in turns.

Each repeat runs every contestant once, so that other work of the machine affects all of them alike; the median of each
counts. Only ratios within one contest are meaningful.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

SECONDS = 2.0  # approximate time of a contest
FEWEST, MOST = 9, 3000


@dataclass
class Contest:
    """`ours` against `rivals`."""

    group: str
    size: str
    ours: Callable[[], object]
    rivals: dict[str, Callable[[], object]]
    floor: tuple[str, ...] = ("triad",)  # rivals that are lower bounds on the time
    warm: int = 2  # untimed runs before the first timed one
    fewest: int = FEWEST

    def run(self) -> list[dict[str, object]]:
        """One row per rival: median milliseconds, and how many times faster ours is, or how many times as long as the
        floor it takes.
        """
        contestants = {"ours": self.ours, **self.rivals}
        for run in contestants.values():  # compile, fill pools and caches
            for _ in range(self.warm):
                run()
        times: dict[str, list[float]] = {name: [] for name in contestants}
        started = time.perf_counter()
        while len(times["ours"]) < self.fewest or (
            len(times["ours"]) < MOST and time.perf_counter() - started < SECONDS
        ):
            for name, run in contestants.items():
                before = time.perf_counter()
                run()
                times[name].append(time.perf_counter() - before)
        milliseconds = {name: 1e3 * statistics.median(t) for name, t in times.items()}
        ours = milliseconds["ours"]
        return [
            {
                "group": self.group,
                "size": self.size,
                "rival": name,
                "ours_ms": ours,
                "rival_ms": milliseconds[name],
                "ratio": ours / milliseconds[name] if name in self.floor else milliseconds[name] / ours,
                "is_floor": name in self.floor,
            }
            for name in self.rivals
        ]
