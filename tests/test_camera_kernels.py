"""`--kernel estimate-collection`: one kernel for the images of a camera, found before any is worked on, and kept."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from numpy.typing import NDArray
from PIL import Image

from pipeline import storage
from pipeline.config import Existing, RunConfig
from pipeline.driver import camera_kernels
from pipeline.driver.cameras import to_look_at
from pipeline.driver.retry import failed_work
from pipeline.driver.run import run
from pipeline.errors import UsageError
from pipeline.output.layout import kernel_json, kernel_picture
from pipeline.output.saved_kernels import read_saved
from pipeline.work.units import Row
from sr_ops.camera.kernel_spec import parse
from sr_ops.estimation.guess import guess
from sr_ops.estimation.signs import Signs
from sr_ops.settings import Method, Network

from .fixture_types import MakeConfig, ReadRecords, Srpipe
from .scenes import seen_scene

Covariance = tuple[float, float, float]
Views = Callable[[Covariance, int], NDArray[np.uint8]]
Shoot = Callable[..., str]

WIDE, SLANTED = (1.0, 0.0, 0.5), (0.6, 0.2, 0.9)
"""Two cameras."""

SCENES = range(20, 30)


@pytest.fixture(scope="module")
def views() -> Views:
    """What a camera saw of a scene, made once."""
    made: dict[tuple[Covariance, int], NDArray[np.uint8]] = {}

    def view(covariance: Covariance, scene: int) -> NDArray[np.uint8]:
        if (covariance, scene) not in made:
            made[covariance, scene] = seen_scene(covariance, scene, side=128)
        return made[covariance, scene]

    return view


@pytest.fixture
def shoot(tmp_path: Path, views: Views) -> Shoot:
    """Write what a camera saw of a scene below tmp_path, with EXIF; the name."""

    def save(name: str, covariance: Covariance, scene: int = SCENES[0], **exif: str) -> str:
        said = Image.Exif()
        for tag, text in zip((271, 272, 305), map(exif.get, ("make", "model", "software")), strict=True):
            if text is not None:
                said[tag] = text
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(views(covariance, scene)).save(path, exif=said)
        return name

    return save


@pytest.fixture
def config(tiny_config: MakeConfig) -> MakeConfig:
    """A run that takes no time, with changes; each image with the kernel of its camera."""

    def make(**changes: Any) -> RunConfig:
        made = tiny_config(**changes)
        settings = replace(made.settings, method=Method.BICUBIC, tile_size=512, kernel="estimate-collection")
        return made if "settings" in changes else replace(made, settings=settings)

    return make


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kinds of looks at images that the driver takes, in their order; the looks go on."""
    taken: list[str] = []
    for kind in ("_maker", "_estimates"):
        do = getattr(camera_kernels.CameraKernels, kind)

        def seen(self: Any, what: Any, kind: str = kind, do: Callable[..., Any] = do) -> Any:
            taken.append(kind)
            return do(self, what)

        monkeypatch.setattr(camera_kernels.CameraKernels, kind, seen)
    return taken


def table(folder: Path, *lines: str) -> None:
    (folder / "m.csv").write_text("\n".join(lines) + "\n")


def error(covariance: Covariance, of: Covariance) -> float:
    """Frobenius, off the diagonal twice."""
    (xx, xy, yy), (true_xx, true_xy, true_yy) = covariance, of
    return math.sqrt((xx - true_xx) ** 2 + 2 * (xy - true_xy) ** 2 + (yy - true_yy) ** 2)


def sigmas(text: str) -> tuple[float, ...]:
    assert text.startswith("gaussian:")
    return parse(text).numbers


def assert_two_cameras(records: dict[Any, dict[str, Any]], scale: int = 2) -> None:
    """Each image has the kernel of its camera, by the letter that its key begins with."""
    for key, record in records.items():
        assert record["status"] == "done"
        larger, smaller, degrees = sigmas(record["kernel"])
        if key.rpartition("/")[2].startswith("w"):
            assert (larger / scale, smaller / scale) == pytest.approx((1.0, math.sqrt(0.5)), abs=0.05)
            assert min(degrees, 180 - degrees) < 3
        else:
            spread = math.hypot(0.15, 0.2)
            wanted = math.sqrt(0.75 + spread), math.sqrt(0.75 - spread)
            assert (larger / scale, smaller / scale) == pytest.approx(wanted, abs=0.05)
            assert degrees == pytest.approx(63.4, abs=4)
    assert len({record["kernel"] for record in records.values()}) == 2


