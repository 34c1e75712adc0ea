"""The counts of `benchmarks/gpu_code.py`, and the instructions that the kernels may take. Nothing is timed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import gpu_code  # noqa: E402

# x * x + 1 where a branch goes around a longer way, then a loop that reads 32 bytes in two loads.
SASS = """
        /*0000*/                   LDC R1, c[0x0][0x28] ;
        /*0010*/                   LDG.E.128 R4, desc[UR6][R2.64] ;
        /*0020*/              @!P0 BRA `(.L_x_1) ;
        /*0030*/                   MUFU.EX2 R4, R4 ;
        /*0040*/                   MUFU.LG2 R4, R4 ;
        /*0050*/                   MUFU.RCP R4, R4 ;
.L_x_1:
        /*0060*/                   FFMA R4, R4, R4, 1 ;
.L_x_2:
        /*0070*/                   LDG.E.64 R6, desc[UR6][R2.64] ;
        /*0080*/                   LDG.E.64 R8, desc[UR6][R2.64+0x8] ;
        /*0090*/                   IADD3 R2, R2, 0x8, RZ ;
        /*00a0*/               @P1 BRA `(.L_x_2) ;
        /*00b0*/              @!P2 STG.E.128 desc[UR6][R2.64], R4 ;
        /*00c0*/                   EXIT ;
.L_x_3:
        /*00d0*/                   BRA `(.L_x_3) ;
"""


def test_the_main_path_is_counted_by_pipe() -> None:
    code = gpu_code.count(SASS, "Function f:\n REG:40 STACK:8 SHARED:0", warps=4, bits=512)
    assert dict(code.pipes) == {"memory": 3 + 2 * 4, "control": 1 + 4 + 1, "fma": 1, "alu": 4}
    assert dict(code.accesses) == {"LDG 128": 1, "LDG 64": 2, "STG 128": 1}
    assert (code.registers, code.spilled, code.occupancy()) == (40, 8, 0.75)


def test_the_kernels_stay_within_their_budget() -> None:
    """Compiled for the newer card; the pinned Triton always gives the same code."""
    variables = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    command = [sys.executable, str(BENCHMARKS / "gpu_budget.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("instructions") == 6
