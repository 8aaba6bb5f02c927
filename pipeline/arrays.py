"""Enlargement of an image in memory, with the same result as `srpipe run` on a file with the same numbers."""

import math
import os
from contextlib import nullcontext
from dataclasses import replace
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sr_ops.enlarging.reduction import places
from sr_ops.enlarging.restorer import RestorerError
from sr_ops.image.grid import Grid
from sr_ops.image.tiles import Tile
from sr_ops.learning.learn import fit_stages
from sr_ops.networks.exact import exactly
from sr_ops.priors.prior import Prior
from sr_ops.settings import AUTO, NONE

from .config import Device, Format
from .driver.completing import completed
from .errors import ErrorType, ImageError, UsageError
from .imagery.header import ALPHA, DTYPES, Band, FileLimits, Georef, Header, Pixels
from .imagery.picture import Picture
from .imagery.sizes import sized
from .options import check_names, config_of, names_of_quality
from .output.sinks import Sink, nothing_known
from .output.target import Target
from .output.written_tile import Measures, WrittenTile
from .priors.prior_file import SHIPPED, PriorFile, read_prior, weights
from .storage.patience import Patience
from .work.device import inline_device
from .work.enlarging import Enlargement, write_tiles
from .work.fitting import prepare
from .work.image_work import check_image_scale
from .work.stopwatch import Stopwatch

Image = TypeVar("Image", NDArray[Any], Tensor)

_WITHOUT_EFFECT = ("stack", "target_gsd")
"""Options without a meaning for one image without a georeference."""

_COMPUTED_AS = {"float16": "float32", "float64": "float32"}

_SHORT = {"float16": torch.float16, "bfloat16": torch.bfloat16}

_BLENDING = ("uint8", "uint16")
"""Types of an alpha whose largest value is opaque."""

_MOST_BANDS = FileLimits.bands


def enlarge(
    image: Image,
    scale: float | str | None = None,
    *,
    channel_axis: int | None = None,
    alpha: bool = False,
    georeferenced: bool = False,
    device: str = "auto",
    **options: Any,
) -> Image:
    """Enlarge one image in memory with the shipped weights, to the samples that `srpipe run` would write.

    >>> import numpy as np
    >>> from pipeline import enlarge
    >>> picture = np.add.outer(np.arange(12), np.arange(16)).astype(np.uint8) * 9
    >>> larger = enlarge(picture, 2, method="bicubic")
    >>> picture.shape, larger.shape, larger.dtype
    ((12, 16), (24, 32), dtype('uint8'))

    A colour picture is (height, width, 3), as in Pillow, scikit-image and OpenCV. For (bands, height, width), as
    rasterio reads it, `channel_axis` is 0.

    >>> enlarge(np.zeros((4, 12, 16), np.uint16), 2, channel_axis=0, method="bicubic").shape
    (4, 24, 32)

    Args:
        image: (H, W), or with bands along `channel_axis`; uint8, uint16, int8, int16, float16, float32 or float64.
            Integers are taken as they are, 8 bits as 0 to 255. Floats may have any range and unit, and NaN means that
            nothing was measured; they are computed in float32.
        scale: from 1.01 to 8, or one across and one down, as "2.5x3"; 4 unless `target_size` gives the size.
        channel_axis: the axis of the bands; by default the last of an array, and the first of a tensor.
        alpha: the last band is the opacity; for uint8 or uint16.
        georeferenced: the image lies on a map. The result then has the same bounds, so a kernel given by its taps is
            moved to the middle of the pixel. An alpha marks valid pixels, and may have any type.
        device: "auto" (a GPU if there is one), "cpu" or "cuda"; a tensor is enlarged on its own device.
        options: those of `srpipe run` that decide pixels, by name (docs/reference.md): `preset="fast"`, `steps=100`,
            `kernel="gaussian:1.4"`, `noise=5`, `nodata=0`. `kernel` may also be an array of taps with a sum of 1.

    Returns:
        The result, with the same class, dtype, order of axes and device. Equal images give equal samples if torch's
        thread count is the same; with one thread, `torch.set_num_threads(1)`, they equal those of `srpipe run`.

    Raises:
        TypeError: `image` is neither array nor tensor, or an option does not exist.
        UsageError: an option has an invalid value, or options exclude each other.
        ImageError: the image cannot be enlarged: its type or shape is not supported, or its size cannot be made.
    """
    check_names("enlarge", options, tuple(name for name in names_of_quality() if name not in _WITHOUT_EFFECT))
    samples = _array_of(image)
    axis = _band_axis(samples, -1 if isinstance(image, np.ndarray) else 0, channel_axis)
    bands = samples[None] if axis is None else np.moveaxis(samples, axis, 0)
    place = _device(device) if isinstance(image, np.ndarray) else image.device
    header = _header_of(bands, alpha, georeferenced)
    made, fill = _enlarged(_Held(header, _computed_as(bands)), place, {"scale": scale, **options}, image.dtype)
    made = _typed(made, bands, fill)
    made = made[0] if axis is None else np.moveaxis(made, 0, axis)
    if isinstance(image, np.ndarray):
        return np.ascontiguousarray(made)
    return torch.from_numpy(np.ascontiguousarray(made)).to(image.device, image.dtype)


