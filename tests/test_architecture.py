"""The arrows between the folders, and what may be loaded when."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from typer.main import get_group

from jobs.cli import app

REPOSITORY = Path(__file__).parent.parent

_OUTSIDE = ("time", "datetime", "random", "secrets", "os", "io", "tempfile")
"""Clocks, files and global randomness."""

LAYERS = {
    "sr_ops": {
        "allowed": {"sr_ops"},
        "forbidden": {"ray", "fsspec", "s3fs", "PIL", "pyarrow", "typer", "rich", *_OUTSIDE},
    },
    "pipeline": {"allowed": {"sr_ops", "pipeline"}, "forbidden": {"typer", "rich"}},
    "jobs": {"allowed": {"sr_ops", "pipeline", "jobs"}, "forbidden": {"fsspec", "s3fs"}},
}


def imported_packages(file: Path) -> set[str]:
    """The top-level packages that a file imports absolutely, anywhere in it."""
    packages = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            packages |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            packages.add(node.module.partition(".")[0])
    return packages


def python_files(layer: str) -> list[Path]:
    return sorted((REPOSITORY / layer).rglob("*.py"))


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_only_point_left(layer: str) -> None:
    """sr_ops knows no one, pipeline knows sr_ops, jobs knows both; and each keeps to its own libraries."""
    assert python_files(layer)
    for file in python_files(layer):
        packages = imported_packages(file)
        assert not packages & LAYERS[layer]["forbidden"], file
        assert packages & set(LAYERS) <= LAYERS[layer]["allowed"], file


ROOMS = {
    "sr_ops": (
        *("registry", "settings"),
        *("image", "camera", "estimation", "networks", "priors", "enlarging", "learning", "methods"),
        *("measures", "in_memory"),
    ),
    "pipeline": (
        *("errors", "codec", "storage_options", "config", "option_values", "quality"),
        *("storage", "imagery", "output", "priors", "models", "work", "manifest", "driver", "forecast"),
        *("options", "running", "arrays"),
        *("evaluate", "contact_sheet", "compared_means", "compare", "report"),
    ),
}
"""Files and folders of a package, from the ground up: each imports from itself and from those before it."""


def test_the_rooms_are_told() -> None:
    """docs/architecture.md has a table of each package's rooms, in their order."""
    text, _, _ = (REPOSITORY / "docs/architecture.md").read_text().partition("## Files")
    assert re.findall(r"^\| `(\w+)/?` \|", text, re.MULTILINE) == [*ROOMS["sr_ops"], *ROOMS["pipeline"]]


@pytest.mark.parametrize("layer", ["sr_ops", "jobs"])
def test_the_table_of_files_names_every_file(layer: str) -> None:
    """It is the map of these two packages; folders whose files people name stand for them."""
    by_name = {"methods", "fitted", "commands"}
    files = {file.name for file in (REPOSITORY / layer).rglob("[!_]*.py") if file.parent.name not in by_name}
    _, _, table = (REPOSITORY / "docs/architecture.md").read_text().partition("## Files")
    assert "spec.py" in table
    assert {name for name in files if f"`{name}`" not in table} == set()


def imports_upstairs(file: Path, folder: Path) -> list[str]:
    """The imports of a file in a package's folder, relative and absolute ones, that lead to a later room."""
    rooms = ROOMS[folder.name]
    parts = [folder.name, *file.relative_to(folder).with_suffix("").parts]
    package = parts[:-1]
    own = rooms.index(parts[1])
    upstairs = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            targets = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for target in targets:
            where = target.split(".")
            if where[0] == folder.name and (where[1] not in rooms or rooms.index(where[1]) > own):
                upstairs.append(f"{file.relative_to(folder.parent)}:{node.lineno} imports {target}")
    return upstairs


@pytest.mark.parametrize("package", ROOMS)
def test_rooms_import_only_from_those_before_them(package: str) -> None:
    """Every file lies in a room, and imports from no later one; the registry, which loads by name, names types."""
    folder = REPOSITORY / package
    files = [file for file in python_files(package) if file != folder / "__init__.py"]
    assert {file.relative_to(folder).parts[0].removesuffix(".py") for file in files} <= set(ROOMS[package])
    checked = [file for file in files if file != REPOSITORY / "sr_ops/registry.py"]
    assert [line for file in checked for line in imports_upstairs(file, folder)] == []


