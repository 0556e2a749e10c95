"""The same encoder for ONNX Runtime, whose kernels for small batches on a CPU take about half of PyTorch's time.

The graph is built from the weights when it is loaded: nothing is exported, kept or shipped. Texts of one length are one
call, so that nothing is padded and no text's vector depends on its company.
"""

import os
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._bert import DIM, HEADS, LAYERS

OPSET, IR = 20, 9
"""The oldest with Gelu; ONNX Runtime reads it from 1.17 on."""
OWN = "com.microsoft"
"""Operators of ONNX Runtime itself."""
Weights = Mapping[str, NDArray[np.float32]]


class OnnxBert:
    """Rows of token ids -> unit vectors (n, DIM), as `Bert` gives them."""

    def __init__(self, weights: Weights):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        threads = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # as PyTorch obeys it
        options.intra_op_num_threads = int(threads) if threads.isdigit() else 0  # 0: one for each core
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # a waiting thread takes no core
        self._words = weights["embeddings.word_embeddings.weight"]  # looked up here: half of all weights
        kind = weights["embeddings.token_type_embeddings.weight"][0]
        self._places = weights["embeddings.position_embeddings.weight"] + kind
        self._session = onnxruntime.InferenceSession(_model(weights), options, providers=["CPUExecutionProvider"])

    def __call__(self, rows: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Fastest where texts of one length stand side by side."""
        found = []
        for width, same in groupby(rows, len):
            x = self._words[np.array(list(same))] + self._places[:width]
            found += self._session.run(None, {"x": x})
        return np.concatenate(found)


class _Graph:
    """Operators in the order in which they are added; each gives the name of its result."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: NDArray[Any]) -> str:
        from onnx import numpy_helper

        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def add(self, kind: str, *given: str, outputs: int = 1, **attributes: Any) -> Any:
        """The name of the result, or the names where there are several."""
        from onnx import helper

        names = [f"v{len(self.nodes)}_{n}" for n in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(given), names, **attributes))
        return names[0] if outputs == 1 else names


def _model(weights: Weights) -> bytes:
    """`x`, the words and places of texts of one length, float32 (n, width, DIM) -> their vectors (n, DIM)."""
    from onnx import TensorProto, helper

    graph = _Graph()
    x = _norm(graph, weights, "embeddings.LayerNorm", "x")
    for number in range(LAYERS):
        x = _layer(graph, weights, f"encoder.layer.{number}", x)
    mean = graph.add("ReduceMean", x, graph.constant(np.array([1])), keepdims=0)
    unit = graph.add("LpNormalization", mean, axis=-1, p=2)
    made = helper.make_graph(
        graph.nodes, "encoder", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "width", DIM])],
        [helper.make_tensor_value_info(unit, TensorProto.FLOAT, ["n", DIM])], graph.constants,
    )  # fmt: skip
    imports = [helper.make_opsetid("", OPSET), helper.make_opsetid(OWN, 1)]
    whole: bytes = helper.make_model(made, opset_imports=imports, ir_version=IR).SerializeToString()
    return whole


def _layer(graph: _Graph, weights: Weights, name: str, x: str) -> str:
    own = f"{name}.attention"
    seen = _attention(graph, _linear(graph, weights, x, *(f"{own}.self.{n}" for n in ("query", "key", "value"))))
    x = graph.add("Add", x, _linear(graph, weights, seen, f"{own}.output.dense"))
    x = _norm(graph, weights, f"{own}.output.LayerNorm", x)
    inner = graph.add("Gelu", _linear(graph, weights, x, f"{name}.intermediate.dense"))
    x = graph.add("Add", x, _linear(graph, weights, inner, f"{name}.output.dense"))
    return _norm(graph, weights, f"{name}.output.LayerNorm", x)


def _attention(graph: _Graph, x: str) -> str:
    """(n, width, 3 DIM) -> (n, width, DIM), each text's tokens to one another: ONNX Runtime's own operator, which keeps
    no matrix of all pairs of tokens."""
    q, k, v = graph.add("Split", x, graph.constant(np.array([DIM] * 3)), axis=-1, outputs=3)
    return str(graph.add("MultiHeadAttention", q, k, v, num_heads=HEADS, domain=OWN))


def _linear(graph: _Graph, weights: Weights, x: str, *names: str) -> str:
    """Several layers on the same input are one product."""
    matrix = np.concatenate([weights[f"{name}.weight"] for name in names]).T
    bias = np.concatenate([weights[f"{name}.bias"] for name in names])
    product = graph.add("MatMul", x, graph.constant(np.ascontiguousarray(matrix)))
    return str(graph.add("Add", product, graph.constant(bias)))


def _norm(graph: _Graph, weights: Weights, name: str, x: str) -> str:
    pair = (graph.constant(weights[f"{name}.{part}"]) for part in ("weight", "bias"))
    return str(graph.add("LayerNormalization", x, *pair, axis=-1, epsilon=1e-12))
