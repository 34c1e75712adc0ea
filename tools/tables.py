"""Writes the constants that C++, Triton and Python share: coefficients, limits, powers, the order of the dtypes.

`make tables` runs it. It writes plain source between two marks. `python tools/tables.py --check` writes nothing, and
fails if a file would change.
"""

from __future__ import annotations

import struct
from decimal import Decimal, localcontext
from pathlib import Path
from typing import NamedTuple

from marks import PACKAGE, ROOT, write, written

# ---------------------------------------------------------------------------------------------------------------
# The facts
# ---------------------------------------------------------------------------------------------------------------


class DType(NamedTuple):
    """A dtype that the kernels read or write."""

    name: str  # NumPy's
    native: str  # the name in C++ and in XLA
    size: int  # in bytes
    storage: str  # the C++ type of its elements
    tensorflow: str  # the name in tensorflow_abi.hpp
    attribute: str  # the name in the signature of a TensorFlow op


# Floating dtypes come first. The code of a dtype is its position.
DTYPES = (
    DType("float32", "f32", 4, "float", "float32", "float"),
    DType("float64", "f64", 8, "double", "float64", "double"),
    DType("float16", "f16", 2, "Half", "half", "half"),
    DType("bfloat16", "bf16", 2, "BFloat", "bfloat16", "bfloat16"),
    DType("bool", "boolean", 1, "uint8_t", "boolean", "bool"),
    DType("uint8", "u8", 1, "uint8_t", "uint8", "uint8"),
    DType("int8", "i8", 1, "int8_t", "int8", "int8"),
    DType("int16", "i16", 2, "int16_t", "int16", "int16"),
    DType("int32", "i32", 4, "int32_t", "int32", "int32"),
    DType("int64", "i64", 8, "int64_t", "int64", "int64"),
)
FLOATING = 4
MAX_RANK = 16

# The gammas with a power of their own, products and a square root, as 2 gamma. They are those of the kernels. The
# formula, whose loop over the bits of gamma needs no code for each, takes every half-integer up to the largest.
POWERS = (0, 1, 2, 3, 4, 5, 6, 8, 10)

# The binary losses that the native kernels know. The code of one is its position.
FAMILIES = (
    "expected_loss",
    "p_t_loss",
    "quality",
    "asymmetric",
    "poly1",
    "varifocal",
    "matchability",
    "penalty_reduced",
)

# Limits of a power computed by an exponential.
BEYOND = "1e30"  # from this exponent on the power is 0
SPLITTABLE = "1e18"  # the largest gamma for Dekker's splitting
FAR = "1000"  # a multiple of the exponent where exp is 0

LOG2_E = "1.44269504088896340736"


class Machine(NamedTuple):
    """A floating dtype of computations."""

    name: str
    mantissa: int
    bias: int
    exp_limit: int  # exp(-exp_limit) rounds to 0
    normal_exp: int  # exp(-normal_exp) is above the smallest normal number
    ln2_bits: int  # bits of the high part of ln 2, few enough for exact products with an exponent
    # Minimax polynomials, lowest power first. `python native/coefficients.py` makes and prints them.
    exp_tail: tuple[str, ...]  # (e^r - 1 - r) / r^2 for |r| <= ln(2) / 2
    log1p_tail: tuple[str, ...]  # (u - log(1 + u)) / u^2 for u in [0, 1]

    @property
    def suffix(self) -> str:
        return "f" if self.name == "float" else ""

    @property
    def largest(self) -> float:
        return (2 - 2.0**-self.mantissa) * 2.0**self.bias

    @property
    def smallest(self) -> float:
        return 2.0 ** (1 - self.bias)

    @property
    def round(self) -> float:
        """A number that rounds another to an integer when added: the integer is in the low bits of the sum."""
        return 1.5 * 2.0**self.mantissa

    @property
    def ln2(self) -> tuple[float, float]:
        """ln 2 as a sum of two parts, the low one given as a double."""
        with localcontext(prec=60):
            whole = Decimal(2).ln()
            high = Decimal(int(whole * 2**self.ln2_bits)) / 2**self.ln2_bits
            return float(high), float(whole - high)

    def rounded(self, value: float) -> float:
        return float(struct.unpack("f", struct.pack("f", value))[0]) if self.suffix else value

    def bits(self, value: float) -> int:
        """The bits of a float32."""
        return int(struct.unpack("I", struct.pack("f", value))[0])


