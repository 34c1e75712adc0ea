"""The page that a report becomes: as text, and in a browser."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from browser import chromium
from example_report import example
from playwright.sync_api import Browser, Page, expect

from focal_loss._report import numbers
from focal_loss._report.data import Bins, Comparison, Curve, Outcomes, Report, Trial
from focal_loss._report.render import render

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    '"><img src=x onerror=alert(3)>',
    "$\\frac{1}{2}$ _a_^b",
    "{{ 7 * 7 }} {% raw %}",
    "</title></style><b>&amp;",
    "\x00\x1b\ud800\u2028\u202e<!--",
    "a" * 300,
]
SECTIONS = [
    "Focal against cross-entropy",
    "How well they rank",
    "Reliability, before and after calibration",
    "Which gamma",
    "What a threshold costs",
    "Feature importance",
    "To make this again",
]


class Content(HTMLParser):
    """The tags of a page, its texts, and what its attributes say."""

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


def hostile() -> Report:
    """Every string of the report is one that would like to be more than text."""
    plain, name = example(), HOSTILE[0]
    pairs = [(text, text) for text in HOSTILE]
    return dataclasses.replace(
        plain,
        title=HOSTILE[5],
        answer=HOSTILE[1],
        paragraphs=HOSTILE,
        facts=pairs,
        comparisons=[dataclasses.replace(plain.comparisons[0], name=text) for text in HOSTILE],
        precision_recall=dict.fromkeys(HOSTILE, plain.precision_recall["focal"]),
        roc=dict.fromkeys(HOSTILE, plain.roc["focal"]),
        reliability=dict.fromkeys(HOSTILE, plain.reliability["cross-entropy"]),
        metric=HOSTILE[6] + name + HOSTILE[3],
        importance=[(text, 1.0 - k / 10) for k, text in enumerate(HOSTILE)],
        settings=pairs,
        command=f"focal-loss fit --target '{HOSTILE[1]}'",
        versions=pairs,
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def report() -> Report:
    return example()


@pytest.fixture(scope="module")
def file(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render(report), "utf-8")
    return path


@pytest.fixture
def page(browser: Browser, file: Path) -> Iterator[Page]:
    """The page from its file. It may ask for nothing else and say nothing to the console."""
    yield from opened(browser, file)


def opened(browser: Browser, file: Path, **options: object) -> Iterator[Page]:
    context = browser.new_context(**options)
    found, said, asked = context.new_page(), [], []
    found.on("console", lambda message: said.append(message.text))
    found.on("pageerror", lambda error: said.append(str(error)))
    found.on("dialog", lambda dialog: said.append(dialog.message))
    found.on("request", lambda request: asked.append(request.url))
    found.goto(file.as_uri())
    yield found
    assert said == []
    assert asked == [file.as_uri()]
    context.close()


def texts(page: Page) -> dict[str, str]:
    """What stands in each place of the page that the script fills; all places of one name say the same."""
    found: dict[str, set[str]] = {}
    for name, text in page.eval_on_selector_all("[data-show]", "all => all.map(e => [e.dataset.show, e.textContent])"):
        found.setdefault(name, set()).add(text)
    assert all(len(values) == 1 for values in found.values())
    return {name: values.pop() for name, values in found.items()}


def chosen(report: Report) -> int:
    return report.outcomes.thresholds.index(report.threshold)


# As text


def test_all_sections_are_there_the_answer_first(report: Report) -> None:
    content = render(report)
    places = [content.index(report.answer), *(content.index(f">{name}</h2>") for name in SECTIONS)]
    assert places == sorted(places)
    assert all(paragraph in content for paragraph in report.paragraphs)
    assert content.count('role="img"') == 7
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
    row = Comparison("metric", 0.5 + middle, 0.5, low, high, upward)
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


# In a browser


def test_without_a_script_it_says_the_same(browser: Browser, file: Path, page: Page) -> None:
    context = browser.new_context(java_script_enabled=False)
    still = context.new_page()
    still.goto(file.as_uri())
    expect(still.locator("#threshold")).to_be_hidden()
    expect(page.locator("#threshold")).to_be_visible()
    for name in ("#summary", ".confusion", "main"):
        before, after = still.locator(name).text_content(), page.locator(name).text_content()
        assert before == after
    context.close()


def marks(page: Page) -> dict[str, tuple[float, float]]:
    code = "all => all.map(e => [e.dataset.mark, parseFloat(e.getAttribute('cx')), parseFloat(e.getAttribute('cy'))])"
    return {name: (x, y) for name, x, y in page.eval_on_selector_all("[data-mark]", code)}


def test_the_slider_moves_the_numbers(report: Report, page: Page) -> None:
    slider, outcomes = page.get_by_role("slider", name="Threshold"), report.outcomes
    assert texts(page) == numbers.at(outcomes, chosen(report), 1.0, 20.0)
    for k in (0, 17, 150, len(outcomes.thresholds) - 1):
        slider.fill(str(k))
        assert texts(page) == numbers.at(outcomes, k, 1.0, 20.0)
        positives, negatives = outcomes.tp[0] + outcomes.fn[0], outcomes.fp[0] + outcomes.tn[0]
        x, y = marks(page)["roc"]
        assert (x, y) == pytest.approx((100 * outcomes.fp[k] / negatives, 100 - 100 * outcomes.tp[k] / positives))
        assert slider.get_attribute("aria-valuetext") == numbers.short(outcomes.thresholds[k])


def test_a_threshold_that_flags_nothing_has_no_precision(browser: Browser, report: Report, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    outcomes = Outcomes([0.5, 0.9], [2, 0], [1, 0], [1, 3], [6, 7])
    path.write_text(render(dataclasses.replace(report, outcomes=outcomes, threshold=0.9)), "utf-8")
    for page in opened(browser, path):
        expect(page.locator('[data-mark="pr"]')).to_be_hidden()
        assert texts(page) == numbers.at(outcomes, 1, 1.0, 20.0)
        assert texts(page)["precision"] == "–"
        page.get_by_role("slider", name="Threshold").press("Home")
        expect(page.locator('[data-mark="pr"]')).to_be_visible()


def test_the_script_draws_what_stood_there(browser: Browser, file: Path, page: Page) -> None:
    context = browser.new_context(java_script_enabled=False)
    still = context.new_page()
    still.goto(file.as_uri())
    lines = (found.locator("[data-line=cost]").get_attribute("points") or "" for found in (still, page))
    drawn, again = ([float(x) for x in re.split("[ ,]", line)] for line in lines)
    assert drawn == pytest.approx(again, abs=0.11)
    before = re.findall(r'data-mark="(\w+)" r="\d" cx="([\d.]+)%" cy="([\d.]+)%"', file.read_text("utf-8"))
    after = marks(page)
    assert len(before) == len(after) == 4
    for name, x, y in before:
        assert after[name] == pytest.approx((float(x), float(y)), abs=0.006)
    context.close()


def test_keys_move_it(report: Report, page: Page) -> None:
    slider, k = page.get_by_role("slider", name="Threshold"), chosen(report)
    slider.focus()
    for key, steps in (("ArrowRight", 1), ("ArrowRight", 1), ("ArrowLeft", -1)):
        page.keyboard.press(key)
        k += steps
        assert texts(page) == numbers.at(report.outcomes, k, 1.0, 20.0)
    page.keyboard.press("End")
    assert texts(page) == numbers.at(report.outcomes, len(report.outcomes.thresholds) - 1, 1.0, 20.0)
    page.keyboard.press("Tab")
    expect(page.get_by_label("Cost of a false alarm")).to_be_focused()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineWidth") == "3px"


def test_costs_move_the_best_threshold(report: Report, page: Page) -> None:
    alarm, miss = page.get_by_label("Cost of a false alarm"), page.get_by_label("Cost of a miss")
    seen = set()
    for fp, fn in ((1.0, 2.0), (1.0, 200.0), (7.5, 2.5)):
        alarm.fill(str(fp))
        miss.fill(str(fn))
        assert texts(page) == numbers.at(report.outcomes, chosen(report), fp, fn)
        page.get_by_role("button", name="Go to the lowest cost").click()
        best = numbers.best(report.outcomes, fp, fn)
        assert texts(page) == numbers.at(report.outcomes, best, fp, fn)
        assert marks(page)["best"] == marks(page)["cost"]
        seen.add(texts(page)["threshold"])
        page.get_by_role("slider", name="Threshold").fill(str(chosen(report)))
    assert len(seen) == 3


def test_a_cost_that_is_none_changes_nothing(report: Report, page: Page) -> None:
    alarm, rule = page.get_by_label("Cost of a false alarm"), page.get_by_text("A cost must be above 0.")
    for wrong in ("", "0", "-1"):
        alarm.fill(wrong)
        expect(rule).to_be_visible()
        assert texts(page) == numbers.at(report.outcomes, chosen(report), 1.0, 20.0)
    alarm.fill("4")
    expect(rule).to_be_hidden()
    assert texts(page) == numbers.at(report.outcomes, chosen(report), 4.0, 20.0)


def test_a_change_is_announced(page: Page) -> None:
    summary = page.locator("#summary")
    assert summary.get_attribute("aria-live") == "polite"
    before = summary.text_content() or ""
    page.get_by_role("slider", name="Threshold").press("Home")
    expect(summary).not_to_have_text(before)


@pytest.mark.parametrize("content", ["example", "hostile"])
@pytest.mark.parametrize("width", [320, 360, 768, 1600])
def test_nothing_runs_over_the_side(browser: Browser, file: Path, tmp_path: Path, width: int, content: str) -> None:
    if content == "hostile":
        file = tmp_path / "report.html"
        file.write_text(render(hostile()), "utf-8")
    for page in opened(browser, file, viewport={"width": width, "height": 800}):
        assert page.evaluate("document.documentElement.scrollWidth") == width
        box = page.locator("header p").last.bounding_box()
        assert box is not None
        assert box["width"] < 700


def test_hostile_names_run_nothing(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(render(hostile()), "utf-8")
    for page in opened(browser, path):
        for text in HOSTILE[:5]:
            assert page.get_by_role("rowheader", name=text, exact=True).count() >= 2
        assert page.locator("main img, main b:not(label b)").count() == 0
        page.get_by_role("slider", name="Threshold").press("Home")
        assert page.locator("#command").text_content() == hostile().command


def test_the_policy_forbids_other_scripts(browser: Browser, file: Path, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    content = file.read_text("utf-8")
    path.write_text(
        content.replace("</main>", "<p id=late>-</p><script>late.textContent = 'ran'</script></main>"), "utf-8"
    )
    page = browser.new_page()
    with page.expect_event("console", lambda message: "Content Security Policy" in message.text):
        page.goto(path.as_uri())
    expect(page.locator("#late")).to_have_text("-")
    page.close()


def test_dark_and_light(browser: Browser, file: Path) -> None:
    found = {}
    for scheme in ("light", "dark"):
        for page in opened(browser, file, color_scheme=scheme):
            color = "e => [getComputedStyle(e).backgroundColor, getComputedStyle(e).color]"
            line = "e => getComputedStyle(e).stroke"
            found[scheme] = [
                *page.eval_on_selector("body", color),
                page.eval_on_selector("figure path.stroke-baseline", line),
                page.eval_on_selector("[data-line=cost]", line),
            ]
    assert found["light"][0] == "rgb(255, 255, 255)"
    assert all(light != dark for light, dark in zip(*found.values(), strict=True))


def test_printed(browser: Browser, file: Path) -> None:
    for page in opened(browser, file, color_scheme="dark"):
        page.get_by_role("slider", name="Threshold").press("Home")
        page.emulate_media(media="print")
        expect(page.locator("#threshold")).to_be_hidden()
        expect(page.locator("#copy")).to_be_hidden()
        expect(page.locator("#summary")).to_be_visible()
        assert page.eval_on_selector("body", "e => getComputedStyle(e).backgroundColor") == "rgb(255, 255, 255)"
        assert page.eval_on_selector("section", "e => getComputedStyle(e).breakInside") == "avoid"
        assert page.pdf().startswith(b"%PDF-")


def test_the_command_is_copied(browser: Browser, file: Path, report: Report) -> None:
    for page in opened(browser, file, permissions=["clipboard-read", "clipboard-write"]):
        page.get_by_role("button", name="Copy the command").click()
        expect(page.locator("#copied")).to_have_text("Copied.")
        assert page.evaluate("navigator.clipboard.readText()") == report.command


def test_where_nothing_may_be_copied_it_is_selected(page: Page, report: Report) -> None:
    page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page.get_by_role("button", name="Copy the command").click()
    expect(page.locator("#copied")).to_have_text("Selected; copy it with Ctrl+C.")
    assert page.evaluate("String(getSelection())") == report.command


def test_everything_has_a_name(page: Page) -> None:
    assert page.locator("figure > svg").count() == page.locator("figure > svg[role=img][aria-label]").count() == 7
    for element in page.locator("input, button").all():
        expect(element).to_have_accessible_name(re.compile(r"\w"))
