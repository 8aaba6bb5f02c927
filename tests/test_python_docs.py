"""What the pages for Python show is run as it stands: docs/python.md, docs/recipes.md, docs/notebook.ipynb."""

import ast
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from datetime import timedelta
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
from affine import Affine
from PIL import Image
from rio_cogeo import cog_validate

from pipeline import run
from pipeline.output.record import SCHEMA

REPOSITORY = Path(__file__).parent.parent
DOCS = REPOSITORY / "docs"

Blocks = list[tuple[str, str]]


def blocks(text: str) -> Blocks:
    """Language and text of each block of code that names its language."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def sections(page: str) -> dict[str, Blocks]:
    """The blocks of a page under each of its titles."""
    parts = re.split(r"^## (.+)$", (DOCS / page).read_text(), flags=re.MULTILINE)
    return {title: found for title, text in zip(parts[1::2], parts[2::2], strict=True) if (found := blocks(text))}


def notebook_runner() -> Any:
    spec = spec_from_file_location("run_notebook", DOCS / "run_notebook.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def wave(height: int, width: int, seed: int = 0) -> np.ndarray:
    waves = np.sin(np.arange(height) / 3)[:, None] * np.cos(np.arange(width) / 4)
    made: np.ndarray = 120 + 80 * waves + np.random.default_rng(seed).normal(0, 3, (height, width))
    return made


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As the pages take it to be: scans, of which one is broken, and a scene on a map."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(REPOSITORY)
    Path("scans").mkdir()
    Image.fromarray(wave(24, 30).astype(np.uint8)).save("scans/page.png")
    Image.fromarray(wave(20, 22, 1).astype(np.uint8)).save("scans/letter.png")
    Path("scans/broken.png").write_text("no picture")
    Path("scenes").mkdir()
    scene = np.stack([wave(26, 30, 2) * 20, wave(26, 30, 3) * 30]).astype(np.uint16)
    place = {"crs": "EPSG:32632", "transform": Affine(10, 0, 5e5, 0, -10, 5e6)}
    with rasterio.open("scenes/field.tif", "w", "GTiff", 30, 26, 2, dtype="uint16", **place) as raster:
        raster.write(scene)
    return tmp_path


@pytest.fixture
def outputs(folder: Path) -> Path:
    """The runs that the recipes begin with, and the one without --format cog."""
    run("scans", "scans-x2", scale=2, single=True, executor="inline")
    for part in [*Path("scans-x2/manifest").iterdir()]:
        left_by_a_clock_ahead(part, part.with_name(part.name.replace("part-2", "part-1")))
    for output, kind in (("scenes-x2", "cog"), ("scenes-tiles", "tif")):
        run("scenes", output, scale=2, format=kind, executor="inline", method="bicubic", kernel="bicubic")
    return folder


def left_by_a_clock_ahead(part: Path, earlier: Path) -> None:
    """Write a part of an earlier run, in which all was skipped, and a day after what this one tells."""
    rows = pq.read_table(part).to_pylist()
    told = [{**row, "status": "skipped", "finished_at": row["finished_at"] + timedelta(days=1)} for row in rows]
    pq.write_table(pa.Table.from_pylist(told, SCHEMA), earlier)


def imported(source: str) -> set[str]:
    """Packages that a block imports, or that pandas needs for it."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {name for node in nodes for name in ([node.module] if isinstance(node, ast.ImportFrom) else [])}
    names |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {str(name).partition(".")[0] for name in names}


