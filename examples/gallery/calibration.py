"""
From scores to probabilities
============================

Reliability curves of focal models: before the posterior map, after it, and with a temperature.

The scores that minimise a focal loss rank examples as their probabilities do, but lie closer to 1/2. A closed form
leads back. It assumes that the model is right about its scores; one that is overconfident needs a temperature too.
"""

# %%
# A model with the right form
# ---------------------------
# Made-up data with known probabilities, and linear models that can represent them.
import matplotlib.pyplot as plt
import numpy as np
import torch

from focal_loss.calibration import (
    FocalTemperature,
    expected_calibration_error,
    posterior_from_logits,
)
from focal_loss.torch import BinaryFocalLoss

rng = np.random.default_rng(0)
x = rng.normal(size=(40_000, 2))
truth = 1 / (1 + np.exp(-(1.5 * x[:, 0] - x[:, 1] - 1)))
y = rng.random(len(x)) < truth
inputs, labels = torch.tensor(x, dtype=torch.float32), torch.tensor(y)


def trained(gamma: float) -> np.ndarray:
    """The logits of a linear model with the least focal loss."""
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=100)
    loss = BinaryFocalLoss(gamma, from_logits=True)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value = loss(labels, model(inputs)[:, 0])
        value.backward()
        return value

    optimizer.step(closure)
    return model(inputs)[:, 0].detach().numpy()


def reliability(axes: plt.Axes, y: np.ndarray, p: np.ndarray, label: str) -> None:
    """The share of positives against the mean prediction, in fifteen groups of equal size."""
    groups = np.array_split(np.argsort(p), 15)
    points = [(p[group].mean(), y[group].mean()) for group in groups]
    error = expected_calibration_error(y, p)
    axes.plot(
        *zip(*points, strict=True), marker="o", markersize=4, label=f"{label}: ECE {error:.3f}"
    )


def finish(figure: plt.Figure, axes: np.ndarray, titles: tuple[str, ...]) -> None:
    for place, title in zip(axes, titles, strict=True):
        place.plot([0, 1], [0, 1], color="0.7", linestyle=":", zorder=0)
        place.set(title=title, xlabel="Mean prediction", xlim=(0, 1), ylim=(0, 1), aspect="equal")
        place.legend(frameon=False, fontsize=8)
    axes[0].set_ylabel("Share of positives")


figure, axes = plt.subplots(1, 2, figsize=(9, 4.6), layout="constrained", sharey=True)
for gamma in (0, 2, 5):
    logits = trained(gamma)
    reliability(axes[0], y, 1 / (1 + np.exp(-logits)), f"gamma {gamma}")
    reliability(axes[1], y, posterior_from_logits(logits, gamma=gamma), f"gamma {gamma}")
finish(figure, axes, ("The sigmoid of the logits", "posterior_from_logits"))
plt.show()

# %%
# An overconfident model
# ----------------------
# The same logits three times as large, as a network has them that learned its training set by heart. The map alone
# cannot know. ``FocalTemperature`` finds the factor on held-out data: here the first half, and the picture is of the
# second.
gamma = 2
logits = 3 * trained(gamma)
held, rest = slice(None, len(y) // 2), slice(len(y) // 2, None)
model = FocalTemperature(gamma=gamma).fit(logits[held], y[held])
print(f"temperature {model.temperature_:.2f}")

figure, axes = plt.subplots(1, 2, figsize=(9, 4.6), layout="constrained", sharey=True)
reliability(axes[0], y[rest], posterior_from_logits(logits[rest], gamma=gamma), "the map alone")
reliability(axes[1], y[rest], model.predict_proba(logits[rest])[:, 1], "with a temperature")
finish(figure, axes, ("posterior_from_logits", "FocalTemperature"))
plt.show()
