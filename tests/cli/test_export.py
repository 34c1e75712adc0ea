"""`focal-loss export`: a stored model in ONNX gives what `predict` writes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from commands import QUICK, refused, run, table

from focal_loss._command import store
from focal_loss._dispatch.frameworks import BOOSTERS


@pytest.mark.parametrize("engine", BOOSTERS)
def test_the_file_gives_what_predict_writes(engine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, model, frame = tmp_path / "data.csv", tmp_path / "m", table().assign(**{'odd "name", ä': np.arange(400) % 7})
    frame.to_csv(data, index=False)
    given = ("--target", "rare", *QUICK, "--engine", engine, "--out", model)
    assert run("fit", data, *given) == 0
    capsys.readouterr()
    assert run("export", model, "--to", "onnx") == 0
    assert capsys.readouterr().out == f"{model / 'model.onnx'}\n"
    frame.loc[:5, "kind"] = "never seen"
    frame = frame.astype({"yes": object})
    frame.loc[6:9, ["yes", "day"]] = None
    frame.to_csv(data, index=False)
    assert run("predict", model, data, "--out", tmp_path / "p.csv") == 0
    written = pd.read_csv(tmp_path / "p.csv", dtype={"prediction": str})

    session = onnxruntime.InferenceSession(str(model / "model.onnx"))
    days = (frame.day - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1)
    columns = frame.assign(day=days, yes=frame.yes.astype(float), kind=frame.kind.fillna(""))
    inputs = {name.name: columns[name.name].to_numpy()[:, None] for name in session.get_inputs()}
    inputs = {name: values if name == "kind" else values.astype(float) for name, values in inputs.items()}
    label, probabilities = session.run(["label", "probabilities"], inputs)
    np.testing.assert_allclose(probabilities[:, 1], written.probability, rtol=0, atol=1e-6)
    assert label.tolist() == written.prediction.tolist()
    assert set(label) == {"0", "1"}
    notes = session.get_modelmeta().custom_metadata_map
    assert (notes["target"], notes["positive"], notes["negative"]) == ("rare", "1", "0")
    assert float(notes["threshold"]) == store.Stored.load(model).threshold
    assert run("fit", data, *given, "--force") == 0  # the file is one of the command's own


def test_what_cannot_be_exported(
    fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    capsys.readouterr()
    assert "--to" in refused(capsys, "export", fitted)
    assert "no such directory" in refused(capsys, "export", tmp_path / "none", "--to", "onnx")
    message = refused(capsys, "export", fitted, "--to", "onnx", "--out", fitted / "model.txt")
    assert "model.txt is what is exported; choose another --out" in message
    table().rename(columns={"number": "label"}).to_csv(tmp_path / "label.csv", index=False)
    assert run("fit", tmp_path / "label.csv", "--target", "rare", *QUICK, "--out", tmp_path / "m") == 0
    capsys.readouterr()
    message = refused(capsys, "export", tmp_path / "m", "--to", "onnx")
    assert "a column must not be named 'label' to be exported; rename it, and fit again" in message
    for name in [name for name in sys.modules if name.startswith("focal_loss._boosting.graph")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert "onnx is not installed: pip install 'focal-loss[onnx]'" in refused(capsys, "export", fitted, "--to", "onnx")
