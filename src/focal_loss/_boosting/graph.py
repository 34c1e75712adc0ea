"""A classifier as an ONNX model: columns, category codes, trees and the posterior map, all in float64.

The map is that of `_core/posterior.py`. With a = |z|, u = exp(-a), t = log1p(u) / u, the negative logarithms of the
larger and the smaller probability are u t and a + u t, and the ratios R of their sides

    p L / q = t for the larger p = 1 / (1 + u),    u (a + u t) for the smaller p = u / (1 + u)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from focal_loss._boosting.classifier import Calibrated, Focus

Array = Any
LEAST_OR_EQUAL, LESS, GREATER, EQUAL, MEMBER = 0, 1, 3, 4, 6  # modes of a node of `TreeEnsemble`
OPSETS = (("", 18), ("ai.onnx.ml", 5))
IR_VERSION = 10
OUTPUTS = ("label", "probabilities")
ZERO = float(np.float32(1e-35))  # LightGBM takes numbers of this size, and smaller ones, for 0


@dataclass
class Trees:
    """The sum of trees, a tree at a time. A branch is the number of a node, or ~k for leaf k."""

    outputs: int
    start: Array  # what the trees are added to, of shape () or (outputs,)
    features: list[int] = field(default_factory=list)
    modes: list[int] = field(default_factory=list)
    splits: list[float] = field(default_factory=list)
    members: list[float] = field(default_factory=list)  # of each node of `MEMBER`, with a NaN after them
    missing: list[int] = field(default_factory=list)  # whether NaN goes where the condition holds
    branches: list[tuple[int, int]] = field(default_factory=list)  # where the condition holds, and where not
    leaves: list[tuple[float, int]] = field(default_factory=list)  # value, output
    roots: list[int] = field(default_factory=list)

    def leaf(self, value: float, output: int) -> int:
        self.leaves.append((value, output))
        return ~(len(self.leaves) - 1)

    def node(self, feature: int, mode: int, split: float | Sequence[int], missing: bool, yes: int, no: int) -> int:
        if mode == MEMBER:
            assert not isinstance(split, float | int)
            self.members += [*map(float, split or [-1]), np.nan]  # onnxruntime refuses a set without members
            split = 0.0
        self.features.append(feature)
        self.modes.append(mode)
        self.splits.append(float(split))  # type: ignore[arg-type]
        self.missing.append(int(missing))
        self.branches.append((yes, no))
        return len(self.features) - 1

    def root(self, branch: int) -> None:
        """End a tree. One that is a leaf becomes a node with that leaf on both sides."""
        self.roots.append(branch if branch >= 0 else self.node(0, LEAST_OR_EQUAL, 0.0, False, branch, branch))


@dataclass(frozen=True)
class Column:
    """A column of the table. One of words or numbers that are categories has the code of its category, or NaN."""

    name: str
    categories: tuple[Any, ...] | None = None
    other: str | None = None  # the category of words that are no category


def is_words(column: Column) -> bool:
    """Whether a column has categories that are words.

    Raises
    ------
    TypeError
        If its categories are neither words nor numbers.
    """
    if not column.categories:
        return False
    words = [isinstance(category, str) for category in column.categories]
    if any(words) != all(words) or not all(isinstance(c, str | int | float) for c in column.categories):
        raise TypeError(f"the categories of column {column.name!r} must be strings or numbers to be exported")
    return all(words)


def keys_of(column: Column) -> Array:
    """The categories as keys of an encoder.

    Raises
    ------
    ValueError
        If two of them are the same number in float64.
    """
    keys = np.array(list(column.categories or ()), dtype=object if is_words(column) else np.float64)
    if len(set(keys.tolist())) < len(keys):
        raise ValueError(
            f"the categories of column {column.name!r} must differ in float64 to be exported; make them words"
        )
    return keys


def tensor(name: str, values: Array) -> Any:
    if values.dtype.kind not in "OU":
        return numpy_helper.from_array(values, name)
    return helper.make_tensor(name, TensorProto.STRING, values.shape, [str(word).encode() for word in values.ravel()])


class Graph:
    """The nodes of a model, added one by one."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def op(self, kind: str, *inputs: Any, **attributes: Any) -> str:
        """The name of the output of a new node. Inputs that are not names are constants."""
        name = f"focal_loss/{kind}_{len(self.nodes)}"  # no column has such a name
        given = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        self.nodes.append(helper.make_node(kind, given, [name], **attributes))
        return name

    def constant(self, value: Any) -> str:
        name = f"focal_loss/constant_{len(self.constants)}"
        self.constants.append(tensor(name, np.asarray(value)))
        return name

    def trees(self, columns: str, trees: Trees) -> str:
        """The scores, of shape (n, outputs)."""
        branches = np.array(trees.branches, dtype=np.int64).reshape(-1, 2)
        inside = np.where(branches >= 0, branches, ~branches)
        attributes: dict[str, Any] = {}
        if trees.members:
            attributes["membership_values"] = numpy_helper.from_array(np.array(trees.members))
        scores = self.op(
            "TreeEnsemble",
            columns,
            domain="ai.onnx.ml",
            n_targets=trees.outputs,
            tree_roots=trees.roots,
            nodes_featureids=trees.features,
            nodes_modes=numpy_helper.from_array(np.array(trees.modes, dtype=np.uint8)),
            nodes_splits=numpy_helper.from_array(np.array(trees.splits)),
            nodes_missing_value_tracks_true=trees.missing,
            nodes_truenodeids=inside[:, 0].tolist(),
            nodes_trueleafs=(branches[:, 0] < 0).astype(int).tolist(),
            nodes_falsenodeids=inside[:, 1].tolist(),
            nodes_falseleafs=(branches[:, 1] < 0).astype(int).tolist(),
            leaf_weights=numpy_helper.from_array(np.array([value for value, _ in trees.leaves], dtype=np.float64)),
            leaf_targetids=[output for _, output in trees.leaves],
            **attributes,
        )
        return self.op("Add", scores, np.reshape(np.asarray(trees.start, np.float64), (1, -1)))

    def encoded(self, column: str, keys: Any, values: Array, other: Any) -> str:
        """The value that belongs to each key, a word or a number; `other` for what is no key."""
        return self.op(
            "LabelEncoder",
            column,
            domain="ai.onnx.ml",
            keys_tensor=tensor("keys", keys),
            values_tensor=tensor("values", values),
            default_tensor=tensor("default", np.array([other], values.dtype)),
        )

    def codes(self, column: str, known: Column) -> str:
        """The index of the category of each entry, NaN for a value that is no category."""
        return self.encoded(column, keys_of(known), np.arange(len(known.categories or ()), dtype=np.float64), np.nan)

    def sides(self, z: str) -> tuple[str, str, str, str, str]:
        """For margins z: z >= 0, and of the larger and the smaller probability the negative logarithm and R."""
        size = self.op("Abs", z)
        u = self.op("Exp", self.op("Neg", size))
        whole = self.op("Add", u, 1.0)
        # log(1 + u) divided by what is left of u in the rounded 1 + u; the quotient is 1 where nothing is left.
        kept = self.op("Sub", whole, 1.0)
        lost = self.op("Equal", kept, 0.0)
        ratio = self.op("Div", self.op("Log", whole), self.op("Where", lost, 1.0, kept))
        t = self.op("Where", lost, 1.0, ratio)
        larger = self.op("Mul", u, t)
        smaller = self.op("Add", size, larger)
        return self.op("GreaterOrEqual", z, 0.0), larger, t, smaller, self.op("Mul", u, smaller)

    def gain(self, gamma: float, ratio: str) -> str:
        """log(1 + gamma R)."""
        return self.op("Log", self.op("Add", self.op("Mul", ratio, gamma), 1.0))

    def binary(self, scores: str, gamma: float, log_odds: float) -> str:
        """Probabilities of shape (n, 2) from scores of shape (n, 1): T(z) = (1 + g) z + gains, which is odd in z."""
        positive, _, larger, _, smaller = self.sides(scores)
        gains = self.op("Sub", self.gain(gamma, smaller), self.gain(gamma, larger))
        signed = self.op("Where", positive, gains, self.op("Neg", gains))
        logit = self.op("Sub", self.op("Add", self.op("Mul", scores, 1.0 + gamma), signed), log_odds)
        return self.sigmoid(self.op("Concat", self.op("Neg", logit), logit, axis=1))

    def sigmoid(self, z: str) -> str:
        """The sigmoid, to full relative precision where it is small: onnxruntime's own is 1 - sigmoid(-z)."""
        u = self.op("Exp", self.op("Neg", self.op("Abs", z)))
        side = self.op("Where", self.op("GreaterOrEqual", z, 0.0), 1.0, u)
        return self.op("Div", side, self.op("Add", u, 1.0))

    def softmax(self, scores: str, gamma: float, weights: Array) -> str:
        """Probabilities of shape (n, K): the softmax of U(s_k) - log w_k, s_k the margins of the scores."""
        classes = len(weights)
        axis = np.array([2], dtype=np.int64)
        others = np.where(np.eye(classes, dtype=bool), -np.inf, 0.0)[None]
        rest = self.op("Add", self.op("Unsqueeze", scores, np.array([1], dtype=np.int64)), others)
        most = self.op("ReduceMax", rest, axis, keepdims=1)
        total = self.op("ReduceSum", self.op("Exp", self.op("Sub", rest, most)), axis, keepdims=1)
        rest = self.op("Squeeze", self.op("Add", self.op("Log", total), most), axis)
        positive, larger, of_larger, smaller, of_smaller = self.sides(self.op("Sub", scores, rest))
        p = self.op("Where", positive, larger, smaller)
        q = self.op("Where", positive, smaller, larger)
        gain = self.gain(gamma, self.op("Where", positive, of_larger, of_smaller))
        evidence = self.op("Sub", self.op("Sub", self.op("Mul", q, gamma), p), gain)
        return self.op("Softmax", self.op("Sub", evidence, np.log(weights)[None]), axis=1)


