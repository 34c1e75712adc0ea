"""Laws that the losses obey for all inputs, on examples that Hypothesis draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import FRAMEWORK, LOSS, OWN_FORM, Loss
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from focal_loss import numpy as xp

ROWS, CLASSES, LARGEST = 3, 4, 30
EPS = np.finfo(np.float64).eps
law = settings(max_examples=15, deadline=None, derandomize=True, database=None)

# Logits in steps of 1/64 and labels in steps of 1/64 too: their sums with integers, 1 - y and -z are exact.
logits = arrays(np.float64, (ROWS, CLASSES), elements=st.integers(-64 * LARGEST, 64 * LARGEST).map(lambda k: k / 64))
labels = arrays(np.float64, (ROWS, CLASSES), elements=st.integers(0, 64).map(lambda k: k / 64))
hard = arrays(np.float64, (ROWS, CLASSES), elements=st.sampled_from([0.0, 1.0]))
indices = arrays(np.int64, (ROWS,), elements=st.integers(0, CLASSES - 1))
gammas = st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.0, 5.0]) | st.floats(0, 8)
weights = arrays(np.float64, (CLASSES,), elements=st.floats(0, 10))
shares = st.floats(0, 1)
distributions = arrays(np.float64, (ROWS, CLASSES), elements=st.floats(0.01, 1)).map(lambda y: y / y.sum(1)[:, None])


def same(a: Any, b: Any) -> bool:
    return float(np.abs(a - b).max()) < 1e-12


def own_forms(law: Callable[[Loss, Any, Any, Any], tuple[Any, Any]], y: Any) -> list[str]:
    """The losses whose declared formula obeys a law at some labels, which the computation must then obey too."""
    p, y = np.meshgrid(np.array([0.03, 0.2, 0.6, 0.9]), y)
    return [loss.name for loss in OWN_FORM if same(*law(loss, y, p, 1 - p))]


def cross_entropy(y: Any, p: Any, q: Any) -> Any:
    return y * -np.log(p) + (1 - y) * -np.log(q)


def margin(y: Any, p: Any, q: Any, gamma: float) -> Any:
    """The focal loss of a hard label."""
    return np.where(y == 1, q**gamma * -np.log(p), p**gamma * -np.log(q))


SOME = np.array([0.0, 0.1, 0.5, 0.8, 1.0])
ELEMENTS = [name for name, loss in LOSS.items() if loss.declared.layout == "elements"]
ALIKE = ["binary_focal_loss", "binary_focal_crossentropy"]
ALIKE += own_forms(lambda loss, y, p, q: (loss.plain(np, y, p, q), loss.plain(np, 1 - y, q, p)), SOME)
AT_0 = ["binary_focal_loss"]
AT_0 += own_forms(lambda loss, y, p, q: (loss.plain(np, y, p, q, **{loss.focus: 0.0}), cross_entropy(y, p, q)), SOME)
OF_MARGIN = own_forms(
    lambda loss, y, p, q: (loss.plain(np, y, p, q, **{loss.focus: 1.7}), margin(y, p, q, 1.7)), np.array([0.0, 1.0])
)
DENSE = ["categorical_focal_loss", "categorical_focal_crossentropy"]
# At equal logits the gradient at the smaller label is 0: its terms cancel.
THREE_TO_ONE = np.array([[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 3]]) / 64


def compute(name: str, y: Any, z: Any, gamma: Any, **options: Any) -> np.ndarray:
    """A loss from logits, its focusing parameter under whatever name it has."""
    return getattr(xp, name)(y, z, **{LOSS[name].focus: gamma}, from_logits=True, **options)


def agree(found: Any, expected: Any, gamma: float, distance: float = 2 * LARGEST) -> None:
    """Both sides may have the error of a softmax, whose bound is above that of a binary loss."""
    bound = 8 + CLASSES + 2 * (gamma + 1) * distance
    np.testing.assert_allclose(found, expected, rtol=2 * bound * EPS, atol=1e-300)


@law
@given(y=labels, z=logits, gamma=gammas, a=weights, b=weights)
def test_a_loss_is_linear_in_its_weights(y: Any, z: Any, gamma: float, a: Any, b: Any) -> None:
    one, two, both = (compute("binary_focal_loss", y, z, gamma, pos_weight=w) for w in (a, b, a + b))
    agree(one + two, both + compute("binary_focal_loss", y, z, gamma, pos_weight=0.0), gamma)
    one, two, both = (compute("categorical_focal_loss", y, z, gamma, class_weight=w) for w in (a, b, a + b))
    agree(one + two, both, gamma)


@pytest.mark.parametrize("name", DENSE)
@law
@given(y=labels, z=logits, gamma=gammas, w=weights, order=st.permutations(range(CLASSES)), t=indices)
def test_the_order_of_the_classes_does_not_matter(
    name: str, y: Any, z: Any, gamma: float, w: Any, order: list[int], t: Any
) -> None:
    weight = LOSS[name].weight
    permuted = compute(name, y[:, order], z[:, order], gamma, **{weight: w[order]})
    agree(permuted, compute(name, y, z, gamma, **{weight: w}), gamma)
    places = np.argsort(order)
    sparse = "sparse_" + name
    permuted = compute(sparse, places[t], z[:, order], gamma, **{weight: w[order]})
    agree(permuted, compute(sparse, t, z, gamma, **{weight: w}), gamma)


@pytest.mark.parametrize("name", DENSE)
@law
@given(y=labels, z=logits, gamma=gammas, t=indices, shift=st.integers(-1000, 1000))
def test_a_shift_of_all_logits_changes_nothing(name: str, y: Any, z: Any, gamma: float, t: Any, shift: int) -> None:
    agree(compute(name, y, z + shift, gamma), compute(name, y, z, gamma), gamma)
    agree(compute("sparse_" + name, t, z + shift, gamma), compute("sparse_" + name, t, z, gamma), gamma)


@law
@given(z=logits, gamma=gammas, t=indices)
def test_the_gradient_of_a_softmax_adds_up_to_zero(z: Any, gamma: float, t: Any) -> None:
    """It follows from invariance under a shift."""
    gradient = xp.sparse_categorical_focal_loss_derivatives(t, z, gamma).gradient
    scale = np.abs(gradient).sum(1)
    assert (np.abs(gradient.sum(1)) <= 2 * (8 + CLASSES + 4 * (gamma + 1) * LARGEST) * EPS * scale + 1e-300).all()


@pytest.mark.parametrize("name", ALIKE)
@law
@given(y=labels, z=logits, gamma=gammas)
def test_the_two_classes_of_a_binary_loss_are_alike(name: str, y: Any, z: Any, gamma: float) -> None:
    agree(compute(name, 1 - y, -z, gamma), compute(name, y, z, gamma), gamma)


@pytest.mark.parametrize("name", ELEMENTS)
@law
@given(y=labels, z=logits, gamma=gammas)
def test_broadcasting_is_a_loop(name: str, y: Any, z: Any, gamma: float) -> None:
    y = y[:, :1]
    looped = [[compute(name, label, x, gamma) for x in row] for (label,), row in zip(y, z, strict=True)]
    found = compute(name, y, z, gamma)
    assert found.shape == (ROWS, CLASSES)
    agree(found, looped, gamma)


@pytest.mark.parametrize("name", list(LOSS))
@law
@given(y=hard, z=logits, t=indices, gamma=gammas, more=st.floats(0, 5))
def test_a_loss_falls_as_gamma_rises(name: str, y: Any, z: Any, t: Any, gamma: float, more: float) -> None:
    y = t if "sparse" in name else y
    low, high = compute(name, y, z, gamma + more), compute(name, y, z, gamma)
    bound = 8 + CLASSES + 4 * (gamma + more + 1) * LARGEST
    assert (low <= high * (1 + 2 * bound * EPS) + 1e-300).all()


@pytest.mark.parametrize("name", ["binary_focal_loss", "categorical_focal_loss"])
@law
@given(one=labels, other=labels, z=logits, gamma=gammas, share=shares)
def test_a_mixture_of_labels_has_the_mixture_of_the_losses(
    name: str, one: Any, other: Any, z: Any, gamma: float, share: float
) -> None:
    """Only expected losses have this property; the others apply the loss to a mixed probability."""
    mixed = compute(name, share * one + (1 - share) * other, z, gamma)
    expected = share * compute(name, one, z, gamma) + (1 - share) * compute(name, other, z, gamma)
    # The rounding of 1 - y, half an EPS, matters where y is near 1 and z is large.
    slack = 2 * EPS * (compute(name, np.ones_like(z), z, gamma) + compute(name, np.ones_like(z), -z, gamma))
    bound = 2 * (8 + CLASSES + 4 * (gamma + 1) * LARGEST) * EPS
    assert (np.abs(mixed - expected) <= bound * expected + slack + 1e-300).all()


@pytest.mark.parametrize("name", ["binary_focal_loss", "binary_focal_crossentropy", *DENSE])
@law
@given(y=distributions, z=logits, gamma=gammas, smoothing=shares)
def test_smoothing_is_that_of_the_labels(name: str, y: Any, z: Any, gamma: float, smoothing: float) -> None:
    classes = 2 if "binary" in name else CLASSES
    found = compute(name, y, z, gamma, label_smoothing=smoothing)
    agree(found, compute(name, y * (1 - smoothing) + smoothing / classes, z, gamma), gamma, 4 * LARGEST)


@pytest.mark.parametrize("name", DENSE)
@law
@given(t=indices, z=logits, gamma=gammas, w=weights)
def test_class_indices_are_rows_of_one_one(name: str, t: Any, z: Any, gamma: float, w: Any) -> None:
    weight = {LOSS[name].weight: w}
    agree(
        compute("sparse_" + name, t, z, gamma, **weight), compute(name, np.eye(CLASSES)[t], z, gamma, **weight), gamma
    )


@law
@given(y=labels, z=logits, gamma=gammas, w=st.floats(0, 10))
def test_a_binary_loss_is_a_softmax_of_two_classes(y: Any, z: Any, gamma: float, w: float) -> None:
    two = compute(
        "categorical_focal_loss", np.stack([1 - y, y], -1), np.stack([0 * z, z], -1), gamma, class_weight=[1, w]
    )
    agree(compute("binary_focal_loss", y, z, gamma, pos_weight=w), two, gamma)


@pytest.mark.parametrize("name", AT_0)
@law
@given(y=labels, z=logits)
def test_gamma_0_is_cross_entropy(name: str, y: Any, z: Any) -> None:
    agree(compute(name, y, z, 0), y * np.logaddexp(0, -z) + (1 - y) * np.logaddexp(0, z), 0)


@pytest.mark.parametrize("name", OF_MARGIN)
@law
@given(y=hard, z=logits, gamma=gammas)
def test_binary_losses_agree_on_hard_labels(name: str, y: Any, z: Any, gamma: float) -> None:
    agree(compute(name, y, z, gamma), compute("binary_focal_loss", y, z, gamma), gamma)


def test_formulas_are_asked_which_laws_hold() -> None:
    """The formula of this loss obeys each of these laws, and is selected for them."""
    name = "quality_focal_loss"
    assert name in ALIKE
    assert name in AT_0
    assert name in OF_MARGIN


@pytest.mark.needs("torch")
@pytest.mark.parametrize("loss", LOSS.values(), ids=str)
@law
@given(y=labels, z=logits, t=indices, gamma=gammas)
@example(y=THREE_TO_ONE, z=np.zeros((ROWS, CLASSES)), t=np.zeros(ROWS, np.int64), gamma=0.5)
def test_a_reduction_is_that_of_the_losses_and_of_their_gradients(
    loss: Loss, y: Any, z: Any, t: Any, gamma: float
) -> None:
    torch = FRAMEWORK["torch"]
    y = t if loss.declared.layout == "sparse" else y

    def of(reduction: str, y: Any = y) -> tuple[np.ndarray, np.ndarray]:
        x = torch.tensor(z, "float64").requires_grad_()
        options = loss.options | {loss.focus: gamma, "reduction": reduction}
        value = loss(torch, y, x, **options)
        value.sum().backward()
        return torch.numpy(value), torch.numpy(x.grad)

    value, gradient = of("none")
    scale = np.abs(gradient)
    if loss.declared.layout == "dense":  # the terms of the labels may cancel, which leaves the rounding of each
        scale = sum(np.abs(of("none", y * one)[1]) for one in np.eye(CLASSES))
    for reduction, count in (("sum", 1), ("mean", value.size)):
        found, slope = of(reduction)
        np.testing.assert_allclose(found, value.sum() / count, rtol=2 * (8 + 2 * value.size) * EPS)
        assert (np.abs(slope - gradient / count) <= 16 * EPS * scale / count + 1e-300).all()


@pytest.mark.needs("torch")
@pytest.mark.parametrize("name", DENSE)
@law
@given(z=logits, gamma=gammas, w=weights)
def test_without_a_label_there_is_no_loss(name: str, z: Any, gamma: float, w: Any) -> None:
    y = np.zeros((ROWS, CLASSES))
    assert (compute(name, y, z, gamma, **{LOSS[name].weight: w}) == 0).all()
    torch = FRAMEWORK["torch"]
    x = torch.tensor(z, "float64").requires_grad_()
    LOSS[name](torch, y, x, **{LOSS[name].focus: gamma}).sum().backward()
    assert (torch.numpy(x.grad) == 0).all()
