"""The native kernels: whether they are installed, their instruction set, their number of threads.

`NATIVE` is the compiled module, or None. Two of its functions take arrays of NumPy as they are. The others take the
tensors that `use_tensors` allows, or addresses: an adapter checks shapes, keeps its arrays alive and describes each as
``(address, code of the dtype, strides in elements)``, or passes a number.
"""

from __future__ import annotations

import importlib
import os
import sys
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

from focal_loss._core.options import integer

# The position of a dtype is its code, as in native/kernels.hpp.
# <tables: dtypes> Written by tools/tables.py; `make tables` writes it anew.
DTYPES = ("float32", "float64", "float16", "bfloat16", "bool", "uint8", "int8", "int16", "int32", "int64")
FLOATING = DTYPES[:4]
MAX_RANK = 16
# </tables: dtypes>
CODES = {name: number for number, name in enumerate(DTYPES)}
MOST_THREADS = 2**31 - 1  # an int in C++

_threads: int | None = None


def open_native() -> tuple[Any, str]:
    """The compiled module, if it is installed and wanted, and a description for `show_config`.

    An empty FOCAL_LOSS_ISA counts as unset.

    Raises
    ------
    ValueError
        If FOCAL_LOSS_ISA names no instruction set of this machine.
    """
    wanted = os.environ.get("FOCAL_LOSS_ISA") or None
    native = importlib.import_module("focal_loss._native") if find_spec("focal_loss._native") else None
    names = native.instruction_sets() if native else []
    if wanted is not None and wanted not in (*names, "formula"):
        known = ", ".join(map(repr, (*names, "formula")))
        raise ValueError(f"FOCAL_LOSS_ISA must be one of {known} on this machine, got {wanted!r}")
    if wanted == "formula":
        return None, "the formula (set by FOCAL_LOSS_ISA)"
    if native is None:
        return None, "the formula (installed without native kernels: there was no C++ compiler)"
    if not names:
        return None, "the formula (no native kernel runs on this processor)"
    native.select(wanted or names[0])
    return native, f"native kernels for {wanted or names[0]} (set by {'FOCAL_LOSS_ISA' if wanted else 'the processor'})"


NATIVE, DESCRIPTION = open_native()


@lru_cache(maxsize=64)
def code(dtype: Any) -> int | None:
    """The kernels' number for a dtype, or None. It is cached because NumPy takes microseconds to name a dtype."""
    return CODES.get(dtype.name)


def triton_usable() -> bool:
    """Whether PyTorch's GPUs have kernels. Triton crashes the process if it is imported after TensorFlow."""
    if find_spec("triton") is None or os.environ.get("FOCAL_LOSS_ISA") == "formula":
        return False
    return "triton" in sys.modules or "tensorflow" not in sys.modules


def set_num_threads(n: int) -> None:
    """Set how many threads compute a large array on the host.

    Without a call, PyTorch tensors are computed on ``torch.get_num_threads()`` threads and everything else on as many
    as this process may use processors. The threads end with the call, except in PyTorch, whose own are used if they are
    OpenMP's. Small arrays use one thread.

    Parameters
    ----------
    n : int
        From 1 to 2^31 - 1.

    Raises
    ------
    TypeError, ValueError
        If `n` is not an integer, or out of range.

    Examples
    --------
    >>> import focal_loss
    >>> focal_loss.set_num_threads(2)
    """
    global _threads
    number = integer("n", n)
    if not 1 <= number <= MOST_THREADS:
        raise ValueError(f"`n` must be an integer in [1, {MOST_THREADS}], got {n}")
    _threads = number
    if NATIVE is not None:
        NATIVE.set_num_threads(number)


def num_threads(default: int | None = None) -> int:
    """The number of `set_num_threads`, else `default`, else the number of processors that this process may use."""
    return _threads or default or PROCESSORS


PROCESSORS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
if NATIVE is not None:
    NATIVE.set_num_threads(PROCESSORS)
