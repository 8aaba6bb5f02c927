"""Inputs that people really have, through real runs: what came out beside what is right.

python -m benchmarks.cases FOLDER, a folder with make.py and README.md of the cases; files of others are taken from
../data/cases beside it. Exit 1 when any case is wrong. Takes about four minutes on two idle cores.
"""

import io
import json
import struct
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning

from .srpipe_process import Ended, srpipe

warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)

Record = Mapping[str, Any]
Row = tuple[str, str, str, bool]
"""A case, what is right, what came out, and whether it is right."""
Verdict = tuple[str, bool]
"""What came out, in a few words, and whether it is right."""

FAST = ("-s", "2", "--preset", "fast", "--executor", "inline")
INLINE = ("-s", "2", "--method", "bicubic", "--executor", "inline")

LOWEST = float(np.finfo(np.float32).min)
FILLS = {"fill_lowest_float.tif": LOWEST, "fill_9999.tif": -9999.0, "fill_srtm.tif": -32768.0}


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="cases-") as name:
        work = Path(name)
        made, given = work / "made", folder.resolve().parent / "data" / "cases"
        subprocess.run([sys.executable, str(folder / "make.py"), str(made)], check=True, capture_output=True)
        rows = [*_rasters(made, work), *_evaluated(made, work), *_manifests(made, work), *_files(made, given, work)]
    width = max(len(case) for case, *_ in rows)
    for case, right, got, is_right in rows:
        print(f"{'right' if is_right else 'WRONG'} | {case:{width}} | {got} | {right}")
    wrong = sum(not is_right for *_, is_right in rows)
    print(f"{len(rows)} cases, {wrong} wrong")
    sys.exit(1 if wrong else 0)


def records(output: Path) -> list[dict[str, Any]]:
    table = output / "manifest.parquet"
    rows: list[dict[str, Any]] = pq.read_table(table).to_pylist() if table.exists() else []
    return rows


def pixels(output: Path, key: str) -> NDArray[Any]:
    with rasterio.open(output / "tiles" / key / "mosaic.vrt") as file:
        samples: NDArray[Any] = file.read()
        return samples


def failed_as(record: Record, error_type: str, *named: str) -> bool:
    message = record["error_message"] or ""
    return record["error_type"] == error_type and all(name in message for name in named)


def told(record: Record) -> str:
    """A record in a few words."""
    if record["status"] == "done":
        return f"done; notes: {record['notes']}" if record["notes"] else "done"
    return f"{record['error_type']}: {record['error_message']}"


# ---- rasters ---------------------------------------------------------------------------------------------------------


def _rasters(made: Path, work: Path) -> list[Row]:
    rows: list[Row] = []
    for option in ("auto", "value", "none", "column"):
        for name, fill in FILLS.items():
            output = work / f"{name}-{option}"
            manifest = work / f"{name}-{option}.csv"
            manifest.write_text(f"uri,id,nodata\n{made / name},x,{fill if option == 'column' else ''}\n")
            told_fill = {"value": ("--nodata", str(fill)), "none": ("--nodata", "none")}.get(option, ())
            srpipe("run", manifest, "-o", output, *(FAST if option == "auto" else INLINE), *told_fill)
            (record,) = records(output)
            check = _kept_as_measured if option == "none" else _kept_out
            right = "fill is a measurement" if option == "none" else "terrain within its range, fill is nodata"
            rows.append((f"{name}, --nodata {option}", right, *check(record, output, made / name, fill)))
    output = work / "percent"
    srpipe("run", made / "percent.tif", "-o", output, *FAST)
    (record,) = records(output)
    rows.append(("percent.tif", "0..100, mean kept, counted", *_within(record, output, 0, 100, ice(made))))
    srpipe("run", made / "percent.tif", "-o", work / "free", *INLINE, "--range", "none")
    (record,) = records(work / "free")
    outside = pixels(work / "free", "percent.tif")
    count = int(((outside < 0) | (outside > 100)).sum())
    got = f"{outside.min():.0f}..{outside.max():.0f}, {record['samples_outside_range']} of {count} counted"
    rows.append(("percent.tif, --range none", "all outside counted", got, record["samples_outside_range"] == count > 0))
    srpipe("run", made / "percent.tif", "-o", work / "told", *INLINE, "--range", "-5,105")
    (record,) = records(work / "told")
    rows.append(("percent.tif, --range -5,105", "-5..105", *_within(record, work / "told", -5, 105, None)))
    return rows


def ice(made: Path) -> NDArray[Any]:
    with rasterio.open(made / "percent.tif") as file:
        samples: NDArray[Any] = file.read()
        return samples


