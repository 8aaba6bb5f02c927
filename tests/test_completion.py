"""Shell completion: what bash runs when a person presses the tabulator, after `srpipe --install-completion`."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.main import get_group

from jobs.cli import app

REPOSITORY = Path(__file__).parent.parent

BASH = shutil.which("bash")

COMMANDS = get_group(app).commands

pytestmark = pytest.mark.skipif(BASH is None, reason="no bash here")

Bash = Callable[..., str]


@pytest.fixture
def bash(tmp_path: Path) -> Bash:
    """Run a script by a bash whose home is tmp_path and that finds this srpipe; its stdout."""
    programs = tmp_path / "bin"
    programs.mkdir()
    srpipe = programs / "srpipe"
    srpipe.write_text(f'#!{BASH}\nexec {sys.executable} -m jobs.cli "$@"\n')
    srpipe.chmod(0o755)
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("SRPIPE_", "_TYPER_"))}
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    environment = ours | {"HOME": str(tmp_path), "PATH": path, "PYTHONPATH": str(REPOSITORY), "LC_ALL": "C"}

    def run(script: str, **variables: str) -> str:
        (tmp_path / "script.sh").write_text(script)  # from a file: of `bash -c COMMAND` nothing would remain
        ended = subprocess.run(
            [str(BASH), "--norc", "script.sh"],
            env=environment | variables,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert (ended.returncode, ended.stderr) == (0, "")
        return ended.stdout

    return run


COMPLETE = """
source ~/.bashrc
words=({words})
COMP_WORDS=("${{words[@]}}" {last})
COMP_CWORD=${{#words[@]}}
[[ $(complete -p srpipe) =~ -F\\ ([a-z_]+) ]]
"${{BASH_REMATCH[1]}}" srpipe
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
"""What bash does for a command line: the function that is registered for its first word gets its words."""


@pytest.fixture
def complete(bash: Bash) -> Callable[..., set[str]]:
    """Install the completion, then complete the last word of a command line."""
    assert "bash completion installed" in bash("srpipe --install-completion\n:\n")

    def run(words: str, last: str, **variables: str) -> set[str]:
        return set(bash(COMPLETE.format(words=words, last=last or "''"), **variables).split())

    return run


def test_commands_options_and_choices_are_completed(complete: Callable[..., set[str]]) -> None:
    """Commands by their names, options by how they begin, and the values of those that have few."""
    assert complete("srpipe", "") == set(COMMANDS)
    assert complete("srpipe", "re") == {"report", "retry"}
    assert complete("srpipe run", "--max-") == {
        *("--max-pixels", "--max-seconds-per-image", "--max-failure-rate", "--max-hours", "--max-consistency-error")
    }
    assert complete("srpipe run m.csv --no", "--no-") == {"--no-self-ensemble"}
    assert complete("srpipe run m.csv --preset", "b") == {"balanced", "best"}
    assert complete("srpipe retry out --error-type", "mis") == {"missing"}


def test_files_are_left_to_bash(bash: Bash, complete: Callable[..., set[str]]) -> None:
    """Where srpipe has nothing to offer, bash completes the names of files by itself."""
    assert complete("srpipe run", "m") == set()
    assert complete("srpipe run --config", "job") == set()
    assert "-o default" in bash("source ~/.bashrc\ncomplete -p srpipe\n")


def test_what_is_wrong_on_the_line_does_not_disturb(complete: Callable[..., set[str]]) -> None:
    """A line is not finished while it is completed: no file that is missing yet, no variable, no value ends it."""
    line = "srpipe run --config gone.toml --scale 99 --steps many"
    assert complete(line, "--deep", SRPIPE_SCAEL="2") == {"--deep"}


def test_the_script_can_be_shown(bash: Bash) -> None:
    """`--show-completion` prints what `--install-completion` installs."""
    shown = bash("srpipe --show-completion\n:\n")
    bash("srpipe --install-completion\n:\n")
    assert shown == bash("cat ~/.bash_completions/srpipe.sh; echo\n")
    assert "complete -o default -F" in shown


def test_completing_loads_nothing_heavy(tmp_path: Path) -> None:
    """A person waits for it at every press of a key: neither torch nor Ray nor pyarrow nor numpy."""
    words = {"_SRPIPE_COMPLETE": "complete_bash", "COMP_WORDS": "srpipe run --dev", "COMP_CWORD": "2"}
    environment = os.environ | words | {"PYTHONPATH": str(REPOSITORY), "LC_ALL": "C"}
    command = [sys.executable, "-X", "importtime", "-m", "jobs.cli"]
    ended = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["--device"]
    loaded = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()}
    assert "typer" in loaded
    assert not loaded & {"torch", "ray", "pyarrow", "numpy", "PIL", "fsspec"}
