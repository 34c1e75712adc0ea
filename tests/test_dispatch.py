"""The choice of the framework by the arguments and the settings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from cases import FRAMEWORKS, LOSSES, Framework, Loss

import focal_loss
from focal_loss._dispatch.frameworks import load
from focal_loss._host import kernels


@pytest.fixture(autouse=True)
def _default_backend():
    yield
    focal_loss.set_backend(None)


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_a_tensor_decides(framework: Framework, loss: Loss) -> None:
    """A tensor decides as prediction, label or weight, beside lists and NumPy arrays."""
    function = getattr(focal_loss, loss.name)
    focal_loss.set_backend("numpy")
    options = loss.options | {"from_logits": True}
    expected = loss(framework)
    kind = type(framework.tensor([1.0], "float32"))
    tensor = framework.tensor(loss.y_pred, "float32")
    for found in (
        function(loss.y_true, tensor, **options),
        function(framework.tensor(loss.y_true, "int32"), loss.y_pred, **options),
        function(loss.y_true, loss.y_pred.tolist(), **(options | {loss.weight: framework.tensor(0.25, "float32")})),
    ):
        assert isinstance(found, kind)
    np.testing.assert_array_equal(framework.numpy(function(loss.y_true, tensor, **options)), framework.numpy(expected))


def test_tensors_of_two_frameworks() -> None:
    with pytest.raises(TypeError, match=r"tensors of one framework, got torch \(Tensor\) and jax \(ArrayImpl\)"):
        focal_loss.binary_focal_loss(torch.ones(2), jnp.zeros(2), 2)
    with pytest.raises(TypeError, match=r"tensors of one framework, got t.* and t"):
        focal_loss.binary_focal_loss([1], tf.zeros(1), torch.tensor(2.0))


def test_symbols_and_variables() -> None:
    variable = keras.Variable([0.0])
    assert tf.is_tensor(focal_loss.binary_focal_loss([1], variable, 2, from_logits=True))
    assert tf.is_tensor(focal_loss.binary_focal_loss([1], tf.Variable([0.0]), 2, from_logits=True))
    with pytest.raises(TypeError, match="KerasTensor is a symbol"):
        focal_loss.binary_focal_loss([1], keras.Input((1,)), 2)
    traced = jax.jit(lambda z: focal_loss.binary_focal_loss([1.0], z, 2, from_logits=True))(jnp.zeros(1))
    np.testing.assert_allclose(traced, [0.1732868], rtol=1e-6)


def test_variables_of_a_backend_without_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    variable = keras.Variable([0.0])
    monkeypatch.setattr(keras.backend, "backend", lambda: "openvino")
    with pytest.raises(ValueError, match=r"the backend of Keras must be one of 'numpy', .* got 'openvino'"):
        focal_loss.binary_focal_loss([1], variable, 2, from_logits=True)


@pytest.mark.parametrize(
    ("name", "kind"), [("numpy", np.ndarray), ("torch", torch.Tensor), ("jax", jax.Array), ("tensorflow", tf.Tensor)]
)
def test_set_backend(name: str, kind: type) -> None:
    focal_loss.set_backend(name)
    assert focal_loss.get_backend() == name
    assert isinstance(focal_loss.binary_focal_loss([0, 1], np.array([0.1, 0.7]), 2), kind)


def test_unknown_backend() -> None:
    with pytest.raises(ValueError, match="`name` must be one of 'numpy', 'torch', 'jax', 'tensorflow', got 'mxnet'"):
        focal_loss.set_backend("mxnet")


def run(code: str, **environment: str) -> str:
    variables = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | environment
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=variables)
    return done.stdout + done.stderr


def test_lists_go_to_the_backend_of_keras_or_where_the_environment_says() -> None:
    code = "import focal_loss as f; print(type(f.binary_focal_loss([0], [0.5], 2)).__module__, f.get_backend())"
    assert run(code, KERAS_BACKEND="torch").startswith("torch torch")
    assert run(code, KERAS_BACKEND="numpy").startswith("numpy numpy")
    assert run(code, KERAS_BACKEND="torch", FOCAL_LOSS_BACKEND="numpy").startswith("numpy numpy")
    assert "FOCAL_LOSS_BACKEND must be one of" in run(code, FOCAL_LOSS_BACKEND="mxnet")


def test_lists_go_to_numpy_without_keras() -> None:
    code = "import sys; sys.modules['keras'] = None\nimport importlib.util as u; find = u.find_spec\n"
    code += "u.find_spec = lambda name, *a: None if name == 'keras' else find(name, *a)\n"
    code += "import focal_loss; print(focal_loss.get_backend(), type(focal_loss.binary_focal_loss([0], [0.5], 2)))"
    assert run(code).startswith("numpy <class 'numpy.ndarray'>")


LOADED = "import sys, focal_loss; focal_loss.{}; print({{'keras', 'tensorflow', 'jax', 'torch'}} & set(sys.modules))"


@pytest.mark.parametrize("call", ["show_config()", "get_backend()", "numpy.binary_focal_loss([0], [0.5], 2)"])
def test_settings_load_no_framework(call: str) -> None:
    assert run(LOADED.format(call)).endswith("set()\n")


def test_the_default_is_read_where_keras_reads_it(tmp_path: Path) -> None:
    code = "import focal_loss; print(focal_loss.get_backend()); focal_loss.show_config()"
    home = {"KERAS_HOME": str(tmp_path), "KERAS_BACKEND": "", "FOCAL_LOSS_BACKEND": ""}  # empty: not set
    assert "tensorflow (set by Keras' default)" in run(code, **home)
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    assert f"torch (set by {tmp_path / 'keras.json'})" in run(code, **home)
    assert "jax (set by KERAS_BACKEND)" in run(code, **home | {"KERAS_BACKEND": "jax"})
    late = f"import keras, os; print(keras.backend.backend()); os.environ['KERAS_BACKEND'] = 'jax'\n{code}"
    told = run(late, **home)
    assert told.startswith("torch\ntorch\n")
    assert "torch (set by Keras)" in told
    assert "KERAS_BACKEND must be one of" in run(code, **home | {"KERAS_BACKEND": "openvino"})
    (tmp_path / "keras.json").write_text("{")
    assert "tensorflow (set by Keras' default)" in run(code, **home)


def test_the_functions_of_keras_follow_keras() -> None:
    """Lists go to the backend of Keras, whatever `set_backend` says; a tensor still decides."""
    focal_loss.set_backend("numpy")
    for module in (focal_loss.keras.losses, focal_loss.keras.metrics):
        for loss in LOSSES:
            function = getattr(module, loss.name)
            assert tf.is_tensor(function(loss.y_true.tolist(), loss.y_pred.tolist(), from_logits=True, **loss.options))
        assert isinstance(module.binary_focal_loss([0], y_pred=torch.zeros(1), gamma=2), torch.Tensor)


def test_a_keras_without_its_backend_is_an_error_that_says_what_to_set() -> None:
    code = "import sys; sys.modules['jax'] = None\nimport focal_loss\nfocal_loss.{}"
    message = "jax by KERAS_BACKEND, which is not"
    assert message in run(code.format("binary_focal_loss([0], [0.5], 2)"), KERAS_BACKEND="jax")
    assert "set KERAS_BACKEND or FOCAL_LOSS_BACKEND" in run(code.format("get_backend()"), KERAS_BACKEND="jax")
    assert "nobody: lists and NumPy arrays go to" in run(code.format("show_config()"), KERAS_BACKEND="jax")


def test_show_config_names_everything(capsys: pytest.CaptureFixture[str]) -> None:
    focal_loss.set_backend("jax")
    focal_loss.set_num_threads(3)
    focal_loss.show_config()
    shown = capsys.readouterr().out
    for word in (
        focal_loss.__version__,
        "jax (set by focal_loss.set_backend)",
        "3 threads",
        "native kernels for",
        "torch: kernels",
        "tensorflow:",
    ):
        assert word in shown
    for bad in (0, -1, 2**31, 2**64):
        with pytest.raises(ValueError, match=r"`n` must be an integer in \[1, 2147483647\]"):
            focal_loss.set_num_threads(bad)
    assert focal_loss.numpy.binary_focal_loss([1], [0.5], 2).shape == (1,)  # a refused number changes nothing
    with pytest.raises(TypeError, match="`n` must be an integer"):
        focal_loss.set_num_threads(1.5)


@pytest.mark.parametrize(
    ("installed", "imported", "isa", "usable"),
    [
        (True, (), "", True),
        (True, ("tensorflow",), "", False),
        (True, ("tensorflow", "triton"), "", True),
        (True, (), "formula", False),
        (False, (), "", False),
    ],
)
def test_triton_is_not_imported_after_tensorflow(
    installed: bool, imported: tuple[str, ...], isa: str, usable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Importing it would crash the process."""
    monkeypatch.setattr(kernels, "find_spec", lambda name: object() if installed else None)
    monkeypatch.setattr(kernels, "sys", SimpleNamespace(modules=dict.fromkeys(imported)))
    monkeypatch.setenv("FOCAL_LOSS_ISA", isa)
    assert kernels.triton_usable() is usable


def test_a_module_that_another_thread_imports_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a module is imported it stands in `sys.modules` already, without its names."""
    (tmp_path / "slow_to_import.py").write_text(
        "import threading\n"
        "from focal_loss._dispatch.frameworks import load\n"
        "seen = []\n"
        "other = threading.Thread(target=lambda: seen.append(hasattr(load(__name__), 'READY')))\n"
        "other.start()\n"
        "other.join(0.2)\n"
        "READY = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    module = load("slow_to_import")
    monkeypatch.delitem(sys.modules, "slow_to_import")
    module.other.join()
    assert module.seen == [True]
