"""An image of several tiles that is no larger than one tile's window is computed at once, and is the same."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from PIL import Image

from pipeline.driver.run import run
from pipeline.output.record import Record
from pipeline.work import enlarging
from pipeline.work.enlarging import Enlargement
from sr_ops.settings import Method, Settings

from .fixture_types import MakeConfig, MakePrior
from .rasters import write_raster

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

SIDE = 110
"""More than a tile of 32 and its halo on one side, less than with both."""

NUMBERS = ("consistency_mae", "consistency_rmse", "consistency_max", "disagreement_p50", "spectrum_excess")


def _colours(path: Path, levels: NDArray[np.uint8]) -> None:
    Image.fromarray(levels[..., :3]).save(path)


def _alpha(path: Path, levels: NDArray[np.uint8]) -> None:
    levels[20:70, 30:80, 3] = 0
    Image.fromarray(levels).save(path)


def _nodata(path: Path, levels: NDArray[np.uint8]) -> None:
    deep = 200 * levels[..., :2].astype(np.uint16) + 1
    deep[:40, :40] = 0
    deep[60:, 90:] = 0
    write_raster(path, np.moveaxis(deep, -1, 0), nodata=0)


KINDS: dict[str, Callable[[Path, NDArray[np.uint8]], None]] = {
    "colours.png": _colours,
    "alpha.png": _alpha,
    "nodata.tif": _nodata,
}


@pytest.fixture(params=[{"scale": 2}, {"scale": 3, "result_size": "times:2.5x1.5"}], ids=["whole", "other"])
def enlarged(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    tiny_config: MakeConfig,
    make_prior: MakePrior,
    direct_settings: Settings,
    observer: Any,
) -> Callable[[str], tuple[Record, dict[str, NDArray[Any]]]]:
    """Enlarge the one image of a folder by a prior, far from the base; its record and all its tiles."""
    (tmp_path / "prior").write_bytes(make_prior())
    settings = replace(direct_settings, method=Method.PRIOR, tile_size=32, noise="0", **request.param)

    def enlarge(output: str) -> tuple[Record, dict[str, NDArray[Any]]]:
        place = tmp_path / output
        config = tiny_config(settings=settings, prior_name=str(tmp_path / "prior"), output=str(place))
        assert run(replace(config, disagreement=True), observer).done == 1
        tiles = {}
        for path in sorted([*place.rglob("r0*.png"), *place.rglob("r0*.tif")]):
            with rasterio.open(path) as file:
                tiles[str(path.relative_to(place))] = np.concatenate([file.read(), file.dataset_mask()[None]])
        return observer.records.pop(), tiles

    return enlarge


def test_a_long_image_is_not(enlarged: Any, tmp_path: Path, pixels: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no more pixels than a window, but back-projection takes a matrix as large as the square of its side."""
    _colours(tmp_path / "long.png", pixels(height=16, width=700, bands=4))
    (tmp_path / "m.csv").write_text("uri\nlong.png\n")
    halos = []
    plan_tiles = enlarging.plan_tiles

    def planned(height: int, width: int, tile_size: int, halo: int) -> Any:
        halos.append(halo)
        return plan_tiles(height, width, tile_size, halo)

    monkeypatch.setattr(enlarging, "plan_tiles", planned)
    enlarged("long")
    assert (32 + 2 * halos[0]) ** 2 > 16 * 700
    assert 32 + 2 * halos[0] < 700


@pytest.mark.parametrize("name", KINDS)
def test_it_is_computed_once(
    name: str, enlarged: Any, tmp_path: Path, pixels: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tiles, masks, maps and numbers are those of tiles that read no more than they need."""
    KINDS[name](tmp_path / name, pixels(height=SIDE, width=SIDE, bands=4))
    (tmp_path / "m.csv").write_text(f"uri\n{name}\n")
    windows: list[tuple[int, ...]] = []
    compute = enlarging.enlarge_and_compare

    def counted(lr: Any, *rest: Any) -> Any:
        windows.append(tuple(lr.shape[-2:]))
        return compute(lr, *rest)

    monkeypatch.setattr(enlarging, "enlarge_and_compare", counted)
    record, tiles = enlarged("together")
    assert windows == [(SIDE, SIDE)]
    monkeypatch.setattr(Enlargement, "halo", property(lambda image: image.least_halo))
    alone, others = enlarged("alone")
    assert len(windows) > 10
    assert min(windows[1:]) < (SIDE, SIDE)
    assert tiles.keys() == others.keys()
    assert len(tiles) > 20
    for each, made in tiles.items():
        np.testing.assert_allclose(made.astype(float), others[each].astype(float), rtol=0, atol=1, err_msg=each)
    for number in NUMBERS:
        expected = getattr(alone, number)
        assert getattr(record, number) == (expected and pytest.approx(expected, rel=0.02, abs=0.02)), number
