"""Public names as type checkers and editors see them, compared with Python's own view.

None of them runs the package: they read its source and its stubs.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_surface import MODULES, SOURCE, public

pytestmark = pytest.mark.needs("mypy", "basedpyright", "jedi")  # and every framework
USE = Path(__file__).with_name("typed_use.py")
FREE = re.compile(r"# error: (\w+)$")


def callables() -> list[tuple[str, str]]:
    """Module and name of every public function and class, including those of `focal_loss` that a star import leaves
    out.
    """
    found = [*public(), *(("focal_loss", name) for name in dir(importlib.import_module("focal_loss")))]
    return sorted({(m, n) for m, n in found if callable(getattr(importlib.import_module(m), n))})


def expression(module: str, name: str) -> str:
    """An expression with the signature: the function, or the constructor of the class."""
    is_class = inspect.isclass(getattr(importlib.import_module(module), name))
    return f"{module}.{name}.__init__" if is_class else f"{module}.{name}"


def parameters(function: Any) -> list[tuple[str, str, bool]]:
    """The parameters of a signature: name, kind, whether there is a default."""
    found = inspect.signature(function).parameters.values()
    return [(p.name, p.kind.name, p.default is not p.empty) for p in found]


def parameters_of_text(text: str) -> list[tuple[str, str, bool]]:
    """The same, parsed from a signature as mypy and pyright print it."""
    text = re.sub(r" =(?=[,)])", " = ...", text.removeprefix("def "))
    text = text.rpartition(" -> ")[0] or text
    namespace: dict[str, Any] = {}
    code = compile(f"from __future__ import annotations\ndef f{text}: ...", "<signature>", "exec")
    exec(code, namespace)
    return parameters(namespace["f"])


def asked(folder: Path) -> tuple[Path, dict[int, tuple[str, str]]]:
    """The user's file with a line for each public function and class, and a map from these lines to the names."""
    text = USE.read_text()
    first = text.count("\n") + 1
    lines = [f"reveal_type({expression(module, name)})" for module, name in callables()]
    path = folder / "use.py"
    path.write_text(text + "\n".join(lines) + "\n")
    return path, dict(enumerate(callables(), first))


def run(command: list[str], folder: Path, **environment: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=folder, env=os.environ | environment
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


def compare(path: Path, asked_of: dict[int, tuple[str, str]], errors: dict[int, str], revealed: dict[int, str]) -> None:
    """Compare a checker's messages with Python. `errors` and `revealed` map lines to messages."""
    lines = dict(enumerate(path.read_text().splitlines(), 1))
    expected = {number: found[1] for number, line in lines.items() if (found := FREE.search(line))}
    assert {n: lines[n] for n in errors.keys() ^ expected} == {}, errors
    for number, word in expected.items():
        assert word in errors[number], lines[number]
    assert revealed.keys() == asked_of.keys()
    for number, (module, name) in asked_of.items():
        function = getattr(importlib.import_module(module), name)
        known = parameters(function.__init__ if inspect.isclass(function) else function)
        assert parameters_of_text(revealed[number]) == known, f"{module}.{name}"


def test_mypy_knows_every_name_and_signature(tmp_path: Path) -> None:
    """The project's options do not follow imports of frameworks, whose types take minutes."""
    path, asked_of = asked(tmp_path)
    options = ["--strict", "--output=json", f"--config-file={SOURCE.parents[1] / 'pyproject.toml'}"]
    command = [sys.executable, "-m", "mypy", *options, "--cache-dir", os.devnull, str(path)]
    told = [json.loads(line) for line in run(command, tmp_path, MYPYPATH=str(SOURCE.parent)).splitlines()]
    told = [message for message in told if Path(message["file"]).name == path.name]
    errors = {}
    for message in told:
        if message["severity"] == "error":
            errors[message["line"]] = errors.get(message["line"], "") + message["message"] + "\n"
    revealed = {m["line"]: m["message"] for m in told if m["message"].startswith("Revealed type is")}
    compare(path, asked_of, errors, {line: text.split('"', 1)[1][:-1] for line, text in revealed.items()})


def test_pyright_knows_every_name_and_signature(tmp_path: Path) -> None:
    path, asked_of = asked(tmp_path)
    config = {"typeCheckingMode": "standard", "extraPaths": [str(SOURCE.parent)], "include": [path.name]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable, "-p", "."]
    errors, revealed = {}, {}
    for message in json.loads(run(command, tmp_path))["generalDiagnostics"]:
        line, text = message["range"]["start"]["line"] + 1, message["message"]
        if message["severity"] == "error":
            errors[line] = errors.get(line, "") + text + "\n"
        elif text.startswith("Type of"):
            revealed[line] = text.split('" is "', 1)[1][:-1]
    compare(path, asked_of, errors, revealed)


def test_an_editor_completes_public_names_with_docstrings_and_signatures(tmp_path: Path) -> None:
    """Names without an underscore are the public ones."""
    site = Path(inspect.getfile(importlib.import_module("jedi"))).parents[1]
    command = [sys.executable, "-S", str(Path(__file__).with_name("jedi_sees.py")), *MODULES]
    found = json.loads(run(command, tmp_path, PYTHONPATH=os.pathsep.join([str(SOURCE.parent), str(site)])))
    for module in MODULES:
        door = importlib.import_module(module)
        names = set(dir(door) if module == "focal_loss" else door.__all__) - {"__version__"}
        assert found[module].keys() == names, module
    for module, name in callables():
        function, shown = getattr(importlib.import_module(module), name), found[module][name]
        assert inspect.cleandoc(shown["docstring"]) == inspect.getdoc(function), f"{module}.{name}"
        # After them come the parameters that `**kwargs` stands for.
        known = [list(p) for p in parameters(function) if p[1] != "VAR_KEYWORD"]
        (signature,) = shown["signatures"]
        assert signature[: len(known)] == known, f"{module}.{name}"


@pytest.mark.parametrize(
    "module", ["focal_loss", "focal_loss.calibration", "focal_loss.lightgbm", "focal_loss.xgboost"]
)
def test_a_stub_names_what_there_is(module: str) -> None:
    door = importlib.import_module(module)
    stub = ast.parse(Path(door.__file__).with_suffix(".pyi").read_text())
    names = {node.target.id for node in stub.body if isinstance(node, ast.AnnAssign)}
    for node in stub.body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                assert alias.asname == alias.name
                assert getattr(importlib.import_module(node.module), alias.name) is getattr(door, alias.name)
                names.add(alias.name)
    assert names == set(dir(door))
