"""Calls from many threads at once, while others change what they share: each result is one that a single thread gets.

On a free-threaded Python nothing but the library itself keeps them apart.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from itertools import cycle

import numpy as np
import pytest
from cases import LOSS, LOSSES, Loss

import focal_loss
from focal_loss import numpy as xp
from focal_loss._core import repeated
from focal_loss._host import kernels

ROUNDS = 60


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    threads, interval = kernels._threads, sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # with a global lock, it is handed on often
    yield
    sys.setswitchinterval(interval)
    kernels._threads = threads
    focal_loss.set_checks(True)
    if kernels.NATIVE is not None:
        kernels.NATIVE.set_num_threads(kernels.num_threads())
        kernels.NATIVE.select(os.environ.get("FOCAL_LOSS_ISA") or kernels.NATIVE.instruction_sets()[0])


def at_once(works: list[Callable[[], None]]) -> None:
    """Run them on a thread each, from one moment on, and raise what the first that fails raised."""
    start, failures = threading.Barrier(len(works)), []

    def run(work: Callable[[], None]) -> None:
        start.wait()
        try:
            work()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def computed(loss: Loss, gamma: float) -> bytes:
    options = {name: gamma if name == "gamma" else value for name, value in loss.options.items()}
    result: bytes = getattr(xp, loss.name)(loss.y_true, loss.y_pred, from_logits=True, **options).tobytes()
    return result


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_settings_change_under_calls(loss: Loss) -> None:
    """Each instruction set may round otherwise."""
    names = kernels.NATIVE.instruction_sets()
    expected = set()
    for name in names:
        kernels.NATIVE.select(name)
        expected.add(computed(loss, 2.0))
    done = threading.Event()

    def call() -> None:
        for _ in range(ROUNDS):
            assert computed(loss, 2.0) in expected

    def change() -> None:
        for number, name in enumerate(cycle(names)):
            kernels.NATIVE.select(name)
            focal_loss.set_num_threads(1 + number % 3)
            focal_loss.set_checks(number % 2 == 0)
            if done.is_set():
                return

    def calls() -> None:
        try:
            at_once([call] * 3)
        finally:
            done.set()

    at_once([calls, change])


def test_the_memory_of_calls_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The threads have more options than it holds, so that it begins anew under the others."""
    monkeypatch.setattr(repeated, "MOST", 3)
    loss, gammas = LOSS["binary_focal_loss"], [0.5, 1.0, 2.0, 3.0, 4.5]
    expected = [computed(loss, gamma) for gamma in gammas]

    def call() -> None:
        for _ in range(20 * ROUNDS):
            for gamma, result in zip(gammas, expected, strict=True):
                assert computed(loss, gamma) == result

    at_once([call] * 4)


def test_large_calls_at_once() -> None:
    """Each of them starts threads of its own."""
    focal_loss.set_num_threads(3)
    rng = np.random.default_rng(0)
    x = rng.standard_normal(1 << 19).astype(np.float32)
    y = rng.integers(0, 2, x.size)
    expected = xp.binary_focal_loss(y, x, 2, from_logits=True).tobytes()

    def call() -> None:
        for _ in range(3):
            assert xp.binary_focal_loss(y, x, 2, from_logits=True).tobytes() == expected

    at_once([call] * 4)


def test_a_free_threaded_python_stays_free() -> None:
    """An extension module that does not declare itself safe turns the global lock on."""
    is_free = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    assert is_free != getattr(sys, "_is_gil_enabled", lambda: True)()
