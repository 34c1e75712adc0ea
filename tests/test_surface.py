"""The public names, their signatures and docstrings, and the rules of imports."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import runpy
import subprocess
import sys
import tomllib
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from cases import CLASSES, FRAMEWORKS, LOSSES, Framework, Loss

import focal_loss
from focal_loss._boosting.declared import FUNCTIONS
from focal_loss._core.declare import REQUIRED
from focal_loss._dispatch import frameworks

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "focal_loss"
MODULES = ["focal_loss", *(f"focal_loss.{framework.name}" for framework in FRAMEWORKS)]
MODULES += [f"focal_loss.keras.{module}" for module in ("layers", "losses", "metrics")]
MODULES += ["focal_loss.calibration", "focal_loss.schedules", "focal_loss.weights"]
MODULES += [f"focal_loss.{booster}" for booster in frameworks.CLASSIFIERS]

# Modules whose names come from libraries that their own name does not tell.
BEHIND = {"focal_loss": ("keras", "pandas"), "focal_loss.calibration": ("sklearn",)}
by_module = pytest.mark.parametrize(
    "module", [pytest.param(name, marks=pytest.mark.needs(*BEHIND.get(name, ()))) for name in MODULES]
)

# From the bottom up. A room is a folder or a file at the top. It may import its own files and
# what lies in rooms above it in this list, but nothing beside or below it.
FLOORS = [
    {"_core"},
    {"_host"},
    {*frameworks.BACKENDS, "_array_api"},
    {"_dispatch"},
    {"_calibration", "_training", "keras"},
    {"calibration", "schedules", "weights"},
    {"_boosting"},
    set(frameworks.CLASSIFIERS),
    {"_command"},
    {"__main__"},
]


def public() -> list[tuple[str, str]]:
    return [(module, name) for module in MODULES for name in importlib.import_module(module).__all__]


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def import_graph() -> dict[str, set[str]]:
    """Each module and the modules of this package that it imports, at its top or in a function. The package itself is
    left out: it imports nothing before a name is used.
    """
    files = {module_name(path): path for path in SOURCE.rglob("*.py")}
    graph: dict[str, set[str]] = {}
    for name, path in files.items():
        graph[name] = set()
        for imported in imports(path):
            target = imported.removeprefix("focal_loss").removeprefix(".")
            if imported.startswith("focal_loss"):
                while target not in files:
                    target = target.rpartition(".")[0]
                graph[name].add(target)
    assert not graph.pop("")
    return {name: targets - {""} for name, targets in graph.items()}


def test_imports_run_downward() -> None:
    floor = {room: k for k, rooms in enumerate(FLOORS) for room in rooms}
    graph = import_graph()
    room = {name: name.partition(".")[0] for name in graph}
    assert set(room.values()) == set(floor)
    for name, targets in graph.items():
        for target in targets:
            inside = room[target] == room[name]
            assert inside or floor[room[target]] < floor[room[name]], f"{name} imports {target}"


def test_no_import_runs_in_a_circle() -> None:
    assert list(TopologicalSorter(import_graph()).static_order())  # raises CycleError, which names the circle


def test_the_plan_of_the_house_names_every_file() -> None:
    """The table of CONTRIBUTING.md lists every file, with the rooms in the order of `FLOORS`."""
    text = (SOURCE.parents[1] / "CONTRIBUTING.md").read_text()
    table = text.partition("## The house")[2].partition("`__init__.py` shows")[0]
    planned, rooms, here = set(), [], []
    for left, middle in re.findall(r"^\| (.*?) ?\| (.*?) ?\|", table, re.MULTILINE)[1:]:
        here = re.findall(r"`([^`]+)`", left) or here
        rooms += [name for name in here if name not in rooms]
        planned |= {name for name in here if not name.endswith("/")}
        planned |= {room + name for room in here for name in re.findall(r"`([^`]+)`", middle)}
    there = {path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py") if path.name != "__init__.py"}
    folders = ("_command/report/", "_core/losses/")
    there = {next((folder for folder in folders if name.startswith(folder)), name) for name in there}
    assert planned == there
    floor = {name: k for k, names in enumerate(FLOORS) for name in names}
    assert [floor[name.removesuffix("/").removesuffix(".py")] for name in rooms] == sorted(floor.values())


def test_the_plan_of_the_kernels_names_every_file() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.partition("`native/` is C++17")[2].partition("Beside `src/`")[0]
    named = set(re.findall(r"`([\w./]+)`", "".join(re.findall(r"^\| (.*?) \|", table, re.MULTILINE))))
    there = {path.name + "/" * path.is_dir() for path in (ROOT / "native").iterdir() if path.name != "__pycache__"}
    assert named == there


def test_the_readme_begins_with_what_a_newcomer_needs() -> None:
    """Two screens say how to install the library, and which module is for each framework."""
    screens = "\n".join((ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:90])
    modules = (*frameworks.FRAMEWORKS, *frameworks.CLASSIFIERS)
    wanted = ["pip install", "focal-loss fit", "focal_loss.keras", *(f".{name}" for name in modules)]
    assert not [words for words in wanted if words not in screens]


SAME = {
    tuple(frameworks.FRAMEWORKS): {"_backend": ("FORMULA",), "_functions": ()},
    frameworks.BOOSTERS: {
        "_parameters": ("NAMES", "DEFAULTS", "REFUSED"),
        "_objectives": ("objective_of", "metric_of", "binary_focal_objective", "categorical_focal_metric"),
        "_metrics": ("OURS", "OF_SCORES"),
        "_estimator": (),
        "_onnx": ("exported",),
    },
}


@pytest.mark.parametrize(("adapters", "files"), SAME.items(), ids=str)
def test_adapters_have_the_same_files_with_the_same_objects(adapters: tuple[str, ...], files: dict) -> None:
    for adapter in adapters:
        for file, objects in files.items():
            found = importlib.import_module(f"focal_loss.{adapter}.{file}")
            assert [name for name in objects if not hasattr(found, name)] == []


@pytest.mark.needs("ruff")
@pytest.mark.parametrize("tool", ["doors", "pages", "tables"])
def test_what_tools_write_is_not_stale(tool: str) -> None:
    """`make doors` and `make pages` write what the losses declare, `make tables` the constants that languages share."""
    command = [sys.executable, str(SOURCE.parents[1] / "tools" / f"{tool}.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of the headings of a page."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_site_opens_the_newest_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release is newer than what came before it under the same number."""
    monkeypatch.syspath_prepend(ROOT / "tools")
    import website

    for version in ("1.9.0", "1.10.0rc1", "1.10.0", "1.2.0"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "index.html").touch()
    website.list_versions(tmp_path)
    assert '["1.10.0", "1.10.0rc1", "1.9.0", "1.2.0"]' in (tmp_path / "versions.js").read_text()
    assert "url=1.10.0/index.html" in (tmp_path / "index.html").read_text()


