"""What the main job promises besides PSNR, each shown by doing it."""

import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

from jobs.sample_pictures import satellite_view
from pipeline import load_prior
from pipeline.imagery.scored import from_levels, read_levels, to_levels
from pipeline.output.results import stitch
from sr_ops.enlarging.enlarge import enlarge, enlarge_tiled
from sr_ops.enlarging.model import degradation_of, no_phase
from sr_ops.image.domain import UNIT
from sr_ops.image.resample import downscale
from sr_ops.learning.learn import fit_stages
from sr_ops.learning.observation import Observation
from sr_ops.settings import Preset, preset

from .srpipe_process import COMMAND, srpipe, write_manifest

SET5 = ("baby", "bird", "butterfly", "head", "woman")


@dataclass(frozen=True)
class Promise:
    """One promise with what was measured."""

    name: str
    measured: str
    asked: str
    kept: bool

    def row(self) -> list[str]:
        return [self.name, self.measured, self.asked, "kept" if self.kept else "**broken**"]


def check_all(data: Path, out: Path) -> list[Promise]:
    """Every promise in turn; `out` already holds the quality run."""
    checks: list[Callable[[], Promise]] = [
        lambda: matlab_exact(data),
        lambda: consistency(data, out),
        lambda: tiled_equals_untiled(data),
        lambda: order_free(data, out),
        lambda: broken_among_many(out),
        lambda: nothing_to_do(out),
        help_is_quick,
        lambda: large_scene(out),
    ]
    promises = []
    for check in checks:
        promises.append(check())
        print(" | ".join(promises[-1].row()), file=sys.stderr, flush=True)
    return promises


def matlab_exact(data: Path) -> Promise:
    """`downscale` of the HR images against MATLAB's LR files."""
    equal = 0
    for scale in (2, 3, 4):
        for name in SET5:
            lr = _levels(data / f"set5/LR_bicubic/X{scale}/{name}x{scale}.png")
            hr = _levels(data / f"set5/{name}.png")[:, : lr.shape[1] * scale, : lr.shape[2] * scale]
            equal += torch.equal(downscale(hr, scale), lr)
    return Promise("`downscale` gives MATLAB's Set5 LR files bit for bit", f"{equal} of 15", "15", equal == 15)


def consistency(data: Path, out: Path) -> Promise:
    """downscale(written PNG) against the LR file, all Set5 images and scales."""
    means, largest = [], []
    for scale in (2, 3, 4):
        for name in SET5:
            lr = _levels(data / f"set5/LR_bicubic/X{scale}/{name}x{scale}.png").double()
            sr = stitch(str((out / f"default/tiles/set5/x{scale}/{name}").resolve())).double()
            error = (downscale(sr, scale) - lr).abs()
            means.append(float(error.mean()))
            largest.append(float(error[(lr >= 2) & (lr <= 253)].max()))
    measured = f"mean at most {max(means):.3f}, largest {max(largest):.2f}"
    kept = max(means) <= 0.15 and max(largest) <= 1.5
    return Promise("consistency after 8-bit rounding, grey levels, Set5 x2-x4", measured, "0.15; 1.5", kept)


def tiled_equals_untiled(data: Path) -> Promise:
    """One fit, enlarged whole and in tiles, ensemble and back-projection on, odd sides, one and two threads."""
    lr = from_levels(read_levels(str((data / "set5/LR_bicubic/X2/babyx2.png").resolve())))[:, :151, :137]
    prior = load_prior()
    before, after = 0.0, 0.0
    for threads, scale in itertools.product((1, 2), (2, 3, 4)):
        torch.set_num_threads(threads)
        settings = replace(preset(Preset.BALANCED, from_prior=True), scale=scale).with_body(prior.largest)
        model = fit_stages(Observation(lr, degradation_of(settings)), settings, prior).model
        whole = enlarge(lr, model, settings)
        for tile_size in (48, 64, 100):
            tiled = enlarge_tiled(lr, model, replace(settings, tile_size=tile_size), no_phase, UNIT)
            before = max(before, float((tiled - whole).abs().max()))
            after = max(after, float((to_levels(tiled) - to_levels(whole)).abs().max()))
    measured = f"{before:.1e} of the range before rounding, {after:.0f} grey levels after"
    name = "tiled equals untiled: 151 x 137, tiles of 48, 64, 100, x2-x4, 1 and 2 threads"
    return Promise(name, measured, "1e-4; 1", before <= 1e-4 and after <= 1)


def order_free(data: Path, out: Path) -> Promise:
    """The same images in other orders, packs and numbers of workers, and once more."""
    files = sorted((data / "set5/LR_bicubic/X4").glob("*.png")) + sorted((data / "set5/LR_bicubic/X3").glob("*.png"))
    hashes = [
        _hashes(out / "order-a", files, "--workers", "1"),
        _hashes(out / "order-b", files[::-1], "--workers", "2"),
        _hashes(out / "order-b", files[::-1], "--workers", "2"),
        _hashes(out / "order-c", files[::3], "--executor", "inline"),
    ]
    equal = all(hashes[0][key] == value for other in hashes[1:] for key, value in other.items())
    measured = f"{len(hashes[0])} images, 4 runs: {'all equal' if equal else 'different'}"
    name = "same pixels whatever the order, the neighbours, the workers (1, 2, inline), and again"
    return Promise(name, measured, "bit-equal", equal)


