"""What a report tells, found from records alone: gains, the choice of images, causes, bars, places, packed records."""

import base64
import gzip
import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import rasterio

from pipeline.output import records
from pipeline.output.record import Record
from pipeline.report import histograms, places
from pipeline.report.causes import causes
from pipeline.report.choice import choose
from pipeline.report.course import Course
from pipeline.report.measures import GAIN, of_done
from pipeline.report.page import _figures, scale_words
from pipeline.report.rows import held_rows, pack
from pipeline.report.told import Condition
from pipeline.report.words import TIMES


def a_record(key: str = "a", **changes: Any) -> Record:
    plain = Record(key=key, manifest_line=1, source_uri=key, status="done", method_used="prior", scale=2.0)
    return replace(plain, **changes)


def a_table(*many: Record) -> pa.Table:
    return records.to_table(many)


def test_gain_is_of_what_enlarged_the_image() -> None:
    """The fit where it was kept, the prior where that was, nothing where bicubic was; only of what is done."""
    scores = {"reconstruction_psnr": 33.0, "prior_reconstruction_psnr": 32.0, "bicubic_reconstruction_psnr": 30.0}
    table = a_table(
        a_record(**scores, method_used="zssr"),
        a_record(**scores, method_used="prior"),
        a_record(**scores, method_used="bicubic"),
        a_record(**scores | {"reconstruction_psnr": None}),
        a_record(**scores | {"bicubic_reconstruction_psnr": None}),
        a_record(**scores, status="failed"),
    )
    assert of_done(GAIN, table).tolist() == pytest.approx([3, 2, 0, 2, np.nan, np.nan], nan_ok=True)


def with_gain(key: str, gain: float, **changes: Any) -> Record:
    return a_record(key, prior_reconstruction_psnr=30 + gain, bicubic_reconstruction_psnr=30.0, **changes)


def test_the_best_and_the_worst_are_chosen() -> None:
    """By gain, none twice, failures not at all; the same ones always, but other random ones for another seed."""
    gains = np.random.default_rng(0).permutation(40)
    table = a_table(*(with_gain(str(gain), float(gain)) for gain in gains), a_record("failed", status="failed"))
    keys = np.array(table["key"].to_pylist())
    choice = choose(table, 3, seed=0)
    titled = {group.title: keys[list(group.rows)].tolist() for group in choice.groups}
    assert titled["Best"] == ["39", "38", "37"]
    assert titled["Worst"] == ["0", "1", "2"]
    assert len(set(choice.rows)) == 9
    assert choose(table, 3, seed=0) == choice != choose(table, 3, seed=1)


@pytest.mark.parametrize("many", range(8))
def test_of_few_images_each_is_shown_once(many: int) -> None:
    """However few there are."""
    choice = choose(a_table(*(with_gain(str(gain), float(gain)) for gain in range(many))), 4, seed=0)
    assert sorted(choice.rows) == list(range(many))


def test_without_gains_consistency_ranks() -> None:
    """The least error is the best."""
    table = a_table(*(a_record(str(index), consistency_rmse=float(index + 1)) for index in range(9)))
    choice = choose(table, 2, seed=0)
    assert choice.measure is not None
    assert choice.measure.name == "consistency"
    assert choice.groups[0].rows == (0, 1)


def test_scenes_are_shown() -> None:
    """Images of many tiles, the largest first."""
    table = a_table(*(with_gain(str(n), float(n), tiles=1 + n, width=n, height=1) for n in range(20)))
    titled = {group.title: group.rows for group in choose(table, 2, seed=0).groups}
    assert titled["Largest"] == (17, 16)  # 19 and 18 are the best


def test_failures_are_one_cause_where_the_remedy_is_one() -> None:
    """By kind and by how their sentences end, the most frequent first, with at most so many of them."""
    failed = [
        a_record(str(n), status="failed", error_type="corrupt", error_message=f"the file is cut at {n}; replace it")
        for n in range(20)
    ]
    other = a_record("x", status="failed", error_type="corrupt", error_message="no picture; give a picture")
    first, second = causes(a_table(other, *failed, a_record("fine")))
    assert (first.count, first.remedy, first.error_type) == (20, "Replace it.", "corrupt")
    assert first.examples[0] == ("0", "the file is cut at 0; replace it")
    assert len(first.examples) < 20
    assert (second.count, second.remedy) == (1, "Give a picture.")


def test_remedies_that_differ_in_numbers_are_one_cause() -> None:
    """The first is shown."""
    messages = [f"it has {n} pixels; give --max-pixels {n}e6 or more" for n in range(7, 30)]
    table = a_table(
        *(a_record(m, status="failed", error_type="too_large", error_message=m) for m in messages),
        a_record("other", status="failed", error_type="too_large", error_message="it has 7 pixels; give another"),
    )
    assert [(cause.count, cause.remedy) for cause in causes(table)] == [
        (23, "Give --max-pixels 7e6 or more."),
        (1, "Give another."),
    ]


