"""A browser, and a server of the built site."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from browser import chromium
from built import BUILT, SITE, served, watch
from playwright.sync_api import Browser, Page


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """The address of the version that was built."""
    with served(SITE) as url:
        yield f"{url}/{BUILT.name}"


@pytest.fixture
def opened(browser: Browser, address: str) -> Iterator[Callable[..., Page]]:
    """Open a page of the site. Nothing may be missing, come from elsewhere, or be said in the console."""
    problems: list[str] = []
    contexts = []

    def open_page(name: str, **options: object) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        watch(page, address.rpartition("/")[0], problems)
        page.goto(f"{address}/{name}", wait_until="load")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []
