"""The page of a report, as text."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from example_report import HOSTILE, example, hostile

from focal_loss._command.report import numbers, swarm
from focal_loss._command.report.data import Bins, Comparison, Curve, Estimate, Outcomes, Report, Swarm, Trial
from focal_loss._command.report.render import render

SECTIONS = [
    "Focal against cross-entropy",
    "How well they rank",
    "Reliability, before and after calibration",
    "Which gamma",
    "What a threshold costs",
    "What a threshold promises",
    "Feature importance",
    "What moves a prediction",
    "The columns",
    "To make this again",
]


class Content(HTMLParser):
    """The tags, texts and attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


@pytest.fixture(scope="module")
def report() -> Report:
    return example()


def test_all_sections_are_there_the_answer_first(report: Report) -> None:
    content = render(report)
    places = [content.index(report.answer), *(content.index(f">{name}</h2>") for name in SECTIONS)]
    assert places == sorted(places)
    assert all(paragraph in content for paragraph in report.paragraphs)
    assert content.count('role="img"') == 9 + len(report.swarms)
    empty = render(dataclasses.replace(report, importance=[], facts=[], versions=[], trials=[], reliability={}))
    assert "Feature importance" not in empty


def test_it_is_small_and_the_same_each_time(report: Report) -> None:
    content = render(report)
    assert len(content.encode()) < 300_000
    assert render(example()) == content


def test_it_stays_small_for_many_rows(report: Report) -> None:
    x = np.linspace(0, 1, 300_000)
    noisy = np.clip(1 - x + np.random.default_rng(0).normal(0, 0.1, len(x)), 0, 1)
    curve = Curve(x[::-1].tolist(), noisy[::-1].tolist())
    many = [Trial(k, "focal", k / 1000, 1.0, 0.5 + 0.1 * np.sin(k)) for k in range(2000)]
    large = dataclasses.replace(report, trials=many, precision_recall={"focal": curve, "cross-entropy": curve})
    assert len(render(large).encode()) < 1_000_000


def test_it_refers_to_nothing_outside(report: Report) -> None:
    content = render(report)
    assert not re.search(r"https?:|//[a-z]|@import|xmlns|<link|<iframe|<img", content)
    for name, value in Content(content).attributes:
        assert not name.startswith("on")
        assert name != "style"
        if name in ("href", "src", "xlink:href"):
            assert value is not None
            assert value.startswith("#")
    addresses = re.findall(r"url\(([^)]*)\)", content)
    ids = re.findall(r' id="([^"]*)"', content)
    assert addresses
    assert {address.removeprefix("#") for address in addresses} <= set(ids)
    assert len(ids) == len(set(ids))


def test_names_are_text() -> None:
    plain, content = Content(render(example())), Content(render(hostile()))
    assert content.tags.count("script") == plain.tags.count("script") == 2
    assert set(content.tags) == set(plain.tags)
    for text in HOSTILE[:6]:
        assert content.texts.count(text) >= 8
    assert not re.search(r"[\x00\x1b\ud800]", "".join(content.texts))
    drawn = [text for text in content.texts if "\\frac" in text and "alert" in text]
    assert drawn
    assert HOSTILE[3] in drawn[0]


def test_data_for_the_script_does_not_end_it(report: Report) -> None:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', render(report), re.DOTALL)
    assert found
    data = json.loads(found.group(1))
    assert data["tp"] == report.outcomes.tp
    assert "<" not in found.group(1)
    assert json.loads(json.dumps(dataclasses.asdict(report)))["threshold"] == report.threshold


def test_figures_say_in_words_what_they_show(report: Report) -> None:
    names = [value for name, value in Content(render(report)).attributes if name == "aria-label"]
    assert any("Precision".lower() in name and "cross-entropy: " in name for name in names if name)
    best = max((trial for trial in report.trials if trial.loss == "focal"), key=lambda trial: trial.score)
    assert any(f"at gamma {numbers.short(best.gamma)}" in name for name in names if name)
    assert len([name for name in names if name and name.startswith("Reliability of ")]) == 3


@pytest.mark.parametrize(
    ("low", "high", "upward", "verdict"),
    [
        (0.01, 0.03, True, "focal better"),
        (0.01, 0.03, False, "focal worse"),
        (-0.03, -0.01, False, "focal better"),
        (-0.03, -0.01, True, "focal worse"),
        (-0.01, 0.03, True, "no difference shown"),
        (0.0, 0.03, True, "no difference shown"),
    ],
)
def test_a_comparison_says_who_is_better(report: Report, low: float, high: float, upward: bool, verdict: str) -> None:
    middle = (low + high) / 2
    models = {"focal": Estimate(0.5 + middle, 0.4, 0.6), "cross-entropy": Estimate(0.5, 0.4, 0.6)}
    row = Comparison("metric", models, "cross-entropy", low, high, 0.1, upward)
    assert verdict in Content(render(dataclasses.replace(report, comparisons=[row]))).texts


def test_numbers_as_text() -> None:
    assert [numbers.fixed(x, 0) for x in (0.5, 1234567, float("nan"))] == ["1", "1,234,567", "–"]
    assert numbers.fixed(0.0625, 3) == "0.063"
    assert [numbers.short(x) for x in (0, 65, 1234.5, 0.25, 0.000123456, 1.0)] == [
        "0",
        "65",
        "1,235",
        "0.25",
        "0.000123",
        "1",
    ]
    assert [numbers.signed(x, 3) for x in (0.0123, -0.5, 0.0001, -0.0001)] == ["+0.012", "−0.500", "0.000", "0.000"]


