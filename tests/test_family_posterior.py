"""Posteriors of models trained with the other losses of the family, against golden numbers, in every framework."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accuracy import Exact
from cases import DIFFERENTIABLE, FRAMEWORKS, LOSSES, Framework

from focal_loss._calibration.family import FORMS, WITHOUT
from focal_loss.calibration import posterior_from_logits, posterior_of_loss


@cache
def groups() -> list[tuple[str, dict[str, Any], list[dict[str, Any]]]]:
    """The rows of each loss and its options."""
    rows = json.loads((Path(__file__).parent / "golden" / "family_posterior.json").read_text())
    keys = list(dict.fromkeys((row["loss"], json.dumps(row["options"])) for row in rows))
    chosen = [(loss, json.loads(options)) for loss, options in keys]
    return [(loss, o, [row for row in rows if row["loss"] == loss and row["options"] == o]) for loss, o in chosen]


def share_of_the_bound(found: np.ndarray, rows: list[dict[str, Any]], name: str, bound: np.ndarray, dtype: str) -> Any:
    exact = Exact.of([row[name] for row in rows])
    allowed = bound * np.finfo(dtype).eps * np.abs(exact.high) + 64 * np.finfo(dtype).tiny
    return np.max(exact.error(found) / allowed)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
def test_posterior_of_loss(framework: Framework, dtype: str) -> None:
    """To the bound of `posterior_from_logits`, with the gamma of both sides, and what the clip adds."""
    worst = {}
    for loss, options, rows in groups():
        z = np.array([row["z"] for row in rows])
        result = framework.derivatives(
            lambda z, loss=loss, options=options: posterior_of_loss(loss, z, **options),
            {"z": z},
            dtype,
            second=False,
        )
        gammas = [options[name] for name in ("gamma_pos", "gamma_neg", "gamma", "beta") if name in options]
        gammas += [options["alpha"]] if loss == "penalty_reduced_focal_loss" else []
        spread = np.array([row["spread"] for row in rows])
        bound = 8 + 2 * (1 + max(gammas)) * (np.abs(z) + spread - 1)
        key = f"{loss} {options}"
        worst[key] = share_of_the_bound(result["value"], rows, "value", bound, dtype)
        if framework.name != "numpy":
            # The terms of the slope cancel where 1 + g does not: it is known to a few eps of 1 + g.
            bound = (8 + bound) * spread
            worst[f"{key} dz"] = share_of_the_bound(result["z"], rows, "dz", bound, dtype)
    assert {key: ratio for key, ratio in worst.items() if not ratio <= 1} == {}


def test_every_loss_has_a_posterior_or_says_why_not() -> None:
    assert {*(loss.name for loss in LOSSES), "focal_matching_cost"} == {*FORMS, *WITHOUT}
    for loss, reason in WITHOUT.items():
        with pytest.raises(ValueError, match="must have a posterior in closed form") as caught:
            posterior_of_loss(loss, [0.5])
        assert str(caught.value).endswith(reason)


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
def test_far_away(framework: Framework) -> None:
    z = framework.tensor([-np.inf, -1e30, -300.0, 300.0, 1e30, np.inf, np.nan], "float32")
    for loss in FORMS:
        found = framework.numpy(posterior_of_loss(loss, z, **({"gamma": 2} if loss == "binary_focal_loss" else {})))
        np.testing.assert_array_equal(found, [0, 0, 0, 1, 1, 1, np.nan])
    # Positives that are never easy, against negatives of a bounded loss: no logit stands for more than this.
    bounded = framework.numpy(posterior_of_loss("asymmetric_loss", z, gamma_pos=0, gamma_neg=2, clip=0.25))
    odds = 2 * 0.75 * -np.log(0.25) + 0.75**2 / 0.25
    np.testing.assert_allclose(bounded, [0, 0, 0, *[odds / (1 + odds)] * 3, np.nan], rtol=1e-5)


@pytest.mark.parametrize("framework", DIFFERENTIABLE, ids=str)
def test_arrays_broadcast(framework: Framework) -> None:
    z, gamma = framework.tensor(np.zeros((4, 1)), "float32"), framework.tensor([0.0, 1.0, 2.0], "float32")
    found = posterior_of_loss("varifocal_loss", z, gamma=gamma, alpha=[1.0, 2.0, 0.5])
    each = [
        float(posterior_of_loss("varifocal_loss", [0.0], gamma=g, alpha=a)[0])
        for g, a in ((0.0, 1.0), (1.0, 2.0), (2.0, 0.5))
    ]
    np.testing.assert_allclose(framework.numpy(found), np.tile(each, (4, 1)), rtol=1e-6)


def test_the_focal_loss_itself() -> None:
    z = np.linspace(-5, 5, 11)
    expected = posterior_from_logits(z, 2.0, pos_weight=3.0)
    for loss, options in (
        ("binary_focal_loss", {"gamma": 2.0, "pos_weight": 3.0}),
        ("poly1_focal_loss", {"gamma": 2.0, "epsilon": 0.0, "pos_weight": 3.0}),
    ):
        np.testing.assert_allclose(posterior_of_loss(loss, z, **options), expected, rtol=1e-14)


BAD: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    ("focal", {}, ValueError, "`loss` must be the name of a loss, one of asymmetric_loss, "),
    (2, {}, ValueError, "`loss` must be the name of a loss, one of asymmetric_loss, "),
    ("varifocal_loss", {"beta": 2}, TypeError, "`varifocal_loss` has no `beta`; its options are alpha, gamma"),
    ("varifocal_loss", {"from_logits": True}, TypeError, "`varifocal_loss` has no `from_logits`"),
    ("binary_focal_loss", {}, TypeError, "`binary_focal_loss` needs a `gamma`; pass that of the training"),
    ("varifocal_loss", {"alpha": 0}, ValueError, "`alpha` must be a positive number, got 0"),
    ("varifocal_loss", {"gamma": -1}, ValueError, "`gamma` must be a non-negative number, got -1"),
    ("asymmetric_loss", {"clip": 1}, ValueError, "`clip` must be a number in [0, 1), got 1"),
    ("poly1_focal_loss", {"gamma": [1.0, 2.0]}, ValueError, "`gamma` of shape (2,) and `logits` of shape (3,) do not"),
]


@pytest.mark.parametrize(("loss", "options", "error", "message"), BAD)
def test_bad_input(loss: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        posterior_of_loss(loss, [1.0, 2.0, 3.0], **options)
    assert str(caught.value).startswith(message)
