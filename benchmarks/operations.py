"""``make operations``: the operations that XLA runs for a loss, counted in its optimised program for the CPU.

An operation counts once, in whichever loop of the program it stands: what two loops both compute counts twice.
Parameters, constants, tuples and what only renames or repeats numbers (bitcasts, copies of a constant) do not count.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

os.environ |= {"FOCAL_LOSS_ISA": "formula", "KERAS_BACKEND": "tensorflow", "JAX_PLATFORMS": "cpu"}

import jax
import jax.numpy as jnp
import keras
import optax
import tensorflow as tf

import focal_loss.jax
import focal_loss.tensorflow

RESULTS = Path(__file__).parent / "results"
SIZE = 100_000
GAMMAS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 2.3)
LABELS = {"integer": "int32", "float": "float32"}
# Many times as long as a product.
COSTLY = {"divide", "exponential", "log", "log-plus-one", "logistic", "power", "rsqrt", "sqrt", "tanh"}
FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "broadcast", "fusion", "call"}
INSTRUCTION = re.compile(r"^ +(?:ROOT )?%?[\w.-]+ = (?:\(.*?\)|\S+) ([\w-]+)\(", re.MULTILINE)
CALLED = re.compile(r"(?:fusion|call)\(.*(?:calls|to_apply)=%?([\w.-]+)")

Loss = Callable[[Any, Any], Any]  # the mean, from labels and logits


class Count(NamedTuple):
    operations: int
    costly: int
    loops: int  # over the numbers, or over what is left of them in a sum

    @classmethod
    def of(cls, program: str) -> Count:
        """The operations of an HLO program. The function that a sum applies is a part of it, not an operation."""
        bodies = {}
        for body in re.split(r"\n(?=\S)", program):
            if named := re.match(r"(?:ENTRY )?%?([\w.-]+) \(", body):
                bodies["ENTRY" if body.startswith("ENTRY") else named[1]] = body
        found: Counter[str] = Counter()
        run = ["ENTRY"]
        for name in run:
            found.update(INSTRUCTION.findall(bodies[name]))
            run += CALLED.findall(bodies[name])
        loops = [kind for kind in INSTRUCTION.findall(bodies["ENTRY"]) if kind not in FREE - {"fusion", "call"}]
        counted = {kind: number for kind, number in found.items() if kind not in FREE}
        return cls(sum(counted.values()), sum(counted.get(kind, 0) for kind in COSTLY), len(loops))

    def __str__(self) -> str:
        return f"{self.operations} ({self.costly}) in {self.loops}"


def of_jax(loss: Loss, gradient: bool, labels: str) -> Count:
    run = jax.value_and_grad(loss, 1) if gradient else loss
    given = jnp.zeros(SIZE, labels), jnp.zeros(SIZE)
    return Count.of(jax.jit(run).lower(*given).compile().as_text() or "")


def of_tensorflow(loss: Loss, gradient: bool, labels: str) -> Count:
    def both(y: tf.Tensor, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(z)
            value = loss(y, z)
        return value, tape.gradient(value, z)

    run = tf.function(both if gradient else loss, jit_compile=True)
    program = run.experimental_get_compiler_ir(tf.zeros(SIZE, labels), tf.zeros(SIZE))(stage="optimized_hlo")
    return Count.of(program)


def contestants(gamma: float) -> dict[str, tuple[Callable[[Loss, bool, str], Count], Loss]]:
    """The losses by the heading of their column. All weigh the positives by a number."""
    options: dict[str, Any] = {"gamma": gamma, "from_logits": True}
    ours_jax = partial(focal_loss.jax.binary_focal_loss, pos_weight=3.0, **options)
    ours_tensorflow = partial(focal_loss.tensorflow.binary_focal_loss, pos_weight=3.0, **options)
    balanced = partial(keras.losses.binary_focal_crossentropy, apply_class_balancing=True, alpha=0.75, **options)

    def of_optax(y: Any, z: Any) -> Any:
        if gamma == 0:  # which has no weights
            return jnp.mean(optax.sigmoid_binary_cross_entropy(z, y))
        return jnp.mean(optax.sigmoid_focal_loss(z, y, alpha=0.75, gamma=gamma))

    return {
        "ours, JAX": (of_jax, lambda y, z: jnp.mean(ours_jax(y, z))),
        "optax": (of_jax, of_optax),
        "ours, TensorFlow": (of_tensorflow, lambda y, z: tf.reduce_mean(ours_tensorflow(y, z))),
        "Keras": (of_tensorflow, lambda y, z: tf.reduce_mean(balanced(y, z))),
    }


def main() -> None:
    about = f"{date.today()}, JAX {jax.__version__}, TensorFlow {tf.__version__}"
    lines = [
        "# Operations under XLA",
        "",
        f"By `make operations` ({about}), in the optimised programs for the CPU, without our native kernels: the "
        f"mean of the binary loss of {SIZE} float32 logits, hard labels, a weight of the positives. `optax` is "
        "`sigmoid_focal_loss`, at gamma 0 `sigmoid_binary_cross_entropy` without a weight; Keras is "
        "`binary_focal_crossentropy`. A cell: operations (of these divisions, roots, powers, exponentials and "
        "logarithms) in so many loops. Each loop but the last ones, of the sum, writes an array to memory.",
    ]
    for form, gradient in (("Value", False), ("Value and gradient", True)):
        lines += ["", f"## {form}", ""]
        for gamma in GAMMAS:
            losses = contestants(gamma)
            if gamma == GAMMAS[0]:
                lines += ["| gamma | labels | " + " | ".join(losses) + " |", "|---" * (2 + len(losses)) + "|"]
            for label, dtype in LABELS.items():
                counts = [str(count(loss, gradient, dtype)) for count, loss in losses.values()]
                lines.append(f"| {gamma:g} | {label} | " + " | ".join(counts) + " |")
                print(lines[-1], flush=True)
    (RESULTS / "operations.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
