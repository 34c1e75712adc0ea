"""From a figure of matplotlib to inline SVG that takes its colors from the page and refers to nothing outside.

Matplotlib writes `style` attributes, which the page's policy forbids and no style sheet overrides. Each becomes an
attribute of its own, or, where it is a color of `PALETTE`, a class that the page's style sheet gives its color.
"""

from __future__ import annotations

import io
import re
import warnings
from xml.etree import ElementTree

import matplotlib.style
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["PALETTE", "Element", "canvas", "inline", "speakable", "viewport"]

Element = ElementTree.Element

PALETTE = {
    "ink": "#1c2126",
    "muted": "#5b646d",
    "line": "#dfe3e8",
    "paper": "#ffffff",
    "focal": "#0a5fc4",
    "baseline": "#a84a12",
    "other": "#1a7a5e",
}
_LONG = re.compile(r"-?\d+\.\d{3,}")  # numbers are cut to a hundredth of a pixel
_UNSPEAKABLE = re.compile("[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NAMES = {color: name for name, color in PALETTE.items()}
_MARGINS = (58, 38, 12, 48)  # left, top, right and bottom of the axes, in the units of the view box

# The user's own matplotlibrc is ignored. DejaVu Sans comes with matplotlib; the page shows the text in its own font.
_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 13,
    "text.color": PALETTE["ink"],
    "text.parse_math": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 13,
    "axes.labelsize": 13,
    "xtick.labelsize": 13,
    "ytick.labelsize": 13,
    "axes.titlecolor": PALETTE["muted"],
    "axes.labelcolor": PALETTE["muted"],
    "axes.edgecolor": PALETTE["line"],
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": PALETTE["line"],
    "xtick.major.pad": 7,  # the zeros of both axes do not touch
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.color": PALETTE["muted"],
    "ytick.color": PALETTE["muted"],
    "figure.facecolor": "none",
    "svg.fonttype": "none",
}


def speakable(text: str) -> str:
    """Text without the characters that HTML and XML forbid, such as half of a surrogate pair, which would lose the
    report.
    """
    return _UNSPEAKABLE.sub("\ufffd", text)


def canvas(width: int, height: int, x: str, y: str) -> tuple[Figure, Axes]:
    """One pair of axes with their names, in a figure of this size in units of about a pixel."""
    left, top, right, bottom = _MARGINS
    with matplotlib.style.context(["default", _STYLE]):
        figure = Figure(figsize=(width / 72, height / 72))
        box = (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
        axes = figure.add_axes(box)
        axes.set_xlabel(speakable(x))
        axes.set_title(speakable(y), x=(8 - left) / (width - left - right), pad=14)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_major_formatter("{x:g}")
    return figure, axes


def viewport(width: int, height: int, *children: Element, clipped: bool) -> Element:
    """An SVG viewport over the axes of a canvas of this size. In it, 100 % is the length of an axis."""
    left, top, right, bottom = _MARGINS
    box = {"x": left, "y": top, "width": width - left - right, "height": height - top - bottom}
    found = Element("svg", {name: str(value) for name, value in box.items()})
    found.set("overflow", "hidden" if clipped else "visible")
    found.extend(children)
    return found


def inline(figure: Figure, name: str, alternative: str, *overlays: Element) -> Markup:
    """The figure as SVG. `name` must be unique on the page; `alternative` describes the figure in words."""
    file = io.StringIO()
    with matplotlib.style.context(["default", {**_STYLE, "svg.hashsalt": name}]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # the page's font may have the character
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    root = ElementTree.fromstring(file.getvalue())
    for element in root.iter():
        _without_namespaces(element)
    root[:] = root[[child.tag for child in root].index("g") :]  # drops metadata and a style that each line repeats
    referred = set(re.findall(r'(?:url\(|href=")#([^)"]*)', ElementTree.tostring(root, encoding="unicode")))
    for element in root.iter():
        _restyle(element)
        _rename(element, name, referred)
        for key in ("d", "x", "y", "transform"):
            if key in element.attrib:
                element.set(key, _LONG.sub(lambda found: f"{float(found.group()):.2f}", element.attrib[key]).strip())
        element.text, element.tail = ((text or "").strip() for text in (element.text, element.tail))
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    root.set("role", "img")
    root.set("aria-label", speakable(alternative))
    root.extend(overlays)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _without_namespaces(element: Element) -> None:
    """Drop the namespaces: inline SVG needs none, and the page then holds no address."""
    element.tag = element.tag.rpartition("}")[2]
    for key in [key for key in element.attrib if key.startswith("{")]:
        element.set(key.rpartition("}")[2], element.attrib.pop(key))


def _restyle(element: Element) -> None:
    """Turn `style` into attributes, as SVG allows, and a color that has a name into a class; fonts are dropped."""
    classes = []
    for declaration in filter(None, element.attrib.pop("style", "").split(";")):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name == "font":
            size = re.search(r"[\d.]+(?=px)", value)
            element.set("font-size", size.group() if size else "13")
        elif value in _NAMES:
            classes.append(f"{name}-{_NAMES[value]}")
        elif name != "font-family":
            element.set(name, value)
    if classes:
        element.set("class", " ".join(classes))


def _rename(element: Element, name: str, referred: set[str]) -> None:
    """Prefix every identifier that is referred to with the figure's name, since figures share a page; drop the
    others.
    """
    for key, value in element.attrib.items():
        if key == "href":
            element.set(key, value.replace("#", f"#{name}-"))
        elif value.startswith("url(#"):
            element.set(key, value.replace("url(#", f"url(#{name}-"))
    own = element.attrib.pop("id", None)
    if own in referred:
        element.set("id", f"{name}-{own}")
