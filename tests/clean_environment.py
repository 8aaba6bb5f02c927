"""Takes away what the machine's environment would change in the tests; imported before anything of the project.

Typer asks for colours when it is imported; credentials, proxies and a cluster would be found by child processes, too.
"""

import os
import signal

_OF_THE_TERMINAL = {
    *("COLUMNS", "FORCE_COLOR", "GITHUB_ACTIONS", "LINES", "NO_COLOR", "PY_COLORS", "TERMINAL_WIDTH"),
    *("TTY_COMPATIBLE", "TTY_INTERACTIVE"),
}

_OF_CLUSTERS = {"RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}


def _is_taken_away(name: str) -> bool:
    of_a_store = name.startswith("AWS_") and "TEST_S3_ENDPOINT" not in os.environ
    of_a_proxy = name.lower().endswith("_proxy")
    return name in _OF_THE_TERMINAL | _OF_CLUSTERS or name.startswith("SRPIPE_") or of_a_store or of_a_proxy


for _name in list(os.environ):
    if _is_taken_away(_name):
        del os.environ[_name]

if "TEST_S3_ENDPOINT" not in os.environ:  # an identity of this machine would be found where none is given
    os.environ |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}

if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:  # as under nohup: what the tests start would ignore it, too
    signal.signal(signal.SIGHUP, lambda *_: None)
