"""Sensors by name: their published modulation transfer functions (MTF). Importing this file does not load torch.

A value is listed only with the document that states it. docs/cameras.md has the same table, with remarks.
"""

import re
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True)
class Sensor:
    """Transfers of a sensor's bands at half a cycle per pixel, the same along and across the track."""

    grids: dict[str, dict[str, float]]
    """Transfers by grid and band, each at the Nyquist frequency of its grid; bands of two grids cannot be combined. The
    name of the sensor alone means the bands of the first grid, in this order."""
    source: str
    """The document that states the values."""


_SENTINEL_2 = (
    "C. Lanaras, J. Bioucas-Dias, E. Baltsavias, K. Schindler: Super-Resolution of Multispectral Multiresolution Images"
    " from a Single Sensor, CVPR Workshops 2017; `mtf` in the authors' ms_fusion_apex.m,"
    " https://github.com/lanha/SupReME"
)

_PANSHARPENING = (
    "L.-J. Deng, G. Vivone, M. E. Paoletti and others: Machine Learning in Pansharpening, IEEE Geoscience and Remote"
    " Sensing Magazine 10(3), 2022, doi:10.1109/MGRS.2022.3187652; `GNyq` in genMTF.m and MTF_PAN.m of the authors'"
    " https://github.com/liangjiandeng/DLPan-Toolbox, which refer to B. Aiazzi and others, Photogrammetric Engineering"
    " and Remote Sensing 72(5), 2006, and to G. Vivone and others, IEEE Transactions on Geoscience and Remote Sensing"
    " 53(5), 2015, doi:10.1109/TGRS.2014.2361734"
)


_FOUR = ("blue", "green", "red", "nir")

_EIGHT = ("coastal", "blue", "green", "yellow", "red", "red-edge", "nir1", "nir2")


def _for_pansharpening(names: tuple[str, ...], transfers: tuple[float, ...], pan: float | None) -> Sensor:
    grids = {"multispectral": dict(zip(names, transfers, strict=True))}
    return Sensor(grids | ({} if pan is None else {"panchromatic": {"pan": pan}}), _PANSHARPENING)


SENSORS = {
    "sentinel-2": Sensor(
        {
            "10 m": {"B2": 0.26, "B3": 0.28, "B4": 0.24, "B8": 0.26},
            "20 m": {"B5": 0.38, "B6": 0.34, "B7": 0.34, "B8A": 0.33, "B11": 0.22, "B12": 0.23},
            "60 m": {"B1": 0.32, "B9": 0.26},
        },
        _SENTINEL_2,
    ),
    "quickbird": _for_pansharpening(_FOUR, (0.34, 0.32, 0.30, 0.22), pan=0.15),
    "ikonos": _for_pansharpening(_FOUR, (0.26, 0.28, 0.29, 0.28), pan=0.17),
    "geoeye-1": _for_pansharpening(_FOUR, (0.23, 0.23, 0.23, 0.23), pan=0.16),
    "worldview-2": _for_pansharpening(_EIGHT, (0.35, 0.35, 0.35, 0.35, 0.35, 0.35, 0.35, 0.27), pan=0.11),
    "worldview-3": _for_pansharpening(_EIGHT, (0.325, 0.355, 0.36, 0.35, 0.365, 0.36, 0.335, 0.315), pan=None),
}
"""`sentinel-2` is from `_SENTINEL_2`, all others from `_PANSHARPENING`. The panchromatic band of `worldview-3` is
missing, because code in use has both 0.14 and 0.5 for it."""


def parse_bands(told: str) -> tuple[str, tuple[str, ...], tuple[float, ...]]:
    """Return a sensor's name, the bands and their transfers.

    Args:
        told: NAME, for all bands of its first grid; NAME:BAND,BAND,..., of one grid; or NAME:BAND=TRANSFER,..., which
            keeps a value that a later table may correct. Case, zeros (B04) and hyphens do not matter.

    Raises:
        ValueError: no sensor or band has that name; the message lists those that exist.
    """
    written, colon, listed = told.partition(":")
    name = _named(written, list(SENSORS))
    if name is None:
        near = _nearest(written, list(SENSORS))
        known = ", ".join(SENSORS)
        raise ValueError(f"{written!r} is not a known sensor{near}; use {known}, or mtf: with what its maker says")
    grids = SENSORS[name].grids
    if not colon:
        first = next(iter(grids.values()))
        return name, tuple(first), tuple(first.values())
    found = [_band(name, each) for each in listed.split(",")]
    bands, transfers = tuple(band for band, _ in found), tuple(transfer for _, transfer in found)
    _check_one_grid(name, bands)
    return name, bands, transfers


def _band(sensor: str, told: str) -> tuple[str, float]:
    table = {band: transfer for grid in SENSORS[sensor].grids.values() for band, transfer in grid.items()}
    written, equals, value = told.partition("=")
    band = _named(written, list(table))
    if band is None:
        near = _nearest(written, list(table))
        raise ValueError(f"{written.strip()!r} is not a band of {sensor}{near}; use {', '.join(table)}")
    if not equals:
        return band, table[band]
    try:
        return band, float(value)
    except ValueError as error:
        raise ValueError(f"{told!r} is not a transfer of a band; use {band}, or {band}={table[band]:g}") from error


def _check_one_grid(sensor: str, bands: tuple[str, ...]) -> None:
    """Raise ValueError for bands of two grids. A file has one grid; resampled bands do not have these transfers."""
    of_band = {band: grid for grid, bands_of_it in SENSORS[sensor].grids.items() for band in bands_of_it}
    for band in bands:
        if of_band[band] != of_band[bands[0]]:
            raise ValueError(
                f"the bands {bands[0]} ({of_band[bands[0]]}) and {band} ({of_band[band]}) of {sensor} have pixels of"
                " different sizes, and each transfer is that of its own; give bands of one size, each size a file"
            )


def _named(written: str, names: list[str]) -> str | None:
    return {_bare(name): name for name in names}.get(_bare(written))


def _bare(name: str) -> str:
    """Drop what people write in different ways."""
    return re.sub(r"^b0+(?=[1-9])", "b", re.sub(r"[\s_-]", "", name.lower()))


def _nearest(written: str, names: list[str]) -> str:
    near = get_close_matches(written.strip().lower(), [name.lower() for name in names], n=1)
    return f" (the nearest is {_named(near[0], names)})" if near else ""
