"""A damaged file is refused before the library's parser, which may crash, sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made import table

from focal_loss.catboost import FocalCatBoostClassifier
from focal_loss.lightgbm import FocalLGBMClassifier
from focal_loss.xgboost import FocalXGBClassifier

X, Y = table(100)
FILES: list[tuple[type, dict[str, Any], str]] = [
    (FocalLGBMClassifier, {"n_estimators": 3, "n_jobs": 1, "verbosity": -1}, "m.txt"),
    (FocalXGBClassifier, {"n_estimators": 3, "n_jobs": 1}, "m.json"),
    (FocalXGBClassifier, {"n_estimators": 3, "n_jobs": 1}, "m.ubj"),
    (FocalCatBoostClassifier, {"iterations": 3, "verbose": False, "allow_writing_files": False, "depth": 2}, "m.cbm"),
]


@pytest.mark.parametrize(("classifier", "options", "name"), FILES, ids=[name for *_, name in FILES])
def test_bytes_that_are_cut_changed_or_added_are_found(
    classifier: Any, options: dict[str, Any], name: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    model = classifier(**options).fit(X, Y)
    model.save_model(path)
    whole = path.read_bytes()
    loaded = classifier().load_model(path)
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    loaded.save_model(path)  # with a digest of its own
    np.testing.assert_array_equal(classifier().load_model(path).predict_proba(X), model.predict_proba(X))
    end = len(whole)
    damaged = [whole + b" ", whole.replace(b"sha256:", b"sha256:0", 1)]
    for place in (10, end // 3, end // 2):
        flipped = bytearray(whole)
        flipped[place] ^= 1
        damaged += [bytes(flipped), whole[:place] + b"7" + whole[place:], whole[:place] + whole[place + 1 :]]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} is damaged"):
            classifier().load_model(path)


@pytest.mark.parametrize(
    "change",
    [
        (b'"gamma": 2.0', b'"gamma": -1'),
        (b'"format": 1', b'"format": {'),
        (b'"weights"', b'"w"'),
        (b"[0, 1]", b"[0, %d]" % 10**30),
    ],
)
def test_a_tampered_tag_is_an_error_of_one_line(change: tuple[bytes, bytes], tmp_path: Path) -> None:
    path = tmp_path / "m.txt"
    FocalLGBMClassifier(n_estimators=3, n_jobs=1, verbosity=-1).fit(X, Y).save_model(path)
    content = path.read_bytes().replace(b"sha256:", b"sha:")  # as an older file, without a digest
    path.write_bytes(content.replace(*change))
    with pytest.raises(ValueError, match=r"m.txt is damaged: what it holds of focal loss cannot be read"):
        FocalLGBMClassifier().load_model(path)


def test_a_newer_format_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "m.txt"
    FocalLGBMClassifier(n_estimators=3, n_jobs=1, verbosity=-1).fit(X, Y).save_model(path)
    content = path.read_bytes().replace(b"sha256:", b"sha:").replace(b'"format": 1', b'"format": 3')
    path.write_bytes(content.replace(b'"gamma": 2.0', b'"gamma": {"first": 2.0}'))
    with pytest.raises(ValueError, match=r"m.txt was saved by a newer version of focal_loss; upgrade it"):
        FocalLGBMClassifier().load_model(path)
