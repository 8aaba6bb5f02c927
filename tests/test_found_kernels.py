"""`--kernel estimate`: each image's kernel is found in its pixels, and from then on it is as if it had been told."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pipeline.config import Form
from pipeline.driver.run import run
from pipeline.imagery import camera
from pipeline.work import image_work
from pipeline.work.enlarging import Enlargement, Written
from pipeline.work.units import Division, Group
from pipeline.work.worker import Worker
from sr_ops.camera.kernel_spec import parse
from sr_ops.estimation import signs
from sr_ops.image import sheet
from sr_ops.settings import Method, Network

from .fixture_types import MakeConfig, MakePrior, ReadTiles, Srpipe
from .rasters import write_raster
from .scenes import seen_scene

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

Records = dict[Any, dict[str, Any]]
Find = Callable[..., Records]

SCALE = 2

ROUND, SLANTED, WIDE = (0.6, 0.0, 0.6), (1.0, 0.35, 0.6), (1.1, 0.0, 1.1)
"""Covariances of blurs in LR pixels squared."""

PLACE = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)}


def covariance_of(kernel: str) -> NDArray[np.float64]:
    """(2, 2) in LR pixels squared, of a Gaussian told at SCALE."""
    spec = parse(kernel)
    first, second, degrees = spec.numbers if len(spec.numbers) == 3 else (*spec.numbers * 2, 0.0)
    angle = math.radians(degrees)
    axes = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    covariance: NDArray[np.float64] = axes @ np.diag([first**2, second**2]) @ axes.T / SCALE**2
    return covariance


def is_near(kernel: str, truth: tuple[float, float, float]) -> bool:
    """Within a third of the blur's size: scenes have directions of their own."""
    xx, xy, yy = truth
    off = covariance_of(kernel) - np.array([[xx, xy], [xy, yy]])
    return bool(np.abs(off).max() < (xx + yy) / 6)


def _gray(path: Path, seen: NDArray[np.uint8]) -> None:
    Image.fromarray(seen).save(path)


