"""The same image in one tile and in tiles of 64: whether a border between tiles can be told."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from PIL import Image

from jobs.sample_pictures import satellite_view
from pipeline import load_prior
from pipeline.output.layout import MOSAIC
from sr_ops.enlarging.enlarge import enlarge
from sr_ops.enlarging.model import degradation_of
from sr_ops.image.tiles import cut, owned, paste, plan_tiles
from sr_ops.learning.learn import fit_stages
from sr_ops.learning.observation import Observation
from sr_ops.settings import Preset, preset

from .parts import Part
from .quality import OUT
from .results import FIDELITY, machine, table
from .srpipe_process import COMMAND

HERE = OUT / "seams"
PLOT = FIDELITY.with_name("seams.png")

GREYS_PER_COUNT = 64
"""In the pictures of differences: of 4 counts and more white is made."""

SIDE, TILE, SCALE = 320, 64, 2

KERNELS = ("bicubic", "gaussian:1.4")
"""Told of each image; with the wider one tiles read more of each other."""

MOST_COUNTS = {"nodata": 1, "mask": 1, "alpha": 10}
"""Of 65,535 that a sample may differ: one of rounding; of a colour of which little is seen rounding moves more."""

STEP = 0.005
"""How much steps across borders between tiles, against those elsewhere, may differ from what they are in one tile."""


@dataclass(frozen=True)
class Seam:
    """One image in both ways."""

    kind: str
    kernel: str
    largest: int
    """Difference of the two in counts."""
    share: float
    """Of the samples that differ."""
    ratio: float
    """Of the mean absolute difference of neighbours on both sides of a border between tiles to that of all others."""
    ratio_in_one: float
    """The same, at the same places, where there is but one tile."""

    @property
    def kept(self) -> bool:
        return self.largest <= MOST_COUNTS[self.kind] and abs(self.ratio / self.ratio_in_one - 1) <= STEP


def section() -> Part:
    """Run all kinds, and what is to be said of them."""
    HERE.mkdir(parents=True, exist_ok=True)
    seams = [look(kind, make, kernel) for kernel in KERNELS for kind, make in _MAKERS.items()]
    rows = [
        [
            seam.kind,
            seam.kernel,
            f"{seam.largest}",
            f"{100 * seam.share:.2g} %",
            f"{seam.ratio:.4f}",
            f"{seam.ratio_in_one:.4f}",
            "kept" if seam.kept else "**missed**",
        ]
        for seam in seams
    ]
    header = ["16-bit raster with", "kernel told", "largest difference", "samples that differ"]
    header += ["step ratio, tiled", "in one tile", ""]
    most = MOST_COUNTS["alpha"]
    text = f"""## Seams

`make bench-fidelity DATA=...`. {machine()}

An image of {SIDE} x {SIDE} pixels, made by code, was enlarged at x{SCALE} with `--preset fast` and a kernel that was
told, once in one tile and once in tiles of {TILE}. The largest difference of the two is in counts of 65,535; it is at
most {MOST_COUNTS["nodata"]}, with alpha {most}. The step ratio is the mean step between neighbours on both sides of a
border between tiles, over the mean step between all other pixels of the input. It depends on the picture, so it has to
be that of the same places in one tile (to {100 * STEP:g} %). Only known samples count; the same samples are known in
both.

{table(header, rows)}

![The image, and two differences]({PLOT.name})