def test_two_cameras_by_the_manifest(
    shoot: Shoot, config: MakeConfig, observer: Any, read_records: ReadRecords, tmp_path: Path
) -> None:
    """The column `camera` tells which images share a kernel; it is saved, drawn, and stands in the records."""
    names = [(shoot(f"w{scene}.png", WIDE, scene), shoot(f"s{scene}.png", SLANTED, scene)) for scene in SCENES[:3]]
    table(tmp_path, "uri,camera", *(f"{wide},cam-w\n{slanted},Böse/Kamera" for wide, slanted in names))
    assert run(config(), observer).done == 6
    assert observer.looks == [("looked at for their camera's kernel", done, 6) for done in range(1, 7)]
    records = read_records(config().output)
    assert_two_cameras(records)
    assert {record["camera"] for record in records.values()} == {"cam-w", "Böse/Kamera"}
    assert {record["kernel_source"] for record in records.values()} == {"estimated"}
    assert all(0.9 < record["kernel_confidence"] <= 1 for record in records.values())
    files = sorted(path.name for path in (tmp_path / "out/kernels").iterdir())
    assert files[2:] == ["cam-w.json", "cam-w.png"]
    assert [name.partition(".")[0] for name in files[:2]] == ["b-se-kamera"] * 2
    held = json.loads((tmp_path / "out/kernels/cam-w.json").read_text())
    assert (held["camera"], held["images_used"], held["images_left_out"]) == ("cam-w", 3, 0)
    assert held["estimate"]["covariance"] == pytest.approx(list(WIDE), abs=0.06)
    with Image.open(tmp_path / "out/kernels/cam-w.png") as picture:
        assert picture.width > picture.height > 300


def test_two_cameras_by_their_files(
    shoot: Shoot, config: MakeConfig, observer: Any, read_records: ReadRecords, tmp_path: Path
) -> None:
    """EXIF tells, of PNG and TIFF alike; a program's name where it scans; and a cell of the column wins."""
    for scene in SCENES[:2]:
        shoot(f"w{scene}.png", WIDE, scene, make="Canon", model="Canon EOS 5D")
        shoot(f"w{scene}.tif", WIDE, scene, make="Canon", model="Canon EOS 5D")
        shoot(f"s{scene}.tif", SLANTED, scene, software="VueScan 9 x64")
        shoot(f"s{scene}.png", SLANTED, scene, software="VueScan 9 x64", make=" ")
    shoot("w.png", WIDE, make="Nikon", model="D850")
    names = sorted(path.name for path in tmp_path.glob("[ws]*"))
    table(tmp_path, "uri,camera", *(f"{name},{'Canon EOS 5D' if name == 'w.png' else ''}" for name in names))
    assert run(config(), observer).done == 9
    asked, looked = [("asked for their camera", 8)] * 8, [("looked at for their camera's kernel", 9)] * 9
    assert [(what, todo) for what, _, todo in observer.looks] == asked + looked
    records = read_records(config().output)
    assert_two_cameras(records)
    assert {record["camera"] for record in records.values()} == {"Canon EOS 5D", "VueScan 9 x64"}


def test_the_first_pass_shows_itself(shoot: Shoot, srpipe: Srpipe) -> None:
    """On stderr, before the images that are to be done are counted."""
    for scene in SCENES[:2]:
        shoot(f"in/w{scene}.png", WIDE, scene)
    ran = ("--method", "bicubic", "--kernel", "estimate-collection", "--executor", "inline")
    code, _, said = srpipe("run", "in", "-s", "2", *ran, "-o", "out")
    assert code == 0
    lines = ["2/2 images asked for their camera", "2/2 images looked at for their camera's kernel", "2 images to do"]
    assert [line for line in said.splitlines() if line in lines] == lines


