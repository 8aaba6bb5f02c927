"""Kernels and noise that a user gives: from command line and manifest to settings, fingerprint and record."""

import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image

from pipeline import storage
from pipeline.config import RunConfig, check_kernel, takes_kernel
from pipeline.driver.held import Held
from pipeline.driver.plan import make_plan
from pipeline.driver.retry import failed_work
from pipeline.driver.run import run
from pipeline.errors import UsageError
from pipeline.imagery.kernel_files import to_text
from pipeline.manifest.manifest import read_manifest
from pipeline.manifest.training_images import read_training_images
from pipeline.option_values import names_kernel_file, parse_kernel, parse_noise
from pipeline.quality import Quality
from pipeline.storage import patience
from sr_ops.camera.kernel_spec import described
from sr_ops.settings import Method, Network, Preset, Settings

from .fixture_types import MakeConfig, MakePng, ReadRecords, Refusal, Srpipe

MEAN = np.full((3, 3), 1 / 9)
CROSS = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 8

BICUBIC = ("--method", "bicubic", "-s", "2", "--executor", "inline")


@pytest.fixture
def any_kernel(tiny_config: MakeConfig) -> MakeConfig:
    """`tiny_config` by the method that takes any kernel."""

    def make(**changes: Any) -> RunConfig:
        config = tiny_config(**changes)
        return replace(config, settings=replace(config.settings, method=Method.BICUBIC))

    return make


@pytest.fixture
def kernels(tmp_path: Path, images: dict[str, np.ndarray]) -> Path:
    """Beside `images` a folder with two kernels, one of them in two files."""
    assert len(images) == 3
    folder = tmp_path / "kernels"
    folder.mkdir()
    np.save(folder / "mean.npy", MEAN)
    np.savetxt(folder / "Same.CSV", MEAN, delimiter=",")
    np.save(folder / "cross.npy", CROSS)
    return folder


# ---- fingerprint and resume ------------------------------------------------------------------------------------------


def test_the_fingerprint_goes_by_the_kernel_not_by_its_file(
    kernels: Path, any_kernel: MakeConfig, observer: Any, read_records: ReadRecords, tmp_path: Path
) -> None:
    """The same taps under another name are done already; other taps under the same name are not."""
    first = any_kernel(kernel_file=str(kernels / "mean.npy"))
    assert run(first, observer).done == 3
    (before,) = {row["config_fingerprint"] for row in read_records(first.output).values()}
    assert run(replace(first, kernel_file=str(kernels / "Same.CSV")), observer).already_done == 3
    np.save(kernels / "mean.npy", CROSS)
    assert run(first, observer).done == 3
    records = read_records(first.output).values()
    assert {row["kernel"] for row in records} == {described(to_text(CROSS))}
    assert before not in {row["config_fingerprint"] for row in records}
    assert json.loads((tmp_path / "out/run.json").read_text())["config"]["kernel_file"] == str(kernels / "mean.npy")


def test_a_row_is_done_anew_when_its_kernel_changes(
    kernels: Path, any_kernel: MakeConfig, observer: Any, read_records: ReadRecords, tmp_path: Path
) -> None:
    """It, and no other: be it the cell or what is in its file; equal kernels written otherwise are the same."""
    rows = "uri,kernel\na.png,kernels/mean.npy\nb.png,kernels/cross.npy\nsub/c.png,{}\n"
    config = any_kernel()

    def done(third: str) -> set[str]:
        (tmp_path / "m.csv").write_text(rows.format(third))
        observer.records.clear()
        assert run(config, observer).failed == 0
        return {record.key for record in observer.records}

    assert done("Gaussian:1.40") == {"a.png", "b.png", "sub/c.png"}
    assert done("gaussian:1.4") == set()
    assert done("gaussian:1.5") == {"sub/c.png"}
    np.save(kernels / "mean.npy", np.array([[0, 0, 0], [0, 1, 1], [0, 0, 0]]) / 2)
    assert done("gaussian:1.5") == {"a.png"}
    (kernels / "cross.npy").rename(kernels / "other.npy")
    (tmp_path / "m.csv").write_text(rows.replace("cross", "other").format("gaussian:1.5"))
    assert run(config, observer).already_done == 3
    assert read_records(config.output)["sub/c.png"]["kernel"] == "gaussian:1.5"


