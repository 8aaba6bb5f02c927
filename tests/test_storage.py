"""Files as uris: what is absolute, what a listing says, and that a write is whole or not at all."""

import errno
import os
import stat
import time
import tracemalloc
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from s3fs.errors import translate_boto_error

from pipeline import storage
from pipeline.errors import UsageError
from pipeline.storage.scratch import temporary_file


@pytest.mark.parametrize(
    ("uri", "folder", "expected"),
    [
        ("a/b.png", "/data", "/data/a/b.png"),
        ("../x.png", "/data/in", "/data/x.png"),
        ("/abs/./x.png", "/data", "/abs/x.png"),
        ("file:///a/b.png", "/data", "/a/b.png"),
        ("file:///a/sp%20ace%25.png", "/data", "/a/sp ace%.png"),
        ("FILE://LocalHost/a/b.png", "/data", "/a/b.png"),
        ("file:/a/%C3%A9.png", "/data", "/a/é.png"),
        ("/a/sp%20ace.png", "/data", "/a/sp%20ace.png"),
        ("sp%20ace.png", "/data", "/data/sp%20ace.png"),
        ("s3://b/sp%20ace.png", "/data", "s3://b/sp%20ace.png"),
        ("a.png", "s3://bucket/in", "s3://bucket/in/a.png"),
        ("a.png", "s3://bucket", "s3://bucket/a.png"),
        ("../a.png", "s3://bucket/in/deep", "s3://bucket/in/a.png"),
        ("../../../a.png", "s3://bucket/in", "s3://bucket/a.png"),
        ("/abs/x.png", "s3://bucket/in", "/abs/x.png"),
        ("s3://other/k.png", "s3://bucket/in", "s3://other/k.png"),
        ("s3://bucket/in/", None, "s3://bucket/in"),
        ("S3://bucket/a.png", None, "s3://bucket/a.png"),
        ("FILE:///a/b.png", None, "/a/b.png"),
    ],
)
def test_absolute(uri: str, folder: str | None, expected: str) -> None:
    """A relative path is taken from the folder, local or S3, and never leaves the bucket; other uris stay."""
    assert storage.absolute(uri, folder) == expected