@pytest.mark.parametrize(
    "planted",
    [
        "from ..work import units",
        "from ..work.units import Row",
        "from .. import work",
        "from pipeline import storage, work",
        "from pipeline.work.units import Row",
        "import os, pipeline.work.units",
        "def late():\n    from ..work.units import Row",
        "from ..nowhere import thing",
    ],
)
def test_a_planted_import_is_named(planted: str, tmp_path: Path) -> None:
    """The check above sees each way to import from a later room, and names file and import."""
    file = tmp_path / "pipeline/output/planted.py"
    file.parent.mkdir(parents=True)
    file.write_text(f"from .. import storage\nfrom ..config import RunConfig\nfrom . import layout\n{planted}\n")
    (told,) = imports_upstairs(file, tmp_path / "pipeline")
    assert re.fullmatch(r"pipeline/output/planted\.py:[45] imports pipeline\.(work|nowhere)[\w.]*", told)


@pytest.mark.parametrize(("layer", "name"), [("pipeline", "driver/dataflow.py"), ("jobs", "submit.py")])
def test_one_file_knows_ray(layer: str, name: str) -> None:
    """One file of the pipeline works with Ray, and one of the jobs speaks to its job server."""
    knowing = [file for file in python_files(layer) if "ray" in imported_packages(file)]
    assert knowing == [REPOSITORY / layer / name]


LONGEST_FILE, LONGEST_FUNCTION = 300, 60
"""Lines."""


def lines_of(file: Path) -> int:
    return len(file.read_text().splitlines())


