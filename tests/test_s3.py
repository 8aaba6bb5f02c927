"""The same runs against an S3 server on this machine."""

import asyncio
import errno
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import s3fs
from botocore.exceptions import EndpointConnectionError

from pipeline import storage
from pipeline.config import Executor, Form, Format
from pipeline.driver.run import run
from pipeline.errors import UsageError
from pipeline.evaluate import evaluate
from pipeline.manifest.manifest import read_manifest
from pipeline.output.layout import list_commits
from pipeline.priors.prior_file import read_prior
from pipeline.storage import s3
from pipeline.storage_options import S3Options, StorageOptions

from .fixture_types import (
    MakeConfig,
    MakePng,
    MakePrior,
    MakeRow,
    MakeWorker,
    ReadRecords,
    ReadTiles,
    Srpipe,
)
from .results import answer

SECRET = "wJalrXUtnFEMI"


@pytest.fixture
def remote(s3_bucket: str, images: dict[str, np.ndarray], tmp_path: Path) -> str:
    """s3://bucket/in with the pictures and the manifest of `images`."""
    for name in (*images, "m.csv"):
        storage.write(f"{s3_bucket}/in/{name}", (tmp_path / name).read_bytes())
    return f"{s3_bucket}/in"


@pytest.mark.parametrize("manifest", ["m.csv", "", "**/*.png"], ids=["table", "folder", "glob"])
def test_remote_run_equals_local_run(
    remote: str,
    manifest: str,
    tiny_config: MakeConfig,
    observer: Any,
    read_tiles: ReadTiles,
    read_records: ReadRecords,
    tmp_path: Path,
) -> None:
    """Manifest, images and output on S3: the tiles are those of the local run, byte for byte, and so is the table."""
    run(tiny_config(), observer)
    output = f"{remote}-out"
    summary = run(tiny_config(manifest=f"{remote}/{manifest}".rstrip("/"), output=output), observer)
    assert (summary.done, summary.failed) == (3, 0)
    assert read_tiles(output) == read_tiles(str(tmp_path / "out"))
    assert storage.exists(f"{output}/_SUCCESS")
    here, there = read_records(str(tmp_path / "out")), read_records(output)
    assert {key: row["output_sha256"] for key, row in there.items()} == {
        key: row["output_sha256"] for key, row in here.items()
    }
    assert there["a.png"]["source_uri"] == f"{remote}/a.png"


