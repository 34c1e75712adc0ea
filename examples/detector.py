"""Cross-entropy and the focal loss in a dense detector: handwritten digits on cluttered canvases, as objects in images.

The focal loss was made for detectors that judge every place of an image, thousands of places for a few objects. This
one has a single level in the manner of FCOS: at each of 2304 places ten outputs, one for each digit, and the distances
to the four sides of its box. All runs share network, canvases, box loss and steps; only the classification loss and the
bias that its outputs start from differ, in the order of Table 1 of Lin et al., "Focal loss for dense object detection"
(arXiv:1708.02002): cross-entropy from a probability of 1/2, then from 1/100, then with alpha, then with gamma. Canvases
of training and test show different images of scikit-learn's digits.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

os.environ["MPLBACKEND"] = "Agg"

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import interpolate

from focal_loss.torch import SigmoidFocalLoss

SIDE, STRIDE, CLASSES = 96, 2, 10
PLACES = SIDE // STRIDE  # along a side
RADIUS = 1.5  # of the positives around the middle of an object, in strides
BATCH, TEST_CANVASES, KEPT = 8, 160, 60  # KEPT: detections of a canvas
OVERLAP = 0.5  # from which a detection finds an object, and a lower one repeats a higher one


class Row(NamedTuple):
    """A row of the table."""

    name: str
    prior: float  # the probability that every output starts from
    alpha: float | None
    gamma: float


# Gamma and its alpha are the pairs that Lin et al. found best.
ROWS = (
    Row("cross-entropy, from 1/2", 0.5, None, 0),
    Row("cross-entropy, from 1/100", 0.01, None, 0),
    Row("cross-entropy, alpha .75", 0.01, 0.75, 0),
    Row("focal, gamma 0.5", 0.01, 0.5, 0.5),
    Row("focal, gamma 1", 0.01, 0.25, 1),
    Row("focal, gamma 2", 0.01, 0.25, 2),
    Row("focal, gamma 5", 0.01, 0.25, 5),
)


# ---------------------------------------------------------------------------------------------------------------
# Canvases
# ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Canvases:
    images: Tensor  # (N, 1, SIDE, SIDE)
    boxes: list[Tensor]  # (objects, 4) for each: left, top, right, bottom
    digits: list[Tensor]  # (objects,) for each


def ink(image: np.ndarray, size: int) -> np.ndarray:
    """A digit of 8 x 8, cut to its ink and enlarged to the height `size`."""
    rows, columns = (np.flatnonzero((image > 0.25).any(axis)) for axis in (1, 0))
    cut = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    width = max(4, round(size * cut.shape[1] / cut.shape[0]))
    return interpolate(torch.from_numpy(cut)[None, None], (size, width), mode="bilinear")[0, 0].numpy()


def free_place(random: np.random.Generator, shape: tuple[int, int], taken: list[tuple[int, ...]]) -> tuple[int, ...]:
    """A box of this shape that overlaps none of the others, or the last of 50 tries."""
    for _ in range(50):
        top, left = (int(random.integers(0, SIDE - n + 1)) for n in shape)
        box = (left, top, left + shape[1], top + shape[0])
        if all(box[0] >= b[2] or b[0] >= box[2] or box[1] >= b[3] or b[1] >= box[3] for b in taken):
            break
    return box


def canvas(random: np.random.Generator, images: np.ndarray, digits: np.ndarray) -> tuple[np.ndarray, ...]:
    """Two to five digits among scraps of others, which are no objects, on a noisy ground."""
    page = np.abs(random.normal(0, 0.08, (SIDE, SIDE))).astype(np.float32)
    for scrap in random.integers(0, len(images), 12):
        piece = ink(images[scrap], int(random.integers(14, 27)))
        height, width = (random.integers(3, max(4, n // 2)) for n in piece.shape)
        top, left = (random.integers(0, n - m + 1) for n, m in zip(piece.shape, (height, width), strict=True))
        y, x = (random.integers(0, SIDE - n + 1) for n in (height, width))
        part = page[y : y + height, x : x + width]
        np.maximum(part, piece[top : top + height, left : left + width], out=part)
    boxes: list[tuple[int, ...]] = []
    chosen = random.integers(0, len(images), random.integers(2, 6))
    for one in chosen:
        piece = ink(images[one], int(random.integers(14, 27)))
        left, top, right, bottom = free_place(random, piece.shape, boxes)
        part = page[top:bottom, left:right]
        np.maximum(part, piece * random.uniform(0.6, 1), out=part)
        boxes.append((left, top, right, bottom))
    return page, np.array(boxes, np.float32), digits[chosen]


def make_canvases(count: int, seed: int, test: bool) -> Canvases:
    images, digits = load_digits(return_X_y=True)
    half = np.random.default_rng(seed).permutation(len(images))[test::2]
    random = np.random.default_rng([seed, test])
    pages, boxes, labels = zip(
        *(canvas(random, images[half].reshape(-1, 8, 8).astype(np.float32) / 16, digits[half]) for _ in range(count)),
        strict=True,
    )
    as_tensors = [torch.from_numpy(b) for b in boxes], [torch.from_numpy(d) for d in labels]
    return Canvases(torch.from_numpy(np.stack(pages))[:, None], *as_tensors)


# ---------------------------------------------------------------------------------------------------------------
# The detector
# ---------------------------------------------------------------------------------------------------------------


def middles() -> Tensor:
    """The middle of each place in pixels: (PLACES**2, 2), x first."""
    along = (torch.arange(PLACES) + 0.5) * STRIDE
    y, x = torch.meshgrid(along, along, indexing="ij")
    return torch.stack((x, y), -1).reshape(-1, 2)


class Detector(nn.Module):
    """At each place the logits of the ten digits and the distances to the sides of a box, in pixels."""

    def __init__(self, prior: float) -> None:
        super().__init__()
        stem = [nn.Conv2d(1, 16, 5, 2, 2), nn.ReLU(), nn.Conv2d(16, 24, 3, 2, 1), nn.ReLU()]
        trunk = [m for d in (1, 2, 2) for m in (nn.Conv2d(24, 24, 3, 1, d, d), nn.GroupNorm(4, 24), nn.ReLU())]
        self.trunk = nn.Sequential(*stem, *trunk)
        self.head = nn.Sequential(nn.Conv2d(24, 4 * (CLASSES + 4), 1), nn.PixelShuffle(2))
        bias = torch.zeros(CLASSES + 4, 4)
        bias[:CLASSES] = np.log(prior / (1 - prior))
        bias[CLASSES:] = np.log(10)
        self.head[0].weight.data *= 0.1
        self.head[0].bias.data = bias.flatten()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        out = self.head(self.trunk(images)).flatten(2).transpose(1, 2)
        return out[..., :CLASSES], out[..., CLASSES:].clamp(max=5).exp()


def targets(canvases: Canvases) -> tuple[Tensor, Tensor]:
    """For every place the label of each digit, and the distances to the sides of its object (0 where there is none)."""
    where = middles()
    labels = torch.zeros(len(canvases.images), len(where), CLASSES)
    distances = torch.zeros(len(canvases.images), len(where), 4)
    for i, (boxes, digits) in enumerate(zip(canvases.boxes, canvases.digits, strict=True)):
        for box, digit in zip(boxes, digits, strict=True):
            near = ((where - (box[:2] + box[2:]) / 2).abs() <= RADIUS * STRIDE).all(-1)
            labels[i, near] = 0
            labels[i, near, digit] = 1
            distances[i, near] = torch.cat((where[near] - box[:2], box[2:] - where[near]), -1)
    return labels, distances


def generalized_iou_loss(distances: Tensor, wanted: Tensor) -> Tensor:
    """1 - the generalized IoU of two boxes around the same place, each by its distances to the four sides."""

    def area(d: Tensor) -> Tensor:
        return (d[..., 0] + d[..., 2]) * (d[..., 1] + d[..., 3])

    both = area(torch.minimum(distances, wanted))
    union, hull = area(distances) + area(wanted) - both, area(torch.maximum(distances, wanted))
    return 1 - both / union + (hull - union) / hull


def train(row: Row, seed: int, steps: int, canvases: Canvases) -> Detector:
    torch.manual_seed(seed)
    model = Detector(row.prior)
    loss = SigmoidFocalLoss(alpha=row.alpha, gamma=row.gamma, reduction="sum")
    optimizer = torch.optim.AdamW(model.parameters(), lr=0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, steps, pct_start=0.2)
    labels, distances = targets(canvases)
    order = torch.cat([torch.randperm(len(labels)) for _ in range(-(-steps * BATCH // len(labels)))])
    for batch in order[: steps * BATCH].split(BATCH):
        logits, predicted = model(canvases.images[batch])
        positive = labels[batch].sum(-1) > 0
        boxes = generalized_iou_loss(predicted[positive], distances[batch][positive]).sum()
        total = (loss(logits, labels[batch]) + boxes) / positive.sum()
        optimizer.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5)
        optimizer.step()
        schedule.step()
    return model


# ---------------------------------------------------------------------------------------------------------------
# Its detections, and what they are worth
# ---------------------------------------------------------------------------------------------------------------


class Detections(NamedTuple):
    boxes: np.ndarray
    digits: np.ndarray
    scores: np.ndarray


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The IoU of every box of `a` with every box of `b`."""
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    both = sides.clip(0).prod(-1)
    area_a, area_b = ((x[:, 2:] - x[:, :2]).prod(-1) for x in (a, b))
    return both / (area_a[:, None] + area_b[None, :] - both)


