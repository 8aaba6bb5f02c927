"""`srpipe prior`: which images are learned from, what is left out and why, and that the file works."""

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import jobs.progress
import pipeline.priors.training
from pipeline import storage
from pipeline.priors.prior_file import parse_prior, read_prior, weights
from sr_ops.networks import build_network
from sr_ops.settings import FitSettings, Settings

Srpipe = Callable[..., tuple[int, str, str]]
MakePrior = Callable[..., bytes]

SMALL = ("--width", "8", "--depth", "3", "--steps", "3", "--crop", "16", "--batch", "1")
TINY = (*SMALL, "--from", "none")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """in/ with three pictures in colour and three in gray."""
    rng = np.random.default_rng(3)
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(6):
        rough = rng.integers(0, 256, (8, 9, 3))
        levels = np.kron(rough, np.ones((8, 8, 1))).astype(np.uint8)
        Image.fromarray(levels if number % 2 else levels[..., 0]).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def taught(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Takes the place of the training; what each was asked to learn from, and with which settings."""
    calls: list[dict[str, Any]] = []

    def train(
        images: Sequence[torch.Tensor], settings: Settings, training: FitSettings, start: Any, *_: object
    ) -> dict[int, dict[str, torch.Tensor]]:
        calls.append({"images": list(images), "settings": settings, "training": training, "start": start})
        network = build_network(
            settings.network, 1, settings.width, settings.depth, 0, torch.device("cpu"), torch.float32
        )
        return {1: network.state_dict()}

    monkeypatch.setattr(pipeline.priors.training, "train", train)
    return calls


def _no_training(*_: object) -> None:
    pytest.fail("the training was begun")


def _result(ended: tuple[int, str, str]) -> dict[str, Any]:
    """The JSON object that is all of stdout of a command that succeeded."""
    code, out, _ = ended
    assert code == 0
    assert out.count("\n") == 1
    result: dict[str, Any] = json.loads(out)
    return result


# ---- what comes of it -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("pictures")
def test_a_collection_becomes_a_file(srpipe: Srpipe, tmp_path: Path) -> None:
    """One sentence on stdout tells how many images, which networks and which file; the file is a prior for them."""
    code, out, err = srpipe("prior", "in", "-o", "p.safetensors", *TINY)
    data = (tmp_path / "p.safetensors").read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    assert code == 0
    assert out == (
        f"learned from 6 images, 0 left out; networks for 1 and 3 bands; {tmp_path}/p.safetensors sha256 {sha256}\n"
    )
    assert "left out" not in err
    held = parse_prior(data)
    assert (held.network, held.width, held.depth, held.bands) == ("subpixel", 8, 3, (1, 3))
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
        "bands": [1, 3],
        "images": 6,
        "left_out": [[str(tmp_path / "in/none.png"), "No such file or directory"]],
    }


@pytest.mark.usefixtures("pictures")
def test_the_same_again_is_the_same_file(srpipe: Srpipe) -> None:
    """The same images and options give the same bytes; another seed, rate or number of steps gives others."""

    def sha256(*options: str) -> str:
        return str(_result(srpipe("prior", "in", "-o", "p", "--json", *TINY, *options))["sha256"])

    first = sha256()
    torch.manual_seed(1234)
    assert sha256() == first
    changes = (("--seed", "1"), ("--learning-rate", "0.01"), ("--steps", "4"), ("--crop", "20"), ("--batch", "2"))
    assert len({first, *(sha256(*change) for change in changes)}) == 6


@pytest.mark.parametrize(("kept", "bands"), [(0, [1]), (1, [1, 3])], ids=["gray", "colour"])
def test_networks_for_what_there_is(srpipe: Srpipe, pictures: Path, kept: int, bands: list[int]) -> None:
    """Gray images alone make a network of one band; images in colour make one of three and one of one."""
    for path in list(pictures.iterdir()):
        if int(path.stem) % 2 != kept:
            path.unlink()
        else:
            Image.open(path).transpose(Image.Transpose.ROTATE_90).save(pictures / f"1{path.name}")
    assert _result(srpipe("prior", "in", "-o", "p", "--json", *TINY))["bands"] == bands


@pytest.mark.usefixtures("pictures")
def test_it_goes_on_from_a_prior(srpipe: Srpipe, tmp_path: Path, make_prior: MakePrior) -> None:
    """--from FILE starts with its weights: a single tiny step leads nowhere far from them."""
    (tmp_path / "start").write_bytes(make_prior())
    still = ("--steps", "1", "--learning-rate", "1e-6")
    srpipe("prior", "in", "-o", "p", *SMALL, *still, "--from", "start")
    srpipe("prior", "in", "-o", "q", *SMALL, *still, "--from", "none")
    (near, far), start = ((read_prior(name) for name in "pq"), weights(make_prior()))
    assert near is not None
    assert far is not None
    for bands, state in start.items():
        for name, tensor in state.items():
            torch.testing.assert_close(weights(near.data)[bands][name], tensor, atol=1e-4, rtol=1e-3)
        last = "body.3.weight"
        assert (weights(far.data)[bands][last] - state[last]).abs().max() > 0.01


@pytest.mark.usefixtures("pictures")
def test_it_goes_on_from_the_shipped_prior(srpipe: Srpipe, taught: list[dict[str, Any]]) -> None:
    """Without --from the start is the prior that comes with srpipe."""
    shipped = read_prior("shipped")
    assert shipped is not None
    assert srpipe("prior", "in", "-o", "p")[0] == 0
    expected = weights(shipped.data)
    assert taught[0]["start"].keys() == expected.keys()
    for bands, state in expected.items():
        for name, tensor in state.items():
            assert torch.equal(taught[0]["start"][bands][name], tensor)


@pytest.mark.usefixtures("pictures")
def test_options_reach_the_training(srpipe: Srpipe, taught: list[dict[str, Any]]) -> None:
    """Every option that shapes the training gets there; from scratch the rate is that of the shipped prior."""
    srpipe("prior", "in", "-o", "p")
    assert taught[0]["settings"] == Settings()
    assert taught[0]["training"] == FitSettings(steps=4000, crop=64, batch=16, learning_rate=5e-4)
    given = ("--network", "zssr", "--width", "9", "--depth", "5", "--seed", "7", "--from", "none")
    srpipe("prior", "in", "-o", "p", *given, "--steps", "11", "--crop", "24", "--batch", "3", "--learning-rate", "0.5")
    assert taught[1]["settings"] == Settings(network="zssr", width=9, depth=5, seed=7)  # type: ignore[arg-type]
    assert taught[1]["training"] == FitSettings(steps=11, crop=24, batch=3, learning_rate=0.5)
    assert taught[1]["start"] is None
    srpipe("prior", "in", "-o", "p", "--from", "none")
    assert taught[2]["training"] == FitSettings(steps=4000, crop=64, batch=16, learning_rate=2e-3)


@pytest.mark.usefixtures("pictures", "taught")
def test_threads_are_set(srpipe: Srpipe) -> None:
    """--threads is what torch computes with."""
    try:
        srpipe("prior", "in", "-o", "p", *TINY, "--threads", "2")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("network", ["subpixel", "zssr"])
def test_a_run_starts_from_it(srpipe: Srpipe, pictures: Path, network: str) -> None:
    """A prior that was made from a collection serves that collection: the records name it and its networks."""
    made = _result(srpipe("prior", "in", "-o", "priors/mine.safetensors", "--json", *TINY, "--network", network))
    tiny = ("-s", "2", *SMALL, "--network", network, "--method", "zssr", "--executor", "inline")
    assert srpipe("run", "in", "-o", "out", "--prior", "priors/mine.safetensors", *tiny)[0] == 0
    table = pq.read_table(pictures.parent / "out/manifest.parquet").to_pylist()
    assert {(row["status"], row["method_used"], row["network"]) for row in table} == {("done", "zssr", network)}
    assert {row["prior"] for row in table} == {made["sha256"]}
    assert [row["prior_bands"] for row in table] == [row["bands"] for row in table] == [1, 3] * 3


# ---- which images ---------------------------------------------------------------------------------------------------


def test_what_cannot_be_used_is_listed(srpipe: Srpipe, pictures: Path, tmp_path: Path) -> None:
    """Images that are missing, broken, too small or with holes are named with the reason, and no more.

    So are lines of the manifest that name none. The others are learned from.
    """
    bad = {
        "none.png": "No such file or directory",
        "broken.png": "the file holds text, no picture; replace it",
        "low.png": "its 40 x 19 pixels are too few: both sides must be at least 20",
        "narrow.png": "its 19 x 40 pixels are too few: both sides must be at least 20",
        "holes.tif": "some of its samples hold no data; cut out a part without",
        "folder.png": "Is a directory",
    }
    (pictures / "broken.png").write_bytes(b"?")
    Image.new("L", (40, 19)).save(pictures / "low.png")
    Image.new("L", (19, 40)).save(pictures / "narrow.png")
    holes = np.random.default_rng(0).random((40, 40), dtype=np.float32)
    holes[20, 20] = np.nan
    Image.fromarray(holes).save(pictures / "holes.tif")
    (pictures / "folder.png").mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 20), dtype=np.uint8)).save(pictures / "least.png")
    with (tmp_path / "m.csv").open("w", newline="") as file:
        names = [*(f"{number}.png" for number in range(6)), "least.png", *bad]
        csv.writer(file).writerows([["uri", "note"], *([f"in/{name}", ""] for name in names)])
    code, out, err = srpipe("prior", "m.csv", "-o", "p", *TINY, "--crop", "20")
    assert code == 0
    assert "learned from 7 images, 6 left out" in out
    lines = {line for line in err.splitlines() if "left out" in line}
    assert lines == {f"srpipe: left out: {pictures}/{name}: {reason}" for name, reason in bad.items()}


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ('{"uri": "ftp://host/a.png"}', "ftp://host/a.png: the scheme 'ftp' is not supported"),
        ('{"uri": "x\\u0000.png"}', "the uri holds a NUL character"),
        ('{"uri": "x\\ud800.png"}', "the name x\\ud800.png holds bytes that are not UTF-8"),
        ('{"uri": ""}', "the uri is empty"),
        ("[]", "not a JSON object"),
    ],
    ids=["scheme", "NUL", "half a character", "empty", "no object"],
)
def test_a_bad_row_is_left_out(
    srpipe: Srpipe, tmp_path: Path, taught: list[dict[str, Any]], cells: str, reason: str
) -> None:
    """A row that names no image costs that row alone, as it does in a run, and is told by its line."""
    rows = "".join(f'{{"uri": "in/{number}.png"}}\n' for number in range(6))
    (tmp_path / "m.jsonl").write_text(f"{rows}{cells}\n")
    code, out, err = srpipe("prior", "m.jsonl", "-o", "p", *TINY)
    assert (code, len(taught[0]["images"])) == (0, 6)
    assert "learned from 6 images, 1 left out" in out
    (line,) = (line for line in err.splitlines() if "left out" in line)
    assert line.startswith("srpipe: left out: line 7: ")
    assert reason in line


@pytest.mark.parametrize("count", [0, 3])
def test_too_few_images(srpipe: Srpipe, pictures: Path, tmp_path: Path, count: int) -> None:
    """Three images are no collection: exit 2, one sentence that says why there are no more, nothing written."""
    for number in range(count, 6):
        (pictures / f"{number}.png").write_bytes(b"?" * number)
    before = sorted(tmp_path.rglob("*"))
    code, out, err = srpipe("prior", "in", "-o", "new/p", *TINY)
    assert (code, out) == (2, "")
    (sentence,) = err.splitlines()
    assert sentence.startswith(f"srpipe: in: {count} images can be learned from, and a prior needs at least 4")
    assert sentence.count("no picture") + sentence.count("the file is empty") == 3
    assert sorted(tmp_path.rglob("*")) == before


def test_four_images_are_enough(srpipe: Srpipe, pictures: Path) -> None:
    """Four will do."""
    for number in (4, 5):
        (pictures / f"{number}.png").unlink()
    assert _result(srpipe("prior", "in", "-o", "p", "--json", *TINY))["images"] == 4


@pytest.mark.usefixtures("pictures")
def test_an_image_named_twice_counts_once(srpipe: Srpipe, tmp_path: Path, taught: list[dict[str, Any]]) -> None:
    """However often and however written, an image is learned from once."""
    names = ["in/0.png", "./in/0.png", f"{tmp_path}/in/0.png", *(f"in/{number}.png" for number in range(1, 5))]
    (tmp_path / "m.txt").write_text("\n".join(names))
    assert _result(srpipe("prior", "m.txt", "-o", "p", "--json", *TINY))["images"] == 5
    assert len(taught[0]["images"]) == 5


def _pixels(images: Sequence[torch.Tensor]) -> list[bytes]:
    return [image.numpy().tobytes() for image in images]


def test_a_draw_of_images(srpipe: Srpipe, pictures: Path, tmp_path: Path, taught: list[dict[str, Any]]) -> None:
    """--max-images draws by the seed, whatever the order of the manifest; what cannot be used makes room for others."""
    names = [f"in/{number}.png" for number in range(6)]
    (tmp_path / "m.txt").write_text("\n".join(names))
    (tmp_path / "r.txt").write_text("\n".join(reversed(names)))
    for manifest, seed in (("m.txt", 0), ("r.txt", 0), *(("m.txt", seed) for seed in range(1, 9))):
        options = ("--max-images", "4", "--seed", str(seed), "--json", *TINY)
        assert _result(srpipe("prior", manifest, "-o", "p", *options))["images"] == 4
    first, reordered, *others = [_pixels(call["images"]) for call in taught]
    assert first == reordered
    assert len(set(first)) == 4
    assert len({frozenset(images) for images in others}) > 1

    drawn = [Image.open(pictures / f"{number}.png") for number in range(6)]
    is_drawn = [(np.asarray(image, np.float32) / 255).transpose(2, 0, 1).tobytes() in first for image in drawn[1::2]]
    used = 1 + 2 * is_drawn.index(True)
    (pictures / f"{used}.png").write_bytes(b"?")
    result = _result(srpipe("prior", "m.txt", "-o", "p", "--max-images", "4", "--json", *TINY))
    assert result["images"] == 4
    assert [uri for uri, _ in result["left_out"]] == [str(pictures / f"{used}.png")]


def test_a_large_image_gives_one_window(srpipe: Srpipe, pictures: Path, taught: list[dict[str, Any]]) -> None:
    """Of a large image a window of at most 768 pixels a side is kept, drawn by the seed, and the rest is let go."""
    height, width = 1000, 900
    row, column = np.mgrid[:height, :width]
    place = np.stack([row // 4, column // 4, row % 4 * 4 + column % 4], -1).astype(np.uint8)
    Image.fromarray(place).save(pictures / "large.png")
    Image.fromarray(place[:, :20]).save(pictures / "long.png")
    corners = set()
    for seed in ("0", "0", "1"):
        srpipe("prior", "in", "-o", "p", *TINY, "--seed", seed)
        windows = [image for image in taught[-1]["images"] if max(image.shape) > 100]
        assert sorted(window.shape for window in windows) == [(3, 768, 20), (3, 768, 768)]
        for window in windows:
            assert window.untyped_storage().nbytes() == window.numel() * 4
            levels = (window * 255).round().int()
            top, left = (int(levels[axis, 0, 0]) * 4 for axis in (0, 1))
            top, left = top + int(levels[2, 0, 0]) // 4, left + int(levels[2, 0, 0]) % 4
            truth = place[top : top + 768, left : left + window.shape[-1]]
            assert np.array_equal(levels.permute(1, 2, 0).numpy(), truth)
            corners.add((window.shape[-1], top, left))
    assert len(corners) == 4


# ---- refused before anything is begun -------------------------------------------------------------------------------


REFUSED = {
    "no output": (("prior", "in"), "--output"),
    "missing manifest": (("prior", "nothing.csv", "-o", "p"), "nothing.csv"),
    "missing start": (("prior", "in", "-o", "p", "--from", "nothing"), "--from"),
    "a start that is none": (("prior", "in", "-o", "p", "--from", "in/0.png"), "--from"),
    "a start for another network": (("prior", "in", "-o", "p", "--from", "start"), "--from"),
    "the shipped prior for another network": (("prior", "in", "-o", "p", "--width", "8"), "--from none"),
    "output below a file": (("prior", "in", "-o", "in/0.png/p", *TINY), "in/0.png"),
    "output that is a folder": (("prior", "in", "-o", "in", *TINY), "in"),
    "unknown output scheme": (("prior", "in", "-o", "ftp://host/p", *TINY), "ftp"),
    "fewer images than will do": (("prior", "in", "-o", "p", *TINY, "--max-images", "3"), "--max-images"),
    "no steps": (("prior", "in", "-o", "p", "--steps", "0"), "--steps"),
    "no such GPU": (("prior", "in", "-o", "p", *TINY, "--device", "cuda"), "--device"),
}


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_in_one_sentence(
    srpipe: Srpipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_prior: MakePrior, case: str
) -> None:
    """What cannot be begun: exit 2 before any training, one line on stderr that names the thing, nothing written."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(pipeline.priors.training, "train", _no_training)
    (tmp_path / "start").write_bytes(make_prior())
    before = sorted(tmp_path.rglob("*"))
    arguments, named = REFUSED[case]
    code, out, err = srpipe(*arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("srpipe: ")
    assert named in err
    assert sorted(tmp_path.rglob("*")) == before


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


@pytest.mark.usefixtures("pictures")
def test_weights_that_came_to_nothing_are_not_written(
    srpipe: Srpipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a training ends in weights that are no numbers, or too large for the file, there is no file."""

    def exploded(_images: object, settings: Settings, *_: object) -> dict[int, dict[str, torch.Tensor]]:
        device = torch.device("cpu")
        network = build_network(settings.network, 1, settings.width, settings.depth, 0, device, torch.float32)
        return {1: {name: tensor + 1e6 for name, tensor in network.state_dict().items()}}

    monkeypatch.setattr(pipeline.priors.training, "train", exploded)
    code, out, err = srpipe("prior", "in", "-o", "p", *TINY)
    assert code != 0
    assert out == ""
    assert "--learning-rate" in err
    assert not (tmp_path / "p").exists()


# ---- while it goes --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("pictures")
def test_progress_is_told_on_stderr(srpipe: Srpipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where stderr is no terminal it gets a plain line every few seconds, for each network; stdout gets none."""
    monkeypatch.setattr(jobs.progress, "_LINE_SECONDS", 0.0)
    code, out, err = srpipe("prior", "in", "-o", "p", *TINY)
    assert (code, out.count("\n")) == (0, 1)
    lines = {line for line in err.splitlines() if "step" in line}
    assert lines == {f"network for {bands} bands: step {step}/3" for bands in (1, 3) for step in (1, 2, 3)}
    assert "━" not in err


@pytest.mark.parametrize(("signal_number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_training_can_be_stopped(pictures: Path, tmp_path: Path, signal_number: int, code: int) -> None:
    """A signal ends the training at once, with its exit code and no file."""
    program = "import jobs.progress, jobs.cli; jobs.progress._LINE_SECONDS = 0.1; jobs.cli.main()"
    arguments = ["prior", str(pictures), "-o", "p", *TINY, "--steps", "1000000"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        assert "step" in process.stderr.readline()
        process.send_signal(signal_number)
        sent = time.monotonic()
        while process.poll() is None and time.monotonic() - sent < 10:
            time.sleep(0.05)
        assert process.poll() == code
    finally:
        process.kill()
        process.communicate()
    assert not (tmp_path / "p").exists()


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


def test_the_file_may_lie_on_s3(s3_bucket: str, srpipe: Srpipe, pictures: Path) -> None:
    """Images, output and start may all be objects."""
    for path in pictures.iterdir():
        storage.write(f"{s3_bucket}/in/{path.name}", path.read_bytes())
    here = _result(srpipe("prior", "in", "-o", "p", "--json", *TINY))
    there = _result(srpipe("prior", f"{s3_bucket}/in", "-o", f"{s3_bucket}/priors/p", "--json", *TINY))
    assert there == {**here, "output": f"{s3_bucket}/priors/p"}
    assert storage.read(f"{s3_bucket}/priors/p") == (pictures.parent / "p").read_bytes()
    assert list(storage.find(f"{s3_bucket}/priors")) == [f"{s3_bucket}/priors/p"]
    again = _result(srpipe("prior", "in", "-o", "q", "--json", *SMALL, "--from", f"{s3_bucket}/priors/p"))
    assert again["sha256"] != here["sha256"]
