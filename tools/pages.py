"""Writes the page and the picture of every loss into `docs/`, from the losses in `_core/losses`.

`make pages` runs it. `python tools/pages.py --check` writes nothing, and fails if a file would change.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import curves
import numpy as np
from docstrings import class_example, function_example, keywords, shown
from doors import data_names, declared, parameters
from marks import ROOT, write

from focal_loss import calibration
from focal_loss import numpy as functions
from focal_loss._calibration.family import FORMS, WITHOUT
from focal_loss._core.declare import REQUIRED, Loss, Option

FOLDER, PICTURES = ROOT / "docs" / "losses", ROOT / "docs" / "images" / "losses"
WRITTEN = "<!-- Written by tools/pages.py from what the loss declares; `make pages` writes it anew. -->"
COMMON = ("from_logits", "axis", "apply_class_balancing")  # options whose errors say nothing of this loss


def paragraph(text: str) -> str:
    """One paragraph, wrapped, with the marks of docstrings as those of Markdown. No line breaks within code."""
    plain = re.sub(r"``(.+?)``", r"`\1`", " ".join(text.split()))
    whole = re.sub(r"`.+?`|\[.+?\]\(", lambda code: code[0].replace(" ", "\0"), plain)
    return textwrap.fill(whole, 120, break_long_words=False, break_on_hyphens=False).replace("\0", " ")


def linked(text: str, own: str, names: Sequence[str]) -> str:
    """The text with a link at its first mention of each other loss."""
    for name in names:
        if name != own:
            text = re.sub(rf"`{name}`", f"[`{name}`]({name}.md)", text, count=1)
    return text


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def block(code: str) -> str:
    """A doctest, with the line before the fence that keeps the fence out of its output."""
    return f"```python\n{code}\n\n```"


# ---------------------------------------------------------------------------------------------------------------
# Sections
# ---------------------------------------------------------------------------------------------------------------


def formula(loss: Loss) -> str:
    """The notes of the docstring: paragraphs, and the formula as an indented block."""
    parts = [
        part if part.startswith("    ") else paragraph(part.replace(" [1]_", ""))
        for part in loss.notes.strip("\n").split("\n\n")
    ]
    return "\n\n".join(parts)


def numbers(loss: Loss) -> str:
    """Values and slopes at a few logits, of the default options."""
    z = np.array([-20.0, -3.0, 0.0, 3.0, 20.0])
    labels = loss.curve.labels
    softmax = loss.layout in ("dense", "sparse")
    head, columns = ["Margin" if softmax else "Logit"], [[f"{x:g}" for x in z]]
    for label in labels:
        of = f", label {label:g}" if loss.labeled and not softmax else ""
        for form, name in ((curves.VALUE, "Loss" if loss.labeled else "Cost"), (curves.SLOPE, "Slope")):
            head.append(name + of)
            columns.append([f"{x:.6g}" for x in curves.computed(form, loss, label, z)])
    given = "".join(f", `{name}={value:g}`" for name, value in curves.required(loss).items())
    says = f"In float64, with the default options{given}; the slope is the derivative in the {head[0].lower()}."
    return f"{says}\n\n{table(head, list(zip(*columns, strict=True)))}"


def doors(loss: Loss) -> str:
    """The signature, and where it is found."""
    options = [re.sub(r": .*?( = |$)", lambda found: found[1].strip(), text) for text in parameters(loss)]
    signature = f"{loss.name}({', '.join([*data_names(loss), *options])})"
    name, own = f"`{loss.name}`", f'`name="{loss.name}"`, `dtype=None`'
    rows = [
        ["function", name, "`focal_loss`, `focal_loss.numpy`, `focal_loss.jax`, `focal_loss.tensorflow`", ""],
        ["function", name, "`focal_loss.torch`", '`reduction="none"`' if loss.labeled else ""],
    ]
    name = f"`{loss.class_name}`"
    if loss.torch_module:
        rows.append(["module", name, "`focal_loss.torch`", '`reduction="mean"`'])
    if loss.labeled:
        rows.append(["loss", name, "`focal_loss.keras.losses`", f'`reduction="sum_over_batch_size"`, {own}'])
        rows.append(["metric", name, "`focal_loss.keras.metrics`", own])
    wrapped = textwrap.fill(signature, 116, subsequent_indent=" " * 4)
    return f"```text\n{wrapped}\n```\n\n{table(['Kind', 'Name', 'In', 'Beside these options'], rows)}"


def option_table(loss: Loss) -> str:
    def row(name: str, option: Option, default: Any) -> list[str]:
        value = "required" if default is REQUIRED else f"`{default!r}`"
        says = re.sub(r"``(.+?)``", r"`\1`", " ".join(option.says.split()))
        return [f"`{name}`", option.type.removesuffix(", optional"), value, says]

    rows = [row(name, option, default) for name, (option, default) in loss.options.declared().items()]
    return table(["Option", "Type", "Default", "Meaning"], rows)


def examples(loss: Loss) -> str:
    torch = class_example(loss, "torch") if loss.torch_module else function_example(loss, "torch")
    return f"{block(function_example(loss, 'numpy'))}\n\n{block(torch)}"


def refused(call: str, scope: dict[str, Any]) -> str:
    """A call and its error, as a doctest."""
    try:
        eval(call, scope)
    except (TypeError, ValueError) as error:
        message = textwrap.fill(f"{type(error).__name__}: {error}", 112, break_long_words=False, break_on_hyphens=False)
        return f">>> {call}\nTraceback (most recent call last):\n{message}"
    raise SystemExit(f"{call} must be an error")


BAD = {
    "elements": "[0, 255], [0.2, 0.9]",
    "average": "[[0, 255]], [[0.2, 0.9]]",
    "dense": "[1, 0], [[0.2, 0.8], [0.7, 0.3]]",
    "sparse": "[2], [[0.2, 0.8]]",
    "unlabeled": "[0.2, -1.5]",
}
GOOD = {
    "elements": "[0, 1], [0.2, 0.9]",
    "average": "[[0, 1]], [[0.2, 0.9]]",
    "dense": "[[0, 1]], [[0.2, 0.8]]",
    "sparse": "[1], [[0.2, 0.8]]",
    "unlabeled": "[0.2, 0.9]",
}


def errors(loss: Loss) -> str:
    """The error of one invalid value for each kind of option, and of a wrong label or prediction."""
    scope = {loss.name: getattr(functions, loss.name)}
    needed = {name: int(value) for name, value in curves.required(loss).items()}
    kinds, calls = set(), []
    for name, (option, _) in loss.options.declared().items():
        if name not in COMMON and option.kind not in kinds:
            kinds.add(option.kind)
            others = {key: value for key, value in needed.items() if key != name}
            calls.append(GOOD[loss.layout] + keywords(others | {name: option.kind.invalid[0][0]}))
    calls.append(BAD[loss.layout] + keywords(needed))
    return block("\n".join(refused(f"{loss.name}({call})", scope) for call in calls))


def derivatives(loss: Loss) -> str:
    others = [*(["y_true"] if loss.labeled and loss.layout != "sparse" else []), *loss.options.arrays]
    names = [f"`{name}`" for name in ("y_pred", *others)]
    text = f"""In PyTorch, JAX and TensorFlow the first derivatives in {", ".join(names[:-1])} and {names[-1]} and the
