"""What `--help` says: sentences under titles, all of which the reference has, too."""

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_group

from jobs.cli import app
from pipeline.output.record import COLUMNS

from .fixture_types import Srpipe

COMMANDS: dict[str, Any] = get_group(app).commands

DOCS = Path(__file__).parent.parent / "docs"

PANELS = {
    "What": {"config", "root", "limit", "strict", "deep"},
    "Quality": {
        *("scale", "preset", "prior", "method", "steps", "network", "width", "depth", "crop", "batch"),
        *("learning-rate", "seed", "self-ensemble", "back-projection", "tile-size", "nodata", "range"),
        *("kernel", "noise", "stack", "target-gsd", "target-size", "weights", "model-halo"),
        *("loss", "adversarial", "dropout", "normalisation"),
    },
    "Output": {
        *("output", "existing", "format", "single", "dpi", "disagreement", "report", "json", "verbose", "log-format"),
    },
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
    *("Add", "Assume", "Average", "Build", "Choose", "Compare", "Compute", "Correct", "Cut", "Describe", "Detect"),
    *("Do", "Draw", "Drop", "Enlarge", "Fail", "Fit", "Give", "Join", "Keep", "Learn"),
    *("Let", "List", "Make", "Mark", "Measure", "Minimise", "Multiply", "Name", "Normalise", "Pass"),
    *("Pay", "Plan", "Print", "Read", "Refuse", "Report", "Retry", "Score", "Send", "Set"),
    *("Show", "Start", "Stop", "Take", "Train", "Upscale", "Use", "Wait", "Work", "Write"),
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
def test_no_type_stands_beside_what_takes_no_value(command: str, srpipe: Srpipe) -> None:
    """A flag is given alone; and what may be given more than once is no list in brackets."""
    _, out, _ = srpipe(command, "--help")
    assert "<bool>" not in out
    assert "list[" not in out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_sentences_that_begin_with_a_verb(command: str) -> None:
    """Help texts are read one by one: "Refuse images of more than ...", not "Of an input"."""
    texts = [COMMANDS[command].help, *(parameter.help for parameter in COMMANDS[command].params)]
    for text in texts:
        assert text.split()[0] in VERBS, text
        assert text.endswith("."), text


def test_what_compare_refuses_is_not_in_its_help(srpipe: Srpipe) -> None:
    """Neither on a terminal nor in the reference: --methods names methods and networks."""
    _, shown, _ = srpipe("compare", "--help")
    _, _, section = (DOCS / "reference.md").read_text().partition("### `srpipe compare")
    for text in (shown, section.partition("### ")[0]):
        listed = re.findall(r"^(?:│|\|) `?--(method\w*|network)\b", text, re.MULTILINE)
        assert listed == ["methods"]


def test_commands_are_listed_whole(srpipe: Srpipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal of 80 columns, a line each: the first sentence of what it does."""
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = srpipe("--help")
    assert (code, err) == (0, "")
    for name, command in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(command.help.partition('. ')[0].rstrip('.'))}\.$", out, re.MULTILINE)


def test_the_reference_is_what_the_code_says() -> None:
    """docs/reference.md is made from the code; `make reference` writes it."""
    specification = spec_from_file_location("make_reference", DOCS / "make_reference.py")
    assert specification is not None
    assert specification.loader is not None
    reference = module_from_spec(specification)
    specification.loader.exec_module(reference)
    made = reference.page()
    assert {flag for name in COMMANDS for parameter in options(name) for flag in flags(parameter)} <= set(
        re.findall(r"--[a-z][a-z0-9-]*", made)
    )
    assert (DOCS / "reference.md").read_text() == made, "run `make reference`"


def test_every_column_is_explained() -> None:
    """None stands in the reference without a word of what it means; they are in the order of the table."""
    _, _, columns = (DOCS / "reference.md").read_text().partition("## Record columns")
    assert re.findall(r"^\| `(\w+)` \| [\w ]+ \|  \|$", columns, re.MULTILINE) == []
    assert re.findall(r"^\| `(\w+)` \|", columns, re.MULTILINE) == list(COLUMNS)


def test_every_command_is_told_at_length() -> None:
    """A page for people names it, besides the reference."""
    pages = [page for page in (*DOCS.glob("*.md"), DOCS.parent / "README.md") if page.name != "reference.md"]
    told = "".join(page.read_text() for page in pages)
    assert {name for name in COMMANDS if f"srpipe {name}" not in told} == set()


def test_help_tells_the_choices(srpipe: Srpipe) -> None:
    """`srpipe run --help` names every preset and method, and what a prior may be."""
    _, out, _ = srpipe("run", "--help")
    words = set(re.findall(r"\w+", out))
    assert {"fast", "balanced", "best", "paper", "auto", "zssr", "bicubic", "shipped", "none", "FILE"} <= words


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (("run", "scans", "--limit", "0"), "srpipe run --help"),
        (("watch", "--no"), "srpipe watch --help"),
        (("no",), "srpipe --help"),
        (("run", "scans", "--scale"), "srpipe run --help"),
    ],
)
def test_a_wrong_option_leads_to_the_help_of_its_command(words: tuple[str, ...], place: str, srpipe: Srpipe) -> None:
    """The help of srpipe itself lists commands alone."""
    code, _, err = srpipe(*words)
    assert code == 2
    assert err.rstrip().endswith(f"; see {place}")
