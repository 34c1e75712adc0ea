"""If a private name of a framework is gone, a fast path is lost and `show_config` says so; the import still works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from without_names import GAMMA, LABELS, LOGITS, NAMES

import focal_loss.numpy as ours

SLOPES = ours.binary_focal_loss_derivatives(LABELS, LOGITS, GAMMA)[1]
RIGHT = {"value": ours.binary_focal_loss(LABELS, LOGITS, GAMMA, from_logits=True)}
RIGHT |= dict.fromkeys(("forward", "compiled forward"), SLOPES[:1])
# Features that need the private name, and are refused without it.
REFUSED = {
    "": {"compiled forward"},
    "torch._C._functorch.get_interpreter_stack": {"functional forward"},
    "torch._C._functorch.TransformType": {"functional forward"},
    "torch.autograd.forward_ad._current_level": set(),
    "tensorflow.python.eager.record.stop_recording": {"graph forward"},
    "tensorflow.python.eager.record.record_operation": {"graph forward"},
}


@pytest.mark.parametrize("framework", NAMES)
def test_without_a_private_name(framework: str) -> None:
    command = [sys.executable, str(Path(__file__).with_name("without_names.py")), framework]
    environment = {**os.environ, "KERAS_BACKEND": "numpy"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    answers = dict(map(json.loads, done.stdout.splitlines()))
    assert set(answers) == {"", *NAMES[framework]}, done.stderr
    bound = 1e-6 if framework == "keras" else 1e-14  # Keras computes in float32
    for path, answer in answers.items():
        refused = {name for name, value in answer["found"].items() if isinstance(value, str)}
        assert refused == REFUSED.get(path, REFUSED[""]) & set(answer["found"]), (path, answer["found"])
        for name, value in answer["found"].items():
            if name not in refused:
                np.testing.assert_allclose(
                    value,
                    RIGHT.get(name, SLOPES),
                    rtol=bound,
                    err_msg=f"{path}: {name}",
                )
        assert ("there is no" in answer["config"]) == bool(path)
        assert path in answer["config"]
