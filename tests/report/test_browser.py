"""The page of a report in a browser."""

from __future__ import annotations

import csv
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import chromium
from example_report import HOSTILE, example, hostile
from playwright.sync_api import Browser, Page, expect

from focal_loss._command.report import numbers
from focal_loss._command.report.data import Outcomes, Report
from focal_loss._command.report.render import render


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
    """The page, opened from its file. It must request nothing else and log nothing to the console."""
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


@pytest.mark.parametrize("name", ["pr", "roc", "cost"])
def test_values_under_the_pointer(page: Page, report: Report, name: str) -> None:
    """Where the ring lies, the pointer reads the chosen threshold; arrow keys step on from there."""
    outcomes, reading = report.outcomes, page.locator(f"[data-reading={name}]")
    expect(reading).to_have_text("")

    def said(k: int) -> re.Pattern[str]:
        found = numbers.at(outcomes, k, 1.0, 20.0)
        start = f"At {found['threshold']}: precision {found['precision']}, recall {found['recall']}, "
        return re.compile(re.escape(start) + f".*cost {found['cost']}[.]$")

    page.locator(f'[data-mark="{name}"]').hover(force=True)
    expect(reading).to_have_text(said(chosen(report)))
    page.mouse.move(0, 0)
    expect(reading).to_have_text("")
    figure = page.locator(f'figure > svg:has([data-mark="{name}"])')
    figure.press("ArrowRight")
    figure.press("ArrowRight")
    expect(reading).to_have_text(said(chosen(report) + 2))
    figure.press("ArrowLeft")
    expect(reading).to_have_text(said(chosen(report) + 1))
    page.keyboard.press("Tab")
    expect(reading).to_have_text("")


def texts(page: Page) -> dict[str, str]:
    """The text of each place that the script fills. All places of one name must have the same text."""
    found: dict[str, set[str]] = {}
    for name, text in page.eval_on_selector_all("[data-show]", "all => all.map(e => [e.dataset.show, e.textContent])"):
        found.setdefault(name, set()).add(text)
    assert all(len(values) == 1 for values in found.values())
    return {name: values.pop() for name, values in found.items()}


def chosen(report: Report) -> int:
    return report.outcomes.thresholds.index(report.threshold)


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


def test_sums_of_weights_have_three_digits_or_all_before_the_point(
    browser: Browser, report: Report, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    outcomes = Outcomes([0.2, 0.5], [2.3456, 0.01234], [123_456.7, 5.5], [0.3, 2.63326], [0.1, 123_451.3])
    path.write_text(render(dataclasses.replace(report, outcomes=outcomes, threshold=0.2)), "utf-8")
    for page in opened(browser, path):
        assert texts(page) == numbers.at(outcomes, 0, 1.0, 20.0)
        page.get_by_role("slider", name="Threshold").press("End")
        found = texts(page)
        assert found == numbers.at(outcomes, 1, 1.0, 20.0)
        assert (found["tp"], found["tn"]) == ("0.0123", "123,451")


def test_the_script_draws_what_stood_there(browser: Browser, file: Path, page: Page) -> None:
    context = browser.new_context(java_script_enabled=False)
    still = context.new_page()
    still.goto(file.as_uri())
    lines = (found.locator("[data-line=cost]").get_attribute("points") or "" for found in (still, page))
    drawn, again = ([float(x) for x in re.split("[ ,]", line)] for line in lines)
    assert drawn == pytest.approx(again, abs=0.11)
    before = re.findall(r'data-mark="(\w+)" r="\d" cx="([\d.]+)%" cy="([\d.]+)%"', file.read_text("utf-8"))
    after = {name: at for name, at in marks(page).items() if not name.endswith("-read")}
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
        assert not page.get_by_text("61 categories").evaluate("e => e.checkVisibility()")
        page.emulate_media(media="print")
        expect(page.locator("#threshold")).to_be_hidden()
        expect(page.locator("#copy")).to_be_hidden()
        expect(page.locator("#summary")).to_be_visible()
        assert page.get_by_text("61 categories").evaluate("e => e.checkVisibility()"), "what is folded away is printed"
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
    assert page.locator("figure > svg").count() == page.locator("figure > svg[role=img][aria-label]").count() == 9
    for element in page.locator("input, button").all():
        expect(element).to_have_accessible_name(re.compile(r"\w"))


def test_the_curves_are_downloaded(page: Page, report: Report) -> None:
    with page.expect_download() as download:
        page.get_by_role("button", name="as CSV").press("Enter")
    assert download.value.suggested_filename == "curves.csv"
    rows = list(csv.DictReader(Path(download.value.path()).read_text("utf-8").splitlines()))
    outcomes = report.outcomes
    assert [float(row["threshold"]) for row in rows] == outcomes.thresholds
    for name in ("tp", "fp", "fn", "tn"):
        assert [int(row[name]) for row in rows] == getattr(outcomes, name)
    row, k = rows[150], 150
    assert float(row["precision"]) == outcomes.tp[k] / (outcomes.tp[k] + outcomes.fp[k])
    assert float(row["recall"]) == outcomes.tp[k] / 155
    assert float(row["false_positive_rate"]) == outcomes.fp[k] / 3845
