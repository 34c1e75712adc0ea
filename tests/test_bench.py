"""The comparison of two results of `make bench`."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

RUN = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "run.py"))


@pytest.mark.parametrize(
    ("before", "after", "is_floor", "lost"),
    [
        (2.0, 1.8, False, False),  # times faster than a rival
        (2.0, 1.7, False, True),
        (2.0, 9.0, False, False),
        (1.5, 1.7, True, False),  # times the floor
        (1.5, 1.8, True, True),
        (1.5, 0.9, True, False),
    ],
)
def test_what_lost_more_than_15_percent_is_named(before: float, after: float, is_floor: bool, lost: bool) -> None:
    old, new = (
        {"group": "torch binary", "size": "1e3", "rival": "triad", "ratio": ratio, "is_floor": is_floor}
        for ratio in (before, after)
    )
    slower_than = RUN["slower_than"]
    assert slower_than({RUN["name_of"](old): old}, [new]) == ([(new, old)] if lost else [])
    assert slower_than({}, [new]) == []  # a new contest has nothing to lose