def test_two_cameras_by_folder(
    shoot: Shoot, config: MakeConfig, observer: Any, read_records: ReadRecords, tmp_path: Path
) -> None:
    """Where nothing else tells; an image that lies alone is of the camera of all such."""
    for scene in SCENES[:3]:
        shoot(f"in/one/w{scene}.png", WIDE, scene)
        shoot(f"in/two/s{scene}.png", SLANTED, scene, software="GIMP")
        shoot(f"in/alone-{scene}/image.png", WIDE, scene)
    assert run(config(manifest=str(tmp_path / "in")), observer).done == 9
    records = read_records(config().output)
    lonely = [records.pop(f"alone-{scene}/image.png") for scene in SCENES[:3]]
    assert_two_cameras(records)
    assert {record["camera"] for record in records.values()} == {str(tmp_path / "in/one"), str(tmp_path / "in/two")}
    assert {record["camera"] for record in lonely} == {"all images"}
    assert len({record["kernel"] for record in lonely}) == 1
    assert sigmas(lonely[0]["kernel"])[0] == pytest.approx(2, abs=0.1)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_sensor_by_its_tags(
    views: Views,
    config: MakeConfig,
    observer: Any,
    read_records: ReadRecords,
    tmp_path: Path,
) -> None:
    """A raster's metadata name satellite and sensor."""
    shape = {"driver": "GTiff", "count": 1, "height": 128, "width": 128, "dtype": "uint8"}
    with rasterio.open(tmp_path / "a.tif", "w", **shape) as file:
        file.write(views(WIDE, SCENES[0])[None])
        file.update_tags(SPACECRAFT_ID="LANDSAT_8", sensor_id="OLI")
    table(tmp_path, "uri", "a.tif")
    assert run(config(), observer).done == 1
    assert read_records(config().output)["a.tif"]["camera"] == "LANDSAT_8 OLI"


def test_ten_images_tell_more_than_one(
    shoot: Shoot, views: Views, config: MakeConfig, observer: Any, tmp_path: Path
) -> None:
    """The error of the covariance over ten images is at most half of what it is of one, in the mean."""
    names = [shoot(f"{scene}.png", SLANTED, scene) for scene in SCENES]
    table(tmp_path, "uri,camera", *(f"{name},cam" for name in names))
    run(config(), observer)
    alone = []
    for scene in SCENES:
        estimate = Signs(torch.from_numpy(views(SLANTED, scene)).float()[None] / 255, None, 1 / 255).estimate
        assert estimate is not None
        alone.append(error(estimate.covariance, SLANTED))
    saved = read_saved(config().output, "cam")
    assert saved is not None
    assert saved.estimate is not None
    assert saved.images_used == 10
    assert error(saved.estimate.covariance, SLANTED) <= sum(alone) / len(alone) / 2


@pytest.mark.parametrize("by", ["column", "file", "folder"])
def test_a_second_run_looks_at_nothing(
    shoot: Shoot,
    config: MakeConfig,
    observer: Any,
    looked_at: list[str],
    read_records: ReadRecords,
    by: str,
    tmp_path: Path,
) -> None:
    """Everything is done, and no image was opened to know it; the saved file is as it was."""
    exif = {"model": "D850"} if by == "file" else {}
    names = [shoot(f"{scene}.png", WIDE, scene, **exif) for scene in SCENES[:2]]
    table(tmp_path, "uri,camera", *(f"{name},{'cam' if by == 'column' else ''}" for name in names))
    assert run(config(), observer).done == 2
    first = {path.name: path.read_bytes() for path in (tmp_path / "out/kernels").iterdir()}
    assert looked_at.count("_estimates") == 2
    looked_at.clear()
    summary = run(config(), observer)
    assert (summary.done, summary.already_done, looked_at) == (0, 2, [])
    assert {path.name: path.read_bytes() for path in (tmp_path / "out/kernels").iterdir()} == first
    assert set(read_records(config().output)) == set(names)


@pytest.mark.parametrize("by", ["column", "file", "folder"])
def test_the_next_night_goes_on_with_the_kernel_of_the_first(
    shoot: Shoot,
    config: MakeConfig,
    observer: Any,
    looked_at: list[str],
    read_records: ReadRecords,
    by: str,
    tmp_path: Path,
) -> None:
    """A new image takes the saved one, though it tells another; overwriting finds it anew, of all."""
    exif = {"model": "D850"} if by == "file" else {}
    lines = [f"{shoot(f'{scene}.png', WIDE, scene, **exif)},{'cam' * (by == 'column')}" for scene in SCENES[:2]]
    table(tmp_path, "uri,camera", *lines)
    run(config(), observer)
    first = read_records(config().output)["20.png"]
    lines.append(f"{shoot('new.png', SLANTED, SCENES[5], **exif)},{'cam' * (by == 'column')}")
    table(tmp_path, "uri,camera", *lines)
    looked_at.clear()
    summary = run(config(), observer)
    assert (summary.done, summary.already_done) == (1, 2)
    assert looked_at == ([] if by == "column" else ["_maker"])
    new = read_records(config().output)["new.png"]
    assert [new[name] for name in ("kernel", "camera", "config_fingerprint")] == [
        first[name] for name in ("kernel", "camera", "config_fingerprint")
    ]
    assert run(config(existing=Existing.OVERWRITE), observer).done == 3
    records = read_records(config().output)
    assert {record["kernel"] for record in records.values()} != {first["kernel"]}
    assert len({record["kernel"] for record in records.values()}) == 1
    saved = read_saved(config().output, first["camera"])
    assert saved is not None
    assert saved.images_used == 3
    assert run(config(), observer).already_done == 3


