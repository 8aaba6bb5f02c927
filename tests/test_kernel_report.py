"""`srpipe kernel` of images: what `--kernel estimate` would take, without a run."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline import storage
from pipeline.driver.kernel_report import images_named
from pipeline.errors import UsageError

from .fixture_types import ReadRecords, Refusal, Srpipe
from .rasters import write_raster
from .scenes import seen_scene

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

WIDE, ROUND = (1.1, 0.0, 1.1), (0.6, 0.0, 0.6)
"""Covariances of blurs in LR pixels squared."""


def save(path: Path, covariance: tuple[float, float, float], seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(seen_scene(covariance, seed, side=112)).save(path)


def told(srpipe: Srpipe, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code and the object on stdout."""
    code, out, err = srpipe("kernel", *arguments, "--json")
    assert out, err
    return code, json.loads(out)


def test_it_is_what_a_run_takes(srpipe: Srpipe, tmp_path: Path, read_records: ReadRecords) -> None:
    """Kernel, confidence and reason of each image are those of its record; rows have their scale and nodata."""
    save(tmp_path / "a.png", WIDE)
    save(tmp_path / "b.png", ROUND, seed=1)
    Image.new("L", (90, 90), 7).save(tmp_path / "flat.png")
    (tmp_path / "m.csv").write_text("uri,scale,kernel\na.png,2,\nb.png,4,nonsense\nflat.png,,\na.png,2,box\n")
    code, said = told(srpipe, "m.csv", "-s", "3")
    assert (code, [image["scale"] for image in said["images"]]) == (0, [2, 4, 3])
    (tmp_path / "m.csv").write_text("uri,scale\na.png,2\nb.png,4\nflat.png,3\n")
    ran = ("--method", "bicubic", "--kernel", "estimate", "--executor", "inline", "-o", "out")
    assert srpipe("run", "m.csv", *ran)[0] == 0
    records = read_records("out")
    for image in said["images"]:
        record = records[image["name"]]
        told_there = record["kernel"], record["kernel_confidence"], record["kernel_note"]
        assert (image["kernel"], image["confidence"], image["reason"]) == told_there
    first, second, flat = said["images"]
    assert first["estimate"]["variances"] == pytest.approx([1.1, 1.1], rel=0.3)
    assert second["estimate"]["variances"] == pytest.approx([0.6, 0.6], rel=0.3)
    assert flat["estimate"] is flat["noise"] is None
    assert 0 <= first["noise"] < 3


def test_an_image_beside_the_folder_of_the_manifest(srpipe: Srpipe, tmp_path: Path) -> None:
    """It could have no key below an output, and none is needed here: its uri names it."""
    save(tmp_path / "scans/a.png", WIDE)
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/m.csv").write_text("uri\n../scans/a.png\n")
    code, said = told(srpipe, "lists/m.csv", "-s", "2")
    assert (code, [image["name"] for image in said["images"]]) == (0, [str(tmp_path / "scans/a.png")])


def test_several_images_tell_together(srpipe: Srpipe, tmp_path: Path) -> None:
    """One that cannot be read is a line that says why, and exit 3; the picture is of the kernel of all."""
    for seed in range(3):
        save(tmp_path / f"scans/{seed}.png", WIDE, seed)
    (tmp_path / "scans/broken.png").write_bytes(b"no picture")
    code, out, _ = srpipe("kernel", "scans", "-s", "2", "-o", "all.png")
    assert code == 3
    lines = [line for line in out.splitlines() if not line.startswith(" ")]
    assert [line.partition(":")[0] for line in lines] == ["0.png", "1.png", "2.png", "broken.png", "together"]
    assert "broken.png: corrupt: the file holds text, no picture" in out
    sigma = float(lines[-1].split(":")[2].split(",")[0])
    assert (sigma / 2) ** 2 == pytest.approx(1.1, rel=0.25)
    kernel = lines[-1].removeprefix("together: ").partition(", confidence")[0]
    assert srpipe("kernel", kernel, "-s", "2", "-o", "told.png")[0] == 0
    assert (tmp_path / "all.png").read_bytes() == (tmp_path / "told.png").read_bytes()


