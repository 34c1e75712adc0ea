"""The docstrings of the public functions and classes, made from the declarations of the losses, in numpydoc's form."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np

from focal_loss._core.declare import REQUIRED, Example, Loss, Option, Options
from focal_loss._core.losses import common

PREDICTIONS = "of a floating dtype; integers and lists become float32."
ELEMENTS = f"""y_true : array_like of bool, int or float, any shape
    Labels in [0, 1]. Others are refused where they can be read: in eager code, on the host.
y_pred : array_like, a shape that broadcasts with `y_true`
    Logits or probabilities of the positive class, {PREDICTIONS}"""
DATA = {
    "elements": ELEMENTS,
    "average": ELEMENTS,
    "dense": f"""y_true : array_like, shape (..., K, ...)
    The probability of each class: one-hot, smoothed or soft.
y_pred : array_like, shape (..., K, ...)
    Logits or probabilities of the K classes, {PREDICTIONS}""",
    "unlabeled": f"""y_pred : array_like, any shape
    Logits or probabilities of the positive class, {PREDICTIONS}""",
    "sparse": f"""y_true : array_like of int, the shape of `y_pred` without its class axis
    Class indices in [0, K). A class axis of length 1 is dropped.
y_pred : array_like, shape (..., K, ...)
    Logits or probabilities of the K classes, {PREDICTIONS}""",
}

RESULT = {
    "elements": ("the shape to which the arguments broadcast", "The loss of each example."),
    "average": ("the common shape without `axis`", "The mean loss over the axis."),
    "dense": ("the common shape without the class axis", "The loss of each example."),
    "sparse": ("the shape of `y_true`", "The loss of each example."),
    "unlabeled": ("the shape to which the arguments broadcast", "The cost of each prediction."),
}
WIDTH = "The dtype is that of `y_pred`. float16 and bfloat16 are computed in float32 and rounded once."

INDEX = ", a class index is out of range (where it can be read; in compiled code and on a GPU that loss is NaN)"
RAISES = """TypeError
    If an option has the wrong type, or labels or predictions are not real numbers.
ValueError
{value}"""

NONE_LEFT = "that are not ignored, and 0 where there are none"
MEAN_VALID = {
    "sparse": f". The mean is over the examples {NONE_LEFT}",
    "elements": f". The mean is over the predictions {NONE_LEFT}",
    "average": f". The mean is over all predictions {NONE_LEFT}",
}
REDUCED = "A mean or a sum of half precision is float32. Under `torch.autocast` every loss is float32, reduced or not."
KERAS_LOSS = """reduction : str or None
    The reduction of every Keras loss: 'sum_over_batch_size' is the mean over all examples.
name : str
    The name of the loss.
dtype : str, optional
    The dtype of the computation, Keras' `floatx` if None."""
KERAS_METRIC = """name : str
    The name of the metric.
dtype : str, optional
    The dtype of the result."""


def filled(text: str) -> str:
    """A description below the line of its name, wrapped for a docstring that stands in a function or a class."""
    return textwrap.fill(" ".join(text.split()), 116, initial_indent="    ", subsequent_indent="    ")


AXIS_NAME = "axis_name : str or tuple of str, optional\n" + filled(
    "The axis of a `jax.shard_map` or `jax.pmap`, around the call, that splits the classes: predictions, dense labels "
    "and parameters of the classes hold those of this device, in order; class indices count all classes. The result "
    "is the loss of all classes, on every device. It is differentiable once in the logits. Inside `jax.pmap`, or "
    "where ``check_vma=False``, JAX's derivative of anything that devices share is that of the sum over them."
)


def entry(name: str, option: Option) -> str:
    """An option as the section `Parameters` describes it."""
    return f"{name} : {option.type}\n{filled(option.says)}"


def option_parameters(options: type[Options], positional: int) -> list[str]:
    """The options as parameters of a signature, with a star before the keyword-only ones."""
    lines = []
    for place, (name, (option, default)) in enumerate(options.declared().items()):
        if place == positional:
            lines.append("*")
        lines.append(f"{name}: {option.kind.annotation}{' | None' if default is None else ''}{default_of(default)}")
    return lines


