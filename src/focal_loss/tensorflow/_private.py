"""The private names of TensorFlow in use. If one is gone, its feature falls back to the formula or is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from focal_loss._core.private import private

_IN_GRAPHS = "in graphs the formula computes"
_FORWARD_MODE = "a `tf.autodiff.ForwardAccumulator` in a graph is refused, eager gradients are slower"

_FuncGraph = private("tensorflow.python.framework.func_graph", "FuncGraph", _IN_GRAPHS)
_is_in_xla = private("tensorflow.python.ops.control_flow_util", "GraphOrParentsInXlaContext", _IN_GRAPHS)
_is_exported = private("tensorflow.python.saved_model.save_context", "in_save_context", _IN_GRAPHS)
register_vectorized = private("tensorflow.python.ops.parallel_for.pfor", "RegisterPFor", _IN_GRAPHS)
vectorized = private("tensorflow.python.ops.parallel_for.pfor", "wrap", _IN_GRAPHS)
vectorized_ops = private("tensorflow.python.ops.parallel_for.pfor", "_pfor_converter_registry", _IN_GRAPHS)
by_device = private("tensorflow", "__internal__.execute_fn_for_device", _IN_GRAPHS)
_is_followed = private(
    "tensorflow.python.pywrap_tfe", "TFE_Py_TapeSetPossibleGradientTypes", "eager losses are recorded for any tape"
)
_tangents = private("tensorflow.python.pywrap_tfe", "TFE_Py_PackJVPs", "the formula computes")
_stop_recording = private("tensorflow.python.eager.record", "stop_recording", _FORWARD_MODE)
_record = private("tensorflow.python.eager.record", "record_operation", _FORWARD_MODE)

RECORDS = None not in (_stop_recording, _record)  # whether `record` can be called

# In graphs an op must have a rule for `tf.vectorized_map`, and the formula must run under XLA and in exports.
SERVES_GRAPHS = None not in (
    _FuncGraph,
    _is_in_xla,
    _is_exported,
    register_vectorized,
    vectorized,
    vectorized_ops,
    by_device,
)


def is_for_ops(graph: Any) -> bool:
    """Whether a graph is one of a `tf.function`, for neither XLA nor an export.

    An exported graph must not need this library where it is loaded.
    """
    return SERVES_GRAPHS and isinstance(graph, _FuncGraph) and not _is_in_xla(graph) and not _is_exported()


def is_followed(*tensors: Any) -> bool:
    """Whether a tape follows one of these tensors, or may."""
    return _is_followed is None or bool(_is_followed(tensors))


def has_tangents(tensors: Sequence[Any]) -> bool:
    """Whether a `tf.autodiff.ForwardAccumulator` follows any of these tensors, or may."""
    return _tangents is None or bool(_tangents(tensors)[1])


def stop_recording() -> Any:
    """A context in which no operation is recorded, so that `record` can record one by hand."""
    if not RECORDS:
        raise NotImplementedError(
            "this version of TensorFlow has no `tensorflow.python.eager.record` as the focal loss needs it for a "
            "`tf.autodiff.ForwardAccumulator` in a graph; open the accumulator in eager code"
        )
    return _stop_recording()


def record(value: Any, tensors: Sequence[Any], gradient: Any) -> None:
    _record("focal_loss", [value], list(tensors), gradient)
