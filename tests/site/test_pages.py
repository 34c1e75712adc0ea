"""Every page of the site: its links, its console, its width on a phone; search, keyboard, versions, dark pages."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from built import BUILT, PAGES, SITE, broken, page, watch
from playwright.sync_api import Browser, Page, expect

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "docs" / "_ext"))
Open = Callable[..., Page]
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


def test_the_site_has_its_pages() -> None:
    sources = (ROOT / "docs").rglob("*.md")
    wanted = {path.relative_to(ROOT / "docs").with_suffix(".html").as_posix() for path in sources}
    wanted |= {f"gallery/{path.stem}.html" for path in (ROOT / "examples" / "gallery").glob("*.py")}
    assert wanted <= set(PAGES)
    assert len(PAGES) > 250


def test_every_public_name_has_a_page_with_its_source() -> None:
    from public import DOORS, home, names

    assert {f"focal_loss.torch.compat.{file.stem}" for file in compat()} <= set(DOORS)
    for door in DOORS:
        shown = page(BUILT / "reference" / f"{door}.html").targets
        for name in names(door):
            full = home(door, name)
            assert f"generated/{full}.html#{full}" in shown, f"{name} of {door}"
            targets = page(BUILT / "reference" / "generated" / f"{full}.html").targets
            assert any(target.startswith("../../_modules/focal_loss/") for target in targets), f"{name} of {door}"


def compat() -> list[Path]:
    folder = Path(importlib.import_module("focal_loss.torch.compat").__file__).parent
    return [file for file in folder.glob("*.py") if not file.stem.startswith("_")]


def test_no_link_within_the_site_is_broken() -> None:
    found = {name: sorted(set(broken(BUILT / name, SITE))) for name in PAGES}
    assert {name: links for name, links in found.items() if links} == {}


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.html").write_text('<h1 id="here">')
    links = ("missing.html", "other.html#here", "other.html#there", "#no", "../outside.html", "http://a.example")
    (tmp_path / "page.html").write_text("".join(f'<a href="{link}">' for link in links))
    assert list(broken(tmp_path / "page.html", tmp_path)) == [links[0], links[2], links[3], links[4]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_loads_whole_and_fits_a_phone(browser: Browser, address: str, scheme: str) -> None:
    """No error, no missing file, no file from elsewhere, and no page that is wider than the phone."""
    problems: list[str] = []
    context = browser.new_context(**PHONE, color_scheme=scheme)
    shown = context.new_page()
    watch(shown, address.rpartition("/")[0], problems)
    for name in PAGES:
        shown.goto(f"{address}/{name}", wait_until="load")
        width = shown.evaluate("document.documentElement.scrollWidth")
        problems += [f"{name} is {width} wide"] if width > 360 else []
        theme = shown.evaluate("document.documentElement.dataset.theme")
        problems += [f"{name} is {theme}"] if theme != scheme else []
    context.close()
    assert problems == []


def test_pages_open_from_their_files(browser: Browser) -> None:
    """Without a server too."""
    problems: list[str] = []
    shown = browser.new_page()
    watch(shown, SITE.as_uri(), problems)
    for name in ("index.html", "curves.html", "gallery/index.html", "reference/focal_loss.torch.html"):
        shown.goto((BUILT / name).as_uri(), wait_until="load")
        expect(shown.locator("h1")).to_be_visible()
    shown.goto((SITE / "index.html").as_uri())
    expect(shown).to_have_url((BUILT / "index.html").as_uri())
    shown.close()
    assert problems == []


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("temperature", "calibration.html"),
        ("vocab_parallel_sparse_categorical_focal_loss", "reference/generated/"),
        ("ignored class", "gallery/segmentation.html"),
    ],
)
def test_search_finds_pages(opened: Open, words: str, wanted: str) -> None:
    shown = opened("index.html")
    shown.keyboard.press("Control+k")
    shown.keyboard.type(words)
    shown.keyboard.press("Enter")
    shown.wait_for_url("**/search.html?q=*")
    expect(shown.locator(f'#search-results a[href*="{wanted}"]').first).to_be_visible()


def test_a_result_has_an_excerpt(opened: Open) -> None:
    """The lines around the words, which the page of results fetches."""
    shown = opened("search.html?q=bokbokbok")
    result = shown.locator("#search-results li", has=shown.locator('a[href*="coming_from/boosting.html"]')).first
    expect(result.locator("p.context")).to_contain_text("bokbokbok")


def test_search_works_from_files(browser: Browser) -> None:
    """Pages are found, without excerpts: a browser lets no file fetch another."""
    shown = browser.new_page()
    shown.goto(f"{(BUILT / 'search.html').as_uri()}?q=bokbokbok")
    expect(shown.locator('#search-results a[href*="coming_from/boosting.html"]').first).to_be_visible()
    expect(shown.locator("#search-results p.context")).to_have_count(0)
    shown.close()


def test_tabs_by_keyboard(opened: Open) -> None:
    """Each framework's tab is reached and chosen by keys, and shows its own code."""
    shown = opened("index.html")
    shown.locator("label", has_text="NumPy").locator("xpath=preceding-sibling::input[1]").focus()
    for code in ("focal_loss.torch import FocalLoss", "jax.grad", "tf.constant", "keras.Sequential"):
        shown.keyboard.press("ArrowRight")
        expect(shown.locator("div.sd-tab-content", has_text=code)).to_be_visible()


def test_the_first_tab_stop_skips_to_the_text(opened: Open) -> None:
    shown = opened("which_loss.html")
    shown.keyboard.press("Tab")
    expect(shown.locator(":focus")).to_have_text(re.compile("Skip to main content"))
    shown.keyboard.press("Enter")
    assert shown.url.endswith("#main-content")


def test_the_scheme_is_chosen_and_kept(opened: Open) -> None:
    shown = opened("index.html", color_scheme="light")
    background = "getComputedStyle(document.body).backgroundColor"
    light = shown.evaluate(background)
    shown.locator("button.theme-switch-button:visible").click()
    shown.get_by_text("Dark", exact=True).locator("visible=true").click()
    dark = shown.evaluate(background)
    shown.goto(shown.url.replace("index.html", "guide.html"))
    assert light != dark == shown.evaluate(background)


def test_versions_that_exist_are_listed(opened: Open) -> None:
    shown = opened("gallery/index.html")
    there = sorted(path.parent.name for path in SITE.glob("*/index.html"))
    assert sorted(shown.locator(".site-versions:visible option").all_inner_texts()) == there
    assert shown.locator(".site-versions:visible select").input_value() == BUILT.name


def test_another_version_is_opened(browser: Browser, address: str) -> None:
    """Where the list has one more version, choosing it opens its start page, beside this one."""
    shown = browser.new_page()
    shown.route("**/versions.js", lambda route: route.fulfill(body='window.focalLossVersions = ["9.9.9", "1.0.0"];'))
    shown.route("**/9.9.9/index.html", lambda route: route.fulfill(body="the other", content_type="text/html"))
    shown.goto(f"{address}/losses/README.html")
    shown.locator(".site-versions:visible select").select_option("9.9.9")
    shown.wait_for_url(f"{address.rpartition('/')[0]}/9.9.9/index.html")
    shown.close()
