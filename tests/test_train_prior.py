"""`srpipe prior`: which images are learned from, what is left out and why, what is refused, and that the file works."""

import csv
import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from PIL import Image

import jobs.training_progress
import pipeline.priors.training
from jobs import stopping
from pipeline import storage
from pipeline.errors import UsageError
from pipeline.manifest.training_images import read_training_images
from pipeline.priors.checkpoint import Progress
from pipeline.priors.course import Course
from pipeline.priors.pictures import Pictures, TrainingImages, read_pictures
from pipeline.priors.prior_file import parse_prior, read_prior, weights
from sr_ops.priors.heads import first_weights
from sr_ops.priors.prior import Prior
from sr_ops.settings import Body, BodyKind

from .fixture_types import MakePrior, Refusal, Srpipe

REPOSITORY = Path(__file__).parent.parent

SMALL = ("--steps", "2", "--crop", "16", "--batch", "1")
TINY = (*SMALL, "--from", "none", "--width", "8", "--depth", "3")


def rough(seed: int, height: int = 160, width: int = 168) -> np.ndarray:
    levels = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3))
    return np.kron(levels, np.ones((8, 8, 1))).astype(np.uint8)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """in/ with three pictures in colour and three in grey."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(6):
        levels = rough(number)
        Image.fromarray(levels if number % 2 else levels[..., 0]).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def taught(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Takes the place of the training; what each was asked for. Its heads are fresh ones."""
    calls: list[dict[str, Any]] = []

    def train(course: Course, _albums: object, start: Prior | None, progress: Progress, *_: object) -> None:
        calls.append({"course": course, "start": start, "threads": torch.get_num_threads()})
        progress.done.update({head: first_weights(head, course.body, None, {}, 0) for head in course.heads})

    monkeypatch.setattr(pipeline.priors.training, "train", train)
    return calls


def _no_training(*_: object) -> None:
    pytest.fail("the training was begun")


def _result(ended: tuple[int, str, str]) -> dict[str, Any]:
    """The JSON object that is all of stdout of a command that succeeded."""
    code, out, err = ended
    assert code == 0, err
    assert out.count("\n") == 1
    result: dict[str, Any] = json.loads(out)
    return result


# ---- what comes of it -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("pictures")
def test_a_collection_becomes_a_file(srpipe: Srpipe, tmp_path: Path) -> None:
    """One sentence on stdout tells how many images, which heads and which file; the file is a prior, alone."""
    code, out, err = srpipe("prior", "in", "-o", "p.safetensors", *TINY)
    data = (tmp_path / "p.safetensors").read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    assert code == 0
    assert out == (
        f"learned from 6 images, 0 left out; heads for x2, x3, x4 of 1 and 3 bands; {tmp_path}/p.safetensors sha256"
        f" {sha256}\n"
    )
    assert "left out" not in err
    held = parse_prior(data)
    assert held.body == Body(8, 3)
    assert held.heads == tuple((scale, bands) for scale in (2, 3, 4) for bands in (1, 3))
    assert sorted(os.listdir(tmp_path)) == ["in", "p.safetensors"]


@pytest.mark.usefixtures("pictures")
def test_json_is_all_of_stdout(srpipe: Srpipe, tmp_path: Path) -> None:
    """--json prints one object with the same facts, and nothing else."""
    (tmp_path / "m.csv").write_text("uri\n" + "".join(f"in/{number}.png\n" for number in range(6)) + "in/none.png\n")
    result = _result(srpipe("prior", "m.csv", "-o", "p.safetensors", "--json", *TINY))
    held = read_prior("p.safetensors")
    assert held is not None
    assert result == {
        "output": str(tmp_path / "p.safetensors"),
        "sha256": held.sha256,
        "heads": [[4, 3], [4, 1], [3, 3], [3, 1], [2, 3], [2, 1]],
        "images": 6,
        "left_out": [[str(tmp_path / "in/none.png"), "No such file or directory"]],
    }


