"""Real ONNX files of a few bytes: the subject is what is bright."""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

FLAT = {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}  # with these a file sees pixels 0..1 as they are


def brightness(
    file: Path, *, side: int | str = "side", channels: int = 3, gain: float = 1.0, half: bool = False
) -> Path:
    """The mean of the channels times ``gain``; a ``side`` that is a word is open."""
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    nodes = [
        helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["mean", "gain"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("pixels", kind, [1, channels, side, side])],
        [helper.make_tensor_value_info("scores", kind, [1, 1, side, side])],
        [helper.make_tensor("gain", kind, [1], [gain])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, str(file))
    return file
