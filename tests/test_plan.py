"""Deciding: keys that are safe and never meet, bad rows told, done work skipped, units that can be handed out."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import storage
from pipeline.config import ALGORITHM_VERSION, Device, Existing, Form, Format, RunConfig
from pipeline.driver.held import Held
from pipeline.driver.plan import Plan, make_plan
from pipeline.errors import UsageError
from pipeline.manifest.checking import make_key
from pipeline.manifest.manifest import Cells, Manifest, read_manifest
from pipeline.output.layout import Commit
from pipeline.storage import Source
from sr_ops.settings import BodyKind, FitSettings, Loss, Method, Network, Normalisation, Preset, Settings, preset

from .fixture_types import DrawPixels, MakeConfig

Plans = Callable[..., Plan]

_pieces = st.lists(st.sampled_from(["%25", "%2E", "%", "/", ".", "..", " ", "a", "E:", "é", "?", "\0"]), max_size=6)
_texts = st.text(max_size=12) | _pieces.map("".join)


@given(_texts)
def test_key_is_safe_and_loses_nothing(text: str) -> None:
    """A key stays below its folder and can be read back, so different texts never share one; or it is refused."""
    try:
        key = make_key(text)
    except ValueError:
        return
    assert unquote(key) == text
    assert not set(key) & set('\0<>:"|?*\\\n')
    assert all(part not in ("", ".", "..") and not part.endswith((".", " ")) for part in key.split("/"))


@given(st.text(alphabet="abcXYZ019_-+=,;@é日ß", min_size=1).map(lambda text: f"sub folder/{text}.tif"))
def test_plain_key_is_the_text(text: str) -> None:
    """Names that any file system takes, non-ASCII ones too, remain readable."""
    assert make_key(text) == text


@pytest.mark.parametrize(
    "text", ["", "/a", "../a", "a/../b", "a/..", "a//b", "a/", "./a", "a\0b", "a" * 234, "x/" + "é" * 117, ":" * 78]
)
def test_key_is_refused(text: str) -> None:
    """Whatever would leave the output or not fit into a file name is no key."""
    with pytest.raises(ValueError, match=r"point outside|absolute|NUL|bytes"):
        make_key(text)


def test_longest_key_fits_into_a_file_name(tmp_path: Path) -> None:
    """The longest part allowed still has room for what a commit record's name adds."""
    key = make_key("é" * 116 + "a")
    storage.write(Commit("0" * 16, key, "0" * 16).uri(str(tmp_path)), b"")
    assert len(f"{key}.0123456789abcdef.json".encode()) == 255


@pytest.fixture
def plan(tmp_path: Path, tiny_config: MakeConfig) -> Plans:
    """The plan of a csv in tmp_path."""

    def make(
        text: str,
        root: str = "",
        commits: Sequence[Commit] = (),
        scenes: dict[Commit, tuple[str, ...]] | None = None,
        folds_case: bool = False,
        damaged: Sequence[Commit] = (),
        only: Sequence[str] = (),
        **changes: object,
    ) -> Plan:
        (tmp_path / "m.csv").write_text(text)
        config, held = tiny_config(**changes), Held(commits, scenes or {}, folds_case, damaged=damaged)
        return make_plan(config, read_manifest(config.manifest), root, held, only=only)

    return make


def _keys(plan: Plan) -> list[str]:
    return sorted(row.key for unit in plan.units for row in unit)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (",x,", "the uri is empty; say where the image is"),
        ("a.png,../x,", "the id '../x' .* would point outside the output; give a plain id"),
        ("a.png,/x,", "the id '/x' is an absolute path; give a plain id"),
        (
            "../../s/a.png,,",
            "the key would be '../../s/a.png', which leads out of the output; give the row an id, or use --root /.*",
        ),
        ("http://host/a.png,,", "http://host/a.png: the scheme 'http' is not supported"),
        *(
            (f"a.png,,{scale}", f"the scale '{scale}' cannot be made; give a number from 1.01 to 8, or one across and")
            for scale in ("1", "1.0001", "9", "8.001", "-2", "x", "nan", "1e1", "1x1", "2x9", "0.5x2", "2x3x4", "2x")
        ),
        ("a.png", "1 cells under 3 columns; mend the line"),
    ],
)
def test_bad_row_is_rejected_alone(plan: Plans, row: str, sentence: str) -> None:
    """A row that cannot be carried out is told with its line and the remedy; the others are done."""
    made = plan(f"uri,id,scale\n{row}\ngood.png,,3.0\n")
    assert _keys(made) == ["good.png"]
    assert made.units[0][0].scale == 3
    assert [(rejected.index, rejected.line) for rejected in made.rejected] == [(0, 2)]
    with pytest.raises(UsageError, match=rf"line 2 of .*m\.csv: {sentence}.* \(1 bad rows, --strict\)"):
        plan(f"uri,id,scale\n{row}\ngood.png,,\n", strict=True)


