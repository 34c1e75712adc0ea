"""
Segmentation with an ignored class
==================================

Masks often have pixels that nobody labelled, such as the borders of objects, under a number like 255.
``ignore_class=255`` leaves them out: they cost nothing, have no gradient, and the mean is over the others.
"""

# %%
# Images and masks
# ----------------
# Disks and bars on a noisy ground. Two pixels at every border are labelled 255.
import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.ndimage import binary_dilation, binary_erosion

from focal_loss.torch import SparseCategoricalFocalLoss

SIDE, VOID = 48, 255
NAMES = ("ground", "disk", "bar")
rng = np.random.default_rng(0)
rows, columns = np.mgrid[:SIDE, :SIDE]


def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An image, its mask with 255 at the borders, and the whole mask."""
    mask = np.zeros((SIDE, SIDE), int)
    for _ in range(2):
        row, column, radius = *rng.integers(8, SIDE - 8, 2), rng.integers(5, 9)
        mask[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = 1
    top, left = rng.integers(0, SIDE - 16, 2)
    mask[top : top + 6, left : left + 16] = 2
    image = np.array([0.3, 0.6, 0.7])[mask] + rng.normal(0, 0.15, mask.shape)
    labelled = mask.copy()
    for kind in (1, 2):
        labelled[binary_dilation(mask == kind) & ~binary_erosion(mask == kind)] = VOID
    return image.astype(np.float32), labelled, mask


images, labels, masks = (
    torch.tensor(np.array(part)) for part in zip(*(scene() for _ in range(96)), strict=True)
)
for name, share in zip(
    (*NAMES, "not labelled"), [(labels == k).float().mean() for k in (0, 1, 2, VOID)], strict=True
):
    print(f"{name:<13} {share:.3f} of the pixels")

# %%
# Training
# --------
# ``axis=1`` is where PyTorch has the classes. The rare classes weigh more. Without ``ignore_class`` the label 255 would
# be an error, not a class.
torch.manual_seed(0)
torch.set_num_threads(1)
layers = [torch.nn.Conv2d(1, 12, 5, padding=2), torch.nn.ReLU()]
for dilation in (2, 4):
    layers += [torch.nn.Conv2d(12, 12, 3, padding=dilation, dilation=dilation), torch.nn.ReLU()]
model = torch.nn.Sequential(*layers, torch.nn.Conv2d(12, 3, 1))
loss = SparseCategoricalFocalLoss(
    gamma=2.0, class_weight=[1.0, 2.0, 2.0], from_logits=True, axis=1, ignore_class=VOID
)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
history = []
for step in range(120):
    batch = torch.arange(8 * step, 8 * step + 8) % 80
    value = loss(labels[batch], model(images[batch, None]))
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    history.append(value.item())
print(f"loss {history[0]:.3f} at first, {np.mean(history[-10:]):.3f} at last")

# %%
# Gradients of ignored pixels are zeros, whatever they were predicted to be.
logits = model(images[80:, None]).detach().requires_grad_()
loss(labels[80:], logits).backward()
print(logits.grad.abs().amax(1)[labels[80:] == VOID].max().item())

# %%
# New scenes
# ----------
# Scored against the whole masks, borders too.
predicted = logits.argmax(1)
for kind, name in enumerate(NAMES):
    one, other = predicted == kind, masks[80:] == kind
    print(f"{name:<7} intersection over union {(one & other).sum() / (one | other).sum():.3f}")

figure, axes = plt.subplots(3, 4, figsize=(8, 6.2), layout="constrained")
shown = torch.where(labels == VOID, 3, labels)
for line, name, pictures in zip(
    axes, ("image", "labels", "prediction"), (images, shown, predicted), strict=True
):
    for place, picture in zip(
        line, pictures[80:] if pictures is not predicted else pictures, strict=False
    ):
        if name == "image":
            place.imshow(picture, cmap="gray")
        else:
            place.imshow(
                np.array([[240, 240, 240], [0, 114, 178], [213, 94, 0], [150, 150, 150]])[picture]
            )
        place.set(xticks=[], yticks=[])
    line[0].set_ylabel(name)
figure.suptitle("Blue: disk. Orange: bar. Gray: not labelled")
plt.show()