def test_distributions_leave_compiled_libraries_out() -> None:
    """Those that lie in `src` are for the machine that built them. scikit-build-core leaves out what git ignores."""
    assert {"*.so", "*.pyd"} <= set((ROOT / ".gitignore").read_text().split())


def test_without_a_compiler_one_wheel_serves_every_python() -> None:
    """A wheel without kernels has no ABI, and scikit-build-core refuses to write one into its name."""
    overrides = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["scikit-build"]["overrides"]
    without = [override["wheel"] for override in overrides if not override["wheel"]["cmake"]]
    assert without == [{"cmake": False, "py-api": "py3"}]


def test_links_between_pages_resolve() -> None:
    found = 0
    for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")):
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            name, _, anchor = link.partition("#")
            target = (page.parent / name).resolve() if name else page
            if not link.startswith("http"):
                assert target.exists(), f"{link} in {page.name}"
                assert not anchor or anchor in anchors(target), f"{link} in {page.name}"
                found += 1
    assert found > 50


@pytest.mark.needs("torch", "jax", "tensorflow", "keras", "lightgbm", "xgboost", "catboost", "sklearn")
def test_the_reference_has_every_public_module() -> None:
    """Every module without an underscore that has functions or classes is in the reference of the site."""
    there = {module_name(path) for path in SOURCE.rglob("*.py")}
    modules = [f"focal_loss.{name}".rstrip(".") for name in there if not re.search(r"(^|\.)_", name)]
    doors = runpy.run_path(str(ROOT / "docs" / "_ext" / "public.py"))["DOORS"]
    named = {name: getattr(importlib.import_module(name), "__all__", ()) for name in modules}
    assert set(doors) == {
        name for name, public in named.items() if any(callable(getattr(sys.modules[name], one)) for one in public)
    }