@pytest.mark.usefixtures("pictures")
def test_it_goes_on_from_the_shipped_prior(srpipe: Srpipe, taught: list[dict[str, Any]]) -> None:
    """Without --from the start is the prior that comes with srpipe; heads that are not trained are its own."""
    shipped = read_prior("shipped")
    assert shipped is not None
    assert srpipe("prior", "in", "-o", "p", "--scales", "3", "--crop", "16")[0] == 0
    expected, made = weights(shipped), read_prior("p")
    assert made is not None
    assert taught[0]["start"].body == expected.body == taught[0]["course"].body
    for head, state in expected.heads.items():
        for name, tensor in state.items():
            assert torch.equal(taught[0]["start"].heads[head][name], tensor)
            assert head[0] == 3 or torch.equal(weights(made).heads[head][name], tensor)


@pytest.mark.usefixtures("pictures")
def test_options_reach_the_training(srpipe: Srpipe, taught: list[dict[str, Any]], make_prior: MakePrior) -> None:
    """Every option that shapes the training gets there; the rate is higher from none."""
    srpipe("prior", "in", "-o", "p", "--crop", "16")
    shipped = taught[0]["course"]
    heads = ((4, 3), (4, 1), (3, 3), (3, 1), (2, 3), (2, 1))
    assert shipped == Course(heads, False, shipped.body, steps=1200, batch=12, crop=16, learning_rate=3e-4, seed=0)
    srpipe("prior", "in", "-o", "p", "--from", "none", "--crop", "16")
    assert taught[1]["course"] == Course(heads, False, Body(96, 10), 1200, 12, 16, learning_rate=1e-3, seed=0)
    assert taught[1]["start"] is None
    given = ("--width", "9", "--depth", "5", "--steps", "11", "--batch", "3", "--learning-rate", "0.5", "--seed", "7")
    srpipe("prior", "in", "-o", "p", "--from", "none", "--crop", "32", *given, "--scales", "4, 2,3")
    assert taught == taught[:2]  # crops of 32 at x4 need larger pictures
    srpipe("prior", "in", "-o", "p", "--from", "none", "--crop", "16", *given, "--scales", "4, 2,3")
    assert taught[2]["course"] == Course(heads, False, Body(9, 5), 11, 3, 16, learning_rate=0.5, seed=7)
    srpipe("prior", "in", "-o", "p", "--clean", "--crop", "16", "--scales", "2")
    assert taught[3]["course"] == Course(((2, 3),), True, Body(96, 16), 1200, 12, 16, learning_rate=3e-4, seed=0)
    Path("start").write_bytes(make_prior())
    srpipe("prior", "in", "-o", "p", "--from", "start", "--crop", "32", "--scales", "2")
    assert taught[4]["course"].heads == ((2, 3), (2, 1))
    assert taught[4]["course"].body == Body(8, 3)
    srpipe("prior", "in", "-o", "p", "--from", "none", "--crop", "16", "--body", "channel-attention")
    assert taught[5]["course"].body == Body(96, 10, BodyKind.CHANNEL)


@pytest.mark.usefixtures("pictures")
def test_threads_are_set(srpipe: Srpipe, taught: list[dict[str, Any]]) -> None:
    """--threads is what torch computes with."""
    try:
        srpipe("prior", "in", "-o", "p", *TINY, "--threads", "2")
        assert taught[0]["threads"] == 2
    finally:
        torch.set_num_threads(1)


# ---- which images ---------------------------------------------------------------------------------------------------


def test_what_cannot_be_used_is_listed(srpipe: Srpipe, pictures: Path, tmp_path: Path) -> None:
    """Images that are missing, broken, too small or with holes are named with the reason, and no more.

    So are lines of the manifest that name none. The others are learned from.
    """
    bad = {
        "none.png": "No such file or directory",
        "broken.png": "the file holds text, no picture; replace it",
        "low.png": "its 140 x 76 pixels are too few: both sides must be at least 77",
        "narrow.png": "its 76 x 140 pixels are too few: both sides must be at least 77",
        "holes.tif": "some of its samples hold no data; cut out a part without",
        "folder.png": "Is a directory",
    }
    (pictures / "broken.png").write_bytes(b"?")
    Image.new("L", (140, 76)).save(pictures / "low.png")
    Image.new("L", (76, 140)).save(pictures / "narrow.png")
    holes = np.random.default_rng(0).random((140, 140), dtype=np.float32)
    holes[20, 20] = np.nan
    Image.fromarray(holes).save(pictures / "holes.tif")
    (pictures / "folder.png").mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (77, 77), dtype=np.uint8)).save(pictures / "least.png")
    with (tmp_path / "m.csv").open("w", newline="") as file:
        names = [*(f"{number}.png" for number in range(6)), "least.png", *bad]
        csv.writer(file).writerows([["uri", "note"], *([f"in/{name}", ""] for name in names)])
    code, out, err = srpipe("prior", "m.csv", "-o", "p", *TINY)
    assert code == 0
    assert "learned from 7 images, 6 left out" in out
    lines = {line for line in err.splitlines() if "left out" in line}
    assert lines == {f"srpipe: left out: {pictures}/{name}: {reason}" for name, reason in bad.items()}


