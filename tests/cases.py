"""The one table of cases: every framework, and every loss with valid arguments.

A new framework is a row of `FRAMEWORKS`; the losses are those that are declared. The test files run each property over
both. A framework is imported by the function that needs it, so that a test of NumPy starts in a second.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

from focal_loss._core import declare, losses
from focal_loss._core.declare import REQUIRED
from focal_loss._core.losses import common

if TYPE_CHECKING:
    import jax
    import torch

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Framework:
    """A module of this package, and the operations of its framework that tests need."""

    name: str
    tensor: Callable[[Any, str], Any]  # an array, and the name of a dtype
    numpy: Callable[[Any], np.ndarray]
    derivatives: Callable[..., Arrays]  # (function, arrays, dtype) -> value, first derivatives, second in the first
    per_row: Callable[..., Arrays]  # (function, rows of predictions, rows of parameters, dtype) -> value and gradient
    dtypes: tuple[str, ...] = ("float32", "float64", "float16", "bfloat16")

    @cached_property
    def module(self) -> Any:
        return importlib.import_module(f"focal_loss.{self.name}")

    def __repr__(self) -> str:
        return self.name


# ---------------------------------------------------------------------------------------------------------------
# Derivatives of sum(function(**tensors)) by each framework's own machinery
# ---------------------------------------------------------------------------------------------------------------


def torch_derivatives(function: Callable[..., Any], arrays: Arrays, dtype: str, second: bool = True) -> Arrays:
    import torch

    tensors = {k: torch_tensor(v, dtype).requires_grad_() for k, v in arrays.items()}
    value = function(**tensors)
    first = torch.autograd.grad(value.sum(), list(tensors.values()), create_graph=second)
    result = dict(zip(tensors, first, strict=True)) | {"value": value}
    if second:
        result["second"] = torch.autograd.grad(first[0].sum(), next(iter(tensors.values())))[0]
    return {k: torch_numpy(v) for k, v in result.items()}


def enable_x64(on: bool) -> AbstractContextManager[None]:
    """`jax.enable_x64`, which JAX before 0.8 has under another name."""
    import jax

    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(on)
    from jax.experimental import enable_x64

    return enable_x64(on)


def jax_derivatives(function: Callable[..., Any], arrays: Arrays, dtype: str, second: bool = True) -> Arrays:
    import jax
    import jax.numpy as jnp

    name = next(iter(arrays))

    @jax.jit
    def compute(tensors: dict[str, jax.Array]) -> dict[str, jax.Array]:
        result = {"value": function(**tensors)} | jax.grad(lambda t: function(**t).sum())(tensors)
        if second:
            slope = jax.grad(lambda x: function(**(tensors | {name: x})).sum())
            result["second"] = jax.jvp(slope, (tensors[name],), (jnp.ones_like(tensors[name]),))[1]
        return result

    with enable_x64(dtype == "float64"):
        return {k: numpy_float64(v) for k, v in compute({k: jax_tensor(v, dtype) for k, v in arrays.items()}).items()}


def tensorflow_derivatives(function: Callable[..., Any], arrays: Arrays, dtype: str, second: bool = True) -> Arrays:
    import tensorflow as tf

    tensors = {k: tf.constant(v, dtype) for k, v in arrays.items()}
    name = next(iter(tensors))
    with tf.GradientTape() as outer:
        outer.watch(tensors[name])
        with tf.GradientTape() as inner:
            inner.watch(tensors)
            value = function(**tensors)
        result = {"value": value, **inner.gradient(value, tensors)}
    if second:
        result["second"] = outer.gradient(result[name], tensors[name])
    return {k: tensorflow_numpy(v) for k, v in result.items()}


def numpy_derivatives(function: Callable[..., Any], arrays: Arrays, dtype: str, second: bool = True) -> Arrays:
    """Values only: NumPy does not differentiate. Its closed-form derivatives are tested against the same golden
    numbers.
    """
    return {"value": numpy_float64(function(**{k: numpy_tensor(v, dtype) for k, v in arrays.items()}))}


def one_by_one(derivatives: Callable[..., Arrays]) -> Callable[..., Arrays]:
    """Compute rows in a loop, with parameters as Python numbers and host arrays."""

    def per_row(function: Callable[..., Any], y_pred: np.ndarray, parameters: Arrays, dtype: str) -> Arrays:
        results = []
        for k, row in enumerate(y_pred):
            options = {name: values[k] if values[k].ndim else values[k].item() for name, values in parameters.items()}
            results.append(derivatives(partial(function, **options), {"y_pred": row}, dtype, second=False))
        return {key: np.stack([result[key] for result in results]) for key in results[0]}

    return per_row


def jax_per_row(function: Callable[..., Any], y_pred: np.ndarray, parameters: Arrays, dtype: str) -> Arrays:
    """Compute rows by `vmap`, with parameters as tensors, in one compilation."""
    import jax
    import jax.numpy as jnp

    with enable_x64(dtype == "float64"):
        wide = "float64" if dtype == "float64" else "float32"
        tensors = {k: jnp.asarray(v, wide if v.dtype.kind == "f" else None) for k, v in parameters.items()}
        slope = jax.value_and_grad(lambda y_pred, tensors: function(y_pred, **tensors))
        value, gradient = jax.jit(jax.vmap(slope))(jax_tensor(y_pred, dtype), tensors)
        return {"value": numpy_float64(value), "y_pred": numpy_float64(gradient)}


def numpy_float64(x: Any) -> np.ndarray:
    return np.asarray(x).astype(np.float64)


def numpy_tensor(x: Any, dtype: str) -> np.ndarray:
    return np.asarray(x, getattr(ml_dtypes, dtype, dtype))


def torch_tensor(x: Any, dtype: str) -> torch.Tensor:
    import torch

    return torch.tensor(np.asarray(x), dtype=getattr(torch, dtype))


def torch_numpy(x: torch.Tensor) -> np.ndarray:
    import torch

    return x.detach().to(torch.float64).cpu().numpy()


def jax_tensor(x: Any, dtype: str) -> jax.Array:
    import jax.numpy as jnp

    return jnp.asarray(np.asarray(x), dtype)


def tensorflow_tensor(x: Any, dtype: str) -> Any:
    import tensorflow as tf

    return tf.constant(x, dtype)


def tensorflow_numpy(x: Any) -> np.ndarray:
    """A tensor as an array, also a bfloat16 scalar, which TensorFlow itself does not convert to one."""
    import tensorflow as tf

    return tf.cast(x, tf.float64).numpy()


FRAMEWORKS = [
    Framework("numpy", numpy_tensor, numpy_float64, numpy_derivatives, one_by_one(numpy_derivatives)),
    Framework("torch", torch_tensor, torch_numpy, torch_derivatives, one_by_one(torch_derivatives)),
    Framework("jax", jax_tensor, numpy_float64, jax_derivatives, jax_per_row),
    Framework(
        "tensorflow",
        tensorflow_tensor,
        tensorflow_numpy,
        tensorflow_derivatives,
        one_by_one(tensorflow_derivatives),
    ),
]
FRAMEWORK = {framework.name: framework for framework in FRAMEWORKS}
DIFFERENTIABLE = [framework for framework in FRAMEWORKS if framework.name != "numpy"]


# ---------------------------------------------------------------------------------------------------------------
# Losses
# ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Loss:
    """A loss with valid arguments."""

    declared: declare.Loss

    @property
    def name(self) -> str:
        return self.declared.name

    @property
    def y_true(self) -> Any:
        return np.array([0, 1]) if self.declared.layout == "sparse" else ONE_HOT

    @property
    def y_pred(self) -> Any:
        return LOGITS

    @property
    def options(self) -> dict[str, Any]:
        """Options that are required, and those that give every other option an effect."""
        required = [name for name, (_, default) in self.declared.options.declared().items() if default is REQUIRED]
        return dict.fromkeys(required, 2) | dict(self.declared.trial)

    @property
    def arrays(self) -> tuple[str, ...]:
        return self.declared.options.arrays

    @property
    def weight(self) -> str:
        """The option that holds weights, or, for a loss without weights, the option that may be an array."""
        return self.declared.options.weight_name or self.arrays[0]

    @property
    def focus(self) -> str:
        """The focusing parameter."""
        return next(name for name in self.arrays if name != self.declared.options.weight_name)

    @property
    def scales(self) -> dict[str, float]:
        """The options that are numbers: 1 for each, or 0.1 where the number is at most 1."""
        scale = {common.PARAMETER: 1.0, common.WEIGHT: 1.0, common.FRACTION: 0.1, common.SMOOTHING: 0.1}
        declared = self.declared.options.declared().items()
        return {name: scale[option.kind] for name, (option, _) in declared if option.kind in scale}

    def annealed(self, framework: Framework, y_true: Any) -> Callable[[Any, float], Any]:
        """The loss as a function of the predictions and of a value that all its numbers follow."""
        function, scales = getattr(framework.module, self.name), self.scales
        given = {"from_logits": True} | self.options
        return lambda x, value: function(y_true, x, **(given | {name: k * value for name, k in scales.items()}))

    def at(self, framework: Framework, y_true: Any) -> Callable[[Any], Any]:
        """The loss as a function of the predictions."""
        function, given = getattr(framework.module, self.name), {"from_logits": True} | self.options
        return lambda x: function(y_true, x, **given)

    def plain(self, xp: Any, y: Any, p: Any, q: Any, **options: Any) -> Any:
        """The formula of its notes, with the functions of an array module; q is 1 - p."""
        values = {name: default for name, (_, default) in self.declared.options.declared().items()}
        names = {name: getattr(xp, name) for name in ("abs", "log", "maximum", "minimum", "where")}
        return eval(self.declared.formula, names | values | self.options | options | {"y": y, "p": p, "q": q})

    @property
    def has_axis(self) -> bool:
        return "axis" in self.declared.options.declared()

    def __call__(self, framework: Framework, y_true: Any = None, y_pred: Any = None, **options: Any) -> Any:
        """The loss from logits, with framework tensors if `y_pred` is one."""
        y_true = self.y_true if y_true is None else y_true
        y_pred = framework.tensor(self.y_pred, "float32") if y_pred is None else y_pred
        function = getattr(framework.module, self.name)
        data = (y_true, y_pred) if self.declared.labeled else (y_pred,)
        return function(*data, **({"from_logits": True} | self.options | options))

    def __repr__(self) -> str:
        return self.name


LOGITS = np.array([[1.0, 0.0, -1.0], [-2.5, 3.0, 0.25]], np.float32)
ONE_HOT = np.array([[1, 0, 0], [0, 1, 0]])

LOSSES = [Loss(loss) for loss in losses.LOSSES if loss.labeled]
UNLABELED = [Loss(loss) for loss in losses.LOSSES if not loss.labeled]
LOSS = {loss.name: loss for loss in LOSSES}
# The losses that declare their formula, whose rows in the tables of tests are made of it. Only their closed forms are
# their own: these are differentiated, traced and sharded as those of every loss, so fewer ways of it are tried.
OWN_FORM = [loss for loss in LOSSES if loss.declared.formula]
SPARSE = [loss for loss in LOSSES if loss.declared.layout == "sparse"]
CLASSES = {loss.name: loss.declared.class_name for loss in LOSSES}