The picture shows the image with nodata in tiles. Next to it is its largest difference over the bands from the one in
one tile, {GREYS_PER_COUNT} grey levels a count. Last is, in the same grey levels, what the difference would be if
tiles were computed without a halo.
"""
    draw()
    return Part(text, [f"{seam.kind}, {seam.kernel}: tiles differ from one tile" for seam in seams if not seam.kept])


def look(kind: str, make: Callable[[Path], None], kernel: str) -> Seam:
    """One kind of image by one camera."""
    path = HERE / f"{kind}.{'png' if kind == 'alpha' else 'tif'}"
    make(path)
    (whole, known), (tiled, also_known) = (_enlarged(path, side, kernel) for side in (512, TILE))
    assert np.array_equal(known, also_known), (kind, kernel)
    difference = np.abs(whole.astype(np.int64) - tiled)[known]
    ratios = (_step_ratio(image, known) for image in (tiled, whole))
    return Seam(kind, kernel, int(difference.max()), float((difference > 0).mean()), *ratios)


def draw() -> None:
    """Write the picture, of what `look` has run before."""
    (whole, known), (tiled, _) = (
        _read(_output("nodata", side, KERNELS[0]) / "tiles/nodata.tif") for side in (512, TILE)
    )
    seen = (tiled >> 8).transpose(1, 2, 0)
    panels = [seen, *map(_in_greys, (np.where(known, tiled.astype(np.int64) - whole, 0), _without_halo()))]
    margin = np.full((seen.shape[0], 8, 3), 255)
    row = np.concatenate([panels[0], margin, panels[1], margin, panels[2]], 1)
    Image.fromarray(row.astype(np.uint8)).save(PLOT, optimize=True)


def _in_greys(difference: NDArray[Any]) -> NDArray[Any]:
    """(C, H, W) in counts to (H, W, 3)."""
    greys: NDArray[Any] = np.minimum(GREYS_PER_COUNT * np.abs(difference).max(0), 255)
    return greys[..., None].repeat(3, 2)


def _without_halo() -> NDArray[Any]:
    """(C, H, W) in counts: the scene in tiles that read nothing of their neighbours, less that in one."""
    prior = load_prior()
    settings = replace(preset(Preset.FAST, from_prior=True), scale=SCALE).with_body(prior.largest)
    lr = torch.from_numpy(_scene().astype(np.float32)) / 65535
    model = fit_stages(Observation(lr, degradation_of(settings)), settings, prior).model
    whole = enlarge(lr, model, settings)
    tiled = torch.empty_like(whole)
    for tile in plan_tiles(SIDE, SIDE, TILE, halo=0):
        paste(tiled, tile, owned(enlarge(cut(lr, tile), model, settings), tile, SCALE), SCALE)
    difference: NDArray[Any] = (65535 * (tiled - whole)).round().numpy()
    return difference


def _output(kind: str, tile_size: int, kernel: str) -> Path:
    return HERE / f"{kind}-{kernel.replace(':', '')}-{tile_size}"


def _enlarged(path: Path, tile_size: int, kernel: str) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """(C, H, W) without alpha, and what is known of it."""
    output = _output(path.stem, tile_size, kernel)
    command = [*COMMAND, "run", str(path), "-o", str(output), "-s", str(SCALE)]
    options = ("--preset", "fast", "--executor", "inline", "--existing", "overwrite", "--tile-size", str(tile_size))
    subprocess.run([*command, *options, "--kernel", kernel], check=True, stdout=subprocess.DEVNULL)
    return _read(output / "tiles" / path.name)


def _read(folder: Path) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    mosaic = folder / MOSAIC
    with rasterio.open(mosaic if mosaic.exists() else folder / "r0000_c0000.png") as raster:
        samples, known = raster.read([1, 2, 3]), raster.read_masks([1, 2, 3]) > 0
    return samples, known


def _step_ratio(image: NDArray[Any], known: NDArray[np.bool_]) -> float:
    """Of both directions together."""
    steps = [_steps(image, known), _steps(image.swapaxes(1, 2), known.swapaxes(1, 2))]
    across, inside = (float(np.concatenate(parts).mean()) for parts in zip(*steps, strict=True))
    return across / inside


def _steps(image: NDArray[Any], known: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Steps from column to column between pixels of the input: those across borders of tiles, and all others."""
    steps = np.abs(np.diff(image.astype(np.float64), axis=2))[:, :, SCALE - 1 :: SCALE]
    both = (known[:, :, 1:] & known[:, :, :-1])[:, :, SCALE - 1 :: SCALE]
    at_border = np.arange(1, steps.shape[2] + 1) % TILE == 0
    return steps[:, :, at_border][both[:, :, at_border]], steps[:, :, ~at_border][both[:, :, ~at_border]]


def _scene() -> NDArray[np.uint16]:
    """(3, SIDE, SIDE) of most of 16 bits, never 0."""
    levels = satellite_view(SIDE).astype(np.uint16).transpose(2, 0, 1)
    noise = np.random.default_rng(0).integers(0, 256, levels.shape, dtype=np.uint16)
    return 1 + 240 * levels + noise


def _disc() -> NDArray[np.bool_]:
    """Of a radius that crosses many tiles."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    inside: NDArray[np.bool_] = (rows - 150) ** 2 + (columns - 170) ** 2 < 120**2
    return inside


def _raster(path: Path, **more: Any) -> Any:
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)}
    shape = {"width": SIDE, "height": SIDE, "dtype": "uint16"}
    return rasterio.open(path, "w", **{"driver": "GTiff", "count": 3, **shape, **place, **more})


def _with_nodata(path: Path) -> None:
    with _raster(path, nodata=0) as raster:
        raster.write(np.where(_disc(), _scene(), 0).astype(np.uint16))


def _with_mask(path: Path) -> None:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), _raster(path) as raster:
        raster.write(_scene())
        raster.write_mask(_disc())


def _with_alpha(path: Path) -> None:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    fading = (65535 * np.clip(1.5 - np.hypot(rows - 150, columns - 170) / 100, 0, 1)).astype(np.uint16)
    with _raster(path, driver="PNG", count=4, crs=None, transform=None) as raster:
        raster.write(np.concatenate([_scene(), fading[None]]))


_MAKERS: dict[str, Callable[[Path], None]] = {"nodata": _with_nodata, "mask": _with_mask, "alpha": _with_alpha}