def without_repeats(found: Detections) -> Detections:
    """Detections by falling score, without those that overlap a higher one of the same digit."""
    repeats = (overlaps(found.boxes, found.boxes) > OVERLAP) & (found.digits[:, None] == found.digits)
    kept: list[int] = []
    for i in np.argsort(-found.scores, kind="stable"):
        if not repeats[i, kept].any():
            kept.append(i)
    return Detections(*(part[kept[:KEPT]] for part in found))


@torch.no_grad()
def detect(model: Detector, images: Tensor) -> list[Detections]:
    where, found = middles(), []
    for image in images:
        logits, distances = (out[0] for out in model(image[None]))
        scores, at = logits.sigmoid().flatten().topk(5 * KEPT)
        place, digit = at // CLASSES, at % CLASSES
        boxes = torch.cat((where[place] - distances[place, :2], where[place] + distances[place, 2:]), -1)
        found.append(without_repeats(Detections(boxes.numpy(), digit.numpy(), scores.numpy())))
    return found


def average_precision(found: Sequence[Detections], canvases: Canvases) -> float:
    """The mean over the digits of the area under precision, made monotone, against recall, at an IoU of .5."""
    areas = []
    for digit in range(CLASSES):
        ranked, objects = [], 0
        for one, boxes, digits in zip(found, canvases.boxes, canvases.digits, strict=True):
            there, free = boxes[digits == digit].numpy(), np.ones(int((digits == digit).sum()), bool)
            objects += len(there)
            mine = one.digits == digit
            for score, overlap in zip(one.scores[mine], overlaps(one.boxes[mine], there), strict=True):
                best = int(np.argmax(np.where(free, overlap, -1))) if free.any() else -1
                hit = best >= 0 and overlap[best] >= OVERLAP
                free[best if hit else []] = False
                ranked.append((score, hit))
        hits = np.array([hit for _, hit in sorted(ranked, key=lambda pair: -pair[0])], float)
        precision = hits.cumsum() / np.arange(1, len(hits) + 1)
        areas.append((np.maximum.accumulate(precision[::-1])[::-1] * hits).sum() / objects)
    return float(np.mean(areas))