def test_what_cannot_be_shown_is_an_error(report: Report) -> None:
    for change, message in (
        ({"cost_fp": 0.0}, "`cost_fp` must be a positive number, got 0.0"),
        ({"comparisons": []}, "`comparisons` must not be empty"),
        ({"outcomes": Outcomes([], [], [], [], [])}, "`outcomes.thresholds` must not be empty"),
        ({"outcomes": Outcomes([0.5], [0], [1], [0], [3])}, "`outcomes` must count positives and negatives"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            render(dataclasses.replace(report, **change))


def test_corners_are_drawn(report: Report) -> None:
    """One threshold, one bin, one trial, a trial that failed, thresholds without odds, no flagged row."""
    trials = [Trial(0, "focal", 0.0, 1.0, 0.4), Trial(1, "focal", 2.0, 1.0, float("nan"))]
    for outcomes in (
        Outcomes([0.5], [2], [1], [1], [6]),
        Outcomes([0.0, 1.0], [3, 0], [7, 0], [0, 3], [0, 7]),
    ):
        small = dataclasses.replace(
            report,
            outcomes=outcomes,
            threshold=outcomes.thresholds[-1],
            reliability={"cross-entropy": Bins([0.0], [0.0], [10])},
            trials=trials,
            importance=[("a", 0.0)],
        )
        assert "nan" not in render(small).lower().replace("isnan", "").replace("nant", "")


@pytest.mark.parametrize(
    ("width", "expected"),
    [(3.0, 2), (0.2, 2), (0.05, 3), (0.02, 3), (0.004, 4), (0.0003, 5), (2e-5, 6), (1e-9, 6), (0.0, 4), (np.inf, 4)],
)
def test_decimals_leave_two_digits_of_the_width_of_an_interval(width: float, expected: int) -> None:
    assert numbers.decimals(Comparison("average precision", {}, "cross-entropy", 0.0, width, 0.1, True)) == expected


def test_the_floors_of_no_model_are_drawn_and_named(report: Report) -> None:
    """Precision of no model is the share of positives, 155 of 4,000; its ROC is the diagonal."""
    content = Content(render(report))
    spoken = [value for name, value in content.attributes if name == "aria-label" and value and "No model" in value]
    assert [re.search(r"No model: .*", text)[0] for text in spoken] == [
        "No model: from 0.0387 to 0.0387.",
        "No model: from 0 to 1.",
    ]
    assert "no model: the share of positives" in content.texts
    assert "no model" in content.texts


def test_many_columns_are_folded_away(report: Report) -> None:
    row = report.columns.rows[0]
    for count, folded in ((12, 0), (13, 1)):
        table = dataclasses.replace(report.columns, rows=[row] * count)
        content = Content(render(dataclasses.replace(report, columns=table, swarms=[])))
        assert content.tags.count("details") == folded
        assert ("13 columns" in content.texts) == folded
        assert content.texts.count(row.name) == count + 1


@pytest.mark.parametrize("upward", [True, False])
def test_the_history_and_the_map_of_trials(report: Report, upward: bool) -> None:
    """Best so far of 0.4, 0.6, 0.5: 0.6 if higher is better, else 0.4. The map is drawn where both numbers vary."""
    compared = [dataclasses.replace(report.comparisons[0], higher_is_better=upward)]
    trials = [Trial(k, "focal", k / 2, 1.0 + k, score) for k, score in enumerate((0.4, 0.6, 0.5))]
    trials.append(Trial(3, "focal", 1.0, 1.0, float("nan")))

    def spoken(trials: list[Trial]) -> str:
        given = dataclasses.replace(report, comparisons=compared, trials=trials)
        return " ".join(value or "" for name, value in Content(render(given)).attributes if name == "aria-label")

    said = spoken(trials)
    assert f"so far. focal: {0.6 if upward else 0.4} after 3 trials." in said
    best = "0.5 and weight 2" if upward else "0 and weight 1"
    assert f"3 trials by gamma and weight of positives; the best is at gamma {best}." in said
    for fixed in ({"gamma": 2.0}, {"pos_weight": 1.0}):
        assert "by gamma and weight" not in spoken([dataclasses.replace(trial, **fixed) for trial in trials])


def test_dots_lie_where_the_feature_moves_the_score() -> None:
    """Ten rows add nothing, one of a high value 2, one of a low value -1; the axis reaches 2 to both sides."""
    swarms = [Swarm("a", [0.0] * 10 + [2.0, -1.0], [None] * 10 + [0.9, 0.1]), Swarm("b", [0.5], [0.5])]
    first, second = (re.findall(r'stroke-(\w+)" d="([^"]*)"', text) for text in swarm.drawn(swarms))
    middle, *dots = first
    assert middle == ("muted", "M300 0v34")
    places = {style: [tuple(map(float, dot)) for dot in re.findall(r"M(\d+) ([\d.]+)h0", path)] for style, path in dots}
    assert places["focal"] == [(596, 17)]
    assert places["baseline"] == [(152, 17)]
    assert [x for x, _ in places["muted"]] == [300] * 10
    heights = [y for _, y in places["muted"]]
    assert len(set(heights)) == 10
    assert 0 <= min(heights) < 17 < max(heights) <= 34
    assert second[1][0] == "line"


def test_swarms_stay_small(report: Report) -> None:
    rng = np.random.default_rng(0)
    many = [Swarm("a", rng.normal(size=500).tolist(), rng.random(500).tolist()) for _ in range(10)]
    without = len(render(dataclasses.replace(report, swarms=[])).encode())
    assert 10_000 < len(render(dataclasses.replace(report, swarms=many)).encode()) - without < 150_000
