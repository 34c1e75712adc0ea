"""The classifier as an ONNX model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from focal_loss._boosting import graph

CATEGORICAL = 1  # type of a split


def exported(model: Any, columns: Sequence[graph.Column] | None = None, answer: graph.Answer | None = None) -> Any:
    """The ONNX model, of inputs that are the columns, or `X` if all of the booster's columns are numbers."""
    booster = model.get_booster()
    best = getattr(model, "best_iteration", None)
    trained = booster if best is None else booster[: best + 1]
    trees = trees_of(json.loads(trained.save_raw("json"))["learner"]["gradient_booster"], model.start_score_)
    found = tuple(columns or columns_of(booster))
    types = booster.feature_types or []
    codes = [k for k, kind in enumerate(types) if kind == "c" and found[k].categories is None]
    own = graph.Features(found, named=columns is not None, single=True, whole=tuple(codes))
    return graph.model_of(own, trees, model._focus, model.calibrated, answer or graph.Answer(model.classes_))


def columns_of(booster: Any) -> list[graph.Column]:
    """The columns, with the categories of those that were categorical in pandas."""
    names = booster.feature_names or [f"f{k}" for k in range(booster.num_features())]
    known = booster.get_categories(export_to_arrow=True).to_arrow()
    categories = dict(known or [])
    return [
        graph.Column(name, None if categories.get(name) is None else tuple(categories[name].to_pylist()))
        for name in names
    ]


def trees_of(booster: dict[str, Any], start: Any) -> graph.Trees:
    """The trees of XGBoost's JSON.

    Raises
    ------
    ValueError
        If they are no trees, or have a leaf for all classes.
    """
    dropped = booster.get("weight_drop")  # of 'dart'
    held = booster.get("gbtree", booster).get("model")
    if held is None or "trees" not in held:
        raise ValueError(f"`booster` must be 'gbtree' or 'dart' for `to_onnx`, got {booster.get('name')!r}")
    trees = graph.Trees(np.size(start), start)
    for k, (tree, output) in enumerate(zip(held["trees"], held["tree_info"], strict=True)):
        if tree["tree_param"]["size_leaf_vector"] not in ("0", "1"):
            raise ValueError("`multi_strategy` must be 'one_output_per_tree' for `to_onnx`")
        add(trees, tree, output, 1.0 if dropped is None else dropped[k])
    return trees


def add(trees: graph.Trees, tree: dict[str, Any], output: int, weight: float) -> None:
    sets = dict(
        zip(
            tree["categories_nodes"],
            zip(tree["categories_segments"], tree["categories_sizes"], strict=True),
            strict=True,
        )
    )
    left, right, splits = tree["left_children"], tree["right_children"], tree["split_conditions"]
    branch: dict[int, int] = {}
    for k in reversed(below(left, right)):
        split = float(np.float32(splits[k]))
        if left[k] < 0:
            branch[k] = trees.leaf(weight * split, output)
            continue
        yes, no, missing = branch[left[k]], branch[right[k]], bool(tree["default_left"][k])
        feature = tree["split_indices"][k]
        if tree["split_type"][k] == CATEGORICAL:  # the categories of the set go to the right
            first, size = sets[k]
            members = tree["categories"][first : first + size]
            branch[k] = trees.node(feature, graph.MEMBER, members, not missing, no, yes)
        else:
            branch[k] = trees.node(feature, graph.LESS, split, missing, yes, no)
    trees.root(branch[0])


def below(left: list[int], right: list[int]) -> list[int]:
    """The nodes of a tree, each before its children."""
    found = [0]
    for k in found:
        if left[k] >= 0:
            found += [left[k], right[k]]
    return found
