"""The page of curves: what its sliders show is what the library computes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from focal_loss.numpy import asymmetric_loss, binary_focal_loss_derivatives

Open = Callable[..., Page]


def slide(page: Page, **values: float) -> None:
    for name, value in values.items():
        page.locator(f"#curves-{name}").fill(str(value))


def shown(page: Page, curve: str) -> tuple[float, float]:
    row = page.locator(f'tr[data-curve="{curve}"] td')
    value, slope = (float(text.replace("\u2212", "-")) for text in row.all_inner_texts())
    return value, slope


@pytest.mark.parametrize(
    ("gamma", "weight", "label", "logit"), [(2, 1, 1, -20), (0.5, 3, 0.7, 1), (5, 0.2, 0, 3.5), (0, 5, 0.25, -0.5)]
)
def test_sliders_give_the_numbers_of_the_library(
    opened: Open, gamma: float, weight: float, label: float, logit: float
) -> None:
    page = opened("curves.html")
    slide(page, gamma=gamma, weight=weight, label=label, logit=logit, clip=0.1)
    for curve, power in (("focal", gamma), ("entropy", 0)):
        value, slope, _ = binary_focal_loss_derivatives(label, np.float64(logit), power, pos_weight=weight)
        np.testing.assert_allclose(shown(page, curve), (value, slope), rtol=1e-3)
    wanted = asymmetric_loss(label, np.float64(logit), gamma, gamma, 0.1, from_logits=True)
    np.testing.assert_allclose(shown(page, "asymmetric")[0], wanted, rtol=1e-3)


def test_a_dead_gradient_is_seen(opened: Open) -> None:
    page = opened("curves.html")
    page.get_by_role("button", name="A dead gradient").click()
    assert shown(page, "focal") == (20.0, -1.0)
    value, slope = shown(page, "clamped")
    assert value == pytest.approx(16.118, abs=1e-3)
    assert abs(slope) < 1e-6


def test_sliders_by_keyboard(opened: Open) -> None:
    """Each has a name, takes keys, says its value, and draws the curves anew."""
    page = opened("curves.html")
    path = page.locator('svg[data-figure="value"] path.focal')
    before = path.get_attribute("d")
    slider = page.get_by_label("gamma", exact=True)
    slider.focus()
    slider.press("ArrowRight")
    expect(page.locator("output[for=curves-gamma]")).to_have_text("2.1")
    assert path.get_attribute("d") != before
    for name in ("weight of positives", "label", "clip", "logit to read at", "logits shown"):
        page.keyboard.press("Tab")
        expect(page.get_by_label(name, exact=True)).to_be_focused()


def test_the_clip_shows_its_curve(opened: Open) -> None:
    page = opened("curves.html")
    row = page.locator('tr[data-curve="asymmetric"]')
    expect(row).to_be_hidden()
    slide(page, clip=0.05)
    expect(row).to_be_visible()
    expect(page.locator("svg[data-figure] path.asymmetric")).to_have_count(2)


def test_a_figure_is_read_under_the_pointer(opened: Open) -> None:
    page = opened("curves.html")
    figure = page.locator('svg[data-figure="slope"]')
    figure.scroll_into_view_if_needed()
    box = figure.bounding_box()
    page.mouse.move(box["x"] + box["width"] * (46 + 404 * 0.75) / 460, box["y"] + box["height"] / 2)
    expect(page.locator("output[for=curves-logit]")).to_have_text("3")