def test_the_root_of_a_path_that_leads_out(plan: Plans, tmp_path: Path) -> None:
    """What the message names as the root is one with which the row is done."""
    cells = "uri\n../../s/a.png\n"
    root = str(tmp_path.parent.parent)
    assert plan(cells).rejected[0].message.endswith(f"use --root {root}")
    assert _keys(plan(cells, root=root)) == ["s/a.png"]


def test_rows_that_claim_one_key(plan: Plans) -> None:
    """Different work under one key is rejected on all its lines; the same work said twice is one row."""
    made = plan("uri,id,scale\na.png,x,\nb.png,x,\nc.png,,\nc.png,,\nd.png,y,2\nd.png,y,3\nc.png,,2\n")
    assert _keys(made) == ["c.png"]
    assert made.duplicates == 2
    assert [(rejected.line, rejected.key) for rejected in made.rejected] == [(2, "x"), (3, "x"), (6, "y"), (7, "y")]
    assert "lines 2 and 3 ask for different work under the key 'x'; give each its own id" in made.rejected[0].message


def test_one_image_at_two_scales(plan: Plans) -> None:
    """With ids of their own, the same image at two scales is two rows."""
    made = plan("uri,id,scale\na.png,x2,2\na.png,x3,3\n")
    assert {(row.key, row.scale) for unit in made.units for row in unit} == {("x2", 2), ("x3", 3)}


def test_keys_of_uris(plan: Plans, tmp_path: Path) -> None:
    """Without a root the key is the uri as written but its scheme; below a root it is what follows the root."""
    rows = f"uri\n{tmp_path}/in/a.png\nin/b.png\ns3://bucket/c.png\n"
    assert _keys(plan(rows)) == sorted([f"{tmp_path}/in/a.png"[1:], "in/b.png", "bucket/c.png"])
    assert _keys(plan(f"uri\n{tmp_path}/in/a.png\nin/b.png\n", root=f"{tmp_path}/in")) == ["a.png", "b.png"]
    assert _keys(plan(f"uri\nfile://localhost{tmp_path}/sp%20ace.png\n")) == [f"{tmp_path}/sp ace.png"[1:]]
    outside = plan("uri\nelsewhere/a.png\n", root=f"{tmp_path}/in")
    assert "--root" in outside.rejected[0].message


CASES = "uri,id\na.png,A.png\nb.png,a.png\nc.png,c/é\nd.png,C/e\u0301\ne.png,e/A\nf.png,E/b\ng.png,g\ng.png,g\n"


def test_keys_that_differ_in_case_alone(plan: Plans) -> None:
    """Where the output tells them apart they are two; where it does not, neither is done, and both rows say so."""
    assert len(_keys(plan(CASES))) == 7
    folded = plan(CASES, folds_case=True)
    assert _keys(folded) == ["E/b", "e/A", "g"]
    assert folded.duplicates == 1
    assert [(row.line, row.key) for row in folded.rejected] == [
        (2, "A.png"),
        (3, "a.png"),
        (4, "c/é"),
        (5, "C/e\u0301"),
    ]
    for told in ("'A.png' and 'a.png' of lines 2 and 3", "ignores case", "choose another --output"):
        assert told in folded.rejected[0].message
    assert all("id of its own" in row.message for row in folded.rejected)


def test_places_that_differ_in_case_alone(plan: Plans) -> None:
    """A place of a tile, or of one file an image, is the same in either case where the output ignores it."""
    tile = "uri,id\na.png,A\nb.png,a/R0000_C0001.PNG\n"
    assert len(_keys(plan(tile))) == 2
    assert "among the tiles of 'a'" in plan(tile, folds_case=True).rejected[0].message
    one_file = "uri,id\na.png,A\nb.png,a.TIF\n"
    assert len(_keys(plan(one_file, form=Form(single=True)))) == 2
    rejected = plan(one_file, form=Form(single=True), folds_case=True).rejected
    assert [row.key for row in rejected] == ["A", "a.TIF"]
    assert "would lie where" in rejected[0].message


@pytest.mark.usefixtures("images")
def test_what_is_done_under_another_case(plan: Plans, tmp_path: Path, tiny_config: MakeConfig) -> None:
    """Where the output ignores case, a listing may spell a key otherwise: it is that key's commit even so."""
    config = tiny_config()
    settings = config.fingerprint()
    source = storage.stat(str(tmp_path / "a.png")).fingerprint
    listed, other = Commit(settings, "A.PNG", source), Commit(settings, "A.PNG", "0" * 16)
    assert plan("uri\na.png\n", commits=[listed]).committed == ()
    resumed = plan("uri\na.png\n", commits=[listed], folds_case=True)
    assert [(row.key, commit.key) for row, commit in resumed.committed] == [("a.png", "a.png")]
    scenes = {commit: (f"{commit.source}/scene.json",) for commit in (listed, other)}
    made = plan("uri\na.png\n", commits=[other], scenes=scenes, folds_case=True)
    ((redone,),) = made.units
    assert redone.stale == (Commit(settings, "a.png", "0" * 16).uri(config.output), f"{'0' * 16}/scene.json")
    assert redone.begun == (f"{source}/scene.json",)


