"""Writes the public functions, modules, losses and metrics of every framework from the losses in `_core/losses`.

`make doors` runs it. It writes plain source between two marks; the rest of each file is written by hand.
`python tools/doors.py --check` writes nothing, and fails if a file would change.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import boosters
import linear
from docstrings import (
    AXIS_NAME,
    KERAS_LOSS,
    KERAS_METRIC,
    class_example,
    docstring,
    function_example,
    option_parameters,
    reduced_by,
    torch_reduction,
)
from marks import PACKAGE, ROOT, formatted, write, written

from focal_loss._core.declare import Loss
from focal_loss._dispatch import frameworks

PAGE = ROOT / "docs" / "which_loss.md"


def loss_names() -> list[str]:
    """The names of the losses, one per file."""
    names = sorted(file.stem for file in (PACKAGE / "_core" / "losses").glob("[a-z]*.py"))
    return [name for name in names if name != "common"]


def declared() -> list[Loss]:
    return [importlib.import_module(f"focal_loss._core.losses.{name}").LOSS for name in loss_names()]


def constant(loss: Loss) -> str:
    return loss.name.upper()


# ---------------------------------------------------------------------------------------------------------------
# Signatures
# ---------------------------------------------------------------------------------------------------------------


def parameters(loss: Loss, positional: int | None = None) -> list[str]:
    return option_parameters(loss.options, loss.positional if positional is None else positional)


def data_names(loss: Loss) -> list[str]:
    return ["y_true", "y_pred"] if loss.labeled else ["y_pred"]


def by_keyword(loss: Loss) -> str:
    return ", ".join(f"{name}={name}" for name in loss.options.declared())


# ---------------------------------------------------------------------------------------------------------------
# Functions
# ---------------------------------------------------------------------------------------------------------------


def function(
    loss: Loss,
    door: str,
    body: str,
    *,
    data: str = "Any",
    result: str = "Any",
    more: Sequence[str] = (),
    extra: str = "",
    decorators: str = "",
) -> str:
    """The source of a function. `more` are parameters that only this door has, `extra` describes them."""
    given = [f"{name}: {data}" for name in data_names(loss)] + parameters(loss)
    if more:
        given += [*([] if "*" in given else ["*"]), *more]
    text = docstring(loss, loss.summary, function_example(loss, door), extra=extra)
    return f"{decorators}@answering\ndef {loss.name}({', '.join(given)},) -> {result}:\n{text}\n    return {body}\n"


def call(loss: Loss, more: str = "") -> str:
    """The call of the function `_loss` of a module, which takes None for the labels of a loss without them."""
    labels = "y_true" if loss.labeled else "None"
    return f"_loss(losses.{constant(loss)}, {labels}, y_pred, {more}{by_keyword(loss)})"


def numpy_function(loss: Loss) -> str:
    body = call(loss)
    return function(loss, "numpy", body, data="ArrayLike", result="NDArray[Any]")


def torch_function(loss: Loss) -> str:
    if not loss.labeled:
        return function(loss, "torch", call(loss, '"none", '), result="Tensor")
    body = call(loss, "reduction, normalizer, group, ")
    return function(loss, "torch", body, result="Tensor", more=reduced_by("none"), extra=torch_reduction(loss))


def jax_function(loss: Loss) -> str:
    if loss.layout not in ("dense", "sparse"):
        return function(loss, "jax", call(loss), result="Array")
    more = ["axis_name: AxisName | None = None"]
    return function(loss, "jax", call(loss, "axis_name, "), result="Array", more=more, extra=AXIS_NAME)


def tensorflow_function(loss: Loss) -> str:
    body = call(loss)
    return function(loss, "tensorflow", body, result="Tensor", decorators="@not_converted\n")


def dispatching_function(loss: Loss, door: str) -> str:
    """The source of a function that chooses the framework. `door` is top or keras."""
    data = ", ".join(data_names(loss))
    module = f"module_for({data}, {', '.join(loss.options.arrays)})"
    return function(loss, door, f"{module}.{loss.name}({data}, {by_keyword(loss)})")


# ---------------------------------------------------------------------------------------------------------------
# Classes
# ---------------------------------------------------------------------------------------------------------------

FORWARD = {
    "elements": "The reduced loss of labels and predictions that broadcast.",
    "dense": "The reduced loss of dense labels and predictions of one shape.",
    "sparse": "The reduced loss of class indices and predictions.",
}
BASE = {"elements": "_OfElements", "dense": "_Dense", "sparse": "_Loss"}
ALIGNED = """
A label of shape (N,) beside a prediction of shape (N, 1), or the other way round, is aligned, not broadcast.
"""


def torch_module(loss: Loss) -> str:
    given = loss.options.arrays
    plain = [name for name in loss.options.declared() if name not in given]
    aligned = ALIGNED if loss.layout == "elements" else "\n"
    first = (
        f"`{loss.name}` as a module: ``loss(y_true, y_pred)``.\n{aligned}"
        f"{' and '.join(f'`{name}`' for name in given)} may be `torch.nn.Parameter`: they have gradients."
    )
    text = docstring(loss, first, class_example(loss, "torch"), data=False, extra=torch_reduction(loss))
    taken = ["self", *parameters(loss), *reduced_by("mean")]
    reduction = ", ".join(f"{name}=self.{name}" for name in ("reduction", "normalizer", "group"))
    values = [f"{name}=self.option({name!r}, prediction)" for name in given] + [f"{name}=self.{name}" for name in plain]
    return f"""@answering
