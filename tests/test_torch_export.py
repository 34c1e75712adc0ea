"""Programs that `torch.export` makes of a model with its loss, and what other tools compute from them."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import pytest
import torch
from accuracy import Exact, error_ratio
from cases import OWN_FORM, Loss
from onnx.reference import ReferenceEvaluator
from torch import Tensor

import focal_loss.torch as ours
from focal_loss.torch.compat import kornia

LOGITS: dict[str, Any] = {"from_logits": True}
K = 3
Function = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]  # of logits, hard and soft labels, and class indices


class Case(NamedTuple):
    """A loss per example, and what its bound depends on."""

    loss: Function
    gamma: float
    of_classes: bool = False
    of_probabilities: bool = False
    scale: Function | None = None  # the sum of the magnitudes of terms that cancel


def layer(x: Tensor) -> Tensor:
    return torch.eye(K, dtype=x.dtype)


def sparse(x: Tensor, t: Tensor, gamma: Any, **options: Any) -> Tensor:
    return ours.sparse_categorical_focal_loss(t, x, gamma, **LOGITS | {"ignore_class": -100} | options)


def cost(x: Tensor, alpha: float) -> Tensor:
    return ours.focal_matching_cost(x, alpha, **LOGITS)


def of_labels(loss: Loss) -> Function:
    """A loss of soft labels; hard ones for the loss that takes a power of their distance from the prediction, where a
    rounding of either has no bound.
    """
    function, given, hard = getattr(ours, loss.name), LOGITS | loss.options, loss.name == "quality_focal_loss"
    return lambda x, y, s, t: function(y if hard else s, x, **given)


CASES = {
    **{
        f"binary, gamma {gamma}": Case(lambda x, y, s, t, g=gamma: ours.binary_focal_loss(y, x, g, **LOGITS), gamma)
        for gamma in (0, 0.5, 1.5, 2)
    },
    "binary, soft": Case(
        lambda x, y, s, t: ours.binary_focal_loss(s, x, 2, pos_weight=[1.0, 2.0, 3.0], label_smoothing=0.1, **LOGITS),
        2,
    ),
    "binary, a gamma of each class": Case(
        lambda x, y, s, t: ours.binary_focal_loss(y, x, torch.tensor([0.5, 1.0, 2.3]), **LOGITS), 2.3
    ),
    "binary, ignored": Case(lambda x, y, s, t: ours.binary_focal_loss(y, x, 2, ignore_class=0, **LOGITS), 2),
    "binary, of probabilities": Case(lambda x, y, s, t: ours.binary_focal_loss(y, s, 2), 2, of_probabilities=True),
    "binary crossentropy": Case(lambda x, y, s, t: ours.binary_focal_crossentropy(s, x, True, **LOGITS), 2),
    **{f"sparse, gamma {gamma}": Case(lambda x, y, s, t, g=gamma: sparse(x, t, g), gamma, True) for gamma in (0.5, 2)},
    "sparse, weights": Case(lambda x, y, s, t: sparse(x, t, [0.0, 1.0, 2.0], class_weight=[1.0, 2.0, 0.5]), 2, True),
    "sparse, smoothing": Case(lambda x, y, s, t: sparse(x, t, 2, label_smoothing=0.1), 2, True),
    "sparse, of probabilities": Case(
        lambda x, y, s, t: ours.sparse_categorical_focal_loss(t, s, 2, ignore_class=-100), 2, True, True
    ),
    "sparse crossentropy": Case(
        lambda x, y, s, t: ours.sparse_categorical_focal_crossentropy(t, x, ignore_class=-100, **LOGITS), 2, True
    ),
    "categorical": Case(
        lambda x, y, s, t: ours.categorical_focal_loss(
            s, x, 1.5, class_weight=[1.0, 2.0, 3.0], label_smoothing=0.1, **LOGITS
        ),
        1.5,
        True,
    ),
    "categorical crossentropy": Case(lambda x, y, s, t: ours.categorical_focal_crossentropy(s, x, **LOGITS), 2, True),
    "linear": Case(
        lambda x, y, s, t: ours.linear_sparse_categorical_focal_loss(
            x, layer(x), t, 2, ignore_class=-100, reduction="none"
        ),
        2,
        True,
    ),
    "matching cost": Case(
        lambda x, y, s, t: cost(x, 0.25), 2, scale=lambda x, y, s, t: 0.25 * cost(x, 1.0) - 0.75 * cost(x, 0.0)
    ),
    **{loss.name: Case(of_labels(loss), 4) for loss in OWN_FORM},
}


def examples(seed: int, count: int, dtype: torch.dtype, wide: bool = True) -> tuple[Tensor, ...]:
    """Logits, hard and soft labels, and class indices. `wide`: with logits up to the largest number."""
    draw = np.random.default_rng(seed)
    sizes = [0.0, 1e-6, 0.03, 0.5, 1, 3, 8, 20, 60, 100, 1e4, float(torch.finfo(dtype).max)]
    x = draw.choice(sizes if wide else sizes[:7], (count, K)) * draw.choice([-1, 1], (count, K))
    soft = draw.random((count, K)) ** 3
    soft[: count // 3] = np.eye(K)[draw.integers(0, K, count // 3)]
    index = draw.choice([0, 1, 2, -100], count)
    return (
        torch.tensor(x).to(dtype),
        torch.tensor(draw.integers(0, 2, (count, K))),
        torch.tensor(soft / soft.sum(1, keepdims=True), dtype=torch.float32),
        torch.tensor(index),
    )


class Model(torch.nn.Module):
    """All of some losses, so that one export serves them."""

    def __init__(self, losses: dict[str, Function]) -> None:
        super().__init__()
        self.losses = losses

    def forward(self, x: Tensor, y: Tensor, s: Tensor, t: Tensor) -> dict[str, Tensor]:
        return {name: loss(x, y, s, t) for name, loss in self.losses.items()}


def of_any_batch() -> tuple[Any, ...]:
    return ({0: torch.export.Dim("batch")},) * 4


# ---------------------------------------------------------------------------------------------------------------
# ONNX
# ---------------------------------------------------------------------------------------------------------------


def by_runtime(model: Any, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, inputs)


def by_reference(model: Any, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return ReferenceEvaluator(model).run(None, inputs)


EVALUATORS = {"onnxruntime": by_runtime, "reference": by_reference}


def to_onnx(losses: dict[str, Function], dtype: torch.dtype) -> Any:
    """An ONNX model of the losses, with no argument that an ordinary model would not need."""
    given = examples(1, 5, dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own
        program = torch.onnx.export(Model(losses), given, dynamo=True, dynamic_shapes=of_any_batch(), verbose=False)
    return program.model_proto


def computed(model: Any, evaluator: str, given: tuple[Tensor, ...]) -> list[np.ndarray]:
    inputs = dict(zip("xyst", (a.numpy() for a in given), strict=True))
    return EVALUATORS[evaluator](model, {i.name: inputs[i.name] for i in model.graph.input})


def share_of_bound(case: Case, found: np.ndarray, given: tuple[Tensor, ...], dtype: str) -> np.ndarray:
    """The errors as shares of the contract's bound. In float64 the losses are exact to far less than that."""
    x, y, s, t = given
    wide = (x.double(), y, s.double(), t)
    exact = case.loss(*wide).numpy()
    scale = np.abs(exact) if case.scale is None else case.scale(*wide).numpy()
    v = (wide[2].clamp(1e-7).log() if case.of_probabilities else wide[0]).numpy()
    if case.of_classes:
        size = v.max(1) - v.min(1)
    elif case.of_probabilities:
        size = np.array(16.2)  # the clamp is a logit of 16.118
    else:
        size = np.abs(v) if exact.ndim == 2 else np.abs(v).max(1)
    terms = 8 + K + 2 * size if case.of_classes else np.array(8)
    truth = Exact(exact, np.zeros_like(exact))
    with np.errstate(over="ignore"):
        return error_ratio(found, truth, scale, terms, np.array(case.gamma), dtype, case.gamma * size, weight=3.0)


