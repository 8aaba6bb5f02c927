"""What refuses a run before anything is begun, and leaves everything as it was."""

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config import Executor, Existing, Form, RunConfig
from pipeline.driver.run import run
from pipeline.errors import UsageError
from pipeline.forecast.forecast import forecast
from pipeline.forecast.outlook import Asked
from sr_ops.settings import Settings

from .fixture_types import MakeConfig, MakePng, MakePrior, Refusal
from .results import files_below, numbers

pytestmark = pytest.mark.usefixtures("images")


def _refused(config: RunConfig, observer: Any, sentence: str, tmp_path: Path) -> None:
    before = files_below(tmp_path)
    with pytest.raises(UsageError, match=sentence):
        run(config, observer)
    assert files_below(tmp_path) == before
    assert not observer.records


def test_strict(tmp_path: Path, tiny_config: MakeConfig, observer: Any) -> None:
    """With --strict one bad row refuses the run, and nothing is written."""
    (tmp_path / "m.csv").write_text("uri,scale\na.png,\nb.png,9\n")
    _refused(tiny_config(strict=True), observer, r"line 3 of .*the scale '9' cannot be made", tmp_path)


def test_other_root(tmp_path: Path, tiny_config: MakeConfig, observer: Any) -> None:
    """An output keeps the root its keys were made with: another one is refused, for it would do all again beside it."""
    config = tiny_config(manifest=str(tmp_path / "sub"))
    run(config, observer)
    assert len(observer.records) == 1
    observer.records.clear()
    _refused(
        tiny_config(), observer, "made with keys relative to .*choose another --output or the old --root", tmp_path
    )
    observer.records.clear()
    assert numbers(run(tiny_config(root=str(tmp_path / "sub")), observer)) == (3, 0, 1, 2, 0)


def test_existing_error(tmp_path: Path, tiny_config: MakeConfig, observer: Any) -> None:
    """--existing error refuses an output that holds a run, but not a new one."""
    run(tiny_config(existing=Existing.ERROR), observer)
    observer.records.clear()
    _refused(tiny_config(existing=Existing.ERROR), observer, "already holds a run; choose another --output", tmp_path)


def test_an_output_of_another_layout_is_left_alone(out: Path, tiny_config: MakeConfig, observer: Any) -> None:
    """A later version's output is refused with the remedy; one from before layouts were numbered is gone on with."""
    run(tiny_config(), observer)
    held = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps({**held, "layout": 2}))
    with pytest.raises(
        UsageError, match="laid out as version 2, this srpipe knows version 1; use the srpipe that made"
    ):
        run(tiny_config(existing=Existing.OVERWRITE), observer)
    del held["layout"]
    (out / "run.json").write_text(json.dumps(held))
    assert run(tiny_config(), observer).already_done == 3


def test_damaged_run_json(tmp_path: Path, out: Path, tiny_config: MakeConfig, observer: Any) -> None:
    """A run.json that cannot be understood is refused with the remedy, not passed over."""
    out.mkdir()
    (out / "run.json").write_bytes(b"{")
    _refused(tiny_config(), observer, r"run\.json is damaged .*remove it", tmp_path)


def test_impossible_output(tmp_path: Path, tiny_config: MakeConfig, observer: Any) -> None:
    """An output below a file is refused."""
    _refused(tiny_config(output=str(tmp_path / "a.png/out")), observer, r"a\.png/out.*choose another", tmp_path)


def test_full_disk(tmp_path: Path, tiny_config: MakeConfig, observer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An output that takes no file is refused before any work, though it can be listed."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    _refused(
        tiny_config(), observer, "cannot write to the output .*: No space left on device; choose another", tmp_path
    )
    assert not observer.plans


