"""Runs the losses with each private name of a framework removed, in a process per framework.

``python tests/without_names.py torch`` prints a line of JSON per name: the note of `show_config`, and the derivatives
of one loss by every way there is, or the error.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator

import numpy as np

LOGITS = np.array([-3.0, -0.25, 0.5, 4.0])
LABELS = np.array([1.0, 0.0, 1.0, 1.0])
GAMMA = 2.0


def torch_ways() -> Iterator[tuple[str, Callable[[], object]]]:
    import torch

    from focal_loss.torch import binary_focal_loss

    labels = torch.tensor(LABELS)

    def total(z: torch.Tensor) -> torch.Tensor:
        return binary_focal_loss(labels, z, GAMMA, from_logits=True, reduction="sum")

    def logits() -> torch.Tensor:
        return torch.tensor(LOGITS, requires_grad=True)

    def eager() -> torch.Tensor:
        z = logits()
        return torch.autograd.grad(total(z), z)[0]

    def batched() -> torch.Tensor:
        z = logits()
        return torch.autograd.grad(total(z), z, torch.ones(1, dtype=z.dtype), is_grads_batched=True)[0][0]

    def forward() -> list[float]:
        with torch.autograd.forward_ad.dual_level():
            z = torch.autograd.forward_ad.make_dual(logits(), torch.eye(4, dtype=torch.float64)[0])
            return [torch.autograd.forward_ad.unpack_dual(total(z)).tangent.item()]

    def compiled() -> torch.Tensor:
        z = logits()
        return torch.autograd.grad(torch.compile(total, backend="aot_eager")(z), z)[0]

    def compiled_forward() -> list[float]:
        run = torch.compile(total, backend="aot_eager")
        with torch.autograd.forward_ad.dual_level():
            z = torch.autograd.forward_ad.make_dual(logits(), torch.eye(4, dtype=torch.float64)[0])
            return [torch.autograd.forward_ad.unpack_dual(run(z)).tangent.item()]

    yield "eager", eager
    yield "batched", batched
    yield "functional", lambda: torch.func.grad(total)(torch.tensor(LOGITS))
    yield "forward", forward
    yield "functional forward", lambda: torch.func.jacfwd(total)(torch.tensor(LOGITS))
    yield "compiled", compiled
    yield "compiled forward", compiled_forward


def tensorflow_ways() -> Iterator[tuple[str, Callable[[], object]]]:
    import tensorflow as tf

    from focal_loss.tensorflow import binary_focal_loss

    def losses(z: tf.Tensor) -> tf.Tensor:
        return binary_focal_loss(tf.constant(LABELS), z, GAMMA, from_logits=True)

    def reverse(z: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(z)
            value = losses(z)
        return tape.gradient(value, z)

    def forward(z: tf.Tensor) -> tf.Tensor:
        with tf.autodiff.ForwardAccumulator(z, tf.ones_like(z)) as accumulator:
            value = losses(z)
        return accumulator.jvp(value)

    def vectorized(z: tf.Tensor) -> tf.Tensor:
        return tf.vectorized_map(reverse, z[None])[0]

    z = tf.constant(LOGITS)
    for name, way in (("reverse", reverse), ("forward", forward)):
        yield f"eager {name}", lambda way=way: way(z)
        yield f"graph {name}", lambda way=way: tf.function(way)(z)
    yield "vectorized", lambda: vectorized(z)


def keras_ways() -> Iterator[tuple[str, Callable[[], object]]]:
    import keras

    from focal_loss.keras.losses import BinaryFocalLoss

    loss = BinaryFocalLoss(GAMMA, from_logits=True, reduction=None)
    yield "value", lambda: keras.ops.convert_to_numpy(loss(LABELS[:, None], LOGITS[:, None]))


WAYS = {"torch": torch_ways, "tensorflow": tensorflow_ways, "keras": keras_ways}
NAMES = {
    "torch": (
        "torch._C._functorch.peek_interpreter_stack",
        "torch._C._functorch.is_legacy_batchedtensor",
        "torch._C._functorch.get_interpreter_stack",
        "torch._C._functorch.TransformType",
        "torch._C._len_torch_dispatch_stack",
        "torch._C._AutoDispatchBelowAutograd",
        "torch._VF._unpack_dual",
        "torch.autograd.forward_ad._current_level",
        "torch._subclasses.fake_tensor.FakeTensor",
        "torch._subclasses.functional_tensor.FunctionalTensor",
        "torch._dynamo.symbolic_convert.InstructionTranslator",
    ),
    "tensorflow": (
        "tensorflow.python.framework.func_graph.FuncGraph",
        "tensorflow.python.ops.control_flow_util.GraphOrParentsInXlaContext",
        "tensorflow.python.saved_model.save_context.in_save_context",
        "tensorflow.python.ops.parallel_for.pfor.RegisterPFor",
        "tensorflow.python.ops.parallel_for.pfor.wrap",
        "tensorflow.python.ops.parallel_for.pfor._pfor_converter_registry",
        "tensorflow.__internal__.execute_fn_for_device",
        "tensorflow.python.pywrap_tfe.TFE_Py_TapeSetPossibleGradientTypes",
        "tensorflow.python.pywrap_tfe.TFE_Py_PackJVPs",
        "tensorflow.python.eager.record.stop_recording",
        "tensorflow.python.eager.record.record_operation",
    ),
    "keras": ("keras.src.backend.get_keras_mask", "keras.src.backend.in_symbolic_scope"),
}

# Those that compiled code asks for; to compile takes seconds.
COMPILED = (
    "",
    "torch._C._functorch.peek_interpreter_stack",
    "torch._C._AutoDispatchBelowAutograd",
    "torch.autograd.forward_ad._current_level",
    "torch._subclasses.fake_tensor.FakeTensor",
    "torch._subclasses.functional_tensor.FunctionalTensor",
    "torch._dynamo.symbolic_convert.InstructionTranslator",
)


def hide(path: str) -> None:
    """Hide a name from this package, but not from the framework itself."""
    from focal_loss._core import private

    find = private.private

    def without(module: str, name: str, cost: str) -> object:
        gone = f"{module}.{name}".startswith(path)
        return find(module, f"{name}_that_is_gone" if gone else name, cost)

    private.private = without


def answers(framework: str, path: str) -> dict[str, object]:
    if path:
        hide(path)
    found: dict[str, object] = {}
    for name, way in WAYS[framework]():
        if name.startswith("compiled") and path not in COMPILED:
            continue
        try:
            found[name] = np.asarray(way()).ravel().tolist()
        except NotImplementedError as error:
            found[name] = f"NotImplementedError: {error}"
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        importlib.import_module("focal_loss").show_config()
    return {"found": found, "config": printed.getvalue()}


if __name__ == "__main__":
    framework = sys.argv[1]
    importlib.import_module(framework)
    for path in ("", *NAMES[framework]):
        child = os.fork()
        if child == 0:
            try:
                print(json.dumps([path, answers(framework, path)]), flush=True)
            except BaseException:  # the test shows what is printed
                traceback.print_exc()
                raise
            finally:
                os._exit(0)
        os.waitpid(child, 0)