def test_bars_hold_every_image() -> None:
    """Each image is in a bar; the median is between the least and the largest, on both kinds of axes."""
    seconds = np.random.default_rng(0).lognormal(0, 2, 500)
    table = a_table(*(with_gain(str(n), float(n % 7), total_s=float(s)) for n, s in enumerate(seconds)))
    for drawn in histograms.histograms(table):
        assert sum(int(re.search(r": (\d+) image", bar.label)[1]) for bar in drawn.bars) == 500  # type: ignore[index]
        assert all(-0.01 <= bar.left <= histograms.WIDTH for bar in drawn.bars)
        assert 2 <= len(drawn.ticks) <= 14
        assert drawn.highest == max(int(re.search(r": (\d+) image", bar.label)[1]) for bar in drawn.bars)  # type: ignore[index]
        assert 0 < drawn.median_at < histograms.WIDTH


@pytest.mark.parametrize("by_factors", [False, True])
def test_a_median_is_one_number(by_factors: bool) -> None:
    """The line stands where its label says, between the middle two of an even number, on both kinds of axes."""
    table = a_table(*(with_gain(str(n), value, total_s=value) for n, value in enumerate([1.0, 2.0, 10.0, 64.0])))
    drawn = next(one for one in histograms.histograms(table) if one.measure.by_factors == by_factors)
    places = {float(label): place for place, label in drawn.ticks}
    (low, at_low), (high, at_high) = sorted(places.items())[0], sorted(places.items())[-1]
    scale = np.log if by_factors else np.asarray
    share = (drawn.median_at - at_low) / (at_high - at_low)
    assert drawn.median == "6"
    assert share == pytest.approx((scale(6.0) - scale(low)) / (scale(high) - scale(low)), abs=0.01)
    course = Course(Condition.DONE, {"done": 4}, 4, "")
    (large,) = [figure for figure in _figures(table, course) if figure.name == "Gain, median"]
    assert large.value == "+6.00"


@pytest.mark.parametrize("values", [[2.94, 5.84, 7.68], [6.0, 6.5], [5.0], [3000.0, 3100.0]])
def test_an_axis_has_two_numbers_at_least(values: list[float]) -> None:
    """One number alone says nothing of what lies between; neighbours on a logarithmic axis have round ones, too."""
    (drawn,) = histograms.histograms(a_table(*(a_record(str(n), total_s=value) for n, value in enumerate(values))))
    assert 2 <= len(drawn.ticks) <= 14
    assert len({label for _, label in drawn.ticks}) == len(drawn.ticks)
    assert all(0 <= place <= histograms.WIDTH for place, _ in drawn.ticks)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("times:2.2x2.2", f"{TIMES}2.2"),
        ("times:2.5x3.0", f"{TIMES}2.5 across, {TIMES}3 down"),
        ("gsd:5.0", "pixels of 5 m"),
    ],
)
def test_a_scale_is_told_in_words(told: str, words: str) -> None:
    """Ratios that are no whole numbers, and lengths on the ground, as people write them."""
    assert scale_words({"scale": 3, "result_size": told}) == words
    assert scale_words({"scale": 3, "result_size": ""}) == f"{TIMES}3"


@pytest.mark.parametrize("values", [[0.0], [0.0, 0.0], [5.0], [1e-9, 1e9], [3.0, float("inf")]])
def test_bars_of_few_and_odd_values(values: list[float]) -> None:
    """A single one, zeros on a logarithmic axis, eighteen decades; what is not finite is left out."""
    table = a_table(*(a_record(str(n), consistency_rmse=value) for n, value in enumerate(values)))
    (drawn,) = histograms.histograms(table)
    assert drawn.count == sum(np.isfinite(values))
    assert drawn.bars


def placed(key: str, west: float, north: float, size: float = 1.0, crs: str = "EPSG:4326") -> Record:
    transform = (size / 10, 0.0, west, 0.0, -size / 10, north)
    return a_record(key, crs=crs, transform=transform, sr_width=10, sr_height=10)


def test_footprints_lie_where_the_images_do() -> None:
    """Their degrees, read back from the map; a raster in metres lies where rasterio's own bounds have it."""
    metres = a_record(
        "utm", crs="EPSG:32633", transform=(10.0, 0.0, 500_000.0, 0.0, -10.0, 5_300_000.0), sr_width=100, sr_height=100
    )
    map_ = places.map_of(a_table(placed("a", 10, 50), metres, a_record("nowhere")))
    assert map_ is not None
    assert map_.placed == 2
    middles = {
        print_.key: ((print_.x - map_.origin[0]) / map_.scale[0], (map_.origin[1] - print_.y) / map_.scale[1])
        for print_ in map_.footprints
    }
    assert middles["a"] == pytest.approx((10.5, 49.5), abs=0.02)
    west, south, east, north = rasterio.warp.transform_bounds("EPSG:32633", "EPSG:4326", 5e5, 5_299_000, 501_000, 5.3e6)
    assert middles["utm"] == pytest.approx(((west + east) / 2, (south + north) / 2), abs=0.02)


