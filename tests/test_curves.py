"""The numbers of the page of curves in the documentation: its JavaScript in a browser, against the library."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from browser import chromium
from playwright.sync_api import Page

from focal_loss.numpy import asymmetric_loss, binary_focal_loss_derivatives
from focal_loss.torch import asymmetric_loss as torch_asymmetric_loss

SCRIPT = Path(__file__).parents[1] / "docs" / "_static" / "curves.js"
LOGITS = (-800.0, -40.0, -20.0, -16.0, -3.0, -0.1, 0.0, 0.1, 1.0, 3.0, 16.0, 20.0, 40.0, 800.0)
LABELS = (0.0, 0.3, 0.7, 1.0)
GAMMAS = (0.0, 0.5, 1.0, 2.0, 3.7, 5.0)
WEIGHTS = (0.25, 1.0, 4.0)
CLIPS = (0.0, 0.05, 0.2)


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with chromium() as browser:
        page = browser.new_page()
        page.add_script_tag(path=SCRIPT)
        yield page


def computed(page: Page, name: str, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values and slopes of a function of the script, for rows of arguments."""
    code = f"rows => rows.map(row => focalCurves.{name}(...row)).map(({{value, slope}}) => [value, slope])"
    value, slope = np.array(page.evaluate(code, grid.tolist())).T
    return value, slope


def rows(*values: tuple[float, ...]) -> np.ndarray:
    return np.array(list(itertools.product(*values)))


def assert_close(actual: np.ndarray, wanted: np.ndarray, size: np.ndarray) -> None:
    """Within 1e-13 of the size of the terms, of which a soft label has two that may cancel."""
    share = np.abs(actual - wanted) / np.maximum(size, 1e-300)
    assert share.max() < 1e-13, f"{share.max():.3g} at row {share.argmax()}"


def test_binary_focal_loss(page: Page) -> None:
    grid = rows(LOGITS, LABELS, GAMMAS, WEIGHTS)
    value, slope = computed(page, "binary", grid)
    z, y, gamma, weight = grid.T
    wanted = binary_focal_loss_derivatives(y, z, gamma, pos_weight=weight)
    sides = [binary_focal_loss_derivatives(np.full(len(z), label), z, gamma, pos_weight=weight)[1] for label in (0, 1)]
    assert_close(value, wanted[0], wanted[0])
    assert_close(slope, wanted[1], (1 - y) * abs(sides[0]) + y * abs(sides[1]))


def test_asymmetric_loss(page: Page) -> None:
    for clip in CLIPS:
        grid = rows(LOGITS, LABELS, (0.0, 1.0), GAMMAS, (clip,))
        value, slope = computed(page, "asymmetric", grid)
        z, y, gamma_pos, gamma_neg, _ = grid.T
        assert_close(value, *2 * [asymmetric_loss(y, z, gamma_pos, gamma_neg, clip, from_logits=True)])
        logits = torch.tensor(z, requires_grad=True)
        options = torch.tensor(gamma_pos), torch.tensor(gamma_neg), clip
        torch_asymmetric_loss(torch.tensor(y), logits, *options, from_logits=True).sum().backward()
        ends = [computed(page, "asymmetric", np.column_stack([z, 0 * z + end, grid[:, 2:]]))[1] for end in (0, 1)]
        assert_close(slope, logits.grad.numpy(), (1 - y) * abs(ends[0]) + y * abs(ends[1]))


def test_clamped_probabilities(page: Page) -> None:
    """The formula of Keras, differentiated by torch."""
    grid = rows(LOGITS[2:-2], LABELS, (0.0, 1.0, 2.0, 3.7), WEIGHTS)
    value, slope = computed(page, "clamped", grid)
    z, y, gamma, weight = torch.tensor(grid).unbind(1)
    z.requires_grad_()
    p, q = z.sigmoid(), (-z).sigmoid()
    entropy = -(y * p.clamp(1e-7, 1 - 1e-7).log() + (1 - y) * q.clamp(1e-7, 1 - 1e-7).log())
    loss = (y * weight + 1 - y) * (y * q + (1 - y) * p) ** gamma * entropy
    loss.sum().backward()
    np.testing.assert_allclose(value, loss.detach().numpy(), rtol=1e-12)
    # torch takes the derivative of a sigmoid near 1 from 1 - p, which has lost digits there.
    np.testing.assert_allclose(slope, z.grad.numpy(), rtol=1e-9, atol=1e-13)


def test_what_the_readme_measured_of_keras(page: Page) -> None:
    value, slope = computed(page, "clamped", rows((-20.0,), (1.0,), (2.0,)))
    assert (round(value[0], 3), f"{slope[0]:.1e}") == (16.118, "-6.6e-08")
