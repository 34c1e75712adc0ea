"""The classifier as an ONNX model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from focal_loss._boosting import graph

CATEGORICAL, DEFAULT_LEFT = 1, 2  # bits of the type of a decision; two more tell what is missing
NONE, AS_ZERO = 0, 1


def exported(model: Any, columns: Sequence[graph.Column] | None = None, answer: graph.Answer | None = None) -> Any:
    """The ONNX model, of inputs that are the columns, or `X` if all of the booster's columns are numbers."""
    booster = model.booster_
    trees, types = trees_of(booster.model_to_string(), booster.num_model_per_iteration())
    found = tuple(columns or columns_of(booster))
    codes = {feature for feature, kind in types if kind & CATEGORICAL}
    missing = {feature for feature, kind in types if kind >> 2 == AS_ZERO} - codes
    zeros = tuple(np.nan if k in missing else 0.0 for k in range(len(found)))
    own = graph.Features(found, named=columns is not None, whole=tuple(sorted(codes)), zeros=zeros)
    return graph.model_of(own, trees, model._focus, model.calibrated, answer or graph.Answer(model.classes_))


def columns_of(booster: Any) -> list[graph.Column]:
    """The columns, with the categories of those that were categorical in pandas.

    Raises
    ------
    ValueError
        If LightGBM took other columns for categorical.
    """
    names, categories = booster.feature_name(), booster.pandas_categorical or []
    if not categories:
        return [graph.Column(name) for name in names]
    # LightGBM keeps the categories of each column of that type, and the columns that it took for categorical.
    listed = re.search(r"^\[categorical_feature: ([\d,]+)\]$", booster.model_to_string(num_iteration=1), re.MULTILINE)
    taken = [] if listed is None else sorted(map(int, listed.group(1).split(",")))
    if len(taken) != len(categories):
        raise ValueError(
            f"{len(categories)} columns are categorical in pandas, but LightGBM took {len(taken)} for that; leave "
            "`categorical_feature` at 'auto', and no category ordered, to export the model"
        )
    of = dict(zip(taken, categories, strict=True))
    return [graph.Column(name, tuple(of[k]) if k in of else None) for k, name in enumerate(names)]


def trees_of(text: str, outputs: int) -> tuple[graph.Trees, set[tuple[int, int]]]:
    """The trees of LightGBM's text format, and the pairs of a feature and the type of a decision about it."""
    trees, types = graph.Trees(outputs, np.zeros(outputs)), set()
    for k, part in enumerate(text.partition("\nend of trees")[0].split("\nTree=")[1:]):
        known = dict(line.split("=", 1) for line in part.splitlines() if "=" in line)
        types |= add(trees, known, k % outputs)
    return trees, types


def add(trees: graph.Trees, known: dict[str, str], output: int) -> set[tuple[int, int]]:
    """Add a tree. Its children are numbered as in `graph.Trees`, from 0 in each tree."""
    leaves, nodes = len(trees.leaves), len(trees.features)
    for value in known["leaf_value"].split():
        trees.leaf(float(value), output)

    def branch(child: int) -> int:
        return nodes + child if child >= 0 else child - leaves

    if known["num_leaves"] == "1":
        trees.root(branch(~0))
        return set()
    kinds, features, left, right = (
        list(map(int, known[name].split())) for name in ("decision_type", "split_feature", "left_child", "right_child")
    )
    for kind, feature, split, yes, no in zip(kinds, features, known["threshold"].split(), left, right, strict=True):
        if kind & CATEGORICAL:
            trees.node(feature, graph.MEMBER, members(known, int(split)), False, branch(yes), branch(no))
            continue
        zero_is_left = float(split) >= 0  # where nothing was missing in training, NaN is taken for 0
        missing = zero_is_left if kind >> 2 == NONE else bool(kind & DEFAULT_LEFT)
        trees.node(feature, graph.LEAST_OR_EQUAL, float(split), missing, branch(yes), branch(no))
    trees.root(nodes)
    return set(zip(features, kinds, strict=True))


def members(known: dict[str, str], k: int) -> list[int]:
    """The categories of the k-th set of a tree, from words of 32 bits."""
    low, high = map(int, known["cat_boundaries"].split()[k : k + 2])
    words = map(int, known["cat_threshold"].split()[low:high])
    return [32 * j + bit for j, word in enumerate(words) for bit in range(32) if word >> bit & 1]