def parameters(loss: Loss, data: bool, extra: str) -> str:
    entries = [DATA[loss.layout]] if data else []
    entries += [entry(name, option) for name, (option, _) in loss.options.declared().items()]
    return "\n".join([*entries, *([extra] if extra else [])])


def docstring(loss: Loss, first: str, example: str, *, data: bool = True, extra: str = "") -> str:
    """A docstring. `first` holds the lines above the sections; `data`: whether the target has `y_true` and `y_pred`."""
    value = filled(
        f"If an option is out of range{INDEX if loss.layout == 'sparse' else ''}, if shapes do not match, or if "
        f"{'labels or probabilities' if loss.labeled else 'probabilities'} are outside [0, 1] where they can be read: "
        "in eager code, on the host, unless "
        "`focal_loss.set_checks` turns that off."
    )
    shape, meaning = RESULT[loss.layout]
    sections = [
        first,
        f"Parameters\n----------\n{parameters(loss, data, extra)}",
        f"Returns\n-------\nloss : array, {shape}\n{filled(f'{meaning} {WIDTH}')}",
        f"Raises\n------\n{RAISES.format(value=value)}",
        f"Notes\n-----\n{loss.notes}",
        "References\n----------\n.. [1] " + loss.references.replace("\n", "\n   "),
        f"Examples\n--------\n{example}",
    ]
    text = textwrap.indent("\n\n".join(sections), "    ").strip()
    return f'    """{text}\n    """'


def reduced_by(default: str) -> list[str]:
    """The parameters of a reduction, as PyTorch has them."""
    return [f'reduction: Reduction = "{default}"', "normalizer: Normalizer = None", "group: Group = None"]


def torch_reduction(loss: Loss) -> str:
    """The options of reductions, which PyTorch has."""
    valid = MEAN_VALID[loss.layout] if "ignore_class" in loss.options.declared() else ""
    says = f"How to reduce the losses{valid}. {REDUCED}"
    return f"reduction : {{'none', 'mean', 'sum'}}\n{filled(says)}\n{torch_normalizer(loss)}"


WEIGHS = {
    common.weight_of_positives: ", that of a positive and 1 for a negative",
    common.weight_of_sides: ", `alpha` for a positive and 1 - `alpha` for a negative, or 1 each",
    common.weight_of_negatives: ", 1 for a positive and `alpha` for a negative",
    common.weight_of_scores: ", its score for a positive and `alpha` for a negative",
    None: "",
}
GROUP_TYPE = "group : torch.distributed.ProcessGroup or bool, optional"
GROUP = """The processes that share a batch, True for all of them. Their divisors, numbers too, are added up, and the
loss is multiplied by the number of processes: the average of their gradients, which DDP and FSDP take, is then that of
one process with the whole batch. Each of them must call the loss. See `docs/many_machines.md`."""


def torch_normalizer(loss: Loss) -> str:
    """The options of what a mean divides by."""
    declared = loss.options.declared()
    noun = "predictions" if loss.layout in ("elements", "average") else "examples"
    counts = {"valid": f"None or 'valid': the number of {noun}{_unless_ignored(declared)}."}
    if loss.layout != "sparse":
        labels = "labels of 1" if loss.only_ones else "labels"
        count = "the number of" if loss.only_ones else "the sum of the"
        counts["positives"] = f"'positives': {count} {labels}{_before_smoothing(declared)}, at least 1."
    if loss.options.weight_name:
        counts["weight"] = f"'weight': the sum of the weights of the labels{WEIGHS[loss.label_weight]}."
    says = f"""The divisor of the sum of the losses in a mean, a constant in derivatives. {" ".join(counts.values())} A
positive number, or a tensor of one: itself. The mean is 0 where the divisor is 0."""
    kinds = ", ".join(f"{name!r}" for name in counts)
    return f"normalizer : {{{kinds}}}, float or Tensor, optional\n{filled(says)}\n{GROUP_TYPE}\n{filled(GROUP)}"


