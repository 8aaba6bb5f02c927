"""Sensors that have names: their table, what people write of them, and what comes of it in a run."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sr_ops.camera.kernel_spec import FORMS, PLAIN, parse
from sr_ops.camera.kernels import describe, from_spec
from sr_ops.camera.sensors import SENSORS

from .fixture_types import MakePng, ReadRecords, Srpipe

GRIDS = [(name, grid) for name, sensor in SENSORS.items() for grid in sensor.grids.values()]

RUN = ("-s", "2", "--method", "bicubic", "--executor", "inline")


@pytest.fixture
def corrected(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes the table say something else of Sentinel-2's B3."""
    return lambda: monkeypatch.setitem(SENSORS["sentinel-2"].grids["10 m"], "B3", 0.3)


# ---- the table -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize(("name", "grid"), GRIDS, ids=lambda told: told if isinstance(told, str) else ",".join(told))
def test_kernels_let_through_what_the_table_says(name: str, grid: dict[str, float], scale: int) -> None:
    """At half a cycle per LR pixel, along x and y; a sampled Gaussian is off by what it lets through beyond."""
    kernels = from_spec(f"sensor:{name}:{','.join(grid)}", scale)
    for kernel, transfer in zip(kernels, grid.values(), strict=True):
        found = describe(kernel, scale)
        assert (found["mtf_x"], found["mtf_y"]) == pytest.approx((transfer, transfer), abs=0.02 if scale == 2 else 2e-3)


@pytest.mark.parametrize(
    ("told", "transfers"),
    [
        ("sensor:sentinel-2", "0.26,0.28,0.24,0.26"),
        ("sensor:sentinel-2:B4,B3,B2", "0.24,0.28,0.26"),
        ("sensor:quickbird", "0.34,0.32,0.30,0.22"),
        ("sensor:worldview-3", "0.325,0.355,0.360,0.350,0.365,0.360,0.335,0.315"),
        ("sensor:worldview-2:pan", "0.11"),
    ],
)
def test_a_sensor_is_the_mtf_that_was_published(told: str, transfers: str) -> None:
    """The same taps as of the numbers in the document, in the order of its product or of the text."""
    kernels, plain = from_spec(told, 3), from_spec(f"mtf:{transfers}", 3)
    assert len(kernels) == len(plain)
    assert all(torch.equal(kernel.taps, other.taps) for kernel, other in zip(kernels, plain, strict=True))


def test_the_docs_have_the_table() -> None:
    """docs/cameras.md: every band with its value, and where each document is found."""
    text = (Path(__file__).parent.parent / "docs/cameras.md").read_text()
    rows = re.findall(r"^\| `([\w-]+)` \| ([^|]+) \| ([^|]+) \|", text, re.MULTILINE)
    told = {(name, grid): dict(band.split() for band in bands.split(", ")) for name, grid, bands in rows}
    assert told == {
        (name, grid): {band: f"{transfer:g}" for band, transfer in bands.items()}
        for name, sensor in SENSORS.items()
        for grid, bands in sensor.grids.items()
    }
    links = {link for sensor in SENSORS.values() for link in re.findall(r"https://[\w./-]+|doi:[\w./]+", sensor.source)}
    assert len(links) > 2
    assert {link for link in links if link.removeprefix("doi:").rstrip(",") not in text} == set()


# ---- what people write -----------------------------------------------------------------------------------------------


@given(st.data())
def test_bands_of_one_grid_in_any_order_are_a_kernel_each(data: st.DataObject) -> None:
    """The canonical text has names and values, in the order that was written, and is its own."""
    name, grid = data.draw(st.sampled_from(GRIDS))
    bands = data.draw(st.lists(st.sampled_from(list(grid)), min_size=1, max_size=9))
    spec = parse(f"sensor:{name}:{','.join(bands)}")
    assert (spec.bands, spec.numbers) == (tuple(bands), tuple(grid[band] for band in bands))
    assert spec.text == f"sensor:{name}:{','.join(f'{band}={grid[band]:g}' for band in bands)}"
    assert parse(spec.text) == spec
    assert len(from_spec(spec.text, 2)) == len(bands)


@pytest.mark.parametrize(
    "written",
    ["Sensor:Sentinel-2:b4,B03,b02", " sensor: sentinel2 : B4, B3, B2 ", "SENSOR:SENTINEL_2:B04,B03,B02"],
)
def test_names_may_be_written_as_files_have_them(written: str) -> None:
    """In capital letters, with zeros, with spaces, with other hyphens or none."""
    assert parse(written).text == "sensor:sentinel-2:B4=0.24,B3=0.28,B2=0.26"


