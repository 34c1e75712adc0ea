"""The posterior map in the languages of docs/deployment.md, run as the page writes it."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import catboost
import lightgbm
import numpy as np
import pytest
import xgboost
from browser import chromium
from sklearn.datasets import load_breast_cancer

from focal_loss.calibration import posterior_from_logits
from focal_loss.catboost import FocalCatBoostClassifier
from focal_loss.lightgbm import FocalLGBMClassifier
from focal_loss.xgboost import FocalXGBClassifier

PAGE = Path(__file__).parents[1] / "docs" / "deployment.md"
Z = [0.0, *(sign * size for size in (1e-9, 1e-3, 0.3, 1.0, 2.8, 7.0, 20.0, 36.0, 60.0) for sign in (1, -1))]
OPTIONS = [(0.0, 1.0), (0.0, 4.0), (0.5, 0.2), (2.0, 1.0), (2.0, 30.0), (5.0, 3.0)]  # gamma, pos_weight


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return found


def output(*command: str | Path) -> list[float]:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    return list(map(float, done.stdout.split()))


def in_sql(gamma: float, weight: float, folder: Path) -> list[float]:
    connection = sqlite3.connect(":memory:")
    for name, function in (("exp", np.exp), ("ln", np.log)):  # not every SQLite is built with them
        connection.create_function(name, 1, lambda x, function=function: float(function(x)))
    connection.execute("CREATE TABLE scores (id INTEGER, z REAL)")
    connection.executemany("INSERT INTO scores VALUES (?, ?)", enumerate(Z))
    found = dict(connection.execute(block("sql"), {"gamma": gamma, "pos_weight": weight}))
    connection.close()
    return [found[k] for k in range(len(Z))]


def in_c(gamma: float, weight: float, folder: Path) -> list[float]:
    calls = "".join(f'    printf("%.17g\\n", posterior({z!r}, {gamma!r}, {weight!r}));\n' for z in Z)
    (folder / "map.c").write_text(f"#include <stdio.h>\n{block('c')}\nint main(void) {{\n{calls}    return 0;\n}}\n")
    subprocess.run(["cc", "-O2", folder / "map.c", "-o", folder / "map", "-lm"], check=True)
    return output(folder / "map")


def in_java(gamma: float, weight: float, folder: Path) -> list[float]:
    if shutil.which("java") is None:
        pytest.skip("java is not installed: the map in Java was not run")
    calls = "".join(f"        System.out.println(Posterior.posterior({z!r}, {gamma!r}, {weight!r}));\n" for z in Z)
    main = f"class Main {{\n    public static void main(String[] arguments) {{\n{calls}    }}\n}}\n"
    (folder / "Main.java").write_text(main + block("java"))
    return output("java", folder / "Main.java")


def in_javascript(gamma: float, weight: float, folder: Path) -> list[float]:
    with chromium() as browser:
        page = browser.new_page()
        body = f"{block('javascript')}\nreturn scores.map(z => posterior(z, {gamma}, {weight}))"
        return page.evaluate(f"scores => {{\n{body}\n}}", Z)


@pytest.mark.parametrize("run", [in_sql, in_c, in_java, in_javascript])
def test_the_map_in_another_language(run: Callable[[float, float, Path], list[float]], tmp_path: Path) -> None:
    for gamma, weight in OPTIONS:
        found = run(gamma, weight, tmp_path)
        np.testing.assert_allclose(found, posterior_from_logits(np.array(Z), gamma, pos_weight=weight), rtol=1e-12)


def scores_of_lightgbm(path: Path, X: np.ndarray) -> tuple[np.ndarray, str]:
    read = lightgbm.Booster(model_file=path)
    return read.predict(X), re.search("^focal_loss:(.*)$", path.read_text(), re.MULTILINE).group(1)


def scores_of_xgboost(path: Path, X: np.ndarray) -> tuple[np.ndarray, str]:
    read = xgboost.Booster(model_file=path)
    return read.predict(xgboost.DMatrix(X), output_margin=True), read.attr("focal_loss")


def scores_of_catboost(path: Path, X: np.ndarray) -> tuple[np.ndarray, str]:
    read = catboost.CatBoost().load_model(str(path))
    return read.predict(X, prediction_type="RawFormulaVal"), read.get_metadata()["focal_loss"]


@pytest.mark.parametrize(
    ("classifier", "options", "file", "scores_of"),
    [
        (FocalLGBMClassifier, {"n_estimators": 9, "verbosity": -1}, "model.txt", scores_of_lightgbm),
        (FocalXGBClassifier, {"n_estimators": 9}, "model.ubj", scores_of_xgboost),
        (FocalCatBoostClassifier, {"iterations": 9, "silent": True}, "model.cbm", scores_of_catboost),
    ],
)
def test_the_files_give_scores_and_say_so(
    classifier: Any, options: dict[str, Any], file: str, scores_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine's own class gives scores, whose map by the parameters in the file is `predict_proba`."""
    monkeypatch.chdir(tmp_path)  # where CatBoost writes its logs
    X, y = load_breast_cancer(return_X_y=True)
    model = classifier(gamma=2.0, pos_weight=3.0, **options).fit(X, y)
    model.save_model(tmp_path / file)
    scores, settings = scores_of(tmp_path / file, X)
    known = json.loads(settings)
    assert known["note"].startswith("the trees give scores; neither they nor their sigmoid or softmax are probab")
    found = posterior_from_logits(
        scores.astype(float), known["gamma"], pos_weight=known["weights"][1] / known["weights"][0]
    )
    np.testing.assert_allclose(found, model.predict_proba(X)[:, 1], rtol=1e-6)


def test_the_page_has_each_language_once() -> None:
    assert [len(block(language)) > 100 for language in ("sql", "c", "java", "javascript")] == [True] * 4
