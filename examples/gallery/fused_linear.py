"""
The last layer and the loss in one
==================================

Logits over a large vocabulary can need more memory than all the rest of a model.
``linear_sparse_categorical_focal_loss`` computes the layer and the loss together, a few rows at a time, and never holds
all logits.
"""

# %%
# The same numbers
# ----------------
import matplotlib.pyplot as plt
import torch
from torch.profiler import ProfilerActivity, profile

from focal_loss.torch import linear_sparse_categorical_focal_loss, sparse_categorical_focal_loss

torch.manual_seed(0)
hidden = torch.randn(512, 64, requires_grad=True)
weight = (0.2 * torch.randn(2000, 64)).requires_grad_()
target = torch.randint(0, 2000, (512,))

fused = linear_sparse_categorical_focal_loss(hidden, weight, target, gamma=2.0)
apart = sparse_categorical_focal_loss(
    target, hidden @ weight.T, gamma=2.0, from_logits=True, reduction="mean"
)
print(f"{fused.item():.6f} {apart.item():.6f}")

for one, other in zip(
    *(torch.autograd.grad(loss, (hidden, weight)) for loss in (fused, apart)), strict=True
):
    print(
        f"largest difference of a gradient: {(one - other).abs().max():.1e} of {other.abs().max():.1e}"
    )

# %%
# The largest array
# -----------------
# PyTorch's profiler notes what every operation allocates, forward and backward.


def largest(rows: int, classes: int, *, is_fused: bool) -> float:
    """The size in MiB of the largest array that a step makes."""
    hidden = torch.randn(rows, 64, requires_grad=True)
    weight = torch.randn(classes, 64, requires_grad=True)
    target = torch.randint(0, classes, (rows,))
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        if is_fused:
            loss = linear_sparse_categorical_focal_loss(hidden, weight, target, gamma=2.0)
        else:
            logits = hidden @ weight.T
            loss = sparse_categorical_focal_loss(
                target, logits, gamma=2.0, from_logits=True, reduction="mean"
            )
        loss.backward()
    return max(event.self_cpu_memory_usage for event in record.events()) / 2**20


sizes = (256, 512, 1024, 2048, 4096)
found = {
    name: [largest(rows, 8000, is_fused=name == "fused") for rows in sizes]
    for name in ("apart", "fused")
}
for name, memory in found.items():
    print(
        f"{name}: "
        + ", ".join(f"{rows} rows {size:.1f} MiB" for rows, size in zip(sizes, memory, strict=True))
    )

# %%
figure, axes = plt.subplots(figsize=(6.5, 4), layout="constrained")
for name, label in (
    ("apart", "a layer, then the loss"),
    ("fused", "linear_sparse_categorical_focal_loss"),
):
    axes.plot(sizes, found[name], marker="o", label=label)
axes.set(
    xlabel="Rows, over 8000 classes", ylabel="Largest array in MiB", xlim=(0, None), ylim=(0, None)
)
axes.legend(frameon=False)
plt.show()