def _unless_ignored(declared: Mapping[str, Any]) -> str:
    return " that are not ignored" if "ignore_class" in declared else ""


def _before_smoothing(declared: Mapping[str, Any]) -> str:
    return " before smoothing" if "label_smoothing" in declared else ""


# ---------------------------------------------------------------------------------------------------------------
# Examples
# ---------------------------------------------------------------------------------------------------------------


def shown(result: Any, name: str = "array") -> str:
    """A result as NumPy prints an array of float32."""
    return repr(np.asarray(result, np.float32).round(4)).replace("array", name, 1)


def shown_by_torch(result: Any) -> str:
    array = np.asarray(result)
    return f"tensor({', '.join(f'{x:.4f}' for x in array)})" if not array.ndim else f"tensor({_nested(array)})"


def _nested(array: Any) -> str:
    """A row as torch prints it, which leaves room for the sign of each number if one is negative."""
    sign = " " if any(x < 0 for x in array) else ""
    return f"[{', '.join(f'{x:{sign}.4f}' for x in array)}]"


def keywords(options: dict[str, Any]) -> str:
    return "".join(f", {name}={value!r}" for name, value in options.items())


def call(target: str, example: Example, tensor: str = "", after: str = "", options: bool = True) -> str:
    """The lines of a call. Predictions get a line of their own if the call would be too long."""
    wrap = (lambda x: f"{tensor}({x!r})") if tensor else repr
    given = keywords(example.options) if options else ""
    labels = "" if example.y_true is None else f"{wrap(example.y_true)}, "
    line = f">>> {target}({labels}{wrap(example.y_pred)}{given}){after}"
    if len(line) <= 112:
        return line
    return f">>> y_pred = {wrap(example.y_pred)}\n>>> {target}({labels}y_pred{given}){after}"


def function_example(loss: Loss, door: str) -> str:
    own = loss.examples.get(door)
    if own:
        return own
    module = {"top": "focal_loss", "keras": "focal_loss.keras.losses"}.get(door, f"focal_loss.{door}")
    lines = [f">>> from {module} import {loss.name}"]
    example = loss.example
    if door == "keras":
        lines.insert(0, ">>> import keras")
        made = call(f"loss = {loss.name}", example)
        return "\n".join([*lines, made, ">>> keras.ops.convert_to_numpy(loss).round(4)", shown(example.result)])
    if door == "torch":
        lines.insert(0, ">>> import torch")
        return "\n".join([*lines, call(loss.name, example, "torch.tensor"), shown_by_torch(example.result)])
    after = ".numpy().round(4)" if door in ("tensorflow", "top") else ".round(4)"
    result = shown(example.result, "Array" if door == "jax" else "array")
    return "\n".join([*lines, call(loss.name, example, after=after), result])


def class_example(loss: Loss, door: str) -> str:
    """The example of a class. `door` is torch, losses or metrics."""
    own = loss.examples.get(f"{door} class")
    if own:
        return own
    name, example = loss.class_name, loss.example
    mean = float(np.mean(example.result))
    made = f"{name}({keywords(example.options).removeprefix(', ')})"
    if door == "torch":
        lines = [">>> import torch", f">>> from focal_loss.torch import {name}", f">>> loss = {made}"]
        return "\n".join([*lines, call("loss", example, "torch.tensor", options=False), f"tensor({mean:.4f})"])
    lines = [f">>> from focal_loss.keras.{door} import {name}"]
    if door == "losses":
        value = call("loss", example, options=False).removeprefix(">>> ")
        first, _, rest = value.rpartition("\n>>> ")
        lines += [f">>> loss = {made}", *([f">>> {first}"] if first else [])]
        lines.append(f">>> print(round(float({rest}), 4))")
    else:
        lines += [f">>> metric = {made}", call("metric.update_state", example, options=False)]
        lines.append(">>> print(round(float(metric.result()), 4))")
    return "\n".join([*lines, str(round(mean, 4))])


def default_of(value: Any) -> str:
    return "" if value is REQUIRED else f" = {value!r}"