HALF = ("binary, gamma 1.5", "sparse, smoothing", "categorical", "asymmetric_loss")


@pytest.mark.parametrize(("dtype", "names"), [("float32", tuple(CASES)), ("float16", HALF)])
def test_an_onnx_model_keeps_the_bound(dtype: str, names: tuple[str, ...]) -> None:
    """With logits up to the largest number, and the loss of an example that is nearly sure."""
    cases = {name: CASES[name] for name in names}
    model = to_onnx({name: case.loss for name, case in cases.items()}, getattr(torch, dtype))
    assert {node.domain for node in model.graph.node} == {""}
    given = examples(2, 200, getattr(torch, dtype))
    for evaluator in EVALUATORS:
        for (name, case), found in zip(cases.items(), computed(model, evaluator, given), strict=True):
            shares = share_of_bound(case, found.astype(np.float64), given, dtype)
            worst = np.unravel_index(np.argmax(np.where(np.isnan(shares), np.inf, shares)), shares.shape)
            assert shares[worst] <= 1, (evaluator, name, worst, found[worst], given[0][worst[0]])


def reduced(function: Callable[..., Tensor], **options: Any) -> Iterator[tuple[str, Function]]:
    for reduction in ("mean", "sum"):
        name = f"{function.__name__}, {reduction}, {options}"
        yield name, lambda x, y, s, t, r=reduction: function(x, y, s, t, **options, reduction=r)


def binary(x: Tensor, y: Tensor, s: Tensor, t: Tensor, **options: Any) -> Tensor:
    return ours.binary_focal_loss(y, x, 2, **LOGITS, **options)


def of_indices(x: Tensor, y: Tensor, s: Tensor, t: Tensor, **options: Any) -> Tensor:
    return sparse(x, t, 1.5, class_weight=[1.0, 2.0, 0.5], **options)


def linear(x: Tensor, y: Tensor, s: Tensor, t: Tensor, **options: Any) -> Tensor:
    return ours.linear_sparse_categorical_focal_loss(x, layer(x), t, 2, ignore_class=-100, **options)


