"""The comparison of two results of `make bench`."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.needs("rich")


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "run.py"))


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
def test_what_lost_more_than_15_percent_is_named(
    before: float, after: float, is_floor: bool, lost: bool, script: dict[str, Any]
) -> None:
    old, new = (
        {"group": "torch binary", "size": "1e3", "rival": "triad", "ratio": ratio, "is_floor": is_floor}
        for ratio in (before, after)
    )
    slower_than = script["slower_than"]
    assert slower_than({script["name_of"](old): old}, [new]) == ([(new, old)] if lost else [])
    assert slower_than({}, [new]) == []  # a new contest has nothing to lose


def rows(*ratios: float) -> dict[str, list[dict[str, object]]]:
    """The result of one contest, by rival."""
    each = zip("ABC", ratios, strict=False)
    return {"rows": [{"group": "g", "size": "1e3", "rival": r, "ratio": x, "is_floor": False} for r, x in each]}


@pytest.mark.parametrize(("again", "lost"), [(rows(2.0, 1.0), 0), (rows(1.0, 2.0), 1)])
def test_a_ratio_is_named_if_it_lost_twice(
    again: dict[str, list[dict[str, object]]],
    lost: int,
    script: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """The second measurement is of the whole contest, in which another rival may happen to lose."""
    check, about = script["check"], {"machine": "m", "ours": "o", "commit": "c"}
    (tmp_path / "cpu.json").write_text(json.dumps({"about": about} | rows(2.0, 2.0)))
    measurements = iter([rows(1.0, 2.0, 5.0), again])
    monkeypatch.setitem(check.__globals__, "RESULTS", tmp_path / "cpu.json")
    monkeypatch.setitem(check.__globals__, "about", lambda: about)
    monkeypatch.setitem(check.__globals__, "measured", lambda *_: next(measurements))
    assert check(["torch"]) == lost
    said = capsys.readouterr().out
    assert f"{lost} of 2 ratios lost" in said
    assert "1 are not in the last result, such as g, 1e3, C" in said
