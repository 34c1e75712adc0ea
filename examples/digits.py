"""Cross-entropy and the focal loss side by side on a rare class: one handwritten digit against the others.

A small network learns to find one digit in scikit-learn's images with the binary focal loss at several gamma, of which
0 is cross-entropy; all else is the same. Every seed splits the images in two halves anew. The positives of the training
half are thinned to the rate; the test half keeps its own and weights its negatives instead, which estimates the same
precision from more positives. Keras runs on JAX, the fastest here, unless `KERAS_BACKEND` names another backend.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ["MPLBACKEND"] = "Agg"
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import keras
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import t as student
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score, log_loss, precision_recall_curve
from sklearn.model_selection import train_test_split

from focal_loss import BinaryFocalLoss, binary_focal_loss

COLORS = {0: "black", 0.5: "#0072B2", 1: "#56B4E9", 2: "#009E73", 3: "#E69F00", 5: "#D55E00"}
GAMMAS = tuple(COLORS)
LABELS = {gamma: rf"$\gamma$ = {gamma:g}" + ("" if gamma else " (cross-entropy)") for gamma in GAMMAS}
RECALLS = np.linspace(0, 1, 201)[1:]


@dataclass(frozen=True)
class Split:
    x: np.ndarray
    y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    test_weight: np.ndarray


@dataclass(frozen=True)
class Score:
    average_precision: float
    recall: float
    log_loss: float
    precisions: np.ndarray  # precision at each of RECALLS


def split_digits(digit: int, rate: float, seed: int) -> Split:
    images, digits = load_digits(return_X_y=True)
    images, y = images / 16, digits == digit
    train, test = train_test_split(np.arange(len(y)), test_size=0.5, stratify=y, random_state=seed)
    positives, negatives = train[y[train]], train[~y[train]]
    rare = round(len(negatives) * rate / (1 - rate))
    if not 2 <= rare <= len(positives):
        raise ValueError(f"--rate {rate:g} asks for {rare} of the {len(positives)} positives to train with")
    train = np.append(negatives, np.random.default_rng(seed).choice(positives, rare, replace=False))
    weight = np.where(y[test], 1.0, y[test].sum() / (~y[test]).sum() * (1 - rate) / rate)
    return Split(images[train], y[train], images[test], y[test], weight)


def network(rate: float) -> keras.Model:
    prior = keras.initializers.Constant(np.log(rate / (1 - rate)))
    hidden = [keras.layers.Dense(64, activation="relu") for _ in range(2)]
    return keras.Sequential([keras.Input((64,)), *hidden, keras.layers.Dense(1, bias_initializer=prior)])


def train_each(gamma: float, splits: Sequence[Split], rate: float, epochs: int) -> Iterator[Score]:
    """Train one network per split. All share one model, compiled once, whose state is reset for every seed."""
    model = network(rate)
    model.compile(optimizer=keras.optimizers.Adam(3e-3), loss=BinaryFocalLoss(gamma, from_logits=True))
    model.optimizer.build(model.trainable_variables)
    start = [keras.ops.convert_to_numpy(variable).copy() for variable in model.optimizer.variables]
    for seed, split in enumerate(splits):
        keras.utils.set_random_seed(seed)
        model.set_weights(network(rate).get_weights())
        for variable, value in zip(model.optimizer.variables, start, strict=True):
            variable.assign(value)
        model.fit(split.x, split.y[:, None].astype(float), batch_size=64, epochs=epochs, verbose=0)
        yield score(split, keras.ops.convert_to_numpy(model(split.test_x))[:, 0].astype(float))


def score(split: Split, logits: np.ndarray) -> Score:
    y, weight = split.test_y, split.test_weight
    precision, recall, _ = (a[::-1] for a in precision_recall_curve(y, logits, sample_weight=weight))
    area = average_precision_score(y, logits, sample_weight=weight)
    loss = log_loss(y, 1 / (1 + np.exp(-logits)), sample_weight=weight)
    return Score(area, recall[precision >= 0.9].max(), loss, precision[np.searchsorted(recall, RECALLS - 1e-9)])


def column(scores: Sequence[Score], name: str) -> np.ndarray:
    return np.array([getattr(one, name) for one in scores])


def gain(scores: dict[float, list[Score]], gamma: float) -> tuple[float, float]:
    """The gain in average precision over cross-entropy, paired by seed: the mean and its standard error."""
    difference = column(scores[gamma], "average_precision") - column(scores[0], "average_precision")
    return difference.mean(), difference.std(ddof=1) / np.sqrt(len(difference))


def results(scores: dict[float, list[Score]]) -> Table:
    title = f"{len(scores[0])} seeds: mean ± standard deviation; gain over cross-entropy ± standard error"
    headers = ("gamma", "average precision", "its gain", "recall at 90 % precision", "log loss of raw scores")
    table = Table(*headers, title=title)
    for gamma, group in scores.items():
        measures = (column(group, name) for name in ("average_precision", "recall", "log_loss"))
        first, *others = (f"{values.mean():.3f} ± {values.std(ddof=1):.3f}" for values in measures)
        table.add_row(f"{gamma:g}", first, "{:+.3f} ± {:.3f}".format(*gain(scores, gamma)) if gamma else "", *others)
    return table


def verdict(scores: dict[float, list[Score]]) -> str:
    means = {gamma: column(group, "average_precision").mean() for gamma, group in scores.items()}
    gammas = [gamma for gamma in means if gamma]
    best, focal = max(means, key=means.__getitem__), max(gammas, key=means.__getitem__)
    mean, error = gain(scores, focal)
    reach = error * student.ppf(1 - 0.025 / len(gammas), len(scores[focal]) - 1)
    shown = "no difference that this data can show" if abs(mean) <= reach else "more than chance over the seeds"
    return (
        f"Best average precision: {means[best]:.3f}, of {f'gamma {best:g}' if best else 'cross-entropy'}. The best "
        f"focal loss, gamma {focal:g}, is {mean:+.3f} from cross-entropy (95 % interval {mean - reach:+.3f} to "
        f"{mean + reach:+.3f}, paired by seed, widened for the choice among {len(gammas)}): {shown}."
    )


def draw_precision_recall(scores: dict[float, list[Score]], title: str) -> Figure:
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    means = {gamma: column(group, "precisions").mean(axis=0) for gamma, group in scores.items()}
    spread = column(scores[0], "precisions").std(axis=0, ddof=1)
    for gamma, mean in means.items():
        axes.plot(RECALLS, mean, color=COLORS[gamma], label=LABELS[gamma], zorder=2 if gamma else 3)
    axes.fill_between(RECALLS, means[0] - spread, means[0] + spread, color="0.9", label="± SD of cross-entropy")
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="Recall", ylabel="Precision", title=title)
    axes.legend(loc="lower left", frameon=False)
    return figure


def draw_losses(path: Path) -> None:
    ps = np.linspace(0, 1, 501)[1:]
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for gamma in (0, 0.5, 1, 2, 5):
        axes.plot(ps, binary_focal_loss(1, ps, gamma=gamma), color=COLORS[gamma], label=LABELS[gamma])
    axes.set(xlim=(0, 1), ylim=(0, 4), xlabel=r"Probability of positive class $\hat{p}$", ylabel="Loss")
    axes.set_title(r"Focal loss $L(1, \hat{p})$ for different $\gamma$")
    axes.legend(loc="upper right", frameon=False)
    figure.savefig(path, dpi=130)


def parse() -> tuple[argparse.Namespace, list[Split]]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--digit", type=int, default=8, choices=range(10), help="the rare class (default: 8)")
    parser.add_argument("--rate", type=float, default=0.02, help="share of positives (default: 0.02)")
    parser.add_argument("--seeds", type=int, default=10, help="how many, 2 or more (default: 10)")
    parser.add_argument("--epochs", type=int, default=60, help="of every training (default: 60)")
    parser.add_argument("--out", type=Path, default="build/demo", help="where the pictures go (default: build/demo)")
    options = parser.parse_args()
    if not 0 < options.rate < 1 or options.seeds < 2 or options.epochs < 1:
        parser.error("--rate must be between 0 and 1, --seeds at least 2, --epochs at least 1")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        return options, [split_digits(options.digit, options.rate, seed) for seed in range(options.seeds)]
    except (OSError, ValueError) as error:
        parser.error(str(error))


def main() -> None:
    options, splits = parse()
    console = Console(highlight=False)
    task = f"Digit {options.digit} against the rest, {100 * options.rate:g} % positives"
    y, test_y, weight = splits[0].y, splits[0].test_y, splits[0].test_weight.max()
    console.print(
        f"{task}. Training half: {y.sum()} positives, {(~y).sum()} negatives. Test half: {test_y.sum()} positives, "
        f"{(~test_y).sum()} negatives, each negative counted {weight:.2f} times for that rate."
    )
    scores: dict[float, list[Score]] = {gamma: [] for gamma in GAMMAS}
    runs = ((gamma, one) for gamma in GAMMAS for one in train_each(gamma, splits, options.rate, options.epochs))
    for gamma, one in track(runs, "training", total=len(GAMMAS) * options.seeds, console=console):
        scores[gamma].append(one)
    note = (
        "Focal scores are not probabilities: they lie nearer to 1/2, which can still give the lower log loss where a "
        "network is overconfident. All seeds split one set of images, so no interval speaks of handwriting at large."
    )
    console.print(results(scores), verdict(scores), note, sep="\n")
    figure = draw_precision_recall(scores, f"{task}: mean of {options.seeds} seeds")
    figure.savefig(options.out / "precision_recall.png", dpi=130)
    draw_losses(options.out / "loss_curves.png")
    console.print(f"Pictures: precision_recall.png and loss_curves.png in {options.out}")


if __name__ == "__main__":
    main()