CRITERIA = {
    "FocalLoss": (ours.FocalLoss(gamma=1.5, alpha=[1.0, 2.0, 0.5], label_smoothing=0.1), "t"),
    "FocalLoss of probabilities": (ours.FocalLoss(reduction="none"), "s"),
    "SigmoidFocalLoss": (ours.SigmoidFocalLoss(alpha=0.3, gamma=0.5), "s"),
    "kornia": (kornia.BinaryFocalLossWithLogits(0.25, reduction="mean"), "s"),
}
REDUCED: dict[str, Function] = {
    **dict(reduced(binary)),
    **dict(reduced(of_indices)),
    **dict(reduced(linear)),
    "positives": lambda x, y, s, t: binary(x, y, s, t, reduction="mean", normalizer="positives"),
    "weight": lambda x, y, s, t: of_indices(x, y, s, t, reduction="mean", normalizer="weight"),
    "a number": lambda x, y, s, t: of_indices(x, y, s, t, reduction="mean", normalizer=7.0),
    "a module": lambda x, y, s, t: ours.BinaryFocalLoss(2, from_logits=True)(y, x),
    **{
        name: lambda x, y, s, t, module=module, labels=labels: module(x, {"s": s.to(x.dtype), "t": t}[labels])
        for name, (module, labels) in CRITERIA.items()
    },
}


def test_an_onnx_model_reduces() -> None:
    """Reduced losses of half precision are float32."""
    model = to_onnx(REDUCED, torch.float16)
    given = examples(2, 9, torch.float16, wide=False)
    for (name, loss), found in zip(REDUCED.items(), computed(model, "onnxruntime", given), strict=True):
        torch.testing.assert_close(torch.from_numpy(found), loss(*given), rtol=5e-6, atol=1e-7, msg=name)


# ---------------------------------------------------------------------------------------------------------------
# Programs
# ---------------------------------------------------------------------------------------------------------------

# What another process runs: a saved program, without this package.
ALONE = """
import sys, torch
*given, = torch.load(sys.argv[1])
torch.save(torch.export.load(sys.argv[2]).module()(*given), sys.argv[3])
assert "focal_loss" not in sys.modules
"""


def operators(program: torch.export.ExportedProgram) -> set[str]:
    """The names of the operators of a program; arithmetic of sizes has none."""
    return {node.target.namespace for node in program.graph.nodes if hasattr(node.target, "namespace")}


def check(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert set(found) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=5e-6, atol=1e-7, msg=lambda m: f"{name}: {m}")  # noqa: B023


@pytest.mark.parametrize("strict", [True, False])
def test_a_program_of_every_loss(strict: bool, tmp_path: Path) -> None:
    """Its operators are ours, and those of torch alone after decomposition, for any batch and without this package."""
    model = Model({name: case.loss for name, case in CASES.items()} | REDUCED)
    given, others = examples(1, 5, torch.float32, wide=False), examples(2, 9, torch.float32, wide=False)
    program = torch.export.export(model, given, dynamic_shapes=of_any_batch(), strict=strict)
    right = model(*others)
    assert "focal_loss" in operators(program)
    check(program.module()(*others), right)

    decomposed = program.run_decompositions()
    assert operators(decomposed) == {"aten"}
    check(decomposed.module()(*others), right)

    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    check(torch.export.load(file).module()(*others), right)

    paths = [str(tmp_path / name) for name in ("given.pt", "program.pt2", "found.pt")]
    torch.save(others, paths[0])
    torch.export.save(decomposed, paths[1])
    subprocess.run([sys.executable, "-c", ALONE, *paths], check=True, capture_output=True)
    check(torch.load(paths[2]), right)


def test_gradients_of_a_program() -> None:
    """They are those of the losses, at the logits where an automatic derivative of the formula is NaN or dead."""
    x = torch.tensor([[20.0, -1e4, 0.0], [100.0, 1e4, -20.0]])
    _, y, s, t = examples(1, 2, torch.float32)
    losses = {"binary": CASES["binary, gamma 0.5"].loss, "sparse": CASES["sparse, gamma 0.5"].loss}
    program = torch.export.export(Model(losses), (x, y, s, t))

    def gradient(model: torch.nn.Module) -> Tensor:
        z = x.clone().requires_grad_()
        return torch.autograd.grad(sum(value.sum() for value in model(z, y, s, t).values()), z)[0]

    torch.testing.assert_close(gradient(program.module()), gradient(Model(losses)), rtol=0, atol=0)


@pytest.mark.nightly
def test_a_program_in_c() -> None:
    """AOTInductor compiles the losses as it does the rest of a model: what it makes calls no operator of ours."""
    model = Model({name: case.loss for name, case in CASES.items()} | REDUCED)
    given = examples(1, 5, torch.float32, wide=False)
    path = torch._inductor.aoti_compile_and_package(torch.export.export(model, given))
    check(torch._inductor.aoti_load_package(path)(*given), model(*given))
