"""Models in MLflow: logged, loaded and asked as a server asks them, with the lines of `docs/mlflow.md`."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from commands import QUICK, run, table
from mlflow.pyfunc import scoring_server

import focal_loss
from focal_loss._dispatch.frameworks import BOOSTERS

ROOT = Path(__file__).parents[1]
LINES = (ROOT / "examples" / "mlflow_model.py").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "mlflow.md").read_text(encoding="utf-8")
CLASSIFIERS = re.findall(r'^\| `(\w+)` \| `model\.save_model\("(.*?)"\)` \| `(.*?)` \|$', PAGE, re.MULTILINE)
TREES: dict[str, dict[str, Any]] = {
    "lightgbm": {"n_estimators": 5, "verbosity": -1, "n_jobs": 1},
    "xgboost": {"n_estimators": 5, "n_jobs": 1},
    "catboost": {"iterations": 5, "verbose": 0, "thread_count": 1, "allow_writing_files": False},
}


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty store of runs in files, which MLflow opens sooner than a database. MLflow sends nothing anywhere."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())


def logged(python_model: Path, artifact: Path, X: pd.DataFrame, probabilities: np.ndarray) -> mlflow.pyfunc.PyFuncModel:
    """The model as MLflow gives it back."""
    with mlflow.start_run():
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(python_model),
            artifacts={"model": str(artifact)},
            signature=mlflow.models.infer_signature(X, probabilities),
            input_example=X[:3],
            pip_requirements=[f"focal-loss[all]=={focal_loss.__version__}"],
        )
    return mlflow.pyfunc.load_model(info.model_uri)


def answered(served: mlflow.pyfunc.PyFuncModel, X: pd.DataFrame) -> np.ndarray:
    """The answer to a request in JSON, by the function that MLflow's server calls."""
    split = X.to_json(orient="split", index=False, date_format="iso", double_precision=15)
    request = json.dumps({"dataframe_split": json.loads(split)})
    response = scoring_server.invocations(request, "application/json", served, served.metadata.get_input_schema())
    assert response.status == 200, response.response
    return np.array(json.loads(response.response)["predictions"])


def test_the_page_shows_the_file() -> None:
    assert LINES.partition('"""\n\n')[2] in PAGE


def test_a_directory_gives_its_probabilities(tmp_path: Path) -> None:
    """The table has numbers, words, booleans and dates, with missing values."""
    frame = table()
    frame["number"] = frame["number"].round(6)  # JSON of pandas holds 15 digits
    frame.to_csv(tmp_path / "data.csv", index=False)
    given = ("--target", "rare", *QUICK, "--out", tmp_path / "model")
    assert run("fit", tmp_path / "data.csv", *given) == 0
    X, model = frame.drop(columns="rare"), focal_loss.load(tmp_path / "model")
    expected = model.predict_proba(X)
    served = logged(ROOT / "examples" / "mlflow_model.py", tmp_path / "model", X, expected)
    (tmp_path / "model").rename(tmp_path / "moved")
    np.testing.assert_array_equal(served.predict(X), expected)
    np.testing.assert_array_equal(answered(served, X), expected)


@pytest.mark.parametrize(("name", "file", "line"), CLASSIFIERS, ids=[name for name, *_ in CLASSIFIERS])
def test_a_classifier_gives_its_probabilities(name: str, file: str, line: str, tmp_path: Path) -> None:
    engine = line.split(".")[1]
    X = table()[["number"]].assign(square=lambda frame: frame.number**2)
    model = getattr(importlib.import_module(f"focal_loss.{engine}"), name)(gamma=2, **TREES[engine])
    model.fit(X, table().rare).save_model(tmp_path / file)
    (tmp_path / "served.py").write_text(LINES.replace('focal_loss.load(context.artifacts["model"])', line))
    served = logged(tmp_path / "served.py", tmp_path / file, X, model.predict_proba(X))
    (tmp_path / file).unlink()
    np.testing.assert_array_equal(served.predict(X), model.predict_proba(X))


def test_the_page_has_a_line_for_every_booster() -> None:
    assert [line.split(".")[1] for *_, line in CLASSIFIERS] == list(BOOSTERS)
