"""Snapshots of unfinished training: CatBoost compares its own parameters, but cannot see the loss."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from focal_loss._boosting.classifier import Focus

ENDING = ".focal_loss"  # name of the file beside a snapshot


def check(params: dict[str, Any], focus: Focus, start: Any) -> None:
    """Compare the loss with that of the snapshot, if there is one, and store it beside the snapshot.

    Raises
    ------
    ValueError
        If the snapshot was made with another loss.
    """
    if not params.get("save_snapshot"):
        return
    snapshot = Path(params.get("train_dir") or "catboost_info", params.get("snapshot_file") or "experiment.cbsnapshot")
    path = snapshot.with_name(snapshot.name + ENDING)
    ours = {"gamma": focus.gamma, "weights": focus.weights, "hessian": focus.hessian, "start": np.ravel(start).tolist()}
    text = json.dumps(ours)
    if snapshot.exists():
        theirs = path.read_text(encoding="utf-8") if path.exists() else "a loss that is not written down"
        if theirs != text:
            raise ValueError(
                f"{snapshot} was made with {theirs}, got {text}; give another `snapshot_file`, or remove it"
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
