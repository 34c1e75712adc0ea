"""The native kernels: each instruction set, threads, forks, and arrays as they come. A missing kernel is a failure."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import accuracy
import ml_dtypes
import numpy as np
import pytest
from cases import FRAMEWORK, Framework

from focal_loss import numpy as xp
from focal_loss._core.pipeline import BinaryCall, SoftmaxCall
from focal_loss._host import evaluate, kernels

NUMPY = FRAMEWORK["numpy"]
FLOATING = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16]
GAMMAS = [0.0, 0.5, 2.0, 3.3]
SETS = [] if kernels.NATIVE is None else kernels.NATIVE.instruction_sets()
COMPUTE = """
import sys, numpy as np, ml_dtypes
from focal_loss import numpy as xp
rng = np.random.default_rng(0)
results = {}
for dtype in ("float32", "float64", "float16", "bfloat16"):
    kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
    z = (4 * rng.standard_normal((300, 11))).astype(kind)
    y, t, soft = z > 1, rng.integers(0, 11, 300), rng.random((300, 11)).astype(kind)
    for gamma in (0.0, 0.5, 2.0, 3.3):
        found = {"binary": xp.binary_focal_loss_derivatives(y, z, gamma),
                 "soft": (xp.binary_focal_loss(soft, z, gamma, from_logits=True),),
                 "p_t_loss": (xp.binary_focal_crossentropy(soft, z, gamma=gamma, from_logits=True),),
                 "sparse": xp.sparse_categorical_focal_loss_derivatives(t, z, gamma),
                 "dense": (xp.categorical_focal_loss(soft, z, gamma, from_logits=True),)}
        for name, arrays in found.items():
            for k, array in enumerate(arrays):
                results[f"{dtype} {gamma} {name} {k}"] = array.astype(np.float64)
np.savez(sys.argv[1], **results)
"""


def run(code: str, *arguments: str, timeout: float | None = None, **environment: str) -> None:
    variables = {k: v for k, v in os.environ.items() if k != "FOCAL_LOSS_ISA"} | environment
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables, timeout=timeout)
    assert done.returncode == 0, done.stderr


@pytest.fixture(params=SETS)
def instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    kernels.NATIVE.select(request.param)
    yield request.param
    kernels.NATIVE.select(os.environ.get("FOCAL_LOSS_ISA", SETS[0]))


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    return lambda n: monkeypatch.setattr(kernels, "_threads", n)


# ---------------------------------------------------------------------------------------------------------------
# Which kernels run
# ---------------------------------------------------------------------------------------------------------------


def test_there_are_kernels() -> None:
    assert SETS, kernels.DESCRIPTION
    assert "native kernels for" in kernels.DESCRIPTION


@pytest.mark.parametrize("dtype", FLOATING)
def test_losses_of_logits_never_ask_the_formula(dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("the formula was asked")

    monkeypatch.setattr(evaluate, "apply", refuse)
    z = np.zeros((2, 3), dtype)
    for y in (np.ones((2, 3)), np.ones((2, 3), int), np.ones((2, 3), bool), np.ones((2, 3), dtype)):
        xp.binary_focal_loss(y, z, 2, from_logits=True, pos_weight=np.array([1.0, 2.0, 3.0]))
        xp.binary_focal_crossentropy(y, z, from_logits=True, label_smoothing=0.1)
        xp.categorical_focal_loss(y, z, 2, from_logits=True)
        xp.sparse_categorical_focal_loss(np.array([0, 2]), z, 2, from_logits=True, label_smoothing=0.1)
        xp.binary_focal_loss_derivatives(y, z, np.array([0.5, 1.0, 7.0]))
    xp.sparse_categorical_focal_loss(np.array([0, 2]), z, 2, from_logits=True)
    xp.sparse_categorical_focal_loss_derivatives(np.array([0, 2]), z, 2)


@pytest.mark.parametrize(
    "section",
    [*accuracy.SECTIONS[:3], *accuracy.SECTIONS[4:6], accuracy.smoothed, accuracy.of_examples],
    ids=lambda section: section.__name__,
)
@pytest.mark.parametrize("dtype", NUMPY.dtypes)
def test_golden_numbers_within_the_bound(instruction_set: str, dtype: str, section: Any) -> None:
    for quantity, found in accuracy.worst(NUMPY, dtype, section).items():
        assert found.error_ratio <= 1, f"{quantity}: {found}"


@pytest.mark.parametrize("section", accuracy.EXTREMES, ids=lambda section: section.__name__)
@pytest.mark.parametrize("dtype", NUMPY.dtypes)
@pytest.mark.parametrize("framework", [NUMPY, FRAMEWORK["torch"]], ids=str)
def test_extreme_numbers_within_the_bound(instruction_set: str, dtype: str, section: Any, framework: Framework) -> None:
    """PyTorch shows the gradients of soft labels, which NumPy does not."""
    for quantity, found in accuracy.worst(framework, dtype, section).items():
        assert found.error_ratio <= 1, f"{quantity}: {found}"


@pytest.mark.parametrize("flush", [False, True])
def test_half_precision_where_subnormal_floats_are_flushed(instruction_set: str, flush: bool) -> None:
    """XLA's and TensorFlow's threads flush them. The labels are all of float16's in [0, 1], including subnormal
    ones.
    """
    import torch

    bits = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    labels = bits[(bits >= 0) & (bits <= 1)]
    z = np.full(labels.shape, -1024, np.float16)
    torch.set_flush_denormal(flush)
    try:
        value = xp.binary_focal_loss(labels, z, 0.0, from_logits=True)
    finally:
        torch.set_flush_denormal(False)
    np.testing.assert_array_equal(value, labels * np.float16(1024))


def test_empty_variables_are_not_set() -> None:
    code = "import focal_loss; from focal_loss._host import kernels; assert kernels.NATIVE;"
    code += "print(focal_loss.get_backend())"
    run(code, FOCAL_LOSS_ISA="", FOCAL_LOSS_BACKEND="", KERAS_BACKEND="jax")


INTERRUPT = """
import signal, numpy as np
from focal_loss._host import kernels
def stop(*_):
    raise InterruptedError
