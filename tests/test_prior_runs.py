"""What the fits of a run start from: a prior of the user's, the shipped one, or none."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipeline.driver.run import run
from pipeline.output.layout import list_commits
from pipeline.priors.prior_file import read_prior
from sr_ops.settings import FitSettings, Method, Network, Settings

from .fixture_types import MakeConfig, MakePrior, ReadRecords, ReadTiles
from .results import numbers

pytestmark = pytest.mark.usefixtures("images")


def test_prior_is_recorded(
    tmp_path: Path, out: Path, tiny_config: MakeConfig, observer: Any, read_records: ReadRecords, make_prior: MakePrior
) -> None:
    """Every record names the prior by its sha256 and which of its networks was used; run.json also says which file."""
    (tmp_path / "p").write_bytes(make_prior())
    sha256 = hashlib.sha256(make_prior()).hexdigest()
    assert numbers(run(tiny_config(prior_name=str(tmp_path / "p")), observer)) == (3, 3, 0, 0, 0)
    rows = read_records(str(out))
    assert {key: (row["prior"], row["prior_bands"]) for key, row in rows.items()} == {
        "a.png": (sha256, 3),
        "b.png": (sha256, 1),
        "sub/c.png": (sha256, 3),
    }
    held = json.loads((out / "run.json").read_bytes())
    assert (held["config"]["prior_name"], held["config"]["settings"]["prior"]) == (str(tmp_path / "p"), sha256)
    settings = replace(tiny_config(prior_name="p").settings, prior=sha256)
    wanted = tiny_config(settings=settings).fingerprint()
    assert held["config_fingerprint"] == wanted == rows["a.png"]["config_fingerprint"]


def test_prior_of_one_band(
    tmp_path: Path, out: Path, tiny_config: MakeConfig, observer: Any, read_records: ReadRecords, make_prior: MakePrior
) -> None:
    """A prior without a network for colour serves colour band by band, and the record says so."""
    (tmp_path / "p").write_bytes(make_prior(bands=(1,)))
    assert numbers(run(tiny_config(prior_name=str(tmp_path / "p")), observer)) == (3, 3, 0, 0, 0)
    rows = read_records(str(out))
    assert {(row["status"], row["prior_bands"], row["method_used"]) for row in rows.values()} == {("done", 1, "zssr")}
    assert {row["bands"] for row in rows.values()} == {1, 3}


def test_another_prior_is_other_work(
    tmp_path: Path, out: Path, tiny_config: MakeConfig, observer: Any, read_tiles: ReadTiles, make_prior: MakePrior
) -> None:
    """Other weights, or none, do all again with other pixels; the first file, wherever it is put, gives the first's."""
    for name, seed in {"p": 0, "q": 1, "elsewhere/copy of p": 0}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(make_prior(seed=seed))
    pixels = {}
    for prior in ("p", "q", "none"):
        choice = prior if prior == "none" else str(tmp_path / prior)
        assert numbers(run(tiny_config(prior_name=choice), observer)) == (3, 3, 0, 0, 0)
        assert [len(commits) for commits in list_commits(str(out)).values()] == [1, 1, 1]
        pixels[prior] = read_tiles(str(out))
    for one, other in (("p", "q"), ("q", "none"), ("p", "none")):
        changed = {name for name in pixels[one] if pixels[one][name] != pixels[other][name]}
        assert {name.rpartition("/")[0] for name in changed} == {"a.png", "b.png", "sub/c.png"}
    assert numbers(run(tiny_config(prior_name=str(tmp_path / "p")), observer)) == (3, 3, 0, 0, 0)
    assert read_tiles(str(out)) == pixels["p"]
    os.rename(tmp_path / "p", tmp_path / "p.old")
    assert numbers(run(tiny_config(prior_name=str(tmp_path / "elsewhere/copy of p")), observer)) == (3, 0, 3, 0, 0)


def test_shipped_prior_is_not_none(tiny_config: MakeConfig, observer: Any, read_tiles: ReadTiles, out: Path) -> None:
    """The prior that comes with srpipe is used when it is named, and changes the pixels."""
    settings = Settings(scale=2, method=Method.ZSSR, fit=FitSettings(steps=0), ensemble=False)
    direct = replace(settings, network=Network.DIRECT)
    run(tiny_config(settings=direct, prior_name="shipped", limit=1), observer)
    first = read_tiles(str(out))
    assert numbers(run(tiny_config(settings=settings, prior_name="none", limit=1), observer)) == (3, 1, 0, 0, 2)
    assert read_tiles(str(out)) != first
    shipped = read_prior("shipped")
    assert shipped is not None
    assert [record.prior for record in observer.records] == [shipped.sha256, "none"]


def test_planning_with_a_prior_loads_no_torch(tmp_path: Path) -> None:
    """A run with the default settings and prior reads and checks the prior, and loads torch only for work."""
    (tmp_path / "m.csv").write_text("uri,scale\na.png,9\n")
    program = """if True:
        import sys
        from pipeline.config import RunConfig
        from pipeline.driver.observer import Observer
        from pipeline.driver.run import run
        from sr_ops.settings import Preset, preset

        class Nobody(Observer):
            pass

        settings = preset(Preset.BALANCED, from_prior=True)
        config = RunConfig(manifest="m.csv", output=sys.argv[1], settings=settings, prior_name="shipped")
        assert run(config, Nobody()).failed == 1
        print({"ray", "torch"} & set(sys.modules), "safetensors" in sys.modules)
    """
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-c", program, str(tmp_path / "out")]
    ended = subprocess.run(command, capture_output=True, check=False, cwd=tmp_path, env=environment)
    assert (ended.stdout, ended.stderr) == (b"set() True\n", b"")


def test_the_size_of_networks_is_the_priors(
    tmp_path: Path, out: Path, tiny_config: MakeConfig, observer: Any, make_prior: MakePrior
) -> None:
    """Whatever settings say: so it stands in run.json, and fingerprints go by it."""
    (tmp_path / "p").write_bytes(make_prior(width=6, depth=4))
    config = tiny_config(prior_name=str(tmp_path / "p"), limit=1)
    assert numbers(run(config, observer)) == (3, 1, 0, 0, 2)
    held = json.loads((out / "run.json").read_bytes())["config"]["settings"]
    assert (held["width"], held["depth"]) == (6, 4)


def test_auto_is_bicubic_for_a_flat_image(
    tmp_path: Path, out: Path, tiny_config: MakeConfig, observer: Any, read_records: ReadRecords
) -> None:
    """Under auto each record says which method its image got; a flat one is done, and is a success."""
    Image.new("L", (40, 40), 77).save(tmp_path / "flat.png")
    (tmp_path / "m.csv").write_text("uri\nflat.png\nsub/c.png\n")
    settings = replace(tiny_config().settings, method=Method.AUTO)
    assert numbers(run(tiny_config(settings=settings), observer)) == (2, 2, 0, 0, 0)
    assert {(row["status"], row["method_used"], row["steps_used"]) for row in read_records(str(out)).values()} == {
        ("done", "bicubic", 0)
    }
    assert (out / "_SUCCESS").exists()
    settings = replace(settings, method=Method.ZSSR)
    assert numbers(run(tiny_config(settings=settings), observer)) == (2, 2, 0, 0, 0)
    assert {row["method_used"] for row in read_records(str(out)).values()} == {"zssr"}