@pytest.mark.parametrize("manifest", ["", "**/*.png"])
def test_output_inside_the_input(tmp_path: Path, tiny_config: MakeConfig, observer: Any, manifest: str) -> None:
    """Results that the next run would take for images are refused."""
    _refused(tiny_config(manifest=str(tmp_path / manifest)), observer, "lies inside the input", tmp_path)


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize("manifest", ["images", "images/*.png", "images/a.png", "m.csv", "linked.csv", "m.parquet"])
def test_an_image_where_results_go(
    tmp_path: Path, tiny_config: MakeConfig, observer: Any, make_png: MakePng, manifest: str, single: bool
) -> None:
    """Its result would replace it, or the next run remove it as an older form of the result; links hide nothing."""
    make_png(tmp_path / "images/a.png")
    (tmp_path / "m.csv").write_text("uri\nb.png\nimages/a.png\n")
    (tmp_path / "link.png").symlink_to(tmp_path / "images/a.png")
    (tmp_path / "linked.csv").write_text("uri\nlink.png\n")
    pq.write_table(pa.table({"uri": ["b.png"], "reference": ["images/a.png"]}), tmp_path / "m.parquet")
    config = tiny_config(manifest=str(tmp_path / manifest), output=str(tmp_path), form=Form(single=single))
    _refused(config, observer, "where the run would write its results.*choose another --output", tmp_path)
    with pytest.raises(UsageError, match="where the run would write its results"):
        forecast(config, Asked(), lambda *_: None)


@pytest.mark.parametrize("pattern", ["*", "?anifest.*", "*.json"])
def test_a_pattern_that_finds_what_the_run_writes(
    tmp_path: Path, tiny_config: MakeConfig, observer: Any, pattern: str
) -> None:
    """The first run is refused, since the second would find the first one's table among the images."""
    (tmp_path / "manifest.png").write_bytes(b"")
    (tmp_path / "a.json").write_bytes(b"")
    config = tiny_config(manifest=str(tmp_path / pattern), output=str(tmp_path))
    _refused(config, observer, "would find .*, which the run writes.*choose another --output", tmp_path)


@pytest.mark.parametrize("manifest", ["manifest.parquet", "manifest/a.parquet"])
def test_a_manifest_where_the_table_goes(tmp_path: Path, tiny_config: MakeConfig, observer: Any, manifest: str) -> None:
    """The table of records would replace it."""
    place = tmp_path / manifest
    place.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({"uri": [str(tmp_path / "a.png")]}), place)
    config = tiny_config(manifest=str(place), output=str(tmp_path))
    _refused(config, observer, "where the run would write its results.*choose another --output", tmp_path)


def test_results_are_images_of_another_output(tmp_path: Path, tiny_config: MakeConfig) -> None:
    """Also of an output below the first one's."""
    form = Form(single=True)
    run(tiny_config(form=form))
    again = tiny_config(manifest=str(tmp_path / "out/images"), output=str(tmp_path / "out/again"), form=form)
    assert run(again).done == 3


@pytest.mark.parametrize("option", [{"workers": 2}, {"address": "auto"}, {"gpus_per_worker": 1.0}])
def test_option_without_effect(
    tmp_path: Path, tiny_config: MakeConfig, observer: Any, option: dict[str, object]
) -> None:
    """An option that would change nothing is refused, never ignored."""
    _refused(tiny_config(executor=Executor.INLINE, **option), observer, "has no effect", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("run", ""), "the manifest"),
        (("plan", ""), "the manifest"),
        (("run", "m.csv", "-o", ""), "--output"),
        (("run", "m.csv", "--root", ""), "--root"),
        (("retry", ""), "a path"),
    ],
)
def test_an_empty_text_is_no_place(refusal: Refusal, arguments: tuple[str, ...], named: str) -> None:
    """A variable of the shell that is not set never means the working directory."""
    assert f"{named} is an empty text" in refusal(*arguments)


def test_unusable_prior(
    tmp_path: Path, tiny_config: MakeConfig, observer: Any, make_prior: MakePrior, tiny_settings: Settings
) -> None:
    """A prior that is missing or broken, or a network that starts from none, refuses the run and leaves nothing."""
    (tmp_path / "p").write_bytes(make_prior())
    (tmp_path / "broken").write_bytes(make_prior()[:-5])
    for name, sentence in {
        "gone": "--prior: nothing is at .*gone; ",
        "broken": "--prior: .*broken is not a complete safetensors file",
    }.items():
        _refused(tiny_config(prior_name=str(tmp_path / name)), observer, sentence, tmp_path)
        assert not observer.plans
    sentence = "--prior: it holds direct networks of width 8 and depth 3; subpixel is fitted from scratch only; use"
    _refused(tiny_config(settings=tiny_settings, prior_name=str(tmp_path / "p")), observer, sentence, tmp_path)
