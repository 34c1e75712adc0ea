"""The built site: its pages, their links, and a server of its files."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from playwright.sync_api import Page as BrowserPage
from playwright.sync_api import Request

import focal_loss

SITE = Path(__file__).parents[2] / "build" / "site"
BUILT = SITE / focal_loss.__version__
FILES = (path.relative_to(BUILT).as_posix() for path in BUILT.rglob("*.html"))
PAGES = sorted(name for name in FILES if not name.startswith("_static/"))
LINKS = {"a": "href", "link": "href", "script": "src", "img": "src", "source": "src", "object": "data"}


class Page(HTMLParser):
    """The targets of the links of a page, and the anchors that others may link to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == LINKS.get(tag) and value:
                self.targets.append(value)
            if name == "id" or (tag == "a" and name == "name"):
                self.anchors.add(value or "")


@functools.cache
def page(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def broken(file: Path, root: Path) -> Iterator[str]:
    """The links of a file to places in `root` that are not there, and those that leave it as no web address does."""
    for target in page(file).targets:
        url, anchor = urldefrag(target)
        if urlsplit(url).scheme in ("http", "https", "mailto", "data"):
            continue
        path = unquote(urlsplit(urljoin(file.as_uri(), url)).path) if url else str(file)
        found = Path(path)
        there = found.is_file() and found.is_relative_to(root)
        if there and anchor and found.suffix == ".html":
            there = unquote(anchor) in page(found).anchors
        if not there:
            yield target


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a server of a folder."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def was_not_left(asked: Request) -> bool:
    """Whether a request failed for another reason than that the next page was opened before its end."""
    return asked.failure != "net::ERR_ABORTED"


def watch(page: BrowserPage, site: str, problems: list[str]) -> None:
    """Note what goes wrong on a page."""
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("requestfailed", lambda asked: problems.append(f"failed: {asked.url}") if was_not_left(asked) else None)
    page.on("response", lambda answer: problems.append(f"{answer.status}: {answer.url}") if answer.status >= 400 else 0)
    page.on("request", lambda asked: None if asked.url.startswith((site, "data:")) else problems.append(asked.url))