def test_each_camera_is_told_as_a_collection_s_run_finds_it(srpipe: Srpipe, tmp_path: Path) -> None:
    """By column, by what files say and by folder: a line and a row of the picture for each, and what a run saves."""
    for seed in range(2):
        save(tmp_path / f"wide/{seed}.png", WIDE, seed)
        exif = Image.Exif()
        exif[272] = "Model R"
        Image.fromarray(seen_scene(ROUND, seed + 5, side=112)).save(tmp_path / f"wide/r{seed}.png", exif=exif)
    save(tmp_path / "named.png", ROUND, 9)
    (tmp_path / "wide/broken.png").write_bytes(b"no picture")
    rows = [f"wide/{name}.png," for name in ("0", "1", "r0", "r1", "broken")]
    (tmp_path / "m.csv").write_text("\n".join(["uri,camera", *rows, "named.png,mine"]) + "\n")
    code, said = told(srpipe, "m.csv", "-s", "2", "-o", "all.png")
    assert code == 3
    ran = ("--method", "bicubic", "--kernel", "estimate-collection", "--executor", "inline", "-o", "out")
    assert srpipe("run", "m.csv", "-s", "2", *ran)[0] == 3
    saved = [json.loads(path.read_text()) for path in (tmp_path / "out/kernels").glob("*.json")]
    assert len(said["cameras"]) == len(saved) == 3
    for found in saved:
        (camera,) = (each for each in said["cameras"] if each["camera"] == found["camera"])
        for name in ("confidence", "images_used", "images_left_out", "images_unreadable"):
            assert camera[name] == found[name], name
        assert camera["estimate"]["covariance"] == found["estimate"]["covariance"]
    kernels = {camera["camera"]: camera["kernel"] for camera in said["cameras"]}
    code, out, _ = srpipe("kernel", "m.csv", "-s", "2")
    assert "together" not in out
    head, *lines = out.splitlines()[-4:]
    assert head.split() == ["camera", "images", "kernel", "confidence"]
    for (camera, kernel), line in zip(kernels.items(), lines, strict=True):
        assert line.startswith(f"{camera}  ")
        assert f"  {kernel}  " in line
    assert "Model R" in kernels
    with Image.open(tmp_path / "all.png") as picture, Image.open(_drawn(srpipe, tmp_path, kernels["mine"])) as one:
        assert picture.height > 2.5 * one.height


def _drawn(srpipe: Srpipe, folder: Path, kernel: str) -> Path:
    assert srpipe("kernel", kernel, "-s", "2", "-o", "one.png")[0] == 0
    return folder / "one.png"


def test_one_image_is_told_alone(srpipe: Srpipe, tmp_path: Path) -> None:
    """And its own kernel drawn, by path, uri or pattern."""
    save(tmp_path / "a.png", WIDE)
    for spec in ("a.png", f"file://{tmp_path}/a.png", "*.png"):
        code, out, err = srpipe("kernel", spec, "-s", "2", "-o", "drawn.jpeg.PNG")
        assert (code, err) == (0, "")
        assert out.startswith("a.png: gaussian:")
        assert "together" not in out
        (tmp_path / "drawn.jpeg.PNG").unlink()


def test_nothing_could_be_read(srpipe: Srpipe, tmp_path: Path) -> None:
    """Then nothing is drawn, and that is said."""
    (tmp_path / "m.txt").write_text("gone.png\n")
    code, out, err = srpipe("kernel", "m.txt", "-o", "k.png")
    assert (code, out.partition(" nothing is at")[0]) == (3, "gone.png: missing:")
    assert "k.png is not written: no image could be read" in err
    assert not (tmp_path / "k.png").exists()