@dataclass(frozen=True)
class Features:
    """How a table becomes the numbers that the trees compare."""

    columns: tuple[Column, ...]
    named: bool = False  # whether each column is an input of its own even if all are numbers
    single: bool = False  # whether the booster rounds them to float32
    whole: tuple[int, ...] = ()  # categories that are given as codes
    has_empty_words: bool = False  # whether '' is a word as others are, and none is missing
    zeros: tuple[float, ...] | None = None  # for each column, 0 or NaN in place of numbers that LightGBM takes for 0

    @property
    def is_matrix(self) -> bool:
        return not self.named and all(column.categories is None for column in self.columns)

    def inputs(self) -> list[Any]:
        """The inputs of the model.

        Raises
        ------
        ValueError
            If the name of a column cannot be that of an input, or a missing word cannot be told from a category.
        """
        if self.is_matrix:
            return [helper.make_tensor_value_info("X", TensorProto.DOUBLE, [None, len(self.columns)])]
        for column in self.columns:
            if column.name in ("", *OUTPUTS):
                raise ValueError(f"a column must not be named {column.name!r} to be exported; rename it, and fit again")
            if "" in (column.categories or ()) and not self.has_empty_words:
                raise ValueError(
                    f"column {column.name!r} must have no category '' to be exported, which is a missing word in ONNX; "
                    "rename it, and fit again"
                )
        kinds = [TensorProto.STRING if is_words(column) else TensorProto.DOUBLE for column in self.columns]
        return [
            helper.make_tensor_value_info(column.name, kind, [None, 1])
            for column, kind in zip(self.columns, kinds, strict=True)
        ]

    def numbers(self, graph: Graph, inputs: list[Any]) -> str:
        """The numbers, of shape (n, columns)."""
        found = inputs[0].name
        if not self.is_matrix:
            each = [
                value.name if column.categories is None else graph.codes(value.name, column)
                for value, column in zip(inputs, self.columns, strict=True)
            ]
            found = graph.op("Concat", *each, axis=1)
        if self.single:
            found = graph.op("Cast", graph.op("Cast", found, to=TensorProto.FLOAT), to=TensorProto.DOUBLE)
        if self.whole:
            mask = np.isin(np.arange(len(self.columns)), self.whole)[None]
            found = graph.op("Where", mask, graph.op("Floor", found), found)
        if self.zeros is not None:
            small = graph.op("LessOrEqual", graph.op("Abs", found), ZERO)
            found = graph.op("Where", small, np.array([self.zeros]), found)
        return found