def test_each_scale_has_its_text(
    shoot: Shoot, config: MakeConfig, observer: Any, read_records: ReadRecords, tmp_path: Path
) -> None:
    """One estimate in LR pixels, as many HR pixels wide as the scale says; others keep the kernel they were told."""
    shoot("a.png", WIDE, SCENES[0])
    shoot("b.png", WIDE, SCENES[1])
    table(tmp_path, "uri,id,scale,kernel,camera", "a.png,2,2,,c", "b.png,4,4,,c", "a.png,told,2,box,c")
    assert run(config(), observer).done == 3
    records = read_records(config().output)
    saved = read_saved(config().output, "c")
    assert saved is not None
    assert (saved.images_used, saved.images_left_out) == (2, 0)
    for scale in (2, 4):
        assert records[str(scale)]["kernel"] == guess(saved.estimate, scale).kernel
    assert sigmas(records["4"]["kernel"])[0] == pytest.approx(2 * sigmas(records["2"]["kernel"])[0], abs=0.02)
    told = records["told"]
    assert (told["kernel"], told["kernel_source"], told["kernel_confidence"]) == ("box", "told", None)


def test_a_cell_asks_for_it(
    shoot: Shoot, config: MakeConfig, observer: Any, read_records: ReadRecords, tmp_path: Path
) -> None:
    """Rows that say nothing have the kernel of the run."""
    shoot("a.png", WIDE)
    table(tmp_path, "uri,id,kernel", "a.png,1,Estimate-Collection", "a.png,2,")
    settings = replace(config().settings, kernel="gaussian:1.1")
    assert run(config(settings=settings), observer).done == 2
    records = read_records(config().output)
    assert sigmas(records["1"]["kernel"])[0] > 1.8
    assert records["2"]["kernel"] == "gaussian:1.1"


def test_images_that_tell_nothing_are_left_out(
    shoot: Shoot, config: MakeConfig, observer: Any, read_records: ReadRecords, tmp_path: Path
) -> None:
    """A flat one, a small one and one that cannot be read: counted, not taken; the last one fails for itself."""
    lines = [f"{shoot(f'{scene}.png', WIDE, scene)},cam" for scene in SCENES[:2]]
    Image.new("L", (128, 128), 90).save(tmp_path / "flat.png")
    Image.fromarray(np.eye(24, dtype=np.uint8) * 200).save(tmp_path / "small.png")
    (tmp_path / "broken.png").write_bytes((tmp_path / "flat.png").read_bytes()[:60])
    lines += [f"{name}.png,cam" for name in ("flat", "small", "broken", "missing")]
    table(tmp_path, "uri,camera", *lines)
    summary = run(config(), observer)
    assert (summary.done, summary.failed) == (4, 2)
    saved = read_saved(config().output, "cam")
    assert saved is not None
    assert (saved.images_used, saved.images_left_out, saved.images_unreadable) == (2, 4, 2)
    records = read_records(config().output)
    assert len({record["kernel"] for record in records.values()}) == 1
    assert sigmas(records["flat.png"]["kernel"])[0] > 1.8


def test_a_camera_that_tells_nothing_is_bicubic(
    config: MakeConfig, observer: Any, read_records: ReadRecords, tmp_path: Path
) -> None:
    """The saved file and the records say why."""
    Image.new("L", (128, 128), 90).save(tmp_path / "flat.png")
    table(tmp_path, "uri", "flat.png")
    assert run(config(), observer).done == 1
    record = read_records(config().output)["flat.png"]
    assert (record["kernel"], record["kernel_source"], record["kernel_confidence"]) == ("bicubic", "default", 0)
    assert "too little of it is known" in record["kernel_note"]
    saved = read_saved(config().output, record["camera"])
    assert saved is not None
    assert (saved.estimate, saved.reason) == (None, record["kernel_note"])
    assert run(config(), observer).already_done == 1