@pytest.mark.usefixtures("images")
def test_a_row_is_done_anew_when_its_noise_changes(
    any_kernel: MakeConfig, observer: Any, tmp_path: Path, read_records: ReadRecords
) -> None:
    """An empty cell is the run's; numbers that are equal are the same."""
    fingerprints = []
    for cells in (("", "2.5"), ("auto", "2.50"), ("0", "25e-1"), ("-0.0", "auto")):
        (tmp_path / "m.csv").write_text("uri,noise\na.png,{}\nb.png,{}\n".format(*cells))
        assert run(any_kernel(), observer).failed == 0
        records = read_records(str(tmp_path / "out"))
        fingerprints.append([records[key]["config_fingerprint"] for key in ("a.png", "b.png")])
    (auto, told), (same, still), (none, again), (also_none, other) = fingerprints
    assert (auto, told, none) == (same, still, also_none)
    assert len({auto, told, none}) == 3
    assert (again, other) == (told, auto)


def test_records_tell_the_kernel(
    kernels: Path, any_kernel: MakeConfig, observer: Any, read_records: ReadRecords, tmp_path: Path
) -> None:
    """Of rows that failed or were left, too; an empty cell is the run's; a file is told by its taps."""
    (tmp_path / "m.csv").write_text(
        "uri,kernel,site\na.png,,x\nb.png,MTF:.30,y\nsub/c.png,kernels/mean.npy,z\ngone.png,box,\nleft.png,lanczos,\n"
    )
    run(any_kernel(kernel_file=str(kernels / "Same.CSV"), limit=4), observer)
    records = read_records(str(tmp_path / "out"))
    told = {key: row["kernel"] for key, row in records.items()}
    mean = "file, 3 x 3, sha256 8a6ecd511b6d"
    assert told == {"a.png": mean, "b.png": "mtf:0.3", "sub/c.png": mean, "gone.png": "box", "left.png": "lanczos"}
    assert records["b.png"]["site"] == "y"


# ---- where files are -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("kernels")
def test_a_file_is_relative_to_its_manifest_or_to_the_folder_of_the_command(
    srpipe: Srpipe, read_records: ReadRecords, tmp_path: Path
) -> None:
    """A cell to the one, an option or a key of a job file to the other."""
    (tmp_path / "sub/m.csv").write_text("uri,id,kernel\nc.png,c,../kernels/cross.npy\n../a.png,a,\n")
    cross, mean = (described(to_text(table)) for table in (CROSS, MEAN))
    assert srpipe("run", "sub/m.csv", "-o", "out", *BICUBIC, "--kernel", "kernels/Same.CSV")[0] == 0
    assert {row["kernel"] for row in read_records("out").values()} == {cross, mean}
    (tmp_path / "job.toml").write_text('kernel = "kernels/cross.npy"\nnoise = 2\n')
    assert srpipe("run", "sub/m.csv", "-o", "other", *BICUBIC, "--config", "job.toml")[0] == 0
    assert {row["kernel"] for row in read_records("other").values()} == {cross}
    held = json.loads((tmp_path / "other/run.json").read_text())["config"]
    assert held["kernel_file"] == str(tmp_path / "kernels/cross.npy")
    assert (held["settings"]["kernel"], held["settings"]["noise"]) == (to_text(CROSS), "2.0")


def test_kernels_on_s3(
    kernels: Path, s3_bucket: str, any_kernel: MakeConfig, observer: Any, read_records: ReadRecords, tmp_path: Path
) -> None:
    """Relative to a manifest there, and named whole; the work is that of the same kernels here."""
    table = b"uri,kernel\na.png,kernels/mean.npy\nb.png,kernels/gone.npy\nsub/c.png,\n"
    for name in ("a.png", "b.png", "sub/c.png", "kernels/mean.npy", "kernels/cross.npy"):
        storage.write(f"{s3_bucket}/in/{name}", (tmp_path / name).read_bytes())
    storage.write(f"{s3_bucket}/in/m.csv", table)
    (tmp_path / "m.csv").write_bytes(table)
    there = any_kernel(manifest=f"{s3_bucket}/in/m.csv", kernel_file=f"{s3_bucket}/in/kernels/cross.npy")
    here = any_kernel(kernel_file=str(kernels / "cross.npy"), output=str(tmp_path / "here"))
    for config in (there, here):
        assert run(config, observer).errors == {"bad_row": 1}
    records = read_records(there.output)
    for key, row in read_records(here.output).items():
        assert records[key]["config_fingerprint"] == row["config_fingerprint"]
    assert f"kernel: nothing is at {s3_bucket}/in/kernels/gone.npy; correct the name" in records[3]["error_message"]
    for missing in (f"{s3_bucket}/k.npy", "s3://no-such-bucket/k.npy"):
        assert _refusal(any_kernel(kernel_file=missing), observer) == (
            f"--kernel: nothing is at {missing}; correct the name, or name a kernel"
        )


