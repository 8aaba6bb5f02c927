"""Where and how runs are started that once ended badly; and a file that has to be made for a case."""

import shutil
import signal
import struct
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from .srpipe_process import COMMAND, environment, srpipe

PLAIN = ("-s", "2", "--method", "bicubic")
INLINE = (*PLAIN, "--executor", "inline")

Row = tuple[str, str, str, bool]
"""Case, got, right, and whether it is."""


def rows(made: Path, work: Path) -> list[Row]:
    """One for each way to start a run."""
    picture = made / "a.png"
    return [
        _long_temporary_folder(picture, work),
        _closed_streams(picture, work),
        _hang_up(picture, work),
        _latin_1(picture, work),
        _world_file(picture, work),
    ]


def write_turned_jp2(path: Path) -> None:
    """A JPEG 2000 of 56 x 64 pixels, stored lying on its side, whose XMP says 6: to be turned to the right."""
    ramp = np.add.outer(np.arange(56), np.arange(64)).astype(np.uint8)
    Image.fromarray(np.stack([ramp, ramp // 2, 255 - ramp], -1)).save(path)
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
    )
    uuid = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
    path.write_bytes(path.read_bytes() + struct.pack(">I4s", 8 + len(uuid) + len(xmp), b"uuid") + uuid + xmp)


def _statuses(output: Path) -> list[str]:
    table = output / "manifest.parquet"
    return [str(status) for status in pq.read_table(table)["status"].to_pylist()] if table.exists() else []


def _long_temporary_folder(picture: Path, work: Path) -> Row:
    root = Path(tempfile.gettempdir())
    folder = root / ("t" * (48 - len(str(root)) - 1))
    folder.mkdir(exist_ok=True)
    output = work / "long"
    try:
        ended = srpipe("run", picture, "-o", output, *PLAIN, "--workers", "1", changes={"TMPDIR": str(folder)})
    finally:
        shutil.rmtree(folder)
    right = (ended.code == 0 and _statuses(output) == ["done"]) or (ended.code == 2 and "TMPDIR" in ended.err)
    got = f"exit {ended.code}, {_statuses(output) or ended.last}"
    return "TMPDIR of 48 characters, Ray", got, "done, or exit 2 that says so", right


def _closed_streams(picture: Path, work: Path) -> Row:
    output = work / "closed"
    line = " ".join(["exec", *COMMAND, "run", str(picture), "-o", str(output), *INLINE, "<&-", ">&-", "2>&-"])
    code = subprocess.run(["/bin/sh", "-c", line], env=environment({}), check=False).returncode
    right = (code, _statuses(output)) == (0, ["done"])
    return "stdin, stdout and stderr closed", f"exit {code}, {_statuses(output)}", "done", right


def _hang_up(picture: Path, work: Path) -> Row:
    """A hang-up in the middle of a run: as after SIGTERM, what is done is recorded and the same command goes on."""
    folder, output = work / "many", work / "hung"
    folder.mkdir()
    for number in range(40):
        shutil.copy(picture, folder / f"{number:02}.png")
    command = [*COMMAND, "run", str(folder), "-o", str(output), *INLINE]
    process = subprocess.Popen(command, env=environment({}), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(output.glob("_commit/*/*.json"))) < 2 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGHUP)
    code = process.wait(60)
    committed = len(list(output.glob("_commit/*/*.json")))
    recorded = sum(len(pq.read_table(part)) for part in output.glob("manifest/*.parquet"))
    again = srpipe("run", folder, "-o", output, *INLINE)
    right = code in (129, 143) and 2 <= committed < 40 and recorded >= committed - 1 and again.code == 0
    got = f"exit {code}, {recorded} of {committed} recorded, then exit {again.code}"
    return "SIGHUP", got, "as SIGTERM: recorded, goes on", right


def _latin_1(picture: Path, work: Path) -> Row:
    folder, output, name = work / "latin", work / "latin-out", "Übersicht é.png"
    folder.mkdir()
    shutil.copy(picture, folder / name)
    locale = "en_US.ISO-8859-1"
    made = ["localedef", "-c", "-i", "en_US", "-f", "ISO-8859-1", str(work / locale)]
    if shutil.which(made[0]) is not None:
        subprocess.run(made, check=False, capture_output=True)
    changes = {"LOCPATH": str(work), "LC_ALL": locale}
    if not (work / locale).exists():
        changes = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    ended = srpipe("run", folder, "-o", output, *INLINE, changes=changes)
    keys = pq.read_table(output / "manifest.parquet")["key"].to_pylist() if _statuses(output) else []
    got = f"exit {ended.code}, {keys or ended.last}"
    return f"{changes['LC_ALL']} terminal", got, "the key is the name", (ended.code, keys) == (0, [name])


def _world_file(picture: Path, work: Path) -> Row:
    folder, output = work / "world", work / "world-out"
    folder.mkdir()
    for kind, world in ((".jpg", "a.jgw"), (".tif", "a.tfw")):
        with Image.open(picture) as image:
            image.save(folder / f"a{kind}")
        (folder / world).write_text("10\n0\n0\n-10\n500000\n5000000\n")
    srpipe("run", folder, "-o", output, *INLINE)
    notes = pq.read_table(output / "manifest.parquet")["notes"].to_pylist()
    right = all(any(world in (note or "") for note in notes) for world in ("a.jgw", "a.tfw"))
    return "a.jgw and a.tfw beside pictures", f"notes: {notes}", "the record says so", right
