"""Where things come out under any kernel: bounds are the input's, and a point is where it was."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from pipeline.config import Form, Format
from pipeline.driver.run import run
from sr_ops.camera.kernels import from_spec
from sr_ops.settings import Method, Network, Settings

from .fixture_types import MakeConfig
from .rasters import write_raster

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

NAMED = ("bicubic", "box", "bilinear", "lanczos", "gaussian:1.4", "gaussian:2,0.8,30", "mtf:0.25")

LR_SIDE = 44

PLACE = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)}

NEAR = 0.05
"""LR pixels."""


def with_a_phase() -> NDArray[np.float64]:
    """A blob that is not round and lies off every middle, as a file may hold it."""
    rows, columns = np.mgrid[-6:7, -6:7].astype(float)
    taps = np.exp(-0.5 * (((rows - 1.9) / 1.1) ** 2 + ((columns + 1.3) / 1.5) ** 2))
    taps += 0.4 * np.exp(-0.5 * ((rows - 3.2) ** 2 + (columns + 0.2) ** 2))
    return taps / taps.sum()


def correlated(hr: NDArray[np.float64], taps: NDArray[np.float64], scale: int) -> NDArray[np.float64]:
    """lr = correlate(hr, taps)[0::scale, 0::scale], tap by tap; the border is repeated."""
    reach = len(taps) // 2
    padded = np.pad(hr, reach, mode="edge")
    shifted = (
        tap * padded[row : row + hr.shape[0] : scale, column : column + hr.shape[1] : scale]
        for (row, column), tap in np.ndenumerate(taps)
    )
    return sum(shifted, np.zeros((hr.shape[0] // scale, hr.shape[1] // scale)))


def dot(scale: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """An HR picture of a bright dot on gray, and where it is: row and column of its middle in LR pixels, 0 the border.

    It lies between the pixels of both grids.
    """
    place = np.array([21.37, 23.81])
    rows, columns = (np.mgrid[0 : LR_SIDE * scale, 0 : LR_SIDE * scale] + 0.5) / scale
    distance = (rows - place[0]) ** 2 + (columns - place[1]) ** 2
    return 8000 + 30000 * np.exp(-0.5 * distance / 0.9**2), place


def found(image: NDArray[Any]) -> NDArray[np.float64]:
    """Where the dot of a picture of LR_SIDE x LR_SIDE LR pixels is: its centre of mass, as `dot` tells it."""
    scale = image.shape[0] / LR_SIDE
    light = image.astype(float) - 8000
    rows, columns = (np.mgrid[0 : image.shape[0], 0 : image.shape[1]] + 0.5) / scale
    return np.array([(light * rows).sum(), (light * columns).sum()]) / light.sum()


Enlarged = Callable[..., tuple[NDArray[Any], rasterio.coords.BoundingBox]]


@pytest.fixture
def enlarged(
    tmp_path: Path, tiny_config: MakeConfig, observer: Any, read_records: Callable[[str], dict[Any, Any]]
) -> Enlarged:
    """The result of an image by a kernel, one band of it, and its bounds: by bicubic, or by the shipped prior."""

    def enlarge(image: Path, kernel: str, scale: int, prior: bool) -> Any:
        (tmp_path / "m.csv").write_text(f"uri,kernel\n{image},{kernel!s}\n".replace(kernel, f'"{kernel}"'))
        network, method = (Network.DIRECT, Method.PRIOR) if prior else (Network.SUBPIXEL, Method.BICUBIC)
        settings = Settings(scale=scale, network=network, method=method, ensemble=False, noise="0.0")
        form = Form(Format.AUTO, single=True)
        output = str(tmp_path / f"{prior}-{scale}")
        config = tiny_config(settings=settings, form=form, prior_name="shipped" if prior else "none", output=output)
        assert run(replace(config), observer).failed == 0
        (record,) = read_records(output).values()
        assert record["method_used"] == method
        with rasterio.open(record["output_uri"]) as file:
            return file.read(1), file.bounds

    return enlarge


def write(path: Path, lr: NDArray[np.float64], georeferenced: bool) -> Path:
    driver, place = ("GTiff", PLACE) if georeferenced else ("PNG", {})
    return write_raster(path, np.rint(lr).astype(np.uint16)[None], driver=driver, **place)


@pytest.mark.parametrize(("scale", "prior"), [(2, False), (2, True), (3, False), (4, False), (4, True)])
@pytest.mark.parametrize("kernel", NAMED)
def test_a_named_kernel_moves_nothing(kernel: str, scale: int, prior: bool, enlarged: Enlarged, tmp_path: Path) -> None:
    """A camera of that name leaves a point where it is in the LR image, and so does the way back."""
    hr, place = dot(scale)
    lr = correlated(hr, from_spec(kernel, scale)[0].taps.numpy(), scale)
    assert np.abs(found(lr) - place).max() < 0.01
    image = write(tmp_path / "a.tif", lr, georeferenced=True)
    sr, bounds = enlarged(image, kernel, scale, prior)
    assert sr.shape == hr.shape
    assert np.abs(found(sr) - place).max() < NEAR
    with rasterio.open(image) as file:
        assert bounds == file.bounds


@pytest.mark.parametrize(("scale", "prior"), [(2, False), (2, True), (3, False), (4, True)])
def test_a_phase_is_compensated_on_a_map(scale: int, prior: bool, enlarged: Enlarged, tmp_path: Path) -> None:
    """Bounds are the input's, and a point keeps the place on the ground that the input shows it at."""
    hr, place = dot(scale)
    np.save(tmp_path / "k.npy", with_a_phase())
    lr = correlated(hr, with_a_phase(), scale)
    shown = found(lr)
    assert np.abs(shown - place).max() > 4 * NEAR
    image = write(tmp_path / "a.tif", lr, georeferenced=True)
    sr, bounds = enlarged(image, str(tmp_path / "k.npy"), scale, prior)
    assert np.abs(found(sr) - shown).max() < NEAR
    with rasterio.open(image) as file:
        assert bounds == file.bounds


