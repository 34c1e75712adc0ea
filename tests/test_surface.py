"""What is public, what it promises, and what imports what."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cases import CLASSES, FRAMEWORKS, LOSSES, Framework, Loss

import focal_loss

SOURCE = Path(focal_loss.__file__).parent
MODULES = ["focal_loss", *(f"focal_loss.{framework.name}" for framework in FRAMEWORKS)]
MODULES += ["focal_loss.keras.losses", "focal_loss.keras.metrics", "focal_loss.calibration"]
MODULES += [f"focal_loss.{booster}" for booster in ("lightgbm", "xgboost", "catboost")]

# From the bottom up. A module may import those above it in this list and none beside or below it.
LEVELS = [
    {"_arrays", "_names", "_warnings"},
    {"_checks"},
    {
        "_formula",
        "_spec",
        "_docs",
        "_boosting_docs",
        "_shapes",
        "_report.data",
        "_report.svg",
        "_errors",
        "_evaluation",
    },
    {"_kernels", "_curvature", "_report.numbers", "_reading", "_engines", "_files", "_urls"},
    {"_softmax", "_posterior", "_report.figures", "_search", "_table"},
    {"_losses", "_host", "_calibration_error", "_store"},
    {"_derivatives", "_temperature", "_fit"},
    {"_single"},
    {"_boosting"},
    {"torch._options", "jax._backend", "jax._mesh", "tensorflow._backend", "_triton"},
    {"torch._cpu", "torch._cuda"},
    {"torch._operators"},
    {"torch._autograd", "torch._closed_forms"},
    {"numpy", "torch._backend", "jax._ffi", "tensorflow._native"},
    {"torch._functions", "jax._native", "tensorflow._ranks"},
    {"torch._linear", "torch._modules", "jax._functions", "jax._linear", "tensorflow._functions"},
    {"torch", "jax", "tensorflow"},
    {"_dispatch"},
    {"_functions", "_calibration"},
    {"calibration"},
    {"_classifier"},
    {"lightgbm._parameters", "catboost._parameters", "catboost._snapshots"},
    {"lightgbm._objectives", "xgboost._objectives", "xgboost._metrics", "catboost._objectives"},
    {"catboost._metrics"},
    {"lightgbm._estimator", "xgboost._estimator", "catboost._estimator"},
    {"lightgbm", "xgboost", "catboost"},
    {"keras._backend"},
    {"keras._examples", "keras._functions", "keras._options"},
    {"keras.losses", "keras.metrics"},
    {"keras"},
    {"_report.render"},
    {"_report"},
    {""},
    {"_words"},
    {"cli"},
    {"__main__"},
]


def public() -> list[tuple[str, str]]:
    return [(module, name) for module in MODULES for name in importlib.import_module(module).__all__]


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_imports_run_downward() -> None:
    files = {module_name(path): path for path in SOURCE.rglob("*.py")}
    level = {name: k for k, names in enumerate(LEVELS) for name in names}
    assert set(files) == set(level)
    for name, path in files.items():
        for imported in imports(path):
            if not imported.startswith("focal_loss"):
                continue
            target = imported.removeprefix("focal_loss").removeprefix(".")
            while target not in level:
                target = target.rpartition(".")[0]
            assert level[target] < level[name], f"{name} imports {imported}"


def test_frameworks_are_imported_only_by_their_module() -> None:
    for path in SOURCE.rglob("*.py"):
        name = module_name(path)
        for framework in ("torch", "jax", "tensorflow", "keras", "lightgbm", "xgboost", "catboost"):
            if name.partition(".")[0] != framework:
                roots = {imported.partition(".")[0] for imported in imports(path)}
                assert framework not in roots, f"{name} imports {framework}"


@pytest.mark.parametrize("module", MODULES)
def test_all_is_what_there_is(module: str) -> None:
    found = importlib.import_module(module)
    for name in found.__all__:
        assert hasattr(found, name)
    own = {n for n, v in vars(found).items() if inspect.isfunction(v) and v.__module__ == module and n[0] != "_"}
    assert own <= set(found.__all__)
    assert set(found.__all__) <= set(dir(found))
    with pytest.raises(AttributeError):
        found.no_such_name  # noqa: B018


@pytest.mark.parametrize(("module", "name"), public())
def test_public_docstrings_are_whole(module: str, name: str) -> None:
    found = getattr(importlib.import_module(module), name)
    if inspect.ismodule(found) or isinstance(found, str):
        return
    text = inspect.getdoc(found)
    assert "{contract}" not in text
    assert "Examples\n--------" in text
    assert re.search(rf"^>>> .*{name}|^\.\.\. .*{name}|^>>> .*(loss|metric)\(", text, re.MULTILINE)
    if name in ("get_backend", "show_config"):  # they take nothing
        return
    assert "Parameters\n----------" in text
    assert "Raises\n------" in text
    parameters = [p for p in inspect.signature(found).parameters if p not in ("self", "args", "kwargs")]
    described = re.search(r"Parameters\n-+\n(.*?)\n\n[A-Z]\w+\n-+\n", text, re.DOTALL).group(1)
    names = {
        n.strip() for line in re.findall(r"^(\w[\w, ]*?)(?: :|$)", described, re.MULTILINE) for n in line.split(",")
    }
    assert names == set(parameters)
    if "loss" in name or "crossentropy" in name.lower():
        assert "arXiv:1708.02002" in text


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_one_signature_everywhere(loss: Loss) -> None:
    def options(function, *ignore: str) -> dict:
        parameters = inspect.signature(function).parameters
        return {n: p.default for n, p in parameters.items() if n not in ("y_true", "y_pred", "self", *ignore)}

    expected = options(getattr(focal_loss, loss.name))
    for framework in FRAMEWORKS:
        assert options(getattr(framework.module, loss.name), "reduction") == expected
    name = CLASSES[loss.name]
    for module in ("losses", "metrics"):
        found = getattr(importlib.import_module(f"focal_loss.keras.{module}"), name)
        assert options(found, "reduction", "name", "dtype") == expected
    torch_module = getattr(importlib.import_module("focal_loss.torch"), name, None)
    if "Crossentropy" not in name:
        assert options(torch_module, "reduction") == expected
        assert inspect.signature(torch_module).parameters["reduction"].default == "mean"
    else:
        assert torch_module is None


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
def test_every_loss_is_in_every_framework(framework: Framework) -> None:
    assert {loss.name for loss in LOSSES} <= set(framework.module.__all__)


def test_a_star_import_takes_no_name_of_a_framework() -> None:
    code = "import torch, numpy\nfrom focal_loss import *\n"
    code += "print(torch.__name__, numpy.__name__, binary_focal_loss.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["torch", "numpy", "binary_focal_loss"]


def test_a_missing_framework_is_an_error_that_says_what_to_install() -> None:
    for name, use in (
        ("jax", "focal_loss.jax"),
        ("keras", "focal_loss.BinaryFocalLoss"),
        ("lightgbm", "focal_loss.lightgbm"),
        ("catboost", "focal_loss.catboost"),
        ("xgboost", "focal_loss.xgboost"),
    ):
        code = f"import sys; sys.modules[{name!r}] = None\nimport focal_loss\n{use}"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert f"needs {name}, which is not installed: pip install 'focal-loss[{name}]'" in done.stderr


def loaded(code: str) -> set[str]:
    """The frameworks that are in memory after running the code."""
    watched = {"torch", "jax", "tensorflow", "keras", "numpy", "scipy", "pandas", "sklearn"}
    watched |= {"lightgbm", "xgboost", "catboost"}
    code += f"\nimport sys; print(*({watched} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_package_by_itself_loads_nothing() -> None:
    assert loaded("import focal_loss") == set()
    assert loaded("import focal_loss, numpy; focal_loss.__version__") == {"numpy"}


@pytest.mark.parametrize("name", ["numpy", "torch", "jax", "tensorflow", "keras", "lightgbm", "xgboost", "catboost"])
def test_a_module_loads_what_its_framework_loads(name: str) -> None:
    own = {"numpy", "sklearn"} if name == "catboost" else {"numpy"}  # catboost's classifiers do without scikit-learn
    assert loaded(f"import focal_loss.{name}") - loaded(f"import {name}") <= own


def test_the_probe_can_fail() -> None:
    assert loaded("import focal_loss.torch") - loaded("import numpy") == {"torch"}
