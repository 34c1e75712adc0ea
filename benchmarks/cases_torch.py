"""PyTorch: the kernel by itself, the losses against torchvision and torch's own, and memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from contest import Contest
from torch import Tensor
from torch.nn import functional

from focal_loss import torch as ours
from focal_loss._host import kernels
from focal_loss.torch import _cpu

SIZES = ("16", "1e3", "1e5", "1e6", "1e7")


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
    for logits, labels in (
        (torch.float32, torch.uint8),
        (torch.float32, torch.bool),
        (torch.float32, torch.float32),
        (torch.float16, torch.uint8),
        (torch.bfloat16, torch.uint8),
    ):
        z, y = (3 * torch.randn(n)).to(logits), (torch.rand(n) < 0.1).to(labels)
        gradient = torch.empty_like(z)
        m = n * (2 * logits.itemsize + labels.itemsize) // 12
        a, b, c = torch.rand(m), torch.rand(m), torch.empty(m)

        def run(z: Tensor = z, y: Tensor = y, gradient: Tensor = gradient) -> None:
            operands = ((x.data_ptr(), kernels.CODES[str(x.dtype).removeprefix("torch.")], (1,)) for x in (z, y))
            rest = (2.0, 1.0, 1.0, 1.0, 0.0, 0, gradient.data_ptr(), 0, kernels.num_threads(), _cpu._HAS_TEAM)
            kernels.NATIVE.binary(False, (n,), *operands, *rest)

        def triad(a: Tensor = a, b: Tensor = b, c: Tensor = c) -> None:
            torch.add(a, b, alpha=0.5, out=c)

        name = f"kernel, {logits} logits, {labels} labels".replace("torch.", "")
        yield Contest(name, "1e7", run, {"triad": triad})


def mean(loss: Callable[..., Tensor] = ours.binary_focal_loss, **options: float) -> Callable[..., Tensor]:
    return lambda z, y: loss(y, z, from_logits=True, reduction="mean", **options)


def binary() -> Iterator[Contest]:
    """The mean, forward and backward, and forward alone."""
    torchvision = torchvision_focal_loss()
    compiled = torch.compile(torchvision)
    module = ours.BinaryFocalLoss(gamma=2.0, from_logits=True, reduction="mean")
    rivals = {
        "torchvision eager": lambda z, y: torchvision(z, y, -1, 2, "mean"),
        "torchvision compiled": lambda z, y: compiled(z, y, -1, 2, "mean"),
        "torch BCE with logits": functional.binary_cross_entropy_with_logits,
    }
    for size in SIZES:
        z, y = (3 * torch.randn(int(float(size)))).requires_grad_(), (torch.rand(int(float(size))) < 0.1).float()
        steps = {name: step(loss, z, y) for name, loss in rivals.items()}
        yield Contest("torch binary", size, step(mean(gamma=2.0), z, y), steps)
        values = {name: partial(loss, z.detach(), y) for name, loss in rivals.items()}
        yield Contest("torch binary, forward alone", size, partial(mean(gamma=2.0), z.detach(), y), values)
        if len(z) <= 1000:
            yield Contest("torch module", size, step(lambda z, y: module(y, z), z, y), steps)


def half() -> Iterator[Contest]:
    """Half precision against torch's own loss at the same dtype, and against ours in float32."""
    for dtype in (torch.float16, torch.bfloat16):
        for size in ("1e3", "1e5", "1e7"):
            z, y = 3 * torch.randn(int(float(size))), (torch.rand(int(float(size))) < 0.1).to(torch.uint8)
            narrow, wide = z.to(dtype).requires_grad_(), z.clone().requires_grad_()
            rivals = {
                "torch BCE with logits": step(functional.binary_cross_entropy_with_logits, narrow, y.to(dtype)),
                "float32": step(mean(gamma=2.0), wide, y),
            }
            run = step(mean(gamma=2.0), narrow, y)
            yield Contest(f"torch binary, {str(dtype)[6:]}", size, run, rivals)


def softmax() -> Iterator[Contest]:
    def by_hand(v: Tensor, t: Tensor) -> Tensor:
        log_p = functional.log_softmax(v, 1).gather(1, t.unsqueeze(1)).squeeze(1)
        return (-((1 - log_p.exp()) ** 2) * log_p).mean()

    def focal(v: Tensor, t: Tensor, **more: float) -> Tensor:
        return ours.sparse_categorical_focal_loss(t, v, 2, axis=1, from_logits=True, reduction="mean", **more)

    for shape in ((32, 10), (1000, 10), (4096, 1000), (64, 21, 128, 128)):
        v, t = torch.randn(shape).requires_grad_(), torch.randint(shape[1], shape[:1] + shape[2:])
        rivals = {
            "log_softmax + gather": step(by_hand, v, t),
            "torch cross_entropy": step(functional.cross_entropy, v, t),
        }
        yield Contest("torch softmax", " x ".join(map(str, shape)), step(focal, v, t), rivals)
    v, t = torch.randn(4096, 1000).requires_grad_(), torch.randint(1000, (4096,))
    smoothed = partial(functional.cross_entropy, label_smoothing=0.1)
    run = step(partial(focal, label_smoothing=0.1), v, t)
    yield Contest("torch softmax, smoothed", "4096 x 1000", run, {"torch cross_entropy": step(smoothed, v, t)})


def contests() -> Iterator[Contest]:
    yield from kernel()
    yield from binary()
    yield from half()
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
        "ours": mean(gamma=2.0),
        "torchvision eager": lambda z, y: torchvision(z, y, -1, 2, "mean"),
        "torch BCE with logits": functional.binary_cross_entropy_with_logits,
    }
    return [{"loss": name, "gradients": gradients_at_peak(loss, z, y)} for name, loss in losses.items()]
