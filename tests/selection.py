"""Selection of tests by what they import: `pytest --libraries numpy,torch` runs those that need no other library.

What a test needs is read from the code, so nothing is skipped because it is not installed. A file needs what it imports
at its top, directly or by modules of the tests and of this package. A test needs what its file needs, what it imports
itself, the libraries in its name, with those of its file and its parameters, and those of `@pytest.mark.needs`.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SOURCE = TESTS.parent / "src"
HELPERS = {path.stem: path for path in TESTS.rglob("*.py")}
ALWAYS = {"numpy", "pytest", "hypothesis", "ml_dtypes"}
# What the name of a test may say.
LIBRARIES = {"torch", "jax", "tensorflow", "keras", "lightgbm", "xgboost", "catboost", "sklearn", "pandas", "pyarrow"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--libraries", help="run only the tests that need none but these, such as numpy,torch")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a name that nothing has, with which fewer tests would run and nobody would know."""
    named = sorted(chosen(config) or ())
    if missing := [name for name in named if not name.isidentifier() or find_spec(name) is None]:
        raise pytest.UsageError(f"--libraries names {missing}, which cannot be imported here")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out files, and folders whose `conftest.py` needs more. None asks the next plugin."""
    file = collection_path / "conftest.py" if collection_path.is_dir() else collection_path
    left_out = file.is_file() and file.suffix == ".py" and lacking(config, of_file(file))
    return True if left_out else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [item for item in items if lacking(config, of_item(item))]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def lacking(config: pytest.Config, needed: set[str]) -> set[str]:
    """The libraries that are needed and not chosen."""
    present = chosen(config)
    return set() if present is None else needed - ALWAYS - present


def chosen(config: pytest.Config) -> set[str] | None:
    """The libraries of the option, None without it."""
    libraries = config.getoption("--libraries")
    return None if libraries is None else set(libraries.split(","))


def of_item(item: pytest.Item) -> set[str]:
    """The libraries that a test needs beyond its file."""
    found = {name for mark in item.iter_markers("needs") for name in mark.args}
    found |= LIBRARIES & set(re.findall("[a-z]+", item.nodeid))
    return found | of_function(item.function) if isinstance(item, pytest.Function) else found


@cache
def of_function(function: Callable[..., object]) -> set[str]:
    """The libraries that a function imports."""
    return behind(imported(ast.parse(textwrap.dedent(inspect.getsource(function)))))


@cache
def of_file(file: Path) -> set[str]:
    """The libraries that importing a file imports."""
    return behind(at_the_top(file), file)


def behind(names: Iterable[str], *seen: Path) -> set[str]:
    """The libraries that importing these names imports."""
    found, visited, waiting = set(), set(seen), list(names)
    while waiting:
        name = waiting.pop()
        if (file := source(name)) is None:
            found.add(name.partition(".")[0])
        elif file not in visited:
            visited.add(file)
            waiting += at_the_top(file)
    return found - {"focal_loss", *HELPERS, *sys.stdlib_module_names}


def source(name: str) -> Path | None:
    """The file of a module of the tests or of this package."""
    path = SOURCE / name.replace(".", "/")
    files = (path.with_suffix(".py"), path / "__init__.py", HELPERS.get(name))
    return next((file for file in files if file and file.is_file()), None)


@cache
def at_the_top(file: Path) -> list[str]:
    """The names that a file imports when it is imported itself, without what only type checkers read."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    tree = ast.parse(file.read_text(encoding="utf-8"))
    ran = [node for node in tree.body if not isinstance(node, functions) and "TYPE_CHECKING" not in ast.unparse(node)]
    return [name for node in ran for name in imported(node)]


def imported(tree: ast.AST) -> Iterator[str]:
    """The names that code imports, each with the packages above it; of `from a import b` both `a` and `a.b`, which may
    be a module.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[: k + 1]) for k in range(len(parts)))
