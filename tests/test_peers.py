"""The calls that the pages of the losses name for other libraries, against the formulas of these, in float64.

`tests/test_torch_compat.py` has the libraries that have a module in `focal_loss.torch.compat`.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

import focal_loss.torch
from focal_loss._core.declare import Loss
from focal_loss._core.losses import LOSSES
from focal_loss.torch import (
    FocalLoss,
    SigmoidFocalLoss,
    asymmetric_loss,
    focal_matching_cost,
    matchability_aware_loss,
    penalty_reduced_focal_loss,
    poly1_focal_loss,
    varifocal_loss,
)

GENERATOR = torch.Generator().manual_seed(0)
Z = 3 * torch.randn((2, 5, 3), generator=GENERATOR, dtype=torch.float64)
Y = (torch.rand((2, 5, 3), generator=GENERATOR) > 0.8).double()  # a row is a query
OVERLAP = Y * torch.rand((2, 5, 3), generator=GENERATOR, dtype=torch.float64)
HEATMAP = torch.rand((2, 5, 3), generator=GENERATOR, dtype=torch.float64) * (1 - Y) + Y
WEIGHT = torch.tensor([0.5, 2.0, 3.0], dtype=torch.float64)
CLASSES = torch.tensor([0, 2, 1, -100, 2])


def rt_detr(z: Tensor) -> Tensor:
    weight = 0.75 * z.sigmoid().detach() ** 2 * (1 - Y) + OVERLAP
    return 5 * binary_cross_entropy_with_logits(z, OVERLAP, weight, reduction="none").mean(1).sum()


def deim(z: Tensor) -> Tensor:
    weight = 0.5 * z.sigmoid().detach() ** 1.5 * (1 - Y) + Y
    return 5 * binary_cross_entropy_with_logits(z, OVERLAP**1.5, weight, reduction="none").mean(1).sum()


def matcher(z: Tensor) -> Tensor:
    p = z.sigmoid()
    return 0.25 * (1 - p) ** 2 * -(p + 1e-12).log() - 0.75 * p**2 * -(1 - p + 1e-12).log()


def mmpretrain(z: Tensor) -> Tensor:
    p = z.sigmoid()
    p_t = (1 - p + 0.05).clamp(max=1) * (1 - Y) + p * Y
    return (-p_t.clamp(min=1e-8).log() * (1 - p_t) ** (4 * (1 - Y))).mean()


def centernet(z: Tensor) -> Tensor:
    p = z.sigmoid()
    positive, negative = p.log() * (1 - p) ** 2 * Y, (1 - p).log() * p**2 * (1 - HEATMAP) ** 4 * (1 - Y)
    return -(positive.sum() + negative.sum()) / Y.sum()


def polyloss(z: Tensor) -> Tensor:
    p = z.sigmoid()
    q = Y * (1 - p) + (1 - Y) * p
    return binary_cross_entropy_with_logits(z, Y, reduction="none") * q**2 + q**3


WEIGHED = torch.nn.CrossEntropyLoss(weight=WEIGHT, label_smoothing=0.1)
BINARY = torch.nn.BCEWithLogitsLoss(weight=WEIGHT, pos_weight=WEIGHT)
CASES: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "RT-DETR": (
        rt_detr,
        lambda z: varifocal_loss(OVERLAP, z, 0.75, 2, detach_weight=True, from_logits=True, reduction="sum"),
    ),
    "DEIM": (deim, lambda z: matchability_aware_loss(OVERLAP, z, 1.5, alpha=0.5, from_logits=True, reduction="sum")),
    "matchers": (matcher, lambda z: focal_matching_cost(z, 0.25, 2, from_logits=True)),
    "mmpretrain": (mmpretrain, lambda z: asymmetric_loss(Y, z, 0, 4, 0.05, from_logits=True, reduction="mean")),
    "CenterNet": (
        centernet,
        lambda z: (
            penalty_reduced_focal_loss(HEATMAP, z, 2, 4, from_logits=True, reduction="sum") / (HEATMAP == 1).sum()
        ),
    ),
    "polyloss-pytorch": (polyloss, lambda z: poly1_focal_loss(Y, z, 2, 1, from_logits=True)),
    "CrossEntropyLoss": (
        lambda z: WEIGHED(z[0], CLASSES),
        lambda z: (
            FocalLoss(gamma=0, alpha=WEIGHT, label_smoothing=0.1, reduction="sum")(z[0], CLASSES)
            / WEIGHT[CLASSES[CLASSES != -100]].sum()
        ),
    ),
    "BCEWithLogitsLoss": (
        lambda z: BINARY(z, HEATMAP),
        lambda z: (
            WEIGHT * SigmoidFocalLoss(alpha=None, gamma=0, pos_weight=WEIGHT, reduction="none")(z, HEATMAP)
        ).mean(),
    ),
}


@pytest.mark.parametrize("peer", CASES)
def test_the_call_that_a_page_names_is_that_of_the_peer(peer: str) -> None:
    results = []
    for loss in CASES[peer]:
        z = Z.clone().requires_grad_()
        value = loss(z)
        results.append((value.detach(), torch.autograd.grad(value.sum(), z)[0]))
    for theirs, ours in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-9)  # their eps of 1e-12 and 1e-8 in logarithms


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_pages_name_what_there_is(loss: Loss) -> None:
    """The modules that a page names exist, and a call that stays the same has its name there."""
    assert loss.peers
    for peer in loss.peers:
        modules = [importlib.import_module(name) for name in re.findall(r"`(focal_loss[.\w]*)`", peer.here)]
        named = re.match(r"`(\w+)\(", peer.call if peer.here.startswith("the same, from") else peer.here)
        if named:
            assert any(hasattr(module, named[1]) for module in [*modules, focal_loss.torch]), peer
