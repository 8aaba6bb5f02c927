"""The pixels of `srpipe run` by a bare loop in one process: no Ray, no plan, no records, no commits.

`python -m benchmarks.bare_loop FOLDER OUT SCALE` enlarges every PNG of FOLDER, 8-bit RGB, with the default preset, but
STEPS steps, on the CPU with one thread; prints as JSON when it began its first image and ended its last.
"""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pipeline import load_prior
from sr_ops import super_resolve
from sr_ops.priors.prior import Prior
from sr_ops.settings import Preset, Settings, preset

STEPS = 10
"""Half of the default: the less an image takes, the larger is the pipeline's share."""


def enlarge_file(source: Path, output: Path, settings: Settings, prior: Prior) -> None:
    """One picture no larger than a tile."""
    with Image.open(source) as image:
        pixels = np.array(image)
    lr = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).float() / 255
    sr = super_resolve(lr, settings, prior)
    levels = (sr * 255 + 0.5).floor().clamp(0, 255).to(torch.uint8)
    Image.fromarray(np.ascontiguousarray(levels.permute(1, 2, 0).numpy())).save(output)


def main(folder: Path, out: Path, scale: int) -> None:
    torch.set_num_threads(1)
    prior, settings = load_prior(), preset(Preset.BALANCED, from_prior=True)
    settings = replace(settings, scale=scale, fit=replace(settings.fit, steps=STEPS))
    out.mkdir(parents=True, exist_ok=True)
    begun = time.time()
    for source in sorted(folder.glob("*.png")):
        enlarge_file(source, out / source.name, settings, prior)
    print(json.dumps({"begun": begun, "ended": time.time()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