class {loss.class_name}({BASE[loss.layout]}):
{text}

    {chr(10).join(f"    {name}: Any" for name in loss.options.declared()).strip()}

    def __init__({", ".join(taken)},) -> None:
        super().__init__()
        self.keep(losses.{constant(loss)}, reduction, normalizer, group, {by_keyword(loss)})

    def forward(self, y_true: Any, y_pred: Any) -> Tensor:
        \"\"\"{FORWARD[loss.layout]}\"\"\"
        labels, prediction = self.labels_and_prediction(y_true, y_pred)
        return {loss.name}(labels, prediction, {", ".join(values)}, {reduction})
"""


def keras_class(loss: Loss, kind: str) -> str:
    """The source of a Keras class. `kind` is loss or metric."""
    sparse = "Sparse" if loss.layout == "sparse" else ""
    base, registered = (f"_{sparse}FocalLoss", "") if kind == "loss" else (f"_{sparse}FocalMetric", "Metric")
    own = KERAS_LOSS if kind == "loss" else KERAS_METRIC
    door = "losses" if kind == "loss" else "metrics"
    text = docstring(loss, f"`{loss.name}` as a Keras {kind}.", class_example(loss, door), data=False, extra=own)
    names = list(loss.options.declared())
    positional = loss.keras_positional if kind == "loss" and loss.keras_positional is not None else loss.positional
    reduction = ['reduction: str | None = "sum_over_batch_size"'] if kind == "loss" else []
    given = parameters(loss, positional)
    last = given.index("*") if positional == loss.keras_reduction_at else len(given)
    own_parameters = [*reduction, f'name: str = "{loss.name}"', "dtype: Any = None"]
    taken = ["self", *given[:last], *own_parameters, *given[last:]]
    why = f"    # {loss.keras_positional_because}\n" if positional != loss.positional else ""
    return f"""@keras.saving.register_keras_serializable("focal_loss", "{loss.class_name}{registered}")
@answering
class {loss.class_name}({base}):
{text}

    loss_name = "{loss.name}"
    {chr(10).join(f"    {name} = Option()" for name in names).strip()}

{why}    def __init__({", ".join(taken)},) -> None:
        options = {{{", ".join(f'"{name}": {name}' for name in names)}}}
        super().__init__(options, {"reduction, " if reduction else ""}name, dtype)
