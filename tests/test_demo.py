"""The demo's collection: what its manifest says is so."""

import csv
from pathlib import Path

import pytest
from torch import Tensor

from jobs.demo import make_collection
from pipeline.imagery.scored import from_levels, read_levels, to_levels
from sr_ops.camera.degradation import Degradation
from sr_ops.camera.kernels import from_spec

from .fixture_types import Refusal, Srpipe


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """Of the manifest, with the places of the files."""
    manifest = make_collection(tmp_path_factory.mktemp("demo"))
    with manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [row | {name: str(manifest.parent / row[name]) for name in ("uri", "reference")} for row in rows]


def seen(hr: Tensor, kernel: str) -> Tensor:
    return to_levels(Degradation(from_spec(kernel, 2), 2).apply(from_levels(hr)))


def test_one_picture_is_by_a_known_camera(rows: list[dict[str, str]]) -> None:
    """Its row says which; nothing is said of the others, which MATLAB's bicubic made."""
    assert sorted(bool(row["kernel"]) for row in rows) == [False, False, True]


def test_each_input_is_its_truth_by_the_camera_that_is_told(rows: list[dict[str, str]]) -> None:
    """To a level of rounding, JPEG's losses aside; another camera's image is another."""
    for row in rows:
        if Path(row["uri"]).suffix == ".jpg":
            continue
        lr, hr = (read_levels(row[name]).float() for name in ("uri", "reference"))
        told = row["kernel"] or "bicubic"
        assert float((lr - seen(hr, told)).abs().max()) <= 1
        other = "bicubic" if row["kernel"] else "gaussian:1.4"
        assert float((lr - seen(hr, other)).abs().mean()) > 1


@pytest.mark.parametrize("output", ["s3://bucket/demo", "file:///tmp/demo"])
def test_a_uri_is_no_folder(output: str, refusal: Refusal) -> None:
    """Else the demo would lie in a folder here that is called by the scheme."""
    assert f"--output: {output} is no path" in refusal("demo", "-o", output)


def test_another_manifest_is_not_replaced(tmp_path: Path, srpipe: Srpipe) -> None:
    """Nor anything else of the folder written."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/manifest.csv").write_text("uri\na.png\n")
    code, _, err = srpipe("demo", "-o", "mine")
    assert (code, [file.name for file in (tmp_path / "mine").iterdir()]) == (2, ["manifest.csv"])
    assert "mine/manifest.csv is not the demo's" in err
    assert (tmp_path / "mine/manifest.csv").read_text() == "uri\na.png\n"
