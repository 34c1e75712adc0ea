"""The pages of the reference: one for each module, from its `__all__`, and one for each name."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterable
from pathlib import Path

from numpydoc.docscrape_sphinx import SphinxDocString
from sphinx.application import Sphinx

import focal_loss

COMPAT = ("fvcore", "kornia", "mmdet", "monai", "smp", "timm", "transformers", "ultralytics")
GROUPS = {
    "The package": ("focal_loss",),
    "Frameworks": (
        "focal_loss.numpy",
        "focal_loss.torch",
        "focal_loss.jax",
        "focal_loss.tensorflow",
        "focal_loss.keras.losses",
        "focal_loss.keras.metrics",
    ),
    "Boosted trees": ("focal_loss.lightgbm", "focal_loss.xgboost", "focal_loss.catboost", "focal_loss.sklearn"),
    "Probabilities, weights and schedules": (
        "focal_loss.calibration",
        "focal_loss.weights",
        "focal_loss.schedules",
    ),
    "Calls of other libraries": tuple(f"focal_loss.torch.compat.{name}" for name in COMPAT),
}
DOORS = tuple(door for doors in GROUPS.values() for door in doors)
MORE = {
    "focal_loss": """The Keras losses are names of this package too: ``focal_loss.BinaryFocalLoss`` is
:class:`focal_loss.keras.losses.BinaryFocalLoss`, and so for every class there. They are imported with their first use,
because they need Keras.""",
}


def names(door: str) -> list[str]:
    """The public names of a module that are functions or classes, in the order of the alphabet."""
    module = importlib.import_module(door)
    return sorted(name for name in module.__all__ if callable(getattr(module, name)))


def listed(door: str, title: str, chosen: Iterable[str]) -> str:
    rows = "".join(f"   {name}\n" for name in chosen)
    return f"\n{title}\n{'-' * len(title)}\n\n.. autosummary::\n   :toctree: generated\n   :nosignatures:\n\n{rows}"


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


def is_generated(_app: Sphinx, _kind: str, name: str, _what: object, _skip: bool, _options: object) -> bool | None:
    """Whether a method is one of those that scikit-learn gives to every estimator for its metadata routing."""
    return True if re.fullmatch(r"set_\w+_request", name) else None


def link_pages(_app: Sphinx, _kind: str, _name: str, _what: object, _options: object, lines: list[str]) -> None:
    """Link the pages of `docs/` that a docstring names."""
    lines[:] = [re.sub(r"`*\bdocs/(\w+)\.md`*", r":doc:`/\1`", line) for line in lines]


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