"""


# ---------------------------------------------------------------------------------------------------------------
# Files
# ---------------------------------------------------------------------------------------------------------------


# Public names beside the losses, whose source is written by hand.
OWN = {
    "numpy": ["binary_focal_loss_derivatives", "sparse_categorical_focal_loss_derivatives"],
    "torch": [
        "CategoricalPosteriorFromLogits",
        "FocalLoss",
        "PosteriorFromLogits",
        "SigmoidFocalLoss",
        "compat",
        "linear_sparse_categorical_focal_loss",
        "sigmoid_focal_loss",
        "vocab_parallel_linear_sparse_categorical_focal_loss",
        "vocab_parallel_sparse_categorical_focal_loss",
    ],
    "jax": ["linear_sparse_categorical_focal_loss", "sigmoid_focal_loss"],
    "tensorflow": [],
}


MODULES = sorted(["calibration", "keras", "schedules", "weights", *frameworks.BACKENDS, *frameworks.CLASSIFIERS])
# The settings, and the model of the command.
SETTINGS = [
    ("_command.model", "load"),
    ("_core.checks", "set_checks"),
    ("_dispatch.frameworks", "get_backend"),
    ("_dispatch.frameworks", "set_backend"),
    ("_dispatch.frameworks", "show_config"),
    ("_host.kernels", "set_num_threads"),
]


def lines(values: Sequence[Any], form: str) -> str:
    return "".join(form.format(value) + "\n" for value in values)


def names(values: list[str]) -> str:
    """The entries of `__all__`."""
    return lines(sorted(values), '    "{}",')


def list_of_losses() -> str:
    """The imports of `_core/losses/__init__.py`, made from the names of the files before any of them is imported."""
    constants = {name: name.upper() for name in loss_names()}
    imports = "".join(f"from focal_loss._core.losses.{name} import LOSS as {c}\n" for name, c in constants.items())
    shown = sorted(["LOSSES", *constants.values()])
    return f"{imports}\nLOSSES = ({', '.join(constants.values())},)\n\n__all__ = {shown}\n"


def regions(losses: list[Loss]) -> dict[str, dict[str, str]]:
    """The generated text, by file and by name of its region."""
    modules = [loss for loss in losses if loss.torch_module]
    functions = [loss.name for loss in losses]
    labeled = [loss for loss in losses if loss.labeled]  # Keras cannot train with the others
    classes = [loss.class_name for loss in labeled]
    sparse = next(loss for loss in losses if loss.name == "sparse_categorical_focal_loss")

    def each(write: Callable[[Loss], str], chosen: list[Loss] = losses) -> str:
        return "\n\n".join(write(loss) for loss in chosen)

    def keras_door(kind: str) -> dict[str, str]:
        of_labels = [loss.name for loss in labeled]
        return {
            "imports": f"from focal_loss.keras._functions import ({', '.join(of_labels)},)\n"
            f"from focal_loss.keras._{kind} import ({', '.join(classes)},)\n",
            "names": names([*of_labels, *classes]),
        }

    return {
        "_host/functions.py": {"functions": each(numpy_function)},
        "numpy.py": {
            "imports": f"from focal_loss._host.functions import ({', '.join(functions + OWN['numpy'])},)\n",
            "names": names([*functions, *OWN["numpy"]]),
        },
        "torch/_functions.py": {"functions": each(torch_function)},
        "torch/_linear.py": {"head": linear.head(sparse, "torch")},
        "jax/_linear.py": {"head": linear.head(sparse, "jax")},
        "torch/_modules.py": {
            "imports": f"from focal_loss.torch._functions import {', '.join(loss.name for loss in modules)}\n",
            "modules": each(torch_module, modules),
        },
        "torch/__init__.py": {
            "imports": "from focal_loss.torch import compat\n"
            "from focal_loss.torch._conventions import FocalLoss, SigmoidFocalLoss\n"
            f"from focal_loss.torch._functions import ({', '.join(functions)}, sigmoid_focal_loss)\n"
            "from focal_loss.torch._linear import linear_sparse_categorical_focal_loss\n"
            f"from focal_loss.torch._modules import ({', '.join(loss.class_name for loss in modules)},)\n"
            "from focal_loss.torch._posteriors import CategoricalPosteriorFromLogits, PosteriorFromLogits\n"
            "from focal_loss.torch._vocab_parallel import vocab_parallel_sparse_categorical_focal_loss\n"
            "from focal_loss.torch._vocab_parallel_linear import (\n"
            "    vocab_parallel_linear_sparse_categorical_focal_loss,\n)\n",
            "names": names([*functions, *(loss.class_name for loss in modules), *OWN["torch"]]),
        },
        "jax/_functions.py": {"functions": each(jax_function)},
        "jax/__init__.py": {
            "imports": f"from focal_loss.jax._functions import ({', '.join(functions)}, sigmoid_focal_loss)\n"
            "from focal_loss.jax._linear import linear_sparse_categorical_focal_loss\n",
            "names": names([*functions, *OWN["jax"]]),
        },
        "tensorflow/_functions.py": {"functions": each(tensorflow_function)},
        "tensorflow/__init__.py": {
            "imports": f"from focal_loss.tensorflow._functions import ({', '.join(functions)},)\n",
            "names": names([*functions, *OWN["tensorflow"]]),
        },
        "_dispatch/functions.py": {"functions": each(lambda loss: dispatching_function(loss, "top"))},
        "keras/_functions.py": {"functions": each(lambda loss: dispatching_function(loss, "keras"), labeled)},
        "keras/_losses.py": {"classes": each(lambda loss: keras_class(loss, "loss"), labeled)},
        "keras/_metrics.py": {"classes": each(lambda loss: keras_class(loss, "metric"), labeled)},
        "keras/losses.py": keras_door("losses"),
        "keras/metrics.py": keras_door("metrics"),
        "__init__.py": {
            "names": f"_FUNCTIONS = {tuple(functions)}\n_CLASSES = {tuple(classes)}\n"
            f"_MODULES = {tuple(MODULES)}\n_SETTINGS = {tuple(sorted(name for _, name in SETTINGS))}\n"
        },
        "__init__.pyi": {
            "names": lines(MODULES, "from focal_loss import {0} as {0}")
            + lines(SETTINGS, "from focal_loss.{0[0]} import {0[1]} as {0[1]}")
            + lines(functions, "from focal_loss._dispatch.functions import {0} as {0}")
            + lines(classes, "from focal_loss.keras.losses import {0} as {0}")
        },
    }


def label_table(losses: list[Loss]) -> str:
    form = "| {} | {} | [`{name}`](losses/{name}.md) |\n"
    rows = [form.format(*row, name=loss.name) for loss in losses for row in loss.labels]
    return "| The label of an example is | Task | Function |\n|---|---|---|\n" + "".join(rows)


def main() -> None:
    source = "the losses declare"
    path = PACKAGE / "_core" / "losses" / "__init__.py"
    write({path: written(path, "doors", {"losses": list_of_losses()})}, "doors", source)
    losses = declared()
    texts = {PACKAGE / name: written(PACKAGE / name, "doors", parts) for name, parts in regions(losses).items()}
    texts[PAGE] = written(PAGE, "doors", {"losses": label_table(losses)})
    for name, parts in boosters.regions().items():
        texts[PACKAGE / name] = written(PACKAGE / name, "doors", parts)
    for name, sections in boosters.classifiers().items():
        path = PACKAGE / name
        texts[path] = formatted(boosters.with_sections(path.read_text(encoding="utf-8"), sections), path)
    write(texts, "doors", source)


if __name__ == "__main__":
    main()
