"""The family in PyTorch: each loss against `binary_focal_loss`, and against the formula that people copy.

The formulas are those of the papers' own code: ASL, VarifocalNet, generalized focal loss, DEIM, CenterNet, PolyLoss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from cases_torch import gradients_at_peak, mean, step
from contest import Contest
from torch import Tensor
from torch.nn import functional

from focal_loss import torch as ours

Loss = Callable[[Tensor, Tensor], Tensor]


def entropy(z: Tensor, y: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(z, y, reduction="none")


def asymmetric(clip: float) -> Loss:
    def loss(z: Tensor, y: Tensor) -> Tensor:
        p = z.sigmoid()
        q = (1 - p + clip).clamp(max=1)
        value = y * p.clamp(min=1e-8).log() + (1 - y) * q.clamp(min=1e-8).log()
        return -(value * torch.pow(1 - p * y - q * (1 - y), y + 4 * (1 - y))).mean()

    return loss


def quality(z: Tensor, y: Tensor) -> Tensor:
    return (entropy(z, y) * (z.sigmoid() - y).abs().pow(2)).mean()


def varifocal(z: Tensor, y: Tensor) -> Tensor:
    weight = 0.75 * z.sigmoid().pow(2) * (y <= 0).float() + y * (y > 0).float()
    return (entropy(z, y) * weight).mean()


def matchability(z: Tensor, y: Tensor) -> Tensor:
    weight = z.sigmoid().pow(1.5) * (y <= 0).float() + (y > 0).float()
    return (entropy(z, y.pow(1.5)) * weight.detach()).mean()


def penalty_reduced(z: Tensor, y: Tensor) -> Tensor:
    p, peaks = z.sigmoid(), y.eq(1).float()
    at_peaks = (p + 1e-12).log() * (1 - p).pow(2) * peaks
    return -(at_peaks + (1 - p + 1e-12).log() * p.pow(2) * (1 - y).pow(4)).mean()


def poly1(z: Tensor, y: Tensor) -> Tensor:
    p = z.sigmoid()
    rest = 1 - y * p - (1 - y) * (1 - p)
    return (entropy(z, y) * rest.pow(2) + rest.pow(3)).mean()


# The loss, its options where they are not the default, the labels and the formula.
MEMBERS: tuple[tuple[str, Callable[..., Tensor], dict[str, float], str, Loss], ...] = (
    ("asymmetric", ours.asymmetric_loss, {}, "hard", asymmetric(0.05)),
    ("asymmetric, clip 0", ours.asymmetric_loss, {"clip": 0.0}, "hard", asymmetric(0.0)),
    ("quality", ours.quality_focal_loss, {}, "scores", quality),
    ("varifocal", ours.varifocal_loss, {}, "scores", varifocal),
    ("matchability-aware", ours.matchability_aware_loss, {}, "scores", matchability),
    ("penalty-reduced", ours.penalty_reduced_focal_loss, {}, "scores", penalty_reduced),
    ("Poly-1", ours.poly1_focal_loss, {}, "hard", poly1),
)


def data(n: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits; labels of which a tenth is 1, and of which a fifth is a score and the others 0."""
    generator = torch.Generator().manual_seed(0)
    uniform = torch.rand(n, generator=generator)
    scores = torch.where(uniform < 0.2, torch.rand(n, generator=generator), 0.0)
    z = (3 * torch.randn(n, generator=generator)).requires_grad_()
    return z, {"hard": (uniform < 0.1).float(), "scores": scores}


def contests() -> Iterator[Contest]:
    base = mean(gamma=2.0)
    for size in ("16", "1e3", "1e5", "1e7"):
        z, labels = data(int(float(size)))
        for name, loss, options, kind, formula in MEMBERS:
            y = labels[kind]
            run = step(mean(loss, **options), z, y)
            # Contests of their own: whoever runs after the formula pays for the caches and pages that it has taken.
            bases = {"binary_focal_loss": step(base, z, labels["hard"])}
            yield Contest(f"torch {name}", size, run, bases, floor=("binary_focal_loss",))
            yield Contest(f"torch {name}", size, run, {"the formula": step(formula, z, y)})


def memory() -> list[dict[str, object]]:
    z, labels = data(10**7)
    return [
        {"loss": name, "gradients": gradients_at_peak(mean(loss, **options), z, labels[kind])}
        for name, loss, options, kind, _ in MEMBERS
    ]