def test_a_text_keeps_the_values_that_it_stood_for(corrected: Callable[[], None]) -> None:
    """When the table is corrected names mean the new value; what a run has held of the old one does not change."""
    before = parse("sensor:sentinel-2:B3,B2").text
    corrected()
    assert parse("sensor:sentinel-2:B3,B2").text == "sensor:sentinel-2:B3=0.3,B2=0.26"
    assert parse(before).text == before == "sensor:sentinel-2:B3=0.28,B2=0.26"


BAD = {
    "sensor": "'sensor' is not a kernel; use bicubic, .*sensor:NAME",
    "sensor:": "'' is not a known sensor; use sentinel-2, quickbird",
    "sensor:sentinal-2": r"'sentinal-2' is not a known sensor \(the nearest is sentinel-2\); use sentinel-2, qu",
    "sensor:World View 1": r"the nearest is worldview-[23]",
    "sensor:landsat-8": "'landsat-8' is not a known sensor; use .* or mtf: with what its maker says",
    "sensor:sentinel-2:": "'' is not a band of sentinel-2; use B2, B3",
    "sensor:sentinel-2:B8a,B8b": r"'B8b' is not a band of sentinel-2 \(the nearest is B8",
    "sensor:sentinel-2:B4:B3": "'B4:B3' is not a band of sentinel-2",
    "sensor:sentinel-2:B4,,B2": "'' is not a band of sentinel-2",
    "sensor:ikonos:rde": r"'rde' is not a band of ikonos \(the nearest is red\); use blue, green, red, nir, pan",
    "sensor:sentinel-2:B4,B8A": r"B4 \(10 m\) and B8A \(20 m\) of sentinel-2 have pixels of different sizes",
    "sensor:worldview-2:nir2,pan": r"nir2 \(multispectral\) and pan \(panchromatic\) of worldview-2 have pixels",
    "sensor:sentinel-2:B4=x": "'B4=x' is not a transfer of a band; use B4, or B4=0.24",
    "sensor:sentinel-2:B4=": "'B4=' is not a transfer of a band",
    "sensor:sentinel-2:B4=1": "1 is not a transfer; it is above 0 and below 1",
    "sensor:sentinel-2:B4=nan": "nan is not a transfer",
}


@pytest.mark.parametrize(("written", "said"), BAD.items())
def test_what_names_no_sensor_or_band_is_refused(written: str, said: str) -> None:
    """With the nearest name, where there is one, and all names."""
    with pytest.raises(ValueError, match=said):
        parse(written)


def refusal(text: str) -> str:
    """What is said of a text that is not a kernel; "" for one that is."""
    try:
        parse(text)
    except ValueError as error:
        return str(error)
    return ""


@given(st.lists(st.sampled_from(["sentinel-2", "pan", "B4", "=", ":", ",", "0.2", "é", "b0", " "]), max_size=7))
def test_any_text_of_a_sensor_is_a_kernel_or_refused_in_a_sentence(pieces: list[str]) -> None:
    """Never another error; what is a kernel has a text that is the same."""
    text = f"sensor:{''.join(pieces)}"
    said = refusal(text)
    assert not said or re.search("not a known sensor|not a band of|different sizes|not a transfer", said)
    if not said:
        assert parse(parse(text).text) == parse(text)


# ---- the commands ----------------------------------------------------------------------------------------------------