def test_limit(plan: Plans) -> None:
    """A limit takes the first rows of the manifest; the others are skipped, and bad ones beyond it do not count."""
    made = plan("uri\na.png\nb.png\nc.png\n..\n", limit=2, commits=[Commit("s", "c.png", "v")])
    assert (_keys(made), [row.key for row in made.skipped], made.rejected) == (["a.png", "b.png"], ["c.png"], ())
    assert [row.key for row in plan("uri\na.png\nb.png\nc.png\n", limit=1).skipped] == ["b.png", "c.png"]


@pytest.mark.usefixtures("images")
def test_committed_rows(plan: Plans, tmp_path: Path, tiny_config: MakeConfig) -> None:
    """What is committed for these settings and this source is done; anything else is to do, its commits stale."""
    config = tiny_config()
    settings = config.fingerprint()
    source = storage.stat(str(tmp_path / "a.png")).fingerprint
    same, other_settings, other_source = (
        Commit(settings, "a.png", source),
        Commit("0" * 16, "a.png", source),
        Commit(settings, "a.png", "0" * 16),
    )
    rows = "uri\na.png\nb.png\n"

    resumed = plan(rows, commits=[same])
    assert _keys(resumed) == ["b.png"]
    assert [(row.key, commit) for row, commit in resumed.committed] == [("a.png", same)]

    doubtful = plan(rows, commits=[same, other_settings])
    assert [(row.key, row.redo) for unit in doubtful.units for row in unit] == [("a.png", True), ("b.png", False)]

    redone = plan(rows, commits=[other_settings, other_source])
    stale = {row.key: set(row.stale) for unit in redone.units for row in unit}
    assert stale == {"a.png": {commit.uri(config.output) for commit in (other_settings, other_source)}, "b.png": set()}
    assert redone.committed == ()

    overwritten = plan(rows, commits=[same], existing=Existing.OVERWRITE)
    stale = {row.key: row.stale for unit in overwritten.units for row in unit}
    assert stale == {"a.png": (same.uri(config.output),), "b.png": ()}


