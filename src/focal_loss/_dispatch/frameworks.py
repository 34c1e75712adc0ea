"""From the arguments of a function to the module that computes it. This is the only file that lists frameworks and
boosters.

No framework is imported for this: a tensor of one can only exist if it is in `sys.modules` already.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import sys
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from focal_loss._array_api.libraries import library_of
from focal_loss._core.private import MISSING

# Module of the framework -> names of its tensor types.
FRAMEWORKS = {
    "torch": ("Tensor",),
    "jax": ("Array",),
    "tensorflow": ("Tensor", "Variable", "RaggedTensor", "SparseTensor"),
}
BACKENDS = ("numpy", *FRAMEWORKS)
BOOSTERS = ("lightgbm", "xgboost", "catboost")  # libraries that take objectives
CLASSIFIERS = (*BOOSTERS, "sklearn")  # modules with a classifier
COMMAND = ("pandas", "pyarrow", "sklearn")  # libraries that a stored model of the command needs

# Where each runs the native kernels, if they are installed.
KERNELS = {
    "torch": "kernels for tensors on the CPU, and with Triton on CUDA; the formula elsewhere and under torch.func",
    "jax": "kernels in programs for the CPU; the formula in others",
    "tensorflow": "kernels on the CPU, eager and in graphs; the formula under XLA and on other devices",
    **dict.fromkeys(BOOSTERS, "kernels for the objectives and metrics"),
    "sklearn": "kernels for the loss of its histogram trees",
}

_backend: str | None = None


def framework_of(value: Any) -> str | None:
    """The framework whose tensor this is, or the library of an array without a module here; None for numbers,
    sequences, NumPy, pandas.
    """
    if value is None or isinstance(value, (int, float)):
        return None
    for name, kinds in FRAMEWORKS.items():
        framework = sys.modules.get(name)
        for kind in kinds:
            # Another thread may be half-way through the import: the attribute may be missing.
            found = getattr(framework, kind, None)
            if isinstance(found, type) and isinstance(value, found):
                return name
    keras = sys.modules.get("keras")
    if isinstance(value, getattr(keras, "Variable", ())):
        return known(keras.backend.backend(), "the backend of Keras")  # type: ignore[union-attr]
    if isinstance(value, getattr(keras, "KerasTensor", ())):
        raise TypeError("a KerasTensor is a symbol and has no loss; compile the model with a class of focal_loss.keras")
    return library_of(value)


def set_backend(name: str | None) -> None:
    """Set which framework computes arguments that belong to none: lists, numbers, NumPy arrays, pandas.

    Parameters
    ----------
    name : {'numpy', 'torch', 'jax', 'tensorflow'} or None
        None returns to the default: the environment variable FOCAL_LOSS_BACKEND, else the backend that Keras is
        set to, else NumPy.

    Raises
    ------
    ValueError
        If there is no such backend.

    Examples
    --------
    >>> import focal_loss
    >>> focal_loss.set_backend("numpy")
    >>> type(focal_loss.binary_focal_loss([0, 1], [0.1, 0.7], gamma=2))
    <class 'numpy.ndarray'>
    >>> focal_loss.set_backend(None)
    """
    global _backend
    _backend = None if name is None else known(name, "`name`")


def known(name: object, source: str) -> str:
    if name not in BACKENDS:
        raise ValueError(f"{source} must be one of {', '.join(map(repr, BACKENDS))}, got {name!r}")
    return str(name)


def default_backend() -> tuple[str, str]:
    """The backend of arguments that belong to no framework, and who chose it."""
    if _backend is not None:
        return _backend, "focal_loss.set_backend"
    if os.environ.get("FOCAL_LOSS_BACKEND"):  # an empty value counts as unset
        return known(os.environ["FOCAL_LOSS_BACKEND"], "FOCAL_LOSS_BACKEND"), "FOCAL_LOSS_BACKEND"
    if find_spec("keras") is None:
        return "numpy", "Keras is not installed"
    name, source = keras_backend()
    if find_spec(known(name, source)) is None:
        raise ImportError(
            f"lists and NumPy arrays go to the backend that Keras is set to, {name} by {source}, which is not "
            "installed; set KERAS_BACKEND or FOCAL_LOSS_BACKEND to one that is, or call focal_loss.set_backend"
        )
    return name, source


def keras_backend() -> tuple[str, str]:
    """The backend that Keras is set to, and the source of the setting. Keras is not imported, since that loads a
    framework.
    """
    ask = getattr(getattr(sys.modules.get("keras"), "backend", None), "backend", None)
    if ask is not None:
        return str(ask()), "Keras"
    if os.environ.get("KERAS_BACKEND"):
        return os.environ["KERAS_BACKEND"], "KERAS_BACKEND"
    path = os.path.expanduser(os.path.join(keras_home(), "keras.json"))
    try:
        with open(path, encoding="utf-8") as file:
            return str(json.load(file)["backend"]), path
    except (OSError, ValueError, KeyError, TypeError):  # Keras ignores an invalid file too
        return "tensorflow", "Keras' default"


def keras_home() -> str:
    if "KERAS_HOME" in os.environ:
        return os.environ["KERAS_HOME"]
    home = os.path.expanduser("~")
    return os.path.join(home if os.access(home, os.W_OK) else "/tmp", ".keras")


def get_backend() -> str:
    """The framework that computes arguments that belong to none.

    Returns
    -------
    name : {'numpy', 'torch', 'jax', 'tensorflow'}
        The choice of `set_backend`, else of FOCAL_LOSS_BACKEND, else the backend of Keras, else 'numpy'.

    Raises
    ------
    ValueError
        If FOCAL_LOSS_BACKEND or Keras names another backend.

    Examples
    --------
    >>> import focal_loss
    >>> focal_loss.set_backend("jax")
    >>> focal_loss.get_backend()
    'jax'
    >>> focal_loss.set_backend(None)
    """
    return default_backend()[0]


def framework_among(*arguments: Any) -> str | None:
    """The one framework whose tensors are among the arguments; None if there are none."""
    found: dict[str, type] = {}
    for value in arguments:
        name = framework_of(value)
        if name is not None:
            found.setdefault(name, type(value))
    if len(found) > 1:
        kinds = " and ".join(f"{name} ({kind.__name__})" for name, kind in found.items())
        raise TypeError(f"the arguments must be tensors of one framework, got {kinds}; convert one of them")
    return next(iter(found), None)


def module_for(*arguments: Any) -> Any:
    """The module of the one framework among the arguments, or of the default backend, or the functions for arrays of
    other libraries.
    """
    name = framework_among(*arguments) or get_backend()
    return load(f"focal_loss.{name}") if name in BACKENDS else load("focal_loss._array_api.functions").FUNCTIONS


def formula_for(*arguments: Any) -> Any:
    """The `pipeline.Backend` of the one framework among the arguments, or NumPy's; without native kernels."""
    name = framework_among(*arguments)
    if name is None:
        return load("focal_loss._host.backend").FORMULA
    if name in FRAMEWORKS:
        return load(f"focal_loss.{name}._backend").FORMULA
    return load("focal_loss._array_api.functions").backend_of(*arguments)