def test_a_camera_of_which_nothing_can_be_read_is_not_saved(config: MakeConfig, observer: Any, tmp_path: Path) -> None:
    """What a night without its disk found must not be kept for ever."""
    table(tmp_path, "uri,camera", "a.png,cam", "b.png,cam")
    assert run(config(), observer).failed == 2
    assert read_saved(config().output, "cam") is None


def test_no_more_images_are_opened_than_tell(
    config: MakeConfig, observer: Any, looked_at: list[str], tmp_path: Path
) -> None:
    """32 of a camera."""
    Image.new("L", (16, 16), 90).save(tmp_path / "a.png")
    for number in range(40):
        (tmp_path / f"{number:02}.png").hardlink_to(tmp_path / "a.png")
    rows = [f"{number:02}.png,{number}-{again},cam" for number in range(40) for again in range(2)]
    table(tmp_path, "uri,id,camera", *rows)
    run(config(), observer)
    assert looked_at == ["_estimates"] * 32


def test_what_is_opened_is_spread_over_the_rows() -> None:
    """An image of several rows is one."""
    rows = [Row(2 * n + again, 1, f"{n:02}-{again}", f"{n:02}.png", 2, 0) for n in range(40) for again in range(2)]
    chosen = [int(row.uri[:2]) for row in to_look_at(rows[::-1])]
    assert len(chosen) == 32
    assert {later - earlier for earlier, later in pairwise(chosen)} == {1, 2}
    assert chosen[0] == 0
    assert chosen[-1] >= 38


DAMAGES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "nan": (lambda held: held["estimate"].update(covariance=[float("nan"), 0, 1]), "its covariance .* is not finite"),
    "two numbers": (lambda held: held["estimate"].update(covariance=[1, 1]), "Expected `array` of length 3"),
    "not definite": (lambda held: held["estimate"].update(covariance=[1, 2, 1]), "is not positive semidefinite"),
    "negative": (lambda held: held["estimate"].update(covariance=[-1, 0, 1]), "is not positive semidefinite"),
    "absurd": (lambda held: held["estimate"].update(covariance=[400, 0, 1]), "is wider than 16 LR pixels squared"),
    "deviation": (lambda held: held["estimate"].update(deviation=-1), "its deviation -1.* is below 0"),
    "shape": (lambda held: held["estimate"].update(shape={"kind": "disc", "size": -1}), "disc of -1.* is none"),
    "no shape": (lambda held: held["estimate"].update(shape={"kind": "star", "size": 1}), "Invalid enum value 'star'"),
    "key of a shape": (lambda held: held["estimate"].update(shape={"kind": "disc", "size": 1, "r": 1}), "r is not one"),
    "evidence": (lambda held: held["estimate"].update(evidence=-1), "its evidence -1.* is below 0"),
    "key": (lambda held: held.update(covariances=[1, 0, 1]), "covariances is not one of its keys"),
    "key inside": (lambda held: held["estimate"].update(xx=1), "xx is not one of its keys"),
    "no key": (lambda held: held.pop("estimate"), "missing required field `estimate`"),
    "text": (lambda held: held.update(confidence="high"), "Expected `float`, got `str`"),
    "confidence": (lambda held: held.update(confidence=7), "its confidence 7.* is not between 0 and 1"),
    "another's": (lambda held: held.update(camera="other"), "it is for the camera 'other', not 'cam'"),
}


@pytest.fixture
def done(shoot: Shoot, config: MakeConfig, observer: Any, tmp_path: Path) -> Path:
    """The saved kernel of a run."""
    table(tmp_path, "uri,camera", f"{shoot('a.png', WIDE)},cam")
    run(config(), observer)
    return tmp_path / "out/kernels/cam.json"


HELD: dict[str, Any] = {
    "camera": "cam",
    "estimate": {
        "covariance": [1.0, 0.0, 0.5],
        "deviation": 0.02,
        "exponent": 2.2,
        "sharpening": 0.0,
        "noise": 0.001,
        "misfit": 0.2,
    },
    "confidence": 1.0,
    "reason": "",
    "images_used": 1,
    "images_left_out": 0,
    "images_unreadable": 0,
    "srpipe_version": "1",
    "found_at": "2026-01-01T00:00:00+00:00",
}


