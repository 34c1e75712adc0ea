"""The words of the code: names are those of the field, and docstrings begin with their subject."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("src", "native", "tools", "benchmarks", "examples", "tests")
FILES = sorted(
    path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".hpp", ".cpp")
)

# A private word, and the field's word for the same thing. A private word may be several words long.
NAMES = {
    "pull": "vjp",
    "push": "jvp",
    "bend": "second_vjp",
    "tilt": "p_minus_q",
    "two term": "expected_loss",
    "hot": "true_class_mask",
    "concave": "keep_negative_term",
    "examples hpp": "softmax_common.hpp",
}
COMMON = re.compile("push_back|(one|multi)_hot", re.IGNORECASE)
# A docstring that begins with one of these has no subject.
FRAGMENTS = {"as", "but", "none", "of", "or", "so", "that", "what", "whatever", "which"}


def identifiers(path: Path) -> set[str]:
    """The identifiers of a file, without its strings and comments."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return set(re.findall(r"[A-Za-z_]\w*", re.sub(r'//.*|"(?:[^"\\\n]|\\.)*"', "", text)))
    named = (
        getattr(node, field, None) for node in ast.walk(ast.parse(text)) for field in ("id", "attr", "arg", "name")
    )
    return {name for name in named if isinstance(name, str)}


@cache
def words_of(name: str) -> str:
    """The words of an identifier in lower case, with a space around each."""
    return " {} ".format(" ".join(re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", COMMON.sub("", name)))).lower()


def private_words(names: set[str]) -> dict[str, str]:
    """The identifiers with a private word, and the field's word for it."""
    return {name: right for name in names for wrong, right in NAMES.items() if f" {wrong} " in words_of(name)}


def fragments(text: str) -> list[str]:
    """The first lines of docstrings that have no subject."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [ast.get_docstring(node) or "" for node in ast.walk(ast.parse(text)) if isinstance(node, kinds)]
    return [text.splitlines()[0] for text in found if re.match(r"[A-Za-z]*", text)[0].lower() in FRAGMENTS]


def test_names_are_those_of_the_field() -> None:
    found = {str(path.relative_to(ROOT)): private_words(identifiers(path) | {path.name}) for path in FILES}
    assert not {path: names for path, names in found.items() if names}


def test_docstrings_begin_with_their_subject() -> None:
    python = [path for path in FILES if path.suffix == ".py"]
    found = {str(path.relative_to(ROOT)): fragments(path.read_text(encoding="utf-8")) for path in python}
    assert not {path: lines for path, lines in found.items() if lines}


def test_the_readers_can_fail() -> None:
    assert private_words({"_Pull", "two_term_loss", "hot", "push_back", "ONE_HOT", "hotel"}) == {
        "_Pull": "vjp",
        "two_term_loss": "expected_loss",
        "hot": "true_class_mask",
    }
    assert fragments('"""Of the loss."""\ndef f():\n    """What is it."""\ndef g():\n    """Often right."""') == [
        "Of the loss.",
        "What is it.",
    ]
