"""Machine code of a Triton kernel for a card that need not be there: compiled, disassembled, counted by pipe.

The main path is the one with the fewest instructions from the entry to the last store. Kernels branch where a block of
elements needs more care, and that care is the longer branch; it is not counted. A loop counts as often as its loads
need to read what the program reads. Instructions that a predicate turns off count, because they are issued.
"""

from __future__ import annotations

import heapq
import itertools
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
TYPES = {
    torch.float32: "*fp32",
    torch.float16: "*fp16",
    torch.bfloat16: "*bf16",
    torch.uint8: "*u8",
    torch.int64: "*i64",
}
INSTRUCTION = re.compile(r"/\*([0-9a-f]{4,})\*/\s+(@!?U?P\w+\s+)?([A-Z][\w.]*)\s*(.*?)\s*;")
LABEL = re.compile(r"^\s*(\.L_\w+):")
TARGET = re.compile(r"`\((\.L_\w+)\)")
# The first pattern that begins an opcode names its pipe. What is left over is the ALU's.
PIPES = (
    ("control", r"BRA|BRX|EXIT|BSSY|BSYNC|BREAK|BAR|NOP|WARPSYNC|CALL|RET|DEPBAR|MEMBAR|ERRBAR|YIELD"),
    ("uniform", r"U[A-Z]|R2UR|S2UR|S2R|CS2R|VOTEU"),
    ("memory", r"LD|ST|SHFL|ATOM|RED\b|REDG|REDUX"),
    ("mufu", r"MUFU|I2F\b|F2I|F2F\b|FRND|POPC|FLO|BREV|I2F\."),
    ("fma", r"FADD|FMUL|FFMA|HADD2|HMUL2|HFMA2"),
    ("imad", r"IMAD"),
    ("alu", r""),
)


@dataclass(frozen=True)
class Instruction:
    address: int
    predicated: bool
    opcode: str
    operands: str

    @property
    def pipe(self) -> str:
        return next(name for name, pattern in PIPES if re.match(pattern, self.opcode))

    @property
    def width(self) -> int:
        """Bits that a load or store of global memory moves for each thread."""
        sizes = {"U8": 8, "S8": 8, "U16": 16, "S16": 16, "64": 64, "128": 128}
        return next((sizes[part] for part in self.opcode.split(".") if part in sizes), 32)

    def is_global(self, kind: str) -> bool:
        return self.opcode.startswith(f"{kind}G.")