second ones in `y_pred` are closed forms: never NaN at a finite logit, and right to [the last
digits](../accuracy.md)."""
    if hasattr(functions, f"{loss.name}_derivatives"):
        text += f" For NumPy arrays `{loss.name}_derivatives` gives the value and both derivatives in the logits."
    if "detach_weight" in loss.options.declared():
        text += " With `detach_weight` the slope of a negative leaves out what comes from its factor `p**gamma`."
    return paragraph(text)


def posterior(loss: Loss) -> str:
    """The way back from the scores to probabilities, by an example."""
    if loss.name not in FORMS and loss.layout in ("elements", "unlabeled"):
        why = WITHOUT.get(loss.name, "none has a closed form here")
        return paragraph(f"There is no way from its numbers to probabilities: {why}.")
    if loss.name in FORMS:
        target, first, logits = "posterior_of_loss", f'"{loss.name}", ', [-2.0, 0.0, 2.0]
        more = "With labels between 0 and 1 there is none, because it depends on how they are distributed."
    elif loss.layout == "average":
        target, first, logits = "posterior_from_logits", "", [-2.0, 0.0, 2.0]
        more = "Where `alpha` balances the classes, it takes `pos_weight=alpha / (1 - alpha)` too."
    else:
        target, first, logits = "categorical_posterior_from_logits", "", [[1.0, 0.0, -1.0]]
        more = f"It takes the `{loss.options.weight_name}` of the training as `class_weight`, if it differs by class."
    given = curves.required(loss) if loss.name in FORMS else {"gamma": 2.0}
    given = {name: int(value) for name, value in given.items()}
    arguments = (loss.name, logits) if first else (logits,)
    result = shown(getattr(calibration, target)(*arguments, **given))
    link = "sigmoid" if first or loss.layout == "average" else "softmax"
    text = f"""The {link} of a model that was trained with this loss is a score, not a probability. For hard labels the
