"""Compiles every kernel for two generations of GPUs, without a GPU, and prints the length of the code."""

from __future__ import annotations

import itertools
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from focal_loss._core.pipeline import KERNEL_FAMILIES
from focal_loss.torch import _triton


def compile_kernel(kernel: Any, capability: int, types: dict[str, str], constants: dict[str, Any]) -> int:
    """The number of PTX instructions."""
    signature = {name: "constexpr" if name in constants else types.get(name, "fp32") for name in kernel.arg_names}
    places = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    target, options = GPUTarget("cuda", capability, 32), {"num_warps": 4, "enable_fp_fusion": False}
    compiled = triton.compile(ASTSource(kernel, signature, places), target=target, options=options)
    assert compiled.asm["cubin"]
    return sum(line.endswith(";") and not line.strip().startswith(".") for line in compiled.asm["ptx"].splitlines())


def binary(
    logits: str,
    labels: str | None,
    two_gamma: int,
    family: str,
    form: str,
    two_exponent: int | None = None,
    **more: Any,
) -> tuple[dict[str, str], dict[str, Any]]:
    """A binary kernel. `form` is "gradient" (with the sum of the values), "second" derivative, "value" or "rescale" by
    the upstream. `more` has the options that the family has, as types.

    The value is float32, as that of half-precision logits is under autocast.
    """
    types = dict.fromkeys(("size", "gamma_period", "positive_period", "negative_period", "exponent_period"), "i64")
    types |= {"z_pointer": logits, "y_pointer": labels, "slope_pointer": logits, "sum_pointer": "*fp32"}
    types |= {"upstream_pointer": "*fp32", "value_pointer": "*fp32"}
    absent = {"gradient": ["value_pointer"], "second": ["value_pointer", "sum_pointer"]}
    absent |= {"value": ["upstream_pointer", "slope_pointer", "sum_pointer"], "rescale": absent["second"]}
    absent[form] += ["gamma_pointer", "positive_pointer", "negative_pointer", "exponent_pointer"]
    absent[form] += [] if labels else ["y_pointer"]
    absent[form] += [] if two_exponent else ["exponent"]
    absent[form] += [name for name in ("clip", "epsilon") if name not in more]
    constants = dict.fromkeys(absent[form]) | {
        "order": 2 if form == "second" else 1,
        "two_gamma": two_gamma,
        "two_exponent": two_exponent,
        "family": KERNEL_FAMILIES.index(family),
        "detached": "detached" in more,
    }
    constants |= {"integer_labels": labels == "*u8", "smooth": False}
    constants |= {"precise": logits == "*fp32" or form == "value"}
    return types, constants | {"unless_one": form == "rescale", "block": 1024, "upstream_period": 1}


def softmax(logits: str, rows: bool, form: str) -> tuple[dict[str, str], dict[str, Any]]:
    types = {"v_pointer": logits, "label_pointer": "*i64", "slope_pointer": logits, "value_pointer": logits}
    types |= {"gamma_pointer": "*fp32", "factor_pointer": "*fp32", "sum_pointer": "*fp32", "examples": "i64"}
    types |= {"classes": "i32", "inner": "i32", "ignored": "i64", "upstream_step": "i32"}
    types |= {"upstream_pointer": "*fp32"}
    absent = {"gradient": ["weight_pointer", "factor_pointer"], "value": ["weight_pointer", "slope_pointer"]}
    absent |= {"rescale": ["weight_pointer", "gamma_pointer", "value_pointer", "sum_pointer"]}
    constants = dict.fromkeys(absent[form]) | {"two_gamma": -1, "has_ignored": True, "rows": rows}
    constants |= {"precise": logits == "*fp32", "unless_one": form == "rescale"}
    return types, constants | ({"width": 1, "step": 4096} if rows else {"width": 256, "step": 1})


MEMBERS = [  # family, 2 gamma, twice the exponent, options
    ("quality", 4, None, []),
    ("asymmetric", 2, 8, ["clip"]),
    ("asymmetric", -1, -1, ["clip"]),
    ("asymmetric", 0, 8, []),
    ("poly1", 4, None, ["epsilon"]),
    ("varifocal", 0, 4, []),
    ("matchability", 0, 3, ["detached"]),
    ("penalty_reduced", 4, 8, []),
    ("expected_loss", 4, None, []),  # a matching cost
]
FAMILIES = ("expected_loss", "p_t_loss")

for capability in (80, 90):
    grid = itertools.product(("*fp32", "*bf16"), ("*u8", "*fp32"), (4, -1), FAMILIES, ("gradient", "rescale"))
    kinds = [*grid, ("*fp32", "*u8", 4, "expected_loss", "second"), ("*fp16", "*fp32", 1, "p_t_loss", "value")]
    variants: list[tuple[Any, dict[str, Any]]] = [(kind, {}) for kind in kinds]
    for family, two_gamma, two_exponent, options in MEMBERS:
        labels = None if family == "expected_loss" else "*fp32"
        variants += [
            ((logits, labels, two_gamma, family, "gradient", two_exponent), dict.fromkeys(options, "fp32"))
            for logits in ("*fp32", "*bf16")
        ]
    for variant, more in variants:
        count = compile_kernel(_triton.binary, capability, *binary(*variant, **more))
        print(f"sm_{capability} binary {(*variant, *more)}: {count} instructions")
    for variant in itertools.product(("*fp32", "*fp16"), (True, False), ("gradient", "value", "rescale")):
        count = compile_kernel(_triton.softmax, capability, *softmax(*variant))
        print(f"sm_{capability} softmax {variant}: {count} instructions")
