"""What the pages of `docs/` cannot say themselves, because they are read in a browser of the repository too."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

# Files of the repository, and the pages of `docs/` that include them.
PAGES = {
    "benchmarks/results/cpu.md": "benchmarks/cpu.md",
    "benchmarks/results/operations.md": "benchmarks/operations.md",
    "benchmarks/results/tables.md": "benchmarks/tables.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "RELEASE.md": "release.md",
    "SECURITY.md": "security.md",
}

# Below `docs/losses/README.md`, which `make pages` writes as plain Markdown.
LOSSES = "\n\n```{toctree}\n:hidden:\n:glob:\n\n*_*\n```\n"


def inside(app: Sphinx, name: str, source: list[str]) -> None:
    """Lead links to files outside `docs/` to the pages that include them. An `include` is no link, and stays."""
    folder = posixpath.dirname(f"docs/{name}")

    def target(found: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, found[1]))
        page = PAGES.get(path)
        return f"]({posixpath.relpath(f'docs/{page}', folder)}{found[2] or ''})" if page else found[0]

    if Path(app.env.doc2path(name)).suffix == ".md":
        source[0] = re.sub(r"\]\((\.\./[^)#\s]+)(#[^)\s]*)?\)", target, source[0])
    if name == "losses/README":
        source[0] += LOSSES


def included(_app: Sphinx, _path: Path, _parent: str, content: list[str]) -> None:
    """Lead links between files beside `docs/` to the pages that include them."""

    def target(found: re.Match[str]) -> str:
        page = PAGES.get(found[1])
        return f"](docs/{page}{found[2] or ''})" if page else found[0]

    content[0] = re.sub(r"\]\(([^/)#\s]+)(#[^)\s]*)?\)", target, content[0])


def without_last_blank_line(_app: Sphinx, document: nodes.document) -> None:
    """Shorten the examples by the blank line that keeps a fence out of a doctest's output."""
    for block in document.findall(nodes.literal_block):
        text = block.astext().rstrip()
        if block.rawsource == block.astext():
            block.rawsource = text
            block.children = [nodes.Text(text)]


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", inside)
    app.connect("include-read", included)
    app.connect("doctree-read", without_last_blank_line)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
