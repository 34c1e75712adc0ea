"""Every argument of every public function, in every framework, with invalid values: one wording."""

from __future__ import annotations

import datetime
import functools
import inspect
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import torch
import torch.distributed as dist
from cases import FRAMEWORKS, LOGITS, ONE_HOT
from scipy.sparse import csr_array

import focal_loss

ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)
HUGE = 10**400  # beyond any float
RIGHT = {"y_pred": LOGITS, "gamma": 2, "from_logits": True, "hidden": LOGITS, "weight": np.eye(3, dtype=np.float32)}
RIGHT |= {"y_pred_local": LOGITS, "weight_local": RIGHT["weight"]}
RIGHT |= {"logits": LOGITS, "inputs": LOGITS, "labels": ONE_HOT, "targets": ONE_HOT}

NO_NUMBERS = {
    "None": (None, "None"),
    "dict": ({"a": 1}, "dict"),
    "set": ({1}, "set"),
    "str": ("a", "str"),
    "bytes": (b"a", "bytes"),
    "object": (object(), "object"),
    "function": (len, "builtin_function_or_method"),
    "class": (dict, "type"),
    "complex": (1j, "complex"),
    "date": (datetime.date(2020, 1, 1), "date"),
    "large integer": (HUGE, "an integer of more than 64 bits"),
    "list of None": ([0, None], "a list that holds None"),
    "list of str": ([["a"], [0]], "a list that holds str"),
    "list of dates": ([datetime.datetime(2020, 1, 1)], "a list that holds datetime"),
    "list of dict": ([{}], "a list that holds dict"),
    "list of complex": ((1j,), "a tuple that holds complex"),
    "list of large integers": ([HUGE], "a list that holds an integer of more than 64 bits"),
    "ragged list": ([[0], [0, 1]], "a list whose entries have different lengths"),
    "list beside a number": ([0, [1]], "a list whose entries have different lengths"),
    "deep list": (functools.reduce(lambda entry, _: [entry], range(2000), 0.0), "a list of more than 64 axes"),
    "list that holds itself": (ENDLESS, "a list of more than 64 axes"),
    "array of dates": (np.array(["2020-01-01"], "datetime64[D]"), r"dtype datetime64\[D\]"),
    "array of objects": (np.array([None]), "dtype object"),
    "array of str": (np.array(["a"]), "dtype str32"),
    "complex array": (np.array([1j]), "dtype complex128"),
    "series of str": (pd.Series(["a"], dtype=object), "dtype object"),
    "frame of str": (pd.DataFrame({"a": ["a"]}, dtype=object), "DataFrame"),
}
NUMBER = [None, "2", {}, object(), 1j, True, HUGE, -HUGE, 10**5000, Fraction(HUGE), float("nan"), ["a"], np.array([1j])]
INTEGER = ["1", {}, 0.5, True, [0], np.array([0, 1]), HUGE, 10**5000]
FLAG = [None, 1, "yes", [], {}, np.array([True, False]), HUGE]
WRONG_OPTIONS = {
    **dict.fromkeys(("gamma", "beta", "alpha"), NUMBER),
    **dict.fromkeys(("pos_weight", "class_weight"), NUMBER[1:]),
    **dict.fromkeys(("from_logits", "apply_class_balancing"), FLAG),
    "label_smoothing": [*NUMBER[1:], [0.1], np.array([0.1, 0.2]), -1, 2],
    "axis": [None, *INTEGER, 5],
    "axis_name": [1, {}, (), [], ["model"], ("model", 1), np.array([1, 2]), "absent", HUGE],
    "ignore_class": INTEGER,
    "reduction": [None, 1, {}, [], "average", np.array([1, 2]), np.array(["mean", "sum"]), HUGE, 10**5000],
    "hessian": [None, 1, {}, [], "none", np.array([1, 2]), HUGE],
}
TENSORS = ("hidden", "weight", "bias", "y_pred_local", "weight_local", "bias_local")  # where PyTorch takes nothing else
DATA = ("y_true", "y_pred", *TENSORS, "labels", "logits", "inputs", "targets")


