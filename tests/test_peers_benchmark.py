"""The benchmark beside others: whom it compares, and what it makes of figures. No peer is installed here."""

import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from benchmarks import peers, quality
from benchmarks.peers import Figures
from benchmarks.pictures import decode, encode_png
from benchmarks.quality import Case
from jobs.sample_pictures import satellite_view
from sr_ops.image.resample import downscale
from sr_ops.measures.metrics import psnr_y

ENLARGES = """
import json, sys
from pathlib import Path
from PIL import Image
_, scale, out, *pictures = sys.argv[1:]
for path in map(Path, pictures):
    with Image.open(path) as image:
        image.resize((int(scale) * image.width, int(scale) * image.height), Image.NEAREST).save(Path(out) / path.name)
print(json.dumps({Path(path).name: 1.5 for path in pictures}))
"""
"""A peer that takes this environment."""


@pytest.fixture
def cases(tmp_path: Path) -> list[Case]:
    """Two pictures of 50 x 49, which x2 does not divide, and their LR images."""
    made = []
    for name, axes in (("view", (2, 0, 1)), ("turned", (2, 1, 0))):
        levels = torch.from_numpy(satellite_view(64)).permute(axes)[:, :50, :49]
        files = tmp_path / f"{name}.png", tmp_path / f"{name}x2.png"
        for file, pixels in zip(files, (levels, downscale(levels[..., :48].contiguous(), 2)), strict=True):
            file.write_bytes(encode_png(pixels))
        made.append(Case("set5", 2, name, files[1], files[0]))
    return made


def test_a_peer_is_scored_by_the_same_protocol(
    cases: list[Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On luma of what its process wrote, against the truth cut to whole LR pixels; seconds are what it says."""
    script = tmp_path / "benchmarks" / "peer_enlarging.py"
    script.parent.mkdir()
    script.write_text(ENLARGES)
    monkeypatch.setattr(peers, "__file__", str(script.with_name("peers.py")))
    monkeypatch.setattr(peers, "KEPT", tmp_path / "kept")
    of = peers.theirs("dat-light", cases, Path(sys.executable))
    expected = []
    for case in cases:
        grown = decode(case.lr.read_bytes()).repeat_interleave(2, 1).repeat_interleave(2, 2)
        expected.append(psnr_y(grown, decode(case.hr.read_bytes())[:, :50, :48], 2))
    assert of.psnr == pytest.approx(sum(expected) / 2)
    assert of.seconds == 1.5
    assert of.per_megapixel == pytest.approx(2 * 1.5 / (2 * 50 * 48 / 1e6))


def test_ours_are_scored_by_whole_runs(cases: list[Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each image in one thread; a preset does better than repeating pixels."""
    monkeypatch.setattr(quality, "OUT", tmp_path)
    monkeypatch.setattr(peers, "KEPT", tmp_path / "peers")
    of = peers.ours(peers.Preset.FAST, cases)
    records = pq.read_table(tmp_path / "peers/set5-x2-fast/manifest.parquet")
    assert records["threads"].to_pylist() == [1, 1]
    assert of.psnr > 25
    assert 0 < of.seconds < 60


def test_the_aim_is_in_db_and_in_seconds() -> None:
    """Reached by what is both near enough and fast enough, to the second digit of a dB."""
    peer = Figures(32.5, 20.0, 100.0)
    others = {"DAT-light": peer, "fast": Figures(31.8, 1.0, 5.0), "balanced": Figures(32.0, 5.0, 25.0)}
    figures = others | {"best": Figures(32.4, 6.0, 30.0)}
    assert peers.standing(figures) == "The default preset is at -0.50 dB of DAT-light, in 0.25 of its seconds."
    assert peers.reach_the_aim(figures) == ["balanced"]
    assert peers.reach_the_aim(others | {"balanced": Figures(31.99, 5.0, 25.0)}) == []


def test_figures_are_kept_for_the_plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they were; of a part that was not measured there are none."""
    monkeypatch.setattr(peers, "KEPT", tmp_path)
    figures = {"fast": Figures(31.8, 1.0, 5.0), "DAT-light": Figures(32.5, 20.0, 100.0)}
    peers.keep("set5-x4", figures)
    assert peers.kept("set5-x4") == figures
    assert peers.kept("set5-x3") == {}