def test_absolute_without_a_folder_starts_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is typed in a shell means what the shell would mean."""
    monkeypatch.chdir(tmp_path)
    assert storage.absolute("a/../b.csv") == str(tmp_path / "b.csv")


@given(st.text(alphabet="ab./ é", max_size=12), st.sampled_from(["/data/in", "s3://bucket/in"]))
def test_absolute_twice_is_absolute_once(path: str, folder: str) -> None:
    """An absolute uri is its own absolute form, in whatever folder."""
    once = storage.absolute(f"{path}x.png", folder)
    assert storage.absolute(once, "/elsewhere") == once


@pytest.mark.parametrize("uri", ["http://host/a.png", "gs://bucket/a.png", "://a.png"])
def test_unknown_scheme_is_refused(uri: str) -> None:
    """The sentence names the uri and what can be used instead."""
    with pytest.raises(UsageError, match=r"is not supported; use a local path or an s3:// uri") as caught:
        storage.absolute(uri)
    assert uri in str(caught.value)


WITHOUT_SECRETS = {
    "https://u:pw@h/a b.png?X-Amz-Signature=pw": "https://h/a b.png",
    "https://h/o'hara.png?X-Amz-Signature=pw": "https://h/o'hara.png",
    "HTTPS://u:pw@h/x?sig=pw": "HTTPS://h/x",
    "http://u:p@pw@h:8265": "http://h:8265",
    "ftp://u:pw@h/a.png": "ftp://h/a.png",
    "s3://AKIA:pw@b/what?.png": "s3://b/what?.png",
    "s3://AKIA:p/w@b/a.png": "s3://b/a.png",
    "https://u:it's pw?@h/a.png?pw": "https://h/a.png",
    "s3://arn:aws:s3:eu-west-1:1:accesspoint/n/a@2.png": "s3://arn:aws:s3:eu-west-1:1:accesspoint/n/a@2.png",
    "/data/a?b@c.png": "/data/a?b@c.png",
    "s3://b/a@b/c?.png": "s3://b/a@b/c?.png",
}


@pytest.mark.parametrize("uri", WITHOUT_SECRETS)
def test_a_uri_without_secrets(uri: str) -> None:
    """User, password and query of a url are left out; names of files stay whole."""
    assert storage.uri_without_secrets(uri) == WITHOUT_SECRETS[uri]


def test_secrets_are_looked_for_in_no_time() -> None:
    """In whatever stands in a cell; a pattern that began anew at each letter took minutes."""
    started = time.monotonic()
    for text in ("A" * 200_000, "s3://a:" * 20_000, "https://" * 20_000, "://" * 50_000):
        assert storage.without_secrets(text) == text
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    "uri",
    [
        *("s3://AKIA:pw@bucket/a.png", "s3://AKIA:p/pw@bucket/a.png"),
        *("file://me:pw@host/a.png", "file://me:p/pw@host/a.png", "ftp://me:pw@host/a.png"),
    ],
)
def test_a_secret_in_a_uri_is_refused_and_not_told(uri: str) -> None:
    """It would be stored as the name of the image."""
    with pytest.raises(UsageError) as caught:
        storage.absolute(uri)
    assert "pw" not in str(caught.value)
    assert ":p" not in str(caught.value)


@pytest.mark.parametrize(
    "uri", ["s3://minio:9000/bucket/a.png", "s3://b/a@2x.png", "s3://arn:aws:s3:eu-west-1:1:accesspoint/n/a@2.png"]
)
def test_what_only_looks_like_a_secret_is_none(uri: str) -> None:
    """A port, and names of files, and of access points."""
    assert storage.absolute(uri) == uri


def test_an_error_names_its_place_where_it_knows_it() -> None:
    assert storage.place_and_reason(OSError(errno.ENOSPC, "No space", "/out/x")) == "/out/x: No space"
    assert storage.place_and_reason(PermissionError("The token has expired.")) == "The token has expired."


def test_write_makes_folders_and_replaces(tmp_path: Path) -> None:
    """What was written last is read, and nothing else lies beside it."""
    uri = str(tmp_path / "new/deep/x.bin")
    for data in (b"first and longer", b"second", b""):
        storage.write(uri, data)
        assert storage.read(uri) == Path(uri).read_bytes() == data
    assert os.listdir(tmp_path / "new/deep") == ["x.bin"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_failing_write_leaves_the_old_content(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up in the middle costs neither the old file nor leaves a half one."""
    uri = str(tmp_path / "x.bin")
    storage.write(uri, b"old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space left"):
        storage.write(uri, b"new")
    assert Path(uri).read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x.bin"]


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EIO])
def test_a_file_system_that_cannot_sync_folders(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes every write; a disk that fails to sync one is told."""
    sync = os.fsync

    def files_alone(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(code, os.strerror(code))
        sync(handle)

    monkeypatch.setattr(os, "fsync", files_alone)
    with pytest.raises(OSError, match="Input/output") if code == errno.EIO else nullcontext():
        storage.write(str(tmp_path / "x.bin"), b"new")
    assert (tmp_path / "x.bin").read_bytes() == b"new"


def test_create_is_for_the_first(tmp_path: Path) -> None:
    """Of two that create the same file the first gets it, its data stays, and nothing else lies beside it."""
    uri = str(tmp_path / "new/lock")
    assert storage.create(uri, b"first")
    assert not storage.create(uri, b"second")
    assert storage.read(uri) == b"first"
    assert os.listdir(tmp_path / "new") == ["lock"]
    (tmp_path / "folder").mkdir()
    assert not storage.create(str(tmp_path / "folder"), b"")


def test_only_one_of_many_creates(tmp_path: Path) -> None:
    """However many try at once, one gets it, and what it stored is whole."""
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: storage.create(str(tmp_path / "lock"), b"%d" % n * 9999), range(8)))
    assert sorted(made) == [False] * 7 + [True]
    assert storage.read(str(tmp_path / "lock")) == b"%d" % made.index(True) * 9999
    assert os.listdir(tmp_path) == ["lock"]


@pytest.mark.parametrize(("error", "without_links"), [(errno.EPERM, True), (errno.ENOSPC, False)])
def test_create_where_nothing_can_be_linked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int, without_links: bool
) -> None:
    """A file system without hard links, as on a memory stick, still has one first; other errors are told."""

    def link(*_: object) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "link", link)
    uri = str(tmp_path / "lock")
    if without_links:
        assert storage.create(uri, b"first")
        assert not storage.create(uri, b"second")
        assert storage.read(uri) == b"first"
    else:
        with pytest.raises(OSError, match="No space left"):
            storage.create(uri, b"first")
        assert os.listdir(tmp_path) == []


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Files of different sizes at three depths, and an empty folder."""
    for size, name in enumerate(["b.png", "a.png", "x.txt", ".hidden", "sub/a.png", "sub/deep er/ü[1].png"]):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"." * size)
    (tmp_path / "empty").mkdir()
    return tmp_path