@dataclass(frozen=True)
class Answer:
    """The classes, and for two of them the rule by which the second is chosen."""

    classes: Array
    threshold: float = 0.5
    reaches: bool = False  # whether a probability equal to the threshold is enough

    def label(self, graph: Graph, probabilities: str) -> str:
        classes = self.classes
        classes = classes.astype({"i": np.int64, "u": np.int64, "f": np.float64}.get(classes.dtype.kind, classes.dtype))
        if len(classes) > 2:
            index = graph.op("ArgMax", probabilities, axis=1, keepdims=0)
        else:
            second = graph.op("Gather", probabilities, np.array(1, dtype=np.int64), axis=1)
            rule = "GreaterOrEqual" if self.reaches else "Greater"
            index = graph.op("Cast", graph.op(rule, second, float(self.threshold)), to=TensorProto.INT64)
        return graph.op("Gather", classes, index, axis=0)

    def kind(self) -> int:
        kinds = {"i": TensorProto.INT64, "u": TensorProto.INT64, "f": TensorProto.DOUBLE, "b": TensorProto.BOOL}
        return kinds.get(self.classes.dtype.kind, TensorProto.STRING)


def model_of(features: Features, trees: Trees, focus: Focus, calibrated: Calibrated, answer: Answer) -> onnx.ModelProto:
    """The ONNX model: from columns to `label`, of shape (n,), and `probabilities`, of shape (n, K).

    Raises
    ------
    ValueError
        If the probabilities are those of another map, or a column has no fit name.
    """
    graph, inputs = Graph(), features.inputs()
    scores = graph.trees(features.numbers(graph, inputs), trees)
    factor = float(focus.tempered(1.0, calibrated))  # one over the temperature
    scores = scores if factor == 1 else graph.op("Mul", scores, factor)
    gamma, weights = (focus.gamma, np.array(focus.weights)) if calibrated else (0.0, np.ones(focus.classes))
    if focus.classes == 2:
        probabilities = graph.binary(scores, gamma, float(np.log(weights[1] / weights[0])))
    else:
        probabilities = graph.softmax(scores, gamma, weights)
    kinds = (answer.kind(), [None]), (TensorProto.DOUBLE, [None, focus.classes])
    outputs = [helper.make_tensor_value_info(name, *kind) for name, kind in zip(OUTPUTS, kinds, strict=True)]
    for name, value in zip(OUTPUTS, (answer.label(graph, probabilities), probabilities), strict=True):
        graph.nodes.append(helper.make_node("Identity", [value], [name]))
    whole = helper.make_graph(graph.nodes, "focal_loss", inputs, outputs, graph.constants)
    opsets = [helper.make_opsetid(*opset) for opset in OPSETS]
    model = helper.make_model(whole, opset_imports=opsets, ir_version=IR_VERSION, producer_name="focal_loss")
    helper.set_model_props(model, {"gamma": str(focus.gamma), "calibrated": str(bool(calibrated))})
    onnx.checker.check_model(model)
    return model
