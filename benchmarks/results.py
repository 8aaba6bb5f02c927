"""docs/results.md and docs/fidelity.md: a section per benchmark, each with the machine it was measured on."""

import os
import platform
import re
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

RESULTS = Path(__file__).parent.parent / "docs" / "results.md"
FIDELITY = RESULTS.with_name("fidelity.md")
METHODS = RESULTS.with_name("methods.md")

_HEADERS = {
    document: f"# {title}\n\nThe benchmarks write this page. Each section names the command that makes it anew.\n"
    for document, title in ((RESULTS, "Results"), (FIDELITY, "Fidelity"), (METHODS, "Methods side by side"))
}
_HEADERS[METHODS] += """
![The demo's page by nine methods](compare.png)

`srpipe methods` says what each of these names does. *bicubic, no data step* is plain interpolation. `prior` is the
shipped network as it is. Below it stand the networks that are fitted to each image from scratch (`--network`); they
know bicubic's blur alone, so their cells for other blurs are empty. *g2.0* is a Gaussian of variance 2, in HR pixels.
*2 at once*: two images were enlarged beside each other, each by a thread of its own, which makes each slower.
"""


def machine() -> str:
    """One line about what the figures were measured with."""
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{datetime.now(UTC):%Y-%m-%d}; {processor()}, {os.cpu_count()} cores, {gigabytes:.0f} GiB, {_gpu()}; "
        f"Python {platform.python_version()}{_installed('torch')}{_installed('ray')}{_installed('srpipe')}"
    )


def processor() -> str:
    """Return the name of this machine's processor."""
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.exists() else None
    return found[1] if found else platform.processor()


def _installed(name: str) -> str:
    """A borrowed GPU machine may have torch alone."""
    try:
        return f", {name} {version(name)}"
    except PackageNotFoundError:
        return ""


def _gpu() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"


def write_section(name: str, text: str, path: Path = RESULTS) -> None:
    """Put a section into one of the documents: in place of its earlier self, or at the end."""
    begin, end = f"<!-- {name} begins -->", f"<!-- {name} ends -->"
    section = f"\n{begin}\n{text.strip()}\n{end}\n"
    document = path.read_text() if path.exists() else _HEADERS[path]
    before, _, rest = document.partition(f"\n{begin}\n")
    path.parent.mkdir(exist_ok=True)
    path.write_text(before + section + rest.partition(f"{end}\n")[2])


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def rows_of(name: str, path: Path) -> dict[str, list[str]]:
    """The table that a section of a document has already: the cells of its lines by the first one."""
    document = path.read_text() if path.exists() else ""
    found = re.search(f"<!-- {name} begins -->.*?<!-- {name} ends -->", document, flags=re.DOTALL)
    lines = [line.strip()[1:-1].split("|") for line in found[0].splitlines() if line.startswith("| ")] if found else []
    return {first.strip(): [cell.strip() for cell in cells] for first, *cells in lines[2:]}
