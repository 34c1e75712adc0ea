"""The classifier as an ONNX model.

CatBoost compares numbers with borders, words with a word, and statistics with borders. A statistic (CTR) belongs to a
combination of words and comparisons: the counts of labels that training saw with it, found by the hash of all of them.
"""

from __future__ import annotations

import ast
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import catboost
import numpy as np
from onnx import TensorProto

from focal_loss._boosting import graph

Array = Any
FACTOR = np.int64(0x4906BA494954CB65)  # of CatBoost's hash of several values, in 64 bits that overflow
UNSEEN = 0x7FFFFFFF  # the hash of words that are in no table
EMPTY = 2**64 - 1  # marks free places of a table of hashes


def exported(
    model: Any, columns: Sequence[graph.Column] | None = None, answer: graph.Answer | None = None, X: Any = None
) -> Any:
    """The ONNX model, of inputs that are the columns, or `X` if all of the booster's columns are numbers."""
    focus, classes = model._known()
    known = json_of(model)
    scale, bias = known["scale_and_bias"]
    listed = known["features_info"].get("categorical_features", [])
    places = [feature["flat_feature_index"] for feature in listed]
    found = tuple(columns or columns_of(model, places, X))
    own = Comparisons(found, named=columns is not None, single=True, known=known["features_info"], data=known)
    trees = graph.Trees(len(bias), np.array(bias))
    for tree in known.get("oblivious_trees") or known["trees"]:
        for output in range(len(bias)):
            grown = symmetric if "splits" in tree else grown_freely
            trees.root(grown(trees, own, tree, output, len(bias), scale))
    rule = answer or graph.Answer(classes, threshold=model.get_probability_threshold())
    return graph.model_of(own, trees, focus, model.calibrated, rule)


def json_of(model: Any) -> dict[str, Any]:
    """CatBoost's own description of a model.

    Raises
    ------
    ValueError
        If it has columns of texts or embeddings.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        catboost.CatBoost.save_model(model, str(path), format="json")
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for kind in ("text_features", "embedding_features"):
        if known["features_info"].get(kind):
            raise ValueError(f"`{kind}` must be empty for `to_onnx`: columns of words and numbers can be exported")
    return known


def columns_of(model: Any, places: list[int], X: Any) -> list[graph.Column]:
    """The columns; the words of those that are categorical are taken from a table.

    Raises
    ------
    ValueError
        If there are such columns, and no table.
    """
    if places and X is None:
        raise ValueError("`X` must be a table with the words of the categorical columns, such as that of `fit`")
    names = model.feature_names_
    if not places:
        return [graph.Column(name) for name in names]
    if list(getattr(X, "columns", names)) != list(names):
        raise ValueError(f"`X` must have the columns {names}, got {list(X.columns)}")
    words = {k: X.iloc[:, k] if hasattr(X, "iloc") else np.asarray(X, object)[:, k] for k in places}
    return [graph.Column(name, tuple(dict.fromkeys(words[k])) if k in words else None) for k, name in enumerate(names)]


def hashes_of(words: Sequence[str]) -> list[int]:
    """CatBoost's hashes of words, which it writes beside a model in Python: here one of nothing but these words."""
    rows = list(dict.fromkeys([*words, "a", "b"]))
    pool = catboost.Pool([[word] for word in rows], label=[k % 2 for k in range(len(rows))], cat_features=[0])
    options = {"iterations": 1, "depth": 1, "logging_level": "Silent", "allow_writing_files": False, "thread_count": 1}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.py"
        catboost.CatBoost(options).fit(pool).save_model(str(path), format="python", pool=pool)
        text = path.read_text(encoding="utf-8").partition("cat_features_hashes = ")[2].partition("\n}")[0]
    # It escapes the bytes of UTF-8, which Python reads as characters.
    known = {word.encode("latin-1").decode(): value for word, value in ast.literal_eval(text + "}").items()}
    return [known[word] for word in words]


