"""docs/results.md: one section per benchmark, each with the machine it was measured on."""

import os
import platform
import re
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

RESULTS = Path(__file__).parent.parent / "docs" / "results.md"

_HEADER = "# Results\n\nWritten by the benchmarks; each section names the command that makes it anew.\n"


def machine() -> str:
    """One line about what the figures were measured with."""
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.exists() else None
    processor = found[1] if found else platform.processor()
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{datetime.now(UTC):%Y-%m-%d}; {processor}, {os.cpu_count()} cores, {gigabytes:.0f} GiB, {_gpu()}; "
        f"Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in ("torch", "ray", "srpipe"))
    )


def _gpu() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"


def write_section(name: str, text: str) -> None:
    """Put a section into docs/results.md in place of its earlier self."""
    begin, end = f"<!-- {name} begins -->", f"<!-- {name} ends -->"
    document = RESULTS.read_text() if RESULTS.exists() else _HEADER
    document = re.sub(f"\n{begin}.*{end}\n", "", document, flags=re.DOTALL)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(f"{document}\n{begin}\n{text.strip()}\n{end}\n")


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
