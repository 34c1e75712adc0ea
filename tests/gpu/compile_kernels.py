"""Compiles every kernel for two generations of GPUs, of which none need be here, and prints how long the code is."""

from __future__ import annotations

import itertools
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from focal_loss import _triton


def compile_kernel(kernel: Any, capability: int, types: dict[str, str], constants: dict[str, Any]) -> int:
    """The number of PTX instructions."""
    signature = {name: "constexpr" if name in constants else types.get(name, "fp32") for name in kernel.arg_names}
    places = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    target, options = GPUTarget("cuda", capability, 32), {"num_warps": 4, "enable_fp_fusion": False}
    compiled = triton.compile(ASTSource(kernel, signature, places), target=target, options=options)
    assert compiled.asm["cubin"]
    return sum(line.endswith(";") and not line.strip().startswith(".") for line in compiled.asm["ptx"].splitlines())


def binary(logits: str, labels: str, order: int, twice: int, mix: bool) -> tuple[dict[str, str], dict[str, Any]]:
    types = dict.fromkeys(("size", "gamma_period", "positive_period", "negative_period"), "i64")
    types |= {"z_pointer": logits, "y_pointer": labels, "slope_pointer": logits, "sum_pointer": "*fp32"}
    types |= {"upstream_pointer": "*fp32"}
    constants = dict.fromkeys(("gamma_pointer", "positive_pointer", "negative_pointer", "value_pointer"), None)
    constants |= {"order": order, "twice": twice, "mix": mix, "integer_labels": labels == "*u8", "smooth": False}
    constants |= {"precise": logits == "*fp32", "unless_one": False, "block": 1024, "upstream_period": 1}
    return types, constants


def softmax(logits: str, rows: bool) -> tuple[dict[str, str], dict[str, Any]]:
    types = {"v_pointer": logits, "label_pointer": "*i64", "slope_pointer": logits, "value_pointer": logits}
    types |= {"gamma_pointer": "*fp32", "upstream_pointer": "*fp32", "sum_pointer": "*fp32", "examples": "i64"}
    types |= {"classes": "i32", "inner": "i32", "ignored": "i64", "upstream_step": "i32"}
    constants = {"weight_pointer": None, "factor_pointer": None, "twice": -1, "has_ignored": True, "rows": rows}
    constants |= {"precise": logits == "*fp32", "unless_one": True}
    return types, constants | ({"width": 1, "step": 4096} if rows else {"width": 256, "step": 1})


for capability in (80, 90):
    for logits, labels, twice, mix in itertools.product(("*fp32", "*bf16"), ("*u8", "*fp32"), (4, -1), (False, True)):
        count = compile_kernel(_triton.binary, capability, *binary(logits, labels, 1, twice, mix))
        print(f"sm_{capability} binary {logits} {labels} {twice} {mix}: {count} instructions")
    for logits, rows in itertools.product(("*fp32", "*fp16"), (True, False)):
        count = compile_kernel(_triton.softmax, capability, *softmax(logits, rows))
        print(f"sm_{capability} softmax {logits} rows {rows}: {count} instructions")
