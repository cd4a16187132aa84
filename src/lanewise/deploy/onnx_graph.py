"""An ONNX graph put together node by node; every tensor is known by its name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from lanewise.errors import UsageError

if TYPE_CHECKING:
    import onnx

ML = "ai.onnx.ml"
OPSET, ML_OPSET, IR_VERSION = 18, 5, 10
"""The oldest versions that have what is used: trees of doubles with sets of levels (``ai.onnx.ml`` 5)."""


def required(name: str) -> ModuleType:
    """The module ``onnx`` or ``onnxruntime``; ``UsageError`` where it is not installed."""
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        message = f"the export needs {name}, which is not installed: run `pip install onnx onnxruntime`"
        raise UsageError(message) from error


@dataclass(eq=False)
class Graph:
    """Nodes, constants and inputs as they are added, in an order in which they can be computed."""

    onnx: ModuleType = field(default_factory=lambda: required("onnx"))
    inputs: list["onnx.ValueInfoProto"] = field(default_factory=list)
    outputs: list["onnx.ValueInfoProto"] = field(default_factory=list)
    _nodes: list["onnx.NodeProto"] = field(default_factory=list)
    _constants: dict[tuple[object, ...], str] = field(default_factory=dict)
    _tensors: list["onnx.TensorProto"] = field(default_factory=list)
    _rows: str = ""

    def input(self, name: str, dtype: str, width: int) -> str:
        """An input ``[N, width]`` of a numpy type, or of ``str``."""
        self.inputs.append(self._value(name, dtype, ["N", width]))
        return name

    def output(self, name: str, source: str, dtype: str, *width: int) -> None:
        """Give the tensor ``source`` out as ``name [N, *width]``."""
        self._nodes.append(self.onnx.helper.make_node("Identity", [source], [name]))
        self.outputs.append(self._value(name, dtype, ["N", *width]))

    def constant(self, value: Any, dtype: str) -> str:
        """A constant of a numpy type; equal ones are kept once."""
        array = np.asarray(value, dtype=dtype, order="C")
        key = (dtype, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = f"c{len(self._constants)}"
            self._tensors.append(self.onnx.numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def texts(self, values: Sequence[str]) -> str:
        """A constant list of texts."""
        key = ("str", *values)
        if key not in self._constants:
            name = self._constants[key] = f"c{len(self._constants)}"
            encoded = [value.encode() for value in values]
            kind = self.onnx.TensorProto.STRING
            self._tensors.append(self.onnx.helper.make_tensor(name, kind, [len(encoded)], encoded))
        return self._constants[key]

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """The output of a new node."""
        name = f"t{len(self._nodes)}"
        self._nodes.append(self.onnx.helper.make_node(kind, list(inputs), [name], domain=domain, **attributes))
        return name

    def cast(self, tensor: str, dtype: str) -> str:
        return self.op("Cast", tensor, to=self._type(dtype))

    def tensor(self, array: np.ndarray) -> "onnx.TensorProto":
        """An array as the value of an attribute."""
        return self.onnx.numpy_helper.from_array(np.ascontiguousarray(array))

    def columns(self, tensor: str, places: Sequence[int]) -> str:
        """The columns ``[N, len(places)]`` of a matrix."""
        return self.op("Gather", tensor, self.constant(list(places), "int64"), axis=1)

    def column(self, tensor: str, place: int) -> str:
        """One column ``[N]`` of a matrix."""
        return self.op("Gather", tensor, self.constant(place, "int64"), axis=1)

    def beside(self, tensors: Sequence[str]) -> str:
        """Matrices side by side."""
        return tensors[0] if len(tensors) == 1 else self.op("Concat", *tensors, axis=1)

    def repeated(self, row: np.ndarray, dtype: str) -> str:
        """The same ``row [C]`` for every row of the inputs: ``[N, C]``."""
        if not self._rows:
            self._rows = self.op("Shape", self.inputs[0].name, start=0, end=1)
        shape = self.op("Concat", self._rows, self.constant([len(row)], "int64"), axis=0)
        return self.op("Expand", self.constant(row[None], dtype), shape)

    def model(self, *, name: str, words: str, metadata: Mapping[str, str]) -> "onnx.ModelProto":
        """The whole graph as a model."""
        helper = self.onnx.helper
        graph = helper.make_graph(self._nodes, name, self.inputs, self.outputs, self._tensors, doc_string=words)
        model = helper.make_model(
            graph,
            producer_name="lanewise",
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(ML, ML_OPSET)],
        )
        helper.set_model_props(model, dict(metadata))
        return model

    def _value(self, name: str, dtype: str, shape: list[Any]) -> "onnx.ValueInfoProto":
        return self.onnx.helper.make_tensor_value_info(name, self._type(dtype), shape)

    def _type(self, dtype: str) -> int:
        if dtype == "str":
            return self.onnx.TensorProto.STRING
        return self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