def load_prior(name: str | os.PathLike[str] = SHIPPED) -> Prior:
    """Return the weights from which `sr_ops.super_resolve` starts.

    >>> from pipeline import load_prior
    >>> sorted({scale for scale, bands in load_prior().heads})
    [2, 3, 4]

    Args:
        name: "shipped", or the path or uri of a file made by `srpipe prior`.

    Raises:
        UsageError: nothing is there, or it is not a prior.
    """
    file = read_prior(os.fspath(name), "name")
    if file is None:
        raise UsageError("name: none is not a prior; give shipped, or a file made by `srpipe prior`")
    return _weights(file)


@lru_cache(maxsize=2)
def _weights(file: PriorFile) -> Prior:
    return weights(file)


def _array_of(image: Any) -> NDArray[Any]:
    """Return the samples of an image. Raises TypeError if it is none."""
    if isinstance(image, np.ma.MaskedArray):
        raise TypeError("a masked array is not taken; give image.filled(value), and nodata=value")
    if isinstance(image, Tensor):
        held = image.detach().cpu()
        samples: NDArray[Any] = (held.float() if held.dtype == torch.bfloat16 else held).numpy()
        return samples
    if not isinstance(image, np.ndarray):
        raise TypeError(
            f"{type(image).__name__} is not an image; give a numpy array, as np.asarray(image), or a tensor"
        )
    return image


def _band_axis(samples: NDArray[Any], usual: int, told: int | None) -> int | None:
    """Return the axis of the bands, None for an image without. Raises ImageError if that axis does not exist."""
    if samples.ndim == 2 and told is None:
        return None
    axis = usual if told is None else told
    if samples.ndim != 3 or not -3 <= axis < 3:
        where = "" if told is None else f" with channel_axis={told}"
        message = f"an image of shape {samples.shape}{where} is not taken; give (H, W), or three axes and channel_axis"
        raise ImageError(ErrorType.UNSUPPORTED, message)
    return axis


def _device(name: str) -> torch.device:
    try:
        return torch.device(inline_device(Device(name)))
    except ValueError as error:
        raise UsageError(f"device: {name!r} is none; give auto, cpu or cuda") from error


@exactly()
def _enlarged(
    image: "_Held", device: torch.device, options: dict[str, Any], dtype: np.dtype[Any] | torch.dtype
) -> tuple[NDArray[Any], float | None]:
    """Return the result, (C, H, W), and the number that means that nothing was measured.

    Args:
        dtype: in which the image came.
    """
    named = completed(config_of("", "", options))
    prior = None if named.prior is None else _weights(named.prior)
    told, watch = named.config.settings, Stopwatch()
    picture = Picture(image, None, told.seed, _nodata_in(dtype, told.nodata), told.value_range)
    settings = sized(told, picture.header)
    restorer = None
    if named.model is not None:
        restorer = named.model.ready(told.model_halo, torch.get_num_threads(), device.type)
    check_image_scale(restorer, settings.scale)
    ready = prepare(settings, picture, device, watch)
    fitted = fit_stages(ready.observation, ready.settings, prior, watch)
    model = replace(fitted.model, restorer=restorer)
    enlargement = Enlargement(picture, model, ready.settings, device, watch, piece=ready.settings.tile_size)
    with _Canvas(picture.header, enlargement.grid) as canvas:
        try:
            write_tiles(enlargement, enlargement.tiles(), canvas)
        except RestorerError as error:
            raise ImageError(ErrorType.UNSUPPORTED, str(error)) from error
    return canvas.samples, picture.header.nodata


