"""Calls that `focal_loss.torch.compat` refuses, in the words of each library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from focal_loss import set_checks
from focal_loss.torch.compat import fvcore, kornia, mmdet, monai, smp, timm, transformers, ultralytics

OUTSIDE = torch.tensor([0, 255])


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda x, y: mmdet.FocalLoss()(x, y), "target"),
        (lambda x, y: mmdet.QualityFocalLoss()(x, (y, torch.ones(2))), "target"),
        (lambda x, y: monai.FocalLoss(to_onehot_y=True, reduction="none")(x, y[:, None]), "target"),
        (lambda x, y: smp.FocalLoss("multiclass")(x, y), "y_true"),
    ],
    ids=["mmdet", "mmdet-quality", "monai", "smp"],
)
def test_class_indices_out_of_range(call: Callable[[Tensor, Tensor], Tensor], name: str) -> None:
    """They are errors, or NaN where nothing can be raised; never the background."""
    with pytest.raises(ValueError, match=rf"`{name}` must hold class indices in .* got 255 at position \(1,\)"):
        call(torch.zeros(2, 3), OUTSIDE)
    set_checks(False)
    try:
        assert call(torch.zeros(2, 3), OUTSIDE).isnan().any()
        assert call(torch.zeros(2, 3), torch.tensor([0, 1])).isfinite().all()
    finally:
        set_checks(True)


SQUARE = torch.zeros(3, 3)
LINE = torch.zeros(3)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: fvcore.sigmoid_focal_loss(SQUARE, LINE), "targets"),
        (lambda: fvcore.sigmoid_focal_loss_star(SQUARE, LINE), "targets"),
        (lambda: kornia.binary_focal_loss_with_logits(SQUARE, LINE), "target"),
        (lambda: mmdet.FocalLoss()(SQUARE, SQUARE[:1]), "target"),
        (lambda: mmdet.QualityFocalLoss()(SQUARE, (LINE.long(), SQUARE[:, :1])), "target"),
        (lambda: mmdet.QualityFocalLoss()(SQUARE, (LINE.long(), LINE), weight=SQUARE[:, :1]), "weight"),
        (lambda: mmdet.VarifocalLoss()(SQUARE, LINE), "target"),
        (lambda: mmdet.VarifocalLoss()(SQUARE, SQUARE, weight=LINE), "weight"),
        (lambda: mmdet.GaussianFocalLoss()(SQUARE, LINE), "target"),
        (lambda: smp.FocalLoss("binary")(LINE, LINE[:1]), "y_true"),
        (lambda: smp.FocalLoss("multiclass")(torch.zeros(3, 3, 2), LINE[:, None].long()), "y_true"),
        (lambda: timm.AsymmetricLossMultiLabel()(SQUARE, LINE), "y"),
        (lambda: transformers.sigmoid_focal_loss(SQUARE, LINE, 1.0), "targets"),
        (lambda: ultralytics.FocalLoss()(SQUARE, LINE), "label"),
        (lambda: ultralytics.VarifocalLoss()(SQUARE, SQUARE, LINE), "label"),
        (lambda: ultralytics.VarifocalLoss()(SQUARE, LINE, SQUARE), "gt_score"),
    ],
)
def test_what_would_broadcast_to_a_table_is_an_error(call: Callable[[], Any], name: str) -> None:
    with pytest.raises(ValueError, match=rf"`{name}` of shape \(.*\) must have the shape \(3.*\) of "):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fvcore.sigmoid_focal_loss(SQUARE, SQUARE + 2), r"`targets` must hold labels in \[0, 1\]"),
        (lambda: kornia.focal_loss(SQUARE, LINE + 7, 0.5), "`target` must hold class indices"),
        (lambda: kornia.binary_focal_loss_with_logits(SQUARE, SQUARE + 2), "`target` must hold labels"),
        (lambda: mmdet.QualityFocalLoss()(SQUARE, (LINE.long(), LINE + 7)), "`target` must hold labels"),
        (
            lambda: mmdet.GaussianFocalLoss()(SQUARE + 3, SQUARE),
            "`pred` must hold .*; apply a sigmoid if these are logits",
        ),
        (lambda: monai.FocalLoss()(SQUARE, SQUARE + 2), "`target` must hold labels"),
        (lambda: timm.AsymmetricLossMultiLabel()(SQUARE, SQUARE + 2), "`y` must hold labels"),
        (
            lambda: timm.AsymmetricLossSingleLabel()(SQUARE, SQUARE),
            "`target` .* `inputs` .*; class indices have no class axis",
        ),
        (lambda: transformers.sigmoid_focal_loss(SQUARE, SQUARE + 2, 1.0), "`targets` must hold labels"),
        (lambda: ultralytics.FocalLoss()(SQUARE, SQUARE + 2), "`label` must hold labels"),
        (lambda: ultralytics.VarifocalLoss()(SQUARE, SQUARE + 2, SQUARE + 1), "`gt_score` must hold labels"),
    ],
)
def test_errors_name_the_arguments_of_the_library(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        call()
    assert "y_true" not in str(raised.value)
    assert "y_pred" not in str(raised.value)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: fvcore.sigmoid_focal_loss_star(SQUARE, SQUARE, alpha=2.0), "alpha"),
        (lambda: kornia.focal_loss(SQUARE, LINE.long(), 2.0), "alpha"),
        (lambda: kornia.binary_focal_loss_with_logits(SQUARE, SQUARE, 2.0), "alpha"),
        (lambda: kornia.FocalLoss(0.5, reduction="avg"), "reduction"),  # type: ignore[arg-type]
        (lambda: kornia.BinaryFocalLossWithLogits(0.5, gamma=-1), "gamma"),
        (lambda: mmdet.FocalLoss(alpha=-1), "alpha"),
        (lambda: mmdet.QualityFocalLoss(beta=-1), "beta"),
        (lambda: mmdet.VarifocalLoss(gamma=-1), "gamma"),
        (lambda: mmdet.GaussianFocalLoss(alpha=-1), "alpha"),
        (lambda: smp.FocalLoss("binary", gamma=-1), "gamma"),
        (lambda: smp.FocalLoss("multiclass", class_weights=[0.0, 0.0]), "class_weights"),
        (lambda: timm.AsymmetricLossMultiLabel(clip=1.0), "clip"),
        (lambda: timm.AsymmetricLossMultiLabel(pos_weight=-1.0), "pos_weight"),
        (lambda: ultralytics.FocalLoss(gamma=-1), "gamma"),
        (lambda: ultralytics.FocalLoss(alpha=[0.5, 2.0]), "alpha"),
    ],
)
def test_options_are_checked_where_they_are_given(call: Callable[[], Any], name: str) -> None:
    with pytest.raises(ValueError, match=f"`{name}` must"):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: fvcore.sigmoid_focal_loss_star(torch.zeros(3), torch.zeros(3), reduction="avg"),
        lambda: fvcore.sigmoid_focal_loss_star(torch.zeros(2), torch.tensor([2.0, -3.0])),
        lambda: monai.FocalLoss(use_softmax=True)(torch.zeros(1, 2), torch.tensor([[7.0, 0.0]])),
        lambda: smp.FocalLoss("multiclass", class_weights=[1.0])(torch.zeros(1, 3, 4), torch.zeros(1, 4).long()),
        lambda: smp.FocalLoss("multilabel")(torch.zeros(2, 3, 4), torch.zeros(2, 1, 4)),
        lambda: monai.FocalLoss(to_onehot_y=True)(torch.zeros(2, 3, 4), torch.zeros(2, 3, 4)),
        lambda: timm.AsymmetricLossSingleLabel(reduction="sum"),
        lambda: timm.AsymmetricLossSingleLabel(eps=1.5),
    ],
)
def test_arguments_that_would_give_a_wrong_number_are_errors(call: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        call()


def test_a_matching_cost_of_no_class_is_nan() -> None:
    """Where it cannot be an error, it is not that of the last class."""
    set_checks(False)
    try:
        for ids in ([1, -1], [1, -1, 0]):  # fewer than the classes, and as many
            cost = transformers.class_cost(torch.zeros(4, 3), torch.tensor(ids))
            assert cost.isnan().any(0).tolist() == [k < 0 for k in ids]
    finally:
        set_checks(True)
