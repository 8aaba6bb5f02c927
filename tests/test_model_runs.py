"""Whole runs by a trained model of others: pixels, records, tiles, what is refused, and what is done again."""

import hashlib
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from numpy.typing import NDArray
from PIL import Image
from rasterio.transform import Affine

from pipeline.driver.executor import executor
from pipeline.work.assignment import Assignment
from pipeline.work.units import Division
from sr_ops.image.resample import downscale

from .fixture_types import MakePrior, ReadRecords, ReadTiles, Refusal, Srpipe
from .onnx_models import as_onnx, by_torch, drawn
from .pictures import star
from .rasters import write_raster

MODEL = ("--method", "model", "--weights", "m.onnx", "--executor", "inline", "--device", "cpu")
AS_IT_IS = (*MODEL, "--back-projection", "0")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    """A model for x2 and a picture."""
    (tmp_path / "m.onnx").write_bytes(as_onnx(drawn(), 2))
    Image.fromarray(picture(40, 36)).save(tmp_path / "a.png")
    (tmp_path / "m.csv").write_text("uri\na.png\n")
    return tmp_path


def picture(height: int, width: int, bands: int = 3) -> NDArray[np.uint8]:
    """Blocks and a little noise, away from black and white."""
    generator = np.random.default_rng(0)
    blocks = np.kron(generator.integers(60, 180, (-(-height // 9), -(-width // 9), bands)), np.ones((9, 9, 1)))
    return (blocks[:height, :width] + generator.integers(0, 9, (height, width, bands))).astype(np.uint8)


def tile(path: Path) -> NDArray[Any]:
    """(height, width, bands)."""
    return np.array(Image.open(path))


def expected(samples: NDArray[Any], weights: Any = None, scale: int = 2) -> NDArray[np.float32]:
    """What torch makes of (height, width, bands) from 0 to 255, in the same order."""
    image = torch.from_numpy(samples.astype(np.float32) / 255).permute(2, 0, 1)
    made = by_torch(image, weights or drawn(), scale).clamp(0, 1) * 255
    return np.asarray(made.permute(1, 2, 0))


def test_pixels_are_the_models(folder: Path, srpipe: Srpipe, read_records: ReadRecords) -> None:
    """Without the data step those that torch gives, rounded; the record says by which weights."""
    code, _, err = srpipe("run", "m.csv", "-o", "out", "--scale", "2", *AS_IT_IS)
    assert code == 0, err
    made = tile(folder / "out/tiles/a.png/r0000_c0000.png")
    assert np.abs(made - expected(picture(40, 36))).max() < 0.51
    record = read_records(str(folder / "out"))["a.png"]
    sha256 = hashlib.sha256((folder / "m.onnx").read_bytes()).hexdigest()
    assert (record["method_used"], record["weights"], record["steps"]) == ("model", sha256, 0)
    assert (record["network"], record["prior_bands"], record["notes"]) == (None, None, None)


def test_the_data_step_makes_it_agree(folder: Path, srpipe: Srpipe, read_records: ReadRecords) -> None:
    """The camera would see the picture in the result; of what the model made alone it would not."""
    errors = {}
    for name, options in (("with", (*MODEL, "--kernel", "bicubic")), ("without", AS_IT_IS)):
        assert srpipe("run", "m.csv", "-o", name, "--scale", "2", "--noise", "0", *options)[0] == 0
        errors[name] = read_records(str(folder / name))["a.png"]["consistency_rmse"]
    assert errors["with"] < 0.3
    assert errors["without"] > 3


@pytest.mark.parametrize("bands", [1, 2, 4])
def test_bands_that_are_no_colours(folder: Path, srpipe: Srpipe, bands: int) -> None:
    """Each is enlarged as a gray picture, at its place, in 16 bits, with what is unknown left out of it."""
    samples = (picture(40, 36, bands).astype(np.uint16) * 100).transpose(2, 0, 1)
    samples[:, 10:14, 10:20] = 0
    where = Affine(10.0, 0, 500000, 0, -10.0, 4100000)
    write_raster(folder / "a.tif", samples, crs="EPSG:32633", transform=where, nodata=0)
    assert srpipe("run", "a.tif", "-o", "out", "--scale", "2", "--single", "--format", "tif", *MODEL)[0] == 0
    (path,) = (folder / "out/images").rglob("*.tif")
    with rasterio.open(path) as file:
        made = file.read()
        assert (file.crs.to_epsg(), file.transform.a, file.nodata, file.dtypes[0]) == (32633, 5.0, 0, "uint16")
    assert made.shape == (bands, 80, 72)
    assert (made[:, 20:28, 20:40] == 0).all()
    assert (made[:, :18] > 0).all()
    assert len(np.unique(made)) > 1000
    seen = downscale(torch.from_numpy(made.astype(np.float32)), 2)[:, :6, :6]
    assert float((seen - torch.from_numpy(samples[:, :6, :6].astype(np.float32))).abs().mean()) < 60


def test_tiles_are_as_the_whole(folder: Path, srpipe: Srpipe, read_records: ReadRecords) -> None:
    """This network sees 3 pixels: with a halo of more, tiles are the whole to a level; the record says what holds."""
    Image.fromarray((star(96) * 255).byte().expand(3, -1, -1).permute(1, 2, 0).numpy()).save(folder / "a.png")
    made = {}
    for name, side in (("whole", "96"), ("tiles", "32")):
        options = ("--noise", "0", "--kernel", "bicubic", "--single", "--tile-size", side, "--model-halo", "8")
        assert srpipe("run", "m.csv", "-o", name, "--scale", "2", *MODEL, *options)[0] == 0
        (path,) = (folder / name / "images").rglob("*.png")
        made[name] = tile(path).astype(int)
    assert np.abs(made["tiles"] - made["whole"]).max() <= 1
    notes = {name: read_records(str(folder / name))["a.png"]["notes"] or "" for name in made}
    assert "tiles agree with the whole image if the model sees no farther than 8 pixels" in notes["tiles"]
    assert "tiles agree" not in notes["whole"]


def test_a_scene_in_groups_of_tiles(
    folder: Path, srpipe: Srpipe, read_tiles: ReadTiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is stored for other workers is the degradation; each has the model itself."""
    Image.fromarray(picture(60, 70)).save(folder / "a.png")
    run = ("run", "m.csv", "--scale", "2", "--tile-size", "32", *MODEL)
    assert srpipe(*run, "-o", "whole")[0] == 0
    monkeypatch.setattr("pipeline.driver.completing.DIVISION", Division(pixels=0, group_seconds=0.0))
    assert srpipe(*run, "-o", "divided")[0] == 0
    tiles = read_tiles(str(folder / "whole"))
    assert len([name for name in tiles if name.endswith(".png")]) == 6
    assert read_tiles(str(folder / "divided")) == tiles


def test_a_row_of_another_scale_fails(folder: Path, srpipe: Srpipe, read_records: ReadRecords) -> None:
    """It is a record; the other rows are done."""
    (folder / "m.csv").write_text("uri,id,scale\na.png,a,\na.png,b,3\n")
    assert srpipe("run", "m.csv", "-o", "out", "--scale", "2", *MODEL)[0] == 3
    records = read_records(str(folder / "out"))
    assert (records["a"]["status"], records["b"]["status"], records["b"]["error_type"]) == (
        "done",
        "failed",
        "unsupported",
    )
    assert "enlarges by 2, and this image is to be by 3" in records["b"]["error_message"]


def test_another_file_is_other_work(folder: Path, srpipe: Srpipe) -> None:
    """By what is in it, not by its name: a copy is the same, other weights under the same name are not."""
    run = ("run", "m.csv", "-o", "out", "--scale", "2", *MODEL, "--json")
    assert json.loads(srpipe(*run)[1])["done"] == 1
    (folder / "copy").write_bytes((folder / "m.onnx").read_bytes())
    copied = tuple("copy" if word == "m.onnx" else word for word in run)
    assert json.loads(srpipe(*copied)[1])["already_done"] == 1
    weights = drawn()
    weights[2][1].add_(0.1)
    (folder / "m.onnx").write_bytes(as_onnx(weights, 2))
    assert json.loads(srpipe(*run)[1])["done"] == 1


def test_retry_takes_the_same_model(folder: Path, srpipe: Srpipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """From another folder, too; another model under its name is refused."""
    (folder / "m.csv").write_text("uri\na.png\nb.png\n")
    assert srpipe("run", "m.csv", "-o", "out", "--scale", "2", *MODEL)[0] == 3
    Image.fromarray(picture(24, 24)).save(folder / "b.png")
    model = (folder / "m.onnx").read_bytes()
    (folder / "m.onnx").write_bytes(as_onnx(drawn(1), 2))
    code, _, err = srpipe("retry", "out")
    assert code == 2
    assert "is another model than when" in err
    (folder / "m.onnx").write_bytes(model)
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert srpipe("retry", str(folder / "out"))[0] == 0
    made = tile(folder / "out/tiles/b.png/r0000_c0000.png")
    assert made.shape == (48, 48, 3)


REFUSED = {
    "model without weights": (
        ("--method", "model"),
        "--method model needs a trained model; name its file with --weights",
    ),
    "weights without model": (("--weights", "m.onnx"), "--weights has no effect with --method auto"),
    "halo without model": (("--method", "bicubic", "--model-halo", "4"), "--model-halo has no effect"),
    "a prior beside it": ((*MODEL, "--prior", "shipped"), "--prior has no effect with --method model"),
    "steps": ((*MODEL, "--steps", "3"), "--steps has no effect with --method model"),
    "a kernel that nothing undoes": ((*AS_IT_IS, "--kernel", "box"), "--kernel box has no effect"),
    "a map of members": ((*MODEL, "--disagreement"), "--disagreement with --method model has no effect"),
    "another scale": ((*MODEL, "--scale", "3"), "m.onnx enlarges by 2, not by 3; use --scale 2"),
    "a scale between": ((*MODEL, "--scale", "2.5"), "not by 3, at which this size is made; use --scale 2"),
    "nothing there": ((*MODEL, "--weights", "none.onnx"), "nothing is at"),
    "no model": ((*MODEL, "--weights", "a.png"), "a.png is not a complete ONNX model"),
    "four bands": ((*MODEL, "--weights", "four.onnx"), "four.onnx is for pictures of 4 bands"),
    "code": ((*MODEL, "--weights", "code.pth"), "code.pth is a pickle that runs code"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused(what: str, folder: Path, refusal: Refusal) -> None:
    """In one sentence, before anything is written."""
    options, sentence = REFUSED[what]
    (folder / "four.onnx").write_bytes(as_onnx(drawn(4), 2))
    torch.save(torch.nn.Conv2d(3, 3, 3), folder / "code.pth")
    scale = () if "--scale" in options else ("--scale", "2")
    assert sentence in refusal("run", "m.csv", "-o", "out", *scale, *options)


def test_beside_other_methods(srpipe: Srpipe) -> None:
    """`srpipe compare` takes its weights for it alone; it is one of all where they are given."""
    compare = ("compare", "m.csv", "-o", "out", "--scale", "2", "--executor", "inline", "--device", "cpu")
    code, out, err = srpipe(*compare, "--methods", "bicubic,model", "--weights", "m.onnx", "--json")
    assert code == 0, err
    assert [line["name"] for line in json.loads(out)["lines"]] == ["bicubic", "model"]
    code, _, err = srpipe(*compare, "--methods", "bicubic", "--weights", "m.onnx")
    assert code == 2
    assert "name it in --methods" in err
    code, _, err = srpipe(*compare, "--methods", "model")
    assert code == 2
    assert "model: --method model needs a trained model" in err


@pytest.mark.parametrize("weights", ["m.onnx", "p"])
def test_workers_get_the_weights(
    weights: str, folder: Path, srpipe: Srpipe, make_prior: MakePrior, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of a model or a prior: processes that cannot read the file make the same pixels."""
    (folder / "p").write_bytes(make_prior())
    by_prior = ("--prior", "p", "--method", "prior", "--executor", "inline", "--device", "cpu")
    options = ("--scale", "2", *(MODEL if weights == "m.onnx" else by_prior))
    assert srpipe("run", "m.csv", "-o", "here", *options)[0] == 0

    def elsewhere(assignment: Assignment, *rest: Any) -> Any:
        (folder / weights).unlink()
        return executor(pickle.loads(pickle.dumps(assignment)), *rest)

    monkeypatch.setattr("pipeline.driver.run.executor", elsewhere)
    assert srpipe("run", "m.csv", "-o", "there", *options)[0] == 0
    here, there = (folder / name / "tiles/a.png/r0000_c0000.png" for name in ("here", "there"))
    assert here.read_bytes() == there.read_bytes()