FLOAT = Machine(
    "float",
    mantissa=23,
    bias=127,
    exp_limit=104,
    normal_exp=87,
    ln2_bits=15,
    exp_tail=(
        "0.49999993688676261576",
        "0.16666521387432108594",
        "0.041668340581161919017",
        "0.0083686466331062650711",
        "0.0013816859037436928169",
    ),
    log1p_tail=(
        "0.49999971829186297653",
        "-0.33331627393897118191",
        "0.2496997042710400612",
        "-0.19752894262683329934",
        "0.15518405723534032821",
        "-0.10952489424910898129",
        "0.060313681679495690646",
        "-0.021599024443337370276",
        "0.0036247987442554280582",
    ),
)
DOUBLE = Machine(
    "double",
    mantissa=52,
    bias=1023,
    exp_limit=746,
    normal_exp=708,
    ln2_bits=42,
    exp_tail=(
        "0.50000000000000099689",
        "0.16666666666666422218",
        "0.041666666666534823235",
        "0.0083333333334902577875",
        "0.0013888888942553338531",
        "0.00019841269512737795229",
        "0.000024801494103513902368",
        "2.7557582771213457093e-6",
        "2.7629920294631955156e-7",
        "2.5000748419555025143e-8",
    ),
    log1p_tail=(
        "0.49999999999999990793",
        "-0.33333333333328589644",
        "0.24999999999498765626",
        "-0.19999999976911372117",
        "0.16666666069834025103",
        "-0.14285704444254889054",
        "0.12499888174073638132",
        "-0.11110189576421818098",
        "0.09994290510721910718",
        "-0.090636018843154063937",
        "0.082304638593269026028",
        "-0.073821773070506836831",
        "0.06384499128437254306",
        "-0.051436939640769499522",
        "0.037043180955948617271",
        "-0.022813644676659027418",
        "0.011464877657006222691",
        "-0.0044540986072304154253",
        "0.0012434058188275084835",
        "-0.00022057068793516123688",
        "0.0000185964247691646212",
    ),
)

# log(1 + u) / u for u in [0, 1/8], with an error of 2^-21.6 of it.
ROUGH_LOG1P = ("0.999999693614", "-0.499920621378", "0.330086152157", "-0.206446343527")

# ---------------------------------------------------------------------------------------------------------------
# C++
# ---------------------------------------------------------------------------------------------------------------


def listed(values: tuple[str, ...], suffix: str) -> str:
    whole = [value + suffix for value in values]
    return ",\n".join("      " + ", ".join(whole[k : k + 3]) for k in range(0, len(whole), 3))


def traits(m: Machine) -> str:
    constants = (
        ("largest", m.largest, "the largest number"),
        ("smallest", m.smallest, "the smallest normal number"),
        ("round", m.round, f"1.5 * 2^{m.mantissa}: adding it rounds to an integer"),
        ("log2_e", LOG2_E, "1 / ln 2"),
        ("exp_limit", float(m.exp_limit), f"exp(-{m.exp_limit}) rounds to 0"),
        ("normal_exp", float(m.normal_exp), f"exp(-{m.normal_exp}) is above the smallest normal number"),
        ("ln2_hi", m.ln2[0], f"{m.ln2_bits} bits: n * ln2_hi is exact"),
        ("ln2_lo", m.rounded(m.ln2[1]), "the rest of ln 2"),
    )
    text = f"  static constexpr int mantissa = {m.mantissa}, bias = {m.bias};\n"
    for name, value, what in constants:
        text += f"  static constexpr {m.name} {name} = {value}{m.suffix};  // {what}\n"
    for name, values in (("exp_tail", m.exp_tail), ("log1p_tail", m.log1p_tail)):
        text += f"  static constexpr {m.name} {name}[] = {{\n{listed(values, m.suffix)}}};\n"
    return text


def dtype_enum() -> str:
    return (
        f"enum class DType : int {{ {', '.join(d.native for d in DTYPES)} }};\n"
        f"constexpr int max_rank = {MAX_RANK};\n\n"
        "// In bytes.\n"
        "inline int64_t item_size(DType dtype) {\n"
        f"  constexpr int64_t sizes[] = {{{', '.join(str(d.size) for d in DTYPES)}}};\n"
        "  return sizes[int(dtype)];\n"
        "}\n"
    )


def storage_cases() -> str:
    text = ""
    for d, following in zip(DTYPES, (*DTYPES[1:], None), strict=True):
        same = following is not None and following.storage == d.storage
        text += f"    case DType::{d.native}:"
        text += "\n" if same else f" return function(static_cast<const {d.storage}*>(data));\n"
    return text


def attributes() -> str:
    floating = ", ".join(d.attribute for d in DTYPES[:FLOATING])
    every = ", ".join(d.attribute for d in DTYPES)
    return (
        f'constexpr char logits_type[] = "T: {{{floating}}}";\n'
        f'constexpr char upstream_type[] = "U: {{{floating}}}";\n'
        f'constexpr char label_type[] = "L: {{{every}}}";\n'
    )


def power_constants() -> str:
    return (
        "constexpr int any_power = -1;\n"
        f"constexpr int powers[] = {{{', '.join(map(str, POWERS))}}};\n"
        f"constexpr double far_exponents = {FAR};  // times exp_limit: beyond it only the size of an exponent matters\n"
        f"constexpr double power_is_zero = {BEYOND};  // from this exponent on, whatever is taken back\n"
        f"constexpr double splittable_gamma = {SPLITTABLE};  // a larger one is too large for Dekker's splitting\n"
    )