# ---------------------------------------------------------------------------------------------------------------
# Comparisons
# ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Comparisons(graph.Features):
    """The columns, and after them one for each word and statistic that a tree asks for."""

    has_empty_words: bool = True
    known: dict[str, Any] = field(default_factory=dict)  # CatBoost's description of its features
    data: dict[str, Any] = field(default_factory=dict)  # and of the rest
    places: dict[str, int] = field(default_factory=dict)  # of words and statistics, among the columns

    @cached_property
    def splits(self) -> list[tuple[str, dict[str, Any], Any]]:
        """Every split: its kind, its feature, and the border or the word. A tree names them by their index."""
        kinds = (("float_features", "borders"), ("categorical_features", "values"), ("ctrs", "borders"))
        return [
            (kind, feature, value)
            for kind, values in kinds
            for feature in self.known.get(kind, [])
            for value in feature.get(values) or []
        ]

    def node(self, trees: graph.Trees, split: dict[str, Any], yes: int, no: int) -> int:
        kind, feature, value = self.splits[split["split_index"]]
        if kind == "float_features":
            missing = feature["nan_value_treatment"] == "AsTrue"
            border = float(np.float32(value))
            return trees.node(feature["flat_feature_index"], graph.GREATER, border, missing, yes, no)
        if kind == "ctrs":
            place = self.place({"statistic": feature})
            return trees.node(place, graph.GREATER, float(np.float32(value)), False, yes, no)
        place = self.place({"word": feature["feature_index"], "hash": value})
        return trees.node(place, graph.GREATER, 0.5, False, yes, no)

    def place(self, asked: dict[str, Any]) -> int:
        return self.places.setdefault(json.dumps(asked), len(self.columns) + len(self.places))

    def numbers(self, to: graph.Graph, inputs: list[Any]) -> str:
        found = super().numbers(to, inputs)
        hashes = [
            self.hash_of(to, inputs[feature["flat_feature_index"]].name, self.columns[feature["flat_feature_index"]])
            for feature in self.known.get("categorical_features", [])
        ]
        more = []
        for asked in map(json.loads, self.places):
            if "word" in asked:
                more.append(to.op("Cast", is_word(to, hashes, asked["word"], asked["hash"]), to=TensorProto.DOUBLE))
            else:
                more.append(self.statistic(to, found, hashes, asked["statistic"]))
        return to.op("Concat", found, *more, axis=1) if more else found

    def hash_of(self, to: graph.Graph, column: str, known: graph.Column) -> str:
        """The hash of each word of a column."""
        words = known.categories or ()
        hashes = hashes_of([str(word) for word in words])
        other = hashes[words.index(known.other)] if known.other in words else UNSEEN
        return to.encoded(column, graph.keys_of(known), np.array(hashes, np.int64), np.int64(other))

    def statistic(self, to: graph.Graph, numbers: str, hashes: list[str], ctr: dict[str, Any]) -> str:
        """A statistic: the hash of all that it depends on, and the number that belongs to it."""
        found = to.constant(np.zeros((1, 1), np.int64))
        for element in ctr["elements"]:
            kind = element["combination_element"]
            if kind == "cat_feature_value":
                value = hashes[element["cat_feature_index"]]
            elif kind == "cat_feature_exact_value":
                value = is_word(to, hashes, element["cat_feature_index"], element["value"])
            else:
                value = self.is_above(to, numbers, element["float_feature_index"], element["border"])
            value = to.op("Cast", value, to=TensorProto.INT64)
            found = to.op("Mul", to.op("Add", found, to.op("Mul", value, FACTOR)), FACTOR)
        keys, values, other = table_of(ctr, self.data["ctr_data"][ctr["identifier"]])
        return to.encoded(found, keys, values, other)

    def is_above(self, to: graph.Graph, numbers: str, index: int, border: float) -> str:
        feature = self.known["float_features"][index]
        column = to.op("Gather", numbers, np.array([feature["flat_feature_index"]]), axis=1)
        above = to.op("Greater", column, float(np.float32(border)))
        return to.op("Or", above, to.op("IsNaN", column)) if feature["nan_value_treatment"] == "AsTrue" else above


def is_word(to: graph.Graph, hashes: list[str], index: int, value: int) -> str:
    return to.op("Equal", hashes[index], np.int64(value))


def table_of(ctr: dict[str, Any], data: dict[str, Any]) -> tuple[Array, Array, float]:
    """The hashes and values of a statistic, and the value of what training did not see."""
    rows = np.array(data["hash_map"], dtype=object).reshape(-1, data["hash_stride"])
    rows = rows[[int(key) != EMPTY for key in rows[:, 0]]]
    keys, first = np.unique(rows[:, 0].astype(np.uint64), return_index=True)
    counts = rows[first, 1:].astype(np.float64)
    kind, border = ctr["ctr_type"], ctr.get("target_border_idx", 0)
    if kind in ("Counter", "FeatureFreq"):
        good, total = counts[:, 0], np.full(len(counts), float(data["counter_denominator"]))
    elif kind in ("BinarizedTargetMeanValue", "FloatTargetMeanValue"):
        good, total = counts[:, 0], counts[:, 1]
    else:
        good = counts[:, border] if kind == "Buckets" else counts[:, border + 1 :].sum(axis=1)
        total = counts.sum(axis=1)

    def value(good: Array, total: Array) -> Array:
        """CatBoost's formula, in its float32."""
        one = np.float32
        ratio = (one(good) + one(ctr["prior_numerator"])) / (one(total) + one(ctr["prior_denomerator"]))
        return np.float64((ratio + one(ctr["shift"])) * one(ctr["scale"]))

    return keys.view(np.int64), value(good, total), float(value(np.float64(0), np.float64(0)))


# ---------------------------------------------------------------------------------------------------------------
# Trees
# ---------------------------------------------------------------------------------------------------------------


def symmetric(
    trees: graph.Trees, own: Comparisons, tree: dict[str, Any], output: int, outputs: int, scale: float
) -> int:
    """A tree that asks the same on each level; the answers are the bits of the leaf, the first level's the lowest."""
    values = tree["leaf_values"]
    level = [trees.leaf(scale * value, output) for value in values[output::outputs]]
    for split in reversed(tree.get("splits") or []):
        half = len(level) // 2
        level = [own.node(trees, split, level[half + k], level[k]) for k in range(half)]
    return level[0]


def grown_freely(
    trees: graph.Trees, own: Comparisons, tree: dict[str, Any], output: int, outputs: int, scale: float
) -> int:
    """A tree of 'Depthwise' or 'Lossguide'."""
    if "split" not in tree:
        value = tree["value"]
        return trees.leaf(scale * (value[output] if outputs > 1 else value), output)
    no, yes = (grown_freely(trees, own, tree[side], output, outputs, scale) for side in ("left", "right"))
    return own.node(trees, tree["split"], yes, no)