def lines_of_functions(file: Path) -> dict[str, int]:
    """By place and name; of methods, too."""
    nodes = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)]
    return {f"{file}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1 for node in nodes}


@pytest.mark.parametrize("layer", LAYERS)
def test_files_are_of_a_size_to_be_read(layer: str) -> None:
    """One subject does not take more."""
    assert {file: lines for file in python_files(layer) if (lines := lines_of(file)) > LONGEST_FILE} == {}


@pytest.mark.parametrize("layer", LAYERS)
def test_functions_are_of_a_size_to_be_read(layer: str) -> None:
    """A function is a screen at most."""
    functions = [item for file in python_files(layer) for item in lines_of_functions(file).items()]
    assert len(functions) > 30
    assert {name: lines for name, lines in functions if lines > LONGEST_FUNCTION} == {}


_DRAWS = {
    *("rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like", "normal", "bernoulli"),
    *("multinomial", "poisson", "normal_", "uniform_", "bernoulli_", "exponential_", "random_"),
}


def unseeded(code: str) -> list[str]:
    """Calls that seed torch's global generator or draw from it, and those that open files."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
            seeded = any(keyword.arg == "generator" for keyword in node.keywords)
            own = isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Call)
            is_open = name == "open" and isinstance(node.func, ast.Name)
            if (name in _DRAWS and not seeded) or (name == "manual_seed" and not own) or is_open:
                found.append(f"{node.lineno} {name}")
    return found


def test_sr_ops_never_draws_from_global_randomness() -> None:
    """No call in sr_ops seeds or draws from torch's global generator, or opens a file."""
    assert {file.name: found for file in python_files("sr_ops") if (found := unseeded(file.read_text()))} == {}


@pytest.mark.parametrize(
    "planted",
    ["torch.rand(3)", "rand(3)", "x.bernoulli_()", "torch.rand_like(x)", "torch.manual_seed(0)", "open('a')"],
)
def test_a_planted_draw_is_named(planted: str) -> None:
    """The check above sees each way to draw; with a generator of its own it is none."""
    assert len(unseeded(planted)) == 1
    assert unseeded("torch.rand(3, generator=Generator().manual_seed(0))") == []


def loaded_by(statement: str) -> set[str]:
    """The top-level packages in sys.modules after a statement in a fresh interpreter."""
    code = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    return set(done.stdout.splitlines()[-1].split())  # what the statement itself printed comes before


HEAVY = {"torch", "ray", "pyarrow", "numpy", "PIL", "fsspec"}


def test_the_command_line_starts_without_anything_heavy() -> None:
    """`srpipe --help` loads neither torch nor Ray nor any other heavy library, for any command."""
    commands = [[], *([command] for command in get_group(app).commands)]
    show_help = f"for words in {commands}: jobs.cli.app([*words, '--help'], standalone_mode=False)"
    assert len(commands) > 10
    assert not loaded_by(f"import jobs.cli\n{show_help}\n") & HEAVY


def test_the_list_of_commands_comes_at_once() -> None:
    """`srpipe --help` does not even load what draws the panels of a command's options."""
    list_commands = "import jobs.cli\njobs.cli.app(['--help'], standalone_mode=False)\n"
    assert not loaded_by(list_commands) & {"rich", "pydantic"}
    assert "rich" in loaded_by(list_commands.replace("['", "['run', '"))


def test_the_check_for_heavy_imports_can_fail() -> None:
    """The check above sees a heavy library when one is loaded."""
    assert "numpy" in loaded_by("import jobs.cli, numpy") & HEAVY


def test_the_driver_plans_without_torch_or_ray() -> None:
    """Manifest, plan, prior, records and the run itself load without torch or Ray: both wait until there is work."""
    assert not loaded_by("import pipeline.driver.run, jobs.progress") & {"torch", "ray"}
    assert not loaded_by("import pipeline.forecast.forecast, jobs.forecast_table") & {"torch", "ray"}
    read = "from pipeline.priors import prior_file\nfrom sr_ops.settings import Network, Settings\n"
    check = "prior_file.check_fits(prior_file.read_prior('shipped'), Settings(network=Network.DIRECT))"
    assert not loaded_by(f"{read}{check}") & {"torch", "ray"}


def test_python_s_way_in_loads_what_is_asked_for() -> None:
    """The packages load nothing, a run neither torch nor Ray before there is work, and an array needs no Ray."""
    assert not loaded_by("import pipeline, sr_ops") & HEAVY
    assert not loaded_by("from pipeline import UsageError, run; from sr_ops import Settings") & {"torch", "ray"}
    assert loaded_by("from pipeline import enlarge; from sr_ops import super_resolve") & {"torch", "ray"} == {"torch"}


IMPORT_NAMES = {"pillow": "PIL"}

COME_WITH_OTHERS = {"aiohttp", "botocore", "requests"}  # their errors are those of s3fs and of Ray

OF_OTHER_ENVIRONMENTS = {"spandrel"}  # goes with no torchvision that goes with the torch that is pinned


def test_what_is_imported_is_installed() -> None:
    """Every library that the packages import is a dependency of the wheel, or of its extra for models, and pinned."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    declared = [*project["dependencies"], *project["optional-dependencies"]["models"]]
    names = {re.split(r"[\[=<>~! ]", line)[0] for line in declared}
    imported = set().union(*(imported_packages(file) for layer in LAYERS for file in python_files(layer)))
    libraries = imported - set(LAYERS) - set(sys.stdlib_module_names) - COME_WITH_OTHERS - OF_OTHER_ENVIRONMENTS
    assert "safetensors" in libraries
    assert libraries <= {IMPORT_NAMES.get(name, name) for name in names}
    pinned = re.findall(r"^([\w.-]+)==", (REPOSITORY / "constraints.txt").read_text(), re.MULTILINE)
    assert names <= {name.lower() for name in pinned}


PAGE = ("report.css", "report.html", "report.js", "viewer.js")

OF_OTHERS = ("LICENCES.txt", "land.path", "openseadragon.min.js")

SHIPPED = [
    "pipeline/priors/any_camera.safetensors",
    *(f"pipeline/report/page/{name}" for name in PAGE),
    *(f"pipeline/report/page/vendor/{name}" for name in OF_OTHERS),
]


def test_the_wheel_holds_the_three_packages(tmp_path: Path) -> None:
    """The wheel's top level is sr_ops, pipeline and jobs, with every file of theirs, what these read, no more."""
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, check=True, capture_output=True, cwd=REPOSITORY)
    (path,) = tmp_path.glob("*.whl")
    wheel = zipfile.ZipFile(path)
    names = [name for name in wheel.namelist() if ".dist-info/" not in name]
    expected = [str(file.relative_to(REPOSITORY)) for layer in LAYERS for file in python_files(layer)]
    assert sorted(names) == sorted([*expected, *SHIPPED])
    for shipped in SHIPPED:
        assert wheel.read(shipped) == (REPOSITORY / shipped).read_bytes()