def load(module: str) -> ModuleType:
    """Import a module of this package; if its framework is missing, the error says how to install it."""
    found = sys.modules.get(module)  # `torch.compile` can trace this, but not an import
    if found is not None and not getattr(found.__spec__, "_initializing", False):  # another thread may be at it
        return found
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        needed = needs(module, str(error.name))
        if needed is None:
            raise
        message = f"`{needed[0]}` needs {error.name}, which is not installed: pip install 'focal-loss[{needed[1]}]'"
        raise ModuleNotFoundError(message, name=error.name) from error


def needs(module: str, library: str) -> tuple[str, str] | None:
    """The public name that needs a library, and the extra that installs it; None if it is no library of ours."""
    if library == "onnx":
        return "to_onnx", "onnx"
    if module.startswith("focal_loss._command.") and library in COMMAND:
        return "focal_loss.load", "cli"
    if library in (*FRAMEWORKS, "keras", *CLASSIFIERS):
        return module, module.rpartition(".")[2] if library == "sklearn" else library
    return None


def show_config() -> None:
    """Print which frameworks are installed, what computes the losses of each, and why.

    Examples
    --------
    >>> import focal_loss
    >>> focal_loss.show_config()  # doctest: +ELLIPSIS
    focal_loss ...
    """
    version = sys.modules["focal_loss"].__version__
    kernels = importlib.import_module("focal_loss._host.kernels")
    try:
        backend, reason = default_backend()
    except (ImportError, ValueError) as error:
        backend, reason = "none", f"nobody: {error}"
    print(f"focal_loss {version}, Python {platform.python_version()}, {platform.machine()}")
    print(f"lists and NumPy arrays: {backend} (set by {reason})")
    print(f"from logits: {kernels.DESCRIPTION}, {kernels.num_threads()} threads; from probabilities: the formula")
    for name in (*FRAMEWORKS, *CLASSIFIERS):
        print(f"{name}: {implementation(name, kernels.NATIVE is not None)}")
    for name, notes in MISSING.items():
        print(f"{name}: {'; '.join(notes)}")


def implementation(name: str, native: bool) -> str:
    """A description of what computes a framework's tensors, as far as is known without importing it."""
    if find_spec(name) is None:
        return "not installed"
    told = getattr(sys.modules.get(f"focal_loss.{name}._native"), "implementation", None)
    if told:
        return str(told())
    return KERNELS[name] if native else "the formula"
