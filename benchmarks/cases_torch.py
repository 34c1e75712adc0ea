"""PyTorch: the kernel by itself, the losses against torchvision and torch's own, and memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from contest import Contest
from torch import Tensor
from torch.nn import functional

from focal_loss import torch as ours
from focal_loss._host import kernels
from focal_loss.torch import _cpu


def torchvision_focal_loss() -> Callable[..., Tensor]:
    """torchvision's loss. Its wheel is built for CUDA; the function itself is Python and needs only these two operators
    to exist.
    """
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from torchvision.ops import sigmoid_focal_loss

    return sigmoid_focal_loss


def step(loss: Callable[..., Tensor], prediction: Tensor, *rest: object) -> Callable[[], None]:
    """Forward and backward, with a fresh gradient."""

    def run() -> None:
        prediction.grad = None
        loss(prediction, *rest).backward()

    return run


def kernel() -> Iterator[Contest]:
    """Loss sum and gradient into existing memory, against a triad over as many bytes."""
    n = 10**7
    z, gradient = 3 * torch.randn(n), torch.empty(n)
    for dtype, size in ((torch.uint8, 1), (torch.float32, 4)):
        y = (torch.rand(n) < 0.1).to(dtype)
        m = n * (8 + size) // 12
        a, b, c = torch.rand(m), torch.rand(m), torch.empty(m)

        def run(y: Tensor = y) -> None:
            operands = ((x.data_ptr(), kernels.CODES[str(x.dtype).removeprefix("torch.")], (1,)) for x in (z, y))
            rest = (2.0, 1.0, 1.0, 1.0, 0.0, 0, gradient.data_ptr(), 0, kernels.num_threads(), _cpu._HAS_TEAM)
            kernels.NATIVE.binary(False, (n,), *operands, *rest)

        def triad(a: Tensor = a, b: Tensor = b, c: Tensor = c) -> None:
            torch.add(a, b, alpha=0.5, out=c)

        yield Contest(f"kernel, {dtype} labels".replace("torch.", ""), "1e7", run, {"triad": triad}, {"triad": 1.6})


def binary() -> Iterator[Contest]:
    torchvision = torchvision_focal_loss()
    compiled = torch.compile(torchvision)
    asked = {3: (4, None, None), 5: (6, None, None), 6: (15, 2, 2), 7: (15, 1.5, 2)}
    for power, figures in asked.items():
        z, y = (3 * torch.randn(10**power)).requires_grad_(), (torch.rand(10**power) < 0.1).float()
        names = ("torchvision eager", "torchvision compiled", "torch BCE with logits")
        rivals = {
            names[0]: step(lambda z, y: torchvision(z, y, -1, 2, "mean"), z, y),
            names[1]: step(lambda z, y: compiled(z, y, -1, 2, "mean"), z, y),
            names[2]: step(functional.binary_cross_entropy_with_logits, z, y),
        }
        run = step(lambda z, y: ours.binary_focal_loss(y, z, 2, from_logits=True, reduction="mean"), z, y)
        yield Contest(
            "torch binary", f"1e{power}", run, rivals, {n: f for n, f in zip(names, figures, strict=True) if f}
        )


def softmax() -> Iterator[Contest]:
    def by_hand(v: Tensor, t: Tensor) -> Tensor:
        log_p = functional.log_softmax(v, 1).gather(1, t.unsqueeze(1)).squeeze(1)
        return (-((1 - log_p.exp()) ** 2) * log_p).mean()

    def focal(v: Tensor, t: Tensor) -> Tensor:
        return ours.sparse_categorical_focal_loss(t, v, 2, axis=1, from_logits=True, reduction="mean")

    for size, shape in (("1e4 x 1000", (10_000, 1000)), ("64 x 21 x 128 x 128", (64, 21, 128, 128))):
        v, t = torch.randn(shape).requires_grad_(), torch.randint(shape[1], shape[:1] + shape[2:])
        rivals = {
            "log_softmax + gather": step(by_hand, v, t),
            "torch cross_entropy": step(functional.cross_entropy, v, t),
        }
        asked = {"log_softmax + gather": 2.0, "torch cross_entropy": 1.0}
        yield Contest("torch softmax", size, step(focal, v, t), rivals, asked)


def contests() -> Iterator[Contest]:
    yield from kernel()
    yield from binary()
    yield from softmax()


def peak() -> int:
    """The largest memory of this process since `forget_peak`."""
    line = next(s for s in Path("/proc/self/status").read_text().splitlines() if s.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def gradients_at_peak(loss: Callable[..., Tensor], z: Tensor, y: Tensor) -> float:
    """Bytes beyond the inputs at the peak of forward and backward, as multiples of the gradient."""
    step(loss, z[:1000].detach().requires_grad_(), y[:1000])()
    z.grad = None
    forget_peak()
    before = peak()
    step(loss, z, y)()
    z.grad = None
    return (peak() - before) / (z.element_size() * z.numel())


def memory() -> list[dict[str, object]]:
    torchvision = torchvision_focal_loss()
    n = 10**7
    z, y = torch.randn(n).requires_grad_(), (torch.rand(n) < 0.1).float()
    losses = {
        "ours": lambda z, y: ours.binary_focal_loss(y, z, 2, from_logits=True, reduction="mean"),
        "torchvision eager": lambda z, y: torchvision(z, y, -1, 2, "mean"),
        "torch BCE with logits": functional.binary_cross_entropy_with_logits,
    }
    return [{"loss": name, "gradients": gradients_at_peak(loss, z, y)} for name, loss in losses.items()]
