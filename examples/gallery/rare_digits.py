"""
Rare digits
===========

One handwritten digit against the others, with few positives: cross-entropy and the focal loss in Keras.

The training half of scikit-learn's digits keeps only 2 % of eights. All networks share data, start and steps; gamma
alone differs, and gamma 0 is cross-entropy. ``examples/digits.py`` has the functions, and trains with more gammas and
seeds.
"""

# %%
# What the network sees
# ---------------------
import matplotlib.pyplot as plt
from digits import draw_precision_recall, results, split_digits, train_each, verdict
from rich.console import Console

# sphinx_gallery_thumbnail_number = -1
RATE, SEEDS = 0.02, 4
splits = [split_digits(8, RATE, seed) for seed in range(SEEDS)]
first = splits[0]
print(f"{first.y.sum()} eights among {len(first.y)} images to train with")

figure, axes = plt.subplots(2, 10, figsize=(8, 2), layout="constrained")
for row, positive in zip(axes, (True, False), strict=True):
    for place, image in zip(row, first.x[first.y == positive], strict=False):
        place.imshow(image.reshape(8, 8), cmap="gray_r")
        place.axis("off")
figure.suptitle("Positives, and below them negatives")
plt.show()

# %%
# Training
# --------
# Every seed splits the images anew. The last bias starts at the log-odds of the positives for every gamma.
scores = {gamma: list(train_each(gamma, splits, RATE, epochs=60)) for gamma in (0, 0.5, 2)}
console = Console(width=100, highlight=False)
console.print(results(scores))

# %%
# Does gamma help here? The interval is paired by seed, and says what so few seeds can show.
console.print(verdict(scores))

# %%
# Precision and recall
# --------------------
draw_precision_recall(
    scores, f"Eights among the digits, {100 * RATE:g} % positives: mean of {SEEDS} seeds"
)
plt.show()