def _kept_out(record: Record, output: Path, source: Path, fill: float) -> Verdict:
    """Done with the fill as nodata, and all else within what was measured."""
    if record["status"] != "done":
        return told(record), failed_as(record, "unsupported", "--nodata")
    with rasterio.open(source) as file:
        image = file.read()
    made, unknown = pixels(output, "x"), image == np.asarray(fill, image.dtype)
    known = made[~unknown.repeat(2, 1).repeat(2, 2)].astype(float)
    low, high = image[~unknown].min(), image[~unknown].max()
    slack = 0 if image.dtype.kind == "f" else 0.02 * float(high - low)
    in_place = bool((made[unknown.repeat(2, 1).repeat(2, 2)] == np.asarray(fill, image.dtype)).all())
    error = record["consistency_max"]
    right = (
        in_place
        and record["nodata"] == float(np.asarray(fill, image.dtype))
        and bool(np.isfinite(known).all())
        and low - slack <= known.min() <= known.max() <= high + slack
        and error < 0.02 * float(high - low)
    )
    return f"{known.min():g}..{known.max():g} of {low:g}..{high:g}, error {error:.3g}, fill in place: {in_place}", right


def _kept_as_measured(record: Record, output: Path, _source: Path, _fill: float) -> Verdict:
    """No nodata, and never a number that is none; a fill that cannot be computed with may fail."""
    if record["status"] != "done":
        return told(record), failed_as(record, "unsupported", "--nodata")
    made = pixels(output, "x")
    finite = bool(np.isfinite(made).all())
    return f"nodata {record['nodata']}, from {made.min():g}, finite: {finite}", record["nodata"] is None and finite


def _within(record: Record, output: Path, low: float, high: float, image: NDArray[Any] | None) -> Verdict:
    made = pixels(output, "percent.tif")
    shift = 0.0 if image is None else float(made.mean(dtype="f8") - image.mean(dtype="f8"))
    counted = record["samples_outside_range"] == int(((made < 0) | (made > 100)).sum())
    right = low <= made.min() <= made.max() <= high and abs(shift) < 0.05 and counted
    return f"{made.min():g}..{made.max():g}, mean {shift:+.3f}, counted: {counted}", bool(right)


def _evaluated(made: Path, work: Path) -> list[Row]:
    """A result half of which is nodata, scored against a truth."""
    with rasterio.open(made / "half_nodata.tif") as file:
        samples, profile = file.read(), file.profile
    truth = samples.repeat(2, 1).repeat(2, 2)
    place = rasterio.Affine.scale(1, 1) * profile["transform"] * rasterio.Affine.scale(0.5)
    with rasterio.open(
        work / "truth.tif", "w", **{**profile, "height": truth.shape[1], "width": truth.shape[2], "transform": place}
    ) as file:
        file.write(truth)
    manifest, output = work / "half.csv", work / "half"
    manifest.write_text(f"uri,reference\n{made / 'half_nodata.tif'},{work / 'truth.tif'}\n")
    srpipe("run", manifest, "-o", output, *FAST, "--tile-size", "48")
    ended = srpipe("eval", output, "--json")
    try:
        (score,) = json.loads(ended.out)["scores"]
        got = f"exit {ended.code}, {score['psnr_y']:.2f} dB"
        right = ended.code == 0 and 5 < score["psnr_y"] < 60
    except (KeyError, TypeError, ValueError):
        got, right = f"exit {ended.code}, {ended.last}", False
    return [("half_nodata.tif, srpipe eval", "scored where something is known", got, right)]


# ---- manifests -------------------------------------------------------------------------------------------------------


def _manifests(made: Path, work: Path) -> list[Row]:
    checks: Mapping[str, tuple[str, Callable[[Ended, Sequence[Record]], bool]]] = {
        "wkt.csv": ("read", lambda ended, rows: ended.code == 0 and len(rows[0]["wkt"]) > 131_072),
        "excel.csv": (
            "one row, no unnamed column",
            lambda ended, rows: [row["key"] for row in rows] == ["x"] and ended.code == 0 and "" not in rows[0],
        ),
        "cp1252.csv": (
            "exit 2, save it as UTF-8",
            lambda ended, _: ended.code == 2 and "save it as UTF-8" in ended.err,
        ),
        "utf16.csv": ("read", lambda ended, rows: ended.code == 0 and rows[0]["title"] == "Café"),
        "file_uri.txt": (
            "both found",
            lambda ended, rows: (
                ended.code == 0
                and sorted(row["key"] for row in rows)
                == sorted(f"{made}/{name}"[1:] for name in ("a.png", "sp ace.png"))
            ),
        ),
        "binary.parquet": ("text", lambda ended, rows: ended.code == 0 and rows[0]["key"] == "a.png"),
        "float_id.parquet": ("7", lambda ended, rows: ended.code == 0 and rows[0]["key"] == "7"),
        "own_columns.parquet": (
            "carried under a prefix",
            lambda ended, rows: (
                ended.code == 0
                and (rows[0]["manifest_width"], rows[0]["manifest_crs"]) == (96, "EPSG:32633")
                and rows[0]["crs"] is None
            ),
        ),
    }
    found: list[Row] = []
    for name, (right, check) in checks.items():
        ended = srpipe("run", made / name, "-o", work / f"{name}-out", *INLINE)
        rows = records(work / f"{name}-out")
        keys = ", ".join(str(row["key"]) for row in rows)
        found.append((name, right, f"exit {ended.code}, {keys or ended.last}", bool(check(ended, rows))))
    return found