@pytest.mark.parametrize(("scale", "prior"), [(2, False), (2, True), (3, False), (4, True)])
def test_a_phase_is_honoured_in_a_picture(scale: int, prior: bool, enlarged: Enlarged, tmp_path: Path) -> None:
    """Without a place on the ground the result lies as lr = correlate(hr, kernel)[0::s, 0::s] has it: on the truth."""
    hr, place = dot(scale)
    np.save(tmp_path / "k.npy", with_a_phase())
    image = write(tmp_path / "a.png", correlated(hr, with_a_phase(), scale), georeferenced=False)
    sr, _ = enlarged(image, str(tmp_path / "k.npy"), scale, prior)
    assert np.abs(found(sr) - place).max() < NEAR


@pytest.mark.parametrize("georeferenced", [False, True])
def test_a_phase_that_moves_the_result_is_told(
    georeferenced: bool, enlarged: Enlarged, read_records: Callable[[str], dict[Any, Any]], tmp_path: Path
) -> None:
    """By how much, in HR pixels: four equal taps lie around the corner of the first HR pixel, unlike box."""
    np.save(tmp_path / "k.npy", np.ones((2, 2)) / 4)
    lr = correlated(dot(2)[0], np.pad(np.ones((2, 2)) / 4, ((0, 1), (0, 1))), 2)
    sr, _ = enlarged(write(tmp_path / "a", lr, georeferenced), str(tmp_path / "k.npy"), 2, False)
    moved = 0.0 if georeferenced else -0.5
    assert np.abs(found(sr) - found(lr) - moved).max() < NEAR
    (record,) = read_records(str(tmp_path / "False-2")).values()
    told = "moves the result by -1.00 HR pixels along x and -1.00 along y" in (record["notes"] or "")
    assert told is not georeferenced