def write_held(folder: Path, held: dict[str, Any]) -> Path:
    file = folder / "out/kernels/cam.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(held))
    return file


@pytest.mark.parametrize("damage", DAMAGES)
def test_nonsense_is_told(tmp_path: Path, damage: str) -> None:
    """What is wrong with a saved kernel; without it the same is read."""
    held = json.loads(json.dumps(HELD))
    write_held(tmp_path, held)
    assert read_saved(str(tmp_path / "out"), "cam") is not None
    change, sentence = DAMAGES[damage]
    change(held)
    write_held(tmp_path, held)
    with pytest.raises(UsageError, match=sentence):
        read_saved(str(tmp_path / "out"), "cam")


@pytest.mark.parametrize("data", [b"{", b"[1]", b"\xff\xfe{}", b"", b'{"camera": "cam"}'])
def test_nonsense_is_refused(shoot: Shoot, srpipe: Srpipe, data: bytes, tmp_path: Path) -> None:
    """Exit 2 and one sentence: the file, what is wrong with it, and what to do, which helps; nothing is written."""
    table(tmp_path, "uri,camera", f"{shoot('a.png', WIDE)},cam", f"{shoot('b.png', WIDE)},new")
    file = write_held(tmp_path, HELD)
    file.write_bytes(data)
    command = ("run", "m.csv", "-o", "out", "-s", "2", "--method", "bicubic", "--kernel", "estimate-collection")
    command += ("--executor", "inline", "--device", "cpu")
    code, out, err = srpipe(*command)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"the saved kernel {file} is damaged: " in err
    assert "; delete it, or estimate it again with --existing overwrite" in err
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == [file]
    if data == b"{":
        assert srpipe(*command, "--existing", "overwrite")[0] == 0
        assert read_saved(str(tmp_path / "out"), "cam") is not None


def test_what_a_person_may_change_is_taken(done: Path, config: MakeConfig, observer: Any, read_records: Any) -> None:
    """A saved covariance is what counts: other numbers are another kernel, and the image is done anew."""
    held = json.loads(done.read_text())
    held["estimate"].update(covariance=[0.64, 0, 0.64], deviation=0)
    done.write_text(json.dumps(held))
    assert run(config(), observer).done == 1
    assert read_records(config().output)["a.png"]["kernel"] == "gaussian:1.6"


def test_a_retry_takes_the_saved_kernel(
    shoot: Shoot, config: MakeConfig, observer: Any, read_records: ReadRecords, tmp_path: Path
) -> None:
    """What failed is done with the kernel of the run that it failed in."""
    table(tmp_path, "uri,camera", f"{shoot('a.png', WIDE)},cam", "late.png,cam")
    assert run(config(), observer).failed == 1
    shoot("late.png", SLANTED)
    retried, keys = failed_work(config().output, ())
    assert run(retried, observer, keys).done == 1
    records = read_records(config().output)
    assert records["late.png"]["kernel"] == records["a.png"]["kernel"]


def test_an_image_smaller_than_its_cameras_kernel_is_bicubic(
    shoot: Shoot, config: MakeConfig, observer: Any, read_records: ReadRecords, tmp_path: Path
) -> None:
    """It did not ask for that kernel, so it does not fail for it; told one, it does."""
    Image.fromarray(np.eye(6, dtype=np.uint8) * 200).save(tmp_path / "tiny.png")
    table(tmp_path, "uri,camera", f"{shoot('a.png', WIDE)},cam", "tiny.png,cam")
    assert run(config(), observer).done == 2
    records = read_records(config().output)
    tiny = records["tiny.png"]
    assert (tiny["kernel"], tiny["kernel_source"]) == ("bicubic", "default")
    assert tiny["kernel_note"] == "it is smaller than the kernel of its camera"
    assert run(config(), observer).already_done == 2
    told = config(settings=replace(config().settings, kernel=records["a.png"]["kernel"]), output=str(tmp_path / "told"))
    assert run(told, observer).errors == {"unsupported": 1}


def test_a_job_file_asks_for_it(shoot: Shoot, srpipe: Srpipe, tmp_path: Path) -> None:
    """As an option does."""
    shoot("in/a.png", WIDE)
    options = {"manifest": "in", "output": "out", "method": "bicubic", "executor": "inline", "device": "cpu"}
    told = "".join(f'{name} = "{value}"\n' for name, value in options.items())
    (tmp_path / "job.toml").write_text(f'{told}scale = 2\nkernel = "estimate-collection"\n')
    assert srpipe("run", "--config", "job.toml")[0] == 0
    assert read_saved(str(tmp_path / "out"), "all images") is not None


