"""The tables of all methods: what a line that is measured leaves of the others, and the bars."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import methods
from benchmarks.methods import BICUBIC, BLURRED, INTERPOLATED, Bar, Group, Table
from benchmarks.parts import Part, measure
from benchmarks.quality import Case
from benchmarks.results import processor, rows_of

LR, HR = Path("lr.png"), Path("hr.png")
SHRUNK = (Case("a", 2, "one", LR, HR), Case("a", 2, "two", LR, HR))
SHOT = (Case("b", 2, "one", LR, HR),)

MeasureLine = Callable[..., list[str]]


@pytest.fixture
def table() -> Table:
    groups = (Group(BICUBIC, SHRUNK), Group(BLURRED, SHOT, told=False))
    return Table("a-x2", "A at x2", groups, (Bar("ibp", "bicubic", -0.05), Bar("srcnn", INTERPOLATED, 1.5)))


@pytest.fixture
def document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "methods.md"
    path.write_text("# Methods\n\n<!-- methods-other begins -->\n| kept |\n<!-- methods-other ends -->\n")
    monkeypatch.setattr(methods, "DOCUMENT", path)
    return path


@pytest.fixture
def measure_line(table: Table, document: Path, monkeypatch: pytest.MonkeyPatch) -> MeasureLine:
    """Measure a method that has these dB: the second image of a group has one more than the first."""

    def measured(method: str, psnr: float, seconds: float, workers: int = 1) -> list[str]:
        at_once = ("--executor", "inline") if workers == 1 else ("--workers", str(workers))

        def run_and_score(name: str, cases: list[Case], *options: str) -> dict[str, dict[str, Any]]:
            assert (name, options) == (f"methods-a-x2-{method}", (*methods.WAYS[method], *at_once))
            of_interpolation = {"bicubic_psnr_y": 30.0, "bicubic_ssim_y": 0.8}
            return {
                case.id: {"psnr_y": psnr + (case.name == "two"), "ssim_y": 0.9, "seconds": seconds, **of_interpolation}
                for case in cases
            }

        monkeypatch.setattr(methods, "run_and_score", run_and_score)
        line: dict[str, Callable[[], Part]] = {"a-x2": lambda: table.measure(method, workers)}
        return measure("make bench-methods DATA=...", "methods", line, timed=False, document=document)

    return measured


def test_a_method_takes_its_line_and_leaves_the_others(measure_line: MeasureLine, document: Path) -> None:
    measure_line("lanczos", 31.0, 2.0)
    measure_line("ibp", 32.0, 3.0)
    measure_line("lanczos", 33.0, 4.0)
    rows = rows_of("methods-a-x2", document)
    assert rows == {
        INTERPOLATED: ["30.00", "0.8000", "", "30.00", "0.8000", "", ""],
        "ibp": ["32.50", "0.9000", "3.0", "32.00", "0.9000", "3.0", processor()],
        "lanczos": ["33.50", "0.9000", "4.0", "33.00", "0.9000", "4.0", processor()],
    }
    assert list(rows) == [INTERPOLATED, "ibp", "lanczos"], "in the order of the registry, whatever was measured first"
    assert document.read_text().count("<!-- methods-a-x2 begins -->") == 1
    assert "| kept |" in document.read_text()


def test_a_network_from_scratch_has_no_figures_of_a_kernel_that_it_does_not_know(
    measure_line: MeasureLine, document: Path
) -> None:
    measure_line("srcnn", 31.0, 2.0)
    assert rows_of("methods-a-x2", document) == {"srcnn": ["31.50", "0.9000", "2.0", "", "", "", processor()]}


def test_a_line_tells_how_many_images_were_enlarged_at_once(measure_line: MeasureLine, document: Path) -> None:
    """Seconds of an image beside another are not those of an image alone."""
    measure_line("srcnn", 31.0, 2.0, workers=2)
    assert rows_of("methods-a-x2", document)["srcnn"][-1] == f"{processor()}, 2 at once"


def test_bars_ask_what_the_document_has(measure_line: MeasureLine) -> None:
    """Of lines that were measured by an earlier call too, and of none that are missing."""
    assert measure_line("srcnn", 29.0, 1.0) == []
    assert measure_line("ibp", 29.9, 1.0) == ["srcnn on A at x2, bicubic: 29.50 dB, at least 31.50 asked"]
    assert measure_line("srcnn", 31.0, 1.0) == []
    assert len(measure_line("bicubic", 29.95, 1.0)) == 0
    assert measure_line("bicubic", 29.96, 1.0) == [
        "ibp on A at x2, bicubic: 30.40 dB, at least 30.41 asked",
        "ibp on A at x2, g2.0: 29.90 dB, at least 29.91 asked",
    ]
