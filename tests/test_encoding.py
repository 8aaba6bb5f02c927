"""Names of files in terminals of other encodings than UTF-8."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

NAME = "Übersicht é.png"
MANIFESTS = ("in", f"in/{NAME}", "in/*.png", "in/gone ü.png")

PROGRAM = """if True:
    import os, sys
    from jobs.cli import main

    for number, manifest in enumerate(sys.argv[1:]):
        options = ["-s", "2", "--method", "bicubic", "--executor", "inline"]
        sys.argv = ["srpipe", "run", manifest, "-o", f"out{number}", *options]
        try:
            main()
        except SystemExit as ended:
            print("exit code", ended.code, file=sys.stderr)
"""


def _run(folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    """Do each manifest into an output of its own, in one process, since its start takes longest."""
    inherited = {name: text for name, text in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    root = str(Path(__file__).parent.parent)
    command = [sys.executable, "-c", PROGRAM, *MANIFESTS]
    return subprocess.run(
        command, cwd=folder, env={**inherited, "PYTHONPATH": root, **environment}, capture_output=True, check=False
    )


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "in" / NAME)
    return tmp_path


def _latin(tmp_path: Path) -> dict[str, str]:
    """A locale made for the test: few machines have one of Latin-1."""
    name = "en_US.ISO-8859-1"
    localedef = shutil.which("localedef")
    made = localedef and subprocess.run(
        [localedef, "-c", "-i", "en_US", "-f", "ISO-8859-1", str(tmp_path / name)], capture_output=True, check=False
    )
    if not made or not (tmp_path / name / "LC_CTYPE").exists():
        pytest.skip("no Latin-1 locale can be made here")
    return {"LOCPATH": str(tmp_path), "LC_ALL": name}


@pytest.mark.parametrize("terminal", ["Latin-1", "ASCII"])
def test_keys_are_the_names(pictures: Path, terminal: str) -> None:
    """Keys, uris and tiles are those of UTF-8; only what is printed is of the terminal."""
    ascii_alone = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    environment = ascii_alone if terminal == "ASCII" else _latin(pictures)
    said = _run(pictures, environment).stderr
    codes = [line.split()[-1] for line in said.splitlines() if line.startswith(b"exit code")]
    assert codes == [b"0", b"0", b"0", b"2"], said
    for number in range(3):
        out = pictures / f"out{number}"
        (row,) = pq.read_table(out / "manifest.parquet").to_pylist()
        assert (row["key"], row["status"], row["source_uri"]) == (NAME, "done", str(pictures / "in" / NAME))
        assert (out / "tiles" / NAME / "r0000_c0000.png").exists()
    assert terminal == "ASCII" or "gone ü.png".encode("latin-1") in said