CPP = {
    "vector_math.hpp": {"float": traits(FLOAT), "double": traits(DOUBLE)},
    "scalar.hpp": {"powers": power_constants()},
    "blocks.hpp": {
        "powers": "".join(f"    case {n}: return loop_for_order<{n}>(labels, block, x, n);\n" for n in POWERS)
    },
    "kernels.hpp": {
        "dtypes": dtype_enum(),
        "families": f"enum class Family : int {{\n  {', '.join(FAMILIES)}\n}};\n",
    },
    "staging.hpp": {"dtypes": storage_cases()},
    "jax_ffi.cpp": {"dtypes": "".join(f"    case xla::Type::{d.native}: return DType::{d.native};\n" for d in DTYPES)},
    "tensorflow_op.cpp": {
        "dtypes": "".join(f"    case tf::{d.tensorflow}: return DType::{d.native};\n" for d in DTYPES),
        "attributes": attributes(),
    },
}

# ---------------------------------------------------------------------------------------------------------------
# Python
# ---------------------------------------------------------------------------------------------------------------


def horner(coefficients: tuple[str, ...], name: str, x: str, last: str) -> str:
    """The polynomial as fused multiplications and additions, the highest power first; `last` takes the result."""
    above = [f"    {name} = fma({x}, {coefficients[-1]}, {coefficients[-2]})\n"]
    above += [f"    {name} = fma({name}, {x}, {c})\n" for c in reversed(coefficients[1:-2])]
    return "".join(above) + f"    {last} fma({name}, {x}, {coefficients[0]})\n"


def triton_constants() -> str:
    m = FLOAT
    numbers = (
        ("ANY_POWER", "-1", "a gamma without a power of its own; the others are 2 gamma"),
        ("LARGEST", repr(m.largest), "the largest number"),
        ("SMALLEST", repr(m.smallest), "the smallest normal number"),
        ("LOG2_E", LOG2_E, "1 / ln 2"),
        ("ROUND", repr(m.round), f"1.5 * 2^{m.mantissa}: adding it rounds to an integer"),
        ("ROUND_BITS", hex(m.bits(m.round)), "the bits of that"),
        ("LN2_HI", repr(m.ln2[0]), f"{m.ln2_bits} bits: n * LN2_HI is exact"),
        ("LN2_LO", repr(m.rounded(m.ln2[1])), "the rest of ln 2"),
        ("LN2", repr(m.rounded(sum(m.ln2))), "ln 2, rounded"),
        ("LN2_REST", repr(m.rounded(m.ln2[0] - m.rounded(sum(m.ln2)) + m.ln2[1])), "the rest of that"),
        ("EXP_LIMIT", repr(float(m.exp_limit)), f"exp(-{m.exp_limit}) rounds to 0"),
        ("ORDINARY", repr(float(m.normal_exp)), f"exp(-{m.normal_exp}) is above the smallest normal number"),
        ("ORDINARY_BITS", hex(m.bits(m.normal_exp)), "the bits of that"),
        ("FAR", repr(float(FAR) * m.exp_limit), "beyond it only the size of an exponent matters"),
        ("POWER_IS_ZERO", BEYOND, "from this exponent on"),
        ("SPLITTABLE", SPLITTABLE, "a larger gamma is too large for Dekker's splitting"),
    )
    text = "".join(f"{name} = tl.constexpr({value})  # {what}\n" for name, value, what in numbers)
    return text + f"POWERS = {POWERS}  # the values of 2 gamma with a power of their own\n"


def python_tail() -> str:
    numbers = "".join(f"    {c},\n" for c in FLOAT.log1p_tail)
    return f"LOG1P_TAIL = (  # (u - log(1 + u)) / u^2 for u in [0, 1], to the precision of float32\n{numbers})\n"


PYTHON = {
    "_core/pipeline.py": {"families": f"KERNEL_FAMILIES = {FAMILIES}\n"},
    "_core/powers.py": {
        "powers": f"BY_PRODUCTS = {max(POWERS) / 2!r}  # the largest gamma whose power is products\n"
        f"LN2_HIGH, LN2_LOW = {FLOAT.ln2}  # {FLOAT.ln2_bits} bits and the rest: n * LN2_HIGH is exact\n"
    },
    "_core/sigmoid.py": {"log1p": python_tail()},
    "_host/kernels.py": {
        "dtypes": f"DTYPES = {tuple(d.name for d in DTYPES)}\nFLOATING = DTYPES[:{FLOATING}]\nMAX_RANK = {MAX_RANK}\n"
    },
    "torch/_triton/arithmetic.py": {
        "constants": triton_constants(),
        "exp": horner(FLOAT.exp_tail, "tail", "r", "return"),
        "log1p": horner(FLOAT.log1p_tail, "p", "u", "return"),
        "rough_log1p": horner(ROUGH_LOG1P, "p", "u", "p ="),
    },
    "torch/_triton/soft.py": {
        "families": "".join(f"{name.upper()} = tl.constexpr({code})\n" for code, name in enumerate(FAMILIES))
    },
}


def main() -> None:
    files: dict[Path, dict[str, str]] = {ROOT / "native" / name: parts for name, parts in CPP.items()}
    files |= {PACKAGE / name: parts for name, parts in PYTHON.items()}
    write({path: written(path, "tables", parts) for path, parts in files.items()}, "tables", "tools/tables.py states")


if __name__ == "__main__":
    main()
