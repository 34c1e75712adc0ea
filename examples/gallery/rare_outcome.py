"""
A rare outcome in a table
=========================

LightGBM with the focal loss: scores, the probabilities made of them, and decisions by their cost.

Which of 442 diabetes patients are among the tenth whose disease progresses most? Predictions are out of fold. A false
alarm costs 1 and a miss 20, so whoever has probabilities flags a patient above 1/21.
"""

# %%
# Three models
# ------------
# ``FocalLGBMClassifier`` is a ``LGBMClassifier`` with a gamma. Its ``predict_proba`` gives class posteriors; with
# ``calibrated=False`` it gives the sigmoid of the scores, which is no probability.
import lightgbm
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.metrics import average_precision_score, log_loss
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from focal_loss.lightgbm import FocalLGBMClassifier

X, progression = load_diabetes(return_X_y=True)
y = progression > np.quantile(progression, 0.9)
print(f"{y.sum()} of {len(y)} patients")

trees = {
    "n_estimators": 50,
    "learning_rate": 0.05,
    "min_child_samples": 10,
    "verbosity": -1,
    "n_jobs": 1,
}
weighted = {"gamma": 2, "pos_weight": 10.0, **trees}
models = {
    "cross-entropy": lightgbm.LGBMClassifier(**trees),
    "focal, scores": FocalLGBMClassifier(calibrated=False, **weighted),
    "focal, posteriors": FocalLGBMClassifier(**weighted),
}

# %%
# Out of fold
# -----------
folds = StratifiedKFold(5, shuffle=True, random_state=0)
found = {
    name: cross_val_predict(model, X, y, cv=folds, method="predict_proba")[:, 1]
    for name, model in models.items()
}
print(f"{'':<20}{'average precision':>18}{'log loss':>10}{'mean':>8}")
for name, p in found.items():
    print(f"{name:<20}{average_precision_score(y, p):18.3f}{log_loss(y, p):10.4f}{p.mean():8.3f}")
print(f"{'share of positives':<20}{'':18}{'':10}{y.mean():8.3f}")

# %%
# The posterior ranks the patients of a fold as the score does. What changes is what a number means: compare the means
# with the share of positives.
#
# The cost of a threshold
# -----------------------
# The line at 1/21 is where probabilities should be cut. Read off how much each model pays there, and how far its best
# threshold lies from it.
MISS = 20
thresholds = np.linspace(0.005, 0.95, 190)
figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
for name, p in found.items():
    flagged = p > thresholds[:, None]
    axes.plot(thresholds, (flagged & ~y).mean(1) + MISS * (~flagged & y).mean(1), label=name)
axes.axvline(1 / (1 + MISS), color="0.5", linestyle=":", label="1/21")
axes.set(xlabel="Threshold", ylabel="Cost per patient", ylim=(0, None))
axes.legend(frameon=False)
plt.show()