def test_the_command_lists_all_names(srpipe: Srpipe) -> None:
    """For people, every line of a sensor being a kernel that may be written; and for programs."""
    code, out, _ = srpipe("kernel", "--list")
    assert code == 0
    lines = out.splitlines()
    assert set(PLAIN) <= set(lines)
    assert all(any(line.startswith(f"{form} ") for line in lines) for form in FORMS)
    told = [line.split("  (") for line in lines if line.startswith("sensor:") and "  (" in line]
    shown = [tuple(re.findall(r"(\S+) ([\d.]+)", of_it.partition(") ")[2])) for _, of_it in told]
    specs = [parse(text) for text, _ in told]
    assert [dict(pairs) for pairs in shown] == [
        {band: f"{number:g}" for band, number in zip(spec.bands, spec.numbers, strict=True)} for spec in specs
    ]
    assert len(specs) == len(GRIDS)
    told_by_json = json.loads(srpipe("kernel", "--list", "--json")[1])
    assert told_by_json["names"] == list(PLAIN)
    assert told_by_json["sensors"] == {
        name: {"bands": sensor.grids, "source": sensor.source} for name, sensor in SENSORS.items()
    }
    unwrapped = " ".join(out.split())
    assert all(sensor.source in unwrapped for sensor in SENSORS.values())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "SPEC is missing; name a kernel, or use --list"),
        (["--json"], "SPEC is missing"),
        (["box", "--list"], "--list prints all names, and SPEC says box; leave one of them out"),
        (["--list", "-o", "k.png"], "--output says k.png; leave one of them out"),
        (["sensor:sentinal-2"], "SPEC: 'sensor:sentinal-2': 'sentinal-2' is not a known sensor (the nearest is"),
    ],
)
def test_the_command_refuses(srpipe: Srpipe, arguments: list[str], said: str) -> None:
    """Exit 2 and one sentence."""
    code, out, err = srpipe("kernel", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_the_command_tells_which_band_is_whose(srpipe: Srpipe) -> None:
    """A sensor's names and values stand before what its kernels are, in the same order."""
    code, out, _ = srpipe("kernel", "sensor:sentinel-2:B8A,B11", "-s", "3")
    assert code == 0
    assert out.startswith("sensor:sentinel-2:B8A=0.33,B11=0.22\n")
    assert re.findall(r"per LR pixel: ([\d.]+) along x", out) == ["0.330", "0.220"]


def test_a_run_takes_sensors(srpipe: Srpipe, make_png: MakePng, read_records: ReadRecords, tmp_path: Path) -> None:
    """As option, cell and key of a job file: the pixels of its numbers; the record has names and values."""
    make_png(tmp_path / "rgb.png", height=24, width=20)
    make_png(tmp_path / "gray.png", height=24, width=20, bands=1)
    (tmp_path / "m.csv").write_text(
        'uri,id,kernel\nrgb.png,option,\nrgb.png,numbers,"mtf:0.24,0.28,0.26"\ngray.png,cell,sensor:worldview-2:pan\n'
        "rgb.png,four,sensor:ikonos\nrgb.png,one,sensor:ikonos:red\ngray.png,wrong,sensor:iconos\n"
    )
    code, _, err = srpipe("run", "m.csv", "-o", "out", *RUN, "--kernel", "sensor:sentinel-2:B4,B3,B2")
    assert (code, "Traceback" in err) == (3, False)
    records = read_records("out")
    assert records["option"]["kernel"] == "sensor:sentinel-2:B4=0.24,B3=0.28,B2=0.26"
    assert records["option"]["output_sha256"] == records["numbers"]["output_sha256"]
    assert records["cell"]["kernel"] == "sensor:worldview-2:pan=0.11"
    assert (records["one"]["status"], records["one"]["kernel"]) == ("done", "sensor:ikonos:red=0.29")
    assert (records["four"]["error_type"], records["four"]["error_message"]) == (
        "unsupported",
        "sensor:ikonos:blue=0.26,green=0.28,red=0.29,nir=0.28 is for 4 bands, the image has 3; name those of the"
        " image in its order, or one for all, as in sensor:ikonos:blue",
    )
    (wrong,) = (row for row in records.values() if row["error_type"] == "bad_row")
    assert "'iconos' is not a known sensor (the nearest is ikonos)" in wrong["error_message"]
    (tmp_path / "job.toml").write_text('kernel = "sensor:sentinel-2:B04,B03,B02"\n')
    assert srpipe("run", "rgb.png", "-o", "other", *RUN, "--config", "job.toml")[0] == 0
    (record,) = read_records("other").values()
    assert record["kernel"] == records["option"]["kernel"]
    assert record["config_fingerprint"] == records["option"]["config_fingerprint"]


def test_an_image_is_done_anew_when_its_sensor_is_corrected(
    srpipe: Srpipe, make_png: MakePng, read_records: ReadRecords, corrected: Callable[[], None], tmp_path: Path
) -> None:
    """The same command does it again, with the new value in the record; one whose bands kept theirs is done."""
    make_png(tmp_path / "rgb.png", height=24, width=20)
    make_png(tmp_path / "gray.png", height=24, width=20, bands=1)
    rows = "uri,kernel\nrgb.png,\ngray.png,sensor:sentinel-2:B4\n"
    (tmp_path / "m.csv").write_text(rows)
    command = ("run", "m.csv", "-o", "out", *RUN, "--kernel", "sensor:sentinel-2:B4,B3,B2", "--json")
    assert json.loads(srpipe(*command)[1])["done"] == 2
    assert json.loads(srpipe(*command)[1])["already_done"] == 2
    corrected()
    again = json.loads(srpipe(*command)[1])
    assert (again["done"], again["already_done"]) == (1, 1)
    assert read_records("out")["rgb.png"]["kernel"] == "sensor:sentinel-2:B4=0.24,B3=0.3,B2=0.26"
