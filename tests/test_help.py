"""What `--help` says: sentences under titles, and nothing that README does not tell at length."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_group

from jobs.cli import app

COMMANDS: dict[str, Any] = get_group(app).commands

Srpipe = Callable[..., tuple[int, str, str]]

PANELS = {
    "What": {"config", "root", "limit", "strict", "deep"},
    "Quality": {
        *("scale", "preset", "prior", "method", "steps", "network", "width", "depth", "crop", "batch"),
        *("learning-rate", "seed", "self-ensemble", "back-projection", "tile-size", "nodata", "range"),
        *("kernel", "noise", "stack", "target-gsd", "target-size"),
        *("loss", "adversarial", "dropout", "normalisation"),
    },
    "Output": {"output", "existing", "format", "single", "dpi", "report", "json"},
    "Machine": {"device", "workers", "threads-per-worker", "gpus-per-worker", "executor", "address"},
    "Limits": {
        *("retries", "max-pixels", "max-seconds-per-image", "max-consistency-error", "max-failure-rate", "max-hours"),
    },
    "Storage": {
        *("s3-endpoint-url", "s3-profile", "s3-anon", "s3-requester-pays", "storage-option"),
        *("output-s3-endpoint-url", "output-s3-profile", "output-storage-option"),
    },
}

VERBS = {
    *("Add", "Ask", "Back-project", "Call", "Choose", "Compute", "Cut", "Do", "Draw", "Enlarge", "Fail"),
    *("Fit", "Give", "Go", "Join", "Keep", "Learn", "Let", "Make", "Name", "Normalise", "Pay", "Print"),
    *("Put", "Read", "Refuse", "Say", "Score", "Send", "Start", "Stop", "Take", "Tell"),
    *("Train", "Try", "Upscale", "Use", "Wait", "Work", "Write"),
}


def options(command: str) -> list[Any]:
    return [parameter for parameter in COMMANDS[command].params if parameter.param_type_name == "option"]


def flags(parameter: Any) -> list[str]:
    return [flag for flag in (*parameter.opts, *parameter.secondary_opts) if flag.startswith("--")]


def test_options_of_a_run_stand_in_panels() -> None:
    """Every option is in one of six; a new one has to be put into one."""
    found: dict[str, set[str]] = {}
    for parameter in options("run"):
        found.setdefault(parameter.rich_help_panel, set()).add(flags(parameter)[0].strip("-"))
    assert found == PANELS


def test_panels_and_whole_names_are_shown(srpipe: Srpipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal of 100 columns no name is cut off, and each stands under its title."""
    monkeypatch.setenv("COLUMNS", "100")
    code, out, err = srpipe("run", "--help")
    assert (code, err) == (0, "")
    titles = [match[1] for match in re.finditer(r"─ (\w+) ─", out)]
    assert titles == ["Arguments", "Options", *PANELS]
    for parameter in options("run"):
        _, _, below = out.partition(f"─ {parameter.rich_help_panel} ─")
        for flag in flags(parameter):
            assert re.search(rf"{flag}\s", below.partition("─ ")[0])


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_sentences_that_begin_with_a_verb(command: str) -> None:
    """They are read one by one: "Refuse images larger than ...", not "Of an input"."""
    texts = [COMMANDS[command].help, *(parameter.help for parameter in COMMANDS[command].params)]
    for text in texts:
        assert text.split()[0] in VERBS, text
        assert text.endswith("."), text


def test_commands_are_listed_whole(srpipe: Srpipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal of 80 columns, a line each: the first sentence of what it does."""
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = srpipe("--help")
    assert (code, err) == (0, "")
    for name, command in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(command.help.partition('. ')[0].rstrip('.'))}\.$", out, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_in_the_readme(command: str) -> None:
    """An option or command that the README does not tell of is not there for anybody."""
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    told = set(re.findall(r"--[a-z][a-z0-9-]*", readme))
    assert f"srpipe {command}" in readme
    assert {flag for parameter in options(command) for flag in flags(parameter)} <= told


def test_help_tells_the_choices(srpipe: Srpipe) -> None:
    """`srpipe run --help` names every preset and method, and what a prior may be."""
    _, out, _ = srpipe("run", "--help")
    words = set(re.findall(r"\w+", out))
    assert {"fast", "balanced", "best", "paper", "auto", "zssr", "bicubic", "shipped", "none", "FILE"} <= words
