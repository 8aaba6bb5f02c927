"""File names are bytes, nearly always UTF-8, whatever the terminal's encoding is."""

import codecs
import locale
import os
import sys
from io import TextIOWrapper

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


def visible(line: str) -> str:
    """Spell out control characters, with which a file's name could draw on the terminal or add lines to the log.

    So are bytes of a name that are not UTF-8, which a terminal may refuse.
    """
    return line.translate(_CONTROLS).encode(errors="backslashreplace").decode()


def use_utf8() -> None:
    """Restart this process in Python's UTF-8 mode if the locale has another encoding; its workers inherit that.

    Otherwise Python would decode names in that encoding, and keys and records would be wrong. Output stays in the
    encoding of the terminal.
    """
    if codecs.lookup(sys.getfilesystemencoding()).name != "utf-8":
        environment = {**os.environ, "PYTHONUTF8": "1"}
        os.execve(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]], environment)
    encoding = codecs.lookup(locale.getencoding()).name
    if encoding not in ("utf-8", "ascii"):
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # it is None if it was closed
                stream.reconfigure(encoding=encoding, errors="backslashreplace")