def _files(paths: Iterable[Path]) -> list[str]:
    return sorted(str(path) for path in paths if path.is_file())


def test_listings_agree_with_the_file_system(tree: Path) -> None:
    """find, list_folder and glob name the files that pathlib names, in the order of their names."""
    assert list(storage.find(str(tree))) == _files(tree.rglob("*"))
    assert list(storage.list_folder(str(tree))) == _files(tree.iterdir())
    assert list(storage.glob(f"{tree}/*.png")) == _files(tree.glob("*.png"))
    assert list(storage.glob(f"{tree}/**/*.png")) == _files(tree.rglob("*.png"))


def test_listings_agree_with_each_other(tree: Path) -> None:
    """A file has the same size and version however it is asked for."""
    found = storage.find(str(tree))
    assert {uri: source.size for uri, source in found.items()} == {uri: os.path.getsize(uri) for uri in found}
    assert found == {uri: storage.stat(uri) for uri in found} == storage.stat_all([*found, str(tree / "none.png")])
    assert storage.list_folder(str(tree)).items() <= found.items()
    assert storage.glob(f"{tree}/**/*.png").items() <= found.items()


@pytest.mark.parametrize("links", [False, True], ids=["files", "symbolic links"])
@pytest.mark.parametrize("files", [3, 40])
def test_stat_all_is_stat_of_each(tmp_path: Path, files: int, links: bool) -> None:
    """What is asked for together is what each alone would be."""
    uris = [str(tmp_path / f"{number}.png") for number in range(files)]
    for number, uri in enumerate(uris):
        target = Path(f"{uri}.target") if links else Path(uri)
        target.write_bytes(b"." * number)
        if links:
            os.symlink(target, uri)
    assert storage.stat_all([*uris, str(tmp_path / "none.png")]) == {uri: storage.stat(uri) for uri in uris}


def test_a_link_to_an_image_is_found(tmp_path: Path) -> None:
    """A folder of symbolic links, as data tools make them, is a folder of files; a dead link is an empty one."""
    (tmp_path / "store").write_bytes(b"...")
    (tmp_path / "in").mkdir()
    os.symlink(tmp_path / "store", tmp_path / "in/a.png")
    os.symlink(tmp_path / "gone", tmp_path / "in/dead.png")
    found = storage.find(str(tmp_path / "in"))
    assert found.pop(str(tmp_path / "in/dead.png")).size == 0
    assert found == {str(tmp_path / "in/a.png"): storage.stat(str(tmp_path / "in/a.png"))}


@pytest.mark.parametrize("pattern", ["", "/**/*.png"])
def test_a_link_to_a_folder_is_a_folder(tmp_path: Path, pattern: str) -> None:
    """Wherever it leads; but not back to a folder through which the listing came, in one step or two."""
    for name in ("pictures/a.png", "disk/2024/b.png", "disk/other/c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"...")
    for name, target in (
        ("pictures/2024", "disk/2024"),
        ("disk/2024/back", "pictures"),
        ("disk/2024/itself", "disk/2024"),
    ):
        (tmp_path / name).symlink_to(tmp_path / target)
    found = storage.glob(f"{tmp_path}/pictures{pattern}") if pattern else storage.find(f"{tmp_path}/pictures")
    assert [uri for uri, source in found.items() if source.size] == [
        f"{tmp_path}/pictures/{name}" for name in ("2024/b.png", "a.png")
    ]
    assert storage.stat(f"{tmp_path}/pictures/2024/b.png") == found[f"{tmp_path}/pictures/2024/b.png"]


@pytest.mark.parametrize("ask", [storage.find, lambda folder: storage.glob(f"{folder}/**/*.png")], ids=["find", "glob"])
@pytest.mark.usefixtures("closed_folder")
def test_a_folder_that_cannot_be_listed_is_told(tmp_path: Path, ask: Callable[[str], object]) -> None:
    """Its files would be missing from the result, and nobody would know."""
    with pytest.raises(PermissionError, match="closed"):
        ask(str(tmp_path))


def test_nothing_there(tmp_path: Path) -> None:
    """find is empty without a folder, the others say FileNotFoundError, and a folder is no file."""
    missing = str(tmp_path / "none")
    assert storage.find(missing) == {}
    assert storage.glob(f"{missing}/*") == {}
    assert not storage.exists(missing)
    assert not storage.is_folder(missing)
    for ask in (storage.stat, storage.read, storage.list_folder):
        with pytest.raises(FileNotFoundError):
            ask(missing)
    with pytest.raises(IsADirectoryError):
        storage.stat(str(tmp_path))


def test_fingerprint_tells_versions_apart(tmp_path: Path) -> None:
    """Another size or time of change is another version; being read is not."""
    path = tmp_path / "x"
    path.write_bytes(b"1")
    first = storage.stat(str(path)).fingerprint
    path.read_bytes()
    assert storage.stat(str(path)).fingerprint == first
    changed = os.stat(path)
    path.write_bytes(b"22")
    os.utime(path, ns=(changed.st_atime_ns, changed.st_mtime_ns))
    longer = storage.stat(str(path)).fingerprint
    os.utime(path, ns=(changed.st_atime_ns, changed.st_mtime_ns + 1_000_000))
    assert len({first, longer, storage.stat(str(path)).fingerprint}) == 3


def test_remove(tmp_path: Path) -> None:
    """A file is gone afterwards, also when it was gone before."""
    path = tmp_path / "x"
    path.touch()
    for _ in range(2):
        storage.remove(str(path))
        assert not path.exists()


def test_check_writable(tmp_path: Path) -> None:
    """A place that can be made passes and nothing stays behind; a place below a file is refused with the remedy."""
    (tmp_path / "kept").mkdir()
    for folder in ("kept", "new/deep"):
        storage.check_writable(str(tmp_path / folder))
    assert os.listdir(tmp_path) == ["kept"]
    assert os.listdir(tmp_path / "kept") == []
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"cannot write to the output .*/file/out: .+; choose another with --output"):
        storage.check_writable(str(tmp_path / "file/out"))


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ({"Code": "AccessDenied", "Message": "Access Denied"}, "Access Denied"),
        ({"Code": "SignatureDoesNotMatch", "Message": None}, "SignatureDoesNotMatch"),
        ({"Code": "InvalidRange"}, "InvalidRange"),
    ],
)
def test_reason_of_a_server(answer: dict[str, str | None], sentence: str) -> None:
    """What an S3 server refused is told in its words, and by its code where it sends no words, as Ceph does."""
    refused = translate_boto_error(ClientError({"Error": answer}, "GetObject"))
    assert storage.reason(refused) == sentence


