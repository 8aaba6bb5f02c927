"""Real pairs of satellites: bands of a scene and, of the same overpass, a band that was seen twice as finely."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import rasterio
import torch
from torch import Tensor

from .matching import away_from, best_shift, detail_correlation, mixed, mover, psnr
from .pair_runs import DETAIL, INTERPOLATED, Methods, Nearness, enlarged, save
from .quality import Case
from .results import table

SCALE = 2

_LANDSAT = "satellite_pairs/LC80200392015216_{band}.tif"
_SENTINEL = "satellite/S2A_MSIL1C_20170527_T33UUB.mat"

_FROM_CLOUDS = 20
"""LR pixels: clouds have rims and shadows that the quality band does not tell, and they moved between two exposures."""
_BORDER = 8
"""LR pixels."""

_SHOWN = 400
"""HR pixels a side, at most, of what is drawn."""

_SENSOR = "sensor"
"""The method that is told the published MTF of each band."""

_TENS, _TWENTIES = ("B4", "B3", "B2", "B8"), ("B5", "B6", "B7", "B8A", "B11", "B12")
"""As they lie in the file."""
_NEAREST = {"B5": "B4", "B6": "B8", "B7": "B8", "B8A": "B8"}
"""In wavelength. Nothing at 10 m is near B11 and B12."""


@dataclass(frozen=True)
class Scene:
    """What is enlarged, and what it is compared with."""

    name: str
    lr: Path
    reference: Tensor
    """(H, W), of the finer band."""
    known: Tensor
    """(H, W) bool: where they are compared."""
    sensor: str = ""
    """The kernel by its published MTF, where there is one."""

    @property
    def peak(self) -> float:
        """The range of PSNR: that of the finer band where it is compared, but for a thousandth at each end."""
        low, high = np.percentile(self.reference[self.known].numpy(), (0.1, 99.9))
        return float(high - low)


def landsat(data: Path, folder: Path) -> list[Scene]:
    """Blue, green and red at 30 m, and the panchromatic band at 15 m."""
    bands = np.stack([_read(data, band) for band in ("B2", "B3", "B4")])
    lr = _written(folder / "landsat-8.tif", bands, Path(data / _LANDSAT.format(band="B2")))
    cloudy = torch.from_numpy(_read(data, "BQA") >> 14 >= 2)  # the two highest bits: 2 is perhaps, 3 is surely a cloud
    clear = away_from(cloudy, _FROM_CLOUDS)
    return [_scene("B2, B3, B4: pan", lr, _read(data, "B8"), clear)]


def sentinel(data: Path, folder: Path) -> list[Scene]:
    """Each band at 20 m, and the one at 10 m that is nearest in wavelength."""
    path = data / _SENTINEL
    tens, twenties = (_of_matlab(path, name) for name in ("im10", "im20"))
    scenes = []
    for band, finer in _NEAREST.items():
        coarse = twenties[_TWENTIES.index(band)]
        lr = _written(folder / f"sentinel-2-{band}.tif", coarse[None])
        clear = away_from(torch.zeros(coarse.shape, dtype=torch.bool), _BORDER)
        scene = _scene(f"{band}: {finer}", lr, tens[_TENS.index(finer)], clear)
        scenes.append(replace(scene, sensor=f"sensor:sentinel-2:{band}"))
    return scenes


def _scene(name: str, lr: Path, finer: np.ndarray, clear: Tensor) -> Scene:
    known = clear.repeat_interleave(SCALE, 0).repeat_interleave(SCALE, 1)
    height, width = known.shape
    return Scene(name, lr, torch.from_numpy(finer[:height, :width].astype(np.float64)), known)


def _read(data: Path, band: str) -> np.ndarray:
    with rasterio.open(data / _LANDSAT.format(band=band)) as raster:
        samples: np.ndarray = raster.read(1)
    return samples


def _of_matlab(path: Path, name: str) -> np.ndarray:
    """An array of a MATLAB 7.3 file, which is HDF5: (C, W, H), since MATLAB goes by columns. (C, H, W) uint16."""
    with rasterio.open(f'HDF5:"{path}"://{name}') as raster:
        samples: np.ndarray = raster.read().transpose(0, 2, 1)
    return samples.astype(np.uint16)


def _written(path: Path, bands: np.ndarray, like: Path | None = None) -> Path:
    """As GeoTIFF, where `like` lies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    place = {}
    if like is not None:
        with rasterio.open(like) as raster:
            place = {"crs": raster.crs, "transform": raster.transform}
    count, height, width = bands.shape
    shape = {"count": count, "height": height, "width": width, "dtype": bands.dtype}
    with rasterio.open(path, "w", driver="GTiff", **shape, **place) as raster:
        raster.write(bands)
    return path


def of_scene(sr: Tensor, scene: Scene) -> Nearness:
    """Its best mix of bands against the finer band."""
    shift = best_shift(sr, scene.reference, scene.known)
    matched = mixed(mover(sr)(shift), scene.reference, scene.known)
    sigma = DETAIL * SCALE
    detail = detail_correlation(matched, scene.reference, scene.known, sigma)
    return Nearness(psnr(matched, scene.reference, scene.known, scene.peak), detail, shift, matched[None])


def compared(name: str, found: Sequence[Scene], methods: Methods) -> str:
    """Table of one satellite's scenes: a row for each method."""
    cases = [Case(name, SCALE, scene.lr.stem, scene.lr, scene.lr) for scene in found]
    results = enlarged(name, cases, methods)
    if all(scene.sensor for scene in found):
        told = [replace(case, kernel=scene.sensor) for case, scene in zip(cases, found, strict=True)]
        results[_SENSOR] = enlarged(f"{name}-sensor", told, {_SENSOR: ()})[_SENSOR]
    near = {
        method: [of_scene(of_method[case.id], scene) for case, scene in zip(cases, found, strict=True)]
        for method, of_method in results.items()
    }
    for number, (case, scene) in enumerate(zip(cases, found, strict=True)):
        window = _best_known(scene.known)
        panels = {f"{method}: {of[number].caption}": of[number].matched[:, *window] for method, of in near.items()}
        save(case.name, panels | {"the finer band": scene.reference[None, *window]}, scene.peak)
    rows = [
        [method, *(figure for one in of for figure in (f"{one.psnr:.2f}", f"{one.detail:.4f}"))]
        for method, of in near.items()
    ]
    shifts = [f"{down:+.2f}, {right:+.2f}" for down, right in (one.shift for one in near[INTERPOLATED])]
    rows.append(["moved by", *(cell for shift in shifts for cell in (shift, ""))])
    header = [cell for scene in found for cell in (f"{scene.name}, dB", "detail")]
    return table(["", *header], rows)


def _best_known(known: Tensor) -> tuple[slice, slice]:
    """The window of at most _SHOWN a side of which most is known."""
    side = min(_SHOWN, *known.shape)
    sums = torch.nn.functional.pad(known.double().cumsum(0).cumsum(1), (1, 0, 1, 0))
    counts = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    top, left = divmod(int(counts.argmax()), counts.shape[1])
    return slice(top, top + side), slice(left, left + side)
