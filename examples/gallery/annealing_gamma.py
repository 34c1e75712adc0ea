"""
Annealing gamma
===============

A gamma that changes along a training: from cross-entropy to a focal loss, or from a large gamma to a small one.

The schedules are plain functions of a step. In PyTorch a module takes gamma as a tensor, which is changed in place.
"""

# %%
# Two schedules
# -------------
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from focal_loss.calibration import categorical_posterior_from_logits
from focal_loss.schedules import cosine_schedule, linear_schedule
from focal_loss.torch import SparseCategoricalFocalLoss

EPOCHS = 60
schedules = {
    "gamma 0": lambda epoch: 0.0,
    "gamma 2": lambda epoch: 2.0,
    "0 to 2, linear": lambda epoch: linear_schedule(epoch, 40, 0.0, 2.0),
    "5 to 2, cosine": lambda epoch: cosine_schedule(epoch, 40, 5.0, 2.0),
}
figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
for name, schedule in schedules.items():
    axes.plot([schedule(epoch) for epoch in range(EPOCHS)], label=name)
axes.set(xlabel="Epoch", ylabel="gamma")
axes.legend(frameon=False, ncols=2)
plt.show()

# %%
# Training
# --------
# Few examples of scikit-learn's digits, so that networks become overconfident. The same start for all.
images, digits = load_digits(return_X_y=True)
x, test_x, y, test_y = train_test_split(
    images / 16, digits, train_size=300, stratify=digits, random_state=0
)
x, test_x, y = (torch.tensor(part, dtype=torch.float32) for part in (x, test_x, y))
torch.set_num_threads(1)


def trained(schedule) -> tuple[list[float], list[float]]:
    """Test accuracy and log loss of the posteriors after each epoch."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
    loss = SparseCategoricalFocalLoss(torch.tensor(0.0), from_logits=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    accuracy, losses = [], []
    for epoch in range(EPOCHS):
        loss.gamma.fill_(schedule(epoch))
        for batch in torch.randperm(len(x)).split(50):
            optimizer.zero_grad()
            loss(y[batch].long(), model(x[batch])).backward()
            optimizer.step()
        logits = model(test_x).detach().numpy().astype(float)
        accuracy.append(np.mean(logits.argmax(1) == test_y))
        losses.append(
            log_loss(test_y, categorical_posterior_from_logits(logits, gamma=schedule(epoch)))
        )
    return accuracy, losses


results = {name: trained(schedule) for name, schedule in schedules.items()}
for name, (accuracy, losses) in results.items():
    print(f"{name:<15} accuracy {accuracy[-1]:.3f}, log loss of the posteriors {losses[-1]:.3f}")

# %%
# One training each says little about which schedule is best. It shows how a schedule is used, and that the posterior
# map takes the gamma of the moment.
figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
for name, (accuracy, losses) in results.items():
    axes[0].plot(accuracy, label=name)
    axes[1].plot(losses, label=name)
axes[0].set(xlabel="Epoch", ylabel="Test accuracy", ylim=(0.7, 1))
axes[1].set(xlabel="Epoch", ylabel="Test log loss of the posteriors", yscale="log")
axes[0].legend(frameon=False)
plt.show()