@pytest.fixture(scope="module", autouse=True)
def alone() -> Iterator[None]:
    """A process group of this process."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def functions() -> list[Any]:
    found = [(framework.name, framework.module) for framework in FRAMEWORKS] + [("focal_loss", focal_loss)]
    return [
        pytest.param(getattr(module, name), id=f"{prefix}-{name}")
        for prefix, module in found
        for name in module.__all__
        if "focal" in name and name[0].islower()
    ]


by_function = pytest.mark.parametrize("function", functions())


def right(function: Callable[..., Any]) -> dict[str, Any]:
    names = inspect.signature(function).parameters
    sparse = "sparse" in function.__name__
    given = RIGHT | {"y_true": np.array([0, 1]) if sparse else ONE_HOT}
    arguments = {name: given[name] for name in names if name in given}
    if function.__module__.startswith("focal_loss.torch"):  # its layer must be tensors
        arguments |= {n: torch.tensor(v) for n, v in arguments.items() if n in TENSORS}
    if function.__name__.startswith("vocab_parallel"):
        arguments["group"] = True  # of `alone`
    return arguments


@by_function
def test_the_arguments_that_the_others_change_are_right(function: Callable[..., Any]) -> None:
    function(**right(function))


@by_function
@pytest.mark.parametrize("kind", NO_NUMBERS)
def test_labels_and_predictions_that_are_no_real_numbers(function: Callable[..., Any], kind: str) -> None:
    value, got = NO_NUMBERS[kind]
    for name in set(inspect.signature(function).parameters) & set(DATA):
        if value is None and name.startswith("bias"):
            continue
        tensor = function.__module__.startswith("focal_loss.torch") and name in TENSORS
        rule = "a floating tensor" if tensor else "an array of real numbers"
        with pytest.raises(TypeError, match=f"^`{name}` must be {rule}, got {got}"):
            function(**right(function) | {name: value})


@by_function
def test_options_of_the_wrong_kind(function: Callable[..., Any]) -> None:
    for name in inspect.signature(function).parameters:
        for value in WRONG_OPTIONS.get(name, ()):
            if value is None and name == "alpha" and function.__name__ != "binary_focal_crossentropy":
                continue  # no weights
            with pytest.raises((TypeError, ValueError), match=f"^`{name}` must ") as caught:
                function(**right(function) | {name: value})
            assert len(str(caught.value)) < 250, "a message is not the value"


OWN_COMPLEX = {"torch": torch.tensor([1j]), "jax": jnp.array([1j]), "tensorflow": tf.constant([1j])}


@pytest.mark.parametrize("name", OWN_COMPLEX)
@pytest.mark.parametrize("argument", ["y_true", "y_pred", "gamma", "pos_weight"])
def test_complex_tensors(name: str, argument: str) -> None:
    function = getattr(focal_loss, name).binary_focal_loss
    for call in (function, focal_loss.binary_focal_loss):
        arguments = {"y_true": [1], "y_pred": [0.5], "gamma": 2} | {argument: OWN_COMPLEX[name]}
        with pytest.raises(TypeError, match=f"^`{argument}` must be an array of real numbers, got dtype .*complex"):
            call(**arguments)


def foreign(package: str, **methods: Any) -> Any:
    """An array of a library that has no module here, though NumPy could read it."""
    array = {"shape": (3,), "dtype": np.dtype("float64"), "__array__": lambda *_, **__: np.ones(3)}
    kind = type("ndarray", (), {"__module__": f"{package}.core", **array, **methods})
    return kind()


FOREIGN = {
    "a GPU library": foreign("cudf", __cuda_array_interface__={}),
    "lazy frames": foreign("dask_expr", __dask_graph__=lambda self: {}),
    "an unknown library": foreign("mxnet"),
    "a lazy data array": foreign("xarray", __dask_graph__=lambda self: {}),
    "sparse": csr_array([[1.0, 0.0, 1.0]]),
}


@by_function
@pytest.mark.parametrize("library", FOREIGN)
def test_arrays_of_other_libraries(function: Callable[..., Any], library: str) -> None:
    """They are refused, not silently converted to NumPy arrays."""
    value = FOREIGN[library]
    kind = f"{type(value).__module__}.{type(value).__name__}"
    doors = "an array of NumPy, PyTorch, JAX or TensorFlow, for which there are `focal_loss.numpy`"
    for name in set(inspect.signature(function).parameters) & {*DATA, "gamma", "pos_weight", "class_weight", "alpha"}:
        if function.__module__.startswith("focal_loss.torch") and name in TENSORS:
            continue  # tensors only
        with pytest.raises(TypeError, match=f"^`{name}` must be {doors}.*, got {kind}; convert it"):
            function(**right(function) | {name: value})


def test_a_data_array_at_hand_is_read() -> None:
    at_hand = foreign("xarray", __dask_graph__=lambda self: None)
    found = focal_loss.numpy.binary_focal_loss([1, 0, 1], at_hand, 2, from_logits=True)
    np.testing.assert_array_equal(found, focal_loss.numpy.binary_focal_loss([1, 0, 1], np.ones(3), 2, from_logits=True))