@pytest.mark.usefixtures("pictures", "taught")
def test_images_beside_the_folder_of_the_manifest(srpipe: Srpipe, tmp_path: Path) -> None:
    """They could have no key below an output, and a training needs none."""
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/m.csv").write_text("uri\n" + "".join(f"../in/{number}.png\n" for number in range(6)))
    assert "learned from 6 images, 0 left out" in srpipe("prior", "lists/m.csv", "-o", "p", *TINY)[1]


@pytest.mark.usefixtures("pictures", "taught")
@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ('{"uri": "ftp://host/a.png"}', "ftp://host/a.png: the scheme 'ftp' is not supported"),
        ('{"uri": "x\\u0000.png"}', "the uri holds a NUL character"),
        ('{"uri": "x\\ud800.png"}', "the name x\\ud800.png holds bytes that are not UTF-8"),
        ('{"uri": ""}', "the uri is empty"),
        ("[]", "not a JSON object"),
        ('{"uri": "in/0.png", "weight": "much"}', "the weight 'much' is no number above 0"),
        ('{"uri": "in/0.png", "weight": 0}', "the weight '0' is no number above 0"),
        ('{"uri": "in/0.png", "weight": -1}', "the weight '-1' is no number above 0"),
        ('{"uri": "in/0.png", "weight": "inf"}', "the weight 'inf' is no number above 0"),
    ],
    ids=["scheme", "NUL", "half a character", "empty", "no object", "no weight", "0", "-1", "inf"],
)
def test_a_bad_row_is_left_out(srpipe: Srpipe, tmp_path: Path, cells: str, reason: str) -> None:
    """A row that names no image costs that row alone, as it does in a run, and is told by its line."""
    rows = "".join(f'{{"uri": "in/{number}.png"}}\n' for number in range(6))
    (tmp_path / "m.jsonl").write_text(f"{rows}{cells}\n")
    code, out, err = srpipe("prior", "m.jsonl", "-o", "p", *TINY)
    assert code == 0
    assert "learned from 6 images, 1 left out" in out
    (line,) = (line for line in err.splitlines() if "left out" in line)
    assert line.startswith("srpipe: left out: line 7: ")
    assert reason in line


def test_a_column_says_how_much_an_image_counts(tmp_path: Path) -> None:
    """By default 1; the most that is said of an image that is named twice."""
    (tmp_path / "m.csv").write_text("uri,Weight,note\na.png,0.25,x\nb.png,,\na.png,2,\nc.png,1e-3,\n")
    offered = read_training_images(str(tmp_path / "m.csv"))
    assert offered.weights == {str(tmp_path / "a.png"): 2, str(tmp_path / "b.png"): 1, str(tmp_path / "c.png"): 1e-3}


@pytest.mark.parametrize("count", [0, 3])
def test_too_few_images(refusal: Refusal, pictures: Path, count: int) -> None:
    """Three images are no collection: exit 2, one sentence that says why there are no more, nothing written."""
    for number in range(count, 6):
        (pictures / f"{number}.png").write_bytes(b"?" * number)
    sentence = refusal("prior", "in", "-o", "new/p", *TINY)
    assert sentence.startswith(f"srpipe: in: {count} images can be learned from, and a prior needs at least 4")
    assert sentence.count("no picture") + sentence.count("the file is empty") == 3


