"""The fused linear loss of PyTorch and JAX: its signature and docstring, from the options of the loss of its logits.

What follows below the docstring is each framework's own, and written by hand.
"""

from __future__ import annotations

import textwrap
from dataclasses import replace

from docstrings import (
    MEAN_VALID,
    RAISES,
    REDUCED,
    WIDTH,
    entry,
    filled,
    option_parameters,
    reduced_by,
    torch_normalizer,
)

from focal_loss._core.declare import Loss, Option

FIRST = "Softmax focal loss of a linear layer, without its logits in memory: for many classes, or tokens of a language."
LOGITS = {"torch": "linear(hidden, weight, bias)", "jax": "hidden @ weight.T + bias"}
ABOUT = {
    "torch": """A mean or a sum computes its gradients at once, chunk by chunk; they are all that is kept. In half
precision the gradients of weight and bias are added up in float32, on a GPU the rounded products of the chunks. In
float16 a gradient in a logit is lost below 6e-8, before a loss scaler can lift it: prefer bfloat16. The loss is
differentiable once, in `hidden`, `weight` and `bias`. `torch.compile` breaks its graph here.""",
    "jax": """Under `jax.grad` a mean or a sum computes its gradients at once, chunk by chunk in a `jax.lax.scan`; they
are all that is kept. In half precision the gradients of weight and bias are added up in float32, and a mean or a sum is
float32. The loss is differentiable in `hidden`, `weight` and `bias`, twice if it is a mean or a sum. Rows of `hidden`
and classes of `weight` that are sharded over devices stay where they are, and so do their gradients.""",
}
LAYER = """hidden : floating tensor, shape (..., D)
    The inputs of the last layer.
weight : floating tensor, shape (K, D), the dtype of `hidden`
    The weight of the last layer, whose logits are ``hidden @ weight.T + bias``.
y_true : tensor of int, shape (...)
    Class indices in [0, K)."""
BIAS = "bias : floating tensor, shape (K,), optional\n    The bias of the last layer."
RESULT = "loss : a number, or an array of the shape of `y_true` if `reduction` is 'none'"
OUT_OF_RANGE = """If an option or a class index is out of range, or if shapes do not match. Indices are read
where that costs little: eagerly, on the host, unless `focal_loss.set_checks` turns that off. Elsewhere the loss of such
an example is NaN."""
DOMAIN = "Domain: `y_true` in 0 .. K-1; the logits real, linked by the softmax."
EXAMPLES = {
    "torch": """>>> import torch
>>> from focal_loss.torch import linear_sparse_categorical_focal_loss
>>> layer = torch.nn.Linear(8, 1000)
>>> hidden = torch.zeros(4, 8)
>>> loss = linear_sparse_categorical_focal_loss(
...     hidden, layer.weight, torch.tensor([1, 2, 3, 999]), gamma=2, bias=torch.zeros(1000)
... )
>>> loss.backward()
>>> round(loss.item(), 3), layer.weight.grad.shape
(6.894, torch.Size([1000, 8]))""",
    "jax": """>>> import jax, jax.numpy as jnp
>>> from focal_loss.jax import linear_sparse_categorical_focal_loss
>>> y_true = jnp.array([1, 2, 3, 999])
>>> loss = lambda weight: linear_sparse_categorical_focal_loss(jnp.zeros((4, 8)), weight, y_true, gamma=2)
>>> value, gradient = jax.value_and_grad(loss)(jnp.ones((1000, 8)))
>>> round(float(value), 3), gradient.shape
(6.894, (1000, 8))""",
}
TENSOR = {"torch": "Tensor", "jax": "Any"}
RESULT_TYPE = {"torch": "Tensor", "jax": "Array"}
OF_LOGITS = ("from_logits", "axis")  # options that a layer determines


def head(loss: Loss, door: str) -> str:
    """The signature and docstring. `loss` is that of the logits; `door` is torch or jax."""
    tensor = TENSOR[door]
    layer = [f"hidden: {tensor}", f"weight: {tensor}", "y_true: Any"]
    bias = f"bias: {tensor} | None = None"
    reduction = reduced_by("mean") if door == "torch" else ['reduction: Reduction = "mean"']
    options = parameters(loss)
    options.insert(options.index("*") + 1, bias)
    taken = ", ".join([*layer, *options, *reduction])
    return f"""@answering
def linear_{loss.name}({taken}) -> {RESULT_TYPE[door]}:
{docstring(loss, door)}
"""


def of_layer(option: Option) -> Option:
    """The option in the words of the layer, which has inputs where the loss has predictions."""
    says = option.says.replace("`y_pred`, of length 1 in place of K", "`hidden`, of length 1 in place of D")
    return replace(option, type=option.type.replace("(..., 1, ...)", "(..., 1)"), says=says)


def parameters(loss: Loss) -> list[str]:
    return [p for p in option_parameters(loss.options, loss.positional) if p.partition(":")[0] not in OF_LOGITS]


def docstring(loss: Loss, door: str) -> str:
    options = [entry(n, of_layer(option)) for n, (option, _) in loss.options.declared().items() if n not in OF_LOGITS]
    autocast = REDUCED if door == "torch" else REDUCED.partition(" Under ")[0]
    says = filled(f"How to reduce the losses{MEAN_VALID['sparse']}. {autocast}")
    reduction = f"reduction : {{'none', 'mean', 'sum'}}\n{says}"
    if door == "torch":
        reduction += f"\n{torch_normalizer(loss)}"
    described = [LAYER, *options[: loss.positional], BIAS, *options[loss.positional :], reduction]
    same = f"It equals ``{loss.name}(y_true, {LOGITS[door]}, gamma, from_logits=True, ...)``."
    formula = f"{DOMAIN} The loss{loss.notes.partition('The loss')[2]}"
    sections = [
        FIRST,
        f"{same}\n{textwrap.fill(' '.join(ABOUT[door].split()), 116)}",
        "Parameters\n----------\n" + "\n".join(described),
        f"Returns\n-------\n{RESULT}\n{filled(WIDTH.replace('y_pred', 'hidden'))}",
        f"Raises\n------\n{RAISES.format(value=filled(OUT_OF_RANGE))}",
        f"Notes\n-----\n{formula}",
        "References\n----------\n.. [1] " + loss.references.replace("\n", "\n   "),
        f"Examples\n--------\n{EXAMPLES[door]}",
    ]
    text = textwrap.indent("\n\n".join(sections), "    ").strip()
    return f'    """{text}\n    """'