def test_read_all_is_read_of_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many files come in the order asked for, over any number of batches; a missing one raises in its place."""
    monkeypatch.setattr("pipeline.storage.access._AHEAD", 4)
    uris = [str(tmp_path / f"{number * 7 % 10}") for number in range(10)]
    for uri in uris:
        storage.write(uri, uri.encode())
    assert list(storage.read_all(uris)) == [storage.read(uri) for uri in uris]
    assert list(storage.read_all([])) == []
    reading = storage.read_all([*uris[:6], str(tmp_path / "none"), *uris[6:]])
    assert [next(reading) for _ in range(6)] == [uri.encode() for uri in uris[:6]]
    with pytest.raises(FileNotFoundError):
        next(reading)


def test_a_folder_that_ignores_case_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By trying: this one does not; with a system that finds a name in whatever case it does. Nothing stays behind."""
    assert not storage.folds_case(str(tmp_path))
    assert not storage.folds_case("s3://bucket/out")
    there = os.path.exists

    def in_any_case(path: str) -> bool:
        return there(path) or os.path.basename(path).lower() in map(str.lower, os.listdir(os.path.dirname(path)))

    monkeypatch.setattr(os.path, "exists", in_any_case)
    assert storage.folds_case(str(tmp_path))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("ask", [storage.stat_all, storage.content_sources])
def test_questions_are_not_all_held_at_once(tmp_path: Path, ask: Callable[[list[str]], object]) -> None:
    """A run asks about every file of its manifest: for a million of them the questions alone would take 1.5 GB."""
    uris = [str(tmp_path / f"{number}.png") for number in range(6_000)]
    ask(uris[:10])  # what is loaded by the first question is not counted
    tracemalloc.start()
    assert ask(uris) == {}
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak / len(uris) < 700


@pytest.mark.timeout(60)
def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    """It is told as such, and not waited for, whoever asks: nobody writes into it."""
    pipe = str(tmp_path / "a.png")
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="it is a pipe or a device, not a file"):
        storage.stat(pipe)
    with pytest.raises(OSError, match="it is a pipe or a device, not a file"), storage.on_disk(pipe):
        pass
    assert storage.stat_all([pipe]) == storage.content_sources([pipe]) == storage.find(str(tmp_path)) == {}


def test_a_scratch_file_that_is_gone_is_removed_without_an_error() -> None:
    """Whoever tidies the temporary folder up may be faster; what was done with the file counts all the same."""
    with temporary_file() as path:
        os.unlink(path)
    assert not os.path.exists(path)
