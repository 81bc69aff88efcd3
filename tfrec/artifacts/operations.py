"""Will a stock TensorFlow Serving know every operation of the graph?"""

from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tfrec.errors import ExportError

TEXT_OPERATIONS = frozenset(
    {"FastWordpieceTokenizeWithOffsets", "RegexSplitWithOffsets", "CaseFoldUTF8", "NormalizeUTF8"}
)
"""Operations of TensorFlow Text that every recent TensorFlow Serving links."""


def audit_operations(folder: Path) -> None:
    """Refuses operations that a server lacks: it would start, and fail at the first request.

    Raises:
        ExportError: An operation is neither TensorFlow's own nor one of TEXT_OPERATIONS, or a function wants XLA,
            which TensorFlow Serving switches off.
    """
    model = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    for graph in model.meta_graphs:
        names = {operation.name for operation in graph.meta_info_def.stripped_op_list.op}
        foreign = sorted(name for name in names - TEXT_OPERATIONS if not hasattr(tf.raw_ops, name))
        if foreign:
            raise ExportError(
                f"Expected operations that a stock TensorFlow Serving has. Received: {foreign}. "
                "Replace the layer that brings them."
            )
        compiled = [
            function.signature.name
            for function in graph.graph_def.library.function
            if function.attr["_XlaMustCompile"].b
        ]
        if compiled:
            raise ExportError(
                f"Expected functions without jit_compile, which TensorFlow Serving refuses. Received: {compiled}"
            )
