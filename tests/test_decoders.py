"""Decoding in other processes: pictures come as they are, and no file harms the process that asks."""

import io
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.errors import ErrorType, ImageError
from pipeline.imagery.header import FileLimits, Header
from pipeline.imagery.reading import decoder_processes
from pipeline.imagery.reading.decoders import OpenImage, open_image

from .picture_bytes import png

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

_RNG = np.random.default_rng(0)
_RGB = _RNG.integers(0, 256, (40, 60, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def _leave_nothing() -> Iterator[None]:
    """Every test starts and ends without decoders."""
    end_decoders()
    yield
    end_decoders()


def end_decoders() -> None:
    decoder_processes.end_all()
    decoder_processes._idle.clear()


@pytest.fixture
def picture(tmp_path: Path) -> str:
    path = tmp_path / "picture.png"
    Image.fromarray(_RGB).save(path)
    return str(path)


@pytest.fixture
def raster(tmp_path: Path) -> str:
    """Of several messages' length."""
    path = tmp_path / "raster.tif"
    values = np.arange(3 * 2000 * 2500, dtype=np.uint32).astype(np.uint16).reshape(3, 2000, 2500)
    with rasterio.open(path, "w", driver="GTiff", width=2500, height=2000, count=3, dtype="uint16") as dataset:
        dataset.write(values)
        dataset.write_mask(values[0] % 3 == 0)
    return str(path)


def _error(path: str, limits: FileLimits | None = None) -> ImageError:
    with pytest.raises(ImageError) as caught:
        open_image(path, limits or FileLimits())
    return caught.value


def _processes() -> set[int]:
    return {decoder.process.pid for decoder in tuple(decoder_processes._alive)}


def _gone(pid: int) -> bool:
    """Within ten seconds, the process is no more, or but a name in the table."""
    for _ in range(200):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


def test_windows_and_whole(picture: str, raster: str) -> None:
    """Windows are parts of the whole, samples and mask, of all sizes and shapes."""
    with open_image(picture, FileLimits()) as image:
        np.testing.assert_array_equal(image.whole().samples, _RGB.transpose(2, 0, 1))
        np.testing.assert_array_equal(
            image.window(slice(3, 40), slice(59, 60)).samples, _RGB.transpose(2, 0, 1)[:, 3:, 59:]
        )
    with rasterio.open(raster) as dataset:
        values, shown = dataset.read(), dataset.dataset_mask() != 0
    with open_image(raster, FileLimits()) as image:
        pixels = image.whole()
        np.testing.assert_array_equal(pixels.samples, values)
        np.testing.assert_array_equal(pixels.mask, shown)
        part = image.window(slice(7, 1009), slice(100, 2000))
        np.testing.assert_array_equal(part.samples, values[:, 7:1009, 100:2000])
        np.testing.assert_array_equal(part.mask, shown[7:1009, 100:2000])
        part.samples[:] = 0  # is ours to write


@pytest.mark.parametrize("part", [slice(0, 41), slice(-1, 4), slice(5, 5), slice(None), slice(0, 10, 2)])
def test_no_window(picture: str, part: slice) -> None:
    """What is no part of the picture is a mistake of the one who asks, and the picture stays open."""
    with open_image(picture, FileLimits()) as image:
        with pytest.raises(ValueError, match="pixels"):
            image.window(part, slice(0, 1))
        assert image.whole().samples.shape == (3, 40, 60)


def test_too_much_at_once(raster: str) -> None:
    """A window of more bytes than the limit is refused before it is read; smaller ones are not."""
    with open_image(raster, FileLimits(bytes_at_once=2**20)) as image:
        with pytest.raises(ImageError, match="30000000 bytes") as caught:
            image.whole()
        assert caught.value.error_type is ErrorType.TOO_LARGE
        assert image.window(slice(0, 10), slice(0, 10)).samples.shape == (3, 10, 10)


def test_processes_are_reused(picture: str, raster: str) -> None:
    """One after the other, files share a process, also after one that is no picture; three at most wait idle."""
    with open_image(picture, FileLimits()):
        first = _processes()
    with pytest.raises(ImageError):
        open_image(str(Path(picture).parent), FileLimits())
    with open_image(raster, FileLimits()):
        assert _processes() == first
    with ExitStack() as stack:
        opened = [stack.enter_context(open_image(path, FileLimits())) for path in (picture, raster, raster, picture)]
        assert len(_processes()) == 4
        assert opened[-1].whole().samples.shape == (3, 40, 60)
    assert len(_processes()) == 3


def test_closed(picture: str) -> None:
    """A picture that was closed gives nothing more, least of all of the next one, and is closed but once."""
    with open_image(picture, FileLimits()) as image:
        pass
    with open_image(picture, FileLimits()):
        image.close()
        with pytest.raises(ValueError, match="closed"):
            image.whole()
        with open_image(picture, FileLimits()) as other:
            assert other.whole().samples.shape == (3, 40, 60)
        assert len(_processes()) == 2


def test_threads(tmp_path: Path) -> None:
    """Threads have pictures open at the same time and get each their own."""

    def check(number: int) -> bool:
        path = tmp_path / f"{number}.png"
        Image.fromarray(np.full((50, 50), number, np.uint8)).save(path)
        with open_image(str(path), FileLimits()) as image:
            return all((image.whole().samples == number).all() for _ in range(20))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(check, range(12)))
    assert len(_processes()) <= 3


def test_decoder_dies_between(picture: str) -> None:
    """An idle decoder that was killed is replaced without a word."""
    with open_image(picture, FileLimits()):
        (pid,) = _processes()
    os.kill(pid, signal.SIGKILL)
    with open_image(picture, FileLimits()) as image:
        assert image.whole().samples.shape == (3, 40, 60)
    assert pid not in _processes()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_decoder_dies_at_work(raster: str, number: signal.Signals) -> None:
    """A decoder that dies at work ends the picture with the signal's number, and the next file is well."""
    with open_image(raster, FileLimits()) as image:
        (pid,) = _processes()
        os.kill(pid, signal.SIGSTOP)
        sent = [number] if number is signal.SIGKILL else [number, signal.SIGCONT]  # SIGKILL ends a stopped one, too
        threading.Timer(0.3, lambda: [os.kill(pid, each) for each in sent]).start()
        with pytest.raises(ImageError, match=f"died of signal {int(number)} ") as caught:
            image.whole()
        assert caught.value.error_type is ErrorType.CRASHED
        assert raster in str(caught.value)
        with pytest.raises(RuntimeError, match="open it again"):
            image.whole()
    with open_image(raster, FileLimits()) as image:
        assert image.window(slice(0, 1), slice(0, 1)).samples.shape == (3, 1, 1)


@contextmanager
def _hunted() -> Iterator[set[int]]:
    """Every decoder is killed as soon as it is there; the processes that were."""
    over, hunted = threading.Event(), set[int]()

    def hunt() -> None:
        while not over.is_set():
            for pid in _processes():
                hunted.add(pid)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.001)

    thread = threading.Thread(target=hunt)
    thread.start()
    try:
        yield hunted
    finally:
        over.set()
        thread.join()


