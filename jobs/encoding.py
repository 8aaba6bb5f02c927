"""Names of files are bytes, nearly everywhere those of UTF-8, whatever the terminal's encoding is."""

import codecs
import locale
import os
import sys
from io import TextIOWrapper


def use_utf8() -> None:
    """Begin this process anew in Python's UTF-8 mode where the locale has another encoding; its workers inherit that.

    Else Python would read a name's bytes as letters of that encoding, and keys and records would hold those. What is
    printed stays in the encoding of the terminal.
    """
    if codecs.lookup(sys.getfilesystemencoding()).name != "utf-8":
        environment = {**os.environ, "PYTHONUTF8": "1"}
        os.execve(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]], environment)
    encoding = codecs.lookup(locale.getencoding()).name
    if encoding not in ("utf-8", "ascii"):
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # there is none where it was closed
                stream.reconfigure(encoding=encoding, errors="backslashreplace")