def test_lines_of_degrees_are_round_and_few() -> None:
    """From a city to the whole Earth."""
    for size in (0.001, 0.1, 3.0, 40.0, 170.0):
        map_ = places.map_of(a_table(placed("a", -size / 2, size / 2, size)))
        assert map_ is not None
        assert 2 <= len(map_.meridians) <= 20
        assert 2 <= len(map_.parallels) <= 10
        names = {label: place for place, label in map_.meridians}
        assert names["0°"] == pytest.approx(map_.origin[0], abs=0.1)


@pytest.mark.parametrize("crs", ["EPSG:1", 'LOCAL_CS["a plan",UNIT["metre",1]]', "EPSG:32633"])
def test_what_has_no_place_on_earth_is_left_out(crs: str) -> None:
    """A CRS that is none, one that is not of the Earth, and coordinates beyond it; others of that CRS are drawn."""
    lost = placed("lost", 1e9, 1e9, crs=crs)
    assert places.map_of(a_table(lost)) is None
    map_ = places.map_of(a_table(lost, placed("a", 5e5, 5e6, crs="EPSG:32633")))
    assert map_ is not None
    assert [print_.key for print_ in map_.footprints] == ["a"]


@pytest.mark.parametrize(("west", "east"), [(-180, 180), (-130, 60)])
def test_rasters_as_wide_as_the_earth(west: float, east: float) -> None:
    """The middle of one is where it is, and not half a turn away."""
    transform = ((east - west) / 100, 0.0, west, 0.0, -1.0, 50.0)
    record = a_record("a", crs="EPSG:4326", transform=transform, sr_width=100, sr_height=100)
    map_ = places.map_of(a_table(record))
    assert map_ is not None
    (print_,) = map_.footprints
    assert (print_.x - map_.origin[0]) / map_.scale[0] == pytest.approx((west + east) / 2, abs=0.2)


def test_across_the_date_line_in_one_piece() -> None:
    """Not as a band around the Earth."""
    map_ = places.map_of(a_table(placed("a", 819_900, 1_000_000, 20_000, crs="EPSG:32660")))
    assert map_ is not None
    (print_,) = map_.footprints
    assert (print_.x - map_.origin[0]) / map_.scale[0] == pytest.approx(180, abs=0.2)


def test_of_a_million_records_failures_stay() -> None:
    """A page holds so many records; those of images that failed first, the others from start to end."""
    status = ["failed" if n % 1000 == 7 else "skipped" if n % 2 else "done" for n in range(60_000)]
    rows = held_rows(pa.table({"status": status}), set())
    assert len(rows) == 20_000
    assert {n for n in range(60_000) if n % 1000 == 7} <= set(rows)
    assert rows[0] < 10
    assert rows[-1] > 59_990


def test_of_a_million_records_those_that_the_page_links_to_stay() -> None:
    """Beside the failures, and counted among the records of the page; however many they are."""
    table = pa.table({"status": ["failed" if n % 1000 == 7 else "done" for n in range(60_000)]})
    failed = {n for n in range(60_000) if n % 1000 == 7}
    for linked in ({7, 8, 12_345, 59_999}, set(range(15_000, 16_000))):
        rows = held_rows(table, linked)
        assert len(rows) == 20_000
        assert rows == sorted(set(rows))
        assert linked | failed <= set(rows)
    assert held_rows(table, set(range(30_000))) == list(range(30_000))


def test_failures_take_the_room_that_is_left() -> None:
    """Where little came out well, no failure is left out for nothing."""
    table = pa.table({"status": ["done" if n % 10 == 7 else "failed" for n in range(21_000)]})
    assert len(held_rows(table, set())) == 20_000


def test_packed_records_are_the_records() -> None:
    """Numbers to six digits, whole ones whole, nothing for NaN, and user columns too."""
    table = a_table(a_record("a", total_s=1.23456789, width=7, noise=(1.0, 2.0)), a_record("b", total_s=float("nan")))
    table = table.append_column("mine", pa.array([{"x": 1}, None])).append_column("id", pa.array([2**60, 1]))
    held = json.loads(gzip.decompress(base64.b64decode(pack(table, [0, 1]))))
    columns = held["columns"]
    assert columns["total_s"] == [1.23457, None]
    assert columns["width"] == [7, None]
    assert columns["noise"] == [[1.0, 2.0], None]
    assert columns["status"] == {"all": "done"}
    assert columns["mine"] == ['{"x": 1}', None]
    assert columns["id"] == [str(2**60), 1]
    assert "final_loss" not in columns


def test_times_tell_their_zone() -> None:
    """Where they have one: a clock without a zone may be anywhere."""
    seconds = 1_700_000_000
    zones = {"utc": "UTC", "berlin": "Europe/Berlin", "mine": None}
    table = a_table(a_record())
    for name, zone in zones.items():
        table = table.append_column(name, pa.array([seconds], pa.timestamp("s", zone)))
    columns = json.loads(gzip.decompress(base64.b64decode(pack(table, [0]))))["columns"]
    assert {name: columns[name]["all"] for name in zones} == {
        "utc": "2023-11-14 22:13:20 UTC",
        "berlin": "2023-11-14 23:13:20 CET",
        "mine": "2023-11-14 22:13:20",
    }