def _refusal(config: RunConfig, observer: Any) -> str:
    with pytest.raises(UsageError) as refused:
        run(config, observer)
    return str(refused.value)


@pytest.mark.parametrize("passes", [True, False])
def test_each_file_is_read_once_and_patiently(
    kernels: Path, any_kernel: MakeConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, passes: bool
) -> None:
    """However many rows name it; trouble that may pass is waited for, what stays is the failure of its rows."""
    monkeypatch.setattr(patience, "FIRST_WAIT", 0.0)
    read, asked = storage.read, []

    def stumbling(uri: str) -> bytes:
        asked.append(uri)
        if uri.endswith("cross.npy") and (asked.count(uri) < 3 or not passes):
            raise OSError(errno.ETIMEDOUT, "the disk sleeps")
        return read(uri)

    rows = "".join(f"{n}.png,kernels/{'mean' if n % 2 else 'cross'}.npy\n" for n in range(100))
    (tmp_path / "m.csv").write_text(f"uri,kernel\n{rows}")
    config = any_kernel(retries=2)
    manifest = read_manifest(config.manifest)
    monkeypatch.setattr(storage, "read", stumbling)
    plan = make_plan(config, manifest, "", Held())
    assert (asked.count(str(kernels / "mean.npy")), len(asked)) == (1, 4)
    assert {row.kernel for unit in plan.units for row in unit} == {to_text(MEAN), *([to_text(CROSS)] if passes else [])}
    assert len(plan.rejected) == (0 if passes else 50)
    assert all("cross.npy: the disk sleeps; check access" in row.message for row in plan.rejected)