def _colours(path: Path, seen: NDArray[np.uint8]) -> None:
    Image.fromarray(np.stack([seen, 255 - seen // 2, seen // 3], -1)).save(path)


def _alpha(path: Path, seen: NDArray[np.uint8]) -> None:
    alpha = np.full_like(seen, 255)
    alpha[:40] = np.linspace(0, 255, 40)[:, None]
    Image.fromarray(np.stack([seen, seen, seen, alpha], -1)).save(path)


def _nodata(path: Path, seen: NDArray[np.uint8]) -> None:
    samples = 100 * seen.astype(np.uint16) + 1
    samples[:, :20] = 0
    samples[50:56, 60:66] = 0
    write_raster(path, samples[None], nodata=0, **PLACE)


def _floats(path: Path, seen: NDArray[np.uint8]) -> None:
    samples = 0.01 * seen.astype(np.float32) - 1
    samples[-15:] = np.nan
    write_raster(path, np.stack([samples, samples + 3]), nodata=np.nan, **PLACE)


KINDS = {"gray.png": _gray, "rgb.png": _colours, "alpha.png": _alpha, "nodata.tif": _nodata, "floats.tif": _floats}


@pytest.fixture
def find(
    tmp_path: Path, tiny_config: MakeConfig, observer: Any, read_records: Callable[[str], Records]
) -> Callable[..., Records]:
    """Run images of tmp_path, by the method that takes any kernel; the records. Changes are of the settings."""

    def do(names: Any, output: str = "out", form: Form | None = None, **changes: Any) -> Records:
        table = names if isinstance(names, str) else "uri\n" + "".join(f"{name}\n" for name in names)
        (tmp_path / "m.csv").write_text(table)
        config = tiny_config(output=str(tmp_path / output), form=form or Form())
        told = {"scale": SCALE, "method": Method.BICUBIC, "kernel": "estimate", "tile_size": 64, **changes}
        run(replace(config, settings=replace(config.settings, **told)), observer)
        return read_records(str(tmp_path / output))

    return do


@pytest.mark.parametrize("kind", KINDS)
def test_the_kernel_found_is_the_camera_s(kind: str, tmp_path: Path, find: Find) -> None:
    """Of every kind of file, parts of which are not known; the record says how it came about."""
    KINDS[kind](tmp_path / kind, seen_scene(SLANTED, seed=3, side=120))
    (record,) = find([kind]).values()
    assert record["status"] == "done"
    assert is_near(record["kernel"], SLANTED), record["kernel"]
    assert (record["kernel_source"], record["kernel_note"]) == ("estimated", None)
    assert 0.9 < record["kernel_confidence"] <= 1
    assert record["fit_s"] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_as_if_it_had_been_told(kind: str, tmp_path: Path, find: Find, read_tiles: ReadTiles) -> None:
    """The same bytes in every tile, alpha and places of nodata included; the way there is another, and is told."""
    KINDS[kind](tmp_path / kind, seen_scene(SLANTED, seed=4, side=120))
    (found,) = find([kind], "found").values()
    (told,) = find([kind], "told", kernel=found["kernel"]).values()
    (bicubic,) = find([kind], "bicubic", kernel="bicubic").values()
    tiles = read_tiles(str(tmp_path / "found"))
    assert sum(name.endswith((".png", ".tif")) for name in tiles) == 4
    assert tiles == read_tiles(str(tmp_path / "told"))
    assert found["output_sha256"] == told["output_sha256"] != bicubic["output_sha256"]
    assert (told["kernel_source"], told["kernel_confidence"], told["kernel_note"]) == ("told", None, None)
    assert (bicubic["kernel"], bicubic["kernel_source"]) == ("bicubic", "told")
    assert found["config_fingerprint"] != told["config_fingerprint"]


@pytest.mark.usefixtures("each_tile_alone")
@pytest.mark.parametrize("kind", ["rgb.png", "nodata.tif"])
def test_tiles_equal_the_whole(kind: str, tmp_path: Path, find: Find) -> None:
    """Cut into small tiles, or not at all: to the bit in 8 bits, but for rounding in 16."""
    KINDS[kind](tmp_path / kind, seen_scene(WIDE, seed=5, side=120))
    images = []
    for tile_size in (16, 512):
        find([kind], f"by-{tile_size}", Form(single=True), tile_size=tile_size)
        (made,) = (path for path in (tmp_path / f"by-{tile_size}").rglob(f"*{kind[-4:]}") if "_" not in path.name)
        with rasterio.open(made) as file:
            images.append(file.read().astype(np.int32))
    assert np.abs(images[0] - images[1]).max() <= (kind == "nodata.tif")


def test_order_neighbours_and_stacks_do_not_matter(tmp_path: Path, find: Find, read_tiles: ReadTiles) -> None:
    """Each image has its own kernel, whatever is worked on before, after or together with it."""
    truths = {"a.png": ROUND, "b.png": SLANTED, "c.png": WIDE}
    for seed, (name, truth) in enumerate(truths.items()):
        _gray(tmp_path / name, seen_scene(truth, seed, side=112))
    together = find([*truths], "together")
    assert all(is_near(together[name]["kernel"], truth) for name, truth in truths.items())
    assert len({record["kernel"] for record in together.values()}) == 3
    expected = read_tiles(str(tmp_path / "together"))
    for output, names, stack in (("back", [*truths][::-1], 1), ("alone", ["b.png"], 1), ("stacked", [*truths], 3)):
        records = find(names, output, stack=stack)
        assert {name: record["kernel"] for name, record in records.items()} == {
            name: together[name]["kernel"] for name in names
        }
        made = read_tiles(str(tmp_path / output))
        assert made == {tile: data for tile, data in expected.items() if tile.partition("/")[0] in names}


def test_a_fit_in_a_stack_learns_by_the_kernel_that_was_found(
    tmp_path: Path, tiny_config: MakeConfig, make_prior: MakePrior, observer: Any, read_tiles: ReadTiles
) -> None:
    """Networks that take any camera, two at once: as with the kernels told, row by row."""
    for name, truth in (("a.png", ROUND), ("b.png", WIDE)):
        _gray(tmp_path / name, seen_scene(truth, seed=7, side=100))
    (tmp_path / "prior").write_bytes(make_prior())
    config = tiny_config(prior_name=str(tmp_path / "prior"))
    settings = replace(config.settings, stack=2, kernel="estimate", ensemble=False, tile_size=64)
    (tmp_path / "m.csv").write_text("uri\na.png\nb.png\n")
    run(replace(config, settings=settings, output=str(tmp_path / "found")), observer)
    found = {record.key: record for record in observer.records}
    assert {record.method_used for record in found.values()} == {"zssr"}
    rows = "".join(f'{key},"{record.kernel}"\n' for key, record in sorted(found.items()))
    (tmp_path / "m.csv").write_text("uri,kernel\n" + rows)
    run(replace(config, settings=replace(settings, kernel="bicubic"), output=str(tmp_path / "told")), observer)
    assert read_tiles(str(tmp_path / "found")) == read_tiles(str(tmp_path / "told"))


def test_a_scene_keeps_the_kernel_that_its_fit_found(
    tmp_path: Path, find: Find, read_tiles: ReadTiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Divided into groups and stopped among them, it goes on with that one, and nobody looks for it again."""
    _colours(tmp_path / "big.png", seen_scene(SLANTED, seed=8, side=120))
    (undivided,) = find(["big.png"], "undivided", tile_size=32).values()
    estimate, do_group = signs.estimate, Worker._group
    looked: list[int] = []
    monkeypatch.setattr(signs, "estimate", lambda spectrum: looked.append(1) or estimate(spectrum))
    monkeypatch.setattr("pipeline.driver.completing.DIVISION", Division(pixels=1000, group_seconds=0.01))
    done: list[int] = []

    def die_at_the_third(self: Worker, group: Group) -> Any:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(group.start)
        return do_group(self, group)

    with monkeypatch.context() as patched:
        patched.setattr(Worker, "_group", die_at_the_third)
        with pytest.raises(KeyboardInterrupt):
            find(["big.png"], "divided", tile_size=32)
    assert len(done) == 2
    assert [*(tmp_path / "divided/_scene").rglob("weights.safetensors")]
    kernels: set[str] = set()
    write_tiles = image_work.write_tiles

    def note_kernel(image: Enlargement, *more: Any) -> Written:
        kernels.add(image.settings.kernel)
        return write_tiles(image, *more)

    monkeypatch.setattr(image_work, "write_tiles", note_kernel)
    (divided,) = find(["big.png"], "divided", tile_size=32).values()
    assert looked == [1]
    assert kernels == {divided["kernel"]}
    assert read_tiles(str(tmp_path / "divided")) == read_tiles(str(tmp_path / "undivided"))
    for column in ("kernel", "kernel_source", "kernel_confidence", "kernel_note", "output_sha256", "consistency_rmse"):
        assert divided[column] == undivided[column], column
    assert is_near(divided["kernel"], SLANTED)


def test_a_large_image_tells_by_the_windows_it_is_fitted_to(
    tmp_path: Path, find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies beside a joint of two windows is no part of a scene."""
    _gray(tmp_path / "large.png", seen_scene(SLANTED, seed=9, side=256))
    monkeypatch.setattr(sheet, "FITTED_WHOLE", 200 * 200)
    monkeypatch.setattr(sheet, "_SIDE", 64)
    (record,) = find(["large.png"]).values()
    assert is_near(record["kernel"], SLANTED), record["kernel"]


@pytest.mark.parametrize(("kind", "step"), [("gray.png", 1 / 255), ("nodata.tif", None), ("floats.tif", 0.0)])
def test_the_steps_between_numbers_are_the_file_s(
    kind: str, step: float | None, tmp_path: Path, find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In units of the range in which is computed: of 16 bits most of the image's own; floats have none."""
    seen = seen_scene(WIDE, side=64)
    KINDS[kind](tmp_path / kind, seen)
    told: list[float] = []
    monkeypatch.setattr(camera, "Signs", lambda *given: told.append(given[2]) or signs.Signs(*given))
    find([kind])
    if step is None:
        known = seen[:, 20:].astype(np.int64)
        assert 1 / (100 * np.ptp(known)) < told[0] < 2 / (100 * np.ptp(known))
    else:
        assert told == [pytest.approx(step)]


def _flat(path: Path) -> None:
    Image.new("RGB", (120, 120), (90, 120, 30)).save(path)


def _small(path: Path) -> None:
    Image.fromarray(seen_scene(WIDE, side=24)).save(path)


def _empty(path: Path) -> None:
    write_raster(path, np.zeros((1, 100, 100), np.uint16), nodata=0)


def _text(path: Path) -> None:
    picture = Image.new("L", (160, 160), 255)
    canvas = ImageDraw.Draw(picture)
    for line in range(13):
        canvas.text((2, 12 * line), "the quick brown fox jumps over it", fill=0)
    picture.save(path)


def _enlarged(path: Path) -> None:
    Image.fromarray(seen_scene(ROUND, side=64)).resize((192, 192), Image.Resampling.LANCZOS).save(path)


NOTHING_TO_TELL: dict[str, tuple[Callable[[Path], None], str]] = {
    "flat.png": (_flat, "too little"),
    "small.png": (_small, "too little"),
    "empty.tif": (_empty, "too little"),
    "text.png": (_text, "not like that of a scene"),
    "enlarged.png": (_enlarged, ""),
}


@pytest.mark.parametrize("name", NOTHING_TO_TELL)
def test_what_tells_nothing_is_bicubic(name: str, tmp_path: Path, find: Find, read_tiles: ReadTiles) -> None:
    """And done; the record says why, and the pixels are those of the default."""
    make, why = NOTHING_TO_TELL[name]
    make(tmp_path / name)
    (record,) = find([name], "found").values()
    assert (record["status"], record["kernel"], record["kernel_source"]) == ("done", "bicubic", "default")
    assert why in record["kernel_note"] != ""
    assert record["kernel_confidence"] == 0
    find([name], "default", kernel="bicubic")
    assert read_tiles(str(tmp_path / "found")) == read_tiles(str(tmp_path / "default"))


def test_bicubic_itself_is_not_taken_for_a_wider_one(tmp_path: Path, find: Find) -> None:
    """A scene that a program made small: the default stands, and the record says that it was certain."""
    fine = Image.fromarray(seen_scene((0.02, 0.0, 0.02), seed=2, side=240))
    fine.resize((120, 120), Image.Resampling.BICUBIC).save(tmp_path / "a.png")
    (record,) = find(["a.png"]).values()
    assert (record["kernel"], record["kernel_source"]) == ("bicubic", "default")
    assert record["kernel_note"]


@pytest.mark.parametrize("network", [Network.SUBPIXEL, Network.ZSSR])
def test_auto_is_bicubic_where_no_other_can_be(
    network: Network, tmp_path: Path, find: Find, read_tiles: ReadTiles
) -> None:
    """Networks fitted from scratch know bicubic alone, and the record says so; estimate is refused there."""
    _gray(tmp_path / "a.png", seen_scene(WIDE, side=64))
    fitted = {"network": network, "method": Method.ZSSR, "ensemble": False}
    auto = find(["a.png"], "auto", kernel="auto", **fitted)["a.png"]
    find(["a.png"], "default", kernel="bicubic", **fitted)
    assert (auto["kernel"], auto["kernel_source"]) == ("bicubic", "default")
    assert "network" in auto["kernel_note"]
    assert read_tiles(str(tmp_path / "auto")) == read_tiles(str(tmp_path / "default"))
    refused = find(["a.png"], "refused", **fitted).popitem()[1]
    assert refused["error_type"] == "bad_row"
    assert "the kernel estimate cannot be used with the network" in refused["error_message"]


def test_auto_is_estimate_where_any_can_be(tmp_path: Path, find: Find) -> None:
    """For now."""
    _gray(tmp_path / "a.png", seen_scene(WIDE, side=112))
    kernels = {find(["a.png"], kernel, kernel=kernel)["a.png"]["kernel"] for kernel in ("auto", "estimate")}
    assert len(kernels) == 1
    assert is_near(kernels.pop(), WIDE)


def test_a_row_may_ask_for_it(tmp_path: Path, find: Find) -> None:
    """In the column `kernel`, beside rows that are told theirs; what was not looked at has no kernel."""
    _gray(tmp_path / "a.png", seen_scene(WIDE, side=112))
    table = "uri,id,kernel\na.png,found,Estimate\na.png,told,gaussian:1.2\na.png,run,\ngone.png,gone,auto\n"
    records = find(table, kernel="box")
    assert is_near(records["found"]["kernel"], WIDE)
    assert {key: (row["kernel"], row["kernel_source"]) for key, row in records.items() if key != "found"} == {
        "told": ("gaussian:1.2", "told"),
        "run": ("box", "told"),
        "gone": (None, None),
    }
    assert records["gone"]["error_type"] == "missing"


def test_job_file_and_environment_may_ask_for_it(
    tmp_path: Path,
    srpipe: Srpipe,
    read_records: Callable[[str], Records],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As the option does."""
    _gray(tmp_path / "a.png", seen_scene(WIDE, side=112))
    common = ("--method", "bicubic", "-s", "2", "--executor", "inline")
    (tmp_path / "job.toml").write_text('manifest = "a.png"\nkernel = "estimate"\n')
    assert srpipe("run", "--config", "job.toml", "-o", "file", *common)[0] == 0
    assert srpipe("run", "a.png", "-o", "option", *common, "--kernel", "estimate")[0] == 0
    monkeypatch.setenv("SRPIPE_KERNEL", "estimate")
    assert srpipe("run", "a.png", "-o", "variable", *common)[0] == 0
    told = [read_records(output)["a.png"]["kernel"] for output in ("file", "option", "variable")]
    assert len({*told}) == 1
    assert is_near(told[0], WIDE)


def test_retry_and_rows_left_out(tmp_path: Path, srpipe: Srpipe, read_records: Callable[[str], Records]) -> None:
    """What failed is looked at as the run would have; a row that was not attempted has no kernel yet."""
    (tmp_path / "m.csv").write_text("uri\nlate.png\nlast.png\n")
    common = ("--method", "bicubic", "-s", "2", "--executor", "inline", "--kernel", "estimate", "-o", "out")
    assert srpipe("run", "m.csv", *common, "--limit", "1")[0] == 3
    records = read_records("out")
    assert (records["last.png"]["status"], records["last.png"]["kernel_source"]) == ("skipped", None)
    assert records["last.png"]["kernel"] is records["late.png"]["kernel"] is None
    _gray(tmp_path / "late.png", seen_scene(WIDE, side=112))
    assert srpipe("retry", "out", "--executor", "inline")[0] == 0
    record = read_records("out")["late.png"]
    assert (record["status"], record["kernel_source"]) == ("done", "estimated")
    assert is_near(record["kernel"], WIDE)
