"""The classifier as an ONNX model."""

from __future__ import annotations

from typing import Any

import numpy as np

from focal_loss._boosting import graph

Array = Any


def exported(model: Any) -> Any:
    """The ONNX model, of inputs that are the columns, or `X` if all columns are numbers."""
    start = model._baseline_prediction[0]
    trees = graph.Trees(len(start), start)
    columns, order = columns_of(model)
    for grown in model._predictors:
        for output, tree in enumerate(grown):
            add(trees, tree, output, order)
    return graph.model_of(
        graph.Features(tuple(columns)), trees, model._focus, model.calibrated, graph.Answer(model.classes_)
    )


def columns_of(model: Any) -> tuple[list[graph.Column], Array]:
    """The columns, and the column of each feature of the trees: scikit-learn puts those with categories first."""
    names = getattr(model, "feature_names_in_", [f"x{k}" for k in range(model.n_features_in_)])
    columns = [graph.Column(name) for name in names]
    if model._preprocessor is None:
        return columns, np.arange(len(columns))
    order = np.argsort(~model.is_categorical_, kind="stable")
    known = model._preprocessor.named_transformers_["encoder"].categories_
    for k, categories in zip(order, known, strict=False):
        # A missing value is among the categories, as the last.
        columns[k] = graph.Column(names[k], tuple(c for c in categories.tolist() if c is not None and c == c))
    return columns, order


def add(trees: graph.Trees, tree: Any, output: int, order: Array) -> None:
    first = len(trees.features)
    inner = np.cumsum(tree.nodes["is_leaf"] == 0) - 1 + first  # numbers of the nodes that are no leaves
    leaves = {k: trees.leaf(float(node["value"]), output) for k, node in enumerate(tree.nodes) if node["is_leaf"]}

    def branch(k: int) -> int:
        return leaves[k] if k in leaves else int(inner[k])

    for node in tree.nodes[tree.nodes["is_leaf"] == 0]:
        feature, missing = int(order[node["feature_idx"]]), bool(node["missing_go_to_left"])
        yes, no = branch(node["left"]), branch(node["right"])
        if node["is_categorical"]:
            words = tree.raw_left_cat_bitsets[node["bitset_idx"]]
            members = [32 * j + bit for j, word in enumerate(words) for bit in range(32) if int(word) >> bit & 1]
            trees.node(feature, graph.MEMBER, members, missing, yes, no)
        else:
            trees.node(feature, graph.LEAST_OR_EQUAL, float(node["num_threshold"]), missing, yes, no)
    trees.root(branch(0))