def test_a_large_file_is_not_fetched(tmp_path: Path, any_kernel: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scene named by mistake is refused by its size."""
    with (tmp_path / "scene.tif").open("wb") as file:
        file.truncate(1 << 40)
    (tmp_path / "m.csv").write_text("uri,kernel\na.png,scene.tif\n")
    config = any_kernel()
    manifest = read_manifest(config.manifest)
    monkeypatch.setattr(storage, "read", pytest.fail)
    (rejected,) = make_plan(config, manifest, "", Held()).rejected
    assert rejected.message.endswith("scene.tif has 1099511627776 bytes; a kernel has at most 1048576")


def test_planning_reads_kernels_without_torch(kernels: Path, tmp_path: Path) -> None:
    """Of the command line and of rows, of every kind of file; nothing is left to do."""
    profile = {"driver": "GTiff", "height": 3, "width": 3, "count": 1, "dtype": "float64"}
    with (
        pytest.warns(rasterio.errors.NotGeoreferencedWarning),
        rasterio.open(kernels / "k.tif", "w", **profile) as file,
    ):
        file.write(CROSS[None])
    (tmp_path / "m.csv").write_text(
        "uri,scale,kernel\na.png,9,\na.png,2,kernels/no.npy\na.png,2,kernels/Same.CSV\na.png,2,kernels/k.tif\n"
    )
    program = """if True:
        import sys
        from pipeline.manifest.kernel_cells import KernelCells
        from pipeline.manifest.manifest import read_manifest
        from pipeline.storage.patience import Patience
        manifest = read_manifest("m.csv")
        kernels = KernelCells((cells.kernel for cells in manifest.rows), manifest.folder, Patience(0))
        print(kernels.text("kernels/k.tif"), kernels.text("kernels/Same.CSV"))
        from jobs.cli import main
        sys.argv = "srpipe run m.csv --limit 1 -o out --kernel kernels/k.tif --method bicubic".split()
        try:
            main()
        except SystemExit as ended:
            print(ended.code, {"ray", "torch"} & set(sys.modules))
    """
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=False, cwd=tmp_path, env=environment, text=True
    )
    lines = ended.stdout.splitlines()
    assert lines[0].split() == [to_text(CROSS), to_text(MEAN)]
    assert lines[-1] == "3 set()"


# ---- retry, other commands -------------------------------------------------------------------------------------------


def test_retry_keeps_the_kernel_of_the_run(
    kernels: Path, any_kernel: MakeConfig, observer: Any, read_records: ReadRecords, tmp_path: Path
) -> None:
    """What --kernel named may be gone; rows go by the manifest and the files it names, as they are now."""
    (tmp_path / "m.csv").write_text("uri,kernel\nlate.png,\nlater.png,kernels/cross.npy\na.png,kernels/cross.npy\n")
    config = any_kernel(kernel_file=str(kernels / "mean.npy"))
    assert run(config, observer).errors == {"missing": 2}
    (kernels / "mean.npy").unlink()
    np.save(kernels / "cross.npy", MEAN)
    for name in ("late", "later"):
        (tmp_path / f"{name}.png").write_bytes((tmp_path / "b.png").read_bytes())
    for held_back in ("later.png", "none"):  # the second time of a run that was itself a retry
        again, keys = failed_work(config.output, [])
        summary = run(again, observer, keys - {held_back})
        assert (summary.done, summary.failed) == (1, 0)
    records = read_records(config.output)
    mean, cross = described(to_text(MEAN)), described(to_text(CROSS))
    assert {key: row["kernel"] for key, row in records.items()} == {"late.png": mean, "later.png": mean, "a.png": cross}


def test_rows_of_one_key_with_two_kernels_are_told(kernels: Path, any_kernel: MakeConfig, tmp_path: Path) -> None:
    """They ask for different work; with the same kernel under two names, for the same."""
    assert kernels.is_dir()
    config = any_kernel()
    for cells, rejected in (
        (("box", "lanczos"), 2),
        (("kernels/mean.npy", "kernels/Same.CSV"), 0),
        (("", "bicubic"), 0),
    ):
        (tmp_path / "m.csv").write_text("uri,kernel\na.png,{}\na.png,{}\n".format(*cells))
        plan = make_plan(config, read_manifest(config.manifest), "", Held())
        assert len(plan.rejected) == rejected
        assert all("ask for different work" in row.message for row in plan.rejected)


def test_a_prior_learns_whatever_the_kernel_says(tmp_path: Path) -> None:
    """Images of a manifest are LR images to it, whose kernels it does not ask for."""
    (tmp_path / "m.csv").write_text("uri,kernel,noise\na.png,gaussian:1.4,2\nb.png,gone.npy,x\n")
    assert read_training_images(str(tmp_path / "m.csv")).left_out == ()


# ---- what is not a kernel, and what cannot use one -------------------------------------------------------------------

BAD_CELLS = {
    "foo": "'foo' is not a kernel; use bicubic, box, bilinear, lanczos, gaussian:SIGMA",
    "1.4": "'1.4' is not a kernel; use bicubic",
    "mtf:0": "'mtf:0': 0 is not a transfer; it is above 0 and below 1",
    "mtf:1.2": "1.2 is not a transfer",
    "gaussian:1,2": "has 2 numbers; use gaussian:SIGMA",
    "gaussian:7.9": "'gaussian:7.9' has a sigma of 7.9 HR pixels at x2; the range is 0.02 to 7.87",
    "gone.npy": "kernel: nothing is at {folder}/gone.npy; correct the name, or name a kernel",
    "a.png": "'a.png' is not a kernel",
    "sum.npy": "kernel: {folder}/sum.npy holds taps that sum to 1.02; a kernel's sum to 1: divide them by 1.02",
    "wide.npy": "holds 67 x 67 taps; a kernel has at most 65 x 65: cut off its rim",
    "nan.csv": "holds taps that are not finite; write numbers",
    "text.CSV": "text.CSV is not a table of numbers",
    "image.TIF": "is not a table of numbers (it has 3 bands, where a kernel has one)",
    "axes.npy": "holds an array of 3 axes, shape (1, 3, 3); a kernel has two, rows and columns",
    "folder.npy": "folder.npy: it is a folder; name a file in it",
    "ftp://host/k.npy": "the scheme 'ftp' is not supported",
    "a\0.npy": "names a file whose name is no UTF-8 text; rename the file",
    "file:///a%00.npy": "names a file whose name is no UTF-8 text; rename the file",
    "\udcff.npy": "'\\udcff.npy' names a file whose name is no UTF-8 text; rename the file",
}


@pytest.fixture
def bad_files(tmp_path: Path) -> Path:
    np.save(tmp_path / "sum.npy", MEAN * 1.02)
    np.save(tmp_path / "wide.npy", np.full((67, 67), 1 / 67**2))
    np.save(tmp_path / "axes.npy", MEAN[None])
    (tmp_path / "nan.csv").write_text("0,nan,1\n")
    (tmp_path / "text.CSV").write_text("a,b\n")
    Image.new("RGB", (3, 3)).save(tmp_path / "image.TIF")
    (tmp_path / "folder.npy").mkdir()
    return tmp_path


def test_a_bad_cell_fails_its_row_alone(
    bad_files: Path,
    any_kernel: MakeConfig,
    observer: Any,
    make_png: MakePng,
    read_records: ReadRecords,
) -> None:
    """One sentence each, with what was found and what to do; others are done."""
    make_png(bad_files / "a.png")
    config = any_kernel(manifest=str(bad_files / "m.jsonl"))
    rows = [{"uri": "a.png", "id": f"{number}", "kernel": cell} for number, cell in enumerate(BAD_CELLS)]
    rows += [{"uri": "a.png", "id": "good", "kernel": "BOX"}, {"uri": "a.png", "id": "noisy", "noise": "-1"}]
    (bad_files / "m.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert run(config, observer).errors == {"bad_row": len(BAD_CELLS) + 1}
    records = read_records(config.output)
    assert records["good"]["status"] == "done"
    for line, sentence in enumerate(BAD_CELLS.values(), 1):
        assert sentence.format(folder=bad_files) in records[line]["error_message"]
        assert records[line]["error_message"].isprintable()
    assert "the noise '-1' is none; give a number from 0" in records[len(rows)]["error_message"]


@pytest.mark.usefixtures("bad_files")
@pytest.mark.parametrize("cell", [cell for cell in BAD_CELLS if cell.isprintable()] + ["", "none"])
def test_a_bad_option_is_refused_before_anything_is_written(
    refusal: Refusal, make_png: MakePng, tmp_path: Path, cell: str
) -> None:
    """Exit 2, one line that names the option, nothing left behind."""
    make_png(tmp_path / "a.png")
    err = refusal("run", "a.png", "-o", "out", *BICUBIC, "--kernel", cell)
    assert "--kernel" in err or "ftp" in cell
    sentence = BAD_CELLS.get(cell, f"{cell!r} is not a kernel; use bicubic").removeprefix("kernel: ")
    assert sentence.format(folder=tmp_path) in err


@pytest.mark.parametrize("text", ["-1", "x", "", "nan", "inf", "1e39", "none", "1,2,3"])
def test_a_bad_noise_is_refused(refusal: Refusal, text: str) -> None:
    """Exit 2 with the option's name."""
    err = refusal("run", "a.png", *BICUBIC, "--noise", text)
    assert "--noise" in err
    assert f"the noise {text!r} is none; give a number from 0, in the units of the file, or auto" in err


@pytest.mark.parametrize(
    ("text", "meant"), [("AUTO", "auto"), ("0", "0.0"), ("-0", "0.0"), (" 2.50 ", "2.5"), ("1e-3", "0.001")]
)
def test_noise_is_parsed(text: str, meant: str) -> None:
    """Numbers that are equal are the same."""
    assert parse_noise(text) == meant


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("kernel", ["gaussian:1.4", "kernels/mean.npy", "estimate"])
@pytest.mark.parametrize(
    "other",
    [("--network", "zssr"), ("--network", "subpixel"), ("--preset", "paper"), ("--prior", "none")],
    ids=" ".join,
)
def test_a_kernel_with_a_network_for_bicubic_is_refused(
    srpipe: Srpipe, kernel: str, other: tuple[str, str], tmp_path: Path
) -> None:
    """By the names of both options, with what to do; bicubic's own kernel goes with every network."""
    code, _, err = srpipe("run", "a.png", "-o", "out", "-s", "2", *other, "--kernel", kernel)
    assert code == 2
    assert (
        f"--kernel {kernel} cannot be used with {' '.join(other)}, whose network knows bicubic only; leave one" in err
    )
    assert "or use --method bicubic, which takes any kernel" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kernel", ["gaussian:1.4", "k.npy", "estimate", "auto"])
@pytest.mark.parametrize(
    "options", [{}, {"preset": Preset.FAST}, {"method": Method.BICUBIC}, {"network": Network.DIRECT}], ids=str
)
def test_a_kernel_goes_with_the_default_network_and_with_bicubic(kernel: str, options: dict[str, Any]) -> None:
    """The kernel of a file is still to be read."""
    quality = Quality(kernel=kernel, **options)
    named = kernel != "k.npy"
    assert (quality.settings().kernel, quality.kernel_file()) == ((kernel, None) if named else ("bicubic", kernel))


@pytest.mark.parametrize(("text", "meant"), [("estimate", "estimate"), (" Estimate", "estimate"), ("AUTO", "auto")])
def test_a_kernel_may_be_one_that_is_found(text: str, meant: str) -> None:
    """It is no file, and of any scale."""
    assert (parse_kernel(text), names_kernel_file(text)) == (meant, False)
    check_kernel(meant, 8)


@pytest.mark.parametrize("network", Network)
@pytest.mark.parametrize("method", [Method.AUTO, Method.BICUBIC])
def test_what_finds_a_kernel_goes_with_what_takes_any(network: Network, method: Method) -> None:
    """Bicubic and auto go with all, the latter as bicubic where no other can be."""
    settings = Settings(network=network, method=method)
    any_kernel = network is Network.DIRECT or method is Method.BICUBIC
    assert takes_kernel(replace(settings, kernel="estimate")) == any_kernel
    assert takes_kernel(replace(settings, kernel="auto"))


@pytest.mark.parametrize("network", Network)
def test_bicubic_goes_with_every_network(network: Network) -> None:
    """Said, or not said; where any kernel can be, it is then looked for, and elsewhere `auto` is bicubic."""
    said, unsaid = (Quality(network=network, **told).settings() for told in ({"kernel": "bicubic"}, {}))
    assert said.kernel == "bicubic"
    assert unsaid == replace(said, kernel="auto")


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize("method", [Method.AUTO, Method.ZSSR, Method.BICUBIC])
@pytest.mark.parametrize("network", Network)
def test_a_cell_with_a_network_for_bicubic_is_a_failed_row(
    tiny_config: MakeConfig, method: Method, network: Network, tmp_path: Path
) -> None:
    """Rows that are content with bicubic are done."""
    (tmp_path / "m.csv").write_text("uri,kernel\na.png,gaussian:1.4\nb.png,bicubic\nsub/c.png,\n")
    config = tiny_config()
    config = replace(config, settings=replace(config.settings, method=method, network=network))
    plan = make_plan(config, read_manifest(config.manifest), "", Held())
    assert {"b.png", "sub/c.png"} <= {row.key for unit in plan.units for row in unit}
    if network is Network.DIRECT or method is Method.BICUBIC:
        assert plan.rejected == ()
    else:
        (rejected,) = plan.rejected
        assert rejected.line == 2
        assert f"the kernel gaussian:1.4 cannot be used with the network {network}, which knows" in rejected.message


def test_a_scale_of_its_own_is_a_kernel_of_its_own(any_kernel: MakeConfig, tmp_path: Path) -> None:
    """The run's kernel may be too wide at the scale of a row."""
    (tmp_path / "m.csv").write_text("uri,scale\na.png,2\nb.png,8\n")
    config = any_kernel()
    config = replace(config, settings=replace(config.settings, kernel="gaussian:7.5"))
    plan = make_plan(config, read_manifest(config.manifest), "", Held())
    (rejected,) = plan.rejected
    assert "'gaussian:7.5' has a sigma of 7.5 HR pixels at x8; the range is 0.02 to 7.12" in rejected.message
