"""`python -m benchmarks.direct_training DATA FILE`: train the heads of the direct network, scale after scale.

DATA holds folders of HR pictures (kodak, photos_cc0, aerial_drone, satellite_train, archive; PNG, JPEG or 8-bit TIFF
that Pillow reads). A head for one band starts from that of three bands, one for another scale from the body before.
On a GPU minutes are enough (`--seconds`), without one hours (`--device cpu`). A checkpoint lies beside FILE after
every sixth of a head, and the same command goes on from it. It needs torch, numpy, Pillow and safetensors alone.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from pipeline.priors.heads import Head, to_bytes
from sr_ops.direct import Body, DirectNetwork
from sr_ops.draws import MARGIN, Album, Draws, Odds, kernel_bank
from sr_ops.networks import fastest_dtype, initialise
from sr_ops.resample import resize
from sr_ops.training import Schedule, Training

Weights = Mapping[str, Tensor]
State = dict[str, Any]

FOLDERS = {
    "kodak": (0.36, (1.0, 0.8, 0.64, 0.5)),
    "photos_cc0": (0.30, (1.0, 0.8, 0.64, 0.5)),
    "aerial_drone": (0.12, (1.0, 0.64, 0.5)),
    "satellite_train": (0.12, (1.0, 0.7)),
    "archive": (0.10, (0.5, 0.35, 0.25)),
}
"""Of each folder its share of the crops, and the sizes that its pictures are learned from at."""

SHARES = {(4, 3): 0.40, (4, 1): 0.05, (2, 3): 0.28, (2, 1): 0.05, (3, 3): 0.16, (3, 1): 0.05}
"""Of the time, in the order of training."""

ODDS = Odds(bicubic=0.42, noise=0.35, jpeg=0.12)
CROP, BATCH, RATE, GREY_RATE = 48, 24, 1e-3, 4e-4
KERNELS = 20_000
PARTS = 6


def pictures(data: Path) -> Iterator[tuple[Tensor, float]]:
    """(3, H, W) uint8 at all sizes, each with its odds; what cannot be read is named and left out."""
    for folder, (share, levels) in FOLDERS.items():
        found = []
        for path in sorted((data / folder).glob("*.*")):
            try:
                pixels = np.array(Image.open(path).convert("RGB"))
            except (UnidentifiedImageError, OSError) as error:
                if path.suffix != ".md":
                    print(f"left out: {path.name}: {error}", file=sys.stderr)
                continue
            found.append(torch.from_numpy(pixels).permute(2, 0, 1).float() / 255)
        for picture in found:
            for level in levels:
                size = (int(picture.shape[1] * level), int(picture.shape[2] * level))
                smaller = picture if level == 1 else resize(picture, size)
                yield (smaller * 255).round().clamp(0, 255).byte(), share / len(found) / len(levels)


def album_of(drawn: list[tuple[Tensor, float]], side: int, device: torch.device) -> Album:
    """Those that hold a patch, or nearly, which are mirrored."""
    chosen = [(_mirrored(picture, side), odds) for picture, odds in drawn if min(picture.shape[1:]) >= 0.8 * side]
    return Album([picture for picture, _ in chosen], [odds for _, odds in chosen], device)


def _mirrored(picture: Tensor, side: int) -> Tensor:
    for axis in (1, 2):
        length = picture.shape[axis]
        if length < side:
            index = torch.arange(side) % (2 * length)
            picture = picture.index_select(axis, torch.minimum(index, 2 * length - 1 - index))
    return picture


def start(head: Head, body: Body, done: Mapping[Head, Mapping[str, Tensor]], device: torch.device) -> DirectNetwork:
    """Fresh weights, the body of the head before, or for one band those of three bands, summed over them."""
    scale, bands = head
    network = DirectNetwork(bands, scale, body, fastest_dtype(device))
    initialise(network.body, torch.Generator().manual_seed(0))
    weights = network.state_dict()
    if bands == 1 and (scale, 3) in done:
        weights = of_one_band(done[scale, 3], scale, body)
    elif done:
        last = done[list(done)[-1]]
        weights |= {name: tensor for name, tensor in last.items() if tensor.shape == weights[name].shape}
    network.load_state_dict(weights)
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def of_one_band(weights: Mapping[str, Tensor], scale: int, body: Body) -> dict[str, Tensor]:
    """What three equal bands would get."""
    one = {name: tensor.clone() for name, tensor in weights.items()}
    first, last = "body.0.weight", f"body.{body.depth}"
    ends = (3, 3 + 3 * scale**2)
    lr, base, planes = torch.tensor_split(weights[first], ends, dim=1)
    base = base.reshape(len(base), 3, scale**2, 3, 3).sum(1)
    one[first] = torch.cat([lr.sum(1, keepdim=True), base, planes], 1)
    for kind in ("weight", "bias"):
        of_three = weights[f"{last}.{kind}"]
        one[f"{last}.{kind}"] = of_three.reshape(3, scale**2, *of_three.shape[1:]).mean(0)
    return one


def steps_in(seconds: float, training: Training) -> int:
    """How many steps fit into that time, measured over a few; a GPU has captured its graph before."""
    first, counted = (16, 40) if torch.cuda.is_available() else (1, 4)
    training.run(first)
    began = time.perf_counter()
    training.run(first + counted)
    return max(PARTS, int(seconds * counted / (time.perf_counter() - began)))


def train_head(head: Head, drawn: list[tuple[Tensor, float]], options: argparse.Namespace, state: State) -> Weights:
    """From its start, or from where the checkpoint is in it."""
    (scale, bands), device = head, torch.device(options.device)
    album = album_of(drawn, (CROP + 2 * MARGIN) * scale, device)
    bank = kernel_bank(scale, KERNELS, ODDS, scale, device)

    def begun(steps: int) -> Training:
        draws = Draws(album, bank, scale, bands, CROP, ODDS, seed=100 * scale + bands)
        network = start(head, body_of(options), state["done"], device)
        return Training(network, draws, Schedule(steps, BATCH, RATE if bands == 3 else GREY_RATE))

    begins = state["head"] != head
    steps = steps_in(SHARES[head] * options.seconds, begun(10**6)) if begins else state["steps"]
    training = begun(steps)
    if not begins:
        training.load(state["training"])
    for until in (steps * part // PARTS for part in range(1, PARTS + 1)):
        if training.steps < until:
            loss = training.run(until)
            seen = training.steps * BATCH * CROP**2 / 1e9
            print(f"x{scale}, {bands} bands: {training.steps} of {steps} steps, {seen:.2f} G pixels, loss {loss:.5f}")
            inside = {"head": head, "steps": steps, "training": training.state()}
            torch.save(state | inside, checkpoint_of(options))
    return training.averaged()


def train(options: argparse.Namespace) -> None:
    """All heads that the checkpoint does not hold."""
    state: State = {"done": {}, "head": None}
    if checkpoint_of(options).exists():
        state = torch.load(checkpoint_of(options), weights_only=True)
    drawn = list(pictures(options.data))
    for head in SHARES:
        if head not in state["done"]:
            weights = train_head(head, drawn, options, state)
            state = {"done": state["done"] | {head: weights}, "head": None}
            torch.save(state, checkpoint_of(options))
    options.file.write_bytes(to_bytes(state["done"], body_of(options)))


def body_of(options: argparse.Namespace) -> Body:
    """The body that was asked for."""
    return Body(options.width, options.depth)


def checkpoint_of(options: argparse.Namespace) -> Path:
    """Beside the file."""
    path: Path = options.file.with_suffix(".checkpoint")
    return path


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.direct_training", description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--seconds", type=float, default=400, help="for all heads; the start of each comes on top")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--width", type=int, default=96)
    parser.add_argument("--depth", type=int, default=10)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