# ---------------------------------------------------------------------------------------------------------------
# The contest
# ---------------------------------------------------------------------------------------------------------------


def run(row: Row, seed: int, steps: int, train_canvases: int) -> tuple[float, list[Detections]]:
    """One training on one processor, and its average precision."""
    torch.set_num_threads(1)
    model = train(row, seed, steps, make_canvases(train_canvases, seed, test=False))
    test = make_canvases(TEST_CANVASES, seed, test=True)
    found = detect(model, test.images)
    return average_precision(found, test), found[:4]


def run_all(options: argparse.Namespace, console: Console) -> Iterator[tuple[Row, int, float, list[Detections]]]:
    columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        ProcessPoolExecutor(options.processes, get_context("spawn")) as pool,
        Progress(*columns, console=console) as bar,
    ):
        task = bar.add_task("training", total=len(ROWS) * options.seeds)
        jobs = {
            pool.submit(run, row, seed, options.steps, options.canvases): (row, seed)
            for seed in range(options.seeds)
            for row in ROWS
        }
        for job in as_completed(jobs):
            bar.advance(task)
            yield (*jobs[job], *job.result())


def best_of(scores: dict[Row, np.ndarray], rows: Iterable[Row]) -> Row:
    return max(rows, key=lambda row: scores[row].mean())


def best_cross_entropy(scores: dict[Row, np.ndarray]) -> Row:
    return best_of(scores, (row for row in scores if row.gamma == 0))