def test_decoder_dies_twice(picture: str) -> None:
    """A file at whose opening two decoders die is given up as crashed."""
    with _hunted() as hunted:
        assert _error(picture).error_type is ErrorType.CRASHED
    assert len(hunted) == 2


def test_memory_for_a_smaller_window(picture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A window that memory does not suffice for leaves the picture open for a smaller one."""

    def scarce(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        if np.prod(shape) > 100:
            raise MemoryError
        return np.zeros(shape, dtype)

    with open_image(picture, FileLimits(seconds=30)) as image:
        expected = image.window(slice(0, 3), slice(0, 2))
        monkeypatch.setattr("pipeline.imagery.reading.decoders.np.empty", scarce)
        with pytest.raises(MemoryError):
            image.whole()
        np.testing.assert_array_equal(image.window(slice(0, 3), slice(0, 2)).samples, expected.samples)


def test_memory_that_ends_in_an_answer(picture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture is opened again for a smaller window; not if another lies there meanwhile, which is no bug."""

    def run_short(image: OpenImage) -> None:
        def lack(*_: object) -> None:
            raise MemoryError

        with monkeypatch.context() as short:
            short.setattr(decoder_processes.Decoder, "receive", lack)
            with pytest.raises(MemoryError):
                image.whole()

    with open_image(picture, FileLimits()) as image:
        run_short(image)
        np.testing.assert_array_equal(
            image.window(slice(3, 5), slice(0, 9)).samples, _RGB.transpose(2, 0, 1)[:, 3:5, :9]
        )
        assert len(_processes()) == 1
        run_short(image)
        Image.fromarray(_RGB[:30]).save(picture)
        with pytest.raises(ImageError, match="was changed while it was worked on; run again"):
            image.window(slice(3, 5), slice(0, 9))


def test_no_thread_watches(picture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where memory is too short for another thread, pictures are read all the same."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with open_image(picture, FileLimits(seconds=30)) as image:
        assert image.whole().samples.size > 0


def test_decoder_hangs(picture: str) -> None:
    """A decoder that gives no answer in time is killed, and the picture is over its deadline."""
    open_image(picture, FileLimits()).close()  # on a busy machine its decoder takes longer to start
    with open_image(picture, FileLimits(seconds=1)) as image:
        (pid,) = _processes()
        os.kill(pid, signal.SIGSTOP)
        begun = time.monotonic()
        with pytest.raises(ImageError, match="for 1 seconds") as caught:
            image.whole()
        assert caught.value.error_type is ErrorType.DEADLINE
        assert time.monotonic() - begun < 5
    assert _gone(pid)
    with open_image(picture, FileLimits()):
        (pid,) = _processes()
    os.kill(pid, signal.SIGSTOP)
    assert _error(picture, FileLimits(seconds=1)).error_type is ErrorType.DEADLINE


def test_a_system_without_limits_on_memory_decodes_even_so(picture: str, tmp_path: Path) -> None:
    """macOS raises for RLIMIT_AS: ValueError or OSError, here by a Python that is told to, parent and decoder."""
    for error in ("ValueError('current limit exceeds maximum limit')", "OSError(22, 'Invalid argument')"):
        (tmp_path / "sitecustomize.py").write_text(
            f"import resource\ndef refuse(*_):\n    raise {error}\nresource.setrlimit = refuse\n"
        )
        code = "import resource, sys\nfrom pipeline.imagery.header import FileLimits\n"
        code += "from pipeline.imagery.reading import decoders\n"
        code += "try:\n    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\nexcept (OSError, ValueError):\n    pass\n"
        code += "else:\n    sys.exit('is not refused')\n"
        code += "print(decoders.open_image(sys.argv[1], FileLimits()).whole().samples.size)"
        path = os.pathsep.join([str(tmp_path), str(Path(__file__).parent.parent)])
        ended = subprocess.run(
            [sys.executable, "-c", code, picture],
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ended.returncode, ended.stderr) == (0, "")
        assert int(ended.stdout) > 0


@pytest.mark.parametrize("answer", [b"", b"[]", b"junk", b"{}", b'{"header": "{}"}', b'{"error_type": "nothing"}'])
def test_answers_are_not_trusted(picture: str, answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder under foreign rule that answers nonsense has crashed; nothing but an ImageError comes of it."""
    script = f"""
import sys
from multiprocessing.connection import Connection
connection = Connection(int(sys.argv[-1]))
connection.recv_bytes()
connection.send_bytes({answer!r})
connection.recv_bytes()
"""
    _instead(monkeypatch, script)
    error = _error(picture)
    assert error.error_type is ErrorType.CRASHED
    assert "makes no sense" in str(error)


def _instead(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Decoders run a script instead."""
    start = subprocess.Popen

    def begin(command: list[str], **options: object) -> object:
        return start([command[0], "-c", script, command[-1]], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", begin)


@pytest.mark.parametrize(
    "lie",
    ["shape=[3, 40, 61]", 'dtype="float32"', "mask=True", "shape=[3, 4000000, 6000000]", "length=10**7", "length=5"],
)
def test_shapes_are_not_trusted(picture: str, lie: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples that do not fit what was asked are nonsense, whatever the decoder says of them."""
    script = f"""
import json, sys
from multiprocessing.connection import Connection
from pipeline.codec import to_plain
from pipeline.imagery.header import RGB, Band, Header
connection = Connection(int(sys.argv[-1]))
connection.recv_bytes()
header = Header("PNG", 40, 60, "uint8", tuple(Band(colour) for colour in RGB))
connection.send_bytes(json.dumps({{"header": to_plain(header)}}).encode())
connection.recv_bytes()
said = {{**dict(dtype="uint8", shape=[3, 40, 60], mask=False, length=7200), **dict({lie})}}
length = said.pop("length")
connection.send_bytes(json.dumps(said).encode())
connection.send_bytes(bytes(length))
connection.recv_bytes()
"""
    _instead(monkeypatch, script)
    image = open_image(picture, FileLimits())
    with pytest.raises(ImageError, match="makes no sense") as caught:
        image.whole()
    assert caught.value.error_type is ErrorType.CRASHED


def test_memory_is_confined(tmp_path: Path) -> None:
    """A file that makes a decoder take more memory than the largest picture needs is too large, not our end."""
    path = tmp_path / "bomb.png"
    side = 30_000
    path.write_bytes(png(side, 8, 2, [b""] * side))
    small = FileLimits(bytes_at_once=2**20)
    assert _error(str(path), small).error_type is ErrorType.TOO_LARGE
    with open_image(_gray(tmp_path), small):
        (pid,) = _processes()
        limits = Path(f"/proc/{pid}/limits").read_text()
    (line,) = [line for line in limits.splitlines() if line.startswith("Max address space")]
    assert int(line.split()[3]) == 2 * 2**30 + 5 * 2**20
    (line,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
    assert line.split()[4:6] == ["0", "0"]


def _gray(folder: Path) -> str:
    path = folder / "gray.png"
    Image.fromarray(_RGB[..., 0].copy()).save(path)
    return str(path)


def test_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only plain files are read: folders, pipes, devices and GDAL's own kinds of path are refused at once."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    name = _gray(tmp_path)
    for path in (
        *(str(tmp_path), str(tmp_path / "pipe"), "/dev/zero", "gray.png", "", "/\0"),
        *(
            f"/vsigzip/{name}",
            f"/VSIMEM/{name}",
            "/vsicurl/http://localhost/a.tif",
            f"GTIFF_DIR:1:{name}",
            f"file://{name}",
        ),
    ):
        assert _error(path).error_type is ErrorType.READ
    assert _error(str(tmp_path / "none.png")).error_type is ErrorType.MISSING
    assert _error(f"{name}/further").error_type is ErrorType.MISSING


@pytest.mark.parametrize("name", ["a b.tif", "a!b#c?d&e%20.tif", "zip+x:y.tif", "Ünïcode.tif", "vsizip", "a.jpg"])
def test_names_do_not_count(tmp_path: Path, name: str) -> None:
    """A file is what its bytes are, whatever it is called, and also at the end of a link."""
    values = _RNG.integers(0, 65536, (2, 8, 8), dtype=np.uint16)
    with rasterio.open(tmp_path / "made.tif", "w", driver="GTiff", width=8, height=8, count=2, dtype="uint16") as made:
        made.write(values)
    (tmp_path / "made.tif").rename(tmp_path / "file")
    path = tmp_path / name
    path.symlink_to(tmp_path / "file")
    with open_image(str(path), FileLimits()) as image:
        np.testing.assert_array_equal(image.whole().samples, values)


def test_recipes_are_no_pictures(tmp_path: Path) -> None:
    """A virtual raster or a web address under the name of a TIFF is text: what it names is never read."""
    name = _gray(tmp_path)
    band = (
        f'<VRTRasterBand band="1"><SimpleSource><SourceFilename>{name}</SourceFilename></SimpleSource></VRTRasterBand>'
    )
    path = tmp_path / "a.tif"
    web = '<GDAL_WMS><Service name="TMS"><ServerUrl>http://localhost/</ServerUrl></Service></GDAL_WMS>'
    for text, error_type in (
        (f'<VRTDataset rasterXSize="60" rasterYSize="40">{band}</VRTDataset>', ErrorType.UNSUPPORTED),
        (web, ErrorType.CORRUPT),
        (f"{name}\n", ErrorType.CORRUPT),
    ):
        path.write_text(text)
        assert _error(str(path)).error_type is error_type


def test_ends_with_its_owner(tmp_path: Path) -> None:
    """When the process that asked is killed, its decoders end by themselves."""
    code = f"""
import time
from pipeline.imagery.reading import decoders
from pipeline.imagery.header import FileLimits
image = decoders.open_image({_gray(tmp_path)!r}, FileLimits())
print(image._decoder.process.pid, flush=True)
time.sleep(60)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    owner.kill()
    owner.communicate()
    assert _gone(pid)


def test_after_a_fork(picture: str) -> None:
    """A forked process opens pictures with decoders of its own, and leaves those of its parent alone."""
    with open_image(picture, FileLimits()) as image:
        with open_image(picture, FileLimits()):
            pass
        code = os.fork()
        if code == 0:
            failed = 1
            try:
                with pytest.raises(RuntimeError):
                    image.whole()
                with open_image(picture, FileLimits()) as own:
                    failed = int(own.whole().samples.shape != (3, 40, 60))
                decoder_processes.end_all()
            finally:
                os._exit(failed)
        assert os.waitpid(code, 0)[1] == 0
        assert image.whole().samples.shape == (3, 40, 60)
        assert len(_processes()) == 2


def test_torch_is_not_loaded(tmp_path: Path) -> None:
    """A decoder starts fast: neither side of it loads torch, and small pictures do not even load GDAL."""
    code = f"""
import sys
from pipeline.imagery.reading.decoders import open_image
from pipeline.imagery.header import FileLimits
from pipeline.imagery.reading.routing import open_file
with open_image({_gray(tmp_path)!r}, FileLimits()) as image:
    image.whole()
open_file({_gray(tmp_path)!r}, FileLimits()).window(slice(0, 1), slice(0, 1))
print({{"torch", "rasterio", "ray"}} & set(sys.modules))
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "set()"


def _encoded(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(_RGB).save(
        buffer, kind, **({"exif": exif} if kind in ("PNG", "JPEG", "TIFF", "WEBP") else {}), **options
    )
    return buffer.getvalue()


def _rasters() -> list[bytes]:
    made = []
    for driver, dtype, options in (
        ("GTiff", "uint16", {"compress": "lzw", "tiled": True, "blockxsize": 16, "blockysize": 16}),
        ("GTiff", "float32", {"nodata": -1.0, "BIGTIFF": "YES"}),
        ("JP2OpenJPEG", "uint16", {"QUALITY": 100, "REVERSIBLE": "YES"}),
    ):
        with rasterio.MemoryFile() as memory:
            sizes = {"width": 40, "height": 30, "count": 2, "dtype": dtype, "crs": "EPSG:32618"}
            with memory.open(
                driver=driver, transform=rasterio.Affine(1, 0, 5, 0, -1, 7), **sizes, **options
            ) as dataset:
                dataset.write(_RNG.integers(0, 99, (2, 30, 40)).astype(dtype))
            made.append(memory.read())
    return made


_KINDS = ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "PPM", "TGA", "JPEG2000", "AVIF")
_FILES = [*map(_encoded, _KINDS), _encoded("TIFF", compression="jpeg"), *_rasters()]
_DEEP = png(8, 16, 6, [_RNG.bytes(64) for _ in range(8)])


def _change(data: bytes, changes: list[tuple[float, bytes]], keep: float) -> bytes:
    changed = bytearray(data)
    for place, new in changes:
        start = int(place * len(data))
        changed[start : start + len(new)] = new
    return bytes(changed[: max(1, int(keep * len(changed)))])


_PLACES = st.one_of(st.floats(0, 0.999), st.floats(0, 0.1))
_NEW = st.one_of(
    st.binary(min_size=1, max_size=4), st.sampled_from([b"\xff\xff\xff\xff", bytes(4), b"\x7f\xff\xff\xff"])
)


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes], str]:
    path = tmp_path_factory.mktemp("spoiled") / "file"

    def write(data: bytes) -> str:
        path.write_bytes(data)
        return str(path)

    return write


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.sampled_from([*_FILES, _DEEP]),
    changes=st.lists(st.tuples(_PLACES, _NEW), max_size=4),
    keep=st.one_of(st.just(1.0), st.floats(0, 1)),
)
@example(data=_FILES[0], changes=[], keep=1.0)
@example(data=struct.pack("<4sI", b"II*\0", 8) + b"\xff" * 64, changes=[], keep=1.0)
def test_spoiled_files(
    spoiled: Callable[[bytes], str], data: bytes, changes: list[tuple[float, bytes]], keep: float
) -> None:
    """Whatever happens to a file, it is a picture with pixels as its header says, or an ImageError with a sentence."""
    limits = FileLimits(pixels=10**6, bytes_at_once=10**7, seconds=30)
    told: ImageError | None = None
    try:
        with open_image(spoiled(_change(data, changes, keep)), limits) as image:
            assert isinstance(image.header, Header)
            assert image.whole().samples.shape[1:] == (image.header.height, image.header.width)
    except ImageError as error:
        told = error
    if told is not None:
        assert told.error_type in (ErrorType.CORRUPT, ErrorType.UNSUPPORTED, ErrorType.TOO_LARGE)
        assert "; " in str(told)
