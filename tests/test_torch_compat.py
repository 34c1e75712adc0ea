"""`focal_loss.torch.compat` against what each library computes, written down as its formula reads, in float64.

`tests/compat` holds the same calls to the libraries themselves, where they install.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, log_softmax, logsigmoid, one_hot

from focal_loss.torch.compat import fvcore, kornia, mmdet, monai, smp, timm, transformers, ultralytics

REDUCTIONS = ("none", "mean", "sum")
each_reduction = pytest.mark.parametrize("reduction", REDUCTIONS)
X = 2 * torch.linspace(-2, 2, 24, dtype=torch.float64).sin().reshape(2, 3, 4) - 0.25
SOFT = torch.sigmoid(X.flip(0))
HARD = SOFT.round()
INDEX = torch.tensor([[0, 1, 2, 1], [2, 2, 0, 1]])
ONE_HOT = one_hot(INDEX, 3).movedim(-1, 1).double()


def reduced(value: Tensor, reduction: str) -> Tensor:
    return value if reduction == "none" else getattr(value, reduction)()


def p_t_loss(x: Tensor, y: Tensor, alpha: float | Tensor | None, gamma: float) -> Tensor:
    """The loss of torchvision, fvcore, ultralytics and mmdet."""
    p = torch.sigmoid(x)
    value = binary_cross_entropy_with_logits(x, y, reduction="none") * (1 - (p * y + (1 - p) * (1 - y))) ** gamma
    return value if alpha is None else value * (alpha * y + (1 - alpha) * (1 - y))


def two_terms(x: Tensor, y: Tensor, positive: Any = 1.0, negative: Any = 1.0, gamma: float = 2.0) -> Tensor:
    """The binary loss of kornia."""
    p = torch.sigmoid(x)
    return -positive * (1 - p) ** gamma * y * logsigmoid(x) - negative * p**gamma * (1 - y) * logsigmoid(-x)


def softmax_map(x: Tensor, y: Tensor, gamma: float = 2.0) -> Tensor:
    """The softmax loss of MONAI and kornia, with a class axis."""
    log_p = log_softmax(x, 1)
    return -((1 - log_p.exp()) ** gamma) * log_p * y


def assert_same(found: Callable[[Tensor], Tensor], expected: Callable[[Tensor], Tensor], x: Tensor = X) -> None:
    """Values and gradients."""
    results = []
    for function in (found, expected):
        given = x.clone().requires_grad_()
        value = function(given)
        (gradient,) = torch.autograd.grad((value * value.detach()).sum(), given)
        results.append((value.detach(), gradient))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def along(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


@each_reduction
@pytest.mark.parametrize("alpha", [-1, 0.25, 0.0])
def test_fvcore(alpha: float, reduction: Any) -> None:
    chosen = None if alpha < 0 else alpha
    for y in (SOFT, HARD):
        for gamma in (2.0, 0.5):
            assert_same(
                lambda x: fvcore.sigmoid_focal_loss_jit(x, y, alpha, gamma, reduction),  # noqa: B023
                lambda x: reduced(p_t_loss(x, y, chosen, gamma), reduction),  # noqa: B023
            )

            def star(x: Tensor, y: Tensor = y, gamma: float = gamma) -> Tensor:
                value = -logsigmoid(gamma * x * (2 * y - 1)) / gamma
                return reduced(value if chosen is None else value * (chosen * y + (1 - chosen) * (1 - y)), reduction)

            assert_same(lambda x: fvcore.sigmoid_focal_loss_star_jit(x, y, alpha, gamma, reduction), star)  # noqa: B023
    assert fvcore.sigmoid_focal_loss(X.half(), HARD, reduction=reduction).dtype == torch.float32
    with pytest.raises(ValueError, match="`gamma` must be a positive number, got 0"):
        fvcore.sigmoid_focal_loss_star(X, HARD, gamma=0)


def test_transformers_and_ultralytics() -> None:
    for y in (SOFT, HARD):
        for boxes in (7.0, torch.tensor(7.0)):
            assert_same(
                lambda x: transformers.sigmoid_focal_loss(x, y, boxes, 0.25, 2),  # noqa: B023
                lambda x: p_t_loss(x, y, 0.25, 2).mean(1).sum() / 7,  # noqa: B023
            )
        assert_same(
            lambda x: transformers.sigmoid_focal_loss(x, y, 1, alpha=-1, gamma=1.5),  # noqa: B023
            lambda x: p_t_loss(x, y, None, 1.5).mean(1).sum(),  # noqa: B023
        )
        for alpha in (0.25, 0.0):
            assert_same(
                lambda x: ultralytics.FocalLoss(alpha=alpha)(x, y),  # noqa: B023
                lambda x: p_t_loss(x, y, alpha or None, 1.5).mean(1).sum(),  # noqa: B023
            )


@each_reduction
@pytest.mark.parametrize("alpha", [None, 0.25])
def test_kornia(alpha: float | None, reduction: Any) -> None:
    weight, factors = torch.tensor([0.5, 2.0, 3.0]), along([1, 1, 1] if alpha is None else [0.75, 0.25, 0.25])
    ignored = INDEX.clone()
    ignored[0, 1] = -100
    kept = (ignored != -100).double().unsqueeze(1)
    for given, scale in ((None, 1), (weight, along([0.5, 2.0, 3.0]))):
        for index, mask in ((INDEX, 1), (ignored, kept)):
            for gamma in (2.0, 0.5):
                assert_same(
                    lambda x: kornia.FocalLoss(alpha, gamma, reduction, given)(x, index),  # noqa: B023
                    lambda x: reduced(softmax_map(x, ONE_HOT, gamma) * factors * scale * mask, reduction),  # noqa: B023
                )
    positive, negative = (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)
    for y in (SOFT, HARD):
        assert_same(
            lambda x: kornia.BinaryFocalLossWithLogits(alpha, 2.0, reduction)(x, y),  # noqa: B023
            lambda x: reduced(two_terms(x, y, positive, negative), reduction),  # noqa: B023
        )
    marked = HARD.clone()
    marked[0, 0] = -100
    assert_same(
        lambda x: kornia.binary_focal_loss_with_logits(x, marked, alpha, 2.0, reduction, weight, 2 * weight),
        lambda x: reduced(
            two_terms(x, HARD, positive * along([0.5, 2, 3]), negative) * (marked != -100) * along([1, 4, 6]), reduction
        ),
    )


ROWS = X.movedim(1, 2).reshape(8, 3)
LABELS = torch.tensor([0, 1, 2, 3, 3, 2, 0, 3])  # 3 is the background
OWN = one_hot(LABELS, 4)[:, :3].double()
SCORES = torch.linspace(0.1, 0.9, 8, dtype=torch.float64)


def mmdet_reduced(value: Tensor, weight: Any, reduction: str, avg_factor: float | None) -> Tensor:
    value = value if weight is None else value * weight
    return value.sum() / avg_factor if avg_factor and reduction == "mean" else reduced(value, reduction)


@each_reduction
def test_mmdet(reduction: Any) -> None:
    weight = torch.linspace(0, 2, 8, dtype=torch.float64)
    factors = [None] if reduction == "sum" else [None, 3.0]
    for avg_factor in factors:
        for given, scale in (
            (None, None),
            (weight, weight[:, None]),
            (OWN + 1, OWN + 1),
            ((OWN + 1).flatten(), OWN + 1),
        ):
            for target in (LABELS, OWN):
                assert_same(
                    lambda x: mmdet.FocalLoss(loss_weight=0.5)(x, target, given, avg_factor, reduction),  # noqa: B023
                    lambda x: 0.5 * mmdet_reduced(p_t_loss(x, OWN, 0.25, 2), scale, reduction, avg_factor),  # noqa: B023
                    ROWS,
                )

        def quality(x: Tensor, avg_factor: Any = avg_factor) -> Tensor:
            y = OWN * SCORES[:, None]
            entropy = binary_cross_entropy_with_logits(x, y, reduction="none")
            each = ((y - torch.sigmoid(x)).abs() ** 2 * entropy).sum(1)
            return mmdet_reduced(each, weight, reduction, avg_factor)

        assert_same(
            lambda x: mmdet.QualityFocalLoss(reduction=reduction)(x, (LABELS, SCORES), weight, avg_factor),  # noqa: B023
            quality,
            ROWS,
        )


def test_mmdet_divides_by_what_it_is_given() -> None:
    loss = mmdet.FocalLoss()
    for nothing in (0, torch.tensor(0.0)):
        assert loss(ROWS, LABELS, avg_factor=nothing).isfinite()
    torch.testing.assert_close(loss(ROWS, LABELS, avg_factor=torch.tensor(2.0)), loss(ROWS, LABELS, avg_factor=2))
    assert loss(ROWS[:0], LABELS[:0]) == 0
    with pytest.raises(ValueError, match='`avg_factor` must be None beside `reduction="sum"`'):
        loss(ROWS, LABELS, avg_factor=3, reduction_override="sum")
    with pytest.raises(ValueError, match="`use_sigmoid` must be True"):
        mmdet.FocalLoss(use_sigmoid=False)
    with pytest.raises(ValueError, match="`activated` must be False, got True: hand over logits"):
        mmdet.QualityFocalLoss(activated=True)


@pytest.mark.parametrize("alpha", [None, 0.25])
@pytest.mark.parametrize("weights", [None, [0.5, 2.0, 3.0]])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_segmentation_models(reduction: Any, weights: Any, alpha: float | None) -> None:
    scale = torch.tensor(weights or [1.0] * 3, dtype=torch.float64)
    marked, index = HARD.clone(), INDEX.clone()
    marked[0, :, 0] = index[0, 0] = 255
    for target, y, mode in ((index, ONE_HOT, "multiclass"), (marked, HARD, "multilabel")):
        keep = torch.ones_like(X)
        keep[0, :, 0] = 0
        for ignored in (None, 255):
            mask = torch.ones_like(X) if ignored is None else keep
            given = (INDEX if mode == "multiclass" else HARD) if ignored is None else target

            def expected(x: Tensor, y: Tensor = y, mask: Tensor = mask) -> Tensor:
                each = (p_t_loss(x, y, alpha, 2) * mask).sum((0, 2))
                each = each / mask.sum((0, 2)) if reduction == "mean" else each
                return (each * scale).sum() / scale.sum()

            options: dict[str, Any] = {"alpha": alpha, "ignore_index": ignored, "reduction": reduction}
            assert_same(lambda x: smp.FocalLoss(mode, class_weights=weights, **options)(x, given), expected)  # noqa: B023
    counted = marked != 255
    assert_same(
        lambda x: smp.FocalLoss("binary", alpha, ignore_index=255, reduction=reduction)(x, marked),
        lambda x: reduced(p_t_loss(x, HARD, alpha, 2)[counted], reduction),
    )


def test_segmentation_models_refuses_what_has_no_equal() -> None:
    for name, value in (("from_logits", False), ("normalized", True), ("reduced_threshold", 0.5)):
        with pytest.raises(NotImplementedError, match=f"`{name}` must be"):
            smp.FocalLoss("binary", **{name: value})
    with pytest.raises(ValueError, match="`mode` must be"):
        smp.FocalLoss("softmax")
    with pytest.raises(ValueError, match="`class_weights` must be None"):
        smp.FocalLoss("binary", class_weights=[1.0])
    with pytest.raises(ValueError, match="`reduction` must be 'mean' or 'sum' in the mode 'multiclass'"):
        smp.FocalLoss("multiclass", reduction="none")
    with pytest.raises(ValueError, match="`y_true` must hold 0 and 1"):
        smp.FocalLoss("multilabel")(X, SOFT)


def monai_reduced(value: Tensor, reduction: str) -> Tensor:
    return value.mean(2).sum() if reduction == "sum" else reduced(value, reduction)


@each_reduction
@pytest.mark.parametrize("weight", [None, 2.0, [0.5, 2.0, 3.0]], ids=str)
@pytest.mark.parametrize("alpha", [None, 0.25, [0.25, 0.5, 1.0]], ids=str)
def test_monai(alpha: Any, weight: Any, reduction: Any) -> None:
    options: dict[str, Any] = {"alpha": alpha, "weight": weight, "reduction": reduction}
    scale = along(weight) if isinstance(weight, list) else weight or 1.0
    by_class = along(alpha) if isinstance(alpha, list) else along([1] * 3 if alpha is None else [0.75, 0.25, 0.25])
    positive, negative = (alpha, 1 - alpha) if isinstance(alpha, float) else (along(alpha) if alpha else 1.0, 1.0)
    for target, onehot in ((ONE_HOT, False), (INDEX[:, None], True)):
        assert_same(
            lambda x: monai.FocalLoss(to_onehot_y=onehot, **options)(x, target),  # noqa: B023
            lambda x: monai_reduced(two_terms(x, ONE_HOT, positive, negative) * scale, reduction),
        )
        assert_same(
            lambda x: monai.FocalLoss(to_onehot_y=onehot, use_softmax=True, **options)(x, target),  # noqa: B023
            lambda x: monai_reduced(softmax_map(x, ONE_HOT) * by_class * scale, reduction),
        )
    if alpha is None and weight is None:
        for softmax, formula in ((False, two_terms), (True, softmax_map)):
            assert_same(
                lambda x: monai.FocalLoss(False, use_softmax=softmax, reduction=reduction)(x, SOFT),  # noqa: B023
                lambda x: monai_reduced(formula(x[:, 1:], SOFT[:, 1:]), reduction),  # noqa: B023
            )


def test_monai_refuses() -> None:
    with pytest.raises(ValueError, match=r"`target` of shape \(2, 1, 4\) must have the shape \(2, 3, 4\) of `input`"):
        monai.FocalLoss()(X, INDEX[:, None])
    with pytest.raises(ValueError, match=r"must have one entry per class \(3\), got 2"):
        monai.FocalLoss(weight=[1, 2])(X, HARD)
    with pytest.raises(ValueError, match="`alpha` must be None or have one entry per class"):
        monai.FocalLoss(False, alpha=0.25, use_softmax=True)
    with pytest.raises(ValueError, match="`weight` must be a non-negative number, got -1"):
        monai.FocalLoss(weight=[1.0, -1.0])
    for options in ({"include_background": False}, {"to_onehot_y": True}):
        with pytest.warns(UserWarning, match="have no effect on logits of one class"):
            assert monai.FocalLoss(**options)(X[:, :1], HARD[:, :1]).isfinite()


def asymmetric(x: Tensor, y: Tensor, pos: float, neg: float, clip: float) -> Tensor:
    """The loss of timm for labels of 0 and 1, without its `eps`."""
    p = torch.sigmoid(x)
    m = (p - clip).clamp(min=0)
    return -(y * (1 - p) ** pos * logsigmoid(x) + (1 - y) * m**neg * torch.log(1 - m))


@pytest.mark.parametrize("reduction", ["batchmean", "sum", "mean", "none"])
def test_timm(reduction: Any) -> None:
    x, y, weight = X[..., 0], HARD[..., 0], torch.tensor([0.5, 2.0, 3.0], dtype=torch.float64)
    for pos, neg, clip in ((1, 4, 0.05), (0, 2, None), (2, 1, 0.25)):
        for scale, factor in ((None, None), (weight, None), (None, 3.0), (weight, weight)):

            def expected(x: Tensor, pos: Any = pos, neg: Any = neg, clip: Any = clip) -> Tensor:
                value = asymmetric(x, y, pos, neg, clip or 0.0)
                value = value if factor is None else value * torch.where(y > 0, torch.as_tensor(factor), 1.0)  # noqa: B023
                value = value if scale is None else value * scale  # noqa: B023
                return value.sum() / len(x) if reduction == "batchmean" else reduced(value, reduction)

            loss = timm.AsymmetricLossMultiLabel(neg, pos, clip, reduction=reduction, weight=scale, pos_weight=factor)
            assert_same(lambda x: loss(x, y), expected, x)  # noqa: B023


@pytest.mark.parametrize(("pos", "neg", "eps"), [(1, 4, 0.1), (0, 0, 0.2), (2.5, 0.5, 0.0)])
def test_timm_of_one_label(pos: float, neg: float, eps: float) -> None:
    own = one_hot(INDEX.flatten(), 3).double()

    def expected(x: Tensor) -> Tensor:
        log_p = log_softmax(x, -1)
        factor = own * (1 - log_p.exp()) ** pos + (1 - own) * log_p.exp() ** neg
        return -(((1 - eps) * own + eps / 3) * factor * log_p).sum(-1)

    rows = X.movedim(1, 2).reshape(8, 3)
    for reduction in ("none", "mean"):
        loss = timm.AsymmetricLossSingleLabel(pos, neg, eps, reduction)
        assert_same(lambda x: loss(x, INDEX.flatten()), lambda x: reduced(expected(x), reduction), rows)  # noqa: B023


@pytest.mark.parametrize("neg", [0, 4])
def test_timm_of_one_label_is_finite(neg: float) -> None:
    x = torch.tensor([[3e38, -3e38, 0.0]], requires_grad=True)
    loss = timm.AsymmetricLossSingleLabel(1, neg)(x, torch.tensor([0]))
    loss.backward()
    assert x.grad is not None
    assert loss.isfinite()
    assert x.grad.isfinite().all()


def test_timm_refuses_what_has_no_equal() -> None:
    for options in ({"smoothing": 0.1}, {"disable_torch_grad_focal_loss": True}):
        with pytest.raises(NotImplementedError, match="here the gradient is that of the loss"):
            timm.AsymmetricLossMultiLabel(**options)
    with pytest.raises(ValueError, match="`reduction` must be 'batchmean'"):
        timm.AsymmetricLossMultiLabel(reduction="avg")


def varifocal(x: Tensor, score: Tensor, alpha: float = 0.75, gamma: float = 2.0) -> Tensor:
    p = torch.sigmoid(x)
    entropy = binary_cross_entropy_with_logits(x, score, reduction="none")
    return entropy * torch.where(score > 0, score, alpha * p**gamma)


@each_reduction
def test_mmdet_scores_and_heatmaps(reduction: Any) -> None:
    scores, weight = OWN * SCORES[:, None], torch.linspace(0, 2, 8, dtype=torch.float64)[:, None]
    assert_same(
        lambda x: mmdet.VarifocalLoss(loss_weight=2.0)(x, scores, weight, reduction_override=reduction),
        lambda x: 2.0 * reduced(varifocal(x, scores) * weight, reduction),
        ROWS,
    )
    heatmap = torch.tensor([0.0, 0.3, 0.9, 1.0], dtype=torch.float64).expand(2, 3, 4)

    def gaussian(x: Tensor) -> Tensor:
        p = torch.sigmoid(x)
        other = 0.5 * (1 - heatmap) ** 4 * p**2 * logsigmoid(-x)
        value = -torch.where(heatmap == 1, 3 * (1 - p) ** 2 * logsigmoid(x), other)
        return reduced(value, reduction)

    loss = mmdet.GaussianFocalLoss(reduction=reduction, pos_weight=3.0, neg_weight=0.5)
    assert_same(lambda x: loss(torch.sigmoid(x), heatmap), gaussian)
    with pytest.raises(NotImplementedError, match="`iou_weighted` must be True"):
        mmdet.VarifocalLoss(iou_weighted=False)


def test_ultralytics_varifocal() -> None:
    label = HARD.clone()
    score = torch.where(label > 0, SOFT, 0.0)
    score[0, 0, 0], label[0, 0, 0] = 0.0, 1.0

    def expected(x: Tensor) -> Tensor:
        weight = 0.75 * torch.sigmoid(x) ** 2 * (1 - label) + score * label
        return (binary_cross_entropy_with_logits(x, score, reduction="none") * weight).mean(1).sum()

    assert_same(lambda x: ultralytics.VarifocalLoss()(x, score, label), expected)
    with pytest.raises(ValueError, match="`gt_score` must be 0 where `label` is"):
        ultralytics.VarifocalLoss()(X, SOFT, HARD)


@pytest.mark.parametrize("targets", [2, 9])
def test_transformers_matching_cost(targets: int) -> None:
    ids = torch.arange(targets) % 4
    logits = torch.linspace(-3, 3, 24).reshape(2, 3, 4)
    p = logits.double().flatten(0, 1).sigmoid()
    positive, negative = -0.25 * (1 - p) ** 2 * p.log(), -0.75 * p**2 * (1 - p).log()
    cost = transformers.class_cost(logits, ids)
    torch.testing.assert_close(cost, (positive - negative)[:, ids].float())
    assert transformers.class_cost(100 * logits.half(), ids).isfinite().all()
    with pytest.raises(ValueError, match=r"`target_ids` must hold class indices in \[0, 4\), got -1"):
        transformers.class_cost(logits, torch.tensor([-1]))


def test_bytes_are_class_indices_not_a_mask() -> None:
    index = torch.tensor([2, 0, 1])
    found = transformers.class_cost(X[0].T, index.byte())
    torch.testing.assert_close(found, transformers.class_cost(X[0].T, index), rtol=0, atol=0)
    loss = kornia.focal_loss(X[0].T[:3], index.byte(), 0.5)
    torch.testing.assert_close(loss, kornia.focal_loss(X[0].T[:3], index, 0.5), rtol=0, atol=0)


def test_timm_keeps_the_dtype_beside_weights_of_numpy() -> None:
    x, y = X[0].float(), HARD[0].float()
    loss = timm.AsymmetricLossMultiLabel(weight=np.full(4, 2.0), pos_weight=[1.0, 2.0, 3.0, 4.0])(x, y)  # type: ignore[arg-type]
    assert loss.dtype == torch.float32


def test_timm_of_one_label_on_more_axes() -> None:
    """Its classes are on the last axis, and labels may have one of length 1 in its place."""
    x, index = torch.linspace(-2, 2, 18).sin().reshape(2, 3, 3), torch.tensor([[0, 1, 2], [2, 2, 0]])
    loss = timm.AsymmetricLossSingleLabel(reduction="none")
    rows = loss(x.reshape(6, 3), index.flatten())
    torch.testing.assert_close(loss(x, index), rows.reshape(2, 3), rtol=0, atol=0)
    torch.testing.assert_close(loss(x, index.unsqueeze(-1)), rows.reshape(2, 3), rtol=0, atol=0)
    mean = timm.AsymmetricLossSingleLabel()(x, index)
    torch.testing.assert_close(mean, rows.mean())


def test_mmdet_takes_a_score_for_each_logit() -> None:
    """The result is that of class indices with one score for each."""
    pair = (LABELS, SCORES)
    found = mmdet.QualityFocalLoss()(ROWS, OWN * SCORES[:, None])
    torch.testing.assert_close(found, mmdet.QualityFocalLoss()(ROWS, pair))


def test_ultralytics_takes_an_alpha_for_each_class() -> None:
    alpha = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    found = ultralytics.FocalLoss(alpha=[0.1, 0.5, 0.9])(ROWS, OWN)
    torch.testing.assert_close(found, p_t_loss(ROWS, OWN, alpha, 1.5).mean(1).sum())


def test_kornia_rounds_once_under_autocast() -> None:
    x = torch.tensor([[0.5, -1.0]], dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        loss = kornia.focal_loss(x, torch.tensor([1]), 0.5)
    assert loss.dtype == torch.float32


@pytest.mark.parametrize("weight", [None, 2.0])
def test_timm_is_finite_where_its_loss_is(weight: float | None) -> None:
    x, y = torch.tensor([[float("-inf"), 1.0]]), torch.tensor([[0.0, 1.0]])
    loss = timm.AsymmetricLossMultiLabel(pos_weight=weight)(x, y)
    torch.testing.assert_close(loss, torch.tensor(0.0842490435 * (weight or 1)))


def test_smp_lets_ignored_places_hold_anything() -> None:
    x = torch.full((1, 3, 2), float("nan"))
    x[:, :, 0] = 0
    x.requires_grad_()
    smp.FocalLoss("multiclass", ignore_index=255)(x, torch.tensor([[1, 255]])).backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize(
    "call",
    [
        lambda x: fvcore.sigmoid_focal_loss_star(x, x, reduction="mean"),
        lambda x: monai.FocalLoss()(x, x),
        lambda x: monai.FocalLoss(use_softmax=True)(x, x),
        lambda x: smp.FocalLoss("multilabel")(x, x),
        lambda x: transformers.sigmoid_focal_loss(x.T, x.T, 1.0),
        lambda x: ultralytics.FocalLoss()(x.T, x.T),
        lambda x: ultralytics.VarifocalLoss()(x.T, x.T, x.T),
    ],
)
def test_the_mean_of_no_examples_is_0(call: Callable[[torch.Tensor], torch.Tensor]) -> None:
    assert call(torch.zeros(0, 3)).item() == 0
