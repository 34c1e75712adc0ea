"""The pages of the reference: one for each module, from its `__all__`, and one for each name."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

from numpydoc.docscrape_sphinx import SphinxDocString
from public import DOORS, GROUPS, home, names
from sphinx.application import Sphinx

import focal_loss

MORE = {
    "focal_loss": """The Keras losses are names of this package too: ``focal_loss.BinaryFocalLoss`` is
:class:`focal_loss.keras.losses.BinaryFocalLoss`, and so for every class there. They are imported with their first use,
because they need Keras.""",
}


def listed(door: str, title: str, chosen: list[str]) -> str:
    """A section with a table of names, whose pages are written too, and links to those of other modules."""
    text = f"\n{title}\n{'-' * len(title)}\n"
    own = [name for name in chosen if home(door, name) == f"{door}.{name}"]
    if own:
        text += "\n.. autosummary::\n   :toctree: generated\n   :nosignatures:\n\n"
        text += "".join(f"   {name}\n" for name in own)
    others = [name for name in chosen if name not in own]
    return text + "".join(f"\n``{name}`` is :obj:`{home(door, name)}`.\n" for name in others)


def page(door: str) -> str:
    """The page of a module: its docstring, and a table of its classes and one of its functions."""
    module, found = importlib.import_module(door), names(door)
    classes = [name for name in found if inspect.isclass(getattr(module, name))]
    functions = [name for name in found if name not in classes]
    text = f"{door}\n{'=' * len(door)}\n\n.. automodule:: {door}\n   :no-members:\n\n.. currentmodule:: {door}\n"
    text += f"\n{MORE[door]}\n" if door in MORE else ""
    for title, chosen in (("Classes", classes), ("Functions", functions)):
        text += listed(door, title, chosen) if chosen else ""
    return text


def index() -> str:
    text = "Reference\n=========\n\n"
    text += f"Every public name of focal_loss {focal_loss.__version__}, by the module that it is imported from.\n"
    for title, doors in GROUPS.items():
        rows = "".join(f"   {door}\n" for door in doors)
        text += f"\n{title}\n{'-' * len(title)}\n\n.. autosummary::\n\n{rows}\n.. toctree::\n   :hidden:\n\n{rows}"
    return text


def write(app: Sphinx, _config: object) -> None:
    """Write the pages into `docs/reference`, before Sphinx looks which pages there are."""
    folder = Path(app.srcdir) / "reference"
    folder.mkdir(exist_ok=True)
    for name, text in {"index": index(), **{door: page(door) for door in DOORS}}.items():
        file = folder / f"{name}.rst"
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
    wanted = {home(door, name) for door in DOORS for name in names(door)}
    for file in (folder / "generated").glob("*.rst"):
        if file.stem not in wanted:
            file.unlink()


def is_generated(_app: Sphinx, _kind: str, name: str, _what: object, _skip: bool, _options: object) -> bool | None:
    """Whether a method is one of those that scikit-learn gives to every estimator for its metadata routing."""
    return True if re.fullmatch(r"set_\w+_request", name) else None


def link_pages(_app: Sphinx, _kind: str, _name: str, _what: object, _options: object, lines: list[str]) -> None:
    """Link the pages of `docs/` that a docstring names."""
    lines[:] = [re.sub(r"`*\bdocs/([\w/]+)\.md`*", r":doc:`/\1`", line) for line in lines]


def name_in_full(_app: Sphinx, page: str, _template: str, context: dict[str, object], _document: object) -> None:
    """Give the window of a name's page its full name; the heading is short, for the sidebar."""
    if page.startswith("reference/generated/"):
        context["title"] = page.rpartition("/")[2]


# numpydoc would print the first line of a property, of LightGBM for example, in place of what the docstring says of it.
described = SphinxDocString._process_param
SphinxDocString._process_param = lambda self, name, text, _: described(self, name, text, False)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", write)
    app.connect("autodoc-skip-member", is_generated)
    app.connect("autodoc-process-docstring", link_pages, priority=400)  # before numpydoc
    app.connect("html-page-context", name_in_full)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
