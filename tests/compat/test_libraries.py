"""`focal_loss.torch.compat` against the libraries themselves; `make test-compat` installs them and runs this.

Where gamma is at least 1 and nothing saturates, their values and gradients are the same. `tests/test_torch_compat.py`
has the same calls against the formulas, and those of the libraries that are too large to install for this.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

GENERATOR = torch.Generator().manual_seed(0)
X = 2 * torch.randn((4, 3, 5), generator=GENERATOR)
INDEX = torch.randint(0, 3, (4, 5), generator=GENERATOR)
HARD = (torch.rand((4, 3, 5), generator=GENERATOR) > 0.6).float()
SOFT = torch.rand((4, 3, 5), generator=GENERATOR)
WEIGHT = torch.tensor([0.5, 2.0, 3.0])
IGNORED = torch.where(torch.arange(20).reshape(4, 5) % 7 == 0, -100, INDEX)

CASES: dict[str, tuple[str, list[Callable[[Any, Tensor], Tensor]]]] = {
    "fvcore": (
        "fvcore.nn.focal_loss",
        [
            lambda m, x: m.sigmoid_focal_loss(x, SOFT),
            lambda m, x: m.sigmoid_focal_loss_jit(x, HARD, 0.25, 1.5, "mean"),
            lambda m, x: m.sigmoid_focal_loss_star(x, HARD, 0.25, 2, "sum"),
            lambda m, x: m.sigmoid_focal_loss_star_jit(x, SOFT, -1, 1.5),
        ],
    ),
    "kornia": (
        "kornia.losses",
        [
            lambda m, x: m.focal_loss(x, INDEX, None),
            lambda m, x: m.focal_loss(x, IGNORED, 0.25, 1.5, "mean", WEIGHT),
            lambda m, x: m.FocalLoss(0.5, reduction="sum")(x, IGNORED),
            lambda m, x: m.binary_focal_loss_with_logits(x, SOFT),
            lambda m, x: m.BinaryFocalLossWithLogits(None, 1.5, "mean", WEIGHT, 2 * WEIGHT)(x, HARD),
        ],
    ),
    "monai": (
        "monai.losses",
        [
            lambda m, x: m.FocalLoss()(x, HARD),
            lambda m, x: m.FocalLoss(to_onehot_y=True, alpha=0.25, weight=[1.0, 2.0, 0.5])(x, INDEX[:, None]),
            lambda m, x: m.FocalLoss(use_softmax=True, reduction="sum", gamma=1.5)(x, SOFT),
            lambda m, x: m.FocalLoss(use_softmax=True, alpha=0.25, reduction="none")(x, HARD),
            lambda m, x: m.FocalLoss(False, alpha=[0.25, 0.75], reduction="none")(x, HARD),
        ],
    ),
}
ALL = [(library, module, k, call) for library, (module, calls) in CASES.items() for k, call in enumerate(calls)]


@pytest.mark.parametrize(
    ("library", "module", "call"), [(a, b, d) for a, b, _, d in ALL], ids=[f"{a}-{k}" for a, _, k, _ in ALL]
)
def test_the_same_call(library: str, module: str, call: Callable[[Any, Tensor], Tensor]) -> None:
    results = []
    for name in (f"focal_loss.torch.compat.{library}", module):
        x = X.clone().requires_grad_()
        value = call(importlib.import_module(name), x)
        (gradient,) = torch.autograd.grad(value.sum(), x)
        results.append([value.detach(), gradient])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2e-5, atol=1e-6)
