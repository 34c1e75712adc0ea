"""The examples of the two pages that this library implements, verbatim, and the predecessor's numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cases import FRAMEWORKS, Framework

FIRST = """
>>> import numpy as np
>>> from focal_loss import binary_focal_loss
>>> loss = binary_focal_loss([0, 1, 1], [0.1, 0.7, 0.9], gamma=2)
>>> np.set_printoptions(precision=3)
>>> print(loss.numpy())
[0.001 0.032 0.001]
"""

FIRST_FIGURE = r"""
import numpy as np
import matplotlib.pyplot as plt

from focal_loss import binary_focal_loss

ps = np.linspace(0, 1, 100)
gammas = (0, 0.5, 1, 2, 5)

plt.figure()
for gamma in gammas:
    loss = binary_focal_loss(1, ps, gamma=gamma)
    label = rf'$\gamma$={gamma}'
    if gamma == 0:
        label += ' (cross-entropy)'
    plt.plot(ps, loss, label=label)
plt.legend(loc='best', frameon=True, shadow=True)
plt.xlim(0, 1)
plt.ylim(0, 4)
plt.xlabel(r'Probability of positive class $\hat{p}$')
plt.ylabel('Loss')
plt.title(r'Plot of focal loss $L(1, \hat{p})$ for different $\gamma$',
          fontsize=14)
plt.show()
"""

# The second page is in R, where numbers are doubles. Its calls, argument by argument, and its printed numbers.
SECOND = """
>>> import keras
>>> from focal_loss.keras.metrics import binary_focal_crossentropy
>>> y_true = [[0.0, 1.0], [0.0, 0.0]]
>>> y_pred = [[0.6, 0.4], [0.4, 0.6]]
>>> focal_loss = binary_focal_crossentropy(y_true, y_pred, gamma = 2)
>>> focal_loss
<tf.Tensor: shape=(2,), dtype=float32, numpy=array([0.32986468, 0.20579839], dtype=float32)>
>>> bce_loss = keras.losses.binary_crossentropy(y_true, y_pred)
>>> print(focal_loss.numpy().round(7), bce_loss.numpy().round(7), (focal_loss / bce_loss).numpy().round(7))
[0.3298647 0.2057984] [0.9162908 0.7135582] [0.36      0.2884115]
"""

RUNNER = "import doctest, sys\ndoctest.run_docstring_examples(sys.argv[1], {})"


@pytest.mark.needs("keras", "tensorflow")
@pytest.mark.parametrize("example", [FIRST, SECOND], ids=["focal_loss.binary_focal_loss", "keras3.metric"])
def test_the_page_examples_verbatim(example: str) -> None:
    """In a fresh process, where lists go to the backend that Keras is set to."""
    run = subprocess.run([sys.executable, "-c", RUNNER, example], capture_output=True, text=True, check=True)
    assert run.stdout == ""


def test_the_runner_can_fail() -> None:
    run = subprocess.run([sys.executable, "-c", RUNNER, ">>> 1\n2\n"], capture_output=True, text=True, check=True)
    assert "Failed example" in run.stdout


@pytest.mark.needs("matplotlib")
def test_the_figure_of_the_first_page_verbatim() -> None:
    code = (
        FIRST_FIGURE
        + "\nlines = plt.gca().get_lines()\nprint(len(lines), *(round(float(l.get_ydata()[10]), 5) for l in lines))"
    )
    environment = {"MPLBACKEND": "agg", "PATH": "/usr/bin:/bin", "TF_CPP_MIN_LOG_LEVEL": "3"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    p = 10 / 99
    expected = [-np.log(p) * (1 - p) ** gamma for gamma in (0, 0.5, 1, 2, 5)]
    count, *losses = run.stdout.split()
    assert count == "5"
    np.testing.assert_allclose([float(x) for x in losses], expected, atol=1e-5)


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
def test_sparse_example_of_the_predecessor(framework: Framework) -> None:
    y_pred = [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.2, 0.2, 0.6]]
    loss = framework.module.sparse_categorical_focal_loss([0, 1, 2], y_pred, gamma=2)
    np.testing.assert_allclose(framework.numpy(loss).mean(), 0.0409195, atol=5e-8)


PREDECESSOR = json.loads((Path(__file__).parent / "golden" / "predecessor.json").read_text())


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
def test_hard_labels_as_in_the_predecessor(framework: Framework) -> None:
    """The tolerance is the accuracy of its float32: its 1 - p and its clipped logarithm lose digits where the loss is
    small.
    """
    assert len(PREDECESSOR) == 60
    for row in PREDECESSOR:
        loss = getattr(framework.module, row["function"])
        y_pred = framework.tensor(row["y_pred"], "float32")
        found = framework.numpy(loss(np.array(row["y_true"]), y_pred, **row["options"]))
        np.testing.assert_allclose(found, row["loss"], rtol=3e-5, atol=3e-6)
