"""The bare networks as ONNX graphs: traced by ``torch.fx``, weights in half precision, computed in single precision.

Written by hand because there are eight operations: the same weights give the same bytes, so that checksums hold, and a
weight is the one of the safetensors file to the last bit. ONNX Runtime widens the weights once, when it loads a graph.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, checker, helper, numpy_helper
from torch import Tensor, fx, nn

OPSET, IR = 20, 9  # the first set with Gelu; ONNX Runtime 1.18 knows both


def graph_of(network: nn.Module, inputs: int, outputs: int) -> bytes:
    """Return the graph ``planes`` (B, inputs, H, W) float32 -> ``written`` (B, outputs, H, W), every size free.

    Raises:
        ValueError: if the network has an operation that is not known here.
    """
    writer, traced = _Writer(inputs), fx.symbolic_trace(network)
    modules = dict(traced.named_modules())
    for node in traced.graph.nodes:
        writer.take(node, modules)
    sizes = ["batch", "height", "width"]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [sizes[0], channels, *sizes[1:]])
        for name, channels in ((writer.first, inputs), (writer.last, outputs))
    ]
    graph = helper.make_graph(writer.nodes, "network", ends[:1], ends[1:], writer.weights)
    model: ModelProto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR, producer_name="markai"
    )
    checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


class _Writer:
    """Turns the nodes of a traced network into those of a graph, one after another."""

    def __init__(self, inputs: int) -> None:
        self.inputs = inputs
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.names: dict[fx.Node, str] = {}
        self.first, self.last = "planes", "written"

    def take(self, node: fx.Node, modules: dict[str, nn.Module]) -> None:
        """Write one node."""
        if node.op == "placeholder":
            self.names[node] = self.first
        elif node.op == "output":
            self._add("Identity", [self.names[_node(node.args[0])]], self.last)
        elif node.op == "call_module":
            module = modules[str(node.target)]
            self.names[node] = self._module(module, self.names[_node(node.args[0])], node.name)
        else:
            self.names[node] = self._function(node)

    def _function(self, node: fx.Node) -> str:
        sources = [self.names[each] for each in node.args if isinstance(each, fx.Node)]
        name = getattr(node.target, "__name__", str(node.target))
        if name == "add":
            return self._add("Add", sources, node.name)
        if name == "gelu":
            return self._add("Gelu", sources, node.name)
        if name == "pixel_shuffle":
            return self._add("DepthToSpace", sources, node.name, blocksize=node.args[1], mode="CRD")
        if name == "pixel_unshuffle":
            return self._unshuffled(sources[0], node.name, node.args[1])
        raise ValueError(f"{name} has no counterpart in the graphs - add it to {__name__}")

    def _module(self, module: nn.Module, source: str, name: str) -> str:
        if isinstance(module, nn.Conv2d):
            return self._convolved(module, source, name)
        if isinstance(module, nn.GroupNorm) and module.num_groups == 1:
            return self._normed(module, source, name)
        raise ValueError(f"{type(module).__name__} has no counterpart in the graphs - add it to {__name__}")

    def _convolved(self, conv: nn.Conv2d, source: str, name: str) -> str:
        assert isinstance(conv.padding, tuple)
        weights = [self._weight(f"{name}.weight", conv.weight), self._weight(f"{name}.bias", _there(conv.bias))]
        room = [*conv.padding, *conv.padding]
        return self._add("Conv", [source, *weights], name, group=conv.groups, strides=[*conv.stride], pads=room)

    def _normed(self, norm: nn.GroupNorm, source: str, name: str) -> str:
        row = self._constant(f"{name}.row", np.array([0, 1, -1], np.int64))
        flat = self._add("Reshape", [source, row], f"{name}.flat")
        one, zero = (self._constant(f"{name}.{value}", np.array([value], np.float32)) for value in (1, 0))
        even = self._add("InstanceNormalization", [flat, one, zero], f"{name}.even", epsilon=norm.eps)
        shape = self._add("Shape", [source], f"{name}.shape")
        back = self._add("Reshape", [even, shape], f"{name}.back")
        scale, shift = (
            self._weight(f"{name}.{part}", _there(value)[:, None, None])
            for part, value in (("weight", norm.weight), ("bias", norm.bias))
        )
        return self._add("Add", [self._add("Mul", [back, scale], f"{name}.scaled"), shift], name)

    def _unshuffled(self, source: str, name: str, block: Any) -> str:
        """SpaceToDepth orders channels by place first, pixel_unshuffle by channel first."""
        if source != self.first:
            raise ValueError(f"only inputs are unshuffled, since their channels are known - extend {__name__}")
        deep = self._add("SpaceToDepth", [source], f"{name}.deep", blocksize=block)
        order = np.arange(block**2 * self.inputs).reshape(-1, self.inputs).T.reshape(-1)
        return self._add("Gather", [deep, self._constant(f"{name}.order", order)], name, axis=1)

    def _weight(self, name: str, value: Tensor) -> str:
        half = self._constant(f"{name}.half", value.detach().cpu().half().numpy())
        return self._add("Cast", [half], name, to=TensorProto.FLOAT)

    def _constant(self, name: str, value: NDArray[Any]) -> str:
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def _add(self, kind: str, sources: list[str], name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, sources, [name], name, **attributes))
        return name


def _node(argument: Any) -> fx.Node:
    assert isinstance(argument, fx.Node)
    return argument


def _there(value: Tensor | None) -> Tensor:
    assert value is not None
    return value