@dataclass(frozen=True)
class Code:
    """The instructions of one thread on the main path, counted."""

    pipes: Counter[str]
    accesses: Counter[str]  # "LDG 128" -> how often
    registers: int
    spilled: int  # bytes
    warps: int
    path: list[Instruction] = field(repr=False)

    def occupancy(self) -> float:
        """The share of 64 warps of a multiprocessor that the registers let run."""
        per_warp = 32 * (-(-self.registers // 8) * 8)
        programs = min(65536 // (per_warp * self.warps), 64 // self.warps, 32)
        return programs * self.warps / 64


def tool(name: str, *arguments: str) -> str:
    return subprocess.run([TOOLS / name, *arguments], capture_output=True, text=True, check=True).stdout


def versions() -> str:
    ptxas = re.search(r"V([\d.]+)", tool("ptxas", "--version"))
    assert ptxas
    return f"triton {triton.__version__}, ptxas {ptxas[1]}"


def specialized(kernel: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> ASTSource:
    """The source as a launch with these arguments specializes it: numbers equal to 1 are constants, and arrays and
    numbers are known to be multiples of 16 where they are.
    """
    given = dict(zip(kernel.arg_names, arguments, strict=False))
    given |= {name: value for name, value in options.items() if name in kernel.arg_names}
    constant = {p.name for p in kernel.params if p.is_constexpr}
    signature, constants, attributes = {}, {}, {}
    for place, name in enumerate(kernel.arg_names):
        value = given[name]
        if name in constant or value is None or (isinstance(value, int) and value == 1):
            signature[name], constants[(place,)] = "constexpr", value
        elif isinstance(value, torch.Tensor):
            signature[name] = TYPES[value.dtype]
            attributes[(place,)] = [["tt.divisibility", 16]]
        elif isinstance(value, float):
            signature[name] = "fp32"
        else:
            signature[name] = "i32" if -(2**31) <= value < 2**31 else "i64"
            if value % 16 == 0:
                attributes[(place,)] = [["tt.divisibility", 16]]
    return ASTSource(kernel, signature, constants, attributes)


def compiled(kernel: Any, arguments: tuple[Any, ...], options: dict[str, Any], capability: int) -> Any:
    known = {name: value for name, value in options.items() if name not in kernel.arg_names}
    known = {"num_warps": 4} | known
    source = specialized(kernel, arguments, options)
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=known)


def instructions_of(sass: str) -> tuple[list[Instruction], dict[str, int]]:
    """The instructions of a disassembly, and the place of the first one after each label."""
    found: list[Instruction] = []
    labels: dict[str, int] = {}
    for line in sass.splitlines():
        if label := LABEL.match(line):
            labels[label[1]] = len(found)
        elif m := INSTRUCTION.search(line):
            found.append(Instruction(int(m[1], 16), m[2] is not None, m[3], m[4]))
    return found, labels


def successors(code: list[Instruction], labels: dict[str, int], k: int) -> Iterator[int]:
    """Where control goes after instruction k."""
    opcode, target = code[k].opcode, TARGET.search(code[k].operands)
    name = opcode.split(".")[0]
    ends = name in ("EXIT", "RET", "BRA") and not code[k].predicated and opcode != "BRA.DIV"
    if name == "BRA" and target:
        yield labels[target[1]]
    if not (ends and (name != "BRA" or not re.match(r"!?U?P\d", code[k].operands))) and k + 1 < len(code):
        yield k + 1


def main_path(code: list[Instruction], labels: dict[str, int], has_loops: bool) -> list[int]:
    """The places of the instructions of the shortest way from the entry to the last store and on to the end, through
    every loop that loads, if there are loops.
    """
    stops = [max(k for k, i in enumerate(code) if i.is_global("ST"))]
    if has_loops:
        ends = {k: labels[m[1]] for k, i in enumerate(code) if i.predicated and (m := TARGET.search(i.operands))}
        loops = [(first, k) for k, first in ends.items() if any(i.is_global("LD") for i in code[first:k])]
        stops = list(itertools.chain(*sorted(loops)))

    def way(start: int, is_end: Any) -> list[int]:
        queue, before = [(0, start, start)], {}
        while queue:
            cost, k, origin = heapq.heappop(queue)
            if k in before:
                continue
            before[k] = origin
            if is_end(k):
                steps = [k]
                while steps[-1] != start:
                    steps.append(before[steps[-1]])
                return steps[::-1]
            step = 1000 if code[k].opcode.startswith("CALL") else 1  # calls are the slow ways of divisions and roots
            for following in successors(code, labels, k):
                heapq.heappush(queue, (cost + step, following, k))
        raise ValueError("no way to the end")

    path = [0]
    for stop in stops:
        path += way(path[-1], lambda k, stop=stop: k == stop)[1:]
    return path + way(path[-1], lambda k: code[k].opcode == "EXIT" and not code[k].predicated)[1:]


def loops_of(code: list[Instruction], labels: dict[str, int], path: list[int]) -> list[list[int]]:
    """The instructions of each loop on the path: it ends with a branch to an earlier one."""
    place = {k: n for n, k in enumerate(path)}
    found = []
    for n, k in enumerate(path):
        target = TARGET.search(code[k].operands)
        if code[k].opcode.startswith("BRA") and target and place.get(labels[target[1]], n + 1) <= n:
            found.append(path[place[labels[target[1]]] : n + 1])
    return found


def count(sass: str, resources: str, warps: int, bits: int) -> Code:
    """Count the main path. `bits` is what a thread loads of the large array in each loop."""
    code, labels = instructions_of(sass)
    path = main_path(code, labels, bits > 0)
    times = dict.fromkeys(path, 1.0)
    for inside in loops_of(code, labels, path):
        loaded = sum(code[k].width for k in inside if code[k].is_global("LD"))
        for k in inside:
            times[k] *= bits / loaded if loaded else 1
    pipes: Counter[str] = Counter()
    accesses: Counter[str] = Counter()
    for k in path:
        assert not code[k].opcode.startswith("CALL"), "the main path calls a function"
        pipes[code[k].pipe] += times[k]  # type: ignore[assignment]
        if code[k].is_global("LD") or code[k].is_global("ST"):
            accesses[f"{code[k].opcode[:3]} {code[k].width}"] += 1
    registers, stack = re.search(r"REG:(\d+)", resources), re.search(r"STACK:(\d+)", resources)
    assert registers
    assert stack
    return Code(pipes, accesses, int(registers[1]), int(stack[1]), warps, [code[k] for k in path])


def measured(kernel: Any, arguments: tuple[Any, ...], options: dict[str, Any], capability: int, bits: int = 0) -> Code:
    result = compiled(kernel, arguments, options, capability)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(result.asm["cubin"])
        file.flush()
        sass, resources = tool("nvdisasm", "-c", file.name), tool("cuobjdump", "--dump-resource-usage", file.name)
    return count(sass, resources, options.get("num_warps", 4), bits)