def test_too_few_images_for_a_scale(srpipe: Srpipe, pictures: Path) -> None:
    """Pictures that suffice for x2 may be too small for x4: one sentence with the side, and the remedy."""
    for number in range(3):
        Image.fromarray(rough(number, 80, 80)).save(pictures / f"{number}.png")
    code, out, err = srpipe("prior", "in", "-o", "p", *TINY)
    assert (code, out) == (2, "")
    assert err == (
        "srpipe: --scales: only 3 images have 116 pixels on both sides, which x3 needs with --crop 16, and a prior"
        " needs at least 4; use a smaller --crop or other --scales\n"
    )


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--crop", "224"), "--crop: 224 at x4 is more than is taken of an image; use at most 208, or smaller"),
        (("--crop", "304", "--scales", "3"), "--crop: 304 at x3 is more than is taken of an image; use at most 288"),
        (("--from", "none", "--depth", "257"), "--depth"),
        (("--from", "none", "--width", "4097"), "--width"),
    ],
)
def test_what_no_image_and_no_file_holds_is_refused_first(refusal: Refusal, given: tuple[str, ...], said: str) -> None:
    """Not after the training, and not as if the images were too small."""
    assert said in refusal("prior", "in", "-o", "p", *given)


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory"), torch.OutOfMemoryError()]
)
def test_out_of_memory(refusal: Refusal, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """One sentence that says what to make smaller."""

    def train(*_: object) -> None:
        raise error

    monkeypatch.setattr("pipeline.priors.training.train", train)
    assert "needs more memory than there is" in refusal("prior", "in", "-o", "p", *TINY)


@pytest.mark.usefixtures("taught")
def test_four_images_are_enough(srpipe: Srpipe, pictures: Path) -> None:
    """Four will do, and an image counts once however often and however written it is named."""
    for number in (4, 5):
        (pictures / f"{number}.png").unlink()
    assert _result(srpipe("prior", "in", "-o", "p", "--json", *TINY))["images"] == 4
    names = ["in/0.png", "./in/0.png", f"{pictures}/0.png", *(f"in/{number}.png" for number in range(1, 4))]
    Path("m.txt").write_text("\n".join(names))
    assert _result(srpipe("prior", "m.txt", "-o", "p", "--json", *TINY))["images"] == 4


def _whole(pictures: Pictures) -> list[bytes]:
    """The pixels of the images at full size."""
    whole = {}
    for picture in pictures.drawn:
        whole.setdefault(picture.image, picture.pixels.numpy().tobytes())
    return list(whole.values())


def test_a_draw_of_images(pictures: Path) -> None:
    """At most so many, drawn by the seed, whatever the order; what cannot be used makes room for others."""
    uris = [str(path) for path in sorted(pictures.iterdir())]

    def draw(seed: int, order: int = 1) -> Pictures:
        return read_pictures(TrainingImages("in", dict.fromkeys(uris[::order], 1.0), ()), 96, 4, seed)

    first = draw(0)
    assert first.images == 4
    assert first.sha256 == draw(0, order=-1).sha256
    assert len({frozenset(_whole(draw(seed))) for seed in range(8)}) > 1
    levels = {uri: np.asarray(Image.open(uri).convert("RGB")).transpose(2, 0, 1).tobytes() for uri in uris}
    used = next(uri for uri in uris if levels[uri] in _whole(first))
    Path(used).write_bytes(b"?")
    others = draw(0)
    assert others.images == 4
    assert [uri for uri, _ in others.left_out] == [used]


def test_a_storage_that_does_not_answer_leaves_no_picture_out(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked again; then the command ends, since a training that was begun needs the same pictures."""
    monkeypatch.setattr("pipeline.storage.patience.FIRST_WAIT", 0.0)
    offered = TrainingImages("in", {str(path): 1.0 for path in pictures.iterdir()}, ())
    expected, asked, busy = read_pictures(offered, 96, 4, 0), Counter[str](), 2
    read = storage.on_disk

    def on_disk(uri: str) -> Any:
        asked[uri] += 1
        if asked[uri] <= busy:
            raise OSError(errno.EIO, "Input/output error")
        return read(uri)

    monkeypatch.setattr(storage, "on_disk", on_disk)
    assert read_pictures(offered, 96, 4, 0).sha256 == expected.sha256
    busy = 100
    with pytest.raises(UsageError, match=r"cannot read .*: Input/output error; give the same command again"):
        read_pictures(offered, 96, 4, 0)


def test_a_large_image_gives_one_window(tmp_path: Path) -> None:
    """Of a large image a window of at most 768 pixels a side is kept, drawn by the seed, at four sizes."""
    row, column = np.mgrid[:1000, :900]
    place = np.stack([row // 4, column // 4, row % 4 * 4 + column % 4], -1).astype(np.uint8)
    uris = [str(tmp_path / f"{number}.png") for number in range(4)]
    for uri in uris:
        Image.fromarray(place).save(uri)
    offered = TrainingImages("in", dict.fromkeys(uris, 1.0), ())
    corners = set()
    for seed in (0, 0, 1):
        drawn = [picture.pixels for picture in read_pictures(offered, 96, 4, seed).drawn]
        assert [pixels.shape[1] for pixels in drawn] == [768, 614, 491, 384] * 4
        levels = drawn[0].int()
        top, left = (int(levels[axis, 0, 0]) * 4 for axis in (0, 1))
        top, left = top + int(levels[2, 0, 0]) // 4, left + int(levels[2, 0, 0]) % 4
        assert np.array_equal(drawn[0].permute(1, 2, 0).numpy(), place[top : top + 768, left : left + 768])
        corners.add((top, left))
    assert len(corners) == 2


def test_bands_of_a_multispectral_image_are_grey_pictures(tmp_path: Path) -> None:
    """At most three of them, which count as one image; 16 bits become 8 by what they hold."""
    uris = []
    for number in range(4):
        bands = (np.random.default_rng(number).integers(0, 2000, (5, 100, 110)) + 300).astype(np.uint16)
        uris.append(str(tmp_path / f"{number}.tif"))
        with rasterio.open(
            uris[-1], "w", "GTiff", 110, 100, 5, dtype="uint16", transform=rasterio.Affine(10, 0, 0, 0, -10, 0)
        ) as file:
            file.write(bands)
    pictures = read_pictures(TrainingImages("in", dict.fromkeys(uris, 1.0), ()), 96, 8, 0)
    assert not pictures.in_colour
    assert len(pictures.drawn) == 4 * 3 * 2  # bands and sizes
    for picture in pictures.drawn:
        assert torch.equal(picture.pixels[0], picture.pixels[2])
        assert picture.odds == pytest.approx(1 / 6)
        assert int(picture.pixels.max()) > 250 > 5 > int(picture.pixels.min())


# ---- refused before anything is begun -------------------------------------------------------------------------------


REFUSED = {
    "no output": (("prior", "in"), "--output"),
    "missing manifest": (("prior", "nothing.csv", "-o", "p"), "nothing.csv"),
    "missing start": (("prior", "in", "-o", "p", "--from", "nothing"), "--from: nothing is at"),
    "a start that is none": (("prior", "in", "-o", "p", "--from", "in/0.png"), "is not a complete safetensors file"),
    "another width than the start's": (("prior", "in", "-o", "p", "--width", "8"), "has 96, not 8; use --from none"),
    "another depth": (("prior", "in", "-o", "p", "--from", "start", "--depth", "4"), "has 3, not 4; use --from none"),
    "another body": (("prior", "in", "-o", "p", "--body", "pixel-attention"), "has additive, not pixel-attention; use"),
    "a body of no layers": (
        ("prior", "in", "-o", "p", "--from", "none", "--depth", "2", "--body", "pixel-attention"),
        "--body pixel-attention has no effect with --depth 2",
    ),
    "a body that is none": (
        ("prior", "in", "-o", "p", "--body", "mamba"),
        "no body 'mamba'; use one of additive",
    ),
    "from none not all scales": (("prior", "in", "-o", "p", *TINY, "--scales", "2"), "--scales: from none all heads"),
    "a scale without heads": (("prior", "in", "-o", "p", "--scales", "2,5"), "--scales: '2,5' is not a list of scales"),
    "no scales": (("prior", "in", "-o", "p", "--scales", ""), "--scales: '' is not a list of scales"),
    "crops that have no blocks": (("prior", "in", "-o", "p", "--crop", "24"), "--crop: 24 is not a multiple of 16"),
    "output below a file": (("prior", "in", "-o", "in/0.png/p", *TINY), "in/0.png"),
    "output that is a folder": (("prior", "in", "-o", "in", *TINY), "is a folder; name a file in it"),
    "unknown output scheme": (("prior", "in", "-o", "ftp://host/p", *TINY), "the scheme 'ftp' is not supported"),
    "fewer images than will do": (("prior", "in", "-o", "p", *TINY, "--max-images", "3"), "--max-images"),
    "no steps": (("prior", "in", "-o", "p", "--steps", "0"), "--steps"),
    "no such GPU": (("prior", "in", "-o", "p", *TINY, "--device", "cuda"), "--device"),
    "a checkpoint that is none": (("prior", "in", "-o", "q", *TINY), "q.checkpoint is not a complete checkpoint"),
}


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_in_one_sentence(
    refusal: Refusal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_prior: MakePrior, case: str
) -> None:
    """What cannot be begun: exit 2 before any training, one line on stderr that names the thing, nothing written."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(pipeline.priors.training, "train", _no_training)
    (tmp_path / "start").write_bytes(make_prior())
    (tmp_path / "q.checkpoint").write_text("?")
    arguments, named = REFUSED[case]
    assert named in refusal(*arguments)


@pytest.mark.usefixtures("pictures")
def test_full_disk(srpipe: Srpipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place that takes no file is refused before the training, not after it."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    monkeypatch.setattr(pipeline.priors.training, "train", _no_training)
    code, _, err = srpipe("prior", "in", "-o", "p", *TINY)
    assert code == 2
    assert f"cannot write to the output {tmp_path}: No space left on device; choose another with --output" in err
    assert sorted(os.listdir(tmp_path)) == ["in"]


# ---- while it goes --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("pictures")
def test_progress_is_told_on_stderr(srpipe: Srpipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where stderr is no terminal it gets a plain line every few seconds, for each head; stdout gets none."""
    monkeypatch.setattr(jobs.training_progress, "_LINE_SECONDS", 0.0)
    code, out, err = srpipe("prior", "in", "-o", "p", *TINY)
    assert (code, out.count("\n")) == (0, 1)
    lines = [line.partition(", loss ") for line in err.splitlines() if "step" in line]
    names = [f"x{scale}, {bands}" for scale in (2, 3, 4) for bands in ("one band", "3 bands")]
    assert {start for start, _, _ in lines} == {f"{name}: step {step}/2" for name in names for step in (1, 2)}
    assert all(0 < float(end.partition(", eta ")[0]) < 1 for _, _, end in lines)
    monkeypatch.setattr(jobs.training_progress, "_LINE_SECONDS", 1e9)
    _, _, last = srpipe("prior", "in", "-o", "p", *TINY)
    told = sorted(line.partition(", loss ")[0] for line in last.splitlines())
    assert told == sorted(f"{name}: step 2/2" for name in names)
    assert "━" not in err


@pytest.mark.usefixtures("pictures")
def test_progress_is_a_bar_on_a_terminal(srpipe: Srpipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """One for each head, with its loss and the time that is left."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    code, _, err = srpipe("prior", "in", "-o", "p", *TINY)
    assert code == 0
    for name in (f"x{scale}, {bands}" for scale in (2, 3, 4) for bands in ("one band", "3 bands")):
        assert name in err
    assert "━" in err
    assert "loss 0." in err


@pytest.mark.usefixtures("pictures")
def test_a_signal_that_got_lost_ends_the_training_too(
    srpipe: Srpipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python drops an exception that meets a finaliser: then the next step ends it, with a checkpoint."""
    asked = stopping.Stopped(signal.SIGTERM)
    monkeypatch.setattr(stopping, "install", lambda: monkeypatch.setattr(stopping, "_asked", asked))
    code, out, err = srpipe("prior", "in", "-o", "p", *TINY)
    assert (code, out) == (143, "")
    assert err.endswith("stopped; run the same command to resume\n")
    assert sorted(os.listdir(tmp_path)) == ["in", "p.checkpoint"]


def test_a_training_can_be_stopped(srpipe: Srpipe, pictures: Path, tmp_path: Path) -> None:
    """Signals end it, each with its exit code, and a checkpoint stays; the same command ends as if uninterrupted."""
    program = "import jobs.training_progress as p, jobs.cli; p._LINE_SECONDS = 0.1; jobs.cli.main()"
    arguments = ["prior", str(pictures), "-o", "p", *TINY, "--steps", "60"]
    command = [sys.executable, "-c", program, *arguments]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    for signal_number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        try:
            while "step" not in (line := process.stderr.readline()):
                assert line, "the training ended before its first step"
            process.send_signal(signal_number)
            assert process.wait(20) == code
        finally:
            process.kill()
            _, rest = process.communicate()
        assert rest.endswith("srpipe: stopped; run the same command to resume\n")
        assert sorted(os.listdir(tmp_path)) == ["in", "p.checkpoint"]
    assert srpipe(*arguments)[0] == 0
    arguments[3] = "q"
    assert srpipe(*arguments)[0] == 0
    assert (tmp_path / "p").read_bytes() == (tmp_path / "q").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["in", "p", "q"]


@pytest.mark.usefixtures("pictures")
@pytest.mark.timeout(60)
def test_a_bucket_is_no_file(s3_bucket: str, srpipe: Srpipe, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An output that names a bucket, or one that is not there, is refused before the training."""
    monkeypatch.setattr(pipeline.priors.training, "train", _no_training)
    for output in (s3_bucket, f"{s3_bucket}/", "s3://no-such-bucket", "s3://no-such-bucket/p"):
        code, out, err = srpipe("prior", "in", "-o", output, *TINY)
        assert (code, out) == (2, "")
        assert output.rstrip("/").removesuffix("/p") in err
    assert not storage.find(s3_bucket)
    assert os.listdir(tmp_path) == ["in"]


def test_the_file_may_lie_on_s3(
    s3_bucket: str, srpipe: Srpipe, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images, output, checkpoint and start may all be objects."""
    for path in pictures.iterdir():
        storage.write(f"{s3_bucket}/in/{path.name}", path.read_bytes())
    here = _result(srpipe("prior", "in", "-o", "p", "--json", *TINY))
    with monkeypatch.context() as patch:
        patch.setattr(pipeline.priors.training, "_file_of", lambda *_: sys.exit(7))
        assert srpipe("prior", "in", "-o", f"{s3_bucket}/priors/p", *TINY)[0] == 7
    assert list(storage.find(f"{s3_bucket}/priors")) == [f"{s3_bucket}/priors/p.checkpoint"]
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.priors.course._Heads.training", _no_training)
        there = _result(srpipe("prior", f"{s3_bucket}/in", "-o", f"{s3_bucket}/priors/p", "--json", *TINY))
    assert there == {**here, "output": f"{s3_bucket}/priors/p"}
    assert storage.read(f"{s3_bucket}/priors/p") == (pictures.parent / "p").read_bytes()
    assert list(storage.find(f"{s3_bucket}/priors")) == [f"{s3_bucket}/priors/p"]


# ---- a bare checkout ------------------------------------------------------------------------------------------------


BARE = """
import importlib.metadata, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"ray", "rasterio", "s3fs", "msgspec", "aiobotocore", "botocore", "moto", "scipy"}:
            raise ImportError(f"{name} is blocked")

def version(name):
    raise importlib.metadata.PackageNotFoundError(name)

sys.meta_path.insert(0, Blocked())
importlib.metadata.version = version
import jobs.cli
jobs.cli.main()
"""


def test_a_bare_checkout_trains(pictures: Path, tmp_path: Path, srpipe: Srpipe) -> None:
    """Beside torch, numpy, Pillow, safetensors, pyarrow, fsspec and typer nothing is needed; the file is the same.

    What only rasterio reads is left out with that reason.
    """
    Image.fromarray(rough(7)).save(pictures / "photo.jpg", quality=95)
    Image.fromarray(rough(8)).save(pictures / "scan.tif")
    deep = np.random.default_rng(0).integers(0, 2**16, (160, 160), dtype=np.uint16)
    Image.fromarray(deep).save(pictures / "deep.tif")
    options = ("--steps", "10", "--crop", "16", "--batch", "1", "--from", "none", "--width", "8", "--depth", "3")
    command = [sys.executable, "-c", textwrap.dedent(BARE), "prior", "in", "-o", "bare", "--json", *options]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["images"] == 8
    ((left_out, reason),) = result["left_out"]
    assert left_out == str(pictures / "deep.tif")
    assert reason.startswith("reading it needs rasterio, which is not installed")
    (pictures / "deep.tif").write_text("no picture")
    assert _result(srpipe("prior", "in", "-o", "p", "--json", *options))["sha256"] == result["sha256"]


def test_the_check_for_bare_imports_can_fail(tmp_path: Path) -> None:
    """The program above ends where something imports what it blocks."""
    program = textwrap.dedent(BARE).replace("import jobs.cli", "import rasterio, jobs.cli")
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "rasterio is blocked" in done.stderr