# ---- files of kinds that are odd ------------------------------------------------------------------------------------


def _files(made: Path, given: Path, work: Path) -> list[Row]:
    output = work / "files"
    names = ["jfif_empty_segment.jpg", "ycbcr_planar_lzw.tif", "lossless_ls.jpg"]
    jp2, stand_in = given / "jp2_orientation_6.jp2", work / "made_orientation_6.jp2"
    write_turned_jp2(stand_in)
    is_jp2 = jp2.exists() and jp2.read_bytes()[4:8] == b"jP  "
    uris = [made / "icon.ico", *(given / name for name in names), stand_in, *([jp2] if is_jp2 else [])]
    (work / "files.txt").write_text("".join(f"{uri}\n" for uri in uris))
    srpipe("run", work / "files.txt", "-o", output, *INLINE, "--root", "/")
    by_name = {Path(row["source_uri"]).name: row for row in records(output)}
    found: list[Row] = []
    icon = by_name["icon.ico"]
    is_right = icon["status"] == "done" or failed_as(icon, "unsupported", "convert it")
    found.append(("icon.ico", "read, or unsupported: convert it", told(icon), is_right))
    jfif = by_name["jfif_empty_segment.jpg"]
    is_right = jfif["status"] == "done" and _agrees_with_plain(output, jfif, given / names[0])
    found.append(("jfif_empty_segment.jpg", "read", told(jfif), is_right))
    for name in names[1:]:
        is_right = failed_as(by_name[name], "unsupported", "convert it")
        found.append((name, "unsupported, convert it", told(by_name[name]), is_right))
    for path in uris[len(names) + 1 :]:
        row = by_name[path.name]
        found.append((path.name, "turned once, tag 1; or as it was, tag kept", *_turned_once(output, row)))
    if not is_jp2:
        got = "the file there is no JPEG 2000; one made here stands in for it"
        found.append((jp2.name, "as made_orientation_6.jp2", got, found[-1][3]))
    return found


def write_turned_jp2(path: Path) -> None:
    """A JPEG 2000 of 56 x 64 pixels, stored lying on its side, whose XMP says 6: to be turned to the right."""
    ramp = np.add.outer(np.arange(56), np.arange(64)).astype(np.uint8)
    Image.fromarray(np.stack([ramp, ramp // 2, 255 - ramp], -1)).save(path)
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
    )
    uuid = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
    path.write_bytes(path.read_bytes() + struct.pack(">I4s", 8 + len(uuid) + len(xmp), b"uuid") + uuid + xmp)


def _agrees_with_plain(output: Path, record: Record, source: Path) -> bool:
    """Whether a result is the enlargement of the JPEG without its first segment, as Pillow decodes that."""
    data = source.read_bytes()
    plain = data[:2] + data[4 + int.from_bytes(data[4:6], "big") :]
    with Image.open(io.BytesIO(plain)) as image:
        seen = np.asarray(image.convert("RGB")).transpose(2, 0, 1).astype(float)
    made = pixels(output, record["key"])[:3].astype(float)
    if made.shape != (3, 2 * seen.shape[1], 2 * seen.shape[2]):
        return False
    shrunk = made.reshape(3, seen.shape[1], 2, seen.shape[2], 2).mean((2, 4))
    return bool(np.corrcoef(shrunk.ravel(), seen.ravel())[0, 1] > 0.98)


def _turned_once(output: Path, record: Record) -> Verdict:
    if record["status"] != "done":
        return told(record), False
    with Image.open(output / "tiles" / record["key"] / "r0000_c0000.png") as tile:
        xmp = str(tile.info.get("XML:com.adobe.xmp") or tile.info.get("xmp") or "")
        upright = tile.height > tile.width  # as stored it is wider than high
    tag = next((number for number in "123456789" if f'Orientation="{number}"' in xmp), "none")
    got = f"{'turned' if upright else 'not turned'}, tag {tag}"
    return got, (upright and tag in ("1", "none")) or (not upright and tag not in ("1", "none"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
