"""The pictures of benchmarks/collection.py: which are learned from, which are tested, and how they become 8-bit LR.

No place is on both sides, at no date, and what the shipped prior has seen is never tested.
"""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sr_ops.image.resample import downscale

from .quality import OUT, Case

AERIAL, SENTINEL, LANDSAT = "aerial", "Sentinel-2", "Landsat"

TRAINING = {
    # those of satellite_train/ are among the shipped prior's own
    **dict.fromkeys((f"satellite_train/NAIP-VA-b{band}.tiff" for band in range(1, 5)), AERIAL),
    "satellite_train/2019_YELL_2_541000_4977000_image_crop.png": AERIAL,
    **dict.fromkeys(("satellite_train/SOAP_031.png", "satellite_train/SOAP_061.png"), AERIAL),
    **dict.fromkeys((f"satellite_train/m_4709963_se_14_1_{day}.tif" for day in ("20090818", "20200831")), AERIAL),
    "satellite/test_tiled.tif": AERIAL,
    **dict.fromkeys((f"satellite_train/s2_18SVG_{band}.tif" for band in ("B05", "B11", "B8A")), SENTINEL),
    "satellite_train/LC08_B7_Memphis_COG.tiff": LANDSAT,
    "satellite_train/L7_ETMs.tif": LANDSAT,
    **dict.fromkeys((f"satellite_train/landsat_pucallpa_{year}.tif" for year in (1985, 2020)), LANDSAT),
}
"""Files under DATA with their kind. Lines that name several files are one place."""

TESTED = {
    # two quadrangles, but these parts of them meet at 78 degrees west
    "satellite_train/m_3607717_sw_18_1_20160620_subset.tif": AERIAL,
    "satellite_train/m_3607824_se_17_1_20160620_subset.tif": AERIAL,
    "satellite/OSBS_029.tif": AERIAL,
    "satellite/pix4d_alpha_nodata.tif": AERIAL,
    "satellite/201404_13SED190110_201404_0x1500m_CL_1_nodata.tif": AERIAL,
    "satellite/image_rgb_mask.tif": AERIAL,
    "satellite/cogeo.tif": AERIAL,
    "satellite_train/s2_15S_B01_60m.jp2": SENTINEL,
    "satellite/S2A_MSIL1C_20170527_T33UUB.mat": SENTINEL,
    "satellite_train/L8-B8-Robinson-IL.tiff": LANDSAT,
    "satellite/RGB.byte.tif": LANDSAT,
    "satellite/mosaic_cog1.tif": LANDSAT,
}

UNSUITED = {
    "satellite/rgb16.tif": "16-bit RGB, of which Pillow reads the upper 8 bits only",
    "satellite/cog_nodata_nan.tif": "floating point, half of it nodata",
    "satellite/float_raster_with_nodata.tif": "12 x 13 pixels",
    "satellite/goes.tif": "a hemisphere seen by a weather satellite: none of the three kinds",
    "satellite/test_rpcs.tif": "its sensor is not known",
}

SCALE = 2

SIDE = 512
"""Most of a picture's height and width that is used, in HR pixels."""

_STRIDE = 32
"""Between the places that are tried for a window, in HR pixels."""


def prepare(data: Path, files: dict[str, str], left_out: dict[str, str]) -> list[Case]:
    """HR and LR of every file that can be converted, written under OUT; the reasons for the others go to `left_out`."""
    cases = []
    for file, kind in files.items():
        try:
            with Image.open(data / file) as image:
                hr = _to_8_bits(_window(np.asarray(image)))
        except (OSError, SyntaxError, ValueError) as error:  # SyntaxError: Pillow's for a TIFF it cannot decode
            left_out[file] = f"Pillow: {str(error).partition(' file ')[0]}"
            continue
        bands_first = hr[None] if hr.ndim == 2 else hr.transpose(2, 0, 1)
        lr = downscale(torch.from_numpy(np.ascontiguousarray(bands_first)), SCALE).permute(1, 2, 0).numpy()
        place = OUT / "collection"
        case = Case(kind, SCALE, Path(file).stem, place / f"lr/{file}.png", place / f"hr/{file}.png")
        for path, pixels in ((case.lr, lr[..., 0] if hr.ndim == 2 else lr), (case.hr, hr)):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.ascontiguousarray(pixels)).save(path)
        cases.append(case)
    return cases


def _window(pixels: NDArray[Any]) -> NDArray[Any]:
    """The window of at most SIDE, with even sides, that holds the least nodata; of such the nearest to the centre."""
    height, width = (min(SIDE, length // SCALE * SCALE) for length in pixels.shape[:2])
    nodata = pixels == 0 if pixels.ndim == 2 else (pixels == 0).all(-1)
    middle = ((pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2)
    tops, lefts = ({*range(0, 2 * start, _STRIDE), start} for start in middle)

    def badness(place: tuple[int, int]) -> tuple[int, int]:
        top, left = place
        held = int(nodata[top : top + height, left : left + width].sum())
        return held, abs(top - middle[0]) + abs(left - middle[1])

    top, left = min(itertools.product(sorted(tops), sorted(lefts)), key=badness)
    return pixels[top : top + height, left : left + width]


def _to_8_bits(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """(H, W) or (H, W, 3): more than 8 bits are stretched linearly from their 0.5th to their 99.5th percentile."""
    if pixels.ndim == 3:
        return pixels[..., :3]
    if pixels.dtype == np.uint8:
        return pixels
    low, high = np.percentile(pixels[pixels > 0], (0.5, 99.5))
    stretched: NDArray[np.uint8] = np.clip((pixels - low) / (high - low) * 255 + 0.5, 0, 255).astype(np.uint8)
    return stretched