signal.signal(signal.SIGALRM, stop)
z, y, zeros = np.zeros(1, np.float32), np.zeros(1, bool), (0,)
operands = [(a.__array_interface__["data"][0], kernels.CODES[a.dtype.name], zeros) for a in (z, y)]
for threads in (1, 2):
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        kernels.NATIVE.binary(False, (1 << 36,), *operands, 2.3, 1.0, 1.0, 1.0, 0.0, 0, 0, 0, threads)
    except InterruptedError:
        continue
    raise AssertionError("not interrupted")
assert kernels.NATIVE.binary(False, (4,), *operands, 2.0, 1.0, 1.0, 1.0, 0.0, 0, 0, 0, 1)[0] > 0
"""


SINGLE = np.zeros(3, np.float32)


@pytest.mark.parametrize(
    "into",
    [(), (SINGLE,), (SINGLE,) * 3, (SINGLE, np.zeros(3)), (SINGLE, np.zeros(2, np.float32)), (SINGLE, None)],
    ids=["none", "one", "three", "float64", "short", "no array"],
)
def test_derivatives_go_into_two_arrays(into: tuple[Any, ...]) -> None:
    x, t = np.zeros(3), np.ones(3, bool)
    for call in (
        lambda: kernels.NATIVE.binary_of_numpy(x, t, 1, 2.0, 1.0, 1.0, 1.0, 0.0, 2, False, into, False, 0),
        lambda: kernels.NATIVE.softmax_of_numpy(
            x, np.array(1), 1, -1, True, None, 2.0, 1.0, 1.0, 0.0, 2, False, into, False
        ),
    ):
        with pytest.raises(ValueError, match="derivatives go into two arrays in float, in C order"):
            call()


def test_a_signal_interrupts_the_kernels() -> None:
    """There are so many elements that the test would take minutes if the handler ran only after the last."""
    run(INTERRUPT, timeout=60)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("gamma", [0.1, 1.7, 9.7, 10.0])
def test_a_gamma_without_a_power_of_its_own_keeps_the_bound(instruction_set: str, gamma: float, dtype: type) -> None:
    """Near 0, where the bound is narrowest and nothing but gamma multiplies the error of the logarithm."""
    z = np.concatenate([s * np.geomspace(1e-6, 3, 20_000) for s in (1, -1)]).astype(dtype)
    s = z.astype(np.longdouble)
    q, loss = 1 / (1 + np.exp(s)), np.log1p(np.exp(-s))
    slope = gamma * (1 - q) * loss + q
    value, gradient, _ = xp.binary_focal_loss_derivatives(np.ones(z.shape, bool), z, gamma)
    bound = (8 + 2 * gamma * abs(s)) * np.finfo(dtype).eps
    assert np.all(abs(value - q**gamma * loss) <= bound * q**gamma * loss)
    assert np.all(abs(gradient + q**gamma * slope) <= bound * q**gamma * slope)


def test_the_mixture_grows_without_bound_where_its_factor_underflows(instruction_set: str) -> None:
    y, z = np.float32([[1e-5, 1 - 1e-5, 0.3, 0, 1]]), np.float32([[-np.inf, np.inf, np.inf, -np.inf, np.inf]])
    value = xp.binary_focal_crossentropy(y.T, z.T, gamma=100.0, from_logits=True)
    np.testing.assert_array_equal(value, [np.inf, np.inf, np.inf, 0, 0])


@pytest.fixture(scope="module")
def by_formula(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    file = tmp_path_factory.mktemp("formula") / "results.npz"
    run(COMPUTE, str(file), FOCAL_LOSS_ISA="formula")
    return dict(np.load(file))


def test_the_environment_chooses_and_the_formula_agrees(
    instruction_set: str, by_formula: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, here = tmp_path / "results.npz", tmp_path / "here.npz"
    chosen = (
        f"\nfrom focal_loss._host import kernels\nassert 'for {instruction_set} (set by FOCAL_' in kernels.DESCRIPTION"
    )
    run(COMPUTE + chosen, str(file), FOCAL_LOSS_ISA=instruction_set)
    monkeypatch.setattr(sys, "argv", ["", str(here)])
    exec(COMPUTE, {})
    results, selected = dict(np.load(file)), dict(np.load(here))
    assert results.keys() == by_formula.keys()
    for key, value in results.items():
        assert value.tobytes() == selected[key].tobytes()  # with fused multiply-adds and without, bits differ
        dtype, gamma, loss, order = key.split()
        # Each is within the bound of the truth, with |z| < 20. The scale of a Hessian is that of the gradient's
        # terms.
        eps = np.finfo(np.float64 if dtype == "float64" else np.float32).eps
        bound = 2 * (8 + 11 + 2 * (float(gamma) + 1) * 20) * eps
        scale = np.abs(by_formula[key])
        if order != "0":
            scale = scale + 10 * np.max(np.abs(by_formula[f"{dtype} {gamma} {loss} 1"]), -1, keepdims=True) * (
                order == "2"
            )
        half = float(ml_dtypes.finfo(dtype).eps) if dtype in accuracy.HALF else 0.0
        smallest = float(ml_dtypes.finfo(dtype).smallest_normal)
        assert np.all(np.abs(value - by_formula[key]) <= bound * scale + half * np.abs(by_formula[key]) + smallest), key


def test_an_unknown_instruction_set_is_an_error_that_names_the_known_ones() -> None:
    code = "import focal_loss._host.kernels"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"FOCAL_LOSS_ISA": "sse9"}
    )
    known = ", ".join(map(repr, (*SETS, "formula")))
    assert f"ValueError: FOCAL_LOSS_ISA must be one of {known} on this machine, got 'sse9'" in done.stderr
    with pytest.raises(ValueError, match="no such instruction set: sse9"):
        kernels.NATIVE.select("sse9")


# ---------------------------------------------------------------------------------------------------------------
# Threads and processes
# ---------------------------------------------------------------------------------------------------------------


def test_the_number_of_threads_does_not_change_a_bit(threads: Callable[[int], None]) -> None:
    rng = np.random.default_rng(1)
    z = (3 * rng.standard_normal((120_011, 10))).astype(np.float32)
    t = rng.integers(0, 10, len(z))
    t[77_777], bad = 11, z > 9  # an invalid class, and rare positives that become invalid labels
    y = np.where(bad, 2, z > 1).astype(np.int8)
    assert bad.any()
    mixture = BinaryCall(z, np.float32(1) * (y == 1), 0.7, 1.0, 1.0, smoothing=0.1, p_t_loss=True)
    sparse = SoftmaxCall(z, t, 2.0, 1.0, axis=1, sparse=True, ignore=3)
    smoothed = sparse._replace(smoothing=0.1)
    found = []
    for n in (1, 2, 5):
        threads(n)
        results = [evaluate.native_binary(BinaryCall(z, y, 2.0, 0.75, 1.0), order=2)]
        results += [evaluate.native_binary(mixture, order=1)]
        results += [evaluate.native_binary(BinaryCall(z.astype(np.float64), y, 0.5, 1.0, 1.0), order=0)]
        results += [evaluate.native_softmax(call, order=1) for call in (sparse, smoothed)]
        found.append([x for arrays, total, bad in results for x in (*arrays, np.float64(total), np.int64(bad))])
    for other in found[1:]:
        for one, same in zip(found[0], other, strict=True):
            assert one.tobytes() == same.tobytes()


def test_a_forked_process_computes_on_threads() -> None:
    """The process loads no framework, because frameworks forbid a fork."""
    run("""