def results(scores: dict[Row, np.ndarray]) -> Table:
    base = best_cross_entropy(scores)
    seeds = len(scores[base])
    title = f"{seeds} seeds: mean ± standard deviation; gain over {base.name}, paired by seed, ± standard error"
    table = Table("loss", "alpha", "gamma", "AP at IoU .5", "gain", title=title)
    for row, values in scores.items():
        gain = values - scores[base]
        table.add_row(
            row.name,
            "" if row.alpha is None else f"{row.alpha:g}",
            f"{row.gamma:g}",
            f"{values.mean():.3f} ± {values.std(ddof=1):.3f}",
            "" if row is base else f"{gain.mean():+.3f} ± {gain.std(ddof=1) / np.sqrt(seeds):.3f}",
        )
    return table


def verdict(scores: dict[Row, np.ndarray], steps: int) -> str:
    base = best_cross_entropy(scores)
    focal = best_of(scores, (row for row in scores if row.gamma > 0))
    ahead = int((scores[focal] > scores[base]).sum())
    short = " A training this short shows above all how fast each one learns; --steps 3000 shows where they end."
    return (
        f"After {steps} steps the best focal loss, gamma {focal.gamma:g}, has an average precision of "
        f"{scores[focal].mean():.3f}; the best cross-entropy, {base.name.removeprefix('cross-entropy, ')}, "
        f"{scores[base].mean():.3f}. The focal loss is ahead in {ahead} of {len(scores[base])} seeds."
        f"{short if steps < 3000 else ''}"
    )


def draw(shown: dict[Row, list[Detections]], test: Canvases) -> Figure:
    """The same canvases with the detections of each row of the table that are worth a look: scores above .3."""
    figure, axes = plt.subplots(len(shown), 4, figsize=(10, 2.6 * len(shown)), layout="constrained", squeeze=False)
    for line, (row, found) in zip(axes, shown.items(), strict=True):
        for k, (place, one) in enumerate(zip(line, found, strict=True)):
            place.imshow(test.images[k, 0], cmap="gray_r")
            place.set(xticks=[], yticks=[], xlabel="" if k else row.name)
            for box, digit, score in zip(*one, strict=True):
                if score < 0.3:
                    continue
                overlap = overlaps(box[None], test.boxes[k][test.digits[k] == digit].numpy())
                color = "#009E73" if overlap.size and overlap.max() >= OVERLAP else "#D55E00"
                place.add_patch(plt.Rectangle(box[:2], *(box[2:] - box[:2]), fill=False, color=color))
                place.text(box[0], box[1] - 1, f"{digit} {score:.2f}", color=color, fontsize=7)
    figure.suptitle("Detections with a score above .3: green finds a digit, orange does not")
    return figure


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="how many, 2 or more (default: 3)")
    parser.add_argument("--steps", type=int, default=800, help=f"of {BATCH} canvases, for each training (default: 800)")
    parser.add_argument("--canvases", type=int, default=1000, help="to train with (default: 1000)")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="side by side (default: processors)")
    parser.add_argument("--out", type=Path, default="build/demo", help="where the picture goes (default: build/demo)")
    options = parser.parse_args()
    if options.seeds < 2 or min(options.steps, options.canvases, options.processes) < 1:
        parser.error("--seeds must be at least 2, --steps, --canvases and --processes at least 1")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(str(error))
    return options


def main() -> None:
    options, console = parse(), Console(highlight=False)
    test = make_canvases(TEST_CANVASES, 0, test=True)
    positives = targets(test)[0].sum() / len(test.images)
    console.print(
        f"{PLACES**2} places x {CLASSES} digits on each canvas, {positives:.0f} of those outputs positive, one in "
        f"{PLACES**2 * CLASSES / positives:.0f}."
    )
    scores = {row: np.zeros(options.seeds) for row in ROWS}
    shown: dict[Row, list[Detections]] = {}
    for row, seed, score, found in run_all(options, console):
        scores[row][seed] = score
        if seed == 0:
            shown[row] = found
    console.print(results(scores), verdict(scores, options.steps), sep="\n")
    rows = dict.fromkeys((ROWS[0], best_cross_entropy(scores), best_of(scores, scores)))
    draw({row: shown[row] for row in rows}, test).savefig(options.out / "detections.png", dpi=110)
    console.print(f"Picture: detections.png in {options.out}")


if __name__ == "__main__":
    main()