def test_names_do_not_draw_and_tell_no_secrets(srpipe: Srpipe, tmp_path: Path) -> None:
    """Rows that cannot be read are told by what is harmless of their uris."""
    (tmp_path / "m.csv").write_text("uri\nhttps://me:verysecret@b/a.tif?X-Amz-Signature=deadbeef\ngone\033[2J.png\n")
    for options in ((), ("--json",)):
        code, out, err = srpipe("kernel", "m.csv", *options)
        assert code == 3
        assert "https://b/a.tif" in out
        assert not re.search("verysecret|deadbeef|\033", out + err)


def test_files_of_kernels_are_told_from_images(srpipe: Srpipe, tmp_path: Path) -> None:
    """By what is in them, where their names end alike; a kernel's name is one, whatever lies there."""
    mean = np.full((3, 3), 1 / 9)
    np.save(tmp_path / "k.npy", mean)
    np.savetxt(tmp_path / "k.csv", mean, delimiter=",")
    write_raster(tmp_path / "k.tif", mean[None].astype(np.float32))
    write_raster(tmp_path / "scan.tif", seen_scene(WIDE, side=112)[None])
    write_raster(tmp_path / "rgb.tif", np.stack([seen_scene(WIDE, side=48)] * 3))
    save(tmp_path / "box/a.png", WIDE)
    (tmp_path / "m.csv").write_text("uri\nscan.tif\n")
    for spec in ("k.npy", "k.csv", "k.tif", "box"):
        assert "kernels" in told(srpipe, spec)[1], spec
    for spec, images in (("scan.tif", 1), ("rgb.tif", 1), ("m.csv", 1), ("box/a.png", 1), ("./box", 1)):
        assert len(told(srpipe, spec)[1]["images"]) == images, spec


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("gone.png", "the manifest gone.png does not exist"),
        ("gone.csv", "SPEC: nothing is at"),
        ("*.jpg", "nothing matches"),
        ("nowhere", "SPEC: 'nowhere' is not a kernel"),
        ("m.csv", "has no column 'uri'"),
        ("gaussian:x", "SPEC: 'gaussian:x': 'x' is not a list of numbers"),
        ("estimate", "SPEC: 'estimate' is not a kernel"),
    ],
)
def test_what_names_nothing_is_refused(spec: str, said: str, refusal: Refusal, tmp_path: Path) -> None:
    """Exit 2 and one sentence."""
    (tmp_path / "m.csv").write_text("name,kernel\na.png,box\n")
    assert said in refusal("kernel", spec)


@pytest.mark.parametrize("spec", ["scans/a.png", "scans", "scans/*.png", "m.csv"])
def test_a_picture_replaces_no_image(spec: str, refusal: Refusal, tmp_path: Path) -> None:
    """However the image is named, and by whatever name the picture leads to it."""
    save(tmp_path / "scans/a.png", WIDE)
    (tmp_path / "link.png").symlink_to("scans/a.png")
    (tmp_path / "m.csv").write_text("uri\n\nscans/a.png\n")
    for output in ("scans/a.png", "link.png"):
        assert f"--output: {output} is one of the images" in refusal("kernel", spec, "-o", output)


def test_images_on_s3(srpipe: Srpipe, tmp_path: Path, s3_bucket: str) -> None:
    """A folder there, an image, a kernel's file; a bucket that is not there."""
    save(tmp_path / "a.png", WIDE)
    storage.write(f"{s3_bucket}/in/a.png", (tmp_path / "a.png").read_bytes())
    np.save(tmp_path / "k.npy", np.full((3, 3), 1 / 9))
    storage.write(f"{s3_bucket}/in/k.npy", (tmp_path / "k.npy").read_bytes())
    for spec in (f"{s3_bucket}/in", f"{s3_bucket}/in/a.png"):
        (image,) = told(srpipe, spec)[1]["images"]
        assert image["kernel"].startswith("gaussian:")
    assert "kernels" in told(srpipe, f"{s3_bucket}/in/k.npy")[1]
    with pytest.raises(UsageError, match="no such bucket"):
        images_named("s3://srpipe-test-there-is-none/in")