import multiprocessing, os
import numpy as np
from focal_loss import numpy as xp, set_num_threads
set_num_threads(3)
z = np.linspace(-9, 9, 500_000, dtype=np.float32)
def compute(_=None):
    return xp.binary_focal_loss(z > 0, z, 2, from_logits=True)
expected = compute()
child = os.fork()
if child == 0:
    os._exit(0 if compute().tobytes() == expected.tobytes() else 7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
with multiprocessing.get_context("fork").Pool(2) as pool:
    for found in pool.map(compute, range(3)):
        assert found.tobytes() == expected.tobytes()
""")


def test_python_runs_while_a_kernel_does() -> None:
    """With this switch interval a thread runs only where another releases the lock by itself."""
    z = np.zeros(20_000_000, np.float32)
    y = np.ones_like(z)
    ticks, seen = [0], []
    done = threading.Event()

    def compute() -> None:
        before = ticks[0]
        evaluate.native_binary(BinaryCall(z, y, 2.0, 1.0, 1.0), order=0, threads=1)
        seen.append(ticks[0] - before)
        done.set()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e3)
    try:
        worker = threading.Thread(target=compute)
        worker.start()
        while not done.is_set():
            ticks[0] += 1
            time.sleep(0)
        worker.join()
    finally:
        sys.setswitchinterval(interval)
    assert seen[0] > 0


# ---------------------------------------------------------------------------------------------------------------
# Arrays as they come
# ---------------------------------------------------------------------------------------------------------------


def misaligned(x: np.ndarray) -> np.ndarray:
    memory = np.zeros(x.nbytes + 1, np.uint8)
    memory[1:] = np.ascontiguousarray(x).reshape(-1).view(np.uint8)
    return memory[1:].view(x.dtype).reshape(x.shape)


def in_records(x: np.ndarray) -> np.ndarray:
    """A field of a packed record, whose strides are not multiples of its item size."""
    records = np.zeros(x.shape, [("flag", np.uint8), ("x", x.dtype)])
    records["x"] = x
    return records["x"]


def read_only(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "strided": lambda x: np.repeat(np.repeat(x, 2, 0), 3, 1)[::2, ::3],
    "transposed": lambda x: x.T.copy().T,
    "reversed": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "broadcast": lambda x: np.broadcast_to(x[:1], x.shape),
    "one column": lambda x: np.broadcast_to(x[:, :1], x.shape),
    "read-only": read_only,
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "misaligned": misaligned,
    "record": in_records,
}


# bfloat16 supports neither big-endian arrays nor records
LAID_OUT = [
    (layout, dtype)
    for layout in LAYOUTS
    for dtype in FLOATING
    if dtype is not ml_dtypes.bfloat16 or layout not in ("big-endian", "record")
]


@pytest.mark.parametrize(("layout", "dtype"), LAID_OUT)
def test_a_layout_is_as_good_as_its_copy(instruction_set: str, layout: str, dtype: type) -> None:
    rng = np.random.default_rng(2)
    z = LAYOUTS[layout]((3 * rng.standard_normal((131, 60))).astype(dtype))
    for kind in (bool, np.int8, np.int64, np.float32, dtype):
        y = LAYOUTS[layout](rng.integers(0, 2, z.shape).astype(kind))
        t = LAYOUTS[layout](rng.integers(0, 60, z.shape))[:, 1]
        classes = LAYOUTS[layout](rng.integers(0, 131, z.shape))[0]
        kept = [x.tobytes() for x in (z, y, t)]

        def compute(z: np.ndarray, y: np.ndarray, t: np.ndarray, classes: np.ndarray) -> list[np.ndarray]:
            return [
                *xp.binary_focal_loss_derivatives(y, z, 2),
                xp.binary_focal_loss(y, z, 0.7, from_logits=True, label_smoothing=0.1),
                xp.categorical_focal_loss(y, z, 2, from_logits=True),
                *xp.sparse_categorical_focal_loss_derivatives(t, z, 2),
                xp.sparse_categorical_focal_loss(classes, z, 2, from_logits=True, axis=0),
                xp.sparse_categorical_focal_loss(t, z, 2, from_logits=True, label_smoothing=0.1),
                xp.sparse_categorical_focal_loss(t, z, 2, from_logits=True),
            ]

        expected = compute(*(np.array(x, x.dtype.newbyteorder("="), order="C") for x in (z, y, t, classes)))
        found = compute(z, y, t, classes)
        for one, same in zip(found[:-1], expected[:-1], strict=True):
            assert one.dtype.newbyteorder("=") == same.dtype.newbyteorder("=")
            np.testing.assert_array_equal(one.astype(np.float64), same.astype(np.float64))
        # Many classes are added up in another order where they do not lie together.
        eps = max(
            float(ml_dtypes.finfo(dtype).eps), 40 * np.finfo(np.float64 if dtype is np.float64 else np.float32).eps
        )
        np.testing.assert_allclose(found[-1].astype(np.float64), expected[-1].astype(np.float64), rtol=eps)
        assert kept == [x.tobytes() for x in (z, y, t)]
