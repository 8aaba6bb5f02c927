"""Small models as ONNX for tests, and the same in torch."""

from collections.abc import Sequence

import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor
from torch.nn.functional import conv2d, pixel_shuffle, relu

Weights = list[tuple[Tensor, Tensor]]
"""Of three convolutions."""


def drawn(bands: int = 3, scale: int = 2, made: int | None = None) -> Weights:
    """Three convolutions that a pixel shuffle follows: the nearest neighbour, and a little of everything."""
    random = torch.Generator().manual_seed(bands + 10 * scale)
    sizes = [(bands, 8), (8, 8), (8, (made or bands) * scale**2)]
    weights = []
    for number, (seen, given) in enumerate(sizes):
        weight = 0.03 * torch.randn(given, seen, 3, 3, generator=random)
        for row in range(bands if number < 2 else given):
            weight[row, row if number < 2 else row // scale**2, 1, 1] += 1
        weights.append((weight, torch.zeros(given)))
    return weights


def by_torch(image: Tensor, weights: Weights, scale: int) -> Tensor:
    """(bands, h, w) to (bands, h * scale, w * scale)."""
    seen = image[None]
    for number, (weight, bias) in enumerate(weights):
        seen = conv2d(relu(seen) if number else seen, weight, bias, padding=1)
    return pixel_shuffle(seen, scale)[0]


def of_one_node(op: str, gives: int = TensorProto.FLOAT, **attributes: int) -> bytes:
    """The file of a model whose only node makes something of a picture that need be no picture.

    Args:
        gives: type of what it makes.
    """
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "h", "w"])
    made = helper.make_tensor_value_info("made", gives, None)
    node = helper.make_node(op, ["image"], ["made"], **attributes)
    graph = helper.make_graph([node], "model", [image], [made])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def as_onnx(
    weights: Weights,
    scale: int,
    shape: Sequence[int | str] = ("n", "bands", "h", "w"),
    window: int = 1,
    dtype: int = TensorProto.FLOAT,
) -> bytes:
    """The model's file.

    Args:
        shape: of its input; bands that are left open are those of the first convolution.
        window: of which its sides must be multiples: it goes through blocks of so many pixels, as attention does.
    """
    shape = [weights[0][0].shape[1] if one == "bands" else one for one in shape]
    nodes, constants, last = [], [], "image"
    for number, (weight, bias) in enumerate(weights):
        if number:
            nodes.append(helper.make_node("Relu", [last], [f"relu{number}"]))
            last = f"relu{number}"
        for name, tensor in (("weight", weight), ("bias", bias)):
            array = tensor.numpy().astype(helper.tensor_dtype_to_np_dtype(dtype))
            constants.append(numpy_helper.from_array(array, f"{name}{number}"))
        inputs = [last, f"weight{number}", f"bias{number}"]
        nodes.append(helper.make_node("Conv", inputs, [f"conv{number}"], pads=[1, 1, 1, 1]))
        last = f"conv{number}"
    if window > 1:  # raises where a side is not a multiple of it
        nodes.append(helper.make_node("SpaceToDepth", [last], ["blocks"], blocksize=window))
        nodes.append(helper.make_node("DepthToSpace", ["blocks"], ["unblocked"], blocksize=window, mode="DCR"))
        last = "unblocked"
    nodes.append(helper.make_node("DepthToSpace", [last], ["enlarged"], blocksize=scale, mode="CRD"))
    graph = helper.make_graph(
        nodes,
        "model",
        [helper.make_tensor_value_info("image", dtype, shape)],
        [helper.make_tensor_value_info("enlarged", dtype, ["pictures", "made", "rows", "columns"])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
