"""
Many labels, nearly all 0
=========================

The asymmetric loss on made-up tags: whose gradient it is that a model follows, and what its scores stand for.
"""

# %%
# The data
# --------
# 40 labels an example, of which about one is 1.
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.metrics import average_precision_score

from focal_loss.calibration import posterior_of_loss
from focal_loss.torch import AsymmetricLoss, BinaryFocalLoss

# sphinx_gallery_thumbnail_number = -1
torch.manual_seed(0)
x = torch.randn(4000, 8)
y = (x @ torch.randn(8, 40) / 8**0.5 + 0.5 * torch.randn(4000, 40) > 2).float()
print(f"{y.sum(1).mean():.2f} of 40 labels are 1")

options = {"gamma_pos": 1.0, "gamma_neg": 4.0, "clip": 0.05}
losses = {
    "cross-entropy": BinaryFocalLoss(0.0, from_logits=True, reduction="sum"),
    "focal, gamma 2": BinaryFocalLoss(2.0, from_logits=True, reduction="sum"),
    "asymmetric": AsymmetricLoss(**options, from_logits=True, reduction="sum"),
}

# %%
# Whose gradient is it?
# ---------------------
# Along a training the size of the gradient in the logits is split into the part of the positives and that of the
# negatives.


def trained(loss: torch.nn.Module) -> tuple[torch.Tensor, list[float]]:
    """The logits of the test half, and the share of the positives in the gradient at each step."""
    model = torch.nn.Linear(8, 40)
    torch.nn.init.constant_(model.bias, -3.0)  # the model starts from few positives
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    shares = []
    for _ in range(80):
        logits = model(x[:2000])
        logits.retain_grad()
        optimizer.zero_grad()
        (loss(y[:2000], logits) / 2000).backward()
        optimizer.step()
        sizes = logits.grad.abs()
        shares.append((sizes[y[:2000] == 1].sum() / sizes.sum()).item())
    return model(x[2000:]).detach(), shares


found = {name: trained(loss) for name, loss in losses.items()}
figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
for name, (_, shares) in found.items():
    axes.plot(shares, label=name)
axes.set(xlabel="Step", ylabel="Share of the positives in the gradient", ylim=(0, 1))
axes.legend(frameon=False)
plt.show()

# %%
# Does it rank better?
# --------------------
# On clean labels of a linear model the order need not improve; what changes is how large the scores are. Compare losses
# by a measure of ranks, or at thresholds chosen on validation data.
for name, (logits, _) in found.items():
    recall = (logits[y[2000:] == 1] > 0).float().mean()
    precision = average_precision_score(y[2000:], logits, average="macro")
    print(
        f"{name:<16} mean average precision {precision:.3f}, recall at a score of 1/2: {recall:.2f}"
    )

# %%
# Probabilities
# -------------
# The closed form undoes the loss: groups of scores beside the share of positives in them.
logits, truth = found["asymmetric"][0].numpy().ravel(), y[2000:].numpy().ravel()
figure, axes = plt.subplots(figsize=(5, 4.6), layout="constrained")
for name, p in (
    ("sigmoid of the score", 1 / (1 + np.exp(-logits))),
    ("posterior_of_loss", posterior_of_loss("asymmetric_loss", logits, **options)),
):
    groups = np.array_split(np.argsort(p), 40)
    points = [(p[group].mean(), truth[group].mean()) for group in groups]
    axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=name)
axes.plot([0, 1], [0, 1], color="0.7", linestyle=":", zorder=0)
axes.set(
    xlabel="Mean prediction", ylabel="Share of positives", xlim=(0, 1), ylim=(0, 1), aspect="equal"
)
axes.legend(frameon=False)
plt.show()