@pytest.mark.timeout(170)
@pytest.mark.ray
def test_worker_pool(
    remote: str, tiny_config: MakeConfig, observer: Any, read_tiles: ReadTiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers of Ray find the server by the environment of the command, and write what this process would."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    inline, pool = (tiny_config(manifest=f"{remote}/m.csv", output=f"{remote}-{name}") for name in ("inline", "pool"))
    run(inline, observer)
    assert run(replace(pool, executor=Executor.RAY, workers=1), observer).done == 3
    assert read_tiles(pool.output) == read_tiles(inline.output)


def test_resume(
    remote: str,
    make_png: MakePng,
    tiny_config: MakeConfig,
    observer: Any,
    read_tiles: ReadTiles,
    tmp_path: Path,
) -> None:
    """A second run does nothing; a replaced image or other settings are done again, the old commits withdrawn."""
    config = tiny_config(manifest=f"{remote}/m.csv", output=f"{remote}-out")
    run(config, observer)
    first = read_tiles(config.output)
    assert (run(config, observer).done, len(observer.records)) == (0, 3)

    make_png(tmp_path / "a.png", seed=99)
    storage.write(f"{remote}/a.png", (tmp_path / "a.png").read_bytes())
    again = run(config, observer)
    assert (again.done, again.already_done) == (1, 2)
    changed = read_tiles(config.output)
    assert {name.split("/")[0] for name in changed if changed[name] != first[name]} == {"a.png"}

    config = replace(config, settings=replace(config.settings, tile_size=64))
    assert run(config, observer).done == 3
    assert len(read_tiles(config.output)) == 3
    assert [len(commits) for commits in list_commits(config.output).values()] == [1, 1, 1]


def test_remote_prior(
    remote: str,
    tiny_config: MakeConfig,
    observer: Any,
    read_tiles: ReadTiles,
    make_prior: MakePrior,
    tmp_path: Path,
) -> None:
    """A prior on S3 gives what the same file gives here, under the same fingerprint; one that is not there is told."""
    storage.write(f"{remote}/priors/p.safetensors", make_prior())
    (tmp_path / "p").write_bytes(make_prior())
    run(tiny_config(prior_name=str(tmp_path / "p")), observer)
    run(tiny_config(output=f"{remote}-out", prior_name=f"{remote}/priors/p.safetensors"), observer)
    assert read_tiles(f"{remote}-out") == read_tiles(str(tmp_path / "out"))
    assert run(tiny_config(prior_name=f"{remote}/priors/p.safetensors"), observer).already_done == 3
    for missing in (f"{remote}/priors/q", f"{remote}/priors", "s3://no-such-bucket/p"):
        with pytest.raises(UsageError, match=f"--prior: nothing is at {missing}; make one with"):
            run(tiny_config(prior_name=missing), observer)


def test_local_table_of_remote_images(
    remote: str, tiny_config: MakeConfig, observer: Any, read_tiles: ReadTiles, tmp_path: Path
) -> None:
    """A table here may name images there; their keys are bucket and path. What is not there fails alone."""
    with_secret = remote.replace("s3://", "s3://AKIA:hun/ter2@")
    uris = (f"{with_secret}/b.png", f"{remote}/sub/c.png", f"{remote}/none.png", "s3://no-such-bucket/x.png", "a.png")
    (tmp_path / "m.csv").write_text("\n".join(["uri", *uris]))
    summary = run(tiny_config(), observer)
    assert (summary.done, summary.errors) == (2, {"missing": 2, "bad_row": 1})
    assert not any(b"ter2" in path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    folders = {name.rpartition("/")[0] for name in read_tiles(str(tmp_path / "out"))}
    assert folders == {f"{remote}/sub/c.png".removeprefix("s3://"), "a.png"}


@pytest.mark.usefixtures("s3_bucket", "images")
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"manifest": "s3://no-such-bucket/m.csv"}, "manifest s3://no-such-bucket/m.csv .* no such bucket; correct"),
        ({"manifest": "s3://no-such-bucket/in"}, "manifest s3://no-such-bucket/in .* no such bucket; correct"),
        ({"manifest": "s3://no-such-bucket/*.png"}, r"manifest s3://no-such-bucket/\*\.png .* no such bucket; correct"),
        ({"manifest": "s3://No_Such!/m.csv"}, "manifest s3://No_Such!/m.csv .* no such bucket; correct"),
        (
            {"output": "s3://no-such-bucket/out"},
            "cannot write to the output s3://no-such-bucket/out: there is no such bucket; choose another",
        ),
    ],
)
def test_missing_bucket(tiny_config: MakeConfig, observer: Any, change: dict[str, str], sentence: str) -> None:
    """A bucket that is not there is a sentence, not a traceback."""
    with pytest.raises(UsageError, match=sentence):
        run(tiny_config(**change), observer)