def broken_among_many(out: Path) -> Promise:
    """500 small images, three of them broken."""
    folder = out / "many"
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    scene = satellite_view(512)
    for number in range(500):
        top, left = rng.integers(0, 512 - 48, 2)
        Image.fromarray(scene[top : top + 48, left : left + 48]).save(folder / f"{number:03d}.png")
    (folder / "100.png").write_bytes((folder / "101.png").read_bytes()[:900])
    (folder / "200.png").write_text("not an image")
    names = [f"{number:03d}.png" for number in range(500)]
    names[300] = "gone.png"
    manifest = _manifest(out / "many.csv", [folder / name for name in names])
    started = time.monotonic()
    done = _run(manifest, out / "many-x2", "-s", "2", "--steps", "10", "--existing", "overwrite", "--json")
    seconds = time.monotonic() - started
    summary = json.loads(done.stdout)
    records = pq.read_table(out / "many-x2/manifest.parquet").to_pylist()
    failed = [record for record in records if record["status"] == "failed"]
    told = {record["error_type"] for record in failed} == {"missing", "corrupt"} and all(
        ";" in record["error_message"] for record in failed
    )
    kept = (done.returncode, summary["done"], len(failed), len(records)) == (3, 497, 3, 500) and told
    measured = f"exit {done.returncode}, {summary['done']} done, {len(failed)} failed, {seconds:.0f} s"
    return Promise("500 images of which 3 are broken, 10 steps", measured, "exit 3, 497, 3", kept)


def nothing_to_do(out: Path) -> Promise:
    """The same run once more, watching what is imported."""
    options, watching = (*_FEW_STEPS, "--workers", "1"), {"PYTHONPROFILEIMPORTTIME": "1"}
    started = time.monotonic()
    done = srpipe("run", out / "order-a.csv", "-o", out / "order-a", *options, changes=watching)
    seconds = time.monotonic() - started
    loaded = {line.rpartition("|")[2].strip() for line in done.err.splitlines() if line.startswith("import time:")}
    kept = done.code == 0 and "already done" in done.out and not loaded & {"ray", "torch"}
    measured = f"{seconds:.1f} s, Ray {'loaded' if 'ray' in loaded else 'not loaded'}"
    return Promise("a second run with nothing to do does not start Ray", measured, "Ray not loaded", kept)


def help_is_quick() -> Promise:
    """Whole-process time of the installed command, median of nine."""
    installed = Path(sys.executable).parent / "srpipe"
    times = []
    for _ in range(9):
        started = time.monotonic()
        subprocess.run([installed, "--help"], check=True, capture_output=True)
        times.append(time.monotonic() - started)
    median = statistics.median(times)
    return Promise("`srpipe --help`, median of 9", f"{median:.2f} s", "under 0.5 s", median < 0.5)


def large_scene(out: Path) -> Promise:
    """One 4096 x 4096 image at x2 in tiles, a few steps."""
    quarter = satellite_view(2048)
    half = np.concatenate([quarter, quarter[:, ::-1]], 1)
    Image.fromarray(np.concatenate([half, half[::-1]], 0)).save(out / "large.png", compress_level=1)
    manifest = _manifest(out / "large.csv", [out / "large.png"])
    options = ("-s", "2", "--preset", "fast", "--threads-per-worker", "2", "--existing", "overwrite")
    _run(manifest, out / "large-x2", *options).check_returncode()
    (record,) = pq.read_table(out / "large-x2/manifest.parquet").to_pylist()
    measured = f"{record['peak_memory_bytes'] / 2**30:.1f} GiB, {record['tiles']} tiles, {record['total_s']:.0f} s"
    name = "peak memory of the worker, one 4096 x 4096 image at x2, preset `fast`, 2 threads"
    return Promise(name, measured, "stated", record["status"] == "done")


_FEW_STEPS = ("-s", "2", "--steps", "50")


def _hashes(output: Path, files: list[Path], *options: str) -> dict[str, str]:
    manifest = _manifest(output.with_suffix(".csv"), files)
    _run(manifest, output, *_FEW_STEPS, *options, "--existing", "overwrite").check_returncode()
    table = pq.read_table(output / "manifest.parquet")
    return dict(zip(table["key"].to_pylist(), table["output_sha256"].to_pylist(), strict=True))


def _run(manifest: Path, output: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*COMMAND, "run", manifest, "-o", output, *options], stdout=subprocess.PIPE, text=True)


def _manifest(path: Path, files: list[Path]) -> Path:
    return write_manifest(path, ["uri"], ([file.resolve()] for file in files))


def _levels(path: Path) -> Tensor:
    return read_levels(str(path.resolve()))
