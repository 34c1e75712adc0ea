"""The family: jumps at a label, detached weights, the clip, the cost of a match."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from cases import DIFFERENTIABLE, FRAMEWORK, FRAMEWORKS, LOSS, UNLABELED, Framework

import focal_loss
from focal_loss import numpy as xp
from focal_loss._core import formula
from focal_loss._host.evaluate import OPS

TORCH = FRAMEWORK["torch"].module
F64 = torch.float64
COST = UNLABELED[0]
SCORED = ("varifocal_loss", "matchability_aware_loss")
MEMBERS = ("poly1_focal_loss", "penalty_reduced_focal_loss", *SCORED, "asymmetric_loss")
by_framework = pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
by_member = pytest.mark.parametrize("name", MEMBERS)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("gamma_pos", "gamma_neg"), [(1.0, 4.0), (2.0, 7.3), (0.5, 0.5), (7.3, 2.0)])
@pytest.mark.parametrize("ending", ["", "_of_probabilities"])
def test_without_a_clip_each_side_is_the_focal_loss_to_the_last_bit(
    dtype: str, gamma_pos: float, gamma_neg: float, ending: str
) -> None:
    z = np.linspace(-30, 30, 1201).astype(dtype) if not ending else np.linspace(0, 1, 1201).astype(dtype)
    for y, gamma in ((1.0, gamma_pos), (0.0, gamma_neg)):
        label = np.full_like(z, y)
        for index in ("", "0", "00"):
            found = formula.evaluate(OPS, f"asymmetric{ending}", index, z, label, gamma_pos, gamma_neg, 0.0)
            focal = formula.evaluate(OPS, f"expected_loss{ending}", index, z, label, gamma, 1.0, 1.0)
            np.testing.assert_array_equal(found, focal)


@pytest.mark.parametrize("framework", DIFFERENTIABLE, ids=str)
@pytest.mark.parametrize("from_logits", [True, False])
def test_an_easy_negative_is_free_below_the_clip_alone(framework: Framework, from_logits: bool) -> None:
    p = np.array([0.0, 0.1, 0.19, 0.21, 0.9])
    with np.errstate(divide="ignore"):
        x = np.log(p / (1 - p)) if from_logits else p
    result = framework.derivatives(
        lambda y_pred: framework.module.asymmetric_loss(
            [0, 0, 0, 0, 0], y_pred, gamma_neg=0.5, clip=0.2, from_logits=from_logits
        ),
        {"y_pred": x},
        "float64",
    )
    for found in result.values():
        np.testing.assert_array_equal(found[:3], 0.0)
        assert (found[3:] > 0).any()


@pytest.mark.parametrize("clip", [1e-300, 1e-40, 1e-6])
def test_a_clip_may_be_as_small_as_any_number(clip: float) -> None:
    """The loss of a certain negative is -log(clip), also where q + clip underflows."""
    x = torch.tensor([60.0, 100.0, 3e38], requires_grad=True)
    loss = TORCH.asymmetric_loss(torch.zeros(3), x, gamma_neg=1.0, clip=clip, from_logits=True)
    loss_of_clip = -np.logaddexp([-60.0, -100.0, -3e38], np.log(clip))
    exact = (1 - clip) * loss_of_clip
    np.testing.assert_allclose(loss.detach(), exact, rtol=1e-6)
    loss.sum().backward()
    assert torch.isfinite(x.grad).all()
    slope = (1 - clip) / (1 + clip * np.exp([60.0, 100.0])) + np.exp([-60.0, -100.0]) * loss_of_clip[:2]
    np.testing.assert_allclose(x.grad[:2], slope, rtol=1e-5)


def test_a_number_that_changes_in_compiled_code() -> None:
    """The compiler makes a variable of the second value of a Python number."""
    x, y = torch.linspace(-3, 3, 7), torch.tensor([0.0, 1.0, 0.0, 0.5, 0.0, 0.0, 1.0])

    def both(x: torch.Tensor, value: float) -> torch.Tensor:
        clipped = TORCH.asymmetric_loss(y, x, clip=value, from_logits=True)
        return clipped + TORCH.poly1_focal_loss(y, x.sigmoid(), epsilon=value)

    compiled = torch.compile(both, backend="aot_eager", fullgraph=True)
    for value in (0.0, 0.05, 0.1, 0.3):
        torch.testing.assert_close(compiled(x, value), both(x, value))


@pytest.mark.parametrize("name", SCORED)
def test_a_detached_weight_is_what_detach_makes_it(name: str) -> None:
    """First and second derivatives equal those with `detach`; gamma and alpha keep theirs."""
    x = torch.linspace(-4, 4, 9, dtype=F64).requires_grad_()
    gamma, alpha = (torch.tensor(value, dtype=F64, requires_grad=True) for value in (1.7, 0.6))
    ours = getattr(TORCH, name)(torch.zeros(9), x, gamma=gamma, alpha=alpha, detach_weight=True, from_logits=True)
    plain = alpha * x.sigmoid().detach() ** gamma * torch.nn.functional.softplus(x)
    torch.testing.assert_close(ours, plain)
    for found, expected in zip(derivatives(ours, x, gamma, alpha), derivatives(plain, x, gamma, alpha), strict=True):
        torch.testing.assert_close(found, expected)


def derivatives(loss: torch.Tensor, *inputs: torch.Tensor) -> list[torch.Tensor]:
    first = torch.autograd.grad(loss.sum(), inputs, create_graph=True)
    # Second derivatives of the slope in the logits: those of the slope in gamma differ, as there p^gamma has a slope.
    return [*first, *torch.autograd.grad(first[0].sum(), inputs)]


CALLS: dict[str, Callable[..., torch.Tensor]] = {
    "poly1": lambda x, y, g, w: TORCH.poly1_focal_loss(y, x, g, 0.5, pos_weight=w, from_logits=True),
    "penalty": lambda x, y, g, w: TORCH.penalty_reduced_focal_loss(y, x, g, w, from_logits=True),
    "varifocal": lambda x, y, g, w: TORCH.varifocal_loss(y, x, w, g, from_logits=True),
    "matchability": lambda x, y, g, w: TORCH.matchability_aware_loss(
        y, x, g, alpha=w, detach_weight=False, from_logits=True
    ),
    "asymmetric": lambda x, y, g, w: TORCH.asymmetric_loss(y, x, g, w, from_logits=True),
    "cost": lambda x, y, g, w: TORCH.focal_matching_cost(x, w, g, from_logits=True),
    "of probabilities": lambda x, y, g, w: (
        TORCH.poly1_focal_loss(y, x.sigmoid(), g, 0.5, pos_weight=w)
        + TORCH.penalty_reduced_focal_loss(y, x.sigmoid(), g, w)
        + TORCH.varifocal_loss(y, x.sigmoid(), w, g)
        + TORCH.matchability_aware_loss(y, x.sigmoid(), g, alpha=w, detach_weight=False)
        + TORCH.asymmetric_loss(y, x.sigmoid(), g, w)
        + TORCH.focal_matching_cost(x.sigmoid(), w, g)
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_pair_of_second_derivatives_is_that_of_the_first(name: str) -> None:
    x = torch.tensor([-3.0, -0.7, 0.4, 2.5], dtype=F64, requires_grad=True)
    y = torch.tensor([0.2, 0.9, 0.45, 0.7], dtype=F64, requires_grad=True)
    parameters = [torch.full((4,), value, dtype=F64, requires_grad=True) for value in (1.7, 0.6)]
    assert torch.autograd.gradgradcheck(CALLS[name], (x, y, *parameters))
    hard = torch.tensor([0.0, 0.0, 1.0, 1.0], dtype=F64)
    assert torch.autograd.gradgradcheck(lambda x, *p: CALLS[name](x, hard, *p), (x, *parameters))


@pytest.mark.parametrize("framework", DIFFERENTIABLE, ids=str)
@pytest.mark.parametrize(("name", "label"), [*((name, 0.0) for name in SCORED), ("penalty_reduced_focal_loss", 1.0)])
def test_where_a_loss_jumps_the_derivative_in_the_label_is_0(framework: Framework, name: str, label: float) -> None:
    y, x = np.full(3, label), np.array([-2.0, 0.5, 3.0])
    result = framework.derivatives(
        lambda y_pred, y_true: LOSS[name](framework, y_true, y_pred), {"y_pred": x, "y_true": y}, "float32"
    )
    np.testing.assert_array_equal(result["y_true"], 0.0)
    assert (np.abs(result["y_pred"]) > 0).all()


@by_framework
@by_member
def test_boolean_and_integer_labels_are_the_numbers_0_and_1(framework: Framework, name: str) -> None:
    x = framework.tensor([-1.5, 2.0, 0.5, -3.0], "float32")
    expected = framework.numpy(LOSS[name](framework, np.float32([1, 0, 1, 0]), x))
    for dtype in (bool, np.int64, np.uint8):
        found = framework.numpy(LOSS[name](framework, np.array([1, 0, 1, 0], dtype), x))
        np.testing.assert_allclose(found, expected, rtol=1e-6)


LIMITS = {
    "poly1_focal_loss": ([0, np.inf], [np.inf, np.inf], [np.inf, 0]),
    "penalty_reduced_focal_loss": ([0, np.inf], [0, np.inf], [np.inf, 0]),
    "varifocal_loss": ([0, np.inf], [np.inf, np.inf], [np.inf, 0]),
    "matchability_aware_loss": ([0, np.inf], [np.inf, np.inf], [np.inf, 0]),
    "asymmetric_loss": ([0, -np.log(0.05) * 0.95**4], [np.inf, -np.log(0.05) * 0.95**4 / 2], [np.inf, 0]),
}


@by_framework
@by_member
def test_an_infinite_logit_has_the_limit(framework: Framework, name: str) -> None:
    """The limits at -inf and inf, for labels of 0, 1/2 and 1. Derivatives are finite; NaN gives NaN."""
    y, z = np.float32([0, 0, 0.5, 0.5, 1, 1]), np.float32([-np.inf, np.inf] * 3)
    result = framework.derivatives(lambda y_pred: LOSS[name](framework, y, y_pred), {"y_pred": z}, "float32")
    np.testing.assert_allclose(result["value"], np.ravel(LIMITS[name]), rtol=1e-6)
    for key in {"y_pred", "second"} & set(result):
        assert np.isfinite(result[key]).all()
    nan = framework.derivatives(lambda y_pred: LOSS[name](framework, y, y_pred), {"y_pred": z * np.nan}, "float32")
    for found in nan.values():
        assert np.isnan(found).all()


@pytest.mark.parametrize("framework", DIFFERENTIABLE, ids=str)
@by_member
def test_the_gradient_of_a_hard_positive_is_never_dead(framework: Framework, name: str) -> None:
    z = np.array([-20, -100, -1e4, -1e30], np.float32)
    weight = {"pos_weight": 1.0} if name == "poly1_focal_loss" else {}
    result = framework.derivatives(
        lambda y_pred: LOSS[name](framework, np.ones(4, bool), y_pred, **weight), {"y_pred": z}, "float32"
    )
    np.testing.assert_allclose(result["y_pred"], -1.0, rtol=1e-6)


def test_a_heatmap_without_an_object_is_legal() -> None:
    loss = xp.penalty_reduced_focal_loss([[0.0, 0.3], [0.9, 0.0]], [[0.1, 0.2], [0.5, 0.3]])
    assert np.isfinite(loss).all()
    with pytest.raises(ValueError, match=r"`y_true` must hold labels in \[0, 1\], got 1.5"):
        xp.penalty_reduced_focal_loss([1.5], [0.5])


@by_framework
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_matching_cost_is_finite_and_in_order_in_half_precision(framework: Framework, dtype: str) -> None:
    z = np.array([-6e4, -1e4, -100, -20, -8, -3, -1, -0.1, 0, 0.1, 1, 3, 8, 9, 20, 100, 1e4, 6e4])
    cost = framework.numpy(framework.module.focal_matching_cost(framework.tensor(z, dtype), from_logits=True))
    assert np.isfinite(cost).all()
    assert (np.diff(cost) < 0).all()
    p = framework.numpy(framework.module.focal_matching_cost(framework.tensor([0.0, 1e-4, 0.5, 1.0], dtype)))
    assert np.isfinite(p).all()
    assert (np.diff(p) < 0).all()


def test_a_matching_cost_never_rises_with_the_logit() -> None:
    """Every finite float16 is tried. Neighbors may be rounded to the same cost."""
    z = np.arange(2**16, dtype=np.uint16).view(np.float16)
    z = np.sort(z[np.isfinite(z)])
    for alpha, gamma in ((0.25, 2.0), (0.0, 0.5), (1.0, 0.0)):
        cost = xp.focal_matching_cost(z, alpha, gamma, from_logits=True)
        assert np.isfinite(cost).all()
        assert (np.diff(cost.astype(np.float64)) <= 0).all()


@by_framework
def test_a_matching_cost_at_infinity(framework: Framework) -> None:
    z = framework.tensor([-np.inf, np.inf, np.nan], "float32")
    for alpha, expected in ((0.25, [np.inf, -np.inf]), (0.0, [0.0, -np.inf]), (1.0, [np.inf, 0.0])):
        found = framework.numpy(framework.module.focal_matching_cost(z, alpha, from_logits=True))
        np.testing.assert_array_equal(found, [*expected, np.nan])


def test_a_matching_cost_is_a_function_alone() -> None:
    expected = dict(inspect.signature(focal_loss.focal_matching_cost).parameters)
    assert list(expected) == ["y_pred", "alpha", "gamma", "from_logits"]
    for framework in FRAMEWORKS:
        parameters = inspect.signature(framework.module.focal_matching_cost).parameters
        assert [(p.name, p.default, p.kind) for p in parameters.values()] == [
            (p.name, p.default, p.kind) for p in expected.values()
        ]
    for module in ("focal_loss", "focal_loss.torch", "focal_loss.keras.losses", "focal_loss.keras.metrics"):
        assert "FocalMatchingCost" not in importlib.import_module(module).__all__


@by_framework
def test_a_matching_cost_takes_an_alpha_for_each_class(framework: Framework) -> None:
    z: Any = np.float32([[1.0, -2.0], [0.5, 0.25]])
    found = framework.numpy(
        framework.module.focal_matching_cost(framework.tensor(z, "float32"), [0.2, 0.7], from_logits=True)
    )
    columns = [xp.focal_matching_cost(z[:, k], alpha, from_logits=True) for k, alpha in enumerate((0.2, 0.7))]
    np.testing.assert_allclose(found, np.stack(columns, 1), rtol=1e-6, atol=1e-7)  # a difference of two terms
    with pytest.raises(ValueError, match=r"`alpha` of shape \(3,\) and `y_pred` of shape \(2, 2\) do not broadcast"):
        COST(framework, y_pred=framework.tensor(z, "float32"), alpha=[0.1, 0.2, 0.3])


def test_slopes_are_numbers_where_a_clip_rounds_to_1() -> None:
    x = torch.tensor([90.0, float("inf")], requires_grad=True)
    TORCH.asymmetric_loss(torch.zeros(2), x, clip=0.99999999, from_logits=True).sum().backward()
    torch.testing.assert_close(x.grad, torch.zeros(2))


def test_slopes_are_numbers_at_the_largest_gammas() -> None:
    x = torch.tensor([0.0], requires_grad=True)
    TORCH.poly1_focal_loss(torch.zeros(1), x, 1e38, 20.0, from_logits=True).sum().backward()
    z = torch.tensor([-0.84629787], requires_grad=True)
    TORCH.quality_focal_loss(torch.tensor([0.3]), z, 1e36, from_logits=True).sum().backward()
    torch.testing.assert_close(torch.stack([x.grad, z.grad]), torch.zeros(2, 1))
