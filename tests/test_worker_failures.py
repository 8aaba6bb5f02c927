"""One image, or one of a unit, that fails: how each kind of failure is told, and that the others are done."""

import errno
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline import storage
from pipeline.config import Form, Format
from pipeline.driver.run import run
from pipeline.errors import ImageError
from pipeline.forecast.forecast import forecast
from pipeline.forecast.outlook import Asked
from pipeline.output.layout import list_commits
from pipeline.storage.patience import Patience
from pipeline.work import image_work, stacked_fits
from pipeline.work.assignment import Assignment
from pipeline.work.fetching import Fetcher
from pipeline.work.worker import Worker

from .fixture_types import MakeConfig, MakeRow, MakeWorker
from .results import answer


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize("error", [ZeroDivisionError("in a stack"), torch.OutOfMemoryError("of a GPU")])
def test_failing_fit_of_several(
    error: Exception,
    make_worker: MakeWorker,
    row: MakeRow,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever happens where images are fitted together, each is then done alone."""

    asked = []

    def fail(*_: object) -> None:
        asked.append(1)
        raise error

    keys = ["a.png", "b.png", "sub/c.png"]
    alone = [record.output_sha256 for record in make_worker(stack=1)(map(row, keys))]
    monkeypatch.setattr(stacked_fits, "fit_stages_together", fail)
    made = list(make_worker(stack=3)(map(row, keys)))
    assert [(record.key, record.status, record.output_sha256) for record in made] == [
        (key, "done", sha256) for key, sha256 in zip(keys, alone, strict=True)
    ]
    assert asked


@pytest.mark.usefixtures("images")
def test_a_deep_look_has_the_patience_of_any_other(
    tmp_path: Path, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that does not answer is asked again, and its errors are those of the image."""
    errors = [OSError(errno.EIO, "Input/output error"), None, *[OSError(errno.ESTALE, "Stale file handle")] * 2]
    content_source = storage.content_source

    def answer(path: str) -> Any:
        if error := errors.pop(0):
            raise error
        return content_source(path)

    monkeypatch.setattr(storage, "content_source", answer)
    fetcher = Fetcher(tiny_config(deep=True), Patience(1, sleep=lambda _: None))
    with ExitStack() as copy:
        assert fetcher.source(str(tmp_path / "a.png"), copy)[0].size
        with pytest.raises(ImageError, match="Stale file handle"):
            fetcher.source(str(tmp_path / "a.png"), copy)


@pytest.mark.usefixtures("images")
def test_a_picture_that_claims_more_pixels_than_allowed(tmp_path: Path, tiny_config: MakeConfig, observer: Any) -> None:
    """--max-pixels reaches the decoders of a run and of a plan."""
    (tmp_path / "m.csv").write_text("uri\na.png\n")
    with Image.open(tmp_path / "a.png") as image:
        pixels = image.width * image.height
    for most, error in ((pixels - 1, "too_large"), (pixels, None)):
        config = tiny_config(max_pixels=most, output=str(tmp_path / f"out-{most}"))
        plan = forecast(config, Asked(calibrate=0), lambda _what, _done, _todo: None)
        assert plan.refused == ({error: 1} if error else {})
        run(config, observer)
        assert observer.records[-1].error_type == error


@pytest.mark.parametrize(("told", "most"), [(None, 300), (60, 60), (1, 10), (1000, 300)])
def test_how_long_a_decoder_may_take(tiny_config: MakeConfig, told: float | None, most: float) -> None:
    """As docs/reliability.md says: 300 s, or --max-seconds-per-image if that is less, but not less than 10."""
    assert Fetcher(tiny_config(max_seconds=told), Patience(0))._limits.seconds == most


@pytest.mark.parametrize(
    ("content", "error_type", "sentence"),
    [
        (None, "missing", r"nothing is at .*/x\.png; correct the uri or put the file back"),
        ("folder", "read", r"cannot read .*/x\.png: it is a folder; name a file in it, then run again"),
        (b"", "corrupt", "the file is empty; replace it"),
        (
            b"P6 2 1 65535\n" + bytes(12),
            "unsupported",
            "16 bits a sample that would be cut to 8; convert it to a 16-bit",
        ),
    ],
)
def test_failures(
    content: bytes | str | None,
    error_type: str,
    sentence: str,
    make_worker: MakeWorker,
    row: MakeRow,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is wrong with one image is its record, with the remedy, and leaves nothing in the output."""
    if isinstance(content, bytes):
        (tmp_path / "x.png").write_bytes(content)
    elif content == "folder":
        (tmp_path / "x.png").mkdir()
    record = answer(make_worker(), row("x.png"))
    assert (record.status, record.error_type, record.key) == ("failed", error_type, "x.png")
    assert record.error_message is not None
    assert re.search(sentence, record.error_message)
    assert record.output_uri is record.tiles is record.consistency_mae is None
    assert record.finished_at is not None
    assert not (tmp_path / "out").exists()
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("images")
def test_one_file_without_a_temporary_folder(
    tiny_config: MakeConfig, row: MakeRow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A COG is put together there: the folder is named, and that is no bug."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    record = answer(Worker(Assignment(tiny_config(form=Form(Format.COG))), "cpu"), row("a.png"))
    assert (record.status, record.error_type) == ("failed", "write")
    assert f"there is no temporary folder {tmp_path}/gone; set TMPDIR to one, then run again" in str(
        record.error_message
    )


@pytest.mark.usefixtures("images")
def test_failing_write(make_worker: MakeWorker, row: MakeRow, tmp_path: Path) -> None:
    """Where the tiles cannot be stored, the image fails and is not committed."""
    (tmp_path / "out/tiles").mkdir(parents=True)
    (tmp_path / "out/tiles/a.png").touch()
    record = answer(make_worker(), row("a.png"))
    assert (record.status, record.error_type) == ("failed", "write")
    assert "check space and access, then run again" in (record.error_message or "")
    assert list_commits(str(tmp_path / "out")) == {}


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize(
    ("error", "error_type", "sentence"),
    [
        (
            torch.OutOfMemoryError("CUDA out of\n memory"),
            "memory",
            "out of memory, in the smallest pieces too; use fewer --workers",
        ),
        (MemoryError(), "memory", "in the smallest pieces too"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "memory", "out of memory"),
        (ZeroDivisionError("by\nzero"), "internal", "a bug in srpipe, please report it: ZeroDivisionError: by zero"),
    ],
)
def test_errors_inside(
    error: Exception,
    error_type: str,
    sentence: str,
    make_worker: MakeWorker,
    row: MakeRow,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Memory that runs out is told with the remedy; a bug is told with its traceback; the next image is done."""
    with monkeypatch.context() as patched:

        def fail(*_: object) -> None:
            raise error

        patched.setattr(image_work, "fit_stages", fail)
        record = answer(make_worker(), row("a.png"))
    assert (record.status, record.error_type) == ("failed", error_type)
    assert sentence in (record.error_message or "")
    if error_type == "internal":  # whom it called, from outside in
        places = re.search(r"\(at ([^)]*)\)", record.error_message or "")
        assert places is not None
        assert re.fullmatch(r"\w+\.py:\d+, \w+\.py:\d+, test_worker_failures\.py:\d+", places[1])
    assert ("Traceback" in capsys.readouterr().err) == (error_type == "internal")
    assert answer(make_worker(), row("a.png")).status == "done"


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize(
    ("step", "error_type"),
    [("stat", "read"), ("read", "read"), ("write", "write"), ("list_folder", "write")],
)
def test_failing_storage_is_no_bug(
    step: str, error_type: str, make_worker: MakeWorker, row: MakeRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever storage refuses, the record says what could not be read or written, not that srpipe has a bug."""

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Access Denied")

    monkeypatch.setattr(storage, step, refuse)
    record = answer(make_worker(), row("a.png"))
    assert (record.status, record.error_type) == ("failed", error_type)
    assert "Access Denied" in (record.error_message or "")


@pytest.mark.parametrize("stack", [1, 2, 5])
def test_failures_do_not_stop_a_unit(
    stack: int, images: dict[str, np.ndarray], make_worker: MakeWorker, row: MakeRow, tmp_path: Path
) -> None:
    """A unit gives one record a row, in the order of its rows, the first before the last is begun."""
    (tmp_path / "x.png").write_bytes(b"?")
    keys = ["x.png", *images, "none.png"]
    made = make_worker(stack=stack)([row(key) for key in keys])
    assert next(made).status == "failed"
    assert not (tmp_path / "out").exists()
    assert [(record.key, record.status) for record in made] == [
        *((key, "done") for key in images),
        ("none.png", "failed"),
    ]
