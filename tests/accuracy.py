"""How far each framework is from the golden numbers, as a share of the contract's bound.

``python tests/accuracy.py`` prints the table that the documentation quotes; test_numbers.py asserts that no share
exceeds 1. The bound of a quantity with exact value x is

    (8 + 2 * gamma * |z|) * eps * scale(x) + underflow

eps is that of float32 or float64; half precision has float32's, and half a unit in the last place of its own for the
one rounding. `scale` is |x|, or the sum of the magnitudes of x's terms where they cancel: near a zero of a sum no
algorithm in working precision has a small error relative to the sum. `underflow` is the precision lost where p, q or a
power is below the smallest normal number, which XLA and Eigen flush to zero: (1 + gamma)^2 |log of it| times that
number, as p stands in the Hessian beside gamma^2 L; |z| in place of the logarithm in the mix, where a power that small
may multiply a loss of |z|; times a weight above 1. In half precision, which keeps subnormals, it is one more of those.

Gamma |z| is the exponent of a power, which is 0 where the exponent exceeds the logarithm of the smallest number. So
gamma |z| counts at most as twice that logarithm, and one gamma of the underflow at most as the logarithm itself.

In a softmax z is the largest difference of two logits and 2 gamma is 2 (gamma + 1), because rounding v_j - v_t alone
moves 1 - p_t by |z| eps / 2 at gamma = 0; a sum of K terms adds K.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from cases import FRAMEWORKS, Arrays, Framework

from focal_loss import set_checks

GOLDEN = Path(__file__).parent / "golden"
HALF = ("float16", "bfloat16")


@cache
def golden() -> dict[str, list[dict[str, Any]]]:
    files = ("golden.json", "smoothed.json", "extremes.json", "family.json")
    return {section: rows for file in files for section, rows in json.loads((GOLDEN / file).read_text()).items()}


@dataclass(frozen=True)
class Exact:
    """Exact numbers as sums of two float64, more precise than any float64 result."""

    high: np.ndarray
    low: np.ndarray

    @classmethod
    def of(cls, strings: Any) -> Exact:
        decimals = [Decimal(s) for s in np.ravel(strings)]
        high = [float(d) for d in decimals]
        low = [float(d - Decimal(h)) if abs(h) < float("inf") else 0.0 for d, h in zip(decimals, high, strict=True)]
        shape = np.shape(strings)
        return cls(np.reshape(high, shape), np.reshape(low, shape))

    def error(self, value: np.ndarray) -> np.ndarray:
        return np.abs((value - self.high) - self.low)


@dataclass(frozen=True)
class Worst:
    error_ratio: float
    where: str


def error_ratio(
    value: np.ndarray,
    exact: Exact,
    scale: np.ndarray,
    terms: np.ndarray,
    gamma: np.ndarray,
    dtype: str,
    exponent: np.ndarray | float = 0.0,
    weight: np.ndarray | float = 1.0,
    loss: np.ndarray | float = 0.0,
):
    """The error as a share of the bound, whose factor of eps * scale is `terms` + 2 `exponent`.

    `exponent` is gamma |z|, and `terms` is 8 or its equivalent. `loss` is a factor of a power that underflows, if it
    can exceed the logarithm of the smallest number.
    """
    wide = "float32" if dtype in HALF else dtype
    tiny = np.finfo(wide).tiny
    reach = -np.log(tiny)
    row_factor = terms + 2 * np.minimum(exponent, 2 * reach)
    # No golden number has a larger gamma where p is below the smallest normal number, whose lost bits gamma
    # multiplies.
    steep = (1 + np.minimum(gamma, 1e20)) * (1 + np.minimum(gamma, reach))
    underflow = np.maximum(weight, 1) * steep * np.maximum(reach, loss) * tiny
    bound = row_factor * np.finfo(wide).eps * scale + underflow
    if dtype in HALF:
        info = ml_dtypes.finfo(dtype)
        bound = bound + float(info.eps) / 2 * np.abs(exact.high) + float(info.smallest_subnormal)
    overflow = (np.abs(exact.high) > float(ml_dtypes.finfo(dtype).max)) & np.isinf(value)
    return np.where(overflow, 0.0, exact.error(value) / bound)


def factor(row: dict[str, Any]) -> tuple[float, float]:
    """`terms` and `exponent` of `error_ratio`; see the top of this file for a softmax."""
    gamma = np.max(row["gamma"])
    if "z" in row:
        return 8, gamma * abs(row["z"])
    if np.ndim(row.get("x")) == 0 and "x" in row:
        return 8, gamma * 16.2  # the clamp is a logit of 16.118
    v = np.array(row["v"] if "v" in row else np.log(np.clip(row["x"], 1e-7, None)))
    distance = v.max() - v.min()
    return 8 + len(v) + 2 * distance, gamma * distance


def rows_of(section: str, framework: Framework, dtype: str) -> list[dict[str, Any]]:
    """The rows whose inputs are exact in the dtype.

    Gamma and weights must be exact in the dtype of the computation, except in NumPy, where they may be any number.
    Threads of JAX and TensorFlow read a label that is a subnormal float as 0.
    """
    needed, wide = ("half", "float32") if dtype in HALF else ("single", dtype)
    rows = [row for row in golden()[section] if dtype == "float64" or row.get(needed, needed == "single")]
    if framework.name == "numpy":
        return rows
    rows = [row for row in rows if representable(row, wide)]
    return rows if framework.name == "torch" else [row for row in rows if not has_subnormal_label(row, wide)]


def has_subnormal_label(row: dict[str, Any], dtype: str) -> bool:
    labels = np.ravel(row["y"] or 0.0) if "y" in row else np.zeros(1)
    return bool(np.any((labels > 0) & (labels < np.finfo(dtype).tiny)))


def rows_by(
    section: str, *keys: str, framework: Framework, dtype: str
) -> Iterator[tuple[tuple[Any, ...], list[dict[str, Any]]]]:
    """Rows that share static options, so that each framework computes them in one call."""
    groups = defaultdict(list)
    for row in rows_of(section, framework, dtype):
        groups[tuple(json.dumps(row.get(k)) for k in keys)].append(row)
    for key, rows in groups.items():
        yield tuple(json.loads(k) for k in key), rows


def column(rows: list[dict[str, Any]], name: str) -> np.ndarray:
    return np.array([row[name] for row in rows], np.float64)


def representable(row: dict[str, Any], dtype: str) -> bool:
    """Whether gamma and the weights of a row can be tensors of the dtype."""
    numbers = np.concatenate([np.ravel(row[name] or 0.0) for name in ("gamma", "w", "alpha", "beta") if name in row])
    if dtype in HALF:
        with np.errstate(over="ignore", under="ignore"):
            return bool(np.all(numbers.astype(getattr(ml_dtypes, dtype, dtype)) == numbers))
    return bool(np.all(numbers <= np.finfo(dtype).max))


def by_length(section: str, name: str, framework: Framework, dtype: str) -> Iterator[list[dict[str, Any]]]:
    """Rows with the same number of classes."""
    rows = rows_of(section, framework, dtype)
    for length in sorted({len(row[name]) for row in rows}):
        yield [row for row in rows if len(row[name]) == length]


def compare(
    result: Arrays, rows: list[dict[str, Any]], names: dict[str, str], dtype: str, note: str
) -> Iterator[tuple[str, Worst]]:
    """The error ratios of results. `names` maps a quantity of the golden rows to the key of the computed result."""
    for quantity, key in names.items():
        if key not in result:
            continue
        truth = Exact.of([row[quantity] for row in rows])
        scales = Exact.of([row.get("scale", {}).get(quantity) or row[quantity] for row in rows])
        scale = np.maximum(np.abs(scales.high), np.abs(truth.high))
        value = result[key].reshape(truth.high.shape)
        tall = (-1, *(1,) * (value.ndim - 1))
        with np.errstate(over="ignore", invalid="ignore"):
            columns = [
                (*factor(row), np.max(row["gamma"]), np.max(row.get("w", 1.0)), abs(row["z"]) if "alpha" in row else 0)
                for row in rows
            ]
            terms, exponents, gammas, *more = (np.reshape(column, tall) for column in zip(*columns, strict=True))
            error_ratios = error_ratio(value, truth, scale, terms, gammas, dtype, exponents, *more)
        k = np.unravel_index(np.argmax(np.where(np.isnan(error_ratios), np.inf, error_ratios)), error_ratios.shape)
        row = {name: x for name, x in rows[k[0]].items() if name in ("z", "x", "v", "y", "t", "w", "gamma", "alpha")}
        yield quantity, Worst(float(error_ratios[k]), f"{note} {row} got {value[k]!r}, not {truth.high[k]!r}")


# ---------------------------------------------------------------------------------------------------------------
# Sections of the golden file
# ---------------------------------------------------------------------------------------------------------------


SOME_GAMMAS = (0.0, 0.5, 2.0, 7.3)


def static(framework: Framework, gamma: float) -> bool:
    """Whether to pass a gamma as a Python number. Under XLA each number is a compilation, so a few stand for all."""
    return framework.name != "jax" or gamma in SOME_GAMMAS


def binary(framework: Framework, dtype: str, section: str = "binary") -> Iterator[tuple[str, Worst]]:
    loss = framework.module.binary_focal_loss
    names = {"value": "value", "dz": "y_pred", "dy": "y_true", "dzz": "second"}
    for (gamma, weight), rows in rows_by(section, "gamma", "w", framework=framework, dtype=dtype):
        if not static(framework, gamma):
            continue

        def function(gamma=gamma, weight=weight, **tensors: Any) -> Any:
            return loss(**tensors, gamma=gamma, pos_weight=weight, from_logits=True)

        arrays = {"y_pred": column(rows, "z"), "y_true": column(rows, "y")}
        result = framework.derivatives(function, arrays, dtype)
        yield from compare(result, rows, names, dtype, f"gamma={gamma} pos_weight={weight}")
    # gamma and the weight as arrays: the general power, and their own derivatives
    rows = [row for row in rows_of(section, framework, dtype) if representable(row, dtype)]
    arrays = {"y_pred": column(rows, "z"), "y_true": column(rows, "y")}
    arrays |= {"gamma": column(rows, "gamma"), "pos_weight": column(rows, "w")}
    result = framework.derivatives(lambda **t: loss(**t, from_logits=True), arrays, dtype)
    yield from compare(result, rows, names | {"dgamma": "gamma", "dw": "pos_weight"}, dtype, "gamma as array")


def hard(framework: Framework, dtype: str, section: str = "binary") -> Iterator[tuple[str, Worst]]:
    """Boolean labels, which take a branch of their own."""
    loss = framework.module.binary_focal_loss
    for (gamma, weight), rows in rows_by(section, "gamma", "w", framework=framework, dtype=dtype):
        if not static(framework, gamma):
            continue
        rows = [row for row in rows if row["y"] in (0, 1)]
        y_true = column(rows, "y") == 1

        def function(y_pred: Any, y_true=y_true, gamma=gamma, weight=weight) -> Any:
            return loss(y_true, y_pred, gamma, pos_weight=weight, from_logits=True)

        if framework.name == "numpy":
            z = framework.tensor(column(rows, "z"), dtype)
            triple = framework.module.binary_focal_loss_derivatives(y_true, z, gamma, pos_weight=weight)
            result = {k: framework.numpy(v) for k, v in zip(("value", "y_pred", "second"), triple, strict=True)}
        else:
            result = framework.derivatives(function, {"y_pred": column(rows, "z")}, dtype)
        names = {"value": "value", "dz": "y_pred", "dzz": "second"}
        yield from compare(result, rows, names, dtype, f"gamma={gamma} hard")


def p_t_loss(framework: Framework, dtype: str, section: str = "p_t_loss") -> Iterator[tuple[str, Worst]]:
    loss = framework.module.binary_focal_crossentropy
    names = {"value": "value", "dz": "y_pred", "dy": "y_true", "dzz": "second"}
    for (gamma, alpha), rows in rows_by(section, "gamma", "alpha", framework=framework, dtype=dtype):
        if not static(framework, gamma):
            continue

        def function(gamma=gamma, alpha=alpha, **tensors: Any) -> Any:
            weights = {"apply_class_balancing": alpha is not None, "alpha": 0.25 if alpha is None else alpha}
            return loss(**tensors, gamma=gamma, from_logits=True, **weights)

        # one example per row, so that the mean over the last axis is that example
        arrays = {"y_pred": column(rows, "z")[:, None], "y_true": column(rows, "y")[:, None]}
        result = framework.derivatives(function, arrays, dtype)
        yield from compare(result, rows, names, dtype, f"gamma={gamma} alpha={alpha}")
    rows = [row for row in rows_of(section, framework, dtype) if row["alpha"] is not None and representable(row, dtype)]
    arrays = {"y_pred": column(rows, "z")[:, None], "y_true": column(rows, "y")[:, None]}
    arrays |= {"gamma": column(rows, "gamma")[:, None], "alpha": column(rows, "alpha")[:, None]}
    result = framework.derivatives(lambda **t: loss(**t, from_logits=True, apply_class_balancing=True), arrays, dtype)
    yield from compare(result, rows, names | {"dgamma": "gamma", "dalpha": "alpha"}, dtype, "gamma as array")


def quality(framework: Framework, dtype: str) -> Iterator[tuple[str, Worst]]:
    loss = framework.module.quality_focal_loss
    names = {"value": "value", "dz": "y_pred", "dy": "y_true", "dzz": "second"}
    for (beta,), rows in rows_by("quality", "gamma", framework=framework, dtype=dtype):
        if not static(framework, beta):
            continue
        arrays = {"y_pred": column(rows, "z"), "y_true": column(rows, "y")}
        result = framework.derivatives(lambda beta=beta, **t: loss(**t, beta=beta, from_logits=True), arrays, dtype)
        yield from compare(result, rows, names, dtype, f"beta={beta}")
    rows = [row for row in rows_of("quality", framework, dtype) if representable(row, dtype)]
    arrays = {"y_pred": column(rows, "z"), "y_true": column(rows, "y"), "beta": column(rows, "gamma")}
    result = framework.derivatives(lambda **t: loss(**t, from_logits=True), arrays, dtype)
    yield from compare(result, rows, names | {"dgamma": "beta"}, dtype, "beta as array")


def probability(framework: Framework, dtype: str) -> Iterator[tuple[str, Worst]]:
    for (name, gamma), rows in rows_by("probability", "loss", "gamma", framework=framework, dtype=dtype):
        if not static(framework, gamma):
            continue
        loss = getattr(framework.module, {"expected_loss": "binary_focal_loss"}.get(name, "binary_focal_crossentropy"))

        def function(loss=loss, gamma=gamma, **tensors: Any) -> Any:
            return loss(**tensors, gamma=gamma)

        arrays = {"y_pred": column(rows, "x")[:, None], "y_true": column(rows, "y")[:, None]}
        result = framework.derivatives(function, arrays, dtype, second=False)
        yield from compare(result, rows, {"value": "value", "dx": "y_pred"}, dtype, f"{name} gamma={gamma}")


def softmax(framework: Framework, dtype: str, section: str = "softmax") -> Iterator[tuple[str, Worst]]:
    """Sparse labels. Each row has parameters of its own, which the framework takes as numbers or maps over."""
    loss = framework.module.sparse_categorical_focal_loss
    for rows in by_length(section, "v", framework, dtype):

        def function(y_pred: Any, t: Any, gamma: Any, w: Any) -> Any:
            return loss(t, y_pred, gamma, class_weight=w, from_logits=True)

        parameters = {"t": column(rows, "t").astype(int), "gamma": column(rows, "gamma"), "w": column(rows, "w")}
        if framework.name == "numpy":
            derivatives = framework.module.sparse_categorical_focal_loss_derivatives
            triples = [
                derivatives(row["t"], framework.tensor(row["v"], dtype), row["gamma"], class_weight=row["w"])
                for row in rows
            ]
            columns = (np.stack([framework.numpy(x) for x in part]) for part in zip(*triples, strict=True))
            result = dict(zip(("value", "y_pred", "second"), columns, strict=True))
        else:
            result = framework.per_row(function, column(rows, "v"), parameters, dtype)
        names = {"value": "value", "gradient": "y_pred", "hessian": "second"}
        yield from compare(result, rows, names, dtype, "")


def of_examples(framework: Framework, dtype: str) -> Iterator[tuple[str, Worst]]:
    """The rows of `softmax` in one call, with gamma as an array of one for each, and its derivative."""
    loss = framework.module.sparse_categorical_focal_loss
    for rows in by_length("softmax", "v", framework, dtype):
        rows = [row for row in rows if row["w"] == 1 and representable(row, dtype)]
        if not rows:
            continue
        labels = column(rows, "t").astype(int)

        def function(y_pred: Any, gamma: Any, labels=labels) -> Any:
            return loss(labels, y_pred, gamma, from_logits=True)

        arrays = {"y_pred": column(rows, "v"), "gamma": column(rows, "gamma")[:, None]}
        result = framework.derivatives(function, arrays, dtype, second=False)
        names = {"value": "value", "gradient": "y_pred", "dgamma": "gamma"}
        yield from compare(result, rows, names, dtype, "gamma per example")


def dense(framework: Framework, dtype: str, section: str = "dense") -> Iterator[tuple[str, Worst]]:
    loss = framework.module.categorical_focal_loss
    for rows in by_length(section, "v", framework, dtype):

        def function(y_pred: Any, y: Any, gamma: Any, w: Any) -> Any:
            return loss(y, y_pred, gamma, class_weight=w, from_logits=True)

        parameters = {name: column(rows, name) for name in ("y", "gamma", "w")}
        result = framework.per_row(function, column(rows, "v"), parameters, dtype)
        yield from compare(result, rows, {"value": "value", "gradient": "y_pred"}, dtype, "")


def smoothed(framework: Framework, dtype: str) -> Iterator[tuple[str, Worst]]:
    """Class indices under label smoothing, which is a number in every framework."""
    loss = framework.module.sparse_categorical_focal_loss
    for (smoothing, _), rows in rows_by("smoothed", "smoothing", "size", framework=framework, dtype=dtype):

        def function(y_pred: Any, t: Any, gamma: Any, w: Any, smoothing=smoothing) -> Any:
            return loss(t, y_pred, gamma, class_weight=w, from_logits=True, label_smoothing=smoothing)

        parameters = {"t": column(rows, "t").astype(int), "gamma": column(rows, "gamma"), "w": column(rows, "w")}
        result = framework.per_row(function, column(rows, "v"), parameters, dtype)
        yield from compare(result, rows, {"value": "value", "gradient": "y_pred"}, dtype, f"smoothing={smoothing}")


def categorical_probability(framework: Framework, dtype: str) -> Iterator[tuple[str, Worst]]:
    module = framework.module
    for rows in by_length("categorical_probability", "x", framework, dtype):
        for label, loss in (("t", module.sparse_categorical_focal_loss), ("y", module.categorical_focal_loss)):
            some = [row for row in rows if row[label] is not None]
            if not some:
                continue

            def function(y_pred: Any, label: Any, gamma: Any, w: Any, loss=loss) -> Any:
                return loss(label, y_pred, gamma, class_weight=w)

            labels = column(some, label).astype(int if label == "t" else float)
            parameters = {"label": labels, "gamma": column(some, "gamma"), "w": column(some, "w")}
            result = framework.per_row(function, column(some, "x"), parameters, dtype)
            yield from compare(result, some, {"value": "value", "gradient": "y_pred"}, dtype, "")


def binary_extremes(framework: Framework, dtype: str) -> Iterator[tuple[str, Worst]]:
    yield from binary(framework, dtype, "binary_extremes")


def hard_extremes(framework: Framework, dtype: str) -> Iterator[tuple[str, Worst]]:
    yield from hard(framework, dtype, "binary_extremes")


def p_t_loss_extremes(framework: Framework, dtype: str) -> Iterator[tuple[str, Worst]]:
    yield from p_t_loss(framework, dtype, "p_t_loss_extremes")


def softmax_extremes(framework: Framework, dtype: str) -> Iterator[tuple[str, Worst]]:
    yield from softmax(framework, dtype, "softmax_extremes")


def dense_extremes(framework: Framework, dtype: str) -> Iterator[tuple[str, Worst]]:
    yield from dense(framework, dtype, "dense_extremes")


EXTREMES = [binary_extremes, hard_extremes, p_t_loss_extremes, softmax_extremes, dense_extremes]
SECTIONS = [
    binary,
    hard,
    p_t_loss,
    quality,
    probability,
    softmax,
    dense,
    categorical_probability,
    smoothed,
    of_examples,
]


def worst(framework: Framework, dtype: str, section: Any) -> dict[str, Worst]:
    """The worst error ratio of each quantity of a section."""
    result: dict[str, Worst] = {}
    for quantity, found in section(framework, dtype):
        if quantity not in result or not found.error_ratio <= result[quantity].error_ratio:
            result[quantity] = found
    return result


if __name__ == "__main__":
    from accuracy_family import FAMILY

    set_checks(False)  # the probabilities of some rows need not sum to 1, and hold numbers above it
    for framework in FRAMEWORKS:
        for dtype in framework.dtypes:
            for section in SECTIONS + EXTREMES + FAMILY:
                for quantity, found in worst(framework, dtype, section).items():
                    row = f"{framework.name:11}{dtype:9}{section.__name__:24}{quantity:9}{found.error_ratio:8.3f}"
                    print(f"{row}  {found.where}")