map to probabilities has a closed form, which takes the logits and the options of the training: see
[calibration](../calibration.md). {more}"""
    code = f">>> from focal_loss.calibration import {target}\n>>> {target}({first}{logits}{keywords(given)}).round(4)"
    exponents = np.exp(logits)
    scores = exponents / (exponents.sum(-1, keepdims=True) if link == "softmax" else 1 + exponents)
    listed = ", ".join(f"{score:.4f}" for score in scores.ravel())
    return f"{paragraph(text)}\n\n{block(f'{code}{chr(10)}{result}')}\n\nThe {link} gives {listed}."


def elsewhere(loss: Loss) -> str:
    peers = table(["Library", "Its call", "Here"], [[peer.library, peer.call, peer.here] for peer in loss.peers])
    return f"{peers}\n\nArgument by argument: [coming from another library](../coming_from/README.md)."


def title(loss: Loss) -> str:
    option, what = loss.curve.option, "loss" if loss.labeled else "cost"
    values = ", ".join(f"{value:g}" for value in loss.curve.values)
    return f"{loss.name}: the {what} and the size of its slope against the logit, for {option} of {values}"


def page(loss: Loss, names: Sequence[str]) -> str:
    texts = {field: linked(getattr(loss, field), loss.name, names) for field in ("summary", "when", "notes")}
    loss = replace(loss, **texts)
    reference = re.sub(r"arXiv:([\d.]+\d)", r"[arXiv:\1](https://arxiv.org/abs/\1)", loss.references)
    sections = {
        "Formula": formula(loss),
        "Calls": doors(loss),
        "Options": option_table(loss),
        "Examples": examples(loss),
        "Numbers": numbers(loss),
        "Derivatives": derivatives(loss),
        "Probabilities": posterior(loss),
        "Errors": errors(loss),
        "In other libraries": elsewhere(loss),
        "Reference": paragraph(reference),
    }
    image = f"![{title(loss)}](../images/losses/{loss.name}.svg)"
    start = "\n\n".join([f"# {loss.name}", paragraph(loss.summary), paragraph(loss.when), image])
    return f"{WRITTEN}\n{start}" + "".join(f"\n\n## {name}\n\n{text}" for name, text in sections.items()) + "\n"


def index(losses: list[Loss]) -> str:
    rows = [[f"[`{loss.name}`]({loss.name}.md)", loss.summary] for loss in losses]
    says = "One page for each loss. [Which loss](../which_loss.md) helps to choose by the labels."
    return f"{WRITTEN}\n# The losses\n\n{says}\n\n{table(['Loss', 'In a sentence'], rows)}\n"


def main() -> None:
    losses = declared()
    names = [loss.name for loss in losses]
    texts = {FOLDER / f"{loss.name}.md": page(loss, names) for loss in losses}
    texts |= {PICTURES / f"{loss.name}.svg": curves.picture(loss, title(loss)) for loss in losses}
    texts[FOLDER / "README.md"] = index(losses)
    there: set[Path] = {*FOLDER.glob("*"), *PICTURES.glob("*")}
    if unknown := sorted(path.name for path in there - set(texts)):
        raise SystemExit(f"no loss has these files: {', '.join(unknown)}; delete them")
    write(texts, "pages", "the losses declare")


if __name__ == "__main__":
    main()