def _nodata_in(dtype: np.dtype[Any] | torch.dtype, told: str) -> str:
    """Return a told nodata value as an image of floats of 16 bits has it: -9999 is -10000 there."""
    name = dtype.name if isinstance(dtype, np.dtype) else str(dtype).removeprefix("torch.")
    if name not in _SHORT or told in (AUTO, NONE):
        return told
    number = float(torch.tensor(float(told), dtype=_SHORT[name]))
    return NONE if math.isinf(number) else repr(number)


def _header_of(samples: NDArray[Any], alpha: bool, georeferenced: bool) -> Header:
    """Return the header that a file with the samples (C, H, W) would have. Raises ImageError if not supported."""
    bands, height, width = samples.shape
    dtype = _COMPUTED_AS.get(samples.dtype.name, samples.dtype.name)
    if dtype not in DTYPES:
        message = f"samples of {dtype} are not taken; convert them to one of {', '.join(DTYPES)}"
        raise ImageError(ErrorType.UNSUPPORTED, message)
    if not samples.size or bands > _MOST_BANDS:
        what = "is empty" if not samples.size else f"has {bands} bands, more than {_MOST_BANDS}"
        message = f"the image {what}; give the axis of the bands with channel_axis"
        raise ImageError(ErrorType.UNSUPPORTED, message)
    if alpha and (bands < 2 or not (georeferenced or dtype in _BLENDING)):
        message = f"an image of {bands} bands of {dtype} has no alpha; leave out alpha=True"
        raise ImageError(ErrorType.UNSUPPORTED, f"{message}, or give uint8 or uint16 of at least two bands")
    colours = ["undefined"] * bands
    if alpha:
        colours[-1] = ALPHA
    georef = Georef() if georeferenced else None
    return Header("array", height, width, dtype, tuple(map(Band, colours)), georef=georef)


def _typed(made: NDArray[Any], like: NDArray[Any], fill: float | None) -> NDArray[Any]:
    """Return the samples in the type of others; of float64 the fill as it is there, which float32 may not hold."""
    typed = made.astype(like.dtype, copy=False)
    if like.dtype == np.float64 and fill is not None:
        near = like[like.astype(np.float32) == np.float32(fill)]
        typed[made == np.float32(fill)] = fill if fill in near else next(iter(near), fill)
    return typed


def _computed_as(samples: NDArray[Any]) -> NDArray[Any]:
    """Return the samples as in the header, in native byte order. Raises ImageError if float32 cannot hold them."""
    with np.errstate(over="ignore"):
        dtype = _COMPUTED_AS.get(samples.dtype.name, samples.dtype.name)
        made = np.require(samples, dtype, ["C", "W"])  # torch warns about read-only arrays
    if made.dtype != samples.dtype and (np.isfinite(samples) & ~np.isfinite(made)).any():
        raise ImageError(ErrorType.UNSUPPORTED, "the image has samples beyond float32; scale them, or make them NaN")
    return made


class _Held:
    """An image in memory as an open file, for `Picture`."""

    def __init__(self, header: Header, samples: NDArray[Any]) -> None:
        self.header = header
        self._samples = samples

    def window(self, rows: slice, columns: slice) -> Pixels:
        return Pixels(self._samples[:, rows, columns], None)

    def close(self) -> None:
        """Do nothing: nothing is open."""


class _Canvas(Sink):
    """Collects the whole result, (C, H, W), in memory."""

    def __init__(self, header: Header, grid: Grid) -> None:
        height, width = grid.size
        made = replace(header, height=height, width=width)
        super().__init__(Target(Format.TIF, made, "", True, grid), lambda _: nullcontext(), Patience(0))
        self.samples = nothing_known(made)

    def _take(self, tile: Tile, pixels: Pixels, measures: Measures) -> None:  # noqa: ARG002 - not used here
        rows, columns = places(tile, self.target.grid)
        self.samples[:, rows, columns] = pixels.samples

    def _end(self) -> tuple[WrittenTile, ...]:
        return ()
