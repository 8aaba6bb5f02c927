"""The GPU benchmark's own logic, on the processor and with next to no work."""

from dataclasses import replace

import pytest
import torch

from benchmarks import gpu
from benchmarks.results import RESULTS


def read_tables(text: str) -> list[list[dict[str, str]]]:
    """Every Markdown table as its rows by column."""
    tables = []
    for block in text.split("\n\n"):
        lines = [line.strip("| ").split(" | ") for line in block.splitlines() if line.startswith("|")]
        if lines:
            tables.append([dict(zip(lines[0], line, strict=True)) for line in lines[2:]])
    return tables


def test_the_benchmark_measures_every_way(capsys: pytest.CaptureFixture[str]) -> None:
    """Each stack has a row of phases that add up to its throughput, each way of fitting has one; nothing is written."""
    before = RESULTS.read_bytes()
    arguments = ["--device", "cpu", "--images", "2", "--size", "24", "--steps", "2", "--stacks", "1,2,4"]
    assert gpu.main(arguments) == 0
    assert RESULTS.read_bytes() == before
    phases, kernels, ways = read_tables(capsys.readouterr().out)
    assert [row["stack"] for row in phases] == ["`fit`", "1", "2"]
    for row in phases:
        milliseconds = [float(row[f"{phase.replace('_', '-')} ms"]) for phase in gpu.PHASES]
        assert all(spent > 0 for spent in milliseconds)
        assert float(row["images/s"]) == pytest.approx(1000 / sum(milliseconds), rel=0.02)
        assert float(row["Mpixel/s"]) == pytest.approx(float(row["images/s"]) * 48 * 48 / 1e6, abs=0.001)
        assert float(row["fit TFLOP/s"]) > 0
        assert 0 < float(row["of the floor"].removesuffix(" %")) < 100
    assert {(row["stack"], row["streams"], row["CUDA graph"]) for row in ways} == {
        ("`fit`", "1", "no"),
        ("`fit`", "2", "no"),
        *(("1", streams, graph) for streams in "12" for graph in ("yes", "no")),
        *(("2", "1", graph) for graph in ("yes", "no")),
    }
    assert all(float(row["fits/s"]) > 0 for row in ways)
    assert len(kernels) == gpu.KERNELS
    assert all(0 < float(row["share"].removesuffix(" %")) < 100 for row in kernels)


@pytest.mark.parametrize(("side", "pixels"), [(256, 4 * 48 * 48), (24, 4 * 7 * 7)])
def test_the_floor_counts_the_pixels_of_the_sons(side: int, pixels: int) -> None:
    """A step works on 4 sons of 48 x 48 pixels for crops of 96, or on what the smallest level of the image allows."""
    settings = replace(gpu.preset(gpu.Preset.BALANCED, from_prior=True), scale=gpu.SCALE)
    lesson = gpu.lesson_of(torch.rand(3, side, side), settings)
    assert gpu.fit_flop([lesson, lesson], settings) == pytest.approx(2 * 20 * pixels * 1.43e6)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence on stderr and exit 2."""
    assert gpu.main([]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert "GPU" in told.err


def test_a_way_that_the_device_refuses_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps what was measured before, and ends the table: an error of a device outlasts what caused it."""

    def refuses_several(_lessons: object, way: gpu.Way, _bench: gpu.Bench) -> float:
        if way.threads > 1:
            raise RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED")
        return 2.0

    monkeypatch.setattr(gpu, "fits_seconds", refuses_several)
    settings = replace(gpu.preset(gpu.Preset.BALANCED, from_prior=True), scale=gpu.SCALE)
    bench = gpu.Bench(torch.device("cpu"), settings, gpu.PEAK_TFLOPS, gpu.draw_pngs(2, 24))
    (ways,) = read_tables(gpu.ways_table([1, 2], bench))
    assert [row["streams"] for row in ways] == ["1", "1", "1", "1", "1", "2"]
    assert [row["fits/s"] for row in ways] == ["1.00"] * 5 + ["failed"]
    assert "CUDNN_STATUS_EXECUTION_FAILED" in ways[-1]["TFLOP/s"]