def test_a_damaged_commit_is_none_however_it_is_spelt(
    plan: Plans, tmp_path: Path, tiny_config: MakeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """Its image is to be done, and the commit to be withdrawn first; a restarted worker may believe a new one."""
    (tmp_path / "a.png").write_bytes(b"x")
    source = storage.stat(str(tmp_path / "a.png")).fingerprint
    for folds_case, key in ((False, "a.png"), (True, "A.PNG")):
        commit = Commit(tiny_config().fingerprint(), key, source)
        assert plan("uri\na.png\n", commits=[commit], folds_case=folds_case).committed
        made = plan("uri\na.png\n", commits=[commit], damaged=[commit], folds_case=folds_case)
        ((row,),) = made.units
        assert (made.committed, len(row.stale), row.redo) == ((), 1, False)
        assert caplog.messages.pop().endswith("is damaged; its image is done again")
        caplog.clear()


def test_some_keys_are_done_beyond_the_limit(plan: Plans) -> None:
    """Those that failed in a run before this one, which a retry is for; bad rows there are not this run's."""
    made = plan("uri\na.png\nb.png\nc.png\n../x\n", limit=1, only=["c.png"])
    assert _keys(made) == ["a.png", "c.png"]
    assert [row.key for row in made.skipped] == ["b.png"]
    assert made.rejected == ()


NEW_OF_FITS: dict[str, Any] = {"loss": Loss.L2, "adversarial": 0.1, "level_odds": 0.5, "son_noise": 5.0}


@pytest.mark.parametrize(
    "change",
    [
        *({"seed": 1}, {"scale": 3}, {"result_size": "times:1.5x2.0"}, {"result_size": "gsd:2.5"}),
        *({"tile_size": 8}, {"ensemble": False}, {"members": 4}),
        *({"prior": "0" * 64}, {"method": Method.BICUBIC}, {"method": Method.AUTO}, {"network": Network.ZSSR}),
        *({"nodata": "none"}, {"nodata": "0.0"}, {"value_range": "none"}, {"value_range": "0.0,1.0"}),
        *({"kernel": "box"}, {"kernel": "gaussian:1.4"}, {"noise": "0.0"}, {"noise": "2.5"}),
        *(
            {"back_projections": 0},
            {"width": 9},
            {"depth": 4},
            {"body": BodyKind.PIXEL},
            {"stack": 2},
            *({"dropout": 0.1}, {"normalisation": Normalisation.BATCH}, {"back_projection_factor": 0.5}),
            *({"weights": "0" * 64}, {"model_halo": 16}),
            *({"fit": FitSettings(steps=2, crop=16, **{name: value})} for name, value in NEW_OF_FITS.items()),
            {"fit": FitSettings(steps=3, crop=16, batch=1)},
        ),
    ],
    ids=str,
)
def test_fingerprint_follows_what_changes_pixels(change: dict[str, Any], tiny_config: MakeConfig) -> None:
    """Other settings or threads are other work; the same are the same in every process."""
    settings = tiny_config().settings
    config = RunConfig("m.csv", "out", settings)
    plain = config.fingerprint()
    others = (
        *({"settings": replace(settings, **change)}, {"threads": 2}),
        *({"form": Form(single=True)}, {"form": Form(Format.TIF)}),
    )
    assert plain not in [replace(config, **other).fingerprint() for other in others]
    assert replace(config, settings=replace(settings)).fingerprint() == plain
    same = replace(settings, method=Method("zssr"), prior="none")
    assert replace(config, settings=same, workers=3, device=Device.CPU, output="other").fingerprint() == plain
    assert config.fingerprint(settings) == plain != config.fingerprint(replace(settings, **change))


def test_the_fingerprint_is_that_of_runs_that_did_not_know_the_later_fields() -> None:
    """Outputs are gone on with: settings that say nothing of them are told as they were before there were any."""
    for settings in (Settings(), preset(Preset.PAPER, from_prior=False), Settings(result_size="gsd:2.5")):
        pixels = {"algorithm": ALGORITHM_VERSION, "threads": 1, **asdict(Form()), **asdict(settings)}
        size = () if settings.result_size else ("result_size",)
        for name in ("body", "dropout", "normalisation", "back_projection_factor", "weights", "model_halo", *size):
            del pixels[name]
        for name in NEW_OF_FITS:
            del pixels["fit"][name]
        digest = hashlib.sha256(json.dumps(pixels, sort_keys=True).encode()).hexdigest()
        assert RunConfig("m", "o", settings=settings).fingerprint() == digest[:16]


@given(sizes=st.lists(st.integers(0, 10**9), min_size=1, max_size=60), steps=st.sampled_from([1, 500]))
def test_units(sizes: list[int], steps: int) -> None:
    """Every row is in exactly one unit, large images first, never more than 16 together, huge ones alone."""
    sources = {f"/in/{number:03}.png": Source(size, "1") for number, size in enumerate(sizes)}
    rows = tuple(Cells(number, uri) for number, uri in enumerate(sources, 1))
    manifest = Manifest("/in", "/in", "/in", rows, sources, user_columns=None)
    config = RunConfig("/in", "/out")
    config = replace(config, settings=replace(config.settings, fit=replace(config.settings.fit, steps=steps)))
    made = make_plan(config, manifest, "/in", Held())
    flat = [row for unit in made.units for row in unit]
    assert sorted(row.uri for row in flat) == sorted(sources)
    assert [row.size for row in flat] == sorted(sizes, reverse=True)
    assert all(1 <= len(unit) <= 16 for unit in made.units)
    assert all(len(unit) == 1 for unit in made.units if unit[0].size > 10**7)
    assert made.todo == len(sizes)


def test_small_images_share_units(pixels: DrawPixels) -> None:
    """A thousand cheap images are not a thousand units."""
    sources = {f"/in/{number:04}.png": Source(pixels().nbytes, "1") for number in range(1000)}
    rows = tuple(Cells(number, uri) for number, uri in enumerate(sources, 1))
    config = RunConfig("/in", "/out")
    config = replace(config, settings=replace(config.settings, fit=replace(config.settings.fit, steps=1)))
    manifest = Manifest("/in", "/in", "/in", rows, sources, user_columns=None)
    assert len(make_plan(config, manifest, "/in", Held()).units) == 63


def test_longest_first_goes_by_kinds_of_files() -> None:
    """A byte of a JPEG is more pixels than one of a TIFF, so it is more work."""
    sources = {f"/in/{name}": Source(10**6, "1") for name in ("a.tif", "b.PNG", "c.JPG")}
    rows = tuple(Cells(number, uri) for number, uri in enumerate(sources, 1))
    manifest = Manifest("/in", "/in", "/in", rows, sources, user_columns=None)
    made = make_plan(RunConfig("/in", "/out"), manifest, "/in", Held())
    assert [row.key for unit in made.units for row in unit] == ["c.JPG", "b.PNG", "a.tif"]
