"""The bound of the contract with the GPU's own functions, whose errors Triton's interpreter does not have.

2^x, log2, 1 / x and the square root of the GPU are off by up to their documented errors, each here in every direction:
by the whole error up, down, and by any part of it.
"""

from __future__ import annotations

from focal_loss.torch import _triton  # isort: skip  (before TensorFlow)

import pytest
import torch
import triton
import triton.language as tl

import focal_loss.torch as ours
from focal_loss.torch import _backend, _cuda, _operators
from focal_loss.torch._triton import arithmetic, element

pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.skipif(not _triton.INTERPRETED.value, reason="a GPU has the errors themselves"),
]
EPS = float(torch.finfo(torch.float32).eps)
TINY = float(torch.finfo(torch.float32).tiny)


@triton.jit
def off(x, result, largest, up, down):
    """The result with a relative error of `largest` up, down, or one in between that depends on the bits of x."""
    part = (x.to(tl.int32, bitcast=True) * 2654435 >> 8).to(tl.float32) * (1.0 / 8388608)
    part = tl.where(up, 1.0, tl.where(down, -1.0, part))
    # Exact powers of 2 are exact on a GPU.
    is_exact = (result.to(tl.int32, bitcast=True) & 0x7FFFFF) == 0
    return tl.where(is_exact, result, (result.to(tl.float64) * (1.0 + largest * part)).to(tl.float32))


@triton.jit
def exp2_off(x):
    result = off(x, tl.exp2(x), 2.0**-22, UP, DOWN)
    return tl.where(result < 1.1754943508222875e-38, 0.0, result)


@triton.jit
def log2_off(x):
    """Near 1 the error is absolute."""
    result = tl.log2(x)
    part = off(x, tl.full(x.shape, 1.5, tl.float32), 2.0**-22, UP, DOWN) / 1.5 - 1.0
    return tl.where(x <= 2.0, result + part, result + part * result)


@triton.jit
def reciprocal_off(x):
    return off(x, 1.0 / x, 2.0**-23, UP, DOWN)


@triton.jit
def square_root_off(x):
    return off(x, tl.sqrt(x), 2.0**-23, UP, DOWN)


UP = DOWN = False


def worst(gamma: float, dtype: torch.dtype) -> tuple[float, float]:
    """The largest errors of value and slope, as shares of the bound."""
    random = torch.Generator().manual_seed(1)
    z = torch.cat([torch.linspace(-86.9, 86.9, 512), 3 * torch.randn(512, generator=random)]).to(dtype)
    y = torch.rand(z.shape, generator=random) < 0.5
    results = []
    for x in (z.clone(), z.double()):
        x.requires_grad_()
        value = ours.binary_focal_loss(y, x, gamma, from_logits=True)
        results.append((value.detach().double(), torch.autograd.grad(value, x, torch.ones_like(value))[0].double()))
    shares = []
    for found, exact in zip(*results, strict=True):
        info = torch.finfo(dtype)
        bound = (8 + 2 * (gamma * z.double().abs()).clamp(max=174)) * EPS * exact.abs() + (1 + gamma) ** 2 * 87 * TINY
        if dtype != torch.float32:
            bound += float(info.eps) / 2 * exact.abs() + float(info.smallest_normal * info.eps)
        shares.append(float(((found - exact).abs() / bound).max()))
    return shares[0], shares[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("direction", ["up", "down", "any"])
def test_errors_of_the_functions_stay_within_the_bound(
    dtype: torch.dtype, direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, off_ in (
        ("exp2", exp2_off),
        ("log2", log2_off),
        ("reciprocal", reciprocal_off),
        ("square_root", square_root_off),
    ):
        for module in (arithmetic, element):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, off_)
    monkeypatch.setitem(globals(), "UP", direction == "up")
    monkeypatch.setitem(globals(), "DOWN", direction == "down")
    monkeypatch.setattr(_operators, "kernels", lambda x: _cuda)
    monkeypatch.setitem(_backend._FLOATING, "cpu", _cuda.DTYPES)
    shares = {gamma: worst(gamma, dtype) for gamma in (0.0, 1.5, 2.0, 2.2, 4.9, 5.0, 8.3)}
    assert max(map(max, shares.values())) <= 1, shares
