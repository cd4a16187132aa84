"""Linear models and networks as nodes of a graph: the arithmetic of their solo modules."""

from collections.abc import Mapping

from torch import Tensor

from lanewise.deploy.onnx_graph import Graph
from lanewise.deploy.onnx_preparation import PreparedRows
from lanewise.models.mlp import ACTIVATIONS
from lanewise.training.fitted import Fitted, member_dtype

NORM_EPSILON = 1e-5
"""That of `torch.nn.LayerNorm`."""


def stacked_response(graph: Graph, member: Fitted, rows: PreparedRows) -> str:
    """Means ``[N, 1]`` or class probabilities ``[N, K]`` of a linear model or network, in float64."""
    assert member.tensors is not None
    dtype = str(member_dtype(member)).removeprefix("torch.")
    outputs = _linear if member.candidate.model == "linear" else _network
    raw = graph.cast(outputs(graph, member, rows, dtype), "float64")
    if member.calibration is not None:
        raw = graph.op("Mul", raw, graph.constant(member.calibration.scale, "float64"))
        raw = graph.op("Add", raw, graph.constant(member.calibration.offsets, "float64"))
    answer = _response(graph, member, raw)
    if member.scale == 1.0 and not member.center:
        return answer
    scaled = graph.op("Mul", answer, graph.constant(member.scale, "float64"))
    return graph.op("Add", scaled, graph.constant(member.center, "float64"))


def logistic(graph: Graph, score: str) -> str:
    """Probabilities ``[N, 2]`` of two classes from log-odds ``[N, 1]``."""
    one = graph.constant(1.0, "float64")
    positive = graph.op("Div", one, graph.op("Add", one, graph.op("Exp", graph.op("Neg", score))))
    return graph.beside([graph.op("Sub", one, positive), positive])


def _response(graph: Graph, member: Fitted, raw: str) -> str:
    """`lanewise.losses.response`."""
    assert member.tensors is not None
    if member.loss in ("squared", "huber"):
        return raw
    if member.loss == "poisson":
        return graph.op("Exp", raw)
    bias = member.tensors["bias" if member.candidate.model == "linear" else "head.bias"]
    return logistic(graph, raw) if len(bias) == 1 else graph.op("Softmax", raw, axis=1)


def _linear(graph: Graph, member: Fitted, rows: PreparedRows, dtype: str) -> str:
    assert member.tensors is not None
    weights = member.tensors
    outputs = _affine(graph, rows.dense(dtype, member.columns), weights["weight"], weights["bias"], dtype)
    for place in range(_count(weights, "levels")):
        codes = rows.embedded(place, member.columns)
        outputs = graph.op("Add", outputs, _embedding(graph, weights[f"levels{place}"], codes, dtype))
    return outputs


def _network(graph: Graph, member: Fitted, rows: PreparedRows, dtype: str) -> str:
    assert member.tensors is not None
    weights, candidate = member.tensors, member.candidate
    dense = rows.dense(dtype, member.columns)
    embedded = [
        _embedding(graph, weights[f"embedding{place}"], rows.embedded(place, member.columns), dtype)
        for place in range(_count(weights, "embedding"))
    ]
    hidden = _affine(graph, dense, weights["layer0.weight"], weights["layer0.bias"], dtype)
    if embedded:
        weight = graph.constant(weights["embedded.weight"].numpy(), dtype)
        hidden = graph.op("Gemm", graph.beside(embedded), weight, hidden, transB=1)
    for layer in range(int(candidate.number("depth", 2))):
        if layer:
            hidden = _affine(graph, hidden, weights[f"layer{layer}.weight"], weights[f"layer{layer}.bias"], dtype)
        if f"norm{layer}.scale" in weights:
            scale, shift = (
                graph.constant(weights[f"norm{layer}.{part}"].numpy(), dtype) for part in ("scale", "shift")
            )
            hidden = graph.op("LayerNormalization", hidden, scale, shift, axis=-1, epsilon=NORM_EPSILON)
        hidden = _activated(graph, hidden, candidate.text("activation", "relu"), dtype)
    return _affine(graph, hidden, weights["head.weight"], weights["head.bias"], dtype)


def _activated(graph: Graph, hidden: str, activation: str, dtype: str) -> str:
    assert activation in ACTIVATIONS
    if activation == "relu":
        return graph.op("Relu", hidden)
    if activation == "tanh":
        return graph.op("Tanh", hidden)
    if activation == "silu":
        return graph.op("Mul", hidden, graph.op("Sigmoid", hidden))
    # onnxruntime has no Erf of doubles
    erf = graph.op("Erf", graph.cast(graph.op("Mul", hidden, graph.constant(0.5**0.5, dtype)), "float32"))
    half = graph.op("Mul", hidden, graph.constant(0.5, dtype))
    return graph.op("Mul", half, graph.op("Add", graph.cast(erf, dtype), graph.constant(1.0, dtype)))


def _affine(graph: Graph, features: str | None, weight: Tensor, bias: Tensor, dtype: str) -> str:
    if features is None:
        return graph.repeated(bias.numpy(), dtype)
    constants = (graph.constant(part.numpy(), dtype) for part in (weight, bias))
    return graph.op("Gemm", features, *constants, transB=1)


def _embedding(graph: Graph, table: Tensor, codes: str, dtype: str) -> str:
    return graph.op("Gather", graph.constant(table.numpy(), dtype), codes, axis=0)


def _count(weights: Mapping[str, Tensor], prefix: str) -> int:
    """Tables ``levels0``, ``levels1``, ...; ``embedded.weight`` is none of them."""
    return sum(name.removeprefix(prefix).isdigit() for name in weights if name.startswith(prefix))