def test_no_credentials(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What boto says about access comes out as an OSError, and before anything else as a sentence with the remedy."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(OSError, match="NoCredentials"):
        storage.read(f"{s3_bucket}/x")
    for ask in (read_manifest, read_prior, storage.check_writable, evaluate):
        flag = "--output-s3-profile" if ask is evaluate else "--s3-profile"
        with pytest.raises(UsageError, match=rf"cannot use {s3_bucket}/x at http.*: NoCred.*; correct .* {flag}$"):
            ask(f"{s3_bucket}/x")


@pytest.mark.skipif("TEST_S3_ENDPOINT" not in os.environ, reason="moto takes any key")
def test_wrong_secret(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that checks signatures refuses; every way in and out says so in a sentence that names the place."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(UsageError, match=rf"cannot use {s3_bucket}/m.csv.*: .*SignatureDoesNotMatch"):
        read_manifest(f"{s3_bucket}/m.csv")
    with pytest.raises(UsageError, match=rf"cannot use {s3_bucket}/out.*: .*SignatureDoesNotMatch"):
        storage.check_writable(f"{s3_bucket}/out")
    with pytest.raises(PermissionError):
        storage.read(f"{s3_bucket}/a.png")
    with pytest.raises(PermissionError):
        list_commits(f"{s3_bucket}/out")


NAMES = ["a.png", "b c.png", "sub/ü%41.png", "sub/#1.png"]


def test_listings_agree(s3_bucket: str) -> None:
    """An object has the same size and ETag however it is asked for; names come back as they went in."""
    folder = f"{s3_bucket}/in"
    for size, name in enumerate(NAMES):
        storage.write(f"{folder}/{name}", b"." * size)
        assert storage.read(f"{folder}/{name}") == b"." * size
    storage.write(f"{folder}-not/x.png", b"")
    uris = sorted(f"{folder}/{name}" for name in NAMES)
    found = storage.find(folder)
    assert list(found) == uris
    assert found == storage.stat_all(uris) == {uri: storage.stat(uri) for uri in uris}
    assert found == storage.list_folder(folder) | storage.list_folder(f"{folder}/sub")
    assert found == storage.glob(f"{folder}/*.png") | storage.glob(f"{folder}/*/*.png") == storage.glob(f"{folder}/**")
    assert len({source.fingerprint for source in found.values()}) == len(NAMES)


@pytest.mark.parametrize("objects", [3, 40])
def test_stat_all_is_stat_of_each(s3_bucket: str, objects: int) -> None:
    """One listing says what asking for each object would; what is not there is left out."""
    uris = [f"{s3_bucket}/in/{number}.png" for number in range(objects)]
    for number, uri in enumerate(uris):
        storage.write(uri, b"." * number)
    assert storage.stat_all([f"s3://no-such-bucket/{number}" for number in range(objects)]) == {}
    missing = [f"{s3_bucket}/in/none.png", f"{s3_bucket}/none/x.png", "s3://no-such-bucket/x.png"]
    assert storage.stat_all([*uris, *missing]) == {uri: storage.stat(uri) for uri in uris}


def test_what_cannot_be_listed_is_asked_for(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the store, or the client, has against a listing."""
    uris = [f"{s3_bucket}/{number}.png" for number in range(20)]
    for uri in uris:
        storage.write(uri, b"")

    def broken(*_: object) -> None:
        raise EndpointConnectionError(endpoint_url="http://store")

    monkeypatch.setattr(s3, "pages", broken)
    assert set(storage.stat_all(uris)) == set(uris)


@pytest.mark.parametrize(("step", "pages"), [(1, 4), (4, 1)], ids=["all of a stretch", "a few of many"])
def test_what_else_lies_in_a_folder_is_not_listed(
    s3_bucket: str, step: int, pages: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages are asked for while each tells of many rows: never more requests than twice those of the rows alone."""
    monkeypatch.setattr(s3, "PAGE", 20)
    folder = f"{s3_bucket}/in"
    for number in range(100):
        storage.write(f"{folder}/{number:03d}", b"." * number)
    uris = [f"{folder}/{number:03d}" for number in range(10, 90, step)]
    expected = {uri: storage.stat(uri) for uri in uris}
    asked, call = [], s3fs.S3FileSystem._call_s3

    async def counted(self: s3fs.S3FileSystem, method: str, *arguments: Any, **further: Any) -> Any:
        asked.append(method)
        return await call(self, method, *arguments, **further)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", counted)
    assert storage.stat_all(uris) == expected
    assert asked.count("list_objects_v2") == pages
    assert asked.count("head_object") == len(asked) - pages <= len(uris)
    assert step > 1 or len(asked) == pages


def test_nothing_is_cached(s3_bucket: str) -> None:
    """What another process writes or deletes is seen at once."""
    other = s3fs.S3FileSystem(skip_instance_cache=True)
    uri = f"{s3_bucket}/in/a.png"
    assert storage.find(f"{s3_bucket}/in") == {}
    other.pipe_file(uri, b"1")
    assert list(storage.find(f"{s3_bucket}/in")) == [uri]
    first = storage.stat(uri)
    other.pipe_file(uri, b"2")
    assert storage.stat(uri) != first
    other.rm_file(uri)
    assert not storage.exists(uri)
    storage.remove(uri)
    assert not storage.is_folder(f"{s3_bucket}/in")


def test_create_is_for_the_first(s3_bucket: str) -> None:
    """Of two that create the same object the first gets it, and its data stays."""
    uri = f"{s3_bucket}/out/lock"
    assert storage.create(uri, b"first")
    assert not storage.create(uri, b"second")
    assert storage.read(uri) == b"first"
    with pytest.raises(FileNotFoundError):
        storage.create("s3://no-such-bucket/lock", b"")


@dataclass(frozen=True)
class TwoStores:
    """A public bucket to read unsigned, and a bucket of another store to write by a profile."""

    images: str
    """With m.csv, and failing.csv which names a file that is missing."""
    flags: tuple[str, ...]
    endpoints: tuple[str, str]
    there: s3fs.S3FileSystem


@pytest.fixture
def two_stores(
    remote: str, s3_bucket: str, other_s3_endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[TwoStores]:
    """Without AWS_* variables: what is not told by flags is not known."""
    here = os.environ["AWS_ENDPOINT_URL_S3"]
    storage.write(f"{remote}/m.csv", b"uri,reference\na.png,a.png\nb.png,\n")
    storage.write(f"{remote}/failing.csv", b"uri,reference\na.png,a.png\nmissing.png,\n")
    for uri in (s3_bucket, *storage.find(s3_bucket)):
        s3fs.S3FileSystem().chmod(uri, "public-read")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    (tmp_path / "credentials").write_text(f"[mine]\naws_access_key_id = AKID\naws_secret_access_key = {SECRET}\n")
    there = s3fs.S3FileSystem(endpoint_url=other_s3_endpoint, profile="mine")
    there.mkdir("results")
    flags = ("--s3-endpoint-url", here, "--s3-anon", "--output-s3-endpoint-url", other_s3_endpoint)
    flags = (*flags, "--output-s3-profile", "mine", "--storage-option", "max_concurrency=2")
    yield TwoStores(remote, flags, (here, other_s3_endpoint), there)
    there.rm("results", recursive=True)


def test_two_stores(two_stores: TwoStores, s3_bucket: str, srpipe: Srpipe) -> None:
    """A public bucket in, unsigned, and a bucket of another store out, by a profile: the run, its table and eval."""
    stores, there, (endpoint, other_s3_endpoint) = two_stores.flags, two_stores.there, two_stores.endpoints
    fit = ("-s", "2", "--steps", "1", "--width", "8", "--depth", "3", "--crop", "8", "--prior", "none")
    manifest = f"{two_stores.images}/m.csv"
    assert srpipe("run", manifest, "-o", "s3://results/x", *fit, "--executor", "inline", *stores)[0] == 0

    written = there.find("results")
    assert {"results/x/_SUCCESS", "results/x/manifest.parquet", "results/x/tiles/a.png/r0000_c0000.png"} <= {*written}
    assert not [name for name in written if SECRET.encode() in there.cat_file(name)]
    assert json.loads(there.cat_file("results/x/run.json"))["config"]["storage"] == {
        "input": {
            "endpoint_url": endpoint,
            "profile": None,
            "anon": True,
            "requester_pays": False,
            "further": {"max_concurrency": 2},
        },
        "output": {
            "endpoint_url": other_s3_endpoint,
            "profile": "mine",
            "anon": False,
            "requester_pays": False,
            "further": {"max_concurrency": 2},
        },
    }
    storage.use(StorageOptions(input=S3Options(endpoint, anon=True)), None)
    assert manifest in storage.find(s3_bucket)
    (score,) = json.loads(srpipe("eval", "s3://results/x", *stores, "--json")[1])["scores"]
    assert (score["key"], score["problem"][:13]) == ("a.png", "the reference")


def test_later_commands_reach_two_stores_as_the_run_did(two_stores: TwoStores, srpipe: Srpipe) -> None:
    """retry, report and eval take from the run what they are not told; it says what they have to be told."""
    fit = ("-s", "2", "--method", "bicubic", "--executor", "inline")
    manifest = f"{two_stores.images}/failing.csv"
    _, _, told = srpipe("run", manifest, "-o", "s3://results/x", *fit, *two_stores.flags)
    retry, output, *reached = told.rpartition("or: srpipe ")[2].split()
    assert (retry, output, len(reached)) == ("retry", "s3://results/x", 3)
    _, message, _ = srpipe("retry", output, *reached, "--json")
    assert (json.loads(message)["failed"], json.loads(message)["already_done"]) == (1, 1)
    code, made, _ = srpipe("report", output, *reached[:2], "--json")
    assert (code, json.loads(made)["inputs_lost"], json.loads(made)["pictures"]) == (0, 0, 1)
    assert f"srpipe retry {output} {' '.join(reached)}" in two_stores.there.cat("results/x/report.html").decode()
    scores = json.loads(srpipe("eval", output, *reached[:2], "--json")[1])["scores"]
    assert [score["problem"][:13] for score in scores] == ["the reference"]


def test_a_comparison_writes_to_the_store_of_its_output(two_stores: TwoStores, srpipe: Srpipe) -> None:
    """Its table and its sheets, as the runs of its methods do."""
    manifest, compared = f"{two_stores.images}/m.csv", ("--methods", "bicubic,nearest", "-s", "2", "--json")
    code, made, err = srpipe(
        "compare", manifest, "-o", "s3://results/y", *compared, "--executor", "inline", *two_stores.flags
    )
    assert code == 0, err
    places = {uri.removeprefix("s3://") for uri in (json.loads(made)["table"], *json.loads(made)["sheets"])}
    assert len(places) == 3
    assert places <= {*two_stores.there.find("results/y")}


def test_a_place_in_two_stores(s3_bucket: str, tiny_config: MakeConfig, observer: Any) -> None:
    """An input below an output of other options is refused: it would be looked for where results are written."""
    storage.write(f"{s3_bucket}/m.csv", b"uri\na.png\n")
    options = StorageOptions(output=S3Options(further={"max_concurrency": 2}))
    with pytest.raises(UsageError, match=rf"{s3_bucket}/m.csv lies in the output .* other S3 options .* --output"):
        run(tiny_config(manifest=f"{s3_bucket}/m.csv", output=s3_bucket, storage=options), observer)


def test_cogs_from_store_to_store(remote: str, tiny_config: MakeConfig, observer: Any, tmp_path: Path) -> None:
    """A COG on S3 is the local one byte for byte, and no copy of an image stays on the scratch disk."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("tempfile.tempdir", str(scratch))
        form = Form(Format.COG)
        summary = run(tiny_config(manifest=f"{remote}/m.csv", output=f"{remote}-out", form=form), observer)
        run(tiny_config(form=form), observer)
    assert (summary.done, summary.failed) == (3, 0)
    for name in ("a.png", "b.png", "sub/c.png"):
        assert storage.read(f"{remote}-out/images/{name}.tif") == (tmp_path / f"out/images/{name}.tif").read_bytes()
    assert not [left for left in scratch.iterdir() if "torch" not in left.name]  # torch may make its cache there


def test_a_temporary_folder_that_is_full(
    s3_bucket: str, make_worker: MakeWorker, row: MakeRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named, with what to do, and not the access to the image."""
    storage.write(f"{s3_bucket}/a.png", b"x")

    def full(*_: Any, **_options: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("s3fs.core.open", full, raising=False)
    record = answer(make_worker(), replace(row("a.png"), uri=f"{s3_bucket}/a.png"))
    assert record.error_message == (
        f"cannot read {s3_bucket}/a.png: the temporary folder {tempfile.gettempdir()} is full; make room there, or set"
        " TMPDIR to a larger one, then run again"
    )


def test_what_is_in_memory_of_a_large_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few chunks of a download and few parts of an upload; options of the user count for more."""
    files, asked = s3.filesystem(S3Options()), s3.filesystem(S3Options(further={"max_concurrency": 9}))
    assert files.default_block_size * files.max_concurrency <= 32 << 20
    assert asked.max_concurrency == 9
    together: list[int] = []
    held = 0

    async def call(_files: Any, method: str, **given: Any) -> dict[str, str]:
        nonlocal held
        if method == "upload_part":
            held += len(given["Body"])
            together.append(held)
            await asyncio.sleep(0.1)
            held -= len(given["Body"])
        return {"UploadId": "1", "ETag": "1"}

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", call)
    with (tmp_path / "large").open("wb") as large:
        large.truncate(250 << 20)
    storage.upload(str(tmp_path / "large"), "s3://bucket/large")
    assert (len(together), max(together)) == (5, 100 << 20)


@pytest.mark.parametrize("size", [0, 1 << 20], ids=["whole", "both ends"])
def test_a_temporary_folder_that_is_gone_is_no_missing_image(
    s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """The image is where it was; the error names the folder and what to do."""
    storage.write(f"{s3_bucket}/a.png", b"x" * (1 << 20))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    there = storage.outline_on_disk(f"{s3_bucket}/a.png", size)
    with pytest.raises(OSError, match=r"there is no temporary folder .*gone; set TMPDIR") as caught, there:
        pass
    assert not isinstance(caught.value, FileNotFoundError)
