"""
A dense detector
================

What the focal loss was made for: a detector that judges every place of an image, where almost all of them are empty.

Handwritten digits lie among scraps of others. At each of 2304 places a small network in PyTorch says which digit is
there and where its sides are. Three losses train it for 250 steps on the same canvases: far too few for a finished
detector, and enough to see which loss finds anything at first. ``examples/detector.py`` has the functions and trains
for longer; see :doc:`its results </detector>`.
"""

# %%
# The canvases
# ------------
import matplotlib.pyplot as plt
import torch
from detector import (
    CLASSES,
    PLACES,
    ROWS,
    average_precision,
    detect,
    draw,
    make_canvases,
    targets,
    train,
)

from focal_loss.torch import sigmoid_focal_loss

# sphinx_gallery_thumbnail_number = -1
torch.set_num_threads(1)  # for the same numbers everywhere
training, test = make_canvases(200, 0, test=False), make_canvases(40, 0, test=True)
labels, _ = targets(training)
print(
    f"{PLACES**2 * CLASSES} outputs for a canvas, of which {labels.sum((1, 2)).mean():.0f} are positive"
)

figure, axes = plt.subplots(1, 4, figsize=(10, 2.7), layout="constrained")
for place, image, boxes in zip(axes, training.images[:, 0], training.boxes, strict=False):
    place.imshow(image, cmap="gray_r")
    for left, top, right, bottom in boxes:
        place.add_patch(
            plt.Rectangle((left, top), right - left, bottom - top, fill=False, color="#0072B2")
        )
    place.set(xticks=[], yticks=[])
figure.suptitle("Training canvases; the boxes are the objects, the rest is clutter")
plt.show()

# %%
# Why it is hard
# --------------
# A network that calls everything a coin toss follows the empty places. Where it starts from a probability of 1/100, and
# more so with the focal loss, the few objects have a say. The share of the gradient's size that belongs to positives,
# at the start:
one = labels[:20]
for name, prior, alpha, gamma in ROWS:
    logits = torch.full_like(one, torch.logit(torch.tensor(prior)).item(), requires_grad=True)
    sigmoid_focal_loss(
        logits, one, alpha=-1 if alpha is None else alpha, gamma=gamma, reduction="sum"
    ).backward()
    print(f"{name:<28} {logits.grad[one == 1].abs().sum() / logits.grad.abs().sum():.3f}")

# %%
# Training
# --------
# The average precision on canvases of other digits, at an overlap of 0.5.
shown = {}
for row in (ROWS[1], ROWS[2], ROWS[3]):
    found = detect(train(row, seed=0, steps=250, canvases=training), test.images)
    shown[row] = found[:4]
    print(f"{row.name:<28} {average_precision(found, test):.3f}")

# %%
# What they find
# --------------
draw(shown, test)
plt.show()