@pytest.mark.parametrize("network", ["subpixel", "zssr"])
def test_networks_that_know_bicubic_alone_refuse_it(
    shoot: Shoot, srpipe: Srpipe, tiny_config: MakeConfig, observer: Any, network: str, tmp_path: Path
) -> None:
    """As an option: exit 2, nothing written. As a cell: a failed row, before any image is looked at."""
    table(tmp_path, "uri,kernel", f"{shoot('a.png', WIDE)},estimate-collection")
    code, _, err = srpipe("run", "m.csv", "-o", "out", "--network", network, "--kernel", "estimate-collection")
    assert code == 2
    assert f"--kernel estimate-collection cannot be used with --network {network}, whose network knows" in err
    assert not (tmp_path / "out").exists()
    refused = tiny_config(settings=replace(tiny_config().settings, network=Network(network)))
    assert run(refused, observer).errors == {"bad_row": 1}
    assert not (tmp_path / "out/kernels").exists()


def test_pictures_of_kernels_are_not_the_next_runs_images(
    shoot: Shoot, config: MakeConfig, observer: Any, tmp_path: Path
) -> None:
    """A pattern that would find them is refused, as one that would find tiles is."""
    shoot("in/a/b/1.png", WIDE)
    pattern, inside = str(tmp_path / "in/*/*/*.png"), str(tmp_path / "in/out")
    with pytest.raises(UsageError, match="lies inside the input"):
        run(config(manifest=pattern, output=inside), observer)
    assert run(config(manifest=pattern), observer).done == 1
    told = replace(config().settings, kernel="box")
    assert run(config(manifest=pattern, output=inside, settings=told), observer).done == 1


def test_one_key_cannot_be_of_two_cameras(shoot: Shoot, config: MakeConfig, observer: Any, tmp_path: Path) -> None:
    """Only where the camera decides: told a kernel, the rows ask for the same."""
    shoot("a.png", WIDE)
    table(tmp_path, "uri,camera", "a.png,one", "a.png,two")
    assert run(config(), observer).errors == {"bad_row": 2}
    assert run(config(settings=replace(config().settings, kernel="box")), observer).duplicates == 1


def test_a_run_and_its_images_on_s3(
    s3_bucket: str,
    shoot: Shoot,
    config: MakeConfig,
    observer: Any,
    read_records: ReadRecords,
    tmp_path: Path,
) -> None:
    """What is found and saved there is what is found and saved here, and the next run takes it."""
    for scene in SCENES[:2]:
        name = shoot(f"in/{scene}.png", WIDE, scene, model="D850")
        storage.write(f"{s3_bucket}/{name}", (tmp_path / name).read_bytes())
    here = config(manifest=str(tmp_path / "in"))
    there = replace(here, manifest=f"{s3_bucket}/in", output=f"{s3_bucket}/out")
    run(here, observer)
    assert run(there, observer).done == 2
    saved = [read_saved(each.output, "D850") for each in (here, there)]
    assert saved[0] is not None
    assert saved[1] is not None
    assert saved[0].estimate == saved[1].estimate
    assert storage.exists(kernel_picture(there.output, "D850"))
    assert run(there, observer).already_done == 2
    assert len({row["kernel"] for each in (here, there) for row in read_records(each.output).values()}) == 1
    storage.write(kernel_json(there.output, "D850"), b"{}")
    with pytest.raises(UsageError, match=r"the saved kernel s3://.*/out/kernels/d850\.\w+\.json is damaged"):
        run(there, observer)


def test_no_two_cameras_share_a_file() -> None:
    """Names that a disk could take for one another, or that no disk takes, have files of their own."""
    cameras = [
        "cam",
        "Cam",
        "CAM",
        "cam.",
        "cam/",
        "../cam",
        "a b",
        "a-b",
        "a/b",
        "カメラ",
        "相机",
        "x" * 300,
        "x" * 301,
    ]
    names = [kernel_json("/out", camera) for camera in cameras]
    assert len({name.lower() for name in names}) == len(cameras)
    for name in names:
        folder, _, last = name.rpartition("/")
        assert folder == "/out/kernels"
        assert not last.startswith(".")
        assert len(last.encode()) <= 255