def carry_out(found: Blocks) -> dict[str, Any]:
    """The blocks one after the other, in one namespace; what they left in it."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for language, source in found:
        if language == "python":
            exec(compile(source, "block", "exec"), namespace)
        else:
            assert language == "sh"
            for line in source.splitlines():
                program, *rest = shlex.split(line)
                known = shutil.which(program, path=f"{Path(sys.executable).parent}:/usr/bin:/bin")
                assert known is not None, program
                subprocess.run([known, *rest], check=True, capture_output=True)
    return namespace


@pytest.mark.usefixtures("folder")
def test_the_page_for_python_is_true(capsys: pytest.CaptureFixture[str]) -> None:
    """All of its blocks, from top to bottom."""
    found = [block for section in sections("python.md").values() for block in section]
    left = carry_out(found)
    printed = capsys.readouterr().out
    assert "2 done, 1 failed {'corrupt': 1}" in printed
    assert "broken.png corrupt the file holds text" in printed
    assert re.search(r"^page.png done [\d.]+ s$", printed, re.MULTILINE)
    assert left["large"].shape == (48, 60)
    assert (left["sharper"].shape, left["also"].shape) == ((48, 60), (48, 75))
    assert tuple(left["sr"].shape) == (1, 48, 60)


def checks_pandas(left: dict[str, Any]) -> None:
    assert list(left["failed"].key) == ["broken.png"]
    assert sorted(left["doubtful"].key) == ["letter.png", "page.png"]
    summary = run("manifest.parquet", "shelves", scale=2, executor="inline", method="bicubic")
    assert set(summary.records()["shelf"].to_pylist()) == {"A 12"}


def checks_duckdb(left: dict[str, Any]) -> None:
    done = sorted(left["latest"].fetchall())
    assert [row[:2] for row in done] == [("broken.png", "failed"), ("letter.png", "done"), ("page.png", "done")]


def checks_rio_cogeo(_left: dict[str, Any]) -> None:
    for name in ("field-web.tif", "field-cog.tif"):
        assert cog_validate(name)[:2] == (True, [])
    with rasterio.open("field-cog.tif") as tiles, rasterio.open("scenes-x2/images/field.tif") as cog:
        np.testing.assert_array_equal(tiles.read(), cog.read())
        assert tiles.transform == cog.transform


def checks_xarray(left: dict[str, Any]) -> None:
    assert left["difference"] < 30
    assert left["ndvi"].shape == (52, 60)
    assert left["made"].rio.bounds() == left["lr"].rio.bounds()
    assert left["made"].shape == left["sr"].shape


RECIPES: dict[str, Callable[[dict[str, Any]], None]] = {
    "pandas": checks_pandas,
    "DuckDB": checks_duckdb,
    "rio-cogeo": checks_rio_cogeo,
    "xarray": checks_xarray,
}


@pytest.mark.parametrize("title", RECIPES)
@pytest.mark.usefixtures("outputs")
def test_a_recipe_is_true(title: str) -> None:
    """Those whose libraries are here: all in `make docs`, which installs the extra `docs`."""
    found = sections("recipes.md")[title]
    for package in set().union(*(imported(source) for language, source in found if language == "python")):
        if find_spec(package) is None:
            pytest.skip(f"needs {package}, of the extra docs")
    RECIPES[title](carry_out(found))


def test_every_block_of_the_recipes_is_run() -> None:
    """And what they need is in the extra that `make docs` installs, or comes with the tests."""
    assert set(sections("recipes.md")) == set(RECIPES)
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {"duckdb", "pandas", "rioxarray"} <= set(extras["docs"])


@pytest.fixture(scope="module")
def fresh_notebook() -> Any:
    """The notebook with the outputs of this machine."""
    runner = notebook_runner()
    fresh = runner.read()
    runner.run(fresh)
    return fresh


def test_the_notebook_shows_what_comes_out(fresh_notebook: Any) -> None:
    """Its cells run, print what the file holds, but for digits, which processors round, and draw pictures."""
    held = notebook_runner().read()

    def shown(notebook: Any) -> list[str]:
        outputs = [one for cell in notebook["cells"] for one in cell.get("outputs", ())]
        return [re.sub(r"\d+", "0", "".join(one.get("text", one.get("data", {}).keys()))) for one in outputs]

    assert shown(fresh_notebook) == shown(held)
    assert sum("image/png" in each for each in shown(held)) == 2


@pytest.mark.parametrize("outputs", ["held", "fresh"])
def test_the_notebook_s_result_is_better_than_bicubic(outputs: str, fresh_notebook: Any) -> None:
    """By more than 2 dB, as its text leads to believe."""
    cells = (fresh_notebook if outputs == "fresh" else notebook_runner().read())["cells"]
    printed = "".join(line for cell in cells for one in cell.get("outputs", ()) for line in one.get("text", ()))
    bicubic, srpipe = map(float, re.search(r"bicubic ([\d.]+) dB, srpipe ([\d.]+) dB", printed).groups())  # type: ignore[union-attr]
    assert srpipe > bicubic + 2


def test_a_cell_that_fails_is_an_error() -> None:
    """The runner hides nothing."""
    broken = {"cells": [{"cell_type": "code", "source": ["1 / 0"]}]}
    with pytest.raises(ZeroDivisionError):
        notebook_runner().run(broken)