def test_every_framework_and_booster_is_an_extra() -> None:
    project = tomllib.loads((SOURCE.parents[1] / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    untyped = {name for override in project["tool"]["mypy"]["overrides"] for name in override["module"]}
    ours = {*frameworks.FRAMEWORKS, "keras", *frameworks.CLASSIFIERS}
    assert ours <= set(extras)
    assert ours <= set(re.findall(r"\w+", extras["all"][0].partition("[")[2]))
    assert {f"{name}.*" for name in ours} <= untyped
    assert [framework.name for framework in FRAMEWORKS] == list(frameworks.BACKENDS)


def test_pages_name_the_lowest_versions() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    lowest = {name: extras[name][0].partition(">=")[2] for name in ("torch", "jax", "tensorflow", "keras")}
    page = (ROOT / "docs" / "quick_start.md").read_text()
    assert "PyTorch {torch}, JAX {jax}, TensorFlow {tensorflow}, Keras {keras}".format(**lowest) in page
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert "TensorFlow {tensorflow} and Keras {keras}".format(**lowest) in changes


def test_frameworks_are_imported_only_by_their_module() -> None:
    for path in SOURCE.rglob("*.py"):
        name = module_name(path)
        for framework in (*frameworks.FRAMEWORKS, "keras", *frameworks.BOOSTERS):
            if name.partition(".")[0] != framework:
                roots = {imported.partition(".")[0] for imported in imports(path)}
                assert framework not in roots, f"{name} imports {framework}"


@by_module
def test_all_is_what_there_is(module: str) -> None:
    found = importlib.import_module(module)
    for name in found.__all__:
        assert hasattr(found, name)
    own = {n for n, v in vars(found).items() if inspect.isfunction(v) and v.__module__ == module and n[0] != "_"}
    assert own <= set(found.__all__)
    assert set(found.__all__) <= set(dir(found))
    with pytest.raises(AttributeError):
        found.no_such_name  # noqa: B018


@by_module
def test_public_docstrings_are_whole(module: str, subtests: pytest.Subtests) -> None:
    for name in importlib.import_module(module).__all__:
        with subtests.test(name=name):
            check_docstring(module, name)


def check_docstring(module: str, name: str) -> None:
    found = getattr(importlib.import_module(module), name)
    if inspect.ismodule(found) or isinstance(found, str):
        return
    text = inspect.getdoc(found)
    assert "{contract}" not in text
    assert "Examples\n--------" in text
    assert re.search(rf"^>>> .*{name}|^\.\.\. .*{name}|^>>> .*(loss|metric)\(", text, re.MULTILINE)
    if name in ("get_backend", "show_config"):  # without parameters
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
        assert re.search(r"arXiv:\d{4}\.\d{5}", text)


@pytest.mark.needs("torch", "jax", "tensorflow", "keras")
@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_one_signature_everywhere(loss: Loss) -> None:
    def options(function, *ignore: str) -> dict:
        """The default of each option, and whether it may be given by position."""
        parameters = inspect.signature(function).parameters
        return {
            n: (p.default, p.kind is p.POSITIONAL_OR_KEYWORD)
            for n, p in parameters.items()
            if n not in ("y_true", "y_pred", "self", *ignore)
        }

    expected = options(getattr(focal_loss, loss.name))
    reduced_by = ("reduction", "normalizer", "group")  # PyTorch's own
    own = (*reduced_by, "axis_name")  # and JAX's
    declared = loss.declared
    assert [by_position for _, by_position in expected.values()] == [
        k < declared.positional for k in range(len(expected))
    ]
    for framework in FRAMEWORKS:
        assert options(getattr(framework.module, loss.name), *own) == expected
    name = CLASSES[loss.name]
    losses, metrics = (importlib.import_module(f"focal_loss.keras.{module}") for module in ("losses", "metrics"))
    assert options(getattr(losses, loss.name)) == options(getattr(metrics, loss.name)) == expected
    assert options(getattr(metrics, name), "name", "dtype") == expected
    places = declared.positional if declared.keras_positional is None else declared.keras_positional
    of_keras = {n: (default, k < places) for k, (n, (default, _)) in enumerate(expected.items())}
    assert options(getattr(losses, name), "reduction", "name", "dtype") == of_keras
    assert (of_keras == expected) is not bool(declared.keras_positional_because)
    torch_module = getattr(importlib.import_module("focal_loss.torch"), name, None)
    if declared.torch_module:
        assert options(torch_module, *reduced_by) == expected
        assert inspect.signature(torch_module).parameters["reduction"].default == "mean"
    else:
        assert torch_module is None


def test_losses_without_tests_by_hand_declare_their_formula() -> None:
    """The formula in the docstring is what the tests compare the closed forms with."""
    kinds = ("binary", "categorical", "sparse_categorical")
    by_hand = {f"{kind}_{word}" for kind in kinds for word in ("focal_loss", "focal_crossentropy")}
    declared = {loss.name: loss.declared for loss in LOSSES}
    assert {name for name, loss in declared.items() if not loss.formula} == by_hand
    assert all(loss.formula in loss.notes for loss in declared.values())


@pytest.mark.parametrize("booster", frameworks.BOOSTERS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_boosters_take_what_is_declared(booster: str, name: str) -> None:
    """Names, defaults and kinds match the declaration, and each option refuses its declared invalid values."""
    function = getattr(importlib.import_module(f"focal_loss.{booster}"), name)
    found = inspect.signature(function).parameters
    options = FUNCTIONS[name].declared()
    assert {n: p.default for n, p in found.items() if p.default is not p.empty} == {
        n: default for n, (_, default) in options.items() if default is not REQUIRED
    }
    assert {n: p.kind for n, p in found.items()} == {
        n: inspect.Parameter.KEYWORD_ONLY if k else inspect.Parameter.POSITIONAL_OR_KEYWORD
        for k, n in enumerate(options)
    }
    for option, (kind, _) in options.items():
        for value, error, words in kind.kind.invalid:
            with pytest.raises(error, match=f"^`{option}` {re.escape(words)}"):
                function(**{"gamma": 2.0, option: value})


def test_one_class_of_keras_takes_its_options_by_position() -> None:
    """The class of the 2021 package did so."""
    assert [loss.name for loss in LOSSES if loss.declared.keras_positional_because] == ["sparse_categorical_focal_loss"]


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
def test_every_loss_is_in_every_framework(framework: Framework) -> None:
    assert {loss.name for loss in LOSSES} <= set(framework.module.__all__)


@pytest.mark.needs("torch")
def test_a_star_import_takes_no_name_of_a_framework() -> None:
    code = "import torch, numpy\nfrom focal_loss import *\n"
    code += "print(torch.__name__, numpy.__name__, binary_focal_loss.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["torch", "numpy", "binary_focal_loss"]


GONE = """import sys
class Gone:
    def find_spec(self, name, *rest):
        if name == "{}":
            raise ModuleNotFoundError(f"No module named '{{name}}'", name=name)
sys.meta_path.insert(0, Gone())"""


@pytest.mark.needs("keras", "lightgbm", "sklearn", "dask", "pandas")
def test_a_missing_framework_is_an_error_that_says_what_to_install() -> None:
    for name, use in (
        ("jax", "focal_loss.jax"),
        ("keras", "focal_loss.BinaryFocalLoss"),
        ("lightgbm", "focal_loss.lightgbm"),
        ("catboost", "focal_loss.catboost"),
        ("xgboost", "focal_loss.xgboost"),
        ("sklearn", "focal_loss.sklearn"),
        ("dask", "focal_loss.xgboost.FocalDaskXGBClassifier"),
        ("dask", "focal_loss.lightgbm.FocalDaskLGBMClassifier"),
    ):
        code = f"{GONE.format(name)}\nimport focal_loss\n{use}"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert f"needs {name}, which is not installed: pip install 'focal-loss[{name}]'" in done.stderr

    for name in frameworks.COMMAND:
        code = f"{GONE.format(name)}\nimport focal_loss\nfocal_loss.load"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert f"`focal_loss.load` needs {name}, which is not installed: pip install 'focal-loss[cli]'" in done.stderr


def loaded(code: str, first: str = "") -> set[str]:
    """The frameworks in memory after running the code that were not in memory after `first`."""
    watched = {*frameworks.BACKENDS, "keras", *frameworks.CLASSIFIERS, "scipy", "pandas", "dask"}
    there = f"({watched} & set(sys.modules))"
    code = f"import sys\n{first}\nbefore = {there}\n{code}\nprint(*({there} - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_package_by_itself_loads_nothing() -> None:
    assert loaded("import focal_loss") == set()
    assert loaded("import focal_loss, numpy; focal_loss.__version__") == {"numpy"}


@pytest.mark.parametrize("name", [*frameworks.BACKENDS, "keras", *frameworks.CLASSIFIERS])
def test_a_module_loads_what_its_framework_loads(name: str) -> None:
    own = {"numpy", "sklearn"} if name == "catboost" else {"numpy"}  # catboost's classifiers do without scikit-learn
    assert loaded(f"import focal_loss.{name}", first=f"import {name}") <= own


@pytest.mark.needs("torch")
def test_the_probe_can_fail() -> None:
    assert loaded("import focal_loss.torch", first="import numpy") == {"torch"}
